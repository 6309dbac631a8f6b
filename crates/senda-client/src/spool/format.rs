//! The bytes of a segment. `docs/spool.md` has them as tables; all numbers are big-endian, as on the wire.
//!
//! ```text
//!   segment = header, frame, frame ...          header = magic 8s, number I, boot I, crc I
//!   frame   = crc I, length H, type B, body     crc over number I, offset Q, and the frame after its crc
//! ```
//!
//! A frame's checksum covers where it stands. So old blocks that a file system shows again are no records, and after bad bytes
//! the next good frame is found by trying each byte.

use crc32fast::Hasher;
use senda_wire::registry::{ROW_MAX, SCHEMA_BYTES_MAX, SCHEMAS_MAX};
use senda_wire::{Clock, Reader, SkipCause};

use super::types::{ClockState, Kind, Moment, RECORD_BYTES_MAX, Record, Skip};

/// Bytes of a segment's header.
pub(super) const HEADER_LEN: usize = 20;
/// Bytes of a frame before its body.
pub(super) const FRAME_LEN: usize = 7;
/// The longest body: a schema.
const BODY_MAX: usize = 9 + SCHEMA_BYTES_MAX;
/// The longest frame.
pub(super) const FRAME_MAX: usize = FRAME_LEN + BODY_MAX;
const MAGIC: &[u8; 8] = b"SENDASPL";
/// The last number that a file name has room for.
pub(super) const NUMBER_MAX: u32 = 99_999_999;

/// Types of frames: the codes of the messages that they feed, where there is one.
mod code {
    pub(super) const STREAM: u8 = 0x01;
    pub(super) const BEGUN: u8 = 0x80;
    pub(super) const SCHEMA: u8 = 0x04;
    pub(super) const ROW: u8 = 0x10;
    pub(super) const SPARSE: u8 = 0x11;
    pub(super) const COUNTS: u8 = 0x1E;
    pub(super) const SKIP: u8 = 0x1F;
    pub(super) const CLOCK: u8 = 0x40;
    pub(super) const MOMENT: u8 = 0x81;
}

/// What a frame says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Item<'a> {
    /// How far a stream is: its mark and its next row.
    Stream { stream: u64, mark: u32, next_row: u32 },
    /// All that is known of streams stands before this, in this segment.
    Begun,
    /// A schema's description, before the rows of this segment that use it.
    Schema { stream: u64, schema: u8, description: &'a [u8] },
    /// A row or COUNTS.
    Row(RowItem<'a>),
    /// Rows that will never come.
    Skip(Skip),
    /// A stream's clock.
    Clock { stream: u64, state: ClockState },
    /// A moment of the boot that made a stream.
    Moment { stream: u64, moment: Moment },
    /// The checksum is right, and this version can't tell what it means.
    Unknown,
}

/// A [`Record`] that borrows its bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct RowItem<'a> {
    pub(super) stream: u64,
    pub(super) row: u32,
    pub(super) kind: Kind,
    pub(super) schema: u8,
    pub(super) clock: Clock,
    pub(super) time_us: i64,
    pub(super) bytes: &'a [u8],
}

impl<'a> RowItem<'a> {
    pub(super) fn of(record: &'a Record) -> Self {
        let Record { stream, row, kind, schema, clock, time_us, ref bytes } = *record;
        Self { stream, row, kind, schema, clock, time_us, bytes }
    }

    pub(super) fn to_record(self) -> Record {
        let Self { stream, row, kind, schema, clock, time_us, bytes } = self;
        Record { stream, row, kind, schema, clock, time_us, bytes: bytes.to_vec() }
    }

    /// The first rule that it breaks.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.row > ROW_MAX {
            return Err("a row's number is above ROW_MAX");
        }
        if usize::from(self.schema) >= SCHEMAS_MAX {
            return Err("a schema's id is above 63");
        }
        if self.bytes.len() > RECORD_BYTES_MAX {
            return Err("a row has more than RECORD_BYTES_MAX bytes");
        }
        Ok(())
    }
}

/// Whether this is a run of rows that a SKIP may name. Spec §5.12.
pub(super) fn check_skip(skip: &Skip) -> Result<(), &'static str> {
    match skip.first.checked_add(skip.count) {
        Some(end) if end > skip.first => Ok(()),
        _ => Err("a run of skipped rows is empty, or goes beyond the last row"),
    }
}

/// Whether these bytes may be a schema's description, and the number its id.
pub(super) fn check_schema(schema: u8, description: &[u8]) -> Result<(), &'static str> {
    if usize::from(schema) >= SCHEMAS_MAX {
        return Err("a schema's id is above 63");
    }
    if !(1..=SCHEMA_BYTES_MAX).contains(&description.len()) {
        return Err("a schema's description is empty or longer than SCHEMA_BYTES_MAX");
    }
    Ok(())
}

/// Name of the segment with this number.
pub(super) fn file_name(number: u32) -> String {
    format!("{number:08}.spool")
}

/// Number of the segment with this name; `None` for any other file.
pub(super) fn file_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".spool")?;
    let is_number = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// The first bytes of a segment.
pub(super) fn header(number: u32, boot: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&number.to_be_bytes());
    header[12..16].copy_from_slice(&boot.to_be_bytes());
    let crc = crc32fast::hash(&header[..16]);
    header[16..].copy_from_slice(&crc.to_be_bytes());
    header
}

/// The boot in a segment's header; `None` when that is not the header of segment `number`.
pub(super) fn read_header(number: u32, bytes: &[u8]) -> Option<u32> {
    let boot = u32::from_be_bytes(bytes.get(12..16)?.try_into().ok()?);
    (bytes.get(..HEADER_LEN)? == header(number, boot)).then_some(boot)
}

/// Appends a frame to `out`, which begins at `base` in segment `number`. Returns where in the segment the frame begins.
pub(super) fn write_frame(out: &mut Vec<u8>, number: u32, base: u64, item: &Item<'_>) -> u64 {
    let start = out.len();
    let offset = base + as_u64(start);
    out.extend_from_slice(&[0; FRAME_LEN]);
    out[start + 6] = write_body(out, item);
    let body = out.len() - start - FRAME_LEN;
    debug_assert!(as_u64(FRAME_LEN + body) == frame_len(item) && body <= BODY_MAX);
    let length = u16::try_from(body).unwrap_or(u16::MAX);
    out[start + 4..start + 6].copy_from_slice(&length.to_be_bytes());
    let crc = checksum(number, offset, &out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_be_bytes());
    offset
}

/// Length of the frame that `bytes`, at `offset` of segment `number`, begin with; `None` if there is none.
pub(super) fn check_frame(number: u32, offset: u64, bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(bytes.get(..FRAME_LEN)?);
    let (crc, body) = (reader.u32("crc").ok()?, usize::from(reader.u16("length").ok()?));
    if body > BODY_MAX {
        return None;
    }
    let frame = bytes.get(..FRAME_LEN + body)?;
    (checksum(number, offset, &frame[4..]) == crc).then_some(frame.len())
}

/// What a frame that was checked says.
pub(super) fn read_frame(frame: &[u8]) -> Item<'_> {
    let said = frame.get(6).and_then(|code| read_body(*code, frame.get(FRAME_LEN..)?));
    said.unwrap_or(Item::Unknown)
}

/// Bytes of a frame with this item.
pub(super) fn frame_len(item: &Item<'_>) -> u64 {
    let body = match item {
        Item::Stream { .. } => 16,
        Item::Begun | Item::Unknown => 0,
        Item::Schema { description, .. } => 9 + description.len(),
        Item::Row(row) => 22 + row.bytes.len(),
        Item::Skip(_) => 17,
        Item::Clock { .. } => 29,
        Item::Moment { .. } => 48,
    };
    as_u64(FRAME_LEN + body)
}

fn checksum(number: u32, offset: u64, rest: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    let mut place = [0; 12];
    place[..4].copy_from_slice(&number.to_be_bytes());
    place[4..].copy_from_slice(&offset.to_be_bytes());
    hasher.update(&place);
    hasher.update(rest);
    hasher.finalize()
}

/// Appends a body and returns its type.
fn write_body(out: &mut Vec<u8>, item: &Item<'_>) -> u8 {
    match *item {
        Item::Stream { stream, mark, next_row } => {
            put(out, &[&stream.to_be_bytes(), &mark.to_be_bytes(), &next_row.to_be_bytes()]);
            code::STREAM
        }
        Item::Begun | Item::Unknown => code::BEGUN,
        Item::Schema { stream, schema, description } => {
            put(out, &[&stream.to_be_bytes(), &[schema], description]);
            code::SCHEMA
        }
        Item::Row(row) => {
            put(out, &[&row.stream.to_be_bytes(), &row.row.to_be_bytes()]);
            put(out, &[&[row.schema, row.clock.code()], &row.time_us.to_be_bytes(), row.bytes]);
            match row.kind {
                Kind::Row => code::ROW,
                Kind::Sparse => code::SPARSE,
                Kind::Counts => code::COUNTS,
            }
        }
        Item::Skip(Skip { stream, first, count, cause }) => {
            put(out, &[&stream.to_be_bytes(), &first.to_be_bytes(), &count.to_be_bytes()]);
            out.push(cause.code());
            code::SKIP
        }
        Item::Clock { stream, state } => {
            put(out, &[&stream.to_be_bytes(), &[state.clock.code()]]);
            put(out, &[&state.offset_us.to_be_bytes(), &state.uncertainty_us.to_be_bytes()]);
            put(out, &[&state.at_us.to_be_bytes()]);
            code::CLOCK
        }
        Item::Moment { stream, moment } => {
            let (utc_us, uncertainty_us) = moment.utc_us.unwrap_or((0, u32::MAX));
            put(out, &[&stream.to_be_bytes(), &moment.boot.to_be_bytes()]);
            put(out, &[&moment.machine.to_be_bytes(), &moment.uptime_us.to_be_bytes()]);
            put(out, &[&utc_us.to_be_bytes(), &uncertainty_us.to_be_bytes()]);
            code::MOMENT
        }
    }
}

/// What a body says; `None` where it breaks its layout or the ranges of its fields.
fn read_body(code: u8, body: &[u8]) -> Option<Item<'_>> {
    if code == code::BEGUN {
        return body.is_empty().then_some(Item::Begun);
    }
    let mut reader = Reader::new(body);
    let stream = reader.u64("stream").ok()?;
    let item = match code {
        code::STREAM => {
            let (mark, next_row) = (reader.u32("mark").ok()?, reader.u32("next_row").ok()?);
            (mark <= next_row).then_some(Item::Stream { stream, mark, next_row })?
        }
        code::SCHEMA => {
            let schema = reader.u8("schema").ok()?;
            let description = take_rest(&mut reader)?;
            check_schema(schema, description).ok()?;
            Item::Schema { stream, schema, description }
        }
        code::ROW => Item::Row(read_row(stream, Kind::Row, &mut reader)?),
        code::SPARSE => Item::Row(read_row(stream, Kind::Sparse, &mut reader)?),
        code::COUNTS => Item::Row(read_row(stream, Kind::Counts, &mut reader)?),
        code::SKIP => {
            let (first, count) = (reader.u32("first").ok()?, reader.u32("count").ok()?);
            let cause = SkipCause::from_code(reader.u8("cause").ok()?)?;
            let skip = Skip { stream, first, count, cause };
            check_skip(&skip).ok()?;
            Item::Skip(skip)
        }
        code::CLOCK => Item::Clock { stream, state: read_clock(&mut reader)? },
        code::MOMENT => Item::Moment { stream, moment: read_moment(&mut reader)? },
        _ => return None,
    };
    reader.is_empty().then_some(())?;
    Some(item)
}

fn read_row<'a>(stream: u64, kind: Kind, reader: &mut Reader<'a>) -> Option<RowItem<'a>> {
    let row = reader.u32("row").ok()?;
    let schema = reader.u8("schema").ok()?;
    let clock = Clock::from_code(reader.u8("clock").ok()?)?;
    let time_us = reader.i64("time").ok()?;
    let bytes = take_rest(reader)?;
    let row = RowItem { stream, row, kind, schema, clock, time_us, bytes };
    row.check().ok()?;
    Some(row)
}

fn read_clock(reader: &mut Reader<'_>) -> Option<ClockState> {
    let clock = Clock::from_code(reader.u8("clock").ok()?)?;
    let (offset_us, uncertainty_us) = (reader.i64("offset").ok()?, reader.u32("uncertainty").ok()?);
    Some(ClockState { clock, offset_us, uncertainty_us, at_us: reader.i64("at").ok()? })
}

fn read_moment(reader: &mut Reader<'_>) -> Option<Moment> {
    let boot = reader.u32("boot").ok()?;
    let machine = u128::from_be_bytes(reader.array("machine").ok()?);
    let uptime_us = reader.i64("uptime").ok()?;
    let (utc_us, uncertainty_us) = (reader.i64("utc").ok()?, reader.u32("uncertainty").ok()?);
    let utc_us = (uncertainty_us != u32::MAX).then_some((utc_us, uncertainty_us));
    Some(Moment { boot, machine, uptime_us, utc_us })
}

fn take_rest<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = reader.rest().len();
    reader.take(len, "bytes").ok()
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Lengths in memory as lengths on disk.
pub(super) fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
