//! The Senda/1 codec: bytes to messages and back, in place.
//!
//! # Goals
//! - Every message of `spec/senda-1.md` but COLUMNS and SEALED bodies: decoding borrows from the input and validates it
//!   completely; encoding writes into the caller's slice.
//! - Any byte string is safe: it gives a value or an error, never a panic, and nothing is allocated.
//!
//! # Not here
//! Sessions, timers and sockets (`senda-session`, `senda-client`, `senda-server`), and the TAG trailer of signed
//! sessions. This crate reads no clock and opens no socket; a datagram and a stream differ only in what missing bytes
//! mean ([`Frame::decode_datagram`], [`Frame::decode`]).
//!
//! # Errors
//! Every error but [`EncodeError`] is the peer's or the line's. None is fatal to this crate: it keeps no state.
//!
//! # The whole loop
//! ```
//! use senda_wire::{Frame, Head, Message, Ping};
//!
//! let mut buffer = [0; 64];
//! let sent = Message::Ping(Ping { token: 7 });
//! let len = sent.encode(Head { session: 0x51B2, seq: 1, flags: 0 }, &mut buffer).unwrap();
//!
//! let frame = Frame::decode(&buffer[..len], senda_wire::registry::MESSAGE_MAX).unwrap();
//! assert_eq!((frame.session, frame.seq), (0x51B2, 1));
//! assert_eq!(Message::decode(&frame), Ok(sent));
//! ```
#![no_std]
#![forbid(unsafe_code)]

pub mod layout; // where each field of a message stands, as data
pub mod registry; // codes, names, limits: generated from spec/registry.toml

mod answer; // bodies of DECLARE, CLOSE, COUNTS, SKIP, ACK, NACK, REPORT
mod check; // checks that the bodies share
mod clock; // bodies of TIME_REQ, TIME, PING and PONG
mod control; // bodies of CONFIG, COMMAND, ALERT, DONE
mod cursor; // Reader and Writer: the only code that touches offsets
mod data; // bodies of ROWS and SPARSE, row by row
mod error; // what can be wrong with bytes, and where the specification says so
mod frame; // header and trailer
mod hello; // bodies of HELLO and WELCOME
mod list; // named values, options, ranges, causes: the repeated parts of bodies
mod message; // the sum of all messages
mod name; // device names and identifiers
mod schema; // what a row holds
mod value; // one reading
mod walk; // a message shown field by field

pub use answer::{Ack, Close, Counts, Declare, Nack, Report, Skip, Window};
pub use clock::{Ping, Time, TimeReq};
pub use control::{Alert, Command, Config, Done};
pub use cursor::{Reader, Writer};
pub use data::{Data, DataHead, Presence, Row, RowFault, Rows, encode_row, encode_sparse_row};
pub use error::{BodyError, EncodeError, FrameError, SchemaError, TypeError};
pub use frame::{Frame, Head, Sender, crc32};
pub use hello::{Hello, Welcome};
pub use list::{Causes, HelloOption, List, NamedValue, Options, Range, Ranges, TypedValue};
pub use message::Message;
pub use name::{DeviceName, Identifier};
pub use registry::{
    Clock, DoneStatus, Durability, ErrorClass, ErrorCode, MessageType, SkipCause, Suite, ValueType,
};
pub use schema::{Channel, ChannelSpec, Channels, Schema};
pub use value::{Value, Vector};
pub use walk::{FieldValue, Visit, walk};
