//! Commands: given, followed, answered. Spec §5.18, §7.7.

use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use senda_store::CommandRecord;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::problem::Problem;
use super::{Answer, Body, Shared, device_name, limit, parse, patience, status_name, time_or_null};
use crate::control::{Control, ControlError};
use crate::feed::Item;
use crate::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    name: String,
    #[serde(default)]
    arguments: Vec<Json>,
    /// 10 minutes unless told otherwise.
    ttl_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// Seconds.
    wait: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    limit: Option<usize>,
}

/// Gives a command: on disk when this answers. With `wait` it answers when the command has ended, or that time is over.
pub(super) async fn give(
    State(control): Shared,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Wait>, QueryRejection>,
    body: Body,
) -> Result<(StatusCode, [(HeaderName, String); 1], axum::Json<Json>), Problem> {
    let (Path(device), Query(query)) = (path?, query?);
    device_name(&device)?;
    let wait = patience(query.wait)?;
    let given: Given = parse(body)?;
    let ttl = Duration::from_millis(given.ttl_ms.unwrap_or(TTL_MS));
    if !(TTL_MIN..=TTL_MAX).contains(&ttl) {
        return Err(Problem::invalid(
            "ttl_ms has to be between 1,000 (1 s) and 2,592,000,000 (30 d)",
        ));
    }
    if !is_command_name(&given.name) {
        return Err(Problem::invalid(format!(
            "{:?} is no command: a lower-case letter, then lower-case letters, digits, _ and - , 63 bytes at most",
            given.name
        )));
    }
    let arguments = json::read_list(&given.arguments)
        .map_err(|what| Problem::invalid(format!("arguments: {what}")))?;
    if given.name.len() + arguments.len() > COMMAND_BYTES_MAX {
        return Err(Problem::invalid(format!(
            "the command has {} bytes of name and arguments; {COMMAND_BYTES_MAX} fit a datagram",
            given.name.len() + arguments.len()
        )));
    }
    let mut changes = control.feed.subscribe_changes();
    let mut record = control.command(device, given.name, arguments, ttl).await?;
    if !wait.is_zero() {
        let (device, id) = (record.device.clone(), record.id);
        if let Some(ended) = ended(&mut changes, &control, &device, id, wait).await? {
            record = ended;
        }
    }
    let place = format!("/api/v1/devices/{}/commands/{}", record.device, record.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], axum::Json(to_json(&record))))
}

/// One command; with `wait` when it has ended, or that time is over.
pub(super) async fn one(
    State(control): Shared,
    path: Result<Path<(String, u32)>, PathRejection>,
    query: Result<Query<Wait>, QueryRejection>,
) -> Answer {
    let (Path((device, id)), Query(query)) = (path?, query?);
    let wait = patience(query.wait)?;
    let mut changes = control.feed.subscribe_changes();
    let (name, missing) = (device.clone(), format!("device {device:?} has no command {id}"));
    let record = control.read(move |reader| reader.command(&name, id)).await?;
    let mut record = record.ok_or_else(|| Problem::missing(missing))?;
    if !record.state.is_final()
        && !wait.is_zero()
        && let Some(ended) = ended(&mut changes, &control, &device, id, wait).await?
    {
        record = ended;
    }
    Ok(axum::Json(to_json(&record)))
}

/// Commands of one device, the newest last.
pub(super) async fn list(
    State(control): Shared,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Which>, QueryRejection>,
) -> Answer {
    let (Path(device), Query(query)) = (path?, query?);
    device_name(&device)?;
    commands(&control, Some(device), &query).await
}

/// Commands of all devices, the newest last.
pub(super) async fn all(
    State(control): Shared,
    query: Result<Query<Which>, QueryRejection>,
) -> Answer {
    commands(&control, None, &query?.0).await
}

async fn commands(
    control: &std::sync::Arc<Control>,
    device: Option<String>,
    query: &Which,
) -> Answer {
    let limit = limit(query.limit, 100, 10_000)?;
    let found = control.read(move |reader| reader.commands(device.as_deref(), limit)).await?;
    Ok(axum::Json(json!({"commands": found.iter().map(to_json).collect::<Vec<_>>()})))
}

/// Waits for the end of a command; `None` when it took longer.
async fn ended(
    changes: &mut tokio::sync::broadcast::Receiver<std::sync::Arc<Item>>,
    control: &std::sync::Arc<Control>,
    device: &str,
    id: u32,
    wait: Duration,
) -> Result<Option<CommandRecord>, Problem> {
    let look = async || {
        let name = device.to_owned();
        control.read(move |reader| reader.command(&name, id)).await
    };
    let ends = async {
        loop {
            match changes.recv().await {
                Ok(item) => {
                    if let Item::Command(record) = &*item
                        && record.device == device
                        && record.id == id
                        && record.state.is_final()
                    {
                        return Ok(Some((**record).clone()));
                    }
                }
                // Whoever was too slow looks for himself, and waits on.
                Err(RecvError::Lagged(_)) => {
                    let record = look().await?;
                    if record.as_ref().is_none_or(|record| record.state.is_final()) {
                        return Ok(record);
                    }
                }
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    };
    match timeout(wait, ends).await {
        Ok(Ok(Some(record))) => Ok(Some(record)),
        Ok(Err(error)) => Err(ControlError::into(error)),
        _ => Ok(look().await?),
    }
}

pub(super) fn to_json(record: &CommandRecord) -> Json {
    json!({
        "device": record.device,
        "id": record.id,
        "name": record.name,
        "arguments": json::list(&record.arguments),
        "state": record.state.name(),
        "created": json::time(record.created),
        "expires": json::time(record.expires),
        "sent": time_or_null(record.sent),
        "ended": time_or_null(record.ended),
        "status": record.status.map(status_name),
        "text": record.text,
        "results": json::list(&record.results),
        "begun": record.begun,
    })
}

/// Spec §5.18.
fn is_command_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= senda_wire::registry::NAME_MAX
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
        })
}

/// Time to live unless told otherwise.
const TTL_MS: u64 = 600_000;
const TTL_MIN: Duration = Duration::from_secs(1);
const TTL_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Name and arguments of a COMMAND that fits a datagram: header, id, ttl_ms, length of the name, trailer taken away.
const COMMAND_BYTES_MAX: usize = senda_wire::registry::DATAGRAM_MAX - 12 - 9 - 4;
