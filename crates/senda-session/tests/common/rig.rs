//! One engine and one store in virtual time. Whatever a test does, no ACK that is not covered by the store goes out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use senda_session::Instant;
use senda_session::collector::{Collector, Config, Event, Notice, Now, Outcome, Peer, Transmit};
use senda_wire::registry::MESSAGE_MAX;
use senda_wire::{Ack, Close, ErrorCode, Frame, Message, Nack, Ping};

use super::store::{Answer, Key, Store};

pub struct Rig {
    pub engine: Collector,
    pub store: Store,
    pub now: Now,
    /// Everything that was not a request to the store, since the last look.
    pub events: Vec<Event>,
    got: Vec<Got>,
    config: Config,
    seed: u8,
    /// Which stream each session serves, from its WELCOME on.
    serves: BTreeMap<u32, Key>,
    /// Highest cumulative ACK of each session.
    acked: BTreeMap<u32, u32>,
}

/// One message from the engine.
#[derive(Clone, Debug)]
pub struct Got {
    pub peer: Peer,
    pub session: u32,
    pub seq: u32,
    pub flags: u8,
    pub message: Message<'static>,
    pub bytes: &'static [u8],
}

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The UDP address of a test's device.
pub fn at(port: u16) -> Peer {
    Peer::Udp { remote: SocketAddr::from(([192, 0, 2, 1], port)), local: None }
}

impl Rig {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        let now = Now { instant: Instant(1_000_000_000), utc_us: 1_767_225_600_000_000 };
        Self {
            engine: Collector::new(config.clone(), [1; 32], now.instant),
            store: Store::default(),
            now,
            events: Vec::new(),
            got: Vec::new(),
            config,
            seed: 1,
            serves: BTreeMap::new(),
            acked: BTreeMap::new(),
        }
    }

    /// Bytes arrive: a datagram, or the next ones of a connection.
    pub fn say(&mut self, peer: Peer, bytes: &[u8]) {
        match peer {
            Peer::Udp { remote, local } => {
                self.engine.handle_datagram(self.now, remote, local, bytes);
            }
            Peer::Tcp(connection) => {
                self.engine.handle_stream_bytes(self.now, connection, bytes);
            }
        }
        self.drain();
    }

    pub fn connect(&mut self, connection: u64) -> Peer {
        self.engine.handle_connected(self.now, connection);
        Peer::Tcp(connection)
    }

    pub fn disconnect(&mut self, connection: u64) {
        self.engine.handle_disconnected(connection);
        self.drain();
    }

    /// Time passes, deadline after deadline.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now.instant + time;
        while let Some((due, _)) = self.engine.poll_timeout().filter(|(due, _)| *due <= end) {
            self.jump(due.max(self.now.instant));
            self.engine.handle_timeout(self.now);
            self.drain();
        }
        self.jump(end);
    }

    pub fn jump(&mut self, to: Instant) {
        let passed = to.since(self.now.instant).as_micros();
        self.now.utc_us += i64::try_from(passed).unwrap();
        self.now.instant = to;
    }

    /// The disk takes everything that is queued.
    pub fn commit(&mut self) {
        while !self.store.queue.is_empty() {
            self.commit_some(usize::MAX, true);
        }
    }

    pub fn fail_commit(&mut self) {
        self.commit_some(usize::MAX, false);
    }

    /// The disk takes the oldest requests, or fails them; the answers come in order.
    pub fn commit_some(&mut self, count: usize, works: bool) {
        let mut verdicts = Vec::new();
        for answer in self.store.commit(count, works) {
            match answer {
                Answer::Verdict(token, verdict) => verdicts.push((token, verdict)),
                Answer::Stream(token, state) => {
                    self.engine.handle_durable(self.now, verdicts.drain(..));
                    self.engine.handle_stream(self.now, token, state);
                }
                Answer::Recorded(token, recorded) => {
                    self.engine.handle_recorded(self.now, token, recorded);
                }
            }
        }
        self.engine.handle_durable(self.now, verdicts);
        self.drain();
    }

    /// Whether the store takes rows.
    pub fn accept(&mut self, accepting: bool) {
        self.engine.set_accepting(self.now, accepting);
        self.drain();
    }

    /// The collector dies: sessions and everything on its way are gone; the disk stays.
    pub fn crash(&mut self) {
        self.seed += 1;
        self.engine = Collector::new(self.config.clone(), [self.seed; 32], self.now.instant);
        self.store.queue.clear();
    }

    /// Messages since the last look.
    pub fn got(&mut self) -> Vec<Got> {
        std::mem::take(&mut self.got)
    }

    /// The only message since the last look.
    pub fn only(&mut self) -> Got {
        let got = self.got();
        assert_eq!(got.len(), 1, "{got:#?}");
        got[0].clone()
    }

    pub fn silent(&mut self) -> bool {
        self.got().is_empty()
    }

    pub fn notices(&self) -> Vec<Notice> {
        let notice = |event: &Event| match event {
            Event::Notice { notice, .. } => Some(*notice),
            _ => None,
        };
        self.events.iter().filter_map(notice).collect()
    }

    pub fn outcomes(&self) -> Vec<(u32, Outcome)> {
        let outcome = |event: &Event| match event {
            Event::Outcome { id, outcome, .. } => Some((*id, outcome.clone())),
            _ => None,
        };
        self.events.iter().filter_map(outcome).collect()
    }

    pub fn drops(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Drop { .. })).count()
    }

    pub fn disconnected(&self, connection: u64) -> bool {
        self.events.contains(&Event::Disconnect(connection))
    }

    /// Takes what the engine has to say, in the order that its documentation asks for.
    pub fn drain(&mut self) {
        let mut transmits = Vec::new();
        while let Some(transmit) = self.engine.poll_transmit() {
            transmits.push(transmit);
        }
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Open { .. } | Event::Land { .. } | Event::Record { .. } => {
                    self.store.queue.push_back(event);
                }
                Event::Notice {
                    notice: Notice::Welcomed { session, .. },
                    ref device,
                    stream,
                    ..
                } => {
                    self.serves.insert(session, (device.clone(), stream));
                    self.events.push(event);
                }
                _ => self.events.push(event),
            }
        }
        for transmit in transmits {
            self.receive(transmit);
        }
    }

    fn receive(&mut self, transmit: Transmit) {
        let Transmit { peer, bytes } = transmit;
        let bytes: &'static [u8] = bytes.leak(); // Messages borrow; a test ends soon.
        let mut rest = bytes;
        while !rest.is_empty() {
            let frame = Frame::decode(rest, MESSAGE_MAX).expect("the engine sends whole messages");
            rest = &rest[frame.bytes.len()..];
            let message = Message::decode(&frame).expect("the engine sends valid messages");
            let Frame { flags, session, seq, bytes, .. } = frame;
            if let Message::Ack(ack) = message {
                self.check_ack(session, seq, ack);
            }
            self.got.push(Got { peer, session, seq, flags, message, bytes });
        }
    }

    /// The one promise: an ACK means stored. Spec §7.1a, §5.13.
    fn check_ack(&mut self, session: u32, seq: u32, ack: Ack<'_>) {
        let key = self.serves.get(&session).expect("an ACK belongs to a session");
        let stream = &self.store.streams[key];
        let durable = stream.mark();
        assert!(seq <= durable.next_row, "ACK {seq} above the durable mark {durable:?}");
        let before = self.acked.insert(session, seq).unwrap_or(0);
        assert!(seq >= before, "ACK {seq} takes back {before}");
        for range in ack.window.iter().flat_map(|window| window.ranges.iter()) {
            assert!(stream.is_resolved(range.start) && stream.is_resolved(range.end - 1));
        }
    }
}

impl Got {
    pub fn ack(&self) -> Ack<'static> {
        match self.message {
            Message::Ack(ack) => ack,
            _ => panic!("not an ACK: {self:#?}"),
        }
    }

    pub fn nack(&self) -> Nack<'static> {
        match self.message {
            Message::Nack(nack) => nack,
            _ => panic!("not a NACK: {self:#?}"),
        }
    }

    pub fn close(&self) -> Close<'static> {
        match self.message {
            Message::Close(close) => close,
            _ => panic!("not a CLOSE: {self:#?}"),
        }
    }

    pub fn ping(&self) -> Ping {
        match self.message {
            Message::Ping(ping) => ping,
            _ => panic!("not a PING: {self:#?}"),
        }
    }

    pub fn is_nack(&self, code: ErrorCode) -> bool {
        matches!(self.message, Message::Nack(nack) if nack.code == code)
    }

    pub fn is_ack(&self) -> bool {
        matches!(self.message, Message::Ack(_))
    }
}
