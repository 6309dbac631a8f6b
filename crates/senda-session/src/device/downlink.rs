//! CONFIG, COMMAND and ALERT, and the one DONE that answers each. Spec §7.7.
//!
//! ```text
//!   number above all before --> Event --> done() --> DONE, kept
//!   the number of the kept DONE --> the same DONE again, nothing done twice
//!   the number that the application works on, or a lower one --> ignored
//! ```

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use senda_wire::registry::downlink as bits;
use senda_wire::{DoneStatus, EncodeError, Frame, Head, List, Message, MessageType, NamedValue};

use super::event::Ticket;
use super::value::own_list;
use super::{AlertDetail, Argument, Device, Event, State};

/// Bytes of a list that a DONE may carry: 32 values, each with name and head, of which one blob fits any message.
const RESULTS_MAX: usize = 16_384;

/// What the device remembers of its orders.
#[derive(Clone, Debug, Default)]
pub(super) struct Downlink {
    /// What the application works on.
    open: Option<Order>,
    /// The last answer, whole, and the control number that it answers.
    done: Option<(u32, Vec<u8>)>,
    /// It is to be sent.
    due: bool,
    /// Revision of the CONFIG in force.
    pub(super) config_rev: u32,
    /// Highest command id that was begun.
    pub(super) last_command_id: u32,
    /// The collector has more: stay awake.
    pub(super) more: bool,
}

/// What was ordered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Order {
    seq: u32,
    kind: MessageType,
    id: u32,
}

/// Why an answer is not taken. The local caller is at fault, except for `Stale`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DoneError {
    /// The session of the question is gone, or it was answered already. A CONFIG's revision is noted all the same.
    Stale,
    /// Text or results break a limit of section 4.4 or 5.20.
    Encode(EncodeError),
}

impl fmt::Display for DoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => f.write_str("the session that asked is gone, or has its answer"),
            Self::Encode(_) => f.write_str("the answer does not fit a DONE"),
        }
    }
}

impl core::error::Error for DoneError {}

impl Downlink {
    pub(super) fn new(config_rev: u32, last_command_id: u32) -> Self {
        Self { config_rev, last_command_id, ..Self::default() }
    }

    /// Control numbers begin anew with each session.
    pub(super) fn begin_session(&mut self) {
        (self.open, self.done, self.due, self.more) = (None, None, false, false);
    }

    /// The DONE to send, if one is due and fits.
    pub(super) fn transmit(&mut self, out: &mut [u8]) -> Option<usize> {
        let (_, bytes) = self.done.as_ref().filter(|_| self.due)?;
        out.get_mut(..bytes.len())?.copy_from_slice(bytes);
        self.due = false;
        Some(bytes.len())
    }

    /// Whether a message with this control number asks for something new.
    fn admits(&mut self, seq: u32) -> bool {
        if self.open.is_some_and(|open| seq <= open.seq) {
            return false;
        }
        if let Some((done, _)) = &self.done {
            if *done == seq {
                self.due = true; // Spec §7.7b: the same DONE again.
            }
            if seq <= *done {
                return false;
            }
        }
        true
    }
}

impl Device {
    /// Takes a CONFIG, COMMAND or ALERT of the current session.
    pub(super) fn on_order(&mut self, frame: &Frame<'_>, message: &Message<'_>) {
        let (kind, id, bit) = match message {
            Message::Config(config) => (MessageType::Config, config.revision, bits::CONFIG),
            Message::Command(command) => (MessageType::Command, command.id, bits::COMMAND),
            Message::Alert(alert) => (MessageType::Alert, alert.id, bits::ALERT),
            _ => return,
        };
        let seq = frame.seq;
        if !self.downlink.admits(seq) {
            return;
        }
        self.downlink.open = Some(Order { seq, kind, id });
        let ticket = Ticket { session: frame.session, seq, kind, id };
        if self.config.downlink & bit == 0 {
            // Spec §7.7c forbids it to the collector; the answer keeps the queue from standing still.
            let _ = self.done(ticket, DoneStatus::Unknown, "", &[]);
            return;
        }
        match message {
            Message::Config(config) => {
                let settings = own_list(&config.settings);
                self.events.push(Event::Config { ticket, revision: id, settings });
            }
            Message::Command(command) if id <= self.downlink.last_command_id => {
                // Spec §7.7d and e: at most once, whoever forgot what.
                let text = "a command with this id, or a later one, was begun before";
                let _ = (command, self.done(ticket, DoneStatus::Refused, text, &[]));
            }
            Message::Command(command) => {
                self.downlink.last_command_id = id;
                self.events.push(Event::Command {
                    ticket,
                    id,
                    ttl: Duration::from_millis(command.ttl_ms.into()),
                    name: command.name.into(),
                    arguments: own_list(&command.arguments),
                });
            }
            Message::Alert(alert) => {
                let alert = AlertDetail {
                    id,
                    time: alert.time,
                    raised: alert.raised,
                    severity: alert.severity,
                    schema: alert.schema.into(),
                    channel: alert.channel.into(),
                    text: alert.text.into(),
                    values: own_list(&alert.values),
                };
                self.events.push(Event::Alert { ticket, alert });
            }
            _ => {}
        }
    }

    /// Answers a CONFIG, COMMAND or ALERT. `results`: the values in force when a CONFIG was clamped, or what a command
    /// found. The answer is kept, and repeated when the collector repeats the question.
    ///
    /// # Errors
    /// [`DoneError`]
    pub fn done(
        &mut self,
        ticket: Ticket,
        status: DoneStatus,
        text: &str,
        results: &[Argument],
    ) -> Result<(), DoneError> {
        let applied = matches!(status, DoneStatus::Ok | DoneStatus::Clamped);
        if ticket.kind == MessageType::Config && applied {
            self.downlink.config_rev = ticket.id;
        }
        let State::Serving(session) = &self.state else { return Err(DoneError::Stale) };
        let order = Order { seq: ticket.seq, kind: ticket.kind, id: ticket.id };
        if session.id != ticket.session || self.downlink.open != Some(order) {
            return Err(DoneError::Stale);
        }
        let mismatch = EncodeError::Mismatch { channel: 0 };
        let views: Option<Vec<NamedValue<'_>>> = results.iter().map(Argument::view).collect();
        let mut list = vec![0; if results.is_empty() { 0 } else { RESULTS_MAX }];
        let results = List::build(&views.ok_or(DoneError::Encode(mismatch))?, &mut list)
            .map_err(DoneError::Encode)?;
        let message = Message::Done(senda_wire::Done {
            answered: ticket.kind,
            id: ticket.id,
            status,
            text,
            results,
        });
        let mut bytes = vec![0; session.message_max];
        let head = Head { session: session.id, seq: ticket.seq, flags: 0 };
        let len = message.encode(head, &mut bytes).map_err(DoneError::Encode)?;
        bytes.truncate(len);
        bytes.shrink_to_fit();
        self.downlink.done = Some((ticket.seq, bytes));
        self.downlink.due = true;
        self.downlink.open = None;
        Ok(())
    }
}
