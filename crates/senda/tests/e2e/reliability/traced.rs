//! A collector under strace, whose every ACK is held against the rules of [`order`](super::order).
//!
//! Each sync is made to return late, so that an ACK that does not wait for it leaves before it with certainty.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::calls;
use super::order::{self, Proof, Row, marker};
use crate::processes::{Collector, Wrap, wait_for};
use crate::store;
use crate::wire::{ACK, Device, ROWS, b_text, nack_code, rows_body};

/// Spec §7.1a.
#[test]
fn no_ack_over_udp_leaves_before_the_sync_that_covers_its_rows_returned() {
    let proof = traced(Fleet { udp: 6, tcp: 0 }, LATE);
    assert_eq!(proof.failed_syncs, 0);
}

/// Spec §7.1a.
#[test]
fn no_ack_over_tcp_leaves_before_the_sync_that_covers_its_rows_returned() {
    let proof = traced(Fleet { udp: 0, tcp: 6 }, LATE);
    assert_eq!(proof.failed_syncs, 0);
}

/// Spec §7.1d. The failed rows are sent again, or were brought into the database when the store was reopened: either way
/// they are acknowledged after a sync of what was written after the failure.
#[test]
fn after_syncs_that_failed_each_ack_still_waits_for_a_sync_of_what_was_written_since() {
    let proof = traced(Fleet { udp: 3, tcp: 3 }, LATE_AND_FAILING);
    assert!(proof.failed_syncs >= FAILURES, "{} syncs failed", proof.failed_syncs);
}

/// Each sync takes 3 ms longer.
const LATE: &str = "fsync,fdatasync:delay_exit=3000";
/// The same, and of each thread's syncs, these four fail. Opening a new store takes eleven.
const LATE_AND_FAILING: &str = "fsync,fdatasync:error=EIO:delay_exit=3000:when=20..23";
const FAILURES: usize = 4;
/// Messages of each device. It has at most `IN_FLIGHT` on their way.
const MESSAGES: u32 = 60;
const IN_FLIGHT: u32 = 4;
/// Before a refused row goes again.
const RETRY: Duration = Duration::from_millis(50);
/// Rows in each of them.
const ROWS_EACH: u32 = 3;

/// How many devices on which transport.
#[derive(Clone, Copy)]
struct Fleet {
    udp: usize,
    tcp: usize,
}

/// Runs a fleet against a collector under strace, and returns what the trace proves: something for every row.
#[track_caller]
fn traced(fleet: Fleet, fault: &'static str) -> Proof {
    ensure_strace();
    let room = TempDir::new().expect("a directory");
    let (data, trace) = (room.path().join("data"), room.path().join("trace"));
    let collector = Collector::start_wrapped(&data, &[], under_strace(&trace, fault));
    let devices: Vec<Device> = (0..fleet.udp + fleet.tcp)
        .map(|index| match index < fleet.udp {
            true => Device::udp(collector.udp, &format!("udp-{index}")),
            false => Device::tcp(collector.tcp, &format!("tcp-{index}")),
        })
        .collect();
    let sessions: BTreeMap<u32, u64> = std::thread::scope(|scope| {
        let running: Vec<_> =
            devices.into_iter().map(|device| scope.spawn(|| send_all(device))).collect();
        running.into_iter().map(|device| device.join().expect("a device")).collect()
    });
    assert!(collector.stop().success());
    let calls = calls::read(&ended_trace(&trace)).unwrap_or_else(|error| panic!("{error}"));
    let database = data.canonicalize().expect("a directory").join("senda.db");
    let database = database.to_str().expect("text");
    let proof = order::judge(&calls, database, &sessions).unwrap_or_else(|error| panic!("{error}"));
    let copied = order::judge_log(&calls, database).unwrap_or_else(|error| panic!("{error}"));
    assert!(copied > 0 || proof.failed_syncs == 0, "recovery brings the log into the database");
    let rows = MESSAGES * ROWS_EACH;
    assert_eq!(proof.rows.len(), sessions.len() * rows as usize, "every row has its proof");
    assert!(proof.acks >= sessions.len() * (MESSAGES / IN_FLIGHT) as usize, "{}", proof.acks);
    let stored = store::rows_exactly_once(&data);
    assert!(stored.values().all(|stored| *stored == u64::from(rows)), "{stored:?}");
    proof
}

/// What starts a collector under strace. strace itself runs beside it, so that the collector is our child.
fn under_strace(trace: &Path, fault: &'static str) -> Wrap {
    let trace = trace.to_owned();
    Arc::new(move |command| {
        let mut strace = Command::new("strace");
        strace.args(["-D", "-f", "-yy", "-ttt", "-xx", "-s", "131072", "-e", "signal=none"]);
        strace.args(["-e", &format!("trace={CALLS}"), "-e", &format!("inject={fault}"), "-o"]);
        strace.arg(&trace).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => strace.env(name, value),
                None => strace.env_remove(name),
            };
        }
        strace.stdin(std::process::Stdio::null());
        strace
    })
}

/// All that can write to a file or a socket, and all that syncs.
const CALLS: &str =
    "fsync,fdatasync,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendmmsg";

/// The trace, once strace has seen the collector's end: it ends a moment later than the collector.
fn ended_trace(path: &Path) -> String {
    wait_for("end of the trace", || {
        let trace = std::fs::read_to_string(path).expect("a trace");
        let last = trace.lines().last().unwrap_or_default().to_owned();
        (last.contains("+++ exited with 0 +++") && trace.ends_with('\n')).then_some(trace)
    })
}

/// Whoever can't trace can't judge: this fails, and says what to do.
#[track_caller]
fn ensure_strace() {
    let room = TempDir::new().expect("a directory");
    let trace = room.path().join("trace");
    let wrapped = under_strace(&trace, LATE)(Command::new("true")).output();
    let output = wrapped.unwrap_or_else(|error| {
        panic!("this test needs strace 5.5 or later (on Debian: apt-get install strace): {error}")
    });
    // With -D the program runs whether it can be traced or not. The pipes end with strace, and so the trace is whole.
    let seen = std::fs::read_to_string(trace).unwrap_or_default();
    assert!(
        seen.contains("exited with 0"),
        "this test needs ptrace, and strace said: {}. Allow it: in a container --cap-add=SYS_PTRACE and a seccomp profile \
         that has ptrace, elsewhere sysctl kernel.yama.ptrace_scope=1 or 0",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
}

/// Joins, sends every row and waits until it is acknowledged. Returns session and stream.
fn send_all(mut device: Device) -> (u32, u64) {
    device.ack_every = 2;
    device.ack_delay_ms = 5;
    device.join();
    device.declare(0, &blob_schema());
    let (mut sent, mut acked) = (0, 0);
    while acked < MESSAGES * ROWS_EACH {
        while sent < (acked / ROWS_EACH + IN_FLIGHT).min(MESSAGES) {
            send_message(&mut device, sent * ROWS_EACH);
            sent += 1;
        }
        let answer = device.receive().expect("an answer");
        match answer.kind {
            ACK => acked = answer.seq.max(acked),
            // Not stored: all that is not acknowledged goes again, when the collector has dealt with the rest of it.
            _ => {
                assert!(matches!(nack_code(&answer), 101..=103), "{answer:?}");
                let rest = device.messages_before_a_pong();
                let acks = rest.iter().filter(|message| message.kind == ACK);
                acked = acks.map(|ack| ack.seq).fold(acked, u32::max);
                sent = acked / ROWS_EACH;
                std::thread::sleep(RETRY);
            }
        }
    }
    (device.session, device.stream)
}

fn send_message(device: &mut Device, first: u32) {
    let rows: Vec<Vec<u8>> =
        (first..first + ROWS_EACH).map(|row| fields((device.stream, row))).collect();
    let rows: Vec<&[u8]> = rows.iter().map(|row| &row[..]).collect();
    device.send(ROWS, first, &rows_body(0, &rows));
}

/// One blob, with the row's marker twice.
fn fields(row: Row) -> Vec<u8> {
    let mut fields = vec![0, 32];
    fields.extend(marker(row));
    fields.extend(marker(row));
    fields
}

/// A schema of one blob of at most 32 bytes. Spec §4.2.
fn blob_schema() -> Vec<u8> {
    let mut bytes = b_text("marked");
    bytes.extend([0, 1, 0x0D, 0, 0, 1, 0, 32]);
    bytes.extend(b_text("marker"));
    bytes.extend(b_text(""));
    bytes
}
