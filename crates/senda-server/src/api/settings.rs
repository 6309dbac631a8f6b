//! Settings: what devices should be set to, by name or pattern. Spec §5.16, §5.17.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::problem::Problem;
use super::{Answer, Body, Shared, parse};
use crate::json;
use crate::settings::Desired;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// An object of settings, or an array of `{name, type, value}`.
    settings: Json,
    /// Derived from the settings where it is not given.
    revision: Option<u32>,
}

/// All desired settings, in the order in which they count.
pub(super) async fn list(State(control): Shared) -> Answer {
    let desired = control.desired();
    let all: Vec<Json> =
        desired.all().map(|(desired, by_hand)| to_json(desired, by_hand)).collect();
    Ok(axum::Json(json!({"settings": all})))
}

/// Sets the settings of a name or pattern, whole: what is not said is at the device's default.
pub(super) async fn set(
    State(control): Shared,
    path: Result<Path<String>, PathRejection>,
    body: Body,
) -> Answer {
    let Path(pattern) = path?;
    check_pattern(&pattern)?;
    let wanted: Wanted = parse(body)?;
    if wanted.revision == Some(0) {
        return Err(Problem::invalid("revision is 0: revisions begin at 1"));
    }
    let list = read_settings(&wanted.settings)
        .map_err(|what| Problem::invalid(format!("settings: {what}")))?;
    let revision = wanted.revision.unwrap_or(0);
    control.set_settings(pattern.clone(), Some((revision, list.clone()))).await?;
    Ok(axum::Json(to_json(&Desired { pattern, revision, list }, true)))
}

/// Takes the settings of a pattern away. Devices keep what they have.
pub(super) async fn unset(
    State(control): Shared,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let Path(pattern) = path?;
    if control.set_settings(pattern.clone(), None).await? {
        Ok(axum::Json(json!({"pattern": pattern, "removed": true})))
    } else {
        Err(Problem::missing(format!("nothing was set by hand for {pattern:?}")))
    }
}

pub(super) fn to_json(desired: &Desired, by_hand: bool) -> Json {
    json!({
        "pattern": desired.pattern,
        "revision": desired.revision(),
        "settings": json::list(&desired.list),
        "from": if by_hand { "hand" } else { "file" },
    })
}

fn check_pattern(pattern: &str) -> Result<(), Problem> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-*".contains(&byte);
    if !pattern.is_empty() && pattern.len() <= 127 && pattern.bytes().all(good) {
        Ok(())
    } else {
        Err(Problem::invalid(format!(
            "{pattern:?} is no device name or pattern: letters, digits, ._:- and * for any characters"
        )))
    }
}

/// The list of settings. In an object the well-known ones have their own types.
fn read_settings(settings: &Json) -> Result<Vec<u8>, String> {
    match settings {
        Json::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                if value.get("name").and_then(Json::as_str).is_none_or(str::is_empty) {
                    return Err(format!("value {index} has no name"));
                }
            }
            json::read_list(values)
        }
        Json::Object(object) => {
            // By name: the revision must not depend on the order in which somebody wrote them.
            let sorted: std::collections::BTreeMap<_, _> = object.iter().collect();
            let values = sorted.into_iter().map(|(name, value)| with_type(name, value));
            json::read_list(&values.collect::<Result<Vec<_>, _>>()?)
        }
        other => Err(format!("{other} is neither an object nor an array")),
    }
}

/// A setting with the type of spec §5.16; others have the type that they look like.
fn with_type(name: &str, value: &Json) -> Result<Json, String> {
    let (of, range) = match name {
        "interval_ms" => ("u32", Some(1..=86_400_000)),
        "batch_rows" => ("u16", Some(1..=65_535)),
        _ if name.starts_with("enable.") => ("bool", None),
        _ => return Ok(json!({"name": name, "value": value})),
    };
    if let Some(range) = range
        && !value.as_u64().is_some_and(|value| range.contains(&value))
    {
        return Err(format!("{name} is {value}: say {} to {}", range.start(), range.end()));
    }
    Ok(json!({"name": name, "type": of, "value": value}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_settings_have_their_own_types() {
        let list = read_settings(&json!({"interval_ms": 5_000, "enable.door": false, "led": 3}));
        let expected = json!([
            {"name": "enable.door", "type": "bool", "value": false},
            {"name": "interval_ms", "type": "u32", "value": 5_000},
            {"name": "led", "type": "i64", "value": 3},
        ]);
        assert_eq!(json::list(&list.unwrap()), expected);
        for (wrong, what) in [
            (json!({"interval_ms": 0}), "say 1 to 86400000"),
            (json!({"interval_ms": "fast"}), "say 1 to 86400000"),
            (json!({"enable.door": 1}), "1 is no bool"),
            (json!([{"value": 1}]), "has no name"),
            (json!(5), "neither an object nor an array"),
        ] {
            let error = read_settings(&wrong).unwrap_err();
            assert!(error.contains(what), "{wrong}: {error}");
        }
    }
}
