//! The clocks of simulated devices: which kind, how fast, how wrong. The truth is known, so that it can be told from what is
//! stored.
//!
//! ```text
//!   truth (the fleet's time) --oscillator, drift--> device time (its timers) --base, steps, TIME--> what its clock says
//! ```

use std::str::FromStr;
use std::time::Duration;

use senda_session::Instant;
use senda_wire::Clock;

use crate::derive_seed;
use crate::seed::mix;

/// Which clock devices have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClockKind {
    /// UTC, kept right: no drift.
    #[default]
    Synced,
    /// UTC, set by hand some time ago: wrong by up to half a minute, and drifting.
    Unsynced,
    /// Microseconds since boot, drifting; the collector tells what time that is.
    Monotonic,
    /// None: the collector dates the rows.
    None,
    /// Each device one of these, as the seed decides.
    Mixed,
}

/// The clocks of a fleet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clocks {
    /// Which.
    pub kind: ClockKind,
    /// Each device's oscillator is wrong by up to this, fast or slow, as the seed decides. Synced clocks are corrected.
    pub drift: Ppm,
    /// UTC clocks step by up to this, forth or back, about once in [`STEP_EVERY`].
    pub step: Option<Duration>,
    /// Unsynced clocks begin at 1970 at every boot, until a TIME sets them.
    pub from_1970: bool,
}

/// How often UTC clocks step, on average.
pub const STEP_EVERY: Duration = Duration::from_secs(20);
/// How often devices ask for the time, once they have begun.
pub const ASK_EVERY: Duration = Duration::from_secs(30);
/// How wrong a clock is that was set by hand.
const SET_BY_HAND: i64 = 30_000_000;

/// Parts per million; written `50ppm`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ppm(f64);

/// No oscillator is worse.
const PPM_MAX: f64 = 10_000.0;

impl FromStr for Ppm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().strip_suffix("ppm").map(str::trim_end).map(f64::from_str);
        match number {
            Some(Ok(ppm)) if (0.0..=PPM_MAX).contains(&ppm) => Ok(Self(ppm)),
            Some(Ok(_)) => Err(format!("a drift lies in 0ppm to {PPM_MAX}ppm")),
            _ => Err(format!("`{text}` is no drift; write 50ppm")),
        }
    }
}

impl Ppm {
    /// A drift; `None` outside 0 to 10,000.
    pub fn new(ppm: f64) -> Option<Self> {
        (0.0..=PPM_MAX).contains(&ppm).then_some(Self(ppm))
    }
}

/// The clock of one device, from a boot to the next.
#[derive(Clone, Debug)]
pub struct DeviceClock {
    kind: Clock,
    /// How much faster than the truth, in parts per thousand million.
    rate_ppb: i64,
    /// What to add to the device's time to get what the clock says.
    base_us: i64,
    may_be_set: bool,
    step: Option<Step>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    key: u64,
    number: u64,
    most_us: i64,
    next: Instant,
}

impl DeviceClock {
    /// The clock of device `device`, booted at `now`; the fleet's zero is `start_us`, Unix microseconds. The oscillator is the
    /// same at every boot.
    pub fn new(clocks: &Clocks, device: u32, seed: u64, start_us: i64, now: Instant) -> Self {
        let key = derive_seed(seed, device, "clock");
        let kind = match clocks.kind {
            ClockKind::Synced => Clock::UtcSynced,
            ClockKind::Unsynced => Clock::UtcUnsynced,
            ClockKind::Monotonic => Clock::Monotonic,
            ClockKind::None => Clock::None,
            ClockKind::Mixed => {
                [Clock::UtcSynced, Clock::UtcUnsynced, Clock::Monotonic, Clock::None]
                    [usize::from(mix(key ^ 1).to_be_bytes()[0] % 4)]
            }
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most 10 million")]
        let most_ppb = (clocks.drift.0 * 1e3) as i64;
        let rate_ppb = if kind == Clock::UtcSynced { 0 } else { spread(mix(key ^ 2), most_ppb) };
        let mut clock = Self { kind, rate_ppb, base_us: 0, may_be_set: false, step: None };
        let booted = i64::try_from(clock.device_time(now).0).unwrap_or(i64::MAX);
        match kind {
            Clock::UtcSynced => clock.base_us = start_us,
            Clock::UtcUnsynced if clocks.from_1970 => {
                (clock.base_us, clock.may_be_set) = (-booted, true);
            }
            Clock::UtcUnsynced => {
                clock.base_us = start_us.saturating_add(spread(mix(key ^ 3), SET_BY_HAND));
            }
            Clock::Monotonic => clock.base_us = -booted,
            Clock::None => {}
        }
        if let Some(most) = clocks.step.filter(|_| clock.is_utc()) {
            let most_us = i64::try_from(most.as_micros()).unwrap_or(i64::MAX);
            let mut step = Step { key: mix(key ^ 4), number: 0, most_us, next: now };
            step.draw_next();
            clock.step = Some(step);
        }
        clock
    }

    /// What kind of clock dates the rows.
    pub const fn kind(&self) -> Clock {
        self.kind
    }

    /// True for a clock that the collector is asked about: one that nobody keeps right.
    pub const fn wants_time(&self) -> bool {
        matches!(self.kind, Clock::UtcUnsynced | Clock::Monotonic)
    }

    /// The device's own time at a moment of the truth: what its oscillator has counted.
    pub fn device_time(&self, truth: Instant) -> Instant {
        let us = i128::from(truth.0) * i128::from(BILLION + self.rate_ppb) / i128::from(BILLION);
        Instant(u64::try_from(us).unwrap_or(u64::MAX))
    }

    /// The first moment of the truth at which the device's time is `device`.
    pub fn truth(&self, device: Instant) -> Instant {
        if self.rate_ppb == 0 || device.0 == u64::MAX {
            return device;
        }
        let (us, rate) = (i128::from(device.0) * i128::from(BILLION), BILLION + self.rate_ppb);
        let truth = (us + i128::from(rate) - 1) / i128::from(rate);
        Instant(u64::try_from(truth).unwrap_or(u64::MAX))
    }

    /// What the clock says at a moment of the truth; with [`Clock::None`] a number of which the differences count.
    pub fn reading(&self, truth: Instant) -> i64 {
        self.base_us.saturating_add_unsigned(self.device_time(truth).0)
    }

    /// What to add to the device's time to get what the clock says, for `Device::set_clock`.
    pub const fn base_us(&self) -> i64 {
        self.base_us
    }

    /// Steps that are due happen; true when the clock was one that stepped.
    pub fn advance(&mut self, truth: Instant) -> bool {
        let mut stepped = false;
        while let Some(step) = self.step.as_mut().filter(|step| step.next <= truth) {
            let by = spread(mix(step.key ^ mix(step.number) ^ 5), step.most_us);
            step.draw_next();
            self.base_us = self.base_us.saturating_add(by);
            stepped = true;
        }
        stepped
    }

    /// A TIME came: UTC minus this clock. True when the clock was waiting for one, and is set.
    pub fn set(&mut self, offset_us: i64) -> bool {
        if !std::mem::take(&mut self.may_be_set) {
            return false;
        }
        self.base_us = self.base_us.saturating_add(offset_us);
        true
    }

    const fn is_utc(&self) -> bool {
        matches!(self.kind, Clock::UtcSynced | Clock::UtcUnsynced)
    }
}

impl Step {
    /// Half to one and a half of the mean wait.
    fn draw_next(&mut self) {
        self.number += 1;
        let mean = i64::try_from(STEP_EVERY.as_micros()).unwrap_or(i64::MAX);
        let wait = mean + spread(mix(self.key ^ mix(self.number)), mean / 2);
        self.next = self.next + Duration::from_micros(wait.unsigned_abs());
    }
}

const BILLION: i64 = 1_000_000_000;

/// A number from -most to most, from 64 random bits.
fn spread(bits: u64, most: i64) -> i64 {
    let width = u128::from(most.unsigned_abs()) * 2 + 1;
    let scaled = (u128::from(bits) * width) >> 64;
    i64::try_from(scaled).unwrap_or(0).saturating_sub(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_767_225_600_000_000;
    const HOUR: Instant = Instant(3_600_000_000);

    fn clock(kind: ClockKind, ppm: f64, device: u32) -> DeviceClock {
        let clocks = Clocks { kind, drift: Ppm(ppm), ..Clocks::default() };
        DeviceClock::new(&clocks, device, 1, START, Instant(0))
    }

    #[test]
    fn a_drift_is_a_number_of_ppm() {
        assert_eq!("50ppm".parse(), Ok(Ppm(50.0)));
        assert_eq!("0.5 ppm".parse(), Ok(Ppm(0.5)));
        for wrong in ["50", "ppm", "-1ppm", "10001ppm", "NaNppm", "50 ppb"] {
            assert!(wrong.parse::<Ppm>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn oscillators_differ_within_the_drift_and_a_synced_one_has_none() {
        let mut all = std::collections::HashSet::new();
        for device in 0..50 {
            let clock = clock(ClockKind::Monotonic, 100.0, device);
            let wrong = clock.reading(HOUR) - 3_600_000_000;
            assert!(wrong.abs() <= 360_000, "{wrong} us in an hour is more than 100 ppm");
            all.insert(wrong);
            let back = clock.truth(clock.device_time(HOUR));
            assert!(back <= HOUR && HOUR.0 - back.0 <= 1, "{back:?}");
            assert_eq!(clock.device_time(clock.truth(HOUR)), HOUR);
        }
        assert!(all.len() > 45, "{all:?}");
        assert_eq!(clock(ClockKind::Synced, 100.0, 3).reading(HOUR), START + 3_600_000_000);
    }

    #[test]
    fn a_clock_from_1970_is_set_once() {
        let clocks = Clocks { kind: ClockKind::Unsynced, from_1970: true, ..Clocks::default() };
        let mut clock = DeviceClock::new(&clocks, 0, 1, START, HOUR);
        assert_eq!(clock.reading(HOUR), 0);
        assert!(clock.set(START));
        assert_eq!(clock.reading(HOUR), START);
        assert!(!clock.set(7));
    }

    #[test]
    fn a_stepping_clock_steps_now_and_then_by_no_more_than_it_may() {
        let step = Some(Duration::from_secs(3));
        let clocks = Clocks { kind: ClockKind::Synced, step, ..Clocks::default() };
        let mut clock = DeviceClock::new(&clocks, 0, 1, START, Instant(0));
        let mut steps = 0;
        for second in 0..3_600u64 {
            let before = clock.base_us();
            if clock.advance(Instant(second * 1_000_000)) {
                steps += 1;
                assert!((clock.base_us() - before).abs() <= 3_000_000);
            }
        }
        assert!((150..=220).contains(&steps), "{steps} in an hour");
    }
}
