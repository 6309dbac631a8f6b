//! `senda send`: one sample from a shell, on disk or kept.

use std::path::Path;

use tempfile::TempDir;

use crate::processes::{Collector, Outcome, run, senda};
use crate::store;

#[test]
fn a_sample_that_is_sent_is_on_disk_over_tcp() {
    a_sample_is_on_disk(|collector| format!("--tcp={}", collector.tcp));
}

#[test]
fn a_sample_that_is_sent_is_on_disk_over_udp() {
    a_sample_is_on_disk(|collector| format!("--udp={}", collector.udp));
}

fn a_sample_is_on_disk(transport: impl Fn(&Collector) -> String) {
    let (room, state) =
        (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let collector = Collector::start(room.path());
    let outcome = send(state.path(), &transport(&collector), "21.5Cel", "30s").succeeded();
    assert!(outcome.stdout.starts_with("row 0 of stream "), "{outcome:#?}");
    assert!(outcome.stdout.ends_with(" is on disk\n"), "{outcome:#?}");
    let samples = store::samples(room.path(), 10);
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[0]["device"], "gh-7");
    assert_eq!(samples[0]["schema"], "greenhouse");
    assert_eq!(samples[0]["values"]["temperature"], 21.5);
    assert_eq!(samples[0]["values"]["door"], "open");
    assert!(outcome.stdout.contains(samples[0]["stream"].as_str().expect("hex")));
}

#[test]
fn a_sample_without_a_collector_is_kept_and_the_same_command_stores_it_once() {
    let (room, state) =
        (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let mut collector = Collector::start(room.path());
    let transport = format!("--udp={}", collector.udp);
    collector.crash();
    for _ in 0..2 {
        let outcome = send(state.path(), &transport, "21.5Cel", "100ms");
        assert_eq!(outcome.code, Some(1), "{outcome:#?}");
        assert!(outcome.stderr.contains("kept"), "{outcome:#?}");
    }
    // Another reading waits behind it.
    assert_eq!(send(state.path(), &transport, "22Cel", "100ms").code, Some(1));
    collector.restart();
    let outcome = send(state.path(), &transport, "21.5Cel", "60s").succeeded();
    assert!(outcome.stdout.starts_with("row 0 of stream "), "{outcome:#?}");
    assert!(collector.stop().success());
    let rows = store::rows_exactly_once(room.path());
    assert_eq!(rows.into_values().collect::<Vec<_>>(), [2]);
}

fn send(state: &Path, transport: &str, temperature: &str, timeout: &str) -> Outcome {
    let temperature = format!("temperature={temperature}");
    let mut command = senda(["send", transport, "--device", "gh-7", "--schema", "greenhouse"]);
    command.args(["--timeout", timeout, &temperature, "door=open"]);
    run(command.env("XDG_STATE_HOME", state))
}
