//! The device side of Senda: hands readings to a collector over TCP or UDP, and knows when they are safe.
//!
//! # Goals
//! - A sensor in 20 lines, async ([`Client`]) or blocking ([`blocking::Client`]): name the channels, set values, send.
//! - Offline first: with [`Builder::spool`] rows outlive the process; live readings go first, history beside them.
//! - One stream, two transports: with [`Builder::also`] it goes over UDP while that works, else over TCP.
//! - Never lies: what is queued is bounded and says what it drops; [`Receipt`] and `flush` mean *on the collector's disk*.
//! - Never gives up: connections come back by themselves, with full-jitter back-off.
//! - Thousands of devices in one process: [`Port`] drives an [`Uplink`] without a task or a lock of its own.
//!
//! # Not here
//! Authentication and encryption, many devices on one socket.
//!
//! # A sensor
//! ```no_run
//! # async fn sensor() -> Result<(), senda_client::Error> {
//! use senda_client::{Channel, Client, Sample, Schema, ValueType};
//!
//! let client = Client::builder("gh-7", "udp://127.0.0.1:7363")?.connect()?;
//! let greenhouse = client.declare(
//!     &Schema::new("greenhouse")
//!         .with(Channel::new("temperature", ValueType::I16).exponent(-1).unit("Cel"))
//!         .with(Channel::new("door", ValueType::Enum8).labels(&["closed", "open"]))
//!         .build()?,
//! )?;
//! let sample = Sample::new().set("temperature", 21.5).set("door", "closed");
//! let receipt = client.send(&greenhouse, &sample).await?; // Queued.
//! receipt.await?; // On the collector's disk.
//! client.close(std::time::Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod blocking; // the same without async
pub mod path; // which of two transports carries a device's streams
pub mod spool; // rows on disk until the collector has them
pub mod uplink; // a device's whole way up, sans-IO

mod client; // the async client: a device, its task, its receipts
mod endpoint; // where a collector is
mod error; // what can go wrong, by who must act
pub mod journal; // what was made and what was told, for `senda audit`
mod link; // one socket, never blocking
mod port; // an uplink's sockets
mod sample; // values by name to rows in bytes
mod schema; // channels by name
mod shared; // what handles and the driving task have in common

pub use client::{Builder, COUNTS_EVERY, Client, SPOOL_BYTES, TIME_EVERY};
pub use endpoint::{Endpoint, EndpointError, PORT_DEFAULT};
pub use error::{Error, RowLost, SendError};
pub use port::{Epoch, Port, device_seed};
pub use sample::{Reading, Sample, SampleError};
pub use schema::{Channel, Schema, SchemaBuilder, SchemaError};
pub use senda_session::Instant;
pub use senda_session::device::{
    Acked, AlertDetail, Argument, Batch, Closing, Config, Device, DoneError, DropPolicy, Event,
    LostReason, NewStream, OwnedValue, PushError, QueueLimits, SchemaId, Stats, Ticket, Transport,
    Welcomed,
};
pub use senda_wire::registry::downlink;
pub use senda_wire::{Clock, DoneStatus, Durability, ErrorCode, SkipCause, ValueType};
pub use shared::{Declared, Receipt};
pub use uplink::Uplink;
