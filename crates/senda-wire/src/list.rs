//! The repeated parts of bodies: each a view over bytes that were checked once.

use crate::registry::{ARG_NAME_MAX, ARGS_MAX, OptionCode, RANGES_MAX};
use crate::schema::check_shape;
use crate::value::{TYPED_BLOB_MAX, read_typed};
use crate::{BodyError, EncodeError, Reader, SkipCause, Value, ValueType, Writer};

/// A value that carries its type: value = raw × 10^exponent for integers. Spec §4.4.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TypedValue<'a> {
    /// -18 to 18 for integers, else 0.
    pub exponent: i8,
    /// The raw value; never [`Value::Enum`].
    pub value: Value<'a>,
}

/// A typed value with its name, which is empty for a positional argument. Spec §4.4.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NamedValue<'a> {
    /// 0 to 127 bytes of `[a-z0-9_.]`.
    pub name: &'a str,
    /// The value.
    pub typed: TypedValue<'a>,
}

impl<'a> NamedValue<'a> {
    /// A value without exponent.
    pub const fn new(name: &'a str, value: Value<'a>) -> Self {
        Self { name, typed: TypedValue { exponent: 0, value } }
    }
}

/// Named values: settings, arguments, results. At most 32. Spec §4.4.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct List<'a> {
    count: u8,
    bytes: &'a [u8],
}

impl<'a> List<'a> {
    /// Writes the values' wire form into `out` and gives a view of it.
    ///
    /// # Errors
    /// [`EncodeError`]: more than 32 values, a name or value outside section 4.4, or `out` too small.
    pub fn build(values: &[NamedValue<'_>], out: &'a mut [u8]) -> Result<Self, EncodeError> {
        let count = u8::try_from(values.len()).ok().filter(|count| usize::from(*count) <= ARGS_MAX);
        let count = count.ok_or(EncodeError::TooLong { field: "list" })?;
        let mut writer = Writer::new(out);
        for (index, NamedValue { name, typed }) in values.iter().enumerate() {
            writer.put8(name.as_bytes(), "name")?;
            let elements = u8::try_from(typed.value.elements())
                .map_err(|_| EncodeError::TooLong { field: "vector" })?;
            if matches!(typed.value, Value::Blob(bytes) if bytes.len() > TYPED_BLOB_MAX) {
                return Err(EncodeError::TooLong { field: "blob" });
            }
            let value_type = typed.value.value_type();
            let good = value_type != ValueType::Enum8 && is_argument_name(name);
            if !good || check_shape(value_type, typed.exponent, elements).is_err() {
                return Err(EncodeError::Mismatch { channel: index });
            }
            writer.put(&[value_type.code()]);
            writer.put(&typed.exponent.to_be_bytes());
            writer.put(&[elements]);
            typed.value.write(&mut writer)?;
        }
        Ok(Self { count, bytes: writer.finish()? })
    }

    /// Takes the wire form, count included, and nothing after it.
    ///
    /// # Errors
    /// [`BodyError`]: it breaks section 4.4.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, BodyError> {
        let mut reader = Reader::new(bytes);
        let list = Self::read(&mut reader)?;
        match reader.rest().len() {
            0 => Ok(list),
            bytes => Err(BodyError::Trailing { bytes }),
        }
    }

    /// Number of values.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// True when there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values, in order.
    pub fn iter(&self) -> impl Iterator<Item = NamedValue<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        core::iter::from_fn(move || read_named(&mut reader).ok())
    }

    /// The first value with this name.
    pub fn get(&self, name: &str) -> Option<TypedValue<'a>> {
        self.iter().find(|entry| entry.name == name).map(|entry| entry.typed)
    }

    /// The values' wire form, without the count.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, BodyError> {
        let count = reader.u8("list")?;
        if usize::from(count) > ARGS_MAX {
            return Err(BodyError::Range { field: "list", value: count.into() });
        }
        let start = reader.rest();
        for _ in 0..count {
            read_named(reader)?;
        }
        let len = start.len() - reader.rest().len();
        Ok(Self { count, bytes: &start[..len] })
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        out.put(&[self.count]);
        out.put(self.bytes);
    }
}

pub(crate) fn read_named<'a>(reader: &mut Reader<'a>) -> Result<NamedValue<'a>, BodyError> {
    let name = reader.text8("name")?;
    if !is_argument_name(name) {
        return Err(BodyError::Text { field: "name" });
    }
    let code = reader.u8("type")?;
    let value_type = ValueType::from_code(code)
        .filter(|value_type| *value_type != ValueType::Enum8)
        .ok_or(BodyError::Range { field: "type", value: code.into() })?;
    let exponent = reader.i8("exponent")?;
    let elements = reader.u8("elements")?;
    check_shape(value_type, exponent, elements)?;
    let value = read_typed(value_type, elements, reader)?;
    Ok(NamedValue { name, typed: TypedValue { exponent, value } })
}

fn is_argument_name(name: &str) -> bool {
    name.len() <= ARG_NAME_MAX
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte))
}

/// The options of HELLO and WELCOME: type, length, value. Spec §5.1.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Options<'a> {
    bytes: &'a [u8],
}

/// One option.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HelloOption<'a> {
    /// Its type: see [`OptionCode`].
    pub code: u8,
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> Options<'a> {
    /// Takes the wire form.
    ///
    /// # Errors
    /// [`BodyError::Short`] when it does not end where an option ends.
    pub fn new(bytes: &'a [u8]) -> Result<Self, BodyError> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            read_option(&mut reader)?;
        }
        Ok(Self { bytes })
    }

    /// The options, in order.
    pub fn iter(&self) -> impl Iterator<Item = HelloOption<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        core::iter::from_fn(move || read_option(&mut reader).ok())
    }

    /// The first critical option that this version does not know. Spec §5.1a.
    pub fn unknown_critical(&self) -> Option<u8> {
        self.iter()
            .map(|option| option.code)
            .find(|code| *code >= 0x80 && OptionCode::from_code(*code).is_none())
    }

    /// The first critical option, known or not: a device closes the session at any in WELCOME. Spec §5.3.
    pub fn first_critical(&self) -> Option<u8> {
        self.iter().map(|option| option.code).find(|code| *code >= 0x80)
    }

    /// The value of the first option of this type.
    pub fn get(&self, code: OptionCode) -> Option<&'a [u8]> {
        self.iter().find(|option| option.code == code.code()).map(|option| option.value)
    }

    /// The wire form.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

pub(crate) fn read_option<'a>(reader: &mut Reader<'a>) -> Result<HelloOption<'a>, BodyError> {
    let code = reader.u8("options")?;
    let len = reader.u16("options")?;
    Ok(HelloOption { code, value: reader.take(usize::from(len), "options")? })
}

/// Rows `start` to `end - 1`. Spec §5.13.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Range {
    /// First row.
    pub start: u32,
    /// One past the last row.
    pub end: u32,
}

/// The ranges of an ACK: ascending and apart from one another, at most 64. Spec §5.13.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ranges<'a> {
    bytes: &'a [u8],
}

impl<'a> Ranges<'a> {
    /// Writes the ranges' wire form into `out` and gives a view of it. They lie above `seq`, the ACK's.
    ///
    /// # Errors
    /// [`EncodeError`]: more than 64, not in order, or `out` too small (8 bytes each).
    pub fn build(seq: u32, ranges: &[Range], out: &'a mut [u8]) -> Result<Self, EncodeError> {
        let mut writer = Writer::new(out);
        for range in ranges {
            writer.put(&range.start.to_be_bytes());
            writer.put(&range.end.to_be_bytes());
        }
        Self::new(seq, writer.finish()?).map_err(|_| EncodeError::TooLong { field: "ranges" })
    }

    /// Checks number and order.
    pub(crate) fn new(seq: u32, bytes: &'a [u8]) -> Result<Self, BodyError> {
        if bytes.len() > RANGES_MAX * RANGE_LEN {
            return Err(BodyError::Range {
                field: "ranges",
                value: (bytes.len() / RANGE_LEN) as u64,
            });
        }
        let ranges = Self { bytes };
        let mut below = seq;
        for Range { start, end } in ranges.iter() {
            // A range that touches the mark or the one before it would be part of it.
            if start <= below || end <= start {
                return Err(BodyError::Order { field: "ranges" });
            }
            below = end;
        }
        Ok(ranges)
    }

    /// Number of ranges.
    pub const fn len(&self) -> usize {
        self.bytes.len() / RANGE_LEN
    }

    /// True when there are none.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Range> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        core::iter::from_fn(move || {
            Some(Range { start: reader.u32("start").ok()?, end: reader.u32("end").ok()? })
        })
    }

    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Bytes of one range, `'>II'`.
pub(crate) const RANGE_LEN: usize = 8;

/// What a device dropped, by cause: causes ascending, at most 16. Spec §5.11.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Causes<'a> {
    bytes: &'a [u8],
}

/// Bytes of one entry, `'>BQ'`.
const CAUSE_LEN: usize = 9;
/// Most entries in COUNTS. Spec §5.11.
const CAUSES_MAX: usize = 16;

impl<'a> Causes<'a> {
    /// Writes the wire form into `out` and gives a view of it.
    ///
    /// # Errors
    /// [`EncodeError`]: more than 16, causes not ascending, or `out` too small (9 bytes each).
    pub fn build(causes: &[(SkipCause, u64)], out: &'a mut [u8]) -> Result<Self, EncodeError> {
        let mut writer = Writer::new(out);
        for (cause, count) in causes {
            writer.put(&[cause.code()]);
            writer.put(&count.to_be_bytes());
        }
        Self::new(writer.finish()?).map_err(|_| EncodeError::TooLong { field: "causes" })
    }

    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, BodyError> {
        if bytes.len() > CAUSES_MAX * CAUSE_LEN {
            return Err(BodyError::Range {
                field: "causes",
                value: (bytes.len() / CAUSE_LEN) as u64,
            });
        }
        let causes = Self { bytes };
        let mut before = None;
        for (cause, _) in causes.iter() {
            if before.is_some_and(|before| cause <= before) {
                return Err(BodyError::Order { field: "causes" });
            }
            before = Some(cause);
        }
        Ok(causes)
    }

    /// Cause code and count, ascending by cause; codes that this version does not know are among them.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u64)> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        core::iter::from_fn(move || Some((reader.u8("cause").ok()?, reader.u64("count").ok()?)))
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, BodyError> {
        let count = reader.u8("causes")?;
        if usize::from(count) > CAUSES_MAX {
            return Err(BodyError::Range { field: "causes", value: count.into() });
        }
        Self::new(reader.take(usize::from(count) * CAUSE_LEN, "causes")?)
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        let count = u8::try_from(self.bytes.len() / CAUSE_LEN)
            .map_err(|_| EncodeError::TooLong { field: "causes" })?;
        out.put(&[count]);
        out.put(self.bytes);
        Ok(())
    }
}
