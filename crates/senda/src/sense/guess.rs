//! From the cells of a column to the kind of its channel.
//!
//! A column is what at least four fifths of its cells are; the others are named as bad lines. Numbers get the least width
//! that holds them all when all of them were seen. Where only the first lines were seen, and with `--wide`, they get room:
//! i64 and f64.

use senda_client::ValueType;

use super::kind::{self, Dialect, Kind};
use super::{number, when};

/// More decimals than that are a float's way of printing, not a sensor's resolution.
const PLACES_MAX: u32 = 9;
/// Raw values beyond are left to f64: the store shows scaled integers as f64, and this far it shows every digit.
const SCALED_RAW_MAX: u128 = 1 << 50;
const NANO: i128 = 1_000_000_000;

/// Whether later cells may need more than those that were seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Room {
    /// All were seen: the least width.
    Least,
    /// i64 and f64.
    Wide,
}

/// What the cells of one column were.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Cells with something in them.
    pub(super) cells: u64,
    bools: u64,
    wholes: u64,
    decimals: u64,
    floats: u64,
    /// Dates with a time of day.
    pub(super) times: u64,
    /// Dates without one, and times that a channel would cut: as a channel they are text.
    pub(super) dates: u64,
    /// First and last of both, microseconds.
    time_ends: Option<(i64, i64)>,
    /// Most decimals of a number.
    places: u32,
    /// Ends of the wholes and decimals, times 10^9.
    ends: Option<(i128, i128)>,
    /// Most bytes of a cell.
    pub(super) longest: usize,
}

/// What a column is taken for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Guess {
    pub(super) kind: Kind,
    /// Cells that are no value of it.
    pub(super) strays: u64,
}

impl Tally {
    /// Looks at a cell that has something in it.
    pub(super) fn add(&mut self, cell: &str, dialect: &Dialect) {
        self.cells += 1;
        self.longest = self.longest.max(cell.len());
        if cell.eq_ignore_ascii_case("true") || cell.eq_ignore_ascii_case("false") {
            self.bools += 1;
        } else if !self.add_number(&dialect.number(cell)) {
            self.add_time(cell, dialect);
        }
    }

    fn add_time(&mut self, cell: &str, dialect: &Dialect) {
        let Some(us) = when::read_text(cell, &dialect.zone) else { return };
        let (first, last) = self.time_ends.unwrap_or((us, us));
        self.time_ends = Some((first.min(us), last.max(us)));
        if cell.contains(':') && when::is_exact(cell) {
            self.times += 1;
        } else {
            self.dates += 1;
        }
    }

    /// First and last time of a column of this form, microseconds.
    pub(super) fn span(&self, form: &when::Form, dialect: &Dialect) -> Option<(i64, i64)> {
        match form {
            when::Form::Text => self.time_ends,
            when::Form::Custom(_) => None,
            when::Form::Unix(_) => {
                let (least, most) = self.numbers()?;
                let read = |number: i128| form.read(&number.to_string(), &dialect.zone);
                Some((read(least)?, read(most)?))
            }
        }
    }

    /// False for what is text, be it of digits: a code with zeros in front, an integer that no channel holds.
    fn add_number(&mut self, cell: &str) -> bool {
        match number::parse(cell) {
            Some(decimal) if decimal.is_padded => return false,
            Some(decimal) if decimal.is_negative_zero => self.floats += 1,
            Some(decimal) if decimal.places == 0 => {
                if !(i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&decimal.raw) {
                    return self.add_float(cell);
                }
                self.wholes += 1;
                self.extend(decimal);
            }
            Some(decimal)
                if decimal.places <= PLACES_MAX && decimal.raw.unsigned_abs() <= SCALED_RAW_MAX =>
            {
                self.decimals += 1;
                self.places = self.places.max(decimal.places);
                self.extend(decimal);
            }
            Some(_) => self.floats += 1,
            None => return self.add_float(cell),
        }
        true
    }

    /// Digits without end are a number only if an f64 prints them so.
    fn add_float(&mut self, cell: &str) -> bool {
        let is_whole = cell.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
        let value = cell.parse::<f64>().ok();
        let is_float = value.is_some_and(|value| !is_whole || value.to_string() == cell);
        self.floats += u64::from(is_float);
        is_float
    }

    fn extend(&mut self, decimal: number::Decimal) {
        let nanos = decimal.raw * NANO / 10i128.pow(decimal.places);
        let (least, most) = self.ends.unwrap_or((nanos, nanos));
        self.ends = Some((least.min(nanos), most.max(nanos)));
    }

    /// Whether so many are enough to speak for the column.
    pub(super) const fn is_mostly(&self, count: u64) -> bool {
        count > 0 && count * 5 >= self.cells * 4
    }

    /// Least and largest number, rounded down, where the column is mostly numbers.
    pub(super) fn numbers(&self) -> Option<(i128, i128)> {
        let (least, most) = self.ends?;
        let all = self.wholes + self.decimals + self.floats;
        self.is_mostly(all).then(|| (least.div_euclid(NANO), most.div_euclid(NANO)))
    }

    /// What the column is; `None` when every cell was empty.
    pub(super) fn guess(&self, room: Room) -> Option<Guess> {
        let numbers = self.wholes + self.decimals + self.floats;
        let found = |kind, count| Some(Guess { kind, strays: self.cells - count });
        if self.cells == 0 {
            None
        } else if self.is_mostly(numbers) {
            found(self.number_kind(room), numbers)
        } else if self.is_mostly(self.bools) {
            found(Kind::new(ValueType::Bool, 0), self.bools)
        } else if self.is_mostly(self.times) {
            found(Kind::new(ValueType::Time, 0), self.times)
        } else {
            found(Kind::new(ValueType::Text, 0), self.cells)
        }
    }

    fn number_kind(&self, room: Room) -> Kind {
        let float = Kind::new(ValueType::F64, 0);
        let Some((least, most)) = self.ends.filter(|_| self.floats == 0) else { return float };
        let step = NANO / 10i128.pow(self.places);
        let (least, most) = (least / step, most / step);
        let scaled = self.decimals > 0;
        let largest = least.unsigned_abs().max(most.unsigned_abs());
        if scaled && (room == Room::Wide || largest > SCALED_RAW_MAX) {
            return float;
        }
        let all = match (room, least < 0) {
            (Room::Least, false) => {
                &[ValueType::U8, ValueType::U16, ValueType::U32, ValueType::U64][..]
            }
            (Room::Least, true) => &[ValueType::I8, ValueType::I16, ValueType::I32, ValueType::I64],
            (Room::Wide, _) => &[ValueType::I64, ValueType::U64],
        };
        let holds = |value_type: &&ValueType| {
            kind::range(**value_type).is_some_and(|(from, to)| from <= least && most <= to)
        };
        // Negative numbers beside some above i64: only text keeps both.
        let value_type = all.iter().find(holds).copied().unwrap_or(ValueType::Text);
        let exponent = i8::try_from(self.places).map_or(0, |places| -places);
        Kind::new(value_type, exponent)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;
    use senda_client::Reading;

    use super::*;

    fn dialect() -> Dialect {
        Dialect { decimal_comma: false, zone: TimeZone::UTC, nothing: Vec::new() }
    }

    fn tally<S: AsRef<str>>(cells: &[S]) -> Tally {
        let mut tally = Tally::default();
        cells.iter().for_each(|cell| tally.add(cell.as_ref(), &dialect()));
        tally
    }

    fn guess(cells: &[&str], room: Room) -> String {
        tally(cells).guess(room).map_or_else(String::new, |guess| guess.kind.as_option())
    }

    #[test]
    fn columns_get_the_least_type_that_holds_them_all() {
        for (cells, least, wide) in [
            (&["1", "200"][..], "u8", "i64"),
            (&["1", "-1"], "i8", "i64"),
            (&["0", "65536"], "u32", "i64"),
            (&["18446744073709551615"], "u64", "u64"),
            (&["21.5", "-3", "0.25"], "i16:-2", "f64"),
            (&["21.5", "1e3"], "f64", "f64"),
            (&["0.30000000000000004"], "f64", "f64"),
            (&["-0.0", "1.5"], "f64", "f64"),
            (&["NaN", "1.5"], "f64", "f64"),
            (&["true", "False"], "bool", "bool"),
            (&["0", "1"], "u8", "i64"),
            (&["007", "008"], "text", "text"),
            (&["99999999999999999999999"], "text", "text"),
            (&["-1", "18446744073709551615"], "text", "text"),
            (&["2026-01-31 12:00:00", "2026-01-31T12:00:00Z"], "time", "time"),
            (&["2026-01-31T12:00:00.123456789Z"], "text", "text"),
            (&["2026-01-31"], "text", "text"),
            (&["open", "1"], "text", "text"),
            (&[], "", ""),
        ] {
            assert_eq!(guess(cells, Room::Least), least, "{cells:?}");
            assert_eq!(guess(cells, Room::Wide), wide, "{cells:?}");
        }
    }

    #[test]
    fn a_few_strays_do_not_make_a_column_of_numbers_text() {
        let column = tally(&["1", "2", "3", "4", "n/a"]).guess(Room::Least).unwrap();
        assert_eq!((column.kind.as_option().as_str(), column.strays), ("u8", 1));
        let column = tally(&["1", "2", "n/a"]).guess(Room::Least).unwrap();
        assert_eq!((column.kind.as_option().as_str(), column.strays), ("text", 0));
    }

    /// What a typed column prints is guessed so that every cell is a value again, bit for bit.
    fn is_kept<T: ToString>(values: &[T], expected: impl Fn(&T) -> Reading, room: Room) {
        let cells: Vec<String> = values.iter().map(ToString::to_string).collect();
        let guess = tally(&cells).guess(room).expect("there are cells");
        assert_eq!(guess.strays, 0, "{cells:?}");
        for (cell, value) in cells.iter().zip(values) {
            let read = guess.kind.read(cell, &dialect());
            assert!(
                same(read.as_ref(), &expected(value), cell),
                "{cell} as {:?}: {read:?}",
                guess.kind
            );
        }
    }

    fn same(read: Option<&Reading>, expected: &Reading, cell: &str) -> bool {
        match (read, expected) {
            (Some(Reading::Float(read)), Reading::Float(value)) => {
                read.to_bits() == value.to_bits() || (read.is_nan() && value.is_nan())
            }
            (Some(Reading::Integer(read)), Reading::Float(_)) => read.to_string() == cell,
            (read, expected) => read == Some(expected),
        }
    }

    fn room() -> impl Strategy<Value = Room> {
        prop_oneof![Just(Room::Least), Just(Room::Wide)]
    }

    proptest! {
        #[test]
        fn integers_are_guessed_back(values: Vec<i64>, unsigned: Vec<u64>, room in room()) {
            if !values.is_empty() {
                is_kept(&values, |value| Reading::Integer((*value).into()), room);
            }
            if !unsigned.is_empty() {
                is_kept(&unsigned, |value| Reading::Integer((*value).into()), room);
            }
        }

        #[test]
        fn floats_are_guessed_back(values in prop::collection::vec(any::<f64>(), 1..20), room in room()) {
            is_kept(&values, |value| Reading::Float(*value), room);
        }

        #[test]
        fn scaled_integers_are_guessed_back(raws in prop::collection::vec(-1_000_000_000i64..1_000_000_000, 1..20),
                                            places in 1u8..=6, room in room()) {
            let exponent = -i8::try_from(places).unwrap();
            let cells: Vec<String> =
                raws.iter().map(|raw| senda_server::json::scaled((*raw).into(), exponent)).collect();
            is_kept(&cells, |cell| Reading::Float(cell.parse().unwrap()), room);
        }

        #[test]
        fn bools_times_and_words_are_guessed_back(bools in prop::collection::vec(any::<bool>(), 1..20),
                                                  times in prop::collection::vec(0i64..4_000_000_000_000_000, 1..20),
                                                  words in prop::collection::vec("[a-z][ a-zñ,;0-9]{0,30}[a-z]", 1..20)) {
            is_kept(&bools, |value| Reading::Bool(*value), Room::Least);
            let times: Vec<_> =
                times.iter().map(|us| jiff::Timestamp::from_microsecond(*us).unwrap()).collect();
            is_kept(&times, |time| Reading::Integer(time.as_microsecond().into()), Room::Least);
            let words: Vec<String> =
                words.into_iter().filter(|word| word.parse::<f64>().is_err()).collect();
            if !words.is_empty() {
                is_kept(&words, |word| Reading::Text(word.clone()), Room::Least);
            }
        }

        /// Whatever a cell is, it is judged without a panic, and what is guessed of it alone holds it.
        #[test]
        fn any_cell_is_a_value_of_its_own_guess(cell in "\\PC{1,40}") {
            let guess = tally(&[&cell]).guess(Room::Least).unwrap();
            prop_assert_eq!(guess.strays, 0);
            prop_assert!(guess.kind.read(&cell, &dialect()).is_some(), "{:?}", guess);
        }
    }
}
