//! `senda lab udp-send`.

use std::process::ExitCode;

use super::language::Language;

/// Send a datagram
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(_args: Args, _language: Language) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
