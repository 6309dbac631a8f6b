//! Which of two transports carries a device's streams: UDP while it works, else TCP. Spec §6.8.
//!
//! ```text
//!             time-outs in a row, HELLO without WELCOME --> trial: no probe answered --+
//!   [ UDP ]   too many of the last messages lost -------------------------------------+--> [ TCP ]
//!      ^                                                                                     |
//!      +---- trial, now and then: every probe answered (one, while TCP does not serve) <-----+
//! ```
//!
//! A *probe* is a HELLO without a cookie, padded to the longest datagram: RETRY answers it and the collector keeps nothing.
//! So it shows that UDP carries what data needs in both directions, without a session, and however long the collector's disk
//! takes.

use std::collections::VecDeque;
use std::time::Duration;

use senda_session::device::Transport;
use senda_session::{Entropy, Instant};

/// When a transport counts as good or bad. The defaults are those of the specification, 6.8.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Measures {
    /// A HELLO on UDP without WELCOME for so long is reason to ask by probes whether UDP works.
    pub hello_patience: Duration,
    /// ... and for so long is reason enough to leave UDP, whatever the probes say: behind an address that changes with each
    /// datagram they are answered, and no cookie is ever good.
    pub hello_limit: Duration,
    /// So many time-outs in a row are reason to ask by probes.
    pub timeouts: u32,
    /// UDP counts as blocked after so many probes in a row without an answer.
    pub unanswered: u32,
    /// UDP counts as lossy when so many ...
    pub lost: usize,
    /// ... of that many last messages were lost.
    pub of: usize,
    /// UDP counts as good after so many probes in a row with an answer; while TCP does not serve, after one.
    pub answered: u32,
    /// A probe is answered within this time or not at all, unless round trips are known to be longer.
    pub answer_wait: Duration,
    /// From an answer to the next probe of a trial.
    pub probe_gap: Duration,
    /// On TCP: from the move to the first trial. Doubled with each trial that fails ...
    pub trial_wait: Duration,
    /// ... up to this.
    pub trial_wait_max: Duration,
    /// After a return to UDP that did not last the wait is four times as long each time, up to this, while TCP serves.
    pub return_wait_max: Duration,
    /// A stay on UDP that lasted so long makes the waits begin anew.
    pub settled: Duration,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            hello_patience: Duration::from_secs(4),
            hello_limit: Duration::from_secs(15),
            timeouts: 3,
            unanswered: 3,
            lost: 16,
            of: 64,
            answered: 5,
            answer_wait: Duration::from_secs(1),
            probe_gap: Duration::from_millis(250),
            trial_wait: Duration::from_secs(10),
            trial_wait_max: Duration::from_secs(300),
            return_wait_max: Duration::from_secs(3_600),
            settled: Duration::from_secs(300),
        }
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Choice {
    /// Send a probe over UDP, then call [`Chooser::probed`].
    Probe,
    /// Go on over this transport: call [`Chooser::moved`] once it is there, or [`Chooser::unreachable`].
    Move {
        /// Where to.
        to: Transport,
        /// Why.
        why: Why,
    },
}

/// Why a device moves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// UDP carries nothing, or nothing as long as data.
    Blocked,
    /// UDP loses too much.
    Lossy,
    /// UDP answers again.
    Works,
    /// The caller wants it.
    Asked,
}

/// Whose messages they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Who {
    /// The live session's.
    Live = 0,
    /// Those of the old stream that drains.
    History = 1,
}

/// What became of data messages on UDP since the last look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fates {
    /// Acknowledged.
    pub landed: u64,
    /// Shown lost by later ones.
    pub lost: u64,
    /// Timed out.
    pub timeouts: u64,
}

/// Chooses. What happens goes in, with its time; [`Chooser::poll`] says what to do, and [`Chooser::poll_timeout`] when to ask
/// again at the latest.
#[derive(Debug)]
pub struct Chooser {
    measures: Measures,
    entropy: Entropy,
    /// There is something to choose.
    both: bool,
    on: Transport,
    /// A move was chosen, for this reason, and is not done yet.
    moving: Option<Why>,
    is_serving: bool,
    /// Since when a HELLO is out that has no WELCOME.
    greeting_since: Option<Instant>,
    /// Time-outs in a row, of each session.
    timeouts: [u32; 2],
    /// The last messages on UDP: true for a lost one.
    fates: VecDeque<bool>,
    round_trip: Option<Duration>,
    trial: Option<Trial>,
    /// On TCP: when the next trial begins. On UDP: nothing is suspected before.
    not_before: Instant,
    /// Trials that failed, in a row.
    failed_trials: u32,
    /// Returns to UDP that did not last, in a row.
    failed_returns: u32,
    /// Moves to TCP for which no connection came about, in a row.
    unreachable: u32,
    /// When this stay began.
    since: Instant,
    /// It is a return to UDP.
    has_returned: bool,
}

/// Probes that follow one another.
#[derive(Debug, Default)]
struct Trial {
    /// Nonces (low halves) of those that were sent.
    sent: Vec<u32>,
    answered: u32,
    step: Step,
}

/// Where a trial is.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next probe leaves then.
    Due(Instant),
    /// The last one may be answered until then.
    Waits(Instant),
}

impl Default for Step {
    fn default() -> Self {
        Self::Due(Instant(0))
    }
}

impl Chooser {
    /// Begins on UDP if it is there. `udp`, `tcp`: which addresses are known; one at least should be.
    pub fn new(measures: Measures, udp: bool, tcp: bool, seed: [u8; 32]) -> Self {
        Self {
            measures,
            entropy: Entropy::new(seed),
            both: udp && tcp,
            on: if udp { Transport::Udp } else { Transport::Tcp },
            moving: None,
            is_serving: false,
            greeting_since: None,
            timeouts: [0; 2],
            fates: VecDeque::with_capacity(measures.of),
            round_trip: None,
            trial: None,
            not_before: Instant(0),
            failed_trials: 0,
            failed_returns: 0,
            unreachable: 0,
            since: Instant(0),
            has_returned: false,
        }
    }

    /// What carries the streams.
    pub const fn on(&self) -> Transport {
        self.on
    }

    /// Why the streams are about to move, if they are.
    pub const fn why(&self) -> Option<Why> {
        self.moving
    }

    /// True while probes go out, or one may be answered.
    pub const fn is_trying(&self) -> bool {
        self.trial.is_some()
    }

    /// How the live session stands: open, or a HELLO is out. Saying the same twice changes nothing.
    pub fn session(&mut self, now: Instant, is_serving: bool, is_greeting: bool) {
        if is_serving && !self.is_serving {
            self.timeouts[Who::Live as usize] = 0;
            self.unreachable = 0;
        }
        if self.is_serving && !is_serving && self.on == Transport::Tcp {
            // TCP is gone: whether UDP is there is worth knowing soon.
            let soon = now + self.entropy.between(Duration::ZERO, self.measures.answer_wait);
            self.not_before = self.not_before.min(soon);
        }
        self.is_serving = is_serving;
        if !is_greeting {
            self.greeting_since = None;
        } else if self.greeting_since.is_none() {
            self.greeting_since = Some(now);
        }
    }

    /// What became of messages, and the round trip as far as it is known.
    pub fn note(&mut self, who: Who, fates: Fates, round_trip: Option<Duration>) {
        if self.on != Transport::Udp {
            return;
        }
        self.round_trip = round_trip.or(self.round_trip);
        let Fates { landed, lost, timeouts } = fates;
        let most = u64::try_from(self.measures.of).unwrap_or(u64::MAX);
        // Which came first is not known. The lost ones first: what landed last counts most.
        let lost_all = (lost + timeouts).min(most);
        let fates = (0..lost_all).map(|_| true).chain((0..landed.min(most)).map(|_| false));
        for is_lost in fates {
            if self.fates.len() >= self.measures.of {
                self.fates.pop_front();
            }
            self.fates.push_back(is_lost);
        }
        // Short live rows may get through where history's full datagrams do not.
        let in_a_row = &mut self.timeouts[who as usize];
        let timeouts = u32::try_from(timeouts).unwrap_or(u32::MAX);
        *in_a_row = if landed > 0 { 0 } else { in_a_row.saturating_add(timeouts) };
    }

    /// A probe left; `nonce` is the low half of its HELLO's.
    pub fn probed(&mut self, now: Instant, nonce: u32) {
        let wait = self.answer_wait();
        if let Some(trial) = &mut self.trial {
            trial.sent.push(nonce);
            trial.step = Step::Waits(now + wait);
        }
    }

    /// A RETRY came. False if it answers no probe of this trial.
    pub fn answered(&mut self, now: Instant, nonce: u32) -> bool {
        let Some(trial) = &mut self.trial else { return false };
        let Some(index) = trial.sent.iter().position(|sent| *sent == nonce) else { return false };
        trial.sent.remove(index); // A second copy of the RETRY says nothing new.
        trial.answered += 1;
        trial.step = Step::Due(now + self.measures.probe_gap);
        if self.on == Transport::Udp {
            // UDP works; it is the collector, or its disk, that takes its time.
            // What timed out was not lost.
            while self.fates.back() == Some(&true) {
                self.fates.pop_back();
            }
            self.trial = None;
            self.timeouts = [0; 2];
            self.not_before = now + self.measures.hello_patience;
        }
        true
    }

    /// The streams go on over this transport.
    pub fn moved(&mut self, now: Instant, to: Transport) {
        let stayed = now.since(self.since);
        if to == Transport::Tcp {
            if self.has_returned && stayed < self.measures.settled {
                self.failed_returns = self.failed_returns.saturating_add(1);
            } else {
                self.failed_returns = 0;
            }
            self.failed_trials = 0;
            self.not_before = now + self.trial_wait(true);
        } else {
            self.has_returned = true;
            self.not_before = now;
        }
        (self.on, self.since, self.moving) = (to, now, None);
        (self.is_serving, self.greeting_since, self.timeouts) = (false, None, [0; 2]);
        self.fates.clear();
        self.trial = None;
    }

    /// No connection came about for the move that was chosen: everything stays as it is, for a while.
    pub fn unreachable(&mut self, now: Instant) {
        self.moving = None;
        self.trial = None;
        self.timeouts = [0; 2];
        self.fates.clear();
        let wait = self.doubled(self.measures.hello_patience, self.unreachable);
        self.unreachable = self.unreachable.saturating_add(1);
        self.not_before = now + self.entropy.spread(wait);
    }

    /// What to do now, if anything.
    pub fn poll(&mut self, now: Instant) -> Option<Choice> {
        if !self.both || self.moving.is_some() {
            return None;
        }
        let choice = match self.on {
            Transport::Udp => self.doubt(now),
            Transport::Tcp => self.try_udp(now),
        };
        if let Some(Choice::Move { why, .. }) = choice {
            self.moving = Some(why);
        }
        choice
    }

    /// When to ask again at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.both || self.moving.is_some() {
            return None;
        }
        if let Some(trial) = &self.trial {
            return Some(trial.next());
        }
        if self.on == Transport::Tcp {
            return Some(self.trial_due());
        }
        if self.is_timing_out() || self.is_lossy() {
            return Some(self.not_before);
        }
        let greeting = self.greeting_since?;
        Some((greeting + self.measures.hello_patience).max(self.not_before))
    }

    /// On UDP: whether it still is the way.
    fn doubt(&mut self, now: Instant) -> Option<Choice> {
        let blocked = Choice::Move { to: Transport::Tcp, why: Why::Blocked };
        if let Some(trial) = &mut self.trial {
            return match trial.step {
                Step::Due(at) => (at <= now).then_some(Choice::Probe),
                Step::Waits(until) if now < until => None,
                Step::Waits(_) if trial.sent.len() >= as_usize(self.measures.unanswered) => {
                    Some(blocked)
                }
                Step::Waits(_) => Some(Choice::Probe),
            };
        }
        if now < self.not_before {
            return None;
        }
        if self.is_lossy() {
            return Some(Choice::Move { to: Transport::Tcp, why: Why::Lossy });
        }
        let greeted = self.greeting_since.map(|since| now.since(since)).unwrap_or_default();
        if greeted >= self.measures.hello_limit {
            return Some(blocked);
        }
        if greeted >= self.measures.hello_patience || self.is_timing_out() {
            self.trial = Some(Trial::default());
            return Some(Choice::Probe);
        }
        None
    }

    /// On TCP: whether UDP is the way again.
    fn try_udp(&mut self, now: Instant) -> Option<Choice> {
        let needed = if self.is_serving { self.measures.answered } else { 1 };
        let Some(trial) = &mut self.trial else {
            if now < self.trial_due() {
                return None;
            }
            self.trial = Some(Trial::default());
            return Some(Choice::Probe);
        };
        if trial.answered >= needed {
            return Some(Choice::Move { to: Transport::Udp, why: Why::Works });
        }
        match trial.step {
            Step::Due(at) => (at <= now).then_some(Choice::Probe),
            Step::Waits(until) if now < until => None,
            Step::Waits(_) => {
                self.trial = None;
                self.failed_trials = self.failed_trials.saturating_add(1);
                self.not_before = now + self.trial_wait(self.is_serving);
                None
            }
        }
    }

    fn is_timing_out(&self) -> bool {
        self.timeouts.iter().any(|in_a_row| *in_a_row >= self.measures.timeouts)
    }

    fn is_lossy(&self) -> bool {
        self.fates.len() >= self.measures.of
            && self.fates.iter().filter(|lost| **lost).count() >= self.measures.lost
    }

    /// Three round trips, if that is longer.
    fn answer_wait(&self) -> Duration {
        let trips = self.round_trip.unwrap_or_default().saturating_mul(3);
        trips.min(self.measures.hello_patience).max(self.measures.answer_wait)
    }

    /// On TCP: when the next trial begins. A TCP that never serves is no reason to be patient with UDP.
    fn trial_due(&self) -> Instant {
        let soonest = self.since + self.measures.trial_wait_max;
        let is_waiting = self.is_serving || self.failed_trials > 0;
        if is_waiting { self.not_before } else { self.not_before.min(soonest) }
    }

    /// `mind_returns`: returns that did not last make it longer.
    fn trial_wait(&mut self, mind_returns: bool) -> Duration {
        let trials = self.doubled(self.measures.trial_wait, self.failed_trials);
        let factor = 1_u32.checked_shl(self.failed_returns.saturating_mul(2)).unwrap_or(u32::MAX);
        let returns = self.measures.trial_wait.saturating_mul(factor);
        let returns = match self.failed_returns {
            1.. if mind_returns => returns.min(self.measures.return_wait_max),
            _ => Duration::ZERO,
        };
        self.entropy.spread(trials.max(returns))
    }

    fn doubled(&self, wait: Duration, times: u32) -> Duration {
        let factor = 1_u32.checked_shl(times).unwrap_or(u32::MAX);
        wait.saturating_mul(factor).min(self.measures.trial_wait_max)
    }
}

impl Trial {
    const fn next(&self) -> Instant {
        match self.step {
            Step::Due(at) | Step::Waits(at) => at,
        }
    }
}

fn as_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device whose network a test decides, a tenth of a second at a time.
    struct Walk {
        chooser: Chooser,
        now: Instant,
        /// Probes that left, and moves with their times.
        probes: u32,
        /// Moves to TCP for which there was no connection.
        tries: u32,
        moves: Vec<(Duration, Transport, Why)>,
    }

    /// What the network does at a moment.
    #[derive(Clone, Copy)]
    struct Weather {
        probe_answered: bool,
        /// The fifth probe of each trial is not answered.
        fifth_lost: bool,
        udp_serves: bool,
        tcp_connects: bool,
        tcp_serves: bool,
        /// Of ten messages on UDP so many are lost.
        lost_of_ten: u64,
    }

    const CLEAR: Weather = Weather {
        probe_answered: true,
        fifth_lost: false,
        udp_serves: true,
        tcp_connects: true,
        tcp_serves: true,
        lost_of_ten: 0,
    };
    const BLOCKED: Weather =
        Weather { probe_answered: false, udp_serves: false, lost_of_ten: 10, ..CLEAR };

    impl Walk {
        fn new() -> Self {
            let chooser = Chooser::new(Measures::default(), true, true, [3; 32]);
            Self { chooser, now: Instant(0), probes: 0, tries: 0, moves: Vec::new() }
        }

        fn walk(&mut self, seconds: u64, weather: impl Fn(u64) -> Weather) {
            let end = self.now + Duration::from_secs(seconds);
            let mut beat = 0;
            while self.now < end {
                let here = weather(self.now.0 / 1_000_000);
                self.step(here, beat);
                beat += 1;
                self.now = self.now + Duration::from_millis(100);
            }
        }

        /// One message each 100 ms, whose fate is known at once.
        fn step(&mut self, here: Weather, beat: u64) {
            let on_udp = self.chooser.on() == Transport::Udp;
            let serves = if on_udp { here.udp_serves } else { here.tcp_serves };
            self.chooser.session(self.now, serves, !serves);
            if on_udp && serves {
                let is_lost = beat % 10 < here.lost_of_ten;
                let fates = Fates { landed: (!is_lost).into(), lost: is_lost.into(), timeouts: 0 };
                self.chooser.note(Who::Live, fates, Some(Duration::from_millis(20)));
            }
            while let Some(choice) = self.chooser.poll(self.now) {
                match choice {
                    Choice::Probe => {
                        self.probes += 1;
                        self.chooser.probed(self.now, self.probes);
                        let is_fifth = self.chooser.trial.as_ref().is_some_and(|t| t.answered == 4);
                        if here.probe_answered && !(here.fifth_lost && is_fifth) {
                            assert!(self.chooser.answered(self.now, self.probes));
                        }
                    }
                    Choice::Move { to: Transport::Tcp, .. } if !here.tcp_connects => {
                        self.tries += 1;
                        self.chooser.unreachable(self.now);
                    }
                    Choice::Move { to, why } => {
                        self.moves.push((self.now.since(Instant(0)), to, why));
                        self.chooser.moved(self.now, to);
                    }
                }
            }
            assert!(self.chooser.poll_timeout().is_none_or(|at| at > self.now), "it would spin");
        }

        fn ways(&self) -> Vec<(Transport, Why)> {
            self.moves.iter().map(|(_, to, why)| (*to, *why)).collect()
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn with_one_address_there_is_nothing_to_choose() {
        for (udp, tcp, on) in [(true, false, Transport::Udp), (false, true, Transport::Tcp)] {
            let mut chooser = Chooser::new(Measures::default(), udp, tcp, [1; 32]);
            chooser.session(Instant(0), false, true);
            assert_eq!((chooser.on(), chooser.poll_timeout()), (on, None));
            assert_eq!(chooser.poll(Instant(u64::MAX)), None);
        }
    }

    #[test]
    fn udp_that_works_is_never_left_nor_probed() {
        let mut walk = Walk::new();
        walk.walk(600, |_| CLEAR);
        assert_eq!((walk.moves.len(), walk.probes), (0, 0));
    }

    #[test]
    fn blocked_udp_is_left_within_eight_seconds_of_the_first_hello() {
        let mut walk = Walk::new();
        walk.walk(60, |_| BLOCKED);
        assert_eq!(walk.ways(), [(Transport::Tcp, Why::Blocked)]);
        assert!(walk.moves[0].0 <= 8 * SECOND, "{:?}", walk.moves);
    }

    #[test]
    fn time_outs_without_answered_probes_are_enough() {
        let mut walk = Walk::new();
        walk.walk(1, |_| CLEAR);
        let fates = Fates { timeouts: 3, ..Fates::default() };
        walk.chooser.note(Who::Live, fates, Some(Duration::from_millis(20)));
        // It still counts itself as serving: nobody has said that the session is gone.
        walk.walk(6, |_| Weather { probe_answered: false, lost_of_ten: 10, ..CLEAR });
        assert_eq!(walk.ways(), [(Transport::Tcp, Why::Blocked)]);
    }

    #[test]
    fn a_collector_that_takes_its_time_is_no_reason_to_leave_udp() {
        let mut walk = Walk::new();
        walk.walk(1, |_| CLEAR);
        for _ in 0..20 {
            // Its disk stands still: rows time out, and RETRY comes at once.
            walk.chooser.note(Who::Live, Fates { timeouts: 3, ..Fates::default() }, None);
            walk.walk(1, |_| Weather { udp_serves: false, ..CLEAR });
            walk.walk(1, |_| CLEAR);
        }
        assert_eq!(walk.ways(), []);
        assert!(walk.probes > 0);
    }

    #[test]
    fn no_welcome_for_long_is_reason_enough_though_probes_are_answered() {
        let mut walk = Walk::new();
        walk.walk(3_600, |_| Weather { udp_serves: false, ..CLEAR });
        let (at, to, why) = walk.moves[0];
        assert_eq!((to, why), (Transport::Tcp, Why::Blocked));
        assert!(at <= 20 * SECOND, "{at:?}");
        // Probes say that UDP works, and it never does: it is tried less and less often.
        assert!(walk.moves.len() <= 9, "{:?}", walk.moves);
    }

    #[test]
    fn a_quarter_lost_is_too_much_and_a_tenth_is_not() {
        let mut walk = Walk::new();
        walk.walk(60, |_| Weather { lost_of_ten: 1, ..CLEAR });
        assert_eq!(walk.ways(), []);
        walk.walk(60, |_| Weather { lost_of_ten: 3, probe_answered: false, ..CLEAR });
        assert_eq!(walk.ways(), [(Transport::Tcp, Why::Lossy)]);
    }

    #[test]
    fn udp_that_answers_five_probes_in_a_row_is_the_way_again() {
        let mut walk = Walk::new();
        walk.walk(100, |now| if now < 30 { BLOCKED } else { CLEAR });
        assert_eq!(walk.ways(), [(Transport::Tcp, Why::Blocked), (Transport::Udp, Why::Works)]);
        assert!(walk.moves[1].0 <= 60 * SECOND, "{:?}", walk.moves);
    }

    #[test]
    fn four_answers_in_five_are_not_enough() {
        let mut walk = Walk::new();
        walk.walk(20, |_| BLOCKED);
        walk.walk(900, |_| Weather { fifth_lost: true, ..CLEAR });
        assert_eq!(walk.moves.len(), 1, "{:?}", walk.moves);
    }

    #[test]
    fn udp_that_comes_and_goes_is_tried_less_and_less_often() {
        let mut walk = Walk::new();
        walk.walk(7_200, |now| if now / 20 % 2 == 0 { CLEAR } else { BLOCKED });
        let returns = walk.moves.iter().filter(|(_, to, _)| *to == Transport::Udp).count();
        assert!((1..=9).contains(&returns), "{:?}", walk.moves);
    }

    #[test]
    fn one_answer_is_enough_while_tcp_does_not_serve() {
        let mut walk = Walk::new();
        walk.walk(20, |_| BLOCKED);
        let gone = Weather { tcp_serves: false, ..CLEAR };
        walk.walk(5, |_| gone);
        assert_eq!(walk.ways(), [(Transport::Tcp, Why::Blocked), (Transport::Udp, Why::Works)]);
    }

    #[test]
    fn without_tcp_udp_is_kept_and_tcp_tried_less_and_less_often() {
        let mut walk = Walk::new();
        walk.walk(3_600, |_| Weather { tcp_connects: false, ..BLOCKED });
        assert_eq!(walk.ways(), []);
        assert!((12..=20).contains(&walk.tries), "{}", walk.tries); // At most 300 s apart in the end.
        walk.walk(400, |_| BLOCKED);
        assert_eq!(walk.ways(), [(Transport::Tcp, Why::Blocked)]);
    }

    #[test]
    fn a_tcp_that_connects_and_never_serves_does_not_hold_up_udp() {
        let mut walk = Walk::new();
        walk.walk(1_200, |_| Weather { tcp_serves: false, ..BLOCKED });
        let left = walk.moves.len();
        walk.walk(330, |_| Weather { tcp_serves: false, ..CLEAR });
        assert_eq!(walk.ways()[left..], [(Transport::Udp, Why::Works)]);
    }

    #[test]
    fn an_answer_to_nothing_is_nothing() {
        let mut walk = Walk::new();
        assert!(!walk.chooser.answered(walk.now, 7));
        walk.walk(6, |_| BLOCKED);
        let probe = walk.probes;
        assert!(walk.chooser.answered(walk.now, probe));
        assert!(!walk.chooser.answered(walk.now, probe), "the trial is over");
    }
}
