//! `senda query`: what is stored, landed and filed alike.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use senda_server::json as reading;
use senda_store::{Cell, Query, Reader, Sample};
use serde_json::json;

use crate::{UsageError, paths};

/// Show stored readings, also while a collector runs
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  senda query --device gh-7 --since 1h
  senda query --channel temperature --format csv > temperature.csv
  senda query --sql 'SELECT device, avg(temperature) FROM greenhouse GROUP BY device'")]
pub(crate) struct Args {
    /// Directory of the store [default: $XDG_DATA_HOME/senda]
    #[arg(long, env = "SENDA_DATA", value_name = "DIR")]
    data: Option<PathBuf>,

    /// Of this device only
    #[arg(long)]
    device: Option<String>,

    /// This channel only
    #[arg(long)]
    channel: Option<String>,

    /// From this time on: 1h (ago), or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<i64>,

    /// Before this time: 10m (ago), or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<i64>,

    /// At most this many samples (the newest), or rows of --sql
    #[arg(long, default_value_t = 1000)]
    limit: usize,

    /// How to show them; json is one object a line
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    /// SQL instead (SQLite, read-only); tables and columns: docs/store.md
    #[arg(long, value_name = "SELECT", conflicts_with_all = ["device", "channel", "since", "until"])]
    sql: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For eyes
    Table,
    /// One line for each value, with a header
    Csv,
    /// One object a line
    Json,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let reader = Reader::open(&args.data.clone().unwrap_or_else(paths::data_dir))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match &args.sql {
        Some(sql) => write_answer(&mut out, &reader.sql(sql, args.limit)?, args.format)?,
        None => {
            let query = Query {
                device: args.device.clone(),
                channel: args.channel.clone(),
                since: args.since,
                until: args.until,
                limit: args.limit,
                newest: true,
            };
            write_samples(&mut out, &reader.query(&query)?, args.format)?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write_samples(out: &mut impl Write, samples: &[Sample], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => samples.iter().try_for_each(|sample| write_line(out, sample)),
        Format::Csv => write_csv(out, samples),
        Format::Json => {
            samples.iter().try_for_each(|sample| Ok(writeln!(out, "{}", reading::sample(sample))?))
        }
    }
}

/// `2026-11-22T10:00:00Z  gh-7  greenhouse  temperature=21.5 Cel  door=open`
fn write_line(out: &mut impl Write, sample: &Sample) -> anyhow::Result<()> {
    let flag = if sample.estimated { "~" } else { "" };
    write!(out, "{flag}{}  {}  {}", reading::time(sample.time), sample.device, sample.table.name)?;
    for (channel, value) in sample.table.channels.iter().zip(&sample.values) {
        let Some(value) = value else { continue };
        let text = reading::text(value, channel);
        let space = if channel.unit.is_empty() { "" } else { " " };
        write!(out, "  {}={text}{space}{}", channel.name, channel.unit)?;
    }
    Ok(writeln!(out)?)
}

fn write_csv(out: &mut impl Write, samples: &[Sample]) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["time", "device", "stream", "row", "schema", "channel", "unit", "value"])?;
    for sample in samples {
        let (time, stream) = (reading::time(sample.time), format!("{:016x}", sample.stream));
        let row = sample.row.to_string();
        for (channel, value) in sample.table.channels.iter().zip(&sample.values) {
            let Some(value) = value else { continue };
            let text = reading::text(value, channel);
            let (schema, name, unit) = (&sample.table.name, &channel.name, &channel.unit);
            csv.write_record([&time, &*sample.device, &stream, &row, schema, name, unit, &text])?;
        }
    }
    Ok(csv.flush()?)
}

fn write_answer(
    out: &mut impl Write,
    answer: &senda_store::Answer,
    format: Format,
) -> anyhow::Result<()> {
    match format {
        Format::Table => write_columns(out, answer)?,
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(&mut *out);
            csv.write_record(&answer.columns)?;
            for row in &answer.rows {
                csv.write_record(row.iter().map(cell_text))?;
            }
            csv.flush()?;
        }
        Format::Json => {
            for row in &answer.rows {
                let cells = answer.columns.iter().cloned().zip(row.iter().map(cell_json));
                writeln!(out, "{}", serde_json::Value::Object(cells.collect()))?;
            }
        }
    }
    if answer.is_cut {
        out.flush()?;
        eprintln!("senda: there are more rows; --limit sets how many are shown");
    }
    Ok(())
}

fn write_columns(out: &mut impl Write, answer: &senda_store::Answer) -> anyhow::Result<()> {
    let rows: Vec<Vec<String>> =
        answer.rows.iter().map(|row| row.iter().map(cell_text).collect()).collect();
    let width = |column: usize, name: &str| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
        cells.chain([name]).map(unicode_width::UnicodeWidthStr::width).max().unwrap_or(0)
    };
    let widths: Vec<usize> =
        answer.columns.iter().enumerate().map(|(column, name)| width(column, name)).collect();
    let mut line = |cells: &[String]| -> std::io::Result<()> {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| {
            let used = unicode_width::UnicodeWidthStr::width(cell.as_str());
            format!("{cell}{}", " ".repeat(width.saturating_sub(used)))
        });
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    line(&answer.columns)?;
    rows.iter().try_for_each(|row| line(row))?;
    Ok(())
}

fn cell_text(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
        Cell::Blob(bytes) => {
            bytes.iter().fold(String::from("0x"), |text, byte| text + &format!("{byte:02x}"))
        }
    }
}

fn cell_json(cell: &Cell) -> serde_json::Value {
    match cell {
        Cell::Null => json!(null),
        Cell::Integer(number) => json!(number),
        Cell::Real(number) => json!(number),
        Cell::Text(_) | Cell::Blob(_) => json!(cell_text(cell)),
    }
}

/// A time as RFC 3339, or as a duration before now.
fn parse_time(text: &str) -> Result<i64, UsageError> {
    if let Ok(ago) = senda_sim::parse_duration(text) {
        let ago = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
        return Ok(jiff::Timestamp::now().as_microsecond().saturating_sub(ago));
    }
    let time: Result<jiff::Timestamp, _> = text.parse();
    let wrong =
        |_| UsageError(format!("{text:?} is no time: say 1h (ago), or 2026-01-31T12:00:00Z"));
    Ok(time.map_err(wrong)?.as_microsecond())
}
