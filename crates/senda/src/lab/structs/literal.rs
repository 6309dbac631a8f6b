//! Values as words of a command line, and as Python prints them.

use senda_struct::{Code, Value};

use super::say;
use crate::UsageError;
use crate::lab::language::Language;
use crate::lab::repr;

/// Reads a word as what a field wants. Whether the field takes it is for the field to say.
pub(in crate::lab) fn parse(
    word: &str,
    code: Code,
    language: Language,
) -> Result<Value, UsageError> {
    match code {
        Code::Char | Code::Bytes | Code::Pascal => bytes(word, language).map(Value::Bytes),
        Code::Bool => number(word, language)?.ok_or_else(|| {
            UsageError(say(
                language,
                format!("{} no es true ni false ni un número", quiet(word)),
                format!("{} is neither true nor false nor a number", quiet(word)),
            ))
        }),
        // What is no number is refused as bytes are, in Python's words.
        _ => Ok(number(word, language)?.unwrap_or_else(|| word.as_bytes().into())),
    }
}

/// A value as Python prints it.
pub(in crate::lab) fn python(value: &Value) -> String {
    match value {
        Value::Int(value) => value.to_string(),
        Value::Float(value) => float(*value),
        Value::Bool(value) => (if *value { "True" } else { "False" }).to_owned(),
        Value::Bytes(bytes) => repr::bytes(bytes),
    }
}

/// Values as Python prints a tuple of them.
pub(in crate::lab) fn python_tuple(values: &[Value]) -> String {
    let items: Vec<String> = values.iter().map(python).collect();
    let comma = if items.len() == 1 { "," } else { "" };
    format!("({}{comma})", items.join(", "))
}

/// A word in quotes, without what a terminal would obey.
pub(super) fn quiet(word: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    format!("'{}'", word.chars().map(shown).collect::<String>())
}

/// The shortest digits that are this float; with an exponent where Python writes one.
fn float(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string().to_lowercase();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// An integer, a float, true or false.
fn number(word: &str, language: Language) -> Result<Option<Value>, UsageError> {
    if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") {
        return Ok(Some(Value::Bool(word.eq_ignore_ascii_case("true"))));
    }
    let (is_negative, magnitude) = match word.strip_prefix('-') {
        Some(magnitude) => (true, magnitude),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let lower = magnitude.to_ascii_lowercase();
    let radix = match lower.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => 10,
    };
    let digits: String = if radix == 10 { &lower } else { &lower[2..] }.split('_').collect();
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Ok(word.parse().ok().map(Value::Float));
    }
    match i128::from_str_radix(&digits, radix) {
        Ok(magnitude) => Ok(Some(Value::Int(if is_negative { -magnitude } else { magnitude }))),
        Err(_) => Err(UsageError(say(
            language,
            format!("{} no cabe en ningún campo: pasa de 127 bits", quiet(word)),
            format!("{} fits into no field: it has more than 127 bits", quiet(word)),
        ))),
    }
}

/// What Python prints of a `bytes`, if it looks like that.
pub(super) fn python_bytes(word: &str, language: Language) -> Option<Result<Vec<u8>, UsageError>> {
    let inner = ['\'', '"']
        .into_iter()
        .find_map(|quote| word.strip_prefix('b')?.strip_prefix(quote)?.strip_suffix(quote))?;
    Some(unescape(inner).ok_or_else(|| {
        UsageError(say(
            language,
            format!(r"{}: después de \ va n, r, t, 0, \, una comilla o xNN", quiet(word)),
            format!(r"{}: what follows \ is n, r, t, 0, \, a quote or xNN", quiet(word)),
        ))
    }))
}

/// Text as UTF-8, `0x616263`, or `b'...'` with Python's escapes.
fn bytes(word: &str, language: Language) -> Result<Vec<u8>, UsageError> {
    if let Some(hex) = word.strip_prefix("0x") {
        return crate::decode::hex::parse(hex);
    }
    python_bytes(word, language).unwrap_or_else(|| Ok(word.as_bytes().to_vec()))
}

/// None where a backslash is followed by something else.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0' => 0,
            quote @ (b'\\' | b'\'' | b'"') => quote,
            b'x' => {
                let (high, low) = (rest.next()?, rest.next()?);
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(high)? << 4 | digit(low)?).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str, letter: char) -> Result<Value, UsageError> {
        parse(word, Code::from_letter(letter).expect("a letter"), Language::En)
    }

    #[test]
    fn numbers_are_read_as_python_writes_them() {
        for (word, expected) in [
            ("7", 7),
            ("-7", -7),
            ("+7", 7),
            ("0xff", 255),
            ("-0XFF", -255),
            ("0b101", 5),
            ("0o17", 15),
            ("1_000", 1_000),
            ("18446744073709551615", i128::from(u64::MAX)),
        ] {
            assert_eq!(read(word, 'q').ok(), Some(Value::Int(expected)), "{word}");
        }
        for (word, expected) in
            [("1.5", 1.5), ("-inf", f64::NEG_INFINITY), ("1e3", 1e3), (".5", 0.5)]
        {
            assert_eq!(read(word, 'd').ok(), Some(Value::Float(expected)), "{word}");
        }
        assert!(matches!(read("nan", 'd'), Ok(Value::Float(nan)) if nan.is_nan()));
        assert_eq!(read("true", '?').ok(), Some(Value::Bool(true)));
        assert_eq!(read("False", '?').ok(), Some(Value::Bool(false)));
        assert!(read("no", '?').is_err(), "a text would be true");
        assert_eq!(read("one", 'i').ok(), Some(b"one".into()), "the field refuses it");
        assert!(read(&"9".repeat(60), 'Q').is_err());
    }

    #[test]
    fn bytes_are_text_or_hex_or_a_literal_of_pythons() {
        for (word, expected) in [
            ("abc", &b"abc"[..]),
            ("ñ", "ñ".as_bytes()),
            ("", b""),
            ("7", b"7"),
            ("0x00ff", b"\x00\xff"),
            (r"b'\x00\xff\n\\'", b"\x00\xff\n\\"),
            (r#"b"it's""#, b"it's"),
            ("b'ñ'", "ñ".as_bytes()),
            ("b'", b"b'"),
            ("big", b"big"),
        ] {
            assert_eq!(read(word, 's').ok(), Some(expected.into()), "{word}");
        }
        for wrong in ["0x0", "0xzz", r"b'\q'", r"b'\x0'", r"b'\'"] {
            assert!(read(wrong, 's').is_err(), "{wrong}");
        }
    }

    #[test]
    fn floats_look_as_in_python() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(python(&Value::Float(value)), expected);
        }
        assert_eq!(python_tuple(&[Value::Int(1)]), "(1,)");
        assert_eq!(python_tuple(&[Value::Bool(true), b"a".into()]), "(True, b'a')");
    }
}
