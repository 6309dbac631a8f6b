//! `senda lab echo-client`.

use std::process::ExitCode;

use super::language::Language;

/// Send a message to an echo server and show what comes back
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(_args: Args, _language: Language) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
