//! In which order a target is told, and when again. Pure: time goes in.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::report::{Fate, Report};
use super::target::Retry;

/// What came of telling a target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Attempt {
    /// It took the report.
    Delivered,
    /// It answered, and trying again would not help.
    Refused { why: String },
    /// Later perhaps: at the earliest `after`, if the target said so.
    Later {
        why: String,
        after: Option<Duration>,
        /// It is the target that is in trouble, not this report: the others wait too.
        down: bool,
    },
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub(super) enum Take {
    /// Tell this; it is the attempt of this number, from 1.
    Job(Box<Report>, u32),
    /// Nothing before then.
    At(Duration),
    /// Nothing before something is pushed or finished.
    Nothing,
}

/// The reports of one target. Those of one alert stay in order, one on its way at a time.
#[derive(Debug)]
pub(super) struct Schedule {
    retry: Retry,
    queue_max: usize,
    alerts: HashMap<u32, Alert>,
    /// Alerts whose first report waits: when it is due, its place in the queue, id.
    due: BTreeSet<(Duration, u64, u32)>,
    /// The target is left alone until then.
    paused: Duration,
    /// Attempts in a row that found it in trouble.
    down: u32,
    len: usize,
    in_flight: usize,
    pushed: u64,
}

#[derive(Debug, Default)]
struct Alert {
    jobs: VecDeque<Job>,
    in_flight: bool,
}

#[derive(Debug)]
struct Job {
    report: Report,
    place: u64,
    give_up: Duration,
    attempts: u32,
}

/// Reports that ended, with the number of attempts.
pub(super) type Ended = Vec<(Report, u32, Fate)>;

impl Schedule {
    pub(super) fn new(retry: Retry, queue_max: usize) -> Self {
        Self {
            retry,
            queue_max,
            alerts: HashMap::new(),
            due: BTreeSet::new(),
            paused: Duration::ZERO,
            down: 0,
            len: 0,
            in_flight: 0,
            pushed: 0,
        }
    }

    /// Takes a report; gives it back when the queue is full.
    pub(super) fn push(&mut self, now: Duration, report: Report) -> Result<(), Box<Report>> {
        if self.len >= self.queue_max {
            return Err(Box::new(report));
        }
        self.len += 1;
        self.pushed += 1;
        let (id, place) = (report.id, self.pushed);
        let alert = self.alerts.entry(id).or_default();
        if alert.jobs.is_empty() {
            self.due.insert((now, place, id));
        }
        let give_up = now.saturating_add(self.retry.within);
        alert.jobs.push_back(Job { report, place, give_up, attempts: 0 });
        Ok(())
    }

    /// What to tell now. Each job that is taken must be finished.
    pub(super) fn take(&mut self, now: Duration) -> Take {
        let Some(at) = self.next_at() else {
            return Take::Nothing;
        };
        if at > now {
            return Take::At(at);
        }
        let Some((_, _, id)) = self.due.pop_first() else {
            return Take::Nothing;
        };
        let Some(alert) = self.alerts.get_mut(&id) else {
            return Take::Nothing;
        };
        let Some(job) = alert.jobs.front_mut() else {
            return Take::Nothing;
        };
        job.attempts += 1;
        alert.in_flight = true;
        self.in_flight += 1;
        Take::Job(Box::new(job.report.clone()), job.attempts)
    }

    /// When something is due next.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.due.first().map(|(at, ..)| (*at).max(self.paused))
    }

    /// Takes what came of a job. `jitter`: 0 to 1, at random.
    pub(super) fn finish(
        &mut self,
        now: Duration,
        report: Report,
        attempt: Attempt,
        jitter: f64,
    ) -> Ended {
        let mut ended = Ended::new();
        let Some(alert) = self.alerts.get_mut(&report.id).filter(|alert| alert.in_flight) else {
            return ended;
        };
        alert.in_flight = false;
        self.in_flight -= 1;
        let Some(job) = alert.jobs.front_mut() else {
            return ended;
        };
        let is_down = matches!(attempt, Attempt::Later { down: true, .. });
        self.down = if is_down { self.down.saturating_add(1) } else { 0 };
        let fate = match attempt {
            Attempt::Delivered => Fate::Delivered,
            Attempt::Refused { why } => Fate::Refused { why },
            Attempt::Later { why, after, down } => {
                let backoff = self.retry.backoff(job.attempts.max(self.down), jitter);
                let at = now.saturating_add(backoff.max(after.unwrap_or_default()));
                if down {
                    self.paused = at;
                }
                if at <= job.give_up {
                    self.due.insert((at, job.place, report.id));
                    if down {
                        self.expire(now, &why, &mut ended);
                    }
                    return ended;
                }
                if down {
                    self.expire(now, &why, &mut ended);
                }
                Fate::GaveUp { why }
            }
        };
        self.end(now, report.id, fate, &mut ended);
        ended
    }

    /// Ends the first report of an alert; the next one is due.
    fn end(&mut self, now: Duration, id: u32, fate: Fate, ended: &mut Ended) {
        let Some(alert) = self.alerts.get_mut(&id) else {
            return;
        };
        if let Some(job) = alert.jobs.pop_front() {
            self.len -= 1;
            ended.push((job.report, job.attempts, fate));
        }
        match alert.jobs.front() {
            Some(next) => {
                self.due.insert((now, next.place, id));
            }
            None => {
                self.alerts.remove(&id);
            }
        }
    }

    /// Gives up whatever waited too long for a target that is in trouble.
    fn expire(&mut self, now: Duration, why: &str, ended: &mut Ended) {
        let late = |schedule: &Self| {
            let mut waiting = schedule.due.iter();
            waiting
                .find(|(_, _, id)| {
                    let first = schedule.alerts.get(id).and_then(|alert| alert.jobs.front());
                    first.is_some_and(|job| job.give_up < now)
                })
                .copied()
        };
        while let Some(due) = late(self) {
            self.due.remove(&due);
            self.end(now, due.2, Fate::GaveUp { why: why.to_owned() }, ended);
        }
    }

    /// Reports that wait or are on their way.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Reports that are on their way.
    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Takes everything out, in the order in which it came.
    pub(super) fn drain(&mut self) -> Vec<(Report, u32)> {
        let alerts = std::mem::take(&mut self.alerts);
        let mut jobs: Vec<Job> = alerts.into_values().flat_map(|alert| alert.jobs).collect();
        jobs.sort_by_key(|job| job.place);
        self.due.clear();
        (self.len, self.in_flight) = (0, 0);
        jobs.into_iter().map(|job| (job.report, job.attempts)).collect()
    }
}

impl Retry {
    /// The pause after so many attempts: doubled each time, and shortened by up to half at random.
    fn backoff(&self, attempts: u32, jitter: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
        let pause = self.first.saturating_mul(doubled).min(self.longest);
        pause.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn retry() -> Retry {
        Retry { first: S, longest: 60 * S, within: 600 * S }
    }

    fn report(id: u32, state: &str) -> Report {
        Report {
            id,
            rule: "hot".into(),
            device: "gh-7".into(),
            schema: String::new(),
            channel: String::new(),
            state: state.into(),
            severity: "warning".into(),
            time: String::new(),
            time_us: 0,
            value: serde_json::Value::Null,
            unit: String::new(),
            threshold: serde_json::Value::Null,
            text: String::new(),
        }
    }

    fn job(take: Take) -> Report {
        let Take::Job(report, _) = take else { panic!("{take:?}") };
        *report
    }

    fn later(down: bool) -> Attempt {
        Attempt::Later { why: "503".into(), after: None, down }
    }

    #[test]
    fn what_an_alert_has_to_say_stays_in_order() {
        let mut schedule = Schedule::new(retry(), 9);
        for state in ["raised", "cleared"] {
            schedule.push(S, report(1, state)).unwrap();
        }
        schedule.push(S, report(2, "raised")).unwrap();
        let first = job(schedule.take(S));
        assert_eq!((first.id, &*first.state), (1, "raised"));
        let second = job(schedule.take(S));
        assert_eq!(second.id, 2);
        assert_eq!(schedule.take(S), Take::Nothing, "the first is on its way");
        assert!(schedule.finish(S, first, later(false), 1.0).is_empty());
        assert_eq!(schedule.finish(S, second, Attempt::Delivered, 1.0).len(), 1, "not held up");
        assert_eq!(schedule.take(S), Take::At(2 * S));
        let again = schedule.take(2 * S);
        assert!(matches!(again, Take::Job(_, 2)));
        let ended = schedule.finish(2 * S, job(again), Attempt::Delivered, 1.0);
        assert_eq!(ended[0].1, 2);
        assert_eq!(job(schedule.take(2 * S)).state, "cleared");
    }

    #[test]
    fn a_target_in_trouble_is_left_alone_for_longer_and_longer() {
        let mut schedule = Schedule::new(retry(), 9);
        let mut now = S;
        for id in 0..5 {
            schedule.push(now, report(id, "raised")).unwrap();
        }
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let tried = job(schedule.take(now));
            schedule.finish(now, tried, later(true), 1.0);
            assert_eq!(schedule.take(now), Take::At(now + pause * S));
            now += pause * S;
        }
        let tried = job(schedule.take(now));
        schedule.finish(now, tried, Attempt::Delivered, 1.0);
        assert!(matches!(schedule.take(now), Take::Job(..)), "it is well again");
    }

    #[test]
    fn jitter_shortens_a_pause_by_half_at_most() {
        let pauses = [0.0, 0.5, 1.0].map(|jitter| retry().backoff(3, jitter));
        assert_eq!(pauses, [2 * S, 3 * S, 4 * S]);
        assert_eq!(retry().backoff(u32::MAX, 1.0), 60 * S);
    }

    #[test]
    fn a_target_that_names_a_time_is_not_told_before() {
        let mut schedule = Schedule::new(retry(), 9);
        schedule.push(S, report(1, "raised")).unwrap();
        let tried = job(schedule.take(S));
        let busy = Attempt::Later { why: "429".into(), after: Some(90 * S), down: true };
        schedule.finish(S, tried, busy, 0.0);
        assert_eq!(schedule.take(S), Take::At(91 * S));
        let tried = job(schedule.take(91 * S));
        let long = Attempt::Later { why: "429".into(), after: Some(3600 * S), down: true };
        let ended = schedule.finish(91 * S, tried, long, 0.0);
        assert_eq!(ended[0].2, Fate::GaveUp { why: "429".into() }, "longer than we try");
    }

    #[test]
    fn everything_is_given_up_in_time() {
        let mut schedule = Schedule::new(retry(), 10);
        for id in 0..5 {
            schedule.push(S, report(id, "raised")).unwrap();
            schedule.push(S, report(id, "cleared")).unwrap();
        }
        let (mut now, mut ended) = (S, Vec::new());
        loop {
            match schedule.take(now) {
                Take::Job(tried, _) => ended.extend(schedule.finish(now, *tried, later(true), 1.0)),
                Take::At(at) => now = at,
                Take::Nothing => break,
            }
        }
        assert_eq!(ended.len(), 10);
        assert!(ended.iter().all(|(_, _, fate)| *fate == Fate::GaveUp { why: "503".into() }));
        assert!(now <= (600 + 2 * 60) * S, "{now:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever happens, each report ends once, and those of an alert in their order.
        #[test]
        fn each_report_ends_exactly_once(steps in prop::collection::vec((0..6_u8, 0..4_u32, 0..200_u64), 0..200)) {
            let mut schedule = Schedule::new(retry(), 12);
            let (mut now, mut number, mut taken, mut ended) = (Duration::ZERO, 0, Vec::new(), Vec::new());
            for (step, id, seconds) in steps {
                now += Duration::from_secs(seconds);
                match step {
                    0 | 1 => {
                        let mut report = report(id, "raised");
                        number += 1;
                        report.time_us = number;
                        if let Err(report) = schedule.push(now, report) {
                            prop_assert_eq!(schedule.len(), 12);
                            ended.push(*report);
                        }
                    }
                    2 => if let Take::Job(report, _) = schedule.take(now) {
                        prop_assert!(taken.iter().all(|other: &Report| other.id != report.id));
                        taken.push(*report);
                    },
                    _ => if let Some(report) = taken.pop() {
                        let attempt = match step {
                            3 => Attempt::Delivered,
                            4 => later(false),
                            _ => later(true),
                        };
                        let over = schedule.finish(now, report, attempt, 0.5);
                        ended.extend(over.into_iter().map(|(report, ..)| report));
                    },
                }
                prop_assert_eq!(schedule.in_flight(), taken.len());
            }
            ended.extend(schedule.drain().into_iter().map(|(report, _)| report));
            let mut times: Vec<_> = ended.iter().map(|report| report.time_us).collect();
            times.sort_unstable();
            prop_assert_eq!(times, (1..=number).collect::<Vec<_>>());
        }
    }
}
