//! `senda raw`: devices that don't speak Senda/1. `docs/raw.md` describes their listeners.

mod check; // senda raw check

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use senda_server::raw::hex_dump;
use serde_json::Value as Json;

use crate::api::{Collector, escape};
use crate::decode::hex;
use crate::text::{self, Format};

/// Listeners for devices that don't speak Senda/1: try their formats, see what they do
#[derive(clap::Args)]
#[command(after_help = "\
Raw listeners stand as [[raw]] in the config file of `senda serve`: see docs/raw.md.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    Check(check::Args),
    List(List),
    Misfits(Misfits),
}

/// Show the raw listeners of a collector, and what became of their records
#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    collector: Collector,

    /// How to show them
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Show the bytes that fitted no format: who sent them, why not, and the bytes
#[derive(clap::Args)]
struct Misfits {
    #[command(flatten)]
    collector: Collector,

    /// Of this listener
    #[arg(value_name = "LISTENER")]
    listener: Option<String>,

    /// The newest so many
    #[arg(long, default_value_t = 10, value_name = "N")]
    limit: u32,

    /// How to show them
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Check(args) => check::run(args),
        Action::List(args) => list(args),
        Action::Misfits(args) => misfits(args),
    }
}

fn list(args: &List) -> anyhow::Result<ExitCode> {
    let answer = args.collector.api().get("/raw")?;
    let listeners = answer["listeners"].as_array().context("the collector names no listeners")?;
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Json => listeners.iter().try_for_each(|listener| writeln!(out, "{listener}"))?,
        Format::Text if listeners.is_empty() => eprintln!("this collector has no raw listener"),
        Format::Text => listeners.iter().try_for_each(|one| write_listener(&mut out, one))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write_listener(out: &mut impl Write, listener: &Json) -> std::io::Result<()> {
    let name = text::string(&listener["name"]);
    write!(out, "{name}  {}", text::string(&listener["format"]))?;
    for transport in ["udp", "tcp"] {
        if let Some(address) = listener[transport].as_str() {
            write!(out, "  {transport} {address}")?;
        }
    }
    let replies = listener["replies"] == Json::Bool(true);
    writeln!(
        out,
        "  {}",
        if replies { "replies" } else { "no replies: nobody is told what is stored" }
    )?;
    let count = |key: &str| text::string(&listener[key]);
    write!(
        out,
        "  {} devices, {} records: {} stored, {} repeated, {} busy",
        count("devices"),
        count("records"),
        count("stored"),
        count("repeated"),
        count("busy")
    )?;
    for (kind, number) in listener["misfits"].as_object().into_iter().flatten() {
        write!(out, ", {number} misfits by {}", kind.replace('_', " "))?;
    }
    if replies {
        write!(out, "; {} replies", count("replies_sent"))?;
        if listener["replies_failed"] != 0 {
            write!(out, ", {} could not be sent", count("replies_failed"))?;
        }
    }
    writeln!(out)
}

fn misfits(args: &Misfits) -> anyhow::Result<ExitCode> {
    let mut path = format!("/raw/misfits?limit={}", args.limit);
    if let Some(listener) = &args.listener {
        path += &format!("&listener={}", escape(listener));
    }
    let answer = args.collector.api().get(&path)?;
    let misfits = answer["misfits"].as_array().context("the collector names no misfits")?;
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Json => misfits.iter().try_for_each(|misfit| writeln!(out, "{misfit}"))?,
        Format::Text if misfits.is_empty() => eprintln!("everything fitted, as far as is kept"),
        Format::Text => misfits.iter().try_for_each(|misfit| write_misfit(&mut out, misfit))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write_misfit(out: &mut impl Write, misfit: &Json) -> anyhow::Result<()> {
    let [time, listener, peer, reason] =
        ["time", "listener", "peer", "reason"].map(|key| text::string(&misfit[key]));
    writeln!(out, "{time}  {listener}  from {peer}: {reason}")?;
    let digits = misfit["bytes"].as_str().unwrap_or_default();
    let bytes = hex::parse(digits.trim_start_matches("0x"))?;
    write!(out, "{}", hex_dump(&bytes))?;
    let cut = misfit["length"].as_u64().unwrap_or(0).saturating_sub(bytes.len() as u64);
    if cut > 0 {
        writeln!(out, "          and {cut} bytes more, which are not kept")?;
    }
    Ok(())
}
