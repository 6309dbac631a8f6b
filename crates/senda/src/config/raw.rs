//! `[[raw]]` of the config file: listeners for devices that don't speak Senda/1. `docs/raw.md` describes it.

use std::fmt;

use anyhow::{Context, bail};
use senda_server::raw::{Framing, Raw, RawField, RawReply, ReplyValue, Statuses, TimeSource};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use super::interval_ms;
use crate::decode::hex;

/// A listener.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEntry {
    /// Of the listener, and of the table of its readings.
    name: String,
    /// Address for datagrams, one record in each.
    udp: Option<String>,
    /// Address for connections.
    tcp: Option<String>,
    /// A Python struct format: one record.
    format: String,
    /// A name for each value; one that begins with _ is not stored.
    fields: Vec<FieldEntry>,
    /// Whose record it is, with {FIELD}, {address} and {port}.
    device: Option<String>,
    /// Field that says when it was taken; when it arrived, if left out.
    time: Option<String>,
    /// s, ms, us or ns.
    time_unit: Option<String>,
    /// What the field counts from.
    time_epoch: Option<String>,
    /// Field that numbers the records.
    sequence: Option<String>,
    /// TCP: struct format of the length that stands before each record.
    length: Option<String>,
    /// TCP: the length counts itself too.
    length_counts_itself: Option<bool>,
    /// TCP: what ends each record; text, or 0x and hex.
    delimiter: Option<String>,
    /// Bytes that are looked at for a record.
    max_bytes: Option<usize>,
    /// TCP connections at once.
    max_connections: Option<usize>,
    /// Devices known at once.
    max_devices: Option<usize>,
    /// What the device is told.
    reply: Option<ReplyEntry>,
}

/// A field: its name, or a table with more.
#[derive(Debug)]
struct FieldEntry(FieldTable);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldTable {
    /// Its channel; one that begins with _ is not stored.
    name: String,
    /// Its unit, SenML's name of it.
    unit: Option<String>,
    /// value = raw × 10^exponent.
    exponent: Option<i8>,
    /// It grows, and may restart from 0.
    counter: Option<bool>,
    /// Values of the format that make one vector.
    elements: Option<u8>,
    /// Names of 0, 1, 2 ...
    #[serde(default)]
    labels: Vec<String>,
    /// Bytes that are no text.
    blob: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyEntry {
    /// A Python struct format.
    format: String,
    /// Numbers, bools, text, and {NAME}.
    values: Vec<toml::Value>,
    /// What {`interval_s`} and {`interval_ms`} are where no settings say otherwise.
    interval: Option<String>,
    /// {status} of a record that is on disk.
    stored: Option<i64>,
    /// Of one that was before.
    repeated: Option<i64>,
    /// Of one that does not fit.
    refused: Option<i64>,
    /// Of one that has to be sent again later.
    busy: Option<i64>,
}

/// Keys of `[[raw]]`, for suggestions.
pub(super) const RAW_KEYS: &[&str] = &[
    "name",
    "udp",
    "tcp",
    "format",
    "fields",
    "device",
    "time",
    "time_unit",
    "time_epoch",
    "sequence",
    "length",
    "length_counts_itself",
    "delimiter",
    "max_bytes",
    "max_connections",
    "max_devices",
    "reply",
];

/// Keys of an entry of `fields`.
pub(super) const FIELD_KEYS: &[&str] =
    &["name", "unit", "exponent", "counter", "elements", "labels", "blob"];

/// Keys of `[raw.reply]`.
pub(super) const REPLY_KEYS: &[&str] =
    &["format", "values", "interval", "stored", "repeated", "refused", "busy"];

impl RawEntry {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// As the collector takes it; whether it makes sense is checked there.
    ///
    /// # Errors
    /// What is wrong, in which key, and what to do.
    pub(crate) fn to_raw(&self) -> anyhow::Result<Raw> {
        self.try_to_raw().with_context(|| format!("[[raw]] {:?}", self.name))
    }

    fn try_to_raw(&self) -> anyhow::Result<Raw> {
        let fields = self.fields.iter().map(FieldEntry::to_field).collect();
        let mut raw = Raw::new(self.name.clone(), self.format.clone(), fields);
        raw.udp.clone_from(&self.udp);
        let framing = self.framing()?;
        raw.tcp = self.tcp.clone().map(|tcp| (tcp, framing));
        raw.device = self.device.clone().unwrap_or(raw.device);
        raw.time = self.time_source()?;
        raw.sequence.clone_from(&self.sequence);
        raw.reply = self.reply.as_ref().map(ReplyEntry::to_reply).transpose()?;
        raw.bytes_max = self.max_bytes.unwrap_or(raw.bytes_max);
        raw.connections_max = self.max_connections.unwrap_or(raw.connections_max);
        raw.devices_max = self.max_devices.unwrap_or(raw.devices_max);
        Ok(raw)
    }

    fn framing(&self) -> anyhow::Result<Framing> {
        let is_framed = self.length.is_some() || self.delimiter.is_some();
        if self.tcp.is_none() && is_framed {
            bail!("length and delimiter are for tcp: a datagram is one record");
        }
        if self.length_counts_itself.is_some() && self.length.is_none() {
            bail!("length_counts_itself is about length, which is not there");
        }
        Ok(match (&self.length, &self.delimiter) {
            (Some(_), Some(_)) => {
                bail!("length and delimiter are two ways to find a record; name one")
            }
            (Some(format), None) => Framing::Length {
                format: format.clone(),
                counts_itself: self.length_counts_itself.unwrap_or(false),
            },
            (None, Some(text)) => Framing::Delimiter(bytes(text).context("delimiter")?),
            (None, None) => Framing::Fixed,
        })
    }

    fn time_source(&self) -> anyhow::Result<TimeSource> {
        let Some(field) = self.time.clone() else {
            if self.time_unit.is_some() || self.time_epoch.is_some() {
                bail!("time_unit and time_epoch are about time, which names no field");
            }
            return Ok(TimeSource::Arrival);
        };
        let per_second = match self.time_unit.as_deref() {
            None | Some("s") => 1,
            Some("ms") => 1_000,
            Some("us") => 1_000_000,
            Some("ns") => 1_000_000_000,
            Some(other) => bail!("time_unit is {other:?}: say \"s\", \"ms\", \"us\" or \"ns\""),
        };
        let epoch_us = match self.time_epoch.as_deref() {
            None => 0,
            Some(text) => text
                .parse::<jiff::Timestamp>()
                .with_context(|| format!("time_epoch is {text:?}: say 2000-01-01T00:00:00Z"))?
                .as_microsecond(),
        };
        Ok(TimeSource::Field { field, per_second, epoch_us })
    }
}

impl FieldEntry {
    fn to_field(&self) -> RawField {
        let FieldTable { name, unit, exponent, counter, elements, labels, blob } = &self.0;
        RawField {
            name: name.clone(),
            unit: unit.clone().unwrap_or_default(),
            exponent: exponent.unwrap_or(0),
            counter: counter.unwrap_or(false),
            elements: elements.unwrap_or(1),
            labels: labels.clone(),
            blob: blob.unwrap_or(false),
        }
    }
}

impl ReplyEntry {
    fn to_reply(&self) -> anyhow::Result<RawReply> {
        let interval = self.interval.as_deref().unwrap_or("60s");
        let interval = senda_sim::parse_duration(interval).context("reply.interval")?;
        let usual = Statuses::default();
        Ok(RawReply {
            format: self.format.clone(),
            values: self.values.iter().map(value).collect::<anyhow::Result<_>>()?,
            status: Statuses {
                stored: self.stored.unwrap_or(usual.stored),
                repeated: self.repeated.unwrap_or(usual.repeated),
                refused: self.refused.unwrap_or(usual.refused),
                busy: self.busy.unwrap_or(usual.busy),
            },
            interval_ms: interval_ms(interval).context("reply.interval")?,
        })
    }
}

/// A value of a reply: `{NAME}`, or what TOML says it is.
fn value(given: &toml::Value) -> anyhow::Result<ReplyValue> {
    use senda_struct::Value;
    Ok(match given {
        toml::Value::String(text) => {
            match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) => ReplyValue::Named(name.to_owned()),
                None => ReplyValue::Constant(Value::Bytes(text.clone().into_bytes())),
            }
        }
        toml::Value::Integer(number) => ReplyValue::Constant(Value::Int((*number).into())),
        toml::Value::Float(number) => ReplyValue::Constant(Value::Float(*number)),
        toml::Value::Boolean(truth) => ReplyValue::Constant(Value::Bool(*truth)),
        other => bail!(
            "reply.values: {other} is none; say a number, true, false, text, or \"{{NAME}}\" for a field, status, \
             interval_s, interval_ms, time_s, time_ms or time_us"
        ),
    })
}

/// Text, or `0x` and hex for bytes that are no text.
fn bytes(text: &str) -> anyhow::Result<Vec<u8>> {
    Ok(match text.strip_prefix("0x") {
        Some(digits) => hex::parse(digits)?,
        None => text.as_bytes().to_vec(),
    })
}

impl<'de> Deserialize<'de> for FieldEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrTable;

        impl<'de> Visitor<'de> for NameOrTable {
            type Value = FieldEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a table such as { name = \"temperature\", unit = \"Cel\" }")
            }

            fn visit_str<E>(self, name: &str) -> Result<FieldEntry, E> {
                Ok(FieldEntry(FieldTable { name: name.to_owned(), ..FieldTable::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FieldEntry, A::Error> {
                FieldTable::deserialize(MapAccessDeserializer::new(map)).map(FieldEntry)
            }
        }

        deserializer.deserialize_any(NameOrTable)
    }
}
