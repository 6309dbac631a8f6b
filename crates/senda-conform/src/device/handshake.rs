//! HELLO until WELCOME. Spec §2, §5.1 to §5.3, §6.3.

use std::time::{Duration, Instant};

use senda_wire::{Message, MessageType};

use super::bench::Bench;
use crate::message::{Seen, b_text, close_body, message};
use crate::notes::Step;

/// How much earlier than it left a message may seem to have left: the kit may be late with the one before it.
pub(super) const SLACK: Duration = Duration::from_millis(400);

/// Stream and nonce of a HELLO.
pub(super) fn identity(hello: &Seen) -> (u64, u64) {
    match hello.message() {
        Ok(Message::Hello(hello)) => (hello.stream, hello.nonce),
        _ => (0, 0),
    }
}

/// next_row and oldest_row of a HELLO.
pub(super) fn rows_of(hello: &Seen) -> (u32, u32) {
    match hello.message() {
        Ok(Message::Hello(hello)) => (hello.next_row, hello.oldest_row),
        _ => (0, 0),
    }
}

/// The seq of what answers it. Spec §5.2b.
pub(super) fn answer_seq(hello: &Seen) -> u32 {
    u32::try_from(identity(hello).1 & 0xFFFF_FFFF).unwrap_or(0)
}

/// Spec §2.3a, §2.2a.
pub(super) fn two_boots(bench: &mut Bench) -> Step {
    let first = bench.boot()?;
    let second = bench.boot()?;
    let ((one, _), (two, _)) = (identity(&first), identity(&second));
    let halves = |stream: u64| (stream >> 32, stream & 0xFFFF_FFFF);
    let good = halves(one).0 != halves(two).0 && halves(one).1 != halves(two).1;
    let expected = format!("all 64 bits at random: another stream than {one:016x} after a boot");
    bench.notes.require("2.3a", good, &expected, &second);
    for hello in [first, second] {
        // A HELLO that can't be read has a name, too, that is out of order for all that is known.
        let good = matches!(hello.message(), Ok(Message::Hello(_)));
        bench.notes.require("2.2a", good, "a HELLO with a device name of section 2.2", &hello);
    }
    Ok(())
}

/// Spec §5.2a.
pub(super) fn cookie(bench: &mut Bench) -> Step {
    let hello = bench.boot()?;
    // The longest that there is.
    let cookie = [0xC0; 64];
    bench.send_raw(&message(MessageType::Retry, 0, answer_seq(&hello), &b_text(&cookie)));
    let again = bench.until(
        "5.2a",
        "the HELLO again, with the cookie",
        |seen| matches!(seen.message(), Ok(Message::Hello(hello)) if !hello.cookie.is_empty()),
    )?;
    let echoed = matches!(again.message(), Ok(Message::Hello(hello)) if hello.cookie == cookie);
    bench.notes.require("5.2a", echoed, "the cookie as RETRY gave it", &again);
    let same = identity(&hello) == identity(&again);
    bench.notes.require("5.2a", same, "the stream and nonce of the HELLO that it repeats", &again);
    Ok(())
}

/// Spec §6.3a, from below.
pub(super) fn unanswered(bench: &mut Bench) -> Step {
    bench.hold.hellos = true;
    let mut before = bench.boot()?;
    for least in [1, 1, 1, 2].map(Duration::from_secs) {
        let hello = bench.until("6.3a", "the HELLO again, as long as nobody answers", |seen| {
            seen.is(MessageType::Hello)
        })?;
        let waited = hello.at.duration_since(before.at);
        let expected =
            format!("a wait of at least {least:?} before the next HELLO, not {waited:?}");
        bench.notes.require("6.3a", waited + SLACK >= least, &expected, &hello);
        before = hello;
    }
    Ok(())
}

/// Most HELLOs in the time of the storm: some at once for each wait of a second, and never one for each RETRY.
const STORM_HELLOS: usize = 24;

/// Spec §6.3c, §5.2: RETRYs are not each answered at once.
pub(super) fn storm(bench: &mut Bench) -> Step {
    let mut hello = bench.boot()?;
    let end = Instant::now() + Duration::from_secs(4);
    let patience = std::mem::replace(&mut bench.patience, Duration::from_secs(10));
    bench.hold.hellos = true;
    let mut hellos = 1;
    while Instant::now() < end && hellos <= STORM_HELLOS {
        let cookie = rand::random::<u64>().to_be_bytes();
        bench.send_raw(&message(MessageType::Retry, 0, answer_seq(&hello), &b_text(&cookie)));
        hello = bench.until("6.3c", "HELLO again, some time after a RETRY", |seen| {
            seen.is(MessageType::Hello)
        })?;
        hellos += 1;
    }
    bench.patience = patience;
    let expected = "waits of a second and more between HELLOs, however many RETRYs come";
    bench.notes.require("6.3c", hellos <= STORM_HELLOS, expected, &hello);
    Ok(())
}

/// Spec §5.2b.
pub(super) fn foreign_answers(bench: &mut Bench) -> Step {
    let label = "5.2b";
    let hello = bench.boot()?;
    let wrong = answer_seq(&hello) ^ 1;
    let Ok(Message::Hello(said)) = hello.message() else {
        return Err(bench.notes.stop("a HELLO that can be read"));
    };
    let foreign = bench.welcome_body(&said);
    if bench.is_udp() {
        bench.send_raw(&message(MessageType::Retry, 0, wrong, &b_text(b"not for you")));
    }
    bench.send_raw(&message(MessageType::Close, 0, wrong, &close_body(409, 300_000)));
    bench.send_raw(&message(MessageType::Welcome, 0x0BAD_0BAD, wrong, &foreign));
    if bench.is_udp() {
        // Nobody has answered it, so it comes again; with no cookie, for none was given.
        bench.hold.hellos = true;
        let next = bench.until(label, "the HELLO again", |_| true)?;
        let good = matches!(next.message(), Ok(Message::Hello(hello)) if hello.cookie.is_empty());
        let expected = "the HELLO again: RETRY, CLOSE and WELCOME were for another one";
        bench.notes.require(label, good && identity(&next) == identity(&hello), expected, &next);
        bench.hold.hellos = false;
        bench.welcomed(next)?;
    } else {
        bench.welcomed(hello)?;
    }
    let session = bench.session;
    let next = bench.until(label, "a message in the session of the right WELCOME", |seen| {
        !seen.is(MessageType::Hello)
    })?;
    let expected = "the session of the WELCOME that answers its HELLO";
    bench.notes.require(label, next.session == session, expected, &next);
    Ok(())
}
