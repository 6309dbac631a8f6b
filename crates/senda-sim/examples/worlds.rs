//! Runs worlds on every core, seed by seed, and says which promises break:
//! `worlds --seeds N [--from M] [--failures K]`.
//!
//! A line `seed K: what` on standard output for each world that fails, the first of them only unless `--failures` says how
//! many; progress on standard error. Exit code 1 if any failed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it says what it found")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use senda_sim::world::{Scenario, World};

/// Progress is shown after that many worlds.
const SHOWN_EVERY: u64 = 500;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut from, mut seeds, mut failures) = (1, 100, 1);
    while let Some(argument) = arguments.next() {
        let number = arguments.next().and_then(|number| number.parse::<u64>().ok());
        match (argument.as_str(), number) {
            ("--seeds", Some(number)) => seeds = number,
            ("--from", Some(number)) => from = number,
            ("--failures", Some(number)) => failures = number.max(1),
            _ => {
                eprintln!("usage: worlds --seeds N [--from M] [--failures K]");
                return ExitCode::from(2);
            }
        }
    }
    let failed = run(from, from.saturating_add(seeds), failures);
    for (seed, what) in &failed {
        println!("seed {seed}: {what}");
    }
    for (seed, _) in &failed {
        eprintln!("replay: cargo run -p senda -- simulate --virtual --seed {seed}");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The worlds that fail, by seed.
fn run(from: u64, end: u64, failures: u64) -> Vec<(u64, String)> {
    let (next, begun) = (AtomicU64::new(from), Instant::now());
    let failed: Mutex<Vec<(u64, String)>> = Mutex::default();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            if let Some(violation) = World::new(seed, Scenario::draw(seed)).run().violation {
                let mut failed = failed.lock().expect("no thread panics with it");
                failed.push((seed, violation.to_string()));
                if failed.len() as u64 >= failures {
                    next.store(end, Ordering::Relaxed);
                }
            }
            let done = seed + 1 - from;
            if done.is_multiple_of(SHOWN_EVERY) {
                let seconds = begun.elapsed().as_secs_f64();
                eprintln!("{done} of {} worlds, {seconds:.0} s", end - from);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    let mut failed = failed.into_inner().expect("every thread has ended");
    failed.sort_unstable();
    failed.truncate(usize::try_from(failures).unwrap_or(usize::MAX));
    failed
}
