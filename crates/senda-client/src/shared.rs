//! What the handles of a client and the task that drives it have in common.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use senda_session::device::{Closing, Event, NewStream, PushError, SchemaId};
use senda_wire::Clock;
use tokio::sync::{Notify, oneshot};

use crate::journal::{DeviceJournal, Made};
use crate::uplink::{self, RowId, Uplink};
use crate::{Epoch, Error, Port, RowLost, Sample, SampleError, Schema, SendError};

/// Events that wait for the application; beyond it the oldest goes.
const EVENTS_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    epoch: Epoch,
    /// By which clock samples are dated.
    clock: Clock,
    /// A handle changed something: the task takes a turn.
    wake: Notify,
    /// The task took a turn: whoever waits for an outcome looks again.
    progress: Notify,
    progress_blocking: Condvar,
}

/// What the lock guards; it is never held across a wait.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) uplink: Uplink,
    journal: Option<DeviceJournal>,
    /// Rows that someone wants to hear of.
    receipts: Receipts,
    pub(crate) events: VecDeque<Event>,
    /// The task is over.
    pub(crate) has_ended: bool,
}

/// A schema that a client has declared.
#[derive(Clone, Debug)]
pub struct Declared {
    pub(crate) id: SchemaId,
    pub(crate) schema: Arc<Schema>,
}

impl Declared {
    /// The schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

/// A row on its way; awaiting it tells its fate: `Ok` means that it is on the collector's disk (at the level of
/// [`crate::Welcomed::durability`]). Dropping it changes nothing.
#[derive(Debug)]
pub struct Receipt {
    id: RowId,
    fate: oneshot::Receiver<Result<(), RowLost>>,
}

impl Receipt {
    /// The number that the row was given.
    pub const fn row(&self) -> u32 {
        self.id.row
    }

    /// The stream that it was given it in.
    pub const fn stream(&self) -> u64 {
        self.id.stream
    }

    /// The fate, if it is decided.
    pub fn try_fate(&mut self) -> Option<Result<(), RowLost>> {
        match self.fate.try_recv() {
            Ok(fate) => Some(fate),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(RowLost::Ended)),
        }
    }
}

impl Future for Receipt {
    type Output = Result<(), RowLost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.fate).poll(context).map(|fate| fate.unwrap_or(Err(RowLost::Ended)))
    }
}

impl Shared {
    pub(crate) fn new(
        mut uplink: Uplink,
        epoch: Epoch,
        clock: Clock,
        journal: Option<DeviceJournal>,
    ) -> Self {
        // As `try_send` dates samples: a monotonic clock counts from the client's start.
        let base_us = match clock {
            Clock::None | Clock::Monotonic => 0,
            Clock::UtcUnsynced | Clock::UtcSynced => epoch.utc_base_us(),
        };
        uplink.set_clock(epoch.now(), clock, base_us);
        Self {
            state: Mutex::new(State {
                uplink,
                journal,
                receipts: Receipts::new(),
                events: VecDeque::new(),
                has_ended: false,
            }),
            epoch,
            clock,
            wake: Notify::new(),
            progress: Notify::new(),
            progress_blocking: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere left an uplink that is consistent: each of its calls is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the uplink, and has the task look at it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Uplink) -> T) -> T {
        let changed = change(&mut self.lock().uplink);
        self.wake.notify_one();
        changed
    }

    /// Queues the device's ledger, if it says anything new.
    pub(crate) fn push_new_counts(&self) {
        let now = self.epoch.now();
        // A queue without room, or one that is closed, tells no ledger.
        let _ = self.change(|uplink| uplink.live_mut().push_new_counts(now));
    }

    /// Queues a sample.
    pub(crate) fn try_send(
        &self,
        declared: &Declared,
        sample: &Sample,
    ) -> Result<Receipt, SendError> {
        let bytes = encode(declared, sample)?;
        let now = self.epoch.now();
        let time_us = sample.time_us.unwrap_or_else(|| match self.clock {
            Clock::None | Clock::Monotonic => i64::try_from(now.0).unwrap_or(i64::MAX),
            Clock::UtcUnsynced | Clock::UtcSynced => {
                crate::sample::unix_us(std::time::SystemTime::now())
            }
        });
        let (sender, fate) = oneshot::channel();
        let mut state = self.lock();
        if state.has_ended {
            return Err(PushError::Closed.into());
        }
        let id = if sample.is_partial() {
            state.uplink.push_sparse(now, declared.id, self.clock, time_us, &bytes)?
        } else {
            state.uplink.push(now, declared.id, self.clock, time_us, &bytes)?
        };
        if let Some(journal) = &state.journal {
            // Under the lock: the row can't leave before it is recorded.
            let (description, sparse) = (declared.schema.description(), sample.is_partial());
            let made = Made { description, clock: self.clock, time_us, sparse, bytes: &bytes };
            journal.made(id.stream, id.row, &made);
        }
        state.receipts.insert(id, sender);
        drop(state);
        self.wake.notify_one();
        Ok(Receipt { id, fate })
    }

    /// Waits until `done` finds what it looks for; it is asked after each turn of the task.
    pub(crate) async fn until<T>(&self, mut done: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            // From here on no turn is missed.
            progress.as_mut().enable();
            if let Some(found) = done(&mut self.lock()) {
                return found;
            }
            progress.await;
        }
    }

    /// As [`Shared::until`] for a thread; `None` after `deadline`.
    pub(crate) fn until_blocking<T>(
        &self,
        deadline: Option<std::time::Instant>,
        mut done: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(found) = done(&mut state) {
                return Some(found);
            }
            let wait = match deadline {
                None => std::time::Duration::from_secs(3_600),
                Some(at) => at.checked_duration_since(std::time::Instant::now())?,
            };
            let waited = self.progress_blocking.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Drives the uplink until it has ended.
    pub(crate) async fn drive(self: Arc<Self>, mut port: Port) {
        loop {
            let goes_on = self.turn(&mut port);
            self.announce();
            if !goes_on {
                break;
            }
            tokio::select! {
                () = port.wait() => {}
                () = self.wake.notified() => {}
            }
        }
        self.end();
    }

    /// Nothing will happen any more.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.has_ended = true;
        state.receipts.clear();
        state.uplink.release();
        drop(state);
        self.announce();
    }

    fn turn(&self, port: &mut Port) -> bool {
        let mut state = self.lock();
        let State { uplink, journal, receipts, events, .. } = &mut *state;
        port.turn(uplink, |event| match event {
            uplink::Event::Session { stream, is_live, event } => {
                if let Some(journal) = journal {
                    journal.heard_of(stream, &event);
                }
                settle(receipts, stream, &event);
                if is_live && !matches!(event, Event::Acked(_)) {
                    if events.len() >= EVENTS_MAX {
                        events.pop_front();
                    }
                    events.push_back(event);
                }
            }
            uplink::Event::Retired { live, .. } => {
                tracing::info!(?event, "left to the spool");
                if let Some(journal) = journal {
                    journal.begins(live, 0);
                }
                // They may wait for days: nobody is kept that does not listen.
                receipts.retain(|_, sender| !sender.is_closed());
            }
            uplink::Event::Spool(error) => tracing::warn!(%error, "the spool"),
            event => tracing::info!(?event, "uplink"),
        })
    }

    fn announce(&self) {
        self.progress.notify_waiters();
        self.progress_blocking.notify_all();
    }
}

/// Ends an uplink; what there is to say when not everything was acknowledged.
pub(crate) fn end(uplink: &mut Uplink) -> Error {
    let rows = uplink.unresolved();
    uplink.close(Closing::Now);
    if uplink.has_spool() { Error::Kept { rows } } else { Error::Timeout }
}

/// The row in the form in which it is queued.
pub(crate) fn encode(declared: &Declared, sample: &Sample) -> Result<Vec<u8>, SampleError> {
    if sample.is_partial() {
        sample.encode_sparse(&declared.schema)
    } else {
        sample.encode(&declared.schema)
    }
}

type Receipts = BTreeMap<RowId, oneshot::Sender<Result<(), RowLost>>>;

/// Tells those who wait for rows that an event speaks of. Nobody may listen any more, which is fine.
fn settle(receipts: &mut Receipts, stream: u64, event: &Event) {
    match event {
        Event::Acked(acked) => take(receipts, stream, 0, acked.mark, || Ok(())),
        Event::Refused { first, count, code, text } => {
            let end = first.saturating_add(*count);
            let refused = || Err(RowLost::Refused { code: *code, text: text.clone() });
            take(receipts, stream, *first, end, refused);
        }
        Event::Dropped { first, count, cause } => {
            let end = first.saturating_add(*count);
            take(receipts, stream, *first, end, || Err(RowLost::Dropped { cause: *cause }));
        }
        Event::NewStream(new) => renumber(receipts, new),
        _ => {}
    }
}

/// Tells those who wait for rows `first` to `end - 1` of a stream.
fn take(
    receipts: &mut Receipts,
    stream: u64,
    first: u32,
    end: u32,
    fate: impl Fn() -> Result<(), RowLost>,
) {
    let end = RowId { stream, row: end };
    while let Some((&id, _)) = receipts.range(RowId { stream, row: first }..end).next() {
        if let Some(sender) = receipts.remove(&id) {
            let _ = sender.send(fate());
        }
    }
}

/// Rows that did not move were recorded in the old stream: nobody will say more of them.
fn renumber(receipts: &mut Receipts, new: &NewStream) {
    for &(first, count, to) in &new.moved {
        for row in first..first.saturating_add(count) {
            if let Some(sender) = receipts.remove(&RowId { stream: new.old, row }) {
                receipts.insert(RowId { stream: new.new, row: to + (row - first) }, sender);
            }
        }
    }
    take(receipts, new.old, 0, u32::MAX, || Ok(()));
}
