//! The engine's deadlines, each with the name of who asked for it.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::Instant;

/// Who asked to be woken.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Timer {
    /// A delayed ACK of this session. Spec §7.3a.
    Ack(u32),
    /// This session dies if nothing is heard. Spec §6.6a.
    Death(u32),
    /// A message sent down on this session is repeated. Spec §7.7a.
    Downlink(u32),
    /// This connection has to say HELLO. Spec §3.6c.
    Greeting(u64),
}

/// Every timer that is armed: at most one for each name.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Instant, Timer)>,
    by_name: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Arms `timer`, or moves it.
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        if let Some(before) = self.by_name.insert(timer, at) {
            self.by_time.remove(&(before, timer));
        }
        self.by_time.insert((at, timer));
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        if let Some(at) = self.by_name.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(super) fn next(&self) -> Option<(Instant, Timer)> {
        self.by_time.first().copied()
    }

    /// The next timer that is due; it is armed no more.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = self.next()?;
        if at > now {
            return None;
        }
        self.stop(timer);
        Some(timer)
    }
}
