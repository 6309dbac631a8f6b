//! What simulated devices do with CONFIG, COMMAND and ALERT, over a real socket, asked by a scripted collector.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::collector::{Answered, Collector, Order};
use common::{config, one_device};
use senda_session::device::{Argument, OwnedValue};
use senda_sim::fleet::{self, Figures, Plan};
use senda_wire::{DoneStatus, ValueType};

/// Runs one device until it has answered everything; what it said, and what it counted.
fn ask(orders: Vec<Order>) -> (Vec<Answered>, Figures) {
    let collector = Collector::start(orders, usize::MAX);
    let plan = one_device("factory", collector.address);
    let (figures, _) = run(&plan, &collector);
    let answers = collector.stop().answers;
    (answers, figures)
}

fn run(plan: &Plan, collector: &Collector) -> (Figures, fleet::Claim) {
    let (figures, mut claims) =
        fleet::run(plan, |_: &Figures| collector.is_done_with_its_orders()).expect("a fleet");
    (figures, claims.remove(0))
}

fn result<'a>(answer: &'a Answered, name: &str) -> &'a OwnedValue {
    let found = answer.results.iter().find(|result| result.name == name);
    &found.unwrap_or_else(|| panic!("{name} is not in {answer:?}")).value
}

#[test]
fn every_command_has_its_answer_and_one_that_nobody_knows_too() {
    let (answers, figures) = ask(vec![
        Order::command("identify", &[]),
        Order::command("fail", &[]),
        Order::command("make-coffee", &[]),
        Order::alert("too hot"),
    ]);
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    let unknown = DoneStatus::Unknown;
    assert_eq!(statuses, [DoneStatus::Ok, DoneStatus::Failed, unknown, DoneStatus::Ok]);
    assert_eq!(*result(&answers[0], "name"), "factory-00000".into());
    assert_eq!(*result(&answers[0], "profile"), "factory".into());
    assert_eq!(*result(&answers[0], "stream"), format!("{:016x}", answers[0].stream).into());
    assert!(!answers[1].text.is_empty(), "a failure says what failed");
    assert!(answers[2].text.contains("identify"), "it says what it knows: {}", answers[2].text);
    assert_eq!((figures.commands, figures.alerts), (3, 1));
}

/// Spec §4.4: every value type, bit for bit.
#[test]
fn echo_args_brings_every_type_back_as_it_went() {
    let vector = |numbers: &[OwnedValue]| OwnedValue::vector(numbers).expect("numbers");
    let arguments = [
        Argument::new("", true),
        Argument::new("a.u8", u8::MAX),
        Argument::new("u16", u16::MAX),
        Argument::new("u32", u32::MAX),
        Argument::new("u64", u64::MAX),
        Argument::new("i8", i8::MIN),
        Argument::new("i16", i16::MIN),
        Argument::scaled("i32", i32::MIN, -18),
        Argument::new("i64", i64::MIN),
        Argument::new("f32", -0.0f32),
        Argument::new("f64", f64::MAX),
        Argument::new("text", "niño"),
        Argument::new("blob", vec![0u8, 255, 7]),
        Argument::new("time", OwnedValue::Time(-1)),
        Argument::new("vector", vector(&[1.5f32.into(), f32::INFINITY.into()])),
        Argument::scaled("wide", vector(&[1u64.into(), u64::MAX.into(), 0u64.into()]), 3),
        Argument::new("", "positional"),
    ];
    let (answers, _) = ask(vec![Order::command("echo-args", &arguments)]);
    assert_eq!(answers[0].status, DoneStatus::Ok);
    assert_eq!(answers[0].results, arguments);
    // NaN is not equal to itself; its bits are.
    let nan = f64::from_bits(0x7FF8_0000_0000_BEEF);
    let (answers, _) = ask(vec![Order::command("echo-args", &[Argument::new("nan", nan)])]);
    let OwnedValue::F64(back) = answers[0].results[0].value else { panic!("{answers:?}") };
    assert_eq!(back.to_bits(), nan.to_bits());
}

#[test]
fn read_now_stores_the_row_whose_values_it_answers() {
    let collector = Collector::start(vec![Order::command("read-now", &[])], usize::MAX);
    let mut plan = one_device("factory", collector.address);
    plan.interval = Some(Duration::from_secs(3_600)); // No other sample comes in between.
    run(&plan, &collector);
    let seen = collector.stop();
    let answer = &seen.answers[0];
    assert_eq!(answer.status, DoneStatus::Ok, "{}", answer.text);
    let OwnedValue::U32(row) = *result(answer, "row") else { panic!("{answer:?}") };
    assert!(seen.rows[&answer.stream].contains(&row), "{row} is among {:?}", seen.rows);
    let profile = plan.profiles[0];
    assert_eq!(answer.results.len(), profile.channels().len() + 2);
    for channel in profile.channels() {
        let value = result(answer, &channel.name);
        let expected = match channel.value_type() {
            ValueType::Enum8 => ValueType::Text,
            other => other,
        };
        assert_eq!(value.value_type(), expected, "{}", channel.name);
    }
}

#[test]
fn an_interval_is_set_by_command_and_by_config_clamped_or_refused() {
    let (answers, figures) = ask(vec![
        Order::command("set-interval", &[Argument::new("", "20ms")]),
        Order::command("set-interval", &[Argument::new("", "10d")]),
        Order::command("set-interval", &[Argument::new("", "often")]),
        Order::config(3, &[Argument::new("interval_ms", 10u32), Argument::new("batch_rows", 4u16)]),
        Order::config(4, &[Argument::new("interval_ms", 0u32)]),
        Order::config(5, &[Argument::new("interval_ms", "x")]),
        Order::command("identify", &[]),
    ]);
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    let (ok, clamped, refused) = (DoneStatus::Ok, DoneStatus::Clamped, DoneStatus::Refused);
    assert_eq!(statuses, [ok, clamped, refused, ok, clamped, refused, ok]);
    assert_eq!(*result(&answers[0], "interval_ms"), 20u32.into());
    assert_eq!(*result(&answers[1], "interval_ms"), 86_400_000u32.into());
    assert_eq!(*result(&answers[4], "interval_ms"), 1u32.into());
    assert_eq!(
        *result(&answers[6], "interval_ms"),
        1u32.into(),
        "a refused CONFIG changes nothing"
    );
    assert_eq!(figures.configured, 2);
}

/// Spec §5.16, §5.8.
#[test]
fn a_channel_that_is_switched_off_is_absent_from_the_rows() {
    let off = [Argument::new("enable.power", false), Argument::new("batch_rows", 3u16)];
    let orders = vec![
        Order::config(1, &off),
        Order::command("read-now", &[]).after_rows(8),
        Order::config(2, &[]).after_rows(12),
        Order::command("read-now", &[]).after_rows(20),
    ];
    let collector = Collector::start(orders, usize::MAX);
    let (figures, _) = run(&one_device("factory", collector.address), &collector);
    let seen = collector.stop();
    let has_power = |answer: &Answered| answer.results.iter().any(|result| result.name == "power");
    assert!(!has_power(&seen.answers[1]) && has_power(&seen.answers[3]), "{:?}", seen.answers);
    assert!(seen.sparse > 0);
    assert_eq!((seen.answers[0].status, figures.skipped), (DoneStatus::Ok, 0));
}

/// Spec §2.3a, §7.7d: a new stream, a queue that is gone, and a command id that is not.
#[test]
fn a_reboot_draws_a_new_stream_and_forgets_what_was_not_acknowledged() {
    for tcp in [false, true] {
        // From row 5 on the collector is silent: those rows go down with the reboot.
        let orders = vec![
            config(7, 20),
            Order::command("reboot", &[]).after_rows(7),
            Order::command("identify", &[]),
        ];
        let collector = Collector::start_on(orders, 5, tcp);
        let mut plan = one_device("greenhouse", collector.address);
        if tcp {
            (plan.tcp, plan.udp) = (plan.udp, None);
        }
        let (figures, claim) = run(&plan, &collector);
        let seen = collector.stop();
        assert_eq!((figures.reboots, figures.commands), (1, 2));
        let [first, second] = &claim.streams[..] else { panic!("{claim:?}") };
        assert_ne!(first, second);
        assert_eq!((seen.answers[1].stream, seen.answers[2].stream), (*first, *second));
        assert_eq!(*result(&seen.answers[2], "boots"), 1u32.into());
        let hello = seen.hellos.iter().find(|hello| hello.stream == *second).expect("a HELLO");
        assert_eq!((hello.next_row, hello.last_command_id, hello.config_rev), (0, 1, 0));
        // The books: what was made is on disk, or waits, or went down with the reboot.
        let unanswered = seen.rows[first].len() as u64 - 5;
        assert!(figures.forgotten >= unanswered, "{figures:?} {unanswered}");
        let settled = figures.acked + figures.refused + figures.skipped;
        assert_eq!(figures.made, settled + figures.pending + figures.forgotten);
        let stored: usize = seen.rows.values().map(BTreeSet::len).sum();
        assert!(claim.acked <= stored as u64 && stored as u64 <= claim.made, "{claim:?} {stored}");
    }
}
