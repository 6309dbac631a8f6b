//! Spec §6.

use std::time::Duration;

use senda_session::device::{
    Closing, Config, Device, Event, LostReason, PushError, Timer, Transport,
};
use senda_wire::{ErrorCode, Message, MessageType, Range, SkipCause};

use crate::bench::{Bench, ROW, SESSION, config};

#[test]
fn hello_is_repeated_unchanged_with_growing_waits() {
    let mut bench = Bench::new(config(), Transport::Udp);
    bench.device.connect(bench.now, Transport::Udp);
    let first = bench.hello();
    bench.push(3); // Spec §5.2a: even though the device has more to say by now.
    for power in 0..14 {
        let (timer, waited) = bench.fire();
        let doublings = i32::max(power - 2, 0).min(9); // 1, 1, 1, 2, 4, 8 ...
        let least = Duration::from_secs(1 << doublings).min(Duration::from_secs(300));
        assert_eq!(timer, Timer::Hello);
        assert!(waited >= least && waited <= least * 3 / 2, "{power}: {waited:?}"); // Spec §6.3a.
        assert_eq!(bench.hello().bytes, first.bytes);
    }
}

#[test]
fn retry_is_answered_at_once_with_its_cookie_and_the_same_nonce() {
    let mut bench = Bench::new(config(), Transport::Udp);
    bench.device.connect(bench.now, Transport::Udp);
    let first = bench.hello();
    let seq = first.answer_seq();
    bench.say_in(0, seq, &Message::Retry { cookie: b"cookie" });
    let second = bench.hello();
    assert_eq!(second.hello().cookie, b"cookie");
    assert_eq!(second.hello().nonce, first.hello().nonce); // Spec §5.2a.
}

#[test]
fn after_a_retry_the_waits_begin_anew() {
    let mut bench = Bench::new(config(), Transport::Udp);
    bench.device.connect(bench.now, Transport::Udp);
    let seq = bench.hello().answer_seq();
    for _ in 0..6 {
        bench.fire_until(Timer::Hello);
        bench.hello();
    }
    bench.say_in(0, seq, &Message::Retry { cookie: b"cookie" });
    bench.hello();
    let (timer, waited) = bench.fire();
    assert_eq!(timer, Timer::Hello);
    assert!(waited <= Duration::from_millis(1_500), "{waited:?}"); // Spec §6.3c.
}

#[test]
fn a_welcome_gives_the_first_round_trip_unless_its_hello_was_repeated() {
    const RTT: Duration = Duration::from_millis(40);
    let cookies: [&[&[u8]]; 3] = [&[b"one"], &[b"one", b"one"], &[b"one", b"two"]];
    for (cookies, wanted) in cookies.into_iter().zip([Some(RTT), None, None]) {
        let mut bench = Bench::new(config(), Transport::Udp);
        bench.device.connect(bench.now, Transport::Udp);
        let mut hello = bench.hello();
        let seq = hello.answer_seq();
        for cookie in cookies {
            bench.wait(RTT);
            bench.say_in(0, seq, &Message::Retry { cookie });
            hello = bench.hello();
        }
        bench.wait(RTT);
        bench.welcome(&hello);
        assert_eq!(bench.device.stats().rtt, wanted, "{cookies:?}"); // Spec §7.5a.
    }
}

#[test]
fn retries_without_end_do_not_make_hellos_without_end() {
    let mut bench = Bench::new(config(), Transport::Udp);
    bench.device.connect(bench.now, Transport::Udp);
    let seq = bench.hello().answer_seq();
    let mut hellos = 0;
    for _ in 0..100 {
        bench.say_in(0, seq, &Message::Retry { cookie: b"never good" });
        hellos += bench.sent().len();
    }
    assert!(hellos <= 2, "{hellos} HELLOs in one instant");
    assert_eq!(bench.fire().0, Timer::Hello);
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn answers_to_other_hellos_are_ignored() {
    let mut bench = Bench::new(config(), Transport::Udp);
    bench.device.connect(bench.now, Transport::Udp);
    let seq = bench.hello().answer_seq();
    bench.say_in(0, seq ^ 1, &Message::Retry { cookie: b"cookie" }); // Spec §5.2b.
    let close = senda_wire::Close { code: ErrorCode::AUTH, retry_after_ms: 0, text: "" };
    bench.say_in(0, seq ^ 1, &Message::Close(close));
    assert!(bench.sent().is_empty() && bench.events().is_empty());
    assert_eq!(bench.device.stats().stray, 2);
}

#[test]
fn rows_of_a_stream_that_the_collector_knows_wait_for_declared() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut bench = Bench::new(Config { stream: Some(7), ..config() }, transport);
        bench.push(3);
        bench.device.connect(bench.now, transport);
        let hello = bench.hello();
        (bench.terms.next_row, bench.terms.high_row) = (1, 1);
        bench.welcome(&hello);
        let sent = bench.declared();
        assert_eq!(sent.iter().map(|sent| sent.kind).collect::<Vec<_>>(), [MessageType::Declare]);
        assert_eq!(bench.sent_rows(), [1..3]); // Spec §5.4d.
        bench.ack(3);
        assert!(bench.device.is_flushed());
    }
}

#[test]
fn rows_of_a_new_stream_follow_declare_at_once_on_udp() {
    let mut bench = Bench::new(config(), Transport::Udp);
    bench.push(2);
    bench.device.connect(bench.now, Transport::Udp);
    let hello = bench.hello();
    bench.welcome(&hello);
    let kinds: Vec<_> = bench.sent().iter().map(|sent| sent.kind).collect();
    assert_eq!(kinds, [MessageType::Declare, MessageType::Rows]); // Spec §5.4d.
}

#[test]
fn a_new_connection_resumes_from_next_row() {
    let mut bench = Bench::tcp();
    bench.push(10);
    assert_eq!(bench.sent_rows(), [0..10]);
    bench.device.disconnected(bench.now);
    bench.fire_until(Timer::Connect);
    assert!(bench.events().contains(&Event::NeedConnect));
    bench.device.connect(bench.now, Transport::Tcp);
    let hello = bench.hello();
    assert_eq!((hello.hello().next_row, hello.hello().oldest_row), (10, 0));
    (bench.terms.next_row, bench.terms.high_row) = (4, 4);
    bench.welcome(&hello);
    assert_eq!(bench.sent_rows(), [4..10]); // Spec §6.4a; and nothing is declared again, §5.4c.
    assert_eq!(bench.device.stats().acked, 4);
}

#[test]
fn a_collector_that_lost_rows_is_told_with_skip_lost() {
    let mut bench = Bench::tcp();
    bench.push(10);
    bench.sent();
    bench.ack(10);
    bench.push(1);
    bench.device.disconnected(bench.now);
    bench.device.connect(bench.now, Transport::Tcp);
    let hello = bench.hello();
    (bench.terms.next_row, bench.terms.high_row) = (3, 3); // Restored from an old backup.
    bench.welcome(&hello);
    let sent = bench.sent();
    assert_eq!(sent[0].kind, MessageType::Skip);
    assert_eq!(sent[0].rows(), 3..10); // Spec §6.4b.
    assert_eq!(sent[1].rows(), 10..11);
    bench.ack(11);
    assert!(bench.device.is_flushed());
    assert_eq!(bench.device.stats().skipped, [0, 7, 0, 0]);
}

#[test]
fn a_high_row_above_its_own_means_a_copy_and_a_new_stream() {
    let mut bench = Bench::new(config(), Transport::Udp);
    bench.push(5);
    bench.device.connect(bench.now, Transport::Udp);
    let hello = bench.hello();
    (bench.terms.next_row, bench.terms.high_row) = (2, 6);
    bench.welcome(&hello);
    let again = bench.hello();
    assert_ne!(again.hello().stream, hello.hello().stream); // Spec §6.7a.
    assert_ne!(again.hello().nonce, hello.hello().nonce);
    let Some(Event::NewStream(new)) = bench.events().pop() else { panic!("no event") };
    assert_eq!(new.moved, [(0, 5, 0)]);
    (bench.terms.next_row, bench.terms.high_row) = (0, 0);
    bench.welcome(&again);
    assert_eq!(bench.sent_rows(), [0..5]);
}

#[test]
fn replaced_without_a_hello_of_its_own_means_a_copy() {
    let mut bench = Bench::udp();
    let stream = bench.device.stream();
    bench.push(4);
    bench.sent();
    bench.ack(2);
    bench.close(SESSION, ErrorCode::REPLACED, 0);
    assert_ne!(bench.device.stream(), stream);
    bench.fire_until(Timer::Hello);
    assert_eq!(bench.hello().hello().next_row, 2); // Rows 2 and 3 are 0 and 1 now.
}

#[test]
fn replaced_for_an_older_session_is_ignored() {
    let mut bench = Bench::udp();
    let stream = bench.device.stream();
    bench.device.connect(bench.now, Transport::Udp);
    bench.session = 99;
    bench.greet_and_declare();
    bench.close(SESSION, ErrorCode::REPLACED, 0); // Spec §6.6d.
    assert!(bench.device.is_serving());
    assert_eq!(bench.device.stream(), stream);
}

#[test]
fn unknown_session_waits_a_random_time_and_keeps_the_rows() {
    let mut waits = Vec::new();
    let mut bench = Bench::udp();
    for _ in 0..8 {
        bench.push(1);
        bench.sent();
        bench.close(SESSION, ErrorCode::UNKNOWN_SESSION, 0);
        waits.push(bench.fire_until(Timer::Hello));
        bench.greet_and_declare();
    }
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(10))); // Spec §6.3b.
    assert!(waits.iter().any(|wait| *wait > Duration::from_secs(2)), "{waits:?}");
    assert_eq!(bench.device.pending(), 8);
}

#[test]
fn going_with_a_wait_is_honoured_and_without_one_means_as_you_like() {
    let mut bench = Bench::udp();
    bench.close(SESSION, ErrorCode::GOING, 20_000);
    let waited = bench.fire_until(Timer::Hello);
    assert!((20..=25).contains(&waited.as_secs()), "{waited:?}"); // Spec §8.3a.
    bench.greet_and_declare();
    bench.close(SESSION, ErrorCode::GOING, 0);
    let waited = bench.fire_until(Timer::Hello);
    assert!(waited <= Duration::from_secs(2), "{waited:?}"); // Spec §5.6, and the back-off of a first failure.
}

#[test]
fn no_wait_is_longer_than_300_seconds() {
    let mut bench = Bench::udp();
    bench.close(SESSION, ErrorCode::BUSY, u32::MAX);
    let waited = bench.fire_until(Timer::Hello);
    assert!(waited <= Duration::from_secs(300), "{waited:?}"); // Spec §8.3a.
}

#[test]
fn connections_that_fail_back_off_with_full_jitter() {
    let mut bench = Bench::new(config(), Transport::Tcp);
    let mut waits = Vec::new();
    for _ in 0..14 {
        bench.device.disconnected(bench.now);
        waits.push(bench.fire_until(Timer::Connect));
    }
    for (power, wait) in waits.iter().enumerate() {
        let most = Duration::from_secs(1 << power.min(9)).min(Duration::from_secs(300));
        assert!(*wait <= most, "{power}: {wait:?}");
    }
    assert!(waits.iter().max().unwrap() > &Duration::from_secs(30));
}

#[test]
fn close_when_flushed_says_close_after_the_last_ack() {
    let mut bench = Bench::udp();
    bench.push(3);
    bench.device.close(Closing::WhenFlushed);
    assert_eq!(bench.sent_rows(), [0..3]);
    assert!(!bench.device.is_closed());
    bench.ack(3);
    let sent = bench.sent();
    assert_eq!(sent[0].kind, MessageType::Close);
    assert_eq!(sent[0].session, SESSION);
    assert_eq!(bench.events().last(), Some(&Event::Closed));
    let push = bench.device.push(bench.now, bench.schema, senda_wire::Clock::None, 0, &ROW);
    assert_eq!(push, Err(PushError::Closed));
    assert_eq!(bench.device.poll_timeout(), None);
}

/// The last ACK is lost with its collector; the next one's WELCOME says the same.
#[test]
fn close_when_flushed_says_close_after_a_welcome_that_tells_of_the_last_row() {
    let mut bench = Bench::udp();
    bench.push(3);
    bench.device.close(Closing::WhenFlushed);
    assert_eq!(bench.sent_rows(), [0..3]);
    bench.close(SESSION, ErrorCode::UNKNOWN_SESSION, 0);
    bench.fire_until(Timer::Hello);
    (bench.terms.next_row, bench.terms.high_row) = (3, 3);
    let hello = bench.hello();
    bench.welcome(&hello);
    assert!(bench.device.is_closed());
    assert_eq!(bench.sent()[0].kind, MessageType::Close);
}

/// Spec §6.7a: a row that a range named is durable under its old number: moved, it would be stored twice.
#[test]
fn what_a_range_named_is_not_moved_by_a_later_new_stream() {
    let mut bench = Bench::udp();
    bench.push_and_send(4);
    bench.ack_with(1, 4_096, 0, &[Range { start: 2, end: 3 }]);
    let _ = bench.events();
    bench.close(SESSION, ErrorCode::REPLACED, 0);
    let events = bench.events();
    let moved = events.iter().find_map(|event| match event {
        Event::NewStream(new) => Some(new.moved.clone()),
        _ => None,
    });
    assert_eq!(moved, Some(vec![(1, 1, 0), (3, 1, 1)]));
    assert_eq!(bench.device.stats().acked, 2);
}

#[test]
fn the_last_number_ends_the_stream_and_not_the_device() {
    let config = Config { stream: Some(7), first_row: u32::MAX - 2, ..config() };
    let mut bench = Bench::new(config, Transport::Udp);
    bench.device.connect(bench.now, Transport::Udp);
    (bench.terms.next_row, bench.terms.high_row) = (u32::MAX - 2, u32::MAX - 2);
    bench.greet_and_declare();
    bench.push(2);
    assert_eq!(bench.device.next_row(), u32::MAX);
    let full = bench.device.push(bench.now, bench.schema, senda_wire::Clock::None, 0, &ROW);
    assert_eq!(full, Err(PushError::StreamFull)); // Spec §2.3c.
    assert_eq!(bench.sent_rows(), [u32::MAX - 2..u32::MAX]);
    bench.ack(u32::MAX);
    bench.push(1);
    assert_eq!(bench.device.next_row(), 1);
    assert_ne!(bench.device.stream(), 7);
    assert_eq!(bench.hello().hello().next_row, 0);
}

#[test]
fn a_spool_keeps_its_stream_and_its_numbers() {
    let config = Config { stream: Some(0xABCD), first_row: 100, ..config() };
    let mut bench = Bench::new(config, Transport::Udp);
    assert_eq!(bench.push(3), 100..103);
    bench.device.connect(bench.now, Transport::Udp);
    let hello = bench.hello();
    let hello = hello.hello();
    assert_eq!((hello.stream, hello.oldest_row, hello.next_row), (0xABCD, 100, 103));
}

#[test]
fn two_seeds_draw_two_streams_and_one_seed_one() {
    let stream = |seed| Device::new(config(), [seed; 32]).unwrap().stream();
    assert_ne!(stream(1), stream(2)); // Spec §2.3a.
    assert_eq!(stream(1), stream(1));
}

#[test]
fn an_unanswered_tcp_connection_is_given_up() {
    let mut bench = Bench::tcp();
    bench.push(1);
    bench.sent();
    let waited = bench.fire_until(Timer::Silence);
    assert!(waited <= Duration::from_secs(61), "{waited:?}");
    assert!(matches!(bench.events()[0], Event::Lost { reason: LostReason::Silence, .. }));
    bench.fire_until(Timer::Connect);
    assert_eq!(bench.events(), [Event::NeedConnect]);
}

#[test]
fn dropped_rows_of_a_snapshot_are_not_renumbered() {
    let mut config = config();
    config.queue.rows = 4;
    let mut bench = Bench::new(config, Transport::Udp);
    bench.push(6); // Three of them make room: two rows and a place for the skip.
    bench.device.connect(bench.now, Transport::Udp);
    let hello = bench.hello();
    (bench.terms.next_row, bench.terms.high_row) = (0, 9);
    bench.welcome(&hello);
    let moved = bench.events().into_iter().find_map(|event| match event {
        Event::NewStream(new) => Some(new.moved),
        _ => None,
    });
    assert_eq!(moved, Some(vec![(3, 3, 0)]));
    assert_eq!(bench.device.stats().skipped[usize::from(SkipCause::Overflow.code()) - 1], 3);
}
