//! The disk and its open files: every operation, and the faults.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::directory::Directory;
use crate::inode::Inode;
use crate::locks::{Level, Locks};
use crate::{DiskError, Fault, Operation, OperationKind};

/// A disk in memory. A clone is another handle to the same disk.
///
/// An operation that changes something, or syncs, is a *step*; steps are counted from 0. Faults are set from outside and
/// hold until they are taken back, over crashes too.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

/// An open file. After a crash or a kill it is [stale](DiskError::Stale) for ever.
pub struct File {
    disk: Disk,
    /// For locks: no two open files of a disk have the same.
    id: u64,
    inode: u64,
    name: String,
    boot: u64,
}

/// Asked at every operation whether it fails.
type Plan = Box<dyn FnMut(&Operation) -> Option<Fault> + Send>;

struct State {
    directory: Directory,
    inodes: BTreeMap<u64, Open>,
    next_id: u64,
    /// Crashes and kills so far: files that were opened before are stale.
    boot: u64,
    steps: u64,
    crash_at: Option<u64>,
    has_crashed: bool,
    capacity: Option<u64>,
    failing_syncs: u32,
    evicts: bool,
    sync_time: u64,
    sync_time_spent: u64,
    plan: Option<Plan>,
    trace: Option<VecDeque<Operation>>,
    now: i64,
    random: Pcg64,
}

/// A file's bytes, and who uses them.
#[derive(Clone, Default)]
struct Open {
    inode: Inode,
    locks: Locks,
    files: usize,
}

impl Disk {
    /// An empty disk. The seed is for SQLite's randomness alone.
    pub fn new(seed: u64) -> Self {
        let state = State {
            directory: Directory::default(),
            inodes: BTreeMap::new(),
            next_id: 1,
            boot: 0,
            steps: 0,
            crash_at: None,
            has_crashed: false,
            capacity: None,
            failing_syncs: 0,
            evicts: false,
            sync_time: 0,
            sync_time_spent: 0,
            plan: None,
            trace: None,
            now: 0,
            random: Pcg64::seed_from_u64(seed),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A second disk with what this one holds, durable and not; it has no open files, no faults and no trace. What an
    /// image of a running machine is.
    pub fn fork(&self) -> Self {
        let from = self.state();
        let fork = Self::new(0);
        let mut to = fork.state();
        to.directory = from.directory.clone();
        to.inodes = from.inodes.clone();
        for open in to.inodes.values_mut() {
            (open.files, open.locks) = (0, Locks::default());
        }
        (to.next_id, to.now, to.random) = (from.next_id, from.now, from.random.clone());
        to.forget_nameless();
        drop(to);
        fork
    }

    /// Names of all files, ascending.
    ///
    /// # Errors
    /// [`DiskError::Io`] while the power is off, as for every other operation.
    pub fn list(&self) -> Result<Vec<String>, DiskError> {
        let state = self.state();
        state.check_power()?;
        Ok(state.directory.names().map(|(name, _)| name.clone()).collect())
    }

    /// True when there is such a file.
    ///
    /// # Errors
    /// As [`Disk::list`].
    pub fn exists(&self, name: &str) -> Result<bool, DiskError> {
        let state = self.state();
        state.check_power()?;
        Ok(state.directory.get(name).is_some())
    }

    /// Opens a file, and makes it where that is asked for.
    ///
    /// # Errors
    /// [`DiskError::NotFound`]; [`DiskError::NoSpace`] and [`DiskError::Io`] when a plan says so.
    pub fn open(&self, name: &str, create: bool) -> Result<File, DiskError> {
        let mut state = self.state();
        state.check_power()?;
        let inode = match state.directory.get(name) {
            Some(inode) => inode,
            None if create => {
                state.step(OperationKind::Create, name, 0, 0)?;
                let inode = state.take_id();
                state.inodes.insert(inode, Open::default());
                state.directory.create(name, inode);
                inode
            }
            None => return Err(DiskError::NotFound),
        };
        state.open_mut(inode)?.files += 1;
        let (id, boot) = (state.take_id(), state.boot);
        drop(state);
        Ok(File { disk: self.clone(), id, inode, name: name.to_owned(), boot })
    }

    /// All bytes of a file.
    ///
    /// # Errors
    /// [`DiskError::NotFound`]; [`DiskError::Io`].
    pub fn read(&self, name: &str) -> Result<Vec<u8>, DiskError> {
        let file = self.open(name, false)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        let len = file.read_at(0, &mut bytes)?;
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Writes at the end of a file; makes it where there is none.
    ///
    /// # Errors
    /// [`DiskError::NoSpace`], after which nothing of `bytes` is there; [`DiskError::Io`].
    pub fn append(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let file = self.open(name, true)?;
        file.write_at(file.len()?, bytes)
    }

    /// Syncs a file's bytes and length, not its name: see [`Disk::sync_directory`].
    ///
    /// # Errors
    /// As [`File::sync`].
    pub fn sync(&self, name: &str) -> Result<(), DiskError> {
        self.open(name, false)?.sync()
    }

    /// Removes a file's name. Open files go on; their space is free once they are closed.
    ///
    /// # Errors
    /// [`DiskError::NotFound`]; [`DiskError::Io`].
    pub fn remove(&self, name: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        state.check_power()?;
        if state.directory.get(name).is_none() {
            return Err(DiskError::NotFound);
        }
        state.step(OperationKind::Remove, name, 0, 0)?;
        state.directory.remove(name);
        state.forget_nameless();
        Ok(())
    }

    /// Makes durable which files there are.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    pub fn sync_directory(&self) -> Result<(), DiskError> {
        let mut state = self.state();
        state.check_power()?;
        state.step(OperationKind::SyncDirectory, "", 0, 0)?;
        state.directory.sync();
        state.forget_nameless();
        Ok(())
    }

    /// A power cut, and the power is back: what was not synced is kept, forgotten or torn as the seed decides. Every open
    /// file is stale. An end that [`Disk::crash_at_step`] asked for is behind us.
    pub fn crash(&self, seed: u64) {
        let mut state = self.state();
        let mut random = Pcg64::seed_from_u64(seed);
        let odds = ODDS[random.random_range(0..ODDS.len())];
        state.directory.crash(odds, &mut random);
        for open in state.inodes.values_mut() {
            open.inode.crash(odds, &mut random);
        }
        state.reboot();
    }

    /// The death of the process alone: every write stays, synced or not. Every open file is stale.
    pub fn kill(&self) {
        self.state().reboot();
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Ends it all at the given step, counted as [`Disk::steps`] counts: it fails with EIO and does nothing, and so does
    /// every operation after it, until [`Disk::crash`] or [`Disk::kill`]. `None` takes it back.
    pub fn crash_at_step(&self, step: Option<u64>) {
        self.state().crash_at = step;
    }

    /// True once the step of [`Disk::crash_at_step`] was reached, until the crash itself.
    pub fn has_crashed(&self) -> bool {
        self.state().has_crashed
    }

    /// Bytes that all files together may have; `None`: as many as they like. Bytes that a file has are its own, also when
    /// this makes the disk over-full.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Makes the next `count` syncs of files fail, as they fail on Linux: see the crate's documentation.
    pub fn fail_syncs(&self, count: u32) {
        self.state().failing_syncs = count;
    }

    /// Says whether a failed sync also takes from the cache what it did not write: so do Btrfs, and any kernel that needs
    /// the memory. False at first: it stays readable.
    pub fn set_evicting(&self, evicts: bool) {
        self.state().evicts = evicts;
    }

    /// Asks `plan` before each operation, reads too, whether it fails. It must not use the disk.
    pub fn set_plan(&self, plan: impl FnMut(&Operation) -> Option<Fault> + Send + 'static) {
        self.state().plan = Some(Box::new(plan));
    }

    /// No plan any more.
    pub fn clear_plan(&self) {
        self.state().plan = None;
    }

    /// How long each sync takes, in microseconds of virtual time; 0 at first.
    pub fn set_sync_time(&self, microseconds: u64) {
        self.state().sync_time = microseconds;
    }

    /// How long all syncs since the last call have taken, in microseconds of virtual time.
    pub fn take_sync_time(&self) -> u64 {
        std::mem::take(&mut self.state().sync_time_spent)
    }

    /// What SQLite is told when it asks for the time: microseconds since 1970.
    pub fn set_now(&self, now: i64) {
        self.state().now = now;
    }

    /// Keeps the last [`TRACE_MAX`] operations, or none, which is how a disk begins.
    pub fn set_trace(&self, wanted: bool) {
        self.state().trace = wanted.then(VecDeque::new);
    }

    /// The operations that were kept, oldest first.
    pub fn trace(&self) -> Vec<Operation> {
        self.state().trace.iter().flatten().cloned().collect()
    }

    /// Registers the disk with SQLite: see [`Vfs`](crate::Vfs).
    pub fn register(&self) -> crate::Vfs {
        crate::Vfs::new(self.clone())
    }

    pub(crate) fn now(&self) -> i64 {
        self.state().now
    }

    pub(crate) fn sleep(&self, microseconds: i64) {
        self.state().now += microseconds;
    }

    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        self.state().random.fill_bytes(bytes);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File {
    /// Fills `buffer` from `offset` on, as far as the file goes; how many bytes.
    ///
    /// # Errors
    /// [`DiskError::Stale`] after a crash, as for every other operation; [`DiskError::Io`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let mut state = self.state()?;
        state.ask(OperationKind::Read, &self.name, offset, buffer.len() as u64)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(state.open_mut(self.inode)?.inode.read(offset, buffer))
    }

    /// Writes, and makes the file longer where it is too short.
    ///
    /// # Errors
    /// [`DiskError::NoSpace`]: nothing is written; [`DiskError::Io`].
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut state = self.state()?;
        let len = bytes.len() as u64;
        state.step(OperationKind::Write, &self.name, offset, len)?;
        let end = offset.checked_add(len).ok_or(DiskError::NoSpace)?;
        let grows_by = end.saturating_sub(state.open_mut(self.inode)?.inode.len());
        if state.capacity.is_some_and(|max| grows_by > max.saturating_sub(state.used()))
            && grows_by > 0
        {
            return Err(DiskError::NoSpace);
        }
        let offset = usize::try_from(offset).map_err(|_| DiskError::NoSpace)?;
        state.open_mut(self.inode)?.inode.write(offset, bytes);
        Ok(())
    }

    /// Sets the length; what is new is zero.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    pub fn set_len(&self, len: u64) -> Result<(), DiskError> {
        let mut state = self.state()?;
        state.step(OperationKind::Truncate, &self.name, len, 0)?;
        let len = usize::try_from(len).map_err(|_| DiskError::NoSpace)?;
        state.open_mut(self.inode)?.inode.set_len(len);
        Ok(())
    }

    /// Makes all that was written durable, whoever wrote it.
    ///
    /// # Errors
    /// [`DiskError::Io`]: nothing is known of what was not synced before, and no later sync writes it.
    pub fn sync(&self) -> Result<(), DiskError> {
        let mut state = self.state()?;
        let asked = state.step(OperationKind::Sync, &self.name, 0, 0);
        if state.has_crashed {
            return asked;
        }
        state.sync_time_spent += state.sync_time;
        let fails = state.failing_syncs > 0;
        state.failing_syncs = state.failing_syncs.saturating_sub(1);
        if fails || asked.is_err() {
            state.fail_sync(self.inode)?;
            return asked.and(Err(DiskError::Io));
        }
        state.open_mut(self.inode)?.inode.sync();
        Ok(())
    }

    /// The file's length.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    pub fn len(&self) -> Result<u64, DiskError> {
        Ok(self.state()?.open_mut(self.inode)?.inode.len())
    }

    /// True when it has no bytes.
    ///
    /// # Errors
    /// As [`File::len`].
    pub fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.len()? == 0)
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What all open files of one file have in common, until a crash.
    pub(crate) const fn key(&self) -> (u64, u64) {
        (self.boot, self.inode)
    }

    pub(crate) fn lock(&self, level: Level) -> Result<bool, DiskError> {
        self.with_locks(|locks, owner| locks.lock(owner, level))
    }

    pub(crate) fn unlock(&self, level: Level) -> Result<(), DiskError> {
        self.with_locks(|locks, owner| locks.unlock(owner, level))
    }

    pub(crate) fn is_reserved(&self) -> Result<bool, DiskError> {
        self.with_locks(|locks, _| locks.is_reserved())
    }

    pub(crate) fn lock_log(&self, slots: &[usize], exclusive: bool) -> Result<bool, DiskError> {
        self.with_locks(|locks, owner| locks.lock_log(owner, slots, exclusive))
    }

    pub(crate) fn unlock_log(&self, slots: &[usize]) -> Result<(), DiskError> {
        self.with_locks(|locks, owner| locks.unlock_log(owner, slots))
    }

    fn with_locks<T>(&self, action: impl FnOnce(&mut Locks, u64) -> T) -> Result<T, DiskError> {
        Ok(action(&mut self.state()?.open_mut(self.inode)?.locks, self.id))
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, DiskError> {
        let state = self.disk.state();
        if state.boot != self.boot {
            return Err(DiskError::Stale);
        }
        state.check_power()?;
        Ok(state)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.boot != self.boot {
            return;
        }
        if let Ok(open) = state.open_mut(self.inode) {
            open.files -= 1;
            open.locks.leave(self.id);
        }
        state.forget_nameless();
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Disk").field("steps", &state.steps).finish_non_exhaustive()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("name", &self.name).finish_non_exhaustive()
    }
}

impl State {
    const fn check_power(&self) -> Result<(), DiskError> {
        if self.has_crashed { Err(DiskError::Io) } else { Ok(()) }
    }

    /// Counts a step, unless the power is off or goes off now; fails if the plan says so.
    fn step(
        &mut self,
        kind: OperationKind,
        file: &str,
        offset: u64,
        len: u64,
    ) -> Result<(), DiskError> {
        self.has_crashed |= self.crash_at.is_some_and(|at| self.steps >= at);
        self.check_power()?;
        let asked = self.ask(kind, file, offset, len);
        self.steps += 1;
        asked
    }

    fn ask(
        &mut self,
        kind: OperationKind,
        file: &str,
        offset: u64,
        len: u64,
    ) -> Result<(), DiskError> {
        if self.plan.is_none() && self.trace.is_none() {
            return Ok(());
        }
        let operation = Operation { step: self.steps, kind, file: file.to_owned(), offset, len };
        let fault = self.plan.as_mut().and_then(|plan| plan(&operation));
        if let Some(trace) = &mut self.trace {
            if trace.len() == TRACE_MAX {
                trace.pop_front();
            }
            trace.push_back(operation);
        }
        fault.map_or(Ok(()), |fault| Err(fault.into()))
    }

    fn fail_sync(&mut self, inode: u64) -> Result<(), DiskError> {
        let mut random = Pcg64::seed_from_u64(self.random.next_u64());
        let evicts = self.evicts;
        let inode = &mut self.open_mut(inode)?.inode;
        inode.fail_sync();
        if evicts {
            inode.evict(ODDS[random.random_range(0..ODDS.len())], &mut random);
        }
        Ok(())
    }

    fn open_mut(&mut self, inode: u64) -> Result<&mut Open, DiskError> {
        self.inodes.get_mut(&inode).ok_or(DiskError::Stale)
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn used(&self) -> u64 {
        let (inodes, directory) = (&self.inodes, &self.directory);
        let is_there = |id| directory.names().any(|(_, named)| named == id);
        let used = inodes.iter().filter(|(id, open)| open.files > 0 || is_there(**id));
        used.map(|(_, open)| open.inode.len()).sum()
    }

    /// Drops files that have no name, on disk or off, and are not open.
    fn forget_nameless(&mut self) {
        let directory = &self.directory;
        self.inodes.retain(|id, open| open.files > 0 || directory.knows(*id));
    }

    fn reboot(&mut self) {
        self.boot += 1;
        (self.has_crashed, self.crash_at) = (false, None);
        for open in self.inodes.values_mut() {
            (open.files, open.locks) = (0, Locks::default());
        }
        self.forget_nameless();
    }
}

/// Operations that a trace keeps.
pub const TRACE_MAX: usize = 1_000;
/// How likely an unsynced change is to have reached the disk: each crash picks one.
const ODDS: [f64; 5] = [0.0, 0.2, 0.5, 0.8, 1.0];

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, bytes: &[u8]) -> Disk {
        let disk = Disk::new(1);
        disk.append(name, bytes).expect("room");
        disk.sync(name).expect("a good disk");
        disk.sync_directory().expect("a good disk");
        disk
    }

    #[test]
    fn a_new_files_name_is_durable_after_a_sync_of_the_directory_alone() {
        let fates: Vec<bool> = (0..40)
            .map(|seed| {
                let disk = Disk::new(1);
                disk.append("new", b"bytes").expect("room");
                disk.sync("new").expect("a good disk");
                disk.crash(seed);
                disk.exists("new").expect("power")
            })
            .collect();
        assert!(fates.contains(&true) && fates.contains(&false));
        for seed in 0..40 {
            let disk = with("new", b"bytes");
            disk.crash(seed);
            assert_eq!(disk.read("new").expect("there"), b"bytes");
        }
    }

    #[test]
    fn a_removed_file_may_come_back_with_what_was_durable() {
        let fates: Vec<bool> = (0..40)
            .map(|seed| {
                let disk = with("old", b"bytes");
                disk.remove("old").expect("there");
                assert_eq!(disk.read("old"), Err(DiskError::NotFound));
                disk.crash(seed);
                disk.read("old").map(|bytes| assert_eq!(bytes, b"bytes")).is_ok()
            })
            .collect();
        assert!(fates.contains(&true) && fates.contains(&false));
    }

    #[test]
    fn a_kill_keeps_what_was_written_and_a_later_crash_does_not() {
        let disk = with("log", b"one");
        let file = disk.open("log", false).expect("there");
        file.write_at(3, b"two").expect("room");
        disk.kill();
        assert_eq!(file.write_at(6, b"three"), Err(DiskError::Stale));
        assert_eq!(disk.read("log").expect("there"), b"onetwo");
        let forgets = (0..40).any(|seed| {
            let fork = disk.fork();
            fork.crash(seed);
            fork.read("log").expect("there") == b"one"
        });
        assert!(forgets, "a fork knows what is not synced");
    }

    #[test]
    fn from_the_step_of_the_crash_on_nothing_reaches_the_disk() {
        let disk = with("log", b"one");
        disk.crash_at_step(Some(disk.steps() + 1));
        disk.append("log", b"two").expect("the step before");
        assert_eq!(disk.append("log", b"three"), Err(DiskError::Io));
        assert!(disk.has_crashed());
        assert_eq!(disk.sync("log"), Err(DiskError::Io));
        assert_eq!(disk.read("log"), Err(DiskError::Io));
        disk.kill();
        assert_eq!(disk.read("log").expect("there"), b"onetwo");
    }

    #[test]
    fn a_full_disk_takes_what_fits_and_freed_space_again() {
        let disk = with("old", &[0; 600]);
        disk.set_capacity(Some(1_000));
        assert_eq!(disk.append("new", &[0; 401]), Err(DiskError::NoSpace));
        disk.append("new", &[0; 400]).expect("what fits");
        assert_eq!(disk.append("new", &[0; 1]), Err(DiskError::NoSpace));
        let old = disk.open("old", false).expect("there");
        old.write_at(0, &[1; 600]).expect("its own bytes");
        disk.remove("old").expect("there");
        assert_eq!(disk.append("new", &[0; 1]), Err(DiskError::NoSpace), "still open");
        drop(old);
        disk.append("new", &[0; 600]).expect("freed");
        assert_eq!(disk.used(), 1_000);
    }

    #[test]
    fn a_plan_fails_what_it_names_and_a_trace_tells_of_it() {
        let disk = with("log", b"one");
        disk.set_trace(true);
        disk.set_plan(|operation| {
            (operation.kind == OperationKind::Write && operation.offset == 3).then_some(Fault::Io)
        });
        assert_eq!(disk.append("log", b"two"), Err(DiskError::Io));
        disk.clear_plan();
        disk.append("log", b"two").expect("no plan");
        let lines: Vec<String> = disk.trace().iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["4 Write log 3+3", "5 Write log 3+3"]);
    }

    #[test]
    fn syncs_fail_as_often_as_was_asked_and_take_their_time() {
        let disk = with("log", b"one");
        disk.fail_syncs(1);
        disk.set_sync_time(30_000);
        assert_eq!(disk.sync("log"), Err(DiskError::Io));
        disk.sync("log").expect("the next one");
        assert_eq!((disk.take_sync_time(), disk.take_sync_time()), (60_000, 0));
    }
}
