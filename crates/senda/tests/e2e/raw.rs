//! Devices that don't speak Senda/1, in plain Python with `socket` and `struct`, against the collector.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::control::ask;
use crate::processes::{Collector, Outcome, PATIENCE, Running, run, senda, wait_for};
use crate::store;

/// The listener of `docs/raw.md`, whose ports the system chooses.
fn documented() -> String {
    let page = include_str!("../../../../docs/raw.md");
    let (_, rest) = page.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    assert_eq!(example.matches("127.0.0.1:9000").count(), 2);
    example.replace("127.0.0.1:9000", "127.0.0.1:0")
}

fn collector(room: &TempDir, config: &str) -> Collector {
    let file = room.path().join("senda.toml");
    std::fs::write(&file, config).expect("a file");
    Collector::start_with(&room.path().join("data"), &["--config", file.to_str().expect("UTF-8")])
}

fn data(room: &TempDir) -> std::path::PathBuf {
    room.path().join("data")
}

/// Runs a device; `address` is where it finds the collector.
fn python(room: &Path, address: SocketAddr, program: &str) -> Outcome {
    let path = room.join("device.py");
    std::fs::write(
        &path,
        format!(
            "import socket, struct, sys, time\nADDRESS = ('127.0.0.1', {})\n{program}",
            address.port()
        ),
    )
    .expect("a file");
    run(Command::new("python3").arg(path))
}

/// What `senda raw list` says of the first listener.
fn listener(collector: &Collector) -> Json {
    let answer = ask(collector, &["raw", "list", "--format", "json"]).succeeded().stdout;
    serde_json::from_str(answer.lines().next().expect("a listener")).expect("JSON")
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

const UDP_DEVICE: &str = "
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(60)
for i in range(5):
    s.sendto(struct.pack('>HBIhB', 7, i, int(time.time()) - 60, 2150 - i, i % 2), ADDRESS)
    print(*struct.unpack('>BBH', s.recv(4)))
";

const TCP_DEVICE: &str = "
s = socket.create_connection(ADDRESS)
for i in range(5):
    s.sendall(struct.pack('>HBIhB', 7, i, int(time.time()) - 60, 2150 - i, i % 2))
    print(*struct.unpack('>BBH', s.recv(4, socket.MSG_WAITALL)))
";

#[test]
fn a_python_device_gets_its_replies_and_its_readings_are_stored_over_udp() {
    is_stored_and_answered("udp", UDP_DEVICE);
}

#[test]
fn a_python_device_gets_its_replies_and_its_readings_are_stored_over_tcp() {
    is_stored_and_answered("tcp", TCP_DEVICE);
}

fn is_stored_and_answered(transport: &str, program: &str) {
    let room = TempDir::new().expect("a directory");
    let mut collector = collector(&room, &documented());
    let begun = seconds();
    let device = python(room.path(), collector.raw("weather", transport), program).succeeded();
    assert_eq!(
        device.stdout, "0 0 10\n0 1 10\n0 2 10\n0 3 10\n0 4 10\n",
        "status, sequence, interval"
    );
    collector.crash(); // Whoever got a reply is on disk.
    collector.restart();
    let rows = store::samples(&data(&room), 100);
    assert_eq!(rows.len(), 5);
    for (number, row) in (0u64..).zip(&rows) {
        assert_eq!(row["device"], "station-7");
        assert_eq!(row["schema"], "weather");
        assert_eq!(row["values"]["seq"], number, "{row}");
        let temperature = row["values"]["temperature"].as_f64().expect("a number");
        assert!(
            (temperature - (21.5 - 0.01 * f64::from(u32::try_from(number).unwrap()))).abs() < 1e-9,
            "{row}"
        );
        assert_eq!(row["values"]["door"], ["closed", "open"][usize::try_from(number % 2).unwrap()]);
        assert!(row["values"].get("_station").is_none() && row["values"].get("_time").is_none());
        let time: jiff::Timestamp =
            row["time"].as_str().expect("a time").parse().expect("RFC 3339");
        let before = begun.saturating_sub(u64::try_from(time.as_second()).expect("after 1970"));
        assert!((1..=60).contains(&before), "by the device's clock, a minute ago: {row}");
    }
    let known = wait_for("a device that is filed", || {
        let found = ask(&collector, &["devices", "station-7", "--format", "json"]);
        (found.code == Some(0)).then_some(found.stdout)
    });
    let known: Json = serde_json::from_str(&known).expect("JSON");
    assert_eq!(
        (&known["software"], &known["transport"]),
        (&"raw weather".into(), &transport.into())
    );
}

#[test]
fn a_record_that_is_sent_again_is_answered_and_stored_once() {
    let room = TempDir::new().expect("a directory");
    let collector = collector(&room, &documented().replace("interval = \"10s\"", "repeated = 9"));
    for (transport, program) in [
        (
            "udp",
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(60)
for _ in range(3):
    s.sendto(struct.pack('>HBIhB', 7, 1, 1700000000, 100, 0), ADDRESS)
    print(s.recv(4)[0])",
        ),
        (
            "tcp",
            "s = socket.create_connection(ADDRESS)
s.sendall(3 * struct.pack('>HBIhB', 8, 1, 1700000000, 100, 0))
for status in s.recv(12, socket.MSG_WAITALL)[::4]:
    print(status)",
        ),
    ] {
        let device = python(room.path(), collector.raw("weather", transport), program).succeeded();
        assert_eq!(device.stdout, "0\n9\n9\n", "{transport}");
    }
    assert_eq!(listener(&collector)["repeated"], 4);
    assert!(collector.stop().success());
    assert_eq!(store::number(&data(&room), "SELECT count(*) FROM weather"), 2);
}

const FRAMED: &str = "
[[raw]]
name = \"fixed\"
tcp = \"127.0.0.1:0\"
format = \"<hf\"
fields = [\"a\", \"b\"]
[[raw]]
name = \"prefixed\"
tcp = \"127.0.0.1:0\"
format = \"<hf\"
fields = [\"a\", \"b\"]
length = \"<I\"
length_counts_itself = true
[[raw]]
name = \"delimited\"
tcp = \"127.0.0.1:0\"
format = \"4s\"
fields = [\"text\"]
delimiter = \"0x0d0a\"
device = \"line-{text}\"
";

#[test]
fn records_are_found_in_a_stream_however_its_bytes_come() {
    let room = TempDir::new().expect("a directory");
    let collector = collector(&room, FRAMED);
    for (name, program) in [
        ("fixed", "stream = b''.join(struct.pack('<hf', i, i / 2) for i in range(300))"),
        ("prefixed", "stream = b''.join(struct.pack('<Ihf', 10, i, i / 2) for i in range(300))"),
        ("delimited", "stream = b''.join(b'%04d\\r\\n' % (i % 3) for i in range(300))"),
    ] {
        // In pieces of 1 to 7 bytes: Nagle off, so that many of them travel alone.
        let program = format!(
            "{program}
s = socket.create_connection(ADDRESS)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while stream:
    n = 1 + len(stream) % 7
    s.send(stream[:n]); stream = stream[n:]
s.shutdown(socket.SHUT_WR)
assert s.recv(1) == b'', 'no replies'"
        );
        python(room.path(), collector.raw(name, "tcp"), &program).succeeded();
    }
    assert!(collector.stop().success());
    let count = |select: &str| store::number(&data(&room), select);
    for table in ["fixed", "prefixed"] {
        assert_eq!(
            count(&format!("SELECT count(*) FROM {table} WHERE b = a / 2.0")),
            300,
            "{table}"
        );
        assert_eq!(
            count(&format!("SELECT count(DISTINCT a) FROM {table} WHERE device = '127.0.0.1'")),
            300
        );
    }
    assert_eq!(count("SELECT count(*) FROM delimited WHERE device = 'line-' || text"), 300);
    assert_eq!(count("SELECT count(DISTINCT device) FROM delimited"), 3);
    store::rows_exactly_once(&data(&room));
}

#[test]
fn what_does_not_fit_is_counted_by_kind_and_kept_with_reason_and_bytes() {
    let room = TempDir::new().expect("a directory");
    let collector = collector(&room, &(documented() + FRAMED));
    let udp = collector.raw("weather", "udp");
    let program = "
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(60)
s.sendto(b'\\x01\\x02\\x1b', ADDRESS)                                   # not a record: no answer
s.sendto(b'', ADDRESS)                                              # nor is this
s.sendto(struct.pack('>HBIhBB', 7, 5, 1700000000, 100, 0, 0), ADDRESS)  # nor is this, though a reply would be shorter
s.sendto(struct.pack('>HBIhB', 7, 5, 1700000000, 100, 2), ADDRESS)   # there are two labels
print(*struct.unpack('>BBH', s.recv(4)))
s.setblocking(False)
try: print('another', s.recv(4))
except BlockingIOError: print('nothing more')
";
    let device = python(room.path(), udp, program).succeeded();
    assert_eq!(device.stdout, "1 5 10\nnothing more\n", "refused, its sequence number echoed");
    let program = "
s = socket.create_connection(ADDRESS)
s.sendall(b'abc\\r\\n' + b'x y!\\r\\n' + b'good\\r\\n' + b'en')
s.shutdown(socket.SHUT_WR); s.recv(1)
s = socket.create_connection(ADDRESS)
s.sendall(b'x' * 5000); print(s.recv(1))
";
    let device = python(room.path(), collector.raw("delimited", "tcp"), program).succeeded();
    assert_eq!(device.stdout, "b''\n", "a record without an end ends the connection");
    let kept = wait_for("eight that are kept", || {
        let kept = ask(&collector, &["raw", "misfits", "--limit", "100"]).succeeded().stdout;
        (kept.matches(" from 127.0.0.1:").count() == 8).then_some(kept)
    });
    for line in [
        "3 bytes, and a record has 10\n00000000  01 02 1b                                          |...|",
        "field door: there are only 2 labels",
        "3 bytes, and a record has 4\n00000000  61 62 63 ",
        "\"line-x y!\" is no device name",
        "the connection ended within a record, after 2 bytes of it\n00000000  65 6e ",
        "a record of 5000 bytes or more; 4096 are looked at",
        "and 2952 bytes more, which are not kept",
    ] {
        assert!(kept.contains(line), "{line}\n{kept}");
    }
    assert!(!kept.contains('\x1b'), "no escapes of a device on the terminal");
    let one = ask(&collector, &["raw", "misfits", "delimited", "--limit", "1", "--format", "json"]);
    let one: Json = serde_json::from_str(&one.succeeded().stdout).expect("one line of JSON");
    assert_eq!((&one["kind"], &one["length"]), (&"too_long".into(), &5000.into()));
    let known = listener(&collector);
    assert_eq!(known["misfits"], serde_json::json!({"length": 3, "value": 1}));
    assert_eq!((&known["records"], &known["stored"]), (&4.into(), &0.into()));
    let text = ask(&collector, &["raw", "list"]).succeeded().stdout;
    assert!(text.contains("4 records: 0 stored, 0 repeated, 0 busy, 3 misfits by length, 1 misfits by value; 1 replies"), "{text}");
    assert!(text.contains("no replies: nobody is told what is stored"), "{text}");
    assert!(collector.stop().success());
    assert_eq!(
        store::number(&data(&room), "SELECT count(*) FROM misfits WHERE length(bytes) <= 2048"),
        8
    );
    assert_eq!(
        store::number(&data(&room), "SELECT count(*) FROM delimited WHERE text = 'good'"),
        1
    );
}

#[test]
fn a_class_at_once_each_with_its_own_connection_is_stored_to_the_last_record() {
    let room = TempDir::new().expect("a directory");
    let collector = collector(&room, &documented());
    let program = "
import threading
def student(number):
    s = socket.create_connection(ADDRESS)
    records = [struct.pack('>HBIhB', number, i % 256, 1700000000 + i, i, 0) for i in range(400)]
    threading.Thread(target=s.sendall, args=(b''.join(records),)).start()  # all of them before the first reply
    replies = s.recv(4 * 400, socket.MSG_WAITALL)
    assert [struct.unpack_from('>BB', replies, 4 * i) for i in range(400)] == [(0, i % 256) for i in range(400)]
    print('good')
for number in range(30):
    threading.Thread(target=student, args=(number,)).start()
";
    let class = python(room.path(), collector.raw("weather", "tcp"), program).succeeded();
    assert_eq!(class.stdout.matches("good").count(), 30, "{class:?}");
    assert!(collector.stop().success());
    let rows = store::rows_exactly_once(&data(&room));
    assert_eq!(rows.len(), 30);
    assert!(rows.values().all(|rows| *rows == 400), "{rows:?}");
}

#[test]
fn settings_and_alerts_and_tail_know_no_difference() {
    let room = TempDir::new().expect("a directory");
    let rule = "[[alert]]\nname = \"hot\"\ndevice = \"station-*\"\nchannel = \"temperature\"\nabove = 30\n";
    let collector = collector(&room, &(documented() + rule));
    ask(&collector, &["settings", "station-7", "interval=90s"]).succeeded();
    let mut tail = senda(["tail", "--device", "station-*", "--only", "reading", "--count", "1"]);
    let tail = Running::start(tail.env("SENDA_HTTP", collector.http.to_string()));
    // The rules follow too; this is one more.
    wait_for("follower", || collector.stderr().contains("following").then_some(()));
    let program = "
s = socket.create_connection(ADDRESS)
s.sendall(struct.pack('>HBIhB', 7, 0, int(time.time()), 3050, 0))
print(*struct.unpack('>BBH', s.recv(4, socket.MSG_WAITALL)))
";
    let device = python(room.path(), collector.raw("weather", "tcp"), program).succeeded();
    assert_eq!(device.stdout, "0 0 90\n");
    let shown = tail.finish().succeeded().stdout;
    assert!(shown.contains("station-7") && shown.contains("30.5"), "{shown}");
    let alert = wait_for("an alert", || {
        let alerts = ask(&collector, &["alerts"]).succeeded().stdout;
        alerts.contains("station-7").then_some(alerts)
    });
    assert!(alert.contains("hot") && alert.contains("temperature"), "{alert}");
}

#[test]
fn what_was_answered_is_there_after_a_kill_in_mid_stream() {
    let room = TempDir::new().expect("a directory");
    let mut collector = collector(&room, &documented());
    let mut stream = TcpStream::connect(collector.raw("weather", "tcp")).expect("it listens");
    let mut writer = stream.try_clone().expect("a second handle");
    let sending = std::thread::spawn(move || {
        for number in 0u32.. {
            let temperature = i16::try_from(number % 20_000).expect("small").to_be_bytes();
            let record = [&[0, 1, 0][..], &number.to_be_bytes(), &temperature, &[0]].concat();
            if writer.write_all(&record).is_err() {
                return;
            }
        }
    });
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut reply = [0; 4];
    for _ in 0..500 {
        stream.read_exact(&mut reply).expect("a reply");
        assert_eq!(reply[0], 0);
    }
    collector.crash();
    let mut answered = 500;
    while stream.read_exact(&mut reply).is_ok() {
        answered += 1;
    }
    drop(stream);
    sending.join().expect("it ends with the connection");
    let stored = store::samples(&data(&room), 1_000_000).len();
    assert!(stored >= answered, "{answered} were answered, {stored} are there");
}

#[test]
fn a_reply_comes_from_the_address_that_was_asked() {
    let room = TempDir::new().expect("a directory");
    let collector = collector(
        &room,
        &documented()
            .replace("udp = \"127.0.0.1:0\"", "udp = \"0.0.0.0:0\"")
            .replace("# senda.toml", "open_to_network = true"),
    );
    let port = collector.raw("weather", "udp").port();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    // A connected socket takes nothing from any other address.
    socket.connect(("127.0.0.2", port)).expect("loopback");
    socket.send(&[0, 7, 1, 0, 0, 0, 0, 0, 0, 0]).expect("it leaves");
    assert_eq!(socket.recv(&mut [0; 8]).expect("a reply"), 4);
}

#[test]
fn a_listener_that_makes_no_sense_keeps_the_collector_from_starting_and_says_why() {
    let room = TempDir::new().expect("a directory");
    let good = documented();
    for (from, to, says) in [
        (
            "\">HBIhB\"",
            "\">HBIhK\"",
            &["raw listener \"weather\"", "format \">HBIhK\" is no struct format"][..],
        ),
        ("\"seq\",", "", &["5 values, and the fields name 4"]),
        ("\"{status}\"", "\"{stratus}\"", &["there is no field \"stratus\"; status, interval_ms"]),
        ("\">BBH\"", "\">BBHQ\"", &["do not fit its format"]),
        ("\">BBH\"", "\">BBH20x\"", &["24 bytes to a datagram of 10", "\"14x\""]),
        ("\">BBH\"", "\">BBH4000000000x\"", &["4000000004 bytes; 65507 at most"]),
        ("unit = \"Cel\"", "unot = \"Cel\"", &["unknown field `unot`", "did you mean `unit`"]),
        ("sequence = \"seq\"", "sequence = \"sex\"", &["there is no field \"sex\""]),
        (
            "time = \"_time\"",
            "time = \"_time\"\ntime_unit = \"minutes\"",
            &["\"s\", \"ms\", \"us\" or \"ns\""],
        ),
        (
            "udp = \"127.0.0.1:0\"",
            "udp = \"0.0.0.0:0\"",
            &["not a loopback address", "--open-to-network"],
        ),
        ("tcp = \"127.0.0.1:0\"", "delimiter = \"x\"", &["a datagram is one record"]),
        ("tcp = \"127.0.0.1:0\"", "tcp = \"127.0.0.1:0\"\nlength = \"ff\"", &["one integer"]),
    ] {
        assert!(good.contains(from), "{from}");
        let file = room.path().join("senda.toml");
        std::fs::write(&file, good.replacen(from, to, 1)).expect("a file");
        let mut command = senda(["serve", "--tcp=127.0.0.1:0", "--http=off", "--config"]);
        let outcome = run(command.arg(&file).arg("--data").arg(room.path().join("data")));
        assert_eq!(outcome.code, Some(1), "{to}: {outcome:?}");
        for words in says {
            assert!(outcome.stderr.contains(words), "{to}: {words}: {}", outcome.stderr);
        }
    }
}

#[test]
fn check_shows_what_a_listener_would_make_of_bytes() {
    let room = TempDir::new().expect("a directory");
    let file = room.path().join("senda.toml");
    std::fs::write(&file, documented()).expect("a file");
    let check = |words: &[&str]| run(senda(["raw", "check"]).args(words));
    let file = file.to_str().expect("UTF-8");
    let shown =
        check(&["--config", file, "weather", "0007", "2a", "6789abcd", "0866", "01"]).succeeded();
    assert_eq!(
        shown.stdout,
        "format \">HBIhB\": 10 bytes, 5 values
     0  H  00 07                    _station = 7
     2  B  2a                       seq = 42
     3  I  67 89 ab cd              _time = 1737075661
     7  h  08 66                    temperature = 2150
     9  B  01                       door = 1
device station-7, time 2025-01-17T01:01:01Z, table weather
        seq = 42
        temperature = 21.5 Cel
        door = open
reply \">BBH\" (stored, after the commit): 00 2a 00 0a\n"
    );
    let misfit = check(&["--config", file, "weather", "0007"]);
    assert_eq!(misfit.code, Some(1));
    assert!(misfit.stdout.contains("it does not fit: 2 bytes, and a record has 10"), "{misfit:?}");
    assert!(misfit.stdout.contains("reply over UDP: none"), "{misfit:?}");
    let alone = check(&["<3h?", "0100feff030001"]).succeeded().stdout;
    assert!(alone.contains("     2  h  fe ff                    v1 = -2\n"), "{alone}");
    for (words, says) in [
        (&[">K", "00"][..], "bad char in struct format"),
        (&[">H", "0"], "no whole number of bytes"),
        (&["999999999999b", "00"], "values; 256 at most"),
        (&["--config", file, "wether", "00"], "it has weather"),
    ] {
        let outcome = check(words);
        assert_eq!(outcome.code, Some(2), "{words:?}: {outcome:?}");
        assert!(outcome.stderr.contains(says), "{words:?}: {outcome:?}");
    }
}
