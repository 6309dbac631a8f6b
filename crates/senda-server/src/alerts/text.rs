//! What people read: templates, filled in.

use std::time::Duration;

use senda_keeper::cut;
use senda_wire::registry::TEXT_MAX;

use super::rule::{Condition, Rule, Side};

/// What may stand in braces.
const PLACEHOLDERS: [&str; 9] =
    ["device", "schema", "channel", "value", "unit", "threshold", "rule", "severity", "state"];

/// A text with placeholders.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Literal(String),
    /// Index into [`PLACEHOLDERS`].
    Placeholder(usize),
}

/// What the placeholders stand for, in the order of [`PLACEHOLDERS`].
pub(super) type Fillings<'a> = [&'a str; PLACEHOLDERS.len()];

impl Template {
    /// Takes a template apart. `{{` and `}}` are braces.
    ///
    /// # Errors
    /// What is wrong and what to do, for the one who wrote it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal += &rest[..at];
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                literal += brace;
                rest = after;
                continue;
            }
            let Some((name, after)) = after.split_once('}').filter(|_| brace == "{") else {
                return Err(format!("a single {brace}; write {brace}{brace} for a brace"));
            };
            let Some(index) = PLACEHOLDERS.iter().position(|known| *known == name) else {
                let known = PLACEHOLDERS.map(|name| format!("{{{name}}}")).join(", ");
                return Err(format!("nothing is known as {{{name}}}; there are {known}"));
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Placeholder(index));
            rest = after;
        }
        literal += rest;
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// The text, at most [`TEXT_MAX`] bytes and without control characters. A space before a placeholder that stands for
    /// nothing goes, so that "{value} {unit}," is well where there is no unit.
    pub(super) fn fill(&self, fillings: &Fillings<'_>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text += literal,
                Part::Placeholder(index) if fillings[*index].is_empty() => {
                    text.truncate(text.strip_suffix(' ').map_or(text.len(), str::len));
                }
                Part::Placeholder(index) => text += fillings[*index],
            }
        }
        cut(&clean(&text), TEXT_MAX)
    }
}

/// What a rule says when it raises and when it clears. The rule was checked: templates that are none stand for themselves.
pub(super) fn templates(rule: &Rule) -> (Template, Template) {
    let (raised, cleared) = match (&rule.text, &rule.condition) {
        (Some(text), _) => (text.clone(), format!("cleared: {text}")),
        (None, Condition::Threshold { side, .. } | Condition::Rate { side, .. }) => {
            let verb = match rule.condition {
                Condition::Rate { .. } => "changes by",
                _ => "is",
            };
            let side = match side {
                Side::Above => "above",
                Side::Below => "below",
            };
            (
                format!("{{device}}: {{channel}} {verb} {{value}} {{unit}}, {side} {{threshold}}"),
                format!(
                    "{{device}}: {{channel}} {verb} {{value}} {{unit}}, no longer {side} {{threshold}}"
                ),
            )
        }
        (None, Condition::Absent { .. }) => (
            "{device}: nothing received {schema} for {value} {unit}".to_owned(),
            "{device}: receiving {schema} again after {value} {unit}".to_owned(),
        ),
        (None, Condition::Equals(_)) => (
            "{device}: {channel} is {value} {unit}".to_owned(),
            "{device}: {channel} is {value} {unit}, no longer {threshold}".to_owned(),
        ),
    };
    let cleared = rule.text_cleared.clone().unwrap_or(cleared);
    let parse = |text: String| {
        Template::parse(&text).unwrap_or(Template { parts: vec![Part::Literal(text)] })
    };
    (parse(raised), parse(cleared))
}

/// A time as the denominator of a unit: `min`, `10min`.
pub(super) fn time_unit(per: Duration) -> String {
    const UNITS: [(&str, u128); 6] = [
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("min", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1_000),
        ("us", 1),
    ];
    let us = per.as_micros();
    let fits = UNITS.iter().find(|(_, unit)| us.is_multiple_of(*unit)).unwrap_or(&UNITS[5]);
    let (name, unit) = *fits;
    if us == unit { name.to_owned() } else { format!("{}{name}", us / unit) }
}

/// The text with each control character as a space: some of it came from devices, and goes to terminals.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOT: Fillings<'static> =
        ["gh-7", "greenhouse", "temperature", "31.5", "Cel", "30", "too-hot", "warning", "raised"];

    fn fill(template: &str) -> String {
        Template::parse(template).unwrap().fill(&HOT)
    }

    #[test]
    fn placeholders_are_filled_in() {
        assert_eq!(
            fill("{device} {channel}: {value} {unit} > {threshold}"),
            "gh-7 temperature: 31.5 Cel > 30"
        );
        assert_eq!(fill("{rule}/{schema}/{severity}/{state}"), "too-hot/greenhouse/warning/raised");
        assert_eq!(fill("{{{value}}} 100%"), "{31.5} 100%");
        assert_eq!(fill(""), "");
    }

    #[test]
    fn where_there_is_no_unit_there_is_no_space() {
        let mut fillings = HOT;
        fillings[4] = "";
        assert_eq!(Template::parse("{value} {unit}, hot").unwrap().fill(&fillings), "31.5, hot");
    }

    #[test]
    fn braces_that_do_not_close_are_refused() {
        for text in ["{device", "device}", "{", "}", "{{}", "a{b"] {
            assert!(Template::parse(text).unwrap_err().contains("write"), "{text}");
        }
        assert!(Template::parse("{}").unwrap_err().contains("{threshold}"));
    }

    #[test]
    fn a_text_fits_an_alert_and_controls_no_terminal() {
        let mut fillings = HOT;
        let long = "ä".repeat(300);
        fillings[3] = &long;
        let text = Template::parse("x{value}").unwrap().fill(&fillings);
        assert!(text.len() <= TEXT_MAX && text.ends_with("ä…"), "{text}");
        fillings[3] = "\x1b[2J\n\u{9b}";
        assert_eq!(Template::parse("{value}!").unwrap().fill(&fillings), " [2J  !");
        assert_eq!(cut("abcdef", 2), "");
    }
}
