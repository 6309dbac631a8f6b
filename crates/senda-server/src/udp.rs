//! The UDP socket: many datagrams for one wake-up, answers from the address that was asked. Spec §9.4.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{StartError, resolve};

/// Datagrams for one system call.
const BATCH: usize = 32;
/// Bytes for each of them; GRO may put several datagrams of one sender into one.
const BUFFER: usize = 65_536;
/// Kernel buffer: what arrives while a commit's worth is handled.
const KERNEL_BUFFER: usize = 4 << 20;

/// A bound UDP socket and the buffers to read it with.
pub(crate) struct Udp {
    socket: std::net::UdpSocket,
    state: UdpSocketState,
    buffers: Vec<u8>,
    metas: [RecvMeta; BATCH],
}

impl Udp {
    /// Binds the first address that `name` stands for; `[::]` takes IPv4 too.
    pub(crate) fn bind(name: &str) -> Result<Self, StartError> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in resolve(name)? {
            match Self::bind_address(address) {
                Ok(udp) => return Ok(udp),
                Err(error) => last = error,
            }
        }
        Err(StartError::Bind { transport: "UDP", name: name.to_owned(), source: last })
    }

    fn bind_address(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            socket.set_only_v6(false)?;
        }
        // Best effort: the system caps it at net.core.rmem_max.
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
        socket.bind(&address.into())?;
        let socket = std::net::UdpSocket::from(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self {
            socket,
            state,
            buffers: vec![0; BATCH * BUFFER],
            metas: [RecvMeta::default(); BATCH],
        })
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }

    /// Reads what is there, at most one batch, and hands out each datagram with its sender and the address that it
    /// asked. Returns how many; 0 when nothing is left.
    pub(crate) fn receive(
        &mut self,
        mut take: impl FnMut(SocketAddr, Option<IpAddr>, &[u8]),
    ) -> usize {
        let mut chunks = self.buffers.chunks_exact_mut(BUFFER);
        let mut slices: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let Ok(count) =
            self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut self.metas)
        else {
            return 0; // WouldBlock, or an ICMP error of an answer before: either way nothing is there.
        };
        let mut datagrams = 0;
        for (meta, slice) in self.metas.iter().zip(&slices).take(count) {
            let bytes = &slice[..meta.len];
            if bytes.is_empty() {
                take(meta.addr, meta.dst_ip, bytes); // A datagram all the same.
                datagrams += 1;
            }
            for datagram in bytes.chunks(meta.stride.max(1)) {
                take(meta.addr, meta.dst_ip, datagram);
                datagrams += 1;
            }
        }
        datagrams
    }

    /// Sends one datagram from `local`, if the device asked a particular address.
    pub(crate) fn send(
        &self,
        remote: SocketAddr,
        local: Option<IpAddr>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let transmit = Transmit {
            destination: remote,
            ecn: None,
            contents: bytes,
            segment_size: None,
            src_ip: local,
        };
        self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
