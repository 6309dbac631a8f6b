//! A device that says exactly what a test tells it to.

use senda_session::collector::Peer;
use senda_wire::registry::encoding;
use senda_wire::{
    ChannelSpec, Clock, Data, DataHead, Declare, DeviceName, Done, DoneStatus, Head, Hello,
    Identifier, List, Message, MessageType, Options, Schema, Skip, Suite, ValueType, Welcome,
    crc32,
};

use super::rig::{Got, Rig, at};

/// A device on one transport. Its schema 0 has a u32 and a bool: 5 bytes a row, and bad values are easy.
#[derive(Clone, Copy)]
pub struct Script {
    pub peer: Peer,
    pub session: u32,
    pub hello: Hello<'static>,
}

impl Script {
    pub fn new(name: &'static str, stream: u64, peer: Peer) -> Self {
        let hello = Hello {
            stream,
            nonce: 0x1111_0000_0000_0000_u64.wrapping_add(stream),
            next_row: 0,
            oldest_row: 0,
            keepalive_s: 30,
            max_msg: 1_200,
            ack_every: 1,
            ack_delay_ms: 0,
            suite: Suite::Open,
            downlink: 0,
            encodings: encoding::ROWS | encoding::SPARSE,
            config_rev: 0,
            last_command_id: 0,
            device: DeviceName::new(name).unwrap(),
            cookie: &[],
            options: Options::default(),
        };
        Self { peer, session: 0, hello }
    }

    /// On UDP, with an open session and schema 0 declared.
    pub fn udp(rig: &mut Rig, name: &'static str, stream: u64, port: u16) -> Self {
        Self::new(name, stream, at(port)).ready(rig)
    }

    /// On a connection, with an open session and schema 0 declared.
    pub fn tcp(rig: &mut Rig, name: &'static str, stream: u64, connection: u64) -> Self {
        let peer = rig.connect(connection);
        Self::new(name, stream, peer).ready(rig)
    }

    /// Opens a session and declares schema 0.
    pub fn ready(mut self, rig: &mut Rig) -> Self {
        self.open(rig);
        self.declare(rig);
        rig.commit();
        rig.got();
        rig.events.clear();
        self
    }

    pub fn say(&self, rig: &mut Rig, bytes: &[u8]) {
        rig.say(self.peer, bytes);
    }

    pub fn hello_bytes(&self) -> Vec<u8> {
        message(0, 0, &Message::Hello(self.hello))
    }

    /// On UDP: says HELLO without a cookie and keeps what RETRY brings.
    pub fn fetch_cookie(&mut self, rig: &mut Rig) {
        self.hello.cookie = &[];
        self.say(rig, &self.hello_bytes());
        let retry = rig.only();
        let Message::Retry { cookie } = retry.message else {
            panic!("not a RETRY: {retry:#?}");
        };
        self.hello.cookie = cookie;
    }

    /// The whole handshake; the WELCOME.
    pub fn open(&mut self, rig: &mut Rig) -> Welcome<'static> {
        rig.got();
        if matches!(self.peer, Peer::Udp { .. }) {
            self.fetch_cookie(rig);
        }
        self.say(rig, &self.hello_bytes());
        rig.commit();
        let got = rig.got();
        let (session, welcome) = got.iter().find_map(welcome_of).expect("a WELCOME");
        self.session = session;
        welcome
    }

    /// Comes back with a new nonce.
    pub fn reopen(&mut self, rig: &mut Rig) -> Welcome<'static> {
        self.hello.nonce += 0x1_0000;
        self.open(rig)
    }

    pub fn declare(&self, rig: &mut Rig) {
        for part in declare(self.session, 0, &schema(), 1) {
            self.say(rig, &part);
        }
    }

    /// ROWS whose values are their own numbers.
    pub fn rows(&self, first: u32, count: u16) -> Vec<u8> {
        self.rows_with(first, count, &[], 0)
    }

    /// The same; the rows at these indexes have a bool of 2.
    pub fn rows_with(&self, first: u32, count: u16, bad: &[u16], flags: u8) -> Vec<u8> {
        let body = rows_body(first, count, bad);
        raw(MessageType::Rows.code(), self.session, first, flags, &body)
    }

    pub fn send_rows(&self, rig: &mut Rig, first: u32, count: u16) {
        self.say(rig, &self.rows(first, count));
    }

    pub fn send(&self, rig: &mut Rig, seq: u32, what: &Message<'_>) {
        self.say(rig, &message(self.session, seq, what));
    }

    pub fn skip(&self, rig: &mut Rig, first: u32, count: u32, cause: u8) {
        self.send(rig, first, &Message::Skip(Skip { count, cause }));
    }

    pub fn done(&self, rig: &mut Rig, number: u32, answered: MessageType, id: u32) {
        let status = DoneStatus::Ok;
        let done = Done { answered, id, status, text: "", results: List::default() };
        self.send(rig, number, &Message::Done(done));
    }
}

pub fn welcome_of(got: &Got) -> Option<(u32, Welcome<'static>)> {
    match got.message {
        Message::Welcome(welcome) => Some((got.session, welcome)),
        _ => None,
    }
}

pub fn message(session: u32, seq: u32, message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 65_535];
    let len = message.encode(Head { session, seq, flags: 0 }, &mut bytes).expect("a valid message");
    bytes.truncate(len);
    bytes
}

/// A message with any body; header and CRC are right.
pub fn raw(code: u8, session: u32, seq: u32, flags: u8, body: &[u8]) -> Vec<u8> {
    raw_as(0xA1 | flags, code, session, seq, body)
}

/// The same with any first byte.
pub fn raw_as(first: u8, code: u8, session: u32, seq: u32, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(12 + body.len() + 4).unwrap();
    let mut bytes = vec![first, code];
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(&session.to_be_bytes());
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(body);
    let crc = crc32(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// Body of ROWS of schema 0: each value is the row's number.
pub fn rows_body(first: u32, count: u16, bad: &[u16]) -> Vec<u8> {
    let mut rows = Vec::new();
    for index in 0..count {
        if count > 1 {
            rows.extend_from_slice(&(u32::from(index) * 1_000).to_be_bytes());
        }
        rows.extend_from_slice(&(first + u32::from(index)).to_be_bytes());
        rows.push(if bad.contains(&index) { 2 } else { 1 });
    }
    let head = DataHead { schema: 0, clock: Clock::UtcSynced, count, t0: 1_767_225_600_000_000 };
    let bytes = message(1, first, &Message::Rows(Data { head, rows: &rows }));
    bytes[12..bytes.len() - 4].to_vec()
}

/// Description of schema 0.
pub fn schema() -> Vec<u8> {
    schema_named("reading")
}

pub fn schema_named(name: &str) -> Vec<u8> {
    let channel = |name, kind| ChannelSpec::new(Identifier::new(name).unwrap(), kind);
    let channels = [channel("number", ValueType::U32), channel("good", ValueType::Bool)];
    let mut out = [0; 256];
    Schema::encode(Identifier::new(name).unwrap(), &channels, &mut out).unwrap().to_vec()
}

/// DECLARE of a description in so many parts.
pub fn declare(session: u32, id: u32, description: &[u8], parts: usize) -> Vec<Vec<u8>> {
    let crc = crc32(description);
    let size = description.len().div_ceil(parts);
    let count = u8::try_from(description.chunks(size).count()).unwrap();
    let part = |(part, bytes)| {
        message(session, id, &Message::Declare(Declare { part, parts: count, crc, bytes }))
    };
    (0..).zip(description.chunks(size)).map(part).collect()
}
