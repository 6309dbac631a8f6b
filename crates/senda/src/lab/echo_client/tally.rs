//! What became of each message. Time is an argument here: the span since the start of the run.

use std::collections::VecDeque;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::payload::Answer;

/// Messages whose fate is remembered, so that a second answer is known as one.
const REMEMBERED: usize = 1 << 20;
/// The longest time that is measured, an hour in nanoseconds; longer ones count as that.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Every message sent is in one of: received, late, damaged, lost, or still waiting.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    /// Answered in time.
    pub(super) received: u64,
    /// Answered after the time-out.
    pub(super) late: u64,
    /// Answered with other bytes.
    pub(super) damaged: u64,
    /// Not answered within the time-out, nor so far.
    pub(super) lost: u64,
    /// Further answers to the same message.
    pub(super) duplicated: u64,
    /// First answers that were overtaken by one to a later message.
    pub(super) reordered: u64,
    /// Answers to nothing that this run has sent, or not lately.
    pub(super) foreign: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Waiting { since: Duration },
    Lost { since: Duration },
    Answered,
}

/// What an answer turned out to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    InTime(Duration),
    Late(Duration),
    Damaged,
    Duplicate,
    Foreign,
}

pub(super) struct Tally {
    timeout: Duration,
    under_way_max: usize,
    /// Of the messages from `first` on.
    fates: VecDeque<Fate>,
    first: u64,
    /// Whatever is before this one is not waiting.
    oldest_waiting: u64,
    waiting: usize,
    latest_answered: Option<u64>,
    counts: Counts,
    /// Nanoseconds from sending to the first answer.
    times: Histogram<u64>,
}

impl Tally {
    pub(super) fn new(timeout: Duration, under_way_max: usize) -> Self {
        let times = Histogram::new_with_bounds(1, LONGEST_NS, 3);
        Self {
            timeout,
            under_way_max,
            fates: VecDeque::new(),
            first: 0,
            oldest_waiting: 0,
            waiting: 0,
            latest_answered: None,
            counts: Counts::default(),
            times: times.expect("bounds and precision are constants that the library allows"),
        }
    }

    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    /// Messages without an answer whose time is not over.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) const fn times(&self) -> &Histogram<u64> {
        &self.times
    }

    /// Whether anything came back at all.
    pub(super) const fn is_answered(&self) -> bool {
        self.counts.received + self.counts.late + self.counts.damaged > 0
    }

    /// Whether another message may be sent.
    pub(super) fn has_room(&self) -> bool {
        let front_waits = matches!(self.fates.front(), Some(Fate::Waiting { .. }));
        self.waiting < self.under_way_max && !(self.fates.len() >= REMEMBERED && front_waits)
    }

    /// Takes note of the next message; returns its number.
    pub(super) fn sent(&mut self, now: Duration) -> u64 {
        if self.fates.len() >= REMEMBERED {
            self.fates.pop_front();
            self.first += 1;
        }
        self.fates.push_back(Fate::Waiting { since: now });
        self.waiting += 1;
        self.counts.sent += 1;
        self.counts.sent - 1
    }

    /// Gives up those whose time is over.
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some((index, since)) = self.oldest() {
            if since + self.timeout > now {
                break;
            }
            self.fates[index] = Fate::Lost { since };
            self.waiting -= 1;
            self.counts.lost += 1;
        }
    }

    /// When [`Tally::expire`] has something to do.
    pub(super) fn next_expiry(&mut self) -> Option<Duration> {
        self.oldest().map(|(_, since)| since + self.timeout)
    }

    pub(super) fn answered(&mut self, answer: Answer, now: Duration) -> Kind {
        let (Answer::Intact(number) | Answer::Damaged(number)) = answer else {
            self.counts.foreign += 1;
            return Kind::Foreign;
        };
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(fate) = index.and_then(|index| self.fates.get_mut(index)) else {
            self.counts.foreign += 1;
            return Kind::Foreign;
        };
        let before = std::mem::replace(fate, Fate::Answered);
        let (since, is_late) = match before {
            Fate::Waiting { since } => (since, false),
            Fate::Lost { since } => (since, true),
            Fate::Answered => {
                self.counts.duplicated += 1;
                return Kind::Duplicate;
            }
        };
        if is_late {
            self.counts.lost -= 1;
        } else {
            self.waiting -= 1;
        }
        self.counts.reordered += u64::from(self.latest_answered > Some(number));
        self.latest_answered = self.latest_answered.max(Some(number));
        if matches!(answer, Answer::Damaged(_)) {
            self.counts.damaged += 1;
            return Kind::Damaged;
        }
        let time = now.saturating_sub(since);
        self.times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(LONGEST_NS));
        if is_late {
            self.counts.late += 1;
            Kind::Late(time)
        } else {
            self.counts.received += 1;
            Kind::InTime(time)
        }
    }

    /// There will be no more answers.
    pub(super) fn give_up(&mut self) {
        self.expire(Duration::MAX);
    }

    /// The one that waits for the longest. Messages are sent, so time out, in their order.
    fn oldest(&mut self) -> Option<(usize, Duration)> {
        self.oldest_waiting = self.oldest_waiting.max(self.first);
        loop {
            let index = usize::try_from(self.oldest_waiting - self.first).ok()?;
            match self.fates.get(index)? {
                Fate::Waiting { since } => return Some((index, *since)),
                Fate::Lost { .. } | Fate::Answered => self.oldest_waiting += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn every_message_ends_in_one_place() {
        let mut tally = Tally::new(ms(100), 10);
        for number in 0..6 {
            assert_eq!(tally.sent(ms(number)), number);
        }
        assert_eq!(tally.answered(Answer::Intact(1), ms(11)), Kind::InTime(ms(10)));
        assert_eq!(tally.answered(Answer::Intact(0), ms(12)), Kind::InTime(ms(12))); // Overtaken.
        assert_eq!(tally.answered(Answer::Intact(1), ms(13)), Kind::Duplicate);
        assert_eq!(tally.answered(Answer::Damaged(5), ms(14)), Kind::Damaged);
        assert_eq!(tally.answered(Answer::Intact(6), ms(14)), Kind::Foreign); // Not sent yet.
        assert_eq!(tally.answered(Answer::Foreign, ms(14)), Kind::Foreign);
        assert_eq!(tally.next_expiry(), Some(ms(102)));
        tally.expire(ms(103)); // 2 and 3, not 4.
        assert_eq!((tally.counts().lost, tally.waiting()), (2, 1));
        assert_eq!(tally.answered(Answer::Intact(2), ms(202)), Kind::Late(ms(200)));
        assert_eq!(tally.answered(Answer::Intact(2), ms(203)), Kind::Duplicate);
        tally.give_up();
        assert_eq!((tally.waiting(), tally.next_expiry()), (0, None));
        let counts = Counts {
            sent: 6,
            received: 2,
            late: 1,
            damaged: 1,
            lost: 2,
            duplicated: 2,
            reordered: 2,
            foreign: 2,
        };
        assert_eq!(tally.counts(), counts);
        assert_eq!(tally.times().len(), 3);
    }

    #[test]
    fn no_more_are_under_way_than_allowed() {
        let mut tally = Tally::new(ms(100), 2);
        tally.sent(ms(0));
        assert!(tally.has_room());
        tally.sent(ms(1));
        assert!(!tally.has_room());
        tally.answered(Answer::Intact(1), ms(2));
        assert!(tally.has_room());
        tally.sent(ms(3));
        assert!(!tally.has_room());
        tally.expire(ms(100)); // A lost one makes room.
        assert!(tally.has_room());
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_are_forgotten() {
        let mut tally = Tally::new(ms(1), 1);
        for number in 0..REMEMBERED as u64 + 5 {
            assert_eq!(tally.sent(ms(0)), number);
            assert_eq!(tally.answered(Answer::Intact(number), ms(0)), Kind::InTime(ms(0)));
        }
        assert_eq!(tally.fates.len(), REMEMBERED);
        assert_eq!(tally.answered(Answer::Intact(4), ms(0)), Kind::Foreign);
        assert_eq!(tally.answered(Answer::Intact(5), ms(0)), Kind::Duplicate);
        // One that is still waited for is not forgotten.
        let mut tally = Tally::new(ms(1), 2);
        tally.sent(ms(0));
        for number in 1..REMEMBERED as u64 {
            assert!(tally.has_room());
            tally.sent(ms(0));
            tally.answered(Answer::Intact(number), ms(0));
        }
        assert!(!tally.has_room());
    }
}
