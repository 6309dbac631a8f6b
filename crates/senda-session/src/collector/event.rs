//! What goes out of the engine besides bytes, and what comes back.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use senda_wire::{DoneStatus, MessageType, Range, TimeReq};

/// Where a message came from and where its answer goes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Peer {
    /// A UDP address, and the local address that it asked: answers come from there. Spec §9.4a.
    Udp {
        /// The device's address.
        remote: SocketAddr,
        /// The address that the datagram was sent to, when the socket is bound to a wildcard.
        local: Option<IpAddr>,
    },
    /// A TCP connection, by the number that the caller gave it.
    Tcp(u64),
}

/// Bytes for a peer: a whole datagram, or the next bytes of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transmit {
    /// Where to.
    pub peer: Peer,
    /// What.
    pub bytes: Vec<u8>,
}

/// Names a request of the engine, so that the answer finds it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Token(pub u64);

/// What the caller should do, in order. Each token is answered once, whatever happens: until then the engine keeps what
/// belongs to it. Effects are data: the engine does none of this itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Read the stream's state, after all landings before, and answer by `handle_stream`.
    Open {
        /// For the answer.
        token: Token,
        /// The device's name.
        device: Arc<str>,
        /// Its stream.
        stream: u64,
        /// Text of the SOFTWARE option, empty without one.
        software: String,
    },
    /// Store this durably, in order with the others, and answer by `handle_durable`.
    Land {
        /// For the answer.
        token: Token,
        /// The device's name.
        device: Arc<str>,
        /// Its stream.
        stream: u64,
        /// Microseconds UTC when it arrived.
        received_us: i64,
        /// What to store.
        what: What,
    },
    /// Record durably that this command is about to be sent, and answer by `handle_recorded`. Spec §7.7d.
    Record {
        /// For the answer.
        token: Token,
        /// The device's name.
        device: Arc<str>,
        /// The command.
        command_id: u32,
    },
    /// The outcome of something sent down.
    Outcome {
        /// The device's name.
        device: Arc<str>,
        /// CONFIG, COMMAND or ALERT.
        kind: MessageType,
        /// Revision or id.
        id: u32,
        /// What became of it.
        outcome: Outcome,
    },
    /// Something that an operator may want to know.
    Notice {
        /// The device's name.
        device: Arc<str>,
        /// The stream that it is about.
        stream: u64,
        /// The peer that it is about.
        peer: Peer,
        /// What.
        notice: Notice,
    },
    /// A whole message arrived; only with [`Config::trace`](super::Config::trace).
    Received {
        /// Where it came from.
        peer: Peer,
        /// Header and trailer included.
        bytes: Vec<u8>,
    },
    /// Bytes were dropped. Their number is in the engine's counters too.
    Drop {
        /// Where they came from.
        peer: Peer,
        /// Why, in the words of the specification.
        reason: DropReason,
    },
    /// Write what is queued for this connection, then close it. Its sessions have ended already.
    Disconnect(u64),
}

/// What a landing holds. Bodies were validated completely. Rows below are row numbers of the stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// Rows of a ROWS or SPARSE message.
    Rows {
        /// First row.
        first: u32,
        /// Number of rows.
        count: u16,
        /// SPARSE rather than ROWS.
        sparse: bool,
        /// Schema id in the stream.
        schema: u16,
        /// The message's body, as it came.
        body: Vec<u8>,
        /// Rows refused for a BAD_VALUE, as indexes in the message, ascending.
        refused: Vec<u16>,
    },
    /// A message whose body can't be read: all of its rows are refused (BAD_BODY). Spec §5.26a.
    Unreadable {
        /// First row.
        first: u32,
        /// Number of rows.
        count: u16,
        /// Type code of the message.
        kind: u8,
        /// The message's body, as it came.
        body: Vec<u8>,
    },
    /// Rows that will never come.
    Skip {
        /// First row.
        first: u32,
        /// Number of rows.
        count: u32,
        /// Why: a code of the registry, or an unknown one.
        cause: u8,
    },
    /// The device's ledger.
    Counts {
        /// The row number that it takes.
        row: u32,
        /// Samples numbered below it.
        made: u64,
        /// Dropped by the device, by cause.
        causes: Vec<(u8, u64)>,
    },
    /// Rows without numbers (ROWS_U). The verdict is not waited for.
    Unacked {
        /// The message's counter.
        counter: u32,
        /// Number of rows.
        count: u16,
        /// Schema id in the stream.
        schema: u16,
        /// The message's body, as it came; rows with a BAD_VALUE are among them.
        body: Vec<u8>,
        /// Rows with a BAD_VALUE, as indexes, ascending.
        refused: Vec<u16>,
    },
    /// A schema description, checked.
    Declare {
        /// Schema id in the stream.
        id: u16,
        /// The description.
        description: Vec<u8>,
    },
    /// What the device's clock is worth.
    Clock(TimeReq),
}

/// What the store says of a stream when a session opens.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StreamState {
    /// What is resolved, durably.
    pub mark: Mark,
    /// The schemas of the stream: id and description.
    pub schemas: Vec<(u16, Vec<u8>)>,
    /// The desired configuration of the device: revision and settings.
    pub config: Option<Settings>,
}

/// A desired configuration. Spec §5.17.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// From 1.
    pub revision: u32,
    /// Body of the CONFIG message after the revision: a list (spec §4.4), count included.
    pub list: Vec<u8>,
}

/// What is resolved of a stream. Spec §7.2.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    /// Every row below it is resolved.
    pub next_row: u32,
    /// Ranges of resolved rows above it, ascending, apart from one another; at most 64.
    pub ranges: Vec<Range>,
}

impl Mark {
    /// Highest resolved row + 1.
    pub fn high_row(&self) -> u32 {
        self.ranges.last().map_or(self.next_row, |range| range.end)
    }
}

/// The store's answer to a landing, true once it is on disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// What became of it.
    pub fate: Fate,
    /// The stream's durable mark after the commit; not looked at after [`Fate::Failed`].
    pub mark: Mark,
    /// Rows of this landing that stand refused, now or from before, with the code. Spec §7.6c.
    pub refused: Vec<(Range, u16)>,
}

/// What became of a landing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// At least one row (or the schema) is new, and durable now.
    Stored,
    /// Everything in it was resolved before.
    Duplicate,
    /// It would need a 65th range: nothing of it landed. Spec §7.2a.
    NoRange,
    /// The schema id has another content in this stream. Spec §5.4a.
    Conflict,
    /// The store has no such schema in this stream: nothing of it landed. Spec §5.4b.
    NoSchema,
    /// The commit failed: nothing of it landed. Spec §7.1d.
    Failed,
}

/// What became of something sent down. Spec §7.7.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Its first byte left.
    Sent,
    /// DONE came.
    Done {
        /// How it went.
        status: DoneStatus,
        /// For people.
        text: String,
        /// A list (spec §4.4), count included.
        results: Vec<u8>,
    },
    /// Its time to live was over before it was sent.
    Expired,
    /// The session ended without DONE: a command may or may not have been executed. Others are sent again.
    Unknown,
    /// It did not leave: no session of the device takes this kind at the moment, or a newer CONFIG took its place.
    NoTaker,
    /// It did not leave: the store did not note that it was about to be sent.
    NotRecorded,
}

/// Something that an operator may want to know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Notice {
    /// A session began. What its HELLO said about orders settles those without a DONE.
    Welcomed {
        /// Its id.
        session: u32,
        /// Where it resumes.
        next_row: u32,
        /// Revision of the CONFIG in force; 0: none.
        config_rev: u32,
        /// The highest command id that the device has begun; 0: none. Spec §7.7e.
        last_command_id: u32,
        /// Bits of the downlink kinds that it takes. Spec §7.7c.
        downlink: u8,
    },
    /// A newer session serves the stream. Spec §6.4c.
    Replaced,
    /// A ninth session displaced this one. Spec §6.5a.
    Displaced,
    /// Another stream of the same device is live. Spec §6.5b.
    TwoStreams {
        /// The other one.
        other: u64,
    },
    /// WELCOME showed the device a row that it did not make: a snapshot of a running machine. Spec §6.7a.
    Snapshot {
        /// What the device would have given next.
        next_row: u32,
        /// What the collector has.
        high_row: u32,
    },
    /// The session's address moved. Spec §9.3a.
    Moved,
    /// The device said CLOSE, or its connection ended.
    Left,
    /// Nothing was heard for 2.5 keepalive periods. Spec §6.6a.
    TimedOut,
}

/// Why bytes were dropped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DropReason {
    /// They are no message. Spec §3.7, checks 1 to 5.
    Frame(senda_wire::FrameError),
    /// The body does not have the layout of its type. Spec §5.26.
    Body {
        /// Type code.
        kind: u8,
        /// What is wrong.
        error: senda_wire::BodyError,
    },
    /// No such session on this transport. Spec §6.6b.
    UnknownSession {
        /// The session in the header.
        session: u32,
    },
    /// A type that is unknown here, or not for this direction. Spec §5.25.
    Type {
        /// Type code.
        kind: u8,
    },
    /// A HELLO that can't be admitted, and the code it got.
    Hello {
        /// Error code.
        code: u16,
    },
    /// Rows that can't be taken now, and the code they got.
    Refused {
        /// Error code.
        code: u16,
    },
    /// From an address that is not the session's, without a newer row. Spec §9.3.
    Address,
    /// A fire-and-forget message that was seen before. Spec §7.8a.
    Duplicate,
}

impl DropReason {
    /// Section of the specification that says so.
    pub fn section(&self) -> &'static str {
        match self {
            Self::Frame(error) => error.section(),
            Self::Body { .. } => "5.26",
            Self::UnknownSession { .. } => "6.6",
            Self::Type { .. } => "5.25",
            Self::Hello { .. } => "5.1",
            Self::Refused { code } => senda_wire::ErrorCode(*code).section().unwrap_or("11"),
            Self::Address => "9.3",
            Self::Duplicate => "7.8",
        }
    }
}

impl core::fmt::Display for DropReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Body { kind, error } => write!(f, "type 0x{kind:02X}: {error}"),
            Self::UnknownSession { session } => write!(f, "no session 0x{session:08X} here"),
            Self::Type { kind } => {
                write!(f, "type 0x{kind:02X} is unknown, or not for a collector")
            }
            Self::Hello { code } => write!(f, "HELLO refused with {code}"),
            Self::Refused { code } => write!(f, "refused with {code}"),
            Self::Address => f.write_str("not from the session's address, and no newer row"),
            Self::Duplicate => f.write_str("fire-and-forget message seen before"),
        }
    }
}
