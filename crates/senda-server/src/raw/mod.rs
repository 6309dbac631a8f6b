//! Raw listeners: devices that will never speak Senda/1, in any format that a Python `struct` can describe.
//!
//! ```text
//!   UDP datagram --------------------+
//!   TCP bytes -> framing -> record --+-> Recipe: fields, device, time -> Intake: stream, row -> store
//!                                    <-- Reply <------------------------- stored, repeated, refused, busy
//! ```
//!
//! A record becomes a row like any other: queries, alerts and `tail` see no difference. What it can't have is what its
//! protocol hasn't: without a reply nobody is told that it was stored, and a record that is sent twice is two rows, unless it
//! carries a sequence number. `docs/raw.md` says what is promised. A reply leaves only after the commit.

mod config; // what a listener is told, and why it can't be
mod counts; // what became of the records
mod device; // whose record it is
mod framing; // records in a stream of bytes
mod intake; // rows into the store, verdicts out of it
mod misfit; // bytes that do not fit
mod recipe; // a record's fields, and the row that they make
mod reply; // what the device is told
mod tcp; // connections
mod udp; // datagrams

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::StartError;
use crate::settings::CurrentDesired;
use crate::store::Request;

pub use config::{Framing, Raw, RawError, RawField, RawReply, ReplyValue, Statuses, TimeSource};
pub use counts::RawCounts;
pub use misfit::{Misfit, hex_dump};
pub use recipe::{Recipe, Record};
pub use reply::{Facts, Reply, Status};

pub(crate) use intake::{RawLanding, RawVerdict};

use intake::Intake;

/// Listeners that run.
pub(crate) struct Listeners {
    running: Vec<Running>,
    stop: watch::Sender<bool>,
}

struct Running {
    intake: Arc<Intake>,
    addresses: RawAddresses,
    udp: Option<(udp::Stopper, JoinHandle<()>)>,
    tcp: Option<tokio::task::JoinHandle<()>>,
}

/// Where a raw listener listens; ports that were 0 are the ones the system chose.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RawAddresses {
    /// The listener's name.
    pub name: String,
    /// UDP, if it listens there.
    pub udp: Option<SocketAddr>,
    /// TCP, if it listens there.
    pub tcp: Option<SocketAddr>,
}

impl Listeners {
    /// Binds them all and begins.
    pub(crate) fn start(
        configs: Vec<Raw>,
        requests: &Sender<Request>,
        desired: &CurrentDesired,
        runtime: &tokio::runtime::Runtime,
    ) -> Result<Self, StartError> {
        let (stop, stopped) = watch::channel(false);
        let mut running = Vec::new();
        for config in configs {
            let (udp, tcp) = (config.udp.clone(), config.tcp.clone());
            let limits =
                tcp::Limits { connections: config.connections_max, bytes: config.bytes_max };
            let name = config.name.clone();
            let intake = Intake::new(config, requests.clone(), desired.clone())
                .map_err(|source| StartError::Raw { name: name.clone(), source })?;
            let intake = Arc::new(intake);
            let mut addresses = RawAddresses { name, udp: None, tcp: None };
            let udp = udp.map(|name| udp::start(&name, intake.clone())).transpose()?;
            let udp = udp.map(|(local, stopper, thread)| {
                addresses.udp = Some(local);
                (stopper, thread)
            });
            let mut accepting = None;
            if let Some((name, framing)) = tcp {
                let listener = runtime.block_on(crate::tcp::bind(&name))?;
                addresses.tcp = listener.local_addr().ok();
                let accept =
                    tcp::accept(listener, framing, limits, intake.clone(), stopped.clone());
                accepting = Some(runtime.spawn(accept));
            }
            running.push(Running { intake, addresses, udp, tcp: accepting });
        }
        Ok(Self { running, stop })
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = RawAddresses> {
        self.running.iter().map(|running| running.addresses.clone())
    }

    /// What each has done, for the API.
    pub(crate) fn views(&self) -> Vec<View> {
        let view = |running: &Running| View {
            addresses: running.addresses.clone(),
            intake: running.intake.clone(),
        };
        self.running.iter().map(view).collect()
    }

    /// Reads nothing more; what was read is stored and answered first, as long as the store takes it.
    pub(crate) fn stop(self, runtime: &tokio::runtime::Runtime) {
        let _ = self.stop.send_replace(true);
        let (mut threads, mut connections) = (Vec::new(), Vec::new());
        for running in self.running {
            if let Some((stopper, thread)) = running.udp {
                stopper.stop();
                threads.push(thread);
            }
            connections.extend(running.tcp);
        }
        // One time for all: who doesn't read its replies holds up nobody longer than the others.
        let ended = async {
            for accepting in connections {
                let _ = accepting.await;
            }
        };
        let _ = runtime.block_on(async { tokio::time::timeout(crate::LAST_WORDS, ended).await });
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// A listener, for those who only look.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) addresses: RawAddresses,
    intake: Arc<Intake>,
}

impl View {
    pub(crate) fn counts(&self) -> RawCounts {
        self.intake.counts()
    }

    pub(crate) fn format(&self) -> &str {
        self.intake.format()
    }

    pub(crate) fn has_reply(&self) -> bool {
        self.intake.reply_size().is_some()
    }
}
