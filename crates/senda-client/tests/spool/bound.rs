//! Drop-oldest, and what may not be lost with it.

use senda_client::SkipCause;
use senda_client::spool::{Entry, Options, Skip, StreamState, Sync};

use crate::disk::{Disk, Faults};
use crate::{ALL, DESCRIPTION, SMALL, fill, open, record, rows};

fn count(skips: &[Skip]) -> u32 {
    skips.iter().map(|skip| skip.count).sum()
}

#[test]
fn the_bound_holds_at_every_moment_and_what_it_takes_is_told_twice() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    let mut dropped = Vec::new();
    for row in 0..3_000 {
        spool.describe(1, 0, DESCRIPTION).unwrap();
        dropped.extend(spool.append(&[record(1, row, 50)]).unwrap().dropped);
        assert!(spool.bytes() <= SMALL.bytes_max);
    }
    assert!(disk.peak() <= 64 << 10, "{} bytes", disk.peak());
    assert!(disk.peak() > 55 << 10, "the bound is used: {} bytes", disk.peak());
    let held = rows(&mut spool, 1, 50);
    assert_eq!(held, (count(&dropped)..3_000).collect::<Vec<_>>(), "the newest are held");
    assert!(dropped.iter().all(|skip| skip.cause == SkipCause::Overflow && skip.stream == 1));

    let (mut spool, recovered) = open(disk, SMALL);
    let told = Skip { stream: 1, first: 0, count: count(&dropped), cause: SkipCause::Overflow };
    assert_eq!(recovered.streams[0].skips, [told]);
    assert_eq!(spool.read(1, 0, ALL).unwrap()[0], Entry::Skipped(told));
}

#[test]
fn the_bound_has_room_for_all_that_is_known_and_for_what_is_written_twice() {
    for sync in [Sync::Append, Sync::Caller] {
        let disk = Disk::default();
        let (mut spool, _) = open(disk.clone(), Options { sync, ..SMALL });
        for stream in 10..17 {
            spool.describe(stream, 0, DESCRIPTION).unwrap();
            for first in [0, 5, 10, 15] {
                let cause = SkipCause::Rejected;
                let _ = spool.skip(Skip { stream, first, count: 2, cause }).unwrap();
            }
        }
        spool.describe(1, 0, DESCRIPTION).unwrap();
        for row in 0..2_000 {
            if row % 40 == 0 {
                disk.break_with(Faults { sync: 1, ..Faults::default() });
            }
            // A new segment can't begin while its sync fails; the next one can.
            let told = spool.append(&[record(1, row, 50)]);
            let _ = told.or_else(|_| spool.append(&[record(1, row, 50)])).unwrap();
        }
        assert!(disk.peak() <= 64 << 10, "{} bytes", disk.peak());
    }
}

#[test]
fn a_segment_goes_only_when_what_it_says_of_others_is_safe_elsewhere() {
    let disk = Disk::default();
    let options = Options { sync: Sync::Caller, ..SMALL };
    let (mut spool, _) = open(disk.clone(), options);
    let skip = Skip { stream: 1, first: 0, count: 5, cause: SkipCause::Overflow };
    let _ = spool.skip(skip).unwrap();
    spool.sync().unwrap();
    let mut row = 0;
    while disk.files().len() < 2 && !disk.files().contains_key("00000002.spool") {
        fill(&mut spool, 2, row..row + 1, 50);
        row += 1;
        spool.resolve(2, row);
    }
    assert!(!disk.files().contains_key("00000001.spool"), "all rows in it are resolved");
    let (_, recovered) = open(disk.cut(false, |_| 0), options);
    assert_eq!(recovered.streams[0].skips, [skip]);
}

#[test]
fn only_what_is_unresolved_is_dropped() {
    let (mut spool, _) = open(Disk::default(), SMALL);
    spool.describe(1, 0, DESCRIPTION).unwrap();
    let reject = Skip { stream: 1, first: 5, count: 3, cause: SkipCause::Rejected };
    let mut dropped = Vec::new();
    for row in 0..1_000 {
        // A row of another stream in each segment, so that no segment is done.
        spool.describe(2, 0, DESCRIPTION).unwrap();
        let group = [record(2, row, 10), record(1, row, 40)];
        dropped.extend(spool.append(&group).unwrap().dropped);
        if row == 10 {
            dropped.extend(spool.skip(reject).unwrap().dropped);
            spool.resolve(1, 3);
        }
    }
    let held = rows(&mut spool, 1, 40);
    let of_one: Vec<Skip> = dropped.into_iter().filter(|skip| skip.stream == 1).collect();
    assert_eq!(count(&of_one) + 3 + 3, held[0], "3 resolved, 3 rejected, the others dropped");
    assert_eq!(of_one[0].first, 3);
    let told = spool.stream(1).unwrap().skips;
    assert_eq!(told[0], Skip { stream: 1, first: 3, count: 2, cause: SkipCause::Overflow });
    assert_eq!(told[1], reject);
    assert_eq!(told[2].first, 8);
}

/// A crash at any of the calls by which the oldest segment goes, with and without the power.
#[test]
fn a_crash_while_the_oldest_goes_loses_neither_rows_nor_the_fact() {
    for (torn, undo) in [(0, false), (0, true), (usize::MAX, false)] {
        for calls in 0.. {
            let disk = Disk::default();
            let (mut spool, _) = open(disk.clone(), SMALL);
            fill(&mut spool, 1, 0..700, 50);
            disk.break_with(Faults { calls: Some(calls), ..Faults::default() });
            let mut next = 700;
            let mut reported = 0;
            while next < 800 {
                let Ok(appended) = spool.append(&[record(1, next, 50)]) else { break };
                reported += count(&appended.dropped);
                next += 1;
            }
            let (mut spool, _) = open(disk.cut(undo, |unsynced| unsynced.min(torn)), SMALL);
            let entries = spool.read(1, 0, ALL).unwrap();
            let known = spool.stream(1).unwrap();
            assert!(known.next_row >= next, "call {calls}: {} of {next}", known.next_row);
            let lost = entries.iter().find(|entry| matches!(entry, Entry::Missing { .. }));
            assert_eq!(lost, None, "call {calls}");
            assert!(count(&known.skips) >= reported);
            let held = entries.iter().filter(|entry| matches!(entry, Entry::Row(_))).count();
            assert_eq!(held + count(&known.skips) as usize, known.next_row as usize);
            if next == 800 {
                assert!(reported > 0 && calls > 100, "a segment went");
                break;
            }
        }
    }
}

#[test]
fn a_device_that_only_boots_keeps_the_newest_streams_and_tells_of_the_others() {
    let disk = Disk::default();
    let mut forgotten: Vec<StreamState> = Vec::new();
    let mut dropped = Vec::new();
    for boot in 0..50 {
        let (mut spool, recovered) = open(disk.clone(), SMALL);
        assert!(recovered.streams.len() <= 8, "streams are bounded");
        spool.describe(boot, 0, DESCRIPTION).unwrap();
        for row in 0..2 {
            let appended = spool.append(&[record(boot, row, 900)]).unwrap();
            forgotten.extend(appended.forgotten);
            dropped.extend(appended.dropped);
        }
    }
    let (mut spool, recovered) = open(disk, SMALL);
    let streams: Vec<u64> = recovered.streams.iter().map(|stream| stream.stream).collect();
    assert_eq!(streams, (42..50).collect::<Vec<_>>());
    for stream in &streams {
        assert_eq!(rows(&mut spool, *stream, 900), [0, 1]);
    }
    let gone: Vec<u64> = forgotten.iter().map(|stream| stream.stream).collect();
    assert_eq!(gone, (0..42).collect::<Vec<_>>());
    assert!(forgotten.iter().all(|stream| count(&stream.skips) == 2));
    assert_eq!(count(&dropped), 84);
}

#[test]
fn more_runs_than_the_bound_allows_are_not_forgotten_but_lose_their_cause() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    fill(&mut spool, 1, 0..100, 10);
    for row in (0..200).step_by(2) {
        let skip = Skip { stream: 1, first: row, count: 1, cause: SkipCause::Expired };
        let _ = spool.skip(skip).unwrap();
    }
    let known = spool.stream(1).unwrap();
    assert_eq!((known.skips.len(), known.next_row), (32, 199));
    for mut spool in [spool, open(disk, SMALL).0] {
        let held = rows(&mut spool, 1, 10);
        assert_eq!(held.len(), 100 - 32, "rows that could not be noted are sent after all");
        let last = spool.read(1, 0, ALL).unwrap().pop().unwrap();
        assert_eq!(last, Entry::Missing { first: 100, count: 99 });
    }
}

#[test]
fn a_smaller_bound_takes_effect_with_the_next_append() {
    let disk = Disk::default();
    let large = Options { bytes_max: 1 << 20, ..SMALL };
    let (mut spool, _) = open(disk.clone(), large);
    fill(&mut spool, 1, 0..9_000, 50);
    assert!(spool.bytes() > 600_000);
    let (mut spool, recovered) = open(disk, SMALL);
    assert_eq!(rows(&mut spool, 1, 50).len(), 9_000);
    assert_eq!(recovered.streams[0].rows, 9_000);
    let appended = spool.append(&[record(1, 9_000, 50)]).unwrap();
    assert!(spool.bytes() <= SMALL.bytes_max);
    assert_eq!(rows(&mut spool, 1, 50).len() + count(&appended.dropped) as usize, 9_001);
}
