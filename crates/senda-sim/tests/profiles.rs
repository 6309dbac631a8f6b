//! The built-in profiles cover the protocol, and a wrong profile is told what, where and what to do.

use std::collections::BTreeSet;

use proptest::prelude::*;
use senda_sim::sensor::Model;
use senda_sim::{Instrument, Profile, ProfileError};
use senda_wire::registry::UNITS;
use senda_wire::{Value, ValueType};

const HEAD: &str = "interval = \"1s\"\n[schema]\nname = \"x\"\n";

#[test]
fn the_built_in_profiles_use_every_value_type_and_every_model() {
    let mut types = BTreeSet::new();
    let mut models = BTreeSet::new();
    for profile in built_in() {
        for channel in profile.channels() {
            types.insert(channel.value_type().code());
            models.insert(channel.sensor.model().name());
        }
    }
    assert_eq!(types, ValueType::ALL.iter().map(|value_type| value_type.code()).collect());
    assert_eq!(models, Model::NAMES.into_iter().collect());
}

#[test]
fn each_built_in_profile_has_scalars_of_many_types_a_vector_and_all_that_is_no_number() {
    for profile in built_in() {
        let channels = profile.channels();
        let has = |value_type| channels.iter().any(|channel| channel.value_type() == value_type);
        let name = profile.schema().name().as_str();
        assert!(has(ValueType::Bool) && has(ValueType::Enum8), "{name}");
        assert!(has(ValueType::Text) && has(ValueType::Time), "{name}");
        assert!(channels.iter().any(|channel| channel.sensor.elements() > 1), "{name}");
    }
}

#[test]
fn every_channel_that_is_a_quantity_has_a_unit_of_senml() {
    for profile in built_in() {
        for channel in profile.channels() {
            let known = UNITS.iter().any(|(name, _)| *name == channel.unit);
            assert_eq!(known, channel.value_type().is_number(), "{}", channel.name);
        }
    }
}

#[test]
fn the_schema_says_what_the_profile_says() {
    let vehicle = Profile::load("vehicle").unwrap();
    let schema = vehicle.schema();
    assert_eq!((schema.name().as_str(), schema.len()), ("vehicle", 15));
    let channel = |name: &str| schema.channels().find(|channel| channel.name.as_str() == name);
    let latitude = channel("latitude").unwrap();
    assert_eq!((latitude.value_type, latitude.exponent), (ValueType::I32, -7));
    assert_eq!((latitude.unit, latitude.counter), ("lat", false));
    assert!(channel("trip").unwrap().counter && channel("can_frames").unwrap().counter);
    assert_eq!(channel("acceleration").unwrap().elements, 3);
    assert_eq!(channel("gear").unwrap().labels().nth(1), Some("reverse"));
    assert_eq!(channel("can_frame").unwrap().max_len, 8);
    assert_eq!(channel("driver").unwrap().max_len, 9, "as long as the longest state");
}

/// Raw counts, as they travel.
#[test]
fn values_of_a_week_look_like_those_of_real_sensors() {
    let seen = |profile: &str, name: &str| {
        let profile = Profile::load(profile).unwrap();
        let number = profile.channels().iter().position(|channel| channel.name == name).unwrap();
        let mut numbers = Vec::new();
        for device in 0..5 {
            let mut instrument = Instrument::new(profile, device, 42, 1_767_225_600_000_000);
            for minute in 0..7 * 24 * 60 {
                let t_us = 1_767_225_600_000_000 + minute * 60_000_000;
                instrument.with_values(t_us, |values| numbers.push(as_f64(values[number])));
            }
        }
        let ends = |best: fn(f64, f64) -> f64| numbers.iter().copied().reduce(best).unwrap();
        (ends(f64::min), ends(f64::max))
    };
    let within = |(low, high): (f64, f64), outer: (f64, f64)| low >= outer.0 && high <= outer.1;
    assert!(within(seen("greenhouse", "temperature"), (1_100.0, 3_300.0)));
    assert!(within(seen("greenhouse", "humidity"), (200.0, 1_000.0)));
    let light = seen("greenhouse", "light");
    assert!(light.0 == 0.0 && light.1 > 40_000.0, "dark at night: {light:?}");
    assert!(within(seen("vehicle", "latitude"), (403_000_000.0, 405_300_000.0)));
    assert!(within(seen("vehicle", "longitude"), (-38_500_000.0, -35_500_000.0)));
    assert!(within(seen("vehicle", "heading"), (0.0, 359.9)));
    assert!(within(seen("vehicle", "coolant"), (65.0, 110.0)));
    assert!(within(seen("factory", "mains"), (2_150.0, 2_450.0)));
    assert_eq!(seen("factory", "spindle_speed"), (0.0, 8_000.0));
    assert!(within(seen("weather", "pressure"), (89_000.0, 99_000.0)));
    assert!(within(seen("weather", "sun"), (0.0, 1_000.0)));
}

#[test]
fn a_file_is_loaded_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    let (_, text) = Profile::built_in()[0];
    std::fs::write(&path, text.replace("\"greenhouse\"", "\"tomatoes\"")).unwrap();
    let profile = Profile::load(path.to_str().unwrap()).unwrap();
    assert_eq!(profile.schema().name().as_str(), "tomatoes");
    assert_eq!(profile.device_name(42), "tomatoes-00042");
}

#[test]
fn a_profile_that_is_not_there_is_told_what_there_is() {
    assert_eq!(
        Profile::load("greenhose").unwrap_err().to_string(),
        "there is no profile `greenhose`; did you mean `greenhouse`? \
         (the name of a file ends in .toml or contains a slash)"
    );
    assert_eq!(
        Profile::load("boat").unwrap_err().to_string(),
        "there is no profile `boat`; known are: greenhouse, vehicle, factory, weather \
         (the name of a file ends in .toml or contains a slash)"
    );
    let error = Profile::load("/nowhere/boat.toml").unwrap_err();
    assert_eq!(error.to_string(), "can't read the profile /nowhere/boat.toml");
    assert!(matches!(error, ProfileError::Read { .. }));
}

#[test]
fn errors_of_the_profile_as_a_whole_say_what_where_and_what_to_do() {
    let cases = [
        ("", "x.toml:1: profile: `interval` is missing; write, for example, interval = \"10s\""),
        (
            "interval = 10\n",
            "x.toml:1: profile: `interval` must be a duration in quotes, such as \"10s\"; found integer",
        ),
        (
            "\ninterval = \"10\"\n",
            "x.toml:2: profile: `interval`: `10` has no unit; write 10s, 10ms or 10min",
        ),
        ("interval = \"0s\"\n", "x.toml:1: profile: `interval` is 0; make it longer"),
        (
            "intervall = \"1s\"\n",
            "x.toml:1: profile: unknown key `intervall`; did you mean `interval`?",
        ),
        (
            "interval = \"1s\"\njitter = \"1s\"\n",
            "x.toml:2: profile: `jitter` is not below `interval`; samples would overtake each other; make it shorter",
        ),
        (
            "interval = \"1s\"\n[schema]\nname = \"My Plant\"\n",
            "x.toml:3: [schema]: name `My Plant` is not allowed; a name is a lower-case letter, then up to 62 of a-z, 0-9 and _",
        ),
        (
            "interval = \"1s\"\n[schema]\nname = \"x\"\nversion = 3\n",
            "x.toml:4: [schema]: unknown key `version`; known are: name",
        ),
        (
            HEAD,
            "x.toml:1: profile: `channel` is missing; write, for example, channel = [{ name = \"temperature\", ... }], or [[channel]]",
        ),
        ("interval = \"1s\n", "x.toml:1: invalid basic string, expected `\"`"),
    ];
    for (text, message) in cases {
        assert_eq!(error(text), message, "{text}");
    }
}

#[test]
fn errors_of_a_channel_say_what_where_and_what_to_do() {
    let cases = [
        ("typ = \"i16\"", "x.toml:6: channel `a`: unknown key `typ`; did you mean `type`?"),
        ("type = \"int16\"", "x.toml:6: channel `a`: unknown type `int16`; did you mean `i16`?"),
        (
            "type = \"i16\"\nmodel = \"dayly\"",
            "x.toml:7: channel `a`: unknown model `dayly`; did you mean `daily`?",
        ),
        (
            "type = \"i16\"\nmodel = \"ornstein_uhlenbeck\"\nmen = 3",
            "x.toml:7: channel `a`: unknown model `ornstein_uhlenbeck`; did you mean `ornstein-uhlenbeck`?",
        ),
        (
            "type = \"i16\"\nunit = \"C°\"\nmodel = \"constant\"\nvalue = 1",
            "x.toml:7: channel `a`: unknown unit `C°`; units have SenML's names, such as Cel, %RH, V, m/s2",
        ),
        (
            "type = \"u8\"\nunit = \"RH\"\nmodel = \"constant\"\nvalue = 1",
            "x.toml:7: channel `a`: unknown unit `RH`; did you mean `%RH`?",
        ),
        (
            "type = \"i16\"\nunit = \"celsius\"\nmodel = \"constant\"\nvalue = 1",
            "x.toml:7: channel `a`: unknown unit `celsius`; did you mean `Cel`?",
        ),
        (
            "type = \"i16\"\nunit = \"Volt\"\nmodel = \"constant\"\nvalue = 1",
            "x.toml:7: channel `a`: unknown unit `Volt`; did you mean `V`?",
        ),
        (
            "type = \"i16\"\nmodel = \"constant\"",
            "x.toml:4: channel `a`: `value` is missing; write, for example, value = 230",
        ),
        (
            "type = \"i16\"\nmodel = \"constant\"\nvalue = \"230\"",
            "x.toml:8: channel `a`: `value` must be a number; found string",
        ),
        (
            "type = \"i16\"\nmodel = \"constant\"\nvalue = 230\namplitude = 4",
            "x.toml:9: channel `a`: unknown key `amplitude`; known are: name, type, exponent, elements, unit, model, min, max, resolution, value, spread",
        ),
        (
            "type = \"f32\"\nexponent = -2\nmodel = \"constant\"\nvalue = 1",
            "x.toml:7: channel `a`: exponent -2: only integers have one, f32 has not; use resolution instead",
        ),
        (
            "type = \"i16\"\nexponent = 19\nmodel = \"constant\"\nvalue = 1",
            "x.toml:7: channel `a`: exponent 19 is not in -18..=18",
        ),
        (
            "type = \"i16\"\nelements = 65\nmodel = \"constant\"\nvalue = 1",
            "x.toml:7: channel `a`: 65 elements of i16; a vector has 2 to 64 numbers; leave it out for a single value",
        ),
        (
            "type = \"text\"\nmodel = \"daily\"\nmean = 1\namplitude = 1\npeak = \"1h\"",
            "x.toml:7: channel `a`: model `daily` can't give text; it gives a number or a vector of numbers",
        ),
        (
            "type = \"i16\"\nmodel = \"acceleration\"\nvibration = 1\nfrequency = 10",
            "x.toml:7: channel `a`: model `acceleration` can't give i16; it gives a vector: numbers, elements = 3",
        ),
        (
            "type = \"i16\"\nexponent = -1\nmodel = \"constant\"\nvalue = 1\nresolution = 0.25",
            "x.toml:10: channel `a`: resolution 0.25 is not a positive multiple of 0.1",
        ),
        (
            "type = \"i16\"\nmodel = \"constant\"\nvalue = 1\nmin = 5\nmax = 4",
            "x.toml:10: channel `a`: no value of the resolution lies between min 5 and max 4",
        ),
        (
            "type = \"i32\"\nmodel = \"gps\"\nfield = \"lattitude\"",
            "x.toml:8: channel `a`: unknown field `lattitude`; did you mean `latitude`?",
        ),
        (
            "type = \"i32\"\nmodel = \"gps\"\nfield = \"latitude\"",
            "x.toml:4: channel `a`: the profile has no receiver; add a table [gps] with latitude, longitude, radius, ...",
        ),
        (
            "type = \"enum8\"\nmodel = \"status\"\nhold = \"1s\"\nstates = [\"on\", \"off\", \"on\"]",
            "x.toml:9: channel `a`: the state `on` stands there twice; give it more weight instead",
        ),
        (
            "type = \"text\"\nmodel = \"status\"\nhold = \"1s\"\nstates = [\"on\", \"off\"]\nweights = [1]",
            "x.toml:10: channel `a`: 1 weights for 2 states; give one for each, 0 or more, not all of them 0",
        ),
        (
            "type = \"blob\"\nmodel = \"bytes\"\nmax_len = 2000",
            "x.toml:8: channel `a`: min_len 0 and max_len 2000; a blob has 1 to 1098 bytes, and min_len is at most max_len",
        ),
        (
            "type = \"u8\"\nmodel = \"bursts\"\nheight = 1\nevery = \"1s\"\ndecay = \"1min\"",
            "x.toml:4: channel `a`: more than 25 bursts at a time; make `every` longer or `decay` shorter",
        ),
        (
            "type = \"u8\"\nmodel = \"on-off\"\nmean_on = \"1s\"\nmean_off = \"0s\"",
            "x.toml:9: channel `a`: `mean_off` is 0; make it longer",
        ),
        (
            "type = \"u8\"\nmodel = \"counter\"\nrate = -1",
            "x.toml:8: channel `a`: `rate` is -1, below 0",
        ),
    ];
    for (keys, message) in cases {
        assert_eq!(error(&format!("{HEAD}[[channel]]\nname = \"a\"\n{keys}\n")), message, "{keys}");
    }
}

#[test]
fn two_channels_of_one_name_and_rows_that_are_too_large_are_refused() {
    let channel =
        "[[channel]]\nname = \"a\"\ntype = \"bool\"\nmodel = \"constant\"\nvalue = true\n";
    assert_eq!(
        error(&format!("{HEAD}{channel}{channel}")),
        "x.toml:9: channel `a`: there is one of this name already; names are unique in a profile"
    );
    let blob = |name: &str| {
        format!(
            "[[channel]]\nname = \"{name}\"\ntype = \"blob\"\nmodel = \"bytes\"\nmax_len = 900\n"
        )
    };
    assert_eq!(
        error(&format!("{HEAD}{}{}", blob("a"), blob("b"))),
        "x.toml:3: profile: its largest row has 1804 bytes; 1,100 fit a datagram; see section 4.2 of the specification for the limits of a schema"
    );
}

#[test]
fn a_case_that_differs_counts_as_a_misspelling() {
    let text = format!("{HEAD}[[channel]]\nname = \"a\"\ntype = \"I16\"\n");
    assert_eq!(error(&text), "x.toml:6: channel `a`: unknown type `I16`; did you mean `i16`?");
}

proptest! {
    /// Any damage to a built-in profile gives a profile or an error with a line of the text.
    #[test]
    fn a_damaged_profile_never_panics(
        which in 0..4usize, at in any::<prop::sample::Index>(), line in "[ -~]{0,20}",
    ) {
        let (_, text) = Profile::built_in()[which];
        let mut lines: Vec<&str> = text.lines().collect();
        let at = at.index(lines.len());
        lines[at] = &line;
        if let Err(error) = Profile::parse("x.toml", &lines.join("\n")) {
            let ProfileError::Invalid { line, .. } = error else { panic!("{error}") };
            prop_assert!((1..=lines.len()).contains(&line), "{}", line);
        }
    }
}

fn error(text: &str) -> String {
    Profile::parse("x.toml", text).unwrap_err().to_string()
}

fn built_in() -> impl Iterator<Item = Profile> {
    Profile::built_in().iter().map(|(name, _)| Profile::load(name).unwrap())
}

fn as_f64(value: Value<'_>) -> f64 {
    match value {
        Value::U8(x) => x.into(),
        Value::U16(x) => x.into(),
        Value::U32(x) => x.into(),
        Value::I8(x) => x.into(),
        Value::I16(x) => x.into(),
        Value::I32(x) => x.into(),
        Value::F32(x) => x.into(),
        Value::F64(x) => x,
        other => panic!("{other:?}"),
    }
}
