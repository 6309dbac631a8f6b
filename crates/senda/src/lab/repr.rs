//! Bytes and addresses as Python prints them, for the handout's programs do.

use std::fmt::Write;
use std::net::SocketAddr;

/// `b'Hola, mundo'`: what `repr` makes of a `bytes`.
pub(super) fn bytes(bytes: &[u8]) -> String {
    // As CPython: double quotes only where they save a backslash.
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut text = format!("b{quote}");
    for byte in bytes {
        // Writing to a String can't fail.
        let _ = match byte {
            b'\\' => write!(text, "\\\\"),
            b'\t' => write!(text, "\\t"),
            b'\n' => write!(text, "\\n"),
            b'\r' => write!(text, "\\r"),
            _ if char::from(*byte) == quote => write!(text, "\\{quote}"),
            0x20..0x7f => write!(text, "{}", char::from(*byte)),
            _ => write!(text, "\\x{byte:02x}"),
        };
    }
    text.push(quote);
    text
}

/// `('127.0.0.1', 61234)`, and of IPv6 `('::1', 61234, 0, 0)` with flow label and scope.
pub(super) fn address(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => format!("('{}', {})", address.ip(), address.port()),
        SocketAddr::V6(address) => format!(
            "('{}', {}, {}, {})",
            address.ip(),
            address.port(),
            address.flowinfo(),
            address.scope_id()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_look_as_in_python() {
        for (given, expected) in [
            (&b"Hola, mundo"[..], "b'Hola, mundo'"),
            (b"", "b''"),
            (b"it's", "b\"it's\""),
            (b"'\"", "b'\\'\"'"),
            (b"\"", "b'\"'"),
            (b"\\\t\n\r\x00\x7f\xc3\xb1", "b'\\\\\\t\\n\\r\\x00\\x7f\\xc3\\xb1'"),
        ] {
            assert_eq!(bytes(given), expected);
        }
    }

    #[test]
    fn an_address_looks_as_in_python() {
        assert_eq!(address(([127, 0, 0, 1], 61234).into()), "('127.0.0.1', 61234)");
        let v6 = "[::1]:5005".parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(address(v6), "('::1', 5005, 0, 0)");
    }
}
