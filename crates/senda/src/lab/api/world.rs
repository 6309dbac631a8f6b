//! The sockets that a chapter has opened, by name, and the calls that the tour makes. Each method is one call.

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::{Errno, Result};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendFlags, Shutdown, SocketType,
};

pub(super) use super::super::sockets::diag::Protocol;

/// The longest that a call may block. Nothing here blocks for a noticeable time on a machine that is well.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sockets of a chapter, in the order in which they came.
#[derive(Default)]
pub(super) struct World {
    sockets: Vec<Named>,
    /// Bytes that `send` has taken of what a chapter sends in parts.
    pub(super) sent: usize,
}

/// A socket of the tour. It stays known after `close`: its connection may go on in the kernel.
pub(super) struct Named {
    name: &'static str,
    pub(super) protocol: Protocol,
    pub(super) fd: Option<OwnedFd>,
    pub(super) local: Option<SocketAddr>,
    pub(super) peer: Option<SocketAddr>,
}

/// 127.0.0.1, and a port that the system chooses.
pub(super) const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl World {
    pub(super) fn named(&self, name: &str) -> Option<&Named> {
        self.sockets.iter().find(|socket| socket.name == name)
    }

    pub(super) fn socket(&mut self, name: &'static str, protocol: Protocol) -> Result<i32> {
        let kind = match protocol {
            Protocol::Tcp => SocketType::STREAM,
            Protocol::Udp => SocketType::DGRAM,
        };
        let fd = rustix::net::socket(AddressFamily::INET, kind, None)?;
        self.keep(name, protocol, fd)
    }

    pub(super) fn bind(&mut self, name: &'static str, address: SocketAddr) -> Result<()> {
        let bound = rustix::net::bind(self.fd(name)?, &address);
        self.refresh(name);
        bound
    }

    pub(super) fn listen(&mut self, name: &'static str, backlog: i32) -> Result<()> {
        rustix::net::listen(self.fd(name)?, backlog)
    }

    pub(super) fn connect(&mut self, name: &'static str, address: SocketAddr) -> Result<()> {
        let connected = rustix::net::connect(self.fd(name)?, &address);
        self.refresh(name);
        if connected == Err(Errno::INPROGRESS) {
            // `getpeername` tells of a peer that has answered only.
            self.named_mut(name)?.peer = Some(address);
        }
        connected
    }

    /// Names the server's side of a connection that was not accepted yet: the kernel has it already.
    pub(super) fn foresee(
        &mut self,
        name: &'static str,
        listener: &'static str,
        client: &'static str,
    ) -> Result<()> {
        let (local, peer) = (self.address(listener)?, self.address(client)?);
        self.sockets.retain(|socket| socket.name != name);
        let (local, peer) = (Some(local), Some(peer));
        self.sockets.push(Named { name, protocol: Protocol::Tcp, fd: None, local, peer });
        Ok(())
    }

    /// The fd and the address of who connected.
    pub(super) fn accept(
        &mut self,
        listener: &'static str,
        name: &'static str,
    ) -> Result<(i32, SocketAddr)> {
        let (fd, peer) = rustix::net::acceptfrom(self.fd(listener)?)?;
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).ok_or(Errno::INVAL)?;
        Ok((self.keep(name, Protocol::Tcp, fd)?, peer))
    }

    /// MSG_NOSIGNAL: without it, and in a program that does not ignore SIGPIPE, EPIPE would end the process.
    pub(super) fn send(&mut self, name: &'static str, bytes: &[u8]) -> Result<usize> {
        rustix::net::send(self.fd(name)?, bytes, SendFlags::NOSIGNAL)
    }

    pub(super) fn recv(&mut self, name: &'static str, max: usize) -> Result<Vec<u8>> {
        self.recv_with(name, max, RecvFlags::empty())
    }

    /// Without waiting.
    pub(super) fn recv_now(&mut self, name: &'static str, max: usize) -> Result<Vec<u8>> {
        self.recv_with(name, max, RecvFlags::DONTWAIT)
    }

    /// Exactly so many, or what came before the end.
    pub(super) fn recv_all(&mut self, name: &'static str, len: usize) -> Result<Vec<u8>> {
        self.recv_with(name, len, RecvFlags::WAITALL)
    }

    pub(super) fn send_to(
        &mut self,
        name: &'static str,
        bytes: &[u8],
        to: SocketAddr,
    ) -> Result<usize> {
        let sent = rustix::net::sendto(self.fd(name)?, bytes, SendFlags::empty(), &to);
        self.refresh(name);
        sent
    }

    pub(super) fn recv_from(
        &mut self,
        name: &'static str,
        max: usize,
    ) -> Result<(Vec<u8>, SocketAddr)> {
        let mut data = vec![0; max];
        let (len, _, from) =
            rustix::net::recvfrom(self.fd(name)?, &mut data[..], RecvFlags::empty())?;
        data.truncate(len);
        let from = from.and_then(|from| SocketAddr::try_from(from).ok()).ok_or(Errno::INVAL)?;
        Ok((data, from))
    }

    /// How many bytes came, and whether the rest of the datagram was cut off.
    pub(super) fn recv_msg(&mut self, name: &'static str, max: usize) -> Result<(usize, bool)> {
        let mut data = vec![0; max];
        let mut parts = [IoSliceMut::new(&mut data)];
        let mut control = RecvAncillaryBuffer::default();
        let flags = RecvFlags::empty();
        let message = rustix::net::recvmsg(self.fd(name)?, &mut parts, &mut control, flags)?;
        Ok((message.bytes, message.flags.contains(ReturnFlags::TRUNC)))
    }

    pub(super) fn shutdown_write(&mut self, name: &'static str) -> Result<()> {
        rustix::net::shutdown(self.fd(name)?, Shutdown::Write)
    }

    pub(super) fn reuse_address(&mut self, name: &'static str) -> Result<()> {
        sockopt::set_socket_reuseaddr(self.fd(name)?, true)
    }

    pub(super) fn send_buffer(&mut self, name: &'static str, size: usize) -> Result<()> {
        sockopt::set_socket_send_buffer_size(self.fd(name)?, size)
    }

    pub(super) fn receive_buffer(&mut self, name: &'static str, size: usize) -> Result<()> {
        sockopt::set_socket_recv_buffer_size(self.fd(name)?, size)
    }

    /// O_NONBLOCK.
    pub(super) fn never_wait(&mut self, name: &'static str) -> Result<()> {
        rustix::io::ioctl_fionbio(self.fd(name)?, true)
    }

    /// getsockname.
    pub(super) fn address(&self, name: &'static str) -> Result<SocketAddr> {
        let address = rustix::net::getsockname(self.fd(name)?)?;
        SocketAddr::try_from(address).map_err(|_| Errno::INVAL)
    }

    pub(super) fn close(&mut self, name: &'static str) -> Result<()> {
        self.refresh(name);
        // Dropping it is close(2), whose only error here would be EBADF.
        self.named_mut(name)?.fd.take().map(drop).ok_or(Errno::BADF)
    }

    fn recv_with(&mut self, name: &'static str, max: usize, flags: RecvFlags) -> Result<Vec<u8>> {
        let mut data = vec![0; max];
        let (len, _) = rustix::net::recv(self.fd(name)?, &mut data[..], flags)?;
        data.truncate(len);
        Ok(data)
    }

    /// A name may be used again: it is the newest socket's.
    fn keep(&mut self, name: &'static str, protocol: Protocol, fd: OwnedFd) -> Result<i32> {
        // So that the tour would end with an error rather than wait for ever.
        sockopt::set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
        sockopt::set_socket_timeout(&fd, Timeout::Send, Some(PATIENCE))?;
        let number = fd.as_raw_fd();
        self.sockets.retain(|socket| socket.name != name);
        self.sockets.push(Named { name, protocol, fd: Some(fd), local: None, peer: None });
        self.refresh(name);
        Ok(number)
    }

    /// Learns the addresses that a socket has by now, and keeps those that it had.
    fn refresh(&mut self, name: &str) {
        let Ok(named) = self.named_mut(name) else { return };
        let Some(fd) = &named.fd else { return };
        let address = |any: rustix::net::SocketAddrAny| SocketAddr::try_from(any).ok();
        let local = rustix::net::getsockname(fd).ok().and_then(address);
        let peer = rustix::net::getpeername(fd).ok().flatten().and_then(address);
        named.local = local.filter(|local| local.port() != 0).or(named.local);
        named.peer = peer.or(named.peer);
    }

    fn named_mut(&mut self, name: &str) -> Result<&mut Named> {
        self.sockets.iter_mut().find(|socket| socket.name == name).ok_or(Errno::BADF)
    }

    fn fd(&self, name: &str) -> Result<BorrowedFd<'_>> {
        let fd = self.named(name).and_then(|socket| socket.fd.as_ref());
        fd.map(std::os::fd::AsFd::as_fd).ok_or(Errno::BADF)
    }
}
