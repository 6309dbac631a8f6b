//! `senda decode`: messages field by field, with the section of the specification.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::process::ExitCode;

use senda_wire::{Frame, registry::MESSAGE_MAX};

use crate::UsageError;
use crate::show::{self, Schemas};

/// Show messages field by field, from hex
#[derive(clap::Args)]
#[command(after_help = "Example: senda decode 'A142001800000000000000010000000000000007 0D1F5A5E'")]
pub(crate) struct Args {
    /// The bytes of one or more messages in hex; spaces, colons and line ends don't matter. `-` reads standard input
    #[arg(required = true)]
    hex: Vec<String>,

    /// Description of schema 0 in hex (specification §4.2), so that rows are shown as values
    #[arg(long, value_name = "HEX")]
    schema: Option<String>,

    /// How to show them
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// One line a field
    Table,
    /// One JSON object a message
    Json,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = if args.hex == ["-"] {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text
    } else {
        args.hex.concat()
    };
    let bytes = parse_hex(&text)?;
    if bytes.is_empty() {
        return Err(UsageError("there are no bytes to decode".into()).into());
    }
    let mut schemas = Schemas::default();
    if let Some(schema) = &args.schema {
        let description = parse_hex(schema)?;
        senda_wire::Schema::decode(&description)
            .map_err(|error| UsageError(format!("--schema: {error} (§4.2)")))?;
        schemas.insert((0, 0), description);
    }
    let mut out = std::io::stdout().lock();
    let mut offset = 0;
    let mut all_good = true;
    while offset < bytes.len() {
        match Frame::decode(&bytes[offset..], MESSAGE_MAX) {
            Ok(frame) => {
                schemas.learn(&frame);
                all_good &= write_message(&mut out, &frame, offset, &schemas, args.format)?;
                offset += frame.bytes.len();
            }
            Err(error) => {
                write_failure(&mut out, error, offset, bytes.len() - offset, args.format)?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes one message; true when nothing is wrong with it.
fn write_message(
    out: &mut impl Write,
    frame: &Frame<'_>,
    offset: usize,
    schemas: &Schemas,
    format: Format,
) -> anyhow::Result<bool> {
    let (name, section) = show::title(frame);
    let (lines, wrong) = show::fields(frame, schemas);
    match format {
        Format::Table => {
            writeln!(out, "{name}, {} bytes at {offset}, §{section}", frame.bytes.len())?;
            for line in &lines {
                let field = &frame.bytes[line.offset..line.offset + line.len];
                writeln!(
                    out,
                    "  {:>5}  {:<24} {:<20} {}",
                    line.offset,
                    hex(field, 8),
                    line.name,
                    line.value
                )?;
            }
            if let Some(wrong) = &wrong {
                writeln!(out, "  malformed: {wrong} (§5.26)")?;
            }
        }
        Format::Json => {
            let fields: Vec<_> = lines
                .iter()
                .map(|line| {
                    serde_json::json!({
                        "name": line.name, "offset": line.offset, "length": line.len, "value": line.value,
                    })
                })
                .collect();
            let message = serde_json::json!({
                "type": name, "section": section, "offset": offset, "length": frame.bytes.len(),
                "fields": fields, "error": wrong,
            });
            writeln!(out, "{message}")?;
        }
    }
    Ok(wrong.is_none())
}

fn write_failure(
    out: &mut impl Write,
    error: senda_wire::FrameError,
    offset: usize,
    left: usize,
    format: Format,
) -> anyhow::Result<()> {
    let (name, section) = (error.name(), error.section());
    match format {
        Format::Table => writeln!(
            out,
            "no message at {offset} ({left} bytes left): {error} ({name}, §{section})"
        )?,
        Format::Json => {
            let text = error.to_string();
            let failure = serde_json::json!({ "error": text, "name": name, "section": section, "offset": offset });
            writeln!(out, "{failure}")?;
        }
    }
    Ok(())
}

/// Bytes as hex, at most `most` of them.
fn hex(bytes: &[u8], most: usize) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(most) {
        let _ = write!(text, "{byte:02x} ");
    }
    if bytes.len() > most {
        text.push_str("..");
    }
    text.trim_end().to_owned()
}

fn parse_hex(text: &str) -> Result<Vec<u8>, UsageError> {
    let digits: Vec<(usize, char)> =
        text.chars().enumerate().filter(|(_, c)| !c.is_whitespace() && *c != ':').collect();
    if let Some((at, wrong)) = digits.iter().find(|(_, c)| !c.is_ascii_hexdigit()) {
        return Err(UsageError(format!(
            "character {} of the hex is {wrong:?}, which is no hex digit",
            at + 1
        )));
    }
    if !digits.len().is_multiple_of(2) {
        return Err(UsageError(format!(
            "{} hex digits are no whole number of bytes",
            digits.len()
        )));
    }
    let value = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    Ok(digits.chunks_exact(2).map(|pair| value(pair[0].1) << 4 | value(pair[1].1)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_may_have_spaces_and_says_what_is_wrong() {
        assert_eq!(parse_hex("A1 42:00\n18").ok(), Some(vec![0xA1, 0x42, 0, 0x18]));
        assert!(parse_hex("A1 4G").unwrap_err().to_string().contains("character 5"));
        assert!(parse_hex("A14").unwrap_err().to_string().contains("3 hex digits"));
    }
}
