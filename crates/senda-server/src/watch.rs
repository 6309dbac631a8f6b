//! Alert rules at work: what is stored goes by the watcher; what happens to alerts goes to the store, to the device and
//! outwards, in this order: what is told is on disk, unless the store fails.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use senda_keeper::alert_order;
use senda_store::{AlertRecord, NoticeRecord, Sample, StoreError, Writer};

use crate::StartError;
use crate::alerts::outward::{Fate, Outcome, Outward, Report, Target};
use crate::alerts::{Change, Key, Rule, Seen, Severity, Standing, Transition, Watcher, to_record};
use crate::engine::{Input, utc_us};
use crate::feed::Item;
use crate::store::Request;
use crate::wake::Waker;

/// The rules, the alerts that stand, and everybody who hears of them. It lives on the feed's thread.
pub(crate) struct Watch {
    watcher: Watcher,
    outward: Outward,
    outcomes: JoinHandle<()>,
    lines: Lines,
    /// Ids of the alerts that stand, or were closed by hand.
    ids: HashMap<Key, u32>,
    next_id: u32,
    /// What could not be taken over at the start, since its rule is gone.
    gone: Vec<Transition>,
}

/// The ways out of here.
#[derive(Clone)]
pub(crate) struct Lines {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) engine: mpsc::Sender<Input>,
    pub(crate) waker: Waker,
    pub(crate) changes: tokio::sync::broadcast::Sender<Arc<Item>>,
}

impl Watch {
    /// Takes over what an earlier collector left. The store thread does not run yet.
    pub(crate) fn start(
        writer: &mut Writer,
        rules: Vec<Rule>,
        targets: Vec<Target>,
        lines: Lines,
    ) -> Result<Self, StartError> {
        let now = utc_us();
        let mut watcher = Watcher::new(rules, now)?;
        let (standing, highest) = writer.standing_alerts(now).map_err(StartError::Orders)?;
        let ids = standing.iter().map(|alert| (key_of(alert), alert.id)).collect();
        let seen = writer.latest(now).map_err(StartError::Orders)?;
        let seen = seen.into_iter().map(|latest| Seen {
            device: latest.device.into(),
            schema: latest.schema.into(),
            time: latest.time,
            received: latest.received,
        });
        let gone = watcher.restore(standing.iter().map(standing_of), seen, now);
        let pending = writer.notices(now).map_err(StartError::Orders)?;
        let pending = pending.into_iter().filter_map(|notice| {
            // A newer version may have written what this one can't read: it is kept for that one.
            Some((notice.target, serde_json::from_str(&notice.report).ok()?))
        });
        let (outward, outcomes) = Outward::start(targets, pending)?;
        let requests = lines.requests.clone();
        let outcomes = std::thread::Builder::new()
            .name("senda-outcomes".into())
            .spawn(move || outcomes.into_iter().for_each(|outcome| settle(&requests, outcome)))
            .map_err(StartError::Runtime)?;
        Ok(Self { watcher, outward, outcomes, lines, ids, next_id: highest + 1, gone })
    }

    /// A reading was stored.
    pub(crate) fn observe(&mut self, sample: &Sample) {
        for transition in self.watcher.observe(sample) {
            self.carry_out(transition);
        }
    }

    /// Time has passed; how long it may pass before the next call.
    pub(crate) fn tick(&mut self) -> Duration {
        for transition in std::mem::take(&mut self.gone) {
            self.carry_out(transition);
        }
        let now = utc_us();
        for transition in self.watcher.tick(now) {
            self.carry_out(transition);
        }
        for complaint in self.watcher.complaints() {
            tracing::warn!("{complaint}");
        }
        let due = self.watcher.next_due().map(|due| due.saturating_sub(utc_us()).max(1_000));
        due.map_or(Duration::MAX, |due| Duration::from_micros(u64::try_from(due).unwrap_or(1_000)))
    }

    /// Somebody saw it: no reminders any more.
    pub(crate) fn acknowledge(&mut self, id: u32) {
        if let Some(key) = self.key(id) {
            self.watcher.acknowledge(&key);
        }
    }

    /// Somebody closed it; false when it does not stand here.
    pub(crate) fn close(&mut self, id: u32) -> bool {
        let transition = self.key(id).and_then(|key| self.watcher.close(&key, utc_us()));
        let stands = transition.is_some();
        if let Some(transition) = transition {
            self.carry_out(transition);
        }
        stands
    }

    /// Tells what can be told in a few seconds; the rest is told by the next collector.
    pub(crate) fn stop(self) {
        self.outward.stop(LAST_WORDS);
        let _ = self.outcomes.join();
    }

    fn key(&self, id: u32) -> Option<Key> {
        self.ids.iter().find(|(_, known)| **known == id).map(|(key, _)| key.clone())
    }

    fn carry_out(&mut self, transition: Transition) {
        let key = &transition.key;
        let id = match transition.change {
            Change::Raised => {
                self.next_id += 1;
                self.next_id - 1
            }
            _ => match self.ids.get(key) {
                Some(id) => *id,
                None => return tracing::error!(?key, "an alert that nobody raised"),
            },
        };
        if let Err(error) = self.keep(id, &transition) {
            // Told all the same: an alarm is worth more than its record. It is not repeated after a restart.
            tracing::error!(%error, id, "an alert that can't be stored");
        }
        match transition.change {
            Change::Raised => drop(self.ids.insert(key.clone(), id)),
            Change::Cleared | Change::Over => drop(self.ids.remove(key)),
            Change::Reminder | Change::Closed => {}
        }
        if transition.change != Change::Over {
            let report = Report::new(id, &transition);
            for target in self.targets(key) {
                self.outward.send(&target, report.clone());
            }
        }
    }

    /// Puts it on disk, with what has to be told, and then tells device and followers.
    fn keep(&self, id: u32, transition: &Transition) -> Result<(), Box<dyn std::error::Error>> {
        let record = to_record(id, transition);
        let report = Report::new(id, transition);
        let notices: Vec<NoticeRecord> = self
            .targets(&transition.key)
            .into_iter()
            .map(|target| {
                let key = report.idempotency_key();
                Ok(NoticeRecord { target, key, report: serde_json::to_string(&report)? })
            })
            .collect::<Result<_, serde_json::Error>>()?;
        let change = transition.change;
        let stored = self.call(move |writer, now| match change {
            Change::Raised => {
                writer.raise_alert(&record, &notices, now)?;
                Ok(Some(record))
            }
            Change::Cleared | Change::Closed => writer.clear_alert(&record, &notices, now),
            Change::Reminder => {
                writer.add_notices(&notices, now)?;
                Ok(None)
            }
            Change::Over => {
                writer.alert_over(record.id, now)?;
                Ok(None)
            }
        })?;
        if let Some(record) = stored {
            if let Some(order) = alert_order(&record) {
                let _ = self.lines.engine.send(Input::Order(record.device.as_str().into(), order));
                self.lines.waker.wake();
            }
            let _ = self.lines.changes.send(Arc::new(Item::Alert(Box::new(record))));
        }
        Ok(())
    }

    /// Whom the rule of this alert tells.
    fn targets(&self, key: &Key) -> Vec<String> {
        self.watcher.rule(&key.rule).map_or_else(Vec::new, |rule| rule.notify.clone())
    }

    /// Runs `action` on the store's thread and waits for it. The store never waits for the feed.
    fn call<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut Writer, i64) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Box<dyn std::error::Error>> {
        let (answer, answered) = mpsc::channel();
        let call = move |writer: &mut Writer, now| {
            let _ = answer.send(action(writer, now));
        };
        self.lines.requests.send(Request::Call(Box::new(call))).map_err(|_| "the store is gone")?;
        Ok(answered.recv().map_err(|_| "the store is gone")??)
    }
}

/// True when no alert stands, and nobody has to be told of one.
pub(crate) fn has_nothing_left(writer: &mut Writer) -> Result<bool, StartError> {
    let now = utc_us();
    let (standing, _) = writer.standing_alerts(now).map_err(StartError::Orders)?;
    Ok(standing.is_empty() && writer.notices(now).map_err(StartError::Orders)?.is_empty())
}

/// What became of a report: forgotten, or kept for the next collector.
fn settle(requests: &mpsc::Sender<Request>, outcome: Outcome) {
    let Outcome { target, report, attempts, fate } = outcome;
    let (id, name) = (report.id, fate.name());
    tracing::info!(target, id, state = report.state, attempts, fate = name, "told of an alert");
    if fate == Fate::Undelivered {
        return;
    }
    let call = move |writer: &mut Writer, now| {
        let text = match &fate {
            Fate::Refused { why } | Fate::GaveUp { why } => {
                Some(format!("{target} was not told of alert {id} ({}): {why}", report.state))
            }
            Fate::Delivered | Fate::Undelivered => None,
        };
        let event = text.as_ref().map(|text| (&*report.device, "alert-untold", &**text));
        let key = report.idempotency_key();
        if let Err(error) = writer.settle_notice(&target, &key, event, now) {
            tracing::error!(%error, target, id, "it may be told again");
        }
    };
    let _ = requests.send(Request::Call(Box::new(call))); // A store that is gone keeps it: it is told again.
}

fn key_of(alert: &AlertRecord) -> Key {
    Key {
        rule: alert.rule.as_str().into(),
        device: alert.device.as_str().into(),
        schema: alert.schema.as_str().into(),
        channel: alert.channel.as_str().into(),
    }
}

fn standing_of(alert: &AlertRecord) -> Standing {
    Standing {
        key: key_of(alert),
        severity: Severity::from_code(alert.severity).unwrap_or(Severity::Critical),
        time: alert.raised_at,
        text: alert.text.clone(),
        acknowledged: alert.acknowledged_at.is_some(),
        closed: alert.closed,
    }
}

/// How long a server that stops tells targets what is left to tell.
const LAST_WORDS: Duration = Duration::from_secs(5);
