//! Durable sensor readings in SQLite: landing, deduplication, filing and query.
//!
//! # Goals
//! - What [`Writer::land`] calls [`Outcome::Stored`] is on disk: one transaction and one sync cover a whole batch.
//! - A row, known by device, stream and number, is stored once, however often and in whatever batches it comes.
//! - Values come out bit for bit as they went in, and still read well from the `sqlite3` shell.
//!
//! # Not here
//! Threads, sockets and clocks. The caller owns the one thread that writes and says what time it is, in microseconds
//! since 1970 (UTC), so that a simulator can drive the same code. What a message means on the wire is `senda-wire`'s.
//!
//! # How a reading travels
//! Messages **land** as they came, all that are waiting in one row of the table `inbox`: that is all an ACK waits for.
//! Short slices of [`Writer::file`] then **file** them into one table for each schema, with a column for each
//! channel. `docs/store.md` has the tables; `docs/decisions/0002-landing-and-filing.md` the reasons.
//!
//! # Errors
//! [`OpenError`] is for the operator and says what to do. [`StoreError`] is about the disk: the writer recovers by
//! itself, and until it has, [`Writer::land`] answers [`Outcome::Failed`] and nothing counts as durable.
//!
//! # The whole loop
//! ```
//! use std::sync::Arc;
//! use senda_store::{Landing, Options, Query, Reader, What, Writer};
//! use senda_wire::{ChannelSpec, Identifier, Schema, Value, ValueType};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let now = 1_700_000_000_000_000;
//! let mut writer = Writer::open(dir.path(), Options::default(), now)?;
//!
//! let name = |text| Identifier::new(text).expect("the grammar of names");
//! let mut buffer = [0; 64];
//! let channels = [ChannelSpec::new(name("temperature"), ValueType::F64)];
//! let description = Schema::encode(name("greenhouse"), &channels, &mut buffer)?.to_vec();
//!
//! // Schema 0, clock UTC_SYNCED, one row, t0, and the row itself.
//! let mut body = vec![0, 0, 0xC0, 1];
//! body.extend(now.to_be_bytes());
//! body.extend(21.5f64.to_be_bytes());
//!
//! let landing = |what| Landing { device: Arc::from("gh-7"), stream: 9, received: now, what };
//! let verdicts = writer.land(
//!     &[
//!         landing(What::Declare { id: 0, description }),
//!         landing(What::Rows { first: 0, count: 1, sparse: false, schema: 0, body, refused: vec![] }),
//!     ],
//!     now,
//! );
//! assert_eq!(verdicts[1].next_row, 1); // On disk: the ACK may go.
//!
//! let reader = Reader::open(dir.path())?;
//! let samples = reader.query(&Query { device: Some("gh-7".into()), ..Query::default() })?;
//! assert_eq!(samples[0].values[0], Some(senda_store::Value::F64(21.5)));
//! # Ok(())
//! # }
//! ```

mod landing; // what comes in, and what became of it
mod options; // limits and their defaults

mod error; // what can go wrong, split by who must act
mod marks; // which rows of a stream are resolved

mod writer; // the one writer: open, land, recover

mod alerts; // conditions that hold, and who has still to hear of them
mod backup; // copies of a store that is in use
mod catalog; // schemas, and the tables and columns that hold them
mod checkpoint; // the log goes into the database
mod clock; // what is known of a device's clock
mod control; // commands, settings, reports
mod database; // the file: connection, version, tables of our own
mod dating; // rows that were filed before anything was known of their clock
mod filing; // from the inbox to the tables
mod follower; // what has just landed, decoded
mod inbox; // bytes of landed messages
mod ledger; // what became of every row number
mod misfits; // bytes that fitted no format
mod overview; // devices and events
mod query; // samples, landed and filed alike
mod reader; // read-only access
mod recovery; // closed by a failure, opened again
mod retention; // what is old goes
mod rewrite; // the log once more, after a sync that failed
mod rows; // rows of a landed message, numbered and dated
mod streams; // marks and schemas of the streams in use
mod time; // the best estimate of when a sample was taken
mod value; // one reading, and its column
mod walk; // all that is kept under row numbers, for an audit

pub use alerts::{AlertQuery, AlertRecord, LatestRecord, NoticeRecord};
pub use checkpoint::Checkpointer;
pub use control::{
    CommandEnd, CommandRecord, CommandState, HelloReport, ReportRecord, SettingsRecord,
};
pub use error::{OpenError, StoreError};
pub use filing::Filing;
pub use follower::{Followed, Follower};
pub use landing::{Landing, Outcome, Verdict, What};
#[doc(hidden)]
pub use options::{Fault, FaultHook, Weakness};
pub use options::{Options, Retention};

pub use ledger::Ledger;
pub use misfits::MisfitRecord;
pub use overview::{ClockRecord, DeviceRecord, EventRecord};
pub use query::{ChannelInfo, Query, Sample, TableInfo};
pub use reader::{Answer, Cell, Reader};
pub use senda_wire::Range;
pub use value::Value;
pub use walk::{Kept, KeptRow, KeptWhat, Place};
pub use writer::{InboxState, Pressure, StreamState, Writer};
