//! A link does to packets what its conditions say, and the same again on the same seed.

use std::time::Duration;

use proptest::prelude::*;
use senda_session::Instant;
use senda_sim::faults::{Conditions, Delay, Fate, IN_FLIGHT_MAX, Link, LinkStats, Rate, Reorder};

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
        link.send_sized(Instant(1_000), 0, ());
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
        link.send_sized(Instant(0), 0, ());
    }
    assert_eq!((link.in_flight(), link.stats().overflowed), (IN_FLIGHT_MAX, 10));
}

#[test]
fn new_conditions_hold_from_the_next_packet_on() {
    let mut link = Link::new(conditions("0", "0", "0", "10ms"), 9);
    link.send_sized(Instant(0), 0, 'a');
    link.set_conditions(conditions("100%", "0", "0", "10ms"));
    link.send_sized(Instant(0), 0, 'b');
    assert_eq!((link.poll(Instant(10_000)), link.poll(Instant(1_000_000))), (Some('a'), None));
}

#[test]
fn a_rate_spaces_packets_by_their_length() {
    // 125 bytes are 1,000 bits: 2 ms at 500 kbit/s, of which 1 ms passes before the next one comes.
    let (arrived, stats) = run(with_rate("500kbit"), 10, 100);
    let expected = |number: u64| (number, number * 1_000, (number + 1) * 2_000);
    assert!(arrived.iter().copied().eq((0..100).map(expected)), "{arrived:?}");
    assert_eq!(stats.overflowed, 0);
}

#[test]
fn a_rate_above_what_comes_delays_by_the_packet_alone() {
    let (arrived, _) = run(with_rate("10Mbit"), 11, 100);
    assert!(arrived.iter().all(|(_, sent, at)| at - sent == 100), "{arrived:?}");
}

#[test]
fn what_would_wait_for_more_than_a_second_is_lost() {
    let conditions = with_rate("100kbit"); // 10 ms a packet.
    let mut link = Link::new(conditions, 12);
    let fates: Vec<Fate> = (0..200).map(|n| link.send_sized(Instant(0), LEN, n)).collect();
    // The packet that begins its turn after exactly one second is the last one.
    let arrives = |fate: &Fate| matches!(fate, Fate::Arrives { .. });
    assert!(fates[..101].iter().all(arrives), "{fates:?}");
    assert!(fates[101..].iter().all(|fate| *fate == Fate::Overflowed), "{fates:?}");
    assert_eq!(link.backlog(Instant(0)), Duration::from_millis(1_010));
    assert_eq!(link.backlog(Instant(1_010_000)), Duration::ZERO);
    assert!(arrives(&link.send_sized(Instant(10_000), LEN, 200)), "there is room again");
}

#[test]
fn a_full_queue_leaves_the_decisions_about_later_packets_alone() {
    let lost = |rate: Option<Rate>| -> Vec<bool> {
        let loss = "30%".parse().unwrap();
        let mut link = Link::new(Conditions { loss, rate, ..Conditions::default() }, 13);
        let crowd = (0..500).map(|n| link.send_sized(Instant(0), LEN, n)).count();
        assert_eq!(crowd, 500);
        let later = (0..500).map(|n| link.send_sized(Instant((n + 2) * 1_000_000), LEN, n));
        later.map(|fate| fate == Fate::Lost).collect()
    };
    assert_eq!(lost(None), lost("100kbit".parse().ok()));
}

#[test]
fn a_link_says_at_once_what_becomes_of_a_packet() {
    let mut link = Link::new(conditions("20%", "20%", "20%", "5ms±5ms"), 14);
    let mut said = Vec::new();
    for number in 0..1_000 {
        match link.send_sized(Instant(0), LEN, number) {
            Fate::Lost => {}
            Fate::Arrives { at, copy, .. } => {
                said.push((at, number));
                said.extend(copy.map(|at| (at, number)));
            }
            Fate::Overflowed => panic!("there is no rate, and room for {IN_FLIGHT_MAX}"),
        }
    }
    let mut done = Vec::new();
    while let Some(at) = link.next_wakeup() {
        done.push((at, link.poll(at).expect("it said that there is one")));
    }
    said.sort_unstable();
    done.sort_unstable();
    assert_eq!(said, done);
}

#[test]
fn bytes_have_the_length_that_they_have() {
    let mut link = Link::new(with_rate("8kbit"), 15);
    link.send(Instant(0), b"hello".to_vec());
    assert_eq!(link.next_wakeup(), Some(Instant(5_000)));
}

#[test]
fn a_seed_picks_a_delay() {
    let delay: Delay = "5s±3s".parse().unwrap();
    let picked: Vec<Duration> = (0..1_000).map(|seed| delay.pick(seed)).collect();
    assert!(picked.iter().all(|picked| (2..=8).contains(&picked.as_secs())));
    let early = picked.iter().filter(|picked| picked.as_secs() < 5).count();
    assert!((450..550).contains(&early), "{early}");
    assert_eq!(delay.pick(7), delay.pick(7));
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

/// Bytes of each packet.
const LEN: usize = 125;

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
        link.send_sized(now, LEN, (number, now.0));
        drain(&mut link, now);
    }
    drain(&mut link, Instant(u64::MAX));
    (arrived, link.stats())
}

fn with_rate(rate: &str) -> Conditions {
    Conditions { rate: rate.parse().ok(), ..Conditions::default() }
}

fn conditions(loss: &str, dup: &str, reorder: &str, delay: &str) -> Conditions {
    Conditions {
        loss: loss.parse().unwrap(),
        dup: dup.parse().unwrap(),
        reorder: reorder.parse().unwrap(),
        delay: delay.parse().unwrap(),
        rate: None,
    }
}

#[test]
fn conditions_do_nothing_unless_told_to() {
    let Conditions { loss, dup, reorder, delay, rate } = Conditions::default();
    assert_eq!(rate, None);
    assert_eq!((loss.get(), dup.get(), reorder.probability.get()), (0.0, 0.0, 0.0));
    assert_eq!(Some(delay), Delay::new(Duration::ZERO, Duration::ZERO));
    assert_eq!(reorder.by, Reorder::DEFAULT_BY);
}
