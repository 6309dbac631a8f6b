//! One rule on one value of a device, or on whether its rows come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use senda_store::{ChannelInfo, Sample, Value};

use super::quantity::{Quantity, number};
use super::rule::{Condition, Rule, Selector};
use super::state::{CLOCK_STEP_US, Gauge, Judged, Phase, micros};
use super::text::{Template, templates, time_unit};
use super::transition::{Change, Key, Transition};

/// A rule with its texts taken apart.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) rule: Rule,
    pub(super) name: Arc<str>,
    raised: Template,
    cleared: Template,
    pub(super) complained: bool,
}

/// One rule on one value, or on the rows.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) rule: usize,
    pub(super) schema: Arc<str>,
    pub(super) channel: Arc<str>,
    pub(super) kind: Kind,
    pub(super) phase: Phase,
    /// When it was raised.
    pub(super) since: i64,
    pub(super) acknowledged: bool,
    remind_at: i64,
    /// A due of this kind waits: one at most.
    absence_queued: bool,
    reminder_queued: bool,
    /// What was said when it was raised.
    pub(super) said: Option<Box<Said>>,
}

/// What is watched.
#[derive(Debug)]
pub(super) enum Kind {
    Value(Gauge),
    /// The last reception, µs.
    Rows(i64),
}

/// What a transition says.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) value: Option<Quantity>,
    pub(super) threshold: Option<Quantity>,
}

/// Something to look at when its time has come. What it was set for may have moved on; then it is set anew.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Due {
    pub(super) at: i64,
    pub(super) device: Arc<str>,
    pub(super) watched: usize,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum What {
    Absence,
    Reminder,
}

/// What came of a value.
pub(super) enum Looked {
    Nothing,
    Changed(Box<Transition>),
    Unfit,
}

impl Watched {
    pub(super) fn new(rule: usize, schema: Arc<str>, channel: Arc<str>, kind: Kind) -> Self {
        Self {
            rule,
            schema,
            channel,
            kind,
            phase: Phase::Quiet,
            since: i64::MIN,
            acknowledged: false,
            remind_at: i64::MAX,
            absence_queued: false,
            reminder_queued: false,
            said: None,
        }
    }

    /// A value of the channel that the rule is about.
    pub(super) fn look(
        &mut self,
        compiled: &Compiled,
        sample: &Sample,
        channel: &ChannelInfo,
        value: &Value,
        index: usize,
        dues: &mut BinaryHeap<Reverse<Due>>,
    ) -> Looked {
        let Kind::Value(gauge) = &mut self.kind else {
            return Looked::Nothing;
        };
        let rule = &compiled.rule;
        // A device's clock may be fast; nothing was sampled after it came.
        let at = sample.time.min(sample.received);
        if number(value, channel.exponent).is_some_and(f64::is_nan) {
            return Looked::Nothing; // No sample at all: what is older may still come.
        }
        if !gauge.takes(at, sample.received) {
            return Looked::Nothing;
        }
        let (verdict, rate) = match gauge.judge(rule, channel, value, at) {
            Judged::As { verdict, rate } => (verdict, rate),
            Judged::Unknown => return Looked::Nothing,
            Judged::Unfit => return Looked::Unfit,
        };
        let next = gauge.next(self.phase, rule.hold, verdict, at);
        if next == self.phase {
            return Looked::Nothing;
        }
        let said = compiled.measured(channel, value, rate);
        let transition = self.enter(next, compiled, &sample.device, at, said);
        self.queue_reminder(rule, &sample.device, index, sample.received, dues);
        Looked::Changed(Box::new(transition))
    }

    /// A row came, whatever is in it.
    pub(super) fn hear(
        &mut self,
        compiled: &Compiled,
        sample: &Sample,
        index: usize,
        dues: &mut BinaryHeap<Reverse<Due>>,
    ) -> Option<Transition> {
        let Kind::Rows(last) = &mut self.kind else {
            return None;
        };
        let (received, before) = (sample.received, *last);
        if received > before || received < before.saturating_sub(CLOCK_STEP_US) {
            *last = received;
        }
        let due = received.saturating_add(compiled.rule.absence_us());
        self.queue_absence(due, &sample.device, index, dues);
        if self.phase == Phase::Quiet {
            return None;
        }
        let said = compiled.silence(received.saturating_sub(before));
        let at = received.max(self.since);
        Some(self.enter(Phase::Quiet, compiled, &sample.device, at, said))
    }

    /// The time has come at which nothing may have been heard for too long.
    pub(super) fn look_for_absence(
        &mut self,
        compiled: &Compiled,
        due: &Due,
        resumed: i64,
        now: i64,
        dues: &mut BinaryHeap<Reverse<Due>>,
    ) -> Option<Transition> {
        self.absence_queued = false;
        let Kind::Rows(last) = &mut self.kind else {
            return None;
        };
        if self.phase != Phase::Quiet {
            return None; // Set anew by the next row.
        }
        if *last > now {
            *last = now; // The clock was set back.
        }
        let at = (*last).max(resumed).saturating_add(compiled.rule.absence_us());
        if at > now {
            self.queue_absence(at, &due.device, due.watched, dues);
            return None;
        }
        let said = compiled.silence(at.saturating_sub(*last));
        let transition = self.enter(Phase::Raised, compiled, &due.device, at, said);
        self.queue_reminder(&compiled.rule, &due.device, due.watched, now, dues);
        Some(transition)
    }

    pub(super) fn look_for_reminder(
        &mut self,
        compiled: &Compiled,
        due: &Due,
        now: i64,
        dues: &mut BinaryHeap<Reverse<Due>>,
    ) -> Option<Transition> {
        self.reminder_queued = false;
        if self.phase != Phase::Raised || self.acknowledged {
            return None;
        }
        if self.remind_at > now {
            self.push_reminder(&due.device, due.watched, dues);
            return None;
        }
        self.queue_reminder(&compiled.rule, &due.device, due.watched, now, dues);
        let said = self.said.as_deref().cloned().unwrap_or_default();
        Some(self.transition(compiled, &due.device, Change::Reminder, now, said))
    }

    /// Goes to another phase and says so.
    fn enter(
        &mut self,
        next: Phase,
        compiled: &Compiled,
        device: &Arc<str>,
        at: i64,
        mut said: Said,
    ) -> Transition {
        let change = match (self.phase, next) {
            (_, Phase::Raised) => Change::Raised,
            (_, Phase::Closed) => Change::Closed,
            (Phase::Closed, Phase::Quiet) => Change::Over,
            (_, Phase::Quiet) => Change::Cleared,
        };
        said.text = compiled.text(change, &self.key(compiled, device), &said);
        self.phase = next;
        self.acknowledged = false;
        self.said = None;
        if next == Phase::Raised {
            self.since = at;
            self.said = Some(Box::new(said.clone()));
        }
        self.transition(compiled, device, change, at, said)
    }

    pub(super) fn transition(
        &self,
        compiled: &Compiled,
        device: &Arc<str>,
        change: Change,
        time: i64,
        said: Said,
    ) -> Transition {
        let Said { text, value, threshold } = said;
        let severity = compiled.rule.severity;
        Transition {
            key: self.key(compiled, device),
            change,
            severity,
            time,
            text,
            value,
            threshold,
        }
    }

    pub(super) fn key(&self, compiled: &Compiled, device: &Arc<str>) -> Key {
        let (rule, device) = (Arc::clone(&compiled.name), Arc::clone(device));
        Key { rule, device, schema: Arc::clone(&self.schema), channel: Arc::clone(&self.channel) }
    }

    pub(super) fn queue_absence(
        &mut self,
        at: i64,
        device: &Arc<str>,
        watched: usize,
        dues: &mut BinaryHeap<Reverse<Due>>,
    ) {
        if !std::mem::replace(&mut self.absence_queued, true) {
            let (device, what) = (Arc::clone(device), What::Absence);
            dues.push(Reverse(Due { at, device, watched, what }));
        }
    }

    /// Sets the next reminder, if it is raised and the rule wants any.
    pub(super) fn queue_reminder(
        &mut self,
        rule: &Rule,
        device: &Arc<str>,
        watched: usize,
        now: i64,
        dues: &mut BinaryHeap<Reverse<Due>>,
    ) {
        if let Some(remind) = rule.remind.filter(|_| self.phase == Phase::Raised) {
            self.remind_at = now.saturating_add(micros(remind));
            self.push_reminder(device, watched, dues);
        }
    }

    fn push_reminder(
        &mut self,
        device: &Arc<str>,
        watched: usize,
        dues: &mut BinaryHeap<Reverse<Due>>,
    ) {
        if !std::mem::replace(&mut self.reminder_queued, true) {
            let (device, what) = (Arc::clone(device), What::Reminder);
            dues.push(Reverse(Due { at: self.remind_at, device, watched, what }));
        }
    }
}

impl Compiled {
    pub(super) fn new(rule: Rule) -> Self {
        let (raised, cleared) = templates(&rule);
        Self { name: rule.name.as_str().into(), raised, cleared, rule, complained: false }
    }

    /// True when the rule as it is now could have raised this.
    pub(super) fn is_about(&self, key: &Key) -> bool {
        let rule = &self.rule;
        let channel = match &rule.channel {
            None => key.channel.is_empty(),
            Some(channel) => {
                *channel == *key.channel
                    || Selector::parse(&key.channel).is_some_and(|key| key.channel == channel)
            }
        };
        let any_schema = rule.channel.is_none() && rule.schema.is_none();
        let schema =
            if any_schema { key.schema.is_empty() } else { rule.takes_schema(&key.schema) };
        channel && schema && rule.takes_device(&key.device)
    }

    /// The schema in the key of an absence: none where the rule has none.
    pub(super) fn absence_schema(&self, schema: &Arc<str>) -> Arc<str> {
        if self.rule.schema.is_some() { Arc::clone(schema) } else { Arc::from("") }
    }

    fn text(&self, change: Change, key: &Key, said: &Said) -> String {
        let text = |quantity: &Option<Quantity>| quantity.as_ref().map(Quantity::text);
        let value = text(&said.value).unwrap_or_default();
        let threshold = text(&said.threshold).unwrap_or_default();
        let unit = said.value.as_ref().map_or("", |value| value.unit.as_str());
        let template = if change == Change::Raised { &self.raised } else { &self.cleared };
        let (severity, state) = (self.rule.severity.name(), change.name());
        template.fill(&[
            &key.device,
            &key.schema,
            &key.channel,
            &value,
            unit,
            &threshold,
            &key.rule,
            severity,
            state,
        ])
    }

    /// The value and what it was compared with.
    fn measured(&self, channel: &ChannelInfo, value: &Value, rate: Option<f64>) -> Said {
        let measured = Quantity::measured(value, channel);
        let unit = channel.unit.as_str();
        let (value, threshold) = match &self.rule.condition {
            Condition::Threshold { raise, .. } => (measured, Quantity::number(*raise, unit)),
            Condition::Rate { raise, per, .. } => {
                let unit = format!("{unit}/{}", time_unit(*per));
                let rate = rate.unwrap_or(f64::NAN);
                (Quantity::number(rate, &unit), Quantity::number(*raise, &unit))
            }
            Condition::Equals(expected) => (measured, Quantity::expected(expected, unit)),
            Condition::Absent { .. } => return Said::default(),
        };
        Said { text: String::new(), value: Some(value), threshold: Some(threshold) }
    }

    /// A silence in microseconds, said in seconds.
    fn silence(&self, silent: i64) -> Said {
        let seconds = |us: i64| {
            Quantity::number(
                std::time::Duration::from_micros(us.max(0).unsigned_abs()).as_secs_f64(),
                "s",
            )
        };
        let (value, threshold) = (seconds(silent), seconds(self.rule.absence_us()));
        Said { text: String::new(), value: Some(value), threshold: Some(threshold) }
    }
}

impl Rule {
    /// Of an absence rule: after how many microseconds.
    pub(super) fn absence_us(&self) -> i64 {
        match self.condition {
            Condition::Absent { after } => micros(after),
            _ => i64::MAX,
        }
    }
}
