//! A link does to packets what its conditions say, and the same again on the same seed.

use std::time::Duration;

use proptest::prelude::*;
use senda_session::Instant;
use senda_sim::faults::{Conditions, Delay, IN_FLIGHT_MAX, Link, LinkStats, Reorder};

#[test]
fn a_perfect_link_delivers_everything_at_once_and_in_order() {
    let (arrived, stats) = run(Conditions::default(), 1, 1_000);
    assert!(arrived.iter().map(|(number, _, _)| *number).eq(0..1_000));
    assert!(arrived.iter().all(|(_, sent, at)| sent == at));
    assert_eq!(stats, LinkStats { sent: 1_000, delivered: 1_000, ..LinkStats::default() });
}

#[test]
fn loss_and_duplication_have_their_shares() {
    let conditions = conditions("20%", "5%", "0", "10ms");
    let (arrived, stats) = run(conditions, 2, 100_000);
    assert!((19_500..20_500).contains(&stats.lost), "{stats:?}");
    assert!((3_800..4_200).contains(&stats.duplicated), "5 % of what is not lost: {stats:?}");
    assert_eq!(stats.delivered, 100_000 - stats.lost + stats.duplicated);
    assert_eq!(arrived.len() as u64, stats.delivered);
    let mut numbers: Vec<u64> = arrived.iter().map(|(number, _, _)| *number).collect();
    numbers.dedup();
    assert_eq!(numbers.len() as u64, 100_000 - stats.lost, "no packet arrives three times");
}

#[test]
fn certain_loss_loses_everything_and_certain_duplication_doubles_it() {
    assert_eq!(run(conditions("100%", "0", "0", "1ms"), 3, 1_000).0, []);
    assert_eq!(run(conditions("0", "100%", "0", "1ms"), 3, 1_000).0.len(), 2_000);
}

#[test]
fn losses_are_independent_of_each_other() {
    let (arrived, _) = run(conditions("20%", "0", "0", "0s"), 4, 100_000);
    let twice = arrived.windows(2).filter(|pair| pair[1].0 - pair[0].0 == 3).count();
    let expected = 100_000.0 * 0.8 * 0.8 * 0.2 * 0.2; // Exactly two in a row.
    assert!((twice as f64 / expected - 1.0).abs() < 0.05, "{twice} of {expected}");
}

#[test]
fn delays_fill_their_range_evenly() {
    let conditions = Conditions { delay: "50ms±20ms".parse().unwrap(), ..Conditions::default() };
    let mut delays = Vec::new();
    for seed in 0..20_000 {
        let mut link = Link::new(conditions, seed);
        link.send(Instant(1_000), ());
        delays.push(link.next_wakeup().unwrap().0 - 1_000);
    }
    assert!(delays.iter().all(|delay| (30_000..=70_000).contains(delay)));
    for slot in 0..4 {
        let low = 30_000 + slot * 10_000;
        let count = delays.iter().filter(|delay| (low..low + 10_000).contains(*delay)).count();
        assert!((4_800..5_200).contains(&count), "{count} within {low} µs and 10 ms more");
    }
}

#[test]
fn jitter_alone_does_not_reorder() {
    let (arrived, _) = run(conditions("0", "0", "0", "50ms±50ms"), 5, 10_000);
    assert!(arrived.is_sorted_by_key(|(number, _, _)| *number));
}

#[test]
fn reordering_holds_its_share_of_packets_back_for_its_time() {
    let (arrived, stats) = run(conditions("0", "0", "10%+30ms", "5ms"), 6, 50_000);
    assert!((4_700..5_300).contains(&stats.reordered), "{stats:?}");
    let late = arrived.iter().filter(|(_, sent, at)| at - sent == 35_000).count() as u64;
    let prompt = arrived.iter().filter(|(_, sent, at)| at - sent == 5_000).count() as u64;
    assert_eq!((late, prompt), (stats.reordered, 50_000 - stats.reordered));
    assert!(!arrived.is_sorted_by_key(|(number, _, _)| *number));
}

#[test]
fn more_loss_loses_the_same_packets_and_more() {
    let numbers = |loss| -> Vec<u64> {
        let (arrived, _) = run(conditions(loss, "0", "0", "1ms"), 7, 5_000);
        arrived.into_iter().map(|(number, _, _)| number).collect()
    };
    let (few_lost, many_lost) = (numbers("10%"), numbers("30%"));
    assert!(many_lost.len() < few_lost.len());
    assert!(many_lost.iter().all(|number| few_lost.contains(number)));
}

#[test]
fn a_link_that_nobody_polls_keeps_a_bounded_number_of_packets() {
    let mut link = Link::new(conditions("0", "0", "0", "1s"), 8);
    for _ in 0..IN_FLIGHT_MAX + 10 {
        link.send(Instant(0), ());
    }
    assert_eq!((link.in_flight(), link.stats().overflowed), (IN_FLIGHT_MAX, 10));
}

#[test]
fn new_conditions_hold_from_the_next_packet_on() {
    let mut link = Link::new(conditions("0", "0", "0", "10ms"), 9);
    link.send(Instant(0), 'a');
    link.set_conditions(conditions("100%", "0", "0", "10ms"));
    link.send(Instant(0), 'b');
    assert_eq!((link.poll(Instant(10_000)), link.poll(Instant(1_000_000))), (Some('a'), None));
}

proptest! {
    #[test]
    fn the_same_seed_gives_the_same_trace_and_nothing_is_made_up(
        loss in 0..=100u32, dup in 0..=100u32, reorder in 0..=100u32,
        (mean, jitter) in (0..100u64, 0..100u64), seed: u64,
    ) {
        let delay = format!("{mean}ms±{}ms", jitter.min(mean));
        let percent = |share| format!("{share}%");
        let conditions = conditions(&percent(loss), &percent(dup), &percent(reorder), &delay);
        let (arrived, stats) = run(conditions, seed, 200);
        prop_assert_eq!(&run(conditions, seed, 200), &(arrived.clone(), stats));
        prop_assert_eq!(stats.sent - stats.lost + stats.duplicated, stats.delivered);
        prop_assert!(arrived.iter().all(|(number, sent, at)| *number < 200 && sent <= at));
        prop_assert!(arrived.is_sorted_by_key(|(_, _, at)| *at));
    }
}

#[test]
fn different_seeds_give_different_traces() {
    let conditions = conditions("20%", "5%", "10%", "50ms±20ms");
    assert_ne!(run(conditions, 1, 100), run(conditions, 2, 100));
}

/// A packet's number, when it was sent and when it arrived, µs.
type Arrival = (u64, u64, u64);

/// Sends a packet a millisecond and takes each off the link when it wants to be.
fn run(conditions: Conditions, seed: u64, count: u64) -> (Vec<Arrival>, LinkStats) {
    let mut link = Link::new(conditions, seed);
    let mut arrived = Vec::new();
    let mut drain = |link: &mut Link<(u64, u64)>, until: Instant| {
        while let Some(now) = link.next_wakeup().filter(|at| *at <= until) {
            let (number, sent) = link.poll(now).expect("it said that there is one");
            arrived.push((number, sent, now.0));
        }
    };
    for number in 0..count {
        let now = Instant(number * 1_000);
        link.send(now, (number, now.0));
        drain(&mut link, now);
    }
    drain(&mut link, Instant(u64::MAX));
    (arrived, link.stats())
}

fn conditions(loss: &str, dup: &str, reorder: &str, delay: &str) -> Conditions {
    Conditions {
        loss: loss.parse().unwrap(),
        dup: dup.parse().unwrap(),
        reorder: reorder.parse().unwrap(),
        delay: delay.parse().unwrap(),
    }
}

#[test]
fn conditions_do_nothing_unless_told_to() {
    let Conditions { loss, dup, reorder, delay } = Conditions::default();
    assert_eq!((loss.get(), dup.get(), reorder.probability.get()), (0.0, 0.0, 0.0));
    assert_eq!(Some(delay), Delay::new(Duration::ZERO, Duration::ZERO));
    assert_eq!(reorder.by, Reorder::DEFAULT_BY);
}
