//! The two cursors. Nothing else in this crate touches an offset.

use crate::{BodyError, EncodeError};

/// Reads big-endian fields off a borrowed slice. Each failure names the field that was missing.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// True when nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`BodyError::Short`] when fewer are left.
    pub fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], BodyError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(BodyError::Short { field })?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes, as an array.
    ///
    /// # Errors
    /// [`BodyError::Short`] when fewer are left.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], BodyError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(BodyError::Short { field })?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`BodyError::Short`] at the end.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, BodyError> {
        Ok(u8::from_be_bytes(self.array(field)?))
    }

    /// The next byte, signed.
    ///
    /// # Errors
    /// [`BodyError::Short`] at the end.
    pub fn i8(&mut self, field: &'static str) -> Result<i8, BodyError> {
        Ok(i8::from_be_bytes(self.array(field)?))
    }

    /// The next two bytes.
    ///
    /// # Errors
    /// [`BodyError::Short`] when fewer are left.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, BodyError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    /// The next four bytes.
    ///
    /// # Errors
    /// [`BodyError::Short`] when fewer are left.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, BodyError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    /// The next eight bytes.
    ///
    /// # Errors
    /// [`BodyError::Short`] when fewer are left.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, BodyError> {
        Ok(u64::from_be_bytes(self.array(field)?))
    }

    /// The next eight bytes, signed.
    ///
    /// # Errors
    /// [`BodyError::Short`] when fewer are left.
    pub fn i64(&mut self, field: &'static str) -> Result<i64, BodyError> {
        Ok(i64::from_be_bytes(self.array(field)?))
    }

    /// A length byte and that many bytes.
    ///
    /// # Errors
    /// [`BodyError::Short`] when fewer are left.
    pub fn bytes8(&mut self, field: &'static str) -> Result<&'a [u8], BodyError> {
        let len = self.u8(field)?;
        self.take(usize::from(len), field)
    }

    /// A length byte and that many bytes of UTF-8 ("B text").
    ///
    /// # Errors
    /// [`BodyError::Short`] when fewer are left, [`BodyError::Text`] when they are not UTF-8.
    pub fn text8(&mut self, field: &'static str) -> Result<&'a str, BodyError> {
        let bytes = self.bytes8(field)?;
        core::str::from_utf8(bytes).map_err(|_| BodyError::Text { field })
    }

    /// Ends the reading. Spec §5a.
    ///
    /// # Errors
    /// [`BodyError::Trailing`] when bytes are left.
    pub const fn finish(self) -> Result<(), BodyError> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(BodyError::Trailing { bytes }),
        }
    }
}

/// Writes big-endian fields into a borrowed slice. After a failure it only counts, so that the error can say how
/// much room was needed.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// A writer at the start of `out`.
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Bytes that were put so far, whether or not they fitted.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when nothing was put.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(target) = self.out.get_mut(self.len..end) {
            target.copy_from_slice(bytes);
        }
        self.len = end;
    }

    /// Appends a length byte and the bytes.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] above 255 bytes.
    pub fn put8(&mut self, bytes: &[u8], field: &'static str) -> Result<(), EncodeError> {
        let len = u8::try_from(bytes.len()).map_err(|_| EncodeError::TooLong { field })?;
        self.put(&[len]);
        self.put(bytes);
        Ok(())
    }

    /// What has been written.
    ///
    /// # Errors
    /// [`EncodeError::BufferTooSmall`] when not all of it fitted.
    pub fn finish(self) -> Result<&'a mut [u8], EncodeError> {
        let needed = self.len;
        self.out.get_mut(..needed).ok_or(EncodeError::BufferTooSmall { needed })
    }
}
