//! `--from ndjson`: one object a line; keys are channels.
//!
//! A pipe shows its first lines only, and later ones bring other keys and larger numbers. So numbers are f64, which holds
//! what JSON writers write, and i64 or u64 where the first lines have integers that an f64 would round. A key that comes
//! later adds a channel; a value of another type than its channel's is a bad line.

use std::collections::{HashMap, HashSet};
use std::fmt;

use senda_client::{Reading, ValueType};
use senda_wire::registry::ELEMENTS_MAX;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::csv::TIME_NAMES;
use super::feed::{Translate, short};
use super::guess::Tally;
use super::kind::{self, Dialect, Kind};
use super::lines::Line;
use super::options::{Options, TimeChoice};
use super::shape::{Column, Row};
use super::when::{Form, PLAUSIBLE_FROM_US};
use super::{names, number};
use crate::UsageError;

/// Objects within objects.
const DEPTH_MAX: usize = 16;
/// Different keys of one input.
const KEYS_MAX: usize = 1_000;

/// A value of one key.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Field {
    Bool(bool),
    /// As it is written.
    Number(String),
    Text(String),
    /// Two of them or more.
    Numbers(Vec<String>),
}

/// What a key means.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Key {
    Column(usize),
    Time,
    /// `--only` names others.
    Unwanted,
}

/// An NDJSON input that was understood, as far as it went.
pub(super) struct Objects {
    options: Options,
    dialect: Dialect,
    columns: Vec<Column>,
    names: HashSet<String>,
    /// By path: `outer.inner`.
    keys: HashMap<String, Key>,
    time: Option<(String, Form)>,
    /// The first lines are over: what comes now is said.
    is_live: bool,
}

/// What one key was in the first lines.
#[derive(Default)]
struct Seen {
    tally: Tally,
    /// Kinds, and how often.
    kinds: Vec<(Kind, u64)>,
    /// Ends of the whole numbers; `None` when some were not whole.
    wholes: Option<(i128, i128)>,
    fractions: bool,
    beyond_f64: bool,
}

impl Objects {
    /// Looks at the first lines. Returns also what to say of them.
    pub(super) fn of<'l>(
        lines: impl Iterator<Item = &'l Line>,
        options: Options,
    ) -> Result<(Self, Vec<String>), UsageError> {
        let dialect =
            Dialect { decimal_comma: false, zone: options.zone.clone(), nothing: Vec::new() };
        let mut order: Vec<(String, Seen)> = Vec::new();
        let mut read = 0;
        for line in lines {
            let Ok(fields) = line.text.as_deref().map_err(String::clone).and_then(fields) else {
                continue;
            };
            read += 1;
            for (path, field) in fields {
                let at = order.iter().position(|(known, _)| *known == path);
                let at = at.unwrap_or_else(|| {
                    order.push((path, Seen::default()));
                    order.len() - 1
                });
                order[at].1.add(&field, &dialect);
            }
        }
        let mut objects = Self {
            options,
            dialect,
            columns: Vec::new(),
            names: HashSet::new(),
            keys: HashMap::new(),
            time: None,
            is_live: false,
        };
        let mut words = vec![format!("types from the first {read} objects")];
        words.push(objects.choose_time(&order)?);
        for (path, seen) in &order {
            if objects.keys.len() < KEYS_MAX && !objects.keys.contains_key(path) {
                objects.add(path, seen.kind(), seen.tally.longest);
                words.extend(objects.word(path));
            }
        }
        objects.is_live = true;
        Ok((objects, words))
    }

    /// The key of the time, and what to say of it.
    fn choose_time(&mut self, seen: &[(String, Seen)]) -> Result<String, UsageError> {
        let candidates: Vec<&str> = match &self.options.time {
            TimeChoice::None => Vec::new(),
            TimeChoice::Named(name) => vec![name],
            TimeChoice::Guess => TIME_NAMES.to_vec(),
        };
        let is_named = matches!(self.options.time, TimeChoice::Named(_));
        for candidate in candidates {
            let named =
                |path: &str| path == candidate || names::fit(path).as_deref() == Some(candidate);
            let found = seen.iter().find(|(path, _)| named(path));
            let custom = self.options.time_format.clone().map(Form::Custom);
            let form = custom.or_else(|| Form::guess(&found?.1.tally));
            let Some((path, form)) = found.map(|(path, _)| path.clone()).zip(form) else {
                if is_named {
                    return Err(UsageError(format!(
                        "--time {candidate}: in the first lines no key of that name holds times"
                    )));
                }
                continue;
            };
            let span = found.and_then(|(_, seen)| seen.tally.span(&form, &self.dialect));
            if !is_named && span.is_some_and(|(_, last)| last < PLAUSIBLE_FROM_US) {
                continue;
            }
            let word = format!("  time from {path:?}: {}", form.describe(&self.dialect.zone));
            self.keys.insert(path.clone(), Key::Time);
            self.time = Some((path, form));
            return Ok(word);
        }
        Ok("  no key with times: rows are dated when they are read".to_owned())
    }

    /// Gives a key its channel.
    fn add(&mut self, path: &str, kind: Kind, longest: usize) {
        let name = names::fit(path).unwrap_or_else(|| "c".to_owned());
        let name = names::unique(&name, &self.names);
        self.names.insert(name.clone());
        let key = if self.options.wants(&name) {
            let kind = self.options.kind_of(&name).unwrap_or(kind);
            let unit = self.options.unit_of(&name).unwrap_or_default().to_owned();
            let counter = self.options.is_counter(&name);
            self.columns.push(Column { unit, counter, longest, ..Column::new(&name, kind) });
            Key::Column(self.columns.len() - 1)
        } else {
            Key::Unwanted
        };
        self.keys.insert(path.to_owned(), key);
    }

    fn word(&self, path: &str) -> Option<String> {
        let Some(Key::Column(column)) = self.keys.get(path) else { return None };
        let Column { name, kind, unit, .. } = &self.columns[*column];
        let elements =
            if kind.elements > 1 { format!(" x {}", kind.elements) } else { String::new() };
        let word = format!("  {name:<20} from {path:?}: {}{elements}  {unit}", kind.as_option());
        Some(word.trim_end().to_owned())
    }

    fn row(&mut self, number: u64, text: &str) -> Result<Row, String> {
        let fields = fields(text)?;
        let mut row = Row::default();
        let new: Vec<&(String, Field)> =
            fields.iter().filter(|(path, _)| !self.keys.contains_key(path)).collect();
        if self.keys.len() + new.len() > KEYS_MAX {
            return Err(format!("with its keys there are more than {KEYS_MAX}"));
        }
        for (path, field) in &new {
            let mut seen = Seen::default();
            seen.add(field, &self.dialect);
            self.add(path, seen.kind(), seen.tally.longest);
            if let Some(word) = self.word(path).filter(|_| self.is_live) {
                eprintln!("senda: line {number} brings a new key:\nsenda: {word}");
            }
        }
        for (path, field) in &fields {
            match self.keys.get(path) {
                Some(Key::Column(place)) => {
                    let kind = self.columns[*place].kind;
                    let value = value(kind, field, &self.dialect).ok_or_else(|| {
                        format!("key {path}: {} is no {}", field.show(), kind.describe())
                    })?;
                    row.values.push((*place, value));
                }
                Some(Key::Time) => row.time_us = Some(self.time(path, field)?),
                Some(Key::Unwanted) | None => {}
            }
        }
        row.values.sort_unstable_by_key(|(place, _)| *place);
        match &self.time {
            Some((path, _)) if row.time_us.is_none() => {
                Err(format!("key {path}: there is no time"))
            }
            _ => Ok(row),
        }
    }

    fn time(&self, path: &str, field: &Field) -> Result<i64, String> {
        let us = match (field, &self.time) {
            (Field::Number(text) | Field::Text(text), Some((_, form))) => {
                form.read(text.trim(), &self.dialect.zone)
            }
            _ => None,
        };
        us.ok_or_else(|| {
            let form = self.time.as_ref().map(|(_, form)| form.describe(&self.dialect.zone));
            format!("key {path}: {} is no time ({})", field.show(), form.unwrap_or_default())
        })
    }

    /// Whether rows have times of their own.
    pub(super) const fn has_times(&self) -> bool {
        self.time.is_some()
    }
}

impl Translate for Objects {
    fn take(&mut self, line: Line, found: &mut Vec<(u64, Result<Row, String>)>) {
        let Line { number, text } = line;
        if text.as_ref().is_ok_and(|text| text.trim().is_empty()) {
            return;
        }
        found.push((number, text.and_then(|text| self.row(number, &text))));
    }

    fn end(&mut self, _: &mut Vec<(u64, Result<Row, String>)>) {}

    fn columns(&self) -> &[Column] {
        &self.columns
    }
}

impl Seen {
    fn add(&mut self, field: &Field, dialect: &Dialect) {
        let kind = match field {
            Field::Bool(_) => Kind::new(ValueType::Bool, 0),
            Field::Text(text) => {
                self.tally.add(text, dialect);
                Kind::new(ValueType::Text, 0)
            }
            Field::Number(text) => {
                self.tally.add(text, dialect);
                self.add_number(text);
                Kind::new(ValueType::F64, 0)
            }
            Field::Numbers(texts) => {
                texts.iter().for_each(|text| self.add_number(text));
                let elements = u8::try_from(texts.len()).unwrap_or(u8::MAX);
                Kind { elements, ..Kind::new(ValueType::F64, 0) }
            }
        };
        match self.kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => self.kinds.push((kind, 1)),
        }
    }

    fn add_number(&mut self, text: &str) {
        match number::parse(text).filter(|decimal| decimal.places == 0) {
            Some(decimal) => {
                let (least, most) = self.wholes.unwrap_or((decimal.raw, decimal.raw));
                self.wholes = Some((least.min(decimal.raw), most.max(decimal.raw)));
                self.beyond_f64 |= decimal.is_whole_beyond_f64();
            }
            None => self.fractions = true,
        }
    }

    /// What it was most often.
    fn kind(&self) -> Kind {
        let most = self.kinds.iter().rev().max_by_key(|(_, count)| *count);
        let kind = most.map_or(Kind::new(ValueType::Text, 0), |(kind, _)| *kind);
        if kind.value_type != ValueType::F64 || self.fractions || !self.beyond_f64 {
            return kind;
        }
        let holds = |value_type: &ValueType| {
            let ends = kind::range(*value_type).zip(self.wholes);
            ends.is_some_and(|((from, to), (least, most))| from <= least && most <= to)
        };
        let whole = [ValueType::I64, ValueType::U64].into_iter().find(holds);
        whole.map_or(kind, |value_type| Kind { value_type, ..kind })
    }
}

impl Field {
    fn show(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Number(text) => short(text).trim_matches('"').to_owned(),
            Self::Text(text) => short(text),
            Self::Numbers(texts) => format!("an array of {}", texts.len()),
        }
    }
}

/// The value of a field, exactly; `None` when its channel can't have it.
fn value(kind: Kind, field: &Field, dialect: &Dialect) -> Option<Reading> {
    match (kind.value_type, field) {
        (ValueType::Bool, Field::Bool(value)) => Some(Reading::Bool(*value)),
        (ValueType::Text | ValueType::Blob | ValueType::Time, Field::Text(text)) => {
            kind.read(text, dialect)
        }
        (ValueType::Text | ValueType::Blob | ValueType::Time | ValueType::Bool, _) => None,
        (_, Field::Number(text)) if kind.elements == 1 => kind.read(text, dialect),
        (_, Field::Numbers(texts)) if texts.len() == usize::from(kind.elements) => {
            let scalar = Kind { elements: 1, ..kind };
            let elements = texts.iter().map(|text| scalar.read(text, dialect));
            elements.collect::<Option<Vec<_>>>().map(Reading::Vector)
        }
        _ => None,
    }
}

/// The fields of an object, those within it by their path; null is absent.
fn fields(text: &str) -> Result<Vec<(String, Field)>, String> {
    let mut fields = Vec::new();
    walk(text, "", 0, &mut fields)?;
    let mut paths = HashSet::new();
    match fields.iter().find(|(path, _)| !paths.insert(path.as_str())) {
        Some((path, _)) => Err(format!("key {path} is there twice")),
        None => Ok(fields),
    }
}

fn walk(
    text: &str,
    prefix: &str,
    depth: usize,
    out: &mut Vec<(String, Field)>,
) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("objects lie more than {DEPTH_MAX} deep in each other"));
    }
    let Pairs(pairs) = serde_json::from_str(text).map_err(|error| no_json(&error))?;
    for (key, raw) in pairs {
        let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        let text = raw.get();
        let field = match text.as_bytes().first() {
            Some(b'{') => {
                walk(text, &path, depth + 1, out)?;
                continue;
            }
            Some(b'n') => continue,
            Some(b't') => Field::Bool(true),
            Some(b'f') => Field::Bool(false),
            Some(b'"') => Field::Text(serde_json::from_str(text).map_err(|error| no_json(&error))?),
            Some(b'[') => numbers(text).ok_or_else(|| {
                format!("key {path}: only arrays of 1 to {ELEMENTS_MAX} numbers can be sent")
            })?,
            _ => Field::Number(text.to_owned()),
        };
        out.push((path, field));
    }
    Ok(())
}

/// An array of one number is that number: the wire has no vector of one.
fn numbers(text: &str) -> Option<Field> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let number = |raw: &&RawValue| {
        let text = raw.get();
        text.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| text.to_owned())
    };
    let mut numbers = elements.iter().map(number).collect::<Option<Vec<_>>>()?;
    match numbers.len() {
        1 => numbers.pop().map(Field::Number),
        2..=ELEMENTS_MAX => Some(Field::Numbers(numbers)),
        _ => None,
    }
}

/// The line has a number of its own: of the library's place only the column is right.
fn no_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    format!("it is no JSON object: {what} at column {}", error.column())
}

/// An object's pairs in order, with a key that is there twice twice.
struct Pairs<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<'de>, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(texts: &[&str]) -> Vec<Line> {
        (1..)
            .zip(texts)
            .map(|(number, text)| Line { number, text: Ok((*text).to_owned()) })
            .collect()
    }

    /// Types are guessed from the first `head` lines.
    fn read(texts: &[&str], head: usize) -> (Objects, Vec<Result<Row, String>>) {
        let lines = lines(texts);
        let (mut objects, _) = Objects::of(lines.iter().take(head), Options::default()).unwrap();
        let mut found = Vec::new();
        lines.into_iter().for_each(|line| objects.take(line, &mut found));
        (objects, found.into_iter().map(|(_, row)| row).collect())
    }

    fn why(text: &str) -> String {
        let (_, mut rows) = read(&["{\"t\":1.5,\"v\":[1,2]}", text], 1);
        rows.pop().unwrap().unwrap_err()
    }

    #[test]
    fn keys_become_channels_and_nested_ones_their_path() {
        let text = r#"{"ts":1769860800000,"outer":{"Temp":21.5,"ok":true},"door":"open","accel":[0.5,-1,9],"none":null}"#;
        let (objects, rows) = read(&[text], 1);
        let columns: Vec<String> = (objects.columns.iter())
            .map(|column| {
                format!("{}={}x{}", column.name, column.kind.as_option(), column.kind.elements)
            })
            .collect();
        assert_eq!(columns, ["outer_temp=f64x1", "outer_ok=boolx1", "door=textx1", "accel=f64x3"]);
        let row = rows[0].as_ref().unwrap();
        assert_eq!(row.time_us, Some(1_769_860_800_000_000));
        assert_eq!(row.values[0], (0, Reading::Float(21.5)));
        let vector = [0.5, -1.0, 9.0].map(Reading::Float).to_vec();
        assert_eq!(row.values[3], (3, Reading::Vector(vector)));
    }

    #[test]
    fn a_number_that_an_f64_would_round_is_an_integer_or_a_bad_line() {
        let (objects, rows) = read(&[r#"{"id":9007199254740993}"#, r#"{"id":1}"#], 2);
        assert_eq!(objects.columns[0].kind.value_type, ValueType::I64);
        assert_eq!(rows[0].as_ref().unwrap().values[0].1, Reading::Integer(9_007_199_254_740_993));
        let (objects, _) = read(&[r#"{"id":18446744073709551615}"#], 1);
        assert_eq!(objects.columns[0].kind.value_type, ValueType::U64);
        assert!(why(r#"{"t":9007199254740993}"#).contains("9007199254740993 is no f64"));
        assert!(why(r#"{"t":1e999}"#).contains("no f64"));
    }

    #[test]
    fn later_keys_add_channels_and_the_line_that_brings_one_is_whole() {
        let (objects, rows) = read(&[r#"{"a":1}"#, r#"{"b":"x","a":2}"#, r#"{"b":"y"}"#], 1);
        assert_eq!(objects.columns.len(), 2);
        let places = |row: &Result<Row, String>| {
            row.as_ref().unwrap().values.iter().map(|(place, _)| *place).collect::<Vec<_>>()
        };
        assert_eq!(rows.iter().map(places).collect::<Vec<_>>(), [vec![0], vec![0, 1], vec![1]]);
    }

    #[test]
    fn what_can_not_be_sent_says_why() {
        assert!(why("{\"t\":").contains("no JSON object"), "{}", why("{\"t\":"));
        assert!(why("[1,2]").contains("expected an object"), "{}", why("[1,2]"));
        assert!(why("{\"t\":1} x").contains("column 9"), "{}", why("{\"t\":1} x"));
        assert!(why(r#"{"t":1,"t":2}"#).contains("t is there twice"));
        assert!(why(r#"{"t":"warm"}"#).contains("\"warm\" is no f64"));
        assert!(why(r#"{"v":[1,2,3]}"#).contains("an array of 3 is no array of 2"));
        assert!(why(r#"{"x":["a"]}"#).contains("only arrays of 1 to 64 numbers"));
        assert!(why(r#"{"x":[]}"#).contains("only arrays"));
        assert!(why(r#"{"s":"\ud800"}"#).contains("no JSON object"));
        let deep = format!("{}1{}", "{\"a\":".repeat(20), "}".repeat(20));
        assert!(why(&deep).contains("deep"));
        let long = format!("{{\"s\":\"{}\"}}", "x".repeat(256));
        assert!(why(&long).contains("no text of at most 255 bytes"));
    }

    proptest! {
        /// Whatever a line is, it is a row or a bad line; what is a row has every value of the line.
        #[test]
        fn any_line_is_a_row_or_a_bad_line(text in "[{}\\[\\]\":,.a-c0-9eE+ -]{0,40}") {
            let (_, rows) = read(&["{\"t\":1.5}", &text], 1);
            let is_object = serde_json::from_str::<serde_json::Map<_, _>>(&text).is_ok();
            if rows.get(1).is_some_and(Result::is_ok) {
                prop_assert!(is_object, "{}", text);
            }
        }

        #[test]
        fn numbers_come_out_as_they_went_in(value: f64, whole: i64) {
            prop_assume!(value.is_finite());
            let text = format!("{{\"value\":{value:?},\"whole\":{whole}}}");
            let (_, rows) = read(&[&text], 1);
            let values = &rows[0].as_ref().unwrap().values;
            prop_assert_eq!(&values[0].1, &Reading::Float(value));
            let kept = match values[1].1 {
                Reading::Integer(kept) => kept == whole.into(),
                Reading::Float(kept) => kept.to_string() == whole.to_string(),
                _ => false,
            };
            prop_assert!(kept, "{:?}", values[1]);
        }
    }

    #[test]
    fn keys_without_end_are_bad_lines_and_bounded_memory() {
        let texts: Vec<String> = (0..1_100).map(|key| format!("{{\"k{key}\":1}}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (objects, rows) = read(&texts, 1);
        assert_eq!(objects.columns.len(), KEYS_MAX);
        assert!(rows[1_050].as_ref().unwrap_err().contains("more than 1000"));
    }
}
