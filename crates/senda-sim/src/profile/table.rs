//! A TOML table read key by key. The keys that were asked for are the known ones, so that no list
//! of them can fall behind, and every error knows its line.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Hint, ProfileError, closest};
use crate::parse_duration;

/// The text of a profile, and what to call it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'s> {
    pub(super) origin: &'s str,
    pub(super) text: &'s str,
}

impl Source<'_> {
    /// An error at a byte of the text.
    pub(super) fn error(&self, at: usize, what: impl Into<String>, hint: Hint) -> ProfileError {
        let before = self.text.as_bytes().iter().take(at);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        ProfileError::Invalid { origin: self.origin.to_owned(), line, what: what.into(), hint }
    }
}

/// A value and the byte of the text where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) at: usize,
}

/// One table. After the last question, [`Table::finish`] refuses what nobody asked for.
#[derive(Debug)]
pub(super) struct Table<'t, 's> {
    source: Source<'s>,
    /// How messages call it: `channel "humidity"`.
    pub(super) label: String,
    pub(super) at: usize,
    entries: &'t DeTable<'s>,
    asked: Vec<&'static str>,
}

impl<'t, 's> Table<'t, 's> {
    pub(super) fn new(
        source: Source<'s>,
        label: &str,
        at: usize,
        entries: &'t DeTable<'s>,
    ) -> Self {
        Self { source, label: label.to_owned(), at, entries, asked: Vec::new() }
    }

    pub(super) fn error(&self, at: usize, what: &str, hint: Hint) -> ProfileError {
        self.source.error(at, format!("{}: {what}", self.label), hint)
    }

    /// An error whose text says by itself what it is about.
    pub(super) fn plain_error(&self, at: usize, what: String, hint: Hint) -> ProfileError {
        self.source.error(at, what, hint)
    }

    /// The key's value, if it is there.
    fn get(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'s>>> {
        self.asked.push(key);
        self.entries.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// The key's value as `read` takes it, which answers `None` for a wrong kind.
    fn read<T>(
        &mut self,
        key: &'static str,
        kind: &str,
        read: impl Fn(&'t DeValue<'s>) -> Option<T>,
    ) -> Result<Option<Located<T>>, ProfileError> {
        let Some(entry) = self.get(key) else { return Ok(None) };
        let at = entry.span().start;
        let found = entry.get_ref().type_str();
        match read(entry.get_ref()) {
            Some(value) => Ok(Some(Located { value, at })),
            None => Err(self.error(
                at,
                &format!("`{key}` must be {kind}; found {found}"),
                Hint::default(),
            )),
        }
    }

    pub(super) fn text(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Located<&'t str>>, ProfileError> {
        self.read(key, "a text in quotes", DeValue::as_str)
    }

    pub(super) fn bool(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Located<bool>>, ProfileError> {
        self.read(key, "true or false", DeValue::as_bool)
    }

    /// A finite number.
    pub(super) fn number(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Located<f64>>, ProfileError> {
        self.read(key, "a number", number)
    }

    /// A whole number from 0.
    pub(super) fn count(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Located<u64>>, ProfileError> {
        self.read(key, "a whole number from 0", |value| {
            let integer = value.as_integer()?;
            u64::from_str_radix(integer.as_str(), integer.radix()).ok()
        })
    }

    /// A whole number in -128..=127.
    pub(super) fn small(&mut self, key: &'static str) -> Result<Option<Located<i8>>, ProfileError> {
        self.read(key, "a small whole number", |value| {
            let integer = value.as_integer()?;
            i8::from_str_radix(integer.as_str(), integer.radix()).ok()
        })
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Located<Duration>>, ProfileError> {
        let usage = "a duration in quotes, such as \"10s\"";
        let Some(text) = self.read(key, usage, DeValue::as_str)? else { return Ok(None) };
        match parse_duration(text.value) {
            Ok(value) => Ok(Some(Located { value, at: text.at })),
            Err(error) => Err(self.error(text.at, &format!("`{key}`: {error}"), Hint::default())),
        }
    }

    pub(super) fn texts(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Located<Vec<&'t str>>>, ProfileError> {
        self.read(key, "a list of texts", |value| {
            value.as_array()?.iter().map(|item| item.get_ref().as_str()).collect()
        })
    }

    pub(super) fn numbers(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Located<Vec<f64>>>, ProfileError> {
        self.read(key, "a list of numbers", |value| {
            value.as_array()?.iter().map(|item| number(item.get_ref())).collect()
        })
    }

    pub(super) fn table(&mut self, key: &'static str) -> Result<Option<Self>, ProfileError> {
        let table = self.read(key, &format!("a table, [{key}]"), DeValue::as_table)?;
        Ok(table.map(|table| Self::new(self.source, &format!("[{key}]"), table.at, table.value)))
    }

    pub(super) fn tables(&mut self, key: &'static str) -> Result<Vec<Self>, ProfileError> {
        let usage = format!("a list of tables, [[{key}]]");
        let all = self.read(key, &usage, |value| {
            let tables = value.as_array()?.iter();
            tables.map(|item| Some((item.span().start, item.get_ref().as_table()?))).collect()
        })?;
        let all: Vec<(usize, &DeTable<'_>)> = all.map_or(Vec::new(), |all| all.value);
        let name = |number: usize| format!("[[{key}]] {}", number + 1);
        let tables = all.into_iter().enumerate();
        Ok(tables.map(|(n, (at, entries))| Self::new(self.source, &name(n), at, entries)).collect())
    }

    /// A key that has to be there. What looks like it, misspelt, is the error then.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        value: Option<T>,
        example: &str,
    ) -> Result<T, ProfileError> {
        value.ok_or_else(|| {
            let misspelt =
                self.unknown().find(|(name, _)| closest(name, [key].into_iter()).is_some());
            match misspelt {
                Some((name, at)) => {
                    let hint = Hint::choice(name, [key].into_iter());
                    self.error(at, &format!("unknown key `{name}`"), hint)
                }
                None => {
                    let hint = Hint::new(format!("write, for example, {key} = {example}"));
                    self.error(self.at, &format!("`{key}` is missing"), hint)
                }
            }
        })
    }

    /// Refuses the first key that nobody asked for.
    pub(super) fn finish(self) -> Result<(), ProfileError> {
        match self.unknown().min_by_key(|(_, at)| *at) {
            None => Ok(()),
            Some((name, at)) => {
                let hint = Hint::choice(name, self.asked.iter().copied());
                Err(self.error(at, &format!("unknown key `{name}`"), hint))
            }
        }
    }

    fn unknown(&self) -> impl Iterator<Item = (&str, usize)> {
        let names =
            self.entries.iter().map(|(name, _)| (name.get_ref().as_ref(), name.span().start));
        names.filter(|(name, _)| !self.asked.contains(name))
    }
}

/// A finite number, written with or without a point.
fn number(value: &DeValue<'_>) -> Option<f64> {
    let text = match value {
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
        DeValue::Float(float) => float.as_str(),
        _ => return None,
    };
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
