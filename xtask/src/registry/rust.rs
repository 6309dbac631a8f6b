//! The registries as Rust, for senda-wire.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::model::{Bit, Code, Direction, Profile, Registry};
use crate::tools::root;

const HEADER: &str = "\
//! The protocol's registries: codes, names, limits and units.
//!
//! Generated from spec/registry.toml by `cargo xtask registry`; do not edit.

";

const DERIVES: &str = "#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]";

/// The whole module, formatted.
pub(super) fn generate(registry: &Registry) -> anyhow::Result<String> {
    let mut out = String::from(HEADER);
    messages(&mut out, registry);
    bits(
        &mut out,
        "flag",
        "Flags in the low nibble of the header's first byte. Spec §3.2.",
        "u8",
        &registry.flag,
    );
    value_types(&mut out, registry);
    errors(&mut out, registry);
    codes(
        &mut out,
        "SkipCause",
        "Why rows will never come: the cause in a SKIP. Spec §5.12.",
        &registry.skip_cause,
    );
    codes(
        &mut out,
        "OptionCode",
        "Options of HELLO and WELCOME; an unknown one from 0x80 on is refused. Spec §5.1.",
        &registry.option,
    );
    codes(&mut out, "DoneStatus", "Outcomes in a DONE. Spec §5.20.", &registry.done_status);
    codes(
        &mut out,
        "Durability",
        "What an ACK of this collector means. Spec §5.3.",
        &registry.durability,
    );
    codes(
        &mut out,
        "Clock",
        "What a device's clock is worth: the kind in data messages. Spec §5.7.",
        &registry.clock,
    );
    codes(&mut out, "Suite", "How a session is protected. Spec §10.", &registry.suite);
    bits(&mut out, "downlink", "Which control messages a device takes.", "u8", &registry.downlink);
    bits(
        &mut out,
        "encoding",
        "Which data messages a side reads or writes.",
        "u16",
        &registry.encoding,
    );
    limits(&mut out, registry);
    units(&mut out, registry);
    format(&out)
}

fn messages(out: &mut String, registry: &Registry) {
    let entries: Vec<_> = registry
        .message
        .iter()
        .map(|message| Entry {
            code: message.code,
            name: &message.name,
            doc: format!("{} Spec §{}.", sentence(&message.summary), message.section),
        })
        .collect();
    code_enum(out, "MessageType", "Message types. Spec §5.", &entries);

    line(out, "impl MessageType {");
    line(out, "/// The section of the specification that defines this message.");
    line(out, "pub const fn section(self) -> &'static str { match self {");
    for message in &registry.message {
        let _ = writeln!(out, "Self::{} => {:?},", camel(&message.name), message.section);
    }
    line(out, "} }\n\n/// Who sends this message.");
    line(out, "pub const fn direction(self) -> Direction { match self {");
    for message in &registry.message {
        let direction = match message.direction {
            Direction::Device => "ToCollector",
            Direction::Collector => "ToDevice",
            Direction::Both => "Both",
        };
        let _ = writeln!(out, "Self::{} => Direction::{direction},", camel(&message.name));
    }
    line(out, "} }\n\n/// Whether a client of the simple profile sends or reads this message.");
    line(out, "pub const fn is_simple(self) -> bool { matches!(self,");
    let simple: Vec<_> = registry
        .message
        .iter()
        .filter(|message| message.profile == Profile::Simple)
        .map(|message| format!("Self::{}", camel(&message.name)))
        .collect();
    line(out, &simple.join(" | "));
    line(out, ") } }\n");

    line(out, "/// Which way a message travels.");
    line(out, DERIVES);
    line(out, "pub enum Direction {");
    line(out, "/// Device to collector.\nToCollector,");
    line(out, "/// Collector to device.\nToDevice,");
    line(out, "/// Either way.\nBoth,\n}\n");
}

fn value_types(out: &mut String, registry: &Registry) {
    let entries: Vec<_> = registry
        .value_type
        .iter()
        .map(|value_type| Entry {
            code: value_type.code,
            name: &value_type.name,
            doc: sentence(&value_type.summary),
        })
        .collect();
    code_enum(out, "ValueType", "Types of a channel's values. Spec §4.3.", &entries);

    line(out, "impl ValueType {");
    line(out, "/// Bytes that a value takes in ROWS; `None` if that varies.");
    line(out, "pub const fn size(self) -> Option<usize> { match self {");
    for value_type in &registry.value_type {
        let name = camel(&value_type.name);
        let _ = writeln!(out, "Self::{name} => {:?},", value_type.size);
    }
    line(out, "} } }\n");
}

fn errors(out: &mut String, registry: &Registry) {
    line(out, "/// The code of a NACK or CLOSE; any number is one. Spec §11.");
    line(out, DERIVES);
    line(out, "pub struct ErrorCode(pub u16);\n\nimpl ErrorCode {");
    for error in &registry.error {
        let _ = writeln!(out, "/// {} Spec §{}.", sentence(&error.summary), error.section);
        let _ = writeln!(out, "pub const {}: Self = Self({});", error.name, error.code);
    }
    line(out, "\n/// Every registered code, ascending.");
    line(out, "pub const ALL: &[Self] = &[");
    for error in &registry.error {
        let _ = writeln!(out, "Self::{},", error.name);
    }
    line(out, "];\n\n/// The registered name, in capitals.");
    line(out, "pub const fn name(self) -> Option<&'static str> { match self {");
    for error in &registry.error {
        let _ = writeln!(out, "Self::{} => Some({:?}),", error.name, error.name);
    }
    line(out, "_ => None, } }\n\n/// The section of the specification that says when it is sent.");
    line(out, "pub const fn section(self) -> Option<&'static str> { match self {");
    for error in &registry.error {
        let _ = writeln!(out, "Self::{} => Some({:?}),", error.name, error.section);
    }
    line(out, "_ => None, } }\n\n/// What to do about it; unregistered codes have a class too.");
    line(
        out,
        "pub const fn class(self) -> ErrorClass { match self.0 {
            100..=199 => ErrorClass::RetryLater,
            200..=299 => ErrorClass::FixAndResend,
            300..=399 => ErrorClass::Resolved,
            400..=499 => ErrorClass::SessionOver,
            900..=999 => ErrorClass::Private,
            _ => ErrorClass::Unknown,
        } } }

        /// What the receiver of an error does, known code or not. Spec §11.",
    );
    line(out, DERIVES);
    line(
        out,
        "pub enum ErrorClass {
            /// 1xx: send the same again, later.
            RetryLater,
            /// 2xx: send something else in its place.
            FixAndResend,
            /// 3xx: the rows are resolved; never send them again.
            Resolved,
            /// 4xx: the session has ended.
            SessionOver,
            /// 9xx: by private agreement.
            Private,
            /// Any other number.
            Unknown,
        }
        ",
    );
}

fn codes(out: &mut String, name: &str, doc: &str, codes: &[Code]) {
    let entries: Vec<_> = codes
        .iter()
        .map(|code| Entry { code: code.code, name: &code.name, doc: sentence(&code.summary) })
        .collect();
    code_enum(out, name, doc, &entries);
}

fn bits(out: &mut String, name: &str, doc: &str, width: &str, bits: &[Bit]) {
    let _ = writeln!(out, "/// {doc}\npub mod {name} {{");
    for bit in bits {
        let spec =
            bit.section.as_ref().map_or(String::new(), |section| format!(" Spec §{section}."));
        let _ = writeln!(out, "/// {}{spec}", sentence(&bit.summary));
        let _ = writeln!(out, "pub const {}: {width} = {:#x};", bit.name, bit.bit);
    }
    let names: Vec<_> = bits.iter().map(|bit| bit.name.as_str()).collect();
    let _ = writeln!(out, "\n/// Every bit that has a meaning.");
    let _ = writeln!(out, "pub const ALL: {width} = {};", names.join(" | "));
    let _ = writeln!(out, "\n/// Each bit and its name.");
    let _ = writeln!(out, "pub const NAMES: &[({width}, &str)] = &[");
    for name in names {
        let _ = writeln!(out, "({name}, {name:?}),");
    }
    line(out, "]; }\n");
}

fn limits(out: &mut String, registry: &Registry) {
    for limit in &registry.limit {
        // What counts things in memory is a usize; row numbers and seconds have their wire width.
        let width = if matches!(limit.unit.as_str(), "row number" | "s") { "u32" } else { "usize" };
        let unit = match limit.unit.as_str() {
            "B" => " In bytes.",
            "s" => " In seconds.",
            _ => "", // The others count what the summary names.
        };
        let _ = writeln!(out, "/// {}{unit} Spec §{}.", sentence(&limit.summary), limit.section);
        let _ = writeln!(out, "pub const {}: {width} = {};\n", limit.name, grouped(limit.value));
    }
}

fn units(out: &mut String, registry: &Registry) {
    line(out, "/// SenML units, each with what it means. Spec §4.2.");
    line(out, "pub static UNITS: &[(&str, &str)] = &[");
    for unit in &registry.unit {
        let _ = writeln!(out, "({:?}, {:?}),", unit.symbol, unit.summary);
    }
    line(out, "];");
}

/// One variant of a generated enum.
struct Entry<'a> {
    code: u8,
    name: &'a str,
    doc: String,
}

/// An enum with its codes and names.
fn code_enum(out: &mut String, name: &str, doc: &str, entries: &[Entry<'_>]) {
    let _ = writeln!(out, "/// {doc}\n#[repr(u8)]\n{DERIVES}\npub enum {name} {{");
    for entry in entries {
        let _ = writeln!(out, "/// {}\n{} = {:#04X},", entry.doc, camel(entry.name), entry.code);
    }
    let _ = writeln!(out, "}}\n\nimpl {name} {{");
    line(out, "/// Every entry, in the order of the registry.\npub const ALL: &[Self] = &[");
    for entry in entries {
        let _ = writeln!(out, "Self::{},", camel(entry.name));
    }
    line(out, "];\n\n/// The entry with this code, if there is one.");
    line(out, "pub const fn from_code(code: u8) -> Option<Self> { match code {");
    for entry in entries {
        let _ = writeln!(out, "{:#04X} => Some(Self::{}),", entry.code, camel(entry.name));
    }
    line(out, "_ => None, } }\n\n/// The code on the wire.");
    line(out, "pub const fn code(self) -> u8 { self as u8 }");
    line(out, "\n/// The name in the registry.");
    line(out, "pub const fn name(self) -> &'static str { match self {");
    for entry in entries {
        let _ = writeln!(out, "Self::{} => {:?},", camel(entry.name), entry.name);
    }
    line(out, "} } }\n");
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// `TIME_REQ` is `TimeReq`.
fn camel(name: &str) -> String {
    let mut out = String::new();
    for word in name.split('_') {
        let (first, rest) = word.split_at(1);
        out.push_str(&first.to_uppercase());
        out.push_str(&rest.to_lowercase());
    }
    out
}

/// A summary as a sentence of documentation.
fn sentence(summary: &str) -> String {
    let capital = match summary.split_at_checked(1) {
        // `u8 length ..` and `i64, ..` name a type; `HELLO.max_msg` has its capital.
        Some((first, rest)) if !rest.starts_with(|next: char| next.is_ascii_digit()) => {
            first.to_uppercase() + rest
        }
        _ => summary.to_owned(),
    };
    format!("{}.", capital.replace('[', "\\[").replace('<', "\\<"))
}

/// 16384 is `16_384`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

/// What `cargo fmt` would make of it, so that both agree.
fn format(code: &str) -> anyhow::Result<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start rustfmt")?;
    let mut input = rustfmt.stdin.take().context("rustfmt has no standard input")?;
    input.write_all(code.as_bytes()).context("write to rustfmt")?;
    drop(input);
    let output = rustfmt.wait_with_output().context("read from rustfmt")?;
    ensure!(output.status.success(), "rustfmt: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
