//! `senda man`: manual pages, made of the same definitions as `--help`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// Write the manual pages, one for each subcommand
#[derive(clap::Args)]
#[command(after_help = "\
Without DIR the main page goes to standard output. To install them all for yourself, and to look at one of them:
  senda man ~/.local/share/man/man1 && man senda-serve
  senda man | man -l -")]
pub(crate) struct Args {
    /// Directory for the pages, senda.1, senda-serve.1 and so on; it is made if need be
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut command = crate::command();
    command.build(); // Only then the subcommands know their whole names.
    match &args.dir {
        None => std::io::stdout().lock().write_all(&page(&command)?)?,
        Some(dir) => {
            std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
            let pages = write_pages(&command, dir)?;
            eprintln!("{pages} pages are in {}", dir.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A page for a command and one for each of those below it; returns how many.
fn write_pages(command: &clap::Command, dir: &Path) -> anyhow::Result<usize> {
    let file = dir.join(format!("{}.1", name(command)));
    std::fs::write(&file, page(command)?).with_context(|| format!("write {}", file.display()))?;
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    let pages = below.map(|below| write_pages(below, dir));
    Ok(1 + pages.sum::<anyhow::Result<usize>>()?)
}

/// The page of one command.
fn page(command: &clap::Command) -> anyhow::Result<Vec<u8>> {
    let source = concat!("senda ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("Senda");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(help) = command.get_after_long_help().or(command.get_after_help()) {
        notes(&help.to_string()).to_writer(&mut page)?;
    }
    ending(command).to_writer(&mut page)?;
    Ok(page)
}

/// What stands below the options in `--help`. Its indented lines are commands: they stay as they are. The other
/// lines are filled, and end where a sentence ends.
fn notes(help: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]);
    let mut literal = false;
    for line in help.lines() {
        if line.starts_with(' ') != literal {
            literal = !literal;
            roff.control(if literal { "RS" } else { "fi" }, []);
            roff.control(if literal { "nf" } else { "RE" }, []);
        }
        roff.text([roman(line.trim())]);
        if !literal && line.ends_with(['.', ':']) {
            roff.control("br", []);
        }
    }
    if literal {
        roff.control("fi", []);
        roff.control("RE", []);
    }
    roff
}

/// What is the same on every page.
fn ending(command: &clap::Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in [
        ("0", "What was asked for is done."),
        ("1", "It failed; standard error says what, where and what to do."),
        ("2", "The command line itself was wrong."),
        ("130", "It was interrupted before it was done."),
    ] {
        roff.control("TP", []);
        roff.text([bold(code)]);
        roff.text([roman(meaning)]);
    }
    if name(command) != "senda" {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold("senda"), roman("(1)")]);
    }
    roff
}

fn name(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}
