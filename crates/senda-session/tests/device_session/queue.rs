//! Limits, SKIP, COUNTS. Spec §5.11, §5.12, §14 case 5.

use std::time::Duration;

use senda_session::device::{Config, DropPolicy, Event, PushError, QueueLimits, Timer, Transport};
use senda_wire::{Clock, ErrorCode, Message, MessageType, SkipCause, ValueType};

use crate::bench::{Bench, ROW, config, description};

fn small(rows: u32, policy: DropPolicy) -> Config {
    Config { queue: QueueLimits { rows, bytes: 1 << 16, policy }, ..config() }
}

#[test]
fn an_overflow_drops_the_oldest_and_tells_of_it_reliably() {
    let mut bench = Bench::new(small(8, DropPolicy::DropOldest), Transport::Udp);
    bench.push(20);
    assert_eq!(bench.device.pending(), 8, "a skip and seven rows");
    bench.device.connect(bench.now, Transport::Udp);
    let hello = bench.hello();
    assert_eq!((hello.hello().oldest_row, hello.hello().next_row), (13, 20));
    bench.welcome(&hello);
    let sent = bench.declared();
    let skip = sent.iter().find(|sent| sent.kind == MessageType::Skip).unwrap().clone();
    assert_eq!(skip.rows(), 0..13);
    let Message::Skip(body) = skip.message() else { panic!("SKIP expected") };
    assert_eq!(body.cause, SkipCause::Overflow.code());
    let rows = sent.iter().find(|sent| sent.kind == MessageType::Rows).unwrap();
    assert_eq!(rows.rows(), 13..20);
    // Lost on the way: it goes again until it is acknowledged. Spec §5.12a.
    bench.fire_until(Timer::Resend);
    assert_eq!(bench.sent_of(MessageType::Skip)[0].bytes, skip.bytes);
    bench.ack(20);
    let stats = bench.device.stats();
    assert_eq!((stats.made, stats.acked, stats.skipped), (20, 7, [13, 0, 0, 0]));
}

#[test]
fn drops_of_neighbours_are_one_event() {
    let mut bench = Bench::new(small(8, DropPolicy::DropOldest), Transport::Udp);
    bench.push(20);
    let cause = SkipCause::Overflow;
    assert_eq!(bench.events(), [Event::Dropped { first: 0, count: 13, cause }]);
}

#[test]
fn a_queue_that_refuses_gives_no_number() {
    let mut bench = Bench::new(small(4, DropPolicy::RefuseNew), Transport::Udp);
    bench.push(4);
    let push = bench.device.push(bench.now, bench.schema, Clock::None, 0, &ROW);
    assert_eq!(push, Err(PushError::Full));
    assert_eq!((bench.device.next_row(), bench.device.stats().turned_away), (4, 1));
}

#[test]
fn rows_given_up_in_flight_and_stored_all_the_same_count_as_stored() {
    let mut bench = Bench::open(small(4, DropPolicy::DropOldest), Transport::Udp);
    bench.push(4);
    bench.sent();
    bench.push(2); // Drops 0, 1 and 2 while they fly.
    bench.ack(4); // But they had arrived.
    bench.sent();
    bench.ack(6);
    let stats = bench.device.stats();
    assert_eq!((stats.made, stats.acked, stats.skipped[0]), (6, 6, 0));
}

#[test]
fn memory_is_bounded_whatever_is_pushed_and_refused() {
    let limits = QueueLimits { rows: 50, bytes: 600, policy: DropPolicy::DropOldest };
    let mut bench = Bench::open(Config { queue: limits, ..config() }, Transport::Udp);
    let blob = bench.device.declare(&description("blob", &[ValueType::Blob])).unwrap();
    bench.declared();
    for round in 0u32..2_000 {
        bench.push(1);
        let mut row = vec![0, 100];
        row.resize(102, 7);
        bench.device.push(bench.now, blob, Clock::None, 0, &row).unwrap();
        if round % 3 == 0 {
            for sent in bench.sent_of(MessageType::Rows) {
                let rows = sent.rows();
                let code = ErrorCode::UNSUPPORTED_ENCODING;
                bench.nack(&sent, code, rows.start, rows.end - rows.start, 0);
            }
        }
        assert!(bench.device.pending() <= 50);
    }
    let stats = bench.device.stats();
    let skipped: u64 = stats.skipped.iter().sum();
    assert!(stats.made - skipped <= 50, "{stats:?}");
}

#[test]
fn a_row_larger_than_the_queue_is_refused() {
    let limits = QueueLimits { rows: 10, bytes: 100, policy: DropPolicy::DropOldest };
    let mut bench = Bench::new(Config { queue: limits, ..config() }, Transport::Udp);
    bench.push(3);
    let blob = bench.device.declare(&description("blob", &[ValueType::Blob])).unwrap();
    let mut row = vec![0, 200];
    row.resize(202, 7);
    assert_eq!(bench.device.push(bench.now, blob, Clock::None, 0, &row), Err(PushError::Full));
    assert_eq!(bench.device.pending(), 3, "and nothing is given up for it");
}

#[test]
fn counts_takes_a_number_and_says_what_was_made_and_dropped() {
    let mut bench = Bench::new(small(8, DropPolicy::DropOldest), Transport::Tcp);
    bench.push(10);
    assert_eq!(bench.device.push_counts(bench.now), Ok(10)); // Spec §5.11a.
    assert_eq!(bench.push(1), 11..12);
    bench.device.connect(bench.now, Transport::Tcp);
    let hello = bench.hello();
    bench.welcome(&hello);
    bench.declared();
    let counts = bench.sent_of(MessageType::Counts);
    let Message::Counts(body) = counts[0].message() else { panic!("COUNTS expected") };
    assert_eq!((counts[0].seq, body.made), (10, 10));
    assert_eq!(body.causes.iter().collect::<Vec<_>>(), [(1, 4)]);
    bench.ack(12);
    assert_eq!(bench.device.stats().acked + bench.device.stats().skipped[0], 11);
}

/// Spec §5.11b: with the first row so long after the latest one, and not while that one waits.
#[test]
fn the_ledger_goes_along_with_rows_and_one_copy_of_it_at_most_waits() {
    let every = Duration::from_secs(10);
    let mut bench = Bench::open(Config { counts_every: Some(every), ..config() }, Transport::Udp);
    let pushed = |bench: &mut Bench, after: Duration| {
        bench.wait(after);
        bench.push(1);
        bench.sent().iter().filter(|sent| sent.kind == MessageType::Counts).count()
    };
    assert_eq!(pushed(&mut bench, Duration::ZERO), 0);
    assert_eq!(pushed(&mut bench, every / 2), 0);
    assert_eq!(pushed(&mut bench, every / 2), 1, "rows 0 to 2, and COUNTS is 3");
    assert_eq!(bench.device.next_row(), 4);
    bench.push(1);
    assert_eq!(bench.device.next_row(), 5, "it was told just now");
    bench.wait(every * 3);
    bench.push(1);
    assert_eq!(bench.device.next_row(), 6, "the first one waits for its ACK");
    bench.ack(6);
    bench.push(1);
    assert_eq!(bench.device.next_row(), 8);
    bench.ack(8);
    assert_eq!(bench.device.push_new_counts(bench.now), Ok(None), "that has been told");
    bench.push(1);
    assert_eq!(bench.device.push_new_counts(bench.now), Ok(Some(9)));
}

#[test]
fn a_full_queue_does_not_give_up_the_ledger() {
    let config = small(4, DropPolicy::DropOldest);
    let mut bench =
        Bench::open(Config { counts_every: Some(Duration::ZERO), ..config }, Transport::Udp);
    bench.push(30);
    let counts = bench.sent_of(MessageType::Counts);
    let Message::Counts(body) = counts[0].message() else { panic!("COUNTS expected") };
    assert_eq!((counts[0].seq, body.made), (1, 1));
    let skipped: u64 = bench.device.stats().skipped.iter().sum();
    assert!(skipped > 20, "rows alone: {skipped}");
}

#[test]
fn rows_that_are_none_are_refused_before_they_spoil_a_message() {
    let mut bench = Bench::udp();
    let types = [ValueType::Bool, ValueType::U16, ValueType::Blob];
    let mixed = bench.device.declare(&description("mixed", &types)).unwrap();
    let mut push = |row: &[u8]| bench.device.push(bench.now, mixed, Clock::None, 0, row);
    assert_eq!(push(&[2, 0, 0, 0, 0]), Err(PushError::BadRow)); // Spec §4.3b.
    assert_eq!(push(&[1, 0, 0, 0, 1]), Err(PushError::BadRow));
    assert_eq!(push(&[1, 0, 0, 0, 0, 9]), Err(PushError::BadRow));
    assert_eq!(push(&[]), Err(PushError::BadRow));
    assert_eq!(push(&[1, 0, 0, 0, 1, 9]), Ok(0));
}

#[test]
fn unacknowledged_rows_leave_once_and_have_their_own_counter() {
    let mut bench = Bench::udp();
    for _ in 0..3 {
        bench.device.push_unacked(bench.schema, Clock::None, 0, &ROW).unwrap();
    }
    let sent = bench.sent_of(MessageType::RowsU);
    assert_eq!(sent.iter().map(|sent| sent.seq).collect::<Vec<_>>(), [0, 1, 2]); // Spec §5.10.
    assert!(bench.device.is_flushed());
    assert_eq!(bench.device.next_row(), 0);
    for _ in 0..100 {
        bench.device.push_unacked(bench.schema, Clock::None, 0, &ROW).unwrap();
    }
    assert_eq!(bench.device.stats().unacked_dropped, 36, "bounded");
}
