//! Data messages, and what their answers make the device do. Spec §5.4, §5.7 to §5.14, §7, §8.

use std::time::Duration;

use senda_wire::{Message, MessageType, SkipCause};

use super::bench::Bench;
use super::book::Book;
use super::handshake::{SLACK, rows_of};
use crate::message::Seen;
use crate::notes::Step;

/// Spec §2.3b, §4, §12.1a: the bench measures every row; this makes some come, and some come again.
pub(super) fn ordinary(bench: &mut Bench) -> Step {
    let hello = bench.open()?;
    let (_, oldest) = rows_of(&hello);
    bench.notes.require("2.3b", oldest == 0, "oldest_row 0 in a new stream", &hello);
    bench.serve_rows("2.3b", 6)?;
    // Rows that come again are the same rows; the bench compares them.
    bench.hold.rows = true;
    bench.until_rows("2.3b")?;
    bench.close(101, 0);
    bench.hold.rows = false;
    bench.reopened("2.3b")?;
    let end = bench.book.end;
    bench.serve_rows("2.3b", end + 1)?;
    bench.notes.not_exercised("5.11a", "the device sends no COUNTS");
    Ok(())
}

/// The rows of a data message; nothing without.
fn span(seen: &Seen) -> (u32, u32) {
    seen.rows().unwrap_or((seen.seq, seen.seq))
}

fn covers(seen: &Seen, row: u32) -> bool {
    let (first, end) = span(seen);
    (first..end).contains(&row)
}

/// A SKIP with `cause` that covers `row`.
pub(super) fn is_skip(seen: &Seen, cause: SkipCause, row: u32) -> bool {
    matches!(seen.message(), Ok(Message::Skip(skip)) if skip.cause == cause.code())
        && covers(seen, row)
}

/// Most messages in flight before the first ACK: where cwnd starts. Spec §8.2a.
const FIRST_CWND: usize = 4;

/// Spec §7.5a, from below, and §8.2a.
pub(super) fn lost_acks(bench: &mut Bench) -> Step {
    let label = "7.5a";
    bench.terms.commit_interval_ms = 300;
    bench.open()?;
    bench.hold.rows = true;
    let mut flights: Vec<Seen> = vec![bench.until_rows(label)?];
    let mut least = Duration::from_millis(50 + 300);
    let mut again: Option<Seen> = None;
    for _ in 0..3 {
        let mut end = flights.iter().map(|flight| span(flight).1).max().unwrap_or(0);
        let mut next =
            bench.until(label, "rows again, for nobody acknowledged them", Seen::is_data)?;
        while span(&next).0 >= end {
            end = span(&next).1;
            flights.push(next);
            next = bench.until(label, "rows again, for nobody acknowledged them", Seen::is_data)?;
        }
        // The first time-out is that of those rows; each later one begins with the one before it.
        let same = flights.iter().rev().find(|flight| covers(flight, next.seq));
        if let Some(before) = again.as_ref().or(same) {
            let wait = next.at.duration_since(before.at);
            let expected = format!("a time-out of at least {least:?}, not {wait:?}");
            bench.notes.require(label, wait + SLACK >= least, &expected, &next);
        }
        least *= 2;
        flights.push(next.clone());
        let few = side_by_side(&flights) <= FIRST_CWND;
        let expected = format!("at most {FIRST_CWND} messages in flight before the first ACK");
        bench.notes.require("8.2a", few, &expected, &next);
        again = Some(next);
    }
    // Answered at last, it goes on.
    bench.hold.rows = false;
    let end = bench.book.end;
    bench.mark = end;
    bench.ack(end, 0);
    bench.serve_rows(label, end + 1)
}

/// How many of these were in flight at once: rows that went again may have been batched otherwise, so messages that
/// share a row count as one.
fn side_by_side(flights: &[Seen]) -> usize {
    let mut spans: Vec<(u32, u32)> = flights.iter().map(span).collect();
    spans.sort_unstable_by_key(|(_, end)| *end);
    let mut last = 0;
    spans
        .into_iter()
        .filter(|(first, end)| {
            let apart = *first >= last;
            if apart {
                last = *end;
            }
            apart
        })
        .count()
}

/// Spec §8.1a.
pub(super) fn small_window(bench: &mut Bench) -> Step {
    let label = "8.1a";
    bench.terms.window_rows = 2;
    bench.open()?;
    bench.hold.rows = true;
    bench.until_rows(label)?;
    // More than two samples later.
    let came = bench.serve_for(Duration::from_millis(2_500));
    let expected = "rows 0 and 1 at most: the window has two rows";
    bench.notes.require_none(label, &came, expected, |seen| seen.is_data() && span(seen).1 > 2);
    bench.hold.rows = false;
    bench.terms.window_rows = 4_096;
    bench.mark = bench.book.end.min(2);
    bench.ack(bench.mark, 0);
    bench.serve_rows(label, 4)
}

/// How long an ACK with window 0 asks to wait for the next probe: longer than a time-out of a slow device.
const PROBE_AFTER: Duration = Duration::from_millis(2_500);

/// Spec §8.1b, from below.
pub(super) fn window_zero(bench: &mut Bench) -> Step {
    let label = "8.1b";
    bench.terms.window_rows = 0;
    bench.open()?;
    bench.hold.rows = true;
    let mut before: Option<Seen> = None;
    for _ in 0..3 {
        let probe = bench.until(label, "a persist probe", Seen::is_data)?;
        let (first, end) = span(&probe);
        bench.notes.require(label, end == first + 1, "one row as a persist probe", &probe);
        if let Some(before) = before {
            let waited = probe.at.duration_since(before.at);
            let good = waited + SLACK >= PROBE_AFTER;
            let expected = format!("at least {PROBE_AFTER:?} between two probes, not {waited:?}");
            bench.notes.require(label, good, &expected, &probe);
        }
        let wait_ms = u16::try_from(PROBE_AFTER.as_millis()).unwrap_or(u16::MAX);
        if !bench.is_udp() {
            // A stream loses nothing: what could not be stored has to be refused, or it would never come again.
            bench.nack(&probe, 102, (first, end), wait_ms.into());
        }
        bench.ack(0, wait_ms);
        before = Some(probe);
    }
    bench.hold.rows = false;
    bench.terms.window_rows = 4_096;
    bench.ack(0, 0);
    bench.serve_rows(label, 3)
}

/// Spec §5.4d: another schema could have the id.
pub(super) fn waits_for_declared(bench: &mut Bench) -> Step {
    let label = "5.4d";
    // The first session ends before anything is declared, so that the second one has rows to send.
    bench.hold.declares = true;
    bench.hold.rows = true;
    bench.open()?;
    bench.until(label, "DECLARE", |seen| seen.is(MessageType::Declare))?;
    bench.close(101, 0);
    let hello = bench
        .until(label, "a HELLO after the end of a session", |seen| seen.is(MessageType::Hello))?;
    let (next, oldest) = rows_of(&hello);
    if next <= oldest {
        bench.notes.not_exercised(label, "the device had no rows when its session ended");
        return Ok(());
    }
    // Some row above the first is resolved: somebody has used this stream's schemas.
    (bench.terms.next_row, bench.terms.high_row) = (Some(oldest), Some(next));
    bench.welcomed(hello)?;
    let declare = bench.until(label, "DECLARE", |seen| seen.is(MessageType::Declare))?;
    let came = bench.settle(label)?;
    let expected = "no rows before DECLARED, for high_row was not 0";
    bench.notes.require_none(label, &came, expected, Seen::is_data);
    (bench.hold.declares, bench.hold.rows) = (false, false);
    bench.answer(&declare);
    bench.serve_rows(label, oldest + 1)
}

/// Spec §5.13b.
pub(super) fn impossible_acks(bench: &mut Bench) -> Step {
    let label = "5.13b";
    bench.open()?;
    bench.serve_rows(label, 3)?;
    bench.hold.rows = true;
    bench.until_rows(label)?;
    let mark = bench.mark;
    // Above its own next_row, and below what it has seen: a device that believes either loses rows, or its place.
    bench.ack(mark + 1_000_000, 0);
    bench.ack(1, 0);
    bench.settle(label)?;
    bench.close(101, 0);
    let hello = bench
        .until(label, "a HELLO after the end of a session", |seen| seen.is(MessageType::Hello))?;
    let (next, oldest) = rows_of(&hello);
    let good = oldest == mark && next < mark + 1_000_000;
    let expected = format!(
        "oldest_row {mark}: what ACKs above next_row and below the last one say is ignored"
    );
    bench.notes.require(label, good, &expected, &hello);
    bench.hold.rows = false;
    bench.welcomed(hello)?;
    bench.serve_rows(label, mark + 1)
}

/// How long NACK 103 and CLOSE ask to stay away: longer than a device waits on its own before it comes back.
pub(super) const RETRY_AFTER_MS: u32 = 2_500;

/// Spec §7.6a.
pub(super) fn retry_later(bench: &mut Bench) -> Step {
    let label = "7.6a";
    bench.open()?;
    bench.serve_rows(label, 1)?;
    bench.hold.rows = true;
    let refused = bench.until_rows(label)?;
    bench.nack(&refused, 103, span(&refused), RETRY_AFTER_MS);
    let sent = std::time::Instant::now();
    let row = refused.seq;
    let again = bench.until(label, "the rows again, some time after NACK 103", |seen| {
        seen.is_data() && covers(seen, row)
    })?;
    let waited = again.at.duration_since(sent);
    let good = waited + SLACK >= Duration::from_millis(RETRY_AFTER_MS.into());
    let expected = format!("not before retry_after_ms {RETRY_AFTER_MS}, and not after {waited:?}");
    bench.notes.require(label, good, &expected, &again);
    bench.hold.rows = false;
    bench.answer(&again);
    let end = bench.book.end;
    bench.serve_rows(label, end + 1)
}

/// Spec §7.6b, §5.4b: NACK 201.
pub(super) fn forgotten_schema(bench: &mut Bench) -> Step {
    bench.open()?;
    bench.serve_rows("7.6b", 1)?;
    bench.hold.rows = true;
    let refused = bench.until_rows("7.6b")?;
    let (row, rows) = (refused.seq, span(&refused));
    bench.nack(&refused, 201, rows, 0);
    bench
        .until("7.6b", "DECLARE after NACK 201", |seen| seen.is(MessageType::Declare))
        .map(|declare| bench.answer(&declare))?;
    let again = bench.until("7.6b", "the rows again after DECLARED", |seen| {
        seen.is_data() && covers(seen, row)
    })?;
    bench.notes.require("5.4b", true, "its rows stayed queued", &again);
    bench.notes.require("7.6b", true, "DECLARE, then the rows", &again);
    bench.hold.rows = false;
    bench.answer(&again);
    let end = bench.book.end;
    bench.serve_rows("7.6b", end + 1)
}

/// Spec §7.6b: what can't be mended is given up, and nothing blocks the head of the queue.
pub(super) fn hopeless_rows(bench: &mut Bench) -> Step {
    let label = "7.6b";
    bench.open()?;
    bench.serve_rows(label, 1)?;
    bench.hold.rows = true;
    let refused = bench.until_rows(label)?;
    let row = refused.seq;
    let mut last = refused;
    // An unknown code of the class, for every attempt to send that row.
    for _ in 0..20 {
        bench.nack(&last, 299, span(&last), 0);
        last = bench.until(label, "SKIP(REJECTED) for what NACK 299 keeps refusing", |seen| {
            is_skip(seen, SkipCause::Rejected, row) || seen.is_data() && covers(seen, row)
        })?;
        if !last.is_data() {
            break;
        }
    }
    let expected = "SKIP(REJECTED) for what NACK 299 keeps refusing";
    bench.notes.require(label, last.is(MessageType::Skip), expected, &last);
    bench.hold.rows = false;
    bench.answer(&last);
    let end = bench.book.end;
    bench.serve_rows(label, end + 1)
}

/// Spec §7.6d.
pub(super) fn refused_rows(bench: &mut Bench) -> Step {
    let label = "7.6d";
    bench.open()?;
    bench.serve_rows(label, 1)?;
    bench.hold.rows = true;
    let refused = bench.until_rows(label)?;
    let rows = span(&refused);
    bench.nack(&refused, 301, rows, 0);
    bench.mark = bench.mark.max(rows.1);
    bench.ack(rows.1, 0);
    let next = bench.until(label, "the rows behind those that were refused", |seen| {
        Book::is_reliable(seen) && span(seen).0 >= rows.1
    })?;
    let again = std::mem::take(&mut bench.passed);
    bench.notes.require_none(label, &again, "no row again that was refused for good", |seen| {
        seen.is_data() && span(seen).0 < rows.1
    });
    // With count 0 nothing is resolved.
    let row = next.seq;
    bench.nack(&next, 303, (0, 0), 0);
    let skip = bench.until(label, "SKIP(REJECTED) after NACK 303 with count 0", |seen| {
        is_skip(seen, SkipCause::Rejected, row)
    })?;
    let covered = span(&skip).0 <= span(&next).0 && span(&skip).1 >= span(&next).1;
    bench.notes.require(label, covered, "a SKIP of the rows of that message", &skip);
    bench.hold.rows = false;
    bench.answer(&skip);
    let end = bench.book.end;
    bench.serve_rows(label, end + 1)
}
