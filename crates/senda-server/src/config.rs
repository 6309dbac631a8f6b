//! What a server is told, and why it may not start.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use senda_session::collector;

use crate::alerts::Rule;
use crate::alerts::outward::Target;
use crate::raw::{Raw, RawError};
use crate::{Desired, TraceSink};

/// What a server is told.
pub struct Config {
    /// `host:port` to listen on for TCP devices; `None`: not at all.
    pub tcp: Option<String>,
    /// `host:port` to listen on for UDP devices; `None`: not at all.
    pub udp: Option<String>,
    /// `host:port` to listen on for HTTP; `None`: not at all.
    pub http: Option<String>,
    /// Names that the HTTP API is reached by, beside addresses and localhost.
    pub http_hosts: Vec<String>,
    /// Directory of the store; made if it does not exist.
    pub data: PathBuf,
    /// Listen beyond loopback though sessions are not authenticated. Spec §10.2a.
    pub open_to_network: bool,
    /// TCP connections at once.
    pub connections_max: usize,
    /// Limits and timing of the protocol.
    pub engine: collector::Config,
    /// Limits of the store.
    pub store: senda_store::Options,
    /// Desired configurations; the first whose pattern matches a device counts.
    pub desired: Vec<Desired>,
    /// Alert rules.
    pub rules: Vec<Rule>,
    /// Whom rules may name in `notify`.
    pub targets: Vec<Target>,
    /// Listeners for devices that don't speak Senda/1.
    pub raw: Vec<Raw>,
    /// Gets every message and every drop, if there is one.
    pub trace: Option<Box<dyn TraceSink>>,
}

impl Config {
    /// TCP, UDP on the same port and HTTP beside it, on loopback, with the default limits.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            tcp: Some("127.0.0.1:7363".into()),
            udp: Some("127.0.0.1:7363".into()),
            http: Some("127.0.0.1:7364".into()),
            http_hosts: Vec::new(),
            data: data.into(),
            open_to_network: false,
            connections_max: 19_000,
            engine: collector::Config::default(),
            store: senda_store::Options::default(),
            desired: Vec::new(),
            rules: Vec::new(),
            targets: Vec::new(),
            raw: Vec::new(),
            trace: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        if self.tcp.is_none() && self.udp.is_none() && self.raw.is_empty() {
            return Err(StartError::NoTransport);
        }
        let raw_udp = self.raw.iter().filter_map(|raw| raw.udp.as_ref());
        let raw_tcp = self.raw.iter().filter_map(|raw| raw.tcp.as_ref().map(|(name, _)| name));
        let ours = [&self.tcp, &self.udp, &self.http].into_iter().flatten();
        for name in ours.chain(raw_udp).chain(raw_tcp) {
            let beyond = resolve(name)?.into_iter().find(|address| !address.ip().is_loopback());
            if let Some(address) = beyond.filter(|_| !self.open_to_network) {
                return Err(StartError::BeyondLoopback { address });
            }
        }
        for (number, raw) in self.raw.iter().enumerate() {
            raw.check().map_err(|source| StartError::Raw { name: raw.name.clone(), source })?;
            if self.raw.iter().take(number).any(|other| other.name == raw.name) {
                return Err(StartError::RawTwice { name: raw.name.clone() });
            }
        }
        Ok(())
    }
}

/// Why a server does not start. All of it is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Neither TCP nor UDP.
    #[error("a collector needs TCP or UDP to listen on")]
    NoTransport,
    /// An address without any protection that others could reach.
    #[error(
        "{address} is not a loopback address, and sessions are not authenticated: anybody who reaches it can send \
         readings. Listen on 127.0.0.1 or [::1], or say that this is meant (--open-to-network)"
    )]
    BeyondLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// A name that does not resolve.
    #[error(
        "{name:?} is no address to listen on: say HOST:PORT, such as 127.0.0.1:7363 or [::1]:7363"
    )]
    Resolve {
        /// As it was given.
        name: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// An address that can't be bound.
    #[error("can't listen on {transport} {name}")]
    Bind {
        /// TCP, UDP or HTTP.
        transport: &'static str,
        /// As it was given.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] senda_store::OpenError),
    /// The store opens, and then can't be read or written.
    #[error("the store's commands and settings can't be read")]
    Orders(#[source] senda_store::StoreError),
    /// Alert rules that make no sense.
    #[error(transparent)]
    Rule(#[from] crate::alerts::RuleError),
    /// Targets of alerts that make no sense, or can't be set up.
    #[error(transparent)]
    Target(#[from] crate::alerts::outward::TargetError),
    /// A raw listener that makes no sense.
    #[error("raw listener {name:?}")]
    Raw {
        /// Its name.
        name: String,
        /// What is wrong.
        source: RawError,
    },
    /// Two raw listeners with one name.
    #[error(
        "two raw listeners are called {name:?}: a name is also that of the table, so give one of them another"
    )]
    RawTwice {
        /// The name.
        name: String,
    },
    /// Threads, the runtime, the wake-up.
    #[error("the system refuses what a server needs")]
    Runtime(#[source] io::Error),
}

/// The addresses that `host:port` stands for; at least one.
pub(crate) fn resolve(name: &str) -> Result<Vec<SocketAddr>, StartError> {
    let failed = |source| StartError::Resolve { name: name.to_owned(), source };
    let addresses: Vec<_> = name.to_socket_addrs().map_err(failed)?.collect();
    if addresses.is_empty() {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    Ok(addresses)
}
