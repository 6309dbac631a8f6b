//! A collector on a virtual disk, the devices that it answers, and what has to be true of it after every crash.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use senda_disk::{Disk, Vfs};
use senda_store::{
    Cell, Checkpointer, FaultHook, OpenError, Options, Outcome, Query, Reader, StreamState, Writer,
};

use crate::devices::{
    Act, Fate, Message, NOW, RETENTION, Rows, SECOND, STREAMS, declarations, event, fate, is_old,
    rows_of,
};

const DIR: &str = "/data";

/// A process that runs until the power goes.
pub(crate) struct Collector {
    vfs: Vfs,
    pub(crate) writer: Writer,
    checkpointer: Option<Checkpointer>,
    pub(crate) now: i64,
    /// What devices were told, by verdicts and by WELCOME, that it is on the disk.
    pub(crate) acked: Rows,
    /// What has to be sent again.
    unanswered: Vec<Message>,
    pub(crate) failures: usize,
}

/// How the store is opened.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) has_checkpointer: bool,
    pub(crate) fault: FaultHook,
}

impl Collector {
    /// Opens the store, at `now`.
    pub(crate) fn open(disk: &Disk, setup: &Setup, now: i64) -> Result<Self, OpenError> {
        let vfs = disk.register();
        let options = Options {
            checkpoint_pages: 12,
            filing_delay: 0,
            retention: RETENTION,
            vfs: Some(vfs.name().to_owned()),
            fault: setup.fault.clone(),
            ..Options::default()
        };
        let writer = Writer::open(Path::new(DIR), options, now)?;
        let checkpointer = if setup.has_checkpointer { Some(writer.checkpointer()?) } else { None };
        let (acked, unanswered) = (Rows::new(), Vec::new());
        Ok(Self { vfs, writer, checkpointer, now, acked, unanswered, failures: 0 })
    }

    /// Does what the history says. Devices send again what was not answered.
    pub(crate) fn play(&mut self, act: &Act) {
        self.now += SECOND;
        // The clock of the store's owner; a failure shows in the next landing.
        match act {
            Act::Land(batch) => self.land(batch),
            Act::File(rows) => drop(self.writer.file(self.now, *rows)),
            Act::Retain => drop(self.writer.retain(self.now, 5)),
            Act::Checkpoint => {
                if let Some(checkpointer) = &mut self.checkpointer {
                    drop(checkpointer.run());
                }
            }
        }
    }

    /// Every device opens a session, is told what is there, and sends what is new and what is unanswered.
    fn land(&mut self, new: &[Message]) {
        let mut batch = std::mem::take(&mut self.unanswered);
        batch.extend(new);
        for stream in 0..STREAMS.len() {
            if let Ok(state) = self.state(stream) {
                self.acked.entry(stream).or_default().extend(resolved(&state));
            }
        }
        let sessions: BTreeSet<usize> = batch.iter().map(|message| message.stream).collect();
        let mut landings = vec![event(self.now)];
        landings.extend(sessions.iter().flat_map(|stream| declarations(*stream, self.now)));
        let others = landings.len();
        landings.extend(batch.iter().map(|message| message.landing(self.now)));
        let verdicts = self.writer.land(&landings, self.now);
        for (message, verdict) in batch.into_iter().zip(&verdicts[others..]) {
            if let Outcome::Failed(_) = verdict.outcome {
                self.failures += 1;
                self.unanswered.push(message);
                continue;
            }
            assert!(verdict.outcome.is_durable(), "{message:?}: {:?}", verdict.outcome);
            let acked = self.acked.entry(message.stream).or_default();
            acked.extend(message.rows());
            acked.extend(0..verdict.next_row);
            acked.extend(verdict.ranges.iter().flat_map(|range| range.start..range.end));
        }
    }

    fn state(&mut self, stream: usize) -> Result<StreamState, senda_store::StoreError> {
        let (device, id) = STREAMS[stream];
        self.writer.stream(device, id, self.now)
    }

    /// True when devices wait for an answer.
    pub(crate) fn is_behind(&self) -> bool {
        !self.unanswered.is_empty()
    }
}

/// What is wrong with a store after a crash: `Err` says it.
pub(crate) type Judgement = Result<(), String>;

/// What a crash has left: all that was acknowledged, nothing that was not sent, each row once.
pub(crate) fn judge(disk: &Disk, acked: &Rows, offered: &Rows) -> Judgement {
    let mut collector = reopen(disk)?;
    let reader = reader(&collector);
    judge_rows(&mut collector, &reader, acked, offered)
}

/// As [`judge`]; then the whole history is landed again, as devices would, and compared with what they made.
pub(crate) fn judge_all(disk: &Disk, acked: &Rows, offered: &Rows, history: &[Act]) -> Judgement {
    let mut collector = reopen(disk)?;
    let reader = reader(&collector);
    judge_rows(&mut collector, &reader, acked, offered)?;
    for messages in all_messages(history).chunks(40) {
        collector.play(&Act::Land(messages.to_vec()));
    }
    collector.writer.file_all(collector.now).map_err(|error| format!("does not file: {error}"))?;
    if look(&mut collector, &reader)? != rows_of(history) {
        return Err("not all that was made is there in the end".into());
    }
    check_ledger(&reader, history)?;
    drop(reader);
    check_integrity(collector)
}

fn reopen(disk: &Disk) -> Result<Collector, String> {
    Collector::open(disk, &Setup::default(), NOW + 600 * SECOND)
        .map_err(|error| format!("does not open: {error}: {:?}", std::error::Error::source(&error)))
}

fn reader(collector: &Collector) -> Reader {
    Reader::open_on(Path::new(DIR), Some(collector.vfs.name())).expect("a store that is open")
}

fn judge_rows(
    collector: &mut Collector,
    reader: &Reader,
    acked: &Rows,
    offered: &Rows,
) -> Judgement {
    let found = look(collector, reader)?;
    for (stream, name) in STREAMS.iter().enumerate() {
        let of = |rows: &Rows| rows.get(&stream).cloned().unwrap_or_default();
        let lost: Vec<u32> = of(acked).difference(&of(&found)).copied().collect();
        if !lost.is_empty() {
            return Err(format!("{name:?} acknowledged and lost: {lost:?}"));
        }
        let invented: Vec<u32> = of(&found).difference(&of(offered)).copied().collect();
        if !invented.is_empty() {
            return Err(format!("{name:?} stored and never sent: {invented:?}"));
        }
    }
    Ok(())
}

/// The resolved rows, each of which must be there as it was made, exactly once, and nothing else.
fn look(collector: &mut Collector, reader: &Reader) -> Result<Rows, String> {
    let mut rows = Rows::new();
    for stream in 0..STREAMS.len() {
        let state = collector.state(stream).map_err(|error| format!("no marks: {error}"))?;
        rows.insert(stream, resolved(&state));
    }
    let samples = reader
        .query(&Query { limit: 100_000, ..Query::default() })
        .map_err(|error| format!("does not read: {error}"))?;
    let mut seen = Rows::new();
    for sample in &samples {
        let is_its =
            |(device, id): &(&str, u64)| *device == &*sample.device && *id == sample.stream;
        let stream = STREAMS.iter().position(is_its).ok_or("a stream of nobody")?;
        let row = u32::try_from(sample.row).map_err(|_| "a row number below zero")?;
        if !seen.entry(stream).or_default().insert(row) {
            return Err(format!("{stream}/{row} is there twice"));
        }
        let values: Vec<_> = sample.values.iter().flatten().cloned().map(Fate::Stored).collect();
        if values != [fate(stream, row)] {
            return Err(format!("{stream}/{row} is {values:?}"));
        }
    }
    for (stream, resolved) in &rows {
        let seen = seen.remove(stream).unwrap_or_default();
        let is_stored = |row: &u32| matches!(fate(*stream, *row), Fate::Stored(_));
        let expected: BTreeSet<u32> = resolved.iter().copied().filter(is_stored).collect();
        let differ = seen.symmetric_difference(&expected);
        let wrong: Vec<_> = differ.filter(|row| !is_old(*stream, **row)).collect();
        if !wrong.is_empty() || !seen.is_subset(&expected) {
            return Err(format!("{stream}: the marks say {resolved:?}, wrong are {wrong:?}"));
        }
    }
    Ok(rows)
}

fn all_messages(history: &[Act]) -> Vec<Message> {
    let messages = history.iter().filter_map(|act| match act {
        Act::Land(batch) => Some(batch),
        _ => None,
    });
    messages.flatten().copied().collect()
}

fn resolved(state: &StreamState) -> BTreeSet<u32> {
    (0..state.next_row)
        .chain(state.ranges.iter().flat_map(|range| range.start..range.end))
        .collect()
}

/// Spec §7.9, in the database alone.
fn check_ledger(reader: &Reader, history: &[Act]) -> Judgement {
    let text = |sql: &str| -> Result<Vec<i64>, String> {
        let answer = reader.sql(sql, 10).map_err(|error| format!("{sql}: {error}"))?;
        let cells = answer.rows.into_iter().flatten();
        Ok(cells.map(|cell| if let Cell::Integer(value) = cell { value } else { -1 }).collect())
    };
    for (stream, rows) in rows_of(history) {
        let count = |wanted: fn(&Fate) -> bool| {
            let rows = rows.iter().filter(|row| wanted(&fate(stream, **row)));
            i64::try_from(rows.count()).unwrap_or(i64::MAX)
        };
        let expected = [
            count(|_| true),
            count(|fate| matches!(fate, Fate::Stored(_))),
            count(|fate| matches!(fate, Fate::Refused)),
            count(|fate| matches!(fate, Fate::Skipped)),
        ];
        let id = STREAMS[stream].1;
        let found = text(&format!(
            "SELECT resolved, stored, refused, skipped FROM ledger WHERE stream = printf('%016x', {id})"
        ))?;
        if found != expected {
            return Err(format!("ledger of {stream}: {found:?} and not {expected:?}"));
        }
    }
    let twice = "SELECT count(*) - count(DISTINCT text) FROM events WHERE kind = 'probe'";
    let unfiled = "SELECT (SELECT count(*) FROM unreadable) + (SELECT count(*) FROM inbox)";
    match (&text(twice)?[..], &text(unfiled)?[..]) {
        ([0], [0]) => Ok(()),
        other => Err(format!("events that are there twice, unreadable or unfiled: {other:?}")),
    }
}

fn check_integrity(collector: Collector) -> Judgement {
    let Collector { vfs, writer, .. } = collector;
    drop(writer);
    let conn =
        Connection::open_with_flags_and_vfs("/data/senda.db", OpenFlags::default(), vfs.name())
            .map_err(|error| error.to_string())?;
    let said: String = conn
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(|error| error.to_string())?;
    if said == "ok" { Ok(()) } else { Err(format!("integrity: {said}")) }
}
