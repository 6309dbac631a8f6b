//! Messages on their way, and what their answers teach: round trips, losses, how many may fly. Spec §7.5, §8.2.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use senda_wire::Ranges;

use crate::{Entropy, Instant};

/// Answers to messages sent later that show a loss. Spec §7.5.
const REORDERING: u32 = 3;
/// Messages that may fly at first. Spec §8.2a.
const CWND_INITIAL: u32 = 4;
/// Messages that may fly at least. Spec §8.2a.
const CWND_FLOOR: u32 = 2;
/// Time-outs in a row after which one message flies. Spec §8.2a.
const TIMEOUTS_TO_ONE: u32 = 3;
/// Most new messages without a pause. Spec §8.2a.
const BURST: u32 = 10;
/// Before the first sample, and at most. Spec §7.5a.
const RTO_INITIAL: Duration = Duration::from_secs(1);
/// A disk that syncs takes its time now and then; resending before is waste. Spec §7.5a.
const RTO_MIN: Duration = Duration::from_millis(50);
const RTO_MAX: Duration = Duration::from_secs(60);
/// Floor of the variance term. Spec §7.5a.
const RTTVAR_FLOOR: Duration = Duration::from_millis(1);

/// A data message on its way, known by the rows it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    /// Grows with each message sent.
    id: u64,
    pub(super) first: u32,
    pub(super) end: u32,
    sent: Instant,
    /// A row of it was sent before: it gives no sample (Karn).
    resent: bool,
    /// Messages sent later that are acknowledged.
    overtaken: u32,
}

/// All of them, in order of sending.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights {
    list: VecDeque<Flight>,
    next_id: u64,
}

/// What an ACK says of the flights.
#[derive(Clone, Debug, Default)]
pub(super) struct Landed {
    /// Flights that are newly covered.
    pub(super) count: u32,
    /// Their newest: when it was sent, unless a row of it was sent twice.
    pub(super) newest_sent: Option<Instant>,
    /// Flights that are lost.
    pub(super) lost: Vec<Flight>,
}

impl Flights {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
    }

    pub(super) fn add(&mut self, first: u32, end: u32, sent: Instant, resent: bool) {
        self.list.push_back(Flight { id: self.next_id, first, end, sent, resent, overtaken: 0 });
        self.next_id += 1;
    }

    /// Id that the next message gets.
    pub(super) const fn next_id(&self) -> u64 {
        self.next_id
    }

    /// The flight that begins with this row; the newest, if several do.
    pub(super) fn beginning_with(&self, first: u32) -> Option<Flight> {
        self.list.iter().rev().find(|flight| flight.first == first).copied()
    }

    /// Takes the flight that was sent first.
    pub(super) fn take_oldest(&mut self) -> Option<Flight> {
        self.list.pop_front()
    }

    /// Takes what the mark and the ranges cover. On UDP also what is lost: 3 sent later are acknowledged. Spec §7.5.
    pub(super) fn land(&mut self, mark: u32, ranges: &Ranges<'_>, find_lost: bool) -> Landed {
        let mut landed = Landed::default();
        let mut later = 0;
        let mut kept = VecDeque::with_capacity(self.list.len());
        // Newest first, so that `later` counts the acknowledged ones that were sent after each.
        for mut flight in self.list.drain(..).rev() {
            flight.first = flight.first.max(mark);
            let covered = flight.end <= mark
                || ranges
                    .iter()
                    .any(|range| range.start <= flight.first && flight.end <= range.end);
            if covered {
                if landed.count == 0 && !flight.resent {
                    landed.newest_sent = Some(flight.sent);
                }
                landed.count += 1;
                later += 1;
            } else {
                flight.overtaken += later;
                if find_lost && flight.overtaken >= REORDERING {
                    landed.lost.push(flight);
                } else {
                    kept.push_front(flight);
                }
            }
        }
        self.list = kept;
        landed
    }

    /// Rows `start` to `end - 1` are no longer on their way; what is left of a message stays.
    pub(super) fn forget(&mut self, start: u32, end: u32) {
        let mut index = 0;
        while let Some(flight) = self.list.get_mut(index) {
            let (first, last) = (flight.first, flight.end);
            if last <= start || end <= first {
                index += 1;
            } else if start <= first && last <= end {
                self.list.remove(index);
            } else if start <= first {
                flight.first = end;
                index += 1;
            } else {
                flight.end = start;
                if end < last {
                    let right = Flight { first: end, end: last, ..*flight };
                    self.list.insert(index + 1, right);
                    index += 1;
                }
                index += 1;
            }
        }
    }
}

/// Round trips and congestion of one path.
#[derive(Clone, Debug)]
pub(super) struct Path {
    srtt: Option<Duration>,
    rttvar: Duration,
    /// Time-outs in a row.
    pub(super) timeouts: u32,
    cwnd: u32,
    threshold: u32,
    /// Messages acknowledged since cwnd last grew.
    toward_next: u32,
    /// A loss of a message with a lower id is part of a loss that was answered already.
    recovered_from: u64,
    /// When the next new message would leave at an even pace.
    next_send: Instant,
}

impl Path {
    pub(super) const fn new() -> Self {
        Self {
            srtt: None,
            rttvar: Duration::ZERO,
            timeouts: 0,
            cwnd: CWND_INITIAL,
            threshold: u32::MAX,
            toward_next: 0,
            recovered_from: 0,
            next_send: Instant(0),
        }
    }

    pub(super) const fn srtt(&self) -> Option<Duration> {
        self.srtt
    }

    pub(super) const fn cwnd(&self) -> u32 {
        self.cwnd
    }

    /// Spec §7.5a: RFC 6298.
    pub(super) fn sample(&mut self, rtt: Duration) {
        match self.srtt {
            None => {
                self.srtt = Some(rtt);
                self.rttvar = rtt / 2;
            }
            Some(srtt) => {
                self.rttvar = self.rttvar * 3 / 4 + srtt.abs_diff(rtt) / 4;
                self.srtt = Some(srtt * 7 / 8 + rtt / 8);
            }
        }
    }

    /// Time until the oldest message is due again; `extra` is WELCOME's ack_delay and commit_interval. Spec §7.5a.
    pub(super) fn timeout(&self, extra: Duration, entropy: &mut Entropy) -> Duration {
        let measured = |srtt| srtt + (self.rttvar * 4).max(RTTVAR_FLOOR);
        let base = self.srtt.map_or(RTO_INITIAL, measured).max(RTO_MIN) + extra;
        let doubled = base.saturating_mul(1 << self.timeouts.min(6));
        entropy.stretched(doubled.min(RTO_MAX))
    }

    /// Spec §8.2a: growth.
    pub(super) fn on_acked(&mut self, messages: u32, cap: u32) {
        for _ in 0..messages {
            if self.cwnd < self.threshold {
                self.cwnd += 1;
            } else {
                self.toward_next += 1;
                if self.toward_next >= self.cwnd {
                    self.toward_next = 0;
                    self.cwnd += 1;
                }
            }
        }
        self.cwnd = self.cwnd.min(cap.max(CWND_FLOOR));
    }

    /// Spec §8.2a: halving, once for each flight of messages.
    pub(super) fn on_lost(&mut self, flight: &Flight, next_id: u64) {
        if flight.id < self.recovered_from {
            return;
        }
        self.recovered_from = next_id;
        self.threshold = (self.cwnd / 2).max(CWND_FLOOR);
        self.cwnd = self.threshold;
        self.toward_next = 0;
    }

    /// A time-out is a loss for cwnd too, and the third in a row leaves one message. Spec §8.2a.
    pub(super) fn on_timeout(&mut self, flight: &Flight, next_id: u64) {
        self.timeouts += 1;
        self.on_lost(flight, next_id);
        if self.timeouts >= TIMEOUTS_TO_ONE {
            self.cwnd = 1;
        }
    }

    /// When a new message may leave: not more than one cwnd in an srtt, in bursts of at most 10. Spec §8.2a.
    pub(super) fn may_send_at(&self) -> Instant {
        self.next_send
    }

    /// Notes that a new message leaves.
    pub(super) fn on_sent(&mut self, now: Instant) {
        let Some(srtt) = self.srtt else { return };
        let interval = srtt / self.cwnd.max(1);
        // `next_send` runs behind `now` by up to a burst, ahead of it when the burst is spent.
        let earliest = now - interval * (BURST - 1);
        self.next_send = self.next_send.max(earliest) + interval;
    }
}
