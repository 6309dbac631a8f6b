//! Spec §5.8: rows in which channels may be absent.

use std::time::Duration;

use proptest::prelude::*;
use senda_session::device::{Batch, Config, Event, PushError, SchemaId, Transport};
use senda_wire::registry::encoding;
use senda_wire::{
    Clock, ErrorCode, Message, MessageType, Presence, Schema, Skip, SkipCause, Value, ValueType,
    encode_row, encode_sparse_row,
};

use crate::bench::{Bench, Sent, config, description};

/// Ten channels: a bitmap of two bytes, six of whose bits are unused.
const CHANNELS: usize = 10;

/// A value for each channel, or none.
type Row = Vec<Option<u8>>;

fn wide() -> Vec<u8> {
    let mut types = [ValueType::U8; CHANNELS];
    types[1] = ValueType::Bool;
    description("wide", &types)
}

fn value(channel: usize, byte: u8) -> Value<'static> {
    if channel == 1 { Value::Bool(byte % 2 == 1) } else { Value::U8(byte) }
}

fn bench(config: Config, transport: Transport) -> (Bench, SchemaId) {
    let mut bench = Bench::open(config, transport);
    let schema = bench.device.declare(&wide()).unwrap();
    bench.declared();
    (bench, schema)
}

fn sparse_bytes(row: &Row) -> Vec<u8> {
    let description = wide();
    let values: Vec<Option<Value<'_>>> = row
        .iter()
        .enumerate()
        .map(|(channel, byte)| byte.map(|byte| value(channel, byte)))
        .collect();
    let mut bytes = [0; 32];
    let schema = Schema::decode(&description).unwrap();
    let len = encode_sparse_row(&schema, &values, &mut bytes).unwrap();
    bytes[..len].to_vec()
}

fn push(bench: &mut Bench, schema: SchemaId, row: &Row, time_us: i64) -> u32 {
    let bytes = sparse_bytes(row);
    bench.device.push_sparse(bench.now, schema, Clock::UtcSynced, time_us, &bytes).unwrap()
}

/// A row of which the first channels are there.
fn first_channels(count: usize) -> Row {
    (0..CHANNELS).map(|channel| (channel < count).then_some(7)).collect()
}

/// Number, time and values of each row of a data message.
fn read(sent: &Sent) -> Vec<(u32, i64, Vec<Option<Value<'_>>>)> {
    let (data, presence) = match sent.message() {
        Message::Rows(data) => (data, Presence::All),
        Message::Sparse(data) => (data, Presence::Bitmap),
        other => panic!("{other:?}"),
    };
    let description = wide();
    let schema = Schema::decode(&description).unwrap();
    let mut rows = data.rows(&schema, presence).unwrap();
    let mut read = Vec::new();
    while let Some(row) = rows.next_row().unwrap() {
        assert_eq!(row.bad_channel, None);
        let time = data.head.t0 + i64::from(row.time_offset);
        read.push((sent.seq + u32::from(row.index), time, row.values().collect()));
    }
    read
}

fn is_data(sent: &Sent) -> bool {
    matches!(sent.kind, MessageType::Rows | MessageType::Sparse)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What is absent stays absent, what is there arrives as it went, in messages of one form each.
    #[test]
    fn rows_of_both_forms_arrive_as_they_were_pushed(
        rows in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<Option<u8>>(), CHANNELS),
                prop::collection::vec(any::<u8>().prop_map(Some), CHANNELS),
            ],
            1..60,
        ),
        tcp: bool,
        batch in 1u16..20,
    ) {
        let batch = Batch { rows: batch, delay: Duration::from_secs(1) };
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let (mut bench, schema) = bench(Config { batch, ..config() }, transport);
        for (number, row) in (0..).zip(&rows) {
            prop_assert_eq!(push(&mut bench, schema, row, 1_000 * i64::from(number)), number);
        }
        bench.device.flush();
        let mut arrived = Vec::new();
        for _ in 0..200 {
            for sent in bench.sent().iter().filter(|sent| is_data(sent)) {
                let is_sparse = sent.kind == MessageType::Sparse;
                for (number, time, values) in read(sent) {
                    prop_assert_eq!(is_sparse, values.iter().any(Option::is_none));
                    prop_assert_eq!(time, 1_000 * i64::from(number));
                    let own: Row = values
                        .into_iter()
                        .map(|value| value.map(|value| match value {
                            Value::U8(byte) => byte,
                            Value::Bool(bit) => u8::from(bit),
                            other => panic!("{other:?}"),
                        }))
                        .collect();
                    arrived.push((number, own));
                }
            }
            if bench.device.is_flushed() {
                break;
            }
            bench.ack(u32::try_from(arrived.len()).unwrap());
            bench.wait(Duration::from_millis(50));
        }
        let bit = |(channel, byte): (usize, &Option<u8>)| {
            if channel == 1 { byte.map(|byte| byte % 2) } else { *byte }
        };
        let pushed = rows.iter().map(|row| row.iter().enumerate().map(bit).collect::<Row>());
        prop_assert_eq!(arrived, (0..).zip(pushed).collect::<Vec<_>>());
    }

    /// A row that a collector would refuse, or could not read, is not queued.
    #[test]
    fn bytes_that_are_no_row_are_not_taken(bytes in prop::collection::vec(any::<u8>(), 0..16)) {
        let (mut bench, schema) = bench(config(), Transport::Udp);
        let pushed = bench.device.push_sparse(bench.now, schema, Clock::UtcSynced, 0, &bytes);
        let sent = bench.sent();
        match pushed {
            Ok(_) => drop(read(sent.iter().find(|sent| is_data(sent)).unwrap())),
            Err(error) => prop_assert_eq!((error, sent.len()), (PushError::BadRow, 0)),
        }
    }
}

#[test]
fn a_row_in_which_nothing_is_absent_travels_as_rows() {
    let (mut bench, schema) = bench(config(), Transport::Udp);
    push(&mut bench, schema, &first_channels(CHANNELS), 0);
    push(&mut bench, schema, &first_channels(3), 0);
    let kinds: Vec<_> = bench.sent().iter().map(|sent| sent.kind).collect();
    assert_eq!(kinds, [MessageType::Rows, MessageType::Sparse]);
}

#[test]
fn a_row_with_a_wrong_bitmap_value_or_length_is_not_taken() {
    let (mut bench, schema) = bench(config(), Transport::Udp);
    for bad in [
        &[][..],
        &[0x80],
        &[0x80, 0x00],       // The field is missing.
        &[0x80, 0x00, 1, 2], // One too many.
        &[0x80, 0x20, 1],    // A bit without a channel.
        &[0x40, 0x00, 2],    // No bool.
    ] {
        let pushed = bench.device.push_sparse(bench.now, schema, Clock::UtcSynced, 0, bad);
        assert_eq!(pushed, Err(PushError::BadRow), "{bad:?}");
    }
    let nothing = bench.device.push_sparse(bench.now, schema, Clock::UtcSynced, 0, &[0, 0]);
    assert_eq!(nothing, Ok(0), "a row of which nothing is there is one");
}

/// Spec §7.6b: SKIP(REJECTED) takes the place of rows that have no form which this collector reads.
#[test]
fn a_collector_without_sparse_gets_the_full_rows_and_a_skip_for_the_others() {
    let mut bench = Bench::new(config(), Transport::Udp);
    let schema = bench.device.declare(&wide()).unwrap();
    bench.terms.encodings = encoding::ROWS;
    push(&mut bench, schema, &first_channels(CHANNELS), 0);
    push(&mut bench, schema, &first_channels(4), 0); // Before the session: nobody knows yet.
    bench.device.connect(bench.now, bench.transport);
    let hello = bench.hello();
    assert_eq!(hello.hello().encodings, encoding::ROWS | encoding::SPARSE);
    bench.welcome(&hello);
    let dropped = |first| Event::Dropped { first, count: 1, cause: SkipCause::Rejected };
    assert!(bench.events().contains(&dropped(1)), "as soon as it is known");
    push(&mut bench, schema, &first_channels(0), 0); // In it.
    let mut sent = bench.declared();
    sent.extend(bench.sent());
    let rows: Vec<_> = sent.iter().filter(|sent| is_data(sent)).map(Sent::rows).collect();
    assert_eq!(rows, [0..1]);
    let [skip] = &sent.iter().filter(|s| s.kind == MessageType::Skip).collect::<Vec<_>>()[..]
    else {
        panic!("{sent:?}")
    };
    assert_eq!(skip.message(), Message::Skip(Skip { count: 2, cause: SkipCause::Rejected.code() }));
    assert_eq!(skip.seq, 1);
    assert!(bench.events().contains(&dropped(2)));
    bench.ack(3);
    assert!(bench.device.is_flushed());
    assert_eq!(bench.device.stats().skipped[2], 2);
}

/// The same when the collector changes its mind: NACK 204.
#[test]
fn sparse_rows_that_a_nack_does_not_want_are_given_up() {
    let (mut bench, schema) = bench(config(), Transport::Udp);
    push(&mut bench, schema, &first_channels(2), 0);
    let sent = bench.sent();
    assert_eq!(sent[0].kind, MessageType::Sparse);
    bench.nack(&sent[0], ErrorCode::UNSUPPORTED_ENCODING, 0, 1, 0);
    assert_eq!(bench.sent_of(MessageType::Skip).len(), 1);
}

/// Spec §7.6a, §5.7c: as rows in the other form.
#[test]
fn sparse_rows_are_sent_again_and_refused_like_all_others() {
    let (mut bench, schema) = bench(config(), Transport::Udp);
    push(&mut bench, schema, &first_channels(2), 0);
    let mut sent = bench.sent();
    push(&mut bench, schema, &first_channels(3), 0);
    sent.extend(bench.sent());
    bench.nack(&sent[0], ErrorCode::BUSY, 0, 1, 10);
    bench.nack(&sent[1], ErrorCode::BAD_VALUE, 1, 1, 0);
    bench.wait(Duration::from_millis(20));
    let again = bench.sent_of(MessageType::Sparse);
    assert_eq!(again.iter().map(Sent::rows).collect::<Vec<_>>(), [0..1]);
    bench.ack(2);
    let stats = bench.device.stats();
    assert_eq!((stats.acked, stats.refused, bench.device.is_flushed()), (1, 1, true));
}

/// Spec §6.7a.
#[test]
fn sparse_rows_move_to_a_new_stream_with_the_others() {
    let (mut bench, schema) = bench(config(), Transport::Udp);
    push(&mut bench, schema, &first_channels(2), 0);
    bench.sent();
    bench.close(bench.session, ErrorCode::REPLACED, 0);
    let moved = bench.events().into_iter().find_map(|event| match event {
        Event::NewStream(stream) => Some(stream.moved),
        _ => None,
    });
    assert_eq!(moved, Some(vec![(0, 1, 0)]));
}

#[test]
fn a_full_row_may_be_pushed_in_either_form() {
    let (mut bench, schema) = bench(config(), Transport::Udp);
    let description = wide();
    let full = Schema::decode(&description).unwrap();
    let values: Vec<Value<'_>> = (0..CHANNELS).map(|channel| value(channel, 1)).collect();
    let mut row = [0; CHANNELS];
    encode_row(&full, &values, &mut row).unwrap();
    bench.device.push(bench.now, schema, Clock::UtcSynced, 0, &row).unwrap();
    push(&mut bench, schema, &vec![Some(1); CHANNELS], 0);
    let sent = bench.sent();
    let rows: Vec<_> = sent.iter().filter(|sent| is_data(sent)).flat_map(read).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].2, rows[1].2);
}
