//! A message field by field, as lines or as JSON.

use std::collections::HashMap;
use std::fmt::Write as _;

use senda_wire::registry::HEADER_LEN;
use senda_wire::{Data, Frame, Message, MessageType, Schema, walk};

/// Schema descriptions by (session, schema id), as DECLARE messages told them: without them rows are only bytes.
#[derive(Default)]
pub(crate) struct Schemas {
    whole: HashMap<(u32, u32), Vec<u8>>,
    parts: HashMap<(u32, u32), Vec<Option<Vec<u8>>>>,
}

/// Descriptions that are remembered; beyond that rows of new schemas are shown as bytes.
const SCHEMAS_MAX: usize = 4096;

impl Schemas {
    /// Remembers what a DECLARE says.
    pub(crate) fn learn(&mut self, frame: &Frame<'_>) {
        let Ok(Message::Declare(declare)) = Message::decode(frame) else {
            return;
        };
        let key = (frame.session, frame.seq);
        if self.whole.len() + self.parts.len() >= SCHEMAS_MAX {
            return;
        }
        let parts = self.parts.entry(key).or_default();
        parts.resize(declare.parts.into(), None);
        if let Some(part) = parts.get_mut(usize::from(declare.part)) {
            *part = Some(declare.bytes.to_vec());
        }
        if parts.iter().all(Option::is_some) {
            let description = parts.drain(..).flatten().flatten().collect();
            self.parts.remove(&key);
            self.insert(key, description);
        }
    }

    /// Remembers a description.
    pub(crate) fn insert(&mut self, key: (u32, u32), description: Vec<u8>) {
        if Schema::decode(&description).is_ok() {
            self.whole.insert(key, description);
        }
    }

    /// The schema that a data message refers to: that of its session, or the one given for any session (session 0).
    fn of(&self, frame: &Frame<'_>) -> Option<Schema<'_>> {
        let id = match Message::decode(frame) {
            Ok(Message::Rows(data) | Message::Sparse(data) | Message::RowsU(data)) => {
                data.head.schema
            }
            _ => u16::from_be_bytes(frame.body.first_chunk().copied().filter(|_| is_data(frame))?),
        };
        let id = u32::from(id);
        let description =
            self.whole.get(&(frame.session, id)).or_else(|| self.whole.get(&(0, id)))?;
        Schema::decode(description).ok()
    }
}

/// One field, ready to be shown.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) offset: usize,
    pub(crate) len: usize,
    pub(crate) value: String,
}

/// The fields of a message, header and trailer included, and what is wrong with it, if anything is.
pub(crate) fn fields(frame: &Frame<'_>, schemas: &Schemas) -> (Vec<Line>, Option<String>) {
    let description = schemas.of(frame).map(|schema| schema.bytes().to_vec());
    let schema = description.as_deref().and_then(|bytes| Schema::decode(bytes).ok());
    let mut lines = Vec::new();
    // The walker wants one lifetime for frame and schema.
    let result = walk(frame, schema.as_ref(), &mut |visit| {
        let name = match visit.index {
            Some(index) => format!("{}[{index}]", visit.name),
            None => visit.name.to_owned(),
        };
        lines.push(Line {
            name,
            offset: visit.offset,
            len: visit.len,
            value: visit.value.to_string(),
        });
    });
    let wrong =
        result.err().or_else(|| Message::decode(frame).err()).map(|error| error.to_string());
    (lines, wrong)
}

/// Name and section of a message's type.
pub(crate) fn title(frame: &Frame<'_>) -> (String, &'static str) {
    match frame.message_type() {
        Some(kind) => (kind.name().to_owned(), kind.section()),
        None => (format!("type 0x{:02X}", frame.code), "5.25"),
    }
}

/// A message on one line: type, what its header says, and the fields of its body.
pub(crate) fn one_line(frame: &Frame<'_>, schemas: &Schemas, fields_max: usize) -> String {
    let (name, section) = title(frame);
    let mut line = format!("{name} (§{section}) session={:08x} seq={}", frame.session, frame.seq);
    let (lines, wrong) = fields(frame, schemas);
    let end = frame.bytes.len().saturating_sub(4);
    let body: Vec<&Line> =
        lines.iter().filter(|field| field.offset >= HEADER_LEN && field.offset < end).collect();
    for field in body.iter().take(fields_max) {
        let _ = write!(line, " {}={}", field.name, field.value);
    }
    if body.len() > fields_max {
        let _ = write!(line, " ... {} more fields", body.len() - fields_max);
    }
    if let Some(wrong) = wrong {
        let _ = write!(line, " MALFORMED: {wrong}");
    }
    line
}

fn is_data(frame: &Frame<'_>) -> bool {
    let data = [MessageType::Rows, MessageType::Sparse, MessageType::RowsU];
    frame.message_type().is_some_and(|kind| data.contains(&kind))
        && Data::count_of(frame.body).is_some()
}
