//! What the collector's answers do to the rows, and what their absence does. Spec §7 and §8.1.
//!
//! ```text
//!   Unsent --flight--> Sent --ACK--> settled
//!     ^                  | lost, timed out (UDP), NACK 1xx, NACK 2xx that can be mended
//!     +------------------+ NACK 2xx that can't be mended: SKIP(REJECTED) in their place
//!                          NACK 3xx: refused; the ACK passes them
//! ```

use alloc::string::String;
use core::time::Duration;

use senda_wire::{Ack, ErrorClass, ErrorCode, MessageType, Nack, Ranges, SkipCause};

use super::event::{Acked, LostReason};
use super::flights::Flight;
use super::handshake::WAIT_MAX;
use super::queue::{Kind, Settled};
use super::schemas::Declared;
use super::session::Credit;
use super::{Device, Event, SchemaId, State, Timer, Transport};
use crate::Instant;

/// Time-outs, or persist probes without any answer, after which HELLO is said again. Spec §7.5.
const TIMEOUTS_MAX: u32 = 8;
/// Persist probes, at least and at most this apart. Spec §8.1b.
const PROBE_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// NACKs 201 in a row that are answered at once: several messages may be on their way when a DECLARE is lost.
const REFUSALS_AT_ONCE: u32 = 8;
/// The shortest wait after a NACK that names none, doubled with each in a row: a refusal must not become a storm.
const REFUSAL_WAIT: Duration = Duration::from_millis(50);
/// TCP: keepalives without a sign of life after which the session is given up, as the collector does. Spec §6.6a.
const SILENCE: (u32, u32) = (5, 2);
/// TCP: the same, when rows wait for their ACK. A connection may be dead without anyone saying so.
const TCP_PATIENCE: Duration = Duration::from_secs(60);

impl Device {
    /// Spec §5.13.
    pub(super) fn on_ack(&mut self, now: Instant, seq: u32, ack: &Ack<'_>) {
        let ranges = ack.window.map(|window| window.ranges).unwrap_or_default();
        let highest = ranges.iter().last().map_or(seq, |range| range.end);
        let end = self.end_row();
        if seq > end || highest > end {
            self.stats.malformed += 1; // Spec §5.13b.
            return;
        }
        let State::Serving(session) = &mut self.state else { return };
        if seq >= session.mark {
            session.mark = seq;
            if let Some(window) = ack.window {
                session.window_rows = window.window_rows;
                if session.credit == Credit::Probe && window.window_rows > 0 {
                    session.credit = Credit::None;
                }
                session.retry_after = Duration::from_millis(window.retry_after_ms.into());
                if window.window_rows == 0 && window.retry_after_ms > 0 {
                    self.timers.stop(Timer::Persist); // It runs anew, and no shorter. Spec §8.3a.
                }
            }
        }
        let mark = session.mark;
        let mut by_range = Settled::default();
        for range in ranges.iter() {
            self.queue.settle_range(range.start, range.end, now, &mut by_range);
        }
        self.note_settled(mark, &by_range);
        self.settle_below(now, mark);
        let delay = ack.window.map_or(0, |window| window.ack_delay_ms);
        self.land_flights(now, mark, &ranges, Duration::from_millis(delay.into()));
        self.finish_when_flushed();
    }

    fn land_flights(&mut self, now: Instant, mark: u32, ranges: &Ranges<'_>, delay: Duration) {
        let udp = self.transport == Some(Transport::Udp);
        let landed = self.flights.land(mark, ranges, udp);
        if let Some(sent) = landed.newest_sent {
            self.path.sample(now.since(sent).saturating_sub(delay));
        }
        for flight in &landed.lost {
            self.stats.lost_messages += 1;
            self.queue.unsend(flight.first, flight.end);
            self.path.on_lost(flight, self.flights.next_id());
        }
        if landed.count > 0 {
            self.stats.landed_messages += u64::from(landed.count);
            self.schemas.remembered();
            self.path.on_acked(landed.count, self.config.window_messages.into());
            self.progress();
            self.timers.stop(Timer::Resend);
        }
        self.arm_resend(now);
    }

    /// Everything below `mark` is resolved.
    pub(super) fn settle_below(&mut self, now: Instant, mark: u32) {
        let settled = self.queue.settle_below(mark, now);
        if self.ends.is_some() {
            // An earlier session brought them: they are not even asked for.
            self.queue.go_on_from(mark);
        }
        self.note_settled(mark, &settled);
    }

    fn note_settled(&mut self, mark: u32, settled: &Settled) {
        let mut rows = u64::from(settled.rows);
        for (index, unskipped) in settled.unskipped.into_iter().enumerate() {
            // They were given up too late: the collector has them.
            let unskipped = u64::from(unskipped);
            self.stats.skipped[index] = self.stats.skipped[index].saturating_sub(unskipped);
            self.ledger.skipped[index] = self.ledger.skipped[index].saturating_sub(unskipped);
            rows += unskipped;
        }
        self.stats.acked += rows;
        let moved = mark != self.last_mark;
        self.last_mark = mark;
        if rows > 0 || moved {
            let rows = u32::try_from(rows).unwrap_or(u32::MAX);
            let Settled { slowest, fastest, .. } = *settled;
            self.events.push(Event::Acked(Acked { mark, rows, slowest, fastest }));
        }
    }

    /// Spec §5.5.
    pub(super) fn on_declared(&mut self, now: Instant, wire_id: u32, crc: u32) {
        let Some((_, slot)) = self.schemas.by_wire_id(wire_id) else { return };
        if slot.crc != crc || matches!(slot.state, Declared::Refused(_)) {
            self.stats.stray += 1;
            return;
        }
        slot.state = Declared::Known;
        self.progress();
        self.arm_declare(now);
    }

    /// Spec §7.6.
    pub(super) fn on_nack(&mut self, now: Instant, seq: u32, nack: &Nack<'_>) {
        self.stats.nacks += 1;
        match MessageType::from_code(nack.refused_type) {
            Some(MessageType::Declare) => self.on_declare_refused(now, seq, nack),
            Some(MessageType::RowsU) if nack.code == ErrorCode::UNKNOWN_SCHEMA => {
                self.schemas.forget_known();
            }
            Some(
                MessageType::Rows | MessageType::Sparse | MessageType::Skip | MessageType::Counts,
            ) => self.on_rows_refused(now, seq, nack),
            _ => {}
        }
        self.finish_when_flushed();
    }

    fn on_rows_refused(&mut self, now: Instant, seq: u32, nack: &Nack<'_>) {
        let (first, end) = if nack.count > 0 {
            (nack.first, nack.first.saturating_add(nack.count))
        } else {
            match self.flights.beginning_with(seq) {
                Some(flight) => (flight.first, flight.end),
                None => return,
            }
        };
        match nack.code.class() {
            ErrorClass::RetryLater => {
                self.take_back(now, first, end);
                self.hold(now, nack.retry_after_ms);
            }
            ErrorClass::FixAndResend => self.mend(now, seq, first, end, nack),
            // Nothing was resolved: sent again it would be refused again, for ever.
            ErrorClass::Resolved if nack.count == 0 => self.reject(first, end),
            ErrorClass::Resolved => {
                let rows = self.queue.refuse(first, end);
                self.stats.refused += u64::from(rows);
                if rows > 0 {
                    let (code, text) = (nack.code, String::from(nack.text));
                    self.events.push(Event::Refused { first, count: end - first, code, text });
                }
            }
            // 4xx comes in CLOSE; other classes ask for nothing that this version knows.
            _ => {}
        }
        self.arm_resend(now);
    }

    /// Class 2xx. Spec §7.6b.
    fn mend(&mut self, now: Instant, seq: u32, first: u32, end: u32, nack: &Nack<'_>) {
        match nack.code {
            ErrorCode::UNKNOWN_SCHEMA => {
                self.forget_schema_of(now, first);
                self.take_back(now, first, end);
            }
            ErrorCode::TOO_BIG => {
                let rows =
                    self.flights.beginning_with(seq).map_or(end - first, |f| f.end - f.first);
                let half = usize::try_from(rows / 2).unwrap_or(0);
                let State::Serving(session) = &mut self.state else { return };
                if half == 0 {
                    self.reject(first, end);
                } else {
                    session.rows_max = session.rows_max.min(half);
                    self.take_back(now, first, end);
                }
            }
            _ => self.reject(first, end),
        }
    }

    /// The collector does not know the schema of this row: DECLARE again, not faster than it refuses.
    fn forget_schema_of(&mut self, now: Instant, row: u32) {
        let index = self.queue.index_of(row);
        let Some(schema) = self.queue.get(index).map(|record| record.schema) else { return };
        let Some(slot) = self.schemas.get_mut(schema) else { return };
        // Asked: the DECLARE that these rows followed was lost, or they overtook it.
        if !matches!(slot.state, Declared::Known | Declared::Asked) {
            return;
        }
        slot.state = Declared::Due { next_part: 0 };
        slot.forgotten = slot.forgotten.saturating_add(1);
        if let Some(again) = slot.forgotten.checked_sub(REFUSALS_AT_ONCE) {
            let wait = REFUSAL_WAIT.saturating_mul(1 << again.min(10));
            let at = now + self.entropy.spread(wait);
            self.schemas.not_before = Some(at);
            self.timers.set(Timer::Declare, at);
        }
    }

    fn on_declare_refused(&mut self, now: Instant, seq: u32, nack: &Nack<'_>) {
        let Some((id, slot)) = self.schemas.by_wire_id(seq) else { return };
        if !matches!(slot.state, Declared::Asked | Declared::Due { .. }) {
            return; // A late answer to an earlier DECLARE.
        }
        if nack.code.class() == ErrorClass::RetryLater {
            slot.state = Declared::Due { next_part: 0 };
            let at = now + self.refusal_wait(nack.retry_after_ms);
            self.schemas.not_before = Some(at);
            self.timers.set(Timer::Declare, at);
            return;
        }
        if nack.code == ErrorCode::SCHEMA_CONFLICT && self.schemas.take_new_id(id) {
            self.arm_declare(now);
            return;
        }
        if let Some(slot) = self.schemas.get_mut(id) {
            slot.state = Declared::Refused(nack.code);
        }
        let (code, text) = (nack.code, String::from(nack.text));
        self.events.push(Event::SchemaRefused { schema: SchemaId(id), code, text });
        let (from, to) = (self.queue.first_open(), self.queue.next_row());
        self.give_up(from, to, SkipCause::Rejected, |record| {
            record.schema == id && record.kind.is_row()
        });
        self.arm_declare(now);
    }

    /// This collector does not read SPARSE, and a row in which a channel is absent has no other form: it can't be mended.
    /// Spec §5.3, §7.6b.
    pub(super) fn reject_sparse(&mut self) {
        let (from, to) = (self.queue.first_open(), self.queue.next_row());
        self.give_up(from, to, SkipCause::Rejected, |record| record.kind == Kind::Sparse);
    }

    /// Rows that can't be mended: SKIP(REJECTED) takes their place. Spec §7.6b.
    fn reject(&mut self, first: u32, end: u32) {
        self.give_up(first, end, SkipCause::Rejected, |record| {
            record.progress == super::queue::Progress::Sent
        });
    }

    pub(super) fn give_up(
        &mut self,
        first: u32,
        end: u32,
        cause: SkipCause,
        which: impl Fn(&super::queue::Record) -> bool,
    ) {
        for (first, count) in self.queue.give_up(first, end, cause, which) {
            self.flights.forget(first, first + count);
            self.note_dropped(first, count, cause);
        }
    }

    pub(super) fn note_dropped(&mut self, first: u32, count: u32, cause: SkipCause) {
        let index = usize::from(cause.code()) - 1;
        self.stats.skipped[index] += u64::from(count);
        self.ledger.skipped[index] += u64::from(count);
        self.events.push(Event::Dropped { first, count, cause });
    }

    /// Rows are unsent again. Spec §7.6a.
    fn take_back(&mut self, now: Instant, first: u32, end: u32) {
        self.flights.forget(first, end);
        if self.queue.unsend(first, end) > 0 {
            self.path.timeouts = 0;
        }
        self.arm_resend(now);
    }

    /// Class 1xx: nothing goes before. Spec §7.6, §8.3a.
    fn hold(&mut self, now: Instant, retry_after_ms: u32) {
        let at = now + self.refusal_wait(retry_after_ms);
        self.timers.set(Timer::Hold, at);
    }

    fn refusal_wait(&mut self, retry_after_ms: u32) -> Duration {
        let State::Serving(session) = &mut self.state else { return REFUSAL_WAIT };
        let least = REFUSAL_WAIT.saturating_mul(1 << session.refusals.min(6));
        session.refusals = session.refusals.saturating_add(1);
        let asked = Duration::from_millis(retry_after_ms.into());
        if asked.is_zero() { self.entropy.spread(least) } else { self.spread_wait(asked) }
    }

    /// Something that was sent has its answer.
    fn progress(&mut self) {
        self.failures = 0;
        self.path.timeouts = 0;
        if let State::Serving(session) = &mut self.state {
            session.refusals = 0;
        }
    }

    /// A message of the session came: the collector lives.
    pub(super) fn heard(&mut self, now: Instant) {
        let State::Serving(session) = &mut self.state else { return };
        session.probes = 0;
        if self.transport != Some(Transport::Tcp) {
            return; // On UDP, time-outs of rows, DECLARE and PING find out.
        }
        let mut patience = session.keepalive * SILENCE.0 / SILENCE.1;
        if !self.flights.is_empty() {
            patience = patience.min(TCP_PATIENCE);
        }
        self.timers.set(Timer::Silence, now + patience);
    }

    /// A data message left.
    pub(super) fn flew(&mut self, now: Instant, first: u32, end: u32, again: bool) {
        if self.flights.is_empty() && self.transport == Some(Transport::Tcp) {
            self.timers.set(Timer::Silence, now + TCP_PATIENCE);
        }
        self.flights.add(first, end, now, again);
        self.stats.sent_messages += 1;
        if again {
            self.stats.resent_messages += 1;
        } else {
            self.path.on_sent(now);
        }
        if let State::Serving(session) = &mut self.state {
            session.credit = Credit::None;
        }
        self.arm_resend(now);
    }

    /// Keeps the resend timer running exactly while it has something to do. Spec §7.5: UDP, and a window above 0.
    pub(super) fn arm_resend(&mut self, now: Instant) {
        let State::Serving(session) = &self.state else { return };
        let udp = self.transport == Some(Transport::Udp);
        if !udp || session.window_rows == 0 || self.flights.is_empty() {
            self.timers.stop(Timer::Resend);
        } else if !self.timers.runs(Timer::Resend) {
            let wait = self.path.timeout(session.ack_patience, &mut self.entropy);
            self.timers.set(Timer::Resend, now + wait);
        }
    }

    /// As [`Device::arm_resend`], for DECLARE.
    pub(super) fn arm_declare(&mut self, now: Instant) {
        let State::Serving(session) = &self.state else { return };
        if self.schemas.not_before.is_some_and(|at| now < at) {
            return;
        }
        self.schemas.not_before = None;
        if self.transport == Some(Transport::Udp) && self.schemas.any_asked() {
            let wait = self.path.timeout(session.ack_patience, &mut self.entropy);
            self.timers.set(Timer::Declare, now + wait);
        } else {
            self.timers.stop(Timer::Declare);
        }
    }

    /// Timer::Resend: the oldest message goes again. Spec §7.5.
    pub(super) fn on_resend_timer(&mut self, now: Instant) {
        let Some(flight) = self.flights.take_oldest() else { return };
        self.stats.timeouts += 1;
        self.path.on_timeout(&flight, self.flights.next_id());
        if self.path.timeouts >= TIMEOUTS_MAX {
            self.give_session_up(now);
            return;
        }
        let Flight { first, end, .. } = flight;
        self.queue.unsend(first, end);
        if let State::Serving(session) = &mut self.state {
            session.credit = Credit::Resend;
        }
        // The next deadline begins when the message has left.
    }

    /// Timer::Declare: what is not answered goes again, or its wait is over.
    pub(super) fn on_declare_timer(&mut self, now: Instant) {
        if self.schemas.not_before.is_some_and(|at| at <= now) {
            self.schemas.not_before = None;
            return;
        }
        if !self.schemas.any_asked() {
            return;
        }
        self.stats.timeouts += 1;
        self.path.timeouts += 1;
        if self.path.timeouts >= TIMEOUTS_MAX {
            self.give_session_up(now);
            return;
        }
        self.schemas.ask_again();
    }

    /// Timer::Persist: one row asks whether the window is still 0. Spec §8.1b.
    pub(super) fn on_persist_timer(&mut self, now: Instant) {
        let udp = self.transport == Some(Transport::Udp);
        if self.timers.runs(Timer::Hold) {
            return; // The wait that a NACK asked for comes first.
        }
        let State::Serving(session) = &mut self.state else { return };
        session.probes += 1;
        if udp && session.probes > TIMEOUTS_MAX {
            self.give_session_up(now);
            return;
        }
        session.credit = Credit::Probe;
        if udp {
            // The oldest row may have been sent before the window closed; on TCP it is on its way for sure.
            let first = self.queue.first_open();
            self.flights.forget(first, first.saturating_add(1));
            self.queue.unsend(first, first.saturating_add(1));
        }
    }

    /// Keeps the persist timer running exactly while the window is 0 and something waits.
    pub(super) fn arm_persist(&mut self, now: Instant) {
        let State::Serving(session) = &self.state else { return };
        if session.window_rows > 0 || self.queue.is_empty() {
            self.timers.stop(Timer::Persist);
        } else if !self.timers.runs(Timer::Persist) {
            let least = session.retry_after.clamp(PROBE_WAIT.0, PROBE_WAIT.1);
            let wait = self.entropy.between(least, least + least / 4).min(PROBE_WAIT.1);
            self.timers.set(Timer::Persist, now + wait);
        }
    }

    /// Timer::Ping: the PING goes again. Spec §7.5's timer and patience.
    pub(super) fn on_ping_timer(&mut self, now: Instant) {
        let State::Serving(session) = &mut self.state else { return };
        let Some(ping) = &mut session.ping else { return };
        if ping.tries >= TIMEOUTS_MAX {
            self.give_session_up(now);
        } else {
            ping.due = true;
        }
    }

    /// Nobody answers: HELLO at once on UDP (its repeats back off), a new connection on TCP. Spec §7.5.
    pub(super) fn give_session_up(&mut self, now: Instant) {
        let wait = match self.transport {
            Some(Transport::Udp) => Duration::ZERO,
            _ => self.back_off(),
        };
        self.lose(now, LostReason::Silence, Some(wait));
    }

    pub(super) fn finish_when_flushed(&mut self) {
        if self.closing.is_some() && self.queue.is_empty() {
            self.finish();
        }
    }
}

const _: () = assert!(PROBE_WAIT.1.as_secs() <= WAIT_MAX.as_secs(), "probes are waits too");
