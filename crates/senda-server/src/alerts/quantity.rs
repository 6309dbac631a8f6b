//! A value with its type and unit: as a number to compare, as text, as JSON.

use senda_store::{ChannelInfo, Value};
use senda_wire::ValueType;

use super::rule::Expected;

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
        match &self.value {
            Value::Bool(value) => value.to_string(),
            Value::Unsigned(raw) => scaled((*raw).into(), self.exponent),
            Value::Signed(raw) | Value::Time(raw) => scaled((*raw).into(), self.exponent),
            Value::F32(value) => value.to_string(),
            Value::F64(value) => value.to_string(),
            Value::Text(text) => text.clone(),
            Value::Enum(_, label) => label.to_string(),
            // No rule is about these as a whole.
            Value::Blob(_) | Value::Vector(_) => String::new(),
        }
    }

    /// As JSON: a number where it reads back as the same decimal, else a string (NaN, infinities, long decimals).
    pub fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Bool(value) => (*value).into(),
            Value::Unsigned(raw) if self.exponent == 0 => (*raw).into(),
            Value::Signed(raw) | Value::Time(raw) if self.exponent == 0 => (*raw).into(),
            Value::Text(_) | Value::Enum(..) => self.text().into(),
            _ => {
                let text = self.text();
                match text.parse::<f64>() {
                    Ok(number) if number.is_finite() && number.to_string() == text => number.into(),
                    _ => text.into(),
                }
            }
        }
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

/// raw × 10^exponent, exactly.
fn scaled(raw: i128, exponent: i8) -> String {
    let power = power_of_ten(exponent);
    if exponent >= 0 {
        return (raw * power).to_string();
    }
    let sign = if raw < 0 { "-" } else { "" };
    let (whole, rest) =
        (raw.unsigned_abs() / power.unsigned_abs(), raw.unsigned_abs() % power.unsigned_abs());
    let rest = format!("{rest:0>width$}", width = usize::from(exponent.unsigned_abs()));
    let rest = rest.trim_end_matches('0');
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(value: Value, exponent: i8) -> Quantity {
        Quantity { value, value_type: ValueType::I64, exponent, unit: String::new() }
    }

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

    #[test]
    fn texts_and_json_are_exact() {
        assert_eq!(quantity(Value::Signed(-5), -3).text(), "-0.005");
        assert_eq!(quantity(Value::Signed(200), -1).text(), "20");
        assert_eq!(quantity(Value::Signed(7), 3).text(), "7000");
        assert_eq!(quantity(Value::Signed(215), -1).json().to_string(), "21.5");
        assert_eq!(quantity(Value::Unsigned(u64::MAX), 0).json().to_string(), u64::MAX.to_string());
        assert_eq!(quantity(Value::Unsigned(u64::MAX), -18).json(), "18.446744073709551615");
        assert_eq!(quantity(Value::F64(f64::NAN), 0).json(), "NaN");
        assert_eq!(quantity(Value::F64(f64::INFINITY), 0).json(), "inf");
        assert_eq!(quantity(Value::F32(0.1), 0).json().to_string(), "0.1");
        assert_eq!(quantity(Value::F64(30.0), 0).json().to_string(), "30.0");
        assert_eq!(quantity(Value::Text("5".into()), 0).json(), "5");
    }
}
