//! Full disks, failing syncs, second writers, newer and damaged files.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use common::{NOW, SECOND, land, landing, open, open_with, samples};
use senda_store::{
    Fault, FaultHook, OpenError, Options, Outcome, Pressure, Reader, StoreError, What, Writer,
};

type Damage = fn(Vec<u8>) -> Vec<u8>;

fn open_error(dir: &Path) -> OpenError {
    Writer::open(dir, Options::default(), NOW).expect_err("a store that does not open")
}

/// A store with one filed and one landed row.
fn some_store(dir: &Path) {
    let mut writer = open(dir);
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    land(&mut writer, "gh-7", 1, NOW, common::simple_rows(0, NOW, &[1.0]));
    writer.file_all(NOW).unwrap();
    land(&mut writer, "gh-7", 1, NOW, common::simple_rows(1, NOW, &[2.0]));
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_and_service_resumes_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let pages = Arc::new(AtomicU32::new(200));
    let fault = FaultHook::with_pages_max(Arc::clone(&pages));
    let mut writer =
        open_with(dir.path(), Options { fault, filing_delay: 0, ..Options::default() });
    assert_eq!(
        land(&mut writer, "gh-7", 1, NOW, common::declare_simple()).outcome,
        Outcome::Stored
    );
    let mut now = NOW;
    let mut stored = 0u32;
    let rows = |first| common::simple_rows(first, NOW + i64::from(first), &[f64::from(first); 500]);
    let failed = loop {
        now += SECOND;
        let verdict = land(&mut writer, "gh-7", 1, now, rows(stored));
        match verdict.outcome {
            Outcome::Stored => stored += 500,
            other => break other,
        }
        let _ = writer.file(now, 100);
        assert!(stored < 1_000_000, "the disk never fills");
    };
    assert!(matches!(&failed, Outcome::Failed(cause) if cause.contains("full")), "{failed:?}");
    assert_eq!(writer.pressure(now), Some(Pressure::Recovering));
    // While it is full, what was acknowledged is there, and nothing else is taken.
    now += 10 * SECOND;
    assert!(matches!(land(&mut writer, "gh-7", 1, now, rows(stored)).outcome, Outcome::Failed(_)));
    assert_eq!(samples(dir.path()).len(), stored as usize);
    // There is space again: the same writer goes on.
    pages.store(100_000, Ordering::Relaxed);
    now += 10 * SECOND;
    let verdict = land(&mut writer, "gh-7", 1, now, rows(stored));
    assert_eq!((verdict.outcome, verdict.next_row), (Outcome::Stored, stored + 500));
    assert_eq!(writer.failure(), None);
    writer.file_all(now).unwrap();
    assert_eq!(samples(dir.path()).len(), stored as usize + 500);
}

#[test]
fn nothing_counts_as_durable_between_a_failed_sync_and_a_whole_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (sync_fails, checkpoint_fails) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (sync, checkpoint) = (Arc::clone(&sync_fails), Arc::clone(&checkpoint_fails));
    let fault = FaultHook::new(move |fault| match fault {
        Fault::LandSync => sync.load(Ordering::Relaxed),
        Fault::Recover => checkpoint.load(Ordering::Relaxed),
        _ => false,
    });
    let mut writer = open_with(dir.path(), Options { fault, ..Options::default() });
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    assert_eq!(
        land(&mut writer, "gh-7", 1, NOW, common::simple_rows(0, NOW, &[1.0])).outcome,
        Outcome::Stored
    );

    sync_fails.store(true, Ordering::Relaxed);
    checkpoint_fails.store(true, Ordering::Relaxed);
    let two = [
        landing("gh-7", 1, NOW, common::simple_rows(1, NOW, &[2.0])),
        landing("gh-7", 1, NOW, common::simple_rows(0, NOW, &[1.0])), // A duplicate.
    ];
    for verdict in writer.land(&two, NOW) {
        assert!(matches!(verdict.outcome, Outcome::Failed(_)));
        assert_eq!((verdict.next_row, verdict.ranges), (0, vec![]));
    }
    sync_fails.store(false, Ordering::Relaxed);
    let mut now = NOW;
    for _ in 0..5 {
        now += 10 * SECOND;
        // Even of a row that was durable before, for the marks are not trusted now. Spec §7.1c.
        let verdict = land(&mut writer, "gh-7", 1, now, common::simple_rows(0, NOW, &[1.0]));
        assert!(matches!(verdict.outcome, Outcome::Failed(_)));
        assert!(matches!(writer.stream("gh-7", 1, now), Err(StoreError::Recovering { .. })));
        assert!(!writer.is_accepting(now));
    }
    checkpoint_fails.store(false, Ordering::Relaxed);
    now += 10 * SECOND;
    let verdict = land(&mut writer, "gh-7", 1, now, common::simple_rows(0, NOW, &[1.0]));
    assert_eq!(verdict.outcome, Outcome::Duplicate);
    assert_eq!(
        fs::metadata(dir.path().join("senda.db-wal")).unwrap().len(),
        0,
        "the log was emptied"
    );
}

#[test]
fn a_failed_commit_takes_its_marks_back() {
    let dir = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let hook = Arc::clone(&fails);
    let fault = FaultHook::new(move |fault| fault == Fault::Land && hook.load(Ordering::Relaxed));
    let mut writer = open_with(dir.path(), Options { fault, ..Options::default() });
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    fails.store(true, Ordering::Relaxed);
    let verdict = land(&mut writer, "gh-7", 1, NOW, common::simple_rows(0, NOW, &[1.0]));
    assert!(matches!(verdict.outcome, Outcome::Failed(_)));
    fails.store(false, Ordering::Relaxed);
    // Spec §7.1d: they were never received, so they are taken when they come again.
    let verdict = land(&mut writer, "gh-7", 1, NOW + SECOND, common::simple_rows(0, NOW, &[1.0]));
    assert_eq!((verdict.outcome, verdict.next_row), (Outcome::Stored, 1));
    assert_eq!(samples(dir.path()).len(), 1);
}

#[test]
fn recovery_waits_between_two_tries_and_a_clock_set_back_does_not_stop_it() {
    let dir = tempfile::tempdir().unwrap();
    let tries = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&tries);
    let fault = FaultHook::new(move |fault| match fault {
        Fault::Recover => count.fetch_add(1, Ordering::Relaxed) < 20,
        other => other == Fault::Land && count.load(Ordering::Relaxed) == 0,
    });
    let mut writer = open_with(dir.path(), Options { fault, ..Options::default() });
    let event = || What::Event { kind: "x".into(), text: String::new() };
    for millisecond in 0..10_000 {
        land(&mut writer, "gh-7", 1, NOW + millisecond * 1_000, event());
    }
    assert!((5..15).contains(&tries.load(Ordering::Relaxed)), "{tries:?}");
    for second in 0..20 {
        land(&mut writer, "gh-7", 1, NOW - 86_400 * SECOND + second * 3 * SECOND, event());
    }
    assert_eq!(writer.failure(), None);
}

#[test]
fn a_failed_slice_of_filing_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(true));
    let hook = Arc::clone(&fails);
    let fault = FaultHook::new(move |fault| fault == Fault::File && hook.load(Ordering::Relaxed));
    let mut writer = open_with(dir.path(), Options { fault, ..Options::default() });
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    land(&mut writer, "gh-7", 1, NOW, common::simple_rows(0, NOW, &[1.0, 2.0]));
    assert!(writer.file_all(NOW).is_err());
    assert_eq!(samples(dir.path()).len(), 2);
    fails.store(false, Ordering::Relaxed);
    writer.file_all(NOW + SECOND).unwrap();
    assert_eq!(common::sql(dir.path(), "select temperature from greenhouse"), "1.0\n2.0");
}

#[test]
fn a_second_writer_is_told_about_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let error = open_error(dir.path());
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("in use by another collector"));
    drop(first);
    open(dir.path());
}

#[test]
fn a_newer_file_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    some_store(dir.path());
    let path = dir.path().join("senda.db");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA user_version = 2; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    drop(conn);
    let before = fs::read(&path).unwrap();
    let error = open_error(dir.path());
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("use a newer program"));
    assert!(matches!(Reader::open(dir.path()), Err(OpenError::Newer { .. })));
    assert!(before == fs::read(&path).unwrap());
}

#[test]
fn a_file_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    rusqlite::Connection::open(dir.path().join("senda.db"))
        .unwrap()
        .execute_batch("CREATE TABLE mine (x)")
        .unwrap();
    assert!(matches!(open_error(dir.path()), OpenError::Foreign { .. }));
    assert!(matches!(Reader::open(dir.path()), Err(OpenError::Foreign { .. })));
}

#[test]
fn a_damaged_file_is_refused_with_what_to_do() {
    let damages: [(&str, Damage); 4] = [
        ("the header is overwritten", |mut bytes| {
            bytes[..64].fill(0x55);
            bytes
        }),
        ("the end is missing", |mut bytes| {
            bytes.truncate(bytes.len() / 2);
            bytes
        }),
        ("a few bytes are left", |mut bytes| {
            bytes.truncate(10);
            bytes
        }),
        ("the schema's page is overwritten", |mut bytes| {
            bytes[100..4_096].fill(0xAA);
            bytes
        }),
    ];
    for (what, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        some_store(dir.path());
        let path = dir.path().join("senda.db");
        let damaged = damage(fs::read(&path).unwrap());
        fs::write(&path, &damaged).unwrap();
        let error = open_error(dir.path());
        assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error:?}");
        assert!(error.to_string().contains("put a backup in its place"), "{error}");
        assert!(fs::read(&path).unwrap() == damaged, "{what}: it was touched");
    }
}

#[test]
fn a_damaged_inbox_is_found_when_the_store_opens() {
    let dir = tempfile::tempdir().unwrap();
    some_store(dir.path());
    let conn = rusqlite::Connection::open(dir.path().join("senda.db")).unwrap();
    conn.execute_batch("UPDATE inbox SET bytes = x'010000'").unwrap();
    drop(conn);
    assert!(matches!(open_error(dir.path()), OpenError::Damaged { .. }));
}

#[test]
fn a_directory_that_can_not_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = open_error(&file.join("data"));
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("file/data"), "{error}");
}

#[test]
fn a_reader_without_a_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = Reader::open(dir.path()).expect_err("nothing to read");
    assert!(matches!(error, OpenError::Missing { .. }), "{error:?}");
}

#[test]
fn an_inbox_beyond_its_limits_stops_accepting() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        Options { inbox_bytes_max: 5_000, inbox_age_max: 60 * SECOND, ..Options::default() };
    let mut writer = open_with(dir.path(), options);
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    assert!(writer.is_accepting(NOW));
    assert_eq!(writer.pressure(NOW + 60 * SECOND), Some(Pressure::InboxAge));
    land(&mut writer, "gh-7", 1, NOW, common::simple_rows(0, NOW, &[1.0; 1_000]));
    assert_eq!(writer.pressure(NOW), Some(Pressure::InboxBytes));
    writer.file_all(NOW).unwrap();
    assert_eq!(writer.pressure(NOW + 60 * SECOND), None);
}

#[test]
fn what_can_not_be_decoded_is_kept_and_does_not_stop_filing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    // A body that a collector would have refused: it ends within its row.
    let body = common::body(0, 3, NOW, &[(0, vec![1, 2, 3])]);
    let broken = What::Rows { first: 0, count: 1, sparse: false, schema: 0, body, refused: vec![] };
    assert_eq!(land(&mut writer, "gh-7", 1, NOW, broken).outcome, Outcome::Stored);
    land(&mut writer, "gh-7", 1, NOW, common::simple_rows(1, NOW, &[1.0]));
    writer.file_all(NOW).unwrap();
    assert_eq!(common::sql(dir.path(), "select temperature from greenhouse"), "1.0");
    assert_eq!(common::sql(dir.path(), "select first, length(bytes) from unreadable"), "0|15");
}
