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
    if root().join("clients/c").is_dir() {
        steps.step("c-test", c_test)?;
    }
    Ok(())
}

/// The C client with both compilers, sanitizers and vectors. What it needs is in `.ci/run` as packages of Debian.
fn c_test() -> anyhow::Result<()> {
    for (program, package) in [
        ("make", "make"),
        ("gcc", "gcc"),
        ("size", "binutils"),
        ("clang", "clang"),
        ("clang++", "clang"),
    ] {
        let found = Command::new(program).arg("--version").output();
        anyhow::ensure!(
            found.is_ok_and(|output| output.status.success()),
            "the tests of clients/c need {program}: apt-get install {package} libclang-rt-dev"
        );
    }
    tools::run(Command::new("make").args(["-C", "clients/c", "test"]).current_dir(root()))
}
