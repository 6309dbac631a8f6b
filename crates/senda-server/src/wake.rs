//! How other threads wake the engine: an eventfd, written at most once until the engine has looked.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Wakes the engine thread. Clones wake the same one.
#[derive(Clone)]
pub(crate) struct Waker(Arc<Inner>);

struct Inner {
    fd: OwnedFd,
    pending: AtomicBool,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self(Arc::new(Inner { fd, pending: AtomicBool::new(false) })))
    }

    /// Wakes the engine; free of charge while it has not looked yet. Call it *after* the message was queued.
    pub(crate) fn wake(&self) {
        if !self.0.pending.swap(true, Ordering::AcqRel) {
            // It can only fail when the counter is at its end, and then the engine is awake.
            let _ = rustix::io::write(&self.0.fd, &1u64.to_ne_bytes());
        }
    }

    /// The engine is awake and will look at its queues *after* this.
    pub(crate) fn acknowledge(&self) {
        let mut count = [0; 8];
        // Nothing to read: it was not woken.
        let _ = rustix::io::read(&self.0.fd, &mut count);
        // A swap, and no store: it sees what was queued before a `wake` that wrote nothing.
        let _ = self.0.pending.swap(false, Ordering::AcqRel);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}
