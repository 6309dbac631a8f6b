//! `cargo xtask book`: links are checked, and the book is built.
//!
//! By mdBook as a library, in a workspace of its own: half a minute to compile, where `cargo install mdbook` takes two.

use std::process::Command;

use crate::tools::{self, cargo, root, target_dir};

pub(crate) fn run() -> anyhow::Result<()> {
    let root = root();
    let book = |command: &str| -> Command {
        let mut command = cargo([command, "--quiet", "--locked", "--manifest-path"]);
        command.arg(root.join("xtask/book/Cargo.toml"));
        command.arg("--target-dir").arg(target_dir().join("book-builder"));
        command
    };
    tools::run(
        cargo(["fmt", "--check", "--manifest-path"]).arg(root.join("xtask/book/Cargo.toml")),
    )?;
    tools::run(&mut book("test"))?;
    tools::run(book("run").arg("--").arg(&root).arg(target_dir().join("book")))
}
