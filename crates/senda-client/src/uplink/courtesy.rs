//! How much history may put before a live row: messages get shorter when live rows are noticed to wait, longer when not.
//!
//! On a line that carries 10 kB in a second a full datagram takes an eighth of it, and a live row behind one arrives that much
//! later. What a live row takes without history is learnt while there is none; then each acknowledgement of live rows says
//! whether history is in their way.

use std::time::Duration;

use senda_session::Instant;

/// The shortest message, bytes, that is worth its header. A row that does not fit goes in a longer one.
const BYTES_MIN: usize = 160;
/// Bytes by which messages grow, with each that is acknowledged.
const STEP: usize = 64;
/// A live row that took so many tenths of what it takes without history has waited for it.
const TOLERANCE_TENTHS: u32 = 15;
/// After live rows have waited: how long messages stay below the length at which they did.
const REMEMBERED: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct Courtesy {
    /// What a live row takes from push to acknowledgement without history, smoothed.
    idle: Option<Duration>,
    bytes: usize,
    bytes_max: usize,
    /// Messages don't get longer than this ...
    ceiling: usize,
    /// ... before this.
    until: Instant,
}

impl Courtesy {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { idle: None, bytes: BYTES_MIN, bytes_max, ceiling: bytes_max, until: Instant(0) }
    }

    /// How long the next message may be.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Live rows were acknowledged; the quickest of them took so long.
    pub(super) fn live_took(&mut self, now: Instant, took: Duration, beside_history: bool) {
        let Some(idle) = self.idle else {
            self.idle = Some(took);
            return;
        };
        if !beside_history {
            self.idle = Some(idle * 7 / 8 + took / 8);
        } else if took > idle * TOLERANCE_TENTHS / 10 {
            self.ceiling = (self.bytes * 3 / 4).max(BYTES_MIN);
            self.bytes = (self.bytes / 2).max(BYTES_MIN);
            self.until = now + REMEMBERED;
        }
    }

    /// A message of history was acknowledged.
    pub(super) fn history_landed(&mut self, now: Instant) {
        if now >= self.until && self.ceiling < self.bytes_max {
            self.ceiling = (self.ceiling + STEP).min(self.bytes_max);
            self.until = now + REMEMBERED / 4;
        }
        self.bytes = (self.bytes + STEP).min(self.ceiling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_millis(40);

    fn begun() -> Courtesy {
        let mut courtesy = Courtesy::new(1_200);
        courtesy.live_took(Instant(0), IDLE, false);
        courtesy
    }

    #[test]
    fn messages_grow_as_long_as_nobody_waits() {
        let mut courtesy = begun();
        for _ in 0..20 {
            courtesy.history_landed(Instant(0));
            courtesy.live_took(Instant(0), IDLE, true);
        }
        assert_eq!(courtesy.bytes(), 1_200);
    }

    #[test]
    fn a_live_row_that_waited_makes_them_short_for_a_while() {
        let mut courtesy = begun();
        for _ in 0..20 {
            courtesy.history_landed(Instant(0));
        }
        courtesy.live_took(Instant(0), IDLE * 2, true);
        assert_eq!(courtesy.bytes(), 600);
        for _ in 0..20 {
            courtesy.history_landed(Instant(1));
        }
        assert_eq!(courtesy.bytes(), 900, "not as long as when somebody waited");
        for minute in 1..20 {
            courtesy.history_landed(Instant(minute * 60_000_000));
        }
        assert_eq!(courtesy.bytes(), 1_200);
    }

    #[test]
    fn what_live_rows_take_without_history_is_no_fault_of_it() {
        let mut courtesy = begun();
        for _ in 0..100 {
            courtesy.live_took(Instant(0), IDLE * 3, false);
        }
        courtesy.history_landed(Instant(0));
        let before = courtesy.bytes();
        courtesy.live_took(Instant(0), IDLE * 3, true);
        assert_eq!(courtesy.bytes(), before);
    }
}
