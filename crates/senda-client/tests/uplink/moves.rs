//! Between UDP and TCP in mid-stream. Spec §6.8.

use std::time::Duration;

use senda_client::Transport::{self, Tcp, Udp};
use senda_client::path::Why;
use senda_client::uplink::Event;

use crate::world::{GOOD, Net, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const NO_UDP: Net = Net { udp: false, ..GOOD };

fn moves(world: &World, node: usize) -> Vec<(Transport, Why)> {
    let moves = world.nodes[node].events.iter().filter_map(|(_, event)| match event {
        Event::Moved { to, why } => Some((*to, *why)),
        _ => None,
    });
    moves.collect()
}

#[test]
fn a_good_network_is_used_over_udp_alone() {
    let mut world = World::new(1, GOOD);
    let node = world.add(None, |_| {});
    world.make(SECOND / 10, 10 * MINUTE);
    world.finish(MINUTE);
    assert_eq!(moves(&world, node), []);
    assert_eq!(world.nodes[node].sockets_most, 1);
}

#[test]
fn where_udp_is_blocked_from_the_first_the_stream_goes_over_tcp() {
    for seed in 0..8 {
        let mut world = World::new(seed, NO_UDP);
        let node = world.add(None, |_| {});
        world.make(SECOND, MINUTE);
        assert_eq!(moves(&world, node), [(Tcp, Why::Blocked)]);
        let first = world.nodes[node].acks[0].since(crate::common::Rig::new().now.instant);
        assert!(first <= 9 * SECOND, "{first:?}");
        world.finish(MINUTE);
    }
}

#[test]
fn where_tcp_is_blocked_udp_is_enough_and_where_both_are_they_come_back() {
    for seed in 0..8 {
        let mut world = World::new(seed, Net { tcp: false, ..GOOD });
        let node = world.add(None, |_| {});
        world.make(SECOND, MINUTE);
        assert_eq!(moves(&world, node), []);
        world.set_net(Net { udp: false, tcp: false, ..GOOD });
        world.make(SECOND, 20 * MINUTE);
        world.set_net(GOOD);
        world.run(6 * MINUTE); // Waits are at most 300 s, times 1.25.
        world.finish(2 * MINUTE);
    }
}

/// The flips of the network do not become flips of the device.
#[test]
fn udp_that_goes_and_comes_every_five_seconds_loses_nothing_and_is_left() {
    let mut longest = Duration::ZERO;
    for seed in 0..8 {
        let mut world = World::new(seed, GOOD);
        let node = world.add(None, |_| {});
        for beat in 0..120 {
            world.set_net(if beat % 2 == 0 { GOOD } else { NO_UDP });
            world.make(SECOND / 10, 5 * SECOND);
        }
        world.set_net(GOOD);
        world.finish(5 * MINUTE);
        assert_eq!(world.nodes[node].made, 6_000);
        let moved = moves(&world, node);
        assert!(moved.len() <= 7, "{moved:?}");
        longest = longest.max(world.longest_gap(node));
    }
    println!("the longest gap between two ACKs: {longest:?}");
    assert!(longest <= 10 * SECOND, "{longest:?}");
}

/// The device itself goes to and fro.
#[test]
fn moving_every_five_seconds_under_load_stores_each_row_once_in_order() {
    let mut longest = Duration::ZERO;
    for seed in 0..4 {
        let mut world = World::new(seed, Net { loss: 0.02, ..GOOD });
        let node = world.add(None, |_| {});
        for beat in 0..120 {
            world.make(SECOND / 20, 5 * SECOND);
            let to = if beat % 2 == 0 { Tcp } else { Udp };
            world.with(node, |uplink, now| uplink.move_to(now, to));
        }
        world.finish(5 * MINUTE);
        assert_eq!(world.nodes[node].streams.len(), 1, "one stream over two transports");
        assert!(moves(&world, node).len() >= 119);
        assert!(world.nodes[node].sockets_most <= 2);
        longest = longest.max(world.longest_gap(node));
    }
    println!("the longest gap between two ACKs: {longest:?}");
    assert!(longest <= 5 * SECOND, "{longest:?}");
}

#[test]
fn udp_that_loses_too_much_is_left_and_taken_again_when_it_is_better() {
    for seed in 0..10 {
        let mut world = World::new(seed, Net { loss: 0.35, ..GOOD });
        let node = world.add(None, |_| {});
        world.make(SECOND / 10, 5 * MINUTE);
        assert_eq!(moves(&world, node).first().map(|(to, _)| *to), Some(Tcp), "{seed}");
        let before = moves(&world, node).len();
        world.set_net(GOOD);
        world.make(SECOND, 60 * MINUTE);
        assert_eq!(moves(&world, node)[before..].last(), Some(&(Udp, Why::Works)));
        world.finish(MINUTE);
    }
}

#[test]
fn udp_that_loses_too_much_is_kept_where_there_is_no_tcp() {
    for seed in 0..5 {
        let mut world = World::new(seed, Net { loss: 0.35, tcp: false, ..GOOD });
        let node = world.add(None, |_| {});
        for _ in 0..600 {
            world.make(SECOND / 5, SECOND);
            assert_eq!(world.uplink(node).transport(), Udp);
        }
        world.set_net(GOOD);
        world.finish(5 * MINUTE);
    }
}

/// HELLO passes and data does not: probes are as long as data, so nothing flaps.
#[test]
fn a_path_that_eats_long_datagrams_is_left_once() {
    for seed in 0..10 {
        let mut world = World::new(seed, Net { mtu: 600, ..GOOD });
        let node = world.add(None, |settings| {
            settings.device.batch = senda_client::Batch { rows: 200, delay: SECOND };
        });
        for _ in 0..60 {
            world.push(node, 200);
            world.run(MINUTE);
        }
        assert_eq!(moves(&world, node), [(Tcp, Why::Blocked)], "{seed}");
        world.finish(MINUTE);
    }
}

#[test]
fn a_collector_whose_disk_stands_still_is_not_left() {
    let mut world = World::new(3, GOOD);
    let node = world.add(None, |_| {});
    world.make(SECOND / 10, 10 * SECOND);
    world.commit = (20 * SECOND, 20 * SECOND);
    world.make(SECOND / 10, MINUTE);
    world.commit = (SECOND / 100, SECOND / 100);
    world.finish(5 * MINUTE);
    assert_eq!(moves(&world, node), []);
}
