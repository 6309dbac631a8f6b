//! `cargo xtask mutants`: makes deliberate faults in a copy of the sources, and wants the virtual worlds to see each.
//!
//! A fault is text that replaces other text (`crates/senda-sim/mutants.toml`), so that nothing of it is in the sources, let
//! alone in a program that somebody runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::tools::{cargo, root, target_dir};

/// Where the faults are described.
const LIST: &str = "crates/senda-sim/mutants.toml";

/// Which faults.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Only those whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

/// A deliberate fault.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    name: String,
    /// The rule, and how the fault breaks it.
    breaks: String,
    /// Within so many seeds, from 1 on, a world must fail.
    seeds: u32,
    edit: Vec<Edit>,
}

/// Text that stands exactly once in a file, and what stands there in its place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    file: String,
    find: String,
    replace: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let list = read_list()?;
    let chosen: Vec<&Mutant> = list
        .mutant
        .iter()
        .filter(|mutant| args.only.as_ref().is_none_or(|only| mutant.name.contains(only.as_str())))
        .collect();
    ensure!(!chosen.is_empty(), "no fault in {LIST} has such a name");
    let copy = Copy::make()?;
    let most = chosen.iter().map(|mutant| mutant.seeds).max().unwrap_or(0);
    println!("without a fault: {most} seeds must hold");
    let output = copy.worlds(most)?;
    ensure!(output.status.success(), "a world fails without a fault:\n{}", text_of(&output));
    let mut missed = Vec::new();
    for mutant in &chosen {
        if !copy.sees(mutant)? {
            missed.push(mutant.name.as_str());
        }
    }
    ensure!(missed.is_empty(), "not seen: {}", missed.join(", "));
    println!("{} faults, each seen", chosen.len());
    Ok(())
}

fn read_list() -> anyhow::Result<List> {
    let text = fs::read_to_string(root().join(LIST)).with_context(|| format!("read {LIST}"))?;
    toml::from_str(&text).with_context(|| format!("read {LIST}"))
}

impl Mutant {
    /// The files that it changes, with their new content.
    fn files(&self, tree: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
        let mut files: Vec<(PathBuf, String)> = Vec::new();
        for edit in &self.edit {
            let path = tree.join(&edit.file);
            let at = match files.iter().position(|(known, _)| *known == path) {
                Some(at) => at,
                None => {
                    let text = fs::read_to_string(&path)
                        .with_context(|| format!("{}: read {}", self.name, edit.file))?;
                    files.push((path, text));
                    files.len() - 1
                }
            };
            let text = &mut files[at].1;
            match text.matches(&edit.find).count() {
                1 => *text = text.replacen(&edit.find, &edit.replace, 1),
                count => bail!(
                    "{LIST}: {}: its text stands {count} times in {}, not once; the code has moved on, the fault has to follow",
                    self.name,
                    edit.file
                ),
            }
        }
        Ok(files)
    }
}

/// A copy of the sources, where faults are made.
struct Copy {
    tree: PathBuf,
}

impl Copy {
    /// Brings the copy up to date. What has not changed is not written, so that it is not compiled again.
    fn make() -> anyhow::Result<Self> {
        let tree = target_dir().join("mutants").join("tree");
        fs::create_dir_all(&tree).with_context(|| format!("make {}", tree.display()))?;
        for name in ["Cargo.toml", "Cargo.lock", "crates", "spec", "xtask"] {
            update(&root().join(name), &tree.join(name))?;
        }
        Ok(Self { tree })
    }

    /// Makes the fault, runs the worlds, and mends it again; true when a world saw it.
    fn sees(&self, mutant: &Mutant) -> anyhow::Result<bool> {
        let files = mutant.files(&self.tree)?;
        let mut before = Vec::new();
        for (path, text) in &files {
            before.push((path, fs::read(path)?));
            fs::write(path, text)?;
        }
        let begun = Instant::now();
        let output = self.worlds(mutant.seeds);
        for (path, bytes) in before {
            fs::write(path, bytes)?;
        }
        let output = output.with_context(|| mutant.name.clone())?;
        let seconds = begun.elapsed().as_secs_f64();
        match output.status.code() {
            Some(1) => {
                let said = text_of(&output);
                let seen = said.lines().find(|line| line.starts_with("seed ")).unwrap_or("seen");
                println!("{:<36} {seconds:>5.1} s  {seen}", mutant.name);
                Ok(true)
            }
            Some(0) => {
                println!(
                    "{:<36} {seconds:>5.1} s  NOT SEEN in {} seeds: {}",
                    mutant.name, mutant.seeds, mutant.breaks
                );
                Ok(false)
            }
            // A panic is seen too, but says that the fault was a clumsy one.
            _ => bail!("{}: {}\n{}", mutant.name, output.status, text_of(&output)),
        }
    }

    /// Runs virtual worlds until one fails: exit code 1.
    fn worlds(&self, seeds: u32) -> anyhow::Result<Output> {
        let target = target_dir().join("mutants").join("target");
        let mut build = cargo([
            "build",
            "--quiet",
            "--profile",
            "worlds",
            "-p",
            "senda-sim",
            "--example",
            "worlds",
        ]);
        // A fault is a line or two: most of what was compiled is still good.
        build
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &target)
            .env("CARGO_INCREMENTAL", "1");
        let built = build.output()?;
        ensure!(built.status.success(), "it does not compile:\n{}", text_of(&built));
        let mut worlds = Command::new(target.join("worlds/examples/worlds"));
        Ok(worlds.args(["--seeds", &seeds.to_string()]).output()?)
    }
}

/// Copies a file that is new or another one, or a folder of such.
fn update(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
        for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
            let name = entry?.file_name();
            if name != "target" {
                update(&from.join(&name), &to.join(&name))?;
            }
        }
        return Ok(());
    }
    let bytes = fs::read(from).with_context(|| format!("read {}", from.display()))?;
    if !fs::read(to).is_ok_and(|present| present == bytes) {
        fs::write(to, bytes).with_context(|| format!("write {}", to.display()))?;
    }
    Ok(())
}

fn text_of(output: &Output) -> String {
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Whoever changes the code learns here that a fault has to follow, not only when all of them are made.
    #[test]
    fn each_fault_finds_its_place_in_the_sources() {
        let list = read_list().unwrap();
        let names: BTreeSet<&str> = list.mutant.iter().map(|mutant| mutant.name.as_str()).collect();
        assert_eq!(names.len(), list.mutant.len(), "names are unique");
        assert!(list.mutant.len() >= 20);
        for mutant in &list.mutant {
            let files = mutant.files(&root()).unwrap();
            assert!(!files.is_empty() && mutant.seeds > 0, "{}", mutant.name);
        }
    }
}
