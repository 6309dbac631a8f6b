//! `senda proxy`: what it does to the traffic, what it says about it, and that both are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use socket2::SockRef;
use tempfile::TempDir;

use crate::fleets::{figures, simulate};
use crate::processes::{Collector, PATIENCE, Running, run, senda};
use crate::{python, store};

const BAD: [&str; 8] = ["--loss", "20%", "--dup", "10%", "--reorder", "10%", "--delay", "5ms+-5ms"];

/// Decides which datagrams are lost; with this one no device loses so many in a row that it waits for long.
const SEED: &str = "13";

/// Spec §2.1a. Every datagram that the fleet and the collector exchange goes through the proxy.
#[test]
fn a_fleet_behind_a_bad_network_has_every_row_stored_once_over_udp() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let mut proxy = Proxy::start(collector.udp, &[&["--udp", "--seed", SEED], &BAD[..]].concat());
    let fleet = ["--devices", "4", "--interval", "10ms", "--count", "50", "--patience", "120s"];
    let figures = figures(simulate(&[format!("--udp={}", proxy.udp())]).args(fleet));
    assert_eq!((&figures["made"], &figures["acknowledged"]), (&200.into(), &200.into()));
    let (lines, counts) = proxy.stop(Signal::TERM);
    assert!(collector.stop().success());
    let stored = store::rows_exactly_once(room.path());
    assert_eq!(stored.len(), 4, "a stream for each device");
    assert!(stored.values().all(|rows| *rows == 50), "{stored:?}");
    // Each datagram is marked on the lines of its messages, and the counts count those marks.
    assert_eq!((&counts["lines_left_out"], &counts["udp"]["clients"]), (&0.into(), &4.into()));
    for way in ["up", "down"] {
        let counted = &counts["udp"][way];
        let datagrams = datagrams(&lines, way);
        let number =
            |mark: fn(&Value) -> bool| datagrams.values().filter(|line| mark(line)).count() as u64;
        let marked = [
            ("received", number(|_| true)),
            ("lost", number(|line| line["fate"] == "lost")),
            ("duplicated", number(|line| line["copy_delay_ms"].is_number())),
            ("held_back", number(|line| line["held_back"] == true)),
        ];
        for (name, number) in marked {
            assert!(number > 0, "nothing was {name} {way}: {counted}");
            assert_eq!(counted[name], number, "{name} {way}");
        }
        assert!(datagrams.values().all(|line| line["type"].is_string()), "{way}: Senda alone");
    }
    let types: BTreeSet<_> = lines.iter().filter_map(|line| line["type"].as_str()).collect();
    assert!(types.is_superset(&["HELLO", "WELCOME", "DECLARE", "ROWS", "ACK"].into()), "{types:?}");
}

/// Spec §2.1a.
#[test]
fn a_fleet_whose_connections_are_slow_and_cut_has_every_row_stored_once() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let bad = ["--tcp", "--rate", "400kbit", "--delay", "3ms±2ms", "--cut", "300ms±200ms"];
    let mut proxy = Proxy::start(collector.tcp, &[&bad[..], &["--seed", "5"]].concat());
    let fleet = ["--devices", "4", "--interval", "10ms", "--count", "80", "--patience", "120s"];
    let figures = figures(simulate(&[format!("--tcp={}", proxy.tcp())]).args(fleet));
    assert_eq!((&figures["made"], &figures["acknowledged"]), (&320.into(), &320.into()));
    let (lines, counts) = proxy.stop(Signal::INT);
    assert!(collector.stop().success());
    let stored = store::rows_exactly_once(room.path());
    assert!(stored.len() == 4 && stored.values().all(|rows| *rows == 80), "{stored:?}");
    // Almost a second of samples outlives each device's first connection.
    let cut = number(&counts["tcp"]["cut"]);
    assert!(cut >= 4, "{counts}");
    assert_eq!(events(&lines, "cut").len() as u64, cut);
    assert_eq!(events(&lines, "connected").len() as u64, number(&counts["tcp"]["connections"]));
    assert!(number(&figures["sessions_lost"]) >= 4, "{figures}");
}

#[test]
fn a_fleet_over_a_slow_connection_sends_and_gets_what_the_proxy_counts() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let slow = ["--tcp", "--rate", "1Mbit", "--delay", "2ms±2ms", "--seed", "6"];
    let mut proxy = Proxy::start(collector.tcp, &slow);
    let fleet = ["--devices", "3", "--interval", "5ms", "--count", "40"];
    let figures = figures(simulate(&[format!("--tcp={}", proxy.tcp())]).args(fleet));
    for _ in 0..3 {
        proxy.wait_for(|line| line["event"] == "ended");
    }
    let (lines, counts) = proxy.stop(Signal::TERM);
    let up: Vec<_> = lines.iter().filter(|line| line["direction"] == "up").collect();
    let of_type = |name| up.iter().filter(|line| line["type"] == name).count() as u64;
    let data = of_type("ROWS") + of_type("COUNTS");
    assert_eq!(data, number(&figures["data_messages"]), "nothing is lost on a stream");
    assert_eq!((of_type("HELLO"), of_type("CLOSE")), (3, 3));
    assert_eq!(number(&counts["tcp"]["up"]["messages"]), up.len() as u64);
    for way in ["up", "down"] {
        let counted = &counts["tcp"][way];
        let lines = lines.iter().filter(|line| line["direction"] == way);
        let bytes: u64 = lines.map(|line| number(&line["length"])).sum();
        assert_eq!(counted["bytes_received"], bytes, "the lines show every byte");
        assert_eq!(counted["bytes_forwarded"], bytes);
    }
}

#[test]
fn a_python_client_behind_a_bad_network_is_stored_once() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let bad = ["--udp", "--quiet", "--loss", "10%", "--dup", "20%", "--reorder", "20%"];
    let mut proxy = Proxy::start(collector.udp, &[&bad[..], &["--seed", "6"]].concat());
    let address = proxy.udp().to_string();
    let arguments = ["--udp", &address, "--device", "py-9", "--interval", "0.01", "--count", "8"];
    python::python(arguments).succeeded();
    let (lines, counts) = proxy.stop(Signal::TERM);
    assert!(lines.is_empty(), "--quiet: {lines:?}");
    assert!(number(&counts["udp"]["up"]["forwarded"]) >= 8, "{counts}");
    assert!(collector.stop().success());
    assert_eq!(store::rows_exactly_once(room.path()).into_values().collect::<Vec<_>>(), [8]);
}

#[test]
fn what_is_said_of_each_datagram_is_what_both_ends_see() {
    let (decided, arrived, counts) = two_hundred_datagrams("7");
    let mut expected = Vec::new();
    for (number, line) in &decided {
        if line["fate"] == "forwarded" {
            let times = if line["copy_delay_ms"].is_number() { 2 } else { 1 };
            expected.extend(std::iter::repeat_n(*number, times));
        }
    }
    assert_eq!(decided.len(), 200);
    let mut sorted = arrived.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    let is_held_back = |number: &&u64| decided[number]["held_back"] == true;
    let (late, prompt): (Vec<u64>, Vec<u64>) = arrived.iter().partition(is_held_back);
    assert!(prompt.is_sorted(), "what is not held back keeps its order: {prompt:?}");
    assert!(!late.is_empty() && !arrived.is_sorted(), "{arrived:?}");
    let up = &counts["udp"]["up"];
    assert_eq!((number(&up["received"]), number(&up["bytes"])), (200, 200 * 8));
    assert_eq!(number(&up["forwarded"]), arrived.len() as u64);
    let gone = number(&up["lost"]) + number(&up["forwarded"]);
    assert_eq!(200 + number(&up["duplicated"]), gone, "{up}");
    assert_eq!(counts["udp"]["down"]["received"], 0);
}

#[test]
fn the_same_seed_decides_the_same_about_the_same_datagrams() {
    let decisions = |seed| -> Vec<(Value, Value, bool)> {
        let (decided, ..) = two_hundred_datagrams(seed);
        let decision = |line: &Value| {
            let twice = line["copy_delay_ms"].is_number();
            (line["fate"].clone(), line["held_back"].clone(), twice)
        };
        decided.values().map(decision).collect()
    };
    let first = decisions("11");
    assert_eq!(first, decisions("11"));
    assert_ne!(first, decisions("12"), "another seed is another network");
}

/// Sends numbered datagrams through a bad proxy: what it said about each, which arrived, and its counts.
fn two_hundred_datagrams(seed: &str) -> (BTreeMap<u64, Value>, Vec<u64>, Value) {
    let target = udp_socket();
    let bad = [&["--udp", "--seed", seed], &BAD[..]].concat();
    let mut proxy = Proxy::start(target.local_addr().expect("a port"), &bad);
    let client = udp_socket();
    let mut decided = BTreeMap::new();
    let mut arrivals = 0;
    for sent in 1_u64..=200 {
        client.send_to(&sent.to_be_bytes(), proxy.udp()).expect("loopback takes it");
        let line = proxy.wait_for(|line| line["number"] == sent);
        assert_eq!((&line["type"], &line["name"]), (&Value::Null, &"incomplete".into()), "{line}");
        if line["fate"] == "forwarded" {
            arrivals += if line["copy_delay_ms"].is_number() { 2 } else { 1 };
        }
        decided.insert(sent, line);
    }
    let mut buffer = [0; 16];
    let mut receive = || -> Option<u64> {
        let len = target.recv(&mut buffer).ok()?;
        Some(u64::from_be_bytes(buffer[..len].try_into().expect("eight bytes")))
    };
    let arrived = (0..arrivals).map(|_| receive().expect("as many as it said")).collect();
    let (_, counts) = proxy.stop(Signal::TERM);
    target.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 16];
    assert!(target.recv(&mut buffer).is_err(), "no more than it said");
    (decided, arrived, counts)
}

#[test]
fn clients_have_flows_of_their_own_and_idle_ones_make_room() {
    let target = udp_socket();
    let more = ["--udp", "--clients", "2", "--idle", "1s"];
    let mut proxy = Proxy::start(target.local_addr().expect("a port"), &more);
    let clients = [udp_socket(), udp_socket(), udp_socket()];
    for client in &clients {
        client.connect(proxy.udp()).expect("an address");
    }
    let mut buffer = [0; 16];
    let mut flows = Vec::new();
    for (client, name) in clients.iter().zip([b"a", b"b"]) {
        client.send(name).expect("loopback takes it");
        let (len, flow) = target.recv_from(&mut buffer).expect("it is forwarded");
        assert_eq!(&buffer[..len], name);
        flows.push(flow);
    }
    assert_ne!(flows[0], flows[1]);
    // Answered in the other order: each goes to its client.
    for (client, flow) in [(1, flows[1]), (0, flows[0])] {
        target.send_to(&[client, client], flow).expect("loopback takes it");
        let len = clients[usize::from(client)].recv(&mut buffer).expect("an answer");
        assert_eq!(&buffer[..len], [client, client]);
    }
    clients[2].send(b"c").expect("loopback takes it");
    proxy.wait_for(|line| line["event"] == "turned_away");
    for _ in 0..2 {
        proxy.wait_for(|line| line["event"] == "idle");
    }
    clients[2].send(b"C").expect("loopback takes it");
    let (len, _) = target.recv_from(&mut buffer).expect("now there is room");
    assert_eq!(&buffer[..len], b"C");
    let (_, counts) = proxy.stop(Signal::TERM);
    assert_eq!((&counts["udp"]["clients"], &counts["udp"]["turned_away"]), (&3.into(), &1.into()));
}

#[test]
fn at_a_rate_datagrams_take_their_time_and_a_full_queue_loses_them() {
    let target = udp_socket();
    let mut proxy =
        Proxy::start(target.local_addr().expect("a port"), &["--udp", "--rate", "8kbit"]);
    let client = udp_socket();
    for _ in 0..20 {
        client.send_to(&[0; 1_000], proxy.udp()).expect("loopback takes it");
    }
    let lines: Vec<Value> =
        (0..20).map(|_| proxy.wait_for(|line| !line["fate"].is_null())).collect();
    let delay = lines[0]["delay_ms"].as_f64();
    assert_eq!(delay, Some(1_000.0), "8,000 bits at 8 kbit/s: {}", lines[0]);
    assert!(lines.iter().any(|line| line["fate"] == "overflowed"), "{lines:?}");
    let (_, counts) = proxy.stop(Signal::TERM);
    let up = &counts["udp"]["up"];
    let places = ["overflowed", "forwarded", "under_way"].map(|place| number(&up[place]));
    assert_eq!(places.iter().sum::<u64>(), 20, "{up}");
}

#[test]
fn a_half_closed_connection_stays_half_open() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = listener.local_addr().expect("a port");
    let mut proxy = Proxy::start(target, &["--tcp", "--delay", "5ms±5ms", "--rate", "40Mbit"]);
    let asked: Vec<u8> =
        (0..200_000_u32).map(|n| n.to_be_bytes()[3] ^ n.to_be_bytes()[2]).collect();
    let expected = asked.clone();
    let server = std::thread::spawn(move || {
        let mut stream = accepted(&listener);
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("until the device has ended");
        assert!(got == expected, "{} bytes came", got.len());
        got.reverse();
        stream.write_all(&got).expect("the device still reads");
    });
    let mut device = tcp_stream(proxy.tcp());
    device.write_all(&asked).expect("the proxy reads");
    device.shutdown(Shutdown::Write).expect("a connection");
    let mut answer = Vec::new();
    device.read_to_end(&mut answer).expect("until the collector has ended");
    server.join().expect("it got everything");
    assert!(answer.iter().rev().eq(&asked), "{} bytes came back", answer.len());
    proxy.wait_for(|line| line["event"] == "ended");
    let (lines, counts) = proxy.stop(Signal::TERM);
    assert_eq!(counts["tcp"]["up"]["bytes_forwarded"], 200_000);
    assert_eq!(counts["tcp"]["down"]["bytes_forwarded"], 200_000);
    assert_eq!(events(&lines, "no_message").len(), 2, "said once each way: {lines:?}");
}

#[test]
fn a_reset_is_passed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut proxy = Proxy::start(listener.local_addr().expect("a port"), &["--tcp"]);
    let mut device = tcp_stream(proxy.tcp());
    device.write_all(b"hello").expect("a connection");
    let mut stream = accepted(&listener);
    stream.read_exact(&mut [0; 5]).expect("it is forwarded");
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a connection");
    drop(stream);
    let error = device.read(&mut [0; 5]).expect_err("no clean end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let (_, counts) = proxy.stop(Signal::TERM);
    assert_eq!((&counts["tcp"]["reset"], &counts["tcp"]["cut"]), (&1.into(), &0.into()));
}

#[test]
fn a_collector_that_does_not_read_stops_the_device_from_sending() {
    const MUCH: usize = 64 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = listener.local_addr().expect("a port");
    let proxy = Proxy::start(target, &["--tcp", "--quiet"]);
    let mut device = tcp_stream(proxy.tcp());
    // Only a write that can't go on waits for so long; a slow machine stops early and that is no harm.
    device.set_write_timeout(Some(Duration::from_millis(500))).expect("not zero");
    let mut stream = accepted(&listener);
    let mut taken = 0;
    let stopped = loop {
        match device.write(&[7; 65_536]) {
            Ok(len) => taken += len,
            Err(error) => break error,
        }
        assert!(taken < MUCH, "the proxy swallows everything");
    };
    assert_eq!(stopped.kind(), ErrorKind::WouldBlock);
    device.shutdown(Shutdown::Write).expect("a connection");
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("the rest comes");
    assert_eq!(got.len(), taken);
}

#[test]
fn a_collector_that_is_not_there_is_named() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("a port")
    };
    let mut proxy = Proxy::start(nobody, &[]);
    assert_eq!(proxy.tcp(), proxy.udp(), "both transports, one port");
    let mut device = tcp_stream(proxy.tcp());
    let failed = proxy.wait_for(|line| line["event"] == "failed");
    assert!(failed["text"].as_str().unwrap_or("").contains(&nobody.to_string()), "{failed}");
    assert!(device.read(&mut [0; 5]).is_err(), "reset");
    udp_socket().send_to(b"hello", proxy.udp()).expect("loopback takes it");
    proxy.wait_for(|line| line["event"] == "unreachable");
    let (_, counts) = proxy.stop(Signal::TERM);
    assert_eq!(counts["tcp"]["failed"], 1);
}

#[test]
fn text_is_for_eyes_and_begins_and_ends_with_what_scripts_need() {
    let target = udp_socket();
    let to = target.local_addr().expect("a port").to_string();
    let mut command = senda(["proxy", "--listen", "127.0.0.1:0", "--to", &to, "--udp"]);
    let (proxy, first, lines) = Running::start_with_lines(command.args(["--loss", "100%"]));
    let word = |name: &str| first.split_whitespace().find_map(|word| word.strip_prefix(name));
    assert!(first.starts_with("listening udp=127.0.0.1:"), "{first}");
    assert_eq!(word("to="), Some(&*to));
    assert!(word("seed=").is_some_and(|seed| seed.parse::<u64>().is_ok()), "{first}");
    let udp: SocketAddr = word("udp=").and_then(|udp| udp.parse().ok()).expect("an address");
    let vectors = crate::vectors::read("session.toml");
    let hello = vectors.iter().find(|case| case.kind == "HELLO").expect("one");
    udp_socket().send_to(&hello.bytes(), udp).expect("loopback takes it");
    let line = lines.iter().find(|line| line.contains("HELLO")).expect("a line");
    assert!(
        line.contains(" -x udp 127.0.0.1:") && line.contains(" #1 lost HELLO (§5.1)"),
        "{line}"
    );
    proxy.signal(Signal::INT);
    let rest: Vec<String> = lines.iter().collect();
    proxy.finish().succeeded();
    assert!(
        rest.iter().any(|line| line.split_whitespace().eq(["lost", "1", "0", "by", "--loss"])),
        "{rest:?}"
    );
}

#[test]
fn a_reader_that_is_slow_loses_lines_and_slows_no_traffic() {
    const DATAGRAMS: u32 = 6_000;
    let target = udp_socket();
    let to = target.local_addr().expect("a port").to_string();
    let arguments = ["proxy", "--listen", "127.0.0.1:0", "--to", &to, "--udp", "--format", "json"];
    let (proxy, first, lines) = Running::start_unread(&mut senda(arguments));
    let first: Value = serde_json::from_str(&first).expect("JSON");
    let udp = first["listening"]["udp"].as_str().expect("an address");
    let client = udp_socket();
    for number in 0..DATAGRAMS {
        client.send_to(&number.to_be_bytes(), udp).expect("loopback takes it");
        let mut buffer = [0; 4];
        target.recv(&mut buffer).expect("it is forwarded, whether or not anybody reads");
        assert_eq!(buffer, number.to_be_bytes());
    }
    proxy.signal(Signal::TERM);
    let lines: Vec<Value> =
        lines().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    proxy.finish().succeeded();
    let shown = lines.iter().filter(|line| line["direction"] == "up").count() as u64;
    let said: u64 = lines.iter().filter_map(|line| line["left_out"].as_u64()).sum();
    let counts = &lines.last().expect("the counts")["counts"];
    assert!(said > 0, "a pipe and the queue hold less than {DATAGRAMS} lines");
    assert_eq!((&counts["lines_left_out"], shown + said), (&said.into(), DATAGRAMS.into()));
    assert_eq!(counts["udp"]["up"]["forwarded"], DATAGRAMS);
}

#[test]
fn a_reader_of_the_traffic_that_has_seen_enough_ends_the_proxy() {
    let target = udp_socket();
    let mut proxy = Proxy::start(target.local_addr().expect("a port"), &["--udp"]);
    let (udp, client) = (proxy.udp(), udp_socket());
    drop(proxy.lines.take());
    let mut running = proxy.running.take().expect("it runs");
    crate::processes::wait_for("end of the proxy", || {
        client.send_to(b"more to print", udp).expect("loopback takes it");
        (!running.is_running()).then_some(())
    });
    let outcome = running.finish().succeeded();
    assert_eq!(outcome.stderr, "");
}

#[test]
fn what_makes_no_sense_is_refused_with_2() {
    let wrong: [(&[&str], &str); 9] = [
        (&[], "--listen"),
        (&["--listen", "here"], "HOST:PORT"),
        (&["--listen", "0.0.0.0:0"], "--open-to-network"),
        (&["--listen", "127.0.0.1:0", "--tcp", "--loss", "10%"], "add --udp"),
        (&["--listen", "127.0.0.1:0", "--udp", "--cut", "10s"], "add --tcp"),
        (&["--listen", "127.0.0.1:0", "--delay", "20ms±50ms"], "before they are sent"),
        (&["--listen", "127.0.0.1:0", "--rate", "100kbps"], "100kbit"),
        (&["--listen", "127.0.0.1:0", "--clients", "0"], "--clients"),
        (&["--listen", "127.0.0.1:0", "--idle", "0s"], "--idle"),
    ];
    for (arguments, said) in wrong {
        let outcome = run(senda(["proxy"]).args(arguments));
        assert_eq!(outcome.code, Some(2), "{arguments:?} {outcome:#?}");
        assert!(outcome.stderr.contains(said), "{arguments:?} {outcome:#?}");
    }
}

/// A `senda proxy --format json` of this test.
pub(crate) struct Proxy {
    /// Until it is stopped.
    running: Option<Running>,
    listening: Value,
    lines: Option<Receiver<String>>,
    /// Lines that were read.
    seen: Vec<Value>,
}

impl Proxy {
    pub(crate) fn start(to: SocketAddr, more: &[&str]) -> Self {
        let to = to.to_string();
        let arguments = ["proxy", "--listen", "127.0.0.1:0", "--to", &to, "--format", "json"];
        let mut command = senda(arguments);
        let (running, first, lines) = Running::start_with_lines(command.args(more));
        let Ok(mut listening) = serde_json::from_str::<Value>(&first) else {
            panic!("no proxy: {:#?}", running.finish());
        };
        assert!(listening["seed"].is_u64(), "{listening}");
        let listening = listening["listening"].take();
        Self { running: Some(running), listening, lines: Some(lines), seen: Vec::new() }
    }

    fn tcp(&self) -> SocketAddr {
        self.address("tcp")
    }

    pub(crate) fn udp(&self) -> SocketAddr {
        self.address("udp")
    }

    fn address(&self, transport: &str) -> SocketAddr {
        let address = self.listening[transport].as_str().and_then(|text| text.parse().ok());
        address.unwrap_or_else(|| panic!("{transport}: {}", self.listening))
    }

    /// The next line that is wanted.
    #[track_caller]
    fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let lines = self.lines.as_ref().expect("its lines are read");
        loop {
            let line = lines.recv_timeout(PATIENCE).expect("a line that is wanted");
            self.seen.push(serde_json::from_str(&line).expect("JSON"));
            if let Some(line) = self.seen.last().filter(|line| wanted(line)) {
                return line.clone();
            }
        }
    }

    /// Ends it: all its lines and the counts.
    #[track_caller]
    pub(crate) fn stop(&mut self, signal: Signal) -> (Vec<Value>, Value) {
        let running = self.running.take().expect("it runs");
        running.signal(signal);
        let lines = self.lines.take().expect("its lines are read");
        self.seen
            .extend(lines.iter().map(|line| serde_json::from_str::<Value>(&line).expect("JSON")));
        let outcome = running.finish().succeeded();
        assert_eq!(outcome.stderr, "");
        let mut seen = std::mem::take(&mut self.seen);
        let counts = seen.pop().expect("the counts")["counts"].take();
        (seen, counts)
    }
}

/// The first line of each datagram one way, by client and number.
fn datagrams<'l>(lines: &'l [Value], way: &str) -> BTreeMap<(u64, u64), &'l Value> {
    let lines = lines.iter().filter(|line| line["direction"] == way);
    lines.map(|line| ((number(&line["client_number"]), number(&line["number"])), line)).collect()
}

fn events<'l>(lines: &'l [Value], event: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

#[track_caller]
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

fn udp_socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
    socket
}

fn accepted(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("the proxy connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream
}

fn tcp_stream(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream
}
