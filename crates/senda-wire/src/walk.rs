//! A message shown field by field, from the tables of [`layout`](crate::layout).

use core::fmt;

use crate::data::is_present;
use crate::layout::{self, Bits, Codes, Field, Kind};
use crate::list::{read_named, read_option};
use crate::registry::{CRC_LEN, HEADER_LEN, OptionCode, TAG_LEN};
use crate::value::{self, read_field};
use crate::{BodyError, Channel, Clock, Data, Frame, HelloOption, NamedValue, Presence, Range};
use crate::{Reader, Schema, Value};

/// One field of a message, or one entry of a repeated field.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The field's name in the specification; the channel's name for a value of a row.
    pub name: &'a str,
    /// For an entry of a repeated field its number from 0; within rows the row's number in the message, from 0.
    pub index: Option<u16>,
    /// Where it begins, bytes from the start of the message.
    pub offset: usize,
    /// Its bytes, length or count bytes included.
    pub len: usize,
    /// What they say.
    pub value: FieldValue<'a>,
}

/// What a field says. `Display` gives one line without control characters.
#[derive(Clone, Copy, Debug)]
pub enum FieldValue<'a> {
    /// A number.
    Unsigned(u64),
    /// A number.
    Signed(i64),
    /// Microseconds.
    Micros(i64),
    /// An identifier or a checksum.
    Hex {
        /// The number.
        value: u64,
        /// Hex digits to show.
        digits: usize,
    },
    /// A code of a registry, with its name if it has one.
    Code {
        /// The code.
        code: u16,
        /// Its name.
        name: Option<&'static str>,
    },
    /// Bits with names.
    Bits {
        /// The bits.
        bits: u16,
        /// What they mean.
        names: Bits,
    },
    /// Kind of clock and number of rows. Spec §5.7.
    ClockAndCount {
        /// By which clock the rows are dated.
        clock: Clock,
        /// Rows.
        count: u16,
    },
    /// UTF-8.
    Text(&'a str),
    /// Bytes without a form of their own.
    Bytes(&'a [u8]),
    /// Number of the entries that follow.
    Count(u16),
    /// An option of HELLO or WELCOME.
    Option(HelloOption<'a>),
    /// An entry of a list.
    Named(NamedValue<'a>),
    /// A range of an ACK.
    Range(Range),
    /// A cause of COUNTS.
    Cause {
        /// The code of the cause.
        cause: u8,
        /// Rows.
        count: u64,
    },
    /// A row's microseconds after t0.
    TimeOffset(u32),
    /// A value of a row: raw, with what its channel says of it.
    Sample {
        /// The raw value.
        value: Value<'a>,
        /// The channel.
        channel: Channel<'a>,
    },
    /// Bytes that are no value of their channel. Spec §4.3b.
    BadValue(&'a [u8]),
    /// Bytes that could not be read, up to the trailer.
    Undecoded(&'a [u8]),
}

/// Calls `visit` for each field of header, body and trailer, in order; together they cover every byte once.
///
/// `schema` is the one that a data message refers to; without it (or in COLUMNS) the rows are one field of bytes.
/// Ranges of values are not checked here: [`Message::decode`](crate::Message::decode) does that.
///
/// # Errors
/// The body does not have the layout of its type. What could not be read was visited as [`FieldValue::Undecoded`].
pub fn walk<'a>(
    frame: &Frame<'a>,
    schema: Option<&Schema<'a>>,
    visit: &mut dyn FnMut(Visit<'a>),
) -> Result<(), BodyError> {
    let bytes = frame.bytes;
    let body_end = (HEADER_LEN + frame.body.len()).min(bytes.len());
    let mut walker = Walker::new(&bytes[..body_end], visit);
    let result = walker.header().and_then(|()| walker.body(frame, schema));
    walker.undecoded();
    walker.input(&bytes[body_end..]);
    walker.trailer();
    result
}

/// Reads on with `reader`, then shows what it read with `emit`: so no byte is left out, none is shown twice.
struct Walker<'a, 'v> {
    visit: &'v mut dyn FnMut(Visit<'a>),
    reader: Reader<'a>,
    /// What was not shown yet.
    pending: &'a [u8],
    offset: usize,
}

impl<'a, 'v> Walker<'a, 'v> {
    fn new(bytes: &'a [u8], visit: &'v mut dyn FnMut(Visit<'a>)) -> Self {
        Self { visit, reader: Reader::new(bytes), pending: bytes, offset: 0 }
    }

    fn input(&mut self, bytes: &'a [u8]) {
        self.reader = Reader::new(bytes);
        self.pending = bytes;
    }

    fn emit(&mut self, name: &'a str, index: Option<u16>, value: FieldValue<'a>) {
        let len = self.pending.len() - self.reader.rest().len();
        (self.visit)(Visit { name, index, offset: self.offset, len, value });
        self.pending = self.reader.rest();
        self.offset += len;
    }

    /// What was read and not shown, because the field failed, is shown with the rest.
    fn undecoded(&mut self) {
        if !self.pending.is_empty() {
            let bytes = self.pending;
            self.reader = Reader::new(&[]);
            self.emit("undecoded", None, FieldValue::Undecoded(bytes));
        }
    }

    fn header(&mut self) -> Result<(), BodyError> {
        layout::HEADER.iter().try_for_each(|field| self.field(field, None, None))
    }

    fn trailer(&mut self) {
        let field = match self.pending.len() {
            CRC_LEN => &layout::CRC_TRAILER,
            TAG_LEN => &layout::TAG_TRAILER,
            _ => return self.undecoded(),
        };
        // Its length was just looked at, so this succeeds.
        let _ = self.field(field, None, None);
    }

    fn body(&mut self, frame: &Frame<'a>, schema: Option<&Schema<'a>>) -> Result<(), BodyError> {
        let Some(message_type) = frame.message_type() else {
            return if frame.body.is_empty() { Ok(()) } else { self.rest("body") };
        };
        let layout = layout::of(message_type);
        if layout.may_be_empty && frame.body.is_empty() {
            return Ok(());
        }
        let count = Data::count_of(frame.body);
        layout.fields.iter().try_for_each(|field| self.field(field, schema, count))?;
        self.reader.finish()
    }

    /// `count` is the number of rows, in data messages.
    fn field(
        &mut self,
        field: &Field,
        schema: Option<&Schema<'a>>,
        count: Option<u16>,
    ) -> Result<(), BodyError> {
        let name = field.name;
        match (field.kind, schema, count) {
            (Kind::Rows, Some(schema), Some(count)) => self.rows(schema, Presence::All, count),
            (Kind::SparseRows, Some(schema), Some(count)) => {
                self.rows(schema, Presence::Bitmap, count)
            }
            (Kind::Rest | Kind::Rows | Kind::SparseRows, ..) => self.rest(name),
            (Kind::Options, ..) => self.options(name),
            (Kind::List, ..) => {
                self.entries(name, |reader| read_named(reader).map(FieldValue::Named))
            }
            (Kind::Ranges, ..) => self.entries(name, read_range),
            (Kind::Causes, ..) => self.entries(name, read_cause),
            (kind, ..) => {
                let value = read_simple(kind, name, &mut self.reader)?;
                self.emit(name, None, value);
                Ok(())
            }
        }
    }

    fn rest(&mut self, name: &'static str) -> Result<(), BodyError> {
        let bytes = self.reader.take(self.reader.rest().len(), name)?;
        self.emit(name, None, FieldValue::Bytes(bytes));
        Ok(())
    }

    fn options(&mut self, name: &'static str) -> Result<(), BodyError> {
        for index in 0u16.. {
            if self.reader.is_empty() {
                break;
            }
            let option = read_option(&mut self.reader)?;
            self.emit(name, Some(index), FieldValue::Option(option));
        }
        Ok(())
    }

    /// A count byte, then that many entries.
    fn entries(
        &mut self,
        name: &'static str,
        read: impl Fn(&mut Reader<'a>) -> Result<FieldValue<'a>, BodyError>,
    ) -> Result<(), BodyError> {
        let count = u16::from(self.reader.u8(name)?);
        self.emit(name, None, FieldValue::Count(count));
        for index in 0..count {
            let entry = read(&mut self.reader)?;
            self.emit(name, Some(index), entry);
        }
        Ok(())
    }

    fn rows(
        &mut self,
        schema: &Schema<'a>,
        presence: Presence,
        count: u16,
    ) -> Result<(), BodyError> {
        for row in 0..count {
            if count > 1 {
                let offset = self.reader.u32("time offset")?;
                self.emit("time_offset", Some(row), FieldValue::TimeOffset(offset));
            }
            let bitmap = match presence {
                Presence::All => None,
                Presence::Bitmap => {
                    let bitmap = self.reader.take(schema.bitmap_len(), "presence bitmap")?;
                    self.emit("presence", Some(row), FieldValue::Bytes(bitmap));
                    Some(bitmap)
                }
            };
            for (number, channel) in schema.channels().enumerate() {
                if is_present(bitmap, number) {
                    self.sample(row, channel)?;
                }
            }
        }
        Ok(())
    }

    fn sample(&mut self, row: u16, channel: Channel<'a>) -> Result<(), BodyError> {
        let start = self.reader.rest();
        let value = match read_field(channel.shape(), &mut self.reader)? {
            value::Field::Good(value) => FieldValue::Sample { value, channel },
            value::Field::Bad => {
                FieldValue::BadValue(&start[..start.len() - self.reader.rest().len()])
            }
        };
        self.emit(channel.name.as_str(), Some(row), value);
        Ok(())
    }
}

/// The kinds that are one value.
fn read_simple<'a>(
    kind: Kind,
    name: &'static str,
    reader: &mut Reader<'a>,
) -> Result<FieldValue<'a>, BodyError> {
    Ok(match kind {
        Kind::U8 => FieldValue::Unsigned(reader.u8(name)?.into()),
        Kind::U16 => FieldValue::Unsigned(reader.u16(name)?.into()),
        Kind::U32 => FieldValue::Unsigned(reader.u32(name)?.into()),
        Kind::U64 => FieldValue::Unsigned(reader.u64(name)?),
        Kind::I64 => FieldValue::Signed(reader.i64(name)?),
        Kind::Micros => FieldValue::Micros(reader.i64(name)?),
        Kind::Hex32 => FieldValue::Hex { value: reader.u32(name)?.into(), digits: 8 },
        Kind::Hex64 => FieldValue::Hex { value: reader.u64(name)?, digits: 16 },
        Kind::Zero(len) => FieldValue::Bytes(reader.take(len.into(), name)?),
        Kind::Code(codes) => read_code(codes, reader.u8(name)?),
        Kind::ErrorCode => {
            let code = reader.u16(name)?;
            FieldValue::Code { code, name: layout::error_name(code) }
        }
        Kind::Bits8(Bits::Flag) => {
            FieldValue::Bits { bits: (reader.u8(name)? & 0x0F).into(), names: Bits::Flag }
        }
        Kind::Bits8(names) => FieldValue::Bits { bits: reader.u8(name)?.into(), names },
        Kind::Bits16(names) => FieldValue::Bits { bits: reader.u16(name)?, names },
        Kind::ClockAndCount => read_clock_and_count(reader.u16(name)?),
        Kind::Text => FieldValue::Text(reader.text8(name)?),
        Kind::Bytes => FieldValue::Bytes(reader.bytes8(name)?),
        // The walker deals with these: they have entries, or end where the body ends.
        Kind::Options
        | Kind::List
        | Kind::Ranges
        | Kind::Causes
        | Kind::Rows
        | Kind::SparseRows
        | Kind::Rest => FieldValue::Bytes(reader.take(reader.rest().len(), name)?),
    })
}

fn read_code(codes: Codes, code: u8) -> FieldValue<'static> {
    FieldValue::Code { code: code.into(), name: codes.name(code) }
}

fn read_clock_and_count(both: u16) -> FieldValue<'static> {
    let (clock, count) = Data::split_kind_and_count(both);
    FieldValue::ClockAndCount { clock, count }
}

fn read_range<'a>(reader: &mut Reader<'a>) -> Result<FieldValue<'a>, BodyError> {
    let (start, end) = (reader.u32("ranges")?, reader.u32("ranges")?);
    Ok(FieldValue::Range(Range { start, end }))
}

fn read_cause<'a>(reader: &mut Reader<'a>) -> Result<FieldValue<'a>, BodyError> {
    Ok(FieldValue::Cause { cause: reader.u8("causes")?, count: reader.u64("causes")? })
}

impl fmt::Display for FieldValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            Self::Micros(value) => write!(f, "{value} us"),
            Self::Hex { value, digits } => write!(f, "0x{value:0digits$x}"),
            Self::Code { code, name } => write!(f, "{code} {}", name.unwrap_or("(unknown)")),
            Self::Bits { bits, names } => write_bits(f, *bits, *names),
            Self::ClockAndCount { clock, count } => write!(f, "{}, {count} rows", clock.name()),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bytes(bytes) | Self::BadValue(bytes) | Self::Undecoded(bytes) => {
                write_hex(f, bytes)
            }
            Self::Count(count) => write!(f, "{count} entries"),
            Self::Option(option) => {
                let name = OptionCode::from_code(option.code).map_or("(unknown)", OptionCode::name);
                write!(f, "{} {name}: ", option.code)?;
                write_hex(f, option.value)
            }
            Self::Named(NamedValue { name, typed }) => {
                write!(f, "{name:?} = ")?;
                write_raw(f, &typed.value, typed.exponent)
            }
            Self::Range(Range { start, end }) => write!(f, "{start}..{end}"),
            Self::Cause { cause, count } => {
                let name = Codes::SkipCause.name(*cause).unwrap_or("(unknown)");
                write!(f, "{cause} {name}: {count} rows")
            }
            Self::TimeOffset(offset) => write!(f, "t0 + {offset} us"),
            Self::Sample { value, channel } => write_sample(f, value, channel),
        }
    }
}

fn write_bits(f: &mut fmt::Formatter<'_>, bits: u16, names: Bits) -> fmt::Result {
    write!(f, "0x{bits:x}")?;
    names
        .entries()
        .filter(|(bit, _)| bits & bit != 0)
        .try_for_each(|(_, name)| write!(f, " {name}"))
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn write_sample(
    f: &mut fmt::Formatter<'_>,
    value: &Value<'_>,
    channel: &Channel<'_>,
) -> fmt::Result {
    write_raw(f, value, channel.exponent)?;
    if let Value::Enum(index) = value {
        let label = channel.labels().nth(usize::from(*index)).unwrap_or("");
        write!(f, " {label:?}")?;
    }
    if channel.unit.is_empty() { Ok(()) } else { write!(f, " {}", channel.unit) }
}

/// The raw value, with `e` and the exponent behind it where there is one: `215e-1` is 21.5.
fn write_raw(f: &mut fmt::Formatter<'_>, value: &Value<'_>, exponent: i8) -> fmt::Result {
    match value {
        Value::Bool(value) => write!(f, "{value}")?,
        Value::U8(value) | Value::Enum(value) => write!(f, "{value}")?,
        Value::U16(value) => write!(f, "{value}")?,
        Value::U32(value) => write!(f, "{value}")?,
        Value::U64(value) => write!(f, "{value}")?,
        Value::I8(value) => write!(f, "{value}")?,
        Value::I16(value) => write!(f, "{value}")?,
        Value::I32(value) => write!(f, "{value}")?,
        Value::I64(value) => write!(f, "{value}")?,
        Value::F32(value) => write!(f, "{value:?}")?,
        Value::F64(value) => write!(f, "{value:?}")?,
        Value::Text(text) => write!(f, "{text:?}")?,
        Value::Blob(bytes) => {
            f.write_str("hex:")?;
            write_hex(f, bytes)?;
        }
        Value::Time(value) => write!(f, "{value} us")?,
        Value::Vector(vector) => return write_vector(f, *vector, exponent),
    }
    if exponent == 0 { Ok(()) } else { write!(f, "e{exponent}") }
}

fn write_vector(
    f: &mut fmt::Formatter<'_>,
    vector: crate::Vector<'_>,
    exponent: i8,
) -> fmt::Result {
    for (index, element) in vector.iter().enumerate() {
        f.write_str(if index == 0 { "[" } else { ", " })?;
        write_raw(f, &element, exponent)?;
    }
    f.write_str("]")
}
