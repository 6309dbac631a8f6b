//! Messages, failures and notes, as text and as JSON.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::SocketAddr;

use senda_wire::{BodyError, Frame, FrameError, Sender, TypeError};
use serde_json::{Value, json};

use crate::schemas::{Collector, Identity, Schemas, schema_id};
use crate::show;

/// Fields of one message on its line.
const BRIEF_FIELDS_MAX: usize = 64;

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Format {
    /// One line a field
    Table,
    /// One line a message
    Brief,
    /// One JSON object a message
    Json,
}

/// When a packet was captured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Moment {
    /// Its number in the capture, from 1, as Wireshark counts.
    pub(super) frame: u64,
    /// Nanoseconds since the Unix epoch; some files do not say.
    pub(super) nanos: Option<i128>,
}

/// How a message travelled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// The packet that completed it.
    pub(super) moment: Moment,
    pub(super) is_tcp: bool,
    pub(super) src: SocketAddr,
    pub(super) dst: SocketAddr,
    /// Who sent it: from the port that a collector listens on, if one of the two is that.
    pub(super) by_port: Option<Sender>,
    /// Who sent it: from what was heard in this conversation before.
    pub(super) by_history: Option<Sender>,
}

impl Place {
    /// The type says who sends it; for types that both send, the port or the history does.
    pub(super) fn sender(&self, frame: &Frame<'_>) -> Option<Sender> {
        let (up, down) =
            (frame.known_type(Sender::Device).is_ok(), frame.known_type(Sender::Collector).is_ok());
        match (up, down) {
            (true, false) => Some(Sender::Device),
            (false, true) => Some(Sender::Collector),
            _ => self.by_port.or(self.by_history),
        }
    }

    /// The collector's end.
    pub(super) fn collector(&self, sender: Option<Sender>) -> Option<Collector> {
        let address = match sender? {
            Sender::Device => self.dst,
            Sender::Collector => self.src,
        };
        Some(Collector { is_tcp: self.is_tcp, address })
    }
}

/// Writes what was found, and notes whether anything was wrong with it.
pub(super) struct Printer<W> {
    out: W,
    format: Format,
    pub(super) schemas: Schemas,
    /// No message was malformed, and nothing that should be one was none.
    pub(super) good: bool,
}

/// What is wrong with a message, in the words of the specification.
struct Fault {
    name: &'static str,
    section: &'static str,
    text: String,
}

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, format: Format) -> Self {
        Self { out, format, schemas: Schemas::default(), good: true }
    }

    /// Shows a message, and learns from it. `offset` is where it begins: in the hex, the datagram or the connection.
    pub(super) fn message(
        &mut self,
        place: Option<&Place>,
        offset: u64,
        frame: &Frame<'_>,
    ) -> io::Result<()> {
        let sender = place.and_then(|place| place.sender(frame));
        let collector = place.and_then(|place| place.collector(sender));
        self.schemas.learn_at(frame, collector);
        let wrong_way = place.and_then(|place| frame.known_type(place.by_port?).err());
        let wrong_way = wrong_way.and_then(Fault::of_type);
        let shown = Shown { frame, place, sender, collector, offset };
        let fault = match self.format {
            Format::Table => self.table(&shown, wrong_way)?,
            Format::Brief => self.brief(&shown, wrong_way)?,
            Format::Json => self.json(&shown, wrong_way)?,
        };
        self.good &= fault.is_none();
        Ok(())
    }

    /// Shows bytes that should be a message and are none. `left` of them remain, this one included.
    pub(super) fn failure(
        &mut self,
        place: Option<&Place>,
        offset: u64,
        left: usize,
        error: FrameError,
    ) -> io::Result<()> {
        self.good = false;
        let fault = Fault { name: error.name(), section: error.section(), text: error.to_string() };
        if self.format == Format::Json {
            let mut object = header_json(place, None);
            object["offset"] = json!(offset);
            object["length"] = json!(left);
            object["error"] = fault.json();
            return writeln!(self.out, "{object}");
        }
        let Fault { name, section, text } = fault;
        let header = header_text(place, None);
        writeln!(
            self.out,
            "{header}no message at {offset} ({left} bytes left): {text} ({name}, §{section})"
        )
    }

    /// Says something about the capture that is no message, such as what is missing from it.
    pub(super) fn note(&mut self, place: &Place, note: &str) -> io::Result<()> {
        if self.format == Format::Json {
            let mut object = header_json(Some(place), None);
            object["note"] = json!(note);
            return writeln!(self.out, "{object}");
        }
        writeln!(self.out, "{}note: {note}", header_text(Some(place), None))
    }

    fn table(&mut self, shown: &Shown<'_>, fault: Option<Fault>) -> io::Result<Option<Fault>> {
        let Shown { frame, place, sender, collector, offset } = *shown;
        let (name, section) = show::title(frame);
        let mut header = header_text(place, sender);
        let _ = write!(header, "{name}, {} bytes at {offset}, §{section}", frame.bytes.len());
        if let Some(identity) = self.schemas.identity(frame.session, collector) {
            let _ = write!(header, ", of {}", identity.device);
        }
        writeln!(self.out, "{header}")?;
        let schema = self.schemas.of(frame, collector);
        let (mut lines, mut bad) = (String::new(), None);
        let wrong = show::visit(frame, schema.as_ref(), &mut |visit| {
            let field = frame.bytes.get(visit.offset..visit.offset + visit.len).unwrap_or_default();
            let show::Line { name, value } = show::line(visit);
            let bytes = hex(field, 8);
            let _ = writeln!(lines, "  {:>5}  {bytes:<24} {name:<20} {value}", visit.offset);
            bad = bad.take().or_else(|| Fault::of_value(visit));
        });
        self.out.write_all(lines.as_bytes())?;
        if schema.is_none()
            && let Some(id) = schema_id(frame)
        {
            writeln!(self.out, "  {}", no_schema(id))?;
        }
        let fault = fault.or_else(|| wrong.map(Fault::of_body)).or(bad);
        if let Some(Fault { name, section, text }) = &fault {
            writeln!(self.out, "  wrong: {text} ({name}, §{section})")?;
        }
        if place.is_some() {
            writeln!(self.out)?;
        }
        Ok(fault)
    }

    fn brief(&mut self, shown: &Shown<'_>, fault: Option<Fault>) -> io::Result<Option<Fault>> {
        let Shown { frame, place, sender, collector, .. } = *shown;
        let schema = self.schemas.of(frame, collector);
        let line = show::one_line_with(frame, schema.as_ref(), BRIEF_FIELDS_MAX);
        write!(self.out, "{}{line}", header_text(place, sender))?;
        if let Some(Fault { name, section, text }) = &fault {
            write!(self.out, " WRONG: {text} ({name}, §{section})")?;
        }
        writeln!(self.out)?;
        let mut bad = None;
        let wrong = show::visit(frame, schema.as_ref(), &mut |visit| {
            bad = bad.take().or_else(|| Fault::of_value(visit));
        });
        Ok(fault.or_else(|| wrong.map(Fault::of_body)).or(bad))
    }

    fn json(&mut self, shown: &Shown<'_>, fault: Option<Fault>) -> io::Result<Option<Fault>> {
        let Shown { frame, place, sender, collector, offset } = *shown;
        let (name, section) = show::title(frame);
        let schema = self.schemas.of(frame, collector);
        let (mut fields, mut bad) = (Vec::new(), None);
        let wrong = show::visit(frame, schema.as_ref(), &mut |visit| {
            fields.push(show::json(visit));
            bad = bad.take().or_else(|| Fault::of_value(visit));
        });
        let mut object = header_json(place, sender);
        if let Some(Identity { stream, device }) = self.schemas.identity(frame.session, collector) {
            object["device"] = json!(device);
            object["stream"] = json!(format!("{stream:016x}"));
        }
        object["type"] = json!(name);
        object["section"] = json!(section);
        object["offset"] = json!(offset);
        object["length"] = json!(frame.bytes.len());
        object["fields"] = Value::Array(fields);
        if let Some(id) = schema_id(frame) {
            object["schema"] = json!(schema.map(|schema| schema.name().as_str()));
            if schema.is_none() {
                object["note"] = json!(no_schema(id));
            }
        }
        let fault = fault.or_else(|| wrong.map(Fault::of_body)).or(bad);
        object["error"] = fault.as_ref().map_or(Value::Null, Fault::json);
        writeln!(self.out, "{object}")?;
        Ok(fault)
    }
}

/// A message and what is known about its way.
struct Shown<'a> {
    frame: &'a Frame<'a>,
    place: Option<&'a Place>,
    sender: Option<Sender>,
    collector: Option<Collector>,
    offset: u64,
}

impl Fault {
    fn of_body(error: BodyError) -> Self {
        Self { name: "bad_body", section: "5.26", text: error.to_string() }
    }

    /// A type that nobody knows is no fault: it is skipped by its length. Spec §5.25.
    fn of_type(error: TypeError) -> Option<Self> {
        let wrong_way = matches!(error, TypeError::WrongDirection { .. });
        wrong_way.then(|| Self { name: error.name(), section: "5.25", text: error.to_string() })
    }

    fn of_value(visit: &senda_wire::Visit<'_>) -> Option<Self> {
        let bad = matches!(visit.value, senda_wire::FieldValue::BadValue(_));
        let text = format!("`{}` is a value that its channel can't have", visit.name);
        bad.then_some(Self { name: "301", section: "4.3", text })
    }

    fn json(&self) -> Value {
        json!({ "name": self.name, "section": self.section, "text": self.text })
    }
}

fn no_schema(id: u32) -> String {
    format!("schema {id} of this stream is not known here, so rows are bytes (--schema {id}=HEX)")
}

/// What stands before a message of a capture; nothing where there is no capture.
fn header_text(place: Option<&Place>, sender: Option<Sender>) -> String {
    let Some(Place { moment, is_tcp, src, dst, .. }) = place else {
        return String::new();
    };
    let time = moment.nanos.map_or_else(|| "-".to_owned(), time);
    let transport = if *is_tcp { "tcp" } else { "udp" };
    // The arrow of a trace: up to the collector or down from it.
    let (left, arrow, right) = match sender {
        Some(Sender::Collector) => (dst, "<-", src),
        _ => (src, "->", dst),
    };
    format!("#{} {time} {transport} {left} {arrow} {right} ", moment.frame)
}

fn header_json(place: Option<&Place>, sender: Option<Sender>) -> Value {
    let Some(Place { moment, is_tcp, src, dst, .. }) = place else {
        return json!({});
    };
    let direction = sender.map(|sender| match sender {
        Sender::Device => "up",
        Sender::Collector => "down",
    });
    json!({
        "frame": moment.frame,
        "time": moment.nanos.map(time),
        "transport": if *is_tcp { "tcp" } else { "udp" },
        "src": src.to_string(),
        "dst": dst.to_string(),
        "direction": direction,
    })
}

/// RFC 3339 in UTC.
fn time(nanos: i128) -> String {
    jiff::Timestamp::from_nanosecond(nanos)
        .map_or_else(|_| format!("{nanos}ns"), |time| time.to_string())
}

/// Bytes as hex, at most `most` of them.
fn hex(bytes: &[u8], most: usize) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(most) {
        let _ = write!(text, "{byte:02x} ");
    }
    if bytes.len() > most {
        text.push_str("..");
    }
    text.trim_end().to_owned()
}
