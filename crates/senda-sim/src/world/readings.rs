//! What devices of a world measure: schemas of every kind of channel, and rows that a generator decides.

use std::sync::Arc;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use senda_wire::{
    ChannelSpec, Identifier, Reader, Schema, Value, ValueType, encode_row, encode_sparse_row,
};

/// A row as it was made. Its bytes are those of ROWS form, or of SPARSE form, bitmap first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Reading {
    /// Description of the schema.
    pub(super) schema: Arc<[u8]>,
    pub(super) sparse: bool,
    pub(super) row: Vec<u8>,
    /// A device with a defect spoils this value on its way out: the collector has to refuse it. Spec §4.3b.
    pub(super) spoilt: bool,
}

/// Number of different schemas.
pub(super) const SCHEMAS: usize = 4;

/// Schema number `number`; `version` adds that many channels, as an update of the device's program does.
pub(super) fn schema(number: usize, version: u8) -> Arc<[u8]> {
    let mut channels = match number % SCHEMAS {
        0 => vec![
            channel("serial", ValueType::U32),
            channel("temperature", ValueType::F64),
            channel("door", ValueType::Bool),
        ],
        1 => vec![
            channel("serial", ValueType::U32),
            ChannelSpec { elements: 3, ..channel("accel", ValueType::I16) },
            ChannelSpec {
                labels: &["idle", "drive", "fault"],
                ..channel("state", ValueType::Enum8)
            },
            channel("odometer", ValueType::U64),
        ],
        2 => vec![
            channel("serial", ValueType::U32),
            ChannelSpec { max_len: 40, ..channel("note", ValueType::Text) },
            ChannelSpec { max_len: 60, ..channel("image", ValueType::Blob) },
            channel("taken", ValueType::Time),
            channel("level", ValueType::F32),
        ],
        _ => vec![channel("serial", ValueType::U32), channel("count", ValueType::I64)],
    };
    let extra = ["extra_a", "extra_b", "extra_c", "extra_d"];
    for name in extra.iter().take(version.into()) {
        channels.push(channel(name, ValueType::U8));
    }
    let mut room = [0; 1_024];
    let names = ["plain", "motion", "texts", "narrow"];
    let name = identifier(names[number % SCHEMAS]);
    Schema::encode(name, &channels, &mut room).expect("a good schema that fits").into()
}

/// A row of this schema. `serial` is unique in the world, so that no two rows are equal by chance.
pub(super) fn reading(
    schema: &Arc<[u8]>,
    serial: u32,
    sparse: bool,
    spoilt: bool,
    random: &mut Pcg64Mcg,
) -> Reading {
    let decoded = Schema::decode_accepted(schema).expect("our own");
    let bytes: [u8; 64] = random.random();
    let text = ascii(&bytes[..usize::from(bytes[0] % 41)]);
    let values: Vec<Value<'_>> = decoded
        .channels()
        .enumerate()
        .map(|(place, channel)| match channel.value_type {
            ValueType::U32 if place == 0 => Value::U32(serial),
            ValueType::Bool => Value::Bool(bytes[1] & 1 == 1),
            ValueType::F64 => Value::F64(odd_f64(random)),
            ValueType::F32 => Value::F32(f32::from_bits(random.random())),
            ValueType::U64 => Value::U64(random.random::<u64>() | u64::from(bytes[2] & 1) << 63),
            ValueType::I64 => Value::I64(if bytes[3] < 16 { i64::MIN } else { random.random() }),
            ValueType::U8 => Value::U8(bytes[4]),
            ValueType::Enum8 => Value::Enum(bytes[5] % 3),
            ValueType::Time => Value::Time(random.random()),
            ValueType::Text => Value::Text(&text),
            ValueType::Blob => Value::Blob(&bytes[..usize::from(bytes[6] % 60)]),
            _ => Value::Vector(
                senda_wire::Vector::new(ValueType::I16, &bytes[8..14]).expect("three of two bytes"),
            ),
        })
        .collect();
    let mut row = vec![0; decoded.bitmap_len() + decoded.row_max()];
    let len = if sparse {
        let some: Vec<Option<Value<'_>>> = values
            .iter()
            .enumerate()
            .map(|(place, value)| (place == 0 || bytes[20 + place] & 1 == 1).then_some(*value))
            .collect();
        encode_sparse_row(&decoded, &some, &mut row)
    } else {
        encode_row(&decoded, &values, &mut row)
    };
    row.truncate(len.expect("values of their channels"));
    Reading { schema: Arc::clone(schema), sparse, row, spoilt }
}

impl Reading {
    /// Name and value of each channel that is there.
    pub(super) fn values(&self) -> Vec<(String, senda_store::Value)> {
        let schema = Schema::decode_accepted(&self.schema).expect("our own");
        let (bitmap, fields) = self.row.split_at(if self.sparse { schema.bitmap_len() } else { 0 });
        let mut reader = Reader::new(fields);
        let mut values = Vec::new();
        for (place, channel) in schema.channels().enumerate() {
            if self.sparse && bitmap[place / 8] & 0x80 >> (place % 8) == 0 {
                continue;
            }
            let value = channel.read(&mut reader).expect("encoded by us");
            let labels: Vec<Arc<str>> = channel.labels().map(Into::into).collect();
            let name = channel.name.as_str().to_owned();
            values.push((name, senda_store::Value::from_wire(&value, &labels)));
        }
        values
    }
}

/// Plain numbers, and the ends: NaN with a payload, -0.0, infinities.
fn odd_f64(random: &mut Pcg64Mcg) -> f64 {
    match random.random_range(0..16u8) {
        0 => f64::from_bits(0x7FF8_0000_0000_0001 | random.random::<u64>() >> 13),
        1 => -0.0,
        2 => f64::NEG_INFINITY,
        _ => random.random::<f64>() * 1e3,
    }
}

fn ascii(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(0x20 + byte % 0x5F)).collect()
}

fn channel(name: &'static str, value_type: ValueType) -> ChannelSpec<'static> {
    ChannelSpec::new(identifier(name), value_type)
}

fn identifier(name: &'static str) -> Identifier<'static> {
    Identifier::new(name).expect("the grammar of names")
}
