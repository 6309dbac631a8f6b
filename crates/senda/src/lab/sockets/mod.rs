//! `senda lab sockets`.

pub(super) mod diag; // what the kernel says
mod state; // the states of TCP, by name

use std::process::ExitCode;

use super::language::Language;

/// Show the sockets of this machine and their states
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(_args: Args, _language: Language) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
