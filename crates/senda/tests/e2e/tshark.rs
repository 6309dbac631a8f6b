//! tshark with the dissector of clients/wireshark, and what it shows, field by field.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::processes::{Outcome, run};

/// One Senda message as somebody shows it.
#[derive(Debug, PartialEq)]
pub(crate) struct Shown {
    /// The packet that it is shown in.
    pub(crate) frame: u64,
    /// Its fields, in order.
    pub(crate) fields: Vec<Field>,
}

/// A field, under the name that the dissector gives it.
#[derive(Debug)]
pub(crate) struct Field {
    name: String,
    /// From the start of the message.
    offset: u64,
    len: u64,
    value: String,
}

/// Numbers by their value, floats by the bits that a channel may have, everything else as it stands.
impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        let place = (&self.name, self.offset, self.len) == (&other.name, other.offset, other.len);
        place && same(&self.value, &other.value)
    }
}

fn same(left: &str, right: &str) -> bool {
    if left == right {
        return true;
    }
    let inside = |text: &str| text.strip_prefix('[')?.strip_suffix(']').map(str::to_owned);
    if let (Some(left), Some(right)) = (inside(left), inside(right)) {
        let (left, right): (Vec<_>, Vec<_>) =
            (left.split(", ").collect(), right.split(", ").collect());
        return left.len() == right.len()
            && left.iter().zip(right).all(|(left, right)| same(left, right));
    }
    let hex =
        |text: &str| text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let whole = |text: &str| hex(text).map(i128::from).or_else(|| text.parse().ok());
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => left == right,
        _ => match (left.parse::<f64>(), right.parse::<f64>()) {
            // serde_json reads a float to within its last bit.
            (Ok(left), Ok(right)) => (left - right).abs() <= left.abs() * f64::EPSILON,
            _ => false,
        },
    }
}

/// What tshark says of a capture.
pub(crate) struct Dissection {
    pub(crate) messages: Vec<Shown>,
    /// Packet and expert info, such as `senda.error.bad_crc`.
    pub(crate) errors: Vec<(u64, String)>,
}

/// Runs it; a mistake of the dissector is a failure.
pub(crate) fn dissect(capture: &Path) -> Dissection {
    let outcome = tshark(capture, &["-T", "pdml"]);
    let document = roxmltree::Document::parse(&outcome.stdout).expect("PDML");
    let (mut messages, mut errors) = (Vec::new(), Vec::new());
    for packet in document.descendants().filter(|node| node.has_tag_name("packet")) {
        let all = || packet.descendants();
        let number = all().find(|node| node.attribute("name") == Some("num"));
        let frame = number.and_then(|node| node.attribute("show")).expect("a number");
        let frame = frame.parse().expect("a number");
        for node in all() {
            let name = node.attribute("name").unwrap_or_default();
            assert!(!name.starts_with("_ws.lua.error"), "{frame}: {node:?}");
            // An expert info of that group hides one; one that is seen is of tshark, which gave up.
            let gave_up = name == "_ws.malformed" && node.attribute("hide").is_none();
            assert!(!gave_up, "packet {frame}");
            if name.starts_with("senda.error.") {
                errors.push((frame, name.to_owned()));
            }
        }
        for message in all().filter(|node| node.attribute("name") == Some("senda")) {
            let start = number_of(message, "pos");
            let fields = message.descendants().filter_map(|node| field(node, start)).collect();
            messages.push(Shown { frame, fields });
        }
    }
    Dissection { messages, errors }
}

/// Runs tshark as somebody would who has no settings of their own.
pub(crate) fn tshark(capture: &Path, arguments: &[&str]) -> Outcome {
    let dissector = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/wireshark/senda.lua");
    let home = tempfile::TempDir::new().expect("a directory");
    let mut command = Command::new("tshark");
    command.arg("-X").arg(format!("lua_script:{}", dissector.display()));
    command.arg("-n").arg("-r").arg(capture).args(arguments);
    command.env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path()).env("LC_ALL", "C.UTF-8");
    let outcome = run(&mut command).succeeded();
    assert!(!outcome.stderr.contains("Lua"), "{}", outcome.stderr);
    let mistake = outcome.stdout.lines().find(|line| line.contains("Lua Error"));
    assert_eq!(mistake, None, "a mistake in the dissector");
    outcome
}

fn number_of(node: roxmltree::Node<'_, '_>, attribute: &str) -> u64 {
    node.attribute(attribute).and_then(|number| number.parse().ok()).expect("a number")
}

/// A field that says something of its own: not one of the bits of another, and not a heading.
fn field(node: roxmltree::Node<'_, '_>, start: u64) -> Option<Field> {
    let name = node.attribute("name")?.strip_prefix("senda.")?;
    let is_heading = matches!(name, "row" | "row.number" | "device" | "schema" | "sample.number");
    let parent = node.parent().and_then(|parent| parent.attribute("name")).unwrap_or_default();
    let is_bit = ["flags", "downlink", "encodings"].iter().any(|bits| parent.ends_with(bits));
    if is_heading || is_bit || name.starts_with("error.") {
        return None;
    }
    let (offset, len) = (number_of(node, "pos") - start, number_of(node, "size"));
    let value = match (name, name.rsplit('.').next()) {
        ("sample" | "entry" | "option" | "range" | "cause", _) => "?",
        // Its length byte is shown with it.
        (_, Some("cookie")) => node.attribute("value")?.get(2..)?,
        (_, Some(last)) if BYTES.contains(&last) || name == "option.value" => {
            node.attribute("value").unwrap_or_default()
        }
        _ => node.attribute("show").unwrap_or_default(),
    };
    Some(Field { name: name.to_owned(), offset, len, value: value.to_owned() })
}

/// Fields of which hex digits are all there is to show.
const BYTES: [&str; 8] =
    ["body", "bytes", "ciphertext", "columns", "presence", "rows", "undecoded", "zero"];

/// The same message as `senda decode --format json` shows it; `None` for a line that is no message.
pub(crate) fn from_json(line: &Value) -> Option<Shown> {
    let kind = line["type"].as_str()?.to_lowercase();
    let end = line["length"].as_u64()? - 4;
    let fields = line["fields"].as_array()?.iter();
    let fields = fields.flat_map(|field| from_json_field(field, &kind, end)).collect();
    Some(Shown { frame: line["frame"].as_u64()?, fields })
}

fn from_json_field(field: &Value, kind: &str, end: u64) -> Vec<Field> {
    let name = field["name"].as_str().expect("a name");
    let (offset, len) =
        (field["offset"].as_u64().expect("offset"), field["length"].as_u64().expect("length"));
    let value = &field["value"];
    let part = |name: &str, offset, len, value: String| Field {
        name: name.to_owned(),
        offset,
        len,
        value,
    };
    let whole = |name: &str, value: &Value| part(name, offset, len, plain(value));
    let bytes = |name: &str| part(name, offset, len, "?".to_owned());
    if field.get("type").is_some() {
        let mut parts = vec![bytes("sample"), whole("sample.channel", &field["name"])];
        parts.push(whole("sample.value", value));
        parts.extend((field["unit"] != "").then(|| whole("sample.unit", &field["unit"])));
        return parts;
    }
    if value.is_null() {
        return vec![bytes("sample"), whole("sample.channel", &field["name"])];
    }
    if let Some(clock) = value.get("clock") {
        let names = (format!("{kind}.clock"), format!("{kind}.count"));
        return vec![whole(&names.0, clock), whole(&names.1, &value["count"])];
    }
    if value.get("name").is_some() {
        let [name, kind, value] = ["name", "type", "value"].map(|key| &value[key]);
        let code = senda_wire::ValueType::ALL.iter().find(|each| kind == each.name());
        let code = code.expect("a type").code().to_string();
        let kind = part("entry.type", offset, len, code);
        return vec![bytes("entry"), whole("entry.name", name), kind, whole("entry.value", value)];
    }
    if value.get("start").is_some() {
        let (start, end) = (plain(&value["start"]), plain(&value["end"]));
        let start = part("range.start", offset, 4, start);
        return vec![bytes("range"), start, part("range.end", offset + 4, 4, end)];
    }
    if value.get("cause").is_some() {
        let code = part("cause.code", offset, 1, plain(&value["cause"]));
        let count = part("cause.count", offset + 1, 8, plain(&value["count"]));
        return vec![bytes("cause"), code, count];
    }
    if value.get("type").is_some() {
        let code = part("option.type", offset, 1, plain(&value["type"]));
        let value = part("option.value", offset + 3, len - 3, plain(&value["value"]));
        return vec![bytes("option"), code, value];
    }
    let name = match name {
        "flags" | "type" | "length" | "session" | "seq" if offset < 12 => name.to_owned(),
        "crc" if offset == end => name.to_owned(),
        "undecoded" | "body" => name.to_owned(),
        "time_offset" | "presence" if field.get("index").is_some() => format!("row.{name}"),
        _ => format!("{kind}.{name}"),
    };
    vec![whole(&name, value)]
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().map(printable).collect(),
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(plain).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Strings of Wireshark end at a NUL, so the dissector writes such characters out.
fn printable(c: char) -> String {
    if c.is_ascii_control() { format!("\\x{:02x}", u32::from(c)) } else { c.to_string() }
}
