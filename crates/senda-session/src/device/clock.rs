//! What the device's clock is worth. Spec §13.3.
//!
//! ```text
//!   Timer::Time --> TIME_REQ(t1, estimate so far) --> TIME(t1, t2, t3) at t4 --> one of 8 samples --> Event::Time
//! ```

use core::time::Duration;

use senda_wire::{Clock, Time, TimeReq};

use crate::Instant;

/// Samples of which the one with the smallest uncertainty counts. Spec §13.3.
const SAMPLES: usize = 8;
/// What a clock may drift, in microseconds for each second. Spec §13.3.
const DRIFT_MAX_PPM: u64 = 100;
/// Requests follow one another faster at first: the collector hears of an offset with the request after it.
const WAIT_FIRST: Duration = Duration::from_secs(1);

/// One exchange.
#[derive(Clone, Copy, Debug)]
struct Sample {
    delay_us: u64,
    offset_us: i64,
    taken: Instant,
}

impl Sample {
    fn uncertainty_us(&self, now: Instant) -> u64 {
        let age_us = u64::try_from(now.since(self.taken).as_micros()).unwrap_or(u64::MAX);
        (self.delay_us / 2).saturating_add(age_us / 1_000_000 * DRIFT_MAX_PPM)
            + age_us % 1_000_000 * DRIFT_MAX_PPM / 1_000_000
    }
}

/// The device's clock, as far as the session knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct ClockSync {
    /// Kind, and what to add to `now` to get its microseconds.
    clock: Option<(Clock, i64)>,
    samples: [Option<Sample>; SAMPLES],
    taken: usize,
    /// Requests since the clock was set.
    requests: u32,
    counter: u32,
    /// The request that waits for its answer: counter and t1.
    asked: Option<(u32, i64)>,
    /// A request is to leave.
    pub(super) due: bool,
}

impl ClockSync {
    /// Says which clock dates the rows. Samples of another one are worth nothing.
    pub(super) fn set(&mut self, clock: Option<(Clock, i64)>) {
        let clock = clock.filter(|(kind, _)| *kind != Clock::None);
        if clock != self.clock {
            let counter = self.counter;
            *self = Self { clock, counter, due: clock.is_some() && self.due, ..Self::default() };
        }
    }

    pub(super) const fn is_set(&self) -> bool {
        self.clock.is_some()
    }

    /// Best estimate: UTC minus the device's clock, and its uncertainty, microseconds.
    pub(super) fn estimate(&self, now: Instant) -> Option<(i64, u32)> {
        let best = self.samples.iter().flatten().min_by_key(|sample| sample.uncertainty_us(now))?;
        // The largest number says that the offset is unknown. Spec §5.21.
        let uncertainty = u32::try_from(best.uncertainty_us(now)).unwrap_or(u32::MAX);
        Some((best.offset_us, uncertainty.min(u32::MAX - 1)))
    }

    /// How long to wait until the next request: twice as long each time, up to `every`.
    pub(super) fn next_wait(&self, every: Duration) -> Duration {
        every.max(WAIT_FIRST).min(WAIT_FIRST.saturating_mul(1 << self.requests.min(16)))
    }

    /// What TIME_REQ and the CLOCK option say now; `None` without a clock.
    pub(super) fn reading(&self, now: Instant) -> Option<TimeReq> {
        let (clock, base) = self.clock?;
        let (offset, uncertainty) = self.estimate(now).unwrap_or((0, u32::MAX));
        Some(TimeReq { t1: device_time(now, base), offset, uncertainty, clock })
    }

    /// The request that leaves now, with its counter.
    pub(super) fn ask(&mut self, now: Instant) -> Option<(u32, TimeReq)> {
        let request = self.reading(now)?;
        self.counter = self.counter.wrapping_add(1);
        Some((self.counter, request))
    }

    /// Notes that it left.
    pub(super) fn asked(&mut self, counter: u32, request: &TimeReq) {
        self.asked = Some((counter, request.t1));
        self.requests = self.requests.saturating_add(1);
        self.due = false;
    }

    /// What is known from elsewhere counts as the only sample; its age begins now.
    pub(super) fn state(&mut self, now: Instant, offset_us: i64, uncertainty_us: u32) {
        let delay_us = u64::from(uncertainty_us).saturating_mul(2);
        self.samples = [None; SAMPLES];
        self.samples[0] = Some(Sample { delay_us, offset_us, taken: now });
        self.taken = 1;
    }

    /// Takes an answer. Returns true when it was asked for and makes sense.
    pub(super) fn answer(&mut self, now: Instant, seq: u32, time: &Time) -> bool {
        let Some((_, base)) = self.clock else { return false };
        if self.asked != Some((seq, time.t1)) {
            return false;
        }
        self.asked = None;
        let [t1, t2, t3] = [time.t1, time.t2, time.t3].map(i128::from);
        let t4 = i128::from(device_time(now, base));
        let (delay, offset) = ((t4 - t1) - (t3 - t2), ((t2 - t1) + (t3 - t4)) / 2);
        let (Ok(delay_us), Ok(offset_us)) = (u64::try_from(delay), i64::try_from(offset)) else {
            return false;
        };
        self.samples[self.taken % SAMPLES] = Some(Sample { delay_us, offset_us, taken: now });
        self.taken = self.taken.wrapping_add(1);
        true
    }
}

fn device_time(now: Instant, base: i64) -> i64 {
    base.saturating_add_unsigned(now.0)
}
