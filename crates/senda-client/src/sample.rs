//! Values by name to a row in bytes. Spec §4.3, §5.7.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use senda_wire::ValueType;

use crate::schema::{Channel, Schema};

/// One value as a program has it; the channel decides how it travels.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// For bool.
    Bool(bool),
    /// For every integer type, scaled or not, for floats, time (µs) and enum8 (its index).
    Integer(i128),
    /// For f32 and f64, bit for bit into an f32.
    Float32(f32),
    /// For f32, f64, and for scaled integers, rounded to the nearest.
    Float(f64),
    /// For text, and for enum8 (its label).
    Text(String),
    /// For blob.
    Blob(Vec<u8>),
    /// For vectors.
    Vector(Vec<Reading>),
}

macro_rules! reading_from {
    ($($type:ty => |$value:ident| $reading:expr;)*) => {
        $(impl From<$type> for Reading {
            fn from($value: $type) -> Self {
                $reading
            }
        })*
    };
}

reading_from! {
    bool => |value| Self::Bool(value);
    u8 => |value| Self::Integer(value.into());
    u16 => |value| Self::Integer(value.into());
    u32 => |value| Self::Integer(value.into());
    u64 => |value| Self::Integer(value.into());
    i8 => |value| Self::Integer(value.into());
    i16 => |value| Self::Integer(value.into());
    i32 => |value| Self::Integer(value.into());
    i64 => |value| Self::Integer(value.into());
    f32 => |value| Self::Float32(value);
    f64 => |value| Self::Float(value);
    &str => |value| Self::Text(value.into());
    String => |value| Self::Text(value);
    Vec<u8> => |value| Self::Blob(value);
    &[u8] => |value| Self::Blob(value.into());
    Vec<f64> => |value| Self::Vector(value.into_iter().map(Self::Float).collect());
    SystemTime => |value| Self::Integer(unix_us(value).into());
}

impl<T: Into<Self>, const N: usize> From<[T; N]> for Reading {
    fn from(values: [T; N]) -> Self {
        Self::Vector(values.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float32(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::Blob(value) => write!(f, "{} bytes", value.len()),
            Self::Vector(values) => write!(f, "a vector of {}", values.len()),
        }
    }
}

/// Values by channel name, and the moment that they are of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    values: Vec<(String, Reading)>,
    pub(crate) time_us: Option<i64>,
    is_partial: bool,
}

impl Sample {
    /// A sample of now without values yet.
    pub const fn new() -> Self {
        Self { values: Vec::new(), time_us: None, is_partial: false }
    }

    /// A sample of now in which channels without a value are absent: a sensor was off, or did not answer. It travels as
    /// SPARSE; a collector that does not read that can't have it, and then its [`crate::Receipt`] says so. Spec §5.8.
    pub const fn partial() -> Self {
        Self { values: Vec::new(), time_us: None, is_partial: true }
    }

    /// True for one that may leave channels out.
    pub const fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Sets a channel; a second time replaces the value.
    #[must_use]
    pub fn set(mut self, channel: &str, value: impl Into<Reading>) -> Self {
        let value = value.into();
        match self.values.iter_mut().find(|(name, _)| name == channel) {
            Some((_, old)) => *old = value,
            None => self.values.push((channel.into(), value)),
        }
        self
    }

    /// Says when it was taken.
    #[must_use]
    pub fn at(self, time: SystemTime) -> Self {
        self.at_us(unix_us(time))
    }

    /// Says when it was taken, in microseconds by the device's clock.
    #[must_use]
    pub const fn at_us(mut self, time_us: i64) -> Self {
        self.time_us = Some(time_us);
        self
    }

    /// The row in ROWS form.
    ///
    /// # Errors
    /// [`SampleError`]: the first channel that has no value, or one that it can't hold.
    pub fn encode(&self, schema: &Schema) -> Result<Vec<u8>, SampleError> {
        self.check_names(schema)?;
        let mut row = Vec::new();
        for channel in &schema.channels {
            let value = self.value_of(channel);
            let value =
                value.ok_or_else(|| SampleError::Missing { channel: channel.name.clone() })?;
            put_checked(channel, value, &mut row)?;
        }
        Ok(row)
    }

    /// The row in SPARSE form: which channels have a value, then the values. Spec §5.8.
    ///
    /// # Errors
    /// [`SampleError`]: the first channel that can't hold its value.
    pub fn encode_sparse(&self, schema: &Schema) -> Result<Vec<u8>, SampleError> {
        self.check_names(schema)?;
        let mut row = vec![0; schema.channels.len().div_ceil(8)];
        for (number, channel) in schema.channels.iter().enumerate() {
            if let Some(value) = self.value_of(channel) {
                row[number / 8] |= 0x80 >> (number % 8);
                put_checked(channel, value, &mut row)?;
            }
        }
        Ok(row)
    }

    fn value_of(&self, channel: &Channel) -> Option<&Reading> {
        self.values.iter().find(|(name, _)| *name == channel.name).map(|(_, value)| value)
    }

    fn check_names(&self, schema: &Schema) -> Result<(), SampleError> {
        for (name, _) in &self.values {
            if !schema.channels.iter().any(|channel| channel.name == *name) {
                let (name, schema) = (name.clone(), schema.clone());
                let known = schema.channel_names().collect::<Vec<_>>().join(", ");
                return Err(SampleError::UnknownChannel { name, schema: schema.name, known });
            }
        }
        Ok(())
    }
}

/// Why a sample does not fit a schema. The local caller is at fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// The schema has no channel of this name.
    #[error("schema `{schema}` has no channel `{name}`; it has: {known}")]
    UnknownChannel {
        /// The name.
        name: String,
        /// The schema's name.
        schema: String,
        /// The channels that it has.
        known: String,
    },
    /// A channel has no value.
    #[error("channel `{channel}` has no value")]
    Missing {
        /// The channel.
        channel: String,
    },
    /// A value is not one that its channel can have.
    #[error("channel `{channel}` can't hold {value}: it is {wanted}")]
    Unfit {
        /// The channel.
        channel: String,
        /// The value.
        value: String,
        /// What the channel holds.
        wanted: String,
    },
}

/// Microseconds since 1970; negative before, saturating in half a million years.
pub(crate) fn unix_us(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |before| -before)
        }
    }
}

fn put_checked(channel: &Channel, value: &Reading, row: &mut Vec<u8>) -> Result<(), SampleError> {
    put(channel, value, row).ok_or_else(|| SampleError::Unfit {
        channel: channel.name.clone(),
        value: value.to_string(),
        wanted: wanted(channel),
    })
}

/// Writes one field; `None` when the channel can't hold the value.
fn put(channel: &Channel, value: &Reading, row: &mut Vec<u8>) -> Option<()> {
    match (channel.value_type, value) {
        (ValueType::Bool, Reading::Bool(value)) => row.push(u8::from(*value)),
        (ValueType::Text, Reading::Text(text)) if text.len() <= usize::from(channel.max_len) => {
            row.push(u8::try_from(text.len()).ok()?);
            row.extend_from_slice(text.as_bytes());
        }
        (ValueType::Blob, Reading::Blob(bytes)) if bytes.len() <= usize::from(channel.max_len) => {
            row.extend_from_slice(&u16::try_from(bytes.len()).ok()?.to_be_bytes());
            row.extend_from_slice(bytes);
        }
        (ValueType::Enum8, Reading::Text(label)) => {
            let index = channel.labels.iter().position(|known| known == label)?;
            row.push(u8::try_from(index).ok()?);
        }
        (ValueType::Enum8, Reading::Integer(index)) => {
            let index = u8::try_from(*index).ok()?;
            (usize::from(index) < channel.labels.len()).then(|| row.push(index))?;
        }
        (_, Reading::Vector(values)) => {
            if values.len() != usize::from(channel.elements) || channel.elements == 1 {
                return None;
            }
            for value in values {
                put_number(channel, value, row)?;
            }
        }
        _ if channel.elements > 1 => return None,
        _ => put_number(channel, value, row)?,
    }
    Some(())
}

fn put_number(channel: &Channel, value: &Reading, row: &mut Vec<u8>) -> Option<()> {
    match channel.value_type {
        ValueType::F32 => row.extend_from_slice(&as_f32(value)?.to_bits().to_be_bytes()),
        ValueType::F64 => row.extend_from_slice(&as_f64(value)?.to_bits().to_be_bytes()),
        ValueType::Time => match value {
            Reading::Integer(us) => {
                row.extend_from_slice(&i64::try_from(*us).ok()?.to_be_bytes());
            }
            _ => return None,
        },
        integer => put_integer(integer, raw(value, channel.exponent)?, row)?,
    }
    Some(())
}

fn put_integer(value_type: ValueType, raw: i128, row: &mut Vec<u8>) -> Option<()> {
    match value_type {
        ValueType::U8 => row.extend_from_slice(&u8::try_from(raw).ok()?.to_be_bytes()),
        ValueType::U16 => row.extend_from_slice(&u16::try_from(raw).ok()?.to_be_bytes()),
        ValueType::U32 => row.extend_from_slice(&u32::try_from(raw).ok()?.to_be_bytes()),
        ValueType::U64 => row.extend_from_slice(&u64::try_from(raw).ok()?.to_be_bytes()),
        ValueType::I8 => row.extend_from_slice(&i8::try_from(raw).ok()?.to_be_bytes()),
        ValueType::I16 => row.extend_from_slice(&i16::try_from(raw).ok()?.to_be_bytes()),
        ValueType::I32 => row.extend_from_slice(&i32::try_from(raw).ok()?.to_be_bytes()),
        ValueType::I64 => row.extend_from_slice(&i64::try_from(raw).ok()?.to_be_bytes()),
        _ => return None,
    }
    Some(())
}

/// raw = value / 10^exponent, rounded to the nearest.
fn raw(value: &Reading, exponent: i8) -> Option<i128> {
    let power = 10i128.checked_pow(exponent.unsigned_abs().into())?;
    match *value {
        Reading::Integer(value) if exponent <= 0 => value.checked_mul(power),
        Reading::Integer(value) => {
            let half = if value < 0 { -power / 2 } else { power / 2 };
            Some(value.checked_add(half)? / power)
        }
        Reading::Float(value) => rounded(value, exponent),
        Reading::Float32(value) => rounded(value.into(), exponent),
        _ => None,
    }
}

fn rounded(value: f64, exponent: i8) -> Option<i128> {
    let scaled = if exponent <= 0 {
        value * 10f64.powi((-exponent).into())
    } else {
        value / 10f64.powi(exponent.into())
    };
    let raw = scaled.round();
    // Every raw type ends far below 2^80; NaN and the infinities are no numbers.
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked before")]
    (raw.abs() < 2f64.powi(80)).then_some(raw as i128)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a float channel holds the nearest float: that is what its type says"
)]
fn as_f32(value: &Reading) -> Option<f32> {
    match *value {
        Reading::Float32(value) => Some(value),
        Reading::Float(value) => Some(value as f32),
        Reading::Integer(value) => Some(value as f32),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "as above")]
fn as_f64(value: &Reading) -> Option<f64> {
    match *value {
        Reading::Float32(value) => Some(value.into()),
        Reading::Float(value) => Some(value),
        Reading::Integer(value) => Some(value as f64),
        _ => None,
    }
}

/// What a channel holds, for people.
fn wanted(channel: &Channel) -> String {
    let Channel { value_type, exponent, elements, max_len, labels, .. } = channel;
    let name = value_type.name();
    match value_type {
        ValueType::Text | ValueType::Blob => format!("{name} of at most {max_len} bytes"),
        ValueType::Enum8 => format!("one of {}", labels.join(", ")),
        _ if *elements > 1 => format!("{elements} values of {name} × 10^{exponent}"),
        _ if *exponent != 0 => format!("{name} × 10^{exponent}"),
        _ => name.to_string(),
    }
}
