//! What is known of the devices, and what happened to them.

use rusqlite::{Connection, params};

use crate::ledger::Books;
use crate::{Ledger, Reader, StoreError};

/// A device and its ledger. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceRecord {
    /// Its name.
    pub name: String,
    /// When it was first heard.
    pub first_seen: i64,
    /// When it was last heard.
    pub last_seen: i64,
    /// `udp` or `tcp`, of its latest session.
    pub transport: Option<String>,
    /// What its latest HELLO said.
    pub software: Option<String>,
    /// What became of its row numbers.
    pub ledger: Ledger,
    /// Its clock, as its latest stream said.
    pub clock: Option<ClockRecord>,
}

/// What a stream said of its device's clock. Spec §5.21.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockRecord {
    /// Kind of clock, code of spec §5.7.
    pub kind: u8,
    /// UTC minus the device's clock, µs.
    pub offset_us: i64,
    /// How far the offset may be off, µs; `None`: unknown.
    pub uncertainty_us: Option<u32>,
    /// Parts per million by which the clock is faster than UTC; `None`: not known yet.
    pub drift_ppm: Option<f64>,
}

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventRecord {
    /// When, µs since 1970.
    pub time: i64,
    /// To which device.
    pub device: Option<String>,
    /// To which of its streams; 0: to none.
    pub stream: u64,
    /// One word, such as `displaced`.
    pub kind: String,
    /// For people.
    pub text: String,
}

impl Reader {
    /// One device, or all in order of their names, at most `limit`, from the one after `after` on. Those of which nothing is
    /// filed yet are among them.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn devices(
        &self,
        name: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<DeviceRecord>, StoreError> {
        let takes = |device: &str| {
            name.is_none_or(|name| device == name) && after.is_none_or(|after| device > after)
        };
        self.read(|conn| {
            let mut books = Books::open(conn, takes)?;
            let mut found = filed_devices(conn, &mut books, (name, after, limit))?;
            let unfiled = books.unfiled().into_iter().map(|(name, unfiled)| {
                let (transport, software) =
                    unfiled.seen.map(|(_, transport, software)| (transport, software)).unzip();
                DeviceRecord {
                    name,
                    first_seen: unfiled.first_seen,
                    last_seen: unfiled.last_seen,
                    transport,
                    software: software.filter(|software| !software.is_empty()),
                    ledger: unfiled.ledger,
                    clock: None,
                }
            });
            // Beyond a full page a name may be in the tables.
            let bound = (found.len() == limit).then(|| found.last().map(|last| last.name.clone()));
            let bound = bound.flatten();
            let fits =
                |device: &DeviceRecord| bound.as_ref().is_none_or(|bound| device.name < *bound);
            found.extend(unfiled.filter(fits));
            found.sort_by(|a, b| a.name.cmp(&b.name));
            found.truncate(limit);
            Ok(found)
        })
    }

    /// Events that are filed, the newest last, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn events(
        &self,
        device: Option<&str>,
        since: Option<i64>,
        limit: usize,
    ) -> Result<Vec<EventRecord>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare(
                "SELECT e.time, d.name, coalesce(s.stream, 0), e.kind, e.text FROM events e
                 LEFT JOIN devices d ON d.id = e.device LEFT JOIN streams s ON s.id = e.stream
                 WHERE (?1 IS NULL OR d.name = ?1) AND (?2 IS NULL OR e.time >= ?2)
                 ORDER BY e.time DESC, e.id DESC LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found = statement.query_map(params![device, since, limit], |row| {
                Ok(EventRecord {
                    time: row.get(0)?,
                    device: row.get(1)?,
                    stream: row.get::<_, i64>(2)?.cast_unsigned(),
                    kind: row.get(3)?,
                    text: row.get(4)?,
                })
            })?;
            let mut found: Vec<EventRecord> = found.collect::<Result<_, _>>()?;
            found.reverse();
            Ok(found)
        })
    }
}

/// A page of devices that are in the tables: of this name, after that one, at most so many.
fn filed_devices(
    conn: &Connection,
    books: &mut Books<'_>,
    (name, after, limit): (Option<&str>, Option<&str>, usize),
) -> Result<Vec<DeviceRecord>, StoreError> {
    let mut statement = conn.prepare(
        "SELECT id, name, first_seen, last_seen, transport, software FROM devices
         WHERE (?1 IS NULL OR name = ?1) AND (?2 IS NULL OR name > ?2) ORDER BY name LIMIT ?3",
    )?;
    let mut clock = conn.prepare(
        "SELECT clock_kind, clock_offset, clock_uncertainty, clock_drift FROM streams
         WHERE device = ?1 AND clock_offset IS NOT NULL ORDER BY last_seen DESC LIMIT 1",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![name, after, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let mut clocks = clock.query([id])?;
        let clock = clocks.next()?.map(clock_of);
        let name: String = row.get(1)?;
        found.push(DeviceRecord {
            ledger: books.device(id, &name)?,
            name,
            first_seen: row.get(2)?,
            last_seen: row.get(3)?,
            transport: row.get(4)?,
            software: row.get(5)?,
            clock: clock.transpose()?,
        });
    }
    Ok(found)
}

fn clock_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<ClockRecord> {
    let uncertainty_us = row.get::<_, Option<u32>>(2)?;
    Ok(ClockRecord {
        kind: row.get(0)?,
        offset_us: row.get(1)?,
        uncertainty_us: uncertainty_us.filter(|uncertainty| *uncertainty != u32::MAX),
        drift_ppm: row.get(3)?,
    })
}
