//! What a spool is for.

use std::num::NonZeroU32;

use senda_client::spool::{
    ClockState, DamageKind, Entry, Kind, Moment, Options, ReadLimits, Record, Skip, SpoolError,
    Sync,
};
use senda_client::{Clock, SkipCause};

use crate::disk::Disk;
use crate::{ALL, DESCRIPTION, SMALL, fill, open, record, rows};

#[test]
fn rows_of_every_kind_come_back_as_they_went_in() {
    let disk = Disk::default();
    let (mut spool, recovered) = open(disk.clone(), SMALL);
    assert_eq!(recovered.boot, 1);
    spool.describe(7, 0, DESCRIPTION).unwrap();
    spool.describe(7, 63, &[1; 3000]).unwrap();
    let (kind, schema) = (Kind::Row, 0);
    let first =
        Record { stream: 7, row: 3, kind, schema, clock: Clock::None, time_us: 0, bytes: vec![] };
    let sparse = Record { row: 4, kind: Kind::Sparse, bytes: vec![0; 1_132], ..first.clone() };
    let (clock, time_us) = (Clock::UtcSynced, i64::MIN);
    let counts = Record { row: 5, kind: Kind::Counts, clock, time_us, ..first.clone() };
    let time_us = i64::MAX;
    let last = Record { row: 0xFFFF_FFFE, schema: 63, clock, time_us, ..first.clone() };
    let all = [first, sparse, counts, last];
    let _ = spool.append(&all[..2]).unwrap();
    let _ = spool.append(&all[2..3]).unwrap();
    let _ = spool.append(&all[3..]).unwrap();

    for (mut spool, streams) in [(spool, vec![]), {
        let (spool, recovered) = open(disk, SMALL);
        assert_eq!(recovered.boot, 2);
        (spool, recovered.streams)
    }] {
        let given = spool.read(7, 3, ALL).unwrap();
        let gap = Entry::Missing { first: 6, count: 0xFFFF_FFFE - 6 };
        let [first, sparse, counts, last] = all.clone().map(Entry::Row);
        assert_eq!(given, [first, sparse, counts, gap, last]);
        for stream in streams {
            assert_eq!((stream.mark, stream.first, stream.next_row), (0, 3, u32::MAX));
            assert_eq!(stream.schemas, [(0, DESCRIPTION.to_vec()), (63, vec![1; 3000])]);
        }
    }
}

#[test]
fn a_stream_is_read_in_pieces_while_it_is_appended_to() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk, SMALL);
    fill(&mut spool, 1, 0..100, 50);
    let mut given = Vec::new();
    let mut at = 0;
    loop {
        let piece = spool.read(1, at, ReadLimits { entries: 7, bytes: 200 }).unwrap();
        let Some(last) = piece.last() else { break };
        assert!(piece.len() <= 4, "200 bytes are four rows");
        at = last.rows().1;
        given.extend(piece);
        if at < 140 {
            let next = spool.stream(1).unwrap().next_row;
            let _ = spool.append(&[record(1, next, 50)]).unwrap();
        }
    }
    let numbers: Vec<u32> = given.iter().map(|entry| entry.rows().0).collect();
    assert!(numbers.len() > 100);
    assert_eq!(numbers, (0..at).collect::<Vec<_>>());
}

#[test]
fn a_row_larger_than_the_limit_is_given_alone() {
    let (mut spool, _) = open(Disk::default(), SMALL);
    fill(&mut spool, 1, 0..3, 500);
    assert_eq!(spool.read(1, 1, ReadLimits { entries: 9, bytes: 1 }).unwrap().len(), 1);
    assert_eq!(spool.read(1, 1, ReadLimits { entries: 0, bytes: 0 }).unwrap().len(), 1);
}

#[test]
fn what_is_known_of_streams_outlives_the_segments_that_said_it() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    let (clock, uncertainty_us) = (Clock::Monotonic, 12);
    let state = ClockState { clock, offset_us: -5, uncertainty_us, at_us: 99 };
    let moment = |uptime_us, utc_us| Moment { boot: 1, machine: u128::MAX - 1, uptime_us, utc_us };
    fill(&mut spool, 1, 0..10, 100);
    let _ = spool.note_clock(1, ClockState { at_us: 1, ..state }).unwrap();
    let _ = spool.note_clock(1, state).unwrap();
    for (uptime_us, utc_us) in [(0, None), (1, None), (2, Some((70, 3))), (3, None), (4, None)] {
        let _ = spool.note_moment(1, moment(uptime_us, utc_us)).unwrap();
    }
    let skip = Skip { stream: 1, first: 4, count: 2, cause: SkipCause::Rejected };
    let _ = spool.skip(skip).unwrap();
    spool.resolve(1, 2);
    // Another stream fills segment after segment, and is resolved.
    for from in (0..1_000).step_by(10) {
        fill(&mut spool, 2, from..from + 10, 100);
        spool.resolve(2, from + 10);
    }
    assert!(spool.bytes() < 20_000, "whole segments went");
    spool.sync().unwrap();

    let (mut spool, recovered) = open(disk, SMALL);
    let [stream] = &recovered.streams[..] else { panic!("{recovered:?}") };
    assert_eq!((stream.stream, stream.mark, stream.first, stream.next_row), (1, 2, 2, 10));
    assert_eq!(stream.skips, [skip]);
    assert_eq!(stream.clock, Some(state));
    assert_eq!(stream.moments, [moment(0, None), moment(2, Some((70, 3))), moment(4, None)]);
    assert_eq!(stream.schemas, [(0, DESCRIPTION.to_vec())]);
    assert_eq!(rows(&mut spool, 1, 100), [2, 3, 6, 7, 8, 9]);
    assert!(recovered.damage.is_empty());
}

#[test]
fn a_drained_spool_is_one_small_file_and_knows_its_boots() {
    let disk = Disk::default();
    for boot in 1..=3 {
        let (mut spool, recovered) = open(disk.clone(), SMALL);
        assert_eq!(recovered.boot, boot);
        assert!(recovered.streams.is_empty() && recovered.damage.is_empty(), "{recovered:?}");
        fill(&mut spool, boot.into(), 0..300, 100);
        spool.resolve(boot.into(), 300);
        assert!(spool.is_empty());
        fill(&mut spool, boot.into(), 300..301, 100);
        spool.resolve(boot.into(), 301);
        spool.sync().unwrap();
    }
    let (spool, recovered) = open(disk, SMALL);
    assert!(spool.is_empty() && recovered.streams.is_empty());
    assert!(spool.bytes() <= 2 * 4_096 + 100, "{} bytes", spool.bytes());
}

#[test]
fn streams_are_told_oldest_first_after_any_restart() {
    let disk = Disk::default();
    for stream in [9, 3, 7, 1] {
        let (mut spool, _) = open(disk.clone(), SMALL);
        fill(&mut spool, stream, 0..2, 10);
    }
    let (_, recovered) = open(disk, SMALL);
    let order: Vec<u64> = recovered.streams.iter().map(|stream| stream.stream).collect();
    assert_eq!(order, [9, 3, 7, 1]);
}

#[test]
fn what_was_given_up_is_told_with_its_cause_and_wins_over_a_row() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    fill(&mut spool, 1, 0..20, 10);
    let skip = |first, count, cause| Skip { stream: 1, first, count, cause };
    let _ = spool.skip(skip(5, 3, SkipCause::Rejected)).unwrap();
    let _ = spool.skip(skip(6, 6, SkipCause::Expired)).unwrap(); // The first cause stays.
    let _ = spool.skip(skip(20, 5, SkipCause::Overflow)).unwrap(); // Never on disk.
    let _ = spool.append(&[record(1, 22, 10), record(1, 25, 10)]).unwrap(); // 22 comes too late.
    let (mut spool, recovered) = open(disk, SMALL);
    let expected = [
        skip(5, 3, SkipCause::Rejected),
        skip(8, 4, SkipCause::Expired),
        skip(20, 5, SkipCause::Overflow),
    ];
    assert_eq!(recovered.streams[0].skips, expected);
    let entries = spool.read(1, 0, ALL).unwrap();
    let skips: Vec<Skip> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Skipped(skip) => Some(*skip),
            _ => None,
        })
        .collect();
    assert_eq!(skips, expected);
    assert_eq!(rows(&mut spool, 1, 10), [0, 1, 2, 3, 4, 12, 13, 14, 15, 16, 17, 18, 19, 25]);
    spool.resolve(1, 10);
    assert_eq!(spool.stream(1).unwrap().skips[0], skip(10, 2, SkipCause::Expired));
}

#[test]
fn a_row_with_a_lower_number_is_found_in_its_place() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    fill(&mut spool, 1, 5..10, 10);
    fill(&mut spool, 1, 0..3, 10);
    fill(&mut spool, 1, 7..12, 10); // Three of them again.
    assert_eq!(rows(&mut spool, 1, 10), [0, 1, 2, 5, 6, 7, 8, 9, 10, 11]);
    let (mut spool, _) = open(disk, SMALL);
    assert_eq!(rows(&mut spool, 1, 10), [0, 1, 2, 5, 6, 7, 8, 9, 10, 11]);
}

#[test]
fn what_breaks_a_rule_is_refused_and_changes_nothing() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    fill(&mut spool, 1, 0..1, 10);
    let before = disk.files();
    let good = record(1, 1, 10);
    let cases = [
        vec![Record { row: u32::MAX, ..good.clone() }],
        vec![Record { schema: 1, ..good.clone() }],
        vec![Record { schema: 64, kind: Kind::Counts, ..good.clone() }],
        vec![Record { stream: 2, ..good.clone() }],
        vec![Record { bytes: vec![0; 1_133], ..good.clone() }],
        vec![record(1, 2, 10), good.clone()],
        vec![good.clone(), good],
        (1..6).map(|row| record(1, row, 1_000)).collect(),
    ];
    for case in cases {
        assert!(matches!(spool.append(&case), Err(SpoolError::Invalid { .. })), "{case:?}");
    }
    for (first, count) in [(0, 0), (u32::MAX, 1), (1, u32::MAX)] {
        let skip = Skip { stream: 1, first, count, cause: SkipCause::Lost };
        assert!(matches!(spool.skip(skip), Err(SpoolError::Invalid { .. })), "{skip:?}");
    }
    for (schema, description) in [(0, &b"another"[..]), (64, b"x"), (1, b""), (1, &[0; 16_385])] {
        let told = spool.describe(1, schema, description);
        assert!(matches!(told, Err(SpoolError::Invalid { .. })), "{schema}");
    }
    assert_eq!(disk.files(), before);
    for bytes_max in [0, (64 << 10) - 1, (1 << 40) + 1] {
        let told = senda_client::spool::Spool::open(Disk::default(), Options::new(bytes_max));
        assert!(matches!(told, Err(SpoolError::Options { field: "bytes_max" })));
    }
}

#[test]
fn each_policy_syncs_when_it_says() {
    let syncs = |sync, expected: &[usize]| {
        let disk = Disk::default();
        let (mut spool, _) = open(disk.clone(), Options { sync, ..SMALL });
        spool.describe(1, 0, DESCRIPTION).unwrap();
        let mut seen = Vec::new();
        for row in 0..6 {
            let _ = spool.append(&[record(1, row, 10)]).unwrap();
            seen.push(disk.0.borrow().syncs);
        }
        spool.sync().unwrap();
        seen.push(disk.0.borrow().syncs);
        assert_eq!(seen, expected, "{sync:?}");
        assert_eq!(spool.is_synced(), sync != Sync::Never);
    };
    // The first one is that of the segment's beginning.
    syncs(Sync::Append, &[2, 3, 4, 5, 6, 7, 7]);
    syncs(Sync::Rows(NonZeroU32::new(3).unwrap()), &[1, 1, 2, 2, 2, 3, 3]);
    syncs(Sync::Caller, &[1, 1, 1, 1, 1, 1, 2]);
    syncs(Sync::Never, &[0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn files_of_others_are_left_alone() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    let mut files = disk.files();
    for name in ["lock", "1.spool", "00000001.spool2", "0000001x.spool", "+0000001.spool"] {
        files.insert(name.to_owned(), crate::disk::File { bytes: vec![7; 100], synced: 100 });
    }
    disk.0.borrow_mut().files = files.clone();
    fill(&mut spool, 1, 0..2_000, 100);
    let (_, recovered) = open(disk.clone(), SMALL);
    assert!(recovered.damage.is_empty());
    let after = disk.files();
    assert!(files.iter().all(|(name, file)| after.get(name) == Some(file)));
}

#[test]
fn the_last_number_is_told_to_the_operator() {
    let disk = Disk::default();
    let file = crate::disk::File::default();
    disk.0.borrow_mut().files.insert("99999999.spool".into(), file);
    let told = senda_client::spool::Spool::open(disk, SMALL).map(drop);
    assert!(matches!(told, Err(SpoolError::Exhausted { name }) if name == "99999999.spool"));
}

#[test]
fn a_file_that_can_not_be_read_is_told_and_stays() {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    fill(&mut spool, 1, 0..10, 10);
    disk.0.borrow_mut().faults.read = true;
    assert!(matches!(spool.read(1, 0, ALL), Err(SpoolError::Read { first: 0, last: 9, .. })));
    let before = disk.files();
    let (_, recovered) = open(disk.clone(), SMALL);
    assert!(matches!(recovered.damage[0].what, DamageKind::Unreadable { .. }));
    assert_eq!(disk.files(), before);
    disk.0.borrow_mut().faults.read = false;
    let (mut spool, _) = open(disk, SMALL);
    assert_eq!(rows(&mut spool, 1, 10).len(), 10);
}
