//! A bad network, sans-IO: loses, duplicates, reorders and delays packets on a seed.
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

mod conditions; // "20%", "50ms±20ms"

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use senda_session::Instant;

pub use conditions::{ConditionError, Conditions, Delay, Probability, Reorder};

/// Most packets under way at a time; what is sent beyond that is lost, as in a full queue.
pub const IN_FLIGHT_MAX: usize = 65_536;

/// One direction of a bad network. The seed and the calls decide everything.
///
/// Packets keep their order unless [`Conditions::reorder`] says otherwise: a delay that varies
/// makes the packets behind a slow one wait. Whether the *n*th packet is lost, doubled or held back
/// does not depend on the packets before it, and changing one condition leaves the others' decisions
/// alone: with more loss, the packets that were lost before are lost still.
///
/// `P` is what travels: bytes, or bytes with an address.
#[derive(Clone, Debug)]
pub struct Link<P = Vec<u8>> {
    conditions: Conditions,
    rng: Pcg64Mcg,
    under_way: BinaryHeap<Reverse<Packet<P>>>,
    /// The latest arrival of a packet that keeps its order.
    last_arrival: Instant,
    next_number: u64,
    stats: LinkStats,
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
    /// Lost because [`IN_FLIGHT_MAX`] were under way.
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
            next_number: 0,
            stats: LinkStats::default(),
        }
    }

    /// Hands a packet to the network.
    pub fn send(&mut self, now: Instant, payload: P) {
        let dice = self.throw();
        let conditions = self.conditions;
        self.stats.sent += 1;
        if conditions.loss.hits(dice.loss) {
            self.stats.lost += 1;
            return;
        }
        let held_back = conditions.reorder.probability.hits(dice.reorder);
        let copy = conditions.dup.hits(dice.dup).then(|| payload.clone());
        let arrival = now + conditions.delay.draw(dice.delay);
        if held_back {
            self.stats.reordered += 1;
            self.push(arrival + conditions.reorder.by, payload);
        } else {
            self.push_in_order(arrival, payload);
        }
        if let Some(copy) = copy {
            self.stats.duplicated += 1;
            self.push_in_order(now + conditions.delay.draw(dice.copy_delay), copy);
        }
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

    fn push_in_order(&mut self, arrival: Instant, payload: P) {
        self.last_arrival = self.last_arrival.max(arrival);
        self.push(self.last_arrival, payload);
    }

    fn push(&mut self, arrival: Instant, payload: P) {
        if self.under_way.len() >= IN_FLIGHT_MAX {
            self.stats.overflowed += 1;
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.under_way.push(Reverse(Packet { arrival, number, payload }));
    }
}

impl Probability {
    /// `draw` is uniform in 0..1, so that 0 never hits and 1 always.
    fn hits(self, draw: f64) -> bool {
        draw < self.get()
    }
}

impl Delay {
    /// `draw` is uniform in 0..1.
    fn draw(self, draw: f64) -> Duration {
        // Not below 0: the jitter is at most the mean.
        self.mean() - self.jitter() + self.jitter().mul_f64(2.0 * draw)
    }
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
