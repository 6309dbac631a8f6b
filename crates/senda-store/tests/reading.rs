//! Queries, backups and retention.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{NOW, SECOND, land, landing, open, open_with, samples, sql};
use senda_store::{
    Options, Outcome, Pressure, Query, Reader, Retention, StoreError, Value, Writer,
};

/// Ten rows a device, a second apart; those of the second half are not filed.
fn some_rows(writer: &mut Writer) {
    for (stream, device) in (1..).zip(["gh-7", "gh-8"]) {
        land(writer, device, stream, NOW, common::declare_simple());
        land(writer, device, stream, NOW, common::simple_rows(0, NOW, &[0.0, 1.0, 2.0, 3.0, 4.0]));
    }
    writer.file_all(NOW).unwrap();
    for (stream, device) in (1..).zip(["gh-7", "gh-8"]) {
        land(
            writer,
            device,
            stream,
            NOW,
            common::simple_rows(5, NOW + 5 * SECOND, &[5.0, 6.0, 7.0, 8.0, 9.0]),
        );
    }
}

fn values(reader: &Reader, query: &Query) -> Vec<f64> {
    let value = |value: &Option<Value>| match value {
        Some(Value::F64(value)) => *value,
        other => panic!("no f64: {other:?}"),
    };
    reader.query(query).unwrap().iter().map(|sample| value(&sample.values[0])).collect()
}

#[test]
fn landed_and_filed_samples_are_found_alike() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    some_rows(&mut writer);
    let reader = Reader::open(dir.path()).unwrap();
    let query = || Query { device: Some("gh-7".into()), ..Query::default() };
    assert_eq!(values(&reader, &query()), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    assert_eq!(values(&reader, &Query { limit: 3, ..query() }), [7.0, 8.0, 9.0]);
    assert_eq!(
        values(&reader, &Query { limit: 7, newest: false, ..query() }),
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    );
    let span = Query { since: Some(NOW + 3 * SECOND), until: Some(NOW + 7 * SECOND), ..query() };
    assert_eq!(values(&reader, &span), [3.0, 4.0, 5.0, 6.0]);
    assert_eq!(
        values(&reader, &Query { channel: Some("temperature".into()), ..query() }).len(),
        10
    );
    assert_eq!(values(&reader, &Query { channel: Some("humidity".into()), ..query() }).len(), 0);
    assert_eq!(values(&reader, &Query { device: Some("gh-9".into()), ..query() }).len(), 0);
    assert_eq!(reader.query(&Query::default()).unwrap().len(), 20);
    let sample = &reader.query(&query()).unwrap()[9];
    assert_eq!((&*sample.device, sample.stream, sample.row, sample.received), ("gh-7", 1, 9, NOW));
    assert_eq!(
        (&*sample.table.channels[0].name, &*sample.table.channels[0].unit),
        ("temperature", "Cel")
    );
}

#[test]
fn a_query_ends_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    some_rows(&mut writer);
    let stop = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&stop);
    let mut reader = Reader::open(dir.path()).unwrap();
    reader.stop_when(move || asked.load(Ordering::Relaxed));
    let endless =
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
    assert!(matches!(reader.sql(endless, 1), Err(StoreError::Sqlite(_))));
    assert!(reader.query(&Query::default()).is_err());
    stop.store(false, Ordering::Relaxed);
    assert_eq!(reader.query(&Query::default()).unwrap().len(), 20);
}

#[test]
fn a_reader_in_a_transaction_does_not_stop_landing_and_filing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    some_rows(&mut writer);
    let conn = rusqlite::Connection::open(dir.path().join("senda.db")).unwrap();
    conn.execute_batch("BEGIN").unwrap();
    let count = || {
        conn.query_row("SELECT count(*) FROM greenhouse", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(count(), 10);
    writer.file_all(NOW).unwrap();
    let verdict = land(&mut writer, "gh-7", 1, NOW, common::simple_rows(10, NOW, &[10.0]));
    assert_eq!(verdict.outcome, Outcome::Stored);
    assert_eq!(count(), 10, "it sees the state that it began with");
    assert!(writer.inbox().wal_bytes > 0);
    conn.execute_batch("COMMIT").unwrap();
    assert_eq!(count(), 20);
}

#[test]
fn a_backup_of_a_store_in_use_is_a_whole_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    some_rows(&mut writer);
    let copy = tempfile::tempdir().unwrap();
    let target = copy.path().join("senda.db");
    let reader = Reader::open(dir.path()).unwrap();
    reader.backup(&target).unwrap();
    assert!(matches!(reader.backup(&target), Err(StoreError::Exists { .. })));
    let names: Vec<_> =
        std::fs::read_dir(copy.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["senda.db"], "nothing else is left behind");
    land(&mut writer, "gh-7", 1, NOW, common::simple_rows(10, NOW, &[10.0])); // Not in the copy.
    let mut restored = open(copy.path());
    assert_eq!(restored.stream("gh-7", 1, NOW).unwrap().next_row, 10);
    restored.file_all(NOW).unwrap();
    assert_eq!(samples(copy.path()).len(), 20);
}

#[test]
fn what_is_older_than_its_age_goes_in_slices_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { age: Some(100 * SECOND), bytes: None };
    let mut writer = open_with(dir.path(), Options { retention, ..Options::default() });
    some_rows(&mut writer);
    writer.file_all(NOW).unwrap();
    let now = NOW + 104 * SECOND;
    let mut slices = 0;
    while writer.retain(now, 2).unwrap() {
        slices += 1;
        assert!(slices < 100);
    }
    assert!(slices >= 4, "{slices}");
    assert_eq!(
        sql(
            dir.path(),
            "select device, count(*), min(temperature) from greenhouse group by device"
        ),
        "gh-7|6|4.0\ngh-8|6|4.0"
    );
    // Spec §2.1a: the marks stay as long as the readings do.
    let verdict = land(&mut writer, "gh-7", 1, now, common::simple_rows(0, NOW, &[0.0]));
    assert_eq!(verdict.outcome, Outcome::Duplicate);
    // Days later the streams go too, and with them the marks.
    let later = NOW + 4 * 86_400 * SECOND;
    while writer.retain(later, 2).unwrap() {}
    assert_eq!(sql(dir.path(), "select count(*) from streams"), "0");
    assert_eq!(sql(dir.path(), "select count(*) from schemas"), "0");
    assert_eq!(writer.stream("gh-7", 1, later).unwrap().next_row, 0);
}

#[test]
fn a_store_that_is_too_big_loses_its_oldest_readings_first() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { age: None, bytes: Some(1 << 20) };
    let mut writer = open_with(dir.path(), Options { retention, ..Options::default() });
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    for batch in 0..40u32 {
        let t0 = NOW + i64::from(batch) * 1_000 * SECOND;
        let rows = common::simple_rows(batch * 1_000, t0, &[f64::from(batch); 1_000]);
        writer.land(&[landing("gh-7", 1, t0, rows)], t0);
    }
    let now = NOW + 40_000 * SECOND;
    writer.file_all(now).unwrap();
    let used = "SELECT (page_count - freelist_count) * 4096 FROM (SELECT (SELECT page_count FROM pragma_page_count) AS page_count, (SELECT freelist_count FROM pragma_freelist_count) AS freelist_count)";
    let conn = rusqlite::Connection::open(dir.path().join("senda.db")).unwrap();
    let bytes = || conn.query_row(used, [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(bytes() > 1 << 20, "{}", bytes());
    while writer.retain(now, 500).unwrap() {}
    assert!(bytes() <= 1 << 20, "{}", bytes());
    let left = samples(dir.path());
    assert!(left.len() > 10_000, "{}", left.len());
    assert_eq!(left.last().unwrap().row, 39_999);
    assert_eq!(left.first().unwrap().row, 40_000 - i64::try_from(left.len()).unwrap(), "no holes");
}

#[test]
fn readers_and_a_checkpointer_beside_the_writer_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { filing_delay: 0, checkpoint_pages: 30, ..Options::default() };
    let mut writer = open_with(dir.path(), options);
    let stop = Arc::new(AtomicBool::new(false));
    let (poke, pokes) = std::sync::mpsc::sync_channel::<()>(1);
    let mut checkpointer = writer.checkpointer().unwrap();
    let checkpoints = std::thread::spawn(move || {
        let mut count = 0;
        while pokes.recv().is_ok() {
            checkpointer.run().unwrap();
            count += 1;
        }
        count
    });
    let (path, stopped) = (dir.path().to_owned(), Arc::clone(&stop));
    let reads = std::thread::spawn(move || {
        let reader = Reader::open(&path).unwrap();
        let mut last = 0;
        while !stopped.load(Ordering::Relaxed) {
            let query = Query { limit: 1_000_000, ..Query::default() };
            let rows = reader.query(&query).unwrap();
            let numbers: Vec<i64> = rows.iter().map(|sample| sample.row).collect();
            assert!(rows.len() >= last, "a reading went away");
            assert!((0..).zip(&numbers).all(|(at, row)| at == *row), "all that landed, each once");
            last = rows.len();
        }
    });
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    for message in 0..300u32 {
        let t0 = NOW + i64::from(message) * 20 * SECOND;
        let rows = common::simple_rows(message * 20, t0, &[f64::from(message); 20]);
        let verdict = land(&mut writer, "gh-7", 1, t0, rows);
        assert_eq!((verdict.outcome, verdict.next_row), (Outcome::Stored, (message + 1) * 20));
        for _ in 0..3 {
            if writer.file(t0, 9).unwrap().checkpoint_due {
                let _ = poke.try_send(());
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    reads.join().unwrap();
    drop(poke);
    assert!(checkpoints.join().unwrap() > 0);
    writer.file_all(NOW + 100_000 * SECOND).unwrap();
    assert_eq!(samples(dir.path()).len(), 6_000);
}

#[test]
fn a_log_that_a_reader_holds_back_stops_accepting_until_the_reader_ends() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        filing_delay: 0,
        checkpoint_pages: 10,
        wal_bytes_max: 1 << 20,
        ..Options::default()
    };
    let mut writer = open_with(dir.path(), options);
    some_rows(&mut writer);
    let reader = rusqlite::Connection::open(dir.path().join("senda.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM devices;").unwrap();
    let mut first = 10;
    let mut land_some = |writer: &mut Writer| {
        let rows = common::simple_rows(first, NOW, &[0.5; 100]);
        assert_eq!(land(writer, "gh-7", 1, NOW, rows).outcome, Outcome::Stored);
        first += 100;
        for _ in 0..5 {
            writer.file(NOW, 100).unwrap();
        }
    };
    let mut rounds = 0;
    while writer.is_accepting(NOW) {
        land_some(&mut writer);
        rounds += 1;
        assert!(rounds < 10_000);
    }
    assert_eq!(writer.pressure(NOW), Some(Pressure::Log));
    reader.execute_batch("COMMIT").unwrap();
    for _ in 0..3 {
        land_some(&mut writer); // The collector has still some to land; the log begins anew.
    }
    assert!(writer.is_accepting(NOW), "{:?}", writer.inbox());
}
