//! Which names there are, and which of them a crash leaves.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, RngExt};

/// The one directory of a disk. Files are known by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    names: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    /// In order: the file that a name was given to, or nothing, when it was removed.
    unsynced: Vec<(String, Option<u64>)>,
}

impl Directory {
    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.names.get(name).copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&String, u64)> {
        self.names.iter().map(|(name, id)| (name, *id))
    }

    pub(crate) fn create(&mut self, name: &str, id: u64) {
        self.names.insert(name.to_owned(), id);
        self.unsynced.push((name.to_owned(), Some(id)));
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<u64> {
        let id = self.names.remove(name)?;
        self.unsynced.push((name.to_owned(), None));
        Some(id)
    }

    pub(crate) fn sync(&mut self) {
        self.durable.clone_from(&self.names);
        self.unsynced.clear();
    }

    /// The power fails. Changes to one name survive in order; those to different names, as the dice fall.
    pub(crate) fn crash(&mut self, odds: f64, random: &mut impl Rng) {
        let mut over = BTreeSet::new();
        for (name, id) in std::mem::take(&mut self.unsynced) {
            if over.contains(&name) || !random.random_bool(odds) {
                over.insert(name);
                continue;
            }
            match id {
                Some(id) => self.durable.insert(name, id),
                None => self.durable.remove(&name),
            };
        }
        self.names.clone_from(&self.durable);
    }

    /// True when the file has a name, or may have one again after a crash.
    pub(crate) fn knows(&self, id: u64) -> bool {
        self.names.values().chain(self.durable.values()).any(|known| *known == id)
            || self.unsynced.iter().any(|(_, known)| *known == Some(id))
    }
}
