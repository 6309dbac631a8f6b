//! What a character of a format stands for.

use core::ffi::{c_int, c_long, c_longlong, c_short, c_void};
use core::mem::{align_of, size_of};

use crate::ByteOrder;

/// A format character that stands for a value. `x`, which stands for none, is not among them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Code {
    /// `c`: one byte, as bytes of length 1.
    Char,
    /// `b`: C's `signed char`.
    SignedChar,
    /// `B`: C's `unsigned char`.
    UnsignedChar,
    /// `?`: C's `_Bool`.
    Bool,
    /// `h`: C's `short`.
    Short,
    /// `H`: C's `unsigned short`.
    UnsignedShort,
    /// `i`: C's `int`.
    Int,
    /// `I`: C's `unsigned int`.
    UnsignedInt,
    /// `l`: C's `long`; 4 bytes by the standard, 4 or 8 native.
    Long,
    /// `L`: C's `unsigned long`; 4 bytes by the standard, 4 or 8 native.
    UnsignedLong,
    /// `q`: C's `long long`.
    LongLong,
    /// `Q`: C's `unsigned long long`.
    UnsignedLongLong,
    /// `n`: C's `ssize_t`; native only.
    SignedSize,
    /// `N`: C's `size_t`; native only.
    Size,
    /// `e`: IEEE 754 binary16.
    Half,
    /// `f`: C's `float`, IEEE 754 binary32.
    Float,
    /// `d`: C's `double`, IEEE 754 binary64.
    Double,
    /// `s`: bytes; the number before it is their length, not a repetition.
    Bytes,
    /// `p`: Pascal's string, a byte with the length and then the bytes; the number before it is the length of both.
    Pascal,
    /// `P`: C's `void *`; native only.
    Pointer,
}

/// The integers that a field can hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IntegerRange {
    /// The least of them.
    pub min: i128,
    /// The greatest of them.
    pub max: i128,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Char,
        Self::SignedChar,
        Self::UnsignedChar,
        Self::Bool,
        Self::Short,
        Self::UnsignedShort,
        Self::Int,
        Self::UnsignedInt,
        Self::Long,
        Self::UnsignedLong,
        Self::LongLong,
        Self::UnsignedLongLong,
        Self::SignedSize,
        Self::Size,
        Self::Half,
        Self::Float,
        Self::Double,
        Self::Bytes,
        Self::Pascal,
        Self::Pointer,
    ];

    /// The character of a format.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Char => 'c',
            Self::SignedChar => 'b',
            Self::UnsignedChar => 'B',
            Self::Bool => '?',
            Self::Short => 'h',
            Self::UnsignedShort => 'H',
            Self::Int => 'i',
            Self::UnsignedInt => 'I',
            Self::Long => 'l',
            Self::UnsignedLong => 'L',
            Self::LongLong => 'q',
            Self::UnsignedLongLong => 'Q',
            Self::SignedSize => 'n',
            Self::Size => 'N',
            Self::Half => 'e',
            Self::Float => 'f',
            Self::Double => 'd',
            Self::Bytes => 's',
            Self::Pascal => 'p',
            Self::Pointer => 'P',
        }
    }

    /// What a character of a format stands for. `x` and what is no format character stand for none.
    #[must_use]
    pub fn from_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.letter() == letter)
    }

    /// Whether only [`ByteOrder::Native`] has it.
    #[must_use]
    pub const fn is_native_only(self) -> bool {
        matches!(self, Self::SignedSize | Self::Size | Self::Pointer)
    }

    /// Whether the number before it is a length: `3s` is one value, `3i` is three.
    #[must_use]
    pub const fn takes_length(self) -> bool {
        matches!(self, Self::Bytes | Self::Pascal)
    }

    /// Bytes of one field, of one character for `s` and `p`; none where the byte order doesn't have it.
    #[must_use]
    pub const fn size(self, order: ByteOrder) -> Option<usize> {
        if order.is_aligned() {
            return Some(self.native_layout().0);
        }
        Some(match self {
            Self::Char | Self::SignedChar | Self::UnsignedChar | Self::Bool => 1,
            Self::Bytes | Self::Pascal => 1,
            Self::Short | Self::UnsignedShort | Self::Half => 2,
            Self::Int | Self::UnsignedInt | Self::Long | Self::UnsignedLong | Self::Float => 4,
            Self::LongLong | Self::UnsignedLongLong | Self::Double => 8,
            Self::SignedSize | Self::Size | Self::Pointer => return None,
        })
    }

    /// What the offset of a field is a multiple of, in bytes: 1 unless the byte order is native.
    #[must_use]
    pub const fn alignment(self, order: ByteOrder) -> usize {
        if order.is_aligned() { self.native_layout().1 } else { 1 }
    }

    /// The integers that a field can hold; none for what holds no integers.
    #[must_use]
    pub const fn integer_range(self, order: ByteOrder) -> Option<IntegerRange> {
        let Some(size) = self.size(order) else { return None };
        let span = 1_i128 << (8 * size);
        match self {
            Self::SignedChar | Self::Short | Self::Int | Self::Long => {}
            Self::LongLong | Self::SignedSize => {}
            Self::UnsignedChar
            | Self::UnsignedShort
            | Self::UnsignedInt
            | Self::UnsignedLong
            | Self::UnsignedLongLong
            | Self::Size => {
                return Some(IntegerRange { min: 0, max: span - 1 });
            }
            // An address may be given as a signed number, as C's cast takes it.
            Self::Pointer => return Some(IntegerRange { min: -span / 2, max: span - 1 }),
            _ => return None,
        }
        Some(IntegerRange { min: -span / 2, max: span / 2 - 1 })
    }

    /// Whether a stored number may be negative.
    pub(crate) const fn is_signed(self) -> bool {
        use Code::{Int, Long, LongLong, Short, SignedChar, SignedSize};
        matches!(self, SignedChar | Short | Int | Long | LongLong | SignedSize)
    }

    /// Size and alignment in bytes, as C has them on this machine.
    const fn native_layout(self) -> (usize, usize) {
        match self {
            Self::Char | Self::SignedChar | Self::UnsignedChar => (1, 1),
            Self::Bytes | Self::Pascal => (1, 1),
            // The reference of Rust promises that these two are as C's.
            Self::Bool => (size_of::<bool>(), align_of::<bool>()),
            // C has no half floats everywhere; Python gives them the alignment of `short`.
            Self::Half => (2, align_of::<c_short>()),
            Self::Short | Self::UnsignedShort => (size_of::<c_short>(), align_of::<c_short>()),
            Self::Int | Self::UnsignedInt => (size_of::<c_int>(), align_of::<c_int>()),
            Self::Long | Self::UnsignedLong => (size_of::<c_long>(), align_of::<c_long>()),
            Self::LongLong | Self::UnsignedLongLong => {
                (size_of::<c_longlong>(), align_of::<c_longlong>())
            }
            Self::SignedSize | Self::Size => (size_of::<usize>(), align_of::<usize>()),
            Self::Float => (size_of::<f32>(), align_of::<f32>()),
            Self::Double => (size_of::<f64>(), align_of::<f64>()),
            Self::Pointer => (size_of::<*const c_void>(), align_of::<*const c_void>()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_finds_its_code_again() {
        for code in Code::ALL {
            assert_eq!(Code::from_letter(code.letter()), Some(code));
        }
        for other in ['x', 'z', '@', ' ', 'ñ', '\0'] {
            assert_eq!(Code::from_letter(other), None);
        }
    }
}
