//! Limits and refusals, one by one: what a peer can't make this crate take.

use senda_wire::registry::{DECODED_BYTES_MAX, ROW_BYTES_MAX, VALUES_MAX};
use senda_wire::{
    BodyError, ChannelSpec, Clock, Data, DataHead, EncodeError, Frame, FrameError, Head, Hello,
    Identifier, List, Message, NamedValue, Options, Presence, Range, Ranges, RowFault, Schema,
    SchemaError, Sender, Suite, TypeError, Value, ValueType, crc32, encode_row, encode_sparse_row,
};

/// Spec §12.1a, corner case 18: a message that says more values than allowed is refused from schema and count alone. It
/// has no rows at all here, so nothing can have been read.
#[test]
fn a_bomb_of_values_is_refused_before_a_row_is_read() {
    let description = describe(&[ChannelSpec { elements: 64, ..channel("v", ValueType::U8) }]);
    let schema = Schema::decode(&description).unwrap();
    let most = u16::try_from(VALUES_MAX / 64).unwrap();
    let bomb = Data { head: head(most + 1), rows: &[] };
    let refused = RowFault::TooManyValues { values: VALUES_MAX + 64 };
    for presence in [Presence::All, Presence::Bitmap] {
        assert_eq!(bomb.check(&schema, presence, |_| ()), Err(refused));
        assert_eq!(bomb.rows(&schema, presence).unwrap_err(), refused);
        let at_the_limit = Data { head: head(most), rows: &[] };
        assert!(matches!(at_the_limit.check(&schema, presence, |_| ()), Err(RowFault::Layout(_))));
    }
}

/// Spec §12.1a: so is one of more bytes, though its values are few.
#[test]
fn a_bomb_of_bytes_is_refused_before_a_row_is_read() {
    let description = describe(&[channel("t", ValueType::Text)]);
    let schema = Schema::decode(&description).unwrap();
    let most = u16::try_from(DECODED_BYTES_MAX / 256).unwrap();
    let bomb = Data { head: head(most + 1), rows: &[] };
    let refused = RowFault::TooManyBytes { bytes: DECODED_BYTES_MAX + 256 };
    assert_eq!(bomb.check(&schema, Presence::All, |_| ()), Err(refused));
    assert_eq!(head(most).check_size(&schema), Ok(()));
}

/// Spec §4.3b, §5.7a: each kind of BAD_VALUE refuses its row and no other.
#[test]
fn a_bad_value_refuses_its_row_and_no_other() {
    let cases: [(ChannelSpec<'_>, &[u8], &[u8]); 6] = [
        (channel("b", ValueType::Bool), &[1], &[2]),
        (enumeration(), &[1], &[2]),
        (text(3), b"\x03abc", b"\x04abcd"),
        (text(3), b"\x02\xC3\xA4", b"\x02\xC3\x28"),
        (text(3), b"\x00", b"\x03\xED\xA0\x80"),
        (blob(2), b"\0\x02ab", b"\0\x03abc"),
    ];
    for (channel, good, bad) in cases {
        let description = describe(&[channel]);
        let schema = Schema::decode(&description).unwrap();
        for refused in 0..3u16 {
            let row = |index: u16| if index == refused { bad } else { good };
            let rows: Vec<u8> = (0..3).flat_map(|i| [&[0, 0, 0, 9], row(i)].concat()).collect();
            let data = Data { head: head(3), rows: &rows };
            let mut found = Vec::new();
            assert_eq!(data.check(&schema, Presence::All, |row| found.push(row)), Ok(()));
            assert_eq!(found, [refused], "{channel:?}");
        }
    }
}

/// Spec §5.7b: rows that do not have the layout are refused as a whole, a good first row too.
#[test]
fn a_layout_error_refuses_every_row() {
    let description = describe(&[text(3), channel("n", ValueType::U16)]);
    let schema = Schema::decode(&description).unwrap();
    let good = b"\0\0\0\0\x01a\0\x07";
    for second in [&b"\0\0\0\0\x01a\0"[..], b"\0\0\0\0\xFFabc\0\x07", b"\0\0\0\0\x01a\0\x07!", b""]
    {
        let rows = [&good[..], second].concat();
        let data = Data { head: head(2), rows: &rows };
        let result = data.check(&schema, Presence::All, |_| ());
        assert!(matches!(result, Err(RowFault::Layout(_))), "{second:?}: {result:?}");
    }
}

/// Spec §5.8: a bitmap has no bit for a channel that is not there.
#[test]
fn a_bitmap_bit_without_a_channel_refuses_every_row() {
    let description = describe(&[channel("n", ValueType::U8)]);
    let schema = Schema::decode(&description).unwrap();
    for bitmap in 0..=255u8 {
        let rows: &[u8] = if bitmap & 0x80 == 0 { &[bitmap] } else { &[bitmap, 7] };
        let good = Data { head: head(1), rows }.check(&schema, Presence::Bitmap, |_| ()).is_ok();
        assert_eq!(good, bitmap & 0x7F == 0, "{bitmap:#x}");
    }
}

/// Spec §4.2b: the largest row is 1,100 bytes, and one byte more is refused.
#[test]
fn a_row_may_have_1100_bytes_and_no_more() {
    let at_most = describe(&[blob(1_097), channel("n", ValueType::U8)]);
    assert_eq!(Schema::decode(&at_most).unwrap().row_max(), ROW_BYTES_MAX);
    let more = describe(&[blob(1_098), channel("n", ValueType::U8)]);
    let refused = Err(SchemaError::RowTooBig { bytes: ROW_BYTES_MAX + 1 });
    assert_eq!(Schema::decode(&more), refused);
}

/// Spec §4.2a: the number of the second channel with a name, or with a label twice, is told.
#[test]
fn names_and_labels_are_unique() {
    let twice = describe(&[
        channel("a", ValueType::U8),
        channel("b", ValueType::U8),
        channel("a", ValueType::Bool),
    ]);
    assert_eq!(Schema::decode(&twice), Err(SchemaError::Duplicate { channel: 2 }));
    let labels = ChannelSpec { labels: &["on", "off", "on"], ..channel("e", ValueType::Enum8) };
    assert_eq!(Schema::decode(&describe(&[labels])), Err(SchemaError::Duplicate { channel: 0 }));
}

/// Spec §4.3b: the encoder refuses what the decoder would.
#[test]
fn a_value_that_its_channel_cannot_have_is_not_encoded() {
    let description = describe(&[enumeration(), text(3), blob(2)]);
    let schema = Schema::decode(&description).unwrap();
    let good = [Value::Enum(1), Value::Text("abc"), Value::Blob(b"ab")];
    let mut out = [0; 64];
    assert_eq!(encode_row(&schema, &good, &mut out), Ok(1 + 4 + 4));
    let bad = [Value::Enum(2), Value::Text("abcd"), Value::Blob(b"abc")];
    for channel in 0..3 {
        let mut values = good;
        values[channel] = bad[channel];
        let mismatch = Err(EncodeError::Mismatch { channel });
        assert_eq!(encode_row(&schema, &values, &mut out), mismatch);
        assert_eq!(encode_sparse_row(&schema, &values.map(Some), &mut out), mismatch);
        values[channel] = Value::U8(1);
        assert_eq!(encode_row(&schema, &values, &mut out), mismatch);
    }
    assert_eq!(
        encode_row(&schema, &good[..2], &mut out),
        Err(EncodeError::Mismatch { channel: 2 })
    );
}

/// Spec §5.26: a peer skips a malformed message without a word, so none leaves.
#[test]
fn a_message_outside_its_ranges_is_not_encoded() {
    let good = Hello {
        stream: 1,
        nonce: 2,
        next_row: 0,
        oldest_row: 0,
        keepalive_s: 30,
        max_msg: 1_200,
        ack_every: 1,
        ack_delay_ms: 0,
        suite: Suite::Open,
        downlink: 0,
        encodings: 1,
        config_rev: 0,
        last_command_id: 0,
        device: senda_wire::DeviceName::new("gh-7").unwrap(),
        cookie: &[],
        options: Options::default(),
    };
    let encode = |hello, session| {
        Message::Hello(hello).encode(Head { session, seq: 0, flags: 0 }, &mut [0; 256])
    };
    let invalid = |field, value| Err(EncodeError::Invalid(BodyError::Range { field, value }));
    assert_eq!(encode(good, 0), Ok(68));
    // Spec §5: where there is no session yet, a receiver does not look at the field.
    assert_eq!(encode(good, 5), Ok(68));
    assert_eq!(encode(Hello { keepalive_s: 0, ..good }, 0), invalid("keepalive_s", 0));
    assert_eq!(encode(Hello { oldest_row: 1, ..good }, 0), invalid("oldest_row", 1));
    assert_eq!(encode(Hello { cookie: &[0; 65], ..good }, 0), invalid("cookie", 65));
}

/// Spec §4.4 and §5.13: lists and ranges are checked where they are built.
#[test]
fn lists_and_ranges_are_checked_where_they_are_built() {
    let mut out = [0; 4096];
    let one = NamedValue::new("a", Value::U8(1));
    assert_eq!(List::build(&[one; 32], &mut out).unwrap().len(), 32);
    assert_eq!(List::build(&[one; 33], &mut out), Err(EncodeError::TooLong { field: "list" }));
    for bad in [NamedValue::new("A", Value::U8(1)), NamedValue::new("a", Value::Enum(0))] {
        assert_eq!(List::build(&[one, bad], &mut out), Err(EncodeError::Mismatch { channel: 1 }));
    }
    let touching = [Range { start: 6, end: 8 }, Range { start: 8, end: 9 }];
    assert!(Ranges::build(5, &touching[..1], &mut out).is_ok());
    assert!(Ranges::build(6, &touching[..1], &mut out).is_err());
    assert!(Ranges::build(5, &touching, &mut out).is_err());
}

/// Spec §3.5: a HELLO of a newer major is told from noise, on a stream not before it is whole.
#[test]
fn a_hello_of_another_major_is_known_when_it_is_whole() {
    let mut hello = vec![0xB1, 0x01, 0, 65];
    hello.resize(61, 7);
    hello.extend(crc32(&hello).to_be_bytes());
    assert_eq!(Frame::decode(&hello[..40], 1_200), Err(FrameError::Incomplete { missing: 25 }));
    assert_eq!(Frame::decode_datagram(&hello[..40]), Err(FrameError::BadMagic { byte: 0xB1 }));
    assert_eq!(Frame::decode(&hello, 1_200), Err(FrameError::BadMagic { byte: 0xB1 }));
    assert!(Frame::is_foreign_hello(&hello) && !Frame::is_foreign_hello(&hello[..40]));
    // Above the receiver's limit it is not waited for.
    assert_eq!(Frame::decode(&hello[..40], 64), Err(FrameError::BadMagic { byte: 0xB1 }));
}

/// Spec §3.6: a stream's message above max_msg is refused when its header is there.
#[test]
fn a_length_above_the_limit_is_refused_before_the_body_is_there() {
    let header = [0xA1, 0x10, 0xFF, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0];
    let refused = Err(FrameError::BadLength { length: 0xFFFF });
    assert_eq!(Frame::decode(&header, 16_384), refused);
    assert_eq!(Frame::decode(&header, 65_535), Err(FrameError::Incomplete { missing: 65_523 }));
    assert_eq!(Frame::decode_datagram(&header), refused);
}

/// Spec §3.7, check 7: what only a collector says is not taken from a device, nor the other way round.
#[test]
fn a_message_of_the_wrong_direction_is_known_by_its_type() {
    let frame = |code| Frame { flags: 1, code, session: 1, seq: 0, body: &[], bytes: &[] };
    assert!(frame(0x20).known_type(Sender::Collector).is_ok());
    assert!(matches!(
        frame(0x20).known_type(Sender::Device),
        Err(TypeError::WrongDirection { .. })
    ));
    assert!(frame(0x10).known_type(Sender::Device).is_ok());
    assert!(
        frame(0x42).known_type(Sender::Device).is_ok()
            && frame(0x42).known_type(Sender::Collector).is_ok()
    );
    assert_eq!(frame(0x7F).known_type(Sender::Device), Err(TypeError::Unknown { code: 0x7F }));
}

fn describe(channels: &[ChannelSpec<'_>]) -> Vec<u8> {
    let mut out = vec![0; 16_384];
    Schema::encode(Identifier::new("s").unwrap(), channels, &mut out).unwrap().to_vec()
}

fn channel(name: &str, value_type: ValueType) -> ChannelSpec<'_> {
    ChannelSpec::new(Identifier::new(name).unwrap(), value_type)
}

fn text(max_len: u16) -> ChannelSpec<'static> {
    ChannelSpec { max_len, ..channel("t", ValueType::Text) }
}

fn blob(max_len: u16) -> ChannelSpec<'static> {
    ChannelSpec { max_len, ..channel("b", ValueType::Blob) }
}

fn enumeration() -> ChannelSpec<'static> {
    ChannelSpec { labels: &["no", "yes"], ..channel("e", ValueType::Enum8) }
}

fn head(count: u16) -> DataHead {
    DataHead { schema: 0, clock: Clock::UtcSynced, count, t0: 0 }
}

/// What was accepted reads the same without the comparison of names, and only that is left out.
#[test]
fn an_accepted_description_reads_the_same_again() {
    let mut room = [0; 256];
    let name = |text| senda_wire::Identifier::new(text).unwrap();
    let channel = |text| senda_wire::ChannelSpec::new(name(text), senda_wire::ValueType::U8);
    let good =
        Schema::encode(name("s"), &[channel("a"), channel("b")], &mut room).unwrap().to_vec();
    assert_eq!(Schema::decode_accepted(&good), Schema::decode(&good));
    let twice =
        Schema::encode(name("s"), &[channel("a"), channel("a")], &mut room).unwrap().to_vec();
    assert!(Schema::decode(&twice).is_err() && Schema::decode_accepted(&twice).is_ok());
    for end in 0..good.len() {
        assert!(Schema::decode_accepted(&good[..end]).is_err());
    }
}
