//! `cargo xtask test`: every test of every language, set-up included.

use std::process::Command;

use crate::steps::Steps;
use crate::tools::{self, cargo, ensure_installed, root};

pub(crate) fn run(steps: &mut Steps) -> anyhow::Result<()> {
    steps.step("tools", ensure_installed)?;
    // All targets: examples and benchmarks must compile too.
    steps
        .step("cargo-test", || tools::run(&mut cargo(["test", "--workspace", "--all-targets"])))?;
    steps.step("doc-test", || tools::run(&mut cargo(["test", "--workspace", "--doc"])))?;
    if root().join("clients/python").is_dir() {
        steps.step("python-test", || {
            tools::run(
                Command::new("python3")
                    .args(["-m", "unittest", "discover", "-s", "clients/python"])
                    .current_dir(root()),
            )
        })?;
    }
    Ok(())
}
