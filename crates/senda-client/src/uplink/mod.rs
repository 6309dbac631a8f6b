//! A device's whole way up: the live stream first, old streams from the spool beside it, over whichever of two transports
//! carries. Sans-IO: time is an argument, sockets are somebody else's.
//!
//! ```text
//!   push --> [ live Device ] ------------------------ link ---+
//!      \                                                      |  poll_transmit, poll_link --> sockets
//!       +--> [ spool ] --piece by piece--> [ old stream's Device ] -- link
//!                                  [ path::Chooser ] --probes-- link
//! ```
//!
//! # The calling order
//! After each call that takes `now`: [`Uplink::poll_transmit`] for each of [`Uplink::links`] until it gives nothing, then
//! [`Uplink::poll_link`], then [`Uplink::poll_event`], each until it gives nothing; then arm a timer for
//! [`Uplink::poll_timeout`].
//!
//! # What it promises
//! - Live first: a row that is pushed is sent before anything from the spool, and history waits while live rows wait.
//! - With a spool a row is on it before it can leave; what memory can't hold any more is left to the spool, in its stream,
//!   and a new stream is live. So after a long time offline the newest readings go first, and nothing is lost within the
//!   spool's bound.
//! - Over the other transport the same streams go on: rows keep their numbers, whatever happens to the sockets.

mod courtesy; // how much history may put before a live row
mod dating; // what the clocks of earlier boots are worth
mod history; // one old stream on its way up
mod keeping; // the live stream's rows on the spool
mod lane; // one session and its socket
mod probe; // whether UDP works
mod types; // what goes in and comes out

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use senda_session::device::{
    self, Argument, Closing, ConfigError, DeclareError, Device, DoneError, DropPolicy, PushError,
    SchemaId, Stats, Ticket, Transport,
};
use senda_session::{Entropy, Instant};
use senda_wire::{Clock, DoneStatus};

use crate::path::{Choice, Chooser, Who, Why};
use crate::spool::{Kind, Options, Recovered, SpoolError, Storage, StreamState};
use courtesy::Courtesy;
use dating::Offset;
use history::Drain;
use keeping::{Keeper, Made, stream_of};
use lane::{Broken, Lane, Links};
use probe::Prober;

pub use types::{Deadline, Event, History, LinkId, LinkOrder, RowId, Settings};

/// Events that wait for [`Uplink::poll_event`]; beyond it the oldest acknowledgement goes, or else the oldest.
pub const EVENTS_MAX: usize = 1_024;

/// See the module.
pub struct Uplink {
    settings: Settings,
    entropy: Entropy,
    live: Lane,
    links: Links,
    chooser: Chooser,
    prober: Prober,
    keeper: Option<Keeper>,
    /// The stream that the live session's events speak of.
    live_stream: u64,
    /// The stream that is left is left to the spool.
    retiring: bool,
    drain: Option<Drain>,
    /// There are old streams.
    has_history: bool,
    /// Old streams that could not be read: until when they wait, and how often that was.
    sick: BTreeMap<u64, (Instant, u32)>,
    /// The clock of the old stream is to be told, or told better.
    undated: bool,
    /// When history may begin: some time after the live session has shown that it works.
    begins: Option<Instant>,
    /// The jitter of the last WELCOME.
    begins_at_least: Instant,
    /// Messages of the live session that had landed when it was welcomed.
    landed_before: u64,
    courtesy: Courtesy,
    /// While live rows wait: when history may send one message.
    trickles: Instant,
    is_trickling: bool,
    clock: Option<(Clock, i64)>,
    /// The clock when it was set: the begin of this boot.
    first_us: i64,
    offset: Option<Offset>,
    is_closing: bool,
    events: VecDeque<Event>,
    finished: Finished,
}

/// What drained streams have counted, those that are gone.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Finished {
    /// Streams of which everything is resolved.
    pub streams: u64,
    /// Rows of old streams that became durable.
    pub acked: u64,
    /// ... that the collector refused for good.
    pub refused: u64,
    /// ... that were given up.
    pub skipped: u64,
}

/// Why there is no uplink.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UplinkError {
    /// The configuration is outside its range.
    #[error("the configuration can't be used")]
    Config(#[from] ConfigError),
    /// The spool can't be used.
    #[error("the spool can't be used")]
    Spool(#[from] SpoolError),
}

impl Uplink {
    /// An uplink that keeps rows in memory alone. Its first [`LinkOrder::Open`] waits already. Whoever knows `seed` knows its
    /// nonces and its stream.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn new(settings: Settings, seed: [u8; 32]) -> Result<Self, ConfigError> {
        let mut entropy = Entropy::new(seed);
        let chooser = Chooser::new(settings.measures, settings.udp, settings.tcp, entropy.bytes());
        let prober = Prober::new(entropy.bytes());
        let device = Device::new(settings.device.clone(), entropy.bytes())?;
        let live_stream = device.stream();
        let courtesy = Courtesy::new(settings.history.message_bytes);
        let mut links = Links::default();
        let live = Lane::new(device, chooser.on(), &mut links);
        Ok(Self {
            settings,
            entropy,
            live,
            links,
            chooser,
            prober,
            keeper: None,
            live_stream,
            retiring: false,
            drain: None,
            has_history: false,
            sick: BTreeMap::new(),
            undated: true,
            begins: None,
            begins_at_least: Instant(0),
            landed_before: 0,
            courtesy,
            trickles: Instant(0),
            is_trickling: false,
            clock: None,
            first_us: 0,
            offset: None,
            is_closing: false,
            events: VecDeque::new(),
            finished: Finished::default(),
        })
    }

    /// An uplink with a spool: what earlier boots left there drains beside the live stream.
    ///
    /// # Errors
    /// [`UplinkError`]
    pub fn with_spool(
        mut settings: Settings,
        seed: [u8; 32],
        storage: Box<dyn Storage + Send>,
        options: Options,
    ) -> Result<(Self, Recovered), UplinkError> {
        // What memory can't hold stays on the spool: nothing is dropped for it.
        settings.device.queue.policy = DropPolicy::RefuseNew;
        history::check(&settings.device, settings.history)?;
        let (keeper, recovered) = Keeper::open(storage, options, settings.history.sync_every)?;
        let mut uplink = Self::new(settings, seed)?;
        uplink.keeper = Some(keeper);
        uplink.has_history = !recovered.streams.is_empty();
        Ok((uplink, recovered))
    }

    /// Makes a schema known; as [`Device::declare`].
    ///
    /// # Errors
    /// [`DeclareError`]
    pub fn declare(&mut self, description: &[u8]) -> Result<SchemaId, DeclareError> {
        let id = self.live.device.declare(description)?;
        if let Some(keeper) = &mut self.keeper {
            keeper.learn(id, description);
        }
        Ok(id)
    }

    /// Queues a row in ROWS form, on the spool too if there is one: it is there when this returns.
    ///
    /// # Errors
    /// [`PushError`]: the row has no number, and nothing has changed.
    pub fn push(
        &mut self,
        now: Instant,
        schema: SchemaId,
        clock: Clock,
        time_us: i64,
        row: &[u8],
    ) -> Result<RowId, PushError> {
        self.make_room(now, row.len());
        let number = self.live.device.push(now, schema, clock, time_us, row)?;
        let kind = Kind::Row;
        Ok(self.keep(now, &Made { row: number, kind, schema, clock, time_us, bytes: row }))
    }

    /// The same for a row in SPARSE form; as [`Device::push_sparse`].
    ///
    /// # Errors
    /// As [`Uplink::push`].
    pub fn push_sparse(
        &mut self,
        now: Instant,
        schema: SchemaId,
        clock: Clock,
        time_us: i64,
        row: &[u8],
    ) -> Result<RowId, PushError> {
        self.make_room(now, row.len());
        let number = self.live.device.push_sparse(now, schema, clock, time_us, row)?;
        let kind = Kind::Sparse;
        Ok(self.keep(now, &Made { row: number, kind, schema, clock, time_us, bytes: row }))
    }

    /// True when a row of so many bytes would be queued without any other being given up. With a spool there always is room,
    /// unless the spool fails.
    pub fn has_room(&self, row_len: usize) -> bool {
        self.live.device.has_room(row_len) || self.may_retire()
    }

    /// Rows queued so far leave without waiting for company.
    pub fn flush(&mut self) {
        self.live.device.flush();
    }

    /// Says what the device's clock is worth; as [`Device::set_clock`].
    pub fn set_clock(&mut self, now: Instant, clock: Clock, base_us: i64) {
        if self.clock.is_none() {
            self.first_us = base_us.saturating_add_unsigned(now.0);
        }
        self.clock = Some((clock, base_us));
        self.live.device.set_clock(now, clock, base_us);
    }

    /// Answers a CONFIG, COMMAND or ALERT; as [`Device::done`].
    ///
    /// # Errors
    /// [`DoneError`]
    pub fn done(
        &mut self,
        ticket: Ticket,
        status: DoneStatus,
        text: &str,
        results: &[Argument],
    ) -> Result<(), DoneError> {
        self.live.device.done(ticket, status, text, results)
    }

    /// Ends. What is not acknowledged stays on the spool, if there is one, for the next boot.
    pub fn close(&mut self, closing: Closing) {
        self.is_closing = true;
        self.live.device.close(closing);
        if let Some(drain) = &mut self.drain {
            drain.leave();
        }
    }

    /// Goes on over this transport, whatever the chooser thinks of it. It needs its address.
    pub fn move_to(&mut self, now: Instant, to: Transport) {
        let is_known = match to {
            Transport::Udp => self.settings.udp,
            Transport::Tcp => self.settings.tcp,
        };
        if is_known && !self.is_closing {
            self.live.open(to, &mut self.links);
            self.settle(now);
        }
    }

    /// Lets go of the spool, so that another uplink can have it; it is synced as far as it asks for that. For the end.
    pub fn release(&mut self) {
        if let Some(mut keeper) = self.keeper.take()
            && let Err(error) = keeper.spool.sync()
        {
            self.tell(Event::Spool(error));
        }
        self.has_history = false;
    }

    /// A socket that [`LinkOrder::Open`] asked for is there.
    pub fn handle_opened(&mut self, now: Instant, id: LinkId) {
        if self.live.opened(now, id, &mut self.links) {
            self.arrive(now, self.live.link().map_or(self.chooser.on(), |link| link.transport));
        } else if let Some(drain) = &mut self.drain {
            drain.lane.opened(now, id, &mut self.links);
        }
        self.prober.opened(id);
        self.settle(now);
    }

    /// A socket is gone, or could not be made.
    pub fn handle_broken(&mut self, now: Instant, id: LinkId) {
        match self.live.broken(now, id) {
            Broken::Opening(to) if to != self.chooser.on() => self.chooser.unreachable(now),
            Broken::Opening(_) | Broken::Carrier => {}
            Broken::Foreign => {
                let _ = self.prober.broken(id);
                if let Some(drain) = &mut self.drain {
                    drain.lane.broken(now, id);
                }
            }
        }
        self.settle(now);
    }

    /// Takes a datagram, or stream bytes, that arrived on a link. Bytes for a link that is closed are ignored.
    pub fn handle_input(&mut self, now: Instant, id: LinkId, bytes: &[u8]) {
        let is_probed = self.prober.is_at(id) || self.carries_udp(id);
        let is_answer =
            is_probed && probe::retry(bytes).is_some_and(|nonce| self.chooser.answered(now, nonce));
        if is_answer {
            // The chooser has it.
        } else if self.live.is_carried_by(id) {
            self.live.device.handle_input(now, bytes);
        } else if let Some(drain) = self.drain.as_mut().filter(|d| d.lane.is_carried_by(id)) {
            drain.lane.device.handle_input(now, bytes);
        }
        self.settle(now);
    }

    /// Fires what is due at `now`. Calling early or twice changes nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.is_trickling &= now < self.trickles;
        self.live.device.handle_timeout(now);
        self.live.unpark(now, self.chooser.on(), &mut self.links);
        if let Some(drain) = &mut self.drain {
            drain.lane.device.handle_timeout(now);
            drain.lane.unpark(now, self.chooser.on(), &mut self.links);
        }
        if let Some(Err(error)) = self.keeper.as_mut().map(|keeper| keeper.sync_due(now)) {
            self.tell(Event::Spool(error));
        }
        self.settle(now);
    }

    /// Links that are open and may have something to send.
    pub fn links(&self) -> impl Iterator<Item = LinkId> + use<> {
        let drain = self.drain.as_ref().and_then(|drain| drain.lane.link());
        let links = [self.live.link(), drain, self.prober.link()];
        links.into_iter().flatten().map(|link| link.id)
    }

    /// Writes the next bytes for this link; as [`Device::poll_transmit`].
    pub fn poll_transmit(&mut self, now: Instant, id: LinkId, out: &mut [u8]) -> Option<usize> {
        let is_carrier = self.carries_udp(id);
        if let Some(len) = self.prober.transmit(id, is_carrier, out) {
            return Some(len);
        }
        if self.live.is_carried_by(id) {
            return self.live.device.poll_transmit(now, out);
        }
        self.transmit_history(now, id, out)
    }

    /// What is to be done with sockets next.
    pub fn poll_link(&mut self) -> Option<LinkOrder> {
        self.links.orders.pop_front()
    }

    /// What happened next, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The earliest deadline, and who asked for it.
    pub fn poll_timeout(&self) -> Option<(Instant, Deadline)> {
        let live = self.live.device.poll_timeout().map(|(at, timer)| (at, Deadline::Live(timer)));
        let drain = self.drain.as_ref();
        let history = drain.and_then(|drain| drain.lane.device.poll_timeout());
        let history = history.map(|(at, timer)| (at, Deadline::History(timer)));
        let parked = drain.and_then(|drain| drain.lane.parked());
        let parked = [parked, self.live.parked()].into_iter().flatten().min();
        let sync = self.keeper.as_ref().and_then(Keeper::sync_at);
        [
            live,
            history,
            parked.map(|at| (at, Deadline::Parked)),
            self.chooser.poll_timeout().map(|at| (at, Deadline::Path)),
            self.begin_at().map(|at| (at, Deadline::Begin)),
            self.trickle_at().map(|at| (at, Deadline::Begin)),
            sync.map(|at| (at, Deadline::Sync)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The live session, to look at.
    pub const fn live(&self) -> &Device {
        &self.live.device
    }

    /// The live session, to set up: batches, settings. Rows go by [`Uplink::push`].
    pub const fn live_mut(&mut self) -> &mut Device {
        &mut self.live.device
    }

    /// The old stream that drains at the moment.
    pub fn draining(&self) -> Option<u64> {
        self.drain.as_ref().map(|drain| drain.stream)
    }

    /// Old streams that wait, the one that drains among them; oldest first.
    pub fn waiting(&self) -> Vec<StreamState> {
        let Some(keeper) = &self.keeper else { return Vec::new() };
        let mut streams = keeper.spool.streams();
        streams.retain(|state| state.stream != self.live_stream);
        streams
    }

    /// True when every row is durable or resolved, those on the spool included.
    pub fn is_flushed(&self) -> bool {
        self.live.device.is_flushed() && !self.has_history
    }

    /// Rows that are not resolved, as far as is known: those in memory, and those that wait on the spool.
    pub fn unresolved(&self) -> u64 {
        let live = u64::try_from(self.live.device.pending_rows()).unwrap_or(u64::MAX);
        self.waiting().iter().map(|state| state.rows).sum::<u64>() + live
    }

    /// True if rows are kept on a spool.
    pub const fn has_spool(&self) -> bool {
        self.keeper.is_some()
    }

    /// True after [`Uplink::close`], once nothing more is to be sent.
    pub fn is_closed(&self) -> bool {
        self.live.device.is_closed() && self.drain.is_none()
    }

    /// What carries the streams, as the chooser sees it.
    pub const fn transport(&self) -> Transport {
        self.chooser.on()
    }

    /// What the live session has counted.
    pub fn stats(&self) -> Stats {
        self.live.device.stats()
    }

    /// What drained streams have counted.
    pub const fn finished(&self) -> Finished {
        self.finished
    }

    /// Everything that follows from what has just happened.
    fn settle(&mut self, now: Instant) {
        loop {
            let heard = self.hear_live(now) | self.hear_history(now);
            self.look_at_path(now);
            let moved = self.tend_history(now);
            if !heard && !moved {
                return;
            }
        }
    }

    /// Takes the live session's events. True if there were any.
    fn hear_live(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(event) = self.live.device.poll_event() {
            any = true;
            self.live.heed(now, &event, self.chooser.on(), &mut self.links);
            match &event {
                device::Event::Welcomed(_) => {
                    self.landed_before = self.live.device.stats().landed_messages;
                    let jitter = self.settings.history.jitter;
                    self.begins_at_least = now + self.entropy.between(Duration::ZERO, jitter);
                    self.begins = Some(self.begins_at_least);
                }
                device::Event::Time { offset_us, uncertainty_us } => {
                    self.undated = true;
                    self.learn_offset(now, *offset_us, *uncertainty_us);
                }
                device::Event::NewStream(new) => {
                    self.live_stream = new.new;
                    if self.retiring {
                        continue; // `Event::Retired` tells of it.
                    }
                    self.renumber(new);
                }
                device::Event::Acked(acked) if acked.rows > 0 => {
                    self.courtesy.live_took(now, acked.fastest, self.drain.is_some());
                }
                device::Event::NeedConnect => continue,
                _ => {}
            }
            let stream = stream_of(&event, self.live_stream);
            if let (device::Event::Acked(acked), Some(keeper)) = (&event, &mut self.keeper) {
                keeper.spool.resolve(stream, acked.mark);
            }
            self.tell(Event::Session { stream, is_live: true, event });
        }
        any
    }

    /// Takes the old stream's events. True if there were any.
    fn hear_history(&mut self, now: Instant) -> bool {
        let Some(drain) = &mut self.drain else { return false };
        let Some(event) = drain.lane.device.poll_event() else { return false };
        let (on, stream) = (self.chooser.on(), drain.stream);
        drain.lane.heed(now, &event, on, &mut self.links);
        if let (device::Event::Acked(acked), Some(keeper)) = (&event, &mut self.keeper) {
            keeper.spool.resolve(stream, acked.mark);
            self.courtesy.history_landed(now);
        }
        if !matches!(event, device::Event::NeedConnect | device::Event::Closed) {
            self.tell(Event::Session { stream, is_live: false, event });
        }
        true
    }

    /// The chooser sees what there is to see, and what it chooses is done.
    fn look_at_path(&mut self, now: Instant) {
        let device = &self.live.device;
        self.chooser.session(now, device.is_serving(), device.greeting().is_some());
        let round_trip = device.stats().rtt;
        let history = self.drain.as_mut().map(|drain| drain.lane.fates()).unwrap_or_default();
        self.chooser.note(Who::Live, self.live.fates(), round_trip);
        self.chooser.note(Who::History, history, round_trip);
        while !self.is_closing
            && let Some(choice) = self.chooser.poll(now)
        {
            match choice {
                Choice::Probe => self.probe(now),
                Choice::Move { to: Transport::Udp, why } => match self.prober.take_link() {
                    Some(link) => {
                        self.live.adopt(now, link, &mut self.links);
                        self.arrive_because(now, Transport::Udp, why);
                    }
                    None => self.live.open(Transport::Udp, &mut self.links),
                },
                Choice::Move { to, .. } => self.live.open(to, &mut self.links),
            }
        }
        if !self.chooser.is_trying() {
            self.prober.rest(&mut self.links);
        }
    }

    fn probe(&mut self, now: Instant) {
        let carrier = self.live.link().filter(|link| link.transport == Transport::Udp);
        let device = &self.live.device;
        let rows = (device.mark(), device.next_row());
        let stream = device.stream();
        let config = &self.settings.device;
        let nonce = self.prober.ask(config, stream, rows, carrier, &mut self.links);
        self.chooser.probed(now, nonce);
    }

    /// The live session is on a new link.
    fn arrive(&mut self, now: Instant, on: Transport) {
        let why = self.chooser.why().unwrap_or(Why::Asked);
        self.arrive_because(now, on, why);
    }

    fn arrive_because(&mut self, now: Instant, on: Transport, why: Why) {
        if on == self.chooser.on() {
            return;
        }
        self.chooser.moved(now, on);
        self.prober.rest(&mut self.links);
        if let Some(drain) = self.drain.as_mut().filter(|drain| !drain.is_leaving()) {
            drain.lane.open(on, &mut self.links);
        }
        self.tell(Event::Moved { to: on, why });
    }

    /// True if the link carries the live session over UDP: probes of it go that way.
    fn carries_udp(&self, id: LinkId) -> bool {
        self.live.link().is_some_and(|link| link.id == id && link.transport == Transport::Udp)
    }

    fn tell(&mut self, event: Event) {
        if join(self.events.back_mut(), &event) {
            return;
        }
        if self.events.len() >= EVENTS_MAX {
            let acked = |event: &Event| {
                matches!(event, Event::Session { event: device::Event::Acked(_), .. })
            };
            let index = self.events.iter().position(acked).unwrap_or(0);
            self.events.remove(index);
        }
        self.events.push_back(event);
    }
}

/// Folds an acknowledgement into the one before it.
fn join(last: Option<&mut Event>, event: &Event) -> bool {
    let Some(Event::Session { stream, event: device::Event::Acked(last), .. }) = last else {
        return false;
    };
    let Event::Session { stream: of, event: device::Event::Acked(next), .. } = event else {
        return false;
    };
    if of != stream {
        return false;
    }
    if last.rows == 0 {
        *last = *next;
    } else if next.rows > 0 {
        last.slowest = last.slowest.max(next.slowest);
        last.fastest = last.fastest.min(next.fastest);
        last.rows = last.rows.saturating_add(next.rows);
    }
    last.mark = last.mark.max(next.mark);
    true
}

impl fmt::Debug for Uplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uplink").field("live", &self.live).finish_non_exhaustive()
    }
}
