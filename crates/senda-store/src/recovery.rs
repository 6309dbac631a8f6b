//! What the writer does when the disk fails: it closes the store, and opens it again when the disk lets it.
//!
//! A sync that failed tells nothing of what it should have written, and neither does a sync after it. So nothing counts
//! as durable until the log was written again, brought into the database and emptied; marks are rebuilt from what is there then.

use std::sync::Arc;

use crate::options::{Fault, SECOND};
use crate::writer::Store;
use crate::{Options, StoreError, Writer};

/// Why the store is closed, and when it may be opened again.
#[derive(Debug)]
pub(crate) struct Failure {
    cause: Arc<str>,
    next_try: i64,
    wait: i64,
}

impl Writer {
    /// The failure that the store is recovering from.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| &*failure.cause)
    }

    /// Tries to reopen the store after a failure, at once. Every other call does so too, with a back-off.
    ///
    /// The log's frames may be in the page cache alone. So the whole log has to go into the database and be emptied,
    /// synced, before anything counts as durable again; and marks are rebuilt from what is there then.
    ///
    /// # Errors
    /// [`StoreError::Recovering`]: it failed again.
    pub fn recover(&mut self, now: i64) -> Result<(), StoreError> {
        if self.store.is_some() {
            return Ok(());
        }
        let reopened = match self.options.fault.check(Fault::Recover) {
            Ok(()) => {
                Store::open(&self.dir, &self.options, &self.log).map_err(|error| describe(&error))
            }
            Err(error) => Err(describe(&error)),
        };
        match reopened {
            Ok(store) => {
                tracing::info!(dir = %self.dir.display(), "store recovered");
                self.store = Some(store);
                // The back-off goes on from here until a commit succeeds: see `with`.
                Ok(())
            }
            Err(cause) => {
                self.failed(cause, now);
                Err(self.recovering())
            }
        }
    }

    /// Runs `action` on the store. Its failure closes the store; the next call may reopen it.
    pub(crate) fn with<T>(
        &mut self,
        now: i64,
        action: impl FnOnce(&mut Store, &Options) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.log.is_in_doubt() && self.store.is_some() {
            self.close(CHECKPOINT_FAILED.to_owned(), now);
        }
        if self.store.is_none() {
            if self.failure.as_ref().is_some_and(|failure| failure.is_early(now)) {
                return Err(self.recovering());
            }
            self.recover(now)?;
        }
        let Some(store) = &mut self.store else { return Err(self.recovering()) };
        match action(store, &self.options) {
            // A sync that failed beside this one may have taken from it what it should have written.
            Ok(_) if self.log.is_in_doubt() => {
                self.close(CHECKPOINT_FAILED.to_owned(), now);
                Err(self.recovering())
            }
            Ok(value) => {
                if store.has_committed {
                    self.failure = None;
                }
                Ok(value)
            }
            Err(error) => {
                self.close(describe(&error), now);
                Err(error)
            }
        }
    }

    /// Nothing counts any more until the store is open again.
    fn close(&mut self, cause: String, now: i64) {
        self.log.doubt();
        if let Some(store) = self.store.take() {
            store.abandon();
        }
        self.failed(cause, now);
    }

    fn failed(&mut self, cause: String, now: i64) {
        let wait =
            self.failure.as_ref().map_or(RETRY_FIRST, |failure| (failure.wait * 2).min(RETRY_LAST));
        tracing::warn!(%cause, wait_us = wait, "store failed; it will be reopened");
        self.failure =
            Some(Failure { cause: cause.into(), next_try: now.saturating_add(wait), wait });
    }

    fn recovering(&self) -> StoreError {
        StoreError::Recovering { cause: self.failure().unwrap_or("unknown").to_owned() }
    }
}

impl Failure {
    /// True before the next try. A clock that was set back makes no wait longer.
    const fn is_early(&self, now: i64) -> bool {
        now < self.next_try && now >= self.next_try.saturating_sub(self.wait)
    }
}

/// An error and its sources, on one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Why the store is opened again when the writer itself did not fail.
const CHECKPOINT_FAILED: &str = "a checkpoint beside the writer failed";
/// Back-off of recovery.
const RETRY_FIRST: i64 = SECOND / 20;
const RETRY_LAST: i64 = 2 * SECOND;
