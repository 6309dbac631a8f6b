//! Uplinks, the real engine and a network between them in virtual time; a seed decides everything.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use senda_client::spool::{self, Storage};
use senda_client::uplink::{Event, LinkId, LinkOrder, RowId, Settings, Uplink};
use senda_client::{Clock, Config, Instant, SchemaId, Transport};
use senda_session::collector::{Event as EngineEvent, Peer};

use crate::common::rig::{Rig, at};
use crate::common::script::schema;

/// A connection that is not answered has failed after this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Virtual time that no test needs.
const FOR_EVER: Duration = Duration::from_secs(400 * 3_600);

/// What the network is like.
#[derive(Clone, Copy, Debug)]
pub struct Net {
    pub udp: bool,
    pub tcp: bool,
    /// Probability for each datagram, each way.
    pub loss: f64,
    /// Longer datagrams never arrive.
    pub mtu: usize,
    pub delay: (Duration, Duration),
    /// What a device's line carries upwards, bytes in a second.
    pub rate: Option<u64>,
}

pub const GOOD: Net = Net {
    udp: true,
    tcp: true,
    loss: 0.0,
    mtu: 65_535,
    delay: (Duration::from_millis(10), Duration::from_millis(20)),
    rate: None,
};

/// Files that outlive the process that wrote them.
#[derive(Clone, Debug, Default)]
pub struct Files(Arc<Mutex<BTreeMap<String, Vec<u8>>>>, Arc<Mutex<bool>>);

impl Files {
    /// True when nothing but the present file is left.
    pub fn is_empty_but_for_little(&self) -> bool {
        let files = self.0.lock().unwrap();
        files.len() <= 2
    }

    /// What another disk would hold after a copy.
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().unwrap().clone())), Arc::default())
    }

    pub fn fail(&self, fails: bool) {
        *self.1.lock().unwrap() = fails;
    }
}

impl Storage for Files {
    fn list(&mut self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        self.0.lock().unwrap().get(name).cloned().ok_or(io::ErrorKind::NotFound.into())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if *self.1.lock().unwrap() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.lock().unwrap().entry(name.into()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }
}

enum Packet {
    Up(u16, Vec<u8>),
    Down(u16, Vec<u8>),
    Connect(u64),
    Connected(u64),
    TimedOut(u64),
    StreamUp(u64, Vec<u8>),
    StreamDown(u64, Vec<u8>),
    EndUp(u64),
    EndDown(u64),
}

/// A socket of a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Socket {
    Udp(u16),
    Dialling(u64),
    Tcp(u64),
}

pub struct Node {
    pub uplink: Option<Uplink>,
    pub name: String,
    pub files: Files,
    settings: Settings,
    options: Option<spool::Options>,
    schema: Option<SchemaId>,
    sockets: BTreeMap<LinkId, Socket>,
    /// When its line is free again.
    line: Instant,
    /// The value of each row is its number in this count.
    pub made: u32,
    /// Where each value went, and when it was made.
    pub rows: BTreeMap<RowId, (u32, Instant)>,
    pub streams: BTreeSet<u64>,
    pub events: Vec<(Instant, Event)>,
    /// From push to acknowledgement, of rows of the live stream, by when they were made.
    pub waits: Vec<(Instant, Duration)>,
    marks: BTreeMap<u64, u32>,
    /// When something of this boot was acknowledged.
    pub acks: Vec<Instant>,
    pub sockets_most: usize,
    pub clock: (Clock, i64),
    /// Somebody else goes on in its stream.
    pub is_copied: bool,
    boots: u8,
}

impl Node {
    pub fn schema(&self) -> SchemaId {
        self.schema.unwrap()
    }
}

pub struct World {
    pub rig: Rig,
    pub nodes: Vec<Node>,
    pub net: Net,
    pub commit: (Duration, Duration),
    pub seed: u64,
    random: Pcg64Mcg,
    wire: BTreeMap<(Instant, u64), Packet>,
    arrivals: BTreeMap<(u64, bool), Instant>,
    /// Connections through which nothing passes any more.
    dead: BTreeSet<u64>,
    commit_at: Option<Instant>,
    serial: u64,
    next_port: u16,
    next_connection: u64,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the seed of this world is {}", self.seed);
        }
    }
}

impl World {
    pub fn new(seed: u64, net: Net) -> Self {
        Self {
            rig: Rig::new(),
            nodes: Vec::new(),
            net,
            commit: (Duration::from_millis(1), Duration::from_millis(20)),
            seed,
            random: Pcg64Mcg::new(u128::from(seed) << 1 | 1),
            wire: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            dead: BTreeSet::new(),
            commit_at: None,
            serial: 0,
            next_port: 10_000,
            next_connection: 0,
        }
    }

    pub fn now(&self) -> Instant {
        self.rig.now.instant
    }

    /// A device with both addresses; with a spool if there are options for one.
    pub fn add(
        &mut self,
        options: Option<spool::Options>,
        adjust: impl FnOnce(&mut Settings),
    ) -> usize {
        let name = format!("gh-{}", self.nodes.len());
        let mut settings = Settings::new(Config::new(&name), true, true);
        adjust(&mut settings);
        self.nodes.push(Node {
            uplink: None,
            name,
            files: Files::default(),
            settings,
            options,
            schema: None,
            sockets: BTreeMap::new(),
            line: Instant(0),
            made: 0,
            rows: BTreeMap::new(),
            streams: BTreeSet::new(),
            events: Vec::new(),
            waits: Vec::new(),
            marks: BTreeMap::new(),
            acks: Vec::new(),
            sockets_most: 0,
            clock: (Clock::UtcSynced, self.rig.now.utc_us - micros(self.rig.now.instant)),
            is_copied: false,
            boots: 0,
        });
        let node = self.nodes.len() - 1;
        self.boot(node);
        node
    }

    /// A second machine with the same name and a copy of the first one's disk; it is off.
    pub fn add_copy(&mut self, index: usize) -> usize {
        let copy = self.add(self.nodes[index].options, |_| {});
        self.kill(copy);
        let (name, files) = (self.nodes[index].name.clone(), self.nodes[index].files.copy());
        let settings = self.nodes[index].settings.clone();
        let streams = self.nodes[index].streams.clone();
        let node = &mut self.nodes[copy];
        (node.name, node.files, node.settings) = (name, files, settings);
        node.streams.extend(streams);
        copy
    }

    /// The process starts, with what the disk has.
    pub fn boot(&mut self, index: usize) {
        let now = self.now();
        let seed: [u8; 32] = self.random.random();
        let node = &mut self.nodes[index];
        let (settings, files) = (node.settings.clone(), Box::new(node.files.clone()));
        let mut uplink = match node.options {
            Some(options) => Uplink::with_spool(settings, seed, files, options).unwrap().0,
            None => Uplink::new(settings, seed).unwrap(),
        };
        node.schema = Some(uplink.declare(&schema()).unwrap());
        uplink.set_clock(now, node.clock.0, node.clock.1);
        node.streams.insert(uplink.live().stream());
        node.uplink = Some(uplink);
        node.boots += 1;
        self.pump(index);
    }

    /// The process is killed.
    pub fn kill(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.uplink = None;
        for socket in std::mem::take(&mut node.sockets).into_values() {
            if let Socket::Tcp(connection) | Socket::Dialling(connection) = socket {
                self.stream(connection, true, Packet::EndUp(connection));
            }
        }
    }

    /// The device makes rows.
    pub fn push(&mut self, index: usize, rows: u32) {
        let now = self.now();
        for _ in 0..rows {
            let node = &mut self.nodes[index];
            let (schema, (clock, base)) = (node.schema.unwrap(), node.clock);
            let row = [&node.made.to_be_bytes()[..], &[1]].concat();
            let uplink = node.uplink.as_mut().unwrap();
            let time_us = base + micros(now);
            let id = uplink.push(now, schema, clock, time_us, &row).expect("room");
            node.streams.insert(id.stream);
            assert!(node.rows.insert(id, (node.made, now)).is_none(), "a number twice: {id:?}");
            node.made += 1;
        }
        self.pump(index);
    }

    pub fn uplink(&mut self, index: usize) -> &mut Uplink {
        self.nodes[index].uplink.as_mut().unwrap()
    }

    /// Does something with an uplink, and carries what follows.
    pub fn with<T>(&mut self, index: usize, change: impl FnOnce(&mut Uplink, Instant) -> T) -> T {
        let now = self.now();
        let done = change(self.uplink(index), now);
        self.pump(index);
        done
    }

    /// The network changes. Connections that it cuts are silent from then on.
    pub fn set_net(&mut self, net: Net) {
        if self.net.tcp && !net.tcp {
            self.dead = (0..=self.next_connection).collect();
        }
        self.net = net;
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now() + time;
        while self.next_event().is_some_and(|at| at <= end) {
            self.step();
        }
        self.rig.jump(end);
    }

    /// Each device makes a row in each `interval`, for so long.
    pub fn make(&mut self, interval: Duration, time: Duration) {
        let end = self.now() + time;
        while self.now() < end {
            for node in 0..self.nodes.len() {
                if self.nodes[node].uplink.is_some() {
                    self.push(node, 1);
                }
            }
            self.run(interval);
        }
    }

    /// Runs until everything is with the collector; checks it.
    pub fn finish(&mut self, at_most: Duration) {
        let end = self.now() + at_most;
        while !self.nodes.iter().all(|node| node.uplink.as_ref().unwrap().is_flushed()) {
            let next = self.next_event().expect("somebody waits for something");
            assert!(next <= end, "not done in {at_most:?}: {:#?}", self.stuck());
            self.step();
        }
        self.check(&[]);
    }

    fn stuck(&self) -> Vec<String> {
        let open = self.nodes.iter().filter(|node| !node.uplink.as_ref().unwrap().is_flushed());
        open.take(2)
            .map(|node| {
                let uplink = node.uplink.as_ref().unwrap();
                let last: Vec<_> = node.events.iter().rev().take(12).collect();
                let (live, waiting) = (uplink.live(), uplink.waiting());
                format!("{live:#?} {waiting:#?} {last:#?} {:?}", uplink.poll_timeout())
            })
            .collect()
    }

    /// Everything that was made is stored exactly once, in order by row, but for the rows that `given_up` allows.
    pub fn check(&self, given_up: &[senda_wire::SkipCause]) {
        self.check_but_for(given_up, 0);
    }

    /// The same; so many rows, at most, may be gone that no disk had.
    pub fn check_but_for(&self, given_up: &[senda_wire::SkipCause], unknown: usize) {
        for node in &self.nodes {
            let mut values = Vec::new();
            let mut skipped = BTreeSet::new();
            for stream in &node.streams {
                let Some(stored) = self.rig.store.stream(&node.name, *stream) else { continue };
                assert!(stored.refused.is_empty());
                for (range, cause) in &stored.skipped {
                    let cause = senda_wire::SkipCause::from_code(*cause).unwrap();
                    assert!(
                        given_up.contains(&cause),
                        "{} gave up {range:?}: {cause:?}",
                        node.name
                    );
                    for row in range.start..range.end {
                        skipped.insert(RowId { stream: *stream, row });
                    }
                }
                let rows = stored.rows.iter().map(|(row, fields)| {
                    (*row, u32::from_be_bytes(fields[..4].try_into().unwrap()))
                });
                let rows: Vec<(u32, u32)> = rows.collect();
                assert!(rows.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1), "order by row");
                values.extend(rows.iter().map(|(_, value)| *value));
            }
            let all = values.len();
            values.sort_unstable();
            values.dedup();
            assert_eq!(all, values.len(), "{}: something is stored twice", node.name);
            let is_gone =
                |id: &RowId, value| values.binary_search(value).is_err() && !skipped.contains(id);
            let gone = node.rows.iter().filter(|(id, (value, _))| is_gone(id, value));
            let gone: Vec<_> = gone.collect();
            assert!(gone.len() <= unknown, "{}: {gone:?} are gone", node.name);
        }
    }

    /// The longest time without an acknowledgement that a device saw, after the first one.
    pub fn longest_gap(&self, index: usize) -> Duration {
        let acks = &self.nodes[index].acks;
        acks.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or(FOR_EVER)
    }

    pub fn next_event(&self) -> Option<Instant> {
        let uplinks = self.nodes.iter().filter_map(|node| node.uplink.as_ref());
        let uplinks = uplinks.filter_map(|uplink| Some(uplink.poll_timeout()?.0));
        let wire = self.wire.keys().next().map(|(at, _)| *at);
        let engine = self.rig.engine.poll_timeout().map(|(at, _)| at);
        let next = uplinks.chain(wire).chain(engine).chain(self.commit_at).min()?;
        Some(next.max(self.now()))
    }

    pub fn step(&mut self) {
        let now = self.next_event().expect("the caller asked");
        self.rig.jump(now);
        if self.commit_at.is_some_and(|at| at <= now) {
            self.commit_at = None;
            self.rig.commit_some(usize::MAX, true);
        }
        let mut touched = None;
        if let Some(entry) = self.wire.first_entry()
            && entry.key().0 <= now
        {
            let packet = entry.remove();
            touched = self.deliver(packet);
        }
        self.rig.engine.handle_timeout(self.rig.now);
        self.rig.drain();
        self.carry_answers();
        if let Some(node) = touched {
            self.pump(node);
        }
        for node in 0..self.nodes.len() {
            let Some(uplink) = &mut self.nodes[node].uplink else { continue };
            if uplink.poll_timeout().is_some_and(|(at, _)| at <= now) {
                uplink.handle_timeout(now);
                self.pump(node);
            }
        }
    }

    /// Hands a packet to whom it is for; which device that was.
    fn deliver(&mut self, packet: Packet) -> Option<usize> {
        let now = self.now();
        match packet {
            Packet::Up(port, bytes) => self.rig.say(at(port), &bytes),
            Packet::StreamUp(connection, bytes) => self.rig.say(Peer::Tcp(connection), &bytes),
            Packet::EndUp(connection) => self.rig.disconnect(connection),
            Packet::Connect(connection) => {
                self.rig.connect(connection);
                self.stream(connection, false, Packet::Connected(connection));
            }
            Packet::Down(port, bytes) => {
                let (node, link) = self.owner(Socket::Udp(port))?;
                self.uplink(node).handle_input(now, link, &bytes);
                return Some(node);
            }
            Packet::Connected(connection) => {
                let (node, link) = self.owner(Socket::Dialling(connection))?;
                self.nodes[node].sockets.insert(link, Socket::Tcp(connection));
                self.uplink(node).handle_opened(now, link);
                return Some(node);
            }
            Packet::StreamDown(connection, bytes) => {
                let (node, link) = self.owner(Socket::Tcp(connection))?;
                let piece = self.random.random_range(1..=bytes.len());
                for bytes in bytes.chunks(piece) {
                    self.uplink(node).handle_input(now, link, bytes);
                }
                return Some(node);
            }
            Packet::TimedOut(connection) => {
                let (node, link) = self.owner(Socket::Dialling(connection))?;
                return Some(self.broken(node, link));
            }
            Packet::EndDown(connection) => {
                let (node, link) = self.owner(Socket::Tcp(connection))?;
                return Some(self.broken(node, link));
            }
        }
        None
    }

    fn broken(&mut self, node: usize, link: LinkId) -> usize {
        let now = self.now();
        self.nodes[node].sockets.remove(&link);
        self.uplink(node).handle_broken(now, link);
        node
    }

    fn owner(&self, socket: Socket) -> Option<(usize, LinkId)> {
        self.nodes.iter().enumerate().find_map(|(index, node)| {
            let (id, _) = node.sockets.iter().find(|(_, held)| **held == socket)?;
            node.uplink.as_ref().map(|_| (index, *id))
        })
    }

    fn carry_answers(&mut self) {
        for got in self.rig.got() {
            match got.peer {
                Peer::Udp { remote, .. } => {
                    let bytes = got.bytes.to_vec();
                    self.datagram(None, Packet::Down(remote.port(), bytes.clone()), bytes.len());
                }
                Peer::Tcp(connection) => {
                    let packet = Packet::StreamDown(connection, got.bytes.to_vec());
                    self.stream(connection, false, packet);
                }
            }
        }
        for event in std::mem::take(&mut self.rig.events) {
            if let EngineEvent::Disconnect(connection) = event {
                self.stream(connection, false, Packet::EndDown(connection));
            }
        }
        if !self.rig.store.queue.is_empty() && self.commit_at.is_none() {
            let delay = self.between(self.commit);
            self.commit_at = Some(self.now() + delay);
        }
    }

    /// What an uplink has to say goes on the wire, and what it wants is done.
    pub fn pump(&mut self, index: usize) {
        let now = self.now();
        let mut out = vec![0; 65_536];
        loop {
            let mut is_quiet = true;
            let Some(uplink) = &mut self.nodes[index].uplink else { return };
            let links: Vec<LinkId> = uplink.links().collect();
            for link in links {
                while let Some(len) = self.uplink(index).poll_transmit(now, link, &mut out) {
                    is_quiet = false;
                    self.carry_up(index, link, out[..len].to_vec());
                }
            }
            while let Some(order) = self.uplink(index).poll_link() {
                is_quiet = false;
                self.obey(index, order);
            }
            while let Some(event) = self.uplink(index).poll_event() {
                is_quiet = false;
                self.take_event(index, event);
            }
            if is_quiet {
                return;
            }
        }
    }

    fn carry_up(&mut self, index: usize, link: LinkId, bytes: Vec<u8>) {
        let socket = *self.nodes[index].sockets.get(&link).expect("only open links send");
        let len = bytes.len();
        match socket {
            Socket::Udp(port) => {
                assert!(len <= 1_200, "Spec §3.4a");
                self.datagram(Some(index), Packet::Up(port, bytes), len);
            }
            Socket::Tcp(connection) => {
                let leaves = self.take_line(index, len);
                let due = leaves + self.between(self.net.delay);
                self.stream_at(connection, true, due, Packet::StreamUp(connection, bytes));
            }
            Socket::Dialling(_) => panic!("bytes for a connection that is not there"),
        }
    }

    fn obey(&mut self, index: usize, order: LinkOrder) {
        let now = self.now();
        match order {
            LinkOrder::Open { id, transport: Transport::Udp } => {
                self.next_port = self.next_port.checked_add(1).unwrap_or(10_000);
                let port = self.next_port;
                self.nodes[index].sockets.insert(id, Socket::Udp(port));
                self.uplink(index).handle_opened(now, id);
            }
            LinkOrder::Open { id, transport: Transport::Tcp } => {
                self.next_connection += 1;
                let connection = self.next_connection;
                self.nodes[index].sockets.insert(id, Socket::Dialling(connection));
                self.stream(connection, true, Packet::Connect(connection));
                self.put(now + CONNECT_TIMEOUT, Packet::TimedOut(connection));
            }
            LinkOrder::Close { id } => {
                let socket = self.nodes[index].sockets.remove(&id);
                if let Some(Socket::Tcp(connection) | Socket::Dialling(connection)) = socket {
                    self.stream(connection, true, Packet::EndUp(connection));
                }
            }
        }
        let node = &mut self.nodes[index];
        node.sockets_most = node.sockets_most.max(node.sockets.len());
    }

    fn take_event(&mut self, index: usize, event: Event) {
        let now = self.now();
        let node = &mut self.nodes[index];
        if let Event::Session { stream, is_live, event } = &event {
            node.streams.insert(*stream);
            match event {
                senda_client::Event::Acked(acked) => {
                    // What a device was told is durable is durable. Spec §7.1a.
                    let durable = self.rig.store.stream(&node.name, *stream).unwrap().mark();
                    assert!(acked.mark <= durable.next_row, "{acked:?} of {stream}: {durable:?}");
                    let from = node.marks.insert(*stream, acked.mark).unwrap_or(0);
                    let ids = RowId { stream: *stream, row: from }..RowId {
                        stream: *stream,
                        row: acked.mark,
                    };
                    for (_, (_, made)) in node.rows.range(ids) {
                        if *is_live {
                            node.waits.push((*made, now.since(*made)));
                        }
                    }
                    node.acks.push(now);
                }
                senda_client::Event::NewStream(new) => {
                    assert!(node.is_copied, "nobody copies this device: {new:?}");
                    node.streams.insert(new.new);
                }
                _ => {}
            }
        }
        node.events.push((now, event));
    }

    /// When what is handed to the line now has left it.
    fn take_line(&mut self, index: usize, len: usize) -> Instant {
        let now = self.now();
        let Some(rate) = self.net.rate else { return now };
        let takes = Duration::from_micros(len as u64 * 1_000_000 / rate);
        let node = &mut self.nodes[index];
        node.line = node.line.max(now) + takes;
        node.line
    }

    fn between(&mut self, (low, high): (Duration, Duration)) -> Duration {
        let micros = self.random.random_range(low.as_micros()..=high.as_micros());
        Duration::from_micros(u64::try_from(micros).unwrap())
    }

    fn datagram(&mut self, from: Option<usize>, packet: Packet, len: usize) {
        let leaves = from.map_or(self.now(), |index| self.take_line(index, len));
        let is_lost = self.random.random_bool(self.net.loss);
        let delay = self.between(self.net.delay);
        if self.net.udp && !is_lost && len <= self.net.mtu {
            self.put(leaves + delay, packet);
        }
    }

    fn stream(&mut self, connection: u64, up: bool, packet: Packet) {
        let due = self.now() + self.between(self.net.delay);
        self.stream_at(connection, up, due, packet);
    }

    fn stream_at(&mut self, connection: u64, up: bool, due: Instant, packet: Packet) {
        if !self.net.tcp {
            self.dead.insert(connection);
        }
        if self.dead.contains(&connection) {
            return;
        }
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

fn micros(now: Instant) -> i64 {
    i64::try_from(now.0).unwrap()
}

/// The 99th percentile.
pub fn p99(mut waits: Vec<Duration>) -> Duration {
    waits.sort_unstable();
    waits[(waits.len() * 99).div_ceil(100) - 1]
}
