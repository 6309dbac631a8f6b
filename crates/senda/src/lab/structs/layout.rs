//! A structure as a table: where each field is, what it is, its bytes and its value.

use std::io::{self, Write};

use senda_struct::{Field, FieldKind, Format, Value};

use super::bytes::spaced;
use super::describe;
use super::literal::python;
use super::say;
use crate::lab::language::Language;
use crate::text;

/// Fields that a table shows; a line says how many more there are.
const ROWS_MAX: usize = 1_000;
/// Bytes of a field that a table shows.
const BYTES_MAX: usize = 16;
/// Characters of a value that a table shows.
const VALUE_MAX: usize = 64;

/// The bytes of a structure and what they mean.
pub(in crate::lab) struct Filled<'a> {
    pub(in crate::lab) bytes: &'a [u8],
    pub(in crate::lab) values: &'a [Value],
    /// Where the structure begins; offsets count from the beginning of what was given.
    pub(in crate::lab) start: usize,
}

/// The format, its size and its byte order, on a line.
pub(in crate::lab) fn write_summary(
    out: &mut impl Write,
    format: &Format,
    language: Language,
) -> io::Result<()> {
    let (size, count) = (format.size(), format.value_count());
    let order = describe::byte_order(format, language);
    let bytes = if size == 1 { "byte" } else { "bytes" };
    let values = match count {
        1 => say(language, "valor", "value"),
        _ => say(language, "valores", "values"),
    };
    writeln!(out, "{size} {bytes}, {count} {values}; {order}")
}

/// One row a field. Without bytes and values these columns are not there, and the size of each field is.
pub(in crate::lab) fn write_table(
    out: &mut impl Write,
    format: &Format,
    filled: Option<&Filled<'_>>,
    language: Language,
) -> io::Result<()> {
    let header = language.choose(
        ["desde", "campo", "código", "bytes", "tipo", "bytes", "valor"],
        ["offset", "field", "code", "size", "type", "bytes", "value"],
    );
    let [offset, field, code, size, kind, bytes, value] = header;
    let (header, right): (Vec<&str>, &[usize]) = match filled {
        Some(_) => (vec![offset, field, code, kind, bytes, value], &[0, 1]),
        None => (vec![offset, field, code, size, kind], &[0, 1, 3]),
    };
    let rows = format.fields().take(ROWS_MAX).map(|field| row(format, &field, filled, language));
    text::write_columns(out, &header, rows, right)?;
    // All that is left are values or nearly so; which of them are padding is not worth walking them.
    match format.fields().nth(ROWS_MAX) {
        None => Ok(()),
        Some(next) => writeln!(
            out,
            "{}",
            say(
                language,
                format!("... y más, desde la posición {}", next.offset),
                format!("... and more, from offset {} on", next.offset),
            )
        ),
    }
}

fn row(
    format: &Format,
    field: &Field,
    filled: Option<&Filled<'_>>,
    language: Language,
) -> Vec<String> {
    let number = field.index.map_or_else(|| "-".to_owned(), |index| (index + 1).to_string());
    let letter = match field.kind {
        FieldKind::Value(code) => code.letter().to_string(),
        FieldKind::Padding => "x".to_owned(),
        FieldKind::Alignment => String::new(),
    };
    let kind = describe::field(format, field, language);
    let Some(Filled { bytes, values, start }) = filled else {
        return vec![field.offset.to_string(), number, letter, field.size.to_string(), kind];
    };
    let own = bytes.get(field.offset..field.offset + field.size).unwrap_or_default();
    let value = field.index.and_then(|index| values.get(index)).map(shown).unwrap_or_default();
    let offset = start + field.offset;
    vec![offset.to_string(), number, letter, kind, brief_bytes(own), brief(&value)]
}

/// As Python prints it; where that hides the letters of another language, with these.
fn shown(value: &Value) -> String {
    let Value::Bytes(bytes) = value else { return python(value) };
    let text = std::str::from_utf8(bytes).unwrap_or_default().trim_end_matches('\0');
    // Nothing that a terminal would obey, nor what writes from right to left.
    let is_plain = |c: char| c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ';
    let is_readable = !text.is_ascii() && text.chars().all(is_plain);
    if is_readable { format!("{} ({text})", python(value)) } else { python(value) }
}

fn brief_bytes(bytes: &[u8]) -> String {
    match bytes.get(..BYTES_MAX) {
        Some(first) if bytes.len() > BYTES_MAX => format!("{} ..", spaced(first)),
        _ => spaced(bytes),
    }
}

fn brief(value: &str) -> String {
    match value.char_indices().nth(VALUE_MAX) {
        Some((end, _)) => format!("{}..", &value[..end]),
        None => value.to_owned(),
    }
}
