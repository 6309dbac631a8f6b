//! Values to bytes.

use alloc::vec::Vec;

use crate::error::with_room;
use crate::field::{FieldKind, Run};
use crate::float::{half_from, single_from};
use crate::{ByteOrder, Code, Format, PackError, Value, ValueError};

impl Format {
    /// Makes bytes of values, exactly [`size`](Self::size) of them. Padding and gaps are zero.
    ///
    /// ```
    /// # use senda_struct::{Format, Value};
    /// let format = Format::new(">hB2s")?;
    /// let bytes = format.pack(&[Value::Int(-2), Value::Bool(true), b"hi".into()])?;
    /// assert_eq!(bytes, b"\xff\xfe\x01hi");
    /// # Ok::<(), senda_struct::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Count` unless there are [`value_count`](Self::value_count) values, `Value` for the first one that its field
    /// can't hold, `Memory` where the allocator doesn't give [`size`](Self::size) bytes.
    pub fn pack(&self, values: &[Value]) -> Result<Vec<u8>, PackError> {
        self.check_count("pack", values)?;
        let size = self.size();
        let mut bytes = with_room(size).ok_or(PackError::Memory { size })?;
        bytes.resize(size, 0);
        self.write(&mut bytes, values)?;
        Ok(bytes)
    }

    /// Writes values into a buffer. A negative offset counts from the buffer's end. Padding and gaps become zero; bytes
    /// outside of the structure stay as they are.
    ///
    /// # Errors
    /// As [`pack`](Self::pack), and `NoSpace`, `OffsetOutOfRange` or `BufferTooShort` where the structure doesn't lie
    /// within the buffer; then the buffer is as before. After `Value`, what precedes that field is written and the
    /// structure's other bytes are zero, as in Python.
    pub fn pack_into(
        &self,
        buffer: &mut [u8],
        offset: isize,
        values: &[Value],
    ) -> Result<(), PackError> {
        self.check_count("pack_into", values)?;
        let (size, len) = (self.size(), buffer.len());
        let from_end = offset.unsigned_abs();
        let start = match usize::try_from(offset) {
            Ok(offset) => offset,
            Err(_) if size > from_end => return Err(PackError::NoSpace { size, offset }),
            Err(_) => {
                len.checked_sub(from_end).ok_or(PackError::OffsetOutOfRange { offset, len })?
            }
        };
        let end = start.checked_add(size);
        let place = end.and_then(|end| buffer.get_mut(start..end));
        let place = place.ok_or(PackError::BufferTooShort { size, offset: start, len })?;
        place.fill(0);
        self.write(place, values)
    }

    fn check_count(&self, function: &'static str, values: &[Value]) -> Result<(), PackError> {
        let (expected, got) = (self.value_count(), values.len());
        if expected == got { Ok(()) } else { Err(PackError::Count { function, expected, got }) }
    }

    /// `bytes` are as long as the structure and zero; there are as many values as it has.
    fn write(&self, bytes: &mut [u8], values: &[Value]) -> Result<(), PackError> {
        let mut rest = values.iter().enumerate();
        for Run { kind, count, offset, size, at } in &self.runs {
            let FieldKind::Value(code) = *kind else { continue };
            for (nth, (index, value)) in rest.by_ref().take(*count).enumerate() {
                let start = offset + nth * size;
                let field = &mut bytes[start..start + size];
                write_value(field, code, self.byte_order(), value)
                    .map_err(|error| PackError::Value { index, at: *at, error })?;
            }
        }
        Ok(())
    }
}

fn write_value(
    field: &mut [u8],
    code: Code,
    order: ByteOrder,
    value: &Value,
) -> Result<(), ValueError> {
    match code {
        Code::Char => match value {
            Value::Bytes(bytes) if bytes.len() == 1 => field.copy_from_slice(bytes),
            _ => return Err(ValueError::NotAChar),
        },
        Code::Bool => write_integer(field, order, value.is_truthy().into()),
        Code::Bytes | Code::Pascal => match value {
            Value::Bytes(bytes) if code == Code::Bytes => write_prefix(field, bytes),
            Value::Bytes(bytes) => write_pascal(field, bytes),
            _ => return Err(ValueError::NotBytes { code }),
        },
        Code::Half => {
            let too_large = match value {
                Value::Int(_) => ValueError::IntegerTooLarge,
                _ => ValueError::FloatTooLarge { code },
            };
            write_integer(field, order, half_from(float(value)?).ok_or(too_large)?.into());
        }
        Code::Float => {
            let value = float(value)?;
            let single = single_from(value);
            let overflows = value.is_finite() && !f32::from_bits(single).is_finite();
            // A native one is C's cast, which gives infinity.
            if overflows && !order.is_aligned() {
                return Err(ValueError::FloatTooLarge { code });
            }
            write_integer(field, order, single.into());
        }
        Code::Double => write_integer(field, order, float(value)?.to_bits().into()),
        _ => write_integer(field, order, integer(code, order, value)?),
    }
    Ok(())
}

fn integer(code: Code, order: ByteOrder, value: &Value) -> Result<i128, ValueError> {
    let value = match value {
        Value::Int(value) => *value,
        Value::Bool(value) => (*value).into(),
        Value::Float(_) | Value::Bytes(_) => return Err(ValueError::NotAnInteger),
    };
    match code.integer_range(order) {
        Some(range) if (range.min..=range.max).contains(&value) => Ok(value),
        Some(range) => Err(ValueError::IntegerOutOfRange { code, range }),
        None => Err(ValueError::NotAnInteger), // No other code gets here.
    }
}

fn float(value: &Value) -> Result<f64, ValueError> {
    match value {
        Value::Float(value) => Ok(*value),
        // To nearest, ties to even; no i128 is too large.
        Value::Int(value) => Ok(*value as f64),
        Value::Bool(value) => Ok((*value).into()),
        Value::Bytes(_) => Err(ValueError::NotAFloat),
    }
}

/// The low bytes of a number, as many as the field has (at most 8).
fn write_integer(field: &mut [u8], order: ByteOrder, value: i128) {
    let (len, bytes) = (field.len(), value.to_le_bytes());
    field.copy_from_slice(&bytes[..len]);
    if !order.is_little_endian() {
        field.reverse();
    }
}

fn write_prefix(field: &mut [u8], bytes: &[u8]) {
    let len = bytes.len().min(field.len());
    field[..len].copy_from_slice(&bytes[..len]);
}

/// The length byte says at most 255, also where more is written: as in Python.
fn write_pascal(field: &mut [u8], bytes: &[u8]) {
    // CPython before 3.13 writes the length of a `0p` past its end.
    let Some((length, place)) = field.split_first_mut() else { return };
    let len = bytes.len().min(place.len());
    *length = u8::try_from(len).unwrap_or(u8::MAX);
    place[..len].copy_from_slice(&bytes[..len]);
}
