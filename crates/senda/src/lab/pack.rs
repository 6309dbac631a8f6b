//! `senda lab pack`.

use std::process::ExitCode;

use super::language::Language;

/// Make bytes of values, by a Python struct format
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(_args: Args, _language: Language) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
