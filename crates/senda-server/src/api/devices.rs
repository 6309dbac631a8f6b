//! Devices: who is there, how fast, what is stored of them, what they are set to.

use std::collections::HashMap;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use senda_store::{DeviceRecord, Ledger, ReportRecord};
use senda_wire::{Clock, DoneStatus, registry};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::ledger::ledger;
use super::problem::Problem;
use super::{Answer, Shared, device_name, limit, settings, status_name, time_or_null};
use crate::json;
use crate::live::LiveDevice;
use crate::settings::DesiredSet;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Names after this one.
    after: Option<String>,
    limit: Option<usize>,
}

/// Devices in order of their names. Those that were first heard a moment ago may have no ledger yet.
pub(super) async fn list(
    State(control): Shared,
    query: Result<Query<Page>, QueryRejection>,
) -> Answer {
    let Query(page) = query?;
    let limit = limit(page.limit, 1_000, 10_000)?;
    let after = page.after.clone();
    let (mut found, reports) = control
        .read(move |reader| {
            Ok((reader.devices(None, after.as_deref(), limit)?, reader.reports(None)?))
        })
        .await?;
    let reports: HashMap<String, ReportRecord> = reports.into_iter().collect();
    let is_last = found.len() < limit;
    let bound = found.last().map(|device| device.name.clone());
    // Who is here and not in the tables yet, within this page.
    for (name, _) in control.live.matching(|name| {
        page.after.as_deref().is_none_or(|after| name > after)
            && (is_last || bound.as_deref().is_some_and(|bound| name < bound))
    }) {
        if !found.iter().any(|device| device.name == *name) {
            found.push(unfiled(&name));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let desired = control.desired();
    let devices: Vec<Json> = found
        .iter()
        .map(|device| {
            let live = control.live.device(&device.name).unwrap_or_default();
            to_json(device, &live, reports.get(&device.name), &desired)
        })
        .collect();
    let next = if is_last { None } else { bound };
    Ok(axum::Json(json!({"devices": devices, "next_after": next})))
}

/// One device.
pub(super) async fn one(
    State(control): Shared,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let Path(name) = path?;
    device_name(&name)?;
    let asked = name.clone();
    let (found, reports) = control
        .read(move |reader| {
            Ok((reader.devices(Some(&asked), None, 1)?, reader.reports(Some(&asked))?))
        })
        .await?;
    let live = control.live.device(&name);
    let device = match (found.into_iter().next(), &live) {
        (Some(device), _) => device,
        (None, Some(_)) => unfiled(&name),
        (None, None) => {
            return Err(Problem::missing(format!("no device {name:?} was ever heard here")));
        }
    };
    let report = reports.into_iter().next().map(|(_, report)| report);
    let live = live.unwrap_or_default();
    Ok(axum::Json(to_json(&device, &live, report.as_ref(), &control.desired())))
}

/// A device of which nothing is filed yet.
fn unfiled(name: &str) -> DeviceRecord {
    DeviceRecord {
        name: name.to_owned(),
        first_seen: i64::MAX,
        last_seen: i64::MIN,
        transport: None,
        software: None,
        ledger: Ledger::default(),
        clock: None,
    }
}

fn to_json(
    device: &DeviceRecord,
    live: &LiveDevice,
    report: Option<&ReportRecord>,
    desired: &DesiredSet,
) -> Json {
    let begun = live.sessions.iter().map(|session| session.since_us).max();
    let last_seen = [Some(device.last_seen), live.last_us, begun].into_iter().flatten().max();
    let first_seen = device.first_seen.min(begun.unwrap_or(i64::MAX));
    let transport = live.sessions.last().map(|session| session.transport);
    let sessions: Vec<Json> = live
        .sessions
        .iter()
        .map(|session| {
            json!({
                "stream": format!("{:016x}", session.stream),
                "transport": session.transport,
                "since": json::time(session.since_us),
            })
        })
        .collect();
    let downlink = report.map_or(live.downlink, |report| report.downlink);
    json!({
        "device": device.name,
        "online": !live.sessions.is_empty(),
        "transport": transport.or(device.transport.as_deref()),
        "sessions": sessions,
        "first_seen": time_or_null(Some(first_seen).filter(|time| *time != i64::MAX)),
        "last_seen": time_or_null(last_seen.filter(|time| *time != i64::MIN)),
        "software": device.software,
        "rows_per_second": (live.rows_a_second() * 1_000.0).round() / 1_000.0,
        "ledger": ledger(&device.ledger),
        "clock": device.clock.map(|clock| json!({
            "kind": Clock::from_code(clock.kind).map(|kind| kind.name().to_ascii_lowercase()),
            "offset_us": clock.offset_us,
            "uncertainty_us": clock.uncertainty_us,
            "drift_ppm": clock.drift_ppm,
        })),
        "takes": takes(downlink),
        "config": config(device, downlink, report, desired),
    })
}

/// The kinds that a device takes. Spec §12.2.
fn takes(downlink: u8) -> Vec<&'static str> {
    let kinds = [
        (registry::downlink::CONFIG, "config"),
        (registry::downlink::COMMAND, "command"),
        (registry::downlink::ALERT, "alert"),
    ];
    kinds.into_iter().filter(|(bit, _)| downlink & bit != 0).map(|(_, name)| name).collect()
}

/// Desired against reported.
fn config(
    device: &DeviceRecord,
    downlink: u8,
    report: Option<&ReportRecord>,
    desired: &DesiredSet,
) -> Json {
    let wanted = desired.of(&device.name);
    let by_hand = desired
        .all()
        .find(|(desired, _)| desired.matches(&device.name))
        .is_some_and(|(_, by_hand)| by_hand);
    let reported = report.filter(|report| report.answered.is_some());
    let state = match (wanted, report) {
        (None, _) => "none",
        (Some(_), _) if downlink & registry::downlink::CONFIG == 0 => "not_taken",
        (Some(wanted), Some(report)) if report.config_rev == wanted.revision() => {
            let status = report.status.filter(|_| report.revision == Some(wanted.revision()));
            match status.and_then(DoneStatus::from_code) {
                Some(DoneStatus::Clamped) => "clamped",
                Some(DoneStatus::Ok) | None => "applied",
                Some(_) => "refused",
            }
        }
        (Some(_), _) => "pending",
    };
    json!({
        "state": state,
        "desired": wanted.map(|wanted| settings::to_json(wanted, by_hand)),
        "in_force": report.map(|report| report.config_rev).filter(|revision| *revision > 0),
        "reported": reported.map(|report| json!({
            "revision": report.revision,
            "status": report.status.map(status_name),
            "text": report.text,
            "results": json::list(&report.results),
            "time": time_or_null(report.answered),
        })),
    })
}
