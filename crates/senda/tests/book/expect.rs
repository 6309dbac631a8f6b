//! Output as the chapter writes it against output as it came.

use std::collections::HashMap;

use regex::Regex;

use crate::chapter::Varies;

/// What a chapter has shown so far of what varies.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    varies: Vec<Varies>,
    /// What each text stood for where it was met first.
    values: HashMap<String, String>,
}

/// How far expected lines and what came agree.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// All were there, in the first so many lines that came.
    Met(usize),
    /// So far; more is to come.
    Waiting,
    /// This one, counted from 0, can't be met any more.
    Missed(usize),
}

/// Any number of lines.
const ELISION: &str = "...";

impl Memory {
    pub(crate) fn learn(&mut self, varies: &[Varies]) {
        for new in varies {
            self.varies.retain(|known| known.text != new.text);
            self.varies.push(new.clone());
        }
        // The longest first, that `61234` be not read as `6` and the rest.
        self.varies.sort_by_key(|it| std::cmp::Reverse(it.text.len()));
    }

    /// A command with the values of what it repeats.
    pub(crate) fn resolve(&self, command: &str) -> String {
        let pieces = self.pieces(command);
        pieces
            .iter()
            .map(|(text, _)| self.values.get(*text).map_or(*text, String::as_str))
            .collect()
    }

    /// Compares, and remembers the values if all are there.
    pub(crate) fn compare(
        &mut self,
        expected: &[String],
        came: &[String],
        any_spaces: bool,
    ) -> Verdict {
        let mut next = 0;
        let mut memory = self.clone();
        let mut elided = false;
        for (index, line) in expected.iter().enumerate() {
            if line == ELISION {
                elided = true;
                continue;
            }
            let found = came[next..].iter().take(if elided { usize::MAX } else { 1 });
            let Some(skipped) = found.into_iter().position(|it| memory.meets(line, it, any_spaces))
            else {
                let may_come = elided || next == came.len();
                return if may_come { Verdict::Waiting } else { Verdict::Missed(index) };
            };
            next += skipped + 1;
            elided = false;
        }
        if elided {
            next = came.len();
        }
        *self = memory;
        Verdict::Met(next)
    }

    /// Whether one line is as it is written, with values that agree with those met before.
    fn meets(&mut self, line: &str, came: &str, any_spaces: bool) -> bool {
        let (line, came) =
            if any_spaces { (squeeze(line), squeeze(came)) } else { (line.into(), came.into()) };
        let mut regex = String::from("^");
        let mut names: Vec<&str> = Vec::new();
        for (text, varies) in self.pieces(&line) {
            match varies {
                None => regex += &regex::escape(text),
                Some(varies) if varies.anew => regex += &format!("(?:{})", varies.regex),
                Some(varies) => match self.values.get(text) {
                    Some(value) => regex += &regex::escape(value),
                    None => {
                        regex += &format!("({})", varies.regex);
                        names.push(text);
                    }
                },
            }
        }
        let regex = Regex::new(&(regex + "$")).expect("its parts are good");
        let Some(captures) = regex.captures(&came) else { return false };
        let mut values = self.values.clone();
        for (name, value) in names.iter().zip(captures.iter().skip(1).flatten()) {
            let value = value.as_str();
            // Twice in one line: the same.
            if values.insert((*name).into(), value.into()).is_some_and(|other| other != value) {
                return false;
            }
        }
        self.values = values;
        true
    }

    /// A line in pieces, and what those that vary are.
    fn pieces<'a>(&self, line: &'a str) -> Vec<(&'a str, Option<&Varies>)> {
        let mut pieces = Vec::new();
        let (mut start, mut at) = (0, 0);
        while at < line.len() {
            if let Some(varies) = self.varies.iter().find(|it| line[at..].starts_with(&it.text)) {
                pieces.push((&line[start..at], None));
                pieces.push((&line[at..at + varies.text.len()], Some(varies)));
                at += varies.text.len();
                start = at;
            } else {
                at += line[at..].chars().next().map_or(1, char::len_utf8);
            }
        }
        pieces.push((&line[start..], None));
        pieces
    }
}

fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn compare(memory: &mut Memory, expected: &str, came: &str) -> Verdict {
        memory.compare(&lines(expected), &lines(came), false)
    }

    fn knowing(text: &str, anew: bool) -> Memory {
        let mut memory = Memory::default();
        memory.learn(&[Varies { text: text.into(), regex: r"\d+".into(), anew }]);
        memory
    }

    #[test]
    fn lines_are_met_missed_or_yet_to_come() {
        let memory = &mut Memory::default();
        assert_eq!(compare(memory, "a\nb", "a\nb\nc"), Verdict::Met(2));
        assert_eq!(compare(memory, "a\nb", "a"), Verdict::Waiting);
        assert_eq!(compare(memory, "a\nb", "a\nB"), Verdict::Missed(1));
        assert_eq!(compare(memory, "a.c", "abc"), Verdict::Missed(0));
        assert_eq!(compare(memory, "a\n...\nd", "a\nb\nc\nd\ne"), Verdict::Met(4));
        assert_eq!(compare(memory, "a\n...\nd", "a\nb\nc"), Verdict::Waiting);
        assert_eq!(compare(memory, "a\n...", "a\nb\nc"), Verdict::Met(3));
    }

    #[test]
    fn what_varies_is_the_same_in_all_places() {
        let memory = &mut knowing("61234", false);
        assert_eq!(compare(memory, "port 61234 and 61234", "port 5 and 6"), Verdict::Missed(0));
        assert_eq!(compare(memory, "port 61234 and 61234", "port 5 and 5"), Verdict::Met(1));
        assert_eq!(compare(memory, "61234", "6"), Verdict::Missed(0));
        assert_eq!(memory.resolve("kill 61234"), "kill 5");
    }

    #[test]
    fn what_varies_anew_may_differ_but_not_be_anything() {
        let memory = &mut knowing("7", true);
        assert_eq!(compare(memory, "7 of 7", "5 of 6"), Verdict::Met(1));
        assert_eq!(compare(memory, "7 of 7", "5 of x"), Verdict::Missed(0));
        assert_eq!(memory.resolve("seq 7"), "seq 7");
    }
}
