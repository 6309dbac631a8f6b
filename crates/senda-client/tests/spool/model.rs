//! Random histories, crashes and failures among them, against a model that a reader can check.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use proptest::prelude::*;
use proptest::sample::Index;
use senda_client::SkipCause;
use senda_client::spool::{
    Appended, Entry, Options, ReadLimits, Record, Recovered, Skip, Spool, SpoolError, Sync,
};

use crate::disk::{Disk, Faults};
use crate::{ALL, DESCRIPTION, SMALL, open, record};

#[derive(Clone, Debug)]
enum Op {
    /// So many rows, each of so many bytes.
    Append(u64, u32, usize),
    /// A number is given, and the row never reaches the spool.
    Leave(u64),
    Skip(u64, Index, u32),
    Resolve(u64, Index),
    Read(u64, Index, usize),
    Sync,
    /// The process ends without a word.
    Kill,
    /// And the power with it. Of what is not synced so much is left; what was removed last comes back, or not.
    Cut(Index, bool),
    Full(usize),
    FailSyncs(usize),
    Heal,
}

/// What may be found of a row.
#[derive(Clone, Debug, Default)]
struct Fate {
    record: Option<Record>,
    /// An append returned for it.
    is_appended: bool,
    /// ... and a sync too.
    is_safe: bool,
    is_resolved: bool,
    /// Given up by the user, and whether that is safe.
    skipped: Option<(SkipCause, bool)>,
    is_dropped: bool,
}

struct World {
    options: Options,
    disk: Disk,
    spool: Spool<Disk>,
    rows: BTreeMap<(u64, u32), Fate>,
    next: BTreeMap<u64, u32>,
    /// The marks that were told, and those since the last start.
    marks: BTreeMap<u64, u32>,
    /// A call failed since the last one that could report what was dropped.
    may_have_dropped: bool,
    skips: usize,
}

impl World {
    fn new(sync: Sync) -> Self {
        let options = Options { sync, ..SMALL };
        let disk = Disk::default();
        let (spool, _) = open(disk.clone(), options);
        let (rows, next, marks) = Default::default();
        Self { options, disk, spool, rows, next, marks, may_have_dropped: false, skips: 0 }
    }

    fn step(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match *op {
            Op::Append(stream, count, len) => self.append(stream, count, len)?,
            Op::Leave(stream) => *self.next.entry(stream).or_default() += 1,
            Op::Skip(stream, at, count) if self.skips < 8 => self.skip(stream, at, count)?,
            Op::Skip(..) => {}
            Op::Resolve(stream, at) => self.resolve(stream, at),
            Op::Read(stream, at, entries) => self.read_piece(stream, at, entries)?,
            Op::Sync => {
                let told = self.spool.sync();
                self.heard(told.map(|()| None))?;
            }
            Op::Kill => self.reopen(self.disk.clone(), false)?,
            Op::Cut(left, undo) => {
                let disk = self.disk.cut(undo, |unsynced| left.index(unsynced + 1));
                self.reopen(disk, true)?;
            }
            Op::Full(room) => {
                self.disk.break_with(Faults { room: Some(room), ..Faults::default() });
            }
            Op::FailSyncs(sync) => self.disk.break_with(Faults { sync, ..Faults::default() }),
            Op::Heal => self.disk.break_with(Faults::default()),
        }
        prop_assert!(self.disk.peak() <= 64 << 10, "{} bytes", self.disk.peak());
        prop_assert!(self.spool.bytes() <= 64 << 10);
        self.check()
    }

    fn append(&mut self, stream: u64, count: u32, len: usize) -> Result<(), TestCaseError> {
        let next = self.next.entry(stream).or_default();
        let group: Vec<Record> =
            (*next..*next + count).map(|row| record(stream, row, len)).collect();
        *next += count;
        if self.spool.describe(stream, 0, DESCRIPTION).is_err() {
            self.may_have_dropped = true;
            return Ok(());
        }
        let told = self.spool.append(&group);
        let is_in = !matches!(told, Err(SpoolError::Write(_)));
        for record in group {
            let fate = Fate { record: Some(record.clone()), is_appended: is_in, ..Fate::default() };
            self.rows.insert((stream, record.row), fate);
        }
        self.heard(told.map(Some))
    }

    fn skip(&mut self, stream: u64, at: Index, count: u32) -> Result<(), TestCaseError> {
        let next = self.next.get(&stream).copied().unwrap_or(0);
        let first = u32::try_from(at.index(next as usize + 1)).unwrap();
        self.skips += 1;
        let end = first + count;
        self.next.insert(stream, next.max(end));
        let cause = SkipCause::Rejected;
        let told = self.spool.skip(Skip { stream, first, count, cause });
        if !matches!(told, Err(SpoolError::Write(_))) {
            for row in first..end {
                let fate = self.rows.entry((stream, row)).or_default();
                fate.is_resolved |= self.marks.get(&stream).is_some_and(|mark| row < *mark);
                fate.skipped.get_or_insert((cause, false));
            }
        }
        self.heard(told.map(Some))
    }

    fn resolve(&mut self, stream: u64, at: Index) {
        let next = self.next.get(&stream).copied().unwrap_or(0);
        let below = u32::try_from(at.index(next as usize + 1)).unwrap();
        self.spool.resolve(stream, below);
        let mark = self.marks.entry(stream).or_default();
        *mark = below.max(*mark);
        for (_, fate) in self.rows.range_mut((stream, 0)..(stream, below)) {
            fate.is_resolved = true;
        }
    }

    /// Takes what a call reported.
    fn heard(&mut self, told: Result<Option<Appended>, SpoolError>) -> Result<(), TestCaseError> {
        match told {
            Ok(Some(appended)) => {
                prop_assert!(appended.forgotten.is_empty());
                for skip in appended.dropped {
                    prop_assert_eq!(skip.cause, SkipCause::Overflow);
                    for row in skip.first..skip.first + skip.count {
                        let fate = self.rows.entry((skip.stream, row)).or_default();
                        prop_assert!(fate.record.is_some(), "{skip:?} was never there");
                        fate.is_dropped = true;
                    }
                }
                self.may_have_dropped = false;
            }
            Ok(None) => {}
            Err(SpoolError::Write(_) | SpoolError::Sync(_)) => self.may_have_dropped = true,
            Err(other) => prop_assert!(false, "{other}"),
        }
        if self.options.sync == Sync::Append && !self.may_have_dropped {
            prop_assert!(self.spool.is_synced());
        }
        if self.spool.is_synced() && self.options.sync != Sync::Never {
            for fate in self.rows.values_mut() {
                fate.is_safe = fate.is_appended;
                fate.skipped.iter_mut().for_each(|(_, is_safe)| *is_safe = true);
            }
        }
        Ok(())
    }

    fn reopen(&mut self, disk: Disk, was_cut: bool) -> Result<(), TestCaseError> {
        disk.break_with(Faults::default());
        let was_cut = was_cut || std::mem::take(&mut self.disk.0.borrow_mut().has_lost);
        self.disk = disk;
        let recovered: Recovered;
        (self.spool, recovered) = open(self.disk.clone(), self.options);
        for damage in recovered.damage {
            let is_torn = matches!(damage.what, senda_client::spool::DamageKind::TornTail);
            prop_assert!(is_torn, "{damage:?}");
        }
        for ((stream, row), fate) in &mut self.rows {
            let known = self.spool.stream(*stream);
            fate.is_resolved = fate.is_resolved || known.as_ref().is_some_and(|s| *row < s.mark);
            if was_cut {
                // Whatever is found of it now stays so.
                fate.is_appended &= fate.is_safe;
                fate.skipped = fate.skipped.filter(|(_, is_safe)| *is_safe);
            }
            // Dropped, and the process ended before it could say so.
            let skipped = known.and_then(|s| s.skips.into_iter().find(|s| covers(s, *row)));
            if let Some(skip) = skipped {
                if skip.cause == SkipCause::Overflow {
                    fate.is_dropped |= self.may_have_dropped;
                } else {
                    fate.skipped = Some((skip.cause, true));
                }
            }
        }
        self.may_have_dropped = false;
        for (stream, mark) in &mut self.marks {
            let found = self.spool.stream(*stream).map_or(0, |stream| stream.mark);
            prop_assert!(found <= *mark, "a mark that was never told");
            *mark = (*mark).max(found);
        }
        Ok(())
    }

    fn read_piece(&mut self, stream: u64, at: Index, entries: usize) -> Result<(), TestCaseError> {
        let next = self.next.get(&stream).copied().unwrap_or(0);
        let from = u32::try_from(at.index(next as usize + 1)).unwrap();
        let piece = self.spool.read(stream, from, ReadLimits { entries, bytes: 1_000 }).unwrap();
        let all = self.spool.read(stream, from, ALL).unwrap();
        prop_assert!(piece.len() <= entries && all.starts_with(&piece));
        prop_assert_eq!(piece.is_empty(), all.is_empty());
        Ok(())
    }

    /// Reads everything, and finds of each row what may be found of it.
    fn check(&mut self) -> Result<(), TestCaseError> {
        for stream in 1..=3 {
            let Some(known) = self.spool.stream(stream) else {
                let gone = self.rows.range((stream, 0)..=(stream, u32::MAX));
                for (row, fate) in gone {
                    let is_free = fate.is_resolved || !fate.is_appended && fate.skipped.is_none();
                    prop_assert!(is_free, "{row:?} is gone: {fate:?}");
                }
                continue;
            };
            let mut at = known.mark;
            for entry in self.spool.read(stream, 0, ALL).unwrap() {
                prop_assert_eq!(entry.rows().0, at, "no row is passed over");
                at = entry.rows().1;
                for row in entry.rows().0..at {
                    self.check_row(stream, row, &entry)?;
                }
            }
            prop_assert_eq!(at, known.next_row);
            for (row, fate) in self.rows.range((stream, at)..=(stream, u32::MAX)) {
                prop_assert!(!fate.is_appended || fate.is_resolved, "{row:?} is beyond the end");
            }
            for (row, fate) in self.rows.range((stream, 0)..(stream, known.mark)) {
                prop_assert!(fate.is_resolved, "{row:?} is below the mark");
            }
        }
        Ok(())
    }

    fn check_row(&self, stream: u64, row: u32, entry: &Entry) -> Result<(), TestCaseError> {
        let fate = self.rows.get(&(stream, row)).cloned().unwrap_or_default();
        let may_be = match entry {
            Entry::Row(found) => {
                prop_assert_eq!(Some(found), fate.record.as_ref(), "invented");
                fate.skipped.is_none() && !fate.is_dropped || fate.is_resolved
            }
            Entry::Skipped(Skip { cause: SkipCause::Overflow, .. }) => {
                fate.is_dropped || self.may_have_dropped || fate.is_resolved
            }
            Entry::Skipped(skip) => fate.skipped.is_some_and(|(cause, _)| cause == skip.cause),
            Entry::Missing { .. } => {
                let is_unsafe = !fate.is_safe && !self.spool.is_synced();
                !fate.is_appended && fate.skipped.is_none() || fate.is_resolved || is_unsafe
            }
        };
        prop_assert!(may_be, "row {row} of {stream}: {entry:?}, {fate:?}");
        Ok(())
    }
}

fn covers(skip: &Skip, row: u32) -> bool {
    (skip.first..skip.first + skip.count).contains(&row)
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let stream = || prop_oneof![4 => Just(1_u64), 2 => Just(2), 1 => Just(3)];
    let index = any::<Index>;
    let op = prop_oneof![
        12 => (stream(), 1..12_u32, 0..250_usize).prop_map(|(s, n, len)| Op::Append(s, n, len)),
        1 => stream().prop_map(Op::Leave),
        1 => (stream(), index(), 1..20_u32).prop_map(|(s, at, n)| Op::Skip(s, at, n)),
        3 => (stream(), index()).prop_map(|(s, at)| Op::Resolve(s, at)),
        2 => (stream(), index(), 1..9_usize).prop_map(|(s, at, n)| Op::Read(s, at, n)),
        1 => Just(Op::Sync),
        1 => Just(Op::Kill),
        1 => (index(), any::<bool>()).prop_map(|(left, undo)| Op::Cut(left, undo)),
        1 => (0..3_000_usize).prop_map(Op::Full),
        1 => (1..5_usize).prop_map(Op::FailSyncs),
        2 => Just(Op::Heal),
    ];
    proptest::collection::vec(op, 1..120)
}

fn policy() -> impl Strategy<Value = Sync> {
    let rows = |rows| NonZeroU32::new(rows).map_or(Sync::Append, Sync::Rows);
    prop_oneof![3 => Just(Sync::Append), 1 => (2..40_u32).prop_map(rows), 2 => Just(Sync::Caller)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Nothing that was appended is passed over, nothing is invented, and the bound holds, whatever happens.
    #[test]
    fn any_history_is_as_the_model_says(sync in policy(), ops in ops()) {
        let mut world = World::new(sync);
        for op in &ops {
            world.step(op)?;
        }
        world.step(&Op::Kill)?;
    }
}
