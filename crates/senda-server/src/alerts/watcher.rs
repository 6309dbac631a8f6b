//! All rules on all devices: rows and time go in, transitions come out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use senda_store::{Sample, TableInfo, Value};

use super::rule::{Condition, Rule, RuleError, Selector, check_rules};
use super::state::{CLOCK_STEP_US, Gauge, Phase, micros};
use super::transition::{Change, Complaint, Key, Seen, Standing, Transition};
use super::watched::{Compiled, Due, Kind, Looked, Said, Watched, What};

/// What a watcher keeps at most unless told otherwise: one for each rule on each value of each device, and one for each
/// schema of each device. A few hundred bytes each. Whoever came first is watched; [`Complaint::Crowded`] says that there
/// are more.
pub const STATES_MAX: usize = 100_000;

/// All rules on all devices.
///
/// Call [`Watcher::restore`] once with what the store knows. Then [`Watcher::observe`] for each stored row, in the order of
/// storing, and [`Watcher::tick`] when [`Watcher::next_due`] has come. Each hands out transitions, oldest first.
#[derive(Debug)]
pub struct Watcher {
    rules: Vec<Compiled>,
    devices: HashMap<Arc<str>, Device>,
    dues: BinaryHeap<Reverse<Due>>,
    room: Room,
    complaints: Vec<Complaint>,
    /// Since when devices could be heard without a break, µs.
    resumed: i64,
    ticked: i64,
}

/// What is watched of one device.
#[derive(Debug, Default)]
struct Device {
    watched: Vec<Watched>,
    plans: Vec<Plan>,
    /// Schemas and the newest time that was stored before the collector started.
    stored: Vec<(Arc<str>, i64)>,
}

/// Which values of a schema's rows are watched.
#[derive(Debug)]
struct Plan {
    table: Arc<TableInfo>,
    /// Index into `watched`, channel, element of a vector.
    values: Vec<(usize, usize, Option<usize>)>,
    absences: Vec<usize>,
}

/// How much may still be watched.
#[derive(Debug)]
struct Room {
    used: usize,
    limit: usize,
    complained: bool,
}

impl Room {
    fn take(&mut self) -> bool {
        let free = self.used < self.limit;
        self.used += usize::from(free);
        free
    }
}

impl Watcher {
    /// Takes the rules. `now`: µs since 1970.
    ///
    /// # Errors
    /// [`RuleError`]: a rule that makes no sense, or two of one name.
    pub fn new(rules: Vec<Rule>, now: i64) -> Result<Self, RuleError> {
        Self::with_limit(rules, now, STATES_MAX)
    }

    /// The same with another limit than [`STATES_MAX`].
    ///
    /// # Errors
    /// [`RuleError`], as [`Watcher::new`].
    pub fn with_limit(rules: Vec<Rule>, now: i64, limit: usize) -> Result<Self, RuleError> {
        check_rules(&rules)?;
        let mut watcher = Self {
            rules: rules.into_iter().map(Compiled::new).collect(),
            devices: HashMap::new(),
            dues: BinaryHeap::new(),
            room: Room { used: 0, limit, complained: false },
            complaints: Vec::new(),
            resumed: now,
            ticked: now,
        };
        for index in 0..watcher.rules.len() {
            let expected = watcher.rules[index].rule.expects();
            if let Some((device, schema)) = expected.map(|(d, s)| (Arc::from(d), Arc::from(s))) {
                watcher.watch_rows(&device, index, schema, now);
            }
        }
        Ok(watcher)
    }

    /// The rule of this name.
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().map(|compiled| &compiled.rule).find(|rule| rule.name == name)
    }

    /// Takes over from before the collector started: what stood is not raised again, rows older than the stored ones are
    /// late, and devices that were heard then are expected to be heard again. Gives out what can't stand any longer, since
    /// its rule is gone or is about other devices now.
    pub fn restore(
        &mut self,
        standing: impl IntoIterator<Item = Standing>,
        seen: impl IntoIterator<Item = Seen>,
        now: i64,
    ) -> Vec<Transition> {
        for Seen { device, schema, time, received } in seen {
            let matching: Vec<usize> = self.matching(&device, &schema);
            if matching.is_empty() {
                continue;
            }
            if self.room.take() {
                let entry = self.devices.entry(Arc::clone(&device)).or_default();
                entry.stored.push((Arc::clone(&schema), time.min(received)));
            } else {
                self.complain_crowded(&device);
            }
            for index in matching {
                if let Condition::Absent { .. } = self.rules[index].rule.condition {
                    let schema = self.rules[index].absence_schema(&schema);
                    self.watch_rows(&device, index, schema, now);
                }
            }
        }
        standing.into_iter().filter_map(|standing| self.restore_one(standing, now)).collect()
    }

    /// Takes one alert over; gives it back as cleared when it can't stand.
    fn restore_one(&mut self, standing: Standing, now: i64) -> Option<Transition> {
        let Standing { key, severity, time, text, acknowledged, closed } = standing;
        let rule = self.rules.iter().position(|rule| rule.name == key.rule);
        let Some(rule) = rule.filter(|rule| self.rules[*rule].is_about(&key)) else {
            let text = "cleared: its rule is gone".to_owned();
            let (value, threshold) = (None, None);
            let gone = Transition {
                key,
                change: Change::Cleared,
                severity,
                time: now,
                text,
                value,
                threshold,
            };
            return (!closed).then_some(gone);
        };
        let compiled = &self.rules[rule].rule;
        let device = self.devices.entry(Arc::clone(&key.device)).or_default();
        let kind = match &compiled.condition {
            Condition::Absent { after } => Kind::Rows(time.saturating_sub(micros(*after))),
            _ => Kind::Value(Gauge::new(time.max(device.stored_until(&key.schema)))),
        };
        let index = device.find(rule, &key.schema, &key.channel).unwrap_or_else(|| {
            self.room.used += 1; // Whatever the limit: it is in the store.
            device.watched.push(Watched::new(rule, key.schema, key.channel, Kind::Rows(0)));
            device.watched.len() - 1
        });
        let watched = &mut device.watched[index];
        watched.kind = kind;
        watched.phase = if closed { Phase::Closed } else { Phase::Raised };
        watched.since = time;
        watched.acknowledged = acknowledged;
        watched.said = Some(Box::new(Said { text, ..Said::default() }));
        watched.queue_reminder(compiled, &key.device, index, now, &mut self.dues);
        None
    }

    /// Looks at a row that is stored.
    pub fn observe(&mut self, sample: &Sample) -> Vec<Transition> {
        let mut out = Vec::new();
        let Some(plan) = self.plan(sample) else {
            return out;
        };
        let Self { rules, devices, dues, complaints, .. } = self;
        let Some(device) = devices.get_mut(&sample.device) else {
            return out;
        };
        let Device { watched, plans, .. } = device;
        let plan = &plans[plan];
        for index in &plan.absences {
            let watched = &mut watched[*index];
            out.extend(watched.hear(&rules[watched.rule], sample, *index, dues));
        }
        for (index, channel, element) in &plan.values {
            let value = match (sample.values.get(*channel), element) {
                (Some(Some(Value::Vector(elements))), Some(element)) => elements.get(*element),
                (Some(Some(value)), None) => Some(value),
                _ => None,
            };
            let (Some(value), Some(channel)) = (value, sample.table.channels.get(*channel)) else {
                continue;
            };
            let watched = &mut watched[*index];
            let compiled = &mut rules[watched.rule];
            match watched.look(compiled, sample, channel, value, *index, dues) {
                Looked::Nothing => {}
                Looked::Changed(transition) => out.push(*transition),
                Looked::Unfit if compiled.complained => {}
                Looked::Unfit => {
                    compiled.complained = true;
                    let what = kind_of(value);
                    let key = watched.key(compiled, &sample.device);
                    complaints.push(Complaint::Unfit { key, what });
                }
            }
        }
        out
    }

    /// Looks at what time alone brings about: absences, reminders. `now`: µs since 1970.
    ///
    /// Call it no later than a minute after [`Watcher::next_due`]: later means that the collector slept or that its clock
    /// was set, and nobody counts as absent for a time in which nobody could be heard.
    pub fn tick(&mut self, now: i64) -> Vec<Transition> {
        let promised = self.next_due().unwrap_or(now).max(self.ticked);
        let slept = now > promised.saturating_add(CLOCK_STEP_US);
        if slept || now < self.ticked.saturating_sub(CLOCK_STEP_US) {
            self.resumed = now;
        }
        self.ticked = now;
        let mut out = Vec::new();
        while self.next_due().is_some_and(|due| due <= now) {
            let Some(Reverse(due)) = self.dues.pop() else {
                break;
            };
            let Some(device) = self.devices.get_mut(&due.device) else {
                continue;
            };
            let watched = &mut device.watched[due.watched];
            let compiled = &self.rules[watched.rule];
            let (resumed, dues) = (self.resumed, &mut self.dues);
            out.extend(match due.what {
                What::Absence => watched.look_for_absence(compiled, &due, resumed, now, dues),
                What::Reminder => watched.look_for_reminder(compiled, &due, now, dues),
            });
        }
        out
    }

    /// When to call [`Watcher::tick`] next, µs since 1970.
    pub fn next_due(&self) -> Option<i64> {
        self.dues.peek().map(|due| due.0.at)
    }

    /// A person has seen it: no more reminders. It stays raised. False when it is not raised.
    pub fn acknowledge(&mut self, key: &Key) -> bool {
        let Some((_, watched)) = self.find(key).filter(|(_, w)| w.phase == Phase::Raised) else {
            return false;
        };
        watched.acknowledged = true;
        true
    }

    /// Closes an alert by hand. It is raised again only after its condition was over. `None` when it is not raised.
    pub fn close(&mut self, key: &Key, now: i64) -> Option<Transition> {
        let (compiled, watched) = self.find(key)?;
        (watched.phase == Phase::Raised).then(|| {
            watched.phase = Phase::Closed;
            let said = watched.said.as_deref().cloned().unwrap_or_default();
            watched.transition(compiled, &key.device, Change::Closed, now, said)
        })
    }

    /// What rules can't do, since the last call.
    pub fn complaints(&mut self) -> Vec<Complaint> {
        std::mem::take(&mut self.complaints)
    }

    fn find(&mut self, key: &Key) -> Option<(&Compiled, &mut Watched)> {
        let rule = self.rules.iter().position(|rule| rule.name == key.rule)?;
        let device = self.devices.get_mut(&key.device)?;
        let index = device.find(rule, &key.schema, &key.channel)?;
        Some((&self.rules[rule], &mut device.watched[index]))
    }

    fn matching(&self, device: &str, schema: &str) -> Vec<usize> {
        let rules = self.rules.iter().enumerate();
        rules
            .filter(|(_, c)| c.rule.takes_device(device) && c.rule.takes_schema(schema))
            .map(|(index, _)| index)
            .collect()
    }

    /// Index of the plan for the sample's schema, made if need be; `None` when nothing of it is watched.
    fn plan(&mut self, sample: &Sample) -> Option<usize> {
        let (name, table) = (&sample.device, &sample.table);
        let known = self
            .devices
            .get(name)
            .and_then(|device| device.plans.iter().position(|plan| plan.table.name == table.name));
        if let (Some(known), Some(device)) = (known, self.devices.get_mut(name)) {
            let plan = &mut device.plans[known];
            if Arc::ptr_eq(&plan.table, table) {
                return Some(known);
            }
            if plan.table == *table {
                plan.table = Arc::clone(table); // Another copy: the next row may have the same.
                return Some(known);
            }
        }
        let matching = self.matching(name, &table.name);
        if matching.is_empty() {
            return None;
        }
        if known.is_none() && !self.room.take() {
            self.complain_crowded(name);
            return None;
        }
        let plan = self.make_plan(sample, &matching);
        let plans = &mut self.devices.entry(Arc::clone(name)).or_default().plans;
        Some(if let Some(known) = known {
            plans[known] = plan;
            known
        } else {
            plans.push(plan);
            plans.len() - 1
        })
    }

    fn make_plan(&mut self, sample: &Sample, matching: &[usize]) -> Plan {
        let table = &sample.table;
        let schema: Arc<str> = table.name.as_str().into();
        let mut plan = Plan { table: Arc::clone(table), values: Vec::new(), absences: Vec::new() };
        for rule in matching {
            let Some(channel) = self.rules[*rule].rule.channel.clone() else {
                let schema = self.rules[*rule].absence_schema(&schema);
                plan.absences.extend(self.watch_rows(
                    &sample.device,
                    *rule,
                    schema,
                    sample.received,
                ));
                continue;
            };
            let Some(selector) = Selector::parse(&channel) else {
                continue; // The rules were checked.
            };
            for (index, element) in select(table, selector) {
                let label = element.map_or_else(
                    || Arc::from(selector.channel),
                    |element| Arc::from(format!("{}[{element}]", selector.channel)),
                );
                let watched = self.watch_value(&sample.device, *rule, &schema, label);
                plan.values.extend(watched.map(|watched| (watched, index, element)));
            }
        }
        plan
    }

    /// Index of the state of a rule on a value, made if there is room.
    fn watch_value(
        &mut self,
        name: &Arc<str>,
        rule: usize,
        schema: &Arc<str>,
        channel: Arc<str>,
    ) -> Option<usize> {
        let device = self.devices.entry(Arc::clone(name)).or_default();
        if let Some(index) = device.find(rule, schema, &channel) {
            return Some(index);
        }
        if !self.room.take() {
            self.complain_crowded(name);
            return None;
        }
        let kind = Kind::Value(Gauge::new(device.stored_until(schema)));
        device.watched.push(Watched::new(rule, Arc::clone(schema), channel, kind));
        Some(device.watched.len() - 1)
    }

    /// The same for rows, of which the last is taken to have come at `heard`.
    fn watch_rows(
        &mut self,
        name: &Arc<str>,
        rule: usize,
        schema: Arc<str>,
        heard: i64,
    ) -> Option<usize> {
        let device = self.devices.entry(Arc::clone(name)).or_default();
        if let Some(index) = device.find(rule, &schema, "") {
            return Some(index);
        }
        if !self.room.take() {
            self.complain_crowded(name);
            return None;
        }
        let index = device.watched.len();
        device.watched.push(Watched::new(rule, schema, Arc::from(""), Kind::Rows(heard)));
        let after = self.rules[rule].rule.absence_us();
        device.watched[index].queue_absence(
            heard.saturating_add(after),
            name,
            index,
            &mut self.dues,
        );
        Some(index)
    }

    fn complain_crowded(&mut self, device: &Arc<str>) {
        if !std::mem::replace(&mut self.room.complained, true) {
            let (device, limit) = (Arc::clone(device), self.room.limit);
            self.complaints.push(Complaint::Crowded { device, limit });
        }
    }
}

impl Device {
    fn find(&self, rule: usize, schema: &str, channel: &str) -> Option<usize> {
        self.watched
            .iter()
            .position(|w| w.rule == rule && *w.schema == *schema && *w.channel == *channel)
    }

    fn stored_until(&self, schema: &str) -> i64 {
        let stored = self.stored.iter().find(|(stored, _)| **stored == *schema);
        stored.map_or(i64::MIN, |(_, time)| *time)
    }
}

/// The channels that a rule is about, and which of their elements: all of a vector unless the rule says which.
fn select(table: &TableInfo, selector: Selector<'_>) -> Vec<(usize, Option<usize>)> {
    let Some(index) = table.channels.iter().position(|channel| channel.name == selector.channel)
    else {
        return Vec::new();
    };
    let elements = usize::from(table.channels[index].elements);
    match selector.element.map(usize::from) {
        None if elements == 1 => vec![(index, None)],
        None => (0..elements).map(|element| (index, Some(element))).collect(),
        Some(element) if elements > 1 && element < elements => vec![(index, Some(element))],
        Some(_) => Vec::new(),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "true or false",
        Value::Unsigned(_) | Value::Signed(_) | Value::F32(_) | Value::F64(_) => "numbers",
        Value::Text(_) => "texts",
        Value::Blob(_) => "bytes, which no condition is about",
        Value::Enum(..) => "labels, which are compared as text by `equals`",
        Value::Time(_) => "times, which no condition is about",
        Value::Vector(_) => "vectors",
    }
}
