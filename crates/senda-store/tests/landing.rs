//! What `land` answers, and what a restart makes of it.

mod common;

use common::{NOW, SECOND, channel, describe, land, landing, open, open_with, samples, sql};
use senda_store::{Options, Outcome, Range, What};
use senda_wire::ValueType::{F32, U8};

/// Spec §7.2a.
#[test]
fn a_65th_range_does_not_land() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    for gap in 1..=64 {
        let verdict = land(&mut writer, "gh-7", 1, NOW, common::simple_rows(gap * 2, NOW, &[1.0]));
        assert_eq!(verdict.outcome, Outcome::Stored);
    }
    let verdict = land(&mut writer, "gh-7", 1, NOW, common::simple_rows(1_000, NOW, &[1.0]));
    assert_eq!((verdict.outcome, verdict.ranges.len()), (Outcome::Window, 64));
    let verdict =
        land(&mut writer, "gh-7", 1, NOW, What::Skip { first: 1_000, count: 1, cause: 1 });
    assert_eq!(verdict.outcome, Outcome::Window);
    assert_eq!(samples(dir.path()).len(), 64);
    // A SKIP over all the holes fills them: 65 pieces of one message.
    let verdict =
        land(&mut writer, "gh-7", 1, NOW, What::Skip { first: 0, count: 1_000, cause: 1 });
    assert_eq!(
        (verdict.outcome, verdict.next_row, verdict.ranges),
        (Outcome::PartlyDuplicate, 1_000, vec![])
    );
    writer.file_all(NOW).unwrap();
    assert_eq!(sql(dir.path(), "select stored, skipped from ledger"), "64|936");
}

/// Spec §2.3: the last row number is 0xFFFFFFFE.
#[test]
fn the_last_row_lands_and_one_beyond_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    let verdict = land(&mut writer, "gh-7", 1, NOW, common::simple_rows(u32::MAX - 1, NOW, &[1.0]));
    assert_eq!(verdict.outcome, Outcome::Stored);
    let verdict =
        land(&mut writer, "gh-7", 1, NOW, common::simple_rows(u32::MAX - 1, NOW, &[1.0, 2.0]));
    assert_eq!(verdict.outcome, Outcome::Window);
    let verdict =
        land(&mut writer, "gh-7", 1, NOW, What::Skip { first: 0, count: u32::MAX - 1, cause: 2 });
    assert_eq!((verdict.outcome, verdict.next_row), (Outcome::Stored, u32::MAX));
    drop(writer);
    let mut writer = open(dir.path());
    assert_eq!(writer.stream("gh-7", 1, NOW).unwrap().next_row, u32::MAX);
}

/// Spec §5.4.
#[test]
fn a_schema_is_declared_once_and_kept_with_its_stream() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let other = describe("greenhouse", &[channel("humidity", F32, 0, 1, "%RH")]);
    let rows = || common::simple_rows(0, NOW, &[1.0]);
    assert_eq!(land(&mut writer, "gh-7", 1, NOW, rows()).outcome, Outcome::UnknownSchema);
    // In one batch, in order: the rows may follow their schema at once.
    let batch =
        [landing("gh-7", 1, NOW, common::declare_simple()), landing("gh-7", 1, NOW, rows())];
    let outcomes: Vec<_> =
        writer.land(&batch, NOW).into_iter().map(|verdict| verdict.outcome).collect();
    assert_eq!(outcomes, [Outcome::Stored, Outcome::Stored]);
    assert_eq!(
        land(&mut writer, "gh-7", 1, NOW, common::declare_simple()).outcome,
        Outcome::Duplicate
    );
    assert_eq!(
        land(&mut writer, "gh-7", 1, NOW, common::declare(0, other.clone())).outcome,
        Outcome::Conflict
    );
    assert_eq!(
        land(&mut writer, "gh-7", 2, NOW, common::declare(0, other.clone())).outcome,
        Outcome::Stored
    );
    assert_eq!(
        land(&mut writer, "gh-7", 1, NOW, common::declare(64, other.clone())).outcome,
        Outcome::TooManySchemas
    );
    assert_eq!(
        land(&mut writer, "gh-7", 1, NOW, common::declare(1, b"nonsense".to_vec())).outcome,
        Outcome::Invalid
    );
    for filed in [false, true] {
        if filed {
            writer.file_all(NOW).unwrap();
        }
        drop(writer);
        writer = open(dir.path());
        let state = writer.stream("gh-7", 2, NOW).unwrap();
        assert_eq!(state.schemas, [(0, other.clone().into())], "filed: {filed}");
        assert_eq!(
            land(&mut writer, "gh-7", 2, NOW, common::declare_simple()).outcome,
            Outcome::Conflict
        );
    }
}

#[test]
fn what_does_not_fit_together_is_invalid_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    let body = common::body(0, 3, NOW, &[(0, 1.0f64.to_be_bytes().to_vec())]);
    let rows = |count, schema, refused| What::Rows {
        first: 0,
        count,
        sparse: false,
        schema,
        body: body.clone(),
        refused,
    };
    for what in [
        rows(2, 0, vec![]),
        rows(1, 1, vec![]),
        rows(1, 0, vec![(1, 301)]),
        What::Skip { first: 0, count: 0, cause: 1 },
        What::Counts { row: u32::MAX, made: 0, causes: vec![] },
        What::Rows { first: 0, count: 1, sparse: false, schema: 0, body: vec![], refused: vec![] },
    ] {
        let verdict = land(&mut writer, "gh-7", 1, NOW, what);
        assert_eq!((verdict.outcome, verdict.next_row), (Outcome::Invalid, 0));
    }
    assert_eq!(
        land(&mut writer, "no spaces", 1, NOW, common::declare_simple()).outcome,
        Outcome::Invalid
    );
    assert_eq!(samples(dir.path()).len(), 0);
}

/// Spec §7.6c.
#[test]
fn a_refusal_is_remembered_landed_filed_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let bools = describe("b", &[channel("on", senda_wire::ValueType::Bool, 0, 1, "")]);
    land(&mut writer, "gh-7", 1, NOW, common::declare(0, bools));
    let rows = [(0, vec![1]), (1, vec![2]), (2, vec![3]), (3, vec![0])];
    let body = common::body(0, 3, NOW, &rows);
    let message = What::Rows {
        first: 0,
        count: 4,
        sparse: false,
        schema: 0,
        body,
        refused: vec![(1, 301), (2, 301)],
    };
    let refused = vec![(Range { start: 1, end: 3 }, 301)];
    let verdict = land(&mut writer, "gh-7", 1, NOW, message.clone());
    assert_eq!(
        (verdict.outcome, verdict.next_row, verdict.refused),
        (Outcome::Stored, 4, refused.clone())
    );
    for round in 0..4 {
        let verdict = land(&mut writer, "gh-7", 1, NOW, message.clone());
        assert_eq!(
            (verdict.outcome, verdict.refused),
            (Outcome::Duplicate, refused.clone()),
            "round {round}"
        );
        if round == 1 {
            writer.file_all(NOW).unwrap();
        }
        if round != 1 {
            drop(writer);
            writer = open(dir.path());
        }
    }
    assert_eq!(
        sql(dir.path(), "select first, last, code, message, bytes from refused"),
        "1|2|301|16|02\n2|3|301|16|03"
    );
    assert_eq!(sql(dir.path(), "select row, \"on\" from b order by row"), "0|1\n3|0");
}

#[test]
fn marks_of_more_streams_than_the_cache_holds_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { streams_cached_max: 10, ..Options::default() };
    let mut writer = open_with(dir.path(), options);
    for round in 0..3u32 {
        for stream in 0..200 {
            let device = format!("d{}", stream % 7);
            let batch = [
                landing(&device, stream, NOW, common::declare_simple()),
                landing(&device, stream, NOW, common::simple_rows(round, NOW, &[1.0])),
            ];
            let verdicts = writer.land(&batch, NOW);
            assert_eq!(verdicts[1].next_row, round + 1);
        }
        writer.file_all(NOW).unwrap();
        assert!(writer.inbox().streams <= 10, "{:?}", writer.inbox());
    }
    assert_eq!(samples(dir.path()).len(), 600);
}

#[test]
fn unacknowledged_rows_are_stored_below_zero_and_outside_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    land(&mut writer, "gh-7", 1, NOW, common::declare_simple());
    let body = common::body(
        0,
        3,
        NOW,
        &[(0, 1.0f64.to_be_bytes().to_vec()), (9, 2.0f64.to_be_bytes().to_vec())],
    );
    for counter in [0, u32::MAX] {
        let what = What::Unacked { counter, count: 2, schema: 0, body: body.clone() };
        let verdict = land(&mut writer, "gh-7", 1, NOW, what);
        assert_eq!((verdict.outcome, verdict.next_row), (Outcome::Stored, 0));
    }
    writer.file_all(NOW).unwrap();
    assert_eq!(
        sql(dir.path(), "select row, temperature from greenhouse order by row desc"),
        "-1|1.0\n-2|2.0\n-70368744161281|1.0\n-70368744161282|2.0"
    );
    assert_eq!(sql(dir.path(), "select resolved, stored from ledger"), "0|0");
}

/// A collector's clock may be corrected by hours: what has landed before must not wait for the old time to come again.
#[test]
fn a_clock_that_is_set_back_does_not_hold_up_filing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open_with(dir.path(), Options::default());
    writer.land(&[landing("gh-7", 1, NOW, common::declare_simple())], NOW);
    let earlier = NOW - 3_600_000_000;
    for _ in 0..20 {
        writer.file(earlier, 100).unwrap();
    }
    assert_eq!(writer.inbox().bytes, 0);
}

/// Spec §13.2: an offset dates what lands after it, and the first one what landed before it; the same whether a crash comes
/// between or not.
#[test]
fn a_monotonic_clock_is_dated_by_the_offset_that_was_known_when_its_rows_landed() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { filing_delay: 0, ..Options::default() };
    let mut writer = open_with(dir.path(), options());
    let row = |first, t0| {
        let body = common::body(0, 1, t0, &[(0, f64::from(first).to_be_bytes().to_vec())]);
        What::Rows { first, count: 1, sparse: false, schema: 0, body, refused: vec![] }
    };
    let clock = |offset_us| What::Clock { offset_us, uncertainty_us: 1, kind: 1 };
    let batch = [
        common::declare_simple(),
        row(0, 5),
        clock(NOW - 1_000),
        row(1, 5),
        clock(NOW - 2_000),
        row(2, 5),
    ];
    writer.land(&batch.map(|what| landing("gh-7", 1, NOW, what)), NOW);
    let expected = format!("{0}|0\n{0}|0\n{1}|0", NOW - 995, NOW - 1_995);
    let mut dir_now = dir.path().to_owned();
    // Crashes after each slice of one row.
    for crash in 0..20 {
        for _ in 0..4 {
            writer.file(NOW, 1).unwrap();
        }
        let copy = dir.path().join(crash.to_string());
        common::crash_copy(&dir_now, &copy);
        writer = open_with(&copy, options());
        dir_now = copy;
        let mut seen: Vec<_> =
            samples(&dir_now).iter().map(|sample| (sample.row, sample.time)).collect();
        seen.sort_unstable();
        let (first, others) = seen.split_first().unwrap();
        assert!([(0, NOW), (0, NOW - 995)].contains(first), "crash {crash}: {first:?}");
        assert_eq!(others, [(1, NOW - 995), (2, NOW - 1_995)], "crash {crash}");
    }
    land(&mut writer, "gh-7", 1, NOW, row(3, 6));
    writer.file_all(NOW + SECOND).unwrap();
    assert_eq!(
        sql(&dir_now, "select time, estimated from greenhouse where row < 3 order by row"),
        expected
    );
    assert_eq!(
        sql(&dir_now, "select time from greenhouse where row = 3"),
        (NOW - 1_994).to_string()
    );
}

/// What has no key of its own would be there twice, if a run began anew after a crash.
#[test]
fn an_event_is_filed_once_whatever_crashes_come_between() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { filing_delay: 0, ..Options::default() };
    let mut writer = open_with(dir.path(), options());
    let event = |text: usize| What::Event { kind: "displaced".into(), text: text.to_string() };
    let batch: Vec<_> = (0..10).map(|text| landing("gh-7", 1, NOW, event(text))).collect();
    writer.land(&batch, NOW);
    let mut dir_now = dir.path().to_owned();
    for crash in 0..8 {
        for _ in 0..5 {
            writer.file(NOW, 1).unwrap();
        }
        let copy = dir.path().join(crash.to_string());
        common::crash_copy(&dir_now, &copy);
        writer = open_with(&copy, options());
        dir_now = copy;
        // Inbox ids must not be used again, or this would be taken for a part of the run.
        land(&mut writer, "gh-7", 1, NOW, event(10 + crash));
    }
    writer.file_all(NOW).unwrap();
    let texts =
        sql(&dir_now, "select group_concat(text) from (select text from events order by id)");
    assert_eq!(texts, (0..18).map(|text| text.to_string()).collect::<Vec<_>>().join(","));
}

#[test]
fn a_batch_of_any_size_is_one_commit_and_filed_in_short_slices() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let description = describe("bytes", &[channel("x", U8, 0, 1, "")]);
    land(&mut writer, "gh-7", 1, NOW, common::declare(0, description));
    let rows: Vec<_> = (0..16_000).map(|index| (index, vec![7])).collect();
    let message = |first| {
        let body = common::body(0, 3, NOW, &rows);
        landing(
            "gh-7",
            1,
            NOW,
            What::Rows { first, count: 16_000, sparse: false, schema: 0, body, refused: vec![] },
        )
    };
    let batch: Vec<_> = (0..5).map(|number| message(number * 16_000)).collect();
    let verdicts = writer.land(&batch, NOW);
    assert!(
        verdicts
            .iter()
            .all(|verdict| verdict.outcome == Outcome::Stored && verdict.next_row == 80_000)
    );
    let mut filed = 0;
    while let Some(_due) = writer.file(NOW, 500).unwrap().due {
        let filing = writer.file(NOW + 10 * SECOND, 500).unwrap();
        assert!(filing.rows <= 500);
        filed += filing.rows;
    }
    assert!(filed > 0);
    assert_eq!(sql(dir.path(), "select count(*), sum(x) from bytes"), "80000|560000");
}
