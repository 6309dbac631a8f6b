//! `senda simulate --virtual`: the same world in every process, and mistakes that are named.

use std::process::Output;

use tempfile::TempDir;

use crate::processes::senda;

#[test]
fn a_seed_gives_the_same_trace_in_another_process() {
    for seed in ["1", "4", "11"] {
        let [one, other] = [(); 2].map(|()| run(&["--seed", seed, "--trace"]));
        assert!(one.status.success(), "{one:?}");
        assert!(one.stdout.len() > 10_000, "a trace");
        assert!(one.stdout == other.stdout, "seed {seed} differs");
    }
}

#[test]
fn a_scenario_from_a_file_is_run_and_summed_up() {
    let room = TempDir::new().expect("a directory");
    let file = room.path().join("world.toml");
    std::fs::write(
        &file,
        "devices = 2\nduration = '10s'\n[[fault]]\nat = '4s'\nwhat = 'power-cut'",
    )
    .expect("written");
    let output = run(&["--scenario", file.to_str().expect("a path")]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("virtual time") && text.contains("PowerCut 1"), "{text}");
}

#[test]
fn what_makes_no_sense_in_virtual_time_is_a_usage_error() {
    for (arguments, about) in [
        (&["--devices", "3"][..], "--devices"),
        (&["--loss", "1%"], "--loss"),
        (&["--tcp=127.0.0.1:1"], "--tcp"),
        (&["--scenario", "/does/not/exist"], "/does/not/exist"),
    ] {
        let output = run(arguments);
        let text = String::from_utf8(output.stderr).expect("text");
        assert!(text.contains(about), "{text}");
        let expected = if about.starts_with("--") { 2 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{text}");
    }
}

fn run(arguments: &[&str]) -> Output {
    let all = ["simulate", "--virtual"].iter().chain(arguments);
    senda(all).output().expect("senda runs")
}
