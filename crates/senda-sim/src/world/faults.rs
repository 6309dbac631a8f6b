//! What goes wrong, and what operators do, carried out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use senda_session::Instant;
use senda_session::collector::Settings;

use super::network::ToNode;
use super::scenario::{Fault, Weather, What};
use super::violation::Promise;
use super::{START_US, World};

/// A supervisor starts a collector that could not open its store again after this time.
const START_AGAIN: Duration = Duration::from_secs(1);
/// What a stranger sends at a time.
const STRANGER_DATAGRAMS: u32 = 20;

/// Something on the agenda.
pub(super) enum Deed {
    Begin(Fault),
    End(Fault),
    StartCollector,
    StartDevice(usize),
    DialTimeout { node: usize, line: u64 },
    Command,
    ChangeSettings,
    Stranger(u32),
}

/// What went wrong, by kind.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FaultCounts {
    /// How often each kind happened.
    pub happened: BTreeMap<What, u32>,
    /// Starts of the collector, the first one included.
    pub starts: u32,
    /// Commands that were queued.
    pub commands: u32,
}

/// The collector's machine, and what is to happen when its process ends.
#[derive(Default)]
pub(super) struct Power {
    /// Its system runs, with or without the collector.
    pub(super) is_on: bool,
    /// The next crash is a power cut.
    cut: bool,
    /// How long it stays down after that.
    lasts: Duration,
    /// What is done while it is down after it was stopped.
    then_back_up: bool,
    /// Disks that are full or failing: starting may fail.
    bad_disks: u32,
}

impl World {
    /// Puts what the scenario says on the agenda.
    pub(super) fn plan(&mut self) {
        self.power.is_on = true;
        for fault in self.scenario.fault.clone() {
            self.put(Instant(0) + fault.at, Deed::Begin(fault));
        }
        if let Some(every) = self.scenario.commands_every {
            self.put(Instant(0) + every, Deed::Command);
        }
        if let Some(every) = self.scenario.settings_every {
            self.put(Instant(0) + every, Deed::ChangeSettings);
        }
    }

    pub(super) fn carry_out(&mut self, deed: Deed) {
        let now = self.now;
        match deed {
            Deed::Begin(fault) => self.begin(&fault),
            Deed::End(fault) => self.end(&fault),
            Deed::StartCollector => self.start_collector(),
            Deed::StartDevice(node) => {
                if self.nodes[node].program.is_none() {
                    self.nodes[node].boot(now, &self.scenario);
                    let name = Arc::clone(&self.nodes[node].name);
                    self.trace.note(now, &name, format_args!("boots"));
                }
            }
            Deed::DialTimeout { node, line } => {
                self.nodes[node].receive(now, ToNode::TimedOut(line));
            }
            Deed::Command => self.command(),
            Deed::ChangeSettings => self.change_settings(),
            Deed::Stranger(left) => {
                let (from, bytes) = self.network.stranger();
                if self.host.is_up() {
                    self.judge.wiretap.came_in(from, &bytes);
                    self.host.datagram(now, from, &bytes);
                }
                if left > 0 && !self.is_draining {
                    self.put(now + Duration::from_millis(70), Deed::Stranger(left - 1));
                }
            }
        }
    }

    fn begin(&mut self, fault: &Fault) {
        if self.is_draining {
            return;
        }
        let now = self.now;
        *self.counts.happened.entry(fault.what).or_default() += 1;
        self.trace.note(now, "world", format_args!("{:?} for {:?}", fault.what, fault.lasts));
        match fault.what {
            What::CollectorKilled | What::PowerCut => {
                self.power.cut = fault.what == What::PowerCut;
                self.power.lasts = fault.lasts;
                match fault.step {
                    Some(steps) if self.host.is_up() => self.host.crash_after(steps),
                    _ => self.crash_collector(),
                }
            }
            What::CollectorStopped | What::Backup => {
                self.power.lasts = fault.lasts;
                self.power.then_back_up = fault.what == What::Backup;
                self.host.stop(now);
            }
            What::Restore => self.restore(fault.lasts),
            What::CollectorClock => {
                #[expect(clippy::cast_possible_truncation, reason = "saturates, as it should")]
                self.host.set_clock((fault.by * 1e6) as i64);
            }
            What::DiskFull => {
                self.power.bad_disks += 1;
                let disk = self.host.disk();
                disk.set_capacity(Some(disk.used() + self.random.random_range(0..20_000)));
            }
            What::SyncFails => {
                self.power.bad_disks += 1;
                self.host.disk().fail_syncs(self.random.random_range(1..=4));
            }
            What::SlowSync => {
                self.host.set_sync_time(Some(Duration::from_secs_f64(fault.by.abs())));
            }
            What::DeviceCloned | What::DeviceCopied => self.multiply(fault),
            What::Stranger => self.put(now, Deed::Stranger(STRANGER_DATAGRAMS)),
            _ => {
                for node in self.touched(fault) {
                    self.begin_at(node, fault);
                }
            }
        }
        self.put(now + fault.lasts, Deed::End(fault.clone()));
    }

    fn begin_at(&mut self, node: usize, fault: &Fault) {
        let now = self.now;
        match fault.what {
            What::DeviceCrash => {
                let name = Arc::clone(&self.nodes[node].name);
                self.nodes[node].crash();
                self.network.crash_node(node);
                self.judge.crashed(&name);
            }
            What::SchemaChange => self.nodes[node].change_schema(),
            What::Move => self.nodes[node].change_transport(now),
            What::Rebind => self.network.rebind(node),
            What::Cut => self.network.cut(node, true),
            What::UdpBlocked => self.network.block_udp(node, true),
            What::Weather => {
                self.network.set_weather(node, fault.weather.unwrap_or(self.scenario.network));
            }
            What::LinesBreak => self.network.break_lines(now, node),
            What::LinesForgotten => self.network.forget_lines(node),
            _ => {}
        }
    }

    fn end(&mut self, fault: &Fault) {
        if self.is_draining {
            return; // All of them have ended.
        }
        let disk = self.host.disk();
        match fault.what {
            What::DiskFull => {
                disk.set_capacity(None);
                self.power.bad_disks = self.power.bad_disks.saturating_sub(1);
            }
            What::SyncFails => {
                disk.fail_syncs(0);
                self.power.bad_disks = self.power.bad_disks.saturating_sub(1);
            }
            What::SlowSync => self.host.set_sync_time(None),
            What::DeviceCrash | What::Cut | What::UdpBlocked | What::Weather => {
                for node in self.touched(fault) {
                    match fault.what {
                        What::DeviceCrash => self.carry_out(Deed::StartDevice(node)),
                        What::Cut => self.network.cut(node, false),
                        What::UdpBlocked => self.network.block_udp(node, false),
                        _ => self.network.set_weather(node, self.scenario.network),
                    }
                }
            }
            _ => {}
        }
    }

    /// The devices that a fault is about.
    fn touched(&self, fault: &Fault) -> Vec<usize> {
        match fault.device {
            Some(device) => vec![device as usize],
            None => (0..self.nodes.len()).collect(),
        }
    }

    /// Another device of the same name: with its own boot, or with the memory of the first.
    fn multiply(&mut self, fault: &Fault) {
        if self.nodes.len() >= 2 * self.scenario.devices as usize {
            return; // Nine sessions of a name displace one another: another matter. Spec §6.5a.
        }
        let first = fault.device.unwrap_or(0) as usize;
        let name = Arc::clone(&self.nodes[first].name);
        if fault.what == What::DeviceCloned {
            let node = self.add_node(name);
            return self.nodes[node].boot(self.now, &self.scenario);
        }
        let index = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if let Some(copy) = self.nodes[first].copy(index, self.now) {
            self.judge.copied.insert(name);
            self.nodes.push(copy);
            self.network.add(self.scenario.network);
        }
    }

    // The collector's machine.

    pub(super) fn start_collector(&mut self) {
        let now = self.now;
        self.power.is_on = true;
        if self.host.is_up() {
            return;
        }
        match self.host.start(now, &mut self.judge) {
            Ok(()) => {
                self.counts.starts += 1;
                self.trace.note(now, "collector", format_args!("starts"));
            }
            Err(what) => {
                self.trace.note(now, "collector", format_args!("can't start: {what}"));
                if self.host.disk().has_crashed() {
                    return self.crash_collector();
                }
                if self.power.bad_disks == 0 {
                    self.judge.fail(now, Promise::Recovers, "store".into(), what);
                }
                self.put(now + START_AGAIN, Deed::StartCollector);
            }
        }
    }

    /// The process is gone.
    pub(super) fn crash_collector(&mut self) {
        let Power { cut, lasts, .. } = self.power;
        self.trace.note(self.now, "collector", format_args!("crashes, power cut: {cut}"));
        self.host.crash(cut);
        self.power.is_on = !cut;
        self.network.crash_collector(self.now, !cut);
        self.put(self.now + lasts, Deed::StartCollector);
    }

    /// A collector that was told to stop ends when it has drained.
    pub(super) fn finish_stop(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        let ended = self.host.has_drained(self.now, &mut self.judge, &mut self.trace, &mut out);
        for one in out.drain(..) {
            self.carry_down(one);
        }
        self.out = out;
        if !ended {
            return;
        }
        if self.host.is_up() {
            return self.crash_collector(); // The disk's end came first.
        }
        self.trace.note(self.now, "collector", format_args!("stops"));
        self.network.crash_collector(self.now, true);
        if std::mem::take(&mut self.power.then_back_up) {
            self.host.back_up();
        }
        self.put(self.now + self.power.lasts, Deed::StartCollector);
    }

    fn restore(&mut self, lasts: Duration) {
        self.power.lasts = lasts;
        self.power.cut = false;
        if !self.host.has_backup() {
            return;
        }
        self.crash_collector();
        self.host.restore();
        self.judge.restores += 1;
        self.judge.wiretap.is_restored = true;
    }

    /// The faults are over.
    pub(super) fn heal(&mut self) {
        self.is_draining = true;
        self.trace.note(self.now, "world", format_args!("everything works from now on"));
        let disk = self.host.disk();
        disk.set_capacity(None);
        disk.fail_syncs(0);
        disk.crash_at_step(None);
        self.power.bad_disks = 0;
        self.host.set_sync_time(None);
        for node in 0..self.nodes.len() {
            self.network.cut(node, false);
            self.network.block_udp(node, false);
            let delay = "10ms".parse().unwrap_or_default();
            self.network.set_weather(node, Weather { delay, ..Weather::default() });
            self.carry_out(Deed::StartDevice(node));
            if let Some(program) = &mut self.nodes[node].program {
                program.flush();
            }
        }
    }

    // Operators.

    fn command(&mut self) {
        let now = self.now;
        if !self.is_draining {
            let every = self.scenario.commands_every.unwrap_or(Duration::from_secs(60));
            self.put(now + every, Deed::Command);
            self.commands += 1;
            let node = self.random.random_range(0..self.nodes.len());
            let name = Arc::clone(&self.nodes[node].name);
            if let Some(id) = self.host.command(now, &name, self.commands) {
                self.counts.commands += 1;
                let serial = self.commands;
                self.trace.note(now, &name, format_args!("is to execute {serial}, id {id}"));
            }
        }
    }

    fn change_settings(&mut self) {
        let now = self.now;
        if !self.is_draining {
            let every = self.scenario.settings_every.unwrap_or(Duration::from_secs(60));
            self.put(now + every, Deed::ChangeSettings);
            let micros = START_US.saturating_add_unsigned(now.0);
            let revision = u32::try_from(micros / 1_000_000 % 1_000_000_000).unwrap_or(1).max(1);
            self.host.settings(now, Settings { revision, list: vec![0] });
        }
    }
}
