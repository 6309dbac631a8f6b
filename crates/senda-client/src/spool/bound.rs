//! How a spool forgets: segments in which everything is resolved, the oldest one at the bound, streams that are done.

use std::collections::BTreeMap;
use std::io;

use senda_wire::SkipCause;

use super::SpoolError;
use super::Storage;
use super::format::{Item, file_name, frame_len};
use super::log::Spool;
use super::types::{Skip, Sync};
use super::walk::Walk;

/// A mark is written when so many rows are resolved since it was written last.
const MARK_EVERY_ROWS: u32 = 1_024;

impl<S: Storage> Spool<S> {
    /// Gives up what is unresolved in the oldest segment and removes it: that the rows are skipped is safe before they go. False
    /// when there is no segment with rows.
    pub(super) fn drop_oldest(&mut self) -> Result<bool, SpoolError> {
        let Some((&oldest, segment)) = self.segments.first_key_value() else { return Ok(false) };
        if self.active.is_none_or(|active| active == oldest) {
            if segment.extents.is_empty() && self.segments.len() == 1 {
                return Ok(false);
            }
            self.roll()?;
            if !self.segments.contains_key(&oldest) {
                return Ok(true); // Everything in it was resolved.
            }
        }
        let runs = self.unresolved_in(oldest);
        let facts: Vec<Item<'_>> = runs.iter().map(|run| Item::Skip(*run)).collect();
        if let Some(active) = self.active.filter(|_| !facts.is_empty()) {
            self.write(active, &facts)?;
        }
        for run in runs {
            self.book.skip(&run, self.options.skips_max());
            self.told.dropped.push(run);
        }
        self.flush()?;
        self.remove(oldest);
        Ok(true)
    }

    /// Rows that nobody has when this segment goes: neither resolved nor given up, nor in another segment.
    fn unresolved_in(&mut self, number: u32) -> Vec<Skip> {
        let Some(segment) = self.segments.get(&number) else { return Vec::new() };
        let mut walk = Walk::new(number, file_name(number), 0, segment.end);
        let mut runs: BTreeMap<u64, Vec<Skip>> = BTreeMap::new();
        loop {
            let row = match walk.next(&mut self.storage) {
                Ok(Some((_, Item::Row(row)))) => (row.stream, row.row),
                Ok(Some(_)) => continue,
                Ok(None) => break,
                Err(_) => return self.unreadable_in(number),
            };
            let is_wanted = self.book.get(row.0).is_some_and(|stream| stream.wants(row.1));
            let is_elsewhere = || {
                self.segments.iter().any(|(other, s)| *other != number && s.may_hold(row.0, row.1))
            };
            if is_wanted && !is_elsewhere() {
                add_row(runs.entry(row.0).or_default(), row.0, row.1);
            }
        }
        runs.into_values().flatten().collect()
    }

    /// The same of a segment that can't be read: whatever may be in it.
    fn unreadable_in(&self, number: u32) -> Vec<Skip> {
        let Some(segment) = self.segments.get(&number) else { return Vec::new() };
        let mut runs = Vec::new();
        for (&stream, extent) in &segment.extents {
            let Some(known) = self.book.get(stream) else { continue };
            let first = extent.first.max(known.mark);
            let others = self.segments.iter().filter(|(other, _)| **other != number);
            let later = others.filter_map(|(_, s)| s.extents.get(&stream)).map(|other| other.first);
            let end = later.filter(|other| *other > first).min().unwrap_or(u32::MAX);
            let end = end.min(extent.last.saturating_add(1));
            if first < end {
                runs.push(Skip { stream, first, count: end - first, cause: SkipCause::Overflow });
            }
        }
        runs
    }

    /// Removes segments in which everything is resolved, if what is known of streams is safe in a newer one.
    pub(super) fn release(&mut self) {
        let Some(base) = self.base else { return };
        let is_done = |(stream, extent): (&u64, &super::segment::Extent)| {
            self.book.get(*stream).is_none_or(|known| extent.last < known.mark)
        };
        let older = self.segments.range(..base);
        let done = older.filter(|(_, segment)| segment.extents.iter().all(is_done));
        let done: Vec<u32> = done.map(|(number, _)| *number).collect();
        if done.is_empty() {
            return;
        }
        // So that their rows are not missing after a restart. Where it fails they are told as LOST, and the collector, which has
        // them, knows better.
        self.note_marks();
        let _ = self.flush();
        for number in done {
            self.remove(number);
        }
        self.note_marks(); // There was no room for them before, perhaps.
    }

    /// Writes the marks that moved, as far as that can be done.
    pub(super) fn note_marks(&mut self) {
        let moved = self.book.iter().filter(|(_, stream)| stream.mark > stream.noted);
        let moved: Vec<Item<'_>> = moved
            .map(|(stream, s)| Item::Stream { stream, mark: s.mark, next_row: s.next_row })
            .collect();
        self.write_marks(&moved);
    }

    /// Writes a stream's mark now and then, and when it is done.
    pub(super) fn note_mark_if_due(&mut self, stream: u64) {
        let Some(known) = self.book.get(stream) else { return };
        let is_last = known.is_settled() && !known.is_current;
        if known.mark - known.noted < MARK_EVERY_ROWS && !is_last {
            return;
        }
        let (mark, next_row) = (known.mark, known.next_row);
        self.write_marks(&[Item::Stream { stream, mark, next_row }]);
    }

    fn write_marks(&mut self, marks: &[Item<'static>]) {
        if marks.is_empty() || !self.fits(marks.iter().map(frame_len).sum()) {
            return;
        }
        let Ok(number) = self.segment_for(&[]) else { return };
        if self.write(number, marks).is_ok() {
            for mark in marks {
                self.book.apply(mark, self.options.skips_max());
            }
        }
    }

    /// Forgets the oldest stream of which no row is held: one that is done if there is one. False if each holds a row.
    pub(super) fn forget_oldest(&mut self) -> bool {
        let idle = self.book.iter().filter(|(stream, _)| !self.is_held(*stream));
        let idle: Vec<(u64, bool)> = idle.map(|(id, known)| (id, known.is_settled())).collect();
        let done = idle.iter().find(|(_, is_settled)| *is_settled);
        let Some(&(stream, is_settled)) = done.or(idle.first()) else { return false };
        if !is_settled && let Some(state) = self.stream(stream) {
            let (mark, next_row) = (state.next_row, state.next_row);
            self.told.forgotten.push(state);
            if let Some(active) = self.active {
                // So that it is not found again. If this fails, it is, and is told once more.
                let _ = self.write(active, &[Item::Stream { stream, mark, next_row }]);
            }
        }
        self.book.forget(stream);
        true
    }

    /// Forgets a stream of an earlier boot of which nothing is left.
    pub(super) fn forget_if_done(&mut self, stream: u64) {
        let is_done =
            self.book.get(stream).is_some_and(|known| known.is_settled() && !known.is_current);
        if is_done && !self.is_held(stream) {
            self.book.forget(stream);
        }
    }

    fn is_held(&self, stream: u64) -> bool {
        self.segments.values().any(|segment| segment.extents.contains_key(&stream))
    }

    fn remove(&mut self, number: u32) {
        let Some(segment) = self.segments.remove(&number) else { return };
        self.discard(file_name(number), segment.bytes);
        for stream in segment.extents.keys() {
            self.forget_if_done(*stream);
        }
    }

    /// Removes a file, or remembers that it is to be removed.
    pub(super) fn discard(&mut self, name: String, bytes: u64) {
        if self.storage.remove(&name).is_err() {
            self.debris.push((name, bytes));
        }
    }

    /// Removes what could not be removed before. No new file is made while that fails, or there would be no end of them.
    pub(super) fn sweep(&mut self) -> io::Result<()> {
        while let Some((name, _)) = self.debris.last() {
            match self.storage.remove(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.debris.pop(),
            };
        }
        Ok(())
    }

    /// After a restart: what the newest segments hold may never have been synced.
    pub(super) fn secure_base(&mut self) {
        let Some(base) = self.base.filter(|_| self.options.sync != Sync::Never) else { return };
        let newest: Vec<u32> = self.segments.range(base..).map(|(number, _)| *number).collect();
        for number in newest {
            if self.storage.sync(&file_name(number)).is_err() {
                self.base = None;
            }
        }
    }
}

fn add_row(runs: &mut Vec<Skip>, stream: u64, row: u32) {
    match runs.last_mut() {
        Some(last) if last.first + last.count == row => last.count += 1,
        _ => runs.push(Skip { stream, first: row, count: 1, cause: SkipCause::Overflow }),
    }
}
