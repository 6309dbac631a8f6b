//! The vectors of `tests/vectors`, which come from CPython's own tests, against this crate and against CPython itself.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Command;

use senda_struct::{Error, PackError, Value, ValueError};
use serde_json::Value as Json;

/// Rows that are true everywhere.
const PORTABLE: [&str; 3] = ["formats.jsonl", "values.jsonl", "buffers.jsonl"];
/// Rows that are true on a little-endian machine whose `long` has 64 bits.
const NATIVE: &str = "native.jsonl";

#[test]
fn vectors_hold_for_this_crate() {
    let mut checked = PORTABLE.map(check_file).into_iter().sum::<usize>();
    if cfg!(all(unix, target_endian = "little", target_pointer_width = "64")) {
        checked += check_file(NATIVE);
    }
    assert!(checked > 800, "{checked} vectors");
}

/// What this crate is held against is true: CPython says so.
#[test]
fn vectors_hold_for_cpython() {
    let mut command = Command::new("python3");
    command
        .args(["-I", "-S"])
        .arg(folder().join("check.py"))
        .args(PORTABLE.map(|name| folder().join(name)));
    if cfg!(all(unix, target_endian = "little", target_pointer_width = "64")) {
        command.arg(folder().join(NATIVE));
    }
    let output = command.output().unwrap_or_else(|error| panic!("python3: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let (count, wrong) = said
        .strip_prefix("checked ")
        .and_then(|rest| rest.trim().split_once(", wrong "))
        .unwrap_or_else(|| panic!("{said}"));
    assert!(wrong == "0" && count.parse::<usize>().is_ok_and(|count| count > 800), "{said}");
}

/// Panics with every row that is wrong; how many there are otherwise.
fn check_file(name: &str) -> usize {
    let text = std::fs::read_to_string(folder().join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let (mut checked, mut wrong) = (0, Vec::new());
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let row: Vec<Json> = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{name}:{}: {error}", number + 1));
        let orders = text_of(&row[1]);
        let prefixes = if orders.is_empty() {
            vec![String::new()]
        } else {
            orders.chars().map(String::from).collect()
        };
        for prefix in prefixes {
            checked += 1;
            let row = Row {
                what: text_of(&row[0]),
                format: prefix + text_of(&row[2]),
                arguments: &row[3..],
            };
            if let Err(got) = row.check() {
                wrong.push(format!("{name}:{}: {}: {line}\n  got {got}", number + 1, row.format));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    checked
}

struct Row<'a> {
    what: &'a str,
    format: String,
    arguments: &'a [Json],
}

impl Row<'_> {
    /// The error is what was got instead.
    fn check(&self) -> Result<(), String> {
        let format = self.format.as_str();
        let (text, offset) =
            (|at| text_of(&self.arguments[at]), |at| offset_of(&self.arguments[at]));
        match self.what {
            "calcsize" => {
                let got = senda_struct::calcsize(format).map_err(Error::from);
                let size = self.arguments[0].as_u64();
                compare(
                    size.map_or_else(|| text(0).to_owned(), |size| size.to_string()),
                    got,
                    |size| size.to_string(),
                )
            }
            "pack" => {
                let got = senda_struct::pack(format, &values(text(0)));
                compare(expected_bytes(text(1)), got, |bytes| hex(&bytes))
            }
            "both" => self.check_both(&values(text(0)), &unhex(text(1))),
            "unpack" => {
                let got = senda_struct::unpack(format, &unhex(text(0)));
                compare(expected_values(text(1)), got, |values| shown(&values))
            }
            "pack_into" => {
                let mut buffer = unhex(text(0));
                let got = senda_struct::pack_into(format, &mut buffer, offset(1), &values(text(2)));
                let (after, refusal) = text(3).split_once('!').unwrap_or((text(3), ""));
                let after = if after.is_empty() { unhex(text(0)) } else { unhex(after) };
                let refusal =
                    if refusal.is_empty() { String::new() } else { format!("!{refusal}") };
                compare(hex(&after), Ok(()), |()| hex(&buffer))?;
                compare(refusal, got, |()| String::new())
            }
            "unpack_from" => {
                let got = senda_struct::unpack_from(format, &unhex(text(0)), offset(1));
                compare(expected_values(text(2)), got, |values| shown(&values))
            }
            "iter_unpack" => {
                let bytes = unhex(text(0));
                let got = senda_struct::iter_unpack(format, &bytes);
                let expected =
                    text(1).split('/').map(expected_values).collect::<Vec<_>>().join(" / ");
                compare(expected, got, |records| {
                    records.map(|record| shown(&record)).collect::<Vec<_>>().join(" / ")
                })
            }
            other => panic!("{other}"),
        }
    }

    fn check_both(&self, values: &[Value], bytes: &[u8]) -> Result<(), String> {
        let format = self.format.as_str();
        compare(hex(bytes), senda_struct::pack(format, values), |bytes| hex(&bytes))?;
        compare(shown(values), senda_struct::unpack(format, bytes), |values| shown(&values))?;
        let len = bytes.len();
        compare(len.to_string(), senda_struct::calcsize(format).map_err(Error::from), |size| {
            size.to_string()
        })?;
        let longer = [bytes, &[1]].concat();
        let refusal = format!("! unpack requires a buffer of {len} bytes");
        compare(refusal, senda_struct::unpack(format, &longer), |values| shown(&values))
    }
}

fn compare<T>(
    expected: String,
    got: Result<T, Error>,
    show: impl FnOnce(T) -> String,
) -> Result<(), String> {
    let got = match got {
        Ok(got) => show(got),
        Err(error) => format!("! {}", refusal(&error)),
    };
    if got == expected { Ok(()) } else { Err(format!("{got}, expected {expected}")) }
}

fn refusal(error: &Error) -> String {
    match error {
        Error::Pack(PackError::Value { error: ValueError::FloatTooLarge { .. }, .. }) => {
            format!("OverflowError: {error}")
        }
        _ => error.to_string(),
    }
}

fn expected_bytes(text: &str) -> String {
    if text.starts_with('!') { text.to_owned() } else { hex(&unhex(text)) }
}

fn expected_values(text: &str) -> String {
    if text.starts_with('!') { text.to_owned() } else { shown(&values(text)) }
}

/// With types and signs: `Int(1)` is not `Bool(true)`, and -0.0 not 0.0.
fn shown(values: &[impl Debug]) -> String {
    values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" ")
}

fn values(text: &str) -> Vec<Value> {
    let (mut values, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        // A text may have spaces in it.
        let end = match rest.strip_prefix('\'') {
            Some(inner) => inner.find('\'').map(|at| at + 2).expect("a closing quote"),
            None => 0,
        };
        let end = rest[end..].find(' ').map_or(rest.len(), |at| end + at);
        values.push(value(&rest[..end]));
        rest = rest[end..].trim_start();
    }
    values
}

fn value(word: &str) -> Value {
    if let Some((text, count)) = word.strip_prefix('\'').and_then(|rest| rest.split_once('\'')) {
        let count = count.strip_prefix('*').map_or(1, |count| count.parse().expect("a number"));
        return Value::Bytes(text.as_bytes().repeat(count));
    }
    if let Some(hex) = word.strip_prefix('x') {
        return Value::Bytes(unhex(hex));
    }
    match (word, word.parse()) {
        ("true" | "false", _) => Value::Bool(word == "true"),
        (_, Ok(integer)) => Value::Int(integer),
        _ => Value::Float(word.parse().unwrap_or_else(|error| panic!("{word}: {error}"))),
    }
}

/// Hex, where `78*3` is 787878.
fn unhex(text: &str) -> Vec<u8> {
    let part = |part: &str| {
        let (digits, count) = part.split_once('*').unwrap_or((part, "1"));
        let bytes = digits.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).expect("digits");
            u8::from_str_radix(pair, 16).unwrap_or_else(|error| panic!("{text}: {error}"))
        });
        bytes.collect::<Vec<u8>>().repeat(count.parse().expect("a number"))
    };
    text.split_whitespace().flat_map(part).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text_of(json: &Json) -> &str {
    json.as_str().unwrap_or_else(|| panic!("{json} is no text"))
}

fn offset_of(json: &Json) -> isize {
    let offset = json.as_i64().and_then(|offset| isize::try_from(offset).ok());
    offset.unwrap_or_else(|| panic!("{json} is no offset"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}
