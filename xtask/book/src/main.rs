//! Checks the links of the documentation, then makes the book: `book ROOT OUTPUT`.

mod build; // the book, by mdBook
mod links; // where documents point, and whether it is there

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("book: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let root = arguments.next().context("book ROOT OUTPUT")?.canonicalize()?;
    let output = std::path::absolute(arguments.next().context("book ROOT OUTPUT")?)?;
    let count = links::check(&root)?;
    println!("{count} links lead somewhere");
    let chapters = build::build(&root, &output)?;
    println!("{chapters} chapters: {}", output.join("index.html").display());
    Ok(())
}
