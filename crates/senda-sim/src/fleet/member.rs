//! One device of a fleet: its sensors, its session, its socket, its bad network.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use senda_session::Instant;
use senda_session::device::{
    Argument, Closing, Config, Device, DropPolicy, Event, OwnedValue, QueueLimits, SchemaId,
    Ticket, Transport,
};
use senda_wire::registry::{DATAGRAM_MAX, downlink};
use senda_wire::{Clock, DoneStatus};

use super::socket::{Link as SocketLink, Received};
use super::{Claim, Figures, Plan};
use crate::faults::Link;
use crate::{Instrument, derive_seed};

/// Room for one receive, or one piece of a stream.
pub(super) const BUFFER: usize = 65_536;
/// What a device keeps while it has no collector.
const QUEUE: QueueLimits =
    QueueLimits { rows: 100_000, bytes: 16 << 20, policy: DropPolicy::DropOldest };
/// Samples in one turn, so that a member that is late does not hold up the others.
const SAMPLES_A_TURN: usize = 64;
/// Datagrams, or reads, in one turn.
const READS_A_TURN: usize = 32;

/// One device of a fleet.
pub(super) struct Member {
    index: u32,
    device: Device,
    instrument: Instrument,
    schema: SchemaId,
    transport: Transport,
    pub(super) socket: Option<SocketLink>,
    /// The device's bad network, both ways; only UDP has one.
    network: Option<Box<(Link, Link)>>,
    /// Rows without an ACK, and when they were made.
    waiting: VecDeque<(u32, Instant)>,
    streams: Vec<u64>,
    start_us: i64,
    left: u64,
    closing: bool,
    /// When this member wants to be looked at next; `None` when it has ended.
    pub(super) wake: Option<Instant>,
    /// The socket changed: epoll has to hear of it.
    pub(super) is_new_socket: bool,
    /// The socket may still have something: the turn's bound was reached.
    has_more: bool,
}

/// What one turn of a member shares with the others.
pub(super) struct Turn<'t> {
    pub(super) now: Instant,
    pub(super) plan: &'t Plan,
    pub(super) figures: &'t mut Figures,
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
        let mut config = Config::new(&profile.device_name(index));
        config.downlink = downlink::CONFIG;
        config.software = concat!("senda-sim/", env!("CARGO_PKG_VERSION")).into();
        config.queue = QUEUE;
        config.start_jitter = plan.start_jitter;
        config.rejoin_jitter = plan.rejoin_jitter;
        config.window_messages = plan.window_messages;
        let mut device = Device::new(config, plan.entropy(index))
            .unwrap_or_else(|error| unreachable!("{error}"));
        let schema = device
            .declare(profile.schema().bytes())
            .unwrap_or_else(|error| unreachable!("{error}"));
        let bad = transport == Transport::Udp && !plan.conditions.is_perfect();
        let link = |way| Link::new(plan.conditions, derive_seed(plan.seed, index, way));
        Self {
            index,
            streams: vec![device.stream()],
            device,
            instrument: Instrument::new(profile, index, plan.seed, plan.start_us),
            schema,
            transport,
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
        self.device.handle_timeout(turn.now);
        self.end_when_done(turn);
        loop {
            self.transmit(turn);
            if !self.handle_events(turn) {
                break;
            }
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
        let profile = self.instrument.profile();
        let device = profile.device_name(self.index);
        Claim { device, streams: self.streams.clone(), acked: self.device.stats().acked }
    }

    /// What is queued and not durable.
    pub(super) fn pending(&self) -> usize {
        self.device.pending()
    }

    pub(super) fn add_stats(&self, figures: &mut Figures) {
        let stats = self.device.stats();
        figures.made += stats.made;
        figures.acked += stats.acked;
        figures.refused += stats.refused;
        figures.skipped += stats.skipped.iter().sum::<u64>();
        figures.messages += stats.sent_messages;
        figures.resent += stats.resent_messages;
        figures.sessions += stats.sessions;
        figures.serving += u64::from(self.device.is_serving());
    }

    fn take_samples(&mut self, turn: &mut Turn<'_>) {
        for _ in 0..SAMPLES_A_TURN {
            if self.left == 0 || self.due() > turn.now {
                return;
            }
            turn.row.clear();
            let t_us = self.instrument.sample_due(turn.row);
            self.left -= 1;
            match self.device.push(turn.now, self.schema, Clock::UtcSynced, t_us, turn.row) {
                Ok(number) => self.waiting.push_back((number, turn.now)),
                Err(_) => turn.figures.not_queued += 1,
            }
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
            Some(_) => self.device.connect(turn.now, self.transport),
            None => self.device.disconnected(turn.now),
        }
    }

    /// The socket can be read or written.
    pub(super) fn handle_ready(&mut self, turn: &mut Turn<'_>) {
        if let Some(socket) = self.socket.as_mut().filter(|socket| socket.is_connecting()) {
            match socket.finish_connecting() {
                Ok(()) => self.device.connect(turn.now, self.transport),
                Err(_) => self.lose_socket(turn),
            }
        }
        self.turn(turn);
    }

    fn lose_socket(&mut self, turn: &Turn<'_>) {
        if self.socket.take().is_some() {
            self.device.disconnected(turn.now);
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
                    None => self.device.handle_input(turn.now, &turn.buffer[..len]),
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
            self.device.handle_input(turn.now, &bytes);
        }
    }

    fn transmit(&mut self, turn: &mut Turn<'_>) {
        let Some(mut socket) = self.socket.take() else {
            return;
        };
        let mut alive = socket.flush().is_ok();
        let room = if socket.transport() == Transport::Udp { DATAGRAM_MAX } else { BUFFER };
        while alive && !socket.is_connecting() && !socket.is_blocked() {
            let Some(len) = self.device.poll_transmit(turn.now, &mut turn.buffer[..room]) else {
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
            match event {
                Event::Acked(acked) => self.note_durable(acked.mark, turn),
                Event::Config { ticket, settings, .. } => self.configure(ticket, &settings, turn),
                Event::NeedConnect => self.connect(turn),
                Event::Lost { .. } => {
                    turn.figures.lost_sessions += 1;
                    if self.transport == Transport::Tcp {
                        self.socket = None; // Another connection comes with NeedConnect.
                    }
                }
                // The rows have other numbers now.
                Event::NewStream(stream) => {
                    self.waiting.clear();
                    self.streams.push(stream.new);
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

    /// Applies `interval_ms`; other settings are not this device's. Spec §5.16.
    fn configure(&mut self, ticket: Ticket, settings: &[Argument], turn: &mut Turn<'_>) {
        let interval = settings.iter().find(|setting| setting.name == "interval_ms");
        if let Some(OwnedValue::U32(ms)) = interval.map(|setting| &setting.value) {
            let now_us =
                self.start_us.saturating_add(i64::try_from(turn.now.0).unwrap_or(i64::MAX));
            self.instrument.set_interval(Duration::from_millis((*ms).into()), now_us);
        }
        turn.figures.configured += 1;
        // It can only fail when the collector has asked something else meanwhile.
        let _ = self.device.done(ticket, DoneStatus::Ok, "", &[]);
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
        let timer = self.device.poll_timeout().map(|(at, _)| at);
        let network = self.network.as_ref();
        let up = network.and_then(|network| network.0.next_wakeup());
        let down = network.and_then(|network| network.1.next_wakeup());
        [sample, timer, up, down].into_iter().flatten().min().or(Some(Instant(u64::MAX)))
    }
}
