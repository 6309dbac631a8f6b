//! Bytes to values.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::slice::ChunksExact;

use crate::error::with_room;
use crate::field::{FieldKind, Run};
use crate::float::{half_to, single_to};
use crate::{ByteOrder, Code, Format, UnpackError, Value};

impl Format {
    /// Reads the values of a structure out of bytes that are exactly as long as it is.
    ///
    /// ```
    /// # use senda_struct::{Format, Value};
    /// let format = Format::new("<Bxh3p")?;
    /// let values = format.unpack(b"\x07\0\xfe\xff\x02hi")?;
    /// assert_eq!(values, [Value::Int(7), Value::Int(-2), b"hi".into()]);
    /// # Ok::<(), senda_struct::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Size` unless there are [`size`](Self::size) bytes, `Memory` where the allocator doesn't give room for
    /// [`value_count`](Self::value_count) values. Any bytes of the right number are values of something.
    pub fn unpack(&self, bytes: &[u8]) -> Result<Vec<Value>, UnpackError> {
        let (expected, got) = (self.size(), bytes.len());
        if expected != got {
            return Err(UnpackError::Size { expected, got });
        }
        self.read_checked(bytes)
    }

    /// Reads the values of a structure that begins somewhere in a buffer; what is around it is ignored. A negative
    /// offset counts from the buffer's end.
    ///
    /// # Errors
    /// `NotEnoughData`, `OffsetOutOfRange` or `BufferTooShort` where the structure doesn't lie within the buffer;
    /// `Memory` as [`unpack`](Self::unpack).
    pub fn unpack_from(&self, bytes: &[u8], offset: isize) -> Result<Vec<Value>, UnpackError> {
        let (size, len) = (self.size(), bytes.len());
        let from_end = offset.unsigned_abs();
        let start = match usize::try_from(offset) {
            Ok(offset) => offset,
            Err(_) if size > from_end => return Err(UnpackError::NotEnoughData { size, offset }),
            Err(_) => {
                len.checked_sub(from_end).ok_or(UnpackError::OffsetOutOfRange { offset, len })?
            }
        };
        let end = start.checked_add(size);
        let place = end.and_then(|end| bytes.get(start..end));
        self.read_checked(place.ok_or(UnpackError::BufferTooShort { size, offset: start, len })?)
    }

    /// Reads one structure after the other, until the bytes end.
    ///
    /// ```
    /// # use senda_struct::{Format, Value};
    /// let format = Format::new("!H")?;
    /// let numbers: Vec<_> = format.iter_unpack(&[0, 1, 0, 2])?.collect();
    /// assert_eq!(numbers, [[Value::Int(1)], [Value::Int(2)]]);
    /// # Ok::<(), senda_struct::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EmptyRecord` for a structure of no bytes, `PartialRecord` unless there is a whole number of structures.
    pub fn iter_unpack<'a>(&'a self, bytes: &'a [u8]) -> Result<IterUnpack<'a>, UnpackError> {
        IterUnpack::new(Cow::Borrowed(self), bytes)
    }

    /// `bytes` are as long as the structure.
    fn read_checked(&self, bytes: &[u8]) -> Result<Vec<Value>, UnpackError> {
        let count = self.value_count();
        let mut values = with_room(count).ok_or(UnpackError::Memory { count })?;
        self.read(bytes, &mut values);
        Ok(values)
    }

    /// `bytes` are as long as the structure.
    fn read(&self, bytes: &[u8], values: &mut Vec<Value>) {
        for Run { kind, count, offset, size, .. } in &self.runs {
            let FieldKind::Value(code) = *kind else { continue };
            for nth in 0..*count {
                let start = offset + nth * size;
                values.push(read_value(&bytes[start..start + size], code, self.byte_order()));
            }
        }
    }
}

/// One structure after the other; made by [`Format::iter_unpack`].
#[derive(Clone, Debug)]
pub struct IterUnpack<'a> {
    format: Cow<'a, Format>,
    records: ChunksExact<'a, u8>,
}

impl<'a> IterUnpack<'a> {
    /// The same of a format that nobody else keeps.
    pub(crate) fn owning(format: Format, bytes: &'a [u8]) -> Result<Self, UnpackError> {
        Self::new(Cow::Owned(format), bytes)
    }

    fn new(format: Cow<'a, Format>, bytes: &'a [u8]) -> Result<Self, UnpackError> {
        let (size, got) = (format.size(), bytes.len());
        if size == 0 {
            return Err(UnpackError::EmptyRecord);
        }
        if !got.is_multiple_of(size) {
            return Err(UnpackError::PartialRecord { size, got });
        }
        Ok(Self { format, records: bytes.chunks_exact(size) })
    }
}

impl Iterator for IterUnpack<'_> {
    type Item = Vec<Value>;

    fn next(&mut self) -> Option<Vec<Value>> {
        let record = self.records.next()?;
        let mut values = Vec::with_capacity(self.format.value_count());
        self.format.read(record, &mut values);
        Some(values)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

impl ExactSizeIterator for IterUnpack<'_> {}

fn read_value(field: &[u8], code: Code, order: ByteOrder) -> Value {
    match code {
        Code::Char | Code::Bytes => Value::Bytes(field.to_vec()),
        Code::Pascal => Value::Bytes(read_pascal(field)),
        Code::Bool => Value::Bool(field.iter().any(|byte| *byte != 0)),
        Code::Half => Value::Float(half_to(u16::from_le_bytes(little(field, order)))),
        Code::Float => Value::Float(single_to(u32::from_le_bytes(little(field, order)))),
        Code::Double => Value::Float(f64::from_le_bytes(little(field, order))),
        _ => Value::Int(read_integer(field, code, order)),
    }
}

fn read_integer(field: &[u8], code: Code, order: ByteOrder) -> i128 {
    let mut bytes = little::<16>(field, order);
    let is_negative = bytes[field.len() - 1] >= 0x80;
    if code.is_signed() && is_negative {
        bytes[field.len()..].fill(0xff);
    }
    i128::from_le_bytes(bytes)
}

/// The field with its least significant byte first, and zeros after it. `N` is at least its length.
fn little<const N: usize>(field: &[u8], order: ByteOrder) -> [u8; N] {
    let mut bytes = [0; N];
    let place = &mut bytes[..field.len()];
    place.copy_from_slice(field);
    if !order.is_little_endian() {
        place.reverse();
    }
    bytes
}

/// As many bytes as the length byte says and the field has.
fn read_pascal(field: &[u8]) -> Vec<u8> {
    let Some((length, rest)) = field.split_first() else { return Vec::new() };
    rest[..rest.len().min(usize::from(*length))].to_vec()
}
