//! The chapters as programs in C, Python and Rust, and the part of each step in them. A step shows what a program that
//! was compiled and run contains, so that no snippet can be wrong.

/// A language of the programs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Code {
    /// C
    C,
    /// Python
    Python,
    /// Rust
    Rust,
}

impl Code {
    pub(super) const ALL: [Self; 3] = [Self::C, Self::Python, Self::Rust];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Python => "Python",
            Self::Rust => "Rust",
        }
    }
}

/// A chapter in each language, as its file is.
pub(super) struct Programs {
    pub(super) c: &'static str,
    pub(super) python: &'static str,
    pub(super) rust: &'static str,
}

/// What the C programs have in common.
const HEADER: &str = include_str!("programs/tour.h");
/// The line that takes it in.
const INCLUDE: &str = "#include \"tour.h\"\n";

impl Programs {
    pub(super) const fn source(&self, code: Code) -> &'static str {
        match code {
            Code::C => self.c,
            Code::Python => self.python,
            Code::Rust => self.rust,
        }
    }

    /// In one file, without our marks.
    pub(super) fn whole(&self, code: Code) -> String {
        let lines = self.source(code).lines().filter(|line| Mark::of(line).is_none());
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        text.replace(INCLUDE, HEADER)
    }
}

/// The lines of a program that make a step.
pub(super) struct Section<'a> {
    pub(super) name: &'a str,
    /// Without the indentation of the function around it.
    pub(super) text: String,
}

/// A line that says where sections begin and end: `//> NAME` and `//.`, in Python `#> NAME` and `#.`.
enum Mark<'a> {
    Begin(&'a str),
    /// What follows is left to the program: it is not shown.
    End,
}

impl<'a> Mark<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let mark = line.strip_prefix("//").or_else(|| line.strip_prefix('#'))?;
        match mark.strip_prefix('>') {
            Some(name) => Some(Self::Begin(name.trim())),
            None => (mark == ".").then_some(Self::End),
        }
    }
}

/// All sections of a program, in order.
pub(super) fn sections(source: &str) -> Vec<Section<'_>> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut within = false;
    for line in source.lines() {
        match (Mark::of(line), found.last_mut()) {
            (Some(Mark::Begin(name)), _) => {
                found.push((name, Vec::new()));
                within = true;
            }
            (Some(Mark::End), _) => within = false,
            (None, Some((_, lines))) if within => lines.push(line),
            (None, _) => {}
        }
    }
    found.into_iter().map(|(name, lines)| Section { name, text: dedent(&lines) }).collect()
}

/// Without the indentation that all lines share, and without empty lines at the end.
fn dedent(lines: &[&str]) -> String {
    let full = || lines.iter().filter(|line| !line.trim().is_empty());
    let indent = full().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let text: Vec<&str> = lines.iter().map(|line| line.get(indent..).unwrap_or_default()).collect();
    text.join("\n").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::super::chapters;
    use super::*;

    #[test]
    fn each_program_has_a_section_for_each_step_in_order() {
        for chapter in &chapters::ALL {
            let steps: Vec<&str> = chapter.steps.iter().map(|step| step.name).collect();
            for code in Code::ALL {
                let sections = sections(chapter.programs.source(code));
                let names: Vec<&str> = sections.iter().map(|section| section.name).collect();
                assert_eq!(names, steps, "{} in {}", chapter.name, code.name());
                let empty = sections.iter().find(|section| section.text.is_empty());
                assert!(empty.is_none(), "{} in {}", chapter.name, code.name());
            }
        }
    }

    #[test]
    fn snippets_fit_a_terminal_of_80_columns_with_their_indentation() {
        for chapter in &chapters::ALL {
            for code in Code::ALL {
                for section in sections(chapter.programs.source(code)) {
                    for line in section.text.lines() {
                        assert!(line.width() <= super::super::render::CODE_WIDTH, "{line}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_whole_program_is_one_file_without_marks() {
        for chapter in &chapters::ALL {
            for code in Code::ALL {
                let program = chapter.program(code);
                assert!(!program.contains("tour.h"), "{program}");
                assert!(program.lines().all(|line| Mark::of(line).is_none()), "{program}");
                let snippet = chapter.snippet(code, chapter.steps[0].name);
                assert!(snippet.lines().all(|line| program.contains(line)), "{program}");
            }
        }
    }
}
