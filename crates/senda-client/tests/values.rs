//! Samples become the bytes that the specification asks for, or an error that says what is wrong.

use proptest::prelude::*;

use senda_client::{Channel, Reading, Sample, Schema, ValueType};
use senda_wire::{Presence, Value};

fn one(channel: Channel) -> Schema {
    Schema::new("s").with(channel).build().unwrap()
}

fn encode(channel: Channel, value: impl Into<Reading>) -> Result<Vec<u8>, String> {
    let sample = Sample::new().set("c", value);
    sample.encode(&one(channel)).map_err(|error| error.to_string())
}

#[test]
fn scaled_integers_are_rounded_to_the_nearest() {
    let tenths = || Channel::new("c", ValueType::I16).exponent(-1);
    assert_eq!(encode(tenths(), 21.5), Ok(vec![0, 215])); // Spec §16.1.
    assert_eq!(encode(tenths(), -0.3), Ok(vec![0xFF, 0xFD]));
    assert_eq!(encode(tenths(), 0.26), Ok(vec![0, 3]));
    assert_eq!(encode(tenths(), 7), Ok(vec![0, 70]));
    let hundreds = || Channel::new("c", ValueType::U8).exponent(2);
    assert_eq!(encode(hundreds(), 1_249), Ok(vec![12]));
    assert_eq!(encode(hundreds(), 1_250.0), Ok(vec![13]));
}

#[test]
fn what_a_channel_cannot_hold_is_named() {
    let unfit = |channel, value: Reading| encode(channel, value).unwrap_err();
    let tenths = Channel::new("c", ValueType::I16).exponent(-1);
    let error = unfit(tenths.clone(), 4_000.0.into());
    assert_eq!(error, "channel `c` can't hold 4000: it is i16 × 10^-1");
    unfit(tenths.clone(), f64::NAN.into());
    unfit(tenths.clone(), f64::INFINITY.into());
    unfit(tenths, "warm".into());
    unfit(Channel::new("c", ValueType::U8), 256.into());
    unfit(Channel::new("c", ValueType::U64), (-1).into());
    unfit(Channel::new("c", ValueType::Bool), 1.into());
    unfit(Channel::new("c", ValueType::Text).max_len(3), "four".into());
    let door = Channel::new("c", ValueType::Enum8).labels(&["closed", "open"]);
    assert_eq!(
        unfit(door, "ajar".into()),
        "channel `c` can't hold \"ajar\": it is one of closed, open"
    );
    unfit(Channel::new("c", ValueType::F32).elements(3), [1.0, 2.0].into());
    unfit(Channel::new("c", ValueType::F32).elements(3), 1.0.into());
    unfit(Channel::new("c", ValueType::F32), [1.0].into());
}

#[test]
fn missing_and_unknown_channels_are_named() {
    let schema = one(Channel::new("c", ValueType::U8));
    let missing = Sample::new().encode(&schema).unwrap_err();
    assert_eq!(missing.to_string(), "channel `c` has no value");
    let unknown = Sample::new().set("c", 1).set("d", 1).encode(&schema).unwrap_err();
    assert_eq!(unknown.to_string(), "schema `s` has no channel `d`; it has: c");
}

/// Spec §5.8: a bitmap, then the fields that are there.
#[test]
fn a_partial_sample_leaves_out_what_has_no_value() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let schema = names
        .iter()
        .fold(Schema::new("s"), |schema, name| schema.with(Channel::new(name, ValueType::U8)))
        .build()
        .unwrap();
    let sample = Sample::partial().set("i", 9).set("b", 2);
    assert_eq!(sample.encode_sparse(&schema), Ok(vec![0x40, 0x80, 2, 9]));
    assert_eq!(Sample::partial().encode_sparse(&schema), Ok(vec![0, 0]));
    let unknown = Sample::partial().set("j", 1).encode_sparse(&schema).unwrap_err();
    assert!(unknown.to_string().contains("no channel `j`"));
    let unfit = Sample::partial().set("a", 256).encode_sparse(&schema).unwrap_err();
    assert_eq!(unfit.to_string(), "channel `a` can't hold 256: it is u8");
    let missing = sample.encode(&schema).unwrap_err();
    assert_eq!(missing.to_string(), "channel `a` has no value", "ROWS has no absent channels");
}

#[test]
fn bits_of_floats_are_kept() {
    let nan = f32::from_bits(0x7FA0_0001);
    assert_eq!(encode(Channel::new("c", ValueType::F32), nan), Ok(vec![0x7F, 0xA0, 0, 1])); // Spec §4.3a.
    assert_eq!(
        encode(Channel::new("c", ValueType::F64), -0.0),
        Ok(vec![0x80, 0, 0, 0, 0, 0, 0, 0])
    );
    assert_eq!(encode(Channel::new("c", ValueType::U64), u64::MAX), Ok(vec![0xFF; 8]));
}

#[test]
fn a_schema_that_breaks_a_rule_is_refused() {
    let twice = || Channel::new("c", ValueType::U8);
    assert!(Schema::new("s").with(twice()).with(twice()).build().is_err());
    assert!(Schema::new("S").with(twice()).build().is_err());
    assert!(Schema::new("s").build().is_err());
    assert!(Schema::new("s").with(twice().exponent(19)).build().is_err());
    assert!(Schema::new("s").with(Channel::new("c", ValueType::F32).exponent(1)).build().is_err());
    assert!(Schema::new("s").with(Channel::new("c", ValueType::Enum8)).build().is_err());
}

proptest! {
    /// What is encoded reads back as what was set.
    #[test]
    fn rows_read_back_as_they_were_set(
        a in any::<i32>(), b in any::<u64>(), c in any::<f64>(), d in ".{0,20}", e in any::<bool>(),
        f in prop::collection::vec(any::<u8>(), 0..50), g in any::<[i16; 3]>(),
    ) {
        let schema = Schema::new("s")
            .with(Channel::new("a", ValueType::I32))
            .with(Channel::new("b", ValueType::U64))
            .with(Channel::new("c", ValueType::F64))
            .with(Channel::new("d", ValueType::Text))
            .with(Channel::new("e", ValueType::Bool))
            .with(Channel::new("f", ValueType::Blob))
            .with(Channel::new("g", ValueType::I16).elements(3))
            .build()
            .unwrap();
        let sample = Sample::new().set("g", g).set("a", a).set("b", b).set("c", c)
            .set("d", d.as_str()).set("e", e).set("f", f.clone());
        let row = sample.encode(&schema).unwrap();
        let wire = senda_wire::Schema::decode(schema.description()).unwrap();
        let mut body = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        body.extend_from_slice(&row);
        let mut message = vec![0; 2_000];
        let data = senda_wire::Data {
            head: senda_wire::DataHead { schema: 0, clock: senda_wire::Clock::None, count: 1, t0: 0 },
            rows: &row,
        };
        senda_wire::Message::Rows(data).encode(senda_wire::Head::default(), &mut message).unwrap();
        let mut rows = data.rows(&wire, Presence::All).unwrap();
        let read = rows.next_row().unwrap().unwrap();
        prop_assert_eq!(read.bad_channel, None);
        let values: Vec<_> = read.values().map(Option::unwrap).collect();
        prop_assert_eq!(values[0], Value::I32(a));
        prop_assert_eq!(values[1], Value::U64(b));
        prop_assert!(matches!(values[2], Value::F64(read) if read.to_bits() == c.to_bits()));
        prop_assert_eq!(values[3], Value::Text(&d));
        prop_assert_eq!(values[4], Value::Bool(e));
        prop_assert_eq!(values[5], Value::Blob(&f));
        let Value::Vector(vector) = values[6] else { panic!("a vector") };
        prop_assert_eq!(vector.iter().collect::<Vec<_>>(), g.map(Value::I16));
    }
}
