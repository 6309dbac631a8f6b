//! What goes into a spool and comes out of it, and what its user decides.

use std::num::NonZeroU32;

use senda_wire::registry::{CHANNELS_MAX, ROW_BYTES_MAX};
use senda_wire::{Clock, SkipCause};

/// Smallest [`Options::bytes_max`].
pub const SPOOL_BYTES_MIN: u64 = 64 << 10;
/// Largest [`Options::bytes_max`].
pub const SPOOL_BYTES_MAX: u64 = 1 << 40;
/// Bytes of a record at most: a largest row in SPARSE form. Spec §4.2b, §5.8.
pub const RECORD_BYTES_MAX: usize = ROW_BYTES_MAX + CHANNELS_MAX / 8;

/// Segments that share the bound: one is the grain of what is dropped, the last one is a reserve.
const SEGMENTS: u64 = 16;
/// A larger segment gains nothing and is read in vain for longer.
const SEGMENT_BYTES_MAX: u64 = 4 << 20;

/// What a record holds. The codes are those of the message that carries it. Spec §5.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A row in ROWS form.
    Row,
    /// A row in SPARSE form: the presence bitmap, then the fields that are there.
    Sparse,
    /// The body of COUNTS; it has a row number and no schema.
    Counts,
}

/// One row with its number, or one COUNTS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// The stream in which it got its number.
    pub stream: u64,
    /// Its number, at most [`senda_wire::registry::ROW_MAX`].
    pub row: u32,
    /// What `bytes` are.
    pub kind: Kind,
    /// The stream's id of the schema, below 64; 0 with [`Kind::Counts`].
    pub schema: u8,
    /// The clock that `time_us` is by.
    pub clock: Clock,
    /// Microseconds by that clock; 0 with [`Clock::None`].
    pub time_us: i64,
    /// The row, at most [`RECORD_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

/// Rows of a stream that will never come, and why. Spec §5.12.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Skip {
    /// The stream.
    pub stream: u64,
    /// Number of the first row.
    pub first: u32,
    /// Rows, from 1.
    pub count: u32,
    /// Why.
    pub cause: SkipCause,
}

/// What [`Spool::read`](super::Spool::read) finds, in order of row numbers, without overlaps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// A row that is held.
    Row(Record),
    /// Rows that were given up; the collector must be told by SKIP.
    Skipped(Skip),
    /// Rows that the spool has not though it has later ones. In a stream of an earlier boot they are gone: SKIP with cause
    /// LOST. In the stream of this boot they are what could not be written, or was never handed over.
    Missing {
        /// Number of the first row.
        first: u32,
        /// Rows, from 1.
        count: u32,
    },
}

impl Entry {
    /// Its first row and the number after its last one.
    pub const fn rows(&self) -> (u32, u32) {
        match self {
            Self::Row(record) => (record.row, record.row + 1),
            Self::Skipped(Skip { first, count, .. }) | Self::Missing { first, count } => {
                (*first, *first + *count)
            }
        }
    }
}

/// How much [`Spool::read`](super::Spool::read) gives at once. It gives at least one entry, if there is one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReadLimits {
    /// Entries at most.
    pub entries: usize,
    /// Bytes of rows at most, of [`Record::bytes`] alone.
    pub bytes: usize,
}

/// What is known of a stream's clock: what TIME_REQ and the CLOCK option say. Spec §5.21.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockState {
    /// Its kind.
    pub clock: Clock,
    /// UTC minus the device's clock, microseconds.
    pub offset_us: i64,
    /// How wrong that may be, microseconds.
    pub uncertainty_us: u32,
    /// What the device's clock said when this was learnt, microseconds.
    pub at_us: i64,
}

/// A moment in the life of a boot: how far its uptime was and, where known, what time that was.
///
/// Of each stream the spool keeps the first moment, the last one, and the last one with a known UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// Which start of the process, counted by the spool: [`Recovered::boot`].
    pub boot: u32,
    /// Which start of the machine, by whatever tells it (Linux: `/proc/sys/kernel/random/boot_id`); 0 where unknown. Two
    /// boots with the same one share their uptime.
    pub machine: u128,
    /// The device's monotonic clock, the one that dates MONOTONIC rows, microseconds.
    pub uptime_us: i64,
    /// UTC at that moment and its uncertainty, microseconds, if it is known.
    pub utc_us: Option<(i64, u32)>,
}

/// When what was appended is synced, so that a power cut can't take it. A SIGKILL, a panic or an upgrade of the program takes
/// nothing that an append has returned for, with any of these: the operating system has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sync {
    /// Before each append returns. A power cut takes nothing that was appended.
    Append,
    /// Whenever so many rows wait for it. A power cut takes at most so many rows, the newest.
    Rows(NonZeroU32),
    /// Only by [`Spool::sync`](super::Spool::sync), and when a segment ends. A power cut takes what was appended since.
    Caller,
    /// Not even then, and nothing is kept to be written again. A power cut may take everything, and leave holes.
    Never,
}

/// What the user of a spool decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// Bytes on disk at most, [`SPOOL_BYTES_MIN`] to [`SPOOL_BYTES_MAX`]. Beyond it the oldest segment goes. Up to two
    /// segments more may lie beside it: copies of damaged ones.
    pub bytes_max: u64,
    /// When it syncs.
    pub sync: Sync,
}

impl Options {
    /// A spool of so many bytes that loses nothing at a power cut.
    pub const fn new(bytes_max: u64) -> Self {
        Self { bytes_max, sync: Sync::Append }
    }

    /// A segment ends at the append that reaches so many bytes.
    pub(super) fn segment_bytes(&self) -> u64 {
        (self.bytes_max / SEGMENTS).min(SEGMENT_BYTES_MAX)
    }

    /// Streams of which something is to be told, at most. Beyond it the oldest one's rows are dropped, then the stream.
    pub(super) fn streams_max(&self) -> usize {
        usize::try_from(self.segment_bytes() / 512).unwrap_or(usize::MAX)
    }

    /// Runs of skipped rows that are known by their cause, in all streams. Those beyond it end as LOST.
    pub(super) fn skips_max(&self) -> usize {
        usize::try_from(self.segment_bytes() / 128).unwrap_or(usize::MAX)
    }
}

/// What an append did beside appending.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use = "what was dropped has to be counted"]
pub struct Appended {
    /// Rows that the bound took, oldest first: they are recorded as skipped and the collector will be told.
    pub dropped: Vec<Skip>,
    /// Streams of which nothing is known any more, because more streams than the bound allows wait for the collector.
    pub forgotten: Vec<StreamState>,
}

/// What a spool knows of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StreamState {
    /// The stream.
    pub stream: u64,
    /// Every row below it is resolved, as far as the spool was told; it may be old.
    pub mark: u32,
    /// No row or skip below it is held; at least `mark`. HELLO.oldest_row.
    pub first: u32,
    /// The number after the last one that is known. HELLO.next_row.
    pub next_row: u32,
    /// Rows that are held; some may be resolved.
    pub rows: u64,
    /// Descriptions by id, ascending: those of the rows that are held, at least.
    pub schemas: Vec<(u8, Vec<u8>)>,
    /// Runs of rows that were given up, ascending. Missing ones are found by reading.
    pub skips: Vec<Skip>,
    /// Its clock.
    pub clock: Option<ClockState>,
    /// Moments of its boot, by uptime.
    pub moments: Vec<Moment>,
}

/// What [`Spool::open`](super::Spool::open) found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Recovered {
    /// Which start of the process this is, from 1. One that wrote nothing is not counted.
    pub boot: u32,
    /// Streams that still have something to tell, oldest first.
    pub streams: Vec<StreamState>,
    /// Files that held more or less than whole records. Empty after an orderly end, and after most others.
    pub damage: Vec<Damage>,
}

/// What was wrong with a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Damage {
    /// Its name.
    pub name: String,
    /// Bytes that belong to no whole record, and are ignored.
    pub ignored: u64,
    /// Records that have the right checksum and make no sense, and are ignored: of a later version.
    pub unknown: u64,
    /// What that means.
    pub what: DamageKind,
}

/// How far damage goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DamageKind {
    /// The file ends within a record: a crash, a power cut or a failed write. What was synced is before it.
    TornTail,
    /// There are good records after the bad bytes, or its beginning is bad: the medium lies, or somebody changed the file.
    /// What is whole is used, and the file is kept under the name that this gives; `None` if it could not be copied, or enough
    /// of them are kept already.
    Middle {
        /// Name of the copy.
        kept: Option<String>,
    },
    /// It can't be read. It stays as it is; what it held is missing.
    Unreadable {
        /// What the operating system says.
        error: String,
    },
}
