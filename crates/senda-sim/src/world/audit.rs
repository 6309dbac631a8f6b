//! The end: every row in the store against every row that was made.

use std::collections::BTreeMap;
use std::sync::Arc;

use senda_session::Instant;
use senda_store::{Cell, Query, Reader, Sample};

use super::judge::{Judge, Key, Made, Row, place};
use super::readings::Reading;
use super::violation::Promise;

/// What became of rows, in all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ledger {
    /// Row numbers that devices gave.
    pub made: u64,
    /// In the tables, as they were made.
    pub stored: u64,
    /// Refused for good.
    pub refused: u64,
    /// Given up by the device, and it said so.
    pub skipped: u64,
    /// The devices' own ledgers.
    pub counts: u64,
    /// Unknown to the store: in the memory of a device that crashed, or under another number.
    pub lost: u64,
    /// Acknowledged, and taken back when an old disk was put in.
    pub taken_back: u64,
    /// Gone for their age.
    pub expired: u64,
}

/// What the store says of a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Stored,
    Refused(u16),
    Skipped(u8),
    Counts,
}

impl Judge {
    /// Looks at everything. The inbox is empty, and nothing is on its way.
    pub(super) fn audit(&mut self, at: Instant, reader: &Reader) -> Ledger {
        let fates = match self.read_fates(at, reader) {
            Ok(fates) => fates,
            Err(error) => {
                self.fail(at, Promise::Recovers, "store".into(), error.to_string());
                return Ledger::default();
            }
        };
        for (key, rows) in &fates {
            self.audit_stored(at, key, rows);
        }
        let mut ledger = Ledger::default();
        for key in self.pages.keys().cloned().collect::<Vec<_>>() {
            self.audit_made(at, &key, fates.get(&key), &mut ledger);
        }
        ledger
    }

    fn read_fates(
        &mut self,
        at: Instant,
        reader: &Reader,
    ) -> Result<BTreeMap<Key, BTreeMap<u32, Fate>>, senda_store::StoreError> {
        let mut fates: BTreeMap<Key, BTreeMap<u32, Fate>> = BTreeMap::new();
        let samples = reader.query(&Query { limit: usize::MAX, ..Query::default() })?;
        for sample in &samples {
            let key = (Arc::clone(&sample.device), sample.stream);
            let Ok(row) = u32::try_from(sample.row) else { continue };
            self.audit_sample(at, &key, row, sample);
            if fates.entry(key.clone()).or_default().insert(row, Fate::Stored).is_some() {
                let what = "stored twice".to_owned();
                self.fail(at, Promise::StoredOnce, place(&key.0, key.1, row), what);
            }
        }
        let sql = "SELECT d.name, s.stream, r.first, r.last, r.kind, r.code FROM (
                SELECT stream, first, last, 0 AS kind, code FROM refused
                UNION ALL SELECT stream, first, last, 1, cause FROM skips
                UNION ALL SELECT stream, row, row + 1, 2, 0 FROM counts) r
            JOIN streams s ON s.id = r.stream JOIN devices d ON d.id = s.device ORDER BY 1, 2, 3";
        for line in reader.sql(sql, usize::MAX)?.rows {
            let [Cell::Text(device), stream, first, last, kind, code] = &line[..] else { continue };
            let key = (Arc::from(device.as_str()), number(stream).cast_unsigned());
            let fate = match (number(kind), number(code)) {
                (0, code) => Fate::Refused(u16::try_from(code).unwrap_or(0)),
                (1, cause) => Fate::Skipped(u8::try_from(cause).unwrap_or(0)),
                _ => Fate::Counts,
            };
            let row = |cell| u32::try_from(number(cell)).unwrap_or(u32::MAX);
            for row in row(first)..row(last) {
                if let Some(other) = fates.entry(key.clone()).or_default().insert(row, fate) {
                    let what = format!("two fates: {other:?} and {fate:?}");
                    self.fail(at, Promise::Ledger, place(&key.0, key.1, row), what);
                }
            }
        }
        Ok(fates)
    }

    /// A sample is one that was made, every bit of it.
    fn audit_sample(&mut self, at: Instant, key: &Key, row: u32, sample: &Sample) {
        let made = self.pages.get(key).and_then(|page| page.rows.get(&row));
        let wrong = match made {
            None => Some("stored, and nobody made it".to_owned()),
            Some(made) => (!made.made.iter().any(|made| made.is_stored_as(sample)))
                .then(|| format!("stored otherwise than made: {:?}", sample.values)),
        };
        if let Some(what) = wrong {
            self.fail(at, Promise::StoredAsMade, place(&key.0, key.1, row), what);
        }
    }

    /// The fates of a stream are those of its mark, and were told by its device.
    fn audit_stored(&mut self, at: Instant, key: &Key, fates: &BTreeMap<u32, Fate>) {
        let Some(page) = self.pages.get(key) else {
            let what = "a stream of no device".to_owned();
            return self.fail(at, Promise::StoredAsMade, place(&key.0, key.1, 0), what);
        };
        let nobody = Row::default();
        let wrong = fates.iter().find_map(|(number, fate)| {
            if !page.resolved.has(*number, number + 1) {
                return Some((
                    *number,
                    format!("{fate:?}, and its stream's mark does not have it"),
                ));
            }
            let row = page.rows.get(number).unwrap_or(&nobody);
            row.contradiction(*fate, page.taken_back.has(*number, number + 1))
                .map(|what| (*number, what))
        });
        let unexplained = || {
            let resolved = page.resolved.iter().flat_map(|range| range.start..range.end);
            let mut gone = resolved.filter(|row| !fates.contains_key(row));
            let what = "resolved, and the store does not know how".to_owned();
            gone.next().filter(|_| !self.retains).map(|row| (row, what))
        };
        if let Some((row, what)) = wrong.or_else(unexplained) {
            self.fail(at, Promise::Ledger, place(&key.0, key.1, row), what);
        }
    }

    /// Every row that was made has a fate, or a reason why it has none.
    fn audit_made(
        &mut self,
        at: Instant,
        key: &Key,
        fates: Option<&BTreeMap<u32, Fate>>,
        ledger: &mut Ledger,
    ) {
        let mut wrong = None;
        let Some(page) = self.pages.get(key) else { return };
        for (number, row) in &page.rows {
            if row.made.is_empty() {
                continue; // A SKIP for what an earlier life of the store had.
            }
            ledger.made += 1;
            let is = |set: &super::rows::RowSet| set.has(*number, number + 1);
            match fates.and_then(|fates| fates.get(number)) {
                Some(Fate::Stored) => ledger.stored += 1,
                Some(Fate::Refused(_)) => ledger.refused += 1,
                Some(Fate::Skipped(_)) => ledger.skipped += 1,
                Some(Fate::Counts) => ledger.counts += 1,
                None if is(&page.resolved) => ledger.expired += 1,
                None if is(&page.taken_back) => ledger.taken_back += 1,
                None if row.excused => ledger.lost += 1,
                None => {
                    let what = "made, and unknown to the store at the end".to_owned();
                    wrong.get_or_insert((*number, what));
                }
            }
            if is(&page.told) && !is(&page.resolved) && !is(&page.taken_back) {
                let what = "acknowledged, and unknown to the store at the end".to_owned();
                wrong = Some((*number, what));
            }
        }
        if let Some((row, what)) = wrong {
            self.fail(at, Promise::Ledger, place(&key.0, key.1, row), what);
        }
    }
}

impl Row {
    /// Why this fate can't be.
    fn contradiction(&self, fate: Fate, was_taken_back: bool) -> Option<String> {
        let sample = |spoilt: bool| {
            self.made.iter().any(
                |made| matches!(made, Made::Sample { reading, .. } if reading.spoilt == spoilt),
            )
        };
        match fate {
            Fate::Stored if !sample(false) => Some("stored, and it is spoilt".into()),
            Fate::Refused(301) if sample(true) => None,
            Fate::Refused(code) => {
                Some(format!("refused with {code}, and nothing is wrong with it"))
            }
            Fate::Skipped(cause) if !self.dropped.contains(&cause) && !was_taken_back => {
                Some(format!("skipped for cause {cause}, and its device did not say so"))
            }
            Fate::Counts if !self.made.iter().any(|made| matches!(made, Made::Counts)) => {
                Some("a ledger that nobody wrote".into())
            }
            _ => None,
        }
    }
}

impl Made {
    fn is_stored_as(&self, sample: &Sample) -> bool {
        match self {
            Self::Sample { reading, device_time } => {
                *device_time == sample.device_time && has_values(reading, sample)
            }
            Self::Counts => false,
        }
    }
}

/// Every value that was made is there, and no other.
fn has_values(reading: &Reading, sample: &Sample) -> bool {
    let mut made: BTreeMap<String, senda_store::Value> = reading.values().into_iter().collect();
    for (channel, value) in sample.table.channels.iter().zip(&sample.values) {
        if made.remove(&channel.name) != *value {
            return false;
        }
    }
    made.is_empty()
}

fn number(cell: &Cell) -> i64 {
    match cell {
        Cell::Integer(number) => *number,
        _ => -1,
    }
}
