//! A bad network, sans-IO: loses, duplicates, reorders, delays and throttles packets on a seed.
//!
//! A [`Link`] is one direction. After each [`Link::send`], and when [`Link::next_wakeup`] has
//! come, take packets off [`Link::poll`] until there is none.
//!
//! ```
//! use senda_session::Instant;
//! use senda_sim::faults::{Conditions, Link};
//!
//! let conditions = Conditions { delay: "50ms".parse()?, ..Conditions::default() };
//! let mut link = Link::new(conditions, 42);
//! link.send(Instant(0), b"hello".to_vec());
//! assert_eq!(link.poll(Instant(49_999)), None);
//! assert_eq!(link.next_wakeup(), Some(Instant(50_000)));
//! assert_eq!(link.poll(Instant(50_000)), Some(b"hello".to_vec()));
//! # Ok::<(), senda_sim::faults::ConditionError>(())
//! ```

mod conditions; // "20%", "50ms±20ms", "100kbit"

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use senda_session::Instant;

pub use conditions::{ConditionError, Conditions, Delay, Probability, Rate, Reorder};

/// Most packets under way at a time; what is sent beyond that is lost, as in a full queue.
pub const IN_FLIGHT_MAX: usize = 65_536;

/// The longest that a packet waits for its turn at [`Conditions::rate`]; what would wait longer is
/// lost, as in a full queue.
pub const QUEUE_MAX: Duration = Duration::from_secs(1);

/// One direction of a bad network. The seed and the calls decide everything.
///
/// Packets keep their order unless [`Conditions::reorder`] says otherwise: a delay that varies
/// makes the packets behind a slow one wait. Whether the *n*th packet is lost, doubled or held back
/// does not depend on the packets before it, and changing one condition leaves the others' decisions
/// alone: with more loss, the packets that were lost before are lost still.
///
/// A packet first takes its turn at [`Conditions::rate`], then is lost or travels: what is lost has
/// taken its share of the rate, and a copy, made on the way, takes none.
///
/// `P` is what travels: bytes, or bytes with an address.
#[derive(Clone, Debug)]
pub struct Link<P = Vec<u8>> {
    conditions: Conditions,
    rng: Pcg64Mcg,
    under_way: BinaryHeap<Reverse<Packet<P>>>,
    /// The latest arrival of a packet that keeps its order.
    last_arrival: Instant,
    /// When the packets so far are through at [`Conditions::rate`], in nanoseconds: a small packet at
    /// a high rate takes less than a microsecond.
    free_at_ns: u64,
    next_number: u64,
    stats: LinkStats,
}

/// What a link does with a packet that it was given. Decided at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It never arrives, by [`Conditions::loss`].
    Lost,
    /// It never arrives: the queue is full ([`QUEUE_MAX`], [`IN_FLIGHT_MAX`]).
    Overflowed,
    /// It arrives.
    Arrives {
        /// When.
        at: Instant,
        /// It was held back by [`Conditions::reorder`].
        held_back: bool,
        /// When it arrives a second time, by [`Conditions::dup`].
        copy: Option<Instant>,
    },
}

/// What a link has done so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LinkStats {
    /// Packets that were sent.
    pub sent: u64,
    /// Lost by [`Conditions::loss`].
    pub lost: u64,
    /// Sent twice by [`Conditions::dup`].
    pub duplicated: u64,
    /// Held back by [`Conditions::reorder`].
    pub reordered: u64,
    /// Lost because of [`QUEUE_MAX`] or [`IN_FLIGHT_MAX`].
    pub overflowed: u64,
    /// Packets that [`Link::poll`] has returned.
    pub delivered: u64,
}

#[derive(Clone, Debug)]
struct Packet<P> {
    arrival: Instant,
    /// In order of sending; of two that arrive at once, the first one is first.
    number: u64,
    payload: P,
}

/// What the dice say about one packet, whether or not anybody asks.
struct Dice {
    loss: f64,
    dup: f64,
    reorder: f64,
    delay: f64,
    copy_delay: f64,
}

impl<P: Clone> Link<P> {
    /// A link with nothing under way.
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            rng: crate::seed::generator(seed),
            under_way: BinaryHeap::new(),
            last_arrival: Instant(0),
            free_at_ns: 0,
            next_number: 0,
            stats: LinkStats::default(),
        }
    }

    /// Hands a packet of `len` bytes to the network and says what will become of it.
    pub fn send_sized(&mut self, now: Instant, len: usize, payload: P) -> Fate {
        let dice = self.throw();
        let conditions = self.conditions;
        self.stats.sent += 1;
        let Some(leaves) = self.take_turn(now, len) else {
            self.stats.overflowed += 1;
            return Fate::Overflowed;
        };
        if conditions.loss.hits(dice.loss) {
            self.stats.lost += 1;
            return Fate::Lost;
        }
        let held_back = conditions.reorder.probability.hits(dice.reorder);
        let copy = conditions.dup.hits(dice.dup).then(|| payload.clone());
        let arrival = leaves + conditions.delay.draw(dice.delay);
        let arrives = if held_back {
            self.stats.reordered += 1;
            self.push(arrival + conditions.reorder.by, payload)
        } else {
            self.push_in_order(arrival, payload)
        };
        let copy = copy.and_then(|copy| {
            self.stats.duplicated += 1;
            self.push_in_order(leaves + conditions.delay.draw(dice.copy_delay), copy)
        });
        arrives.map_or(Fate::Overflowed, |at| Fate::Arrives { at, held_back, copy })
    }

    /// The next packet that has arrived by `now`.
    pub fn poll(&mut self, now: Instant) -> Option<P> {
        if self.next_wakeup()? > now {
            return None;
        }
        self.stats.delivered += 1;
        self.under_way.pop().map(|Reverse(packet)| packet.payload)
    }

    /// When the next packet arrives; `None` when none is under way.
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse(packet)| packet.arrival)
    }

    /// How long a packet that comes now waits for its turn at [`Conditions::rate`].
    pub fn backlog(&self, now: Instant) -> Duration {
        Duration::from_nanos(self.free_at_ns.saturating_sub(nanos(now)))
    }

    /// Packets under way.
    pub fn in_flight(&self) -> usize {
        self.under_way.len()
    }

    /// What the link has done so far.
    pub const fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Other weather from now on. What is under way stays so.
    pub const fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    fn throw(&mut self) -> Dice {
        Dice {
            loss: self.rng.random(),
            dup: self.rng.random(),
            reorder: self.rng.random(),
            delay: self.rng.random(),
            copy_delay: self.rng.random(),
        }
    }

    /// When the last bit of a packet has left at the rate; `None` when it would wait too long.
    fn take_turn(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.conditions.rate else {
            return Some(now);
        };
        if self.backlog(now) > QUEUE_MAX {
            return None;
        }
        let bits = u64::try_from(len).unwrap_or(u64::MAX).saturating_mul(8);
        // u128: a gigabyte in nanoseconds at one bit a second is beyond u64.
        let takes = u128::from(bits) * 1_000_000_000 / u128::from(rate.bits());
        let takes = u64::try_from(takes).unwrap_or(u64::MAX);
        self.free_at_ns = self.free_at_ns.max(nanos(now)).saturating_add(takes);
        Some(Instant(self.free_at_ns.div_ceil(1_000)).max(now))
    }

    fn push_in_order(&mut self, arrival: Instant, payload: P) -> Option<Instant> {
        self.last_arrival = self.last_arrival.max(arrival);
        self.push(self.last_arrival, payload)
    }

    /// When it arrives; `None` when there is no room for it.
    fn push(&mut self, arrival: Instant, payload: P) -> Option<Instant> {
        if self.under_way.len() >= IN_FLIGHT_MAX {
            self.stats.overflowed += 1;
            return None;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.under_way.push(Reverse(Packet { arrival, number, payload }));
        Some(arrival)
    }
}

impl<P: Clone + AsRef<[u8]>> Link<P> {
    /// Hands a packet to the network, which keeps to itself what becomes of it: [`Link::send_sized`] says it.
    pub fn send(&mut self, now: Instant, payload: P) {
        let len = payload.as_ref().len();
        self.send_sized(now, len, payload);
    }
}

impl Probability {
    /// `draw` is uniform in 0..1, so that 0 never hits and 1 always.
    fn hits(self, draw: f64) -> bool {
        draw < self.get()
    }
}

impl Delay {
    /// One delay by these rules, decided by a seed.
    pub fn pick(self, seed: u64) -> Duration {
        self.draw(crate::seed::generator(seed).random())
    }

    /// `draw` is uniform in 0..1.
    fn draw(self, draw: f64) -> Duration {
        // Not below 0: the jitter is at most the mean.
        self.mean() - self.jitter() + self.jitter().mul_f64(2.0 * draw)
    }
}

/// Saturating, as [`Instant`] does: six centuries are enough.
const fn nanos(instant: Instant) -> u64 {
    instant.0.saturating_mul(1_000)
}

impl<P> Packet<P> {
    const fn key(&self) -> (Instant, u64) {
        (self.arrival, self.number)
    }
}

impl<P> PartialEq for Packet<P> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<P> Eq for Packet<P> {}

impl<P> PartialOrd for Packet<P> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> Ord for Packet<P> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}
