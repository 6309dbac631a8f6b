//! A format laid out, field by field.

use core::slice;

use crate::Code;

/// A piece of a structure: a value, or bytes between values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Field {
    /// What it is.
    pub kind: FieldKind,
    /// Bytes before it in the structure.
    pub offset: usize,
    /// Its bytes; may be 0.
    pub size: usize,
    /// The byte of the format's text where its character is; for a gap, the character that asks for the alignment.
    pub at: usize,
    /// Which value it is, from 0; none for what holds no value.
    pub index: Option<usize>,
}

/// What a piece of a structure is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FieldKind {
    /// A value.
    Value(Code),
    /// Bytes that the format leaves out with `x`: zero when packed, ignored when unpacked.
    Padding,
    /// A gap, so that what follows begins at a multiple of its alignment: zero when packed, ignored when unpacked.
    Alignment,
}

/// The fields of a format in the order of their offsets: one for each value, each run of `x` and each gap.
///
/// A field is made when it is asked for: there may be as many as the structure has bytes.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    runs: slice::Iter<'a, Run>,
    current: Option<Run>,
    /// Values so far.
    index: usize,
}

/// Equal fields, one after the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Run {
    pub(crate) kind: FieldKind,
    /// How many; at least 1.
    pub(crate) count: usize,
    /// Offset of the first.
    pub(crate) offset: usize,
    /// Bytes of each.
    pub(crate) size: usize,
    /// Where the character is in the text.
    pub(crate) at: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(runs: &'a [Run]) -> Self {
        Self { runs: runs.iter(), current: None, index: 0 }
    }
}

impl Iterator for Fields<'_> {
    type Item = Field;

    fn next(&mut self) -> Option<Field> {
        let run = match self.current.take() {
            Some(run) => run,
            None => *self.runs.next()?,
        };
        let Run { kind, count, offset, size, at } = run;
        if count > 1 {
            self.current = Some(Run { count: count - 1, offset: offset + size, ..run });
        }
        let is_value = matches!(kind, FieldKind::Value(_));
        let index = is_value.then_some(self.index);
        self.index += usize::from(is_value);
        Some(Field { kind, offset, size, at, index })
    }
}
