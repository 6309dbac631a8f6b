//! The oracle: what was made, what was told to whom, and whether it fits what is on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use senda_session::Instant;
use senda_session::collector::{Collector, Notice};
use senda_store::{InboxState, Landing, Outcome, Verdict, What, Writer};
use senda_wire::SkipCause;

use super::host::Noticed;
use super::program::Told;
use super::readings::Reading;
use super::rows::RowSet;
use super::scenario::CollectorSettings;
use super::violation::{Promise, Violation};
use super::wiretap::Wiretap;

/// A message that was let in when one byte of the budget was left, with what it costs beside its bytes.
const LANDING_SLACK: usize = 65_536 + 1_024;
/// Sessions of one device. Spec §6.5a.
const SESSIONS_OF_A_DEVICE: usize = 8;

/// Watches a world. The first violation stays.
#[derive(Default)]
pub(super) struct Judge {
    pub(super) pages: BTreeMap<Key, Page>,
    pub(super) violation: Option<Violation>,
    pub(super) wiretap: Wiretap,
    /// Devices of which a copy ran: a row number may have been given twice, and a command may be executed by each. Spec §6.7.
    pub(super) copied: BTreeSet<Arc<str>>,
    executed: BTreeMap<u32, u32>,
    /// Readings may be gone for their age.
    pub(super) retains: bool,
    pub(super) restores: u32,
    pub(super) counts: JudgeCounts,
    devices: BTreeSet<Arc<str>>,
}

/// A device's name and a stream.
pub(super) type Key = (Arc<str>, u64);

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct JudgeCounts {
    /// Rows that devices made.
    pub made: u64,
    /// ACKs that left the collector.
    pub acks: u64,
    /// Power cuts that were tried out on a copy of the disk.
    pub power_cuts: u64,
    /// Commands that devices executed.
    pub commands: u64,
}

/// What is known of a stream.
#[derive(Default)]
pub(super) struct Page {
    /// What each row number stands for. More than one: a copied memory gave it twice.
    pub(super) rows: BTreeMap<u32, Row>,
    /// Resolved, as the store has said, in this life of the store.
    pub(super) resolved: RowSet,
    /// The same in any life: what a restore takes back is in here.
    pub(super) ever: RowSet,
    /// Told to devices, in any life.
    pub(super) told: RowSet,
    /// Resolved once, and not any more after a restore.
    pub(super) taken_back: RowSet,
    /// Of commits that failed: the disk may have them all the same, once the store has recovered. Spec §7.1d.
    pub(super) in_doubt: RowSet,
}

/// A row number.
#[derive(Default)]
pub(super) struct Row {
    pub(super) made: Vec<Made>,
    /// Given up by the device, and why.
    pub(super) dropped: BTreeSet<u8>,
    /// The device told nobody, for it crashed or gave it another number.
    pub(super) excused: bool,
}

/// What a device made.
pub(super) enum Made {
    Sample { reading: Reading, device_time: Option<i64> },
    Counts,
}

impl Judge {
    /// Notes a broken promise; the first one counts.
    pub(super) fn fail(&mut self, at: Instant, promise: Promise, place: String, what: String) {
        self.violation.get_or_insert(Violation { promise, place, what, at });
    }

    pub(super) fn add_device(&mut self, name: &Arc<str>) {
        self.devices.insert(Arc::clone(name));
    }

    pub(super) fn page(&mut self, device: &Arc<str>, stream: u64) -> &mut Page {
        self.pages.entry((Arc::clone(device), stream)).or_default()
    }

    /// A device gave a row its number.
    pub(super) fn made(
        &mut self,
        at: Instant,
        device: &Arc<str>,
        stream: u64,
        row: u32,
        made: Made,
    ) {
        self.counts.made += 1;
        let is_copied = self.copied.contains(device);
        let known = self.page(device, stream).rows.entry(row).or_default();
        known.made.push(made);
        if known.made.len() > 1 && !is_copied {
            let place = place(device, stream, row);
            self.fail(at, Promise::StoredOnce, place, "its number was given twice".into());
        }
    }

    /// A device heard something of its rows.
    pub(super) fn told(&mut self, at: Instant, device: &Arc<str>, told: Told) {
        match told {
            Told::Acked { stream, mark } => {
                let page = self.page(device, stream);
                page.told.insert(0, mark);
                if !page.ever.has(0, mark) {
                    let what =
                        format!("told durable below {mark}, durable below {}", page.ever.next());
                    self.fail(at, Promise::AckedIsDurable, place(device, stream, mark), what);
                }
            }
            Told::Dropped { stream, first, count, cause } => {
                self.dropped(device, stream, first, count, cause);
            }
            Told::Refused { stream, first, count, code } => {
                let page = self.page(device, stream);
                let end = first.saturating_add(count);
                if !page.ever.has(first, end) {
                    let what = format!("told refused with {code}, and that is not durable");
                    self.fail(at, Promise::AckedIsDurable, place(device, stream, first), what);
                }
            }
            Told::Moved { old, new, runs } => self.moved(device, old, new, &runs),
        }
    }

    fn dropped(
        &mut self,
        device: &Arc<str>,
        stream: u64,
        first: u32,
        count: u32,
        cause: SkipCause,
    ) {
        let page = self.page(device, stream);
        for row in first..first.saturating_add(count) {
            page.rows.entry(row).or_default().dropped.insert(cause.code());
        }
    }

    /// Spec §6.7a: what was unacknowledged got new numbers.
    fn moved(&mut self, device: &Arc<str>, old: u64, new: u64, runs: &[(u32, u32, u32)]) {
        for &(first, count, to) in runs {
            for offset in 0..count {
                let page = self.page(device, old);
                let Some(row) = page.rows.get_mut(&(first + offset)) else { continue };
                row.excused = true;
                // Which of the copies made it is not known here: each of them may be what moved.
                let made: Vec<Made> = row.made.iter().map(Made::again).collect();
                self.page(device, new).rows.entry(to + offset).or_default().made.extend(made);
            }
        }
    }

    /// A device lost its memory: what it was not told is settled for nobody.
    pub(super) fn crashed(&mut self, device: &Arc<str>) {
        let of_device = self.pages.iter_mut().filter(|((name, _), _)| name == device);
        for (_, page) in of_device {
            for (number, row) in &mut page.rows {
                row.excused |= !page.told.has(*number, number.saturating_add(1));
            }
        }
    }

    /// A device has executed a command.
    pub(super) fn executed(&mut self, at: Instant, device: &Arc<str>, serial: u32) {
        self.counts.commands += 1;
        let times = self.executed.entry(serial).or_default();
        *times += 1;
        // A store that was put back does not know what it sent; a copy does not know what it did.
        if *times > 1 && self.restores == 0 && !self.copied.contains(device) {
            let what = format!("command {serial} was executed {times} times");
            self.fail(at, Promise::CommandOnce, device.to_string(), what);
        }
    }

    /// The store's word on a batch. The marks that it tells are those after all of it.
    pub(super) fn landed(&mut self, at: Instant, landings: &[Landing], verdicts: &[Verdict]) {
        let batch = || landings.iter().zip(verdicts);
        for (landing, verdict) in batch() {
            let Some((start, end)) = rows_of(&landing.what) else { continue };
            if matches!(verdict.outcome, Outcome::Stored | Outcome::PartlyDuplicate) {
                let page = self.page(&landing.device, landing.stream);
                page.resolved.insert(start, end);
                page.ever.insert(start, end);
            } else if matches!(verdict.outcome, Outcome::Failed(_)) {
                self.page(&landing.device, landing.stream).in_doubt.insert(start, end);
            }
        }
        for (landing, verdict) in batch().filter(|(_, verdict)| verdict.outcome.is_durable()) {
            let Some((start, end)) = rows_of(&landing.what) else { continue };
            let page = self.page(&landing.device, landing.stream);
            page.settle_doubts(verdict.next_row, &verdict.ranges);
            let resolved = &page.resolved;
            let next = resolved.next();
            let what = if verdict.next_row > next {
                format!("a mark of {}, and row {next} is not resolved", verdict.next_row)
            } else if !resolved.has(start, end) {
                format!("rows to {end} are called duplicates, and they are not resolved")
            } else {
                continue;
            };
            let place = place(&landing.device, landing.stream, start);
            self.fail(at, Promise::OrderByRow, place, what);
        }
    }

    /// A collector began with this store: all that was durable before is there, unless an old disk was put in.
    pub(super) fn restarted(&mut self, writer: &mut Writer, utc_us: i64) {
        let at = self.wiretap.now;
        for key in self.pages.keys().cloned().collect::<Vec<_>>() {
            let Some(stored) = self.stored(at, writer, &key, utc_us) else { return };
            let is_restored = self.wiretap.is_restored;
            let Some(page) = self.pages.get_mut(&key) else { continue };
            if is_restored {
                page.taken_back = RowSet::default();
                let gone = page.ever.iter().flat_map(|range| range.start..range.end);
                for row in gone.filter(|row| !stored.has(*row, row + 1)) {
                    page.taken_back.insert(row, row + 1);
                }
            } else if let Some(row) = first_missing(&page.resolved, &stored) {
                let what = "it was durable, and is gone after a restart".to_owned();
                self.fail(at, Promise::AckedIsDurable, place(&key.0, key.1, row), what);
                return;
            }
            let Some(page) = self.pages.get_mut(&key) else { continue };
            for range in stored.iter() {
                page.ever.insert(range.start, range.end);
            }
            page.resolved = stored;
        }
        self.wiretap.restarted();
    }

    /// What a power cut at this moment would leave has everything that was called durable.
    pub(super) fn try_power_cut(&mut self, at: Instant, writer: &mut Writer, utc_us: i64) {
        self.counts.power_cuts += 1;
        for key in self.pages.keys().cloned().collect::<Vec<_>>() {
            let Some(stored) = self.stored(at, writer, &key, utc_us) else { return };
            let missing =
                self.pages.get(&key).and_then(|page| first_missing(&page.resolved, &stored));
            if let Some(row) = missing {
                let what = "a power cut now would lose it, and an ACK has left".to_owned();
                self.fail(at, Promise::AckedIsDurable, place(&key.0, key.1, row), what);
                return;
            }
        }
    }

    fn stored(
        &mut self,
        at: Instant,
        writer: &mut Writer,
        (device, stream): &Key,
        utc_us: i64,
    ) -> Option<RowSet> {
        match writer.stream(device, *stream, utc_us) {
            Ok(state) => {
                let mut stored = RowSet::default();
                stored.insert(0, state.next_row);
                state.ranges.iter().for_each(|range| stored.insert(range.start, range.end));
                Some(stored)
            }
            Err(error) => {
                let place = place(device, *stream, 0);
                self.fail(
                    at,
                    Promise::Recovers,
                    place,
                    format!("its marks can't be read: {error}"),
                );
                None
            }
        }
    }

    /// The engine's word about a session.
    pub(super) fn noticed(&mut self, at: Instant, noticed: &Noticed) {
        let Noticed { device, stream, notice } = noticed;
        if let Notice::Welcomed { session, next_row, .. } = *notice {
            let page = self.page(device, *stream);
            if !page.resolved.has(0, next_row) {
                let what =
                    format!("welcomed at row {next_row}, durable below {}", page.resolved.next());
                self.fail(at, Promise::AckedIsDurable, place(device, *stream, next_row), what);
            }
            self.wiretap.welcomed(session, device, *stream, next_row);
        }
    }

    /// Limits of the engine's memory.
    pub(super) fn watch_engine(
        &mut self,
        at: Instant,
        engine: &Collector,
        settings: &CollectorSettings,
    ) {
        let (landing, most) = (engine.landing_bytes(), settings.landing_bytes_max + LANDING_SLACK);
        if landing > most {
            let what = format!("{landing} bytes on their way to the disk, {most} at the most");
            self.fail(at, Promise::Bounded, "collector".into(), what);
        }
        let (sessions, most) = (engine.sessions(), self.devices.len() * SESSIONS_OF_A_DEVICE);
        if sessions > most {
            let what = format!("{sessions} sessions, {most} at the most");
            self.fail(at, Promise::Bounded, "collector".into(), what);
        }
    }

    /// Limits of the store: filing and checkpoints keep the log short.
    pub(super) fn watch_inbox(&mut self, at: Instant, inbox: &InboxState) {
        if inbox.wal_bytes > WAL_BYTES_MAX {
            let what = format!("{} bytes of log", inbox.wal_bytes);
            self.fail(at, Promise::Bounded, "store".into(), what);
        }
    }

    /// Limits of a device's queue: rows, and a few records of its own.
    pub(super) fn watch_queue(
        &mut self,
        at: Instant,
        device: &Arc<str>,
        pending: usize,
        rows: u32,
    ) {
        let most = usize::try_from(rows).unwrap_or(usize::MAX).saturating_add(QUEUE_SLACK);
        if pending > most {
            let what = format!("{pending} rows queued, {most} at the most");
            self.fail(at, Promise::Bounded, device.to_string(), what);
        }
    }
}

impl Page {
    /// The mark covers rows of a commit that failed: they were on the disk after all, and have to stay there.
    fn settle_doubts(&mut self, next_row: u32, ranges: &[senda_wire::Range]) {
        let marked = std::iter::once((0, next_row));
        let marked = marked.chain(ranges.iter().map(|range| (range.start, range.end)));
        for (start, end) in marked {
            for doubt in self.in_doubt.iter() {
                let (first, last) = (doubt.start.max(start), doubt.end.min(end));
                if first < last {
                    self.resolved.insert(first, last);
                    self.ever.insert(first, last);
                }
            }
        }
    }
}

impl Made {
    fn again(&self) -> Self {
        match self {
            Self::Sample { reading, device_time } => {
                Self::Sample { reading: reading.clone(), device_time: *device_time }
            }
            Self::Counts => Self::Counts,
        }
    }
}

/// A row, for people.
pub(super) fn place(device: &str, stream: u64, row: u32) -> String {
    format!("{device} stream {stream:016x} row {row}")
}

fn first_missing(wanted: &RowSet, there: &RowSet) -> Option<u32> {
    let missing = wanted.iter().find(|range| !there.has(range.start, range.end))?;
    (missing.start..missing.end).find(|row| !there.has(*row, row + 1))
}

/// The rows that a landing resolves.
fn rows_of(what: &What) -> Option<(u32, u32)> {
    let (first, count) = match what {
        What::Rows { first, count, .. } => (*first, u32::from(*count)),
        What::RefusedMessage { first, count, .. } | What::Skip { first, count, .. } => {
            (*first, *count)
        }
        What::Counts { row, .. } => (*row, 1),
        _ => return None,
    };
    Some((first, first.saturating_add(count)))
}

/// The log of a store that is filed and checkpointed: far beyond what a world writes between two of them.
const WAL_BYTES_MAX: u64 = 256 << 20;
/// SKIPs that stand in a queue beside its rows.
const QUEUE_SLACK: usize = 16;
