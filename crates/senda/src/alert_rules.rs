//! `[[alert]]` and `[notify.NAME]` of the config file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use senda_server::alerts::outward::{Exec, Means, Retry, Target, Webhook, check_targets};
use senda_server::alerts::{Condition, Expected, Hold, Rule, Severity, Side, check_rules};
use serde::Deserialize;

/// A rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertEntry {
    /// What it is called.
    name: String,
    /// A device name, in which `*` stands for any characters.
    device: String,
    /// A schema name or pattern; any, if left out.
    schema: Option<String>,
    /// A channel, or an element of a vector, such as `accel[2]`.
    channel: Option<String>,
    /// Raise above this.
    above: Option<f64>,
    /// Raise below this.
    below: Option<f64>,
    /// Clear here; where it raises, if left out.
    clear: Option<f64>,
    /// `above` and `below` are about the change in this time, such as "1min".
    rate: Option<String>,
    /// The change is measured over this time; that of `rate`, if left out.
    over: Option<String>,
    /// Raise when no row came for this long, such as "5min".
    absent: Option<String>,
    /// Raise when the value is this.
    equals: Option<toml::Value>,
    /// A time such as "1min", or a number of samples.
    #[serde(rename = "for")]
    hold: Option<toml::Value>,
    /// information, warning or critical.
    severity: Option<String>,
    /// For people.
    text: Option<String>,
    /// The same for clearing.
    text_cleared: Option<String>,
    /// Say it again that often while nobody acknowledges it.
    remind: Option<String>,
    /// Whom to tell.
    #[serde(default)]
    notify: Vec<String>,
}

/// Someone to tell.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotifyEntry {
    /// A URL to POST to.
    webhook: Option<String>,
    /// More headers of the POST.
    headers: Option<BTreeMap<String, String>>,
    /// A PEM file of certificates to trust.
    ca: Option<PathBuf>,
    /// How long a POST is tried again, such as "1h".
    give_up: Option<String>,
    /// A program and its arguments.
    exec: Option<Vec<String>>,
    /// How many of it may run at once.
    at_once: Option<usize>,
    /// How long a POST or a program may take.
    timeout: Option<String>,
}

/// Keys of `[[alert]]`, for suggestions.
pub(crate) const ALERT_KEYS: &[&str] = &[
    "name",
    "device",
    "schema",
    "channel",
    "above",
    "below",
    "clear",
    "rate",
    "over",
    "absent",
    "equals",
    "for",
    "severity",
    "text",
    "text_cleared",
    "remind",
    "notify",
];

/// Keys of `[notify.NAME]`, for suggestions.
pub(crate) const NOTIFY_KEYS: &[&str] =
    &["webhook", "headers", "ca", "give_up", "exec", "at_once", "timeout"];

/// The rules and whom they tell, checked.
///
/// # Errors
/// What is wrong, in which table and key, and what to do.
pub(crate) fn read(
    alerts: &[AlertEntry],
    notify: &BTreeMap<String, NotifyEntry>,
) -> anyhow::Result<(Vec<Rule>, Vec<Target>)> {
    let targets: Vec<Target> = notify
        .iter()
        .map(|(name, entry)| entry.to_target(name).with_context(|| format!("[notify.{name}]")))
        .collect::<anyhow::Result<_>>()?;
    check_targets(&targets)?;
    let mut rules = Vec::with_capacity(alerts.len());
    for (index, entry) in alerts.iter().enumerate() {
        let place = || format!("[[alert]] number {} ({:?})", index + 1, entry.name);
        let rule = entry.to_rule().with_context(place)?;
        for name in &rule.notify {
            ensure!(notify.contains_key(name), "{}: {}", place(), unknown_target(name, notify));
        }
        rules.push(rule);
        check_rules(&rules).map_err(|error| error.problem).with_context(place)?;
    }
    Ok((rules, targets))
}

fn unknown_target(name: &str, notify: &BTreeMap<String, NotifyEntry>) -> String {
    let nearest = notify.keys().min_by_key(|known| strsim::damerau_levenshtein(name, known));
    let hint =
        nearest.map_or_else(String::new, |nearest| format!(", or did you mean {nearest:?}?"));
    format!("notify: there is no target {name:?}; add a table [notify.{name}]{hint}")
}

impl AlertEntry {
    fn to_rule(&self) -> anyhow::Result<Rule> {
        let severity = match self.severity.as_deref() {
            None => Severity::default(),
            Some(name) => Severity::from_name(name).with_context(|| {
                format!(
                    "severity: {name:?} is none; write \"information\", \"warning\" or \"critical\""
                )
            })?,
        };
        Ok(Rule {
            name: self.name.clone(),
            device: self.device.clone(),
            schema: self.schema.clone(),
            channel: self.channel.clone(),
            severity,
            condition: self.condition()?,
            hold: self.hold()?,
            text: self.text.clone(),
            text_cleared: self.text_cleared.clone(),
            remind: time("remind", self.remind.as_deref())?,
            notify: self.notify.clone(),
        })
    }

    /// The one condition that the entry has.
    fn condition(&self) -> anyhow::Result<Condition> {
        let given = [
            ("above", self.above.is_some()),
            ("below", self.below.is_some()),
            ("absent", self.absent.is_some()),
            ("equals", self.equals.is_some()),
        ];
        let given: Vec<_> =
            given.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect();
        match given[..] {
            [] => bail!(
                "no condition; write one of above = NUMBER, below = NUMBER, absent = \"5min\", equals = VALUE"
            ),
            [_] => {}
            [first, second, ..] => {
                bail!("two conditions, `{first}` and `{second}`; write an [[alert]] for each")
            }
        }
        let threshold = self.above.map(|raise| (Side::Above, raise));
        let threshold = threshold.or(self.below.map(|raise| (Side::Below, raise)));
        if let Some((side, raise)) = threshold {
            return self.threshold(side, raise);
        }
        let others = [
            ("clear", self.clear.is_some()),
            ("rate", self.rate.is_some()),
            ("over", self.over.is_some()),
        ];
        if let Some((key, _)) = others.into_iter().find(|(_, given)| *given) {
            bail!("{key}: only for `above` and `below`; leave it out");
        }
        if let Some(after) = time("absent", self.absent.as_deref())? {
            return Ok(Condition::Absent { after });
        }
        let Some(value) = &self.equals else {
            bail!("no condition");
        };
        Ok(Condition::Equals(match value {
            toml::Value::Integer(number) => Expected::Integer(*number),
            toml::Value::Float(number) => Expected::Number(*number),
            toml::Value::Boolean(value) => Expected::Bool(*value),
            toml::Value::String(text) => Expected::Text(text.clone()),
            other => bail!(
                "equals: {} can't be compared; write a number, true, false, or a text or label in quotes",
                other.type_str()
            ),
        }))
    }

    fn threshold(&self, side: Side, raise: f64) -> anyhow::Result<Condition> {
        let clear = self.clear.unwrap_or(raise);
        let Some(per) = time("rate", self.rate.as_deref())? else {
            ensure!(
                self.over.is_none(),
                "over: only with `rate`; add rate = \"1min\" or leave it out"
            );
            return Ok(Condition::Threshold { side, raise, clear });
        };
        let over = time("over", self.over.as_deref())?.unwrap_or(per);
        Ok(Condition::Rate { side, raise, clear, per, over })
    }

    fn hold(&self) -> anyhow::Result<Hold> {
        Ok(match &self.hold {
            None => Hold::No,
            Some(toml::Value::Integer(samples)) => {
                Hold::Samples(u32::try_from(*samples).with_context(|| {
                    format!(
                        "for: {samples} samples; write a number from 1, or a time such as \"1min\""
                    )
                })?)
            }
            Some(toml::Value::String(text)) => {
                Hold::Time(senda_sim::parse_duration(text).context("for")?)
            }
            Some(other) => bail!(
                "for: {} is neither; write a time such as \"1min\", or a whole number of samples",
                other.type_str()
            ),
        })
    }
}

impl NotifyEntry {
    fn to_target(&self, name: &str) -> anyhow::Result<Target> {
        let timeout = time("timeout", self.timeout.as_deref())?;
        let mut retry = Retry::default();
        let means = match (&self.webhook, &self.exec) {
            (None, None) => {
                bail!(
                    "nobody to tell; write webhook = \"https://...\" or exec = [\"PROGRAM\", ...]"
                )
            }
            (Some(_), Some(_)) => {
                bail!(
                    "both `webhook` and `exec`; make two tables and name both in the rules' `notify`"
                )
            }
            (Some(url), None) => {
                ensure!(self.at_once.is_none(), "at_once: only for `exec`; leave it out");
                let mut webhook = Webhook::new(url);
                webhook.headers = self.headers.clone().unwrap_or_default().into_iter().collect();
                webhook.ca.clone_from(&self.ca);
                webhook.timeout = timeout.unwrap_or(webhook.timeout);
                retry.within = time("give_up", self.give_up.as_deref())?.unwrap_or(retry.within);
                Means::Webhook(webhook)
            }
            (None, Some(command)) => {
                let others = [
                    ("headers", self.headers.is_some()),
                    ("ca", self.ca.is_some()),
                    ("give_up", self.give_up.is_some()),
                ];
                if let Some((key, _)) = others.into_iter().find(|(_, given)| *given) {
                    bail!("{key}: only for `webhook`; leave it out");
                }
                let mut exec = Exec::new(command.clone());
                exec.timeout = timeout.unwrap_or(exec.timeout);
                exec.at_once = self.at_once.unwrap_or(exec.at_once);
                Means::Exec(exec)
            }
        };
        Ok(Target { name: name.to_owned(), means, retry })
    }
}

/// A key that is a time.
fn time(key: &'static str, text: Option<&str>) -> anyhow::Result<Option<Duration>> {
    text.map(senda_sim::parse_duration).transpose().context(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        alert: Vec<AlertEntry>,
        #[serde(default)]
        notify: BTreeMap<String, NotifyEntry>,
    }

    fn parse(text: &str) -> anyhow::Result<(Vec<Rule>, Vec<Target>)> {
        let file: File = toml::from_str(text)?;
        read(&file.alert, &file.notify)
    }

    /// What is said of an alert with these lines.
    fn mistake(lines: &str) -> String {
        let text = format!("[[alert]]\nname = \"hot\"\ndevice = \"gh-*\"\n{lines}\n");
        format!("{:#}", parse(&text).unwrap_err())
    }

    fn notify_mistake(lines: &str) -> String {
        format!("{:#}", parse(&format!("[notify.ops]\n{lines}\n")).unwrap_err())
    }

    #[test]
    fn every_condition_can_be_written() {
        let (rules, targets) = parse(include_str!("../../../docs/alerts.toml")).unwrap();
        let hot = &rules[0];
        let condition = Condition::Threshold { side: Side::Above, raise: 30.0, clear: 28.0 };
        assert_eq!((hot.name.as_str(), &hot.condition), ("too-hot", &condition));
        assert_eq!(hot.hold, Hold::Time(Duration::from_secs(60)));
        assert_eq!(
            (hot.severity, hot.remind),
            (Severity::Critical, Some(Duration::from_secs(14_400)))
        );
        assert_eq!(hot.notify, ["ops", "pager"]);
        let minute = Duration::from_secs(60);
        let rate = Condition::Rate {
            side: Side::Below,
            raise: -2.0,
            clear: -1.0,
            per: minute,
            over: 5 * minute,
        };
        assert_eq!(rules[1].condition, rate);
        assert_eq!(rules[2].condition, Condition::Absent { after: 5 * minute });
        assert_eq!(rules[3].condition, Condition::Equals(Expected::Text("open".into())));
        assert_eq!(
            (&rules[4].channel, rules[4].hold),
            (&Some("accel[2]".into()), Hold::Samples(3))
        );
        let Means::Webhook(webhook) = &targets[0].means else { panic!("{targets:?}") };
        assert_eq!(webhook.timeout, Duration::from_secs(5));
        assert_eq!(webhook.headers[0].0, "Authorization");
        let Means::Exec(exec) = &targets[1].means else { panic!("{targets:?}") };
        assert_eq!(exec.command, ["/usr/local/bin/page", "--team", "greenhouse"]);
    }

    #[test]
    fn a_mistake_in_an_alert_is_told_with_table_key_and_remedy() {
        let begins = "[[alert]] number 1 (\"hot\"): ";
        for (lines, said) in [
            ("channel = \"t\"", "no condition; write one of above"),
            (
                "channel = \"t\"\nabove = 1\nabsent = \"5min\"",
                "two conditions, `above` and `absent`; write an [[alert]]",
            ),
            (
                "channel = \"t\"\nabove = 30\nclear = 35",
                "clear: 35 is on the bad side of above = 30",
            ),
            ("channel = \"t\"\nbelow = 5\nclear = 4", "give at least 5"),
            ("channel = \"t\"\nequals = 5\nclear = 4", "clear: only for `above` and `below`"),
            ("channel = \"t\"\nequals = [5]", "equals: array can't be compared; write a number"),
            ("channel = \"t\"\nabove = nan", "above: not a finite number"),
            ("channel = \"t\"\nabove = 5\nover = \"1min\"", "over: only with `rate`; add rate"),
            ("channel = \"t\"\nabove = 5\nrate = \"5\"", "rate: `5` has no unit"),
            ("channel = \"t\"\nabove = 5\nfor = 0", "for: 0 samples"),
            ("channel = \"t\"\nabove = 5\nfor = -1", "for: -1 samples; write a number from 1"),
            ("channel = \"t\"\nabove = 5\nfor = 1.5", "for: float is neither"),
            ("channel = \"t\"\nabove = 5\nfor = \"soon\"", "for: `soon` is no duration; write"),
            ("channel = \"t\"\nabove = 5\nseverity = \"bad\"", "severity: \"bad\" is none; write"),
            (
                "channel = \"t\"\nabove = 5\nnotify = [\"ops\"]",
                "notify: there is no target \"ops\"; add a table [notify.ops]",
            ),
            (
                "channel = \"t\"\nabove = 5\ntext = \"{chanel}\"",
                "text: nothing is known as {chanel}; there are {device}",
            ),
            ("channel = \"T\"\nabove = 5", "channel: \"T\" is no channel"),
            ("above = 5", "channel: missing"),
            ("absent = \"5 weeks\"", "absent: `5 weeks` is no duration"),
            ("absent = \"0s\"", "absent: 0; give a time"),
            ("absent = \"5min\"\nchannel = \"t\"", "leave `channel` out"),
            ("absent = \"5min\"\nschema = \"Green House\"", "schema: no schema name is like"),
        ] {
            let message = mistake(lines);
            assert!(message.starts_with(begins) && message.contains(said), "{lines}\n{message}");
        }
        let twice = "[[alert]]\nname = \"a\"\ndevice = \"*\"\nabsent = \"1h\"\n".repeat(2);
        let message = format!("{:#}", parse(&twice).unwrap_err());
        assert!(message.starts_with("[[alert]] number 2 (\"a\"): name: another"), "{message}");
        assert!(mistake("absent = \"1h\"\ndevise = \"x\"").contains("unknown field `devise`"));
    }

    #[test]
    fn an_unknown_target_is_told_the_nearest() {
        let text = "[notify.ops]\nexec = [\"true\"]\n[[alert]]\nname = \"a\"\ndevice = \"*\"\nabsent = \"1h\"\nnotify = [\"opps\"]\n";
        let message = format!("{:#}", parse(text).unwrap_err());
        assert!(
            message.ends_with("add a table [notify.opps], or did you mean \"ops\"?"),
            "{message}"
        );
    }

    #[test]
    fn a_mistake_in_a_target_is_told_with_table_key_and_remedy() {
        for (lines, said) in [
            ("", "[notify.ops]: nobody to tell; write webhook"),
            (
                "webhook = \"http://h/\"\nexec = [\"a\"]",
                "both `webhook` and `exec`; make two tables",
            ),
            ("webhook = \"example.org\"", "webhook: neither http nor https; write a URL"),
            ("webhook = \"http://h/\"\nat_once = 2", "at_once: only for `exec`"),
            ("webhook = \"http://h/\"\ntimeout = \"2h\"", "timeout: 7200s is not between"),
            (
                "webhook = \"http://h/\"\nheaders = { Host = \"x\" }",
                "headers: Host is set by the collector",
            ),
            ("exec = []", "exec: no program; write it with its arguments"),
            ("exec = [\"a\"]\nheaders = {}", "headers: only for `webhook`"),
            ("exec = [\"a\"]\ntimeout = \"fast\"", "[notify.ops]: timeout: `fast` is no duration"),
            ("exec = [\"a\"]\nat_once = 0", "at_once: 0; write a number from 1 to 64"),
        ] {
            let message = notify_mistake(lines);
            assert!(message.contains(said), "{lines}\n{message}");
        }
    }
}
