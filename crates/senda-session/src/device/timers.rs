//! One table of named timers; the deadline is its minimum, and says who asked for it.

use crate::Instant;

/// Who asked for a deadline.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Timer {
    /// HELLO is due: repeated, after a back-off, or after a jitter. Spec §6.3.
    Hello,
    /// A new connection is due (TCP). Spec §6.1.
    Connect,
    /// The oldest data message is due again (UDP). Spec §7.5.
    Resend,
    /// A DECLARE is due again, on the timer of data. Spec §7.5.
    Declare,
    /// An unanswered PING is due again (UDP).
    Ping,
    /// Nothing was said for the keepalive. Spec §6.6.
    Keepalive,
    /// Nothing was heard for too long: the session is given up (TCP).
    Silence,
    /// Window 0: one row may ask whether it still is. Spec §8.1.
    Persist,
    /// The collector asked to wait: rows may go again. Spec §8.3.
    Hold,
    /// The next new message may leave. Spec §8.2.
    Pace,
    /// A batch has waited long enough.
    Batch,
    /// TIME_REQ is due. Spec §13.3.
    Time,
}

/// Timers there are.
const TIMERS: [Timer; 12] = [
    Timer::Hello,
    Timer::Connect,
    Timer::Resend,
    Timer::Declare,
    Timer::Ping,
    Timer::Keepalive,
    Timer::Silence,
    Timer::Persist,
    Timer::Hold,
    Timer::Pace,
    Timer::Batch,
    Timer::Time,
];

/// The table.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers([Option<Instant>; TIMERS.len()]);

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    /// Sets it unless it runs already.
    pub(super) fn start(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize].get_or_insert(at);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(super) fn stop_all(&mut self) {
        *self = Self::default();
    }

    pub(super) fn runs(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    /// The earliest deadline and its owner.
    pub(super) fn next(&self) -> Option<(Instant, Timer)> {
        TIMERS.iter().filter_map(|timer| Some((self.0[*timer as usize]?, *timer))).min()
    }

    /// Takes the earliest timer that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = self.next()?;
        (at <= now).then(|| {
            self.stop(timer);
            timer
        })
    }
}
