//! A disk in memory that keeps what is synced apart from what is not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use senda_client::spool::Storage;

/// One file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    /// So many of them survive a power cut.
    pub(crate) synced: usize,
}

/// What goes wrong from now on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Bytes that still find room; then ENOSPC after a part.
    pub(crate) room: Option<usize>,
    /// So many syncs fail with EIO; and, as Linux does, what was not synced is then taken for clean: a later sync succeeds
    /// without it.
    pub(crate) sync: usize,
    pub(crate) read: bool,
    pub(crate) remove: bool,
    /// A crash after so many calls that change something: none after it has any effect.
    pub(crate) calls: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) files: BTreeMap<String, File>,
    pub(crate) faults: Faults,
    /// Most bytes that the segments ever had.
    pub(crate) peak: usize,
    pub(crate) syncs: usize,
    /// Removed, and no sync since: a power cut brings them back.
    pub(crate) removed: BTreeMap<String, File>,
    /// A sync failed: what was not synced is gone, though the power never was.
    pub(crate) has_lost: bool,
    /// Calls that changed something.
    pub(crate) changes: usize,
}

/// A handle of a disk; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(pub(crate) Rc<RefCell<State>>);

impl Disk {
    pub(crate) fn with(files: BTreeMap<String, File>) -> Self {
        Self(Rc::new(RefCell::new(State { files, ..State::default() })))
    }

    /// The files as they are.
    pub(crate) fn files(&self) -> BTreeMap<String, File> {
        self.0.borrow().files.clone()
    }

    pub(crate) fn break_with(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    pub(crate) fn peak(&self) -> usize {
        self.0.borrow().peak
    }

    /// What a power cut leaves: of each file what was synced, and as much of the rest as `torn` says; and, if `undo` says so,
    /// what was removed last.
    pub(crate) fn cut(&self, undo: bool, mut torn: impl FnMut(usize) -> usize) -> Self {
        let mut files = self.files();
        if undo {
            files.extend(self.0.borrow().removed.clone());
        }
        for file in files.values_mut() {
            let left = torn(file.bytes.len() - file.synced);
            file.bytes.truncate(file.synced + left);
            file.synced = file.bytes.len();
        }
        Self::with(files)
    }
}

impl State {
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match &mut self.faults.calls {
            Some(0) => Err(io::Error::other("crashed")),
            Some(calls) => {
                *calls -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Storage for Disk {
    fn list(&mut self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().files.keys().cloned().collect())
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.0.borrow();
        if state.faults.read {
            return Err(io::Error::from_raw_os_error(5));
        }
        state.files.get(name).map(|file| file.bytes.clone()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.change()?;
        let room = state.faults.room.unwrap_or(usize::MAX);
        let fits = &bytes[..room.min(bytes.len())];
        if let Some(room) = &mut state.faults.room {
            *room -= fits.len();
        }
        state.files.entry(name.to_owned()).or_default().bytes.extend(fits);
        let segments = state.files.iter().filter(|(name, _)| name.ends_with(".spool"));
        let used = segments.map(|(_, file)| file.bytes.len()).sum();
        state.peak = state.peak.max(used);
        if fits.len() < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.change()?;
        state.syncs += 1;
        let fails = state.faults.sync > 0;
        state.faults.sync = state.faults.sync.saturating_sub(1);
        let file = state.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        if fails {
            // The pages are clean now, and gone: what is read is not what was written.
            file.bytes[file.synced..].fill(0);
            file.synced = file.bytes.len();
            state.has_lost = true;
            return Err(io::Error::from_raw_os_error(5));
        }
        file.synced = file.bytes.len();
        state.removed.clear();
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.change()?;
        if state.faults.remove {
            return Err(io::Error::from_raw_os_error(5));
        }
        let file = state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.removed.insert(name.to_owned(), file);
        Ok(())
    }
}
