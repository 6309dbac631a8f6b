//! `senda tail`: readings and events as they are stored.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

use eventsource_stream::{Event, Eventsource};
use futures_util::{StreamExt, stream};
use serde_json::{Value as Json, json};

use crate::api::{Collector, escape};
use crate::text::{self, Format, Paint};
use crate::{UsageError, command};

/// Follow readings and events as they are stored
#[derive(clap::Args)]
#[command(after_help = "\
It shows what is on disk, as it gets there, until you stop it; when the collector goes away it waits for it to come back.
Examples:
  senda tail --device 'gh-*' --channel temperature
  senda tail --only alert,command --format json")]
pub(crate) struct Args {
    #[command(flatten)]
    collector: Collector,

    /// Of these devices; * stands for any characters
    #[arg(long, value_name = "PATTERN")]
    device: Option<String>,

    /// Readings of this schema
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,

    /// This channel alone
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,

    /// Only these: reading, event, command, alert, config
    #[arg(long, value_name = "KIND,...")]
    only: Option<String>,

    /// End after so many
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// How to show them
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// How long to wait for a collector that went away.
const COME_BACK: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let api = args.collector.api();
    let path = args.path();
    let mut events = api.follow(&path)?;
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut said = false;
    loop {
        let (seen, ended) = show(args, events, left)?;
        left -= seen;
        if left == 0 || ended {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("senda: the collector went away; waiting for it");
        events = loop {
            std::thread::sleep(COME_BACK);
            match api.follow(&path) {
                Ok(events) => break events,
                Err(error) if error.is::<UsageError>() => return Err(error),
                Err(error) if !said => {
                    tracing::debug!(%error, "not yet");
                    said = true;
                }
                Err(_) => {}
            }
        };
        eprintln!("senda: it is back; what was stored meanwhile is in `senda query`");
    }
}

impl Args {
    fn path(&self) -> String {
        let query = [
            ("device", &self.device),
            ("schema", &self.schema),
            ("channel", &self.channel),
            ("kinds", &self.only),
        ];
        let query = query
            .iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", escape(value.as_ref()?))));
        format!("/tail?{}", query.collect::<Vec<_>>().join("&"))
    }
}

/// Shows events until the connection ends; how many, and whether nobody reads them any more.
fn show(args: &Args, events: impl BufRead, most: u64) -> anyhow::Result<(u64, bool)> {
    let paint = Paint::for_stdout();
    // The parser is asynchronous; the bytes come from a blocking reader.
    let chunks = stream::iter(Chunks(events)).eventsource();
    let mut chunks = std::pin::pin!(chunks);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut seen = 0;
    while seen < most {
        let Some(Ok(event)) = runtime.block_on(chunks.next()) else {
            return Ok((seen, false));
        };
        let mut out = io::stdout().lock();
        let written = line(args.format, paint, &event).map(|line| writeln!(out, "{line}"));
        match written {
            Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok((seen, true));
            }
            Some(written) => written?,
            None => continue,
        }
        out.flush()?;
        seen += u64::from(event.event != "left-out");
    }
    Ok((seen, false))
}

/// What a reader gives, piece by piece.
struct Chunks<R>(R);

impl<R: BufRead> Iterator for Chunks<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.0.fill_buf() {
            Ok([]) => None,
            Ok(bytes) => {
                let piece = bytes.to_vec();
                self.0.consume(piece.len());
                Some(Ok(piece))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// One event as a line; `None` for what is not meant to be seen.
fn line(format: Format, paint: Paint, event: &Event) -> Option<String> {
    let mut data: Json = serde_json::from_str(&event.data).ok()?;
    if format == Format::Json {
        data["kind"] = match data.get("kind") {
            // An event has a kind of its own.
            Some(kind) => json!(format!("{}:{}", event.event, text::string(kind))),
            None => json!(event.event),
        };
        return Some(data.to_string());
    }
    let device = paint.bold(&text::string(&data["device"]));
    Some(match &*event.event {
        "reading" => reading(paint, &data),
        "event" => format!(
            "{}  {device}  {}: {}",
            paint.dim(&text::string(&data["time"])),
            text::string(&data["kind"]),
            text::string(&data["text"])
        ),
        "command" => format!("command  {}", command::one_line(&data)),
        "config" => format!(
            "config  {device}  revision {}: {} {}",
            data["revision"],
            text::string(&data["status"]),
            text::string(&data["text"])
        )
        .trim_end()
        .to_owned(),
        "alert" => {
            let state = text::string(&data["state"]);
            let state = if state == "raised" { paint.red(&state) } else { state };
            format!(
                "alert  {device}  #{} {} {state}: {}",
                data["id"],
                text::string(&data["rule"]),
                text::string(&data["text"])
            )
        }
        "left-out" => paint.red(&format!(
            "... {} commits were left out: too fast for this reader",
            data["commits"]
        )),
        _ => return None,
    })
}

/// `2026-11-22T10:00:00Z  gh-7  greenhouse  temperature=21.5 Cel  door=open`
fn reading(paint: Paint, data: &Json) -> String {
    let flag = if data["estimated"] == true { "~" } else { "" };
    let time = paint.dim(&format!("{flag}{}", text::string(&data["time"])));
    let mut line = format!(
        "{time}  {}  {}",
        paint.bold(&text::string(&data["device"])),
        text::string(&data["schema"])
    );
    for (channel, value) in data["values"].as_object().into_iter().flatten() {
        let unit = data["units"]
            .get(channel)
            .map_or_else(String::new, |unit| format!(" {}", text::string(unit)));
        line += &format!("  {channel}={}{unit}", text::string(value));
    }
    line
}
