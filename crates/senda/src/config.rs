//! The TOML file of `senda serve`. Unknown keys are errors, with a suggestion.

mod raw; // [[raw]]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use senda_server::Desired;
use senda_wire::{List, NamedValue, Value};
use serde::Deserialize;

pub(crate) use raw::RawEntry;
use raw::{FIELD_KEYS, RAW_KEYS, REPLY_KEYS};

use crate::alert_rules::{ALERT_KEYS, AlertEntry, NOTIFY_KEYS, NotifyEntry};

/// What the file may say. Flags and `SENDA_*` variables win over it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Address for TCP devices, or "off".
    pub(crate) tcp: Option<String>,
    /// Address for UDP devices, or "off".
    pub(crate) udp: Option<String>,
    /// Address for HTTP, or "off".
    pub(crate) http: Option<String>,
    /// Names that the HTTP API is reached by, beside addresses and localhost.
    #[serde(default)]
    pub(crate) http_hosts: Vec<String>,
    /// Directory of the store.
    pub(crate) data: Option<PathBuf>,
    /// Listen beyond loopback though sessions are not authenticated.
    pub(crate) open_to_network: Option<bool>,
    /// How long a commit gathers, such as "1s".
    pub(crate) commit_interval: Option<String>,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) retention: Retention,
    /// Desired configurations of devices; the first whose pattern matches counts.
    #[serde(default)]
    pub(crate) desired: Vec<DesiredEntry>,
    /// Listeners for devices that don't speak Senda/1.
    #[serde(default)]
    pub(crate) raw: Vec<RawEntry>,
    /// Rules over what is stored.
    #[serde(default)]
    pub(crate) alert: Vec<AlertEntry>,
    /// Whom alerts are told, by name.
    #[serde(default)]
    pub(crate) notify: BTreeMap<String, NotifyEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// TCP connections at once.
    pub(crate) connections: Option<usize>,
    /// Sessions in all.
    pub(crate) sessions: Option<usize>,
    /// Rows that a stream may have on its way.
    pub(crate) window_rows: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retention {
    /// Readings older than this go, such as "30d".
    pub(crate) age: Option<String>,
    /// Bytes that the database may have; above it the oldest readings go.
    pub(crate) bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DesiredEntry {
    /// A device name, in which `*` stands for any characters.
    device: String,
    /// Of this configuration, from 1; derived from the settings unless it is given.
    revision: Option<u32>,
    /// From one sample to the next, such as "5s".
    interval: Option<String>,
    /// Rows to gather before sending.
    batch_rows: Option<u16>,
    /// Channels to sample or not.
    #[serde(default)]
    enable: BTreeMap<String, bool>,
}

/// Tables and their keys, for suggestions. A test compares them with the structs.
const KEYS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "tcp",
            "udp",
            "http",
            "http_hosts",
            "data",
            "open_to_network",
            "commit_interval",
            "limits",
            "retention",
            "desired",
            "raw",
            "alert",
            "notify",
        ],
    ),
    ("limits", &["connections", "sessions", "window_rows"]),
    ("retention", &["age", "bytes"]),
    ("desired", &["device", "revision", "interval", "batch_rows", "enable"]),
    ("raw", RAW_KEYS),
    ("raw.fields", FIELD_KEYS),
    ("raw.reply", REPLY_KEYS),
    ("alert", ALERT_KEYS),
    ("notify", NOTIFY_KEYS),
];

/// Reads and checks the file.
pub(crate) fn read(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    parse(&text).with_context(|| format!("config file {}", path.display()))
}

fn parse(text: &str) -> anyhow::Result<File> {
    toml::from_str(text).map_err(|error| match suggestion(error.message()) {
        Some(hint) => anyhow::anyhow!("{error}{hint}"),
        None => error.into(),
    })
}

/// "did you mean", for an unknown key.
fn suggestion(message: &str) -> Option<String> {
    let unknown = message.strip_prefix("unknown field `")?.split('`').next()?;
    let known = KEYS.iter().flat_map(|(_, keys)| keys.iter());
    let (distance, nearest) =
        known.map(|key| (strsim::damerau_levenshtein(unknown, key), key)).min()?;
    (distance <= 1 + nearest.len() / 3).then(|| format!("did you mean `{nearest}`?"))
}

impl DesiredEntry {
    /// As the collector sends it. Spec §5.16.
    pub(crate) fn to_desired(&self) -> anyhow::Result<Desired> {
        let context = || format!("[[desired]] for device {:?}", self.device);
        let good = self.revision != Some(0);
        anyhow::ensure!(good, "{}: revision is 0; revisions begin at 1", context());
        let interval = self.interval.as_deref().map(senda_sim::parse_duration).transpose();
        let interval = interval.with_context(context)?;
        let interval =
            interval.map(|interval| interval_ms(interval).with_context(context)).transpose()?;
        let names: Vec<String> =
            self.enable.keys().map(|channel| format!("enable.{channel}")).collect();
        let mut settings = Vec::new();
        settings.extend(interval.map(|ms| NamedValue::new("interval_ms", Value::U32(ms))));
        settings
            .extend(self.batch_rows.map(|rows| NamedValue::new("batch_rows", Value::U16(rows))));
        let enables = names.iter().zip(self.enable.values());
        settings.extend(enables.map(|(name, on)| NamedValue::new(name, Value::Bool(*on))));
        let mut room = vec![0; 1024];
        let list = List::build(&settings, &mut room).with_context(context)?;
        let mut bytes = vec![u8::try_from(list.len())?];
        bytes.extend_from_slice(list.bytes());
        Ok(Desired {
            pattern: self.device.clone(),
            revision: self.revision.unwrap_or(0),
            list: bytes,
        })
    }
}

/// The range of the setting. Spec §5.16.
fn interval_ms(interval: Duration) -> anyhow::Result<u32> {
    let ms = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
    anyhow::ensure!(
        (1..=86_400_000).contains(&ms),
        "interval {interval:?} is not between 1ms and 1d"
    );
    Ok(ms)
}

#[cfg(test)]
mod reference; // docs/operations.md against the code

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_an_error_that_says_where_and_what_was_meant() {
        let error = parse("tcp = \"[::1]:0\"\n[limits]\nconections = 5\n").unwrap_err().to_string();
        assert!(error.contains("line 3"), "{error}");
        assert!(error.contains("did you mean `connections`?"), "{error}");
    }

    #[test]
    fn every_key_is_known_to_the_suggestions() {
        for (table, keys) in KEYS {
            for key in *keys {
                let text = match *table {
                    "" => format!("{key} = []\n"),
                    "desired" | "alert" | "raw" => format!("[[{table}]]\n{key} = []\n"),
                    "raw.fields" => format!("[[raw]]\n[[raw.fields]]\n{key} = {{}}\n"),
                    "raw.reply" => format!("[[raw]]\n[raw.reply]\n{key} = {{}}\n"),
                    "notify" => format!("[notify.x]\n{key} = []\n"),
                    table => format!("[{table}]\n{key} = []\n"),
                };
                let message =
                    parse(&text).map(|_| String::new()).unwrap_or_else(|error| error.to_string());
                assert!(!message.contains("unknown field"), "{table}.{key}: {message}");
            }
        }
        let debug = format!("{:?}", File::default());
        assert_eq!(
            debug.matches(": ").count(),
            KEYS[0].1.len() + KEYS[1].1.len() + KEYS[2].1.len(),
            "{debug}"
        );
    }

    #[test]
    fn a_desired_configuration_becomes_a_list() {
        let file = parse("[[desired]]\ndevice = \"gh-*\"\nrevision = 3\ninterval = \"5s\"\nenable.door = false\n").unwrap();
        let desired = file.desired[0].to_desired().unwrap();
        assert_eq!(desired.revision, 3);
        assert_eq!(desired.list[0], 2, "two settings");
        let error = parse("[[desired]]\ndevice = \"x\"\nrevision = 1\ninterval = \"2 weeks\"\n")
            .unwrap()
            .desired[0]
            .to_desired()
            .unwrap_err();
        assert!(format!("{error:#}").contains("2 weeks"), "{error:#}");
    }
}
