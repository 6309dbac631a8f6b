//! Values as text and as JSON, and typed values out of JSON. Scaled integers are exact decimals.

use senda_session::device::{Argument, OwnedValue};
use senda_store::{ChannelInfo, Sample, Value};
use senda_wire::{List, NamedValue, ValueType};
use serde_json::{Value as Json, json};

/// The value as people read it: `21.5`, `open`, `[0.1, 9.8]`, `0x0AFF` for blobs.
pub fn text(value: &Value, channel: &ChannelInfo) -> String {
    text_of(value, channel.exponent)
}

/// The value as JSON; what JSON can't hold exactly (NaN, infinities, long decimals) is a string.
pub fn json(value: &Value, channel: &ChannelInfo) -> Json {
    json_of(value, channel.exponent)
}

/// The same of a raw value and its exponent.
pub(crate) fn text_of(value: &Value, exponent: i8) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Unsigned(raw) => scaled((*raw).into(), exponent),
        Value::Signed(raw) => scaled((*raw).into(), exponent),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::Text(value) => value.clone(),
        Value::Blob(bytes) => hex(bytes),
        Value::Enum(_, label) => label.to_string(),
        Value::Time(micros) => time(*micros),
        Value::Vector(elements) => {
            let elements: Vec<String> =
                elements.iter().map(|element| text_of(element, exponent)).collect();
            format!("[{}]", elements.join(", "))
        }
    }
}

/// The same of a raw value and its exponent.
pub(crate) fn json_of(value: &Value, exponent: i8) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::Unsigned(raw) if exponent == 0 => json!(raw),
        Value::Signed(raw) if exponent == 0 => json!(raw),
        Value::F32(value) if value.is_finite() => float(&value.to_string()),
        Value::F64(value) if value.is_finite() => float(&value.to_string()),
        Value::Unsigned(_) | Value::Signed(_) => float(&text_of(value, exponent)),
        Value::Vector(elements) => {
            elements.iter().map(|element| json_of(element, exponent)).collect()
        }
        _ => json!(text_of(value, exponent)),
    }
}

/// A decimal as a JSON number, if the number reads back as the same decimal; else as a string.
pub fn float(decimal: &str) -> Json {
    match decimal.parse::<f64>() {
        Ok(number) if number.to_string() == decimal => json!(number),
        _ => json!(decimal),
    }
}

/// A sample as one object: when, whose, what, and its values by channel.
pub fn sample(sample: &Sample) -> Json {
    let channels = sample.table.channels.iter().zip(&sample.values);
    let values: serde_json::Map<_, _> = channels
        .filter_map(|(channel, value)| Some((channel.name.clone(), json(value.as_ref()?, channel))))
        .collect();
    let units = sample.table.channels.iter().filter(|channel| !channel.unit.is_empty());
    let units: serde_json::Map<_, _> =
        units.map(|channel| (channel.name.clone(), json!(channel.unit))).collect();
    json!({
        "time": time(sample.time),
        "device": &*sample.device,
        "stream": format!("{:016x}", sample.stream),
        "row": sample.row,
        "schema": sample.table.name,
        "values": values,
        "units": units,
        "device_time": sample.device_time,
        "clock": sample.clock.name(),
        "estimated": sample.estimated,
        "received": time(sample.received),
    })
}

/// raw × 10^exponent, exactly.
pub fn scaled(raw: i128, exponent: i8) -> String {
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
pub fn time(micros: i64) -> String {
    // Every plausible time is within the calendar; the ends of i64 are not.
    jiff::Timestamp::from_microsecond(micros)
        .map_or_else(|_| format!("{micros}us"), |time| time.to_string())
}

/// `0x00ff`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("0x"), |text, byte| text + &format!("{byte:02x}"))
}

/// A list (spec §4.4, count included) as an array of `{name, type, value}`; `exponent` where it is not 0, name where there
/// is one. A list that can't be read is null: it was checked before it was stored.
pub(crate) fn list(bytes: &[u8]) -> Json {
    let Ok(list) = List::decode(bytes) else { return Json::Null };
    list.iter().map(|entry| named(&entry)).collect()
}

fn named(entry: &NamedValue<'_>) -> Json {
    let typed = entry.typed;
    let mut object = serde_json::Map::new();
    if !entry.name.is_empty() {
        object.insert("name".into(), json!(entry.name));
    }
    object.insert("type".into(), json!(typed.value.value_type().name()));
    if typed.exponent != 0 {
        object.insert("exponent".into(), json!(typed.exponent));
    }
    let value = json_of(&Value::from_wire(&typed.value, &[]), typed.exponent);
    object.insert("value".into(), value);
    Json::Object(object)
}

/// A list (spec §4.4, count included) out of a JSON array. An element is `{name?, type?, exponent?, value}`, or a bare
/// value: true is a bool, 5 an i64 (u64 where it is larger), 2.5 an f64, the rest text.
///
/// # Errors
/// What is wrong with which element.
pub(crate) fn read_list(values: &[Json]) -> Result<Vec<u8>, String> {
    let arguments: Vec<Argument> = values
        .iter()
        .enumerate()
        .map(|(index, value)| argument(value).map_err(|what| format!("value {index}: {what}")))
        .collect::<Result<_, _>>()?;
    encode(&arguments)
}

/// The wire form of a list, count included.
pub(crate) fn encode(arguments: &[Argument]) -> Result<Vec<u8>, String> {
    let views: Option<Vec<NamedValue<'_>>> = arguments.iter().map(Argument::view).collect();
    let views = views.ok_or("a vector that is not a whole number of elements")?;
    let mut room = vec![0; LIST_MAX];
    let list = List::build(&views, &mut room).map_err(|error| error.to_string())?;
    let mut bytes = vec![u8::try_from(list.len()).map_err(|_| "more than 32 values")?];
    bytes.extend_from_slice(list.bytes());
    Ok(bytes)
}

fn argument(element: &Json) -> Result<Argument, String> {
    let Json::Object(object) = element else {
        return Ok(Argument::new("", bare(element)?));
    };
    if let Some(key) =
        object.keys().find(|key| !["name", "type", "exponent", "value"].contains(&key.as_str()))
    {
        return Err(format!("unknown key {key:?}; there are name, type, exponent and value"));
    }
    let name = match object.get("name") {
        None => "",
        Some(name) => name.as_str().ok_or("name is not a string")?,
    };
    let value = object.get("value").ok_or("value is missing")?;
    let exponent = match object.get("exponent") {
        None => 0,
        Some(exponent) => exponent
            .as_i64()
            .and_then(|exponent| i8::try_from(exponent).ok())
            .filter(|exponent| (-18..=18).contains(exponent))
            .ok_or("exponent is not between -18 and 18")?,
    };
    let value = match object.get("type") {
        None => bare(value)?,
        Some(of) => {
            let of = of.as_str().and_then(value_type).ok_or_else(|| {
                format!("type is none of {}", TYPES.map(|(name, _)| name).join(", "))
            })?;
            typed(of, exponent, value)?
        }
    };
    Ok(Argument { name: name.to_owned(), exponent, value })
}

fn bare(value: &Json) -> Result<OwnedValue, String> {
    match value {
        Json::Bool(value) => Ok(OwnedValue::Bool(*value)),
        Json::String(text) => Ok(OwnedValue::Text(text.clone())),
        Json::Number(number) => {
            let signed = number.as_i64().map(OwnedValue::I64);
            let value = signed.or_else(|| number.as_u64().map(OwnedValue::U64));
            value
                .or_else(|| number.as_f64().map(OwnedValue::F64))
                .ok_or_else(|| format!("{number} is no number that fits"))
        }
        other => Err(format!("{other} is no value: say {{\"type\": ..., \"value\": ...}}")),
    }
}

fn typed(of: ValueType, exponent: i8, value: &Json) -> Result<OwnedValue, String> {
    if let Json::Array(elements) = value {
        return vector(of, exponent, elements);
    }
    let wrong = || format!("{value} is no {}", of.name());
    let integer = |min: i128, max: i128| {
        raw(value, exponent).filter(|raw| (min..=max).contains(raw)).ok_or_else(wrong)
    };
    let unsigned = |max: u64| integer(0, max.into()).map(|raw| u64::try_from(raw).unwrap_or(0));
    let signed = |min: i64, max: i64| {
        integer(min.into(), max.into()).map(|raw| i64::try_from(raw).unwrap_or(0))
    };
    Ok(match of {
        ValueType::Bool => OwnedValue::Bool(value.as_bool().ok_or_else(wrong)?),
        ValueType::U8 => OwnedValue::U8(unsigned(u8::MAX.into())?.try_into().unwrap_or(0)),
        ValueType::U16 => OwnedValue::U16(unsigned(u16::MAX.into())?.try_into().unwrap_or(0)),
        ValueType::U32 => OwnedValue::U32(unsigned(u32::MAX.into())?.try_into().unwrap_or(0)),
        ValueType::U64 => OwnedValue::U64(unsigned(u64::MAX)?),
        ValueType::I8 => {
            OwnedValue::I8(signed(i8::MIN.into(), i8::MAX.into())?.try_into().unwrap_or(0))
        }
        ValueType::I16 => {
            OwnedValue::I16(signed(i16::MIN.into(), i16::MAX.into())?.try_into().unwrap_or(0))
        }
        ValueType::I32 => {
            OwnedValue::I32(signed(i32::MIN.into(), i32::MAX.into())?.try_into().unwrap_or(0))
        }
        ValueType::I64 => OwnedValue::I64(signed(i64::MIN, i64::MAX)?),
        ValueType::F32 => {
            OwnedValue::F32(decimal(value).and_then(|text| text.parse().ok()).ok_or_else(wrong)?)
        }
        ValueType::F64 => {
            OwnedValue::F64(decimal(value).and_then(|text| text.parse().ok()).ok_or_else(wrong)?)
        }
        ValueType::Text => OwnedValue::Text(value.as_str().ok_or_else(wrong)?.to_owned()),
        ValueType::Blob => OwnedValue::Blob(value.as_str().and_then(unhex).ok_or_else(|| {
            format!("{value} is no blob: say \"0x\" and pairs of hexadecimal digits")
        })?),
        ValueType::Time => OwnedValue::Time(match value {
            Json::String(text) => text
                .parse::<jiff::Timestamp>()
                .map_err(|_| {
                    format!(
                        "{value} is no time: say 2026-01-31T12:00:00Z, or microseconds since 1970"
                    )
                })?
                .as_microsecond(),
            other => other.as_i64().ok_or_else(wrong)?,
        }),
        ValueType::Enum8 => return Err("enum8 is not used here: say the label as text".to_owned()),
    })
}

fn vector(of: ValueType, exponent: i8, elements: &[Json]) -> Result<OwnedValue, String> {
    let mut bytes = Vec::new();
    for element in elements {
        match typed(of, exponent, element)? {
            OwnedValue::U8(value) => bytes.extend(value.to_be_bytes()),
            OwnedValue::U16(value) => bytes.extend(value.to_be_bytes()),
            OwnedValue::U32(value) => bytes.extend(value.to_be_bytes()),
            OwnedValue::U64(value) => bytes.extend(value.to_be_bytes()),
            OwnedValue::I8(value) => bytes.extend(value.to_be_bytes()),
            OwnedValue::I16(value) => bytes.extend(value.to_be_bytes()),
            OwnedValue::I32(value) => bytes.extend(value.to_be_bytes()),
            OwnedValue::I64(value) => bytes.extend(value.to_be_bytes()),
            OwnedValue::F32(value) => bytes.extend(value.to_be_bytes()),
            OwnedValue::F64(value) => bytes.extend(value.to_be_bytes()),
            _ => return Err(format!("a vector has numbers; {} is none", of.name())),
        }
    }
    if !(2..=64).contains(&elements.len()) {
        return Err(format!("a vector has 2 to 64 elements, not {}", elements.len()));
    }
    Ok(OwnedValue::Vector { element: of, bytes })
}

/// The raw integer of a decimal: value × 10^-exponent, if that is whole.
fn raw(value: &Json, exponent: i8) -> Option<i128> {
    let text = decimal(value)?;
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, &*text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || whole.len() + fraction.len() > 38 {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let raw: i128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = -i32::from(exponent) - i32::try_from(fraction.len()).ok()?;
    let factor = 10_i128.checked_pow(shift.unsigned_abs())?;
    let raw = match shift {
        0.. => raw.checked_mul(factor)?,
        _ if raw % factor == 0 => raw / factor,
        _ => return None,
    };
    Some(sign * raw)
}

/// A number, or a string that holds one (which keeps every digit).
fn decimal(value: &Json) -> Option<String> {
    match value {
        Json::Number(number) => Some(number.to_string()),
        Json::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?;
    if !digits.is_ascii() || digits.len() % 2 != 0 {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}

/// The type of this name; enum8 is among them, for its own message.
pub(crate) fn value_type(name: &str) -> Option<ValueType> {
    TYPES.iter().find(|(known, _)| *known == name).map(|(_, of)| *of)
}

const TYPES: [(&str, ValueType); 15] = [
    ("bool", ValueType::Bool),
    ("u8", ValueType::U8),
    ("u16", ValueType::U16),
    ("u32", ValueType::U32),
    ("u64", ValueType::U64),
    ("i8", ValueType::I8),
    ("i16", ValueType::I16),
    ("i32", ValueType::I32),
    ("i64", ValueType::I64),
    ("f32", ValueType::F32),
    ("f64", ValueType::F64),
    ("text", ValueType::Text),
    ("blob", ValueType::Blob),
    ("enum8", ValueType::Enum8),
    ("time", ValueType::Time),
];

/// Bytes of the longest list that fits any message.
const LIST_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(exponent: i8) -> ChannelInfo {
        ChannelInfo {
            name: "c".into(),
            unit: String::new(),
            value_type: ValueType::I64,
            exponent,
            elements: 1,
            counter: false,
            labels: Vec::new(),
        }
    }

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

    /// What goes into a list comes out of it, for every type.
    #[test]
    fn typed_values_come_back_as_they_were_given() {
        let given = json!([
            {"type": "bool", "value": true},
            {"name": "a", "type": "u8", "value": 255},
            {"type": "u16", "exponent": -1, "value": 21.5},
            {"type": "u32", "value": 4_294_967_295u32},
            {"type": "u64", "value": 18_446_744_073_709_551_615u64},
            {"type": "i8", "value": -128},
            {"type": "i16", "exponent": 2, "value": -300.0},
            {"type": "i32", "value": -1},
            {"type": "i64", "value": -9_223_372_036_854_775_808i64},
            {"type": "f32", "value": 0.1},
            {"type": "f64", "value": "NaN"},
            {"type": "text", "value": "grün"},
            {"type": "blob", "value": "0x00ff"},
            {"type": "time", "value": "2026-01-31T12:00:00.5Z"},
            {"type": "f32", "value": [1.5, -2.5, 0.25]},
            {"name": "x.y", "type": "i16", "exponent": -2, "value": [1.25, -1.0]},
        ]);
        let bytes = read_list(given.as_array().unwrap()).unwrap();
        assert_eq!(list(&bytes), given);
    }

    #[test]
    fn bare_values_have_the_type_that_they_look_like() {
        let bytes = read_list(&[json!(true), json!(-5), json!(u64::MAX), json!(2.5), json!("on")]);
        let types: Vec<Json> = list(&bytes.unwrap())
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["type"].clone())
            .collect();
        assert_eq!(types, ["bool", "i64", "u64", "f64", "text"]);
    }

    #[test]
    fn what_does_not_fit_its_type_is_said_with_its_place() {
        for (value, what) in [
            (json!({"type": "u8", "value": 256}), "value 1: 256 is no u8"),
            (json!({"type": "u8", "value": 1.5}), "1.5 is no u8"),
            (json!({"type": "i16", "exponent": -1, "value": 0.25}), "0.25 is no i16"),
            (json!({"type": "u9", "value": 1}), "type is none of bool, u8"),
            (json!({"type": "blob", "value": "0x0"}), "is no blob"),
            (json!({"type": "time", "value": "noon"}), "is no time"),
            (json!({"type": "enum8", "value": 1}), "say the label as text"),
            (json!({"type": "f32", "value": [1.0]}), "2 to 64 elements"),
            (json!({"type": "text", "value": ["a", "b"]}), "a vector has numbers"),
            (json!({"valu": 1}), "unknown key \"valu\""),
            (json!({"name": "a"}), "value is missing"),
            (json!(null), "null is no value"),
            (json!({"name": "Ä", "value": 1}), ""),
        ] {
            let error = read_list(&[json!(1), value.clone()]).unwrap_err();
            assert!(error.contains(what), "{value}: {error}");
        }
        assert!(read_list(&vec![json!(1); 33]).is_err());
    }
}
