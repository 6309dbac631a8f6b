//! The socket that the scripted collector listens on: messages come out of it, bytes go in.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use senda_wire::registry::MESSAGE_MAX;
use senda_wire::{Frame, FrameError};

use crate::Transport;
use crate::message::Seen;
use crate::notes::Notes;

/// One address, one device.
pub(super) enum Port {
    Udp { socket: UdpSocket, device: Option<SocketAddr> },
    Tcp { listener: TcpListener, connection: Option<(TcpStream, Vec<u8>)> },
}

/// What happened at it.
pub(super) enum Event {
    Message(Seen),
    /// The device closed its connection.
    Hangup,
}

/// Between two looks at a listener and its connection.
const LOOK: Duration = Duration::from_millis(5);

impl Port {
    pub(super) fn open(transport: Transport) -> Result<Self, std::io::Error> {
        let any = (Ipv4Addr::LOCALHOST, 0);
        Ok(match transport {
            Transport::Udp => Self::Udp { socket: UdpSocket::bind(any)?, device: None },
            Transport::Tcp => {
                let listener = TcpListener::bind(any)?;
                listener.set_nonblocking(true)?;
                Self::Tcp { listener, connection: None }
            }
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        let address = match self {
            Self::Udp { socket, .. } => socket.local_addr(),
            Self::Tcp { listener, .. } => listener.local_addr(),
        };
        // Bound sockets have one.
        address.unwrap_or_else(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Any bytes, as one datagram.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        // What a device that is gone does not take is missed where its answer is.
        match self {
            Self::Udp { socket, device } => {
                let _ = device.map(|device| socket.send_to(bytes, device));
            }
            Self::Tcp { connection, .. } => {
                let _ = connection.as_mut().map(|(stream, _)| stream.write_all(bytes));
            }
        }
    }

    /// Says no more on the connection; the listener stays. Nothing on UDP. It is read until the device comes back: to
    /// drop bytes unread would reset it, and take what was just said along.
    pub(super) fn hang_up(&mut self) {
        if let Self::Tcp { connection: Some((stream, _)), .. } = self {
            // A connection that is over has stopped already.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    /// Waits for bytes until `deadline`, and adds what they hold to `events`.
    pub(super) fn read(
        &mut self,
        deadline: Instant,
        max_datagram: usize,
        notes: &Notes,
        events: &mut Vec<Event>,
    ) {
        let left = deadline.saturating_duration_since(Instant::now());
        match self {
            Self::Udp { socket, device } => {
                read_datagram(socket, device, left.max(LOOK), max_datagram, notes, events);
            }
            Self::Tcp { listener, connection } => {
                if let Ok((stream, _)) = listener.accept() {
                    // They fail for a connection that is over, which shows when it is read.
                    let _ = stream.set_nonblocking(false);
                    let _ = stream.set_nodelay(true);
                    *connection = Some((stream, Vec::new()));
                }
                let Some((stream, bytes)) = connection else {
                    return std::thread::sleep(LOOK);
                };
                if read_stream(stream, bytes, notes, events) {
                    *connection = None;
                    events.push(Event::Hangup);
                }
            }
        }
    }
}

fn read_datagram(
    socket: &UdpSocket,
    device: &mut Option<SocketAddr>,
    left: Duration,
    max: usize,
    notes: &Notes,
    events: &mut Vec<Event>,
) {
    let mut buffer = vec![0; MESSAGE_MAX];
    // Fails for zero only.
    let _ = socket.set_read_timeout(Some(left));
    let Ok((len, from)) = socket.recv_from(&mut buffer) else { return };
    let at = Instant::now();
    *device = Some(from);
    notes.observe_datagram(&buffer[..len], max);
    let mut rest = &buffer[..len];
    while !rest.is_empty() {
        match Frame::decode_datagram(rest) {
            Ok(frame) => {
                rest = &rest[frame.bytes.len()..];
                events.push(observed(notes, &frame, at));
            }
            Err(error) => return notes.observe_noise(rest, &error.to_string()),
        }
    }
}

/// True at the end of the connection.
fn read_stream(
    stream: &mut TcpStream,
    bytes: &mut Vec<u8>,
    notes: &Notes,
    events: &mut Vec<Event>,
) -> bool {
    let mut buffer = [0; 16_384];
    let _ = stream.set_read_timeout(Some(LOOK));
    match stream.read(&mut buffer) {
        Ok(0) => return true,
        Ok(len) => bytes.extend(&buffer[..len]),
        Err(error) => {
            let waits = [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted];
            return !waits.contains(&error.kind());
        }
    }
    let at = Instant::now();
    loop {
        match Frame::decode(bytes, MESSAGE_MAX) {
            Ok(frame) => {
                let len = frame.bytes.len();
                events.push(observed(notes, &frame, at));
                bytes.drain(..len);
            }
            Err(FrameError::Incomplete { .. }) => return false,
            Err(error) => {
                notes.observe_noise(bytes, &error.to_string());
                return true;
            }
        }
    }
}

fn observed(notes: &Notes, frame: &Frame<'_>, at: Instant) -> Event {
    let seen = Seen::new(frame, at);
    notes.observe(&seen);
    Event::Message(seen)
}
