//! The collector's machine: the real engine, the real keeper and the real store on a virtual disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use senda_disk::{Disk, Vfs};
use senda_keeper::{Answer, Batch, Desk, Effect, Keeper, Request, config_order};
use senda_session::Instant;
use senda_session::collector::{self, Collector, Event, Notice, Now, Outcome, Peer, Settings};
use senda_store::{Checkpointer, Reader, Writer};
use senda_wire::{List, MessageType, NamedValue, TypedValue, Value};

use super::judge::Judge;
use super::scenario::{CollectorSettings, StoreSettings};
use super::trace::Trace;
use crate::{derive_seed, seed};

/// Where the store lies on its disk: a disk has one directory.
const DIR: &str = "/";
/// Between two slices of a sweep of retention, and between two sweeps.
const SLICE_EVERY: Duration = Duration::from_millis(20);
const SWEEP_EVERY: Duration = Duration::from_secs(300);
/// How long a collector that stops waits for its store.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// While the store takes no rows it is asked again that often.
const LOOK_AROUND: Duration = Duration::from_millis(200);

/// What the machine wants of the world.
pub(super) enum Out {
    Transmit(Peer, Vec<u8>),
    Disconnect(u64),
}

/// The step of [`Disk::crash_at_step`] was reached: the process is as good as dead.
pub(super) struct Crashed;

/// The collector's machine. Its disk outlives its process.
pub(super) struct Host {
    settings: CollectorSettings,
    options: senda_store::Options,
    filing_rows: usize,
    random: Pcg64Mcg,
    disk: Disk,
    vfs: Vfs,
    /// The disk of the last backup.
    backup: Option<Disk>,
    process: Option<Process>,
    start_us: i64,
    /// How wrong its clock is.
    clock_us: i64,
    /// Desired settings of all devices: operators' memory, not the collector's.
    pub(super) wanted: Option<Settings>,
}

/// From a start to a crash.
struct Process {
    engine: Collector,
    keeper: Keeper,
    checkpointer: Option<Checkpointer>,
    desk: Desk,
    desired: Option<Settings>,
    /// Who is here, and with which CONFIG.
    present: BTreeMap<(Arc<str>, u64), u32>,
    asked: Vec<Request>,
    commit_at: Option<Instant>,
    answers: VecDeque<(Instant, Answer)>,
    file_at: Instant,
    checkpoint_at: Option<Instant>,
    sweep_at: Instant,
    accepting: bool,
    stopping: Option<Instant>,
    noticed: Vec<Noticed>,
    out: Vec<Out>,
}

/// The engine's word about a session.
pub(super) struct Noticed {
    pub(super) device: Arc<str>,
    pub(super) stream: u64,
    pub(super) notice: Notice,
}

impl Host {
    pub(super) fn new(
        seed: u64,
        collector: CollectorSettings,
        store: &StoreSettings,
        start_us: i64,
    ) -> Self {
        let disk = Disk::new(derive_seed(seed, 0, "world disk"));
        let vfs = disk.register();
        disk.set_sync_time(sync_time(&collector));
        Self {
            settings: collector,
            options: store.options(),
            filing_rows: store.filing_rows,
            random: seed::generator(derive_seed(seed, 0, "world collector")),
            disk,
            vfs,
            backup: None,
            process: None,
            start_us,
            clock_us: 0,
            wanted: None,
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub(super) const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What its clock says.
    pub(super) fn utc_us(&self, now: Instant) -> i64 {
        self.start_us.saturating_add_unsigned(now.0).saturating_add(self.clock_us)
    }

    pub(super) fn set_clock(&mut self, by_us: i64) {
        self.clock_us = self.clock_us.saturating_add(by_us);
    }

    /// Starts the process. The error is the store's.
    pub(super) fn start(&mut self, now: Instant, judge: &mut Judge) -> Result<(), String> {
        let utc = self.utc_us(now);
        self.disk.set_now(utc);
        let options = self.store_options();
        let mut writer =
            Writer::open(Path::new(DIR), options, utc).map_err(|error| describe(&error))?;
        judge.restarted(&mut writer, utc);
        writer.interrupt_commands(utc).map_err(|error| describe(&error))?;
        let seed: [u8; 32] = self.random.random();
        let process = Process {
            engine: Collector::new(self.settings.config(), seed, now),
            checkpointer: writer.checkpointer().ok(),
            keeper: Keeper::new(writer),
            desk: Desk::default(),
            desired: self.wanted.clone(),
            present: BTreeMap::new(),
            asked: Vec::new(),
            commit_at: None,
            answers: VecDeque::new(),
            file_at: now,
            checkpoint_at: None,
            sweep_at: now,
            accepting: true,
            stopping: None,
            noticed: Vec::new(),
            out: Vec::new(),
        };
        self.process = Some(process);
        self.disk.take_sync_time();
        Ok(())
    }

    /// The process is gone; its machine goes on, or loses power.
    pub(super) fn crash(&mut self, with_power: bool) {
        if with_power {
            self.disk.crash(self.random.random());
        } else {
            self.disk.kill();
        }
        self.process = None; // Its files are stale: closing them does nothing.
    }

    /// The process ends after this many operations on its disk.
    pub(super) fn crash_after(&self, steps: u32) {
        self.disk.crash_at_step(Some(self.disk.steps() + u64::from(steps)));
    }

    /// Takes a copy of the disk of a collector that is down.
    pub(super) fn back_up(&mut self) {
        self.backup = Some(self.disk.fork());
    }

    pub(super) const fn has_backup(&self) -> bool {
        self.backup.is_some()
    }

    /// Puts the disk of the last backup in, if there is one.
    pub(super) fn restore(&mut self) {
        let Some(backup) = &self.backup else { return };
        self.disk = backup.fork();
        self.vfs = self.disk.register();
        self.disk.set_sync_time(sync_time(&self.settings));
    }

    pub(super) fn set_sync_time(&mut self, time: Option<Duration>) {
        let micros = time.map_or(sync_time(&self.settings), |time| {
            u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
        });
        self.disk.set_sync_time(micros);
    }

    /// Files everything, and opens the store for reading.
    pub(super) fn open_to_read(&mut self, now: Instant) -> Result<Reader, String> {
        let utc = self.utc_us(now);
        let process = self.process.as_mut().ok_or("the collector is down")?;
        process.keeper.writer_mut().file_all(utc).map_err(|error| describe(&error))?;
        Reader::open_on(Path::new(DIR), Some(self.vfs.name())).map_err(|error| describe(&error))
    }

    /// What a power cut now would leave, opened.
    pub(super) fn after_power_cut(&mut self, now: Instant) -> Result<(Writer, Vfs), String> {
        let disk = self.disk.fork();
        disk.crash(self.random.random());
        let vfs = disk.register();
        let options = senda_store::Options { vfs: Some(vfs.name().into()), ..self.options.clone() };
        let writer = Writer::open(Path::new(DIR), options, self.utc_us(now));
        Ok((writer.map_err(|error| describe(&error))?, vfs))
    }

    fn store_options(&self) -> senda_store::Options {
        senda_store::Options { vfs: Some(self.vfs.name().into()), ..self.options.clone() }
    }

    // Input.

    pub(super) fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let at = self.now(now);
        if let Some(process) = self.listening() {
            process.engine.handle_datagram(at, from, None, bytes);
        }
    }

    pub(super) fn connected(&mut self, now: Instant, line: u64) {
        let at = self.now(now);
        if let Some(process) = self.listening() {
            process.engine.handle_connected(at, line);
        }
    }

    pub(super) fn bytes(&mut self, now: Instant, line: u64, bytes: &[u8]) {
        let at = self.now(now);
        if let Some(process) = self.listening() {
            process.engine.handle_stream_bytes(at, line, bytes);
        }
    }

    pub(super) fn ended(&mut self, line: u64) {
        if let Some(process) = &mut self.process {
            process.engine.handle_disconnected(line);
        }
    }

    /// A collector that drains hears nothing new.
    fn listening(&mut self) -> Option<&mut Process> {
        self.process.as_mut().filter(|process| process.stopping.is_none())
    }

    /// An operator queues a command.
    pub(super) fn command(&mut self, now: Instant, device: &str, serial: u32) -> Option<u32> {
        let (utc, at) = (self.utc_us(now), self.now(now));
        let process = self.process.as_mut()?;
        let arguments = command_arguments(serial);
        let writer = process.keeper.writer_mut();
        let record =
            writer.add_command(device, "set-mark", &arguments, utc + 60_000_000, utc).ok()?;
        if let Some(order) = senda_keeper::command_order(&record, utc) {
            let _ = process.desk.order(&mut process.engine, at, &device.into(), order);
        }
        Some(record.id)
    }

    /// An operator changes the settings of all devices.
    pub(super) fn settings(&mut self, now: Instant, settings: Settings) {
        let (utc, at) = (self.utc_us(now), self.now(now));
        let Some(process) = &mut self.process else { return };
        let set = Some((settings.revision, &*settings.list));
        if process.keeper.writer_mut().set_settings("*", set, utc).is_err() {
            return;
        }
        self.wanted = Some(settings.clone());
        let devices: BTreeSet<_> =
            process.present.keys().map(|(device, _)| device.clone()).collect();
        for device in devices {
            let _ = process.engine.handle_down(at, &device, config_order(&settings));
        }
        process.desired = Some(settings);
    }

    /// Drains, then ends in order.
    pub(super) fn stop(&mut self, now: Instant) {
        if let Some(process) = &mut self.process {
            process.stopping.get_or_insert(now);
        }
    }

    // The loop.

    pub(super) fn next(&self) -> Option<Instant> {
        let process = self.process.as_ref()?;
        let engine = process.engine.poll_timeout().map(|(at, _)| at);
        let answer = process.answers.front().map(|(at, _)| *at);
        let stop = process.stopping.map(|since| since + DRAIN_TIME);
        [
            engine,
            answer,
            stop,
            process.commit_at,
            process.checkpoint_at,
            Some(process.file_at),
            Some(process.sweep_at),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Everything that is due. What it says is in `out` afterwards, also when it crashed after that.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        judge: &mut Judge,
        trace: &mut Trace,
        out: &mut Vec<Out>,
    ) -> Result<(), Crashed> {
        let at = self.now(now);
        self.disk.set_now(at.utc_us);
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.engine.handle_timeout(at);
        process.take_answers(at);
        process.perform(now, judge, trace, self.settings.commit_interval);
        let crashed =
            self.commit(&mut process, at, judge, trace) || self.look_after(&mut process, at, judge);
        process.perform(now, judge, trace, self.settings.commit_interval);
        judge.watch_engine(now, &process.engine, &self.settings);
        out.append(&mut process.out);
        self.process = Some(process);
        if crashed { Err(Crashed) } else { Ok(()) }
    }

    /// One commit, if it is due; true when the process crashed in it.
    fn commit(
        &mut self,
        process: &mut Process,
        at: Now,
        judge: &mut Judge,
        trace: &mut Trace,
    ) -> bool {
        if process.commit_at.is_none_or(|due| due > at.instant) {
            return false;
        }
        process.commit_at = None;
        let mut batch: Batch = Batch::default();
        for request in process.asked.drain(..) {
            batch.add(request, at.utc_us);
        }
        let landings = batch.landings().len();
        let (mut answers, disk) = (Vec::new(), &self.disk);
        process.keeper.commit(batch, at.utc_us, &mut |effect| match effect {
            // What follows a crash never happened.
            _ if disk.has_crashed() => {}
            Effect::Landed(landings, verdicts) => judge.landed(at.instant, landings, verdicts),
            Effect::Answer(answer) => answers.push(answer),
            Effect::Changed(_) => {}
            Effect::Verdict(nobody, _) => match nobody {},
        });
        trace.note(at.instant, "collector", format_args!("commit of {landings} landings"));
        let crashed = self.disk.has_crashed();
        let took = Duration::from_micros(self.disk.take_sync_time());
        if crashed {
            // Some of it may have left before the end.
            if self.random.random_bool(0.5) {
                answers.into_iter().for_each(|answer| process.take_answer(at, answer));
            }
            return true;
        }
        let ready = at.instant + took;
        process.answers.extend(answers.into_iter().map(|answer| (ready, answer)));
        process.file_at = process.file_at.min(ready);
        false
    }

    /// Filing, checkpoints, retention, and whether rows are taken; true when the process crashed in it.
    fn look_after(&mut self, process: &mut Process, at: Now, judge: &mut Judge) -> bool {
        let (now, utc) = (at.instant, at.utc_us);
        let writer = process.keeper.writer_mut();
        if process.file_at <= now {
            process.file_at = match writer.file(utc, self.filing_rows) {
                Ok(filing) => {
                    if filing.checkpoint_due && process.checkpoint_at.is_none() {
                        let wait = Duration::from_micros(self.random.random_range(0..50_000));
                        process.checkpoint_at = Some(now + wait);
                    }
                    let wait =
                        filing.due.map(|due| u64::try_from(due.saturating_sub(utc)).unwrap_or(0));
                    wait.map_or(now + SWEEP_EVERY, |wait| {
                        now + Duration::from_micros(wait.max(1_000))
                    })
                }
                Err(_) => now + Duration::from_secs(1),
            };
        }
        if process.checkpoint_at.is_some_and(|due| due <= now) {
            process.checkpoint_at = None;
            // It is tried again.
            let _ = process.checkpointer.as_mut().map(Checkpointer::run);
        }
        if process.sweep_at <= now {
            process.sweep_at = match writer.retain(utc, self.filing_rows) {
                Ok(true) => now + SLICE_EVERY,
                Ok(false) => now + SWEEP_EVERY,
                Err(_) => now + Duration::from_secs(60),
            };
            let _ = writer.expire_commands(utc); // Again with the next sweep.
        }
        let accepting = writer.is_accepting(utc);
        if accepting != process.accepting {
            process.accepting = accepting;
            process.engine.set_accepting(at, accepting);
        }
        if !accepting {
            process.file_at = process.file_at.min(now + LOOK_AROUND);
        }
        judge.watch_inbox(now, &writer.inbox());
        self.disk.take_sync_time();
        self.disk.has_crashed()
    }

    /// True when a collector that was told to stop has nothing more to do; its last words are in `out`.
    pub(super) fn has_drained(
        &mut self,
        now: Instant,
        judge: &mut Judge,
        trace: &mut Trace,
        out: &mut Vec<Out>,
    ) -> bool {
        let at = self.now(now);
        let Some(process) = &mut self.process else { return false };
        let Some(since) = process.stopping else { return false };
        let is_late = now.since(since) >= DRAIN_TIME;
        if (process.engine.is_busy() || !process.answers.is_empty()) && !is_late {
            return false;
        }
        process.engine.close_all(at);
        process.perform(now, judge, trace, Duration::ZERO);
        out.append(&mut process.out);
        let _ = process.keeper.writer_mut().file_all(at.utc_us); // Else after the next start.
        if !self.disk.has_crashed() {
            self.process = None; // Closed in order.
        }
        true
    }

    /// True while something is on its way to the disk.
    pub(super) fn is_busy(&self) -> bool {
        self.process.as_ref().is_some_and(|process| {
            process.engine.is_busy()
                || process.engine.landing_bytes() > 0
                || !process.asked.is_empty()
        })
    }

    /// Whether a power cut now would leave it known that a command was sent.
    pub(super) fn command_is_recorded(&mut self, now: Instant, device: &str, id: u32) -> bool {
        let utc = self.utc_us(now);
        let Ok((mut writer, _vfs)) = self.after_power_cut(now) else { return false };
        let record = writer.command(device, id, utc).ok().flatten();
        record.is_some_and(|record| record.state != senda_store::CommandState::Queued)
    }

    fn now(&self, now: Instant) -> Now {
        Now { instant: now, utc_us: self.utc_us(now) }
    }
}

impl Process {
    fn take_answers(&mut self, at: Now) {
        while let Some((_, answer)) = self.answers.pop_front_if(|(ready, _)| *ready <= at.instant) {
            self.take_answer(at, answer);
        }
    }

    fn take_answer(&mut self, at: Now, answer: Answer) {
        match answer {
            Answer::Verdicts(verdicts) => self.engine.handle_durable(at, verdicts),
            Answer::Recorded(token, recorded) => {
                self.engine.handle_recorded(at, token, recorded);
            }
            Answer::Stream(token, state, orders) => {
                let desired = &self.desired;
                let device =
                    self.desk.take_stream(&mut self.engine, at, token, state, |_| desired.clone());
                if let Some(device) = device {
                    self.order(at, &device, orders);
                }
            }
            Answer::Orders(device, orders) => self.order(at, &device, orders),
        }
    }

    fn order(&mut self, at: Now, device: &Arc<str>, orders: Vec<collector::Downlink>) {
        for order in orders {
            self.take_events();
            let _ = self.desk.order(&mut self.engine, at, device, order);
        }
    }

    /// Carries out what the engine wants.
    fn perform(&mut self, now: Instant, judge: &mut Judge, trace: &mut Trace, interval: Duration) {
        self.take_events();
        while let Some(transmit) = self.engine.poll_transmit() {
            self.out.push(Out::Transmit(transmit.peer, transmit.bytes));
            self.take_events();
        }
        self.desk.end_turn();
        for notice in std::mem::take(&mut self.noticed) {
            judge.noticed(now, &notice);
            trace.note(now, &notice.device, format_args!("{:?}", notice.notice));
        }
        if !self.asked.is_empty() && self.commit_at.is_none() {
            // A commit at a time: the next one begins when this one's answers are there.
            let busy = self.answers.back().map_or(now, |(ready, _)| *ready);
            self.commit_at = Some((now + interval).max(busy));
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            self.take_event(event);
        }
        self.asked.extend(self.desk.take_waiting());
    }

    fn take_event(&mut self, event: Event) {
        let request = match event {
            Event::Open { token, device, stream, software } => {
                self.desk.open(token, device, stream, software)
            }
            Event::Land { token, device, stream, received_us, what } => {
                Request::Land { token, device, stream, received_us, what }
            }
            Event::Record { token, device, command_id } => {
                Request::Record { token, device, command_id }
            }
            Event::Outcome { device, kind, id, outcome } => {
                if kind == MessageType::Config && matches!(outcome, Outcome::Done { .. }) {
                    let of_device =
                        self.present.iter_mut().filter(|((name, _), _)| *name == device);
                    of_device.for_each(|(_, revision)| *revision = id);
                }
                self.desk.conclude(device, kind, id, outcome)
            }
            Event::Notice { device, stream, peer, notice } => {
                self.note_presence(&device, stream, notice);
                self.noticed.push(Noticed { device: device.clone(), stream, notice });
                let transport = if matches!(peer, Peer::Tcp(_)) { "tcp" } else { "udp" };
                self.desk.notice(device, stream, transport, notice)
            }
            Event::Disconnect(line) => {
                // What was queued for the connection goes first.
                while let Some(transmit) = self.engine.poll_transmit() {
                    self.out.push(Out::Transmit(transmit.peer, transmit.bytes));
                }
                return self.out.push(Out::Disconnect(line));
            }
            Event::Received { .. } | Event::Drop { .. } => return,
        };
        self.asked.push(request);
    }

    fn note_presence(&mut self, device: &Arc<str>, stream: u64, notice: Notice) {
        match notice {
            Notice::Welcomed { config_rev, .. } => {
                self.present.insert((device.clone(), stream), config_rev);
            }
            Notice::Replaced | Notice::Displaced | Notice::Left | Notice::TimedOut => {
                self.present.remove(&(device.clone(), stream));
                if self.present.keys().any(|(name, _)| name == device) {
                    // What that session did not get is for one that lives.
                    self.desk.wait_for(device.clone());
                }
            }
            Notice::TwoStreams { .. } | Notice::Snapshot { .. } | Notice::Moved => {}
        }
    }
}

/// A command's arguments: one number that says which command of the world it is. Spec §4.4.
fn command_arguments(serial: u32) -> Vec<u8> {
    let value = TypedValue { exponent: 0, value: Value::U32(serial) };
    let mut room = [0; 64];
    let list = List::build(&[NamedValue { name: "", typed: value }], &mut room);
    [&[1], list.expect("one number fits").bytes()].concat()
}

fn sync_time(settings: &CollectorSettings) -> u64 {
    u64::try_from(settings.sync_time.as_micros()).unwrap_or(u64::MAX)
}

/// An error and its sources, on one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
