//! The sockets of this machine as the kernel tells them: netlink's `sock_diag`, which `ss` reads, too.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_packet_sock_diag::{
    AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, SockDiagMessage, TCP_CLOSE, TCP_CLOSE_WAIT,
    TCP_CLOSING, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_LISTEN,
    TCP_SYN_RECV, TCP_SYN_SENT, TCP_TIME_WAIT,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use rustix::io::Errno;
use socket2::SockRef;

pub(in crate::lab) use super::state::State;

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(in crate::lab) enum Protocol {
    Tcp,
    Udp,
}

/// One socket, or what the kernel keeps of a connection without one: SYN-RECEIVED and TIME-WAIT have no owner.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::lab) struct Socket {
    pub(in crate::lab) protocol: Protocol,
    pub(in crate::lab) state: State,
    pub(in crate::lab) local: SocketAddr,
    /// None without a connection: before the first, and always for a listener.
    pub(in crate::lab) peer: Option<SocketAddr>,
    /// Number of the one interface that it is bound to.
    pub(in crate::lab) interface: Option<u32>,
    /// An IPv6 socket that takes IPv4, too.
    pub(in crate::lab) takes_ipv4: bool,
    /// Bytes that came and were not read. Of a listener: connections that wait for `accept`.
    pub(in crate::lab) receive_queue: u32,
    /// TCP: bytes that the peer has not acknowledged; UDP: memory of datagrams that have not left.
    /// Of a listener: how many connections may wait for `accept`, the `backlog` of `listen`.
    pub(in crate::lab) send_queue: u32,
    /// User who made it.
    pub(in crate::lab) uid: u32,
    /// Its number under `/proc/PID/fd`; 0 when no process has it.
    pub(in crate::lab) inode: u64,
    /// The same through all states of a connection, and of no other socket.
    pub(in crate::lab) cookie: u64,
    /// What came and was thrown away, mostly because the receive queue was full. The kernel tells it of whole sockets only.
    pub(in crate::lab) drops: Option<u32>,
}

/// What to ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::lab) struct Query {
    pub(in crate::lab) tcp: bool,
    pub(in crate::lab) udp: bool,
    /// TCP sockets, too, that are bound and neither listen nor connect (CLOSED). Linux tells since 6.8, before it has none.
    pub(in crate::lab) bound: bool,
}

/// All sockets of this network namespace that `query` wants, sorted.
pub(in crate::lab) fn sockets(query: Query) -> anyhow::Result<Vec<Socket>> {
    Kernel::open()?.sockets(query)
}

/// The longest that the kernel may take for a part of an answer; it needs microseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// The kernel makes no longer datagrams of a dump than 32 KiB.
const DATAGRAM_MAX: usize = 64 << 10;
/// Bound, and nothing else: a state of the request only, in `linux/tcp_states.h`. The crate does not name it yet.
const TCP_BOUND_INACTIVE: u8 = 13;

/// A line to the kernel, for many questions.
pub(in crate::lab) struct Kernel {
    netlink: netlink_sys::Socket,
    /// Of the last question: answers carry it.
    sequence: u32,
    buffer: Vec<u8>,
}

impl Kernel {
    pub(in crate::lab) fn open() -> anyhow::Result<Self> {
        let netlink = open().context("open a netlink socket to ask the kernel (sock_diag)")?;
        Ok(Self { netlink, sequence: 0, buffer: vec![0; DATAGRAM_MAX] })
    }

    /// All sockets of this network namespace that `query` wants, sorted.
    pub(in crate::lab) fn sockets(&mut self, query: Query) -> anyhow::Result<Vec<Socket>> {
        // One that changes its state in the middle of a dump may be told of twice: the later one counts.
        let mut found = HashMap::new();
        let protocols = [(query.tcp, Protocol::Tcp), (query.udp, Protocol::Udp)];
        for (_, protocol) in protocols.into_iter().filter(|(wanted, _)| *wanted) {
            for family in [AF_INET, AF_INET6] {
                self.dump(protocol, family, query.bound, |socket| {
                    found.insert((protocol, socket.cookie), socket);
                })?;
            }
        }
        let mut sockets: Vec<Socket> = found.into_values().collect();
        sockets.sort_unstable_by_key(|socket| {
            (socket.protocol, socket.local, socket.state, socket.peer, socket.cookie)
        });
        Ok(sockets)
    }

    fn dump(
        &mut self,
        protocol: Protocol,
        family: u8,
        bound: bool,
        mut each: impl FnMut(Socket),
    ) -> anyhow::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(protocol, family, bound, self.sequence);
        self.netlink.send(&request, 0).context("ask the kernel for its sockets")?;
        loop {
            let len = self.receive().context("wait for the kernel's answer")?;
            let datagram = self.buffer.get(..len).unwrap_or_default();
            for message in messages(datagram) {
                let message = message?;
                if message.header.sequence_number != self.sequence {
                    continue; // What is left of a question that failed.
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                        if let Some(socket) = socket(protocol, &response) {
                            each(socket);
                        }
                    }
                    NetlinkPayload::Done(done) if done.code == 0 => return Ok(()),
                    NetlinkPayload::Done(done) => return refusal(protocol, done.code),
                    NetlinkPayload::Error(error) => return refusal(protocol, error.raw_code()),
                    NetlinkPayload::Overrun(_) => bail!("the kernel lost a part of its answer"),
                    _ => {}
                }
            }
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        loop {
            match self.netlink.recv(&mut &mut self.buffer[..], 0) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => return received,
            }
        }
    }
}

/// Hears of sockets that end, from the kernel and at that moment: of those, too, that no look ever saw.
pub(in crate::lab) struct Ends {
    netlink: netlink_sys::Socket,
    buffer: Vec<u8>,
    /// The kernel had more to tell than it could keep for us.
    pub(in crate::lab) lost: bool,
}

/// `SKNLGRP_INET_TCP_DESTROY` and its like in `linux/sock_diag.h`, which the crate does not name.
const TCP_ENDS: [u32; 2] = [1, 3];
const UDP_ENDS: [u32; 2] = [2, 4];
/// Most messages of one [`Ends::take`], so that a flood of short connections can't hold the looks up.
const ENDS_MAX: usize = 4096;

impl Ends {
    pub(in crate::lab) fn open(query: Query) -> anyhow::Result<Self> {
        let groups = [(query.tcp, TCP_ENDS), (query.udp, UDP_ENDS)];
        let listen = || {
            let mut netlink = netlink_sys::Socket::new(NETLINK_SOCK_DIAG)?;
            netlink.bind_auto()?;
            netlink.set_non_blocking(true)?;
            for (_, groups) in groups.iter().filter(|(wanted, _)| *wanted) {
                groups.iter().try_for_each(|group| netlink.add_membership(*group))?;
            }
            Ok::<_, io::Error>(netlink)
        };
        let netlink = listen().context("ask the kernel to tell when sockets end (sock_diag)")?;
        Ok(Self { netlink, buffer: vec![0; DATAGRAM_MAX], lost: false })
    }

    /// What ended since the last time.
    pub(in crate::lab) fn take(&mut self) -> anyhow::Result<Vec<Socket>> {
        let mut ended = Vec::new();
        for _ in 0..ENDS_MAX {
            let len = match self.netlink.recv(&mut &mut self.buffer[..], 0) {
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // The kernel's own queue for us was full.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {
                    self.lost = true;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            for message in messages(self.buffer.get(..len).unwrap_or_default()) {
                if let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) =
                    message?.payload
                {
                    ended.extend(end(&response));
                }
            }
        }
        Ok(ended)
    }
}

fn open() -> io::Result<netlink_sys::Socket> {
    let mut netlink = netlink_sys::Socket::new(NETLINK_SOCK_DIAG)?;
    netlink.bind_auto()?;
    netlink.connect(&netlink_sys::SocketAddr::new(0, 0))?;
    SockRef::from(&netlink).set_read_timeout(Some(PATIENCE))?;
    Ok(netlink)
}

fn request(protocol: Protocol, family: u8, bound: bool, sequence: u32) -> Vec<u8> {
    let mut states = StateFlags::all();
    if bound && protocol == Protocol::Tcp {
        states |= StateFlags::from_bits_retain(1 << TCP_BOUND_INACTIVE);
    }
    let request = SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol: match protocol {
            Protocol::Tcp => IPPROTO_TCP,
            Protocol::Udp => IPPROTO_UDP,
        },
        extensions: ExtensionFlags::SKMEMINFO, // drops
        states,
        socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
    });
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, request.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// The messages of a datagram. What can't be read is an error, and the last item.
fn messages(
    mut bytes: &[u8],
) -> impl Iterator<Item = anyhow::Result<NetlinkMessage<SockDiagMessage>>> {
    /// `NLMSG_ALIGNTO` of `linux/netlink.h`.
    const ALIGNMENT: usize = 4;
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let message = NetlinkMessage::deserialize(bytes);
        bytes = match &message {
            Ok(message) => {
                let len = usize::try_from(message.header.length).unwrap_or(bytes.len());
                let len = len.checked_next_multiple_of(ALIGNMENT);
                len.and_then(|len| bytes.get(len..)).unwrap_or_default()
            }
            Err(_) => &[],
        };
        Some(message.context("read the kernel's answer"))
    })
}

/// What the kernel says with a negative errno instead of sockets.
fn refusal(protocol: Protocol, code: i32) -> anyhow::Result<()> {
    let error = io::Error::from_raw_os_error(code.saturating_neg());
    let module = match protocol {
        Protocol::Tcp => "tcp_diag",
        Protocol::Udp => "udp_diag",
    };
    if error.kind() == ErrorKind::NotFound {
        bail!("this kernel does not tell of its sockets: load its module ({module}, as root)");
    }
    Err(error).context("the kernel does not tell of its sockets")
}

/// None for states that this program does not know.
fn socket(protocol: Protocol, response: &InetResponse) -> Option<Socket> {
    let header = &response.header;
    let id = &header.socket_id;
    let local = SocketAddr::new(id.source_address, id.source_port);
    let peer = SocketAddr::new(id.destination_address, id.destination_port);
    let mut v6_only = false;
    let mut drops = None;
    for attribute in &response.nlas {
        match attribute {
            Nla::SkV6Only(only) => v6_only = *only,
            Nla::MemInfo(memory) => drops = Some(memory.drops),
            _ => {}
        }
    }
    Some(Socket {
        protocol,
        state: state(protocol, header.state)?,
        local,
        peer: (peer.port() != 0 || !peer.ip().is_unspecified()).then_some(peer),
        interface: Some(id.interface_id).filter(|number| *number != 0),
        takes_ipv4: local.ip() == IpAddr::from([0_u8; 16]) && !v6_only,
        receive_queue: header.recv_queue,
        send_queue: header.send_queue,
        uid: header.uid,
        inode: header.inode.into(),
        cookie: u64::from_ne_bytes(id.cookie),
        drops,
    })
}

/// A socket that ended. None for one that never had a port: it was in no table, and nothing went through it.
fn end(response: &InetResponse) -> Option<Socket> {
    let socket = socket(protocol(response)?, response)?;
    // The kernel does not fill the queues in: there are none any more.
    let socket = Socket { receive_queue: 0, send_queue: 0, ..socket };
    (socket.local.port() != 0).then_some(socket)
}

/// Told of sockets that end, for there was no question that said.
fn protocol(response: &InetResponse) -> Option<Protocol> {
    response.nlas.iter().find_map(|attribute| match attribute {
        Nla::Protocol(IPPROTO_TCP) => Some(Protocol::Tcp),
        Nla::Protocol(IPPROTO_UDP) => Some(Protocol::Udp),
        _ => None,
    })
}

/// Of a number in `linux/tcp_states.h`. UDP borrows two of TCP's.
fn state(protocol: Protocol, number: u8) -> Option<State> {
    Some(match number {
        TCP_CLOSE if protocol == Protocol::Udp => State::Unconnected,
        TCP_CLOSE | TCP_BOUND_INACTIVE => State::Closed,
        TCP_LISTEN => State::Listen,
        TCP_SYN_SENT => State::SynSent,
        TCP_SYN_RECV => State::SynReceived,
        TCP_ESTABLISHED => State::Established,
        TCP_FIN_WAIT1 => State::FinWait1,
        TCP_FIN_WAIT2 => State::FinWait2,
        TCP_CLOSING => State::Closing,
        TCP_TIME_WAIT => State::TimeWait,
        TCP_CLOSE_WAIT => State::CloseWait,
        TCP_LAST_ACK => State::LastAck,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;
    use netlink_packet_sock_diag::inet::nlas::MemInfo;
    use netlink_packet_sock_diag::inet::{InetResponseHeader, SocketId};
    use proptest::prelude::*;
    use socket2::{Domain, Type};

    use super::*;

    #[test]
    fn a_listener_of_this_process_is_told_of_with_its_backlog() {
        let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        listener.listen(7).expect("a listener");
        let local = listener.local_addr().expect("a port").as_socket().expect("IPv4");
        let query = Query { tcp: true, udp: false, bound: false };
        let told = sockets(query).expect("the kernel tells");
        let listens = |socket: &&Socket| socket.local == local && socket.state == State::Listen;
        let socket = told.iter().find(listens).expect("it is there");
        assert_eq!((socket.protocol, socket.peer), (Protocol::Tcp, None));
        assert_eq!((socket.receive_queue, socket.send_queue), (0, 7));
        assert_ne!(socket.inode, 0);
    }

    #[test]
    fn every_state_of_the_kernel_has_its_name_and_other_numbers_have_none() {
        let known = (0..=255).filter_map(|number| state(Protocol::Tcp, number));
        let mut known: Vec<State> = known.collect();
        known.sort_unstable();
        known.dedup();
        assert_eq!(known, State::ALL[..11], "all but the one of UDP");
        assert_eq!(state(Protocol::Udp, TCP_CLOSE), Some(State::Unconnected));
        assert_eq!(state(Protocol::Tcp, 0), None);
        assert_eq!(state(Protocol::Tcp, 14), None);
    }

    #[test]
    fn a_kernel_without_the_module_is_told_so() {
        let error = refusal(Protocol::Udp, -2).expect_err("ENOENT"); // As the kernel writes it.
        assert!(error.to_string().contains("udp_diag"), "{error}");
        refusal(Protocol::Tcp, i32::MIN).expect_err("no errno");
    }

    proptest! {
        #[test]
        fn no_bytes_of_an_answer_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            read_all(&bytes);
        }

        // Random bytes rarely get past the header: these are answers with a few bytes changed.
        #[test]
        fn no_damaged_answer_panics(
            answers in prop::collection::vec(answer(), 1..4),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            len in any::<prop::sample::Index>(),
        ) {
            let mut bytes = answers.concat();
            for (index, byte) in damage {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(len.index(bytes.len()) + 1);
            read_all(&bytes);
        }

        #[test]
        fn every_whole_answer_is_read(answers in prop::collection::vec(answer(), 1..9)) {
            prop_assert_eq!(read_all(&answers.concat()), answers.len());
        }
    }

    /// How many sockets are in it.
    fn read_all(bytes: &[u8]) -> usize {
        let payloads = messages(bytes).map_while(Result::ok).map(|message| message.payload);
        let sockets = payloads.filter_map(|payload| match payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                socket(Protocol::Tcp, &response)
            }
            _ => None,
        });
        sockets.count()
    }

    /// A message as the kernel could write it, with attributes that we read and some that we don't.
    fn answer() -> impl Strategy<Value = Vec<u8>> {
        let parts = (any::<bool>(), 1..=13_u8, any::<[u16; 2]>(), any::<[u8; 16]>(), any::<u32>());
        (parts, any::<bool>(), any::<bool>()).prop_map(
            |((v4, state, ports, ip, n), memory, only)| {
                let mut socket_id = if v4 { SocketId::new_v4() } else { SocketId::new_v6() };
                [socket_id.source_port, socket_id.destination_port] = ports;
                if !v4 {
                    socket_id.source_address = ip.into();
                }
                let header = InetResponseHeader {
                    family: if v4 { AF_INET } else { AF_INET6 },
                    state: if state == 12 { TCP_CLOSE } else { state }, // 12 does not leave the kernel.
                    timer: None,
                    socket_id,
                    recv_queue: n,
                    send_queue: n,
                    uid: n,
                    inode: n,
                };
                let mut response = InetResponse { header, nlas: Default::default() };
                if memory {
                    response.nlas.push(Nla::MemInfo(MemInfo {
                        receive_queue: n,
                        receive_queue_max: n,
                        send_queue: n,
                        send_queue_max: n,
                        bottom_send_queues: n,
                        cache: n,
                        options: n,
                        backlog_queue_length: n,
                        drops: n,
                    }));
                }
                response.nlas.push(Nla::SkV6Only(only));
                response.nlas.push(Nla::Shutdown(3));
                let response = SockDiagMessage::InetResponse(Box::new(response));
                let mut message = NetlinkMessage::new(NetlinkHeader::default(), response.into());
                message.finalize();
                let mut bytes = vec![0; Emitable::buffer_len(&message)];
                message.serialize(&mut bytes);
                bytes
            },
        )
    }
}
