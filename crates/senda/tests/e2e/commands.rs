//! What the other subcommands print, and their exit codes.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::fleets::{figures, simulate};
use crate::processes::{Collector, run, senda, wait_for};
use crate::{store, vectors};

#[test]
fn decode_judges_the_vectors_of_sessions_and_names_the_section() {
    let cases = vectors::read("session.toml");
    assert!(cases.iter().any(|case| case.valid) && cases.iter().any(|case| !case.valid));
    for case in cases {
        let outcome = run(&mut senda(["decode", case.hex()]));
        let expected = if case.valid { 0 } else { 1 };
        assert_eq!(outcome.code, Some(expected), "{case:?} {outcome:#?}");
        assert!(outcome.stdout.contains(", §5."), "{case:?} {outcome:#?}");
        assert!(outcome.stdout.starts_with(&case.kind), "{case:?} {outcome:#?}");
    }
}

#[test]
fn decode_names_the_check_that_a_damaged_message_fails() {
    for case in vectors::read("framing.toml") {
        // Bytes may follow those that `decode` was given: what is cut is incomplete, as on TCP.
        let said = match &*case.error {
            "bad_length" => ["bad_length", "incomplete"],
            error @ ("incomplete" | "bad_magic" | "bad_trailer" | "bad_crc") => [error; 2],
            _ => continue,
        };
        if case.hex().is_empty() {
            continue; // No message at all.
        }
        let outcome = run(&mut senda(["decode", case.hex()]));
        assert_eq!(outcome.code, Some(1), "{case:?} {outcome:#?}");
        let says = |name: &&str| outcome.stdout.contains(&format!("({name}, §3."));
        assert!(said.iter().any(says), "{case:?} {outcome:#?}");
    }
}

#[test]
fn a_command_that_is_wrong_in_itself_exits_with_2() {
    let wrong: [&[&str]; 10] = [
        &[],
        &["colect"],
        &["serve", "--prot=1"],
        &["decode"],
        &["decode", "a1 0g"],
        &["simulate", "--loss", "120%"],
        &["simulate", "--tcp", "--loss", "10%"],
        &["simulate", "--tcp", "--rate", "100kbit"],
        &["simulate", "--udp=nowhere", "--count", "1"],
        &["query", "--since", "yesterday"],
    ];
    for arguments in wrong {
        let outcome = run(&mut senda(arguments));
        assert_eq!(outcome.code, Some(2), "{arguments:?} {outcome:#?}");
        assert!(!outcome.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_unknown_key_of_the_config_file_is_refused_with_a_suggestion() {
    let room = TempDir::new().expect("a directory");
    let config = room.path().join("senda.toml");
    std::fs::write(&config, "[limits]\nsesions = 5\n").expect("a file");
    let outcome = run(senda(["serve", "--config"]).arg(&config).arg("--data").arg(room.path()));
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stderr.contains("did you mean `sessions`?"), "{outcome:#?}");
    assert!(outcome.stderr.contains("line 2"), "{outcome:#?}");
}

#[test]
fn a_second_collector_on_the_same_data_is_refused_and_the_first_goes_on() {
    let room = TempDir::new().expect("a directory");
    let mut first = Collector::start(room.path());
    let anywhere = ["--tcp=127.0.0.1:0", "--udp=127.0.0.1:0", "--http=127.0.0.1:0"];
    let outcome = run(senda(["serve"]).args(anywhere).arg("--data").arg(room.path()));
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stderr.contains("in use by another collector"), "{outcome:#?}");
    assert!(outcome.stderr.contains(&room.path().display().to_string()), "which: {outcome:#?}");
    assert!(first.is_alive());
    figures(simulate(&[format!("--udp={}", first.udp)]).args(["--devices", "1", "--count", "1"]));
}

/// Spec §10.2a.
#[test]
fn a_collector_listens_beyond_loopback_only_when_told_that_this_is_meant() {
    let room = TempDir::new().expect("a directory");
    for address in ["--tcp=0.0.0.0:0", "--udp=0.0.0.0:0", "--tcp=[::]:0"] {
        let outcome = run(senda(["serve", address, "--http=off", "--data"]).arg(room.path()));
        assert_eq!(outcome.code, Some(1), "{outcome:#?}");
        assert!(outcome.stderr.contains("--open-to-network"), "{outcome:#?}");
        assert!(outcome.stdout.is_empty(), "{outcome:#?}");
    }
    let mut command = senda(["serve", "--udp=0.0.0.0:0", "--http=off", "--open-to-network"]);
    let mut child = crate::processes::Running::start(command.arg("--data").arg(room.path()));
    wait_for("database", || room.path().join("senda.db").exists().then_some(()));
    assert!(child.is_running());
}

#[test]
fn a_backup_of_a_running_collector_can_be_queried() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let fleet = ["--devices", "4", "--interval", "5ms", "--count", "25"];
    figures(simulate(&[format!("--tcp={}", collector.tcp)]).args(fleet));
    let copy = TempDir::new().expect("a directory");
    let file = copy.path().join("senda.db");
    let backup = || run(senda(["backup"]).arg(&file).arg("--data").arg(room.path()));
    backup().succeeded();
    assert_eq!(store::samples(copy.path(), 1_000).len(), 100, "filed or not");
    let again = backup();
    assert_eq!(again.code, Some(1), "nothing is overwritten: {again:#?}");
    // A copy that a collector can go on with.
    let successor = Collector::start(copy.path());
    figures(simulate(&[format!("--udp={}", successor.udp)]).args(fleet));
    assert!(successor.stop().success());
    assert_eq!(store::rows_exactly_once(copy.path()).values().sum::<u64>(), 200);
    assert_eq!(store::samples(room.path(), 1_000).len(), 100, "the original is what it was");
}

#[test]
fn a_query_of_no_store_says_so() {
    let room = TempDir::new().expect("a directory");
    let nowhere = room.path().join("nowhere");
    let outcome = run(senda(["query", "--data"]).arg(&nowhere));
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stderr.contains(&nowhere.display().to_string()), "{outcome:#?}");
}

#[test]
fn completions_for_bash_complete_senda() {
    let outcome = run(&mut senda(["completions", "bash"])).succeeded();
    assert!(outcome.stdout.contains("complete -F _senda"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("simulate"), "{}", outcome.stdout);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let fleet = ["--devices", "20", "--interval", "2ms", "--count", "50"];
    figures(simulate(&[format!("--tcp={}", collector.tcp)]).args(fleet));
    // A thousand samples are more than a pipe holds.
    let mut command = senda(["query", "--data"]);
    command.arg(room.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    stdout.read_line(&mut line).expect("text");
    drop(stdout);
    let output = child.wait_with_output().expect("a child of ours");
    assert!(!line.is_empty());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// Each TCP connection takes one; the soft limit is 1,024 nearly everywhere.
#[test]
fn a_collector_takes_as_many_file_descriptors_as_it_may_have() {
    let room = TempDir::new().expect("a directory");
    let few = "ulimit -Sn 512; exec \"$0\" \"$@\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", few, env!("CARGO_BIN_EXE_senda"), "serve", "--tcp=127.0.0.1:0"]);
    command.args(["--http=off", "--data"]).arg(room.path());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("a shell");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("text");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id()));
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
    let limits = limits.expect("Linux tells");
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let mut words = limit.expect("a limit").split_whitespace();
    let (soft, hard) = (words.next(), words.next());
    assert!(line.starts_with("listening") && soft == hard && soft != Some("512"), "{limits}");
}
