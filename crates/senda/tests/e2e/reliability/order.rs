//! The rule of spec §7.1a, judged over the system calls of a collector: no ACK begins to leave before every row that it
//! covers was written to a file of the store, and a sync of that file, begun after the write, has returned 0. A sync that
//! fails takes the trust from what was written before it: those bytes may be in the page cache alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::calls::Call;
use crate::wire::{ACK, Message, be32};

/// (stream, row).
pub(crate) type Row = (u64, u32);

/// What a trace proves.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    /// ACKs that left.
    pub(crate) acks: usize,
    /// Rows that they cover; each was on the disk before the first of them began.
    pub(crate) rows: BTreeSet<Row>,
    /// Syncs of the store's files that failed.
    pub(crate) failed_syncs: usize,
}

/// What stands in a row, so that it is found in whatever is written. Put it in twice: one of them may lie across two pages.
pub(crate) fn marker((stream, row): Row) -> [u8; 16] {
    let mut marker = [0; 16];
    marker[..4].copy_from_slice(MAGIC);
    marker[4..12].copy_from_slice(&stream.to_be_bytes());
    marker[12..].copy_from_slice(&row.to_be_bytes());
    marker
}

/// Judges all ACKs of these sessions, each with its stream. `store` is the path of `senda.db`.
///
/// # Errors
/// The first ACK that breaks the rule, and how.
pub(crate) fn judge(
    calls: &[Call],
    store: &str,
    sessions: &BTreeMap<u32, u64>,
) -> Result<Proof, String> {
    let files = [store.to_owned(), format!("{store}-wal")];
    let mut durable: HashMap<Row, usize> = HashMap::new();
    let mut proof = Proof::default();
    for file in &files {
        let of_file: Vec<&Call> = calls.iter().filter(|call| call.on == *file).collect();
        proof.failed_syncs +=
            of_file.iter().filter(|call| is_sync(call) && call.succeeded().is_none()).count();
        for (row, since) in synced_rows(&of_file) {
            let earliest = durable.entry(row).or_insert(since);
            *earliest = since.min(*earliest);
        }
    }
    for (begin, message) in messages_sent(calls) {
        if message.kind != ACK {
            continue;
        }
        let Some(stream) = sessions.get(&message.session) else {
            return Err(format!(
                "line {}: an ACK of no session of the test: {message:?}",
                begin + 1
            ));
        };
        proof.acks += 1;
        for row in acknowledged(&message).map(|row| (*stream, row)) {
            match durable.get(&row) {
                Some(since) if *since < begin => proof.rows.insert(row),
                since => return Err(too_early(begin, row, since.copied())),
            };
        }
    }
    Ok(proof)
}

/// The rule of a write-ahead log: nothing of a row goes into the database before the log that has the row is synced, for a
/// power cut in the middle would leave neither.
///
/// # Errors
/// The first write that breaks the rule.
pub(crate) fn judge_log(calls: &[Call], store: &str) -> Result<usize, String> {
    let log = format!("{store}-wal");
    let of_log: Vec<&Call> = calls.iter().filter(|call| call.on == log).collect();
    let mut logged: HashMap<Row, usize> = HashMap::new();
    for (row, since) in synced_rows(&of_log) {
        let earliest = logged.entry(row).or_insert(since);
        *earliest = since.min(*earliest);
    }
    let mut copied = 0;
    for write in calls.iter().filter(|call| call.on == store) {
        for row in rows_in(&write.bytes) {
            if logged.get(&row).is_none_or(|since| *since > write.begin) {
                let line = write.begin + 1;
                return Err(format!(
                    "line {line}: {row:?} is in the database before its log is synced"
                ));
            }
            copied += 1;
        }
    }
    Ok(copied)
}

fn too_early(begin: usize, (stream, row): Row, since: Option<usize>) -> String {
    let when = since.map_or_else(
        || "no sync ever covered it".to_owned(),
        |since| format!("the sync that covers it returned at line {}", since + 1),
    );
    format!("line {}: an ACK for row {row} of stream {stream:016x} leaves, but {when}", begin + 1)
}

/// When each row that was written to a file was on the disk, for those that ever were.
fn synced_rows(calls: &[&Call]) -> Vec<(Row, usize)> {
    let syncs: Vec<&Call> = calls.iter().copied().filter(|call| is_sync(call)).collect();
    let mut synced = Vec::new();
    for write in calls.iter().filter(|call| !is_sync(call)) {
        let Some(written) = write.succeeded() else { continue };
        let covering = syncs.iter().filter(|sync| sync.begin > written);
        let Some(since) = covering.filter_map(|sync| sync.succeeded()).min() else { continue };
        let broken = |sync: &&&Call| {
            sync.succeeded().is_none()
                && sync.begin < since
                && sync.end.is_none_or(|end| end > written)
        };
        if !syncs.iter().any(|sync| broken(&sync)) {
            synced.extend(rows_in(&write.bytes).map(|row| (row, since)));
        }
    }
    synced
}

fn is_sync(call: &Call) -> bool {
    matches!(&call.name[..], "fsync" | "fdatasync")
}

/// The rows whose markers stand in these bytes.
fn rows_in(bytes: &[u8]) -> impl Iterator<Item = Row> {
    bytes.windows(16).filter(|window| window.starts_with(MAGIC)).map(|window| {
        let stream = u64::from(be32(&window[4..8])) << 32 | u64::from(be32(&window[8..12]));
        (stream, be32(&window[12..16]))
    })
}

/// Every row that an ACK says is resolved. Spec §5.13.
fn acknowledged(ack: &Message) -> impl Iterator<Item = u32> {
    let ranges = ack.body.get(10..).unwrap_or_default().chunks_exact(8);
    let ranges = ranges.map(|range| be32(&range[..4])..be32(&range[4..])).collect::<Vec<_>>();
    (0..ack.seq).chain(ranges.into_iter().flatten())
}

/// The messages that were sent to devices, each with the beginning of the call that sent its first byte.
fn messages_sent(calls: &[Call]) -> Vec<(usize, Message)> {
    let mut messages = Vec::new();
    // Of each connection: bytes of a message that is not whole yet, and when they began to leave.
    let mut begun: HashMap<&str, (usize, Vec<u8>)> = HashMap::new();
    for call in calls {
        let is_stream = call.on.starts_with("TCP:");
        if !is_stream && !call.on.starts_with("UDP:") {
            continue;
        }
        let (mut begin, mut bytes) = begun.remove(&call.on[..]).unwrap_or((call.begin, Vec::new()));
        // What did not leave in this call leaves in the next one. A call that never returned may have sent all of it.
        let sent = call.result.map_or(call.bytes.len(), |sent| usize::try_from(sent).unwrap_or(0));
        bytes.extend(call.bytes.iter().take(sent));
        if bytes.first().is_some_and(|first| first >> 4 != 0xA) {
            continue; // HTTP.
        }
        while let Some(message) = Message::read(&bytes) {
            bytes.drain(..message.len);
            messages.push((begin, message));
            begin = call.begin;
        }
        if is_stream && !bytes.is_empty() {
            begun.insert(&call.on, (begin, bytes));
        }
    }
    messages
}

const MAGIC: &[u8; 4] = b"row!";

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::super::calls::read;
    use super::*;
    use crate::wire::message;

    const STREAM: u64 = 0x5EDA;
    const SESSION: u32 = 7;
    const WAL: &str = "/d/senda.db-wal";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "\\x{byte:02x}");
            text
        })
    }

    fn write_row(file: &str, row: u32) -> String {
        format!("3 1.0 pwrite64(6<{file}>, \"\\x0d{}\", 17, 32) = 17", hex(&marker((STREAM, row))))
    }

    fn sync(file: &str, result: &str) -> String {
        format!("3 1.0 fsync(6<{file}>) = {result}")
    }

    fn ack_bytes(next: u32, ranges: &[u32]) -> Vec<u8> {
        let mut body = vec![0; 10];
        body[9] = u8::try_from(ranges.len() / 2).expect("few");
        body.extend(ranges.iter().flat_map(|bound| bound.to_be_bytes()));
        message(ACK, SESSION, next, &body)
    }

    fn ack(next: u32) -> String {
        let bytes = ack_bytes(next, &[]);
        let len = bytes.len();
        format!("4 1.0 sendto(9<TCP:[a->b]>, \"{}\", {len}, 0, NULL, 0) = {len}", hex(&bytes))
    }

    #[track_caller]
    fn judged(lines: &[String]) -> Result<Proof, String> {
        let calls = read(&lines.join("\n")).expect("calls");
        judge(&calls, "/d/senda.db", &BTreeMap::from([(SESSION, STREAM)]))
    }

    #[test]
    fn written_then_synced_then_acknowledged_is_in_order() {
        let proof = judged(&[write_row(WAL, 0), sync(WAL, "0"), ack(1)]).expect("in order");
        assert_eq!((proof.acks, proof.rows), (1, BTreeSet::from([(STREAM, 0)])));
    }

    #[test]
    fn an_ack_before_the_sync_is_too_early() {
        let why = judged(&[write_row(WAL, 0), ack(1), sync(WAL, "0")]).expect_err("too early");
        assert!(why.contains("returned at line 3"), "{why}");
    }

    #[test]
    fn an_ack_while_the_sync_is_under_way_is_too_early() {
        let begin = format!("3 1.0 fsync(6<{WAL}> <unfinished ...>");
        let end = "3 1.0 <... fsync resumed>) = 0".to_owned();
        judged(&[write_row(WAL, 0), begin.clone(), ack(1), end.clone()]).expect_err("too early");
        judged(&[write_row(WAL, 0), begin, end, ack(1)]).expect("in order");
    }

    #[test]
    fn some_sync_before_is_not_the_sync_that_covers_the_row() {
        judged(&[sync(WAL, "0"), write_row(WAL, 0), ack(1)]).expect_err("a sync before the write");
        judged(&[write_row(WAL, 0), sync("/d/senda.db", "0"), ack(1)]).expect_err("another file");
        // A sync that had begun when the write ended need not cover it.
        let begin = format!("5 1.0 fsync(8<{WAL}> <unfinished ...>");
        let end = "5 1.0 <... fsync resumed>) = 0".to_owned();
        judged(&[begin, write_row(WAL, 0), end, ack(1)]).expect_err("begun before");
    }

    #[test]
    fn an_ack_for_a_row_that_was_never_written_is_found_among_others() {
        let lines = [write_row(WAL, 0), write_row(WAL, 2), sync(WAL, "0"), ack(3)];
        let why = judged(&lines).expect_err("row 1 is nowhere");
        assert!(why.contains("row 1 ") && why.contains("no sync ever"), "{why}");
    }

    #[test]
    fn ranges_above_the_mark_are_acknowledged_too() {
        let bytes = ack_bytes(0, &[2, 3]);
        let send = format!(
            "4 1.0 sendmsg(8<UDP:[a]>, {{msg_iov=[{{iov_base=\"{}\"}}]}}, 0) = {}",
            hex(&bytes),
            bytes.len()
        );
        judged(&[write_row(WAL, 1), sync(WAL, "0"), send.clone()]).expect_err("row 2 is nowhere");
        judged(&[write_row(WAL, 2), sync(WAL, "0"), send]).expect("in order");
    }

    #[test]
    fn a_failed_sync_takes_the_trust_from_what_was_written_before_it() {
        let failed = || sync(WAL, "-1 EIO (Input/output error) (INJECTED)");
        judged(&[write_row(WAL, 0), failed(), ack(1)]).expect_err("it failed");
        judged(&[write_row(WAL, 0), failed(), sync(WAL, "0"), ack(1)])
            .expect_err("a later sync says nothing about pages that the failed one dropped");
        let again = [write_row(WAL, 0), failed(), write_row(WAL, 0), sync(WAL, "0"), ack(1)];
        assert_eq!(judged(&again).expect("written again").failed_syncs, 1);
        let copied = [
            write_row(WAL, 0),
            failed(),
            write_row("/d/senda.db", 0),
            sync("/d/senda.db", "0"),
            ack(1),
        ];
        judged(&copied).expect("in the database instead");
    }

    #[test]
    fn a_row_in_the_database_before_its_log_was_synced_breaks_the_log_s_rule() {
        let judged =
            |lines: &[String]| judge_log(&read(&lines.join("\n")).expect("calls"), "/d/senda.db");
        let (log, copy) = (|| write_row(WAL, 0), || write_row("/d/senda.db", 0));
        let failed = || sync(WAL, "-1 EIO (Input/output error) (INJECTED)");
        assert_eq!(judged(&[log(), sync(WAL, "0"), copy()]), Ok(1));
        judged(&[log(), copy(), sync(WAL, "0")]).expect_err("copied before the sync");
        judged(&[log(), failed(), sync(WAL, "0"), copy()]).expect_err("the sync covers nothing");
        assert_eq!(judged(&[log(), failed(), log(), sync(WAL, "0"), copy()]), Ok(1));
    }

    #[test]
    fn an_ack_in_pieces_began_with_its_first_byte() {
        let bytes = ack_bytes(1, &[]);
        let piece = |bytes: &[u8], sent: usize| {
            format!(
                "4 1.0 sendto(9<TCP:[a->b]>, \"{}\", {}, 0, NULL, 0) = {sent}",
                hex(bytes),
                bytes.len()
            )
        };
        let (first, rest) = (piece(&bytes, 5), piece(&bytes[5..], bytes.len() - 5));
        judged(&[write_row(WAL, 0), first.clone(), sync(WAL, "0"), rest.clone()])
            .expect_err("begun");
        let proof = judged(&[write_row(WAL, 0), sync(WAL, "0"), first, rest]).expect("in order");
        assert_eq!(proof.acks, 1);
    }

    #[test]
    fn an_ack_of_a_session_that_nobody_has_is_no_proof() {
        let calls = read(&ack(0)).expect("calls");
        judge(&calls, "/d/senda.db", &BTreeMap::new()).expect_err("whose is it?");
    }
}
