//! A message field by field, as lines or as JSON.

use std::fmt::Write as _;

use senda_server::json::{float, scaled, time};
use senda_wire::registry::{HEADER_LEN, OptionCode};
use senda_wire::{BodyError, Channel, FieldValue, Frame, Message, NamedValue, Range, Schema};
use senda_wire::{TypedValue, Value, Visit, walk};
use serde_json::json;

pub(crate) use crate::schemas::Schemas;

/// Microseconds from here on are shown as a date too: 2000-01-01T00:00:00Z. Spec §13.2.
const PLAUSIBLE: i64 = 946_684_800_000_000;

/// One field, ready to be shown.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Calls `each` for every field, and tells what is wrong with the body, if anything is. Spec §5.26.
pub(crate) fn visit(
    frame: &Frame<'_>,
    schema: Option<&Schema<'_>>,
    each: &mut dyn FnMut(&Visit<'_>),
) -> Option<BodyError> {
    let layout = walk(frame, schema, &mut |visit| each(&visit)).err();
    layout.or_else(|| Message::decode(frame).err())
}

/// A field as a line.
pub(crate) fn line(visit: &Visit<'_>) -> Line {
    let name = match visit.index {
        Some(index) => format!("{}[{index}]", visit.name),
        None => visit.name.to_owned(),
    };
    Line { name, value: text(&visit.value) }
}

/// A field as JSON: numbers as numbers; identifiers and checksums as `0x` and hex digits; bytes as hex digits; a value
/// of a row or a list scaled by its exponent; null for bytes that are no value of their channel.
pub(crate) fn json(visit: &Visit<'_>) -> serde_json::Value {
    let mut field = json!({
        "name": visit.name, "offset": visit.offset, "length": visit.len,
        "value": json_value(&visit.value), "text": text(&visit.value),
    });
    if let Some(index) = visit.index {
        field["index"] = json!(index);
    }
    if let FieldValue::Sample { channel, .. } = visit.value {
        field["type"] = json!(channel.value_type.name());
        field["unit"] = json!(channel.unit);
    }
    field
}

/// Name and section of a message's type.
pub(crate) fn title(frame: &Frame<'_>) -> (String, &'static str) {
    match frame.message_type() {
        Some(kind) => (kind.name().to_owned(), kind.section()),
        None => (format!("type 0x{:02X}", frame.code), "5.25"),
    }
}

/// A message on one line: type, what its header says, and the fields of its body.
pub(crate) fn one_line(frame: &Frame<'_>, schemas: &Schemas, fields_max: usize) -> String {
    one_line_with(frame, schemas.of(frame, None).as_ref(), fields_max)
}

/// The same, with the schema that a data message refers to.
pub(crate) fn one_line_with(
    frame: &Frame<'_>,
    schema: Option<&Schema<'_>>,
    fields_max: usize,
) -> String {
    let (name, section) = title(frame);
    let mut text = format!("{name} (§{section}) session={:08x} seq={}", frame.session, frame.seq);
    let end = frame.bytes.len().saturating_sub(4);
    let mut body = 0;
    let wrong = visit(frame, schema, &mut |visit| {
        if visit.offset >= HEADER_LEN && visit.offset < end {
            body += 1;
            if body <= fields_max {
                let Line { name, value } = line(visit);
                let _ = write!(text, " {name}={value}");
            }
        }
    });
    if body > fields_max {
        let _ = write!(text, " ... {} more fields", body - fields_max);
    }
    if let Some(wrong) = wrong {
        let _ = write!(text, " MALFORMED: {wrong}");
    }
    text
}

/// What a field says, for people.
fn text(value: &FieldValue<'_>) -> String {
    match value {
        FieldValue::Micros(micros) if *micros >= PLAUSIBLE => {
            format!("{micros} us, {}", time(*micros))
        }
        FieldValue::Option(option) if option.code == OptionCode::Software.code() => {
            let software = String::from_utf8_lossy(option.value);
            format!("{} {}: {software:?}", option.code, OptionCode::Software.name())
        }
        FieldValue::Named(NamedValue { name, typed }) => {
            let kind = typed.value.value_type().name();
            format!("{name:?} = {} ({kind})", value_text(&typed.value, typed.exponent))
        }
        FieldValue::Sample { value, channel } => sample_text(value, channel),
        FieldValue::BadValue(_) => {
            format!("0x{value}: no value of this channel (BAD_VALUE 301, §4.3)")
        }
        other => other.to_string(),
    }
}

fn sample_text(value: &Value<'_>, channel: &Channel<'_>) -> String {
    let mut text = value_text(value, channel.exponent);
    if let Value::Enum(index) = value {
        let label = channel.labels().nth(usize::from(*index)).unwrap_or_default();
        let _ = write!(text, " {label:?}");
    }
    if !channel.unit.is_empty() {
        let _ = write!(text, " {}", channel.unit);
    }
    text
}

/// A value as people read it: integers scaled, exactly.
fn value_text(value: &Value<'_>, exponent: i8) -> String {
    if let Some(raw) = integer(value) {
        return scaled(raw, exponent);
    }
    match value {
        Value::Bool(value) => value.to_string(),
        Value::F32(value) => format!("{value:?}"),
        Value::F64(value) => format!("{value:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::Blob(bytes) => format!("0x{}", hex(bytes)),
        Value::Time(micros) => time(*micros),
        Value::Vector(vector) => {
            let elements: Vec<_> = vector.iter().map(|each| value_text(&each, exponent)).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Enum(index) => index.to_string(),
        // Integers, above.
        _ => String::new(),
    }
}

/// What a field says, for programs.
fn json_value(value: &FieldValue<'_>) -> serde_json::Value {
    match value {
        FieldValue::Unsigned(value) => json!(value),
        FieldValue::Signed(value) | FieldValue::Micros(value) => json!(value),
        FieldValue::Hex { .. } => json!(value.to_string()),
        FieldValue::Code { code, .. } => json!(code),
        FieldValue::Bits { bits, .. } => json!(bits),
        FieldValue::ClockAndCount { clock, count } => {
            json!({ "clock": clock.code(), "count": count })
        }
        FieldValue::Text(text) => json!(text),
        FieldValue::Bytes(bytes) | FieldValue::Undecoded(bytes) => json!(hex(bytes)),
        FieldValue::Count(count) => json!(count),
        FieldValue::Option(option) => json!({ "type": option.code, "value": hex(option.value) }),
        FieldValue::Named(NamedValue { name, typed }) => {
            let TypedValue { exponent, value } = typed;
            let kind = value.value_type().name();
            json!({ "name": name, "type": kind, "value": json_sample(value, *exponent) })
        }
        FieldValue::Range(Range { start, end }) => json!({ "start": start, "end": end }),
        FieldValue::Cause { cause, count } => json!({ "cause": cause, "count": count }),
        FieldValue::TimeOffset(offset) => json!(offset),
        FieldValue::Sample { value, channel } => json_sample(value, channel.exponent),
        FieldValue::BadValue(_) => serde_json::Value::Null,
    }
}

/// A value of a row or a list: enum8 by its index, time in microseconds, blobs as hex digits.
fn json_sample(value: &Value<'_>, exponent: i8) -> serde_json::Value {
    match value {
        Value::Bool(value) => json!(value),
        Value::F32(number) if number.is_finite() => float(&number.to_string()),
        Value::F64(number) if number.is_finite() => float(&number.to_string()),
        // What JSON has no number for.
        Value::F32(_) | Value::F64(_) => json!(value_text(value, exponent)),
        Value::Text(text) => json!(text),
        Value::Blob(bytes) => json!(hex(bytes)),
        Value::Enum(index) => json!(index),
        Value::Time(micros) => json!(micros),
        Value::Vector(vector) => vector.iter().map(|each| json_sample(&each, exponent)).collect(),
        Value::U64(value) if exponent == 0 => json!(value),
        _ if exponent == 0 && integer(value).is_some() => {
            integer(value).and_then(|raw| i64::try_from(raw).ok()).into()
        }
        _ => float(&value_text(value, exponent)),
    }
}

/// The raw number of a scalar integer.
fn integer(value: &Value<'_>) -> Option<i128> {
    Some(match *value {
        Value::U8(value) => value.into(),
        Value::U16(value) => value.into(),
        Value::U32(value) => value.into(),
        Value::U64(value) => value.into(),
        Value::I8(value) => value.into(),
        Value::I16(value) => value.into(),
        Value::I32(value) => value.into(),
        Value::I64(value) => value.into(),
        _ => return None,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_where_json_has_them_and_exact_where_it_has_not() {
        let json = |value, exponent| json_sample(&value, exponent).to_string();
        assert_eq!(json(Value::I16(215), -1), "21.5");
        assert_eq!(json(Value::U64(u64::MAX), 0), "18446744073709551615");
        assert_eq!(json(Value::U64(u64::MAX), -18), "\"18.446744073709551615\"");
        assert_eq!(json(Value::I64(i64::MIN), 0), "-9223372036854775808");
        assert_eq!(json(Value::F32(0.1), 0), "0.1");
        assert_eq!(json(Value::F64(f64::NAN), 0), "\"NaN\"");
        assert_eq!(json(Value::F32(f32::NEG_INFINITY), 0), "\"-inf\"");
        assert_eq!(json(Value::Time(-1), 0), "-1");
        assert_eq!(json(Value::Blob(&[0, 255]), 0), "\"00ff\"");
    }

    #[test]
    fn values_are_scaled_and_have_their_unit_for_people() {
        let name = senda_wire::Identifier::new("c").unwrap();
        let mut spec = senda_wire::ChannelSpec::new(name, senda_wire::ValueType::I16);
        (spec.exponent, spec.unit) = (-1, "Cel");
        let mut buffer = [0; 64];
        let schema = Schema::encode(name, &[spec], &mut buffer).unwrap();
        let channel = Schema::decode(schema).unwrap().channels().next().unwrap();
        assert_eq!(sample_text(&Value::I16(-3), &channel), "-0.3 Cel");
        assert_eq!(text(&FieldValue::Micros(5)), "5 us");
        let date = FieldValue::Micros(1_767_225_600_000_000);
        assert_eq!(text(&date), "1767225600000000 us, 2026-01-01T00:00:00Z");
    }
}
