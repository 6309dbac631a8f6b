//! Rules and rows in a few words.

use std::sync::Arc;
use std::time::Duration;

use senda_server::alerts::{
    Change, Condition, Expected, Hold, Key, Rule, Severity, Side, Standing, Transition,
};
use senda_store::{ChannelInfo, Sample, TableInfo, Value};
use senda_wire::{Clock, ValueType};

pub(crate) const S: i64 = 1_000_000;
/// When the tests begin, µs since 1970.
pub(crate) const T: i64 = 1_700_000_000 * S;

pub(crate) fn rule(name: &str, condition: Condition) -> Rule {
    let absence = matches!(condition, Condition::Absent { .. });
    Rule {
        name: name.into(),
        device: "gh-*".into(),
        schema: None,
        channel: (!absence).then(|| "temperature".into()),
        severity: Severity::Warning,
        condition,
        hold: Hold::No,
        text: None,
        text_cleared: None,
        remind: None,
        notify: Vec::new(),
    }
}

pub(crate) fn above(raise: f64, clear: f64) -> Condition {
    Condition::Threshold { side: Side::Above, raise, clear }
}

pub(crate) fn absent(seconds: u64) -> Condition {
    Condition::Absent { after: Duration::from_secs(seconds) }
}

pub(crate) fn equals(text: &str) -> Condition {
    Condition::Equals(Expected::Text(text.into()))
}

pub(crate) fn channel(name: &str, value_type: ValueType) -> ChannelInfo {
    ChannelInfo {
        name: name.into(),
        unit: "Cel".into(),
        value_type,
        exponent: 0,
        elements: 1,
        counter: false,
        labels: Vec::new(),
    }
}

pub(crate) fn table(name: &str, channels: Vec<ChannelInfo>) -> Arc<TableInfo> {
    Arc::new(TableInfo { name: name.into(), channels })
}

/// A row that arrives when it was sampled.
pub(crate) fn row(
    device: &str,
    table: &Arc<TableInfo>,
    time: i64,
    values: Vec<Option<Value>>,
) -> Sample {
    Sample {
        device: device.into(),
        stream: 1,
        row: 0,
        time,
        estimated: false,
        device_time: Some(time),
        clock: Clock::UtcSynced,
        received: time,
        table: Arc::clone(table),
        values,
    }
}

/// A temperature of gh-7, so many seconds after [`T`].
pub(crate) fn warm(second: i64, temperature: f64) -> Sample {
    let table = table("greenhouse", vec![channel("temperature", ValueType::F64)]);
    row("gh-7", &table, T + second * S, vec![Some(Value::F64(temperature))])
}

pub(crate) fn key(rule: &str, schema: &str, channel: &str) -> Key {
    Key { rule: rule.into(), device: "gh-7".into(), schema: schema.into(), channel: channel.into() }
}

/// What the store would say of a raised alert after a restart.
pub(crate) fn standing(raised: &Transition) -> Standing {
    Standing {
        key: raised.key.clone(),
        severity: raised.severity,
        time: raised.time,
        text: raised.text.clone(),
        acknowledged: false,
        closed: false,
    }
}

/// Changes with their seconds after [`T`].
pub(crate) fn changes(transitions: &[Transition]) -> Vec<(Change, i64)> {
    transitions.iter().map(|t| (t.change, (t.time - T) / S)).collect()
}
