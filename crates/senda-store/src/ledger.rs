//! What became of every row number: of what is filed and of what has landed, in one read transaction. Spec §7.9.
//!
//! What is filed is counted by the columns of `streams` and the tables beside it; what has landed is added from the inbox,
//! message by message and without decoding a value. While a run of filing is under way its messages are in both: a stream
//! whose `filed_run` is that run has been counted, and a record that stands in its table is not counted again.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};
use senda_wire::{Data, Range};

use crate::inbox::{BlobReader, Entry, Item, Said};
use crate::marks::Marks;
use crate::{Reader, StoreError};

/// What became of the row numbers of one or several streams. Spec §7.9.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ledger {
    /// Streams, that is boots.
    pub streams: u64,
    /// Row numbers that the store has heard of: of each stream the highest that is resolved, and all below it.
    pub numbers: u64,
    /// Of those: rows that the devices made. What the latest COUNTS said, and every number above it; where there is none, every
    /// number.
    pub made: u64,
    /// Rows that are stored. Rows that retention has deleted since are among them.
    pub stored: u64,
    /// Of those: rows that have landed and are not filed yet.
    pub landed: u64,
    /// Rows that were refused, by error code.
    pub refused: BTreeMap<u16, u64>,
    /// Rows that will never come, by cause (spec 5.12).
    pub skipped: BTreeMap<u8, u64>,
    /// Row numbers that COUNTS took.
    pub counts: u64,
    /// Rows of messages that filing could not read; they are kept as they came.
    pub unreadable: u64,
    /// Row numbers between others that have not come yet. Of a stream that has ended they never will.
    pub pending: u64,
    /// Rows made that are none of these; below zero: more than were made. Anything but 0 is a fault.
    pub unexplained: i64,
}

impl Ledger {
    /// Row numbers that are resolved.
    pub const fn resolved(&self) -> u64 {
        self.numbers - self.pending
    }

    /// Rows that were refused, whatever the code.
    pub fn refused_rows(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Rows that will never come, whatever the cause.
    pub fn skipped_rows(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// Adds the row numbers of another stream, or of several. What devices claim saturates.
    pub fn add(&mut self, other: &Self) {
        self.streams += other.streams;
        self.numbers += other.numbers;
        self.made = self.made.saturating_add(other.made);
        self.stored += other.stored;
        self.landed += other.landed;
        for (code, rows) in &other.refused {
            *self.refused.entry(*code).or_default() += rows;
        }
        for (cause, rows) in &other.skipped {
            *self.skipped.entry(*cause).or_default() += rows;
        }
        self.counts += other.counts;
        self.unreadable += other.unreadable;
        self.pending += other.pending;
        self.unexplained = self.unexplained.saturating_add(other.unexplained);
    }
}

impl Reader {
    /// The ledger of all devices together.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn ledger(&self) -> Result<Ledger, StoreError> {
        self.read(|conn| {
            let mut books = Books::open(conn, |_| true)?;
            let mut total = Ledger::default();
            let mut devices = conn.prepare("SELECT id, name FROM devices")?;
            let mut rows = devices.query([])?;
            while let Some(row) = rows.next()? {
                total.add(&books.device(row.get(0)?, &row.get::<_, String>(1)?)?);
            }
            books.unfiled().values().for_each(|unfiled| total.add(&unfiled.ledger));
            Ok(total)
        })
    }
}

/// The ledgers of devices: what is filed of them, and what has landed.
pub(crate) struct Books<'c> {
    conn: &'c Connection,
    /// The last inbox entry of the run that is under way; 0: none is.
    run: i64,
    /// What has landed and is not filed, by device and stream.
    waiting: BTreeMap<String, HashMap<u64, Waiting>>,
    /// False: a store from before rows were counted when they are filed.
    counts_filed: bool,
}

/// What the inbox says of a stream.
#[derive(Debug, Default)]
struct Waiting {
    resolved: Vec<Range>,
    /// Rows to store: of the run that is under way, and after it.
    run_rows: u64,
    rows: u64,
    records: Vec<Waited>,
    first: i64,
    last: i64,
    /// Transport and software of the latest session, and when it began.
    seen: Option<(i64, String, String)>,
}

/// A record of the inbox. `in_run`: it may be in its table already.
#[derive(Debug)]
struct Waited {
    in_run: bool,
    what: Fate,
}

#[derive(Debug)]
enum Fate {
    Refused(Range, u16),
    Skipped(Range, u8),
    Counts(u32, u64),
}

/// A device that only the inbox knows.
#[derive(Debug, Default)]
pub(crate) struct Unfiled {
    pub(crate) first_seen: i64,
    pub(crate) last_seen: i64,
    /// Transport and software of the latest session, and when it began.
    pub(crate) seen: Option<(i64, String, String)>,
    pub(crate) ledger: Ledger,
}

/// The latest COUNTS of a stream: its row number, and how many rows it says were made below.
type Told = Option<(u32, u64)>;

impl<'c> Books<'c> {
    /// Reads the inbox, as far as it is about devices that `takes` chooses.
    pub(crate) fn open(
        conn: &'c Connection,
        takes: impl Fn(&str) -> bool,
    ) -> Result<Self, StoreError> {
        let run = conn
            .query_row("SELECT last FROM filing WHERE done > 0", [], |row| row.get(0))
            .optional()?;
        let counts_filed = conn.query_row(
            "SELECT EXISTS (SELECT 1 FROM pragma_table_info('streams') WHERE name = 'filed')",
            [],
            |row| row.get(0),
        )?;
        let mut books =
            Self { conn, run: run.unwrap_or(0), waiting: BTreeMap::new(), counts_filed };
        let mut entries = conn.prepare("SELECT id, bytes FROM inbox ORDER BY id")?;
        let mut rows = entries.query([])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let bytes = row.get_ref(1)?.as_blob().unwrap_or_default();
            books.read_blob(id <= books.run, bytes, &takes)?;
        }
        Ok(books)
    }

    fn read_blob(
        &mut self,
        in_run: bool,
        bytes: &[u8],
        takes: &impl Fn(&str) -> bool,
    ) -> Result<(), StoreError> {
        let mut streams: Vec<Option<(&str, u64)>> = Vec::new();
        let mut reader = BlobReader::new(bytes)?;
        while let Some(item) = reader.next()? {
            match item {
                Item::Stream(device, stream) => {
                    streams.push(takes(device).then_some((device, stream)));
                }
                Item::Entry(index, entry) => {
                    let Some(Some((device, stream))) = streams.get(index) else { continue };
                    if !self.waiting.contains_key(*device) {
                        self.waiting.insert((*device).to_owned(), HashMap::new());
                    }
                    let of_device = self.waiting.get_mut(*device);
                    let of_device = of_device.unwrap_or_else(|| unreachable!("just inserted"));
                    let fresh = || Waiting { first: entry.received, ..Waiting::default() };
                    of_device.entry(*stream).or_insert_with(fresh).take(in_run, &entry);
                }
            }
        }
        Ok(())
    }

    /// The ledger of a device that is in the tables. What has landed of it counts from here on as told.
    pub(crate) fn device(&mut self, id: i64, name: &str) -> Result<Ledger, StoreError> {
        let mut waiting = self.waiting.remove(name).unwrap_or_default();
        let mut total = Ledger::default();
        let filed = if self.counts_filed { "filed, filed_run" } else { "NULL, NULL" };
        let mut streams = self.conn.prepare_cached(&format!(
            "SELECT id, stream, mark, ranges, {filed} FROM streams WHERE device = ?1"
        ))?;
        let mut rows = streams.query([id])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let marks = Marks::from_columns(row.get(2)?, row.get_ref(3)?.as_blob().unwrap_or(&[]))
                .ok_or_else(|| StoreError::corrupt(format!("the marks of stream {id}")))?;
            let stream = row.get::<_, i64>(1)?.cast_unsigned();
            let waiting = waiting.remove(&stream).unwrap_or_default();
            let filed: Option<i64> = row.get(4)?;
            let is_counted = self.run > 0 && row.get::<_, Option<i64>>(5)? == Some(self.run);
            let filed = filed.map(|filed| (u64::try_from(filed).unwrap_or(0), is_counted));
            total.add(&self.stream(id, marks, filed, &waiting)?);
        }
        for waiting in waiting.values() {
            total.add(&Self::unfiled_stream(waiting));
        }
        Ok(total)
    }

    /// Devices that only the inbox knows, by name.
    pub(crate) fn unfiled(self) -> BTreeMap<String, Unfiled> {
        let sum_up = |streams: HashMap<u64, Waiting>| {
            let mut unfiled =
                Unfiled { first_seen: i64::MAX, last_seen: i64::MIN, ..Unfiled::default() };
            for waiting in streams.into_values() {
                unfiled.ledger.add(&Self::unfiled_stream(&waiting));
                unfiled.first_seen = unfiled.first_seen.min(waiting.first);
                unfiled.last_seen = unfiled.last_seen.max(waiting.last);
                unfiled.seen = unfiled.seen.max(waiting.seen);
            }
            unfiled
        };
        self.waiting.into_iter().map(|(name, streams)| (name, sum_up(streams))).collect()
    }

    /// One stream of the tables. `filed`: rows that were filed, and whether the run under way is among them.
    fn stream(
        &self,
        id: i64,
        marks: Marks,
        filed: Option<(u64, bool)>,
        waiting: &Waiting,
    ) -> Result<Ledger, StoreError> {
        let mut ledger = Ledger { streams: 1, ..Ledger::default() };
        let mut told = self.read_records(id, &mut ledger)?;
        for record in &waiting.records {
            if !(record.in_run && self.is_filed(id, &record.what)?) {
                record.what.add_to(&mut ledger, &mut told);
            }
        }
        let is_counted = filed.is_some_and(|(_, is_counted)| is_counted);
        ledger.landed = waiting.rows + if is_counted { 0 } else { waiting.run_rows };
        let stored = filed.map(|(rows, _)| rows + ledger.landed);
        ledger.close(marks, waiting, stored, told);
        Ok(ledger)
    }

    /// One stream that only the inbox knows.
    fn unfiled_stream(waiting: &Waiting) -> Ledger {
        let (mut ledger, mut told) = (Ledger { streams: 1, ..Ledger::default() }, None);
        waiting.records.iter().for_each(|record| record.what.add_to(&mut ledger, &mut told));
        ledger.landed = waiting.rows + waiting.run_rows;
        let stored = Some(ledger.landed);
        ledger.close(Marks::default(), waiting, stored, told);
        ledger
    }

    /// What the tables have of a stream beside its rows.
    fn read_records(&self, id: i64, ledger: &mut Ledger) -> Result<Told, StoreError> {
        let mut refused = self.conn.prepare_cached(
            "SELECT code, sum(last - first) FROM refused WHERE stream = ?1 GROUP BY code",
        )?;
        let mut rows = refused.query([id])?;
        while let Some(row) = rows.next()? {
            ledger.refused.insert(row.get(0)?, count(row, 1)?);
        }
        let mut skips = self.conn.prepare_cached(
            "SELECT cause, sum(last - first) FROM skips WHERE stream = ?1 GROUP BY cause",
        )?;
        let mut rows = skips.query([id])?;
        while let Some(row) = rows.next()? {
            ledger.skipped.insert(row.get(0)?, count(row, 1)?);
        }
        let mut unreadable = self
            .conn
            .prepare_cached("SELECT bytes FROM unreadable WHERE stream = ?1 AND first >= 0")?;
        let mut rows = unreadable.query([id])?;
        while let Some(row) = rows.next()? {
            let bytes = row.get_ref(0)?.as_blob().unwrap_or_default();
            ledger.unreadable += Data::count_of(bytes).map_or(1, u64::from);
        }
        // Of a bare max(), SQLite gives the other columns of that row.
        let mut counts = self
            .conn
            .prepare_cached("SELECT count(*), max(row), made FROM counts WHERE stream = ?1")?;
        Ok(counts.query_row([id], |row| {
            ledger.counts = count(row, 0)?;
            let (number, made): (Option<u32>, Option<i64>) = (row.get(1)?, row.get(2)?);
            Ok(number.zip(made.map(i64::cast_unsigned)))
        })?)
    }

    /// Whether a record of the run under way stands in its table already.
    fn is_filed(&self, stream: i64, what: &Fate) -> Result<bool, StoreError> {
        let (table, key, first) = match what {
            Fate::Refused(rows, _) => ("refused", "first", rows.start),
            Fate::Skipped(rows, _) => ("skips", "first", rows.start),
            Fate::Counts(row, _) => ("counts", "row", *row),
        };
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE stream = ?1 AND {key} = ?2)");
        let mut select = self.conn.prepare_cached(&sql)?;
        Ok(select.query_row(params![stream, first], |row| row.get(0))?)
    }
}

impl Waiting {
    fn take(&mut self, in_run: bool, entry: &Entry<'_>) {
        self.first = self.first.min(entry.received);
        self.last = self.last.max(entry.received);
        let pieces = entry.said.resolved();
        let mut note = |what| self.records.push(Waited { in_run, what });
        match &entry.said {
            Said::Rows { first, refused, .. } => {
                let mut rows: u64 = pieces.iter().map(len).sum();
                for (index, code) in refused {
                    let row = first.saturating_add(u32::from(*index));
                    if pieces.iter().any(|piece| (piece.start..piece.end).contains(&row)) {
                        note(Fate::Refused(
                            Range { start: row, end: row.saturating_add(1) },
                            *code,
                        ));
                        rows -= 1;
                    }
                }
                *(if in_run { &mut self.run_rows } else { &mut self.rows }) += rows;
            }
            Said::Refused { code, .. } => {
                pieces.iter().for_each(|rows| note(Fate::Refused(*rows, *code)));
            }
            Said::Skip { cause, .. } => {
                pieces.iter().for_each(|rows| note(Fate::Skipped(*rows, *cause)));
            }
            Said::Counts { row, made, .. } => note(Fate::Counts(*row, *made)),
            Said::Seen { transport, software } => {
                let seen = (entry.received, (*transport).to_owned(), (*software).to_owned());
                self.seen = self.seen.take().max(Some(seen));
            }
            _ => {}
        }
        self.resolved.extend(pieces);
    }
}

impl Fate {
    fn add_to(&self, ledger: &mut Ledger, told: &mut Told) {
        match self {
            Self::Refused(rows, code) => *ledger.refused.entry(*code).or_default() += len(rows),
            Self::Skipped(rows, cause) => *ledger.skipped.entry(*cause).or_default() += len(rows),
            Self::Counts(row, made) => {
                ledger.counts += 1;
                *told = (*told).max(Some((*row, *made)));
            }
        }
    }
}

impl Ledger {
    /// Draws the line under one stream. `stored`: counted; `None`: a stream from before that was done, whose rows are what
    /// the others leave.
    fn close(&mut self, mut marks: Marks, waiting: &Waiting, stored: Option<u64>, told: Told) {
        for rows in &waiting.resolved {
            // Each was resolved before, when it landed: there are never more ranges than then.
            let _ = marks.resolve(*rows);
        }
        self.numbers = marks.high().into();
        self.pending = self.numbers - marks.resolved();
        let (refused, skipped) = (self.refused_rows(), self.skipped_rows());
        let others = refused + skipped + self.counts + self.unreadable;
        self.stored = stored.unwrap_or_else(|| marks.resolved().saturating_sub(others));
        let (numbers, counts, pending) = (self.numbers, self.counts, self.pending);
        // Numbers below the latest COUNTS that took COUNTS and are none here: given up, refused, or not come.
        let mut lost_counts = 0;
        self.made = numbers - counts;
        if let Some((row, made)) = told {
            let missing = i128::from(row) - i128::from(made) - i128::from(counts - 1);
            lost_counts = missing.clamp(0, i128::from(skipped + refused + pending));
            self.made = made.saturating_add(numbers.saturating_sub(u64::from(row) + 1));
        }
        let explained = self.stored + refused + skipped + self.unreadable + pending;
        let unexplained = i128::from(self.made) + lost_counts - i128::from(explained);
        let limits = (i128::from(i64::MIN), i128::from(i64::MAX));
        self.unexplained = i64::try_from(unexplained.clamp(limits.0, limits.1)).unwrap_or(i64::MAX);
    }
}

fn len(rows: &Range) -> u64 {
    (rows.end - rows.start).into()
}

/// A number that SQLite has as a signed one.
pub(crate) fn count(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0))
}
