//! `--hex`: how a text becomes bytes.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

/// A line for each character: itself, its code point, its bytes in UTF-8 (RFC 3629), such as `ñ  U+00F1  c3 b1`.
pub(super) fn table(text: &str) -> String {
    let rows: Vec<_> = text.chars().map(|c| (shown(c), c)).collect();
    let width = rows.iter().map(|(shown, _)| shown.width()).max().unwrap_or_default();
    let mut table = String::new();
    for (shown, c) in rows {
        let padding = " ".repeat(width - shown.width());
        let _ = write!(table, "{shown}{padding}  U+{:04X} ", u32::from(c)); // Can't fail.
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            let _ = write!(table, " {byte:02x}");
        }
        table.push('\n');
    }
    table
}

/// What has no form of its own, or would command the terminal, is escaped.
fn shown(c: char) -> String {
    match c {
        '\'' | '"' | '\\' => c.to_string(),
        _ => c.escape_debug().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn every_character_shows_its_code_point_and_its_bytes() {
        assert_eq!(table("año"), "a  U+0061  61\nñ  U+00F1  c3 b1\no  U+006F  6f\n");
        assert_eq!(
            table("€\"😀"),
            "€   U+20AC  e2 82 ac\n\"   U+0022  22\n😀  U+1F600  f0 9f 98 80\n"
        );
        assert_eq!(table(""), "");
    }

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(table("\u{1b}\n"), "\\u{1b}  U+001B  1b\n\\n      U+000A  0a\n");
        // A mark that would sit on the character before, and one that turns the line around.
        assert_eq!(
            table("\u{301}\u{202e}"),
            "\\u{301}   U+0301  cc 81\n\\u{202e}  U+202E  e2 80 ae\n"
        );
    }
}
