//! What raises and what clears, rule by rule.

use std::time::Duration;

use senda_server::alerts::Change::{Cleared, Closed, Over, Raised, Reminder};
use senda_server::alerts::{
    Complaint, Condition, Expected, Hold, Seen, Side, Watcher, alert_body, to_record,
};
use senda_store::{Sample, Value};
use senda_wire::{Frame, Message, MessageType, ValueType};

use crate::rig::{
    S, T, above, absent, changes, channel, equals, key, row, rule, standing, table, warm,
};

fn watch(rules: Vec<senda_server::alerts::Rule>) -> Watcher {
    Watcher::new(rules, T).unwrap()
}

fn run(watcher: &mut Watcher, rows: &[Sample]) -> Vec<(senda_server::alerts::Change, i64)> {
    changes(&rows.iter().flat_map(|row| watcher.observe(row)).collect::<Vec<_>>())
}

fn temperatures(watcher: &mut Watcher, values: &[f64]) -> Vec<(senda_server::alerts::Change, i64)> {
    let rows: Vec<_> = (0..).zip(values).map(|(second, value)| warm(second, *value)).collect();
    run(watcher, &rows)
}

#[test]
fn a_threshold_raises_beyond_it_and_clears_at_the_other() {
    let mut watcher = watch(vec![rule("hot", above(30.0, 28.0))]);
    let values = [30.0, 30.5, 29.0, 31.0, 28.5, 28.0, 29.0, 30.0, 30.1];
    assert_eq!(temperatures(&mut watcher, &values), [(Raised, 1), (Cleared, 5), (Raised, 8)]);
    let below = Condition::Threshold { side: Side::Below, raise: 5.0, clear: 6.0 };
    let mut watcher = watch(vec![rule("cold", below)]);
    let values = [5.0, 4.9, 5.5, 6.0, 5.5, 4.0];
    assert_eq!(temperatures(&mut watcher, &values), [(Raised, 1), (Cleared, 3), (Raised, 5)]);
}

#[test]
fn a_transition_says_what_was_seen_and_against_what() {
    let mut watcher = watch(vec![rule("hot", above(30.0, 28.0))]);
    let raised = watcher.observe(&warm(1, 31.5)).remove(0);
    assert_eq!(raised.key, key("hot", "greenhouse", "temperature"));
    assert_eq!(raised.text, "gh-7: temperature is 31.5 Cel, above 30");
    assert_eq!(raised.value.unwrap().value, Value::F64(31.5));
    assert_eq!(raised.threshold.unwrap().text(), "30");
    let cleared = watcher.observe(&warm(2, 20.0)).remove(0);
    assert_eq!(cleared.text, "gh-7: temperature is 20 Cel, no longer above 30");
}

#[test]
fn a_text_of_ones_own_is_said_when_clearing_too() {
    let mut hot = rule("hot", above(30.0, 28.0));
    hot.text = Some("{device} is {value} {unit}".into());
    let mut watcher = watch(vec![hot.clone()]);
    let says =
        |watcher: &mut Watcher, second, value| watcher.observe(&warm(second, value)).remove(0).text;
    assert_eq!(says(&mut watcher, 1, 31.0), "gh-7 is 31 Cel");
    assert_eq!(says(&mut watcher, 2, 20.0), "cleared: gh-7 is 20 Cel");
    hot.text_cleared = Some("{device} is {state}".into());
    let mut watcher = watch(vec![hot]);
    says(&mut watcher, 1, 31.0);
    assert_eq!(says(&mut watcher, 2, 20.0), "gh-7 is cleared");
}

#[test]
fn nan_neither_raises_nor_clears() {
    let mut watcher = watch(vec![rule("hot", above(30.0, 28.0))]);
    let values = [f64::NAN, 31.0, f64::NAN, 20.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let expected = [(Raised, 1), (Cleared, 3), (Raised, 5), (Cleared, 6)];
    assert_eq!(temperatures(&mut watcher, &values), expected);
    let mut late = warm(6, 31.0);
    late.received = T + 8 * S;
    let rows = [warm(7, f64::NAN), late];
    assert_eq!(run(&mut watcher, &rows), [], "it has seen the infinity of that second");
    let mut watcher = watch(vec![rule("hot", above(30.0, 28.0))]);
    assert_eq!(run(&mut watcher, &rows), [(Raised, 6)], "what was no number was no sample");
    let mut not_nan = rule("is", Condition::Equals(Expected::Number(1.0)));
    not_nan.hold = Hold::Samples(2);
    let mut watcher = watch(vec![not_nan]);
    assert_eq!(temperatures(&mut watcher, &[1.0, f64::NAN, 1.0]), [(Raised, 2)]);
    assert!(watcher.complaints().is_empty());
}

#[test]
fn a_condition_must_hold_for_a_time_or_for_samples() {
    let mut hot = rule("hot", above(30.0, 28.0));
    hot.hold = Hold::Time(Duration::from_secs(3));
    let values = [31.0, 31.0, 29.0, 31.0, 31.0, 31.0, 31.0, 20.0];
    assert_eq!(temperatures(&mut watch(vec![hot.clone()]), &values), [(Raised, 6), (Cleared, 7)]);
    hot.hold = Hold::Samples(3);
    assert_eq!(temperatures(&mut watch(vec![hot]), &values), [(Raised, 5), (Cleared, 7)]);
}

#[test]
fn late_rows_count_for_nothing() {
    let mut hot = rule("hot", above(30.0, 28.0));
    hot.hold = Hold::Samples(2);
    let mut watcher = watch(vec![hot]);
    let late = |second, value| {
        let mut sample = warm(second, value);
        sample.received = T + 100 * S;
        sample
    };
    let rows = [warm(50, 31.0), late(10, 32.0), late(50, 33.0), late(49, 20.0), warm(51, 31.0)];
    assert_eq!(run(&mut watcher, &rows), [(Raised, 51)], "nor do they interrupt");
    assert_eq!(run(&mut watcher, &[late(20, 10.0)]), []);
    assert_eq!(run(&mut watcher, &[warm(52, 10.0)]), [(Cleared, 52)]);
}

#[test]
fn a_clock_that_is_fast_makes_nothing_late() {
    let mut watcher = watch(vec![rule("hot", above(30.0, 28.0))]);
    let mut fast = warm(1, 31.0);
    fast.time += 86_000 * S;
    assert_eq!(run(&mut watcher, &[fast, warm(2, 20.0)]), [(Raised, 1), (Cleared, 2)]);
}

#[test]
fn a_rate_is_of_change_and_not_of_values() {
    let rate = Condition::Rate {
        side: Side::Above,
        raise: 2.0,
        clear: 1.0,
        per: Duration::from_secs(60),
        over: Duration::from_secs(30),
    };
    let mut watcher = watch(vec![rule("climbing", rate)]);
    let at = |second: i64, value| warm(second, value);
    let rows = [at(0, 90.0), at(30, 90.5), at(60, 92.0), at(90, 92.9), at(120, 93.0)];
    let said: Vec<_> = rows.iter().flat_map(|row| watcher.observe(row)).collect();
    assert_eq!(changes(&said), [(Raised, 60), (Cleared, 120)]);
    assert_eq!(said[0].text, "gh-7: temperature changes by 3 Cel/min, above 2");
}

#[test]
fn equals_is_for_labels_texts_and_switches() {
    let labels = vec!["closed".into(), "open".into()];
    let mut door = channel("temperature", ValueType::Enum8);
    door.labels.clone_from(&labels);
    let schema = table("door", vec![door]);
    let state = |second: i64, index: u8| {
        let value = Value::Enum(index, labels[usize::from(index)].clone());
        row("gh-7", &schema, T + second * S, vec![Some(value)])
    };
    let mut watcher = watch(vec![rule("open", equals("open"))]);
    let rows = [state(1, 0), state(2, 1), state(3, 1), state(4, 0)];
    assert_eq!(run(&mut watcher, &rows), [(Raised, 2), (Cleared, 4)]);
    let schema = table("switch", vec![channel("temperature", ValueType::Bool)]);
    let switch =
        |second: i64, on| row("gh-7", &schema, T + second * S, vec![Some(Value::Bool(on))]);
    let mut watcher = watch(vec![rule("on", Condition::Equals(Expected::Bool(true)))]);
    assert_eq!(
        run(&mut watcher, &[switch(1, true), switch(2, false)]),
        [(Raised, 1), (Cleared, 2)]
    );
}

#[test]
fn each_element_of_a_vector_is_watched_by_itself() {
    let mut accel = channel("temperature", ValueType::I16);
    accel.elements = 3;
    accel.exponent = -2;
    let schema = table("imu", vec![accel]);
    let vector = |second: i64, values: [i64; 3]| {
        let elements = values.map(Value::Signed).to_vec();
        row("gh-7", &schema, T + second * S, vec![Some(Value::Vector(elements))])
    };
    let mut any = rule("any", above(1.0, 1.0));
    let rows = [vector(1, [0, 101, 200]), vector(2, [100, 100, 200])];
    let mut watcher = watch(vec![any.clone()]);
    let said: Vec<_> = rows.iter().flat_map(|row| watcher.observe(row)).collect();
    let of: Vec<_> = said.iter().map(|t| (&*t.key.channel, t.change)).collect();
    assert_eq!(
        of,
        [("temperature[1]", Raised), ("temperature[2]", Raised), ("temperature[1]", Cleared)]
    );
    assert_eq!(said[0].value.as_ref().unwrap().text(), "1.01");
    any.channel = Some("temperature[2]".into());
    assert_eq!(run(&mut watch(vec![any.clone()]), &rows), [(Raised, 1)]);
    any.channel = Some("temperature[3]".into());
    assert_eq!(run(&mut watch(vec![any]), &rows), []);
}

#[test]
fn only_what_matches_is_watched() {
    let mut hot = rule("hot", above(30.0, 28.0));
    hot.schema = Some("green*".into());
    let mut watcher = watch(vec![hot]);
    let hot = |device, schema, name| {
        let table = table(schema, vec![channel(name, ValueType::F64)]);
        row(device, &table, T + S, vec![Some(Value::F64(99.0))])
    };
    assert!(watcher.observe(&hot("barn-7", "greenhouse", "temperature")).is_empty());
    assert!(watcher.observe(&hot("gh-7", "weather", "temperature")).is_empty());
    assert!(watcher.observe(&hot("gh-7", "greenhouse", "humidity")).is_empty());
    assert_eq!(watcher.observe(&hot("gh-8", "greenhouse", "temperature")).len(), 1);
    assert_eq!(watcher.observe(&hot("gh-9", "greenhouse", "temperature")).len(), 1);
}

#[test]
fn a_channel_that_is_not_there_changes_nothing() {
    let mut watcher = watch(vec![rule("hot", above(30.0, 28.0))]);
    let sparse = |second| {
        let mut sample = warm(second, 0.0);
        sample.values = vec![None];
        sample
    };
    assert_eq!(
        run(&mut watcher, &[warm(1, 31.0), sparse(2), warm(3, 20.0)]),
        [(Raised, 1), (Cleared, 3)]
    );
    let mut short = warm(4, 0.0);
    short.values.clear();
    assert_eq!(run(&mut watcher, &[short]), []);
}

#[test]
fn another_version_of_the_schema_keeps_the_alert() {
    let mut watcher = watch(vec![rule("hot", above(30.0, 28.0))]);
    assert_eq!(run(&mut watcher, &[warm(1, 31.0)]), [(Raised, 1)]);
    let channels = vec![channel("door", ValueType::Bool), channel("temperature", ValueType::F64)];
    let wider = table("greenhouse", channels);
    let values = vec![Some(Value::Bool(true)), Some(Value::F64(20.0))];
    assert_eq!(run(&mut watcher, &[row("gh-7", &wider, T + 2 * S, values)]), [(Cleared, 2)]);
}

#[test]
fn absence_raises_once_and_clears_at_the_next_row() {
    let mut watcher = watch(vec![rule("gone", absent(300))]);
    assert_eq!(watcher.next_due(), None, "a pattern expects nobody by name");
    run(&mut watcher, &[warm(0, 20.0), warm(100, 20.0)]);
    assert_eq!(watcher.next_due(), Some(T + 300 * S));
    assert!(watcher.tick(T + 300 * S).is_empty());
    assert_eq!(watcher.next_due(), Some(T + 400 * S));
    assert!(watcher.tick(T + 400 * S - 1).is_empty());
    let raised = watcher.tick(T + 401 * S);
    assert_eq!(changes(&raised), [(Raised, 400)]);
    assert_eq!(raised[0].key, key("gone", "", ""));
    assert_eq!(raised[0].text, "gh-7: nothing received for 300 s");
    assert!(watcher.tick(T + 402 * S).is_empty());
    assert_eq!(watcher.next_due(), None);
    let back = watcher.observe(&warm(500, 20.0));
    assert_eq!(changes(&back), [(Cleared, 500)]);
    assert_eq!(back[0].value.as_ref().unwrap().text(), "400");
    assert_eq!(watcher.next_due(), Some(T + 800 * S));
}

#[test]
fn absence_counts_receptions_so_old_rows_end_it() {
    let mut watcher = watch(vec![rule("gone", absent(300))]);
    run(&mut watcher, &[warm(0, 20.0)]);
    watcher.tick(T + 300 * S);
    let mut backfill = warm(1, 20.0);
    backfill.received = T + 310 * S;
    assert_eq!(run(&mut watcher, &[backfill]), [(Cleared, 310)]);
}

#[test]
fn a_device_that_is_expected_by_name_need_not_have_been_seen() {
    let mut gone = rule("gone", absent(300));
    gone.device = "gh-7".into();
    let mut watcher = watch(vec![gone]);
    assert_eq!(changes(&watcher.tick(T + 300 * S)), [(Raised, 300)]);
}

#[test]
fn absence_of_a_schema_is_not_ended_by_another() {
    let mut gone = rule("gone", absent(300));
    gone.schema = Some("greenhouse".into());
    let mut watcher = watch(vec![gone]);
    run(&mut watcher, &[warm(0, 20.0)]);
    let other = table("door", vec![channel("open", ValueType::Bool)]);
    run(&mut watcher, &[row("gh-7", &other, T + 200 * S, vec![None])]);
    let raised = watcher.tick(T + 300 * S);
    assert_eq!(raised[0].key, key("gone", "greenhouse", ""));
    assert_eq!(raised[0].text, "gh-7: nothing received greenhouse for 300 s");
}

#[test]
fn devices_seen_before_a_restart_get_the_whole_time_again() {
    let mut watcher = watch(vec![rule("gone", absent(300))]);
    let seen = Seen {
        device: "gh-7".into(),
        schema: "greenhouse".into(),
        time: T - 9999 * S,
        received: T - 9999 * S,
    };
    assert!(watcher.restore([], [seen], T).is_empty());
    assert_eq!(changes(&watcher.tick(T + 300 * S)), [(Raised, 300)]);
}

#[test]
fn an_absence_that_stood_before_a_restart_is_not_raised_again() {
    let seen = || {
        let (time, received) = (T - 400 * S, T - 400 * S);
        Seen { device: "gh-7".into(), schema: "greenhouse".into(), time, received }
    };
    let mut watcher = watch(vec![rule("gone", absent(300))]);
    watcher.restore([], [seen()], T);
    let raised = watcher.tick(T + 300 * S).remove(0);
    let mut watcher = watch(vec![rule("gone", absent(300))]);
    watcher.restore([standing(&raised)], [seen()], T + 400 * S);
    assert!(watcher.tick(T + 700 * S).is_empty());
    assert_eq!(run(&mut watcher, &[warm(800, 20.0)]), [(Cleared, 800)]);
}

#[test]
fn a_collector_that_slept_blames_nobody() {
    let mut watcher = watch(vec![rule("gone", absent(300))]);
    run(&mut watcher, &[warm(0, 20.0)]);
    assert!(watcher.tick(T + 5000 * S).is_empty());
    assert_eq!(watcher.next_due(), Some(T + 5300 * S));
    assert_eq!(changes(&watcher.tick(T + 5300 * S)), [(Raised, 5300)]);
}

#[test]
fn a_clock_set_back_blames_nobody_and_forgets_nobody() {
    let mut watcher = watch(vec![rule("gone", absent(300))]);
    run(&mut watcher, &[warm(10_000, 20.0)]);
    assert!(watcher.tick(T + 10_001 * S).is_empty());
    assert!(watcher.tick(T + 100 * S).is_empty());
    run(&mut watcher, &[warm(200, 20.0)]);
    // The due of the old time is still the one that is waited for: it comes late, not never.
    assert_eq!(changes(&watcher.tick(T + 10_300 * S)), [(Raised, 500)]);
}

#[test]
fn what_stood_before_a_restart_is_not_raised_again() {
    let rules = || vec![rule("hot", above(30.0, 28.0))];
    let raised = watch(rules()).observe(&warm(1, 31.0)).remove(0);
    let mut watcher = watch(rules());
    assert!(watcher.restore([standing(&raised)], [], T).is_empty());
    assert_eq!(run(&mut watcher, &[warm(2, 32.0), warm(3, 20.0)]), [(Cleared, 3)]);
}

#[test]
fn rows_older_than_the_stored_ones_are_late_after_a_restart() {
    let mut watcher = watch(vec![rule("hot", above(30.0, 28.0))]);
    let seen = Seen {
        device: "gh-7".into(),
        schema: "greenhouse".into(),
        time: T + 50 * S,
        received: T + 50 * S,
    };
    watcher.restore([], [seen], T + 60 * S);
    let mut old = warm(40, 99.0);
    old.received = T + 70 * S;
    assert_eq!(run(&mut watcher, &[old, warm(71, 99.0)]), [(Raised, 71)]);
}

#[test]
fn an_alert_whose_rule_is_gone_is_cleared_at_the_start() {
    let raised = watch(vec![rule("hot", above(30.0, 28.0))]).observe(&warm(1, 31.0)).remove(0);
    let mut elsewhere = rule("hot", above(30.0, 28.0));
    elsewhere.device = "barn-*".into();
    for rules in [vec![], vec![rule("other", above(30.0, 28.0))], vec![elsewhere]] {
        let gone = watch(rules).restore([standing(&raised)], [], T + 9 * S);
        assert_eq!(changes(&gone), [(Cleared, 9)]);
        assert_eq!(gone[0].text, "cleared: its rule is gone");
    }
}

#[test]
fn an_alert_closed_by_hand_waits_for_its_condition_to_be_over() {
    let mut watcher = watch(vec![rule("hot", above(30.0, 28.0))]);
    let this = key("hot", "greenhouse", "temperature");
    assert_eq!(watcher.close(&this, T), None);
    watcher.observe(&warm(1, 31.0));
    assert_eq!(
        changes(&watcher.close(&this, T + 2 * S).into_iter().collect::<Vec<_>>()),
        [(Closed, 2)]
    );
    assert_eq!(watcher.close(&this, T + 2 * S), None);
    let rows = [warm(3, 32.0), warm(4, 29.0), warm(5, 33.0), warm(6, 27.0), warm(7, 31.0)];
    assert_eq!(run(&mut watcher, &rows), [(Over, 6), (Raised, 7)]);
    let mut again = watch(vec![rule("hot", above(30.0, 28.0))]);
    let mut closed = standing(&watcher.close(&this, T + 8 * S).unwrap());
    closed.closed = true;
    again.restore([closed], [], T + 9 * S);
    assert_eq!(run(&mut again, &[warm(9, 32.0), warm(10, 20.0)]), [(Over, 10)]);
}

#[test]
fn reminders_come_until_somebody_acknowledges() {
    let mut hot = rule("hot", above(30.0, 28.0));
    hot.remind = Some(Duration::from_secs(60));
    let mut watcher = watch(vec![hot.clone()]);
    let raised = watcher.observe(&warm(1, 31.0)).remove(0);
    assert_eq!(watcher.next_due(), Some(T + 61 * S));
    let reminder = watcher.tick(T + 61 * S);
    assert_eq!(changes(&reminder), [(Reminder, 61)]);
    assert_eq!(reminder[0].text, raised.text);
    assert_eq!(changes(&watcher.tick(T + 125 * S)), [(Reminder, 125)], "none is made up for");
    assert!(watcher.acknowledge(&raised.key));
    assert!(watcher.tick(T + 185 * S).is_empty());
    assert_eq!(
        run(&mut watcher, &[warm(190, 20.0), warm(191, 31.0)]),
        [(Cleared, 190), (Raised, 191)]
    );
    assert_eq!(
        changes(&watcher.tick(T + 251 * S)),
        [(Reminder, 251)],
        "a new alert is a new alert"
    );
    let mut after = watch(vec![hot.clone()]);
    after.restore([standing(&raised)], [], T + 300 * S);
    assert_eq!(after.next_due(), Some(T + 360 * S));
    let mut acknowledged = standing(&raised);
    acknowledged.acknowledged = true;
    let mut after = watch(vec![hot]);
    after.restore([acknowledged], [], T + 300 * S);
    assert!(after.tick(T + 360 * S).is_empty());
}

#[test]
fn a_rule_that_can_not_work_complains_once() {
    let mut watcher = watch(vec![rule("hot", above(30.0, 28.0)), rule("is", equals("on"))]);
    let schema = table("switch", vec![channel("temperature", ValueType::Bool)]);
    for second in 1..5 {
        watcher.observe(&row("gh-7", &schema, T + second * S, vec![Some(Value::Bool(true))]));
    }
    let complaints = watcher.complaints();
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    assert!(complaints[0].to_string().contains("\"hot\" does not work on channel \"temperature\""));
    assert!(watcher.complaints().is_empty());
}

#[test]
fn memory_is_bounded_and_whoever_came_first_is_watched() {
    let mut watcher = Watcher::with_limit(vec![rule("hot", above(30.0, 28.0))], T, 4).unwrap();
    let schema = table("greenhouse", vec![channel("temperature", ValueType::F64)]);
    let hot = |device: usize, second: i64, value| {
        row(&format!("gh-{device}"), &schema, T + second * S, vec![Some(Value::F64(value))])
    };
    let raised: Vec<_> = (0..9).flat_map(|device| watcher.observe(&hot(device, 1, 99.0))).collect();
    assert_eq!(raised.len(), 2, "two states for each device");
    assert_eq!(watcher.observe(&hot(1, 2, 0.0)).len(), 1);
    let complaints = watcher.complaints();
    assert!(matches!(&complaints[..], [Complaint::Crowded { limit: 4, .. }]), "{complaints:?}");
    // One who was raised before a restart is kept whatever the limit.
    let mut after = Watcher::with_limit(vec![rule("hot", above(30.0, 28.0))], T, 0).unwrap();
    after.restore([standing(&raised[0])], [], T);
    assert!(after.close(&raised[0].key, T).is_some());
}

/// Spec §5.19.
#[test]
fn an_alert_goes_to_the_device_with_typed_values() {
    let mut battery = channel("temperature", ValueType::U16);
    battery.exponent = -3;
    let schema = table("power", vec![battery]);
    let below = Condition::Threshold { side: Side::Below, raise: 3.3, clear: 3.3 };
    let mut watcher = watch(vec![rule("low", below)]);
    let low = row("gh-7", &schema, T + S, vec![Some(Value::Unsigned(3299))]);
    let raised = watcher.observe(&low).remove(0);
    let body = alert_body(&to_record(9, &raised), 1100).unwrap();
    let code = MessageType::Alert.code();
    let read = |body: &[u8]| {
        let frame = Frame { flags: 0, code, session: 1, seq: 1, body, bytes: body };
        let Ok(Message::Alert(alert)) = Message::decode(&frame) else { panic!("{body:x?}") };
        let names: Vec<_> = alert.values.iter().map(|value| value.name.to_owned()).collect();
        assert!((alert.id, alert.time, alert.raised, alert.severity) == (9, T + S, true, 1));
        assert_eq!((alert.schema, alert.channel), ("power", "temperature"));
        (alert.text.to_owned(), names)
    };
    assert_eq!(read(&body).1, ["value", "threshold", "rule"]);
    assert_eq!(read(&body).0, raised.text);
    let list = to_record(9, &raised).values;
    assert!(body.ends_with(&list), "the list stands at the end");
    // value: name, u16, exponent -3, one element, 3299.
    assert_eq!(&list[..12], [&[3, 5][..], b"value", &[3, 0xFD, 1, 0x0C, 0xE3]].concat());
    let short = alert_body(&to_record(9, &raised), 60).unwrap();
    assert!(short.len() <= 60);
    let (text, names) = read(&short);
    assert!(names.is_empty() && raised.text.starts_with(text.trim_end_matches('…')), "{text}");
    assert_eq!(alert_body(&to_record(9, &raised), 20), None);
}
