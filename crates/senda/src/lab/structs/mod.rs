//! What `pack`, `unpack` and `calcsize` share: mistakes shown where they are, values as words, layouts as tables.

pub(super) mod bytes; // bytes in and out: hex, base64, raw
pub(super) mod describe; // fields and byte orders in words
pub(super) mod layout; // fields as a table
pub(super) mod literal; // values as words, both ways
pub(super) mod mistake; // what is wrong, with a caret under it

use senda_struct::Format;

use super::language::Language;
use crate::UsageError;

/// Bytes that a structure, or the input of `unpack`, may have here: 16 MiB. The library has no such limit.
pub(super) const SIZE_MAX: usize = 16 << 20;

/// Compiles a format; a mistake is shown under the character that makes it.
pub(super) fn compile(text: &str, language: Language) -> Result<Format, UsageError> {
    Format::new(text).map_err(|error| mistake::of_format(text, error, language))
}

/// The same, of a structure that is small enough to be made here.
pub(super) fn compile_within_limit(text: &str, language: Language) -> Result<Format, UsageError> {
    let format = compile(text, language)?;
    let size = format.size();
    if size <= SIZE_MAX {
        return Ok(format);
    }
    Err(UsageError(say(
        language,
        format!("la estructura tendría {size} bytes; aquí se hacen de hasta {SIZE_MAX}"),
        format!("the structure would have {size} bytes; up to {SIZE_MAX} are made here"),
    )))
}

/// The one of two texts that is in this language.
fn say(language: Language, spanish: impl Into<String>, english: impl Into<String>) -> String {
    match language {
        Language::Es => spanish.into(),
        Language::En => english.into(),
    }
}
