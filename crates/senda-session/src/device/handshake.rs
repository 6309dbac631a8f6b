//! From a fresh transport to a session, and out of it again. Spec §6.
//!
//! ```text
//!   connect() --> Greeting --HELLO--> RETRY (cookie) --HELLO--> WELCOME --> Serving
//!                    ^  repeated, with back-off                               |
//!                    +---- Waiting <--- CLOSE, silence, 8 time-outs (UDP) ----+
//!   disconnected() --> Waiting --Timer::Connect--> Event::NeedConnect --> connect()
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use senda_wire::registry::{COOKIE_MAX, DATAGRAM_MAX, encoding};
use senda_wire::{
    Close, DeviceName, ErrorCode, Frame, Head, Hello, HelloOption, Message, Options, Suite,
    TimeReq, Welcome,
};

use super::event::{LostReason, NewStream, Welcomed};
use super::flights::Path;
use super::session::Session;
use super::{Closing, Device, Event, Ledger, State, Timer, Transport};
use crate::Instant;
use crate::time::millis_u16;

/// First wait for an answer to HELLO, and longest of any wait. Spec §6.3a, §8.3a.
const HELLO_WAIT: Duration = Duration::from_secs(1);
/// Repeats that wait no longer than the first one: loss is likelier than a collector that is gone. Spec §6.3a.
const EVEN_REPEATS: u32 = 2;
pub(super) const WAIT_MAX: Duration = Duration::from_secs(300);
/// On TCP an unanswered HELLO means a dead connection after that many repeats (9 to 14 s).
const TCP_REPEATS_MAX: u32 = 4;
/// RETRYs answered at once before the next repeat: a cookie that never counts must not become a storm.
const RETRIES_AT_ONCE: u8 = 2;
/// A RETRY makes the waits of one HELLO begin anew so often: behind an address that changes with every datagram no cookie
/// is ever good. Spec §6.3c.
const RESTARTS_MAX: u8 = 3;
/// A HELLO that was given up may still arrive within this time, and replace the session that followed it. Spec §6.7b.
const LATE_HELLO: Duration = Duration::from_secs(60);
/// After a CLOSE that waiting alone does not mend (VERSION, AUTH, BAD_HELLO, UNSUPPORTED).
const HOPELESS_WAIT: (Duration, Duration) = (Duration::from_secs(150), WAIT_MAX);
/// After TOO_MANY_SESSIONS: whoever comes back displaces another session.
const CROWDED_WAIT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// A new stream need not wait; clones need not come back in one instant.
const COPY_WAIT: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(1));

/// A HELLO that waits for its WELCOME. Its fields do not change while it is repeated. Spec §5.2a.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    nonce: u64,
    next_row: u32,
    oldest_row: u32,
    clock: Option<TimeReq>,
    cookie: Vec<u8>,
    repeats: u32,
    retries: u8,
    /// How often a RETRY made the waits begin anew.
    restarts: u8,
    /// It is to leave now.
    due: bool,
    /// When the HELLO with the first cookie (or without one, before it) left, if it has left once: the answer gives a
    /// round trip. Spec §7.5a.
    sent: Option<Once>,
}

/// Something that left once, or more often.
#[derive(Clone, Copy, Debug)]
enum Once {
    At(Instant),
    Again,
}

impl Attempt {
    /// The seq of what answers this HELLO. Spec §5.2b.
    pub(super) fn answer_seq(&self) -> u32 {
        let [_, _, _, _, a, b, c, d] = self.nonce.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    fn is_answered_by(&self, frame: &Frame<'_>) -> bool {
        frame.seq == self.answer_seq()
    }
}

impl Device {
    /// A fresh socket or connection is ready: says HELLO on it, after the jitter that the configuration asks for the
    /// first time. Any earlier transport is forgotten.
    pub fn connect(&mut self, now: Instant, transport: Transport) {
        if matches!(self.state, State::Closed) {
            return;
        }
        self.note_abandoned(now);
        self.leave_session();
        self.transport = Some(transport);
        self.received.clear();
        let jitter = core::mem::take(&mut self.config.start_jitter);
        if jitter.is_zero() {
            self.greet(now);
        } else {
            self.state = State::Waiting;
            let wait = self.entropy.between(Duration::ZERO, jitter);
            self.timers.set(Timer::Hello, now + wait);
        }
    }

    /// The connection or socket is gone, or could not be made. [`Event::NeedConnect`] says when to try again.
    /// Of a connection that [`Event::Lost`] has spoken of it says nothing new.
    pub fn disconnected(&mut self, now: Instant) {
        if matches!(self.state, State::Closed) {
            return;
        }
        self.transport = None;
        self.farewell = None;
        if self.timers.runs(Timer::Connect) {
            return; // The event has spoken of it already.
        }
        let wait = self.back_off();
        self.lose(now, LostReason::Disconnected, Some(wait));
    }

    /// Begins a HELLO with a new nonce.
    pub(super) fn greet(&mut self, now: Instant) {
        self.note_abandoned(now);
        self.timers.stop_all();
        self.state = State::Greeting(Attempt {
            nonce: self.entropy.u64(),
            next_row: self.end_row(),
            oldest_row: self.queue.oldest_row(),
            clock: self.clock.reading(now),
            cookie: Vec::new(),
            repeats: 0,
            retries: 0,
            restarts: 0,
            due: true,
            sent: None,
        });
    }

    /// The number after the last row of the stream, as far as this device knows. Spec §6.5.
    pub(super) fn end_row(&self) -> u32 {
        self.queue.next_row().max(self.ends.unwrap_or(0))
    }

    /// Writes the HELLO if it is due.
    pub(super) fn transmit_hello(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let State::Greeting(attempt) = &mut self.state else { return None };
        let transport = self.transport.filter(|_| attempt.due)?;
        let clock = attempt.clock.map(TimeReq::to_option);
        let mut options = Vec::new();
        if let Some(value) = &clock {
            put_option(&mut options, HelloOption { code: 0x01, value });
        }
        if !self.config.software.is_empty() {
            let value = self.config.software.as_bytes();
            put_option(&mut options, HelloOption { code: 0x02, value });
        }
        let hello = Hello {
            stream: self.stream,
            nonce: attempt.nonce,
            next_row: attempt.next_row,
            oldest_row: attempt.oldest_row,
            keepalive_s: self.config.keepalive_s(),
            max_msg: self.config.max_msg(transport),
            ack_every: self.config.ack_every,
            ack_delay_ms: millis_u16(self.config.ack_delay),
            suite: Suite::Open,
            downlink: self.config.downlink,
            encodings: encoding::ROWS | encoding::SPARSE,
            config_rev: self.downlink.config_rev,
            last_command_id: self.downlink.last_command_id,
            device: DeviceName::new(&self.config.device)?,
            cookie: &attempt.cookie,
            options: Options::new(&options).ok()?,
        };
        let len = Message::Hello(hello).encode(Head::default(), out).ok()?;
        attempt.due = false;
        attempt.sent = Some(if attempt.sent.is_none() { Once::At(now) } else { Once::Again });
        let doublings = attempt.repeats.saturating_sub(EVEN_REPEATS).min(9);
        let wait = HELLO_WAIT.saturating_mul(1 << doublings).min(WAIT_MAX);
        // Spec §6.3a.
        self.timers.start(Timer::Hello, now + self.entropy.stretched(wait));
        Some(len)
    }

    /// Timer::Hello: the wait before HELLO is over, or its answer is overdue.
    pub(super) fn on_hello_timer(&mut self, now: Instant) {
        match &mut self.state {
            State::Greeting(attempt) => {
                attempt.repeats += 1;
                attempt.retries = 0;
                attempt.due = true;
                if self.transport == Some(Transport::Tcp) && attempt.repeats > TCP_REPEATS_MAX {
                    let wait = self.back_off();
                    self.lose(now, LostReason::Silence, Some(wait));
                }
            }
            State::Waiting => self.greet(now),
            _ => {}
        }
    }

    /// Spec §5.2.
    pub(super) fn on_retry(&mut self, frame: &Frame<'_>, cookie: &[u8]) {
        let State::Greeting(attempt) = &mut self.state else {
            self.stats.stray += 1;
            return;
        };
        if !attempt.is_answered_by(frame) || cookie.len() > COOKIE_MAX {
            self.stats.stray += 1;
            return;
        }
        if attempt.cookie.is_empty() {
            // With a second cookie, or a second HELLO, a WELCOME does not say which one it answers.
            attempt.sent = None;
        }
        attempt.cookie = cookie.into();
        if attempt.retries < RETRIES_AT_ONCE {
            attempt.retries += 1;
            attempt.due = true;
            if attempt.restarts < RESTARTS_MAX {
                // The collector is there: the waits begin anew. Spec §6.3c.
                attempt.restarts += 1;
                attempt.repeats = 0;
                self.timers.stop(Timer::Hello);
            }
        }
    }

    /// Spec §5.3 and §6.4.
    pub(super) fn on_welcome(&mut self, now: Instant, frame: &Frame<'_>, welcome: &Welcome<'_>) {
        let (State::Greeting(attempt), Some(transport)) = (&self.state, self.transport) else {
            self.stats.stray += 1;
            return;
        };
        if !attempt.is_answered_by(frame) {
            self.stats.stray += 1;
            return;
        }
        if frame.session == 0 {
            self.stats.malformed += 1;
            return;
        }
        let critical = welcome.options.iter().any(|option| option.code >= 0x80);
        if welcome.suite != Suite::Open || critical {
            // Spec §5.3: no critical option is known here.
            self.farewell = Some((frame.session, ErrorCode::UNSUPPORTED));
            let wait = self.entropy.between(HOPELESS_WAIT.0, HOPELESS_WAIT.1);
            self.lose(now, LostReason::Unsupported, Some(wait));
            return;
        }
        if let Some(ends) = &mut self.ends {
            // A spool may have lost its tail after the rows had left. Spec §6.5.
            *ends = (*ends).max(welcome.high_row);
        } else if welcome.high_row > self.queue.next_row() {
            // Spec §6.7: the stream has rows that this device did not make.
            self.begin_stream();
            self.greet(now);
            return;
        }
        let round_trip = match attempt.sent {
            Some(Once::At(sent)) => Some(now.since(sent)),
            _ => None,
        };
        self.serve(now, transport, frame.session, welcome);
        if let Some(round_trip) = round_trip {
            self.path.sample(round_trip);
        }
    }

    fn serve(&mut self, now: Instant, transport: Transport, id: u32, welcome: &Welcome<'_>) {
        self.timers.stop_all();
        let cap = match transport {
            Transport::Udp => usize::from(welcome.max_msg).min(DATAGRAM_MAX),
            Transport::Tcp => welcome.max_msg.into(),
        };
        self.state = State::Serving(Session::new(id, cap, welcome));
        self.path = Path::new();
        self.downlink.begin_session();
        self.stats.sessions += 1;
        self.events.push(Event::Welcomed(Welcomed {
            stream: self.stream,
            session: id,
            transport,
            next_row: welcome.next_row,
            window_rows: welcome.window_rows,
            durability: welcome.durability,
            server_time: welcome.server_time,
        }));
        self.settle_below(now, welcome.next_row); // Spec §6.4a.
        self.queue.unsend_all();
        if let Some((first, count)) = self.queue.insert_lost(welcome.next_row) {
            self.note_dropped(first, count, senda_wire::SkipCause::Lost); // Spec §6.4b.
        }
        if welcome.encodings & encoding::SPARSE == 0 {
            self.reject_sparse();
        }
        self.heard(now);
        if self.config.time_every.is_some() {
            self.timers.set(Timer::Time, now);
        }
        let wait = self.keepalive_wait();
        self.timers.set(Timer::Keepalive, now + wait);
        self.finish_when_flushed(); // WELCOME may tell of the last row.
    }

    /// Spec §5.6: what each code asks for.
    pub(super) fn on_close(&mut self, now: Instant, frame: &Frame<'_>, close: &Close<'_>) {
        let serving = match &self.state {
            State::Serving(session) => session.id == frame.session,
            State::Greeting(attempt) if frame.session == 0 => {
                if !attempt.is_answered_by(frame) {
                    self.stats.stray += 1; // Spec §5.2b.
                    return;
                }
                false
            }
            _ => {
                self.stats.stray += 1; // Spec §6.6d.
                return;
            }
        };
        if matches!(self.state, State::Serving(_)) && !serving {
            self.stats.stray += 1; // Spec §6.6d.
            return;
        }
        let asked = self.spread_wait(Duration::from_millis(close.retry_after_ms.into()));
        let own = match close.code {
            ErrorCode::REPLACED if serving => {
                if self.ends.is_some() {
                    // Another copy of the spool drains the same rows under the same numbers. Spec §6.5d.
                    let wait = self.entropy.between(CROWDED_WAIT.0, CROWDED_WAIT.1);
                    let reason = LostReason::Close { code: close.code, text: close.text.into() };
                    self.lose(now, reason, Some(wait.max(asked)));
                    return;
                }
                let late = self.abandoned.take().is_some_and(|at| now.since(at) < LATE_HELLO);
                if !late {
                    self.begin_stream(); // Spec §6.7a: nobody here said HELLO again.
                }
                Some(self.entropy.between(COPY_WAIT.0, COPY_WAIT.1))
            }
            ErrorCode::UNKNOWN_SESSION => {
                // Spec §6.3b.
                Some(self.entropy.between(Duration::ZERO, self.config.rejoin_jitter))
            }
            ErrorCode::TOO_MANY_SESSIONS => {
                Some(self.entropy.between(CROWDED_WAIT.0, CROWDED_WAIT.1))
            }
            ErrorCode::VERSION
            | ErrorCode::AUTH
            | ErrorCode::BAD_HELLO
            | ErrorCode::UNSUPPORTED => {
                Some(self.entropy.between(HOPELESS_WAIT.0, HOPELESS_WAIT.1))
            }
            _ => Some(self.back_off()),
        };
        let reason = LostReason::Close { code: close.code, text: String::from(close.text) };
        self.lose(now, reason, own.map(|own| own.max(asked)));
    }

    /// The session is gone. `wait` until the next try; `None`: the caller decides when to `connect`.
    pub(super) fn lose(&mut self, now: Instant, reason: LostReason, wait: Option<Duration>) {
        self.note_abandoned(now);
        self.leave_session();
        if self.closing.is_some() && self.queue.is_empty() {
            self.end();
            return;
        }
        let retry_at = wait.map(|wait| now + wait);
        self.state = if retry_at.is_some() { State::Waiting } else { State::Parked };
        if let Some(at) = retry_at {
            let timer = match self.transport {
                Some(Transport::Udp) => Timer::Hello,
                _ => Timer::Connect,
            };
            self.timers.set(timer, at);
        }
        self.events.push(Event::Lost { reason, retry_at });
    }

    /// A HELLO that could open a session is out, and its answer is not waited for any longer.
    fn note_abandoned(&mut self, now: Instant) {
        if matches!(&self.state, State::Greeting(attempt) if attempt.sent.is_some()) {
            self.abandoned = Some(now);
        }
    }

    /// Forgets what belongs to a session; what is unacknowledged waits for the next one.
    pub(super) fn leave_session(&mut self) {
        self.timers.stop_all();
        self.flights.clear();
        self.queue.unsend_all();
        self.schemas.ask_again();
        self.schemas.not_before = None; // Its timer is among those that stopped.
        self.pongs.clear();
        self.received.clear();
        if matches!(self.state, State::Serving(_) | State::Greeting(_)) {
            self.state = State::Parked;
        }
    }

    /// A new stream for what is unacknowledged. Spec §6.7a.
    pub(super) fn begin_stream(&mut self) {
        let (old, new) = (self.stream, self.entropy.u64());
        self.leave_session();
        self.stream = new;
        let moved = self.queue.renumber();
        self.schemas.begin_stream();
        self.unacked.begin_stream();
        let made = moved.iter().map(|(_, count, _)| u64::from(*count)).sum();
        self.ledger = Ledger { told: (0, [0; 4]), ..Ledger::new(made) }; // The collector knows nothing of it.
        self.events.push(Event::NewStream(NewStream { old, new, moved }));
    }

    /// Full jitter, doubled with each failure in a row. Spec §6.3.
    pub(super) fn back_off(&mut self) -> Duration {
        let most = HELLO_WAIT.saturating_mul(1 << self.failures.min(9)).min(WAIT_MAX);
        self.failures = self.failures.saturating_add(1);
        self.entropy.between(Duration::ZERO, most)
    }

    /// What a collector asked to wait, spread, and never too long. Spec §8.3a.
    pub(super) fn spread_wait(&mut self, asked: Duration) -> Duration {
        self.entropy.spread(asked.min(WAIT_MAX)).min(WAIT_MAX)
    }

    /// Ends for good: CLOSE 407 once everything is acknowledged, or at once. Spec §6.6.
    ///
    /// Rows can't be pushed any more. [`Event::Closed`] is the last event.
    pub fn close(&mut self, closing: Closing) {
        self.closing = Some(closing);
        self.flush();
        if closing == Closing::Now || self.queue.is_empty() {
            self.finish();
        }
    }

    /// Says CLOSE where there is a session, and ends.
    pub(super) fn finish(&mut self) {
        if let State::Serving(session) = &self.state {
            self.farewell = Some((session.id, ErrorCode::GOING));
        }
        self.leave_session();
        self.end();
    }

    fn end(&mut self) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.events.push(Event::Closed);
        }
    }

    /// Writes the CLOSE that waits, if any.
    pub(super) fn transmit_farewell(&mut self, out: &mut [u8]) -> Option<usize> {
        let (session, code) = self.farewell?;
        let close = Message::Close(Close { code, retry_after_ms: 0, text: "" });
        let len = close.encode(Head { session, ..Head::default() }, out).ok()?;
        self.farewell = None;
        Some(len)
    }
}

fn put_option(out: &mut Vec<u8>, option: HelloOption<'_>) {
    let len = u16::try_from(option.value.len()).unwrap_or(0);
    out.push(option.code);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&option.value[..usize::from(len)]);
}
