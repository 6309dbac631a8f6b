//! The way outwards: webhooks and programs are told of alerts, each target by threads of its own.
//!
//! Nothing here holds up the collector or another target: [`Outward::send`] never waits, each target has its own bounded
//! queue, and what became of each report comes back as an [`Outcome`], exactly one for each. What one alert has to say
//! arrives in order; an alert that the target can't take for the moment does not hold up the others.

mod exec; // a program, with the report on its standard input
mod report; // what is told, and what became of it
mod schedule; // in which order, and when again; pure
mod target; // who is told, and what makes no sense
mod webhook; // an HTTP POST

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use report::{Fate, Outcome, Report};
pub use target::{Exec, Means, Retry, Target, TargetError, Webhook, check_targets};

use exec::Runner;
use schedule::{Attempt, Schedule, Take};
use webhook::Poster;

/// Reports that wait for one target; what exceeds it is given up at once.
pub const QUEUE_MAX: usize = 10_000;

/// Tells targets. Dropping it without [`Outward::stop`] leaves its threads to the end of the process.
pub struct Outward {
    lines: HashMap<String, Line>,
    outcomes: Sender<Outcome>,
    began: Instant,
}

/// One target.
struct Line {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Ends programs that run.
    halt: tokio::sync::watch::Sender<bool>,
}

struct Shared {
    name: String,
    began: Instant,
    state: Mutex<State>,
    /// Something changed that a worker or a stop may wait for.
    changed: Condvar,
}

struct State {
    schedule: Schedule,
    /// Gone when the line is closed: then nothing counts any longer.
    outcomes: Option<Sender<Outcome>>,
}

/// How a worker tells its target.
enum Teller {
    Post(Poster),
    Run(Runner),
}

impl Outward {
    /// Starts the threads, and tells what an earlier process could not: `pending` are names of targets with reports, oldest
    /// first. Outcomes come from the receiver; it ends after [`Outward::stop`].
    ///
    /// # Errors
    /// [`TargetError`]: a target that makes no sense, certificates that can't be read, no threads.
    pub fn start(
        targets: Vec<Target>,
        pending: impl IntoIterator<Item = (String, Report)>,
    ) -> Result<(Self, Receiver<Outcome>), TargetError> {
        check_targets(&targets)?;
        let (outcomes, receiver) = channel();
        let began = Instant::now();
        let mut lines = HashMap::new();
        for target in targets {
            let name = target.name.clone();
            lines.insert(name, Line::start(target, began, outcomes.clone())?);
        }
        let outward = Self { lines, outcomes, began };
        for (target, report) in pending {
            outward.send(&target, report);
        }
        Ok((outward, receiver))
    }

    /// Tells one target. Never waits: where the queue is full or the target is not known the outcome says so.
    pub fn send(&self, target: &str, report: Report) {
        let Some(line) = self.lines.get(target) else {
            let fate = Fate::GaveUp { why: "no such target".to_owned() };
            // Who does not receive outcomes does not want to know.
            let _ = self.outcomes.send(Outcome {
                target: target.to_owned(),
                report,
                attempts: 0,
                fate,
            });
            return;
        };
        let mut state = line.shared.lock();
        if let Err(report) = state.schedule.push(self.began.elapsed(), report) {
            let why = format!("{QUEUE_MAX} reports are waiting for it already");
            let (target, fate) = (target.to_owned(), Fate::GaveUp { why });
            state.send([Outcome { target, report: *report, attempts: 0, fate }]);
        }
        line.shared.changed.notify_all();
    }

    /// Reports that wait or are on their way.
    pub fn pending(&self) -> usize {
        self.lines.values().map(|line| line.shared.lock().schedule.len()).sum()
    }

    /// Ends: what can be told within `patience` still is, the rest is [`Fate::Undelivered`]. Programs that run are killed; a
    /// POST that is on its way may still arrive.
    pub fn stop(self, patience: Duration) {
        let deadline = self.began.elapsed() + patience;
        for line in self.lines.values() {
            line.shared.wait_until_told(deadline);
        }
        for line in self.lines.into_values() {
            line.close();
        }
    }
}

impl Line {
    fn start(
        target: Target,
        began: Instant,
        outcomes: Sender<Outcome>,
    ) -> Result<Self, TargetError> {
        let (halt, halted) = tokio::sync::watch::channel(false);
        let no_thread =
            |name: &str, source: io::Error| TargetError::Thread { target: name.to_owned(), source };
        let mut tellers = Vec::new();
        match target.means {
            Means::Webhook(webhook) => {
                tellers.push(Teller::Post(Poster::new(&target.name, &webhook)?));
            }
            Means::Exec(exec) => {
                for _ in 0..exec.at_once {
                    let runner = Runner::new(exec.clone(), halted.clone());
                    tellers.push(Teller::Run(runner.map_err(|e| no_thread(&target.name, e))?));
                }
            }
        }
        let schedule = Schedule::new(target.retry, QUEUE_MAX);
        let state = Mutex::new(State { schedule, outcomes: Some(outcomes) });
        let name = target.name;
        let shared = Arc::new(Shared { name, began, state, changed: Condvar::new() });
        let mut workers = Vec::new();
        for teller in tellers {
            let shared_too = Arc::clone(&shared);
            let worker = std::thread::Builder::new()
                .name("senda-outward".into())
                .spawn(move || shared_too.work(teller))
                .map_err(|e| no_thread(&shared.name, e))?;
            workers.push(worker);
        }
        Ok(Self { shared, workers, halt })
    }

    fn close(self) {
        let mut state = self.shared.lock();
        // Only programs listen to `halt`.
        let posting = state.schedule.in_flight() > 0 && self.halt.receiver_count() == 0;
        let left = state.schedule.drain();
        let undelivered = left.into_iter().map(|(report, attempts)| {
            let (target, fate) = (self.shared.name.clone(), Fate::Undelivered);
            Outcome { target, report, attempts, fate }
        });
        let undelivered: Vec<_> = undelivered.collect();
        state.send(undelivered);
        state.outcomes = None;
        drop(state);
        self.shared.changed.notify_all();
        self.halt.send_replace(true);
        if posting {
            return; // It ends with its time-out, or with the process.
        }
        for worker in self.workers {
            let _ = worker.join(); // One that panicked has nothing more to say.
        }
    }
}

impl Shared {
    /// A worker's life: one report after the other, until the line is closed.
    fn work(&self, mut teller: Teller) {
        while let Some((report, attempt)) = self.next() {
            let told = match &mut teller {
                Teller::Post(poster) => poster.tell(&report, attempt),
                Teller::Run(runner) => runner.tell(&report),
            };
            self.finish(report, told);
        }
    }

    /// Waits for a report that is due; `None` when the line is closed.
    fn next(&self) -> Option<(Report, u32)> {
        let mut state = self.lock();
        loop {
            state.outcomes.as_ref()?;
            let now = self.began.elapsed();
            state = match state.schedule.take(now) {
                Take::Job(report, attempt) => return Some((*report, attempt)),
                Take::At(at) => {
                    let time = at.saturating_sub(now);
                    self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
                }
                Take::Nothing => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn finish(&self, report: Report, told: Attempt) {
        let mut state = self.lock();
        if state.outcomes.is_some() {
            let ended = state.schedule.finish(self.began.elapsed(), report, told, rand::random());
            let outcomes = ended.into_iter().map(|(report, attempts, fate)| Outcome {
                target: self.name.clone(),
                report,
                attempts,
                fate,
            });
            let outcomes: Vec<_> = outcomes.collect();
            state.send(outcomes);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until nothing is left to tell before `deadline`.
    fn wait_until_told(&self, deadline: Duration) {
        let mut state = self.lock();
        loop {
            let now = self.began.elapsed();
            let later = state.schedule.next_at().is_none_or(|at| at > deadline);
            if now >= deadline || (later && state.schedule.in_flight() == 0) {
                return;
            }
            let waited = self.changed.wait_timeout(state, deadline.saturating_sub(now));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A worker that panicked left a schedule that is whole: it changes by single calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn send(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        for outcome in outcomes {
            if let Some(sender) = &self.outcomes {
                let _ = sender.send(outcome); // Who does not receive does not want to know.
            }
        }
    }
}
