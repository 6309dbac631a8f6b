//! From the inbox to the tables, in slices that landing does not feel.
//!
//! Filing works on *runs*: some inbox entries, oldest first, whose rows are sorted by table, device and time. So rows of
//! one device go to one page together, however many devices sent in between. A run goes through three phases, each
//! cut into slices of one transaction:
//!
//! 1. *introduce*: devices, streams and tables that are new get their rows and columns;
//! 2. *prepare*: messages are decoded and dated, and the rows sorted (nothing is written);
//! 3. *insert*: rows, then refusals, skips and the like, then marks. The table `filing` says how far it is. The last
//!    transaction deletes the inbox entries.
//!
//! Phase 2 comes out the same every time, so that a run which was cut short by a crash goes on where it was.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, params};
use senda_wire::registry::MessageType;
use senda_wire::{BodyError, Channel, Presence, Range, Schema};

use crate::catalog::{Catalog, KEY_COLUMNS};
use crate::clock::ClockState;
use crate::error::code_of;
use crate::inbox::{BlobReader, Entry, Item, Said, read_body};
use crate::landing::RAW_MAX;
use crate::options::Fault;
use crate::rows::{DataMessage, LandedRow, Numbering, read_row};
use crate::streams::Ids;
use crate::value::to_column;
use crate::writer::Store;
use crate::{Options, StoreError};

/// What a slice of filing did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Filing {
    /// Rows that were filed, or got their time.
    pub rows: usize,
    /// Bytes that wait.
    pub inbox_bytes_left: u64,
    /// When to call again, in microseconds since 1970: in the past, if at once. `None`: nothing waits.
    pub due: Option<i64>,
    /// True when a [`Checkpointer`](crate::Checkpointer) has something to do.
    pub checkpoint_due: bool,
}

/// Some inbox entries on their way to the tables.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// The last entry in it.
    last: i64,
    blobs: Vec<Vec<u8>>,
    /// For each blob, the slots of its streams, in order of their index.
    slots: Vec<Vec<usize>>,
    /// Streams in the run.
    streams: Vec<Heard>,
    stream_index: HashMap<usize, usize>,
    /// What phase 1 has still to do.
    new_streams: Vec<usize>,
    new_descriptions: Vec<i64>,
    /// Blobs that phase 2 has done.
    prepared: usize,
    is_sorted: bool,
    /// What is known of the clocks, by slot.
    clocks: HashMap<usize, Known>,
    messages: Vec<Message>,
    rows: Vec<SortedRow>,
    records: Vec<(Ids, i64, Record)>,
    /// How much of rows, records and streams, in that order, phase 3 has done.
    done: usize,
}

/// A stream of the run, and when it was heard first and last.
#[derive(Clone, Copy, Debug)]
struct Heard {
    slot: usize,
    first: i64,
    last: i64,
    /// Rows of the run that go into tables, unacknowledged ones not counted.
    rows: u64,
}

/// What is known of a clock: before the run, and at the message that is being prepared.
#[derive(Clone, Copy, Debug)]
struct Known {
    before: Option<ClockState>,
    current: Option<ClockState>,
}

/// A data message of the run.
#[derive(Debug)]
struct Message {
    blob: usize,
    /// Where its body stands in the blob.
    body: usize,
    presence: Presence,
    description: i64,
    received: i64,
}

/// One row of the run. The order of the fields is the order of insertion.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct SortedRow {
    table: i64,
    device: i64,
    time: i64,
    stream: i64,
    row: i64,
    message: usize,
    start: usize,
    end: usize,
    device_time: Option<i64>,
    flags: u8,
}

/// What is neither a row nor a mark.
#[derive(Debug)]
enum Record {
    Schema { id: u16, description: i64 },
    Refused { rows: Range, code: u16, message: u8, bytes: Vec<u8> },
    Skip { rows: Range, cause: u8 },
    Counts { row: u32, made: u64, causes: Vec<(u8, u64)> },
    Clock { before: Option<ClockState>, now: ClockState, is_first: bool },
    Seen { transport: String, software: String },
    Event { kind: String, text: String },
    Unreadable { first: i64, why: String, bytes: Vec<u8> },
}

impl Store {
    /// One slice.
    pub(crate) fn file(
        &mut self,
        options: &Options,
        now: i64,
        budget: usize,
    ) -> Result<Filing, StoreError> {
        if self.log.checkpoint(&self.conn, options)? {
            return Ok(self.filing(options, now, 0));
        }
        let Some(mut run) = self.run.take() else {
            if self.dates_now(now, options) {
                let rows = self.date_some(budget.max(1))?;
                return Ok(self.filing(options, now, rows));
            }
            if self.filing(options, now, 0).due.is_some_and(|due| due <= now) {
                self.run = Some(self.begin_run()?);
            }
            return Ok(self.filing(options, now, 0));
        };
        let mut rows = 0;
        if !run.new_streams.is_empty() || !run.new_descriptions.is_empty() {
            self.introduce(&mut run, budget)?;
        } else if run.prepared < run.blobs.len() {
            self.prepare(&mut run)?;
        } else if !run.is_sorted {
            run.rows.sort_unstable();
            run.is_sorted = true;
        } else {
            let before = run.done.min(run.rows.len());
            self.insert(&mut run, budget.max(1), options)?;
            rows = run.done.min(run.rows.len()) - before;
        }
        if !run.is_sorted || run.done < run.len() {
            self.run = Some(run);
        }
        Ok(self.filing(options, now, rows))
    }

    fn filing(&self, options: &Options, now: i64, rows: usize) -> Filing {
        let due = match self.inbox.front() {
            None if self.undated.is_empty() => None,
            None => Some(i64::MIN),
            Some(_) if self.run.is_some() || self.inbox_bytes >= options.filing_bytes => {
                Some(i64::MIN)
            }
            // A clock that was set back must not make it wait until the old time comes again.
            Some(oldest) if oldest.received > now => Some(i64::MIN),
            Some(oldest) => Some(oldest.received.saturating_add(options.filing_delay)),
        };
        let checkpoint_due = self.log.is_due(options);
        Filing { rows, inbox_bytes_left: self.inbox_bytes, due, checkpoint_due }
    }

    /// Reads the entries of the next run, or of the one that was under way when the store was closed.
    fn begin_run(&mut self) -> Result<Run, StoreError> {
        let (last, done): (i64, i64) =
            self.conn.query_row("SELECT last, done FROM filing", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let mut run = Run { done: usize::try_from(done).unwrap_or(0), ..Run::default() };
        let (mut rows, mut bytes) = (0, 0);
        for index in 0..self.inbox.len() {
            let id = self.inbox[index].id;
            let goes_on = if done > 0 { id <= last } else { rows < RUN_ROWS && bytes < RUN_BYTES };
            if !goes_on {
                break;
            }
            let mut select = self.conn.prepare_cached("SELECT bytes FROM inbox WHERE id = ?1")?;
            let blob: Vec<u8> = select.query_row([id], |row| row.get(0))?;
            drop(select);
            bytes += blob.len();
            rows += self.survey(&mut run, &blob)?;
            run.blobs.push(blob);
            run.last = id;
        }
        Ok(run)
    }

    /// Notes the streams of a blob, and what of it is new to the tables; its number of rows.
    fn survey(&mut self, run: &mut Run, blob: &[u8]) -> Result<usize, StoreError> {
        let mut reader = BlobReader::new(blob)?;
        let (mut slots, mut rows) = (Vec::new(), 0);
        while let Some(item) = reader.next()? {
            match item {
                Item::Stream(device, stream) => {
                    let slot = self.streams.slot(&self.conn, device, stream)?;
                    slots.push(slot);
                    run.stream_index.entry(slot).or_insert_with(|| {
                        if self.streams.get(slot).ids.is_none() {
                            run.new_streams.push(slot);
                        }
                        run.streams.push(Heard { slot, first: i64::MAX, last: i64::MIN, rows: 0 });
                        run.streams.len() - 1
                    });
                }
                Item::Entry(index, Entry { received, said }) => {
                    let slot = slot_of(&slots, index)?;
                    let heard = &mut run.streams[run.stream_index[&slot]];
                    heard.first = received.min(heard.first);
                    heard.last = received.max(heard.last);
                    let Some(data) = said.body().and_then(|body| read_body(body).ok()) else {
                        continue;
                    };
                    rows += usize::from(data.head.count);
                    let Some(id) = self.streams.get(slot).schemas.get(&data.head.schema) else {
                        continue;
                    };
                    let is_new =
                        self.catalog.description(*id).is_some_and(|known| known.binding.is_none());
                    if is_new && !run.new_descriptions.contains(id) {
                        run.new_descriptions.push(*id);
                    }
                }
            }
        }
        run.slots.push(slots);
        Ok(rows)
    }

    /// Phase 1: rows for new devices and streams, tables and columns for new schemas.
    fn introduce(&mut self, run: &mut Run, budget: usize) -> Result<(), StoreError> {
        self.begin_unsynced()?;
        if let Some(description) = run.new_descriptions.pop() {
            self.lay_out(description)?;
        }
        let rest = run.new_streams.len().saturating_sub(budget.max(1));
        for slot in run.new_streams.drain(rest..) {
            let heard = run.streams[run.stream_index[&slot]];
            let entry = self.streams.get_mut(slot);
            entry.ids = Some(introduce_stream(&self.conn, &entry.device, entry.stream, heard)?);
        }
        self.commit_unsynced()
    }

    /// Begins a transaction that is not synced by itself. It only moves what is durable: the log is a prefix after a power
    /// cut, so either this is in it, or what it moved is still where it was. The next landing's sync covers it too.
    pub(crate) fn begin_unsynced(&self) -> Result<(), StoreError> {
        self.conn.execute_batch("PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE;")?;
        Ok(())
    }

    pub(crate) fn commit_unsynced(&mut self) -> Result<(), StoreError> {
        self.conn.execute_batch("COMMIT")?;
        self.conn.pragma_update(None, "synchronous", self.synchronous)?;
        self.has_committed = true;
        Ok(())
    }

    /// Makes a schema's table and columns. One that SQLite does not take must not stop the others: its rows go to the
    /// table `unreadable`.
    fn lay_out(&mut self, description: i64) -> Result<(), StoreError> {
        self.conn.execute_batch("SAVEPOINT lay_out")?;
        match self.catalog.lay_out(&self.conn, description) {
            Err(StoreError::Sqlite(error)) if code_of(&error) == Some(ErrorCode::Unknown) => {
                tracing::warn!(description, %error, "a schema that can't be filed");
                self.conn.execute_batch("ROLLBACK TO lay_out")?;
                self.catalog = Catalog::load(&self.conn)?;
            }
            other => other?,
        }
        self.conn.execute_batch("RELEASE lay_out")?;
        Ok(())
    }

    /// Phase 2, some blobs of it. The sorting is another slice.
    fn prepare(&mut self, run: &mut Run) -> Result<(), StoreError> {
        let before = run.rows.len();
        while run.prepared < run.blobs.len() && run.rows.len() - before < PREPARE_ROWS {
            let number = run.prepared;
            let blob = std::mem::take(&mut run.blobs[number]);
            self.prepare_blob(run, number, &blob)?;
            run.blobs[number] = blob;
            run.prepared += 1;
        }
        Ok(())
    }

    fn prepare_blob(
        &mut self,
        run: &mut Run,
        number: usize,
        blob: &[u8],
    ) -> Result<(), StoreError> {
        let mut reader = BlobReader::new(blob)?;
        while let Some(item) = reader.next()? {
            let Item::Entry(index, Entry { received, said }) = item else { continue };
            let slot = slot_of(&run.slots[number], index)?;
            let ids = self.streams.get(slot).ids;
            let ids = ids.ok_or_else(|| StoreError::corrupt("a stream that phase 1 left out"))?;
            if let Some((body, presence, numbering)) = said.data() {
                let clock = self.known_clock(run, slot, ids)?.current;
                let message = DataMessage { body, presence, numbering, received, clock };
                self.prepare_rows(run, slot, ids, number, blob, &message);
                continue;
            }
            if let Said::Clock { offset, uncertainty, kind } = said {
                let Known { before, current } = self.known_clock(run, slot, ids)?;
                let heard = ClockState::hear(current, offset, uncertainty, kind, received);
                if let Some(now) = heard.filter(|_| heard != current) {
                    run.clocks.insert(slot, Known { before, current: heard });
                    let is_first = current.is_none();
                    run.records.push((ids, received, Record::Clock { before, now, is_first }));
                }
                continue;
            }
            said.into_records(|record| run.records.push((ids, received, record)));
        }
        Ok(())
    }

    /// Decodes a data message. What can't be decoded is kept as it is, with the reason: it was acknowledged.
    fn prepare_rows(
        &self,
        run: &mut Run,
        slot: usize,
        ids: Ids,
        blob_number: usize,
        blob: &[u8],
        message: &DataMessage<'_>,
    ) {
        let number = run.messages.len();
        let before = run.rows.len();
        let records = run.records.len();
        let result = self.decode_rows(run, slot, ids, number, message);
        match result {
            Ok(description) => {
                if let (Numbering::Acked { .. }, Some(index)) =
                    (message.numbering, run.stream_index.get(&slot))
                {
                    run.streams[*index].rows += (run.rows.len() - before) as u64;
                }
                run.messages.push(Message {
                    blob: blob_number,
                    body: message.body.as_ptr().addr() - blob.as_ptr().addr(),
                    presence: message.presence,
                    description,
                    received: message.received,
                });
            }
            Err(why) => {
                run.rows.truncate(before);
                run.records.truncate(records);
                let first = match message.numbering {
                    Numbering::Acked { first, .. } => i64::from(first),
                    Numbering::Unacked { counter } => -1 - i64::from(counter),
                };
                let record = Record::Unreadable { first, why, bytes: message.body.to_vec() };
                run.records.push((ids, message.received, record));
            }
        }
    }

    /// Adds a message's rows and refusals to the run; its description.
    fn decode_rows(
        &self,
        run: &mut Run,
        slot: usize,
        ids: Ids,
        number: usize,
        message: &DataMessage<'_>,
    ) -> Result<i64, String> {
        let head = read_body(message.body).map_err(|error| format!("{error:?}"))?.head;
        let id = self
            .streams
            .get(slot)
            .schemas
            .get(&head.schema)
            .ok_or("no such schema in its stream")?;
        let description = self.catalog.description(*id).ok_or("no such description")?;
        let table = description.binding.as_ref().ok_or("no table for its schema")?.table;
        let schema = Schema::decode(&description.bytes).map_err(|error| format!("{error:?}"))?;
        let (rows, records) = (&mut run.rows, &mut run.records);
        let kind = if message.presence == Presence::Bitmap {
            MessageType::Sparse
        } else {
            MessageType::Rows
        };
        message
            .rows(&schema, |row| {
                if let Some(code) = row.refused {
                    let bytes = &message.body[row.start..row.end];
                    let bytes = bytes[..bytes.len().min(RAW_MAX)].to_vec();
                    let number = u32::try_from(row.row).unwrap_or(u32::MAX);
                    let rows = Range { start: number, end: number.saturating_add(1) };
                    let record = Record::Refused { rows, code, message: kind.code(), bytes };
                    records.push((ids, message.received, record));
                } else {
                    rows.push(SortedRow::new(table, ids, number, &row));
                }
            })
            .map_err(|error| format!("{error:?}"))?;
        Ok(*id)
    }

    /// The clock of a stream, as it was before this run and as it is now.
    fn known_clock(&self, run: &mut Run, slot: usize, ids: Ids) -> Result<Known, StoreError> {
        if let Some(known) = run.clocks.get(&slot) {
            return Ok(*known);
        }
        let before = stored_clock(&self.conn, ids.stream, run.last)?;
        let known = Known { before, current: before };
        run.clocks.insert(slot, known);
        Ok(known)
    }

    /// Phase 3, a slice of it: one transaction.
    fn insert(
        &mut self,
        run: &mut Run,
        budget: usize,
        options: &Options,
    ) -> Result<(), StoreError> {
        let end = run.len().min(run.done + budget);
        self.begin_unsynced()?;
        let rows = run.done.min(run.rows.len())..end.min(run.rows.len());
        self.insert_rows(run, &run.rows[rows])?;
        let (first, last) = (run.rows.len(), run.rows.len() + run.records.len());
        for (ids, received, record) in
            &run.records[run.done.clamp(first, last) - first..end.clamp(first, last) - first]
        {
            record.insert(&self.conn, *ids, *received, run.last)?;
        }
        for heard in &run.streams[run.done.max(last) - last..end.max(last) - last] {
            self.write_marks(*heard, run.last)?;
        }
        let is_over = end == run.len();
        if is_over {
            self.conn.prepare_cached("DELETE FROM inbox WHERE id <= ?1")?.execute([run.last])?;
        }
        let done = i64::try_from(if is_over { 0 } else { end }).unwrap_or(i64::MAX);
        self.conn
            .prepare_cached("UPDATE filing SET last = ?1, done = ?2")?
            .execute([run.last, done])?;
        options.fault.check(Fault::File)?;
        self.commit_unsynced()?;
        run.done = end;
        if is_over {
            self.end_run(run);
            self.find_undated()?;
        }
        Ok(())
    }

    fn insert_rows(&self, run: &Run, rows: &[SortedRow]) -> Result<(), StoreError> {
        let descriptions: BTreeMap<i64, Arc<[u8]>> = rows
            .iter()
            .map(|row| run.messages[row.message].description)
            .filter_map(|id| Some((id, Arc::clone(&self.catalog.description(id)?.bytes))))
            .collect();
        let mut targets = BTreeMap::new();
        for (id, bytes) in &descriptions {
            let schema =
                Schema::decode(bytes).map_err(|error| StoreError::corrupt(format!("{error:?}")))?;
            let channels: Vec<Channel<'_>> = schema.channels().collect();
            let binding = self.catalog.description(*id).and_then(|known| known.binding.as_ref());
            let binding = binding.ok_or_else(|| StoreError::corrupt("a schema without table"))?;
            targets.insert(*id, (channels, self.conn.prepare_cached(&binding.insert)?));
        }
        for row in rows {
            let message = &run.messages[row.message];
            let Some((channels, insert)) = targets.get_mut(&message.description) else { continue };
            let body = &run.blobs[message.blob][message.body..];
            insert_row(insert, row, message, &body[row.start..row.end], channels)?;
        }
        Ok(())
    }

    /// The marks as they are now, which cover what landed after this run too: when they are rebuilt, the inbox adds
    /// what it has, and nothing counts twice.
    fn write_marks(&self, heard: Heard, run: i64) -> Result<(), StoreError> {
        let entry = self.streams.get(heard.slot);
        let Some(ids) = entry.ids else { return Ok(()) };
        let resolved = i64::try_from(entry.marks.resolved()).unwrap_or(i64::MAX);
        let rows = i64::try_from(heard.rows).unwrap_or(i64::MAX);
        self.conn
            .prepare_cached(
                "UPDATE streams SET mark = ?2, ranges = ?3, resolved = ?4, last_seen = max(last_seen, ?5),
                 filed = filed + ?6, filed_run = ?7 WHERE id = ?1",
            )?
            .execute(params![
                ids.stream,
                entry.marks.next(),
                entry.marks.ranges_to_bytes(),
                resolved,
                heard.last,
                rows,
                run
            ])?;
        self.conn
            .prepare_cached("UPDATE devices SET last_seen = ?2 WHERE id = ?1 AND last_seen < ?2")?
            .execute([ids.device, heard.last])?;
        Ok(())
    }

    fn end_run(&mut self, run: &Run) {
        self.filed = run.last;
        while let Some(entry) = self.inbox.pop_front_if(|entry| entry.id <= run.last) {
            self.inbox_bytes -= entry.bytes;
        }
        for heard in &run.streams {
            let entry = self.streams.get_mut(heard.slot);
            if !entry.refused.is_empty() {
                entry.has_refused = true;
            }
            if entry.last_inbox <= run.last {
                entry.refused = Vec::new();
            }
        }
        self.streams.shrink_after_filing(self.filed);
    }
}

impl Run {
    fn len(&self) -> usize {
        self.rows.len() + self.records.len() + self.streams.len()
    }
}

impl SortedRow {
    fn new(table: i64, ids: Ids, message: usize, row: &LandedRow) -> Self {
        let time = row.dated.time;
        Self {
            table,
            device: ids.device,
            time,
            stream: ids.stream,
            row: row.row,
            message,
            start: row.start,
            end: row.end,
            // NULL says: the same as `time`, which saves eight bytes in most rows.
            device_time: row.device_time.filter(|device_time| *device_time != time),
            flags: row.clock.code() | if row.dated.estimated { FLAG_ESTIMATED } else { 0 },
        }
    }
}

impl<'a> Said<'a> {
    /// The body of a data message.
    fn body(&self) -> Option<&'a [u8]> {
        match self {
            Self::Rows { body, .. } | Self::Unacked { body, .. } => Some(body),
            _ => None,
        }
    }

    /// Gives what is neither rows nor a clock as it goes into the tables.
    fn into_records(self, mut give: impl FnMut(Record)) {
        match self {
            Self::Rows { .. } | Self::Unacked { .. } | Self::Clock { .. } => {}
            Self::Refused { pieces, code, kind, body } => {
                // The bytes are kept once, with the first piece.
                let bytes = std::iter::once(body).chain(std::iter::repeat(&[][..]));
                for (rows, bytes) in pieces.into_iter().zip(bytes) {
                    give(Record::Refused { rows, code, message: kind, bytes: bytes.to_vec() });
                }
            }
            Self::Skip { pieces, cause } => {
                pieces.into_iter().for_each(|rows| give(Record::Skip { rows, cause }));
            }
            Self::Counts { row, made, causes } => give(Record::Counts { row, made, causes }),
            Self::Schema { id, description } => give(Record::Schema { id, description }),
            Self::Seen { transport, software } => give(Record::Seen {
                transport: transport.to_owned(),
                software: software.to_owned(),
            }),
            Self::Event { kind, text } => {
                give(Record::Event { kind: kind.to_owned(), text: text.to_owned() });
            }
        }
    }
}

impl Record {
    fn insert(
        &self,
        conn: &Connection,
        ids: Ids,
        received: i64,
        run: i64,
    ) -> Result<(), StoreError> {
        let Ids { device, stream } = ids;
        // OR IGNORE: a key that is there is of the same record, or the file was mended by hand.
        match self {
            Self::Schema { id, description } => conn
                .prepare_cached("INSERT OR IGNORE INTO schemas VALUES (?1, ?2, ?3)")?
                .execute(params![stream, id, description])?,
            Self::Refused { rows, code, message, bytes } => conn
                .prepare_cached("INSERT OR IGNORE INTO refused VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
                .execute(params![stream, rows.start, rows.end, code, message, received, bytes])?,
            Self::Skip { rows, cause } => conn
                .prepare_cached("INSERT OR IGNORE INTO skips VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![stream, rows.start, rows.end, cause, received])?,
            Self::Counts { row, made, causes } => conn
                .prepare_cached("INSERT OR IGNORE INTO counts VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![stream, row, received, made.cast_signed(), causes_to_json(causes)])?,
            Self::Clock { before, now, is_first } => {
                let state = now.to_bytes();
                let to_date = (*is_first && now.is_monotonic()).then_some(&state);
                conn.prepare_cached(
                    "UPDATE streams SET clock_kind = ?2, clock_offset = ?3, clock_uncertainty = ?4, clock_drift = ?5,
                     clock_time = ?6, clock_state = ?7, clock_run = ?8, clock_before = ?9,
                     to_date = coalesce(?10, to_date) WHERE id = ?1",
                )?
                .execute(params![
                    stream,
                    now.kind(),
                    now.offset(),
                    now.uncertainty(),
                    now.drift_ppm(),
                    now.heard(),
                    state,
                    run,
                    before.map(ClockState::to_bytes),
                    to_date,
                ])?
            }
            Self::Seen { transport, software } => conn
                .prepare_cached(
                    "UPDATE devices SET transport = ?2, software = nullif(?3, '') WHERE id = ?1",
                )?
                .execute(params![device, transport, software])?,
            Self::Event { kind, text } => conn
                .prepare_cached("INSERT INTO events (time, device, stream, kind, text) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![received, device, stream, kind, text])?,
            Self::Unreadable { first, why, bytes } => conn
                .prepare_cached("INSERT INTO unreadable (stream, first, received, why, bytes) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![stream, first, received, why, bytes])?,
        };
        Ok(())
    }
}

/// What is known of a stream's clock, as it holds for the run up to inbox entry `run`, and for what follows it: the run
/// itself may have written a later state already.
pub(crate) fn stored_clock(
    conn: &Connection,
    stream: i64,
    run: i64,
) -> Result<Option<ClockState>, StoreError> {
    let found: Option<Option<Vec<u8>>> = conn
        .prepare_cached(
            "SELECT CASE clock_run WHEN ?2 THEN clock_before ELSE clock_state END FROM streams WHERE id = ?1",
        )?
        .query_row([stream, run], |row| row.get(0))
        .optional()?;
    let damaged = || StoreError::corrupt(format!("the clock of stream {stream}"));
    let state = |bytes: Vec<u8>| ClockState::from_bytes(&bytes).ok_or_else(damaged);
    found.flatten().map(state).transpose()
}

fn introduce_stream(
    conn: &Connection,
    device: &str,
    stream: u64,
    heard: Heard,
) -> Result<Ids, StoreError> {
    let device = conn
        .prepare_cached(
            "INSERT INTO devices (name, first_seen, last_seen) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET last_seen = max(last_seen, excluded.last_seen) RETURNING id",
        )?
        .query_row(params![device, heard.first, heard.last], |row| row.get(0))?;
    let stream = conn
        .prepare_cached("INSERT INTO streams (device, stream, first_seen, last_seen, filed) VALUES (?1, ?2, ?3, ?4, 0) RETURNING id")?
        .query_row(params![device, stream.cast_signed(), heard.first, heard.last], |row| row.get(0))?;
    Ok(Ids { device, stream })
}

fn insert_row(
    insert: &mut CachedStatement<'_>,
    row: &SortedRow,
    message: &Message,
    bytes: &[u8],
    channels: &[Channel<'_>],
) -> Result<(), StoreError> {
    let key = [row.device, row.time, row.stream, row.row];
    for (index, value) in (1..).zip(key) {
        insert.raw_bind_parameter(index, value)?;
    }
    insert.raw_bind_parameter(5, row.device_time)?;
    insert.raw_bind_parameter(6, message.received.wrapping_sub(row.time))?;
    insert.raw_bind_parameter(7, row.flags)?;
    let mut column = KEY_COLUMNS;
    read_row(bytes, message.presence, channels, |channel, value| {
        let elements = match &value {
            Some(senda_wire::Value::Vector(vector)) => Some(vector.iter()),
            _ => None,
        };
        if let Some(elements) = elements {
            for element in elements {
                column += 1;
                insert.raw_bind_parameter(column, to_column(&element))?;
            }
            return Ok(());
        }
        for _ in 0..channel.elements {
            column += 1;
            match &value {
                Some(value) => insert.raw_bind_parameter(column, to_column(value))?,
                None => insert.raw_bind_parameter(column, rusqlite::types::Null)?,
            }
        }
        Ok::<_, StoreError>(())
    })?;
    insert.raw_execute()?;
    Ok(())
}

fn slot_of(slots: &[usize], index: usize) -> Result<usize, StoreError> {
    slots.get(index).copied().ok_or_else(|| StoreError::corrupt("an inbox entry without stream"))
}

fn causes_to_json(causes: &[(u8, u64)]) -> String {
    let entries: Vec<String> =
        causes.iter().map(|(cause, count)| format!("\"{cause}\": {count}")).collect();
    format!("{{{}}}", entries.join(", "))
}

impl From<BodyError> for StoreError {
    fn from(error: BodyError) -> Self {
        Self::corrupt(format!("a landed message that can't be read: {error:?}"))
    }
}

/// Bit of the column `flags`; bits 0 and 1 are the kind of clock.
pub(crate) const FLAG_ESTIMATED: u8 = 0x04;
/// A run ends with the entry that reaches one of these. More would sort better, and take longer to prepare.
const RUN_ROWS: usize = 16_384;
const RUN_BYTES: usize = 1 << 20;
/// A slice of phase 2 ends with the blob that reaches this.
const PREPARE_ROWS: usize = 2_048;
