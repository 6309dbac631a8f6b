//! `senda lab unpack`: bytes to values, with the layout that makes byte order and padding visible.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use anyhow::anyhow;
use senda_struct::{Field, FieldKind, Format, Value};
use serde_json::{Value as Json, json};

use super::language::Language;
use super::structs::layout::Filled;
use super::structs::{SIZE_MAX, bytes, compile_within_limit, layout, literal, mistake};

/// Read values out of bytes, by a Python struct format
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  senda lab unpack '>iii' 00000001 00000002 00000003
  senda lab unpack --each '<Bh' '01 0200  03 0400'
  senda lab pack --raw '!Hf' 7 21.5 | senda lab unpack --raw --values '!Hf'

In JSON, bytes are a text in hex; nan, inf and -inf are texts, too.")]
pub(crate) struct Args {
    /// A format of Python's struct, such as '>iii'; quoted, for the shell knows < > ! as well
    #[arg(value_name = "FORMAT")]
    format: String,

    /// The bytes in hex; spaces and colons don't matter. `-` reads them from standard input
    #[arg(value_name = "HEX", required_unless_present = "raw", conflicts_with = "raw")]
    input: Vec<String>,

    /// Read the bytes themselves from standard input
    #[arg(long)]
    raw: bool,

    /// The bytes are in base64, not in hex
    #[arg(long, conflicts_with = "raw")]
    base64: bool,

    /// Read one structure after the other, until the bytes end
    #[arg(long)]
    each: bool,

    /// Begin at this byte; what follows the structure is ignored. Negative: from the end
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, conflicts_with = "each")]
    offset: Option<isize>,

    /// How to show them
    #[arg(long = "format", value_enum, default_value = "table", value_name = "SHAPE")]
    shape: Shape,

    /// The values alone, as Python prints them: the same as `--format values`
    #[arg(long, conflicts_with = "shape")]
    values: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Shape {
    /// One line a field
    Table,
    /// One line a structure, as Python prints a tuple
    Values,
    /// One JSON object a structure
    Json,
}

pub(super) fn run(args: &Args, language: Language) -> anyhow::Result<ExitCode> {
    let format = compile_within_limit(&args.format, language)?;
    let input = args.read_input(language)?;
    let shape = if args.values { Shape::Values } else { args.shape };
    let mut out = BufWriter::new(std::io::stdout().lock());
    for (nth, (start, values)) in args.structures(&format, &input, language)?.enumerate() {
        let bytes = input.get(start..start + format.size()).unwrap_or_default();
        let filled = Filled { bytes, values: &values, start };
        match shape {
            Shape::Table => write_table(&mut out, &format, &filled, nth, language)?,
            Shape::Values => writeln!(out, "{}", literal::python_tuple(&values))?,
            Shape::Json => writeln!(out, "{}", object(&format, &filled))?,
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn read_input(&self, language: Language) -> anyhow::Result<Vec<u8>> {
        if self.raw {
            return bytes::from_stdin(SIZE_MAX, language);
        }
        let text = match &self.input[..] {
            // Hex with a space after each byte is three times as long as what it says.
            [word] if word == "-" => {
                let text = bytes::from_stdin(3 * SIZE_MAX, language)?;
                String::from_utf8_lossy(&text).into_owned()
            }
            words => words.join(" "),
        };
        let bytes =
            if self.base64 { bytes::from_base64(&text) } else { bytes::from_hex(&text, language) };
        Ok(bytes?)
    }

    /// Where each structure begins, and its values.
    fn structures<'a>(
        &self,
        format: &'a Format,
        input: &'a [u8],
        language: Language,
    ) -> anyhow::Result<Box<dyn Iterator<Item = (usize, Vec<Value>)> + 'a>> {
        if self.each {
            let records = format.iter_unpack(input)?;
            return Ok(Box::new((0..).step_by(format.size()).zip(records)));
        }
        let Some(offset) = self.offset else {
            let values = format
                .unpack(input)
                .map_err(|error| anyhow!(mistake::of_bytes(format, &error, language)))?;
            return Ok(Box::new(std::iter::once((0, values))));
        };
        let values = format.unpack_from(input, offset)?;
        let start =
            if offset < 0 { input.len() - offset.unsigned_abs() } else { offset.unsigned_abs() };
        Ok(Box::new(std::iter::once((start, values))))
    }
}

fn write_table(
    out: &mut impl Write,
    format: &Format,
    filled: &Filled<'_>,
    nth: usize,
    language: Language,
) -> std::io::Result<()> {
    if nth == 0 {
        layout::write_summary(out, format, language)?;
    } else {
        writeln!(out)?;
    }
    layout::write_table(out, format, Some(filled), language)
}

/// One structure with its fields, padding included.
fn object(format: &Format, filled: &Filled<'_>) -> Json {
    let fields = format.fields().map(|field| {
        let Field { kind, offset, size, index, .. } = field;
        let bytes = filled.bytes.get(offset..offset + size).unwrap_or_default();
        let mut object = json!({ "offset": filled.start + offset, "size": size });
        match kind {
            FieldKind::Value(code) => object["code"] = json!(code.letter()),
            FieldKind::Padding => object["padding"] = json!("x"),
            FieldKind::Alignment => object["padding"] = json!("alignment"),
        }
        object["hex"] = json!(bytes::plain(bytes));
        if let Some(value) = index.and_then(|index| filled.values.get(index)) {
            object["value"] = json_of(value);
        }
        object
    });
    json!({
        "format": format.text(),
        "offset": filled.start,
        "size": format.size(),
        "values": filled.values.iter().map(json_of).collect::<Vec<_>>(),
        "fields": fields.collect::<Vec<_>>(),
    })
}

fn json_of(value: &Value) -> Json {
    match value {
        // Every field fits into one of the two.
        Value::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
            (Ok(value), _) => json!(value),
            (_, Ok(value)) => json!(value),
            _ => json!(value.to_string()),
        },
        Value::Float(value) if value.is_finite() => json!(value),
        Value::Float(_) => json!(literal::python(value)),
        Value::Bool(value) => json!(value),
        Value::Bytes(bytes) => json!(bytes::plain(bytes)),
    }
}
