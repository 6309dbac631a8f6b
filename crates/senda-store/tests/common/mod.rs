//! Schemas, messages and values for the store's tests.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::Path;
use std::sync::Arc;

use senda_store::{Landing, Options, Query, Reader, Sample, Value, Verdict, What, Writer};
use senda_wire::{
    ChannelSpec, Identifier, Schema, ValueType, Vector, encode_row, encode_sparse_row,
};

pub(crate) const NOW: i64 = 1_700_000_000_000_000;
pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const BAD_VALUE: u16 = 301;

/// A channel: name, type, exponent, elements, unit.
pub(crate) fn channel<'a>(
    name: &'a str,
    value_type: ValueType,
    exponent: i8,
    elements: u8,
    unit: &'a str,
) -> ChannelSpec<'a> {
    let name = Identifier::new(name).expect("the grammar of names");
    ChannelSpec { exponent, elements, unit, ..ChannelSpec::new(name, value_type) }
}

pub(crate) fn describe(name: &str, channels: &[ChannelSpec<'_>]) -> Vec<u8> {
    let mut buffer = vec![0; 16_384];
    Schema::encode(Identifier::new(name).expect("the grammar of names"), channels, &mut buffer)
        .expect("a schema within the limits")
        .to_vec()
}

/// A schema with every type, a bool first.
pub(crate) fn every_type() -> Vec<u8> {
    use ValueType::{
        Blob, Bool, Enum8, F32, F64, I8, I16, I32, I64, Text, Time, U8, U16, U32, U64,
    };
    let mut state = channel("state", Enum8, 0, 1, "");
    state.labels = &["closed", "open", "jammed"];
    describe(
        "every",
        &[
            channel("flag", Bool, 0, 1, ""),
            channel("a", U8, 0, 1, ""),
            channel("b", U16, -1, 1, "V"),
            channel("c", U32, 0, 1, ""),
            channel("d", U64, 0, 1, "count"),
            channel("e", I8, 0, 1, ""),
            channel("temperature", I16, -2, 1, "Cel"),
            channel("g", I32, 0, 1, ""),
            channel("h", I64, 3, 1, "W"),
            channel("f", F32, 0, 1, ""),
            channel("ff", F64, 0, 1, ""),
            channel("note", Text, 0, 1, ""),
            channel("raw", Blob, 0, 1, ""),
            state,
            channel("since", Time, 0, 1, ""),
            channel("accel", F32, 0, 3, "m/s2"),
            channel("big", U64, -3, 2, ""),
        ],
    )
}

/// The values of a row of [`every_type`], from a seed, the ends of every type among them. `own` holds what is borrowed.
pub(crate) fn every_value(seed: u64, own: &mut Own) -> Vec<senda_wire::Value<'_>> {
    use senda_wire::Value as V;
    let mut random = Random(seed);
    let nan = [
        0x7FC0_0000u32,
        0x7F80_0001,
        0xFFC1_2345,
        0x8000_0000,
        0,
        0x7F80_0000,
        0xFF80_0000,
        1,
        0x3DCC_CCCD,
    ];
    let nan64 = [
        0x7FF8_0000_0000_0000u64,
        0x7FF0_0000_0000_0001,
        0xFFF8_1234_5678_9ABC,
        1 << 63,
        0,
        0x7FF0_0000_0000_0000,
        1,
        0x4059_0000_0000_0000,
    ];
    let u64s = [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, (1 << 53) + 1];
    let i64s = [0, -1, i64::MIN, i64::MAX, (1 << 53) + 1];
    own.text = ["", "grün", "a'b\"c", "nul\0inside"][random.below(4)].to_owned();
    own.blob = [&b""[..], &[0, 255, 1], &[0; 40]][random.below(3)].to_vec();
    own.accel = (0..3).flat_map(|_| nan[random.below(nan.len())].to_be_bytes()).collect();
    own.big = (0..2).flat_map(|_| u64s[random.below(u64s.len())].to_be_bytes()).collect();
    vec![
        V::Bool(random.below(2) == 1),
        V::U8([0, 255, 7][random.below(3)]),
        V::U16([0, u16::MAX, 215][random.below(3)]),
        V::U32([0, u32::MAX][random.below(2)]),
        V::U64(u64s[random.below(u64s.len())]),
        V::I8([i8::MIN, -1, i8::MAX][random.below(3)]),
        V::I16([i16::MIN, 2_150, i16::MAX][random.below(3)]),
        V::I32([i32::MIN, 0, i32::MAX][random.below(3)]),
        V::I64(i64s[random.below(i64s.len())]),
        V::F32(f32::from_bits(nan[random.below(nan.len())])),
        V::F64(f64::from_bits(nan64[random.below(nan64.len())])),
        V::Text(&own.text),
        V::Blob(&own.blob),
        V::Enum([0, 1, 2][random.below(3)]),
        V::Time(i64s[random.below(i64s.len())]),
        V::Vector(Vector::new(ValueType::F32, &own.accel).expect("three elements")),
        V::Vector(Vector::new(ValueType::U64, &own.big).expect("two elements")),
    ]
}

/// What the values of [`every_value`] borrow.
#[derive(Default)]
pub(crate) struct Own {
    text: String,
    blob: Vec<u8>,
    accel: Vec<u8>,
    big: Vec<u8>,
}

/// SplitMix64: enough for tests, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }
}

/// Which channels a sparse row has.
pub(crate) fn is_there(seed: u64, channel: usize) -> bool {
    Random(seed ^ 0xABCD).next() >> channel & 1 == 1
}

/// What the store should give back for [`every_value`].
pub(crate) fn expected(seed: u64, sparse: bool) -> Vec<Option<Value>> {
    let labels: Vec<Arc<str>> = ["closed", "open", "jammed"].map(Arc::from).to_vec();
    let mut own = Own::default();
    let values = every_value(seed, &mut own);
    let value = |(channel, value)| {
        (!sparse || is_there(seed, channel)).then(|| Value::from_wire(value, &labels))
    };
    values.iter().enumerate().map(value).collect()
}

/// A body: schema, kind of clock, t0, and for each row its time offset and its bytes.
pub(crate) fn body(schema: u16, clock: u8, t0: i64, rows: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let count = u16::try_from(rows.len()).expect("a message's rows");
    let mut body = schema.to_be_bytes().to_vec();
    body.extend((u16::from(clock) << 14 | count).to_be_bytes());
    body.extend(t0.to_be_bytes());
    for (offset, fields) in rows {
        if count > 1 {
            body.extend(offset.to_be_bytes());
        }
        body.extend(fields);
    }
    body
}

/// The bytes of a row of [`every_type`].
pub(crate) fn every_row(seed: u64, sparse: bool) -> Vec<u8> {
    let description = every_type();
    let schema = Schema::decode(&description).expect("a good schema");
    let mut own = Own::default();
    let values = every_value(seed, &mut own);
    let mut buffer = vec![0; 1_200];
    let len = if sparse {
        let values: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(channel, value)| is_there(seed, channel).then_some(*value))
            .collect();
        encode_sparse_row(&schema, &values, &mut buffer)
    } else {
        encode_row(&schema, &values, &mut buffer)
    };
    buffer[..len.expect("room for the largest row")].to_vec()
}

/// ROWS of one f64 channel, dated `t0` and every second after.
pub(crate) fn simple_rows(first: u32, t0: i64, values: &[f64]) -> What {
    let rows: Vec<_> = (0..)
        .zip(values)
        .map(|(index, value)| (index * 1_000_000, value.to_be_bytes().to_vec()))
        .collect();
    What::Rows {
        first,
        count: u16::try_from(rows.len()).expect("a message's rows"),
        sparse: false,
        schema: 0,
        body: body(0, 3, t0, &rows),
        refused: vec![],
    }
}

/// Schema 0: one f64 channel `temperature` in `greenhouse`.
pub(crate) fn declare_simple() -> What {
    declare(0, describe("greenhouse", &[channel("temperature", ValueType::F64, 0, 1, "Cel")]))
}

pub(crate) fn declare(id: u16, description: Vec<u8>) -> What {
    What::Declare { id, description }
}

pub(crate) fn landing(device: &str, stream: u64, received: i64, what: What) -> Landing {
    Landing { device: device.into(), stream, received, what }
}

/// Lands one message.
pub(crate) fn land(
    writer: &mut Writer,
    device: &str,
    stream: u64,
    now: i64,
    what: What,
) -> Verdict {
    writer
        .land(&[landing(device, stream, now, what)], now)
        .pop()
        .expect("one verdict for one landing")
}

pub(crate) fn open(dir: &Path) -> Writer {
    open_with(dir, Options::default())
}

pub(crate) fn open_with(dir: &Path, options: Options) -> Writer {
    Writer::open(dir, options, NOW).expect("a store that opens")
}

/// Every sample of the store.
pub(crate) fn samples(dir: &Path) -> Vec<Sample> {
    let query = Query { limit: 1_000_000, ..Query::default() };
    Reader::open(dir).map(|reader| reader.query(&query).expect("a query")).expect("a reader")
}

/// The answer to SQL, as text: cells by `|`, one row a line.
pub(crate) fn sql(dir: &Path, sql: &str) -> String {
    use senda_store::Cell;
    let answer = Reader::open(dir).expect("a reader").sql(sql, 100_000).expect(sql);
    let cell = |cell: &Cell| match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Integer(value) => value.to_string(),
        Cell::Real(value) => format!("{value:?}"),
        Cell::Text(text) => text.clone(),
        Cell::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let rows: Vec<String> =
        answer.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join("|")).collect();
    rows.join("\n")
}

/// A copy of the files as they are now: what a crash of the process leaves.
pub(crate) fn crash_copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for name in ["senda.db", "senda.db-wal"] {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).expect("a copy");
        }
    }
}
