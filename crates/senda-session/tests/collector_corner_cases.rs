//! The corner cases of spec §14 that concern the collector, each under its number. Cases 3, 5 and 15 are the device's in the
//! first place, 16 the store's; what the collector adds to them stands here.

mod common;

use common::script::welcome_of;
use common::{Rig, Script, at, message, raw, secs};
use senda_session::collector::{Downlink, Event, Notice, Outcome, What};
use senda_wire::registry::downlink;
use senda_wire::{ErrorCode, Message, MessageType, Ping, SkipCause};

#[test]
fn case_01_welcome_lost_and_hello_repeated() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    rig.wait(secs(15));
    device.say(&mut rig, &device.hello_bytes());
    let first = rig.only();
    rig.wait(secs(1));
    device.say(&mut rig, &device.hello_bytes());
    assert_eq!(rig.only().bytes, first.bytes);
    assert_eq!((first.session, rig.engine.sessions()), (device.session, 1));
}

#[test]
fn case_02_a_new_stream_after_a_boot_beside_the_old_one_that_drains() {
    let mut rig = Rig::new();
    let old = Script::udp(&mut rig, "gh-7", 1, 5000);
    let new = Script::udp(&mut rig, "gh-7", 2, 5000);
    new.send_rows(&mut rig, 0, 1);
    old.send_rows(&mut rig, 0, 2);
    rig.commit();
    let acks: Vec<_> = rig.got().iter().map(|got| (got.session, got.seq)).collect();
    assert!(acks.contains(&(new.session, 1)) && acks.contains(&(old.session, 2)));
}

#[test]
fn case_03_high_row_shows_a_snapshot() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send_rows(&mut rig, 5, 2);
    rig.commit();
    device.hello.next_row = 3; // The copy has made fewer rows.
    let welcome = device.reopen(&mut rig);
    assert_eq!((welcome.next_row, welcome.high_row), (0, 7));
    assert!(rig.notices().contains(&Notice::Snapshot { next_row: 3, high_row: 7 }));
}

#[test]
fn case_04_a_collector_from_an_old_backup_takes_a_skip_for_the_gap() {
    let mut rig = Rig::new();
    let mut device = Script::new("gh-7", 1, at(5000));
    (device.hello.next_row, device.hello.oldest_row) = (50_010, 50_000);
    let welcome = device.open(&mut rig);
    device.declare(&mut rig);
    assert_eq!(welcome.next_row, 0);
    device.skip(&mut rig, 0, 50_000, SkipCause::Lost.code()); // Far beyond the window.
    rig.commit();
    device.send_rows(&mut rig, 50_000, 10);
    rig.commit();
    assert_eq!(rig.got().pop().unwrap().seq, 50_010);
}

#[test]
fn case_05_an_overflow_is_skipped_reliably() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.skip(&mut rig, 0, 7, SkipCause::Overflow.code());
    rig.fail_commit();
    assert_eq!(rig.only().nack().code, ErrorCode::STORAGE);
    device.skip(&mut rig, 0, 7, SkipCause::Overflow.code());
    rig.commit();
    assert_eq!(rig.only().seq, 7);
}

#[test]
fn case_06_rows_that_overlap_in_part_are_taken_one_by_one() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send_rows(&mut rig, 0, 5);
    device.send_rows(&mut rig, 3, 5);
    let rebatched = device.rows_with(2, 8, &[0, 1], 0); // Rows 2 and 3 are bad now; they were good first.
    device.say(&mut rig, &rebatched);
    rig.commit();
    let got = rig.got();
    assert_eq!(got.last().unwrap().seq, 10);
    assert!(!got.iter().any(|got| got.is_nack(ErrorCode::BAD_VALUE)));
    assert_eq!(rig.store.stream("gh-7", 1).unwrap().rows.len(), 10);
}

#[test]
fn case_07_the_last_ack_is_lost_and_the_resend_is_acknowledged_at_once() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    for _ in 0..3 {
        device.send_rows(&mut rig, 0, 2);
        rig.commit();
        assert_eq!(rig.only().seq, 2);
    }
}

#[test]
fn case_08_a_persist_probe_hears_of_the_open_window() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    rig.accept(false);
    device.send_rows(&mut rig, 0, 2);
    assert_eq!(rig.got().pop().unwrap().ack().window.unwrap().window_rows, 0);
    rig.accept(true);
    rig.got(); // The update is lost.
    device.send_rows(&mut rig, 0, 1);
    rig.wait(std::time::Duration::from_millis(5)); // Long enough that the ACK has a body.
    rig.commit();
    let ack = rig.only();
    assert!(ack.ack().window.unwrap().window_rows > 0);
}

#[test]
fn case_09_data_before_declare_and_after_the_collector_forgot() {
    let mut rig = Rig::new();
    let mut device = Script::new("gh-7", 1, at(5000));
    device.open(&mut rig);
    device.send_rows(&mut rig, 0, 2);
    let nack = rig.only().nack();
    assert_eq!((nack.code, nack.first, nack.count), (ErrorCode::UNKNOWN_SCHEMA, 0, 2));
    device.declare(&mut rig);
    rig.commit();
    rig.got();
    rig.store.streams.clear(); // The disk was replaced under the running engine.
    device.send_rows(&mut rig, 0, 2);
    rig.commit();
    assert_eq!(rig.only().nack().code, ErrorCode::UNKNOWN_SCHEMA);
}

#[test]
fn case_10_a_schema_id_with_another_content() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.reopen(&mut rig);
    let other = common::script::schema_named("other");
    device.say(&mut rig, &common::script::declare(device.session, 0, &other, 1)[0]);
    assert_eq!(rig.only().nack().code, ErrorCode::SCHEMA_CONFLICT);
}

#[test]
fn case_11_one_poison_row_does_not_hold_up_the_others() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let rows = device.rows_with(0, 10, &[4], 0);
    device.say(&mut rig, &rows);
    assert!(rig.silent(), "the refusal is told when it is durable");
    rig.commit();
    let got = rig.got();
    let nack = got[0].nack();
    assert_eq!((nack.code, nack.first, nack.count), (ErrorCode::BAD_VALUE, 4, 1));
    assert_eq!((got[1].is_ack(), got[1].seq), (true, 10));
    let stream = rig.store.stream("gh-7", 1).unwrap();
    assert_eq!((stream.rows.len(), stream.refused[&4]), (9, ErrorCode::BAD_VALUE.0));
}

#[test]
fn case_12_two_live_devices_with_one_name_are_both_stored() {
    let mut rig = Rig::new();
    let one = Script::udp(&mut rig, "gh-7", 1, 5000);
    let mut two = Script::new("gh-7", 2, at(6000));
    two.open(&mut rig);
    assert!(rig.notices().contains(&Notice::TwoStreams { other: 2 }));
    two.declare(&mut rig);
    one.send_rows(&mut rig, 0, 1);
    two.send_rows(&mut rig, 0, 1);
    rig.commit();
    assert_eq!(rig.got().iter().filter(|got| got.is_ack()).count(), 2);
}

#[test]
fn case_13_rebinding_and_a_late_datagram_from_the_old_address() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send_rows(&mut rig, 0, 2);
    rig.say(at(6000), &device.rows(2, 1));
    let ping = rig.only();
    assert_eq!(ping.peer, at(6000));
    device.send_rows(&mut rig, 1, 1); // Late.
    rig.commit();
    assert!(rig.got().iter().all(|got| got.peer == at(6000) && got.ack().window.is_none()));
    let token = ping.ping().token;
    rig.say(at(6000), &message(device.session, 0, &Message::Pong(Ping { token })));
    rig.say(at(6000), &message(device.session, 1, &Message::Ping(Ping { token: 1 })));
    assert!(matches!(rig.only().message, Message::Pong(_)));
}

#[test]
fn case_14_an_unknown_session_after_a_restart() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    rig.crash();
    for expected in [1, 0] {
        let rows = device.rows(0, 1);
        device.say(&mut rig, &rows);
        let got = rig.got();
        assert_eq!(got.len(), expected);
        assert!(
            got.iter().all(|got| got.session == device.session && got.bytes.len() <= rows.len())
        );
        assert!(got.iter().all(|got| got.close().code == ErrorCode::UNKNOWN_SESSION));
    }
}

#[test]
fn case_15_the_last_row_numbers_of_a_stream() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.skip(&mut rig, 0, u32::MAX - 3, SkipCause::Lost.code());
    rig.commit();
    rig.got();
    device.send_rows(&mut rig, u32::MAX - 3, 3); // The last one is 0xFFFFFFFE.
    rig.commit();
    assert_eq!(rig.only().seq, u32::MAX);
    device.say(
        &mut rig,
        &raw(
            MessageType::Rows.code(),
            device.session,
            u32::MAX,
            0,
            &common::script::rows_body(0, 1, &[]),
        ),
    );
    assert_eq!(rig.only().nack().count, 0, "there is no row after it");
}

#[test]
fn case_16_rows_carry_what_the_device_said_and_when_they_arrived() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send_rows(&mut rig, 0, 1);
    let Some(Event::Land { received_us, what: What::Rows { body, .. }, .. }) =
        rig.store.queue.pop_front()
    else {
        panic!()
    };
    assert_eq!((received_us, body), (rig.now.utc_us, common::script::rows_body(0, 1, &[])));
}

#[test]
fn case_17_a_sleeping_device_does_not_get_an_old_command() {
    let mut rig = Rig::new();
    let mut device = Script::new("gh-7", 1, at(5000));
    device.hello.downlink = downlink::ALL;
    let device = device.ready(&mut rig);
    for id in [1, 2] {
        let body = vec![0, 0, 0, id, 0, 0, 0, 0, 1, b'x', 0];
        let ttl = Some(secs(10));
        let down = Downlink { kind: MessageType::Command, id: id.into(), body, ttl };
        rig.engine.handle_down(rig.now, "gh-7", down).unwrap();
    }
    rig.drain();
    rig.commit();
    rig.wait(secs(20));
    assert!(rig.got().iter().all(|got| got.seq == 1));
    device.done(&mut rig, 1, MessageType::Command, 1);
    assert_eq!(rig.outcomes().last(), Some(&(2, Outcome::Expired)));
    rig.commit();
    assert!(rig.silent());
}

/// The bomb of ROWS: as many rows as a count can say, in a message of 29 bytes. (COLUMNS is not read at all.)
#[test]
fn case_18_a_bomb_is_refused_before_anything_is_reserved() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let mut body = common::script::rows_body(0, 1, &[]);
    body[2..4].copy_from_slice(&0xFFFF_u16.to_be_bytes()); // 16,383 rows of two values.
    for kind in [MessageType::Rows, MessageType::Sparse] {
        device.say(&mut rig, &raw(kind.code(), device.session, 0, 0, &body));
        let nack = rig.only().nack();
        assert_eq!((nack.code, nack.count), (ErrorCode::TOO_BIG, 16_383));
    }
    device.say(&mut rig, &raw(MessageType::Columns.code(), device.session, 0, 0, &body));
    assert_eq!(rig.only().nack().code, ErrorCode::UNSUPPORTED_ENCODING);
    assert_eq!((rig.engine.landing_bytes(), rig.store.queue.len()), (0, 0));
}

#[test]
fn case_19_damage_is_dropped_on_udp_and_ends_a_connection() {
    let mut rig = Rig::new();
    let udp = Script::udp(&mut rig, "gh-7", 1, 5000);
    for byte in 0..29 {
        let mut rows = udp.rows(0, 1);
        rows[byte] ^= 0x10;
        udp.say(&mut rig, &rows);
    }
    assert!(rig.silent());
    assert_eq!((rig.engine.counters().bad_frames, rig.store.queue.len()), (29, 0));
    let tcp = Script::tcp(&mut rig, "gh-8", 2, 1);
    let mut rows = tcp.rows(0, 1);
    rows[0] ^= 0x10;
    tcp.say(&mut rig, &rows);
    assert_eq!(rig.only().close().code, ErrorCode::FRAMING);
    assert!(rig.disconnected(1));
}

#[test]
fn case_20_one_device_on_both_transports_and_a_gateway_on_one_socket() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send_rows(&mut rig, 0, 2);
    rig.commit();
    rig.got();
    device.peer = rig.connect(1);
    device.hello.nonce += 1;
    device.say(&mut rig, &device.hello_bytes());
    rig.commit();
    let (_, welcome) = rig.got().iter().find_map(welcome_of).unwrap();
    assert_eq!((welcome.next_row, rig.engine.sessions()), (2, 1));
    let names = ["gw-1", "gw-2", "gw-3"];
    let gateway = names.map(|name| Script::udp(&mut rig, name, 5, 7000));
    let datagram: Vec<u8> = gateway.iter().flat_map(|device| device.rows(0, 1)).collect();
    rig.say(at(7000), &datagram);
    rig.commit();
    assert_eq!(rig.got().iter().filter(|got| got.is_ack() && got.seq == 1).count(), 3);
}

#[test]
fn case_21_a_full_disk_while_rows_are_on_their_way() {
    let mut rig = Rig::new();
    let udp = Script::udp(&mut rig, "gh-7", 1, 5000);
    let tcp = Script::tcp(&mut rig, "gh-8", 2, 1);
    udp.send_rows(&mut rig, 0, 2);
    tcp.send_rows(&mut rig, 0, 3);
    rig.fail_commit();
    rig.accept(false);
    let got = rig.got();
    assert!(got.len() == 2 && got.iter().all(|got| got.is_nack(ErrorCode::STORAGE)));
    udp.send_rows(&mut rig, 0, 2);
    assert!(rig.got()[0].is_nack(ErrorCode::BUSY));
    rig.accept(true);
    rig.got();
    udp.send_rows(&mut rig, 0, 2);
    tcp.send_rows(&mut rig, 0, 3);
    rig.commit();
    assert_eq!(rig.got().iter().map(|got| got.seq).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn case_22_a_reboot_whose_done_is_lost_is_not_repeated() {
    let mut rig = Rig::new();
    let mut device = Script::new("gh-7", 1, at(5000));
    device.hello.downlink = downlink::COMMAND;
    device.ready(&mut rig);
    let body = [&[0, 0, 0, 9, 0, 0, 0, 0, 6][..], b"reboot", &[0]].concat();
    let down = Downlink { kind: MessageType::Command, id: 9, body, ttl: Some(secs(600)) };
    rig.engine.handle_down(rig.now, "gh-7", down).unwrap();
    rig.drain();
    rig.commit();
    assert_eq!(rig.got().len(), 1);
    let mut booted = Script::new("gh-7", 2, at(5000)); // A new stream; the old session is still there.
    (booted.hello.downlink, booted.hello.last_command_id) = (downlink::COMMAND, 9);
    booted.open(&mut rig);
    let begun = |notice: &Notice| matches!(notice, Notice::Welcomed { last_command_id: 9, .. });
    assert!(rig.notices().iter().any(begun));
    rig.wait(secs(70));
    let to_new = |session| session == booted.session;
    assert!(
        !rig.got()
            .iter()
            .any(|got| to_new(got.session) && matches!(got.message, Message::Command(_)))
    );
    rig.wait(secs(10));
    assert!(rig.outcomes().contains(&(9, Outcome::Unknown)));
}
