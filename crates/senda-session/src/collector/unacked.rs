//! Fire and forget: which counters were seen. Spec §7.8.

/// A window over the last 64 counters, and what REPORT says.
#[derive(Clone, Debug, Default)]
pub(super) struct CounterWindow {
    /// Highest counter seen; meaningless before the first.
    highest: u32,
    /// Bit `n`: counter `highest - n` was seen.
    seen: u64,
    first: u32,
    pub(super) received: u32,
    pub(super) duplicates: u32,
}

impl CounterWindow {
    /// Notes a counter; false when it was seen, or is too old to tell. Spec §7.8a.
    pub(super) fn insert(&mut self, counter: u32) -> bool {
        if self.received == 0 {
            (self.first, self.highest, self.seen) = (counter, counter, 1);
        } else if let Some(ahead) = counter.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = counter;
        } else {
            let bit = 1u64.checked_shl(self.highest - counter).unwrap_or(0);
            if bit == 0 || self.seen & bit != 0 {
                self.duplicates = self.duplicates.saturating_add(1);
                return false;
            }
            self.seen |= bit;
            self.first = self.first.min(counter);
        }
        self.received = self.received.saturating_add(1);
        true
    }

    /// Highest counter seen.
    pub(super) const fn highest(&self) -> u32 {
        self.highest
    }

    /// Counters between the first and the highest that have not come.
    pub(super) const fn missing(&self) -> u32 {
        (self.highest - self.first).saturating_add(1).saturating_sub(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::CounterWindow;

    /// Spec §7.8a.
    #[test]
    fn a_counter_is_taken_once_within_the_window() {
        let mut window = CounterWindow::default();
        assert!(window.insert(5));
        assert!(window.insert(70));
        assert!(window.insert(7), "63 behind the highest is still in the window");
        assert!(!window.insert(7));
        assert!(!window.insert(6), "64 behind can't be told any more");
        assert!(!window.insert(70));
        assert_eq!((window.received, window.duplicates, window.missing()), (3, 3, 63));
    }

    #[test]
    fn a_jump_of_more_than_64_forgets_what_was_seen() {
        let mut window = CounterWindow::default();
        assert!(window.insert(0));
        assert!(window.insert(u32::MAX));
        assert!(!window.insert(u32::MAX));
    }
}
