//! What a CONFIG says, as this device understands it. Spec §5.16.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use senda_session::device::{Argument, OwnedValue};
use senda_wire::DoneStatus;

use super::Answer;
use crate::parse_duration;
use crate::profile::Channel;

/// What `interval_ms` may be. Spec §5.16.
const INTERVAL_MS: RangeInclusive<u64> = 1..=86_400_000;
/// What `batch_rows` may be. Spec §5.16.
const BATCH_ROWS: RangeInclusive<u64> = 1..=u16::MAX as u64;

/// The settings of a device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    /// Time from one sample to the next.
    pub(super) interval: Duration,
    /// Rows to gather before sending.
    pub(super) batch_rows: u16,
    /// Channels that are not sampled, by their place in the schema.
    pub(super) disabled: BTreeSet<usize>,
}

impl Settings {
    /// The settings that `desired` asks for, where what it does not mention is as in `default`; with the answer. `None`: it
    /// is refused, and everything stays as it is. What is no setting of a device with these channels is ignored. Spec §5.16a.
    pub(super) fn read(
        default: &Self,
        channels: &[Channel],
        desired: &[Argument],
    ) -> (Option<Self>, Answer) {
        let mut settings = default.clone();
        let mut answer = Answer::new(DoneStatus::Ok, "");
        // Of two with one name the first counts. Spec §4.4.
        let is_first = |index: usize| {
            !desired[..index].iter().any(|earlier| earlier.name == desired[index].name)
        };
        for setting in
            (0..desired.len()).filter(|index| is_first(*index)).map(|index| &desired[index])
        {
            if let Some(name) = setting.name.strip_prefix("enable.") {
                let Some(place) = channels.iter().position(|channel| channel.name == name) else {
                    continue;
                };
                let Some(enabled) = setting.as_bool() else {
                    let text = format!("{} is no bool: {setting}", setting.name);
                    return (None, Answer::new(DoneStatus::Refused, &text));
                };
                if enabled {
                    settings.disabled.remove(&place);
                } else {
                    settings.disabled.insert(place);
                }
                continue;
            }
            let taken = match setting.name.as_str() {
                "interval_ms" => within(setting, &INTERVAL_MS).map(|ms| {
                    settings.interval = Duration::from_millis(ms);
                    OwnedValue::U32(u32::try_from(ms).unwrap_or(u32::MAX))
                }),
                "batch_rows" => within(setting, &BATCH_ROWS).map(|rows| {
                    settings.batch_rows = u16::try_from(rows).unwrap_or(u16::MAX);
                    OwnedValue::U16(settings.batch_rows)
                }),
                _ => continue,
            };
            match taken {
                Ok(in_force) if in_force == setting.value && setting.exponent == 0 => {}
                Ok(in_force) => {
                    answer.status = DoneStatus::Clamped;
                    answer.results.push(Argument::new(&setting.name, in_force));
                }
                Err(text) => return (None, Answer::new(DoneStatus::Refused, &text)),
            }
        }
        (Some(settings), answer)
    }
}

/// A whole number of whatever type, moved into the range.
fn within(setting: &Argument, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let (low, high) = (*range.start(), *range.end());
    if let Some(number) = setting.as_u64() {
        return Ok(number.clamp(low, high));
    }
    match setting.as_i64() {
        Some(_) => Ok(low),
        None => Err(format!("{} is no whole number: {setting}", setting.name)),
    }
}

/// The interval that `set-interval` asks for, and whether it is another one than was asked for: `5s` or `250ms` as text, a
/// number of seconds, or milliseconds by the name `interval_ms`.
pub(super) fn interval(arguments: &[Argument]) -> Result<(Duration, bool), String> {
    let usage = "say how long: 5s, 250ms, a number of seconds, or interval_ms=250";
    let asked_us = if let Some(ms) = arguments.iter().find(|given| given.name == "interval_ms") {
        ms.as_f64().map(|ms| ms * 1e3)
    } else {
        let given = Argument::find(arguments, "interval", 0).ok_or(usage)?;
        match given.as_str() {
            Some(text) => {
                let duration = parse_duration(text).map_err(|error| error.to_string())?;
                Some(duration.as_secs_f64() * 1e6)
            }
            None => given.as_f64().map(|seconds| seconds * 1e6),
        }
    };
    let asked_us = asked_us.filter(|us| us.is_finite()).ok_or(usage)?.round();
    let (low, high) = (1e3, 86_400e6); // As for `interval_ms`.
    let clamped_us = asked_us.clamp(low, high);
    let interval = Duration::from_secs_f64(clamped_us / 1e6);
    #[expect(clippy::float_cmp, reason = "clamping leaves what is inside as it is")]
    Ok((interval, clamped_us != asked_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Settings =
        Settings { interval: Duration::from_secs(10), batch_rows: 1, disabled: BTreeSet::new() };

    fn read(desired: &[Argument]) -> (Option<Settings>, Answer) {
        let profile = crate::Profile::load("greenhouse").unwrap();
        Settings::read(&DEFAULT, profile.channels(), desired)
    }

    #[test]
    fn channels_are_switched_off_one_by_one_and_on_again_by_silence() {
        let off = [
            Argument::new("enable.temperature", false),
            Argument::new("enable.co2", false),
            Argument::new("enable.humidity", true),
            Argument::new("enable.nothing", 5u8), // Not a channel: not a setting of this device.
        ];
        let (settings, answer) = read(&off);
        assert_eq!(settings.unwrap().disabled, BTreeSet::from([0, 2]));
        assert_eq!((answer.status, answer.results), (DoneStatus::Ok, vec![]));
        let (settings, answer) = read(&[Argument::new("enable.co2", 0u8)]);
        assert_eq!((settings, answer.status), (None, DoneStatus::Refused));
        assert_eq!(read(&[]).0.unwrap().disabled, BTreeSet::new());
    }

    #[test]
    fn a_config_is_the_whole_state_and_what_it_leaves_out_is_at_its_default() {
        let (settings, answer) = read(&[Argument::new("batch_rows", 5u16)]);
        assert_eq!(settings, Some(Settings { batch_rows: 5, ..DEFAULT }));
        assert_eq!((answer.status, answer.results), (DoneStatus::Ok, vec![]));
        assert_eq!(read(&[]).0, Some(DEFAULT));
    }

    #[test]
    fn unknown_settings_are_ignored_and_of_two_with_one_name_the_first_counts() {
        let (settings, answer) = read(&[
            Argument::new("colour", "red"),
            Argument::new("interval_ms", 500u32),
            Argument::new("interval_ms", "x"),
        ]);
        assert_eq!(settings.unwrap().interval, Duration::from_millis(500));
        assert_eq!(answer.status, DoneStatus::Ok);
    }

    /// Spec §5.16a.
    #[test]
    fn a_value_out_of_range_or_of_another_type_is_clamped_or_refused() {
        for (asked, in_force) in [
            (OwnedValue::U32(0), 1u32),
            (OwnedValue::U32(86_400_001), 86_400_000),
            (OwnedValue::I64(-7), 1),
            (OwnedValue::I64(2_000), 2_000),
            (OwnedValue::U64(u64::MAX), 86_400_000),
        ] {
            let (settings, answer) = read(&[Argument::new("interval_ms", asked)]);
            assert_eq!(settings.unwrap().interval, Duration::from_millis(in_force.into()));
            assert_eq!(answer.status, DoneStatus::Clamped);
            assert_eq!(answer.results, [Argument::new("interval_ms", in_force)]);
        }
        for wrong in [OwnedValue::Text("5s".into()), OwnedValue::Bool(true), OwnedValue::F64(5.0)] {
            let (settings, answer) = read(&[
                Argument::new("batch_rows", 3u16),
                Argument::new("interval_ms", wrong.clone()),
            ]);
            assert_eq!((settings, answer.status), (None, DoneStatus::Refused), "{wrong:?}");
            assert!(answer.text.contains("interval_ms"), "{}", answer.text);
        }
    }

    #[test]
    fn an_interval_is_a_text_with_a_unit_a_number_of_seconds_or_named_milliseconds() {
        let positional = |value: OwnedValue| interval(&[Argument::new("", value)]);
        let seconds = |seconds| Ok((Duration::from_secs_f64(seconds), false));
        assert_eq!(positional("5s".into()), seconds(5.0));
        assert_eq!(positional("250ms".into()), seconds(0.25));
        assert_eq!(positional(5i64.into()), seconds(5.0));
        assert_eq!(positional(5u32.into()), seconds(5.0));
        assert_eq!(positional(0.5f64.into()), seconds(0.5));
        assert_eq!(interval(&[Argument::scaled("", 25u8, -1)]), seconds(2.5));
        assert_eq!(interval(&[Argument::new("interval_ms", 250i64)]), seconds(0.25));
        assert_eq!(interval(&[Argument::new("interval", "2min")]), seconds(120.0));
        assert_eq!(positional(0i64.into()), Ok((Duration::from_millis(1), true)));
        assert_eq!(positional((-3i64).into()), Ok((Duration::from_millis(1), true)));
        assert_eq!(positional("2d".into()), Ok((Duration::from_secs(86_400), true)));
        for wrong in [f64::NAN.into(), true.into(), "5".into(), "soon".into()] {
            assert!(positional(wrong).is_err());
        }
        assert!(interval(&[]).is_err());
    }
}
