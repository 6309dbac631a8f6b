//! `senda lab calcsize`.

use std::process::ExitCode;

use super::language::Language;

/// How many bytes a struct format takes
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(_args: Args, _language: Language) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
