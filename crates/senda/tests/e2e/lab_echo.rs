//! `senda lab echo-server` and `senda lab echo-client` over TCP.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

use crate::processes::{Outcome, PATIENCE, Running, run, senda, wait_for};

#[test]
fn two_hundred_clients_at_once_get_back_what_they_sent() {
    let server = Server::start(&[]);
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    let message = |number: usize| format!("client {number}: {}", "x".repeat(number));
    for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(message(number).as_bytes()).expect("room");
    }
    for (number, client) in clients.iter_mut().enumerate().rev() {
        assert_eq!(read(client, message(number).len()), message(number).as_bytes());
    }
    drop(clients);
    let (events, counts, _) = server.stop(Signal::TERM, 200);
    assert_eq!((&counts["connected"], &counts["closed"]), (&200.into(), &200.into()), "{counts}");
    assert_eq!(counts["received"], counts["returned"]);
    assert!(events.iter().all(|event| event["peer"].is_string()), "{events:?}");
}

#[test]
fn a_client_that_never_reads_holds_up_itself_alone() {
    let server = Server::start(&[]);
    let mut slow = slow_client(server.address);
    let sent = fill(&server, &mut slow);
    let mut others: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for other in &mut others {
        other.write_all(b"served").expect("room");
        assert_eq!(read(other, 6), b"served");
    }
    // What it was owed is still there, and then it is served like any other.
    assert!(read(&mut slow, sent) == pattern(0, sent), "other bytes");
    slow.write_all(b"served").expect("room");
    assert_eq!(read(&mut slow, 6), b"served");
    drop((slow, others));
    let (_, counts, _) = server.stop(Signal::TERM, 22);
    assert_eq!((&counts["closed"], &counts["reset"]), (&22.into(), &0.into()), "{counts}");
}

/// RFC 9293 §3.6: whoever has said that nothing more will come may still receive.
#[test]
fn after_the_clients_end_it_still_gets_all_that_it_is_owed() {
    let server = Server::start(&[]);
    let mut client = slow_client(server.address);
    // Every buffer is full when its FIN comes, the server's own, too.
    let sent = fill(&server, &mut client);
    client.shutdown(Shutdown::Write).expect("open");
    assert_pattern(&mut client, sent);
    drop(client);
    let (events, _, _) = server.stop(Signal::TERM, 2);
    let last = &events[events.len() - 1];
    assert_eq!((&last["end"], &last["returned"]), (&"closed".into(), &sent.into()), "{last}");
}

#[test]
fn sixty_four_mebibytes_through_tiny_buffers_come_back_unchanged() {
    const LEN: usize = 64 << 20;
    let server = Server::start(&[]);
    let mut client = slow_client(server.address);
    SockRef::from(&client).set_send_buffer_size(1).expect("a socket");
    let mut writer = client.try_clone().expect("a socket");
    let writing = std::thread::spawn(move || {
        let mut sent = 0;
        while sent < LEN {
            let len = 1_000_003.min(LEN - sent); // Never in step with any buffer.
            writer.write_all(&pattern(sent, len)).expect("a server");
            sent += len;
        }
        writer.shutdown(Shutdown::Write).expect("open");
    });
    assert_pattern(&mut client, LEN);
    writing.join().expect("no panic");
    drop(client);
    let (_, counts, _) = server.stop(Signal::TERM, 1);
    assert_eq!((&counts["received"], &counts["returned"]), (&LEN.into(), &LEN.into()), "{counts}");
}

#[test]
fn a_reset_is_told_from_an_end_and_others_go_on() {
    let server = Server::start(&[]);
    let mut other = server.connect();
    let mut client = server.connect();
    client.write_all(b"x").expect("room");
    read(&mut client, 1);
    // Closing then sends a RST instead of a FIN (SO_LINGER with 0).
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("a socket");
    let address = client.local_addr().expect("connected").to_string();
    drop(client);
    let gone = server.event("disconnected");
    assert_eq!((&gone["peer"], &gone["end"]), (&address.into(), &"reset".into()), "{gone}");
    other.write_all(b"still here").expect("room");
    assert_eq!(read(&mut other, 10), b"still here");
    let (_, counts, _) = server.stop(Signal::TERM, 0);
    assert_eq!((&counts["reset"], &counts["open"]), (&1.into(), &1.into()), "{counts}");
}

#[test]
fn a_client_too_many_is_turned_away_until_one_leaves() {
    let server = Server::start(&["--connections", "2"]);
    let mut first = server.connect();
    let second = server.connect();
    for _ in 0..2 {
        server.event("connected");
    }
    let mut third = server.connect();
    assert_eq!(third.read(&mut [0]).map_err(|error| error.kind()), Ok(0), "nothing for the third");
    let turned = server.event("turned_away");
    assert_eq!(turned["connections"], 2, "{turned}");
    drop(second);
    server.event("disconnected");
    let mut fourth = server.connect();
    for client in [&mut first, &mut fourth] {
        client.write_all(b"served").expect("room");
        assert_eq!(read(client, 6), b"served");
    }
    let (_, counts, _) = server.stop(Signal::TERM, 0);
    assert_eq!((&counts["turned_away"], &counts["connected"]), (&1.into(), &3.into()), "{counts}");
}

#[test]
fn an_output_that_nobody_reads_holds_up_no_client() {
    let mut command = senda(["lab", "echo-server", "127.0.0.1:0", "--format", "json"]);
    let (server, first, unread) = Running::start_unread(&mut command);
    let address = listening(&first, "tcp");
    // Far more than a pipe holds.
    for _ in 0..4_000 {
        let mut client = TcpStream::connect(address).expect("a server");
        client.set_read_timeout(Some(PATIENCE)).expect("a socket");
        client.write_all(b"x").expect("room");
        read(&mut client, 1);
    }
    server.signal(Signal::TERM);
    let lines = unread();
    server.finish().succeeded();
    let last: Value = serde_json::from_str(lines.last().expect("counts")).expect("JSON");
    let counts = &last["counts"]["tcp"];
    assert_eq!(counts["connected"], 4_000);
    let shown = lines.len() as u64 - 1;
    assert!(counts["lines_left_out"].as_u64() > Some(0), "{counts}");
    // One for each beginning and each end; the last client may not have ended.
    let number = |name: &str| counts[name].as_u64().expect(name);
    assert_eq!(number("lines_left_out") + shown, 2 * 4_000 - number("open"), "{counts}");
}

#[test]
fn a_second_sigterm_ends_a_server_whose_last_words_nobody_reads() {
    let mut command = senda(["lab", "echo-server", "127.0.0.1:0", "--format", "json"]);
    let (mut server, first, unread) = Running::start_unread(&mut command);
    let address = listening(&first, "tcp");
    // More than a pipe holds.
    for _ in 0..1_000 {
        let mut client = TcpStream::connect(address).expect("a server");
        client.set_read_timeout(Some(PATIENCE)).expect("a socket");
        client.write_all(b"x").expect("room");
        read(&mut client, 1);
    }
    wait_for("end", || {
        server.signal(Signal::TERM);
        (!server.is_running()).then_some(())
    });
    assert_eq!(server.finish().code, Some(143));
    drop(unread);
}

#[test]
fn ctrl_c_and_sigterm_end_it_with_the_counts() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 0)] {
        let mut command = senda(["lab", "echo-server", "localhost:0", "--lang", "es"]);
        let (server, first, lines) = Running::start_with_lines(&mut command);
        let address = first.trim().strip_prefix("listening tcp=").expect("an address");
        let mut client = TcpStream::connect(address).expect("a server");
        client.write_all("adiós".as_bytes()).expect("room");
        assert_eq!(read(&mut client, 6), "adiós".as_bytes());
        let from = client.local_addr().expect("connected").port();
        drop(client);
        let connected = lines.recv().expect("a line");
        assert_eq!(connected, format!("Conectado  ('127.0.0.1', {from})"));
        let gone = lines.recv().expect("a line");
        let start = format!("Desconectado  ('127.0.0.1', {from})  6 B recibidos, 6 B devueltos, ");
        assert!(gone.starts_with(&start) && gone.ends_with(" s: cerró el cliente"), "{gone}");
        server.signal(signal);
        assert_eq!(server.finish().code, Some(code));
        let counts: Vec<_> = lines.iter().collect();
        assert_eq!(counts[0], "Cuentas", "{counts:?}");
        let has = |name: &str, count: &str| {
            counts.iter().any(|line| line.contains(name) && line.ends_with(&format!(" {count}")))
        };
        assert!(has("conexiones", "1") && has("cerradas por el cliente", "1"), "{counts:?}");
    }
}

#[test]
fn it_listens_on_ipv6_too_and_says_who_has_a_port_already() {
    let mut command = senda(["lab", "echo-server", "[::1]:0", "--lang", "en"]);
    let (_server, first, lines) = Running::start_with_lines(&mut command);
    let address = first.trim().strip_prefix("listening tcp=").expect("an address");
    let client = run(&mut senda(["lab", "echo-client", "hi", "--to", address, "--lang", "en"]));
    assert_eq!(client.succeeded().stdout, "Received  b'hi'\n");
    let connected = lines.recv().expect("a line");
    assert!(
        connected.starts_with("Connected  ('::1', ") && connected.ends_with(", 0, 0)"),
        "{connected}"
    );
    let second = run(&mut senda(["lab", "echo-server", address, "--lang", "en"]));
    assert_eq!((second.code, &*second.stdout), (Some(1), ""), "{second:?}");
    assert!(second.stderr.contains("Another program has that port"), "{second:?}");
}

#[test]
fn the_client_takes_an_answer_in_pieces_for_one_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = std::thread::spawn(move || {
        let (mut stream, client) = listener.accept().expect("a client");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let message = read(&mut stream, 8);
        stream.write_all(&message[..3]).expect("room");
        // The client has taken the first piece before there is a second.
        wait_for("an empty receive queue", || (receive_queue(client, address) == 0).then_some(()));
        stream.write_all(&message[3..]).expect("room");
    });
    let client = echo_client(address, &["mañana!"]).succeeded();
    assert_eq!(client.stdout, "Received  b'ma\\xc3\\xb1ana!'\n");
    server.join().expect("no panic");
}

#[test]
fn the_client_says_when_the_server_ends_early_or_answers_otherwise() {
    for (answer, says) in
        [(&b"Hol"[..], "after 3 of 11 bytes"), (b"HOLA, MUNDO", "not what was sent")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            read(&mut stream, 11);
            stream.write_all(answer).expect("room");
        });
        let client = echo_client(address, &[]);
        assert_eq!(client.code, Some(1), "{client:?}");
        assert!(client.stderr.contains(says), "{client:?}");
        server.join().expect("no panic");
    }
}

#[test]
fn more_than_was_sent_is_no_echo() {
    for more in [&[][..], &["--count", "1"]] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            read(&mut stream, 11);
            stream.write_all(b"Hola, mundo!!").expect("room"); // In one segment.
        });
        let client = echo_client(address, more);
        assert_eq!(client.code, Some(1), "{client:?}");
        assert!(client.stderr.contains("2 bytes more than were sent"), "{client:?}");
        server.join().expect("no panic");
    }
}

#[test]
fn a_refused_connection_is_exit_code_1_and_says_what_to_start() {
    // Bound, so nobody else gets it, but nobody listens.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let address = socket.local_addr().expect("bound").as_socket().expect("IPv4");
    for more in [&[][..], &["--count", "5"]] {
        let client = echo_client(address, more);
        assert_eq!((client.code, &*client.stdout), (Some(1), ""), "{client:?}");
        assert!(client.stderr.contains("nobody listens there"), "{client:?}");
        assert!(client.stderr.contains("senda lab echo-server"), "{client:?}");
    }
}

#[test]
fn a_ping_counts_every_message_and_measures_it() {
    let server = Server::start(&[]);
    let more = ["--count", "2000", "--pipeline", "50", "--size", "3000", "--format", "json"];
    let summary = json(&echo_client(server.address, &more).succeeded());
    for (name, count) in [("sent", 2_000), ("received", 2_000), ("lost", 0), ("damaged", 0)] {
        assert_eq!(summary[name], count, "{name}: {summary}");
    }
    let quantiles = ["min", "p50", "p99", "p99_9", "max"];
    let times = quantiles.map(|name| summary["latency_us"][name].as_f64().expect(name));
    assert!(times[0] > 0.0 && times.is_sorted(), "{summary}");
    let (_, counts, _) = server.stop(Signal::TERM, 1);
    assert_eq!(counts["received"], 6_000_000, "{counts}");
}

#[test]
fn a_ping_shows_each_answer_and_then_the_summary() {
    let server = Server::start(&[]);
    let ping = echo_client(server.address, &["--count", "3", "--lang", "es"]).succeeded();
    let lines: Vec<_> = ping.stdout.lines().collect();
    for (number, line) in lines[..3].iter().enumerate() {
        let start = format!("11 bytes de {}: seq={number} tiempo=", server.address);
        assert!(line.starts_with(&start) && line.ends_with(" ms"), "{line}");
    }
    assert_eq!(lines[3], format!("--- {} TCP, mensajes de 11 B ---", server.address));
    assert_eq!(lines[4], "3 enviados, 3 recibidos, 0 perdidos (0.0 %)");
    assert!(lines[5].contains("p50 ") && lines[5].contains("p99.9 "), "{lines:?}");
    let quiet = echo_client(server.address, &["--count", "3", "--quiet"]).succeeded();
    assert!(quiet.stdout.starts_with("---"), "{quiet:?}");
    let many = echo_client(server.address, &["--count", "150"]).succeeded().stdout;
    assert_eq!(many.matches("seq=").count(), 100, "{many}");
    assert!(many.contains("\n(further ones are only counted)\n---"), "{many}");
}

/// The server here answers one message for each further one that comes, once so many wait as may.
#[test]
fn no_more_messages_are_under_way_than_the_pipeline_allows_and_no_fewer() {
    const LEN: usize = 100;
    const PIPELINE: usize = 8;
    const COUNT: usize = 300;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let (mut received, mut answered) = (Vec::new(), 0);
        while answered < COUNT {
            let allowed = COUNT.min(answered + PIPELINE) * LEN;
            while received.len() < allowed {
                let mut buffer = [0; 65_536]; // Room for more than may come.
                let len = stream.read(&mut buffer).expect("as many as are allowed");
                received.extend_from_slice(&buffer[..len]);
            }
            assert_eq!(received.len(), allowed, "after {answered} answers");
            stream.write_all(&received[answered * LEN..][..LEN]).expect("room");
            answered += 1;
        }
    });
    let (count, pipeline, len) = (COUNT.to_string(), PIPELINE.to_string(), LEN.to_string());
    let more = ["--count", &count, "--pipeline", &pipeline, "--size", &len, "--timeout", "90s"];
    let summary = json(&echo_client(address, &[&more[..], &["--format", "json"]].concat()));
    server.join().expect("no panic");
    assert_eq!(summary["received"], COUNT, "{summary}");
}

#[test]
fn ctrl_c_ends_a_ping_with_its_summary() {
    let server = Server::start(&[]);
    let address = server.address.to_string();
    let mut command = senda(["lab", "echo-client", "--to", &address, "--interval", "10ms"]);
    let (ping, first, lines) = Running::start_with_lines(command.args(["--lang", "en"]));
    assert!(first.contains("seq=0"), "{first}");
    ping.signal(Signal::INT);
    assert_eq!(ping.finish().code, Some(130));
    let lines: Vec<_> = lines.iter().collect();
    assert!(lines.iter().any(|line| line.starts_with("---")), "{lines:?}");
    assert!(lines.last().is_some_and(|line| line.ends_with(" B/s")), "{lines:?}");
}

#[test]
fn a_server_that_stops_answering_ends_a_ping_with_exit_code_1() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound"); // Connects, but nobody answers.
    let more = ["--count", "2", "--timeout", "50ms", "--format", "json"];
    let ping = echo_client(address, &more);
    assert_eq!(ping.code, Some(1), "{ping:?}");
    let summary = json(&ping);
    assert_eq!((&summary["sent"], &summary["lost"]), (&2.into(), &2.into()), "{summary}");
    assert!(summary["latency_us"].is_null(), "{summary}");
    let one = echo_client(address, &["--timeout", "50ms"]);
    assert_eq!(one.code, Some(1), "{one:?}");
    assert!(one.stderr.contains("returned 0 of 11 bytes in 50ms"), "{one:?}");
}

#[test]
fn hex_shows_how_each_character_becomes_bytes() {
    let server = Server::start(&[]);
    let client = echo_client(server.address, &["ñ€", "--hex"]).succeeded();
    let expected =
        "ñ  U+00F1  c3 b1\n€  U+20AC  e2 82 ac\nReceived  b'\\xc3\\xb1\\xe2\\x82\\xac'\n";
    assert_eq!(client.stdout, expected);
}

#[test]
fn it_speaks_the_locales_language_unless_told_otherwise() {
    let server = Server::start(&[]);
    let to = server.address.to_string();
    let of = |locale: &str, more: &[&str]| {
        let mut command = senda(["lab", "echo-client", "--to", &to]);
        let command = command.args(more).env("LC_ALL", locale);
        run(command).succeeded().stdout
    };
    assert_eq!(of("es_ES.UTF-8", &[]), "Recibido  b'Hola, mundo'\n");
    assert_eq!(of("de_DE.UTF-8", &[]), "Received  b'Hola, mundo'\n");
    assert_eq!(of("C", &["--lang", "es"]), "Recibido  b'Hola, mundo'\n");
}

/// The server here answers nothing until all messages are there. The last three find the pipeline full when they are due.
#[test]
fn a_schedule_says_what_a_full_pipeline_held_back_and_what_came_late() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let all = read(&mut stream, 8 * 11);
        stream.write_all(&all).expect("room");
    });
    let more = ["--count", "8", "--interval", "1ms", "--timeout", "4s", "--format", "json"];
    let summary = json(&echo_client(address, &[&more[..], &["--pipeline", "5"]].concat()));
    server.join().expect("no panic");
    for (name, count) in [("sent", 8), ("lost", 0), ("held_back", 3)] {
        assert_eq!(summary[name], count, "{name}: {summary}");
    }
    let number = |name: &str| summary[name].as_u64().expect(name);
    assert_eq!(number("received") + number("late"), 8, "{summary}");
    assert!(
        number("late") >= 3,
        "each of the last three took a place that was given up: {summary}"
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let wrong: [&[&str]; 17] = [
        &["echo-server", "nowhere"],
        &["echo-server", "::1:5005"],
        &["echo-server", "127.0.0.1:0", "--listen", "127.0.0.1:0"],
        &["echo-server", "--once", "--udp"],
        &["echo-server", "--once", "--format", "json"],
        &["echo-server", "--connections", "0"],
        &["echo-client", "--to", "127.0.0.1:0"],
        &["echo-client", ""],
        &["echo-client", "--size", "0"],
        &["echo-client", "", "--size", "5"],
        &["echo-client", "--interval", "0s"],
        &["echo-client", "--interval", "5"],
        &["echo-client", "--timeout", "0s"],
        &["echo-client", "--count", "0"],
        &["echo-client", "--pipeline", "65537"],
        &["echo-client", "--udp", "--size", "65508"],
        &["echo-client", "--udp", "--count", "1", "--size", "11"],
    ];
    for arguments in wrong {
        let outcome = run(senda(["lab"]).args(arguments));
        assert_eq!((outcome.code, &*outcome.stdout), (Some(2), ""), "{arguments:?}: {outcome:?}");
        assert!(!outcome.stderr.is_empty(), "{arguments:?}");
    }
}

/// A server of this test, on a port that the system chose, which tells what happens in JSON.
pub(crate) struct Server {
    running: Running,
    pub(crate) address: SocketAddr,
    lines: Receiver<String>,
}

impl Server {
    pub(crate) fn start(more: &[&str]) -> Self {
        let transport = if more.contains(&"--udp") { "udp" } else { "tcp" };
        let mut command = senda(["lab", "echo-server", "127.0.0.1:0", "--format", "json"]);
        let (running, first, lines) = Running::start_with_lines(command.args(more));
        Self { running, address: listening(&first, transport), lines }
    }

    /// A client that does not wait for ever.
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a server");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }

    /// Waits for the next event of a kind.
    #[track_caller]
    pub(crate) fn event(&self, name: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect(name);
            let event: Value = serde_json::from_str(&line).expect("JSON");
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Waits for so many ends of connections, then for its own. Returns further events, the counts, and the exit code.
    #[track_caller]
    pub(crate) fn stop(self, signal: Signal, ends: usize) -> (Vec<Value>, Value, Option<i32>) {
        let mut events: Vec<Value> = Vec::new();
        while events.iter().filter(|event| event["event"] == "disconnected").count() < ends {
            let line = self.lines.recv_timeout(PATIENCE).expect("an end");
            events.push(serde_json::from_str(&line).expect("JSON"));
        }
        self.running.signal(signal);
        let mut rest: Vec<Value> =
            self.lines.iter().map(|line| serde_json::from_str(&line).expect("JSON")).collect();
        let last = rest.pop().expect("counts");
        events.append(&mut rest);
        let counts = last["counts"].as_object().and_then(|counts| counts.values().next());
        (events, counts.expect("counts").clone(), self.running.finish().code)
    }
}

/// The address in the first line of a server.
pub(crate) fn listening(first: &str, transport: &str) -> SocketAddr {
    let first: Value = serde_json::from_str(first).unwrap_or_else(|_| panic!("{first:?}"));
    first["listening"][transport].as_str().and_then(|at| at.parse().ok()).expect("an address")
}

pub(crate) fn echo_client(to: SocketAddr, more: &[&str]) -> Outcome {
    let to = to.to_string();
    let english = if more.contains(&"--lang") { &[][..] } else { &["--lang", "en"] };
    run(senda(["lab", "echo-client", "--to", &to]).args(more).args(english))
}

/// The one line that it printed.
#[track_caller]
pub(crate) fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"))
}

/// Exactly so many bytes.
#[track_caller]
fn read(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).expect("an answer");
    bytes
}

/// A client with the smallest receive buffer that the system gives.
fn slow_client(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    // Before connecting: the window that is offered depends on it.
    socket.set_recv_buffer_size(1).expect("a socket");
    socket.connect(&address.into()).expect("a server");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// Sends `pattern` without reading, until the server takes no more of it. Returns how much went out.
#[track_caller]
fn fill(server: &Server, slow: &mut TcpStream) -> usize {
    slow.set_nonblocking(true).expect("a socket");
    let mut quick = server.connect();
    // Taken no more is what lies unread at the server's end and stays as it is while another client is served.
    let (mut sent, mut unread, mut served_since) = (0, 0, 0);
    while served_since < 20 {
        assert!(sent < 64 << 20, "the server keeps {sent} bytes for a client that does not read");
        match slow.write(&pattern(sent, 65_536)) {
            Ok(len) => (sent, served_since) = (sent + len, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        quick.write_all(b"served").expect("room");
        assert_eq!(read(&mut quick, 6), b"served");
        let queue = receive_queue(server.address, slow.local_addr().expect("connected"));
        served_since = if queue == unread && queue > 0 { served_since + 1 } else { 0 };
        unread = queue;
    }
    slow.set_nonblocking(false).expect("a socket");
    sent
}

/// Bytes that wait to be read by the socket with these addresses.
#[track_caller]
fn receive_queue(local: SocketAddr, remote: SocketAddr) -> u32 {
    let sockets = procfs::net::tcp().expect("Linux tells");
    let it = |entry: &&procfs::net::TcpNetEntry| {
        (entry.local_address, entry.remote_address) == (local, remote)
    };
    sockets.iter().find(it).expect("this socket").rx_queue
}

/// Bytes that tell their place: no period shorter than the test is long.
fn pattern(start: usize, len: usize) -> Vec<u8> {
    (start..start + len)
        .map(|at| (at ^ (at >> 8) ^ (at >> 16) ^ (at >> 24)).to_le_bytes()[0])
        .collect()
}

/// Reads to the end, which must be `pattern(0, len)`.
#[track_caller]
fn assert_pattern(stream: &mut TcpStream, len: usize) {
    let (mut at, mut buffer) = (0, vec![0; 65_536]);
    loop {
        match stream.read(&mut buffer).expect("the rest") {
            0 => break,
            read => {
                assert!(buffer[..read] == pattern(at, read), "other bytes from {at} on");
                at += read;
            }
        }
    }
    assert_eq!(at, len);
}
