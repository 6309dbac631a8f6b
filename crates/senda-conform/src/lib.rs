//! A judge of Senda/1: plays conversations with an implementation and says which of the labelled requirements of
//! `spec/senda-1.md` hold, which fail, and which were not exercised.
//!
//! # Goals
//! - Any implementation, in any language: a [`collector`] is judged by its addresses, a [`device`] by its command line.
//! - Every label of the specification is in every [`Report`], in order, with a verdict or the reason why there is none.
//! - A failure says what was expected, what came, and shows the bytes.
//!
//! # Not here
//! No state machine of `senda-session`: what it got wrong, a judge made of it would call right. Scenarios are scripts
//! that read the specification one label at a time; only the codec is shared, and it has the specification's test
//! vectors between it and a mistake. See `docs/decisions/0003-conformance-kit.md`.
//!
//! # What a verdict means
//! *Holds*: in the conversations that were played, everything that shows on the wire was as the sentence says. It is
//! no proof for other conversations. *Fails*: at least one message was not. *Not exercised*: nothing was shown.
//!
//! # Time
//! Waits are judged from below only, where the protocol names a least one; a slow machine never fails. What has to come
//! is waited for with [`Options::patience`].

pub mod collector; // the kit plays devices
pub mod device; // the kit plays a collector

mod binding; // whom each requirement binds
mod message; // messages as they came, and as they are made, right or wrong
mod notes; // verdicts as a scenario finds them
mod program; // the implementation, as a child
mod report; // verdicts, label by label
mod requirement; // the labelled sentences of the specification
mod runner; // scenarios, several at once

pub use program::Program;
pub use report::{Failure, Line, Report, Tally, Verdict};
pub use requirement::{Requirement, requirements};

use std::time::Duration;

/// Which side of the protocol is judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// It stores readings.
    Collector,
    /// It makes readings.
    Device,
}

impl Role {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Device => "device",
        }
    }

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Collector => Self::Device,
            Self::Device => Self::Collector,
        }
    }
}

/// A transport of the protocol.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Transport {
    /// Messages in a stream.
    Tcp,
    /// Messages in datagrams.
    Udp,
}

impl Transport {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// How to judge.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to wait for what has to come. Long: a wait that ends early fails an implementation that is slow and right.
    pub patience: Duration,
    /// Scenarios that are played at once.
    pub jobs: usize,
    /// Judge these labels only; empty: all.
    pub only: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { patience: Duration::from_secs(15), jobs: 8, only: Vec::new() }
    }
}

/// Why nothing could be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No label of the specification is called so.
    #[error("the specification has no requirement {label}; labels look like 7.1a")]
    UnknownLabel {
        /// What was asked for.
        label: String,
    },
    /// There is nothing to talk to.
    #[error("name at least one transport")]
    NoTransport,
    /// The implementation could not be started, or did not say anything.
    #[error("{program}: {reason}")]
    Program {
        /// Its command line.
        program: String,
        /// What went wrong.
        reason: String,
    },
    /// Nobody answers.
    #[error("no collector answers at {transport} {address} within {seconds} s")]
    NoAnswer {
        /// tcp or udp.
        transport: &'static str,
        /// Where it was looked for.
        address: std::net::SocketAddr,
        /// How long.
        seconds: u64,
    },
    /// A port, a directory or a thread that this machine did not give.
    #[error("{what}")]
    Machine {
        /// What was wanted.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}
