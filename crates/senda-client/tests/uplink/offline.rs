//! Rows that outlive silence, reboots and the memory: live first, history beside it. Spec §6.5.

use std::time::Duration;

use senda_client::spool::{Options, SPOOL_BYTES_MIN, Sync};
use senda_client::uplink::{Event, History, RowId, Settings, Uplink};
use senda_client::{Clock, DropPolicy, PushError, QueueLimits, SkipCause};

use crate::common::Script;
use crate::world::{GOOD, Net, World, p99};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DEAD: Net = Net { udp: false, tcp: false, ..GOOD };

/// Large enough for everything that a test makes.
fn roomy() -> Options {
    Options { sync: Sync::Never, ..Options::new(256 << 20) }
}

fn small_memory(settings: &mut Settings) {
    settings.device.queue =
        QueueLimits { rows: 2_000, bytes: 1 << 20, policy: DropPolicy::DropOldest };
    settings.history.jitter = SECOND;
}

/// The row that was acknowledged first after `from`, by its place among all that were made.
fn first_acked(world: &World, node: usize, since: senda_client::Instant) -> (bool, u64) {
    let node = &world.nodes[node];
    let acked = node.events.iter().find_map(|(at, event)| match event {
        Event::Session { stream, is_live, event: senda_client::Event::Acked(_) } if *at > since => {
            Some((*is_live, *stream))
        }
        _ => None,
    });
    acked.expect("something is acknowledged")
}

#[test]
fn what_was_on_the_spool_at_a_reboot_arrives_once_under_its_old_numbers() {
    for seed in 0..30 {
        let mut world = World::new(seed, Net { loss: 0.1, ..GOOD });
        let node = world.add(Some(roomy()), small_memory);
        for _ in 0..6 {
            world.make(SECOND / 20, SECOND * 2);
            world.kill(node);
            world.run(SECOND);
            world.boot(node);
        }
        world.finish(HOUR);
        assert_eq!(world.nodes[node].made, 240);
        assert_eq!(world.nodes[node].streams.len(), 7, "a stream for each boot, and no more");
    }
}

#[test]
fn without_a_spool_a_reboot_loses_what_was_not_acknowledged_and_nothing_else() {
    let mut world = World::new(1, GOOD);
    let node = world.add(None, |_| {});
    world.make(SECOND / 10, 10 * SECOND);
    world.set_net(DEAD);
    world.make(SECOND / 10, 10 * SECOND);
    world.kill(node);
    world.set_net(GOOD);
    world.boot(node);
    world.make(SECOND / 10, 10 * SECOND);
    world.run(MINUTE);
    let streams = &world.nodes[node].streams;
    let stored: usize = streams
        .iter()
        .filter_map(|stream| world.rig.store.stream("gh-0", *stream))
        .map(|stream| stream.rows.len())
        .sum();
    assert!((195..=210).contains(&stored), "{stored}");
}

#[test]
fn after_72_hours_offline_the_newest_goes_first_and_nothing_is_lost() {
    let mut world = World::new(7, GOOD);
    for _ in 0..3 {
        world.add(Some(roomy()), small_memory);
    }
    world.make(SECOND, 5 * SECOND);
    world.set_net(DEAD);
    world.make(10 * SECOND, 72 * HOUR);
    let most = world.nodes.iter().map(|node| node.uplink.as_ref().unwrap().live().pending()).max();
    assert!(most <= Some(2_000), "memory is bounded: {most:?}");
    let back = world.now();
    world.set_net(GOOD);
    world.make(10 * SECOND, 10 * MINUTE);
    for node in 0..3 {
        let live = world.uplink(node).live().stream();
        assert_eq!(first_acked(&world, node, back), (true, live), "live first");
    }
    world.finish(HOUR);
    for node in &world.nodes {
        assert_eq!(node.made, 5 + 25_920 + 60);
        assert!(node.streams.len() >= 13, "retired streams: {}", node.streams.len());
        assert!(node.files.clone().is_empty_but_for_little());
    }
}

/// The same on a bad line, without any time for history to wait.
#[test]
fn nothing_of_the_past_goes_before_the_first_live_row() {
    for seed in 0..20 {
        let mut world = World::new(seed, DEAD);
        let node = world.add(Some(roomy()), |settings| {
            small_memory(settings);
            settings.history.jitter = Duration::ZERO;
            settings.device.queue.rows = 100;
        });
        world.make(SECOND, 10 * MINUTE);
        let back = world.now();
        world.set_net(Net { loss: 0.3, ..GOOD });
        world.make(SECOND, 10 * MINUTE);
        let live = world.uplink(node).live().stream();
        assert_eq!(first_acked(&world, node, back), (true, live), "live first");
    }
}

/// Live p99 while history drains is at most twice that of idle times.
#[test]
fn history_costs_the_live_rows_at_most_as_much_again() {
    for (name, rate) in [("unlimited", None), ("10 kB/s", Some(10_000)), ("4 kB/s", Some(4_000))] {
        let mut world = World::new(11, Net { rate, ..GOOD });
        let node = world.add(Some(roomy()), small_memory);
        world.make(SECOND / 2, 10 * MINUTE);
        let idle =
            p99(std::mem::take(&mut world.nodes[node].waits).into_iter().map(|(_, w)| w).collect());
        world.set_net(Net { rate, ..DEAD });
        world.make(SECOND / 10, 3 * HOUR);
        world.set_net(Net { rate, ..GOOD });
        while world.uplink(node).draining().is_none() {
            world.make(SECOND / 2, SECOND);
        }
        world.nodes[node].waits.clear();
        let begun = world.now();
        while world.uplink(node).draining().is_some() && world.now().since(begun) < 10 * MINUTE {
            world.make(SECOND / 2, SECOND);
        }
        let lasted = world.now().since(begun);
        let waits = world.nodes[node].waits.iter().filter(|(made, _)| *made >= begun);
        let busy = p99(waits.map(|(_, wait)| *wait).collect());
        println!("{name}: idle p99 {idle:?}, during {lasted:?} of backfill {busy:?}");
        assert!(busy <= idle * 2, "{name}: {idle:?} {busy:?}");
        world.finish(12 * HOUR);
    }
}

#[test]
fn a_spool_that_overflows_says_so_in_the_old_stream() {
    let mut world = World::new(5, DEAD);
    let options = Options { sync: Sync::Never, ..Options::new(2 * SPOOL_BYTES_MIN) };
    let node = world.add(Some(options), |settings| {
        small_memory(settings);
        settings.device.queue.rows = 2_500;
    });
    world.make(SECOND, 6 * HOUR);
    world.kill(node);
    world.set_net(GOOD);
    world.boot(node);
    world.make(SECOND, 30 * SECOND);
    let end = world.now() + HOUR;
    while !world.uplink(node).is_flushed() && world.now() < end {
        world.step();
    }
    world.check(&[SkipCause::Overflow, SkipCause::Lost]);
    let stored = world.nodes[node].streams.clone();
    let stored: Vec<_> =
        stored.iter().filter_map(|stream| world.rig.store.stream("gh-0", *stream)).collect();
    let skipped: u32 = stored
        .iter()
        .flat_map(|stream| &stream.skipped)
        .filter(|(_, cause)| *cause == SkipCause::Overflow.code())
        .map(|(range, _)| range.end - range.start)
        .sum();
    assert!(skipped > 5_000, "{skipped} rows overflowed");
    // Of this stream more than the tail is held: its first rows were told.
    assert!(stored.iter().any(|stream| !stream.rows.is_empty() && !stream.skipped.is_empty()));
}

/// Kills, moves, a network that comes and goes: each row once.
#[test]
fn whatever_happens_each_row_is_stored_once_in_order() {
    for seed in 0..25 {
        let mut world = World::new(seed, Net { loss: 0.05, ..GOOD });
        let node = world.add(Some(roomy()), |settings| {
            small_memory(settings);
            settings.device.queue.rows = 100;
        });
        let mut dice: u64 = seed * 7 + 1;
        for _ in 0..30 {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            match dice >> 61 {
                0 => {
                    world.kill(node);
                    world.boot(node);
                }
                1 => world.set_net(DEAD),
                2 => world.set_net(Net { tcp: false, ..GOOD }),
                3 => world.set_net(Net { udp: false, ..GOOD }),
                4 => world.rig.crash(),
                _ => world.set_net(Net { loss: 0.05, ..GOOD }),
            }
            world.make(SECOND / 4, Duration::from_millis(dice >> 40 & 0x7FFF));
        }
        world.set_net(GOOD);
        world.run(10 * MINUTE);
        world.finish(2 * HOUR);
        assert!(world.nodes[node].sockets_most <= 4, "{}", world.nodes[node].sockets_most);
    }
}

/// Memory is full though the collector answers, only too slowly.
#[test]
fn a_collector_that_is_too_slow_makes_the_stream_wait_on_the_spool() {
    let mut world = World::new(2, GOOD);
    world.commit = (2 * SECOND, 2 * SECOND);
    let node = world.add(Some(roomy()), |settings| {
        small_memory(settings);
        settings.device.queue.rows = 50;
    });
    world.make(SECOND / 100, MINUTE);
    assert!(world.nodes[node].streams.len() > 2);
    world.finish(6 * HOUR);
}

#[test]
fn a_spool_that_takes_nothing_leaves_rows_in_memory_and_says_when_that_is_full() {
    let mut world = World::new(3, DEAD);
    let node = world.add(Some(roomy()), |settings| {
        small_memory(settings);
        settings.device.queue.rows = 100;
    });
    world.push(node, 50);
    world.nodes[node].files.fail(true);
    world.push(node, 50);
    let told =
        world.nodes[node].events.iter().filter(|(_, event)| matches!(event, Event::Spool(_)));
    assert_eq!(told.count(), 50);
    let (schema, now) = (world.nodes[node].schema(), world.now());
    let refused = world.uplink(node).push(now, schema, Clock::UtcSynced, 0, &[0, 0, 0, 0, 1]);
    assert_eq!(refused, Err(PushError::Full), "what is in memory alone must not be left behind");
    world.nodes[node].files.fail(false);
    world.set_net(GOOD);
    world.run(10 * MINUTE);
    world.push(node, 300);
    world.finish(MINUTE);
}

/// Two copies of one disk drain the same rows under the same numbers. Spec §6.5d.
#[test]
fn two_copies_of_a_spool_store_its_rows_once() {
    for seed in 0..10 {
        let mut world = World::new(seed, DEAD);
        let node = world.add(Some(roomy()), small_memory);
        world.push(node, 3_000);
        world.kill(node);
        world.set_net(GOOD);
        let copy = world.add_copy(node);
        world.boot(node);
        world.boot(copy);
        world.finish(2 * HOUR);
    }
}

/// A power cut takes the spool's tail after its rows have left: the collector knows more of the stream than the spool does.
#[test]
fn rows_that_left_before_the_power_cut_that_took_them_are_stored_once_and_renumbered_never() {
    for seed in 0..20 {
        let mut world = World::new(seed, Net { loss: 0.2, ..GOOD });
        let node = world.add(Some(roomy()), small_memory);
        world.make(SECOND / 20, 5 * SECOND);
        let before = world.nodes[node].files.copy();
        world.make(SECOND / 20, 2 * SECOND);
        world.kill(node);
        world.nodes[node].files = before;
        world.boot(node);
        let end = world.now() + HOUR;
        while !world.uplink(node).is_flushed() && world.now() < end {
            world.step();
        }
        assert!(world.uplink(node).is_flushed(), "the old stream has an end");
        world.check_but_for(&[SkipCause::Lost], 40);
        assert_eq!(world.nodes[node].streams.len(), 2);
    }
}

/// Spec §6.5d: rows 10 to 19 were made and are nowhere; that is told, and the stream has an end.
#[test]
fn what_lies_between_the_spools_tail_and_what_the_collector_has_is_told_as_lost() {
    let mut world = World::new(1, DEAD);
    let node = world.add(Some(roomy()), small_memory);
    world.nodes[node].made = 1_000;
    world.push(node, 10);
    let stream = world.uplink(node).live().stream();
    world.kill(node);
    let before = Script::udp(&mut world.rig, "gh-0", stream, 9_999);
    before.send_rows(&mut world.rig, 20, 10);
    world.rig.commit();
    world.set_net(GOOD);
    world.boot(node);
    world.run(10 * MINUTE);
    assert!(world.uplink(node).is_flushed());
    let stored = world.rig.store.stream("gh-0", stream).unwrap();
    assert_eq!(stored.mark().next_row, 30);
    assert_eq!(stored.rows.len(), 20);
    // The SKIP goes to the end of what was made; rows that were resolved before it stay (2.4a): all 20 are there.
    let told = stored.skipped.iter().map(|(range, cause)| (range.start, range.end, *cause));
    assert_eq!(told.collect::<Vec<_>>(), [(10, 30, SkipCause::Lost.code())]);
}

/// Spec §6.7a: a copy of the running machine was quicker. The rows get new numbers, on the spool too.
#[test]
fn rows_that_get_new_numbers_have_them_on_the_spool_too() {
    for seed in 0..10 {
        let mut world = World::new(seed, DEAD);
        let node = world.add(Some(roomy()), small_memory);
        (world.nodes[node].is_copied, world.nodes[node].made) = (true, 1_000);
        world.push(node, 10);
        let stream = world.uplink(node).live().stream();
        let copy = Script::udp(&mut world.rig, "gh-0", stream, 9_999);
        copy.send_rows(&mut world.rig, 0, 50);
        world.rig.commit();
        world.set_net(GOOD);
        while world.uplink(node).live().stream() == stream {
            world.step();
        }
        let new = world.uplink(node).live().stream();
        world.kill(node); // Before anything of the new stream has left.
        world.boot(node);
        world.finish(HOUR);
        let moved = &world.rig.store.stream("gh-0", new).unwrap().rows;
        assert_eq!(moved.keys().copied().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    }
}

/// A limit of history that can't be is told at once, and not when it is too late.
#[test]
fn limits_of_history_are_checked_at_the_beginning() {
    for change in [
        (|history| history.messages = 0) as fn(&mut History),
        |history| history.rows = 0,
        |history| history.bytes = 0,
        |history| history.message_bytes = 1_000,
    ] {
        let mut settings = Settings::new(senda_client::Config::new("gh-7"), true, true);
        change(&mut settings.history);
        let files = Box::new(crate::world::Files::default());
        assert!(Uplink::with_spool(settings, [1; 32], files, roomy()).is_err());
    }
}

/// Rows dated by a clock that began at 0: boot 1 never heard of the time, boot 2 did, boot 3 drains.
#[test]
fn readings_of_before_the_first_clock_sync_are_dated_afterwards() {
    let mut world = World::new(9, DEAD);
    let node = world.add(Some(roomy()), |settings| {
        small_memory(settings);
        settings.device.time_every = Some(MINUTE);
    });
    let utc = |world: &World| world.rig.now.utc_us;
    let micros = |time: senda_client::Instant| i64::try_from(time.0).unwrap();
    let mut truths = Vec::new();
    for (net, boot_lasts) in [(DEAD, 10 * MINUTE), (DEAD, 20 * MINUTE), (GOOD, 5 * MINUTE)] {
        world.kill(node);
        world.set_net(net);
        // The monotonic clock of each boot begins at 0.
        world.nodes[node].clock = (Clock::Monotonic, -micros(world.now()));
        let begun = utc(&world);
        world.boot(node);
        truths.push((world.uplink(node).live().stream(), begun));
        world.make(SECOND, boot_lasts);
        world.run(20 * SECOND); // The machine is off; of the last boot, its drain.
    }
    world.finish(HOUR);
    for (index, (stream, begun)) in truths.into_iter().enumerate() {
        let told = world.rig.store.stream("gh-0", stream).unwrap().clock.expect("told");
        assert_eq!(told.clock, Clock::Monotonic);
        let wrong = told.offset.abs_diff(begun);
        assert!(wrong <= told.uncertainty.into(), "boot {index}: {wrong} µs off, {told:?}");
        // The pause is all that nobody knows: 20 s for each boot, and a minute between notes of the uptime.
        assert!(wrong <= 165_000_000, "boot {index}: {wrong} µs off");
    }
}

/// A retired stream of this boot has the offset that is learnt later.
#[test]
fn a_stream_that_was_left_before_the_time_was_known_is_dated_too() {
    let mut world = World::new(4, DEAD);
    let node = world.add(Some(roomy()), |settings| {
        small_memory(settings);
        settings.device.time_every = Some(MINUTE);
        settings.device.queue.rows = 100;
    });
    let begun = world.rig.now.utc_us;
    world.kill(node);
    world.nodes[node].clock = (Clock::Monotonic, -i64::try_from(world.now().0).unwrap());
    world.boot(node);
    world.make(SECOND, 10 * MINUTE);
    world.set_net(GOOD);
    world.make(SECOND, 10 * MINUTE);
    world.finish(HOUR);
    let ids: Vec<RowId> = world.nodes[node].rows.keys().copied().collect();
    for id in ids {
        let told = world.rig.store.stream("gh-0", id.stream).unwrap().clock.expect("told");
        assert!(told.offset.abs_diff(begun) <= 1_000_000, "{told:?}");
    }
}
