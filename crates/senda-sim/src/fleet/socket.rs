//! A member's socket: connected, non-blocking, UDP or TCP.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use senda_session::device::Transport;
use socket2::{Domain, Protocol, Socket, Type};

/// A connected socket of one device.
#[derive(Debug)]
pub(super) struct Link {
    socket: Socket,
    transport: Transport,
    /// TCP: the connection is not made yet.
    connecting: bool,
    /// TCP: bytes that the system did not take yet.
    unsent: Vec<u8>,
}

/// What became of an attempt to read.
pub(super) enum Received {
    /// So many bytes: a datagram, or a piece of the stream.
    Bytes(usize),
    /// Nothing at the moment.
    Nothing,
    /// The connection has ended.
    End,
}

impl Link {
    /// Begins to connect; [`Link::is_connected`] tells when it is done.
    pub(super) fn open(transport: Transport, collector: SocketAddr) -> io::Result<Self> {
        let (kind, protocol) = match transport {
            Transport::Udp => (Type::DGRAM, Protocol::UDP),
            Transport::Tcp => (Type::STREAM, Protocol::TCP),
        };
        let socket = Socket::new(Domain::for_address(collector), kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        let connecting = match socket.connect(&collector.into()) {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(IN_PROGRESS) => true,
            Err(error) => return Err(error),
        };
        if transport == Transport::Tcp {
            socket.set_tcp_nodelay(true)?;
        }
        Ok(Self { socket, transport, connecting, unsent: Vec::new() })
    }

    pub(super) const fn transport(&self) -> Transport {
        self.transport
    }

    pub(super) const fn is_connecting(&self) -> bool {
        self.connecting
    }

    /// True when bytes wait for the system to take them.
    pub(super) const fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// The socket can be written: a connection is made, or has failed.
    pub(super) fn finish_connecting(&mut self) -> io::Result<()> {
        self.connecting = false;
        self.socket.take_error()?.map_or(Ok(()), Err)
    }

    /// Sends what waited.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match (&self.socket).write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a datagram, or the next piece of the stream. A datagram that the system does not take is lost, as any may be.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.transport {
            Transport::Udp => {
                let _ = self.socket.send(bytes);
                Ok(())
            }
            Transport::Tcp => {
                self.unsent.extend_from_slice(bytes);
                self.flush()
            }
        }
    }

    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        match (&self.socket).read(buffer) {
            Ok(0) if self.transport == Transport::Tcp => Ok(Received::End),
            Ok(len) => Ok(Received::Bytes(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            // UDP: an earlier datagram found nobody at the port. The session's timers deal with silence.
            Err(_) if self.transport == Transport::Udp => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }
}

/// EINPROGRESS on Linux: a connection is being made.
const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
