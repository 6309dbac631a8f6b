//! The protocol's registries: codes, names, limits and units.
//!
//! Generated from spec/registry.toml by `cargo xtask registry`; do not edit.

/// Message types. Spec §5.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum MessageType {
    /// Opens or resumes a session for one stream. Spec §5.1.
    Hello = 0x01,
    /// Say HELLO again, with this cookie. Spec §5.2.
    Retry = 0x02,
    /// The session exists; its terms and where to resume. Spec §5.3.
    Welcome = 0x03,
    /// Describes a schema, whole or in parts. Spec §5.4.
    Declare = 0x04,
    /// The schema is stored. Spec §5.5.
    Declared = 0x05,
    /// The session is over; never answered. Spec §5.6.
    Close = 0x0F,
    /// Samples, field after field. Spec §5.7.
    Rows = 0x10,
    /// Samples in which channels may be absent. Spec §5.8.
    Sparse = 0x11,
    /// Samples, compressed column by column. Spec §5.9.
    Columns = 0x12,
    /// ROWS without acknowledgement. Spec §5.10.
    RowsU = 0x18,
    /// COLUMNS without acknowledgement. Spec §5.10.
    ColumnsU = 0x1A,
    /// The device's own ledger; reliable, takes a row number. Spec §5.11.
    Counts = 0x1E,
    /// Rows that will never come, and why; reliable. Spec §5.12.
    Skip = 0x1F,
    /// What is durable; the window. Spec §5.13.
    Ack = 0x20,
    /// Rows or a message refused, and why. Spec §5.14.
    Nack = 0x21,
    /// What arrived of the unacknowledged kinds. Spec §5.15.
    Report = 0x22,
    /// The desired settings, with their revision. Spec §5.17.
    Config = 0x30,
    /// Do this, at most once. Spec §5.18.
    Command = 0x31,
    /// A rule was raised or cleared. Spec §5.19.
    Alert = 0x32,
    /// The outcome of a CONFIG, COMMAND or ALERT, with typed results. Spec §5.20.
    Done = 0x3F,
    /// Asks for the time; says what the device's clock is worth. Spec §5.21.
    TimeReq = 0x40,
    /// The four-timestamp answer. Spec §5.22.
    Time = 0x41,
    /// Are you there, at this address. Spec §5.23.
    Ping = 0x42,
    /// Yes; echoes the token. Spec §5.23.
    Pong = 0x43,
    /// Whole messages, encrypted (UDP). Spec §5.24.
    Sealed = 0x50,
}

impl MessageType {
    /// Every entry, in the order of the registry.
    pub const ALL: &[Self] = &[
        Self::Hello,
        Self::Retry,
        Self::Welcome,
        Self::Declare,
        Self::Declared,
        Self::Close,
        Self::Rows,
        Self::Sparse,
        Self::Columns,
        Self::RowsU,
        Self::ColumnsU,
        Self::Counts,
        Self::Skip,
        Self::Ack,
        Self::Nack,
        Self::Report,
        Self::Config,
        Self::Command,
        Self::Alert,
        Self::Done,
        Self::TimeReq,
        Self::Time,
        Self::Ping,
        Self::Pong,
        Self::Sealed,
    ];

    /// The entry with this code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0x01 => Some(Self::Hello),
            0x02 => Some(Self::Retry),
            0x03 => Some(Self::Welcome),
            0x04 => Some(Self::Declare),
            0x05 => Some(Self::Declared),
            0x0F => Some(Self::Close),
            0x10 => Some(Self::Rows),
            0x11 => Some(Self::Sparse),
            0x12 => Some(Self::Columns),
            0x18 => Some(Self::RowsU),
            0x1A => Some(Self::ColumnsU),
            0x1E => Some(Self::Counts),
            0x1F => Some(Self::Skip),
            0x20 => Some(Self::Ack),
            0x21 => Some(Self::Nack),
            0x22 => Some(Self::Report),
            0x30 => Some(Self::Config),
            0x31 => Some(Self::Command),
            0x32 => Some(Self::Alert),
            0x3F => Some(Self::Done),
            0x40 => Some(Self::TimeReq),
            0x41 => Some(Self::Time),
            0x42 => Some(Self::Ping),
            0x43 => Some(Self::Pong),
            0x50 => Some(Self::Sealed),
            _ => None,
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "HELLO",
            Self::Retry => "RETRY",
            Self::Welcome => "WELCOME",
            Self::Declare => "DECLARE",
            Self::Declared => "DECLARED",
            Self::Close => "CLOSE",
            Self::Rows => "ROWS",
            Self::Sparse => "SPARSE",
            Self::Columns => "COLUMNS",
            Self::RowsU => "ROWS_U",
            Self::ColumnsU => "COLUMNS_U",
            Self::Counts => "COUNTS",
            Self::Skip => "SKIP",
            Self::Ack => "ACK",
            Self::Nack => "NACK",
            Self::Report => "REPORT",
            Self::Config => "CONFIG",
            Self::Command => "COMMAND",
            Self::Alert => "ALERT",
            Self::Done => "DONE",
            Self::TimeReq => "TIME_REQ",
            Self::Time => "TIME",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Sealed => "SEALED",
        }
    }
}

impl MessageType {
    /// The section of the specification that defines this message.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Hello => "5.1",
            Self::Retry => "5.2",
            Self::Welcome => "5.3",
            Self::Declare => "5.4",
            Self::Declared => "5.5",
            Self::Close => "5.6",
            Self::Rows => "5.7",
            Self::Sparse => "5.8",
            Self::Columns => "5.9",
            Self::RowsU => "5.10",
            Self::ColumnsU => "5.10",
            Self::Counts => "5.11",
            Self::Skip => "5.12",
            Self::Ack => "5.13",
            Self::Nack => "5.14",
            Self::Report => "5.15",
            Self::Config => "5.17",
            Self::Command => "5.18",
            Self::Alert => "5.19",
            Self::Done => "5.20",
            Self::TimeReq => "5.21",
            Self::Time => "5.22",
            Self::Ping => "5.23",
            Self::Pong => "5.23",
            Self::Sealed => "5.24",
        }
    }

    /// Who sends this message.
    pub const fn direction(self) -> Direction {
        match self {
            Self::Hello => Direction::ToCollector,
            Self::Retry => Direction::ToDevice,
            Self::Welcome => Direction::ToDevice,
            Self::Declare => Direction::ToCollector,
            Self::Declared => Direction::ToDevice,
            Self::Close => Direction::Both,
            Self::Rows => Direction::ToCollector,
            Self::Sparse => Direction::ToCollector,
            Self::Columns => Direction::ToCollector,
            Self::RowsU => Direction::ToCollector,
            Self::ColumnsU => Direction::ToCollector,
            Self::Counts => Direction::ToCollector,
            Self::Skip => Direction::ToCollector,
            Self::Ack => Direction::ToDevice,
            Self::Nack => Direction::ToDevice,
            Self::Report => Direction::ToDevice,
            Self::Config => Direction::ToDevice,
            Self::Command => Direction::ToDevice,
            Self::Alert => Direction::ToDevice,
            Self::Done => Direction::ToCollector,
            Self::TimeReq => Direction::ToCollector,
            Self::Time => Direction::ToDevice,
            Self::Ping => Direction::Both,
            Self::Pong => Direction::Both,
            Self::Sealed => Direction::Both,
        }
    }

    /// Whether a client of the simple profile sends or reads this message.
    pub const fn is_simple(self) -> bool {
        matches!(
            self,
            Self::Hello
                | Self::Retry
                | Self::Welcome
                | Self::Declare
                | Self::Declared
                | Self::Close
                | Self::Rows
                | Self::Skip
                | Self::Ack
                | Self::Nack
                | Self::Ping
                | Self::Pong
        )
    }
}

/// Which way a message travels.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Direction {
    /// Device to collector.
    ToCollector,
    /// Collector to device.
    ToDevice,
    /// Either way.
    Both,
}

/// Flags in the low nibble of the header's first byte. Spec §3.2.
pub mod flag {
    /// A CRC-32 trailer of 4 bytes follows the body. Spec §3.3.
    pub const CRC: u8 = 0x1;
    /// An authentication tag of 16 bytes follows the body. Spec §3.3.
    pub const TAG: u8 = 0x2;
    /// Device to collector: acknowledge as soon as this is durable. Spec §7.3.
    pub const ACK_NOW: u8 = 0x4;
    /// Collector to device: more is waiting for you, stay awake. Spec §7.7.
    pub const MORE: u8 = 0x8;

    /// Every bit that has a meaning.
    pub const ALL: u8 = CRC | TAG | ACK_NOW | MORE;

    /// Each bit and its name.
    pub const NAMES: &[(u8, &str)] =
        &[(CRC, "CRC"), (TAG, "TAG"), (ACK_NOW, "ACK_NOW"), (MORE, "MORE")];
}

/// Types of a channel's values. Spec §4.3.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ValueType {
    /// 0 or 1, nothing else.
    Bool = 0x01,
    /// Unsigned, 8 bits.
    U8 = 0x02,
    /// Unsigned, 16 bits.
    U16 = 0x03,
    /// Unsigned, 32 bits.
    U32 = 0x04,
    /// Unsigned, 64 bits.
    U64 = 0x05,
    /// Signed, 8 bits, two's complement.
    I8 = 0x06,
    /// Signed, 16 bits, two's complement.
    I16 = 0x07,
    /// Signed, 32 bits, two's complement.
    I32 = 0x08,
    /// Signed, 64 bits, two's complement.
    I64 = 0x09,
    /// IEEE 754 binary32; every bit pattern is kept, NaN payloads too.
    F32 = 0x0A,
    /// IEEE 754 binary64; every bit pattern is kept, NaN payloads too.
    F64 = 0x0B,
    /// u8 length in bytes, then UTF-8.
    Text = 0x0C,
    /// u16 length in bytes, then any bytes.
    Blob = 0x0D,
    /// Index into the labels that the schema declares.
    Enum8 = 0x0E,
    /// i64, microseconds since 1970-01-01T00:00:00Z, without leap seconds.
    Time = 0x0F,
}

impl ValueType {
    /// Every entry, in the order of the registry.
    pub const ALL: &[Self] = &[
        Self::Bool,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::F32,
        Self::F64,
        Self::Text,
        Self::Blob,
        Self::Enum8,
        Self::Time,
    ];

    /// The entry with this code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0x01 => Some(Self::Bool),
            0x02 => Some(Self::U8),
            0x03 => Some(Self::U16),
            0x04 => Some(Self::U32),
            0x05 => Some(Self::U64),
            0x06 => Some(Self::I8),
            0x07 => Some(Self::I16),
            0x08 => Some(Self::I32),
            0x09 => Some(Self::I64),
            0x0A => Some(Self::F32),
            0x0B => Some(Self::F64),
            0x0C => Some(Self::Text),
            0x0D => Some(Self::Blob),
            0x0E => Some(Self::Enum8),
            0x0F => Some(Self::Time),
            _ => None,
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Text => "text",
            Self::Blob => "blob",
            Self::Enum8 => "enum8",
            Self::Time => "time",
        }
    }
}

impl ValueType {
    /// Bytes that a value takes in ROWS; `None` if that varies.
    pub const fn size(self) -> Option<usize> {
        match self {
            Self::Bool => Some(1),
            Self::U8 => Some(1),
            Self::U16 => Some(2),
            Self::U32 => Some(4),
            Self::U64 => Some(8),
            Self::I8 => Some(1),
            Self::I16 => Some(2),
            Self::I32 => Some(4),
            Self::I64 => Some(8),
            Self::F32 => Some(4),
            Self::F64 => Some(8),
            Self::Text => None,
            Self::Blob => None,
            Self::Enum8 => Some(1),
            Self::Time => Some(8),
        }
    }
}

/// The code of a NACK or CLOSE; any number is one. Spec §11.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ErrorCode(pub u16);

impl ErrorCode {
    /// The collector can't take more at the moment. Spec §7.6.
    pub const BUSY: Self = Self(101);
    /// Rows beyond the window, or needing a 65th range; not landed. Spec §8.1.
    pub const WINDOW: Self = Self(102);
    /// The disk is full or failing; nothing of this message is stored. Spec §7.6.
    pub const STORAGE: Self = Self(103);
    /// No schema with this id in this stream: DECLARE it, then send the rows again. Spec §5.4.
    pub const UNKNOWN_SCHEMA: Self = Self(201);
    /// This id already has another content in this stream: take a new id or a new stream. Spec §5.4.
    pub const SCHEMA_CONFLICT: Self = Self(202);
    /// A limit of WELCOME is exceeded: split the message, or shrink the schema. Spec §12.1.
    pub const TOO_BIG: Self = Self(203);
    /// This collector does not read this data message: send the rows in another encoding. Spec §5.25.
    pub const UNSUPPORTED_ENCODING: Self = Self(204);
    /// The description breaks a rule of section 4: mend it. Spec §4.2.
    pub const BAD_SCHEMA: Self = Self(205);
    /// A value its channel can't have; the row is resolved and recorded, not stored. Spec §4.3.
    pub const BAD_VALUE: Self = Self(301);
    /// A critical message type or option that the receiver does not know. Spec §5.25.
    pub const UNSUPPORTED: Self = Self(302);
    /// The body does not have the layout of its type and schema; the rows that the NACK names are resolved and recorded. Spec §5.7.
    pub const BAD_BODY: Self = Self(303);
    /// No such session here: say HELLO. Spec §6.6.
    pub const UNKNOWN_SESSION: Self = Self(401);
    /// A newer session serves this stream. Spec §6.4.
    pub const REPLACED: Self = Self(402);
    /// The device opened more sessions than it may have. Spec §6.5.
    pub const TOO_MANY_SESSIONS: Self = Self(403);
    /// This major version is not spoken; the text lists those that are. Spec §3.5.
    pub const VERSION: Self = Self(404);
    /// Not authenticated, or the suite is below the device's minimum. Spec §10.
    pub const AUTH: Self = Self(405);
    /// The byte stream is not a sequence of messages. Spec §3.6.
    pub const FRAMING: Self = Self(406);
    /// An orderly end: the peer is leaving. Spec §6.6.
    pub const GOING: Self = Self(407);
    /// Nothing was heard for 2.5 keepalive periods. Spec §6.6.
    pub const TIMEOUT: Self = Self(408);
    /// A field of HELLO breaks a rule of section 5.1. Spec §5.1.
    pub const BAD_HELLO: Self = Self(409);

    /// Every registered code, ascending.
    pub const ALL: &[Self] = &[
        Self::BUSY,
        Self::WINDOW,
        Self::STORAGE,
        Self::UNKNOWN_SCHEMA,
        Self::SCHEMA_CONFLICT,
        Self::TOO_BIG,
        Self::UNSUPPORTED_ENCODING,
        Self::BAD_SCHEMA,
        Self::BAD_VALUE,
        Self::UNSUPPORTED,
        Self::BAD_BODY,
        Self::UNKNOWN_SESSION,
        Self::REPLACED,
        Self::TOO_MANY_SESSIONS,
        Self::VERSION,
        Self::AUTH,
        Self::FRAMING,
        Self::GOING,
        Self::TIMEOUT,
        Self::BAD_HELLO,
    ];

    /// The registered name, in capitals.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::BUSY => Some("BUSY"),
            Self::WINDOW => Some("WINDOW"),
            Self::STORAGE => Some("STORAGE"),
            Self::UNKNOWN_SCHEMA => Some("UNKNOWN_SCHEMA"),
            Self::SCHEMA_CONFLICT => Some("SCHEMA_CONFLICT"),
            Self::TOO_BIG => Some("TOO_BIG"),
            Self::UNSUPPORTED_ENCODING => Some("UNSUPPORTED_ENCODING"),
            Self::BAD_SCHEMA => Some("BAD_SCHEMA"),
            Self::BAD_VALUE => Some("BAD_VALUE"),
            Self::UNSUPPORTED => Some("UNSUPPORTED"),
            Self::BAD_BODY => Some("BAD_BODY"),
            Self::UNKNOWN_SESSION => Some("UNKNOWN_SESSION"),
            Self::REPLACED => Some("REPLACED"),
            Self::TOO_MANY_SESSIONS => Some("TOO_MANY_SESSIONS"),
            Self::VERSION => Some("VERSION"),
            Self::AUTH => Some("AUTH"),
            Self::FRAMING => Some("FRAMING"),
            Self::GOING => Some("GOING"),
            Self::TIMEOUT => Some("TIMEOUT"),
            Self::BAD_HELLO => Some("BAD_HELLO"),
            _ => None,
        }
    }

    /// The section of the specification that says when it is sent.
    pub const fn section(self) -> Option<&'static str> {
        match self {
            Self::BUSY => Some("7.6"),
            Self::WINDOW => Some("8.1"),
            Self::STORAGE => Some("7.6"),
            Self::UNKNOWN_SCHEMA => Some("5.4"),
            Self::SCHEMA_CONFLICT => Some("5.4"),
            Self::TOO_BIG => Some("12.1"),
            Self::UNSUPPORTED_ENCODING => Some("5.25"),
            Self::BAD_SCHEMA => Some("4.2"),
            Self::BAD_VALUE => Some("4.3"),
            Self::UNSUPPORTED => Some("5.25"),
            Self::BAD_BODY => Some("5.7"),
            Self::UNKNOWN_SESSION => Some("6.6"),
            Self::REPLACED => Some("6.4"),
            Self::TOO_MANY_SESSIONS => Some("6.5"),
            Self::VERSION => Some("3.5"),
            Self::AUTH => Some("10"),
            Self::FRAMING => Some("3.6"),
            Self::GOING => Some("6.6"),
            Self::TIMEOUT => Some("6.6"),
            Self::BAD_HELLO => Some("5.1"),
            _ => None,
        }
    }

    /// What to do about it; unregistered codes have a class too.
    pub const fn class(self) -> ErrorClass {
        match self.0 {
            100..=199 => ErrorClass::RetryLater,
            200..=299 => ErrorClass::FixAndResend,
            300..=399 => ErrorClass::Resolved,
            400..=499 => ErrorClass::SessionOver,
            900..=999 => ErrorClass::Private,
            _ => ErrorClass::Unknown,
        }
    }
}

/// What the receiver of an error does, known code or not. Spec §11.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ErrorClass {
    /// 1xx: send the same again, later.
    RetryLater,
    /// 2xx: send something else in its place.
    FixAndResend,
    /// 3xx: the rows are resolved; never send them again.
    Resolved,
    /// 4xx: the session has ended.
    SessionOver,
    /// 9xx: by private agreement.
    Private,
    /// Any other number.
    Unknown,
}

/// Why rows will never come: the cause in a SKIP. Spec §5.12.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SkipCause {
    /// The device's queue or spool was full and dropped its oldest rows.
    Overflow = 0x01,
    /// The rows existed and are gone: lost memory, a damaged spool, a collector restored from an old backup.
    Lost = 0x02,
    /// The collector answered 2xx and the device can't mend it.
    Rejected = 0x03,
    /// The application said that rows older than some age are worthless.
    Expired = 0x04,
}

impl SkipCause {
    /// Every entry, in the order of the registry.
    pub const ALL: &[Self] = &[Self::Overflow, Self::Lost, Self::Rejected, Self::Expired];

    /// The entry with this code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0x01 => Some(Self::Overflow),
            0x02 => Some(Self::Lost),
            0x03 => Some(Self::Rejected),
            0x04 => Some(Self::Expired),
            _ => None,
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overflow => "OVERFLOW",
            Self::Lost => "LOST",
            Self::Rejected => "REJECTED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// Options of HELLO and WELCOME; an unknown one from 0x80 on is refused. Spec §5.1.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum OptionCode {
    /// Any bytes, ignored.
    Pad = 0x00,
    /// What the device's clock is worth: the body of TIME_REQ (section 5.21).
    Clock = 0x01,
    /// UTF-8, at most 63 bytes: name and version of the device's software.
    Software = 0x02,
    /// A Noise handshake message (section 10.4); always the last option.
    Noise = 0x81,
}

impl OptionCode {
    /// Every entry, in the order of the registry.
    pub const ALL: &[Self] = &[Self::Pad, Self::Clock, Self::Software, Self::Noise];

    /// The entry with this code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0x00 => Some(Self::Pad),
            0x01 => Some(Self::Clock),
            0x02 => Some(Self::Software),
            0x81 => Some(Self::Noise),
            _ => None,
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pad => "PAD",
            Self::Clock => "CLOCK",
            Self::Software => "SOFTWARE",
            Self::Noise => "NOISE",
        }
    }
}

/// Outcomes in a DONE. Spec §5.20.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum DoneStatus {
    /// Applied, executed or shown.
    Ok = 0x00,
    /// Applied with other values; the results say which.
    Clamped = 0x01,
    /// Understood and not done.
    Refused = 0x02,
    /// Tried and failed.
    Failed = 0x03,
    /// The device does not know this setting, command or kind.
    Unknown = 0x04,
    /// Its time to live was over when it arrived.
    Expired = 0x05,
}

impl DoneStatus {
    /// Every entry, in the order of the registry.
    pub const ALL: &[Self] =
        &[Self::Ok, Self::Clamped, Self::Refused, Self::Failed, Self::Unknown, Self::Expired];

    /// The entry with this code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0x00 => Some(Self::Ok),
            0x01 => Some(Self::Clamped),
            0x02 => Some(Self::Refused),
            0x03 => Some(Self::Failed),
            0x04 => Some(Self::Unknown),
            0x05 => Some(Self::Expired),
            _ => None,
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Clamped => "CLAMPED",
            Self::Refused => "REFUSED",
            Self::Failed => "FAILED",
            Self::Unknown => "UNKNOWN",
            Self::Expired => "EXPIRED",
        }
    }
}

/// What an ACK of this collector means. Spec §5.3.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Durability {
    /// In the collector's memory; a crash loses it.
    Memory = 0x00,
    /// On the collector's disk: a sync that covers it has returned.
    Fsync = 0x01,
    /// On the disks of several machines.
    Replicated = 0x02,
}

impl Durability {
    /// Every entry, in the order of the registry.
    pub const ALL: &[Self] = &[Self::Memory, Self::Fsync, Self::Replicated];

    /// The entry with this code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0x00 => Some(Self::Memory),
            0x01 => Some(Self::Fsync),
            0x02 => Some(Self::Replicated),
            _ => None,
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "MEMORY",
            Self::Fsync => "FSYNC",
            Self::Replicated => "REPLICATED",
        }
    }
}

/// What a device's clock is worth: the kind in data messages. Spec §5.7.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Clock {
    /// The device has no clock: t0 is 0, the collector dates the rows.
    None = 0x00,
    /// Microseconds since the device booted.
    Monotonic = 0x01,
    /// Unix microseconds by a clock that nobody has set lately.
    UtcUnsynced = 0x02,
    /// Unix microseconds by a clock that is kept right.
    UtcSynced = 0x03,
}

impl Clock {
    /// Every entry, in the order of the registry.
    pub const ALL: &[Self] = &[Self::None, Self::Monotonic, Self::UtcUnsynced, Self::UtcSynced];

    /// The entry with this code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0x00 => Some(Self::None),
            0x01 => Some(Self::Monotonic),
            0x02 => Some(Self::UtcUnsynced),
            0x03 => Some(Self::UtcSynced),
            _ => None,
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Monotonic => "MONOTONIC",
            Self::UtcUnsynced => "UTC_UNSYNCED",
            Self::UtcSynced => "UTC_SYNCED",
        }
    }
}

/// How a session is protected. Spec §10.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Suite {
    /// CRC-32 only: no protection against people.
    Open = 0x00,
    /// HMAC-SHA256 tags under keys of the session; hides nothing.
    Signed = 0x01,
    /// Encrypted: TLS 1.3 on TCP, Noise on UDP.
    Sealed = 0x02,
}

impl Suite {
    /// Every entry, in the order of the registry.
    pub const ALL: &[Self] = &[Self::Open, Self::Signed, Self::Sealed];

    /// The entry with this code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0x00 => Some(Self::Open),
            0x01 => Some(Self::Signed),
            0x02 => Some(Self::Sealed),
            _ => None,
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Signed => "SIGNED",
            Self::Sealed => "SEALED",
        }
    }
}

/// Which control messages a device takes.
pub mod downlink {
    /// The device takes CONFIG.
    pub const CONFIG: u8 = 0x1;
    /// The device takes COMMAND.
    pub const COMMAND: u8 = 0x2;
    /// The device takes ALERT.
    pub const ALERT: u8 = 0x4;

    /// Every bit that has a meaning.
    pub const ALL: u8 = CONFIG | COMMAND | ALERT;

    /// Each bit and its name.
    pub const NAMES: &[(u8, &str)] = &[(CONFIG, "CONFIG"), (COMMAND, "COMMAND"), (ALERT, "ALERT")];
}

/// Which data messages a side reads or writes.
pub mod encoding {
    /// ROWS and ROWS_U; always set.
    pub const ROWS: u16 = 0x1;
    /// SPARSE.
    pub const SPARSE: u16 = 0x2;
    /// COLUMNS and COLUMNS_U.
    pub const COLUMNS: u16 = 0x4;

    /// Every bit that has a meaning.
    pub const ALL: u16 = ROWS | SPARSE | COLUMNS;

    /// Each bit and its name.
    pub const NAMES: &[(u16, &str)] = &[(ROWS, "ROWS"), (SPARSE, "SPARSE"), (COLUMNS, "COLUMNS")];
}

/// Header of every message. In bytes. Spec §3.2.
pub const HEADER_LEN: usize = 12;

/// CRC-32 trailer. In bytes. Spec §3.3.
pub const CRC_LEN: usize = 4;

/// Authentication tag trailer. In bytes. Spec §3.3.
pub const TAG_LEN: usize = 16;

/// A message on TCP, trailer included; a collector offers 16,384 unless told otherwise. In bytes. Spec §3.2.
pub const MESSAGE_MAX: usize = 65_535;

/// WELCOME.max_msg on TCP unless told otherwise. In bytes. Spec §5.3.
pub const TCP_MESSAGE_DEFAULT: usize = 16_384;

/// UDP payload, all messages in it together. In bytes. Spec §3.4.
pub const DATAGRAM_MAX: usize = 1_200;

/// The least that HELLO.max_msg may offer; WELCOME.max_msg is at least 1,200. In bytes. Spec §5.1.
pub const MAX_MSG_MIN: usize = 256;

/// Device, schema and channel names, enum labels. In bytes. Spec §4.1.
pub const NAME_MAX: usize = 63;

/// Unit of a channel. In bytes. Spec §4.2.
pub const UNIT_MAX: usize = 31;

/// A text value, the text of NACK, CLOSE, ALERT and DONE. In bytes. Spec §4.3.
pub const TEXT_MAX: usize = 255;

/// Channels in a schema. Spec §4.2.
pub const CHANNELS_MAX: usize = 256;

/// Elements of a vector channel. Spec §4.2.
pub const ELEMENTS_MAX: usize = 64;

/// Schemas in a stream; ids are 0 to 63. Spec §4.2.
pub const SCHEMAS_MAX: usize = 64;

/// Description of one schema. In bytes. Spec §4.2.
pub const SCHEMA_BYTES_MAX: usize = 16_384;

/// DECLARE messages of one schema. Spec §5.4.
pub const SCHEMA_PARTS_MAX: usize = 64;

/// The largest row of a schema, in ROWS form: fits a datagram in every suite. In bytes. Spec §4.2.
pub const ROW_BYTES_MAX: usize = 1_100;

/// Rows in a data message. Spec §5.7.
pub const ROWS_PER_MESSAGE_MAX: usize = 16_383;

/// Values in a data message, vector elements counted. Spec §12.1.
pub const VALUES_MAX: usize = 16_384;

/// A data message decoded, in ROWS form. In bytes. Spec §12.1.
pub const DECODED_BYTES_MAX: usize = 262_144;

/// The last row number of a stream. Spec §2.3.
pub const ROW_MAX: u32 = 4_294_967_294;

/// Ranges above the cumulative mark, for each stream, and in an ACK. Spec §7.2.
pub const RANGES_MAX: usize = 64;

/// Sessions that one device name may have at once. Spec §6.5.
pub const SESSIONS_PER_DEVICE_MAX: usize = 8;

/// A RETRY cookie. In bytes. Spec §5.2.
pub const COOKIE_MAX: usize = 64;

/// Named values in a CONFIG, COMMAND or DONE. Spec §4.4.
pub const ARGS_MAX: usize = 32;

/// Name of a setting or an argument. In bytes. Spec §4.4.
pub const ARG_NAME_MAX: usize = 127;

/// HELLO.keepalive_s, from 1. In seconds. Spec §6.6.
pub const KEEPALIVE_MAX_S: u32 = 86_400;

/// SenML units, each with what it means. Spec §4.2.
pub static UNITS: &[(&str, &str)] = &[
    ("m", "metre"),
    ("kg", "kilogram"),
    ("g", "gram"),
    ("s", "second"),
    ("A", "ampere"),
    ("K", "kelvin"),
    ("cd", "candela"),
    ("mol", "mole"),
    ("Hz", "hertz"),
    ("rad", "radian"),
    ("sr", "steradian"),
    ("N", "newton"),
    ("Pa", "pascal"),
    ("J", "joule"),
    ("W", "watt"),
    ("C", "coulomb"),
    ("V", "volt"),
    ("F", "farad"),
    ("Ohm", "ohm"),
    ("S", "siemens"),
    ("Wb", "weber"),
    ("T", "tesla"),
    ("H", "henry"),
    ("Cel", "degrees Celsius"),
    ("lm", "lumen"),
    ("lx", "lux"),
    ("Bq", "becquerel"),
    ("Gy", "gray"),
    ("Sv", "sievert"),
    ("kat", "katal"),
    ("m2", "square metre"),
    ("m3", "cubic metre"),
    ("l", "litre"),
    ("m/s", "metre per second"),
    ("m/s2", "metre per square second"),
    ("m3/s", "cubic metre per second"),
    ("l/s", "litre per second"),
    ("W/m2", "watt per square metre"),
    ("cd/m2", "candela per square metre"),
    ("bit", "bit"),
    ("bit/s", "bit per second"),
    ("lat", "degrees latitude, WGS 84"),
    ("lon", "degrees longitude, WGS 84"),
    ("pH", "acidity, logarithmic"),
    ("dB", "decibel"),
    ("dBW", "decibel relative to 1 W"),
    ("count", "a count of events"),
    ("/", "a ratio, such as 0.2 for 20 %"),
    ("%RH", "relative humidity, per cent"),
    ("%EL", "remaining battery, per cent"),
    ("EL", "remaining battery, seconds"),
    ("1/s", "events per second"),
    ("1/min", "events per minute"),
    ("beat/min", "heart beats per minute"),
    ("beats", "heart beats"),
    ("S/m", "siemens per metre"),
    ("B", "byte"),
    ("VA", "volt-ampere"),
    ("VAs", "volt-ampere second"),
    ("var", "volt-ampere reactive"),
    ("vars", "volt-ampere-reactive second"),
    ("J/m", "joule per metre"),
    ("kg/m3", "kilogram per cubic metre"),
    ("deg", "degree (angle)"),
    ("NTU", "nephelometric turbidity unit"),
    ("ms", "millisecond"),
    ("min", "minute"),
    ("h", "hour"),
    ("MHz", "megahertz"),
    ("kW", "kilowatt"),
    ("kVA", "kilovolt-ampere"),
    ("kvar", "kilovar"),
    ("Ah", "ampere hour"),
    ("Wh", "watt hour"),
    ("kWh", "kilowatt hour"),
    ("varh", "var hour"),
    ("kvarh", "kilovar hour"),
    ("kVAh", "kilovolt-ampere hour"),
    ("Wh/km", "watt hour per kilometre"),
    ("KiB", "kibibyte"),
    ("GB", "gigabyte"),
    ("Mbit/s", "megabit per second"),
    ("B/s", "byte per second"),
    ("MB/s", "megabyte per second"),
    ("mV", "millivolt"),
    ("mA", "milliampere"),
    ("dBm", "decibel relative to 1 mW"),
    ("ug/m3", "microgram per cubic metre"),
    ("mm/h", "millimetre per hour"),
    ("m/h", "metre per hour"),
    ("ppm", "parts per million"),
    ("/100", "per cent"),
    ("/1000", "per mille"),
    ("hPa", "hectopascal"),
    ("mm", "millimetre"),
    ("cm", "centimetre"),
    ("km", "kilometre"),
    ("km/h", "kilometre per hour"),
];
