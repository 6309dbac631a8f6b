//! CONFIG, COMMAND and ALERT: one at a time, until DONE; a command at most once. Spec §7.7.

mod common;

use std::time::Duration;

use common::{Got, Rig, Script, at, secs};
use senda_session::collector::{Config, Downlink, Notice, Outcome, Settings};
use senda_wire::registry::{downlink, flag};
use senda_wire::{DoneStatus, Message, MessageType};

fn device(rig: &mut Rig, accepts: u8) -> Script {
    let mut device = Script::new("gh-7", 1, at(5000));
    device.hello.downlink = accepts;
    device.ready(rig)
}

fn command(id: u32) -> Downlink {
    let mut body = id.to_be_bytes().to_vec();
    body.extend([0, 0, 0, 0, 2, b'g', b'o', 0]);
    Downlink { kind: MessageType::Command, id, body, ttl: Some(secs(600)) }
}

fn alert(id: u32) -> Downlink {
    let mut body = id.to_be_bytes().to_vec();
    body.extend([0; 8]);
    body.extend([1, 2, 0, 0, 0, 0]);
    Downlink { kind: MessageType::Alert, id, body, ttl: None }
}

fn settings(revision: u32) -> Settings {
    Settings { revision, list: vec![0] }
}

fn order(rig: &mut Rig, down: Downlink) {
    rig.engine.handle_down(rig.now, "gh-7", down).unwrap();
    rig.drain();
}

fn id_of(got: &Got) -> (u32, u32) {
    match got.message {
        Message::Command(command) => (got.seq, command.id),
        Message::Alert(alert) => (got.seq, alert.id),
        Message::Config(config) => (got.seq, config.revision),
        _ => panic!("not sent down: {got:#?}"),
    }
}

/// Spec §7.7d.
#[test]
fn a_command_is_recorded_before_its_first_byte_leaves() {
    let mut rig = Rig::new();
    let device = device(&mut rig, downlink::ALL);
    order(&mut rig, command(5));
    rig.wait(secs(20));
    assert!(rig.silent());
    rig.commit();
    assert_eq!(rig.store.sent_commands, [5]);
    let got = rig.only();
    assert_eq!(id_of(&got), (1, 5));
    let Message::Command(sent) = got.message else { panic!() };
    assert_eq!(sent.ttl_ms, 580_000, "what is left of it");
    device.done(&mut rig, 1, MessageType::Command, 5);
    assert!(matches!(
        rig.outcomes()[..],
        [(5, Outcome::Sent), (5, Outcome::Done { status: DoneStatus::Ok, .. })]
    ));
    rig.wait(secs(50));
    assert!(rig.silent(), "once it is done it is not repeated");
}

/// Spec §7.7d: a record that failed sends nothing.
#[test]
fn a_command_that_could_not_be_recorded_is_not_sent() {
    let mut rig = Rig::new();
    device(&mut rig, downlink::ALL);
    order(&mut rig, command(5));
    rig.fail_commit();
    assert!(rig.silent());
    assert_eq!(rig.outcomes(), [(5, Outcome::NotRecorded)]);
}

/// Spec §7.7a.
#[test]
fn one_is_outstanding_at_a_time_and_more_is_announced() {
    let mut rig = Rig::new();
    let device = device(&mut rig, downlink::ALL);
    for id in 1..=3 {
        order(&mut rig, alert(id));
    }
    let first = rig.only();
    assert_eq!((id_of(&first), first.flags & flag::MORE), ((1, 1), 0), "nothing was waiting yet");
    device.send_rows(&mut rig, 0, 1);
    rig.commit();
    assert_ne!(rig.only().flags & flag::MORE, 0);
    device.done(&mut rig, 1, MessageType::Alert, 1);
    let second = rig.only();
    assert_eq!((id_of(&second), second.flags & flag::MORE), ((2, 2), flag::MORE));
    device.done(&mut rig, 1, MessageType::Alert, 1); // The echo of the first.
    assert!(rig.silent());
    device.done(&mut rig, 2, MessageType::Alert, 2);
    let third = rig.only();
    assert_eq!((id_of(&third), third.flags & flag::MORE), ((3, 3), 0));
}

/// Spec §7.7: a command that waits for its record is more, too.
#[test]
fn a_command_that_is_about_to_be_sent_keeps_the_device_awake() {
    let mut rig = Rig::new();
    let device = device(&mut rig, downlink::ALL);
    device.send_rows(&mut rig, 0, 1);
    order(&mut rig, command(5));
    rig.commit_some(1, true);
    assert_ne!(rig.only().flags & flag::MORE, 0);
}

/// Spec §7.7: who sleeps through an order gets it on the next uplink, and is told to stay awake.
#[test]
fn a_sleeping_device_gets_its_order_with_the_next_uplink() {
    let mut rig = Rig::new();
    let mut device = Script::new("gh-7", 1, at(5000));
    (device.hello.downlink, device.hello.keepalive_s) = (downlink::ALL, 86_400);
    let device = device.ready(&mut rig);
    order(&mut rig, command(5));
    rig.commit();
    assert_eq!(id_of(&rig.only()), (1, 5));
    rig.wait(secs(300)); // Whatever went meanwhile found nobody.
    rig.got();
    rig.wait(secs(10));
    rig.got();
    device.send_rows(&mut rig, 0, 1);
    assert_eq!(id_of(&rig.only()), (1, 5), "the same order, the same number, at once");
    rig.commit();
    let ack = rig.only();
    assert!(matches!(ack.message, Message::Ack(_)), "{ack:#?}");
    assert_ne!(ack.flags & flag::MORE, 0, "stay awake");
    device.send_rows(&mut rig, 1, 1);
    rig.commit();
    assert!(matches!(rig.only().message, Message::Ack(_)), "awake: the timer does the rest");
    device.done(&mut rig, 1, MessageType::Command, 5);
    device.send_rows(&mut rig, 2, 1);
    rig.commit();
    assert_eq!(rig.only().flags & flag::MORE, 0);
}

/// The answer of a device that was silent for long brings the next order on its way, once.
#[test]
fn what_an_answer_brings_on_its_way_leaves_once() {
    let mut rig = Rig::new();
    let mut device = Script::new("gh-7", 1, at(5000));
    (device.hello.downlink, device.hello.keepalive_s) = (downlink::ALL, 86_400);
    let device = device.ready(&mut rig);
    order(&mut rig, alert(5));
    order(&mut rig, alert(6));
    rig.wait(secs(300));
    rig.got();
    device.done(&mut rig, 1, MessageType::Alert, 5);
    assert_eq!(id_of(&rig.only()), (2, 6));
}

/// A device that rebooted has a new stream; its old session lives on for a while, and must not keep what it never got.
#[test]
fn a_new_session_takes_over_what_an_older_one_of_the_device_has_not_sent() {
    let mut rig = Rig::new();
    let old = device(&mut rig, downlink::ALL);
    order(&mut rig, command(5));
    rig.commit();
    assert_eq!(id_of(&rig.only()), (1, 5));
    for down in [alert(7), command(6)] {
        order(&mut rig, down);
    }
    let mut new = Script::new("gh-7", 2, at(5001));
    new.hello.downlink = downlink::ALL;
    let new = new.ready(&mut rig);
    let to_new = |rig: &mut Rig| -> Vec<(u32, u32)> {
        rig.got().iter().filter(|got| got.session == new.session).map(id_of).collect()
    };
    rig.wait(secs(2)); // Its first copy went beside WELCOME.
    assert_eq!(to_new(&mut rig), [(1, 7)]);
    new.done(&mut rig, 1, MessageType::Alert, 7);
    rig.commit();
    assert_eq!(to_new(&mut rig), [(2, 6)]);
    // The command that may have left is not sent again; its DONE still counts where it is.
    old.done(&mut rig, 1, MessageType::Command, 5);
    assert!(matches!(rig.outcomes().last(), Some((5, Outcome::Done { .. }))));
}

/// Spec §7.7: desired state, so that only the newest counts.
#[test]
fn a_newer_config_takes_the_place_of_one_that_waits() {
    let mut rig = Rig::new();
    let device = device(&mut rig, downlink::ALL);
    let config = |revision: u32| {
        let body = [&revision.to_be_bytes()[..], &[0]].concat();
        Downlink { kind: MessageType::Config, id: revision, body, ttl: None }
    };
    for revision in 1..=4 {
        order(&mut rig, config(revision));
    }
    assert_eq!(id_of(&rig.only()), (1, 1));
    device.done(&mut rig, 1, MessageType::Config, 1);
    assert_eq!(id_of(&rig.only()), (2, 4));
    device.done(&mut rig, 2, MessageType::Config, 4);
    assert!(rig.silent());
}

/// Spec §7.7a, §7.5a.
#[test]
fn it_goes_again_until_done_with_the_back_off_of_udp() {
    let mut rig = Rig::new();
    let device = device(&mut rig, downlink::ALL);
    order(&mut rig, alert(7));
    let mut sent = 0;
    for _ in 0..300 {
        rig.wait(secs(1));
        device.send(&mut rig, 1, &Message::Ping(senda_wire::Ping { token: 1 }));
        sent += rig.got().iter().filter(|got| matches!(got.message, Message::Alert(_))).count();
    }
    assert!((8..=12).contains(&sent), "{sent} in 300 s");
    device.done(&mut rig, 1, MessageType::Alert, 7);
    rig.wait(secs(70));
    assert!(rig.silent());
}

/// Spec §7.7a: on TCP only in a new session.
#[test]
fn on_tcp_it_is_not_repeated() {
    let mut rig = Rig::new();
    let peer = rig.connect(1);
    let mut device = Script::new("gh-7", 1, peer);
    device.hello.downlink = downlink::ALL;
    let mut device = device.ready(&mut rig);
    rig.store.config.insert("gh-7".into(), settings(3));
    rig.engine.handle_down(rig.now, "gh-7", alert(7)).unwrap();
    rig.drain();
    assert_eq!(rig.got().len(), 1);
    rig.wait(secs(70));
    assert!(rig.silent());
    device.hello.nonce += 1;
    device.say(&mut rig, &device.hello_bytes());
    rig.commit();
    assert!(rig.got().iter().any(|got| matches!(got.message, Message::Config(_))));
    assert_eq!(rig.outcomes().last(), Some(&(3, Outcome::Sent)));
    assert!(rig.outcomes().contains(&(7, Outcome::Unknown)), "the caller sends an ALERT again");
}

/// Spec §7.7e.
#[test]
fn a_command_is_never_repeated_in_a_later_session() {
    let mut rig = Rig::new();
    let mut device = device(&mut rig, downlink::ALL);
    order(&mut rig, command(5));
    rig.commit();
    assert_eq!(rig.got().len(), 1);
    device.hello.last_command_id = 5;
    device.reopen(&mut rig);
    assert!(rig.outcomes().contains(&(5, Outcome::Unknown)));
    let begun = |notice: &Notice| matches!(notice, Notice::Welcomed { last_command_id: 5, .. });
    assert!(rig.notices().iter().any(begun), "which settles it");
    rig.wait(secs(60));
    assert!(rig.silent());
}

/// Spec §7.7.
#[test]
fn a_command_whose_time_is_over_is_expired_and_not_sent() {
    let mut rig = Rig::new();
    let device = device(&mut rig, downlink::ALL);
    order(&mut rig, alert(1)); // Occupies the line.
    order(&mut rig, Downlink { ttl: Some(secs(5)), ..command(5) });
    rig.wait(secs(5));
    rig.got();
    device.done(&mut rig, 1, MessageType::Alert, 1);
    assert!(rig.silent() && rig.store.queue.is_empty());
    assert_eq!(rig.outcomes().last(), Some(&(5, Outcome::Expired)));
    order(&mut rig, Downlink { ttl: Some(secs(5)), ..command(6) });
    rig.wait(secs(5)); // The disk is slow.
    rig.commit();
    assert!(rig.silent());
    assert_eq!(rig.outcomes().last(), Some(&(6, Outcome::Expired)));
}

/// Spec §7.7c.
#[test]
fn a_kind_that_the_device_does_not_take_is_never_sent() {
    let mut rig = Rig::new();
    rig.store.config.insert("gh-7".into(), settings(3));
    device(&mut rig, downlink::COMMAND);
    order(&mut rig, alert(1));
    order(&mut rig, command(2));
    rig.commit();
    assert_eq!(id_of(&rig.only()), (1, 2));
    assert!(rig.outcomes().contains(&(1, Outcome::NoTaker)));
    rig.engine.handle_down(rig.now, "gh-8", alert(1)).unwrap();
    rig.drain();
    assert!(rig.silent(), "nobody there");
}

/// Spec §5.1: nor a message longer than it takes.
#[test]
fn a_message_longer_than_the_device_takes_finds_no_taker() {
    let mut rig = Rig::new();
    let mut small = Script::new("gh-7", 1, at(5000));
    (small.hello.downlink, small.hello.max_msg) = (downlink::ALL, 256);
    small.ready(&mut rig);
    let mut down = alert(9);
    let text = [b'x'; 250];
    down.body.truncate(16);
    down.body.push(250);
    down.body.extend(text);
    down.body.push(0);
    order(&mut rig, down.clone());
    assert!(rig.silent());
    assert_eq!(rig.outcomes(), [(9, Outcome::NoTaker)]);
    let peer = rig.connect(1);
    let mut large = Script::new("gh-9", 2, peer);
    (large.hello.downlink, large.hello.max_msg) = (downlink::ALL, 16_384);
    large.ready(&mut rig);
    let mut body = 1u32.to_be_bytes().to_vec();
    body.push(2);
    for _ in 0..2 {
        body.extend([1, b'a', 0x0D, 0, 1, 4, 0]);
        body.extend([7; 1_024]);
    }
    let config = Downlink { kind: MessageType::Config, id: 1, body, ttl: None };
    rig.engine.handle_down(rig.now, "gh-9", config).unwrap();
    rig.drain();
    assert!(rig.only().bytes.len() > 2_000, "on TCP it may be long");
}

/// Spec §7.7.
#[test]
fn a_config_is_sent_in_each_session_that_has_another_revision() {
    let mut rig = Rig::new();
    rig.store.config.insert("gh-7".into(), settings(3));
    let mut device = Script::new("gh-7", 1, at(5000));
    device.hello.downlink = downlink::CONFIG;
    for (has, expected) in [(0, true), (2, true), (3, false), (4, true)] {
        device.hello.config_rev = has;
        device.hello.nonce += 1;
        device.fetch_cookie(&mut rig);
        device.say(&mut rig, &device.hello_bytes());
        rig.commit();
        let got = rig.got();
        let config = got.iter().find(|got| matches!(got.message, Message::Config(_)));
        assert_eq!(config.map(id_of), expected.then_some((1, 3)));
    }
}

/// A queue that a peer makes long by not answering.
#[test]
fn what_waits_for_a_device_has_a_limit() {
    let mut rig = Rig::with(Config { downlink_queue_max: 4, ..Config::default() });
    device(&mut rig, downlink::ALL);
    for id in 1..=10 {
        order(&mut rig, alert(id));
    }
    let refused = rig.outcomes().iter().filter(|(_, outcome)| *outcome == Outcome::NoTaker).count();
    assert_eq!(refused, 5, "one is out, four wait");
}

/// A body that is none is the caller's mistake.
#[test]
fn a_body_without_the_layout_of_its_kind_is_an_error() {
    let mut rig = Rig::new();
    let mut down = command(1);
    down.body.pop();
    assert!(rig.engine.handle_down(rig.now, "gh-7", down).is_err());
    let rows = Downlink { kind: MessageType::Rows, id: 1, body: vec![], ttl: None };
    assert!(rig.engine.handle_down(rig.now, "gh-7", rows).is_err());
    rig.wait(Duration::ZERO);
}
