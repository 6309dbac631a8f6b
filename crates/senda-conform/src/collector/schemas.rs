//! DECLARE. Spec §4, §5.4.

use senda_wire::MessageType;

use super::Stage;
use crate::message::{BLOB, BOOL, ChannelSketch, ENUM8, TEXT, U8, description, one_u8, rows_body};
use crate::notes::Step;

/// Spec §4.1a, §4.2a, §4.2b: each rule broken once, each limit reached once.
pub(super) fn descriptions(stage: &mut Stage) -> Step {
    let plain = ChannelSketch::default();
    let named = |name| ChannelSketch { name, ..plain };
    let blob = |max_len, name| ChannelSketch { code: BLOB, max_len, name, ..plain };
    let longest = "x".repeat(63);
    let good: [(&'static str, Vec<u8>); 4] = [
        ("4.1a", description(&longest, &[named(&longest)])),
        ("4.1a", description("z", &[named("a_0"), named("b")])),
        ("4.2b", description("s", &[blob(1_098, "c0")])),
        ("4.2b", description("s", &[blob(1_097, "c0"), named("c1")])),
    ];
    let labels = |labels| ChannelSketch { code: ENUM8, labels, ..plain };
    let bad: [(&'static str, &str, Vec<u8>); 17] = [
        ("4.1a", "a schema name of 64 bytes", description(&"x".repeat(64), &[plain])),
        ("4.1a", "a schema name with a capital", description("House", &[plain])),
        ("4.1a", "a schema name with a digit first", description("7th", &[plain])),
        ("4.1a", "an empty schema name", description("", &[plain])),
        ("4.1a", "a channel name with a dash", description("s", &[named("a-b")])),
        ("4.1a", "an empty channel name", description("s", &[named("")])),
        ("4.2a", "two channels of one name", description("s", &[named("a"), named("a")])),
        ("4.2a", "two labels of one name", description("s", &[labels(&["on", "on"])])),
        ("4.2a", "an enum without labels", description("s", &[labels(&[])])),
        ("4.2a", "no channel", description("s", &[])),
        (
            "4.2a",
            "a type that does not exist",
            description("s", &[ChannelSketch { code: 0x10, ..plain }]),
        ),
        ("4.2a", "an exponent of 19", description("s", &[ChannelSketch { exponent: 19, ..plain }])),
        (
            "4.2a",
            "an exponent of a bool",
            description("s", &[ChannelSketch { code: BOOL, exponent: 1, ..plain }]),
        ),
        ("4.2a", "65 elements", description("s", &[ChannelSketch { elements: 65, ..plain }])),
        (
            "4.2a",
            "a text of max_len 256",
            description("s", &[ChannelSketch { code: TEXT, max_len: 256, ..plain }]),
        ),
        (
            "4.2a",
            "a max_len of a u8",
            description("s", &[ChannelSketch { code: U8, max_len: 1, ..plain }]),
        ),
        (
            "4.2b",
            "a largest row of 1,101 bytes",
            description("s", &[blob(1_098, "c0"), named("c1")]),
        ),
    ];
    let mut device = stage.device()?;
    device.join()?;
    for ((label, bytes), id) in good.into_iter().zip(0_u32..) {
        device.send_declare(id, &bytes);
        let what = String::from_utf8_lossy(&bytes).escape_default().to_string();
        let answer = device.expect(label, &format!("DECLARED for {what}"), |seen| {
            seen.seq == id && (seen.is(MessageType::Declared) || seen.is(MessageType::Nack))
        })?;
        let good = answer.is(MessageType::Declared);
        device.notes.require(label, good, "DECLARED: it is at the limit, not beyond", &answer);
    }
    for ((label, what, bytes), id) in bad.into_iter().zip(10_u32..) {
        device.send_declare(id, &bytes);
        let expected = format!("NACK 205 for a schema with {what}");
        let answer = device.expect(label, &expected, |seen| {
            seen.seq == id && (seen.is(MessageType::Declared) || seen.is(MessageType::Nack))
        })?;
        let good = answer.nack().is_some_and(|nack| nack.1 == 205);
        device.notes.require(label, good, &expected, &answer);
    }
    Ok(())
}

/// Spec §5.4a.
pub(super) fn conflict(stage: &mut Stage) -> Step {
    let mut device = stage.joined()?;
    // The same again is no conflict.
    device.declare(0, &one_u8())?;
    device.send_declare(0, &description("other", &[ChannelSketch::default()]));
    let nack = device.expect_nack("5.4a", 0, 202)?;
    let good = nack.nack().is_some_and(|nack| nack.0 == MessageType::Declare.code());
    device.notes.require("5.4a", good, "a NACK of DECLARE", &nack);
    // The first content is still the schema's.
    device.store_rows(0, &[&[1]])?;
    Ok(())
}

/// Spec §5.4b: nothing undecodable is ever acknowledged.
pub(super) fn undeclared(stage: &mut Stage) -> Step {
    let label = "5.4b";
    let mut device = stage.device()?;
    device.join()?;
    for schema in [0, 63, 64, 0xFFFF] {
        device.send(MessageType::Rows, 0, &rows_body(schema, &[&[1], &[2]]));
        let nack = device.expect_nack(label, 0, 201)?;
        device.notes.require(label, true, "NACK 201", &nack);
        let came = device.settle()?;
        let expected = "no ACK of rows whose schema nobody knows";
        device
            .notes
            .require_none(label, &came, expected, |seen| seen.is(MessageType::Ack) && seen.seq > 0);
    }
    // They were not resolved.
    device.declare(0, &one_u8())?;
    device.send_rows(0, &[&[1], &[2]]);
    device.expect_ack(label, 2)?;
    Ok(())
}

/// Spec §5.4c.
pub(super) fn later_session(stage: &mut Stage) -> Step {
    let mut device = stage.joined()?;
    device.store_rows(0, &[&[1]])?;
    let mut later = device.reconnected()?;
    later.sketch.next_row = 1;
    later.sketch.oldest_row = 1;
    let welcome = later.join()?;
    let resumes = welcome.body.get(8..16) == Some(&[0, 0, 0, 1, 0, 0, 0, 1]);
    later.notes.require("5.4c", resumes, "next_row 1 and high_row 1", &welcome);
    later.send_rows(1, &[&[2]]);
    later.expect_ack("5.4c", 2)?;
    Ok(())
}
