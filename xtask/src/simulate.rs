//! `cargo xtask simulate`: many worlds in virtual time, on every core.

use crate::tools::{self, cargo};

/// Worlds of a run of CI. Seeds that have failed once are tests of their own: see `crates/senda-sim/tests/worlds.rs`.
const CI_SEEDS: u64 = 1_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many worlds
    #[arg(long, default_value_t = CI_SEEDS)]
    seeds: u64,

    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,

    /// End after that many worlds in which a promise was broken
    #[arg(long, default_value_t = 5)]
    failures: u64,
}

/// The worlds of CI.
pub(crate) fn run_some() -> anyhow::Result<()> {
    run(&Args { seeds: CI_SEEDS, from: 1, failures: 5 })
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { seeds, from, failures } = args;
    let build =
        ["run", "--quiet", "--profile", "worlds", "-p", "senda-sim", "--example", "worlds", "--"];
    let mut command = cargo(build);
    for (flag, number) in [("--seeds", seeds), ("--from", from), ("--failures", failures)] {
        command.args([flag, &number.to_string()]);
    }
    tools::run(&mut command)
}
