//! What a spool knows of streams beside their rows: marks, schemas, skips, clocks. It is in memory, and each segment begins with
//! all of it, so that any older segment may go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use senda_wire::SkipCause;

use super::format::Item;
use super::types::{ClockState, Moment, Skip};

/// Moments that are kept of a stream.
const MOMENTS_MAX: usize = 3;

/// Descriptions by stream and id.
pub(super) type Descriptions = BTreeMap<(u64, u8), Arc<[u8]>>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Book {
    streams: BTreeMap<u64, Stream>,
    /// Streams in the order in which they were first heard of, each with its place in it.
    order: BTreeMap<u64, u64>,
    heard: u64,
    /// Each description once: a device has the same ones in all its streams.
    descriptions: BTreeSet<Arc<[u8]>>,
    /// Runs of skipped rows, in all streams.
    skips: usize,
}

/// One stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    place: u64,
    /// It is of this boot, and may go on.
    pub(super) is_current: bool,
    /// Every row below it is resolved.
    pub(super) mark: u32,
    /// The mark that was last written.
    pub(super) noted: u32,
    /// The number after the last row that is known.
    pub(super) next_row: u32,
    pub(super) schemas: BTreeMap<u8, Arc<[u8]>>,
    /// Runs of skipped rows: first row, the number after the last one, cause. None overlaps; those of one cause don't touch.
    pub(super) skips: BTreeMap<u32, (u32, SkipCause)>,
    pub(super) clock: Option<ClockState>,
    /// By uptime: the first, the last one with a UTC, the last.
    pub(super) moments: Vec<Moment>,
}

impl Stream {
    /// True when nothing is to be told of it.
    pub(super) const fn is_settled(&self) -> bool {
        self.mark >= self.next_row
    }

    /// The number after the run of skipped rows that `row` is in.
    pub(super) fn skip_at(&self, row: u32) -> Option<(u32, SkipCause)> {
        let (_, &(end, cause)) = self.skips.range(..=row).next_back()?;
        (row < end).then_some((end, cause))
    }

    /// First row of the next run of skipped rows after `row`.
    pub(super) fn skip_after(&self, row: u32) -> Option<u32> {
        self.skips.range(row..).next().map(|(first, _)| *first)
    }

    /// True when the row is neither resolved nor given up.
    pub(super) fn wants(&self, row: u32) -> bool {
        row >= self.mark && self.skip_at(row).is_none()
    }

    fn note_moment(&mut self, moment: Moment) {
        self.moments.push(moment);
        self.moments.sort_by_key(|moment| (moment.boot, moment.uptime_us));
        self.moments.dedup();
        if self.moments.len() > MOMENTS_MAX {
            let last = self.moments.len() - 1;
            let between = &self.moments[1..last];
            let known = between.iter().rfind(|moment| moment.utc_us.is_some()).copied();
            let kept = [Some(self.moments[0]), known, Some(self.moments[last])];
            self.moments = kept.into_iter().flatten().collect();
        }
    }
}

impl Book {
    pub(super) fn get(&self, stream: u64) -> Option<&Stream> {
        self.streams.get(&stream)
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Streams, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Stream)> {
        self.order.values().filter_map(|id| self.streams.get_key_value(id)).map(|(id, s)| (*id, s))
    }

    /// The stream, which is new if it is not known.
    pub(super) fn enter(&mut self, stream: u64) -> &mut Stream {
        let Self { streams, order, heard, .. } = self;
        streams.entry(stream).or_insert_with(|| {
            *heard += 1;
            order.insert(*heard, stream);
            Stream { place: *heard, ..Stream::default() }
        })
    }

    pub(super) fn forget(&mut self, stream: u64) {
        let Some(gone) = self.streams.remove(&stream) else { return };
        self.order.remove(&gone.place);
        self.skips -= gone.skips.len();
        drop(gone.schemas);
        self.descriptions.retain(|description| Arc::strong_count(description) > 1);
    }

    /// Names a schema. False when the id has another description.
    pub(super) fn describe(&mut self, stream: u64, schema: u8, description: &[u8]) -> bool {
        if let Some(known) = self.streams.get(&stream).and_then(|s| s.schemas.get(&schema)) {
            return **known == *description;
        }
        let shared = self.descriptions.get(description).cloned();
        let shared = shared.unwrap_or_else(|| {
            let new: Arc<[u8]> = description.into();
            self.descriptions.insert(Arc::clone(&new));
            new
        });
        self.enter(stream).schemas.insert(schema, shared);
        true
    }

    /// Rows of the stream are known up to here.
    pub(super) fn reach(&mut self, stream: u64, next_row: u32) {
        let stream = self.enter(stream);
        stream.next_row = stream.next_row.max(next_row);
    }

    /// Every row of the stream below `mark` is resolved.
    pub(super) fn settle(&mut self, stream: u64, mark: u32) {
        self.reach(stream, mark);
        let Some(stream) = self.streams.get_mut(&stream) else { return };
        stream.mark = stream.mark.max(mark);
        while let Some(entry) = stream.skips.first_entry() {
            if *entry.key() >= stream.mark {
                break;
            }
            let (end, cause) = entry.remove();
            if end > stream.mark {
                stream.skips.insert(stream.mark, (end, cause));
                break;
            }
            self.skips -= 1;
        }
    }

    /// Notes that rows will never come: those that are neither resolved nor given up before. `skips_max` runs are known, in all
    /// streams; beyond that the rows are not noted.
    pub(super) fn skip(&mut self, skip: &Skip, skips_max: usize) {
        let end = skip.first.saturating_add(skip.count);
        self.reach(skip.stream, end);
        let Some(stream) = self.streams.get_mut(&skip.stream) else { return };
        let mut at = skip.first.max(stream.mark);
        while at < end {
            if let Some((covered, _)) = stream.skip_at(at) {
                at = covered;
                continue;
            }
            let stop = stream.skip_after(at).map_or(end, |next| next.min(end));
            let before = stream.skips.len();
            insert_joined(&mut stream.skips, at, stop, skip.cause);
            if stream.skips.len() > before && self.skips >= skips_max {
                stream.skips.remove(&at);
                return;
            }
            self.skips = self.skips + stream.skips.len() - before;
            at = stop;
        }
    }

    /// Takes what a frame says of streams. Rows are not for the book.
    pub(super) fn apply(&mut self, item: &Item<'_>, skips_max: usize) {
        match item {
            Item::Stream { stream, mark, next_row } => {
                self.settle(*stream, *mark);
                self.reach(*stream, *next_row);
                self.enter(*stream).noted = *mark;
            }
            Item::Schema { stream, schema, description } => {
                // The first one counts: the rows before this were written under it.
                self.describe(*stream, *schema, description);
            }
            Item::Skip(skip) => self.skip(skip, skips_max),
            Item::Clock { stream, state } => self.enter(*stream).clock = Some(*state),
            Item::Moment { stream, moment } => self.enter(*stream).note_moment(*moment),
            Item::Row(_) | Item::Begun | Item::Unknown => {}
        }
    }

    /// All marks are written.
    pub(super) fn all_noted(&mut self) {
        for stream in self.streams.values_mut() {
            stream.noted = stream.mark;
        }
    }

    /// All of it, oldest stream first, but for schemas: they stand before the rows that use them.
    pub(super) fn snapshot(&self) -> Vec<Item<'static>> {
        let mut items = Vec::new();
        for (id, stream) in self.iter() {
            items.push(Item::Stream { stream: id, mark: stream.mark, next_row: stream.next_row });
            for (&first, &(end, cause)) in &stream.skips {
                items.push(Item::Skip(Skip { stream: id, first, count: end - first, cause }));
            }
            items.extend(stream.clock.map(|state| Item::Clock { stream: id, state }));
            items.extend(stream.moments.iter().map(|&moment| Item::Moment { stream: id, moment }));
        }
        items.push(Item::Begun);
        items
    }
}

/// Inserts a run that overlaps none, joined with those of its cause that it touches.
fn insert_joined(
    runs: &mut BTreeMap<u32, (u32, SkipCause)>,
    first: u32,
    end: u32,
    cause: SkipCause,
) {
    let (mut first, mut end) = (first, end);
    let before = runs.range(..first).next_back().map(|(at, run)| (*at, *run));
    if let Some((at, _)) = before.filter(|(_, run)| *run == (first, cause)) {
        first = at;
    }
    if let Some((after, _)) = runs.get(&end).copied().filter(|(_, other)| *other == cause) {
        runs.remove(&end);
        end = after;
    }
    runs.insert(first, (end, cause));
}
