//! Every row of some devices, filed and landed, with what was refused and skipped: for `senda audit`.
//!
//! All of it in one read transaction, so that no row moves from the inbox to its table meanwhile; what it needs of memory is
//! one inbox entry and the schemas.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use senda_wire::{Clock, Range};

use crate::catalog::{Table, load_tables};
use crate::inbox::{BlobReader, Item, Said};
use crate::query::{Filed, Found, Landed};
use crate::{Query, Reader, Sample, StoreError, TableInfo, Value};

/// Something that the store has under a row number, or several.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// The device.
    pub device: &'a str,
    /// Its stream.
    pub stream: u64,
    /// Where it was found.
    pub place: Place,
    /// What it is.
    pub what: KeptWhat<'a>,
}

/// What a store has under row numbers.
#[derive(Clone, Copy, Debug)]
pub enum KeptWhat<'a> {
    /// A row.
    Row(KeptRow<'a>),
    /// Rows that will never come, and the cause (spec 5.12).
    Skipped(Range, u8),
    /// Rows that were refused, and the code.
    Refused(Range, u16),
    /// A row number that COUNTS took.
    Counts(u32),
}

/// A row as it is kept.
#[derive(Clone, Copy, Debug)]
pub struct KeptRow<'a> {
    /// Its number.
    pub row: u32,
    /// Name of its schema.
    pub schema: &'a str,
    /// Kind of the device's clock.
    pub clock: Clock,
    /// What that clock said; `None` where there is none.
    pub device_time: Option<i64>,
    /// What its table has in common; its name may be another one than the schema's.
    pub table: &'a Arc<TableInfo>,
    /// A value for each channel of `table`; `None` where there is none.
    pub values: &'a [Option<Value>],
}

/// Where something was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// In its table.
    Filed,
    /// In the inbox.
    Landed,
    /// In the inbox, in the run of filing that is under way: it may be in its table as well.
    Filing,
}

type Visit<'v> = &'v mut dyn FnMut(&Kept<'_>);

impl Reader {
    /// Shows everything that is kept under the row numbers of some devices, as of one moment and in no particular order; rows
    /// without a number (ROWS_U) are left out. It may take minutes: see [`Reader::stop_when`]. `devices` names them; it is
    /// asked once the moment is fixed, so that whatever it looks at is no older than what is shown.
    ///
    /// # Errors
    /// [`StoreError`]; what `devices` says.
    pub fn walk<E: From<StoreError>>(
        &self,
        devices: impl FnOnce() -> Result<Vec<String>, E>,
        visit: &mut dyn FnMut(&Kept<'_>),
    ) -> Result<(), E> {
        let mut failed = None;
        let walked = self.read(|conn| {
            // The first read of a transaction fixes what it sees.
            conn.query_row("SELECT last FROM filing", [], |_| Ok(()))?;
            match devices() {
                Ok(mut names) => {
                    names.sort_unstable();
                    self.walk_all(conn, &names, visit)?;
                }
                Err(error) => failed = Some(error),
            }
            Ok(())
        });
        failed.map_or(walked.map_err(E::from), Err)
    }

    fn walk_all(
        &self,
        conn: &Connection,
        names: &[String],
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut ids: Vec<i64> = Vec::new();
        let mut select = conn.prepare("SELECT id FROM devices WHERE name = ?1")?;
        for name in names {
            ids.extend(select.query_row([name], |row| row.get::<_, i64>(0)).optional()?);
        }
        for table in load_tables(conn)? {
            walk_table(conn, &table, &ids, visit)?;
        }
        for id in ids {
            walk_records(conn, id, visit)?;
        }
        self.walk_inbox(conn, names, visit)
    }

    fn walk_inbox(
        &self,
        conn: &Connection,
        names: &[String],
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let run: Option<i64> = conn
            .query_row("SELECT last FROM filing WHERE done > 0", [], |row| row.get(0))
            .optional()?;
        let query = Query { limit: usize::MAX / 4, ..Query::default() };
        let mut landed = Landed::new(conn, &self.stop)?;
        let mut entries = conn.prepare("SELECT id, bytes FROM inbox ORDER BY id")?;
        let mut rows = entries.query([])?;
        while let Some(row) = rows.next()? {
            let place = if Some(row.get(0)?) <= run { Place::Filing } else { Place::Landed };
            let bytes = row.get_ref(1)?.as_blob().unwrap_or_default();
            let mut found = Found { query: &query, limit: query.limit, samples: Vec::new() };
            landed.read_blob(bytes, &mut found, &mut |_| {})?;
            for sample in &found.samples {
                if takes(names, &sample.device) {
                    show(sample, &sample.table.name, place, visit);
                }
            }
            walk_blob(bytes, names, place, visit)?;
        }
        Ok(())
    }
}

fn takes(names: &[String], device: &str) -> bool {
    names.binary_search_by(|name| (**name).cmp(device)).is_ok()
}

fn walk_table(
    conn: &Connection,
    table: &Table,
    devices: &[i64],
    visit: Visit<'_>,
) -> Result<(), StoreError> {
    let mut filed = Filed::new(conn);
    let (info, mut statement) = filed.prepare(table)?;
    for device in devices {
        let mut rows = statement.query([device])?;
        while let Some(row) = rows.next()? {
            let sample = filed.sample(row, &info)?;
            show(&sample, &table.schema, Place::Filed, visit);
        }
    }
    Ok(())
}

fn show(sample: &Sample, schema: &str, place: Place, visit: Visit<'_>) {
    let Ok(row) = u32::try_from(sample.row) else { return };
    let row = KeptRow {
        row,
        schema,
        clock: sample.clock,
        device_time: sample.device_time,
        table: &sample.table,
        values: &sample.values,
    };
    let what = KeptWhat::Row(row);
    visit(&Kept { device: &sample.device, stream: sample.stream, place, what });
}

/// What the tables have of a device beside its rows.
fn walk_records(conn: &Connection, device: i64, visit: Visit<'_>) -> Result<(), StoreError> {
    type Make = fn(Range, u16) -> KeptWhat<'static>;
    let skipped: Make = |rows, cause| KeptWhat::Skipped(rows, u8::try_from(cause).unwrap_or(0));
    let kinds: [(&str, Make); 3] = [
        ("k.first, k.last, k.cause FROM skips", skipped),
        ("k.first, k.last, k.code FROM refused", KeptWhat::Refused),
        ("k.row, k.row + 1, 0 FROM counts", |rows, _| KeptWhat::Counts(rows.start)),
    ];
    let name: String = conn
        .prepare_cached("SELECT name FROM devices WHERE id = ?1")?
        .query_row([device], |row| row.get(0))?;
    for (columns, make) in kinds {
        let mut statement = conn.prepare_cached(&format!(
            "SELECT s.stream, {columns} k JOIN streams s ON s.id = k.stream WHERE s.device = ?1"
        ))?;
        let mut rows = statement.query([device])?;
        while let Some(row) = rows.next()? {
            let range = Range { start: row.get(1)?, end: row.get(2)? };
            let what = make(range, row.get(3)?);
            let stream = row.get::<_, i64>(0)?.cast_unsigned();
            visit(&Kept { device: &name, stream, place: Place::Filed, what });
        }
    }
    Ok(())
}

/// What an inbox entry has beside rows.
fn walk_blob(
    bytes: &[u8],
    names: &[String],
    place: Place,
    visit: Visit<'_>,
) -> Result<(), StoreError> {
    let mut streams: Vec<Option<(&str, u64)>> = Vec::new();
    let mut reader = BlobReader::new(bytes)?;
    while let Some(item) = reader.next()? {
        let (index, said) = match item {
            Item::Stream(device, stream) => {
                streams.push(takes(names, device).then_some((device, stream)));
                continue;
            }
            Item::Entry(index, entry) => (index, entry.said),
        };
        let Some(Some((device, stream))) = streams.get(index).copied() else { continue };
        let mut give = |what| visit(&Kept { device, stream, place, what });
        match said {
            Said::Rows { first, pieces, refused, .. } => {
                for (index, code) in refused {
                    let start = first.saturating_add(index.into());
                    if pieces.iter().any(|piece| (piece.start..piece.end).contains(&start)) {
                        let range = Range { start, end: start.saturating_add(1) };
                        give(KeptWhat::Refused(range, code));
                    }
                }
            }
            Said::Refused { pieces, code, .. } => {
                pieces.into_iter().for_each(|rows| give(KeptWhat::Refused(rows, code)));
            }
            Said::Skip { pieces, cause } => {
                pieces.into_iter().for_each(|rows| give(KeptWhat::Skipped(rows, cause)));
            }
            Said::Counts { row, .. } => give(KeptWhat::Counts(row)),
            _ => {}
        }
    }
    Ok(())
}
