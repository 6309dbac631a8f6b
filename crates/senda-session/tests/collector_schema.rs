//! Schemas: declared in parts, stored before they are answered, refused for a reason. Spec §4, §5.4, §5.5, §12.1.

mod common;

use common::script::{declare, schema, schema_named};
use common::{Rig, Script, at, message, raw};
use senda_session::collector::Config;
use senda_wire::{
    ChannelSpec, Clock, Data, DataHead, Declare, ErrorCode, Identifier, Message, MessageType,
    Schema, ValueType, crc32,
};

fn opened(rig: &mut Rig) -> Script {
    let mut device = Script::new("gh-7", 1, at(5000));
    device.open(rig);
    device
}

/// Spec §5.5a.
#[test]
fn declared_is_said_only_when_the_schema_is_durable() {
    let mut rig = Rig::new();
    let device = opened(&mut rig);
    device.declare(&mut rig);
    assert!(rig.silent());
    rig.commit();
    let got = rig.only();
    assert_eq!((got.seq, got.message), (0, Message::Declared { crc: crc32(&schema()) }));
    device.declare(&mut rig);
    rig.commit();
    assert!(
        matches!(rig.only().message, Message::Declared { .. }),
        "and again when it comes again"
    );
}

/// Spec §5.4: in any order, twice, and two descriptions at a time.
#[test]
fn parts_come_in_any_order_and_mixed() {
    let mut rig = Rig::new();
    let device = opened(&mut rig);
    let first = declare(device.session, 3, &schema_named("first"), 4);
    let second = declare(device.session, 4, &schema_named("second"), 3);
    for part in
        [&first[3], &second[0], &first[1], &first[1], &second[2], &first[0], &second[1], &first[2]]
    {
        assert!(rig.silent());
        device.say(&mut rig, part);
    }
    rig.commit();
    let ids: Vec<u32> = rig.got().iter().map(|got| got.seq).collect();
    assert_eq!(ids, [4, 3]);
    assert_eq!(rig.store.stream("gh-7", 1).unwrap().schemas[&3], schema_named("first"));
}

/// Spec §5.4: a part with another crc or parts begins anew.
#[test]
fn a_part_that_differs_begins_the_description_anew() {
    let mut rig = Rig::new();
    let device = opened(&mut rig);
    let old = declare(device.session, 0, &schema_named("older"), 2);
    let new = declare(device.session, 0, &schema_named("newer"), 2);
    for part in [&old[0], &new[1], &old[1], &new[0], &new[1]] {
        device.say(&mut rig, part);
    }
    rig.commit();
    rig.only();
    assert_eq!(rig.store.stream("gh-7", 1).unwrap().schemas[&0], schema_named("newer"));
}

/// Spec §5.4, §4.2.
#[test]
fn a_description_that_breaks_a_rule_gets_205() {
    let mut rig = Rig::new();
    let device = opened(&mut rig);
    let whole = schema();
    let code_of = |rig: &mut Rig, seq, crc, bytes: &[u8]| {
        let part = Declare { part: 0, parts: 1, crc, bytes };
        let body = message(1, 0, &Message::Declare(part));
        let body = &body[12..body.len() - 4];
        device.say(rig, &raw(MessageType::Declare.code(), device.session, seq, 0, body));
        rig.only().nack().code
    };
    let bad = ErrorCode::BAD_SCHEMA;
    assert_eq!(code_of(&mut rig, 0, 1, &whole), bad, "another CRC-32 than stated");
    assert_eq!(code_of(&mut rig, 0, crc32(&whole[1..]), &whole[1..]), bad, "breaks section 4");
    assert_eq!(code_of(&mut rig, 64, crc32(&whole), &whole), bad, "ids end at 63");
    for part in declare(device.session, 1, &vec![7; 16_385], 32) {
        device.say(&mut rig, &part);
    }
    assert_eq!(rig.only().nack().code, bad, "too long");
    assert!(rig.store.queue.is_empty());
}

/// Spec §5.4a, also when the first one is still on its way, and when only the store knows it.
#[test]
fn another_content_for_an_id_gets_202() {
    let mut rig = Rig::new();
    let device = opened(&mut rig);
    let other = &declare(device.session, 0, &schema_named("other"), 1)[0];
    device.declare(&mut rig);
    device.say(&mut rig, other);
    assert_eq!(rig.only().nack().code, ErrorCode::SCHEMA_CONFLICT);
    rig.commit();
    rig.got();
    device.say(&mut rig, other);
    assert_eq!(rig.only().nack().code, ErrorCode::SCHEMA_CONFLICT);
}

/// Spec §5.4: a device need not wait for DECLARED.
#[test]
fn rows_may_follow_their_schema_at_once() {
    let mut rig = Rig::new();
    let device = opened(&mut rig);
    device.declare(&mut rig);
    device.send_rows(&mut rig, 0, 2);
    rig.commit();
    let got = rig.got();
    assert!(matches!(got[0].message, Message::Declared { .. }));
    assert_eq!((got[1].is_ack(), got[1].seq), (true, 2));
}

/// Spec §7.1d, §5.4b: then the rows that came with it are not taken either.
#[test]
fn a_schema_that_could_not_be_stored_is_not_known() {
    let mut rig = Rig::new();
    let device = opened(&mut rig);
    device.declare(&mut rig);
    rig.fail_commit();
    assert_eq!(rig.only().nack().code, ErrorCode::STORAGE);
    device.send_rows(&mut rig, 0, 1);
    assert_eq!(rig.only().nack().code, ErrorCode::UNKNOWN_SCHEMA);
    assert_eq!(rig.engine.schema_bytes(), 0);
    device.declare(&mut rig);
    device.send_rows(&mut rig, 0, 1);
    rig.commit();
    assert_eq!(rig.got().pop().unwrap().seq, 1);
}

/// Spec §5.4c.
#[test]
fn a_later_session_declares_nothing_again() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    rig.crash();
    device.reopen(&mut rig);
    device.send_rows(&mut rig, 0, 1);
    rig.commit();
    assert_eq!(rig.only().seq, 1);
}

/// Spec §12.1: what sessions keep of schemas has a limit, and goes with them.
#[test]
fn schemas_beyond_the_budget_get_101() {
    let mut rig = Rig::with(Config { schema_bytes_max: 60, ..Config::default() });
    let mut device = opened(&mut rig);
    for id in 0..20 {
        for part in &declare(device.session, id, &schema_named("some"), 3)[..2] {
            device.say(&mut rig, part);
        }
    }
    let got = rig.got();
    assert!(!got.is_empty() && got.iter().all(|got| got.is_nack(ErrorCode::BUSY)));
    assert!(rig.engine.schema_bytes() <= 60);
    device.reopen(&mut rig);
    assert_eq!(rig.engine.schema_bytes(), 0);
}

/// Spec §12.1a: nothing of it is resolved.
#[test]
fn a_message_with_too_many_values_gets_203() {
    let mut rig = Rig::new();
    let peer = rig.connect(1);
    let mut device = Script::new("gh-7", 1, peer);
    device.open(&mut rig);
    let name = |name| Identifier::new(name).unwrap();
    let vector = ChannelSpec { elements: 64, ..ChannelSpec::new(name("v"), ValueType::U8) };
    let mut out = [0; 64];
    let wide = Schema::encode(name("wide"), &[vector], &mut out).unwrap();
    device.say(&mut rig, &declare(device.session, 0, wide, 1)[0]);
    let head = DataHead { schema: 0, clock: Clock::None, count: 257, t0: 0 };
    device.send(&mut rig, 0, &Message::Rows(Data { head, rows: &[] }));
    let nack = rig.only().nack();
    assert_eq!((nack.code, nack.first, nack.count), (ErrorCode::TOO_BIG, 0, 257));
    assert_eq!(rig.store.queue.len(), 1, "the schema alone");
}
