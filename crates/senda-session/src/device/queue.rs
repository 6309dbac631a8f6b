//! The rows that are not resolved yet, in order of their numbers, as encoded bytes.
//!
//! A row costs 32 bytes beside its own, and no allocation. The records cover every number from the oldest to the next
//! without a hole: a row that is given up turns into a skip, and neighbouring skips join.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use senda_wire::{Clock, SkipCause};

use super::config::QueueLimits;
use crate::Instant;

/// Resolution of the time that a row waits: 64 µs. It wraps after 76 hours.
const TICK_BITS: u32 = 6;
/// An empty queue gives memory back above this.
const IDLE_BYTES: usize = 4_096;

/// What a record holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// One row, in ROWS form.
    Row,
    /// One row, in SPARSE form: some channel is absent.
    Sparse,
    /// The device's ledger: the body of COUNTS without its count.
    Counts,
    /// Rows that will never come.
    Skip(SkipCause),
}

impl Kind {
    /// True for a row, in whatever form.
    pub(super) const fn is_row(self) -> bool {
        matches!(self, Self::Row | Self::Sparse)
    }
}

/// How far a record is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// To be sent, for the first time or again.
    Unsent,
    /// On its way, part of a flight.
    Sent,
    /// Named by a range of an ACK, above the mark.
    Resolved,
}

/// What the collector has said of a row for good. It outlives the session: sent again, the row is no news.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Told {
    Nothing,
    /// A range of an ACK named it.
    Durable,
    /// A NACK refused it; the ACK that passes it is no news of durable rows.
    Refused,
}

/// One row, one COUNTS or one run of skipped rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// By the device's clock, microseconds.
    pub(super) time_us: i64,
    /// Number of the (first) row.
    pub(super) first: u32,
    /// Rows: 1, or more in a skip.
    pub(super) count: u32,
    /// When it was pushed, in ticks.
    pushed: u32,
    /// Where its bytes begin, counted from the first byte ever pushed, modulo 2^32.
    offset: u32,
    len: u16,
    /// The device's id of the schema.
    pub(super) schema: u8,
    pub(super) clock: Clock,
    pub(super) kind: Kind,
    pub(super) progress: Progress,
    /// It was sent before.
    pub(super) resent: bool,
    /// What was said of it for good, whatever session said so.
    pub(super) told: Told,
}

impl Record {
    pub(super) const fn end(&self) -> u32 {
        self.first + self.count
    }

    pub(super) const fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn waited(&self, now: Instant) -> Duration {
        let ticks = ticks(now).wrapping_sub(self.pushed);
        Duration::from_micros(u64::from(ticks) << TICK_BITS)
    }
}

/// What an acknowledgement settled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settled {
    /// Rows that became durable.
    pub(super) rows: u32,
    /// The longest that one of them waited, and the shortest.
    pub(super) slowest: Duration,
    pub(super) fastest: Duration,
    /// Rows given up that turned out to be stored: their SKIP had not left yet.
    pub(super) unskipped: [u32; 4],
}

impl Settled {
    fn add_row(&mut self, record: &Record, now: Instant) {
        let waited = record.waited(now);
        self.fastest = if self.rows == 0 { waited } else { self.fastest.min(waited) };
        self.slowest = self.slowest.max(waited);
        self.rows += 1;
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    records: VecDeque<Record>,
    bytes: VecDeque<u8>,
    /// Offset of the first byte in `bytes`.
    bytes_from: u32,
    next_row: u32,
    /// Every record that begins below it is sent or resolved.
    unsent_from: u32,
    limits: QueueLimits,
}

impl Queue {
    pub(super) fn new(first_row: u32, limits: QueueLimits) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: VecDeque::new(),
            bytes_from: 0,
            next_row: first_row,
            unsent_from: first_row,
            limits,
        }
    }

    /// The number that the next row gets.
    pub(super) const fn next_row(&self) -> u32 {
        self.next_row
    }

    /// The lowest number that is not resolved, skips included.
    pub(super) fn first_open(&self) -> u32 {
        self.records.front().map_or(self.next_row, |record| record.first)
    }

    /// The oldest row that is still held. Spec §5.1.
    pub(super) fn oldest_row(&self) -> u32 {
        let held = self.records.iter().find(|record| !matches!(record.kind, Kind::Skip(_)));
        held.map_or(self.next_row, |record| record.first)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Records that wait: rows, COUNTS and runs of skipped rows.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Rows that wait.
    pub(super) fn rows(&self) -> usize {
        self.records.iter().filter(|record| record.kind.is_row()).count()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Record> {
        self.records.get(index)
    }

    /// Whether a record of `len` bytes fits without anything given up.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.records.len() < as_usize(self.limits.rows)
            && self.bytes.len() + len <= as_usize(self.limits.bytes)
    }

    /// Whether it fits once everything else is given up.
    pub(super) fn can_ever_hold(&self, len: usize) -> bool {
        len <= as_usize(self.limits.bytes)
    }

    /// Appends a record and gives it the next number. The caller made room.
    pub(super) fn push(
        &mut self,
        now: Instant,
        kind: Kind,
        schema: u8,
        clock: Clock,
        time_us: i64,
        body: &[u8],
    ) -> u32 {
        let first = self.next_row;
        let held = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.records.push_back(Record {
            time_us,
            first,
            count: 1,
            pushed: ticks(now),
            offset: self.bytes_from.wrapping_add(held),
            len: u16::try_from(body.len()).unwrap_or(u16::MAX),
            schema,
            clock,
            kind,
            progress: Progress::Unsent,
            resent: false,
            told: Told::Nothing,
        });
        self.bytes.extend(body);
        self.next_row += 1;
        first
    }

    /// Appends a run of rows that will never come, from 1 on. The caller made room.
    pub(super) fn push_skip(&mut self, now: Instant, count: u32, cause: SkipCause) -> u32 {
        let first = self.push(now, Kind::Skip(cause), 0, Clock::None, 0, &[]);
        if let Some(record) = self.records.back_mut() {
            record.count = count;
        }
        self.next_row += count - 1;
        first
    }

    /// The collector has everything below `row`, rows that were never queued here among them: numbers go on from there.
    pub(super) fn go_on_from(&mut self, row: u32) {
        if self.records.is_empty() && row > self.next_row {
            self.next_row = row;
            self.unsent_from = row;
        }
    }

    /// Forgets every record. Returns how many rows that were.
    pub(super) fn clear(&mut self) -> u64 {
        let rows = self.rows();
        self.records.clear();
        self.unsent_from = self.next_row;
        self.release_bytes();
        u64::try_from(rows).unwrap_or(u64::MAX)
    }

    /// Copies a record's bytes to the end of `out`.
    pub(super) fn copy_bytes(&self, record: &Record, out: &mut Vec<u8>) {
        let start = as_usize(record.offset.wrapping_sub(self.bytes_from));
        let end = start + record.len();
        let (front, back) = self.bytes.as_slices();
        let split = front.len();
        if let Some(part) = front.get(start.min(split)..end.min(split)) {
            out.extend_from_slice(part);
        }
        if let Some(part) = back.get(start.saturating_sub(split)..end.saturating_sub(split)) {
            out.extend_from_slice(part);
        }
    }

    /// Index of the first record that is to be sent.
    pub(super) fn first_unsent(&mut self) -> Option<usize> {
        let from = self.index_of(self.unsent_from);
        let unsent = |record: &Record| record.progress == Progress::Unsent;
        let found = self.records.range(from..).position(unsent).map(|skipped| from + skipped);
        self.unsent_from = found.map_or(self.next_row, |index| self.records[index].first);
        found
    }

    /// Marks the records `range` (indices) as on their way. Returns true when one of them was sent before.
    pub(super) fn mark_sent(&mut self, range: Range<usize>) -> bool {
        let mut again = false;
        for record in self.records.range_mut(range) {
            again |= record.resent;
            record.progress = Progress::Sent;
            record.resent = true;
        }
        again
    }

    /// Joins the skips of one cause that follow the unsent skip at `index`, so that one SKIP tells of all.
    pub(super) fn join_skips(&mut self, index: usize) {
        let Some(&Record { kind, .. }) = self.records.get(index) else { return };
        while let Some(next) = self.records.get(index + 1) {
            if next.kind != kind || next.progress != Progress::Unsent {
                return;
            }
            let (count, resent) = (next.count, next.resent);
            self.records.remove(index + 1);
            self.records[index].count += count;
            self.records[index].resent |= resent;
        }
    }

    /// Everything below `mark` is resolved: forgets it.
    pub(super) fn settle_below(&mut self, mark: u32, now: Instant) -> Settled {
        let mut settled = Settled::default();
        while let Some(record) = self.records.front_mut() {
            if record.first >= mark {
                break;
            }
            let below = record.count.min(mark - record.first);
            match record.kind {
                Kind::Row | Kind::Sparse if record.told == Told::Nothing => {
                    settled.add_row(record, now);
                }
                Kind::Skip(cause) if !record.resent => {
                    settled.unskipped[usize::from(cause.code()) - 1] += below;
                }
                _ => {}
            }
            if below < record.count {
                record.first += below;
                record.count -= below;
                break;
            }
            self.records.pop_front();
        }
        self.unsent_from = self.unsent_from.max(mark);
        self.release_bytes();
        settled
    }

    /// Rows `start` to `end - 1`, above the mark, are resolved.
    pub(super) fn settle_range(&mut self, start: u32, end: u32, now: Instant, out: &mut Settled) {
        for index in self.indices(start, end) {
            let record = &mut self.records[index];
            // A skip that is covered in part stays whole: what is resolved first stays. Spec §2.4a.
            if record.first < start || record.end() > end || record.progress == Progress::Resolved {
                continue;
            }
            record.progress = Progress::Resolved;
            if record.kind.is_row() && record.told == Told::Nothing {
                record.told = Told::Durable;
                out.add_row(&self.records[index].clone(), now);
            }
        }
    }

    /// What is on its way among these rows is to be sent again. Returns how many rows that are.
    pub(super) fn unsend(&mut self, start: u32, end: u32) -> u32 {
        let mut rows = 0;
        for index in self.indices(start, end) {
            let record = &mut self.records[index];
            if record.progress == Progress::Sent {
                record.progress = Progress::Unsent;
                rows += record.count;
                self.unsent_from = self.unsent_from.min(record.first);
            }
        }
        rows
    }

    /// A new session: whatever is not below its mark goes again, known from ranges or not.
    pub(super) fn unsend_all(&mut self) {
        for record in &mut self.records {
            record.progress = Progress::Unsent;
        }
        self.unsent_from = self.first_open();
    }

    /// Notes that a NACK refused these rows for good. Returns how many are news.
    pub(super) fn refuse(&mut self, start: u32, end: u32) -> u32 {
        let mut rows = 0;
        for index in self.indices(start, end) {
            let record = &mut self.records[index];
            if record.kind.is_row() && record.told == Told::Nothing {
                record.told = Told::Refused;
                rows += 1;
            }
        }
        rows
    }

    /// Gives up what `which` chooses among these rows. Returns the runs, first row and rows, ascending.
    pub(super) fn give_up(
        &mut self,
        start: u32,
        end: u32,
        cause: SkipCause,
        which: impl Fn(&Record) -> bool,
    ) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for index in self.indices(start, end) {
            let record = self.records[index];
            if matches!(record.kind, Kind::Skip(_)) || !which(&record) {
                continue;
            }
            self.turn_into_skip(index, cause);
            match runs.last_mut() {
                Some((first, count)) if *first + *count == record.first => *count += 1,
                _ => runs.push((record.first, 1)),
            }
        }
        self.release_bytes();
        runs
    }

    /// True while the COUNTS with this number waits for its acknowledgement.
    pub(super) fn holds_counts(&self, row: u32) -> bool {
        let record = self.records.get(self.index_of(row));
        record.is_some_and(|record| {
            record.kind == Kind::Counts
                && record.first == row
                && record.progress != Progress::Resolved
        })
    }

    /// Gives up the oldest row that is still held; when there is none, the oldest COUNTS, which says what was given up before
    /// it. Returns its number, and whether it was a row.
    pub(super) fn drop_oldest(&mut self) -> Option<(u32, bool)> {
        let held = |record: &Record| !matches!(record.kind, Kind::Skip(_));
        let oldest_row = self.records.iter().position(|record| record.kind.is_row());
        let Some(index) = oldest_row.or_else(|| self.records.iter().position(held)) else {
            self.collapse();
            return None;
        };
        let row = self.records[index].first;
        self.turn_into_skip(index, SkipCause::Overflow);
        self.join_with_before(index);
        self.release_bytes();
        Some((row, oldest_row.is_some()))
    }

    /// Rows from `mark` to the oldest record are gone: a skip tells of them. Spec §6.4b.
    pub(super) fn insert_lost(&mut self, mark: u32) -> Option<(u32, u32)> {
        let count = self.first_open().checked_sub(mark).filter(|count| *count > 0)?;
        self.records.push_front(Record {
            time_us: 0,
            first: mark,
            count,
            pushed: 0,
            offset: self.bytes_from,
            len: 0,
            schema: 0,
            clock: Clock::None,
            kind: Kind::Skip(SkipCause::Lost),
            progress: Progress::Unsent,
            resent: false,
            told: Told::Nothing,
        });
        self.unsent_from = mark;
        Some((mark, count))
    }

    /// Gives the held rows new numbers from 0, in order. Skips and COUNTS spoke of the old stream and go. Spec §6.7a.
    pub(super) fn renumber(&mut self) -> Vec<(u32, u32, u32)> {
        let mut moved: Vec<(u32, u32, u32)> = Vec::new();
        let mut next = 0;
        self.records.retain_mut(|record| {
            // What a range or a refusal resolved is recorded in the old stream already.
            let goes_on = record.kind.is_row() && record.told == Told::Nothing;
            if !goes_on {
                return false;
            }
            match moved.last_mut() {
                Some((first, count, _)) if *first + *count == record.first => *count += 1,
                _ => moved.push((record.first, 1, next)),
            }
            record.first = next;
            record.progress = Progress::Unsent;
            record.resent = false;
            next += 1;
            true
        });
        self.next_row = next;
        self.unsent_from = 0;
        self.release_bytes();
        moved
    }

    /// Indices of the records that overlap rows `start` to `end - 1`.
    fn indices(&self, start: u32, end: u32) -> Range<usize> {
        let from = self.index_of(start);
        let to = self.records.partition_point(|record| record.first < end);
        from..to.max(from)
    }

    /// Index of the record that holds `row`, or of the first one after it.
    pub(super) fn index_of(&self, row: u32) -> usize {
        self.records.partition_point(|record| record.end() <= row)
    }

    fn turn_into_skip(&mut self, index: usize, cause: SkipCause) {
        let record = &mut self.records[index];
        record.kind = Kind::Skip(cause);
        record.progress = Progress::Unsent;
        record.resent = false;
        record.told = Told::Nothing;
        let first = record.first;
        self.unsent_from = self.unsent_from.min(first);
    }

    /// Joins a skip with the one before it, unless that one is on its way: what was sent must not grow unseen.
    fn join_with_before(&mut self, index: usize) {
        let Some(before) = index.checked_sub(1) else { return };
        let (a, b) = (self.records[before], self.records[index]);
        if a.kind == b.kind && a.progress == Progress::Unsent && a.resent == b.resent {
            self.records[before].count += b.count;
            self.records.remove(index);
        }
    }

    /// The last resort of a full queue that holds no row: all its skips and resolved records become one.
    fn collapse(&mut self) {
        let (Some(front), Some(back)) = (self.records.front(), self.records.back()) else { return };
        let (first, end) = (front.first, back.end());
        self.records.clear();
        self.bytes.clear();
        self.unsent_from = first;
        let saved = self.next_row;
        self.next_row = end;
        self.insert_lost(first);
        self.next_row = saved;
        if let Some(record) = self.records.front_mut() {
            record.kind = Kind::Skip(SkipCause::Overflow);
            record.resent = true;
        }
    }

    /// Frees the bytes in front of the first record that still has some.
    fn release_bytes(&mut self) {
        let mut first = None;
        for record in &mut self.records {
            if matches!(record.kind, Kind::Skip(_)) {
                record.len = 0;
            }
            if record.len > 0 {
                first = Some(record.offset);
                break;
            }
        }
        let Some(offset) = first else {
            self.bytes.clear();
            if self.bytes.capacity() > IDLE_BYTES {
                self.bytes.shrink_to(IDLE_BYTES);
                self.records.shrink_to(IDLE_BYTES / size_of::<Record>());
            }
            return;
        };
        let gone = as_usize(offset.wrapping_sub(self.bytes_from)).min(self.bytes.len());
        self.bytes.drain(..gone);
        self.bytes_from = offset;
    }
}

fn ticks(now: Instant) -> u32 {
    // The low 32 bits are what is meant: differences are taken modulo 2^32.
    u32::try_from(now.0 >> TICK_BITS & u64::from(u32::MAX)).unwrap_or(0)
}

fn as_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

const _: () = assert!(size_of::<Record>() == 32, "the documentation says 32 bytes a row");
