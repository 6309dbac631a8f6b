//! Simulated sensors and faults for Senda: a fleet that lies, breaks and disconnects on a seed.
//!
//! # Goals
//! - One `u64` seed decides everything. A row depends on seed, device index and the moments at
//!   which its instrument was sampled, never on transport, other devices, threads or a clock.
//! - Values look like those of real sensors: correlated in time, quantised, clamped to a range.
//! - A hundred thousand instruments fit one process; sampling does not allocate.
//!
//! # Not here
//! Sockets and clocks. Time is an argument everywhere: Unix microseconds (`i64`) for readings,
//! [`senda_session::Instant`] for the bad network.
//!
//! # The whole loop
//! ```
//! use senda_sim::{Instrument, Profile};
//!
//! let profile = Profile::load("greenhouse")?;
//! let start_us = 1_767_225_600_000_000; // 2026-01-01T00:00:00Z
//! let mut device = Instrument::new(profile, 7, 42, start_us);
//!
//! let mut row = Vec::new(); // one row in ROWS form, reused for every sample
//! for _ in 0..3 {
//!     row.clear();
//!     let t_us = device.sample_due(&mut row);
//!     assert!(t_us >= start_us && row.len() <= profile.schema().row_max());
//! }
//! # Ok::<(), senda_sim::ProfileError>(())
//! ```
#![forbid(unsafe_code)]

pub mod clock; // clocks that drift, step and start at 1970
pub mod faults; // a bad network, sans-IO
pub mod fleet; // many devices over real sockets
pub mod profile; // what a kind of device measures, from TOML
pub mod sensor;
pub mod world; // everything in virtual time, and an oracle that watches it // random processes, and what a sensor makes of them

mod duration; // "250ms", "10min"
mod instrument; // one simulated device: its sensors and when they are read
mod seed; // one seed for the fleet, one for each purpose of each device

pub use duration::{DurationError, parse_duration};
pub use instrument::Instrument;
pub use profile::{Profile, ProfileError};
pub use seed::derive_seed;
