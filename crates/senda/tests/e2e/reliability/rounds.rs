//! Crash rounds: a collector and its clients are killed at moments that a seed decides as far as it can, and afterwards
//! `senda audit` finds nothing lost, doubled or invented.
//!
//! `cargo xtask crash` runs many of them; it and whoever replays a round say so by the variables of [`Wanted`].

#![expect(clippy::print_stderr, reason = "a line for each round, for those who run many")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rustix::fs::inotify;
use tempfile::TempDir;

use super::watched::{Audit, Transport, audit, fleet, settled};
use crate::processes::{Collector, PATIENCE, Running, serve, wait_for};
use crate::store;

/// Spec §7.1.
#[test]
fn no_kill_of_collector_or_clients_over_udp_costs_or_doubles_an_acknowledged_row() {
    rounds(Transport::Udp);
}

/// Spec §7.1.
#[test]
fn no_kill_of_collector_or_clients_over_tcp_costs_or_doubles_an_acknowledged_row() {
    rounds(Transport::Tcp);
}

/// Devices that live through a round, and devices that are killed in it now and then.
const SURVIVORS: u32 = 8;
const VICTIMS: u32 = 8;
/// Kills in a round.
const KILLS: usize = 5;

/// Which rounds. Without the variables a few, always the same.
struct Wanted {
    /// SENDA_CRASH_ROUNDS
    rounds: u64,
    /// SENDA_CRASH_FROM: the number of the first.
    from: u64,
    /// SENDA_CRASH_SEED
    seed: u64,
}

impl Wanted {
    fn new() -> Self {
        let number = |name: &str, default: u64| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
            Err(_) => default,
        };
        Self {
            rounds: number("SENDA_CRASH_ROUNDS", 3),
            from: number("SENDA_CRASH_FROM", 1),
            seed: number("SENDA_CRASH_SEED", 1),
        }
    }
}

fn rounds(transport: Transport) {
    let wanted = Wanted::new();
    let begin = Instant::now();
    let (mut sum, mut kills) = (Audit::default(), Kills::default());
    let name = format!("{transport:?}").to_lowercase();
    for number in wanted.from..wanted.from + wanted.rounds {
        let replay = format!(
            "cargo xtask crash --transport {name} --seed {} --from {number} --rounds 1",
            wanted.seed
        );
        // Seen under a round that fails; the last line is its own.
        eprintln!("{name} round {number}: {replay}");
        let (audit, of_round) = round(transport, wanted.seed, number);
        eprintln!("{name} round {number}: {of_round:?}, {audit:?}");
        sum += audit;
        kills += of_round;
    }
    eprintln!("{name}: {} rounds in {:.0?}: {kills:?}, {sum:?}", wanted.rounds, begin.elapsed());
    assert!(sum.acknowledged > 0 && kills.collector > 0, "{sum:?}, {kills:?}");
}

/// How often who was killed.
#[derive(Clone, Copy, Debug, Default)]
struct Kills {
    collector: u32,
    clients: u32,
}

impl std::ops::AddAssign for Kills {
    fn add_assign(&mut self, other: Self) {
        self.collector += other.collector;
        self.clients += other.clients;
    }
}

fn round(transport: Transport, seed: u64, number: u64) -> (Audit, Kills) {
    let dice =
        Pcg64Mcg::seed_from_u64(seed << 32 ^ number << 1 ^ u64::from(transport == Transport::Tcp));
    let mut round = Round::begin(transport, dice);
    let mut kills = Kills::default();
    for _ in 0..KILLS {
        match round.dice.random_range(0..6) {
            0 => round.kill_collector_at_any_moment(),
            1 => round.kill_collector_early_in_a_commit(),
            2 => round.kill_collector_while_it_files(),
            3 => round.kill_collector_as_it_starts(&mut kills),
            4 => round.kill_clients_and_collector(&mut kills),
            _ => {
                round.pause(300_000);
                round.kill_clients(&mut kills);
                continue;
            }
        }
        kills.collector += 1;
    }
    (round.end(), kills)
}

/// A collector on a directory of its own, and its clients.
struct Round {
    dice: Pcg64Mcg,
    transport: Transport,
    room: TempDir,
    collector: Collector,
    survivors: Running,
    victims: Running,
}

impl Round {
    fn begin(transport: Transport, dice: Pcg64Mcg) -> Self {
        let room = TempDir::new().expect("a directory");
        let collector = Collector::start(&room.path().join("data"));
        let start =
            |devices| fleet(&[transport.flag(&collector)], devices, &room.path().join("journal"));
        let (survivors, victims) = (start(SURVIVORS), start(VICTIMS));
        Self { dice, transport, collector, survivors, victims, room }
    }

    /// Up to so many microseconds.
    fn pause(&mut self, most_us: u64) {
        std::thread::sleep(Duration::from_micros(self.dice.random_range(0..most_us)));
    }

    fn restart(&mut self) {
        self.collector.crash();
        self.collector.restart();
    }

    fn kill_collector_at_any_moment(&mut self) {
        self.pause(400_000);
        self.restart();
    }

    /// From the first byte that a commit writes, to its sync and the ACKs.
    fn kill_collector_early_in_a_commit(&mut self) {
        let wal = self.collector.data.join("senda.db-wal");
        self.pause(200_000);
        wait_for_write(&wal);
        self.pause(2_000);
        self.restart();
    }

    /// Filing goes on in slices, until everything that was old enough is filed.
    fn kill_collector_while_it_files(&mut self) {
        let filed = |data: &Path| store::number(data, "SELECT last FROM filing");
        let before = filed(&self.collector.data);
        wait_for("filing", || (filed(&self.collector.data) > before).then_some(()));
        self.pause(20_000);
        self.restart();
    }

    /// One that recovers what the last one left is killed in its turn, before it says where it listens or a little later.
    fn kill_collector_as_it_starts(&mut self, kills: &mut Kills) {
        self.pause(300_000);
        self.collector.crash();
        for _ in 0..3 {
            let any: SocketAddr = ([127, 0, 0, 1], 0).into();
            let mut command = serve(&self.collector.data, [any; 3], &[]);
            let command = command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut starting = command.spawn().expect("the program starts");
            self.pause(60_000);
            starting.kill().expect("a child of ours");
            starting.wait().expect("a child of ours");
            kills.collector += 1;
        }
        self.collector.restart();
    }

    fn kill_clients_and_collector(&mut self, kills: &mut Kills) {
        self.pause(300_000);
        self.collector.crash();
        self.kill_clients(kills);
        self.collector.restart();
    }

    /// Their memory is gone: what was not acknowledged is stored, or it is not. They come again as new boots.
    fn kill_clients(&mut self, kills: &mut Kills) {
        let journal = self.room.path().join("journal");
        // The one before is killed as it is dropped.
        self.victims = fleet(&[self.transport.flag(&self.collector)], VICTIMS, &journal);
        kills.clients += 1;
    }

    /// Lets the clients settle; then the collector goes, in order or not, and what it left is compared with the journal.
    fn end(mut self) -> Audit {
        let settled = settled(self.survivors) + settled(self.victims);
        if self.dice.random() {
            self.collector.crash();
        } else {
            assert!(self.collector.stop().success());
        }
        let (journal, data) = (self.room.path().join("journal"), self.room.path().join("data"));
        let audit = audit(&journal, &data, &[]);
        assert!(audit.acknowledged >= settled, "{audit:?}, {settled} by those that lived");
        audit
    }
}

/// Returns as soon as somebody writes to a file.
fn wait_for_write(path: &Path) {
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).expect("inotify");
    inotify::add_watch(&watch, path, inotify::WatchFlags::MODIFY).expect("a file that is there");
    let mut fds = [rustix::event::PollFd::new(&watch, rustix::event::PollFlags::IN)];
    let patience = rustix::event::Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    let ready = rustix::event::poll(&mut fds, Some(&patience)).expect("a poll");
    assert_eq!(ready, 1, "nothing was written in {PATIENCE:?}");
}
