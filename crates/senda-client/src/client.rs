//! The async client: a device, the task that drives it, receipts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use senda_session::device::{
    Argument, Closing, Config, Device, DoneError, DropPolicy, Event, PushError, Stats, Ticket,
    Transport,
};
use senda_wire::{Clock, DoneStatus};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::journal::{DeviceJournal, Journal};
use crate::path::Measures;
use crate::shared::{Shared, encode};
use crate::spool::{Directory, Options};
use crate::uplink::{History, Settings, Uplink};
use crate::{
    Declared, Endpoint, EndpointError, Epoch, Error, Port, Receipt, RowLost, Sample, Schema,
    SendError, device_seed,
};

/// How often a client whose clock nobody keeps right asks for the time, unless told otherwise.
pub const TIME_EVERY: Duration = Duration::from_secs(60);

/// How often a client tells its ledger (COUNTS) while it makes rows, unless told otherwise. Spec §5.11.
pub const COUNTS_EVERY: Duration = Duration::from_secs(300);

/// A client under construction.
#[derive(Clone, Debug)]
pub struct Builder {
    /// One for each transport at most.
    endpoints: Vec<Endpoint>,
    config: Config,
    clock: Clock,
    spool: Option<(PathBuf, Options)>,
    measures: Measures,
    history: History,
    journal: Option<Journal>,
}

/// Bytes of a spool unless told otherwise.
pub const SPOOL_BYTES: u64 = 64 << 20;

impl Builder {
    /// Records what is made and what is told in a journal, for `senda audit`: each row before it can leave.
    #[must_use]
    pub fn journal(mut self, journal: Option<Journal>) -> Self {
        self.journal = journal;
        self
    }

    /// Changes what the session is made of: queue, batches, keepalive, what it takes from the collector.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes the endpoints: local address, socket buffers.
    #[must_use]
    pub fn endpoint(mut self, mut change: impl FnMut(&mut Endpoint)) -> Self {
        self.endpoints.iter_mut().for_each(&mut change);
        self
    }

    /// The collector's address for the other transport. With both the streams go over UDP while that works, else over TCP.
    /// Spec §6.8.
    ///
    /// # Errors
    /// [`Error::Endpoint`]: it can't be read, or is for the same transport.
    pub fn also(self, collector: &str) -> Result<Self, Error> {
        Ok(self.also_at(collector.parse()?)?)
    }

    /// The same, for an endpoint that is read already.
    ///
    /// # Errors
    /// [`EndpointError`]: it is for the same transport.
    pub fn also_at(mut self, endpoint: Endpoint) -> Result<Self, EndpointError> {
        if self.endpoints.iter().any(|known| known.transport == endpoint.transport) {
            let why = "there is an address for this transport already";
            return Err(EndpointError { address: endpoint.to_string(), why });
        }
        self.endpoints.push(endpoint);
        Ok(self)
    }

    /// When a transport counts as good or bad.
    #[must_use]
    pub const fn measures(mut self, measures: Measures) -> Self {
        self.measures = measures;
        self
    }

    /// Keeps rows in this directory, which is made if there is none, until they are acknowledged: at most
    /// [`SPOOL_BYTES`], each safe from a power cut before `send` returns. What earlier starts left there goes up beside the
    /// live readings. One process at a time.
    #[must_use]
    pub fn spool(self, directory: impl AsRef<Path>) -> Self {
        self.spool_with(directory, Options::new(SPOOL_BYTES))
    }

    /// The same, with other limits, or with a faster promise than a sync for each row.
    #[must_use]
    pub fn spool_with(mut self, directory: impl AsRef<Path>, options: Options) -> Self {
        self.spool = Some((directory.as_ref().into(), options));
        self
    }

    /// How old streams drain from the spool.
    #[must_use]
    pub const fn history(mut self, history: History) -> Self {
        self.history = history;
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
    /// [`Error::Config`]; [`Error::Spool`]; [`Error::Runtime`] outside a tokio runtime.
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
        let name = self.config.device.clone();
        let has = |transport| self.endpoints.iter().any(|end| end.transport == transport);
        let settings = Settings {
            measures: self.measures,
            history: self.history,
            ..Settings::new(self.config, has(Transport::Udp), has(Transport::Tcp))
        };
        let uplink = match self.spool {
            None => Uplink::new(settings, device_seed())?,
            Some((directory, options)) => {
                let storage = Box::new(Directory::open(&directory)?);
                let (uplink, found) =
                    Uplink::with_spool(settings, device_seed(), storage, options)?;
                for damage in found.damage {
                    tracing::warn!(?damage, spool = %directory.display(), "the spool was damaged");
                }
                uplink
            }
        };
        let journal = self.journal.map(|journal| DeviceJournal::of(&journal, &name, uplink.live()));
        let shared = Arc::new(Shared::new(uplink, epoch, self.clock, journal));
        Ok((shared, Port::new(self.endpoints, epoch)))
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
        self.shared.change(|uplink| uplink.close(Closing::Now));
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
        config.counts_every = Some(COUNTS_EVERY);
        Builder {
            endpoints: vec![endpoint],
            config,
            clock: Clock::UtcSynced,
            spool: None,
            journal: None,
            measures: Measures::default(),
            history: History::default(),
        }
    }

    /// Makes a schema known. The same schema again gives the same handle.
    ///
    /// # Errors
    /// [`Error::Declare`]: there are 64 already.
    pub fn declare(&self, schema: &Schema) -> Result<Declared, Error> {
        let id = self.shared().change(|uplink| uplink.declare(schema.description()))?;
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
                            (state.has_ended || state.uplink.has_room(row_len)).then_some(())
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
        self.shared().change(Uplink::flush);
        self.shared()
            .until(|state| match state.uplink.is_flushed() {
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
        self.shared().change(|uplink| uplink.done(ticket, status, text, results))
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        self.shared().lock().uplink.stats()
    }

    /// Does anything else with the live session; the task looks at it afterwards. Must not wait, and must not push: rows go
    /// by [`Client::send`].
    pub fn with_device<T>(&self, change: impl FnOnce(&mut Device) -> T) -> T {
        self.shared().change(|uplink| change(uplink.live_mut()))
    }

    /// Does anything with the uplink: which transport carries, what waits on the spool. Must not wait.
    pub fn with_uplink<T>(&self, change: impl FnOnce(&mut Uplink) -> T) -> T {
        self.shared().change(change)
    }

    /// Ends: waits so long for everything to be acknowledged, says CLOSE, and waits for it to leave.
    ///
    /// # Errors
    /// [`Error::Timeout`]: something was not acknowledged; it may or may not be stored. [`Error::Kept`]: the same, and it is on
    /// the spool.
    pub async fn close(&self, patience: Duration) -> Result<(), Error> {
        self.shared().push_new_counts();
        let flushed = timeout(patience, self.flush()).await;
        let left = self.shared().change(crate::shared::end);
        self.shared().until(|state| state.has_ended.then_some(())).await;
        match flushed {
            Ok(flushed) => Ok(flushed?),
            Err(_) => Err(left),
        }
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}
