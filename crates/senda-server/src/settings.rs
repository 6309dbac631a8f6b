//! Which settings a device should have.

use std::sync::{Arc, Mutex};

use senda_session::collector::Settings;
use senda_store::SettingsRecord;

/// What devices should be set to at the moment, for whoever has to know.
pub(crate) type CurrentDesired = Arc<Mutex<Arc<DesiredSet>>>;

/// The configuration that devices of some name should have. Spec §5.16, §5.17.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Desired {
    /// A device name, in which `*` stands for any characters.
    pub pattern: String,
    /// Of this configuration, from 1; a device that has it already is not sent it again. 0: derived from the list, so that
    /// the same settings have the same revision.
    pub revision: u32,
    /// A list (spec §4.4), count included.
    pub list: Vec<u8>,
}

impl Desired {
    /// True when `device` matches the pattern.
    pub fn matches(&self, device: &str) -> bool {
        matches(&self.pattern, device)
    }

    /// The revision that devices are sent.
    pub fn revision(&self) -> u32 {
        match self.revision {
            0 => crc32(&self.list).max(1),
            given => given,
        }
    }

    /// As the engine wants them.
    pub(crate) fn settings(&self) -> Settings {
        Settings { revision: self.revision(), list: self.list.clone() }
    }
}

/// All desired configurations, in the order in which they count: those that were set by hand (names before patterns, long
/// patterns before short ones), then those of the config file, as they stand there. The first that matches counts, whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct DesiredSet {
    by_hand: Vec<Desired>,
    file: Vec<Desired>,
}

impl DesiredSet {
    pub(crate) fn new(file: Vec<Desired>, by_hand: Vec<SettingsRecord>) -> Self {
        let mut by_hand: Vec<Desired> = by_hand
            .into_iter()
            .map(|set| Desired { pattern: set.pattern, revision: set.revision, list: set.list })
            .collect();
        by_hand.sort_by_key(|desired| {
            let pattern = &desired.pattern;
            (pattern.contains('*'), std::cmp::Reverse(pattern.len()), pattern.clone())
        });
        Self { by_hand, file }
    }

    /// What this device should have.
    pub(crate) fn of(&self, device: &str) -> Option<&Desired> {
        self.all().find(|(desired, _)| desired.matches(device)).map(|(desired, _)| desired)
    }

    /// All of them, in order, and whether they were set by hand.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Desired, bool)> {
        let by_hand = self.by_hand.iter().map(|desired| (desired, true));
        by_hand.chain(self.file.iter().map(|desired| (desired, false)))
    }
}

/// True when `name` matches `pattern`, in which `*` stands for any characters.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        assert!(matches("gh-7", "gh-7"));
        assert!(!matches("gh-7", "gh-70"));
        assert!(matches("gh-*", "gh-"));
        assert!(matches("*-7", "gh-7"));
        assert!(matches("*", "anything"));
        assert!(matches("a*b*c", "aXbYc"));
        assert!(matches("a*b*c", "abbc"));
        assert!(!matches("a*b*c", "acb"));
        assert!(!matches("gh-*", "g-7"));
    }

    fn by_hand(pattern: &str, value: u8) -> SettingsRecord {
        SettingsRecord { pattern: pattern.into(), revision: 0, list: vec![0, value], changed: 0 }
    }

    #[test]
    fn names_count_before_patterns_and_both_before_the_file() {
        let file = |pattern: &str, value| Desired {
            pattern: pattern.into(),
            revision: 0,
            list: vec![0, value],
        };
        let set = DesiredSet::new(
            vec![file("gh-1", 1), file("*", 2)],
            vec![by_hand("gh-*", 3), by_hand("gh-7", 4), by_hand("g*", 5)],
        );
        let of = |device| set.of(device).map(|desired| desired.list[1]);
        assert_eq!(of("gh-7"), Some(4));
        assert_eq!(of("gh-1"), Some(3), "by hand before the file");
        assert_eq!(of("g"), Some(5));
        assert_eq!(of("x"), Some(2));
    }

    #[test]
    fn a_revision_that_nobody_gave_depends_on_the_settings_alone() {
        let desired = |list: &[u8]| Desired { pattern: "*".into(), revision: 0, list: list.into() };
        assert_eq!(desired(&[1, 2]).revision(), desired(&[1, 2]).revision());
        assert_ne!(desired(&[1, 2]).revision(), desired(&[1, 3]).revision());
        assert_ne!(desired(&[]).revision(), 0);
        assert_eq!(Desired { revision: 7, ..desired(&[]) }.revision(), 7);
    }
}
