//! A collector that dies, and one that is asked to go, in mid-stream.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::fleets::simulate;
use crate::processes::{Collector, Running, wait_for};
use crate::store;
use crate::wire::{ACK, CLOSE, Device, ROWS, close_code, rows_body};

/// Spec §7.1.
#[test]
fn ten_kills_in_mid_stream_lose_and_double_no_acknowledged_row_over_tcp() {
    ten_kills(1, |collector| format!("--tcp={}", collector.tcp));
}

/// Spec §7.1.
#[test]
fn ten_kills_in_mid_stream_lose_and_double_no_acknowledged_row_over_udp() {
    ten_kills(2, |collector| format!("--udp={}", collector.udp));
}

fn ten_kills(seed: u64, transport: impl Fn(&Collector) -> String) {
    let mut dice = Pcg64Mcg::seed_from_u64(seed);
    let room = TempDir::new().expect("a directory");
    let mut collector = Collector::start(room.path());
    let mut started = Timestamp::now();
    let mut command = simulate(&[transport(&collector)]);
    let mut fleet = Running::start(command.args([
        "--devices",
        "20",
        "--interval",
        "10ms",
        "--patience",
        "120s",
    ]));
    for kill in 1..=10 {
        wait_for("rows of half the fleet since the last start", || {
            assert!(fleet.is_running(), "the fleet ended before kill {kill}");
            let samples = store::samples(room.path(), 200);
            let received = |sample: &&Value| {
                let received = sample["received"].as_str().expect("a time");
                received.parse::<Timestamp>().expect("RFC 3339") > started
            };
            let fresh = samples.iter().filter(received).map(|sample| sample["device"].as_str());
            (fresh.collect::<HashSet<_>>().len() >= 10).then_some(())
        });
        // Somewhere in a commit, in filing, or between.
        std::thread::sleep(Duration::from_micros(dice.random_range(0..50_000)));
        collector.crash();
        collector.restart();
        started = Timestamp::now();
    }
    fleet.signal(Signal::TERM); // No more samples; what is queued is sent.
    let outcome = fleet.finish().succeeded();
    let figures: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(figures["acknowledged"], figures["made"], "nothing is given up or refused");
    assert!(figures["sessions_lost"].as_u64() >= Some(10), "the kills were felt: {figures}");
    assert!(collector.stop().success());
    let stored = store::rows_exactly_once(room.path());
    assert_eq!(stored.len(), 20, "each device in its one stream: {stored:?}");
    assert_eq!(stored.values().sum::<u64>(), figures["acknowledged"]);
}

#[test]
fn sigterm_under_load_ends_with_0_and_keeps_everything_acknowledged() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let transports = [format!("--tcp={}", collector.tcp), format!("--udp={}", collector.udp)];
    let mut command = simulate(&transports);
    // What the collector did not get any more is not waited for.
    command.args(["--devices", "40", "--interval", "5ms", "--patience", "0s"]);
    let fleet = Running::start(&mut command);
    wait_for("load", || (store::samples(room.path(), 1_000).len() == 1_000).then_some(()));
    assert_eq!((collector.get("/healthz"), collector.get("/readyz")), (200, 200));
    let status = collector.stop();
    assert_eq!(status.code(), Some(0));
    fleet.signal(Signal::TERM);
    let outcome = fleet.finish();
    let figures: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let stored: u64 = store::rows_exactly_once(room.path()).values().sum();
    let number = |key: &str| figures[key].as_u64().expect("a number");
    assert!(number("acknowledged") >= 1_000, "{figures}");
    assert!(stored >= number("acknowledged"), "{stored} rows are stored: {figures}");
    assert!(stored <= number("made"), "{stored} rows are stored: {figures}");
}

/// Spec §6.6c.
#[test]
fn a_drain_acknowledges_what_was_received_then_says_when_to_come_back() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    // An ACK in a minute would do for these devices: the drain does not wait for it.
    let lazy = |device: &mut Device| (device.ack_every, device.ack_delay_ms) = (1_000, 60_000);
    let mut devices = [Device::tcp(collector.tcp, "lazy-1"), Device::udp(collector.udp, "lazy-2")];
    for device in &mut devices {
        lazy(device);
        device.join();
        device.declare(0, &crate::wire::one_u8_channel("lazy"));
        device.send(ROWS, 0, &rows_body(0, &[&[7], &[8]]));
    }
    wait_for("rows", || (store::samples(room.path(), 5).len() == 4).then_some(()));
    assert!(collector.stop().success());
    for device in &mut devices {
        let ack = device.receive().expect("an ACK");
        assert_eq!((ack.kind, ack.seq), (ACK, 2), "{ack:?}");
        let close = device.receive().expect("a CLOSE");
        assert_eq!((close.kind, close_code(&close)), (CLOSE, 407), "{close:?}");
        assert_ne!(close.body[2..6], [0; 4], "retry_after_ms");
    }
}
