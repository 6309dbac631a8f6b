//! SQLite and the real store on the virtual disk: log, shared memory, locks, stale connections.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use senda_disk::{Disk, Vfs};
use senda_store::{Landing, Options, Outcome, Query, Reader, What, Writer};
use senda_wire::{ChannelSpec, Identifier, Schema, ValueType};

const NOW: i64 = 1_700_000_000_000_000;

#[test]
fn a_store_lands_files_checkpoints_and_reads_on_the_disk() {
    let disk = Disk::new(1);
    let vfs = disk.register();
    let dir = Path::new("/no/such/directory");
    let options = Options { vfs: Some(vfs.name().to_owned()), ..Options::default() };
    let mut writer = Writer::open(dir, options, NOW).expect("a store");
    let mut checkpointer = writer.checkpointer().expect("a second connection");
    let reader = Reader::open_on(dir, Some(vfs.name())).expect("a third one");
    land(&mut writer, declare());
    for first in 0..50 {
        land(&mut writer, row(first));
        if first % 20 == 10 {
            writer.file_all(NOW).expect("filing");
            checkpointer.run().expect("a checkpoint");
        }
    }
    assert_eq!(reader.query(&Query::default()).expect("a query").len(), 50);
    assert_eq!(disk.list().expect("power").len(), 2, "the database and its log");
    drop((reader, checkpointer, writer));
    assert_eq!(disk.list().expect("power").len(), 1, "the last one out empties the log");
    assert!(!dir.exists());
}

#[test]
fn a_store_that_is_not_there_is_missing() {
    let vfs = Disk::new(1).register();
    let missing = Reader::open_on(Path::new("/x"), Some(vfs.name()));
    assert!(matches!(missing, Err(senda_store::OpenError::Missing { .. })));
}

#[test]
fn a_connection_from_before_a_crash_fails_and_writes_nothing() {
    let disk = Disk::new(1);
    let vfs = disk.register();
    let old = open(&vfs);
    old.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1);")
        .expect("a table");
    disk.kill();
    let (steps, new) = (disk.steps(), open(&vfs));
    let error = old.execute("INSERT INTO t VALUES (2)", []).expect_err("a stale connection");
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure));
    drop(old);
    assert_eq!(disk.steps(), steps);
    let sum: i64 = new.query_row("SELECT sum(x) FROM t", [], |row| row.get(0)).expect("a query");
    assert_eq!(sum, 1);
}

#[test]
fn two_writers_exclude_each_other_and_readers_see_their_own_moment() {
    let vfs = Disk::new(1).register();
    let (one, two) = (open(&vfs), open(&vfs));
    one.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x);").expect("a table");
    one.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1);").expect("the lock");
    two.execute_batch("BEGIN").expect("no lock yet");
    let count = |conn: &Connection| -> i64 {
        conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("a query")
    };
    assert_eq!((count(&one), count(&two)), (1, 0));
    let busy = two.execute("INSERT INTO t VALUES (2)", []).expect_err("a lock that is taken");
    assert_eq!(busy.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    one.execute_batch("COMMIT").expect("a commit");
    assert_eq!(count(&two), 0, "its transaction began before");
    two.execute_batch("COMMIT").expect("the end of a reader");
    assert_eq!(count(&two), 1);
}

#[test]
fn a_rollback_journal_brings_a_torn_transaction_back() {
    for seed in 0..200 {
        let disk = Disk::new(seed);
        let vfs = disk.register();
        let conn = open(&vfs);
        // FULL, without more, may lose the last commit in this mode: the journal's removal is not synced.
        conn.execute_batch("PRAGMA synchronous = EXTRA").expect("a setting");
        conn.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(20000));")
            .expect("a table");
        disk.crash_at_step(Some(disk.steps() + seed % 20));
        let changed = conn.execute("UPDATE t SET x = randomblob(30000)", []);
        disk.crash(seed);
        drop(conn);
        let conn = open(&vfs);
        let len: i64 =
            conn.query_row("SELECT length(x) FROM t", [], |row| row.get(0)).expect("a row");
        assert!(len == 30_000 || len == 20_000 && changed.is_err(), "seed {seed}: {len}");
        let check: String =
            conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
        assert_eq!(check, "ok", "seed {seed}");
    }
}

#[test]
fn time_is_the_disks_and_a_wait_for_a_lock_moves_it() {
    let disk = Disk::new(1);
    disk.set_now(NOW);
    let vfs = disk.register();
    let (one, two) = (open(&vfs), open(&vfs));
    let time = |conn: &Connection| -> i64 {
        conn.query_row("SELECT unixepoch()", [], |row| row.get(0)).expect("a time")
    };
    assert_eq!(time(&one), NOW / 1_000_000);
    one.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
    two.busy_timeout(std::time::Duration::from_secs(5)).expect("a time-out");
    two.execute_batch("BEGIN EXCLUSIVE").expect_err("a lock that is taken");
    assert!(time(&one) >= NOW / 1_000_000 + 4);
}

#[test]
fn the_same_seed_does_the_same_operations_and_leaves_the_same_bytes() {
    let run = || {
        let disk = Disk::new(3);
        disk.set_trace(true);
        let vfs = disk.register();
        let options = Options { vfs: Some(vfs.name().to_owned()), ..Options::default() };
        let mut writer = Writer::open(Path::new("/d"), options, NOW).expect("a store");
        land(&mut writer, declare());
        (0..10).for_each(|first| land(&mut writer, row(first)));
        writer.file_all(NOW).expect("filing");
        disk.crash(5);
        // The salts of the log are SQLite's own; the database has none.
        (disk.trace(), disk.read("/d/senda.db").expect("there"))
    };
    assert!(run() == run());
}

#[test]
fn threads_share_the_log_as_processes_do() {
    let vfs = Disk::new(1).register();
    let options = Options {
        vfs: Some(vfs.name().to_owned()),
        checkpoint_pages: 20,
        filing_delay: 0,
        ..Options::default()
    };
    let dir = Path::new("/d");
    let mut writer = Writer::open(dir, options, NOW).expect("a store");
    let mut checkpointer = writer.checkpointer().expect("a second connection");
    land(&mut writer, declare());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                checkpointer.run().expect("a checkpoint");
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let reader = Reader::open_on(dir, Some(vfs.name())).expect("a reader");
                let mut seen = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let now = reader.query(&Query::default()).expect("a query").len();
                    assert!(now >= seen, "{now} after {seen}");
                    seen = now;
                }
            });
        }
        for first in 0..300 {
            land(&mut writer, row(first));
            writer.file(NOW, 10).expect("filing");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let reader = Reader::open_on(dir, Some(vfs.name())).expect("a reader");
    assert_eq!(reader.query(&Query::default()).expect("a query").len(), 300);
}

#[test]
fn a_dropped_registration_takes_no_new_connection_and_keeps_old_ones() {
    let disk = Disk::new(1);
    let vfs = disk.register();
    let (name, conn) = (vfs.name().to_owned(), open(&vfs));
    drop(vfs);
    conn.execute_batch("CREATE TABLE t (x)").expect("an old connection");
    Connection::open_with_flags_and_vfs("/a.db", OpenFlags::default(), name.as_str())
        .expect_err("nobody has that name");
}

fn open(vfs: &Vfs) -> Connection {
    Connection::open_with_flags_and_vfs("/a.db", OpenFlags::default(), vfs.name())
        .expect("a database")
}

fn land(writer: &mut Writer, what: What) {
    let landing = Landing { device: "gh-7".into(), stream: 9, received: NOW, what };
    assert_eq!(writer.land(&[landing], NOW)[0].outcome, Outcome::Stored);
}

fn declare() -> What {
    let name = |text| Identifier::new(text).expect("the grammar of names");
    let channels = [ChannelSpec::new(name("temperature"), ValueType::F64)];
    let description = Schema::encode(name("greenhouse"), &channels, &mut [0; 64])
        .expect("a schema within the limits")
        .to_vec();
    What::Declare { id: 0, description }
}

fn row(first: u32) -> What {
    let mut body = vec![0, 0, 0xC0, 1];
    body.extend(NOW.to_be_bytes());
    body.extend(21.5f64.to_be_bytes());
    What::Rows { first, count: 1, sparse: false, schema: 0, body, refused: vec![] }
}
