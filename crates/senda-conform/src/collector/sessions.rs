//! Several sessions, their addresses and their end. Spec §6.4 to §6.6, §7.7, §9.3.

use std::time::{Duration, Instant};

use senda_wire::{Message, MessageType};

use super::Stage;
use super::caller::Caller;
use super::framing::{NO_SESSION, ask_about_a_session};
use crate::Transport;
use crate::message::{Seen, close_body, message, one_u8, rows_body};
use crate::notes::Step;

/// Spec §6.4c.
pub(super) fn take_over(stage: &mut Stage) -> Step {
    let label = "6.4c";
    let mut older = stage.joined()?;
    older.store_rows(0, &[&[1]])?;
    let other = match stage.notes.transport {
        Transport::Tcp => Transport::Udp,
        Transport::Udp => Transport::Tcp,
    };
    let address = if other == Transport::Tcp { stage.tcp } else { stage.udp };
    let mut newer = match address {
        Some(address) => older.again(other, address)?,
        None => older.reconnected()?,
    };
    (newer.sketch.next_row, newer.sketch.oldest_row) = (1, 1);
    let welcome = newer.join()?;
    let resumes = matches!(welcome.message(), Ok(Message::Welcome(terms)) if terms.next_row == 1);
    newer.notes.require(label, resumes, "next_row 1 in the newer session", &welcome);
    let session = older.session;
    let close = older.expect_close(label, 402)?;
    older.notes.require(label, close.session == session, "the older session's id", &close);
    newer.store_rows(1, &[&[2]])?;
    // The older one is forgotten.
    if older.is_udp() {
        let ping = message(MessageType::Ping, session, 1, &[1; 8]);
        let close = ask_about_a_session(&mut older, label, &ping, "CLOSE 401")?;
        let expected = "CLOSE 401: the older session is gone";
        older.notes.require(label, close.close() == Some(401), expected, &close);
    }
    Ok(())
}

/// Spec §6.5a.
pub(super) fn ninth_session(stage: &mut Stage) -> Step {
    let label = "6.5a";
    let mut devices = Vec::new();
    for _ in 0..8 {
        let mut device = stage.device()?;
        device.join()?;
        devices.push(device);
    }
    // The second one is now the one heard from least recently.
    for quiet in [0, 2, 3, 4, 5, 6, 7] {
        if let Some(device) = devices.get_mut(quiet) {
            let came = device.settle()?;
            device.notes.require_none(label, &came, "eight sessions side by side", |_| true);
        }
    }
    let mut ninth = stage.device()?;
    ninth.join()?;
    for (number, device) in devices.iter_mut().enumerate() {
        if number == 1 {
            let close = device.expect_close(label, 403)?;
            let session = device.session;
            device.notes.require(label, close.session == session, "its session's id", &close);
        } else {
            let came = device.settle()?;
            let expected = "CLOSE 403 for the session heard from least recently alone";
            device.notes.require_none(label, &came, expected, |_| true);
        }
    }
    Ok(())
}

/// Spec §6.5b: what shows of it is that both are served.
pub(super) fn two_live_devices(stage: &mut Stage) -> Step {
    let (mut one, mut two) = (stage.joined()?, stage.joined()?);
    for row in 0..3 {
        one.store_rows(row, &[&[1]])?;
        two.store_rows(row, &[&[2]])?;
    }
    for device in [&mut one, &mut two] {
        let came = device.settle()?;
        let expected = "two sessions side by side";
        device.notes.require_none("6.5b", &came, expected, |seen| seen.is(MessageType::Close));
    }
    Ok(())
}

/// Spec §6.6a. Never too early; how late is not judged.
pub(super) fn silence(stage: &mut Stage) -> Step {
    let label = "6.6a";
    let mut device = stage.device()?;
    device.sketch.keepalive_s = 1;
    let welcome = device.join()?;
    let keepalive = match welcome.message() {
        Ok(Message::Welcome(terms)) => terms.keepalive_s,
        _ => 1,
    };
    if keepalive > 4 {
        let why = format!("the collector makes keepalive_s {keepalive}: too long to wait");
        device.notes.not_exercised(label, why);
        return Ok(());
    }
    device.settle()?;
    let silent = Instant::now();
    device.send(MessageType::Ping, 1, &[1; 8]);
    let least = Duration::from_millis(2_500) * keepalive;
    device.patience += least;
    device.expect(label, "PONG", |seen| seen.is(MessageType::Pong))?;
    let close = device.expect_close(label, 408)?;
    let late = close.at >= silent + least;
    let expected = format!("CLOSE 408 not before {least:?} of silence");
    device.notes.require(label, late, &expected, &close);
    Ok(())
}

/// Spec §6.6b on TCP.
pub(super) fn unknown_session(stage: &mut Stage) -> Step {
    let mut device = stage.joined()?;
    device.send_raw(&message(MessageType::Rows, NO_SESSION, 0, &rows_body(0, &[&[1]])));
    let close = device.expect_close("6.6b", 401)?;
    let good = close.session == NO_SESSION;
    device.notes.require("6.6b", good, "the id of the session that does not exist", &close);
    Ok(())
}

/// Spec §6.6b on UDP: that session's id, never longer, at most one for each address and second.
pub(super) fn flood_of_unknown_sessions(stage: &mut Stage) -> Step {
    let label = "6.6b";
    let mut device = stage.device()?;
    let shortest = message(MessageType::Skip, NO_SESSION, 0, &[0, 0, 0, 1, 1, 0, 0]);
    let close = ask_about_a_session(&mut device, label, &shortest, "CLOSE 401")?;
    let good = close.close() == Some(401) && close.session == NO_SESSION;
    device.notes.require(label, good, "CLOSE 401 with the id that was asked for", &close);
    let short = close.bytes.len() <= shortest.len();
    device.notes.require(label, short, "no more bytes than what caused it", &close);
    let begin = Instant::now();
    let mut closes: Vec<Seen> = Vec::new();
    for _ in 0..10 {
        for seq in 0..10 {
            device.send_raw(&message(MessageType::Rows, NO_SESSION, seq, &rows_body(0, &[&[1]])));
        }
        closes.extend(device.settle_as_a_stranger()?);
    }
    let most = usize::try_from(begin.elapsed().as_secs()).unwrap_or(usize::MAX).saturating_add(2);
    match closes.get(most) {
        Some(close) => {
            let came = format!("{} for 100 messages", closes.len());
            device.notes.fails(label, format!("at most {most} in this time"), came, &close.bytes);
        }
        None => device.notes.holds(label),
    }
    Ok(())
}

/// Spec §5.6a.
pub(super) fn close_is_not_answered(stage: &mut Stage) -> Step {
    let label = "5.6a";
    let mut device = stage.joined()?;
    device.send_raw(&message(MessageType::Close, NO_SESSION, 0, &close_body(407, 0)));
    let came = device.settle()?;
    let expected = "nothing for a CLOSE of a session that does not exist";
    device.notes.require_none(label, &came, expected, |_| true);
    device.send(MessageType::Close, 0, &close_body(407, 0));
    let came = if device.is_udp() {
        device.settle_as_a_stranger()?
    } else {
        device.stop_sending();
        device.passed.clear();
        device.has_been_closed();
        std::mem::take(&mut device.passed)
    };
    device.notes.require_none(label, &came, "nothing for a CLOSE", |_| true);
    Ok(())
}

/// Spec §9.3.
pub(super) fn new_address(stage: &mut Stage) -> Step {
    let mut old = stage.joined()?;
    old.store_rows(0, &[&[1], &[2]])?;
    let mut new = old.moved()?;
    // What is not above all rows so far moves nothing, whoever sends it, and is not answered there.
    new.send_rows(0, &[&[1], &[2]]);
    let ping = message(MessageType::Ping, new.session, 1, &[1; 8]);
    new.send_raw(&ping);
    old.send(MessageType::Ping, 2, &[2; 8]);
    old.expect("9.3a", "PONG at the old address: nothing has moved", |seen| {
        seen.is(MessageType::Pong) && seen.seq == 2
    })?;
    old.store_rows(2, &[&[3]])?;
    // The session goes on where it was: what was sent from here has been dealt with.
    let look = Instant::now() + Duration::from_millis(50);
    let came: Vec<Seen> = new.receive(look).into_iter().collect();
    let expected = "nothing to an address from which no newer row came";
    new.notes.require_none("9.3a", &came, expected, |_| true);
    // A newer row does, as far as its bytes go: those of one row are too few for an ACK and a PING.
    let (sent, heard) = (new.sent, new.heard);
    let mut challenge = None;
    for (first, rows) in [(3, [&[4_u8][..]; 1].as_slice()), (4, [&[4_u8][..]; 20].as_slice())] {
        new.send_rows(first, rows);
        let mut next = Some(new.expect("9.3a", "an ACK or a PING at the new address", |_| true)?);
        while let Some(seen) = next {
            let bare = seen.is(MessageType::Ack) && seen.body.is_empty();
            let known = bare || seen.is(MessageType::Ping);
            new.notes.require("9.3b", known, "bare ACKs and a PING, and nothing else", &seen);
            if new.heard - heard > new.sent - sent {
                let expected = "no more bytes than came from the new address";
                new.notes.require("9.3b", false, expected, &seen);
            }
            if seen.is(MessageType::Ping) {
                challenge = Some(seen);
            }
            next = new.receive(Instant::now() + Duration::from_millis(200));
        }
    }
    if challenge.is_none() {
        let expected = "a PING with a fresh token at the new address";
        challenge = Some(new.expect("9.3b", expected, |seen| seen.is(MessageType::Ping))?);
    }
    new.notes.holds("9.3a");
    // A late datagram from the old address does not take it back.
    old.send_rows(1, &[&[2]]);
    if let Some(challenge) = challenge {
        new.send(MessageType::Pong, challenge.seq, &challenge.body);
    }
    new.settle()?;
    new.store_rows(24, &[&[5]])?;
    new.notes.holds("9.3a");
    Ok(())
}

/// How long a collector may take to say what it wants of a new session.
const SOON: Duration = Duration::from_millis(1_500);

/// Spec §7.7a, §7.7c. It shows where the collector has settings for a device with the kit's prefix.
pub(super) fn desired_settings(stage: &mut Stage) -> Step {
    let mut device = stage.device()?;
    device.sketch.downlink = 7;
    device.join()?;
    let Some(first) = control(&mut device, Instant::now() + SOON) else {
        let prefix = &stage.target.device_prefix;
        let why = format!("the collector has nothing to say to a device called {prefix}...");
        return Err(device.notes.stop(why));
    };
    // Without a DONE it comes again: on UDP in this session, on TCP in the next one.
    if !device.is_udp() {
        let mut next = device.reconnected()?;
        next.join()?;
        device = next;
    }
    let again = device.expect("7.7a", "it again, as long as there is no DONE", is_control)?;
    let same = again.code == first.code && again.body == first.body;
    device.notes.require("7.7a", same, "at most one outstanding: the same again", &again);
    // DONE: type, id, OK, no text, no results.
    let mut done = vec![again.code];
    done.extend(&again.body[..4]);
    done.extend([0, 0, 0]);
    device.send(MessageType::Done, again.seq, &done);
    device.settle()?;
    if let Some(more) = control(&mut device, Instant::now() + SOON) {
        let other = more.body != again.body;
        device.notes.require("7.7a", other, "nothing again that was done", &more);
    }
    let mut deaf = stage.device()?;
    deaf.join()?;
    deaf.declare(0, &one_u8())?;
    deaf.store_rows(0, &[&[1]])?;
    match control(&mut deaf, Instant::now() + SOON) {
        Some(bad) => {
            let expected = "no kind that HELLO.downlink does not accept";
            deaf.notes.fails("7.7c", expected, bad.to_string(), &bad.bytes);
        }
        None => deaf.notes.holds("7.7c"),
    }
    Ok(())
}

fn is_control(seen: &Seen) -> bool {
    matches!(seen.kind(), Some(MessageType::Config | MessageType::Command | MessageType::Alert))
}

fn control(device: &mut Caller, deadline: Instant) -> Option<Seen> {
    while let Some(seen) = device.receive(deadline) {
        if is_control(&seen) {
            return Some(seen);
        }
    }
    None
}
