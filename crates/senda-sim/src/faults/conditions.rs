//! What a link does to packets, as people write it on a command line.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use crate::{DurationError, parse_duration};

/// What a link does to packets; nothing, by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Share of packets that never arrive.
    pub loss: Probability,
    /// Share of packets that arrive twice.
    pub dup: Probability,
    /// Share of packets that are held back, and for how long.
    pub reorder: Reorder,
    /// How long every packet takes.
    pub delay: Delay,
    /// How much the link carries; as much as comes, by default.
    pub rate: Option<Rate>,
}

impl Conditions {
    /// True when packets come out as they went in, at once.
    pub fn is_perfect(&self) -> bool {
        let never = |probability: Probability| probability.get() == 0.0;
        never(self.loss)
            && never(self.dup)
            && never(self.reorder.probability)
            && self.delay == Delay::default()
            && self.rate.is_none()
    }
}

/// A share, 0 to 1. As text `20%` or `0.2`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Probability(f64);

impl Probability {
    /// `None` outside 0 to 1.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The share, 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// How long a packet takes: evenly between mean - jitter and mean + jitter. As text `50ms`,
/// `50ms±20ms`, `50ms+-20ms` or `50ms+/-20ms`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Delay {
    mean: Duration,
    jitter: Duration,
}

impl Delay {
    /// `None` when the jitter exceeds the mean.
    pub fn new(mean: Duration, jitter: Duration) -> Option<Self> {
        (jitter <= mean).then_some(Self { mean, jitter })
    }

    /// The mean.
    pub const fn mean(self) -> Duration {
        self.mean
    }

    /// The most by which it differs from the mean.
    pub const fn jitter(self) -> Duration {
        self.jitter
    }
}

/// Packets that are held back while others pass. As text `10%`, or with the time `10%+80ms`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reorder {
    /// Share of packets that are held back.
    pub probability: Probability,
    /// For how long, on top of their delay.
    pub by: Duration,
}

impl Reorder {
    /// How long a packet is held back unless told otherwise.
    pub const DEFAULT_BY: Duration = Duration::from_millis(30);
}

impl Default for Reorder {
    fn default() -> Self {
        Self { probability: Probability::default(), by: Self::DEFAULT_BY }
    }
}

/// What a link carries in a second. As text `9600bit`, `100kbit` or `1.5Mbit`, where k is 1,000; upper or lower case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// Bits in a second.
    pub const fn new(bits: NonZeroU64) -> Self {
        Self(bits)
    }

    /// Bits in a second.
    pub const fn bits(self) -> u64 {
        self.0.get()
    }
}

/// Why a text is no condition. It says how to write one.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConditionError {
    /// Not a share from 0 to 1.
    #[error("`{text}` is no share of packets; write 20% or 0.2")]
    Probability {
        /// The text as it came.
        text: String,
    },
    /// Above 100 %, probably for want of a per cent sign.
    #[error("`{text}` is more than every packet; write {text}%, or a number up to 1")]
    NoPercent {
        /// The text as it came.
        text: String,
    },
    /// Above 100 %.
    #[error("`{text}` is more than every packet; the most is 100%")]
    AboveAll {
        /// The text as it came.
        text: String,
    },
    /// A duration in it can't be read.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// Packets would arrive before they are sent.
    #[error(
        "`{text}`: some packets would arrive before they are sent; the part after ± is at most the one before"
    )]
    JitterAboveDelay {
        /// The text as it came.
        text: String,
    },
    /// Neither bits in a second nor anything close.
    #[error("`{text}` is no rate; write bits a second: 9600bit, 100kbit or 1.5Mbit")]
    Rate {
        /// The text as it came.
        text: String,
    },
}

impl FromStr for Probability {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let text = text.trim();
        let owned = || text.to_owned();
        let malformed = || ConditionError::Probability { text: owned() };
        let percent = text.strip_suffix('%');
        let digits = percent.unwrap_or(text).trim_end();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(malformed());
        }
        // Shifted as a decimal: 32.63 / 100 would miss 0.3263 by an ulp.
        let exponent = if percent.is_some() { "e-2" } else { "" };
        let share: f64 = format!("{digits}{exponent}").parse().map_err(|_| malformed())?;
        Self::new(share).ok_or_else(|| match percent {
            None if share <= 100.0 => ConditionError::NoPercent { text: owned() },
            _ => ConditionError::AboveAll { text: owned() },
        })
    }
}

impl FromStr for Delay {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let signs = ["±", "+/-", "+-"];
        let (mean, jitter) = match signs.iter().find_map(|sign| text.split_once(sign)) {
            Some((mean, jitter)) => (parse_duration(mean)?, parse_duration(jitter)?),
            None => (parse_duration(text)?, Duration::ZERO),
        };
        let above = || ConditionError::JitterAboveDelay { text: text.to_owned() };
        Self::new(mean, jitter).ok_or_else(above)
    }
}

impl FromStr for Reorder {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let (probability, by) = match text.split_once('+') {
            Some((probability, by)) => (probability, parse_duration(by)?),
            None => (text, Self::DEFAULT_BY),
        };
        Ok(Self { probability: probability.parse()?, by })
    }
}

/// Units of a rate and how many bits each is, the largest first.
const RATE_UNITS: [(&str, u64); 4] =
    [("Gbit", 1_000_000_000), ("Mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];

/// The highest rate: beyond it a packet takes no time that a clock in microseconds could tell.
const RATE_MAX: f64 = 1e12;

impl FromStr for Rate {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let malformed = || ConditionError::Rate { text: text.to_owned() };
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (digits, unit) = trimmed.split_at(end.ok_or_else(malformed)?);
        let unit = unit.trim_start();
        let unit = unit.strip_suffix("/s").unwrap_or(unit);
        let known = RATE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let (_, scale) = *known.ok_or_else(malformed)?;
        let number: f64 = digits.parse().map_err(|_| malformed())?;
        #[expect(clippy::cast_precision_loss, reason = "a power of ten up to 10^9")]
        let bits = (number * scale as f64).round();
        if !(1.0..=RATE_MAX).contains(&bits) {
            return Err(malformed());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number from 1 to RATE_MAX"
        )]
        NonZeroU64::new(bits as u64).map(Self).ok_or_else(malformed)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, scale): &&(&str, u64)| self.bits().is_multiple_of(*scale);
        let (name, scale) = RATE_UNITS.iter().find(whole).unwrap_or(&("bit", 1));
        write!(f, "{}{name}", self.bits() / scale)
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 0.07 × 100 is 7.000000000000001: twelve digits are all that is meant.
        write!(f, "{}%", (self.0 * 100.0 * 1e10).round() / 1e10)
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Micros(self.mean))?;
        if self.jitter.is_zero() { Ok(()) } else { write!(f, "±{}", Micros(self.jitter)) }
    }
}

impl fmt::Display for Reorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.probability, Micros(self.by))
    }
}

/// A duration in the largest unit that leaves it whole.
struct Micros(Duration);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        match (micros % 1_000_000, micros % 1_000) {
            (0, _) => write!(f, "{}s", micros / 1_000_000),
            (_, 0) => write!(f, "{}ms", micros / 1_000),
            _ => write!(f, "{micros}us"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(mean: u64, jitter: u64) -> Delay {
        Delay::new(Duration::from_millis(mean), Duration::from_millis(jitter)).unwrap()
    }

    #[test]
    fn shares_are_read_with_and_without_per_cent() {
        for (text, share) in
            [("20%", 0.2), ("0.2", 0.2), ("0", 0.0), ("100%", 1.0), ("1", 1.0), (" 0.5 % ", 0.005)]
        {
            assert_eq!(text.parse(), Ok(Probability(share)), "{text}");
        }
    }

    #[test]
    fn delays_are_read_with_each_sign() {
        assert_eq!("50ms".parse(), Ok(millis(50, 0)));
        for text in ["50ms±20ms", "50ms+-20ms", "50ms+/-20ms", "50ms ± 20ms", "0.05s±20000us"] {
            assert_eq!(text.parse(), Ok(millis(50, 20)), "{text}");
        }
    }

    #[test]
    fn reordering_is_read_with_and_without_its_time() {
        let probability = Probability(0.1);
        assert_eq!("10%".parse(), Ok(Reorder { probability, by: Reorder::DEFAULT_BY }));
        let by = Duration::from_millis(80);
        assert_eq!("10%+80ms".parse(), Ok(Reorder { probability, by }));
    }

    #[test]
    fn rates_are_read_with_each_unit() {
        for (text, bits) in [
            ("9600bit", 9_600),
            ("100kbit", 100_000),
            ("100 kbit/s", 100_000),
            ("1.5Mbit", 1_500_000),
            ("1.5mbit", 1_500_000),
            ("1Gbit", 1_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Rate(NonZeroU64::new(bits).unwrap())), "{text}");
        }
    }

    #[test]
    fn a_refused_text_is_told_how_to_write_it() {
        fn message<T: FromStr<Err = ConditionError> + fmt::Debug>(text: &str) -> String {
            text.parse::<T>().unwrap_err().to_string()
        }
        assert_eq!(
            message::<Probability>("20"),
            "`20` is more than every packet; write 20%, or a number up to 1"
        );
        assert_eq!(
            message::<Probability>("120%"),
            "`120%` is more than every packet; the most is 100%"
        );
        for text in ["", "%", "-5%", "many", "NaN", "1e-3"] {
            let expected = format!("`{text}` is no share of packets; write 20% or 0.2");
            assert_eq!(message::<Probability>(text), expected);
        }
        assert_eq!(message::<Delay>("50"), "`50` has no unit; write 50s, 50ms or 50min");
        assert_eq!(message::<Delay>("50ms±20"), "`20` has no unit; write 20s, 20ms or 20min");
        assert_eq!(
            message::<Delay>("20ms±50ms"),
            "`20ms±50ms`: some packets would arrive before they are sent; \
             the part after ± is at most the one before"
        );
        for text in ["", "100", "0kbit", "-1kbit", "100kbps", "fast", "1..5kbit", "2000Gbit"] {
            let expected =
                format!("`{text}` is no rate; write bits a second: 9600bit, 100kbit or 1.5Mbit");
            assert_eq!(message::<Rate>(text), expected);
        }
        assert_eq!(
            message::<Reorder>("10%+fast"),
            "`fast` is no duration; write a number and one of us, ms, s, min, h, d: \
             250ms, 1.5s, 10min"
        );
    }

    #[test]
    fn only_conditions_that_do_nothing_are_perfect() {
        assert!(Conditions::default().is_perfect());
        let loss = Probability(0.01);
        assert!(!Conditions { loss, ..Conditions::default() }.is_perfect());
        assert!(!Conditions { delay: millis(1, 0), ..Conditions::default() }.is_perfect());
        let rate = "1Gbit".parse().ok();
        assert!(!Conditions { rate, ..Conditions::default() }.is_perfect());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            share in 0..=10_000u32, mean in 0..10_000_000u64, jitter in 0..10_000_000u64,
            bits in 1..1_000_000_000_000u64,
        ) {
            let rate = Rate(NonZeroU64::new(bits).unwrap());
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
            let probability = Probability::new(f64::from(share) / 10_000.0).unwrap();
            prop_assert_eq!(probability.to_string().parse(), Ok(probability));
            let (jitter, mean) = (jitter.min(mean), jitter.max(mean));
            let delay =
                Delay::new(Duration::from_micros(mean), Duration::from_micros(jitter)).unwrap();
            prop_assert_eq!(delay.to_string().parse(), Ok(delay));
            let reorder = Reorder { probability, by: Duration::from_micros(mean) };
            prop_assert_eq!(reorder.to_string().parse(), Ok(reorder));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,12}") {
            let _ = text.parse::<Probability>();
            let _ = text.parse::<Delay>();
            let _ = text.parse::<Reorder>();
            let _ = text.parse::<Rate>();
        }
    }
}
