//! Resume, loss, snapshots, silence. Spec §6.4 to §6.7, §8.3.

use std::time::{Duration, Instant};

use senda_wire::{MessageType, SkipCause};

use super::bench::Bench;
use super::handshake::{SLACK, identity, rows_of};
use super::rows::{RETRY_AFTER_MS, is_skip};
use crate::message::{Seen, close_body, message};
use crate::notes::Step;

fn is_hello(seen: &Seen) -> bool {
    seen.is(MessageType::Hello)
}

/// Spec §6.4a, §8.3a: the ACK was lost, the rows were not.
pub(super) fn resume(bench: &mut Bench) -> Step {
    bench.open()?;
    bench.serve_rows("6.4a", 2)?;
    bench.hold.rows = true;
    bench.until_rows("6.4a")?;
    let (stream, end) = (bench.stream, bench.book.end);
    let sent = Instant::now();
    bench.close(101, RETRY_AFTER_MS);
    let hello = bench.until("8.3a", "a HELLO after the end of a session", is_hello)?;
    let waited = hello.at.duration_since(sent);
    let good = waited + SLACK >= Duration::from_millis(RETRY_AFTER_MS.into());
    let expected = format!("not before retry_after_ms {RETRY_AFTER_MS}, and not after {waited:?}");
    bench.notes.require("8.3a", good, &expected, &hello);
    let same = identity(&hello).0 == stream;
    bench.notes.require("6.4a", same, "the same stream in its next session", &hello);
    // Everything that came is stored, says this WELCOME.
    bench.hold.rows = false;
    bench.terms.next_row = Some(end);
    bench.welcomed(hello)?;
    let next = bench.until_rows("6.4a")?;
    let good = next.seq == end;
    bench.notes.require("6.4a", good, &format!("rows from next_row {end} on"), &next);
    bench.answer(&next);
    bench.serve_rows("6.4a", end + 2)
}

/// Spec §6.4b, §5.12a: the collector was restored from an old backup.
pub(super) fn lost_rows(bench: &mut Bench) -> Step {
    bench.open()?;
    bench.serve_rows("6.4b", 3)?;
    let mark = bench.mark;
    bench.close(101, 0);
    let hello = bench.until("6.4b", "a HELLO after the end of a session", is_hello)?;
    let (_, oldest) = rows_of(&hello);
    (bench.terms.next_row, bench.terms.high_row) = (Some(1), Some(1));
    bench.hold.rows = true;
    bench.welcomed(hello)?;
    let skip = bench.until("6.4b", "SKIP(LOST) from next_row 1 to the oldest row", |seen| {
        seen.is(MessageType::Skip) || seen.is_data()
    })?;
    let covers = is_skip(&skip, SkipCause::Lost, 1) && skip.rows() == Some((1, oldest.max(mark)));
    bench.notes.require("6.4b", covers, &format!("SKIP(LOST) of rows 1 to {}", mark - 1), &skip);
    if bench.is_udp() {
        // Its ACK is lost, too.
        let again = bench.until("5.12a", "the SKIP again, for nobody acknowledged it", |seen| {
            is_skip(seen, SkipCause::Lost, 1)
        })?;
        bench.notes.require("5.12a", again.rows() == skip.rows(), "the same SKIP", &again);
    } else {
        bench.close(101, 0);
        bench.terms.high_row = None;
        bench.reopened("5.12a")?;
        bench.until("5.12a", "the SKIP again in the next session", |seen| {
            is_skip(seen, SkipCause::Lost, 1)
        })?;
        bench.notes.holds("5.12a");
    }
    bench.hold.rows = false;
    bench.answer(&skip_of(bench, mark));
    bench.serve_rows("6.4b", mark + 2)
}

/// The SKIP that was held back, as if it had just come.
fn skip_of(bench: &Bench, mark: u32) -> Seen {
    let mut body = (mark - 1).to_be_bytes().to_vec();
    body.extend([SkipCause::Lost.code(), 0, 0]);
    let bytes = message(MessageType::Skip, bench.session, 1, &body);
    Seen {
        flags: 1,
        code: MessageType::Skip.code(),
        session: bench.session,
        seq: 1,
        body,
        bytes,
        at: Instant::now(),
    }
}

/// Spec §6.7a: the collector has rows that this device has not made.
pub(super) fn snapshot(bench: &mut Bench) -> Step {
    let label = "6.7a";
    let hello = bench.boot()?;
    let (stream, _) = identity(&hello);
    let (next, _) = rows_of(&hello);
    (bench.terms.next_row, bench.terms.high_row) = (Some(0), Some(next + 1_000));
    bench.welcomed(hello)?;
    (bench.terms.next_row, bench.terms.high_row) = (None, None);
    let hello = bench.until(label, "a HELLO with a new stream", |seen| {
        is_hello(seen) && identity(seen).0 != stream
    })?;
    bench.notes.require(label, true, "a new stream", &hello);
    bench.welcomed(hello)?;
    // From 0 on; the bench looks at the numbers.
    bench.serve_rows(label, 2)
}

/// Spec §6.7a: CLOSE 402, and nobody here has said HELLO again.
pub(super) fn replaced(bench: &mut Bench) -> Step {
    let label = "6.7a";
    bench.open()?;
    bench.serve_rows(label, 2)?;
    let stream = bench.stream;
    bench.hold.rows = true;
    bench.until_rows(label)?;
    bench.close(402, 0);
    bench.hold.rows = false;
    let hello = bench.until(label, "a HELLO", is_hello)?;
    let new = identity(&hello).0 != stream;
    bench.notes.require(label, new, "a new stream: a copy of this device is alive", &hello);
    let (next, oldest) = rows_of(&hello);
    let kept = oldest == 0 && next > 0;
    let expected = "the unacknowledged rows under new numbers: oldest_row 0, next_row above it";
    bench.notes.require(label, kept, expected, &hello);
    bench.welcomed(hello)?;
    bench.serve_rows(label, 2)
}

/// Spec §6.7b: a HELLO that was given up may be what replaced the session.
pub(super) fn late_hello(bench: &mut Bench) -> Step {
    let label = "6.7b";
    let given_up = bench.boot()?;
    let (stream, _) = identity(&given_up);
    bench.forget();
    bench.reopened(label)?;
    bench.serve_rows(label, 1)?;
    bench.close(402, 0);
    let hello = bench.until(label, "a HELLO", is_hello)?;
    let same = identity(&hello).0 == stream;
    let expected = "the same stream: the HELLO that got no answer may have arrived late";
    bench.notes.require(label, same, expected, &hello);
    Ok(())
}

/// Spec §6.6a: it says something, though it has nothing to say. How late is not judged.
pub(super) fn idle(bench: &mut Bench) -> Step {
    bench.terms.keepalive_s = Some(1);
    bench.terms.window_rows = 0;
    bench.open()?;
    bench.hold.rows = true;
    bench.hold.declares = true;
    for _ in 0..2 {
        // No rows for a minute, please.
        bench.ack(0, 60_000);
        bench.settle("5.23a")?;
        bench
            .until("6.6a", "a PING, with keepalive_s 1 and nothing else to say", |seen| {
                seen.is(MessageType::Ping)
            })
            .map(|ping| {
                bench.notes.holds("6.6a");
                bench.answer(&ping);
            })?;
    }
    Ok(())
}

/// Spec §6.6d, §5.6a.
pub(super) fn closes(bench: &mut Bench) -> Step {
    bench.open()?;
    bench.serve_rows("6.6d", 1)?;
    let other = bench.session ^ 0x100;
    for code in [401, 402, 407] {
        bench.send_raw(&message(MessageType::Close, other, 0, &close_body(code, 0)));
    }
    let came = bench.settle("6.6d")?;
    let moved = |seen: &Seen| is_hello(seen) || seen.is(MessageType::Close);
    let expected = "a session that goes on after a CLOSE of another one";
    bench.notes.require_none("6.6d", &came, expected, moved);
    let mark = bench.mark;
    bench.serve_rows("6.6d", mark + 1)?;
    // UDP: the socket stays open, so that an answer could come.
    bench.send(MessageType::Close, 0, &close_body(101, 0));
    let next = bench.until("5.6a", "a HELLO, and nothing before it", |seen| {
        is_hello(seen) || seen.is(MessageType::Close)
    })?;
    bench.notes.require("5.6a", is_hello(&next), "no answer to a CLOSE", &next);
    Ok(())
}
