//! The engine's words in the store's, and back.

use senda_session::collector::{Fate, Mark, Notice, Verdict, What};
use senda_store::{Landing, Outcome};
use senda_wire::ErrorCode;

/// Rows that a landing put on the disk; those that were refused are resolved, not stored.
pub fn rows_stored(landing: &Landing, verdict: &senda_store::Verdict) -> u64 {
    match (&landing.what, &verdict.outcome) {
        (
            senda_store::What::Rows { count, refused, .. },
            Outcome::Stored | Outcome::PartlyDuplicate,
        ) => u64::from(*count).saturating_sub(refused.len() as u64),
        _ => 0,
    }
}

/// The engine's words in the store's.
pub(crate) fn translate_what(what: What) -> senda_store::What {
    use senda_store::What as To;
    match what {
        What::Rows { first, count, sparse, schema, body, refused } => {
            let refused =
                refused.into_iter().map(|index| (index, ErrorCode::BAD_VALUE.0)).collect();
            To::Rows { first, count, sparse, schema, body, refused }
        }
        What::Unreadable { first, count, kind, body } => To::RefusedMessage {
            first,
            count: count.into(),
            code: ErrorCode::BAD_BODY.0,
            kind,
            body,
        },
        What::Skip { first, count, cause } => To::Skip { first, count, cause },
        What::Counts { row, made, causes } => To::Counts { row, made, causes },
        What::Unacked { counter, count, schema, body, .. } => {
            To::Unacked { counter, count, schema, body }
        }
        What::Declare { id, description } => To::Declare { id, description },
        What::Clock(clock) => {
            let (offset_us, uncertainty_us, kind) =
                (clock.offset, clock.uncertainty, clock.clock.code());
            To::Clock { offset_us, uncertainty_us, kind }
        }
    }
}

/// Notices that are worth keeping.
pub(crate) fn translate_notice(
    transport: &str,
    software: String,
    notice: Notice,
) -> Option<senda_store::What> {
    use senda_store::What as To;
    let event = |kind: &str, text: String| Some(To::Event { kind: kind.into(), text });
    match notice {
        Notice::Welcomed { .. } => Some(To::Seen { transport: transport.into(), software }),
        Notice::Displaced => {
            event("displaced", "a ninth session of the device ended this one".into())
        }
        Notice::TwoStreams { other } => {
            event("two-streams", format!("stream {other:016x} is live beside this one"))
        }
        Notice::Snapshot { next_row, high_row } => event(
            "snapshot",
            format!(
                "the device would give row {next_row} next, row {high_row} is already resolved"
            ),
        ),
        _ => None,
    }
}

/// The store's words in the engine's.
pub(crate) fn translate(verdict: senda_store::Verdict) -> Verdict {
    let fate = match verdict.outcome {
        Outcome::Stored | Outcome::PartlyDuplicate => Fate::Stored,
        Outcome::Duplicate => Fate::Duplicate,
        Outcome::Window => Fate::NoRange,
        Outcome::UnknownSchema => Fate::NoSchema,
        Outcome::Conflict | Outcome::TooManySchemas => Fate::Conflict,
        Outcome::Invalid | Outcome::Failed(_) => Fate::Failed,
    };
    let mark = Mark { next_row: verdict.next_row, ranges: verdict.ranges };
    Verdict { fate, mark, refused: verdict.refused }
}
