//! Which rows of a stream are resolved. Spec §7.2.

use senda_wire::Range;
use senda_wire::registry::RANGES_MAX;

/// The mark of a stream, and the ranges above it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Marks {
    /// Every row below is resolved.
    next: u32,
    /// Ascending, apart from one another and above `next`; at most [`RANGES_MAX`].
    ranges: Vec<Range>,
}

/// The rows would need a 65th range. Spec §7.2a.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TooManyRanges;

impl Marks {
    pub(crate) const fn next(&self) -> u32 {
        self.next
    }

    pub(crate) fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// One past the highest resolved row.
    pub(crate) fn high(&self) -> u32 {
        self.ranges.last().map_or(self.next, |range| range.end)
    }

    /// Number of resolved rows.
    pub(crate) fn resolved(&self) -> u64 {
        u64::from(self.next)
            + self.ranges.iter().map(|range| u64::from(range.end - range.start)).sum::<u64>()
    }

    /// Resolves `rows`, and gives those that were not resolved before: at most one piece more than there are ranges.
    ///
    /// # Errors
    /// [`TooManyRanges`]: nothing is changed.
    pub(crate) fn resolve(&mut self, rows: Range) -> Result<Vec<Range>, TooManyRanges> {
        let new = self.unresolved(rows);
        if new.is_empty() {
            return Ok(new);
        }
        // Ranges that touch or overlap `rows` become one with it.
        let first = self.ranges.partition_point(|range| range.end < rows.start);
        let last = self.ranges.partition_point(|range| range.start <= rows.end);
        let touched = &self.ranges[first..last];
        let start = touched.first().map_or(rows.start, |range| range.start.min(rows.start));
        let end = touched.last().map_or(rows.end, |range| range.end.max(rows.end));
        if start <= self.next {
            self.next = end;
            self.ranges.drain(..last);
            return Ok(new);
        }
        if self.ranges.len() - touched.len() == RANGES_MAX {
            return Err(TooManyRanges);
        }
        self.ranges.splice(first..last, [Range { start, end }]);
        Ok(new)
    }

    /// The parts of `rows` that are not resolved, ascending.
    pub(crate) fn unresolved(&self, rows: Range) -> Vec<Range> {
        let mut new = Vec::new();
        let mut from = rows.start.max(self.next);
        for range in &self.ranges {
            if range.start >= rows.end {
                break;
            }
            if range.start > from {
                new.push(Range { start: from, end: range.start });
            }
            from = from.max(range.end);
        }
        if from < rows.end {
            new.push(Range { start: from, end: rows.end });
        }
        new
    }

    /// The ranges' form in the table `streams`: `'>II'` each.
    pub(crate) fn ranges_to_bytes(&self) -> Vec<u8> {
        self.ranges
            .iter()
            .flat_map(|range| [range.start.to_be_bytes(), range.end.to_be_bytes()])
            .flatten()
            .collect()
    }

    /// Back from the columns; `None` when they are not what [`Marks::ranges_to_bytes`] writes.
    pub(crate) fn from_columns(next: i64, bytes: &[u8]) -> Option<Self> {
        let next = u32::try_from(next).ok()?;
        let ranges: Vec<Range> = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|&[a, b, c, d, e, f, g, h]| Range {
                start: u32::from_be_bytes([a, b, c, d]),
                end: u32::from_be_bytes([e, f, g, h]),
            })
            .collect();
        let ordered = ranges.iter().try_fold(next, |below, range| {
            (range.start > below && range.end > range.start).then_some(range.end)
        });
        (bytes.len().is_multiple_of(8) && ranges.len() <= RANGES_MAX && ordered.is_some())
            .then_some(Self { next, ranges })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Spec §7.2: marks are a set of rows, whatever the order in which they came.
    #[test]
    fn marks_agree_with_a_set_of_rows() {
        proptest!(|(inserts in prop::collection::vec((0u32..400, 1u32..12), 1..200))| {
            let (mut marks, mut set) = (Marks::default(), BTreeSet::new());
            for (start, len) in inserts {
                let rows = Range { start, end: start + len };
                let fresh: Vec<u32> = (rows.start..rows.end).filter(|row| !set.contains(row)).collect();
                match marks.resolve(rows) {
                    Ok(new) => {
                        let new: Vec<u32> = new.iter().flat_map(|range| range.start..range.end).collect();
                        prop_assert_eq!(new, fresh);
                        set.extend(rows.start..rows.end);
                    }
                    Err(TooManyRanges) => {
                        prop_assert_eq!(marks.ranges().len(), RANGES_MAX);
                        prop_assert!(!fresh.is_empty());
                    }
                }
                let below = (0..).find(|row| !set.contains(row)).unwrap_or(0);
                prop_assert_eq!(marks.next(), below);
                prop_assert_eq!(marks.resolved(), set.len() as u64);
                let again = Marks::from_columns(marks.next().into(), &marks.ranges_to_bytes());
                prop_assert_eq!(again.as_ref(), Some(&marks));
            }
        });
    }

    #[test]
    fn a_65th_range_is_refused_and_changes_nothing() {
        let mut marks = Marks::default();
        for gap in 1..=64 {
            assert!(marks.resolve(Range { start: gap * 10, end: gap * 10 + 1 }).is_ok());
        }
        let before = marks.clone();
        assert_eq!(marks.resolve(Range { start: 5_000, end: 5_001 }), Err(TooManyRanges));
        assert_eq!(marks, before);
        assert!(marks.resolve(Range { start: 11, end: 12 }).is_ok(), "a range may grow");
        assert!(marks.resolve(Range { start: 0, end: 10 }).is_ok(), "the mark may move");
        assert_eq!((marks.next(), marks.ranges().len()), (12, 63));
    }

    #[test]
    fn the_last_row_number_can_be_resolved() {
        let mut marks = Marks::default();
        assert_eq!(marks.resolve(Range { start: 0, end: u32::MAX }).map(|new| new.len()), Ok(1));
        assert_eq!((marks.next(), marks.high()), (u32::MAX, u32::MAX));
    }
}
