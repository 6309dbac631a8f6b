//! Alert rules through a real collector: the device, a webhook, a program, the store, people.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::control::{ask, asked};
use crate::processes::{Collector, PATIENCE, wait_for};
use crate::wire::{ACK, ALERT, DONE, Device, Message, ROWS, be32, one_u8_channel};

/// A collector with this config file.
fn collector(room: &TempDir, config: &str) -> Collector {
    let file = room.path().join("senda.toml");
    std::fs::write(&file, config).expect("a file");
    Collector::start_with(&room.path().join("data"), &["--config", file.to_str().expect("UTF-8")])
}

/// A device over UDP that takes ALERTs, with one channel `c0`.
struct Gauge {
    device: Device,
    row: u32,
    time_us: i64,
}

impl Gauge {
    fn join(collector: &Collector, name: &str) -> Self {
        let mut device = Device::udp(collector.udp, name);
        device.downlink = 7;
        device.join();
        device.declare(0, &one_u8_channel("tank"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let time_us = i64::try_from(now.as_micros()).expect("this age") - 60_000_000;
        Self { device, row: 0, time_us }
    }

    /// One sample, a second after the one before, until it is acknowledged; what else came meanwhile.
    fn send(&mut self, value: u8) -> Vec<Message> {
        self.time_us += 1_000_000;
        let mut body = vec![0, 0, 0xC0, 1];
        body.extend(self.time_us.to_be_bytes());
        body.push(value);
        self.device.send(ROWS, self.row, &body);
        self.row += 1;
        let mut others = Vec::new();
        loop {
            let message = self.device.receive().expect("an ACK");
            if message.kind == ACK && message.seq == self.row {
                return others;
            }
            others.push(message);
        }
    }

    /// The next ALERT, answered: its id and whether it holds.
    fn alert(&mut self, others: Vec<Message>) -> (u32, bool) {
        let early = others.into_iter().find(|message| message.kind == ALERT);
        let alert = early.unwrap_or_else(|| self.device.receive().expect("an ALERT"));
        assert_eq!(alert.kind, ALERT, "{alert:?}");
        let id = &alert.body[..4];
        let done = [&[ALERT][..], id, &[0, 0, 0]].concat();
        self.device.send(DONE, alert.seq, &done);
        (be32(id), alert.body[12] == 1)
    }
}

/// A request that a webhook got.
#[derive(Debug)]
struct Post {
    key: String,
    attempt: String,
    body: Json,
}

/// A webhook that answers with these statuses, one after the other, then with 204.
fn webhook(listener: TcpListener, mut answers: Vec<u16>) -> Receiver<Post> {
    let (sender, posts) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            while let Some(post) = read_post(&stream) {
                let status = if answers.is_empty() { 204 } else { answers.remove(0) };
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
                let answered = (&stream).write_all(answer.as_bytes());
                if sender.send(post).is_err() || answered.is_err() {
                    return;
                }
            }
        }
    });
    posts
}

fn read_post(stream: &TcpStream) -> Option<Post> {
    let mut reader = BufReader::new(stream);
    let mut headers = std::collections::HashMap::new();
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|len| *len > 0)?;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        match line.trim().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Post {
        key: headers.remove("idempotency-key")?,
        attempt: headers.remove("senda-attempt")?,
        body: serde_json::from_slice(&body).ok()?,
    })
}

fn next(posts: &Receiver<Post>) -> Post {
    posts.recv_timeout(PATIENCE).expect("a POST")
}

const RULE: &str = r#"
[[alert]]
name = "full"
device = "tank-*"
channel = "c0"
above = 100
clear = 50
severity = "critical"
text = "{device}: {value} of {threshold}"
"#;

#[test]
fn a_rule_tells_the_device_a_webhook_and_a_program_and_people_answer() {
    let room = TempDir::new().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let posts = webhook(listener, vec![503]);
    let log = room.path().join("told");
    let config = format!(
        "{RULE}notify = [\"hook\", \"program\"]\n[notify.hook]\nwebhook = \"http://127.0.0.1:{port}/x\"\n\
         [notify.program]\nexec = [\"/bin/sh\", \"-c\", \"cat >> '{}'\"]\n",
        log.display()
    );
    let collector = collector(&room, &config);
    let mut gauge = Gauge::join(&collector, "tank-1");
    assert_eq!(gauge.send(90), []);
    let others = gauge.send(120);
    assert_eq!(gauge.alert(others), (1, true));
    let first = next(&posts);
    assert_eq!((&first.body["state"], &*first.attempt), (&json!("raised"), "1"));
    let again = next(&posts);
    assert_eq!((&again.key, &*again.attempt), (&first.key, "2"), "the 503 was tried again");
    let body = &again.body;
    let said =
        ["id", "rule", "device", "schema", "channel", "severity", "value", "threshold", "text"];
    let said = said.map(|key| body[key].clone());
    let expected =
        json!([1, "full", "tank-1", "tank", "c0", "critical", 120, 100.0, "tank-1: 120 of 100"]);
    assert_eq!(json!(said), expected);

    // Between clear and above nothing happens; somebody sees it.
    assert_eq!(gauge.send(60), []);
    let standing = asked(&collector, &["alerts"]);
    assert_eq!((standing.len(), &standing[0]["state"]), (1, &json!("raised")));
    let seen = ask(&collector, &["alerts", "ack", "1", "--by", "ana"]).succeeded();
    assert!(seen.stdout.contains("seen by ana"), "{seen:?}");
    wait_for("DONE of the device", || answered(&collector));

    // It is over.
    let others = gauge.send(40);
    assert_eq!(gauge.alert(others), (1, false));
    assert_eq!(next(&posts).body["state"], "cleared");
    assert_eq!(asked(&collector, &["alerts"]), Vec::<Json>::new());
    let all = asked(&collector, &["alerts", "--all"]);
    assert_eq!((&all[0]["state"], &all[0]["acknowledged_by"]), (&json!("cleared"), &json!("ana")));
    wait_for("both lines of the program", || told(&log, 2));
    assert!(collector.stop().success());
}

/// Whether the device has answered the first alert that holds.
fn answered(collector: &Collector) -> Option<()> {
    asked(collector, &["alerts"]).first().filter(|alert| alert["device_answered"] == true).map(drop)
}

/// The states that a program was told, once there are so many.
fn told(log: &Path, count: usize) -> Option<Vec<Json>> {
    let text = std::fs::read_to_string(log).ok()?;
    let lines = text.lines().map(|line| {
        let report: Json = serde_json::from_str(line).expect("a report a line");
        report["state"].clone()
    });
    let states: Vec<Json> = lines.collect();
    (states.len() >= count).then_some(states)
}

#[test]
fn what_stood_at_a_crash_stands_after_it_and_who_was_not_told_is_told_then() {
    let room = TempDir::new().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let config =
        format!("{RULE}notify = [\"hook\"]\n[notify.hook]\nwebhook = \"http://{address}/\"\n",);
    // It accepts nothing yet: the first POST waits in the backlog for an answer.
    let mut collector = collector(&room, &config);
    let mut gauge = Gauge::join(&collector, "tank-1");
    let others = gauge.send(120);
    assert_eq!(gauge.alert(others), (1, true));
    wait_for("DONE of the device", || answered(&collector));
    collector.crash();
    let posts = webhook(listener, Vec::new());
    collector.restart();
    let first = next(&posts);
    assert_eq!((&first.body["id"], &first.body["state"]), (&json!(1), &json!("raised")));
    // What came before the crash and after it has one key.
    let raised = first.key;
    let time_us = gauge.time_us;
    let mut gauge = Gauge::join(&collector, "tank-1");
    gauge.time_us = time_us;
    assert_eq!(gauge.send(130), [], "it stands already");
    let cleared = ask(&collector, &["alerts", "clear", "1"]).succeeded();
    assert!(cleared.stdout.contains("cleared"), "{cleared:?}");
    let closed = loop {
        let post = next(&posts);
        if post.key != raised {
            break post;
        }
    };
    assert_eq!((&closed.body["id"], &closed.body["state"]), (&json!(1), &json!("closed")));
    assert_eq!(gauge.alert(Vec::new()), (1, false));
    wait_for("DONE of the device", || {
        let all = asked(&collector, &["alerts", "--all"]);
        (all[0]["device_answered"] == true).then_some(())
    });

    // Closed by hand it stays closed, over a restart too, until its condition was over.
    collector.restart_after_stop();
    let time_us = gauge.time_us;
    let mut gauge = Gauge::join(&collector, "tank-1");
    gauge.time_us = time_us;
    assert_eq!(gauge.send(140), []);
    assert_eq!(gauge.send(40), []);
    let others = gauge.send(150);
    assert_eq!(gauge.alert(others), (2, true));
    assert_eq!(
        (next(&posts).body["id"].clone(), asked(&collector, &["alerts"]).len()),
        (json!(2), 1)
    );
}

#[test]
fn silence_is_an_alert_that_an_absent_device_hears_of_when_it_comes_back() {
    let room = TempDir::new().expect("a directory");
    let config = "[[alert]]\nname = \"silent\"\ndevice = \"tank-*\"\nabsent = \"1s\"\n";
    let collector = collector(&room, config);
    let mut gauge = Gauge::join(&collector, "tank-1");
    assert_eq!(gauge.send(1), []);
    assert_eq!(gauge.alert(Vec::new()), (1, true));
    let others = gauge.send(2);
    assert_eq!(gauge.alert(others), (1, false));
    drop(gauge);
    // Nobody answers this time: it waits for the next session.
    wait_for("the next alert", || (asked(&collector, &["alerts"]).len() == 1).then_some(()));
    let mut back = Device::udp(collector.udp, "tank-1");
    back.downlink = 7;
    back.join();
    let alert = back.receive().expect("what it missed");
    assert_eq!((alert.kind, be32(&alert.body[..4]), alert.body[12]), (ALERT, 2, 1));
}

#[test]
fn a_rule_that_makes_no_sense_keeps_the_collector_from_starting_and_says_where() {
    let room = TempDir::new().expect("a directory");
    let file = room.path().join("senda.toml");
    std::fs::write(&file, RULE.replace("clear = 50", "clear = 150")).expect("a file");
    let arguments = ["serve", "--tcp=127.0.0.1:0", "--http=off", "--config"];
    let mut command = crate::processes::senda(arguments);
    let outcome = crate::processes::run(command.arg(&file).arg("--data").arg(room.path()));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("[[alert]] number 1 (\"full\"): clear"), "{outcome:?}");
}
