//! One reading, borrowed from the bytes that carry it. Spec §4.3.

use crate::registry::TEXT_MAX;
use crate::schema::Shape;
use crate::{BodyError, EncodeError, Reader, ValueType, Writer};

/// A value of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `bool`.
    Bool(bool),
    /// `u8`.
    U8(u8),
    /// `u16`.
    U16(u16),
    /// `u32`.
    U32(u32),
    /// `u64`.
    U64(u64),
    /// `i8`.
    I8(i8),
    /// `i16`.
    I16(i16),
    /// `i32`.
    I32(i32),
    /// `i64`.
    I64(i64),
    /// `f32`, every bit pattern.
    F32(f32),
    /// `f64`, every bit pattern.
    F64(f64),
    /// `text`: UTF-8.
    Text(&'a str),
    /// `blob`: any bytes.
    Blob(&'a [u8]),
    /// `enum8`: index into the channel's labels.
    Enum(u8),
    /// `time`: microseconds since 1970-01-01T00:00:00Z.
    Time(i64),
    /// A vector of numbers.
    Vector(Vector<'a>),
}

/// The elements of a vector value, all of one numeric type, as they stand on the wire (big-endian).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Vector<'a> {
    element: ValueType,
    bytes: &'a [u8],
}

impl<'a> Vector<'a> {
    /// Takes the wire form; `None` if `element` can't stand in a vector or `bytes` is not a whole number of elements.
    pub fn new(element: ValueType, bytes: &'a [u8]) -> Option<Self> {
        let size = element.size()?;
        (element.is_number() && !bytes.is_empty() && bytes.len().is_multiple_of(size))
            .then_some(Self { element, bytes })
    }

    /// Type of the elements.
    pub const fn element(&self) -> ValueType {
        self.element
    }

    /// The elements as they stand on the wire.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.element.size().unwrap_or(1)
    }

    /// Never: a vector has at least one element.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements, in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let (element, mut reader) = (self.element, Reader::new(self.bytes));
        core::iter::from_fn(move || read_scalar(element, &mut reader).ok())
    }
}

impl ValueType {
    /// The integers and floats: what a vector may hold. Spec §4.2.
    pub const fn is_number(self) -> bool {
        self.is_integer() || matches!(self, Self::F32 | Self::F64)
    }

    /// The integers: what an exponent may scale. Spec §4.2.
    pub const fn is_integer(self) -> bool {
        matches!(
            self,
            Self::U8
                | Self::U16
                | Self::U32
                | Self::U64
                | Self::I8
                | Self::I16
                | Self::I32
                | Self::I64
        )
    }
}

impl<'a> Value<'a> {
    /// The value's type; for a vector that of its elements.
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::Bool(_) => ValueType::Bool,
            Self::U8(_) => ValueType::U8,
            Self::U16(_) => ValueType::U16,
            Self::U32(_) => ValueType::U32,
            Self::U64(_) => ValueType::U64,
            Self::I8(_) => ValueType::I8,
            Self::I16(_) => ValueType::I16,
            Self::I32(_) => ValueType::I32,
            Self::I64(_) => ValueType::I64,
            Self::F32(_) => ValueType::F32,
            Self::F64(_) => ValueType::F64,
            Self::Text(_) => ValueType::Text,
            Self::Blob(_) => ValueType::Blob,
            Self::Enum(_) => ValueType::Enum8,
            Self::Time(_) => ValueType::Time,
            Self::Vector(vector) => vector.element,
        }
    }

    /// Number of elements: 1 for a scalar.
    pub fn elements(&self) -> usize {
        match self {
            Self::Vector(vector) => vector.len(),
            _ => 1,
        }
    }

    /// Writes the value as it stands in a row. Spec §4.3.
    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        match *self {
            Self::Bool(value) => out.put(&[u8::from(value)]),
            Self::U8(value) | Self::Enum(value) => out.put(&[value]),
            Self::U16(value) => out.put(&value.to_be_bytes()),
            Self::U32(value) => out.put(&value.to_be_bytes()),
            Self::U64(value) => out.put(&value.to_be_bytes()),
            Self::I8(value) => out.put(&value.to_be_bytes()),
            Self::I16(value) => out.put(&value.to_be_bytes()),
            Self::I32(value) => out.put(&value.to_be_bytes()),
            Self::I64(value) | Self::Time(value) => out.put(&value.to_be_bytes()),
            Self::F32(value) => out.put(&value.to_bits().to_be_bytes()),
            Self::F64(value) => out.put(&value.to_bits().to_be_bytes()),
            Self::Text(value) => out.put8(value.as_bytes(), "text")?,
            Self::Blob(value) => {
                let len = u16::try_from(value.len())
                    .map_err(|_| EncodeError::TooLong { field: "blob" })?;
                out.put(&len.to_be_bytes());
                out.put(value);
            }
            Self::Vector(vector) => out.put(vector.bytes),
        }
        Ok(())
    }
}

/// A field of a row: its value, or the fact that its bytes are no value of this channel. Spec §4.3b.
pub(crate) enum Field<'a> {
    Good(Value<'a>),
    Bad,
}

/// Reads the field of a channel of this shape.
///
/// # Errors
/// The body ends within it. (A value that the channel can't have is [`Field::Bad`]: the layout is still known.)
pub(crate) fn read_field<'a>(
    channel: Shape,
    reader: &mut Reader<'a>,
) -> Result<Field<'a>, BodyError> {
    let value = match channel.value_type {
        ValueType::Text => {
            let bytes = reader.bytes8("text")?;
            match core::str::from_utf8(bytes) {
                Ok(text) if bytes.len() <= usize::from(channel.max_len) => Value::Text(text),
                _ => return Ok(Field::Bad),
            }
        }
        ValueType::Blob => {
            let len = usize::from(reader.u16("blob")?);
            let bytes = reader.take(len, "blob")?;
            if len > usize::from(channel.max_len) {
                return Ok(Field::Bad);
            }
            Value::Blob(bytes)
        }
        ValueType::Bool => match reader.u8("bool")? {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            _ => return Ok(Field::Bad),
        },
        ValueType::Enum8 => match reader.u8("enum8")? {
            index if index < channel.labels_len => Value::Enum(index),
            _ => return Ok(Field::Bad),
        },
        scalar if channel.elements == 1 => read_scalar(scalar, reader)?,
        element => {
            let len = usize::from(channel.elements) * element.size().unwrap_or(1);
            Value::Vector(Vector { element, bytes: reader.take(len, "vector")? })
        }
    };
    Ok(Field::Good(value))
}

/// Reads a typed value's payload, where there is no schema to check against. Spec §4.4.
pub(crate) fn read_typed<'a>(
    value_type: ValueType,
    elements: u8,
    reader: &mut Reader<'a>,
) -> Result<Value<'a>, BodyError> {
    match value_type {
        ValueType::Text => Ok(Value::Text(reader.text8("value")?)),
        ValueType::Blob => {
            let len = reader.u16("value")?;
            if usize::from(len) > TYPED_BLOB_MAX {
                return Err(BodyError::Range { field: "value", value: len.into() });
            }
            Ok(Value::Blob(reader.take(usize::from(len), "value")?))
        }
        ValueType::Bool => match reader.u8("value")? {
            0 => Ok(Value::Bool(false)),
            1 => Ok(Value::Bool(true)),
            other => Err(BodyError::Range { field: "value", value: other.into() }),
        },
        scalar if elements == 1 => read_scalar(scalar, reader),
        element => {
            let len = usize::from(elements) * element.size().unwrap_or(1);
            Ok(Value::Vector(Vector { element, bytes: reader.take(len, "value")? }))
        }
    }
}

/// The longest blob outside data messages. Spec §4.4.
pub(crate) const TYPED_BLOB_MAX: usize = 1024;
const _: () = assert!(TEXT_MAX == u8::MAX as usize, "text lengths fill their byte");

/// Reads a value of a fixed size whose every bit pattern is good.
fn read_scalar<'a>(value_type: ValueType, reader: &mut Reader<'a>) -> Result<Value<'a>, BodyError> {
    const FIELD: &str = "value";
    Ok(match value_type {
        ValueType::U8 => Value::U8(reader.u8(FIELD)?),
        ValueType::U16 => Value::U16(reader.u16(FIELD)?),
        ValueType::U32 => Value::U32(reader.u32(FIELD)?),
        ValueType::U64 => Value::U64(reader.u64(FIELD)?),
        ValueType::I8 => Value::I8(reader.i8(FIELD)?),
        ValueType::I16 => Value::I16(i16::from_be_bytes(reader.array(FIELD)?)),
        ValueType::I32 => Value::I32(i32::from_be_bytes(reader.array(FIELD)?)),
        ValueType::I64 => Value::I64(reader.i64(FIELD)?),
        ValueType::F32 => Value::F32(f32::from_bits(reader.u32(FIELD)?)),
        ValueType::F64 => Value::F64(f64::from_bits(reader.u64(FIELD)?)),
        ValueType::Time => Value::Time(reader.i64(FIELD)?),
        // Callers deal with these, since not every bit pattern is good or the size varies.
        ValueType::Bool | ValueType::Enum8 | ValueType::Text | ValueType::Blob => {
            return Err(BodyError::Range { field: "type", value: value_type.code().into() });
        }
    })
}
