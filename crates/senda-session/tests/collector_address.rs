//! What a session does when its device has a new address, and what nobody can make the engine send. Spec §9.

mod common;

use common::{Got, Rig, Script, at, message, secs};
use senda_session::collector::{Notice, Peer};
use senda_wire::{Message, MessageType, Ping};

fn sent_to(got: &[Got], peer: Peer) -> usize {
    got.iter().filter(|got| got.peer == peer).map(|got| got.bytes.len()).sum()
}

/// Spec §9.3a.
#[test]
fn the_address_moves_only_for_a_newer_row() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send_rows(&mut rig, 0, 5);
    rig.commit();
    rig.got();
    let ping = Message::Ping(Ping { token: 1 });
    rig.say(at(6000), &message(device.session, 1, &ping));
    rig.say(at(6000), &device.rows(0, 5));
    rig.say(at(6000), &device.rows(4, 1));
    rig.commit();
    assert!(rig.got().iter().all(|got| got.peer == at(5000)), "old rows and a PING move nothing");
    rig.say(at(6000), &device.rows(4, 2));
    assert!(rig.notices().contains(&Notice::Moved));
    rig.commit();
    let got = rig.got();
    assert!(!got.is_empty() && got.iter().all(|got| got.peer == at(6000)));
}

/// Spec §9.3a: also while the newer row is not durable, and when it comes again.
#[test]
fn a_late_datagram_from_the_old_address_lands_and_moves_nothing() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    rig.say(at(6000), &device.rows(0, 3));
    device.send_rows(&mut rig, 0, 3);
    device.send_rows(&mut rig, 1, 1);
    rig.commit();
    let got = rig.got();
    assert!(got.iter().all(|got| got.peer == at(6000)), "{got:#?}");
    assert_eq!(rig.store.stream("gh-7", 1).unwrap().rows.len(), 3);
}

/// Spec §9.3a: rows that can't be taken do not count, or one forged row would lock the address.
#[test]
fn a_row_beyond_the_window_moves_nothing() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    rig.say(at(6000), &device.rows(0xFFFF_0000, 1));
    assert_eq!(rig.only().peer, at(5000));
    device.skip(&mut rig, 0, 0xFFFF_0000, 2);
    rig.got();
    rig.say(at(6000), &device.rows(0, 1));
    assert_eq!(rig.only().peer, at(6000), "the challenge");
}

/// Spec §9.3b: all bytes to the address never exceed those from it, and only bare ACKs and PINGs go there.
#[test]
fn an_unproven_address_gets_no_more_bytes_than_came_from_it() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let (new, mut came, mut went) = (at(6000), 0, 0);
    for row in 0..40 {
        let mut datagram = device.rows_with(row, 1, &[0], 0); // Refused rows: NACKs would be due.
        datagram.extend(message(device.session, 1, &Message::Ping(Ping { token: 9 })));
        if row % 3 == 0 {
            datagram.extend(Script::new("gh-8", 2, new).hello_bytes()); // A RETRY, from its own credit.
        }
        rig.say(new, &datagram);
        rig.wait(secs(1));
        rig.commit();
        came += datagram.len();
        let got = rig.got();
        went += sent_to(&got, new);
        assert!(went <= came, "{went} bytes for {came}");
        for got in got {
            match got.message {
                Message::Ack(ack) => assert_eq!(ack.window, None),
                Message::Ping(_) | Message::Retry { .. } => {}
                other => panic!("{other:#?}"),
            }
        }
    }
}

/// Spec §9.3b: to the byte.
#[test]
fn an_ack_beyond_the_credit_is_not_sent() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let rows = device.rows(0, 1);
    rig.say(at(6000), &rows);
    assert_eq!((rows.len(), rig.only().bytes.len()), (33, 24), "the PING leaves 9 bytes");
    rig.commit();
    assert!(rig.silent(), "an ACK has 16");
    rig.say(at(6000), &device.rows(1, 1));
    rig.commit();
    assert_eq!(rig.only().seq, 2);
}

/// Spec §9.2a, §9.3b.
#[test]
fn a_pong_with_the_token_proves_the_address() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    rig.say(at(6000), &device.rows(0, 1));
    let token = rig.only().ping().token;
    let pong = |token| message(device.session, 0, &Message::Pong(Ping { token }));
    let ping = message(device.session, 1, &Message::Ping(Ping { token: 9 }));
    rig.say(at(6000), &pong(token ^ 1));
    rig.say(at(5000), &pong(token));
    rig.say(at(6000), &ping);
    assert!(rig.silent(), "not proven");
    rig.say(at(6000), &pong(token));
    rig.say(at(6000), &ping);
    assert!(matches!(rig.only().message, Message::Pong(Ping { token: 9 })));
}

/// Spec §9.3b: a lost challenge does not leave the device with bare ACKs for ever.
#[test]
fn a_lost_challenge_goes_again() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    rig.say(at(6000), &device.rows(0, 1));
    let first = rig.only().ping();
    rig.say(at(6000), &device.rows(1, 1));
    assert!(rig.silent(), "not with every datagram");
    rig.wait(secs(1));
    rig.say(at(6000), &device.rows(2, 1));
    assert_eq!(rig.only().ping(), first);
}

/// Spec §9.4a.
#[test]
fn answers_leave_from_the_address_that_was_asked() {
    let mut rig = Rig::new();
    let local = Some("192.0.2.77".parse().unwrap());
    let remote = "192.0.2.1:5000".parse().unwrap();
    let device = Script::new("gh-7", 1, Peer::Udp { remote, local }).ready(&mut rig);
    device.send_rows(&mut rig, 0, 1);
    rig.commit();
    assert_eq!(rig.only().peer, Peer::Udp { remote, local });
}

/// Spec §9.2a: whatever a stranger sends, the answers to one datagram are not longer than it.
#[test]
fn strangers_never_get_more_than_they_sent() {
    let mut rig = Rig::new();
    let hello = Script::new("gh-7", 1, at(5000)).hello_bytes();
    let mut bad = hello.clone();
    bad.truncate(hello.len() - 4);
    let bad = common::raw(1, 0, 0, 0, &bad[12..60]);
    let stray = common::raw(MessageType::Rows.code(), 77, 0, 0, &[0; 16]);
    for (port, datagram) in
        (0..).zip([hello.clone(), bad.clone(), stray.clone(), [hello, bad, stray].concat()])
    {
        rig.say(at(port), &datagram);
        let got = rig.got();
        assert!(!got.is_empty() && sent_to(&got, at(port)) <= datagram.len());
    }
}
