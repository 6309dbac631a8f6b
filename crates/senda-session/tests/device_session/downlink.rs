//! Spec §5.15 to §5.23, §7.7, §13.3.

use std::time::Duration;

use senda_session::device::{Argument, Config, DoneError, Event, OwnedValue, Timer, Transport};
use senda_wire::registry::downlink;
use senda_wire::{
    Alert, Clock, Command, DoneStatus, List, Message, MessageType, NamedValue, Ping, Time, Value,
};

use crate::bench::{Bench, SESSION, config};

fn bench() -> Bench {
    Bench::open(Config { downlink: downlink::ALL, ..config() }, Transport::Udp)
}

fn say_config(bench: &mut Bench, seq: u32, revision: u32) {
    let mut room = [0; 64];
    let list = [NamedValue::new("interval_ms", Value::U32(5_000))];
    let settings = List::build(&list, &mut room).unwrap();
    bench.say(seq, &Message::Config(senda_wire::Config { revision, settings }));
}

fn say_command(bench: &mut Bench, seq: u32, id: u32) {
    let command = Command { id, ttl_ms: 9_000, name: "reboot", arguments: List::default() };
    bench.say(seq, &Message::Command(command));
}

#[test]
fn a_config_is_applied_answered_and_said_in_the_next_hello() {
    let mut bench = bench();
    say_config(&mut bench, 1, 17);
    let events = bench.events();
    let [Event::Config { ticket, revision: 17, settings }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(settings[0].as_u64(), Some(5_000));
    let results = [Argument::new("interval_ms", OwnedValue::U32(6_000))];
    bench.device.done(*ticket, DoneStatus::Clamped, "at least 6 s", &results).unwrap();
    let sent = bench.sent();
    let Message::Done(done) = sent[0].message() else { panic!("DONE expected") };
    assert_eq!((sent[0].seq, done.id, done.status), (1, 17, DoneStatus::Clamped));
    assert_eq!(done.results.get("interval_ms").unwrap().value, Value::U32(6_000));
    bench.device.connect(bench.now, Transport::Udp);
    assert_eq!(bench.hello().hello().config_rev, 17);
}

#[test]
fn a_repeated_number_gets_the_same_done_and_no_second_event() {
    let mut bench = bench();
    say_command(&mut bench, 1, 5);
    say_command(&mut bench, 1, 5); // Still at work.
    let events = bench.events();
    let [Event::Command { ticket, id: 5, .. }] = events[..] else { panic!("{events:?}") };
    assert!(bench.sent().is_empty());
    bench.device.done(ticket, DoneStatus::Ok, "", &[]).unwrap();
    let first = bench.sent();
    for _ in 0..3 {
        say_command(&mut bench, 1, 5);
        assert_eq!(bench.sent()[0].bytes, first[0].bytes); // Spec §7.7b.
    }
    say_config(&mut bench, 2, 1);
    assert_eq!(bench.events().len(), 1);
    say_command(&mut bench, 1, 5);
    assert!(bench.sent().is_empty() && bench.events().is_empty(), "a lower number is ignored");
}

#[test]
fn a_command_is_never_begun_twice_even_across_sessions() {
    let mut bench = bench();
    say_command(&mut bench, 1, 5);
    let Some(Event::Command { ticket, .. }) = bench.events().pop() else { panic!("no event") };
    bench.device.connect(bench.now, Transport::Udp); // The DONE never left.
    assert_eq!(bench.device.last_command_id(), 5);
    bench.greet_and_declare();
    let stale = bench.device.done(ticket, DoneStatus::Ok, "", &[]);
    assert!(stale.is_err() || bench.sent().is_empty());
    say_command(&mut bench, 1, 5); // A collector must not; if it does:
    assert!(bench.events().is_empty());
    let sent = bench.sent();
    let Message::Done(done) = sent[0].message() else { panic!("DONE expected") };
    assert_eq!(done.status, DoneStatus::Refused);
}

#[test]
fn an_answer_after_its_session_is_stale_but_notes_the_revision() {
    let mut bench = bench();
    say_config(&mut bench, 1, 3);
    let Some(Event::Config { ticket, .. }) = bench.events().pop() else { panic!("no event") };
    bench.device.connect(bench.now, Transport::Udp);
    assert_eq!(bench.device.done(ticket, DoneStatus::Ok, "", &[]), Err(DoneError::Stale));
    assert_eq!(bench.hello().hello().config_rev, 3);
}

#[test]
fn an_alert_comes_whole() {
    let mut bench = bench();
    let alert = Alert {
        id: 9,
        time: -1,
        raised: true,
        severity: 2,
        schema: "greenhouse",
        channel: "temperature",
        text: "hot",
        values: List::default(),
    };
    bench.say(1, &Message::Alert(alert));
    let Some(Event::Alert { alert, .. }) = bench.events().pop() else { panic!("no event") };
    assert_eq!((alert.id, alert.raised, alert.channel.as_str()), (9, true, "temperature"));
}

#[test]
fn a_kind_that_hello_did_not_accept_is_answered_unknown() {
    let mut bench = Bench::udp();
    say_command(&mut bench, 1, 1);
    assert!(bench.events().is_empty());
    let sent = bench.sent();
    let Message::Done(done) = sent[0].message() else { panic!("DONE expected") };
    assert_eq!(done.status, DoneStatus::Unknown);
}

#[test]
fn a_ping_is_echoed_at_once_and_pings_are_bounded() {
    let mut bench = Bench::udp();
    bench.say(77, &Message::Ping(Ping { token: 0x0123 }));
    let sent = bench.sent();
    assert_eq!((sent[0].kind, sent[0].seq), (MessageType::Pong, 77)); // Spec §5.23a.
    assert_eq!(sent[0].message(), Message::Pong(Ping { token: 0x0123 }));
    for token in 0..1_000 {
        bench.say(1, &Message::Ping(Ping { token }));
    }
    assert!(bench.sent().len() <= 8);
}

#[test]
fn an_idle_device_pings_each_keepalive() {
    let mut bench = Bench::udp();
    for _ in 0..3 {
        let waited = bench.fire_until(Timer::Keepalive);
        assert!((27..=30).contains(&waited.as_secs()), "{waited:?}"); // Spec §6.6.
        let sent = bench.sent();
        assert_eq!((sent[0].kind, sent[0].session), (MessageType::Ping, SESSION));
        let Message::Ping(ping) = sent[0].message() else { panic!("PING expected") };
        bench.say(sent[0].seq, &Message::Pong(ping));
    }
}

#[test]
fn a_ping_that_nobody_answers_is_repeated_and_then_says_hello() {
    let mut bench = Bench::udp();
    bench.fire_until(Timer::Keepalive);
    let mut pings = bench.sent().len();
    loop {
        match bench.fire().0 {
            Timer::Hello => break,
            _ => pings += bench.sent_of(MessageType::Ping).len(),
        }
    }
    assert!((4..=8).contains(&pings), "{pings}");
    assert_eq!(bench.hello().kind, MessageType::Hello);
}

#[test]
fn the_time_is_the_sample_with_the_smallest_uncertainty() {
    let config = Config { time_every: Some(Duration::from_secs(10)), ..config() };
    let mut bench = Bench::new(config, Transport::Udp);
    bench.device.set_clock(bench.now, Clock::Monotonic, 0);
    bench.device.connect(bench.now, Transport::Udp);
    let hello = bench.hello();
    bench.welcome(&hello);
    bench.declared();
    const OFFSET: i64 = 1_700_000_000_000_000;
    for (up_ms, down_ms) in [(50, 10), (10, 10), (30, 90)] {
        bench.fire_until(Timer::Time);
        let request = bench.sent_of(MessageType::TimeReq).remove(0);
        let Message::TimeReq(body) = request.message() else { panic!("TIME_REQ expected") };
        assert_eq!(body.t1, i64::try_from(bench.now.0).unwrap());
        bench.wait(Duration::from_millis(up_ms));
        let t2 = OFFSET + i64::try_from(bench.now.0).unwrap();
        bench.wait(Duration::from_millis(down_ms));
        bench.say(request.seq, &Message::Time(Time { t1: body.t1, t2, t3: t2 }));
    }
    // Spec §13.3: the second, 20 ms long; a tenth of a millisecond more for each second since.
    let (offset, uncertainty) = bench.device.time_offset(bench.now).unwrap();
    assert_eq!(offset, OFFSET);
    assert!((10_000 + 200..10_000 + 500).contains(&uncertainty), "{uncertainty}");
    let later = bench.now + Duration::from_secs(3_600);
    // By then the third, younger one, is no better: all of them are old.
    let (_, after_an_hour) = bench.device.time_offset(later).unwrap();
    assert_eq!(after_an_hour, uncertainty + 360_000);
}

#[test]
fn a_time_that_was_not_asked_for_is_ignored() {
    let mut bench = Bench::udp();
    bench.device.set_clock(bench.now, Clock::Monotonic, 0);
    bench.say(0, &Message::Time(Time { t1: i64::MIN, t2: i64::MAX, t3: i64::MIN }));
    assert_eq!(bench.device.time_offset(bench.now), None);
}
