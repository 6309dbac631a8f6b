//! The device's schemas and rows, as they came: what must hold for all of them, whatever the scenario.

use std::collections::BTreeMap;

use senda_wire::{
    BodyError, Data, Declare, Message, MessageType, Presence, RowFault, Schema, SchemaError, crc32,
};

use crate::message::Seen;
use crate::notes::Notes;

/// One stream's.
pub(super) struct Book {
    notes: Notes,
    /// Parts of a description that is not whole yet, by schema id.
    parts: BTreeMap<u32, Vec<Option<Vec<u8>>>>,
    schemas: BTreeMap<u32, Vec<u8>>,
    /// What each row said the first time: its time and fields.
    rows: BTreeMap<u32, (u16, i64, Vec<u8>)>,
    /// The row behind the highest that came.
    pub(super) end: u32,
}

impl Book {
    pub(super) fn new(notes: Notes) -> Self {
        let (parts, schemas, rows) = Default::default();
        Self { notes, parts, schemas, rows, end: 0 }
    }

    /// Takes a DECLARE; the CRC of the description once it is whole.
    pub(super) fn declare(&mut self, seen: &Seen, declare: &Declare<'_>) -> Option<u32> {
        let parts = self.parts.entry(seen.seq).or_default();
        parts.resize(declare.parts.into(), None);
        if let Some(part) = parts.get_mut(usize::from(declare.part)) {
            *part = Some(declare.bytes.to_vec());
        }
        let whole: Option<Vec<Vec<u8>>> = parts.iter().cloned().collect();
        let description = whole?.concat();
        if crc32(&description) != declare.crc {
            let expected = "the CRC-32 of the whole description";
            self.notes.require("5a", false, expected, seen);
        }
        match Schema::decode(&description) {
            Ok(_) => ["4.1a", "4.2a", "4.2b"].into_iter().for_each(|label| self.notes.holds(label)),
            Err(error) => {
                let label = match error {
                    SchemaError::RowTooBig { .. } => "4.2b",
                    SchemaError::Body(BodyError::Text { .. }) => "4.1a",
                    _ => "4.2a",
                };
                self.notes.fails(label, "a schema of section 4", error.to_string(), &seen.bytes);
            }
        }
        self.schemas.insert(seen.seq, description);
        Some(declare.crc)
    }

    /// Whether the schema that a data message refers to has been declared whole.
    pub(super) fn knows(&self, seen: &Seen) -> bool {
        match seen.message() {
            Ok(Message::Rows(data) | Message::Sparse(data) | Message::Columns(data)) => {
                self.schemas.contains_key(&data.head.schema.into())
            }
            _ => true,
        }
    }

    /// Takes what has row numbers. Spec §2.3b.
    pub(super) fn rows(&mut self, seen: &Seen) {
        let Some((first, end)) = seen.rows() else { return };
        let expected = format!("a first row of at most {}: numbers grow by one", self.end);
        self.notes.require("2.3b", first <= self.end, &expected, seen);
        self.end = self.end.max(end);
        match seen.message() {
            Ok(Message::Rows(data)) => self.samples(seen, &data, Presence::All),
            Ok(Message::Sparse(data)) => self.samples(seen, &data, Presence::Bitmap),
            Ok(Message::Counts(_)) => self.notes.holds("5.11a"),
            _ => {}
        }
    }

    /// Measures rows by their schema, and by what they said before. Spec §4.3b, §12.1a, §2.3b.
    fn samples(&mut self, seen: &Seen, data: &Data<'_>, presence: Presence) {
        let Some(description) = self.schemas.get(&data.head.schema.into()) else { return };
        let Ok(schema) = Schema::decode(description) else { return };
        let mut rows = match data.rows(&schema, presence) {
            Ok(rows) => rows,
            Err(fault) => {
                let label = if matches!(fault, RowFault::Layout(_)) { "5a" } else { "12.1a" };
                let expected = "rows within the limits of section 12.1";
                return self.notes.require(label, false, expected, seen);
            }
        };
        self.notes.holds("12.1a");
        let mut number = seen.seq;
        loop {
            let row = match rows.next_row() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) => {
                    let expected = format!("rows in the layout of their schema: {error}");
                    return self.notes.require("5a", false, &expected, seen);
                }
            };
            let good = row.bad_channel.is_none();
            self.notes.require("4.3b", good, "values that their channels can have", seen);
            let time = data.head.t0.wrapping_add(row.time_offset.into());
            let content = (data.head.schema, time, row.fields().to_vec());
            let same = *self.rows.entry(number).or_insert_with(|| content.clone()) == content;
            let expected = format!("row {number} as it was: a number is given once");
            self.notes.require("2.3b", same, &expected, seen);
            number = number.saturating_add(1);
        }
    }

    /// What takes row numbers, and is acknowledged.
    pub(super) fn is_reliable(seen: &Seen) -> bool {
        seen.is_data() || seen.is(MessageType::Skip) || seen.is(MessageType::Counts)
    }
}
