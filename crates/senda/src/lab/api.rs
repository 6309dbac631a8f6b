//! `senda lab api`.

use std::process::ExitCode;

use super::language::Language;

/// A guided tour of the socket API, performed call by call
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(_args: Args, _language: Language) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
