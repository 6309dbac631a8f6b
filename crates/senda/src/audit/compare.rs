//! Row by row: what was made and told against what is kept.

use std::collections::BTreeMap;

use anyhow::Context;
use senda_store::Place;

use super::book::{Book, KEPT, MADE, Stream, as_usize, place_of};
use super::spill::{Key, Sorted};

/// Differences that are named; the others are counted.
pub(super) const NAMED_MAX: usize = 20;

/// What an audit found.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) made: u64,
    pub(super) acknowledged: u64,
    pub(super) stored: u64,
    /// Of those, not filed yet.
    pub(super) landed: u64,
    pub(super) refused: u64,
    /// Of those: the NACK that said so was lost, so that the device takes them for stored (spec 7.6c).
    pub(super) unheard: u64,
    /// Given up by the device, and the store knows.
    pub(super) given_up: u64,
    /// Given up, and the store does not know yet.
    pub(super) untold: u64,
    /// Neither acknowledged nor stored.
    pub(super) pending: u64,
    /// Kept under the number before a renumbering as well (spec 6.7).
    pub(super) two_numbers: u64,
    pub(super) differences: BTreeMap<Kind, u64>,
    /// The first of them.
    pub(super) named: Vec<Difference>,
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    /// Acknowledged, and not in the store.
    Lost,
    /// In the store, and in no journal.
    Invented,
    /// In the store twice.
    Duplicate,
    /// In the store with something else than was made.
    Different,
    /// Two journals, or two boots, made different rows under one number.
    Conflict,
    /// Refused at one side alone.
    Refused,
    /// Given up at one side alone.
    Skipped,
    /// Answers that can't be in this order.
    Order,
    /// With `--complete`: made and not in the store.
    Missing,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Lost => "LOST",
            Self::Invented => "INVENTED",
            Self::Duplicate => "DUPLICATE",
            Self::Different => "DIFFERENT",
            Self::Conflict => "CONFLICT",
            Self::Refused => "REFUSED",
            Self::Skipped => "SKIPPED",
            Self::Order => "ORDER",
            Self::Missing => "MISSING",
        }
    }
}

/// One row that is not as it should be.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) kind: Kind,
    pub(super) device: String,
    pub(super) stream: u64,
    /// Its number; `None` where no single row is meant.
    pub(super) row: Option<u32>,
    pub(super) text: String,
}

impl Outcome {
    pub(super) fn differences(&self) -> u64 {
        self.differences.values().sum()
    }

    fn add(
        &mut self,
        kind: Kind,
        stream: &Stream,
        row: Option<u32>,
        text: impl FnOnce() -> String,
    ) {
        *self.differences.entry(kind).or_default() += 1;
        if self.named.len() < NAMED_MAX {
            let (device, stream) = (stream.device.to_string(), stream.stream);
            self.named.push(Difference { kind, device, stream, row, text: text() });
        }
    }
}

/// Everything under one first number.
#[derive(Debug, Default)]
struct Group {
    /// Contents that were made, each once.
    made: Vec<Vec<u8>>,
    /// All of them since the store was looked at.
    is_since: bool,
    kept: Vec<Copied>,
}

/// A row in the store.
#[derive(Debug)]
struct Copied {
    /// Under which number: stream and row.
    number: (u32, u32),
    place: Place,
    content: Vec<u8>,
}

/// Compares everything that the book has. `complete`: whatever was made has to be stored.
pub(super) fn compare(mut book: Book, complete: bool) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    for (stream, row, text) in std::mem::take(&mut book.nonsense) {
        let stream = &book.streams[as_usize(stream)];
        outcome.add(Kind::Order, stream, Some(row), || text);
    }
    let sorted = std::mem::take(&mut book.spill).into_sorted();
    let mut sorted = sorted.context("write a temporary file")?;
    let mut lost = vec![0; book.streams.len()];
    let (mut group, mut at) = (Group::default(), None);
    let mut record = Vec::new();
    while let Some(key) = next(&mut sorted, &mut record)? {
        let number = (key.stream, key.row);
        if at.is_some_and(|at| at != number) {
            let done = std::mem::take(&mut group);
            Judge { book: &mut book, outcome: &mut outcome, lost: &mut lost, complete }
                .judge(at, done);
        }
        at = Some(number);
        group.take(key.tag, &record);
    }
    Judge { book: &mut book, outcome: &mut outcome, lost: &mut lost, complete }.judge(at, group);
    check_counts(&book, &lost, &mut outcome);
    Ok(outcome)
}

fn next(sorted: &mut Sorted, record: &mut Vec<u8>) -> anyhow::Result<Option<Key>> {
    sorted.next(record).context("read a temporary file")
}

/// Rows that ranges acknowledged above the mark have no numbers in a journal; their count has.
fn check_counts(book: &Book, lost: &[u64], outcome: &mut Outcome) {
    for (stream, lost) in book.streams.iter().zip(lost) {
        // An ACK passes refused rows too, whose NACK may be lost.
        let found = stream.kept_rows + stream.kept_refusals + lost;
        if stream.acked_rows > found {
            let (acked, kept) = (stream.acked_rows, stream.kept_rows);
            outcome.add(Kind::Lost, stream, None, || {
                format!("{acked} rows of this stream were acknowledged, the store has {kept}")
            });
        }
    }
}

impl Group {
    fn take(&mut self, tag: u8, record: &[u8]) {
        if tag != KEPT {
            self.is_since = tag != MADE && (self.made.is_empty() || self.is_since);
            if !self.made.iter().any(|made| made == record) {
                self.made.push(record.to_vec());
            }
            return;
        }
        let (head, content) = record.split_at(9);
        let number =
            |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        self.kept.push(Copied {
            number: (number(&head[..4]), number(&head[4..8])),
            place: place_of(head[8]),
            content: content.to_vec(),
        });
    }

    /// While filing is under way a row may be in its table and in the inbox: that is one row.
    fn drop_copies_of_filing(&mut self) {
        let filed: Vec<((u32, u32), Vec<u8>)> = self
            .kept
            .iter()
            .filter(|copy| copy.place == Place::Filed)
            .map(|copy| (copy.number, copy.content.clone()))
            .collect();
        for (number, content) in filed {
            let is_copy = |copy: &Copied| {
                copy.place == Place::Filing && copy.number == number && copy.content == content
            };
            if let Some(place) = self.kept.iter().position(is_copy) {
                self.kept.remove(place);
            }
        }
    }
}

struct Judge<'a> {
    book: &'a mut Book,
    outcome: &'a mut Outcome,
    /// Lost rows of each stream.
    lost: &'a mut [u64],
    complete: bool,
}

impl Judge<'_> {
    fn judge(&mut self, at: Option<(u32, u32)>, mut group: Group) {
        let Some(first) = at else { return };
        if group.kept.iter().any(|copy| copy.place == Place::Filing) {
            group.drop_copies_of_filing();
        }
        for copy in &group.kept {
            self.book.streams[as_usize(copy.number.0)].kept_rows += 1;
        }
        if group.made.is_empty() {
            for copy in &group.kept {
                let stream = &self.book.streams[as_usize(copy.number.0)];
                let row = copy.number.1;
                self.outcome.add(Kind::Invented, stream, Some(row), || {
                    "in the store, and in no journal".to_owned()
                });
            }
            return;
        }
        self.outcome.made += 1;
        if group.made.len() > 1 {
            let stream = &self.book.streams[as_usize(first.0)];
            self.outcome.add(Kind::Conflict, stream, Some(first.1), || {
                "two different rows were made under this number".to_owned()
            });
        }
        let last = self.book.final_number(first.0, first.1);
        if group.kept.is_empty() {
            self.judge_missing(last, group.is_since);
        } else {
            self.judge_kept(last, &group);
        }
    }

    /// The row was made, and the store has no row.
    fn judge_missing(&mut self, (number, row): (u32, u32), is_since: bool) {
        let stream = &self.book.streams[as_usize(number)];
        let outcome = &mut *self.outcome;
        let acked = row < stream.acked_below;
        let (heard, dropped) = (stream.refused.value(row), stream.dropped.value(row));
        let (refused, skipped) = (stream.kept_refused.value(row), stream.kept_skipped.value(row));
        let mut add = |kind, text: &dyn Fn() -> String| outcome.add(kind, stream, Some(row), text);
        if stream.forgotten.value(row).is_some() {
            self.lost[as_usize(number)] += 1;
            return add(Kind::Lost, &|| {
                "acknowledged; then the collector did not know it, and the device declared it lost"
                    .into()
            });
        }
        match (heard, dropped, refused, skipped) {
            (Some(code), _, None, _) => add(Kind::Refused, &|| {
                format!(
                    "the device was told that it is refused ({code}); the store has no record of that"
                )
            }),
            (_, _, Some(_), _) => {
                outcome.refused += 1;
                outcome.unheard += u64::from(acked && heard.is_none() && dropped.is_none());
            }
            (_, None, _, Some(cause)) if acked => add(Kind::Skipped, &|| {
                format!(
                    "acknowledged; the store says given up (cause {cause}), and the device did not"
                )
            }),
            (_, _, _, Some(_)) => outcome.given_up += 1,
            (_, Some(cause), _, None) if acked => add(Kind::Skipped, &|| {
                format!(
                    "given up by the device ({cause:?}), acknowledged; the store has no record of that"
                )
            }),
            (None, None, None, None) if acked => {
                self.lost[as_usize(number)] += 1;
                add(Kind::Lost, &|| "acknowledged; the store has nothing under this number".into());
            }
            (_, Some(_), ..) => outcome.untold += 1,
            _ => outcome.pending += 1,
        }
        let is_open = !acked && heard.is_none() && refused.is_none() && skipped.is_none();
        if self.complete && is_open && !is_since {
            self.outcome.add(
                Kind::Missing,
                &self.book.streams[as_usize(number)],
                Some(row),
                || "made, and not in the store".to_owned(),
            );
        }
    }

    /// The row was made, and the store has it.
    fn judge_kept(&mut self, (number, row): (u32, u32), group: &Group) {
        let stream = &self.book.streams[as_usize(number)];
        let outcome = &mut *self.outcome;
        outcome.stored += 1;
        outcome.acknowledged += u64::from(row < stream.acked_below);
        outcome.landed += u64::from(group.kept.iter().all(|copy| copy.place != Place::Filed));
        let mut numbers: Vec<(u32, u32)> = group.kept.iter().map(|copy| copy.number).collect();
        let copies = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        outcome.two_numbers += u64::from(numbers.len() > 1);
        if copies > numbers.len() {
            outcome
                .add(Kind::Duplicate, stream, Some(row), || format!("in the store {copies} times"));
        }
        for (number, row) in numbers {
            let stream = &self.book.streams[as_usize(number)];
            let also = match (stream.kept_refused.value(row), stream.kept_skipped.value(row)) {
                (Some(_), _) => "refused",
                (_, Some(_)) => "given up",
                _ => continue,
            };
            outcome
                .add(Kind::Duplicate, stream, Some(row), || format!("stored, and {also} as well"));
        }
        if let Some(code) = stream.refused.value(row) {
            outcome.add(Kind::Refused, stream, Some(row), || {
                format!("the device was told that it is refused ({code}); the store has it")
            });
        }
        let strange = group.kept.iter().find(|copy| !group.made.contains(&copy.content));
        if let Some(copy) = strange {
            let contents = &self.book.contents;
            outcome.add(Kind::Different, stream, Some(row), || {
                contents.difference(&group.made[0], &copy.content)
            });
        }
    }
}
