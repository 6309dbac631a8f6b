//! The device's spool: rows on disk until the collector has them.
//!
//! An append-only log in segments of bounded size, with a checksum over each record, on whatever implements [`Storage`]. Nothing
//! is ever rewritten: a segment is removed as a whole once everything in it is resolved, or, when the bound is reached, given up.
//! `docs/spool.md` describes every byte; `docs/decisions/0007-the-spool.md` says why it is so.
//!
//! ```text
//!   describe, append, skip --> [ 00000007.spool ] <-- read (streams of earlier boots, this one)
//!                              [ 00000006.spool ]
//!        oldest goes first <-- [ 00000005.spool ] <-- resolve: whole files go
//! ```
//!
//! # What it promises
//! - What [`Spool::append`] returned for survives SIGKILL; what was synced ([`Sync`]) survives a power cut.
//! - Rows come back as they went in, or not at all. A row that the spool once had and has no longer is never passed over in
//!   silence: it is [`Entry::Skipped`] or [`Entry::Missing`].
//! - Any bytes in its files are read without a panic, in bounded memory: a few numbers for each segment and stream, and one
//!   segment of what is not synced yet.
//! - After any error it is consistent and goes on when the disk works again.
//!
//! # Not here
//! Sending, clocks, threads, retries by time: the uplink decides when. Encryption: the directory is private (0700).
//!
//! # The whole loop
//! ```
//! use senda_client::spool::{Directory, Entry, Kind, Options, ReadLimits, Record, Spool};
//! use senda_client::Clock;
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("spool");
//! let stream = 0x9f3c_5b1e_7d20_4a68; // Drawn at boot.
//! let (mut spool, recovered) = Spool::open(Directory::open(&path)?, Options::new(64 << 20))?;
//! assert_eq!((recovered.boot, recovered.streams.len()), (1, 0));
//! spool.describe(stream, 0, b"the schema's description")?;
//! let row = Record { stream, row: 0, kind: Kind::Row, schema: 0, clock: Clock::None, time_us: 0, bytes: vec![61] };
//! let appended = spool.append(&[row.clone()])?; // On disk.
//! assert!(appended.dropped.is_empty());
//!
//! let limits = ReadLimits { entries: 100, bytes: 10_000 };
//! assert_eq!(spool.read(stream, 0, limits)?, [Entry::Row(row)]);
//! spool.resolve(stream, 1); // The collector has it.
//! assert!(spool.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod book; // what is known of streams beside their rows
mod bound; // what is removed, and when
mod directory; // the real files
mod error; // what can go wrong, by who must act
mod format; // the bytes
mod log; // the public face
mod read; // rows of all segments, merged
mod recover; // what is there when it is opened
mod segment; // what is kept in memory of a file
mod types; // what goes in and comes out
mod walk; // frame by frame, past damage
mod write; // appending and beginning segments

use std::io;

pub use directory::Directory;
pub use error::SpoolError;
pub use log::Spool;
pub use types::{
    Appended, ClockState, Damage, DamageKind, Entry, Kind, Moment, Options, RECORD_BYTES_MAX,
    ReadLimits, Record, Recovered, SPOOL_BYTES_MAX, SPOOL_BYTES_MIN, Skip, StreamState, Sync,
};

/// Files by name, in one flat place. [`Directory`] is the real one; tests and simulations have their own.
pub trait Storage {
    /// Names of all files.
    fn list(&mut self) -> io::Result<Vec<String>>;
    /// The whole of a file.
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>>;
    /// At most `len` bytes of a file from `offset` on; fewer only where it ends.
    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let whole = self.read(name)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
        let end = start.saturating_add(len).min(whole.len());
        Ok(whole[start..end].to_vec())
    }
    /// Appends to a file, which is made if there is none. After an error any part of `bytes` may be there.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything that was appended to the file, and its name, would survive a power cut. After an error nothing is
    /// known of what was appended since the last success.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Removes a file. A power cut may bring it back.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}
