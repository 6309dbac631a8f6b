//! Durations as people write them: `250ms`, `1.5s`, `10min`.

use std::time::Duration;

/// Units and their microseconds; `m` is what many write for minutes.
const UNITS: [(&str, f64); 7] =
    [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("min", 6e7), ("m", 6e7), ("h", 3.6e9), ("d", 8.64e10)];

/// Longest duration: a century. No profile and no network needs more, and no sum overflows.
const MAX_US: f64 = 100.0 * 365.25 * 8.64e10;

/// Why a text is no duration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DurationError {
    /// A number without its unit.
    #[error("`{text}` has no unit; write {text}s, {text}ms or {text}min")]
    NoUnit {
        /// The text as it came.
        text: String,
    },
    /// Neither a number with a unit nor anything close.
    #[error(
        "`{text}` is no duration; write a number and one of us, ms, s, min, h, d: 250ms, 1.5s, 10min"
    )]
    Malformed {
        /// The text as it came.
        text: String,
    },
    /// More than a century.
    #[error("`{text}` is longer than a century")]
    TooLong {
        /// The text as it came.
        text: String,
    },
}

/// Reads a duration to the microsecond: digits, perhaps with a decimal point, and a unit.
///
/// # Errors
/// [`DurationError`], which says how to write it.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let malformed = || DurationError::Malformed { text: text.to_owned() };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: f64 = digits.parse().map_err(|_| malformed())?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Err(DurationError::NoUnit { text: text.to_owned() });
    }
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?;
    let micros = (number * scale).round();
    if micros > MAX_US {
        return Err(DurationError::TooLong { text: text.to_owned() });
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 0 to MAX_US"
    )]
    Ok(Duration::from_micros(micros as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_to_the_microsecond() {
        let micros = |text| parse_duration(text).unwrap().as_micros();
        assert_eq!(micros("7us"), 7);
        assert_eq!(micros("50ms"), 50_000);
        assert_eq!(micros("1.5s"), 1_500_000);
        assert_eq!(micros(" 10 min "), 600_000_000);
        assert_eq!(micros("2h"), 7_200_000_000);
        assert_eq!(micros("30d"), 2_592_000_000_000);
        assert_eq!(micros("0s"), 0);
    }

    #[test]
    fn a_refused_text_is_told_how_to_write_it() {
        let message = |text| parse_duration(text).unwrap_err().to_string();
        assert_eq!(message("10"), "`10` has no unit; write 10s, 10ms or 10min");
        let usage =
            "is no duration; write a number and one of us, ms, s, min, h, d: 250ms, 1.5s, 10min";
        for text in ["", "ms", "-1s", "1..2s", "1sec", "1e3s", "ten s", "inf"] {
            assert_eq!(message(text), format!("`{text}` {usage}"));
        }
        assert_eq!(message("36526d"), "`36526d` is longer than a century");
    }
}
