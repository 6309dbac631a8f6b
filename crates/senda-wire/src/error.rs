//! What can be wrong with bytes, told apart by who must act.

use core::fmt;

use crate::MessageType;

/// Why the bytes at hand do not begin with a message. The peer, or the line, is at fault in every case but
/// [`FrameError::Incomplete`]. Spec §3.7, checks 1 to 5, in that order.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FrameError {
    /// The message goes on past the input: wait for more (stream), drop (datagram).
    Incomplete {
        /// Bytes that are missing, at least.
        missing: usize,
    },
    /// The first byte does not belong to Senda, or to another major version of it.
    BadMagic {
        /// The first byte.
        byte: u8,
    },
    /// The length field is too small for header and trailer, or above the receiver's limit.
    BadLength {
        /// The length field.
        length: u16,
    },
    /// The flags do not name exactly the trailer that the session's suite asks for. Spec §3.3.
    BadTrailer {
        /// The flags nibble.
        flags: u8,
    },
    /// The CRC-32 over header and body differs from the trailer.
    BadCrc {
        /// What the bytes give.
        computed: u32,
        /// What the trailer says.
        received: u32,
    },
}

impl FrameError {
    /// The name of this failure in the specification's table and in the test vectors. Spec §3.7.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incomplete { .. } => "incomplete",
            Self::BadMagic { .. } => "bad_magic",
            Self::BadLength { .. } => "bad_length",
            Self::BadTrailer { .. } => "bad_trailer",
            Self::BadCrc { .. } => "bad_crc",
        }
    }

    /// The section of the specification that the bytes break.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Incomplete { .. } | Self::BadLength { .. } => "3.2",
            Self::BadMagic { .. } => "3.5",
            Self::BadTrailer { .. } | Self::BadCrc { .. } => "3.3",
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Incomplete { missing } => write!(f, "the message ends {missing} bytes too early"),
            Self::BadMagic { byte } => {
                write!(f, "first byte 0x{byte:02X} is not 0xA_: not Senda/1")
            }
            Self::BadLength { length } => {
                write!(f, "length {length} is not that of a whole message within the limit")
            }
            Self::BadTrailer { flags } => {
                write!(f, "flags 0x{flags:X} do not name the one trailer that is due (CRC)")
            }
            Self::BadCrc { computed, received } => {
                write!(f, "CRC-32 is 0x{computed:08X}, the trailer says 0x{received:08X}")
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// Why a message of a whole frame is not for this receiver. Spec §3.7, check 7; what to do: §5.25.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TypeError {
    /// This version does not know the type.
    Unknown {
        /// Its code.
        code: u8,
    },
    /// The peer may not send it: skip and count.
    WrongDirection {
        /// What it is.
        message_type: MessageType,
    },
}

impl TypeError {
    /// The name of this failure in the specification's table and in the test vectors. Spec §3.7.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown_type",
            Self::WrongDirection { .. } => "wrong_direction",
        }
    }
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unknown { code } => write!(f, "no message type 0x{code:02X} is known here"),
            Self::WrongDirection { message_type } => {
                write!(f, "{} goes the other way", message_type.name())
            }
        }
    }
}

impl core::error::Error for TypeError {}

/// Why a body does not have the layout of its type. The sender is at fault: the trailer was right. Spec §5.26.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyError {
    /// The body ends within this field.
    Short {
        /// The field's name in the specification.
        field: &'static str,
    },
    /// The body goes on after its last field.
    Trailing {
        /// Bytes that are left over.
        bytes: usize,
    },
    /// The field's value is outside the range that the specification gives.
    Range {
        /// The field's name in the specification.
        field: &'static str,
        /// The value.
        value: u64,
    },
    /// The field is not UTF-8, or has characters that its grammar does not allow.
    Text {
        /// The field's name in the specification.
        field: &'static str,
    },
    /// Repeated entries are not in the order that the specification asks for.
    Order {
        /// The field's name in the specification.
        field: &'static str,
    },
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Short { field } => write!(f, "the body ends within `{field}`"),
            Self::Trailing { bytes } => {
                write!(f, "{bytes} bytes are left over after the last field")
            }
            Self::Range { field, value } => write!(f, "`{field}` is {value}, outside its range"),
            Self::Text { field } => write!(f, "`{field}` has bytes that it may not have"),
            Self::Order { field } => write!(f, "the entries of `{field}` are not in order"),
        }
    }
}

impl core::error::Error for BodyError {}

/// Why a schema description is refused. Spec §4.2.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SchemaError {
    /// The description does not have the layout of section 4.2.
    Body(BodyError),
    /// Two channels, or two labels of a channel, have the same name.
    Duplicate {
        /// Number of the second channel with it, from 0.
        channel: usize,
    },
    /// The largest row is above [`ROW_BYTES_MAX`](crate::registry::ROW_BYTES_MAX). Spec §4.2b.
    RowTooBig {
        /// Its bytes.
        bytes: usize,
    },
    /// The description is above [`SCHEMA_BYTES_MAX`](crate::registry::SCHEMA_BYTES_MAX).
    TooBig {
        /// Its bytes.
        bytes: usize,
    },
}

impl From<BodyError> for SchemaError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Body(error) => error.fmt(f),
            Self::Duplicate { channel } => write!(f, "channel {channel} repeats a name or a label"),
            Self::RowTooBig { bytes } => {
                write!(f, "its largest row has {bytes} bytes; 1,100 fit a datagram")
            }
            Self::TooBig { bytes } => {
                write!(f, "its description has {bytes} bytes; at most 16,384 are allowed")
            }
        }
    }
}

impl core::error::Error for SchemaError {}

/// Why something can't be encoded. The local caller is at fault.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EncodeError {
    /// The output slice is too small.
    BufferTooSmall {
        /// Bytes that it needs to have, at least.
        needed: usize,
    },
    /// A part is longer than its length field, or than the specification's limit.
    TooLong {
        /// The field's name in the specification.
        field: &'static str,
    },
    /// A value is not one that the channel can have.
    Mismatch {
        /// Number of the channel, from 0; for lists the number of the entry.
        channel: usize,
    },
    /// The message breaks a rule of its type: a peer would find it malformed.
    Invalid(BodyError),
    /// The type has no encoder in this version of the crate (SEALED, unknown types).
    Unsupported,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BufferTooSmall { needed } => write!(f, "the output needs {needed} bytes"),
            Self::TooLong { field } => write!(f, "`{field}` is too long"),
            Self::Mismatch { channel } => {
                write!(f, "value {channel} does not fit its channel's type")
            }
            Self::Invalid(error) => error.fmt(f),
            Self::Unsupported => write!(f, "this message type has no encoder here"),
        }
    }
}

impl core::error::Error for EncodeError {}
