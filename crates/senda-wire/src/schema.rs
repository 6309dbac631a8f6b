//! What a row holds: the description of a schema. Spec §4.2.

use crate::registry::{
    CHANNELS_MAX, ELEMENTS_MAX, NAME_MAX, ROW_BYTES_MAX, SCHEMA_BYTES_MAX, UNIT_MAX,
};
use crate::value::{Field, read_field};
use crate::{BodyError, EncodeError, Identifier, Reader, SchemaError, Value, ValueType, Writer};

/// The largest power of ten that an integer channel may be scaled by, either way. Spec §4.2.
const EXPONENT_MAX: i8 = 18;
/// Flag bit of a channel: a counter. Spec §4.2.
const FLAG_COUNTER: u8 = 0x01;

/// A schema description that satisfies every rule of section 4.2, in its wire form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Schema<'a> {
    bytes: &'a [u8],
    name: Identifier<'a>,
    channels: u16,
    row_max: usize,
    fixed: bool,
    always_good: bool,
    values: usize,
}

impl<'a> Schema<'a> {
    /// Checks a description completely.
    ///
    /// # Errors
    /// See [`SchemaError`]: the first rule that it breaks.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, SchemaError> {
        Self::read(bytes, true)
    }

    /// Reads a description that [`Schema::decode`] has accepted before. Comparing names with one another is left out: it
    /// takes the square of their number, and this runs for every message.
    ///
    /// # Errors
    /// See [`SchemaError`]; none for what was accepted.
    pub fn decode_accepted(bytes: &'a [u8]) -> Result<Self, SchemaError> {
        Self::read(bytes, false)
    }

    fn read(bytes: &'a [u8], compare: bool) -> Result<Self, SchemaError> {
        if bytes.len() > SCHEMA_BYTES_MAX {
            return Err(SchemaError::TooBig { bytes: bytes.len() });
        }
        let mut reader = Reader::new(bytes);
        let name = read_identifier(&mut reader, "name")?;
        let channels = reader.u16("channels")?;
        if channels == 0 || usize::from(channels) > CHANNELS_MAX {
            return Err(BodyError::Range { field: "channels", value: channels.into() }.into());
        }
        let mut schema =
            Self { bytes, name, channels, row_max: 0, fixed: true, always_good: true, values: 0 };
        for number in 0..usize::from(channels) {
            let channel = read_channel(&mut reader)?;
            let name = channel.name.as_str().as_bytes();
            let repeats = || schema.walk().take(number).any(|(earlier, _)| earlier == name);
            if compare && (repeats() || channel.repeats_a_label()) {
                return Err(SchemaError::Duplicate { channel: number });
            }
            schema.row_max += channel.size_max();
            schema.fixed &= channel.value_type.size().is_some();
            schema.always_good &= !matches!(channel.value_type, ValueType::Bool | ValueType::Enum8);
            schema.values += usize::from(channel.elements);
        }
        reader.finish()?;
        if schema.row_max > ROW_BYTES_MAX {
            return Err(SchemaError::RowTooBig { bytes: schema.row_max }); // Spec §4.2b.
        }
        Ok(schema)
    }

    /// Writes a description. What it writes is checked by [`Schema::decode`], so that no rule stands twice.
    ///
    /// # Errors
    /// [`EncodeError::BufferTooSmall`], or [`EncodeError::TooLong`] for a name, unit or list of labels.
    pub fn encode<'s>(
        name: Identifier<'_>,
        channels: &[ChannelSpec<'_>],
        out: &'s mut [u8],
    ) -> Result<&'s [u8], EncodeError> {
        let mut writer = Writer::new(out);
        writer.put8(name.as_str().as_bytes(), "name")?;
        let count = u16::try_from(channels.len())
            .map_err(|_| EncodeError::TooLong { field: "channels" })?;
        writer.put(&count.to_be_bytes());
        for channel in channels {
            channel.write(&mut writer)?;
        }
        Ok(writer.finish()?)
    }

    /// The description in its wire form.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The schema's name.
    pub const fn name(&self) -> Identifier<'a> {
        self.name
    }

    /// Number of channels, 1 to 256.
    pub const fn len(&self) -> usize {
        self.channels as usize
    }

    /// Never: a schema has at least one channel.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The channels, in order.
    pub fn channels(&self) -> Channels<'a> {
        Channels { reader: self.first_channel(), left: self.channels }
    }

    /// What it takes to read a row: nothing is checked again, since this runs for every row.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = Shape> + use<'a> {
        self.walk().map(|(_, shape)| shape)
    }

    /// Name and shape of each channel.
    fn walk(&self) -> impl Iterator<Item = (&'a [u8], Shape)> + use<'a> {
        let (mut reader, mut left) = (self.first_channel(), self.channels);
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            skip_channel(&mut reader).ok()
        })
    }

    fn first_channel(&self) -> Reader<'a> {
        let mut reader = Reader::new(self.bytes);
        // Both were read by `decode`, so these succeed.
        let _ = reader.bytes8("name");
        let _ = reader.u16("channels");
        reader
    }

    /// Bytes of the largest row in ROWS form, at most [`ROW_BYTES_MAX`].
    pub const fn row_max(&self) -> usize {
        self.row_max
    }

    /// Bytes of every row, when all rows have the same size (no text, no blob).
    pub const fn row_fixed(&self) -> Option<usize> {
        if self.fixed { Some(self.row_max) } else { None }
    }

    /// True when every row of the right size is good: nothing in it needs a look.
    pub(crate) const fn is_always_good(&self) -> bool {
        self.fixed && self.always_good
    }

    /// Values in a row, vector elements counted. Spec §12.1.
    pub const fn values(&self) -> usize {
        self.values
    }

    /// Bytes of a presence bitmap. Spec §5.8.
    pub const fn bitmap_len(&self) -> usize {
        self.len().div_ceil(8)
    }
}

/// One channel of a [`Schema`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Channel<'a> {
    /// Type of the value, or of a vector's elements.
    pub value_type: ValueType,
    /// value = raw × 10^exponent; 0 unless the type is an integer.
    pub exponent: i8,
    /// True for a counter, which grows and may restart from 0.
    pub counter: bool,
    /// 1 for a scalar, 2 to 64 for a vector.
    pub elements: u8,
    /// Most bytes of a text or blob; 0 for other types.
    pub max_len: u16,
    /// The channel's name, unique in the schema.
    pub name: Identifier<'a>,
    /// The unit, SenML's name of it; empty where there is none.
    pub unit: &'a str,
    labels: &'a [u8],
    labels_len: u8,
}

impl<'a> Channel<'a> {
    /// The labels of an enum8 channel, in order of their index; none for other types.
    pub fn labels(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut reader = Reader::new(self.labels);
        core::iter::from_fn(move || reader.text8("label").ok())
    }

    /// Number of labels.
    pub fn labels_len(&self) -> usize {
        usize::from(self.labels_len)
    }

    /// Bytes of the largest value in a row.
    pub fn size_max(&self) -> usize {
        match self.value_type {
            ValueType::Text => 1 + usize::from(self.max_len),
            ValueType::Blob => 2 + usize::from(self.max_len),
            other => usize::from(self.elements) * other.size().unwrap_or(0),
        }
    }

    /// True when this channel can have `value`. Spec §4.3b.
    pub fn accepts(&self, value: &Value<'_>) -> bool {
        if value.value_type() != self.value_type || value.elements() != usize::from(self.elements) {
            return false;
        }
        match *value {
            Value::Text(text) => text.len() <= usize::from(self.max_len),
            Value::Blob(bytes) => bytes.len() <= usize::from(self.max_len),
            Value::Enum(index) => usize::from(index) < self.labels_len(),
            _ => true,
        }
    }

    /// Reads this channel's field off a row that [`Rows`](crate::Rows) found good; `None` where the bytes are no
    /// value of this channel.
    pub fn read<'r>(&self, reader: &mut Reader<'r>) -> Option<Value<'r>> {
        match read_field(self.shape(), reader) {
            Ok(Field::Good(value)) => Some(value),
            _ => None,
        }
    }

    pub(crate) const fn shape(&self) -> Shape {
        let Self { value_type, elements, max_len, labels_len, .. } = *self;
        Shape { value_type, elements, max_len, labels_len }
    }

    fn repeats_a_label(&self) -> bool {
        let labels = || {
            let mut reader = Reader::new(self.labels);
            core::iter::from_fn(move || reader.bytes8("label").ok())
        };
        labels()
            .enumerate()
            .any(|(index, label)| labels().take(index).any(|earlier| earlier == label))
    }
}

/// The part of a channel that decides how its field is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) value_type: ValueType,
    pub(crate) elements: u8,
    pub(crate) max_len: u16,
    pub(crate) labels_len: u8,
}

/// Iterator over the channels of a schema.
#[derive(Clone, Debug)]
pub struct Channels<'a> {
    reader: Reader<'a>,
    left: u16,
}

impl<'a> Iterator for Channels<'a> {
    type Item = Channel<'a>;

    fn next(&mut self) -> Option<Channel<'a>> {
        self.left = self.left.checked_sub(1)?;
        read_channel(&mut self.reader).ok()
    }
}

/// What a device says of a channel when it makes a schema.
#[derive(Clone, Copy, Debug)]
pub struct ChannelSpec<'a> {
    /// The channel's name.
    pub name: Identifier<'a>,
    /// Type of the value, or of a vector's elements.
    pub value_type: ValueType,
    /// value = raw × 10^exponent; integers only.
    pub exponent: i8,
    /// True for a counter.
    pub counter: bool,
    /// 1 for a scalar, 2 to 64 for a vector of numbers.
    pub elements: u8,
    /// Most bytes of a text or blob, else 0.
    pub max_len: u16,
    /// The unit, or empty.
    pub unit: &'a str,
    /// Labels of an enum8, else empty.
    pub labels: &'a [&'a str],
}

impl<'a> ChannelSpec<'a> {
    /// A scalar without exponent, unit or labels. Text may have 255 bytes, a blob 255.
    pub const fn new(name: Identifier<'a>, value_type: ValueType) -> Self {
        let max_len = match value_type {
            ValueType::Text | ValueType::Blob => 255,
            _ => 0,
        };
        Self {
            name,
            value_type,
            exponent: 0,
            counter: false,
            elements: 1,
            max_len,
            unit: "",
            labels: &[],
        }
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        let flags = if self.counter { FLAG_COUNTER } else { 0 };
        out.put(&[self.value_type.code()]);
        out.put(&self.exponent.to_be_bytes());
        out.put(&[flags, self.elements]);
        out.put(&self.max_len.to_be_bytes());
        out.put8(self.name.as_str().as_bytes(), "name")?;
        out.put8(self.unit.as_bytes(), "unit")?;
        if self.value_type == ValueType::Enum8 {
            let count = u8::try_from(self.labels.len())
                .map_err(|_| EncodeError::TooLong { field: "labels" })?;
            out.put(&[count]);
            for label in self.labels {
                out.put8(label.as_bytes(), "label")?;
            }
        }
        Ok(())
    }
}

fn read_identifier<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
) -> Result<Identifier<'a>, BodyError> {
    Identifier::new(reader.text8(field)?).ok_or(BodyError::Text { field })
}

fn read_channel<'a>(reader: &mut Reader<'a>) -> Result<Channel<'a>, BodyError> {
    let code = reader.u8("type")?;
    let value_type =
        ValueType::from_code(code).ok_or(BodyError::Range { field: "type", value: code.into() })?;
    let exponent = reader.i8("exponent")?;
    let flags = reader.u8("flags")?;
    let elements = reader.u8("elements")?;
    let max_len = reader.u16("max_len")?;
    check_shape(value_type, exponent, elements)?;
    if flags & !FLAG_COUNTER != 0 {
        return Err(BodyError::Range { field: "flags", value: flags.into() });
    }
    let max_len_good = match value_type {
        ValueType::Text => (1..=255).contains(&max_len),
        ValueType::Blob => (1..=1_098).contains(&max_len),
        _ => max_len == 0,
    };
    if !max_len_good {
        return Err(BodyError::Range { field: "max_len", value: max_len.into() });
    }
    let name = read_identifier(reader, "channel name")?;
    let unit = reader.text8("unit")?;
    if unit.len() > UNIT_MAX || !unit.bytes().all(|byte| (0x20..0x7F).contains(&byte)) {
        return Err(BodyError::Text { field: "unit" });
    }
    let (labels, labels_len) =
        if value_type == ValueType::Enum8 { read_labels(reader)? } else { (&[][..], 0) };
    let counter = flags & FLAG_COUNTER != 0;
    Ok(Channel { value_type, exponent, counter, elements, max_len, name, unit, labels, labels_len })
}

/// Steps over a channel that `read_channel` took: its name and its shape.
fn skip_channel<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], Shape), BodyError> {
    let code = reader.u8("type")?;
    let value_type =
        ValueType::from_code(code).ok_or(BodyError::Range { field: "type", value: code.into() })?;
    let [_exponent, _flags, elements] = reader.array("elements")?;
    let max_len = reader.u16("max_len")?;
    let name = reader.bytes8("channel name")?;
    reader.bytes8("unit")?;
    let labels_len = if value_type == ValueType::Enum8 { reader.u8("labels")? } else { 0 };
    for _ in 0..labels_len {
        reader.bytes8("label")?;
    }
    Ok((name, Shape { value_type, elements, max_len, labels_len }))
}

/// Exponents are for integers, vectors for numbers. Spec §4.2; §4.4 has the same rule.
pub(crate) fn check_shape(
    value_type: ValueType,
    exponent: i8,
    elements: u8,
) -> Result<(), BodyError> {
    let allowed = if value_type.is_integer() { EXPONENT_MAX } else { 0 };
    if exponent.unsigned_abs() > allowed.unsigned_abs() {
        return Err(BodyError::Range { field: "exponent", value: exponent.unsigned_abs().into() });
    }
    let most = if value_type.is_number() { ELEMENTS_MAX } else { 1 };
    if elements == 0 || usize::from(elements) > most {
        return Err(BodyError::Range { field: "elements", value: elements.into() });
    }
    Ok(())
}

/// The labels' bytes and their number.
fn read_labels<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], u8), BodyError> {
    let count = reader.u8("labels")?;
    if count == 0 {
        return Err(BodyError::Range { field: "labels", value: 0 });
    }
    let start = reader.rest();
    for _ in 0..count {
        let label = reader.text8("label")?;
        if label.is_empty() || label.len() > NAME_MAX || label.chars().any(char::is_control) {
            return Err(BodyError::Text { field: "label" });
        }
    }
    let len = start.len() - reader.rest().len();
    Ok((&start[..len], count))
}
