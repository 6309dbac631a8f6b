//! Channels by name: what a device measures, and how it travels. Spec §4.2.

use senda_wire::registry::SCHEMA_BYTES_MAX;
use senda_wire::{ChannelSpec, EncodeError, Identifier, ValueType};

/// A channel under construction.
#[derive(Clone, Debug)]
pub struct Channel {
    pub(crate) name: String,
    pub(crate) value_type: ValueType,
    pub(crate) exponent: i8,
    pub(crate) counter: bool,
    pub(crate) elements: u8,
    pub(crate) max_len: u16,
    pub(crate) unit: String,
    pub(crate) labels: Vec<String>,
}

impl Channel {
    /// A scalar without exponent or unit. Text and blob may have 255 bytes.
    pub fn new(name: &str, value_type: ValueType) -> Self {
        let max_len = match value_type {
            ValueType::Text | ValueType::Blob => 255,
            _ => 0,
        };
        Self {
            name: name.into(),
            value_type,
            exponent: 0,
            counter: false,
            elements: 1,
            max_len,
            unit: String::new(),
            labels: Vec::new(),
        }
    }

    /// value = raw × 10^exponent, integers only: an i16 with -1 holds tenths.
    #[must_use]
    pub fn exponent(self, exponent: i8) -> Self {
        Self { exponent, ..self }
    }

    /// The unit, as SenML names it: `Cel`, `%RH`, `V`, `m/s2`.
    #[must_use]
    pub fn unit(self, unit: &str) -> Self {
        Self { unit: unit.into(), ..self }
    }

    /// It grows, and may restart from 0.
    #[must_use]
    pub fn counter(self) -> Self {
        Self { counter: true, ..self }
    }

    /// A vector of so many numbers.
    #[must_use]
    pub fn elements(self, elements: u8) -> Self {
        Self { elements, ..self }
    }

    /// The most bytes of a text or blob.
    #[must_use]
    pub fn max_len(self, max_len: u16) -> Self {
        Self { max_len, ..self }
    }

    /// The labels of an enum8.
    #[must_use]
    pub fn labels(self, labels: &[&str]) -> Self {
        Self { labels: labels.iter().map(|&label| label.into()).collect(), ..self }
    }
}

/// A schema that satisfies every rule of section 4.2.
#[derive(Clone, Debug)]
pub struct Schema {
    pub(crate) name: String,
    pub(crate) channels: Vec<Channel>,
    description: Vec<u8>,
}

impl Schema {
    /// Begins a schema; [`SchemaBuilder::with`] adds channels, [`SchemaBuilder::build`] checks it.
    #[expect(clippy::new_ret_no_self, reason = "it reads as what it makes")]
    pub fn new(name: &str) -> SchemaBuilder {
        SchemaBuilder { name: name.into(), channels: Vec::new() }
    }

    /// The schema's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of its channels, in order.
    pub fn channel_names(&self) -> impl Iterator<Item = &str> {
        self.channels.iter().map(|channel| channel.name.as_str())
    }

    /// Its wire form, for [`senda_session::device::Device::declare`].
    pub fn description(&self) -> &[u8] {
        &self.description
    }
}

/// A schema under construction.
#[derive(Clone, Debug)]
pub struct SchemaBuilder {
    name: String,
    channels: Vec<Channel>,
}

impl SchemaBuilder {
    /// Adds a channel.
    #[must_use]
    pub fn with(mut self, channel: Channel) -> Self {
        self.channels.push(channel);
        self
    }

    /// Checks every rule.
    ///
    /// # Errors
    /// [`SchemaError`]: the first rule that it breaks.
    pub fn build(self) -> Result<Schema, SchemaError> {
        let name = identifier(&self.name)?;
        let labels: Vec<Vec<&str>> = (self.channels.iter())
            .map(|channel| channel.labels.iter().map(String::as_str).collect())
            .collect();
        let mut specs = Vec::with_capacity(self.channels.len());
        for (channel, labels) in self.channels.iter().zip(&labels) {
            specs.push(ChannelSpec {
                name: identifier(&channel.name)?,
                value_type: channel.value_type,
                exponent: channel.exponent,
                counter: channel.counter,
                elements: channel.elements,
                max_len: channel.max_len,
                unit: &channel.unit,
                labels,
            });
        }
        let mut room = vec![0; SCHEMA_BYTES_MAX];
        let description = senda_wire::Schema::encode(name, &specs, &mut room)?.to_vec();
        senda_wire::Schema::decode(&description)?;
        Ok(Schema { name: self.name, channels: self.channels, description })
    }
}

/// Why a schema can't be used. The local caller is at fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A name is not `[a-z][a-z0-9_]{0,62}`.
    #[error("`{name}` is no name: a small letter, then small letters, digits and _, 63 at most")]
    Name {
        /// The name.
        name: String,
    },
    /// A part is too long.
    #[error("the description can't be written")]
    Encode(#[from] EncodeError),
    /// A rule of section 4.2 is broken.
    #[error("a rule of section 4.2 is broken")]
    Rule(#[from] senda_wire::SchemaError),
}

fn identifier(name: &str) -> Result<Identifier<'_>, SchemaError> {
    Identifier::new(name).ok_or_else(|| SchemaError::Name { name: name.into() })
}
