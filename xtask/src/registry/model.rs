//! What spec/registry.toml holds. Its own header describes the fields.

use std::collections::BTreeSet;
use std::fmt::Display;

use anyhow::ensure;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Registry {
    pub(super) message: Vec<Message>,
    pub(super) flag: Vec<Bit>,
    pub(super) value_type: Vec<ValueType>,
    pub(super) error: Vec<Error>,
    pub(super) skip_cause: Vec<Code>,
    pub(super) option: Vec<Code>,
    pub(super) done_status: Vec<Code>,
    pub(super) durability: Vec<Code>,
    pub(super) clock: Vec<Code>,
    pub(super) suite: Vec<Code>,
    pub(super) downlink: Vec<Bit>,
    pub(super) encoding: Vec<Bit>,
    pub(super) limit: Vec<Limit>,
    pub(super) unit: Vec<Unit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    pub(super) code: u8,
    pub(super) name: String,
    pub(super) direction: Direction,
    pub(super) seq: String,
    pub(super) profile: Profile,
    pub(super) section: String,
    pub(super) summary: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Direction {
    Device,
    Collector,
    Both,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Profile {
    Simple,
    Full,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ValueType {
    pub(super) code: u8,
    pub(super) name: String,
    pub(super) size: Option<usize>,
    pub(super) python: String,
    pub(super) summary: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Error {
    pub(super) code: u16,
    pub(super) name: String,
    pub(super) section: String,
    pub(super) summary: String,
}

/// An entry of a small registry of codes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Code {
    pub(super) code: u8,
    pub(super) name: String,
    pub(super) summary: String,
}

/// An entry of a registry of bits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bit {
    pub(super) bit: u16,
    pub(super) name: String,
    pub(super) section: Option<String>,
    pub(super) summary: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    pub(super) name: String,
    pub(super) value: u64,
    pub(super) unit: String,
    pub(super) section: String,
    pub(super) summary: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unit {
    pub(super) symbol: String,
    pub(super) summary: String,
}

impl Registry {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let registry: Self = toml::from_str(text)?;
        registry.check()?;
        Ok(registry)
    }

    /// No code and no name may be given twice, and a bit is one bit.
    fn check(&self) -> anyhow::Result<()> {
        distinct("message", self.message.iter().map(|entry| (entry.code, &entry.name)))?;
        distinct("value_type", self.value_type.iter().map(|entry| (entry.code, &entry.name)))?;
        distinct("error", self.error.iter().map(|entry| (entry.code, &entry.name)))?;
        for (name, entries) in [
            ("skip_cause", &self.skip_cause),
            ("option", &self.option),
            ("done_status", &self.done_status),
            ("durability", &self.durability),
            ("clock", &self.clock),
            ("suite", &self.suite),
        ] {
            distinct(name, entries.iter().map(|entry| (entry.code, &entry.name)))?;
        }
        for (name, entries) in
            [("flag", &self.flag), ("downlink", &self.downlink), ("encoding", &self.encoding)]
        {
            distinct(name, entries.iter().map(|entry| (entry.bit, &entry.name)))?;
            for entry in entries {
                ensure!(entry.bit.is_power_of_two(), "{name} {} is not one bit", entry.name);
            }
        }
        distinct("limit", self.limit.iter().map(|entry| (&entry.name, &entry.name)))?;
        distinct("unit", self.unit.iter().map(|entry| (&entry.symbol, &entry.symbol)))
    }
}

fn distinct<'a, K: Display + Ord>(
    registry: &str,
    entries: impl Iterator<Item = (K, &'a String)>,
) -> anyhow::Result<()> {
    let mut keys = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (key, name) in entries {
        ensure!(names.insert(name), "{registry} has the name {name} twice");
        ensure!(!keys.contains(&key), "{registry} has the code {key} twice");
        keys.insert(key);
    }
    Ok(())
}
