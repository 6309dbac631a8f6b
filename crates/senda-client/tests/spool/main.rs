//! The spool against a disk that forgets, tears, fills up and lies.

mod bound; // drop-oldest, and what may not be lost with it
mod child; // a real process, killed
mod disk; // the disk
mod faults; // full and failing disks
mod model; // random histories against a simple model
mod python; // the example reader of docs/spool.md
mod torn; // every cut and every flipped byte
mod usage; // what it is for

use senda_client::Clock;
use senda_client::spool::{
    Entry, Kind, Options, ReadLimits, Record, Recovered, Spool, Storage, Sync,
};

/// As small as a spool can be: segments of 4 KiB.
const SMALL: Options = Options { bytes_max: 64 << 10, sync: Sync::Append };
const ALL: ReadLimits = ReadLimits { entries: usize::MAX, bytes: usize::MAX };
const DESCRIPTION: &[u8] = b"description of schema 0";

/// Row `row` of a stream: `len` bytes that tell which one it is.
fn record(stream: u64, row: u32, len: usize) -> Record {
    let seed = stream.to_be_bytes().into_iter().chain(row.to_be_bytes());
    let bytes = seed.cycle().take(len).collect();
    let time_us = i64::from(row) * 1_000_000;
    Record { stream, row, kind: Kind::Row, schema: 0, clock: Clock::Monotonic, time_us, bytes }
}

fn open<S: Storage>(storage: S, options: Options) -> (Spool<S>, Recovered) {
    Spool::open(storage, options).expect("damage is no error")
}

/// Appends rows one by one, each of so many bytes.
fn fill<S: Storage>(spool: &mut Spool<S>, stream: u64, rows: std::ops::Range<u32>, len: usize) {
    spool.describe(stream, 0, DESCRIPTION).unwrap();
    for row in rows {
        let _ = spool.append(&[record(stream, row, len)]).unwrap();
    }
}

/// Numbers of the rows that are given, and that each is what was appended with `len` bytes.
fn rows<S: Storage>(spool: &mut Spool<S>, stream: u64, len: usize) -> Vec<u32> {
    let entries = spool.read(stream, 0, ALL).unwrap();
    let rows = entries.into_iter().filter_map(|entry| match entry {
        Entry::Row(row) => Some(row),
        _ => None,
    });
    rows.inspect(|row| assert_eq!(*row, record(stream, row.row, len))).map(|row| row.row).collect()
}
