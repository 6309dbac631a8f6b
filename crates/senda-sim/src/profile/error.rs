//! What can be wrong with a profile: what, where, and what to do.

use std::fmt;
use std::path::PathBuf;

/// Why a profile can't be used.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Neither a built-in profile nor a file.
    #[error("there is no profile `{name}`{hint}")]
    Unknown {
        /// The name as it came.
        name: String,
        /// What to do.
        hint: Hint,
    },
    /// The file can't be read.
    #[error("can't read the profile {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text breaks a rule.
    #[error("{origin}:{line}: {what}{hint}")]
    Invalid {
        /// File or built-in profile.
        origin: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
        /// What to do.
        hint: Hint,
    },
}

/// What to do about an error; may be empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hint(Option<String>);

impl Hint {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(Some(text.into()))
    }

    /// "did you mean", or else all that is allowed.
    pub(super) fn choice<'a>(wrong: &str, known: impl Iterator<Item = &'a str> + Clone) -> Self {
        match closest(wrong, known.clone()) {
            Some(right) => Self(Some(format!("did you mean `{right}`?"))),
            None => Self(Some(format!("known are: {}", known.collect::<Vec<_>>().join(", ")))),
        }
    }

    /// Says that a file is possible, too.
    pub(super) fn or_a_file(self) -> Self {
        let file = "(the name of a file ends in .toml or contains a slash)";
        Self(self.0.map(|hint| format!("{hint} {file}")))
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// The known word that `wrong` is probably meant to be.
pub(super) fn closest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace(['-', '_', ' '], "");
    let wrong_plain = plain(wrong);
    let score = |word: &&str| strsim::normalized_damerau_levenshtein(&wrong_plain, &plain(word));
    // Case matters in units: of `v` and `V` the same spelling wins, then the same letters.
    let (right, likeness) = known
        .map(|word| (word, score(&word)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    (likeness >= 0.6).then_some(right)
}
