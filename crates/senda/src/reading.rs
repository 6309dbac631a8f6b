//! Values as text and as JSON. Scaled integers become exact decimals.

use senda_store::{ChannelInfo, Value};
use serde_json::json;

/// The value as people read it: `21.5`, `open`, `[0.1, 9.8]`, `0x0AFF` for blobs.
pub(crate) fn text(value: &Value, channel: &ChannelInfo) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Unsigned(raw) => scaled((*raw).into(), channel.exponent),
        Value::Signed(raw) => scaled((*raw).into(), channel.exponent),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::Text(value) => value.clone(),
        Value::Blob(bytes) => hex(bytes),
        Value::Enum(_, label) => label.to_string(),
        Value::Time(micros) => time(*micros),
        Value::Vector(elements) => {
            let elements: Vec<String> =
                elements.iter().map(|element| text(element, channel)).collect();
            format!("[{}]", elements.join(", "))
        }
    }
}

/// The value as JSON; what JSON can't hold exactly (NaN, infinities, long decimals) is a string.
pub(crate) fn json(value: &Value, channel: &ChannelInfo) -> serde_json::Value {
    match value {
        Value::Bool(value) => json!(value),
        Value::Unsigned(raw) if channel.exponent == 0 => json!(raw),
        Value::Signed(raw) if channel.exponent == 0 => json!(raw),
        Value::F32(value) if value.is_finite() => float(&value.to_string()),
        Value::F64(value) if value.is_finite() => float(&value.to_string()),
        Value::Unsigned(_) | Value::Signed(_) => float(&text(value, channel)),
        Value::Vector(elements) => elements.iter().map(|element| json(element, channel)).collect(),
        _ => json!(text(value, channel)),
    }
}

/// A decimal as a JSON number, if the number reads back as the same decimal; else as a string.
fn float(decimal: &str) -> serde_json::Value {
    match decimal.parse::<f64>() {
        Ok(number) if number.to_string() == decimal => json!(number),
        _ => json!(decimal),
    }
}

/// raw × 10^exponent, exactly.
pub(crate) fn scaled(raw: i128, exponent: i8) -> String {
    let digits = raw.unsigned_abs().to_string();
    let sign = if raw < 0 { "-" } else { "" };
    match usize::from(exponent.unsigned_abs()) {
        0 => format!("{sign}{digits}"),
        zeros if exponent > 0 && raw != 0 => format!("{sign}{digits}{}", "0".repeat(zeros)),
        _ if raw == 0 => "0".to_owned(),
        places => {
            let digits = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = digits.split_at(digits.len() - places);
            let fraction = fraction.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            format!("{sign}{whole}{point}{fraction}")
        }
    }
}

/// RFC 3339 in UTC, microseconds where there are any.
pub(crate) fn time(micros: i64) -> String {
    // Every plausible time is within the calendar; the ends of i64 are not.
    jiff::Timestamp::from_microsecond(micros)
        .map_or_else(|_| format!("{micros}us"), |time| time.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("0x"), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_integers_are_exact_decimals() {
        assert_eq!(scaled(215, -1), "21.5");
        assert_eq!(scaled(-5, -3), "-0.005");
        assert_eq!(scaled(200, -1), "20");
        assert_eq!(scaled(7, 3), "7000");
        assert_eq!(scaled(0, 3), "0");
        assert_eq!(scaled(0, -3), "0");
        assert_eq!(scaled(i128::from(u64::MAX), -18), "18.446744073709551615");
        assert_eq!(scaled(i128::from(i64::MIN), 0), "-9223372036854775808");
    }

    #[test]
    fn json_numbers_read_back_as_what_was_stored() {
        let channel = |exponent| ChannelInfo {
            name: "c".into(),
            unit: String::new(),
            value_type: senda_wire::ValueType::I64,
            exponent,
            elements: 1,
            counter: false,
            labels: Vec::new(),
        };
        assert_eq!(json(&Value::Signed(215), &channel(-1)).to_string(), "21.5");
        assert_eq!(
            json(&Value::Unsigned(u64::MAX), &channel(0)).to_string(),
            "18446744073709551615"
        );
        assert_eq!(
            json(&Value::Unsigned(u64::MAX), &channel(-18)).to_string(),
            "\"18.446744073709551615\""
        );
        assert_eq!(json(&Value::F64(f64::NAN), &channel(0)).to_string(), "\"NaN\"");
        assert_eq!(json(&Value::F32(0.1), &channel(0)).to_string(), "0.1");
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(1_700_000_000_500_000), "2023-11-14T22:13:20.5Z");
        assert_eq!(time(i64::MAX), "9223372036854775807us");
    }
}
