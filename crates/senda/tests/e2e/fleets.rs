//! Fleets of `senda simulate` on good and bad networks: exactly what was acknowledged is stored, once.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{Collector, run, senda};
use crate::store;

#[test]
fn a_hundred_devices_over_tcp_have_every_acknowledged_row_stored_once() {
    hundred_devices(|collector| vec![format!("--tcp={}", collector.tcp)]);
}

#[test]
fn a_hundred_devices_over_udp_have_every_acknowledged_row_stored_once() {
    hundred_devices(|collector| vec![format!("--udp={}", collector.udp)]);
}

#[test]
fn a_hundred_devices_over_both_have_every_acknowledged_row_stored_once() {
    hundred_devices(|collector| {
        vec![format!("--tcp={}", collector.tcp), format!("--udp={}", collector.udp)]
    });
}

fn hundred_devices(transports: impl Fn(&Collector) -> Vec<String>) {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let transports = transports(&collector);
    let mut command = simulate(&transports);
    command.args(["--devices", "100", "--interval", "20ms", "--count", "50"]);
    let figures = figures(&mut command);
    assert_eq!(figures["made"], 5_000);
    assert_eq!(figures["acknowledged"], 5_000);
    let used = "SELECT count(DISTINCT transport) FROM devices WHERE transport <> ''";
    assert!(collector.stop().success());
    assert_eq!(store::number(room.path(), used), transports.len() as u64);
    let stored = store::rows_exactly_once(room.path());
    assert_eq!(stored.len(), 100, "a stream for each device");
    assert!(stored.values().all(|rows| *rows == 50), "{stored:?}");
}

/// Spec §2.1a. What a bad network did to the datagrams leaves no trace in what is stored.
#[test]
fn a_network_that_loses_doubles_and_reorders_changes_nothing_that_is_stored() {
    let fleet = ["--devices", "4", "--interval", "20ms", "--count", "60", "--start", START];
    let bad = ["--loss", "20%", "--dup", "10%", "--reorder", "10%"];
    let (lossy, resent) = stored_values(|collector| {
        let mut command = simulate(&[format!("--udp={}", collector.udp)]);
        command.args(fleet).args(bad).args(["--seed", BAD_SEED, "--patience", "120s"]);
        command
    });
    assert!(resent > 0, "a fifth of the datagrams was lost each way");
    let (clean, _) = stored_values(|collector| {
        let mut command = simulate(&[format!("--udp={}", collector.udp)]);
        command.args(fleet).args(["--seed", BAD_SEED]);
        command
    });
    assert_same(&lossy, &clean);
}

#[test]
fn the_same_seed_stores_the_same_devices_rows_times_and_values_over_tcp_and_udp() {
    let fleet = ["--devices", "12", "--interval", "10ms", "--count", "40", "--start", START];
    let over = |transport: fn(&Collector) -> String| {
        let (values, _) = stored_values(|collector| {
            let mut command = simulate(&[transport(collector)]);
            command.args(fleet).args(["--seed", "7"]);
            command
        });
        values
    };
    let tcp = over(|collector| format!("--tcp={}", collector.tcp));
    let udp = over(|collector| format!("--udp={}", collector.udp));
    assert!(tcp.len() > 12 * 40, "{}", tcp.len());
    assert_same(&tcp, &udp);
    // Another seed is another world: the comparison can fail.
    let (other, _) = stored_values(|collector| {
        let mut command = simulate(&[format!("--tcp={}", collector.tcp)]);
        command.args(fleet).args(["--seed", "8"]);
        command
    });
    assert_ne!(tcp, other);
}

#[test]
fn a_thin_network_takes_its_time_and_loses_nothing() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let mut command = simulate(&[format!("--udp={}", collector.udp)]);
    command.args(["--devices", "2", "--interval", "10ms", "--count", "20", "--rate", "16kbit"]);
    let figures = figures(&mut command);
    assert_eq!((&figures["made"], &figures["acknowledged"]), (&40.into(), &40.into()));
    // 24 bytes of any message's header and trailer alone take 12 ms, and so do those of its ACK.
    assert!(figures["ack_latency_us"]["max"].as_u64() > Some(20_000), "{figures}");
}

/// When the fleets begin whose values are compared.
const START: &str = "2026-01-01T00:00:00Z";
/// Decides which datagrams are lost; with this one no device loses so many in a row that it waits for long.
const BAD_SEED: &str = "1";

/// A fleet that tells its figures as JSON.
pub(crate) fn simulate(transports: &[String]) -> Command {
    let mut command = senda(["simulate", "--format", "json"]);
    command.args(transports);
    command
}

/// Runs a fleet to its end.
#[track_caller]
pub(crate) fn figures(command: &mut Command) -> Value {
    let outcome = run(command).succeeded();
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

/// What a fleet leaves in an empty store, and how many messages were sent again.
#[track_caller]
fn stored_values(fleet: impl FnOnce(&Collector) -> Command) -> (Vec<String>, u64) {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let figures = figures(&mut fleet(&collector));
    assert_eq!(figures["acknowledged"], figures["made"]);
    assert!(collector.stop().success());
    let stored = store::rows_exactly_once(room.path());
    assert_eq!(stored.values().sum::<u64>(), figures["acknowledged"]);
    (store::values(room.path()), figures["resent"].as_u64().unwrap_or(0))
}

/// `assert_eq` without thousands of lines.
#[track_caller]
fn assert_same(left: &[String], right: &[String]) {
    let different = left.iter().zip(right).find(|(left, right)| left != right);
    assert_eq!(different, None);
    assert_eq!(left.len(), right.len());
}
