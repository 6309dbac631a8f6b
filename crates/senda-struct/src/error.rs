//! Who refused what, and where. The texts are CPython's where it has one; the fields say more.

use alloc::vec::Vec;

use crate::code::{Code, IntegerRange};

/// Why a text is no format.
///
/// Every variant has `at`: the byte of the text where the trouble is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FormatError {
    /// A character outside of ASCII.
    #[error("struct formats are ASCII")]
    NotAscii {
        /// Byte of the text.
        at: usize,
    },
    /// A zero byte.
    #[error("embedded null character")]
    Null {
        /// Byte of the text.
        at: usize,
    },
    /// A character that stands for nothing, or a byte order that is not the first character.
    #[error("bad char in struct format")]
    BadChar {
        /// Byte of the text.
        at: usize,
        /// What stands there.
        found: char,
    },
    /// `n`, `N` or `P` with a byte order other than `@`. Python says the same as of any bad character.
    #[error("bad char in struct format")]
    NativeOnly {
        /// Byte of the text.
        at: usize,
        /// What only native formats have.
        code: Code,
    },
    /// A number at the end.
    #[error("repeat count given without format specifier")]
    CountWithoutCode {
        /// First byte of the number.
        at: usize,
    },
    /// More than `isize::MAX` bytes, or a number that is more than that.
    #[error("total struct size too long")]
    TooLong {
        /// The character that is too much, or the first byte of the number.
        at: usize,
    },
}

impl FormatError {
    /// The byte of the text where the trouble is.
    #[must_use]
    pub const fn at(&self) -> usize {
        match *self {
            Self::NotAscii { at }
            | Self::Null { at }
            | Self::BadChar { at, .. }
            | Self::NativeOnly { at, .. }
            | Self::CountWithoutCode { at }
            | Self::TooLong { at } => at,
        }
    }
}

/// Why values were not packed.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PackError {
    /// More or fewer values than the format has.
    #[error("{function} expected {expected} items for packing (got {got})")]
    Count {
        /// `pack` or `pack_into`.
        function: &'static str,
        /// What the format takes.
        expected: usize,
        /// What was given.
        got: usize,
    },
    /// A value that its field can't hold.
    #[error("{error}")]
    Value {
        /// Which of the values, from 0.
        index: usize,
        /// The byte of the format's text where the field's character is.
        at: usize,
        /// What is wrong with it.
        error: ValueError,
    },
    /// `pack_into`: the buffer ends before the structure.
    #[error(
        "pack_into requires a buffer of at least {} bytes for packing {size} bytes at offset {offset} \
         (actual buffer size is {len})", size.saturating_add(*offset)
    )]
    BufferTooShort {
        /// Bytes of the structure.
        size: usize,
        /// Where it should begin, from the buffer's beginning.
        offset: usize,
        /// Bytes of the buffer.
        len: usize,
    },
    /// `pack_into`: fewer bytes than the structure has lie between a negative offset and the end.
    #[error("no space to pack {size} bytes at offset {offset}")]
    NoSpace {
        /// Bytes of the structure.
        size: usize,
        /// The offset, negative: from the buffer's end.
        offset: isize,
    },
    /// `pack_into`: a negative offset that points before the buffer.
    #[error("offset {offset} out of range for {len}-byte buffer")]
    OffsetOutOfRange {
        /// The offset, negative: from the buffer's end.
        offset: isize,
        /// Bytes of the buffer.
        len: usize,
    },
    /// `pack`: the allocator doesn't give that much.
    #[error("not enough memory for a structure of {size} bytes")]
    Memory {
        /// Bytes of the structure.
        size: usize,
    },
}

/// Why a field can't hold a value.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ValueError {
    /// A float or bytes for an integer.
    #[error("required argument is not an integer")]
    NotAnInteger,
    /// Bytes for a float.
    #[error("required argument is not a float")]
    NotAFloat,
    /// Something other than a single byte for `c`.
    #[error("char format requires a bytes object of length 1")]
    NotAChar,
    /// A number for `s` or `p`.
    #[error("argument for '{}' must be a bytes object", code.letter())]
    NotBytes {
        /// `s` or `p`.
        code: Code,
    },
    /// An integer that is too small or too large. (Before 3.13, Python words this in three ways.)
    #[error("'{}' format requires {} <= number <= {}", code.letter(), range.min, range.max)]
    IntegerOutOfRange {
        /// What the field is.
        code: Code,
        /// What it can hold.
        range: IntegerRange,
    },
    /// A finite number that rounds to infinity. A native `f` takes it and is infinite, as in Python.
    #[error("float too large to pack with {} format", code.letter())]
    FloatTooLarge {
        /// `e` or `f`.
        code: Code,
    },
    /// An integer that rounds to infinity as a half float.
    #[error("int too large to convert")]
    IntegerTooLarge,
}

/// Why bytes were not unpacked.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UnpackError {
    /// `unpack`: more or fewer bytes than the format has.
    #[error("unpack requires a buffer of {expected} bytes")]
    Size {
        /// Bytes of the structure.
        expected: usize,
        /// Bytes that were given.
        got: usize,
    },
    /// `unpack_from`: the buffer ends before the structure.
    #[error(
        "unpack_from requires a buffer of at least {} bytes for unpacking {size} bytes at offset {offset} \
         (actual buffer size is {len})", size.saturating_add(*offset)
    )]
    BufferTooShort {
        /// Bytes of the structure.
        size: usize,
        /// Where it should begin, from the buffer's beginning.
        offset: usize,
        /// Bytes of the buffer.
        len: usize,
    },
    /// `unpack_from`: fewer bytes than the structure has lie between a negative offset and the end.
    #[error("not enough data to unpack {size} bytes at offset {offset}")]
    NotEnoughData {
        /// Bytes of the structure.
        size: usize,
        /// The offset, negative: from the buffer's end.
        offset: isize,
    },
    /// `unpack_from`: a negative offset that points before the buffer.
    #[error("offset {offset} out of range for {len}-byte buffer")]
    OffsetOutOfRange {
        /// The offset, negative: from the buffer's end.
        offset: isize,
        /// Bytes of the buffer.
        len: usize,
    },
    /// `iter_unpack`: a structure of no bytes would never end.
    #[error("cannot iteratively unpack with a struct of length 0")]
    EmptyRecord,
    /// `iter_unpack`: the bytes are no whole number of structures.
    #[error("iterative unpacking requires a buffer of a multiple of {size} bytes")]
    PartialRecord {
        /// Bytes of the structure.
        size: usize,
        /// Bytes that were given.
        got: usize,
    },
    /// The allocator doesn't give room for so many values.
    #[error("not enough memory for {count} values")]
    Memory {
        /// Values of the structure.
        count: usize,
    },
}

/// What the functions say that take a format's text.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The format is wrong.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The values don't fit it.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The bytes don't fit it.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

/// An empty list with room for `count`, if there is memory.
pub(crate) fn with_room<T>(count: usize) -> Option<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(count).ok()?;
    Some(list)
}
