//! What is wrong, in Python's words, with a caret under the place and what to do about it.

use senda_struct::{Format, FormatError, PackError, UnpackError, ValueError};
use unicode_width::UnicodeWidthStr;

use super::literal::quiet;
use super::say;
use crate::UsageError;
use crate::lab::language::Language;

/// All that a format is made of, but for byte orders and numbers.
const LETTERS: &str = "x c b B ? h H i I l L q Q n N e f d s p P";

/// A text that is no format.
pub(super) fn of_format(text: &str, error: FormatError, language: Language) -> UsageError {
    let place = point(text, error.at(), &advice(text, error, language));
    UsageError(format!("{error}\n{place}"))
}

/// Values that the format doesn't take.
pub(in crate::lab) fn of_values(
    format: &Format,
    words: &[String],
    error: &PackError,
    language: Language,
) -> UsageError {
    let text = format.text();
    let place = match *error {
        PackError::Value { index, at, error } => {
            let word = words.get(index).map_or("", String::as_str);
            let value = say(language, "valor", "value");
            let hint = hint(word, error, language);
            point(text, at, &format!("{value} {}: {}{hint}", index + 1, quiet(word)))
        }
        PackError::Count { expected, got, .. } if got < expected => {
            let missing = format.fields().find(|field| field.index == Some(got));
            let words = say(language, "falta su valor", "its value is missing");
            missing.map(|field| point(text, field.at, &words)).unwrap_or_default()
        }
        PackError::Count { expected, .. } => {
            let word = quiet(words.get(expected).map_or("", String::as_str));
            say(
                language,
                format!("  en el formato no queda sitio para {word}"),
                format!("  the format has no room left for {word}"),
            )
        }
        _ => String::new(),
    };
    UsageError(format!("{error}\n{place}").trim_end().to_owned())
}

/// Bytes that are not as many as the format has.
pub(in crate::lab) fn of_bytes(format: &Format, error: &UnpackError, language: Language) -> String {
    let UnpackError::Size { expected, got } = *error else { return error.to_string() };
    let missing = format.fields().find(|field| field.offset + field.size > got);
    if let Some(field) = missing {
        let words = say(
            language,
            format!("hay {got}, y este campo ya no está entero"),
            format!("there are {got}, and this field isn't whole"),
        );
        return format!("{error}\n{}", point(format.text(), field.at, &words));
    }
    let records = got.checked_div(expected).filter(|records| records * expected == got);
    let hint = match records {
        Some(records) => say(
            language,
            format!("hay {got}, o sea {records} registros: prueba con --each"),
            format!("there are {got}, which is {records} records: try --each"),
        ),
        None => say(
            language,
            format!("hay {got}: --offset dice dónde empezar, y lo que sobra no importa"),
            format!(
                "there are {got}: --offset says where to begin, and what is left doesn't matter"
            ),
        ),
    };
    format!("{error}\n  {hint}")
}

/// What to do about a text that is no format.
fn advice(text: &str, error: FormatError, language: Language) -> String {
    match error {
        FormatError::BadChar { at, found } => bad_char(&text[..at], found, language),
        FormatError::NativeOnly { code, .. } => {
            let letter = code.letter();
            say(
                language,
                format!(
                    "{letter} solo existe en formatos nativos (@): su tamaño depende de la máquina"
                ),
                format!(
                    "{letter} is for native formats (@) alone: its size depends on the machine"
                ),
            )
        }
        FormatError::CountWithoutCode { .. } => say(
            language,
            "después de este número falta el carácter que se repite",
            "the character that this number repeats is missing",
        ),
        FormatError::TooLong { .. } => say(
            language,
            format!("una estructura tiene como mucho {} bytes", isize::MAX),
            format!("a structure has at most {} bytes", isize::MAX),
        ),
        _ => say(
            language,
            "un formato se escribe solo con caracteres ASCII",
            "a format is written in ASCII characters alone",
        ),
    }
}

fn bad_char(before: &str, found: char, language: Language) -> String {
    if "@=<>!".contains(found) {
        return say(
            language,
            "el orden de los bytes es el primer carácter o ninguno",
            "the byte order is the first character or none",
        );
    }
    if found.is_ascii_whitespace() && before.ends_with(|c: char| c.is_ascii_digit()) {
        return say(
            language,
            "entre un número y su carácter no cabe un espacio",
            "there is no room for a space between a number and its character",
        );
    }
    let found = found.escape_default();
    say(
        language,
        format!("{found} no es ninguno de los caracteres de un formato: {LETTERS}"),
        format!("{found} is none of the characters of a format: {LETTERS}"),
    )
}

/// What may have been meant by a value that was refused.
fn hint(word: &str, error: ValueError, language: Language) -> String {
    let hint = match error {
        ValueError::NotAChar if word.chars().count() == 1 => say(
            language,
            format!("en UTF-8 son {} bytes", word.len()),
            format!("in UTF-8 it is {} bytes", word.len()),
        ),
        ValueError::NotAnInteger if word.parse::<f64>().is_ok() => say(
            language,
            "los números con decimales van en e, f o d",
            "numbers with a fraction go into e, f or d",
        ),
        _ => return String::new(),
    };
    format!(" ({hint})")
}

/// The format with a caret under one of its characters, and words beside it.
fn point(text: &str, at: usize, words: &str) -> String {
    // What moves the cursor would move the caret away: each control character is one space here.
    let shown = |text: &str| -> String {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    };
    let before = shown(text.get(..at).unwrap_or(text)).width();
    format!("  {}\n  {}^ {words}", shown(text), " ".repeat(before))
}
