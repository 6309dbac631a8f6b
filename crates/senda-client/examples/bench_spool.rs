//! Measures the spool: appends a second by policy, bytes a row, recovery and reading of a million rows.
//!
//! `cargo run --release -p senda-client --example bench_spool [DIRECTORY]`
#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Instant;

use senda_client::Clock;
use senda_client::spool::{Directory, Kind, Options, ReadLimits, Record, Spool, SpoolError, Sync};

const ROW_BYTES: usize = 20;
const STREAM: u64 = 0x9f3c_5b1e_7d20_4a68;

fn main() -> Result<(), SpoolError> {
    let path = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let path = path.join(format!("bench_spool.{}", std::process::id()));
    let done = measure(&path);
    let _ = std::fs::remove_dir_all(&path);
    done
}

fn measure(path: &Path) -> Result<(), SpoolError> {
    let hundred = NonZeroU32::new(100).unwrap_or(NonZeroU32::MIN);
    append(path, "row by row, each synced", Sync::Append, 2_000, 1)?;
    append(path, "row by row, synced each 100", Sync::Rows(hundred), 50_000, 1)?;
    append(path, "row by row, synced by segment", Sync::Caller, 200_000, 1)?;
    append(path, "in groups of 100, each synced", Sync::Append, 200_000, 100)?;
    append(path, "in groups of 100, synced by segment", Sync::Caller, 1_000_000, 100)?;

    let begun = Instant::now();
    let (mut spool, recovered) = open(path, Sync::Caller)?;
    let rows: u64 = recovered.streams.iter().map(|stream| stream.rows).sum();
    println!("recovery of {rows} rows: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);

    let begun = Instant::now();
    let (mut at, mut read) = (0, 0);
    let limits = ReadLimits { entries: 500, bytes: 1 << 20 };
    loop {
        let entries = spool.read(STREAM, at, limits)?;
        let Some(last) = entries.last() else { break };
        at = last.rows().1;
        read += entries.len();
        spool.resolve(STREAM, at);
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "reading and resolving, 500 at once: {:.0} rows/s, {read} rows",
        f64::from(at) / seconds
    );
    println!("left: {} bytes", spool.bytes());
    Ok(())
}

fn open(
    path: &Path,
    sync: Sync,
) -> Result<(Spool<Directory>, senda_client::spool::Recovered), SpoolError> {
    Spool::open(Directory::open(path)?, Options { sync, ..Options::new(1 << 30) })
}

/// Appends so many rows to a spool of its own, which is left there.
fn append(path: &Path, what: &str, sync: Sync, rows: u32, group: u32) -> Result<(), SpoolError> {
    let _ = std::fs::remove_dir_all(path);
    let (mut spool, _) = open(path, sync)?;
    spool.describe(STREAM, 0, b"a description")?;
    let begun = Instant::now();
    for first in (0..rows).step_by(usize::try_from(group).unwrap_or(1)) {
        let rows: Vec<Record> = (first..first + group).map(record).collect();
        let _ = spool.append(&rows)?;
    }
    spool.sync()?;
    let seconds = begun.elapsed().as_secs_f64();
    let each = spool.bytes() / u64::from(rows);
    println!("{what}: {:.0} rows/s, {each} bytes a row of {ROW_BYTES}", f64::from(rows) / seconds);
    Ok(())
}

fn record(row: u32) -> Record {
    let (clock, time_us) = (Clock::UtcSynced, i64::from(row) * 1_000_000);
    let bytes = vec![7; ROW_BYTES];
    Record { stream: STREAM, row, kind: Kind::Row, schema: 0, clock, time_us, bytes }
}
