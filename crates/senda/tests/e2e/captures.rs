//! `senda decode` and the Wireshark dissector on captures: what one shows, the other shows, field by field.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::fleets::{figures, simulate};
use crate::processes::{Collector, Outcome, Running, run, senda};
use crate::recorder::{Capture, Connection, Recorder};
use crate::tshark::{self, Dissection, Shown};
use crate::vectors::{self, Case};
use crate::wire::{DECLARE, PING, crc32, message};

/// The port that is Senda's without asking.
const PORT: u16 = 7363;
/// As long as a message in a datagram may be here, its headers included. (Spec §3.4 allows less.)
const DATAGRAM_MAX: usize = 60_000;

#[test]
fn tshark_and_decode_agree_on_a_fleet_over_udp() {
    agree_on_a_fleet(|recorder| format!("--udp={}", recorder.udp));
}

#[test]
fn tshark_and_decode_agree_on_a_fleet_over_tcp() {
    agree_on_a_fleet(|recorder| format!("--tcp={}", recorder.tcp));
}

/// Nobody says which ports these are: both find Senda by what is said.
fn agree_on_a_fleet(transport: impl Fn(&Recorder) -> String) {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(&room.path().join("data"));
    let recorder = Recorder::before(collector.tcp, collector.udp);
    let fleet = ["--devices", "4", "--interval", "5ms", "--count", "12", "--seed", "11"];
    let figures = figures(simulate(&[transport(&recorder)]).args(fleet));
    assert_eq!(figures["acknowledged"], 48);
    let file = room.path().join("fleet.pcap");
    recorder.save(&file);

    let lines = decode(&file, &[]);
    let messages = agree(&lines, &tshark::dissect(&file));
    assert!(messages >= 4 * 6, "{messages} messages");
    let count = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    assert_eq!(["DECLARE", "DECLARED"].map(count), [4, 4]);
    // Rows are values, of devices that have names.
    for rows in lines.iter().filter(|line| line["type"] == "ROWS") {
        assert!(rows["schema"].is_string() && rows["device"].is_string(), "{rows}");
    }
    assert!(lines.iter().all(|line| line["error"].is_null()), "{lines:#?}");
}

/// Spec §17. All valid cases, over both transports.
#[test]
fn tshark_and_decode_agree_on_the_vectors() {
    let room = TempDir::new().expect("a directory");
    let cases: Vec<Case> =
        vectors::all().into_iter().filter(|case| case.valid && case.kind != "SCHEMA").collect();
    assert!(cases.len() > 100);
    let (mut udp, mut tcp) = (Capture::new(), Capture::new());
    for (number, case) in (0..).zip(&cases) {
        if case.bytes().len() < DATAGRAM_MAX {
            datagrams(&mut udp, number, case);
        }
        let (device, collector) = ends(number);
        let mut connection = Connection::open(&mut tcp, device, collector);
        let sender = usize::from(case.from == "collector");
        connection.send(&mut tcp, 0, &declare(case));
        // Twice, so that messages begin in the middle of segments.
        connection.send(&mut tcp, sender, &[case.bytes(), case.bytes()].concat());
        connection.close(&mut tcp, sender);
    }
    for (name, capture) in [("udp.pcap", udp), ("tcp.pcap", tcp)] {
        let file = capture.save(room.path().join(name));
        let lines = decode(&file, &[]);
        let messages = agree(&lines, &tshark::dissect(&file));
        assert!(messages > 100, "{messages} messages");
    }
}

/// Spec §3.7.
#[test]
fn tshark_names_what_is_wrong_with_the_invalid_vectors_and_stays_well() {
    let room = TempDir::new().expect("a directory");
    let cases: Vec<Case> = vectors::all()
        .into_iter()
        .filter(|case| !case.valid && case.kind != "SCHEMA" && !case.hex().is_empty())
        .collect();
    assert!(cases.len() > 100);
    let mut capture = Capture::new();
    let frames: Vec<u32> =
        (0..).zip(&cases).map(|(number, case)| datagrams(&mut capture, number, case)).collect();
    let file = capture.save(room.path().join("invalid.pcap"));
    let dissection = tshark::dissect(&file);
    let outcome = run(senda(["decode", "--format", "json"]).arg(&file));
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let lines = json_lines(&outcome);
    // What is no message is shown as one by tshark, so that its bytes can be looked at.
    let whole: Vec<Value> =
        lines.iter().filter(|line| line.get("type").is_some()).cloned().collect();
    let frames_of_messages: Vec<u64> =
        whole.iter().filter_map(|line| line["frame"].as_u64()).collect();
    let mut messages = dissection.messages;
    messages.retain(|shown| frames_of_messages.contains(&shown.frame));
    agree(&whole, &Dissection { messages, errors: Vec::new() });

    for (case, frame) in cases.iter().zip(frames) {
        let expected = match &*case.error {
            "incomplete" => "bad_length",
            "404" => "bad_magic",
            // Neither looks into COLUMNS.
            "301" if case.kind != "COLUMNS" => "bad_value",
            name @ ("bad_magic" | "bad_length" | "bad_trailer" | "bad_crc" | "wrong_direction") => {
                name
            }
            _ => continue,
        };
        let expert = format!("senda.error.{expected}");
        assert!(dissection.errors.contains(&(frame.into(), expert)), "tshark: {case:?}");
        let line = lines.iter().rfind(|line| line["frame"] == frame).expect("a line");
        let said = match &*case.error {
            "incomplete" => "incomplete",
            "404" => "bad_magic",
            name => name,
        };
        assert_eq!(line["error"]["name"], said, "decode: {case:?} {line}");
    }
}

#[test]
fn the_same_datagram_is_found_in_every_kind_of_network() {
    let room = TempDir::new().expect("a directory");
    let ping = message(PING, 7, 1, b"12345678");
    let payload = |network: &[u8], ip: &[u8]| [network, ip].concat();
    let (v4, v6) = (ip_packet(false, &ping), ip_packet(true, &ping));
    let cooked = |protocol: u16| {
        // Version 1: to us, a loopback device, no address; version 2 has the same in another order.
        let first =
            [&[0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0][..], &protocol.to_be_bytes()].concat();
        let second =
            [&protocol.to_be_bytes()[..], &[0, 0, 0, 0, 0, 1, 3, 4, 0, 6], &[0; 8]].concat();
        (first, second)
    };
    let ether = |types: &[u8]| [&[2; 12][..], types].concat();
    let networks = [
        (0, payload(&[2, 0, 0, 0], &v4)),
        (1, payload(&ether(&[0x08, 0]), &v4)),
        (1, payload(&ether(&[0x86, 0xDD]), &v6)),
        (1, payload(&ether(&[0x81, 0, 0, 5, 0x08, 0]), &v4)),
        (1, payload(&ether(&[0x88, 0xA8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xDD]), &v6)),
        // Ethernet pads what is short.
        (1, payload(&[&ether(&[0x08, 0])[..], &v4].concat(), &[0; 9])),
        (101, v4.clone()),
        (101, v6.clone()),
        (108, payload(&[0, 0, 0, 2], &v4)),
        (113, payload(&cooked(0x0800).0, &v4)),
        (228, v4.clone()),
        (229, v6.clone()),
        (276, payload(&cooked(0x86DD).1, &v6)),
    ];
    for (number, (link_type, packet)) in networks.into_iter().enumerate() {
        let mut capture = Capture::of(link_type);
        capture.record(&packet, packet.len());
        let file = capture.save(room.path().join(format!("{number}.pcap")));
        let lines = decode(&file, &[]);
        let [line] = &lines[..] else {
            panic!("link type {link_type}: {lines:?}");
        };
        let said = ["type", "direction", "length", "transport"].map(|key| line[key].to_string());
        assert_eq!(said, ["\"PING\"", "\"up\"", "24", "\"udp\""], "link type {link_type}: {line}");
    }
}

#[test]
fn a_capture_without_its_beginning_says_so_and_goes_on_with_the_next_message() {
    let room = TempDir::new().expect("a directory");
    let (device, collector) = ends(0);
    let mut whole = Capture::new();
    let mut connection = Connection::open(&mut whole, device, collector);
    let bytes = pings(0..3);
    let (before, after) = bytes.split_at(30);
    // The second message begins where nobody listened.
    connection.send(&mut whole, 0, before);
    let mut capture = Capture::new();
    connection.send(&mut capture, 0, after);
    connection.send(&mut Capture::new(), 0, &pings(3..5));
    connection.send(&mut capture, 0, &pings(5..6));
    let file = capture.save(room.path().join("late.pcap"));
    let lines = decode(&file, &[]);
    let said: Vec<String> = lines.iter().map(line_in_short).collect();
    let expected = [
        "the beginning of this direction is not in the capture: looking for the first whole message",
        "the next whole message begins after 18 bytes, which are not shown",
        "PING 2",
        "48 bytes are not in the capture",
        "PING 5",
    ];
    assert_eq!(said, expected);
    let text = run(senda(["decode", "--format", "brief"]).arg(&file)).succeeded().stdout;
    assert!(text.contains("note: 48 bytes are not in the capture"), "{text}");
}

#[test]
fn a_connection_that_is_captured_out_of_order_and_twice_is_put_together() {
    let room = TempDir::new().expect("a directory");
    let (device, collector) = ends(0);
    let mut straight = Capture::new();
    let mut connection = Connection::open(&mut straight, device, collector);
    connection.send(&mut straight, 0, &pings(0..9));
    connection.close(&mut straight, 0);
    let mut shuffled = Capture::new();
    let packets = straight.packets();
    for number in [0, 1, 3, 2, 2, 5, 4, 6, 5, 3] {
        shuffled.record(packets[number], packets[number].len());
    }
    let file = shuffled.save(room.path().join("shuffled.pcap"));
    let said: Vec<String> = decode(&file, &[]).iter().map(line_in_short).collect();
    let expected: Vec<String> = (0..9).map(|number| format!("PING {number}")).collect();
    assert_eq!(said, expected);
}

#[test]
fn ports_are_looked_at_alone_when_they_are_named() {
    let room = TempDir::new().expect("a directory");
    let mut capture = Capture::new();
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let skip = message(0x1F, 7, 0, &[0, 0, 0, 1, 1, 0, 0]);
    capture.udp(address(40_001), address(PORT), &skip);
    for port in [PORT, 9000, 9001] {
        capture.udp(address(40_000), address(port), &pings(u32::from(port)..u32::from(port) + 1));
    }
    capture.udp(address(40_000), address(9000), b"no message at all");
    capture.udp(address(40_000), address(9001), b"no message at all");
    let file = capture.save(room.path().join("ports.pcap"));
    let said = |arguments: &[&str]| {
        let outcome = run(senda(["decode", "--format", "json"]).args(arguments).arg(&file));
        let lines = json_lines(&outcome);
        (outcome.code, lines.iter().map(line_in_short).collect::<Vec<_>>())
    };
    let all = ["SKIP 0", "PING 7363", "PING 9000", "PING 9001"].map(str::to_owned).to_vec();
    assert_eq!(said(&[]), (Some(0), all), "what does not look like Senda is left alone");
    let named = ["PING 9000", "bad_magic"].map(str::to_owned).to_vec();
    assert_eq!(said(&["--port", "9000"]), (Some(1), named));
    // The port of a device does as well as that of a collector.
    let device = decode(&file, &["--port", "40001"]);
    let said = device.iter().map(|line| line["direction"].as_str()).collect::<Vec<_>>();
    assert_eq!((said, device[0]["error"].is_null()), (vec![Some("up")], true));
    let nothing = run(senda(["decode", "--port", "1"]).arg(&file)).succeeded();
    assert!(nothing.stderr.contains("no Senda in 6 packets on the ports [1]"), "{nothing:?}");
    let hex = run(&mut senda(["decode", "--port", "1", "a1"]));
    assert_eq!(hex.code, Some(2), "hex has no ports: {hex:?}");
}

#[test]
fn rows_without_a_declare_are_bytes_unless_the_schema_is_given() {
    let room = TempDir::new().expect("a directory");
    let case = vectors::read("rows.toml").into_iter().find(|case| case.valid).expect("one");
    let (device, collector) = ends(0);
    let mut capture = Capture::new();
    capture.udp(device, collector, &case.bytes());
    let file = capture.save(room.path().join("rows.pcap"));
    let [without] = &decode(&file, &[])[..] else { panic!("one message") };
    assert!(without["schema"].is_null());
    assert!(without["note"].as_str().is_some_and(|note| note.contains("--schema 0=HEX")));
    let schema =
        format!("0={}", case.schema().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let [with] = &decode(&file, &["--schema", &schema])[..] else { panic!("one message") };
    assert_eq!(with["schema"], "greenhouse");
    let field = with["fields"]
        .as_array()
        .and_then(|fields| fields.iter().find(|field| field["name"] == "temperature"));
    let field = field.expect("the channel");
    assert_eq!((&field["value"], &field["unit"]), (&21.5.into(), &"Cel".into()));
    assert_eq!((&field["offset"], &field["length"]), (&24.into(), &2.into()));
}

#[test]
fn a_file_that_is_no_capture_or_ends_early_is_an_error_that_says_so() {
    let room = TempDir::new().expect("a directory");
    let (device, collector) = ends(0);
    let mut capture = Capture::new();
    capture.udp(device, collector, &pings(0..1));
    capture.udp(device, collector, &pings(1..2));
    let file = capture.save(room.path().join("cut.pcap"));
    let bytes = std::fs::read(&file).expect("just written");
    std::fs::write(&file, &bytes[..bytes.len() - 5]).expect("a file");
    let cut = run(senda(["decode", "--format", "json"]).arg(&file));
    assert_eq!(cut.code, Some(1));
    assert!(cut.stderr.contains("ends within a packet, after 1 packets"), "{cut:?}");
    assert_eq!(json_lines(&cut).iter().map(line_in_short).collect::<Vec<_>>(), ["PING 0"]);

    let text = room.path().join("notes.txt");
    std::fs::write(&text, "some notes").expect("a file");
    for (path, said) in [(&text, "neither pcap nor pcapng"), (&room.path().join("no.pcap"), "open")]
    {
        let outcome = run(senda(["decode"]).arg(path));
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.stderr.contains(said), "{outcome:?}");
        assert!(outcome.stderr.contains(&path.display().to_string()), "{outcome:?}");
    }
}

#[test]
fn a_packet_that_was_cut_by_the_capture_shows_what_is_there() {
    let room = TempDir::new().expect("a directory");
    let (device, collector) = ends(0);
    let mut whole = Capture::new();
    whole.udp(device, collector, &pings(0..3));
    let packet = whole.packets()[0].to_vec();
    let mut capture = Capture::new();
    capture.record(&packet[..packet.len() - 30], packet.len());
    let file = capture.save(room.path().join("snap.pcap"));
    let said: Vec<String> = decode(&file, &[]).iter().map(line_in_short).collect();
    let note = "only 42 of the datagram's 72 bytes were captured: no whole message from 24 on";
    assert_eq!(said, ["PING 0", note]);
    let dissection = tshark::dissect(&file);
    assert_eq!(dissection.errors, [(1, "senda.error.cut".to_owned())]);
}

#[test]
fn standard_input_may_be_a_capture_or_hex() {
    let (device, collector) = ends(0);
    let room = TempDir::new().expect("a directory");
    let mut capture = Capture::new();
    capture.udp(device, collector, &pings(4..5));
    let file = capture.save(room.path().join("one.pcap"));
    let from_pipe = piped(&std::fs::read(file).expect("just written"));
    assert_eq!(from_pipe.iter().map(line_in_short).collect::<Vec<_>>(), ["PING 4"]);
    let hex: String = pings(5..6).iter().map(|byte| format!("{byte:02x} ")).collect();
    assert_eq!(piped(hex.as_bytes()).iter().map(line_in_short).collect::<Vec<_>>(), ["PING 5"]);
}

/// Spec §5.4c: a later session of the stream declares nothing again.
#[test]
fn a_resumed_session_is_shown_with_the_schema_of_its_stream() {
    let room = TempDir::new().expect("a directory");
    let examples = vectors::read("examples.toml");
    let find = |kind: &str| {
        examples.iter().find(|case| case.kind == kind).map(Case::bytes).expect("in section 16")
    };
    let (device, collector) = ends(0);
    let mut capture = Capture::new();
    for (is_up, bytes) in [
        (true, find("HELLO")),
        (false, find("WELCOME")),
        (true, find("DECLARE")),
        (true, find("HELLO")),
        (false, in_session(find("WELCOME"), 9)),
        (true, in_session(find("ROWS"), 9)),
    ] {
        let (src, dst) = if is_up { (device, collector) } else { (collector, device) };
        capture.udp(src, dst, &bytes);
    }
    let file = capture.save(room.path().join("resumed.pcap"));
    let lines = decode(&file, &[]);
    let rows = lines.last().expect("six messages");
    let said = ["type", "schema", "device", "stream"].map(|key| rows[key].as_str().unwrap_or("?"));
    assert_eq!(said, ["ROWS", "greenhouse", "gh-7", "9f3c5b1e7d204a68"]);
    agree(&lines, &tshark::dissect(&file));
}

/// The same message in another session.
fn in_session(mut bytes: Vec<u8>, session: u32) -> Vec<u8> {
    bytes.truncate(bytes.len() - 4);
    bytes[4..8].copy_from_slice(&session.to_be_bytes());
    crate::wire::sealed_by_crc(bytes)
}

/// Both show the same messages, in the same packets, with the same fields; returns how many.
#[track_caller]
fn agree(lines: &[Value], dissection: &Dissection) -> usize {
    let mut ours: Vec<Shown> = lines.iter().filter_map(tshark::from_json).collect();
    // What was waiting for a gap comes out at the end.
    ours.sort_by_key(|shown| shown.frame);
    assert_eq!(ours.len(), dissection.messages.len(), "messages");
    for (ours, theirs) in ours.iter().zip(&dissection.messages) {
        let pairs = ours.fields.iter().zip(&theirs.fields);
        for (our, their) in pairs {
            assert_eq!(our, their, "packet {}", ours.frame);
        }
        assert_eq!(ours, theirs);
    }
    ours.len()
}

/// Writes a case between ends of its own, after the DECLARE that it needs; returns the number of its packet.
fn datagrams(capture: &mut Capture, number: u16, case: &Case) -> u32 {
    let (device, collector) = ends(number);
    let declare = declare(case);
    if !declare.is_empty() {
        capture.udp(device, collector, &declare);
    }
    let is_down = case.from == "collector";
    let (src, dst) = if is_down { (collector, device) } else { (device, collector) };
    capture.udp(src, dst, &case.bytes())
}

/// The DECLARE that a case's rows need; nothing for other cases.
fn declare(case: &Case) -> Vec<u8> {
    let (schema, bytes) = (case.schema(), case.bytes());
    let (Some(session), Some(id)) = (bytes.get(4..8), bytes.get(12..14)) else {
        return Vec::new();
    };
    if schema.is_empty() {
        return Vec::new();
    }
    let session = crate::wire::be32(session);
    let id = u32::from(u16::from_be_bytes([id[0], id[1]]));
    let body = [&[0, 1][..], &crc32(&schema).to_be_bytes(), &schema].concat();
    message(DECLARE, session, id, &body)
}

/// A device and a collector of which nothing was heard before.
fn ends(number: u16) -> (SocketAddr, SocketAddr) {
    let [high, low] = number.to_be_bytes();
    let collector = (Ipv4Addr::new(10, 1, high, low), PORT);
    ((Ipv4Addr::new(10, 0, high, low), 40_000).into(), collector.into())
}

fn pings(numbers: std::ops::Range<u32>) -> Vec<u8> {
    numbers.flat_map(|number| message(PING, 7, number, b"12345678")).collect()
}

fn ip_packet(is_v6: bool, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    if is_v6 {
        let builder = etherparse::PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(40_000, PORT);
        builder.write(&mut packet, payload).expect("a packet");
    } else {
        let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        builder.udp(40_000, PORT).write(&mut packet, payload).expect("a packet");
    }
    packet
}

/// A line of JSON as a few words: the type and `seq` of a message, what is wrong, or the note.
fn line_in_short(line: &Value) -> String {
    if let Some(kind) = line["type"].as_str() {
        let fields = line["fields"].as_array().into_iter().flatten();
        let seq = fields.into_iter().find(|field| field["name"] == "seq");
        return format!("{kind} {}", seq.map_or(&Value::Null, |seq| &seq["value"]));
    }
    let words = line["note"].as_str().or_else(|| line["error"]["name"].as_str());
    words.unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[track_caller]
fn decode(file: &Path, arguments: &[&str]) -> Vec<Value> {
    let mut command = senda(["decode", "--format", "json"]);
    json_lines(&run(command.args(arguments).arg(file)).succeeded())
}

fn json_lines(outcome: &Outcome) -> Vec<Value> {
    outcome.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What `senda decode -` says of these bytes.
fn piped(bytes: &[u8]) -> Vec<Value> {
    let mut command = senda(["decode", "--format", "json", "-"]);
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let child = Running::start(command.stdin(Stdio::from(reader)));
    // The parent's copy of the reading end goes with the command.
    drop(command);
    writer.write_all(bytes).expect("it reads");
    drop(writer);
    json_lines(&child.finish().succeeded())
}
