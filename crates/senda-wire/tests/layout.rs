//! The layout tables against the registry, and what a walk shows. (That they fit the messages: tests/vectors.)

use senda_wire::layout::{Bits, Codes, LAYOUTS, of};
use senda_wire::{
    ChannelSpec, Clock, Data, DataHead, Frame, Head, Identifier, Message, MessageType, Schema,
    Value, ValueType, encode_row, walk,
};

/// Spec §5: one table for each type.
#[test]
fn every_message_type_has_its_layout() {
    let types: Vec<_> = LAYOUTS.iter().map(|layout| layout.message_type).collect();
    assert_eq!(types, MessageType::ALL);
    for message_type in MessageType::ALL {
        assert_eq!(of(*message_type).message_type, *message_type);
    }
}

/// Field names are unique in a body: a reader may look values up by name.
#[test]
fn the_names_of_a_body_are_unique() {
    for layout in LAYOUTS {
        let mut names: Vec<_> = layout.fields.iter().map(|field| field.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), layout.fields.len(), "{}", layout.message_type.name());
    }
}

/// Generators list the names of codes and bits.
#[test]
fn codes_and_bits_can_be_listed() {
    assert_eq!(Codes::MessageType.entries().count(), MessageType::ALL.len());
    assert_eq!(Codes::AlertState.entries().last(), Some((1, "raised")));
    assert_eq!(Bits::Encoding.entries().last(), Some((4, "COLUMNS")));
    assert_eq!(Bits::Flag.entries().count(), 4);
}

/// Spec §16.1: the rows of the worked example, as a person would see them.
#[test]
fn a_walk_shows_rows_with_exponent_unit_and_label() {
    let name = |name| Identifier::new(name).unwrap();
    let channels = [
        ChannelSpec {
            exponent: -1,
            unit: "Cel",
            ..ChannelSpec::new(name("temperature"), ValueType::I16)
        },
        ChannelSpec {
            labels: &["closed", "open"],
            ..ChannelSpec::new(name("door"), ValueType::Enum8)
        },
    ];
    let mut description = [0; 256];
    let description = Schema::encode(name("greenhouse"), &channels, &mut description).unwrap();
    let schema = Schema::decode(description).unwrap();
    let mut rows = [0; 3];
    encode_row(&schema, &[Value::I16(215), Value::Enum(1)], &mut rows).unwrap();
    let head = DataHead { schema: 0, clock: Clock::UtcSynced, count: 1, t0: 1_767_225_600_000_000 };
    let mut out = [0; 64];
    let message = Message::Rows(Data { head, rows: &rows });
    let len = message.encode(Head { session: 0x51B2_7E04, seq: 9, flags: 0 }, &mut out).unwrap();

    let frame = Frame::decode_datagram(&out[..len]).unwrap();
    let mut shown = Vec::new();
    let show = &mut |visit: senda_wire::Visit<'_>| {
        shown.push(format!("{} {} {}: {}", visit.offset, visit.len, visit.name, visit.value));
    };
    walk(&frame, Some(&schema), show).unwrap();
    let crc = shown.pop().unwrap();
    assert!(crc.starts_with("27 4 crc: 0x"), "{crc}");
    assert_eq!(
        shown,
        [
            "0 1 flags: 0x1 CRC",
            "1 1 type: 16 ROWS",
            "2 2 length: 31",
            "4 4 session: 0x51b27e04",
            "8 4 seq: 9",
            "12 2 schema: 0",
            "14 2 kind and count: UTC_SYNCED, 1 rows",
            "16 8 t0: 1767225600000000 us",
            "24 2 temperature: 215e-1 Cel",
            "26 1 door: 1 \"open\"",
        ]
    );
}
