//! A ledger as the API says it, as text.

use std::io::{self, Write};

use serde_json::Value as Json;

use crate::text;

/// The lines of a ledger: the sum, and what needs more words.
pub(crate) fn lines(
    ledger: &Json,
    line: &mut impl FnMut(&str, String) -> io::Result<()>,
) -> io::Result<()> {
    let count = |name: &str| text::string(&ledger[name]);
    line(
        "ledger",
        format!(
            "{} made = {} stored + {} refused + {} given up + {} pending",
            count("made"),
            count("stored"),
            count("refused"),
            count("skipped"),
            count("pending")
        ),
    )?;
    if ledger["unexplained"] != 0 {
        line("", format!("{} UNEXPLAINED", count("unexplained")))?;
    }
    if ledger["unreadable"] != 0 {
        line("", format!("{} unreadable: see the table of that name", count("unreadable")))?;
    }
    line("", format!("{} COUNTS, in {} streams", count("counts"), count("streams")))?;
    if ledger["landed"] != 0 {
        line("", format!("{} of the stored are in the inbox, and not filed yet", count("landed")))?;
    }
    line("refused", pairs(&ledger["refused_by_code"]))?;
    line("given up", pairs(&ledger["skipped_by_cause"]))
}

/// The ledger of all devices, and what the collector did not take.
pub(crate) fn write_total(out: &mut impl Write, total: &Json) -> io::Result<()> {
    writeln!(out, "all devices")?;
    let mut line = |name: &str, value: String| -> io::Result<()> {
        if value.is_empty() { Ok(()) } else { writeln!(out, "  {name:<12}{value}") }
    };
    lines(&total["ledger"], &mut line)?;
    let collector = &total["collector"];
    writeln!(out, "since the collector began")?;
    for (name, words) in COLLECTOR {
        let count = match &collector[*name] {
            Json::Null => "?".to_owned(),
            count => text::string(count),
        };
        writeln!(out, "  {count:>10}  {words}")?;
    }
    let nacks = pairs(&collector["nacks"]);
    writeln!(out, "  NACKs by code: {}", if nacks.is_empty() { "none" } else { &nacks })
}

/// What the collector counts, in words.
const COLLECTOR: &[(&str, &str)] = &[
    ("messages", "messages"),
    ("duplicates", "data messages with nothing new"),
    ("kernel_drops", "datagrams that the kernel threw away (its buffer was full)"),
    ("bad_frames", "datagrams or streams with bytes that are no message"),
    ("bad_crcs", "of those: a wrong CRC"),
    ("bad_bodies", "messages whose body breaks its layout"),
    ("unknown_sessions", "messages of sessions that are not known"),
    ("strangers_untold", "of those: not answered, as the limits demand"),
    ("retries", "HELLOs that were asked for a cookie"),
    ("refused_hellos", "HELLOs that were refused"),
    ("withheld", "answers held back from addresses that were not proven"),
    ("dropped", "messages dropped for other reasons"),
    ("sends_failed", "datagrams that the system did not send"),
];

/// `code count` or `cause count`, with commas.
fn pairs(object: &Json) -> String {
    let entries = object.as_object().into_iter().flatten();
    let entries = entries.map(|(name, count)| format!("{name}: {count}"));
    entries.collect::<Vec<_>>().join(", ")
}
