//! Bytes in and out: hex, base64, raw.

use std::fmt::Write as _;
use std::io::Read;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{literal, say};
use crate::UsageError;
use crate::lab::language::Language;

/// `01 ff 00`.
pub(in crate::lab) fn spaced(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(3 * bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        // Writing to a String can't fail.
        let _ = write!(text, "{}{byte:02x}", if at == 0 { "" } else { " " });
    }
    text
}

/// `01ff00`.
pub(in crate::lab) fn plain(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// With padding, on one line.
pub(in crate::lab) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Hex digits, or what Python prints of a `bytes`.
pub(in crate::lab) fn from_hex(text: &str, language: Language) -> Result<Vec<u8>, UsageError> {
    let text = text.trim();
    match literal::python_bytes(text, language) {
        Some(bytes) => bytes,
        None => crate::decode::hex::parse(text.strip_prefix("0x").unwrap_or(text)),
    }
}

/// White space doesn't matter: base64 comes in lines, too.
pub(in crate::lab) fn from_base64(text: &str) -> Result<Vec<u8>, UsageError> {
    let text: String = text.split_whitespace().collect();
    STANDARD.decode(text).map_err(|error| UsageError(format!("base64: {error}")))
}

/// All of standard input, which may have so many bytes.
pub(in crate::lab) fn from_stdin(most: usize, language: Language) -> anyhow::Result<Vec<u8>> {
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(limit).read_to_end(&mut bytes).context("read standard input")?;
    if bytes.len() > most {
        anyhow::bail!(say(
            language,
            format!("en la entrada estándar hay más de {most} bytes"),
            format!("there are more than {most} bytes on standard input"),
        ));
    }
    Ok(bytes)
}
