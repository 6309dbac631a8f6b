//! A transition as the body of an ALERT. Spec §5.19.

use senda_store::Value;
use senda_wire::registry::{CRC_LEN, HEADER_LEN, MESSAGE_MAX, TEXT_MAX};
use senda_wire::{Alert, Head, List, Message, NamedValue, TypedValue, ValueType};

use super::quantity::Quantity;
use super::text::cut;
use super::transition::Transition;

/// The body of the ALERT that tells a device. `id` is the same for raising and clearing. A text of more than
/// [`TEXT_MAX`] bytes is cut; the body always fits a datagram, but not always a device that takes short messages only:
/// what exceeds `body_max` goes, the text last.
///
/// Returns `None` where even that does not fit.
pub fn alert_body(id: u32, transition: &Transition, body_max: usize) -> Option<Vec<u8>> {
    let text = cut(&transition.text, TEXT_MAX);
    let values = quantities(transition);
    let whole = encode(id, transition, &text, &values)?;
    if whole.len() <= body_max {
        return Some(whole);
    }
    let bare = encode(id, transition, &text, &[])?;
    let excess = bare.len().saturating_sub(body_max);
    let shorter = cut(&text, text.len().saturating_sub(excess));
    encode(id, transition, &shorter, &[]).filter(|body| body.len() <= body_max)
}

/// The values of a transition as a list (spec §4.4), count included: `value`, `threshold`, `rule`.
pub fn value_list(transition: &Transition) -> Vec<u8> {
    let body = encode(0, transition, "", &quantities(transition)).unwrap_or_default();
    let before = FIXED_LEN + 3 + transition.key.schema.len() + transition.key.channel.len();
    body.get(before..).map_or_else(|| vec![0], <[u8]>::to_vec)
}

/// Bytes before the texts.
const FIXED_LEN: usize = 14;

/// The named values of a transition.
fn quantities(transition: &Transition) -> Vec<NamedValue<'_>> {
    let mut values = Vec::with_capacity(3);
    for (name, quantity) in [("value", &transition.value), ("threshold", &transition.threshold)] {
        let typed = quantity.as_ref().and_then(typed);
        values.extend(typed.map(|typed| NamedValue { name, typed }));
    }
    values.push(NamedValue::new("rule", senda_wire::Value::Text(&transition.key.rule)));
    values
}

/// A quantity as a typed value, of the type that the channel has. An enum's is its label. Spec §4.4.
fn typed(quantity: &Quantity) -> Option<TypedValue<'_>> {
    use senda_wire::Value as Wire;
    let value = match (&quantity.value, quantity.value_type) {
        (Value::Bool(value), _) => Wire::Bool(*value),
        (Value::Unsigned(raw), ValueType::U8) => Wire::U8(u8::try_from(*raw).ok()?),
        (Value::Unsigned(raw), ValueType::U16) => Wire::U16(u16::try_from(*raw).ok()?),
        (Value::Unsigned(raw), ValueType::U32) => Wire::U32(u32::try_from(*raw).ok()?),
        (Value::Unsigned(raw), _) => Wire::U64(*raw),
        (Value::Signed(raw), ValueType::I8) => Wire::I8(i8::try_from(*raw).ok()?),
        (Value::Signed(raw), ValueType::I16) => Wire::I16(i16::try_from(*raw).ok()?),
        (Value::Signed(raw), ValueType::I32) => Wire::I32(i32::try_from(*raw).ok()?),
        (Value::Signed(raw), _) => Wire::I64(*raw),
        (Value::F32(value), _) => Wire::F32(*value),
        (Value::F64(value), _) => Wire::F64(*value),
        (Value::Text(text), _) if text.len() <= TEXT_MAX => Wire::Text(text),
        (Value::Enum(_, label), _) if label.len() <= TEXT_MAX => Wire::Text(label),
        (Value::Time(time), _) => Wire::Time(*time),
        _ => return None,
    };
    Some(TypedValue { exponent: quantity.exponent, value })
}

fn encode(
    id: u32,
    transition: &Transition,
    text: &str,
    values: &[NamedValue<'_>],
) -> Option<Vec<u8>> {
    let mut list = vec![0; MESSAGE_MAX];
    let values = List::build(values, &mut list).ok()?;
    let alert = Alert {
        id,
        time: transition.time,
        raised: transition.change.is_raised(),
        severity: transition.severity.code(),
        schema: &transition.key.schema,
        channel: &transition.key.channel,
        text,
        values,
    };
    let mut message = vec![0; MESSAGE_MAX];
    // Session and number are not part of the body.
    let head = Head { session: 1, seq: 1, flags: 0 };
    let len = Message::Alert(alert).encode(head, &mut message).ok()?;
    Some(message[HEADER_LEN..len - CRC_LEN].to_vec())
}
