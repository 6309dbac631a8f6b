//! Uplinks against the real engine in virtual time: moving between transports, draining a spool beside the live stream.
#![allow(unreachable_pub, reason = "each file uses a part of the world")]
#![allow(
    clippy::print_stdout,
    reason = "a failure names the seed that repeats it; figures are shown on request"
)]

#[path = "../../../senda-session/tests/common/mod.rs"]
mod common; // the engine's rig and the model of the store

mod moves; // between UDP and TCP
mod offline; // spool, reboots, history beside the live stream
mod world; // uplinks, the engine and a network
