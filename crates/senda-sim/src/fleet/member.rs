//! One device of a fleet: its sensors, its session, its socket, its bad network.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use senda_client::COUNTS_EVERY;
use senda_client::journal::{DeviceJournal, Made};
use senda_session::Instant;
use senda_session::device::{
    Batch, Closing, Config, Device, DropPolicy, Event, PushError, QueueLimits, SchemaId, Transport,
};
use senda_wire::registry::{DATAGRAM_MAX, downlink};
use senda_wire::{Value, encode_row, encode_sparse_row};

use super::settings::Settings;
use super::socket::{Link as SocketLink, Received};
use super::{Claim, Figures, Happening, Plan, Watch};
use crate::clock::{ASK_EVERY, DeviceClock};
use crate::faults::Link;
use crate::{Instrument, Profile, derive_seed};

/// Room for one receive, or one piece of a stream.
pub(super) const BUFFER: usize = 65_536;
/// What a device keeps while it has no collector.
const QUEUE: QueueLimits =
    QueueLimits { rows: 100_000, bytes: 16 << 20, policy: DropPolicy::DropOldest };
/// Samples in one turn, so that a member that is late does not hold up the others.
const SAMPLES_A_TURN: usize = 64;
/// Datagrams, or reads, in one turn.
const READS_A_TURN: usize = 32;
/// A message that is not full leaves after this time at the latest, whatever `batch_rows` says.
const BATCH_DELAY_MAX: Duration = Duration::from_secs(3_600);
/// What the device says that it runs.
pub(super) const SOFTWARE: &str = concat!("senda-sim/", env!("CARGO_PKG_VERSION"));

/// One device of a fleet.
pub(super) struct Member {
    pub(super) index: u32,
    pub(super) device: Device,
    pub(super) clock: DeviceClock,
    pub(super) instrument: Instrument,
    pub(super) schema: SchemaId,
    journal: Option<DeviceJournal>,
    pub(super) transport: Transport,
    /// What a boot, and a CONFIG that says nothing, brings back.
    pub(super) defaults: Settings,
    pub(super) settings: Settings,
    pub(super) boots: u32,
    pub(super) booted: Instant,
    /// A `reboot` was answered: it comes when the answer has left.
    pub(super) wants_reboot: bool,
    /// What earlier boots have counted.
    before: Tally,
    pub(super) socket: Option<SocketLink>,
    /// The device's bad network, both ways; only UDP has one.
    network: Option<Box<(Link, Link)>>,
    /// Rows without an ACK, and when they were made.
    pub(super) waiting: VecDeque<(u32, Instant)>,
    streams: Vec<u64>,
    pub(super) start_us: i64,
    left: u64,
    closing: bool,
    /// When this member wants to be looked at next; `None` when it has ended.
    pub(super) wake: Option<Instant>,
    /// The socket changed: epoll has to hear of it.
    pub(super) is_new_socket: bool,
    /// The socket may still have something: the turn's bound was reached.
    has_more: bool,
}

/// What the boots of a device have counted that are over.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    made: u64,
    acked: u64,
    refused: u64,
    skipped: u64,
    /// Rows that were in memory, unacknowledged, at a reboot: they may be stored or not.
    forgotten: u64,
    /// Rows that got a second number, in another stream. Spec §6.7a.
    renumbered: u64,
    messages: u64,
    resent: u64,
    sessions: u64,
}

/// What one turn of a member shares with the others.
pub(super) struct Turn<'t> {
    pub(super) now: Instant,
    pub(super) plan: &'t Plan,
    pub(super) figures: &'t mut Figures,
    pub(super) watch: &'t mut dyn Watch,
    pub(super) buffer: &'t mut [u8],
    pub(super) row: &'t mut Vec<u8>,
    /// No more samples: what is queued is sent, then the member says goodbye.
    pub(super) ending: bool,
}

impl Member {
    /// Device `index` of the fleet; its samples begin at `start_us`.
    pub(super) fn new(plan: &Plan, index: u32, transport: Transport) -> Self {
        let profile = plan.profiles[index as usize % plan.profiles.len()];
        let profile = plan.interval.map_or(profile, |interval| profile.with_interval(interval));
        let clock = DeviceClock::new(&plan.clocks, index, plan.seed, plan.start_us, Instant(0));
        let (device, schema) = boot(plan, profile, &clock, index, 0, 0);
        let interval = Duration::from_micros(profile.interval_us().unsigned_abs());
        let defaults = Settings { interval, batch_rows: 1, disabled: BTreeSet::new() };
        let bad = transport == Transport::Udp && !plan.conditions.is_perfect();
        let link = |way| Link::new(plan.conditions, derive_seed(plan.seed, index, way));
        Self {
            index,
            streams: vec![device.stream()],
            journal: plan.journal(&profile.device_name(index), &device),
            device,
            clock,
            instrument: Instrument::new(profile, index, plan.seed, plan.start_us),
            schema,
            transport,
            settings: defaults.clone(),
            defaults,
            boots: 0,
            booted: Instant(0),
            wants_reboot: false,
            before: Tally::default(),
            socket: None,
            network: bad.then(|| Box::new((link("up"), link("down")))),
            waiting: VecDeque::new(),
            start_us: plan.start_us,
            left: plan.count.unwrap_or(u64::MAX),
            closing: false,
            wake: Some(Instant(0)),
            is_new_socket: false,
            has_more: false,
        }
    }

    /// Everything that is due: samples, bytes both ways, timers, events.
    pub(super) fn turn(&mut self, turn: &mut Turn<'_>) {
        if self.socket.is_none() && turn.now == Instant(0) {
            self.connect(turn);
        }
        if !turn.ending {
            self.take_samples(turn);
        }
        self.receive(turn);
        self.device.handle_timeout(self.clock.device_time(turn.now));
        self.end_when_done(turn);
        loop {
            self.transmit(turn);
            if self.handle_events(turn) {
                continue;
            }
            if !std::mem::take(&mut self.wants_reboot) {
                break;
            }
            self.reboot(turn);
        }
        self.wake = self.next_wake(turn);
    }

    /// True when the last sample was taken.
    pub(super) const fn has_made_all(&self) -> bool {
        self.left == 0
    }

    /// True when everything was said and answered.
    pub(super) fn has_ended(&self) -> bool {
        self.device.is_closed()
    }

    /// What it says in the end.
    pub(super) fn claim(&self) -> Claim {
        let device = self.instrument.profile().device_name(self.index);
        let total = self.total();
        Claim {
            device,
            streams: self.streams.clone(),
            acked: total.acked,
            made: total.made + total.renumbered,
        }
    }

    /// Rows of which nobody knows yet. What the queue holds beside rows, COUNTS and SKIP, is no row.
    pub(super) fn pending(&self) -> u64 {
        let Tally { made, acked, refused, skipped, forgotten, .. } = self.total();
        made.saturating_sub(acked + refused + skipped + forgotten)
    }

    pub(super) fn add_stats(&self, figures: &mut Figures) {
        let total = self.total();
        figures.made += total.made;
        figures.acked += total.acked;
        figures.refused += total.refused;
        figures.skipped += total.skipped;
        figures.forgotten += total.forgotten;
        figures.messages += total.messages;
        figures.resent += total.resent;
        figures.sessions += total.sessions;
        figures.serving += u64::from(self.device.is_serving());
    }

    /// What all boots have counted, the present one included.
    fn total(&self) -> Tally {
        let (before, stats) = (self.before, self.device.stats());
        Tally {
            made: before.made + stats.made,
            acked: before.acked + stats.acked,
            refused: before.refused + stats.refused,
            skipped: before.skipped + stats.skipped.iter().sum::<u64>(),
            messages: before.messages + stats.sent_messages,
            resent: before.resent + stats.resent_messages,
            sessions: before.sessions + stats.sessions,
            ..before
        }
    }

    fn take_samples(&mut self, turn: &mut Turn<'_>) {
        for _ in 0..SAMPLES_A_TURN {
            if self.left == 0 || self.due() > turn.now {
                return;
            }
            let t_us = self.instrument.next_due();
            self.left -= 1;
            if self.push_sample(turn, t_us, |_, _| {}).is_err() {
                turn.figures.not_queued += 1;
            }
            self.instrument.advance();
        }
    }

    /// Reads the sensors and queues the row; `look` sees each value that is in it, with its channel's place in the schema.
    pub(super) fn push_sample(
        &mut self,
        turn: &mut Turn<'_>,
        t_us: i64,
        mut look: impl FnMut(usize, &Value<'_>),
    ) -> Result<u32, PushError> {
        let Turn { now, row, .. } = turn;
        let disabled = &self.settings.disabled;
        let schema = self.instrument.profile().schema();
        row.clear();
        row.resize(schema.bitmap_len() + schema.row_max(), 0);
        let encoded = self.instrument.with_values(t_us, |values| {
            let enabled = |(place, _): &(usize, _)| !disabled.contains(place);
            let there = values.iter().enumerate().filter(enabled);
            there.for_each(|(place, value)| look(place, value));
            if disabled.is_empty() {
                return encode_row(&schema, values, row);
            }
            // A sensor that is off is read all the same, so that it goes on as if it had never been off.
            let values = values.iter().enumerate();
            let sparse: Vec<Option<Value<'_>>> = values
                .map(|(place, value)| (!disabled.contains(&place)).then_some(*value))
                .collect();
            encode_sparse_row(&schema, &sparse, row)
        });
        // The values come from the channels that the schema describes, and there is room.
        row.truncate(encoded.unwrap_or_else(|error| unreachable!("{error}")));
        // By the device's own clock, at that moment.
        let moment = Instant(u64::try_from(t_us.saturating_sub(self.start_us)).unwrap_or(0));
        if self.clock.advance(moment) && self.clock.wants_time() {
            let (kind, base_us) = (self.clock.kind(), self.clock.base_us());
            self.device.set_clock(self.clock.device_time(*now), kind, base_us);
        }
        let (at, kind) = (self.clock.device_time(*now), self.clock.kind());
        let time_us = self.clock.reading(moment);
        let pushed = if disabled.is_empty() {
            self.device.push(at, self.schema, kind, time_us, row)
        } else {
            self.device.push_sparse(at, self.schema, kind, time_us, row)
        };
        let number = pushed?;
        if let Some(journal) = &self.journal {
            let description = schema.bytes();
            let sparse = !disabled.is_empty();
            let made = Made { description, clock: kind, time_us, sparse, bytes: row };
            journal.made(self.device.stream(), number, &made);
        }
        self.waiting.push_back((number, *now));
        Ok(number)
    }

    /// Unix microseconds, on the fleet's clock.
    pub(super) fn now_us(&self, now: Instant) -> i64 {
        self.start_us.saturating_add_unsigned(now.0)
    }

    /// Puts settings in force.
    pub(super) fn apply(&mut self, settings: Settings, now: Instant) {
        let Settings { interval, batch_rows, .. } = settings;
        if interval != self.settings.interval {
            self.instrument.set_interval(interval, self.now_us(now));
        }
        // Rows that come on time fill a message before this.
        let delay = interval.saturating_mul(u32::from(batch_rows)).min(BATCH_DELAY_MAX);
        let delay = if batch_rows > 1 { delay } else { Duration::ZERO };
        self.device.set_batch(Batch { rows: batch_rows, delay });
        self.settings = settings;
    }

    /// Ends this boot and begins another one, as a device without storage does: a new stream, nothing in the queue, settings
    /// at their defaults. All that it keeps is the id of the last command, noted before that was begun. Spec §2.3, §7.7.
    fn reboot(&mut self, turn: &mut Turn<'_>) {
        self.device.close(Closing::Now);
        self.transmit(turn);
        let mut total = self.total();
        // What an ACK told, a refusal or a SKIP, is settled; of the rest nobody here knows any more.
        let settled = total.acked + total.refused + total.skipped + total.forgotten;
        let forgotten = total.made.saturating_sub(settled);
        total.forgotten += forgotten;
        self.before = total;
        self.boots += 1;
        self.booted = turn.now;
        let last_command_id = self.device.last_command_id();
        let profile = self.instrument.profile();
        let plan = turn.plan;
        self.clock = DeviceClock::new(&plan.clocks, self.index, plan.seed, plan.start_us, turn.now);
        (self.device, self.schema) =
            boot(plan, profile, &self.clock, self.index, self.boots, last_command_id);
        self.journal = plan.journal(&profile.device_name(self.index), &self.device);
        self.waiting.clear();
        self.streams.push(self.device.stream());
        self.closing = false;
        self.apply(self.defaults.clone(), turn.now);
        turn.figures.reboots += 1;
        let stream = self.device.stream();
        self.tell(turn, &Happening::Rebooted { stream, forgotten });
        self.end_when_done(turn);
        match self.transport {
            // The port stays: datagrams on their way find it, and are of no session that the new boot knows.
            Transport::Udp if self.socket.is_some() => {
                self.device.connect(self.clock.device_time(turn.now), self.transport);
            }
            _ => self.connect(turn),
        }
    }

    /// Tells whoever watches closely.
    pub(super) fn tell(&self, turn: &mut Turn<'_>, what: &Happening<'_>) {
        if turn.watch.is_close() {
            turn.watch.happened(&self.instrument.profile().device_name(self.index), what);
        }
    }

    /// When the next sample is due, on the fleet's clock.
    fn due(&self) -> Instant {
        let since = self.instrument.next_due().saturating_sub(self.start_us);
        Instant(u64::try_from(since).unwrap_or(0))
    }

    /// The last sample was taken: what is queued is sent, then the session ends.
    fn end_when_done(&mut self, turn: &Turn<'_>) {
        if !self.closing && (turn.ending || self.left == 0) {
            self.closing = true;
            // A queue without room for it tells no ledger.
            let _ = self.device.push_new_counts(self.clock.device_time(turn.now));
            self.device.flush();
            self.device.close(Closing::WhenFlushed);
        }
    }

    fn connect(&mut self, turn: &mut Turn<'_>) {
        let address = match self.transport {
            Transport::Udp => turn.plan.udp,
            Transport::Tcp => turn.plan.tcp,
        };
        let opened =
            address.and_then(|address: SocketAddr| SocketLink::open(self.transport, address).ok());
        self.is_new_socket = opened.is_some();
        self.socket = opened;
        match &self.socket {
            Some(socket) if socket.is_connecting() => {}
            Some(_) => self.device.connect(self.clock.device_time(turn.now), self.transport),
            None => self.device.disconnected(self.clock.device_time(turn.now)),
        }
    }

    /// The socket can be read or written.
    pub(super) fn handle_ready(&mut self, turn: &mut Turn<'_>) {
        if let Some(socket) = self.socket.as_mut().filter(|socket| socket.is_connecting()) {
            match socket.finish_connecting() {
                Ok(()) => self.device.connect(self.clock.device_time(turn.now), self.transport),
                Err(_) => self.lose_socket(turn),
            }
        }
        self.turn(turn);
    }

    fn lose_socket(&mut self, turn: &Turn<'_>) {
        if self.socket.take().is_some() {
            self.device.disconnected(self.clock.device_time(turn.now));
        }
    }

    fn receive(&mut self, turn: &mut Turn<'_>) {
        self.has_more = true;
        for _ in 0..READS_A_TURN {
            let Some(socket) = self.socket.as_mut().filter(|socket| !socket.is_connecting()) else {
                self.has_more = false;
                break;
            };
            match socket.receive(turn.buffer) {
                Ok(Received::Bytes(len)) => match &mut self.network {
                    Some(network) => network.1.send(turn.now, turn.buffer[..len].to_vec()),
                    None => self
                        .device
                        .handle_input(self.clock.device_time(turn.now), &turn.buffer[..len]),
                },
                Ok(Received::Nothing) => {
                    self.has_more = false;
                    break;
                }
                Ok(Received::End) | Err(_) => {
                    self.has_more = false;
                    self.lose_socket(turn);
                    break;
                }
            }
        }
        while let Some(bytes) = self.network.as_mut().and_then(|network| network.1.poll(turn.now)) {
            self.device.handle_input(self.clock.device_time(turn.now), &bytes);
        }
    }

    fn transmit(&mut self, turn: &mut Turn<'_>) {
        let Some(mut socket) = self.socket.take() else {
            return;
        };
        let mut alive = socket.flush().is_ok();
        let room = if socket.transport() == Transport::Udp { DATAGRAM_MAX } else { BUFFER };
        while alive && !socket.is_connecting() && !socket.is_blocked() {
            let Some(len) = self
                .device
                .poll_transmit(self.clock.device_time(turn.now), &mut turn.buffer[..room])
            else {
                break;
            };
            match &mut self.network {
                Some(network) => network.0.send(turn.now, turn.buffer[..len].to_vec()),
                None => alive = socket.send(&turn.buffer[..len]).is_ok(),
            }
        }
        while let Some(bytes) = self.network.as_mut().and_then(|network| network.0.poll(turn.now)) {
            let _ = socket.send(&bytes);
        }
        self.socket = Some(socket);
        if !alive {
            self.lose_socket(turn);
        }
    }

    /// True when an event may have caused something to send.
    fn handle_events(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut again = false;
        while let Some(event) = self.device.poll_event() {
            again = true;
            if let Some(journal) = &mut self.journal {
                journal.heard(&event);
            }
            match event {
                Event::Acked(acked) => self.note_durable(acked.mark, turn),
                Event::Config { ticket, revision, settings } => {
                    self.on_config(ticket, revision, &settings, turn);
                }
                Event::Command { ticket, id, name, arguments, .. } => {
                    self.on_command(ticket, id, &name, &arguments, turn);
                }
                Event::Alert { ticket, alert } => self.on_alert(ticket, &alert, turn),
                Event::Time { offset_us, uncertainty_us } => {
                    if self.clock.set(offset_us) {
                        let (kind, base_us) = (self.clock.kind(), self.clock.base_us());
                        self.device.set_clock(self.clock.device_time(turn.now), kind, base_us);
                    }
                    self.tell(turn, &Happening::Time { offset_us, uncertainty_us });
                }
                Event::Welcomed(welcomed) => self.tell(turn, &Happening::Welcomed(&welcomed)),
                Event::NeedConnect => self.connect(turn),
                Event::Lost { reason, .. } => {
                    self.tell(turn, &Happening::Lost(&reason));
                    turn.figures.lost_sessions += 1;
                    if self.transport == Transport::Tcp {
                        self.socket = None; // Another connection comes with NeedConnect.
                    }
                }
                // The rows have other numbers now.
                Event::NewStream(stream) => {
                    self.waiting.clear();
                    self.streams.push(stream.new);
                    let moved = stream.moved.iter().map(|(_, count, _)| u64::from(*count));
                    self.before.renumbered += moved.sum::<u64>();
                }
                _ => {}
            }
        }
        again
    }

    fn note_durable(&mut self, mark: u32, turn: &mut Turn<'_>) {
        while let Some((_, made)) = self.waiting.pop_front_if(|(row, _)| *row < mark) {
            let micros = u64::try_from(turn.now.since(made).as_micros()).unwrap_or(u64::MAX);
            turn.figures.latency_us.saturating_record(micros.max(1));
        }
    }

    fn next_wake(&self, turn: &Turn<'_>) -> Option<Instant> {
        if self.has_ended()
            && self.network.as_ref().is_none_or(|network| network.0.in_flight() == 0)
        {
            return None;
        }
        if self.has_more {
            return Some(turn.now);
        }
        let sample = (!turn.ending && self.left > 0).then(|| self.due());
        let timer = self.device.poll_timeout().map(|(at, _)| self.clock.truth(at));
        let network = self.network.as_ref();
        let up = network.and_then(|network| network.0.next_wakeup());
        let down = network.and_then(|network| network.1.next_wakeup());
        [sample, timer, up, down].into_iter().flatten().min().or(Some(Instant(u64::MAX)))
    }
}

/// The device of a boot: its stream and nonces are its own. Spec §2.3a.
fn boot(
    plan: &Plan,
    profile: Profile,
    clock: &DeviceClock,
    index: u32,
    boots: u32,
    last_command_id: u32,
) -> (Device, SchemaId) {
    let mut config = Config::new(&profile.device_name(index));
    config.downlink = downlink::ALL;
    config.last_command_id = last_command_id;
    config.software = SOFTWARE.into();
    config.queue = QUEUE;
    config.start_jitter = plan.start_jitter;
    config.rejoin_jitter = plan.rejoin_jitter;
    config.window_messages = plan.window_messages;
    config.counts_every = Some(COUNTS_EVERY);
    config.time_every = clock.wants_time().then_some(ASK_EVERY);
    let mut device = Device::new(config, plan.entropy(index, boots))
        .unwrap_or_else(|error| unreachable!("{error}"));
    let schema =
        device.declare(profile.schema().bytes()).unwrap_or_else(|error| unreachable!("{error}"));
    if clock.wants_time() {
        device.set_clock(Instant(0), clock.kind(), clock.base_us());
    }
    (device, schema)
}
