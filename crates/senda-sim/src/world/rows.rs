//! Sets of row numbers, as ranges.

use std::collections::BTreeMap;

use senda_wire::Range;

/// Row numbers, held as ranges that don't touch: a start, and the end behind it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct RowSet {
    ranges: BTreeMap<u32, u32>,
}

impl RowSet {
    /// Adds `start..end`.
    pub(super) fn insert(&mut self, start: u32, end: u32) {
        let (mut start, mut end) = (start, end);
        if start >= end {
            return;
        }
        // What touches it becomes part of it.
        while let Some((&first, &last)) = self.ranges.range(..=end).next_back() {
            if last < start {
                break;
            }
            self.ranges.remove(&first);
            (start, end) = (start.min(first), end.max(last));
        }
        self.ranges.insert(start, end);
    }

    /// True when it has all of `start..end`.
    pub(super) fn has(&self, start: u32, end: u32) -> bool {
        start >= end
            || self.ranges.range(..=start).next_back().is_some_and(|(_, last)| *last >= end)
    }

    /// The first number that it lacks.
    pub(super) fn next(&self) -> u32 {
        self.ranges.get(&0).copied().unwrap_or(0)
    }

    /// Its ranges, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = Range> + '_ {
        self.ranges.iter().map(|(start, end)| Range { start: *start, end: *end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one() {
        let mut set = RowSet::default();
        for (start, end) in [(5, 7), (0, 2), (9, 10), (7, 9), (2, 2)] {
            set.insert(start, end);
        }
        let ranges: Vec<_> = set.iter().map(|range| (range.start, range.end)).collect();
        assert_eq!(ranges, [(0, 2), (5, 10)]);
        assert!(set.has(5, 10) && set.has(3, 3) && !set.has(1, 3) && !set.has(4, 6));
        assert_eq!(set.next(), 2);
        set.insert(1, 20);
        assert_eq!(set.next(), 20);
    }
}
