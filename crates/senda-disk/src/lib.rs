//! A virtual disk: what is synced, what is not, and what a crash leaves.
//!
//! # Goals
//! - A [`Disk`] holds files in memory and knows for each change whether a sync has covered it. [`Disk::crash`] is a power
//!   cut: what was synced stays; every other write is kept, forgotten or torn between two sectors, as a seed decides.
//! - It fails on demand: full, syncs that fail as they do on Linux, writes and reads that fail, and an end at any step.
//! - SQLite runs on it, the write-ahead log included ([`Disk::register`]), so that the real store is what is tested.
//!
//! # Not here
//! Threads and clocks: time is what [`Disk::set_now`] says. Directories: a disk has one, and names are plain strings.
//!
//! # What is durable when
//! | change | durable after |
//! |---|---|
//! | bytes written, length changed | a sync of that file |
//! | file created or removed | a sync of the directory, and of nothing else |
//!
//! The second line is what POSIX promises; ext4 and others also make a new file's name durable when the file is synced,
//! and a program must not need that. The VFS syncs the directory where SQLite's own does: at the first sync of a
//! new journal or log, and after a removal that asks for it.
//!
//! # A sync that fails
//! As on Linux: what was to be written is marked clean and stays readable, and a later sync reports success without writing
//! it. Whether it is on the disk shows at the next crash. A later write to the same sector takes it along. On Btrfs, and
//! anywhere once the kernel needs the memory, it is not even readable any more: [`Disk::set_evicting`]. Linux tells
//! every file that was open at the time of the failure; here only one sync hears of it, which is worse.
//!
//! ```
//! use senda_disk::Disk;
//!
//! let disk = Disk::new(1);
//! disk.append("log", b"one")?;
//! disk.sync("log")?;
//! disk.sync_directory()?;
//! disk.append("log", b"two")?;
//! disk.crash(7);
//! assert!(disk.read("log")?.starts_with(b"one"));
//! # Ok::<(), senda_disk::DiskError>(())
//! ```

mod directory; // which names are durable
mod disk; // the disk and its open files: every operation, and the faults
mod inode; // one file's bytes: read, durable, and in between
mod locks; // who may read and write a database
mod operation; // what was asked of the disk, and what it answered

#[expect(
    unsafe_code,
    reason = "SQLite's VFS interface is C; the model of the disk is not in there"
)]
mod vfs; // the face that SQLite sees

pub use disk::{Disk, File, TRACE_MAX};
pub use operation::{DiskError, Fault, Operation, OperationKind};
pub use vfs::Vfs;
