//! The chapters of `docs/lab`, in two languages.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::chapter::{self, Item};
use crate::session::{self, Report, project, read};

/// Directory, and what a student's computer is set to.
const LANGUAGES: [(&str, &str); 2] = [("es", "es_ES.UTF-8"), ("en", "C.UTF-8")];
/// Chapters are short: so many at a time, on whatever machine.
const AT_A_TIME: usize = 4;

#[test]
fn every_command_of_the_spanish_chapters_prints_what_they_say() {
    run_all(LANGUAGES[0]);
}

#[test]
fn every_command_of_the_english_chapters_prints_what_they_say() {
    run_all(LANGUAGES[1]);
}

#[test]
fn chapters_come_in_pairs_with_the_same_commands_and_files() {
    let [spanish, english] = LANGUAGES.map(|(language, _)| chapters(language));
    let names = |chapters: &BTreeMap<String, PathBuf>| -> BTreeSet<String> {
        chapters.keys().map(|name| name[..2].to_owned()).collect()
    };
    assert_eq!(names(&spanish), names(&english), "by the numbers that their names begin with");
    for (spanish, english) in spanish.values().zip(english.values()) {
        let shapes = [spanish, english].map(|path| shape(&items(path)));
        assert_eq!(shapes[0], shapes[1], "{} and {}", spanish.display(), english.display());
    }
}

/// Runs the chapters of a language, and says what was not run.
fn run_all((language, locale): (&str, &'static str)) {
    let chapters: Vec<PathBuf> = chapters(language).into_values().collect();
    // For whoever writes one: BOOK_CHAPTER=es/03 cargo test -p senda --test book
    let only = std::env::var("BOOK_CHAPTER").unwrap_or_default();
    let chosen: Vec<&PathBuf> =
        chapters.iter().filter(|path| path.to_string_lossy().contains(&only)).collect();
    let mut mistakes = Vec::new();
    for some in chosen.chunks(AT_A_TIME) {
        let outcomes: Vec<Result<Report, String>> = std::thread::scope(|scope| {
            let running: Vec<_> = some
                .iter()
                .map(|path| scope.spawn(move || session::run(&items(path), locale)))
                .collect();
            running.into_iter().map(|it| it.join().expect("a chapter's thread")).collect()
        });
        for (path, outcome) in some.iter().zip(outcomes) {
            match outcome {
                Ok(report) => say(path, &report),
                Err(mistake) => mistakes.push(format!("{}: {mistake}", path.display())),
            }
        }
    }
    assert!(mistakes.is_empty(), "\n{}\n", mistakes.join("\n\n"));
}

/// Straight to standard error, so that it is seen of tests that pass, too: nothing is left out in silence.
fn say(path: &Path, report: &Report) {
    let name = path.file_name().unwrap_or_default().display();
    let skipped = report.skipped.len();
    let mut text = format!("{name}: {} blocks run, {skipped} not\n", report.run);
    for (line, reason) in &report.skipped {
        text += &format!("{name}: line {line} not run: {reason}\n");
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// The chapters by name. Their names begin with their numbers.
fn chapters(language: &str) -> BTreeMap<String, PathBuf> {
    let directory = project().join("docs/lab").join(language);
    let entries = std::fs::read_dir(&directory).expect("the chapters");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let chapters: BTreeMap<_, _> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path))
        .collect();
    assert!(!chapters.is_empty(), "{}", directory.display());
    chapters
}

#[track_caller]
fn items(path: &Path) -> Vec<Item> {
    let read = read(path).and_then(|text| chapter::read(&text));
    read.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What two translations must have in common: their blocks, and how many commands each has.
fn shape(items: &[Item]) -> Vec<String> {
    let shape = items.iter().map(|item| match item {
        Item::File { name, .. } => {
            format!("a file *.{}", name.rsplit('.').next().unwrap_or_default())
        }
        Item::Copy { path } => format!("a copy of {path}"),
        Item::Handout { number, .. } => format!("program {number} of the handout"),
        Item::Block(block) => format!("{} commands", block.steps.len()),
    });
    shape.collect()
}
