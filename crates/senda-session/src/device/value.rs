//! Typed values that outlive the bytes that brought them: settings, arguments, results.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use senda_wire::registry::ELEMENTS_MAX;
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

macro_rules! owned_from {
    ($($type:ty => $variant:ident)*) => {
        $(impl From<$type> for OwnedValue {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

owned_from! {
    bool => Bool
    u8 => U8
    u16 => U16
    u32 => U32
    u64 => U64
    i8 => I8
    i16 => I16
    i32 => I32
    i64 => I64
    f32 => F32
    f64 => F64
    &str => Text
    String => Text
    &[u8] => Blob
    Vec<u8> => Blob
}

impl OwnedValue {
    /// A vector of these numbers; `None` unless they are 2 to 64 of one numeric type. Spec §4.2.
    ///
    /// ```
    /// use senda_session::device::OwnedValue;
    ///
    /// let acceleration = OwnedValue::vector(&[0.1f32.into(), (-9.8f32).into(), 0.0f32.into()]).unwrap();
    /// assert_eq!(acceleration.elements().nth(1), Some(OwnedValue::F32(-9.8)));
    /// assert!(OwnedValue::vector(&[1u8.into(), 1u16.into()]).is_none(), "of one type");
    /// ```
    pub fn vector(elements: &[Self]) -> Option<Self> {
        let element = elements.first()?.value_type();
        let alike = elements.iter().all(|other| other.value_type() == element);
        let scalar = elements.iter().all(|other| !matches!(other, Self::Vector { .. }));
        let good = alike && scalar && element.is_number();
        if !good || !(2..=ELEMENTS_MAX).contains(&elements.len()) {
            return None;
        }
        let mut bytes = Vec::new();
        elements.iter().for_each(|number| number.put_number(&mut bytes));
        Some(Self::Vector { element, bytes })
    }

    /// The elements of a vector, in order; of anything else, itself alone.
    pub fn elements(&self) -> impl Iterator<Item = Self> {
        let (vector, scalar) = match self.view() {
            Some(Value::Vector(vector)) => (Some(vector), None),
            _ => (None, Some(self.clone())),
        };
        vector.into_iter().flat_map(|vector| vector.iter().map(Self::from)).chain(scalar)
    }

    /// Its type; for a vector that of its elements.
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
            Self::Vector { element, .. } => *element,
        }
    }

    fn put_number(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(value) => out.push(*value),
            Self::U16(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::U32(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::U64(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::I8(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::I16(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::I32(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::I64(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::F32(value) => out.extend_from_slice(&value.to_bits().to_be_bytes()),
            Self::F64(value) => out.extend_from_slice(&value.to_bits().to_be_bytes()),
            // `vector` takes numbers alone.
            _ => {}
        }
    }

    /// A whole number, of whatever type.
    fn integer(&self) -> Option<i128> {
        Some(match *self {
            Self::U8(value) => value.into(),
            Self::U16(value) => value.into(),
            Self::U32(value) => value.into(),
            Self::U64(value) => value.into(),
            Self::I8(value) => value.into(),
            Self::I16(value) => value.into(),
            Self::I32(value) => value.into(),
            Self::I64(value) => value.into(),
            _ => return None,
        })
    }

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

/// For people: text as it is, a blob as `hex:00ff`, a time in microseconds, a vector in brackets.
impl fmt::Display for OwnedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::F32(value) => value.fmt(f),
            Self::F64(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::Time(value) => write!(f, "{value} us"),
            Self::Blob(bytes) => {
                f.write_str("hex:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Vector { .. } => {
                let mut separator = "[";
                for element in self.elements() {
                    write!(f, "{separator}{element}")?;
                    separator = ", ";
                }
                f.write_str("]")
            }
            Self::Enum(index) => index.fmt(f),
            integer => integer.integer().unwrap_or_default().fmt(f),
        }
    }
}

/// A named value of a CONFIG, COMMAND, ALERT or DONE.
///
/// ```
/// use senda_session::device::{Argument, OwnedValue};
///
/// // senda command pump-1 open 40 --gently
/// let arguments = [Argument::new("", 40i64), Argument::new("gently", true)];
/// let percent = Argument::find(&arguments, "percent", 0).and_then(Argument::as_f64);
/// let gently = Argument::find(&arguments, "gently", 1).and_then(Argument::as_bool);
/// assert_eq!((percent, gently), (Some(40.0), Some(true)));
///
/// let results = [Argument::new("opened", OwnedValue::Time(1_767_225_600_000_000)), Argument::scaled("pressure", 1_013u16, -3)];
/// assert_eq!(results[1].as_f64(), Some(1.013));
/// ```
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
    pub fn new(name: &str, value: impl Into<OwnedValue>) -> Self {
        Self::scaled(name, value, 0)
    }

    /// An integer that stands for value × 10^exponent.
    pub fn scaled(name: &str, value: impl Into<OwnedValue>, exponent: i8) -> Self {
        Self { name: name.into(), exponent, value: value.into() }
    }

    /// The first argument of this name, or else the one without a name that has this `position` among those, from 0.
    pub fn find<'a>(arguments: &'a [Self], name: &str, position: usize) -> Option<&'a Self> {
        let named = arguments.iter().find(|argument| argument.name == name);
        let mut positional = arguments.iter().filter(|argument| argument.name.is_empty());
        named.or_else(|| positional.nth(position))
    }

    /// A view of it, as [`List::build`] takes it.
    pub fn view(&self) -> Option<NamedValue<'_>> {
        let typed = TypedValue { exponent: self.exponent, value: self.value.view()? };
        Some(NamedValue { name: &self.name, typed })
    }

    /// The value of a whole, unscaled, non-negative number.
    pub fn as_u64(&self) -> Option<u64> {
        self.value.integer().filter(|_| self.exponent == 0)?.try_into().ok()
    }

    /// The value of a whole, unscaled number.
    pub fn as_i64(&self) -> Option<i64> {
        self.value.integer().filter(|_| self.exponent == 0)?.try_into().ok()
    }

    /// The value of any number, scaled or not, to the nearest.
    pub fn as_f64(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "to the nearest, as it says")]
        let number = match self.value {
            OwnedValue::F32(value) => return Some(value.into()),
            OwnedValue::F64(value) => return Some(value),
            ref other => other.integer()? as f64,
        };
        // At most 10^18, which a double holds exactly.
        let power: f64 = (0..self.exponent.unsigned_abs()).map(|_| 10.0).product();
        Some(if self.exponent < 0 { number / power } else { number * power })
    }

    /// The value of a bool.
    pub const fn as_bool(&self) -> Option<bool> {
        match self.value {
            OwnedValue::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The value of a text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            OwnedValue::Text(value) => Some(value),
            _ => None,
        }
    }
}

/// For people: `name=value`; with an exponent as in `pressure=1013e-3`.
impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.name.is_empty() {
            write!(f, "{}=", self.name)?;
        }
        self.value.fmt(f)?;
        if self.exponent == 0 { Ok(()) } else { write!(f, "e{}", self.exponent) }
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
