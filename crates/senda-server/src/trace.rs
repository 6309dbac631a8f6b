//! Every message both ways and every drop, for eyes.

use std::net::SocketAddr;

/// Which way a message went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From a device to the collector.
    Up,
    /// From the collector to a device.
    Down,
}

/// Gets every message and every drop, on the engine's thread: it must not block for long.
pub trait TraceSink: Send {
    /// A whole message, header and trailer included.
    fn message(
        &mut self,
        direction: Direction,
        transport: &'static str,
        peer: Option<SocketAddr>,
        bytes: &[u8],
    );

    /// Bytes that were dropped: why, and the section of the specification that says so.
    fn dropped(
        &mut self,
        transport: &'static str,
        peer: Option<SocketAddr>,
        reason: &str,
        section: &'static str,
    );
}
