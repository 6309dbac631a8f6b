//! A broken promise, as a value.

use std::fmt;

use senda_session::Instant;

/// A promise that does not hold in a world.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// Which promise.
    pub promise: Promise,
    /// Where: a device, a stream, a row, an address.
    pub place: String,
    /// What was seen.
    pub what: String,
    /// When, in virtual time.
    pub at: Instant,
}

/// The promises that are watched.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Promise {
    /// What is acknowledged is durable. Spec §7.1a, §7.1b.
    AckedIsDurable,
    /// A row is stored once. Spec §2.1a.
    StoredOnce,
    /// Only what was made is stored, every bit of it. Spec §4.3a.
    StoredAsMade,
    /// The mark passes no row without a fate, and never goes back. Spec §5.13a, §7.2.
    OrderByRow,
    /// Every row has one fate, and it is the one that was told. Spec §7.9.
    Ledger,
    /// A command is executed at most once, and recorded before it leaves. Spec §7.7d, §7.7e.
    CommandOnce,
    /// Memory stays within its limits.
    Bounded,
    /// No more bytes to an unproven address than came from it. Spec §9.2a.
    Amplification,
    /// No rows beyond the window. Spec §8.1a.
    Window,
    /// Datagrams have at most 1,200 bytes. Spec §3.4a.
    Datagram,
    /// A store opens again after any crash.
    Recovers,
    /// Once everything works everything drains.
    Liveness,
}

impl Promise {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AckedIsDurable => "acknowledged is durable",
            Self::StoredOnce => "stored once",
            Self::StoredAsMade => "stored as made",
            Self::OrderByRow => "order by row",
            Self::Ledger => "the ledger adds up",
            Self::CommandOnce => "commands at most once",
            Self::Bounded => "bounded memory",
            Self::Amplification => "no amplification",
            Self::Window => "within the window",
            Self::Datagram => "datagrams fit",
            Self::Recovers => "the store recovers",
            Self::Liveness => "everything drains",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { promise, place, what, at } = self;
        let (seconds, micros) = (at.0 / 1_000_000, at.0 % 1_000_000);
        write!(f, "{}: {place}: {what} (at {seconds}.{micros:06} s)", promise.name())
    }
}
