//! Full and failing disks: a clear error, a consistent spool, and it goes on when they work again.

use senda_client::spool::{Entry, SpoolError, Sync};

use crate::disk::{Disk, Faults};
use crate::{ALL, DESCRIPTION, SMALL, fill, open, record, rows};

#[test]
fn a_disk_that_is_full_at_any_byte_takes_nothing_and_then_goes_on() {
    for room in 0..300 {
        let disk = Disk::default();
        let (mut spool, _) = open(disk.clone(), SMALL);
        if room % 2 == 0 {
            fill(&mut spool, 1, 0..5, 50); // Into a segment that is begun; else the beginning fails.
        }
        spool.describe(1, 0, DESCRIPTION).unwrap();
        disk.break_with(Faults { room: Some(room), ..Faults::default() });
        let group: Vec<_> = (5..10).map(|row| record(1, row, 50)).collect();
        let told = spool.append(&group);
        let fits = told.is_ok();
        assert!(fits || matches!(told, Err(SpoolError::Write(_))), "{told:?}");
        let mut expected: Vec<u32> = if room % 2 == 0 { (0..5).collect() } else { vec![] };
        if fits {
            expected.extend(5..10);
        }
        assert_eq!(rows(&mut spool, 1, 50), expected, "room for {room}");
        disk.break_with(Faults::default());
        let _ = spool.append(&[record(1, 10, 50)]).unwrap();
        let _ = spool.append(&group).unwrap(); // What lived in memory comes late.
        let all: Vec<u32> = expected.iter().copied().filter(|row| *row < 5).chain(5..11).collect();
        assert_eq!(rows(&mut spool, 1, 50), all, "room for {room}");
        let (mut spool, _) = open(disk.cut(true, |_| 0), SMALL);
        assert_eq!(rows(&mut spool, 1, 50), all, "room for {room}");
    }
}

#[test]
fn a_disk_that_stays_full_gets_no_new_files() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    fill(&mut spool, 1, 0..5, 50);
    for remove in [false, true] {
        disk.break_with(Faults { room: Some(40), remove, ..Faults::default() });
        for _ in 0..100 {
            assert!(spool.append(&[record(1, 5, 50)]).is_err());
        }
    }
    assert!(disk.files().len() <= 2, "{:?}", disk.files().keys());
    disk.break_with(Faults::default());
    let _ = spool.append(&[record(1, 5, 50)]).unwrap();
    assert_eq!(disk.files().len(), 2, "what was begun in vain is gone");
    assert_eq!(rows(&mut spool, 1, 50), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_full_disk_is_freed_by_what_the_collector_acknowledges() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    fill(&mut spool, 1, 0..300, 50);
    let (mut spool, _) = open(disk.clone(), SMALL); // Nothing was written since.
    let before = spool.bytes();
    disk.break_with(Faults { room: Some(0), ..Faults::default() });
    spool.resolve(1, 250);
    assert!(spool.bytes() < before / 3, "{} of {before}", spool.bytes());
    assert_eq!(rows(&mut spool, 1, 50), (250..300).collect::<Vec<_>>());
}

#[test]
fn after_a_failed_sync_what_was_not_synced_is_written_again() {
    let options = senda_client::spool::Options { sync: Sync::Caller, ..SMALL };
    for failures in 1..6 {
        let disk = Disk::default();
        let (mut spool, _) = open(disk.clone(), options);
        fill(&mut spool, 1, 0..10, 50);
        spool.sync().unwrap();
        fill(&mut spool, 1, 10..20, 50);
        assert!(!spool.is_synced());
        disk.break_with(Faults { sync: failures, ..Faults::default() });
        let mut told = spool.sync();
        for left in (0..failures).rev() {
            if told.is_ok() {
                break;
            }
            assert!(matches!(told, Err(SpoolError::Sync(_))), "{told:?}");
            assert!(!spool.is_synced(), "{left} to come");
            told = spool.sync();
        }
        told.unwrap();
        assert!(spool.is_synced());
        assert_eq!(rows(&mut spool, 1, 50), (0..20).collect::<Vec<_>>(), "{failures}");
        let (mut spool, _) = open(disk.cut(true, |_| 0), options);
        assert_eq!(rows(&mut spool, 1, 50), (0..20).collect::<Vec<_>>(), "{failures}");
    }
}

#[test]
fn a_sync_that_fails_at_the_end_of_a_segment_loses_nothing() {
    let options = senda_client::spool::Options { sync: Sync::Caller, ..SMALL };
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), options);
    fill(&mut spool, 1, 0..40, 50);
    disk.break_with(Faults { sync: 1, ..Faults::default() });
    fill(&mut spool, 1, 40..60, 50); // The segment ends in between.
    assert_eq!(disk.0.borrow().faults.sync, 0);
    spool.sync().unwrap();
    let (mut spool, recovered) = open(disk.cut(true, |_| 0), options);
    assert_eq!(rows(&mut spool, 1, 50), (0..60).collect::<Vec<_>>());
    assert_eq!(recovered.streams[0].schemas.len(), 1);
}

#[test]
fn rows_that_are_written_again_take_their_schema_with_them() {
    let options = senda_client::spool::Options { sync: Sync::Caller, ..SMALL };
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), options);
    fill(&mut spool, 1, 0..10, 50);
    disk.break_with(Faults { sync: 1, ..Faults::default() });
    spool.sync().unwrap();
    let (mut spool, recovered) = open(disk.cut(true, |_| 0), options);
    assert_eq!(recovered.streams[0].schemas, [(0, DESCRIPTION.to_vec())]);
    assert_eq!(rows(&mut spool, 1, 50), (0..10).collect::<Vec<_>>());
}

#[test]
fn rows_of_a_failed_sync_are_not_safe_but_stay_in_the_spool() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    fill(&mut spool, 1, 0..3, 50);
    disk.break_with(Faults { sync: 2, ..Faults::default() });
    assert!(matches!(spool.append(&[record(1, 3, 50)]), Err(SpoolError::Sync(_))));
    assert!(!spool.is_synced());
    let _ = spool.append(&[record(1, 4, 50)]).unwrap();
    assert!(spool.is_synced());
    let (mut spool, _) = open(disk.cut(true, |_| 0), SMALL);
    assert_eq!(rows(&mut spool, 1, 50), [0, 1, 2, 3, 4]);
}

#[test]
fn files_that_can_not_be_removed_stop_the_appends_at_the_bound_and_no_sooner() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    spool.describe(1, 0, DESCRIPTION).unwrap();
    disk.break_with(Faults { remove: true, ..Faults::default() });
    let mut dropped = 0;
    let mut appended = 0;
    for row in 0..2_000 {
        match spool.append(&[record(1, row, 50)]) {
            Ok(told) => {
                dropped += told.dropped.len();
                appended = row + 1;
            }
            Err(SpoolError::Write(_)) => break,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(appended > 500 && dropped <= 1 && disk.peak() <= 64 << 10);
    for _ in 0..100 {
        assert!(spool.append(&[record(1, appended, 50)]).is_err());
    }
    disk.break_with(Faults::default());
    let told = spool.append(&[record(1, appended, 50)]).unwrap();
    assert!(told.dropped.len() <= 1, "one segment was dropped, not one for each try");
    assert!(rows(&mut spool, 1, 50).len() > 450);
    assert!(disk.peak() <= 64 << 10);
}

#[test]
fn a_stream_can_be_read_again_after_a_failed_read() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    fill(&mut spool, 1, 0..100, 50);
    disk.break_with(Faults { read: true, ..Faults::default() });
    let told = spool.read(1, 70, ALL);
    let Err(SpoolError::Read { first, last, .. }) = told else { panic!("{told:?}") };
    assert!(first <= 70 && last >= 70);
    disk.break_with(Faults::default());
    assert_eq!(spool.read(1, 70, ALL).unwrap().len(), 30);
    assert!(matches!(spool.read(1, 70, ALL).unwrap()[0], Entry::Row(_)));
}
