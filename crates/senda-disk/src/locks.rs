//! Who may read and write a database: SQLite's locks on the file and on the shared memory of its log.

use std::collections::BTreeSet;

/// The five levels of a lock on a database file, as SQLite numbers them.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Level {
    #[default]
    None,
    Shared,
    Reserved,
    Pending,
    Exclusive,
}

/// The locks of one file. Owners are open files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locks {
    shared: BTreeSet<u64>,
    reserved: Option<u64>,
    pending: Option<u64>,
    log: [Slot; LOG_SLOTS],
}

/// A lock on the log's shared memory.
#[derive(Clone, Debug, Default)]
struct Slot {
    shared: BTreeSet<u64>,
    exclusive: Option<u64>,
}

impl Locks {
    /// True when `owner` has the level now. It keeps what it had, and perhaps `Pending`, when not.
    pub(crate) fn lock(&mut self, owner: u64, level: Level) -> bool {
        let is_free = |held: Option<u64>| held.is_none_or(|held| held == owner);
        match level {
            Level::None => true,
            Level::Shared => {
                let may = is_free(self.pending) || self.shared.contains(&owner);
                if may {
                    self.shared.insert(owner);
                }
                may
            }
            Level::Reserved => {
                let is_free = is_free(self.reserved) && is_free(self.pending);
                if is_free {
                    self.reserved = Some(owner);
                }
                is_free
            }
            Level::Pending | Level::Exclusive => {
                if !is_free(self.reserved) || !is_free(self.pending) {
                    return false;
                }
                self.pending = Some(owner);
                self.shared.iter().all(|other| *other == owner)
            }
        }
    }

    /// Goes down to `level`, which is `Shared` or `None`.
    pub(crate) fn unlock(&mut self, owner: u64, level: Level) {
        self.reserved = self.reserved.filter(|held| *held != owner);
        self.pending = self.pending.filter(|held| *held != owner);
        if level == Level::None {
            self.shared.remove(&owner);
        }
    }

    /// True when anybody is about to write.
    pub(crate) const fn is_reserved(&self) -> bool {
        self.reserved.is_some() || self.pending.is_some()
    }

    /// Locks slots of the log's shared memory, all or none.
    pub(crate) fn lock_log(&mut self, owner: u64, slots: &[usize], exclusive: bool) -> bool {
        let is_free = |slot: &Slot| {
            slot.exclusive.is_none_or(|held| held == owner)
                && (!exclusive || slot.shared.iter().all(|other| *other == owner))
        };
        if !slots.iter().all(|slot| self.log.get(*slot).is_some_and(is_free)) {
            return false;
        }
        for slot in slots {
            if exclusive {
                self.log[*slot].exclusive = Some(owner);
            } else {
                self.log[*slot].shared.insert(owner);
            }
        }
        true
    }

    pub(crate) fn unlock_log(&mut self, owner: u64, slots: &[usize]) {
        for slot in slots {
            let Some(slot) = self.log.get_mut(*slot) else { continue };
            slot.exclusive = slot.exclusive.filter(|held| *held != owner);
            slot.shared.remove(&owner);
        }
    }

    /// Gives back all that `owner` has.
    pub(crate) fn leave(&mut self, owner: u64) {
        self.unlock(owner, Level::None);
        self.unlock_log(owner, &(0..LOG_SLOTS).collect::<Vec<_>>());
    }
}

/// `SQLITE_SHM_NLOCK`.
pub(crate) const LOG_SLOTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_waits_for_readers_and_keeps_new_ones_out() {
        let mut locks = Locks::default();
        assert!(locks.lock(1, Level::Shared) && locks.lock(2, Level::Shared));
        assert!(locks.lock(1, Level::Reserved) && !locks.lock(2, Level::Reserved));
        assert!(!locks.lock(1, Level::Exclusive) && !locks.lock(3, Level::Shared));
        locks.unlock(2, Level::None);
        assert!(locks.lock(1, Level::Exclusive) && locks.is_reserved());
        locks.unlock(1, Level::Shared);
        assert!(locks.lock(3, Level::Shared) && !locks.is_reserved());
    }

    #[test]
    fn slots_of_the_log_are_shared_or_one_owners_own() {
        let mut locks = Locks::default();
        assert!(locks.lock_log(1, &[3], false) && locks.lock_log(2, &[3], false));
        assert!(!locks.lock_log(1, &[2, 3], true), "one of them is another's");
        assert!(locks.lock_log(2, &[2], true), "and nothing was taken");
        locks.leave(2);
        assert!(locks.lock_log(1, &[2, 3], true));
    }
}
