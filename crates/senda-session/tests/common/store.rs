//! A model of the store: what a collector has on its disk, in the plainest form that can be wrong in no interesting way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use senda_session::collector::{Event, Fate, Mark, Settings, StreamState, Token, Verdict, What};
use senda_wire::registry::RANGES_MAX;
use senda_wire::{ErrorCode, Frame, Message, MessageType, Presence, Range, Schema, TimeReq};

pub type Key = (Arc<str>, u64);

/// What is on disk, and the requests that are on their way to it.
#[derive(Default)]
pub struct Store {
    pub streams: BTreeMap<Key, Stream>,
    pub config: BTreeMap<String, Settings>,
    pub sent_commands: Vec<u32>,
    pub queue: VecDeque<Event>,
}

#[derive(Default)]
pub struct Stream {
    /// Ascending, apart from one another.
    resolved: Vec<Range>,
    /// Fields of each stored row, by number.
    pub rows: BTreeMap<u32, Vec<u8>>,
    pub refused: BTreeMap<u32, u16>,
    pub skipped: Vec<(Range, u8)>,
    pub counts: BTreeMap<u32, u64>,
    pub schemas: BTreeMap<u16, Vec<u8>>,
    pub unacked: Vec<u32>,
    pub clocks: usize,
    /// What the device last said of its clock.
    pub clock: Option<TimeReq>,
}

/// What the store answers, in order.
pub enum Answer {
    Verdict(Token, Verdict),
    Stream(Token, StreamState),
    Recorded(Token, bool),
}

impl Store {
    /// Makes the `count` oldest requests durable, or fails them.
    pub fn commit(&mut self, count: usize, works: bool) -> Vec<Answer> {
        let count = count.min(self.queue.len());
        let requests: Vec<Event> = self.queue.drain(..count).collect();
        requests.into_iter().filter_map(|request| self.answer(request, works)).collect()
    }

    fn answer(&mut self, request: Event, works: bool) -> Option<Answer> {
        match request {
            Event::Open { token, device, stream, .. } => {
                let config = self.config.get(&*device).cloned();
                let stream = self.streams.entry((device, stream)).or_default();
                let schemas = stream.schemas.iter().map(|(id, text)| (*id, text.clone())).collect();
                Some(Answer::Stream(token, StreamState { mark: stream.mark(), schemas, config }))
            }
            // The mark of a failed commit is rubbish on purpose: the engine must not look at it.
            Event::Land { token, .. } if !works => {
                let mark = Mark { next_row: u32::MAX, ranges: Vec::new() };
                Some(Answer::Verdict(
                    token,
                    Verdict { fate: Fate::Failed, mark, refused: Vec::new() },
                ))
            }
            Event::Land { token, device, stream, what, .. } => {
                let stream = self.streams.entry((device, stream)).or_default();
                let (fate, refused) = stream.land(what);
                Some(Answer::Verdict(token, Verdict { fate, mark: stream.mark(), refused }))
            }
            Event::Record { token, command_id, .. } => {
                if works {
                    self.sent_commands.push(command_id);
                }
                Some(Answer::Recorded(token, works))
            }
            _ => None,
        }
    }

    pub fn stream(&self, device: &str, stream: u64) -> Option<&Stream> {
        self.streams.get(&(device.into(), stream))
    }
}

impl Stream {
    pub fn mark(&self) -> Mark {
        match self.resolved.split_first() {
            Some((first, rest)) if first.start == 0 => {
                Mark { next_row: first.end, ranges: rest.to_vec() }
            }
            _ => Mark { next_row: 0, ranges: self.resolved.clone() },
        }
    }

    pub fn is_resolved(&self, row: u32) -> bool {
        self.resolved.iter().any(|range| (range.start..range.end).contains(&row))
    }

    fn land(&mut self, what: What) -> (Fate, Vec<(Range, u16)>) {
        match what {
            What::Declare { id, description } => (self.declare(id, description), Vec::new()),
            What::Rows { first, count, sparse, schema, body, refused } => {
                let Some(description) = self.schemas.get(&schema).cloned() else {
                    return (Fate::NoSchema, Vec::new());
                };
                let rows = read_rows(&description, sparse, first, &body);
                assert_eq!(rows.len(), usize::from(count), "what lands was checked before");
                let code = |index: &u16| refused.contains(index).then_some(ErrorCode::BAD_VALUE.0);
                let rows = (0..count).map(|index| (code(&index), rows[usize::from(index)].clone()));
                self.resolve(first, rows.collect())
            }
            What::Unreadable { first, count, .. } => {
                let rows = (0..count).map(|_| (Some(ErrorCode::BAD_BODY.0), Vec::new()));
                self.resolve(first, rows.collect())
            }
            What::Skip { first, count, cause } => self.skip(first, count, cause),
            What::Counts { row, made, .. } => {
                let fate = self.resolve(row, vec![(None, Vec::new())]).0;
                if fate == Fate::Stored {
                    self.rows.remove(&row);
                    self.counts.insert(row, made);
                }
                (fate, Vec::new())
            }
            What::Unacked { counter, .. } => {
                self.unacked.push(counter);
                (Fate::Stored, Vec::new())
            }
            What::Clock(clock) => {
                self.clock = Some(clock);
                self.clocks += 1;
                (Fate::Stored, Vec::new())
            }
        }
    }

    fn declare(&mut self, id: u16, description: Vec<u8>) -> Fate {
        match self.schemas.get(&id) {
            Some(known) if *known == description => Fate::Duplicate,
            Some(_) => Fate::Conflict,
            None => {
                self.schemas.insert(id, description);
                Fate::Stored
            }
        }
    }

    fn resolve(
        &mut self,
        first: u32,
        rows: Vec<(Option<u16>, Vec<u8>)>,
    ) -> (Fate, Vec<(Range, u16)>) {
        let end = first + u32::try_from(rows.len()).unwrap();
        let after = with(&self.resolved, Range { start: first, end });
        if above(&after) > RANGES_MAX {
            return (Fate::NoRange, Vec::new());
        }
        let mut fate = Fate::Duplicate;
        for (row, (code, fields)) in (first..end).zip(rows) {
            if self.is_resolved(row) {
                continue; // What is resolved first stays. Spec §2.4a.
            }
            fate = Fate::Stored;
            match code {
                Some(code) => drop(self.refused.insert(row, code)),
                None => drop(self.rows.insert(row, fields)),
            }
        }
        self.resolved = after;
        let refused = self.refused.range(first..end);
        let refused = refused.map(|(row, code)| (Range { start: *row, end: row + 1 }, *code));
        (fate, refused.collect())
    }

    fn skip(&mut self, first: u32, count: u32, cause: u8) -> (Fate, Vec<(Range, u16)>) {
        let range = Range { start: first, end: first + count };
        let after = with(&self.resolved, range);
        if above(&after) > RANGES_MAX {
            return (Fate::NoRange, Vec::new());
        }
        if after == self.resolved {
            return (Fate::Duplicate, Vec::new());
        }
        self.resolved = after;
        self.skipped.push((range, cause));
        (Fate::Stored, Vec::new())
    }
}

/// The union, merged.
fn with(ranges: &[Range], new: Range) -> Vec<Range> {
    let mut all = ranges.to_vec();
    all.push(new);
    all.sort();
    let mut merged: Vec<Range> = Vec::new();
    for range in all {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Ranges above the cumulative mark.
fn above(ranges: &[Range]) -> usize {
    ranges.iter().filter(|range| range.start > 0).count()
}

/// Bytes of the fields of each row.
fn read_rows(description: &[u8], sparse: bool, seq: u32, body: &[u8]) -> Vec<Vec<u8>> {
    let schema = Schema::decode(description).expect("schemas that land were checked");
    let kind = if sparse { MessageType::Sparse } else { MessageType::Rows };
    let frame = Frame { flags: 0, code: kind.code(), session: 1, seq, body, bytes: body };
    let Ok(Message::Rows(data) | Message::Sparse(data)) = Message::decode(&frame) else {
        panic!("bodies that land were checked");
    };
    let presence = if sparse { Presence::Bitmap } else { Presence::All };
    let mut rows = data.rows(&schema, presence).expect("limits were checked");
    let mut fields = Vec::new();
    while let Some(row) = rows.next_row().expect("layouts were checked") {
        fields.push(row.fields().to_vec());
    }
    fields
}
