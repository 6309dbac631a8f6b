//! The program in `docs/spool.md` reads what this crate writes.

use std::path::Path;
use std::process::Command;

use senda_client::SkipCause;
use senda_client::spool::{Directory, Entry, Kind, Options, Skip, Spool};

use crate::{ALL, DESCRIPTION, record};

#[test]
fn the_python_program_of_the_documentation_reads_a_spool_past_its_damage() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spool.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let (_, program) = guide.split_once("<!-- reader -->\n```python\n").unwrap();
    let (program, _) = program.split_once("```\n<!-- /reader -->").unwrap();

    let dir = tempfile::tempdir().unwrap();
    write_spool(dir.path());
    let path = dir.path().join("00000002.spool");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[500] ^= 1;
    bytes.extend(b"torn");
    std::fs::write(&path, bytes).unwrap();

    let output = Command::new("python3").arg("-c").arg(program).arg(dir.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), told(dir.path()));
}

fn write_spool(path: &Path) {
    let directory = Directory::open(path).unwrap();
    let (mut spool, _) = Spool::open(directory, Options::new(64 << 10)).unwrap();
    for stream in [0x40d1_e6a2_973b_5cf8, 3] {
        spool.describe(stream, 0, DESCRIPTION).unwrap();
        for row in 0..100 {
            let _ = spool.append(&[record(stream, row, 20)]).unwrap();
        }
    }
    let skip = Skip { stream: 3, first: 90, count: 20, cause: SkipCause::Expired };
    let _ = spool.skip(skip).unwrap();
    spool.resolve(0x40d1_e6a2_973b_5cf8, 17);
    spool.sync().unwrap();
}

/// The same lines, by this crate.
fn told(path: &Path) -> String {
    let directory = Directory::open(path).unwrap();
    let (mut spool, recovered) = Spool::open(directory, Options::new(64 << 10)).unwrap();
    assert_eq!(recovered.damage.len(), 1);
    let mut streams = recovered.streams;
    streams.sort_by_key(|stream| stream.stream);
    let mut lines = String::new();
    for stream in streams {
        for entry in spool.read(stream.stream, 0, ALL).unwrap() {
            let Entry::Row(row) = entry else { continue };
            let code = if row.kind == Kind::Row { 0x10 } else { 0x11 };
            let hex: String = row.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let (stream, number, clock) = (row.stream, row.row, row.clock.code());
            let line = format!(
                "{stream:016x} {number} {code:#x} {} {clock} {} {hex}\n",
                row.schema, row.time_us
            );
            lines.push_str(&line);
        }
    }
    assert_eq!(lines.lines().count(), 100 - 17 + 90 - 1, "one was damaged");
    lines
}
