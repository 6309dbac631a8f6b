//! What a fleet did, as text.

use std::fmt::Write as _;
use std::time::Duration;

use senda_sim::fleet::Figures;

/// One line while it runs.
pub(crate) fn live(figures: &Figures) -> String {
    let seconds = figures.elapsed.as_secs_f64().max(0.001);
    #[expect(clippy::cast_precision_loss, reason = "for eyes")]
    let rate = figures.made as f64 / seconds;
    format!(
        "{:>6.1} s  {} devices connected  {} rows made ({rate:.0}/s)  {} on disk  {} waiting  {} resent  ack p50 {} p99 {}",
        seconds,
        figures.serving,
        figures.made,
        figures.acked,
        figures.pending,
        figures.resent,
        latency(figures, 0.5),
        latency(figures, 0.99),
    )
}

/// The whole story, a line for each figure.
pub(crate) fn whole(figures: &Figures) -> String {
    let mut text = String::new();
    let rows = [
        ("rows made", figures.made, ""),
        ("acknowledged", figures.acked, "on the collector's disk"),
        ("refused", figures.refused, "for good, by the collector"),
        ("given up", figures.skipped, "by the devices, which said so"),
        ("not acknowledged", figures.pending, "when the fleet ended"),
        ("gone in reboots", figures.forgotten, "not acknowledged when their device rebooted"),
        ("not queued", figures.not_queued, "samples that found their device's queue full"),
        ("data messages", figures.messages, ""),
        ("resent", figures.resent, "of those, with rows that were sent before"),
        ("sessions", figures.sessions, ""),
        ("sessions lost", figures.lost_sessions, ""),
        ("configurations", figures.configured, "applied"),
        ("commands", figures.commands, "executed"),
        ("alerts", figures.alerts, "shown"),
        ("reboots", figures.reboots, ""),
    ];
    // Of what comes from the collector, or of it, only what did come.
    let rare = ["gone in reboots", "configurations", "commands", "alerts", "reboots"];
    for (name, count, remark) in rows {
        if count == 0 && rare.contains(&name) {
            continue;
        }
        let _ = writeln!(text, "  {name:<18} {count:>10}  {remark}").map(|()| trim_line(&mut text));
    }
    let _ = writeln!(
        text,
        "  {:<18} {:>10}  p99 {}  (from making a row to its ACK)",
        "ack latency p50",
        latency(figures, 0.5),
        latency(figures, 0.99)
    );
    text
}

/// The same for programs.
pub(crate) fn json(figures: &Figures) -> serde_json::Value {
    serde_json::json!({
        "elapsed_s": figures.elapsed.as_secs_f64(),
        "made": figures.made,
        "acknowledged": figures.acked,
        "refused": figures.refused,
        "given_up": figures.skipped,
        "not_acknowledged": figures.pending,
        "gone_in_reboots": figures.forgotten,
        "not_queued": figures.not_queued,
        "data_messages": figures.messages,
        "resent": figures.resent,
        "sessions": figures.sessions,
        "sessions_lost": figures.lost_sessions,
        "configured": figures.configured,
        "commands": figures.commands,
        "alerts": figures.alerts,
        "reboots": figures.reboots,
        "ack_latency_us": {
            "p50": figures.latency_us.value_at_quantile(0.5),
            "p99": figures.latency_us.value_at_quantile(0.99),
            "max": figures.latency_us.max(),
        },
    })
}

fn latency(figures: &Figures, quantile: f64) -> String {
    if figures.latency_us.is_empty() {
        return "-".to_owned();
    }
    let micros = figures.latency_us.value_at_quantile(quantile);
    let duration = Duration::from_micros(micros);
    if micros < 1_000 {
        format!("{micros} us")
    } else {
        format!("{:.1} ms", duration.as_secs_f64() * 1e3)
    }
}

/// A remark that is empty leaves spaces at the end of its line.
fn trim_line(text: &mut String) {
    let len = text.trim_end().len();
    text.truncate(len);
    text.push('\n');
}
