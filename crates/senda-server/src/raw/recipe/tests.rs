use super::*;
use senda_wire::{Frame, Reader};

fn peer() -> SocketAddr {
    ([192, 0, 2, 7], 4711).into()
}

fn field(name: &str) -> RawField {
    RawField::new(name)
}

fn recipe(format: &str, fields: Vec<RawField>) -> Recipe {
    Recipe::new(&Raw::new("weather", format, fields)).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(raw: &Raw) -> String {
    Recipe::new(raw).map(drop).unwrap_err().to_string()
}

/// The stored values of a record, as the wire's values show themselves.
fn stored(recipe: &Recipe, bytes: &[u8]) -> Result<Vec<String>, Misfit> {
    let record = recipe.read(bytes, peer())?;
    let schema = Schema::decode(recipe.description()).unwrap();
    let mut reader = Reader::new(&record.body[12..]);
    let values =
        schema.channels().map(|channel| format!("{:?}", channel.read(&mut reader).unwrap()));
    let values = values.collect();
    assert_eq!(reader.rest(), b"", "all of the row is its channels");
    Ok(values)
}

#[test]
fn every_format_character_has_its_channel_type() {
    let codes = "?bBhHiIlLqQefd";
    let fields = (0..codes.len()).map(|number| field(&format!("c{number}"))).collect();
    let recipe = recipe(&format!(">{codes}"), fields);
    let schema = Schema::decode(recipe.description()).unwrap();
    let types: Vec<&str> = schema.channels().map(|channel| channel.value_type.name()).collect();
    let expected = [
        "bool", "i8", "u8", "i16", "u16", "i32", "u32", "i32", "u32", "i64", "u64", "f32", "f32",
        "f64",
    ];
    assert_eq!(types, expected);
    assert_eq!(schema.name().as_str(), "weather");
}

#[test]
fn values_come_out_as_they_were_packed_whatever_the_byte_order() {
    for order in ["<", ">", "!", "=", "@"] {
        let format = Format::new(&format!("{order}?bHiqefd")).unwrap();
        let values = [
            Value::Bool(true),
            Value::Int(-128),
            Value::Int(65_535),
            Value::Int(-2),
            Value::Int(i128::from(i64::MIN)),
            Value::Float(0.5),
            Value::Float(-1.5),
            Value::Float(1e300),
        ];
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"].map(field);
        let recipe = recipe(format.text(), names.into());
        let row = stored(&recipe, &format.pack(&values).unwrap()).unwrap();
        let expected = [
            "Bool(true)",
            "I8(-128)",
            "U16(65535)",
            "I32(-2)",
            "I64(-9223372036854775808)",
            "F32(0.5)",
            "F32(-1.5)",
            "F64(1e300)",
        ];
        assert_eq!(row, expected, "{order}");
    }
}

#[test]
fn text_loses_its_padding_and_must_be_utf_8_and_a_blob_keeps_all() {
    let blob = RawField { blob: true, ..field("tag") };
    let recipe = recipe("8s2s", vec![field("name"), blob]);
    let row = stored(&recipe, b"a\xc3\xb1o\0\0\0\0\0\xff").unwrap();
    assert_eq!(row, ["Text(\"año\")", "Blob([0, 255])"]);
    let misfit = stored(&recipe, b"\xff\xff\xff\xff\0\0\0\0\0\xff").unwrap_err();
    assert_eq!(misfit.to_string(), "field name: the bytes are no UTF-8 text");
}

#[test]
fn consecutive_values_make_a_vector_and_a_byte_a_label() {
    let vector = RawField { elements: 3, ..field("accel") };
    let door = RawField { labels: vec!["closed".into(), "open".into()], ..field("door") };
    let recipe = recipe("<3hB", vec![vector, door]);
    let row = stored(&recipe, &[1, 0, 0xFE, 0xFF, 3, 0, 1]).unwrap();
    assert!(row[0].contains("[0, 1, 255, 254, 0, 3]"), "{row:?}");
    assert_eq!(row[1], "Enum(1)");
    let misfit = stored(&recipe, &[1, 0, 2, 0, 3, 0, 2]).unwrap_err();
    assert_eq!(misfit.to_string(), "field door: there are only 2 labels");
}

#[test]
fn what_is_not_stored_can_still_say_whose_and_when_it_was() {
    let mut raw =
        Raw::new("w", ">HIx h", vec![field("_station"), field("_t"), field("temperature")]);
    raw.device = "station-{_station}".into();
    raw.time =
        TimeSource::Field { field: "_t".into(), per_second: 1, epoch_us: 946_684_800_000_000 };
    raw.fields[2].exponent = -2;
    let recipe = Recipe::new(&raw).unwrap();
    let record = recipe.read(&[0, 9, 0, 0, 0, 5, 0xEE, 0x08, 0x34], peer()).unwrap();
    assert_eq!(record.device, "station-9");
    assert_eq!(record.time, Some(946_684_805_000_000));
    assert_eq!(
        record.body,
        [&[0, 0, 0x80, 1][..], &946_684_805_000_000i64.to_be_bytes(), &[8, 0x34]].concat()
    );
    let schema = Schema::decode(recipe.description()).unwrap();
    assert_eq!(schema.len(), 1);
    assert_eq!(schema.channels().next().unwrap().exponent, -2);
}

#[test]
fn a_time_that_can_not_be_told_is_a_misfit() {
    let mut raw = Raw::new("w", "dB", vec![field("_t"), field("v")]);
    raw.time = TimeSource::Field { field: "_t".into(), per_second: 1, epoch_us: 0 };
    let recipe = Recipe::new(&raw).unwrap();
    let read = |t: f64| recipe.read(&[&t.to_ne_bytes()[..], &[1]].concat(), peer());
    assert_eq!(read(1.5).unwrap().time, Some(1_500_000));
    assert_eq!(read(-0.000_001).unwrap().time, Some(-1));
    for t in [f64::NAN, f64::INFINITY, 1e18, -1e300] {
        assert_eq!(read(t).unwrap_err().kind(), "value", "{t}");
    }
    let mut raw = Raw::new("w", ">QB", vec![field("_t"), field("v")]);
    raw.time = TimeSource::Field { field: "_t".into(), per_second: 1_000_000_000, epoch_us: 0 };
    let recipe = Recipe::new(&raw).unwrap();
    let read = |t: u64| recipe.read(&[&t.to_be_bytes()[..], &[1]].concat(), peer());
    assert_eq!(read(1_999).unwrap().time, Some(1));
    assert_eq!(read(u64::MAX).unwrap().time, Some(18_446_744_073_709_551));
}

#[test]
fn a_record_of_another_length_says_both_lengths() {
    let recipe = recipe(">HH", vec![field("a"), field("b")]);
    for len in [0, 3, 5, 1_000] {
        let misfit = recipe.read(&vec![0; len], peer()).unwrap_err();
        assert_eq!(misfit, Misfit::Length { len, expected: 4 });
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let raw = |format: &str, names: &[&str]| {
        Raw::new("w", format, names.iter().map(|name| field(name)).collect())
    };
    for (raw, expected) in [
        (raw(">HK", &["a"]), "no struct format"),
        (raw(">HH", &["a"]), "has 2 values, and the fields name 1"),
        (raw(">H", &["a", "b"]), "has 1 values, and the fields name 2"),
        (raw(">HH", &["a", "a"]), "another field has this name"),
        (raw(">H", &["Temperature"]), "a name is a-z"),
        (raw(">H", &["_"]), "no schema"),
        (raw("300s", &["name"]), "channel 255 at most"),
        (raw(">99999999999999999999H", &["a"]), "no struct format"),
        (raw("4000000000H", &["a"]), "has 4000000000 values"),
        (raw("70000xB", &["a"]), "a record has 70001 bytes"),
        (Raw { device: "x-{id}".into(), ..raw(">H", &["a"]) }, "there is no field \"id\""),
        (Raw { sequence: Some("n".into()), ..raw(">H", &["a"]) }, "there is no field \"n\""),
        (Raw { name: "Weather".into(), ..raw(">H", &["a"]) }, "is no name for it"),
        (
            Raw {
                time: TimeSource::Field { field: "a".into(), per_second: 1, epoch_us: 0 },
                ..raw("4s", &["a"])
            },
            "is no number",
        ),
    ] {
        let error = refused(&raw);
        assert!(error.contains(expected), "{error:?} says {expected:?}");
    }
    let float = RawField { exponent: -1, ..field("f") };
    assert!(refused(&Raw::new("w", "f", vec![float])).contains("no schema"));
    let labels = RawField { labels: vec!["a".into()], ..field("f") };
    assert!(refused(&Raw::new("w", ">H", vec![labels])).contains("one unsigned byte"));
    let mixed = RawField { elements: 2, ..field("v") };
    assert!(refused(&Raw::new("w", ">Hh", vec![mixed])).contains("one format character"));
}

#[test]
fn the_body_that_lands_is_what_a_device_would_have_sent() {
    let recipe = recipe(">Hf", vec![field("a"), field("b")]);
    let bytes = Format::new(">Hf").unwrap().pack(&[Value::Int(7), Value::Float(2.5)]).unwrap();
    let record = recipe.read(&bytes, peer()).unwrap();
    let schema = Schema::decode(recipe.description()).unwrap();
    let head = DataHead { schema: 0, clock: Clock::None, count: 1, t0: 0 };
    let mut row = [0; 16];
    let len =
        encode_row(&schema, &[senda_wire::Value::U16(7), senda_wire::Value::F32(2.5)], &mut row)
            .unwrap();
    let message = Message::Rows(Data { head, rows: &row[..len] });
    let mut out = [0; 64];
    let len = message.encode(Head { session: 1, seq: 0, flags: 0 }, &mut out).unwrap();
    assert_eq!(Frame::decode(&out[..len], 64).unwrap().body, record.body);
}

mod any_bytes {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn are_a_row_that_fits_its_schema_or_a_misfit(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut raw = Raw::new(
                "w",
                "<d3hB5s?e",
                vec![
                    field("_t"),
                    RawField { elements: 3, ..field("v") },
                    RawField { labels: vec!["a".into(), "b".into()], ..field("l") },
                    field("name"),
                    field("b"),
                    field("half"),
                ],
            );
            raw.device = "d-{name}".into();
            raw.time = TimeSource::Field { field: "_t".into(), per_second: 1_000, epoch_us: -5 };
            let recipe = Recipe::new(&raw).unwrap();
            for len in [bytes.len(), 22] {
                let bytes: Vec<u8> = bytes.iter().copied().cycle().take(if bytes.is_empty() { 0 } else { len }).collect();
                if let Ok(record) = recipe.read(&bytes, peer()) {
                    prop_assert!(senda_wire::DeviceName::new(&record.device).is_some());
                    stored(&recipe, &bytes).unwrap();
                }
            }
        }
    }
}
