//! The oracle sees each kind of broken promise when it is shown one. Its own history, with one lie in it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use senda_disk::{Disk, Vfs};
use senda_session::Instant;
use senda_session::collector::Notice;
use senda_store::{Landing, Options, Outcome, Reader, Verdict, What, Writer};
use senda_wire::{
    Ack, Command, Data, DataHead, Head, List, Message, NamedValue, SkipCause, TypedValue, Value,
    Window,
};

use super::host::Noticed;
use super::judge::{Judge, Made};
use super::program::Told;
use super::readings::{Reading, reading, schema};
use super::violation::Promise;

const NOW: Instant = Instant(1_000_000);
const UTC: i64 = super::START_US;
const STREAM: u64 = 9;
const SESSION: u32 = 5;

/// A store with one device's rows 0 and 1 in it, and an oracle that knows them.
struct Bench {
    judge: Judge,
    writer: Writer,
    disk: Disk,
    vfs: Vfs,
    device: Arc<str>,
}

impl Bench {
    fn new() -> Self {
        let disk = Disk::new(1);
        let vfs = disk.register();
        let options = Options { vfs: Some(vfs.name().into()), ..Options::default() };
        let writer = Writer::open(Path::new("/"), options, UTC).unwrap();
        let device: Arc<str> = "gh-0".into();
        let mut bench = Self { judge: Judge::default(), writer, disk, vfs, device };
        bench.judge.add_device(&bench.device);
        let declare = What::Declare { id: 0, description: schema(3, 0).to_vec() };
        bench.land(declare);
        for row in 0..2 {
            bench.make(row);
            bench.land(rows(row, &one(row)));
        }
        let notice = Notice::Welcomed {
            session: SESSION,
            next_row: 0,
            config_rev: 0,
            last_command_id: 0,
            downlink: 7,
        };
        let device = Arc::clone(&bench.device);
        bench.judge.noticed(NOW, &Noticed { device, stream: STREAM, notice });
        bench
    }

    fn make(&mut self, row: u32) {
        let made = Made::Sample { reading: one(row), device_time: Some(UTC) };
        self.judge.made(NOW, &self.device.clone(), STREAM, row, made);
    }

    fn landing(&self, what: What) -> Landing {
        Landing { device: Arc::clone(&self.device), stream: STREAM, received: UTC, what }
    }

    fn land(&mut self, what: What) {
        let landings = [self.landing(what)];
        let verdicts = self.writer.land(&landings, UTC);
        assert!(verdicts[0].outcome.is_durable(), "{verdicts:?}");
        self.judge.landed(NOW, &landings, &verdicts);
    }

    /// The store's word on rows that it does not have.
    fn claim(&mut self, what: What, outcome: Outcome, next_row: u32) {
        let landings = [self.landing(what)];
        let verdict = Verdict { outcome, next_row, ranges: Vec::new(), refused: Vec::new() };
        self.judge.landed(NOW, &landings, &[verdict]);
    }

    fn collector_says(&mut self, seq: u32, message: &Message<'_>) {
        let bytes = encoded(SESSION, seq, message);
        self.judge.collector_says(NOW, None, &bytes);
    }

    fn audit(&mut self) {
        self.writer.file_all(UTC).unwrap();
        let reader = Reader::open_on(Path::new("/"), Some(self.vfs.name())).unwrap();
        self.judge.audit(NOW, &reader);
    }

    fn saw(&self) -> Option<Promise> {
        self.judge.violation.as_ref().map(|violation| violation.promise)
    }
}

#[test]
fn a_true_history_breaks_no_promise() {
    let mut bench = Bench::new();
    bench.collector_says(2, &ack());
    bench.judge.told(NOW, &bench.device.clone(), Told::Acked { stream: STREAM, mark: 2 });
    bench.judge.try_power_cut(NOW, &mut bench.writer, UTC);
    bench.audit();
    assert_eq!(bench.judge.violation, None);
}

#[test]
fn an_ack_of_what_is_not_durable_is_seen() {
    let mut bench = Bench::new();
    bench.collector_says(3, &ack());
    assert_eq!(bench.saw(), Some(Promise::AckedIsDurable));
    let mut bench = Bench::new();
    bench.judge.told(NOW, &bench.device.clone(), Told::Acked { stream: STREAM, mark: 3 });
    assert_eq!(bench.saw(), Some(Promise::AckedIsDurable));
}

#[test]
fn a_store_that_forgets_is_seen_at_a_restart_and_at_a_power_cut() {
    for restarts in [true, false] {
        let mut bench = Bench::new();
        bench.make(2);
        bench.claim(rows(2, &one(2)), Outcome::Stored, 3);
        assert_eq!(bench.saw(), None, "the store may say so");
        if restarts {
            bench.judge.restarted(&mut bench.writer, UTC);
        } else {
            bench.judge.try_power_cut(NOW, &mut bench.writer, UTC);
        }
        assert_eq!(bench.saw(), Some(Promise::AckedIsDurable));
    }
}

#[test]
fn an_ack_that_goes_back_and_a_mark_that_passes_a_row_are_seen() {
    let mut bench = Bench::new();
    bench.collector_says(2, &ack());
    bench.collector_says(1, &ack());
    assert_eq!(bench.saw(), Some(Promise::OrderByRow));
    let mut bench = Bench::new();
    bench.claim(rows(3, &one(3)), Outcome::Stored, 4);
    assert_eq!(bench.saw(), Some(Promise::OrderByRow));
    let mut bench = Bench::new();
    bench.claim(rows(2, &one(2)), Outcome::Duplicate, 2);
    assert_eq!(bench.saw(), Some(Promise::OrderByRow));
}

#[test]
fn what_nobody_made_or_made_otherwise_is_seen() {
    let mut bench = Bench::new();
    bench.land(rows(2, &one(2)));
    bench.audit();
    assert_eq!(bench.saw(), Some(Promise::StoredAsMade));
    let mut bench = Bench::new();
    bench.make(2);
    bench.land(rows(2, &one(77)));
    bench.audit();
    assert_eq!(bench.saw(), Some(Promise::StoredAsMade));
}

#[test]
fn a_number_that_is_given_twice_is_seen() {
    let mut bench = Bench::new();
    bench.make(1);
    assert_eq!(bench.saw(), Some(Promise::StoredOnce));
}

#[test]
fn a_row_that_is_missing_or_has_a_fate_that_nobody_told_is_seen() {
    let mut bench = Bench::new();
    bench.make(2);
    bench.audit();
    assert_eq!(bench.saw(), Some(Promise::Ledger));
    let mut bench = Bench::new();
    bench.make(2);
    bench.land(What::Skip { first: 2, count: 1, cause: SkipCause::Overflow.code() });
    bench.audit();
    assert_eq!(bench.saw(), Some(Promise::Ledger));
    let mut bench = Bench::new();
    bench.make(2);
    let refused = vec![(0, 301)];
    let What::Rows { first, count, sparse, schema, body, .. } = rows(2, &one(2)) else { panic!() };
    bench.land(What::Rows { first, count, sparse, schema, body, refused });
    bench.audit();
    assert_eq!(bench.saw(), Some(Promise::Ledger));
}

#[test]
fn a_command_in_two_sessions_or_executed_twice_is_seen() {
    let value = TypedValue { exponent: 0, value: Value::U32(3) };
    let mut room = [0; 32];
    let arguments = List::build(&[NamedValue { name: "", typed: value }], &mut room).unwrap();
    let command = Message::Command(Command { id: 1, ttl_ms: 1, name: "x", arguments });
    let mut bench = Bench::new();
    for session in [SESSION, SESSION, SESSION + 1] {
        assert_eq!(bench.saw(), None);
        bench.judge.collector_says(NOW, None, &encoded(session, 1, &command));
    }
    assert_eq!(bench.saw(), Some(Promise::CommandOnce));
    let mut bench = Bench::new();
    let device = bench.device.clone();
    bench.judge.executed(NOW, &device, 3);
    bench.judge.executed(NOW, &device, 3);
    assert_eq!(bench.saw(), Some(Promise::CommandOnce));
}

#[test]
fn rows_beyond_the_window_are_seen() {
    let mut bench = Bench::new();
    let window =
        Window { window_rows: 4, ack_delay_ms: 0, retry_after_ms: 0, ranges: Default::default() };
    bench.judge.device_hears(&encoded(SESSION, 2, &Message::Ack(Ack { window: Some(window) })));
    let head = DataHead { schema: 0, clock: senda_wire::Clock::None, count: 1, t0: 0 };
    let message = Message::Rows(Data { head, rows: &[0; 12] });
    bench.judge.device_says(NOW, true, &encoded(SESSION, 5, &message));
    assert_eq!(bench.saw(), None);
    bench.judge.device_says(NOW, true, &encoded(SESSION, 6, &message));
    assert_eq!(bench.saw(), Some(Promise::Window));
}

#[test]
fn more_bytes_to_a_stranger_than_came_from_him_are_seen() {
    let stranger: SocketAddr = "203.0.113.9:5000".parse().unwrap();
    let mut bench = Bench::new();
    bench.judge.wiretap.came_in(stranger, &[0; 40]);
    bench.judge.collector_says(NOW, Some(stranger), &[0; 40]);
    assert_eq!(bench.saw(), None);
    bench.judge.collector_says(NOW, Some(stranger), &[0; 1]);
    assert_eq!(bench.saw(), Some(Promise::Amplification));
    let mut bench = Bench::new();
    bench.judge.wiretap.came_in(stranger, &[0; 4_000]);
    bench.judge.collector_says(NOW, Some(stranger), &[0; 1_201]);
    assert_eq!(bench.saw(), Some(Promise::Datagram));
}

#[test]
fn a_queue_beyond_its_limit_is_seen() {
    let mut bench = Bench::new();
    let device = bench.device.clone();
    bench.judge.watch_queue(NOW, &device, 100, 100);
    assert_eq!(bench.saw(), None);
    bench.judge.watch_queue(NOW, &device, 200, 100);
    assert_eq!(bench.saw(), Some(Promise::Bounded));
}

#[test]
fn a_store_that_can_not_be_read_is_seen() {
    let mut bench = Bench::new();
    // Of a stream that nobody has asked for; and its files are stale.
    bench.judge.made(NOW, &bench.device.clone(), STREAM + 1, 0, Made::Counts);
    bench.disk.crash(1);
    bench.judge.try_power_cut(NOW, &mut bench.writer, UTC);
    assert_eq!(bench.saw(), Some(Promise::Recovers));
}

/// The row that this device makes under this number.
fn one(row: u32) -> Reading {
    reading(&schema(3, 0), row, false, false, &mut Pcg64Mcg::seed_from_u64(row.into()))
}

fn rows(first: u32, reading: &Reading) -> What {
    let mut body = vec![0, 0, 0xC0, 1];
    body.extend(UTC.to_be_bytes());
    body.extend(&reading.row);
    What::Rows { first, count: 1, sparse: false, schema: 0, body, refused: Vec::new() }
}

fn ack() -> Message<'static> {
    Message::Ack(Ack { window: None })
}

fn encoded(session: u32, seq: u32, message: &Message<'_>) -> Vec<u8> {
    let mut room = [0; 1_200];
    let len = message.encode(Head { session, seq, flags: 0 }, &mut room).unwrap();
    room[..len].to_vec()
}

/// The names of promises are what people look for.
#[test]
fn promises_have_names_of_their_own() {
    let all = [
        Promise::AckedIsDurable,
        Promise::StoredOnce,
        Promise::StoredAsMade,
        Promise::OrderByRow,
        Promise::Ledger,
        Promise::CommandOnce,
        Promise::Bounded,
        Promise::Amplification,
        Promise::Window,
        Promise::Datagram,
        Promise::Recovers,
        Promise::Liveness,
    ];
    let names: BTreeMap<&str, Promise> = all.iter().map(|one| (one.name(), *one)).collect();
    assert_eq!(names.len(), all.len());
}
