//! The schemas of a stream: what was declared, and whether the collector has it. Spec §5.4.
//!
//! ```text
//!   declare() --> Due --DECLARE, all parts--> Asked --DECLARED--> Known
//!                  ^                            | timer, NACK 201, 202: again
//!                  +----------------------------+ NACK 203, 205: Refused, and its rows are given up
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;

use senda_wire::registry::SCHEMAS_MAX;
use senda_wire::{Channel, ErrorCode, Reader, Schema, ValueType, crc32};

use crate::Instant;

/// A schema of this device, from [`Device::declare`](super::Device::declare).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SchemaId(pub(super) u8);

impl SchemaId {
    /// Its number, in order of declaration; the wire may know it by another one.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What the collector knows of a schema.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Declared {
    /// To be declared; a NACK may have asked to wait until then.
    Due { next_part: u8 },
    /// All parts have left.
    Asked,
    /// DECLARED came, in this session or an earlier one of the stream.
    Known,
    /// It can't be declared.
    Refused(ErrorCode),
}

/// One schema.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    description: Box<[u8]>,
    pub(super) crc: u32,
    /// Values in a row. Spec §12.1.
    pub(super) values: usize,
    /// Bytes of the largest row. Spec §12.1.
    pub(super) row_max: usize,
    /// Its id on the wire; another one than its own after NACK 202.
    pub(super) wire_id: u8,
    pub(super) state: Declared,
    /// NACK 201 for rows in a row, without one that was taken.
    pub(super) forgotten: u32,
    layout: Box<[Check]>,
}

/// What makes a field good.
#[derive(Clone, Copy, Debug)]
enum Check {
    /// So many bytes of any content.
    Any(usize),
    Bool,
    Enum(usize),
    Text(usize),
    Blob(usize),
}

/// All schemas of a device.
#[derive(Clone, Debug, Default)]
pub(super) struct Schemas {
    slots: Vec<Slot>,
    next_wire_id: u8,
    /// Until then no DECLARE leaves: a NACK of class 1xx asked for it.
    pub(super) not_before: Option<Instant>,
}

impl Schemas {
    pub(super) fn find(&self, description: &[u8]) -> Option<SchemaId> {
        let index = self.slots.iter().position(|slot| *slot.description == *description)?;
        u8::try_from(index).ok().map(SchemaId)
    }

    /// Adds a schema; `None` when there are 64 already.
    pub(super) fn add(&mut self, schema: &Schema<'_>) -> Option<SchemaId> {
        let id = u8::try_from(self.slots.len()).ok()?;
        let wire_id = self.take_wire_id()?;
        self.slots.push(Slot {
            description: schema.bytes().into(),
            crc: crc32(schema.bytes()),
            values: schema.values(),
            row_max: schema.row_max(),
            wire_id,
            state: Declared::Due { next_part: 0 },
            forgotten: 0,
            layout: layout(schema),
        });
        Some(SchemaId(id))
    }

    fn take_wire_id(&mut self) -> Option<u8> {
        let id = self.next_wire_id;
        if usize::from(id) >= SCHEMAS_MAX {
            return None;
        }
        self.next_wire_id += 1;
        Some(id)
    }

    pub(super) fn get(&self, id: u8) -> Option<&Slot> {
        self.slots.get(usize::from(id))
    }

    pub(super) fn get_mut(&mut self, id: u8) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(id))
    }

    /// The schema that has this id on the wire now.
    pub(super) fn by_wire_id(&mut self, wire_id: u32) -> Option<(u8, &mut Slot)> {
        (0..).zip(&mut self.slots).find(|(_, slot)| u32::from(slot.wire_id) == wire_id)
    }

    /// The first schema with a part that may leave, when fewer than `asked_max` wait for their answer.
    pub(super) fn due(&mut self, now: Instant, asked_max: usize) -> Option<&mut Slot> {
        let asked = self.slots.iter().filter(|slot| slot.state == Declared::Asked).count();
        if asked >= asked_max || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        self.slots.iter_mut().find(|slot| matches!(slot.state, Declared::Due { .. }))
    }

    /// Whether an answer is awaited.
    pub(super) fn any_asked(&self) -> bool {
        self.slots.iter().any(|slot| slot.state == Declared::Asked)
    }

    /// What is not answered goes again.
    pub(super) fn ask_again(&mut self) {
        for slot in &mut self.slots {
            if matches!(slot.state, Declared::Asked | Declared::Due { .. }) {
                slot.state = Declared::Due { next_part: 0 };
            }
        }
    }

    /// Rows were taken: the collector remembers.
    pub(super) fn remembered(&mut self) {
        for slot in &mut self.slots {
            slot.forgotten = 0;
        }
    }

    /// The collector does not know some schema, and did not say which: all go again.
    pub(super) fn forget_known(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.state == Declared::Known) {
            slot.state = Declared::Due { next_part: 0 };
        }
    }

    /// A new stream knows no schema.
    pub(super) fn begin_stream(&mut self) {
        self.next_wire_id = 0;
        for index in 0..self.slots.len() {
            // There is an id for each: there are at most 64 slots.
            let wire_id = self.take_wire_id().unwrap_or(0);
            let slot = &mut self.slots[index];
            slot.wire_id = wire_id;
            slot.state = Declared::Due { next_part: 0 };
            slot.forgotten = 0;
        }
    }

    /// NACK 202: the same schema under another id. False when all ids are spent. Spec §7.6b.
    pub(super) fn take_new_id(&mut self, id: u8) -> bool {
        let Some(wire_id) = self.take_wire_id() else { return false };
        let Some(slot) = self.get_mut(id) else { return false };
        slot.wire_id = wire_id;
        slot.state = Declared::Due { next_part: 0 };
        true
    }
}

impl Slot {
    /// The parts of the description when a DECLARE carries at most `room` bytes of it.
    pub(super) fn part(&self, part: u8, room: usize) -> Option<(u8, &[u8])> {
        let mut chunks = self.description.chunks(room.max(1));
        let parts = u8::try_from(chunks.len()).ok()?;
        Some((parts, chunks.nth(part.into())?))
    }

    /// Whether these bytes are a row whose every value its channel can have. Spec §4.3b.
    pub(super) fn accepts(&self, row: &[u8]) -> bool {
        let mut rest = row;
        for check in &self.layout {
            let Some(after) = check.pass(rest) else { return false };
            rest = after;
        }
        rest.is_empty()
    }

    /// The same for a row that begins with its presence bitmap; `None` when it is none. Spec §5.8.
    pub(super) fn accepts_sparse<'r>(&self, row: &'r [u8]) -> Option<SparseRow<'r>> {
        let schema = Schema::decode_accepted(&self.description).ok()?;
        let (bitmap, fields) = row.split_at_checked(schema.bitmap_len())?;
        let mut reader = Reader::new(fields);
        let mut present = 0;
        for (number, channel) in schema.channels().enumerate() {
            if bitmap[number / 8] & 0x80 >> (number % 8) != 0 {
                channel.read(&mut reader)?;
                present += 1;
            }
        }
        let set: u32 = bitmap.iter().map(|byte| byte.count_ones()).sum();
        // Unused bits are 0, and nothing follows the last field.
        if usize::try_from(set) != Ok(present) || !reader.rest().is_empty() {
            return None;
        }
        let is_full = present == schema.len();
        Some(if is_full { SparseRow::Full(fields) } else { SparseRow::Partial })
    }
}

/// A row in SPARSE form, looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SparseRow<'a> {
    /// Every channel is there: the fields are the row in ROWS form.
    Full(&'a [u8]),
    /// Some channel is absent.
    Partial,
}

impl Check {
    /// What follows the field, when it is good.
    fn pass(self, rest: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Any(len) => rest.get(len..),
            Self::Bool => {
                rest.split_first().filter(|(value, _)| **value <= 1).map(|(_, rest)| rest)
            }
            Self::Enum(labels) => rest
                .split_first()
                .filter(|(index, _)| usize::from(**index) < labels)
                .map(|(_, rest)| rest),
            Self::Text(max) => {
                let (len, rest) = rest.split_first()?;
                let (text, rest) = rest.split_at_checked(usize::from(*len))?;
                (text.len() <= max && core::str::from_utf8(text).is_ok()).then_some(rest)
            }
            Self::Blob(max) => {
                let (len, rest) = rest.split_first_chunk()?;
                let (blob, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
                (blob.len() <= max).then_some(rest)
            }
        }
    }
}

/// The checks of a row, neighbours of fixed size joined.
fn layout(schema: &Schema<'_>) -> Box<[Check]> {
    let mut checks: Vec<Check> = Vec::new();
    for channel in schema.channels() {
        match (checks.last_mut(), check_of(&channel)) {
            (Some(Check::Any(before)), Check::Any(len)) => *before += len,
            (_, check) => checks.push(check),
        }
    }
    checks.into()
}

fn check_of(channel: &Channel<'_>) -> Check {
    match channel.value_type {
        ValueType::Bool => Check::Bool,
        ValueType::Enum8 => Check::Enum(channel.labels_len()),
        ValueType::Text => Check::Text(channel.max_len.into()),
        ValueType::Blob => Check::Blob(channel.max_len.into()),
        _ => Check::Any(channel.size_max()),
    }
}
