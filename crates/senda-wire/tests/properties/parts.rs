//! Strategies for valid messages: owned parts, put together into borrowing messages when a test asks.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use senda_wire::registry::{DoneStatus, OptionCode};
use senda_wire::{
    Ack, Alert, Causes, ChannelSpec, Clock, Close, Command, Config, Counts, Data, DataHead,
    Declare, DeviceName, Done, Durability, ErrorCode, Head, Hello, Identifier, List, Message,
    MessageType, Nack, NamedValue, Options, Ping, Presence, Range, Ranges, Report, Schema, Skip,
    SkipCause, Suite, Time, TimeReq, TypedValue, Value, ValueType, Vector, Welcome, Window,
    encode_row, encode_sparse_row,
};

/// Well-formed pieces of every kind; each message type takes those that it needs.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) message_type: MessageType,
    wide: [u64; 3],
    narrow: [u32; 4],
    short: [u16; 8],
    byte: u8,
    texts: [String; 3],
    device: String,
    name: String,
    cookie: Vec<u8>,
    options: Vec<(u8, Vec<u8>)>,
    list: Vec<Entry>,
    marks: BTreeSet<u32>,
    causes: BTreeMap<u8, u64>,
    pub(crate) table: Table,
}

/// For each row the wire form of each value; `None` where it is absent.
type Stated = Vec<Vec<Option<Vec<u8>>>>;

/// A schema and the bits of its rows.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    channels: Vec<OwnedChannel>,
    rows: Vec<[u64; 12]>,
    clock: u8,
}

#[derive(Clone, Debug)]
struct OwnedChannel {
    name: String,
    value_type: ValueType,
    exponent: i8,
    counter: bool,
    elements: u8,
    max_len: u16,
    unit: String,
    labels: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    value_type: ValueType,
    exponent: i8,
    elements: u8,
    bits: u64,
}

/// Every type that has an encoder.
pub(crate) fn any_parts() -> impl Strategy<Value = Parts> {
    let numbers = (any::<[u64; 3]>(), any::<[u32; 4]>(), any::<[u16; 8]>(), any::<u8>());
    let texts = (["\\PC{0,30}", "\\PC{0,30}", "\\PC{0,60}"], device_name(), identifier());
    let option = prop_oneof![
        (Just(OptionCode::Pad.code()), vec(any::<u8>(), 0..9)),
        (Just(OptionCode::Software.code()), "[ -~]{0,63}".prop_map(String::into_bytes)),
        (0x03..=0xFFu8, vec(any::<u8>(), 0..9))
            .prop_filter("has a form", |(code, _)| *code != 0x81),
    ];
    let lists = (vec(any::<u8>(), 0..=64), vec(option, 0..4), vec(entry(), 0..=32));
    let sets = (btree_set(any::<u32>(), 0..=128), btree_map(1..=4u8, any::<u64>(), 0..5));
    let types: Vec<_> =
        MessageType::ALL.iter().copied().filter(|kind| *kind != MessageType::Sealed).collect();
    (select(types), numbers, texts, lists, sets, any_table()).prop_map(
        |(message_type, numbers, texts, lists, sets, table)| Parts {
            message_type,
            wide: numbers.0,
            narrow: numbers.1,
            short: numbers.2,
            byte: numbers.3,
            texts: texts.0,
            device: texts.1,
            name: texts.2,
            cookie: lists.0,
            options: lists.1,
            list: lists.2,
            marks: sets.0,
            causes: sets.1,
            table,
        },
    )
}

/// A schema of up to 12 channels and up to 6 rows of it.
pub(crate) fn any_table() -> impl Strategy<Value = Table> {
    let rows = vec(any::<[u64; 12]>(), 1..6);
    (vec(channel(), 1..=12), rows, 0..4u8).prop_map(|(mut channels, rows, clock)| {
        for (index, channel) in channels.iter_mut().enumerate() {
            channel.name = format!("{}_{index}", channel.name);
        }
        Table { channels, rows, clock }
    })
}

impl Table {
    /// The schema's description.
    pub(crate) fn description(&self) -> Vec<u8> {
        let labels: Vec<Vec<&str>> =
            self.channels.iter().map(|c| c.labels.iter().map(String::as_str).collect()).collect();
        let specs: Vec<_> = self
            .channels
            .iter()
            .zip(&labels)
            .map(|(channel, labels)| ChannelSpec {
                name: Identifier::new(&channel.name).unwrap(),
                value_type: channel.value_type,
                exponent: channel.exponent,
                counter: channel.counter,
                elements: channel.elements,
                max_len: channel.max_len,
                unit: &channel.unit,
                labels,
            })
            .collect();
        let mut out = vec![0; 16_384];
        Schema::encode(Identifier::new("table").unwrap(), &specs, &mut out).unwrap().to_vec()
    }

    /// The body behind t0, and what it holds.
    pub(crate) fn rows(&self, presence: Presence) -> (Vec<u8>, Stated) {
        let description = self.description();
        let schema = Schema::decode(&description).unwrap();
        let (mut body, mut stated) = (Vec::new(), Vec::new());
        for bits in &self.rows {
            if self.rows.len() > 1 {
                body.extend(bits[0].to_be_bytes()[..4].iter());
            }
            let stores: Vec<_> =
                self.channels.iter().zip(bits).map(|(c, bits)| Store::new(c, *bits)).collect();
            let values: Vec<_> = stores.iter().map(Store::value).collect();
            let mut out = vec![0; schema.bitmap_len() + schema.row_max()];
            let absent = |index: usize| presence == Presence::Bitmap && bits[index] & 0x100 != 0;
            let sparse: Vec<_> =
                values.iter().enumerate().map(|(i, v)| (!absent(i)).then_some(*v)).collect();
            let len = match presence {
                Presence::All => encode_row(&schema, &values, &mut out).unwrap(),
                Presence::Bitmap => encode_sparse_row(&schema, &sparse, &mut out).unwrap(),
            };
            body.extend(&out[..len]);
            stated.push(sparse.iter().map(|value| value.map(|value| wire(&value))).collect());
        }
        (body, stated)
    }

    /// The fields before the rows.
    pub(crate) fn head(&self, wide: u64) -> DataHead {
        let clock = Clock::from_code(self.clock).unwrap();
        let t0 = if clock == Clock::None { 0 } else { wide.cast_signed() };
        DataHead { schema: 3, clock, count: u16::try_from(self.rows.len()).unwrap(), t0 }
    }
}

impl Parts {
    /// The message that these parts make, and its header.
    pub(crate) fn with<T>(&self, use_it: impl FnOnce(&Message<'_>, Head) -> T) -> T {
        let flags = 0x01 | self.byte & 0x0C;
        let seq = self.narrow[0];
        let head = Head { session: self.narrow[1].max(1), seq, flags };
        let opening = Head { session: 0, ..head };
        let schema_id = Head { seq: seq % 64, ..head };
        let row = Head { seq: seq.min(0xFFFF_0000), ..head };
        match self.message_type {
            MessageType::Hello | MessageType::Retry => self.opening(|m| use_it(m, opening)),
            MessageType::Declare | MessageType::Declared => self.simple(|m| use_it(m, schema_id)),
            MessageType::Counts | MessageType::Skip => self.simple(|m| use_it(m, row)),
            MessageType::Rows
            | MessageType::Sparse
            | MessageType::Columns
            | MessageType::RowsU
            | MessageType::ColumnsU => self.data(|m| use_it(m, row)),
            MessageType::Config | MessageType::Command | MessageType::Alert | MessageType::Done => {
                self.control(|m| use_it(m, head))
            }
            MessageType::Welcome => self.opening(|m| use_it(m, head)),
            MessageType::Ack => self.ack(seq, |m| use_it(m, head)),
            _ => self.simple(|m| use_it(m, head)),
        }
    }

    /// The encoded message.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; 65_535];
        let len = self.with(|message, head| message.encode(head, &mut out).unwrap());
        out.truncate(len);
        out
    }

    fn opening<T>(&self, use_it: impl FnOnce(&Message<'_>) -> T) -> T {
        let mut options = Vec::new();
        for (code, value) in &self.options {
            options.push(*code);
            options.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            options.extend(value);
        }
        let options = Options::new(&options).unwrap();
        use_it(&match self.message_type {
            MessageType::Hello => Message::Hello(self.hello(options)),
            MessageType::Welcome => Message::Welcome(self.welcome(options)),
            _ => {
                Message::Retry { cookie: if self.cookie.is_empty() { &[7] } else { &self.cookie } }
            }
        })
    }

    fn hello<'a>(&'a self, options: Options<'a>) -> Hello<'a> {
        Hello {
            stream: self.wide[0],
            nonce: self.wide[1],
            next_row: self.narrow[0].max(self.narrow[1]),
            oldest_row: self.narrow[0].min(self.narrow[1]),
            keepalive_s: 1 + self.narrow[2] % 86_400,
            max_msg: self.short[0].max(256),
            ack_every: 1 + self.short[1] % 1_024,
            ack_delay_ms: self.short[2],
            suite: Suite::from_code(self.byte % 3).unwrap(),
            downlink: self.byte & 7,
            encodings: self.short[3] | 1,
            config_rev: self.narrow[3],
            last_command_id: self.narrow[2],
            device: DeviceName::new(&self.device).unwrap(),
            cookie: &self.cookie,
            options,
        }
    }

    fn welcome<'a>(&'a self, options: Options<'a>) -> Welcome<'a> {
        Welcome {
            nonce: self.wide[1],
            next_row: self.narrow[0].min(self.narrow[1]),
            high_row: self.narrow[0].max(self.narrow[1]),
            server_time: self.wide[2].cast_signed(),
            window_rows: self.narrow[3],
            max_msg: self.short[0].max(1_200),
            encodings: self.short[3] | 1,
            durability: Durability::from_code(self.byte % 3).unwrap(),
            suite: Suite::from_code(self.byte % 3).unwrap(),
            commit_interval_ms: self.short[2],
            keepalive_s: 1 + self.narrow[2] % 86_400,
            ack_every: 1 + self.short[1] % 1_024,
            ack_delay_ms: self.short[4],
            max_channels: self.short[5],
            max_schemas: self.short[6],
            max_elements: self.short[7],
            max_values: self.narrow[2],
            max_decoded: self.narrow[3],
            options,
        }
    }

    fn data<T>(&self, use_it: impl FnOnce(&Message<'_>) -> T) -> T {
        let sparse = self.message_type == MessageType::Sparse;
        let presence = if sparse { Presence::Bitmap } else { Presence::All };
        let (rows, _) = self.table.rows(presence);
        let data = Data { head: self.table.head(self.wide[0]), rows: &rows };
        use_it(&match self.message_type {
            MessageType::Rows => Message::Rows(data),
            MessageType::Sparse => Message::Sparse(data),
            MessageType::Columns => Message::Columns(data),
            MessageType::RowsU => Message::RowsU(data),
            _ => Message::ColumnsU(data),
        })
    }

    fn control<T>(&self, use_it: impl FnOnce(&Message<'_>) -> T) -> T {
        let named = self.message_type == MessageType::Config;
        let names: Vec<_> = self.list.iter().map(|entry| entry.name(named)).collect();
        let channels: Vec<_> = self.list.iter().map(Entry::channel).collect();
        let stores: Vec<_> =
            channels.iter().zip(&self.list).map(|(c, entry)| Store::new(c, entry.bits)).collect();
        let values: Vec<_> = names
            .iter()
            .zip(&stores)
            .zip(&self.list)
            .map(|((name, store), entry)| NamedValue {
                name,
                typed: TypedValue { exponent: entry.exponent, value: store.value() },
            })
            .collect();
        let mut out = vec![0; 65_535];
        let list = List::build(&values, &mut out).unwrap();
        use_it(&match self.message_type {
            MessageType::Config => {
                Message::Config(Config { revision: self.narrow[2].max(1), settings: list })
            }
            MessageType::Command => Message::Command(Command {
                id: self.narrow[2].max(1),
                ttl_ms: self.narrow[3],
                name: &self.name,
                arguments: list,
            }),
            MessageType::Alert => Message::Alert(Alert {
                id: self.narrow[2],
                time: self.wide[0].cast_signed(),
                raised: self.byte & 1 == 1,
                severity: self.byte % 3,
                schema: &self.texts[0],
                channel: &self.texts[1],
                text: &self.texts[2],
                values: list,
            }),
            _ => Message::Done(Done {
                answered: [MessageType::Config, MessageType::Command, MessageType::Alert]
                    [usize::from(self.byte % 3)],
                id: self.narrow[2],
                status: DoneStatus::from_code(self.byte % 6).unwrap(),
                text: &self.texts[2],
                results: list,
            }),
        })
    }

    fn ack<T>(&self, seq: u32, use_it: impl FnOnce(&Message<'_>) -> T) -> T {
        // Pairs of distinct numbers above seq + 1 are ranges that don't touch.
        let marks: Vec<_> = self.marks.iter().filter(|mark| **mark > seq).copied().collect();
        let pairs = marks.chunks_exact(2).map(|pair| Range { start: pair[0], end: pair[1] });
        let ranges: Vec<_> = pairs.collect();
        let mut out = [0; 64 * 8];
        let window = Window {
            window_rows: self.narrow[3],
            ack_delay_ms: self.short[0],
            retry_after_ms: self.short[1],
            ranges: Ranges::build(seq, &ranges, &mut out).unwrap(),
        };
        use_it(&Message::Ack(Ack { window: (self.byte != 0).then_some(window) }))
    }

    fn simple<T>(&self, use_it: impl FnOnce(&Message<'_>) -> T) -> T {
        let [a, b, c, d] = self.narrow;
        let [t1, t2, t3] = self.wide.map(u64::cast_signed);
        let causes: Vec<_> = self
            .causes
            .iter()
            .map(|(cause, count)| (SkipCause::from_code(*cause).unwrap(), *count))
            .collect();
        let mut out = [0; 16 * 9];
        let causes = Causes::build(&causes, &mut out).unwrap();
        let (code, text) = (ErrorCode(self.short[0]), self.texts[2].as_str());
        let parts = 1 + self.byte % 64;
        let declare =
            Declare { part: self.byte % parts, parts, crc: a, bytes: self.device.as_bytes() };
        let clock = Clock::from_code(1 + self.byte % 3).unwrap();
        use_it(&match self.message_type {
            MessageType::Declare => Message::Declare(declare),
            MessageType::Declared => Message::Declared { crc: c },
            MessageType::Close => Message::Close(Close { code, retry_after_ms: a, text }),
            MessageType::Counts => Message::Counts(Counts { made: self.wide[0], causes }),
            MessageType::Skip => Message::Skip(Skip { count: 1 + a % 0xFFFF, cause: self.byte }),
            MessageType::Nack => {
                let refused_type = self.byte;
                let (first, count, retry_after_ms) = (a, b, c);
                Message::Nack(Nack { refused_type, code, first, count, retry_after_ms, text })
            }
            MessageType::Report => {
                Message::Report(Report { received: a, duplicates: b, missing: d })
            }
            MessageType::TimeReq => {
                Message::TimeReq(TimeReq { t1, offset: t2, uncertainty: a, clock })
            }
            MessageType::Time => Message::Time(Time { t1, t2, t3 }),
            MessageType::Ping => Message::Ping(Ping { token: self.wide[0] }),
            MessageType::Pong => Message::Pong(Ping { token: self.wide[0] }),
            other => panic!("{other:?} is not simple"),
        })
    }
}

impl Entry {
    /// Settings have a name; arguments may be positional. Spec §5.17.
    fn name(&self, named: bool) -> &str {
        if named && self.name.is_empty() { "x" } else { &self.name }
    }

    fn channel(&self) -> OwnedChannel {
        OwnedChannel {
            name: String::new(),
            value_type: self.value_type,
            exponent: self.exponent,
            counter: false,
            elements: self.elements,
            max_len: 40,
            unit: String::new(),
            labels: BTreeSet::new(),
        }
    }
}

/// The bytes that a value borrows.
struct Store<'a> {
    channel: &'a OwnedChannel,
    bits: u64,
    text: String,
    bytes: Vec<u8>,
}

impl<'a> Store<'a> {
    fn new(channel: &'a OwnedChannel, bits: u64) -> Self {
        let max_len = usize::from(channel.max_len);
        let len = usize::try_from(bits % 41).unwrap().min(max_len);
        let text = format!("{bits:0>40}")[..len].to_owned();
        let size = channel.value_type.size().unwrap_or(1) * usize::from(channel.elements);
        let blob = channel.value_type == ValueType::Blob;
        let len = if blob { len } else { size };
        let bytes = bits.to_be_bytes().into_iter().cycle().take(len).collect();
        Self { channel, bits, text, bytes }
    }

    fn value(&self) -> Value<'_> {
        let (low, mid, wide) = (self.bits.to_be_bytes(), self.bits.to_le_bytes(), self.bits);
        let half = u32::from_be_bytes([low[0], low[1], low[2], low[3]]);
        let quarter = u16::from_be_bytes([mid[0], mid[1]]);
        if self.channel.elements > 1 {
            return Value::Vector(Vector::new(self.channel.value_type, &self.bytes).unwrap());
        }
        match self.channel.value_type {
            ValueType::Bool => Value::Bool(wide & 1 == 1),
            ValueType::U8 => Value::U8(low[0]),
            ValueType::U16 => Value::U16(quarter),
            ValueType::U32 => Value::U32(half),
            ValueType::U64 => Value::U64(wide),
            ValueType::I8 => Value::I8(low[0].cast_signed()),
            ValueType::I16 => Value::I16(quarter.cast_signed()),
            ValueType::I32 => Value::I32(half.cast_signed()),
            ValueType::I64 => Value::I64(wide.cast_signed()),
            ValueType::F32 => Value::F32(f32::from_bits(half)),
            ValueType::F64 => Value::F64(f64::from_bits(wide)),
            ValueType::Text => Value::Text(&self.text),
            ValueType::Blob => Value::Blob(&self.bytes),
            ValueType::Enum8 => {
                let labels = u8::try_from(self.channel.labels.len()).unwrap();
                Value::Enum(low[0] % labels)
            }
            ValueType::Time => Value::Time(wide.cast_signed()),
        }
    }
}

/// A value as it stands in a row (spec §4.3), written down a second time here.
pub(crate) fn wire(value: &Value<'_>) -> Vec<u8> {
    match *value {
        Value::Bool(value) => vec![u8::from(value)],
        Value::U8(value) | Value::Enum(value) => vec![value],
        Value::U16(value) => value.to_be_bytes().into(),
        Value::U32(value) => value.to_be_bytes().into(),
        Value::U64(value) => value.to_be_bytes().into(),
        Value::I8(value) => value.to_be_bytes().into(),
        Value::I16(value) => value.to_be_bytes().into(),
        Value::I32(value) => value.to_be_bytes().into(),
        Value::I64(value) | Value::Time(value) => value.to_be_bytes().into(),
        Value::F32(value) => value.to_bits().to_be_bytes().into(),
        Value::F64(value) => value.to_bits().to_be_bytes().into(),
        Value::Text(text) => [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat(),
        Value::Blob(bytes) => {
            [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
        }
        Value::Vector(vector) => vector.iter().flat_map(|element| wire(&element)).collect(),
    }
}

fn channel() -> impl Strategy<Value = OwnedChannel> {
    let labels = btree_set("[a-zà-ü ]{1,12}", 1..6);
    let rest = ("[a-z][a-z0-9_]{0,20}", any::<bool>(), 1..=40u16, "[!-~]{0,31}", labels);
    (select(ValueType::ALL), -18..=18i8, 1..=8u8, rest).prop_map(
        |(value_type, exponent, elements, (name, counter, max_len, unit, labels))| OwnedChannel {
            name,
            value_type,
            exponent: if value_type.is_integer() { exponent } else { 0 },
            counter,
            elements: if value_type.is_number() { elements } else { 1 },
            max_len: match value_type {
                ValueType::Text | ValueType::Blob => max_len,
                _ => 0,
            },
            unit,
            labels: if value_type == ValueType::Enum8 { labels } else { BTreeSet::new() },
        },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    let types: Vec<_> =
        ValueType::ALL.iter().copied().filter(|kind| *kind != ValueType::Enum8).collect();
    ("[a-z0-9_.]{0,20}", select(types), -18..=18i8, 1..=8u8, any::<u64>()).prop_map(
        |(name, value_type, exponent, elements, bits)| Entry {
            name,
            value_type,
            exponent: if value_type.is_integer() { exponent } else { 0 },
            elements: if value_type.is_number() { elements } else { 1 },
            bits,
        },
    )
}

fn device_name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9][A-Za-z0-9._:-]{0,62}"
}

fn identifier() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_-]{0,62}"
}
