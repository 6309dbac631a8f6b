//! Limits of a store, and their defaults.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;

/// Limits of a store. Durability is none of them: a commit is always synced (`synchronous=FULL`).
#[derive(Clone, Debug)]
pub struct Options {
    /// Landed bytes that may wait for filing. Beyond it the writer is not [accepting](crate::Writer::pressure).
    pub inbox_bytes_max: u64,
    /// How long the oldest landed message may wait for filing, in microseconds. Beyond it: as above.
    pub inbox_age_max: i64,
    /// Bytes of the write-ahead log that a reader which does not end may hold back. Beyond it: as above.
    pub wal_bytes_max: u64,
    /// Filing waits until the oldest message is this old, in microseconds, or [`Options::filing_bytes`] have landed:
    /// the more rows of one device are filed together, the fewer pages are rewritten.
    pub filing_delay: i64,
    /// Landed bytes that are filed without waiting any longer.
    pub filing_bytes: u64,
    /// Pages of the write-ahead log (4 KiB each) after which filing copies it into the database.
    pub checkpoint_pages: i32,
    /// Streams whose marks are kept in memory. Those with rows in the inbox are kept beyond it.
    pub streams_cached_max: usize,
    /// Different schema descriptions that the store takes; each makes one table at most.
    pub schemas_max: usize,
    /// What goes, and when.
    pub retention: Retention,
    /// Name of the SQLite VFS that has the database, such as a virtual disk; `None`: the system's files. With it there
    /// is no directory to make and no lock to take: nobody else may write.
    #[doc(hidden)]
    pub vfs: Option<String>,
    /// Makes the writer's I/O fail, in tests.
    #[doc(hidden)]
    pub fault: FaultHook,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            inbox_bytes_max: 256 << 20,
            inbox_age_max: 600 * SECOND,
            wal_bytes_max: 1 << 30,
            filing_delay: 2 * SECOND,
            filing_bytes: 1 << 20,
            checkpoint_pages: 1_000,
            streams_cached_max: 65_536,
            schemas_max: 1_000,
            retention: Retention::default(),
            vfs: None,
            fault: FaultHook::default(),
        }
    }
}

/// What [`Writer::retain`](crate::Writer::retain) deletes. By default nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Retention {
    /// Readings whose time is longer ago, in microseconds; and streams, refusals, skips and events likewise.
    pub age: Option<i64>,
    /// Bytes in use that the database may have: above it the oldest readings go. Freed pages are reused; the file
    /// does not shrink.
    pub bytes: Option<u64>,
}

/// Places where a test may make the writer's I/O fail.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The insert of a batch: as when the disk is full.
    Land,
    /// The batch's COMMIT, after its frames were written: as when the sync fails.
    LandSync,
    /// A slice of filing, before its COMMIT.
    File,
    /// The checkpoint that recovery needs.
    Recover,
}

type Hook = Arc<dyn Fn(Fault) -> bool + Send + Sync>;

/// Asked at each [`Fault`] whether it happens now.
#[doc(hidden)]
#[derive(Clone, Default)]
pub struct FaultHook {
    hook: Option<Hook>,
    pages_max: Option<Arc<AtomicU32>>,
    weakness: Option<Weakness>,
}

/// A promise that the store is made to break, so that a test can show that breaking it is found.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Weakness {
    /// `synchronous=OFF`: nothing is synced.
    NoSync,
    /// After a failure the store is opened again, and no more is done.
    NoRecovery,
    /// After a failure the log is brought into the database as it reads, and is not written again before.
    NoRewrite,
}

impl FaultHook {
    /// Takes the hook.
    pub fn new(hook: impl Fn(Fault) -> bool + Send + Sync + 'static) -> Self {
        Self { hook: Some(Arc::new(hook)), ..Self::default() }
    }

    /// Makes the disk full: SQLite itself takes no more pages than this, from the next opening on.
    pub fn with_pages_max(pages_max: Arc<AtomicU32>) -> Self {
        Self { pages_max: Some(pages_max), ..Self::default() }
    }

    /// Makes the store break a promise.
    pub fn with_weakness(weakness: Weakness) -> Self {
        Self { weakness: Some(weakness), ..Self::default() }
    }

    pub(crate) fn has(&self, weakness: Weakness) -> bool {
        self.weakness == Some(weakness)
    }

    /// How a commit that counts is synced.
    pub(crate) fn synchronous(&self) -> &'static str {
        if self.has(Weakness::NoSync) { "OFF" } else { "FULL" }
    }

    pub(crate) fn prepare(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.pragma_update(None, "synchronous", self.synchronous())?;
        match &self.pages_max {
            None => Ok(()),
            Some(pages) => conn.execute_batch(&format!(
                "PRAGMA max_page_count = {}",
                pages.load(Ordering::Relaxed)
            )),
        }
    }

    pub(crate) fn check(&self, fault: Fault) -> rusqlite::Result<()> {
        match &self.hook {
            Some(hook) if hook(fault) => Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC),
                Some(format!("injected: {fault:?}")),
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for FaultHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.hook.is_some() { "FaultHook(..)" } else { "FaultHook(none)" })
    }
}

/// Microseconds.
pub(crate) const SECOND: i64 = 1_000_000;
