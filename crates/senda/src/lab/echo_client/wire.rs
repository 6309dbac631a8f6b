//! A socket that never makes anybody wait: what can't be sent or received now is asked for again later.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::io::Interest;
use tokio::net::{TcpStream, UdpSocket};

use super::super::message::DATAGRAM_MAX;

/// Bytes for one read of a stream.
const READ_MAX: usize = 65_536;

enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

/// One message going out at a time, and what comes in.
pub(super) struct Wire {
    socket: Socket,
    /// What is left to send of the message that goes out; a datagram may be empty.
    outgoing: Option<Vec<u8>>,
    /// Bytes of a stream that are already sent of it.
    sent: usize,
    /// What came of a stream and was not handed out; at most one message and one read.
    incoming: Vec<u8>,
    /// Bytes of each message of a stream.
    message_len: usize,
    buffer: Vec<u8>,
}

impl Wire {
    pub(super) fn tcp(stream: TcpStream, message_len: usize) -> Self {
        // Best effort: a message should not wait for the next one.
        let _ = stream.set_nodelay(true);
        Self::new(Socket::Tcp(stream), message_len, READ_MAX)
    }

    pub(super) fn udp(socket: UdpSocket) -> Self {
        Self::new(Socket::Udp(socket), 0, DATAGRAM_MAX + 1)
    }

    fn new(socket: Socket, message_len: usize, buffer: usize) -> Self {
        let buffer = vec![0; buffer];
        Self { socket, outgoing: None, sent: 0, incoming: Vec::new(), message_len, buffer }
    }

    pub(super) const fn is_udp(&self) -> bool {
        matches!(self.socket, Socket::Udp(_))
    }

    pub(super) fn peer(&self) -> io::Result<SocketAddr> {
        match &self.socket {
            Socket::Tcp(stream) => stream.peer_addr(),
            Socket::Udp(socket) => socket.peer_addr(),
        }
    }

    /// Whether the last message is out.
    pub(super) const fn is_free(&self) -> bool {
        self.outgoing.is_none()
    }

    /// Takes a message; [`Wire::flush`] sends it.
    pub(super) fn put(&mut self, message: Vec<u8>) {
        self.outgoing = Some(message);
        self.sent = 0;
    }

    /// Sends as much as can be sent now. True when that was anything.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        let Some(message) = &self.outgoing else { return Ok(false) };
        let sent = match &self.socket {
            Socket::Tcp(stream) => stream.try_write(&message[self.sent..]),
            // A datagram goes whole or not at all.
            Socket::Udp(socket) => socket.try_send(message).map(|_| message.len()),
        };
        let Some(sent) = would_block(sent)? else { return Ok(false) };
        self.sent += sent;
        if self.sent >= message.len() {
            self.outgoing = None;
        }
        Ok(true)
    }

    /// Hands out what came, a message at a time; `None` when there is no whole one now. The end of a stream is an error.
    pub(super) fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let stream = match &self.socket {
            Socket::Udp(socket) => {
                let received = would_block(socket.try_recv(&mut self.buffer))?;
                return Ok(received.map(|len| self.buffer[..len].to_vec()));
            }
            Socket::Tcp(stream) => stream,
        };
        while self.incoming.len() < self.message_len {
            match would_block(stream.try_read(&mut self.buffer))? {
                Some(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Some(len) => self.incoming.extend_from_slice(&self.buffer[..len]),
                None => return Ok(None),
            }
        }
        let rest = self.incoming.split_off(self.message_len);
        Ok(Some(std::mem::replace(&mut self.incoming, rest)))
    }

    /// Bytes that came of a stream and are no whole answer, or not yet.
    pub(super) const fn unfinished(&self) -> usize {
        self.incoming.len()
    }

    /// Waits until there is something to receive, or to send if anything is left to.
    pub(super) async fn ready(&self) -> io::Result<()> {
        let writable = Interest::READABLE | Interest::WRITABLE;
        let interest = if self.is_free() { Interest::READABLE } else { writable };
        match &self.socket {
            Socket::Tcp(stream) => stream.ready(interest).await?,
            // An error, such as that nobody listens, is no reason to be readable: it is asked for by itself.
            Socket::Udp(socket) => {
                let ready = socket.ready(interest | Interest::ERROR).await?;
                if ready.is_error() {
                    take_error(socket)?;
                }
                ready
            }
        };
        Ok(())
    }
}

fn take_error(socket: &UdpSocket) -> io::Result<()> {
    // "Would block" is the word for the error having been taken.
    let taken: io::Result<()> = socket.try_io(Interest::ERROR, || {
        Err(socket.take_error()?.unwrap_or_else(|| ErrorKind::WouldBlock.into()))
    });
    would_block(taken).map(|_| ())
}

fn would_block<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
