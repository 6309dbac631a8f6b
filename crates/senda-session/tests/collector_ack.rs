//! What is acknowledged, when, and what is refused. Spec §5.13, §5.14, §7.1 to §7.3, §8.1.

mod common;

use std::time::Duration;

use common::{Rig, Script, raw, secs};
use senda_session::collector::{Config, What};
use senda_wire::registry::flag;
use senda_wire::{Counts, ErrorCode, Message, MessageType, SkipCause};

/// Spec §7.1a.
#[test]
fn nothing_is_acknowledged_before_it_is_durable() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send_rows(&mut rig, 0, 10);
    rig.wait(secs(20));
    assert!(rig.silent(), "the disk has not answered");
    rig.commit();
    assert_eq!(rig.only().seq, 10);
}

/// Spec §7.1c: what is on its way to the disk is no duplicate yet.
#[test]
fn a_resend_is_not_acknowledged_from_what_is_on_its_way() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send_rows(&mut rig, 0, 3);
    device.send_rows(&mut rig, 0, 3);
    assert!(rig.silent());
    rig.fail_commit();
    assert!(rig.got().iter().all(|got| got.is_nack(ErrorCode::STORAGE)));
    assert_eq!(rig.engine.counters().duplicates, 0);
}

/// Spec §7.1c, §7.3a.
#[test]
fn a_durable_duplicate_is_acknowledged_at_once() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.hello.ack_every = 100;
    device.hello.ack_delay_ms = 1_000;
    device.reopen(&mut rig);
    device.send_rows(&mut rig, 0, 3);
    rig.commit();
    assert!(rig.silent(), "the ACK may wait a second");
    device.send_rows(&mut rig, 0, 3);
    rig.commit();
    assert_eq!(rig.only().seq, 3);
    assert_eq!(rig.store.stream("gh-7", 1).unwrap().rows.len(), 3);
}

/// Spec §7.1d.
#[test]
fn rows_of_a_failed_commit_get_103_and_are_taken_when_they_come_again() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send_rows(&mut rig, 0, 4);
    rig.fail_commit();
    let nack = rig.only().nack();
    assert_eq!((nack.code, nack.first, nack.count), (ErrorCode::STORAGE, 0, 4));
    assert!(nack.retry_after_ms > 0);
    device.send_rows(&mut rig, 0, 4);
    rig.commit();
    assert_eq!(rig.only().seq, 4);
}

/// Spec §7.3a.
#[test]
fn one_ack_answers_every_so_many_messages() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    (device.hello.ack_every, device.hello.ack_delay_ms) = (3, 2_000);
    assert_eq!(device.reopen(&mut rig).ack_every, 3);
    for row in 0..6 {
        device.send_rows(&mut rig, row, 1);
        rig.commit();
        let expected: &[u32] = if row % 3 == 2 { &[row + 1] } else { &[] };
        let acks: Vec<u32> = rig.got().iter().map(|got| got.seq).collect();
        assert_eq!(acks, expected);
    }
}

/// Spec §7.3a: the delay counts from the arrival of the first message, not from the commit.
#[test]
fn an_ack_waits_no_longer_than_the_delay() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    (device.hello.ack_every, device.hello.ack_delay_ms) = (100, 500);
    device.reopen(&mut rig);
    device.send_rows(&mut rig, 0, 1);
    rig.wait(Duration::from_millis(300));
    device.send_rows(&mut rig, 1, 1);
    rig.commit();
    assert!(rig.silent());
    rig.wait(Duration::from_millis(199));
    assert!(rig.silent());
    rig.wait(Duration::from_millis(1));
    let ack = rig.only();
    let window = ack.ack().window.expect("a delay worth saying");
    assert_eq!((ack.seq, window.ack_delay_ms), (2, 200), "since the newest message arrived");
    rig.wait(secs(20));
    assert!(rig.silent(), "once is enough");
}

/// Spec §3.2, §7.3a.
#[test]
fn ack_now_asks_for_an_ack_at_once() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    (device.hello.ack_every, device.hello.ack_delay_ms) = (100, 1_000);
    device.reopen(&mut rig);
    device.send_rows(&mut rig, 0, 1);
    let urgent = device.rows_with(1, 1, &[], flag::ACK_NOW);
    device.say(&mut rig, &urgent);
    assert!(rig.silent(), "at once, but durable");
    rig.commit();
    assert_eq!(rig.only().seq, 2);
}

/// Spec §7.3a, §5.13.
#[test]
fn a_gap_is_acknowledged_at_once_with_its_ranges() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    (device.hello.ack_every, device.hello.ack_delay_ms) = (100, 1_000);
    device.reopen(&mut rig);
    device.send_rows(&mut rig, 5, 2);
    rig.commit();
    let ack = rig.only();
    let ranges: Vec<_> =
        ack.ack().window.unwrap().ranges.iter().map(|r| (r.start, r.end)).collect();
    assert_eq!((ack.seq, ranges), (0, vec![(5, 7)]));
    device.send_rows(&mut rig, 0, 5);
    rig.commit();
    assert!(rig.silent(), "this one leaves no gap");
    rig.wait(secs(1));
    assert_eq!(rig.only().seq, 7);
}

/// Spec §7.2a.
#[test]
fn rows_that_need_a_65th_range_get_102_and_do_not_land() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    for range in 0..64 {
        device.send_rows(&mut rig, 1 + 2 * range, 1);
    }
    rig.commit();
    let last = rig.got().pop().unwrap();
    assert_eq!(last.ack().window.unwrap().ranges.len(), 64);
    device.send_rows(&mut rig, 200, 1);
    rig.commit();
    let nack = rig.only().nack();
    assert_eq!((nack.code, nack.first, nack.count), (ErrorCode::WINDOW, 200, 1));
    assert!(!rig.store.stream("gh-7", 1).unwrap().is_resolved(200));
}

/// Spec §5.1: HELLO.max_msg is the longest message that the device takes.
#[test]
fn the_ranges_of_an_ack_are_cut_to_what_the_device_takes() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.hello.max_msg = 256;
    device.reopen(&mut rig);
    for range in 0..64 {
        device.send_rows(&mut rig, 1 + 2 * range, 1);
    }
    rig.commit();
    let longest = rig.got().iter().map(|got| got.bytes.len()).max().unwrap();
    assert!((200..=256).contains(&longest), "{longest}");
}

/// Spec §5.7a, §7.6c: the refusal is told again with every resend.
#[test]
fn a_refused_row_gets_its_301_again_when_it_is_resent() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let rows = device.rows_with(0, 5, &[1, 2], 0);
    for _ in 0..2 {
        device.say(&mut rig, &rows);
        rig.commit();
        let got = rig.got();
        let nacks: Vec<u32> = got
            .iter()
            .filter(|got| got.is_nack(ErrorCode::BAD_VALUE))
            .flat_map(|got| got.nack().first..got.nack().first + got.nack().count)
            .collect();
        assert_eq!(nacks, [1, 2]);
        assert!(got.iter().any(|got| got.is_ack() && got.seq == 5), "the ACK passes them");
    }
    assert_eq!(rig.store.stream("gh-7", 1).unwrap().rows.len(), 3);
}

/// Spec §5.7b, §5.26a.
#[test]
fn a_body_without_the_layout_is_refused_as_a_whole_with_303() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let good = common::script::rows_body(0, 3, &[]);
    for (first, body) in [(0, &good[..good.len() - 1]), (3, &[&good[..], &[0]].concat())] {
        device.say(&mut rig, &raw(MessageType::Rows.code(), device.session, first, 0, body));
        rig.commit();
        let got = rig.got();
        let nack = got.iter().find(|got| got.is_nack(ErrorCode::BAD_BODY)).expect("303").nack();
        assert!((first..first + 3).contains(&nack.first) && nack.count >= 1);
        assert!(got.iter().any(|got| got.is_ack() && got.seq == first + 3));
    }
    assert!(rig.store.stream("gh-7", 1).unwrap().rows.is_empty());
    assert_eq!(rig.store.stream("gh-7", 1).unwrap().refused.len(), 6);
}

/// Spec §5.26a: where count can't be read nothing is resolved.
#[test]
fn a_body_without_a_count_resolves_nothing() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let no_rows = [0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let beyond_the_last = [0, 0, 0xC0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
    for (seq, body) in [(0, &[0, 0, 0xC0][..]), (0, &no_rows), (u32::MAX - 1, &beyond_the_last)] {
        device.say(&mut rig, &raw(MessageType::Rows.code(), device.session, seq, 0, body));
        let nack = rig.only().nack();
        assert_eq!((nack.code, nack.first, nack.count), (ErrorCode::BAD_BODY, 0, 0));
    }
    for kind in [MessageType::Skip, MessageType::Counts] {
        device.say(&mut rig, &raw(kind.code(), device.session, 0, 0, &[0, 0, 0]));
        assert_eq!((rig.only().nack().count, rig.store.queue.len()), (0, 0));
    }
}

/// Spec §8.1.
#[test]
fn rows_beyond_the_window_get_102() {
    let mut rig = Rig::with(Config { window_rows: 10, ..Config::default() });
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send_rows(&mut rig, 0, 10);
    device.send_rows(&mut rig, 9, 2);
    let nack = rig.only().nack();
    assert_eq!((nack.code, nack.first, nack.count), (ErrorCode::WINDOW, 9, 2));
    rig.commit();
    rig.got();
    device.send_rows(&mut rig, 10, 10);
    rig.commit();
    assert_eq!(rig.only().seq, 20);
}

/// Spec §8.1, §7.6.
#[test]
fn a_full_collector_says_101_and_window_0_and_opens_again() {
    let mut rig = Rig::with(Config { landing_bytes_max: 400, ..Config::default() });
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    for first in 0..3 {
        device.send_rows(&mut rig, first, 1);
    }
    assert!(rig.silent());
    device.send_rows(&mut rig, 3, 1);
    let got = rig.got();
    assert!(got[0].is_nack(ErrorCode::BUSY));
    let shut = got[1].ack().window.unwrap();
    assert_eq!((shut.window_rows, got[1].seq), (0, 0));
    assert!(shut.retry_after_ms > 0);
    rig.commit();
    let opened = rig.got().pop().unwrap();
    assert!(opened.ack().window.unwrap().window_rows > 0);
    assert_eq!(opened.seq, 3);
    assert_eq!(rig.engine.landing_bytes(), 0);
    device.send_rows(&mut rig, 3, 1);
    rig.commit();
    assert_eq!(rig.only().seq, 4);
}

/// Spec §8.1: also to those that were welcomed with window 0.
#[test]
fn everybody_who_was_told_window_0_hears_of_the_opening() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    rig.accept(false);
    let mut other = Script::new("gh-8", 2, common::rig::at(5001));
    assert_eq!(other.open(&mut rig).window_rows, 0);
    for _ in 0..5 {
        device.send_rows(&mut rig, 0, 1); // Told again and again, listed once.
    }
    rig.got();
    rig.accept(true);
    let got = rig.got();
    assert_eq!(got.len(), 2, "{got:#?}");
    assert!(got.iter().all(|got| got.ack().window.unwrap().window_rows > 0));
    rig.accept(true);
    assert!(rig.silent());
}

/// Spec §5.12a, §2.4a.
#[test]
fn a_skip_is_stored_once_and_acknowledged_like_data() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send_rows(&mut rig, 2, 1);
    rig.commit();
    rig.got();
    for _ in 0..2 {
        device.skip(&mut rig, 0, 1_000_000, SkipCause::Lost.code());
        assert!(rig.silent());
        rig.commit();
        assert_eq!(rig.only().seq, 1_000_000);
    }
    device.send_rows(&mut rig, 5, 1); // It comes after all, too late.
    rig.commit();
    assert_eq!(rig.only().seq, 1_000_000);
    let stream = rig.store.stream("gh-7", 1).unwrap();
    assert_eq!((stream.skipped.len(), stream.rows.len()), (1, 1));
}

/// Spec §5.11a.
#[test]
fn counts_take_a_row_number() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send_rows(&mut rig, 0, 2);
    device.send(&mut rig, 2, &Message::Counts(Counts { made: 2, causes: Default::default() }));
    device.send_rows(&mut rig, 3, 1);
    rig.commit();
    assert_eq!(rig.got().pop().unwrap().seq, 4);
    let stream = rig.store.stream("gh-7", 1).unwrap();
    assert_eq!((stream.rows.len(), stream.counts.get(&2)), (3, Some(&2)));
}

/// Spec §6.6c.
#[test]
fn a_collector_that_stops_acknowledges_first_and_names_a_time_to_come_back() {
    let mut rig = Rig::new();
    let mut device = Script::udp(&mut rig, "gh-7", 1, 5000);
    (device.hello.ack_every, device.hello.ack_delay_ms) = (100, 2_000);
    device.reopen(&mut rig);
    device.send_rows(&mut rig, 0, 1);
    assert!(rig.engine.is_busy());
    rig.commit();
    assert!(!rig.engine.is_busy());
    rig.engine.close_all(rig.now);
    rig.drain();
    let got = rig.got();
    assert_eq!((got[0].is_ack(), got[0].seq), (true, 1));
    assert_eq!(got[1].close().code, ErrorCode::GOING);
    assert!(got[1].close().retry_after_ms > 0);
    assert_eq!((rig.engine.sessions(), rig.engine.poll_timeout()), (0, None));
}

/// Spec §5.13a: answers of the store that arrive late do not take back what was said.
#[test]
fn an_ack_never_goes_back() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    device.send_rows(&mut rig, 0, 1);
    device.send_rows(&mut rig, 1, 1);
    let mut verdicts = Vec::new();
    for answer in rig.store.commit(2, true) {
        if let common::store::Answer::Verdict(token, verdict) = answer {
            verdicts.push((token, verdict));
        }
    }
    verdicts.reverse();
    for verdict in verdicts {
        rig.engine.handle_durable(rig.now, [verdict]);
        rig.drain();
    }
    assert_eq!(rig.got().iter().map(|got| got.seq).collect::<Vec<_>>(), [2, 2]);
}

/// Spec §5.10, §7.8.
#[test]
fn fire_and_forget_is_stored_once_reported_and_never_acknowledged() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let body = common::script::rows_body(0, 1, &[]);
    let send = |rig: &mut Rig, counter| {
        device.say(rig, &raw(MessageType::RowsU.code(), device.session, counter, 0, &body));
    };
    for counter in 0..60 {
        send(&mut rig, counter);
    }
    send(&mut rig, 3); // A duplicate.
    for counter in 62..65 {
        send(&mut rig, counter);
    }
    let got = rig.only();
    let Message::Report(report) = got.message else { panic!("{got:#?}") };
    assert_eq!((got.seq, report.received, report.duplicates, report.missing), (64, 63, 1, 2));
    rig.commit();
    assert!(rig.silent());
    let stream = rig.store.stream("gh-7", 1).unwrap();
    assert_eq!((stream.unacked.len(), stream.rows.len(), stream.mark().next_row), (63, 0, 0));
}

/// Spec §5.22.
#[test]
fn the_time_is_told_at_once_and_what_the_clock_is_worth_is_kept() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let clock = senda_wire::Clock::Monotonic;
    let request = senda_wire::TimeReq { t1: 5, offset: 0, uncertainty: u32::MAX, clock };
    device.send(&mut rig, 9, &Message::TimeReq(request));
    let got = rig.only();
    let Message::Time(time) = got.message else { panic!("{got:#?}") };
    assert_eq!((got.seq, time.t1, time.t2, time.t3), (9, 5, rig.now.utc_us, rig.now.utc_us));
    rig.commit();
    assert_eq!(rig.store.stream("gh-7", 1).unwrap().clocks, 1);
}

/// Spec §5.25, §5.26.
#[test]
fn what_is_not_understood_is_answered_by_its_class_and_the_session_goes_on() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let mut answer = |code: u8, body: &[u8]| {
        device.say(&mut rig, &raw(code, device.session, 7, 0, body));
        let got = rig.got();
        got.first().map(|got| (got.seq, got.nack().refused_type, got.nack().code))
    };
    assert_eq!(answer(0x13, &[]), Some((7, 0x13, ErrorCode::UNSUPPORTED_ENCODING)));
    let columns = common::script::rows_body(7, 1, &[]);
    assert_eq!(answer(0x12, &columns), Some((7, 0x12, ErrorCode::UNSUPPORTED_ENCODING)));
    assert_eq!(answer(0x80, &[]), Some((7, 0x80, ErrorCode::UNSUPPORTED)));
    assert_eq!(answer(0x70, &[1, 2, 3]), None, "others are skipped");
    assert_eq!(answer(MessageType::Ack.code(), &[]), None, "the wrong direction");
    assert_eq!(answer(MessageType::Ping.code(), &[1]), None, "malformed");
    assert_eq!(answer(MessageType::Sealed.code(), &[0; 24]), None, "outside a sealed session");
    device.send_rows(&mut rig, 0, 1);
    rig.commit();
    assert_eq!(rig.only().seq, 1);
}

/// Spec §5.8.
#[test]
fn sparse_rows_land_as_they_came() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let mut body = common::script::rows_body(0, 1, &[])[..12].to_vec();
    body.extend_from_slice(&[0x40, 1]); // Only the bool is there.
    device.say(&mut rig, &raw(MessageType::Sparse.code(), device.session, 0, 0, &body));
    let land = rig.store.queue.front().cloned();
    let Some(senda_session::collector::Event::Land { what: What::Rows { sparse, .. }, .. }) = land
    else {
        panic!("{land:#?}")
    };
    assert!(sparse);
    rig.commit();
    assert_eq!(rig.only().seq, 1);
}

/// Spec §3.4: several messages in one datagram.
#[test]
fn messages_share_a_datagram_and_the_first_bad_one_drops_the_rest() {
    let mut rig = Rig::new();
    let device = Script::udp(&mut rig, "gh-7", 1, 5000);
    let mut datagram = device.rows(0, 1);
    datagram.extend(device.rows(1, 1));
    let mut damaged = device.rows(2, 1);
    damaged[20] ^= 1;
    datagram.extend(damaged);
    datagram.extend(device.rows(3, 1));
    device.say(&mut rig, &datagram);
    assert_eq!((rig.store.queue.len(), rig.engine.counters().bad_frames), (2, 1));
    rig.commit();
    assert_eq!(rig.only().seq, 2);
}
