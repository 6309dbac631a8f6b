//! Links senda-session without std, on an allocator of our own.

#![no_std]

#[path = "../../heap.rs"]
mod heap; // an allocator of our own

use core::panic::PanicInfo;

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

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
