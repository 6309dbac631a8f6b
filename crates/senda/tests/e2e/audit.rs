//! `senda audit`, the journals of clients, and the ledger: what was made and told is what is stored.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::fleets::{figures, simulate};
use crate::processes::{Collector, Outcome, run, senda};
use crate::proxy::Proxy;

/// A directory with a store and journals.
struct Room(TempDir);

impl Room {
    fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn journal(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn audit(&self, journals: &[&str], more: &[&str]) -> Outcome {
        let mut command = senda(["audit", "--data"]);
        command.arg(self.data());
        for name in journals {
            command.arg("--journal").arg(self.journal(name));
        }
        run(command.args(more))
    }

    /// The audit as JSON, and its exit code.
    fn outcome(&self, journals: &[&str], more: &[&str]) -> (Option<i32>, Value) {
        let outcome = self.audit(journals, &[more, &["--format", "json"]].concat());
        let json = serde_json::from_str(&outcome.stdout);
        (outcome.code, json.unwrap_or_else(|error| panic!("{error}: {outcome:#?}")))
    }

    fn send(&self, collector: &Collector, device: &str, journal: &str, value: &str) {
        let mut command = senda(["send", "--device", device]);
        command.arg(format!("--udp={}", collector.udp)).arg("--journal").arg(self.journal(journal));
        run(command.arg(value).env("XDG_STATE_HOME", self.0.path())).succeeded();
    }

    /// A fleet of four kinds of devices, 25 rows each.
    fn fleet(&self, transport: &str, more: &[&str]) {
        let mut command = simulate(&[transport.to_owned()]);
        command.args([
            "--devices",
            "4",
            "--interval",
            "5ms",
            "--count",
            "25",
            "--patience",
            "120s",
        ]);
        let figures = figures(command.args(more).arg("--journal").arg(self.journal("fleet")));
        assert_eq!(figures["acknowledged"], 100, "{figures}");
    }

    fn sql(&self, sql: &str) {
        let store = Connection::open(self.data().join("senda.db")).expect("a store");
        store.execute_batch(sql).expect("good SQL");
    }
}

/// Spec §7.9: by the journal, row by row, and by the ledger; of what has landed, and of what is filed.
#[test]
fn a_fleet_on_a_bad_network_is_audited_clean_while_the_collector_runs_and_after() {
    let room = Room::new();
    let collector = Collector::start(&room.data());
    let loss = ["--loss", "20%", "--dup", "10%", "--reorder", "10%", "--seed", "3"];
    room.fleet(&format!("--udp={}", collector.udp), &loss);
    room.fleet(&format!("--tcp={}", collector.tcp), &["--seed", "4"]);
    let (code, live) = room.outcome(&["fleet"], &["--complete"]);
    assert_eq!((code, &live["differences"], &live["made"]), (Some(0), &0.into(), &200.into()));
    let total = ledger(&collector);
    let expected =
        [("made", 200), ("stored", 200), ("pending", 0), ("unexplained", 0), ("counts", 8)];
    for (name, count) in expected {
        assert_eq!(total["ledger"][name], count, "{name}: {total}");
    }
    assert_eq!(total["collector"]["kernel_drops"], 0, "{total}");
    assert!(collector.stop().success());
    let (code, stopped) = room.outcome(&["fleet"], &["--complete"]);
    assert_eq!((code, &stopped["stored"], &stopped["landed"]), (Some(0), &200.into(), &0.into()));
    let text = room.audit(&["fleet"], &[]).succeeded().stdout;
    assert!(text.contains("differences                 0"), "{text}");
}

#[test]
fn whatever_is_done_to_the_database_is_named() {
    let room = Room::new();
    let collector = Collector::start(&room.data());
    room.fleet(&format!("--tcp={}", collector.tcp), &[]);
    assert!(collector.stop().success());
    let of = |device: &str, row| {
        format!("device = (SELECT id FROM devices WHERE name = '{device}') AND row = {row}")
    };
    room.sql(&format!("DELETE FROM _greenhouse WHERE {}", of("greenhouse-00000", 3)));
    room.sql(&format!("UPDATE _vehicle SET flags = 1 WHERE {}", of("vehicle-00001", 5)));
    let copy = |row: &str, time: &str| {
        format!(
            "CREATE TEMP TABLE copy AS SELECT * FROM _factory WHERE {};
             UPDATE copy SET {row} {time}; INSERT INTO _factory SELECT * FROM copy; DROP TABLE copy;",
            of("factory-00002", 7)
        )
    };
    room.sql(&copy("row = 900,", "time = time + 2"));
    // Another time makes it another row of the table; `device_time` says what it was.
    room.sql(&copy("", "device_time = coalesce(device_time, time), time = time + 1"));
    room.sql(&format!(
        "UPDATE _weather SET temperature = temperature + 1 WHERE {}",
        of("weather-00003", 11)
    ));
    let (code, outcome) = room.outcome(&["fleet"], &[]);
    assert_eq!(code, Some(1));
    let named: Vec<(&str, &str, Option<u64>)> = outcome["named"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|one| {
            let text = |name: &str| one[name].as_str().expect("text");
            (text("kind"), text("device"), one["row"].as_u64())
        })
        .collect();
    let mut sorted = named.clone();
    sorted.sort_unstable();
    let expected = [
        ("different", "vehicle-00001", Some(5)),
        ("different", "weather-00003", Some(11)),
        ("duplicate", "factory-00002", Some(7)),
        ("invented", "factory-00002", Some(900)),
        ("lost", "greenhouse-00000", Some(3)),
    ];
    assert_eq!(sorted, expected, "{outcome}");
    assert_eq!(outcome["differences"], 5);
    let text = room.audit(&["fleet"], &[]);
    assert_eq!(text.code, Some(1));
    assert!(text.stdout.contains("temperature was"), "{}", text.stdout);
    // Of many, the first 20 are named.
    room.sql("DELETE FROM _vehicle");
    let (code, outcome) = room.outcome(&["fleet"], &[]);
    assert_eq!((code, outcome["named"].as_array().map(Vec::len)), (Some(1), Some(20)));
    assert_eq!((&outcome["differences"], &outcome["kinds"]["lost"]), (&29.into(), &26.into()));
    assert!(room.audit(&["fleet"], &[]).stdout.contains("... and 9 more"));
}

#[test]
fn an_audit_that_can_not_be_done_is_no_difference() {
    let room = Room::new();
    let collector = Collector::start(&room.data());
    room.send(&collector, "gh-7", "good", "a=1");
    std::fs::write(room.journal("garbage"), "no journal\n").expect("a file");
    std::fs::write(room.journal("empty"), "").expect("a file");
    let good = std::fs::read_to_string(room.journal("good")).expect("a journal");
    let middle = good.replacen("\"what\":\"boot\"", "\"what\":\"boo", 1);
    std::fs::write(room.journal("middle"), middle).expect("a file");
    std::fs::write(room.journal("newer"), good.replace("\"version\":1", "\"version\":2"))
        .expect("a file");
    for journal in ["none", "garbage", "middle", "newer"] {
        let outcome = room.audit(&[journal], &[]);
        assert_eq!((outcome.code, &*outcome.stdout), (Some(2), ""), "{journal}: {outcome:#?}");
        assert!(outcome.stderr.contains(journal), "{}", outcome.stderr);
    }
    assert_eq!(room.audit(&[], &[]).code, Some(2), "without a journal");
    let nowhere = room.journal("nowhere");
    let outcome =
        run(senda(["audit", "--data"]).arg(&nowhere).arg("--journal").arg(room.journal("good")));
    assert_eq!(outcome.code, Some(2), "{outcome:#?}");
    assert_eq!(room.audit(&["good", "empty"], &[]).code, Some(0));
}

/// What was neither acknowledged nor stored went down with its process, which is a difference for those who ask.
#[test]
fn what_is_pending_is_counted_and_a_difference_only_where_all_has_to_be_there() {
    let room = Room::new();
    let mut collector = Collector::start(&room.data());
    room.send(&collector, "gh-7", "journal", "a=1");
    collector.crash();
    let mut command = senda(["send", "--device", "gh-7", "--timeout", "1s", "a=2"]);
    command.arg(format!("--udp={}", collector.udp)).arg("--journal").arg(room.journal("journal"));
    assert_eq!(run(command.env("XDG_STATE_HOME", room.0.path())).code, Some(1));
    let (code, outcome) = room.outcome(&["journal"], &[]);
    assert_eq!((code, &outcome["made"], &outcome["pending"]), (Some(0), &2.into(), &1.into()));
    let (code, outcome) = room.outcome(&["journal"], &["--complete"]);
    assert_eq!((code, &outcome["kinds"]["missing"]), (Some(1), &1.into()), "{outcome}");
    collector.restart();
    // The same command again is the same row again: made twice, and one row.
    room.send(&collector, "gh-7", "journal", "a=2");
    let (code, outcome) = room.outcome(&["journal"], &["--complete"]);
    assert_eq!((code, &outcome["made"], &outcome["stored"]), (Some(0), &2.into(), &2.into()));
}

#[test]
fn a_line_that_a_killed_process_left_torn_is_left_out_and_said() {
    let room = Room::new();
    let collector = Collector::start(&room.data());
    room.send(&collector, "gh-7", "journal", "a=1");
    let mut file =
        OpenOptions::new().append(true).open(room.journal("journal")).expect("a journal");
    file.write_all(b"{\"what\":\"row\",\"device\":\"gh-").expect("half a line");
    let (code, outcome) = room.outcome(&["journal"], &[]);
    assert_eq!((code, &outcome["journals"][0]["torn"]), (Some(0), &1.into()), "{outcome}");
    assert!(room.audit(&["journal"], &[]).stdout.contains("1 torn line left out"));
    room.send(&collector, "gh-7", "journal", "a=2");
    let (code, outcome) = room.outcome(&["journal"], &["--complete"]);
    assert_eq!((code, &outcome["journals"][0]["torn"]), (Some(0), &1.into()), "{outcome}");
    assert_eq!((&outcome["made"], &outcome["stored"]), (&2.into(), &2.into()));
}

#[test]
fn all_journals_of_a_device_together_have_all_its_rows() {
    let room = Room::new();
    let collector = Collector::start(&room.data());
    room.send(&collector, "gh-7", "one", "a=1");
    room.send(&collector, "gh-7", "two", "a=2");
    room.send(&collector, "gh-8", "three", "a=3"); // A device that is in no other journal.
    let (code, outcome) = room.outcome(&["one"], &[]);
    assert_eq!((code, &outcome["kinds"]["invented"]), (Some(1), &1.into()), "{outcome}");
    assert_eq!(room.outcome(&["one", "two"], &["--complete"]).0, Some(0));
    assert_eq!(room.outcome(&["one", "two", "three"], &["--complete"]).0, Some(0));
}

#[test]
fn a_journal_of_another_collector_loses_every_row() {
    let (here, there) = (Room::new(), Room::new());
    let collector = Collector::start(&here.data());
    here.fleet(&format!("--tcp={}", collector.tcp), &[]);
    let other = Collector::start(&there.data());
    there.send(&other, "gh-7", "own", "a=1");
    std::fs::copy(here.journal("fleet"), there.journal("fleet")).expect("a copy");
    let (code, outcome) = there.outcome(&["fleet"], &[]);
    assert_eq!((code, &outcome["kinds"]["lost"]), (Some(1), &100.into()), "{outcome}");
}

/// Whatever a value is: the journal and the store have the same bits.
#[test]
fn real_input_of_every_type_is_audited_clean() {
    let room = Room::new();
    let collector = Collector::start(&room.data());
    let file = room.journal("values.csv");
    let lines = "time,big,small,ratio,word\n\
                 2026-01-01T00:00:00Z,18446744073709551615,-9223372036854775808,0.1,grün\n\
                 2026-01-01T00:00:01Z,9223372036854775808,-1,1e300,\"a,b\"\n";
    std::fs::write(&file, lines).expect("a file");
    let mut command = senda(["sense", "--from", "csv", "--speed", "max", "--device", "gh-7"]);
    command.args(["--type", "big=u64", "--type", "small=i64", "--type", "ratio=f64"]);
    command.arg(format!("--tcp={}", collector.tcp)).arg("--journal").arg(room.journal("journal"));
    run(command.arg(&file)).succeeded();
    let (code, outcome) = room.outcome(&["journal"], &["--complete"]);
    assert_eq!((code, &outcome["stored"]), (Some(0), &2.into()), "{outcome}");
    assert_eq!(ledger(&collector)["ledger"]["counts"], 1, "the ledger went before the goodbye");
}

/// Spec §7.9, through `senda proxy`, which keeps its own count.
#[test]
fn the_ledger_closes_behind_a_forwarder_that_counts_what_it_loses() {
    for seed in ["13", "14", "15"] {
        let room = Room::new();
        let collector = Collector::start(&room.data());
        let bad = ["--udp", "--seed", seed, "--loss", "20%", "--dup", "10%", "--reorder", "10%"];
        let mut proxy = Proxy::start(collector.udp, &bad);
        room.fleet(&format!("--udp={}", proxy.udp()), &[]);
        let (_, counts) = proxy.stop(Signal::TERM);
        let total = ledger(&collector);
        for (name, count) in [("made", 100), ("stored", 100), ("pending", 0), ("unexplained", 0)] {
            assert_eq!(total["ledger"][name], count, "{name}: {total}");
        }
        assert!(counts["udp"]["up"]["lost"].as_u64() > Some(0), "{counts}");
        assert_eq!(room.outcome(&["fleet"], &["--complete"]).0, Some(0), "seed {seed}");
        let text = run(senda(["devices", "--ledger"]).arg(format!("--http={}", collector.http)));
        let text = text.succeeded().stdout;
        assert!(
            text.contains("100 made = 100 stored + 0 refused + 0 given up + 0 pending"),
            "{text}"
        );
        let devices = run(senda(["devices"]).arg(format!("--http={}", collector.http)));
        let devices = devices.succeeded().stdout;
        assert!(devices.lines().all(|line| line.chars().count() <= 80), "{devices}");
    }
}

fn ledger(collector: &Collector) -> Value {
    let mut command = senda(["devices", "--ledger", "--format", "json"]);
    let outcome = run(command.arg(format!("--http={}", collector.http))).succeeded();
    serde_json::from_str(&outcome.stdout).expect("JSON")
}
