//! What the command line says of channels and times, for CSV and NDJSON alike.

use jiff::tz::TimeZone;

use super::kind::Kind;
use crate::UsageError;
use crate::arguments::Wanted;

/// Where the time of a row is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum TimeChoice {
    /// In a column that is called so.
    Guess,
    /// Nowhere: rows are dated when they are read.
    None,
    /// In this column, or in two, joined by `+`.
    Named(String),
}

/// See the module.
pub(super) struct Options {
    pub(super) delimiter: Option<u8>,
    pub(super) has_header: bool,
    pub(super) time: TimeChoice,
    pub(super) time_format: Option<String>,
    pub(super) zone: TimeZone,
    pub(super) types: Vec<Wanted>,
    /// Channel and unit.
    pub(super) units: Vec<(String, String)>,
    pub(super) counters: Vec<String>,
    /// Channels to send; empty: all.
    pub(super) only: Vec<String>,
    pub(super) nothing: Vec<String>,
    pub(super) wide: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delimiter: None,
            has_header: true,
            time: TimeChoice::Guess,
            time_format: None,
            zone: TimeZone::UTC,
            types: Vec::new(),
            units: Vec::new(),
            counters: Vec::new(),
            only: Vec::new(),
            nothing: Vec::new(),
            wide: false,
        }
    }
}

impl Options {
    /// What `--type` says of a channel.
    pub(super) fn kind_of(&self, name: &str) -> Option<Kind> {
        let wanted = self.types.iter().find(|wanted| wanted.channel == name)?;
        Some(Kind::new(wanted.value_type, wanted.exponent))
    }

    /// What `--unit` says of it.
    pub(super) fn unit_of(&self, name: &str) -> Option<&str> {
        self.units.iter().find(|(channel, _)| channel == name).map(|(_, unit)| unit.as_str())
    }

    /// Whether `--counter` names it.
    pub(super) fn is_counter(&self, name: &str) -> bool {
        self.counters.iter().any(|counter| counter == name)
    }

    /// Whether it is to be sent.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// Every channel that an option names has to be one of `known`.
    pub(super) fn check_names<'n>(
        &self,
        known: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<(), UsageError> {
        let types = self.types.iter().map(|wanted| ("type", &wanted.channel));
        let units = self.units.iter().map(|(channel, _)| ("unit", channel));
        let counters = self.counters.iter().map(|channel| ("counter", channel));
        let only = self.only.iter().map(|channel| ("only", channel));
        let mut named = types.chain(units).chain(counters).chain(only);
        let stray = named.find(|(_, channel)| !known.clone().any(|name| name == *channel));
        stray.map_or(Ok(()), |(option, channel)| {
            let known: Vec<&str> = known.collect();
            Err(UsageError(format!(
                "--{option} {channel}: there is no such channel; there are {}",
                known.join(", ")
            )))
        })
    }
}
