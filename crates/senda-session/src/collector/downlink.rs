//! CONFIG, COMMAND and ALERT, one at a time, until DONE. Spec §7.7.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use senda_wire::registry::{CRC_LEN, DATAGRAM_MAX, HEADER_LEN, downlink};
use senda_wire::{BodyError, Done, Frame, Message, MessageType};

use super::event::{Event, Outcome, Token};
use super::session::{Order, Outstanding, Session};
use super::timers::Timer;
use super::{Collector, Now};
use crate::Instant;

/// First time-out of a message sent down; doubled each time. Spec §7.5a.
const RTO_FIRST: Duration = Duration::from_secs(1);
/// Longest time-out. Spec §7.5a.
const RTO_MAX: Duration = Duration::from_secs(60);

/// A device that said nothing for so long may have slept. Who speaks more often is served by the timer.
const SLEEP_MIN: Duration = Duration::from_secs(5);

/// Something to send to a device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Down {
    /// CONFIG, COMMAND or ALERT.
    pub kind: MessageType,
    /// Revision or id, as in the body.
    pub id: u32,
    /// Body of the message, as spec §5.17 to §5.19 say; a COMMAND's ttl_ms is filled in when it is sent.
    pub body: Vec<u8>,
    /// A COMMAND that was not sent within this time is expired.
    pub ttl: Option<Duration>,
}

impl Collector {
    /// Sends something to a device, on the newest of its sessions that takes this kind. Without one the outcome
    /// [`Outcome::NoTaker`] comes at once.
    ///
    /// # Errors
    /// [`BodyError`] when the body does not have the layout of its kind.
    pub fn handle_down(&mut self, now: Now, device: &str, down: Down) -> Result<(), BodyError> {
        decode_body(down.kind, &down.body)?;
        let device: Arc<str> = device.into();
        let takers = self.sessions_of(&device).into_iter();
        let takers = takers.filter(|id| {
            self.sessions.get(id).is_some_and(|s| takes(s, down.kind, down.body.len()))
        });
        let newest = takers.max_by_key(|id| self.sessions.get(id).map(|session| session.opened));
        match newest {
            Some(id) => self.order(now, id, down),
            None => self.outcome(device, down.kind, down.id, Outcome::NoTaker),
        }
        Ok(())
    }

    /// The store's answer to `Event::Record`: `recorded` says whether it is durable that the command is about to be
    /// sent. Spec §7.7d.
    pub fn handle_recorded(&mut self, now: Now, token: Token, recorded: bool) {
        let Some(id) = self.recording.remove(&token) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let waits = |outstanding: &&mut Outstanding| outstanding.recording == Some(token);
        let Some(outstanding) = session.down.outstanding.as_mut().filter(waits) else {
            return;
        };
        outstanding.recording = None;
        let late = outstanding.order.expires.is_some_and(|expires| expires <= now.instant);
        if recorded && !late {
            return self.transmit_down(now, id);
        }
        let device = session.device.clone();
        let outcome = if recorded { Outcome::Expired } else { Outcome::NotRecorded };
        if let Some(Outstanding { order, .. }) = session.down.outstanding.take() {
            self.outcome(device, order.kind, order.id, outcome);
        }
        self.pump_down(now, id);
    }

    /// Queues an order on a session, if it takes this kind. Spec §7.7c.
    pub(super) fn order(&mut self, now: Now, id: u32, down: Down) {
        let queue_max = self.config.downlink_queue_max;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if down.kind == MessageType::Config {
            // The newest desired state is the only one that counts.
            let device = session.device.clone();
            let is_config = |order: &Order| order.kind == MessageType::Config;
            if let Some(place) = session.down.queue.iter().position(is_config)
                && let Some(older) = session.down.queue.remove(place)
            {
                self.outcome(device, older.kind, older.id, Outcome::NoTaker);
            }
        }
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if !takes(session, down.kind, down.body.len()) || session.down.queue.len() >= queue_max {
            let device = session.device.clone();
            return self.outcome(device, down.kind, down.id, Outcome::NoTaker);
        }
        let expires = down.ttl.map(|ttl| now.instant + ttl);
        session.down.queue.push_back(Order {
            kind: down.kind,
            id: down.id,
            body: down.body,
            expires,
        });
        self.pump_down(now, id);
    }

    /// A new session takes over what its device's other sessions have not sent, and what may be sent twice: they may be
    /// dead without knowing it. A command that may have left stays where it is. Spec §7.7e.
    pub(super) fn inherit_down(&mut self, now: Now, id: u32) {
        let Some(device) = self.sessions.get(&id).map(|session| session.device.clone()) else {
            return;
        };
        let mut orders = Vec::new();
        for other in self.sessions_of(&device).into_iter().filter(|other| *other != id) {
            let Some(session) = self.sessions.get_mut(&other) else {
                continue;
            };
            let repeats =
                |outstanding: &mut Outstanding| outstanding.order.kind != MessageType::Command;
            if let Some(outstanding) = session.down.outstanding.take_if(repeats) {
                self.timers.stop(Timer::Downlink(other));
                orders.push(outstanding.order);
            }
            orders.extend(session.down.queue.drain(..));
        }
        for order in orders {
            let Some(session) = self.sessions.get_mut(&id) else {
                return;
            };
            if takes(session, order.kind, order.body.len()) {
                session.down.queue.push_back(order);
            } else {
                self.outcome(device.clone(), order.kind, order.id, Outcome::NoTaker);
            }
        }
        self.pump_down(now, id);
    }

    /// Begins with the next order when none is outstanding. Spec §7.7a.
    pub(super) fn pump_down(&mut self, now: Now, id: u32) {
        loop {
            let Some(session) = self.sessions.get_mut(&id) else {
                return;
            };
            // To an address that is not proven nothing unsolicited goes. Spec §9.3b.
            if session.down.outstanding.is_some() || session.address.challenge.is_some() {
                return;
            }
            let Some(order) = session.down.queue.pop_front() else {
                return;
            };
            let device = session.device.clone();
            if order.expires.is_some_and(|expires| expires <= now.instant) {
                self.outcome(device, order.kind, order.id, Outcome::Expired);
                continue;
            }
            session.down.last_number += 1;
            let (number, command_id) = (session.down.last_number, order.id);
            let is_command = order.kind == MessageType::Command;
            let outstanding =
                Outstanding { order, number, recording: None, timeouts: 0, sent: None };
            let outstanding = session.down.outstanding.insert(outstanding);
            if is_command {
                self.next_token += 1;
                let token = Token(self.next_token);
                outstanding.recording = Some(token);
                self.recording.insert(token, id);
                self.events.push_back(Event::Record { token, device, command_id });
            } else {
                self.transmit_down(now, id);
            }
            return;
        }
    }

    /// The timer of the outstanding message: it goes again. Spec §7.7a.
    pub(super) fn resend_down(&mut self, now: Now, id: u32) {
        if let Some(outstanding) =
            self.sessions.get_mut(&id).and_then(|session| session.down.outstanding.as_mut())
            && outstanding.recording.is_none()
        {
            outstanding.timeouts = outstanding.timeouts.saturating_add(1);
            self.transmit_down(now, id);
        }
    }

    /// A device that was silent since the outstanding message left has just been heard: it may have slept through it, and
    /// is awake now. Spec §7.7.
    pub(super) fn wake_down(&mut self, now: Now, id: u32, heard_before: Instant) {
        let Some(session) = self.sessions.get(&id).filter(|session| session.is_udp()) else {
            return;
        };
        let sent = session.down.outstanding.as_ref().and_then(|outstanding| outstanding.sent);
        // What its own message has just brought on its way is not what it slept through.
        let slept = sent.is_some_and(|sent| heard_before <= sent && sent < now.instant)
            && now.instant.since(heard_before) >= SLEEP_MIN;
        if session.address.challenge.is_none() && slept {
            self.transmit_down(now, id);
        }
    }

    fn transmit_down(&mut self, now: Now, id: u32) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let (device, udp) = (session.device.clone(), session.is_udp());
        let Some(outstanding) = session.down.outstanding.as_mut() else {
            return;
        };
        let rto = RTO_FIRST.saturating_mul(1 << outstanding.timeouts.min(6)).min(RTO_MAX);
        let (number, first_time) = (outstanding.number, outstanding.sent.is_none());
        let resend = now.instant + self.entropy.stretched(rto);
        outstanding.sent = Some(now.instant);
        let (kind, order_id) = (outstanding.order.kind, outstanding.order.id);
        if let Some(expires) = outstanding.order.expires
            && let Some(ttl) = outstanding.order.body.get_mut(4..8)
        {
            let left = u32::try_from(expires.since(now.instant).as_millis()).unwrap_or(u32::MAX);
            ttl.copy_from_slice(&left.to_be_bytes());
        }
        let body = outstanding.order.body.clone();
        if udp {
            // On TCP it can't get lost; another session sends it again, or never. Spec §7.7a.
            self.timers.set(Timer::Downlink(id), resend);
        }
        if let Ok(message) = decode_body(kind, &body) {
            self.send(id, number, &message);
        }
        if first_time {
            self.outcome(device, kind, order_id, Outcome::Sent);
        }
    }

    /// DONE for the outstanding message; any other is an echo of one before.
    pub(super) fn read_done(&mut self, now: Now, id: u32, number: u32, done: &Done<'_>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let answers = |outstanding: &mut Outstanding| {
            outstanding.number == number
                && outstanding.recording.is_none()
                && outstanding.order.kind == done.answered
        };
        let Some(Outstanding { order, .. }) = session.down.outstanding.take_if(answers) else {
            return;
        };
        let device = session.device.clone();
        self.timers.stop(Timer::Downlink(id));
        let mut results = Vec::with_capacity(1 + done.results.bytes().len());
        results.push(u8::try_from(done.results.len()).unwrap_or(u8::MAX));
        results.extend_from_slice(done.results.bytes());
        let outcome = Outcome::Done { status: done.status, text: String::from(done.text), results };
        self.outcome(device, order.kind, order.id, outcome);
        self.pump_down(now, id);
    }

    /// The session ended: what was sent has an unknown outcome, what was not finds no taker.
    pub(super) fn abandon_down(&mut self, session: Session) {
        let device = session.device;
        if let Some(Outstanding { order, recording, .. }) = session.down.outstanding {
            let outcome = if recording.is_some() { Outcome::NoTaker } else { Outcome::Unknown };
            self.outcome(device.clone(), order.kind, order.id, outcome);
        }
        for order in session.down.queue {
            self.outcome(device.clone(), order.kind, order.id, Outcome::NoTaker);
        }
    }

    fn outcome(&mut self, device: Arc<str>, kind: MessageType, id: u32, outcome: Outcome) {
        self.events.push_back(Event::Outcome { device, kind, id, outcome });
    }
}

/// True when the device said that it takes this kind, and messages of this length. Spec §7.7c, §5.1.
fn takes(session: &Session, kind: MessageType, body_len: usize) -> bool {
    let bit = match kind {
        MessageType::Config => downlink::CONFIG,
        MessageType::Command => downlink::COMMAND,
        MessageType::Alert => downlink::ALERT,
        _ => 0,
    };
    let longest =
        if session.is_udp() { session.max_msg.min(DATAGRAM_MAX) } else { session.max_msg };
    session.downlink & bit != 0 && HEADER_LEN + body_len + CRC_LEN <= longest
}

/// The body as a message of its kind.
fn decode_body(kind: MessageType, body: &[u8]) -> Result<Message<'_>, BodyError> {
    match kind {
        MessageType::Config | MessageType::Command | MessageType::Alert => {}
        other => return Err(BodyError::Range { field: "type", value: other.code().into() }),
    }
    Message::decode(&Frame { flags: 0, code: kind.code(), session: 0, seq: 0, body, bytes: body })
}
