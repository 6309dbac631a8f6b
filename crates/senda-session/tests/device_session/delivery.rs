//! Spec §7 and §8.

use std::time::Duration;

use senda_session::device::{Batch, Config, Event, LostReason, SchemaId, Timer, Transport};
use senda_wire::registry::flag;
use senda_wire::{Clock, ErrorCode, Message, MessageType, Range, ValueType};

use crate::bench::{Bench, ROW, SESSION, Sent, Terms, config, description};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_lost_ack_makes_the_oldest_message_go_again() {
    let mut bench = Bench::udp();
    let sent = bench.push_and_send(3);
    let (timer, waited) = bench.fire();
    assert_eq!(timer, Timer::Resend);
    assert!(waited >= Duration::from_secs(1) && waited <= Duration::from_millis(1_500));
    let again = bench.sent();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].bytes, sent[0].bytes);
    bench.ack(3);
    assert!(bench.device.is_flushed());
    assert_eq!(bench.device.stats().resent_messages, 1);
}

#[test]
fn the_time_out_doubles_up_to_a_minute_and_eight_of_them_say_hello() {
    let mut bench = Bench::new(config(), Transport::Udp);
    bench.terms.keepalive_s = 86_400;
    bench.device.connect(bench.now, Transport::Udp);
    bench.greet_and_declare();
    bench.push_and_send(1);
    for power in 0..7 {
        let waited = bench.fire_until(Timer::Resend);
        let least = Duration::from_secs(1 << power).min(Duration::from_secs(60));
        assert!(waited >= least && waited <= least * 3 / 2, "{power}: {waited:?}"); // Spec §7.5a.
        assert_eq!(bench.sent_rows(), [0..1]);
    }
    bench.fire_until(Timer::Resend);
    assert!(matches!(bench.events()[..], [Event::Lost { reason: LostReason::Silence, .. }]));
    let hello = bench.hello(); // At once; its repeats back off.
    assert_eq!((hello.hello().next_row, hello.hello().oldest_row), (1, 0));
}

#[test]
fn a_message_sent_twice_gives_no_round_trip() {
    let mut bench = Bench::udp();
    bench.push_and_send(1);
    bench.fire();
    bench.sent();
    bench.wait(50 * MS);
    bench.ack(1);
    assert_eq!(bench.device.stats().rtt, None); // Spec §7.5a, Karn.
    bench.push_and_send(1);
    bench.wait(50 * MS);
    bench.ack(2);
    assert_eq!(bench.device.stats().rtt, Some(50 * MS));
}

#[test]
fn the_round_trip_leaves_the_collectors_delay_out() {
    let mut bench = Bench::udp();
    bench.push_and_send(1);
    bench.wait(50 * MS);
    let window = senda_wire::Window {
        window_rows: 10,
        ack_delay_ms: 20,
        retry_after_ms: 0,
        ranges: senda_wire::Ranges::default(),
    };
    bench.say(1, &Message::Ack(senda_wire::Ack { window: Some(window) }));
    assert_eq!(bench.device.stats().rtt, Some(30 * MS));
}

#[test]
fn the_time_out_follows_the_round_trip_and_the_terms() {
    let mut bench = Bench::new(config(), Transport::Udp);
    bench.terms = Terms { ack_delay_ms: 100, commit_interval_ms: 200, ..bench.terms };
    bench.device.connect(bench.now, Transport::Udp);
    bench.greet_and_declare();
    bench.push_and_send(1);
    bench.wait(40 * MS);
    bench.ack(1);
    bench.push_and_send(1);
    let waited = bench.fire_until(Timer::Resend);
    let base = (40 + 4 * 20 + 300) * MS; // srtt + 4 rttvar + ack_delay + commit_interval.
    assert!(waited >= base && waited <= base * 3 / 2, "{waited:?}");
}

#[test]
fn three_later_answers_make_a_message_go_again_at_once() {
    let mut bench = Bench::udp();
    let sent = bench.push_and_send(4);
    assert_eq!(sent.len(), 4);
    bench.ack_with(0, 100, 0, &[Range { start: 1, end: 3 }]);
    assert!(bench.sent().is_empty(), "two are not enough");
    bench.ack_with(0, 100, 0, &[Range { start: 1, end: 4 }]);
    assert_eq!(bench.sent_rows(), [0..1]); // Spec §7.5.
    assert_eq!(bench.device.stats().lost_messages, 1);
    bench.ack(4);
    assert_eq!(bench.device.stats().acked, 4);
}

#[test]
fn on_tcp_nothing_goes_again_by_itself() {
    let mut bench = Bench::tcp();
    bench.push_and_send(5);
    bench.ack_with(0, 100, 0, &[Range { start: 1, end: 5 }]);
    bench.wait(Duration::from_secs(20));
    assert!(bench.sent_rows().is_empty()); // Spec §7.4.
}

#[test]
fn rows_refused_for_now_are_unsent_again_on_both_transports() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let mut bench = Bench::open(config(), transport);
        let sent = bench.push_and_send(1);
        bench.nack(&sent[0], ErrorCode::STORAGE, 0, 1, 2_000);
        bench.push(1);
        assert!(bench.sent_rows().is_empty(), "nothing before its time");
        let waited = bench.fire_until(Timer::Hold);
        assert!(waited >= 1_500 * MS && waited <= 2_500 * MS, "{waited:?}"); // Spec §8.3a.
        assert_eq!(bench.sent_rows(), [0..2]); // Spec §7.6a.
    }
}

#[test]
fn refusals_without_a_wait_are_not_answered_at_once() {
    let mut bench = Bench::udp();
    bench.push(1);
    let start = bench.now;
    for _ in 0..10 {
        let sent = bench.sent_of(MessageType::Rows);
        bench.nack(&sent[0], ErrorCode::BUSY, 0, 1, 0);
        bench.fire_until(Timer::Hold);
    }
    assert!(bench.now.since(start) > Duration::from_secs(5));
}

#[test]
fn an_unknown_schema_is_declared_and_its_rows_follow() {
    let mut bench = Bench::udp();
    let sent = bench.push_and_send(1);
    bench.nack(&sent[0], ErrorCode::UNKNOWN_SCHEMA, 0, 1, 0);
    let again = bench.declared();
    let kinds: Vec<_> = again.iter().map(|sent| sent.kind).collect();
    assert_eq!(kinds, [MessageType::Declare, MessageType::Rows]); // Spec §7.6b.
    assert_eq!(again[1].rows(), 0..1);
}

#[test]
fn a_collector_that_never_remembers_a_schema_is_not_stormed() {
    let mut bench = Bench::udp();
    bench.push(1);
    let start = bench.now;
    let mut rounds = 0;
    while bench.now.since(start) < Duration::from_secs(10) {
        for sent in bench.declared() {
            if sent.kind == MessageType::Rows {
                rounds += 1;
                bench.nack(&sent, ErrorCode::UNKNOWN_SCHEMA, 0, 1, 0);
            }
        }
        bench.wait(MS);
    }
    assert!((5..30).contains(&rounds), "{rounds}");
}

#[test]
fn too_big_halves_the_message_and_gives_up_a_single_row() {
    let mut bench = Bench::udp();
    bench.push(8);
    let sent = bench.sent_of(MessageType::Rows);
    assert_eq!(sent[0].rows(), 0..8);
    bench.nack(&sent[0], ErrorCode::TOO_BIG, 0, 8, 0);
    let halves = bench.sent_of(MessageType::Rows);
    assert_eq!(halves.iter().map(Sent::rows).collect::<Vec<_>>(), [0..4, 4..8]);
    bench.ack(4);
    bench.nack(&halves[1], ErrorCode::TOO_BIG, 4, 4, 0);
    let pair = bench_rows(&mut bench, 4..6);
    bench.nack(&pair, ErrorCode::TOO_BIG, 4, 2, 0);
    let single = bench_rows(&mut bench, 4..5);
    bench.nack(&single, ErrorCode::TOO_BIG, 4, 1, 0);
    let skip = bench.sent_of(MessageType::Skip);
    assert_eq!(skip[0].rows(), 4..5); // Spec §7.6b.
}

fn bench_rows(bench: &mut Bench, rows: std::ops::Range<u32>) -> Sent {
    let sent = bench.sent_of(MessageType::Rows);
    sent.into_iter().find(|sent| sent.rows() == rows).expect("these rows leave")
}

#[test]
fn a_conflicting_schema_takes_another_id() {
    let mut bench = Bench::new(Config { stream: Some(7), ..config() }, Transport::Udp);
    bench.push(2);
    bench.device.connect(bench.now, Transport::Udp);
    let hello = bench.hello();
    (bench.terms.next_row, bench.terms.high_row) = (1, 1); // A spool's stream.
    bench.welcome(&hello);
    let declare = bench.sent().remove(0);
    bench.nack(&declare, ErrorCode::SCHEMA_CONFLICT, 0, 0, 0);
    let again = bench.declared();
    assert_eq!((declare.seq, again[0].seq), (0, 1)); // Spec §7.6b.
    let sent = bench.sent_of(MessageType::Rows);
    let Message::Rows(data) = sent[0].message() else { panic!("rows expected") };
    assert_eq!(data.head.schema, 1);
}

/// The wait that a collector asked for ends with its session: nothing else would wake the device up for the DECLARE.
#[test]
fn a_schema_that_had_to_wait_is_declared_at_once_in_the_next_session() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let mut bench = Bench::new(config(), transport);
        bench.push(2);
        bench.device.connect(bench.now, transport);
        let hello = bench.hello();
        bench.welcome(&hello);
        let declare = bench.sent().remove(0);
        assert_eq!(declare.kind, MessageType::Declare);
        bench.nack(&declare, ErrorCode::BUSY, 0, 0, 60_000);
        assert!(bench.sent().is_empty(), "it waits");
        bench.device.connect(bench.now, transport); // The collector was restarted, say.
        let hello = bench.hello();
        bench.welcome(&hello);
        assert_eq!(bench.sent()[0].kind, MessageType::Declare, "over {transport:?}");
    }
}

#[test]
fn rows_of_a_refused_schema_are_given_up() {
    let mut bench = Bench::new(config(), Transport::Udp);
    bench.push(3);
    bench.device.connect(bench.now, Transport::Udp);
    let hello = bench.hello();
    bench.welcome(&hello);
    let declare = bench.sent().remove(0);
    bench.nack(&declare, ErrorCode::BAD_SCHEMA, 0, 0, 0);
    let skip = bench.sent_of(MessageType::Skip);
    assert_eq!(skip[0].rows(), 0..3);
    let Message::Skip(body) = skip[0].message() else { panic!("SKIP expected") };
    assert_eq!(body.cause, 3);
    let events = bench.events();
    assert!(events.iter().any(|event| matches!(event, Event::SchemaRefused { .. })));
    assert!(bench.device.push(bench.now, bench.schema, Clock::None, 0, &ROW).is_err());
}

#[test]
fn refused_rows_count_once_and_the_ack_passes_them() {
    let mut bench = Bench::udp();
    bench.push(5);
    let sent = bench.sent_of(MessageType::Rows);
    for _ in 0..2 {
        bench.nack(&sent[0], ErrorCode::BAD_VALUE, 2, 1, 0); // Spec §7.6c.
    }
    bench.ack(5);
    let stats = bench.device.stats();
    assert_eq!((stats.made, stats.acked, stats.refused), (5, 4, 1));
    let refused = bench.events().into_iter().filter(|e| matches!(e, Event::Refused { .. })).count();
    assert_eq!(refused, 1);
}

#[test]
fn a_refusal_that_resolves_nothing_does_not_block_the_head() {
    let mut bench = Bench::udp();
    let sent = bench.push_and_send(1);
    bench.nack(&sent[0], ErrorCode::BAD_BODY, 0, 0, 0); // Spec §5.26a: count 0.
    assert_eq!(bench.sent_of(MessageType::Skip)[0].rows(), 0..1);
}

#[test]
fn unknown_codes_are_treated_by_their_class() {
    let mut bench = Bench::udp();
    let sent = bench.push_and_send(1);
    bench.nack(&sent[0], ErrorCode(177), 0, 1, 100);
    bench.fire_until(Timer::Hold);
    let sent = bench.sent_of(MessageType::Rows);
    bench.nack(&sent[0], ErrorCode(277), 0, 1, 0);
    assert_eq!(bench.sent_of(MessageType::Skip)[0].rows(), 0..1);
}

#[test]
fn the_window_is_never_passed() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut bench = Bench::new(config(), transport);
        bench.terms.window_rows = 10;
        bench.device.connect(bench.now, transport);
        bench.greet_and_declare();
        bench.push(25);
        assert_eq!(bench.sent_rows(), [0..10]); // Spec §8.1a.
        bench.ack(3);
        assert_eq!(bench.sent_rows(), [10..13]);
    }
}

#[test]
fn an_older_ack_does_not_shrink_what_is_known() {
    let mut bench = Bench::udp();
    bench.push_and_send(4);
    bench.ack(3);
    bench.ack_with(1, 0, 0, &[]); // Overtaken on the way. Spec §5.13b.
    bench.push(1);
    assert_eq!(bench.sent_rows(), [4..5]);
    assert_eq!(bench.device.mark(), 3);
}

#[test]
fn an_ack_above_its_own_rows_is_malformed() {
    let mut bench = Bench::udp();
    bench.push_and_send(2);
    bench.ack(3);
    bench.ack_with(0, 9, 0, &[Range { start: 1, end: 7 }]);
    assert_eq!(bench.device.stats().malformed, 2); // Spec §5.13b.
    assert_eq!(bench.device.pending(), 2);
}

#[test]
fn window_zero_is_probed_with_one_row_at_the_collectors_pace() {
    for (asked_ms, least, most) in
        [(0, 1_000, 1_250), (5_000, 5_000, 6_250), (65_535, 60_000, 60_000)]
    {
        let mut bench = Bench::udp();
        bench.ack_with(0, 0, asked_ms, &[]);
        bench.push(9);
        assert!(bench.sent_rows().is_empty());
        for _ in 0..3 {
            let waited = bench.fire_until(Timer::Persist);
            assert!(waited >= least * MS && waited <= most * MS, "{waited:?}"); // Spec §8.1b.
            assert_eq!(bench.sent_rows(), [0..1]);
            bench.ack_with(0, 0, asked_ms, &[]);
        }
        bench.ack_with(1, 100, 0, &[]);
        assert_eq!(bench.sent_rows(), [1..9]);
    }
}

#[test]
fn a_probe_that_is_due_already_waits_for_what_an_ack_asks_meanwhile() {
    let mut bench = Bench::udp();
    bench.ack_with(0, 0, 0, &[]);
    bench.push(1);
    bench.fire_until(Timer::Persist);
    assert_eq!(bench.sent_rows(), [0..1]); // The next one is due in a second,
    bench.ack_with(0, 0, 5_000, &[]); // says the device; its collector says five. Spec §8.3a.
    assert!(bench.fire_until(Timer::Persist) >= 5_000 * MS);
    assert_eq!(bench.sent_rows(), [0..1]);
}

#[test]
fn probes_that_nobody_answers_say_hello() {
    let mut bench = Bench::udp();
    bench.terms.keepalive_s = 86_400;
    bench.ack_with(0, 0, 1_000, &[]);
    bench.push(1);
    for _ in 0..9 {
        bench.fire_until(Timer::Persist);
        bench.sent();
    }
    bench.fire_until(Timer::Hello);
    assert_eq!(bench.hello().kind, MessageType::Hello);
}

#[test]
fn the_simple_profile_has_one_message_in_flight() {
    let simple = Config { window_messages: 1, ..config() };
    let mut bench = Bench::open(simple, Transport::Udp);
    assert_eq!(bench.push_and_send(5).len(), 1);
    bench.ack(1);
    assert_eq!(bench.sent_rows(), [1..5]); // Spec §8.2.
}

#[test]
fn cwnd_starts_at_four_grows_with_answers_and_halves_on_loss() {
    let mut bench = Bench::udp();
    assert_eq!(bench.push_and_send(9).len(), 4); // Spec §8.2a.
    bench.wait(10 * MS);
    bench.ack(4);
    assert_eq!(bench.device.stats().cwnd, 8);
    let sent: Vec<_> = bench.sent_rows();
    assert_eq!(sent, [4..9], "what waited is joined");
    bench.push_and_send(4);
    bench.ack_with(4, 100, 0, &[Range { start: 9, end: 12 }]);
    assert_eq!(bench.device.stats().cwnd, 4, "half of 8");
}

#[test]
fn three_time_outs_in_a_row_leave_one_message() {
    let mut bench = Bench::udp();
    bench.push_and_send(4);
    for _ in 0..3 {
        bench.fire_until(Timer::Resend);
        bench.sent();
    }
    assert_eq!(bench.device.stats().cwnd, 1); // Spec §8.2a.
}

#[test]
fn new_messages_are_paced_in_bursts_of_ten() {
    let mut bench = Bench::udp();
    for round in 0..6 {
        // Grows cwnd beyond a burst.
        bench.push_and_send(8);
        bench.wait(100 * MS);
        bench.sent();
        bench.ack(bench.device.next_row());
        assert!(bench.device.is_flushed(), "{round}");
    }
    assert!(bench.device.stats().cwnd > 20);
    bench.wait(Duration::from_secs(1));
    let burst = bench.push_and_send(30).len();
    assert_eq!(burst, 10); // Spec §8.2a.
    assert_eq!(bench.device.poll_timeout().unwrap().1, Timer::Pace);
}

#[test]
fn rows_gather_until_the_batch_is_full_or_old() {
    let batch = Batch { rows: 4, delay: 200 * MS };
    let mut bench = Bench::open(Config { batch, ..config() }, Transport::Tcp);
    bench.push(3);
    assert!(bench.sent_rows().is_empty());
    bench.push(1);
    assert_eq!(bench.sent_rows(), [0..4]);
    bench.push(1);
    let (timer, waited) = {
        assert!(bench.sent_rows().is_empty());
        bench.fire()
    };
    assert_eq!(timer, Timer::Batch);
    assert!(waited >= 200 * MS && waited < 201 * MS, "{waited:?}");
    assert_eq!(bench.sent_rows(), [4..5]);
    bench.push(1);
    bench.device.flush();
    assert_eq!(bench.sent_rows(), [5..6]);
}

#[test]
fn times_of_joined_rows_are_kept_whatever_their_order() {
    let mut bench = Bench::tcp();
    let times = [5_000, 1_000, 9_000];
    for time in times {
        bench.device.push(bench.now, bench.schema, Clock::UtcSynced, time, &ROW).unwrap();
    }
    let sent = bench.sent_of(MessageType::Rows);
    let Message::Rows(data) = sent[0].message() else { panic!("rows expected") };
    let bytes = description("bench", &[ValueType::U32]);
    let schema = senda_wire::Schema::decode(&bytes).unwrap();
    let mut rows = data.rows(&schema, senda_wire::Presence::All).unwrap();
    for time in times {
        let row = rows.next_row().unwrap().unwrap();
        assert_eq!(data.head.t0 + i64::from(row.time_offset), time);
    }
}

#[test]
fn rows_too_far_apart_in_time_do_not_share_a_message() {
    let mut bench = Bench::tcp();
    for time in [0, 1, i64::MAX, i64::MIN] {
        bench.device.push(bench.now, bench.schema, Clock::UtcSynced, time, &ROW).unwrap();
    }
    assert_eq!(bench.sent_rows(), [0..2, 2..3, 3..4]);
}

#[test]
fn a_message_obeys_max_msg_max_values_and_the_schema() {
    let mut bench = Bench::new(config(), Transport::Tcp);
    bench.terms.max_values = 50;
    bench.device.connect(bench.now, Transport::Tcp);
    bench.greet_and_declare();
    bench.push(120);
    assert_eq!(bench.sent_rows(), [0..50, 50..100, 100..120]); // Spec §12.1a.
    let other = bench.device.declare(&description("other", &[ValueType::U32])).unwrap();
    bench.declared();
    for schema in [bench.schema, other, other] {
        bench.device.push(bench.now, schema, Clock::None, 0, &ROW).unwrap();
    }
    assert_eq!(bench.sent_rows(), [120..121, 121..123]);
}

#[test]
fn a_datagram_carries_as_many_rows_as_fit() {
    let mut bench = Bench::udp();
    bench.push(300);
    let sent = bench.sent_of(MessageType::Rows);
    assert_eq!(sent[0].rows(), 0..146); // (1,200 - 28) / 8.
    assert_eq!(sent.len(), 3);
}

#[test]
fn ack_now_is_asked_for_when_the_window_is_spent() {
    let mut bench = Bench::new(config(), Transport::Udp);
    bench.terms.ack_every = 100;
    bench.device.connect(bench.now, Transport::Udp);
    bench.greet_and_declare();
    let flags: Vec<u8> =
        bench.push_and_send(4).iter().map(|sent| sent.flags & flag::ACK_NOW).collect();
    assert_eq!(flags, [0, 0, 0, flag::ACK_NOW]);
}

#[test]
fn a_long_description_goes_in_parts_and_again_until_declared() {
    let mut bench = Bench::udp();
    let types = [ValueType::U8; 256];
    let id = bench.device.declare(&description("wide", &types)).unwrap();
    let sent = bench.sent_of(MessageType::Declare);
    assert!(sent.len() > 1);
    let mut joined = Vec::new();
    for (number, part) in sent.iter().enumerate() {
        let Message::Declare(declare) = part.message() else { panic!("DECLARE expected") };
        assert_eq!((usize::from(declare.part), usize::from(declare.parts)), (number, sent.len()));
        joined.extend_from_slice(declare.bytes);
    }
    assert_eq!(joined, description("wide", &types));
    assert_eq!(bench.fire().0, Timer::Declare); // Spec §7.5.
    assert_eq!(bench.declared().len(), sent.len());
    bench.device.push(bench.now, id, Clock::None, 0, &[0; 256]).unwrap();
    assert_eq!(bench.sent_rows().len(), 1);
    assert_ne!(id, SchemaId::clone(&bench.schema));
}

#[test]
fn latency_is_told_from_push_to_acknowledgement() {
    let mut bench = Bench::udp();
    bench.push(1);
    bench.wait(30 * MS);
    bench.push(1);
    bench.sent();
    bench.wait(20 * MS);
    bench.ack(2);
    let events = bench.events();
    let Some(Event::Acked(acked)) = events.first() else { panic!("{events:?}") };
    assert_eq!((acked.mark, acked.rows), (2, 2));
    let near = |found: Duration, wanted: Duration| found.abs_diff(wanted) < MS;
    assert!(near(acked.slowest, 50 * MS) && near(acked.fastest, 20 * MS), "{acked:?}");
}

/// A row that a range named goes again in the next session, and is no news then.
#[test]
fn a_row_counts_as_durable_once_however_many_sessions_say_so() {
    let mut bench = Bench::udp();
    bench.push_and_send(4);
    bench.ack_with(1, 4_096, 0, &[Range { start: 2, end: 4 }]);
    assert_eq!(bench.device.stats().acked, 3);
    bench.close(SESSION, ErrorCode::UNKNOWN_SESSION, 0);
    bench.fire_until(Timer::Hello);
    (bench.terms.next_row, bench.terms.high_row) = (1, 4);
    let hello = bench.hello();
    bench.welcome(&hello);
    bench.declared();
    bench.sent();
    bench.ack(4);
    let stats = bench.device.stats();
    assert_eq!((stats.made, stats.acked), (4, 4));
}
