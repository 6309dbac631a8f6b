//! One simulated device: its sensors, and when they are read.

use std::time::Duration;

use senda_wire::registry::{CHANNELS_MAX, ROW_BYTES_MAX};
use senda_wire::{Value, encode_row};

use crate::Profile;
use crate::seed::{derive_seed, mix};
use crate::sensor::{Fix, Moment, Scratch, Sensor, Tracker};

/// One simulated device. Equal arguments and equal calls give equal rows, on any transport and
/// whatever other devices do.
///
/// Call [`Instrument::sample_due`] whenever [`Instrument::next_due`] has come. The rows are dated
/// by the schedule, not by when the caller got round to it. [`Instrument::sample`] reads the
/// sensors at another time.
#[derive(Clone, Debug)]
pub struct Instrument {
    profile: Profile,
    schedule: Schedule,
    tracker: Option<Box<Tracker>>,
    sensors: Box<[Sensor]>,
}

impl Instrument {
    /// Device number `device` of a fleet, which begins at `start_us` (Unix microseconds).
    ///
    /// Devices begin at different points within their first interval.
    pub fn new(profile: Profile, device: u32, seed: u64, start_us: i64) -> Self {
        let sensor = |channel: &'static crate::profile::Channel| {
            let purpose = format!("channel {}", channel.name);
            Sensor::new(&channel.sensor, derive_seed(seed, device, &purpose), start_us)
        };
        let tracker = profile
            .route()
            .map(|route| Box::new(Tracker::new(route, derive_seed(seed, device, "gps"), start_us)));
        Self {
            profile,
            schedule: Schedule::new(profile, derive_seed(seed, device, "schedule"), start_us),
            tracker,
            sensors: profile.channels().iter().map(sensor).collect(),
        }
    }

    /// What it measures.
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// When the next sample is due, Unix microseconds: later than all before it.
    pub const fn next_due(&self) -> i64 {
        self.schedule.due_us
    }

    /// Samples that were taken when due.
    pub const fn samples(&self) -> u64 {
        self.schedule.number
    }

    /// Takes the sample that is due, appends its row in ROWS form to `row`, and moves on to the
    /// next one. Returns the sample's time, which is what [`Instrument::next_due`] said.
    pub fn sample_due(&mut self, row: &mut Vec<u8>) -> i64 {
        let due_us = self.schedule.due_us;
        self.sample(due_us, row);
        self.advance();
        due_us
    }

    /// Moves on to the next sample, for who took the one that is due by [`Instrument::sample`] or
    /// [`Instrument::with_values`].
    pub fn advance(&mut self) {
        self.schedule.advance();
    }

    /// Reads all sensors at `t_us` and appends the row in ROWS form to `row`. The schedule goes on
    /// as it was.
    pub fn sample(&mut self, t_us: i64, row: &mut Vec<u8>) {
        let schema = self.profile.schema();
        let start = row.len();
        row.resize(start + schema.row_max(), 0);
        let len = self.with_values(t_us, |values| encode_row(&schema, values, &mut row[start..]));
        // The values come from the channels that the schema describes, and row_max suffices.
        let len = len.unwrap_or_else(|error| unreachable!("{error}"));
        row.truncate(start + len);
    }

    /// Reads all sensors at `t_us` and lends the values, one for each channel.
    pub fn with_values<R>(&mut self, t_us: i64, use_values: impl FnOnce(&[Value<'_>]) -> R) -> R {
        // The values live on the stack; most profiles need little of it.
        match self.sensors.len() {
            0..=16 => self.fill::<16, R>(t_us, use_values),
            17..=64 => self.fill::<64, R>(t_us, use_values),
            _ => self.fill::<CHANNELS_MAX, R>(t_us, use_values),
        }
    }

    /// Samples every `interval` from `now_us` on, as after a command that changed it. The first one
    /// is due an interval later.
    pub fn set_interval(&mut self, interval: Duration, now_us: i64) {
        self.profile = self.profile.with_interval(interval);
        self.schedule.restart(self.profile, now_us);
    }

    fn fill<const N: usize, R>(
        &mut self,
        t_us: i64,
        use_values: impl FnOnce(&[Value<'_>]) -> R,
    ) -> R {
        let mut values = [Value::Bool(false); N];
        let mut bytes = [0; ROW_BYTES_MAX];
        let mut scratch = Scratch::new(&mut bytes);
        let fix = match (&mut self.tracker, self.profile.route()) {
            (Some(tracker), Some(route)) => tracker.sample(route, t_us),
            _ => Fix::default(),
        };
        let moment = Moment { t_us, fix };
        let channels = self.profile.channels();
        for ((sensor, channel), value) in self.sensors.iter_mut().zip(channels).zip(&mut values) {
            *value = sensor.sample(&channel.sensor, &moment, &mut scratch);
        }
        use_values(&values[..channels.len()])
    }
}

/// When samples are due: sample *n* at origin + n × interval + a jitter that seed and *n* decide.
/// No sample is dated by another one, so that no error adds up.
#[derive(Clone, Debug)]
struct Schedule {
    key: u64,
    interval_us: i64,
    jitter_us: i64,
    /// The sample that is due next, from 0.
    number: u64,
    /// Its time without jitter.
    slot_us: i64,
    /// Its time.
    due_us: i64,
}

impl Schedule {
    fn new(profile: Profile, key: u64, start_us: i64) -> Self {
        let (interval_us, jitter_us) = (profile.interval_us(), profile.jitter_us());
        let slot_us = start_us.saturating_add(below(mix(key), interval_us));
        let mut schedule = Self { key, interval_us, jitter_us, number: 0, slot_us, due_us: 0 };
        schedule.set_due();
        schedule
    }

    fn advance(&mut self) {
        self.number += 1;
        self.slot_us = self.slot_us.saturating_add(self.interval_us);
        self.set_due();
    }

    fn restart(&mut self, profile: Profile, now_us: i64) {
        (self.interval_us, self.jitter_us) = (profile.interval_us(), profile.jitter_us());
        self.slot_us = now_us.saturating_add(self.interval_us);
        self.set_due();
    }

    fn set_due(&mut self) {
        let draw = mix(self.key ^ mix(self.number));
        self.due_us = self.slot_us.saturating_add(below(draw, self.jitter_us.saturating_add(1)));
    }
}

/// A number from 0 up to, not including, `end`, from 64 random bits.
fn below(bits: u64, end: i64) -> i64 {
    let scaled = (u128::from(bits) * u128::from(end.unsigned_abs())) >> 64;
    i64::try_from(scaled).unwrap_or(0) // Below `end`.
}
