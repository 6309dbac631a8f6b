//! One device, its virtual clock, and a collector that says what the test tells it to.

use std::time::Duration;

use senda_session::Instant;
use senda_session::device::{Config, Device, Event, SchemaId, Timer, Transport};
use senda_wire::registry::{MESSAGE_MAX, encoding};
use senda_wire::{
    Ack, ChannelSpec, Clock, Close, Declare, Durability, ErrorCode, Frame, Head, Hello, Identifier,
    Message, MessageType, Nack, Range, Ranges, Schema, Suite, ValueType, Welcome, Window,
};

/// The session that the scripted collector gives.
pub(crate) const SESSION: u32 = 0x51B2_7E04;
/// Rows of the bench's schema: one u32.
pub(crate) const ROW: [u8; 4] = [0, 0, 0, 7];

/// A message that the device sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) kind: MessageType,
    pub(crate) session: u32,
    pub(crate) seq: u32,
    pub(crate) flags: u8,
    /// The whole message.
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    pub(crate) fn frame(&self) -> Frame<'_> {
        Frame::decode(&self.bytes, MESSAGE_MAX).expect("the device sends whole messages")
    }

    pub(crate) fn message(&self) -> Message<'_> {
        Message::decode(&self.frame()).expect("the device sends right bodies")
    }

    pub(crate) fn hello(&self) -> Hello<'_> {
        match self.message() {
            Message::Hello(hello) => hello,
            other => panic!("HELLO expected, not {other:?}"),
        }
    }

    /// The seq of what answers this HELLO. Spec §5.2.
    pub(crate) fn answer_seq(&self) -> u32 {
        u32::try_from(self.hello().nonce & 0xFFFF_FFFF).unwrap()
    }

    /// Numbers of the rows, of what has rows.
    pub(crate) fn rows(&self) -> std::ops::Range<u32> {
        match self.message() {
            Message::Rows(data) | Message::Sparse(data) => {
                self.seq..self.seq + u32::from(data.head.count)
            }
            Message::Skip(skip) => self.seq..self.seq + skip.count,
            Message::Counts(_) => self.seq..self.seq + 1,
            other => panic!("rows expected, not {other:?}"),
        }
    }
}

/// See the module.
pub(crate) struct Bench {
    pub(crate) device: Device,
    pub(crate) schema: SchemaId,
    pub(crate) now: Instant,
    pub(crate) transport: Transport,
    pub(crate) session: u32,
    /// What the next WELCOME says.
    pub(crate) terms: Terms,
}

/// The parts of WELCOME that tests vary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) next_row: u32,
    pub(crate) high_row: u32,
    pub(crate) window_rows: u32,
    pub(crate) max_msg: u16,
    pub(crate) ack_every: u16,
    pub(crate) ack_delay_ms: u16,
    pub(crate) commit_interval_ms: u16,
    pub(crate) keepalive_s: u32,
    pub(crate) max_values: u32,
    pub(crate) encodings: u16,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            next_row: 0,
            high_row: 0,
            window_rows: 4_096,
            max_msg: 1_200,
            ack_every: 1,
            ack_delay_ms: 0,
            commit_interval_ms: 0,
            keepalive_s: 30,
            max_values: 16_384,
            encodings: encoding::ROWS | encoding::SPARSE,
        }
    }
}

/// A configuration with one u32 channel in mind.
pub(crate) fn config() -> Config {
    Config::new("gh-7")
}

/// The description of a schema with channels of these types.
pub(crate) fn description(name: &str, types: &[ValueType]) -> Vec<u8> {
    let names: Vec<String> = (0..types.len()).map(|number| format!("c{number}")).collect();
    let channels: Vec<ChannelSpec<'_>> = names
        .iter()
        .zip(types)
        .map(|(name, value_type)| ChannelSpec::new(Identifier::new(name).unwrap(), *value_type))
        .collect();
    let mut out = vec![0; 16_384];
    Schema::encode(Identifier::new(name).unwrap(), &channels, &mut out).unwrap().to_vec()
}

impl Bench {
    /// A device that has nothing yet.
    pub(crate) fn new(config: Config, transport: Transport) -> Self {
        let mut device = Device::new(config, [42; 32]).unwrap();
        let schema = device.declare(&description("bench", &[ValueType::U32])).unwrap();
        let now = Instant(1_000_000);
        let terms = Terms {
            max_msg: if transport == Transport::Tcp { 16_384 } else { 1_200 },
            ..Terms::default()
        };
        Self { device, schema, now, transport, session: SESSION, terms }
    }

    /// A UDP session that is open and whose schema is declared.
    pub(crate) fn udp() -> Self {
        Self::open(config(), Transport::Udp)
    }

    /// A TCP session likewise.
    pub(crate) fn tcp() -> Self {
        Self::open(config(), Transport::Tcp)
    }

    pub(crate) fn open(config: Config, transport: Transport) -> Self {
        let mut bench = Self::new(config, transport);
        bench.device.connect(bench.now, transport);
        bench.greet_and_declare();
        bench
    }

    /// Answers the HELLO that is due, the second time that it comes, and the DECLAREs that follow. So the session begins
    /// without a round trip. Spec §7.5a.
    pub(crate) fn greet_and_declare(&mut self) {
        self.hello();
        assert_eq!(self.fire().0, Timer::Hello);
        let hello = self.hello();
        self.welcome(&hello);
        self.declared();
        let _ = self.events();
    }

    /// The HELLO that is due.
    pub(crate) fn hello(&mut self) -> Sent {
        let sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert_eq!(sent[0].kind, MessageType::Hello);
        sent[0].clone()
    }

    pub(crate) fn welcome(&mut self, hello: &Sent) {
        let terms = self.terms;
        let welcome = Message::Welcome(Welcome {
            nonce: 1,
            next_row: terms.next_row,
            high_row: terms.high_row,
            server_time: 0,
            window_rows: terms.window_rows,
            max_msg: terms.max_msg,
            encodings: terms.encodings,
            durability: Durability::Fsync,
            suite: Suite::Open,
            commit_interval_ms: terms.commit_interval_ms,
            keepalive_s: terms.keepalive_s,
            ack_every: terms.ack_every,
            ack_delay_ms: terms.ack_delay_ms,
            max_channels: 256,
            max_schemas: 64,
            max_elements: 64,
            max_values: terms.max_values,
            max_decoded: 262_144,
            options: senda_wire::Options::default(),
        });
        self.say_in(self.session, hello.answer_seq(), &welcome);
    }

    /// Sends what is due, and answers each DECLARE that is whole.
    pub(crate) fn declared(&mut self) -> Vec<Sent> {
        let sent = self.sent();
        for declare in sent.iter().filter(|sent| sent.kind == MessageType::Declare) {
            let Message::Declare(Declare { part, parts, crc, .. }) = declare.message() else {
                unreachable!("it is a DECLARE")
            };
            if part + 1 == parts {
                self.say(declare.seq, &Message::Declared { crc });
            }
        }
        sent
    }

    /// Drains everything that the device sends now; each datagram obeys the limit.
    pub(crate) fn sent(&mut self) -> Vec<Sent> {
        let mut buffer = vec![0; 16_384];
        let mut sent = Vec::new();
        while let Some(len) = self.device.poll_transmit(self.now, &mut buffer) {
            assert!(self.transport == Transport::Tcp || len <= 1_200, "datagram of {len} bytes");
            let mut rest = &buffer[..len];
            while !rest.is_empty() {
                let frame = Frame::decode(rest, MESSAGE_MAX).expect("whole messages");
                sent.push(Sent {
                    kind: frame.message_type().unwrap(),
                    session: frame.session,
                    seq: frame.seq,
                    flags: frame.flags,
                    bytes: frame.bytes.to_vec(),
                });
                rest = &rest[frame.bytes.len()..];
            }
        }
        sent
    }

    /// Those of one type.
    pub(crate) fn sent_of(&mut self, kind: MessageType) -> Vec<Sent> {
        self.sent().into_iter().filter(|sent| sent.kind == kind).collect()
    }

    /// The rows of every ROWS that leaves now.
    pub(crate) fn sent_rows(&mut self) -> Vec<std::ops::Range<u32>> {
        self.sent_of(MessageType::Rows).iter().map(Sent::rows).collect()
    }

    /// A message of the collector in the session.
    pub(crate) fn say(&mut self, seq: u32, message: &Message<'_>) {
        self.say_in(self.session, seq, message);
    }

    pub(crate) fn say_in(&mut self, session: u32, seq: u32, message: &Message<'_>) {
        let mut buffer = vec![0; MESSAGE_MAX];
        let len = message.encode(Head { session, seq, flags: 0 }, &mut buffer).unwrap();
        self.device.handle_input(self.now, &buffer[..len]);
    }

    /// An ACK with the window of the terms.
    pub(crate) fn ack(&mut self, mark: u32) {
        self.ack_with(mark, self.terms.window_rows, 0, &[]);
    }

    pub(crate) fn ack_with(
        &mut self,
        mark: u32,
        window_rows: u32,
        retry_after_ms: u16,
        ranges: &[Range],
    ) {
        let mut room = [0; 512];
        let ranges = Ranges::build(mark, ranges, &mut room).unwrap();
        let window = Some(Window { window_rows, ack_delay_ms: 0, retry_after_ms, ranges });
        self.say(mark, &Message::Ack(Ack { window }));
    }

    pub(crate) fn nack(
        &mut self,
        sent: &Sent,
        code: ErrorCode,
        first: u32,
        count: u32,
        retry_after_ms: u32,
    ) {
        let refused_type = sent.kind.code();
        let nack = Nack { refused_type, code, first, count, retry_after_ms, text: "no" };
        self.say(sent.seq, &Message::Nack(nack));
    }

    pub(crate) fn close(&mut self, session: u32, code: ErrorCode, retry_after_ms: u32) {
        let close = Message::Close(Close { code, retry_after_ms, text: "" });
        self.say_in(session, 0, &close);
    }

    /// Queues rows; returns the numbers.
    pub(crate) fn push(&mut self, rows: u32) -> std::ops::Range<u32> {
        let first = self.device.next_row();
        for _ in 0..rows {
            let time = i64::try_from(self.now.0).unwrap();
            self.device.push(self.now, self.schema, Clock::UtcSynced, time, &ROW).unwrap();
        }
        first..self.device.next_row()
    }

    /// Queues rows, each with its message sent at once; returns what left.
    pub(crate) fn push_and_send(&mut self, messages: u32) -> Vec<Sent> {
        let mut sent = Vec::new();
        for _ in 0..messages {
            self.push(1);
            sent.extend(self.sent());
        }
        sent
    }

    pub(crate) fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some((at, _)) = self.device.poll_timeout().filter(|(at, _)| *at <= until) {
            self.now = at.max(self.now);
            self.device.handle_timeout(self.now);
        }
        self.now = until;
    }

    /// Goes to the next deadline and lets it happen; returns its owner and the time that passed.
    pub(crate) fn fire(&mut self) -> (Timer, Duration) {
        let (at, timer) = self.device.poll_timeout().expect("a timer runs");
        let passed = at.since(self.now);
        self.now = at.max(self.now);
        self.device.handle_timeout(self.now);
        (timer, passed)
    }

    /// Lets deadlines happen until one of this owner has; what is sent meanwhile is lost.
    pub(crate) fn fire_until(&mut self, wanted: Timer) -> Duration {
        let start = self.now;
        for _ in 0..100 {
            if self.fire().0 == wanted {
                return self.now.since(start);
            }
            let _ = self.sent();
        }
        panic!("{wanted:?} never fires");
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.device.poll_event()).collect()
    }
}
