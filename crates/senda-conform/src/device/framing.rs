//! Bytes that are no messages, and messages that are none of the device's. Spec §3, §5.25, §5.26.

use senda_wire::MessageType;
use senda_wire::registry::flag;

use super::bench::Bench;
use crate::message::{Seen, message, raw, rows_head, with_bad_crc};
use crate::notes::Step;

/// Spec §3.4b: line noise is dropped with the rest of its datagram.
pub(super) fn noise(bench: &mut Bench) -> Step {
    bench.open()?;
    bench.serve_rows("2.3b", 1)?;
    let ping = |seq| message(MessageType::Ping, bench.session, seq, &[7; 8]);
    let mut other_magic = ping(1);
    other_magic[0] = 0x41;
    let mut too_long = ping(2);
    too_long[2] = 0xFF;
    let cases = [
        ("a flipped bit", with_bad_crc(ping(3))),
        ("another magic", other_magic),
        ("a length beyond its end", too_long),
        ("11 bytes", ping(4)[..11].to_vec()),
    ];
    let good = ping(5);
    for (what, mut bytes) in cases {
        bytes.extend(&good);
        bench.send_raw(&bytes);
        let came = bench.settle("5.23a")?;
        let expected = format!("nothing for a datagram with {what}, nor for what follows in it");
        for label in ["3.4b", "3.7a"] {
            bench.notes.require_none(label, &came, &expected, |seen| seen.is(MessageType::Pong));
        }
    }
    Ok(())
}

/// Spec §3.6a, §3.7a. The bad message names another session: the CRC is looked at before it.
pub(super) fn lost_frame(bench: &mut Bench) -> Step {
    bench.open()?;
    bench.serve_rows("2.3b", 1)?;
    let other = bench.session ^ 0x100;
    bench.send_raw(&with_bad_crc(message(MessageType::Ping, other, 1, &[1; 8])));
    let close = bench.until("3.6a", "CLOSE 406", |seen| seen.is(MessageType::Close))?;
    for label in ["3.6a", "3.7a"] {
        let good = close.close() == Some(406) && close.session == 0;
        bench.notes.require(label, good, "CLOSE 406 with session 0", &close);
    }
    let hung_up = bench.hangs_up();
    bench.notes.require("3.6a", hung_up, "the end of the connection behind CLOSE 406", &close);
    // The rows go on, in a new session.
    let mark = bench.mark;
    bench.forget();
    bench.reopened("3.6a")?;
    bench.serve_rows("3.6a", mark + 1)
}

/// Spec §3.2a, §5a, §5.23a, §5.25b, §5.25c.
pub(super) fn unusual(bench: &mut Bench) -> Step {
    bench.open()?;
    bench.serve_rows("2.3b", 1)?;
    let session = bench.session;
    let is_pong = |seen: &Seen| seen.is(MessageType::Pong);
    // Several in one datagram or segment, and a stream in small pieces.
    let mut both = message(MessageType::Ping, session, 11, b"token 11");
    both.extend(message(MessageType::Ping, session, 0xFFFF_FFF0, b"token 12"));
    if bench.is_udp() {
        bench.send_raw(&both);
    } else {
        both.chunks(5).for_each(|piece| bench.send_raw(piece));
    }
    for (seq, token) in [(11, b"token 11"), (0xFFFF_FFF0, b"token 12")] {
        let pong = bench.until("5.23a", "a PONG for each PING", is_pong)?;
        let good = pong.seq == seq && pong.body == token;
        bench.notes.require("5.23a", good, "the seq and token of the PING", &pong);
    }
    for flags in [flag::ACK_NOW, flag::MORE, flag::MORE | flag::ACK_NOW] {
        bench.send_raw(&raw(flags, MessageType::Ping.code(), session, 13, b"token 13"));
        let expected = format!("PONG for a PING with the flags 0x{flags:x}");
        let pong = bench.until("3.2a", &expected, is_pong)?;
        bench.notes.require("3.2a", pong.seq == 13, &expected, &pong);
    }
    bench.send(MessageType::Ping, 14, b"token 14 is too long");
    bench.send(MessageType::Ping, 15, b"short");
    let came = bench.settle("5a")?;
    bench.notes.require_none("5a", &came, "no PONG for a PING of another length", is_pong);
    for (label, code) in [("5.25b", 0x06), ("5.25b", 0x7F), ("5.25c", 0x90), ("5.25c", 0xFF)] {
        // A good message behind it in the same datagram shows that it was skipped by its length.
        let mut bytes = raw(0, code, session, 16, &[1, 2, 3, 4, 5]);
        bytes.extend(message(MessageType::Ping, session, 17, b"token 17"));
        bench.send_raw(&bytes);
        bench.until(label, "PONG for the PING behind an unknown type", is_pong)?;
        let answered = |seen: &Seen| seen.is(MessageType::Close) || seen.is(MessageType::Nack);
        let passed = std::mem::take(&mut bench.passed);
        bench.notes.require_none(label, &passed, "no answer to an unknown type", answered);
    }
    // A known type in the wrong direction is skipped too.
    bench.send(MessageType::Rows, 0, &rows_head(0, 1));
    let came = bench.settle("5.25b")?;
    bench.notes.require_none("5.25b", &came, "no answer to ROWS from a collector", |seen| {
        seen.is(MessageType::Close) || seen.is(MessageType::Ack) || seen.is(MessageType::Nack)
    });
    Ok(())
}
