//! CONFIG, COMMAND and ALERT. Spec §5.16 to §5.20, §7.7.

use senda_wire::{Done, DoneStatus, Message, MessageType};

use super::bench::Bench;
use crate::message::{Seen, TEXT, b_text};
use crate::notes::Step;

// Spec §5.1, §4.3.
const TAKES_CONFIG: u8 = 1;
const TAKES_COMMAND: u8 = 2;
const TAKES_ALERT: u8 = 4;
const U32: u8 = 0x04;

/// Starts the device; false when its HELLO does not accept the kind of this bit.
fn opens(bench: &mut Bench, bit: u8) -> Step<bool> {
    bench.open()?;
    bench.serve_rows("2.3b", 1)?;
    Ok(bench.downlink & bit != 0)
}

fn setting(name: &str, code: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = b_text(name.as_bytes());
    bytes.extend([code, 0, 1]);
    bytes.extend(value);
    bytes
}

fn config_body(revision: u32, settings: &[Vec<u8>]) -> Vec<u8> {
    let mut body = revision.to_be_bytes().to_vec();
    body.push(u8::try_from(settings.len()).unwrap_or(u8::MAX));
    body.extend(settings.concat());
    body
}

/// Sends it, and the DONE that answers it.
fn ask(
    bench: &mut Bench,
    label: &'static str,
    kind: MessageType,
    seq: u32,
    body: &[u8],
) -> Step<Seen> {
    bench.send(kind, seq, body);
    let expected = format!("DONE for {} number {seq}", kind.name());
    bench.until(label, &expected, |seen| seen.is(MessageType::Done) && seen.seq == seq)
}

fn done(seen: &Seen) -> Option<Done<'_>> {
    match seen.message() {
        Ok(Message::Done(done)) => Some(done),
        _ => None,
    }
}

fn status(seen: &Seen) -> Option<DoneStatus> {
    done(seen).map(|done| done.status)
}

/// Spec §5.16a, §7.7b.
pub(super) fn config(bench: &mut Bench) -> Step {
    if !opens(bench, TAKES_CONFIG)? {
        for label in ["5.16a", "7.7b"] {
            bench.notes.not_exercised(label, "its HELLO does not accept CONFIG");
        }
        return Ok(());
    }
    let config = MessageType::Config;
    let interval = |ms: u32| setting("interval_ms", U32, &ms.to_be_bytes());
    let first = config_body(7, &[interval(200)]);
    let answer = ask(bench, "7.7b", config, 1, &first)?;
    let good =
        done(&answer).is_some_and(|done| (done.answered, done.id) == (MessageType::Config, 7));
    bench.notes.require("7.7b", good, "type 0x30 and revision 7", &answer);
    same_done_again(bench, config, 1, &first, &answer)?;
    let unknown = config_body(8, &[interval(200), setting("conform.unknown", U32, &[0; 4])]);
    let answer = ask(bench, "5.16a", config, 2, &unknown)?;
    let ok = status(&answer) == Some(DoneStatus::Ok);
    bench.notes.require("5.16a", ok, "OK: a setting that it does not know is ignored", &answer);
    let wrong = [
        ("an interval_ms of 0", interval(0)),
        ("an interval_ms of 4,294,967,295", interval(u32::MAX)),
        ("an interval_ms that is a text", setting("interval_ms", TEXT, &b_text(b"fast"))),
    ];
    for ((what, setting), seq) in wrong.into_iter().zip(4..) {
        let answer = ask(bench, "5.16a", config, seq, &config_body(seq, &[setting]))?;
        let refused = [Some(DoneStatus::Clamped), Some(DoneStatus::Refused)];
        let expected = format!("CLAMPED or REFUSED for {what}");
        bench.notes.require("5.16a", refused.contains(&status(&answer)), &expected, &answer);
    }
    // A lower number is of the past.
    bench.send(config, 2, &unknown);
    let came = bench.settle("7.7b")?;
    let expected = "nothing for a number below the last one";
    bench.notes.require_none("7.7b", &came, expected, |seen| seen.is(MessageType::Done));
    Ok(())
}

/// Spec §7.7b.
pub(super) fn command_and_alert(bench: &mut Bench) -> Step {
    let mut seq = 0;
    if opens(bench, TAKES_COMMAND)? {
        seq += 1;
        // Id 1, a minute to live, a name that nobody has, no arguments.
        let mut body = [1_u32.to_be_bytes(), 60_000_u32.to_be_bytes()].concat();
        body.extend(b_text(b"conform-unknown"));
        body.push(0);
        let answer = ask(bench, "7.7b", MessageType::Command, seq, &body)?;
        let good =
            done(&answer).is_some_and(|done| (done.answered, done.id) == (MessageType::Command, 1));
        bench.notes.require("7.7b", good, "type 0x31 and id 1", &answer);
        same_done_again(bench, MessageType::Command, seq, &body, &answer)?;
    }
    if bench.downlink & TAKES_ALERT != 0 {
        seq += 1;
        let mut body = 5_u32.to_be_bytes().to_vec();
        body.extend([0; 8]);
        body.extend([1, 1]);
        body.extend([0, 0, 0, 0]); // no schema, channel, text, values
        let answer = ask(bench, "7.7b", MessageType::Alert, seq, &body)?;
        let good =
            done(&answer).is_some_and(|done| (done.answered, done.id) == (MessageType::Alert, 5));
        bench.notes.require("7.7b", good, "type 0x32 and id 5", &answer);
        same_done_again(bench, MessageType::Alert, seq, &body, &answer)?;
    }
    if seq == 0 {
        bench.notes.not_exercised("7.7b", "its HELLO accepts neither COMMAND nor ALERT");
    }
    Ok(())
}

fn same_done_again(
    bench: &mut Bench,
    kind: MessageType,
    seq: u32,
    body: &[u8],
    first: &Seen,
) -> Step {
    let again = ask(bench, "7.7b", kind, seq, body)?;
    let same = again.body == first.body;
    bench.notes.require("7.7b", same, "the same DONE for the same number", &again);
    Ok(())
}
