//! `--from host`: what this machine says of itself, look after look.
//!
//! One schema for each kind of thing, a row for each thing, and its name in a text channel: `select time, load1 from host`,
//! `select time, sent from network where interface = 'eth0'`. Disks and interfaces that come and go are rows that come and
//! go; with a channel for each, every change of them would be another schema. All rows of a look have one time.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use senda_client::{Argument, Batch, DoneStatus, Event, OwnedValue};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::outlet::{BATCH, Outlet, Over, Sent};
use super::proc::{self, Memory, Part};
use super::shape::{Row, Shapes};
use super::stop::Stop;

/// What `interval_ms` may be: looking takes a millisecond or so. The upper end is that of specification 5.16.
const INTERVAL_MS: RangeInclusive<u64> = 100..=86_400_000;
/// What `batch_rows` may be.
const BATCH_ROWS: RangeInclusive<u64> = 1..=u16::MAX as u64;
/// Rows that a collector wants gathered don't wait longer than that.
const GATHER_MAX: Duration = Duration::from_secs(3_600);

/// Looks at this machine until it is stopped. Returns why.
pub(super) async fn run(
    outlet: &mut Outlet,
    interval: Duration,
    count: Option<u64>,
    mut stop: Stop,
) -> anyhow::Result<Option<Over>> {
    let mut looker = Looker::new();
    let mut ticks = every(interval, Instant::now());
    let client = outlet.client.clone();
    loop {
        if count.is_some_and(|count| outlet.figures.read >= count) {
            return Ok(None);
        }
        tokio::select! {
            biased;
            () = stop.wait() => return Ok(Some(Over::Stopped)),
            Some(event) = client.event() => {
                if let Event::Config { ticket, settings, .. } = event {
                    let (wanted, answer) = Settings::read(&settings, interval);
                    if let Some(wanted) = wanted {
                        ticks = every(wanted.interval, Instant::now() + wanted.interval);
                        client.with_device(|device| device.set_batch(wanted.batch));
                        looker.disabled = wanted.disabled;
                    }
                    // It fails only when the session is gone; the collector asks again then.
                    let _ = client.done(ticket, answer.status, &answer.text, &answer.in_force);
                }
            }
            _ = ticks.tick() => looker.look(outlet).await,
        }
    }
}

fn every(interval: Duration, from: Instant) -> tokio::time::Interval {
    let mut ticks = interval_at(from, interval.max(Duration::from_millis(1)));
    // A machine that slept does not make up for it.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

struct Looker {
    parts: Vec<(Part, Shapes)>,
    memory: Memory,
    /// Channels that the collector does not want.
    disabled: HashSet<String>,
    /// Failures that were told already.
    told: HashSet<String>,
}

impl Looker {
    fn new() -> Self {
        let parts = proc::parts().into_iter();
        let parts = parts.map(|part| {
            let shapes = Shapes::new(part.schema);
            (part, shapes)
        });
        Self {
            parts: parts.collect(),
            memory: Memory::default(),
            disabled: HashSet::new(),
            told: HashSet::new(),
        }
    }

    async fn look(&mut self, outlet: &mut Outlet) {
        outlet.figures.read += 1;
        let look = outlet.figures.read;
        let time_us = Some(jiff::Timestamp::now().as_microsecond());
        for (part, shapes) in &mut self.parts {
            let rows = (part.look)(&mut self.memory).unwrap_or_else(|why| {
                failed(outlet, &mut self.told, format!("{}: {why}", part.schema));
                Vec::new()
            });
            for mut values in rows {
                values.retain(|(column, _)| !self.disabled.contains(&part.columns[*column].name));
                if values.is_empty() {
                    continue;
                }
                let made = shapes.sample(&outlet.client, &part.columns, Row { time_us, values });
                let sent = match made {
                    Ok((schema, sample)) => outlet.send(look, &schema, &sample).await,
                    Err(why) => Sent::Bad(why),
                };
                match sent {
                    Sent::Queued => {}
                    Sent::Bad(why) => {
                        failed(outlet, &mut self.told, format!("{}: {why}", part.schema));
                    }
                    // The other schemas may be welcome.
                    Sent::Over(_) => {
                        let why = format!("{}: the collector refused the schema", part.schema);
                        failed(outlet, &mut self.told, why);
                    }
                }
            }
        }
    }
}

/// Counts a failure, and tells it once.
fn failed(outlet: &mut Outlet, told: &mut HashSet<String>, why: String) {
    outlet.figures.bad += 1;
    if !told.contains(&why) {
        eprintln!("senda: {why}");
        told.insert(why);
    }
}

/// What a CONFIG asked for.
#[derive(Clone, Debug, PartialEq)]
struct Settings {
    interval: Duration,
    batch: Batch,
    /// Channels, whichever their schema.
    disabled: HashSet<String>,
}

/// The DONE to a CONFIG.
#[derive(Debug, PartialEq)]
struct Answer {
    status: DoneStatus,
    text: String,
    /// Of what was clamped.
    in_force: Vec<Argument>,
}

impl Settings {
    /// A setting that is not there is at its default; one that is unknown is ignored. `None`: all is refused.
    /// Specification 5.16.
    fn read(asked: &[Argument], default: Duration) -> (Option<Self>, Answer) {
        let mut settings = Self { interval: default, batch: BATCH, disabled: HashSet::new() };
        let mut answer =
            Answer { status: DoneStatus::Ok, text: String::new(), in_force: Vec::new() };
        let refused = |text: String| {
            (None, Answer { status: DoneStatus::Refused, text, in_force: Vec::new() })
        };
        let mut names = HashSet::new();
        // Of two with one name the first counts.
        for setting in asked.iter().filter(|setting| names.insert(setting.name.clone())) {
            if let Some(channel) = setting.name.strip_prefix("enable.") {
                match setting.as_bool() {
                    Some(true) => {}
                    Some(false) => drop(settings.disabled.insert(channel.to_owned())),
                    None => return refused(format!("{} is no bool", setting.name)),
                }
                continue;
            }
            let range = match setting.name.as_str() {
                "interval_ms" => INTERVAL_MS,
                "batch_rows" => BATCH_ROWS,
                _ => continue,
            };
            let below = setting.as_i64().filter(|number| *number < 0).map(|_| 0);
            let Some(number) = setting.as_u64().or(below) else {
                return refused(format!("{} is no whole number", setting.name));
            };
            let taken = number.clamp(*range.start(), *range.end());
            let in_force = if setting.name == "interval_ms" {
                settings.interval = Duration::from_millis(taken);
                OwnedValue::U32(u32::try_from(taken).unwrap_or(u32::MAX))
            } else {
                let rows = u16::try_from(taken).unwrap_or(u16::MAX);
                settings.batch = Batch { rows, delay: GATHER_MAX };
                OwnedValue::U16(rows)
            };
            if taken != number {
                answer.status = DoneStatus::Clamped;
                answer.in_force.push(Argument::new(&setting.name, in_force));
            }
        }
        (Some(settings), answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Duration = Duration::from_secs(10);

    fn answer(settings: &[Argument]) -> (DoneStatus, Option<u128>) {
        let (settings, answer) = Settings::read(settings, DEFAULT);
        (answer.status, settings.map(|settings| settings.interval.as_millis()))
    }

    #[test]
    fn a_configuration_is_applied_clamped_or_refused_and_what_is_missing_is_at_its_default() {
        let interval = |ms: u32| [Argument::new("interval_ms", ms)];
        assert_eq!(answer(&interval(500)), (DoneStatus::Ok, Some(500)));
        assert_eq!(answer(&interval(1)), (DoneStatus::Clamped, Some(100)));
        assert_eq!(answer(&[Argument::new("interval_ms", -1i8)]), (DoneStatus::Clamped, Some(100)));
        assert_eq!(answer(&interval(u32::MAX)), (DoneStatus::Clamped, Some(86_400_000)));
        assert_eq!(answer(&[Argument::new("interval_ms", 500.5)]), (DoneStatus::Refused, None));
        assert_eq!(answer(&[Argument::new("enable.cpu", 1u8)]), (DoneStatus::Refused, None));
        assert_eq!(answer(&[Argument::new("colour", true)]), (DoneStatus::Ok, Some(10_000)));
        let asked = [Argument::new("batch_rows", 7u16), Argument::new("enable.cpu", false)];
        let settings = Settings::read(&asked, DEFAULT).0.expect("it is not refused");
        assert_eq!(settings.batch.rows, 7);
        assert!(settings.disabled.contains("cpu"));
    }
}
