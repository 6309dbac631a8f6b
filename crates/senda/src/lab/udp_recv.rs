//! `senda lab udp-recv`.

use std::process::ExitCode;

use super::language::Language;

/// Wait for datagrams and show them
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(_args: Args, _language: Language) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
