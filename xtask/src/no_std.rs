//! `cargo xtask no-std`: the core links without std, and the codec without an allocator.
//!
//! The crates of no-std-proof bring their own panic handler, which std has too: if std got in
//! through any dependency, the lang item would be there twice and the build would fail. The one
//! for senda-wire has no allocator, so `alloc` in it would fail as well.

use crate::tools::{self, cargo, root, target_dir};

pub(crate) fn run() -> anyhow::Result<()> {
    let manifest = root().join("xtask/no-std-proof/Cargo.toml");
    for package in ["no-std-proof-wire", "no-std-proof-session", "no-std-proof-struct"] {
        // One by one: together, their dependencies' features would be united.
        tools::run(
            cargo(["build", "--quiet", "--package", package, "--manifest-path"])
                .arg(&manifest)
                .arg("--target-dir")
                .arg(target_dir().join("no-std-proof")),
        )?;
    }
    println!(
        "senda-wire needs no std and no allocator; senda-session and senda-struct need no std"
    );
    Ok(())
}
