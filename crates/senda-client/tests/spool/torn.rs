//! Every cut and every flipped byte: what was written is there, and nothing is invented.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proptest::prelude::*;
use senda_client::SkipCause;
use senda_client::spool::{DamageKind, Entry, Kind, Record, Skip};

use crate::disk::{Disk, File};
use crate::{ALL, DESCRIPTION, SMALL, open, record};

type Files = BTreeMap<String, File>;

const SKIPPED: Skip = Skip { stream: 1, first: 3, count: 2, cause: SkipCause::Rejected };

/// Three segments with two streams, a skip and a mark.
fn small_spool() -> (Files, Vec<Record>) {
    let disk = Disk::default();
    let (mut spool, _) = open(disk.clone(), SMALL);
    let mut made = Vec::new();
    for row in 0..60 {
        for stream in [1, 2] {
            spool.describe(stream, 0, DESCRIPTION).unwrap();
            let kind = if row % 7 == 6 { Kind::Sparse } else { Kind::Row };
            let new = Record { kind, ..record(stream, row, 40 + row as usize % 5) };
            made.push(new.clone());
            let _ = spool.append(&[new]).unwrap();
        }
        if row == 10 {
            let _ = spool.skip(SKIPPED).unwrap();
            spool.resolve(2, 4);
            spool.sync().unwrap();
        }
    }
    let files = disk.files();
    assert_eq!(files.len(), 3);
    (files, made)
}

/// Where a frame is, and which row it holds: stream and number.
type Frame = (Range<usize>, Option<(u64, u32)>);

/// Frames of a file, by the tables of `docs/spool.md` alone.
fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut found = Vec::new();
    let mut at = 20;
    while at < bytes.len() {
        let body = usize::from(u16::from_be_bytes([bytes[at + 4], bytes[at + 5]]));
        let end = at + 7 + body;
        let is_row = [0x10, 0x11, 0x1E].contains(&bytes[at + 6]);
        let stream = || u64::from_be_bytes(bytes[at + 7..at + 15].try_into().unwrap());
        let row = || u32::from_be_bytes(bytes[at + 15..at + 19].try_into().unwrap());
        found.push((at..end, is_row.then(|| (stream(), row()))));
        at = end;
    }
    found
}

/// Opens it, and reads all. Whatever is given was made, or given up; returns the rows.
fn read_honestly(files: Files, made: &[Record]) -> (BTreeSet<(u64, u32)>, Vec<DamageKind>) {
    let (mut spool, recovered) = open(Disk::with(files), SMALL);
    let mut given = BTreeSet::new();
    for stream in recovered.streams.iter().map(|stream| stream.stream) {
        let mut at = 0;
        for entry in spool.read(stream, 0, ALL).unwrap() {
            assert!(entry.rows().0 >= at && entry.rows().1 > entry.rows().0, "{entry:?}");
            at = entry.rows().1;
            match entry {
                Entry::Row(row) => {
                    // They were made in order: two streams in turn.
                    let at = row.row as usize * 2 + usize::from(row.stream == 2);
                    assert_eq!(made.get(at), Some(&row), "it was never made");
                    assert!(given.insert((row.stream, row.row)));
                }
                Entry::Skipped(skip) => assert_eq!(skip, SKIPPED),
                Entry::Missing { .. } => {}
            }
        }
        assert!(at <= 60);
    }
    (given, recovered.damage.into_iter().map(|damage| damage.what).collect())
}

/// Rows that a whole spool gives.
fn is_given(row: (u64, u32)) -> bool {
    if row.0 == 1 { !(3..5).contains(&row.1) } else { row.1 >= 4 }
}

#[test]
fn a_file_cut_at_any_byte_gives_every_record_before_the_cut() {
    let (files, made) = small_spool();
    let last = files.keys().next_back().unwrap().clone();
    let whole = files[&last].bytes.clone();
    let others = files.iter().filter(|(name, _)| **name != last);
    let before: Vec<(u64, u32)> = others
        .flat_map(|(_, file)| frames(&file.bytes))
        .filter_map(|(_, row)| row.filter(|row| is_given(*row)))
        .collect();
    for cut in 0..=whole.len() {
        let mut files = files.clone();
        files.get_mut(&last).unwrap().bytes.truncate(cut);
        let (given, damage) = read_honestly(files, &made);
        let here = frames(&whole).into_iter().filter(|(at, _)| at.end <= cut);
        let expected = before.iter().copied().chain(here.filter_map(|(_, row)| row)).collect();
        assert_eq!(given, expected, "cut at {cut}");
        let ends: Vec<usize> = frames(&whole).iter().map(|(at, _)| at.end).collect();
        let is_whole = cut == 0 || cut == 20 || ends.contains(&cut);
        assert_eq!(damage.is_empty(), is_whole, "cut at {cut}: {damage:?}");
        assert!(damage.iter().all(|what| *what == DamageKind::TornTail), "cut at {cut}");
    }
}

#[test]
fn a_flipped_byte_costs_the_record_that_it_is_in_and_nothing_else() {
    let (files, made) = small_spool();
    let (whole, _) = read_honestly(files.clone(), &made);
    assert_eq!(whole.len(), 60 - 2 + 60 - 4);
    for (name, file) in &files {
        let frames = frames(&file.bytes);
        for at in 0..file.bytes.len() {
            let mut files = files.clone();
            files.get_mut(name).unwrap().bytes[at] ^= 1 << (at % 8);
            let (given, damage) = read_honestly(files, &made);
            let hit = frames.iter().find(|(range, _)| range.contains(&at));
            let lost = hit.and_then(|(_, row)| *row);
            let missing: Vec<_> = whole.difference(&given).collect();
            assert!(
                missing.iter().all(|row| Some(**row) == lost),
                "{name}, byte {at}: {missing:?}"
            );
            assert!(given.is_subset(&whole), "{name}, byte {at}: resolved or given up, and back");
            assert_eq!(missing.is_empty(), lost.is_none_or(|row| !is_given(row)));
            let is_last = hit.is_some_and(|(range, _)| range.end == file.bytes.len());
            let told = match &damage[..] {
                [DamageKind::TornTail] => is_last,
                [DamageKind::Middle { kept: Some(copy) }] => *copy == format!("{name}.damaged"),
                _ => false,
            };
            assert!(told, "{name}, byte {at}: {damage:?}");
        }
    }
}

#[test]
fn a_damaged_file_is_kept_as_it_was_and_only_two_are() {
    let (mut files, made) = small_spool();
    for file in files.values_mut() {
        file.bytes[30] ^= 1;
    }
    let disk = Disk::with(files.clone());
    let (spool, recovered) = open(disk.clone(), SMALL);
    let kept = recovered.damage.iter().filter(|damage| match &damage.what {
        DamageKind::Middle { kept: Some(copy) } => {
            disk.files()[copy].bytes == files[&damage.name].bytes
        }
        _ => false,
    });
    assert_eq!((kept.count(), recovered.damage.len()), (2, 3));
    drop(spool);
    let again = open(disk.clone(), SMALL).1;
    assert_eq!(again.damage, recovered.damage, "no third copy is made");
    assert_eq!(disk.files().len(), 5);
    read_honestly(disk.files(), &made);
}

#[test]
fn old_blocks_of_another_segment_are_no_records() {
    let (files, made) = small_spool();
    let (whole, _) = read_honestly(files.clone(), &made);
    let names: Vec<&String> = files.keys().collect();
    // What a file system may show after a power cut: blocks of a file that was removed.
    let mut stale = files.clone();
    let (first, last) = (&files[names[0]].bytes, stale.get_mut(names[2]).unwrap());
    last.bytes.extend(&first[last.bytes.len()..]);
    assert_eq!(read_honestly(stale, &made).0, whole);
    // A file under the name of another one.
    let mut moved = files.clone();
    let first = moved.remove(names[0]).unwrap();
    let gone: BTreeSet<_> = frames(&first.bytes).into_iter().filter_map(|(_, row)| row).collect();
    moved.insert("00000009.spool".into(), first);
    assert_eq!(read_honestly(moved, &made).0, whole.difference(&gone).copied().collect());
}

#[test]
fn a_record_that_is_damaged_while_the_spool_is_open_is_missing_and_the_rest_is_read() {
    let (files, made) = small_spool();
    let name = files.keys().next().unwrap().clone();
    let (range, row) = frames(&files[&name].bytes)
        .into_iter()
        .filter(|(_, row)| row.is_some_and(is_given))
        .nth(20)
        .unwrap();
    let (stream, row) = row.unwrap();
    let disk = Disk::with(files);
    let (mut spool, _) = open(disk.clone(), SMALL);
    disk.0.borrow_mut().files.get_mut(&name).unwrap().bytes[range.start + 30] ^= 0x10;
    let entries = spool.read(stream, 0, ALL).unwrap();
    assert!(entries.contains(&Entry::Missing { first: row, count: 1 }));
    let rows = entries.iter().filter(|entry| matches!(entry, Entry::Row(_))).count();
    let all = made.iter().filter(|made| made.stream == stream && is_given((stream, made.row)));
    assert_eq!(rows + 1, all.count());
}

proptest! {
    /// Whatever is in the files: no panic, and no row that was not made.
    #[test]
    fn any_bytes_are_opened_and_read(
        noise in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..50),
        tail in proptest::collection::vec(any::<u8>(), 0..200),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut files, made) = small_spool();
        let count = files.len();
        for (at, byte) in noise {
            let file = files.values_mut().nth(usize::from(byte) % count).unwrap();
            let at = at.index(file.bytes.len());
            file.bytes[at] = byte;
        }
        let file = files.values_mut().nth(cut.index(count)).unwrap();
        file.bytes.truncate(cut.index(file.bytes.len()));
        file.bytes.extend(tail);
        read_honestly(files, &made);
    }

    /// Frames with a right checksum whose contents make no sense.
    #[test]
    fn frames_of_any_content_are_opened_and_read(
        bodies in proptest::collection::vec((any::<u8>(), 0..70usize, any::<u64>()), 1..40),
    ) {
        let mut bytes = b"SENDASPL\x00\x00\x00\x01\xff\xff\xff\xff".to_vec();
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        for (code, len, seed) in bodies {
            let known = [0x01, 0x04, 0x10, 0x11, 0x1E, 0x1F, 0x40, 0x80, 0x81];
            let code = if seed % 9 == 0 { code } else { known[usize::from(code) % known.len()] };
            let len = match (code, seed % 3) {
                (0x01, 0..2) => 16,
                (0x1F, 0..2) => 17,
                (0x40, 0..2) => 29,
                (0x81, 0..2) => 48,
                _ => len,
            };
            let noise = seed.to_be_bytes();
            let mut rest = u16::try_from(len).unwrap().to_be_bytes().to_vec();
            rest.push(code);
            rest.extend([0, 0, 0, 0, 0, 0, 0, (seed % 3) as u8].iter().chain(noise.iter().cycle()).take(len));
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&1_u32.to_be_bytes());
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(&rest);
            bytes.extend(hasher.finalize().to_be_bytes());
            bytes.extend(rest);
        }
        let files = [("00000001.spool".to_owned(), File { synced: bytes.len(), bytes })].into();
        let disk = Disk::with(files);
        let (mut spool, recovered) = open(disk.clone(), SMALL);
        prop_assert_eq!(recovered.boot, u32::MAX);
        for stream in spool.streams() {
            let mut at = stream.mark;
            for entry in spool.read(stream.stream, 0, ALL).unwrap() {
                prop_assert_eq!(entry.rows().0, at);
                at = entry.rows().1;
            }
            prop_assert_eq!(at, stream.next_row);
        }
        let _ = spool.describe(77, 0, DESCRIPTION);
        let _ = spool.append(&[record(77, 0, 10)]);
        for stream in spool.streams() {
            spool.resolve(stream.stream, stream.next_row);
        }
        prop_assert!(spool.is_empty());
    }
}
