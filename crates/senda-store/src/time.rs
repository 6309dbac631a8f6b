//! The best estimate of when a sample was taken. Spec §13.2.

use senda_wire::Clock;

use crate::clock::ClockState;

/// A row's time in the store, with what it is worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Dated {
    /// Microseconds since 1970; always plausible. Spec §13.2a.
    pub(crate) time: i64,
    /// True when the device's clock said something that could not be used.
    pub(crate) estimated: bool,
}

/// Dates the rows of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dating {
    pub(crate) clock: Clock,
    pub(crate) t0: i64,
    pub(crate) received: i64,
    /// What is known of the device's clock.
    pub(crate) known: Option<ClockState>,
    /// The largest time offset in the message.
    pub(crate) last: u32,
}

impl Dating {
    /// What the device said; `None` where it has no clock. Arithmetic is modulo 2^64, so nothing is lost.
    pub(crate) fn device_time(&self, time_offset: u32) -> Option<i64> {
        (self.clock != Clock::None).then(|| self.t0.wrapping_add(time_offset.into()))
    }

    /// The time of the row that is `time_offset` after t0.
    pub(crate) fn date(&self, time_offset: u32) -> Dated {
        let said = match self.clock {
            Clock::UtcSynced | Clock::UtcUnsynced => self.device_time(time_offset),
            Clock::Monotonic => self
                .known
                .filter(ClockState::is_monotonic)
                .and_then(|known| known.utc(self.t0.checked_add(time_offset.into())?)),
            Clock::None => None,
        };
        if let Some(time) = said.filter(|time| is_plausible(*time, self.received)) {
            return Dated { time, estimated: false };
        }
        // By reception: at once for a clock that is wrong, spread over the message where only its start is unknown.
        let before = match self.clock {
            Clock::UtcSynced | Clock::UtcUnsynced => 0,
            Clock::None | Clock::Monotonic => self.last.saturating_sub(time_offset).into(),
        };
        Dated { time: self.received.saturating_sub(before), estimated: self.clock != Clock::None }
    }
}

/// Whether a row that arrived at `received` may have been taken at `time`. An old reading from a spool may be, one of the
/// future not. Spec §13.2a.
pub(crate) fn is_plausible(time: i64, received: i64) -> bool {
    time >= YEAR_2000 && time <= received.saturating_add(DAY)
}

/// 2000-01-01T00:00:00Z in microseconds.
const YEAR_2000: i64 = 946_684_800_000_000;
/// Microseconds.
const DAY: i64 = 86_400_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000;

    fn dating(clock: Clock, t0: i64, offset: Option<i64>) -> Dating {
        let known = offset.and_then(|offset| ClockState::hear(None, offset, 0, 1, NOW));
        Dating { clock, t0, received: NOW, known, last: 500 }
    }

    /// Spec §13.2a.
    #[test]
    fn a_time_is_always_plausible() {
        for clock in [Clock::None, Clock::Monotonic, Clock::UtcUnsynced, Clock::UtcSynced] {
            for t0 in
                [i64::MIN, -1, 0, YEAR_2000 - 1, NOW + DAY, NOW + DAY + 1, i64::MAX - 3, i64::MAX]
            {
                for offset in [None, Some(0), Some(i64::MIN), Some(i64::MAX), Some(NOW)] {
                    for time_offset in [0, 7, 500] {
                        let dated = dating(clock, t0, offset).date(time_offset);
                        assert!(
                            (YEAR_2000..=NOW + DAY).contains(&dated.time),
                            "{clock:?} {t0} {offset:?}: {dated:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_spooled_reading_keeps_its_time_and_a_future_one_does_not() {
        let year = 365 * DAY;
        assert_eq!(
            dating(Clock::UtcUnsynced, NOW - year, None).date(7),
            Dated { time: NOW - year + 7, estimated: false }
        );
        assert_eq!(
            dating(Clock::UtcSynced, NOW + year, None).date(7),
            Dated { time: NOW, estimated: true }
        );
    }

    #[test]
    fn without_a_clock_the_last_row_is_dated_by_reception() {
        let dating = dating(Clock::None, 0, None);
        assert_eq!(dating.date(500), Dated { time: NOW, estimated: false });
        assert_eq!(dating.date(100), Dated { time: NOW - 400, estimated: false });
        assert_eq!(dating.device_time(100), None);
    }

    #[test]
    fn a_monotonic_clock_needs_its_offset() {
        assert_eq!(
            dating(Clock::Monotonic, 1_000, Some(NOW - 9_000)).date(5),
            Dated { time: NOW - 7_995, estimated: false }
        );
        assert_eq!(
            dating(Clock::Monotonic, 1_000, None).date(400),
            Dated { time: NOW - 100, estimated: true }
        );
    }

    #[test]
    fn device_time_wraps_rather_than_lies() {
        assert_eq!(dating(Clock::UtcSynced, i64::MAX, None).device_time(1), Some(i64::MIN));
    }
}
