//! `cargo xtask ci`: all that must pass before a change is merged, cheapest first.

use std::process::Command;
use std::time::Instant;

use anyhow::ensure;

use crate::steps::Steps;
use crate::tools::{self, cargo, root};
use crate::{book, dissector, mutants, no_std, registry, simulate, test};

/// The most that a cold release build of the demo may take. Generous: it is there to catch a
/// dependency that doubles the time to the first `cargo run`, not a slow machine.
const DEMO_BUILD_SECONDS_MAX: f64 = 600.0;

pub(crate) fn run(steps: &mut Steps) -> anyhow::Result<()> {
    steps.step("fmt", || tools::run(&mut cargo(["fmt", "--all", "--check"])))?;
    steps.step("registry", || registry::run(&registry::Args { check: true }))?;
    steps.step("dissector", || dissector::run(&dissector::Args { check: true }))?;
    // The vectors are what their maker writes, and nothing by hand. It needs Python 3.11 (tomllib).
    steps.step("vectors", || {
        tools::run(
            Command::new("python3").args(["spec/vectors/make.py", "--check"]).current_dir(root()),
        )
    })?;
    steps.step("clippy", || {
        let args = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        tools::run(&mut cargo(args))
    })?;
    steps.step("no-std", no_std::run)?;
    test::run(steps)?;
    steps.step("worlds", simulate::run_some)?;
    steps.step("mutants", || mutants::run(&mutants::Args::default()))?;
    steps.step("doc", || {
        tools::run(cargo(["doc", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    steps.step("book", book::run)?;
    steps.step("demo-build", demo_build)
}

/// Builds what `cargo run --release -- demo` builds, from nothing, and watches the time.
fn demo_build() -> anyhow::Result<()> {
    // Downloading is not building.
    tools::run(&mut cargo(["fetch", "--quiet"]))?;
    let target_dir = tempfile::tempdir()?;
    let start = Instant::now();
    tools::run(
        cargo(["build", "--release", "--quiet"]).env("CARGO_TARGET_DIR", target_dir.path()),
    )?;
    let seconds = start.elapsed().as_secs_f64();
    println!("cold build of the demo: {seconds:.0} s (budget {DEMO_BUILD_SECONDS_MAX:.0} s)");
    ensure!(
        seconds <= DEMO_BUILD_SECONDS_MAX,
        "the cold build of the demo took {seconds:.0} s, more than {DEMO_BUILD_SECONDS_MAX:.0} s"
    );
    Ok(())
}
