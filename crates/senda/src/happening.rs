//! What happened to a simulated device, on a line.

use senda_sim::fleet::{Answer, Happening};

/// The line, without the device's name.
pub(crate) fn line(what: &Happening<'_>) -> String {
    match what {
        Happening::Welcomed(welcomed) => {
            format!("session {:08x} for stream {:016x}", welcomed.session, welcomed.stream)
        }
        Happening::Lost(reason) => format!("session lost: {reason:?}"),
        Happening::Config { revision, settings, answer } => {
            format!("CONFIG {revision}: {} -> {}", list(settings), answered(answer))
        }
        Happening::Command { id, name, arguments, answer } => {
            format!("COMMAND {id}: {name} {} -> {}", list(arguments), answered(answer))
        }
        Happening::Alert(alert) => {
            let state = if alert.raised { "raised" } else { "cleared" };
            let severity = ["information", "warning", "critical"];
            let severity = severity.get(usize::from(alert.severity)).copied().unwrap_or("unknown");
            format!(
                "ALERT {} {state}, {severity}: {}.{} {} {}",
                alert.id,
                alert.schema,
                alert.channel,
                alert.text,
                list(&alert.values)
            )
        }
        Happening::Time { offset_us, uncertainty_us } => {
            format!("TIME: UTC is its clock and {offset_us} us, give or take {uncertainty_us} us")
        }
        Happening::Rebooted { stream, forgotten } => {
            format!("rebooted: stream {stream:016x}; {forgotten} rows were not acknowledged")
        }
        _ => "did something else".to_owned(),
    }
}

fn list(values: &[senda_client::Argument]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    format!("({})", values.join(", "))
}

fn answered(answer: &Answer) -> String {
    let status = answer.status.name();
    let text = if answer.text.is_empty() { String::new() } else { format!(": {}", answer.text) };
    format!("{status}{text} {}", list(&answer.results))
}
