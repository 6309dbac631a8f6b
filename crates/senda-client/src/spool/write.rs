//! How a spool writes and begins segments; `bound.rs` has how it removes them.
//!
//! ```text
//!   append --> make_room --> drop_oldest: SKIP written, synced; then the oldest segment goes
//!          --> segment_for --> roll: a new segment begins with all that is known of streams; synced
//!          --> write --> after_write: flush, as the policy says
//!   write failed: nothing more goes into that segment          flush failed: nothing unsynced counts, and is written again
//!          +----------------> the next roll <-----------------------+
//! ```

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::book::Descriptions;
use super::format::{
    FRAME_LEN, Item, NUMBER_MAX, as_u64, file_name, frame_len, header, read_frame, write_frame,
};
use super::log::Spool;
use super::segment::Segment;
use super::types::{Appended, Record, Sync};
use super::{SpoolError, Storage};

/// What was written and not synced.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// Frames of rows, to be written again if the sync fails. Everything else is in the book.
    frames: Vec<u8>,
    /// Appends and rows since the last sync.
    count: usize,
}

impl Unsynced {
    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The rows, in order.
    fn rows(&self) -> impl Iterator<Item = Item<'_>> {
        let mut rest = &self.frames[..];
        std::iter::from_fn(move || {
            let body = u16::from_be_bytes(rest.get(4..6)?.try_into().ok()?);
            let (frame, after) = rest.split_at_checked(usize::from(body) + FRAME_LEN)?;
            rest = after;
            Some(read_frame(frame))
        })
    }
}

impl<S: Storage> Spool<S> {
    /// Makes a stream known. Where there are too many, the oldest that hold no row are forgotten, and segments go until one does.
    pub(super) fn enter(&mut self, stream: u64) -> Result<(), SpoolError> {
        if self.book.get(stream).is_some() {
            return Ok(());
        }
        while self.book.len() >= self.options.streams_max() {
            if !self.forget_oldest() && !self.drop_oldest()? {
                break;
            }
        }
        self.book.enter(stream).is_current = true;
        Ok(())
    }

    /// Whether so many bytes can be appended, and a new segment can be begun after that.
    pub(super) fn fits(&self, need: u64) -> bool {
        let active = self.active.and_then(|number| self.segments.get(&number));
        let described = active.map_or(0, |segment| segment.described_bytes);
        let carried = as_u64(self.unsynced.frames.len());
        // Twice: once more if the sync fails. What is known of all streams fits in a segment.
        let spare = 2 * need + carried + described + self.options.segment_bytes();
        self.bytes() + spare <= self.options.bytes_max
    }

    /// Drops oldest segments until so many bytes can be appended.
    pub(super) fn make_room(&mut self, need: u64) -> Result<(), SpoolError> {
        while !self.fits(need) {
            self.sweep().map_err(SpoolError::Write)?;
            if !self.fits(need) && !self.drop_oldest()? {
                return Err(SpoolError::Write(io::ErrorKind::StorageFull.into()));
            }
        }
        Ok(())
    }

    /// The segment that these rows go into: a new one where the last is full, failed, or has a later row.
    pub(super) fn segment_for(&mut self, rows: &[&Record]) -> Result<u32, SpoolError> {
        let active = self.active.and_then(|number| Some((number, self.segments.get(&number)?)));
        match active {
            Some((number, segment))
                if segment.end < self.options.segment_bytes()
                    && rows.iter().all(|row| segment.takes(row.stream, row.row)) =>
            {
                Ok(number)
            }
            _ => self.roll(),
        }
    }

    /// Appends frames to a segment, but for schemas that stand in it. If that fails nothing of them counts, and nothing more goes
    /// into it: what is at its end is not known.
    pub(super) fn write(&mut self, number: u32, items: &[Item<'_>]) -> Result<(), SpoolError> {
        let Some(segment) = self.segments.get_mut(&number) else { return Ok(()) };
        let (frames, places) = encode(number, segment.end, &segment.described, items);
        segment.bytes += as_u64(frames.len());
        if let Err(error) = self.storage.append(&file_name(number), &frames) {
            self.active = None;
            return Err(SpoolError::Write(error));
        }
        segment.take(&places);
        let base = segment.end;
        segment.end += as_u64(frames.len());
        self.unsynced.count += 1;
        if self.options.sync != Sync::Never {
            for (offset, item) in places.iter().filter(|(_, item)| matches!(item, Item::Row(_))) {
                let start = usize::try_from(offset - base).unwrap_or(usize::MAX);
                let end = start.saturating_add(usize::try_from(frame_len(item)).unwrap_or(0));
                self.unsynced.frames.extend(frames.get(start..end).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Syncs if the policy asks for it, and hands out what there is to tell.
    pub(super) fn after_write(&mut self, rows: usize) -> Result<Appended, SpoolError> {
        self.unsynced.count += rows - 1;
        let is_due = match self.options.sync {
            Sync::Append => true,
            Sync::Rows(rows) => {
                self.unsynced.count >= usize::try_from(rows.get()).unwrap_or(usize::MAX)
            }
            Sync::Caller | Sync::Never => false,
        };
        if is_due {
            self.flush()?;
        }
        Ok(std::mem::take(&mut self.told))
    }

    /// Makes everything written safe. After a failed sync nothing that was not synced counts as written: a second sync of the
    /// same file may succeed though its bytes are gone, so they go into a new segment.
    pub(super) fn flush(&mut self) -> Result<(), SpoolError> {
        if self.unsynced.is_empty() || self.options.sync == Sync::Never {
            return Ok(());
        }
        let failed = match self.active {
            Some(number) => match self.storage.sync(&file_name(number)) {
                Ok(()) => {
                    self.unsynced = Unsynced::default();
                    return Ok(());
                }
                Err(error) => Some(error),
            },
            None => None,
        };
        self.active = None;
        self.roll().map(drop).map_err(|error| match error {
            SpoolError::Write(again) => SpoolError::Sync(failed.unwrap_or(again)),
            other => other,
        })
    }

    /// Begins a new segment: what is known of streams, and what is not synced elsewhere, is safe in it before it is used.
    pub(super) fn roll(&mut self) -> Result<u32, SpoolError> {
        self.sweep().map_err(SpoolError::Write)?;
        if let Some(full) = self.active.take() {
            let must_sync = !self.unsynced.is_empty() && self.options.sync != Sync::Never;
            if must_sync && self.storage.sync(&file_name(full)).is_ok() {
                self.unsynced = Unsynced::default();
            }
        }
        let number = self.next_number;
        if number >= NUMBER_MAX {
            return Err(SpoolError::Exhausted { name: file_name(number - 1) });
        }
        self.next_number += 1;
        let (bytes, segment) = self.beginning(number);
        let name = file_name(number);
        let mut begun = self.storage.append(&name, &bytes);
        if begun.is_ok() && self.options.sync != Sync::Never {
            begun = self.storage.sync(&name);
        }
        if let Err(error) = begun {
            self.discard(name, as_u64(bytes.len()));
            return Err(SpoolError::Write(error));
        }
        self.segments.insert(number, segment);
        if self.options.sync != Sync::Never {
            self.unsynced = Unsynced::default();
        }
        (self.active, self.base) = (Some(number), Some(number));
        self.book.all_noted();
        self.release();
        Ok(number)
    }

    /// The first bytes of a new segment.
    fn beginning(&self, number: u32) -> (Vec<u8>, Segment) {
        let mut bytes = header(number, self.boot).to_vec();
        let mut segment = Segment::default();
        let used: Descriptions = self
            .unsynced
            .rows()
            .filter_map(|item| {
                let Item::Row(row) = item else { return None };
                let schemas = &self.book.get(row.stream)?.schemas;
                Some(((row.stream, row.schema), Arc::clone(schemas.get(&row.schema)?)))
            })
            .collect();
        let schemas = used.iter().map(|(&(stream, schema), description)| {
            Item::Schema { stream, schema, description } // Before the rows that use it.
        });
        let mut items = self.book.snapshot();
        items.extend(schemas);
        items.extend(self.unsynced.rows());
        let (frames, places) = encode(number, as_u64(bytes.len()), &BTreeSet::new(), &items);
        segment.take(&places);
        bytes.extend(frames);
        segment.bytes = as_u64(bytes.len());
        segment.end = segment.bytes;
        (bytes, segment)
    }
}

/// The frames of these items, to stand at `base` of segment `number`, without schemas that stand in it; and where each begins.
fn encode<'a, 'b>(
    number: u32,
    base: u64,
    described: &BTreeSet<(u64, u8)>,
    items: &'a [Item<'b>],
) -> (Vec<u8>, Vec<(u64, &'a Item<'b>)>) {
    let (mut frames, mut places) = (Vec::new(), Vec::with_capacity(items.len()));
    for item in items {
        if let Item::Schema { stream, schema, .. } = item
            && described.contains(&(*stream, *schema))
        {
            continue;
        }
        places.push((write_frame(&mut frames, number, base, item), item));
    }
    (frames, places)
}
