//! Whose record it is: a template of fields and addresses.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use senda_struct::Value;
use senda_wire::DeviceName;

use super::RawError;

/// A template such as `station-{id}`.
#[derive(Clone, Debug)]
pub(super) struct DeviceTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    /// Index of a value of the format.
    Value(usize),
    Address,
    Port,
}

impl DeviceTemplate {
    /// `value_of` finds a field's first value by name.
    pub(super) fn new(
        template: &str,
        value_of: impl Fn(&str) -> Option<usize>,
    ) -> Result<Self, RawError> {
        let wrong = |what: String| RawError::Device { template: template.to_owned(), what };
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('{') {
            let (name, after) =
                after.split_once('}').ok_or_else(|| wrong("a { has no }".into()))?;
            parts.push(Part::Text(text.to_owned()));
            parts.push(match (value_of(name), name) {
                (Some(_), "address" | "port") => {
                    return Err(wrong(format!(
                        "{{{name}}} is the sender's {name}, and a field is called {name} too: give the field another name"
                    )));
                }
                (Some(index), _) => Part::Value(index),
                (None, "address") => Part::Address,
                (None, "port") => Part::Port,
                (None, _) => {
                    return Err(wrong(format!(
                        "there is no field {name:?}; address and port are known too"
                    )));
                }
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        // With 0 for what only a record can say: if that is no name, none ever comes out.
        let stand_in = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Value(_) | Part::Address | Part::Port => "0".to_owned(),
        };
        let name: String = parts.iter().map(stand_in).collect();
        if DeviceName::new(&name).is_none() {
            return Err(wrong(GRAMMAR.into()));
        }
        Ok(Self { parts })
    }

    /// The name for a record; an error says why it is none.
    pub(super) fn name(&self, values: &[Value], peer: SocketAddr) -> Result<String, String> {
        let mut name = String::new();
        for part in &self.parts {
            // Writing to a String can't fail.
            let _ = match part {
                Part::Text(text) => name.write_str(text),
                Part::Address => name.write_str(&address(peer.ip().to_canonical())),
                Part::Port => write!(name, "{}", peer.port()),
                Part::Value(index) => match values.get(*index) {
                    Some(Value::Int(value)) => write!(name, "{value}"),
                    Some(Value::Bool(value)) => write!(name, "{value}"),
                    Some(Value::Float(value)) => write!(name, "{value}"),
                    Some(Value::Bytes(bytes)) => name
                        .write_str(&String::from_utf8_lossy(super::recipe::without_padding(bytes))),
                    None => Ok(()),
                },
            };
        }
        match DeviceName::new(&name) {
            Some(_) => Ok(name),
            None => {
                let shown: String = name.chars().take(80).collect();
                Err(format!("{shown:?} is no device name: {GRAMMAR}"))
            }
        }
    }
}

/// An address that is a device name: `::1` does not begin with a letter or digit, `0::1` is the same address.
fn address(address: IpAddr) -> String {
    let text = address.to_string();
    if text.starts_with(':') { format!("0{text}") } else { text }
}

const GRAMMAR: &str = "a letter or digit, then letters, digits and ._:- , 63 bytes at most";

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Result<DeviceTemplate, RawError> {
        DeviceTemplate::new(text, |name| ["id", "name"].iter().position(|known| *known == name))
    }

    fn named(text: &str, values: &[Value], peer: &str) -> Result<String, String> {
        template(text).unwrap().name(values, peer.parse().unwrap())
    }

    #[test]
    fn a_name_is_made_of_fields_and_of_where_the_record_came_from() {
        let values = [Value::Int(7), Value::Bytes(b"north\0\0".to_vec())];
        let peer = "192.0.2.9:4711";
        assert_eq!(named("gh-{id}", &values, peer).as_deref(), Ok("gh-7"));
        assert_eq!(named("{name}.{id}", &values, peer).as_deref(), Ok("north.7"));
        assert_eq!(named("{address}:{port}", &values, peer).as_deref(), Ok("192.0.2.9:4711"));
        assert_eq!(named("{address}", &values, "[::1]:9").as_deref(), Ok("0::1"));
        assert_eq!(named("{address}", &values, "[::ffff:192.0.2.9]:9").as_deref(), Ok("192.0.2.9"));
        assert_eq!(named("same", &values, peer).as_deref(), Ok("same"));
    }

    #[test]
    fn what_makes_no_device_name_is_refused_and_shown_without_control_characters() {
        let error =
            named("{name}", &[Value::Int(0), Value::Bytes(b"a\x1b[2J".to_vec())], "192.0.2.9:1");
        let error = error.unwrap_err();
        assert!(error.contains("no device name") && !error.contains('\x1b'), "{error}");
        assert!(named("{name}", &[Value::Int(0), Value::Bytes(vec![])], "192.0.2.9:1").is_err());
    }

    #[test]
    fn a_template_names_only_what_there_is() {
        assert!(template("x{nobody}").unwrap_err().to_string().contains("nobody"));
        assert!(template("x{id").unwrap_err().to_string().contains("no }"));
        assert!(template("not a name").is_err());
        assert!(template("").is_err());
    }

    /// Else each record would be a misfit, and the listener store nothing.
    #[test]
    fn text_that_no_device_name_can_have_is_found_before_the_first_record() {
        for text in ["my station {id}", "{id}/{name}", "-{id}", "{id}}", "é{id}"] {
            let error = template(text).unwrap_err().to_string();
            assert!(error.contains("a letter or digit"), "{text}: {error}");
        }
        let long = format!("{}{{id}}", "x".repeat(64));
        assert!(template(&long).is_err());
        for text in ["{id}-", "{id}:{name}", "a.b_c:{id}"] {
            assert!(template(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_field_that_is_called_like_the_senders_address_has_to_be_called_otherwise() {
        let of = |text| DeviceTemplate::new(text, |name| (name == "address").then_some(0));
        assert!(of("{address}").unwrap_err().to_string().contains("give the field another name"));
        assert!(of("{port}").is_ok());
    }
}
