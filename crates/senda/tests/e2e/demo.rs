//! `senda demo`: the first thing that anybody runs.

#![expect(clippy::print_stderr, reason = "a check that is left out says so")]

use std::process::Command;

use tempfile::TempDir;

use crate::processes::{run, senda};
use crate::store;

#[test]
fn the_demo_stores_every_value_type_over_both_transports() {
    let room = TempDir::new().expect("a directory");
    let mut command = senda(["demo", "--duration", "3s", "--data"]);
    let outcome = run(command.arg(room.path())).succeeded();
    let first = outcome.stdout.lines().next().unwrap_or_default();
    for part in ["listening ", " tcp=127.0.0.1:", " udp=127.0.0.1:", " data="] {
        assert!(first.contains(part), "{first}");
    }
    assert!(outcome.stdout.contains("in the store"), "{}", outcome.stdout);
    let types = store::number(room.path(), "SELECT count(DISTINCT type) FROM channels");
    assert_eq!(types, 15, "value types of spec §4.3");
    for transport in ["tcp", "udp"] {
        let select = format!(
            "SELECT count(*) FROM readings WHERE device IN \
             (SELECT name FROM devices WHERE transport = '{transport}')"
        );
        assert!(store::number(room.path(), &select) > 0, "over {transport}");
    }
    assert!(!store::rows_exactly_once(room.path()).is_empty());
    let file = room.path().join("senda.db");
    let ask = |select: &str| run(Command::new("sqlite3").arg(&file).arg(select)).succeeded().stdout;
    if is_there("sqlite3") {
        assert_eq!(ask("select * from readings limit 1").lines().count(), 1);
        let line = ask("select device, utc, temperature from greenhouse limit 1");
        assert!(line.starts_with("greenhouse-"), "{line}");
    }
}

/// True when a program is installed; in CI it has to be.
fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    assert!(there || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "install {program}");
    if !there {
        eprintln!("{program} is not installed: what it would show is not checked");
    }
    there
}
