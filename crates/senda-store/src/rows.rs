//! The rows of a landed message, numbered and dated: what filing inserts and queries show.

use senda_wire::registry::ErrorCode;
use senda_wire::{BodyError, Channel, Clock, Presence, Range, Reader, RowFault, Schema, Value};

use crate::clock::ClockState;
use crate::inbox::read_body;
use crate::time::{Dated, Dating};

/// A landed data message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataMessage<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) presence: Presence,
    pub(crate) numbering: Numbering<'a>,
    pub(crate) received: i64,
    /// What is known of the device's clock.
    pub(crate) clock: Option<ClockState>,
}

/// How its rows are numbered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbering<'a> {
    /// By the protocol; those in `pieces` were new when it landed, and some of them are refused.
    Acked { first: u32, pieces: &'a [Range], refused: &'a [(u16, u16)] },
    /// Outside the marks: below zero, by the message's counter. Spec §5.10.
    Unacked { counter: u32 },
}

/// One row that this message brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LandedRow {
    pub(crate) row: i64,
    pub(crate) dated: Dated,
    pub(crate) device_time: Option<i64>,
    pub(crate) clock: Clock,
    /// Why it is not stored.
    pub(crate) refused: Option<u16>,
    /// Where bitmap (SPARSE) and fields stand in the body.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl DataMessage<'_> {
    /// Calls `visit` with each row that was new when the message landed.
    ///
    /// # Errors
    /// [`RowFault`]: the body can't be read as `schema`. It was checked before it landed, so that is nobody's plan.
    pub(crate) fn rows(
        &self,
        schema: &Schema<'_>,
        mut visit: impl FnMut(LandedRow),
    ) -> Result<(), RowFault> {
        let data = read_body(self.body).map_err(RowFault::Layout)?;
        let bitmap = if self.presence == Presence::Bitmap { schema.bitmap_len() } else { 0 };
        let dating = Dating {
            clock: data.head.clock,
            t0: data.head.t0,
            received: self.received,
            known: self.clock,
            last: self.last_offset(schema)?,
        };
        let mut rows = data.rows(schema, self.presence)?;
        while let Some(row) = rows.next_row().map_err(RowFault::Layout)? {
            let Some((number, refused)) = self.number(row.index, row.bad_channel.is_some()) else {
                continue;
            };
            // The fields lie in the body: the distance is where.
            let start = row.fields().as_ptr().addr() - self.body.as_ptr().addr();
            visit(LandedRow {
                row: number,
                dated: dating.date(row.time_offset),
                device_time: dating.device_time(row.time_offset),
                clock: data.head.clock,
                refused,
                start: start - bitmap,
                end: start + row.fields().len(),
            });
        }
        Ok(())
    }

    /// The largest time offset, where the dates depend on it.
    fn last_offset(&self, schema: &Schema<'_>) -> Result<u32, RowFault> {
        let data = read_body(self.body).map_err(RowFault::Layout)?;
        if data.head.count == 1 || matches!(data.head.clock, Clock::UtcSynced | Clock::UtcUnsynced)
        {
            return Ok(0);
        }
        let mut rows = data.rows(schema, self.presence)?;
        let mut last = 0;
        while let Some(row) = rows.next_row().map_err(RowFault::Layout)? {
            last = last.max(row.time_offset);
        }
        Ok(last)
    }

    /// Number and refusal of the row with this index; `None` for one that was there before, or that has no record.
    fn number(&self, index: u16, is_bad: bool) -> Option<(i64, Option<u16>)> {
        match self.numbering {
            Numbering::Acked { first, pieces, refused } => {
                let row = first + u32::from(index);
                if !pieces.iter().any(|piece| (piece.start..piece.end).contains(&row)) {
                    return None;
                }
                let refused =
                    refused.iter().find(|(refused, _)| *refused == index).map(|(_, code)| *code);
                let bad = is_bad.then_some(ErrorCode::BAD_VALUE.0);
                Some((row.into(), refused.or(bad)))
            }
            // What is refused here is gone: there is no ledger for it.
            Numbering::Unacked { .. } if is_bad => None,
            Numbering::Unacked { counter } => {
                Some((-(i64::from(counter) * UNACKED_ROWS + i64::from(index)) - 1, None))
            }
        }
    }
}

/// Calls `visit` with each channel of a row and its value, if it is there. `bytes` are bitmap (SPARSE) and fields of a
/// row that was found good.
///
/// # Errors
/// [`BodyError`] when they are not.
pub(crate) fn read_row<'a, E: From<BodyError>>(
    bytes: &'a [u8],
    presence: Presence,
    channels: &[Channel<'_>],
    mut visit: impl FnMut(&Channel<'_>, Option<Value<'a>>) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::new(bytes);
    let bitmap = match presence {
        Presence::All => None,
        Presence::Bitmap => Some(reader.take(channels.len().div_ceil(8), "presence bitmap")?),
    };
    for (number, channel) in channels.iter().enumerate() {
        let is_there = bitmap.is_none_or(|bits| bits[number / 8] & 0x80 >> (number % 8) != 0); // Spec §5.8.
        let value = if is_there {
            Some(channel.read(&mut reader).ok_or(BodyError::Short { field: "value" })?)
        } else {
            None
        };
        visit(channel, value)?;
    }
    Ok(())
}

/// Row numbers of unacknowledged rows that belong to one message.
const UNACKED_ROWS: i64 = 16_384;
