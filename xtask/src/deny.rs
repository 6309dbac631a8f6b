//! `cargo xtask deny`: licences, advisories, bans and sources, by deny.toml.

use anyhow::bail;

use crate::tools::{self, cargo};

pub(crate) fn run() -> anyhow::Result<()> {
    // Not a part of `ci`: compiling cargo-deny takes longer than all of our own steps together.
    if !tools::succeeds("cargo", &["deny", "--version"]) {
        bail!("cargo-deny is not installed (cargo install --locked cargo-deny)");
    }
    tools::run(&mut cargo(["deny", "check"]))
}
