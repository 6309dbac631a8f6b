//! Profiles: what a kind of device measures, in TOML.
//!
//! ```toml
//! interval = "10s"          # a sample every 10 s ...
//! jitter = "500ms"          # ... each up to 500 ms late
//!
//! [schema]
//! name = "greenhouse"
//!
//! [[channel]]
//! name = "temperature"
//! type = "i16"              # a value type of the protocol
//! exponent = -2             # raw 2137 means 21.37
//! unit = "Cel"              # SenML's name
//! model = "daily"           # and its parameters:
//! mean = 22.0
//! amplitude = 6.0
//! peak = "15h"
//! ```
//! The built-in profiles are the manual: each model and each parameter stands in one of them, with
//! a comment. [`Profile::built_in`] gives their text, as a start for one's own.

mod channel; // one [[channel]]
mod error; // what, where, what to do
mod table; // TOML tables with line numbers

use std::path::Path;
use std::time::Duration;

use senda_wire::{ChannelSpec, Identifier, Schema, registry::SCHEMA_BYTES_MAX};
use toml::de::DeTable;

pub use channel::Channel;
pub use error::{Hint, ProfileError};

use crate::sensor::{Model, Route};
use channel::{check_identifier, read_channel};
use table::{Located, Source, Table};

/// Names and texts of the built-in profiles.
const BUILT_IN: [(&str, &str); 4] = [
    ("greenhouse", include_str!("../../profiles/greenhouse.toml")),
    ("vehicle", include_str!("../../profiles/vehicle.toml")),
    ("factory", include_str!("../../profiles/factory.toml")),
    ("weather", include_str!("../../profiles/weather.toml")),
];

/// What a kind of device measures, and how often: a handle, to be copied freely.
///
/// A loaded profile stays in memory until the process ends. A process loads a few, and a hundred
/// thousand instruments on several threads refer to them.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    shared: &'static Shared,
    interval_us: i64,
    jitter_us: i64,
}

#[derive(Debug)]
struct Shared {
    schema: Schema<'static>,
    channels: Vec<Channel>,
    route: Option<Route>,
}

impl Profile {
    /// A built-in profile by its name, or a file by its path: a name that ends in `.toml` or
    /// contains a slash.
    ///
    /// # Errors
    /// [`ProfileError`], which says what, where and what to do.
    pub fn load(name_or_path: &str) -> Result<Self, ProfileError> {
        if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
            return Self::parse(&format!("{name}.toml"), text);
        }
        let path = Path::new(name_or_path);
        if path.extension().is_none_or(|end| end != "toml") && !name_or_path.contains('/') {
            let names = BUILT_IN.iter().map(|(name, _)| *name);
            let hint = Hint::choice(name_or_path, names).or_a_file();
            return Err(ProfileError::Unknown { name: name_or_path.to_owned(), hint });
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| ProfileError::Read { path: path.to_owned(), source })?;
        Self::parse(name_or_path, &text)
    }

    /// A profile from its text; `origin` is what errors call it.
    ///
    /// # Errors
    /// [`ProfileError::Invalid`].
    pub fn parse(origin: &str, text: &str) -> Result<Self, ProfileError> {
        let source = Source { origin, text };
        let root = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            source.error(at, error.message().replace('\n', ", "), Hint::default())
        })?;
        let mut root = Table::new(source, "profile", 0, root.get_ref());
        let (interval_us, jitter_us) = read_interval(&mut root)?;
        let (name, name_at) = read_name(&mut root)?;
        let route = root.table("gps")?.map(read_route).transpose()?;
        let channels = read_channels(&mut root, route.is_some())?;
        let description = describe(&name, &channels);
        let description: &'static [u8] = description.leak();
        let schema = Schema::decode(description).map_err(|error| {
            let hint = Hint::new("see section 4.2 of the specification for the limits of a schema");
            root.error(name_at, &error.to_string(), hint)
        })?;
        root.finish()?;
        let shared = Box::leak(Box::new(Shared { schema, channels, route }));
        Ok(Self { shared, interval_us, jitter_us })
    }

    /// Names and texts of the built-in profiles.
    pub const fn built_in() -> &'static [(&'static str, &'static str)] {
        &BUILT_IN
    }

    /// The same with another interval. A jitter that would exceed it is cut to half of it.
    ///
    /// An interval below a microsecond counts as one.
    #[must_use]
    pub fn with_interval(self, interval: Duration) -> Self {
        let interval_us = micros(interval).max(1);
        let jitter_us = if self.jitter_us < interval_us { self.jitter_us } else { interval_us / 2 };
        Self { interval_us, jitter_us, ..self }
    }

    /// What a row holds.
    pub const fn schema(&self) -> Schema<'static> {
        self.shared.schema
    }

    /// The channels, in the schema's order.
    pub fn channels(&self) -> &'static [Channel] {
        &self.shared.channels
    }

    /// Time from one sample to the next, µs, at least 1.
    pub const fn interval_us(&self) -> i64 {
        self.interval_us
    }

    /// A sample is at most this late, µs; below the interval.
    pub const fn jitter_us(&self) -> i64 {
        self.jitter_us
    }

    /// The name of a device of this kind: `greenhouse-00042`. Spec §2.2.
    pub fn device_name(&self, device: u32) -> String {
        // 52 and a dash leave room for ten digits within 63 bytes.
        format!("{:.52}-{device:05}", self.schema().name().as_str())
    }

    /// Where the device drives, if it has a receiver.
    pub(crate) const fn route(&self) -> Option<&'static Route> {
        self.shared.route.as_ref()
    }
}

fn read_interval(root: &mut Table<'_, '_>) -> Result<(i64, i64), ProfileError> {
    let interval = root.duration("interval")?;
    let interval = root.required("interval", interval, "\"10s\"")?;
    if interval.value.is_zero() {
        return Err(root.error(interval.at, "`interval` is 0", Hint::new("make it longer")));
    }
    let jitter = root.duration("jitter")?;
    if let Some(Located { at, .. }) = jitter.filter(|jitter| jitter.value >= interval.value) {
        let hint = Hint::new("samples would overtake each other; make it shorter");
        return Err(root.error(at, "`jitter` is not below `interval`", hint));
    }
    Ok((micros(interval.value), jitter.map_or(0, |jitter| micros(jitter.value))))
}

fn read_name(root: &mut Table<'_, '_>) -> Result<(String, usize), ProfileError> {
    let schema = root.table("schema")?;
    let mut schema = root.required("schema", schema, "{ name = \"greenhouse\" }")?;
    let name = schema.text("name")?;
    let name = schema.required("name", name, "\"greenhouse\"")?;
    check_identifier(&schema, "name", name)?;
    schema.finish()?;
    Ok((name.value.to_owned(), name.at))
}

fn read_route(table: Table<'_, '_>) -> Result<Route, ProfileError> {
    let mut table = table;
    let mut number = |key, example, low, high| {
        let found = table.number(key)?;
        let number = table.required(key, found, example)?;
        if (low..=high).contains(&number.value) {
            return Ok(number.value);
        }
        let what = format!("`{key}` is {}", number.value);
        Err(table.error(number.at, &what, Hint::new(format!("it lies in {low} to {high}"))))
    };
    let route = Route {
        latitude: number("latitude", "40.4168", -80.0, 80.0)?,
        longitude: number("longitude", "-3.7038", -180.0, 180.0)?,
        radius_m: number("radius", "5000", 1.0, 500_000.0)?,
        speed: number("speed", "12.5", 0.0, 400.0)?,
        speed_deviation: number("speed_deviation", "6", 0.0, 100.0)?,
        turn: number("turn", "8", 0.0, 180.0)?,
    };
    table.finish()?;
    Ok(route)
}

fn read_channels(root: &mut Table<'_, '_>, has_gps: bool) -> Result<Vec<Channel>, ProfileError> {
    let tables = root.tables("channel")?;
    if tables.is_empty() {
        root.required("channel", None::<()>, "[{ name = \"temperature\", ... }], or [[channel]]")?;
    }
    let mut channels: Vec<Channel> = Vec::new();
    for table in tables {
        let at = table.at;
        let channel = read_channel(table)?;
        let what = |what: &str| format!("channel `{}`: {what}", channel.name);
        if channels.iter().any(|earlier| earlier.name == channel.name) {
            let hint = Hint::new("names are unique in a profile");
            return Err(root.plain_error(at, what("there is one of this name already"), hint));
        }
        if matches!(channel.sensor.model(), Model::Gps(_)) && !has_gps {
            let hint = Hint::new("add a table [gps] with latitude, longitude, radius, ...");
            return Err(root.plain_error(at, what("the profile has no receiver"), hint));
        }
        channels.push(channel);
    }
    Ok(channels)
}

/// The schema's description; `Schema::decode` checks it.
fn describe(name: &str, channels: &[Channel]) -> Vec<u8> {
    let labels: Vec<Vec<&str>> = channels
        .iter()
        .map(|channel| channel.labels.iter().map(String::as_str).collect())
        .collect();
    let specs: Vec<ChannelSpec<'_>> = channels
        .iter()
        .zip(&labels)
        .map(|(channel, labels)| ChannelSpec {
            name: identifier(&channel.name),
            value_type: channel.value_type(),
            exponent: channel.exponent,
            counter: channel.sensor.model().counts(),
            elements: channel.sensor.elements(),
            max_len: channel.max_len,
            unit: &channel.unit,
            labels,
        })
        .collect();
    // Twice the limit, so that a description that is too long is refused by `Schema::decode`.
    let mut bytes = vec![0; 2 * SCHEMA_BYTES_MAX];
    let len = Schema::encode(identifier(name), &specs, &mut bytes).map_or(0, <[u8]>::len);
    bytes.truncate(len);
    bytes
}

/// `check_identifier` has seen every name.
fn identifier(name: &str) -> Identifier<'_> {
    Identifier::new(name).unwrap_or_else(|| unreachable!("a checked name"))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
