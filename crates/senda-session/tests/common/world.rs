//! A world in virtual time: one engine with its store, devices, and a network between them that a seed decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use senda_session::Instant;
use senda_session::collector::{self, Event, Outcome, Peer};
use senda_session::device::{self, Device, SchemaId, Transport};
use senda_wire::{Clock, DoneStatus};

use super::rig::{Rig, at};
use super::script::schema;

/// What a path does to datagrams; connections see the delay alone.
#[derive(Clone, Copy, Debug)]
pub struct Net {
    /// Probabilities for each datagram, each way.
    pub loss: f64,
    pub duplicate: f64,
    pub damage: f64,
    /// Every delay is drawn from this range, so that datagrams overtake one another.
    pub delay: (Duration, Duration),
}

impl Net {
    pub const GOOD: Self = Self {
        loss: 0.0,
        duplicate: 0.0,
        damage: 0.0,
        delay: (Duration::from_millis(10), Duration::from_millis(10)),
    };
    /// 20 % lost, and everything else that a network may do.
    pub const BAD: Self = Self {
        loss: 0.2,
        duplicate: 0.1,
        damage: 0.02,
        delay: (Duration::from_millis(5), Duration::from_millis(300)),
    };
}

/// What lies on the wire.
enum Packet {
    Up(u16, Vec<u8>),
    Down(u16, Vec<u8>),
    /// The collector accepts, or refuses while it is down.
    Connect(u64),
    Connected(u64),
    Refused(u64),
    StreamUp(u64, Vec<u8>),
    StreamDown(u64, Vec<u8>),
    /// The other side has closed.
    EndUp(u64),
    EndDown(u64),
}

/// Where a device is on the network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Link {
    None,
    Udp(u16),
    Tcp(u64),
}

pub struct Node {
    pub device: Device,
    name: String,
    schema: SchemaId,
    link: Link,
    /// The value of each row is its number in this count: unique in the device, whatever the stream.
    pub made: u32,
    /// Streams that the device has used.
    streams: BTreeSet<u64>,
    /// The one that its events speak of.
    stream: u64,
    pub events: Vec<device::Event>,
    /// Commands that it has executed, in order; each is answered at once.
    pub executed: Vec<u32>,
}

pub struct World {
    pub rig: Rig,
    pub nodes: Vec<Node>,
    pub net: Net,
    /// Every third row lacks its second channel. Spec §5.8.
    pub sparse: bool,
    /// Probability that a commit fails.
    pub disk_fails: f64,
    /// What became of what was sent down: id and outcome.
    pub outcomes: Vec<(u32, Outcome)>,
    seed: u64,
    random: Pcg64Mcg,
    wire: BTreeMap<(Instant, u64), Packet>,
    /// The latest arrival on each connection and direction: bytes don't overtake one another there.
    arrivals: BTreeMap<(u64, bool), Instant>,
    commit_at: Option<Instant>,
    down_until: Option<Instant>,
    serial: u64,
    next_port: u16,
    next_connection: u64,
}

impl Drop for World {
    #[allow(clippy::print_stdout, reason = "a failure names the seed that repeats it")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the seed of this world is {}", self.seed);
        }
    }
}

impl World {
    pub fn new(seed: u64, net: Net) -> Self {
        Self::with(seed, net, collector::Config::default())
    }

    pub fn with(seed: u64, net: Net, config: collector::Config) -> Self {
        Self {
            rig: Rig::with(config),
            nodes: Vec::new(),
            net,
            sparse: false,
            disk_fails: 0.0,
            outcomes: Vec::new(),
            seed,
            random: Pcg64Mcg::new(u128::from(seed) << 1 | 1),
            wire: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            commit_at: None,
            down_until: None,
            serial: 0,
            next_port: 10_000,
            next_connection: 0,
        }
    }

    /// A device that has declared its schema and begins to connect.
    pub fn add(&mut self, transport: Transport, adjust: impl FnOnce(&mut device::Config)) -> usize {
        let name = format!("gh-{}", self.nodes.len());
        let mut config = device::Config::new(&name);
        adjust(&mut config);
        let mut device = Device::new(config, self.random.random()).expect("a good configuration");
        let schema = device.declare(&schema()).expect("a good schema");
        let streams = BTreeSet::from([device.stream()]);
        self.nodes.push(Node {
            name,
            schema,
            link: Link::None,
            made: 0,
            stream: device.stream(),
            streams,
            events: Vec::new(),
            executed: Vec::new(),
            device,
        });
        let node = self.nodes.len() - 1;
        self.move_to(node, transport);
        node
    }

    /// The device makes rows.
    pub fn push(&mut self, node: usize, rows: u32) {
        let now = self.rig.now;
        let Node { device, schema, made, .. } = &mut self.nodes[node];
        for _ in 0..rows {
            let value = made.to_be_bytes();
            let pushed = if self.sparse && *made % 3 == 0 {
                let row = [&[0x80], &value[..]].concat();
                device.push_sparse(now.instant, *schema, Clock::UtcSynced, now.utc_us, &row)
            } else {
                let row = [&value[..], &[1]].concat();
                device.push(now.instant, *schema, Clock::UtcSynced, now.utc_us, &row)
            };
            pushed.expect("room");
            *made += 1;
        }
        self.pump(node);
    }

    /// An operator wants something of a device.
    pub fn order(&mut self, node: usize, down: collector::Downlink) {
        let name = self.nodes[node].name.clone();
        self.rig.engine.handle_down(self.rig.now, &name, down).expect("a good body");
        self.rig.drain();
        self.carry_answers();
    }

    /// The device goes on over this transport; the collector is not told.
    pub fn move_to(&mut self, node: usize, transport: Transport) {
        match transport {
            Transport::Udp => {
                self.next_port += 1;
                self.nodes[node].link = Link::Udp(self.next_port);
                self.nodes[node].device.connect(self.rig.now.instant, transport);
            }
            Transport::Tcp => self.dial(node),
        }
        self.pump(node);
    }

    /// The device has a new address and does not know it.
    pub fn rebind(&mut self, node: usize) {
        if let Link::Udp(_) = self.nodes[node].link {
            self.next_port += 1;
            self.nodes[node].link = Link::Udp(self.next_port);
        }
    }

    /// The device's connection breaks; both sides hear of it, and what was on its way is gone.
    pub fn cut(&mut self, node: usize) {
        let Link::Tcp(connection) = self.nodes[node].link else { return };
        self.wire.retain(|_, packet| {
            !matches!(packet, Packet::StreamUp(c, _) | Packet::StreamDown(c, _) if *c == connection)
        });
        self.stream(connection, true, Packet::EndUp(connection));
        self.stream(connection, false, Packet::EndDown(connection));
    }

    /// The collector dies and comes back: sessions and everything on its way to the disk are gone.
    pub fn crash(&mut self, for_time: Duration) {
        self.rig.crash();
        self.commit_at = None;
        self.down_until = Some(self.rig.now.instant + for_time);
        for node in 0..self.nodes.len() {
            if let Link::Tcp(connection) = self.nodes[node].link {
                self.stream(connection, false, Packet::EndDown(connection));
            }
        }
    }

    /// Everything that is due within this time happens.
    pub fn run(&mut self, time: Duration) {
        let end = self.rig.now.instant + time;
        while self.next_event().is_some_and(|at| at <= end) {
            self.step();
        }
        self.rig.jump(end);
    }

    /// Runs until every device has nothing unacknowledged, at most this long, and checks what is stored.
    pub fn finish(&mut self, at_most: Duration) {
        let end = self.rig.now.instant + at_most;
        while !self.nodes.iter().all(|node| node.device.is_flushed()) {
            let next = self.next_event().expect("somebody waits for something");
            assert!(next <= end, "not done in {at_most:?}: {:#?}", self.stuck());
            self.step();
        }
        self.check();
    }

    fn stuck(&self) -> Vec<(device::Stats, Vec<device::Event>)> {
        let last = |node: &Node| node.events.iter().rev().take(10).rev().cloned().collect();
        let open = self.nodes.iter().filter(|node| !node.device.is_flushed());
        open.map(|node| (node.device.stats(), last(node))).collect()
    }

    /// Everything that a device made is stored exactly once. Spec §2.1a, §7.1b.
    pub fn check(&self) {
        for node in &self.nodes {
            let mut stored: Vec<u32> = Vec::new();
            for stream in &node.streams {
                let Some(stream) = self.rig.store.stream(&node.name, *stream) else { continue };
                assert!(stream.refused.is_empty() && stream.skipped.is_empty());
                stored.extend(
                    stream
                        .rows
                        .values()
                        .map(|row| u32::from_be_bytes(row[..4].try_into().unwrap())),
                );
            }
            let all = stored.len();
            stored.sort_unstable();
            stored.dedup();
            assert!(stored.iter().copied().eq(0..node.made), "{} of {}", stored.len(), node.made);
            assert_eq!(all, stored.len(), "stored twice");
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let devices = self.nodes.iter().filter_map(|node| Some(node.device.poll_timeout()?.0));
        let wire = self.wire.keys().next().map(|(at, _)| *at);
        let engine = self.rig.engine.poll_timeout().map(|(at, _)| at);
        let next = devices.chain(wire).chain(engine).chain(self.commit_at).min()?;
        Some(next.max(self.rig.now.instant))
    }

    fn step(&mut self) {
        let now = self.next_event().expect("the caller asked");
        self.rig.jump(now);
        if self.down_until.is_some_and(|until| until <= now) {
            self.down_until = None;
        }
        if self.commit_at.is_some_and(|at| at <= now) {
            self.commit_at = None;
            let works = !self.random.random_bool(self.disk_fails);
            self.rig.commit_some(usize::MAX, works);
        }
        if let Some(entry) = self.wire.first_entry()
            && entry.key().0 <= now
        {
            let packet = entry.remove();
            self.deliver(packet);
        }
        self.rig.engine.handle_timeout(self.rig.now);
        self.rig.drain();
        self.carry_answers();
        for node in 0..self.nodes.len() {
            if self.nodes[node].device.poll_timeout().is_some_and(|(at, _)| at <= now) {
                self.nodes[node].device.handle_timeout(now);
            }
            self.pump(node);
        }
    }

    fn deliver(&mut self, packet: Packet) {
        let now = self.rig.now;
        let up = self.down_until.is_none();
        match packet {
            Packet::Up(port, bytes) if up => self.rig.say(at(port), &bytes),
            Packet::StreamUp(connection, bytes) if up => {
                self.rig.say(Peer::Tcp(connection), &bytes);
            }
            Packet::EndUp(connection) if up => self.rig.disconnect(connection),
            Packet::Up(..) | Packet::StreamUp(..) | Packet::EndUp(_) => {}
            Packet::Connect(connection) => {
                let answer = if up { Packet::Connected } else { Packet::Refused };
                if up {
                    self.rig.connect(connection);
                }
                self.stream(connection, false, answer(connection));
            }
            Packet::Down(port, bytes) => {
                if let Some(node) = self.node_at(Link::Udp(port)) {
                    self.nodes[node].device.handle_input(now.instant, &bytes);
                }
            }
            Packet::Connected(connection) => {
                if let Some(node) = self.node_at(Link::Tcp(connection)) {
                    self.nodes[node].device.connect(now.instant, Transport::Tcp);
                }
            }
            Packet::StreamDown(connection, bytes) => {
                if let Some(node) = self.node_at(Link::Tcp(connection)) {
                    let piece = self.random.random_range(1..=bytes.len());
                    for bytes in bytes.chunks(piece) {
                        self.nodes[node].device.handle_input(now.instant, bytes);
                    }
                }
            }
            Packet::Refused(connection) | Packet::EndDown(connection) => {
                if let Some(node) = self.node_at(Link::Tcp(connection)) {
                    self.nodes[node].link = Link::None;
                    self.nodes[node].device.disconnected(now.instant);
                }
            }
        }
    }

    fn node_at(&self, link: Link) -> Option<usize> {
        self.nodes.iter().position(|node| node.link == link)
    }

    /// What the engine said goes on the wire; what it asked the store for is committed soon.
    fn carry_answers(&mut self) {
        for got in self.rig.got() {
            match got.peer {
                Peer::Udp { remote, .. } => {
                    let port = remote.port();
                    self.datagram(got.bytes, |bytes| Packet::Down(port, bytes));
                }
                Peer::Tcp(connection) => {
                    let packet = Packet::StreamDown(connection, got.bytes.to_vec());
                    self.stream(connection, false, packet);
                }
            }
        }
        for event in std::mem::take(&mut self.rig.events) {
            match event {
                Event::Disconnect(connection) => {
                    self.stream(connection, false, Packet::EndDown(connection));
                }
                Event::Outcome { id, outcome, .. } => self.outcomes.push((id, outcome)),
                _ => {}
            }
        }
        if !self.rig.store.queue.is_empty() && self.commit_at.is_none() {
            let delay = Duration::from_micros(self.random.random_range(500..30_000));
            self.commit_at = Some(self.rig.now.instant + delay);
        }
    }

    /// What a device has to say goes on the wire, and its events are taken, which may give it more to say.
    fn pump(&mut self, node: usize) {
        loop {
            self.carry_up(node);
            let Some(event) = self.nodes[node].device.poll_event() else { return };
            self.take_event(node, event);
        }
    }

    fn carry_up(&mut self, node: usize) {
        let mut out = [0; 16_384];
        let now = self.rig.now.instant;
        while let Some(len) = self.nodes[node].device.poll_transmit(now, &mut out) {
            let bytes = &out[..len];
            match self.nodes[node].link {
                Link::Udp(port) => self.datagram(bytes, |bytes| Packet::Up(port, bytes)),
                Link::Tcp(connection) => {
                    self.stream(connection, true, Packet::StreamUp(connection, bytes.to_vec()));
                }
                Link::None => {}
            }
        }
    }

    fn take_event(&mut self, index: usize, event: device::Event) {
        let node = &mut self.nodes[index];
        match &event {
            device::Event::Acked(acked) => {
                // What a device was told is durable is durable. Spec §7.1a.
                let stream = self.rig.store.stream(&node.name, node.stream).unwrap();
                assert!(acked.mark <= stream.mark().next_row);
            }
            // Nobody copies a device here, and a late HELLO must not look like it. Spec §6.7b.
            device::Event::NewStream(_)
            | device::Event::Dropped { .. }
            | device::Event::Refused { .. } => panic!("{event:?}"),
            device::Event::Lost { .. } => {
                if let Link::Tcp(connection) = node.link {
                    node.link = Link::None;
                    self.stream(connection, true, Packet::EndUp(connection));
                }
            }
            device::Event::NeedConnect => self.dial(index),
            device::Event::Command { ticket, id, .. } => {
                node.executed.push(*id);
                node.device.done(*ticket, DoneStatus::Ok, "", &[]).expect("just asked");
            }
            device::Event::Config { ticket, .. } | device::Event::Alert { ticket, .. } => {
                node.device.done(*ticket, DoneStatus::Ok, "", &[]).expect("just asked");
            }
            _ => {}
        }
        self.nodes[index].events.push(event);
    }

    fn dial(&mut self, node: usize) {
        self.next_connection += 1;
        let connection = self.next_connection;
        self.nodes[node].link = Link::Tcp(connection);
        self.stream(connection, true, Packet::Connect(connection));
    }

    fn delay(&mut self) -> Duration {
        let (low, high) = self.net.delay;
        let micros = self.random.random_range(low.as_micros()..=high.as_micros());
        Duration::from_micros(u64::try_from(micros).unwrap())
    }

    fn datagram(&mut self, bytes: &[u8], packet: impl Fn(Vec<u8>) -> Packet) {
        assert!(bytes.len() <= 1_200, "Spec §3.4a");
        let copies = if self.random.random_bool(self.net.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            if self.random.random_bool(self.net.loss) {
                continue;
            }
            let mut bytes = bytes.to_vec();
            if self.random.random_bool(self.net.damage) {
                let at = self.random.random_range(0..bytes.len());
                bytes[at] ^= 1 << self.random.random_range(0..8);
            }
            let due = self.rig.now.instant + self.delay();
            self.put(due, packet(bytes));
        }
    }

    fn stream(&mut self, connection: u64, up: bool, packet: Packet) {
        let due = self.rig.now.instant + self.delay();
        let last = self.arrivals.entry((connection, up)).or_default();
        *last = due.max(*last);
        let due = *last;
        self.put(due, packet);
    }

    fn put(&mut self, due: Instant, packet: Packet) {
        self.serial += 1;
        self.wire.insert((due, self.serial), packet);
    }
}
