//! Names whose grammar is checked once, when they are made.

use core::fmt;

use crate::registry::NAME_MAX;

/// A device's name: `[A-Za-z0-9][A-Za-z0-9._:-]*`, 1 to 63 bytes. Spec §2.2.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DeviceName<'a>(&'a str);

impl<'a> DeviceName<'a> {
    /// Checks the grammar; `None` when `name` breaks it.
    pub fn new(name: &'a str) -> Option<Self> {
        let (first, rest) = name.as_bytes().split_first()?;
        let good = name.len() <= NAME_MAX
            && first.is_ascii_alphanumeric()
            && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(byte));
        good.then_some(Self(name))
    }

    /// The name itself.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for DeviceName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A schema's or a channel's name: `[a-z][a-z0-9_]{0,62}`. Spec §4.1.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identifier<'a>(&'a str);

impl<'a> Identifier<'a> {
    /// Checks the grammar; `None` when `name` breaks it.
    pub fn new(name: &'a str) -> Option<Self> {
        let (first, rest) = name.as_bytes().split_first()?;
        let good = name.len() <= NAME_MAX
            && first.is_ascii_lowercase()
            && rest
                .iter()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_');
        good.then_some(Self(name))
    }

    /// The name itself.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Identifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
