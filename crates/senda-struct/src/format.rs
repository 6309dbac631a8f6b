//! Formats, compiled.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::field::{Fields, Run};
use crate::parse::{Layout, parse};
use crate::{ByteOrder, FormatError};

/// A format, compiled: which bytes of a structure are which value.
///
/// It takes memory in proportion to its text, whatever the numbers in it: `4000000000x` is a few dozen bytes.
/// Packing makes [`size`](Self::size) bytes and unpacking [`value_count`](Self::value_count) values: where a format
/// comes from outside, look at these first.
///
/// Two formats are equal when their texts are.
#[derive(Clone, Debug)]
pub struct Format {
    text: Box<str>,
    order: ByteOrder,
    pub(crate) runs: Vec<Run>,
    size: usize,
    value_count: usize,
}

impl Format {
    /// Compiles a format: a byte order, if any, then characters with numbers before them, and white space between.
    ///
    /// # Errors
    /// What Python refuses, and where it is. A structure has at most `isize::MAX` bytes.
    pub fn new(text: &str) -> Result<Self, FormatError> {
        let Layout { order, runs, size, value_count } = parse(text)?;
        Ok(Self { text: text.into(), order, runs, size, value_count })
    }

    /// The text that it was compiled from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Bytes of the structure: Python's `calcsize`. As in C, there may be gaps between fields but none at the end.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many values packing takes and unpacking gives.
    #[must_use]
    pub fn value_count(&self) -> usize {
        self.value_count
    }

    /// The byte order that the text asks for.
    #[must_use]
    pub fn byte_order(&self) -> ByteOrder {
        self.order
    }

    /// Values, padding and gaps, in the order of their offsets. Together they are the whole structure.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields::of(&self.runs)
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Format {}

impl core::str::FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::new(text)
    }
}

impl core::fmt::Display for Format {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.text)
    }
}
