//! The live stream's rows on the spool: before they can leave, until they are resolved, and when memory can't hold them.

use std::io;
use std::time::Duration;

use senda_session::Instant;
use senda_session::device::{NewStream, SchemaId};
use senda_wire::Clock;
use senda_wire::registry::ROW_MAX;

use super::dating::Offset;
use super::types::{Event, RowId};
use super::{Uplink, device};
use crate::spool::{
    Appended, ClockState, Entry, Kind, Moment, Options, ReadLimits, Record, Recovered, Spool,
    SpoolError, Storage,
};

/// While rows are made: how often the spool notes how far the uptime is.
const MOMENT_EVERY: Duration = Duration::from_secs(60);
/// A piece of a stream that is copied into another one.
const COPY: ReadLimits = ReadLimits { entries: 1_024, bytes: 256 << 10 };

/// The spool, and what it has been told of the live stream.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) spool: Spool<Box<dyn Storage + Send>>,
    pub(super) boot: u32,
    /// Descriptions by the device's id.
    schemas: Vec<Box<[u8]>>,
    /// The stream that the rest is about.
    stream: u64,
    /// Schemas that the spool knows of it, as bits.
    described: u64,
    /// The number that comes next: what is between it and a row is a COUNTS.
    next_row: u32,
    /// The highest row that the spool did not take. It is in memory alone.
    unkept: Option<u32>,
    noted: Option<Offset>,
    moment_at: Instant,
    sync_every: Duration,
    sync_at: Option<Instant>,
}

impl Storage for Box<dyn Storage + Send> {
    fn list(&mut self) -> io::Result<Vec<String>> {
        (**self).list()
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        (**self).read(name)
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        (**self).read_at(name, offset, len)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        (**self).append(name, bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        (**self).sync(name)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        (**self).remove(name)
    }
}

impl std::fmt::Debug for dyn Storage + Send {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Storage")
    }
}

impl Keeper {
    pub(super) fn open(
        storage: Box<dyn Storage + Send>,
        options: Options,
        sync_every: Duration,
    ) -> Result<(Self, Recovered), SpoolError> {
        let (spool, recovered) = Spool::open(storage, options)?;
        let keeper = Self {
            spool,
            boot: recovered.boot,
            schemas: Vec::new(),
            stream: 0,
            described: 0,
            next_row: 0,
            unkept: None,
            noted: None,
            moment_at: Instant(0),
            sync_every,
            sync_at: None,
        };
        Ok((keeper, recovered))
    }

    /// A schema of the device.
    pub(super) fn learn(&mut self, id: SchemaId, description: &[u8]) {
        if id.index() == self.schemas.len() {
            self.schemas.push(description.into());
        }
    }

    /// The stream that is live from now on. `next_row`: its next number.
    fn turn_to(&mut self, stream: u64, next_row: u32) {
        if self.stream != stream {
            (self.stream, self.described, self.next_row) = (stream, 0, next_row);
            (self.unkept, self.noted, self.moment_at) = (None, None, Instant(0));
        }
    }

    /// Makes the schema known to the spool before the first row of it.
    fn describe(&mut self, schema: u8) -> Result<(), SpoolError> {
        let bit = 1_u64.checked_shl(schema.into()).unwrap_or(0);
        if self.described & bit == 0
            && let Some(description) = self.schemas.get(usize::from(schema))
        {
            self.spool.describe(self.stream, schema, description)?;
            self.described |= bit;
        }
        Ok(())
    }

    pub(super) const fn sync_at(&self) -> Option<Instant> {
        self.sync_at
    }

    /// Syncs when it is time to.
    pub(super) fn sync_due(&mut self, now: Instant) -> Result<(), SpoolError> {
        if self.sync_at.is_some_and(|at| at <= now) {
            self.sync_at = None;
            self.spool.sync()?;
        }
        Ok(())
    }

    /// Something was appended.
    fn appended(&mut self, now: Instant) {
        if !self.spool.is_synced() {
            self.sync_at.get_or_insert(now + self.sync_every);
        }
    }
}

/// A row that has its number.
pub(super) struct Made<'a> {
    pub(super) row: u32,
    pub(super) kind: Kind,
    pub(super) schema: SchemaId,
    pub(super) clock: Clock,
    pub(super) time_us: i64,
    pub(super) bytes: &'a [u8],
}

impl Uplink {
    /// With a spool: leaves the live stream to it when memory has no room for a row of so many bytes.
    pub(super) fn make_room(&mut self, now: Instant, len: usize) {
        let is_full = !self.live.device.has_room(len) || self.live.device.next_row() > ROW_MAX;
        if is_full && self.may_retire() {
            self.retire(now);
        }
    }

    /// Only what is on the spool can be left to it.
    pub(super) fn may_retire(&self) -> bool {
        let Some(keeper) = &self.keeper else { return false };
        let device = &self.live.device;
        let is_kept = keeper.unkept.is_none_or(|row| row < device.mark());
        !self.is_closing && !device.is_flushed() && is_kept
    }

    /// Leaves the live stream to the spool. Spec §6.5.
    fn retire(&mut self, now: Instant) {
        self.keep_counts(now);
        self.hear_live(now);
        let (stream, mark) = self.live.device.leave_stream(now);
        self.retiring = true;
        self.has_history = true;
        self.hear_live(now); // The new stream is the first that it speaks of.
        self.retiring = false;
        self.tell(Event::Retired { stream, mark, live: self.live_stream });
    }

    /// Puts a row on the spool that has just got its number. What fails is told; the row is in memory then.
    pub(super) fn keep(&mut self, now: Instant, made: &Made<'_>) -> RowId {
        if self.live.device.stream() != self.live_stream {
            self.hear_live(now); // The push began the next stream. Spec §2.3c.
        }
        let id = RowId { stream: self.live_stream, row: made.row };
        if self.keeper.is_none() {
            return id;
        }
        self.keep_counts_below(now, made.row);
        self.note_time(now);
        let Some(keeper) = &mut self.keeper else { return id };
        let schema = u8::try_from(made.schema.index()).unwrap_or(u8::MAX);
        let record = Record {
            stream: id.stream,
            row: id.row,
            kind: made.kind,
            schema,
            clock: made.clock,
            time_us: if made.clock == Clock::None { 0 } else { made.time_us },
            bytes: made.bytes.to_vec(),
        };
        let kept = keeper.describe(schema).and_then(|()| keeper.spool.append(&[record]));
        keeper.next_row = made.row + 1;
        self.note_kept(now, made.row, kept);
        id
    }

    /// COUNTS take numbers by themselves.
    pub(super) fn keep_counts(&mut self, now: Instant) {
        self.keep_counts_below(now, self.live.device.next_row());
    }

    fn keep_counts_below(&mut self, now: Instant, end: u32) {
        let Some(keeper) = &mut self.keeper else { return };
        let mark = self.live.device.mark();
        keeper.turn_to(self.live_stream, mark.min(end));
        let first = keeper.next_row.max(mark);
        for row in first..end {
            let Some(bytes) = self.live.device.queued_counts(row) else { continue };
            let Some(keeper) = &mut self.keeper else { return };
            let (kind, schema, clock) = (Kind::Counts, 0, Clock::None);
            let record =
                Record { stream: keeper.stream, row, kind, schema, clock, time_us: 0, bytes };
            let kept = keeper.spool.append(&[record]);
            self.note_kept(now, row, kept);
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.next_row = keeper.next_row.max(end);
        }
    }

    fn note_kept(&mut self, now: Instant, row: u32, kept: Result<Appended, SpoolError>) {
        let Some(keeper) = &mut self.keeper else { return };
        keeper.appended(now);
        match kept {
            Ok(appended) => self.tell_dropped(appended),
            Err(error) => {
                if !matches!(error, SpoolError::Sync(_)) {
                    keeper.unkept = Some(row);
                }
                self.tell(Event::Spool(error));
            }
        }
    }

    pub(super) fn tell_dropped(&mut self, appended: Appended) {
        for state in appended.forgotten {
            let (stream, rows) = (state.stream, state.next_row.saturating_sub(state.mark));
            self.tell(Event::Forgotten { stream, rows });
        }
        for skip in appended.dropped {
            let (stream, first, count, cause) = (skip.stream, skip.first, skip.count, skip.cause);
            self.tell(Event::Overflowed { stream, first, count, cause });
        }
    }

    /// The rows of a stream that this device left are the new stream's: a copy of a running machine, or a stream that is
    /// full. Spec §2.3c, §6.7a.
    pub(super) fn renumber(&mut self, new: &NewStream) {
        let Some(keeper) = &mut self.keeper else { return };
        let end = new.moved.last().map_or(0, |(_, count, to)| to + count);
        keeper.turn_to(new.new, end);
        let mut copied = Ok(());
        for &(first, count, to) in &new.moved {
            copied = copied.and_then(|()| keeper.copy(new, first, first + count, to));
        }
        match copied {
            // Only now: better twice than not at all.
            Ok(()) => keeper.spool.resolve(new.old, u32::MAX),
            Err(error) => self.tell(Event::Spool(error)),
        }
    }

    /// The best that is known of the clock; for this stream, and for old ones.
    pub(super) fn learn_offset(&mut self, now: Instant, offset_us: i64, uncertainty_us: u32) {
        self.offset = Some(Offset { offset_us, uncertainty_us });
        if let Some(begins) = &mut self.begins {
            *begins = (*begins).min(now.max(self.begins_at_least));
        }
        let live = self.live_stream;
        if self.keeper.as_ref().is_some_and(|keeper| keeper.spool.stream(live).is_some()) {
            self.note_time(now);
        }
    }

    /// What dates the rows of a monotonic clock goes on the spool beside them: how far the uptime is, and what it is worth.
    fn note_time(&mut self, now: Instant) {
        let Some((Clock::Monotonic, base_us)) = self.clock else { return };
        let Some(keeper) = &mut self.keeper else { return };
        let (stream, at_us) = (self.live_stream, base_us.saturating_add_unsigned(now.0));
        let mut noted = Ok(Appended::default());
        if keeper.moment_at <= now {
            keeper.moment_at = now + MOMENT_EVERY;
            let machine = self.settings.machine;
            let moment = Moment { boot: keeper.boot, machine, uptime_us: at_us, utc_us: None };
            noted = keeper.spool.note_moment(stream, moment);
        }
        let is_better = |noted: Offset, offset: Offset| {
            offset.uncertainty_us < noted.uncertainty_us / 2
                || offset.offset_us.abs_diff(noted.offset_us) > noted.uncertainty_us.into()
        };
        if let Some(offset) = self.offset
            && keeper.noted.is_none_or(|noted| is_better(noted, offset))
        {
            keeper.noted = Some(offset);
            let Offset { offset_us, uncertainty_us } = offset;
            let clock = ClockState { clock: Clock::Monotonic, offset_us, uncertainty_us, at_us };
            let told = keeper.spool.note_clock(stream, clock);
            noted = noted.and(told);
        }
        match noted {
            Ok(appended) => self.tell_dropped(appended),
            Err(error) => self.tell(Event::Spool(error)),
        }
    }
}

impl Keeper {
    /// Copies rows of the stream that was left into the one that goes on.
    fn copy(&mut self, new: &NewStream, first: u32, end: u32, to: u32) -> Result<(), SpoolError> {
        let mut from = first;
        while from < end {
            let entries = self.spool.read(new.old, from, COPY)?;
            let Some(last) = entries.last() else { break };
            let (_, next) = last.rows();
            let mut rows = Vec::with_capacity(entries.len());
            for entry in entries {
                if let Entry::Row(record) = entry
                    && (from..end).contains(&record.row)
                {
                    let row = to + (record.row - first);
                    rows.push(Record { stream: new.new, row, ..record });
                }
            }
            for schema in rows.iter().map(|record| record.schema) {
                self.describe(schema)?;
            }
            // What the bound takes is told when the stream drains.
            let _ = self.spool.append(&rows)?;
            from = next.max(from + 1);
        }
        Ok(())
    }
}

/// The stream that an event is about, before `NewStream` names another.
pub(super) const fn stream_of(event: &device::Event, live: u64) -> u64 {
    match event {
        device::Event::NewStream(new) => new.old,
        _ => live,
    }
}
