//! The labelled requirements, as the specification itself has them, and whom each one binds.

use crate::Role;
use crate::binding::{BINDINGS, Part};

/// The specification that this kit judges by, as it was built.
const SPECIFICATION: &str = include_str!("../../../spec/senda-1.md");

/// One labelled sentence of the specification.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Requirement {
    /// Such as `7.1a`.
    pub label: String,
    /// What it says, up to its label, on one line.
    pub sentence: String,
}

impl Requirement {
    /// The section that it stands in, such as `7.1`.
    pub fn section(&self) -> &str {
        self.label.trim_end_matches(|letter: char| letter.is_ascii_lowercase())
    }

    /// What it asks of an implementation of `role`.
    pub(crate) fn part(&self, role: Role) -> Part {
        let binding = BINDINGS.iter().find(|binding| binding.label == self.label);
        binding.map_or(Part::Unseen("this kit does not know the label"), |binding| match role {
            Role::Collector => binding.collector,
            Role::Device => binding.device,
        })
    }
}

/// Every requirement, in the order of the specification.
pub fn requirements() -> Vec<Requirement> {
    // What stands before the first section explains labels.
    let text = SPECIFICATION.split_once("\n## ").map_or("", |(_, text)| text);
    blocks(text).iter().flat_map(|block| labelled(block)).collect()
}

/// Paragraphs, list items and cells of tables, each on one line.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    let mut in_code = false;
    for line in text.lines() {
        in_code ^= line.starts_with("```");
        if in_code {
            continue;
        }
        if line.starts_with('|') {
            blocks.extend(line.split('|').map(|cell| cell.trim().to_owned()));
            blocks.push(String::new());
            continue;
        }
        if line.trim().is_empty() || line.starts_with("- ") || line.starts_with('#') {
            blocks.push(String::new());
        }
        if let Some(heading) = line.strip_prefix('#') {
            // Some say what they are about at once; without their number.
            let heading = heading.trim_start_matches(['#', ' ']);
            let text = heading.split_once(' ').map_or("", |(_, text)| text);
            blocks.extend([text.to_owned(), String::new()]);
            continue;
        }
        if let Some(block) = blocks.last_mut() {
            if !block.is_empty() {
                block.push(' ');
            }
            block.push_str(line.strip_prefix("- ").unwrap_or(line).trim());
        }
    }
    blocks
}

const OPEN: &str = "**[";
const SHUT: &str = "]**";
/// A remainder shorter than this says nothing without the beginning of its sentence.
const SHORT: usize = 25;

/// The labels of a block, each with the sentence before it.
fn labelled(block: &str) -> Vec<Requirement> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = block[from..].find(OPEN).map(|at| from + at) {
        let Some(end) = block[at..].find(SHUT).map(|end| at + end) else { break };
        let label = &block[at + OPEN.len()..end];
        if label.starts_with(|digit: char| digit.is_ascii_digit()) {
            let before = &block[..at];
            let sentence = before.rfind(". ").map_or(0, |dot| dot + 2);
            let start = if at - from.max(sentence) < SHORT { sentence } else { from.max(sentence) };
            found.push(Requirement { label: label.to_owned(), sentence: plain(&block[start..at]) });
        }
        from = end + SHUT.len();
    }
    found
}

/// Without the labels, the marks of emphasis, and what joins it to the sentence before.
fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(at) = text.find(OPEN) {
        let Some(end) = text[at..].find(SHUT) else { break };
        text.replace_range(at..at + end + SHUT.len(), "");
    }
    let text = text.replace("**", "").replace("  ", " ").replace(" ,", ",");
    text.trim_start_matches([',', ';', ':', ' ']).trim().trim_start_matches("and ").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_label_of_the_specification_is_found_once_and_in_order() {
        let found: Vec<String> = requirements().into_iter().map(|found| found.label).collect();
        let unique: BTreeSet<&String> = found.iter().collect();
        assert_eq!(found.len(), unique.len(), "{found:?}");
        // Counted another way: whatever stands between the brackets, but for the example of the preface.
        let all = SPECIFICATION.split(OPEN).skip(1).filter_map(|rest| rest.split(SHUT).next());
        let all: Vec<&str> = all.skip(1).collect();
        assert_eq!(found, all);
    }

    #[test]
    fn the_table_of_bindings_has_every_label_once_in_the_order_of_the_specification() {
        let bound: Vec<&str> = BINDINGS.iter().map(|binding| binding.label).collect();
        let labels = requirements();
        let labels: Vec<&str> = labels.iter().map(|requirement| &*requirement.label).collect();
        assert_eq!(bound, labels);
        for binding in BINDINGS {
            let nobody = [binding.collector, binding.device] == [Part::NotBound; 2];
            assert!(!nobody, "{} binds nobody", binding.label);
        }
    }

    #[test]
    fn a_sentence_ends_at_its_label_and_begins_behind_the_one_before() {
        let sentence = |label: &str| {
            let found = requirements().into_iter().find(|found| found.label == label);
            found.map(|found| found.sentence).unwrap_or_default()
        };
        assert_eq!(
            sentence("7.1a"),
            "A collector MUST NOT send an ACK for a row before the row is durable at WELCOME.durability or durably \
             resolved"
        );
        assert_eq!(sentence("7.1b"), "MUST NOT forget one that it acknowledged");
        assert_eq!(sentence("7.6a"), "unsent again, on both transports");
        for requirement in requirements() {
            assert!(requirement.sentence.len() > 10, "{requirement:?}");
            assert!(requirement.section().ends_with(|end: char| end.is_ascii_digit()));
        }
    }
}
