//! A value with its type and unit: as a number to compare, as text, as JSON.

use senda_store::{ChannelInfo, Value};
use senda_wire::ValueType;

use super::rule::Expected;
use crate::json::{json_of, text_of};

/// A value that a rule saw, or that it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    /// The value; integers are raw.
    pub value: Value,
    /// Its type on the wire.
    pub value_type: ValueType,
    /// value = raw × 10^exponent.
    pub exponent: i8,
    /// Its unit, or empty.
    pub unit: String,
}

impl Quantity {
    /// A number of ours, such as a threshold.
    pub(super) fn number(number: f64, unit: &str) -> Self {
        Self::plain(Value::F64(number), ValueType::F64, unit)
    }

    /// What a device sent.
    pub(super) fn measured(value: &Value, channel: &ChannelInfo) -> Self {
        let scaled = matches!(value, Value::Unsigned(_) | Value::Signed(_));
        let (value_type, exponent) =
            (channel.value_type, if scaled { channel.exponent } else { 0 });
        Self { value: value.clone(), value_type, exponent, unit: channel.unit.clone() }
    }

    /// What a value is compared with.
    pub(super) fn expected(expected: &Expected, unit: &str) -> Self {
        match expected {
            Expected::Number(number) => Self::number(*number, unit),
            Expected::Integer(number) => Self::plain(Value::Signed(*number), ValueType::I64, unit),
            Expected::Bool(value) => Self::plain(Value::Bool(*value), ValueType::Bool, ""),
            Expected::Text(text) => Self::plain(Value::Text(text.clone()), ValueType::Text, ""),
        }
    }

    fn plain(value: Value, value_type: ValueType, unit: &str) -> Self {
        Self { value, value_type, exponent: 0, unit: unit.to_owned() }
    }

    /// As people read it, without the unit: `21.5`, `open`. Scaled integers are exact decimals.
    pub fn text(&self) -> String {
        text_of(&self.value, self.exponent)
    }

    /// As JSON; what JSON can't hold exactly (NaN, infinities, long decimals) is a string.
    pub fn json(&self) -> serde_json::Value {
        json_of(&self.value, self.exponent)
    }
}

/// The value as a number to compare; `None` for what is no number.
///
/// A scaled integer is the f64 nearest to its decimal. So is an f32, whose decimal is the shortest that stands for it: 0.1
/// as f32 is not above 0.1.
pub(super) fn number(value: &Value, exponent: i8) -> Option<f64> {
    Some(match value {
        Value::Unsigned(raw) => nearest((*raw).into(), exponent),
        Value::Signed(raw) => nearest((*raw).into(), exponent),
        Value::F32(value) if value.is_finite() && value.fract() != 0.0 => {
            value.to_string().parse().unwrap_or(f64::from(*value))
        }
        Value::F32(value) => f64::from(*value),
        Value::F64(value) => *value,
        _ => return None,
    })
}

/// Whether the value is the expected one; `None` for a value of another kind, and for NaN.
pub(super) fn equals(value: &Value, exponent: i8, expected: &Expected) -> Option<bool> {
    match (value, expected) {
        (Value::Bool(value), Expected::Bool(expected)) => Some(value == expected),
        (Value::Text(value), Expected::Text(expected)) => Some(value == expected),
        (Value::Enum(_, label), Expected::Text(expected)) => Some(**label == **expected),
        (Value::Unsigned(raw), Expected::Integer(expected)) => {
            Some(is_exactly((*raw).into(), exponent, (*expected).into()))
        }
        (Value::Signed(raw), Expected::Integer(expected)) => {
            Some(is_exactly((*raw).into(), exponent, (*expected).into()))
        }
        (_, Expected::Integer(expected)) => {
            equals(value, exponent, &Expected::Number(*expected as f64))
        }
        (_, Expected::Number(expected)) => number(value, exponent)
            .filter(|number| !number.is_nan())
            .map(|number| number == *expected),
        _ => None,
    }
}

/// raw × 10^exponent = expected, without rounding. No product overflows: 2^64 × 10^18 is below 2^124.
fn is_exactly(raw: i128, exponent: i8, expected: i128) -> bool {
    let power = power_of_ten(exponent);
    if exponent < 0 { raw == expected * power } else { raw * power == expected }
}

/// The f64 nearest to raw × 10^exponent.
fn nearest(raw: i128, exponent: i8) -> f64 {
    const EXACT: u128 = 1 << f64::MANTISSA_DIGITS;
    if raw.unsigned_abs() > EXACT {
        // Two roundings, one of them of `raw`, could miss it.
        return format!("{raw}e{exponent}").parse().unwrap_or(f64::NAN);
    }
    // Both are exact here, so there is one rounding.
    let (raw, power) = (raw as f64, power_of_ten(exponent) as f64);
    if exponent < 0 { raw / power } else { raw * power }
}

/// 10^|exponent|; exponents are -18 to 18 (spec §4.2).
fn power_of_ten(exponent: i8) -> i128 {
    10_i128.pow(u32::from(exponent.unsigned_abs()).min(18))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_compared_as_the_decimal_that_people_read() {
        assert_eq!(number(&Value::Signed(215), -1), Some(21.5));
        assert_eq!(number(&Value::Unsigned(3), -1), Some(0.3), "3 × 0.1 is not 0.3, 3 / 10 is");
        assert_eq!(number(&Value::F32(0.1), 0), Some(0.1));
        assert_eq!(number(&Value::Unsigned(u64::MAX), -18), Some(18.446_744_073_709_553));
        assert_eq!(number(&Value::Signed(-7), 18), Some(-7e18));
        assert!(number(&Value::F32(f32::NAN), 0).unwrap().is_nan());
        assert_eq!(number(&Value::F32(f32::INFINITY), 0), Some(f64::INFINITY));
        assert_eq!(number(&Value::Bool(true), 0), None);
        assert_eq!(number(&Value::Text("1".into()), 0), None);
    }

    #[test]
    fn equality_is_exact() {
        let integer = Expected::Integer;
        assert_eq!(equals(&Value::Unsigned(1 << 53), 0, &integer((1 << 53) + 1)), Some(false));
        assert_eq!(equals(&Value::Signed(i64::MIN), 0, &integer(i64::MIN)), Some(true));
        assert_eq!(equals(&Value::Signed(210), -1, &integer(21)), Some(true));
        assert_eq!(equals(&Value::Signed(215), -1, &integer(21)), Some(false));
        assert_eq!(equals(&Value::Unsigned(u64::MAX), 18, &integer(i64::MAX)), Some(false));
        assert_eq!(equals(&Value::F64(3.0), 0, &integer(3)), Some(true));
        assert_eq!(equals(&Value::F64(-0.0), 0, &integer(0)), Some(true));
        assert_eq!(equals(&Value::F32(0.1), 0, &Expected::Number(0.1)), Some(true));
        assert_eq!(equals(&Value::F64(f64::NAN), 0, &integer(0)), None);
        assert_eq!(
            equals(&Value::Enum(1, "open".into()), 0, &Expected::Text("open".into())),
            Some(true)
        );
        assert_eq!(equals(&Value::Enum(1, "open".into()), 0, &integer(1)), None);
        assert_eq!(equals(&Value::Bool(true), 0, &Expected::Text("true".into())), None);
    }
}
