//! Messages given as text.

use std::io::Write;

use senda_wire::{Frame, registry::MESSAGE_MAX, registry::SCHEMAS_MAX};

use super::print::Printer;
use crate::UsageError;

/// Shows the messages of a text; true when nothing is wrong with any.
pub(super) fn decode(text: &str, printer: &mut Printer<impl Write>) -> anyhow::Result<bool> {
    let bytes = parse(text)?;
    if bytes.is_empty() {
        return Err(UsageError("there are no bytes to decode".into()).into());
    }
    let mut at = 0;
    while at < bytes.len() {
        match Frame::decode(&bytes[at..], MESSAGE_MAX) {
            Ok(frame) => {
                printer.message(None, at as u64, &frame)?;
                at += frame.bytes.len();
            }
            Err(error) => {
                printer.failure(None, at as u64, bytes.len() - at, error)?;
                break;
            }
        }
    }
    Ok(printer.good)
}

/// `[ID=]HEX`.
pub(super) fn parse_schema(text: &str) -> Result<(u32, Vec<u8>), UsageError> {
    let wrong = |what: String| UsageError(format!("--schema: {what}"));
    let (id, hex) = text.split_once('=').unwrap_or(("0", text));
    let id = id.parse().ok().filter(|id| usize::try_from(*id).is_ok_and(|id| id < SCHEMAS_MAX));
    let id = id.ok_or_else(|| wrong(format!("an id is a number from 0 to {}", SCHEMAS_MAX - 1)))?;
    let description = parse(hex).map_err(|UsageError(error)| wrong(error))?;
    senda_wire::Schema::decode(&description).map_err(|error| wrong(format!("{error} (§4.2)")))?;
    Ok((id, description))
}

/// Bytes of hex digits; white space and colons between them don't matter.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, UsageError> {
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
        assert_eq!(parse("A1 42:00\n18").ok(), Some(vec![0xA1, 0x42, 0, 0x18]));
        assert!(parse("A1 4G").unwrap_err().to_string().contains("character 5"));
        assert!(parse("A14").unwrap_err().to_string().contains("3 hex digits"));
    }

    #[test]
    fn a_schema_has_an_id_that_a_stream_can_have() {
        let one_channel = "01670001 020000010000 0163 00";
        assert_eq!(parse_schema(one_channel).map(|(id, _)| id).ok(), Some(0));
        assert_eq!(parse_schema(&format!("63={one_channel}")).map(|(id, _)| id).ok(), Some(63));
        for wrong in ["64=01670001", "=01670001", "x=01670001", "3=0167", "0g"] {
            assert!(parse_schema(wrong).is_err(), "{wrong}");
        }
    }
}
