//! Links senda-struct without std, on an allocator of our own.

#![no_std]

#[path = "../../heap.rs"]
mod heap; // an allocator of our own

use core::panic::PanicInfo;

use senda_struct::{Format, Value};

/// Packs and unpacks one of each kind of value, so that what they call is linked.
#[unsafe(no_mangle)]
pub extern "C" fn senda_struct_proof() -> usize {
    let Ok(format) = Format::new("!hef?3s4p") else { return 0 };
    let bytes = [1, 2, 0x3c, 0, 0x40, 0, 0, 0, 1, b'a', b'b', b'c', 2, b'd', b'e', 0];
    let values = format.unpack(&bytes).unwrap_or_default();
    let packed = format.pack(&values).unwrap_or_default();
    let refused = format.pack(&[Value::Int(70_000)]).is_err();
    packed.len() + usize::from(refused)
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
