//! What to watch for, and what makes no sense.

use std::collections::HashSet;
use std::time::Duration;

use senda_wire::Identifier;
use senda_wire::registry::{ELEMENTS_MAX, NAME_MAX, TEXT_MAX};

use super::text::Template;
use crate::settings::matches;

/// One rule. Its fields are what the config file says; [`Rule::check`] says what is wrong with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique: `[a-z][a-z0-9_-]{0,62}`.
    pub name: String,
    /// A device name, in which `*` stands for any characters.
    pub device: String,
    /// A schema's name, in which `*` stands for any characters; `None`: any schema.
    pub schema: Option<String>,
    /// A channel, or an element of a vector, such as `accel[2]`; `None` for [`Condition::Absent`] alone.
    pub channel: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// What raises and what clears.
    pub condition: Condition,
    /// For how long the condition must hold before it raises.
    pub hold: Hold,
    /// For people, with placeholders; `None`: what the condition says by itself.
    pub text: Option<String>,
    /// The same for clearing; `None`: "cleared: " before `text`.
    pub text_cleared: Option<String>,
    /// While it is raised and nobody has acknowledged it: say so again that often.
    pub remind: Option<Duration>,
    /// Names of the targets that are told.
    pub notify: Vec<String>,
}

/// How bad it is. Spec §5.19.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// Good to know.
    Information,
    /// Someone should look.
    #[default]
    Warning,
    /// Someone should look now.
    Critical,
}

impl Severity {
    /// All of them, from the least.
    pub const ALL: [Self; 3] = [Self::Information, Self::Warning, Self::Critical];

    /// As in the config file and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Information => "information",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The severity of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }

    /// As in the body of an ALERT. Spec §5.19.
    pub const fn code(self) -> u8 {
        match self {
            Self::Information => 0,
            Self::Warning => 1,
            Self::Critical => 2,
        }
    }

    /// The severity of this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.code() == code)
    }
}

/// What raises and what clears.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The value is beyond `raise`; it clears when the value is back at `clear` or better.
    Threshold {
        /// Which side of `raise` is bad.
        side: Side,
        /// Beyond this it raises; this itself is still good.
        raise: f64,
        /// At this or better it clears. Equal to `raise` there is no hysteresis.
        clear: f64,
    },
    /// The same for how fast the value changes.
    Rate {
        /// Which side of `raise` is bad.
        side: Side,
        /// In units of the channel for each `per`.
        raise: f64,
        /// At this or better it clears.
        clear: f64,
        /// The time that `raise` and `clear` are about, such as a minute.
        per: Duration,
        /// The change is measured over this time, or a little more where no sample is that old exactly.
        over: Duration,
    },
    /// No row was received for this long.
    Absent {
        /// From the last reception.
        after: Duration,
    },
    /// The value is this one.
    Equals(Expected),
}

/// Which side of a threshold is bad.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// Values above it.
    Above,
    /// Values below it.
    Below,
}

impl Side {
    /// The key in the config file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
        }
    }

    /// True when `value` is on this side of `limit`; never for NaN.
    pub(super) fn is_beyond(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Above => value > limit,
            Self::Below => value < limit,
        }
    }
}

/// What a value is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// With numbers; those of channels with an exponent are scaled first.
    Number(f64),
    /// The same, exact beyond 2^53.
    Integer(i64),
    /// With bool.
    Bool(bool),
    /// With text, and with the labels of an enum8.
    Text(String),
}

/// For how long a condition must hold before it raises.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Hold {
    /// One sample is enough.
    #[default]
    No,
    /// Each sample of this time, by the samples' own times, and at least two.
    Time(Duration),
    /// So many consecutive samples.
    Samples(u32),
}

/// A rule that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("alert {rule:?}: {problem}")]
pub struct RuleError {
    /// Name of the rule.
    pub rule: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a rule. Each text begins with the key and ends with what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// Not the grammar of names.
    #[error(
        "name: not a name; write a lower-case letter, then at most 62 of a-z, 0-9, _ and -, such as \"too-hot\""
    )]
    Name,
    /// Two rules of one name.
    #[error("name: another alert has it already; alerts are known by their names, choose another")]
    NameTaken,
    /// No device name can match.
    #[error(
        "device: no device name is like {0:?}; write a name or a pattern of A-Z, a-z, 0-9, . _ : - and *, such as \"gh-*\""
    )]
    Device(String),
    /// No schema name can match.
    #[error(
        "schema: no schema name is like {0:?}; write a name or a pattern of a-z, 0-9, _ and *, or leave it out for any schema"
    )]
    Schema(String),
    /// Neither a channel nor an element.
    #[error(
        "channel: {0:?} is no channel; write its name, or name and element of a vector (the first is 0), such as \"accel[2]\""
    )]
    Channel(String),
    /// A condition on a value without a channel.
    #[error("channel: missing; say which channel to watch (only `absent` does without)")]
    NoChannel,
    /// A channel where rows are watched.
    #[error("channel: `absent` watches for rows, whatever is in them; leave `channel` out")]
    ChannelOfAbsence,
    /// Infinite or NaN.
    #[error("{0}: not a finite number; give one")]
    NotFinite(&'static str),
    /// It would clear at once.
    #[error(
        "clear: {clear} is on the bad side of {} = {raise}, so it would clear while it holds; give {} {raise}",
        side.name(),
        if *side == Side::Above { "at most" } else { "at least" }
    )]
    ClearOnTheWrongSide {
        /// Which side is bad.
        side: Side,
        /// The threshold.
        raise: f64,
        /// Where it would clear.
        clear: f64,
    },
    /// Zero.
    #[error("{0}: 0; give a time such as \"5min\"")]
    NoTime(&'static str),
    /// More than a century.
    #[error("{0}: more than a century; give a time such as \"5min\"")]
    TooMuchTime(&'static str),
    /// Zero samples.
    #[error("for: 0 samples; give a number from 1 or a time such as \"5min\"")]
    NoSamples,
    /// Holding, for absence.
    #[error("for: `absent` is a time already; leave `for` out")]
    HoldOfAbsence,
    /// More than a text may have.
    #[error("equals: {} bytes; a text value has at most {TEXT_MAX}", .0)]
    LongText(usize),
    /// A template.
    #[error("{key}: {problem}")]
    Text {
        /// `text` or `text_cleared`.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// Checks each rule, and that no two have one name.
///
/// # Errors
/// [`RuleError`]: the first one that makes no sense.
pub fn check_rules(rules: &[Rule]) -> Result<(), RuleError> {
    let mut names = HashSet::new();
    for rule in rules {
        rule.check()?;
        if !names.insert(&rule.name) {
            return Err(rule.error(Problem::NameTaken));
        }
    }
    Ok(())
}

impl Rule {
    /// Checks the rule by itself.
    ///
    /// # Errors
    /// [`RuleError`]: the first thing that makes no sense.
    pub fn check(&self) -> Result<(), RuleError> {
        self.find_problem().map_err(|problem| self.error(problem))
    }

    fn error(&self, problem: Problem) -> RuleError {
        RuleError { rule: self.name.clone(), problem }
    }

    fn find_problem(&self) -> Result<(), Problem> {
        if !is_rule_name(&self.name) {
            return Err(Problem::Name);
        }
        if !is_pattern(&self.device, |byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
        {
            return Err(Problem::Device(self.device.clone()));
        }
        if let Some(schema) = &self.schema
            && !is_pattern(schema, |byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
            })
        {
            return Err(Problem::Schema(schema.clone()));
        }
        self.check_channel()?;
        self.check_condition()?;
        match self.hold {
            Hold::No => {}
            _ if matches!(self.condition, Condition::Absent { .. }) => {
                return Err(Problem::HoldOfAbsence);
            }
            Hold::Time(time) => check_time("for", time)?,
            Hold::Samples(0) => return Err(Problem::NoSamples),
            Hold::Samples(_) => {}
        }
        if let Some(remind) = self.remind {
            check_time("remind", remind)?;
        }
        for (key, text) in [("text", &self.text), ("text_cleared", &self.text_cleared)] {
            if let Some(text) = text {
                Template::parse(text).map_err(|problem| Problem::Text { key, problem })?;
            }
        }
        Ok(())
    }

    fn check_channel(&self) -> Result<(), Problem> {
        let absence = matches!(self.condition, Condition::Absent { .. });
        match &self.channel {
            None if absence => Ok(()),
            None => Err(Problem::NoChannel),
            Some(_) if absence => Err(Problem::ChannelOfAbsence),
            Some(channel) => {
                Selector::parse(channel).map(drop).ok_or_else(|| Problem::Channel(channel.clone()))
            }
        }
    }

    fn check_condition(&self) -> Result<(), Problem> {
        match &self.condition {
            Condition::Threshold { side, raise, clear } => check_band(*side, *raise, *clear),
            Condition::Rate { side, raise, clear, per, over } => {
                check_band(*side, *raise, *clear)?;
                check_time("rate", *per)?;
                check_time("over", *over)
            }
            Condition::Absent { after } => check_time("absent", *after),
            Condition::Equals(Expected::Number(number)) if !number.is_finite() => {
                Err(Problem::NotFinite("equals"))
            }
            Condition::Equals(Expected::Text(text)) if text.len() > TEXT_MAX => {
                Err(Problem::LongText(text.len()))
            }
            Condition::Equals(_) => Ok(()),
        }
    }

    /// True when the rule is about this device.
    pub(super) fn takes_device(&self, device: &str) -> bool {
        matches(&self.device, device)
    }

    /// True when the rule is about this schema.
    pub(super) fn takes_schema(&self, schema: &str) -> bool {
        self.schema.as_deref().is_none_or(|pattern| matches(pattern, schema))
    }

    /// The one device and schema that an absence rule without patterns expects, seen or not.
    pub(super) fn expects(&self) -> Option<(&str, &str)> {
        let schema = self.schema.as_deref().unwrap_or("");
        let absence = matches!(self.condition, Condition::Absent { .. });
        (absence && !self.device.contains('*') && !schema.contains('*'))
            .then_some((self.device.as_str(), schema))
    }
}

/// A channel, or an element of a vector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Selector<'a> {
    pub(super) channel: &'a str,
    pub(super) element: Option<u8>,
}

impl<'a> Selector<'a> {
    /// `temperature` or `accel[2]`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (channel, element) = match text.strip_suffix(']') {
            None => (text, None),
            Some(rest) => {
                let (channel, element) = rest.split_once('[')?;
                let digits = element.bytes().all(|byte| byte.is_ascii_digit());
                let element: u8 = element.parse().ok().filter(|_| digits)?;
                (
                    channel,
                    Some(element).filter(|element| usize::from(*element) < ELEMENTS_MAX)?.into(),
                )
            }
        };
        Identifier::new(channel)?;
        Some(Self { channel, element })
    }
}

/// The longest time of a rule: a century, so that no sum overflows.
const TIME_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

fn check_time(key: &'static str, time: Duration) -> Result<(), Problem> {
    if time < Duration::from_micros(1) {
        return Err(Problem::NoTime(key));
    }
    if time > TIME_MAX {
        return Err(Problem::TooMuchTime(key));
    }
    Ok(())
}

fn check_band(side: Side, raise: f64, clear: f64) -> Result<(), Problem> {
    if !raise.is_finite() {
        return Err(Problem::NotFinite(side.name()));
    }
    if !clear.is_finite() {
        return Err(Problem::NotFinite("clear"));
    }
    if side.is_beyond(clear, raise) {
        return Err(Problem::ClearOnTheWrongSide { side, raise, clear });
    }
    Ok(())
}

/// Schema names (spec §4.1) and `-`.
fn is_rule_name(name: &str) -> bool {
    name.len() <= NAME_MAX
        && name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
}

fn is_pattern(pattern: &str, in_name: impl Fn(u8) -> bool) -> bool {
    let letters = pattern.bytes().filter(|byte| *byte != b'*').count();
    !pattern.is_empty()
        && letters <= NAME_MAX
        && pattern.bytes().all(|byte| byte == b'*' || in_name(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn above(raise: f64, clear: f64) -> Rule {
        Rule {
            name: "too-hot".into(),
            device: "gh-*".into(),
            schema: None,
            channel: Some("temperature".into()),
            severity: Severity::Warning,
            condition: Condition::Threshold { side: Side::Above, raise, clear },
            hold: Hold::No,
            text: None,
            text_cleared: None,
            remind: None,
            notify: Vec::new(),
        }
    }

    fn problem(change: impl FnOnce(&mut Rule)) -> Problem {
        let mut rule = above(30.0, 28.0);
        change(&mut rule);
        rule.check().unwrap_err().problem
    }

    #[test]
    fn each_mistake_is_named_with_its_key() {
        above(30.0, 28.0).check().unwrap();
        let absent = |rule: &mut Rule| {
            rule.condition = Condition::Absent { after: Duration::from_secs(300) };
        };
        assert_eq!(problem(|rule| rule.name = "Too hot".into()), Problem::Name);
        assert_eq!(problem(|rule| rule.name = "a".repeat(64)), Problem::Name);
        for device in ["", "gh 7", "gh-ä", &"x".repeat(64)] {
            let found = problem(|rule| rule.device = device.into());
            assert_eq!(found, Problem::Device(device.into()));
        }
        let found = problem(|rule| rule.schema = Some("Green".into()));
        assert_eq!(found, Problem::Schema("Green".into()));
        for channel in
            ["", "a b", "accel[", "accel[]", "accel[64]", "accel[+1]", "accel[1]x", "[1]"]
        {
            let found = problem(|rule| rule.channel = Some(channel.into()));
            assert_eq!(found, Problem::Channel(channel.into()));
        }
        assert_eq!(problem(|rule| rule.channel = None), Problem::NoChannel);
        assert_eq!(problem(absent), Problem::ChannelOfAbsence);
        assert_eq!(problem(|rule| rule.hold = Hold::Time(Duration::ZERO)), Problem::NoTime("for"));
        assert_eq!(problem(|rule| rule.hold = Hold::Samples(0)), Problem::NoSamples);
        assert_eq!(
            problem(|rule| rule.remind = Some(Duration::MAX)),
            Problem::TooMuchTime("remind")
        );
        let held_absence = problem(|rule| {
            absent(rule);
            rule.channel = None;
            rule.hold = Hold::Samples(2);
        });
        assert_eq!(held_absence, Problem::HoldOfAbsence);
        let long = Condition::Equals(Expected::Text("x".repeat(256)));
        assert_eq!(problem(|rule| rule.condition = long), Problem::LongText(256));
        let nan = Condition::Equals(Expected::Number(f64::NAN));
        assert_eq!(problem(|rule| rule.condition = nan), Problem::NotFinite("equals"));
    }

    #[test]
    fn clear_belongs_on_the_good_side() {
        let message = |rule: Rule| rule.check().unwrap_err().to_string();
        assert_eq!(
            message(above(30.0, 35.0)),
            "alert \"too-hot\": clear: 35 is on the bad side of above = 30, so it would clear while it holds; give at most 30"
        );
        let mut below = above(0.0, 0.0);
        below.condition = Condition::Threshold { side: Side::Below, raise: 5.0, clear: 4.0 };
        assert!(message(below).ends_with("give at least 5"));
        above(30.0, 30.0).check().unwrap();
        assert!(message(above(f64::INFINITY, 0.0)).contains("above: not a finite number"));
        assert!(message(above(0.0, f64::NAN)).contains("clear: not a finite number"));
    }

    #[test]
    fn names_are_unique() {
        let rules = [above(1.0, 1.0), above(2.0, 2.0)];
        assert_eq!(check_rules(&rules).unwrap_err().problem, Problem::NameTaken);
        check_rules(&rules[..1]).unwrap();
    }

    #[test]
    fn an_unknown_placeholder_is_told_the_known_ones() {
        let message = problem(|rule| rule.text = Some("{devise} is hot".into())).to_string();
        assert!(message.starts_with("text: "), "{message}");
        assert!(message.contains("{devise}") && message.contains("{device}"), "{message}");
    }
}
