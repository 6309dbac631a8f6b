//! Bytes that are no messages, and messages that are none of the collector's. Spec §3, §5.25, §5.26.

use std::time::Instant;

use senda_wire::MessageType;
use senda_wire::registry::flag;

use super::Stage;
use super::caller::Caller;
use crate::message::{Seen, message, raw, rows_body, rows_head, with_bad_crc, with_crc};
use crate::notes::Step;

/// A session that nobody has.
pub(super) const NO_SESSION: u32 = 0xDEAD_BEEF;

/// Messages that fail one of the checks 1 to 5 of §3.7.
fn noise_of(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let changed = |at: usize, byte: u8| {
        let mut bytes = good[..good.len() - 4].to_vec();
        bytes[at] = byte;
        with_crc(bytes)
    };
    let other_trailer = |flags: u8| {
        let mut bytes = good[..good.len() - 4].to_vec();
        bytes[0] = 0xA0 | flags;
        with_crc(bytes)
    };
    vec![
        ("another magic", changed(0, 0x41)),
        ("a length below 16", changed(3, 15)),
        ("a length beyond its end", changed(2, 0xFF)),
        ("the TAG flag beside CRC", other_trailer(flag::CRC | flag::TAG)),
        ("the TAG flag alone", other_trailer(flag::TAG)),
        ("no trailer flag", other_trailer(0)),
        ("a flipped bit", with_bad_crc(good.to_vec())),
    ]
}

/// What would be answered if it were a message.
fn tempting() -> Vec<u8> {
    message(MessageType::Rows, NO_SESSION, 0, &rows_body(0, &[&[1]]))
}

/// Spec §3.4b.
pub(super) fn noise(stage: &mut Stage) -> Step {
    let mut device = stage.joined()?;
    let ping = message(MessageType::Ping, device.session, 77, &[7; 8]);
    let mut noise = noise_of(&ping);
    noise.extend(noise_of(&tempting()));
    noise.extend(noise_of(&device.hello(&[])));
    noise.push(("11 bytes", ping[..11].to_vec()));
    noise.push(("half a message", ping[..20].to_vec()));
    noise.push(("random bytes", (0..200).map(|_| rand::random::<u8>() & 0x7F).collect()));
    for (what, bytes) in noise {
        device.send_raw(&bytes);
        // What is good after something bad in one datagram is dropped too.
        let mut both = bytes.clone();
        both.extend(&ping);
        device.send_raw(&both);
        let came = device.settle()?;
        let expected = format!("no answer to a datagram with {what}, nor to what follows in it");
        for label in ["3.4b", "3.7a"] {
            device.notes.require_none(label, &came, &expected, |_| true);
        }
    }
    Ok(())
}

/// Spec §3.6a.
pub(super) fn lost_frame(stage: &mut Stage) -> Step {
    for (what, bytes) in noise_of(&tempting()) {
        let mut device = stage.device()?;
        device.send_raw(&bytes);
        let close = device.expect("3.6a", &format!("CLOSE 406 after {what}"), |_| true)?;
        let good = close.close() == Some(406) && close.session == 0;
        for label in ["3.6a", "3.7a"] {
            device.notes.require(label, good, "CLOSE 406 with session 0", &close);
        }
        let closed = device.has_been_closed();
        device.notes.require("3.6a", closed, "the end of the connection behind CLOSE 406", &close);
    }
    // In a session too.
    let mut device = stage.joined()?;
    let ping = message(MessageType::Ping, device.session, 1, &[1; 8]);
    device.send_raw(&with_bad_crc(ping));
    let close = device.expect_close("3.6a", 406)?;
    device.notes.require("3.6a", close.session == 0, "session 0", &close);
    let closed = device.has_been_closed();
    device.notes.require("3.6a", closed, "the end of the connection behind CLOSE 406", &close);
    Ok(())
}

/// Spec §3.6c. The wait is the specification's own 10 s; how much later is not judged.
pub(super) fn half_open(stage: &mut Stage) -> Step {
    let mut silent = stage.device()?;
    let mut half = stage.device()?;
    half.send_raw(&[0xA1]);
    for (what, device) in [("nothing", &mut silent), ("one byte", &mut half)] {
        device.patience += std::time::Duration::from_secs(10);
        if device.has_been_closed() {
            device.notes.holds("3.6c");
        } else {
            let expected = "the end of a connection on which no HELLO was accepted";
            device.notes.fails("3.6c", expected, format!("it stayed open after {what}"), &[]);
        }
    }
    Ok(())
}

/// Spec §3.7a: what has two faults is answered for the first one.
pub(super) fn order_of_checks(stage: &mut Stage) -> Step {
    let label = "3.7a";
    // The session (6) comes before the type (7) and the body (8).
    let cases = [
        ("an unknown data type", raw(0, 0x13, NO_SESSION, 0, &rows_head(0, 1))),
        ("an unknown critical type", raw(0, 0x90, NO_SESSION, 0, &[0; 20])),
        ("a malformed body", message(MessageType::Rows, NO_SESSION, 0, &[0; 20])),
    ];
    for (what, bytes) in cases {
        let expected = format!("CLOSE 401 for {what} in a session that does not exist");
        let mut device = stage.device()?;
        let close = ask_about_a_session(&mut device, label, &bytes, &expected)?;
        device.notes.require(label, close.close() == Some(401), &expected, &close);
    }
    // The trailer (5) comes before the session (6).
    let mut device = stage.device()?;
    let bad = with_bad_crc(tempting());
    device.send_raw(&bad);
    if device.is_udp() {
        let came = device.settle_as_a_stranger()?;
        let expected = "nothing: the CRC is looked at before the session";
        device.notes.require_none(label, &came, expected, |_| true);
    } else {
        let close = device.expect(label, "CLOSE 406", |_| true)?;
        let expected = "CLOSE 406: the CRC is looked at before the session";
        device.notes.require(label, close.close() == Some(406), expected, &close);
    }
    Ok(())
}

/// Sends what a session that does not exist deserves CLOSE 401 for until it comes: it is limited to one a second, on UDP.
pub(super) fn ask_about_a_session(
    device: &mut Caller,
    label: &'static str,
    bytes: &[u8],
    expected: &str,
) -> Step<Seen> {
    let deadline = Instant::now() + device.patience;
    loop {
        device.send_raw(bytes);
        let look = Instant::now() + std::time::Duration::from_millis(400);
        if let Some(seen) = device.receive(look) {
            return Ok(seen);
        }
        if Instant::now() > deadline || !device.is_udp() && device.ended {
            return Err(device.notes.stop_failed(label, expected, "nothing"));
        }
    }
}

/// Spec §3.5a.
pub(super) fn other_versions(stage: &mut Stage) -> Step {
    for nibble in [0xB0, 0xC0, 0xD0, 0xE0, 0xF0] {
        let mut device = stage.device()?;
        let mut hello = device.hello(&[]);
        hello[0] = nibble | flag::CRC;
        hello.truncate(hello.len() - 4);
        let hello = with_crc(hello);
        device.send_raw(&hello);
        let close = device.expect_close("3.5a", 404)?;
        let text = close.body.get(7..).map(String::from_utf8_lossy).unwrap_or_default();
        let good = text.split(',').any(|major| major.trim() == "1");
        device.notes.require("3.5a", good, "a text that lists the majors, 1 among them", &close);
        let short = close.bytes.len() <= hello.len();
        device.notes.require("3.5a", short, "no more bytes than the HELLO has", &close);
    }
    // An older nibble is no Senda.
    let mut device = stage.device()?;
    let mut hello = device.hello(&[]);
    hello[0] = 0x90 | flag::CRC;
    hello.truncate(hello.len() - 4);
    device.send_raw(&with_crc(hello));
    if device.is_udp() {
        let came = device.settle_as_a_stranger()?;
        device.notes.require_none("3.5a", &came, "nothing for a nibble below 0xA", |_| true);
    } else {
        device.expect_close("3.5a", 406)?;
    }
    Ok(())
}

/// Spec §3.2a: flags without a meaning in this direction are ignored.
pub(super) fn flags(stage: &mut Stage) -> Step {
    let mut device = stage.joined()?;
    for flags in [flag::MORE, flag::ACK_NOW, flag::MORE | flag::ACK_NOW] {
        let ping = raw(flags, MessageType::Ping.code(), device.session, 5, &[9; 8]);
        device.send_raw(&ping);
        let expected = format!("PONG for a PING with the flags 0x{flags:x}");
        device.expect("3.2a", &expected, |seen| seen.is(MessageType::Pong) && seen.seq == 5)?;
    }
    let rows = raw(
        flag::MORE | flag::ACK_NOW,
        MessageType::Rows.code(),
        device.session,
        0,
        &rows_body(0, &[&[1]]),
    );
    device.send_raw(&rows);
    device.expect_ack("3.2a", 1)?;
    device.notes.holds("3.2a");
    Ok(())
}

/// Spec §5.25.
pub(super) fn unknown_types(stage: &mut Stage) -> Step {
    let mut device = stage.joined()?;
    device.send_raw(&raw(0, 0x13, device.session, 3, &rows_head(0, 1)));
    let nack = device.expect_nack("5.25a", 3, 204)?;
    let names_it = nack.nack().is_some_and(|nack| nack.0 == 0x13 && nack.3 == 0);
    device.notes.require("5.25a", names_it, "a NACK of type 0x13 that resolves nothing", &nack);
    // Row 0 is still to come: nothing was resolved.
    device.store_rows(0, &[&[1]])?;
    for code in [0x06, 0x2F, 0x44, 0x7F] {
        device.send_raw(&raw(0, code, device.session, 9, &[1, 2, 3]));
        let came = device.settle()?;
        device
            .notes
            .require_none("5.25b", &came, "nothing for an unknown type below 0x80", |_| true);
    }
    for code in [0x80, 0xFF] {
        device.send_raw(&raw(0, code, device.session, 11, &[1, 2, 3]));
        let nack = device.expect_nack("5.25c", 11, 302)?;
        let names_it = nack.nack().is_some_and(|nack| nack.0 == code);
        device.notes.require("5.25c", names_it, "a NACK of the type that was not known", &nack);
    }
    Ok(())
}

/// Spec §5a, §5.26a.
pub(super) fn malformed_bodies(stage: &mut Stage) -> Step {
    let mut device = stage.joined()?;
    device.send(MessageType::Ping, 1, &[1; 9]);
    device.send(MessageType::Ping, 2, &[1; 7]);
    let came = device.settle()?;
    let expected = "no PONG for a PING of another length";
    device.notes.require_none("5a", &came, expected, |seen| seen.is(MessageType::Pong));
    // Its count can be read: the rows are resolved, and named.
    let mut long = rows_body(0, &[&[1], &[2]]);
    long.push(0);
    device.send(MessageType::Rows, 0, &long);
    let nack = device.expect_nack("5.26a", 0, 303)?;
    let named = nack.nack().is_some_and(|nack| nack.2 == 0 && nack.3 == 2);
    device.notes.require("5.26a", named, "first 0, count 2", &nack);
    device.expect_ack("5.26a", 2)?;
    // It can't: nothing is resolved.
    let cases = [("no count", vec![0, 0]), ("count 0", rows_head(0, 0))];
    for (what, body) in cases {
        device.send(MessageType::Rows, 2, &body);
        let nack = device.expect_nack("5.26a", 2, 303)?;
        let none = nack.nack().is_some_and(|nack| nack.3 == 0);
        let expected = format!("count 0 for ROWS with {what}");
        device.notes.require("5.26a", none, &expected, &nack);
    }
    device.send(MessageType::Skip, 2, &[0, 0, 0, 1, 1, 0]);
    let nack = device.expect_nack("5.26a", 2, 303)?;
    device.notes.require("5.26a", nack.nack().is_some_and(|n| n.3 == 0), "count 0 for SKIP", &nack);
    device.store_rows(2, &[&[1]])?;
    device.notes.holds("5.26a");
    Ok(())
}
