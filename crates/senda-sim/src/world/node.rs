//! A device of a world: a name, a clock, a program while it has power, and readings to make.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use senda_session::Instant;
use senda_session::device::Transport;
use senda_wire::Clock;

use super::network::ToNode;
use super::program::{Program, Single};
use super::readings::{Reading, reading, schema};
use super::scenario::{Carrier, Scenario};
use crate::clock::{ASK_EVERY, DeviceClock};
use crate::{derive_seed, seed};

/// Numbers of connections that a boot may use.
const LINES_OF_A_BOOT: u64 = 1 << 20;

/// A device.
pub(super) struct Node {
    pub(super) name: Arc<str>,
    index: u32,
    seed: u64,
    random: Pcg64Mcg,
    clock: DeviceClock,
    transport: Transport,
    pub(super) program: Option<Box<dyn Program>>,
    boots: u32,
    pub(super) next_sample: Instant,
    schema: usize,
    version: u8,
    samples: u32,
    /// Kept across boots, as the application of a device does. Spec §7.7.
    last_command_id: u32,
    config_rev: u32,
}

/// What a device has just given a number.
pub(super) struct MadeRow {
    pub(super) stream: u64,
    pub(super) row: u32,
    /// `None`: its own ledger.
    pub(super) reading: Option<(Reading, Option<i64>)>,
}

impl Node {
    /// Device `index` of the world, without power. `name` may be that of another one.
    pub(super) fn new(
        seed: u64,
        index: u32,
        name: Arc<str>,
        scenario: &Scenario,
        now: Instant,
    ) -> Self {
        let clocks = scenario.clocks.clocks();
        let mut random = seed::generator(derive_seed(seed, index, "world device"));
        let transport = match scenario.transport {
            Carrier::Udp => Transport::Udp,
            Carrier::Tcp => Transport::Tcp,
            Carrier::Mixed if random.random() => Transport::Udp,
            Carrier::Mixed => Transport::Tcp,
        };
        Self {
            name,
            index,
            seed,
            clock: DeviceClock::new(&clocks, index, seed, super::START_US, now),
            transport,
            program: None,
            boots: 0,
            next_sample: now,
            schema: random.random_range(0..super::readings::SCHEMAS),
            version: 0,
            samples: 0,
            last_command_id: 0,
            config_rev: 0,
            random,
        }
    }

    /// Power: a new stream. Spec §2.3a.
    pub(super) fn boot(&mut self, now: Instant, scenario: &Scenario) {
        self.boots += 1;
        let clocks = scenario.clocks.clocks();
        self.clock = DeviceClock::new(&clocks, self.index, self.seed, super::START_US, now);
        let at = self.clock.device_time(now);
        let mut config = scenario.device.config(&self.name).expect("the scenario was checked");
        config.last_command_id = self.last_command_id;
        config.config_rev = self.config_rev;
        config.time_every = self.clock.wants_time().then_some(ASK_EVERY);
        let lines = self.first_line();
        let mut program = Single::boot(config, self.random.random(), at, self.transport, lines);
        if self.clock.wants_time() {
            program.set_clock(at, self.clock.kind(), self.clock.base_us());
        }
        self.program = Some(Box::new(program));
        // The first sample comes a little after the boot, not with all others.
        let jitter = scenario.interval.mul_f64(self.random.random());
        self.next_sample = now + jitter;
    }

    /// No power: what was in memory is gone.
    pub(super) fn crash(&mut self) {
        if let Some(program) = self.program.take() {
            self.last_command_id = self.last_command_id.max(program.last_command_id());
        }
    }

    /// A second machine with the same memory.
    pub(super) fn copy(&self, index: u32, now: Instant) -> Option<Self> {
        let program = self.program.as_ref()?;
        let mut copy = Self {
            name: Arc::clone(&self.name),
            index,
            seed: self.seed,
            random: seed::generator(derive_seed(self.seed, index, "world device")),
            clock: self.clock.clone(),
            transport: self.transport,
            program: None,
            boots: 1,
            next_sample: self.next_sample,
            schema: self.schema,
            version: self.version,
            samples: self.samples,
            last_command_id: self.last_command_id,
            config_rev: self.config_rev,
        };
        copy.program = Some(program.copy(self.clock.device_time(now), copy.first_line()));
        Some(copy)
    }

    fn first_line(&self) -> u64 {
        (u64::from(self.index) << 32) + u64::from(self.boots) * LINES_OF_A_BOOT
    }

    /// The program's update.
    pub(super) fn change_schema(&mut self) {
        self.version = (self.version + 1).min(4);
        if self.random.random_bool(0.3) {
            self.schema += 1;
        }
    }

    pub(super) fn change_transport(&mut self, now: Instant) {
        self.transport = match self.transport {
            Transport::Udp => Transport::Tcp,
            Transport::Tcp => Transport::Udp,
        };
        let at = self.clock.device_time(now);
        if let Some(program) = &mut self.program {
            program.change_transport(at);
        }
    }

    /// What the device has to remember of settings.
    pub(super) const fn apply(&mut self, revision: u32) {
        self.config_rev = revision;
    }

    /// A TIME came.
    pub(super) fn set_clock(&mut self, now: Instant, offset_us: i64) {
        if self.clock.set(offset_us) {
            self.tell_clock(now);
        }
    }

    fn tell_clock(&mut self, now: Instant) {
        let (at, kind, base) =
            (self.clock.device_time(now), self.clock.kind(), self.clock.base_us());
        if let Some(program) = &mut self.program {
            program.set_clock(at, kind, base);
        }
    }

    /// Takes one sample, and now and then the ledger. What got a number is returned.
    pub(super) fn sample(
        &mut self,
        now: Instant,
        scenario: &Scenario,
        serial: u32,
    ) -> Vec<MadeRow> {
        self.next_sample = now + scenario.interval;
        if self.clock.advance(now) && self.clock.wants_time() {
            self.tell_clock(now);
        }
        let at = self.clock.device_time(now);
        let dated = (self.clock.kind(), self.clock.reading(now));
        let Some(program) = &mut self.program else { return Vec::new() };
        let schema = schema(self.schema, self.version);
        let settings = &scenario.device;
        let sparse = self.random.random_bool(settings.sparse.get());
        // The defect is in the program that measures doors.
        let spoilt = self.random.random_bool(settings.spoilt.get())
            && !sparse
            && self.schema.is_multiple_of(super::readings::SCHEMAS)
            && self.version == 0;
        let reading = reading(&schema, serial, sparse, spoilt, &mut self.random);
        let mut made = Vec::new();
        if let Ok((stream, row)) = program.make(at, dated, &reading) {
            let device_time = (dated.0 != Clock::None).then_some(dated.1);
            made.push(MadeRow { stream, row, reading: Some((reading, device_time)) });
        }
        self.samples += 1;
        if settings.counts_every > 0
            && self.samples.is_multiple_of(settings.counts_every)
            && let Some((stream, row)) = program.counts(at)
        {
            made.push(MadeRow { stream, row, reading: None });
        }
        made
    }

    /// Something arrives.
    pub(super) fn receive(&mut self, now: Instant, what: ToNode) {
        let at = self.clock.device_time(now);
        let Some(program) = &mut self.program else { return };
        match what {
            ToNode::Datagram(bytes) => program.datagram(at, &bytes),
            ToNode::Connected(line) => program.connected(at, line),
            ToNode::Bytes(line, bytes) => program.bytes(at, line, &bytes),
            ToNode::Ended(line) => program.ended(at, line),
            ToNode::TimedOut(line) => program.dial_timed_out(at, line),
        }
    }

    /// When its program wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let at = self.program.as_ref()?.next()?;
        Some(self.clock.truth(at))
    }

    /// Fires what is due.
    pub(super) fn timeout(&mut self, now: Instant) {
        let at = self.clock.device_time(now);
        if let Some(program) = &mut self.program {
            program.timeout(at);
        }
    }

    /// The device's own time.
    pub(super) fn device_time(&self, now: Instant) -> Instant {
        self.clock.device_time(now)
    }
}

/// Long enough for a connection to be made, or not.
pub(super) const DIAL_TIME: Duration = Duration::from_secs(10);
