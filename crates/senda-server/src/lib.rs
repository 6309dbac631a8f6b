//! The Senda collector as a library: [`Server::start`] listens on TCP, UDP and HTTP, and stores what comes.
//!
//! ```text
//!   UDP socket --+                                            +--> ACKs
//!                |   engine thread: senda_session::collector  |
//!   TCP tasks ---+        | Event::Land            ^ verdicts +--> connections
//!                         v                        |
//!                    store thread: senda_store::Writer, one commit for everything that waits
//! ```
//!
//! Two threads of their own and a small tokio runtime (accepting, connections, HTTP). The engine thread sleeps in one
//! `poll` over the UDP socket and a wake-up; it owns every session, so nothing about sessions is shared. The store thread
//! owns the database. Between them are queues, bounded by the engine's budget for what is on its way.
//!
//! Not here: printing, signals, command lines (`senda`), decisions about sessions (`senda-session`), SQL (`senda-store`).

pub mod alerts; // rules over what is stored, and their way outwards
mod api; // the HTTP control API
mod config; // what a server is told, and why it may not start
mod control; // what the API asks of engine and store
mod drops; // what the kernel threw away
mod engine; // the engine thread
mod feed; // what is stored, as it lands
mod http; // /healthz, /readyz, and where the API hangs
pub mod json; // values as text and JSON
mod live; // who is here, how fast
pub mod raw; // devices that don't speak Senda/1
mod settings; // what devices should be set to
mod stats; // figures for people and programs
mod store; // the store thread
mod tcp; // connections
mod trace; // every message, for eyes
mod udp; // the UDP socket
mod wake; // how other threads wake the engine
mod watch; // alert rules at work

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use config::{Config, StartError};
pub use settings::Desired;
pub use stats::Snapshot;
pub use trace::{Direction, TraceSink};

use control::Control;
use engine::{Engine, Input, utc_us};
use feed::Feed;
use live::Live;
use settings::DesiredSet;
use stats::Stats;
use wake::Waker;

/// How long connections of a server that stops may take to say what is left to say.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(5);

/// A running collector. Dropping it without [`Server::stop`] leaves its threads to the end of the process.
pub struct Server {
    addresses: Addresses,
    data: PathBuf,
    control: std::sync::mpsc::Sender<Input>,
    waker: Waker,
    stats: Arc<Stats>,
    engine: JoinHandle<()>,
    store: JoinHandle<()>,
    requests: std::sync::mpsc::Sender<store::Request>,
    feed: (Feed, JoinHandle<()>),
    /// Ends after the last TCP connection of a server that stops.
    connections: Option<tokio::task::JoinHandle<()>>,
    raw: raw::Listeners,
    runtime: tokio::runtime::Runtime,
}

/// Where a server listens; ports that were 0 are the ones the system chose.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Addresses {
    /// TCP, if it listens there.
    pub tcp: Option<SocketAddr>,
    /// UDP, if it listens there.
    pub udp: Option<SocketAddr>,
    /// HTTP, if it listens there.
    pub http: Option<SocketAddr>,
}

impl Server {
    /// Opens the store, binds the sockets and begins. Nothing is answered before all of that is done.
    ///
    /// # Errors
    /// [`StartError`]: an address that can't be bound, a data directory that can't be used, ...
    pub fn start(mut config: Config) -> Result<Self, StartError> {
        config.check()?;
        let data = config.data.clone();
        let stats = Arc::new(Stats::default());
        let waker = Waker::new().map_err(StartError::Runtime)?;
        let (control, inputs) = std::sync::mpsc::channel();
        let mut writer = store::open(&config)?;
        let desired = restore(&mut writer, &config)?;
        let current = Arc::new(std::sync::Mutex::new(desired.clone()));
        let live = Arc::new(Live::default());
        let (requests_tx, requests) = std::sync::mpsc::channel();
        let (changes, _) = tokio::sync::broadcast::channel(feed::COMMITS_KEPT);
        let lines = watch::Lines {
            requests: requests_tx.clone(),
            engine: control.clone(),
            waker: waker.clone(),
            changes,
        };
        let (feed, feed_thread) = start_feed(&mut writer, &mut config, lines)?;
        let udp = config.udp.as_deref().map(udp::Udp::bind).transpose()?;
        let runtime = start_runtime()?;
        let (tcp_inputs_tx, tcp_inputs) = tokio::sync::mpsc::channel(tcp::INPUTS_MAX);
        let (pause_tx, pause) = tokio::sync::watch::channel(tcp::Reading::Go);
        let mut addresses =
            Addresses { udp: udp.as_ref().map(udp::Udp::local), ..Addresses::default() };
        let mut connections = None;
        if let Some(names) = &config.tcp {
            let listener = runtime.block_on(tcp::bind(names))?;
            addresses.tcp = listener.local_addr().ok();
            let (limit, inputs) = (config.connections_max, tcp_inputs_tx.clone());
            let accept = tcp::accept(listener, limit, inputs, waker.clone(), pause);
            connections = Some(runtime.spawn(accept));
        }
        let raw = std::mem::take(&mut config.raw);
        let raw = raw::Listeners::start(raw, &requests_tx, &current, &runtime)?;
        if let Some(names) = &config.http {
            let api = Arc::new(Control::new(
                config.data.clone(),
                live.clone(),
                feed.clone(),
                stats.clone(),
                requests_tx.clone(),
                control.clone(),
                waker.clone(),
                config.desired.clone(),
                current,
                raw.views(),
            ));
            addresses.http = serve_http(&runtime, names, api, config.http_hosts.clone())?;
        }
        let store = store::spawn(
            writer,
            &config,
            requests,
            control.clone(),
            waker.clone(),
            stats.clone(),
            (live.clone(), feed.clone()),
        );
        let engine = Engine::new(
            config,
            udp,
            waker.clone(),
            inputs,
            tcp_inputs,
            requests_tx.clone(),
            pause_tx,
            stats.clone(),
            (desired, live),
        );
        let engine = engine.spawn().map_err(StartError::Runtime)?;
        Ok(Self {
            addresses,
            data,
            control,
            waker,
            stats,
            engine,
            store: store.map_err(StartError::Runtime)?,
            requests: requests_tx,
            feed: (feed, feed_thread),
            connections,
            raw,
            runtime,
        })
    }

    /// Where it listens.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Where its raw listeners are.
    pub fn raw_addresses(&self) -> impl Iterator<Item = raw::RawAddresses> {
        self.raw.addresses()
    }

    /// What its raw listeners have done, in the same order.
    pub fn raw_counts(&self) -> impl Iterator<Item = raw::RawCounts> {
        self.raw.views().into_iter().map(|view| view.counts())
    }

    /// Its data directory.
    pub fn data(&self) -> &std::path::Path {
        &self.data
    }

    /// Its figures at the moment.
    pub fn snapshot(&self) -> Snapshot {
        self.stats.snapshot()
    }

    /// Drains and stops: what was received is committed and acknowledged, every session gets CLOSE, and what has landed
    /// is filed if that takes no longer than a few seconds. Returns the last figures.
    pub fn stop(self) -> Snapshot {
        self.raw.stop(&self.runtime);
        // The engine may be gone already if it panicked; then there is nothing to drain.
        let _ = self.control.send(Input::Stop);
        self.waker.wake();
        let _ = self.engine.join();
        // The feed ends after the last commit, and the store after what the feed had to keep.
        let (committed, wait) = std::sync::mpsc::channel::<()>();
        let call: store::Call = Box::new(move |_, _| drop(committed));
        if self.requests.send(store::Request::Call(call)).is_ok() {
            let _ = wait.recv();
        }
        let (feed, feed_thread) = self.feed;
        feed.stop();
        let _ = feed_thread.join();
        let _ = self.requests.send(store::Request::Stop);
        let _ = self.store.join();
        if let Some(connections) = self.connections {
            // ACKs and CLOSEs are on their way to sockets; who doesn't read them is not waited for.
            let ended = async { tokio::time::timeout(LAST_WORDS, connections).await };
            let _ = self.runtime.block_on(ended);
        }
        self.runtime.shutdown_timeout(std::time::Duration::from_secs(1));
        self.stats.snapshot()
    }
}

/// Answers the API, and lets commands expire. Returns where it listens.
fn serve_http(
    runtime: &tokio::runtime::Runtime,
    names: &str,
    api: Arc<Control>,
    hosts: Vec<String>,
) -> Result<Option<SocketAddr>, StartError> {
    let listener = runtime.block_on(tcp::bind(names))?;
    let address = listener.local_addr().ok();
    runtime.spawn(api.clone().expire());
    runtime.spawn(http::serve(listener, api, hosts));
    Ok(address)
}

/// Where connections and HTTP live: one thread, beside those that may wait for the disk.
fn start_runtime() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("senda-io")
        .enable_all()
        .build()
        .map_err(StartError::Runtime)
}

/// The feed, with the alert rules on its thread. Without rules too where an earlier collector left something: what it had to
/// tell is told, and alerts without a rule are cleared.
fn start_feed(
    writer: &mut senda_store::Writer,
    config: &mut Config,
    lines: watch::Lines,
) -> Result<(Feed, JoinHandle<()>), StartError> {
    let (rules, targets) = (config.rules.split_off(0), config.targets.split_off(0));
    let changes = lines.changes.clone();
    let watch = match rules.is_empty() && watch::has_nothing_left(writer)? {
        true => None,
        false => Some(watch::Watch::start(writer, rules, targets, lines)?),
    };
    Feed::start(config.data.clone(), changes, watch).map_err(StartError::Runtime)
}

/// What the store knows of orders, before the first session: what was sent is unknown now, and what was set by hand counts.
fn restore(
    writer: &mut senda_store::Writer,
    config: &Config,
) -> Result<Arc<DesiredSet>, StartError> {
    let now = utc_us();
    writer.interrupt_commands(now).map_err(StartError::Orders)?;
    let by_hand = writer.settings(now).map_err(StartError::Orders)?;
    Ok(Arc::new(DesiredSet::new(config.desired.clone(), by_hand)))
}
