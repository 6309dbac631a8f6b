//! The lines of a journal. `docs/audit.md` has the format.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use senda_client::journal::JOURNAL_VERSION;
use serde::Deserialize;

/// The longest line that is read: the largest row, and its names.
const LINE_MAX: u64 = 1 << 20;

/// One line.
#[derive(Debug, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub(super) enum Line<'a> {
    /// A process goes on from here.
    Open { version: u32 },
    /// What rows of this schema hold.
    Schema { schema: &'a str, description: &'a str },
    /// A device began.
    Boot { device: &'a str, stream: &'a str },
    /// A row was made.
    Row {
        device: &'a str,
        stream: &'a str,
        row: u32,
        schema: &'a str,
        clock: &'a str,
        time_us: i64,
        #[serde(default)]
        sparse: bool,
        bytes: &'a str,
    },
    /// Rows are durable or resolved.
    Acked { device: &'a str, stream: &'a str, below: u32, rows: u64 },
    /// Rows were refused by the collector.
    Refused { device: &'a str, stream: &'a str, first: u32, count: u32, code: u16 },
    /// Rows were given up by the device.
    Dropped { device: &'a str, stream: &'a str, first: u32, count: u32, cause: &'a str },
    /// Rows got other numbers.
    Moved { device: &'a str, stream: &'a str, to: &'a str, runs: Vec<(u32, u32, u32)> },
}

/// A journal, as far as it was read.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) path: PathBuf,
    file: BufReader<File>,
    /// Where the next line begins.
    offset: u64,
    /// Lines that were read.
    pub(super) count: u64,
    /// Lines that a killed process left unfinished.
    pub(super) torn: u64,
    /// The line before was none: the next one has to be a new process.
    broken: Option<u64>,
}

impl Lines {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file =
            File::open(path).with_context(|| format!("open the journal {}", path.display()))?;
        let (path, file) = (path.to_owned(), BufReader::with_capacity(1 << 18, file));
        Ok(Self { path, file, offset: 0, count: 0, torn: 0, broken: None })
    }

    /// Hands out the whole lines that are there by now.
    pub(super) fn read(
        &mut self,
        mut take: impl FnMut(&Line<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut text = Vec::new();
        loop {
            text.clear();
            let read = (&mut self.file).take(LINE_MAX).read_until(b'\n', &mut text);
            let len = read.with_context(|| format!("read {}", self.path.display()))? as u64;
            if len == LINE_MAX {
                bail!("{}, line {}: too long for a journal", self.path.display(), self.count + 1);
            }
            if text.pop() != Some(b'\n') {
                // What is not whole yet is read again later.
                self.file.seek(SeekFrom::Start(self.offset))?;
                return Ok(());
            }
            self.offset += len;
            self.count += 1;
            self.take_line(&text, &mut take)?;
        }
    }

    fn take_line(
        &mut self,
        text: &[u8],
        take: &mut impl FnMut(&Line<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let place = |number: u64| format!("{}, line {number}", self.path.display());
        let line: Line<'_> = match serde_json::from_slice(text) {
            Ok(line) => line,
            // A process was killed in this line; it goes on with another one.
            Err(_) if self.broken.is_none() && self.count > 1 => {
                self.broken = Some(self.count);
                return Ok(());
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{}: no line of a journal", place(self.count)));
            }
        };
        let opens = matches!(line, Line::Open { .. });
        if let Some(broken) = self.broken.take() {
            if !opens {
                bail!("{}: no line of a journal", place(broken));
            }
            self.torn += 1;
        }
        if self.count == 1 && !opens {
            bail!("{}: does not begin as a journal does", place(1));
        }
        if let Line::Open { version } = line
            && version != JOURNAL_VERSION
        {
            bail!("{}: version {version}; this program knows {JOURNAL_VERSION}", place(self.count));
        }
        take(&line).with_context(|| place(self.count))
    }

    /// No more is read: a line that is not whole was torn.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        let len = self.file.get_ref().metadata()?.len();
        self.torn += u64::from(len > self.offset) + u64::from(self.broken.take().is_some());
        Ok(())
    }
}

/// Bytes from hexadecimal.
pub(super) fn unhex(text: &str, out: &mut Vec<u8>) -> anyhow::Result<()> {
    out.clear();
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => bail!("{:?} is no hexadecimal digit", char::from(byte)),
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        bail!("half a byte");
    }
    for &[high, low] in pairs {
        out.push(digit(high)? << 4 | digit(low)?);
    }
    Ok(())
}
