//! What is kept in memory of a segment: how long it is, and where in it the rows of each stream are.

use std::collections::{BTreeMap, BTreeSet};

use super::format::{Item, frame_len};

/// One file.
#[derive(Debug, Default)]
pub(super) struct Segment {
    /// Bytes on disk, at most.
    pub(super) bytes: u64,
    /// Where its good part ends.
    pub(super) end: u64,
    /// Where the rows of each stream are.
    pub(super) extents: BTreeMap<u64, Extent>,
    /// Schemas, by stream and id, that stand in it.
    pub(super) described: BTreeSet<(u64, u8)>,
    /// Bytes of their frames.
    pub(super) described_bytes: u64,
}

/// The rows of one stream in one segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Extent {
    /// Lowest number.
    pub(super) first: u32,
    /// Highest number.
    pub(super) last: u32,
    /// Rows, of which some may be there twice after a failed sync.
    pub(super) rows: u32,
    /// Where the first one begins.
    offset: u64,
    /// Where reading got to: rows from this one on are at this offset or behind it.
    reached: (u32, u64),
}

impl Segment {
    /// Notes a row that stands at `offset`.
    pub(super) fn add(&mut self, stream: u64, row: u32, offset: u64) {
        let new = Extent { first: row, last: row, rows: 0, offset, reached: (row, offset) };
        let extent = self.extents.entry(stream).or_insert(new);
        // Only a file that somebody made by hand has rows out of order; then all of it is read.
        if row < extent.first {
            extent.reached = (0, extent.offset);
        }
        extent.first = extent.first.min(row);
        extent.last = extent.last.max(row);
        extent.rows = extent.rows.saturating_add(1);
    }

    /// Notes frames that were written, each with where it begins.
    pub(super) fn take(&mut self, places: &[(u64, &Item<'_>)]) {
        for (offset, item) in places {
            match item {
                Item::Row(row) => self.add(row.stream, row.row, *offset),
                Item::Schema { stream, schema, .. } => {
                    self.described.insert((*stream, *schema));
                    self.described_bytes += frame_len(item);
                }
                _ => {}
            }
        }
    }

    /// True when a row of this stream may follow: numbers ascend within a segment.
    pub(super) fn takes(&self, stream: u64, row: u32) -> bool {
        self.extents.get(&stream).is_none_or(|extent| extent.last < row)
    }

    /// Whether the row may be here.
    pub(super) fn may_hold(&self, stream: u64, row: u32) -> bool {
        self.extents.get(&stream).is_some_and(|extent| extent.first <= row && row <= extent.last)
    }
}

impl Extent {
    /// From where on a row from `row` on may be found.
    pub(super) const fn offset_of(&self, row: u32) -> u64 {
        if row >= self.reached.0 { self.reached.1 } else { self.offset }
    }

    /// Reading from `row` on may begin at `offset`.
    pub(super) const fn reach(&mut self, row: u32, offset: u64) {
        self.reached = (row, offset);
    }
}
