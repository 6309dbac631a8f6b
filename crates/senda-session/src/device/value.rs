//! Typed values that outlive the bytes that brought them: settings, arguments, results.

use alloc::string::String;
use alloc::vec::Vec;

use senda_wire::{List, NamedValue, TypedValue, Value, ValueType, Vector};

/// A value that owns its bytes. Spec §4.4.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedValue {
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
    /// `f32`.
    F32(f32),
    /// `f64`.
    F64(f64),
    /// `text`.
    Text(String),
    /// `blob`.
    Blob(Vec<u8>),
    /// `enum8`: an index. Only in rows; lists carry the label as text.
    Enum(u8),
    /// `time`: microseconds since 1970-01-01T00:00:00Z.
    Time(i64),
    /// A vector of numbers, its elements as they stand on the wire.
    Vector {
        /// Type of the elements.
        element: ValueType,
        /// The elements, big-endian, one after the other.
        bytes: Vec<u8>,
    },
}

impl From<Value<'_>> for OwnedValue {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(value),
            Value::U8(value) => Self::U8(value),
            Value::U16(value) => Self::U16(value),
            Value::U32(value) => Self::U32(value),
            Value::U64(value) => Self::U64(value),
            Value::I8(value) => Self::I8(value),
            Value::I16(value) => Self::I16(value),
            Value::I32(value) => Self::I32(value),
            Value::I64(value) => Self::I64(value),
            Value::F32(value) => Self::F32(value),
            Value::F64(value) => Self::F64(value),
            Value::Text(value) => Self::Text(value.into()),
            Value::Blob(value) => Self::Blob(value.into()),
            Value::Enum(value) => Self::Enum(value),
            Value::Time(value) => Self::Time(value),
            Value::Vector(vector) => {
                Self::Vector { element: vector.element(), bytes: vector.bytes().into() }
            }
        }
    }
}

impl OwnedValue {
    /// A view of it; `None` for a vector whose bytes are not a whole number of elements.
    pub fn view(&self) -> Option<Value<'_>> {
        Some(match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::U8(value) => Value::U8(*value),
            Self::U16(value) => Value::U16(*value),
            Self::U32(value) => Value::U32(*value),
            Self::U64(value) => Value::U64(*value),
            Self::I8(value) => Value::I8(*value),
            Self::I16(value) => Value::I16(*value),
            Self::I32(value) => Value::I32(*value),
            Self::I64(value) => Value::I64(*value),
            Self::F32(value) => Value::F32(*value),
            Self::F64(value) => Value::F64(*value),
            Self::Text(value) => Value::Text(value),
            Self::Blob(value) => Value::Blob(value),
            Self::Enum(value) => Value::Enum(*value),
            Self::Time(value) => Value::Time(*value),
            Self::Vector { element, bytes } => Value::Vector(Vector::new(*element, bytes)?),
        })
    }
}

/// A named value of a CONFIG, COMMAND, ALERT or DONE.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// Empty for a positional argument.
    pub name: String,
    /// value = raw × 10^exponent, for integers.
    pub exponent: i8,
    /// The raw value.
    pub value: OwnedValue,
}

impl Argument {
    /// An argument without exponent.
    pub fn new(name: &str, value: OwnedValue) -> Self {
        Self { name: name.into(), exponent: 0, value }
    }

    /// A view of it, as [`List::build`] takes it.
    pub fn view(&self) -> Option<NamedValue<'_>> {
        let typed = TypedValue { exponent: self.exponent, value: self.value.view()? };
        Some(NamedValue { name: &self.name, typed })
    }

    /// The value of a whole, unscaled, non-negative number.
    pub fn as_u64(&self) -> Option<u64> {
        if self.exponent != 0 {
            return None;
        }
        match self.value {
            OwnedValue::U8(value) => Some(value.into()),
            OwnedValue::U16(value) => Some(value.into()),
            OwnedValue::U32(value) => Some(value.into()),
            OwnedValue::U64(value) => Some(value),
            OwnedValue::I8(value) => value.try_into().ok(),
            OwnedValue::I16(value) => value.try_into().ok(),
            OwnedValue::I32(value) => value.try_into().ok(),
            OwnedValue::I64(value) => value.try_into().ok(),
            _ => None,
        }
    }
}

pub(super) fn own_list(list: &List<'_>) -> Vec<Argument> {
    let own = |entry: NamedValue<'_>| Argument {
        name: entry.name.into(),
        exponent: entry.typed.exponent,
        value: entry.typed.value.into(),
    };
    list.iter().map(own).collect()
}
