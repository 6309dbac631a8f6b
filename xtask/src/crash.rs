//! `cargo xtask crash`: the crash rounds of the end-to-end tests, as many as you like.

use anyhow::{Context, ensure};

use crate::tools::{self, cargo};

/// Which rounds
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds on each transport
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,

    /// What the devices use
    #[arg(long, value_enum, default_value = "both")]
    transport: Transport,

    /// Decides who is killed when, as far as a program can decide that
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Number of the first round: to see one again
    #[arg(long, default_value_t = 1)]
    from: u64,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Transport {
    Udp,
    Tcp,
    /// Rounds on either, side by side
    Both,
}

/// The tests whose names begin so and end with the transport's name and what follows.
const TESTS: &str = "reliability::rounds::no_kill_of_collector_or_clients_over_";

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let names: &[&str] = match args.transport {
        Transport::Udp => &["udp"],
        Transport::Tcp => &["tcp"],
        Transport::Both => &["udp", "tcp"],
    };
    let test = |more: &[&str]| {
        let mut command = cargo(["test", "--quiet", "--package", "senda", "--test", "e2e", "--"]);
        command.args(names.iter().map(|name| format!("{TESTS}{name}"))).args(more);
        command
    };
    // A test that has another name by now would be no test, and no failure.
    let list = test(&["--list"]).output().context("list the tests")?;
    let found = String::from_utf8_lossy(&list.stdout)
        .lines()
        .filter(|line| line.ends_with(": test"))
        .count();
    ensure!(
        found == names.len(),
        "{found} tests instead of {} begin with {TESTS}\n{}",
        names.len(),
        String::from_utf8_lossy(&list.stderr)
    );
    tools::run(
        test(&["--nocapture"])
            .env("SENDA_CRASH_ROUNDS", args.rounds.to_string())
            .env("SENDA_CRASH_FROM", args.from.to_string())
            .env("SENDA_CRASH_SEED", args.seed.to_string()),
    )
}
