//! Raw listeners when the disk fails and when the server stops.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use senda_server::raw::{Framing, Raw, RawField, RawReply, ReplyValue, Statuses};
use senda_server::{Config, Server};
use senda_store::{Fault, FaultHook, Options, Query, Reader};

const PATIENCE: Duration = Duration::from_secs(60);

/// A listener of single bytes on both transports.
fn listener(has_reply: bool) -> Raw {
    let mut raw = Raw::new("gauge", "B", vec![RawField::new("level")]);
    raw.udp = Some("127.0.0.1:0".into());
    raw.tcp = Some(("127.0.0.1:0".into(), Framing::Fixed));
    raw.sequence = has_reply.then(|| "level".into());
    raw.reply = has_reply.then(|| RawReply {
        format: "B".into(),
        values: vec![ReplyValue::Named("status".into())],
        status: Statuses::default(),
        interval_ms: 1_000,
    });
    raw
}

/// A server whose disk fails while the switch is on.
fn start(dir: &Path, raw: Raw) -> (Server, Arc<AtomicBool>) {
    let mut config = Config::new(dir);
    (config.tcp, config.udp, config.http) = (None, None, None);
    config.raw = vec![raw];
    let fails = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&fails);
    let asked = move |fault| {
        matches!(fault, Fault::LandSync | Fault::Recover) && switch.load(Ordering::SeqCst)
    };
    config.store = Options { fault: FaultHook::new(asked), ..Options::default() };
    (Server::start(config).unwrap(), fails)
}

fn levels(dir: &Path) -> Vec<i128> {
    let found = Reader::open(dir).unwrap().query(&Query { limit: 100_000, ..Query::default() });
    let level = |value: &Option<senda_store::Value>| match value {
        Some(senda_store::Value::Unsigned(level)) => i128::from(*level),
        other => panic!("{other:?}"),
    };
    let mut levels: Vec<i128> =
        found.unwrap().iter().map(|sample| level(&sample.values[0])).collect();
    levels.sort_unstable();
    levels
}

#[test]
fn a_device_with_replies_is_told_busy_while_the_disk_fails_and_stored_when_it_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (server, fails) = start(dir.path(), listener(true));
    let addresses = server.raw_addresses().next().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(addresses.udp.unwrap()).unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut tcp = TcpStream::connect(addresses.tcp.unwrap()).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut ask = |level: u8| {
        let mut replies = [[0]; 2];
        udp.send(&[level]).unwrap();
        udp.recv(&mut replies[0]).unwrap();
        tcp.write_all(&[level + 100]).unwrap();
        tcp.read_exact(&mut replies[1]).unwrap();
        replies.concat()
    };
    assert_eq!(ask(1), [0, 0]);
    fails.store(true, Ordering::SeqCst);
    assert_eq!(ask(2), [2, 2], "busy: it is not on disk");
    fails.store(false, Ordering::SeqCst);
    let begun = Instant::now();
    while ask(2) != [0, 0] {
        assert!(begun.elapsed() < PATIENCE, "service does not resume");
    }
    server.stop();
    // After a sync that failed a row may be on disk, or not: sent again it is the same one.
    assert_eq!(levels(dir.path()), [1, 2, 101, 102]);
}

#[test]
fn what_comes_over_tcp_without_replies_waits_until_the_disk_is_well_again() {
    let dir = tempfile::tempdir().unwrap();
    let (server, fails) = start(dir.path(), listener(false));
    let address = server.raw_addresses().next().unwrap().tcp.unwrap();
    fails.store(true, Ordering::SeqCst);
    let mut tcp = TcpStream::connect(address).unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    tcp.write_all(&bytes).unwrap();
    // The device is gone before anything is stored: what it has sent is not.
    tcp.shutdown(std::net::Shutdown::Write).unwrap();
    let begun = Instant::now();
    // 32 records wait at once: some have been tried again, and again.
    while server.raw_counts().next().unwrap().busy < 40 {
        assert!(begun.elapsed() < PATIENCE, "nothing is tried again");
        std::thread::sleep(Duration::from_millis(5));
    }
    fails.store(false, Ordering::SeqCst);
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(tcp.read(&mut [0]).unwrap(), 0, "closed when all is stored");
    server.stop();
    assert_eq!(levels(dir.path()), (0..=255).collect::<Vec<i128>>());
}

#[test]
fn a_device_is_told_busy_while_what_landed_before_waits_to_be_filed() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    (config.tcp, config.udp, config.http) = (None, None, None);
    config.raw = vec![listener(true)];
    let (delay, bytes) = (3_600_000_000, u64::MAX);
    config.store = Options { filing_delay: delay, filing_bytes: bytes, ..Options::default() };
    config.store.inbox_bytes_max = 1;
    let server = Server::start(config).unwrap();
    let mut tcp = TcpStream::connect(server.raw_addresses().next().unwrap().tcp.unwrap()).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    for (level, status) in [(1, 0), (2, 2), (3, 2)] {
        let mut reply = [9];
        tcp.write_all(&[level]).unwrap();
        tcp.read_exact(&mut reply).unwrap();
        assert_eq!(reply, [status], "record {level}");
    }
    drop(tcp);
    server.stop();
    assert_eq!(levels(dir.path()), [1]);
}

/// Refused records must not fill the store with streams of which nothing is stored.
#[test]
fn records_whose_schema_the_store_refuses_leave_one_stream_however_many_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    (config.tcp, config.udp, config.http) = (None, None, None);
    config.raw = vec![listener(true)];
    config.store = Options { schemas_max: 0, ..Options::default() };
    let server = Server::start(config).unwrap();
    let mut tcp = TcpStream::connect(server.raw_addresses().next().unwrap().tcp.unwrap()).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    for level in 0..20 {
        let mut reply = [9];
        tcp.write_all(&[level]).unwrap();
        tcp.read_exact(&mut reply).unwrap();
        assert_eq!(reply, [1], "refused");
    }
    let counts = server.raw_counts().next().unwrap();
    assert_eq!(counts.misfits, [("schema", 20)]);
    drop(tcp);
    server.stop();
    let devices = Reader::open(dir.path()).unwrap().devices(None, None, 10).unwrap();
    assert_eq!(devices[0].ledger.streams, 1);
}

#[test]
fn a_server_that_stops_stores_and_answers_the_datagrams_that_it_has_read() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=5 {
        let (server, _) = start(dir.path(), listener(true));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.connect(server.raw_addresses().next().unwrap().udp.unwrap()).unwrap();
        for number in 0..30 {
            udp.send(&[number]).unwrap();
        }
        while server.raw_counts().next().unwrap().records < 30 {
            std::thread::yield_now();
        }
        assert_eq!(server.stop().rows_stored, 30);
        udp.set_nonblocking(true).unwrap();
        let answers = std::iter::from_fn(|| udp.recv(&mut [0]).ok()).count();
        assert_eq!((answers, levels(dir.path()).len()), (30, 30 * round));
    }
}

#[test]
fn a_server_that_stops_stores_and_answers_what_it_has_read() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (server, _) = start(dir.path(), listener(true));
        let before = Reader::open(dir.path()).unwrap();
        let before = before.query(&Query { limit: 100_000, ..Query::default() }).unwrap().len();
        let addresses = server.raw_addresses().next().unwrap();
        let mut tcp = TcpStream::connect(addresses.tcp.unwrap()).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut writer = tcp.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            let numbers: Vec<u8> = (0..=250).collect();
            while writer.write_all(&numbers).is_ok() {}
        });
        tcp.read_exact(&mut [0; 100]).unwrap();
        let stopping = std::thread::spawn(move || server.stop());
        let mut answered = 100;
        let mut reply = [0];
        while matches!(tcp.read(&mut reply), Ok(1)) {
            assert_eq!(reply, [0], "it is read no more before it is stored no more");
            answered += 1;
        }
        drop(tcp);
        sending.join().unwrap();
        let last = stopping.join().unwrap();
        assert_eq!(last.rows_stored, answered, "each is answered, or neither stored nor answered");
        assert_eq!(levels(dir.path()).len() - before, usize::try_from(answered).unwrap());
    }
}

#[test]
fn a_server_that_can_not_start_leaves_no_listener_behind() {
    let dir = tempfile::tempdir().unwrap();
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut first, mut second) = (listener(true), listener(true));
    first.udp = Some(free.clone());
    second.name = "second".into();
    second.udp = Some(taken.local_addr().unwrap().to_string());
    let mut config = Config::new(dir.path());
    (config.tcp, config.udp, config.http) = (None, None, None);
    config.raw = vec![first, second];
    assert!(Server::start(config).is_err(), "one address is taken");
    let begun = Instant::now();
    while UdpSocket::bind(&free).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the first is still listened on");
        std::thread::sleep(Duration::from_millis(5));
    }
}
