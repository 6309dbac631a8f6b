//! `senda completions`: completion scripts for shells.

use std::process::ExitCode;

/// Print a completion script for a shell
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Shell to complete in; for bash: senda completions bash > ~/.local/share/bash-completion/completions/senda
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "senda", &mut script);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?;
    Ok(ExitCode::SUCCESS)
}
