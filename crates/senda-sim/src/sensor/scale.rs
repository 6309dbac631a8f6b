//! From a physical quantity to what a sensor says: resolution, range, type.

use senda_wire::{Value, ValueType};

/// How a number becomes a value: rounded to the resolution, clamped to the range, scaled by the
/// channel's exponent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    value_type: ValueType,
    grid: Grid,
}

/// The values that the type, the resolution and the range leave.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Grid {
    /// Multiples of `step` from `low` to `high`, in raw counts; `x` has `x × factor / divisor` of
    /// them. (A power of ten below 1 would not be exact.)
    Whole { factor: f64, divisor: f64, step: i128, low: i128, high: i128 },
    /// k / per_unit: 0.1 is 1 / 10, the float closest to it, which 1 × 0.1 need not be.
    Fraction { per_unit: f64, low: f64, high: f64 },
    /// k × step.
    Multiple { step: f64, low: f64, high: f64 },
    /// Whatever the float can hold.
    Smooth { low: f64, high: f64 },
}

/// Resolution and range of a channel; `None` is what its type allows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Step between neighbouring values.
    pub resolution: Option<f64>,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
}

/// Why type, exponent, resolution and range don't fit together.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScaleError {
    /// Only the integers and floats have a scale.
    #[error("{} is not a number", value_type.name())]
    NotANumber {
        /// The type.
        value_type: ValueType,
    },
    /// Only integers have an exponent.
    #[error("exponent {exponent}: integers have -18 to 18, other types 0")]
    Exponent {
        /// The exponent.
        exponent: i8,
    },
    /// The resolution is no positive number, or finer than what one count of the integer is worth.
    #[error("resolution {resolution} is not a positive multiple of {unit}")]
    Resolution {
        /// The resolution.
        resolution: f64,
        /// What one count is worth: 10^exponent.
        unit: f64,
    },
    /// No value lies between min and max.
    #[error("no value of the resolution lies between min {min} and max {max}")]
    Range {
        /// The smallest value allowed.
        min: f64,
        /// The largest value allowed.
        max: f64,
    },
}

impl Scale {
    /// Checks that the four fit together.
    ///
    /// # Errors
    /// See [`ScaleError`].
    pub fn new(value_type: ValueType, exponent: i8, limits: Limits) -> Result<Self, ScaleError> {
        let finite = |bound: &f64| bound.is_finite();
        let (min, max) = (limits.min.filter(finite), limits.max.filter(finite));
        let bounds = (min.unwrap_or(f64::NEG_INFINITY), max.unwrap_or(f64::INFINITY));
        let grid = if value_type.is_integer() {
            whole_grid(value_type, exponent, limits.resolution, bounds)?
        } else if matches!(value_type, ValueType::F32 | ValueType::F64) {
            if exponent != 0 {
                return Err(ScaleError::Exponent { exponent });
            }
            float_grid(limits.resolution, bounds)?
        } else {
            return Err(ScaleError::NotANumber { value_type });
        };
        Ok(Self { value_type, grid })
    }

    /// The type of the values.
    pub const fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// The value closest to `x` that the sensor can give.
    pub fn value(&self, x: f64) -> Value<'static> {
        match self.grid {
            Grid::Whole { factor, divisor, step, low, high } => {
                let steps = round(x * factor / divisor / to_f64(step));
                self.whole(steps.saturating_mul(step).clamp(low, high))
            }
            Grid::Fraction { per_unit, low, high } => {
                self.float((x * per_unit).round().clamp(low, high) / per_unit)
            }
            Grid::Multiple { step, low, high } => {
                self.float((x / step).round().clamp(low, high) * step)
            }
            Grid::Smooth { low, high } => self.float(x.clamp(low, high)),
        }
    }

    /// A raw count as it is, for counters. Beyond the type it starts again from 0.
    pub fn count(&self, count: u64) -> Value<'static> {
        let (_, highest) = raw_range(self.value_type);
        self.whole(i128::from(count) % (highest + 1))
    }

    /// Counts in one unit of the quantity; 1 for floats.
    pub fn counts_per_unit(&self) -> f64 {
        match self.grid {
            Grid::Whole { factor, divisor, .. } => factor / divisor,
            _ => 1.0,
        }
    }

    fn whole(&self, raw: i128) -> Value<'static> {
        /// `raw` lies within the type's range: `whole_grid` and `count` see to it.
        fn fit<T: TryFrom<i128>>(raw: i128) -> T {
            T::try_from(raw).unwrap_or_else(|_| unreachable!("clamped to the type"))
        }
        match self.value_type {
            ValueType::U8 => Value::U8(fit(raw)),
            ValueType::U16 => Value::U16(fit(raw)),
            ValueType::U32 => Value::U32(fit(raw)),
            ValueType::U64 => Value::U64(fit(raw)),
            ValueType::I8 => Value::I8(fit(raw)),
            ValueType::I16 => Value::I16(fit(raw)),
            ValueType::I32 => Value::I32(fit(raw)),
            _ => Value::I64(fit(raw)),
        }
    }

    fn float(&self, x: f64) -> Value<'static> {
        let x = x + 0.0; // No sensor says -0.
        if self.value_type == ValueType::F64 {
            return Value::F64(x);
        }
        #[expect(clippy::cast_possible_truncation, reason = "to the closest f32 is meant")]
        Value::F32(x as f32)
    }
}

fn whole_grid(
    value_type: ValueType,
    exponent: i8,
    resolution: Option<f64>,
    (min, max): (f64, f64),
) -> Result<Grid, ScaleError> {
    if exponent.unsigned_abs() > 18 {
        return Err(ScaleError::Exponent { exponent }); // Spec §4.2.
    }
    let power = 10f64.powi(exponent.unsigned_abs().into()); // Exact up to 10^22.
    let (factor, divisor) = if exponent < 0 { (power, 1.0) } else { (1.0, power) };
    let counts = resolution.unwrap_or(divisor / factor) * factor / divisor;
    let step = round(counts);
    // 0.1 × 100 may miss 10 by an ulp or two: that is meant as 10.
    if step < 1 || (counts - to_f64(step)).abs() > counts * 1e-9 {
        let resolution = resolution.unwrap_or_default();
        return Err(ScaleError::Resolution { resolution, unit: divisor / factor });
    }
    let (lowest, highest) = raw_range(value_type);
    let to_steps = |bound: f64| nudge(bound * factor / divisor / to_f64(step));
    let low = round(to_steps(min).ceil()).saturating_mul(step).max(next_multiple(lowest, step));
    let high = round(to_steps(max).floor()).saturating_mul(step).min(highest / step * step);
    if low > high {
        return Err(ScaleError::Range { min, max });
    }
    Ok(Grid::Whole { factor, divisor, step, low, high })
}

fn float_grid(resolution: Option<f64>, (min, max): (f64, f64)) -> Result<Grid, ScaleError> {
    let Some(resolution) = resolution else {
        let grid = Grid::Smooth { low: min, high: max };
        return if min <= max { Ok(grid) } else { Err(ScaleError::Range { min, max }) };
    };
    if !resolution.is_normal() || resolution < 0.0 {
        return Err(ScaleError::Resolution { resolution, unit: 0.0 });
    }
    let steps = |bound: f64| nudge(bound / resolution);
    let (low, high) = (steps(min).ceil(), steps(max).floor());
    if low > high {
        return Err(ScaleError::Range { min, max });
    }
    let per_unit = resolution.recip().round();
    let is_fraction = (resolution.recip() - per_unit).abs() <= per_unit * 1e-9;
    Ok(if is_fraction {
        Grid::Fraction { per_unit, low, high }
    } else {
        Grid::Multiple { step: resolution, low, high }
    })
}

/// The integer next to `x` when it is one but for an ulp or two: 0.3 / 0.1 is 3, not 2.999.
fn nudge(x: f64) -> f64 {
    if (x - x.round()).abs() <= x.abs() * 1e-12 { x.round() } else { x }
}

/// Smallest and largest raw count.
fn raw_range(value_type: ValueType) -> (i128, i128) {
    let bits = value_type.size().unwrap_or(8) * 8;
    let signed =
        matches!(value_type, ValueType::I8 | ValueType::I16 | ValueType::I32 | ValueType::I64);
    if signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) }
}

/// The smallest multiple of `step` that is not below `low`, which is 0 or negative.
fn next_multiple(low: i128, step: i128) -> i128 {
    low / step * step // Division rounds towards 0.
}

/// Half away from zero; beyond i128 the end of it.
fn round(x: f64) -> i128 {
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and is clamped by the caller")]
    {
        x.round() as i128
    }
}

fn to_f64(count: i128) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANY: Limits = Limits { resolution: None, min: None, max: None };

    fn scale(value_type: ValueType, exponent: i8, limits: Limits) -> Scale {
        Scale::new(value_type, exponent, limits).unwrap()
    }

    #[test]
    fn integers_are_scaled_by_the_exponent_and_rounded_half_away_from_zero() {
        let centi = scale(ValueType::I16, -2, ANY);
        assert_eq!(centi.value(21.37), Value::I16(2_137));
        assert_eq!(centi.value(0.125), Value::I16(13));
        assert_eq!(centi.value(-0.125), Value::I16(-13));
        assert_eq!(scale(ValueType::U16, 3, ANY).value(41_499.0), Value::U16(41));
        assert_eq!(scale(ValueType::I32, -7, ANY).value(-3.703_79), Value::I32(-37_037_900));
        assert_eq!(
            scale(ValueType::I64, -18, ANY).value(1.0),
            Value::I64(1_000_000_000_000_000_000)
        );
    }

    #[test]
    fn a_resolution_leaves_only_its_multiples() {
        let limits = Limits { resolution: Some(0.04), ..ANY };
        let coarse = scale(ValueType::I16, -2, limits);
        assert_eq!(coarse.value(21.37), Value::I16(2_136));
        assert_eq!(coarse.value(-0.05), Value::I16(-4));
        let tens = scale(ValueType::U32, 0, Limits { resolution: Some(10.0), ..ANY });
        assert_eq!(tens.value(1_234.0), Value::U32(1_230));
        let sixteenth = scale(ValueType::F64, 0, Limits { resolution: Some(0.0625), ..ANY });
        assert_eq!(sixteenth.value(21.34), Value::F64(21.3125));
        let fives = scale(ValueType::F32, 0, Limits { resolution: Some(5.0), ..ANY });
        assert_eq!(fives.value(12.6), Value::F32(15.0));
    }

    #[test]
    fn values_outside_the_range_are_clamped_to_its_ends() {
        let limits = Limits { resolution: Some(0.5), min: Some(-40.2), max: Some(85.0) };
        let sensor = scale(ValueType::I16, -1, limits);
        assert_eq!(sensor.value(1e9), Value::I16(850));
        assert_eq!(sensor.value(-1e9), Value::I16(-400), "the first step within the range");
        let float = scale(ValueType::F32, 0, limits);
        assert_eq!((float.value(1e9), float.value(-1e9)), (Value::F32(85.0), Value::F32(-40.0)));
    }

    #[test]
    fn without_a_range_the_ends_of_the_type_are_the_range() {
        assert_eq!(scale(ValueType::U8, 0, ANY).value(-3.0), Value::U8(0));
        assert_eq!(scale(ValueType::U8, 0, ANY).value(300.0), Value::U8(255));
        assert_eq!(scale(ValueType::I8, 0, ANY).value(-300.0), Value::I8(-128));
        assert_eq!(scale(ValueType::U64, 0, ANY).value(f64::INFINITY), Value::U64(u64::MAX));
        assert_eq!(scale(ValueType::I64, 0, ANY).value(f64::NEG_INFINITY), Value::I64(i64::MIN));
        let threes = scale(ValueType::I8, 0, Limits { resolution: Some(3.0), ..ANY });
        assert_eq!((threes.value(-300.0), threes.value(300.0)), (Value::I8(-126), Value::I8(126)));
    }

    #[test]
    fn a_counter_starts_again_from_0_beyond_its_type() {
        let byte = scale(ValueType::U8, 0, ANY);
        assert_eq!((byte.count(255), byte.count(256)), (Value::U8(255), Value::U8(0)));
        assert_eq!(scale(ValueType::U64, 0, ANY).count(u64::MAX), Value::U64(u64::MAX));
        assert_eq!(scale(ValueType::I8, 0, ANY).count(128), Value::I8(0));
    }

    #[test]
    fn what_does_not_fit_together_is_refused_with_its_reason() {
        let message = |value_type, exponent, limits| {
            Scale::new(value_type, exponent, limits).unwrap_err().to_string()
        };
        assert_eq!(message(ValueType::Text, 0, ANY), "text is not a number");
        assert_eq!(
            message(ValueType::F32, -1, ANY),
            "exponent -1: integers have -18 to 18, other types 0"
        );
        let fine = Limits { resolution: Some(0.01), ..ANY };
        assert_eq!(
            message(ValueType::I16, -1, fine),
            "resolution 0.01 is not a positive multiple of 0.1"
        );
        let gap = Limits { resolution: Some(10.0), min: Some(11.0), max: Some(19.0) };
        assert_eq!(
            message(ValueType::U8, 0, gap),
            "no value of the resolution lies between min 11 and max 19"
        );
    }

    proptest! {
        #[test]
        fn floats_are_the_closest_to_their_decimal(x in -1e6..1e6f64, digits in 0..6i32) {
            let resolution = 10f64.powi(-digits);
            let limits = Limits { resolution: Some(resolution), ..ANY };
            let Value::F64(value) = scale(ValueType::F64, 0, limits).value(x) else { unreachable!() };
            let precision = usize::try_from(digits).unwrap();
            prop_assert_eq!(value, format!("{value:.precision$}").parse::<f64>().unwrap());
            prop_assert!((value - x).abs() <= resolution * 0.500_001);
        }

        #[test]
        fn integers_lie_on_the_grid_within_the_range_and_close_to_the_quantity(
            x in -500.0..500.0f64, steps in 1..40i32, (low, width) in (-300..0i32, 1..600i32),
        ) {
            let limits = Limits {
                resolution: Some(f64::from(steps) / 10.0),
                min: Some(low.into()),
                max: Some((low + width).into()),
            };
            // A range narrower than a step may hold no value.
            if let Ok(sensor) = Scale::new(ValueType::I16, -1, limits) {
                let Value::I16(raw) = sensor.value(x) else { unreachable!() };
                let raw = i32::from(raw);
                prop_assert_eq!(raw % steps, 0);
                prop_assert!((low * 10..=(low + width) * 10).contains(&raw));
                let clamped = x.clamp(low.into(), (low + width).into());
                prop_assert!((f64::from(raw) / 10.0 - clamped).abs() <= f64::from(steps) / 10.0);
            }
        }
    }
}
