//! From lines to the outlet: the part that CSV and NDJSON share.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout_at};

use super::lines::{self, Line, Lines};
use super::outlet::{Outlet, Over, Sent};
use super::pace::Pacer;
use super::shape::{Column, Row, Shapes};
use super::stop::Stop;
use super::when::PLAUSIBLE_FROM_US;

/// How long after the first line of a pipe its next ones are waited for, before types are guessed from them.
const HEAD_WAIT: Duration = Duration::from_millis(250);
/// Times further ahead are dated on arrival. Specification 13.2.
const FUTURE_US: i64 = 86_400_000_000;

/// A file, or standard input.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Stdin,
    File(PathBuf),
}

/// Turns lines into rows.
pub(super) trait Translate {
    /// Takes a line; `found` gets each row that is whole now, or why it is none, and the number of its first line.
    fn take(&mut self, line: Line, found: &mut Vec<(u64, Result<Row, String>)>);

    /// No more lines.
    fn end(&mut self, found: &mut Vec<(u64, Result<Row, String>)>);

    /// The channels so far.
    fn columns(&self) -> &[Column];
}

/// What bounds a run.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) stop: Stop,
    /// Rows.
    pub(super) count: Option<u64>,
}

impl Input {
    /// Reads `-` or a path.
    pub(super) fn new(path: &Path) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::File(path.to_owned()) }
    }

    /// For people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// The file, if it can be read twice: no pipe, no terminal.
    pub(super) fn open_again(&self) -> anyhow::Result<Option<Lines<BufReader<File>>>> {
        let Self::File(path) = self else { return Ok(None) };
        let open = || format!("open {}", path.display());
        // Whoever writes to a named pipe must not see a reader that goes.
        let kind = std::fs::metadata(path).with_context(open)?;
        anyhow::ensure!(!kind.is_dir(), "{} is a directory: say which file", path.display());
        anyhow::ensure!(!kind.is_file() || kind.len() > 0, "{} is empty", path.display());
        let file = kind.is_file().then(|| File::open(path)).transpose().with_context(open)?;
        Ok(file.map(|file| Lines::new(BufReader::new(file))))
    }

    /// Begins to read it, on a thread.
    pub(super) fn start(&self) -> anyhow::Result<mpsc::Receiver<io::Result<Line>>> {
        let input: Box<dyn BufRead + Send> = match self {
            Self::Stdin => Box::new(BufReader::new(io::stdin())),
            Self::File(path) => {
                let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
                Box::new(BufReader::new(file))
            }
        };
        lines::spawn(input).context("start a thread")
    }
}

/// The first lines: `most` of them, or what came within a moment of the first, or all.
pub(super) async fn head(
    lines: &mut mpsc::Receiver<io::Result<Line>>,
    most: usize,
    stop: &mut Stop,
) -> io::Result<(VecDeque<Line>, bool)> {
    let mut head = VecDeque::new();
    let first = tokio::select! {
        first = lines.recv() => first,
        () = stop.wait() => None,
    };
    let deadline = tokio::time::Instant::now() + HEAD_WAIT;
    let mut next = first;
    while let Some(line) = next {
        head.push_back(line?);
        if head.len() >= most {
            return Ok((head, false));
        }
        match timeout_at(deadline, lines.recv()).await {
            Ok(line) => next = line,
            Err(_) => return Ok((head, false)),
        }
    }
    Ok((head, true))
}

/// Sends what the lines say. Returns why it ended before they did.
pub(super) async fn run(
    name: &str,
    mut head: VecDeque<Line>,
    lines: &mut mpsc::Receiver<io::Result<Line>>,
    translate: &mut impl Translate,
    route: &mut Route<'_>,
) -> anyhow::Result<Option<Over>> {
    let mut found = Vec::new();
    loop {
        let line = match head.pop_front() {
            Some(line) => Some(line),
            None => tokio::select! {
                biased;
                () = route.bounds.stop.wait() => return Ok(Some(Over::Stopped)),
                line = lines.recv() => line.transpose().with_context(|| format!("read {name}"))?,
            },
        };
        let is_end = line.is_none();
        match line {
            Some(line) => translate.take(line, &mut found),
            None => translate.end(&mut found),
        }
        for (line, row) in found.drain(..) {
            if let Some(over) = route.pass(name, line, row, translate.columns()).await {
                return Ok(over.into());
            }
            if route.bounds.count.is_some_and(|count| route.outlet.figures.sent >= count) {
                return Ok(None);
            }
        }
        if is_end {
            return Ok(None);
        }
    }
}

/// Where rows go, and when.
pub(super) struct Route<'r> {
    pub(super) outlet: &'r mut Outlet,
    pub(super) shapes: Shapes,
    pub(super) pacer: Pacer,
    pub(super) bounds: Bounds,
    /// Rows whose time the collector won't believe.
    pub(super) implausible: u64,
}

impl Route<'_> {
    /// One row, or one bad line.
    async fn pass(
        &mut self,
        name: &str,
        line: u64,
        row: Result<Row, String>,
        columns: &[Column],
    ) -> Option<Over> {
        self.outlet.figures.read += 1;
        let time_us = row.as_ref().ok().and_then(|row| row.time_us);
        if let Some(due) = self.pacer.due(time_us).filter(|_| row.is_ok()) {
            tokio::select! {
                biased;
                () = self.bounds.stop.wait() => {}
                () = sleep_until(due) => {}
            }
        }
        if self.bounds.stop.cause().is_some() {
            self.outlet.figures.read -= 1;
            return Some(Over::Stopped);
        }
        let made = row.and_then(|row| self.shapes.sample(&self.outlet.client, columns, row));
        let why = match made {
            Err(why) => why,
            Ok((schema, sample)) => match self.outlet.send(line, &schema, &sample).await {
                Sent::Queued => {
                    self.note_time(name, line, time_us);
                    return None;
                }
                Sent::Over(over) => return Some(over),
                Sent::Bad(why) => why,
            },
        };
        self.outlet.figures.bad += 1;
        eprintln!("senda: {name}: line {line}: {why}");
        None
    }

    fn note_time(&mut self, name: &str, line: u64, time_us: Option<i64>) {
        let Some(time_us) = time_us else { return };
        let latest = jiff::Timestamp::now().as_microsecond().saturating_add(FUTURE_US);
        if (PLAUSIBLE_FROM_US..=latest).contains(&time_us) {
            return;
        }
        if self.implausible == 0 {
            eprintln!(
                "senda: {name}: line {line}: {} is before 2000 or more than a day ahead: the collector keeps it as \
                 device_time, and dates the row on its arrival; so it does with further ones",
                senda_server::json::time(time_us)
            );
        }
        self.implausible += 1;
    }
}

/// A value for a message: not all of a long one.
pub(super) fn short(text: &str) -> String {
    const SHOWN: usize = 40;
    let cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() { format!("{cut:?}...") } else { format!("{cut:?}") }
}
