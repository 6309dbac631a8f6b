//! What can go wrong, told apart by who must act.

use senda_session::device::{ConfigError, DeclareError, DoneError, PushError};
use senda_wire::{ErrorCode, SkipCause};

use crate::spool::SpoolError;
use crate::uplink::UplinkError;
use crate::{EndpointError, SampleError, SchemaError};

/// Why a sample was not queued. The local caller is at fault, or has to wait.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The sample does not fit its schema.
    #[error("the sample does not fit its schema")]
    Sample(#[from] SampleError),
    /// The queue did not take the row.
    #[error("the row is not queued")]
    Push(#[from] PushError),
}

/// Why a row is not durable.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RowLost {
    /// The collector refused it for good, and has recorded that.
    #[error("the collector refused the row with code {}: {text}", code.0)]
    Refused {
        /// Why.
        code: ErrorCode,
        /// For people.
        text: String,
    },
    /// The queue gave it up; the collector is told.
    #[error("the row was dropped: {}", cause.name())]
    Dropped {
        /// Why.
        cause: SkipCause,
    },
    /// The client ended first. Whether the row is stored is not known; with a spool it goes up at the next start.
    #[error("the client ended before the row was acknowledged")]
    Ended,
}

/// Any failure of this crate, for programs that only pass it on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address can't be read.
    #[error("the collector's address can't be read")]
    Endpoint(#[from] EndpointError),
    /// The configuration is outside its range.
    #[error("the configuration can't be used")]
    Config(#[from] ConfigError),
    /// The schema breaks a rule.
    #[error("the schema can't be used")]
    Schema(#[from] SchemaError),
    /// The schema can't be declared.
    #[error("the schema can't be declared")]
    Declare(#[from] DeclareError),
    /// The sample was not queued.
    #[error("the sample was not sent")]
    Send(#[from] SendError),
    /// The row is not durable.
    #[error("the row is not durable")]
    Lost(#[from] RowLost),
    /// The answer was not taken.
    #[error("the answer was not taken")]
    Done(#[from] DoneError),
    /// No runtime, or no thread for it.
    #[error("the client can't be driven")]
    Runtime(#[source] std::io::Error),
    /// The spool can't be used.
    #[error("the spool can't be used")]
    Spool(#[from] SpoolError),
    /// The client ended with rows on its spool: they go up when it begins again with the same directory.
    #[error("{rows} rows are not acknowledged yet and stay on the spool")]
    Kept {
        /// How many.
        rows: u64,
    },
    /// It took longer than the caller allowed.
    #[error("not everything was acknowledged in time")]
    Timeout,
}

impl From<UplinkError> for Error {
    fn from(error: UplinkError) -> Self {
        match error {
            UplinkError::Config(error) => error.into(),
            UplinkError::Spool(error) => error.into(),
        }
    }
}
