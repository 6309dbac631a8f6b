//! `senda lab api`: the socket API, explained by running it.

mod chapters; // what is performed, as data
mod errno; // errors by name, and what they mean
mod kernel; // what the kernel says of a step's sockets
mod pace; // Enter goes on
mod programs; // the same chapters as programs in C, Python and Rust
mod reference; // the functions, a paragraph each
mod render; // a step as text, or as JSON
mod tour; // chapters, steps, and what they return
mod world; // the sockets that a chapter opens, and the calls

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::PossibleValuesParser;

use super::language::Language;
use crate::UsageError;
use crate::text::{Format, Paint};
use pace::{Go, Pace};
use programs::Code;
use render::Renderer;
use tour::Chapter;
use world::World;

/// A guided tour of the socket API, performed call by call
#[derive(clap::Args)]
#[command(after_help = "\
Every call is really made, on this machine's loopback interface, and what it returned is shown, and then what the kernel
says of the sockets. On a terminal Enter makes the next step and q, then Enter, ends the tour; with --auto, and where
standard input or output is no terminal, it runs through.
Examples:
  senda lab api --list
  senda lab api tcp
  senda lab api stream udp --code python --auto
  senda lab api tcp --program c > tcp.c && cc tcp.c -o tcp && ./tcp")]
pub(crate) struct Args {
    /// Chapters to go through, in this order [default: all; --list names them]
    #[arg(value_name = "CHAPTER", value_parser = PossibleValuesParser::new(chapters::names()))]
    chapters: Vec<String>,

    /// Run through without asking
    #[arg(long)]
    auto: bool,

    /// Languages of the code that is shown
    #[arg(long, value_enum, default_value = "all", value_name = "LANGUAGE")]
    code: Show,

    /// How to show the steps; json does not ask
    #[arg(long, value_enum, default_value = "text")]
    format: Format,

    /// List the chapters and their steps, and do nothing
    #[arg(long, conflicts_with_all = ["chapters", "reference", "program"])]
    list: bool,

    /// Describe the functions of the API, a paragraph each, and do nothing
    #[arg(long, conflicts_with_all = ["chapters", "program"])]
    reference: bool,

    /// Print a chapter as a whole program in this language, and do nothing. Rust may need the crate socket2
    #[arg(long, value_enum, value_name = "LANGUAGE", requires = "chapters")]
    program: Option<Code>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Show {
    /// C
    C,
    /// Python
    Python,
    /// Rust: std where it can, the crate socket2 where it can't
    Rust,
    /// Each of them
    All,
}

impl Show {
    const fn languages(self) -> &'static [Code] {
        match self {
            Self::C => &[Code::C],
            Self::Python => &[Code::Python],
            Self::Rust => &[Code::Rust],
            Self::All => &Code::ALL,
        }
    }
}

pub(super) fn run(args: Args, language: Language) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let mut renderer =
        Renderer::new(&mut out, language, args.format, args.code.languages(), Paint::for_stdout());
    if args.list {
        chapters::ALL.iter().try_for_each(|chapter| renderer.contents(chapter))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.reference {
        reference::FUNCTIONS.iter().try_for_each(|function| renderer.function(function))?;
        return Ok(ExitCode::SUCCESS);
    }
    let chapters = chosen(&args.chapters);
    if let Some(code) = args.program {
        let [chapter] = chapters[..] else {
            return Err(UsageError("--program prints one chapter: name one".into()).into());
        };
        out.write_all(chapter.program(code).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let pace = Pace::of(args.auto || args.format == Format::Json, language);
    for (place, chapter) in chapters.iter().enumerate() {
        let last = place + 1 == chapters.len();
        if let Go::Quit = perform(chapter, last, &mut renderer, &pace)? {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The chapters of these names; all of them when there is none.
fn chosen(names: &[String]) -> Vec<&'static Chapter> {
    if names.is_empty() {
        return chapters::ALL.iter().collect();
    }
    let named = |name: &String| chapters::ALL.iter().find(|chapter| chapter.name == name);
    names.iter().filter_map(named).collect()
}

/// Goes through one chapter, whose sockets are closed at its end. `last` says that none follows.
fn perform(
    chapter: &Chapter,
    last: bool,
    renderer: &mut Renderer<impl Write>,
    pace: &Pace,
) -> anyhow::Result<Go> {
    let mut world = World::default();
    renderer.chapter(chapter)?;
    for (place, step) in chapter.steps.iter().enumerate() {
        let returned = (step.perform)(&mut world)
            .with_context(|| format!("chapter {}, step {}", chapter.name, step.name))?;
        let seen = kernel::look(&world, step.kernel);
        renderer.step(chapter, place, &returned, &seen)?;
        let end = last && place + 1 == chapter.steps.len();
        if !end && let Go::Quit = pace.wait()? {
            return Ok(Go::Quit);
        }
    }
    Ok(Go::On)
}
