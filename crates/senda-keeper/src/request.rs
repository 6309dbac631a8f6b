//! What the engine asks of the store, and what it hears.

use std::sync::Arc;

use senda_session::collector::{Downlink, Notice, Outcome, StreamState, Token, Verdict, What};
use senda_store::CommandRecord;
use senda_wire::MessageType;

/// What the engine asks of the store: an event of it, as far as the store is concerned.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// The state of a stream, after all landings before.
    Open {
        /// For the answer.
        token: Token,
        /// The device's name.
        device: Arc<str>,
        /// Its stream.
        stream: u64,
    },
    /// Store this.
    Land {
        /// For the answer.
        token: Token,
        /// The device's name.
        device: Arc<str>,
        /// Its stream.
        stream: u64,
        /// Microseconds since 1970 when it arrived.
        received_us: i64,
        /// What to store.
        what: What,
    },
    /// A command is about to be sent. Spec §7.7d.
    Record {
        /// For the answer.
        token: Token,
        /// The device's name.
        device: Arc<str>,
        /// The command.
        command_id: u32,
    },
    /// Something that may be worth keeping.
    Notice {
        /// The device's name.
        device: Arc<str>,
        /// The stream that it is about.
        stream: u64,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// What HELLO said of the software; empty for nothing.
        software: String,
        /// What happened.
        notice: Notice,
    },
    /// An order came to its end.
    Conclude(Conclusion),
    /// What waits for a device.
    Orders {
        /// The device's name.
        device: Arc<str>,
    },
}

/// What became of something sent down.
#[derive(Clone, Debug, PartialEq)]
pub struct Conclusion {
    /// The device's name.
    pub device: Arc<str>,
    /// CONFIG, COMMAND or ALERT.
    pub kind: MessageType,
    /// Revision or id.
    pub id: u32,
    /// Of an ALERT: it said that the condition holds.
    pub raised: bool,
    /// What became of it.
    pub outcome: Outcome,
}

/// What the engine hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The verdicts of one commit, in order.
    Verdicts(Vec<(Token, Verdict)>),
    /// A stream, and what waits for its device; `None`: it can't be read.
    Stream(Token, Option<StreamState>, Vec<Downlink>),
    /// Whether it is recorded that a command is about to be sent.
    Recorded(Token, bool),
    /// All that waits for a device.
    Orders(Arc<str>, Vec<Downlink>),
}

/// Something that was stored and is no reading, for people who watch.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A command has another state.
    Command(Box<CommandRecord>),
    /// A device answered a CONFIG.
    Config {
        /// The device's name.
        device: Arc<str>,
        /// Which CONFIG.
        revision: u32,
        /// Status of its DONE. Spec §5.20.
        status: u8,
        /// For people.
        text: String,
    },
}
