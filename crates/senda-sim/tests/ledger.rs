//! The ledger's equation, in a thousand seeded worlds: made = stored + refused + given up + pending, with nothing left over,
//! whatever the network, the collector and the devices do. Spec §7.9.
//!
//! In each world, some devices send to the real engine and the real store over links that lose, double, hold back and damage
//! datagrams and keep count of it; devices reboot, their queues run over; the collector crashes, files in pieces, and now
//! and then is put back to an older copy of its store. Time is virtual.

#[path = "ledger/collector.rs"]
mod collector;
#[path = "ledger/node.rs"]
mod node;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use senda_session::Instant;
use senda_sim::faults::{Conditions, Delay, LinkStats, Reorder};
use senda_store::{Ledger, Reader};

use collector::Host;
use node::Node;

/// Worlds of one test; there are four, so that they run beside each other.
const SEEDS: u64 = 250;
/// How long devices make rows, and how long the end may take.
const MAKING: Duration = Duration::from_secs(20);
const ENDING: Duration = Duration::from_secs(3_600);

#[test]
fn the_equation_closes_in_worlds_0_to_249() {
    (0..SEEDS).for_each(|seed| World::new(seed).run());
}

#[test]
fn the_equation_closes_in_worlds_250_to_499() {
    (SEEDS..2 * SEEDS).for_each(|seed| World::new(seed).run());
}

#[test]
fn the_equation_closes_in_worlds_500_to_749() {
    (2 * SEEDS..3 * SEEDS).for_each(|seed| World::new(seed).run());
}

#[test]
fn the_equation_closes_in_worlds_750_to_999() {
    (3 * SEEDS..4 * SEEDS).for_each(|seed| World::new(seed).run());
}

struct World {
    seed: u64,
    rng: Pcg64Mcg,
    now: Instant,
    host: Host,
    nodes: Vec<Node>,
    /// Where stores and copies of them are.
    home: tempfile::TempDir,
    stores: u32,
    /// An older copy of the store.
    copy: Option<PathBuf>,
    /// The store was put back: what was acknowledged may be gone.
    was_restored: bool,
    /// Datagrams that were damaged on their way to the collector.
    damaged: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        // In memory, where there is such a place: a thousand worlds sync a lot.
        let shm = Path::new("/dev/shm");
        let home = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
        let home = home.expect("a directory");
        let share = |text: &str| text.parse().expect("a share");
        let loss = ["0%", "5%", "20%", "40%"][rng.random_range(0..4)];
        let conditions = Conditions {
            loss: share(loss),
            dup: share(["0%", "10%"][rng.random_range(0..2)]),
            reorder: ["0%", "15%"][rng.random_range(0..2)].parse::<Reorder>().expect("a share"),
            delay: ["5ms", "40ms±30ms"][rng.random_range(0..2)].parse::<Delay>().expect("a delay"),
            rate: None,
        };
        let count = rng.random_range(1..4);
        let nodes = (0..count).map(|index| Node::new(seed, index, conditions)).collect();
        let host = Host::new(home.path().join("0"), seed);
        Self {
            seed,
            rng,
            now: Instant(0),
            host,
            nodes,
            home,
            stores: 0,
            copy: None,
            was_restored: false,
            damaged: 0,
        }
    }

    fn run(mut self) {
        let mut next_event = Instant(0);
        while self.now < Instant(0) + MAKING {
            self.settle(true);
            if self.now >= next_event {
                self.meddle();
                self.check_books(false);
                next_event = self.now + Duration::from_millis(self.rng.random_range(200..3_000));
            }
            self.now = self.next_moment().min(next_event).max(self.now + Duration::from_micros(1));
        }
        for node in &mut self.nodes {
            node.end(self.now);
        }
        while !self.nodes.iter().all(Node::has_ended) {
            self.settle(false);
            self.now = self.next_moment().max(self.now + Duration::from_micros(1));
            assert!(self.now < Instant(0) + ENDING, "seed {}: it does not drain", self.seed);
        }
        self.settle(false);
        self.check_books(true);
        self.check_forwarders();
        self.host.file_all(self.now);
        self.check_books(true);
    }

    /// Everything that is due now.
    fn settle(&mut self, making: bool) {
        for node in &mut self.nodes {
            node.turn(self.now, making);
        }
        for node in &mut self.nodes {
            while let Some(mut datagram) = node.up.poll(self.now) {
                node.delivered += 1;
                if self.rng.random_range(0..50) == 0 {
                    let bit = self.rng.random_range(0..datagram.len() * 8);
                    datagram[bit / 8] ^= 1 << (bit % 8);
                    self.damaged += 1;
                }
                self.host.receive(self.now, node.address, &datagram);
            }
        }
        self.host.turn(self.now);
        while let Some((address, datagram)) = self.host.transmit() {
            if let Some(node) = self.nodes.iter_mut().find(|node| node.address == address) {
                node.down.send(self.now, datagram);
            }
        }
        if self.rng.random_range(0..4) == 0 {
            self.host.file(self.now, self.rng.random_range(1..60));
        }
    }

    fn next_moment(&self) -> Instant {
        let nodes = self.nodes.iter().map(|node| node.next_moment(self.now));
        nodes.chain(self.host.next_moment()).min().unwrap_or(self.now + Duration::from_millis(100))
    }

    /// Something that should not happen.
    fn meddle(&mut self) {
        match self.rng.random_range(0..12) {
            0..=2 => self.restart(None),
            3 if self.copy.is_none() => {
                let copy = self.home.path().join("copy");
                self.host.stop();
                copy_store(self.host.dir(), &copy);
                self.copy = Some(copy);
                self.restart(None);
            }
            4 if self.copy.is_some() => {
                let copy = self.copy.take();
                self.restart(copy.as_deref());
                self.was_restored = true;
            }
            5 | 6 => {
                let node = self.rng.random_range(0..self.nodes.len());
                self.nodes[node].reboot(self.now);
            }
            7 => {
                let node = self.rng.random_range(0..self.nodes.len());
                self.nodes[node].burst();
            }
            _ => {}
        }
    }

    /// The collector goes down with what has not landed; it comes back with what is on its disk, or with `copy`.
    fn restart(&mut self, copy: Option<&Path>) {
        self.host.stop();
        self.stores += 1;
        let dir = self.home.path().join(self.stores.to_string());
        copy_store(copy.unwrap_or(self.host.dir()), &dir);
        self.host.start(dir, self.now, self.rng.random());
    }

    /// Spec §7.9: nothing is unexplained, at any moment; in the end the ledger says what the devices say.
    fn check_books(&self, is_end: bool) {
        let seed = self.seed;
        let reader = Reader::open(self.host.dir()).expect("a reader");
        let total = reader.ledger().expect("the ledger");
        assert_eq!(total.unexplained, 0, "seed {seed}: {total:?}");
        let mut sum = Ledger::default();
        for node in &self.nodes {
            let found = reader.devices(Some(&node.name), None, 1).expect("the ledger");
            let Some(ledger) = found.into_iter().next().map(|device| device.ledger) else {
                continue;
            };
            assert_eq!(ledger.unexplained, 0, "seed {seed}: {}: {ledger:?}", node.name);
            assert_eq!(ledger.unreadable, 0);
            assert_eq!(ledger.stored, rows_in(&reader, &node.name), "seed {seed}: {ledger:?}");
            let told = node.told();
            assert!(ledger.numbers <= told.numbers, "seed {seed}: {told:?} {ledger:?}");
            if !self.was_restored {
                // An ACK passes refused rows too, whose NACK may be lost.
                let durable = ledger.stored + ledger.refused_rows();
                assert!(durable >= told.acked, "seed {seed}: {told:?} {ledger:?}");
            }
            // Without a reboot nothing went down with a device, and all of it has to be there.
            if is_end && node.boots == 0 {
                assert_eq!(
                    (ledger.made, ledger.pending),
                    (told.made, 0),
                    "seed {seed}: {ledger:?}"
                );
                let explained = ledger.stored + ledger.refused_rows() + ledger.skipped_rows();
                assert!(explained >= told.made, "seed {seed}: {told:?} {ledger:?}");
            }
            sum.add(&ledger);
        }
        assert_eq!(sum, total, "seed {seed}");
    }

    /// Each link's own count, and the engine's of what was damaged.
    fn check_forwarders(&self) {
        let seed = self.seed;
        for node in &self.nodes {
            for (link, in_flight) in [
                (&node.up.stats(), node.up.in_flight()),
                (&node.down.stats(), node.down.in_flight()),
            ] {
                let LinkStats { sent, duplicated, lost, overflowed, delivered, .. } = *link;
                let left = delivered + lost + overflowed + in_flight as u64;
                assert_eq!(sent + duplicated, left, "seed {seed}: {link:?}");
            }
            assert_eq!(node.up.stats().sent, node.datagrams, "seed {seed}");
            assert_eq!(node.up.stats().delivered, node.delivered, "seed {seed}");
        }
        let delivered: u64 = self.nodes.iter().map(|node| node.delivered).sum();
        let counts = self.host.counts();
        assert_eq!(counts.datagrams, delivered, "seed {seed}");
        // One bit of the version makes a HELLO of another one; any other damage makes bytes that are no message.
        assert_eq!(counts.bad_frames + counts.other_versions, self.damaged, "seed {seed}");
    }
}

/// Rows in the store, one by one.
fn rows_in(reader: &Reader, device: &str) -> u64 {
    let mut rows = std::collections::BTreeSet::new();
    let names = || Ok::<_, senda_store::StoreError>(vec![device.to_owned()]);
    let walked = reader.walk(names, &mut |kept| {
        if let senda_store::KeptWhat::Row(row) = kept.what {
            rows.insert((kept.stream, row.row));
        }
    });
    walked.expect("a walk");
    rows.len() as u64
}

fn copy_store(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for name in ["senda.db", "senda.db-wal"] {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).expect("a copy");
        }
    }
}
