//! `senda sense --spool`, and one stream over two transports: real processes, sockets and files.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use senda_client::spool::{Directory, Entry, Options, ReadLimits, Spool};
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{Collector, Running, run, senda, wait_for};
use crate::store;

fn sense(ways: &[String], spool: &Path) -> Command {
    let mut command = senda(["sense", "--from", "ndjson", "-", "--device", "gh-7"]);
    command.args(ways).arg("--spool").arg(spool);
    command.stdin(Stdio::piped());
    command
}

/// One object a line, each with a number of its own.
fn feed(pipe: &mut ChildStdin, numbers: std::ops::Range<u32>) {
    let mut lines = String::new();
    for number in numbers {
        writeln!(lines, "{{\"number\": {number}}}").expect("a string");
    }
    pipe.write_all(lines.as_bytes()).expect("it reads");
}

/// The numbers in the store; each must be there once.
fn stored(data: &Path) -> BTreeSet<u32> {
    let samples = store::samples(data, 100_000);
    let number = |sample: &Value| sample["values"]["number"].to_string();
    let number = |sample| number(sample).trim_matches('"').trim_end_matches(".0").parse();
    let numbers: Vec<u32> = samples.iter().map(|sample| number(sample).expect("whole")).collect();
    let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "a number is stored twice");
    distinct
}

/// How many rows a copy of the spool holds: its owner has the lock of the original.
fn spooled(spool: &Path) -> usize {
    let copy = TempDir::new().expect("a directory");
    let Ok(files) = std::fs::read_dir(spool) else { return 0 };
    for file in files.flatten() {
        if file.path().extension().is_some_and(|extension| extension == "spool") {
            // It may be gone by now.
            let _ = std::fs::copy(file.path(), copy.path().join(file.file_name()));
        }
    }
    let directory = Directory::open(copy.path()).expect("a copy");
    let (mut spool, found) = Spool::open(directory, Options::new(64 << 20)).expect("readable");
    let limits = ReadLimits { entries: 100_000, bytes: 64 << 20 };
    let mut rows = 0;
    for state in found.streams {
        let entries = spool.read(state.stream, state.mark, limits).expect("readable");
        rows += entries.iter().filter(|entry| matches!(entry, Entry::Row(_))).count();
    }
    rows
}

/// Both sides die in mid-stream, the device first: what it had read is stored once, by the process that follows.
#[test]
fn a_killed_process_leaves_its_rows_to_the_next_one() {
    for ways in
        [|c: &Collector| format!("--udp={}", c.udp), |c: &Collector| format!("--tcp={}", c.tcp)]
    {
        let room = TempDir::new().expect("a directory");
        let (data, spool) = (room.path().join("data"), room.path().join("spool"));
        let mut collector = Collector::start(&data);
        let way = [ways(&collector)];
        let mut first = Running::start(&mut sense(&way, &spool));
        let mut pipe = first.stdin();
        feed(&mut pipe, 0..300);
        wait_for("rows in the store", || (stored(&data).len() >= 100).then_some(()));
        collector.crash();
        feed(&mut pipe, 300..2_000);
        wait_for("rows on the spool", || (spooled(&spool) >= 1_700).then_some(()));
        first.signal(Signal::KILL);
        first.finish();
        collector.restart();

        let mut second = Running::start(&mut sense(&way, &spool));
        let mut pipe = second.stdin();
        feed(&mut pipe, 2_000..2_010);
        drop(pipe);
        let outcome = second.finish().succeeded();
        assert!(outcome.stderr.contains("10 rows sent, 10 on disk"), "{outcome:#?}");
        assert!(collector.stop().success());
        assert_eq!(stored(&data), (0..2_010).collect());
        assert_eq!(spooled(&spool), 0);
    }
}

/// Nobody answers: the exit code and the words say that the rows are on the spool.
#[test]
fn what_stays_on_the_spool_is_said_and_goes_up_later() {
    let room = TempDir::new().expect("a directory");
    let (data, spool) = (room.path().join("data"), room.path().join("spool"));
    let mut collector = Collector::start(&data);
    let ways = [format!("--tcp={}", collector.tcp)];
    collector.crash();
    let mut alone = Running::start(sense(&ways, &spool).args(["--patience", "1s"]));
    feed(&mut alone.stdin(), 0..50);
    let outcome = alone.finish();
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stderr.contains("50 on the spool"), "{outcome:#?}");
    collector.restart();
    let mut second = Running::start(&mut sense(&ways, &spool));
    drop(second.stdin());
    second.finish().succeeded();
    assert_eq!(stored(&data), (0..50).collect());
}

/// `senda proxy` carries UDP, and stands still twice; TCP goes straight.
#[test]
fn a_stream_goes_over_tcp_while_udp_stands_still_and_comes_back() {
    let room = TempDir::new().expect("a directory");
    let (data, spool) = (room.path().join("data"), room.path().join("spool"));
    let collector = Collector::start(&data);
    let to = collector.udp.to_string();
    let mut proxy = senda(["proxy", "--listen", "127.0.0.1:0", "--to", &to, "--format", "json"]);
    let (proxy, listening, _lines) = Running::start_with_lines(proxy.arg("--udp"));
    let listening: Value = serde_json::from_str(&listening).expect("JSON");
    let udp: SocketAddr =
        listening["listening"]["udp"].as_str().and_then(|text| text.parse().ok()).expect("UDP");
    let ways = [format!("--udp={udp}"), format!("--tcp={}", collector.tcp)];
    let mut device = Running::start(&mut sense(&ways, &spool));
    let mut pipe = device.stdin();
    let mut made = 0;
    let mut until = |wanted: &str| {
        wait_for(wanted, || {
            feed(&mut pipe, made..made + 5);
            made += 5;
            let found = devices(&collector);
            let serves = found["online"] == true && found["transport"] == wanted;
            serves.then_some(())
        });
    };
    until("udp");
    proxy.signal(Signal::STOP);
    until("tcp");
    proxy.signal(Signal::CONT);
    until("udp");
    drop(pipe);
    let outcome = device.finish().succeeded();
    assert!(outcome.stderr.contains("goes on over TCP"), "{outcome:#?}");
    assert!(collector.stop().success());
    let streams = store::rows_exactly_once(&data);
    assert_eq!(streams.len(), 1, "one stream over two transports: {streams:?}");
    assert_eq!(stored(&data), (0..made).collect());
}

/// What the collector says of the only device.
fn devices(collector: &Collector) -> Value {
    std::thread::sleep(Duration::from_millis(20)); // Rows are made at a pace.
    let mut command = senda(["devices", "--format", "json"]);
    let outcome = run(command.env("SENDA_HTTP", collector.http.to_string())).succeeded();
    let line = outcome.stdout.lines().next().unwrap_or("null");
    serde_json::from_str(line).expect("JSON")
}
