//! Sensors: random processes ([`Model`]), quantised as real sensors are ([`Scale`]), as values of
//! the protocol.
//!
//! A [`Spec`] is what all sensors of a kind share, a [`Sensor`] what one of them remembers.
//! Nothing here reads a clock: the moment is an argument.
//!
//! ```
//! use senda_sim::sensor::{Limits, Model, Moment, Output, Scale, Scratch, Sensor, Spec};
//! use senda_wire::{Value, ValueType};
//!
//! let centi = Scale::new(ValueType::I16, -2, Limits::default())?;
//! let model = Model::Daily { mean: 20.0, amplitude: 5.0, peak_s: 54_000.0, noise: 0.0 };
//! let spec = Spec::new(model, Output::Number(centi), 1, 0.0).unwrap();
//! let mut sensor = Sensor::new(&spec, 42, 0);
//!
//! let mut bytes = [0; 8]; // for vectors and blobs
//! let three_pm = Moment::at(54_000_000_000);
//! let value = sensor.sample(&spec, &three_pm, &mut Scratch::new(&mut bytes));
//! assert_eq!(value, Value::I16(2_500)); // 25.00
//! # Ok::<(), senda_sim::sensor::ScaleError>(())
//! ```

mod model; // the processes
mod random; // draws
mod scale; // quantisation
mod track; // the satellite receiver

use rand::RngExt;
use senda_wire::{Value, ValueType, Vector};

pub use model::{GpsField, Model};
pub use scale::{Limits, Scale, ScaleError};
pub use track::{Fix, Route, Tracker};

use model::{State, Step};
use random::Generator;

/// What all sensors of a kind share.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    model: Model,
    output: Output,
    elements: u8,
    spread: f64,
}

/// The form in which a model's result leaves the sensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A number, or a vector of them.
    Number(Scale),
    /// True from 0.5 upwards.
    Bool,
    /// The state's text.
    Text(Box<[Box<str>]>),
    /// The state's index.
    Enum,
    /// Microseconds since 1970.
    Time,
    /// Bytes.
    Blob,
}

impl Output {
    /// The type of the values.
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::Number(scale) => scale.value_type(),
            Self::Bool => ValueType::Bool,
            Self::Text(_) => ValueType::Text,
            Self::Enum => ValueType::Enum8,
            Self::Time => ValueType::Time,
            Self::Blob => ValueType::Blob,
        }
    }
}

impl Spec {
    /// A model and the form of its values; `None` where they don't fit ([`Model::fits`]).
    ///
    /// `elements` is above 1 for a vector: the process several times over, or three axes.
    /// `spread` is the standard deviation by which devices differ from each other.
    pub fn new(model: Model, output: Output, elements: u8, spread: f64) -> Option<Self> {
        let texts_suffice = match (&model, &output) {
            (Model::Status { cumulative, .. }, Output::Text(texts)) => {
                !texts.is_empty() && texts.len() == cumulative.len()
            }
            _ => true,
        };
        let fits = model.fits(output.value_type(), elements) && texts_suffice;
        fits.then_some(Self { model, output, elements, spread })
    }

    /// The process.
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The form of its values.
    pub const fn output(&self) -> &Output {
        &self.output
    }

    /// 1 for a scalar.
    pub const fn elements(&self) -> u8 {
        self.elements
    }
}

/// When a sensor is read, and where the device is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// Unix microseconds.
    pub t_us: i64,
    /// The receiver's fix; for sensors of [`Model::Gps`].
    pub fix: Fix,
}

impl Moment {
    /// A moment of a device that has no satellite receiver.
    pub fn at(t_us: i64) -> Self {
        Self { t_us, fix: Fix::default() }
    }
}

/// Room for the bytes of vectors and blobs, handed out piece by piece; the values borrow from it.
#[derive(Debug)]
pub struct Scratch<'a>(&'a mut [u8]);

impl<'a> Scratch<'a> {
    /// [`ROW_BYTES_MAX`](senda_wire::registry::ROW_BYTES_MAX) bytes suffice for any row.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    /// The next `len` bytes; fewer where it ends, which no row of a valid schema meets.
    fn take(&mut self, len: usize) -> &'a mut [u8] {
        let bytes = std::mem::take(&mut self.0);
        let (piece, rest) = bytes.split_at_mut(len.min(bytes.len()));
        self.0 = rest;
        piece
    }
}

/// What one sensor remembers.
#[derive(Clone, Debug)]
pub struct Sensor {
    rng: Generator,
    at_us: i64,
    state: State,
}

impl Sensor {
    /// A sensor that has been running for long at `t_us`.
    pub fn new(spec: &Spec, seed: u64, t_us: i64) -> Self {
        let mut rng = crate::seed::generator(seed);
        let mut start = || State::start(&spec.model, spec.spread, t_us, &mut rng);
        let state = match spec.model {
            Model::Acceleration { .. } => start(),
            _ if spec.elements == 1 => start(),
            _ => State::Elements((0..spec.elements).map(|_| start()).collect()),
        };
        Self { rng, at_us: t_us, state }
    }

    /// Reads it. `spec` is the one that it was made with.
    ///
    /// A moment before the last one leaves the process where it is, as a clock that is set back
    /// doesn't undo what has happened.
    pub fn sample<'a>(
        &mut self,
        spec: &'a Spec,
        moment: &Moment,
        scratch: &mut Scratch<'a>,
    ) -> Value<'a> {
        let step = Step { t_us: moment.t_us, span_s: seconds_between(self.at_us, moment.t_us) };
        self.at_us = self.at_us.max(moment.t_us);
        match (&spec.model, &spec.output) {
            (&Model::Counter { rate, restart_s, .. }, Output::Number(scale)) => {
                let rate = rate * scale.counts_per_unit();
                scale.count(self.state.count(rate, restart_s, step, &mut self.rng))
            }
            (Model::Status { cumulative, hold_s }, output) => {
                let choice = self.state.choice(cumulative, *hold_s, step, &mut self.rng);
                match output {
                    Output::Text(texts) => Value::Text(&texts[usize::from(choice)]),
                    _ => Value::Enum(choice),
                }
            }
            (&Model::LastEvent { every_s, resolution_us }, _) => {
                Value::Time(self.state.happened(every_s, resolution_us, step, &mut self.rng))
            }
            (&Model::Bytes { min_len, max_len }, _) => {
                let len = self.rng.random_range(min_len..=max_len);
                let bytes = scratch.take(usize::from(len));
                self.rng.fill(bytes);
                Value::Blob(bytes)
            }
            (
                &Model::Acceleration { vibration, frequency_hz, noise, .. },
                Output::Number(scale),
            ) => {
                let shake = (vibration, frequency_hz, noise);
                let axes = self.state.axes(shake, step, &mut self.rng);
                vector(scale, axes.into_iter(), scratch)
            }
            (Model::Gps(field), Output::Number(scale)) => scale.value(field.of(&moment.fix)),
            (model, output) => self.number(model, output, step, scratch),
        }
    }

    fn number<'a>(
        &mut self,
        model: &Model,
        output: &Output,
        step: Step,
        scratch: &mut Scratch<'a>,
    ) -> Value<'a> {
        let rng = &mut self.rng;
        match (&mut self.state, output) {
            (State::Elements(states), Output::Number(scale)) => {
                let numbers = states.iter_mut().map(|state| state.number(model, step, rng));
                vector(scale, numbers, scratch)
            }
            (state, Output::Number(scale)) => scale.value(state.number(model, step, rng)),
            (state, _) => Value::Bool(state.number(model, step, rng) >= 0.5),
        }
    }
}

/// Writes the elements as they stand on the wire, and borrows them.
fn vector<'a>(
    scale: &Scale,
    numbers: impl ExactSizeIterator<Item = f64>,
    scratch: &mut Scratch<'a>,
) -> Value<'a> {
    let size = scale.value_type().size().unwrap_or(1);
    let bytes = scratch.take(size * numbers.len());
    for (number, place) in numbers.zip(bytes.chunks_exact_mut(size)) {
        write_number(scale.value(number), place);
    }
    let vector = Vector::new(scale.value_type(), bytes);
    vector.map_or(scale.value(0.0), Value::Vector) // A number type and whole elements: always some.
}

/// Big-endian, as in a row. Spec §4.3.
fn write_number(value: Value<'_>, place: &mut [u8]) {
    match value {
        Value::U8(x) => place.copy_from_slice(&x.to_be_bytes()),
        Value::U16(x) => place.copy_from_slice(&x.to_be_bytes()),
        Value::U32(x) => place.copy_from_slice(&x.to_be_bytes()),
        Value::U64(x) => place.copy_from_slice(&x.to_be_bytes()),
        Value::I8(x) => place.copy_from_slice(&x.to_be_bytes()),
        Value::I16(x) => place.copy_from_slice(&x.to_be_bytes()),
        Value::I32(x) => place.copy_from_slice(&x.to_be_bytes()),
        Value::I64(x) => place.copy_from_slice(&x.to_be_bytes()),
        Value::F32(x) => place.copy_from_slice(&x.to_be_bytes()),
        Value::F64(x) => place.copy_from_slice(&x.to_be_bytes()),
        _ => unreachable!("a scale gives numbers"),
    }
}

/// Seconds from one moment to a later one; 0 if it is earlier.
fn seconds_between(from_us: i64, to_us: i64) -> f64 {
    to_us.saturating_sub(from_us).max(0) as f64 * 1e-6
}
