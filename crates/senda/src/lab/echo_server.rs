//! `senda lab echo-server`.

use std::process::ExitCode;

use super::language::Language;

/// Answer everybody with what they sent
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(_args: Args, _language: Language) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
