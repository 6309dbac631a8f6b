//! How a spool reads a stream: the rows of all segments that hold some, merged by number.

use std::collections::VecDeque;

use super::format::{Item, file_name};
use super::log::Spool;
use super::types::{Entry, ReadLimits, Record, Skip};
use super::walk::Walk;
use super::{SpoolError, Storage};

/// A segment that is being read.
struct Cursor {
    number: u32,
    walk: Walk,
    /// The next row, and where it begins.
    next: Option<(Record, u64)>,
}

/// The segments that hold rows of a stream.
struct Merge {
    stream: u64,
    open: Vec<Cursor>,
    /// Not opened yet: lowest row and number, ascending. Hardly ever is more than one open: only after a failed sync do rows
    /// stand in two segments.
    waiting: VecDeque<(u32, u32)>,
}

impl<S: Storage> Spool<S> {
    /// What is known of a stream's rows from `from` on, or from its mark on: each is in a row, in a run of skipped ones, or in a
    /// run of missing ones, in order. Empty when there are none from there on. Go on from the end of the last entry; the stream
    /// may be appended to meanwhile. Memory: the limits, and 64 KiB for each segment that holds the same rows.
    ///
    /// # Errors
    /// [`SpoolError::Read`]
    pub fn read(
        &mut self,
        stream: u64,
        from: u32,
        limits: ReadLimits,
    ) -> Result<Vec<Entry>, SpoolError> {
        let mut entries = Vec::new();
        let Some(known) = self.book.get(stream) else { return Ok(entries) };
        let (mut at, next_row) = (from.max(known.mark), known.next_row);
        let mut merge = self.merge(stream, at);
        let mut bytes = 0;
        while at < next_row && entries.len() < limits.entries.max(1) {
            let Some(known) = self.book.get(stream) else { break };
            if let Some((end, cause)) = known.skip_at(at) {
                entries.push(Entry::Skipped(Skip { stream, first: at, count: end - at, cause }));
                at = end;
                continue;
            }
            let until = known.skip_after(at).unwrap_or(next_row);
            let held = merge.peek(self, at)?.map(|row| (row.row, row.bytes.len()));
            match held {
                Some((row, len)) if row == at => {
                    bytes += len;
                    if bytes > limits.bytes && !entries.is_empty() {
                        break;
                    }
                    entries.extend(merge.take().map(Entry::Row));
                    at += 1;
                }
                _ => {
                    let until = held.map_or(until, |(row, _)| row.min(until));
                    entries.push(Entry::Missing { first: at, count: until - at });
                    at = until;
                }
            }
        }
        merge.remember(self, at);
        Ok(entries)
    }

    fn merge(&self, stream: u64, from: u32) -> Merge {
        let held = self.segments.iter().filter_map(|(number, segment)| {
            let extent = segment.extents.get(&stream)?;
            (extent.last >= from).then_some((extent.first, *number))
        });
        let mut waiting: Vec<(u32, u32)> = held.collect();
        waiting.sort_unstable();
        Merge { stream, open: Vec::new(), waiting: waiting.into() }
    }
}

impl Merge {
    /// The lowest row from `from` on.
    fn peek<S: Storage>(
        &mut self,
        spool: &mut Spool<S>,
        from: u32,
    ) -> Result<Option<&Record>, SpoolError> {
        loop {
            for cursor in &mut self.open {
                cursor.advance(spool, self.stream, from)?;
            }
            self.open.retain(|cursor| cursor.next.is_some());
            self.open.sort_by_key(|cursor| cursor.next.as_ref().map(|(row, _)| row.row));
            let lowest = self.open.first().and_then(|cursor| cursor.next.as_ref());
            let lowest = lowest.map_or(u32::MAX, |(row, _)| row.row);
            match self.waiting.front() {
                Some(&(first, number)) if first <= lowest => {
                    self.waiting.pop_front();
                    self.open.extend(Cursor::open(spool, number, self.stream, from));
                }
                _ => break,
            }
        }
        Ok(self.open.first().and_then(|cursor| cursor.next.as_ref()).map(|(row, _)| row))
    }

    /// The row that `peek` showed.
    fn take(&mut self) -> Option<Record> {
        self.open.first_mut()?.next.take().map(|(row, _)| row)
    }

    /// Notes where the next reading, from `from` on, can begin.
    fn remember<S: Storage>(&self, spool: &mut Spool<S>, from: u32) {
        for cursor in &self.open {
            let segment = spool.segments.get_mut(&cursor.number);
            let extent = segment.and_then(|segment| segment.extents.get_mut(&self.stream));
            if let Some(extent) = extent {
                let offset = cursor.next.as_ref().map_or(cursor.walk.offset(), |(_, at)| *at);
                extent.reach(from, offset);
            }
        }
    }
}

impl Cursor {
    fn open<S: Storage>(spool: &Spool<S>, number: u32, stream: u64, from: u32) -> Option<Self> {
        let segment = spool.segments.get(&number)?;
        let offset = segment.extents.get(&stream)?.offset_of(from);
        let walk = Walk::new(number, file_name(number), offset, segment.end);
        Some(Self { number, walk, next: None })
    }

    /// Goes to the next row of the stream from `from` on; there may be none.
    fn advance<S: Storage>(
        &mut self,
        spool: &mut Spool<S>,
        stream: u64,
        from: u32,
    ) -> Result<(), SpoolError> {
        while self.next.as_ref().is_none_or(|(row, _)| row.row < from) {
            match self.walk.next(&mut spool.storage) {
                Ok(Some((offset, Item::Row(row)))) if row.stream == stream && row.row >= from => {
                    self.next = Some((row.to_record(), offset));
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.next = None;
                    return Ok(());
                }
                Err(source) => return Err(self.unreadable(spool, stream, source)),
            }
        }
        Ok(())
    }

    fn unreadable<S: Storage>(
        &self,
        spool: &Spool<S>,
        stream: u64,
        source: std::io::Error,
    ) -> SpoolError {
        let segment = spool.segments.get(&self.number);
        let extent = segment.and_then(|segment| segment.extents.get(&stream));
        let (first, last) = extent.map_or((0, 0), |extent| (extent.first, extent.last));
        SpoolError::Read { name: file_name(self.number), first, last, source }
    }
}
