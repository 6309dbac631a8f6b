//! `senda lab udp-recv`, `senda lab udp-send`, and echo over UDP.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::lab_echo::{Server, echo_client, json, listening};
use crate::namespace::Namespace;
use crate::processes::{Outcome, PATIENCE, Running, run, senda};

#[test]
fn what_does_not_fit_is_said_with_the_length_that_was_sent() {
    let receiver = Receiver::start(&["--max", "4", "--count", "3", "--lang", "en"]);
    let sender = socket();
    for datagram in [&b"four"[..], b"longer", b""] {
        sender.send_to(datagram, receiver.address).expect("loopback");
    }
    let outcome = receiver.finish().succeeded();
    assert_eq!(outcome.stdout, "b'four'\nb'long'\nb''\n");
    let said: Vec<_> = outcome.stderr.lines().filter(|line| line.starts_with("senda: ")).collect();
    let [said] = said[..] else { panic!("{outcome:?}") };
    assert!(
        said.starts_with("senda: the datagram had 6 bytes and only 4 fit (--max): the last 2 "),
        "{said}"
    );
    assert!(outcome.stderr.ends_with("datagrams: 3 (cut short: 1)\n"), "{outcome:?}");
}

#[test]
fn five_hundred_and_twelve_bytes_fit_and_the_next_does_not() {
    for (len, truncated) in [(512, false), (513, true), (65_507, true)] {
        let receiver = Receiver::start(&["--format", "json"]);
        socket().send_to(&vec![b'x'; len], receiver.address).expect("loopback");
        let datagram = json(&receiver.finish().succeeded());
        assert_eq!(datagram["length"], len, "{datagram}");
        assert_eq!(datagram["truncated"], truncated, "{datagram}");
        assert_eq!(datagram["hex"].as_str().map(str::len), Some(1_024), "{datagram}");
    }
}

#[test]
fn the_receiver_sees_the_port_that_the_sender_says_it_has() {
    let receiver = Receiver::start(&["--from"]);
    let sent = udp_send(receiver.address, &["¡año!", "--hex"]).succeeded();
    let port = sent.stderr.strip_prefix("bound udp=127.0.0.1:").expect("a port").trim();
    let received = receiver.finish().succeeded().stdout;
    assert_eq!(received, format!("b'\\xc2\\xa1a\\xc3\\xb1o!' ('127.0.0.1', {port})\n"));
    let table: Vec<_> = sent.stdout.lines().collect();
    assert_eq!(table.len(), 5);
    assert_eq!((table[0], table[2]), ("¡  U+00A1  c2 a1", "ñ  U+00F1  c3 b1"));
}

#[test]
fn it_follows_until_ctrl_c_or_sigterm() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 0)] {
        let receiver = Receiver::start(&["--follow"]);
        for _ in 0..2 {
            udp_send(receiver.address, &["hola", "--size", "6"]).succeeded();
            assert_eq!(receiver.line(), "b'holaho'");
        }
        receiver.running.signal(signal);
        assert_eq!(receiver.finish().code, Some(code));
    }
}

#[test]
fn a_standard_error_that_nobody_reads_ends_no_receiver() {
    let mut command = senda(["lab", "udp-recv", "localhost:0", "--max", "2", "--count", "2"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut receiver = command.spawn().expect("a child");
    let mut first = String::new();
    let stderr = receiver.stderr.take().expect("a pipe");
    BufReader::new(stderr).read_line(&mut first).expect("a line"); // And nothing further.
    let address = first.trim().strip_prefix("listening udp=").expect("an address");
    for _ in 0..2 {
        socket().send_to(b"hola", address).expect("loopback"); // Both are cut short, which it says.
    }
    let outcome = receiver.wait_with_output().expect("a child of ours");
    assert_eq!((outcome.status.code(), &*outcome.stdout), (Some(0), &b"b'ho'\nb'ho'\n"[..]));
}

#[test]
fn nothing_that_comes_commands_the_terminal() {
    let receiver = Receiver::start(&[]);
    socket().send_to(b"\x1b[2J\x07\xff", receiver.address).expect("loopback");
    assert_eq!(receiver.finish().succeeded().stdout, "b'\\x1b[2J\\x07\\xff'\n");
}

#[test]
fn a_datagram_that_nobody_takes_is_exit_code_1_where_the_kernel_tells() {
    let namespace = Namespace::new(); // Where no port is anybody's.
    for (language, says) in [("en", "nobody listens at 127.0.0.1:5005"), ("es", "no escucha nadie")]
    {
        for more in [&[][..], &["--wait=90s"]] {
            let command = senda([&["lab", "udp-send", "--lang", language], more].concat());
            let outcome = run(&mut namespace.inside(&command));
            assert_eq!((outcome.code, &*outcome.stdout), (Some(1), ""), "{outcome:?}");
            assert!(outcome.stderr.contains(says), "{outcome:?}");
            assert!(outcome.stderr.contains("ECONNREFUSED"), "{outcome:?}");
        }
    }
    let mut client = namespace.inside(&senda(["lab", "echo-client", "--udp", "--lang", "en"]));
    let outcome = run(&mut client);
    assert_eq!((outcome.code, &*outcome.stdout), (Some(1), ""), "{outcome:?}");
    assert!(outcome.stderr.contains("nobody listens there"), "{outcome:?}");
    let mut ping =
        namespace.inside(&senda(["lab", "echo-client", "--udp", "--count=9", "--timeout=90s"]));
    assert_eq!(run(&mut ping).code, Some(1)); // At once, not after 90 s.
}

#[test]
fn the_sender_waits_for_an_answer_and_says_when_there_is_none() {
    let server = Server::start(&["--udp"]);
    let answered = udp_send(server.address, &["--wait=90s"]).succeeded();
    assert_eq!(answered.stdout, "b'Hola, mundo!'\n");
    let silent = socket();
    let address = silent.local_addr().expect("bound");
    let outcome = udp_send(address, &["--wait=20ms", "--lang", "en"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("no answer from"), "{outcome:?}");
}

#[test]
fn every_datagram_is_echoed_the_empty_and_the_longest_too() {
    let server = Server::start(&["--udp"]);
    let client = socket();
    client.connect(server.address).expect("loopback");
    let lens = [0, 1, 511, 65_507];
    for len in lens {
        let datagram: Vec<u8> = (0..len).map(|at: usize| (at % 251).to_le_bytes()[0]).collect();
        client.send(&datagram).expect("loopback");
        let mut buffer = vec![0; 65_536];
        let received = client.recv(&mut buffer).expect("an answer");
        assert!(buffer[..received] == datagram, "{received} bytes for {len}");
    }
    // Each client is shown once.
    udp_send(server.address, &["--wait=90s"]).succeeded();
    let (events, counts, code) = server.stop(Signal::INT, 0);
    assert_eq!(code, Some(130));
    let peers: Vec<_> = events.iter().map(|event| &event["event"]).collect();
    assert_eq!(peers, ["first_datagram"; 2], "{events:?}");
    assert_eq!(events[0]["peer"], client.local_addr().expect("bound").to_string());
    assert_eq!((&counts["received"], &counts["returned"]), (&5.into(), &5.into()), "{counts}");
    assert_eq!(counts["received_bytes"], lens.iter().sum::<usize>() + 12, "{counts}");
}

/// RFC 1122 §4.1.3.5. A client that has connected its socket hears nothing from any other address.
#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    let addresses = ["10.9.0.1/32", "10.9.0.2/32", "fd00::1/128", "fd00::2/128"];
    let namespace = Namespace::with_addresses(&addresses);
    for listen in [":7000", "[::]:7000"] {
        let (server, _lines) = inside(&namespace, &["echo-server", "--udp", listen]);
        // From one address of the machine to another: by itself the system would answer from the client's own.
        let mut ways =
            vec![("10.9.0.1", "10.9.0.2"), ("127.0.0.1", "10.9.0.1"), ("10.9.0.2", "127.0.0.9")];
        if listen.starts_with('[') {
            ways.extend([("fd00::1", "fd00::2"), ("::1", "fd00::1"), ("fd00::2", "::1")]);
        }
        for (from, to) in ways {
            let ask = format!(
                "import socket\n\
                 s = socket.socket(socket.AF_INET6 if ':' in '{to}' else socket.AF_INET, socket.SOCK_DGRAM)\n\
                 s.bind(('{from}', 0)); s.connect(('{to}', 7000)); s.settimeout({})\n\
                 s.send(b'from {from}'); print(s.recv(99))",
                PATIENCE.as_secs() / 2
            );
            let asked = run(&mut namespace.inside(Command::new("python3").args(["-c", &ask])));
            assert_eq!(
                asked.succeeded().stdout,
                format!("b'from {from}'\n"),
                "{from} to {to} at {listen}"
            );
        }
        server.signal(Signal::TERM);
        server.finish().succeeded();
    }
}

/// An echo must not forbid fragments, as a socket for measuring the path does.
#[test]
fn the_longest_datagram_comes_back_over_a_network_of_1500_bytes() {
    let namespace = Namespace::with_addresses(&["fd00::1/128"]);
    namespace.ip(&["link", "set", "lo", "mtu", "1500"]);
    let (server, _lines) = inside(&namespace, &["echo-server", "--udp", "[::]:7000"]);
    for to in ["127.0.0.1:7000", "[fd00::1]:7000"] {
        let ping = senda(["lab", "echo-client", "--udp", "--to", to, "--size", "65507"]);
        let mut ping = namespace.inside(&ping);
        let ping = run(ping.args(["--count", "3", "--timeout", "90s", "--format", "json"]));
        let summary = json(&ping.succeeded());
        assert_eq!((&summary["sent"], &summary["received"]), (&3.into(), &3.into()), "{summary}");
    }
    server.signal(Signal::TERM);
    server.finish().succeeded();
}

#[test]
fn whoever_might_answer_for_ever_is_not_answered() {
    let namespace = Namespace::new();
    let servers = ["127.0.0.1:7000", ":7001"]
        .map(|at| inside(&namespace, &["echo-server", at, "--udp", "--format", "json"]));
    // From the server's own number on another address; from a low port; to everybody; and properly, to either. Each server
    // answers in order: when the last answer is there, there would have been one to the first.
    let ask = "import socket\n\
        def ask(source, target):\n\
        \x20   s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        \x20   s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n\
        \x20   s.bind(source); s.sendto(b'x', target)\n\
        \x20   return s\n\
        bad = [ask(('127.0.0.2', 7000), ('127.0.0.1', 7000)),\n\
        \x20      ask(('127.0.0.1', 7), ('127.0.0.1', 7000)),\n\
        \x20      ask(('127.0.0.1', 0), ('127.255.255.255', 7001))]\n\
        for port in 7000, 7001:\n\
        \x20   print(ask(('127.0.0.1', 0), ('127.0.0.1', port)).recv(9))\n\
        for s in bad:\n\
        \x20   s.setblocking(False)\n\
        \x20   try: print('answered', s.recv(9))\n\
        \x20   except BlockingIOError: print('silence')";
    let asked = run(&mut namespace.inside(Command::new("python3").args(["-c", ask])));
    assert_eq!(asked.succeeded().stdout, "b'x'\nb'x'\nsilence\nsilence\nsilence\n");
    let expected = [("own_port", 1, 0), ("low_port", 1, 0), ("to_many", 0, 1), ("unsent", 0, 0)];
    for (index, (server, lines)) in servers.into_iter().enumerate() {
        server.signal(Signal::TERM);
        server.finish().succeeded();
        let last: Value =
            serde_json::from_str(&lines.iter().last().expect("counts")).expect("JSON");
        let counts = &last["counts"]["udp"];
        for (name, first, second) in expected.into_iter().chain([("returned", 1, 1)]) {
            assert_eq!(counts[name], [first, second][index], "{name} of {index}: {counts}");
        }
    }
}

/// The echo server here loses, doubles, damages and delays on purpose. One message at a time is under way.
#[test]
fn a_udp_ping_tells_lost_late_doubled_and_damaged_ones_apart() {
    let server = socket();
    let address = server.local_addr().expect("bound");
    let serving = std::thread::spawn(move || {
        let mut held = None;
        for number in 0..30_u64 {
            let mut buffer = [0; 2_000];
            let (len, client) = server.recv_from(&mut buffer).expect("a question");
            let question = &mut buffer[..len];
            assert_eq!(question[4..12], number.to_be_bytes(), "the messages are numbered");
            let answer = |bytes: &[u8]| server.send_to(bytes, client).expect("loopback");
            if let Some(late) = held.take() {
                answer(Vec::as_slice(&late)); // Its time is over, or the next one would not be here.
            }
            match number {
                3 | 11 => continue,
                5 => drop(answer(question)),
                7 => question[len - 1] ^= 1,
                9 => drop(answer(b"no answer to anything")),
                20 => {
                    held = Some(question.to_vec());
                    continue;
                }
                _ => {}
            }
            answer(question);
        }
    });
    let more = ["--udp", "--count", "30", "--timeout", "3s", "--size", "40", "--format", "json"];
    let ping = echo_client(address, &more);
    serving.join().expect("no panic");
    assert_eq!(ping.code, Some(1), "a damaged answer is no echo: {ping:?}");
    let summary = json(&ping);
    let number = |name: &str| summary[name].as_u64().expect(name);
    // The one that was held back; more only where this machine stood still for as long as the time-out.
    assert!(number("late") >= 1, "{summary}");
    assert_eq!(number("received") + number("late"), 27, "{summary}");
    for (name, count) in [
        ("sent", 30),
        ("lost", 2),
        ("damaged", 1),
        ("duplicated", 1),
        ("foreign", 1),
        ("reordered", 0),
        ("under_way", 0),
    ] {
        assert_eq!(summary[name], count, "{name}: {summary}");
    }
}

#[test]
fn a_udp_ping_counts_the_answers_that_others_have_overtaken() {
    let server = socket();
    let address = server.local_addr().expect("bound");
    let serving = std::thread::spawn(move || {
        for _ in 0..5 {
            let mut questions = Vec::new();
            while questions.len() < 4 {
                let mut buffer = [0; 2_000];
                let (len, client) = server.recv_from(&mut buffer).expect("a question");
                questions.push((buffer[..len].to_vec(), client));
            }
            for (question, client) in questions.iter().rev() {
                server.send_to(question, client).expect("loopback");
            }
        }
    });
    let more =
        ["--udp", "--count", "20", "--interval", "1ms", "--pipeline", "4", "--timeout", "90s"];
    let ping = echo_client(address, &[&more[..], &["--quiet"]].concat()).succeeded();
    serving.join().expect("no panic");
    let fates = ping.stdout.lines().nth(1).unwrap_or_default();
    assert!(
        fates
            .starts_with("20 sent, 20 received, 0 lost (0.0%), 0 late, 0 duplicated, 15 overtaken"),
        "{ping:?}"
    );
}

#[test]
fn the_lossy_proxy_loses_as_many_as_the_ping_misses() {
    let server = Server::start(&["--udp"]);
    let to = server.address.to_string();
    let mut proxy =
        senda(["proxy", "--listen", "127.0.0.1:0", "--to", &to, "--udp", "--loss", "20%"]);
    let (proxy, first, lines) = Running::start_with_lines(
        proxy.args(["--dup", "10%", "--seed", "5", "--format", "json", "--quiet"]),
    );
    let address = listening(&first, "udp");
    // Those that are lost leave room for all others: there is one time-out to wait for, so it may be long.
    let more =
        ["--udp", "--count", "400", "--pipeline", "200", "--timeout", "8s", "--format", "json"];
    let summary = json(&echo_client(address, &more).succeeded());
    proxy.signal(Signal::TERM);
    proxy.finish().succeeded();
    let last: Value = serde_json::from_str(&lines.iter().last().expect("counts")).expect("JSON");
    let (up, down) = (&last["counts"]["udp"]["up"], &last["counts"]["udp"]["down"]);
    let (_, echoed, _) = server.stop(Signal::TERM, 0);
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value}"));
    assert_eq!(number(&up["received"]), 400);
    assert_eq!(echoed["received"], up["forwarded"], "{echoed} {up}");
    // Each answer that was forwarded is the first to its message, or a further one.
    let first = number(&summary["received"]) + number(&summary["late"]);
    let further = number(&summary["duplicated"]);
    assert_eq!(first + further, number(&down["forwarded"]), "{summary} {down}");
    assert!(number(&summary["lost"]) > 50 && further > 20, "{summary}");
    assert_eq!(first + number(&summary["lost"]), 400, "{summary}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let long = "x".repeat(65_508);
    let wrong: [&[&str]; 9] = [
        &["udp-recv", "--max", "0"],
        &["udp-recv", "--max", "65536"],
        &["udp-recv", "--count", "2", "--follow"],
        &["udp-recv", "localhost"],
        &["udp-recv", "localhost:0", "--listen", "localhost:0"],
        &["udp-send", "--to", ":5005"],
        &["udp-send", "--size", "65508"],
        &["udp-send", &long],
        &["udp-send", "--wait=5"],
    ];
    for arguments in wrong {
        let outcome = run(senda(["lab"]).args(arguments));
        assert_eq!((outcome.code, &*outcome.stdout), (Some(2), ""), "{:?}", outcome.stderr);
        assert!(!outcome.stderr.is_empty());
    }
}

/// What a child prints. It ends when nobody listens to that.
type Lines = std::sync::mpsc::Receiver<String>;

/// A `senda lab udp-recv` on a port that the system chose.
struct Receiver {
    running: Running,
    address: SocketAddr,
    lines: Lines,
}

impl Receiver {
    fn start(more: &[&str]) -> Self {
        let mut command = senda(["lab", "udp-recv", "localhost:0"]);
        let (running, first, lines) = Running::start_talking(command.args(more));
        let address = first.trim().strip_prefix("listening udp=").and_then(|at| at.parse().ok());
        Self { running, address: address.unwrap_or_else(|| panic!("{first}")), lines }
    }

    /// The next line on standard output.
    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a datagram")
    }

    /// Its end, with what was not read of its output yet.
    fn finish(self) -> Outcome {
        let outcome = self.running.finish();
        let stdout = self.lines.iter().map(|line| format!("{line}\n")).collect();
        Outcome { stdout, ..outcome }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket
}

fn udp_send(to: SocketAddr, more: &[&str]) -> Outcome {
    run(senda(["lab", "udp-send", "--to", &to.to_string()]).args(more))
}

/// A lab command in a network of the test's own, under way: it has said where it listens.
fn inside(namespace: &Namespace, arguments: &[&str]) -> (Running, Lines) {
    let mut command = namespace.inside(senda(["lab"]).args(arguments));
    let (running, first, lines) = Running::start_with_lines(&mut command);
    assert!(first.contains("listening"), "{first}");
    (running, lines)
}
