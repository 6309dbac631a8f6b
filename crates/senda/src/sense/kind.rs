//! What a channel holds, and how a cell of text becomes a value of it.

use jiff::tz::TimeZone;
use senda_client::{Reading, ValueType};

use super::{number, when};

/// Scaled integers go through an f64; up to here that loses nothing.
const SCALED_RAW_MAX: u128 = 1 << 50;
/// The longest text that a channel can have.
pub(super) const TEXT_BYTES_MAX: usize = 255;

/// Type, exponent and number of elements of a channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Kind {
    pub(super) value_type: ValueType,
    pub(super) exponent: i8,
    pub(super) elements: u8,
}

/// How this input writes its values.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    /// `21,5` is a number.
    pub(super) decimal_comma: bool,
    /// Where times are that name no zone.
    pub(super) zone: TimeZone,
    /// Cells that mean "nothing here", beside the empty one.
    pub(super) nothing: Vec<String>,
}

impl Dialect {
    /// The cell without the spaces around it; `None` when nothing is in it.
    pub(super) fn content<'c>(&self, cell: &'c str) -> Option<&'c str> {
        let cell = cell.trim();
        (!cell.is_empty() && !self.nothing.iter().any(|word| word == cell)).then_some(cell)
    }

    /// A number with a decimal point.
    pub(super) fn number<'c>(&self, cell: &'c str) -> std::borrow::Cow<'c, str> {
        if self.decimal_comma && !cell.contains('.') && cell.matches(',').count() == 1 {
            cell.replace(',', ".").into()
        } else {
            cell.into()
        }
    }
}

impl Kind {
    /// A scalar.
    pub(super) const fn new(value_type: ValueType, exponent: i8) -> Self {
        Self { value_type, exponent, elements: 1 }
    }

    /// The value of a cell; `None` when it is none of this kind, exactly.
    pub(super) fn read(self, cell: &str, dialect: &Dialect) -> Option<Reading> {
        match self.value_type {
            ValueType::Text => (cell.len() <= TEXT_BYTES_MAX).then(|| Reading::Text(cell.into())),
            ValueType::Blob => (cell.len() <= TEXT_BYTES_MAX).then(|| Reading::Blob(cell.into())),
            ValueType::Bool => read_bool(cell).map(Reading::Bool),
            ValueType::Time => {
                when::read_text(cell, &dialect.zone).map(|us| Reading::Integer(us.into()))
            }
            ValueType::F32 | ValueType::F64 => {
                read_float(&dialect.number(cell)).map(Reading::Float)
            }
            _ => self.read_integer(&dialect.number(cell)),
        }
    }

    fn read_integer(self, cell: &str) -> Option<Reading> {
        let decimal = number::parse(cell)?;
        let raw = decimal.raw_at(self.exponent)?;
        let (least, most) = range(self.value_type)?;
        if !(least..=most).contains(&raw) {
            return None;
        }
        match decimal.raw_at(0) {
            Some(whole) => Some(Reading::Integer(whole)),
            None if raw.unsigned_abs() <= SCALED_RAW_MAX => cell.parse().ok().map(Reading::Float),
            None => None,
        }
    }

    /// As `--type` takes it: `i16:-1`.
    pub(super) fn as_option(self) -> String {
        let name = self.value_type.name();
        if self.exponent == 0 { name.to_owned() } else { format!("{name}:{}", self.exponent) }
    }

    /// For people who must mend a value.
    pub(super) fn describe(self) -> String {
        let name = self.value_type.name();
        match (self.value_type, self.elements) {
            (ValueType::Text | ValueType::Blob, _) => {
                format!("{name} of at most {TEXT_BYTES_MAX} bytes")
            }
            (ValueType::Time, _) => "time such as 2026-01-31T12:00:00Z".to_owned(),
            (ValueType::Bool, _) => "bool: true or false".to_owned(),
            (_, 2..) => format!("array of {} numbers ({name})", self.elements),
            _ if self.exponent < 0 => {
                format!("{name} with at most {} decimals", self.exponent.unsigned_abs())
            }
            _ if self.exponent > 0 => format!("{name} × 10^{}", self.exponent),
            _ => name.to_owned(),
        }
    }
}

/// Bytes of one element on the wire; text and blob without their content.
pub(super) const fn width(value_type: ValueType) -> usize {
    match value_type {
        ValueType::Bool | ValueType::U8 | ValueType::I8 | ValueType::Enum8 | ValueType::Text => 1,
        ValueType::U16 | ValueType::I16 | ValueType::Blob => 2,
        ValueType::U32 | ValueType::I32 | ValueType::F32 => 4,
        ValueType::U64 | ValueType::I64 | ValueType::F64 | ValueType::Time => 8,
    }
}

/// The ends of an integer type.
pub(super) fn range(value_type: ValueType) -> Option<(i128, i128)> {
    Some(match value_type {
        ValueType::U8 => (0, u8::MAX.into()),
        ValueType::U16 => (0, u16::MAX.into()),
        ValueType::U32 => (0, u32::MAX.into()),
        ValueType::U64 => (0, u64::MAX.into()),
        ValueType::I8 => (i8::MIN.into(), i8::MAX.into()),
        ValueType::I16 => (i16::MIN.into(), i16::MAX.into()),
        ValueType::I32 => (i32::MIN.into(), i32::MAX.into()),
        ValueType::I64 => (i64::MIN.into(), i64::MAX.into()),
        _ => return None,
    })
}

/// `true` and `false`; a 1 and a 0 where the channel is known to be a bool.
pub(super) fn read_bool(cell: &str) -> Option<bool> {
    match cell {
        "1" => Some(true),
        "0" => Some(false),
        _ if cell.eq_ignore_ascii_case("true") => Some(true),
        _ if cell.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The nearest f64; `None` for what is no number, beyond the largest f64, or a whole number that would lose digits.
pub(super) fn read_float(cell: &str) -> Option<f64> {
    let value: f64 = cell.parse().ok()?;
    let says_infinity = cell.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    if value.is_infinite() && !says_infinity {
        return None;
    }
    // What an f64 prints is what somebody will read.
    let loses = number::parse(cell).is_some_and(number::Decimal::is_whole_beyond_f64)
        && value.to_string() != cell;
    (!loses).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(decimal_comma: bool) -> Dialect {
        Dialect { decimal_comma, zone: TimeZone::UTC, nothing: vec!["NA".into()] }
    }

    fn read(option: &str, cell: &str) -> Option<Reading> {
        let wanted = crate::arguments::parse_type(&format!("c={option}")).unwrap();
        Kind::new(wanted.value_type, wanted.exponent).read(cell, &dialect(false))
    }

    #[test]
    fn a_value_that_its_channel_would_round_or_cut_is_refused() {
        assert_eq!(read("u8", "255"), Some(Reading::Integer(255)));
        assert_eq!(read("u8", "256"), None);
        assert_eq!(read("u8", "-1"), None);
        assert_eq!(read("u8", "1.5"), None);
        assert_eq!(read("i16:-1", "21.5"), Some(Reading::Float(21.5)));
        assert_eq!(read("i16:-1", "21"), Some(Reading::Integer(21)));
        assert_eq!(read("i16:-1", "21.55"), None);
        assert_eq!(read("i16:-1", "3276.8"), None);
        assert_eq!(read("i64:-9", "1234567890.123456789"), None, "not exact by way of an f64");
        assert_eq!(read("f64", "9007199254740993"), None);
        assert_eq!(read("f64", "1e999"), None);
        assert_eq!(read("f64", "-inf"), Some(Reading::Float(f64::NEG_INFINITY)));
        assert_eq!(read("u64", "18446744073709551615"), Some(Reading::Integer(u64::MAX.into())));
        assert_eq!(read("text", &"x".repeat(256)), None);
        assert_eq!(read("bool", "TRUE"), Some(Reading::Bool(true)));
        assert_eq!(read("bool", "yes"), None);
    }

    #[test]
    fn a_decimal_comma_is_read_where_the_input_has_it() {
        let kind = Kind::new(ValueType::I16, -1);
        assert_eq!(kind.read("21,5", &dialect(true)), Some(Reading::Float(21.5)));
        assert_eq!(kind.read("21,5", &dialect(false)), None);
    }

    #[test]
    fn spaces_and_the_words_for_nothing_are_nothing() {
        assert_eq!(dialect(false).content(" 5 "), Some("5"));
        assert_eq!(dialect(false).content("  "), None);
        assert_eq!(dialect(false).content("NA"), None);
    }
}
