//! HELLO, RETRY, WELCOME, and addresses that are not proven. Spec §5.1 to §5.3, §9.

use senda_wire::{Message, MessageType};

use super::Stage;
use super::caller::{Caller, HelloSketch};
use super::framing::NO_SESSION;
use crate::message::{message, rows_body};
use crate::notes::Step;

/// Spec §2.2a: both ends of the grammar are names.
pub(super) fn device_names(stage: &mut Stage) -> Step {
    let run: u16 = rand::random();
    let longest = format!("{run:04x}{}", "x".repeat(59));
    // One letter can't be unique; its stream is.
    for name in ["Z", &longest, &format!("{run:04x}._:-Az09")] {
        let mut device = stage.device()?;
        device.sketch.name = name.as_bytes().to_vec();
        if device.is_udp() {
            device.fetch_cookie()?;
        }
        device.send_raw(&device.last_hello());
        device.expect("2.2a", &format!("WELCOME for the device {name:?}"), |seen| {
            seen.is(MessageType::Welcome)
        })?;
    }
    stage.notes.holds("2.2a");
    Ok(())
}

/// Spec §5.1a.
pub(super) fn options(stage: &mut Stage) -> Step {
    let mut device = stage.device()?;
    device.sketch.options = vec![0xC0, 0, 2, 1, 2];
    let close = answer_to_hello(&mut device, "5.1a", "CLOSE 302 for a critical option")?;
    let good = close.close() == Some(302) && close.session == 0;
    device.notes.require("5.1a", good, "CLOSE 302 with session 0", &close);
    let mut device = stage.device()?;
    device.sketch.options = vec![0x7F, 0, 2, 1, 2, 0, 0, 1, 9];
    let welcome = answer_to_hello(&mut device, "5.1a", "WELCOME: other options are skipped")?;
    device.notes.require("5.1a", welcome.is(MessageType::Welcome), "WELCOME", &welcome);
    Ok(())
}

/// A HELLO, with a cookie where one is asked for, and what answers it.
fn answer_to_hello(
    device: &mut Caller,
    label: &'static str,
    expected: &str,
) -> Step<crate::message::Seen> {
    let seq = device.answer_seq();
    device.send_raw(&device.hello(&[]));
    let answer = device.expect(label, expected, |seen| seen.seq == seq)?;
    let Ok(Message::Retry { cookie }) = answer.message() else { return Ok(answer) };
    device.send_raw(&device.hello(cookie));
    device.expect(label, expected, |seen| seen.seq == seq && !seen.is(MessageType::Retry))
}

/// Spec §5.1b, §2.2a.
pub(super) fn wrong_hellos(stage: &mut Stage) -> Step {
    type Spoil = fn(&mut HelloSketch);
    let spoils: [(&str, Spoil); 14] = [
        ("oldest_row above next_row", |hello| hello.oldest_row = 1),
        ("keepalive_s 0", |hello| hello.keepalive_s = 0),
        ("keepalive_s 86,401", |hello| hello.keepalive_s = 86_401),
        ("max_msg 255", |hello| hello.max_msg = 255),
        ("ack_every 0", |hello| hello.ack_every = 0),
        ("ack_every 1,025", |hello| hello.ack_every = 1_025),
        ("suite 3", |hello| hello.suite = 3),
        ("encodings without ROWS", |hello| hello.encodings = 6),
        ("an empty device name", |hello| hello.name = Vec::new()),
        ("a device name of 64 bytes", |hello| hello.name = vec![b'x'; 64]),
        ("a device name with a space", |hello| hello.name = b"gh 7".to_vec()),
        ("a device name that begins with a dot", |hello| hello.name = b".gh7".to_vec()),
        ("half an option", |hello| hello.options = vec![0x7F, 0, 9, 1]),
        ("a device name that is no UTF-8", |hello| hello.name = vec![b'x', 0xFF, b'y']),
    ];
    for (what, spoil) in spoils {
        let mut device = stage.device()?;
        spoil(&mut device.sketch);
        let expected = format!("CLOSE 409 for a HELLO with {what}");
        let close = answer_to_hello(&mut device, "5.1b", &expected)?;
        let good = close.close() == Some(409) && close.session == 0;
        device.notes.require("5.1b", good, &expected, &close);
        let short = !device.is_udp() || close.bytes.len() <= device.hello(&[]).len();
        device.notes.require("5.1b", short, "no more bytes than the HELLO has", &close);
    }
    Ok(())
}

/// Spec §5.2c.
pub(super) fn retry(stage: &mut Stage) -> Step {
    let mut device = stage.device()?;
    // The shortest HELLO there is: 65 bytes.
    device.sketch.name = b"Z".to_vec();
    let hello = device.hello(&[]);
    let retry = device.fetch_cookie()?;
    let short = retry.bytes.len() <= hello.len();
    device.notes.require("5.2c", short, "no more bytes than the HELLO has", &retry);
    Ok(())
}

/// Spec §5.3a.
pub(super) fn hello_twice(stage: &mut Stage) -> Step {
    let mut device = stage.device()?;
    let welcome = device.join()?;
    for _ in 0..2 {
        device.send_raw(&device.last_hello());
        let again = device.expect("5.3a", "the WELCOME again for the same HELLO", |seen| {
            seen.is(MessageType::Welcome)
        })?;
        let same = again.bytes == welcome.bytes;
        device.notes.require("5.3a", same, "the bytes of the first WELCOME", &again);
    }
    Ok(())
}

/// Spec §9.1b: a cookie is worth nothing at another address.
pub(super) fn borrowed_cookie(stage: &mut Stage) -> Step {
    let mut honest = stage.device()?;
    honest.fetch_cookie()?;
    let mut thief = honest.reconnected()?;
    thief.nonce = honest.nonce;
    thief.send_raw(&honest.last_hello());
    let answer = thief.expect("9.1b", "an answer to a HELLO", |_| true)?;
    let expected = "RETRY: the cookie was given to another port";
    thief.notes.require("9.1b", answer.is(MessageType::Retry), expected, &answer);
    // One that nobody gave.
    let mut forger = stage.device()?;
    forger.send_raw(&forger.hello(&[0x5A; 16]));
    let answer = forger.expect("9.1b", "an answer to a HELLO", |_| true)?;
    let expected = "RETRY: nobody gave this cookie";
    forger.notes.require("9.1b", answer.is(MessageType::Retry), expected, &answer);
    Ok(())
}

/// Spec §9.1a: what shows of state is that it changes something for others.
pub(super) fn forged_hello(stage: &mut Stage) -> Step {
    let mut device = stage.joined()?;
    let mut forger = device.reconnected()?;
    for _ in 0..10 {
        forger.nonce = rand::random();
        forger.send_raw(&forger.hello(&[]));
        forger.send_raw(&forger.hello(&[0x5A; 16]));
    }
    forger.settle_as_a_stranger()?;
    let came = device.settle()?;
    let expected =
        "a session that goes on, whoever says HELLO without a good cookie for its stream";
    device.notes.require_none("9.1a", &came, expected, |_| true);
    device.store_rows(0, &[&[1]])?;
    Ok(())
}

/// Spec §9.2a.
pub(super) fn amplification(stage: &mut Stage) -> Step {
    let label = "9.2a";
    let mut stranger = stage.device()?;
    stranger.sketch.name = b"Z".to_vec();
    // The first bytes from here, answered or not.
    stranger.settle_as_a_stranger()?;
    let unknown = message(MessageType::Rows, NO_SESSION, 0, &rows_body(0, &[&[1]]));
    let bad = {
        stranger.sketch.keepalive_s = 0;
        let bad = stranger.hello(&[]);
        stranger.sketch.keepalive_s = 30;
        bad
    };
    let mut critical = stranger.hello(&[]);
    critical.truncate(critical.len() - 4);
    critical.extend([0xC0, 0, 0]);
    let length = u16::try_from(critical.len() + 4).unwrap_or(u16::MAX);
    critical[2..4].copy_from_slice(&length.to_be_bytes());
    let critical = crate::message::with_crc(critical);
    let shortest = message(MessageType::Ack, NO_SESSION, 0, &[]);
    for what in [unknown, bad, critical, shortest] {
        stranger.send_raw(&what);
        stranger.settle_as_a_stranger()?;
        let (sent, heard) = (stranger.sent, stranger.heard);
        if heard > sent {
            let came = format!("{heard} bytes back for {sent}");
            stranger.notes.fails(label, "no more bytes than came from here", came, &what);
        } else {
            stranger.notes.holds(label);
        }
    }
    Ok(())
}
