//! What is known of the devices, and what happened to them.

use rusqlite::params;

use crate::{Reader, StoreError};

/// A device and its ledger, as far as it is filed. Times are microseconds since 1970.
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
    /// Its streams, that is boots.
    pub streams: u64,
    /// Row numbers that are resolved, in all streams. Spec §7.9.
    pub resolved: u64,
    /// Of those: rows that are stored.
    pub stored: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// Rows that will never come.
    pub skipped: u64,
    /// Row numbers that COUNTS took.
    pub counts: u64,
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
    /// One device, or all in order of their names, at most `limit`, from the one after `after` on.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn devices(
        &self,
        name: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<DeviceRecord>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare(
                "SELECT d.name, d.first_seen, d.last_seen, d.transport, d.software, count(l.stream),
                     coalesce(sum(l.resolved), 0), coalesce(sum(l.stored), 0), coalesce(sum(l.refused), 0),
                     coalesce(sum(l.skipped), 0), coalesce(sum(l.counts), 0), d.id
                 FROM (SELECT * FROM devices WHERE (?1 IS NULL OR name = ?1) AND (?2 IS NULL OR name > ?2)
                       ORDER BY name LIMIT ?3) d
                 LEFT JOIN ledger l ON l.device = d.name GROUP BY d.id ORDER BY d.name",
            )?;
            let mut clock = conn.prepare(
                "SELECT clock_kind, clock_offset, clock_uncertainty, clock_drift FROM streams
                 WHERE device = ?1 AND clock_offset IS NOT NULL ORDER BY last_seen DESC LIMIT 1",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![name, after, limit])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let mut clocks = clock.query([row.get::<_, i64>(11)?])?;
                let clock = clocks.next()?.map(|row| {
                    Ok::<_, rusqlite::Error>(ClockRecord {
                        kind: row.get(0)?,
                        offset_us: row.get(1)?,
                        uncertainty_us: row
                            .get::<_, Option<u32>>(2)?
                            .filter(|uncertainty| *uncertainty != u32::MAX),
                        drift_ppm: row.get(3)?,
                    })
                });
                found.push(DeviceRecord {
                    name: row.get(0)?,
                    first_seen: row.get(1)?,
                    last_seen: row.get(2)?,
                    transport: row.get(3)?,
                    software: row.get(4)?,
                    streams: count(row, 5)?,
                    resolved: count(row, 6)?,
                    stored: count(row, 7)?,
                    refused: count(row, 8)?,
                    skipped: count(row, 9)?,
                    counts: count(row, 10)?,
                    clock: clock.transpose()?,
                });
            }
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

/// A number that SQLite has as a signed one.
fn count(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0))
}
