//! `cargo xtask registry`: one file of numbers and names makes the code and the specification's tables.

mod markdown;
mod model;
mod rust;

use std::path::Path;

use anyhow::{Context, bail};

use crate::tools::root;

const SOURCE: &str = "spec/registry.toml";
const RUST: &str = "crates/senda-wire/src/registry.rs";
const SPECIFICATION: &str = "spec/senda-1.md";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail when a generated part is stale
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let registry = model::Registry::parse(&read(SOURCE)?).context(SOURCE)?;
    update(RUST, &rust::generate(&registry)?, "registry", args.check)?;

    let specification = read(SPECIFICATION)?;
    let specification = markdown::fill(&specification, &registry).context(SPECIFICATION)?;
    update(SPECIFICATION, &specification, "registry", args.check)
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| format!("read {path}"))
}

/// Brings one file up to date, or says where it is not. `task` is the one that writes it.
pub(crate) fn update(path: &str, wanted: &str, task: &str, check: bool) -> anyhow::Result<()> {
    let full_path = root().join(path);
    // A file that does not exist yet is an empty one.
    let present = std::fs::read_to_string(&full_path).unwrap_or_default();
    if present == wanted {
        println!("{path}: up to date");
        return Ok(());
    }
    if check {
        bail!("{path} is stale: run `cargo xtask {task}`\n{}", first_difference(&present, wanted));
    }
    write(&full_path, wanted)?;
    println!("{path}: written");
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// The first line that differs, both ways.
fn first_difference(present: &str, wanted: &str) -> String {
    let mut present = present.lines();
    let mut wanted = wanted.lines();
    let mut number = 1;
    loop {
        match (present.next(), wanted.next()) {
            (None, None) => return "line ends differ".to_owned(),
            (is, should_be) if is == should_be => number += 1,
            (is, should_be) => {
                let is = is.unwrap_or("(end of file)");
                let should_be = should_be.unwrap_or("(end of file)");
                return format!("line {number}:\n-{is}\n+{should_be}");
            }
        }
    }
}
