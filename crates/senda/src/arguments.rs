//! `CHANNEL=VALUE[UNIT]` and `CHANNEL=TYPE[:EXPONENT]`: from words to a schema and a sample.

use senda_client::{Channel, Sample, Schema, ValueType};
use senda_wire::registry::UNITS;

use crate::UsageError;

/// A sample and the schema that it needs.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) schema: Schema,
    pub(crate) sample: Sample,
}

/// Reads the words of a command line.
pub(crate) fn parse(
    schema: &str,
    values: &[String],
    types: &[String],
) -> Result<Given, UsageError> {
    let types = types.iter().map(|text| parse_type(text)).collect::<Result<Vec<_>, _>>()?;
    let mut builder = Schema::new(schema);
    let mut sample = Sample::new();
    for text in values {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            UsageError(format!(
                "{text:?} is no value: say CHANNEL=VALUE, such as temperature=21.5Cel"
            ))
        })?;
        let wanted = types.iter().find(|wanted| wanted.channel == name);
        let (channel, with_value) = read(name, value, wanted, sample)?;
        (builder, sample) = (builder.with(channel), with_value);
    }
    if let Some(stray) = types
        .iter()
        .find(|wanted| !values.iter().any(|text| text.split('=').next() == Some(&wanted.channel)))
    {
        return Err(UsageError(format!(
            "--type names the channel {:?}, which has no value",
            stray.channel
        )));
    }
    let schema = builder.build().map_err(|error| UsageError(error.to_string()))?;
    sample.encode(&schema).map_err(|error| UsageError(error.to_string()))?;
    Ok(Given { schema, sample })
}

/// What `--type` says of a channel.
pub(crate) struct Wanted {
    pub(crate) channel: String,
    pub(crate) value_type: ValueType,
    pub(crate) exponent: i8,
}

/// Reads `CHANNEL=TYPE[:EXPONENT]`.
pub(crate) fn parse_type(text: &str) -> Result<Wanted, UsageError> {
    let wrong = || {
        UsageError(format!(
            "--type {text:?}: say CHANNEL=TYPE[:EXPONENT], such as temperature=i16:-1"
        ))
    };
    let (channel, what) = text.split_once('=').ok_or_else(wrong)?;
    let (name, exponent) = what.split_once(':').unwrap_or((what, "0"));
    let exponent = exponent.parse().map_err(|_| wrong())?;
    let known = ValueType::ALL.iter().find(|value_type| value_type.name() == name);
    let value_type = *known.ok_or_else(|| {
        let names: Vec<_> = ValueType::ALL.iter().map(|value_type| value_type.name()).collect();
        UsageError(format!("--type {text:?}: {name:?} is none of {}", names.join(", ")))
    })?;
    if value_type == ValueType::Enum8 {
        return Err(UsageError(format!(
            "--type {text:?}: an enum8 needs its labels declared; use text here"
        )));
    }
    Ok(Wanted { channel: channel.to_owned(), value_type, exponent })
}

/// One channel and its value.
fn read(
    name: &str,
    text: &str,
    wanted: Option<&Wanted>,
    sample: Sample,
) -> Result<(Channel, Sample), UsageError> {
    match wanted {
        None => guess(name, text, sample),
        Some(Wanted { value_type, exponent, .. }) => {
            let channel = Channel::new(name, *value_type).exponent(*exponent);
            let bad = || UsageError(format!("{name}={text}: that is no {}", value_type.name()));
            Ok(match value_type {
                ValueType::Text => (channel, sample.set(name, text)),
                ValueType::Blob => (channel, sample.set(name, text.as_bytes())),
                ValueType::Bool => {
                    (channel, sample.set(name, text.parse::<bool>().map_err(|_| bad())?))
                }
                ValueType::Time => {
                    let time: jiff::Timestamp = text.parse().map_err(|_| bad())?;
                    (channel, sample.set(name, time.as_microsecond()))
                }
                _ => {
                    let (number, unit) = split_unit(name, text)?.ok_or_else(bad)?;
                    let channel = channel.unit(unit);
                    match (number.parse::<i64>(), number.parse::<u64>()) {
                        (Ok(whole), _) if *exponent == 0 => (channel, sample.set(name, whole)),
                        (_, Ok(whole)) if *exponent == 0 => (channel, sample.set(name, whole)),
                        _ => (channel, sample.set(name, number.parse::<f64>().map_err(|_| bad())?)),
                    }
                }
            })
        }
    }
}

/// A number with or without a unit, a bool, or text.
fn guess(name: &str, text: &str, sample: Sample) -> Result<(Channel, Sample), UsageError> {
    if let Ok(value) = text.parse::<bool>() {
        return Ok((Channel::new(name, ValueType::Bool), sample.set(name, value)));
    }
    if let Some((number, unit)) = split_unit(name, text)?
        && let Ok(number) = number.parse::<f64>()
    {
        return Ok((Channel::new(name, ValueType::F64).unit(unit), sample.set(name, number)));
    }
    let channel = Channel::new(name, ValueType::Text);
    Ok((channel, sample.set(name, text)))
}

/// `21.5Cel` to `21.5` and `Cel`; `None` for what is no number.
fn split_unit<'t>(name: &str, text: &'t str) -> Result<Option<(&'t str, &'t str)>, UsageError> {
    let is_number = |end: usize| {
        text[..end].parse::<f64>().is_ok() && text[..end].ends_with(|c: char| c.is_ascii_digit())
    };
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
    let Some(end) = ends.into_iter().find(|end| is_number(*end)) else {
        return Ok(None);
    };
    let (number, unit) = text.split_at(end);
    if unit.is_empty() || UNITS.iter().any(|(known, _)| *known == unit) {
        return Ok(Some((number, unit)));
    }
    let nearest = UNITS.iter().min_by_key(|(known, _)| {
        strsim::damerau_levenshtein(&known.to_lowercase(), &unit.to_lowercase())
    });
    let hint = nearest.map_or_else(String::new, |(known, meaning)| {
        format!("; did you mean {known} ({meaning})?")
    });
    Err(UsageError(format!(
        "{name}={text}: {unit:?} is no SenML unit{hint} For text, say --type {name}=text"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(values: &[&str], types: &[&str]) -> Result<Given, UsageError> {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        parse("greenhouse", &own(values), &own(types))
    }

    #[test]
    fn bare_numbers_are_f64_and_words_are_text() {
        let given =
            given(&["temperature=21.5Cel", "door=open", "on=true", "n=-3", "e=1e3"], &[]).unwrap();
        let schema = senda_wire::Schema::decode(given.schema.description()).unwrap();
        let types: Vec<_> =
            schema.channels().map(|channel| (channel.value_type, channel.unit)).collect();
        let (f64, text, bool) = (ValueType::F64, ValueType::Text, ValueType::Bool);
        assert_eq!(types, [(f64, "Cel"), (text, ""), (bool, ""), (f64, ""), (f64, "")]);
    }

    #[test]
    fn a_type_scales_and_a_stray_type_is_refused() {
        let scaled = given(&["temperature=21.5Cel"], &["temperature=i16:-1"]).unwrap();
        assert_eq!(scaled.sample.encode(&scaled.schema).unwrap(), [0, 215]);
        assert!(given(&["a=1"], &["b=u8"]).unwrap_err().to_string().contains("\"b\""));
        assert!(given(&["a=1"], &["a=u7"]).unwrap_err().to_string().contains("u8"));
        assert!(given(&["a=300"], &["a=u8"]).is_err());
        let whole = given(&["a=18446744073709551615"], &["a=u64"]).unwrap();
        assert_eq!(whole.sample.encode(&whole.schema).unwrap(), [0xFF; 8]);
    }

    #[test]
    fn an_unknown_unit_is_an_error_with_a_suggestion() {
        let error = given(&["temperature=21.5cel"], &[]).unwrap_err().to_string();
        assert!(error.contains("did you mean Cel"), "{error}");
        assert!(given(&["version=1.2.3"], &["version=text"]).is_ok());
        assert!(given(&["temperature"], &[]).is_err());
        assert!(given(&["Temperature=1"], &[]).is_err(), "channel names are lower case");
    }
}
