//! What holds for every rule, whatever comes.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use senda_server::alerts::{
    Change, Condition, Expected, Hold, Key, Rule, Seen, Side, Transition, Watcher, alert_body,
    to_record,
};
use senda_store::{Sample, Value};
use senda_wire::ValueType;

use crate::rig::{S, T, above, absent, channel, row, rule, standing, table, warm};

fn rows(values: &[f64]) -> Vec<Sample> {
    (1..).zip(values).map(|(second, value)| warm(second, *value)).collect()
}

fn observe(watcher: &mut Watcher, rows: &[Sample]) -> Vec<Transition> {
    rows.iter().flat_map(|row| watcher.observe(row)).collect()
}

/// Values around a band from 28 to 30.
fn near_the_band() -> impl Strategy<Value = f64> {
    prop_oneof![20.0..40.0, Just(28.0), Just(30.0), Just(f64::NAN)]
}

fn any_value() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        any::<bool>().prop_map(|value| Some(Value::Bool(value))),
        any::<u64>().prop_map(|value| Some(Value::Unsigned(value))),
        any::<i64>().prop_map(|value| Some(Value::Signed(value))),
        any::<u32>().prop_map(|bits| Some(Value::F32(f32::from_bits(bits)))),
        any::<u64>().prop_map(|bits| Some(Value::F64(f64::from_bits(bits)))),
        any::<String>().prop_map(|text| Some(Value::Text(text))),
        any::<(u8, String)>().prop_map(|(index, label)| Some(Value::Enum(index, label.into()))),
        any::<i64>().prop_map(|time| Some(Value::Time(time))),
        any::<Vec<i64>>().prop_map(|values| {
            Some(Value::Vector(values.into_iter().map(Value::Signed).collect()))
        }),
        any::<Vec<u8>>().prop_map(|bytes| Some(Value::Blob(bytes))),
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let time = || (1_u64..10_000_000).prop_map(Duration::from_micros);
    let side = || prop_oneof![Just(Side::Above), Just(Side::Below)];
    let condition = prop_oneof![
        (side(), any::<f64>()).prop_map(|(side, x)| Condition::Threshold {
            side,
            raise: x,
            clear: x
        }),
        (side(), any::<f64>(), time(), time()).prop_map(|(side, x, per, over)| {
            Condition::Rate { side, raise: x, clear: x, per, over }
        }),
        time().prop_map(|after| Condition::Absent { after }),
        any::<i64>().prop_map(|x| Condition::Equals(Expected::Integer(x))),
        any::<bool>().prop_map(|x| Condition::Equals(Expected::Bool(x))),
    ];
    let hold = prop_oneof![
        Just(Hold::No),
        time().prop_map(Hold::Time),
        (1..5_u32).prop_map(Hold::Samples)
    ];
    (condition, hold, proptest::option::of(time())).prop_map(|(condition, hold, remind)| {
        let mut rule = rule("any", condition);
        if rule.channel.is_some() {
            rule.hold = hold;
        }
        rule.remind = remind;
        rule
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn raising_and_clearing_take_turns_and_only_beyond_the_band(
        values in prop::collection::vec(near_the_band(), 0..60),
        samples in 1..4_u32,
    ) {
        let mut hot = rule("hot", above(30.0, 28.0));
        hot.hold = Hold::Samples(samples);
        let said = observe(&mut Watcher::new(vec![hot], T).unwrap(), &rows(&values));
        for (index, transition) in said.iter().enumerate() {
            let Some(Value::F64(value)) = transition.value.as_ref().map(|q| q.value.clone()) else {
                panic!("{transition:?}")
            };
            if index % 2 == 0 {
                prop_assert!(transition.change == Change::Raised && value > 30.0);
            } else {
                prop_assert!(transition.change == Change::Cleared && value <= 28.0);
            }
        }
    }

    #[test]
    fn a_restart_anywhere_changes_nothing(
        values in prop::collection::vec(near_the_band(), 1..60),
        at in any::<prop::sample::Index>(),
    ) {
        let rules = || vec![
            rule("hot", above(30.0, 28.0)),
            rule("is", Condition::Equals(Expected::Integer(28))),
        ];
        let rows = rows(&values);
        let mut lived = Watcher::new(rules(), T).unwrap();
        let expected = observe(&mut lived, &rows);
        let (before, after) = rows.split_at(at.index(rows.len()));
        let mut said = observe(&mut Watcher::new(rules(), T).unwrap(), before);
        let mut standing_now: HashMap<Key, _> = HashMap::new();
        for transition in &said {
            match transition.change {
                Change::Raised => standing_now.insert(transition.key.clone(), standing(transition)),
                _ => standing_now.remove(&transition.key),
            };
        }
        let seen = before.last().map(|row| Seen {
            device: row.device.clone(),
            schema: row.table.name.as_str().into(),
            time: row.time,
            received: row.received,
        });
        let mut second = Watcher::new(rules(), T).unwrap();
        prop_assert!(second.restore(standing_now.into_values(), seen, T).is_empty());
        said.extend(observe(&mut second, after));
        prop_assert_eq!(said, expected);
    }

    #[test]
    fn late_rows_in_any_order_change_nothing(
        values in prop::collection::vec(near_the_band(), 1..30),
        late in prop::collection::vec((0..30_i64, near_the_band(), any::<prop::sample::Index>()), 0..30),
    ) {
        let mut hot = rule("hot", above(30.0, 28.0));
        hot.hold = Hold::Time(Duration::from_secs(2));
        let rows = rows(&values);
        let expected = observe(&mut Watcher::new(vec![hot.clone()], T).unwrap(), &rows);
        let mut mixed = rows;
        for (second, value, at) in late {
            let place = at.index(mixed.len()) + 1;
            let newest = mixed[..place].iter().map(|row| row.time).max().unwrap();
            if values[usize::try_from((newest - T) / S - 1).unwrap()].is_nan() {
                continue; // Then it is not late for this rule: it has seen nothing of that time.
            }
            let mut row = warm(second, value);
            row.received = newest.max(row.time);
            if row.time <= newest {
                mixed.insert(place, row);
            }
        }
        prop_assert_eq!(observe(&mut Watcher::new(vec![hot], T).unwrap(), &mixed), expected);
    }

    #[test]
    fn absence_is_raised_once_for_each_silence(
        gaps in prop::collection::vec(1..900_i64, 1..20),
        step in 1..55_i64,
    ) {
        let mut watcher = Watcher::new(vec![rule("gone", absent(300))], T).unwrap();
        let (mut now, mut said) = (T, Vec::new());
        watcher.observe(&warm(0, 1.0));
        let mut heard = T;
        for gap in &gaps {
            let next = heard + gap * S;
            while now + step * S < next {
                now += step * S;
                said.extend(watcher.tick(now));
            }
            now = next - 1;
            said.extend(watcher.tick(now));
            said.extend(watcher.observe(&warm((next - T) / S, 1.0)));
            heard = next;
        }
        let long = gaps.iter().filter(|gap| **gap > 300).count();
        let count = |change| said.iter().filter(|t| t.change == change).count();
        prop_assert_eq!((count(Change::Raised), count(Change::Cleared)), (long, long));
    }

    #[test]
    fn nothing_that_comes_makes_it_panic(
        rules in any_rule(),
        samples in prop::collection::vec(
            (any::<i64>(), any::<i64>(), any_value(), any_value(), -18..=18_i8, 0..4_u8, any::<bool>(), any::<i64>()),
            0..40,
        ),
    ) {
        let mut watcher = Watcher::with_limit(vec![rules], T, 7).unwrap();
        for (time, received, value, other, exponent, elements, counter, now) in samples {
            let mut temperature = channel("temperature", ValueType::I64);
            temperature.exponent = exponent;
            temperature.elements = elements;
            temperature.counter = counter;
            let schema = table("any", vec![temperature, channel("other", ValueType::Text)]);
            let mut sample = row("gh-7", &schema, time, vec![value, other]);
            sample.received = received;
            let mut said = watcher.observe(&sample);
            said.extend(watcher.tick(now));
            for transition in said {
                prop_assert!(transition.text.len() <= 255);
                prop_assert!(alert_body(&to_record(1, &transition), 1100).is_some(), "{:?}", transition);
                prop_assert!(!to_record(1, &transition).values.is_empty());
                transition.value.map(|value| value.json());
            }
        }
    }
}
