//! Raw listeners: what they do, and what did not fit.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use senda_store::MisfitRecord;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::{Answer, Shared, limit};
use crate::json;
use crate::raw::View;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    listener: Option<String>,
    limit: Option<usize>,
}

/// The listeners, in the order of the config file.
pub(super) async fn list(State(control): Shared) -> axum::Json<Json> {
    let listeners: Vec<Json> = control.raw.iter().map(listener).collect();
    axum::Json(json!({ "listeners": listeners }))
}

/// The newest bytes that did not fit, oldest first.
pub(super) async fn misfits(
    State(control): Shared,
    query: Result<Query<Which>, QueryRejection>,
) -> Answer {
    let Query(which) = query?;
    let limit = limit(which.limit, 100, 10_000)?;
    let found =
        control.read(move |reader| reader.misfits(which.listener.as_deref(), limit)).await?;
    Ok(axum::Json(json!({"misfits": found.iter().map(misfit).collect::<Vec<_>>()})))
}

fn listener(view: &View) -> Json {
    let counts = view.counts();
    let misfits: Map<String, Json> =
        counts.misfits.iter().map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect();
    json!({
        "name": view.addresses.name,
        "udp": view.addresses.udp.map(|address| address.to_string()),
        "tcp": view.addresses.tcp.map(|address| address.to_string()),
        "format": view.format(),
        "replies": view.has_reply(),
        "devices": counts.devices,
        "records": counts.records,
        "stored": counts.stored,
        "repeated": counts.repeated,
        "busy": counts.busy,
        "misfits": misfits,
        "misfits_kept": counts.misfits_kept,
        "replies_sent": counts.replies,
        "replies_failed": counts.replies_failed,
    })
}

fn misfit(misfit: &MisfitRecord) -> Json {
    let MisfitRecord { time, listener, peer, kind, reason, len, bytes } = misfit;
    json!({
        "time": json::time(*time),
        "listener": listener,
        "peer": peer,
        "kind": kind,
        "reason": reason,
        "length": len,
        "bytes": json::hex(bytes),
    })
}
