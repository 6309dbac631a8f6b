//! What was stored: readings and events.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use senda_store::EventRecord;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Answer, Shared, limit, time};
use crate::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    device: Option<String>,
    channel: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Events {
    device: Option<String>,
    since: Option<String>,
    limit: Option<usize>,
}

/// The newest readings that match, oldest first; landed and filed alike.
pub(super) async fn list(
    State(control): Shared,
    query: Result<Query<Which>, QueryRejection>,
) -> Answer {
    let Query(which) = query?;
    let query = senda_store::Query {
        since: time("since", which.since.as_deref())?,
        until: time("until", which.until.as_deref())?,
        limit: limit(which.limit, 1_000, 100_000)?,
        device: which.device,
        channel: which.channel,
        newest: true,
    };
    let found = control.read(move |reader| reader.query(&query)).await?;
    Ok(axum::Json(json!({"readings": found.iter().map(json::sample).collect::<Vec<_>>()})))
}

/// The newest events that match, oldest first. They are filed within seconds.
pub(super) async fn events(
    State(control): Shared,
    query: Result<Query<Events>, QueryRejection>,
) -> Answer {
    let Query(which) = query?;
    let since = time("since", which.since.as_deref())?;
    let limit = limit(which.limit, 100, 10_000)?;
    let found =
        control.read(move |reader| reader.events(which.device.as_deref(), since, limit)).await?;
    Ok(axum::Json(json!({"events": found.iter().map(event_json).collect::<Vec<_>>()})))
}

pub(super) fn event_json(event: &EventRecord) -> Json {
    json!({
        "time": json::time(event.time),
        "device": event.device,
        "stream": (event.stream != 0).then(|| format!("{:016x}", event.stream)),
        "kind": event.kind,
        "text": event.text,
    })
}
