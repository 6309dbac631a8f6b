//! Rows that were filed before anything was known of their clock get their time when the first offset comes.
//!
//! They lie in the tables by the time of their reception, with the flag `estimated`. In slices of one transaction, between
//! two runs of filing, they move to where their clock says. A row that has moved has lost the flag, so a slice that a
//! crash undid is done again, and one that it did not undo is not. Marks have no part in this: what is stored, and once,
//! stays so. A run of filing that a crash cut short does not insert these rows again: it goes on after those that it has done.

use std::collections::VecDeque;

use rusqlite::params;
use senda_wire::Clock;

use crate::clock::ClockState;
use crate::filing::FLAG_ESTIMATED;
use crate::time::is_plausible;
use crate::writer::Store;
use crate::{Options, StoreError};

/// A stream with such rows, and how far its turn is.
#[derive(Clone, Debug)]
pub(crate) struct Undated {
    device: i64,
    stream: i64,
    clock: ClockState,
    /// Index of the table in the catalog.
    table: usize,
    /// The rows of the table up to this one have been looked at: time, stream, row.
    after: (i64, i64, i64),
    /// No row of before the first offset has a time before this ...
    from: i64,
    /// ... or after this.
    until: i64,
}

/// A row that may be one.
struct Row {
    time: i64,
    stream: i64,
    row: i64,
    device_time: Option<i64>,
    delay: i64,
    flags: u8,
}

impl Store {
    /// Looks up which streams have rows to be dated.
    pub(crate) fn find_undated(&mut self) -> Result<(), StoreError> {
        let mut select = self.conn.prepare_cached(
            "SELECT device, id, to_date, first_seen FROM streams WHERE to_date IS NOT NULL",
        )?;
        let mut rows = select.query([])?;
        let mut found = VecDeque::new();
        while let Some(row) = rows.next()? {
            let (device, stream): (i64, i64) = (row.get(0)?, row.get(1)?);
            if self.undated.iter().any(|undated| undated.stream == stream) {
                continue;
            }
            let bytes = row.get_ref(2)?.as_blob().unwrap_or_default();
            let clock = ClockState::from_bytes(bytes)
                .ok_or_else(|| StoreError::corrupt(format!("the clock of stream {stream}")))?;
            // The rows of a message are spread before its reception, by at most the width of a time offset.
            let first: i64 = row.get(3)?;
            let from = first.saturating_sub(u32::MAX.into());
            let after = (from, i64::MIN, i64::MIN);
            let until = clock.heard();
            found.push_back(Undated { device, stream, clock, table: 0, after, from, until });
        }
        drop(rows);
        drop(select);
        self.undated.append(&mut found);
        self.dates_next = true;
        Ok(())
    }

    /// Whether the next slice is for them: one after each run, and all while no run is due.
    pub(crate) fn dates_now(&self, now: i64, options: &Options) -> bool {
        let is_due = |oldest: i64| oldest.saturating_add(options.filing_delay) <= now;
        let waits = self.inbox.front().is_some_and(|entry| is_due(entry.received));
        !self.undated.is_empty() && (self.dates_next || !waits)
    }

    /// One slice: about so many rows are looked at, in one transaction. Returns how many got their time.
    pub(crate) fn date_some(&mut self, budget: usize) -> Result<usize, StoreError> {
        self.dates_next = false;
        let Some(mut undated) = self.undated.pop_front() else { return Ok(0) };
        self.begin_unsynced()?;
        let mut left = budget;
        let mut dated = 0;
        while let Some(table) = self.catalog.tables().get(undated.table) {
            let rows = self.rows_of(&table.base(), &undated, left)?;
            let is_last = rows.len() < left;
            left -= rows.len();
            for row in &rows {
                undated.after = (row.time, row.stream, row.row);
                dated += usize::from(self.date_row(&table.base(), &undated, row)?);
            }
            if !is_last {
                break;
            }
            undated.table += 1;
            undated.after = (undated.from, i64::MIN, i64::MIN);
        }
        let is_over = undated.table >= self.catalog.tables().len();
        if is_over {
            self.conn
                .prepare_cached("UPDATE streams SET to_date = NULL WHERE id = ?1")?
                .execute([undated.stream])?;
        }
        self.commit_unsynced()?;
        if !is_over {
            self.undated.push_front(undated);
        }
        Ok(dated)
    }

    /// The next rows of the device in a table, of whatever stream: the key has the time before the stream.
    fn rows_of(&self, base: &str, undated: &Undated, limit: usize) -> Result<Vec<Row>, StoreError> {
        let sql = format!(
            "SELECT time, stream, row, device_time, delay, flags FROM {base}
             WHERE device = ?1 AND (time, stream, row) > (?2, ?3, ?4) AND time <= ?5
             ORDER BY time, stream, row LIMIT ?6"
        );
        let (time, stream, row) = undated.after;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Row {
                time: row.get(0)?,
                stream: row.get(1)?,
                row: row.get(2)?,
                device_time: row.get(3)?,
                delay: row.get(4)?,
                flags: row.get(5)?,
            })
        };
        let mut select = self.conn.prepare_cached(&sql)?;
        let rows = select
            .query_map(params![undated.device, time, stream, row, undated.until, limit], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Moves a row to its time; false when it is not one that waits for that, or its clock can't be believed.
    fn date_row(&self, base: &str, undated: &Undated, row: &Row) -> Result<bool, StoreError> {
        let waits = Clock::Monotonic.code() | FLAG_ESTIMATED;
        if row.stream != undated.stream || row.flags != waits {
            return Ok(false);
        }
        let received = row.time.saturating_add(row.delay);
        let device_time = row.device_time.unwrap_or(row.time);
        let time = undated.clock.utc(device_time).filter(|time| is_plausible(*time, received));
        let Some(time) = time else { return Ok(false) };
        // OR REPLACE: a row with this key is this row.
        let sql = format!(
            "UPDATE OR REPLACE {base} SET time = ?5, device_time = ?6, delay = ?7, flags = ?8
             WHERE device = ?1 AND time = ?2 AND stream = ?3 AND row = ?4"
        );
        self.conn.prepare_cached(&sql)?.execute(params![
            undated.device,
            row.time,
            row.stream,
            row.row,
            time,
            Some(device_time).filter(|said| *said != time),
            received.saturating_sub(time),
            Clock::Monotonic.code(),
        ])?;
        Ok(true)
    }
}
