//! The ledger: what became of every row, of one device or of all, and what the collector saw and refused.

use axum::extract::State;
use senda_store::{Ledger, Reader};
use senda_wire::{ErrorCode, SkipCause};
use serde_json::{Map, Value as Json, json};

use super::{Answer, Shared};
use crate::Snapshot;

/// All devices together, and the collector's own counts.
pub(super) async fn total(State(control): Shared) -> Answer {
    let total = control.read(Reader::ledger).await?;
    let now = control.stats.snapshot();
    Ok(axum::Json(json!({ "ledger": ledger(&total), "collector": collector(&now) })))
}

/// What a ledger says. Spec §7.9.
pub(super) fn ledger(ledger: &Ledger) -> Json {
    let skipped = ledger.skipped.iter().map(|(cause, rows)| {
        let name = SkipCause::from_code(*cause).map(|cause| cause.name().to_ascii_lowercase());
        (name.unwrap_or_else(|| cause.to_string()), json!(rows))
    });
    let refused = ledger.refused.iter().map(|(code, rows)| (code.to_string(), json!(rows)));
    json!({
        "streams": ledger.streams,
        "numbers": ledger.numbers,
        "resolved": ledger.resolved(),
        "made": ledger.made,
        "stored": ledger.stored,
        "landed": ledger.landed,
        "refused": ledger.refused_rows(),
        "refused_by_code": refused.collect::<Map<_, _>>(),
        "skipped": ledger.skipped_rows(),
        "skipped_by_cause": skipped.collect::<Map<_, _>>(),
        "counts": ledger.counts,
        "unreadable": ledger.unreadable,
        "pending": ledger.pending,
        "unexplained": ledger.unexplained,
    })
}

/// What came and was not taken, since the collector began.
fn collector(now: &Snapshot) -> Json {
    let engine = &now.engine;
    let codes = ErrorCode::ALL.iter().zip(engine.nacks_by_code);
    let nacks = codes.filter(|(_, count)| *count > 0);
    let nacks: Map<_, _> = nacks.map(|(code, count)| (code.0.to_string(), json!(count))).collect();
    json!({
        "messages": engine.messages,
        "duplicates": engine.duplicates,
        "kernel_drops": now.kernel_drops,
        "bad_frames": engine.bad_frames,
        "bad_crcs": engine.bad_crcs,
        "bad_bodies": engine.bad_bodies,
        "unknown_sessions": engine.unknown_sessions,
        "strangers_untold": engine.strangers_untold,
        "retries": engine.retries,
        "withheld": engine.withheld,
        "refused_hellos": engine.refused_hellos,
        "dropped": engine.dropped,
        "sends_failed": now.sends_failed,
        "nacks": nacks,
    })
}
