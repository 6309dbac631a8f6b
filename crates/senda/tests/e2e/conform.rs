//! `senda conform`: what is right passes, and what is wrong in one way fails on the label that is meant.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::c_client;
use crate::processes::{Collector, Outcome, run, senda};

/// Device programs that have to pass, over both transports: each one line. `{transport}` and `{address}` are the kit's.
fn device_programs() -> Vec<(&'static str, Vec<String>)> {
    let senda = env!("CARGO_BIN_EXE_senda");
    let python = path("clients/python/example.py");
    let c = c_client::program().to_str().expect("text");
    vec![
        ("Rust", words(&[senda, "simulate --devices 1 --interval 100ms --{transport}={address}"])),
        (
            "Python",
            words(&["python3", &python, "--{transport} {address} --interval 0.1 --count 1000000"]),
        ),
        ("C", words(&[c, "--{transport} {address} --interval 100 --count 1000000"])),
    ]
}

#[test]
fn our_device_programs_pass_over_both_transports() {
    std::thread::scope(|scope| {
        for (name, program) in device_programs() {
            scope.spawn(move || {
                let verdicts = judge(&["device", "--jobs", "30", "--"], &program);
                verdicts.assert_pass(name);
                // Most of what binds a device is shown, over both transports.
                assert!(
                    verdicts.tally["hold"].as_u64() >= Some(40),
                    "{name}: {:?}",
                    verdicts.tally
                );
                assert_eq!(verdicts.lines["2.3b"]["transports"], serde_json::json!(["tcp", "udp"]));
            });
        }
    });
}

#[test]
fn our_collector_passes_with_kills_and_restarts_over_both_transports() {
    let room = TempDir::new().expect("a directory");
    let config = room.path().join("senda.toml");
    std::fs::write(
        &config,
        "[[desired]]\ndevice = \"conform-*\"\nrevision = 3\ninterval = \"200ms\"\n",
    )
    .expect("a file");
    let senda = env!("CARGO_BIN_EXE_senda");
    let stored =
        format!("{senda} query --data {{state}} --device {{device}} --format json | wc -l");
    let serve = "serve --tcp={tcp} --udp={udp} --http=off --data {state} --config";
    let program = words(&[senda, serve, config.to_str().expect("text")]);
    let verdicts = judge(&["collector", "--stored", &stored, "--"], &program);
    verdicts.assert_pass("senda serve");
    assert!(verdicts.tally["hold"].as_u64() >= Some(59), "{:?}", verdicts.tally);
    // These are not shown by every run, and are by this one.
    for label in ["2.1a", "5.5a", "6.6c", "7.1b", "7.7a", "7.7c", "10.2a"] {
        assert_eq!(verdicts.of(label), "holds", "{label}");
    }
}

#[test]
fn a_device_that_is_wrong_in_one_way_fails_on_that_label() {
    let faults = [
        ("constant-stream", "udp", "2.3a"),
        ("half-a-stream", "tcp", "2.3a"),
        ("new-nonce", "udp", "5.2a"),
        ("skips-numbers", "tcp", "2.3b"),
        ("reuses-numbers", "udp", "2.3b"),
        ("impatient", "udp", "6.3a"),
        ("impatient", "udp", "7.5a"),
        ("impatient-after-nack", "tcp", "7.6a"),
        ("impatient-after-close", "udp", "8.3a"),
        ("believes-damage", "udp", "3.4b"),
        ("believes-damage", "tcp", "3.6a"),
        ("believes-foreign-answers", "udp", "5.2b"),
        ("obeys-foreign-closes", "tcp", "6.6d"),
        ("believes-any-ack", "udp", "5.13b"),
        ("ignores-the-window", "udp", "8.1b"),
        ("silent-when-idle", "tcp", "6.6a"),
        ("keeps-the-stream", "udp", "6.7a"),
        ("never-skips", "tcp", "6.4b"),
        ("resends-refused-rows", "udp", "7.6d"),
        ("other-token", "udp", "5.23a"),
        ("other-flags", "tcp", "3.2a"),
        ("long-bodies", "tcp", "5a"),
        ("applies-anything", "udp", "5.16a"),
        ("does-it-twice", "tcp", "7.7b"),
        ("answers-the-unknown", "udp", "5.25b"),
    ];
    let script = path("crates/senda/tests/e2e/wrong/device.py");
    let clients = path("clients/python");
    in_parallel(&faults, |(fault, transport, label)| {
        let over = format!("--{transport}");
        let arguments = ["device", &over, "--only", label, "--patience", "8s", "--"];
        let program = words(&["python3", &script, &clients, fault, "{transport} {address}"]);
        judge(&arguments, &program).assert_fails(fault, label);
    });
}

#[test]
fn a_collector_that_is_wrong_in_one_way_fails_on_that_label() {
    let room = TempDir::new().expect("a directory");
    let right = Collector::start(room.path());
    let faults = [
        ("changes-welcome", "tcp", "5.3a"),
        ("changes-welcome", "udp", "5.3a"),
        ("talks-long", "udp", "6.6b"),
        ("talks-long", "udp", "9.2a"),
        ("other-token", "tcp", "5.23a"),
        ("answers-noise", "udp", "3.4b"),
        ("acks-the-unknown", "udp", "5.4b"),
        ("refuses-late", "tcp", "5.7c"),
        ("acks-over-gaps", "udp", "5.13a"),
        ("answers-closes", "udp", "5.6a"),
        ("other-flags", "tcp", "3.2a"),
        ("speaks-two", "tcp", "3.5a"),
        ("cookies-for-all", "udp", "9.1b"),
        ("amplifies", "udp", "9.2a"),
        ("long-retry", "udp", "5.2c"),
        ("keeps-the-older", "udp", "6.4c"),
        ("refuses-silently", "tcp", "4.3b"),
        ("long-bodies", "tcp", "5a"),
    ];
    let labels: Vec<&str> = faults.iter().map(|(_, _, label)| *label).collect();
    let only: Vec<&str> = labels.iter().flat_map(|label| ["--only", label]).collect();
    // Without a fault nothing fails: it is not the proxy that is found wrong.
    let proxy = WrongCollector::start("none", &right);
    let mut arguments = vec!["collector", "--tcp", &proxy.tcp, "--udp", &proxy.udp];
    arguments.extend(&only);
    judge(&arguments, &[]).assert_pass("a proxy that changes nothing");
    in_parallel(&faults, |(fault, transport, label)| {
        let proxy = WrongCollector::start(fault, &right);
        let (over, address) = match *transport {
            "tcp" => ("--tcp", &proxy.tcp),
            _ => ("--udp", &proxy.udp),
        };
        let arguments = ["collector", over, address, "--only", label, "--patience", "6s"];
        judge(&arguments, &[]).assert_fails(fault, label);
    });
}

#[test]
fn a_collector_that_forgets_what_it_acknowledged_fails_on_that_label() {
    let senda = env!("CARGO_BIN_EXE_senda");
    let forget = format!(
        "rm -rf {{state}}/data; exec {senda} serve --tcp={{tcp}} --udp={{udp}} --http=off --data {{state}}/data"
    );
    let arguments = ["collector", "--only", "7.1b", "--only", "5.5a", "--patience", "5s", "--"];
    let verdicts =
        judge(&arguments, &words(&["sh", "-c"]).into_iter().chain([forget]).collect::<Vec<_>>());
    verdicts.assert_fails("forgets", "7.1b");
    verdicts.assert_fails("forgets", "5.5a");
}

#[test]
fn every_label_of_the_specification_is_in_the_table_with_a_verdict_or_a_reason() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let specification = std::fs::read_to_string(path("spec/senda-1.md")).expect("a file");
    let labels: Vec<&str> =
        specification.split("**[").skip(2).filter_map(|rest| rest.split("]**").next()).collect();
    let address = collector.udp.to_string();
    let table = run(&mut senda(["conform", "collector", "--udp", &address])).succeeded().stdout;
    let (lines, rest) = table.split_once("\n\nNot exercised:\n").expect("two parts");
    let shown: Vec<&str> = lines.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(shown, labels);
    for line in lines.lines().filter(|line| line.contains("not exercised")) {
        let label = line.split(' ').next().expect("a label");
        assert!(rest.contains(&format!("  [{label}] ")), "{label} without a reason in {rest}");
    }
    let last = table.lines().last().expect("a line");
    assert!(last.starts_with("collector: ") && last.contains(" hold, 0 fail, "), "{last}");
}

#[test]
fn what_can_not_be_judged_is_said_in_one_line_and_is_no_verdict() {
    let outcome =
        run(&mut senda(["conform", "collector", "--udp", "127.0.0.1:9", "--only", "99.9z"]));
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("no requirement 99.9z"), "{outcome:?}");
    let outcome = run(&mut senda(["conform", "collector"]));
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let outcome = run(&mut senda(["conform", "device", "--", "no-such-program"]));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("no-such-program"), "{outcome:?}");
    // It runs, and says nothing.
    let outcome =
        run(&mut senda(["conform", "device", "--udp", "--", "sh", "-c", "echo sorry >&2; exit 3"]));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome.stderr.contains("without a word") && outcome.stderr.contains("sorry"),
        "{outcome:?}"
    );
    let silent = ["conform", "collector", "--udp", "127.0.0.1:9", "--patience", "200ms"];
    let outcome = run(&mut senda(silent));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("no collector answers at udp 127.0.0.1:9"), "{outcome:?}");
}

/// A proxy in front of a right collector. It does not outlive this value.
struct WrongCollector {
    child: Child,
    tcp: String,
    udp: String,
}

impl WrongCollector {
    fn start(fault: &str, right: &Collector) -> Self {
        let script = path("crates/senda/tests/e2e/wrong/collector.py");
        let (tcp, udp) = (right.tcp.to_string(), right.udp.to_string());
        let mut command = Command::new("python3");
        command.args([&script, fault, &tcp, &udp]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("text");
        let address = |name: &str| {
            let word = line.split_whitespace().find_map(|word| word.strip_prefix(name));
            word.unwrap_or_else(|| panic!("{fault}: {line:?}")).to_owned()
        };
        Self { tcp: address("tcp="), udp: address("udp="), child }
    }
}

impl Drop for WrongCollector {
    fn drop(&mut self) {
        // Either fails only for a child that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `senda conform --format json` said.
struct Verdicts {
    outcome: Outcome,
    lines: BTreeMap<String, Value>,
    tally: Value,
}

fn judge(arguments: &[&str], program: &[String]) -> Verdicts {
    let (role, rest) = arguments.split_first().expect("a role");
    let mut command = senda(["conform", role, "--format", "json"]);
    let outcome = run(command.args(rest).args(program));
    let mut lines = BTreeMap::new();
    let mut tally = Value::Null;
    for line in outcome.stdout.lines() {
        let line: Value = serde_json::from_str(line).expect("an object a line");
        match line["label"].as_str() {
            Some(label) => drop(lines.insert(label.to_owned(), line)),
            None => tally = line,
        }
    }
    assert!(!tally.is_null(), "{outcome:?}");
    Verdicts { outcome, lines, tally }
}

impl Verdicts {
    fn of(&self, label: &str) -> &str {
        self.lines[label]["verdict"].as_str().expect("text")
    }

    #[track_caller]
    fn assert_pass(&self, what: &str) {
        let failed: Vec<&Value> =
            self.lines.values().filter(|line| line["verdict"] == "fails").collect();
        assert!(failed.is_empty(), "{what}: {failed:#?}");
        assert_eq!(self.outcome.code, Some(0), "{what}: {:?}", self.tally);
    }

    #[track_caller]
    fn assert_fails(&self, what: &str, label: &str) {
        assert_eq!(self.of(label), "fails", "{what} on {label}: {}", self.lines[label]);
        assert_eq!(self.outcome.code, Some(1), "{what}");
        let failure = &self.lines[label]["failures"][0];
        assert!(failure["expected"].is_string() && failure["came"].is_string(), "{failure}");
    }
}

/// The words of a command line; none of them has a blank of its own but where it is a path.
fn words(parts: &[&str]) -> Vec<String> {
    let split = |part: &&str| -> Vec<String> {
        if part.starts_with('/') {
            return vec![(*part).to_owned()];
        }
        part.split(' ').map(str::to_owned).collect()
    };
    parts.iter().flat_map(split).collect()
}

fn path(of: &str) -> String {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(of);
    root.canonicalize().expect("a file").to_str().expect("text").to_owned()
}

/// A few at a time: each one starts processes.
fn in_parallel<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    for some in cases.chunks(25) {
        std::thread::scope(|scope| {
            for case in some {
                scope.spawn(|| check(case));
            }
        });
    }
}
