//! Where each field of a message stands, as data: the tables of spec §3.2 and §5.
//!
//! The one source for everything that shows a message field by field: [`walk`](crate::walk()) here, `senda decode`,
//! `senda serve --trace`, and generators of dissectors.

use crate::registry::{downlink, encoding, flag};
use crate::{Clock, DoneStatus, Durability, ErrorCode, MessageType, SkipCause, Suite};

/// The body of one message type.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The type.
    pub message_type: MessageType,
    /// Its fields, in order. The body ends with the last one. Spec §5a.
    pub fields: &'static [Field],
    /// True where the body may be empty instead (ACK).
    pub may_be_empty: bool,
}

/// One field of a header or body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Field {
    /// Its name in the specification.
    pub name: &'static str,
    /// How its bytes are read, and shown.
    pub kind: Kind,
}

/// How the bytes of a field are read. All numbers are big-endian.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Unsigned, 1 byte.
    U8,
    /// Unsigned, 2 bytes.
    U16,
    /// Unsigned, 4 bytes.
    U32,
    /// Unsigned, 8 bytes.
    U64,
    /// Signed, 8 bytes.
    I64,
    /// Signed, 8 bytes, microseconds.
    Micros,
    /// Unsigned, 4 bytes: an identifier or checksum, shown in hex.
    Hex32,
    /// Unsigned, 8 bytes: an identifier, shown in hex.
    Hex64,
    /// This many bytes of 0.
    Zero(u8),
    /// 1 byte, a code with a name.
    Code(Codes),
    /// 2 bytes, a code of section 11.
    ErrorCode,
    /// 1 byte of bits with names. In the header the high nibble is 0xA.
    Bits8(Bits),
    /// 2 bytes of bits with names.
    Bits16(Bits),
    /// 2 bytes: kind of clock in the top two bits, rows in the others. Spec §5.7.
    ClockAndCount,
    /// A length byte and that much UTF-8.
    Text,
    /// A length byte and that many bytes.
    Bytes,
    /// To the end: type (1 byte), length (2 bytes), value. Spec §5.1.
    Options,
    /// A count byte and named values. Spec §4.4.
    List,
    /// A count byte and pairs of u32. Spec §5.13.
    Ranges,
    /// A count byte and pairs of u8 and u64. Spec §5.11.
    Causes,
    /// To the end: rows, each channel present. Spec §5.7.
    Rows,
    /// To the end: rows with presence bitmaps. Spec §5.8.
    SparseRows,
    /// To the end: bytes without a form of their own here.
    Rest,
}

/// Registries of one-byte codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Codes {
    /// [`MessageType`].
    MessageType,
    /// [`Durability`].
    Durability,
    /// [`Suite`].
    Suite,
    /// [`SkipCause`].
    SkipCause,
    /// [`DoneStatus`].
    DoneStatus,
    /// [`Clock`].
    Clock,
    /// Cleared or raised. Spec §5.19.
    AlertState,
    /// Information, warning, critical. Spec §5.19.
    AlertSeverity,
}

impl Codes {
    /// The name of a code, if it has one.
    pub fn name(self, code: u8) -> Option<&'static str> {
        match self {
            Self::MessageType => MessageType::from_code(code).map(MessageType::name),
            Self::Durability => Durability::from_code(code).map(Durability::name),
            Self::Suite => Suite::from_code(code).map(Suite::name),
            Self::SkipCause => SkipCause::from_code(code).map(SkipCause::name),
            Self::DoneStatus => DoneStatus::from_code(code).map(DoneStatus::name),
            Self::Clock => Clock::from_code(code).map(Clock::name),
            Self::AlertState => ["cleared", "raised"].get(usize::from(code)).copied(),
            Self::AlertSeverity => {
                ["information", "warning", "critical"].get(usize::from(code)).copied()
            }
        }
    }

    /// Every code that has a name, ascending.
    pub fn entries(self) -> impl Iterator<Item = (u8, &'static str)> {
        (0..=u8::MAX).filter_map(move |code| Some((code, self.name(code)?)))
    }
}

/// Bits and their names, as the registry has them.
type Names<T> = &'static [(T, &'static str)];

/// Registries of bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bits {
    /// Flags of the header. Spec §3.2.
    Flag,
    /// What a device takes. Spec §12.2.
    Downlink,
    /// What a peer can encode or read. Spec §12.2.
    Encoding,
}

impl Bits {
    /// Each bit that has a name.
    pub fn entries(self) -> impl Iterator<Item = (u16, &'static str)> {
        let (narrow, wide): (Names<u8>, Names<u16>) = match self {
            Self::Flag => (flag::NAMES, &[]),
            Self::Downlink => (downlink::NAMES, &[]),
            Self::Encoding => (&[], encoding::NAMES),
        };
        let narrow = narrow.iter().map(|&(bit, name)| (u16::from(bit), name));
        narrow.chain(wide.iter().copied())
    }
}

/// The name of an error code, for [`Kind::ErrorCode`].
pub const fn error_name(code: u16) -> Option<&'static str> {
    ErrorCode(code).name()
}

/// The layout of a type's body.
pub fn of(message_type: MessageType) -> &'static Layout {
    let found = LAYOUTS.iter().find(|layout| layout.message_type == message_type);
    // unwrap: a test holds LAYOUTS against the registry.
    found.unwrap_or(&LAYOUTS[0])
}

/// The header. Spec §3.2.
pub static HEADER: &[Field] = &[
    field("flags", Kind::Bits8(Bits::Flag)),
    field("type", Kind::Code(Codes::MessageType)),
    field("length", Kind::U16),
    field("session", Kind::Hex32),
    field("seq", Kind::U32),
];

/// The trailer of suite OPEN. Spec §3.3.
pub static CRC_TRAILER: Field = field("crc", Kind::Hex32);
/// The trailer of suite SIGNED. Spec §3.3.
pub static TAG_TRAILER: Field = field("tag", Kind::Rest);

/// Each message type's body, in the order of the registry.
pub static LAYOUTS: &[Layout] = &[
    body(MessageType::Hello, HELLO),
    body(MessageType::Retry, &[field("cookie", Kind::Bytes)]),
    body(MessageType::Welcome, WELCOME),
    body(MessageType::Declare, DECLARE),
    body(MessageType::Declared, &[field("crc", Kind::Hex32)]),
    body(MessageType::Close, CLOSE),
    body(MessageType::Rows, ROWS),
    body(MessageType::Sparse, SPARSE),
    body(MessageType::Columns, COLUMNS),
    body(MessageType::RowsU, ROWS),
    body(MessageType::ColumnsU, COLUMNS),
    body(MessageType::Counts, COUNTS),
    body(MessageType::Skip, SKIP),
    Layout { message_type: MessageType::Ack, fields: ACK, may_be_empty: true },
    body(MessageType::Nack, NACK),
    body(MessageType::Report, REPORT),
    body(MessageType::Config, CONFIG),
    body(MessageType::Command, COMMAND),
    body(MessageType::Alert, ALERT),
    body(MessageType::Done, DONE),
    body(MessageType::TimeReq, TIME_REQ),
    body(MessageType::Time, TIME),
    body(MessageType::Ping, TOKEN),
    body(MessageType::Pong, TOKEN),
    body(MessageType::Sealed, SEALED),
];

const HELLO: &[Field] = &[
    field("stream", Kind::Hex64),
    field("nonce", Kind::Hex64),
    field("next_row", Kind::U32),
    field("oldest_row", Kind::U32),
    field("keepalive_s", Kind::U32),
    field("max_msg", Kind::U16),
    field("ack_every", Kind::U16),
    field("ack_delay_ms", Kind::U16),
    field("suite", Kind::Code(Codes::Suite)),
    field("downlink", Kind::Bits8(Bits::Downlink)),
    field("encodings", Kind::Bits16(Bits::Encoding)),
    field("config_rev", Kind::U32),
    field("last_command_id", Kind::U32),
    field("device", Kind::Text),
    field("cookie", Kind::Bytes),
    field("options", Kind::Options),
];

const WELCOME: &[Field] = &[
    field("nonce", Kind::Hex64),
    field("next_row", Kind::U32),
    field("high_row", Kind::U32),
    field("server_time", Kind::Micros),
    field("window_rows", Kind::U32),
    field("max_msg", Kind::U16),
    field("encodings", Kind::Bits16(Bits::Encoding)),
    field("durability", Kind::Code(Codes::Durability)),
    field("suite", Kind::Code(Codes::Suite)),
    field("commit_interval_ms", Kind::U16),
    field("keepalive_s", Kind::U32),
    field("ack_every", Kind::U16),
    field("ack_delay_ms", Kind::U16),
    field("max_channels", Kind::U16),
    field("max_schemas", Kind::U16),
    field("max_elements", Kind::U16),
    field("max_values", Kind::U32),
    field("max_decoded", Kind::U32),
    field("options", Kind::Options),
];

const DECLARE: &[Field] = &[
    field("part", Kind::U8),
    field("parts", Kind::U8),
    field("crc", Kind::Hex32),
    field("bytes", Kind::Rest),
];

const CLOSE: &[Field] = &[
    field("code", Kind::ErrorCode),
    field("retry_after_ms", Kind::U32),
    field("text", Kind::Text),
];

const ROWS: &[Field] = &[SCHEMA_ID, KIND_AND_COUNT, T0, field("rows", Kind::Rows)];
const SPARSE: &[Field] = &[SCHEMA_ID, KIND_AND_COUNT, T0, field("rows", Kind::SparseRows)];
const COLUMNS: &[Field] = &[SCHEMA_ID, KIND_AND_COUNT, T0, field("columns", Kind::Rest)];
const SCHEMA_ID: Field = field("schema", Kind::U16);
const KIND_AND_COUNT: Field = field("kind and count", Kind::ClockAndCount);
const T0: Field = field("t0", Kind::Micros);

const COUNTS: &[Field] = &[field("made", Kind::U64), field("causes", Kind::Causes)];

const SKIP: &[Field] = &[
    field("count", Kind::U32),
    field("cause", Kind::Code(Codes::SkipCause)),
    field("zero", Kind::Zero(2)),
];

const ACK: &[Field] = &[
    field("window_rows", Kind::U32),
    field("ack_delay_ms", Kind::U16),
    field("retry_after_ms", Kind::U16),
    field("zero", Kind::Zero(1)),
    field("ranges", Kind::Ranges),
];

const NACK: &[Field] = &[
    field("type", Kind::Code(Codes::MessageType)),
    field("code", Kind::ErrorCode),
    field("first", Kind::U32),
    field("count", Kind::U32),
    field("retry_after_ms", Kind::U32),
    field("text", Kind::Text),
];

const REPORT: &[Field] =
    &[field("received", Kind::U32), field("duplicates", Kind::U32), field("missing", Kind::U32)];

const CONFIG: &[Field] = &[field("revision", Kind::U32), field("settings", Kind::List)];

const COMMAND: &[Field] = &[
    field("id", Kind::U32),
    field("ttl_ms", Kind::U32),
    field("name", Kind::Text),
    field("arguments", Kind::List),
];

const ALERT: &[Field] = &[
    field("id", Kind::U32),
    field("time", Kind::Micros),
    field("state", Kind::Code(Codes::AlertState)),
    field("severity", Kind::Code(Codes::AlertSeverity)),
    field("schema", Kind::Text),
    field("channel", Kind::Text),
    field("text", Kind::Text),
    field("values", Kind::List),
];

const DONE: &[Field] = &[
    field("type", Kind::Code(Codes::MessageType)),
    field("id", Kind::U32),
    field("status", Kind::Code(Codes::DoneStatus)),
    field("text", Kind::Text),
    field("results", Kind::List),
];

const TIME_REQ: &[Field] = &[
    field("t1", Kind::Micros),
    field("offset", Kind::Micros),
    field("uncertainty", Kind::U32),
    field("clock", Kind::Code(Codes::Clock)),
];

const TIME: &[Field] =
    &[field("t1", Kind::Micros), field("t2", Kind::Micros), field("t3", Kind::Micros)];

const TOKEN: &[Field] = &[field("token", Kind::Hex64)];

const SEALED: &[Field] = &[field("counter", Kind::U64), field("ciphertext", Kind::Rest)];

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind }
}

const fn body(message_type: MessageType, fields: &'static [Field]) -> Layout {
    Layout { message_type, fields, may_be_empty: false }
}
