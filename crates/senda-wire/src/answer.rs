//! Schemas, rows that never come, and the collector's answers. Spec §5.4, §5.6 and §5.11 to §5.15.

use crate::check::{in_range, read_rest};
use crate::list::RANGE_LEN;
use crate::registry::SCHEMA_PARTS_MAX;
use crate::{BodyError, Causes, EncodeError, ErrorCode, Ranges, Reader, Writer};

/// DECLARE, `'>BBI'` and bytes. The frame's seq is the schema id. Spec §5.4.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Declare<'a> {
    /// Number of this part, from 0.
    pub part: u8,
    /// Parts in all, 1 to 64.
    pub parts: u8,
    /// CRC-32 of the whole description.
    pub crc: u32,
    /// This part of the description.
    pub bytes: &'a [u8],
}

impl<'a> Declare<'a> {
    pub(crate) fn read(body: &mut Reader<'a>) -> Result<Self, BodyError> {
        let part = body.u8("part")?;
        let parts = body.u8("parts")?;
        if parts == 0 || usize::from(parts) > SCHEMA_PARTS_MAX {
            return Err(BodyError::Range { field: "parts", value: parts.into() });
        }
        in_range("part", part.into(), 0, u32::from(parts) - 1)?;
        let crc = body.u32("crc")?;
        let bytes = read_rest(body);
        if bytes.is_empty() {
            return Err(BodyError::Short { field: "bytes" });
        }
        Ok(Self { part, parts, crc, bytes })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.put(&[self.part, self.parts]);
        out.put(&self.crc.to_be_bytes());
        out.put(self.bytes);
    }
}

/// CLOSE, `'>HI'` and text. Spec §5.6.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Close<'a> {
    /// Why.
    pub code: ErrorCode,
    /// Don't come back before; 0: as you like.
    pub retry_after_ms: u32,
    /// For people.
    pub text: &'a str,
}

impl<'a> Close<'a> {
    pub(crate) fn read(body: &mut Reader<'a>) -> Result<Self, BodyError> {
        Ok(Self {
            code: ErrorCode(body.u16("code")?),
            retry_after_ms: body.u32("retry_after_ms")?,
            text: body.text8("text")?,
        })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.put(&self.code.0.to_be_bytes());
        out.put(&self.retry_after_ms.to_be_bytes());
        out.put8(self.text.as_bytes(), "text")
    }
}

/// COUNTS, `'>QB'` and causes. Takes a row number itself. Spec §5.11.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counts<'a> {
    /// Samples of the stream with a row number below this message's.
    pub made: u64,
    /// Of those, dropped by the device.
    pub causes: Causes<'a>,
}

impl<'a> Counts<'a> {
    pub(crate) fn read(seq: u32, body: &mut Reader<'a>) -> Result<Self, BodyError> {
        in_range("seq", seq, 0, u32::MAX - 1)?;
        Ok(Self { made: body.u64("made")?, causes: Causes::read(body)? })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.put(&self.made.to_be_bytes());
        self.causes.write(out)
    }
}

/// SKIP, `'>IBH'`. Spec §5.12.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Skip {
    /// Rows, from 1, beginning with the frame's seq.
    pub count: u32,
    /// Why: a [`SkipCause`](crate::SkipCause), or one that this version does not know.
    pub cause: u8,
}

impl Skip {
    pub(crate) fn read(seq: u32, body: &mut Reader<'_>) -> Result<Self, BodyError> {
        let count = in_range("count", body.u32("count")?, 1, u32::MAX - seq)?;
        let cause = body.u8("cause")?;
        in_range("zero", body.u16("zero")?.into(), 0, 0)?;
        Ok(Self { count, cause })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.put(&self.count.to_be_bytes());
        out.put(&[self.cause, 0, 0]);
    }
}

/// ACK. The frame's seq is the cumulative mark. Spec §5.13.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ack<'a> {
    /// `None`: an empty body, and the window stays as it was.
    pub window: Option<Window<'a>>,
}

/// The body of an ACK, `'>IHHBB'` and ranges. Spec §5.13.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window<'a> {
    /// Rows that may be on their way from the mark on. Spec §8.1.
    pub window_rows: u32,
    /// Milliseconds from arrival of the newest message covered to this ACK.
    pub ack_delay_ms: u16,
    /// Milliseconds to wait when `window_rows` is 0.
    pub retry_after_ms: u16,
    /// Resolved rows above the mark.
    pub ranges: Ranges<'a>,
}

impl<'a> Ack<'a> {
    pub(crate) fn read(seq: u32, body: &mut Reader<'a>) -> Result<Self, BodyError> {
        if body.is_empty() {
            return Ok(Self { window: None });
        }
        let window_rows = body.u32("window_rows")?;
        let ack_delay_ms = body.u16("ack_delay_ms")?;
        let retry_after_ms = body.u16("retry_after_ms")?;
        in_range("zero", body.u8("zero")?.into(), 0, 0)?;
        let count = body.u8("ranges")?;
        let len = usize::from(count) * RANGE_LEN;
        let ranges = Ranges::new(seq, body.take(len, "ranges")?)?;
        Ok(Self { window: Some(Window { window_rows, ack_delay_ms, retry_after_ms, ranges }) })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        let Some(window) = self.window else {
            return Ok(());
        };
        let count = u8::try_from(window.ranges.len())
            .map_err(|_| EncodeError::TooLong { field: "ranges" })?;
        out.put(&window.window_rows.to_be_bytes());
        out.put(&window.ack_delay_ms.to_be_bytes());
        out.put(&window.retry_after_ms.to_be_bytes());
        out.put(&[0, count]);
        out.put(window.ranges.bytes());
        Ok(())
    }
}

/// NACK, `'>BHIII'` and text. The frame's seq is that of the refused message. Spec §5.14.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Nack<'a> {
    /// Type code of the refused message.
    pub refused_type: u8,
    /// Why.
    pub code: ErrorCode,
    /// First row meant, 0 where no rows are.
    pub first: u32,
    /// Rows meant, 0 where none are. No range is stated: `first + count` may pass [`u32::MAX`].
    pub count: u32,
    /// Class 1xx: don't send these rows before.
    pub retry_after_ms: u32,
    /// For people: what, where, what to do.
    pub text: &'a str,
}

impl<'a> Nack<'a> {
    pub(crate) fn read(body: &mut Reader<'a>) -> Result<Self, BodyError> {
        let refused_type = body.u8("type")?;
        let code = ErrorCode(body.u16("code")?);
        let first = body.u32("first")?;
        let count = body.u32("count")?;
        let retry_after_ms = body.u32("retry_after_ms")?;
        Ok(Self { refused_type, code, first, count, retry_after_ms, text: body.text8("text")? })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.put(&[self.refused_type]);
        out.put(&self.code.0.to_be_bytes());
        out.put(&self.first.to_be_bytes());
        out.put(&self.count.to_be_bytes());
        out.put(&self.retry_after_ms.to_be_bytes());
        out.put8(self.text.as_bytes(), "text")
    }
}

/// REPORT, `'>III'`. The frame's seq is the highest counter seen. Spec §5.15.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Report {
    /// Messages taken since the session began, without duplicates.
    pub received: u32,
    /// Duplicates dropped.
    pub duplicates: u32,
    /// Counters up to seq that have not come.
    pub missing: u32,
}

impl Report {
    pub(crate) fn read(body: &mut Reader<'_>) -> Result<Self, BodyError> {
        Ok(Self {
            received: body.u32("received")?,
            duplicates: body.u32("duplicates")?,
            missing: body.u32("missing")?,
        })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.put(&self.received.to_be_bytes());
        out.put(&self.duplicates.to_be_bytes());
        out.put(&self.missing.to_be_bytes());
    }
}
