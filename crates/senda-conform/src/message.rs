//! Messages as they came, and as the kit makes them, right or wrong.

use std::fmt;
use std::time::Instant;

use senda_wire::registry::{CRC_LEN, HEADER_LEN, flag};
use senda_wire::{BodyError, Frame, Message, MessageType, crc32};

/// Magic nibble and the flag of the only trailer that this kit speaks. Spec §3.2.
const FIRST_BYTE: u8 = 0xA0 | flag::CRC;

/// A message that came: whole, with the right CRC.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) flags: u8,
    pub(crate) code: u8,
    pub(crate) session: u32,
    pub(crate) seq: u32,
    pub(crate) body: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: Instant,
}

impl Seen {
    pub(crate) fn new(frame: &Frame<'_>, at: Instant) -> Self {
        Self {
            flags: frame.flags,
            code: frame.code,
            session: frame.session,
            seq: frame.seq,
            body: frame.body.to_vec(),
            bytes: frame.bytes.to_vec(),
            at,
        }
    }

    pub(crate) fn kind(&self) -> Option<MessageType> {
        MessageType::from_code(self.code)
    }

    pub(crate) fn is(&self, kind: MessageType) -> bool {
        self.kind() == Some(kind)
    }

    pub(crate) fn message(&self) -> Result<Message<'_>, BodyError> {
        Message::decode(&Frame {
            flags: self.flags,
            code: self.code,
            session: self.session,
            seq: self.seq,
            body: &self.body,
            bytes: &self.bytes,
        })
    }

    /// The code of a CLOSE.
    pub(crate) fn close(&self) -> Option<u16> {
        match self.message() {
            Ok(Message::Close(close)) => Some(close.code.0),
            _ => None,
        }
    }

    /// Type, code, first and count of a NACK.
    pub(crate) fn nack(&self) -> Option<(u8, u16, u32, u32)> {
        match self.message() {
            Ok(Message::Nack(nack)) => {
                Some((nack.refused_type, nack.code.0, nack.first, nack.count))
            }
            _ => None,
        }
    }

    /// Rows of a data message or a SKIP: first, and the one behind the last. COUNTS takes one.
    pub(crate) fn rows(&self) -> Option<(u32, u32)> {
        let count = match self.message() {
            Ok(Message::Rows(data) | Message::Sparse(data) | Message::Columns(data)) => {
                u32::from(data.head.count)
            }
            Ok(Message::Skip(skip)) => skip.count,
            Ok(Message::Counts(_)) => 1,
            _ => return None,
        };
        Some((self.seq, self.seq.saturating_add(count)))
    }

    /// True for what takes row numbers and carries samples.
    pub(crate) fn is_data(&self) -> bool {
        matches!(self.kind(), Some(MessageType::Rows | MessageType::Sparse | MessageType::Columns))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Some(kind) => f.write_str(kind.name())?,
            None => write!(f, "type 0x{:02x}", self.code)?,
        }
        match self.message() {
            Ok(Message::Close(close)) => write!(f, " {}", close.code.0)?,
            Ok(Message::Nack(nack)) => {
                write!(f, " {} first {} count {}", nack.code.0, nack.first, nack.count)?;
            }
            Err(error) => write!(f, " ({error})")?,
            Ok(_) => {}
        }
        write!(f, ", session {:08x}, seq {}", self.session, self.seq)?;
        if let Some((first, end)) = self.rows() {
            write!(f, ", rows {first}..{end}")?;
        }
        write!(f, ", {} bytes", self.bytes.len())
    }
}

/// A message of any content, with the trailer of suite OPEN.
pub(crate) fn message(kind: MessageType, session: u32, seq: u32, body: &[u8]) -> Vec<u8> {
    raw(0, kind.code(), session, seq, body)
}

/// The same with further flags and a type that need not exist.
pub(crate) fn raw(flags: u8, code: u8, session: u32, seq: u32, body: &[u8]) -> Vec<u8> {
    let length = HEADER_LEN + body.len() + CRC_LEN;
    let mut bytes = vec![FIRST_BYTE | flags, code];
    bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend(session.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(body);
    with_crc(bytes)
}

/// `covered` and its CRC-32. Spec §3.3.
pub(crate) fn with_crc(mut covered: Vec<u8>) -> Vec<u8> {
    let crc = crc32(&covered);
    covered.extend(crc.to_be_bytes());
    covered
}

/// A good message made wrong: one bit of its trailer is flipped.
pub(crate) fn with_bad_crc(mut message: Vec<u8>) -> Vec<u8> {
    if let Some(last) = message.last_mut() {
        *last ^= 1;
    }
    message
}

/// A length byte, then the text; longer ones are cut. Spec §3.1.
pub(crate) fn b_text(text: &[u8]) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    let mut bytes = vec![len];
    bytes.extend(&text[..usize::from(len)]);
    bytes
}

/// Body of a CLOSE. Spec §5.6.
pub(crate) fn close_body(code: u16, retry_after_ms: u32) -> Vec<u8> {
    let mut body = code.to_be_bytes().to_vec();
    body.extend(retry_after_ms.to_be_bytes());
    body.push(0);
    body
}

/// One channel of a description. Spec §4.2.
#[derive(Clone, Copy)]
pub(crate) struct ChannelSketch<'a> {
    pub(crate) code: u8,
    pub(crate) exponent: u8,
    pub(crate) flags: u8,
    pub(crate) elements: u8,
    pub(crate) max_len: u16,
    pub(crate) name: &'a str,
    pub(crate) labels: &'a [&'a str],
}

impl Default for ChannelSketch<'_> {
    fn default() -> Self {
        Self { code: U8, exponent: 0, flags: 0, elements: 1, max_len: 0, name: "c0", labels: &[] }
    }
}

// Value types. Spec §4.3.
pub(crate) const BOOL: u8 = 0x01;
pub(crate) const U8: u8 = 0x02;
pub(crate) const TEXT: u8 = 0x0C;
pub(crate) const BLOB: u8 = 0x0D;
pub(crate) const ENUM8: u8 = 0x0E;

/// The description of a schema, right or wrong. Spec §4.2.
pub(crate) fn description(name: &str, channels: &[ChannelSketch<'_>]) -> Vec<u8> {
    let mut bytes = b_text(name.as_bytes());
    bytes.extend(u16::try_from(channels.len()).unwrap_or(u16::MAX).to_be_bytes());
    for channel in channels {
        bytes.extend([channel.code, channel.exponent, channel.flags, channel.elements]);
        bytes.extend(channel.max_len.to_be_bytes());
        bytes.extend(b_text(channel.name.as_bytes()));
        bytes.extend(b_text(b""));
        if channel.code == ENUM8 {
            bytes.push(u8::try_from(channel.labels.len()).unwrap_or(u8::MAX));
            channel.labels.iter().for_each(|label| bytes.extend(b_text(label.as_bytes())));
        }
    }
    bytes
}

/// The smallest schema: one u8.
pub(crate) fn one_u8() -> Vec<u8> {
    description("conform", &[ChannelSketch::default()])
}

/// 2026-01-01T00:00:00Z in microseconds.
const T0: i64 = 1_767_225_600_000_000;

/// Schema, kind UTC_SYNCED and count, t0. Spec §5.7.
pub(crate) fn rows_head(schema: u16, count: u16) -> Vec<u8> {
    let mut bytes = schema.to_be_bytes().to_vec();
    bytes.extend((3 << 14 | count).to_be_bytes());
    bytes.extend(T0.to_be_bytes());
    bytes
}

/// Body of a ROWS. Spec §5.7.
pub(crate) fn rows_body(schema: u16, rows: &[&[u8]]) -> Vec<u8> {
    let mut bytes = rows_head(schema, u16::try_from(rows.len()).unwrap_or(u16::MAX));
    for (row, offset) in rows.iter().zip(0_u32..) {
        if rows.len() > 1 {
            bytes.extend((offset * 1_000_000).to_be_bytes());
        }
        bytes.extend(*row);
    }
    bytes
}
