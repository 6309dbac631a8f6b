//! A world in virtual time: the real engine, keeper, store and device sessions, with a network, a disk and clocks that a seed
//! decides, and an oracle that knows what must be true.
//!
//! ```text
//!   Program (senda_session::device) --Network--> Host: Collector, Keeper, Writer --> senda_disk::Disk
//!        |                              |           |                                    |
//!        +---- what was made, told -----+-- wires --+------- verdicts -------------------+----> Judge
//! ```
//!
//! Nothing sleeps and nothing reads a clock: the world jumps from one deadline to the next. The same seed, scenario and commit
//! give the same trace, byte for byte, in any process.
//!
//! ```
//! use senda_sim::world::{Scenario, World};
//!
//! let scenario = Scenario::parse("devices = 2\nduration = '10s'\ntransport = 'udp'\nnetwork = { loss = '10%' }")?;
//! let outcome = World::new(7, scenario).run();
//! assert_eq!(outcome.violation, None);
//! assert_eq!(outcome.ledger.made, outcome.ledger.stored);
//! # Ok::<(), senda_sim::world::ScenarioError>(())
//! ```

mod draw;
mod scenario; // what a world is like, as people write it // ... and as a seed draws it

mod host;
mod network; // datagrams and connections
mod node; // devices
mod program; // what runs on them: the seam
mod readings; // what they measure // the collector's machine

mod audit; // the end: every row against the store
mod judge; // the oracle
mod rows; // sets of row numbers
mod violation; // a broken promise, as a value
mod wiretap; // what is seen on the wires

#[cfg(test)]
mod selftest; // the oracle sees what it is there for

mod faults; // what goes wrong, carried out
mod trace; // what happened, line by line

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use senda_session::Instant;
use senda_session::collector::Peer;

use crate::{derive_seed, seed};
pub use audit::Ledger;
use faults::Deed;
pub use faults::FaultCounts;
use host::{Crashed, Host, Out};
pub use judge::JudgeCounts;
use judge::{Judge, Made};
pub use network::NetworkCounts;
use network::{Arrival, LINE_BYTES_MAX, Network, ToNode};
use node::{DIAL_TIME, MadeRow, Node};
use program::Wish;
pub use scenario::{
    BY_MAX, Burst, Carrier, ClockSettings, CollectorSettings, DEVICES_MAX, DURATION_MAX,
    DeviceSettings, FOR_DEFAULT, Fault, Kind, Scenario, ScenarioError, StoreSettings, Weather,
    What,
};
pub use trace::LAST_LINES;
use trace::Trace;
pub use violation::{Promise, Violation};
use wiretap::Seen;

/// When every world begins: 2026-01-01T00:00:00Z.
pub const START_US: i64 = 1_767_225_600_000_000;
/// Once everything works, everything is drained within this time: two HELLOs that back off to 300 s times 1.5, a wait of 300 s on
/// the collector's account, and the largest time-out of data.
pub const DRAIN_MAX: Duration = Duration::from_secs(1_800);
/// Of the ACKs that leave, one in that many has a power cut tried out on a copy of the disk.
const POWER_CUT_EVERY: u32 = 48;
/// Packets of a device on their way, both ways: far more than its congestion window allows.
const PACKETS_MAX: usize = 4_096;
/// Steps of a world at the most; more of them in so little time is a loop.
const STEPS_MAX: u64 = 20_000_000;

/// One world.
pub struct World {
    seed: u64,
    scenario: Scenario,
    now: Instant,
    random: Pcg64Mcg,
    /// What is going to happen, and in which order if at once.
    agenda: BTreeMap<(Instant, u64), Deed>,
    deeds: u64,
    network: Network,
    host: Host,
    /// What the collector's machine is waiting for.
    power: faults::Power,
    nodes: Vec<Node>,
    judge: Judge,
    trace: Trace,
    counts: FaultCounts,
    steps: u64,
    serial: u32,
    commands: u32,
    /// After [`Scenario::duration`].
    is_draining: bool,
    out: Vec<Out>,
}

/// How a world ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// Virtual time.
    pub time: Duration,
    /// How much of it was draining.
    pub drained_in: Duration,
    /// What became of the rows.
    pub ledger: Ledger,
    /// What was looked at.
    pub judged: JudgeCounts,
    /// What went over the network.
    pub network: NetworkCounts,
    /// What went wrong.
    pub faults: FaultCounts,
    /// Lines of the trace, and a digest of them.
    pub lines: u64,
    /// As above.
    pub hash: u64,
    /// The last lines.
    pub last: Vec<String>,
}

impl World {
    /// A world that has not begun. The scenario has to be [checked](Scenario::check).
    pub fn new(seed: u64, scenario: Scenario) -> Self {
        Self::with_trace(seed, scenario, None)
    }

    /// The same; every line of the trace goes to `sink` too.
    pub fn with_trace(seed: u64, scenario: Scenario, sink: Option<Box<dyn Write>>) -> Self {
        let host = Host::new(seed, scenario.collector, &scenario.store, START_US);
        let mut judge = Judge::default();
        judge.retains = scenario.store.retention.is_some();
        let mut world = Self {
            seed,
            now: Instant(0),
            random: seed::generator(derive_seed(seed, 0, "world")),
            agenda: BTreeMap::new(),
            deeds: 0,
            network: Network::new(seed),
            host,
            power: faults::Power::default(),
            nodes: Vec::new(),
            judge,
            trace: Trace::new(sink),
            counts: FaultCounts::default(),
            steps: 0,
            serial: 0,
            commands: 0,
            is_draining: false,
            out: Vec::new(),
            scenario,
        };
        world.plan();
        world
    }

    /// Runs it to its end, or to the first broken promise.
    pub fn run(mut self) -> Outcome {
        self.start_collector();
        for index in 0..self.scenario.devices {
            let name: Arc<str> = format!("gh-{index}").into();
            self.add_node(name);
            self.nodes[index as usize].boot(self.now, &self.scenario);
        }
        let end = Instant(0) + self.scenario.duration;
        while self.judge.violation.is_none() {
            let next = self.next().filter(|at| *at < end);
            let Some(next) = next else { break };
            self.step(next);
        }
        self.now = self.now.max(end);
        let ledger = self.drain();
        let time = self.now.since(Instant(0));
        Outcome {
            violation: self.judge.violation,
            time,
            drained_in: time.saturating_sub(self.scenario.duration),
            ledger,
            judged: self.judge.counts,
            network: self.network.counts(),
            faults: self.counts,
            lines: self.trace.lines(),
            hash: self.trace.hash(),
            last: self.trace.last(),
        }
    }

    /// Everything works from now on, and nothing is made any more: what is on its way has to arrive.
    fn drain(&mut self) -> Ledger {
        self.heal();
        let end = self.now + DRAIN_MAX;
        while self.judge.violation.is_none() && !self.is_drained() {
            match self.next().filter(|at| *at < end) {
                Some(next) => self.step(next),
                None => {
                    let stuck = self.nodes.iter().filter_map(|node| {
                        let pending = node.program.as_ref()?.pending();
                        let next = node.next_timeout();
                        (pending > 0).then(|| format!("{} {pending}, timer {next:?}", node.name))
                    });
                    let what =
                        format!("not drained in {DRAIN_MAX:?}: {:?}", stuck.collect::<Vec<_>>());
                    self.judge.fail(self.now, Promise::Liveness, "world".into(), what);
                }
            }
        }
        if self.judge.violation.is_some() {
            return Ledger::default();
        }
        match self.host.open_to_read(self.now) {
            Ok(reader) => self.judge.audit(self.now, &reader),
            Err(what) => {
                self.judge.fail(self.now, Promise::Recovers, "store".into(), what);
                Ledger::default()
            }
        }
    }

    fn is_drained(&self) -> bool {
        let devices = self
            .nodes
            .iter()
            .all(|node| node.program.as_ref().is_some_and(|program| program.pending() == 0));
        devices && self.host.is_up() && !self.host.is_busy()
    }

    fn add_node(&mut self, name: Arc<str>) -> usize {
        let index = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.judge.add_device(&name);
        let node = Node::new(self.seed, index, name, &self.scenario, self.now);
        self.nodes.push(node);
        self.network.add(self.scenario.network)
    }

    /// When the next thing happens.
    fn next(&self) -> Option<Instant> {
        let deed = self.agenda.keys().next().map(|(at, _)| *at);
        let nodes = self.nodes.iter().filter(|node| node.program.is_some());
        let samples = nodes.clone().filter(|_| !self.is_draining).map(|node| node.next_sample);
        let timeouts = nodes.filter_map(Node::next_timeout);
        let others = [deed, self.network.next(), self.host.next()];
        let next = samples.chain(timeouts).chain(others.into_iter().flatten()).min()?;
        Some(next.max(self.now))
    }

    /// Everything that is due at `now`.
    fn step(&mut self, now: Instant) {
        self.now = now;
        self.judge.wiretap.now = now;
        self.steps += 1;
        if self.steps > STEPS_MAX {
            let what = format!("{STEPS_MAX} steps and no end");
            self.judge.fail(now, Promise::Liveness, "world".into(), what);
        }
        if let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= now) {
            let deed = entry.remove();
            self.carry_out(deed);
        }
        let machine = self.power.is_on;
        while let Some(arrival) = self.network.poll(now, self.host.is_up(), machine) {
            self.arrive(arrival);
        }
        self.turn_host();
        self.watch_network();
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            if node.program.is_none() {
                continue;
            }
            if !self.is_draining && node.next_sample <= now {
                self.sample(index);
            }
            if self.nodes[index].next_timeout().is_some_and(|at| at <= now) {
                self.nodes[index].timeout(now);
            }
            self.serve(index);
        }
    }

    /// What is under way is bounded too: a path by what it holds, a connection by its buffers.
    fn watch_network(&mut self) {
        let (packets, bytes) = self.network.under_way();
        if packets > PACKETS_MAX * self.nodes.len() || bytes > LINE_BYTES_MAX * 8 {
            let what = format!("{packets} packets, and {bytes} bytes on one connection");
            self.judge.fail(self.now, Promise::Bounded, "network".into(), what);
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        let now = self.now;
        match arrival {
            Arrival::Datagram { from, bytes } => {
                if self.host.is_up() {
                    self.judge.wiretap.came_in(from, &bytes);
                    self.host.datagram(now, from, &bytes);
                }
            }
            Arrival::Dialled { line } => {
                self.host.connected(now, line);
                self.network.answer(now, line, true);
            }
            Arrival::Bytes { line, bytes } => self.host.bytes(now, line, &bytes),
            Arrival::Ended { line } => self.host.ended(line),
            Arrival::ToNode { node, what } => {
                if let ToNode::Datagram(bytes) = &what {
                    self.judge.device_hears(bytes);
                }
                let name = Arc::clone(&self.nodes[node].name);
                match &what {
                    ToNode::Datagram(bytes) => {
                        let what = wiretap::Summary(bytes);
                        self.trace.note(now, &name, format_args!("hears {what}"));
                    }
                    ToNode::Connected(line) => {
                        self.trace.note(now, &name, format_args!("is connected, {line:x}"));
                    }
                    ToNode::Ended(line) => {
                        self.trace.note(now, &name, format_args!("has lost connection {line:x}"));
                    }
                    _ => {}
                }
                self.nodes[node].receive(now, what);
            }
        }
    }

    /// The collector does what is due, and what it says goes on its way.
    fn turn_host(&mut self) {
        let (now, mut out) = (self.now, std::mem::take(&mut self.out));
        let turned = self.host.turn(now, &mut self.judge, &mut self.trace, &mut out);
        for one in out.drain(..) {
            self.carry_down(one);
        }
        self.out = out;
        match turned {
            Ok(()) => self.finish_stop(),
            Err(Crashed) => self.crash_collector(),
        }
    }

    fn carry_down(&mut self, out: Out) {
        let now = self.now;
        let (peer, bytes) = match out {
            Out::Transmit(peer, bytes) => (peer, bytes),
            Out::Disconnect(line) => return self.network.close(now, line),
        };
        let to = if let Peer::Udp { remote, .. } = peer { Some(remote) } else { None };
        for seen in self.judge.collector_says(now, to, &bytes) {
            match seen {
                Seen::Ack => self.maybe_try_power_cut(),
                Seen::Command(device, id) => {
                    if !self.host.command_is_recorded(now, &device, id) {
                        let what = format!("command {id} left before it was recorded");
                        self.judge.fail(now, Promise::CommandOnce, device.to_string(), what);
                    }
                }
            }
        }
        match peer {
            Peer::Udp { remote, .. } => self.network.send_down(now, remote, bytes),
            Peer::Tcp(line) if self.network.has_room_down(line) => {
                // What a stream's receiver has been told is at most what was sent.
                self.judge.device_hears(&bytes);
                self.network.line_down(now, line, bytes);
            }
            Peer::Tcp(line) => {
                // The device does not read its answers.
                self.host.ended(line);
                self.network.close(now, line);
            }
        }
    }

    fn maybe_try_power_cut(&mut self) {
        if self.random.random_range(0..POWER_CUT_EVERY) != 0 || self.host.disk().has_crashed() {
            return;
        }
        let (now, utc) = (self.now, self.host.utc_us(self.now));
        match self.host.after_power_cut(now) {
            Ok((mut writer, _vfs)) => self.judge.try_power_cut(now, &mut writer, utc),
            Err(what) => self.judge.fail(now, Promise::Recovers, "store".into(), what),
        }
    }

    fn sample(&mut self, index: usize) {
        self.serial += 1;
        let (now, serial) = (self.now, self.serial);
        let node = &mut self.nodes[index];
        let name = Arc::clone(&node.name);
        for MadeRow { stream, row, reading } in node.sample(now, &self.scenario, serial) {
            let what = if reading.is_some() { "row" } else { "counts" };
            self.trace.note(now, &name, format_args!("makes {what} {row} of {stream:016x}"));
            let made = reading.map_or(Made::Counts, |(reading, device_time)| Made::Sample {
                reading,
                device_time,
            });
            self.judge.made(now, &name, stream, row, made);
        }
    }

    /// What a device's program wants is done.
    fn serve(&mut self, index: usize) {
        let now = self.now;
        let name = Arc::clone(&self.nodes[index].name);
        loop {
            let (node, network) = (&mut self.nodes[index], &self.network);
            let at = node.device_time(now);
            let Some(program) = &mut node.program else { return };
            let Some(wish) = program.poll(at, &|line| network.has_room_up(line)) else { break };
            self.grant(index, &name, wish);
        }
        let pending = self.nodes[index].program.as_ref().map_or(0, |program| program.pending());
        self.judge.watch_queue(now, &name, pending, self.scenario.device.queue_rows);
    }

    fn grant(&mut self, index: usize, name: &Arc<str>, wish: Wish) {
        let now = self.now;
        match wish {
            Wish::Datagram(bytes) => {
                let what = wiretap::Summary(&bytes);
                self.trace.note(
                    now,
                    name,
                    format_args!("sends {what} from {}", self.network.address(index)),
                );
                self.judge.device_says(now, true, &bytes);
                self.network.send_up(now, index, bytes);
            }
            Wish::Bytes(line, bytes) => {
                let what = wiretap::Summary(&bytes);
                self.trace.note(now, name, format_args!("sends {what} on {line:x}"));
                self.judge.device_says(now, false, &bytes);
                self.network.line_up(now, line, bytes);
            }
            Wish::Dial(line) => {
                self.trace.note(now, name, format_args!("dials {line:x}"));
                self.network.dial(now, index, line);
                self.put(now + DIAL_TIME, Deed::DialTimeout { node: index, line });
            }
            Wish::HangUp(line) => self.network.hang_up(now, line),
            Wish::Told(told) => {
                self.trace.note(now, name, format_args!("{told:?}"));
                self.judge.told(now, name, told);
            }
            Wish::Executed(serial) => {
                self.trace.note(now, name, format_args!("executes command {serial}"));
                self.judge.executed(now, name, serial);
            }
            Wish::Applied(revision) => self.nodes[index].apply(revision),
            Wish::Time(offset_us) => self.nodes[index].set_clock(now, offset_us),
            Wish::Note(text) => self.trace.note(now, name, format_args!("{text}")),
        }
    }

    fn put(&mut self, at: Instant, deed: Deed) {
        self.deeds += 1;
        self.agenda.insert((at, self.deeds), deed);
    }
}
