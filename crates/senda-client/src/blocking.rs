//! The client without async: the session lives on a thread of its own.
//!
//! ```no_run
//! # fn sensor() -> Result<(), senda_client::Error> {
//! use std::time::Duration;
//! use senda_client::{Channel, Sample, Schema, ValueType, blocking::Client};
//!
//! let client = Client::connect(senda_client::Client::builder("gh-7", "tcp://127.0.0.1:7363")?)?;
//! let weather = client.declare(&Schema::new("weather").with(Channel::new("wind", ValueType::F32)).build()?)?;
//! client.send(&weather, &Sample::new().set("wind", 3.5))?;
//! client.close(Duration::from_secs(10))?; // Everything is on the collector's disk, or this is an error.
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use senda_session::device::{Argument, DoneError, DropPolicy, Event, PushError, Stats, Ticket};
use senda_wire::DoneStatus;

use crate::shared::{Shared, encode};
use crate::uplink::Uplink;
use crate::{Builder, Declared, Error, RowLost, Sample, Schema, SendError};

/// A device that sends from threads. When it is dropped the session is closed at once, and what is not acknowledged is lost:
/// [`Client::flush`] or [`Client::close`] first.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    waits: bool,
    thread: Option<JoinHandle<()>>,
}

/// A row on its way, for [`Receipt::wait`].
#[derive(Debug)]
pub struct Receipt {
    receipt: crate::Receipt,
    shared: Arc<Shared>,
}

impl Client {
    /// Begins to connect, on a thread of its own. Samples may be sent at once: they wait.
    ///
    /// # Errors
    /// [`Error::Config`]; [`Error::Runtime`] when the system has no thread or no poll to give.
    pub fn connect(builder: Builder) -> Result<Self, Error> {
        let waits = builder.policy() == DropPolicy::RefuseNew;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let (shared, port) = {
            let _context = runtime.enter();
            builder.build()?
        };
        let driven = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("senda-client".into())
            .spawn(move || {
                // Also when the task panics: nobody may wait for ever.
                let _end = EndGuard(Arc::clone(&driven));
                runtime.block_on(driven.drive(port));
            })
            .map_err(Error::Runtime)?;
        Ok(Self { shared, waits, thread: Some(thread) })
    }

    /// Makes a schema known. The same schema again gives the same handle.
    ///
    /// # Errors
    /// [`Error::Declare`]: there are 64 already.
    pub fn declare(&self, schema: &Schema) -> Result<Declared, Error> {
        let id = self.shared.change(|uplink| uplink.declare(schema.description()))?;
        Ok(Declared { id, schema: Arc::new(schema.clone()) })
    }

    /// Queues a sample. With [`DropPolicy::DropOldest`] that is at once; with [`DropPolicy::RefuseNew`] it waits for room.
    ///
    /// # Errors
    /// [`SendError`]
    pub fn send(&self, schema: &Declared, sample: &Sample) -> Result<Receipt, SendError> {
        loop {
            match self.shared.try_send(schema, sample) {
                Err(SendError::Push(PushError::Full)) if self.waits => {
                    let row_len = encode(schema, sample)?.len();
                    self.shared.until_blocking(None, |state| {
                        (state.has_ended || state.uplink.has_room(row_len)).then_some(())
                    });
                }
                sent => return Ok(Receipt { receipt: sent?, shared: Arc::clone(&self.shared) }),
            }
        }
    }

    /// Waits until everything is durable or resolved, at most so long.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Lost`] when the client has ended.
    pub fn flush(&self, patience: Duration) -> Result<(), Error> {
        self.shared.change(Uplink::flush);
        let flushed = self.shared.until_blocking(deadline(patience), |state| {
            match state.uplink.is_flushed() {
                true => Some(Ok(())),
                false => state.has_ended.then_some(Err(RowLost::Ended)),
            }
        });
        Ok(flushed.ok_or(Error::Timeout)??)
    }

    /// What the application should know next; `None` when there is nothing in that time, or the client has ended.
    pub fn event(&self, patience: Duration) -> Option<Event> {
        self.shared
            .until_blocking(deadline(patience), |state| match state.events.pop_front() {
                Some(event) => Some(Some(event)),
                None => state.has_ended.then_some(None),
            })
            .flatten()
    }

    /// Answers a CONFIG, COMMAND or ALERT.
    ///
    /// # Errors
    /// [`DoneError`]
    pub fn done(
        &self,
        ticket: Ticket,
        status: DoneStatus,
        text: &str,
        results: &[Argument],
    ) -> Result<(), DoneError> {
        self.shared.change(|uplink| uplink.done(ticket, status, text, results))
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        self.shared.lock().uplink.stats()
    }

    /// Ends: waits so long for everything to be acknowledged, says CLOSE, and waits for it to leave.
    ///
    /// # Errors
    /// [`Error::Timeout`]: something was not acknowledged; it may or may not be stored. [`Error::Kept`]: the same, and it is on
    /// the spool.
    pub fn close(mut self, patience: Duration) -> Result<(), Error> {
        self.shared.push_new_counts();
        let flushed = self.flush(patience);
        let left = self.end();
        flushed.map_err(|error| if matches!(error, Error::Timeout) { left } else { error })
    }

    /// What there is to say when not everything was acknowledged.
    fn end(&mut self) -> Error {
        let left = self.shared.change(crate::shared::end);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed by its hook.
            let _ = thread.join();
        }
        left
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end();
    }
}

impl Receipt {
    /// The number that the row was given.
    pub const fn row(&self) -> u32 {
        self.receipt.row()
    }

    /// Waits for the row's fate, at most so long. `Ok` means that it is on the collector's disk.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Lost`]
    pub fn wait(mut self, patience: Duration) -> Result<(), Error> {
        let fate = self.shared.until_blocking(deadline(patience), |_| self.receipt.try_fate());
        Ok(fate.ok_or(Error::Timeout)??)
    }
}

struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// `None`, for ever, when the clock can't hold it.
fn deadline(patience: Duration) -> Option<Instant> {
    Instant::now().checked_add(patience)
}
