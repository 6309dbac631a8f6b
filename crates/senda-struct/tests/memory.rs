//! A format takes memory by its text and not by its numbers, and its use no more than what it gives.
#![expect(unsafe_code, reason = "a global allocator that counts can't be had without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use senda_struct::{Format, Value};

/// Bytes for each character, at most: a gap and a field, in a list that doubles.
const BYTES_A_CHARACTER: usize = 400;

#[test]
fn a_number_in_a_format_takes_no_memory() {
    for text in ["99999999b", "4000000000x", "9223372036854775807s", "1000000000x9999999q8888888?"]
    {
        let (format, peak) = peak_of(|| Format::new(text));
        assert!(format.is_ok(), "{text}");
        assert!(peak <= BYTES_A_CHARACTER * text.len(), "{peak} bytes for {text}");
    }
    let long = "bq".repeat(10_000);
    let (format, peak) = peak_of(|| Format::new(&long));
    assert!(format.is_ok() && peak <= BYTES_A_CHARACTER * long.len(), "{peak} bytes");
}

#[test]
fn packing_takes_the_bytes_that_it_gives() {
    let format = Format::new("<1000000x h").expect("good");
    let (bytes, peak) = peak_of(|| format.pack(&[Value::Int(1)]));
    assert_eq!((bytes.map(|bytes| bytes.len()), peak), (Ok(1_000_002), 1_000_002));
    // What is refused before that takes none.
    let (refused, peak) = peak_of(|| format.pack(&[]));
    assert!(refused.is_err());
    assert_eq!(peak, 0);
}

#[test]
fn unpacking_takes_the_values_that_it_gives() {
    let format = Format::new("<1000000x 100h 50s").expect("good");
    let bytes = vec![1; format.size()];
    let (values, peak) = peak_of(|| format.unpack(&bytes));
    assert_eq!(values.map(|values| values.len()), Ok(101));
    assert_eq!(peak, 101 * size_of::<Value>() + 50);
    let (refused, peak) = peak_of(|| format.unpack(&bytes[1..]));
    assert!(refused.is_err());
    assert_eq!(peak, 0);
}

/// The most bytes that this thread had at once more than before.
fn peak_of<T>(act: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let given = act();
    (given, PEAK.get() - before)
}

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes on to the system's allocator as it came; counting does not allocate. `realloc` is by these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size());
        PEAK.set(PEAK.get().max(HELD.get()));
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // Another thread may have allocated it.
        HELD.set(HELD.get().saturating_sub(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}
