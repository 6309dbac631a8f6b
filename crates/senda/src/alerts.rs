//! `senda alerts`: conditions that hold or held, seen and cleared.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value as Json, json};
use ureq::http::Method;

use crate::api::Collector;
use crate::text::{self, Format, Paint};

/// Show alerts; mark them as seen, or clear them by hand
#[derive(clap::Args)]
#[command(after_help = "\
Without a subcommand: the alerts that hold now. Rules stand in the collector's config file: see docs/alerts.md.")]
pub(crate) struct Args {
    #[command(flatten)]
    collector: Collector,

    #[command(subcommand)]
    action: Option<Action>,

    /// Those that do not hold any more, too
    #[arg(long)]
    all: bool,

    /// Of this device
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// How to show them
    #[arg(long, value_enum, default_value = "text", global = true)]
    format: Format,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Somebody has seen it: it holds on, and is not repeated to people
    Ack {
        /// Number of the alert
        id: u32,
        /// Who saw it
        #[arg(long, env = "USER", default_value = "")]
        by: String,
    },
    /// Close it by hand: it is raised again only after its condition was false in between
    Clear {
        /// Number of the alert
        id: u32,
    },
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let api = args.collector.api();
    let mut out = std::io::stdout().lock();
    let alerts = match &args.action {
        Some(Action::Ack { id, by }) => {
            let path = format!("/alerts/{id}/acknowledge");
            vec![api.ask(&Method::POST, &path, Some(&json!({ "by": by })))?]
        }
        Some(Action::Clear { id }) => {
            vec![api.ask(&Method::POST, &format!("/alerts/{id}/clear"), Some(&json!({})))?]
        }
        None => {
            let mut path = "/alerts?limit=1000".to_owned();
            if !args.all {
                path += "&raised=true";
            }
            if let Some(device) = &args.device {
                path += &format!("&device={}", crate::api::escape(device));
            }
            api.get(&path)?["alerts"].as_array().cloned().unwrap_or_default()
        }
    };
    match args.format {
        Format::Json => alerts.iter().try_for_each(|alert| writeln!(out, "{alert}"))?,
        Format::Text if alerts.is_empty() => eprintln!("no alert holds"),
        Format::Text => {
            let paint = Paint::for_stdout();
            alerts.iter().try_for_each(|alert| writeln!(out, "{}", one_line(paint, alert)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn one_line(paint: Paint, alert: &Json) -> String {
    let state = text::string(&alert["state"]);
    let state = if state == "raised" { paint.red(&state) } else { state };
    let seen = match alert["acknowledged"].as_str() {
        Some(_) => format!("  seen by {}", text::string(&alert["acknowledged_by"])),
        None => String::new(),
    };
    format!(
        "#{}  {}  {state}  {}  {} {}{}  {}{seen}",
        alert["id"],
        text::string(&alert["raised"]),
        paint.bold(&text::string(&alert["device"])),
        text::string(&alert["severity"]),
        text::string(&alert["rule"]),
        match alert["channel"].as_str() {
            Some(channel) if !channel.is_empty() => format!(" ({channel})"),
            _ => String::new(),
        },
        text::string(&alert["text"]),
    )
}
