//! The ACK gate: verdicts become ACKs and NACKs. Spec §7.1 to §7.3.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use senda_wire::registry::{CRC_LEN, HEADER_LEN, RANGES_MAX};
use senda_wire::{Ack, ErrorCode, Message, Ranges, Window};

use super::data::Landed;
use super::event::{Fate, Token, Verdict};
use super::timers::Timer;
use super::{Collector, Now, RETRY_AFTER_MS};
use crate::time::millis_u16;

/// A shorter delay is not worth the ten bytes that say it.
const DELAY_WORTH_SAYING: Duration = Duration::from_millis(2);
/// Bytes of an ACK's body before its ranges.
const ACK_FIXED: usize = 10;

impl Collector {
    /// The verdicts of one commit, in order. This is the only way to an ACK. Spec §7.1a.
    pub fn handle_durable(
        &mut self,
        now: Now,
        verdicts: impl IntoIterator<Item = (Token, Verdict)>,
    ) {
        let mut touched = BTreeSet::new();
        for (token, verdict) in verdicts {
            let Some(landed) = self.landed.remove(&token) else {
                continue;
            };
            self.landing_bytes = self.landing_bytes.saturating_sub(landed.bytes);
            if landed.quiet {
                continue;
            }
            // The session that serves the stream *now*: what an older one received counts too. Spec §6.4.
            let Some(&id) = self.streams.get(&(landed.device.clone(), landed.stream)) else {
                continue;
            };
            self.take_verdict(id, &landed, verdict);
            touched.insert(id);
        }
        for id in touched {
            self.acknowledge(now, id, false);
        }
        self.reopen_windows(now);
    }

    fn take_verdict(&mut self, id: u32, landed: &Landed, verdict: Verdict) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let (seq, kind, rows) = (landed.seq, landed.kind, landed.rows);
        // What was acknowledged is never taken back, whatever the order of the answers. Spec §5.13a.
        if verdict.fate != Fate::Failed && verdict.mark.next_row >= session.mark.next_row {
            session.mark = verdict.mark;
            session.seen_row = session.seen_row.max(session.mark.high_row());
        }
        if let Some((code, text)) = refusal(&verdict.fate) {
            if landed.schema_crc.is_some() && landed.session == id {
                self.forget_schema(id, seq);
            }
            return self.nack(id, seq, kind, code, rows, text);
        }
        if let Some(crc) = landed.schema_crc {
            return self.send(id, seq, &Message::Declared { crc }); // Spec §5.5a.
        }
        let duplicate = verdict.fate == Fate::Duplicate;
        let ack = &mut session.ack;
        ack.waiting = ack.waiting.saturating_add(1);
        ack.oldest = Some(ack.oldest.map_or(landed.arrived, |oldest| oldest.min(landed.arrived)));
        ack.newest = ack.newest.max(Some(landed.arrived));
        let gap = !session.mark.ranges.is_empty();
        ack.urgent |= landed.ack_now || duplicate || gap || !verdict.refused.is_empty();
        self.counters.duplicates += u64::from(duplicate);
        for (range, code) in verdict.refused {
            let text = ErrorCode(code).name().unwrap_or("refused");
            let rows = (range.start, range.end - range.start);
            self.nack(id, seq, kind, ErrorCode(code), rows, text); // Spec §7.6c.
        }
    }

    /// Sends the session's ACK if one is due, or if `now_or_never`. Spec §7.3a.
    pub(super) fn acknowledge(&mut self, now: Now, id: u32, now_or_never: bool) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(oldest) = session.ack.oldest else {
            return; // Nothing is waiting.
        };
        let due = oldest + session.ack_delay;
        let enough = session.ack.waiting >= session.ack_every || session.ack.urgent;
        if !now_or_never && !enough && now.instant < due {
            self.timers.set(Timer::Ack(id), due);
            return;
        }
        self.timers.stop(Timer::Ack(id));
        self.send_ack(now, id, false);
    }

    /// Tells the device the window as it is now.
    pub(super) fn tell_window(&mut self, now: Now, id: u32) {
        let window = self.window();
        if self.sessions.get(&id).is_some_and(|session| session.ack.told_window != window) {
            self.send_ack(now, id, true);
        }
    }

    /// Sessions that were told window 0 hear of it when it opens: when half of the budget is free again, so that a full
    /// collector does not open and shut with every commit. Spec §8.1.
    pub(super) fn reopen_windows(&mut self, now: Now) {
        if !self.accepting || self.landing_bytes > self.config.landing_bytes_max / 2 {
            return;
        }
        for id in core::mem::take(&mut self.shut) {
            self.tell_window(now, id);
        }
    }

    fn send_ack(&mut self, now: Now, id: u32, with_window: bool) {
        let window_rows = self.window();
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let delay = session.ack.newest.map_or(Duration::ZERO, |newest| now.instant.since(newest));
        let seq = session.mark.next_row;
        let bare = session.address.challenge.is_some();
        let room = session.max_msg.saturating_sub(HEADER_LEN + ACK_FIXED + CRC_LEN) / 8;
        let ranges: Vec<_> =
            session.mark.ranges.iter().copied().take(room.min(RANGES_MAX)).collect();
        let news = with_window
            || !ranges.is_empty()
            || session.ack.told_window != window_rows
            || delay >= DELAY_WORTH_SAYING;
        session.ack.waiting = 0;
        session.ack.oldest = None;
        session.ack.newest = None;
        session.ack.urgent = false;
        self.counters.acks += 1;
        if bare || !news {
            return self.send(id, seq, &Message::Ack(Ack { window: None }));
        }
        session.ack.told_window = window_rows;
        if window_rows == 0 {
            self.shut.insert(id);
        }
        let mut room = [0; RANGES_MAX * 8];
        let ranges = Ranges::build(seq, &ranges, &mut room).unwrap_or_default();
        let retry_after_ms = if window_rows == 0 { RETRY_AFTER_MS } else { 0 };
        let window =
            Window { window_rows, ack_delay_ms: millis_u16(delay), retry_after_ms, ranges };
        self.send(id, seq, &Message::Ack(Ack { window: Some(window) }));
    }
}

/// The answer to a landing of which nothing landed. Spec §7.1d.
const fn refusal(fate: &Fate) -> Option<(ErrorCode, &'static str)> {
    match fate {
        Fate::Stored | Fate::Duplicate => None,
        Fate::NoRange => Some((ErrorCode::WINDOW, "too many gaps below these rows")),
        Fate::Conflict => Some((ErrorCode::SCHEMA_CONFLICT, "take a new schema id")),
        Fate::NoSchema => Some((ErrorCode::UNKNOWN_SCHEMA, "DECLARE the schema again")),
        Fate::Failed => Some((ErrorCode::STORAGE, "the disk is full or failing")),
    }
}
