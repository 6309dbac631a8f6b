//! Datagrams: each goes back to its sender, from the address that was asked.

use std::collections::HashSet;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::super::address::cannot_listen;
use super::super::language::Language;
use super::super::signals::Signals;
use super::counts::{self, Counts};
use super::events::{Event, Ignored};
use super::{Log, Served};

/// The longest datagram, and more: the length field of UDP has 16 bits, the header counts too.
const DATAGRAM_MAX: usize = 65_536;
/// Datagrams that are answered before signals are looked at again.
const TURN: usize = 64;
/// Kernel buffer: what arrives while others are answered.
const KERNEL_BUFFER: usize = 4 << 20;
/// Clients that are remembered so that each is shown once.
const PEERS_MAX: usize = 4_096;
/// Below it live servers, some of which answer anything.
const RESERVED_PORTS: u16 = 1_024;

/// Answers until a signal comes or nobody reads the output.
pub(super) async fn serve(
    socket: Socket,
    signals: &mut Signals,
    log: &mut Log,
) -> anyhow::Result<Served> {
    let address = socket.inner.local_addr()?;
    log.event(&Event::Listening { transport: "udp", address });
    let mut server = Server {
        port: address.port(),
        socket,
        buffer: vec![0; DATAGRAM_MAX],
        counts: counts::Udp::default(),
        peers: HashSet::new(),
    };
    let stop = loop {
        tokio::select! {
            stop = signals.next() => break Some(stop),
            () = log.closed() => break None,
            ready = server.socket.inner.readable() => {
                ready?;
                for _ in 0..TURN {
                    if !server.answer_one(log).await {
                        break;
                    }
                }
            }
        }
    };
    Ok((Counts::Udp(server.counts), stop))
}

struct Server {
    socket: Socket,
    port: u16,
    buffer: Vec<u8>,
    counts: counts::Udp,
    /// Who was shown.
    peers: HashSet<SocketAddr>,
}

impl Server {
    /// False when nothing is left to answer.
    async fn answer_one(&mut self, log: &mut Log) -> bool {
        let Ok(asked) = self.socket.try_receive(&mut self.buffer) else {
            return false; // Nothing there, or an error of the network below, which reading has taken away.
        };
        self.counts.received += 1;
        self.counts.received_bytes += asked.len as u64;
        let (peer, len) = (asked.from, asked.len);
        let ignored = asked.ignored(self.port);
        self.show(&asked, ignored, log);
        if let Some(why) = ignored {
            self.counts.ignored(why);
            return true;
        }
        match self.socket.reply(&asked, &self.buffer[..len]).await {
            Ok(()) => self.counts.returned += 1,
            Err(error) => {
                self.counts.unsent += 1;
                if self.counts.unsent == 1 {
                    log.event(&Event::Unsent { peer, len, error: error.to_string() });
                }
            }
        }
        true
    }

    /// Each client once.
    fn show(&mut self, asked: &Asked, ignored: Option<Ignored>, log: &mut Log) {
        let peer = asked.from;
        if self.peers.len() > PEERS_MAX || !self.peers.insert(peer) {
            return;
        }
        log.event(&match ignored {
            _ if self.peers.len() > PEERS_MAX => Event::Unshown { most: PEERS_MAX },
            Some(why) => Event::Ignored { peer, why },
            None => Event::Heard { peer, asked: asked.to.map(To::ip), len: asked.len },
        });
    }
}

/// A datagram, but for its bytes.
#[derive(Clone, Copy, Debug)]
struct Asked {
    from: SocketAddr,
    to: Option<To>,
    len: usize,
}

/// Whom the sender asked. IPv4 tells the destination and, for a broadcast, the address of ours that goes with it.
#[derive(Clone, Copy, Debug)]
enum To {
    V4 { destination: Ipv4Addr, ours: Ipv4Addr },
    V6(Ipv6Addr),
}

impl To {
    const fn ip(self) -> IpAddr {
        match self {
            Self::V4 { destination, .. } => IpAddr::V4(destination),
            Self::V6(destination) => IpAddr::V6(destination),
        }
    }

    /// A broadcast or multicast address, at which other machines listen as well.
    fn is_many(self) -> bool {
        match self {
            Self::V4 { destination, ours } => destination != ours || destination.is_multicast(),
            Self::V6(destination) => destination.to_canonical().is_multicast(),
        }
    }
}

impl Asked {
    fn ignored(&self, own_port: u16) -> Option<Ignored> {
        // By the number alone: one's own addresses are many, and the other server of a loop often has the same port.
        match self.from.port() {
            port if port == own_port => Some(Ignored::OwnPort),
            ..RESERVED_PORTS => Some(Ignored::LowPort),
            _ if self.to.is_some_and(To::is_many) => Some(Ignored::ToMany),
            _ => None,
        }
    }
}

/// A socket that learns which of its addresses was asked. RFC 1122 §4.1.3.5: the answer leaves from there.
pub(super) struct Socket {
    inner: UdpSocket,
}

impl Socket {
    /// Binds the first of the addresses that can be had; `[::]` takes IPv4 too.
    pub(super) fn bind(addresses: &[SocketAddr], language: Language) -> anyhow::Result<Self> {
        let mut failure = None;
        for address in addresses {
            match Self::bind_one(*address) {
                Ok(socket) => return Ok(socket),
                Err(error) => failure = Some(cannot_listen("UDP", *address, &error, language)),
            }
        }
        Err(failure.unwrap_or_else(|| anyhow::anyhow!("no address to listen on")))
    }

    fn bind_one(address: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            socket.set_only_v6(!address.ip().is_unspecified())?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        // Best effort: the system caps it at net.core.rmem_max.
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(Self { inner: UdpSocket::from_std(socket.into())? })
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Asked> {
        self.inner.try_io(Interest::READABLE, || {
            let mut control = nix::cmsg_space!(in_pktinfo, in6_pktinfo);
            let mut slices = [IoSliceMut::new(buffer)];
            let message = recvmsg::<SockaddrStorage>(
                self.inner.as_raw_fd(),
                &mut slices,
                Some(&mut control),
                MsgFlags::empty(),
            )?;
            let from = message.address.as_ref().and_then(peer).ok_or(ErrorKind::InvalidData)?;
            let to = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => Some(To::V4 {
                    destination: from_network(info.ipi_addr),
                    ours: from_network(info.ipi_spec_dst),
                }),
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    Some(To::V6(info.ipi6_addr.s6_addr.into()))
                }
                _ => None,
            });
            Ok(Asked { from, to, len: message.bytes })
        })
    }

    async fn reply(&self, asked: &Asked, bytes: &[u8]) -> io::Result<()> {
        let to = SockaddrStorage::from(asked.from);
        let send = |control: &[ControlMessage<'_>]| {
            let slices = [IoSlice::new(bytes)];
            sendmsg(self.inner.as_raw_fd(), &slices, control, MsgFlags::empty(), Some(&to))?;
            Ok(())
        };
        // Interface 0: the routes decide, and the sender's scope in IPv6.
        let send_from_there = || match asked.to {
            Some(To::V4 { ours, .. }) => send(&[ControlMessage::Ipv4PacketInfo(&in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(ours.octets()) },
                ipi_addr: in_addr { s_addr: 0 },
            })]),
            Some(To::V6(ours)) => send(&[ControlMessage::Ipv6PacketInfo(&in6_pktinfo {
                ipi6_ifindex: 0,
                ipi6_addr: in6_addr { s6_addr: ours.octets() },
            })]),
            None => send(&[]),
        };
        self.inner.async_io(Interest::WRITABLE, send_from_there).await
    }
}

fn peer(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::from(*address));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::from(*address)))
}

/// The kernel's in_addr has the address's bytes in their order.
fn from_network(address: in_addr) -> Ipv4Addr {
    address.s_addr.to_ne_bytes().into()
}
