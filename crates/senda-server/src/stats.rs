//! Figures for people and programs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use senda_session::collector::Counters;

/// What a server has done since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    /// The engine's counters.
    pub engine: Counters,
    /// Sessions at the moment.
    pub sessions: u64,
    /// Bytes of messages on their way to the disk at the moment.
    pub landing_bytes: u64,
    /// Rows that are on disk, refused and skipped ones not counted, duplicates not counted.
    pub rows_stored: u64,
    /// Commits, and so syncs.
    pub commits: u64,
    /// Commits that failed.
    pub commits_failed: u64,
    /// Rows that were filed into their tables.
    pub rows_filed: u64,
    /// Bytes that landed and wait for filing.
    pub inbox_bytes: u64,
    /// Datagrams that the system could not send.
    pub sends_failed: u64,
    /// Datagrams that the system received for the collector and threw away, modulo 2^32; `None`: it does not say.
    pub kernel_drops: Option<u32>,
}

/// The figures as the threads write them.
#[derive(Default)]
pub(crate) struct Stats {
    engine: Mutex<(Counters, u64, u64)>,
    /// The store takes rows.
    pub(crate) accepting: AtomicBool,
    pub(crate) rows_stored: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) commits_failed: AtomicU64,
    pub(crate) rows_filed: AtomicU64,
    pub(crate) inbox_bytes: AtomicU64,
    pub(crate) sends_failed: AtomicU64,
    /// One more than the drops, or 0 where nobody says.
    kernel_drops: AtomicU64,
    /// The engine thread has begun and has not ended.
    pub(crate) running: AtomicBool,
}

impl Stats {
    pub(crate) fn set_engine(&self, counters: Counters, sessions: usize, landing_bytes: usize) {
        let mut engine = self.engine.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *engine = (counters, sessions as u64, landing_bytes as u64);
    }

    /// As of the engine's last reading; what is thrown away after that leaves the socket readable, so that another one comes.
    pub(crate) fn set_kernel_drops(&self, drops: Option<u32>) {
        let drops = drops.map_or(0, |drops| u64::from(drops) + 1);
        self.kernel_drops.store(drops, Ordering::Relaxed);
    }

    /// Bytes of messages on their way to the disk, as of the engine's last turn.
    pub(crate) fn landing_bytes(&self) -> u64 {
        self.engine.lock().unwrap_or_else(std::sync::PoisonError::into_inner).2
    }

    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let (engine, sessions, landing_bytes) =
            *self.engine.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            engine,
            sessions,
            landing_bytes,
            rows_stored: read(&self.rows_stored),
            commits: read(&self.commits),
            commits_failed: read(&self.commits_failed),
            rows_filed: read(&self.rows_filed),
            inbox_bytes: read(&self.inbox_bytes),
            sends_failed: read(&self.sends_failed),
            kernel_drops: read(&self.kernel_drops)
                .checked_sub(1)
                .and_then(|drops| u32::try_from(drops).ok()),
        }
    }
}
