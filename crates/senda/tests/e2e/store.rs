//! What is in a store, by asking `senda query`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::processes::{run, senda};

/// The answer to a SELECT, an object for each row.
#[track_caller]
pub(crate) fn sql(data: &Path, select: &str) -> Vec<Value> {
    let limit = u32::MAX.to_string();
    let mut command = senda(["query", "--format", "json", "--limit", &limit, "--sql", select]);
    let outcome = run(command.arg("--data").arg(data)).succeeded();
    outcome.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The one number that a SELECT asks for; 0 for NULL.
#[track_caller]
pub(crate) fn number(data: &Path, select: &str) -> u64 {
    let rows = sql(data, select);
    let cell = rows.first().and_then(Value::as_object).and_then(|row| row.values().next());
    cell.and_then(Value::as_u64).unwrap_or(0)
}

/// The newest samples on the disk, filed or not, an object for each.
#[track_caller]
pub(crate) fn samples(data: &Path, limit: usize) -> Vec<Value> {
    let mut command = senda(["query", "--format", "json", "--limit", &limit.to_string()]);
    let outcome = run(command.arg("--data").arg(data)).succeeded();
    outcome.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// All rows, by device and stream, after the check that each is there once and none is missing in between.
///
/// For a collector that has stopped: everything is filed then.
#[track_caller]
pub(crate) fn rows_exactly_once(data: &Path) -> BTreeMap<(String, String), u64> {
    assert_eq!(number(data, "SELECT count(*) FROM inbox"), 0, "a drain files what has landed");
    let mut rows = BTreeMap::new();
    for table in sql(data, "SELECT name FROM tables") {
        let name = table["name"].as_str().expect("a name");
        let select = format!(
            "SELECT device, stream, count(*) AS rows, count(DISTINCT row) AS different, \
             min(row) AS first, max(row) AS last FROM \"{name}\" GROUP BY device, stream"
        );
        for line in sql(data, &select) {
            let number = |key: &str| line[key].as_u64().unwrap_or_else(|| panic!("{line}"));
            let count = number("rows");
            assert_eq!(number("different"), count, "a row is there twice: {line}");
            let text = |key: &str| line[key].as_str().expect("text").to_owned();
            // A fleet that runs for long tells its ledger in between, which takes row numbers.
            let counts = self::number(
                data,
                &format!(
                    "SELECT count(*) FROM counts c JOIN streams s ON s.id = c.stream \
                     WHERE printf('%016x', s.stream) = '{}' AND c.row < {}",
                    text("stream"),
                    number("last")
                ),
            );
            let numbers = (number("first"), number("last") + 1);
            assert_eq!(numbers, (0, count + counts), "one is missing: {line}");
            let before = rows.insert((text("device"), text("stream")), count);
            assert_eq!(before, None, "a stream in two tables: {line}");
        }
    }
    rows
}

/// Every value of every sample, with its time and row number, without the stream, which differs from run to run.
#[track_caller]
pub(crate) fn values(data: &Path) -> Vec<String> {
    let mut command = senda(["query", "--format", "csv", "--limit", "1000000"]);
    let outcome = run(command.arg("--data").arg(data)).succeeded();
    let mut lines: Vec<String> = outcome
        .stdout
        .lines()
        .map(|line| {
            let (time_device, rest) =
                line.split_at(line.match_indices(',').nth(1).expect("three").0);
            let (_stream, rest) = rest[1..].split_once(',').expect("four columns");
            format!("{time_device},{rest}")
        })
        .collect();
    lines.sort_unstable();
    lines
}
