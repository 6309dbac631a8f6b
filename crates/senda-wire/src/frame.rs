//! Header and trailer: where a message begins and ends, and whether it arrived as it was sent. Spec §3.

use crate::registry::Direction;
use crate::registry::{CRC_LEN, HEADER_LEN, MESSAGE_MAX, flag};
use crate::{BodyError, EncodeError, FrameError, MessageType, Reader, TypeError, Writer};

/// High nibble of the first byte: Senda, major version 1. Spec §3.2.
const MAGIC: u8 = 0xA0;

/// A whole message whose header and trailer are right. The body is not looked at yet.
///
/// | bytes | field            | type                                      |
/// |-------|------------------|-------------------------------------------|
/// | 0     | magic and flags  | u8, high nibble 0xA                       |
/// | 1     | `code`           | u8, see [`MessageType`]                   |
/// | 2..4  | length           | u16 BE, header and trailer included       |
/// | 4..8  | `session`        | u32 BE                                    |
/// | 8..12 | `seq`            | u32 BE                                    |
/// | 12..  | `body`           |                                           |
/// | last 4| CRC-32           | u32 BE, over everything before it         |
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    /// Low nibble of the first byte: bits of [`registry::flag`](crate::registry::flag).
    pub flags: u8,
    /// The type's code; [`MessageType::from_code`] tells whether it is known.
    pub code: u8,
    /// The session, 0 where there is none yet.
    pub session: u32,
    /// What it means depends on the type. Spec §5.
    pub seq: u32,
    /// Between header and trailer.
    pub body: &'a [u8],
    /// The message as it came, header and trailer included.
    pub bytes: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the message at the start of a stream's `input`, which may be longer: the next one begins at
    /// `bytes.len()`. `max_len` is what the receiver takes on this transport. Spec §3.6; §3.7, checks 1 to 5, in that
    /// order. Only the trailer of suite OPEN is known here: CRC-32.
    ///
    /// # Errors
    /// See [`FrameError`]. After [`FrameError::Incomplete`] wait for more; everything else is final.
    pub fn decode(input: &'a [u8], max_len: usize) -> Result<Self, FrameError> {
        let (first, code, length, session, seq) = read_header(input)
            .map_err(|_| FrameError::Incomplete { missing: HEADER_LEN - input.len() })?;
        if first & 0xF0 != MAGIC {
            return Err(match foreign_hello(input, max_len) {
                Foreign::Incomplete { missing } => FrameError::Incomplete { missing },
                Foreign::No | Foreign::Hello => FrameError::BadMagic { byte: first },
            });
        }
        let whole = usize::from(length);
        // Spec §3.6: above max_len the stream has lost its frame.
        if whole < HEADER_LEN + CRC_LEN || whole > max_len {
            return Err(FrameError::BadLength { length });
        }
        let Some(bytes) = input.get(..whole) else {
            return Err(FrameError::Incomplete { missing: whole - input.len() });
        };
        let flags = first & 0x0F;
        if flags & (flag::CRC | flag::TAG) != flag::CRC {
            return Err(FrameError::BadTrailer { flags }); // Spec §3.3a.
        }
        let (covered, trailer) = bytes.split_at(whole - CRC_LEN);
        let (computed, received) = (crc32(covered), be_u32(trailer));
        if computed != received {
            return Err(FrameError::BadCrc { computed, received });
        }
        Ok(Self { flags, code, session, seq, body: &covered[HEADER_LEN..], bytes })
    }

    /// The type, when this version knows it.
    pub const fn message_type(&self) -> Option<MessageType> {
        MessageType::from_code(self.code)
    }

    /// Reads the next message of a datagram; `rest` is what the messages before it have left. A datagram does not go
    /// on, so what is missing is a fault here: drop `rest` and send nothing. Spec §3.4b.
    ///
    /// # Errors
    /// See [`FrameError`]; [`FrameError::Incomplete`] only below 12 bytes. Spec §3.7, checks 1 to 3.
    pub fn decode_datagram(rest: &'a [u8]) -> Result<Self, FrameError> {
        Self::decode(rest, MESSAGE_MAX).map_err(|error| match (error, read_header(rest)) {
            (FrameError::Incomplete { .. }, Ok((byte, ..))) if byte & 0xF0 != MAGIC => {
                FrameError::BadMagic { byte }
            }
            (FrameError::Incomplete { .. }, Ok((_, _, length, ..))) => {
                FrameError::BadLength { length }
            }
            _ => error,
        })
    }

    /// True when `input` begins with a HELLO of another major version, which deserves CLOSE 404. Spec §3.5a.
    ///
    /// Only the frozen parts are looked at: header, length and CRC. Ask this after [`FrameError::BadMagic`].
    pub fn is_foreign_hello(input: &[u8]) -> bool {
        matches!(foreign_hello(input, MESSAGE_MAX), Foreign::Hello)
    }

    /// The type, if it is known and one that `sender` may send. Spec §3.7, check 7.
    ///
    /// # Errors
    /// See [`TypeError`]; spec §5.25 says what to do.
    pub fn known_type(&self, sender: Sender) -> Result<MessageType, TypeError> {
        let message_type = self.message_type().ok_or(TypeError::Unknown { code: self.code })?;
        match (message_type.direction(), sender) {
            (Direction::ToCollector, Sender::Collector) | (Direction::ToDevice, Sender::Device) => {
                Err(TypeError::WrongDirection { message_type })
            }
            _ => Ok(message_type),
        }
    }
}

/// Who sent a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sender {
    /// It goes to the collector.
    Device,
    /// It goes to the device.
    Collector,
}

/// Whether bytes of another major version are a HELLO. Spec §3.5.
enum Foreign {
    No,
    Incomplete { missing: usize },
    Hello,
}

fn foreign_hello(input: &[u8], max_len: usize) -> Foreign {
    const HELLO_MIN: usize = 65;
    let Ok((first, code, length, _, _)) = read_header(input) else {
        return Foreign::No;
    };
    let whole = usize::from(length);
    let newer = first & 0xF0 > MAGIC && code == MessageType::Hello.code() && first & flag::CRC != 0;
    if !newer || whole < HELLO_MIN || whole > max_len {
        return Foreign::No;
    }
    let Some(bytes) = input.get(..whole) else {
        return Foreign::Incomplete { missing: whole - input.len() };
    };
    let (covered, trailer) = bytes.split_at(whole - CRC_LEN);
    if crc32(covered) == be_u32(trailer) { Foreign::Hello } else { Foreign::No }
}

/// The header fields that the sender of a message chooses; type, length and trailer follow from the message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Head {
    /// The session, 0 where there is none yet.
    pub session: u32,
    /// Spec §5 says for each type what it means.
    pub seq: u32,
    /// `ACK_NOW` from a device, `MORE` from a collector (spec §3.2a); the trailer's flag is set by the encoder.
    pub flags: u8,
}

/// Writes header, body and CRC-32 trailer; `body` writes what lies between.
pub(crate) fn encode_frame(
    head: Head,
    code: u8,
    out: &mut [u8],
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<usize, EncodeError> {
    let mut writer = Writer::new(out);
    let flags = head.flags & (flag::ACK_NOW | flag::MORE) | flag::CRC;
    writer.put(&[MAGIC | flags, code, 0, 0]);
    writer.put(&head.session.to_be_bytes());
    writer.put(&head.seq.to_be_bytes());
    body(&mut writer)?;
    let whole = writer.len() + CRC_LEN;
    let length = u16::try_from(whole).map_err(|_| EncodeError::TooLong { field: "message" })?;
    debug_assert!(whole <= MESSAGE_MAX, "u16 is the limit");
    writer.put(&[0; CRC_LEN]);
    let bytes = writer.finish()?;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    let (covered, trailer) = bytes.split_at_mut(whole - CRC_LEN);
    trailer.copy_from_slice(&crc32(covered).to_be_bytes());
    Ok(whole)
}

/// CRC-32 (IEEE 802.3), as `binascii.crc32` computes it. Spec §3.3.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// First byte, type, length, session, seq.
fn read_header(input: &[u8]) -> Result<(u8, u8, u16, u32, u32), BodyError> {
    let mut reader = Reader::new(input);
    Ok((
        reader.u8("magic")?,
        reader.u8("type")?,
        reader.u16("length")?,
        reader.u32("session")?,
        reader.u32("seq")?,
    ))
}

fn be_u32(trailer: &[u8]) -> u32 {
    trailer.iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}
