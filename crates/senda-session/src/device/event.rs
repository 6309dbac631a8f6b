//! What a session tells its application.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use senda_wire::{Durability, ErrorCode, MessageType, SkipCause};

use super::config::EVENTS_MAX;
use super::{Argument, SchemaId, Transport};
use crate::Instant;

/// What happened, oldest first, from [`Device::poll_event`](super::Device::poll_event).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A session is open.
    Welcomed(Welcomed),
    /// Rows are durable. Every row below `mark` is durable or resolved.
    Acked(Acked),
    /// The collector refused rows for good; it has recorded them. Spec §7.6, class 3xx.
    Refused {
        /// First row.
        first: u32,
        /// Rows.
        count: u32,
        /// Why.
        code: ErrorCode,
        /// For people.
        text: String,
    },
    /// The collector refused a schema, and this device can't mend it: its rows are given up.
    SchemaRefused {
        /// Which.
        schema: SchemaId,
        /// Why.
        code: ErrorCode,
        /// For people.
        text: String,
    },
    /// Rows were given up; a SKIP tells the collector.
    Dropped {
        /// First row.
        first: u32,
        /// Rows.
        count: u32,
        /// Why.
        cause: SkipCause,
    },
    /// Apply these settings, then answer by [`Device::done`](super::Device::done).
    Config {
        /// For the answer.
        ticket: Ticket,
        /// Of the desired state.
        revision: u32,
        /// The whole desired state: what is not in it is back at its default.
        settings: Vec<Argument>,
    },
    /// Do this once, then answer by [`Device::done`](super::Device::done). Note the id before beginning.
    Command {
        /// For the answer.
        ticket: Ticket,
        /// Growing for each device.
        id: u32,
        /// It is void after this time.
        ttl: Duration,
        /// What to do.
        name: String,
        /// With what.
        arguments: Vec<Argument>,
    },
    /// Show this, then answer by [`Device::done`](super::Device::done).
    Alert {
        /// For the answer.
        ticket: Ticket,
        /// What it says.
        alert: AlertDetail,
    },
    /// This was a copy of a running device, or its stream is full: what is unacknowledged has new numbers. Spec §6.7.
    NewStream(NewStream),
    /// What arrived of the unacknowledged kinds. Spec §5.15.
    Report {
        /// Highest message counter seen.
        highest: u32,
        /// Messages taken.
        received: u32,
        /// Duplicates dropped.
        duplicates: u32,
        /// Messages that have not come.
        missing: u32,
    },
    /// A better estimate of UTC minus the device's clock. Spec §13.3.
    Time {
        /// Microseconds.
        offset_us: i64,
        /// Microseconds.
        uncertainty_us: u32,
    },
    /// The session is gone; another one follows unless `retry_at` is `None`.
    Lost {
        /// Why.
        reason: LostReason,
        /// When HELLO, or a new connection, is due.
        retry_at: Option<Instant>,
    },
    /// TCP: make a connection now, then call `connect`, or `disconnected` if it failed.
    NeedConnect,
    /// The end, after [`Device::close`](super::Device::close): nothing more is sent.
    Closed,
}

/// The terms of a session. Spec §5.3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Welcomed {
    /// The stream that it serves.
    pub stream: u64,
    /// Its id.
    pub session: u32,
    /// What carries it.
    pub transport: Transport,
    /// First row that is not resolved.
    pub next_row: u32,
    /// Rows that may be on their way.
    pub window_rows: u32,
    /// What an ACK means.
    pub durability: Durability,
    /// Microseconds UTC, for a rough idea only.
    pub server_time: i64,
}

/// Newly durable rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Acked {
    /// Every row below it is durable or resolved.
    pub mark: u32,
    /// Rows that became durable by this, ranges above the mark included; refused and skipped ones are not among them.
    pub rows: u32,
    /// From push to acknowledgement, the longest of them. Resolution 64 µs.
    pub slowest: Duration,
    /// From push to acknowledgement, the shortest of them.
    pub fastest: Duration,
}

/// What an ALERT says. Spec §5.19.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertDetail {
    /// The same for raising and clearing.
    pub id: u32,
    /// Microseconds UTC.
    pub time: i64,
    /// Raised or cleared.
    pub raised: bool,
    /// 0 information, 1 warning, 2 critical.
    pub severity: u8,
    /// Schema that the rule is about, or empty.
    pub schema: String,
    /// Channel that the rule is about, or empty.
    pub channel: String,
    /// For people.
    pub text: String,
    /// Such as `value` and `threshold`.
    pub values: Vec<Argument>,
}

/// Names a CONFIG, COMMAND or ALERT that waits for its answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ticket {
    pub(super) session: u32,
    pub(super) seq: u32,
    pub(super) kind: MessageType,
    pub(super) id: u32,
}

/// Where the rows of the old stream went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewStream {
    /// The stream that was left.
    pub old: u64,
    /// The stream that goes on.
    pub new: u64,
    /// For each run of rows: first number in the old stream, rows, first number in the new one. Ascending.
    pub moved: Vec<(u32, u32, u32)>,
}

/// Why a session is gone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LostReason {
    /// The collector said CLOSE.
    Close {
        /// Why.
        code: ErrorCode,
        /// For people.
        text: String,
    },
    /// Too many time-outs in a row, or nothing was heard for too long.
    Silence,
    /// The caller said `disconnected`.
    Disconnected,
    /// The collector's bytes are no sequence of messages (TCP). Spec §3.6.
    Framing,
    /// WELCOME asked for something that this device does not know. Spec §5.3.
    Unsupported,
}

impl Event {
    /// True for an event that only informs: it may go when nobody polls.
    const fn only_informs(&self) -> bool {
        !matches!(
            self,
            Self::Config { .. }
                | Self::Command { .. }
                | Self::Alert { .. }
                | Self::NewStream(_)
                | Self::NeedConnect
                | Self::Closed
        )
    }
}

/// The events that wait, at most [`EVENTS_MAX`] and those few that must not be lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    waiting: VecDeque<Event>,
    pub(super) lost: u64,
}

impl Events {
    pub(super) fn push(&mut self, event: Event) {
        if self.joined(&event) {
            return;
        }
        if self.waiting.len() >= EVENTS_MAX {
            self.lost += 1;
            match self.waiting.iter().position(Event::only_informs) {
                Some(oldest) => drop(self.waiting.remove(oldest)),
                None => drop(self.waiting.pop_front()),
            }
        }
        self.waiting.push_back(event);
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.waiting.pop_front()
    }

    /// Folds an event into the last one where both say the same of neighbouring rows.
    fn joined(&mut self, event: &Event) -> bool {
        match (self.waiting.back_mut(), event) {
            (Some(Event::Acked(last)), Event::Acked(next)) => {
                if last.rows == 0 {
                    *last = *next;
                } else if next.rows > 0 {
                    last.slowest = last.slowest.max(next.slowest);
                    last.fastest = last.fastest.min(next.fastest);
                    last.rows += next.rows;
                }
                last.mark = last.mark.max(next.mark);
                true
            }
            (
                Some(Event::Dropped { first, count, cause }),
                Event::Dropped { first: next_first, count: next_count, cause: next_cause },
            ) if cause == next_cause && first.checked_add(*count) == Some(*next_first) => {
                *count += next_count;
                true
            }
            _ => false,
        }
    }
}
