//! What the devices make: every row's fate is a function of its stream and number, so that any message may bring it.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use senda_store::{Landing, Retention, Value, What};
use senda_wire::{ChannelSpec, Identifier, Schema, ValueType};

pub(crate) const NOW: i64 = 1_700_000_000_000_000;
pub(crate) const SECOND: i64 = 1_000_000;
/// The streams, by index. One device has two; the last one's first rows are old.
pub(crate) const STREAMS: [(&str, u64); 4] =
    [("gh-1", 11), ("gh-1", 12), ("gh-2", 21), ("tank", 31)];
/// Rows that are handled alike: all skipped, all refused, or with values.
const BLOCK: u32 = 8;
const DAY: i64 = 86_400 * SECOND;
/// What is older goes.
pub(crate) const RETENTION: Retention = Retention { age: Some(5 * DAY), bytes: None };

/// Rows, by index of their stream.
pub(crate) type Rows = BTreeMap<usize, BTreeSet<u32>>;

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fate {
    Stored(Value),
    Refused,
    Skipped,
}

/// Some rows of one block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) stream: usize,
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// What the collector does next.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// One commit.
    Land(Vec<Message>),
    /// One slice, of so many rows.
    File(usize),
    /// The checkpointer runs, where there is one.
    Checkpoint,
    /// One slice of retention.
    Retain,
}

pub(crate) fn fate(stream: usize, row: u32) -> Fate {
    match (row / BLOCK + u32::try_from(stream).expect("four streams")) % 6 {
        2 => Fate::Skipped,
        4 => Fate::Refused,
        _ if row % 13 == 5 => Fate::Refused,
        _ if has_levels(stream, row) => Fate::Stored(Value::Unsigned(row.into())),
        _ => Fate::Stored(Value::F64(f64::from(row) + 0.5)),
    }
}

/// True when retention may have taken the row.
pub(crate) fn is_old(stream: usize, row: u32) -> bool {
    taken(stream, row) < NOW - DAY
}

fn taken(stream: usize, row: u32) -> i64 {
    let age = if stream == 3 && row < 3 * BLOCK { 10 * DAY } else { 0 };
    NOW - age + i64::from(row) * SECOND
}

/// True for the second schema, which the third stream uses now and then and the last one always.
fn has_levels(stream: usize, row: u32) -> bool {
    stream == 3 || stream == 2 && row / BLOCK % 2 == 1
}

impl Message {
    pub(crate) fn rows(self) -> impl Iterator<Item = u32> {
        self.first..self.first + self.count
    }

    pub(crate) fn landing(self, now: i64) -> Landing {
        let Self { stream, first, count } = self;
        let what = match (first / BLOCK + u32::try_from(stream).expect("four streams")) % 6 {
            2 => What::Skip { first, count, cause: 1 },
            4 => What::RefusedMessage { first, count, code: 303, kind: 0x10, body: vec![7; 100] },
            _ => self.data(),
        };
        landing(stream, now, what)
    }

    fn data(self) -> What {
        let count = u16::try_from(self.count).expect("at most a block");
        let schema = u16::from(has_levels(self.stream, self.first));
        let mut body = schema.to_be_bytes().to_vec();
        body.extend((3 << 14 | count).to_be_bytes());
        body.extend(taken(self.stream, self.first).to_be_bytes());
        for (index, row) in (0..).zip(self.rows()) {
            if count > 1 {
                body.extend((index * 1_000_000u32).to_be_bytes());
            }
            match fate(self.stream, row) {
                Fate::Stored(Value::F64(value)) => body.extend(value.to_be_bytes()),
                _ if schema == 1 => body.extend(row.to_be_bytes()),
                _ => body.extend(f64::NAN.to_be_bytes()),
            }
        }
        let is_refused = |row: &(u16, u32)| fate(self.stream, row.1) == Fate::Refused;
        let refused = (0..).zip(self.rows()).filter(is_refused).map(|(index, _)| (index, 301));
        let refused = refused.collect();
        What::Rows { first: self.first, count, sparse: false, schema, body, refused }
    }
}

/// Both schemas of a stream, as a device declares them in every session.
pub(crate) fn declarations(stream: usize, now: i64) -> [Landing; 2] {
    let describe = |schema: &'static str, channel, value_type| {
        let name = |text| Identifier::new(text).expect("the grammar of names");
        let channels = [ChannelSpec::new(name(channel), value_type)];
        let described = Schema::encode(name(schema), &channels, &mut [0; 64]).map(<[u8]>::to_vec);
        described.expect("a schema within the limits")
    };
    [
        (0, describe("greenhouse", "temperature", ValueType::F64)),
        (1, describe("tank", "level", ValueType::U32)),
    ]
    .map(|(id, description)| landing(stream, now, What::Declare { id, description }))
}

/// Something that happened, once: its text says when.
pub(crate) fn event(now: i64) -> Landing {
    landing(0, now, What::Event { kind: "probe".into(), text: now.to_string() })
}

fn landing(stream: usize, now: i64, what: What) -> Landing {
    let (device, id) = STREAMS[stream];
    Landing { device: device.into(), stream: id, received: now, what }
}

/// Every message that the devices make, in an order in which they come; some come twice, some overlap, some are late.
pub(crate) fn history(seed: u64, blocks: u32) -> Vec<Act> {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut messages = Vec::new();
    for block in 0..blocks {
        for stream in 0..STREAMS.len() {
            let (first, count) = (block * BLOCK, BLOCK);
            let whole = Message { stream, first, count };
            if random.random_bool(0.5) {
                messages.push(whole);
                continue;
            }
            let cut = random.random_range(1..count);
            messages.push(Message { count: cut, ..whole });
            messages.push(Message { first: first + cut / 2, count: count - cut / 2, ..whole });
        }
    }
    for piece in messages.chunks_mut(6) {
        piece.shuffle(&mut random);
    }
    let mut acts = Vec::new();
    let mut rest = &messages[..];
    while !rest.is_empty() {
        let (now, later) = rest.split_at(random.random_range(1..=4).min(rest.len()));
        let mut batch = now.to_vec();
        if random.random_bool(0.3) {
            batch.push(messages[random.random_range(0..messages.len() - later.len())]);
        }
        acts.push(Act::Land(batch));
        rest = later;
        acts.extend((0..random.random_range(0..5)).map(|_| Act::File(6)));
        if random.random_bool(0.2) {
            acts.push(Act::Checkpoint);
        }
        if random.random_bool(0.2) {
            acts.push(Act::Retain);
        }
    }
    acts
}

/// All rows of a history.
pub(crate) fn rows_of(history: &[Act]) -> Rows {
    let mut rows = Rows::new();
    for act in history {
        let Act::Land(batch) = act else { continue };
        for message in batch {
            rows.entry(message.stream).or_default().extend(message.rows());
        }
    }
    rows
}
