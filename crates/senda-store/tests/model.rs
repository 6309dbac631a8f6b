//! The store against a model: what a few maps say must be stored, whatever comes in which order, and whatever fails.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use common::{BAD_VALUE, NOW, SECOND};
use proptest::prelude::*;
use senda_store::{
    Fault, FaultHook, KeptWhat, Landing, Ledger, Options, Outcome, Place, Range, Reader, Sample,
    StoreError, Value, What, Writer,
};

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Land(Vec<Message>),
    File { budget: usize },
    Reopen,
    Crash,
    FailLand(Vec<Message>),
    FailSync(Vec<Message>),
    FailFile,
    Look,
}

#[derive(Clone, Debug)]
struct Message {
    stream: u64,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Rows { first: u32, count: u16, sparse: bool, bad: Option<u16>, clock: u8 },
    Skip { first: u32, count: u32 },
    Counts { row: u32 },
    Refused { first: u32, count: u32 },
    Clock { offset: i64 },
    Unacked,
}

/// What became of a row, and with which seed it came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Stored { seed: u64, sparse: bool },
    Refused(u16),
    Skipped,
    Counts,
}

fn message() -> impl Strategy<Value = Message> {
    let kind = prop_oneof![
        10 => (0u32..300, 1u16..9, any::<bool>(), prop::option::weighted(0.2, 0u16..9), 0u8..4)
            .prop_map(|(first, count, sparse, bad, clock)| Kind::Rows {
                first, count, sparse, bad: bad.filter(|bad| *bad < count), clock
            }),
        2 => (0u32..300, 1u32..20).prop_map(|(first, count)| Kind::Skip { first, count }),
        1 => (0u32..300).prop_map(|row| Kind::Counts { row }),
        1 => (0u32..300, 1u32..5).prop_map(|(first, count)| Kind::Refused { first, count }),
        1 => (-5 * SECOND..NOW).prop_map(|offset| Kind::Clock { offset }),
        1 => Just(Kind::Unacked),
    ];
    (0u64..3, kind).prop_map(|(stream, kind)| Message { stream, kind })
}

fn step() -> impl Strategy<Value = Step> {
    let batch = || prop::collection::vec(message(), 1..6);
    prop_oneof![
        12 => batch().prop_map(Step::Land),
        12 => (1usize..40).prop_map(|budget| Step::File { budget }),
        1 => Just(Step::Reopen),
        2 => Just(Step::Crash),
        1 => batch().prop_map(Step::FailLand),
        1 => batch().prop_map(Step::FailSync),
        1 => Just(Step::FailFile),
        1 => Just(Step::Look),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Spec §2.1a, §2.4a, §4.3a, §7.1, §7.2: stored once, marks equal, values exact bit for bit; and nothing of it
    /// depends on filing, crashes and failures.
    #[test]
    fn every_history_stores_what_the_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.look();
        let now = world.now;
        world.writer().file_all(now).expect("filing");
        world.look();
        world.check_ledger();
        world.reopen();
        world.look();
    }
}

struct World {
    _home: tempfile::TempDir,
    dir: PathBuf,
    crashes: usize,
    writer: Option<Writer>,
    fault: Arc<AtomicU8>,
    now: i64,
    seed: u64,
    counter: u32,
    model: BTreeMap<u64, BTreeMap<u32, Fate>>,
    unacked: usize,
}

const NO_FAULT: u8 = 255;

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let dir = home.path().join("0");
        let fault = Arc::new(AtomicU8::new(NO_FAULT));
        let mut world = Self {
            _home: home,
            dir,
            crashes: 0,
            writer: None,
            fault,
            now: NOW,
            seed: 0,
            counter: 0,
            model: BTreeMap::new(),
            unacked: 0,
        };
        world.reopen();
        for stream in 0..3 {
            let verdict = common::land(
                world.writer(),
                "gh-7",
                stream,
                NOW,
                common::declare(5, common::every_type()),
            );
            assert_eq!(verdict.outcome, Outcome::Stored);
            world.model.insert(stream, BTreeMap::new());
        }
        world
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().expect("open between two steps")
    }

    fn reopen(&mut self) {
        self.writer = None; // The lock goes first.
        let fault = Arc::clone(&self.fault);
        let options = Options {
            filing_delay: 0,
            streams_cached_max: 1, // So that marks come and go.
            checkpoint_pages: 20,
            fault: FaultHook::new(move |at: Fault| fault.load(Ordering::Relaxed) == at as u8),
            ..Options::default()
        };
        self.writer = Some(common::open_with(&self.dir, options));
    }

    fn take(&mut self, step: &Step) {
        self.now += 10 * SECOND;
        match step {
            Step::Land(messages) => self.land(messages),
            Step::File { budget } => {
                let now = self.now;
                self.writer().file(now, *budget).expect("filing");
            }
            Step::Reopen => self.reopen(),
            Step::Crash => {
                self.crashes += 1;
                let copy = self.dir.with_file_name(self.crashes.to_string());
                common::crash_copy(&self.dir, &copy);
                self.dir = copy;
                self.reopen();
            }
            Step::FailLand(messages) => self.fail(messages, Fault::Land),
            Step::FailSync(messages) => {
                let (seed, counter) = (self.seed, self.counter);
                self.fail(messages, Fault::LandSync);
                (self.seed, self.counter) = (seed, counter);
                // Nobody was told so, but the frames are there: the recovery makes them durable.
                self.apply(messages);
            }
            Step::FailFile => {
                self.fault.store(Fault::File as u8, Ordering::Relaxed);
                let now = self.now;
                let _ = self.writer().file(now, 7);
                self.fault.store(NO_FAULT, Ordering::Relaxed);
            }
            Step::Look => self.look(),
        }
        for stream in 0..3 {
            self.now += 10 * SECOND;
            assert_eq!(self.marks_of(stream), self.model_marks(stream), "marks of stream {stream}");
        }
        self.check_books();
        self.check_walk();
    }

    fn marks_of(&mut self, stream: u64) -> (u32, Vec<Range>) {
        let now = self.now;
        let state = self.writer().stream("gh-7", stream, now).expect("marks");
        assert_eq!(state.schemas.len(), 1, "schemas are kept with the stream");
        assert_eq!(state.high_row, state.ranges.last().map_or(state.next_row, |range| range.end));
        (state.next_row, state.ranges)
    }

    fn model_marks(&self, stream: u64) -> (u32, Vec<Range>) {
        marks(&self.model[&stream])
    }

    /// Lands a batch that must fail as a whole.
    fn fail(&mut self, messages: &[Message], fault: Fault) {
        let batch = self.batch(messages);
        self.fault.store(fault as u8, Ordering::Relaxed);
        let now = self.now;
        let verdicts = self.writer().land(&batch, now);
        self.fault.store(NO_FAULT, Ordering::Relaxed);
        let writes_nothing = verdicts
            .iter()
            .all(|verdict| matches!(verdict.outcome, Outcome::Duplicate | Outcome::Window));
        assert!(
            writes_nothing
                || verdicts.iter().all(|verdict| matches!(verdict.outcome, Outcome::Failed(_)))
        );
    }

    fn land(&mut self, messages: &[Message]) {
        let (seed, counter) = (self.seed, self.counter);
        let batch = self.batch(messages);
        (self.seed, self.counter) = (seed, counter);
        let now = self.now;
        let verdicts = self.writer().land(&batch, now);
        let outcomes = self.apply(messages);
        for ((message, verdict), outcome) in messages.iter().zip(&verdicts).zip(outcomes) {
            assert_eq!(verdict.outcome, outcome, "{message:?}");
            assert_eq!(
                (verdict.next_row, verdict.ranges.clone()),
                self.model_marks(message.stream)
            );
            let rows = rows_of(&message.kind);
            let refused = verdict
                .refused
                .iter()
                .flat_map(|(range, code)| (range.start..range.end).map(|row| (row, *code)));
            let stand =
                rows.into_iter().filter_map(|row| match self.model[&message.stream].get(&row) {
                    Some(Fate::Refused(code)) => Some((row, *code)),
                    _ => None,
                });
            if outcome != Outcome::Window {
                assert_eq!(refused.collect::<Vec<_>>(), stand.collect::<Vec<_>>(), "{message:?}");
            }
        }
    }

    fn batch(&mut self, messages: &[Message]) -> Vec<Landing> {
        let now = self.now;
        messages
            .iter()
            .map(|message| {
                let what = self.what(&message.kind);
                common::landing("gh-7", message.stream, now, what)
            })
            .collect()
    }

    fn what(&mut self, kind: &Kind) -> What {
        self.seed += 1_000;
        let seed = self.seed;
        match *kind {
            Kind::Rows { first, count, sparse, bad, clock } => {
                let rows = (0..count).map(|index| {
                    let mut fields =
                        common::every_row(seed + u64::from(index), sparse && bad != Some(index));
                    if bad == Some(index) {
                        if sparse {
                            fields.splice(..0, [0xFF, 0xFF, 0x80]); // All 17 channels are there.
                            fields[3] = 2;
                        } else {
                            fields[0] = 2; // No bool.
                        }
                    }
                    (u32::from(index) * 1_000, fields)
                });
                let t0 = if clock == 0 { 0 } else { self.now - SECOND };
                let body = common::body(5, clock, t0, &rows.collect::<Vec<_>>());
                let refused = bad.map(|bad| (bad, BAD_VALUE)).into_iter().collect();
                What::Rows { first, count, sparse, schema: 5, body, refused }
            }
            Kind::Skip { first, count } => What::Skip { first, count, cause: 1 },
            Kind::Counts { row } => {
                What::Counts { row, made: u64::MAX, causes: vec![(1, 3), (9, u64::MAX)] }
            }
            Kind::Refused { first, count } => {
                What::RefusedMessage { first, count, code: 303, kind: 0x10, body: vec![7; 3_000] }
            }
            Kind::Clock { offset } => What::Clock { offset_us: offset, uncertainty_us: 5, kind: 1 },
            Kind::Unacked => {
                self.counter += 1;
                let body = common::body(5, 1, 77, &[(0, common::every_row(seed, false))]);
                What::Unacked { counter: self.counter - 1, count: 1, schema: 5, body }
            }
        }
    }

    /// What the model says of a batch; it is changed by it.
    fn apply(&mut self, messages: &[Message]) -> Vec<Outcome> {
        messages.iter().map(|message| self.apply_one(message)).collect()
    }

    fn apply_one(&mut self, message: &Message) -> Outcome {
        self.seed += 1_000;
        let seed = self.seed;
        if matches!(message.kind, Kind::Unacked) {
            self.unacked += 1;
            self.counter += 1;
        }
        let rows = rows_of(&message.kind);
        if rows.is_empty() {
            return Outcome::Stored;
        }
        let fates = self.model.get_mut(&message.stream).expect("three streams");
        let first = rows[0];
        let total = rows.len();
        let fresh: Vec<u32> = rows.into_iter().filter(|row| !fates.contains_key(row)).collect();
        if fresh.is_empty() {
            return Outcome::Duplicate;
        }
        let mut after = fates.clone();
        for row in &fresh {
            after.insert(*row, fate(&message.kind, row - first, seed));
        }
        if marks(&after).1.len() > 64 {
            return Outcome::Window;
        }
        let outcome = if fresh.len() == total { Outcome::Stored } else { Outcome::PartlyDuplicate };
        *fates = after;
        outcome
    }

    /// Compares all samples, landed and filed, with the model.
    fn look(&self) {
        let mut found: BTreeMap<(u64, i64), Sample> = BTreeMap::new();
        let mut unacked = 0;
        for sample in common::samples(&self.dir) {
            if sample.row < 0 {
                unacked += 1;
                continue;
            }
            let before = found.insert((sample.stream, sample.row), sample);
            assert!(before.is_none(), "twice: {before:?}");
        }
        assert_eq!(unacked, self.unacked);
        let mut expected = 0;
        for (stream, fates) in &self.model {
            for (row, fate) in fates {
                let Fate::Stored { seed, sparse } = fate else { continue };
                expected += 1;
                let sample = found
                    .get(&(*stream, i64::from(*row)))
                    .unwrap_or_else(|| panic!("{stream}/{row} is not there"));
                let values: &Vec<Option<Value>> = &sample.values;
                assert_eq!(values, &common::expected(*seed, *sparse), "{stream}/{row}");
                let plausible = 946_684_800_000_000..=sample.received + 86_400 * SECOND;
                assert!(plausible.contains(&sample.time));
            }
        }
        assert_eq!(found.len(), expected, "rows that nobody sent, or that were refused");
    }

    /// Spec §7.9: of what is filed, of what has landed, and of what is in both while filing is under way.
    fn check_books(&self) {
        let reader = Reader::open(&self.dir).expect("a reader");
        let devices = reader.devices(Some("gh-7"), None, 10).expect("the ledger");
        let found = &devices[0].ledger;
        assert_eq!(&reader.ledger().expect("the ledger of all"), found);
        let fates = || self.model.values().flat_map(BTreeMap::values);
        let mut expected = Ledger { streams: 3, ..Ledger::default() };
        for fate in fates() {
            match fate {
                Fate::Stored { .. } => expected.stored += 1,
                Fate::Refused(code) => *expected.refused.entry(*code).or_default() += 1,
                Fate::Skipped => *expected.skipped.entry(1).or_default() += 1,
                Fate::Counts => expected.counts += 1,
            }
        }
        let high = |rows: &BTreeMap<u32, Fate>| rows.keys().last().map_or(0, |row| row + 1);
        expected.numbers = self.model.values().map(|rows| u64::from(high(rows))).sum();
        expected.pending = expected.numbers - fates().count() as u64;
        // What this model's COUNTS say is nonsense, which must do no harm; how much lies where is no promise.
        let Ledger { made, unexplained, landed, .. } = *found;
        assert_eq!(found, &Ledger { made, unexplained, landed, ..expected.clone() });
        if expected.counts == 0 {
            assert_eq!((made, unexplained), (expected.numbers, 0));
        }
        assert!(landed <= expected.stored);
    }

    /// A walk shows everything once; what filing has begun to move may be in both places, and says so.
    fn check_walk(&self) {
        let reader = Reader::open(&self.dir).expect("a reader");
        let mut found: BTreeMap<(u64, u32), Vec<(Place, &str)>> = BTreeMap::new();
        let names = || Ok::<_, StoreError>(vec!["gh-7".to_owned()]);
        let walked = reader.walk(names, &mut |kept| {
            let (rows, what) = match kept.what {
                KeptWhat::Row(row) => (row.row..row.row + 1, "stored"),
                KeptWhat::Refused(rows, _) => (rows.start..rows.end, "refused"),
                KeptWhat::Skipped(rows, _) => (rows.start..rows.end, "skipped"),
                KeptWhat::Counts(row) => (row..row + 1, "counts"),
            };
            for row in rows {
                found.entry((kept.stream, row)).or_default().push((kept.place, what));
            }
        });
        walked.expect("a walk");
        let word = |fate: &Fate| match fate {
            Fate::Stored { .. } => "stored",
            Fate::Refused(_) => "refused",
            Fate::Skipped => "skipped",
            Fate::Counts => "counts",
        };
        let fates = self.model.iter().flat_map(|(stream, fates)| {
            fates.iter().map(move |(row, fate)| ((*stream, *row), word(fate)))
        });
        let expected: BTreeMap<(u64, u32), &str> = fates.collect();
        assert!(found.keys().eq(expected.keys()), "{found:?}");
        for (number, places) in found {
            assert!(places.iter().all(|(_, what)| *what == expected[&number]), "{places:?}");
            let moving =
                places.len() == 2 && places.iter().any(|(place, _)| *place == Place::Filing);
            assert!(places.len() == 1 || moving, "{number:?}: {places:?}");
        }
    }

    /// Spec §7.9, in the database alone.
    fn check_ledger(&self) {
        for (stream, fates) in &self.model {
            let count =
                |wanted: fn(&Fate) -> bool| fates.values().filter(|fate| wanted(fate)).count();
            let expected = format!(
                "{}|{}|{}|{}|{}",
                fates.len(),
                count(|fate| matches!(fate, Fate::Stored { .. })),
                count(|fate| matches!(fate, Fate::Refused(_))),
                count(|fate| matches!(fate, Fate::Skipped)),
                count(|fate| matches!(fate, Fate::Counts)),
            );
            let sql = format!(
                "SELECT resolved, stored, refused, skipped, counts FROM ledger WHERE stream = printf('%016x', {stream})"
            );
            assert_eq!(common::sql(&self.dir, &sql), expected, "stream {stream}");
        }
        assert_eq!(common::sql(&self.dir, "SELECT count(*) FROM unreadable"), "0");
        assert_eq!(common::sql(&self.dir, "SELECT count(*) FROM inbox"), "0");
    }
}

fn rows_of(kind: &Kind) -> Vec<u32> {
    match *kind {
        Kind::Rows { first, count, .. } => (first..first + u32::from(count)).collect(),
        Kind::Skip { first, count } | Kind::Refused { first, count } => {
            (first..first + count).collect()
        }
        Kind::Counts { row } => vec![row],
        Kind::Clock { .. } | Kind::Unacked => vec![],
    }
}

fn fate(kind: &Kind, index: u32, seed: u64) -> Fate {
    match *kind {
        Kind::Rows { bad: Some(bad), .. } if u32::from(bad) == index => Fate::Refused(BAD_VALUE),
        Kind::Rows { sparse, .. } => Fate::Stored { seed: seed + u64::from(index), sparse },
        Kind::Skip { .. } => Fate::Skipped,
        Kind::Refused { .. } => Fate::Refused(303),
        _ => Fate::Counts,
    }
}

fn marks(fates: &BTreeMap<u32, Fate>) -> (u32, Vec<Range>) {
    let mut next = 0;
    let mut ranges: Vec<Range> = Vec::new();
    for &row in fates.keys() {
        match ranges.last_mut() {
            _ if row == next => next += 1,
            Some(last) if last.end == row => last.end += 1,
            _ => ranges.push(Range { start: row, end: row + 1 }),
        }
    }
    (next, ranges)
}
