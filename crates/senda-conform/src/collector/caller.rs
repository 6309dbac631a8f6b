//! One scripted device: it says what a scenario tells it to, and shows what it hears.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use senda_wire::MessageType;
use senda_wire::registry::{MESSAGE_MAX, flag};
use senda_wire::{Frame, FrameError, Message};

use crate::Transport;
use crate::message::{Seen, b_text, message, raw, rows_body};
use crate::notes::{Notes, Step};

/// What HELLO says, right or wrong. Spec §5.1.
#[derive(Clone, Debug)]
pub(super) struct HelloSketch {
    pub(super) next_row: u32,
    pub(super) oldest_row: u32,
    pub(super) keepalive_s: u32,
    pub(super) max_msg: u16,
    pub(super) ack_every: u16,
    pub(super) ack_delay_ms: u16,
    pub(super) suite: u8,
    pub(super) downlink: u8,
    pub(super) encodings: u16,
    pub(super) name: Vec<u8>,
    pub(super) options: Vec<u8>,
}

/// The device.
pub(super) struct Caller {
    link: Link,
    address: SocketAddr,
    pub(super) notes: Notes,
    pub(super) patience: Duration,
    pub(super) sketch: HelloSketch,
    pub(super) stream: u64,
    pub(super) nonce: u64,
    pub(super) session: u32,
    cookie: Vec<u8>,
    received: VecDeque<Seen>,
    /// What came while something else was waited for.
    pub(super) passed: Vec<Seen>,
    /// Bytes to the collector and back.
    pub(super) sent: usize,
    pub(super) heard: usize,
    /// The connection is over.
    pub(super) ended: bool,
    pings: u32,
}

enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
}

impl Caller {
    pub(super) fn new(
        notes: Notes,
        transport: Transport,
        address: SocketAddr,
        name: &str,
        patience: Duration,
    ) -> Step<Self> {
        let link = connect(transport, address, patience)
            .map_err(|error| notes.stop(format!("{} {address}: {error}", transport.name())))?;
        Ok(Self {
            link,
            address,
            notes,
            patience,
            sketch: HelloSketch {
                next_row: 0,
                oldest_row: 0,
                keepalive_s: 30,
                max_msg: 1_200,
                ack_every: 1,
                ack_delay_ms: 0,
                suite: 0,
                downlink: 0,
                encodings: 7,
                name: name.as_bytes().to_vec(),
                options: Vec::new(),
            },
            stream: rand::random(),
            nonce: rand::random(),
            session: 0,
            cookie: Vec::new(),
            received: VecDeque::new(),
            passed: Vec::new(),
            sent: 0,
            heard: 0,
            ended: false,
            pings: 0,
        })
    }

    /// The same device and session behind another port: a NAT forgot it. UDP only.
    pub(super) fn moved(&self) -> Step<Self> {
        let mut moved = self.again(Transport::Udp, self.address)?;
        moved.session = self.session;
        Ok(moved)
    }

    /// The same device and stream on a fresh socket or connection, with a new nonce and no session.
    pub(super) fn again(&self, transport: Transport, address: SocketAddr) -> Step<Self> {
        let mut again = Self::new(self.notes.clone(), transport, address, "", self.patience)?;
        again.sketch = self.sketch.clone();
        again.stream = self.stream;
        Ok(again)
    }

    pub(super) fn reconnected(&self) -> Step<Self> {
        self.again(self.transport(), self.address)
    }

    pub(super) fn transport(&self) -> Transport {
        match self.link {
            Link::Udp(_) => Transport::Udp,
            Link::Tcp(..) => Transport::Tcp,
        }
    }

    pub(super) fn is_udp(&self) -> bool {
        self.transport() == Transport::Udp
    }

    /// A HELLO with `cookie`. Spec §5.1.
    pub(super) fn hello(&self, cookie: &[u8]) -> Vec<u8> {
        let sketch = &self.sketch;
        let mut body = self.stream.to_be_bytes().to_vec();
        body.extend(self.nonce.to_be_bytes());
        body.extend(sketch.next_row.to_be_bytes());
        body.extend(sketch.oldest_row.to_be_bytes());
        body.extend(sketch.keepalive_s.to_be_bytes());
        body.extend(sketch.max_msg.to_be_bytes());
        body.extend(sketch.ack_every.to_be_bytes());
        body.extend(sketch.ack_delay_ms.to_be_bytes());
        body.extend([sketch.suite, sketch.downlink]);
        body.extend(sketch.encodings.to_be_bytes());
        body.extend([0; 8]); // config_rev, last_command_id
        body.extend(b_text(&sketch.name));
        body.extend(b_text(cookie));
        body.extend(&sketch.options);
        message(MessageType::Hello, 0, 0, &body)
    }

    /// The seq of what answers its HELLO. Spec §5.2b.
    pub(super) fn answer_seq(&self) -> u32 {
        let [_, _, _, _, a, b, c, d] = self.nonce.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// HELLO until WELCOME. Spec §6.3.
    pub(super) fn join(&mut self) -> Step<Seen> {
        if self.is_udp() {
            self.fetch_cookie()?;
        }
        self.send_raw(&self.hello(&self.cookie));
        let seq = self.answer_seq();
        let welcome = self.expect("1a", "WELCOME for a good HELLO", |seen| {
            seen.is(MessageType::Welcome) && seen.seq == seq
        })?;
        self.session = welcome.session;
        Ok(welcome)
    }

    /// HELLO without a cookie, and the one that comes back.
    pub(super) fn fetch_cookie(&mut self) -> Step<Seen> {
        self.send_raw(&self.hello(&[]));
        let seq = self.answer_seq();
        let retry = self.expect("1a", "RETRY for a HELLO without a cookie", |seen| {
            seen.is(MessageType::Retry) && seen.seq == seq
        })?;
        if let Ok(Message::Retry { cookie }) = retry.message() {
            self.cookie = cookie.to_vec();
        }
        Ok(retry)
    }

    /// The HELLO that was welcomed.
    pub(super) fn last_hello(&self) -> Vec<u8> {
        self.hello(&self.cookie)
    }

    /// DECLARE in as few parts as a datagram allows, then DECLARED. Spec §5.4.
    pub(super) fn declare(&mut self, id: u32, description: &[u8]) -> Step {
        self.send_declare(id, description);
        let answer = self.expect("1a", "DECLARED for a good DECLARE", |seen| {
            (seen.is(MessageType::Declared) || seen.is(MessageType::Nack)) && seen.seq == id
        })?;
        let crc = senda_wire::crc32(description).to_be_bytes();
        if !answer.is(MessageType::Declared) || answer.body != crc {
            let came = format!("{answer} for {description:02x?}");
            return Err(self.notes.stop_failed("1a", "DECLARED with the description's CRC", came));
        }
        Ok(())
    }

    pub(super) fn send_declare(&mut self, id: u32, description: &[u8]) {
        let parts: Vec<&[u8]> = description.chunks(1_100).collect();
        for (number, part) in parts.iter().enumerate() {
            let byte = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
            let mut body = vec![byte(number), byte(parts.len())];
            body.extend(senda_wire::crc32(description).to_be_bytes());
            body.extend(*part);
            self.send(MessageType::Declare, id, &body);
        }
    }

    /// A message of its session.
    pub(super) fn send(&mut self, kind: MessageType, seq: u32, body: &[u8]) {
        self.send_raw(&message(kind, self.session, seq, body));
    }

    /// Rows of schema 0, one u8 each, with ACK_NOW.
    pub(super) fn send_rows(&mut self, first: u32, rows: &[&[u8]]) {
        let body = rows_body(0, rows);
        self.send_raw(&raw(flag::ACK_NOW, MessageType::Rows.code(), self.session, first, &body));
    }

    /// The same, and the ACK that passes them.
    pub(super) fn store_rows(&mut self, first: u32, rows: &[&[u8]]) -> Step<Seen> {
        self.send_rows(first, rows);
        let end = first + u32::try_from(rows.len()).unwrap_or(0);
        self.expect_ack("1a", end)
    }

    /// An ACK whose cumulative seq is `end`.
    pub(super) fn expect_ack(&mut self, label: &'static str, end: u32) -> Step<Seen> {
        self.expect(label, &format!("ACK with seq {end}"), |seen| {
            seen.is(MessageType::Ack) && seen.seq == end
        })
    }

    /// A NACK with `code` for the message `seq`.
    pub(super) fn expect_nack(&mut self, label: &'static str, seq: u32, code: u16) -> Step<Seen> {
        self.expect(label, &format!("NACK {code} for the message with seq {seq}"), |seen| {
            seen.seq == seq && seen.nack().is_some_and(|nack| nack.1 == code)
        })
    }

    /// A CLOSE with `code`.
    pub(super) fn expect_close(&mut self, label: &'static str, code: u16) -> Step<Seen> {
        self.expect(label, &format!("CLOSE {code}"), |seen| seen.close() == Some(code))
    }

    /// Any bytes, as one datagram.
    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        self.sent += bytes.len();
        // What a closed connection does not take is missed where its answer is.
        let _ = match &mut self.link {
            Link::Udp(socket) => socket.send(bytes).map(|_| ()),
            Link::Tcp(stream, _) => stream.write_all(bytes),
        };
    }

    /// No more bytes from here.
    pub(super) fn stop_sending(&self) {
        if let Link::Tcp(stream, _) = &self.link {
            // A connection that is over has stopped already.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    /// Waits for the message that `wanted` describes; others are kept in `passed`. If it does not come, `label` fails.
    pub(super) fn expect(
        &mut self,
        label: &'static str,
        expected: &str,
        wanted: impl Fn(&Seen) -> bool,
    ) -> Step<Seen> {
        let deadline = Instant::now() + self.patience;
        let from = self.passed.len();
        while let Some(seen) = self.receive(deadline) {
            if wanted(&seen) {
                return Ok(seen);
            }
            self.passed.push(seen);
        }
        let came: Vec<String> = self.passed[from..].iter().map(ToString::to_string).collect();
        let end = if self.ended { "; then the connection ended" } else { "" };
        let came = if came.is_empty() { "nothing".to_owned() } else { came.join("; ") };
        Err(self.notes.stop_failed(label, expected, format!("{came}{end}")))
    }

    /// Everything that comes before the answer to a PING: what was sent before it has been dealt with then.
    pub(super) fn settle(&mut self) -> Step<Vec<Seen>> {
        self.pings += 1;
        let seq = 0x5E00_0000 + self.pings;
        let token = rand::random::<u64>().to_be_bytes();
        self.passed.clear();
        self.send(MessageType::Ping, seq, &token);
        self.expect("5.23a", "PONG with the seq and token of its PING", |seen| {
            seen.is(MessageType::Pong) && seen.seq == seq && seen.body == token
        })?;
        Ok(std::mem::take(&mut self.passed))
    }

    /// Everything that comes before the answer to a HELLO without a cookie. UDP only.
    pub(super) fn settle_as_a_stranger(&mut self) -> Step<Vec<Seen>> {
        self.nonce = rand::random();
        self.passed.clear();
        self.fetch_cookie()?;
        Ok(std::mem::take(&mut self.passed))
    }

    /// True once the collector has closed the connection.
    pub(super) fn has_been_closed(&mut self) -> bool {
        let deadline = Instant::now() + self.patience;
        while !self.ended {
            match self.receive(deadline) {
                Some(seen) => self.passed.push(seen),
                None => break,
            }
        }
        self.ended
    }

    /// The next message; `None` at the deadline, and at the end of a connection.
    pub(super) fn receive(&mut self, deadline: Instant) -> Option<Seen> {
        loop {
            if let Some(seen) = self.received.pop_front() {
                return Some(seen);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.ended || left.is_zero() {
                return None;
            }
            self.read(left);
        }
    }

    fn read(&mut self, left: Duration) {
        let mut buffer = vec![0; MESSAGE_MAX];
        match &mut self.link {
            Link::Udp(socket) => {
                // Fails for zero only.
                let _ = socket.set_read_timeout(Some(left));
                // A time-out, or an ICMP error that proves nothing.
                let Ok(len) = socket.recv(&mut buffer) else { return };
                self.heard += len;
                let max = usize::from(self.sketch.max_msg.max(256));
                self.notes.observe_datagram(&buffer[..len], max);
                let mut rest = &buffer[..len];
                while !rest.is_empty() {
                    match Frame::decode_datagram(rest) {
                        Ok(frame) => {
                            rest = &rest[frame.bytes.len()..];
                            self.received.push_back(observed(&self.notes, &frame));
                        }
                        Err(error) => return self.noise(rest, error),
                    }
                }
            }
            Link::Tcp(stream, bytes) => {
                let _ = stream.set_read_timeout(Some(left));
                match stream.read(&mut buffer) {
                    Ok(0) => self.ended = true,
                    Ok(len) => bytes.extend(&buffer[..len]),
                    Err(error) => match error.kind() {
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                        _ => self.ended = true,
                    },
                }
                loop {
                    match Frame::decode(bytes, MESSAGE_MAX) {
                        Ok(frame) => {
                            let len = frame.bytes.len();
                            self.received.push_back(observed(&self.notes, &frame));
                            self.heard += len;
                            bytes.drain(..len);
                        }
                        Err(FrameError::Incomplete { .. }) => return,
                        Err(error) => {
                            let rest = std::mem::take(bytes);
                            self.ended = true;
                            return self.noise(&rest, error);
                        }
                    }
                }
            }
        }
    }

    /// Bytes that are no message of this version.
    fn noise(&mut self, bytes: &[u8], error: FrameError) {
        self.notes.observe_noise(bytes, &error.to_string());
    }
}

fn observed(notes: &Notes, frame: &Frame<'_>) -> Seen {
    let seen = Seen::new(frame, Instant::now());
    notes.observe(&seen);
    seen
}

fn connect(
    transport: Transport,
    address: SocketAddr,
    patience: Duration,
) -> Result<Link, std::io::Error> {
    Ok(match transport {
        Transport::Udp => {
            let any: IpAddr = match address {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(address)?;
            Link::Udp(socket)
        }
        Transport::Tcp => {
            let stream = TcpStream::connect_timeout(&address, patience)?;
            stream.set_nodelay(true)?;
            Link::Tcp(stream, Vec::new())
        }
    })
}
