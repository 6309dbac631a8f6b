//! What goes into an uplink and comes out of it.

use std::time::Duration;

use senda_session::device::{self, Config, Timer, Transport};
use senda_wire::SkipCause;

use crate::path::{Measures, Why};
use crate::spool::SpoolError;

/// What the caller decides about an uplink.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The live session. With a spool its queue is what memory holds of the live stream, whatever [`Config::queue`]'s policy.
    pub device: Config,
    /// The collector has an address for UDP.
    pub udp: bool,
    /// The collector has an address for TCP.
    pub tcp: bool,
    /// When a transport counts as good or bad; means something with both.
    pub measures: Measures,
    /// How old streams drain.
    pub history: History,
    /// Which start of the machine this is, if its monotonic clock outlives the process and dates the rows; 0 otherwise.
    /// [`crate::spool::Moment::machine`]
    pub machine: u128,
}

impl Settings {
    /// The defaults for a device that reaches its collector over these transports.
    pub fn new(device: Config, udp: bool, tcp: bool) -> Self {
        let (measures, history) = (Measures::default(), History::default());
        Self { device, udp, tcp, measures, history, machine: 0 }
    }
}

/// How old streams drain beside the live one. Spec §6.5.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct History {
    /// Data messages in flight, from 1. One is what a live row may find before it on a narrow line.
    pub messages: u16,
    /// Bytes of a message at most, on TCP too; from 1,200. Shorter ones while live rows are noticed to wait.
    pub message_bytes: usize,
    /// Rows in memory at most, from 1.
    pub rows: u32,
    /// Bytes of rows in memory at most; at least a largest row.
    pub bytes: u32,
    /// Longest random wait after the live session's WELCOME, so that a fleet does not begin in one instant.
    pub jitter: Duration,
    /// While live rows wait for their turn history sends nothing but one message in this time.
    pub trickle: Duration,
    /// With [`crate::spool::Sync::Caller`]: how often the spool is synced.
    pub sync_every: Duration,
}

impl Default for History {
    fn default() -> Self {
        Self {
            messages: 1,
            message_bytes: 1_200,
            rows: 512,
            bytes: 64 << 10,
            jitter: Duration::from_secs(10),
            trickle: Duration::from_secs(1),
            sync_every: Duration::from_secs(1),
        }
    }
}

/// Names a row for as long as it exists. Spec §2.1.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RowId {
    /// Its stream.
    pub stream: u64,
    /// Its number.
    pub row: u32,
}

/// A socket, as the uplink and its driver call it. Never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkId(pub(super) u64);

/// What the driver has to do with sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkOrder {
    /// Make a socket to the collector, then say [`Uplink::handle_opened`](super::Uplink::handle_opened) or
    /// [`Uplink::handle_broken`](super::Uplink::handle_broken).
    Open {
        /// Its name from now on.
        id: LinkId,
        /// Of which kind.
        transport: Transport,
    },
    /// Close it, after the bytes that `poll_transmit` gave for it have left; or do not open it any more.
    Close {
        /// Which.
        id: LinkId,
    },
}

/// Who asked for a deadline.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Deadline {
    /// The live session.
    Live(Timer),
    /// The session of the old stream that drains.
    History(Timer),
    /// The collector sent a session away without saying when to come back.
    Parked,
    /// The choice between UDP and TCP.
    Path,
    /// History may begin, or go on.
    Begin,
    /// The spool is to be synced.
    Sync,
}

/// What happened, oldest first, from [`Uplink::poll_event`](super::Uplink::poll_event).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A session says something: of the live stream, or of the old one that drains.
    Session {
        /// The stream that it is about.
        stream: u64,
        /// It is the live one.
        is_live: bool,
        /// What. Never [`device::Event::NeedConnect`].
        event: device::Event,
    },
    /// The live stream outgrew the memory and was left to the spool; its rows drain later under the numbers that they have.
    Retired {
        /// The stream that was left.
        stream: u64,
        /// Every row below it is resolved.
        mark: u32,
        /// The stream that is live now.
        live: u64,
    },
    /// Everything of an old stream is durable or resolved.
    Drained {
        /// Which.
        stream: u64,
    },
    /// The streams go on over the other transport.
    Moved {
        /// Which.
        to: Transport,
        /// Why.
        why: Why,
    },
    /// The spool's bound took rows that it held; their stream tells the collector. The live stream's may still be in memory.
    Overflowed {
        /// Their stream.
        stream: u64,
        /// First row.
        first: u32,
        /// Rows.
        count: u32,
        /// What the collector will be told.
        cause: SkipCause,
    },
    /// More streams wait than the spool's bound allows: nothing is known of this one any more, and the collector won't be told.
    Forgotten {
        /// Which.
        stream: u64,
        /// Numbers that it had and that were not resolved, as far as was known.
        rows: u32,
    },
    /// The spool did not do as it was asked; rows that it did not take live in memory alone.
    Spool(SpoolError),
}
