//! `senda devices`: who is there, how fast, what is stored of them, what they are set to.

use std::io::Write;
use std::process::ExitCode;

use serde_json::Value as Json;

use crate::api::{Collector, escape};
use crate::ledger;
use crate::text::{self, Format};

/// List the devices of a collector
#[derive(clap::Args)]
#[command(after_help = "\
CONFIG is what the device made of its desired settings: applied, clamped, refused, pending, not_taken (it takes none), none.
LOST: rows that were refused, or that their devices gave up. UNEXPL: rows made that are neither stored, refused, given up nor
pending; anything but 0 is a fault. --ledger has the sums of all devices, and what the collector saw and did not take.")]
pub(crate) struct Args {
    #[command(flatten)]
    collector: Collector,

    /// Everything about this one
    #[arg(value_name = "DEVICE")]
    device: Option<String>,

    /// What became of all rows, of all devices together
    #[arg(long, conflicts_with = "device")]
    ledger: bool,

    /// How to show them
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let api = args.collector.api();
    let mut out = std::io::stdout().lock();
    if args.ledger {
        let total = api.get("/ledger")?;
        match args.format {
            Format::Json => writeln!(out, "{total}")?,
            Format::Text => ledger::write_total(&mut out, &total)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(device) = &args.device {
        let device = api.get(&format!("/devices/{}", escape(device)))?;
        match args.format {
            Format::Json => writeln!(out, "{device}")?,
            Format::Text => write_device(&mut out, &device)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut path = "/devices".to_owned();
    let mut all = Vec::new();
    loop {
        let mut page = api.get(&path)?;
        if let Some(devices) = page["devices"].as_array_mut() {
            all.append(devices);
        }
        match page["next_after"].as_str() {
            Some(after) => path = format!("/devices?after={}", escape(after)),
            None => break,
        }
    }
    match args.format {
        Format::Json => all.iter().try_for_each(|device| writeln!(out, "{device}"))?,
        Format::Text => write_table(&mut out, &all)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write_table(out: &mut impl Write, devices: &[Json]) -> std::io::Result<()> {
    if devices.is_empty() {
        eprintln!("no device was heard yet");
        return Ok(());
    }
    let header = ["DEVICE", "STATE", "SEEN", "ROWS/S", "STORED", "LOST", "UNEXPL", "CONFIG"];
    let rows = devices.iter().map(|device| {
        let ledger = &device["ledger"];
        let count = |name: &str| ledger[name].as_u64().unwrap_or(0);
        [
            text::string(&device["device"]),
            state(device),
            text::ago(&device["last_seen"]),
            format!("{:.1}", device["rows_per_second"].as_f64().unwrap_or(0.0)),
            text::string(&ledger["stored"]),
            (count("refused") + count("skipped")).to_string(),
            text::string(&ledger["unexplained"]),
            text::string(&device["config"]["state"]),
        ]
    });
    text::write_columns(out, &header, rows.map(Vec::from), &[3, 4, 5, 6])
}

fn state(device: &Json) -> String {
    match (device["online"].as_bool(), device["transport"].as_str()) {
        (Some(true), Some(transport)) => format!("online {transport}"),
        _ => "offline".to_owned(),
    }
}

fn write_device(out: &mut impl Write, device: &Json) -> std::io::Result<()> {
    let config = &device["config"];
    let clock = &device["clock"];
    writeln!(out, "{}  {}", text::string(&device["device"]), state(device))?;
    let mut line = |name: &str, value: String| -> std::io::Result<()> {
        if value.is_empty() { Ok(()) } else { writeln!(out, "  {name:<12}{value}") }
    };
    line("first seen", text::string(&device["first_seen"]))?;
    line("last seen", text::string(&device["last_seen"]))?;
    line("software", text::string(&device["software"]))?;
    line("takes", text::words(&device["takes"]))?;
    for session in device["sessions"].as_array().into_iter().flatten() {
        let since = text::string(&session["since"]);
        let transport = text::string(&session["transport"]);
        line(
            "session",
            format!("{transport} since {since}, stream {}", text::string(&session["stream"])),
        )?;
    }
    line("rate", format!("{:.2} rows/s", device["rows_per_second"].as_f64().unwrap_or(0.0)))?;
    ledger::lines(&device["ledger"], &mut line)?;
    if clock.is_object() {
        let uncertainty = match clock["uncertainty_us"].as_u64() {
            Some(micros) => format!(" ± {micros} µs"),
            None => String::new(),
        };
        let drift = match clock["drift_ppm"].as_f64() {
            Some(ppm) => format!(", drifts by {ppm:.1} ppm"),
            None => String::new(),
        };
        line(
            "clock",
            format!(
                "{}, UTC - clock = {} µs{uncertainty}{drift}",
                text::string(&clock["kind"]),
                clock["offset_us"]
            ),
        )?;
    }
    line("config", text::string(&config["state"]))?;
    let desired = &config["desired"];
    if desired.is_object() {
        line(
            "  desired",
            format!(
                "{} (revision {}, for {:?}, from {})",
                text::list(&desired["settings"]),
                desired["revision"],
                text::string(&desired["pattern"]),
                if desired["from"] == "hand" { "the API" } else { "the config file" }
            ),
        )?;
    }
    let reported = &config["reported"];
    if reported.is_object() {
        let said = [text::string(&reported["text"]), text::list(&reported["results"])].join("  ");
        line(
            "  reported",
            format!(
                "{} for revision {}  {}",
                text::string(&reported["status"]),
                reported["revision"],
                said.trim()
            )
            .trim_end()
            .to_owned(),
        )?;
    }
    Ok(())
}
