//! Times the store: landing by size of commit, filing, landing beside filing and a reader, and one device's hour among
//! many samples. Run it with `cargo run --release -p senda-store --example bench_store [SAMPLES] [DIR]`.
//!
//! A message carries 8 rows of 4 scaled integers. Figures of different runs do not compare; ratios within one run do.
#![allow(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use senda_store::{Landing, Options, Outcome, Query, Reader, What, Writer};
use senda_wire::{ChannelSpec, Identifier, Schema, ValueType};

const T0: i64 = 1_700_000_000_000_000;
const SECOND: i64 = 1_000_000;
const ROWS: u32 = 8;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let samples: u32 =
        arguments.next().map_or(10_000_000, |text| text.parse().expect("a number of samples"));
    let home = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let home = home.join(format!("senda-bench-{}", std::process::id()));
    landing_by_commit_size(&home.join("commit"));
    filing_rate(&home.join("filing"));
    landing_beside_filing_and_readers(&home);
    one_hour_among_many(&home.join("query"), samples);
    std::fs::remove_dir_all(&home).expect("removing our own directory");
}

fn landing_by_commit_size(dir: &Path) {
    println!("landing, 50 streams, {ROWS} rows a message");
    for size in [1u32, 10, 100, 1_000] {
        let mut fleet = Fleet::open(&dir.join(size.to_string()), 50, Options::default());
        let messages = (size * 200).clamp(2_000, 100_000);
        let mut busy = Duration::ZERO;
        for _ in 0..messages / size {
            let batch = fleet.batch(size);
            let start = Instant::now();
            fleet.land(&batch);
            busy += start.elapsed();
        }
        let each = busy.as_secs_f64() * 1e6 / f64::from(messages);
        println!(
            "  {size:>5} messages a commit: {each:8.2} us a message, {:8.1} us a commit",
            each * f64::from(size)
        );
    }
}

fn filing_rate(dir: &Path) {
    for streams in [50, 5_000] {
        let mut fleet = Fleet::open(&dir.join(streams.to_string()), streams, Options::default());
        for _ in 0..125 {
            let batch = fleet.batch(1_000);
            fleet.land(&batch);
        }
        let mut slices = Vec::new();
        let mut rows = 0;
        let start = Instant::now();
        loop {
            let slice = Instant::now();
            let filing = fleet.writer.file(i64::MAX, SLICE).expect("filing");
            slices.push(slice.elapsed());
            rows += filing.rows;
            if filing.due.is_none() {
                break;
            }
        }
        let rate = rows as f64 / start.elapsed().as_secs_f64();
        println!(
            "filing, {streams} streams: {rate:9.0} rows/s, {:.2} us a row; calls {}",
            1e6 / rate,
            percentiles(&mut slices)
        );
    }
}

/// Every millisecond a batch of what a busy collector gets then; the time from the batch's turn to its verdicts counts,
/// the wait for a slice of filing included.
fn landing_beside_filing_and_readers(home: &Path) {
    println!("landing 20 messages every ms (20,000/s), from the moment that they are there");
    for (name, files, reads) in
        [("alone", false, false), ("filing", true, false), ("filing and a reader", true, true)]
    {
        let dir = home.join(name.replace(' ', "-"));
        let mut fleet = Fleet::open(&dir, 500, Options::default());
        let stop = Arc::new(AtomicBool::new(false));
        let reader = reads.then(|| read_all_the_time(dir.clone(), Arc::clone(&stop)));
        let (poke, pokes) = std::sync::mpsc::sync_channel::<()>(1);
        let mut checkpointer = fleet.writer.checkpointer().expect("a checkpointer");
        let thread = std::thread::spawn(move || {
            while pokes.recv().is_ok() {
                checkpointer.run().expect("a checkpoint");
            }
        });
        let mut waits = Vec::new();
        let start = Instant::now();
        for turn in 1..10_000u32 {
            let due = start + Duration::from_millis(1) * turn;
            loop {
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                // As a collector does it: filing in what is left, if that is enough for a slice.
                let mut is_due = false;
                if files {
                    let filing = fleet.writer.file(fleet.now, SLICE / 4).expect("filing");
                    is_due = filing.due.is_some_and(|due| due <= fleet.now);
                    if filing.checkpoint_due {
                        let _ = poke.try_send(());
                    }
                }
                if !is_due {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            }
            let batch = fleet.batch(20);
            fleet.land(&batch);
            waits.push(due.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        drop(poke);
        thread.join().expect("the checkpointer");
        let queries = reader.map(|thread| thread.join().expect("a reader"));
        let state = fleet.writer.inbox();
        println!(
            "  {name:<20} {}  inbox {} KiB, log {} KiB{}",
            percentiles(&mut waits),
            state.bytes / 1_024,
            state.wal_bytes / 1_024,
            queries.map_or_else(String::new, |count| format!(", {count} queries"))
        );
    }
}

fn read_all_the_time(dir: PathBuf, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<u32> {
    std::thread::spawn(move || {
        let reader = Reader::open(&dir).expect("a reader");
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            reader
                .sql("SELECT device, avg(temperature) FROM greenhouse GROUP BY device", 1_000)
                .ok();
            count += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        count
    })
}

fn one_hour_among_many(dir: &Path, samples: u32) {
    let devices = 100;
    let mut fleet =
        Fleet::open(dir, devices, Options { inbox_bytes_max: u64::MAX, ..Options::default() });
    let start = Instant::now();
    for _ in 0..samples / ROWS / 1_000 {
        let batch = fleet.batch(1_000);
        fleet.land(&batch);
        if fleet.writer.inbox().bytes > 8 << 20 {
            fleet.writer.file_all(fleet.now).expect("filing");
        }
    }
    fleet.writer.file_all(fleet.now).expect("filing");
    let seconds = start.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(dir.join("senda.db")).expect("the database").len();
    println!(
        "{samples} samples of {devices} devices: landed and filed in {seconds:.1} s, {:.1} B a sample of 4 values",
        bytes as f64 / f64::from(samples)
    );
    let reader = Reader::open(dir).expect("a reader");
    let (since, until) = (T0 + 20_000 * SECOND, T0 + 23_600 * SECOND);
    let sql = format!(
        "SELECT time, temperature FROM greenhouse WHERE device = 'device-7' AND time >= {since} AND time < {until}"
    );
    let mut times = Vec::new();
    let mut rows = 0;
    for _ in 0..50 {
        let start = Instant::now();
        rows = reader.sql(&sql, 100_000).expect("SQL").rows.len();
        times.push(start.elapsed());
    }
    println!("  one device, one hour, in SQL: {rows} rows, {}", percentiles(&mut times));
    let query = Query {
        device: Some("device-7".into()),
        since: Some(since),
        until: Some(until),
        limit: 100_000,
        ..Query::default()
    };
    times.clear();
    for _ in 0..50 {
        let start = Instant::now();
        rows = reader.query(&query).expect("a query").len();
        times.push(start.elapsed());
    }
    println!(
        "  the same by query(), landed rows included: {rows} rows, {}",
        percentiles(&mut times)
    );
}

/// Streams that send in turn.
struct Fleet {
    writer: Writer,
    devices: Vec<Arc<str>>,
    next: Vec<u32>,
    turn: usize,
    now: i64,
}

impl Fleet {
    fn open(dir: &Path, streams: u32, options: Options) -> Self {
        let mut writer = Writer::open(dir, options, T0).expect("a store");
        let devices: Vec<Arc<str>> =
            (0..streams).map(|number| format!("device-{number}").into()).collect();
        let declare = |device: &Arc<str>| Landing {
            device: Arc::clone(device),
            stream: 1,
            received: T0,
            what: What::Declare { id: 0, description: description() },
        };
        let batch: Vec<Landing> = devices.iter().map(declare).collect();
        assert!(writer.land(&batch, T0).iter().all(|verdict| verdict.outcome == Outcome::Stored));
        Self { writer, next: vec![0; devices.len()], devices, turn: 0, now: T0 }
    }

    fn batch(&mut self, size: u32) -> Vec<Landing> {
        (0..size).map(|_| self.message()).collect()
    }

    /// The next 8 rows of the next device, one second apart.
    fn message(&mut self) -> Landing {
        let number = self.turn % self.devices.len();
        self.turn += 1;
        let first = self.next[number];
        self.next[number] += ROWS;
        let t0 = T0 + i64::from(first) * SECOND;
        let mut body = vec![0, 0, 0xC0, 8];
        body.extend(t0.to_be_bytes());
        for row in 0..ROWS {
            body.extend((row * 1_000_000).to_be_bytes());
            for channel in 0..4u32 {
                let value = (first + row).wrapping_mul(2_654_435_761).rotate_left(channel * 8);
                body.extend(i16::try_from(value % 5_000).expect("below 5,000").to_be_bytes());
            }
        }
        // Real time passes for the waiting of the inbox; a batch a millisecond.
        self.now = T0 + 40_000 * SECOND + i64::try_from(self.turn).expect("a count") * 50;
        let what =
            What::Rows { first, count: 8, sparse: false, schema: 0, body, refused: Vec::new() };
        Landing { device: Arc::clone(&self.devices[number]), stream: 1, received: self.now, what }
    }

    fn land(&mut self, batch: &[Landing]) {
        let verdicts = self.writer.land(batch, self.now);
        assert!(verdicts.iter().all(|verdict| verdict.outcome == Outcome::Stored));
    }
}

fn description() -> Vec<u8> {
    let name = |text| Identifier::new(text).expect("the grammar of names");
    let channel =
        |text| ChannelSpec { exponent: -2, ..ChannelSpec::new(name(text), ValueType::I16) };
    let mut buffer = [0; 512];
    let channels = ["temperature", "humidity", "pressure", "light"].map(channel);
    Schema::encode(name("greenhouse"), &channels, &mut buffer).expect("a schema").to_vec()
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    format!("p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms", at(50), at(99), at(100))
}

/// Rows in a slice of filing.
const SLICE: usize = 1_000;
