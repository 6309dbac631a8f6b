//! Rows into the store, verdicts out of it.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use senda_struct::Value;
use senda_wire::List;

use super::counts::{Counters, RawCounts, add_one};
use super::misfit::Misfit;
use super::recipe::{Recipe, Record};
use super::reply::{Facts, Reply, Status};
use super::{Raw, RawError};
use crate::engine::utc_us;
use crate::settings::CurrentDesired;
use crate::store::Request;

/// What a device is told, and whether it has to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Told {
    pub(super) status: Status,
    pub(super) reply: Option<Vec<u8>>,
    /// Of a row that may not be on disk: which it is, so that it is the same one when it is tried again.
    pub(super) again: Option<RowId>,
}

/// A row's stream and number. Spec §2.1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct RowId {
    stream: u64,
    row: u32,
}

/// Whether a record is taken for the first time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    First,
    /// It could not be stored before; with the row as which it may be on disk after all.
    Again(Option<RowId>),
}

/// Called once, from any thread.
pub(super) type Answer = Box<dyn FnOnce(Told) + Send>;

/// One row on its way to the store.
pub(crate) struct RawLanding {
    pub(crate) device: Arc<str>,
    pub(crate) stream: u64,
    pub(crate) received_us: i64,
    /// Of a stream of which the store knows nothing yet: transport, software, schema.
    pub(crate) begin: Option<(&'static str, String, Vec<u8>)>,
    pub(crate) row: u32,
    /// The body of ROWS.
    pub(crate) body: Vec<u8>,
    pub(crate) done: Box<dyn FnOnce(RawVerdict) + Send>,
}

/// What the store says of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RawVerdict {
    /// On disk.
    Stored,
    /// Not now: it may be on disk, or not.
    Busy,
    /// Not as this row: its stream has too many gaps. Spec §7.2a.
    NoRange,
    /// Never: the store has as many schemas as it may.
    NoSchema,
}

/// The way in for the records of one listener, on all its sockets.
pub(super) struct Intake {
    name: String,
    recipe: Recipe,
    reply: Option<Reply>,
    /// Records with the same bytes are the same record.
    knows_repeats: bool,
    devices_max: usize,
    requests: Sender<Request>,
    desired: CurrentDesired,
    devices: Mutex<HashMap<Arc<str>, Known>>,
    hasher: RandomState,
    counters: Counters,
    kept: Mutex<Kept>,
}

/// A device, as long as the listener runs.
struct Known {
    stream: u64,
    next_row: u32,
    /// The store has the schema in this stream.
    begun: bool,
    /// The last records, by the hash of their bytes, the newest last.
    recent: VecDeque<Recent>,
}

struct Recent {
    hash: u64,
    row: RowId,
    state: RecentState,
    /// Who else asked while it was on its way.
    waiting: Vec<Answer>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RecentState {
    OnItsWay,
    Stored,
    /// The commit failed. After a sync that failed nobody knows whether it is on disk.
    Failed,
}

/// How many misfits this second has kept.
struct Kept {
    since: Instant,
    count: u32,
}

impl Intake {
    pub(super) fn new(
        config: Raw,
        requests: Sender<Request>,
        desired: CurrentDesired,
    ) -> Result<Self, RawError> {
        let (recipe, reply) = config.compile()?;
        Ok(Self {
            name: config.name,
            recipe,
            reply,
            knows_repeats: config.sequence.is_some(),
            devices_max: config.devices_max,
            requests,
            desired,
            devices: Mutex::default(),
            hasher: RandomState::new(),
            counters: Counters::default(),
            kept: Mutex::new(Kept { since: Instant::now(), count: 0 }),
        })
    }

    /// Bytes of a record.
    pub(super) fn record_size(&self) -> usize {
        self.recipe.format().size()
    }

    pub(super) fn format(&self) -> &str {
        self.recipe.format().text()
    }

    pub(super) fn reply_size(&self) -> Option<usize> {
        self.reply.as_ref().map(Reply::size)
    }

    pub(super) fn counts(&self) -> RawCounts {
        self.counters.read(self.devices().len())
    }

    pub(super) fn count_reply(&self, sent: bool) {
        add_one(if sent { &self.counters.replies } else { &self.counters.replies_failed });
    }

    /// Takes one record. `answer` is called when it is known what became of it: of a good one, after the commit.
    pub(super) fn take(
        self: &Arc<Self>,
        bytes: &[u8],
        peer: SocketAddr,
        transport: &'static str,
        turn: Turn,
        answer: Answer,
    ) {
        let again = match turn {
            Turn::First => {
                add_one(&self.counters.records);
                None
            }
            Turn::Again(row) => row,
        };
        match self.recipe.read(bytes, peer) {
            Ok(record) => {
                if let Err((misfit, answer)) = self.land(record, bytes, transport, again, answer) {
                    self.refuse(&misfit, bytes, peer, answer);
                }
            }
            Err(misfit) => self.refuse(&misfit, bytes, peer, answer),
        }
    }

    /// Bytes of which no record can be made, and nobody waits for an answer to them.
    pub(super) fn drop_bytes(&self, misfit: &Misfit, bytes: &[u8], peer: SocketAddr) {
        self.counters.add_misfit(misfit);
        tracing::debug!(listener = self.name, %peer, %misfit, "bytes that do not fit");
        if !self.may_keep() {
            return;
        }
        add_one(&self.counters.misfits_kept);
        let (listener, peer, reason) = (self.name.clone(), peer.to_string(), misfit.to_string());
        let (kind, len) = (misfit.kind(), bytes.len());
        let bytes = bytes[..len.min(KEPT_BYTES)].to_vec();
        let call = move |writer: &mut senda_store::Writer, now| {
            let misfit = senda_store::MisfitRecord {
                time: now,
                listener,
                peer,
                kind: kind.to_owned(),
                reason,
                len: len as u64,
                bytes,
            };
            if let Err(error) = writer.keep_misfit(&misfit) {
                tracing::warn!(%error, "bytes that did not fit could not be kept");
            }
        };
        // The store is gone only when the server stops.
        let _ = self.requests.send(Request::Call(Box::new(call)));
    }

    fn refuse(&self, misfit: &Misfit, bytes: &[u8], peer: SocketAddr, answer: Answer) {
        self.drop_bytes(misfit, bytes, peer);
        let values = self.recipe.format().unpack(bytes).ok();
        answer(self.told(Status::Refused, values.as_deref(), None));
    }

    /// Puts a row on its way, or answers a repetition.
    fn land(
        self: &Arc<Self>,
        record: Record,
        bytes: &[u8],
        transport: &'static str,
        again: Option<RowId>,
        answer: Answer,
    ) -> Result<(), (Misfit, Answer)> {
        let hash = self.hasher.hash_one(bytes);
        let mut devices = self.devices();
        let device: Arc<str> = match devices.get_key_value(&*record.device) {
            Some((device, _)) => device.clone(),
            None if devices.len() >= self.devices_max => {
                let misfit =
                    Misfit::TooManyDevices { device: record.device, most: self.devices_max };
                return Err((misfit, answer));
            }
            None => record.device.into(),
        };
        let known = devices.entry(device.clone()).or_insert_with(Known::new);
        let row = match known.recent(hash).filter(|_| self.knows_repeats) {
            Some(recent) if recent.state == RecentState::Stored => {
                drop(devices);
                add_one(&self.counters.repeated);
                answer(self.told(Status::Repeated, Some(&record.values), Some(&device)));
                return Ok(());
            }
            Some(recent) if recent.state == RecentState::OnItsWay => {
                add_one(&self.counters.repeated);
                recent.waiting.push(answer);
                return Ok(());
            }
            // If it is on disk after all, the store knows the row.
            Some(recent) => {
                recent.state = RecentState::OnItsWay;
                recent.row
            }
            None => again.unwrap_or_else(|| known.next()),
        };
        if self.knows_repeats && known.recent(hash).is_none() {
            known.remember(hash, row);
        }
        let is_known = known.begun && known.stream == row.stream;
        let begin = (!is_known)
            .then(|| (transport, format!("raw {}", self.name), self.recipe.description().to_vec()));
        let (this, its_device, values) = (self.clone(), device.clone(), record.values);
        let done = Box::new(move |verdict| {
            this.conclude(verdict, &its_device, (row, hash), &values, answer);
        });
        let landing = RawLanding {
            device,
            stream: row.stream,
            received_us: utc_us(),
            begin,
            row: row.row,
            body: record.body,
            done,
        };
        // Sent under the lock, so that rows come in the order of their numbers.
        let sent = self.requests.send(Request::Raw(landing));
        drop(devices);
        if let Err(std::sync::mpsc::SendError(Request::Raw(landing))) = sent {
            (landing.done)(RawVerdict::Busy); // The server stops.
        }
        Ok(())
    }

    /// The store has spoken.
    fn conclude(
        &self,
        verdict: RawVerdict,
        device: &Arc<str>,
        (row, hash): (RowId, u64),
        values: &[Value],
        answer: Answer,
    ) {
        let mut repetitions = Vec::new();
        if let Some(known) = self.devices().get_mut(device) {
            let is_stored = verdict == RawVerdict::Stored;
            if let Some(recent) = known.recent(hash).filter(|recent| recent.row == row) {
                repetitions = std::mem::take(&mut recent.waiting);
                recent.state = if is_stored { RecentState::Stored } else { RecentState::Failed };
            }
            known.conclude(row.stream, verdict);
        }
        let (first, others) = match verdict {
            RawVerdict::Stored => {
                add_one(&self.counters.stored);
                (Status::Stored, Status::Repeated)
            }
            RawVerdict::Busy | RawVerdict::NoRange => {
                add_one(&self.counters.busy);
                (Status::Busy, Status::Busy)
            }
            RawVerdict::NoSchema => {
                let limit = Misfit::Schema("it has as many schemas as it may".into());
                self.counters.add_misfit(&limit);
                (Status::Refused, Status::Refused)
            }
        };
        let again = (verdict == RawVerdict::Busy).then_some(row);
        answer(Told { again, ..self.told(first, Some(values), Some(device)) });
        for answer in repetitions {
            answer(self.told(others, Some(values), Some(device)));
        }
    }

    fn told(&self, status: Status, values: Option<&[Value]>, device: Option<&str>) -> Told {
        let reply = self.reply.as_ref().and_then(|reply| {
            let interval_ms =
                device.and_then(|device| self.interval(device)).unwrap_or(reply.interval_ms);
            let facts = Facts { status, now_us: utc_us(), interval_ms };
            match reply.pack(values, facts) {
                Ok(reply) => Some(reply),
                Err(error) => {
                    tracing::debug!(listener = self.name, %error, "a reply that has no form");
                    add_one(&self.counters.replies_failed);
                    None
                }
            }
        });
        Told { status, reply, again: None }
    }

    /// The interval that a device's settings ask for, in milliseconds. Spec §5.16.
    fn interval(&self, device: &str) -> Option<u32> {
        let desired = self.desired.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let list = List::decode(&desired.of(device)?.list).ok()?;
        match list.get("interval_ms")?.value {
            senda_wire::Value::U32(ms) => Some(ms),
            _ => None,
        }
    }

    /// Some each second, so that a flood of rubbish is counted and does not fill the disk.
    fn may_keep(&self) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.since.elapsed().as_secs() >= 1 {
            *kept = Kept { since: Instant::now(), count: 0 };
        }
        kept.count += 1;
        kept.count <= KEPT_A_SECOND
    }

    fn devices(&self) -> MutexGuard<'_, HashMap<Arc<str>, Known>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn new() -> Self {
        Self { stream: rand::random(), next_row: 0, begun: false, recent: VecDeque::new() }
    }

    /// The next row. Spec §2.3c.
    fn next(&mut self) -> RowId {
        if self.next_row == u32::MAX {
            self.begin_anew();
        }
        let row = self.next_row;
        self.next_row += 1;
        RowId { stream: self.stream, row }
    }

    fn begin_anew(&mut self) {
        (self.stream, self.next_row, self.begun) = (rand::random(), 0, false);
    }

    fn recent(&mut self, hash: u64) -> Option<&mut Recent> {
        self.recent.iter_mut().find(|recent| recent.hash == hash)
    }

    fn remember(&mut self, hash: u64, row: RowId) {
        // What is still on its way stays known: somebody may be waiting.
        while self.recent.len() >= RECENT_MAX
            && self.recent.front().is_some_and(|recent| recent.state != RecentState::OnItsWay)
        {
            self.recent.pop_front();
        }
        let (state, waiting) = (RecentState::OnItsWay, Vec::new());
        self.recent.push_back(Recent { hash, row, state, waiting });
    }

    /// A row of `stream` was stored, or not.
    fn conclude(&mut self, stream: u64, verdict: RawVerdict) {
        match verdict {
            RawVerdict::Stored => self.begun |= self.stream == stream,
            // Its gaps may never be filled: other rows go where there are none.
            RawVerdict::Busy if self.stream == stream => self.begin_anew(),
            // A stream for each record that the store refuses would fill it with streams of nothing.
            RawVerdict::Busy | RawVerdict::NoSchema => {}
            // Too many gaps: what is not stored there never will be. What is on its way hears of it by itself.
            RawVerdict::NoRange => self.recent.retain(|recent| {
                recent.row.stream != stream || recent.state != RecentState::Failed
            }),
        }
    }
}

/// Records of a device that are known again.
const RECENT_MAX: usize = 32;
/// Misfits of a listener that are kept each second; the others are counted.
const KEPT_A_SECOND: u32 = 20;
/// Bytes of a misfit that are kept.
const KEPT_BYTES: usize = 2_048;

#[cfg(test)]
mod tests;
