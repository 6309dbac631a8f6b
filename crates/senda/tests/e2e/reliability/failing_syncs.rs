//! A disk whose syncs fail, by a library between the collector and the system's own fsync.
//!
//! What a real disk does to the page cache after such a failure is the virtual disk's part; here it is the real program,
//! the real files, and the error that the system would give.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tempfile::TempDir;

use super::watched::{Answer, Transport, Watched, audit, fleet, settled, wait_for_ready};
use crate::processes::{Collector, Wrap, run, wait_for};
use crate::store::rows_exactly_once;

/// Spec §7.1d.
#[test]
fn while_syncs_fail_a_device_on_udp_hears_busy_and_no_ack_and_then_all_goes_on_by_itself() {
    busy_until_syncs_work_again(Transport::Udp);
}

/// Spec §7.1d.
#[test]
fn while_syncs_fail_a_device_on_tcp_hears_busy_and_no_ack_and_then_all_goes_on_by_itself() {
    busy_until_syncs_work_again(Transport::Tcp);
}

fn busy_until_syncs_work_again(transport: Transport) {
    let (room, disk) = (TempDir::new().expect("a directory"), FaultyDisk::new());
    let mut collector = Collector::start_wrapped(room.path(), &[], disk.wrap());
    let journal = disk.journal();
    let fleet = fleet(&[transport.flag(&collector)], 20, &journal);
    let mut device = Watched::join(&collector, transport, "watched");

    // The row of a commit that fails gets 103; one that comes while the store is shut, 101 and window 0.
    wait_for("NACK 103", || {
        disk.heal();
        device.offer_until_acknowledged();
        disk.fail(WAL);
        (device.offer() == Answer::Refused(103)).then_some(())
    });
    wait_for("NACK 101 and window 0", || {
        let answer = device.offer();
        assert!(matches!(answer, Answer::Refused(101 | 103)), "{answer:?}");
        (answer == Answer::Refused(101) && device.window == 0).then_some(())
    });
    wait_for_ready(&collector, false);
    let failures = disk.failures();
    wait_for("tries to recover that fail", || (disk.failures() >= failures + 3).then_some(()));
    let answer = device.offer();
    assert!(matches!(answer, Answer::Refused(101 | 103)), "{answer:?}");
    assert!(collector.is_alive());
    assert_eq!(collector.get("/healthz"), 200);

    disk.heal();
    wait_for_ready(&collector, true);
    device.offer_until_acknowledged();
    let acknowledged = settled(fleet) + u64::from(device.acknowledged);
    let stderr = collector.stderr();
    assert!(stderr.contains("store failed") && stderr.contains("store recovered"), "{stderr}");
    assert!(collector.stop().success());
    assert_eq!(stored(&room), acknowledged);
    audit(&journal, room.path(), &["--complete"]);
}

/// Spec §7.1b. What was acknowledged before the syncs failed is there after the restart; what was refused comes again.
#[test]
fn a_kill_right_after_failed_syncs_loses_nothing_that_was_acknowledged() {
    let (room, disk) = (TempDir::new().expect("a directory"), FaultyDisk::new());
    let mut collector = Collector::start_wrapped(room.path(), &[], disk.wrap());
    let mut devices: Vec<Watched> = (0..8)
        .map(|index| (Transport::BOTH[index % 2], format!("watched-{index}")))
        .map(|(transport, name)| Watched::join(&collector, transport, &name))
        .collect();
    for kill in 0..6 {
        devices.iter_mut().for_each(Watched::offer_until_acknowledged);
        if kill % 2 == 1 {
            disk.fail(DATABASE);
        }
        disk.fail(WAL);
        let before = disk.failures();
        devices.iter_mut().for_each(Watched::send);
        wait_for("failed syncs", || (disk.failures() > before).then_some(()));
        collector.crash();
        disk.heal();
        collector.restart();
        for device in &mut devices {
            let next_row = device.rejoin(&collector);
            // The row of the failed commit may be in the log, and then it is stored.
            assert!(next_row <= device.acknowledged + 1, "{next_row}");
        }
    }
    devices.iter_mut().for_each(Watched::offer_until_acknowledged);
    let acknowledged: u32 = devices.iter().map(|device| device.acknowledged).sum();
    assert!(collector.stop().success());
    assert_eq!(stored(&room), u64::from(acknowledged));
}

/// One sync fails, then none, then one again, at moments that a seed decides.
#[test]
fn syncs_that_fail_now_and_then_under_load_cost_no_row_and_double_none() {
    let mut dice = Pcg64Mcg::seed_from_u64(5);
    let (room, disk) = (TempDir::new().expect("a directory"), FaultyDisk::new());
    let mut collector = Collector::start_wrapped(room.path(), &[], disk.wrap());
    let transports = [format!("--tcp={}", collector.tcp), format!("--udp={}", collector.udp)];
    let journal = disk.journal();
    let fleet = fleet(&transports, 20, &journal);
    for _ in 0..6 {
        let before = disk.failures();
        disk.fail_times(WAL, dice.random_range(1..3));
        wait_for("failed syncs", || (disk.failures() > before).then_some(()));
        wait_for_ready(&collector, true);
        std::thread::sleep(Duration::from_millis(dice.random_range(0..100)));
    }
    disk.heal();
    let acknowledged = settled(fleet);
    assert!(collector.is_alive());
    assert!(collector.stop().success());
    assert_eq!(stored(&room), acknowledged);
    audit(&journal, room.path(), &["--complete"]);
}

/// Landing goes on beside a checkpoint that fails, for the log is synced; and no page that was not copied is given up.
#[test]
fn a_database_whose_syncs_fail_keeps_everything_in_its_log() {
    let (room, disk) = (TempDir::new().expect("a directory"), FaultyDisk::new());
    let mut collector = Collector::start_wrapped(room.path(), &[], disk.wrap());
    let transports = [format!("--tcp={}", collector.tcp), format!("--udp={}", collector.udp)];
    let journal = disk.journal();
    let fleet = fleet(&transports, 20, &journal);
    disk.fail(DATABASE);
    wait_for("checkpoints that fail", || (disk.failures() >= 2).then_some(()));
    assert!(collector.is_alive());
    assert_eq!(collector.get("/healthz"), 200);
    collector.crash();
    disk.heal();
    collector.restart();
    let acknowledged = settled(fleet);
    assert!(collector.stop().success());
    assert_eq!(stored(&room), acknowledged);
    audit(&journal, room.path(), &["--complete"]);
}

const WAL: &str = "senda.db-wal";
const DATABASE: &str = "senda.db";

/// A disk whose syncs fail when they are told to.
struct FaultyDisk {
    room: TempDir,
}

impl FaultyDisk {
    /// Builds the library.
    #[track_caller]
    fn new() -> Self {
        let room = TempDir::new().expect("a directory");
        std::fs::create_dir(room.path().join("fail")).expect("a directory");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/reliability/faulty_sync.c");
        let mut cc = Command::new("cc");
        cc.args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]);
        run(cc.arg(room.path().join(LIBRARY)).arg(source)).succeeded();
        Self { room }
    }

    /// What a collector on it is started in.
    fn wrap(&self) -> Wrap {
        let room = self.room.path().to_owned();
        Arc::new(move |mut command| {
            command.env("LD_PRELOAD", room.join(LIBRARY)).env("FAULTY_SYNC", &room);
            command
        })
    }

    /// Where a fleet may write down what it made; this disk is not the one that fails.
    fn journal(&self) -> PathBuf {
        self.room.path().join("journal")
    }

    /// From now on syncs of this file fail.
    fn fail(&self, file: &str) {
        self.fail_times(file, 0);
    }

    /// The next syncs of this file fail; 0: all.
    fn fail_times(&self, file: &str, times: usize) {
        // Put there whole: half a count would be another one.
        let (order, draft) = (self.order(file), self.room.path().join("draft"));
        std::fs::write(&draft, vec![b'.'; times]).expect("a file");
        std::fs::rename(draft, order).expect("the same file system");
    }

    /// Syncs work again.
    fn heal(&self) {
        for file in [WAL, DATABASE] {
            // It fails for an order that is not there.
            let _ = std::fs::remove_file(self.order(file));
        }
    }

    /// How many syncs have failed.
    fn failures(&self) -> usize {
        let failed = std::fs::read_to_string(self.room.path().join("failed"));
        failed.map_or(0, |lines| lines.lines().count())
    }

    fn order(&self, file: &str) -> PathBuf {
        self.room.path().join("fail").join(file)
    }
}

const LIBRARY: &str = "faulty_sync.so";

/// Rows in the store of a collector that has stopped; each is there once.
#[track_caller]
fn stored(room: &TempDir) -> u64 {
    rows_exactly_once(room.path()).into_values().sum()
}
