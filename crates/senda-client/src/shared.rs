//! What the handles of a client and the task that drives it have in common.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use senda_session::device::{Device, Event, NewStream, PushError, SchemaId};
use senda_wire::Clock;
use tokio::sync::{Notify, oneshot};

use crate::{Epoch, Port, RowLost, Sample, SampleError, Schema, SendError};

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
    pub(crate) device: Device,
    /// Rows that someone wants to hear of, ascending.
    receipts: VecDeque<(u32, oneshot::Sender<Result<(), RowLost>>)>,
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
    row: u32,
    fate: oneshot::Receiver<Result<(), RowLost>>,
}

impl Receipt {
    /// The number that the row was given.
    pub const fn row(&self) -> u32 {
        self.row
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
    pub(crate) fn new(mut device: Device, epoch: Epoch, clock: Clock) -> Self {
        // As `try_send` dates samples: a monotonic clock counts from the client's start.
        let base_us = match clock {
            Clock::None | Clock::Monotonic => 0,
            Clock::UtcUnsynced | Clock::UtcSynced => epoch.utc_base_us(),
        };
        device.set_clock(epoch.now(), clock, base_us);
        Self {
            state: Mutex::new(State {
                device,
                receipts: VecDeque::new(),
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
        // A panic elsewhere left a device that is consistent: each of its calls is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the device, and has the task look at it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Device) -> T) -> T {
        let changed = change(&mut self.lock().device);
        self.wake.notify_one();
        changed
    }

    /// Queues a sample.
    pub(crate) fn try_send(
        &self,
        declared: &Declared,
        sample: &Sample,
    ) -> Result<Receipt, SendError> {
        let row = encode(declared, sample)?;
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
        let row = if sample.is_partial() {
            state.device.push_sparse(now, declared.id, self.clock, time_us, &row)?
        } else {
            state.device.push(now, declared.id, self.clock, time_us, &row)?
        };
        state.receipts.push_back((row, sender));
        drop(state);
        self.wake.notify_one();
        Ok(Receipt { row, fate })
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

    /// Drives the device until it has ended.
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
        drop(state);
        self.announce();
    }

    fn turn(&self, port: &mut Port) -> bool {
        let mut state = self.lock();
        let State { device, receipts, events, .. } = &mut *state;
        port.turn(device, |event| {
            settle(receipts, &event);
            if !matches!(event, Event::Acked(_) | Event::NeedConnect) {
                if events.len() >= EVENTS_MAX {
                    events.pop_front();
                }
                events.push_back(event);
            }
        })
    }

    fn announce(&self) {
        self.progress.notify_waiters();
        self.progress_blocking.notify_all();
    }
}

/// The row in the form in which it is queued.
pub(crate) fn encode(declared: &Declared, sample: &Sample) -> Result<Vec<u8>, SampleError> {
    if sample.is_partial() {
        sample.encode_sparse(&declared.schema)
    } else {
        sample.encode(&declared.schema)
    }
}

type Receipts = VecDeque<(u32, oneshot::Sender<Result<(), RowLost>>)>;

/// Tells those who wait for rows that an event speaks of. Nobody may listen any more, which is fine.
fn settle(receipts: &mut Receipts, event: &Event) {
    match event {
        Event::Acked(acked) => {
            while receipts.front().is_some_and(|(row, _)| *row < acked.mark) {
                if let Some((_, sender)) = receipts.pop_front() {
                    let _ = sender.send(Ok(()));
                }
            }
        }
        Event::Refused { first, count, code, text } => {
            lose(receipts, *first, *count, || RowLost::Refused { code: *code, text: text.clone() });
        }
        Event::Dropped { first, count, cause } => {
            lose(receipts, *first, *count, || RowLost::Dropped { cause: *cause });
        }
        Event::NewStream(new) => renumber(receipts, new),
        _ => {}
    }
}

fn lose(receipts: &mut Receipts, first: u32, count: u32, why: impl Fn() -> RowLost) {
    let from = receipts.partition_point(|(row, _)| *row < first);
    let to = receipts.partition_point(|(row, _)| *row < first.saturating_add(count));
    for (_, sender) in receipts.drain(from..to) {
        let _ = sender.send(Err(why()));
    }
}

/// Rows that did not move were recorded in the old stream: nobody will say more of them.
fn renumber(receipts: &mut Receipts, new: &NewStream) {
    for (row, sender) in std::mem::take(receipts) {
        let run = new.moved.iter().find(|(first, count, _)| (*first..first + count).contains(&row));
        match run {
            Some((first, _, to)) => receipts.push_back((to + (row - first), sender)),
            None => drop(sender.send(Ok(()))),
        }
    }
}
