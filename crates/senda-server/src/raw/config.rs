//! What a raw listener is told, and why it can't be.

use senda_struct::{FormatError, PackError};
use senda_wire::Identifier;

use super::framing::Splitter;
use super::recipe::Recipe;
use super::reply::Reply;

/// A listener for records of one format.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Of the listener, and of the schema of its rows. Spec §4.1.
    pub name: String,
    /// `host:port` for datagrams, one record in each.
    pub udp: Option<String>,
    /// `host:port` for connections, and how records are found in them.
    pub tcp: Option<(String, Framing)>,
    /// A Python struct format: one record.
    pub format: String,
    /// What the values of the format are, in order.
    pub fields: Vec<RawField>,
    /// Whose record it is: text with `{FIELD}`, `{address}` and `{port}`.
    pub device: String,
    /// When it was taken.
    pub time: TimeSource,
    /// Name of a field that numbers the records: one with the same bytes as one of the device's last 32 is a repetition then.
    pub sequence: Option<String>,
    /// What the device is told, if anything.
    pub reply: Option<RawReply>,
    /// Bytes of a record that are looked at in a stream; more of them end the connection.
    pub bytes_max: usize,
    /// TCP connections at once.
    pub connections_max: usize,
    /// Devices that are known at once.
    pub devices_max: usize,
}

impl Raw {
    /// A listener of nothing yet, with the default limits; each record is its address's, and as old as its arrival.
    pub fn new(name: impl Into<String>, format: impl Into<String>, fields: Vec<RawField>) -> Self {
        Self {
            name: name.into(),
            udp: None,
            tcp: None,
            format: format.into(),
            fields,
            device: "{address}".into(),
            time: TimeSource::Arrival,
            sequence: None,
            reply: None,
            bytes_max: 4_096,
            connections_max: 1_000,
            devices_max: 10_000,
        }
    }

    /// Compiles all of it, which also finds what makes no sense.
    ///
    /// # Errors
    /// [`RawError`]: what, and what to do.
    pub fn compile(&self) -> Result<(Recipe, Option<Reply>), RawError> {
        if Identifier::new(&self.name).is_none() {
            return Err(RawError::Name { name: self.name.clone() });
        }
        for (name, value, most) in [
            ("max_bytes", self.bytes_max, RAW_BYTES_MAX),
            ("max_connections", self.connections_max, 19_000),
            ("max_devices", self.devices_max, 1_000_000),
        ] {
            if !(1..=most).contains(&value) {
                return Err(RawError::Limit { name, value, least: 1, most });
            }
        }
        let recipe = Recipe::new(self)?;
        let record = recipe.format().size();
        let reply = self.reply.as_ref().map(|told| Reply::new(told, &recipe)).transpose()?;
        if let Some((_, framing)) = &self.tcp {
            Splitter::new(framing, record, self.bytes_max)?;
        }
        let longer = reply.as_ref().map(Reply::size).filter(|reply| *reply > record);
        if let (Some(_), Some(reply)) = (&self.udp, longer) {
            return Err(RawError::Amplifies { reply, record, pad: reply - record });
        }
        Ok((recipe, reply))
    }

    /// The same for a listener that will be started.
    pub(crate) fn check(&self) -> Result<(), RawError> {
        if self.udp.is_none() && self.tcp.is_none() {
            return Err(RawError::Nowhere);
        }
        self.compile().map(drop)
    }
}

/// Bytes that a record, or what might become one, may have.
const RAW_BYTES_MAX: usize = 65_535;

/// How records are found in a stream of bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Framing {
    /// One after the other: the format's size tells where each ends.
    Fixed,
    /// A length stands before each record.
    Length {
        /// A struct format of one integer.
        format: String,
        /// The length counts itself too.
        counts_itself: bool,
    },
    /// Each record ends with these bytes, which stand in no record.
    Delimiter(Vec<u8>),
}

/// A value of the format, or some that make a vector.
#[derive(Clone, Debug, Default)]
pub struct RawField {
    /// Its channel (spec §4.1). With `_` in front it is read, and not stored.
    pub name: String,
    /// Unit of the channel, SenML's name of it, or empty.
    pub unit: String,
    /// value = raw × 10^exponent; integers only.
    pub exponent: i8,
    /// A counter, which grows and may restart from 0.
    pub counter: bool,
    /// Consecutive values that make one vector; 0 and 1: none.
    pub elements: u8,
    /// Names of the values 0, 1, 2 ... of an unsigned byte.
    pub labels: Vec<String>,
    /// Bytes (`s`, `p`, `c`) that are no text.
    pub blob: bool,
}

impl RawField {
    /// A plain value.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// When a record was taken.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum TimeSource {
    /// When it arrived.
    #[default]
    Arrival,
    /// As a field says.
    Field {
        /// Its name.
        field: String,
        /// Units of the field in a second: 1, 1,000, 1,000,000 or 1,000,000,000.
        per_second: u32,
        /// What the field counts from, in microseconds since 1970.
        epoch_us: i64,
    },
}

/// What a device is told of each record.
#[derive(Clone, Debug)]
pub struct RawReply {
    /// A Python struct format.
    pub format: String,
    /// Its values.
    pub values: Vec<ReplyValue>,
    /// Codes of what became of the record.
    pub status: Statuses,
    /// The interval that devices are told, in milliseconds, unless their settings say otherwise.
    pub interval_ms: u32,
}

/// A value of a reply.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplyValue {
    /// Always the same.
    Constant(senda_struct::Value),
    /// `{NAME}`: a field of the record, or `status`, `interval_ms`, `interval_s`, `time_us`, `time_ms`, `time_s`.
    Named(String),
}

/// The numbers that `{status}` stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Statuses {
    /// On disk.
    pub stored: i64,
    /// On disk from an earlier time; not stored again.
    pub repeated: i64,
    /// It does not fit; sending it again is of no use.
    pub refused: i64,
    /// Not stored: to be sent again later.
    pub busy: i64,
}

impl Default for Statuses {
    fn default() -> Self {
        Self { stored: 0, repeated: 0, refused: 1, busy: 2 }
    }
}

/// Why a raw listener can't be. For the operator.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RawError {
    /// Neither UDP nor TCP.
    #[error("it listens nowhere: give it udp or tcp")]
    Nowhere,
    /// The listener's name.
    #[error("{name:?} is no name for it: a-z, then a-z, 0-9 and _, 63 at most")]
    Name {
        /// As it was given.
        name: String,
    },
    /// A format that Python's struct would refuse too.
    #[error("{what} {text:?} is no struct format")]
    Format {
        /// Of what.
        what: &'static str,
        /// As it was given.
        text: String,
        /// What is wrong.
        source: FormatError,
    },
    /// A record that is longer than anything that is looked at.
    #[error("a record has {size} bytes, and {most} at most are looked at")]
    Size {
        /// Bytes of the format.
        size: usize,
        /// The most.
        most: usize,
    },
    /// Values without names, or names without values.
    #[error(
        "format {format:?} has {values} values, and the fields name {named}: one for each, \"_\" for what is not stored"
    )]
    FieldCount {
        /// The format.
        format: String,
        /// Its values.
        values: usize,
        /// How many the fields take, elements of vectors counted.
        named: usize,
    },
    /// A field that makes no channel.
    #[error("field {field:?}: {what}")]
    Field {
        /// Its name.
        field: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The fields together.
    #[error("the fields make no schema: {0}")]
    Schema(String),
    /// The template of the device's name.
    #[error("device {template:?}: {what}")]
    Device {
        /// As it was given.
        template: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The time's field.
    #[error("time: {0}")]
    Time(String),
    /// The sequence field.
    #[error("sequence: there is no field {0:?}")]
    Sequence(String),
    /// A value of the reply.
    #[error("reply: {0}")]
    Reply(String),
    /// Values that the reply's format can't have.
    #[error("the reply's values do not fit its format {format:?}")]
    ReplyValues {
        /// The format.
        format: String,
        /// What is wrong.
        source: PackError,
    },
    /// A reply that would make the collector an amplifier. Spec §9.2.
    #[error(
        "a reply of {reply} bytes to a datagram of {record} would let anybody send more to a forged address than they spend: \
         make the record as long as the reply (pad bytes: \"{pad}x\"), or use TCP"
    )]
    Amplifies {
        /// Bytes of the reply.
        reply: usize,
        /// Bytes of a record.
        record: usize,
        /// Pad bytes that are missing.
        pad: usize,
    },
    /// The framing.
    #[error("framing: {0}")]
    Framing(String),
    /// A limit.
    #[error("{name} is {value}: say {least} to {most}")]
    Limit {
        /// Its name.
        name: &'static str,
        /// As it was given.
        value: usize,
        /// The least.
        least: usize,
        /// The most.
        most: usize,
    },
}
