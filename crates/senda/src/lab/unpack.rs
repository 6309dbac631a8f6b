//! `senda lab unpack`.

use std::process::ExitCode;

use super::language::Language;

/// Read values out of bytes, by a Python struct format
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(_args: Args, _language: Language) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
