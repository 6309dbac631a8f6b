//! The random processes do what their names say. Seeds are fixed, so that a failure is a change.

use proptest::prelude::*;
use senda_sim::sensor::{Limits, Model, Moment, Output, Scale, Scratch, Sensor, Spec};
use senda_wire::{Value, ValueType};

const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;
/// 2026-01-01T00:00:00Z.
const START_US: i64 = 1_767_225_600 * SECOND_US;

#[test]
fn a_constant_is_always_the_same_and_its_spread_tells_devices_apart() {
    let fixed = spec(Model::Constant { value: 230.0 }, 0.0);
    assert!(numbers(&fixed, 1, SECOND_US, 100).iter().all(|x| *x == 230.0));
    let spread = spec(Model::Constant { value: 230.0 }, 2.0);
    let devices: Vec<f64> =
        (0..2_000).map(|seed| numbers(&spread, seed, SECOND_US, 2)[1]).collect();
    let (mean, deviation) = moments(&devices);
    assert!((mean - 230.0).abs() < 0.2 && (deviation - 2.0).abs() < 0.1, "{mean} {deviation}");
    let one = numbers(&spread, 7, SECOND_US, 100);
    assert!(one.iter().all(|x| *x == one[0]), "the spread is drawn once for a device");
}

#[test]
fn ornstein_uhlenbeck_has_its_mean_deviation_and_correlation() {
    let model = Model::OrnsteinUhlenbeck { mean: 68.0, deviation: 8.0, relaxation_s: 60.0 };
    let xs = numbers(&spec(model, 0.0), 2, 30 * SECOND_US, 100_000);
    let (mean, deviation) = moments(&xs);
    assert!((mean - 68.0).abs() < 0.2, "{mean}");
    assert!((deviation - 8.0).abs() < 0.1, "{deviation}");
    let expected = (-0.5f64).exp(); // Half the relaxation time apart.
    assert!((correlation(&xs, 1) - expected).abs() < 0.01, "{}", correlation(&xs, 1));
}

#[test]
fn ornstein_uhlenbeck_is_the_same_process_at_any_sampling_interval() {
    let model = Model::OrnsteinUhlenbeck { mean: 0.0, deviation: 1.0, relaxation_s: 100.0 };
    let spec = spec(model, 0.0);
    let every_10_s = numbers(&spec, 3, 10 * SECOND_US, 200_000);
    let every_50_s = numbers(&spec, 4, 50 * SECOND_US, 100_000);
    assert!((correlation(&every_10_s, 5) - correlation(&every_50_s, 1)).abs() < 0.02);
    let first: Vec<f64> = (0..20_000).map(|seed| numbers(&spec, seed, HOUR_US, 1)[0]).collect();
    let (_, deviation) = moments(&first);
    assert!((deviation - 1.0).abs() < 0.02, "it does not begin at its mean: {deviation}");
}

#[test]
fn a_random_walk_grows_with_the_root_of_time_and_stays_in_its_range() {
    let free = spec(Model::RandomWalk { step: 0.5, low: -1e6, high: 1e6 }, 0.0);
    for seconds in [1, 100] {
        let xs = numbers(&free, 5, seconds * SECOND_US, 50_000);
        let steps: Vec<f64> = xs.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let (_, deviation) = moments(&steps);
        let expected = 0.5 * (seconds as f64).sqrt();
        assert!((deviation / expected - 1.0).abs() < 0.02, "{deviation} after {seconds} s");
    }
    let narrow = spec(Model::RandomWalk { step: 3.0, low: 10.0, high: 20.0 }, 0.0);
    let xs = numbers(&narrow, 6, 60 * SECOND_US, 50_000);
    assert!(xs.iter().all(|x| (10.0..=20.0).contains(x)));
    let (mean, deviation) = moments(&xs);
    assert!((mean - 15.0).abs() < 0.1, "reflected, it is everywhere alike: {mean}");
    assert!((deviation - 10.0 / 12f64.sqrt()).abs() < 0.1, "{deviation}");
}

#[test]
fn a_daily_cycle_peaks_when_it_should_by_its_amplitude() {
    let model = Model::Daily { mean: 22.0, amplitude: 6.0, peak_s: 14.0 * 3_600.0, noise: 0.2 };
    let xs = numbers(&spec(model, 0.0), 7, HOUR_US, 24 * 1_000);
    let at_hour = |hour: usize| {
        let hours: Vec<f64> = xs.iter().copied().skip(hour).step_by(24).collect();
        moments(&hours)
    };
    // The first sample is taken an hour after midnight.
    let (peak, noise) = at_hour(13);
    assert!((peak - 28.0).abs() < 0.03 && (noise - 0.2).abs() < 0.02, "{peak} {noise}");
    assert!((at_hour(1).0 - 16.0).abs() < 0.03, "lowest twelve hours later");
    assert!((at_hour(7).0 - 22.0).abs() < 0.03, "the mean between them");
}

#[test]
fn a_markov_switch_is_on_for_its_share_of_time_and_stays_for_its_mean_time() {
    let model = Model::OnOff { mean_on_s: 120.0, mean_off_s: 360.0, on: 1.0, off: 0.0 };
    for interval_s in [5, 300] {
        let xs = numbers(&spec(model.clone(), 0.0), 8, interval_s * SECOND_US, 200_000);
        let (duty, _) = moments(&xs);
        assert!((duty - 0.25).abs() < 0.01, "{duty} when sampled every {interval_s} s");
        if interval_s == 5 {
            let starts = xs.windows(2).filter(|pair| pair[0] < pair[1]).count();
            let mean_on_s = duty * 200_000.0 * 5.0 / starts as f64;
            assert!((mean_on_s / 122.0 - 1.0).abs() < 0.05, "{mean_on_s}"); // 2 s for missed ones
        }
    }
}

#[test]
fn bursts_add_up_to_their_mean_and_are_quiet_in_between() {
    let model =
        Model::Bursts { base: 2.0, height: 10.0, every_s: 600.0, decay_s: 30.0, noise: 0.0 };
    for interval_s in [10, 7_200] {
        let xs = numbers(&spec(model.clone(), 0.0), 9, interval_s * SECOND_US, 100_000);
        let (mean, deviation) = moments(&xs);
        // Shot noise: rate × decay × height, and the root of rate × decay × height².
        assert!((mean - 2.5).abs() < 0.07, "{mean} when sampled every {interval_s} s");
        assert!((deviation - 5f64.sqrt()).abs() < 0.15, "{deviation}");
        assert!(xs.iter().all(|x| *x >= 2.0));
        let quiet = xs.iter().filter(|x| **x < 2.1).count();
        assert!(quiet > 60_000, "{quiet} of 100,000 samples are quiet");
    }
}

#[test]
fn a_battery_runs_down_and_is_changed() {
    let model = Model::Battery { full: 100.0, empty: 5.0, life_s: 1_000.0, noise: 0.0 };
    let xs = numbers(&spec(model, 0.0), 20, 10 * SECOND_US, 1_000);
    let changes = xs.windows(2).filter(|pair| pair[1] > pair[0]).count();
    assert_eq!(changes, 10, "one a life");
    assert!(xs.iter().all(|x| (5.0..=100.0).contains(x)));
    let falls = xs.windows(2).filter(|pair| (pair[0] - pair[1] - 0.95).abs() < 1e-6).count();
    assert_eq!(falls, 989, "by a hundredth of its range in a hundredth of its life");
}

#[test]
fn a_counter_grows_at_its_rate_and_never_falls() {
    let model = Model::Counter { rate: 2.5, start: 0, restart_s: None };
    let counts = counts(&model, 11, 4 * SECOND_US, 50_000);
    assert!(counts.is_sorted());
    let rate = counts[49_999] as f64 / (4.0 * 50_000.0);
    assert!((rate - 2.5).abs() < 0.02, "{rate}");
    let increases: Vec<f64> = counts.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    let (mean, deviation) = moments(&increases);
    assert!((deviation * deviation / mean - 1.0).abs() < 0.03, "Poisson: variance is mean");
}

#[test]
fn a_counter_restarts_from_0_about_as_often_as_it_should() {
    let model = Model::Counter { rate: 1.0, start: 1_000_000, restart_s: Some(1_000.0) };
    let counts = counts(&model, 12, 10 * SECOND_US, 100_000);
    let restarts = counts.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!((900..1_090).contains(&restarts), "{restarts}: 995 expected, give or take 32");
    let after = counts.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[1]);
    assert!(after.max() <= Some(25), "it counts from 0 for what is left of the interval");
}

#[test]
fn a_large_counter_is_exact_beyond_the_integers_of_a_double() {
    let start = (1 << 60) + 1;
    let model = Model::Counter { rate: 3.0, start, restart_s: None };
    let counts = counts(&model, 13, SECOND_US, 10);
    assert!(counts.windows(2).all(|pair| pair[1] - pair[0] < 20));
    assert!(counts[0] - start < 20);
}

#[test]
fn a_status_has_its_shares_of_time_whatever_the_interval() {
    let model = Model::Status { cumulative: Box::new([0.7, 0.9, 1.0]), hold_s: 60.0 };
    let texts = ["ok", "low", "fault"].map(Box::from);
    let spec = Spec::new(model, Output::Text(Box::new(texts)), 1, 0.0).unwrap();
    for interval_s in [20, 600] {
        let mut seen = [0u32; 3];
        sampled(&spec, 14, interval_s * SECOND_US, 100_000, |value| match value {
            Value::Text("ok") => seen[0] += 1,
            Value::Text("low") => seen[1] += 1,
            Value::Text("fault") => seen[2] += 1,
            other => panic!("{other:?}"),
        });
        for (count, share) in seen.into_iter().zip([0.7, 0.2, 0.1]) {
            assert!((f64::from(count) / 1e5 - share).abs() < 0.01, "{seen:?}");
        }
    }
}

#[test]
fn the_last_event_lies_in_the_past_and_only_moves_forward() {
    let model = Model::LastEvent { every_s: 3_600.0, resolution_us: SECOND_US };
    let spec = Spec::new(model, Output::Time, 1, 0.0).unwrap();
    let (mut last, mut changes, mut now) = (i64::MIN, 0, START_US);
    sampled(&spec, 15, 600 * SECOND_US, 50_000, |value| {
        now += 600 * SECOND_US;
        let Value::Time(t_us) = value else { panic!("{value:?}") };
        assert!(t_us <= now && t_us >= last && t_us % SECOND_US == 0);
        changes += u32::from(t_us != last);
        last = t_us;
    });
    let expected = 50_000.0 * (1.0 - (-1.0f64 / 6.0).exp());
    assert!((f64::from(changes) / expected - 1.0).abs() < 0.03, "{changes} of {expected}");
}

#[test]
fn acceleration_is_gravity_and_a_vibration_of_its_amplitude() {
    let model = Model::Acceleration { tilt: 5.0, vibration: 0.5, frequency_hz: 7.3, noise: 0.1 };
    for (value_type, exponent) in [(ValueType::I16, -2), (ValueType::F32, 0)] {
        let scale = Scale::new(value_type, exponent, Limits::default()).unwrap();
        let spec = Spec::new(model.clone(), Output::Number(scale), 3, 0.0).unwrap();
        let mut axes = [const { Vec::new() }; 3];
        sampled(&spec, 16, 37_000, 20_000, |value| {
            let Value::Vector(vector) = value else { panic!("{value:?}") };
            for (axis, element) in axes.iter_mut().zip(vector.iter()) {
                axis.push(as_f64(element) * 10f64.powi(exponent.into()));
            }
        });
        let stats = axes.map(|axis| moments(&axis));
        let gravity = stats.iter().map(|(mean, _)| mean * mean).sum::<f64>().sqrt();
        assert!((gravity - 9.80665).abs() < 0.02, "{gravity}");
        assert!(stats[2].0 > 9.0, "it stands nearly level");
        let expected = (0.5f64 * 0.5 / 2.0 + 0.1 * 0.1).sqrt();
        assert!(stats.iter().all(|(_, swing)| (swing - expected).abs() < 0.02), "{stats:?}");
    }
}

#[test]
fn the_elements_of_a_vector_are_independent() {
    let model = Model::OrnsteinUhlenbeck { mean: 0.0, deviation: 10.0, relaxation_s: 1.0 };
    let scale = Scale::new(ValueType::F64, 0, Limits::default()).unwrap();
    let spec = Spec::new(model, Output::Number(scale), 2, 0.0).unwrap();
    let mut product = 0.0;
    sampled(&spec, 17, 10 * SECOND_US, 20_000, |value| {
        let Value::Vector(vector) = value else { panic!("{value:?}") };
        product += vector.iter().map(as_f64).product::<f64>();
    });
    assert!((product / 20_000.0 / 100.0).abs() < 0.03, "correlation {product}");
}

#[test]
fn blobs_have_every_length_in_their_range() {
    let spec = Spec::new(Model::Bytes { min_len: 2, max_len: 8 }, Output::Blob, 1, 0.0).unwrap();
    let (mut lengths, mut ones) = ([0u32; 9], 0);
    sampled(&spec, 18, SECOND_US, 7_000, |value| {
        let Value::Blob(bytes) = value else { panic!("{value:?}") };
        lengths[bytes.len()] += 1;
        ones += bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
    });
    assert_eq!(lengths[..2], [0, 0]);
    assert!(lengths[2..].iter().all(|count| (850..1_150).contains(count)), "{lengths:?}");
    assert!((ones.abs_diff(7_000 * 5 * 4)) < 2_000, "half of the bits are set: {ones}");
}

#[test]
fn a_model_fits_only_types_that_can_hold_it() {
    let fits = |model: &Model, elements| -> Vec<&str> {
        let all = ValueType::ALL.iter().filter(|kind| model.fits(**kind, elements));
        all.map(|kind| kind.name()).collect()
    };
    let integers = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];
    let numbers: Vec<&str> = integers.into_iter().chain(["f32", "f64"]).collect();
    let constant = Model::Constant { value: 1.0 };
    assert_eq!(fits(&constant, 1), [&["bool"], &numbers[..]].concat());
    assert_eq!(fits(&constant, 4), numbers);
    assert_eq!(fits(&Model::Counter { rate: 1.0, start: 0, restart_s: None }, 1), integers);
    assert_eq!(fits(&Model::Bytes { min_len: 0, max_len: 1 }, 1), ["blob"]);
    assert_eq!(fits(&Model::LastEvent { every_s: 1.0, resolution_us: 1 }, 1), ["time"]);
    let status = Model::Status { cumulative: Box::new([1.0]), hold_s: 1.0 };
    assert_eq!(fits(&status, 1), ["text", "enum8"]);
    let shaken = Model::Acceleration { tilt: 0.0, vibration: 0.0, frequency_hz: 1.0, noise: 0.0 };
    assert_eq!((fits(&shaken, 3), fits(&shaken, 1)), (numbers, vec![]));
}

#[test]
fn a_clock_that_is_set_back_does_not_undo_a_count() {
    let model = Model::Counter { rate: 5.0, start: 0, restart_s: None };
    let scale = Scale::new(ValueType::U32, 0, Limits::default()).unwrap();
    let spec = Spec::new(model, Output::Number(scale), 1, 0.0).unwrap();
    let mut sensor = Sensor::new(&spec, 19, START_US);
    let mut count =
        |t_us| as_f64(sensor.sample(&spec, &Moment::at(t_us), &mut Scratch::new(&mut [])));
    let before = count(START_US + HOUR_US);
    assert_eq!(count(START_US), before);
    assert_eq!(count(START_US + HOUR_US), before, "nor does it count the same hour twice");
    assert!(count(START_US + 2 * HOUR_US) > before);
}

proptest! {
    /// Whatever the parameters and the moments, a sample is a value that the channel can have.
    #[test]
    fn no_moment_and_no_parameter_panics(
        which in 0..7usize,
        (a, b) in (-1e300..1e300f64, 1e-9..1e12f64),
        moments in prop::collection::vec(any::<i64>(), 1..20),
        seed: u64,
    ) {
        let model = [
            Model::Constant { value: a },
            Model::RandomWalk { step: b, low: -b, high: b },
            Model::OrnsteinUhlenbeck { mean: a, deviation: b, relaxation_s: b },
            Model::Daily { mean: a, amplitude: b, peak_s: b, noise: b },
            Model::OnOff { mean_on_s: b, mean_off_s: b / 3.0, on: a, off: b },
            Model::Bursts { base: a, height: b, every_s: b, decay_s: b, noise: b },
            Model::Battery { full: a, empty: b, life_s: b, noise: b },
        ][which].clone();
        let limits = Limits { resolution: Some(0.5), min: Some(-100.0), max: Some(300.0) };
        let scale = Scale::new(ValueType::I16, -1, limits).unwrap();
        let spec = Spec::new(model, Output::Number(scale), 1, 0.0).unwrap();
        let mut sensor = Sensor::new(&spec, seed, moments[0]);
        for t_us in moments {
            let value = sensor.sample(&spec, &Moment::at(t_us), &mut Scratch::new(&mut []));
            let Value::I16(raw) = value else { panic!("{value:?}") };
            prop_assert!((-1_000..=3_000).contains(&raw) && raw % 5 == 0);
        }
    }
}

fn spec(model: Model, spread: f64) -> Spec {
    let scale = Scale::new(ValueType::F64, 0, Limits::default()).unwrap();
    Spec::new(model, Output::Number(scale), 1, spread).unwrap()
}

/// Samples at START + interval, START + 2 × interval and so on.
fn sampled(spec: &Spec, seed: u64, interval_us: i64, count: i64, mut see: impl FnMut(Value<'_>)) {
    let mut sensor = Sensor::new(spec, seed, START_US);
    for number in 1..=count {
        let mut bytes = [0; 64];
        let moment = Moment::at(START_US + number * interval_us);
        see(sensor.sample(spec, &moment, &mut Scratch::new(&mut bytes)));
    }
}

fn numbers(spec: &Spec, seed: u64, interval_us: i64, count: i64) -> Vec<f64> {
    let mut all = Vec::new();
    sampled(spec, seed, interval_us, count, |value| all.push(as_f64(value)));
    all
}

fn counts(model: &Model, seed: u64, interval_us: i64, count: i64) -> Vec<u64> {
    let scale = Scale::new(ValueType::U64, 0, Limits::default()).unwrap();
    let spec = Spec::new(model.clone(), Output::Number(scale), 1, 0.0).unwrap();
    let mut all = Vec::new();
    sampled(&spec, seed, interval_us, count, |value| match value {
        Value::U64(count) => all.push(count),
        other => panic!("{other:?}"),
    });
    all
}

fn as_f64(value: Value<'_>) -> f64 {
    match value {
        Value::I16(x) => x.into(),
        Value::U32(x) => x.into(),
        Value::F32(x) => x.into(),
        Value::F64(x) => x,
        other => panic!("{other:?}"),
    }
}

/// Mean and standard deviation.
fn moments(xs: &[f64]) -> (f64, f64) {
    let count = xs.len() as f64;
    let mean = xs.iter().sum::<f64>() / count;
    let variance = xs.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

fn correlation(xs: &[f64], lag: usize) -> f64 {
    let (mean, deviation) = moments(xs);
    let pairs = xs.iter().zip(&xs[lag..]).map(|(a, b)| (a - mean) * (b - mean));
    pairs.sum::<f64>() / (xs.len() - lag) as f64 / (deviation * deviation)
}
