//! What stands between a collector's engine and its store: requests in, one commit, answers out.
//!
//! ```text
//!   senda_session::collector --Request--> [ Batch ] --Keeper::commit--> senda_store::Writer
//!              ^                                            | after the sync
//!              +-----------------Effect::Answer-------------+
//! ```
//!
//! # Goals
//! - The order of everything is decided here, once: landings first, in one transaction with one sync; then what happens to
//!   orders; then the streams that HELLOs asked for, whose marks include every landing before them. Spec §6.4.
//! - Synchronous and without a clock, so that a simulator can stop it, and crash it, between any two effects.
//!
//! # Not here
//! Threads, queues and how long a commit gathers (the caller's); SQL (`senda-store`); decisions about sessions
//! (`senda-session`).
//!
//! # The whole loop
//! ```
//! use senda_keeper::{Answer, Batch, Effect, Keeper, Request};
//! use senda_session::collector::Token;
//! use senda_store::{Options, Writer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let now = 1_700_000_000_000_000;
//! let mut keeper = Keeper::new(Writer::open(dir.path(), Options::default(), now)?);
//!
//! let mut batch: Batch = Batch::default();
//! batch.add(Request::Open { token: Token(1), device: "gh-7".into(), stream: 9 }, now);
//! let mut answers = Vec::new();
//! keeper.commit(batch, now, &mut |effect| {
//!     if let Effect::Answer(answer) = effect {
//!         answers.push(answer); // For the engine.
//!     }
//! });
//! assert!(matches!(&answers[..], [Answer::Stream(Token(1), Some(state), _)] if state.mark.next_row == 0));
//! # Ok(())
//! # }
//! ```

mod request; // what the engine asks, and what it hears

mod batch; // what is asked at one time, in the order in which it is done
mod keeper; // one commit

mod alert; // the body of an ALERT
mod desk; // what is on its way to devices
mod orders; // what waits for devices, and what became of it
mod words; // the engine's words in the store's, and back

pub use alert::{alert_body, cut};
pub use batch::Batch;
pub use desk::{Desk, config_order};
pub use keeper::{Effect, Keeper};
pub use orders::{ALERT_TTL_US, alert_order, command_order};
pub use request::{Answer, Change, Conclusion, Request};
pub use words::rows_stored;
