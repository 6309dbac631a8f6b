//! A record's fields, and the row that they make.

use std::net::SocketAddr;
use std::sync::Arc;

use senda_struct::{FieldKind, Format, Value};
use senda_wire::{
    ChannelSpec, Clock, Data, DataHead, Frame, Head, Identifier, Message, Schema, ValueType,
    Vector, encode_row, registry,
};

use super::device::DeviceTemplate;
use super::misfit::Misfit;
use super::{Raw, RawError, RawField, TimeSource};

/// What a listener makes of its records: the format, compiled, and what each value is for.
#[derive(Clone, Debug)]
pub struct Recipe {
    format: Format,
    fields: Vec<Planned>,
    description: Vec<u8>,
    device: DeviceTemplate,
    time: Option<(Planned, u32, i64)>,
}

/// A record that fits.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whose it is.
    pub device: String,
    /// When it was taken, as its field says, in microseconds since 1970.
    pub time: Option<i64>,
    /// Its values, in the order of the format.
    pub values: Vec<Value>,
    /// The body of ROWS that lands: one row of schema 0. Spec §5.7.
    pub body: Vec<u8>,
}

/// A field, and where its values are.
#[derive(Clone, Debug)]
struct Planned {
    name: String,
    /// Index of its first value.
    first: usize,
    /// Of each of its values.
    shape: ValueShape,
    /// 0 for what is not stored.
    elements: u8,
    value_type: ValueType,
    labels: usize,
}

/// What a format character yields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ValueShape {
    Bool,
    Integer { signed: bool, bytes: usize },
    F32,
    F64,
    Bytes(usize),
}

impl Recipe {
    /// Compiles what a listener is told.
    ///
    /// # Errors
    /// [`RawError`]: what makes no sense, and what to do.
    pub fn new(raw: &Raw) -> Result<Self, RawError> {
        let format = compile("format", &raw.format)?;
        let fields = plan(&format, &raw.fields)?;
        let description = describe(&raw.name, &raw.fields, &fields)?;
        let find = |name: &str| fields.iter().find(|field| field.name == name && name != "_");
        let device = DeviceTemplate::new(&raw.device, |name| find(name).map(|field| field.first))?;
        if let Some(name) = raw.sequence.as_ref().filter(|name| find(name).is_none()) {
            return Err(RawError::Sequence(name.clone()));
        }
        let time = match &raw.time {
            TimeSource::Arrival => None,
            TimeSource::Field { field, per_second, epoch_us } => {
                let found = find(field)
                    .ok_or_else(|| RawError::Time(format!("there is no field {field:?}")))?;
                if matches!(found.shape, ValueShape::Bytes(_) | ValueShape::Bool) {
                    return Err(RawError::Time(format!("field {field:?} is no number")));
                }
                if ![1, 1_000, 1_000_000, 1_000_000_000].contains(per_second) {
                    return Err(RawError::Time("the unit is s, ms, us or ns".into()));
                }
                Some((found.clone(), *per_second, *epoch_us))
            }
        };
        Ok(Self { format, fields, description, device, time })
    }

    /// The format of a record.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// The schema that its rows have. Spec §4.2.
    pub fn description(&self) -> &[u8] {
        &self.description
    }

    /// Index of a field's first value.
    pub fn value_of(&self, field: &str) -> Option<usize> {
        self.fields
            .iter()
            .find(|known| known.name == field && field != "_")
            .map(|known| known.first)
    }

    /// Reads one record that came from `peer`.
    ///
    /// # Errors
    /// [`Misfit`]: why it is none.
    pub fn read(&self, bytes: &[u8], peer: SocketAddr) -> Result<Record, Misfit> {
        let expected = self.format.size();
        let values =
            self.format.unpack(bytes).map_err(|_| Misfit::Length { len: bytes.len(), expected })?;
        let device = self.device.name(&values, peer).map_err(Misfit::Device)?;
        let time = self.time.as_ref().map(|time| self.time_of(time, &values)).transpose()?;
        let body = self.body(&values, time)?;
        Ok(Record { device, time, values, body })
    }

    /// The row that a record makes: channel, unit and value as queries show it.
    pub fn row(&self, record: &Record) -> Vec<(String, String, String)> {
        let Ok(schema) = Schema::decode_accepted(&self.description) else { return Vec::new() };
        let mut fields = senda_wire::Reader::new(record.body.get(HEAD_LEN..).unwrap_or_default());
        let mut row = Vec::new();
        for channel in schema.channels() {
            let Some(value) = channel.read(&mut fields) else { break };
            let labels: Vec<_> = channel.labels().map(Arc::from).collect();
            let value = senda_store::Value::from_wire(&value, &labels);
            let text = crate::json::text_of(&value, channel.exponent);
            row.push((channel.name.to_string(), channel.unit.to_owned(), text));
        }
        row
    }

    fn time_of(
        &self,
        (field, per_second, epoch_us): &(Planned, u32, i64),
        values: &[Value],
    ) -> Result<i64, Misfit> {
        let micros = match values.get(field.first) {
            Some(Value::Int(value)) => value
                .checked_mul(1_000_000)
                .map(|scaled| scaled.div_euclid(i128::from(*per_second)))
                .and_then(|micros| i64::try_from(micros).ok()),
            Some(Value::Float(value)) => float_micros(*value, *per_second),
            _ => None,
        };
        micros.and_then(|micros| micros.checked_add(*epoch_us)).ok_or_else(|| Misfit::Value {
            field: field.name.clone(),
            what: "it is no time that can be told".into(),
        })
    }

    fn body(&self, values: &[Value], time: Option<i64>) -> Result<Vec<u8>, Misfit> {
        let vectors = self.vectors(values);
        let mut channels = Vec::new();
        for (field, vector) in self.fields.iter().filter(|field| field.elements > 0).zip(&vectors) {
            channels.push(
                match vector {
                    Some(bytes) => {
                        Vector::new(field.value_type, bytes).map(senda_wire::Value::Vector)
                    }
                    None => field.value(values.get(field.first)),
                }
                .ok_or_else(|| field.misfit())?,
            );
        }
        let invariant = "the recipe made this schema, and a row of it fits";
        let schema = Schema::decode_accepted(&self.description).expect(invariant);
        let mut row = vec![0; schema.row_max()];
        let len = encode_row(&schema, &channels, &mut row).map_err(|error| match error {
            senda_wire::EncodeError::Mismatch { channel } => self
                .fields
                .iter()
                .filter(|field| field.elements > 0)
                .nth(channel)
                .map_or_else(|| Misfit::Schema(error.to_string()), Planned::misfit),
            other => Misfit::Schema(other.to_string()),
        })?;
        // Whether the device's clock is right is not known.
        let clock = if time.is_some() { Clock::UtcUnsynced } else { Clock::None };
        let head = DataHead { schema: 0, clock, count: 1, t0: time.unwrap_or(0) };
        let rows = Message::Rows(Data { head, rows: &row[..len] });
        let mut message = vec![0; registry::MESSAGE_MAX];
        let len =
            rows.encode(Head { session: 0, seq: 0, flags: 0 }, &mut message).expect(invariant);
        let frame = Frame::decode(&message[..len], registry::MESSAGE_MAX).expect(invariant);
        Ok(frame.body.to_vec())
    }

    /// For each stored field, the elements of a vector as they stand on the wire.
    fn vectors(&self, values: &[Value]) -> Vec<Option<Vec<u8>>> {
        let stored = self.fields.iter().filter(|field| field.elements > 0);
        stored
            .map(|field| {
                (field.elements > 1).then(|| {
                    let elements =
                        values.iter().skip(field.first).take(usize::from(field.elements));
                    elements.flat_map(|value| field.element(value)).collect()
                })
            })
            .collect()
    }
}

impl Planned {
    /// A scalar as the wire has it; `None` where the channel can't have it.
    fn value<'v>(&self, value: Option<&'v Value>) -> Option<senda_wire::Value<'v>> {
        use senda_wire::Value as Wire;
        Some(match (value?, self.value_type) {
            (Value::Bool(value), _) => Wire::Bool(*value),
            (Value::Float(value), ValueType::F64) => Wire::F64(*value),
            (Value::Float(value), _) => Wire::F32(narrow(*value)),
            (Value::Bytes(bytes), ValueType::Blob) => Wire::Blob(bytes),
            (Value::Bytes(bytes), _) => {
                Wire::Text(std::str::from_utf8(without_padding(bytes)).ok()?)
            }
            (Value::Int(value), value_type) => match value_type {
                ValueType::U8 => Wire::U8(u8::try_from(*value).ok()?),
                ValueType::U16 => Wire::U16(u16::try_from(*value).ok()?),
                ValueType::U32 => Wire::U32(u32::try_from(*value).ok()?),
                ValueType::U64 => Wire::U64(u64::try_from(*value).ok()?),
                ValueType::I8 => Wire::I8(i8::try_from(*value).ok()?),
                ValueType::I16 => Wire::I16(i16::try_from(*value).ok()?),
                ValueType::I32 => Wire::I32(i32::try_from(*value).ok()?),
                ValueType::I64 => Wire::I64(i64::try_from(*value).ok()?),
                ValueType::Enum8 => Wire::Enum(u8::try_from(*value).ok()?),
                _ => return None,
            },
        })
    }

    /// An element of a vector, big-endian.
    fn element(&self, value: &Value) -> Vec<u8> {
        match value {
            Value::Float(value) if self.value_type == ValueType::F64 => value.to_be_bytes().into(),
            Value::Float(value) => narrow(*value).to_be_bytes().into(),
            Value::Int(value) => {
                let size = self.value_type.size().unwrap_or(0);
                let bytes = value.to_be_bytes(); // Two's complement: the low bytes are the number.
                bytes[bytes.len() - size..].into()
            }
            _ => Vec::new(),
        }
    }

    fn misfit(&self) -> Misfit {
        let what = match self.value_type {
            ValueType::Text => "the bytes are no UTF-8 text".to_owned(),
            ValueType::Enum8 => format!("there are only {} labels", self.labels),
            other => format!("it is no {}", other.name()),
        };
        Misfit::Value { field: self.name.clone(), what }
    }
}

/// Text in a field of a fixed size is filled up with zero bytes.
pub(super) fn without_padding(bytes: &[u8]) -> &[u8] {
    let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &bytes[..len]
}

pub(super) fn compile(what: &'static str, text: &str) -> Result<Format, RawError> {
    Format::new(text).map_err(|source| RawError::Format { what, text: text.to_owned(), source })
}

/// Gives every value of the format to a field.
fn plan(format: &Format, fields: &[RawField]) -> Result<Vec<Planned>, RawError> {
    let named: usize = fields.iter().map(|field| usize::from(field.elements.max(1))).sum();
    if format.size() > registry::MESSAGE_MAX && named == format.value_count() {
        return Err(RawError::Size { size: format.size(), most: registry::MESSAGE_MAX });
    }
    if named != format.value_count() {
        let (text, values) = (format.text().to_owned(), format.value_count());
        return Err(RawError::FieldCount { format: text, values, named });
    }
    let mut shapes = format.fields().filter_map(|field| match field.kind {
        FieldKind::Value(code) => Some(shape(code.letter(), field.size)),
        FieldKind::Padding | FieldKind::Alignment => None,
    });
    let mut planned = Vec::new();
    let mut first = 0;
    for field in fields {
        let wrong =
            |what: &str| RawError::Field { field: field.name.clone(), what: what.to_owned() };
        let elements = field.elements.max(1);
        let its: Vec<ValueShape> = shapes.by_ref().take(usize::from(elements)).collect();
        let shape = *its.first().ok_or_else(|| wrong("it has no value"))?;
        if its.iter().any(|other| *other != shape) {
            return Err(wrong("the elements of a vector have one format character"));
        }
        let value_type = shape.value_type(field, &wrong)?;
        if planned.iter().any(|known: &Planned| known.name == field.name) && field.name != "_" {
            return Err(wrong(
                "another field has this name; \"_\" stands for any that is not needed",
            ));
        }
        let stored = !field.name.starts_with('_');
        planned.push(Planned {
            name: field.name.clone(),
            first,
            shape,
            elements: if stored { elements } else { 0 },
            value_type,
            labels: field.labels.len(),
        });
        first += usize::from(elements);
    }
    Ok(planned)
}

fn shape(code: char, size: usize) -> ValueShape {
    match code {
        '?' => ValueShape::Bool,
        'e' | 'f' => ValueShape::F32,
        'd' => ValueShape::F64,
        's' | 'p' | 'c' => ValueShape::Bytes(size),
        code => ValueShape::Integer { signed: code.is_ascii_lowercase(), bytes: size },
    }
}

impl ValueShape {
    /// The channel's type.
    fn value_type(
        self,
        field: &RawField,
        wrong: &impl Fn(&str) -> RawError,
    ) -> Result<ValueType, RawError> {
        if !field.labels.is_empty() {
            let is_byte = self == Self::Integer { signed: false, bytes: 1 };
            return if is_byte && field.elements <= 1 {
                Ok(ValueType::Enum8)
            } else {
                Err(wrong("labels are for one unsigned byte (B)"))
            };
        }
        if field.blob && !matches!(self, Self::Bytes(_)) {
            return Err(wrong("blob is for bytes (s, p, c)"));
        }
        Ok(match self {
            Self::Bool => ValueType::Bool,
            Self::F32 => ValueType::F32,
            Self::F64 => ValueType::F64,
            Self::Bytes(_) if field.blob => ValueType::Blob,
            Self::Bytes(_) => ValueType::Text,
            Self::Integer { signed, bytes } => match (signed, bytes) {
                (false, 1) => ValueType::U8,
                (false, 2) => ValueType::U16,
                (false, 4) => ValueType::U32,
                (false, _) => ValueType::U64,
                (true, 1) => ValueType::I8,
                (true, 2) => ValueType::I16,
                (true, 4) => ValueType::I32,
                (true, _) => ValueType::I64,
            },
        })
    }
}

/// The schema of the stored fields. Its rules are the decoder's, so that none stands twice.
fn describe(name: &str, fields: &[RawField], planned: &[Planned]) -> Result<Vec<u8>, RawError> {
    let name = Identifier::new(name).ok_or_else(|| RawError::Name { name: name.to_owned() })?;
    let labels: Vec<Vec<&str>> =
        fields.iter().map(|field| field.labels.iter().map(String::as_str).collect()).collect();
    let mut channels = Vec::new();
    for ((field, planned), labels) in fields.iter().zip(planned).zip(&labels) {
        if planned.elements == 0 {
            continue;
        }
        let wrong = |what: String| RawError::Field { field: field.name.clone(), what };
        let channel = Identifier::new(&field.name).ok_or_else(|| {
            wrong("a name is a-z, then a-z, 0-9 and _, 63 at most; \"_\" in front means that it is not stored".into())
        })?;
        let mut spec = ChannelSpec::new(channel, planned.value_type);
        if let (ValueShape::Bytes(len), most) =
            (planned.shape, if field.blob { BLOB_MAX } else { registry::TEXT_MAX })
        {
            if len > most {
                return Err(wrong(format!(
                    "it has {len} bytes, and a channel {most} at most; name it \"_\""
                )));
            }
            spec.max_len = u16::try_from(len.max(1)).unwrap_or(u16::MAX);
        }
        spec.exponent = field.exponent;
        spec.counter = field.counter;
        spec.elements = planned.elements;
        spec.unit = &field.unit;
        spec.labels = labels;
        channels.push(spec);
    }
    let mut room = vec![0; registry::SCHEMA_BYTES_MAX];
    let description = Schema::encode(name, &channels, &mut room)
        .map_err(|error| RawError::Schema(error.to_string()))?
        .to_vec();
    Schema::decode(&description).map_err(|error| RawError::Schema(error.to_string()))?;
    Ok(description)
}

/// Before the rows in the body of ROWS. Spec §5.7.
const HEAD_LEN: usize = 12;
/// Bytes of a blob channel. Spec §4.2.
const BLOB_MAX: usize = 1_098;

/// Exact for what came out of 4 or 2 bytes.
#[expect(clippy::cast_possible_truncation, reason = "the value was widened from an f32 or f16")]
const fn narrow(value: f64) -> f32 {
    value as f32
}

/// A time in a float, to the microsecond.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn float_micros(value: f64, per_second: u32) -> Option<i64> {
    let micros = (value * (1_000_000.0 / f64::from(per_second))).round();
    (micros.abs() < 9.0e18).then_some(micros as i64)
}

#[cfg(test)]
mod tests;
