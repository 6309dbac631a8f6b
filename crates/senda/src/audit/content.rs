//! What a row says, as bytes that are equal exactly when two rows say the same: schema, clock, time of that clock, and every
//! value bit for bit. The same from a journal and from a store.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use senda_store::{KeptRow, TableInfo, Value};
use senda_wire::{Clock, Reader, Schema};

/// Numbers for channels and schemas, so that contents are short.
#[derive(Debug, Default)]
pub(super) struct Contents {
    channels: HashMap<ChannelKey, u32>,
    names: Vec<String>,
    schemas: HashMap<String, u32>,
    /// Of the store's tables, by address and schema.
    tables: HashMap<(usize, u32), KnownTable>,
}

/// A table of the store: the channels' numbers and places, ascending. The table is kept, so that its address stays its own.
#[derive(Debug)]
struct KnownTable {
    _table: Arc<TableInfo>,
    channels: Vec<(u32, usize)>,
}

/// What makes a channel the same channel.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct ChannelKey {
    schema: u32,
    name: String,
    value_type: u8,
    exponent: i8,
    elements: u8,
    unit: String,
}

/// A schema of a journal.
#[derive(Debug)]
pub(super) struct KnownSchema {
    description: Vec<u8>,
    number: u32,
    /// Each channel's number, in the schema's order.
    channels: Vec<u32>,
    labels: Vec<Vec<Arc<str>>>,
}

/// What a journal says of a row, beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dated {
    pub(super) clock: Clock,
    pub(super) time_us: i64,
    pub(super) sparse: bool,
}

impl Contents {
    /// Learns a schema from its description; `None` when that is none.
    pub(super) fn schema(&mut self, description: &[u8]) -> Option<KnownSchema> {
        let schema = Schema::decode(description).ok()?;
        let number = self.schema_number(schema.name().as_str());
        let mut known = KnownSchema {
            description: description.to_vec(),
            number,
            channels: Vec::new(),
            labels: Vec::new(),
        };
        for channel in schema.channels() {
            known.channels.push(self.channel_number(ChannelKey {
                schema: number,
                name: channel.name.as_str().to_owned(),
                value_type: channel.value_type.code(),
                exponent: channel.exponent,
                elements: channel.elements,
                unit: channel.unit.to_owned(),
            }));
            known.labels.push(channel.labels().map(Arc::from).collect());
        }
        Some(known)
    }

    /// The content of an encoded row; `None` when it is no row of this schema.
    pub(super) fn of_bytes(
        schema: &KnownSchema,
        dated: Dated,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let description = Schema::decode(&schema.description).ok()?;
        let mut reader = Reader::new(bytes);
        let bitmap = match dated.sparse {
            true => Some(reader.take(description.bitmap_len(), "bitmap").ok()?),
            false => None,
        };
        let mut values: Vec<(u32, Value)> = Vec::with_capacity(schema.channels.len());
        for (place, channel) in description.channels().enumerate() {
            if bitmap.is_none_or(|bits| bits[place / 8] & 0x80 >> (place % 8) != 0) {
                let value = channel.read(&mut reader)?;
                values.push((
                    schema.channels[place],
                    Value::from_wire(&value, &schema.labels[place]),
                ));
            }
        }
        reader.is_empty().then_some(())?;
        values.sort_by_key(|(number, _)| *number);
        let time = (dated.clock != Clock::None).then_some(dated.time_us);
        put_head(out, schema.number, dated.clock, time);
        values.iter().for_each(|(number, value)| put_value(out, *number, value));
        Some(())
    }

    /// The content of a row of the store.
    pub(super) fn of_kept(&mut self, kept: &KeptRow<'_>, out: &mut Vec<u8>) {
        let schema = self.schema_number(kept.schema);
        let key = (Arc::as_ptr(kept.table).addr(), schema);
        if !self.tables.contains_key(&key) {
            let mut numbers = Vec::new();
            for (place, channel) in kept.table.channels.iter().enumerate() {
                let key = ChannelKey {
                    schema,
                    name: channel.name.clone(),
                    value_type: channel.value_type.code(),
                    exponent: channel.exponent,
                    elements: channel.elements,
                    unit: channel.unit.clone(),
                };
                numbers.push((self.channel_number(key), place));
            }
            numbers.sort_unstable();
            let table = KnownTable { _table: Arc::clone(kept.table), channels: numbers };
            self.tables.insert(key, table);
        }
        put_head(out, schema, kept.clock, kept.device_time);
        for (number, place) in &self.tables[&key].channels {
            if let Some(Some(value)) = kept.values.get(*place) {
                put_value(out, *number, value);
            }
        }
    }

    /// What differs between two contents, for people.
    pub(super) fn difference(&self, made: &[u8], kept: &[u8]) -> String {
        let (Some(made), Some(kept)) = (self.read(made), self.read(kept)) else {
            return "they can't be read".to_owned();
        };
        let mut words = Vec::new();
        for (name, text) in &made {
            let other = kept.iter().find(|(other, _)| other == name);
            match other {
                Some((_, other)) if other == text => {}
                Some((_, other)) => words.push(format!("{name} was {text}, the store has {other}")),
                None => words.push(format!("{name} was {text}, the store has none")),
            }
        }
        for (name, text) in
            kept.iter().filter(|(name, _)| !made.iter().any(|(other, _)| other == name))
        {
            words.push(format!("{name} was not there, the store has {text}"));
        }
        words.join("; ")
    }

    /// Names and values of a content.
    fn read(&self, content: &[u8]) -> Option<Vec<(String, String)>> {
        let mut reader = Reader::new(content);
        let schema = reader.u32("schema").ok()?;
        let clock = Clock::from_code(reader.u8("clock").ok()?)?;
        let has_time = reader.u8("has time").ok()? == 1;
        let time = reader.i64("time").ok()?;
        let schema = self.schemas.iter().find(|(_, number)| **number == schema)?.0;
        let mut found = vec![
            ("the schema".to_owned(), schema.clone()),
            ("the clock".to_owned(), clock.name().to_ascii_lowercase()),
        ];
        if has_time {
            found.push(("the device's time".to_owned(), format!("{time} us")));
        }
        while !reader.is_empty() {
            let number = usize::try_from(reader.u32("channel").ok()?).ok()?;
            found.push((self.names.get(number)?.clone(), read_value(&mut reader)?));
        }
        Some(found)
    }

    fn schema_number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.schemas.get(name) {
            return *number;
        }
        let number = u32::try_from(self.schemas.len()).unwrap_or(u32::MAX);
        self.schemas.insert(name.to_owned(), number);
        number
    }

    fn channel_number(&mut self, key: ChannelKey) -> u32 {
        let next = u32::try_from(self.channels.len()).unwrap_or(u32::MAX);
        let name = key.name.clone();
        *self.channels.entry(key).or_insert_with(|| {
            self.names.push(name);
            next
        })
    }
}

impl KnownSchema {
    /// Its description.
    pub(super) fn description(&self) -> &[u8] {
        &self.description
    }
}

fn put_head(out: &mut Vec<u8>, schema: u32, clock: Clock, time: Option<i64>) {
    out.clear();
    out.extend(schema.to_be_bytes());
    out.push(clock.code());
    out.push(u8::from(time.is_some()));
    out.extend(time.unwrap_or(0).to_be_bytes());
}

const UNSIGNED: u8 = 0;
const SIGNED: u8 = 1;
const F32: u8 = 2;
const F64: u8 = 3;
const TEXT: u8 = 4;
const BLOB: u8 = 5;
const VECTOR: u8 = 6;

fn put_value(out: &mut Vec<u8>, channel: u32, value: &Value) {
    out.extend(channel.to_be_bytes());
    put_one(out, value);
}

fn put_one(out: &mut Vec<u8>, value: &Value) {
    let mut put = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        out.extend(bytes);
    };
    match value {
        Value::Bool(value) => put(UNSIGNED, &u64::from(*value).to_be_bytes()),
        Value::Enum(value, _) => put(UNSIGNED, &u64::from(*value).to_be_bytes()),
        Value::Unsigned(value) => put(UNSIGNED, &value.to_be_bytes()),
        Value::Signed(value) | Value::Time(value) => put(SIGNED, &value.to_be_bytes()),
        Value::F32(value) => put(F32, &value.to_bits().to_be_bytes()),
        Value::F64(value) => put(F64, &value.to_bits().to_be_bytes()),
        Value::Text(text) => {
            put(TEXT, &len_bytes(text.len()));
            out.extend(text.as_bytes());
        }
        Value::Blob(bytes) => {
            put(BLOB, &len_bytes(bytes.len()));
            out.extend(bytes);
        }
        Value::Vector(elements) => {
            put(VECTOR, &len_bytes(elements.len()));
            elements.iter().for_each(|element| put_one(out, element));
        }
    }
}

fn len_bytes(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

fn read_value(reader: &mut Reader<'_>) -> Option<String> {
    let len = |reader: &mut Reader<'_>| usize::try_from(reader.u32("length").ok()?).ok();
    Some(match reader.u8("kind").ok()? {
        UNSIGNED => reader.u64("value").ok()?.to_string(),
        SIGNED => reader.i64("value").ok()?.to_string(),
        F32 => {
            let value = f32::from_bits(reader.u32("value").ok()?);
            if value.is_nan() {
                format!("NaN ({:08x})", value.to_bits())
            } else {
                value.to_string()
            }
        }
        F64 => {
            let value = f64::from_bits(reader.u64("value").ok()?);
            if value.is_nan() {
                format!("NaN ({:016x})", value.to_bits())
            } else {
                value.to_string()
            }
        }
        TEXT => {
            let len = len(reader)?;
            format!("{:?}", String::from_utf8_lossy(reader.take(len, "text").ok()?))
        }
        BLOB => {
            let len = len(reader)?;
            let mut text = String::from("hex:");
            for byte in reader.take(len, "blob").ok()? {
                let _ = write!(text, "{byte:02x}");
            }
            text
        }
        _ => {
            let len = len(reader)?;
            let elements = (0..len).map(|_| read_value(reader)).collect::<Option<Vec<_>>>()?;
            format!("[{}]", elements.join(", "))
        }
    })
}

#[cfg(test)]
mod tests {
    use senda_store::{
        KeptWhat, Landing, Options, Reader as StoreReader, StoreError, What, Writer,
    };
    use senda_wire::{ChannelSpec, Identifier, ValueType, encode_row, encode_sparse_row};

    use super::*;

    const NOW: i64 = 1_700_000_000_000_000;

    /// A schema with what SQLite can't hold as it is.
    fn description() -> Vec<u8> {
        let name = |text| Identifier::new(text).unwrap();
        let spec = |text, value_type| ChannelSpec::new(name(text), value_type);
        let mut pair = spec("pair", ValueType::U64);
        pair.elements = 2;
        let channels = [
            spec("single", ValueType::F32),
            spec("double", ValueType::F64),
            spec("large", ValueType::U64),
            spec("word", ValueType::Text),
            pair,
        ];
        let mut room = [0; 256];
        Schema::encode(name("strange"), &channels, &mut room).unwrap().to_vec()
    }

    /// Encoded rows: all of one, and one in which something is absent.
    fn rows(description: &[u8]) -> [(bool, Vec<u8>); 2] {
        let schema = Schema::decode(description).unwrap();
        let pair = [u64::MAX.to_be_bytes(), (1u64 << 63).to_be_bytes()].concat();
        let values = [
            senda_wire::Value::F32(f32::from_bits(0xFFC1_2345)),
            senda_wire::Value::F64(-0.0),
            senda_wire::Value::U64(u64::MAX),
            senda_wire::Value::Text("grün"),
            senda_wire::Value::Vector(senda_wire::Vector::new(ValueType::U64, &pair).unwrap()),
        ];
        let mut room = [0; 128];
        let len = encode_row(&schema, &values, &mut room).unwrap();
        let whole = room[..len].to_vec();
        let sparse =
            values.map(|value| (!matches!(value, senda_wire::Value::Text(_))).then_some(value));
        let len = encode_sparse_row(&schema, &sparse, &mut room).unwrap();
        [(false, whole), (true, room[..len].to_vec())]
    }

    /// What the store has of these rows, landed and filed.
    fn kept(dir: &std::path::Path, contents: &mut Contents) -> Vec<Vec<u8>> {
        let names = || Ok::<_, StoreError>(vec!["gh-7".to_owned()]);
        let mut found = Vec::new();
        let walked = StoreReader::open(dir).unwrap().walk(names, &mut |kept| {
            if let KeptWhat::Row(row) = kept.what {
                let mut content = Vec::new();
                contents.of_kept(&row, &mut content);
                found.push((row.row, content));
            }
        });
        walked.unwrap();
        found.sort();
        found.into_iter().map(|(_, content)| content).collect()
    }

    #[test]
    fn a_row_has_one_content_in_journal_inbox_and_table_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path(), Options::default(), NOW).unwrap();
        let description = description();
        let mut contents = Contents::default();
        let schema = contents.schema(&description).unwrap();
        let land = |writer: &mut Writer, what| {
            let device = Arc::from("gh-7");
            let landing = Landing { device, stream: 1, received: NOW, what };
            assert!(writer.land(&[landing], NOW)[0].outcome.is_durable());
        };
        land(&mut writer, What::Declare { id: 0, description: description.clone() });
        let mut expected = Vec::new();
        for (first, (sparse, row)) in (0..).zip(rows(&description)) {
            let body = [&[0, 0, 0xC0, 1][..], &NOW.to_be_bytes(), &row].concat();
            land(
                &mut writer,
                What::Rows { first, count: 1, sparse, schema: 0, body, refused: vec![] },
            );
            let dated = Dated { clock: Clock::UtcSynced, time_us: NOW, sparse };
            let mut content = Vec::new();
            Contents::of_bytes(&schema, dated, &row, &mut content).unwrap();
            expected.push(content);
        }
        assert_eq!(kept(dir.path(), &mut contents), expected, "in the inbox");
        writer.file_all(NOW).unwrap();
        assert_eq!(kept(dir.path(), &mut contents), expected, "in its table");
    }

    #[test]
    fn one_bit_makes_another_content_and_the_channel_is_named() {
        let description = description();
        let mut contents = Contents::default();
        let schema = contents.schema(&description).unwrap();
        let dated = Dated { clock: Clock::UtcSynced, time_us: NOW, sparse: false };
        let [(_, row), _] = rows(&description);
        let content = |row: &[u8], dated| {
            let mut content = Vec::new();
            Contents::of_bytes(&schema, dated, row, &mut content).map(|()| content)
        };
        let right = content(&row, dated).unwrap();
        let mut other = row.clone();
        other[3] ^= 1; // The last bit of the NaN's payload.
        let wrong = content(&other, dated).unwrap();
        assert_eq!(
            contents.difference(&right, &wrong),
            "single was NaN (ffc12345), the store has NaN (ffc12344)"
        );
        let later = content(&row, Dated { time_us: NOW + 1, ..dated }).unwrap();
        assert!(contents.difference(&right, &later).starts_with("the device's time was"));
        assert_eq!(content(&row[1..], dated), None, "no row of this schema");
    }
}
