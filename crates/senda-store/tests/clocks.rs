//! Rows of clocks without a date, in the tables: dated when it is known what the clock is worth, once, whatever comes between.
//! Spec §13.2.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{NOW, SECOND, land, open_with, samples, sql};
use proptest::prelude::*;
use senda_store::{Options, Outcome, What, Writer};

const STREAM: u64 = 9;

fn options() -> Options {
    Options { filing_delay: 0, ..Options::default() }
}

/// A row of the simple schema whose value is its number.
fn row(first: u32, clock: u8, device_time: i64) -> What {
    let body = common::body(0, clock, device_time, &[(0, f64::from(first).to_be_bytes().to_vec())]);
    What::Rows { first, count: 1, sparse: false, schema: 0, body, refused: vec![] }
}

fn clock(offset_us: i64, uncertainty_us: u32) -> What {
    What::Clock { offset_us, uncertainty_us, kind: 1 }
}

/// Stored rows by number: time, device time, and whether the time is a guess.
fn stored(dir: &Path) -> BTreeMap<i64, (i64, i64, bool)> {
    let samples = samples(dir);
    let all = samples.len();
    let rows: BTreeMap<_, _> = samples
        .into_iter()
        .map(|sample| {
            let said = sample.device_time.expect("the clock said something");
            (sample.row, (sample.time, said, sample.estimated))
        })
        .collect();
    assert_eq!(all, rows.len(), "a row is there twice");
    rows
}

/// Rows 0 to 4 a second apart, filed before anything is known of the clock, which was at 0 at `NOW`.
fn undated(dir: &Path) -> Writer {
    let mut writer = open_with(dir, options());
    land(&mut writer, "gh-7", STREAM, NOW, common::declare_simple());
    for number in 0..5 {
        let at = i64::from(number) * SECOND;
        // They arrive half a second late.
        land(&mut writer, "gh-7", STREAM, NOW + at + SECOND / 2, row(number, 1, at));
    }
    writer.file_all(NOW + 5 * SECOND).unwrap();
    let late = |number: i64| NOW + number * SECOND + SECOND / 2;
    for (number, (time, _, estimated)) in stored(dir) {
        assert_eq!((time, estimated), (late(number), true), "by reception, until more is known");
    }
    writer
}

#[test]
fn rows_that_were_filed_before_the_first_offset_are_dated_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = undated(dir.path());
    land(&mut writer, "gh-7", STREAM, NOW + 6 * SECOND, clock(NOW, 70));
    writer.file_all(NOW + 7 * SECOND).unwrap();
    for (number, (time, said, estimated)) in stored(dir.path()) {
        let at = number * SECOND;
        assert_eq!((time, said, estimated), (NOW + at, at, false));
    }
    let columns = "time, device_time, delay, flags";
    let expected = format!("{}|{}|{}|1", NOW + SECOND, SECOND, SECOND / 2);
    assert_eq!(
        sql(dir.path(), &format!("select {columns} from _greenhouse where row = 1")),
        expected
    );
    assert_eq!(
        sql(
            dir.path(),
            "select clock_offset, clock_uncertainty, clock_drift is null, to_date is null from streams"
        ),
        format!("{NOW}|70|1|1")
    );
    // Row numbers are as good as ever: what comes again is a duplicate.
    let again = land(&mut writer, "gh-7", STREAM, NOW + 8 * SECOND, row(3, 1, 3 * SECOND));
    assert_eq!(again.outcome, Outcome::Duplicate);
    assert_eq!(sql(dir.path(), "select next_row, resolved, stored from ledger"), "5|5|5");
}

#[test]
fn a_crash_between_slices_leaves_no_row_twice_and_none_undated() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = undated(dir.path());
    land(&mut writer, "gh-7", STREAM, NOW + 6 * SECOND, clock(NOW, 70));
    let mut dir_now = dir.path().to_owned();
    let mut partly = 0;
    for crash in 0..30 {
        // One more row a slice each time, so that every slice is once the last one before a crash.
        for _ in 0..8 {
            writer.file(NOW + 7 * SECOND, 1 + crash / 6).unwrap();
        }
        let copy = dir.path().join(crash.to_string());
        common::crash_copy(&dir_now, &copy);
        writer = open_with(&copy, options());
        dir_now = copy;
        let rows = stored(&dir_now);
        assert_eq!(rows.len(), 5);
        let undated = rows.values().filter(|(_, _, estimated)| *estimated).count();
        partly += usize::from(undated > 0 && undated < 5);
    }
    assert!(partly > 0, "no crash came in the middle");
    assert_eq!(sql(&dir_now, "select count(*) from _greenhouse where flags <> 1"), "0");
    assert_eq!(sql(&dir_now, "select count(*) from streams where to_date is not null"), "0");
}

#[test]
fn rows_of_other_streams_and_clocks_stay_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = undated(dir.path());
    for (stream, kind, said) in [(10, 1, 2 * SECOND), (11, 2, 5), (12, 0, 0), (13, 3, NOW)] {
        land(&mut writer, "gh-7", stream, NOW + SECOND, common::declare_simple());
        land(&mut writer, "gh-7", stream, NOW + SECOND, row(0, kind, said));
    }
    land(&mut writer, "gh-8", STREAM, NOW + SECOND, common::declare_simple());
    land(&mut writer, "gh-8", STREAM, NOW + SECOND, row(0, 1, 0));
    writer.file_all(NOW + 5 * SECOND).unwrap();
    let others = "select d.name, s.stream, r.time, r.flags from _greenhouse r join streams s on s.id = r.stream
        join devices d on d.id = r.device where not (d.name = 'gh-7' and s.stream = 9) order by 1, 2";
    let before = sql(dir.path(), others);
    land(&mut writer, "gh-7", STREAM, NOW + 6 * SECOND, clock(NOW, 70));
    writer.file_all(NOW + 7 * SECOND).unwrap();
    assert_eq!(sql(dir.path(), others), before);
    assert_eq!(stored_of(dir.path(), STREAM), 5);
}

fn stored_of(dir: &Path, stream: u64) -> usize {
    samples(dir)
        .iter()
        .filter(|s| s.stream == stream && !s.estimated && &*s.device == "gh-7")
        .count()
}

/// Spec §13.2a: an offset that puts a row before 2000 or after its reception is not believed.
#[test]
fn an_offset_that_is_not_plausible_dates_nothing() {
    for offset in [0, -NOW, NOW + 3 * 86_400 * SECOND, i64::MAX, i64::MIN] {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = undated(dir.path());
        land(&mut writer, "gh-7", STREAM, NOW + 6 * SECOND, clock(offset, 70));
        writer.file_all(NOW + 7 * SECOND).unwrap();
        assert!(stored(dir.path()).values().all(|(_, _, estimated)| *estimated), "{offset}");
        assert_eq!(sql(dir.path(), "select count(*) from streams where to_date is not null"), "0");
    }
}

/// A device that asks for the first time says that it knows nothing.
#[test]
fn an_offset_that_the_device_does_not_know_dates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = undated(dir.path());
    land(&mut writer, "gh-7", STREAM, NOW + 6 * SECOND, clock(0, u32::MAX));
    writer.file_all(NOW + 7 * SECOND).unwrap();
    assert_eq!(sql(dir.path(), "select clock_offset is null, to_date is null from streams"), "1|1");
    land(&mut writer, "gh-7", STREAM, NOW + 8 * SECOND, clock(NOW, 70));
    writer.file_all(NOW + 9 * SECOND).unwrap();
    assert_eq!(stored_of(dir.path(), STREAM), 5);
}

/// New rows do not starve those that wait for their time.
#[test]
fn rows_are_dated_though_more_rows_come_all_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = undated(dir.path());
    land(&mut writer, "gh-7", STREAM, NOW + 6 * SECOND, clock(NOW, 70));
    for number in 5..60 {
        let at = i64::from(number) * SECOND;
        land(&mut writer, "gh-7", STREAM, NOW + at + SECOND / 2, row(number, 1, at));
        // A run takes several slices: when it is over, more has landed.
        writer.file(NOW + at + SECOND, 3).unwrap();
        assert!(writer.inbox().bytes > 0);
    }
    let undated = "select count(*) from _greenhouse where flags = 5";
    assert_eq!(sql(dir.path(), undated), "0");
    assert_eq!(stored_of(dir.path(), STREAM), 60, "landed or filed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A monotonic clock that drifts, offsets now and then, rows in between, filing whenever it likes: after the first offset
    /// no row is off by more than the uncertainty and 100 us for each second from the offset that dates it.
    #[test]
    fn the_error_of_a_time_is_bounded_by_what_the_store_states(
        ppb in -100_000i64..100_000,
        steps in prop::collection::vec((1i64..200 * SECOND, 0u8..10, 0u32..3_000), 1..60),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = open_with(dir.path(), options());
        land(&mut writer, "gh-7", STREAM, NOW, common::declare_simple());
        let says = |elapsed: i64| elapsed + elapsed / 1_000 * ppb / 1_000_000;
        let (mut elapsed, mut number) = (0, 0);
        let mut truth = BTreeMap::new();
        let mut offsets: Vec<(i64, u32)> = Vec::new();
        for (wait, what, uncertainty) in steps {
            elapsed += wait;
            match what {
                0..=6 => {
                    let verdict = land(&mut writer, "gh-7", STREAM, NOW + elapsed, row(number, 1, says(elapsed)));
                    prop_assert_eq!(verdict.outcome, Outcome::Stored);
                    truth.insert(i64::from(number), elapsed);
                    number += 1;
                }
                7 | 8 => {
                    let offset = NOW + elapsed - says(elapsed);
                    land(&mut writer, "gh-7", STREAM, NOW + elapsed, clock(offset, uncertainty));
                    offsets.push((elapsed, uncertainty));
                }
                _ => drop(writer.file(NOW + elapsed, 3).unwrap()),
            }
        }
        writer.file_all(NOW + elapsed).unwrap();
        for (number, (time, _, estimated)) in stored(dir.path()) {
            let taken = truth[&number];
            prop_assert_eq!(estimated, offsets.is_empty());
            // The last offset before it, or the first one.
            let by = offsets.iter().rev().find(|(at, _)| *at <= taken).or(offsets.first());
            if let Some((at, uncertainty)) = by {
                let stated = u64::from(*uncertainty) + at.abs_diff(taken) / 10_000 + 10;
                let off = time.abs_diff(NOW + taken);
                prop_assert!(off <= stated, "row {number}: {off} us, not {stated} us");
            }
        }
        prop_assert_eq!(samples(dir.path()).len(), truth.len());
    }
}

#[test]
fn a_step_of_the_clock_moves_only_what_comes_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open_with(dir.path(), options());
    land(&mut writer, "gh-7", STREAM, NOW, common::declare_simple());
    // The device slept for an hour at second 300, and its clock with it.
    let slept = 3_600 * SECOND;
    for (number, second) in (0..).zip(0..600) {
        let at = second * SECOND;
        let now = NOW + at + if second >= 300 { slept } else { 0 };
        if second % 60 == 0 {
            land(&mut writer, "gh-7", STREAM, now, clock(now - at, 100));
        }
        land(&mut writer, "gh-7", STREAM, now, row(number, 1, at));
    }
    writer.file_all(NOW + 2 * slept).unwrap();
    for (number, (time, ..)) in stored(dir.path()) {
        let slept = if number >= 300 { slept } else { 0 };
        assert_eq!(time, NOW + number * SECOND + slept, "row {number}");
    }
    assert_eq!(sql(dir.path(), "select abs(coalesce(clock_drift, 0)) < 0.1 from streams"), "1");
}
