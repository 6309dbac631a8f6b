//! A disk that is full: a small tmpfs in a mount namespace of the test's own, with a file that takes up what is left of it.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::watched::{Answer, Transport, Watched, audit, fleet, settled, wait_for_ready};
use crate::namespace::Namespace;
use crate::processes::{Collector, Wrap, run, senda, serve, wait_for};
use crate::store::rows_exactly_once;

/// Spec §7.1d.
#[test]
fn a_full_disk_means_busy_for_100_devices_until_space_is_freed_and_costs_no_row() {
    let disk = SmallDisk::new();
    let mut collector = Collector::start_wrapped(&disk.data(), &[], disk.wrap());
    let transports = Transport::BOTH.map(|transport| transport.flag(&collector));
    let elsewhere = TempDir::new().expect("a directory");
    let journal = elsewhere.path().join("journal");
    let fleet = fleet(&transports, 100, &journal);
    let mut devices = [(Transport::Udp, "watched-udp"), (Transport::Tcp, "watched-tcp")]
        .map(|(transport, name)| Watched::join(&collector, transport, name));
    for _ in 0..2 {
        devices.iter_mut().for_each(Watched::offer_until_acknowledged);
        disk.fill();
        wait_for_ready(&collector, false);
        for device in &mut devices {
            // The log is overwritten in place: there may be room for another commit, and then its rows are there.
            wait_for("BUSY", || {
                let answer = device.offer();
                assert!(disk.stored(device.name()) >= device.acknowledged, "{}", device.name());
                matches!(answer, Answer::Refused(101 | 103)).then_some(())
            });
        }
        assert!(collector.is_alive());
        assert_eq!(collector.get("/healthz"), 200);
        disk.free();
        wait_for_ready(&collector, true);
    }
    devices.iter_mut().for_each(Watched::offer_until_acknowledged);
    let acknowledged = settled(fleet);
    assert!(collector.stop().success());
    let watched: u32 = devices.iter().map(|device| device.acknowledged).sum();
    let store = disk.copy();
    let stored: u64 = rows_exactly_once(store.path()).into_values().sum();
    assert_eq!(stored, acknowledged + u64::from(watched));
    audit(&journal, store.path(), &["--complete"]);
}

/// Spec §7.1b.
#[test]
fn a_kill_on_a_full_disk_loses_nothing_that_was_acknowledged() {
    let disk = SmallDisk::new();
    let mut collector = Collector::start_wrapped(&disk.data(), &[], disk.wrap());
    let transports = Transport::BOTH.map(|transport| transport.flag(&collector));
    let elsewhere = TempDir::new().expect("a directory");
    let journal = elsewhere.path().join("journal");
    let fleet = fleet(&transports, 20, &journal);
    let mut devices = [(Transport::Udp, "watched-udp"), (Transport::Tcp, "watched-tcp")]
        .map(|(transport, name)| Watched::join(&collector, transport, name));
    for _ in 0..2 {
        devices.iter_mut().for_each(Watched::offer_until_acknowledged);
        disk.fill();
        wait_for_ready(&collector, false);
        collector.crash();
        disk.free();
        collector.restart();
        for device in &mut devices {
            device.rejoin(&collector); // It checks that what was acknowledged is known.
        }
    }
    let acknowledged = settled(fleet);
    assert!(collector.stop().success());
    let watched: u32 = devices.iter().map(|device| device.acknowledged).sum();
    let store = disk.copy();
    let stored: u64 = rows_exactly_once(store.path()).into_values().sum();
    assert_eq!(stored, acknowledged + u64::from(watched));
    audit(&journal, store.path(), &["--complete"]);
}

#[test]
fn a_collector_that_finds_its_disk_full_at_the_start_says_so_and_starts_when_there_is_space() {
    let disk = SmallDisk::new();
    disk.fill();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let outcome = run(&mut disk.wrap()(serve(&disk.data(), [any; 3], &[])));
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stderr.contains("has space left"), "{outcome:#?}");
    assert!(outcome.stdout.is_empty(), "it listens nowhere: {outcome:#?}");
    disk.free();
    let collector = Collector::start_wrapped(&disk.data(), &[], disk.wrap());
    assert!(collector.stop().success());
}

/// A disk of 24 MiB. A path of it is a path in its namespace alone.
struct SmallDisk {
    namespace: Namespace,
    room: TempDir,
}

impl SmallDisk {
    fn new() -> Self {
        let room = TempDir::new().expect("a directory");
        let mount = format!("mount -t tmpfs -o size={DISK_BYTES} none \"$0\"");
        let path = room.path().to_str().expect("a path of text");
        Self { namespace: Namespace::hold("--mount", &mount, path), room }
    }

    /// The data directory, for programs inside.
    fn data(&self) -> PathBuf {
        self.room.path().join("data")
    }

    /// What a collector on it is started in.
    fn wrap(&self) -> Wrap {
        let inside = self.namespace.entry();
        Arc::new(move |command| inside.command(&command))
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut filler = File::create(self.filler()).expect("a file");
        let mut piece = vec![0; 1 << 20];
        loop {
            match filler.write(&piece) {
                Ok(_) => {}
                // A page is the least that there is.
                Err(error) if error.kind() == ErrorKind::StorageFull && piece.len() > 4_096 => {
                    piece.truncate(4_096);
                }
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).expect("a file that is there");
    }

    fn filler(&self) -> PathBuf {
        self.outside().join("filler")
    }

    /// Where it is for us.
    fn outside(&self) -> PathBuf {
        let root = format!("/proc/{}/root", self.namespace.process().pid());
        Path::new(&root).join(self.room.path().strip_prefix("/").expect("an absolute path"))
    }

    /// Rows of a device that are on the disk, landed or filed, by asking `senda query` inside.
    #[track_caller]
    fn stored(&self, device: &str) -> u32 {
        let mut query =
            senda(["query", "--format", "csv", "--limit", "1000000", "--device", device]);
        let query = query.arg("--data").arg(self.data());
        let lines = run(&mut self.namespace.inside(query)).succeeded().stdout;
        u32::try_from(lines.lines().skip(1).count()).expect("a few")
    }

    /// The store of a collector that has stopped, where there is space.
    #[track_caller]
    fn copy(&self) -> TempDir {
        let copy = TempDir::new().expect("a directory");
        let data = self.outside().join("data");
        for file in std::fs::read_dir(data).expect("a directory") {
            let file = file.expect("a file");
            std::fs::copy(file.path(), copy.path().join(file.file_name())).expect("a copy");
        }
        copy
    }
}

const DISK_BYTES: u64 = 24 << 20;
