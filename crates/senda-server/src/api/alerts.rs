//! Alerts: conditions that hold or held. Spec §5.19.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use senda_store::{AlertQuery, AlertRecord};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::problem::Problem;
use super::{Answer, Body, Shared, limit, parse, time_or_null};
use crate::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    device: Option<String>,
    raised: Option<bool>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Who {
    /// Who saw it.
    #[serde(default)]
    by: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Alerts, the newest last.
pub(super) async fn list(
    State(control): Shared,
    query: Result<Query<Which>, QueryRejection>,
) -> Answer {
    let Query(which) = query?;
    let limit = limit(which.limit, 100, 10_000)?;
    let query = AlertQuery { device: which.device, raised: which.raised, limit };
    let found = control.read(move |reader| reader.alerts(&query)).await?;
    Ok(axum::Json(json!({"alerts": found.iter().map(to_json).collect::<Vec<_>>()})))
}

/// One alert.
pub(super) async fn one(State(control): Shared, path: Result<Path<u32>, PathRejection>) -> Answer {
    let Path(id) = path?;
    let found = control.read(move |reader| reader.alert(id)).await?;
    found.map(|alert| axum::Json(to_json(&alert))).ok_or_else(|| missing(id))
}

/// Somebody saw it.
pub(super) async fn acknowledge(
    State(control): Shared,
    path: Result<Path<u32>, PathRejection>,
    body: Body,
) -> Answer {
    let Path(id) = path?;
    let Who { by } = parse(body)?;
    if by.len() > 255 {
        return Err(Problem::invalid("by is longer than 255 bytes"));
    }
    let seen = control.acknowledge_alert(id, by).await?;
    seen.map(|alert| axum::Json(to_json(&alert))).ok_or_else(|| missing(id))
}

/// Somebody closes it: it is raised again only after its condition was false in between.
pub(super) async fn clear(
    State(control): Shared,
    path: Result<Path<u32>, PathRejection>,
    body: Body,
) -> Answer {
    let Path(id) = path?;
    let Nothing {} = parse(body)?;
    let closed = control.close_alert(id).await?;
    closed.map(|alert| axum::Json(to_json(&alert))).ok_or_else(|| missing(id))
}

fn missing(id: u32) -> Problem {
    Problem::missing(format!("there is no alert {id}"))
}

pub(super) fn to_json(alert: &AlertRecord) -> Json {
    json!({
        "id": alert.id,
        "rule": alert.rule,
        "device": alert.device,
        "schema": alert.schema,
        "channel": alert.channel,
        "severity": severity(alert.severity),
        "state": if alert.raised { "raised" } else { "cleared" },
        "raised": json::time(alert.raised_at),
        "cleared": time_or_null(alert.cleared_at),
        "acknowledged": time_or_null(alert.acknowledged_at),
        "acknowledged_by": alert.acknowledged_by,
        "text": alert.text,
        "values": json::list(&alert.values),
        "device_answered": alert.told,
    })
}

const fn severity(code: u8) -> &'static str {
    match code {
        0 => "information",
        1 => "warning",
        _ => "critical",
    }
}
