//! One `[[channel]]` of a profile: its type, its model, its parameters.

use senda_wire::registry::{NAME_MAX, TEXT_MAX, UNITS};
use senda_wire::{Identifier, ValueType};

use super::error::{Hint, ProfileError, closest};
use super::table::{Located, Table};
use crate::sensor::{GpsField, Limits, Model, Output, Scale, Spec};

/// One channel of a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// Its name, unique in the profile.
    pub name: String,
    /// value = raw × 10^exponent; integers only.
    pub exponent: i8,
    /// The unit, SenML's name of it; empty where there is none.
    pub unit: String,
    /// Labels of an enum8, else empty.
    pub labels: Vec<String>,
    /// Most bytes of a text or blob, else 0.
    pub max_len: u16,
    /// How its values come about.
    pub sensor: Spec,
}

impl Channel {
    /// Type of the value, or of a vector's elements.
    pub fn value_type(&self) -> ValueType {
        self.sensor.output().value_type()
    }
}

/// What the keys that all channels share have said.
struct Head<'t> {
    name: &'t str,
    value_type: ValueType,
    exponent: i8,
    elements: u8,
    unit: &'t str,
    limits: Limits,
    /// Where the limits stand, or the channel.
    limits_at: usize,
}

/// Longest blob: 1,100 bytes of row less its length. Spec §4.2.
const BLOB_MAX: u64 = 1_098;
/// More bursts than this at a time are noise, and would be costly to draw.
const BURSTS_AT_A_TIME: f64 = 25.0;

pub(super) fn read_channel(table: Table<'_, '_>) -> Result<Channel, ProfileError> {
    let mut table = table;
    let mut head = read_head(&mut table)?;
    let name = table.text("model")?;
    let name = table.required("model", name, "\"daily\"")?;
    if head.value_type.is_number() && name.value != "counter" {
        read_limits(&mut table, &mut head)?;
    }
    let mut model = read_model(&mut table, &head, name)?;
    let states = if matches!(model, Model::Status { .. }) {
        let (states, cumulative) = read_states(&mut table, head.value_type)?;
        if let Model::Status { cumulative: all, .. } = &mut model {
            *all = cumulative;
        }
        states
    } else {
        Vec::new()
    };
    let spread = match model {
        Model::Constant { .. }
        | Model::Daily { .. }
        | Model::OrnsteinUhlenbeck { .. }
        | Model::Bursts { .. }
            if head.value_type.is_number() =>
        {
            not_negative(&mut table, "spread")?
        }
        _ => 0.0,
    };
    let output = read_output(&table, &head, &states)?;
    let longest = states.iter().map(|state| state.len()).max();
    let max_len = match (head.value_type, &model) {
        // At most TEXT_MAX: `read_states`.
        (ValueType::Text, _) => longest.and_then(|len| u16::try_from(len).ok()).unwrap_or(1),
        (_, Model::Bytes { max_len, .. }) => *max_len,
        _ => 0,
    };
    let labels = if head.value_type == ValueType::Enum8 { states } else { Vec::new() };
    let sensor = Spec::new(model, output, head.elements, spread);
    let sensor = sensor.unwrap_or_else(|| unreachable!("read_model checked that they fit"));
    table.finish()?;
    Ok(Channel {
        name: head.name.to_owned(),
        exponent: head.exponent,
        unit: head.unit.to_owned(),
        labels: labels.into_iter().map(str::to_owned).collect(),
        max_len,
        sensor,
    })
}

fn read_head<'t>(table: &mut Table<'t, '_>) -> Result<Head<'t>, ProfileError> {
    let name = table.text("name")?;
    let name = table.required("name", name, "\"temperature\"")?;
    check_identifier(table, "name", name)?;
    table.label = format!("channel `{}`", name.value);
    let value_type = table.text("type")?;
    let value_type = read_type(table, table.required("type", value_type, "\"i16\"")?)?;
    let exponent = match table.small("exponent")? {
        Some(Located { value, at }) if value != 0 && !value_type.is_integer() => {
            let what =
                format!("exponent {value}: only integers have one, {} has not", value_type.name());
            return Err(table.error(at, &what, Hint::new("use resolution instead")));
        }
        Some(Located { value, at }) if value.unsigned_abs() > 18 => {
            return Err(table.error(
                at,
                &format!("exponent {value} is not in -18..=18"),
                Hint::default(),
            ));
        }
        found => found.map_or(0, |exponent| exponent.value),
    };
    let elements = match table.count("elements")? {
        None => 1,
        Some(Located { value, at }) => match u8::try_from(value) {
            Ok(elements @ 2..=64) if value_type.is_number() => elements,
            _ => {
                let what = format!("{value} elements of {}", value_type.name());
                let hint =
                    Hint::new("a vector has 2 to 64 numbers; leave it out for a single value");
                return Err(table.error(at, &what, hint));
            }
        },
    };
    let unit = read_unit(table)?;
    let (limits, limits_at) = (Limits::default(), table.at);
    Ok(Head { name: name.value, value_type, exponent, elements, unit, limits, limits_at })
}

fn read_limits(table: &mut Table<'_, '_>, head: &mut Head<'_>) -> Result<(), ProfileError> {
    let (min, max) = (table.number("min")?, table.number("max")?);
    let resolution = table.number("resolution")?;
    head.limits_at = resolution.or(max).or(min).map_or(table.at, |limit| limit.at);
    let value = |limit: Option<Located<f64>>| limit.map(|limit| limit.value);
    head.limits = Limits { resolution: value(resolution), min: value(min), max: value(max) };
    Ok(())
}

pub(super) fn check_identifier(
    table: &Table<'_, '_>,
    key: &str,
    name: Located<&str>,
) -> Result<(), ProfileError> {
    if Identifier::new(name.value).is_some() {
        return Ok(());
    }
    let what = format!("{key} `{}` is not allowed", name.value);
    let hint = "a name is a lower-case letter, then up to 62 of a-z, 0-9 and _";
    Err(table.error(name.at, &what, Hint::new(hint)))
}

fn read_type(table: &Table<'_, '_>, name: Located<&str>) -> Result<ValueType, ProfileError> {
    let found = ValueType::ALL.iter().find(|value_type| value_type.name() == name.value);
    found.copied().ok_or_else(|| {
        let hint = Hint::choice(name.value, ValueType::ALL.iter().map(|known| known.name()));
        table.error(name.at, &format!("unknown type `{}`", name.value), hint)
    })
}

fn read_unit<'t>(table: &mut Table<'t, '_>) -> Result<&'t str, ProfileError> {
    let Some(unit) = table.text("unit")? else { return Ok("") };
    if UNITS.iter().any(|(name, _)| *name == unit.value) {
        return Ok(unit.value);
    }
    // `celsius` and `volt` stand in the registry's meanings.
    let word = unit.value.to_lowercase();
    let meant = UNITS.iter().find(|(_, meaning)| {
        meaning.to_lowercase().split(' ').any(|part| part.len() > 2 && part == word)
    });
    let names = UNITS.iter().map(|(name, _)| *name);
    let meant = meant.map(|(name, _)| *name).or_else(|| closest(unit.value, names));
    let hint = meant.map_or("units have SenML's names, such as Cel, %RH, V, m/s2".into(), |name| {
        format!("did you mean `{name}`?")
    });
    let hint = Hint::new(hint);
    Err(table.error(unit.at, &format!("unknown unit `{}`", unit.value), hint))
}

/// The model and its parameters. (A status gets its states from `read_states`.)
fn read_model(
    table: &mut Table<'_, '_>,
    head: &Head<'_>,
    name: Located<&str>,
) -> Result<Model, ProfileError> {
    let model = match name.value {
        "constant" => read_constant(table, head)?,
        "random-walk" => {
            let step = not_negative_required(table, "step", "0.5")?;
            let (low, high) = walk_range(table)?;
            Model::RandomWalk { step, low, high }
        }
        "ornstein-uhlenbeck" => Model::OrnsteinUhlenbeck {
            mean: number_required(table, "mean", "21.5")?,
            deviation: not_negative_required(table, "deviation", "2.0")?,
            relaxation_s: seconds_required(table, "relaxation", "\"30min\"")?,
        },
        "daily" => Model::Daily {
            mean: number_required(table, "mean", "18.0")?,
            amplitude: number_required(table, "amplitude", "7.0")?,
            peak_s: read_peak(table)?,
            noise: not_negative(table, "noise")?,
        },
        "on-off" => read_on_off(table, head)?,
        "bursts" => read_bursts(table)?,
        "battery" => Model::Battery {
            full: number_required(table, "full", "100")?,
            empty: number_required(table, "empty", "5")?,
            life_s: seconds_required(table, "life", "\"90d\"")?,
            noise: not_negative(table, "noise")?,
        },
        "counter" => Model::Counter {
            rate: not_negative_required(table, "rate", "0.5")?,
            start: table.count("start")?.map_or(0, |start| start.value),
            restart_s: seconds(table, "restart")?,
        },
        "status" => Model::Status {
            cumulative: Box::default(),
            hold_s: seconds_required(table, "hold", "\"10min\"")?,
        },
        "last-event" => {
            let every_s = seconds_required(table, "every", "\"30d\"")?;
            let resolution = table.duration("resolution")?;
            let micros = resolution.map_or(1, |resolution| resolution.value.as_micros().max(1));
            // At most a century: `parse_duration`.
            Model::LastEvent { every_s, resolution_us: i64::try_from(micros).unwrap_or(i64::MAX) }
        }
        "acceleration" => Model::Acceleration {
            tilt: not_negative(table, "tilt")?,
            vibration: not_negative_required(table, "vibration", "0.8")?,
            frequency_hz: not_negative_required(table, "frequency", "25")?,
            noise: not_negative(table, "noise")?,
        },
        "gps" => read_gps_field(table)?,
        "bytes" => read_bytes(table)?,
        unknown => {
            let hint = Hint::choice(unknown, Model::NAMES.into_iter());
            return Err(table.error(name.at, &format!("unknown model `{unknown}`"), hint));
        }
    };
    if model.fits(head.value_type, head.elements) {
        return Ok(model);
    }
    let form = match head.elements {
        1 => head.value_type.name().to_owned(),
        elements => format!("a vector of {elements} {}", head.value_type.name()),
    };
    let what = format!("model `{}` can't give {form}", name.value);
    Err(table.error(name.at, &what, Hint::new(format!("it gives {}", gives(&model)))))
}

/// What a model can give, for people. [`Model::fits`] is the rule.
fn gives(model: &Model) -> &'static str {
    match model {
        Model::Constant { .. } | Model::OnOff { .. } => "a number, a vector of numbers or a bool",
        Model::Counter { .. } => "a single integer",
        Model::Status { .. } => "text or enum8",
        Model::LastEvent { .. } => "time",
        Model::Acceleration { .. } => "a vector: numbers, elements = 3",
        Model::Gps(_) => "a single number",
        Model::Bytes { .. } => "a blob",
        _ => "a number or a vector of numbers",
    }
}

fn read_constant(table: &mut Table<'_, '_>, head: &Head<'_>) -> Result<Model, ProfileError> {
    if head.value_type == ValueType::Bool {
        let value = table.bool("value")?;
        let value = table.required("value", value, "true")?.value;
        return Ok(Model::Constant { value: if value { 1.0 } else { 0.0 } });
    }
    Ok(Model::Constant { value: number_required(table, "value", "230")? })
}

/// The time of day, which may be midnight: `0h`.
fn read_peak(table: &mut Table<'_, '_>) -> Result<f64, ProfileError> {
    let peak = table.duration("peak")?;
    Ok(table.required("peak", peak, "\"15h\"")?.value.as_secs_f64())
}

fn read_on_off(table: &mut Table<'_, '_>, head: &Head<'_>) -> Result<Model, ProfileError> {
    let mean_on_s = seconds_required(table, "mean_on", "\"10min\"")?;
    let mean_off_s = seconds_required(table, "mean_off", "\"2h\"")?;
    let (on, off) = if head.value_type == ValueType::Bool {
        (1.0, 0.0)
    } else {
        (number(table, "on")?.unwrap_or(1.0), number(table, "off")?.unwrap_or(0.0))
    };
    Ok(Model::OnOff { mean_on_s, mean_off_s, on, off })
}

fn read_bursts(table: &mut Table<'_, '_>) -> Result<Model, ProfileError> {
    let base = number(table, "base")?.unwrap_or(0.0);
    let height = number_required(table, "height", "12")?;
    let every_s = seconds_required(table, "every", "\"20min\"")?;
    let decay_s = seconds_required(table, "decay", "\"30s\"")?;
    let noise = not_negative(table, "noise")?;
    if decay_s > BURSTS_AT_A_TIME * every_s {
        let what = format!("more than {BURSTS_AT_A_TIME} bursts at a time");
        let hint = Hint::new("make `every` longer or `decay` shorter");
        return Err(table.error(table.at, &what, hint));
    }
    Ok(Model::Bursts { base, height, every_s, decay_s, noise })
}

fn read_gps_field(table: &mut Table<'_, '_>) -> Result<Model, ProfileError> {
    let field = table.text("field")?;
    let field = table.required("field", field, "\"latitude\"")?;
    let found = GpsField::ALL.iter().find(|(name, _)| *name == field.value);
    let Some((_, gps_field)) = found else {
        let hint = Hint::choice(field.value, GpsField::ALL.iter().map(|(name, _)| *name));
        return Err(table.error(field.at, &format!("unknown field `{}`", field.value), hint));
    };
    Ok(Model::Gps(*gps_field))
}

fn read_bytes(table: &mut Table<'_, '_>) -> Result<Model, ProfileError> {
    let max = table.count("max_len")?;
    let max = table.required("max_len", max, "16")?;
    let min = table.count("min_len")?.unwrap_or(Located { value: 0, at: max.at });
    if max.value == 0 || max.value > BLOB_MAX || min.value > max.value {
        let what = format!("min_len {} and max_len {}", min.value, max.value);
        let hint = format!("a blob has 1 to {BLOB_MAX} bytes, and min_len is at most max_len");
        return Err(table.error(max.at, &what, Hint::new(hint)));
    }
    // Both at most BLOB_MAX.
    let to_u16 = |len: u64| u16::try_from(len).unwrap_or(u16::MAX);
    Ok(Model::Bytes { min_len: to_u16(min.value), max_len: to_u16(max.value) })
}

/// The states and their shares of time, added up.
fn read_states<'t>(
    table: &mut Table<'t, '_>,
    value_type: ValueType,
) -> Result<(Vec<&'t str>, Box<[f64]>), ProfileError> {
    let states = table.texts("states")?;
    let Located { value: states, at } = table.required("states", states, "[\"ok\", \"fault\"]")?;
    let longest = if value_type == ValueType::Enum8 { NAME_MAX } else { TEXT_MAX };
    let good =
        |state: &&str| (1..=longest).contains(&state.len()) && !state.chars().any(char::is_control);
    if states.is_empty() || states.len() > 255 || !states.iter().all(good) {
        let hint = format!("1 to 255 states, each 1 to {longest} bytes without control characters");
        return Err(table.error(at, "these states are not allowed", Hint::new(hint)));
    }
    if let Some(twice) = (1..states.len()).find(|n| states[..*n].contains(&states[*n])) {
        let what = format!("the state `{}` stands there twice", states[twice]);
        return Err(table.error(at, &what, Hint::new("give it more weight instead")));
    }
    let weights = match table.numbers("weights")? {
        None => vec![1.0; states.len()],
        Some(Located { value, at }) => {
            let good = value.len() == states.len() && value.iter().all(|weight| *weight >= 0.0);
            if !good || value.iter().sum::<f64>() <= 0.0 {
                let what = format!("{} weights for {} states", value.len(), states.len());
                let hint = Hint::new("give one for each, 0 or more, not all of them 0");
                return Err(table.error(at, &what, hint));
            }
            value
        }
    };
    let total: f64 = weights.iter().sum();
    let mut sum = 0.0;
    let cumulative = weights.iter().map(|weight| {
        sum += weight / total;
        sum
    });
    Ok((states, cumulative.collect()))
}

fn read_output(
    table: &Table<'_, '_>,
    head: &Head<'_>,
    states: &[&str],
) -> Result<Output, ProfileError> {
    Ok(match head.value_type {
        ValueType::Bool => Output::Bool,
        ValueType::Text => Output::Text(states.iter().map(|state| Box::from(*state)).collect()),
        ValueType::Enum8 => Output::Enum,
        ValueType::Time => Output::Time,
        ValueType::Blob => Output::Blob,
        number => {
            let scale = Scale::new(number, head.exponent, head.limits);
            Output::Number(scale.map_err(|error| {
                table.error(head.limits_at, &error.to_string(), Hint::default())
            })?)
        }
    })
}

/// A random walk is reflected at min and max.
fn walk_range(table: &mut Table<'_, '_>) -> Result<(f64, f64), ProfileError> {
    let low = number_required(table, "min", "0")?;
    Ok((low, number_required(table, "max", "360")?))
}

fn number(table: &mut Table<'_, '_>, key: &'static str) -> Result<Option<f64>, ProfileError> {
    Ok(table.number(key)?.map(|number| number.value))
}

fn number_required(
    table: &mut Table<'_, '_>,
    key: &'static str,
    example: &str,
) -> Result<f64, ProfileError> {
    let number = table.number(key)?;
    Ok(table.required(key, number, example)?.value)
}

/// 0 when it is not there.
fn not_negative(table: &mut Table<'_, '_>, key: &'static str) -> Result<f64, ProfileError> {
    match table.number(key)? {
        Some(Located { value, at }) if value < 0.0 => {
            Err(table.error(at, &format!("`{key}` is {value}, below 0"), Hint::default()))
        }
        found => Ok(found.map_or(0.0, |number| number.value)),
    }
}

fn not_negative_required(
    table: &mut Table<'_, '_>,
    key: &'static str,
    example: &str,
) -> Result<f64, ProfileError> {
    let found = table.number(key)?;
    table.required(key, found, example)?;
    not_negative(table, key)
}

/// A duration above 0, in seconds.
fn seconds(table: &mut Table<'_, '_>, key: &'static str) -> Result<Option<f64>, ProfileError> {
    match table.duration(key)? {
        Some(Located { value, at }) if value.is_zero() => {
            Err(table.error(at, &format!("`{key}` is 0"), Hint::new("make it longer")))
        }
        found => Ok(found.map(|duration| duration.value.as_secs_f64())),
    }
}

fn seconds_required(
    table: &mut Table<'_, '_>,
    key: &'static str,
    example: &str,
) -> Result<f64, ProfileError> {
    let found = seconds(table, key)?;
    table.required(key, found, example)
}
