//! The write-ahead log goes into the database: between two landings, or beside them on a thread of the caller's.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rusqlite::Connection;

use crate::database::{self, database_path};
use crate::{OpenError, Options, StoreError};

/// Copies the log into the database while the writer goes on. A checkpoint takes some milliseconds; a caller that has a
/// thread for it spares landing those. It is optional: without one, filing checkpoints by itself.
///
/// Call [`Checkpointer::run`] whenever [`Filing::checkpoint_due`](crate::Filing::checkpoint_due) says so. The last few
/// pages are still copied by filing, for the log can begin anew only when nothing is missing at all.
#[derive(Debug)]
pub struct Checkpointer {
    conn: Connection,
    shared: Arc<Shared>,
}

impl Checkpointer {
    pub(crate) fn open(
        dir: &Path,
        vfs: Option<&str>,
        shared: Arc<Shared>,
    ) -> Result<Self, OpenError> {
        let conn = database::open_to_checkpoint(&database_path(dir), vfs)?;
        shared.attached.store(true, Ordering::Relaxed);
        Ok(Self { conn, shared })
    }

    /// Copies what is in the log now, as far as readers allow. Nothing while the writer is recovering.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]: a sync may have failed, and with it frames that the writer has left to the next one. So the
    /// writer recovers before it lands anything more.
    pub fn run(&mut self) -> Result<(), StoreError> {
        if self.shared.is_in_doubt() {
            return Ok(());
        }
        let done =
            database::checkpoint(&self.conn, "PASSIVE").inspect_err(|_| self.shared.doubt())?;
        self.shared.note(done.copied());
        Ok(())
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.shared.attached.store(false, Ordering::Relaxed);
    }
}

/// What writer and checkpointer know of the log, in pages.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// In the log after the last commit.
    pages: AtomicI32,
    /// Of those, in the database.
    copied: AtomicI32,
    /// True while there is a [`Checkpointer`].
    attached: AtomicBool,
    /// True from a failure of either until the writer has recovered: the log may be in the page cache alone.
    in_doubt: AtomicBool,
}

impl Shared {
    /// After a commit. A log that is shorter than before has begun anew.
    pub(crate) fn committed(&self, pages: i32) {
        if pages < self.pages.swap(pages, Ordering::Relaxed) {
            self.copied.store(0, Ordering::Relaxed);
        }
    }

    /// After a failure.
    pub(crate) fn doubt(&self) {
        self.in_doubt.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::SeqCst)
    }

    /// After the log was emptied.
    pub(crate) fn emptied(&self) {
        self.in_doubt.store(false, Ordering::SeqCst);
        self.pages.store(0, Ordering::Relaxed);
        self.copied.store(0, Ordering::Relaxed);
    }

    fn note(&self, copied: Option<i32>) {
        if let Some(copied) = copied {
            self.copied.store(copied, Ordering::Relaxed);
        }
    }
}

/// The writer's side of it.
#[derive(Debug)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    /// Pages that were in the log when filing last tried. It may have been in vain, for a reader.
    tried: i32,
}

impl Log {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.emptied();
        Self { shared, tried: 0 }
    }

    pub(crate) fn pages(&self) -> i32 {
        self.shared.pages.load(Ordering::Relaxed)
    }

    fn missing(&self) -> i32 {
        self.pages() - self.shared.copied.load(Ordering::Relaxed)
    }

    /// True when a [`Checkpointer`] should run.
    pub(crate) fn is_due(&self, options: &Options) -> bool {
        self.missing() >= options.checkpoint_pages
    }

    /// Checkpoints here and now, if it is filing's turn; true when it did.
    pub(crate) fn checkpoint(
        &mut self,
        conn: &Connection,
        options: &Options,
    ) -> Result<bool, StoreError> {
        let pages = self.pages();
        let since = if pages < self.tried { pages } else { pages - self.tried };
        let is_ours = if self.shared.attached.load(Ordering::Relaxed) {
            let is_nearly_done =
                pages >= options.checkpoint_pages && self.missing() <= LAST_PAGES && since > 0;
            is_nearly_done || since >= options.checkpoint_pages.saturating_mul(PATIENCE)
        } else {
            since >= options.checkpoint_pages
        };
        if is_ours {
            let done = database::checkpoint(conn, "PASSIVE")?;
            self.shared.note(done.copied());
            self.tried = pages;
        }
        Ok(is_ours)
    }
}

/// Pages that filing copies itself, so that the log can begin anew.
const LAST_PAGES: i32 = 100;
/// How many times more than is due filing leaves to a checkpointer that does not come.
const PATIENCE: i32 = 16;
