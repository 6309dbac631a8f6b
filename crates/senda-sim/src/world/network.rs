//! The network of a world: datagrams that are lost, doubled, damaged and late; connections that break, or are forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use senda_session::Instant;

use super::scenario::Weather;
use crate::faults::{Fate, Link};
use crate::{derive_seed, seed};

/// Bytes that a connection holds before its sender has to wait, as a socket's buffer does.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;
/// A datagram that did not come is sent again by TCP after this time, and twice that, and so on.
const TCP_AGAIN: Duration = Duration::from_millis(200);
/// Datagrams that a stranger remembers.
const HEARD_MAX: usize = 32;

/// Something arrives.
pub(super) enum Arrival {
    /// At the collector: a datagram.
    Datagram { from: SocketAddr, bytes: Vec<u8> },
    /// At the collector: a device wants a connection.
    Dialled { line: u64 },
    /// At the collector: bytes of a connection.
    Bytes { line: u64, bytes: Vec<u8> },
    /// At the collector: a connection has ended.
    Ended { line: u64 },
    /// At a device.
    ToNode { node: usize, what: ToNode },
}

/// What arrives at a device.
pub(super) enum ToNode {
    Datagram(Vec<u8>),
    Connected(u64),
    Bytes(u64, Vec<u8>),
    /// A connection has ended, or was not made.
    Ended(u64),
    /// A connection was asked for long ago.
    TimedOut(u64),
}

/// What the network has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NetworkCounts {
    /// Datagrams that were sent, both ways.
    pub datagrams: u64,
    /// Of those, lost for any reason.
    pub lost: u64,
    /// Of those, damaged.
    pub damaged: u64,
    /// TCP connections that were asked for.
    pub lines: u64,
}

/// All paths between the devices and the one collector.
pub(super) struct Network {
    seed: u64,
    random: Pcg64Mcg,
    paths: Vec<Path>,
    nodes: BTreeMap<SocketAddr, usize>,
    lines: BTreeMap<u64, Line>,
    next_port: u16,
    heard: VecDeque<Vec<u8>>,
    counts: NetworkCounts,
}

/// Between one device and the collector.
struct Path {
    weather: Weather,
    address: SocketAddr,
    up: Way,
    down: Way,
    is_cut: bool,
    blocks_udp: bool,
}

/// One direction of a path, for datagrams.
struct Way {
    link: Link<(SocketAddr, Vec<u8>)>,
    in_burst: bool,
}

/// A TCP connection.
struct Line {
    node: usize,
    up: Pipe,
    down: Pipe,
    /// The program at the device's end has it.
    node_has: bool,
    /// The collector has it.
    collector_has: bool,
    /// Something in between has forgotten it: nothing passes, and nobody is told.
    is_forgotten: bool,
}

/// One direction of a connection: what was sent arrives, in order.
#[derive(Default)]
struct Pipe {
    pieces: VecDeque<(Instant, Piece)>,
    bytes: usize,
}

enum Piece {
    Open,
    Bytes(Vec<u8>),
    End,
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            random: seed::generator(derive_seed(seed, 0, "world network")),
            paths: Vec::new(),
            nodes: BTreeMap::new(),
            lines: BTreeMap::new(),
            next_port: 10_000,
            heard: VecDeque::new(),
            counts: NetworkCounts::default(),
        }
    }

    /// A path for another device.
    pub(super) fn add(&mut self, weather: Weather) -> usize {
        let node = self.paths.len();
        let index = u32::try_from(node).unwrap_or(u32::MAX);
        let way = |name| Way {
            link: Link::new(weather.conditions(), derive_seed(self.seed, index, name)),
            in_burst: false,
        };
        let (up, down) = (way("world up"), way("world down"));
        let address = self.take_address(node);
        let path = Path { weather, address, up, down, is_cut: false, blocks_udp: false };
        self.nodes.insert(address, node);
        self.paths.push(path);
        node
    }

    /// Where a device is.
    pub(super) fn address(&self, node: usize) -> SocketAddr {
        self.paths[node].address
    }

    pub(super) const fn counts(&self) -> NetworkCounts {
        self.counts
    }

    /// Packets and bytes under way, for those who watch limits.
    pub(super) fn under_way(&self) -> (usize, usize) {
        let ways = self.paths.iter().flat_map(|path| [&path.up, &path.down]);
        let lines = self.lines.values().flat_map(|line| [&line.up, &line.down]);
        (
            ways.map(|way| way.link.in_flight()).sum(),
            lines.map(|pipe| pipe.bytes).max().unwrap_or(0),
        )
    }

    // Faults.

    pub(super) fn set_weather(&mut self, node: usize, weather: Weather) {
        let path = &mut self.paths[node];
        path.weather = weather;
        path.up.link.set_conditions(weather.conditions());
        path.down.link.set_conditions(weather.conditions());
        path.up.in_burst = false;
        path.down.in_burst = false;
    }

    pub(super) fn cut(&mut self, node: usize, is_cut: bool) {
        self.paths[node].is_cut = is_cut;
    }

    pub(super) fn block_udp(&mut self, node: usize, blocks: bool) {
        self.paths[node].blocks_udp = blocks;
    }

    /// The device's address is another one from now on; what goes to the old one vanishes.
    pub(super) fn rebind(&mut self, node: usize) {
        self.nodes.remove(&self.paths[node].address);
        let address = self.take_address(node);
        self.nodes.insert(address, node);
        self.paths[node].address = address;
    }

    /// A device's connections break, and both sides hear of it. What was on its way is lost.
    pub(super) fn break_lines(&mut self, now: Instant, node: usize) {
        for line in self.lines.values_mut().filter(|line| line.node == node) {
            for pipe in [&mut line.up, &mut line.down] {
                *pipe = Pipe::default();
                pipe.pieces.push_back((now + Duration::from_millis(5), Piece::End));
            }
        }
    }

    /// A device's connections are forgotten in between.
    pub(super) fn forget_lines(&mut self, node: usize) {
        for line in self.lines.values_mut().filter(|line| line.node == node) {
            line.is_forgotten = true;
        }
    }

    /// The device lost its memory: its connections are unknown to it.
    pub(super) fn crash_node(&mut self, node: usize) {
        for line in self.lines.values_mut().filter(|line| line.node == node) {
            line.node_has = false;
            line.up = Pipe::default();
        }
        self.drop_dead();
    }

    /// The collector's process ended. Where its machine goes on, the devices hear of it.
    pub(super) fn crash_collector(&mut self, now: Instant, machine_goes_on: bool) {
        for line in self.lines.values_mut() {
            line.collector_has = false;
            line.up = Pipe::default();
            if machine_goes_on && !line.is_forgotten {
                line.down.pieces.push_back((now + Duration::from_millis(5), Piece::End));
            } else {
                line.down = Pipe::default();
            }
        }
        self.drop_dead();
    }

    /// Something that was heard before, or rubbish, from an address that nobody has.
    pub(super) fn stranger(&mut self) -> (SocketAddr, Vec<u8>) {
        let from = SocketAddr::new(
            IpAddr::V4(Ipv4Addr::new(203, 0, 113, self.random.random_range(1..=250))),
            self.random.random_range(1_024..u16::MAX),
        );
        let bytes = if self.heard.is_empty() || self.random.random_bool(0.2) {
            let len = self.random.random_range(1..200);
            (0..len).map(|_| self.random.random()).collect()
        } else {
            self.heard[self.random.random_range(0..self.heard.len())].clone()
        };
        (from, bytes)
    }

    // Datagrams.

    pub(super) fn send_up(&mut self, now: Instant, node: usize, bytes: Vec<u8>) {
        if self.heard.len() == HEARD_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(bytes.clone());
        let from = self.paths[node].address;
        self.send(now, node, true, from, bytes);
    }

    pub(super) fn send_down(&mut self, now: Instant, to: SocketAddr, bytes: Vec<u8>) {
        match self.nodes.get(&to) {
            Some(node) => self.send(now, *node, false, to, bytes),
            None => {
                self.counts.datagrams += 1;
                self.counts.lost += 1;
            }
        }
    }

    fn send(
        &mut self,
        now: Instant,
        node: usize,
        is_up: bool,
        address: SocketAddr,
        mut bytes: Vec<u8>,
    ) {
        let path = &mut self.paths[node];
        let weather = path.weather;
        let way = if is_up { &mut path.up } else { &mut path.down };
        self.counts.datagrams += 1;
        let in_burst = way.next_in_burst(&weather, &mut self.random);
        let too_long = weather.mtu.is_some_and(|mtu| bytes.len() > mtu.into());
        let is_lost = in_burst || too_long || path.is_cut || path.blocks_udp;
        if hits(weather.damage.get(), &mut self.random) {
            self.counts.damaged += 1;
            damage(&mut bytes, &mut self.random);
        }
        if is_lost {
            self.counts.lost += 1;
            return;
        }
        let fate = way.link.send_sized(now, bytes.len(), (address, bytes));
        self.counts.lost += u64::from(!matches!(fate, Fate::Arrives { .. }));
    }

    // Connections.

    /// A device asks for a connection.
    pub(super) fn dial(&mut self, now: Instant, node: usize, line: u64) {
        self.counts.lines += 1;
        let mut new = Line {
            node,
            up: Pipe::default(),
            down: Pipe::default(),
            node_has: true,
            collector_has: false,
            is_forgotten: false,
        };
        let at = now + self.tcp_delay(node);
        new.up.push(at, Piece::Open);
        self.lines.insert(line, new);
    }

    /// The collector takes a connection, or refuses it.
    pub(super) fn answer(&mut self, now: Instant, line: u64, is_taken: bool) {
        self.push_down(now, line, if is_taken { Piece::Open } else { Piece::End });
        if let Some(known) = self.lines.get_mut(&line) {
            known.collector_has = is_taken;
        }
    }

    pub(super) fn line_up(&mut self, now: Instant, line: u64, bytes: Vec<u8>) {
        self.push_up(now, line, Piece::Bytes(bytes));
    }

    pub(super) fn line_down(&mut self, now: Instant, line: u64, bytes: Vec<u8>) {
        self.push_down(now, line, Piece::Bytes(bytes));
    }

    /// The device closes a connection.
    pub(super) fn hang_up(&mut self, now: Instant, line: u64) {
        self.push_up(now, line, Piece::End);
        if let Some(known) = self.lines.get_mut(&line) {
            known.node_has = false;
        }
        self.drop_dead();
    }

    /// The collector closes a connection.
    pub(super) fn close(&mut self, now: Instant, line: u64) {
        self.push_down(now, line, Piece::End);
        if let Some(known) = self.lines.get_mut(&line) {
            known.collector_has = false;
        }
        self.drop_dead();
    }

    /// True while a device may write more.
    pub(super) fn has_room_up(&self, line: u64) -> bool {
        self.lines.get(&line).is_some_and(|line| line.up.bytes < LINE_BYTES_MAX)
    }

    /// True while the collector may write more.
    pub(super) fn has_room_down(&self, line: u64) -> bool {
        self.lines.get(&line).is_some_and(|line| line.down.bytes < 4 * LINE_BYTES_MAX)
    }

    fn push_up(&mut self, now: Instant, line: u64, piece: Piece) {
        let Some(node) = self.lines.get(&line).filter(|l| l.node_has).map(|l| l.node) else {
            return;
        };
        let at = now + self.tcp_delay(node);
        if let Some(line) = self.lines.get_mut(&line).filter(|line| !line.is_forgotten) {
            line.up.push(at, piece);
        }
    }

    fn push_down(&mut self, now: Instant, line: u64, piece: Piece) {
        let Some(node) = self.lines.get(&line).map(|line| line.node) else { return };
        let at = now + self.tcp_delay(node);
        if let Some(line) = self.lines.get_mut(&line).filter(|line| !line.is_forgotten) {
            line.down.push(at, piece);
        }
    }

    // Arrivals.

    /// When the next thing arrives.
    pub(super) fn next(&self) -> Option<Instant> {
        let ways = self.paths.iter().flat_map(|path| [&path.up, &path.down]);
        let datagrams = ways.filter_map(|way| way.link.next_wakeup());
        let lines = self.lines.values().filter(|line| !self.paths[line.node].is_cut);
        let pieces = lines.flat_map(|line| [line.up.next(), line.down.next()]).flatten();
        datagrams.chain(pieces).min()
    }

    /// The next thing that has arrived by `now`. `is_up` says whether the collector's process runs.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        is_up: bool,
        machine_is_up: bool,
    ) -> Option<Arrival> {
        self.poll_datagram(now).or_else(|| self.poll_lines(now, is_up, machine_is_up))
    }

    fn poll_datagram(&mut self, now: Instant) -> Option<Arrival> {
        for (node, path) in self.paths.iter_mut().enumerate() {
            while let Some((from, bytes)) = path.up.link.poll(now) {
                if !path.is_cut && !path.blocks_udp {
                    return Some(Arrival::Datagram { from, bytes });
                }
                self.counts.lost += 1;
            }
            while let Some((to, bytes)) = path.down.link.poll(now) {
                if !path.is_cut && !path.blocks_udp && to == path.address {
                    return Some(Arrival::ToNode { node, what: ToNode::Datagram(bytes) });
                }
                self.counts.lost += 1;
            }
        }
        None
    }

    fn poll_lines(&mut self, now: Instant, is_up: bool, machine_is_up: bool) -> Option<Arrival> {
        let due = |pipe: &Pipe| pipe.next().is_some_and(|at| at <= now);
        let paths = &self.paths;
        let (&number, line) = self
            .lines
            .iter_mut()
            .find(|(_, line)| !paths[line.node].is_cut && (due(&line.up) || due(&line.down)))?;
        let node = line.node;
        if due(&line.up) {
            let piece = line.up.pop(&mut self.random)?;
            return match piece {
                Piece::Open if is_up => Some(Arrival::Dialled { line: number }),
                Piece::Bytes(bytes) if line.collector_has => {
                    Some(Arrival::Bytes { line: number, bytes })
                }
                Piece::End if line.collector_has => {
                    line.collector_has = false;
                    self.drop_dead();
                    Some(Arrival::Ended { line: number })
                }
                // Nobody listens: the machine says so, if it can.
                Piece::Open | Piece::Bytes(_) if machine_is_up => {
                    self.push_down(now, number, Piece::End);
                    self.poll(now, is_up, machine_is_up)
                }
                _ => self.poll(now, is_up, machine_is_up),
            };
        }
        let piece = line.down.pop(&mut self.random)?;
        if !line.node_has {
            // A device that knows nothing of it says so.
            if line.collector_has && matches!(piece, Piece::Bytes(_)) {
                line.collector_has = false;
                self.drop_dead();
                return Some(Arrival::Ended { line: number });
            }
            return self.poll(now, is_up, machine_is_up);
        }
        let what = match piece {
            Piece::Open => ToNode::Connected(number),
            Piece::Bytes(bytes) => ToNode::Bytes(number, bytes),
            Piece::End => {
                line.node_has = false;
                self.drop_dead();
                ToNode::Ended(number)
            }
        };
        Some(Arrival::ToNode { node, what })
    }

    /// Connections that nobody has any more.
    fn drop_dead(&mut self) {
        self.lines
            .retain(|_, line| line.node_has || line.collector_has || !line.up.pieces.is_empty());
    }

    fn take_address(&mut self, node: usize) -> SocketAddr {
        self.next_port = self.next_port.checked_add(1).unwrap_or(10_000);
        let last = u8::try_from(node % 250 + 1).unwrap_or(1);
        let third = u8::try_from(node / 250 % 250).unwrap_or(0);
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, third, last)), self.next_port)
    }

    /// How long a piece of a connection takes: what is lost is sent again by TCP itself.
    fn tcp_delay(&mut self, node: usize) -> Duration {
        let weather = &self.paths[node].weather;
        let mut delay = weather.delay.pick(self.random.random());
        let mut again = TCP_AGAIN;
        // A connection does not try for ever, and neither does this.
        for _ in 0..6 {
            if !hits(weather.loss.get(), &mut self.random) {
                break;
            }
            delay += again;
            again *= 2;
        }
        delay
    }
}

impl Way {
    /// True when a burst swallows this packet.
    fn next_in_burst(&mut self, weather: &Weather, random: &mut Pcg64Mcg) -> bool {
        let Some(burst) = weather.burst else { return false };
        let turns = if self.in_burst { burst.leave } else { burst.enter };
        self.in_burst ^= hits(turns.get(), random);
        self.in_burst && hits(burst.loss.get(), random)
    }
}

impl Pipe {
    fn push(&mut self, at: Instant, piece: Piece) {
        if let Piece::Bytes(bytes) = &piece {
            self.bytes += bytes.len();
        }
        // Nothing overtakes on a connection.
        let at = self.pieces.back().map_or(at, |(last, _)| at.max(*last));
        self.pieces.push_back((at, piece));
    }

    fn next(&self) -> Option<Instant> {
        self.pieces.front().map(|(at, _)| *at)
    }

    /// The next piece, or a part of it: a stream has no borders.
    fn pop(&mut self, random: &mut Pcg64Mcg) -> Option<Piece> {
        let (at, piece) = self.pieces.pop_front()?;
        let Piece::Bytes(mut bytes) = piece else { return Some(piece) };
        if bytes.len() > 1 && random.random_bool(0.2) {
            let rest = bytes.split_off(random.random_range(1..bytes.len()));
            self.pieces.push_front((at, Piece::Bytes(rest)));
        }
        self.bytes -= bytes.len();
        Some(Piece::Bytes(bytes))
    }
}

/// A draw even where it can't hit: conditions that change leave later draws alone.
fn hits(probability: f64, random: &mut Pcg64Mcg) -> bool {
    random.random::<f64>() < probability
}

/// Flips some bits, or cuts the end off.
fn damage(bytes: &mut Vec<u8>, random: &mut Pcg64Mcg) {
    if bytes.is_empty() {
        return;
    }
    if random.random_bool(0.3) {
        bytes.truncate(random.random_range(0..bytes.len()));
        return;
    }
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..8);
    }
}
