//! Data messages, and their answers. Spec §5.7 to §5.13, §7, §8, §12.

use std::time::Duration;

use senda_wire::registry::encoding;
use senda_wire::{Message, MessageType};

use super::Stage;
use super::caller::Caller;
use crate::message::{
    BOOL, ChannelSketch, ENUM8, Seen, TEXT, description, one_u8, rows_body, rows_head,
};
use crate::notes::Step;

/// Spec §1a: every message of the simple profile once. Spec §5.23a.
pub(super) fn simple_profile(stage: &mut Stage) -> Step {
    let mut device = stage.device()?;
    let welcome = device.join()?;
    let Ok(Message::Welcome(terms)) = welcome.message() else {
        return Err(device.notes.stop_failed(
            "1a",
            "a WELCOME that can be read",
            welcome.to_string(),
        ));
    };
    let good = terms.next_row == 0
        && terms.high_row == 0
        && terms.max_msg >= 1_200
        && terms.encodings & encoding::ROWS != 0
        && (terms.max_channels, terms.max_schemas, terms.max_elements) == (256, 64, 64);
    device.notes.require("1a", good, "the terms of section 5.3 for a new stream", &welcome);
    // Two messages to the datagram or segment, and a stream in small pieces.
    let mut parts = vec![0, 1];
    parts.extend(senda_wire::crc32(&one_u8()).to_be_bytes());
    parts.extend(one_u8());
    let mut both = crate::message::message(MessageType::Declare, device.session, 0, &parts);
    both.extend(crate::message::message(
        MessageType::Rows,
        device.session,
        0,
        &rows_body(0, &[&[1], &[2], &[3]]),
    ));
    if device.is_udp() {
        device.send_raw(&both);
    } else {
        for piece in both.chunks(7) {
            device.send_raw(piece);
        }
    }
    device.expect("1a", "DECLARED", |seen| seen.is(MessageType::Declared))?;
    device.expect_ack("1a", 3)?;
    device.send(MessageType::Skip, 3, &[0, 0, 0, 2, 1, 0, 0]);
    device.expect_ack("1a", 5)?;
    for seq in [0, 7, u32::MAX] {
        let token = rand::random::<u64>().to_be_bytes();
        device.send(MessageType::Ping, seq, &token);
        let pong = device.expect("5.23a", "PONG", |seen| seen.is(MessageType::Pong))?;
        let same = pong.seq == seq && pong.body == token;
        device.notes.require("5.23a", same, "the seq and the token of the PING", &pong);
    }
    device.send(MessageType::Close, 0, &crate::message::close_body(407, 0));
    device.notes.holds("1a");
    Ok(())
}

/// Spec §4.3b, §5.7c, §7.6c, §2.4a: one bad row in a message of three.
pub(super) fn bad_values(stage: &mut Stage) -> Step {
    let mut device = stage.device()?;
    device.join()?;
    let plain = ChannelSketch::default();
    let channels = [
        ChannelSketch { code: BOOL, ..plain },
        ChannelSketch { code: TEXT, max_len: 3, name: "c1", ..plain },
        ChannelSketch { code: ENUM8, name: "c2", labels: &["shut", "open"], ..plain },
    ];
    device.declare(0, &description("values", &channels))?;
    let good: &[u8] = b"\x01\x02ok\x01";
    let bad: [(&str, &[u8]); 4] = [
        ("a bool of 2", b"\x02\x02ok\x01"),
        ("text that is not UTF-8", b"\x01\x02\xFF\xFF\x01"),
        ("text beyond max_len", b"\x01\x04long\x01"),
        ("an enum index without a label", b"\x01\x02ok\x02"),
    ];
    let mut row = 0;
    for (what, fields) in bad {
        device.passed.clear();
        device.send_rows(row, &[good, fields, good]);
        device.expect_ack("4.3b", row + 3)?;
        let nack = refusal(&mut device, "4.3b", what)?;
        let named = nack.nack().is_some_and(|nack| (nack.1, nack.2, nack.3) == (301, row + 1, 1));
        let expected = format!("NACK 301 for row {} alone: {what}", row + 1);
        device.notes.require("4.3b", named, &expected, &nack);
        device.notes.holds("5.7c");
        row += 3;
    }
    // The answer got lost: the row comes again, and its NACK. Another content does not mend it.
    device.passed.clear();
    device.send_rows(1, &[bad[0].1]);
    let nack = device.expect_nack("7.6c", 1, 301)?;
    let named = nack.nack().is_some_and(|nack| (nack.2, nack.3) == (1, 1));
    device.notes.require("7.6c", named, "the NACK of the refused row again", &nack);
    device.send_rows(1, &[good]);
    device.settle()?;
    let stored = stage.stored(&stage.state)?;
    if stored == 8 {
        device.notes.holds("2.4a");
        device.notes.holds("4.3b");
    } else {
        let came = format!("{stored} samples in the store");
        device.notes.fails("2.4a", "the 8 good rows of 12, and no refused one", came, &[]);
    }
    Ok(())
}

/// The NACK that came before the ACK that the device has just received. Spec §5.7c.
fn refusal(device: &mut Caller, label: &'static str, what: &str) -> Step<Seen> {
    let before = std::mem::take(&mut device.passed);
    if let Some(nack) = before.into_iter().find(|seen| seen.is(MessageType::Nack)) {
        return Ok(nack);
    }
    // It is late, or does not come at all.
    let came = device.settle()?;
    let Some(nack) = came.into_iter().find(|seen| seen.is(MessageType::Nack)) else {
        return Err(device.notes.stop_failed(label, format!("NACK for {what}"), "an ACK alone"));
    };
    let expected = "the NACK before the ACK that passes the rows";
    device.notes.fails("5.7c", expected, format!("{nack}, behind that ACK"), &nack.bytes);
    Ok(nack)
}

/// Spec §5.7a, §5.7b, §5.7c.
pub(super) fn half_a_row(stage: &mut Stage) -> Step {
    let mut device = stage.joined()?;
    let whole = rows_body(0, &[&[1], &[2], &[3]]);
    let mut long = whole.clone();
    long.push(4);
    let cases = [("bytes left over", long), ("half a row", whole[..whole.len() - 1].to_vec())];
    for ((what, body), first) in cases.into_iter().zip([0, 3]) {
        device.passed.clear();
        device.send(MessageType::Rows, first, &body);
        device.expect_ack("5.7b", first + 3)?;
        let nack = refusal(&mut device, "5.7b", what)?;
        let named = nack.nack().is_some_and(|nack| (nack.1, nack.2, nack.3) == (303, first, 3));
        let expected = format!("NACK 303 for rows {first} to {} together: {what}", first + 2);
        device.notes.require("5.7b", named, &expected, &nack);
        device.notes.require("5.7a", named, &expected, &nack);
        device.notes.holds("5.7c");
    }
    if let Ok(stored @ 1..) = stage.stored(&stage.state) {
        let came = format!("{stored} samples in the store");
        device.notes.fails("5.7a", "no row of a message that can't be read", came, &[]);
    }
    Ok(())
}

/// Spec §5.12a, §2.4a.
pub(super) fn skip(stage: &mut Stage) -> Step {
    let mut device = stage.joined()?;
    let body = [0, 0, 0, 5, 2, 0, 0];
    device.send(MessageType::Skip, 0, &body);
    device.expect_ack("5.12a", 5)?;
    // Its ACK got lost: it comes again, and is acknowledged again.
    device.send(MessageType::Skip, 0, &body);
    device.expect_ack("5.12a", 5)?;
    // A cause that nobody knows is recorded.
    device.send(MessageType::Skip, 5, &[0, 0, 0, 1, 0xEE, 0, 0]);
    device.expect_ack("5.12a", 6)?;
    device.notes.holds("5.12a");
    // What was skipped first stays skipped.
    device.send_rows(2, &[&[1]]);
    device.expect_ack("2.4a", 6)?;
    if let Ok(stored) = stage.stored(&stage.state) {
        if stored == 0 {
            device.notes.holds("2.4a");
        } else {
            let came = format!("{stored} samples in the store");
            device.notes.fails("2.4a", "no row that was skipped before it came", came, &[]);
        }
    }
    let mut later = device.reconnected()?;
    (later.sketch.next_row, later.sketch.oldest_row) = (6, 6);
    let welcome = later.join()?;
    let good = welcome.body.get(8..12) == Some(&[0, 0, 0, 6]);
    later.notes.require("5.12a", good, "next_row 6 in the next session", &welcome);
    Ok(())
}

/// Spec §5.11a.
pub(super) fn counts(stage: &mut Stage) -> Step {
    let mut device = stage.joined()?;
    device.store_rows(0, &[&[1]])?;
    let mut body = 1_u64.to_be_bytes().to_vec();
    body.push(0);
    device.send(MessageType::Counts, 1, &body);
    // A collector of the simple profile does not know it.
    let answer = device.expect("5.11a", "an answer to COUNTS", |seen| {
        seen.is(MessageType::Ack) && seen.seq == 2 || seen.is(MessageType::Nack)
    })?;
    if answer.nack().is_some_and(|nack| nack.1 == 204) {
        device.notes.not_exercised("5.11a", "the collector does not take COUNTS");
        return Ok(());
    }
    let good = answer.is(MessageType::Ack);
    device.notes.require("5.11a", good, "ACK 2: COUNTS has row number 1", &answer);
    device.store_rows(2, &[&[1]])?;
    Ok(())
}

/// Spec §5.13a.
pub(super) fn gaps(stage: &mut Stage) -> Step {
    let label = "5.13a";
    let mut device = stage.joined()?;
    device.store_rows(0, &[&[1]])?;
    device.send_rows(2, &[&[3], &[4]]);
    let ack =
        device.expect(label, "an ACK at once: there is a gap", |seen| seen.is(MessageType::Ack))?;
    let ranges: Vec<(u32, u32)> = match ack.message() {
        Ok(Message::Ack(senda_wire::Ack { window: Some(window) })) => {
            window.ranges.iter().map(|range| (range.start, range.end)).collect()
        }
        _ => Vec::new(),
    };
    let good = ack.seq == 1 && (ranges.is_empty() || ranges == [(2, 4)]);
    device.notes.require(label, good, "seq 1 while row 1 is missing, with 2..4 at most", &ack);
    device.send_rows(1, &[&[2]]);
    device.expect_ack(label, 4)?;
    device.notes.holds(label);
    Ok(())
}

/// Spec §7.2a.
pub(super) fn too_many_ranges(stage: &mut Stage) -> Step {
    let label = "7.2a";
    let mut device = stage.device()?;
    let welcome = device.join()?;
    device.declare(0, &one_u8())?;
    let window = window_of(&welcome);
    if window < 140 {
        device.notes.not_exercised(label, format!("the window of {window} rows has no 65 gaps"));
        return Ok(());
    }
    for range in 1..=64 {
        device.send_rows(2 * range, &[&[1]]);
        // One by one: how many may be in flight is not the question.
        device.expect(label, "ACK 0 with the ranges above it", |seen| {
            seen.is(MessageType::Ack) && seen.seq == 0
        })?;
    }
    device.send_rows(2 * 65, &[&[1]]);
    let nack = device.expect_nack(label, 2 * 65, 102)?;
    device.notes.require(label, true, "NACK 102", &nack);
    // It did not land, and a row that needs no new range does.
    device.send_rows(0, &[&[1], &[1]]);
    device.expect_ack(label, 3)?;
    device.send_rows(3, &[&[1]]);
    device.expect_ack(label, 5)?;
    Ok(())
}

fn window_of(welcome: &Seen) -> u32 {
    match welcome.message() {
        Ok(Message::Welcome(terms)) => terms.window_rows,
        _ => 0,
    }
}

/// Spec §7.3a: each of the four occasions, where nothing but it asks for an ACK.
pub(super) fn when_to_acknowledge(stage: &mut Stage) -> Step {
    let label = "7.3a";
    let mut device = stage.device()?;
    (device.sketch.ack_every, device.sketch.ack_delay_ms) = (3, 60_000);
    let welcome = device.join()?;
    device.declare(0, &one_u8())?;
    let terms = match welcome.message() {
        Ok(Message::Welcome(terms)) => (terms.ack_every, terms.ack_delay_ms),
        _ => (0, 0),
    };
    let plain = |device: &mut Caller, row| {
        device.send(MessageType::Rows, row, &rows_body(0, &[&[1]]));
    };
    let occasion = |device: &mut Caller, what: &str, end| {
        device.expect(label, &format!("an ACK because {what}"), |seen| {
            seen.is(MessageType::Ack) && seen.seq == end
        })
    };
    for row in 0..u32::from(terms.0.clamp(1, 64)) {
        plain(&mut device, row);
    }
    let mut row = u32::from(terms.0.clamp(1, 64));
    occasion(&mut device, "ack_every messages wait for it", row)?;
    device.send_rows(row, &[&[1]]);
    row += 1;
    occasion(&mut device, "of ACK_NOW", row)?;
    plain(&mut device, row - 1);
    occasion(&mut device, "a message was a duplicate", row)?;
    plain(&mut device, row + 1);
    occasion(&mut device, "a message left a gap", row)?;
    device.send_rows(row, &[&[1]]);
    row += 2;
    occasion(&mut device, "of ACK_NOW", row)?;
    let mut refused = rows_body(0, &[&[1]]);
    refused.push(0);
    device.send(MessageType::Rows, row, &refused);
    row += 1;
    occasion(&mut device, "a message was refused", row)?;
    // The delay, in a session of its own, with nothing else to wait for.
    let mut device = stage.device()?;
    (device.sketch.ack_every, device.sketch.ack_delay_ms) = (1_024, 200);
    device.join()?;
    device.declare(0, &one_u8())?;
    plain(&mut device, 0);
    occasion(&mut device, "ack_delay_ms have passed", 1)?;
    device.notes.holds(label);
    Ok(())
}

/// Spec §7.8a.
pub(super) fn unacknowledged(stage: &mut Stage) -> Step {
    let label = "7.8a";
    let mut device = stage.joined()?;
    let body = rows_body(0, &[&[1]]);
    // 62 new ones and 2 duplicates; number 10 never comes.
    let counters = (0..10).chain([5, 9]).chain(11..70);
    let mut report = None;
    for (counter, sent) in counters.zip(1..) {
        device.send(MessageType::RowsU, counter, &body);
        // A burst would test the socket's buffer.
        if sent % 16 == 0 {
            let came = device.settle()?;
            if came.iter().any(|seen| seen.nack().is_some_and(|nack| nack.1 == 204)) {
                device.notes.not_exercised(label, "the collector does not take ROWS_U");
                return Ok(());
            }
            report = report.or(came.into_iter().find(|seen| seen.is(MessageType::Report)));
        }
    }
    let report = match report {
        Some(report) => report,
        None => {
            device.expect(label, "REPORT after 64 messages", |seen| seen.is(MessageType::Report))?
        }
    };
    let good = match report.message() {
        Ok(Message::Report(figures)) => figures.duplicates == 2 && figures.missing == 1,
        _ => false,
    };
    device.notes.require(label, good, "2 duplicates and 1 missing", &report);
    Ok(())
}

/// Spec §8.1a: the collector's side.
pub(super) fn beyond_the_window(stage: &mut Stage) -> Step {
    let mut device = stage.device()?;
    let welcome = device.join()?;
    device.declare(0, &one_u8())?;
    let window = window_of(&welcome);
    if window > 0xFFFF_0000 {
        device.notes.not_exercised("8.1a", "the window has no end that could be passed");
        return Ok(());
    }
    device.send_rows(window, &[&[1]]);
    let nack = device.expect_nack("8.1a", window, 102)?;
    device.notes.require("8.1a", true, "NACK 102", &nack);
    // SKIP is not bound by it.
    let mut body = (window + 10).to_be_bytes().to_vec();
    body.extend([2, 0, 0]);
    device.send(MessageType::Skip, 0, &body);
    device.expect_ack("8.1a", window + 10)?;
    Ok(())
}

/// Spec §12.1a: limits by count, nothing resolved.
pub(super) fn too_big(stage: &mut Stage) -> Step {
    let mut device = stage.device()?;
    let welcome = device.join()?;
    let text = |name| ChannelSketch { code: TEXT, max_len: 255, name, ..ChannelSketch::default() };
    let channels = [text("a"), text("b"), text("c"), text("d")];
    device.declare(0, &description("wide", &channels))?;
    let (max_decoded, max_msg) = match welcome.message() {
        Ok(Message::Welcome(terms)) => (terms.max_decoded, terms.max_msg),
        _ => (0, 0),
    };
    // A row of 1,024 bytes at most, 8 on the wire.
    let rows = max_decoded / 1_024 + 1;
    if rows > 16_383 || 28 + 8 * rows > u32::from(max_msg) {
        device.notes.not_exercised("12.1a", "its limits need longer messages than it takes");
        return Ok(());
    }
    let row: &[u8] = &[0; 4];
    let rows: Vec<&[u8]> = (0..rows).map(|_| row).collect();
    device.send(MessageType::Rows, 0, &rows_body(0, &rows));
    device.expect_nack("12.1a", 0, 203)?;
    let came = device.settle()?;
    let expected = "nothing resolved by a message that is too big";
    device
        .notes
        .require_none("12.1a", &came, expected, |seen| seen.is(MessageType::Ack) && seen.seq > 0);
    Ok(())
}

/// Spec §5.9a.
pub(super) fn bomb(stage: &mut Stage) -> Step {
    let label = "5.9a";
    let mut device = stage.device()?;
    let welcome = device.join()?;
    let reads = match welcome.message() {
        Ok(Message::Welcome(terms)) => terms.encodings & encoding::COLUMNS != 0,
        _ => false,
    };
    if !reads {
        device.notes.not_exercised(label, "the collector does not read COLUMNS");
        return Ok(());
    }
    let names: Vec<String> = (0..256).map(|number| format!("c{number}")).collect();
    let channels: Vec<ChannelSketch<'_>> =
        names.iter().map(|name| ChannelSketch { name, ..ChannelSketch::default() }).collect();
    device.declare(0, &description("wide", &channels))?;
    // 16,383 constant rows of 256 channels: 4 million values in half a thousand bytes.
    let mut body = rows_head(0, 16_383);
    body.extend([0; 3 + 2 * 256]);
    device.patience = device.patience.max(Duration::from_secs(5));
    device.send(MessageType::Columns, 0, &body);
    let nack = device.expect_nack(label, 0, 203)?;
    device.notes.require(label, true, "NACK 203", &nack);
    Ok(())
}
