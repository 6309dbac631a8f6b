//! `senda lab calcsize`: how many bytes a format takes, and where they lie.

use std::io::Write;
use std::process::ExitCode;

use super::language::Language;
use super::structs::{compile, layout};

/// How many bytes a struct format takes
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  senda lab calcsize '!Ihf'
  senda lab calcsize --explain '@bi'      the gap that alignment makes")]
pub(crate) struct Args {
    /// A format of Python's struct, such as '>iii'; quoted, for the shell knows < > ! as well
    #[arg(value_name = "FORMAT")]
    format: String,

    /// Show where each field lies, and the gaps between them
    #[arg(long, short = 'v')]
    explain: bool,
}

pub(super) fn run(args: &Args, language: Language) -> anyhow::Result<ExitCode> {
    let format = compile(&args.format, language)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", format.size())?;
    if args.explain {
        writeln!(out)?;
        layout::write_summary(&mut out, &format, language)?;
        layout::write_table(&mut out, &format, None, language)?;
    }
    Ok(ExitCode::SUCCESS)
}
