//! One reading, bit for bit, and the column that holds it.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use senda_wire::ValueType;

/// A reading as the device sent it. Integers are raw: the channel's exponent scales them.
///
/// Equality of floats is equality of bits: NaN payloads and the sign of zero count.
#[derive(Clone, Debug)]
pub enum Value {
    /// `bool`.
    Bool(bool),
    /// `u8`, `u16`, `u32`, `u64`.
    Unsigned(u64),
    /// `i8`, `i16`, `i32`, `i64`.
    Signed(i64),
    /// `f32`.
    F32(f32),
    /// `f64`.
    F64(f64),
    /// `text`.
    Text(String),
    /// `blob`.
    Blob(Vec<u8>),
    /// `enum8`: the index, and its label.
    Enum(u8, Arc<str>),
    /// `time`: microseconds since 1970.
    Time(i64),
    /// A vector of numbers.
    Vector(Vec<Value>),
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Unsigned(a), Self::Unsigned(b)) => a == b,
            (Self::Signed(a), Self::Signed(b)) | (Self::Time(a), Self::Time(b)) => a == b,
            (Self::F32(a), Self::F32(b)) => a.to_bits() == b.to_bits(),
            (Self::F64(a), Self::F64(b)) => a.to_bits() == b.to_bits(),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Blob(a), Self::Blob(b)) => a == b,
            (Self::Enum(a, _), Self::Enum(b, _)) => a == b,
            (Self::Vector(a), Self::Vector(b)) => a == b,
            _ => false,
        }
    }
}

impl Value {
    /// Takes a value off the wire; `labels` are the channel's.
    pub fn from_wire(value: &senda_wire::Value<'_>, labels: &[Arc<str>]) -> Self {
        match *value {
            senda_wire::Value::Bool(value) => Self::Bool(value),
            senda_wire::Value::U8(value) => Self::Unsigned(value.into()),
            senda_wire::Value::U16(value) => Self::Unsigned(value.into()),
            senda_wire::Value::U32(value) => Self::Unsigned(value.into()),
            senda_wire::Value::U64(value) => Self::Unsigned(value),
            senda_wire::Value::I8(value) => Self::Signed(value.into()),
            senda_wire::Value::I16(value) => Self::Signed(value.into()),
            senda_wire::Value::I32(value) => Self::Signed(value.into()),
            senda_wire::Value::I64(value) => Self::Signed(value),
            senda_wire::Value::F32(value) => Self::F32(value),
            senda_wire::Value::F64(value) => Self::F64(value),
            senda_wire::Value::Text(value) => Self::Text(value.to_owned()),
            senda_wire::Value::Blob(value) => Self::Blob(value.to_vec()),
            senda_wire::Value::Enum(index) => Self::Enum(index, label(labels, index)),
            senda_wire::Value::Time(value) => Self::Time(value),
            senda_wire::Value::Vector(vector) => Self::Vector(
                vector.iter().map(|element| Self::from_wire(&element, labels)).collect(),
            ),
        }
    }

    /// Takes one column of a table of readings; `None` where it is NULL.
    pub(crate) fn from_column(
        column: ValueRef<'_>,
        value_type: ValueType,
        labels: &[Arc<str>],
    ) -> Option<Self> {
        match (value_type, column) {
            (ValueType::Bool, ValueRef::Integer(value)) => Some(Self::Bool(value != 0)),
            (
                ValueType::U8 | ValueType::U16 | ValueType::U32 | ValueType::U64,
                ValueRef::Integer(value),
            ) => Some(Self::Unsigned(value.cast_unsigned())),
            (
                ValueType::I8 | ValueType::I16 | ValueType::I32 | ValueType::I64,
                ValueRef::Integer(value),
            ) => Some(Self::Signed(value)),
            (ValueType::F32, ValueRef::Real(value)) => Some(Self::F32(narrow(value))),
            (ValueType::F32, ValueRef::Blob(bits)) => {
                Some(Self::F32(f32::from_bits(u32::from_be_bytes(bits.try_into().ok()?))))
            }
            (ValueType::F64, ValueRef::Real(value)) => Some(Self::F64(value)),
            (ValueType::F64, ValueRef::Blob(bits)) => {
                Some(Self::F64(f64::from_bits(u64::from_be_bytes(bits.try_into().ok()?))))
            }
            (ValueType::Text, ValueRef::Text(text)) => {
                Some(Self::Text(String::from_utf8_lossy(text).into_owned()))
            }
            (ValueType::Blob, ValueRef::Blob(bytes)) => Some(Self::Blob(bytes.to_vec())),
            (ValueType::Enum8, ValueRef::Integer(index)) => {
                let index = u8::try_from(index).ok()?;
                Some(Self::Enum(index, label(labels, index)))
            }
            (ValueType::Time, ValueRef::Integer(value)) => Some(Self::Time(value)),
            _ => None,
        }
    }
}

/// The column form of a scalar. SQLite has no NaN and no -0.0: their bits are kept as a blob in the same column.
pub(crate) fn to_column<'a>(value: &senda_wire::Value<'a>) -> ToSqlOutput<'a> {
    let integer = |value: i64| ToSqlOutput::Owned(value.into());
    match *value {
        senda_wire::Value::Bool(value) => integer(value.into()),
        senda_wire::Value::U8(value) | senda_wire::Value::Enum(value) => integer(value.into()),
        senda_wire::Value::U16(value) => integer(value.into()),
        senda_wire::Value::U32(value) => integer(value.into()),
        senda_wire::Value::U64(value) => integer(value.cast_signed()),
        senda_wire::Value::I8(value) => integer(value.into()),
        senda_wire::Value::I16(value) => integer(value.into()),
        senda_wire::Value::I32(value) => integer(value.into()),
        senda_wire::Value::I64(value) | senda_wire::Value::Time(value) => integer(value),
        senda_wire::Value::F32(value) => {
            if value.is_nan() || value.to_bits() == (-0.0f32).to_bits() {
                ToSqlOutput::Owned(value.to_bits().to_be_bytes().to_vec().into())
            } else {
                ToSqlOutput::Owned(f64::from(value).into())
            }
        }
        senda_wire::Value::F64(value) => {
            if value.is_nan() || value.to_bits() == (-0.0f64).to_bits() {
                ToSqlOutput::Owned(value.to_bits().to_be_bytes().to_vec().into())
            } else {
                ToSqlOutput::Owned(value.into())
            }
        }
        senda_wire::Value::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
        senda_wire::Value::Blob(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
        // Each element has a column of its own: `bind_row` takes vectors apart.
        senda_wire::Value::Vector(_) => ToSqlOutput::Owned(rusqlite::types::Value::Null),
    }
}

fn label(labels: &[Arc<str>], index: u8) -> Arc<str> {
    labels.get(usize::from(index)).map_or_else(|| Arc::from(""), Arc::clone)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the column was written from an f32, which an f64 holds exactly"
)]
const fn narrow(value: f64) -> f32 {
    value as f32
}
