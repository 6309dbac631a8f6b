//! Times as files have them: text with or without a zone, or Unix time in one of four units.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::guess::Tally;
use super::number;

/// 2000-01-01, microseconds: what is before it is no plausible time of a reading. Specification 13.2.
pub(super) const PLAUSIBLE_FROM_US: i64 = 946_684_800_000_000;

/// How a time column writes its times.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// RFC 3339, or the same without a zone.
    Text,
    /// Seconds, milliseconds, microseconds or nanoseconds since 1970: decimals of a second in one step.
    Unix(u32),
    /// A format of `strptime`.
    Custom(String),
}

impl Form {
    /// What most of the cells are; `None` when they are neither.
    pub(super) fn guess(tally: &Tally) -> Option<Self> {
        if tally.is_mostly(tally.times + tally.dates) {
            return Some(Self::Text);
        }
        let (_, largest) = tally.numbers()?;
        // Each limit is the year 5138 in one unit and 1973 in the next.
        let fits = |unit: &u32| largest < 100_000_000_000 * 10i128.pow(*unit);
        let unit = [0, 3, 6].into_iter().find(fits).unwrap_or(9);
        Some(Self::Unix(unit))
    }

    /// Microseconds since 1970.
    pub(super) fn read(&self, cell: &str, zone: &TimeZone) -> Option<i64> {
        match self {
            Self::Text => read_text(cell, zone),
            Self::Unix(unit) => {
                let decimal = number::parse(cell)?;
                let power = 6 - i64::from(*unit) - i64::from(decimal.places);
                let factor = 10i128.checked_pow(u32::try_from(power.unsigned_abs()).ok()?)?;
                let us = if power >= 0 {
                    decimal.raw.checked_mul(factor)?
                } else {
                    decimal.raw.div_euclid(factor)
                };
                i64::try_from(us).ok()
            }
            Self::Custom(format) => {
                let parsed = jiff::fmt::strtime::parse(format, cell).ok()?;
                match parsed.to_timestamp() {
                    Ok(time) => Some(time.as_microsecond()),
                    Err(_) => in_zone(
                        parsed
                            .to_datetime()
                            .or_else(|_| parsed.to_date().map(DateTime::from))
                            .ok()?,
                        zone,
                    ),
                }
            }
        }
    }

    /// For people.
    pub(super) fn describe(&self, zone: &TimeZone) -> String {
        let name = zone.iana_name().unwrap_or("the given offset");
        match self {
            Self::Text => format!("dates and times, {name} where they name no zone"),
            Self::Unix(0) => "Unix seconds".to_owned(),
            Self::Unix(3) => "Unix milliseconds".to_owned(),
            Self::Unix(6) => "Unix microseconds".to_owned(),
            Self::Unix(_) => "Unix nanoseconds, cut to microseconds".to_owned(),
            Self::Custom(format) => format!("by {format:?}, {name} where it names no zone"),
        }
    }
}

/// Reads `2026-01-31T12:00:00Z`, `2026-01-31 12:00:00.5+01`, `2026-01-31 12:00`, `2026-01-31`; microseconds since 1970.
pub(super) fn read_text(cell: &str, zone: &TimeZone) -> Option<i64> {
    let cell = cell.strip_suffix(" UTC").map_or(cell.into(), |bare| format!("{bare}Z"));
    if let Ok(time) = cell.parse::<Timestamp>() {
        return Some(time.as_microsecond());
    }
    in_zone(cell.parse().ok()?, zone)
}

/// Of two moments with one name, when clocks go back, the first.
fn in_zone(time: DateTime, zone: &TimeZone) -> Option<i64> {
    Some(zone.to_ambiguous_zoned(time).compatible().ok()?.timestamp().as_microsecond())
}

/// True for a time that is said to the microsecond at most: nothing of it is lost.
pub(super) fn is_exact(cell: &str) -> bool {
    cell.rsplit_once('.')
        .is_none_or(|(_, fraction)| fraction.bytes().take_while(u8::is_ascii_digit).count() <= 6)
}

/// Reads `--tz`: a name such as Europe/Madrid, `local`, or an offset such as +02:00.
pub(super) fn parse_zone(text: &str) -> Result<TimeZone, String> {
    if text == "local" {
        return Ok(TimeZone::system());
    }
    TimeZone::get(text)
        .or_else(|_| jiff::fmt::temporal::DateTimeParser::new().parse_time_zone(text))
        .map_err(|_| format!("{text:?} is no time zone: say UTC, Europe/Madrid, +02:00 or local"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_769_860_800_000_000; // 2026-01-31T12:00:00Z

    #[test]
    fn the_ways_to_write_noon_are_one_moment() {
        for cell in [
            "2026-01-31T12:00:00Z",
            "2026-01-31 12:00:00",
            "2026-01-31 12:00",
            "2026-01-31 12:00:00.000",
            "2026-01-31 12:00:00 UTC",
            "2026-01-31 14:00:00+02",
            "2026-01-31T12:00:00+00:00",
        ] {
            assert_eq!(read_text(cell, &TimeZone::UTC), Some(NOON), "{cell}");
        }
        let madrid = parse_zone("+01:00").unwrap();
        assert_eq!(read_text("2026-01-31 13:00", &madrid), Some(NOON));
        assert_eq!(
            read_text("2026-01-31T12:00Z", &madrid),
            Some(NOON),
            "the zone in the text wins"
        );
        assert_eq!(read_text("noon", &TimeZone::UTC), None);
        assert!(parse_zone("Mars/Olympus").is_err());
    }

    #[test]
    fn unix_times_are_read_exactly_in_their_unit() {
        for (unit, cell) in [
            (0, "1769860800"),
            (0, "1769860800.000000"),
            (3, "1769860800000"),
            (6, "1769860800000000"),
            (9, "1769860800000000999"),
        ] {
            assert_eq!(Form::Unix(unit).read(cell, &TimeZone::UTC), Some(NOON), "{cell}");
        }
        assert_eq!(Form::Unix(0).read("1.0000015", &TimeZone::UTC), Some(1_000_001));
        assert_eq!(Form::Unix(0).read("9999999999999999", &TimeZone::UTC), None);
    }

    #[test]
    fn a_format_reads_dates_of_any_order() {
        let form = Form::Custom("%d/%m/%Y %H:%M".into());
        assert_eq!(form.read("31/01/2026 12:00", &TimeZone::UTC), Some(NOON));
        let form = Form::Custom("%Y%m%d".into());
        assert_eq!(form.read("20260131", &TimeZone::UTC), Some(NOON - 43_200_000_000));
        assert_eq!(form.read("yesterday", &TimeZone::UTC), None);
    }
}
