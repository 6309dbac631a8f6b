//! One rule on one value of one device: what is late, whether the condition holds, and since when.

use std::collections::VecDeque;
use std::time::Duration;

use super::quantity::{equals, number};
use super::rule::{Condition, Hold, Rule, Side};
use senda_store::{ChannelInfo, Value};

/// The collector's clock may go back by this much and rows still count as one after the other; beyond that the clock was
/// set. Also how late [`tick`](super::Watcher::tick) may come.
pub(super) const CLOCK_STEP_US: i64 = 60_000_000;

/// Samples that the window of a rate keeps, at most; closer ones are used and forgotten.
const WINDOW_SAMPLES: u64 = 60;

/// Where an alert stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Phase {
    /// Not raised.
    #[default]
    Quiet,
    /// Raised.
    Raised,
    /// Closed by hand while the condition holds: not raised again before it was over.
    Closed,
}

/// What a sample says about a condition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It holds.
    Holds,
    /// Between raising and clearing: neither begins nor ends anything.
    Between,
    /// It does not hold.
    Over,
}

/// What the rule compares, and how that went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Judged {
    /// `rate`: the rate of change, where the rule is about it.
    As { verdict: Verdict, rate: Option<f64> },
    /// A window that is not yet full: neither raises nor clears.
    Unknown,
    /// The rule can't be about values of this kind.
    Unfit,
}

/// What a rule remembers of a value.
#[derive(Debug)]
pub(super) struct Gauge {
    /// The newest sample counted, µs; older ones are late.
    seen: i64,
    /// Its reception.
    received: i64,
    pending: Option<Pending>,
    window: Window,
}

/// A condition that holds, and not for long enough yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    since: i64,
    samples: u32,
}

impl Gauge {
    /// Samples up to `seen` are late.
    pub(super) fn new(seen: i64) -> Self {
        Self { seen, received: i64::MIN, pending: None, window: Window::default() }
    }

    /// Judges a value, other than NaN, that was sampled `at` some time.
    pub(super) fn judge(
        &mut self,
        rule: &Rule,
        channel: &ChannelInfo,
        value: &Value,
        at: i64,
    ) -> Judged {
        let band = |side: Side, raise: f64, clear: f64, value: f64| {
            if side.is_beyond(value, raise) {
                Verdict::Holds
            } else if side.is_beyond(value, clear) {
                Verdict::Between
            } else {
                Verdict::Over
            }
        };
        match &rule.condition {
            Condition::Threshold { side, raise, clear } => {
                let Some(value) = number(value, channel.exponent) else {
                    return Judged::Unfit;
                };
                Judged::As { verdict: band(*side, *raise, *clear, value), rate: None }
            }
            Condition::Rate { side, raise, clear, per, over } => {
                let Some(value) = number(value, channel.exponent) else {
                    return Judged::Unfit;
                };
                let Some(rate) = self.window.rate(at, value, micros(*over), channel.counter) else {
                    return Judged::Unknown;
                };
                let rate = rate * micros(*per) as f64;
                Judged::As { verdict: band(*side, *raise, *clear, rate), rate: Some(rate) }
            }
            Condition::Equals(expected) => match equals(value, channel.exponent, expected) {
                Some(true) => Judged::As { verdict: Verdict::Holds, rate: None },
                Some(false) => Judged::As { verdict: Verdict::Over, rate: None },
                None => Judged::Unfit,
            },
            Condition::Absent { .. } => Judged::Unfit,
        }
    }

    /// False for a sample that is late. Otherwise the next must be newer than it.
    pub(super) fn takes(&mut self, at: i64, received: i64) -> bool {
        if received < self.received.saturating_sub(CLOCK_STEP_US) {
            // The collector's clock was set back: by its old time nothing would count for as long as that.
            *self = Self::new(i64::MIN);
        }
        if at <= self.seen {
            return false;
        }
        self.seen = at;
        self.received = self.received.max(received);
        true
    }

    /// The phase after a sample that was taken.
    pub(super) fn next(&mut self, phase: Phase, hold: Hold, verdict: Verdict, at: i64) -> Phase {
        match (phase, verdict) {
            (Phase::Quiet, Verdict::Holds) if self.has_held(hold, at) => Phase::Raised,
            (Phase::Quiet, Verdict::Holds) => Phase::Quiet,
            (Phase::Quiet, Verdict::Between | Verdict::Over)
            | (Phase::Raised | Phase::Closed, Verdict::Over) => {
                self.pending = None;
                Phase::Quiet
            }
            (standing, Verdict::Holds | Verdict::Between) => standing,
        }
    }

    /// Counts a sample for which the condition holds: true when that is enough.
    fn has_held(&mut self, hold: Hold, at: i64) -> bool {
        let pending = self.pending.get_or_insert(Pending { since: at, samples: 0 });
        pending.samples = pending.samples.saturating_add(1);
        let enough = match hold {
            Hold::No => true,
            Hold::Time(time) => at.saturating_sub(pending.since) >= micros(time),
            Hold::Samples(samples) => pending.samples >= samples,
        };
        if enough {
            self.pending = None;
        }
        enough
    }
}

/// Samples to measure a change against.
#[derive(Debug, Default)]
struct Window {
    /// Time in µs, and value; the first is the one to measure against once it is old enough.
    samples: VecDeque<(i64, f64)>,
    last: Option<f64>,
}

impl Window {
    /// Change per microsecond since the newest sample that is at least `over` old; `None` without one.
    fn rate(&mut self, at: i64, value: f64, over: i64, counter: bool) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        if counter && self.last.is_some_and(|last| value < last) {
            self.samples.clear(); // It began anew: that is no change.
        }
        self.last = Some(value);
        let start = at.saturating_sub(over);
        while self.samples.get(1).is_some_and(|(time, _)| *time <= start) {
            self.samples.pop_front();
        }
        let first = self.samples.front().filter(|(time, _)| *time <= start);
        let rate = first.map(|(time, before)| (value - before) / at.saturating_sub(*time) as f64);
        let apart = over / i64::try_from(WINDOW_SAMPLES).unwrap_or(1);
        if self.samples.back().is_none_or(|(time, _)| at.saturating_sub(*time) >= apart) {
            self.samples.push_back((at, value));
        }
        rate
    }
}

/// A time of a rule, which was checked.
pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    #[test]
    fn a_rate_is_measured_over_the_window_and_not_before_it_is_full() {
        let mut window = Window::default();
        for second in 0..60 {
            let rate = window.rate(second * S, second as f64 * 2.0, 60 * S, false);
            assert_eq!(rate, None, "{second}");
        }
        assert_eq!(window.rate(60 * S, 120.0, 60 * S, false), Some(2.0 / 1e6));
        // A jump counts a sixtieth a second after it, for a minute.
        assert_eq!(window.rate(61 * S, 182.0, 60 * S, false), Some(3.0 / 1e6));
    }

    #[test]
    fn a_window_keeps_few_samples_however_many_come() {
        let mut window = Window::default();
        let mut last = None;
        for tenth in 0..100_000_i64 {
            let value = tenth as f64;
            last = window.rate(tenth * S / 1000, value, 10 * S, false);
            assert!(window.samples.len() <= 63, "{}", window.samples.len());
        }
        assert!((last.unwrap() * 1e6 - 1000.0).abs() < 1e-6);
    }

    #[test]
    fn a_counter_that_begins_anew_did_not_fall() {
        let mut window = Window::default();
        assert_eq!(window.rate(0, 100.0, S, true), None);
        assert_eq!(window.rate(S, 110.0, S, true), Some(10.0 / 1e6));
        assert_eq!(window.rate(2 * S, 3.0, S, true), None);
        assert_eq!(window.rate(3 * S, 5.0, S, true), Some(2.0 / 1e6));
        let mut window = Window::default();
        window.rate(0, 100.0, S, false);
        assert_eq!(window.rate(S, 3.0, S, false), Some(-97.0 / 1e6));
    }

    #[test]
    fn a_clock_that_was_set_back_begins_anew() {
        let mut gauge = Gauge::new(i64::MIN);
        assert!(gauge.takes(1000 * S, 1000 * S));
        assert!(!gauge.takes(990 * S, 1001 * S), "a late row");
        assert!(!gauge.takes(990 * S, 990 * S), "rows of two connections may swap places");
        assert!(gauge.takes(500 * S, 500 * S));
        assert!(!gauge.takes(500 * S, 501 * S));
    }
}
