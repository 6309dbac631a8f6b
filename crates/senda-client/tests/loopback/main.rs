//! The client over real sockets, against a collector that does what the test asks.

mod async_client; // the async client
mod blocking_client; // the blocking one
mod collector; // the scripted collector
mod fleet; // many ports in one process
mod uplinks; // the spool and the second address

use std::time::{Duration, Instant};

use senda_client::{Channel, Sample, Schema, ValueType};

/// Longer than anything here takes; only a failure waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

pub(crate) fn greenhouse() -> Schema {
    Schema::new("greenhouse")
        .with(Channel::new("temperature", ValueType::I16).exponent(-1).unit("Cel"))
        .with(Channel::new("serial", ValueType::U32))
        .build()
        .unwrap()
}

pub(crate) fn sample(serial: u32) -> Sample {
    Sample::new().set("temperature", 21.5).set("serial", serial)
}

/// The row that [`sample`] becomes.
pub(crate) fn row(serial: u32) -> Vec<u8> {
    let [a, b, c, d] = serial.to_be_bytes();
    vec![0, 215, a, b, c, d]
}

/// Looks again and again until it holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
