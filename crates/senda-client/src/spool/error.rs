//! What can go wrong with a spool, told apart by who must act.

use std::io;
use std::path::PathBuf;

/// Why a spool can't be opened or did not do as it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// A field of [`Options`](super::Options) is outside its range. The operator is at fault.
    #[error("the spool's `{field}` is outside its range")]
    Options {
        /// Its name.
        field: &'static str,
    },
    /// The directory can't be made or read. The operator must act.
    #[error("the spool's directory {} can't be used", path.display())]
    Directory {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has the spool. The operator must act.
    #[error("the spool in {} is in use by another process", path.display())]
    Locked {
        /// Its path.
        path: PathBuf,
    },
    /// The files can't be listed. The operator must act.
    #[error("the spool's files can't be listed")]
    List(#[source] io::Error),
    /// A file has the last number that there is, so none can follow it. The operator must act.
    #[error("the spool has no number left for a new file after {name}")]
    Exhausted {
        /// The file.
        name: String,
    },
    /// The arguments make no record. The local caller is at fault; nothing has changed.
    #[error("not for a spool: {what}")]
    Invalid {
        /// What is wrong.
        what: &'static str,
    },
    /// The disk did not take it: **nothing of this call is in the spool**, and it lives in the caller's memory alone. The same
    /// call may be made again at any time; the spool goes on in a new file when the disk works again. (After a restart a part
    /// may be found that reached the disk nevertheless.)
    #[error("the spool can't be written")]
    Write(#[source] io::Error),
    /// What was written is in the spool, but not safe from a power cut: the sync failed, and so did writing it again into a new
    /// file. The spool holds what is not safe in memory, and each later append or sync tries again.
    #[error("the spool can't be synced")]
    Sync(#[source] io::Error),
    /// A file can't be read now. Its rows of the stream are `first` to `last` at most; the caller may try again, or give them up
    /// by `skip` with cause LOST.
    #[error("the spool's file {name} can't be read")]
    Read {
        /// The file.
        name: String,
        /// Lowest number of a row of the stream in it.
        first: u32,
        /// Highest one.
        last: u32,
        /// Why.
        source: io::Error,
    },
}
