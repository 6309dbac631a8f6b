//! `senda raw check`: what a listener would make of some bytes.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use senda_server::raw::{Facts, Misfit, Raw, RawField, Recipe, Record, Reply, Status, hex_dump};
use senda_struct::{FieldKind, Format, Value};

use crate::decode::hex;
use crate::{UsageError, config, text};

/// Try a format on some bytes, or one of the listeners of a config file
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  senda raw check '>HIhB' 0007 6789abcd 0866 01
  senda raw check --config senda.toml weather 00076789abcd086601
The first shows the values; the second also whose record it is, when it was taken, the row that is stored and the reply.
It ends with 1 when the bytes do not fit. For the layout of a format, see `senda lab unpack`.")]
pub(super) struct Args {
    /// A Python struct format; with --config the name of a listener
    #[arg(value_name = "FORMAT")]
    format: String,

    /// The record: hex, with spaces as you like
    #[arg(value_name = "HEX", required = true)]
    hex: Vec<String>,

    /// Config file with the listener
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where the record is supposed to come from
    #[arg(long, value_name = "ADDRESS", default_value = "192.0.2.1:1024")]
    from: SocketAddr,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let raw = args.listener()?;
    let (recipe, reply) = raw.compile().map_err(|error| UsageError(describe(&error)))?;
    let bytes = hex::parse(&args.hex.concat())?;
    let mut out = std::io::stdout().lock();
    let format = recipe.format();
    writeln!(
        out,
        "format {:?}: {} bytes, {} values",
        format.text(),
        format.size(),
        format.value_count()
    )?;
    let read = recipe.read(&bytes, args.from);
    match &read {
        Ok(record) => {
            write_values(&mut out, &raw, &recipe, &bytes, &record.values)?;
            if args.config.is_some() {
                write_row(&mut out, &raw, &recipe, record)?;
            }
        }
        Err(misfit) => write_misfit(&mut out, misfit, &bytes)?,
    }
    if let (Some(reply), true) = (&reply, args.config.is_some()) {
        let udp_is_silent = raw.udp.is_some() && bytes.len() != format.size();
        write_reply(&mut out, reply, read.as_ref().ok(), &raw, udp_is_silent)?;
    }
    Ok(if read.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    /// The listener of the file, or one that has nothing but the format.
    fn listener(&self) -> anyhow::Result<Raw> {
        let Some(path) = &self.config else {
            let format = Format::new(&self.format)
                .map_err(|error| UsageError(format!("format {:?}: {error}", self.format)))?;
            if format.value_count() > VALUES_MAX {
                let (text, count) = (format.text(), format.value_count());
                let error =
                    format!("format {text:?} has {count} values; {VALUES_MAX} at most are shown");
                return Err(UsageError(error).into());
            }
            // Names by number; bytes are shown as bytes.
            let named = format.fields().filter_map(|field| match field.kind {
                FieldKind::Value(code) => Some(code.letter()),
                FieldKind::Padding | FieldKind::Alignment => None,
            });
            let fields = named.enumerate().map(|(number, letter)| RawField {
                blob: matches!(letter, 's' | 'p' | 'c'),
                ..RawField::new(format!("v{number}"))
            });
            return Ok(Raw::new("record", self.format.clone(), fields.collect()));
        };
        let file = config::read(path)?;
        let names: Vec<&str> = file.raw.iter().map(config::RawEntry::name).collect();
        let entry = file.raw.iter().find(|entry| entry.name() == self.format).ok_or_else(|| {
            UsageError(match names.is_empty() {
                true => format!("{} has no [[raw]]", path.display()),
                false => format!(
                    "{} has no [[raw]] called {:?}; it has {}",
                    path.display(),
                    self.format,
                    names.join(", ")
                ),
            })
        })?;
        entry.to_raw().with_context(|| format!("config file {}", path.display()))
    }
}

/// A line for each value: where it is, its bytes, what it is called and is.
fn write_values(
    out: &mut impl Write,
    raw: &Raw,
    recipe: &Recipe,
    bytes: &[u8],
    values: &[Value],
) -> std::io::Result<()> {
    let names = raw.fields.iter().flat_map(|field| {
        let elements = usize::from(field.elements.max(1));
        (0..elements).map(move |element| match elements {
            1 => field.name.clone(),
            _ => format!("{}[{element}]", field.name),
        })
    });
    let places = recipe.format().fields().filter(|field| field.index.is_some());
    for ((place, name), value) in places.zip(names).zip(values) {
        let letter = match place.kind {
            FieldKind::Value(code) => code.letter(),
            FieldKind::Padding | FieldKind::Alignment => 'x',
        };
        let its = bytes.get(place.offset..place.offset + place.size).unwrap_or_default();
        let hex: Vec<String> = its.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(
            out,
            "{:6}  {letter}  {:<24} {name} = {}",
            place.offset,
            hex.join(" "),
            show(value)
        )?;
    }
    Ok(())
}

fn show(value: &Value) -> String {
    match value {
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Bool(value) => value.to_string(),
        Value::Bytes(bytes) => format!("\"{}\"", bytes.escape_ascii()),
    }
}

/// What becomes of it in the store.
fn write_row(
    out: &mut impl Write,
    raw: &Raw,
    recipe: &Recipe,
    record: &Record,
) -> anyhow::Result<()> {
    let time = record.time.map_or("when it arrives".to_owned(), senda_server::json::time);
    writeln!(out, "device {}, time {time}, table {}", record.device, raw.name)?;
    for (name, unit, value) in recipe.row(record) {
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        // Text of a record may hold anything.
        let value = text::string(&serde_json::Value::String(value));
        writeln!(out, "        {name} = {value}{unit}")?;
    }
    Ok(())
}

fn write_reply(
    out: &mut impl Write,
    reply: &Reply,
    record: Option<&Record>,
    raw: &Raw,
    udp_is_silent: bool,
) -> anyhow::Result<()> {
    if udp_is_silent {
        writeln!(out, "reply over UDP: none, for a datagram that is no record is not answered")?;
        if raw.tcp.is_none() {
            return Ok(());
        }
    }
    let status = if record.is_some() { Status::Stored } else { Status::Refused };
    let interval_ms = raw.reply.as_ref().map_or(0, |told| told.interval_ms);
    let facts = Facts { status, now_us: jiff::Timestamp::now().as_microsecond(), interval_ms };
    match reply.pack(record.map(|record| &record.values[..]), facts) {
        Ok(bytes) => {
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let after = if record.is_some() { ", after the commit" } else { "" };
            writeln!(
                out,
                "reply {:?} ({}{after}): {}",
                reply.format().text(),
                status.name(),
                hex.join(" ")
            )?;
        }
        Err(error) => writeln!(out, "reply: none, for {error}")?,
    }
    Ok(())
}

fn write_misfit(out: &mut impl Write, misfit: &Misfit, bytes: &[u8]) -> std::io::Result<()> {
    writeln!(out, "it does not fit: {misfit}")?;
    write!(out, "{}", hex_dump(bytes))
}

/// An error and its causes on one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Values of a format that is tried; a listener's schema has fewer.
const VALUES_MAX: usize = 256;
