//! What is old goes, in slices that landing does not feel.
//!
//! A *sweep* goes over all tables of readings, device by device, and deletes what is older than its cutoff. By age, the
//! cutoff is known. By size, it is found first: a thirty-second of the time from the oldest reading to now. The pages
//! that become free are used again; the file does not shrink.

use rusqlite::{OptionalExtension, params};

use crate::options::SECOND;
use crate::writer::Store;
use crate::{Options, StoreError};

/// Where the sweep is.
#[derive(Debug, Default)]
pub(crate) enum Sweep {
    /// Nowhere.
    #[default]
    Idle,
    /// Looking for the oldest reading.
    Look { at: Place, oldest: Option<i64> },
    /// Deleting readings.
    Readings { at: Place, cutoff: i64 },
    /// Deleting events and streams.
    Records { cutoff: i64 },
}

/// A device in a table: both are the next to be looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// Index of the table in the catalog.
    table: usize,
    /// Devices above this id are still to come.
    after: i64,
}

impl Store {
    /// One slice; true when there may be more to do.
    pub(crate) fn retain(
        &mut self,
        options: &Options,
        now: i64,
        budget: usize,
    ) -> Result<bool, StoreError> {
        let mut budget = budget.max(1);
        if matches!(self.sweep, Sweep::Idle) {
            self.sweep = self.begin_sweep(options, now)?;
            if matches!(self.sweep, Sweep::Idle) {
                return Ok(false);
            }
        }
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        while budget > 0 && !matches!(self.sweep, Sweep::Idle) {
            let sweep = std::mem::take(&mut self.sweep);
            self.sweep = match sweep {
                Sweep::Idle => Sweep::Idle,
                Sweep::Look { at, oldest } => self.look(at, oldest, now, &mut budget)?,
                Sweep::Readings { at, cutoff } => self.delete_readings(at, cutoff, &mut budget)?,
                Sweep::Records { cutoff } => self.delete_records(cutoff, &mut budget)?,
            };
        }
        self.conn.execute_batch("COMMIT")?;
        self.has_committed = true;
        Ok(!matches!(self.sweep, Sweep::Idle) || self.is_too_big(options)?)
    }

    fn begin_sweep(&self, options: &Options, now: i64) -> Result<Sweep, StoreError> {
        let at = Place::default();
        if self.is_too_big(options)? {
            return Ok(Sweep::Look { at, oldest: None });
        }
        Ok(match options.retention.age {
            Some(age) => Sweep::Readings { at, cutoff: now.saturating_sub(age) },
            None => Sweep::Idle,
        })
    }

    fn is_too_big(&self, options: &Options) -> Result<bool, StoreError> {
        let Some(max) = options.retention.bytes else { return Ok(false) };
        let used: i64 = self.conn.query_row(
            "SELECT (c.page_count - f.freelist_count) * s.page_size
             FROM pragma_page_count c, pragma_freelist_count f, pragma_page_size s",
            [],
            |row| row.get(0),
        )?;
        // What waits for filing goes by itself.
        let readings = used.cast_unsigned().saturating_sub(self.inbox_bytes);
        Ok(readings > max && !self.catalog.tables().is_empty())
    }

    /// The next device, from `at` on, that has rows; moves `at` to it.
    fn next_device(&self, at: &mut Place) -> Result<Option<(String, i64)>, StoreError> {
        while let Some(table) = self.catalog.tables().get(at.table) {
            let base = table.base();
            let sql =
                format!("SELECT device FROM {base} WHERE device > ?1 ORDER BY device LIMIT 1");
            let found = self
                .conn
                .prepare_cached(&sql)?
                .query_row([at.after], |row| row.get(0))
                .optional()?;
            if let Some(device) = found {
                return Ok(Some((base, device)));
            }
            *at = Place { table: at.table + 1, after: i64::MIN };
        }
        Ok(None)
    }

    fn look(
        &self,
        mut at: Place,
        oldest: Option<i64>,
        now: i64,
        budget: &mut usize,
    ) -> Result<Sweep, StoreError> {
        *budget -= 1;
        if let Some((base, device)) = self.next_device(&mut at)? {
            let sql = format!("SELECT min(time) FROM {base} WHERE device = ?1");
            let first: i64 =
                self.conn.prepare_cached(&sql)?.query_row([device], |row| row.get(0))?;
            let oldest = Some(oldest.map_or(first, |oldest| oldest.min(first)));
            return Ok(Sweep::Look { at: Place { after: device, ..at }, oldest });
        }
        let Some(oldest) = oldest else { return Ok(Sweep::Idle) };
        let step = now.saturating_sub(oldest) / 32;
        Ok(Sweep::Readings {
            at: Place::default(),
            cutoff: oldest.saturating_add(step.max(SECOND)),
        })
    }

    fn delete_readings(
        &self,
        mut at: Place,
        cutoff: i64,
        budget: &mut usize,
    ) -> Result<Sweep, StoreError> {
        let Some((base, device)) = self.next_device(&mut at)? else {
            return Ok(Sweep::Records { cutoff });
        };
        let sql = format!(
            "SELECT time FROM {base} WHERE device = ?1 AND time < ?2 ORDER BY time LIMIT 1 OFFSET {}",
            *budget - 1
        );
        let last: Option<i64> =
            self.conn.prepare(&sql)?.query_row([device, cutoff], |row| row.get(0)).optional()?;
        let sql = format!("DELETE FROM {base} WHERE device = ?1 AND time <= ?2");
        let until = last.unwrap_or(cutoff.saturating_sub(1));
        let deleted = self.conn.prepare_cached(&sql)?.execute([device, until])?;
        *budget = budget.saturating_sub(deleted.max(1));
        let after = if last.is_some() { at.after } else { device };
        Ok(Sweep::Readings { at: Place { after, ..at }, cutoff })
    }

    /// Events, commands and alerts that have ended, and streams. A stream's rows may be dated a day after it was last heard, so it stays for longer.
    fn delete_records(&mut self, cutoff: i64, budget: &mut usize) -> Result<Sweep, StoreError> {
        for sql in [
            "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE time < ?1 ORDER BY time LIMIT ?2)",
            "DELETE FROM misfits WHERE id IN (SELECT id FROM misfits WHERE time < ?1 ORDER BY time LIMIT ?2)",
            // The last one of a device stays: ids go on from there.
            "DELETE FROM commands WHERE (device, id) IN (SELECT device, id FROM commands c WHERE created < ?1
                 AND ended < ?1 AND id < (SELECT max(id) FROM commands WHERE device = c.device)
                 ORDER BY created LIMIT ?2)",
            "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE NOT raised AND NOT closed
                 AND cleared_at < ?1 AND id < (SELECT max(id) FROM alerts) ORDER BY id LIMIT ?2)",
        ] {
            let deleted = self.conn.prepare_cached(sql)?.execute(params![cutoff, limit(*budget)])?;
            *budget = budget.saturating_sub(deleted);
        }
        let silent: Vec<(i64, String, i64)> = self
            .conn
            .prepare_cached(
                "SELECT s.id, d.name, s.stream FROM streams s JOIN devices d ON d.id = s.device
                 WHERE s.last_seen < ?1 ORDER BY s.last_seen LIMIT ?2",
            )?
            .query_map(params![cutoff.saturating_sub(STREAM_MARGIN), limit(*budget)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        for (id, device, stream) in silent {
            if *budget == 0 {
                break;
            }
            if !self.streams.forget(&device, stream.cast_unsigned(), self.filed) {
                continue; // It has just come back.
            }
            let is_gone = self.delete_stream(id, budget)?;
            if !is_gone {
                break;
            }
        }
        Ok(if *budget == 0 { Sweep::Records { cutoff } } else { Sweep::Idle })
    }

    /// Deletes a stream and all that is recorded of it; false when the budget does not suffice.
    fn delete_stream(&self, id: i64, budget: &mut usize) -> Result<bool, StoreError> {
        for (table, key) in
            [("refused", "first"), ("skips", "first"), ("counts", "row"), ("schemas", "id")]
        {
            let sql = format!(
                "DELETE FROM {table} WHERE stream = ?1 AND {key} IN
                 (SELECT {key} FROM {table} WHERE stream = ?1 ORDER BY {key} LIMIT ?2)"
            );
            let deleted = self.conn.prepare_cached(&sql)?.execute(params![id, limit(*budget)])?;
            *budget = budget.saturating_sub(deleted);
            if *budget == 0 {
                return Ok(false);
            }
        }
        self.conn.prepare_cached("DELETE FROM streams WHERE id = ?1")?.execute([id])?;
        *budget -= 1;
        Ok(true)
    }
}

fn limit(budget: usize) -> i64 {
    i64::try_from(budget).unwrap_or(i64::MAX)
}

/// How much longer than its readings a stream is kept: two days.
const STREAM_MARGIN: i64 = 2 * 86_400 * SECOND;
