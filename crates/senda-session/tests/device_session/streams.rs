//! Old streams that a spool drains, and a live stream that is left to one. Spec §6.4, §6.5, §6.7.

use std::time::Duration;

use senda_session::device::{Config, Device, Event, PushError, Timer, Transport};
use senda_wire::{Clock, ErrorCode, Message, MessageType, Range, SkipCause};

use crate::bench::{Bench, ROW, config};

const OLD: u64 = 0x0123_4567_89AB_CDEF;

/// Rows 10 to 99 of a stream of an earlier boot.
fn old() -> Config {
    Config { stream: Some(OLD), first_row: 10, ends: Some(100), ..config() }
}

/// Its session, whose collector has every row below 10, and some above.
fn draining(next_row: u32, high_row: u32) -> Bench {
    let mut bench = Bench::new(old(), Transport::Udp);
    bench.terms.next_row = next_row;
    bench.terms.high_row = high_row;
    bench.device.connect(bench.now, Transport::Udp);
    bench.greet_and_declare();
    bench
}

#[test]
fn the_hello_of_an_old_stream_says_where_it_ends() {
    let mut bench = Bench::new(old(), Transport::Udp);
    bench.push(3);
    bench.device.connect(bench.now, Transport::Udp);
    let hello = bench.hello();
    assert_eq!(hello.hello().stream, OLD);
    assert_eq!((hello.hello().oldest_row, hello.hello().next_row), (10, 100)); // Spec §6.5c.
}

#[test]
fn an_old_stream_is_never_left_for_rows_that_the_collector_has_beyond_it() {
    let mut bench = draining(10, 140); // Spec §6.5d: the tail of the spool was lost after its rows had left.
    bench.push(5);
    assert_eq!(bench.sent_rows(), [10..15]);
    bench.ack_with(15, 4_096, 0, &[Range { start: 90, end: 140 }]);
    assert!(bench.device.is_flushed());
    assert_eq!(bench.device.stats().malformed, 0, "what an earlier session brought is no mistake");
    assert_eq!(bench.device.stream(), OLD);
}

#[test]
fn another_copy_of_the_spool_is_given_time_and_not_another_stream() {
    let mut bench = draining(10, 10);
    bench.push(2);
    bench.close(bench.session, ErrorCode::REPLACED, 0);
    let events = bench.events();
    assert!(!events.iter().any(|event| matches!(event, Event::NewStream(_))), "{events:?}");
    let waited = bench.fire_until(Timer::Hello);
    assert!(waited >= Duration::from_secs(10), "{waited:?}");
    let hello = bench.hello();
    assert_eq!((hello.hello().stream, hello.hello().oldest_row), (OLD, 10)); // Spec §6.5d.
}

#[test]
fn what_an_earlier_session_brought_is_not_asked_for() {
    let mut bench = draining(40, 40);
    assert_eq!(bench.device.next_row(), 40); // Spec §6.4a.
    assert_eq!(bench.push(2), 40..42);
    bench.sent();
    bench.ack(60); // A range joined the mark.
    assert_eq!(bench.push(1), 60..61);
    assert_eq!(bench.sent_rows(), [60..61]);
}

#[test]
fn nothing_is_added_to_an_old_stream() {
    let mut bench = draining(98, 98);
    bench.push(2);
    let pushed = bench.device.push(bench.now, bench.schema, Clock::UtcSynced, 0, &ROW);
    assert_eq!(pushed, Err(PushError::StreamFull));
    let skipped = bench.device.skip(bench.now, 1, SkipCause::Overflow);
    assert_eq!(skipped, Err(PushError::StreamFull));
    assert_eq!(bench.device.stream(), OLD);
}

#[test]
fn an_end_without_its_stream_is_no_configuration() {
    let wrong = Device::new(Config { ends: Some(7), ..config() }, [1; 32]).unwrap_err();
    assert_eq!(wrong.field, "ends");
    let wrong = Device::new(Config { ends: Some(9), ..old() }, [1; 32]).unwrap_err();
    assert_eq!(wrong.field, "ends");
}

#[test]
fn a_skip_takes_numbers_and_goes_again_until_it_is_acknowledged() {
    let mut bench = draining(10, 10);
    assert_eq!(bench.device.skip(bench.now, 0, SkipCause::Overflow), Err(PushError::BadRow));
    assert_eq!(bench.device.skip(bench.now, 30, SkipCause::Overflow), Ok(10));
    assert_eq!(bench.push(1), 40..41);
    let skips = bench.sent_of(MessageType::Skip);
    assert_eq!(skips.len(), 1);
    assert_eq!(skips[0].rows(), 10..40); // Spec §5.12.
    bench.fire_until(Timer::Resend);
    assert_eq!(bench.sent_of(MessageType::Skip)[0].rows(), 10..40); // Spec §5.12a.
    bench.ack(41);
    assert!(bench.device.is_flushed());
    let stats = bench.device.stats();
    assert_eq!((stats.made, stats.acked, stats.skipped[0]), (31, 1, 30));
}

#[test]
fn a_stream_that_is_left_is_closed_and_another_begins() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut bench = Bench::open(config(), transport);
        bench.push_and_send(3);
        bench.ack(1);
        let before = bench.device.stream();
        assert_eq!(bench.device.leave_stream(bench.now), (before, 1));
        assert_ne!(bench.device.stream(), before);
        assert_eq!(bench.push(1), 0..1);
        let sent = bench.sent();
        assert!(matches!(sent[0].message(), Message::Close(close) if close.code.0 == 407));
        assert_eq!(sent[0].session, bench.session);
        assert_eq!(sent[1].hello().stream, bench.device.stream());
        let stats = bench.device.stats();
        assert_eq!((stats.made, stats.acked, stats.left, bench.device.pending()), (4, 1, 2, 1));
    }
}

/// Spec §6.7b: the HELLO that was on its way when the device moved may arrive after the one that followed it.
#[test]
fn a_move_while_a_hello_is_out_is_no_snapshot() {
    let mut bench = Bench::new(config(), Transport::Udp);
    bench.device.connect(bench.now, Transport::Udp);
    let stream = bench.device.stream();
    bench.hello();
    bench.transport = Transport::Tcp;
    bench.device.connect(bench.now, Transport::Tcp);
    let hello = bench.hello();
    bench.welcome(&hello);
    bench.close(bench.session, ErrorCode::REPLACED, 0);
    assert_eq!(bench.device.stream(), stream);
}

#[test]
fn the_clock_of_an_earlier_boot_is_told_by_hello_and_again_when_more_is_known() {
    let mut bench = Bench::new(old(), Transport::Udp);
    bench.device.state_offset(bench.now, Clock::Monotonic, 5, 1_700_000_000_000_000, 2_500_000);
    bench.device.connect(bench.now, Transport::Udp);
    let hello = bench.hello();
    let option = hello.hello().options.get(senda_wire::registry::OptionCode::Clock).unwrap();
    let told = senda_wire::TimeReq::from_option(option).unwrap();
    assert_eq!((told.clock, told.t1), (Clock::Monotonic, 1_000_005));
    assert_eq!((told.offset, told.uncertainty), (1_700_000_000_000_000, 2_500_000)); // Spec §13.3.
    (bench.terms.next_row, bench.terms.high_row) = (10, 10);
    bench.welcome(&hello);
    bench.declared();
    bench.device.state_offset(bench.now, Clock::Monotonic, 5, 1_700_000_000_000_100, 400);
    let asked = bench.sent_of(MessageType::TimeReq);
    assert_eq!(asked.len(), 1);
    let Message::TimeReq(told) = asked[0].message() else { unreachable!("it is a TIME_REQ") };
    assert_eq!((told.offset, told.uncertainty), (1_700_000_000_000_100, 400));
}
