//! How sessions begin, move and end. Spec §3.6, §5.1 to §5.3, §6.

mod common;

use std::time::Duration;

use common::script::{raw_as, welcome_of};
use common::{Rig, Script, at, message, raw, secs};
use senda_session::collector::{Config, Notice};
use senda_wire::registry::OptionCode;
use senda_wire::{Close, ErrorCode, Message, MessageType, Options, Ping, Suite};

/// Spec §6.3, §9.1a.
#[test]
fn a_hello_without_a_cookie_gets_retry_and_leaves_no_state() {
    let mut rig = Rig::new();
    let device = Script::new("gh-7", 1, at(5000));
    let before = format!("{:?}", rig.engine);
    device.say(&mut rig, &device.hello_bytes());
    let retry = rig.only();
    assert!(matches!(retry.message, Message::Retry { .. }));
    assert_eq!((retry.session, u64::from(retry.seq)), (0, device.hello.nonce & 0xFFFF_FFFF));
    assert!(retry.bytes.len() <= device.hello_bytes().len()); // Spec §5.2c.
    assert!(rig.store.queue.is_empty() && rig.engine.poll_timeout().is_none());
    let counted = before.replace("messages: 0", "messages: 1").replace("retries: 0", "retries: 1");
    assert_eq!(counted, format!("{:?}", rig.engine));
}

/// Spec §9.1b.
#[test]
fn a_cookie_is_worth_nothing_at_another_address() {
    let mut rig = Rig::new();
    let mut device = Script::new("gh-7", 1, at(5000));
    device.fetch_cookie(&mut rig);
    rig.say(at(5001), &device.hello_bytes());
    assert!(matches!(rig.only().message, Message::Retry { .. }));
    rig.wait(secs(31));
    device.say(&mut rig, &device.hello_bytes());
    assert!(matches!(rig.only().message, Message::Retry { .. }), "an old cookie");
    assert!(rig.store.queue.is_empty());
}

/// Spec §5.3a.
#[test]
fn a_repeated_hello_gets_the_same_bytes_for_60_s() {
    let mut rig = Rig::new();
    let mut device = Script::new("gh-7", 1, at(5000));
    device.fetch_cookie(&mut rig);
    device.say(&mut rig, &device.hello_bytes());
    device.say(&mut rig, &device.hello_bytes()); // While the store is being asked.
    rig.commit();
    let first = rig.only();
    rig.wait(secs(30));
    device.fetch_cookie(&mut rig);
    device.say(&mut rig, &device.hello_bytes());
    assert_eq!(rig.only().bytes, first.bytes);
    rig.wait(secs(31));
    device.fetch_cookie(&mut rig);
    device.say(&mut rig, &device.hello_bytes());
    rig.commit();
    let (session, _) = rig.got().iter().find_map(welcome_of).unwrap();
    assert_ne!(session, first.session, "after that it is a new session");
}

/// Spec §9.3a: a late copy of a HELLO from an address that the device has left.
#[test]
fn a_late_copy_of_a_hello_does_not_move_the_session() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    rig.say(at(6000), &device.rows(0, 1));
    rig.commit();
    rig.got();
    device.say(&mut rig, &device.hello_bytes()); // From port 5000.
    assert!(matches!(rig.only().message, Message::Welcome(_)));
    rig.say(at(6000), &device.rows(0, 1));
    rig.commit();
    assert_eq!(rig.only().peer, at(6000));
}

/// Spec §6.7: a CLOSE 402 would tell the device that it is a copy.
#[test]
fn a_late_copy_of_an_older_hello_does_not_replace_the_session() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let old = device.hello_bytes();
    device.reopen(&mut rig);
    device.say(&mut rig, &old);
    rig.commit();
    assert!(rig.silent());
    assert_eq!(rig.engine.sessions(), 1);
}

/// Spec §6.7: both copies of a device that was copied while its HELLO was out say that HELLO. Once the first has gone on to
/// another session the second must not wait for ever.
#[test]
fn a_copied_device_with_an_old_nonce_is_served_in_the_end() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let mut copy = Script::new("gh-7", 1, at(6000));
    assert_eq!(copy.hello.nonce, device.hello.nonce);
    device.reopen(&mut rig);
    rig.wait(secs(61));
    copy.fetch_cookie(&mut rig);
    copy.say(&mut rig, &copy.hello_bytes());
    rig.commit();
    let got = rig.got();
    let welcomed = got.iter().find(|got| matches!(got.message, Message::Welcome(_)));
    assert_eq!(welcomed.map(|got| got.peer), Some(at(6000)), "{got:#?}");
}

/// Spec §6.4c.
#[test]
fn a_newer_session_replaces_the_older_one() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let older = device.session;
    device.peer = rig.connect(1);
    device.hello.nonce += 1;
    device.say(&mut rig, &device.hello_bytes());
    rig.commit();
    let got = rig.got();
    assert!(matches!(got[0].message, Message::Welcome(_)), "WELCOME first");
    assert_eq!((got[1].session, got[1].peer), (older, at(5000)));
    assert_eq!(got[1].close().code, ErrorCode::REPLACED);
    assert_eq!(rig.engine.sessions(), 1);
    assert!(rig.notices().contains(&Notice::Replaced));
}

/// Spec §6.4c: it still lands, and the new session hears of it.
#[test]
fn what_the_older_session_had_received_counts() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.hello.nonce += 1;
    device.fetch_cookie(&mut rig);
    device.send_rows(&mut rig, 0, 3);
    device.say(&mut rig, &device.hello_bytes());
    device.send_rows(&mut rig, 3, 2);
    rig.commit();
    let got = rig.got();
    let (session, welcome) = got.iter().find_map(welcome_of).unwrap();
    assert_eq!(welcome.next_row, 3, "asked after the landings before it");
    let ack = got.iter().rfind(|got| got.is_ack()).unwrap();
    assert_eq!((ack.session, ack.seq), (session, 5), "what came after it is acknowledged too");
}

/// Spec §6.5a.
#[test]
fn a_ninth_session_displaces_the_one_heard_from_least_recently() {
    let mut rig = Rig::new();
    let mut streams = Vec::new();
    for stream in 0..8 {
        streams.push(Script::udp(&mut rig, "gh-7", stream, 5000));
        rig.wait(secs(1));
    }
    streams[0].send(&mut rig, 1, &Message::Ping(Ping { token: 1 }));
    rig.got();
    let mut ninth = Script::new("gh-7", 9, at(5000));
    ninth.fetch_cookie(&mut rig);
    ninth.say(&mut rig, &ninth.hello_bytes());
    rig.commit();
    let got = rig.got();
    let closed = got.iter().find(|got| matches!(got.message, Message::Close(_))).unwrap();
    assert_eq!(closed.session, streams[1].session);
    assert_eq!(closed.close().code, ErrorCode::TOO_MANY_SESSIONS);
    assert_eq!(rig.engine.sessions(), 8);
}

/// Spec §6.6a.
#[test]
fn a_session_ends_when_nothing_was_heard_for_two_and_a_half_keepalives() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    rig.wait(secs(70));
    device.send(&mut rig, 1, &Message::Ping(Ping { token: 7 }));
    rig.got();
    rig.wait(Duration::from_millis(74_999));
    assert!(rig.silent());
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.only().close().code, ErrorCode::TIMEOUT);
    assert_eq!((rig.engine.sessions(), rig.engine.poll_timeout()), (0, None));
    assert!(rig.notices().contains(&Notice::TimedOut));
}

/// Spec §5.23a.
#[test]
fn a_ping_gets_its_pong_at_once() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send(&mut rig, 77, &Message::Ping(Ping { token: 0x0123_4567_89AB_CDEF }));
    let pong = rig.only();
    assert_eq!(
        (pong.seq, pong.message),
        (77, Message::Pong(Ping { token: 0x0123_4567_89AB_CDEF }))
    );
}

/// Spec §5.6a.
#[test]
fn a_close_ends_the_session_and_is_not_answered() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let close = Close { code: ErrorCode::GOING, retry_after_ms: 0, text: "bye" };
    rig.say(at(5001), &message(device.session, 0, &Message::Close(close)));
    assert_eq!(rig.engine.sessions(), 1, "not from where the session is");
    device.send(&mut rig, 0, &Message::Close(close));
    device.send(&mut rig, 0, &Message::Close(close));
    assert_eq!(rig.engine.sessions(), 0);
    assert!(rig.silent());
}

/// Spec §5.1a, §5.1b, §10.1a.
#[test]
fn a_hello_that_breaks_a_rule_is_told_so_and_no_longer_than_it_was() {
    let mut rig = Rig::new();
    let device = Script::new("gh-7", 1, at(5000));
    let mut code_of = |bytes: &[u8]| {
        rig.say(at(5000), bytes);
        let got = rig.only();
        assert_eq!((got.session, u64::from(got.seq)), (0, device.hello.nonce & 0xFFFF_FFFF));
        assert!(got.bytes.len() <= bytes.len());
        got.close().code
    };
    let hello = device.hello_bytes();
    let body = &hello[12..hello.len() - 4];
    let with = |at: usize, value: u8| {
        let mut body = body.to_vec();
        body[at] = value;
        raw(1, 0, 0, 0, &body)
    };
    assert_eq!(code_of(&with(23, 0xFF)), ErrorCode::BAD_HELLO, "oldest_row is above next_row");
    assert_eq!(code_of(&with(34, 9)), ErrorCode::BAD_HELLO, "no such suite");
    assert_eq!(code_of(&raw(1, 0, 0, 0, &body[..16])), ErrorCode::BAD_HELLO, "short");
    let mut signed = device;
    signed.hello.suite = Suite::Signed;
    assert_eq!(code_of(&signed.hello_bytes()), ErrorCode::AUTH);
    let mut critical = device;
    critical.hello.options = Options::new(&[0xF0, 0, 0]).unwrap();
    assert_eq!(code_of(&critical.hello_bytes()), ErrorCode::UNSUPPORTED);
}

/// Spec §3.5a.
#[test]
fn a_newer_major_version_gets_404_on_both_transports() {
    let mut rig = Rig::new();
    let tcp = rig.connect(1);
    let foreign = raw_as(0xB1, 1, 0, 0, &[0; 49]);
    for peer in [at(5000), tcp] {
        rig.say(peer, &foreign[..30]);
        assert!(rig.silent());
        rig.say(peer, if peer == tcp { &foreign[30..] } else { &foreign });
        let got = rig.only();
        assert_eq!((got.close().code, got.close().text), (ErrorCode::VERSION, "1"));
        assert!(got.bytes.len() <= foreign.len());
    }
    assert!(rig.disconnected(1));
    rig.say(at(5000), &raw_as(0x91, 1, 0, 0, &[0; 49]));
    assert!(rig.silent(), "below 0xA it is not Senda");
}

/// Spec §3.6a.
#[test]
fn a_stream_without_frame_gets_406_and_is_closed_with_its_sessions() {
    let mut rig = Rig::new();
    let device = Script::tcp(&mut rig, "gh-7", 1, 1);
    let mut bytes = device.rows(0, 1);
    bytes[14] ^= 1;
    bytes.extend(device.rows(0, 1)); // Not looked at.
    device.say(&mut rig, &bytes);
    let got = rig.only();
    assert_eq!((got.session, got.close().code), (0, ErrorCode::FRAMING));
    assert!(rig.disconnected(1));
    assert!(rig.store.queue.is_empty());
    assert_eq!((rig.engine.sessions(), rig.engine.poll_timeout()), (0, None));
    device.send_rows(&mut rig, 0, 1);
    rig.disconnect(1);
    assert!(rig.silent());
}

/// Spec §3.6: a length above max_msg, before the bytes come.
#[test]
fn a_message_longer_than_offered_is_refused_by_its_header() {
    let mut rig = Rig::new();
    let device = Script::tcp(&mut rig, "gh-7", 1, 1);
    let mut header = device.rows(0, 1)[..12].to_vec();
    header[2..4].copy_from_slice(&16_385_u16.to_be_bytes());
    device.say(&mut rig, &header);
    assert_eq!(rig.only().close().code, ErrorCode::FRAMING);
}

/// Spec §3.6: `recv` gives bytes, not messages.
#[test]
fn messages_byte_by_byte_are_the_same_as_whole_ones() {
    let stories = [1, 7, 10_000].map(|step| {
        let mut rig = Rig::new();
        let peer = rig.connect(1);
        let mut device = Script::new("gh-7", 1, peer);
        let hello = device.hello_bytes();
        hello.chunks(step).for_each(|bytes| rig.say(peer, bytes));
        rig.commit();
        device.session = rig.got()[0].session;
        let mut bytes =
            common::script::declare(device.session, 0, &common::script::schema(), 2).concat();
        bytes.extend(device.rows(0, 100));
        bytes.extend(device.rows(100, 1));
        bytes.extend(message(device.session, 5, &Message::Ping(Ping { token: 5 })));
        bytes.chunks(step).for_each(|bytes| rig.say(peer, bytes));
        rig.commit();
        rig.got().iter().flat_map(|got| got.bytes.to_vec()).collect::<Vec<u8>>()
    });
    assert_eq!(stories[0], stories[2]);
    assert_eq!(stories[1], stories[2]);
}

/// Spec §3.6c.
#[test]
fn a_connection_that_says_nothing_is_closed_after_10_s() {
    let mut rig = Rig::new();
    rig.connect(1);
    rig.wait(Duration::from_millis(9_999));
    assert!(!rig.disconnected(1));
    rig.wait(Duration::from_millis(1));
    assert!(rig.disconnected(1));
    assert_eq!(rig.only().close().code, ErrorCode::TIMEOUT);
    let device = Script::tcp(&mut rig, "gh-7", 1, 2);
    rig.wait(secs(20));
    assert!(!rig.disconnected(2));
    let close = Close { code: ErrorCode::GOING, retry_after_ms: 0, text: "" };
    device.send(&mut rig, 0, &Message::Close(close));
    rig.wait(secs(10));
    assert!(rig.disconnected(2), "nor does one live on without a session");
}

/// Spec §3.7, check 6: a session is known on its transport, and on TCP on its connection.
#[test]
fn a_session_is_unknown_on_another_connection() {
    let mut rig = Rig::new();
    let device = Script::tcp(&mut rig, "gh-7", 1, 1);
    let other = rig.connect(2);
    for peer in [other, at(5000)] {
        rig.say(peer, &device.rows(0, 1));
        let got = rig.only();
        assert_eq!(
            (got.peer, got.session, got.close().code),
            (peer, device.session, ErrorCode::UNKNOWN_SESSION)
        );
    }
    assert!(rig.store.queue.is_empty());
}

/// Spec §6.6.
#[test]
fn sessions_end_with_their_connection_and_only_those() {
    let mut rig = Rig::new();
    let first = Script::tcp(&mut rig, "gh-1", 1, 1);
    let second = Script::new("gh-2", 2, first.peer).ready(&mut rig);
    Script::tcp(&mut rig, "gh-3", 3, 2);
    assert_eq!(rig.engine.sessions(), 3, "a gateway has many sessions on one connection");
    assert_ne!(first.session, second.session);
    rig.disconnect(1);
    assert_eq!(rig.engine.sessions(), 1);
    rig.disconnect(2);
    assert_eq!((rig.engine.sessions(), rig.engine.poll_timeout()), (0, None));
}

/// Spec §5.3a on TCP: a HELLO on a new connection is fresh, whatever its nonce.
#[test]
fn a_hello_repeated_on_a_new_connection_takes_the_session_there() {
    let mut rig = Rig::new();
    let mut device = Script::tcp(&mut rig, "gh-7", 1, 1);
    device.peer = rig.connect(2);
    device.say(&mut rig, &device.hello_bytes());
    assert_eq!(rig.only().session, device.session);
    rig.disconnect(1);
    device.send_rows(&mut rig, 0, 1);
    rig.commit();
    assert_eq!(rig.only().seq, 1);
    rig.wait(secs(20));
    assert!(!rig.disconnected(2));
}

/// An answer for a connection that has gone finds nobody.
#[test]
fn a_connection_may_end_while_the_store_is_asked() {
    let mut rig = Rig::new();
    let peer = rig.connect(1);
    let device = Script::new("gh-7", 1, peer);
    device.say(&mut rig, &device.hello_bytes());
    rig.disconnect(1);
    rig.commit();
    assert!(rig.silent());
    assert_eq!((rig.engine.sessions(), rig.engine.poll_timeout()), (0, None));
}

/// Limits on what anybody can make the engine keep.
#[test]
fn a_full_collector_refuses_new_streams_but_not_those_it_serves() {
    let mut rig = Rig::with(Config { sessions_max: 2, openings_max: 1, ..Config::default() });
    let mut served = Script::udp(&mut rig, "gh-1", 1, 5000);
    let mut waiting = Script::new("gh-2", 2, at(5001));
    waiting.fetch_cookie(&mut rig);
    waiting.say(&mut rig, &waiting.hello_bytes());
    let mut third = Script::new("gh-3", 3, at(5002));
    third.fetch_cookie(&mut rig);
    third.say(&mut rig, &third.hello_bytes());
    let close = rig.only().close();
    assert_eq!(close.code, ErrorCode::BUSY);
    assert!(close.retry_after_ms > 0);
    rig.commit();
    served.reopen(&mut rig);
    assert_eq!(rig.engine.sessions(), 2);
}

/// Spec §6.2: the store could not be read.
#[test]
fn a_hello_that_the_store_cannot_answer_is_told_to_come_back() {
    let mut rig = Rig::new();
    let mut device = Script::new("gh-7", 1, at(5000));
    device.fetch_cookie(&mut rig);
    device.say(&mut rig, &device.hello_bytes());
    let Some(senda_session::collector::Event::Open { token, .. }) = rig.store.queue.pop_front()
    else {
        panic!()
    };
    rig.engine.handle_stream_failed(token);
    rig.drain();
    let got = rig.only();
    assert_eq!(got.close().code, ErrorCode::BUSY);
    assert!(got.bytes.len() <= device.hello_bytes().len());
    device.reopen(&mut rig);
    assert_eq!(rig.engine.sessions(), 1);
}

/// Spec §5.1: the CLOCK option lands like a TIME_REQ; SOFTWARE is passed on.
#[test]
fn options_of_hello_are_used_or_skipped() {
    let mut rig = Rig::new();
    let peer = rig.connect(1);
    let mut device = Script::new("gh-7", 1, peer);
    let clock = senda_wire::TimeReq {
        t1: 1,
        offset: 2,
        uncertainty: 3,
        clock: senda_wire::Clock::Monotonic,
    };
    let mut options = vec![OptionCode::Software.code(), 0, 3, b's', b'/', b'1', 0x33, 0, 1, 9];
    options.extend([OptionCode::Clock.code(), 0, 21]);
    options.extend(clock.to_option());
    device.hello.options = Options::new(options.leak()).unwrap();
    device.say(&mut rig, &device.hello_bytes());
    let open = rig.store.queue.front().cloned();
    assert!(
        matches!(open, Some(senda_session::collector::Event::Open { software, .. }) if software == "s/1")
    );
    rig.commit();
    assert_eq!(rig.store.stream("gh-7", 1).unwrap().clocks, 1);
}

/// Spec §6.6b, §3.7: what no session of this collector is.
#[test]
fn an_unknown_session_gets_401_rate_limited_and_never_longer() {
    let mut rig = Rig::new();
    for len in 0..40 {
        let bytes = raw(0x70, 0x0BAD_5E55, 0, 0, &vec![0; len]);
        rig.say(at(5000), &bytes);
        let got = rig.got();
        assert!(got.iter().all(|got| got.bytes.len() <= bytes.len()));
        assert_eq!(got.len(), usize::from(bytes.len() == 23), "the first that is long enough");
        assert!(got.iter().all(
            |got| got.session == 0x0BAD_5E55 && got.close().code == ErrorCode::UNKNOWN_SESSION
        ));
    }
    rig.say(at(5001), &raw(0x70, 9, 0, 0, &[0; 20]));
    assert_eq!(rig.got().len(), 1, "another address");
    rig.wait(secs(1));
    rig.say(at(5000), &raw(0x70, 9, 0, 0, &[0; 20]));
    assert_eq!(rig.got().len(), 1, "another second");
    rig.say(at(5003), &raw(MessageType::Close.code(), 9, 0, 0, &[1, 0x91, 0, 0, 0, 0, 0]));
    assert!(rig.silent(), "a CLOSE is never answered");
}
