//! `clients/c`, which knows the specification and nothing else, against the collector: its example `posix`.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tempfile::TempDir;

use crate::processes::{Collector, Running, run, wait_for};
use crate::store;

#[test]
fn the_c_client_stores_each_reading_once_over_tcp_and_udp() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    for (option, address) in [("--tcp", collector.tcp), ("--udp", collector.udp)] {
        let device = format!("c{option}");
        let outcome = run(&mut posix(option, address, &device, "5", "40")).succeeded();
        assert!(outcome.stdout.ends_with("stored below row 40\n"), "{}", outcome.stdout);
    }
    assert!(collector.stop().success());
    let rows = store::rows_exactly_once(room.path());
    assert_eq!(rows.into_values().collect::<Vec<_>>(), [40, 40]);
    let sample = &store::samples(room.path(), 1)[0];
    assert_eq!(sample["schema"], "greenhouse");
    assert_eq!(sample["values"]["state"], "low battery");
    assert_eq!(sample["values"]["acceleration"][1], -0.5);
    let count = |select: &str| store::number(room.path(), select);
    assert_eq!(count("SELECT count(*) FROM events"), 0, "nothing that anybody has to look at");
}

/// Spec §7.1, §6.4.
#[test]
fn the_c_client_outlives_a_killed_collector_over_tcp() {
    outlives_a_kill("--tcp", |collector| (collector.tcp, None));
}

/// Spec §7.1, §6.4, §7.5: a fifth of the datagrams is lost, each way.
#[test]
fn the_c_client_outlives_a_killed_collector_and_a_network_that_loses() {
    outlives_a_kill("--udp", |collector| {
        let forwarder = Forwarder::start(collector.udp);
        (forwarder.address, Some(forwarder))
    });
}

fn outlives_a_kill(option: &str, road: impl Fn(&Collector) -> (SocketAddr, Option<Forwarder>)) {
    let room = TempDir::new().expect("a directory");
    let mut collector = Collector::start(room.path());
    let (address, forwarder) = road(&collector);
    let client = Running::start(&mut posix(option, address, "c-1", "10", "150"));
    wait_for("rows", || (store::samples(room.path(), 10).len() == 10).then_some(()));
    collector.crash();
    collector.restart();
    let outcome = client.finish().succeeded();
    assert!(outcome.stdout.contains("session over"), "the kill was felt: {}", outcome.stdout);
    assert!(outcome.stdout.ends_with("stored below row 150\n"), "{}", outcome.stdout);
    assert!(forwarder.is_none_or(|forwarder| forwarder.lost() > 0));
    assert!(collector.stop().success());
    let rows = store::rows_exactly_once(room.path());
    assert_eq!(rows.into_values().collect::<Vec<_>>(), [150]);
}

/// Spec §5.16, §5.17, §5.20.
#[test]
fn the_c_client_applies_a_desired_interval_and_says_what_it_clamped() {
    let room = TempDir::new().expect("a directory");
    let config = room.path().join("senda.toml");
    // The example does not go below 10 ms.
    std::fs::write(&config, "[[desired]]\ndevice = \"*\"\nrevision = 7\ninterval = \"2ms\"\n")
        .expect("a file");
    let config = config.to_str().expect("text");
    let data = room.path().join("data");
    let collector = Collector::start_with(&data, &["--trace", "--config", config]);
    // On its own it would send a row an hour: that it ends at all shows what it was told.
    run(&mut posix("--udp", collector.udp, "c-2", "3600000", "4")).succeeded();
    let done = wait_for("DONE", || {
        let trace = collector.stderr();
        trace.lines().find(|line| line.contains(" DONE ")).map(str::to_owned)
    });
    assert!(done.contains("status=1 CLAMPED") && done.contains("interval_ms"), "{done}");
    assert!(collector.stop().success());
    assert_eq!(store::rows_exactly_once(&data).into_values().collect::<Vec<_>>(), [4]);
}

/// The example, built once for all tests.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/c");
        let build = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients-c");
        let mut make = Command::new("make");
        make.arg("-C").arg(source).arg(format!("BUILD={}", build.display())).arg("posix");
        run(&mut make).succeeded();
        build.join("posix")
    })
}

fn posix(option: &str, address: SocketAddr, device: &str, interval: &str, count: &str) -> Command {
    let mut command = Command::new(program());
    command.arg(option).arg(address.to_string()).args(["--device", device]);
    command.args(["--interval", interval, "--count", count]);
    command
}

/// Between one device and a collector: loses a fifth of the datagrams, each way.
struct Forwarder {
    address: SocketAddr,
    state: Arc<(AtomicBool, AtomicU32)>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    fn start(to: SocketAddr) -> Self {
        let socket = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let (front, back) = (socket(), socket());
        for side in [&front, &back] {
            side.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
        }
        let address = front.local_addr().expect("an address");
        let state = Arc::new((AtomicBool::new(false), AtomicU32::new(0)));
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || forward(&front, &back, to, &shared));
        Self { address, state, thread: Some(thread) }
    }

    fn lost(&self) -> u32 {
        self.state.1.load(Ordering::Relaxed)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.state.0.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn forward(front: &UdpSocket, back: &UdpSocket, to: SocketAddr, state: &(AtomicBool, AtomicU32)) {
    let mut dice = Pcg64Mcg::seed_from_u64(5);
    let mut bytes = [0; 2048];
    let mut device = None;
    while !state.0.load(Ordering::Relaxed) {
        // A time-out, or an ICMP error while there is no collector, is no datagram.
        if let Ok((len, from)) = front.recv_from(&mut bytes) {
            device = Some(from);
            if dice.random_range(0..5) == 0 {
                state.1.fetch_add(1, Ordering::Relaxed);
            } else {
                let _ = back.send_to(&bytes[..len], to);
            }
        }
        if let (Ok((len, _)), Some(device)) = (back.recv_from(&mut bytes), device) {
            if dice.random_range(0..5) == 0 {
                state.1.fetch_add(1, Ordering::Relaxed);
            } else {
                let _ = front.send_to(&bytes[..len], device);
            }
        }
    }
}
