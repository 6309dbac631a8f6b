//! Links senda-wire with neither std nor an allocator.

#![no_std]

use core::panic::PanicInfo;

/// Uses something of the crate, so that it is linked.
#[unsafe(no_mangle)]
pub extern "C" fn senda_wire_message_is_known(code: u8) -> bool {
    senda_wire::registry::MessageType::from_code(code).is_some()
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
