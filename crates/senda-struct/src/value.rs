//! What goes into a format and comes out of it.

use alloc::vec::Vec;

/// One value of a packed structure.
///
/// Which values a format character takes is what Python's takes, and nothing else:
///
/// | characters                | takes                                            | gives     |
/// |---------------------------|--------------------------------------------------|-----------|
/// | `b B h H i I l L q Q n N` | `Int` within the field's range; `Bool` as 0 or 1 | `Int`     |
/// | `P`                       | the same; negative ones wrap around              | `Int`     |
/// | `e f d`                   | `Float`; `Int` as the nearest float; `Bool` as 0 or 1 | `Float` |
/// | `?`                       | anything: all but 0, 0.0, -0.0, `false` and no bytes is true | `Bool` |
/// | `c`                       | `Bytes` of length 1                              | `Bytes`   |
/// | `s p`                     | `Bytes` of any length: cut, or filled with zeros | `Bytes`   |
///
/// An integer field refuses a `Float`, also one without a fraction. `s` gives its zeros back, `p` doesn't.
///
/// Two values are equal when Rust says so of what they hold: `Float(NAN)` is not equal to itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An integer; wide enough for every field, and for numbers that no field holds.
    Int(i128),
    /// A float.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// What Python's `bool()` makes of it.
    #[must_use]
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Bool(value) => *value,
            Self::Bytes(bytes) => !bytes.is_empty(),
        }
    }
}

impl From<i128> for Value {
    fn from(value: i128) -> Self {
        Self::Int(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value.into())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(value.into())
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}
