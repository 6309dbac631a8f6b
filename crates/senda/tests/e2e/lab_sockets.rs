//! `senda lab sockets`: equal to `ss` in every state that loopback can show, and what it adds to it.
//!
//! Each test has a network of its own, in which a Python program brings sockets into their states.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;

use rustix::process::Signal;
use serde_json::Value;

use crate::namespace::Namespace;
use crate::processes::{Outcome, PATIENCE, Running, run, senda, wait_for};

/// What the programs begin with.
const PRELUDE: &str = "\
import os, select, signal, sys
from socket import *

kept = []

def listener(host='127.0.0.1', backlog=5, family=AF_INET, options=()):
    s = socket(family)
    for option in options:
        s.setsockopt(*option)
    s.bind((host, 0))
    s.listen(backlog)
    kept.append(s)
    return s

def pair(accepting, host='127.0.0.1'):
    client = socket(accepting.family if ':' in host else AF_INET)
    client.connect((host, accepting.getsockname()[1]))
    server, _ = accepting.accept()
    kept.extend((client, server))
    return client, server

def fill(s):
    # Far more than the other has room for: the rest stays here, and what comes after it, too.
    s.setsockopt(SOL_SOCKET, SO_SNDBUF, 1 << 17)
    s.setblocking(False)
    try:
        while True:
            s.send(b'x' * 65536)
    except BlockingIOError:
        pass

def occupy(l):
    # Takes the one place in the queue of a listener with backlog 0.
    s = socket()
    s.connect(l.getsockname())
    select.select([l], [], [])
    kept.append(s)
";

/// Every state of TCP that has a connection or a listener, and UDP with and without a peer; both families.
const STATES: &str = "\
l = listener(options=[(SOL_SOCKET, SO_RCVBUF, 4096)])

# ESTABLISHED on both sides, with bytes that nobody reads.
client, server = pair(l)
client.send(b'Hola, mundo')

# FIN-WAIT-2 and CLOSE-WAIT: one side has closed.
client, server = pair(l)
client.shutdown(SHUT_WR)

# FIN-WAIT-1: the FIN stands behind bytes for which the other has no room, and ESTABLISHED there.
client, server = pair(l)
fill(client)
client.shutdown(SHUT_WR)

# CLOSING: the same, and then the other closes. That is FIN-WAIT-2 there.
client, server = pair(l)
fill(client)
client.shutdown(SHUT_WR)
server.shutdown(SHUT_WR)

# LAST-ACK: the other has closed; our FIN stands behind bytes.
client, server = pair(l)
fill(client)
server.shutdown(SHUT_WR)
while client.recv(1, MSG_PEEK | MSG_DONTWAIT):
    pass
client.shutdown(SHUT_WR)

# TIME-WAIT: both have closed.
client, server = pair(l)
client.close()
server.recv(1)
server.close()

# SYN-RECEIVED: the listener wants data before it is told of a connection.
deferring = listener(options=[(IPPROTO_TCP, TCP_DEFER_ACCEPT, 60)])
waits = socket()
waits.connect(deferring.getsockname())
kept.append(waits)

# SYN-SENT: there is no room in the listener's queue, so that it does not answer.
full = listener(backlog=0)
occupy(full)
asks = socket()
asks.setblocking(False)
asks.connect_ex(full.getsockname())
kept.append(asks)

# IPv6: by itself, and with IPv4.
six = listener('::1', family=AF_INET6)
pair(six, '::1')
only = listener('::', family=AF_INET6, options=[(IPPROTO_IPV6, IPV6_V6ONLY, 1)])
both = listener('::', family=AF_INET6, options=[(IPPROTO_IPV6, IPV6_V6ONLY, 0)])
pair(both, '127.0.0.1')
pair(both, '::1')

# Bound to an interface.
on_lo = listener('0.0.0.0', options=[(SOL_SOCKET, SO_BINDTODEVICE, b'lo')])
pair(on_lo)

def datagrams(family, host, peer=None):
    s = socket(family, SOCK_DGRAM)
    s.bind((host, 0))
    if peer:
        s.connect(peer)
    kept.append(s)
    return s

u = datagrams(AF_INET, '127.0.0.1')
u.sendto(b'Hola', u.getsockname())
datagrams(AF_INET, '0.0.0.0')
datagrams(AF_INET, '127.0.0.1', u.getsockname())
datagrams(AF_INET6, '::1')
datagrams(AF_INET6, '::')
datagrams(AF_INET6, '::1', ('::1', 9))

print('ready', os.getpid(), flush=True)
signal.pause()
";

/// What `ss -tan` says of that program, sorted.
const TCP: [&str; 10] = [
    "CLOSE-WAIT",
    "CLOSING",
    "ESTAB",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "LAST-ACK",
    "LISTEN",
    "SYN-RECV",
    "SYN-SENT",
    "TIME-WAIT",
];

/// And `ss -uan`.
const UDP: [&str; 2] = ["ESTAB", "UNCONN"];

#[test]
fn every_state_is_shown_as_ss_shows_it() {
    let namespace = Namespace::new();
    let _program = every_state(&namespace);
    for (option, ss_option) in [("--tcp", "-tan"), ("--udp", "-uan")] {
        let (ss, text, objects) = wait_for("moment in which nothing changes", || {
            let before = ss(&namespace, ss_option);
            let text = shown(&namespace, &[option]);
            let objects = objects(&shown(&namespace, &[option, "--format", "json"]));
            (before == ss(&namespace, ss_option)).then_some((before, text, objects))
        });
        assert_eq!(rows(&text), ss, "the table, and ss {ss_option}");
        let mut in_json: Vec<_> = objects.iter().map(row_of).collect();
        in_json.sort();
        assert_eq!(in_json, ss, "JSON, and ss {ss_option}");
    }
}

#[test]
fn filters_take_what_they_name_and_the_owner_is_the_program() {
    let namespace = Namespace::new();
    let (_program, pid) = every_state(&namespace);
    let all = objects(&shown(&namespace, &["--format", "json"]));
    let with = |arguments: &[&str]| {
        let objects = objects(&shown(&namespace, &[arguments, &["--format", "json"]].concat()));
        assert!(!objects.is_empty() && objects.len() < all.len(), "{arguments:?}: {objects:#?}");
        objects
    };
    let expect = |arguments: &[&str], takes: &dyn Fn(&Value) -> bool| {
        let expected: Vec<_> = all.iter().filter(|object| takes(object)).map(identity).collect();
        assert_eq!(with(arguments).iter().map(identity).collect::<Vec<_>>(), expected);
    };
    expect(&["--udp"], &|it| it["protocol"] == "udp");
    expect(&["--tcp"], &|it| it["protocol"] == "tcp");
    expect(&["--listening"], &|it| it["state"] == "LISTEN" || it["state"] == "UNCONNECTED");
    expect(&["--state", "syn_recv,ÚLTIMO_ACK"], &|it| {
        it["state"] == "SYN-RECEIVED" || it["state"] == "LAST-ACK"
    });
    expect(&["--state", "Closing", "time-wait", "--tcp"], &|it| {
        it["state"] == "CLOSING" || it["state"] == "TIME-WAIT"
    });
    let closing = all.iter().find(|it| it["state"] == "CLOSING").expect("one");
    let port = closing["local"].as_str().and_then(|it| it.rsplit(':').next()).expect("a port");
    expect(&["--port", port], &|it| {
        let ends = [&it["local"], &it["peer"]].into_iter().filter_map(Value::as_str);
        ends.into_iter().any(|end| end.ends_with(&format!(":{port}")))
    });
    let number: u64 = pid.parse().expect("a process number");
    let is_owned = |it: &Value| it["processes"][0]["pid"] == number;
    expect(&["--process", &pid], &is_owned);
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).expect("it lives");
    expect(&["--process", name.trim()], &is_owned);
    for object in &all {
        // A connection that nobody accepted, and what the kernel keeps by itself, has no process.
        let nobodys = object["inode"] == 0;
        assert_eq!(is_owned(object), !nobodys, "{object}");
    }
    let nobodys = all.iter().filter(|it| it["inode"] == 0).map(|it| it["state"].as_str());
    let nobodys: BTreeSet<_> = nobodys.flatten().collect();
    assert_eq!(Vec::from_iter(nobodys), ["ESTABLISHED", "SYN-RECEIVED", "TIME-WAIT"]);
}

#[test]
fn in_spanish_states_have_both_names_and_are_explained() {
    let namespace = Namespace::new();
    let _program = every_state(&namespace);
    let text = shown(&namespace, &["--lang", "es", "--explain"]);
    let (table, explained) = text.split_once("\n\n").expect("a table, and explanations");
    let header: Vec<_> = table.split_whitespace().take(5).collect();
    assert_eq!(header, ["Proto", "Recib", "Enviad", "Dirección", "local"]);
    for (word, name) in [
        ("ESCUCHAR", "LISTEN"),
        ("SYN_ENVIADO", "SYN-SENT"),
        ("SYN_RECIBIDO", "SYN-RECEIVED"),
        ("ESTABLECIDO", "ESTABLISHED"),
        ("ESPERA_FIN1", "FIN-WAIT-1"),
        ("ESPERA_FIN2", "FIN-WAIT-2"),
        ("CERRANDO", "CLOSING"),
        ("TIEMPO_ESPERA", "TIME-WAIT"),
        ("ESPERA_CIERRE", "CLOSE-WAIT"),
        ("ÚLTIMO_ACK", "LAST-ACK"),
        ("SIN_CONECTAR", "UNCONNECTED"),
    ] {
        assert!(table.contains(&format!("  {word} ({name})")), "{word}: {table}");
        assert!(explained.contains(&format!("\n{word} ({name}): ")) || explained.starts_with(word));
    }
    assert!(explained.contains("Después: "), "{explained}");
    let widest = explained.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(79), "{widest:?}");
    let of_none = shown(&namespace, &["--lang", "es", "--explain", "--state", "CERRADO"]);
    assert!(!of_none.contains("ESCUCHAR"), "only what is shown: {of_none}");
}

#[test]
fn udp_drops_are_those_of_proc() {
    let namespace = Namespace::new();
    let flood = "\
s = socket(AF_INET, SOCK_DGRAM)
s.setsockopt(SOL_SOCKET, SO_RCVBUF, 1)
s.bind(('127.0.0.1', 5005))
for _ in range(40):
    s.sendto(b'x' * 100, s.getsockname())
print('ready', os.getpid(), flush=True)
signal.pause()
";
    let (_program, ..) = program(&namespace, flood);
    let table = std::fs::read_to_string(format!("/proc/{}/net/udp", namespace.process().pid()));
    let table = table.expect("Linux tells");
    let line = table.lines().nth(1).expect("one socket");
    let expected: u64 = line.split_whitespace().last().and_then(|it| it.parse().ok()).expect("N");
    assert!(0 < expected && expected < 40, "{line}");
    let object = &objects(&shown(&namespace, &["--udp", "--format", "json"]))[0];
    assert_eq!(object["drops"], expected);
    let text = shown(&namespace, &["--udp"]);
    let mut lines = text.lines().map(|line| line.split_whitespace().last());
    assert_eq!(lines.next(), Some(Some("Drops")));
    assert_eq!(lines.next(), Some(Some(&*expected.to_string())));
}

#[test]
fn a_bound_socket_is_shown_where_the_kernel_tells() {
    let namespace = Namespace::new();
    let bind = "\
s = socket()
s.bind(('127.0.0.1', 65432))
print('ready', os.getpid(), flush=True)
signal.pause()
";
    let (_program, ..) = program(&namespace, bind);
    assert!(objects(&shown(&namespace, &["--format", "json"])).is_empty(), "as ss -tan");
    let kernel = procfs::sys::kernel::Version::current().expect("Linux has a version");
    let told = (kernel.major, kernel.minor) >= (6, 8);
    for arguments in [["--bound"].as_slice(), &["--state", "CLOSED"]] {
        let objects = objects(&shown(&namespace, &[arguments, &["--format", "json"]].concat()));
        let states: Vec<_> = objects.iter().map(|it| (&it["state"], &it["local"])).collect();
        let expected = (&"CLOSED".into(), &"127.0.0.1:65432".into());
        assert_eq!(states, if told { vec![expected] } else { vec![] });
    }
}

/// One step for each line on standard input.
const LIFE: &str = "\
print('ready', os.getpid(), flush=True)

def wait():
    sys.stdin.readline()

wait()
l = listener(backlog=0)
occupy(l)
wait()
c = socket()
c.setblocking(False)
c.connect_ex(l.getsockname())
wait()
l.accept()[0].close()
c.setblocking(True)
wait()
s, _ = l.accept()
wait()
c.shutdown(SHUT_WR)
wait()
s.close()
wait()
l.close()
signal.pause()
";

#[test]
fn a_life_is_watched_from_syn_sent_to_time_wait() {
    let namespace = Namespace::new();
    let (_program, pid, mut steps) = program(&namespace, LIFE);
    let mut step = || steps.write_all(b"\n").expect("it waits");
    let mut watch = Watch::start(&namespace, &["--tcp", "--process", &pid]);

    step();
    let listener = watch.find(|it| it["event"] == "appeared" && it["state"] == "LISTEN");
    assert_eq!(listener["processes"][0]["pid"].to_string(), pid);
    step();
    let client = watch.find(|it| it["state"] == "SYN-SENT");
    let is_client = |it: &Value| it["local"] == client["local"];
    let is_server = |it: &Value| it["local"] == client["peer"] && it["peer"] == client["local"];
    step();
    watch.find(|it| is_client(it) && it["state"] == "ESTABLISHED");
    // From `accept` on the other side has an owner, too: that is why the filter lets it through below.
    step();
    step();
    watch.find(|it| is_client(it) && it["state"] == "FIN-WAIT-2");
    watch.find(|it| is_server(it) && it["state"] == "CLOSE-WAIT");
    step();
    let last = watch.find(|it| is_client(it) && it["state"] == "TIME-WAIT");
    assert_eq!(last["processes"][0]["pid"].to_string(), pid, "it was its process's");
    watch.find(|it| is_server(it) && it["event"] == "gone");
    step();
    let end = watch.find(|it| {
        it["event"] == "gone" && it["local"] == listener["local"] && it["peer"].is_null()
    });
    assert_eq!(end["state"], "LISTEN");

    // Each state is told once, in the order of a life; those that last for a moment may be missing, and that is said.
    let expected = ["SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"];
    let told: Vec<&Value> = watch.seen.iter().filter(|it| is_client(it)).collect();
    let states: Vec<&str> = told.iter().filter_map(|it| it["state"].as_str()).collect();
    let at =
        |state: &&str| expected.iter().position(|it| it == state).expect("a state of a client");
    assert!(states.iter().map(at).is_sorted_by(|a, b| a < b), "{states:?}");
    assert_eq!(told[0]["event"], "appeared");
    for pair in told.windows(2) {
        assert_eq!((&pair[1]["event"], &pair[1]["from"]), (&"changed".into(), &pair[0]["state"]));
        let jumped = at(&pair[1]["state"].as_str().expect("text"))
            - at(&pair[0]["state"].as_str().expect("text"))
            > 1;
        assert_eq!(pair[1]["skipped"], jumped, "{pair:#?}");
    }
    let times: Vec<f64> = watch.seen.iter().filter_map(|it| it["ms"].as_f64()).collect();
    assert!(times.is_sorted() && times.len() == watch.seen.len(), "{times:?}");
    assert_eq!(watch.interrupt().code, Some(130));
}

#[test]
fn a_request_keeps_its_identity_when_it_becomes_a_connection() {
    let namespace = Namespace::new();
    let request = "\
l = listener(options=[(IPPROTO_TCP, TCP_DEFER_ACCEPT, 60)])
print('ready', os.getpid(), flush=True)
sys.stdin.readline()
c = socket()
c.connect(l.getsockname())
sys.stdin.readline()
c.send(b'now')
signal.pause()
";
    let (_program, _, mut steps) = program(&namespace, request);
    let mut watch = Watch::start(&namespace, &["--tcp", "--state", "SYN-RECEIVED"]);
    steps.write_all(b"\n").expect("it waits");
    let requested = watch.wait_for(|it| it["state"] == "SYN-RECEIVED");
    assert_eq!(requested["event"], "appeared");
    steps.write_all(b"\n").expect("it waits");
    let connected = watch.wait_for(|it| it["event"] != "appeared");
    assert_eq!(
        (&connected["event"], &connected["state"]),
        (&"changed".into(), &"ESTABLISHED".into())
    );
    assert_eq!(connected["local"], requested["local"]);
    assert_eq!(connected["from"], "SYN-RECEIVED");
    assert_eq!(watch.seen.len(), 2, "--state: from or to {:?}", watch.seen);
}

#[test]
fn what_comes_and_goes_between_two_looks_is_told_by_its_end() {
    let namespace = Namespace::new();
    let blink = "\
print('ready', os.getpid(), flush=True)
while sys.stdin.readline():
    s = socket(AF_INET, SOCK_DGRAM)
    s.bind(('127.0.0.1', 5005))
    s.close()
";
    let (_program, _, mut steps) = program(&namespace, blink);
    let mut watch = Watch::start(&namespace, &["--every", "300ms", "--port", "5005"]);
    // A look may happen to fall in between; not always.
    let missed = wait_for("socket that no look saw", || {
        steps.write_all(b"\n").expect("it waits");
        let event = watch.wait_for(|it| it["event"] == "missed" || it["event"] == "gone");
        (event["event"] == "missed").then_some(event)
    });
    assert_eq!((&missed["protocol"], &missed["local"]), (&"udp".into(), &"127.0.0.1:5005".into()));
}

#[test]
fn a_timeline_in_text_begins_with_what_is_there_and_ends_by_itself() {
    let namespace = Namespace::new();
    let listen = "\
l = listener()
print('ready', os.getpid(), flush=True)
signal.pause()
";
    let (_program, pid, _) = program(&namespace, listen);
    let watch = ["--watch", "--duration", "100ms", "--lang", "es", "--explain"];
    let outcome = run(&mut lab(&namespace, &watch)).succeeded();
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert!(lines[0].starts_with("Segundos"), "{lines:?}");
    assert!(lines[1].contains("ya estaba: ESCUCHAR (LISTEN) "), "{lines:?}");
    assert!(lines[1].ends_with(&format!("/{pid}")), "{lines:?}");
    assert!(lines[2].starts_with("ESCUCHAR (LISTEN): "), "{lines:?}");
    assert!(outcome.stderr.contains("miro cada 5 ms"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("0 cambios en "), "{}", outcome.stderr);
}

#[test]
fn what_was_there_is_counted_where_it_would_bury_what_happens() {
    let namespace = Namespace::new();
    let (_program, _) = every_state(&namespace);
    let present = shown(&namespace, &[]).lines().count() - 1;
    let watch = ["--watch", "--duration", "50ms"];
    let outcome = run(&mut lab(&namespace, &watch)).succeeded();
    assert_eq!(outcome.stdout.lines().count(), 1, "a header: {outcome:?}");
    let counted = format!("{present} sockets were there already");
    let words = outcome.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(&counted), "{words}");
    let closing = run(lab(&namespace, &watch).args(["--state", "CLOSING"])).succeeded();
    assert!(closing.stdout.contains("was there: CLOSING"), "{closing:?}");
    let json = run(lab(&namespace, &watch).args(["--format", "json"])).succeeded();
    assert_eq!(json.stdout.lines().count(), 1 + present, "a program reads them all");
}

#[test]
fn a_name_of_a_process_gives_the_terminal_no_orders() {
    let namespace = Namespace::new();
    let rename = "\
l = listener()
open('/proc/self/comm', 'w').write('\\x1b[2J\\x1b]0;a\\nb')
print('ready', os.getpid(), flush=True)
signal.pause()
";
    let (_program, pid, _) = program(&namespace, rename);
    let text = shown(&namespace, &[]);
    assert!(text.contains(&format!("\\u{{1b}}[2J\\u{{1b}}]0;a\\nb/{pid}")), "{text:?}");
    assert!(!text.contains('\x1b') && text.lines().count() == 2, "{text:?}");
}

#[test]
fn wrong_usage_is_named_and_ends_with_2() {
    for (arguments, says) in [
        (["--state", "ESTABLISCHED"].as_slice(), "Did you mean ESTABLISHED?"),
        (&["--state", "ESTABLECIDA", "--lang", "es"], "¿Querías decir ESTABLECIDO"),
        (&["--watch", "--every", "0s"], "at least 1ms"),
        (&["--duration", "1s"], "--watch"),
        (&["--port", "0"], "--port"),
    ] {
        let outcome = run(senda(["lab", "sockets"]).env("LC_ALL", "C").args(arguments));
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {outcome:?}");
        assert!(outcome.stderr.contains(says), "{arguments:?}: {}", outcome.stderr);
    }
}

/// The program with sockets in every state, once ss sees them all; and its number.
fn every_state(namespace: &Namespace) -> (Running, String) {
    let (running, pid, _) = program(namespace, STATES);
    for (option, expected) in [("-tan", &TCP[..]), ("-uan", &UDP)] {
        // Its last segments may be under way for a moment.
        wait_for("moment with every state", || {
            let rows = ss(namespace, option);
            let states: BTreeSet<_> = rows.iter().map(|row| &*row.state).collect();
            states.iter().eq(expected).then_some(())
        });
    }
    (running, pid)
}

/// A line of a table, in the words of ss. The order of the fields is that of sorting.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Row {
    local: String,
    peer: String,
    state: String,
    receive_queue: String,
    send_queue: String,
}

/// What ss shows, sorted.
fn ss(namespace: &Namespace, option: &str) -> Vec<Row> {
    let outcome = run(&mut namespace.inside(Command::new("ss").args(["--no-header", option])));
    let rows = outcome.succeeded().stdout;
    let mut rows: Vec<Row> = rows
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            let [state, receive_queue, send_queue, local, peer] = words.try_into().expect(line);
            // An IPv4 address in a socket of IPv6: we write it as what it is.
            let plain = |end: String| end.replace("[::ffff:127.0.0.1]", "127.0.0.1");
            Row { local: plain(local), peer: plain(peer), state, receive_queue, send_queue }
        })
        .collect();
    rows.sort();
    rows
}

/// What our table shows, sorted.
fn rows(table: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = table
        .lines()
        .skip(1)
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            let [_, receive_queue, send_queue, local, peer, state, ..] = &words[..] else {
                panic!("{line}");
            };
            let [local, peer, receive_queue, send_queue] =
                [local, peer, receive_queue, send_queue].map(Clone::clone);
            Row { local, peer, state: in_words_of_ss(state), receive_queue, send_queue }
        })
        .collect();
    rows.sort();
    rows
}

/// What an object says, as a line of ss.
fn row_of(object: &Value) -> Row {
    let is_v4 = object["family"] == "ipv4";
    let any = match (is_v4, object["takes_ipv4"] == true) {
        (true, _) => "0.0.0.0:*",
        (_, true) => "*:*",
        _ => "[::]:*",
    };
    let local = object["local"].as_str().expect("text").replace("[::ffff:127.0.0.1]", "127.0.0.1");
    let local = if object["takes_ipv4"] == true { local.replace("[::]", "*") } else { local };
    let local = match object["interface"].as_str() {
        Some(name) => {
            let (ip, port) = local.rsplit_once(':').expect("a port");
            format!("{ip}%{name}:{port}")
        }
        None => local,
    };
    let peer = object["peer"].as_str().unwrap_or(any).replace("[::ffff:127.0.0.1]", "127.0.0.1");
    Row {
        local,
        peer,
        state: in_words_of_ss(object["state"].as_str().expect("text")),
        receive_queue: object["receive_queue"].to_string(),
        send_queue: object["send_queue"].to_string(),
    }
}

fn in_words_of_ss(state: &str) -> String {
    match state {
        "ESTABLISHED" => "ESTAB",
        "SYN-RECEIVED" => "SYN-RECV",
        "UNCONNECTED" => "UNCONN",
        same => same,
    }
    .to_owned()
}

fn identity(object: &Value) -> String {
    format!("{} {} {}", object["protocol"], object["local"], object["peer"])
}

/// `senda lab sockets` inside.
fn lab(namespace: &Namespace, arguments: &[&str]) -> Command {
    let mut command = senda(["lab", "sockets"]);
    if !arguments.contains(&"--lang") {
        command.args(["--lang", "en"]);
    }
    namespace.inside(command.args(arguments))
}

fn shown(namespace: &Namespace, arguments: &[&str]) -> String {
    run(&mut lab(namespace, arguments)).succeeded().stdout
}

fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// A Python program inside that has said `ready PID`: itself, its number, its standard input.
fn program(namespace: &Namespace, text: &str) -> (Running, String, ChildStdin) {
    let text = format!("{PRELUDE}\n{text}");
    let mut command = namespace.inside(Command::new("python3").args(["-c", &text]));
    let (mut program, first, _) = Running::start_with_lines(command.stdin(Stdio::piped()));
    let pid = first.trim_end().strip_prefix("ready ").map(str::to_owned);
    let stdin = program.stdin();
    let Some(pid) = pid else { panic!("{first:?}, and then {:?}", program.finish()) };
    (program, pid, stdin)
}

/// `--watch --format json`, and what it has said.
struct Watch {
    running: Running,
    lines: Receiver<String>,
    seen: Vec<Value>,
}

impl Watch {
    fn start(namespace: &Namespace, arguments: &[&str]) -> Self {
        let arguments = [arguments, &["--watch", "--format", "json"]].concat();
        let mut command = lab(namespace, &arguments);
        let (running, first, lines) = Running::start_with_lines(&mut command);
        assert!(first.starts_with("{\"event\":\"watching\","), "{first}");
        Self { running, lines, seen: Vec::new() }
    }

    /// An event that was seen already, or will be: two of one look come in no order of theirs.
    #[track_caller]
    fn find(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let seen = self.seen.iter().find(|event| is_it(event)).cloned();
        seen.unwrap_or_else(|| self.wait_for(is_it))
    }

    /// The next such event.
    #[track_caller]
    fn wait_for(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{error} after {:#?}", self.seen));
            let event: Value = serde_json::from_str(&line).expect(&line);
            self.seen.push(event.clone());
            if is_it(&event) {
                return event;
            }
        }
    }

    fn interrupt(self) -> Outcome {
        self.running.signal(Signal::INT);
        self.running.finish()
    }
}
