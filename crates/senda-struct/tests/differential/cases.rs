//! Random formats, values and bytes: good ones for the most part, and then some damage.

use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use senda_struct::{Code, Field, FieldKind, Format, PackError, Value};

use crate::judge::{Judge, Question};

/// Larger structures are asked for their size and their number of values, no more.
const SIZE_MAX: usize = 2_048;
/// Letters with which Python 3.14 means complex numbers are not among them.
const DAMAGE: &[char] = &[
    'x', 'c', 'b', 'B', '?', 'h', 'H', 'i', 'I', 'l', 'L', 'q', 'Q', 'n', 'N', 'e', 'f', 'd', 's',
    'p', 'P', '@', '=', '<', '>', '!', '0', '1', '9', ' ', '\t', '\x0b', '\x1c', '-', '+', '.',
    '_', 'a', 'z', 'S', '\0', '\u{7f}', '\u{a0}', 'é', '٣',
];

/// The least numbers that round to infinity as 16 and 32 bits.
const HALF_END: f64 = 65_520.0;
const SINGLE_END: f64 = 340_282_356_779_733_661_637_539_395_458_142_568_448.0;

pub(crate) struct Cases {
    rng: Pcg64Mcg,
    pub(crate) seen: Seen,
}

/// What was asked, and how it went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) good_formats: u64,
    /// Answers that were values, bytes or a size.
    pub(crate) values: u64,
    pub(crate) refusals: u64,
}

impl Cases {
    pub(crate) fn new(rng: Pcg64Mcg) -> Self {
        Self { rng, seen: Seen::default() }
    }

    /// Makes a format, and asks all that can be asked of it.
    pub(crate) fn ask(&mut self, judge: &mut Judge) {
        let text = self.text();
        self.put(judge, &Question::CalcSize { text: &text });
        let Ok(format) = Format::new(&text) else { return };
        self.seen.good_formats += 1;
        let is_large = format.size().max(format.value_count()) > SIZE_MAX;
        let values = if is_large { Vec::new() } else { self.values(&format) };
        if format.value_count() != values.len() || !is_large {
            self.put(judge, &Question::Pack { text: &text, values: &values });
        }
        let size = if is_large { 8 } else { format.size() };
        self.ask_pack_into(judge, &format, size, &values);
        let bytes = self.bytes(size, format.pack(&values).ok());
        self.put(judge, &Question::Unpack { text: &text, bytes: &bytes });
        let bytes = self.bytes_around(size);
        let offset = self.offset(bytes.len(), size);
        self.put(judge, &Question::UnpackFrom { text: &text, bytes: &bytes, offset });
        let records = self.rng.random_range(0..4);
        let mut bytes = self.bytes(size * records, None);
        bytes.truncate(SIZE_MAX);
        self.put(judge, &Question::IterUnpack { text: &text, bytes: &bytes });
    }

    fn ask_pack_into(&mut self, judge: &mut Judge, format: &Format, size: usize, values: &[Value]) {
        let buffer = self.bytes_around(size);
        let offset = self.offset(buffer.len(), size);
        let mut after = buffer.clone();
        let hidden = match format.pack_into(&mut after, offset, values) {
            Err(PackError::Value { index, .. }) => {
                let field =
                    format.fields().find(|field| field.index == Some(index)).expect("it has one");
                let start = if offset < 0 {
                    buffer.len().wrapping_add_signed(offset)
                } else {
                    offset.unsigned_abs()
                };
                (start + field.offset, start + field.offset + field.size)
            }
            _ => (0, 0),
        };
        let text = format.text();
        self.put(judge, &Question::PackInto { text, buffer: &buffer, offset, values, hidden });
    }

    fn put(&mut self, judge: &mut Judge, question: &Question<'_>) {
        let counter =
            if judge.ask(question) { &mut self.seen.values } else { &mut self.seen.refusals };
        *counter += 1;
    }

    fn text(&mut self) -> String {
        loop {
            let mut text = String::new();
            text.push_str(self.pick(&["", "@", "=", "<", ">", "!"]));
            let items = self.rng.random_range(1..9);
            for _ in 0..items {
                self.push_item(&mut text);
            }
            if self.chance(15) {
                self.damage(&mut text);
            }
            // Before 3.9 Python refuses an empty text; before 3.13 it writes past the end of an empty `p`.
            if !text.is_empty() && !has_empty_pascal(&text) {
                return text;
            }
        }
    }

    fn push_item(&mut self, text: &mut String) {
        if self.chance(10) {
            text.push_str(self.pick(&[" ", "\t", "\n", "  ", "\x0b", "\r\x0c"]));
        }
        let is_native = !text.starts_with(['=', '<', '>', '!']);
        let codes = if is_native { "xcbB?hHiIlLqQnNefdspP" } else { "xcbB?hHiIlLqQefdsp" };
        let code = char::from(self.pick(codes.as_bytes()));
        match self.rng.random_range(0..1_000) {
            0..600 => {}
            600..900 => text.push_str(&self.rng.random_range(0..13).to_string()),
            900..940 => text.push('0'),
            940..980 => text.push_str(&format!("00{}", self.rng.random_range(0..4))),
            // Around the greatest length that `p` can say.
            980..990 if code == 'p' || code == 's' => {
                text.push_str(&self.rng.random_range(250..262).to_string());
            }
            980..995 => text.push_str(&self.rng.random_range(13..200).to_string()),
            _ => text.push_str(&self.huge_count()),
        }
        text.push(code);
    }

    /// Around the limits of a structure's size.
    fn huge_count(&mut self) -> String {
        let limit = u128::from(i64::MAX.unsigned_abs()) / self.pick(&[1_u128, 2, 4, 8, 10]);
        let near = limit + self.rng.random_range(0..16) - 8;
        let any = u128::from(self.rng.random::<u64>()) << self.rng.random_range(0..8);
        if self.chance(70) { near.to_string() } else { any.to_string() }
    }

    fn damage(&mut self, text: &mut String) {
        let mut chars: Vec<char> = text.chars().collect();
        let at = self.rng.random_range(0..=chars.len());
        let other = self.rng.random_range(0..=chars.len());
        match self.rng.random_range(0..5) {
            0 if at < chars.len() => drop(chars.remove(at)),
            1 if at < chars.len() => chars[at] = self.pick(DAMAGE),
            2 if at < chars.len() && other < chars.len() => chars.swap(at, other),
            3 => chars.truncate(at),
            _ => chars.insert(at, self.pick(DAMAGE)),
        }
        *text = chars.into_iter().collect();
    }

    /// Values that the format takes; in some cases with one that it doesn't, or of another number.
    fn values(&mut self, format: &Format) -> Vec<Value> {
        let fields: Vec<Field> = format.fields().filter(|field| field.index.is_some()).collect();
        let mut values: Vec<Value> =
            fields.iter().map(|field| self.value(format, field, false)).collect();
        match self.rng.random_range(0..100) {
            0..30 if !values.is_empty() => {
                let at = self.rng.random_range(0..values.len());
                values[at] = self.value(format, &fields[at], true);
            }
            30..33 => drop(values.pop()),
            33..35 => values.push(Value::Int(1)),
            _ => {}
        }
        values
    }

    fn value(&mut self, format: &Format, field: &Field, is_odd: bool) -> Value {
        let FieldKind::Value(code) = field.kind else { return Value::Int(0) };
        if is_odd && self.chance(40) {
            return self.any_value();
        }
        match code {
            Code::Char if is_odd => Value::Bytes(self.random_bytes(4)),
            Code::Char => Value::Bytes(vec![self.rng.random()]),
            Code::Bool => self.any_value(),
            Code::Bytes | Code::Pascal => Value::Bytes(self.random_bytes(field.size + 3)),
            Code::Half | Code::Float | Code::Double => match self.rng.random_range(0..20) {
                0 => Value::Bool(self.rng.random()),
                1..4 if code == Code::Half && !is_odd => {
                    Value::Int(self.rng.random_range(-65_519..65_520))
                }
                1..4 => Value::Int(self.any_integer()),
                _ => Value::Float(self.float(code, is_odd)),
            },
            _ if self.chance(3) => Value::Bool(self.rng.random()),
            _ => {
                let range = code.integer_range(format.byte_order()).expect("an integer's");
                Value::Int(self.integer(range.min, range.max, is_odd))
            }
        }
    }

    fn any_value(&mut self) -> Value {
        match self.rng.random_range(0..10) {
            0..4 => Value::Int(self.any_integer()),
            4..7 => Value::Float(self.float(Code::Double, true)),
            7 => Value::Bool(self.rng.random()),
            _ => Value::Bytes(self.random_bytes(3)),
        }
    }

    fn integer(&mut self, min: i128, max: i128, is_odd: bool) -> i128 {
        if is_odd {
            let beyond = self.rng.random_range(1..4);
            return if self.rng.random() { max + beyond } else { min - beyond };
        }
        match self.rng.random_range(0..4) {
            0 => max - self.rng.random_range(0..2),
            1 => min + self.rng.random_range(0..2),
            2 => self.any_integer().clamp(min, max),
            _ => self.rng.random_range(min..=max),
        }
    }

    /// Of all magnitudes, and beside each power of two.
    fn any_integer(&mut self) -> i128 {
        let bits = self.rng.random_range(0..127);
        let value = match self.rng.random_range(0..3) {
            0 => (1 << bits) + self.rng.random_range(-1..=1),
            1 => self.rng.random::<i128>() >> bits,
            // Halfway between two f64, or beside it: 53 bits and one more.
            _ => {
                let odd = i128::from(self.rng.random::<u32>()) << 22 | 1 << 53 | 1;
                (odd << self.rng.random_range(0..70)) + self.rng.random_range(-1..=1)
            }
        };
        if self.rng.random() { value } else { -value }
    }

    /// Of all kinds; unless it may be odd, none that the field refuses.
    fn float(&mut self, code: Code, is_odd: bool) -> f64 {
        let magnitude = match self.rng.random_range(0..20) {
            0 => f64::from_bits(self.rng.random()),
            1 => self.pick(&[0.0, 1.0, f64::INFINITY, f64::NAN, f64::MIN_POSITIVE, f64::MAX]),
            2 => {
                let payload = self.rng.random::<u64>() >> self.rng.random_range(12..64);
                f64::from_bits(f64::INFINITY.to_bits() | payload)
            }
            3 => self.any_integer() as f64,
            4 => self.beside(HALF_END),
            5 => self.beside(SINGLE_END),
            _ if code == Code::Half => self.near_half(),
            6..14 => self.near_single(),
            _ => {
                let exponent = self.rng.random_range(-40..40);
                self.rng.random_range(-1.0..1.0) * 2_f64.powi(exponent)
            }
        };
        let fits = |end: f64| is_odd || !magnitude.is_finite() || magnitude.abs() < end;
        let magnitude = match code {
            Code::Half if !fits(HALF_END) => self.near_half(),
            Code::Float if !fits(SINGLE_END) => self.near_single(),
            _ => magnitude,
        };
        if self.rng.random() { magnitude } else { -magnitude }
    }

    /// A half float, a point halfway to the next one, or right beside it.
    fn near_half(&mut self) -> f64 {
        // Of 11 significant bits or, at the bottom, fewer; and one bit more.
        let exponent = self.rng.random_range(-26..16);
        let unit = 2_f64.powi((exponent - 10).max(-24));
        let steps = f64::from(self.rng.random_range(0..2_048_u16));
        let half = self.pick(&[0.0, 0.5, 0.25, 0.75]);
        self.beside((steps + half) * unit).min(HALF_END.next_down())
    }

    /// An f32, a point halfway to the next one, or right beside it.
    fn near_single(&mut self) -> f64 {
        let exponent = if self.chance(40) { 0 } else { self.rng.random_range(0..255) };
        let bits = exponent << 23 | self.rng.random_range(0..0x007f_ffff);
        let (low, high) = (f32::from_bits(bits), f32::from_bits(bits + 1));
        let between =
            if self.rng.random() { f64::midpoint(low.into(), high.into()) } else { low.into() };
        self.beside(between)
    }

    /// The float, or its neighbour on either side.
    fn beside(&mut self, value: f64) -> f64 {
        match self.rng.random_range(0..3) {
            0 => value.next_up(),
            1 => value.next_down(),
            _ => value,
        }
    }

    /// Of this length or nearly; what was packed, where there is something.
    fn bytes(&mut self, len: usize, packed: Option<Vec<u8>>) -> Vec<u8> {
        let mut bytes = match packed {
            Some(packed) if self.chance(50) => packed,
            _ => self.filled(len),
        };
        match self.rng.random_range(0..20) {
            0 => drop(bytes.pop()),
            1 => bytes.push(0),
            _ => {}
        }
        bytes
    }

    fn bytes_around(&mut self, size: usize) -> Vec<u8> {
        let len = (size + self.rng.random_range(0..12)).saturating_sub(self.rng.random_range(0..3));
        self.filled(len)
    }

    /// Random, with many of the bytes that mean something special in a float or an integer.
    fn filled(&mut self, len: usize) -> Vec<u8> {
        let special = self.rng.random_range(0..80);
        let byte = |rng: &mut Pcg64Mcg| match rng.random_range(0..100) {
            roll if roll >= special => rng.random(),
            roll => [0x00, 0xff, 0x7f, 0x80, 0x7c, 0xfc, 0xf0, 0x01][roll % 8],
        };
        (0..len).map(|_| byte(&mut self.rng)).collect()
    }

    fn random_bytes(&mut self, most: usize) -> Vec<u8> {
        let len = self.rng.random_range(0..=most);
        self.filled(len)
    }

    /// Mostly where the structure fits; from either end.
    fn offset(&mut self, len: usize, size: usize) -> isize {
        let (len, size) = (i64::try_from(len).expect("small"), i64::try_from(size).expect("small"));
        let offset = match self.rng.random_range(0..20) {
            0 => self.pick(&[i64::MAX, i64::MIN, i64::MIN + 1, i64::MAX - 1, 1 << 40]),
            1..5 => self.rng.random_range(-len - 3..=len + 3),
            5..9 if size <= len => -self.rng.random_range(size..=len),
            _ if size <= len => self.rng.random_range(0..=len - size),
            _ => self.rng.random_range(-3..4),
        };
        isize::try_from(offset).unwrap_or(isize::MAX)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.random_range(0..from.len())]
    }
}

/// Whether there is a `p` with nothing but zeros before it.
fn has_empty_pascal(text: &str) -> bool {
    text.match_indices('p').any(|(at, _)| {
        let before = &text[..at];
        let digits = &before[before.trim_end_matches(|c: char| c.is_ascii_digit()).len()..];
        !digits.is_empty() && digits.bytes().all(|digit| digit == b'0')
    })
}
