//! When the next step is made: at Enter, or at once.

use std::io::{IsTerminal, Write};

use super::super::language::Language;

pub(super) enum Pace {
    /// Without asking.
    Auto,
    /// At Enter.
    Ask(Language),
}

/// What the reader said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Go {
    On,
    Quit,
}

impl Pace {
    /// Where nobody can press Enter, or would not see why, nobody is asked.
    pub(super) fn of(auto: bool, language: Language) -> Self {
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        if auto || !terminal { Self::Auto } else { Self::Ask(language) }
    }

    /// Asks on standard error and waits. The end of the input is an answer, too.
    pub(super) fn wait(&self) -> std::io::Result<Go> {
        let Self::Ask(language) = self else { return Ok(Go::On) };
        let question = language.choose(
            "[Enter: siguiente paso; q y Enter: salir] ",
            "[Enter: next step; q, Enter: quit] ",
        );
        let mut err = std::io::stderr().lock();
        write!(err, "{question}")?;
        err.flush()?;
        let mut answer = String::new();
        let len = std::io::stdin().read_line(&mut answer)?;
        if len == 0 {
            writeln!(err)?;
        }
        Ok(Self::answer(len, &answer))
    }

    fn answer(len: usize, answer: &str) -> Go {
        let quit = len == 0 || answer.trim_start().to_lowercase().starts_with('q');
        if quit { Go::Quit } else { Go::On }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_and_the_end_of_the_input_quit_and_all_else_goes_on() {
        for (answer, expected) in [
            ("\n", Go::On),
            ("n\n", Go::On),
            ("q\n", Go::Quit),
            (" Quit\n", Go::Quit),
            ("", Go::Quit),
        ] {
            assert_eq!(Pace::answer(answer.len(), answer), expected, "{answer:?}");
        }
    }
}
