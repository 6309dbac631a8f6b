//! The bytes of a row of the table `inbox`: the messages of one group commit, as they came.
//!
//! All numbers are big-endian. A blob is a header and entries, to the end:
//!
//! | bytes | field | |
//! |---|---|---|
//! | 0 | version | [`VERSION`] |
//! | 1..9 | base | i64, the earliest reception among the entries, µs UTC |
//! | 9.. | entries | each: type u8; a stream's definition, or stream u32, age u32, and the rest |
//!
//! | type | entry | fields |
//! |---|---|---|
//! | 0 | stream | u8 + device name, stream u64: defines the next stream index of this blob, from 0 |
//! | 1, 2 | rows, sparse rows | first u32, pieces, refused (u16 count, then index u16 and code u16 each), u32 + body |
//! | 3 | refused message | first u32, count u32, pieces, code u16, kind u8, u32 + body |
//! | 4 | skip | first u32, count u32, pieces, cause u8 |
//! | 5 | counts | row u32, made u64, u8 + (cause u8, count u64) each |
//! | 6 | unacknowledged rows | counter u32, u32 + body |
//! | 7 | schema | id u16, description i64: its id in the table `descriptions` |
//! | 8 | clock | offset i64, uncertainty u32, kind u8 |
//! | 9 | seen | u32 + transport, u32 + software |
//! | 10 | event | u32 + kind, u32 + text |
//!
//! `age` is the reception in microseconds after base (an hour at the most). *Pieces*: u8 count, then start u32 and
//! end u32 each: the rows that were new when this landed; 0 pieces: all of them.

use senda_wire::registry::ROWS_PER_MESSAGE_MAX;
use senda_wire::{BodyError, Clock, Data, DataHead, Presence, Range, Reader};

use crate::rows::Numbering;
use crate::{StoreError, What};

/// Version of the framing. A newer one would come with a new version of the database.
const VERSION: u8 = 1;

const STREAM: u8 = 0;
const ROWS: u8 = 1;
const SPARSE: u8 = 2;
const REFUSED: u8 = 3;
const SKIP: u8 = 4;
const COUNTS: u8 = 5;
const UNACKED: u8 = 6;
const SCHEMA: u8 = 7;
const CLOCK: u8 = 8;
const SEEN: u8 = 9;
const EVENT: u8 = 10;

/// Writes one blob.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    bytes: Vec<u8>,
    base: i64,
    streams: u32,
    rows: usize,
}

impl BlobWriter {
    /// An empty blob. `base` is at most the reception of every entry.
    pub(crate) fn new(base: i64) -> Self {
        let mut bytes = Vec::with_capacity(4_096);
        bytes.push(VERSION);
        bytes.extend(base.to_be_bytes());
        Self { bytes, base, streams: 0, rows: 0 }
    }

    /// Defines the next stream; the index by which entries refer to it.
    pub(crate) fn define(&mut self, device: &str, stream: u64) -> u32 {
        self.bytes.push(STREAM);
        self.bytes.push(u8::try_from(device.len()).unwrap_or(u8::MAX)); // At most NAME_MAX, checked by `land`.
        self.bytes.extend(device.as_bytes());
        self.bytes.extend(stream.to_be_bytes());
        self.streams += 1;
        self.streams - 1
    }

    /// Appends an entry. `pieces` are its rows that are new; `description` is for [`What::Declare`].
    pub(crate) fn put(
        &mut self,
        stream: u32,
        received: i64,
        what: &What,
        pieces: &[Range],
        description: i64,
    ) {
        let kind = match what {
            What::Rows { sparse: false, .. } => ROWS,
            What::Rows { sparse: true, .. } => SPARSE,
            What::RefusedMessage { .. } => REFUSED,
            What::Skip { .. } => SKIP,
            What::Counts { .. } => COUNTS,
            What::Unacked { .. } => UNACKED,
            What::Declare { .. } => SCHEMA,
            What::Clock { .. } => CLOCK,
            What::Seen { .. } => SEEN,
            What::Event { .. } => EVENT,
        };
        let age = u32::try_from(received.saturating_sub(self.base)).unwrap_or(u32::MAX);
        self.bytes.push(kind);
        self.bytes.extend(stream.to_be_bytes());
        self.bytes.extend(age.to_be_bytes());
        self.put_fields(what, pieces, description);
    }

    fn put_fields(&mut self, what: &What, pieces: &[Range], description: i64) {
        match what {
            What::Rows { first, count, refused, body, .. } => {
                self.rows += usize::from(*count);
                self.bytes.extend(first.to_be_bytes());
                self.put_pieces(Range { start: *first, end: first + u32::from(*count) }, pieces);
                self.bytes.extend(u16::try_from(refused.len()).unwrap_or(u16::MAX).to_be_bytes());
                for (index, code) in refused {
                    self.bytes.extend(index.to_be_bytes());
                    self.bytes.extend(code.to_be_bytes());
                }
                self.put_bytes(body);
            }
            What::RefusedMessage { first, count, code, kind, body } => {
                self.rows += 1;
                self.bytes.extend(first.to_be_bytes());
                self.bytes.extend(count.to_be_bytes());
                self.put_pieces(Range { start: *first, end: first + count }, pieces);
                self.bytes.extend(code.to_be_bytes());
                self.bytes.push(*kind);
                self.put_bytes(&body[..body.len().min(crate::landing::RAW_MAX)]);
            }
            What::Skip { first, count, cause } => {
                self.rows += 1;
                self.bytes.extend(first.to_be_bytes());
                self.bytes.extend(count.to_be_bytes());
                self.put_pieces(Range { start: *first, end: first + count }, pieces);
                self.bytes.push(*cause);
            }
            What::Counts { row, made, causes } => {
                self.rows += 1;
                self.bytes.extend(row.to_be_bytes());
                self.bytes.extend(made.to_be_bytes());
                self.bytes.push(u8::try_from(causes.len()).unwrap_or(u8::MAX));
                for (cause, count) in causes.iter().take(usize::from(u8::MAX)) {
                    self.bytes.push(*cause);
                    self.bytes.extend(count.to_be_bytes());
                }
            }
            What::Unacked { counter, count, body, .. } => {
                self.rows += usize::from(*count);
                self.bytes.extend(counter.to_be_bytes());
                self.put_bytes(body);
            }
            What::Declare { id, .. } => {
                self.bytes.extend(id.to_be_bytes());
                self.bytes.extend(description.to_be_bytes());
            }
            What::Clock { offset_us, uncertainty_us, kind } => {
                self.bytes.extend(offset_us.to_be_bytes());
                self.bytes.extend(uncertainty_us.to_be_bytes());
                self.bytes.push(*kind);
            }
            What::Seen { transport: one, software: two } | What::Event { kind: one, text: two } => {
                self.rows += 1;
                self.put_bytes(one.as_bytes());
                self.put_bytes(two.as_bytes());
            }
        }
    }

    fn put_pieces(&mut self, whole: Range, pieces: &[Range]) {
        let pieces = if pieces == [whole] { &[] } else { pieces };
        self.bytes.push(u8::try_from(pieces.len()).unwrap_or(u8::MAX)); // At most 65: see `Marks::resolve`.
        for piece in pieces {
            self.bytes.extend(piece.start.to_be_bytes());
            self.bytes.extend(piece.end.to_be_bytes());
        }
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.bytes.extend(bytes);
    }

    /// True before the first entry or stream.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == 9
    }

    /// Rows and other things that filing has to insert.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A stream of a blob, or something that it said.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    /// Defines the next stream index.
    Stream(&'a str, u64),
    /// An entry of the stream with this index.
    Entry(usize, Entry<'a>),
}

/// One landed message.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) received: i64,
    pub(crate) said: Said<'a>,
}

/// What a landed message said.
#[derive(Debug)]
pub(crate) enum Said<'a> {
    Rows { first: u32, sparse: bool, pieces: Vec<Range>, refused: Vec<(u16, u16)>, body: &'a [u8] },
    Refused { pieces: Vec<Range>, code: u16, kind: u8, body: &'a [u8] },
    Skip { pieces: Vec<Range>, cause: u8 },
    Counts { row: u32, made: u64, causes: Vec<(u8, u64)> },
    Unacked { counter: u32, body: &'a [u8] },
    Schema { id: u16, description: i64 },
    Clock { offset: i64, uncertainty: u32, kind: u8 },
    Seen { transport: &'a str, software: &'a str },
    Event { kind: &'a str, text: &'a str },
}

impl Said<'_> {
    /// The rows that this resolved when it landed.
    pub(crate) fn resolved(&self) -> Vec<Range> {
        match self {
            Self::Rows { pieces, .. }
            | Self::Refused { pieces, .. }
            | Self::Skip { pieces, .. } => pieces.clone(),
            Self::Counts { row, .. } => vec![Range { start: *row, end: row.saturating_add(1) }],
            _ => Vec::new(),
        }
    }

    /// Body, form and numbers of a data message.
    pub(crate) fn data(&self) -> Option<(&[u8], Presence, Numbering<'_>)> {
        match self {
            Self::Rows { first, sparse, pieces, refused, body } => {
                let presence = if *sparse { Presence::Bitmap } else { Presence::All };
                Some((body, presence, Numbering::Acked { first: *first, pieces, refused }))
            }
            Self::Unacked { counter, body } => {
                Some((body, Presence::All, Numbering::Unacked { counter: *counter }))
            }
            _ => None,
        }
    }
}

/// Reads a blob, item by item.
#[derive(Debug)]
pub(crate) struct BlobReader<'a> {
    reader: Reader<'a>,
    base: i64,
}

impl<'a> BlobReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, StoreError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version").map_err(broken)?;
        if version != VERSION {
            return Err(StoreError::corrupt(format!("an inbox entry of version {version}")));
        }
        let base = reader.i64("base").map_err(broken)?;
        Ok(Self { reader, base })
    }

    /// The next item; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Item<'a>>, StoreError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        self.item().map(Some).map_err(broken)
    }

    fn item(&mut self) -> Result<Item<'a>, BodyError> {
        let reader = &mut self.reader;
        let kind = reader.u8("type")?;
        if kind == STREAM {
            return Ok(Item::Stream(reader.text8("device")?, reader.u64("stream")?));
        }
        let stream = reader.u32("stream")? as usize;
        let received = self.base.saturating_add(reader.u32("age")?.into());
        let said = match kind {
            ROWS | SPARSE => {
                let first = reader.u32("first")?;
                let pieces = read_pieces(reader)?;
                let refused = (0..reader.u16("refused")?)
                    .map(|_| Ok((reader.u16("index")?, reader.u16("code")?)))
                    .collect::<Result<_, BodyError>>()?;
                let body = read_bytes(reader)?;
                let count = Data::count_of(body).ok_or(BodyError::Short { field: "count" })?;
                let pieces = whole_or(pieces, first, count.into());
                Said::Rows { first, sparse: kind == SPARSE, pieces, refused, body }
            }
            REFUSED => {
                let (first, count) = (reader.u32("first")?, reader.u32("count")?);
                let pieces = whole_or(read_pieces(reader)?, first, count);
                Said::Refused {
                    pieces,
                    code: reader.u16("code")?,
                    kind: reader.u8("kind")?,
                    body: read_bytes(reader)?,
                }
            }
            SKIP => {
                let (first, count) = (reader.u32("first")?, reader.u32("count")?);
                Said::Skip {
                    pieces: whole_or(read_pieces(reader)?, first, count),
                    cause: reader.u8("cause")?,
                }
            }
            COUNTS => {
                let (row, made) = (reader.u32("row")?, reader.u64("made")?);
                let causes = (0..reader.u8("causes")?)
                    .map(|_| Ok((reader.u8("cause")?, reader.u64("count")?)))
                    .collect::<Result<_, BodyError>>()?;
                Said::Counts { row, made, causes }
            }
            UNACKED => Said::Unacked { counter: reader.u32("counter")?, body: read_bytes(reader)? },
            SCHEMA => {
                Said::Schema { id: reader.u16("id")?, description: reader.i64("description")? }
            }
            CLOCK => Said::Clock {
                offset: reader.i64("offset")?,
                uncertainty: reader.u32("uncertainty")?,
                kind: reader.u8("kind")?,
            },
            SEEN => Said::Seen { transport: read_text(reader)?, software: read_text(reader)? },
            EVENT => Said::Event { kind: read_text(reader)?, text: read_text(reader)? },
            other => return Err(BodyError::Range { field: "type", value: other.into() }),
        };
        Ok(Item::Entry(stream, Entry { received, said }))
    }
}

/// Splits a data message's body. Spec §5.7.
pub(crate) fn read_body(body: &[u8]) -> Result<Data<'_>, BodyError> {
    let mut reader = Reader::new(body);
    let schema = reader.u16("schema")?;
    let kind_and_count = reader.u16("count")?;
    let t0 = reader.i64("t0")?;
    let [high, _] = kind_and_count.to_be_bytes();
    let clock = Clock::from_code(high >> 6)
        .ok_or(BodyError::Range { field: "kind", value: high.into() })?;
    let count = kind_and_count & 0x3FFF;
    if count == 0 || usize::from(count) > ROWS_PER_MESSAGE_MAX {
        return Err(BodyError::Range { field: "count", value: count.into() });
    }
    Ok(Data { head: DataHead { schema, clock, count, t0 }, rows: reader.rest() })
}

fn read_pieces(reader: &mut Reader<'_>) -> Result<Vec<Range>, BodyError> {
    (0..reader.u8("pieces")?)
        .map(|_| Ok(Range { start: reader.u32("start")?, end: reader.u32("end")? }))
        .collect()
}

fn whole_or(pieces: Vec<Range>, first: u32, count: u32) -> Vec<Range> {
    if pieces.is_empty() {
        vec![Range { start: first, end: first.saturating_add(count) }]
    } else {
        pieces
    }
}

fn read_bytes<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], BodyError> {
    let len = reader.u32("length")? as usize;
    reader.take(len, "bytes")
}

fn read_text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, BodyError> {
    std::str::from_utf8(read_bytes(reader)?).map_err(|_| BodyError::Text { field: "text" })
}

fn broken(error: BodyError) -> StoreError {
    StoreError::corrupt(format!("an inbox entry that can't be read: {error:?}"))
}
