//! When rows leave: as fast as they are acknowledged, as far apart as they were taken, or evenly.

use std::time::Duration;

use tokio::time::Instant;

/// What decides it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// Nothing: at once.
    Free,
    /// The rows' own times, so many times faster.
    Own(f64),
    /// One after the other.
    Every(Duration),
}

/// Nobody waits longer.
const CENTURY: Duration = Duration::from_secs(3_155_760_000);

/// Knows when the next row is due.
#[derive(Debug)]
pub(super) struct Pacer {
    pace: Pace,
    start: Instant,
    /// Time of the first row.
    first_us: Option<i64>,
    rows: u32,
}

impl Pacer {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, start: Instant::now(), first_us: None, rows: 0 }
    }

    /// When a row of this time is to leave; `None`: at once. A row that goes back in time leaves at once.
    pub(super) fn due(&mut self, time_us: Option<i64>) -> Option<Instant> {
        match self.pace {
            Pace::Free => None,
            Pace::Own(speed) => {
                let time_us = time_us?;
                if self.first_us.is_none() {
                    self.start = Instant::now();
                }
                let first_us = *self.first_us.get_or_insert(time_us);
                let since = u64::try_from(time_us.saturating_sub(first_us)).ok()?;
                self.start.checked_add(span(since, speed))
            }
            Pace::Every(interval) => {
                let since = interval.checked_mul(self.rows)?;
                self.rows = self.rows.saturating_add(1);
                self.start.checked_add(since)
            }
        }
    }
}

/// How long so many microseconds of the input take.
pub(super) fn span(us: u64, speed: f64) -> Duration {
    Duration::try_from_secs_f64(Duration::from_micros(us).as_secs_f64() / speed)
        .map_or(CENTURY, |span| span.min(CENTURY))
}

/// Reads `--speed`: a factor, or `max`.
pub(super) fn parse_speed(text: &str) -> Result<Pace, String> {
    if text == "max" {
        return Ok(Pace::Free);
    }
    let factor = text.strip_suffix(['x', '×']).unwrap_or(text).parse::<f64>().ok();
    let factor = factor.filter(|factor| factor.is_finite() && *factor > 0.0);
    factor.map(Pace::Own).ok_or_else(|| "say how many times faster, such as 10, or max".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_leave_as_far_apart_as_they_were_taken() {
        let mut pacer = Pacer::new(Pace::Own(10.0));
        let first = pacer.due(Some(5_000_000)).expect("a moment");
        let at = |pacer: &mut Pacer, us| pacer.due(Some(us)).map(|at| at - first);
        assert_eq!(at(&mut pacer, 6_000_000), Some(Duration::from_millis(100)));
        assert_eq!(at(&mut pacer, 4_000_000), None, "it is late already");
        assert_eq!(at(&mut pacer, 7_000_000), Some(Duration::from_millis(200)));
        assert_eq!(Pacer::new(Pace::Free).due(Some(7)), None);
    }

    #[test]
    fn speeds_are_factors_or_max() {
        assert_eq!(parse_speed("max"), Ok(Pace::Free));
        assert_eq!(parse_speed("10x"), Ok(Pace::Own(10.0)));
        assert_eq!(parse_speed("0.5"), Ok(Pace::Own(0.5)));
        for text in ["0", "-1", "inf", "nan", "fast", ""] {
            assert!(parse_speed(text).is_err(), "{text}");
        }
    }
}
