//! `senda raw`: formats of devices that don't speak Senda/1.

use std::process::ExitCode;

/// Try the format of a raw listener
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
