//! What the API says, as text for a terminal.

use std::io::{IsTerminal, Write};

use serde_json::Value as Json;
use unicode_width::UnicodeWidthStr;

/// How to show what the API says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For eyes
    Text,
    /// One object a line
    Json,
}

/// A value without quotes; null is empty. Devices write texts too: what a terminal would obey is shown as `\u{1b}`.
pub(crate) fn string(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) if text.contains(char::is_control) => text
            .chars()
            .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
            .collect(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The words of an array.
pub(crate) fn words(value: &Json) -> String {
    let words = value.as_array().into_iter().flatten().map(string);
    words.collect::<Vec<_>>().join(" ")
}

/// Named and typed values as `name=value`, or as the value alone where there is no name.
pub(crate) fn list(value: &Json) -> String {
    let entries = value.as_array().into_iter().flatten().map(|entry| {
        let value = string(&entry["value"]);
        match entry["name"].as_str() {
            Some(name) if !name.is_empty() => format!("{name}={value}"),
            _ => value,
        }
    });
    entries.collect::<Vec<_>>().join(" ")
}

/// A time as "5 s ago"; empty where there is none.
pub(crate) fn ago(time: &Json) -> String {
    let Some(time) = time.as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok()) else {
        return string(time);
    };
    let seconds = jiff::Timestamp::now().as_second().saturating_sub(time.as_second());
    match seconds {
        ..=-2 => time.to_string(),
        -1..=1 => "now".to_owned(),
        2..=119 => format!("{seconds} s ago"),
        120..=7_199 => format!("{} min ago", seconds / 60),
        7_200..=172_799 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// Rows under a header, columns as wide as they have to be; numbers (by column) to the right.
pub(crate) fn write_columns(
    out: &mut impl Write,
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    right: &[usize],
) -> std::io::Result<()> {
    let mut all: Vec<Vec<String>> = vec![header.iter().map(|&name| name.to_owned()).collect()];
    all.extend(rows);
    let width = |column: usize| all.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    for row in &all {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let pad = " ".repeat(width - cell.width());
            if right.contains(&column) { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Colours for a terminal, unless `NO_COLOR` says otherwise.
#[derive(Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    pub(crate) fn for_stdout() -> Self {
        Self(std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal())
    }

    /// Less important.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// What to look at first.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Something is wrong.
    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_of_a_device_gives_the_terminal_no_orders() {
        let text = string(&json!("grün\u{1b}]0;owned\u{7}\nnext"));
        assert_eq!(text, "grün\\u{1b}]0;owned\\u{7}\\nnext");
        assert_eq!(string(&json!("a quiet text")), "a quiet text");
        let text = list(&json!([{"name": "a", "value": "\u{1b}[2J"}]));
        assert_eq!(text, "a=\\u{1b}[2J");
    }
}
