//! `senda settings`: what devices should be set to, by name or pattern.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Map, Value as Json, json};
use ureq::http::Method;

use crate::UsageError;
use crate::api::{Collector, escape};
use crate::text::{self, Format};

/// Show or change what devices should be set to
#[derive(clap::Args)]
#[command(after_help = "\
Settings are desired state: devices get them when they differ from what they have, now or when they come. The first pattern
that matches a device counts, whole: what was set here (names before patterns, long ones first), then the config file.
`senda devices DEVICE` shows what became of them.
Examples:
  senda settings                                    all of them
  senda settings 'gh-*' interval=5s enable.door=off
  senda settings 'gh-*' --remove                    devices keep what they have")]
pub(crate) struct Args {
    #[command(flatten)]
    collector: Collector,

    /// A device's name; * stands for any characters
    #[arg(value_name = "PATTERN")]
    pattern: Option<String>,

    /// interval=5s, batch_rows=10, enable.CHANNEL=on, or any NAME=VALUE that your devices know
    #[arg(value_name = "NAME=VALUE")]
    settings: Vec<String>,

    /// Take what was set by hand for this pattern away
    #[arg(long, conflicts_with = "settings", requires = "pattern")]
    remove: bool,

    /// How to show them
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let api = args.collector.api();
    let mut out = std::io::stdout().lock();
    let show = |out: &mut dyn Write, entry: &Json| match args.format {
        Format::Json => writeln!(out, "{entry}"),
        Format::Text => writeln!(out, "{}", one_line(entry)),
    };
    let path = |pattern: &str| format!("/settings/{}", escape(pattern));
    match &args.pattern {
        Some(pattern) if args.remove => {
            api.ask(&Method::DELETE, &path(pattern), None)?;
        }
        Some(pattern) if !args.settings.is_empty() => {
            let settings: Map<String, Json> =
                args.settings.iter().map(|text| setting(text)).collect::<Result<_, _>>()?;
            let body = json!({ "settings": settings });
            show(&mut out, &api.ask(&Method::PUT, &path(pattern), Some(&body))?)?;
        }
        pattern => {
            let all = api.get("/settings")?;
            let all = all["settings"].as_array().map_or(&[][..], Vec::as_slice);
            let wanted = |entry: &&Json| {
                pattern.as_ref().is_none_or(|pattern| entry["pattern"] == **pattern)
            };
            all.iter().filter(wanted).try_for_each(|entry| show(&mut out, entry))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn one_line(entry: &Json) -> String {
    let from = if entry["from"] == "hand" { "the API" } else { "the config file" };
    let settings = text::list(&entry["settings"]);
    format!(
        "{}  {settings}  (revision {}, from {from})",
        text::string(&entry["pattern"]),
        entry["revision"]
    )
}

/// `NAME=VALUE` as the API takes it: durations in milliseconds, on and off as bool, numbers as numbers.
fn setting(text: &str) -> Result<(String, Json), UsageError> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| UsageError(format!("{text:?} is no setting: say NAME=VALUE")))?;
    if name == "interval" {
        let time = senda_sim::parse_duration(value)
            .map_err(|error| UsageError(format!("interval: {error}")))?;
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        return Ok(("interval_ms".to_owned(), json!(ms)));
    }
    let value = match value {
        "on" | "true" => json!(true),
        "off" | "false" => json!(false),
        _ => value.parse::<i64>().map_or_else(
            |_| {
                value
                    .parse::<f64>()
                    .ok()
                    .filter(|v| v.is_finite())
                    .map_or(json!(value), |v| json!(v))
            },
            |v| json!(v),
        ),
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_people_write_them() {
        let read = |text| setting(text).unwrap();
        assert_eq!(read("interval=5s"), ("interval_ms".into(), json!(5_000)));
        assert_eq!(read("enable.door=off"), ("enable.door".into(), json!(false)));
        assert_eq!(read("led=3"), ("led".into(), json!(3)));
        assert_eq!(read("gain=0.5"), ("gain".into(), json!(0.5)));
        assert_eq!(read("mode=eco"), ("mode".into(), json!("eco")));
        assert!(setting("interval=soon").is_err());
        assert!(setting("=1").is_err());
        assert!(setting("interval").is_err());
    }
}
