//! `senda lab pack`: values to bytes, with the layout that makes byte order and padding visible.

use std::io::Write;
use std::process::ExitCode;

use senda_struct::{Field, FieldKind, Format, Value};

use super::language::Language;
use super::structs::layout::Filled;
use super::structs::{bytes, compile_within_limit, layout, literal, mistake};
use crate::UsageError;

/// Make bytes of values, by a Python struct format
#[derive(clap::Args)]
#[command(after_help = "\
Values are read as what their field wants:
  b B h H i I l L q Q n N P   7  -7  0xff  0b101  1_000
  e f d                       the same, and 21.5  1e-3  nan  inf
  ?                           true  false  or a number, where all but 0 is true
  c s p                       text, which becomes UTF-8;  0x00ff  as bytes in hex;  b'a\\x00\\n'  as in Python

Negative numbers may stand as they are; before words such as -inf or -0x10, write --

Examples:
  senda lab pack '>iii' 1 2 3
  senda lab pack '@bi' 1 2                the gap that alignment makes
  senda lab pack --raw '!Hf4s' 7 21.5 gh-7 | nc -u 127.0.0.1 5005
  senda lab pack '<d' -- -inf")]
pub(crate) struct Args {
    /// A format of Python's struct, such as '>iii'; quoted, for the shell knows < > ! as well
    #[arg(value_name = "FORMAT")]
    format: String,

    /// As many values as the format has
    #[arg(value_name = "VALUE", allow_negative_numbers = true)]
    values: Vec<String>,

    /// Write the bytes themselves and nothing else
    #[arg(long, group = "form")]
    raw: bool,

    /// Write the bytes in hex and nothing else
    #[arg(long, group = "form")]
    hex: bool,

    /// Write the bytes in base64 and nothing else
    #[arg(long, group = "form")]
    base64: bool,
}

pub(super) fn run(args: &Args, language: Language) -> anyhow::Result<ExitCode> {
    let format = compile_within_limit(&args.format, language)?;
    let given = read_values(&format, &args.values, language)?;
    let packed = format
        .pack(&given)
        .map_err(|error| mistake::of_values(&format, &args.values, &error, language))?;
    let mut out = std::io::stdout().lock();
    if args.raw {
        out.write_all(&packed)?;
    } else if args.hex {
        writeln!(out, "{}", bytes::plain(&packed))?;
    } else if args.base64 {
        writeln!(out, "{}", bytes::base64(&packed))?;
    } else {
        writeln!(out, "{}\n", bytes::spaced(&packed))?;
        layout::write_summary(&mut out, &format, language)?;
        // As they arrive: a text that was cut and a float that was rounded are seen.
        let values = format.unpack(&packed)?;
        let filled = Filled { bytes: &packed, values: &values, start: 0 };
        layout::write_table(&mut out, &format, Some(&filled), language)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Each word as what its field wants.
fn read_values(
    format: &Format,
    words: &[String],
    language: Language,
) -> Result<Vec<Value>, UsageError> {
    let fields = format.fields().filter_map(|Field { kind, .. }| match kind {
        FieldKind::Value(code) => Some(code),
        FieldKind::Padding | FieldKind::Alignment => None,
    });
    if words.len() != format.value_count() {
        // How many there are is what is wrong, whatever they are.
        return Ok(vec![Value::Bool(false); words.len()]);
    }
    words.iter().zip(fields).map(|(word, code)| literal::parse(word, code, language)).collect()
}
