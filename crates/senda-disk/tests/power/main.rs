//! The real store under power cuts and failing disks: what was acknowledged is there, once, and nothing else is.
//!
//! A failure prints its history, step and cut; the same numbers give the same failure.

mod collector;
mod devices;

use collector::{Collector, Judgement, Setup, judge, judge_all};
use devices::{Act, NOW, Rows, history, rows_of};
use senda_disk::{Disk, Fault, OperationKind};
use senda_store::{FaultHook, Weakness};

/// Power cuts for each step.
const CUTS: u64 = 3;
/// Blocks of rows of each stream in a history: some 300 steps of the disk.
const BLOCKS: u32 = 3;

#[test]
fn a_power_cut_at_any_step_loses_nothing_acknowledged_and_stores_nothing_twice() {
    let (history, setup) = (history(1, BLOCKS), Setup::default());
    for step in 0..steps_of(&history, &setup) {
        cut_at(&history, &setup, step, CUTS).unwrap_or_else(|why| panic!("history 1, {why}"));
    }
}

#[test]
fn so_it_is_with_a_checkpointer_beside_the_writer() {
    let (history, setup) =
        (history(2, BLOCKS), Setup { has_checkpointer: true, ..Setup::default() });
    for step in 0..steps_of(&history, &setup) {
        cut_at(&history, &setup, step, CUTS).unwrap_or_else(|why| panic!("history 2, {why}"));
    }
}

#[test]
fn a_second_cut_at_any_step_of_the_recovery_loses_nothing_either() {
    let (history, setup) = (history(3, BLOCKS), Setup::default());
    for step in (0..steps_of(&history, &setup)).step_by(17) {
        let disk = Disk::new(1);
        disk.crash_at_step(Some(step));
        let (acked, offered) = run(&disk, &history, &setup);
        disk.crash(step);
        let whole = disk.fork();
        drop(Collector::open(&whole, &setup, NOW));
        for second in 0..whole.steps() {
            let left = disk.fork();
            left.crash_at_step(Some(second));
            drop(Collector::open(&left, &setup, NOW));
            left.crash(second);
            judge(&left, &acked, &offered)
                .unwrap_or_else(|why| panic!("history 3, step {step}, second {second}: {why}"));
        }
    }
}

#[test]
fn the_death_of_the_process_at_any_step_loses_nothing_acknowledged() {
    let (history, setup) =
        (history(6, BLOCKS), Setup { has_checkpointer: true, ..Setup::default() });
    for step in (0..steps_of(&history, &setup)).step_by(3) {
        let disk = Disk::new(1);
        disk.crash_at_step(Some(step));
        let (acked, offered) = run(&disk, &history, &setup);
        disk.kill();
        judge(&disk, &acked, &offered)
            .unwrap_or_else(|why| panic!("history 6, step {step}: {why}"));
    }
}

#[test]
fn a_sync_that_fails_acknowledges_nothing_that_a_later_cut_takes() {
    for seed in [4, 5] {
        let setup = Setup { has_checkpointer: seed == 5, ..Setup::default() };
        let found = fail_each_sync(seed, &setup, false);
        found.unwrap_or_else(|why| panic!("history {seed}, {why}"));
    }
}

#[test]
fn nor_does_a_failed_sync_that_takes_from_the_cache_what_it_did_not_write() {
    for seed in [8, 9] {
        let setup = Setup { has_checkpointer: seed == 9, ..Setup::default() };
        let found = fail_each_sync(seed, &setup, true);
        found.unwrap_or_else(|why| panic!("history {seed}, {why}"));
    }
}

#[test]
fn a_checkpointers_failed_sync_does_not_take_what_filing_left_to_the_next_landing() {
    let setup = Setup { has_checkpointer: true, ..Setup::default() };
    let history = history(10, BLOCKS);
    for cut in 0..60 {
        let at = usize::try_from(cut).expect("small") % (history.len() / 2) + 1;
        let (before, after) = history.split_at(at);
        let landing = after.iter().find(|act| matches!(act, Act::Land(_))).expect("some land");
        let disk = Disk::new(1);
        let mut collector = Collector::open(&disk, &setup, NOW).expect("a good disk");
        before.iter().for_each(|act| collector.play(act));
        (0..6).for_each(|_| collector.play(&Act::File(3)));
        disk.fail_syncs(1);
        collector.play(&Act::Checkpoint);
        collector.play(landing);
        disk.crash(cut);
        judge_all(&disk, &collector.acked, &rows_of(&history), &history)
            .unwrap_or_else(|why| panic!("history 10, act {at}, cut {cut}: {why}"));
    }
}

#[test]
fn after_a_failed_sync_the_store_goes_on_by_itself_and_everything_lands() {
    let (history, setup) =
        (history(5, BLOCKS), Setup { has_checkpointer: true, ..Setup::default() });
    let mut failures = 0;
    for step in syncs_of(&history, &setup) {
        let disk = Disk::new(1);
        fail_at(&disk, step);
        let mut collector = Collector::open(&disk, &setup, NOW).expect("a good disk");
        history.iter().for_each(|act| collector.play(act));
        finish(&mut collector);
        assert_eq!(collector.acked, rows_of(&history), "sync {step}");
        failures += collector.failures;
        disk.crash(step);
        judge_all(&disk, &collector.acked, &rows_of(&history), &history)
            .unwrap_or_else(|why| panic!("history 5, sync {step} failed: {why}"));
    }
    assert!(failures > 20, "{failures} messages were told that they failed");
}

#[test]
fn a_full_disk_loses_nothing_and_the_store_goes_on_once_there_is_room() {
    let (history, setup) = (history(7, BLOCKS), Setup::default());
    let mut failures = 0;
    for pages in 0..50 {
        let disk = Disk::new(1);
        let mut collector = Collector::open(&disk, &setup, NOW).expect("a good disk");
        disk.set_capacity(Some(disk.used() + pages * 4_096));
        let mut full_for = 0;
        for act in &history {
            collector.play(act);
            full_for += usize::from(collector.failures > 0);
            if full_for == 8 {
                disk.set_capacity(None);
            }
        }
        disk.set_capacity(None);
        finish(&mut collector);
        assert_eq!(collector.acked, rows_of(&history), "{pages} pages");
        failures += collector.failures;
        disk.crash(pages);
        judge_all(&disk, &collector.acked, &rows_of(&history), &history)
            .unwrap_or_else(|why| panic!("history 7, {pages} pages: {why}"));
    }
    assert!(failures > 100, "{failures} messages were told that the disk is full");
}

#[test]
fn a_store_that_does_not_sync_is_found_out_within_100_cuts() {
    let (history, setup) = (history(1, BLOCKS), weak(Weakness::NoSync));
    let found = (0..100).find_map(|step| cut_at(&history, &setup, step * 3, 1).err());
    let found = found.expect("none of 100 cuts found it");
    assert!(found.contains("acknowledged and lost"), "{found}");
}

#[test]
fn a_store_that_only_reopens_after_a_failed_sync_is_found_out() {
    let found = fail_each_sync(4, &weak(Weakness::NoRecovery), false);
    let found = found.expect_err("no cut after a failed sync found it");
    assert!(found.contains("acknowledged and lost"), "{found}");
}

#[test]
fn a_store_that_checkpoints_after_a_failed_sync_without_writing_the_log_again_is_found_out() {
    let found = fail_each_sync(4, &weak(Weakness::NoRewrite), false);
    let found = found.expect_err("no cut after a failed sync found it");
    assert!(found.contains("damaged") || found.contains("lost"), "{found}");
}

fn weak(weakness: Weakness) -> Setup {
    Setup { fault: FaultHook::with_weakness(weakness), ..Setup::default() }
}

/// Devices send until everything is answered.
fn finish(collector: &mut Collector) {
    for _ in 0..5 {
        collector.play(&Act::Land(Vec::new()));
    }
    assert!(!collector.is_behind(), "{:?}", collector.writer.failure());
}

fn steps_of(history: &[Act], setup: &Setup) -> u64 {
    let disk = Disk::new(1);
    let mut collector = Collector::open(&disk, setup, NOW).expect("a good disk");
    for act in history {
        collector.play(act);
    }
    assert_eq!((collector.failures, &collector.acked), (0, &rows_of(history)));
    disk.steps()
}

/// Runs until the power goes at `step`, and judges what several cuts leave.
fn cut_at(history: &[Act], setup: &Setup, step: u64, cuts: u64) -> Judgement {
    let disk = Disk::new(1);
    disk.crash_at_step(Some(step));
    let (acked, offered) = run(&disk, history, setup);
    for cut in 0..cuts {
        let left = disk.fork();
        left.crash(step * cuts + cut);
        let judged = match cut {
            0 => judge_all(&left, &acked, &offered, history),
            _ => judge(&left, &acked, &offered),
        };
        judged.map_err(|why| format!("step {step}, cut {cut}: {why}"))?;
    }
    Ok(())
}

/// What was acknowledged and what was sent until the power went.
fn run(disk: &Disk, history: &[Act], setup: &Setup) -> (Rows, Rows) {
    let Ok(mut collector) = Collector::open(disk, setup, NOW) else { return Default::default() };
    let played = history.iter().take_while(|act| {
        collector.play(act);
        !disk.has_crashed()
    });
    let played = played.count();
    let sent = rows_of(&history[..history.len().min(played + 1)]);
    (collector.acked, sent)
}

/// For each sync of a history: it fails, the store goes on, and the power goes some steps later.
fn fail_each_sync(seed: u64, setup: &Setup, evicts: bool) -> Judgement {
    let history = history(seed, BLOCKS);
    for step in syncs_of(&history, setup) {
        for later in [1, 2, 3, 5, 8, 13, 21, 34, 55] {
            let disk = Disk::new(1);
            fail_at(&disk, step);
            disk.set_evicting(evicts);
            disk.crash_at_step(Some(step + later));
            let (acked, offered) = run(&disk, &history, setup);
            disk.clear_plan();
            disk.crash(step + later);
            judge(&disk, &acked, &offered)
                .map_err(|why| format!("sync {step} failed, {later} later: {why}"))?;
        }
    }
    Ok(())
}

/// Makes one step fail.
fn fail_at(disk: &Disk, step: u64) {
    disk.set_plan(move |operation| {
        let is_it = operation.step == step && operation.kind != OperationKind::Read;
        is_it.then_some(Fault::Io)
    });
}

/// The steps of a history that are syncs, after the store was made.
fn syncs_of(history: &[Act], setup: &Setup) -> Vec<u64> {
    let disk = Disk::new(1);
    let mut collector = Collector::open(&disk, setup, NOW).expect("a good disk");
    disk.set_trace(true);
    for act in history {
        collector.play(act);
    }
    let syncs = disk.trace().into_iter().filter(|operation| operation.kind == OperationKind::Sync);
    syncs.map(|operation| operation.step).collect()
}
