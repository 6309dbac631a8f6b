//! The async client: a device, the task that drives it, receipts.

use std::sync::Arc;
use std::time::Duration;

use senda_session::device::{
    Argument, Closing, Config, Device, DoneError, DropPolicy, Event, PushError, Stats, Ticket,
};
use senda_wire::{Clock, DoneStatus};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::shared::{Shared, encode};
use crate::{
    Declared, Endpoint, Epoch, Error, Port, Receipt, RowLost, Sample, Schema, SendError,
    device_seed,
};

/// How often a client whose clock nobody keeps right asks for the time, unless told otherwise.
pub const TIME_EVERY: Duration = Duration::from_secs(60);

/// A client under construction.
#[derive(Clone, Debug)]
pub struct Builder {
    endpoint: Endpoint,
    config: Config,
    clock: Clock,
}

impl Builder {
    /// Changes what the session is made of: queue, batches, keepalive, what it takes from the collector.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes the endpoint: local address, socket buffers.
    #[must_use]
    pub fn endpoint(mut self, change: impl FnOnce(&mut Endpoint)) -> Self {
        change(&mut self.endpoint);
        self
    }

    /// Says what this machine's clock is worth; [`Clock::UtcSynced`] unless told otherwise. With [`Clock::Monotonic`] and
    /// [`Clock::UtcUnsynced`] the collector is asked for the time every [`TIME_EVERY`], unless [`Config::time_every`] says
    /// otherwise: that is how it can date the samples of a clock that begins at the client's start.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        if matches!(clock, Clock::Monotonic | Clock::UtcUnsynced) {
            self.config.time_every = self.config.time_every.or(Some(TIME_EVERY));
        }
        self
    }

    /// Begins to connect, on a task of the current tokio runtime. Samples may be sent at once: they wait.
    ///
    /// # Errors
    /// [`Error::Config`]; [`Error::Runtime`] outside a tokio runtime.
    pub fn connect(self) -> Result<Client, Error> {
        let runtime =
            Handle::try_current().map_err(|error| Error::Runtime(std::io::Error::other(error)))?;
        let waits = self.policy() == DropPolicy::RefuseNew;
        let _context = runtime.enter();
        let (shared, port) = self.build()?;
        runtime.spawn(Arc::clone(&shared).drive(port));
        Ok(Client { handle: Arc::new(HandleGuard { shared, waits }) })
    }

    pub(crate) const fn policy(&self) -> DropPolicy {
        self.config.queue.policy
    }

    pub(crate) fn build(self) -> Result<(Arc<Shared>, Port), Error> {
        let epoch = Epoch::start();
        let device = Device::new(self.config, device_seed())?;
        let shared = Arc::new(Shared::new(device, epoch, self.clock));
        Ok((shared, Port::new(self.endpoint, epoch)))
    }
}

/// A device that sends from any task. Clones share it; when the last one goes the session is closed at once, and what is not
/// acknowledged is lost: [`Client::flush`] or [`Client::close`] first.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<HandleGuard>,
}

#[derive(Debug)]
struct HandleGuard {
    shared: Arc<Shared>,
    /// A full queue makes senders wait.
    waits: bool,
}

impl Drop for HandleGuard {
    fn drop(&mut self) {
        self.shared.change(|device| device.close(Closing::Now));
    }
}

impl Client {
    /// Begins a client for the device of this name. `collector` as [`Endpoint`] reads it: `udp://HOST[:PORT]` or
    /// `tcp://HOST[:PORT]`.
    ///
    /// # Errors
    /// [`Error::Endpoint`]
    pub fn builder(device: &str, collector: &str) -> Result<Builder, Error> {
        Ok(Self::builder_at(device, collector.parse()?))
    }

    /// The same, for an endpoint that is read already.
    pub fn builder_at(device: &str, endpoint: Endpoint) -> Builder {
        let mut config = Config::new(device);
        config.software = concat!("senda-client/", env!("CARGO_PKG_VERSION")).into();
        Builder { endpoint, config, clock: Clock::UtcSynced }
    }

    /// Makes a schema known. The same schema again gives the same handle.
    ///
    /// # Errors
    /// [`Error::Declare`]: there are 64 already.
    pub fn declare(&self, schema: &Schema) -> Result<Declared, Error> {
        let id = self.shared().change(|device| device.declare(schema.description()))?;
        Ok(Declared { id, schema: Arc::new(schema.clone()) })
    }

    /// Queues a sample. With [`DropPolicy::DropOldest`] that is at once; with [`DropPolicy::RefuseNew`] it waits for room.
    ///
    /// # Errors
    /// [`SendError`]
    pub async fn send(&self, schema: &Declared, sample: &Sample) -> Result<Receipt, SendError> {
        loop {
            match self.try_send(schema, sample) {
                Err(SendError::Push(PushError::Full)) if self.handle.waits => {
                    let row_len = encode(schema, sample)?.len();
                    self.shared()
                        .until(|state| {
                            (state.has_ended || state.device.has_room(row_len)).then_some(())
                        })
                        .await;
                }
                sent => return sent,
            }
        }
    }

    /// Queues a sample, or says at once why not.
    ///
    /// # Errors
    /// [`SendError`]
    pub fn try_send(&self, schema: &Declared, sample: &Sample) -> Result<Receipt, SendError> {
        self.shared().try_send(schema, sample)
    }

    /// Waits until everything sent so far, and whatever is sent meanwhile, is durable or resolved.
    ///
    /// # Errors
    /// [`RowLost::Ended`]
    pub async fn flush(&self) -> Result<(), RowLost> {
        self.shared().change(Device::flush);
        self.shared()
            .until(|state| match state.device.is_flushed() {
                true => Some(Ok(())),
                false => state.has_ended.then_some(Err(RowLost::Ended)),
            })
            .await
    }

    /// What the application should know next; `None` once the client has ended. Acknowledgements are not among the
    /// events: see [`Receipt`] and [`Client::stats`].
    pub async fn event(&self) -> Option<Event> {
        self.shared()
            .until(|state| match state.events.pop_front() {
                Some(event) => Some(Some(event)),
                None => state.has_ended.then_some(None),
            })
            .await
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
        self.shared().change(|device| device.done(ticket, status, text, results))
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        self.shared().lock().device.stats()
    }

    /// Does anything else with the session; the task looks at it afterwards. Must not wait.
    pub fn with_device<T>(&self, change: impl FnOnce(&mut Device) -> T) -> T {
        self.shared().change(change)
    }

    /// Ends: waits so long for everything to be acknowledged, says CLOSE, and waits for it to leave.
    ///
    /// # Errors
    /// [`Error::Timeout`]: something was not acknowledged; it may or may not be stored.
    pub async fn close(&self, patience: Duration) -> Result<(), Error> {
        let flushed = timeout(patience, self.flush()).await;
        self.shared().change(|device| device.close(Closing::Now));
        self.shared().until(|state| state.has_ended.then_some(())).await;
        match flushed {
            Ok(flushed) => Ok(flushed?),
            Err(_) => Err(Error::Timeout),
        }
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}
