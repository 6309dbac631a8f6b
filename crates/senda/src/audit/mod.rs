//! `senda audit`: a client's journal against the store, row by row.
//!
//! ```text
//!   journals --lines--> [ book ] --rows--> [ spill: sorted on disk ] --by number--> compare --> report
//!   store ----walk----> [      ] --rows-->
//! ```
//!
//! Journals and store may be in use. A row is in its journal before it leaves, and in the store before its ACK is in the
//! journal; so the journals are read, then the store as of one moment, and before its rows the rest of the journals: what
//! was acknowledged before that moment has to be there, and what is there has to be in the journals after it.

mod book; // what is known of each stream
mod compare; // row by row
mod content; // what a row says, as bytes
mod lines; // the lines of a journal
mod report; // the outcome, as text and JSON
mod spans; // runs of row numbers
mod spill; // sorting on disk

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use senda_store::{Reader, StoreError};

use crate::paths;
use book::Book;
use compare::Outcome;
use lines::Lines;

/// Compare what clients recorded (--journal) with the store, row by row
#[derive(clap::Args)]
#[command(after_help = "\
Exit code 0: no difference; 1: differences, of which the first 20 are named; 2: it could not be done.
The collector and the clients may go on meanwhile. What was made, and neither acknowledged nor stored, went down with its
process or is on its way: it is counted, and a difference only with --complete. Kinds of differences: docs/audit.md.
Examples:
  senda simulate --loss 20% --count 100 --journal fleet.ndjson
  senda audit --journal fleet.ndjson")]
pub(crate) struct Args {
    /// What a client recorded; again for further ones. All rows of their devices have to be in one of them
    #[arg(long = "journal", value_name = "FILE", required = true)]
    journals: Vec<PathBuf>,

    /// Directory of the store [default: $XDG_DATA_HOME/senda]
    #[arg(long, env = "SENDA_DATA", value_name = "DIR")]
    data: Option<PathBuf>,

    /// Everything that was made has to be stored, acknowledged or not
    #[arg(long)]
    complete: bool,

    /// How to show the outcome
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For eyes
    Table,
    /// One object
    Json,
}

/// Exit code of an audit that could not be done: 1 means differences.
const NOT_DONE: u8 = 2;

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dir = args.data.clone().unwrap_or_else(paths::data_dir);
    let (lines, outcome) = match audit(args, &dir) {
        Ok(done) => done,
        Err(error) => {
            eprintln!("senda: {error:#}");
            return Ok(ExitCode::from(NOT_DONE));
        }
    };
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Table => write!(out, "{}", report::table(&lines, &dir, &outcome))?,
        Format::Json => writeln!(out, "{}", report::json(&lines, &dir, &outcome))?,
    }
    Ok(if outcome.differences() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn audit(args: &Args, dir: &Path) -> anyhow::Result<(Vec<Lines>, Outcome)> {
    let mut journals = Vec::new();
    for path in &args.journals {
        journals.push(Lines::open(path)?);
    }
    let mut book = Book::default();
    for journal in &mut journals {
        journal.read(|line| book.take(line))?;
    }
    let mut reader = Reader::open(dir)?;
    reader.stop_when(|| false);
    let book = std::cell::RefCell::new(book);
    let mut failed = None;
    let the_rest = || -> Result<Vec<String>, Failure> {
        let mut book = book.borrow_mut();
        book.since = true;
        for journal in &mut journals {
            journal.read(|line| book.take(line))?;
            journal.end()?;
        }
        book.end_of_journals();
        Ok(book.devices())
    };
    let walked = reader.walk(the_rest, &mut |kept| {
        if failed.is_none() {
            failed = book.borrow_mut().keep(kept).err();
        }
    });
    walked.map_err(|Failure(error)| error)?;
    if let Some(error) = failed {
        return Err(error);
    }
    let mut book = book.into_inner();
    book.end_of_store();
    let outcome = compare::compare(book, args.complete)?;
    Ok((journals, outcome))
}

/// Whatever stops a walk over the store.
struct Failure(anyhow::Error);

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(anyhow::Error::new(error).context("read the store"))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}
