//! Headers and keys to names that the wire takes: `[a-z][a-z0-9_]{0,62}`. Specification 4.1.

use std::collections::HashSet;

/// The most bytes of a name.
const NAME_BYTES_MAX: usize = 63;
/// The most bytes of a unit.
const UNIT_BYTES_MAX: usize = 31;

/// A header without its unit, and the unit: `Temp (°C)` to `Temp` and `Cel`.
pub(super) fn split_unit(header: &str) -> (&str, String) {
    let header = header.trim();
    let parts = [('(', ')'), ('[', ']')].into_iter().find_map(|(open, close)| {
        let (name, unit) = header.strip_suffix(close)?.rsplit_once(open)?;
        Some((name.trim(), unit_name(unit.trim())?))
    });
    match parts {
        Some((name, unit)) if !name.is_empty() => (name, unit),
        _ => (header, String::new()),
    }
}

/// The SenML name of what people write; any other printable ASCII stays; `None` for what can't be a unit.
fn unit_name(text: &str) -> Option<String> {
    let known = match text {
        "°C" | "ºC" | "degC" | "deg C" | "Celsius" | "celsius" => "Cel",
        "Ω" | "ohm" => "Ohm",
        "°" | "º" => "deg",
        "m/s²" => "m/s2",
        _ => text,
    };
    let printable = known.bytes().all(|byte| (0x20..0x7F).contains(&byte));
    (printable && !known.is_empty() && known.len() <= UNIT_BYTES_MAX).then(|| known.to_owned())
}

/// The nearest name that the grammar allows: `Außen-Temp 1` to `aussen_temp_1`, `outdoorTemp` to `outdoor_temp`; `None`
/// when nothing is left.
pub(super) fn fit(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut was_small = false;
    for c in text.chars() {
        let small = c.is_lowercase() || c.is_numeric();
        if c.is_uppercase() && was_small {
            name.push('_');
        }
        was_small = small;
        for c in c.to_lowercase() {
            match ascii(c) {
                Some(letters) => name.push_str(letters),
                None if c.is_ascii_alphanumeric() => name.push(c),
                None if !name.ends_with('_') => name.push('_'),
                None => {}
            }
        }
    }
    let name = name.trim_matches('_');
    let first = name.chars().next()?;
    let mut name = if first.is_ascii_digit() { format!("c_{name}") } else { name.to_owned() };
    name.truncate(NAME_BYTES_MAX);
    Some(name)
}

/// A name that is not taken yet: with `_2`, `_3` ... where it is.
pub(super) fn unique(name: &str, taken: &HashSet<String>) -> String {
    let numbered = |number: usize| {
        let tail = format!("_{number}");
        let stem = &name[..name.len().min(NAME_BYTES_MAX - tail.len())];
        format!("{stem}{tail}")
    };
    std::iter::once(name.to_owned())
        .chain((2..).map(numbered))
        .find(|name| !taken.contains(name))
        .unwrap_or_default()
}

/// Letters of western Europe without their marks.
fn ascii(c: char) -> Option<&'static str> {
    Some(match c {
        'á' | 'à' | 'â' | 'ã' | 'å' | 'ā' => "a",
        'ä' | 'æ' => "ae",
        'ç' | 'č' => "c",
        'é' | 'è' | 'ê' | 'ë' | 'ē' => "e",
        'í' | 'ì' | 'î' | 'ï' | 'ī' => "i",
        'ñ' => "n",
        'ó' | 'ò' | 'ô' | 'õ' | 'ø' => "o",
        'ö' | 'œ' => "oe",
        'ß' => "ss",
        'ú' | 'ù' | 'û' => "u",
        'ü' => "ue",
        'µ' | 'μ' => "u",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_become_names_that_people_recognise() {
        for (header, name) in [
            ("temperature", "temperature"),
            ("Temp Outside", "temp_outside"),
            ("outdoorTemp", "outdoor_temp"),
            ("PM2.5", "pm2_5"),
            ("CO2", "co2"),
            ("1st", "c_1st"),
            ("Presión (máx)", "presion_max"),
            ("  _x_  ", "x"),
            ("a--b", "a_b"),
        ] {
            assert_eq!(fit(header).as_deref(), Some(name));
        }
        assert_eq!(fit("°"), None);
        assert_eq!(fit(""), None);
    }

    #[test]
    fn a_unit_in_brackets_is_a_unit() {
        assert_eq!(split_unit("temp (Cel)"), ("temp", "Cel".to_owned()));
        assert_eq!(split_unit("Temp [°C]"), ("Temp", "Cel".to_owned()));
        assert_eq!(split_unit("speed [m/s]"), ("speed", "m/s".to_owned()));
        assert_eq!(split_unit("temp"), ("temp", String::new()));
        assert_eq!(split_unit("(Cel)"), ("(Cel)", String::new()));
        assert_eq!(split_unit("x ()"), ("x ()", String::new()));
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let taken: HashSet<String> = ["a", "a_2"].map(str::to_owned).into();
        assert_eq!(unique("a", &taken), "a_3");
        assert_eq!(unique("b", &taken), "b");
        let long = "x".repeat(63);
        let taken = HashSet::from([long.clone()]);
        assert_eq!(unique(&long, &taken), format!("{}_2", "x".repeat(61)));
    }

    proptest! {
        #[test]
        fn every_fitted_name_obeys_the_grammar(text in "\\PC{0,90}") {
            if let Some(name) = fit(&text) {
                prop_assert!(senda_wire::Identifier::new(&name).is_some(), "{}", name);
            }
        }
    }
}
