//! What goes by, one line a message, written by a thread of its own: a slow reader never slows the traffic.

use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use senda_session::Instant;
use senda_sim::faults::Fate;
use senda_wire::{Frame, FrameError};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::counts::Counts;
use super::{Format, Held};
use crate::show::{self, Schemas};

/// Things that may wait to be printed; what comes beyond is left out and counted.
const WAITING_MAX: usize = 4_096;
/// Fields of one message on its line.
const FIELDS_MAX: usize = 64;
/// Bytes that are shown of what is no message.
const HEX_MAX: usize = 16;

/// Which way something goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// To the collector.
    Up,
    /// To the device.
    Down,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// Whose traffic it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) transport: Transport,
    pub(super) address: SocketAddr,
    /// Its number among the clients of this transport, from 0: with the seed it decides the faults.
    pub(super) number: u32,
}

/// A datagram, or a message of a stream, and what becomes of it.
#[derive(Debug)]
pub(super) struct Passing {
    pub(super) at: Instant,
    pub(super) client: Client,
    pub(super) way: Way,
    /// Of this client and direction, from 1.
    pub(super) number: u64,
    pub(super) fate: Fate,
    pub(super) held: Arc<Held>,
}

/// Something that happened to a client. `event` is for programs.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) at: Instant,
    pub(super) transport: Transport,
    pub(super) client: SocketAddr,
    pub(super) event: &'static str,
    pub(super) text: String,
}

enum Entry {
    Passing(Passing),
    Note(Note),
    End { counts: Counts, tcp: bool, udp: bool },
}

/// The way to the printing thread.
pub(super) struct Output {
    entries: Mutex<Option<SyncSender<Entry>>>,
    quiet: bool,
    left_out: Arc<AtomicU64>,
    closed: Arc<Notify>,
}

impl Output {
    /// Starts the thread, which ends after [`Output::finish`] or when nobody reads standard output.
    pub(super) fn start(
        format: Format,
        quiet: bool,
    ) -> anyhow::Result<(Self, JoinHandle<io::Result<()>>)> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let (left_out, closed) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let mut printer = Printer {
            format,
            schemas: Schemas::default(),
            left_out: Arc::clone(&left_out),
            said_left_out: 0,
        };
        let over = Arc::clone(&closed);
        let print = move || {
            let printed = printer.run(&receiver, &mut BufWriter::new(io::stdout()));
            over.notify_one();
            printed
        };
        let thread = std::thread::Builder::new().name("output".into()).spawn(print);
        let entries = Mutex::new(Some(sender));
        Ok((Self { entries, quiet, left_out, closed }, thread.context("start a thread")?))
    }

    pub(super) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Shows what goes by.
    pub(super) fn passing(&self, passing: Passing) {
        self.push(Entry::Passing(passing));
    }

    /// Shows what happened.
    pub(super) fn note(&self, note: Note) {
        self.push(Entry::Note(note));
    }

    /// Counts a line that could not even be made.
    pub(super) fn leave_out(&self) {
        if !self.quiet {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns when nobody reads standard output any more.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Has everything printed that waits, then the counts; after that nothing.
    pub(super) fn finish(&self, mut counts: Counts, tcp: bool, udp: bool) {
        let sender = self.entries.lock().unwrap_or_else(PoisonError::into_inner).take();
        counts.left_out = self.left_out.load(Ordering::Relaxed);
        if let Some(sender) = sender {
            // It fails when the thread is gone, which says why by itself.
            let _ = sender.send(Entry::End { counts, tcp, udp });
        }
    }

    fn push(&self, entry: Entry) {
        if self.quiet {
            return;
        }
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*entries
            && let Err(TrySendError::Full(_)) = sender.try_send(entry)
        {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The thread's own.
struct Printer {
    format: Format,
    schemas: Schemas,
    left_out: Arc<AtomicU64>,
    said_left_out: u64,
}

impl Printer {
    fn run(&mut self, entries: &Receiver<Entry>, out: &mut impl Write) -> io::Result<()> {
        loop {
            let entry = match entries.try_recv() {
                Ok(entry) => entry,
                Err(TryRecvError::Disconnected) => return out.flush(),
                Err(TryRecvError::Empty) => {
                    out.flush()?; // Nothing waits: show what there is.
                    match entries.recv() {
                        Ok(entry) => entry,
                        Err(_) => return Ok(()),
                    }
                }
            };
            match entry {
                Entry::Passing(passing) => self.passing(&passing, out)?,
                Entry::Note(note) => self.note(&note, out)?,
                Entry::End { counts, tcp, udp } => match self.format {
                    Format::Text => write!(out, "{}", counts.table(tcp, udp))?,
                    Format::Json => writeln!(out, "{}", counts.json(tcp, udp))?,
                },
            }
            self.say_left_out(out)?;
        }
    }

    /// A line for each message of a datagram.
    fn passing(&mut self, passing: &Passing, out: &mut impl Write) -> io::Result<()> {
        let bytes = &passing.held.bytes;
        let mut offset = 0;
        loop {
            let rest = &bytes[offset..];
            match Frame::decode_datagram(rest) {
                Ok(frame) => {
                    self.schemas.learn(&frame);
                    self.message(passing, &frame, offset, out)?;
                    offset += frame.bytes.len();
                }
                Err(error) => {
                    self.no_message(passing, rest, offset, error, out)?;
                    return Ok(());
                }
            }
            if offset == bytes.len() {
                return Ok(());
            }
        }
    }

    fn message(
        &self,
        passing: &Passing,
        frame: &Frame<'_>,
        offset: usize,
        out: &mut impl Write,
    ) -> io::Result<()> {
        match self.format {
            Format::Text => {
                let text = show::one_line(frame, &self.schemas, FIELDS_MAX);
                writeln!(out, "{} {text}", beginning(passing))
            }
            Format::Json => {
                let (name, section) = show::title(frame);
                let mut fields = Vec::new();
                let schema = self.schemas.of(frame, None);
                let wrong = show::visit(frame, schema.as_ref(), &mut |visit| {
                    fields.push(show::json(visit));
                });
                let mut object = object(passing);
                object["type"] = name.into();
                object["section"] = section.into();
                object["offset"] = offset.into();
                object["length"] = frame.bytes.len().into();
                object["fields"] = fields.into();
                object["error"] = wrong.map(|wrong| wrong.to_string()).into();
                writeln!(out, "{object}")
            }
        }
    }

    fn no_message(
        &self,
        passing: &Passing,
        rest: &[u8],
        offset: usize,
        error: FrameError,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let (name, section) = (error.name(), error.section());
        let hex: Vec<String> =
            rest.iter().take(HEX_MAX).map(|byte| format!("{byte:02x}")).collect();
        let more = if rest.len() > HEX_MAX { " .." } else { "" };
        let hex = hex.join(" ") + more;
        match self.format {
            Format::Text => writeln!(
                out,
                "{} {} bytes, no message: {error} ({name}, §{section}): {hex}",
                beginning(passing),
                rest.len()
            ),
            Format::Json => {
                let mut object = object(passing);
                object["type"] = Value::Null;
                object["section"] = section.into();
                object["offset"] = offset.into();
                object["length"] = rest.len().into();
                object["hex"] = hex.into();
                object["name"] = name.into();
                object["error"] = error.to_string().into();
                writeln!(out, "{object}")
            }
        }
    }

    fn note(&self, note: &Note, out: &mut impl Write) -> io::Result<()> {
        let transport = note.transport.name();
        match self.format {
            Format::Text => {
                writeln!(out, "{} -- {transport} {} {}", clock(note.at), note.client, note.text)
            }
            Format::Json => {
                let note = json!({
                    "t": seconds(note.at), "transport": transport, "client": note.client,
                    "event": note.event, "text": note.text,
                });
                writeln!(out, "{note}")
            }
        }
    }

    fn say_left_out(&mut self, out: &mut impl Write) -> io::Result<()> {
        let left_out = self.left_out.load(Ordering::Relaxed);
        let new = left_out - self.said_left_out;
        if new == 0 {
            return Ok(());
        }
        self.said_left_out = left_out;
        match self.format {
            Format::Text => writeln!(out, "... {new} lines left out: nobody read them in time"),
            Format::Json => writeln!(out, "{}", json!({ "left_out": new })),
        }
    }
}

/// What stands before the message: when, which way, whose, which one, and what becomes of it.
fn beginning(passing: &Passing) -> String {
    let Passing { at, client, way, number, fate, .. } = passing;
    let gone = !matches!(fate, Fate::Arrives { .. });
    let arrow = match (way, gone) {
        (Way::Up, false) => "->",
        (Way::Up, true) => "-x",
        (Way::Down, false) => "<-",
        (Way::Down, true) => "x-",
    };
    let (transport, address) = (client.transport.name(), client.address);
    let mut text = format!("{} {arrow} {transport} {address} #{number}", clock(*at));
    match fate {
        Fate::Lost => text += " lost",
        Fate::Overflowed => text += " lost in a full queue",
        Fate::Arrives { at: arrival, held_back, copy } => {
            let delay = millis(*arrival, *at);
            if delay > 0.0 {
                text += &format!(" +{delay}ms");
            }
            if *held_back {
                text += " held back";
            }
            if let Some(copy) = copy {
                text += &format!(" twice (+{}ms)", millis(*copy, *at));
            }
        }
    }
    text
}

fn object(passing: &Passing) -> Value {
    let Passing { at, client, way, number, fate, .. } = passing;
    let mut object = json!({
        "t": seconds(*at),
        "direction": match way { Way::Up => "up", Way::Down => "down" },
        "transport": client.transport.name(),
        "client": client.address,
        "client_number": client.number,
        "number": number,
    });
    match fate {
        Fate::Lost => object["fate"] = "lost".into(),
        Fate::Overflowed => object["fate"] = "overflowed".into(),
        Fate::Arrives { at: arrival, held_back, copy } => {
            object["fate"] = "forwarded".into();
            object["delay_ms"] = millis(*arrival, *at).into();
            object["held_back"] = (*held_back).into();
            object["copy_delay_ms"] = copy.map(|copy| millis(copy, *at)).into();
        }
    }
    object
}

impl Transport {
    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Seconds since the proxy began, as a column.
fn clock(at: Instant) -> String {
    format!("{:>11.6}", seconds(at))
}

fn seconds(at: Instant) -> f64 {
    micros(at.since(Instant(0))) / 1e6
}

fn millis(later: Instant, earlier: Instant) -> f64 {
    micros(later.since(earlier)) / 1e3
}

/// Divided only after this, so that 2829 µs are 2.829 ms and not a digit of noise more.
#[expect(clippy::cast_precision_loss, reason = "below 2^53 for 285 years")]
const fn micros(duration: Duration) -> f64 {
    duration.as_micros() as f64
}
