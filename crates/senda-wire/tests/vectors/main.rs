//! The test vectors of `spec/vectors/*.toml`, which come from the specification and not from this code. Spec §17.
//!
//! COLUMNS and COLUMNS_U are judged up to their head and their limits only, since this crate has no decoder of columns;
//! SEALED has no vectors, for they would need a key.

mod fields;
mod rebuild;

use std::collections::BTreeMap;
use std::path::PathBuf;

use senda_wire::{FieldValue, Frame, Message, Presence, RowFault, Schema, Sender, Visit, walk};
use serde::Deserialize;
use toml::{Table, Value as Toml};

#[derive(Deserialize)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    section: String,
    r#type: String,
    from: Option<String>,
    valid: bool,
    error: Option<String>,
    rows_refused: Option<Vec<u16>>,
    schema: Option<String>,
    hex: String,
    fields: Option<Table>,
}

/// What became of a case's bytes.
enum Verdict {
    /// Right, or right but for the rows refused: what they say.
    Good { fields: Table, refused: Vec<u16>, again: Vec<u8> },
    /// The failure's name, or its code.
    Bad(&'static str),
}

/// Spec §17: each file has cases, each case a claim and a section.
#[test]
fn every_file_has_cases_with_unique_names() {
    for (file, cases) in files() {
        assert!(!cases.is_empty(), "{file} has no cases");
        let names: BTreeMap<_, _> = cases.iter().map(|case| (&case.name, &case.section)).collect();
        assert_eq!(names.len(), cases.len(), "{file}: names are not unique");
    }
}

/// Spec §17: valid messages give the stated fields.
#[test]
fn valid_cases_decode_to_the_stated_fields() {
    let judged = each_case(|case| {
        let Some(expected) = &case.fields else { return false };
        let Verdict::Good { mut fields, .. } = judge(case) else { panic!("refused") };
        let mut expected = expected.clone();
        if is_columns(case) {
            expected.remove("rows");
        }
        normalize(&mut fields);
        normalize(&mut expected);
        assert_eq!(fields, expected);
        true
    });
    assert!(judged > 200, "only {judged} cases have fields");
}

/// Spec §17: encoding what was decoded gives the same bytes, its lists, ranges, rows and schemas built anew.
#[test]
fn valid_cases_encode_to_the_same_bytes() {
    let judged = each_case(|case| {
        let Verdict::Good { again, refused, .. } = judge(case) else { return false };
        if !refused.is_empty() {
            return false;
        }
        assert_eq!(hex(&again), case.hex);
        true
    });
    assert!(judged > 200, "only {judged} cases were encoded");
}

/// Spec §3.7 and §17: each fault gets its name, the first one where there are two.
#[test]
fn invalid_cases_give_the_stated_error() {
    let judged = each_case(|case| {
        let expected = case.error.as_deref();
        assert_eq!(case.valid, expected.is_none());
        match judge(case) {
            Verdict::Bad(error) => assert_eq!(Some(error), expected),
            Verdict::Good { .. } if is_columns(case) => {
                assert!(
                    matches!(expected, None | Some("301" | "303" | "bad_body")),
                    "{expected:?}"
                );
            }
            Verdict::Good { refused, .. } => {
                assert_eq!(refused, case.rows_refused.clone().unwrap_or_default());
                assert_eq!(expected, (!refused.is_empty()).then_some("301"));
            }
        }
        !case.valid
    });
    assert!(judged > 200, "only {judged} cases are invalid");
}

/// Spec §5: the layout tables cover every byte of every whole message once, in order, with the stated values.
#[test]
fn the_layout_covers_every_byte_once_and_agrees_with_the_fields() {
    let walked = each_case(|case| {
        let bytes = bytes(&case.hex);
        let Ok(frame) = Frame::decode_datagram(&bytes) else { return false };
        let description = case.schema.as_deref().map(self::bytes);
        let schema = description.as_ref().map(|bytes| Schema::decode(bytes).unwrap());
        let schema = schema.filter(|_| !is_columns(case));
        let mut visits = Vec::new();
        let result = walk(&frame, schema.as_ref(), &mut |visit| visits.push(visit));
        assert_covered(&visits, bytes.len());
        let undecoded = visits.iter().any(|visit| matches!(visit.value, FieldValue::Undecoded(_)));
        if let Some(fields) = &case.fields {
            assert_eq!(result, Ok(()));
            assert!(!undecoded);
            assert_agree(&visits, fields);
        }
        for visit in &visits {
            assert!(!visit.value.to_string().chars().any(char::is_control), "{visit:?}");
        }
        true
    });
    assert!(walked > 300, "only {walked} messages were walked");
}

/// Runs `check` on each case; says which one failed. Counts those for which it returns true.
fn each_case(check: impl Fn(&Case) -> bool + std::panic::RefUnwindSafe) -> usize {
    let mut checked = 0;
    let mut failed = Vec::new();
    for (file, cases) in files() {
        for case in &cases {
            match std::panic::catch_unwind(|| check(case)) {
                Ok(counts) => checked += usize::from(counts),
                Err(_) => failed.push(format!("{file}: {} (spec {})", case.name, case.section)),
            }
        }
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
    checked
}

fn files() -> BTreeMap<String, Vec<Case>> {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/vectors"));
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let toml = paths.filter(|path| path.extension().is_some_and(|ext| ext == "toml"));
    let files: BTreeMap<_, _> = toml
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let file: File = toml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            (name, file.case)
        })
        .collect();
    assert!(files.len() >= 10, "only {} vector files", files.len());
    files
}

/// Judges as section 17 says: one datagram, suite OPEN, the session and the schema exist.
fn judge(case: &Case) -> Verdict {
    let bytes = bytes(&case.hex);
    if case.r#type == "SCHEMA" {
        return match Schema::decode(&bytes) {
            Err(_) => Verdict::Bad("205"),
            Ok(schema) => Verdict::Good {
                fields: fields::schema(&schema),
                refused: Vec::new(),
                again: rebuild::schema(&schema),
            },
        };
    }
    let frame = match Frame::decode_datagram(&bytes) {
        Err(_) if Frame::is_foreign_hello(&bytes) => return Verdict::Bad("404"),
        Err(error) => return Verdict::Bad(error.name()),
        Ok(frame) => frame,
    };
    assert_eq!(frame.bytes.len(), bytes.len(), "nothing comes after the message");
    let sender = match case.from.as_deref() {
        Some("device") => Sender::Device,
        Some("collector") => Sender::Collector,
        other => panic!("from {other:?}"),
    };
    if let Err(error) = frame.known_type(sender) {
        return Verdict::Bad(error.name());
    }
    assert_eq!(frame.message_type().unwrap().name(), case.r#type);
    judge_body(case, &frame)
}

fn judge_body(case: &Case, frame: &Frame<'_>) -> Verdict {
    // Spec §5.26: of the reliable data messages, a malformed body has a code of its own.
    let reliable = matches!(case.r#type.as_str(), "ROWS" | "SPARSE" | "COLUMNS");
    let malformed = Verdict::Bad(if reliable { "303" } else { "bad_body" });
    let Ok(message) = Message::decode(frame) else { return malformed };
    let mut fields = fields::header(frame);
    fields.extend(fields::body(&message));
    let (data, presence) = match message {
        Message::Rows(data) | Message::RowsU(data) => (data, Presence::All),
        Message::Sparse(data) => (data, Presence::Bitmap),
        Message::Columns(data) | Message::ColumnsU(data) => {
            let description = bytes(case.schema.as_deref().unwrap());
            let schema = Schema::decode(&description).unwrap();
            if data.head.check_size(&schema).is_err() {
                return Verdict::Bad("203");
            }
            let again = rebuild::message(frame, &message);
            return Verdict::Good { fields, refused: Vec::new(), again };
        }
        _ => {
            let again = rebuild::message(frame, &message);
            return Verdict::Good { fields, refused: Vec::new(), again };
        }
    };
    let description = bytes(case.schema.as_deref().unwrap());
    let schema = Schema::decode(&description).unwrap();
    let mut refused = Vec::new();
    match data.check(&schema, presence, |row| refused.push(row)) {
        Err(RowFault::Layout(_)) => return malformed,
        Err(_) => return Verdict::Bad("203"),
        Ok(()) => {}
    }
    fields.insert("rows".into(), fields::rows(&data, &schema, presence));
    let again = if refused.is_empty() {
        rebuild::data(frame, &message, &data, &schema, presence)
    } else {
        Vec::new()
    };
    Verdict::Good { fields, refused, again }
}

fn assert_covered(visits: &[Visit<'_>], len: usize) {
    let mut next = 0;
    for visit in visits {
        assert_eq!(visit.offset, next, "{visit:?}");
        next += visit.len;
    }
    assert_eq!(next, len);
}

/// Each field of one value is the one that the vector states, and none is left out.
fn assert_agree(visits: &[Visit<'_>], fields: &Table) {
    let shown: BTreeMap<_, _> = visits
        .iter()
        .filter(|visit| visit.index.is_none() && visit.name != "crc" || visit.offset == 14)
        .filter_map(|visit| Some((visit.name, single(&visit.value)?)))
        .collect();
    for (name, stated) in fields {
        let name = if name == "schema_id" { "schema" } else { name };
        if let Some(value) = shown.get(name) {
            assert!(same(value, stated), "{name}: {value} is not {stated}");
        } else {
            let repeated = stated.is_array() || ["clock", "crc", "bytes", "cookie"].contains(&name);
            assert!(repeated, "{name} was not shown");
        }
    }
}

/// The value of a field that is neither bytes nor repeated.
fn single(value: &FieldValue<'_>) -> Option<Toml> {
    Some(match *value {
        FieldValue::Unsigned(value) | FieldValue::Hex { value, .. } => fields::number(value.into()),
        FieldValue::Signed(value) | FieldValue::Micros(value) => fields::number(value.into()),
        FieldValue::Code { code, .. } => fields::number(code.into()),
        FieldValue::Bits { bits, .. } => fields::number(bits.into()),
        FieldValue::Text(text) => Toml::String(text.into()),
        _ => return None,
    })
}

fn same(shown: &Toml, stated: &Toml) -> bool {
    let (mut shown, mut stated) = (shown.clone(), stated.clone());
    normalize_value(&mut shown);
    normalize_value(&mut stated);
    shown == stated
}

fn is_columns(case: &Case) -> bool {
    case.r#type.starts_with("COLUMNS")
}

/// A number may be written as a decimal string (spec §17): both become strings.
fn normalize(table: &mut Table) {
    table.iter_mut().for_each(|(_, value)| normalize_value(value));
}

fn normalize_value(value: &mut Toml) {
    match value {
        Toml::Integer(number) => *value = Toml::String(number.to_string()),
        Toml::Array(items) => items.iter_mut().for_each(normalize_value),
        Toml::Table(table) => normalize(table),
        _ => {}
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "odd number of hex digits");
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
