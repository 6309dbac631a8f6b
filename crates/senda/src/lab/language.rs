//! Spanish or English: the handout is Spanish, most programs are not.

/// What the lab's commands speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Language {
    /// Spanish
    Es,
    /// English
    En,
}

impl Language {
    /// Spanish where the locale is Spanish. The first of LC_ALL, LC_MESSAGES and LANG that is set decides, as POSIX has it.
    pub(super) fn of_the_locale() -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        Self::of(locale.as_deref().unwrap_or_default())
    }

    /// Of a locale's name, such as `es_ES.UTF-8`.
    fn of(locale: &str) -> Self {
        let language = locale.split(['_', '.', '@']).next().unwrap_or_default();
        if language == "es" { Self::Es } else { Self::En }
    }

    /// The one of two texts that is in this language.
    pub(super) const fn choose<T: Copy>(self, spanish: T, english: T) -> T {
        match self {
            Self::Es => spanish,
            Self::En => english,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Language;

    #[test]
    fn a_locale_is_spanish_by_its_language_and_nothing_else() {
        for spanish in ["es", "es_ES", "es_MX.UTF-8", "es@euro"] {
            assert_eq!(Language::of(spanish), Language::Es, "{spanish}");
        }
        for other in ["", "C", "C.UTF-8", "en_ES.UTF-8", "est_EE", "POSIX"] {
            assert_eq!(Language::of(other), Language::En, "{other}");
        }
    }
}
