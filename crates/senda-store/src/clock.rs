//! What is known of a device's clock: offset, uncertainty and drift, from what TIME_REQ and the CLOCK option say. Spec §13.
//!
//! ```text
//!   offset
//!     |                  o   <- the newest holds; from it on, the drift
//!     |            o
//!     |      o  <- others on the way: near enough to the line, or the clock has stepped and all begins anew
//!     | o  <- the anchor: drift is the slope from here
//!     +------------------------ device's clock
//! ```

use senda_wire::Clock;
use senda_wire::{BodyError, Reader};

/// One offset: UTC minus the device's clock, when that said `at`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Measure {
    offset: i64,
    at: i64,
    uncertainty: u32,
}

/// What is known of a stream's clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ClockState {
    kind: u8,
    last: Measure,
    anchor: Measure,
    /// Change of the offset, in µs for each thousand seconds of the clock: parts per thousand million.
    slope_ppb: Option<i64>,
}

impl ClockState {
    /// What is known after an offset came. `before`: what was known until then. An uncertainty of `u32::MAX` says that the
    /// device knows nothing yet, and changes nothing.
    pub(crate) fn hear(
        before: Option<Self>,
        offset: i64,
        uncertainty: u32,
        kind: u8,
        received: i64,
    ) -> Option<Self> {
        if uncertainty == u32::MAX {
            return before;
        }
        let last = Measure { offset, at: received.saturating_sub(offset), uncertainty };
        let fresh = Self { kind, last, anchor: last, slope_ppb: None };
        Some(match before {
            Some(before) if before.kind == kind && before.leads_to(&last) => before.advance(last),
            _ => fresh,
        })
    }

    /// Whether one oscillator may have gone from the last offset to this one; if not, the clock was stepped.
    fn leads_to(&self, next: &Measure) -> bool {
        let apart = next.at.abs_diff(self.last.at);
        let drifted = (apart / 1_000_000 + 1) * DRIFT_STEP_PPM;
        let doubt = u64::from(self.last.uncertainty) + u64::from(next.uncertainty);
        next.offset.abs_diff(self.last.offset) <= doubt + drifted
    }

    fn advance(self, last: Measure) -> Self {
        let mut next = Self { last, ..self };
        let baseline = last.at.saturating_sub(self.anchor.at);
        let doubt = i64::from(last.uncertainty) + i64::from(self.anchor.uncertainty);
        // A slope that is known no better than this would harm more than help.
        if baseline > 0 && i128::from(doubt) * BILLION <= i128::from(baseline) * SLOPE_DOUBT_PPB {
            let rise = i128::from(last.offset) - i128::from(self.anchor.offset);
            next.slope_ppb = i64::try_from(rise * BILLION / i128::from(baseline)).ok();
        }
        if baseline > BASELINE_MAX {
            // Temperatures change: what an oscillator did yesterday says little of today.
            next.anchor = self.last;
        }
        next
    }

    /// UTC when the device's clock said `device_time`; before the newest offset its value then, after it the drift counts.
    pub(crate) fn utc(&self, device_time: i64) -> Option<i64> {
        let since = device_time.saturating_sub(self.last.at).max(0);
        let drifted = i128::from(since) * i128::from(self.slope_ppb.unwrap_or(0)) / BILLION;
        let offset = self.last.offset.checked_add(i64::try_from(drifted).ok()?)?;
        device_time.checked_add(offset)
    }

    /// The kind of clock, as in specification 5.7.
    pub(crate) const fn kind(&self) -> u8 {
        self.kind
    }

    /// True for the clock of rows that have no other way to UTC.
    pub(crate) const fn is_monotonic(&self) -> bool {
        self.kind == Clock::Monotonic.code()
    }

    /// UTC minus the device's clock, by the newest offset.
    pub(crate) const fn offset(&self) -> i64 {
        self.last.offset
    }

    /// How far that may be off, µs.
    pub(crate) const fn uncertainty(&self) -> u32 {
        self.last.uncertainty
    }

    /// When it came, UTC.
    pub(crate) const fn heard(&self) -> i64 {
        self.last.at.saturating_add(self.last.offset)
    }

    /// How much faster than UTC the clock runs, in parts per million; `None` while it is not known well enough.
    pub(crate) fn drift_ppm(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "parts per thousand million, to be shown")]
        self.slope_ppb.map(|slope| -(slope as f64) / 1e3)
    }

    /// As it is kept.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![self.kind];
        for Measure { offset, at, uncertainty } in [self.last, self.anchor] {
            bytes.extend(offset.to_be_bytes());
            bytes.extend(at.to_be_bytes());
            bytes.extend(uncertainty.to_be_bytes());
        }
        bytes.extend(self.slope_ppb.map(i64::to_be_bytes).into_iter().flatten());
        bytes
    }

    /// From what [`ClockState::to_bytes`] gave.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let mut read = || -> Result<Self, BodyError> {
            let kind = reader.u8("kind")?;
            let (last, anchor) = (read_measure(&mut reader)?, read_measure(&mut reader)?);
            let has_slope = !reader.rest().is_empty();
            let slope_ppb = has_slope.then(|| reader.i64("slope")).transpose()?;
            reader.finish()?;
            Ok(Self { kind, last, anchor, slope_ppb })
        };
        read().ok()
    }
}

fn read_measure(reader: &mut Reader<'_>) -> Result<Measure, BodyError> {
    Ok(Measure {
        offset: reader.i64("offset")?,
        at: reader.i64("at")?,
        uncertainty: reader.u32("uncertainty")?,
    })
}

const BILLION: i128 = 1_000_000_000;
/// No oscillator drifts more: an offset that has moved further was stepped.
const DRIFT_STEP_PPM: u64 = 500;
/// A slope is used when it is known to 20 ppm.
const SLOPE_DOUBT_PPB: i128 = 20_000;
/// The drift is that of the last hour or two.
const BASELINE_MAX: i64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_767_225_600_000_000;
    const SECOND: i64 = 1_000_000;

    fn hear(before: Option<ClockState>, offset: i64, received: i64) -> ClockState {
        ClockState::hear(before, offset, 100, 1, received).unwrap()
    }

    /// What the clock says, and UTC minus that, `elapsed` after it began, when it runs `ppb` fast.
    fn clock(ppb: i64, elapsed: i64) -> (i64, i64) {
        let says = elapsed + elapsed * ppb / 1_000_000_000;
        (says, NOW + elapsed - says)
    }

    proptest! {
        /// Spec §13.2: offsets as uncertain as the device says, of an oscillator that is up to 100 ppm wrong. Wherever a row
        /// lies after an offset, its time is off by no more than is stated: the uncertainty, and 100 µs for each second.
        #[test]
        fn a_drifting_clock_is_dated_within_what_is_stated(
            ppb in -100_000i64..100_000,
            offsets in prop::collection::vec((1i64..300 * SECOND, 0u32..5_000, -1.0f64..1.0), 1..80),
            rows in prop::collection::vec(0i64..600 * SECOND, 5),
        ) {
            let (mut state, mut elapsed) = (None, 0);
            for (wait, uncertainty, error) in offsets {
                elapsed += wait;
                let (_, truth) = clock(ppb, elapsed);
                #[expect(clippy::cast_possible_truncation, reason = "at most 5,000")]
                let wrong = (f64::from(uncertainty) * error) as i64;
                state = ClockState::hear(state, truth + wrong, uncertainty, 1, NOW + elapsed);
                let state = state.unwrap();
                for later in &rows {
                    let (says, _) = clock(ppb, elapsed + later);
                    let off = state.utc(says).unwrap().abs_diff(NOW + elapsed + later);
                    let stated = u64::from(uncertainty) + later.unsigned_abs() / 10_000 + 3;
                    prop_assert!(off <= stated, "{off} us, {later} us later; {state:?}");
                }
                prop_assert_eq!(ClockState::from_bytes(&state.to_bytes()), Some(state));
            }
        }

        #[test]
        fn any_bytes_are_a_state_or_none(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(state) = ClockState::from_bytes(&bytes) {
                prop_assert_eq!(state.to_bytes(), bytes);
            }
        }

        /// Whatever a device says of its clock, nothing overflows.
        #[test]
        fn offsets_of_every_size_are_taken(
            said in prop::collection::vec((any::<i64>(), any::<u32>(), any::<u8>(), any::<i64>()), 1..9),
            device_time: i64,
        ) {
            let mut state = None;
            for (offset, uncertainty, kind, received) in said {
                state = ClockState::hear(state, offset, uncertainty, kind, received);
                let _ = state.map(|state| (state.utc(device_time), state.drift_ppm(), state.heard()));
            }
        }
    }

    #[test]
    fn the_drift_of_an_oscillator_is_found() {
        for ppb in [-83_000, 0, 40_000] {
            let mut state = None;
            for minute in 0..30 {
                let (_, offset) = clock(ppb, minute * 60 * SECOND);
                state = ClockState::hear(state, offset, 2_000, 1, NOW + minute * 60 * SECOND);
            }
            let drift = state.unwrap().drift_ppm().unwrap();
            assert!(
                (drift * 1e3 - f64::from(i32::try_from(ppb).unwrap())).abs() < 100.0,
                "{drift}"
            );
        }
        let short = hear(Some(hear(None, 0, NOW)), 1, NOW + SECOND);
        assert_eq!(short.drift_ppm(), None, "200 us of doubt in a second say nothing");
    }

    /// The step is no drift: neither of what was before it, nor of what comes after it.
    #[test]
    fn a_step_is_not_smeared() {
        let mut state = hear(None, NOW, NOW);
        for minute in 1..20 {
            state = hear(Some(state), NOW, NOW + minute * 60 * SECOND);
        }
        let before = state;
        let at = NOW + 20 * 60 * SECOND;
        let stepped = hear(Some(before), NOW + SECOND, at);
        assert_eq!(stepped.drift_ppm(), None);
        let says = at - NOW - SECOND;
        assert_eq!(stepped.utc(says), Some(at), "from here on");
        assert_eq!(stepped.utc(says + 60 * SECOND), Some(at + 60 * SECOND));
        assert_eq!(before.utc(says - 1), Some(at - SECOND - 1), "until here");
        let drift = hear(Some(stepped), NOW + SECOND, at + 60 * SECOND).drift_ppm();
        assert_eq!(drift, Some(0.0));
    }

    #[test]
    fn an_offset_that_nobody_knows_changes_nothing() {
        assert_eq!(ClockState::hear(None, 0, u32::MAX, 1, NOW), None);
        let state = hear(None, 5, NOW);
        assert_eq!(ClockState::hear(Some(state), 0, u32::MAX, 1, NOW), Some(state));
    }

    #[test]
    fn another_kind_of_clock_begins_anew() {
        let state = hear(None, NOW, NOW);
        let other = ClockState::hear(Some(state), NOW, 7, 2, NOW + 60 * SECOND).unwrap();
        assert_eq!((other.kind(), other.anchor), (2, other.last));
        assert!(state.is_monotonic() && !other.is_monotonic());
    }
}
