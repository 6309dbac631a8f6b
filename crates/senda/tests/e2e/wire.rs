//! Senda/1 as `spec/senda-1.md` has it, with the standard library alone: what these tests send, byte by byte, is the
//! specification's and nobody else's.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::processes::PATIENCE;

// Spec §5.
pub(crate) const HELLO: u8 = 0x01;
pub(crate) const RETRY: u8 = 0x02;
pub(crate) const WELCOME: u8 = 0x03;
pub(crate) const DECLARE: u8 = 0x04;
pub(crate) const DECLARED: u8 = 0x05;
pub(crate) const CLOSE: u8 = 0x0F;
pub(crate) const ROWS: u8 = 0x10;
pub(crate) const SPARSE: u8 = 0x11;
pub(crate) const COLUMNS: u8 = 0x12;
pub(crate) const ACK: u8 = 0x20;
pub(crate) const NACK: u8 = 0x21;
pub(crate) const CONFIG: u8 = 0x30;
pub(crate) const COMMAND: u8 = 0x31;
pub(crate) const ALERT: u8 = 0x32;
pub(crate) const DONE: u8 = 0x3F;
pub(crate) const PING: u8 = 0x42;
pub(crate) const PONG: u8 = 0x43;

/// CRC-32 of IEEE 802.3. Spec §3.3.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}

/// A message with CRC. Spec §3.2, §3.3.
pub(crate) fn message(kind: u8, session: u32, seq: u32, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(12 + body.len() + 4).expect("a message");
    let mut bytes = vec![0xA1, kind];
    bytes.extend(length.to_be_bytes());
    bytes.extend(session.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(body);
    sealed_by_crc(bytes)
}

/// What a CRC-32 makes a message.
pub(crate) fn sealed_by_crc(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32(&bytes);
    bytes.extend(crc.to_be_bytes());
    bytes
}

/// A length byte, then the text. Spec §3.1.
pub(crate) fn b_text(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).expect("a short text")];
    bytes.extend(text.as_bytes());
    bytes
}

/// A schema of u8 channels. Spec §4.2.
pub(crate) fn u8_channels(schema: &str, channels: u16) -> Vec<u8> {
    let mut bytes = b_text(schema);
    bytes.extend(channels.to_be_bytes());
    for channel in 0..channels {
        bytes.extend([0x02, 0, 0, 1, 0, 0]);
        bytes.extend(b_text(&format!("c{channel}")));
        bytes.extend(b_text(""));
    }
    bytes
}

/// The smallest schema there is.
pub(crate) fn one_u8_channel(schema: &str) -> Vec<u8> {
    u8_channels(schema, 1)
}

/// ROWS by a clock that is right. Spec §5.7.
pub(crate) fn rows_body(schema: u16, rows: &[&[u8]]) -> Vec<u8> {
    let mut bytes = rows_head(schema, u16::try_from(rows.len()).expect("a few rows"));
    for (row, offset) in rows.iter().zip(0_u32..) {
        if rows.len() > 1 {
            bytes.extend((offset * 1_000_000).to_be_bytes());
        }
        bytes.extend(*row);
    }
    bytes
}

/// Schema, kind of clock and count, and 2026-01-01T00:00:00Z in microseconds.
pub(crate) fn rows_head(schema: u16, count: u16) -> Vec<u8> {
    let mut bytes = schema.to_be_bytes().to_vec();
    bytes.extend((3 << 14 | count).to_be_bytes());
    bytes.extend(1_767_225_600_000_000_i64.to_be_bytes());
    bytes
}

/// A message that came. Spec §3.2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) session: u32,
    pub(crate) seq: u32,
    pub(crate) body: Vec<u8>,
    /// Of the whole message.
    pub(crate) len: usize,
}

impl Message {
    /// The first message of `bytes` if it is whole; anything that a collector must not send is a panic.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; 12] = bytes.first_chunk()?;
        assert_eq!(header[0] & 0xF7, 0xA1, "magic 0xA, CRC, and at most MORE: {header:02x?}");
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let (content, crc) = bytes.get(..len)?.split_last_chunk::<4>()?;
        assert_eq!(u32::from_be_bytes(*crc), crc32(content), "CRC");
        Some(Self {
            kind: header[1],
            session: be32(&header[4..8]),
            seq: be32(&header[8..12]),
            body: content[12..].to_vec(),
            len,
        })
    }
}

/// The code of a CLOSE. Spec §5.6.
pub(crate) fn close_code(close: &Message) -> u16 {
    u16::from_be_bytes([close.body[0], close.body[1]])
}

/// The code of a NACK. Spec §5.14.
pub(crate) fn nack_code(nack: &Message) -> u16 {
    u16::from_be_bytes([nack.body[1], nack.body[2]])
}

pub(crate) fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

/// A device, or somebody who claims to be one.
pub(crate) struct Device {
    link: Link,
    name: String,
    pub(crate) stream: u64,
    pub(crate) nonce: u64,
    pub(crate) session: u32,
    pub(crate) ack_every: u16,
    pub(crate) ack_delay_ms: u16,
    /// What it takes from the collector. Spec §12.2.
    pub(crate) downlink: u8,
    pub(crate) last_command_id: u32,
    /// Received and not taken.
    received: VecDeque<Message>,
    pings: u32,
}

enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
}

impl Device {
    pub(crate) fn udp(collector: SocketAddr, name: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.connect(collector).expect("an address");
        socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Self::new(Link::Udp(socket), name)
    }

    pub(crate) fn tcp(collector: SocketAddr, name: &str) -> Self {
        let stream = TcpStream::connect(collector).expect("it listens");
        stream.set_nodelay(true).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Self::new(Link::Tcp(stream, Vec::new()), name)
    }

    fn new(link: Link, name: &str) -> Self {
        static STREAMS: AtomicU64 = AtomicU64::new(0);
        let stream = 0x5EDA_0000_0000_0000 + STREAMS.fetch_add(1, Ordering::Relaxed);
        Self {
            link,
            name: name.to_owned(),
            stream,
            nonce: stream.rotate_left(32),
            session: 0,
            ack_every: 1,
            ack_delay_ms: 0,
            downlink: 0,
            last_command_id: 0,
            received: VecDeque::new(),
            pings: 0,
        }
    }

    pub(crate) fn is_udp(&self) -> bool {
        matches!(self.link, Link::Udp(_))
    }

    /// Its HELLO. Spec §5.1.
    pub(crate) fn hello(&self, cookie: &[u8]) -> Vec<u8> {
        let mut body = self.stream.to_be_bytes().to_vec();
        body.extend(self.nonce.to_be_bytes());
        body.extend([0; 8]); // next_row, oldest_row
        body.extend(30_u32.to_be_bytes());
        body.extend(1_200_u16.to_be_bytes());
        body.extend(self.ack_every.to_be_bytes());
        body.extend(self.ack_delay_ms.to_be_bytes());
        body.extend([0, self.downlink]); // suite OPEN
        body.extend(7_u16.to_be_bytes());
        body.extend([0; 4]); // config_rev
        body.extend(self.last_command_id.to_be_bytes());
        body.extend(b_text(&self.name));
        body.push(u8::try_from(cookie.len()).expect("a cookie"));
        body.extend(cookie);
        message(HELLO, 0, 0, &body)
    }

    /// HELLO until WELCOME. Spec §6.3.
    pub(crate) fn join(&mut self) -> Message {
        self.send_raw(&self.hello(&[]));
        let mut answer = self.receive().expect("an answer to HELLO");
        if self.is_udp() {
            assert_eq!(answer.kind, RETRY, "{answer:?}");
            self.send_raw(&self.hello(&answer.body[1..]));
            answer = self.receive().expect("an answer to HELLO");
        }
        assert_eq!(answer.kind, WELCOME, "{answer:?}");
        assert_eq!(u64::from(answer.seq), self.nonce & 0xFFFF_FFFF, "the nonce's low half");
        self.session = answer.session;
        answer
    }

    /// DECLARE in as many parts as it takes, then DECLARED. Spec §5.4.
    pub(crate) fn declare(&mut self, id: u32, description: &[u8]) {
        self.send_declare(id, description);
        let answer = self.receive().expect("an answer to DECLARE");
        assert_eq!((answer.kind, answer.seq), (DECLARED, id), "{answer:?}");
        assert_eq!(answer.body, crc32(description).to_be_bytes());
    }

    pub(crate) fn send_declare(&mut self, id: u32, description: &[u8]) {
        let parts: Vec<&[u8]> = description.chunks(1_000).collect();
        let count = u8::try_from(parts.len()).expect("few parts");
        for (part, number) in parts.iter().zip(0..) {
            let mut body = vec![number, count];
            body.extend(crc32(description).to_be_bytes());
            body.extend(*part);
            self.send(DECLARE, id, &body);
        }
    }

    /// A message of its session.
    pub(crate) fn send(&mut self, kind: u8, seq: u32, body: &[u8]) {
        self.send_raw(&message(kind, self.session, seq, body));
    }

    /// Any bytes, as one datagram.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        match &mut self.link {
            Link::Udp(socket) => {
                socket.send(bytes).expect("loopback takes it");
            }
            Link::Tcp(stream, _) => stream.write_all(bytes).expect("a connection"),
        }
    }

    /// No more bytes from here: what is half a message stays half a message.
    pub(crate) fn stop_sending(&self) {
        if let Link::Tcp(stream, _) = &self.link {
            stream.shutdown(std::net::Shutdown::Write).expect("a connection");
        }
    }

    /// The next message; `None` at the end of a connection.
    pub(crate) fn receive(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.received.pop_front() {
                return Some(message);
            }
            if self.read() == 0 {
                return None;
            }
        }
    }

    /// Everything that comes before the answer to a PING: what was sent before it has been dealt with then.
    pub(crate) fn messages_before_a_pong(&mut self) -> Vec<Message> {
        self.pings += 1;
        let seq = self.pings;
        self.send(PING, seq, b"eight by");
        let mut before = Vec::new();
        loop {
            let message = self.receive().unwrap_or_else(|| panic!("the end, after {before:?}"));
            if (message.kind, message.seq) == (PONG, seq) {
                assert_eq!(message.body, b"eight by");
                return before;
            }
            before.push(message);
        }
    }

    /// Reads what is there into `received`; 0 at the end of a connection.
    fn read(&mut self) -> usize {
        let mut buffer = [0; 65_536];
        match &mut self.link {
            Link::Udp(socket) => {
                let len = uninterrupted(|| socket.recv(&mut buffer)).unwrap_or_else(|error| {
                    panic!("no answer in time: {error}, after {:?}", self.received)
                });
                assert!(len <= 1_200, "spec §3.4");
                let mut rest = &buffer[..len];
                while !rest.is_empty() {
                    let message = Message::read(rest).expect("whole messages alone");
                    rest = &rest[message.len..];
                    self.received.push_back(message);
                }
                len
            }
            Link::Tcp(stream, bytes) => {
                let len = match uninterrupted(|| stream.read(&mut buffer)) {
                    Ok(len) => len,
                    // Closed while bytes of ours were on their way.
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                    Err(error) => panic!("no answer in time: {error}"),
                };
                bytes.extend(&buffer[..len]);
                while let Some(message) = Message::read(bytes) {
                    bytes.drain(..message.len);
                    self.received.push_back(message);
                }
                len
            }
        }
    }
}

/// Reads again after a signal.
fn uninterrupted(mut read: impl FnMut() -> std::io::Result<usize>) -> std::io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
