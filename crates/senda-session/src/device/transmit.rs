//! What leaves, in order of urgency, and how rows are joined into messages. Spec §3.4, §5.7, §8.

use alloc::vec::Vec;
use core::time::Duration;

use senda_wire::registry::{CRC_LEN, DATAGRAM_MAX, HEADER_LEN, flag};
use senda_wire::{
    Causes, Clock, Counts, Data, DataHead, Declare, Head, Message, Ping, Skip, SkipCause,
};

use super::queue::{Kind, Progress, Record};
use super::schemas::{Declared, Slot};
use super::session::{Asked, Credit, Session};
use super::{Device, State, Timer, Transport};
use crate::Instant;

/// Header, the fields before the rows, trailer.
const DATA_OVERHEAD: usize = HEADER_LEN + 12 + CRC_LEN;
/// The time offset of each row of several.
const OFFSET_LEN: usize = 4;
/// DECLARE without its part of the description.
const DECLARE_OVERHEAD: usize = HEADER_LEN + 6 + CRC_LEN;

/// Schemas that wait for DECLARED at once (UDP): a description has up to 14 datagrams.
const ASKED_MAX: usize = 4;

/// Where a message goes.
#[derive(Debug)]
struct Space<'a> {
    out: &'a mut [u8],
    /// Nothing is in this datagram or chunk yet: what does not fit here fits nowhere.
    is_fresh: bool,
}

impl Device {
    /// Writes the next bytes to send: one datagram on UDP, a piece of the stream on TCP. Returns their number, `None` when
    /// nothing is to be sent now. `out` should have room for the longest message: 1,200 bytes on UDP, 16 KiB on TCP do well.
    /// On TCP all of the bytes have to go out before the next call's.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let limit = match self.transport? {
            Transport::Udp => out.len().min(DATAGRAM_MAX), // Spec §3.4a.
            Transport::Tcp => out.len(),
        };
        let mut used = 0;
        while let Some(len) =
            self.next_message(now, Space { out: &mut out[used..limit], is_fresh: used == 0 })
        {
            used += len;
        }
        if used == 0 {
            return None;
        }
        if matches!(self.state, State::Serving(_)) {
            let wait = self.keepalive_wait();
            self.timers.set(Timer::Keepalive, now + wait);
        }
        Some(used)
    }

    fn next_message(&mut self, now: Instant, space: Space<'_>) -> Option<usize> {
        if self.farewell.is_some() {
            return self.transmit_farewell(space.out);
        }
        if !matches!(self.state, State::Serving(_)) {
            return self.transmit_hello(now, space.out);
        }
        if let Some(len) = self.transmit_pong(space.out) {
            return Some(len);
        }
        if let Some(len) = self.downlink.transmit(space.out) {
            return Some(len);
        }
        if let Some(len) = self.transmit_time_req(now, space.out) {
            return Some(len);
        }
        if let Some(len) = self.transmit_ping(now, space.out) {
            return Some(len);
        }
        if let Some(len) = self.transmit_declare(now, space.out) {
            return Some(len);
        }
        if let Some(len) = self.transmit_unacked(now, space.out) {
            return Some(len);
        }
        self.transmit_data(now, space)
    }

    fn head(&self, seq: u32, flags: u8) -> Head {
        let session = match &self.state {
            State::Serving(session) => session.id,
            _ => 0,
        };
        Head { session, seq, flags }
    }

    fn transmit_pong(&mut self, out: &mut [u8]) -> Option<usize> {
        let &(seq, token) = self.pongs.first()?;
        let len = Message::Pong(Ping { token }).encode(self.head(seq, 0), out).ok()?;
        self.pongs.remove(0);
        Some(len)
    }

    fn transmit_ping(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let udp = self.transport == Some(Transport::Udp);
        let State::Serving(session) = &mut self.state else { return None };
        let patience = session.ack_patience;
        let id = session.id;
        let Asked { seq, token, tries, due } = session.ping.as_mut().filter(|ping| ping.due)?;
        let head = Head { session: id, seq: *seq, flags: 0 };
        let len = Message::Ping(Ping { token: *token }).encode(head, out).ok()?;
        *due = false;
        *tries += 1;
        if udp {
            let wait = self.path.timeout(patience, &mut self.entropy);
            let doubled = wait.saturating_mul(1 << (*tries - 1).min(6));
            self.timers.set(Timer::Ping, now + doubled.min(Duration::from_secs(60)));
        }
        Some(len)
    }

    fn transmit_time_req(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        if !self.clock.due {
            return None;
        }
        let (counter, request) = self.clock.ask(now)?;
        let len = Message::TimeReq(request).encode(self.head(counter, 0), out).ok()?;
        self.clock.asked(counter, &request);
        Some(len)
    }

    /// Spec §5.4: the next part of the next schema.
    fn transmit_declare(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let State::Serving(session) = &self.state else { return None };
        let asked_max = if self.transport == Some(Transport::Udp) { ASKED_MAX } else { usize::MAX };
        let slot = self.schemas.due(now, asked_max)?;
        let Declared::Due { next_part } = slot.state else { return None };
        // The same parts on both transports, whatever room there is: a resend means the same ones.
        let (parts, bytes) = slot.part(next_part, DATAGRAM_MAX - DECLARE_OVERHEAD)?;
        let declare = Declare { part: next_part, parts, crc: slot.crc, bytes };
        let head = Head { session: session.id, seq: slot.wire_id.into(), flags: 0 };
        let len = Message::Declare(declare).encode(head, out).ok()?;
        let last = next_part + 1 == parts;
        slot.state =
            if last { Declared::Asked } else { Declared::Due { next_part: next_part + 1 } };
        self.arm_declare(now);
        Some(len)
    }

    fn transmit_unacked(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let schema = self.unacked.front()?.schema;
        let &Slot { state, wire_id, .. } = self.schemas.get(schema)?;
        if matches!(state, Declared::Refused(_)) {
            self.unacked.drop_front();
            self.stats.unacked_dropped += 1;
            return self.transmit_unacked(now, out);
        }
        if state != Declared::Known || !self.may_pace(now) {
            return None;
        }
        let message = self.unacked.front()?;
        let t0 = if message.clock == Clock::None { 0 } else { message.time_us };
        let head = DataHead { schema: wire_id.into(), clock: message.clock, count: 1, t0 };
        let data = Message::RowsU(Data { head, rows: &message.row });
        let len = data.encode(self.head(self.unacked.counter(), 0), out).ok()?;
        self.unacked.sent();
        self.stats.unacked_sent += 1;
        self.path.on_sent(now);
        Some(len)
    }

    /// Rows, COUNTS or SKIP: whatever the first unsent record is, if the limits let it go.
    fn transmit_data(&mut self, now: Instant, space: Space<'_>) -> Option<usize> {
        let index = self.queue.first_unsent()?;
        let record = *self.queue.get(index)?;
        if !self.may_fly(now, &record) {
            return None;
        }
        match record.kind {
            Kind::Row | Kind::Sparse => self.transmit_rows(now, index, space),
            Kind::Counts => self.transmit_counts(now, index, space.out),
            Kind::Skip(cause) => self.transmit_skip(now, index, cause, space.out),
        }
    }

    /// Window, cwnd, pace and the collector's wishes. Spec §7.6a, §8.1a, §8.2a.
    fn may_fly(&mut self, now: Instant, record: &Record) -> bool {
        let State::Serving(session) = &self.state else { return false };
        match session.credit {
            _ if self.timers.runs(Timer::Hold) => return false,
            Credit::Probe => return true,
            _ if record.first >= session.window_end() => return false,
            Credit::Resend => return true,
            Credit::None => {}
        }
        self.flights.len() < self.flights_max() && (record.resent || self.may_pace(now))
    }

    /// Messages that may fly.
    pub(super) fn flights_max(&self) -> usize {
        let cap = usize::from(self.config.window_messages);
        match self.transport {
            Some(Transport::Udp) => cap.min(usize::try_from(self.path.cwnd()).unwrap_or(cap)),
            _ => cap,
        }
    }

    /// Whether a new message may leave by the pace (UDP); arms the timer if not.
    fn may_pace(&mut self, now: Instant) -> bool {
        let at = self.path.may_send_at();
        if self.transport == Some(Transport::Udp) && now < at {
            self.timers.set(Timer::Pace, at);
            return false;
        }
        true
    }

    fn transmit_skip(
        &mut self,
        now: Instant,
        index: usize,
        cause: SkipCause,
        out: &mut [u8],
    ) -> Option<usize> {
        self.queue.join_skips(index);
        let record = *self.queue.get(index)?;
        let skip = Message::Skip(Skip { count: record.count, cause: cause.code() });
        let len = skip.encode(self.head(record.first, self.ack_now(index + 1)), out).ok()?;
        let again = self.queue.mark_sent(index..index + 1);
        self.flew(now, record.first, record.end(), again);
        Some(len)
    }

    fn transmit_counts(&mut self, now: Instant, index: usize, out: &mut [u8]) -> Option<usize> {
        let record = *self.queue.get(index)?;
        let mut body = Vec::with_capacity(record.len());
        self.queue.copy_bytes(&record, &mut body);
        let (made, entries) = body.split_first_chunk()?;
        let mut causes: Vec<(SkipCause, u64)> = Vec::new();
        for entry in entries.chunks_exact(9) {
            let (code, count) = entry.split_first()?;
            causes.push((SkipCause::from_code(*code)?, u64::from_be_bytes(count.try_into().ok()?)));
        }
        let mut list = [0; 9 * SkipCause::ALL.len()];
        let causes = Causes::build(&causes, &mut list).ok()?;
        let counts = Message::Counts(Counts { made: u64::from_be_bytes(*made), causes });
        let len = counts.encode(self.head(record.first, self.ack_now(index + 1)), out).ok()?;
        let again = self.queue.mark_sent(index..index + 1);
        self.flew(now, record.first, record.end(), again);
        Some(len)
    }

    /// Joins as many rows as fit one message, all of one form. Spec §5.7, §5.8.
    fn transmit_rows(&mut self, now: Instant, index: usize, space: Space<'_>) -> Option<usize> {
        let run = self.gather(index, &space)?;
        if !self.is_ready(now, index, &run) {
            return None;
        }
        let mut rows = Vec::with_capacity(run.len);
        let mut first = None;
        for record in (index..index + run.count).filter_map(|index| self.queue.get(index)) {
            first.get_or_insert(*record);
            if run.count > 1 {
                let offset = record.time_us.abs_diff(run.earliest);
                rows.extend_from_slice(&u32::try_from(offset).unwrap_or(u32::MAX).to_be_bytes());
            }
            self.queue.copy_bytes(record, &mut rows);
        }
        let first = first?;
        let count = u16::try_from(run.count).ok()?;
        let schema = self.schemas.get(first.schema)?.wire_id.into();
        let t0 = if first.clock == Clock::None { 0 } else { run.earliest };
        let head = DataHead { schema, clock: first.clock, count, t0 };
        let data = Data { head, rows: &rows };
        let data = match first.kind {
            Kind::Sparse => Message::Sparse(data),
            _ => Message::Rows(data),
        };
        let flags = self.ack_now(index + run.count);
        let len = data.encode(self.head(first.first, flags), space.out).ok()?;
        let again = self.queue.mark_sent(index..index + run.count);
        self.stats.sent_rows += u64::from(count);
        self.flew(now, first.first, first.first + u32::from(count), again);
        Some(len)
    }

    /// Which rows from `index` on go into one message; `None` when they have to wait.
    fn gather(&self, index: usize, space: &Space<'_>) -> Option<Run> {
        let State::Serving(session) = &self.state else { return None };
        let first = self.queue.get(index)?;
        let slot = self.schemas.get(first.schema)?;
        // In a stream that the collector has nothing of, no other schema can have this id: rows may follow DECLARE at
        // once, and NACK 201 tells if it was lost. Spec §5.4d.
        let is_declared = slot.state == Declared::Known
            || slot.state == Declared::Asked
                && session.is_fresh_stream
                && self.transport == Some(Transport::Udp);
        if !is_declared {
            return None;
        }
        let rows_max = rows_allowed(session, slot, first.first);
        let bytes_max = space.out.len().min(session.message_max).checked_sub(DATA_OVERHEAD)?;
        let mut run = Run { count: 0, len: 0, earliest: first.time_us, is_full: false };
        let (mut latest, mut single) = (first.time_us, 0);
        while let Some(record) = self.queue.get(index + run.count) {
            if !belongs(record, first) {
                run.is_full = true;
                break;
            }
            let (low, high) = (run.earliest.min(record.time_us), latest.max(record.time_us));
            let len = run.len + OFFSET_LEN + record.len();
            let fits = if run.count == 0 { record.len() } else { len } <= bytes_max;
            let in_span = high.abs_diff(low) <= u32::MAX.into();
            let in_limits = run.count < rows_max;
            if !(fits && in_span && in_limits) {
                run.is_full = true;
                if !fits && !space.is_fresh && space.out.len() < session.message_max {
                    return None; // A fresh datagram carries more.
                }
                break;
            }
            (run.earliest, latest, run.len) = (low, high, len);
            single = record.len();
            run.count += 1;
        }
        if run.count == 1 {
            run.len = single;
        }
        (run.count > 0).then_some(run)
    }

    /// Whether it is worth to wait for more rows; arms the timer if so. Spec §5.16, `batch_rows`.
    fn is_ready(&mut self, now: Instant, index: usize, run: &Run) -> bool {
        let State::Serving(session) = &self.state else { return false };
        let Some(first) = self.queue.get(index) else { return false };
        let batch = self.config.batch;
        let waited = first.waited(now);
        let ready = run.is_full
            || run.count >= usize::from(batch.rows)
            || first.resent
            || session.credit != Credit::None
            || first.first < self.flush_below
            || waited >= batch.delay;
        if !ready {
            // One tick more: the time waited is rounded down.
            let left = batch.delay.saturating_sub(waited) + Duration::from_micros(64);
            self.timers.start(Timer::Batch, now + left);
        }
        ready
    }

    /// ACK_NOW where the collector would otherwise wait for messages that can't come. Spec §7.3.
    fn ack_now(&self, next: usize) -> u8 {
        let State::Serving(session) = &self.state else { return 0 };
        let stops = self.flights.len() + 1 >= self.flights_max() || session.credit != Credit::None;
        let leaves = self.closing.is_some() && self.queue.get(next).is_none();
        if session.ack_every > 1 && (stops || leaves) { flag::ACK_NOW } else { 0 }
    }
}

/// Rows that go into one message.
#[derive(Clone, Copy, Debug)]
struct Run {
    count: usize,
    /// Their bytes on the wire.
    len: usize,
    /// Time of the earliest.
    earliest: i64,
    /// More can't join it, now or later.
    is_full: bool,
}

/// Whether a row can share a message with the first.
fn belongs(record: &Record, first: &Record) -> bool {
    record.kind == first.kind
        && record.progress == Progress::Unsent
        && record.schema == first.schema
        && record.clock == first.clock
}

/// Rows that a message may have, by the collector's limits and the window. Spec §8.1a, §12.1a.
fn rows_allowed(session: &Session, slot: &Slot, first: u32) -> usize {
    if session.credit == Credit::Probe {
        return 1; // Spec §8.1b.
    }
    let window = session.window_end().saturating_sub(first);
    let by_values = session.values_max / slot.values.max(1);
    let by_bytes = session.decoded_max / slot.row_max.max(1); // Spec §12.1a.
    session
        .rows_max
        .min(by_values)
        .min(by_bytes)
        .min(usize::try_from(window).unwrap_or(usize::MAX))
        .max(1)
}
