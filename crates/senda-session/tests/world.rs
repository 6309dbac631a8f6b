//! Device and collector together, in virtual time, over networks of every kind. Spec §2.1, §6, §7.

mod common;

use std::time::Duration;

use common::{Net, World, secs};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use senda_session::collector::{Config, Downlink, Outcome, Settings};
use senda_session::device::Transport::{self, Tcp, Udp};
use senda_wire::MessageType;

const BOTH: [Transport; 2] = [Udp, Tcp];
/// Time for some twenty HELLOs, which back off to 300 s: with one in five lost four fifths of them come to nothing.
const LONG: Duration = secs(7_200);

#[test]
fn a_good_network_delivers_in_a_few_round_trips() {
    for transport in BOTH {
        let mut world = World::new(1, Net::GOOD);
        let node = world.add(transport, |_| {});
        world.push(node, 100);
        world.finish(secs(2));
        assert_eq!(world.nodes[node].device.stats().resent_messages, 0);
    }
}

#[test]
fn twenty_percent_loss_each_way_loses_nothing() {
    for seed in 0..100 {
        let mut world = World::new(seed, Net::BAD);
        let node = world.add(Udp, |_| {});
        world.push(node, 200);
        world.finish(LONG);
    }
}

/// Spec §5.8: rows in which a channel is absent, among others in which none is.
#[test]
fn sparse_rows_among_full_ones_lose_nothing() {
    for seed in 0..60 {
        let mut world = World::new(seed, Net::BAD);
        world.sparse = true;
        for transport in BOTH {
            let node = world.add(transport, |config| config.batch.rows = 16);
            world.push(node, 100);
            world.nodes[node].device.flush();
        }
        world.finish(LONG);
    }
}

/// The simple profile: one message in flight. Spec §1, §8.2.
#[test]
fn one_message_at_a_time_is_enough() {
    for seed in 0..30 {
        let mut world = World::new(seed, Net::BAD);
        let node = world.add(Udp, |config| config.window_messages = 1);
        world.push(node, 50);
        world.finish(LONG);
    }
}

#[test]
fn sparse_acks_lose_nothing() {
    for seed in 0..30 {
        let mut world = World::new(seed, Net::BAD);
        for transport in BOTH {
            let node = world.add(transport, |config| {
                (config.ack_every, config.ack_delay) = (8, Duration::from_millis(700));
            });
            world.push(node, 100);
        }
        world.finish(LONG);
    }
}

/// Spec §7.1b, §6.3, case 14.
#[test]
fn a_collector_that_crashes_again_and_again_loses_nothing() {
    for seed in 0..40 {
        let mut world = World::new(seed, Net::BAD);
        let nodes = BOTH.map(|transport| world.add(transport, |_| {}));
        for _ in 0..10 {
            for node in nodes {
                world.push(node, 20);
            }
            world.run(Duration::from_millis(700));
            world.crash(Duration::from_millis(300));
        }
        world.finish(LONG);
    }
}

/// Spec §6.4, case 20.
#[test]
fn a_device_may_change_its_transport_at_any_moment() {
    for seed in 0..60 {
        let mut world = World::new(seed, Net::BAD);
        let node = world.add(Udp, |_| {});
        for turn in 0..8 {
            world.push(node, 15);
            world.run(Duration::from_millis(100 + 173 * turn));
            world.move_to(node, BOTH[usize::from(turn % 2 == 0)]);
        }
        world.finish(LONG);
    }
}

/// Spec §9.3, case 13.
#[test]
fn a_device_whose_address_changes_unseen_goes_on() {
    for seed in 0..40 {
        let mut world = World::new(seed, Net::BAD);
        let node = world.add(Udp, |_| {});
        for _ in 0..6 {
            world.push(node, 15);
            world.run(secs(2));
            world.rebind(node);
        }
        world.push(node, 1);
        world.finish(LONG);
    }
}

/// Spec §7.1d, case 21.
#[test]
fn a_disk_that_fails_half_of_the_time_loses_nothing() {
    for seed in 0..40 {
        let mut world = World::new(seed, Net::BAD);
        world.disk_fails = 0.5;
        for transport in BOTH {
            let node = world.add(transport, |_| {});
            world.push(node, 60);
        }
        world.finish(LONG);
    }
}

/// Spec §6.6.
#[test]
fn connections_that_break_lose_nothing() {
    for seed in 0..40 {
        let mut world = World::new(seed, Net::GOOD);
        let node = world.add(Tcp, |_| {});
        for _ in 0..10 {
            world.push(node, 20);
            world.run(Duration::from_millis(35));
            world.cut(node);
        }
        world.finish(LONG);
    }
}

/// Spec §8.1: a collector with little room, and many devices.
#[test]
fn a_tight_budget_and_a_small_window_hold_nobody_up_for_ever() {
    for seed in 0..30 {
        let config = Config { landing_bytes_max: 2_000, window_rows: 50, ..Config::default() };
        let mut world = World::with(seed, Net::BAD, config);
        for number in 0..6 {
            let node = world.add(BOTH[number % 2], |_| {});
            world.push(node, 100);
        }
        world.finish(LONG);
    }
}

/// Spec §6.6: who has nothing to say stays, by PING and PONG.
#[test]
fn an_idle_session_stays_open() {
    for transport in BOTH {
        let mut world = World::new(7, Net::GOOD);
        let node = world.add(transport, |_| {});
        world.push(node, 1);
        world.run(secs(3_600));
        assert_eq!(
            (world.nodes[node].device.stats().sessions, world.rig.engine.sessions()),
            (1, 1)
        );
    }
}

fn command(id: u32) -> Downlink {
    let body = [&id.to_be_bytes()[..], &[0, 0, 0, 0, 2, b'g', b'o', 0]].concat();
    Downlink { kind: MessageType::Command, id, body, ttl: Some(secs(3_600)) }
}

/// Spec §7.7: whatever is lost, repeated, crashes or moves.
#[test]
fn a_command_is_executed_at_most_once_and_done_means_that_it_was() {
    let mut done = 0;
    for seed in 0..60 {
        let mut world = World::new(seed, Net::BAD);
        let node =
            world.add(BOTH[usize::try_from(seed % 2).unwrap()], |config| config.downlink = 7);
        for id in 1..=8 {
            world.run(secs(10));
            world.order(node, command(id));
            match id {
                3 => world.move_to(node, Tcp),
                5 => world.crash(secs(1)),
                7 => world.move_to(node, Udp),
                _ => world.run(secs(20)),
            }
        }
        world.run(secs(3_600));
        let executed = &world.nodes[node].executed;
        assert!(executed.is_sorted_by(|a, b| a < b), "{executed:?}");
        for (id, outcome) in &world.outcomes {
            match outcome {
                Outcome::Done { .. } => {
                    assert!(executed.contains(id));
                    done += 1;
                }
                Outcome::NoTaker | Outcome::NotRecorded | Outcome::Expired => {
                    assert!(!executed.contains(id));
                }
                Outcome::Sent | Outcome::Unknown => {
                    assert!(world.rig.store.sent_commands.contains(id));
                }
            }
        }
    }
    assert!(done > 240, "{done} of 480");
}

/// Spec §7.7: in each session in which the device has another revision, until DONE.
#[test]
fn a_config_is_applied_whatever_the_network_does() {
    for seed in 0..40 {
        let mut world = World::new(seed, Net::BAD);
        world.rig.store.config.insert("gh-0".into(), Settings { revision: 9, list: vec![0] });
        let node =
            world.add(BOTH[usize::try_from(seed % 2).unwrap()], |config| config.downlink = 7);
        world.run(secs(2));
        world.crash(secs(1));
        world.push(node, 1);
        world.finish(LONG);
        world.run(secs(600));
        assert_eq!(world.nodes[node].device.config_rev(), 9);
    }
}

/// Everything at once, in an order that the seed decides.
#[test]
fn whatever_happens_everything_is_stored_exactly_once() {
    for seed in 0..150 {
        let mut dice = Pcg64Mcg::new(u128::from(seed) << 1 | 1);
        let mut world = World::new(seed, if seed % 3 == 0 { Net::GOOD } else { Net::BAD });
        world.disk_fails = 0.1;
        world.sparse = seed % 2 == 0;
        for number in 0..3 {
            world.add(BOTH[number % 2], |config| {
                config.ack_every = dice.random_range(1..10);
                config.ack_delay = Duration::from_millis(dice.random_range(0..500));
                config.window_messages = dice.random_range(1..65);
            });
        }
        for _ in 0..25 {
            let node = dice.random_range(0..3);
            match dice.random_range(0..10) {
                0..5 => world.push(node, dice.random_range(1..40)),
                5 => world.move_to(node, BOTH[dice.random_range(0..2)]),
                6 => world.rebind(node),
                7 => world.cut(node),
                8 => world.crash(Duration::from_millis(dice.random_range(0..5_000))),
                _ => world.run(secs(dice.random_range(0..100))),
            }
            world.run(Duration::from_millis(dice.random_range(0..1_000)));
        }
        world.net = Net::GOOD;
        world.finish(LONG);
    }
}
