//! The Senda/1 sessions, sans-IO: [`device::Device`] is one device session, [`collector::Collector`] the engine with all
//! sessions of a collector.
//!
//! # Goals
//! - Everything the protocol decides (handshake, windows, timers, who is acknowledged and when) is decided here, once, for
//!   sockets and for simulations.
//! - Time, randomness and durability are *inputs*: `now` is an argument, randomness comes from a seed, and an ACK leaves
//!   only after [`collector::Collector::handle_durable`].
//!
//! # Not here
//! Sockets, threads, clocks, storage. A caller feeds bytes and deadlines in, and carries transmits and events out: after
//! every `handle_*`, drain `poll_transmit`, then `poll_event`, then arm a timer for `poll_timeout`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod collector; // the engine: all sessions, admission, windows, ACK gate, replies
pub mod device; // one device session

mod entropy; // random numbers from a seed
mod time; // moments as arguments

pub use entropy::Entropy;
pub use time::Instant;
