//! What became of the records of a listener.

use std::sync::atomic::{AtomicU64, Ordering};

use super::misfit::{KINDS, Misfit};

/// What a raw listener has done since it began.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RawCounts {
    /// Records that came, of whatever kind.
    pub records: u64,
    /// Rows that are on disk.
    pub stored: u64,
    /// Records that were on disk before.
    pub repeated: u64,
    /// Records that were not stored for now: devices with a reply were told so.
    pub busy: u64,
    /// Bytes that did not fit, by why.
    pub misfits: Vec<(&'static str, u64)>,
    /// Of those, kept with their bytes.
    pub misfits_kept: u64,
    /// Replies that were given to the system to send.
    pub replies: u64,
    /// Replies that had no form, or that the system did not send.
    pub replies_failed: u64,
    /// Devices that it knows.
    pub devices: u64,
}

/// The same, as it is counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) records: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) busy: AtomicU64,
    misfits: [AtomicU64; KINDS.len()],
    pub(super) misfits_kept: AtomicU64,
    pub(super) replies: AtomicU64,
    pub(super) replies_failed: AtomicU64,
}

pub(super) fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn add_misfit(&self, misfit: &Misfit) {
        let kind = KINDS.iter().position(|kind| *kind == misfit.kind());
        if let Some(counter) = kind.and_then(|index| self.misfits.get(index)) {
            add_one(counter);
        }
    }

    pub(super) fn read(&self, devices: usize) -> RawCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let misfits = KINDS.iter().zip(&self.misfits).map(|(kind, count)| (*kind, read(count)));
        RawCounts {
            records: read(&self.records),
            stored: read(&self.stored),
            repeated: read(&self.repeated),
            busy: read(&self.busy),
            misfits: misfits.filter(|(_, count)| *count > 0).collect(),
            misfits_kept: read(&self.misfits_kept),
            replies: read(&self.replies),
            replies_failed: read(&self.replies_failed),
            devices: devices as u64,
        }
    }
}
