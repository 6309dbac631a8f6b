#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod code; // what a character of a format stands for
mod error; // who refused what, and where
mod field; // a format laid out, field by field
mod float; // floats of 16 and 32 bits
mod format; // formats, compiled
mod order; // byte orders
mod pack; // values to bytes
mod parse; // text to runs
mod unpack; // bytes to values
mod value; // what goes in and comes out

use alloc::vec::Vec;

pub use code::{Code, IntegerRange};
pub use error::{Error, FormatError, PackError, UnpackError, ValueError};
pub use field::{Field, FieldKind, Fields};
pub use format::Format;
pub use order::ByteOrder;
pub use unpack::IterUnpack;
pub use value::Value;

/// How many bytes a format takes.
///
/// ```
/// assert_eq!(senda_struct::calcsize("<bi"), Ok(5));
/// ```
///
/// # Errors
/// What is wrong with the format, as [`Format::new`].
pub fn calcsize(format: &str) -> Result<usize, FormatError> {
    Ok(Format::new(format)?.size())
}

/// Makes bytes of values; see [`Format::pack`].
///
/// # Errors
/// [`Error::Format`] or [`Error::Pack`].
pub fn pack(format: &str, values: &[Value]) -> Result<Vec<u8>, Error> {
    Ok(Format::new(format)?.pack(values)?)
}

/// Writes values into a buffer; see [`Format::pack_into`].
///
/// # Errors
/// [`Error::Format`] or [`Error::Pack`].
pub fn pack_into(
    format: &str,
    buffer: &mut [u8],
    offset: isize,
    values: &[Value],
) -> Result<(), Error> {
    Ok(Format::new(format)?.pack_into(buffer, offset, values)?)
}

/// Reads values out of bytes that are exactly as long as the format; see [`Format::unpack`].
///
/// # Errors
/// [`Error::Format`] or [`Error::Unpack`].
pub fn unpack(format: &str, bytes: &[u8]) -> Result<Vec<Value>, Error> {
    Ok(Format::new(format)?.unpack(bytes)?)
}

/// Reads values from somewhere in a buffer; see [`Format::unpack_from`].
///
/// # Errors
/// [`Error::Format`] or [`Error::Unpack`].
pub fn unpack_from(format: &str, bytes: &[u8], offset: isize) -> Result<Vec<Value>, Error> {
    Ok(Format::new(format)?.unpack_from(bytes, offset)?)
}

/// Reads one record after the other; see [`Format::iter_unpack`].
///
/// # Errors
/// [`Error::Format`] or [`Error::Unpack`].
pub fn iter_unpack<'a>(format: &str, bytes: &'a [u8]) -> Result<IterUnpack<'a>, Error> {
    Ok(IterUnpack::owning(Format::new(format)?, bytes)?)
}
