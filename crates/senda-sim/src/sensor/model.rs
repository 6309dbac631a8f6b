//! The random processes, and their state from one sample to the next.
//!
//! Each step is exact for any span: sampling once a minute or a thousand times gives the same
//! distribution. None of them reads a clock, and none of them loops over the time that has passed.

use std::f64::consts::TAU;

use senda_wire::ValueType;

use super::random::{Generator, between, events, exponential, last_event_age, normal, uniform};
use super::track::Fix;

/// What a sensor measures: a process in continuous time with its parameters. Quantities are in
/// the channel's unit.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// Always the same.
    Constant {
        /// The value.
        value: f64,
    },
    /// Wanders without a home, reflected at the ends of its range.
    RandomWalk {
        /// Standard deviation of the change in one second; it grows with √time.
        step: f64,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// Ornstein-Uhlenbeck: wanders, and is drawn back to its mean.
    OrnsteinUhlenbeck {
        /// Mean.
        mean: f64,
        /// Standard deviation in the long run.
        deviation: f64,
        /// After this time it has forgotten 63 % of where it was, seconds.
        relaxation_s: f64,
    },
    /// A sine with a period of a day, and noise.
    Daily {
        /// Mean over the day.
        mean: f64,
        /// From the mean to the peak.
        amplitude: f64,
        /// When it peaks, seconds after midnight UTC.
        peak_s: f64,
        /// Standard deviation of the noise, drawn afresh for each sample.
        noise: f64,
    },
    /// A two-state Markov process.
    OnOff {
        /// Mean time in the state on, seconds.
        mean_on_s: f64,
        /// Mean time in the state off, seconds.
        mean_off_s: f64,
        /// The number for on.
        on: f64,
        /// The number for off.
        off: f64,
    },
    /// Quiet, with bursts that come at random, add up and die away. They are drawn one by one, so
    /// that `decay_s` should not be many times `every_s`.
    Bursts {
        /// The quiet level.
        base: f64,
        /// Mean height of a burst; heights are exponential.
        height: f64,
        /// Mean time from burst to burst, seconds.
        every_s: f64,
        /// A burst falls to 37 % in this time, seconds.
        decay_s: f64,
        /// Standard deviation of the noise, drawn afresh for each sample.
        noise: f64,
    },
    /// Runs down, is changed, runs down again.
    Battery {
        /// Level of a fresh one.
        full: f64,
        /// Level at which it is changed.
        empty: f64,
        /// Time from full to empty, seconds.
        life_s: f64,
        /// Standard deviation of the noise, drawn afresh for each sample.
        noise: f64,
    },
    /// Counts random events; may restart from 0, as a meter does that reboots.
    Counter {
        /// Mean increase in one second.
        rate: f64,
        /// Where it starts, in raw counts.
        start: u64,
        /// Mean time between restarts, seconds; `None`: never.
        restart_s: Option<f64>,
    },
    /// One of several states, held for a while.
    Status {
        /// Shares of time, added up: the last one is 1.
        cumulative: Box<[f64]>,
        /// Mean time until the next draw (which may give the same state), seconds.
        hold_s: f64,
    },
    /// When something last happened, such as maintenance.
    LastEvent {
        /// Mean time between two of them, seconds.
        every_s: f64,
        /// Instants are multiples of this, µs.
        resolution_us: i64,
    },
    /// Three axes: gravity as the device happens to be mounted, and vibration.
    Acceleration {
        /// Deviation of the mounting from level, degrees.
        tilt: f64,
        /// Amplitude of the vibration on each axis, m/s².
        vibration: f64,
        /// Frequency of the vibration, Hz.
        frequency_hz: f64,
        /// Standard deviation of the noise on each axis, m/s².
        noise: f64,
    },
    /// A field of the device's one satellite receiver.
    Gps(GpsField),
    /// Random bytes, such as a raw frame or a signature.
    Bytes {
        /// Fewest bytes.
        min_len: u16,
        /// Most bytes.
        max_len: u16,
    },
}

/// What a channel takes of a [`Fix`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GpsField {
    /// Degrees.
    Latitude,
    /// Degrees.
    Longitude,
    /// m/s.
    Speed,
    /// Degrees clockwise from north.
    Heading,
    /// Metres driven since the start.
    Distance,
}

/// Standard gravity, m/s².
const GRAVITY: f64 = 9.806_65;
/// Bursts older than this many decay times have died away.
const DECAYS_SEEN: f64 = 40.0;

impl GpsField {
    /// All fields, with their names in profiles.
    pub const ALL: [(&'static str, Self); 5] = [
        ("latitude", Self::Latitude),
        ("longitude", Self::Longitude),
        ("speed", Self::Speed),
        ("heading", Self::Heading),
        ("distance", Self::Distance),
    ];

    pub(crate) const fn of(self, fix: &Fix) -> f64 {
        match self {
            Self::Latitude => fix.latitude,
            Self::Longitude => fix.longitude,
            Self::Speed => fix.speed,
            Self::Heading => fix.heading,
            Self::Distance => fix.distance,
        }
    }
}

impl Model {
    /// The names of all models in profiles.
    pub const NAMES: [&'static str; 13] = [
        "constant",
        "random-walk",
        "ornstein-uhlenbeck",
        "daily",
        "on-off",
        "bursts",
        "battery",
        "counter",
        "status",
        "last-event",
        "acceleration",
        "gps",
        "bytes",
    ];

    /// Its name in profiles.
    pub const fn name(&self) -> &'static str {
        let number = match self {
            Self::Constant { .. } => 0,
            Self::RandomWalk { .. } => 1,
            Self::OrnsteinUhlenbeck { .. } => 2,
            Self::Daily { .. } => 3,
            Self::OnOff { .. } => 4,
            Self::Bursts { .. } => 5,
            Self::Battery { .. } => 6,
            Self::Counter { .. } => 7,
            Self::Status { .. } => 8,
            Self::LastEvent { .. } => 9,
            Self::Acceleration { .. } => 10,
            Self::Gps(_) => 11,
            Self::Bytes { .. } => 12,
        };
        Self::NAMES[number]
    }

    /// Whether a channel of this type and number of elements can hold what the model gives.
    pub fn fits(&self, value_type: ValueType, elements: u8) -> bool {
        match self {
            Self::Constant { .. } | Self::OnOff { .. } if value_type == ValueType::Bool => {
                elements == 1
            }
            Self::Counter { .. } => value_type.is_integer() && elements == 1,
            Self::Status { .. } => {
                matches!(value_type, ValueType::Text | ValueType::Enum8) && elements == 1
            }
            Self::LastEvent { .. } => value_type == ValueType::Time && elements == 1,
            Self::Acceleration { .. } => value_type.is_number() && elements == 3,
            Self::Gps(_) => value_type.is_number() && elements == 1,
            Self::Bytes { .. } => value_type == ValueType::Blob && elements == 1,
            _ => value_type.is_number() && elements >= 1,
        }
    }

    /// Whether the channel is a counter to those who read it. Spec §4.2.
    pub const fn counts(&self) -> bool {
        matches!(self, Self::Counter { .. } | Self::Gps(GpsField::Distance))
    }
}

/// What a process remembers. Parameters are not in it: a fleet shares them.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// All that matters stands elsewhere.
    Nothing,
    /// A level, and how far this one device is off the model.
    Level {
        x: f64,
        offset: f64,
    },
    On(bool),
    /// When the battery of now was fresh, or one before it, µs.
    FreshAt {
        t_us: i64,
    },
    Count(u64),
    Choice(u8),
    /// When it last happened, µs.
    Happened {
        t_us: i64,
    },
    /// Gravity in the device's own axes, and where in its cycle the vibration began.
    Mount {
        gravity: [f32; 3],
        phase: f32,
    },
    /// A vector: the same process several times over.
    Elements(Box<[Self]>),
}

/// The time since the last sample of a channel, and the moment of this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) t_us: i64,
    pub(crate) span_s: f64,
}

impl State {
    /// Where a process that has always been running stands at `t_us`.
    pub(crate) fn start(model: &Model, spread: f64, t_us: i64, rng: &mut Generator) -> Self {
        let level = |x: f64, rng: &mut Generator| Self::Level { x, offset: spread * normal(rng) };
        match *model {
            Model::Constant { .. } | Model::Daily { .. } => level(0.0, rng),
            Model::RandomWalk { low, high, .. } => {
                Self::Level { x: between(rng, low, high), offset: 0.0 }
            }
            Model::OrnsteinUhlenbeck { deviation, .. } => {
                let x = deviation * normal(rng);
                level(x, rng)
            }
            Model::Bursts { height, every_s, decay_s, .. } => {
                let x = bursts_in(DECAYS_SEEN * decay_s, height, every_s, decay_s, rng);
                level(x, rng)
            }
            Model::OnOff { mean_on_s, mean_off_s, .. } => {
                Self::On(uniform(rng) < duty(mean_on_s, mean_off_s))
            }
            Model::Battery { life_s, .. } => {
                Self::FreshAt { t_us: t_us.saturating_sub(micros(life_s * uniform(rng))) }
            }
            Model::Counter { start, .. } => Self::Count(start),
            Model::Status { ref cumulative, .. } => Self::Choice(choose(cumulative, rng)),
            Model::LastEvent { every_s, .. } => {
                Self::Happened { t_us: t_us.saturating_sub(micros(every_s * exponential(rng))) }
            }
            Model::Acceleration { tilt, .. } => mount(tilt, rng),
            Model::Gps(_) | Model::Bytes { .. } => Self::Nothing,
        }
    }

    /// Moves on and gives a number. Called for models that have one.
    pub(crate) fn number(&mut self, model: &Model, step: Step, rng: &mut Generator) -> f64 {
        match (self, model) {
            (Self::Level { x, offset }, _) => *offset + level(x, model, step, rng),
            (Self::On(is_on), &Model::OnOff { mean_on_s, mean_off_s, on, off }) => {
                switch(is_on, mean_on_s, mean_off_s, step.span_s, rng);
                if *is_on { on } else { off }
            }
            (Self::FreshAt { t_us }, &Model::Battery { full, empty, life_s, noise }) => {
                let lives = super::seconds_between(*t_us, step.t_us) / life_s;
                full + (empty - full) * lives.fract() + noise * normal(rng)
            }
            _ => 0.0, // No other pair is ever made: `Model::fits`.
        }
    }

    /// Moves on and gives the raw count. It starts again from 0 only when the model says so.
    pub(crate) fn count(
        &mut self,
        rate: f64,
        restart_s: Option<f64>,
        step: Step,
        rng: &mut Generator,
    ) -> u64 {
        let Self::Count(count) = self else { return 0 };
        let mut span_s = step.span_s;
        let restarted = restart_s.and_then(|mean_s| last_event_age(rng, span_s, mean_s));
        if let Some(age_s) = restarted {
            (*count, span_s) = (0, age_s);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number, not negative"
        )]
        let more = events(rng, rate * span_s) as u64;
        *count = count.wrapping_add(more);
        *count
    }

    /// Moves on and gives the index of the state.
    pub(crate) fn choice(
        &mut self,
        cumulative: &[f64],
        hold_s: f64,
        step: Step,
        rng: &mut Generator,
    ) -> u8 {
        let Self::Choice(choice) = self else { return 0 };
        if last_event_age(rng, step.span_s, hold_s).is_some() {
            *choice = choose(cumulative, rng);
        }
        *choice
    }

    /// Moves on and gives the instant of the last event, µs.
    pub(crate) fn happened(
        &mut self,
        every_s: f64,
        resolution_us: i64,
        step: Step,
        rng: &mut Generator,
    ) -> i64 {
        let Self::Happened { t_us } = self else { return 0 };
        if let Some(age_s) = last_event_age(rng, step.span_s, every_s) {
            *t_us = step.t_us.saturating_sub(micros(age_s));
        }
        t_us.saturating_sub(t_us.rem_euclid(resolution_us))
    }

    /// The three axes, m/s².
    pub(crate) fn axes(
        &self,
        (vibration, frequency_hz, noise): (f64, f64, f64),
        step: Step,
        rng: &mut Generator,
    ) -> [f64; 3] {
        let Self::Mount { gravity, phase } = self else { return [0.0; 3] };
        let cycles = (step.t_us as f64 * 1e-6 * frequency_hz).fract() + f64::from(*phase);
        let mut axis = 0.0;
        gravity.map(|still| {
            let swing = vibration * (TAU * (cycles + axis)).sin();
            axis += 1.0 / 3.0; // The axes don't swing together.
            f64::from(still) + swing + noise * normal(rng)
        })
    }
}

/// The next value of a process that is a level.
fn level(x: &mut f64, model: &Model, step: Step, rng: &mut Generator) -> f64 {
    match *model {
        Model::Constant { value } => value,
        Model::Daily { mean, amplitude, peak_s, noise } => {
            let second = step.t_us.rem_euclid(DAY_US) as f64 * 1e-6;
            let swing = (TAU * (second - peak_s) / 86_400.0).cos();
            mean + amplitude * swing + noise * normal(rng)
        }
        Model::RandomWalk { step: deviation, low, high } => {
            *x = reflect(*x + deviation * step.span_s.sqrt() * normal(rng), low, high);
            *x
        }
        Model::OrnsteinUhlenbeck { mean, deviation, relaxation_s } => {
            // Exact for any span: what is kept, and as much fresh variance as was forgotten.
            let keep = (-step.span_s / relaxation_s).exp();
            *x = *x * keep + deviation * (1.0 - keep * keep).sqrt() * normal(rng);
            mean + *x
        }
        Model::Bursts { base, height, every_s, decay_s, noise } => {
            *x *= (-step.span_s / decay_s).exp();
            let span_s = step.span_s.min(DECAYS_SEEN * decay_s);
            *x += bursts_in(span_s, height, every_s, decay_s, rng);
            base + *x + noise * normal(rng)
        }
        _ => 0.0, // No other model has a level.
    }
}

/// What is left, at its end, of the bursts within a span.
fn bursts_in(span_s: f64, height: f64, every_s: f64, decay_s: f64, rng: &mut Generator) -> f64 {
    let mut left = events(rng, span_s / every_s);
    let mut sum = 0.0;
    while left >= 1.0 {
        let age_s = span_s * uniform(rng);
        sum += height * exponential(rng) * (-age_s / decay_s).exp();
        left -= 1.0;
    }
    sum
}

fn switch(is_on: &mut bool, mean_on_s: f64, mean_off_s: f64, span_s: f64, rng: &mut Generator) {
    let duty = duty(mean_on_s, mean_off_s);
    let keep = (-span_s * (mean_on_s.recip() + mean_off_s.recip())).exp();
    let before = if *is_on { 1.0 } else { 0.0 };
    *is_on = uniform(rng) < duty + (before - duty) * keep;
}

/// The share of time in the state on.
fn duty(mean_on_s: f64, mean_off_s: f64) -> f64 {
    mean_on_s / (mean_on_s + mean_off_s)
}

fn choose(cumulative: &[f64], rng: &mut Generator) -> u8 {
    let draw = uniform(rng);
    let index = cumulative.iter().take_while(|share| **share <= draw).count();
    // At most 255 states, and rounding may leave the last share below the draw.
    u8::try_from(index.min(cumulative.len().saturating_sub(1))).unwrap_or(0)
}

fn mount(tilt: f64, rng: &mut Generator) -> State {
    let (tilt, bearing) = ((tilt * normal(rng)).to_radians(), between(rng, 0.0, TAU));
    let flat = tilt.sin();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a tenth of a micrometre per second² is enough"
    )]
    let gravity =
        [flat * bearing.cos(), flat * bearing.sin(), tilt.cos()].map(|g| (GRAVITY * g) as f32);
    #[expect(clippy::cast_possible_truncation, reason = "any phase will do")]
    let phase = uniform(rng) as f32;
    State::Mount { gravity, phase }
}

/// Folds `x` back into the range at whose ends it is reflected.
fn reflect(x: f64, low: f64, high: f64) -> f64 {
    let width = high - low;
    if width <= 0.0 {
        return low;
    }
    let along = (x - low).rem_euclid(2.0 * width);
    low + if along > width { 2.0 * width - along } else { along }
}

const DAY_US: i64 = 86_400_000_000;

fn micros(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "saturates: longer than any simulation")]
    {
        (seconds * 1e6) as i64
    }
}
