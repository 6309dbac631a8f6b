//! What was asked of the disk, and what it answered.

use std::{fmt, io};

/// One operation, for traces and for plans of faults.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Operation {
    /// How many steps came before it. A [`OperationKind::Read`] is no step of its own.
    pub step: u64,
    /// What it does.
    pub kind: OperationKind,
    /// The file; empty for the directory.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}

/// What an operation does. Each but [`OperationKind::Read`] is one step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OperationKind {
    /// Makes a file.
    Create,
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Sets the length: `offset` is the new one.
    Truncate,
    /// Syncs a file.
    Sync,
    /// Removes a file's name.
    Remove,
    /// Syncs the directory.
    SyncDirectory,
}

/// What a plan makes of an operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// It fails. A failed sync drops what it should have written: see the crate's documentation.
    Io,
    /// There is no space.
    NoSpace,
}

/// Why the disk did not do something.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DiskError {
    /// EIO: the device failed, or the power is off.
    #[error("the disk failed")]
    Io,
    /// ENOSPC.
    #[error("the disk is full")]
    NoSpace,
    /// ENOENT.
    #[error("there is no such file")]
    NotFound,
    /// The file was opened before the last crash or kill.
    #[error("the file was opened before a crash")]
    Stale,
}

impl From<Fault> for DiskError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io => Self::Io,
            Fault::NoSpace => Self::NoSpace,
        }
    }
}

impl From<DiskError> for io::Error {
    fn from(error: DiskError) -> Self {
        let kind = match error {
            DiskError::Io | DiskError::Stale => io::ErrorKind::Other,
            DiskError::NoSpace => io::ErrorKind::StorageFull,
            DiskError::NotFound => io::ErrorKind::NotFound,
        };
        Self::new(kind, error)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, kind, file, offset, len } = self;
        write!(f, "{step} {kind:?} {file} {offset}+{len}")
    }
}
