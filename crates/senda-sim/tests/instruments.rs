//! One simulated device: its rows depend on seed, device and schedule, and on nothing else.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use senda_sim::{Instrument, Profile};
use senda_wire::{Clock, Data, DataHead, Presence, Value, encode_row};

/// 2026-01-01T00:00:00Z.
const START_US: i64 = 1_767_225_600_000_000;

#[test]
fn the_same_seed_and_device_give_the_same_times_and_bytes() {
    for profile in built_in() {
        assert_eq!(history(profile, 3, 42, 200), history(profile, 3, 42, 200));
    }
}

#[test]
fn another_device_or_another_seed_gives_other_bytes() {
    for profile in built_in() {
        let rows = |device, seed| history(profile, device, seed, 20);
        let mut seen = HashSet::new();
        for (device, seed) in (0..50).flat_map(|device| [(device, 42), (device, 43)]) {
            assert!(seen.insert(rows(device, seed)), "device {device} seed {seed}");
        }
    }
}

#[test]
fn rows_do_not_depend_on_what_other_devices_do() {
    let profile = Profile::load("vehicle").unwrap();
    let alone = history(profile, 5, 42, 100);
    let mut fleet: Vec<_> =
        (0..10).map(|device| Instrument::new(profile, device, 42, START_US)).collect();
    let mut among = Vec::new();
    for _ in 0..100 {
        for (device, instrument) in fleet.iter_mut().enumerate() {
            let mut row = Vec::new();
            let t_us = instrument.sample_due(&mut row);
            if device == 5 {
                among.push((t_us, row));
            }
        }
    }
    assert_eq!(among, alone);
}

#[test]
fn a_channel_keeps_its_values_when_another_one_is_added() {
    let channel = "[[channel]]\nname = \"a\"\ntype = \"f64\"\nmodel = \"daily\"\nmean = 1\n\
                   amplitude = 1\npeak = \"0h\"\nnoise = 1\n";
    let head = "interval = \"1s\"\n[schema]\nname = \"x\"\n";
    let other = channel.replace("\"a\"", "\"b\"");
    let alone = Profile::parse("one", &format!("{head}{channel}")).unwrap();
    let second = Profile::parse("two", &format!("{head}{other}{channel}")).unwrap();
    for ((_, one), (_, two)) in history(alone, 1, 1, 50).into_iter().zip(history(second, 1, 1, 50))
    {
        assert_eq!(one, two[8..]);
    }
}

#[test]
fn two_channels_of_one_kind_are_independent() {
    let channel = |name: &str| {
        format!(
            "[[channel]]\nname = \"{name}\"\ntype = \"f64\"\nmodel = \"ornstein-uhlenbeck\"\n\
             mean = 0\ndeviation = 1\nrelaxation = \"1ms\"\n"
        )
    };
    let head = "interval = \"1s\"\n[schema]\nname = \"x\"\n";
    let text = format!("{head}{}{}", channel("a"), channel("b"));
    let profile = Profile::parse("x", &text).unwrap();
    let mut instrument = Instrument::new(profile, 0, 42, START_US);
    let mut product = 0.0;
    for second in 0..10_000 {
        product += instrument.with_values(START_US + second * 1_000_000, |values| match values {
            [Value::F64(a), Value::F64(b)] => a * b,
            other => panic!("{other:?}"),
        });
    }
    assert!((product / 10_000.0).abs() < 0.03, "correlation {}", product / 10_000.0);
}

#[test]
fn every_row_is_good_to_whoever_reads_it() {
    for profile in built_in() {
        let schema = profile.schema();
        for device in 0..20 {
            for (t_us, row) in history(profile, device, 7, 100) {
                let head = DataHead { schema: 0, clock: Clock::UtcSynced, count: 1, t0: t_us };
                let body = Data { head, rows: &row };
                let mut rows = body.rows(&schema, Presence::All).unwrap();
                let read = rows.next_row().unwrap().unwrap();
                assert_eq!((read.bad_channel, read.fields()), (None, &row[..]));
                assert!(rows.next_row().unwrap().is_none());
            }
        }
    }
}

#[test]
fn the_row_is_the_encoded_values() {
    for profile in built_in() {
        let schema = profile.schema();
        let mut twins = [(); 2].map(|()| Instrument::new(profile, 9, 1, START_US));
        for _ in 0..50 {
            let due_us = twins[1].next_due();
            let mut row = b"before".to_vec();
            assert_eq!(twins[0].sample_due(&mut row), due_us);
            let mut encoded = vec![0; schema.row_max()];
            let len =
                twins[1].with_values(due_us, |values| encode_row(&schema, values, &mut encoded));
            assert_eq!(row, [b"before", &encoded[..len.unwrap()]].concat(), "it is appended");
            twins[1] = twins[0].clone();
        }
    }
}

#[test]
fn time_values_are_instants_before_the_sample() {
    let profile = Profile::load("factory").unwrap();
    let mut instrument = Instrument::new(profile, 0, 3, START_US);
    for _ in 0..100 {
        let due_us = instrument.next_due();
        instrument.with_values(due_us, |values| {
            let times = values.iter().filter_map(|value| match value {
                Value::Time(t_us) => Some(*t_us),
                _ => None,
            });
            assert!(times.clone().count() == 1 && times.max() <= Some(due_us));
        });
        instrument.sample_due(&mut Vec::new());
    }
}

#[test]
fn devices_begin_evenly_within_their_first_interval() {
    let profile = Profile::load("greenhouse").unwrap();
    let mut tenths = [0u32; 10];
    for device in 0..10_000 {
        let first = Instrument::new(profile, device, 42, START_US).next_due() - START_US;
        let slot = first.clamp(0, 9_999_999) / 1_000_000;
        tenths[usize::try_from(slot).unwrap()] += 1;
        assert!((0..profile.interval_us() + profile.jitter_us()).contains(&first));
    }
    assert!(tenths[1..9].iter().all(|count| (900..1_100).contains(count)), "{tenths:?}");
}

#[test]
fn a_new_interval_holds_from_the_command_on() {
    let profile = Profile::load("greenhouse").unwrap();
    let mut instrument = Instrument::new(profile, 0, 42, START_US);
    let mut last = START_US;
    for _ in 0..5 {
        last = instrument.sample_due(&mut Vec::new());
    }
    instrument.set_interval(Duration::from_secs(2), last + 5_000_000);
    let late = instrument.next_due() - last - 5_000_000;
    assert!((2_000_000..=2_400_000).contains(&late), "{late} µs after the command");
    assert_eq!(instrument.profile().interval_us(), 2_000_000);
    assert_eq!(instrument.samples(), 5);
}

#[test]
fn an_interval_below_the_jitter_cuts_the_jitter() {
    let profile = Profile::load("greenhouse").unwrap();
    assert_eq!(profile.with_interval(Duration::from_secs(1)).jitter_us(), 400_000);
    assert_eq!(profile.with_interval(Duration::from_millis(10)).jitter_us(), 5_000);
    assert_eq!(profile.with_interval(Duration::ZERO).interval_us(), 1);
}

#[test]
fn reading_in_between_leaves_the_schedule_alone() {
    let profile = Profile::load("weather").unwrap();
    let mut instrument = Instrument::new(profile, 0, 42, START_US);
    let due_us = instrument.next_due();
    instrument.sample(due_us - 1, &mut Vec::new());
    assert_eq!((instrument.next_due(), instrument.samples()), (due_us, 0));
}

/// The rows of a seed are what recorded runs and figures refer to. If this fails, the change alters
/// every simulation: say so in the changelog.
#[test]
fn the_rows_of_a_seed_are_the_same_in_every_version() {
    let digests = built_in().map(|profile| {
        let bytes: Vec<u8> = history(profile, 1, 42, 50)
            .into_iter()
            .flat_map(|(t_us, row)| t_us.to_be_bytes().into_iter().chain(row))
            .collect();
        format!("{:08x}", senda_wire::crc32(&bytes))
    });
    assert_eq!(digests, ["3cb52fe7", "67007532", "8eebed3c", "2a22d165"]);
}

proptest! {
    #[test]
    fn samples_are_due_once_an_interval_and_at_most_the_jitter_late(
        interval_ms in 1..100_000i64, jitter_share in 0.0..1.0f64, device: u32, seed: u64,
    ) {
        let jitter_us = (interval_ms as f64 * 1_000.0 * jitter_share).floor();
        let text = format!(
            "interval = \"{interval_ms}ms\"\njitter = \"{jitter_us}us\"\n[schema]\nname = \"x\"\n\
             [[channel]]\nname = \"a\"\ntype = \"u8\"\nmodel = \"constant\"\nvalue = 1\n",
        );
        let profile = Profile::parse("x", &text).unwrap();
        let times: Vec<i64> =
            history(profile, device, seed, 30).into_iter().map(|(t_us, _)| t_us).collect();
        prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
        // Every sample lies in its own slot of the same grid.
        let late = |(n, t_us): (i64, &i64)| t_us - n * interval_ms * 1_000;
        let lates: Vec<i64> = (0..).zip(&times).map(late).collect();
        let (first, last) = (lates.iter().min().unwrap(), lates.iter().max().unwrap());
        prop_assert!((last - first) as f64 <= jitter_us);
        prop_assert!(*first >= START_US);
    }
}

/// Times and rows of a device's first samples.
fn history(profile: Profile, device: u32, seed: u64, count: usize) -> Vec<(i64, Vec<u8>)> {
    let mut instrument = Instrument::new(profile, device, seed, START_US);
    let sample = |_| {
        let mut row = Vec::new();
        (instrument.sample_due(&mut row), row)
    };
    (0..count).map(sample).collect()
}

fn built_in() -> [Profile; 4] {
    ["greenhouse", "vehicle", "factory", "weather"].map(|name| Profile::load(name).unwrap())
}
