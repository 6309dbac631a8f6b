//! What the API asks of the engine and the store: commands, settings, alerts. Each change is on disk before anybody is told.

use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use senda_keeper::command_order;
use senda_session::collector::Downlink;
use senda_store::{AlertRecord, CommandRecord, OpenError, Reader, StoreError, Writer};
use tokio::sync::{Notify, Semaphore, oneshot};

use crate::engine::{Input, utc_us};
use crate::feed::{Feed, Item};
use crate::live::Live;
use crate::raw;
use crate::settings::{CurrentDesired, Desired, DesiredSet};
use crate::stats::Stats;
use crate::store::Request;
use crate::wake::Waker;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// The store thread is gone: the server stops.
    #[error("the collector is stopping")]
    Stopping,
    /// The disk.
    #[error("{}", store_text(.0))]
    Store(#[from] StoreError),
    /// The database can't be opened for reading.
    #[error("the store can't be read at the moment: {0}")]
    Open(#[from] OpenError),
}

fn store_text(error: &StoreError) -> String {
    match error {
        StoreError::NoMoreIds { .. } => error.to_string(),
        other => format!("the store can't do it at the moment: {other}"),
    }
}

/// Shared by all requests of the API.
pub(crate) struct Control {
    pub(crate) data: PathBuf,
    pub(crate) live: Arc<Live>,
    pub(crate) feed: Feed,
    pub(crate) stats: Arc<Stats>,
    requests: mpsc::Sender<Request>,
    engine: mpsc::Sender<Input>,
    waker: Waker,
    /// Desired configurations of the config file.
    file: Vec<Desired>,
    desired: CurrentDesired,
    /// Raw listeners.
    pub(crate) raw: Vec<raw::View>,
    readers: Mutex<Vec<Reader>>,
    /// Reads at once: each may hold a lot.
    reads: Semaphore,
    /// A command was queued: the next one to expire may be another.
    queued: Notify,
}

impl Control {
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one end of something that `Server::start` joins"
    )]
    pub(crate) fn new(
        data: PathBuf,
        live: Arc<Live>,
        feed: Feed,
        stats: Arc<Stats>,
        requests: mpsc::Sender<Request>,
        engine: mpsc::Sender<Input>,
        waker: Waker,
        file: Vec<Desired>,
        desired: CurrentDesired,
        raw: Vec<raw::View>,
    ) -> Self {
        Self {
            data,
            live,
            feed,
            stats,
            requests,
            engine,
            waker,
            file,
            desired,
            raw,
            readers: Mutex::default(),
            reads: Semaphore::new(READERS_KEPT),
            queued: Notify::new(),
        }
    }

    /// Puts a command on disk and on its way.
    pub(crate) async fn command(
        &self,
        device: String,
        name: String,
        arguments: Vec<u8>,
        ttl: Duration,
    ) -> Result<CommandRecord, ControlError> {
        let ttl_us = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
        let record = self
            .call(move |writer, now| {
                writer.add_command(&device, &name, &arguments, now.saturating_add(ttl_us), now)
            })
            .await?;
        self.feed.tell(Item::Command(Box::new(record.clone())));
        self.queued.notify_one();
        if let Some(order) = command_order(&record, utc_us()) {
            self.order(record.device.as_str().into(), order);
        }
        Ok(record)
    }

    /// Sets the settings for a pattern, or takes them away, and tells the devices that are here. True when it changed
    /// something.
    pub(crate) async fn set_settings(
        &self,
        pattern: String,
        settings: Option<(u32, Vec<u8>)>,
    ) -> Result<bool, ControlError> {
        // All of it on the store's thread: of two changes at once the later one is in force, there and here.
        let (file, desired) = (self.file.clone(), self.desired.clone());
        let (engine, waker) = (self.engine.clone(), self.waker.clone());
        self.call(move |writer, now| {
            let settings = settings.as_ref().map(|(revision, list)| (*revision, &**list));
            let changed = writer.set_settings(&pattern, settings, now)?;
            let set = Arc::new(DesiredSet::new(file, writer.settings(now)?));
            *desired.lock().unwrap_or_else(PoisonError::into_inner) = set.clone();
            let _ = engine.send(Input::Desired(set)); // An engine that is gone needs nothing.
            waker.wake();
            Ok(changed)
        })
        .await
    }

    /// All desired configurations.
    pub(crate) fn desired(&self) -> Arc<DesiredSet> {
        self.desired.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Marks an alert as seen; `None`: there is no such alert.
    pub(crate) async fn acknowledge_alert(
        &self,
        id: u32,
        by: String,
    ) -> Result<Option<AlertRecord>, ControlError> {
        let seen = self.call(move |writer, now| writer.acknowledge_alert(id, &by, now)).await?;
        if let Some(alert) = &seen {
            self.feed.acknowledge(id);
            self.feed.tell(Item::Alert(Box::new(alert.clone())));
        }
        Ok(seen)
    }

    /// Closes an alert by hand, if it holds; `None`: there is no such alert.
    pub(crate) async fn close_alert(&self, id: u32) -> Result<Option<AlertRecord>, ControlError> {
        let closed = self.feed.close(id).await.ok_or(ControlError::Stopping)?;
        self.call(move |writer, now| {
            let Some(alert) = writer.alert(id, now)? else { return Ok(None) };
            if closed || !alert.raised {
                return Ok(Some(alert));
            }
            // It stands in the store and no rule knows it: a rule that could not be carried out.
            let alert = AlertRecord { cleared_at: Some(now), ..alert };
            writer.clear_alert(&alert, &[], now)
        })
        .await
    }

    /// Ends queued commands when their time is over, as long as the server runs.
    pub(crate) async fn expire(self: Arc<Self>) {
        loop {
            let next = self.call(|writer, now| {
                let expired = writer.expire_commands(now)?;
                Ok((expired, writer.next_expiry(now)?))
            });
            let wait = match next.await {
                Ok((expired, next)) => {
                    for record in expired {
                        self.feed.tell(Item::Command(Box::new(record)));
                    }
                    next.map(|next| u64::try_from(next - utc_us()).unwrap_or(0).max(1_000))
                }
                Err(ControlError::Stopping) => return,
                Err(error) => {
                    tracing::warn!(%error, "commands that should expire wait");
                    Some(5_000_000)
                }
            };
            let due = async {
                match wait {
                    Some(micros) => tokio::time::sleep(Duration::from_micros(micros)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.queued.notified() => {}
            }
        }
    }

    /// Runs `action` on the store's thread, after what waits there already.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut Writer, i64) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let (answer, answered) = oneshot::channel();
        let call = move |writer: &mut Writer, now| {
            let _ = answer.send(action(writer, now)); // Who asked may have gone.
        };
        let sent = self.requests.send(Request::Call(Box::new(call)));
        sent.map_err(|_| ControlError::Stopping)?;
        Ok(answered.await.map_err(|_| ControlError::Stopping)??)
    }

    /// Reads the store, on a thread that may wait.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        action: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let _permit = self.reads.acquire().await.map_err(|_| ControlError::Stopping)?;
        let control = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let reader = match control.readers().pop() {
                Some(reader) => reader,
                None => Reader::open(&control.data)?,
            };
            let value = action(&reader)?;
            let mut readers = control.readers();
            if readers.len() < READERS_KEPT {
                readers.push(reader);
            }
            Ok(value)
        });
        read.await.map_err(|_| ControlError::Stopping)?
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends something to a device, if it is here.
    pub(crate) fn order(&self, device: Arc<str>, order: Downlink) {
        self.tell_engine(Input::Order(device, order));
    }

    fn tell_engine(&self, input: Input) {
        let _ = self.engine.send(input); // An engine that is gone needs nothing.
        self.waker.wake();
    }
}

/// Reads at once, and readers that are kept open between requests.
const READERS_KEPT: usize = 4;
