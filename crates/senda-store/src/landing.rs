//! What comes to the store, and what became of it.

use std::sync::Arc;

use senda_wire::Range;

/// One message on its way to the disk.
#[derive(Clone, Debug)]
pub struct Landing {
    /// Name of the device.
    pub device: Arc<str>,
    /// Its stream.
    pub stream: u64,
    /// When the message arrived, in microseconds since 1970.
    pub received: i64,
    /// What it says.
    pub what: What,
}

/// What a message says. Bodies are as they came, and have been checked against their schema.
#[derive(Clone, Debug)]
pub enum What {
    /// ROWS or SPARSE. Spec §5.7, §5.8.
    Rows {
        /// Number of the first row.
        first: u32,
        /// Rows in the body.
        count: u16,
        /// True for SPARSE.
        sparse: bool,
        /// Schema id in the stream; it must have landed, or stand before this in the batch.
        schema: u16,
        /// The message's body.
        body: Vec<u8>,
        /// Rows that are not stored: index in the message and error code, ascending by index.
        refused: Vec<(u16, u16)>,
    },
    /// A data message of which no row can be taken: its rows are resolved and recorded. Spec §5.26.
    RefusedMessage {
        /// Number of the first row.
        first: u32,
        /// Rows that it says it has.
        count: u32,
        /// Error code of class 3xx.
        code: u16,
        /// Type code of the message.
        kind: u8,
        /// The message's body; the first 2,048 bytes of it are kept.
        body: Vec<u8>,
    },
    /// SKIP. Spec §5.12.
    Skip {
        /// First row that will never come.
        first: u32,
        /// How many.
        count: u32,
        /// Why.
        cause: u8,
    },
    /// COUNTS, which takes a row number. Spec §5.11.
    Counts {
        /// Its row number.
        row: u32,
        /// Samples that were given a number below.
        made: u64,
        /// Of those, dropped by the device, by cause.
        causes: Vec<(u8, u64)>,
    },
    /// ROWS_U: outside the marks and the ledger. Spec §5.10.
    Unacked {
        /// The message's counter in the stream.
        counter: u32,
        /// Rows in the body.
        count: u16,
        /// Schema id in the stream.
        schema: u16,
        /// The message's body.
        body: Vec<u8>,
    },
    /// A whole schema description. Spec §5.4.
    Declare {
        /// Schema id in the stream.
        id: u16,
        /// The description (4.2), already checked.
        description: Vec<u8>,
    },
    /// What a TIME_REQ or a CLOCK option said of the device's clock. Spec §5.21.
    Clock {
        /// UTC minus the device's clock, in microseconds.
        offset_us: i64,
        /// How far it may be off; `u32::MAX`: unknown.
        uncertainty_us: u32,
        /// Kind of clock, 1 to 3.
        kind: u8,
    },
    /// A session was opened.
    Seen {
        /// `udp` or `tcp`.
        transport: String,
        /// The SOFTWARE option of HELLO, or empty.
        software: String,
    },
    /// Something that people should be able to find later: two live streams, a displaced session, ...
    Event {
        /// One word, such as `displaced`.
        kind: String,
        /// For people.
        text: String,
    },
}

/// What became of a landing. The marks are the stream's after this commit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// Whether it is on disk.
    pub outcome: Outcome,
    /// Every row below it is durably resolved. Meaningless after [`Outcome::Failed`].
    pub next_row: u32,
    /// Resolved rows above it.
    pub ranges: Vec<Range>,
    /// Rows of this landing that stand refused, now or from before, each range with its code. Spec §7.6c.
    pub refused: Vec<(Range, u16)>,
}

/// Whether a landing is on disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// All of it is new, and on disk.
    Stored,
    /// Some of its rows are new; all are on disk.
    PartlyDuplicate,
    /// It was on disk before.
    Duplicate,
    /// Not landed: its rows would need a 65th range, or lie beyond the last row number. Spec §7.2a.
    Window,
    /// Not landed: its schema is not declared in this stream. Spec §5.4b.
    UnknownSchema,
    /// Not landed: the schema id has another content in this stream. Spec §5.4a.
    Conflict,
    /// Not landed: the store has [`schemas_max`](crate::Options::schemas_max) schemas, or this one has an id above 63.
    TooManySchemas,
    /// Not landed: the body does not have the count or schema that came with it, or a description breaks a rule.
    Invalid,
    /// Not landed: the disk is full or failing. Nothing of the batch counts.
    Failed(Arc<str>),
}

impl Outcome {
    /// True when all that the landing said is on disk.
    pub const fn is_durable(&self) -> bool {
        matches!(self, Self::Stored | Self::PartlyDuplicate | Self::Duplicate)
    }
}

/// Bytes that are kept of a message or row that was refused.
pub(crate) const RAW_MAX: usize = 2_048;
