//! Why a row or a schema is not taken: the local caller is at fault, or has to wait.

use core::fmt;

use senda_wire::{ErrorCode, SchemaError};

/// Why a row is not taken. The local caller is at fault, or has to wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PushError {
    /// The queue is full (policy: refuse), or can't ever hold a row this large.
    Full,
    /// No schema has this id.
    UnknownSchema,
    /// The collector refused the schema.
    SchemaRefused(ErrorCode),
    /// The bytes are no row of this schema. Spec §4.3.
    BadRow,
    /// The last number of the stream is given: the next stream begins once everything is acknowledged, unless it is an
    /// old one ([`Config::ends`](super::Config::ends)). Spec §2.3c.
    StreamFull,
    /// `close` was called.
    Closed,
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the queue is full"),
            Self::UnknownSchema => f.write_str("no schema has this id"),
            Self::SchemaRefused(code) => write!(f, "the collector refused the schema: {}", code.0),
            Self::BadRow => f.write_str("the bytes are no row of this schema"),
            Self::StreamFull => f.write_str("the stream has no numbers left until it is drained"),
            Self::Closed => f.write_str("the session was closed"),
        }
    }
}

impl core::error::Error for PushError {}

/// Why a schema is not taken. The local caller is at fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DeclareError {
    /// The description breaks a rule of section 4.2.
    Schema(SchemaError),
    /// The device has 64 schemas already.
    TooMany,
}

impl fmt::Display for DeclareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(_) => f.write_str("the description breaks a rule of section 4.2"),
            Self::TooMany => f.write_str("a stream has at most 64 schemas"),
        }
    }
}

impl core::error::Error for DeclareError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Schema(error) => Some(error),
            Self::TooMany => None,
        }
    }
}
