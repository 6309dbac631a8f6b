//! Sampling allocates nothing once the caller's buffer has grown, and an instrument is small.
#![expect(unsafe_code, reason = "a global allocator that counts can't be had without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use senda_sim::{Instrument, Profile};

#[test]
fn sampling_allocates_nothing_and_an_instrument_takes_little_memory() {
    for (name, _) in Profile::built_in() {
        let profile = Profile::load(name).unwrap();
        let (_, bytes_before) = counted();
        let mut fleet: Vec<_> =
            (0..100).map(|device| Instrument::new(profile, device, 42, 0)).collect();
        let bytes = (counted().1 - bytes_before) / 100;
        println!("{name}: {bytes} bytes for an instrument");
        assert!(bytes < 1_600, "{bytes} bytes for an instrument of {name}");

        let mut row = Vec::with_capacity(profile.schema().row_max());
        let (calls_before, _) = counted();
        for _ in 0..100 {
            for instrument in &mut fleet {
                row.clear();
                instrument.sample_due(&mut row);
            }
        }
        assert_eq!(counted().0, calls_before, "allocations in 10,000 samples of {name}");
    }
}

/// Calls for memory by this thread, and the bytes that it holds.
fn counted() -> (u64, i64) {
    (CALLS.get(), BYTES.get())
}

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn size_of(layout: Layout) -> i64 {
    i64::try_from(layout.size()).unwrap_or(i64::MAX)
}

// SAFETY: every call goes on to the system's allocator as it came; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        BYTES.set(BYTES.get() + size_of(layout));
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - size_of(layout));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}
