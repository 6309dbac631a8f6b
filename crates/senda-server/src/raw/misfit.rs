//! Bytes that do not fit: why, and how they are shown.

use std::fmt::Write;

/// Why bytes make no row.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Misfit {
    /// Not as long as the format.
    #[error("{len} bytes, and a record has {expected}")]
    Length {
        /// How long they are.
        len: usize,
        /// The format's size.
        expected: usize,
    },
    /// More bytes than are looked at, without an end.
    #[error("a record of {len} bytes or more; {most} are looked at")]
    TooLong {
        /// How long it is at least.
        len: usize,
        /// How long it may be.
        most: usize,
    },
    /// The connection ended in the middle.
    #[error("the connection ended within a record, after {len} bytes of it")]
    Cut {
        /// How many had come.
        len: usize,
    },
    /// A field that its channel can't have.
    #[error("field {field}: {what}")]
    Value {
        /// Its name.
        field: String,
        /// What is wrong with it.
        what: String,
    },
    /// The template makes no device name of it.
    #[error("{0}")]
    Device(String),
    /// As many devices as may be known are.
    #[error("device {device} would be one more than the {most} that this listener may know")]
    TooManyDevices {
        /// Its name.
        device: String,
        /// The limit.
        most: usize,
    },
    /// The store refuses the schema, not the bytes.
    #[error("the store takes no rows of this schema: {0}")]
    Schema(String),
}

impl Misfit {
    /// One word, for counting.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Length { .. } => "length",
            Self::TooLong { .. } => "too_long",
            Self::Cut { .. } => "cut",
            Self::Value { .. } => "value",
            Self::Device(_) => "device",
            Self::TooManyDevices { .. } => "too_many_devices",
            Self::Schema(_) => "schema",
        }
    }
}

/// All kinds, in the order of [`Misfit`].
pub(super) const KINDS: [&str; 7] =
    ["length", "too_long", "cut", "value", "device", "too_many_devices", "schema"];

/// Bytes as `hexdump -C` shows them, 16 on a line: offset, hex, and what is printable ASCII.
pub fn hex_dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, sixteen) in bytes.chunks(16).enumerate() {
        let mut hex = String::new();
        for (index, byte) in sixteen.iter().enumerate() {
            // Writing to a String can't fail.
            let _ = write!(hex, "{}{byte:02x}", if index == 8 { "  " } else { " " });
        }
        let ascii: String = sixteen
            .iter()
            .map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' })
            .collect();
        let _ = writeln!(text, "{:08x} {hex:<49}  |{ascii}|", line * 16);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_shows_offset_hex_and_text() {
        let bytes: Vec<u8> = (0x40..0x53).collect();
        assert_eq!(
            hex_dump(&bytes),
            "00000000  40 41 42 43 44 45 46 47  48 49 4a 4b 4c 4d 4e 4f  |@ABCDEFGHIJKLMNO|\n\
             00000010  50 51 52                                          |PQR|\n"
        );
        assert_eq!(hex_dump(b"\x1b[2J"), format!("00000000  1b 5b 32 4a{:37}  |.[2J|\n", ""));
        assert_eq!(hex_dump(&[]), "");
    }
}
