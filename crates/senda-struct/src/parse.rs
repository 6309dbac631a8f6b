//! The text of a format, read. Mistakes are found in the order in which CPython finds them.

use alloc::vec::Vec;

use crate::field::{FieldKind, Run};
use crate::{ByteOrder, Code, FormatError};

/// The most bytes that a structure may have: C's `ssize_t`.
const SIZE_MAX: usize = isize::MAX.unsigned_abs();

/// What a text says.
pub(crate) struct Layout {
    pub(crate) order: ByteOrder,
    pub(crate) runs: Vec<Run>,
    /// Bytes of the structure.
    pub(crate) size: usize,
    pub(crate) value_count: usize,
}

pub(crate) fn parse(text: &str) -> Result<Layout, FormatError> {
    if let Some(at) = text.bytes().position(|byte| !byte.is_ascii()) {
        return Err(FormatError::NotAscii { at });
    }
    if let Some(at) = text.bytes().position(|byte| byte == 0) {
        return Err(FormatError::Null { at });
    }
    let prefix = text.bytes().next().and_then(ByteOrder::of);
    let order = prefix.unwrap_or_default();
    let mut layout = Layout { order, runs: Vec::new(), size: 0, value_count: 0 };
    let mut rest = text.bytes().enumerate().skip(usize::from(prefix.is_some()));
    while let Some((at, byte)) = rest.next() {
        if is_space(byte) {
            continue;
        }
        if !byte.is_ascii_digit() {
            layout.push(at, byte, 1)?;
            continue;
        }
        let mut count = usize::from(byte - b'0');
        let (code_at, code) = loop {
            let (digit_at, digit) = rest.next().ok_or(FormatError::CountWithoutCode { at })?;
            if !digit.is_ascii_digit() {
                break (digit_at, digit);
            }
            let next = count.checked_mul(10).and_then(|c| c.checked_add(usize::from(digit - b'0')));
            count = next.filter(|c| *c <= SIZE_MAX).ok_or(FormatError::TooLong { at })?;
        };
        layout.push(code_at, code, count)?;
    }
    Ok(layout)
}

impl Layout {
    /// Adds what a character and the number before it ask for.
    fn push(&mut self, at: usize, byte: u8, count: usize) -> Result<(), FormatError> {
        let letter = char::from(byte);
        let code = Code::from_letter(letter);
        if code.is_none() && letter != 'x' {
            return Err(FormatError::BadChar { at, found: letter });
        }
        let Some(code) = code else {
            let run =
                Run { kind: FieldKind::Padding, count: 1, offset: self.size, size: count, at };
            self.grow(at, count, 1)?;
            self.runs.extend((count > 0).then_some(run));
            return Ok(());
        };
        let size = code.size(self.order).ok_or(FormatError::NativeOnly { at, code })?;
        self.align(at, code.alignment(self.order))?;
        let kind = FieldKind::Value(code);
        let (count, size) = if code.takes_length() { (1, count) } else { (count, size) };
        let run = Run { kind, count, offset: self.size, size, at };
        self.grow(at, count, size)?;
        // Can't overflow: each adds at least a byte to the size or to the text.
        self.value_count += count;
        self.runs.extend((count > 0).then_some(run));
        Ok(())
    }

    /// A gap, where one is needed. `0i` asks for one, too, and nothing after it.
    fn align(&mut self, at: usize, alignment: usize) -> Result<(), FormatError> {
        let gap = self.size.next_multiple_of(alignment) - self.size;
        let run = Run { kind: FieldKind::Alignment, count: 1, offset: self.size, size: gap, at };
        self.grow(at, gap, 1)?;
        self.runs.extend((gap > 0).then_some(run));
        Ok(())
    }

    fn grow(&mut self, at: usize, count: usize, size: usize) -> Result<(), FormatError> {
        let bytes = count.checked_mul(size).and_then(|bytes| bytes.checked_add(self.size));
        self.size = bytes.filter(|size| *size <= SIZE_MAX).ok_or(FormatError::TooLong { at })?;
        Ok(())
    }
}

/// As C's `isspace` has it: the vertical tab, too, which Rust's `is_ascii_whitespace` leaves out.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b'\x0b'
}
