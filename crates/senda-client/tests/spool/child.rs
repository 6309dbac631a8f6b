//! A real directory, and a real process that is killed.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use senda_client::SkipCause;
use senda_client::spool::{
    Directory, Entry, Options, Record, Skip, Spool, SpoolError, Storage, Sync,
};

use crate::{ALL, DESCRIPTION, SMALL, record, rows};

const OPTIONS: Options = Options { sync: Sync::Caller, ..SMALL };
/// Where the child's spool is. Set in the child alone.
const CHILD_DIR: &str = "SENDA_TEST_SPOOL";
const ROUNDS: u64 = 12;

#[test]
fn what_a_killed_process_appended_is_there() {
    if let Some(path) = std::env::var_os(CHILD_DIR) {
        append_for_ever(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=ROUNDS {
        let last = run_and_kill(dir.path(), usize::try_from(1 + round * 61 % 400).unwrap());
        let (mut spool, recovered) =
            Spool::open(Directory::open(dir.path()).unwrap(), OPTIONS).unwrap();
        assert_eq!(recovered.boot, u32::try_from(round + 1).unwrap(), "what only reads is no boot");
        let known = spool.stream(round).unwrap();
        assert!(known.next_row > last, "{} rows of {last} that were told", known.next_row);
        let mut at = 0;
        for entry in spool.read(round, 0, ALL).unwrap() {
            assert_eq!(entry.rows().0, at);
            at = entry.rows().1;
            match entry {
                Entry::Row(row) => assert_eq!(row, record(round, row.row, 60)),
                Entry::Skipped(Skip { cause: SkipCause::Overflow, .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(at, known.next_row);
    }
}

/// Starts this test again as a process of its own, and kills it when it has told of so many rows. Returns the last one.
fn run_and_kill(path: &Path, lines: usize) -> u32 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child::what_a_killed_process_appended_is_there", "--exact", "--nocapture"])
        .env(CHILD_DIR, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut told =
        told.filter_map(|line| line.strip_prefix("row ")?.strip_suffix('.')?.parse().ok());
    let mut last = told.by_ref().nth(lines - 1);
    child.kill().unwrap(); // SIGKILL.
    child.wait().unwrap();
    last = told.last().or(last); // What it said before it died.
    last.expect("the child appends")
}

fn append_for_ever(path: &Path) -> ! {
    let (mut spool, recovered) = Spool::open(Directory::open(path).unwrap(), OPTIONS).unwrap();
    let stream = u64::from(recovered.boot);
    spool.describe(stream, 0, DESCRIPTION).unwrap();
    for row in 0.. {
        let _ = spool.append(&[record(stream, row, 60)]).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "row {row}.").and_then(|()| out.flush()).unwrap();
    }
    unreachable!("rows have no end")
}

#[test]
fn one_process_has_the_directory_at_a_time_and_nobody_else_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/spool");
    let first = Directory::open(&path).unwrap();
    assert!(
        matches!(Directory::open(&path), Err(SpoolError::Locked { path: told }) if told == path)
    );
    drop(first);
    let (mut spool, _) = Spool::open(Directory::open(&path).unwrap(), SMALL).unwrap();
    spool.describe(1, 0, DESCRIPTION).unwrap();
    let _ = spool.append(&[record(1, 0, 10)]).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("00000001.spool"))), (0o700, 0o600));
}

#[test]
fn a_path_that_is_no_directory_is_told_with_its_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for path in [file.path().to_owned(), file.path().join("below")] {
        let told = Directory::open(&path).unwrap_err();
        assert!(matches!(&told, SpoolError::Directory { path: named, .. } if *named == path));
        assert!(told.to_string().contains(path.to_str().unwrap()));
    }
}

#[test]
fn a_real_directory_does_what_the_trait_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Directory::open(dir.path()).unwrap();
    files.append("a", b"12345").unwrap();
    files.append("b", b"x").unwrap();
    files.append("a", b"67").unwrap();
    files.sync("a").unwrap();
    assert_eq!(files.list().unwrap(), ["a", "b", "lock"]);
    assert_eq!(files.read("a").unwrap(), b"1234567");
    for (offset, len, expected) in [(0, 3, "123"), (5, 9, "67"), (7, 1, ""), (99, 1, "")] {
        assert_eq!(files.read_at("a", offset, len).unwrap(), expected.as_bytes());
    }
    files.remove("a").unwrap();
    assert!(
        files.remove("a").is_err() && files.read("a").is_err() && files.read_at("a", 0, 1).is_err()
    );
    files.append("a", b"new").unwrap();
    assert_eq!(files.read_at("a", 0, 9).unwrap(), b"new");
}

#[test]
fn a_spool_in_a_real_directory_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for boot in 0..3_u64 {
        let (mut spool, recovered) =
            Spool::open(Directory::open(dir.path()).unwrap(), SMALL).unwrap();
        assert!(recovered.damage.is_empty());
        assert_eq!(recovered.streams.len() as u64, boot);
        for stream in 0..boot {
            assert_eq!(rows(&mut spool, stream, 10), (0..100).collect::<Vec<_>>());
        }
        spool.describe(boot, 0, DESCRIPTION).unwrap();
        let group: Vec<Record> = (0..100).map(|row| record(boot, row, 10)).collect();
        for group in group.chunks(30) {
            let _ = spool.append(group).unwrap();
        }
    }
}
