//! The allocator of the proofs that need one.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

const HEAP_LEN: usize = 64 * 1024;

/// Hands out its heap once, front to back.
struct Bump {
    heap: core::cell::UnsafeCell<[u8; HEAP_LEN]>,
    used: AtomicUsize,
}

// SAFETY: a byte of `heap` belongs to the one caller for which `used` moved past it.
unsafe impl Sync for Bump {}

// SAFETY: the blocks are aligned, disjoint and never reused.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let heap = self.heap.get().cast::<u8>();
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let start = used + heap.wrapping_add(used).align_offset(layout.align());
            let Some(end) = start.checked_add(layout.size()).filter(|end| *end <= HEAP_LEN) else {
                return null_mut();
            };
            match self.used.compare_exchange(used, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return heap.wrapping_add(start),
                Err(now) => used = now,
            }
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: Bump =
    Bump { heap: core::cell::UnsafeCell::new([0; HEAP_LEN]), used: AtomicUsize::new(0) };
