//! A client's own record of what it made and what it was told, for `senda audit`. `docs/audit.md` has the format.
//!
//! One JSON object a line, appended by one write each, so that a process that is killed leaves at most a torn last line.
//! Any number of processes and devices may write to one file. A row is recorded before it can leave: what a collector has
//! and no journal knows was invented.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use senda_session::device::{Device, Event, NewStream};
use senda_wire::{Clock, Schema, crc32};

use crate::sample::unix_us;

/// Version of the format, in the first line of each process.
pub const JOURNAL_VERSION: u32 = 1;

/// A file that devices of this process write to. Clones share it.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    file: File,
    /// Descriptions that stand in the file already, by this process, and what they are called there.
    schemas: BTreeMap<Vec<u8>, String>,
    line: String,
    failure: Option<io::Error>,
}

impl Journal {
    /// Opens a journal, or goes on with one. `by` names the program and its version.
    ///
    /// # Errors
    /// The file can't be opened, read or written.
    pub fn open(path: &Path, by: &str) -> io::Result<Self> {
        let mut file = File::options().read(true).append(true).create(true).open(path)?;
        // A process that was killed may have left half a line: what follows must not become part of it.
        let line_end = if ends_torn(&mut file)? { "\n" } else { "" };
        let inner = Inner { file, schemas: BTreeMap::new(), line: String::new(), failure: None };
        let journal = Self(Arc::new(Mutex::new(inner)));
        let by: String =
            by.chars().filter(|c| c.is_ascii_graphic() && !"\"\\".contains(*c)).collect();
        let time_us = unix_us(SystemTime::now());
        let mut inner = journal.lock();
        inner.append(format_args!(
            r#"{line_end}{{"what":"open","version":{JOURNAL_VERSION},"by":"{by}","time_us":{time_us}}}"#
        ));
        let failure = inner.failure.take();
        drop(inner);
        match failure {
            Some(error) => Err(error),
            None => Ok(journal),
        }
    }

    /// Why the journal is not complete, if it is not: after a failed write nothing more is written.
    pub fn failure(&self) -> Option<String> {
        self.lock().failure.as_ref().map(ToString::to_string)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a row is, beside its number and bytes.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// The schema's description (spec 4.2).
    pub description: &'a [u8],
    /// By which clock.
    pub clock: Clock,
    /// Microseconds by that clock.
    pub time_us: i64,
    /// True for a row in SPARSE form, which begins with its presence bitmap.
    pub sparse: bool,
    /// The encoded row.
    pub bytes: &'a [u8],
}

/// The part of one device in a [`Journal`]: it follows the device from stream to stream.
///
/// Call [`DeviceJournal::made`] after each push and before the next `poll_transmit`, and [`DeviceJournal::heard`] for each
/// event, in order.
#[derive(Debug)]
pub struct DeviceJournal {
    journal: Journal,
    device: String,
    /// The stream that the next event is about.
    stream: u64,
}

impl DeviceJournal {
    /// A device begins, in this stream; its next row has the number `first`.
    pub fn begin(journal: &Journal, device: &str, stream: u64, first: u32) -> Self {
        let mut begun = Self { journal: journal.clone(), device: device.to_owned(), stream };
        begun.begins(stream, first);
        begun
    }

    /// The device goes on in another stream, in which no row has moved; the next one has the number `first`.
    pub fn begins(&mut self, stream: u64, first: u32) {
        let device = &self.device;
        self.journal.lock().append(format_args!(
            r#"{{"what":"boot","device":"{device}","stream":"{stream:016x}","first":{first}}}"#
        ));
        self.stream = stream;
    }

    /// The same, for a device that was just made.
    pub fn of(journal: &Journal, name: &str, device: &Device) -> Self {
        Self::begin(journal, name, device.stream(), device.next_row())
    }

    /// A row was queued in `stream` under the number `row`.
    pub fn made(&self, stream: u64, row: u32, made: &Made<'_>) {
        let device = &self.device;
        let mut journal = self.journal.lock();
        let schema = journal.schema(made.description);
        let (clock, time_us) = (made.clock.name().to_ascii_lowercase(), made.time_us);
        let sparse = if made.sparse { r#""sparse":true,"# } else { "" };
        let bytes = Hex(made.bytes);
        journal.append(format_args!(
            r#"{{"what":"row","device":"{device}","stream":"{stream:016x}","row":{row},"schema":"{schema}","clock":"{clock}","time_us":{time_us},{sparse}"bytes":"{bytes}"}}"#
        ));
    }

    /// The device was told something.
    pub fn heard(&mut self, event: &Event) {
        self.heard_of(self.stream, event);
        if let Event::NewStream(stream) = event {
            self.stream = stream.new;
        }
    }

    /// The same, of a stream that may be an old one which drains beside the live one.
    pub fn heard_of(&self, stream: u64, event: &Event) {
        let device = &self.device;
        let mut journal = self.journal.lock();
        let mut say = |what: &str, rest: std::fmt::Arguments<'_>| {
            journal.append(format_args!(
                r#"{{"what":"{what}","device":"{device}","stream":"{stream:016x}",{rest}}}"#
            ));
        };
        match event {
            Event::Acked(acked) => {
                let (below, rows) = (acked.mark, acked.rows);
                say("acked", format_args!(r#""below":{below},"rows":{rows}"#));
            }
            Event::Refused { first, count, code, .. } => {
                let code = code.0;
                say("refused", format_args!(r#""first":{first},"count":{count},"code":{code}"#));
            }
            Event::Dropped { first, count, cause } => {
                let cause = cause.name().to_ascii_lowercase();
                let rest = format_args!(r#""first":{first},"count":{count},"cause":"{cause}""#);
                say("dropped", rest);
            }
            Event::NewStream(NewStream { new, moved, .. }) => {
                let mut runs = String::new();
                for (first, count, to) in moved {
                    let comma = if runs.is_empty() { "" } else { "," };
                    // Writing to a String does not fail.
                    let _ = write!(runs, "{comma}[{first},{count},{to}]");
                }
                say("moved", format_args!(r#""to":"{new:016x}","runs":[{runs}]"#));
            }
            _ => {}
        }
    }
}

impl Inner {
    /// What a description is called in the file; it is written there before its first use.
    fn schema(&mut self, description: &[u8]) -> String {
        if let Some(known) = self.schemas.get(description) {
            return known.clone();
        }
        let crc = crc32(description);
        let name = Schema::decode(description).map_or("unknown", |schema| schema.name().as_str());
        let id = format!("{name}-{crc:08x}");
        let bytes = Hex(description);
        self.append(format_args!(r#"{{"what":"schema","schema":"{id}","description":"{bytes}"}}"#));
        self.schemas.insert(description.to_vec(), id.clone());
        id
    }

    /// One line, one write: the kernel appends it whole, whatever other processes append.
    fn append(&mut self, record: std::fmt::Arguments<'_>) {
        if self.failure.is_some() {
            return;
        }
        self.line.clear();
        let _ = writeln!(self.line, "{record}");
        if let Err(error) = self.file.write_all(self.line.as_bytes()) {
            tracing::warn!(%error, "the journal can't be written: it ends here");
            self.failure = Some(error);
        }
    }
}

/// Bytes in hexadecimal.
struct Hex<'a>(&'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether the last line has no end.
fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
