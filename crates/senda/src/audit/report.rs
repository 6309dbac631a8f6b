//! The outcome of an audit, as text and as JSON.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::compare::Outcome;
use super::lines::Lines;

/// For eyes.
pub(super) fn table(journals: &[Lines], dir: &Path, outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    for journal in journals {
        let torn = match journal.torn {
            0 => String::new(),
            1 => ", 1 torn line left out".to_owned(),
            torn => format!(", {torn} torn lines left out"),
        };
        let _ = writeln!(text, "journal {}: {} lines{torn}", journal.path.display(), journal.count);
    }
    let _ = writeln!(text, "store {}", dir.display());
    let lines = [
        ("made", outcome.made, "by the journals"),
        ("stored", outcome.stored, "under the numbers that they were given"),
        ("  acknowledged", outcome.acknowledged, "of those"),
        ("  not filed yet", outcome.landed, "of those"),
        ("refused", outcome.refused, "for good, and recorded"),
        ("  not heard", outcome.unheard, "of those: the NACK was lost, and an ACK passed them"),
        ("given up", outcome.given_up, "by their devices, and recorded"),
        ("  not yet told", outcome.untold, "given up, and the store does not know"),
        ("pending", outcome.pending, "neither stored nor acknowledged"),
        ("under two numbers", outcome.two_numbers, "stored before and after a renumbering"),
        ("differences", outcome.differences(), ""),
    ];
    for (name, count, words) in lines {
        let always = !name.starts_with("  ") && name != "under two numbers";
        if always || count > 0 {
            let line = format!("  {name:<18} {count:>10}  {words}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    for difference in &outcome.named {
        let row = difference.row.map(|row| format!(" row {row}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "{:<9} {} stream {:016x}{row}: {}",
            difference.kind.name(),
            difference.device,
            difference.stream,
            difference.text
        );
    }
    let more = outcome.differences() - outcome.named.len() as u64;
    if more > 0 {
        let kinds: Vec<String> = outcome
            .differences
            .iter()
            .map(|(kind, count)| format!("{count} {}", kind.name()))
            .collect();
        let _ = writeln!(text, "... and {more} more; in all {}", kinds.join(", "));
    }
    text
}

/// For programs.
pub(super) fn json(journals: &[Lines], dir: &Path, outcome: &Outcome) -> Json {
    let journals: Vec<Json> = journals
        .iter()
        .map(|journal| {
            let file = journal.path.display().to_string();
            json!({"file": file, "lines": journal.count, "torn": journal.torn})
        })
        .collect();
    let kinds: serde_json::Map<String, Json> = outcome
        .differences
        .iter()
        .map(|(kind, count)| (kind.name().to_ascii_lowercase(), json!(count)))
        .collect();
    let named: Vec<Json> = outcome
        .named
        .iter()
        .map(|difference| {
            json!({
                "kind": difference.kind.name().to_ascii_lowercase(),
                "device": difference.device,
                "stream": format!("{:016x}", difference.stream),
                "row": difference.row,
                "text": difference.text,
            })
        })
        .collect();
    json!({
        "journals": journals,
        "store": dir.display().to_string(),
        "made": outcome.made,
        "stored": outcome.stored,
        "acknowledged": outcome.acknowledged,
        "landed": outcome.landed,
        "refused": outcome.refused,
        "unheard": outcome.unheard,
        "given_up": outcome.given_up,
        "untold": outcome.untold,
        "pending": outcome.pending,
        "two_numbers": outcome.two_numbers,
        "differences": outcome.differences(),
        "kinds": kinds,
        "named": named,
    })
}
