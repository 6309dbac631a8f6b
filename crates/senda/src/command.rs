//! `senda command`: do this, at most once.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value as Json, json};
use ureq::http::Method;

use crate::UsageError;
use crate::api::{Api, Collector, escape};
use crate::text::{self, Format};

/// Tell a device to do something, at most once
#[derive(clap::Args)]
#[command(after_help = "\
The command is on the collector's disk when this returns: the device gets it now, or when it comes within its time to
live. It is never executed twice: without an answer its outcome is unknown, and giving it again is your decision.
States: queued, sent, done (see its status: ok, clamped, failed), refused, expired, unknown.
An argument is [NAME=][TYPE:]VALUE. Without a type 5 is an i64, 2.5 an f64, true and false bool, anything else text. Types:
bool u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 text blob time; u16e-1:21.5 is scaled; f32:[1,2.5] is a vector.
Exit code: 0 done (or given, without --wait), 1 otherwise.
Examples:
  senda command gh-7 set-interval 5s --wait
  senda command gh-7 valve level=u8:40 open=true blob:0x00ff time:2026-01-31T12:00:00Z
  senda command gh-7                        what it was told so far")]
pub(crate) struct Args {
    #[command(flatten)]
    collector: Collector,

    /// Whom
    #[arg(value_name = "DEVICE")]
    device: String,

    /// What; such as identify, reboot, read-now. Without it: the commands so far
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// With what
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    arguments: Vec<String>,

    /// How long it may wait for the device
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = senda_sim::parse_duration)]
    ttl: Duration,

    /// Wait for its end, at most so long; until its time to live is over unless told otherwise
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = senda_sim::parse_duration)]
    wait: Option<Option<Duration>>,

    /// How to show it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let api = args.collector.api();
    let path = format!("/devices/{}/commands", escape(&args.device));
    let Some(name) = &args.name else {
        return list(&api.get(&path)?, args.format);
    };
    let arguments: Vec<Json> =
        args.arguments.iter().map(|text| argument(text)).collect::<Result<_, _>>()?;
    let ttl_ms = u64::try_from(args.ttl.as_millis()).unwrap_or(u64::MAX);
    let body = json!({"name": name, "arguments": arguments, "ttl_ms": ttl_ms});
    let mut record = api.ask(&Method::POST, &path, Some(&body))?;
    if let Some(wait) = args.wait {
        // A little longer than it lives: an answer may be on its way.
        let patience = wait.unwrap_or(args.ttl + Duration::from_secs(10));
        record = follow(&api, &path, record, Instant::now() + patience)?;
    }
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Json => writeln!(out, "{record}")?,
        Format::Text => writeln!(out, "{}", one_line(&record))?,
    }
    let good = matches!(record["status"].as_str(), Some("ok" | "clamped"));
    let fine = args.wait.is_none() || (record["state"] == "done" && good);
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks until the command has ended, or patience has.
fn follow(api: &Api, path: &str, mut record: Json, until: Instant) -> anyhow::Result<Json> {
    let id = record["id"].as_u64().context("an answer without the command's id")?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let open = matches!(record["state"].as_str(), Some("queued" | "sent"));
        if !open || left.is_zero() {
            return Ok(record);
        }
        let wait = left.min(Duration::from_secs(30)).as_secs_f64();
        record = api.get(&format!("{path}/{id}?wait={wait:.3}"))?;
    }
}

fn list(answer: &Json, format: Format) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let commands = answer["commands"].as_array().map_or(&[][..], Vec::as_slice);
    match format {
        Format::Json => commands.iter().try_for_each(|record| writeln!(out, "{record}"))?,
        Format::Text if commands.is_empty() => eprintln!("no command was given to it yet"),
        Format::Text => {
            commands.iter().try_for_each(|record| writeln!(out, "{}", one_line(record)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `gh-7 #3 set-interval 5s: done ok  interval_ms=5000`
pub(crate) fn one_line(record: &Json) -> String {
    let head = [
        text::string(&record["device"]),
        format!("#{}", record["id"]),
        text::string(&record["name"]),
        text::list(&record["arguments"]),
    ];
    let state = record["state"].as_str().unwrap_or_default();
    let begun = match (state, record["begun"].as_bool()) {
        ("unknown", Some(true)) => "(the device has begun it)",
        ("unknown", Some(false)) => "(the device has not begun it)",
        ("unknown", None) => "(no answer came; it may have been executed)",
        ("queued", _) => "(the device gets it when it is here)",
        _ => "",
    };
    let tail = [
        state.to_owned(),
        text::string(&record["status"]),
        begun.to_owned(),
        text::string(&record["text"]),
        text::list(&record["results"]),
    ];
    let join = |parts: &[String]| {
        parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ")
    };
    format!("{}: {}", join(&head), join(&tail))
}

/// `[NAME=][TYPE:]VALUE` as the API takes it.
fn argument(text: &str) -> Result<Json, UsageError> {
    let (name, rest) = match text.split_once('=') {
        Some((name, rest)) if is_name(name) => (name, rest),
        _ => ("", text),
    };
    let typed = rest.split_once(':').and_then(|(of, value)| Some((split_type(of)?, value)));
    let mut object = match typed {
        Some(((of, exponent), value)) => {
            json!({"type": of, "exponent": exponent, "value": typed_value(of, value)?})
        }
        None => json!({"value": bare_value(rest)}),
    };
    if !name.is_empty() {
        object["name"] = json!(name);
    }
    Ok(object)
}

fn is_name(text: &str) -> bool {
    let good =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte);
    !text.is_empty() && text.bytes().all(good)
}

/// `u16`, or `u16e-1` with an exponent.
fn split_type(text: &str) -> Option<(&'static str, i8)> {
    let (of, exponent) = match text.split_once('e') {
        Some((of, exponent)) if is_type(of).is_some() => (of, exponent.parse().ok()?),
        _ => (text, 0),
    };
    Some((is_type(of)?, exponent))
}

fn is_type(text: &str) -> Option<&'static str> {
    TYPES.iter().find(|of| **of == text).copied()
}

fn typed_value(of: &str, text: &str) -> Result<Json, UsageError> {
    if let Some(elements) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && of != "text"
    {
        return Ok(elements.split(',').map(|element| json!(element.trim())).collect());
    }
    match of {
        "bool" => match text {
            "true" | "on" => Ok(json!(true)),
            "false" | "off" => Ok(json!(false)),
            _ => Err(UsageError(format!("{text:?} is no bool: say true or false"))),
        },
        "time" => Ok(text.parse::<i64>().map_or_else(|_| json!(text), |micros| json!(micros))),
        _ => Ok(json!(text)),
    }
}

fn bare_value(text: &str) -> Json {
    match text {
        "true" => json!(true),
        "false" => json!(false),
        _ => {
            let signed = text.parse::<i64>().map(|value| json!(value)).ok();
            let unsigned = || text.parse::<u64>().map(|value| json!(value)).ok();
            let starts_like_one =
                text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
            let float =
                || text.parse::<f64>().ok().filter(|_| starts_like_one).map(|value| json!(value));
            signed.or_else(unsigned).or_else(float).unwrap_or_else(|| json!(text))
        }
    }
}

const TYPES: &[&str] = &[
    "bool", "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f32", "f64", "text", "blob",
    "time",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_typed_by_what_they_look_like_or_as_they_say() {
        for (text, expected) in [
            ("5", json!({"value": 5})),
            ("-5", json!({"value": -5})),
            ("18446744073709551615", json!({"value": u64::MAX})),
            ("2.5", json!({"value": 2.5})),
            ("true", json!({"value": true})),
            ("5s", json!({"value": "5s"})),
            ("inf", json!({"value": "inf"})),
            ("level=u8:40", json!({"name": "level", "type": "u8", "exponent": 0, "value": "40"})),
            ("u16e-1:21.5", json!({"type": "u16", "exponent": -1, "value": "21.5"})),
            ("f32:[1, 2.5]", json!({"type": "f32", "exponent": 0, "value": ["1", "2.5"]})),
            ("text:a=b:c", json!({"type": "text", "exponent": 0, "value": "a=b:c"})),
            ("http://x", json!({"value": "http://x"})),
            ("A=b", json!({"value": "A=b"})),
            ("bool:off", json!({"type": "bool", "exponent": 0, "value": false})),
        ] {
            assert_eq!(argument(text).unwrap(), expected, "{text}");
        }
        assert!(argument("bool:maybe").is_err());
    }
}
