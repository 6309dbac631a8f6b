//! Links senda-session without std, on an allocator of our own.

#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

use senda_session::Instant;
use senda_session::collector::{self, Collector, Now};
use senda_session::device::{Config, Device, Transport};

/// One HELLO of a device, handed to a collector: both halves are linked, and what they call.
#[unsafe(no_mangle)]
pub extern "C" fn senda_session_proof() -> usize {
    let now = Now { instant: Instant(0), utc_us: 0 };
    let Ok(mut device) = Device::new(Config::new("gh-7"), [7; 32]) else { return 0 };
    let mut collector = Collector::new(collector::Config::default(), [8; 32], now.instant);
    device.connect(now.instant, Transport::Tcp);
    collector.handle_connected(now, 1);
    let mut bytes = [0; 1200];
    let len = device.poll_transmit(now.instant, &mut bytes).unwrap_or(0);
    collector.handle_stream_bytes(now, 1, &bytes[..len]);
    len
}

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

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
