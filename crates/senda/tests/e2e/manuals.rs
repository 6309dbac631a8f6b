//! `senda man`, read by groff.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::processes::{run, senda};

#[test]
fn every_subcommand_has_a_page_with_all_its_options() {
    let room = TempDir::new().expect("a directory");
    let dir = room.path().join("share/man1");
    run(senda(["man"]).arg(&dir)).succeeded();
    let help = run(&mut senda(["--help"])).succeeded().stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"serve") && names.contains(&"man"), "{help}");
    for name in &names {
        let page = formatted(&dir.join(format!("senda-{name}.1")));
        let help = run(&mut senda([name, "--help"])).succeeded().stdout;
        let options = words(&help);
        assert!(options.contains("--help"), "{help}");
        let missing: Vec<_> = options.difference(&words(&page)).cloned().collect();
        assert!(missing.is_empty(), "{missing:?} of {name} in {page}");
    }
    let main = formatted(&dir.join("senda.1"));
    assert!(names.iter().all(|name| main.contains(&format!("senda-{name}(1)"))), "{main}");
}

#[test]
fn without_a_directory_the_main_page_is_printed() {
    let room = TempDir::new().expect("a directory");
    let page = run(&mut senda(["man"])).succeeded();
    assert!(page.stderr.is_empty(), "{}", page.stderr);
    let file = room.path().join("senda.1");
    std::fs::write(&file, page.stdout).expect("a file");
    let page = formatted(&file);
    assert!(page.contains("EXIT STATUS") && page.contains("senda-serve(1)"), "{page}");
}

#[test]
fn examples_stay_as_they_are_typed() {
    let room = TempDir::new().expect("a directory");
    run(senda(["man"]).arg(room.path())).succeeded();
    let page = formatted(&room.path().join("senda-simulate.1"));
    let example = "senda simulate --devices 100 --interval 1s --duration 60s";
    assert!(page.lines().any(|line| line.trim() == example), "{page}");
}

/// A page as plain text, which groff makes of it without a warning.
#[track_caller]
fn formatted(page: &Path) -> String {
    let outcome = run(Command::new("groff")
        .args(["-man", "-ww", "-Kutf8", "-Tutf8", "-P-cbou", "-rHY=0", "-rLL=200n"])
        .arg(page))
    .succeeded();
    assert_eq!(outcome.stderr, "", "{}", page.display());
    outcome.stdout
}

/// The long options that a text mentions.
fn words(text: &str) -> BTreeSet<String> {
    let breaks = |c: char| c.is_whitespace() || "[]<>=,.;:()|`\"'".contains(c);
    let words = text.split(breaks).filter(|word| word.len() > 2 && word.starts_with("--"));
    words.map(str::to_owned).collect()
}
