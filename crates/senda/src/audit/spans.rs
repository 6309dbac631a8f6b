//! Runs of row numbers with something to say of each.

/// Runs of rows, start to end - 1, each with a value; neighbours with the same value become one.
#[derive(Clone, Debug)]
pub(super) struct Spans<T> {
    spans: Vec<(u32, u32, T)>,
    is_sorted: bool,
}

impl<T> Default for Spans<T> {
    fn default() -> Self {
        Self { spans: Vec::new(), is_sorted: true }
    }
}

impl<T: Copy + PartialEq> Spans<T> {
    /// Adds a run; of two that overlap, the one that begins first holds.
    pub(super) fn add(&mut self, start: u32, end: u32, value: T) {
        if start >= end {
            return;
        }
        if let Some((_, last_end, last)) = self.spans.last_mut()
            && *last_end == start
            && *last == value
        {
            *last_end = end;
            return;
        }
        self.is_sorted = false;
        self.spans.push((start, end, value));
    }

    /// To be called after the last `add` and before the first `get`.
    pub(super) fn settle(&mut self) {
        if std::mem::replace(&mut self.is_sorted, true) {
            return;
        }
        self.spans.sort_by_key(|(start, end, _)| (*start, *end));
        let mut below = 0;
        self.spans.retain_mut(|(start, end, _)| {
            *start = below.max(*start);
            below = below.max(*end);
            start < end
        });
    }

    /// The run that has this row: where it begins, and its value.
    pub(super) fn get(&self, row: u32) -> Option<(u32, T)> {
        let after = self.spans.partition_point(|(start, ..)| *start <= row);
        let (start, end, value) = self.spans.get(after.checked_sub(1)?)?;
        (row < *end).then_some((*start, *value))
    }

    /// The value of the run that has this row.
    pub(super) fn value(&self, row: u32) -> Option<T> {
        self.get(row).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_runs_that_overlap_the_first_holds() {
        let mut spans = Spans::default();
        for (start, end, value) in
            [(10, 20, 'a'), (20, 25, 'a'), (15, 30, 'b'), (5, 5, 'c'), (0, 2, 'd')]
        {
            spans.add(start, end, value);
        }
        spans.settle();
        let found: String = [0, 1, 2, 9, 10, 24, 25, 29, 30]
            .map(|row| spans.value(row).unwrap_or('-'))
            .into_iter()
            .collect();
        assert_eq!(found, "dd--aabb-");
    }
}
