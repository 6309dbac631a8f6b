//! What the journals and the store say of each stream, and every row of both, on its way to be sorted.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::{Context, bail};
use senda_store::{Kept, KeptWhat, Place};
use senda_wire::{Clock, SkipCause};

use super::content::{Contents, Dated, KnownSchema};
use super::lines::{Line, unhex};
use super::spans::Spans;
use super::spill::{Key, Spill};

/// Tags of what is sorted: made before the store was looked at, made since, and kept.
pub(super) const MADE: u8 = 0;
pub(super) const MADE_SINCE: u8 = 1;
pub(super) const KEPT: u8 = 2;
/// A row may have been given so many numbers, one after the other.
const MOVES_MAX: usize = 64;

/// See the module. Memory: a hundred bytes or two for each stream, 12 for each run of rows that was refused, given up or
/// renumbered; rows go to the spill.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) contents: Contents,
    pub(super) spill: Spill,
    pub(super) streams: Vec<Stream>,
    index: HashMap<(Arc<str>, u64), u32>,
    devices: BTreeSet<Arc<str>>,
    schemas: HashMap<String, KnownSchema>,
    pub(super) since: bool,
    /// What the journals say that can't be.
    pub(super) nonsense: Vec<(u32, u32, String)>,
    room: (Vec<u8>, Vec<u8>),
}

/// What is known of a stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) device: Arc<str>,
    pub(super) stream: u64,
    /// Rows below were acknowledged, or resolved in another way.
    pub(super) acked_below: u32,
    /// What the device heard: refused, with the code.
    pub(super) refused: Spans<u16>,
    /// What the device gave up, with the cause.
    pub(super) dropped: Spans<SkipCause>,
    /// What was acknowledged and then unknown to the collector.
    pub(super) forgotten: Spans<()>,
    /// Where rows went: stream and number there of the run's first row.
    moved: Spans<(u32, u32)>,
    /// Where rows came from.
    came: Spans<(u32, u32)>,
    /// What the store says: refused, with the code; given up, with the cause; COUNTS.
    pub(super) kept_refused: Spans<u16>,
    pub(super) kept_skipped: Spans<u8>,
    /// Rows that the store has under numbers of this stream.
    pub(super) kept_rows: u64,
    /// Rows that the store has as refused.
    pub(super) kept_refusals: u64,
    /// Rows that one boot heard to be durable, the most of all boots; and of the present one.
    pub(super) acked_rows: u64,
    boot_acked: u64,
    boot_made: u64,
    boot_mark: u32,
}

impl Book {
    /// Takes a line of a journal. Of what was written since the store was looked at, only what was made counts.
    pub(super) fn take(&mut self, line: &Line<'_>) -> anyhow::Result<()> {
        let since = self.since;
        match *line {
            Line::Open { .. } => {}
            Line::Schema { schema, description } => self.take_schema(schema, description)?,
            Line::Boot { device, stream } => {
                let number = self.stream(device, parse(stream)?);
                let stream = &mut self.streams[as_usize(number)];
                (stream.boot_acked, stream.boot_made, stream.boot_mark) = (0, 0, 0);
            }
            Line::Row { .. } => self.take_row(line)?,
            Line::Moved { device, stream, to, ref runs } => {
                let from = self.stream(device, parse(stream)?);
                let to = self.stream(device, parse(to)?);
                for &(first, count, new) in runs {
                    let ends = (first.checked_add(count), new.checked_add(count));
                    let (Some(end), Some(new_end)) = ends else {
                        bail!("a run beyond all numbers")
                    };
                    self.streams[as_usize(from)].moved.add(first, end, (to, new));
                    self.streams[as_usize(to)].came.add(new, new_end, (from, first));
                    self.streams[as_usize(to)].boot_made += u64::from(count);
                }
            }
            Line::Acked { .. } | Line::Refused { .. } | Line::Dropped { .. } if since => {}
            Line::Acked { device, stream, below, rows } => {
                let number = self.stream(device, parse(stream)?);
                self.take_acked(number, below, rows);
            }
            Line::Refused { device, stream, first, count, code } => {
                let number = self.stream(device, parse(stream)?);
                let end = first.saturating_add(count);
                self.streams[as_usize(number)].refused.add(first, end, code);
            }
            Line::Dropped { device, stream, first, count, cause } => {
                let cause =
                    SkipCause::ALL.iter().find(|known| known.name().eq_ignore_ascii_case(cause));
                let cause = *cause.context("a cause that nobody knows")?;
                let number = self.stream(device, parse(stream)?);
                let stream = &mut self.streams[as_usize(number)];
                let end = first.saturating_add(count);
                stream.dropped.add(first, end, cause);
                if cause == SkipCause::Lost {
                    stream.forgotten.add(first, end.min(stream.acked_below), ());
                }
            }
        }
        Ok(())
    }

    fn take_schema(&mut self, name: &str, description: &str) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        unhex(description, &mut bytes)?;
        match self.schemas.get(name) {
            Some(known) if known.description() == bytes => Ok(()),
            Some(_) => bail!("{name} is another schema than in an earlier line"),
            None => {
                let known = self.contents.schema(&bytes).context("no schema description")?;
                self.schemas.insert(name.to_owned(), known);
                Ok(())
            }
        }
    }

    fn take_row(&mut self, line: &Line<'_>) -> anyhow::Result<()> {
        let &Line::Row { device, stream, row, schema, clock, time_us, sparse, bytes } = line else {
            return Ok(());
        };
        let clock = (0..4)
            .filter_map(Clock::from_code)
            .find(|known| known.name().eq_ignore_ascii_case(clock));
        let clock = clock.context("a clock that nobody knows")?;
        let number = self.stream(device, parse(stream)?);
        self.streams[as_usize(number)].boot_made += 1;
        let schema = self.schemas.get(schema).context("a schema that no line described")?;
        let (encoded, content) = &mut self.room;
        unhex(bytes, encoded)?;
        Contents::of_bytes(schema, Dated { clock, time_us, sparse }, encoded, content)
            .context("the bytes are no row of this schema")?;
        let tag = if self.since { MADE_SINCE } else { MADE };
        self.spill.push(Key { stream: number, row, tag }, content).context("write a temporary file")
    }

    fn take_acked(&mut self, number: u32, below: u32, rows: u64) {
        let stream = &mut self.streams[as_usize(number)];
        if below < stream.boot_mark {
            let text = format!("acknowledged below {below}, after {} was", stream.boot_mark);
            self.nonsense.push((number, below, text));
        }
        stream.boot_mark = stream.boot_mark.max(below);
        stream.acked_below = stream.acked_below.max(below);
        stream.boot_acked += rows;
        stream.acked_rows = stream.acked_rows.max(stream.boot_acked);
        if stream.boot_acked > stream.boot_made {
            let (acked, made) = (stream.boot_acked, stream.boot_made);
            let text = format!("{acked} rows acknowledged when {made} were made");
            self.nonsense.push((number, below, text));
            stream.boot_made = stream.boot_acked; // Once is enough.
        }
    }

    /// Takes what the store has. Every journal was read: numbers that rows had before are known.
    pub(super) fn keep(&mut self, kept: &Kept<'_>) -> anyhow::Result<()> {
        let number = self.stream(kept.device, kept.stream);
        match kept.what {
            KeptWhat::Skipped(rows, cause) => {
                self.streams[as_usize(number)].kept_skipped.add(rows.start, rows.end, cause);
            }
            KeptWhat::Refused(rows, code) => {
                let stream = &mut self.streams[as_usize(number)];
                stream.kept_refused.add(rows.start, rows.end, code);
                stream.kept_refusals += u64::from(rows.end - rows.start);
            }
            KeptWhat::Counts(_) => {}
            KeptWhat::Row(row) => {
                let (origin, origin_row) = self.origin(number, row.row);
                let (record, content) = &mut self.room;
                self.contents.of_kept(&row, content);
                record.clear();
                record.extend(number.to_be_bytes());
                record.extend(row.row.to_be_bytes());
                record.push(kept.place as u8);
                record.extend_from_slice(content);
                let key = Key { stream: origin, row: origin_row, tag: KEPT };
                self.spill.push(key, record).context("write a temporary file")?;
            }
        }
        Ok(())
    }

    /// Everything of the journals was read.
    pub(super) fn end_of_journals(&mut self) {
        for stream in &mut self.streams {
            stream.moved.settle();
            stream.came.settle();
            stream.refused.settle();
            stream.dropped.settle();
            stream.forgotten.settle();
        }
    }

    /// Everything of the store was read.
    pub(super) fn end_of_store(&mut self) {
        for stream in &mut self.streams {
            stream.kept_refused.settle();
            stream.kept_skipped.settle();
        }
    }

    /// The devices of the journals.
    pub(super) fn devices(&self) -> Vec<String> {
        self.devices.iter().map(ToString::to_string).collect()
    }

    /// The first number that a row had.
    pub(super) fn origin(&self, stream: u32, row: u32) -> (u32, u32) {
        self.follow(stream, row, |stream| &stream.came)
    }

    /// The last number that a row was given.
    pub(super) fn final_number(&self, stream: u32, row: u32) -> (u32, u32) {
        self.follow(stream, row, |stream| &stream.moved)
    }

    fn follow(
        &self,
        mut stream: u32,
        mut row: u32,
        way: impl Fn(&Stream) -> &Spans<(u32, u32)>,
    ) -> (u32, u32) {
        for _ in 0..MOVES_MAX {
            let Some((start, (to, first))) = way(&self.streams[as_usize(stream)]).get(row) else {
                break;
            };
            (stream, row) = (to, first + (row - start));
        }
        (stream, row)
    }

    fn stream(&mut self, device: &str, stream: u64) -> u32 {
        let device = match self.devices.get(device) {
            Some(known) => Arc::clone(known),
            None => {
                let new: Arc<str> = Arc::from(device);
                self.devices.insert(Arc::clone(&new));
                new
            }
        };
        let next = u32::try_from(self.streams.len()).unwrap_or(u32::MAX);
        let number = *self.index.entry((Arc::clone(&device), stream)).or_insert(next);
        if number == next {
            self.streams.push(Stream::new(device, stream));
        }
        number
    }
}

impl Stream {
    fn new(device: Arc<str>, stream: u64) -> Self {
        Self {
            device,
            stream,
            acked_below: 0,
            refused: Spans::default(),
            dropped: Spans::default(),
            forgotten: Spans::default(),
            moved: Spans::default(),
            came: Spans::default(),
            kept_refused: Spans::default(),
            kept_skipped: Spans::default(),
            kept_rows: 0,
            kept_refusals: 0,
            acked_rows: 0,
            boot_acked: 0,
            boot_made: 0,
            boot_mark: 0,
        }
    }
}

/// Where a kept row was found, from its record.
pub(super) fn place_of(code: u8) -> Place {
    [Place::Filed, Place::Landed, Place::Filing]
        .into_iter()
        .find(|place| *place as u8 == code)
        .unwrap_or(Place::Filed)
}

fn parse(stream: &str) -> anyhow::Result<u64> {
    match stream.len() {
        16 => u64::from_str_radix(stream, 16).context("a stream is 16 hexadecimal digits"),
        _ => bail!("a stream is 16 hexadecimal digits"),
    }
}

pub(super) fn as_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "0000000000000001";
    const NEXT: &str = "0000000000000002";

    fn acked(below: u32, rows: u64) -> Line<'static> {
        Line::Acked { device: "gh-7", stream: STREAM, below, rows }
    }

    #[test]
    fn a_row_that_got_other_numbers_is_found_by_its_first_and_its_last() {
        let mut book = Book::default();
        let last = "0000000000000003";
        for (stream, to, runs) in
            [(STREAM, NEXT, vec![(5, 2, 0), (9, 3, 2)]), (NEXT, last, vec![(1, 3, 0)])]
        {
            book.take(&Line::Moved { device: "gh-7", stream, to, runs }).unwrap();
        }
        book.end_of_journals();
        // Row 9 of the first stream became row 2 of the second and row 1 of the third.
        assert_eq!(book.final_number(0, 9), (2, 1));
        assert_eq!(book.origin(2, 1), (0, 9));
        assert_eq!(book.origin(1, 1), (0, 6));
        assert_eq!(book.final_number(0, 11), (1, 4), "it was settled in the second");
        assert_eq!(
            (book.origin(0, 7), book.final_number(0, 7)),
            ((0, 7), (0, 7)),
            "it did not move"
        );
    }

    #[test]
    fn acknowledgements_that_can_not_be_in_this_order_are_named_once() {
        let mut book = Book::default();
        book.take(&Line::Boot { device: "gh-7", stream: STREAM }).unwrap();
        book.take(&acked(3, 0)).unwrap();
        book.take(&acked(2, 0)).unwrap();
        assert_eq!(book.nonsense.len(), 1);
        book.take(&acked(4, 1)).unwrap();
        book.take(&acked(5, 0)).unwrap();
        assert_eq!(book.nonsense.len(), 2, "{:?}", book.nonsense);
        // Another boot may hear a lower mark first.
        book.take(&Line::Boot { device: "gh-7", stream: STREAM }).unwrap();
        book.take(&acked(1, 0)).unwrap();
        assert_eq!(book.nonsense.len(), 2);
    }

    #[test]
    fn what_was_acknowledged_before_it_was_declared_lost_is_forgotten() {
        let mut book = Book::default();
        book.take(&Line::Boot { device: "gh-7", stream: STREAM }).unwrap();
        book.take(&acked(4, 0)).unwrap();
        let dropped =
            Line::Dropped { device: "gh-7", stream: STREAM, first: 2, count: 5, cause: "lost" };
        book.take(&dropped).unwrap();
        book.end_of_journals();
        let forgotten: Vec<u32> =
            (0..9).filter(|row| book.streams[0].forgotten.value(*row).is_some()).collect();
        assert_eq!(forgotten, [2, 3]);
    }

    #[test]
    fn since_the_store_was_looked_at_nothing_that_was_told_counts() {
        let mut book = Book { since: true, ..Book::default() };
        book.take(&acked(4, 0)).unwrap();
        assert!(book.streams.is_empty());
    }
}
