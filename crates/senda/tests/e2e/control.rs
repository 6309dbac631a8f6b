//! The control API through the commands that use it, and by hand: typed answers end to end.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::processes::{Collector, Outcome, Running, run, senda, wait_for};
use crate::wire::{
    ACK, COMMAND, CONFIG, DONE, Device, Message, ROWS, b_text, be32, one_u8_channel, rows_body,
};

/// `senda` with the address of this collector's API.
pub(crate) fn ask(collector: &Collector, arguments: &[&str]) -> Outcome {
    run(senda(arguments).env("SENDA_HTTP", collector.http.to_string()))
}

/// What it prints with `--format json`, line by line.
pub(crate) fn asked(collector: &Collector, arguments: &[&str]) -> Vec<Json> {
    let outcome = ask(collector, &[arguments, &["--format", "json"]].concat());
    let lines = outcome.stdout.lines();
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{outcome:?}"))).collect()
}

fn only(collector: &Collector, arguments: &[&str]) -> Json {
    let [line] = <[Json; 1]>::try_from(asked(collector, arguments)).expect("one line");
    line
}

/// A fleet that lives as long as its value.
fn fleet(collector: &Collector, more: &[&str]) -> Running {
    let mut command =
        senda(["simulate", "--interval", "100ms", "--duration", "90s", "--seed", "5"]);
    Running::start(command.args(more).current_dir(&collector.data))
}

/// The names of the devices, once so many are here.
fn devices(collector: &Collector, count: usize) -> Vec<String> {
    wait_for("fleet", || {
        let online = asked(collector, &["devices"]).into_iter().filter(|d| d["online"] == true);
        let names: Vec<String> =
            online.filter_map(|d| Some(d["device"].as_str()?.to_owned())).collect();
        (names.len() == count).then_some(names)
    })
}

#[test]
fn every_type_of_value_travels_to_a_device_and_back_over_both_transports() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let (tcp, udp) = (format!("--tcp={}", collector.tcp), format!("--udp={}", collector.udp));
    let _fleet = fleet(&collector, &["--devices", "6", &tcp, &udp]);
    let names = devices(&collector, 6);
    let transports: Vec<Json> = names
        .iter()
        .map(|name| only(&collector, &["devices", name])["transport"].clone())
        .collect();
    assert!(transports.contains(&json!("tcp")) && transports.contains(&json!("udp")));
    for name in names {
        let arguments = [
            "bool:true",
            "a=u8:255",
            "u16e-1:21.5",
            "u32:4294967295",
            "u64:18446744073709551615",
            "i8:-128",
            "i16:-32768",
            "i32:-2147483648",
            "b.c=i64:-9223372036854775808",
            "f32:0.1",
            "f64:-0",
            "text:grün",
            "blob:0x00ff",
            "time:2026-01-31T12:00:00.5Z",
            "f32:[1.5,-2.5]",
            "u64e-3:[1,2.5,3]",
            "-7",
            "2.5",
            "plain",
        ];
        let record = only(
            &collector,
            &[&["command", &name, "echo-args", "--wait=60s"], &arguments[..]].concat(),
        );
        assert_eq!((&record["state"], &record["status"]), (&json!("done"), &json!("ok")));
        assert_eq!(record["results"], record["arguments"], "{name}");
        assert_eq!(record["results"].as_array().map(Vec::len), Some(arguments.len()));
    }
}

#[test]
fn the_commands_of_simulated_devices_say_what_came_of_them() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let udp = format!("--udp={}", collector.udp);
    let _fleet = fleet(&collector, &["--devices", "1", &udp]);
    let name = devices(&collector, 1).remove(0);
    let command = |arguments: &[&str]| {
        only(&collector, &[&["command", &name], arguments, &["--wait=60s"]].concat())
    };
    let outcome = |record: &Json| {
        (record["state"].as_str().map(str::to_owned), record["status"].as_str().map(str::to_owned))
    };
    let is = |state: &str, status: &str| (Some(state.to_owned()), Some(status.to_owned()));
    assert_eq!(outcome(&command(&["identify"])), is("done", "ok"));
    assert_eq!(outcome(&command(&["set-interval", "50ms"])), is("done", "ok"));
    let read = command(&["read-now"]);
    assert_eq!(outcome(&read), is("done", "ok"));
    assert!(read["results"].as_array().is_some_and(|results| results.len() > 3), "{read}");
    assert_eq!(outcome(&command(&["fail"])), is("done", "failed"));
    assert_eq!(outcome(&command(&["dance"])), is("refused", "unknown"));
    let before = only(&collector, &["devices", &name])["sessions"][0]["stream"].clone();
    assert_eq!(outcome(&command(&["reboot"])), is("done", "ok"));
    wait_for("new stream after the reboot", || {
        let sessions = only(&collector, &["devices", &name])["sessions"].clone();
        let sessions = sessions.as_array()?;
        sessions.iter().any(|session| session["stream"] != before).then_some(())
    });
    // What it was told is kept, in order, with what came of it.
    let ids: Vec<Json> =
        asked(&collector, &["command", &name]).into_iter().map(|r| r["id"].clone()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
    let failed = ask(&collector, &["command", &name, "fail", "--wait=60s"]);
    assert_eq!(failed.code, Some(1), "a failure is one: {failed:?}");
    assert!(failed.stdout.contains("done failed"), "{failed:?}");
}

#[test]
fn a_command_waits_for_its_device_and_expires_without_one() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let queued = only(&collector, &["command", "greenhouse-00000", "identify"]);
    assert_eq!((&queued["state"], &queued["id"]), (&json!("queued"), &json!(1)));
    let lost = ask(&collector, &["command", "nobody", "identify", "--ttl", "1s", "--wait"]);
    assert_eq!((lost.code, &*lost.stdout), (Some(1), "nobody #1 identify: expired\n"));
    let udp = format!("--udp={}", collector.udp);
    let _fleet = fleet(&collector, &["--devices", "1", &udp]);
    let done = wait_for("answer of the device that came", || {
        let record = asked(&collector, &["command", "greenhouse-00000"]).pop()?;
        (record["state"] == "done").then_some(record)
    });
    assert_eq!((&done["status"], &done["id"]), (&json!("ok"), &json!(1)));
}

/// Spec §7.7d, §7.7e, case 22: a command that may have been executed is never sent again, whoever crashed.
#[test]
fn a_killed_collector_never_sends_a_command_twice_and_the_next_hello_settles_it() {
    let room = TempDir::new().expect("a directory");
    let mut collector = Collector::start(room.path());
    for (address, transport) in [("udp", 0), ("tcp", 1)] {
        let name = format!("by-hand-{address}");
        let open = |collector: &Collector| match transport {
            0 => Device::udp(collector.udp, &name),
            _ => Device::tcp(collector.tcp, &name),
        };
        let mut device = open(&collector);
        device.downlink = 7;
        device.join();
        let given = only(&collector, &["command", &name, "reboot", "now"]);
        assert_eq!(given["id"], 1);
        let command = device.receive().expect("the command");
        assert_eq!((command.kind, be32(&command.body[..4])), (COMMAND, 1));
        assert_eq!(command.body[8..], [&b_text("reboot")[..], b"\x01\0\x0c\0\x01\x03now"].concat());
        // It is begun, no DONE leaves, and the collector dies.
        collector.crash();
        collector.restart();
        let unknown = asked(&collector, &["command", &name]).remove(0);
        assert_eq!((&unknown["state"], &unknown["begun"]), (&json!("unknown"), &Json::Null));
        let mut device = open(&collector);
        (device.downlink, device.last_command_id) = (7, 1);
        device.join();
        assert_eq!(device.messages_before_a_pong(), [], "nothing is sent again");
        let settled = wait_for("word of the HELLO", || {
            let record = asked(&collector, &["command", &name]).remove(0);
            (!record["begun"].is_null()).then_some(record)
        });
        assert_eq!((&settled["state"], &settled["begun"]), (&json!("unknown"), &json!(true)));
        // The next one has the next number, and its DONE counts.
        only(&collector, &["command", &name, "identify"]);
        let command = device.receive().expect("the next command");
        assert_eq!(be32(&command.body[..4]), 2);
        let done = [&[COMMAND, 0, 0, 0, 2, 0][..], &b_text("here"), &[0]].concat();
        device.send(DONE, command.seq, &done);
        let record = only(&collector, &["command", &name, "nothing", "--ttl", "1s"]);
        assert_eq!(record["id"], 3);
        let second = wait_for("DONE in the store", || {
            let records = asked(&collector, &["command", &name]);
            (records[1]["state"] == "done").then(|| records[1].clone())
        });
        assert_eq!((&second["status"], &second["text"]), (&json!("ok"), &json!("here")));
    }
}

/// The next COMMAND; what else comes is passed over.
fn next_command(device: &mut Device) -> Message {
    loop {
        let message = device.receive().expect("a message");
        if message.kind == COMMAND {
            return message;
        }
    }
}

fn say_done(device: &mut Device, order: &Message) {
    let done = [&[order.kind][..], &order.body[..4], &[0], &b_text(""), &[0]].concat();
    device.send(DONE, order.seq, &done);
}

/// Spec §7.7: what the replaced session had not sent is for the one that replaces it.
#[test]
fn what_waits_behind_an_unanswered_command_goes_on_in_the_session_that_replaces_this_one() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    for tcp in [false, true] {
        let name = if tcp { "again-tcp" } else { "again-udp" };
        let mut device = match tcp {
            true => Device::tcp(collector.tcp, name),
            false => Device::udp(collector.udp, name),
        };
        device.downlink = 7;
        device.join();
        only(&collector, &["command", name, "first"]);
        only(&collector, &["command", name, "second"]);
        assert_eq!(be32(&next_command(&mut device).body[..4]), 1);
        // It comes again with the same stream, while the collector still has the session.
        let mut again = match tcp {
            true => Device::tcp(collector.tcp, name),
            false => Device::udp(collector.udp, name),
        };
        again.downlink = 7;
        again.stream = device.stream;
        again.join();
        let second = next_command(&mut again);
        assert_eq!(be32(&second.body[..4]), 2, "the first is never sent again");
        say_done(&mut again, &second);
        wait_for("both ends", || {
            let states = asked(&collector, &["command", name]);
            let states: Vec<&Json> = states.iter().map(|record| &record["state"]).collect();
            (states == [&json!("unknown"), &json!("done")]).then_some(())
        });
    }
}

#[test]
fn more_commands_than_a_session_holds_all_arrive_in_order() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    const COUNT: u32 = 150;
    for number in 1..=COUNT {
        let commands = "/api/v1/devices/busy/commands";
        let (status, given) = http(&collector, "POST", commands, &[], r#"{"name": "step"}"#);
        assert_eq!((status, &given["id"]), (201, &json!(number)));
    }
    let mut device = Device::udp(collector.udp, "busy");
    device.downlink = 7;
    device.join();
    for number in 1..=COUNT {
        let command = next_command(&mut device);
        assert_eq!(be32(&command.body[..4]), number);
        say_done(&mut device, &command);
    }
}

/// Spec §7.7: desired state. Whatever it was changed to meanwhile, the last one counts.
#[test]
fn settings_that_change_back_while_a_config_is_unanswered_end_where_they_should() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let mut device = Device::udp(collector.udp, "gh-7");
    device.downlink = 7;
    device.join();
    let set = |value: u32| {
        let settings =
            json!({"revision": value, "settings": [{"name": "x", "type": "u32", "value": value}]});
        let answer = http(&collector, "PUT", "/api/v1/settings/gh-7", &[], &settings.to_string());
        assert_eq!(answer.0, 200, "{answer:?}");
    };
    // Answers every CONFIG that comes until nothing does any more; the last one.
    let settle = |device: &mut Device, first: Message| {
        let mut last = first;
        loop {
            say_done(device, &last);
            let revision = be32(&last.body[..4]);
            wait_for("the answer in the store", || {
                let config = only(&collector, &["devices", "gh-7"])["config"].clone();
                (config["in_force"] == revision).then_some(())
            });
            let mut more = device.messages_before_a_pong().into_iter();
            match more.rfind(|message| message.kind == CONFIG) {
                Some(more) => last = more,
                None => return revision,
            }
        }
    };
    // To another and back while the first is on its way.
    set(1);
    let first = device.receive().expect("a CONFIG");
    assert_eq!((first.kind, be32(&first.body[..4])), (CONFIG, 1));
    set(2);
    set(1);
    assert_eq!(settle(&mut device, first), 1);
    // Back to what is in force while the other is on its way.
    set(3);
    let third = device.receive().expect("a CONFIG");
    assert_eq!((third.kind, be32(&third.body[..4])), (CONFIG, 3));
    set(1);
    assert_eq!(settle(&mut device, third), 1);
}

#[test]
fn settings_reach_devices_that_are_here_and_those_that_come() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let (tcp, udp) = (format!("--tcp={}", collector.tcp), format!("--udp={}", collector.udp));
    let _fleet = fleet(&collector, &["--devices", "2", &tcp, &udp]);
    let names = devices(&collector, 2);
    let config = |name: &str| only(&collector, &["devices", name])["config"].clone();
    assert_eq!(config(&names[0])["state"], "none");
    ask(&collector, &["settings", "*", "interval=200ms"]).succeeded();
    let applied = |name: &str, state: &str| {
        wait_for(&format!("{state} at {name}"), || {
            Some(config(name)).filter(|config| config["state"] == state)
        })
    };
    for name in &names {
        let config = applied(name, "applied");
        assert_eq!(config["desired"]["settings"][0]["value"], 200);
        assert_eq!(config["in_force"], config["desired"]["revision"]);
    }
    // A name counts before a pattern; who clamps says to what.
    let clamped = json!({"settings": [{"name": "interval_ms", "type": "u32", "value": 0}]});
    let path = format!("/api/v1/settings/{}", names[0]);
    assert_eq!(http(&collector, "PUT", &path, &[], &clamped.to_string()).0, 200);
    let config = applied(&names[0], "clamped");
    assert_eq!(config["reported"]["results"][0]["name"], "interval_ms");
    assert_eq!(only(&collector, &["devices", &names[1]])["config"]["state"], "applied");
    // Taken away, the pattern counts again.
    ask(&collector, &["settings", &names[0], "--remove"]).succeeded();
    assert_eq!(applied(&names[0], "applied")["desired"]["pattern"], "*");
    let missing = ask(&collector, &["settings", "nobody", "--remove"]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
}

/// A HELLO and the DONE to its CONFIG may reach the store in one commit: their order counts.
#[test]
fn a_whole_fleet_that_joins_at_once_ends_with_its_settings_applied() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    ask(&collector, &["settings", "*", "interval=900ms"]).succeeded();
    let (tcp, udp) = (format!("--tcp={}", collector.tcp), format!("--udp={}", collector.udp));
    let _fleet = fleet(&collector, &["--devices", "200", &tcp, &udp]);
    wait_for("200 devices with their settings", || {
        let all = asked(&collector, &["devices"]);
        let applied = all.iter().filter(|device| device["config"]["state"] == "applied").count();
        (applied == 200).then_some(())
    });
}

/// Spec §5.16: `enable.CHANNEL` ends in rows without that channel, and back again.
#[test]
fn a_channel_that_is_switched_off_is_absent_until_it_is_switched_on() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let udp = format!("--udp={}", collector.udp);
    let _fleet = fleet(&collector, &["--devices", "1", &udp, "--profile", "greenhouse"]);
    let name = devices(&collector, 1).remove(0);
    let has_co2 = |wanted: bool| {
        wait_for(&format!("reading with co2: {wanted}"), || {
            let query = ["query", "--device", &name, "--limit", "1", "--format", "json", "--data"];
            let latest = run(senda(query).arg(&collector.data)).succeeded().stdout;
            let latest: Json = serde_json::from_str(&latest).ok()?;
            let values = latest["values"].as_object()?;
            assert!(values.contains_key("temperature"), "{latest}");
            (values.contains_key("co2") == wanted).then_some(())
        });
    };
    has_co2(true);
    ask(&collector, &["settings", &name, "enable.co2=off"]).succeeded();
    has_co2(false);
    ask(&collector, &["settings", &name, "enable.co2=on"]).succeeded();
    has_co2(true);
}

#[test]
fn tail_shows_each_reading_once_as_it_is_stored() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let mut tail = senda(["tail", "--format", "json", "--only", "reading", "--count", "60"]);
    let tail = Running::start(tail.env("SENDA_HTTP", collector.http.to_string()));
    wait_for("follower", || collector.stderr().contains("following").then_some(()));
    let (tcp, udp) = (format!("--tcp={}", collector.tcp), format!("--udp={}", collector.udp));
    let arguments =
        ["simulate", "--devices", "3", "--count", "20", "--interval", "20ms", &tcp, &udp];
    run(&mut senda(arguments)).succeeded();
    let tail = tail.finish().succeeded();
    let key = |line: &str| {
        let reading: Json = serde_json::from_str(line).expect("JSON");
        ["device", "stream", "row", "time", "values"].map(|key| reading[key].to_string())
    };
    let mut shown: Vec<_> = tail.stdout.lines().map(key).collect();
    let query = ["query", "--format", "json", "--limit", "1000", "--data"];
    let stored = run(senda(query).arg(&collector.data)).succeeded();
    let mut stored: Vec<_> = stored.stdout.lines().map(key).collect();
    shown.sort();
    stored.sort();
    assert_eq!(stored.len(), 60);
    assert_eq!(shown, stored);
}

/// A follower that comes later sees what was declared while nobody followed.
#[test]
fn tail_knows_what_was_declared_while_nobody_watched() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let mut device = Device::tcp(collector.tcp, "gh-7");
    device.join();
    let followers = || collector.stderr().matches("following").count();
    let tail = |before: usize| {
        let mut tail = senda(["tail", "--format", "json", "--only", "reading", "--count", "1"]);
        let tail = Running::start(tail.env("SENDA_HTTP", collector.http.to_string()));
        wait_for("follower", || (followers() > before).then_some(()));
        tail
    };
    let schema = |tail: Running| {
        let outcome = tail.finish().succeeded();
        let reading: Json = serde_json::from_str(outcome.stdout.trim()).expect("JSON");
        reading["schema"].clone()
    };
    let row = |device: &mut Device, number: u32, schema: u16| {
        device.send(ROWS, number, &rows_body(schema, &[&[7]]));
        assert_eq!(device.receive().expect("an ACK").kind, ACK);
    };
    let first = tail(0);
    device.declare(1, &one_u8_channel("first"));
    row(&mut device, 0, 1);
    assert_eq!(schema(first), "first");
    // Until the collector has noticed that nobody watches any more.
    (1..10).for_each(|number| row(&mut device, number, 1));
    device.declare(2, &one_u8_channel("second"));
    row(&mut device, 10, 2);
    let second = tail(1);
    row(&mut device, 11, 2);
    assert_eq!(schema(second), "second");
}

/// A request by hand: its status and its body.
fn http(
    collector: &Collector,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Json) {
    let mut stream = TcpStream::connect(collector.http).expect("HTTP listens");
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    let has = |name: &str| headers.iter().any(|(known, _)| *known == name);
    if !has("Host") {
        request += "Host: localhost\r\n";
    }
    if !has("Content-Type") {
        request += "Content-Type: application/json\r\n";
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("a request fits");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status: u16 = status.unwrap_or_else(|| panic!("{answer}"));
    if status >= 400 {
        assert!(head.contains("application/problem+json"), "{method} {path}: {answer}");
    }
    (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")))
}

/// Method, path, headers, body; status and code of the problem.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);

#[test]
fn whatever_is_wrong_with_a_request_is_a_problem_with_its_details() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let evil = ("Origin", "http://evil.example");
    let commands = "/api/v1/devices/gh-7/commands";
    let big = format!(r#"{{"name": "x", "arguments": ["{}"]}}"#, "a".repeat(70_000));
    let long = format!(
        r#"{{"name": "x", "arguments": [{}1]}}"#,
        format!("\"{}\",", "a".repeat(250)).repeat(5)
    );
    let cases: &[Case] = &[
        ("GET", "/api/v1/nothing", &[], "", 404, "not_found"),
        ("GET", "/api/v1/devices/nobody", &[], "", 404, "not_found"),
        ("GET", "/api/v1/devices/-x", &[], "", 422, "invalid"),
        ("DELETE", "/api/v1/devices", &[], "", 405, "method"),
        ("GET", "/api/v1/devices?limit=0", &[], "", 422, "invalid"),
        ("GET", "/api/v1/devices?limt=1", &[], "", 400, "query"),
        ("GET", "/api/v1/readings?since=noon", &[], "", 422, "invalid"),
        ("GET", "/api/v1/tail?kinds=rumour", &[], "", 422, "invalid"),
        ("GET", "/api/v1/devices/gh-7/commands/one", &[], "", 400, "path"),
        ("GET", "/api/v1/devices/gh-7/commands/1", &[], "", 404, "not_found"),
        ("POST", commands, &[], "{", 400, "body"),
        ("POST", commands, &[], "{}", 422, "body"),
        ("POST", commands, &[], r#"{"name": "Up"}"#, 422, "invalid"),
        ("POST", commands, &[], r#"{"name": "up", "tll_ms": 5}"#, 422, "body"),
        ("POST", commands, &[], r#"{"name": "up", "ttl_ms": 5}"#, 422, "invalid"),
        ("POST", commands, &[], r#"{"name": "up", "arguments": [null]}"#, 422, "invalid"),
        ("POST", commands, &[], &long, 422, "invalid"),
        ("POST", commands, &[], &big, 413, "body"),
        ("POST", commands, &[form], "name=up", 415, "content_type"),
        ("POST", commands, &[evil], r#"{"name": "up"}"#, 403, "origin"),
        ("GET", "/api/v1/devices", &[evil], "", 403, "origin"),
        ("GET", "/api/v1/devices", &[("Host", "evil.example")], "", 403, "host"),
        ("PUT", "/api/v1/settings/gh*", &[], r#"{"settings": {"interval_ms": 0}}"#, 422, "invalid"),
        ("DELETE", "/api/v1/settings/gh", &[], "", 404, "not_found"),
        ("POST", "/api/v1/alerts/7/acknowledge", &[], "{}", 404, "not_found"),
    ];
    for (method, path, headers, body, status, code) in cases {
        let (got, problem) = http(&collector, method, path, headers, body);
        assert_eq!((got, &problem["code"]), (*status, &json!(code)), "{method} {path}: {problem}");
        assert_eq!(problem["status"], json!(status));
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
    }
    assert_eq!(asked(&collector, &["command", "gh-7"]), Vec::<Json>::new(), "nothing was given");
    // And the same through the command line: 2 for what is wrong, 1 for what is not there.
    assert_eq!(ask(&collector, &["command", "gh-7", "Up"]).code, Some(2));
    assert_eq!(ask(&collector, &["devices", "nobody"]).code, Some(1));
    let nobody = run(senda(["devices"]).env("SENDA_HTTP", "127.0.0.1:1"));
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("no collector answers at http://127.0.0.1:1"), "{nobody:?}");
}
