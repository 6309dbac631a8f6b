//! One old stream on its way from the spool to the collector, piece by piece, in a session of its own. Spec §6.5.
//!
//! ```text
//!   begin --> [ spool ] --load()--> [ Device, at most History::rows ] --ACK--> Spool::resolve
//!                                        | all loaded, all resolved: CLOSE 407
//!                                        v
//!                                     leaving --farewell sent--> gone
//! ```

use std::ops::Range;
use std::time::Duration;

use senda_session::Instant;
use senda_session::device::{
    Batch, Closing, Config, ConfigError, Device, DropPolicy, PushError, QueueLimits, SchemaId,
    Transport,
};
use senda_wire::registry::DATAGRAM_MAX;
use senda_wire::{Clock, SkipCause};

use super::Uplink;
use super::dating::{self, Offset, Present};
use super::lane::{Lane, Links};
use super::types::{Event, History, LinkId};
use crate::spool::{
    ClockState, Entry, Kind, ReadLimits, Record, Skip, Spool, SpoolError, Storage, StreamState,
};

/// Rows that share a message if they fit.
const BATCH_ROWS: u16 = 1_024;
/// A stream whose clock is not known waits so long for the live session to learn it; then it goes undated.
const CLOCK_WAIT: Duration = Duration::from_secs(60);
/// When no stream is ready: the next look.
const RETRY_WAIT: Duration = Duration::from_secs(5);
/// A stream that can't be read from the spool is tried again after this time ...
const SICK_WAIT: Duration = Duration::from_secs(60);
/// ... and so often; then what can't be read is lost.
const SICK_TRIES: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) lane: Lane,
    pub(super) stream: u64,
    schemas: Vec<(u8, Option<SchemaId>)>,
    limits: ReadLimits,
    /// The spool has nothing above what was loaded.
    is_loaded: bool,
    /// CLOSE is about to leave, then the lane goes.
    is_leaving: bool,
    /// What was said of its clock.
    told: Option<Offset>,
}

impl Drain {
    /// Begins to connect. `live`: the configuration of the live session.
    pub(super) fn begin(
        state: &StreamState,
        live: &Config,
        history: History,
        seed: [u8; 32],
        on: Transport,
        links: &mut Links,
    ) -> Result<Self, ConfigError> {
        // Not from the first row that is held: what was given up before it has to be told by its cause.
        let rows = state.mark..state.next_row;
        let mut device = Device::new(config(live, history, state.stream, rows), seed)?;
        let schemas = (state.schemas.iter())
            .map(|(id, description)| (*id, device.declare(description).ok()))
            .collect();
        Ok(Self {
            lane: Lane::new(device, on, links),
            stream: state.stream,
            schemas,
            limits: ReadLimits {
                entries: usize::try_from(history.rows).unwrap_or(usize::MAX),
                bytes: usize::try_from(history.bytes).unwrap_or(usize::MAX),
            },
            is_loaded: false,
            is_leaving: false,
            told: None,
        })
    }

    /// Fills the queue from the spool, once half of it is free.
    pub(super) fn load<S: Storage>(
        &mut self,
        now: Instant,
        spool: &mut Spool<S>,
    ) -> Result<(), SpoolError> {
        if self.is_leaving || self.lane.device.pending() > self.limits.entries / 2 {
            return Ok(());
        }
        if !self.is_loaded {
            let entries = spool.read(self.stream, self.lane.device.next_row(), self.limits)?;
            self.is_loaded = entries.is_empty();
            for entry in &entries {
                if !self.queue(now, entry) {
                    return Ok(());
                }
            }
        }
        if self.is_loaded {
            // The tail that the spool does not have, whatever took it. Spec §6.5c.
            let end = self.lane.device.stream_end();
            self.skip_to(now, end, SkipCause::Lost);
        }
        Ok(())
    }

    /// True when everything is with the collector.
    pub(super) fn is_done(&self) -> bool {
        let device = &self.lane.device;
        self.is_loaded && device.is_flushed() && device.next_row() >= device.stream_end()
    }

    /// Says CLOSE, where there is somebody to hear it.
    pub(super) fn leave(&mut self) {
        if !self.is_leaving {
            self.is_leaving = true;
            self.lane.device.close(Closing::Now);
        }
    }

    pub(super) const fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Tells the collector what the stream's clock is worth, if that is news. `base_us`: makes the old clock of `now`.
    pub(super) fn tell_clock(&mut self, now: Instant, offset: Offset, base_us: i64) {
        let is_better = |told: Offset| offset.uncertainty_us < told.uncertainty_us / 2;
        if self.told.is_none_or(is_better) {
            self.told = Some(offset);
            let Offset { offset_us, uncertainty_us } = offset;
            let device = &mut self.lane.device;
            device.state_offset(now, Clock::Monotonic, base_us, offset_us, uncertainty_us);
        }
    }

    /// Queues what the spool gave; false when there is no room for now.
    fn queue(&mut self, now: Instant, entry: &Entry) -> bool {
        let (first, end) = entry.rows();
        if end <= self.lane.device.next_row() {
            return true; // Resolved meanwhile.
        }
        if !self.skip_to(now, first, SkipCause::Lost) {
            return false;
        }
        match entry {
            Entry::Row(record) => self.push(now, record),
            Entry::Skipped(skip) => self.skip_to(now, end, skip.cause),
            Entry::Missing { .. } => self.skip_to(now, end, SkipCause::Lost),
        }
    }

    fn push(&mut self, now: Instant, record: &Record) -> bool {
        let known = self.schemas.iter().find(|(id, _)| *id == record.schema);
        let schema = known.and_then(|(_, schema)| *schema);
        let device = &mut self.lane.device;
        let Record { clock, time_us, bytes, .. } = record;
        let pushed = match (record.kind, schema) {
            (Kind::Counts, _) => device.push_kept_counts(now, bytes),
            (Kind::Row, Some(schema)) => device.push(now, schema, *clock, *time_us, bytes),
            (Kind::Sparse, Some(schema)) => {
                device.push_sparse(now, schema, *clock, *time_us, bytes)
            }
            (_, None) => Err(PushError::UnknownSchema),
        };
        match pushed {
            Ok(_) => true,
            Err(PushError::Full | PushError::StreamFull | PushError::Closed) => false,
            Err(PushError::SchemaRefused(_)) => {
                self.skip_to(now, record.row + 1, SkipCause::Rejected)
            }
            // Nobody will ever be able to read it.
            Err(_) => self.skip_to(now, record.row + 1, SkipCause::Lost),
        }
    }

    /// The rows up to `end` will never come. False when there is no room to say so.
    fn skip_to(&mut self, now: Instant, end: u32, cause: SkipCause) -> bool {
        let device = &mut self.lane.device;
        match end.checked_sub(device.next_row()) {
            None | Some(0) => true,
            Some(count) => device.skip(now, count, cause).is_ok(),
        }
    }
}

impl Uplink {
    /// When history may begin.
    pub(super) fn begin_at(&self) -> Option<Instant> {
        let is_ready = self.has_history && self.drain.is_none() && self.live_is_well();
        self.begins.filter(|_| is_ready && !self.is_closing)
    }

    /// While live rows wait: when history may send one message.
    pub(super) fn trickle_at(&self) -> Option<Instant> {
        self.is_trickling.then_some(self.trickles)
    }

    /// Live first: the live session serves, and either has nothing to send or has had an answer to what it sent.
    fn live_is_well(&self) -> bool {
        let device = &self.live.device;
        let landed = device.stats().landed_messages > self.landed_before;
        device.is_serving() && (landed || device.is_flushed())
    }

    /// Begins, feeds and ends the drain. True if something changed that others should see.
    pub(super) fn tend_history(&mut self, now: Instant) -> bool {
        if self.drain.is_none() {
            return self.begin_at().is_some_and(|at| at <= now) && self.begin_history(now);
        }
        self.date_history(now);
        let (Some(drain), Some(keeper)) = (&mut self.drain, &mut self.keeper) else { return false };
        if drain.is_leaving() {
            if drain.lane.link().is_none() {
                self.end_history(now);
                return true;
            }
            return false;
        }
        if let Err(error) = drain.load(now, &mut keeper.spool) {
            self.give_history_time(now, error);
            return true;
        }
        if drain.is_done() {
            let stream = drain.stream;
            keeper.spool.resolve(stream, u32::MAX);
            drain.leave();
            self.finished.streams += 1;
            self.tell(Event::Drained { stream });
            return true;
        }
        false
    }

    /// Takes the oldest stream that can be read, and whose clock is known if it needs one.
    fn begin_history(&mut self, now: Instant) -> bool {
        let waiting = self.waiting();
        self.sick.retain(|stream, _| waiting.iter().any(|state| state.stream == *stream));
        let is_ready = |state: &&StreamState| {
            self.sick.get(&state.stream).is_none_or(|(until, _)| *until <= now)
                && (!is_dated(state)
                    || self.offset_of(state, &waiting).is_some()
                    || now >= self.begins_at_least + CLOCK_WAIT)
        };
        let Some(state) = waiting.iter().find(is_ready) else {
            self.has_history = !waiting.is_empty();
            self.begins = Some(now + RETRY_WAIT);
            return false;
        };
        let (live, history) = (&self.settings.device, self.settings.history);
        let (seed, on) = (self.entropy.bytes(), self.chooser.on());
        match Drain::begin(state, live, history, seed, on, &mut self.links) {
            Ok(drain) => self.drain = Some(drain),
            Err(_) => self.has_history = false, // `with_spool` has checked it.
        }
        self.drain.is_some()
    }

    /// Says what the clock of an old stream is worth, as soon and as well as that is known.
    fn date_history(&mut self, now: Instant) {
        let Some(stream) = self.drain.as_ref().map(|drain| drain.stream) else { return };
        if !self.undated {
            return;
        }
        self.undated = false;
        let waiting = self.waiting();
        let Some(state) = waiting.iter().find(|state| state.stream == stream) else { return };
        if !is_dated(state) {
            return;
        }
        let Some(offset) = self.offset_of(state, &waiting) else { return };
        let utc = self.clock.zip(self.offset).map(|((_, base), live)| base + live.offset_us);
        let base_us = utc.map_or(0, |utc| utc.saturating_sub(offset.offset_us));
        if let Some(drain) = &mut self.drain {
            drain.tell_clock(now, offset, base_us);
        }
    }

    fn offset_of(&self, state: &StreamState, all: &[StreamState]) -> Option<Offset> {
        let boot = self.keeper.as_ref().map_or(0, |keeper| keeper.boot);
        let (machine, first_us) = (self.settings.machine, self.first_us);
        let offset = self.offset.filter(|_| matches!(self.clock, Some((Clock::Monotonic, _))));
        dating::offset_of(state, all, Present { boot, machine, first_us, offset })
    }

    /// The stream can't be read now: others go before it, and in the end it is given up.
    fn give_history_time(&mut self, now: Instant, error: SpoolError) {
        let Some(mut drain) = self.drain.take() else { return };
        drain.lane.close(&mut self.links);
        let stream = drain.stream;
        let tries = self.sick.get(&stream).map_or(1, |(_, tries)| tries + 1);
        self.sick.insert(stream, (now + SICK_WAIT, tries));
        if let (SpoolError::Read { first, last, .. }, SICK_TRIES.., Some(keeper)) =
            (&error, tries, &mut self.keeper)
        {
            let count = last.saturating_sub(*first).saturating_add(1);
            let skip = Skip { stream, first: *first, count, cause: SkipCause::Lost };
            match keeper.spool.skip(skip) {
                Ok(appended) => self.tell_dropped(appended),
                Err(error) => self.tell(Event::Spool(error)),
            }
            self.sick.remove(&stream);
        }
        self.tell(Event::Spool(error));
        self.begins = Some(now + RETRY_WAIT);
    }

    /// The next bytes of the old stream, as far as the live one leaves room.
    pub(super) fn transmit_history(
        &mut self,
        now: Instant,
        id: LinkId,
        out: &mut [u8],
    ) -> Option<usize> {
        let drain = self.drain.as_mut().filter(|drain| drain.lane.is_carried_by(id))?;
        let is_held = !drain.is_leaving() && self.live.device.is_held_back();
        self.is_trickling = is_held && now < self.trickles;
        if self.is_trickling {
            return None;
        }
        let most = out.len().min(self.settings.history.message_bytes);
        let polite = most.min(self.courtesy.bytes());
        let mut sent = drain.lane.device.poll_transmit(now, &mut out[..polite]);
        if sent.is_none() {
            // A row, or a DECLARE, may be longer than that.
            sent = drain.lane.device.poll_transmit(now, &mut out[..most]);
        }
        if sent.is_some() {
            self.trickles = now + self.settings.history.trickle;
            self.is_trickling = is_held;
        } else if drain.is_leaving() {
            self.end_history(now);
        }
        sent
    }

    /// CLOSE has left, or nobody could hear it.
    fn end_history(&mut self, now: Instant) {
        let Some(mut drain) = self.drain.take() else { return };
        drain.lane.close(&mut self.links);
        let stats = drain.lane.device.stats();
        self.finished.acked += stats.acked;
        self.finished.refused += stats.refused;
        self.finished.skipped += stats.skipped.iter().sum::<u64>();
        self.undated = true;
        self.has_history = !self.waiting().is_empty();
        self.begins = Some(now);
    }
}

/// Whether old streams can be drained so.
pub(super) fn check(live: &Config, history: History) -> Result<(), ConfigError> {
    if history.message_bytes < DATAGRAM_MAX {
        return Err(ConfigError { field: "history.message_bytes" });
    }
    Device::new(config(live, history, 0, 0..0), [0; 32]).map(drop)
}

/// Rows `rows` of an old stream, in a session of its own.
fn config(live: &Config, history: History, stream: u64, rows: Range<u32>) -> Config {
    let History { rows: limit, bytes, .. } = history;
    Config {
        stream: Some(stream),
        first_row: rows.start,
        ends: Some(rows.end),
        downlink: 0,
        window_messages: history.messages,
        queue: QueueLimits { rows: limit, bytes, policy: DropPolicy::RefuseNew },
        // A piece is as much as there is: nothing that could join it is still to be made.
        batch: Batch { rows: BATCH_ROWS, delay: Duration::ZERO },
        start_jitter: Duration::ZERO,
        time_every: None,
        ..live.clone()
    }
}

/// Whether the stream has rows that only an offset can date.
fn is_dated(state: &StreamState) -> bool {
    let is_monotonic = |clock: ClockState| clock.clock == Clock::Monotonic;
    !state.moments.is_empty() || state.clock.is_some_and(is_monotonic)
}
