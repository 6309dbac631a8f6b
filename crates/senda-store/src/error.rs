//! What can go wrong, split by who must act: [`OpenError`] by the operator, [`StoreError`] mostly by nobody.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why a store can't be opened. Each says what to do about it.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another collector writes to this directory.
    #[error("{} is in use by another collector: stop that one, or choose another directory with --data", dir.display())]
    Locked {
        /// The data directory.
        dir: PathBuf,
    },
    /// There is no store to read.
    #[error("there is no store in {}: start a collector with this directory first, or correct --data", dir.display())]
    Missing {
        /// The data directory.
        dir: PathBuf,
    },
    /// A newer Senda wrote this file.
    #[error(
        "{} has store version {found} and this program knows {known}: use a newer program (the file was not touched)",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program reads.
        known: i64,
    },
    /// A database of some other program.
    #[error("{} is a database of another program: move it away, or choose another directory with --data", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// The file is no database, or is broken.
    #[error(
        "{} is damaged ({what}): move it away and put a backup in its place, or save what can be read with \
         `sqlite3 senda.db .recover` (the file was not touched)",
        path.display()
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite or we found.
        what: String,
    },
    /// Another program reads an old state, so that the log can't be brought into the database.
    #[error("{} is held by a reader that does not end its transaction: end it (a `sqlite3` shell?) and start again", path.display())]
    Held {
        /// The database.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("can't open {}: check that the path exists, may be written, and has space left", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// SQLite refused, for another reason.
    #[error("can't open {}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What it said.
        #[source]
        source: rusqlite::Error,
    },
}

/// Why the store did not do something now.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A write failed before. The writer reopens the store by itself; until then nothing counts as durable.
    #[error("the store is recovering from a failed write: {cause}")]
    Recovering {
        /// The failure.
        cause: String,
    },
    /// SQLite reports an error.
    #[error("the store's database reports an error")]
    Sqlite(#[from] rusqlite::Error),
    /// A file operation failed.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The target of a backup is there already; it is not overwritten.
    #[error("{} is there already: choose another file, or remove it", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The device says that it has begun the highest command id there is.
    #[error(
        "{device} has seen the last command id, so that it would take no further command: reset the device's memory of it"
    )]
    NoMoreIds {
        /// The device.
        device: String,
    },
    /// The database holds something that the writer would not write.
    #[error("the store holds something that it should not: {what}")]
    Corrupt {
        /// What, and where.
        what: String,
    },
}

impl StoreError {
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }
}

/// SQLite's code, from whichever variant has it.
pub(crate) fn code_of(error: &rusqlite::Error) -> Option<ErrorCode> {
    match error {
        rusqlite::Error::SqlInputError { error, .. } => Some(error.code),
        other => other.sqlite_error_code(),
    }
}
