//! What is told, and what became of it.

use serde::{Deserialize, Serialize};

use crate::alerts::Transition;

/// What targets are told: the body of a webhook, and what a program reads. As JSON it can be kept in the store.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    /// Id of the alert: the same for raising and clearing.
    pub id: u32,
    /// Name of the rule.
    pub rule: String,
    /// The device.
    pub device: String,
    /// The schema, or empty.
    pub schema: String,
    /// The channel, or an element of a vector; or empty.
    pub channel: String,
    /// `raised`, `reminder`, `cleared` or `closed`.
    pub state: String,
    /// `information`, `warning` or `critical`.
    pub severity: String,
    /// RFC 3339, UTC.
    pub time: String,
    /// The same in microseconds since 1970.
    pub time_us: i64,
    /// What was seen; null where it is not known.
    pub value: serde_json::Value,
    /// Its unit, or empty.
    pub unit: String,
    /// What it was compared with; null where it is not known.
    pub threshold: serde_json::Value,
    /// For people.
    pub text: String,
}

impl Report {
    /// What there is to tell of a transition of the alert `id`.
    pub fn new(id: u32, transition: &Transition) -> Self {
        let json = |quantity: &Option<crate::alerts::Quantity>| {
            quantity.as_ref().map_or(serde_json::Value::Null, crate::alerts::Quantity::json)
        };
        let key = &transition.key;
        Self {
            id,
            rule: key.rule.to_string(),
            device: key.device.to_string(),
            schema: key.schema.to_string(),
            channel: key.channel.to_string(),
            state: transition.change.name().to_owned(),
            severity: transition.severity.name().to_owned(),
            time: crate::json::time(transition.time),
            time_us: transition.time,
            value: json(&transition.value),
            unit: transition.value.as_ref().map_or_else(String::new, |value| value.unit.clone()),
            threshold: json(&transition.threshold),
            text: transition.text.clone(),
        }
    }

    /// The same for each attempt, across restarts too: who has seen it before can leave it.
    pub fn idempotency_key(&self) -> String {
        format!("senda-{}-{}-{}", self.id, self.state, self.time_us)
    }

    pub(super) fn to_json(&self) -> String {
        // No map with keys that are no strings, no writer that fails.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What became of a report. There is exactly one for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Name of the target.
    pub target: String,
    /// The report.
    pub report: Report,
    /// How often it was tried.
    pub attempts: u32,
    /// How it ended.
    pub fate: Fate,
}

/// How a report ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// The target took it.
    Delivered,
    /// The target answered, and trying again would not help.
    Refused {
        /// What it said.
        why: String,
    },
    /// Tried for as long as the target allows, or never since the queue was full.
    GaveUp {
        /// What came of the last attempt.
        why: String,
    },
    /// The collector stopped first: give it to the next [`Outward::start`](super::Outward::start).
    Undelivered,
}

impl Fate {
    /// One word, for events.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused { .. } => "refused",
            Self::GaveUp { .. } => "gave up",
            Self::Undelivered => "undelivered",
        }
    }
}
