//! Bodies of ROWS, SPARSE and ROWS_U: samples, row by row. Spec §5.7 and §5.8.

use crate::registry::{DECODED_BYTES_MAX, ROWS_PER_MESSAGE_MAX, VALUES_MAX};
use crate::value::{Field, read_field};
use crate::{BodyError, Clock, EncodeError, Reader, Schema, Value, Writer};

/// Fields before the rows, 12 bytes, `'>HHq'`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DataHead {
    /// Schema id within the stream.
    pub schema: u16,
    /// By which clock the rows are dated.
    pub clock: Clock,
    /// Rows, 1 to 16,383.
    pub count: u16,
    /// Microseconds by the device's clock; 0 when the clock is [`Clock::None`].
    pub t0: i64,
}

/// A body whose head is right; the rows are checked by [`Data::rows`], which needs the schema.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Data<'a> {
    /// The fields before the rows.
    pub head: DataHead,
    /// The rows as they stand on the wire.
    pub rows: &'a [u8],
}

/// Whether each row begins with a bitmap of the channels that it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Presence {
    /// ROWS, ROWS_U: every channel is there.
    All,
    /// SPARSE: as the bitmap says.
    Bitmap,
}

/// Why no row of a body can be taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RowFault {
    /// BAD_BODY: the body does not have the layout of its schema. Spec §5.7b.
    Layout(BodyError),
    /// TOO_BIG: more values than [`VALUES_MAX`]. Spec §12.1a.
    TooManyValues {
        /// Rows × values in a row.
        values: usize,
    },
    /// TOO_BIG: more bytes in ROWS form than [`DECODED_BYTES_MAX`]. Spec §12.1a.
    TooManyBytes {
        /// Rows × bytes of the largest row.
        bytes: usize,
    },
}

impl DataHead {
    /// Checks the limits of a data message from schema and count alone, before a row is read or anything is reserved.
    /// The bytes are those of the largest row that the schema allows, without time offsets. Spec §12.1a, §5.9a.
    ///
    /// # Errors
    /// [`RowFault::TooManyValues`] or [`RowFault::TooManyBytes`]: answer NACK 203.
    pub fn check_size(&self, schema: &Schema<'_>) -> Result<(), RowFault> {
        let rows = usize::from(self.count);
        let (values, bytes) = (rows * schema.values(), rows * schema.row_max());
        if values > VALUES_MAX {
            return Err(RowFault::TooManyValues { values });
        }
        if bytes > DECODED_BYTES_MAX {
            return Err(RowFault::TooManyBytes { bytes });
        }
        Ok(())
    }
}

impl<'a> Data<'a> {
    /// Reads the head of a body.
    ///
    /// # Errors
    /// [`BodyError`] if it ends early, if count is 0, or if t0 is not 0 though there is no clock.
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, BodyError> {
        let mut reader = Reader::new(body);
        let schema = reader.u16("schema")?;
        let kind_and_count = reader.u16("count")?;
        let t0 = reader.i64("t0")?;
        let (clock, count) = Self::split_kind_and_count(kind_and_count);
        if count == 0 {
            return Err(BodyError::Range { field: "count", value: 0 });
        }
        if clock == Clock::None && t0 != 0 {
            return Err(BodyError::Range { field: "t0", value: t0.unsigned_abs() });
        }
        Ok(Self { head: DataHead { schema, clock, count, t0 }, rows: reader.rest() })
    }

    /// The number of rows that a body says it has, where nothing else about it may be right. Spec §5.26.
    pub fn count_of(body: &[u8]) -> Option<u16> {
        let mut reader = Reader::new(body);
        reader.u16("schema").ok()?;
        Some(reader.u16("count").ok()? & 0x3FFF).filter(|count| *count > 0)
    }

    /// The second field of the head: top two bits and low 14 bits. Spec §5.7.
    pub(crate) const fn split_kind_and_count(both: u16) -> (Clock, u16) {
        let clock = match both >> 14 {
            0 => Clock::None,
            1 => Clock::Monotonic,
            2 => Clock::UtcUnsynced,
            _ => Clock::UtcSynced,
        };
        (clock, both & 0x3FFF)
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        let DataHead { schema, clock, count, t0 } = self.head;
        if count == 0 || usize::from(count) > ROWS_PER_MESSAGE_MAX {
            return Err(EncodeError::TooLong { field: "count" });
        }
        out.put(&schema.to_be_bytes());
        out.put(&(u16::from(clock.code()) << 14 | count).to_be_bytes());
        out.put(&t0.to_be_bytes());
        out.put(self.rows);
        Ok(())
    }

    /// The rows, in order. `schema` is the one that `head.schema` names in this stream.
    ///
    /// # Errors
    /// See [`DataHead::check_size`]; nothing is read before it.
    pub fn rows<'s>(
        &self,
        schema: &Schema<'s>,
        presence: Presence,
    ) -> Result<Rows<'a, 's>, RowFault> {
        self.head.check_size(schema)?;
        Ok(Rows {
            reader: Reader::new(self.rows),
            schema: *schema,
            presence,
            count: self.head.count,
            next: 0,
        })
    }

    /// Checks every row, and calls `refused` with the index of each row that has a BAD_VALUE, ascending. Spec §5.7a.
    ///
    /// # Errors
    /// [`RowFault`]: no row can be taken. `refused` may have been called before.
    pub fn check(
        &self,
        schema: &Schema<'_>,
        presence: Presence,
        mut refused: impl FnMut(u16),
    ) -> Result<(), RowFault> {
        let mut rows = self.rows(schema, presence)?;
        while let Some(row) = rows.next_row().map_err(RowFault::Layout)? {
            if row.bad_channel.is_some() {
                refused(row.index);
            }
        }
        Ok(())
    }
}

/// The rows of a body. [`Rows::next_row`] is no `Iterator`: the first layout error ends it, and must not be missed.
#[derive(Clone, Debug)]
pub struct Rows<'a, 's> {
    reader: Reader<'a>,
    schema: Schema<'s>,
    presence: Presence,
    count: u16,
    next: u16,
}

impl<'a, 's> Rows<'a, 's> {
    /// The next row, or `None` after the last one.
    ///
    /// # Errors
    /// [`BodyError`]: the body ends within this row, has a bitmap bit without a channel, or goes on after the last row.
    pub fn next_row(&mut self) -> Result<Option<Row<'a, 's>>, BodyError> {
        if self.next == self.count {
            self.reader.finish()?;
            return Ok(None);
        }
        let time_offset = if self.count == 1 { 0 } else { self.reader.u32("time offset")? };
        let bitmap = match self.presence {
            Presence::All => None,
            Presence::Bitmap => Some(self.read_bitmap()?),
        };
        let start = self.reader.rest();
        let bad_channel = match (bitmap, self.schema.row_fixed()) {
            (None, Some(len)) if self.schema.is_always_good() => {
                self.reader.take(len, "row")?;
                None
            }
            _ => self.read_fields(bitmap)?,
        };
        let fields = &start[..start.len() - self.reader.rest().len()];
        let row =
            Row { index: self.next, time_offset, bad_channel, bitmap, fields, schema: self.schema };
        self.next += 1;
        Ok(Some(row))
    }

    fn read_bitmap(&mut self) -> Result<&'a [u8], BodyError> {
        let bitmap = self.reader.take(self.schema.bitmap_len(), "presence bitmap")?;
        let unused = bitmap.len() * 8 - self.schema.len();
        let spare = bitmap.last().map_or(0, |last| last & !(0xFF << unused));
        if spare != 0 {
            return Err(BodyError::Range { field: "presence bitmap", value: spare.into() });
        }
        Ok(bitmap)
    }

    /// Reads the fields of one row; the first channel whose value it can't have, if any.
    fn read_fields(&mut self, bitmap: Option<&[u8]>) -> Result<Option<u16>, BodyError> {
        let mut bad = None;
        for (number, channel) in (0u16..).zip(self.schema.shapes()) {
            if is_present(bitmap, usize::from(number))
                && matches!(read_field(channel, &mut self.reader)?, Field::Bad)
            {
                bad = bad.or(Some(number));
            }
        }
        Ok(bad)
    }
}

/// One row of a body.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a, 's> {
    /// Its place in the message, from 0; its row number is the message's seq plus this.
    pub index: u16,
    /// Microseconds after t0; 0 in a message of one row.
    pub time_offset: u32,
    /// The first channel whose value is one that it can't have: the row is refused. Spec §4.3b.
    pub bad_channel: Option<u16>,
    bitmap: Option<&'a [u8]>,
    fields: &'a [u8],
    schema: Schema<'s>,
}

impl<'a, 's> Row<'a, 's> {
    /// The fields as they stand on the wire, without time offset and bitmap.
    pub const fn fields(&self) -> &'a [u8] {
        self.fields
    }

    /// A value for each channel of the schema, in order; `None` for one that is absent (SPARSE), or that the
    /// channel can't have (see [`Row::bad_channel`]).
    pub fn values(&self) -> impl Iterator<Item = Option<Value<'a>>> + use<'a, 's> {
        let (bitmap, mut reader): (_, Reader<'a>) = (self.bitmap, Reader::new(self.fields));
        self.schema.shapes().enumerate().map(move |(number, shape)| {
            if !is_present(bitmap, number) {
                return None;
            }
            match read_field(shape, &mut reader) {
                Ok(Field::Good(value)) => Some(value),
                _ => None,
            }
        })
    }
}

/// Writes one row in ROWS form, without time offset. Returns its length.
///
/// # Errors
/// [`EncodeError::Mismatch`] for the first value that its channel can't have or that is missing,
/// [`EncodeError::BufferTooSmall`]; [`Schema::row_max`] bytes always suffice.
pub fn encode_row(
    schema: &Schema<'_>,
    values: &[Value<'_>],
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let mut writer = Writer::new(out);
    for (number, channel) in schema.channels().enumerate() {
        let value = values.get(number).filter(|value| channel.accepts(value));
        value.ok_or(EncodeError::Mismatch { channel: number })?.write(&mut writer)?;
    }
    if values.len() > schema.len() {
        return Err(EncodeError::Mismatch { channel: schema.len() });
    }
    Ok(writer.finish()?.len())
}

/// Writes one row in SPARSE form, bitmap first, without time offset. Returns its length.
///
/// # Errors
/// As [`encode_row`]; [`Schema::bitmap_len`] + [`Schema::row_max`] bytes always suffice.
pub fn encode_sparse_row(
    schema: &Schema<'_>,
    values: &[Option<Value<'_>>],
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    if values.len() != schema.len() {
        return Err(EncodeError::Mismatch { channel: values.len().min(schema.len()) });
    }
    let mut writer = Writer::new(out);
    for eight in values.chunks(8) {
        let bits =
            (0..).zip(eight).map(|(bit, value)| if value.is_some() { 0x80u8 >> bit } else { 0 });
        writer.put(&[bits.fold(0, |byte, bit| byte | bit)]);
    }
    for (number, (channel, value)) in schema.channels().zip(values).enumerate() {
        let Some(value) = value else { continue };
        if !channel.accepts(value) {
            return Err(EncodeError::Mismatch { channel: number });
        }
        value.write(&mut writer)?;
    }
    Ok(writer.finish()?.len())
}

pub(crate) fn is_present(bitmap: Option<&[u8]>, channel: usize) -> bool {
    bitmap.is_none_or(|bits| {
        bits.get(channel / 8).is_some_and(|byte| byte & 0x80 >> (channel % 8) != 0)
    })
}
