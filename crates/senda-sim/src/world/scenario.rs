//! What a world is like: devices, network, limits, and what goes wrong when.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use senda_session::{collector, device};
use serde::{Deserialize, Deserializer};

use crate::clock::{ClockKind, Clocks, Ppm};
use crate::faults::{Conditions, Delay, Probability, Rate, Reorder};
use crate::parse_duration;

/// Most devices of a world.
pub const DEVICES_MAX: u32 = 1_000;
/// Longest that a world goes on before it drains.
pub const DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A world, but for its seed. Every field has a default, so that a file says what is special about it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// Devices at the start, 1 to [`DEVICES_MAX`].
    pub devices: u32,
    /// How long devices make rows and things go wrong. After that everything works, and the world drains.
    #[serde(deserialize_with = "duration")]
    pub duration: Duration,
    /// From one row of a device to the next.
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
    /// What the devices speak.
    pub transport: Carrier,
    /// What the network does all the time.
    pub network: Weather,
    /// What dates the rows.
    pub clocks: ClockSettings,
    /// The collector's engine.
    pub collector: CollectorSettings,
    /// Its store.
    pub store: StoreSettings,
    /// The devices' sessions.
    pub device: DeviceSettings,
    /// How often some device gets a command; never by default.
    #[serde(deserialize_with = "maybe_duration")]
    pub commands_every: Option<Duration>,
    /// How often the settings of all devices change; never by default.
    #[serde(deserialize_with = "maybe_duration")]
    pub settings_every: Option<Duration>,
    /// What happens when.
    pub fault: Vec<Fault>,
}

/// What carries the devices' sessions.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Carrier {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// Each device one of them.
    #[default]
    Mixed,
}

/// What a path does to what travels on it, each way. TCP knows delay and rate alone; loss costs it time.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weather {
    /// Share of packets that never arrive.
    #[serde(deserialize_with = "text")]
    pub loss: Probability,
    /// Share that arrives twice.
    #[serde(deserialize_with = "text")]
    pub dup: Probability,
    /// Share that is held back.
    #[serde(deserialize_with = "text")]
    pub reorder: Reorder,
    /// How long everything takes.
    #[serde(deserialize_with = "text")]
    pub delay: Delay,
    /// How much fits through.
    #[serde(deserialize_with = "maybe_text")]
    pub rate: Option<Rate>,
    /// Times in which much more is lost.
    pub burst: Option<Burst>,
    /// Share of packets with flipped bits, or cut short.
    #[serde(deserialize_with = "text")]
    pub damage: Probability,
    /// Longest datagram that arrives, bytes of its payload; any by default.
    pub mtu: Option<u16>,
}

/// Bursts of loss, after Gilbert and Elliott: two states, and a packet's chance to change between them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// A packet's chance to begin a burst.
    #[serde(deserialize_with = "text")]
    pub enter: Probability,
    /// Its chance to end one.
    #[serde(deserialize_with = "text")]
    pub leave: Probability,
    /// Its chance to be lost in one.
    #[serde(deserialize_with = "text")]
    pub loss: Probability,
}

/// The devices' clocks.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockSettings {
    /// `synced`, `unsynced`, `monotonic`, `none`, `mixed`.
    pub kind: Kind,
    /// How wrong oscillators are, such as 50ppm.
    #[serde(deserialize_with = "text")]
    pub drift: Ppm,
    /// UTC clocks step by up to this now and then.
    #[serde(deserialize_with = "maybe_duration")]
    pub step: Option<Duration>,
    /// Unsynced clocks begin at 1970.
    pub from_1970: bool,
}

/// As [`ClockKind`].
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// UTC, kept right.
    Synced,
    /// UTC, set by hand.
    Unsynced,
    /// Since boot.
    Monotonic,
    /// None.
    None,
    /// Each device one of these.
    #[default]
    Mixed,
}

/// The collector's process.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectorSettings {
    /// How long a commit gathers.
    #[serde(deserialize_with = "duration")]
    pub commit_interval: Duration,
    /// How long a commit takes.
    #[serde(deserialize_with = "duration")]
    pub sync_time: Duration,
    /// Rows that a stream may have on its way.
    pub window_rows: u32,
    /// Bytes on their way to the disk.
    pub landing_bytes_max: usize,
}

/// The store.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// How old rows are when they are filed.
    #[serde(deserialize_with = "duration")]
    pub filing_delay: Duration,
    /// Rows in a slice of filing.
    pub filing_rows: usize,
    /// Pages of the log after which it is copied.
    pub checkpoint_pages: i32,
    /// Streams whose marks stay in memory.
    pub streams_cached_max: usize,
    /// Bytes that may wait for filing.
    pub inbox_bytes_max: u64,
    /// Readings older than this go; none by default.
    #[serde(deserialize_with = "maybe_duration")]
    pub retention: Option<Duration>,
}

/// A device's session.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceSettings {
    /// Rows that a device keeps in memory.
    pub queue_rows: u32,
    /// Data messages in flight.
    pub window_messages: u16,
    /// Rows that wait for one another.
    pub batch_rows: u16,
    /// ... for so long.
    #[serde(deserialize_with = "duration")]
    pub batch_delay: Duration,
    /// One ACK for that many messages is enough.
    pub ack_every: u16,
    /// ... or after this time.
    #[serde(deserialize_with = "duration")]
    pub ack_delay: Duration,
    /// It says something that often.
    #[serde(deserialize_with = "duration")]
    pub keepalive: Duration,
    /// Share of rows in which channels are absent.
    #[serde(deserialize_with = "text")]
    pub sparse: Probability,
    /// Share of rows that a defect spoils on their way out.
    #[serde(deserialize_with = "text")]
    pub spoilt: Probability,
    /// COUNTS after that many rows; 0: never.
    pub counts_every: u32,
}

/// Something that goes wrong, or an operator does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When.
    #[serde(deserialize_with = "duration")]
    pub at: Duration,
    /// What.
    pub what: What,
    /// To which device, from 0; to all that it can happen to by default.
    pub device: Option<u32>,
    /// For how long. By default [`FOR_DEFAULT`].
    #[serde(default = "for_default", deserialize_with = "duration", rename = "for")]
    pub lasts: Duration,
    /// Crashes: after that many operations on the disk rather than at once.
    pub step: Option<u32>,
    /// Weather: what it is like.
    pub weather: Option<Weather>,
    /// Clock steps: by how much, seconds. Slow sync: how long a sync takes, seconds.
    #[serde(default)]
    pub by: f64,
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The collector's process is killed; its machine goes on.
    CollectorKilled,
    /// Its machine loses power.
    PowerCut,
    /// It is stopped in order, and started again.
    CollectorStopped,
    /// It is stopped, its disk is copied, and it is started again.
    Backup,
    /// It is killed, and comes back with the disk of the last backup.
    Restore,
    /// Its clock is set.
    CollectorClock,
    /// The disk is full.
    DiskFull,
    /// Syncs fail.
    SyncFails,
    /// Syncs take long.
    SlowSync,
    /// A device loses power; without a spool what was in memory is lost.
    DeviceCrash,
    /// A second device gets the same name, and boots.
    DeviceCloned,
    /// The memory of a running device is copied: both go on.
    DeviceCopied,
    /// A device's program begins to use another schema.
    SchemaChange,
    /// A device goes on over the other transport.
    Move,
    /// A device has another address and does not know it.
    Rebind,
    /// The network between devices and collector is cut.
    Cut,
    /// UDP does not come through; TCP does.
    UdpBlocked,
    /// The weather changes.
    Weather,
    /// TCP connections break.
    LinesBreak,
    /// TCP connections are forgotten in between: nobody hears of it.
    LinesForgotten,
    /// Somebody sends what he has heard, and rubbish, from addresses that are not his.
    Stranger,
}

/// How long faults last that don't say it.
pub const FOR_DEFAULT: Duration = Duration::from_secs(10);

/// Most seconds of [`Fault::by`]: a year of a clock, and far more than a sync may take.
pub const BY_MAX: f64 = 31_536_000.0;

/// Why a text is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Not TOML, an unknown key, a value that can't be read.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A value outside its range.
    #[error("`{field}`: {must}")]
    Range {
        /// Which.
        field: &'static str,
        /// What it has to be.
        must: String,
    },
}

impl Scenario {
    /// Reads a scenario from TOML.
    ///
    /// # Errors
    /// [`ScenarioError`]
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Looks at the ranges that types don't give.
    ///
    /// # Errors
    /// [`ScenarioError::Range`]: the first that is wrong.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let wrong = |field, must: String| Err(ScenarioError::Range { field, must });
        if !(1..=DEVICES_MAX).contains(&self.devices) {
            return wrong("devices", format!("1 to {DEVICES_MAX}"));
        }
        if self.duration.is_zero() || self.duration > DURATION_MAX {
            return wrong("duration", format!("more than 0 and at most {DURATION_MAX:?}"));
        }
        if self.interval < Duration::from_millis(1) {
            return wrong("interval", "at least 1ms".into());
        }
        if self.store.filing_rows == 0 {
            return wrong("store.filing_rows", "at least 1".into());
        }
        if self.collector.window_rows == 0 || self.collector.landing_bytes_max < 4_096 {
            return wrong("collector", "window_rows from 1, landing_bytes_max from 4096".into());
        }
        if self.device.config("gh-0").is_err() {
            return wrong("device", "what `senda_session::device::Config` allows".into());
        }
        for fault in &self.fault {
            if fault.device.is_some_and(|device| device >= self.devices) {
                return wrong("fault.device", format!("below {}", self.devices));
            }
            // NaN is not within either.
            if !(-BY_MAX..=BY_MAX).contains(&fault.by) {
                return wrong("fault.by", format!("-{BY_MAX} to {BY_MAX} seconds"));
            }
        }
        Ok(())
    }
}

impl Weather {
    pub(super) fn conditions(&self) -> Conditions {
        let Self { loss, dup, reorder, delay, rate, .. } = *self;
        Conditions { loss, dup, reorder, delay, rate }
    }
}

impl ClockSettings {
    pub(super) fn clocks(&self) -> Clocks {
        let kind = match self.kind {
            Kind::Synced => ClockKind::Synced,
            Kind::Unsynced => ClockKind::Unsynced,
            Kind::Monotonic => ClockKind::Monotonic,
            Kind::None => ClockKind::None,
            Kind::Mixed => ClockKind::Mixed,
        };
        Clocks { kind, drift: self.drift, step: self.step, from_1970: self.from_1970 }
    }
}

impl CollectorSettings {
    pub(super) fn config(&self) -> collector::Config {
        collector::Config {
            commit_interval: self.commit_interval,
            window_rows: self.window_rows,
            landing_bytes_max: self.landing_bytes_max,
            ..collector::Config::default()
        }
    }
}

impl StoreSettings {
    pub(super) fn options(&self) -> senda_store::Options {
        senda_store::Options {
            filing_delay: micros(self.filing_delay),
            // Below what makes the store take no more.
            filing_bytes: (self.inbox_bytes_max / 4).min(1 << 20),
            checkpoint_pages: self.checkpoint_pages,
            streams_cached_max: self.streams_cached_max,
            inbox_bytes_max: self.inbox_bytes_max,
            retention: senda_store::Retention { age: self.retention.map(micros), bytes: None },
            ..senda_store::Options::default()
        }
    }
}

impl DeviceSettings {
    /// The configuration of a device's session, checked.
    pub(super) fn config(&self, name: &str) -> Result<device::Config, device::ConfigError> {
        let mut config = device::Config::new(name);
        config.queue.rows = self.queue_rows;
        config.window_messages = self.window_messages;
        config.batch = device::Batch { rows: self.batch_rows, delay: self.batch_delay };
        config.ack_every = self.ack_every;
        config.ack_delay = self.ack_delay;
        config.keepalive = self.keepalive;
        config.downlink = senda_wire::registry::downlink::ALL;
        config.software = "world".into();
        device::Device::new(config.clone(), [0; 32]).map(|_| config)
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            devices: 3,
            duration: Duration::from_secs(120),
            interval: Duration::from_secs(1),
            transport: Carrier::Mixed,
            network: Weather::default(),
            clocks: ClockSettings::default(),
            collector: CollectorSettings::default(),
            store: StoreSettings::default(),
            device: DeviceSettings::default(),
            commands_every: None,
            settings_every: None,
            fault: Vec::new(),
        }
    }
}

impl Default for ClockSettings {
    fn default() -> Self {
        Self { kind: Kind::Mixed, drift: Ppm::default(), step: None, from_1970: false }
    }
}

impl Default for CollectorSettings {
    fn default() -> Self {
        Self {
            commit_interval: Duration::from_millis(5),
            sync_time: Duration::from_millis(3),
            window_rows: 16_384,
            landing_bytes_max: 32 << 20,
        }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            filing_delay: Duration::from_secs(2),
            filing_rows: 500,
            checkpoint_pages: 100,
            streams_cached_max: 65_536,
            inbox_bytes_max: 256 << 20,
            retention: None,
        }
    }
}

impl Default for DeviceSettings {
    fn default() -> Self {
        Self {
            queue_rows: 10_000,
            window_messages: 64,
            batch_rows: 1,
            batch_delay: Duration::ZERO,
            ack_every: 1,
            ack_delay: Duration::ZERO,
            keepalive: Duration::from_secs(30),
            sparse: Probability::default(),
            spoilt: Probability::default(),
            counts_every: 0,
        }
    }
}

fn for_default() -> Duration {
    FOR_DEFAULT
}

/// Whole microseconds; a scenario's durations fit.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(serde::de::Error::custom)
}

fn maybe_text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    text(from).map(Some)
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

fn maybe_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}
