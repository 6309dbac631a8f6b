//! A transition as the store keeps it. How an ALERT says it (spec §5.19) is `senda_keeper::alert_body`.

use senda_store::{AlertRecord, Value};
use senda_wire::registry::{MESSAGE_MAX, TEXT_MAX};
use senda_wire::{List, NamedValue, TypedValue, ValueType};

use super::quantity::Quantity;
use super::transition::{Change, Transition};

/// What the store keeps of an alert after a transition. Of one that was cleared: only what clearing says.
pub fn to_record(id: u32, transition: &Transition) -> AlertRecord {
    let raised = transition.change.is_raised();
    AlertRecord {
        id,
        rule: transition.key.rule.to_string(),
        device: transition.key.device.to_string(),
        schema: transition.key.schema.to_string(),
        channel: transition.key.channel.to_string(),
        severity: transition.severity.code(),
        raised,
        raised_at: transition.time,
        cleared_at: (!raised).then_some(transition.time),
        acknowledged_at: None,
        acknowledged_by: String::new(),
        text: transition.text.clone(),
        values: value_list(transition),
        told: false,
        closed: transition.change == Change::Closed,
    }
}

/// The values of a transition as a list (spec §4.4), count included: `value`, `threshold`, `rule`.
fn value_list(transition: &Transition) -> Vec<u8> {
    let mut room = vec![0; MESSAGE_MAX];
    let list = List::build(&quantities(transition), &mut room).unwrap_or_default();
    let count = u8::try_from(list.len()).unwrap_or(0); // Three at most.
    [&[count], list.bytes()].concat()
}

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
