//! The one writer of a data directory: opens it, lands batches, and recovers when the disk fails.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, params};
use senda_wire::registry::SCHEMAS_MAX;
use senda_wire::{DeviceName, Range, Schema};

use crate::catalog::Catalog;
use crate::checkpoint::{Checkpointer, Log, Shared};
use crate::database;
use crate::dating::Undated;
use crate::filing::Run;
use crate::inbox::{BlobReader, BlobWriter, Item, Said, read_body};
use crate::options::Fault;
use crate::recovery::{Failure, describe};
use crate::retention::Sweep;
use crate::streams::Streams;
use crate::{Filing, Landing, OpenError, Options, Outcome, StoreError, Verdict, What};

/// The one writer of a data directory, which it locks. It is synchronous: the caller owns the thread.
///
/// Call [`Writer::land`] with all that is waiting, and between two of those, when [`Writer::inbox`] says that it is
/// time, [`Writer::file`] and [`Writer::retain`]. After a failure every call first tries to reopen the store, not more
/// often than its back-off allows; there is nothing else to do.
#[derive(Debug)]
pub struct Writer {
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    /// `None` from a failure to the next success of [`Writer::recover`].
    pub(crate) store: Option<Store>,
    pub(crate) failure: Option<Failure>,
    pub(crate) log: Arc<Shared>,
    /// What lands is kept for a follower.
    follows: bool,
    _lock: Option<File>,
}

/// What WELCOME and the engine need to know of a stream. Spec §5.3, §5.4c.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StreamState {
    /// Every row below it is resolved.
    pub next_row: u32,
    /// Resolved rows above it.
    pub ranges: Vec<Range>,
    /// Highest resolved row + 1.
    pub high_row: u32,
    /// Schema ids and descriptions, ascending by id.
    pub schemas: Vec<(u16, Arc<[u8]>)>,
}

/// What has landed and waits for filing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct InboxState {
    /// Bytes.
    pub bytes: u64,
    /// Reception of the oldest message, in microseconds since 1970.
    pub oldest: Option<i64>,
    /// Bytes of the write-ahead log that are not in the database yet.
    pub wal_bytes: u64,
    /// Streams whose marks are in memory.
    pub streams: usize,
}

/// Why the writer should get nothing more for the moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pressure {
    /// [`Options::inbox_bytes_max`] is reached.
    InboxBytes,
    /// [`Options::inbox_age_max`] is reached.
    InboxAge,
    /// [`Options::wal_bytes_max`] is reached: a reader does not end.
    Log,
    /// The store is recovering from a failed write.
    Recovering,
}

impl Writer {
    /// Opens the store in `dir`, and makes directory and store where there are none. Marks are rebuilt from what is
    /// filed and what is in the inbox.
    ///
    /// # Errors
    /// [`OpenError`]: each says what to do about it.
    pub fn open(dir: &Path, options: Options, now: i64) -> Result<Self, OpenError> {
        let lock = database::lock(dir, options.vfs.as_deref())?;
        let log = Arc::new(Shared::default());
        let store = Store::open(dir, &options, &log)?;
        tracing::info!(dir = %dir.display(), inbox_bytes = store.inbox_bytes, now, "store open");
        Ok(Self {
            dir: dir.to_owned(),
            options,
            store: Some(store),
            failure: None,
            log,
            follows: false,
            _lock: lock,
        })
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is durably known of a stream; all zero for one that was never seen.
    ///
    /// # Errors
    /// [`StoreError::Recovering`]: answer BUSY, for nothing counts as durable. Others after a failed read.
    pub fn stream(
        &mut self,
        device: &str,
        stream: u64,
        now: i64,
    ) -> Result<StreamState, StoreError> {
        self.with(now, |store, _| store.stream_state(device, stream))
    }

    /// Puts a batch on the disk: one transaction and one sync, whatever its size. The verdicts are in the batch's order.
    ///
    /// After [`Outcome::Failed`] nothing of the batch counts, and its rows are as if they had never come. Spec §7.1d.
    pub fn land(&mut self, batch: &[Landing], now: i64) -> Vec<Verdict> {
        let follows = self.follows;
        let land = |store: &mut Store, options: &Options| store.land(batch, options, follows);
        self.with(now, land).unwrap_or_else(|error| {
            let cause: Arc<str> = describe(&error).into();
            let failed = || Verdict {
                outcome: Outcome::Failed(Arc::clone(&cause)),
                next_row: 0,
                ranges: Vec::new(),
                refused: Vec::new(),
            };
            batch.iter().map(|_| failed()).collect()
        })
    }

    /// Says whether [`Writer::take_landed`] is wanted; off at first, for it costs memory.
    pub fn follow(&mut self, wanted: bool) {
        self.follows = wanted;
    }

    /// What the last [`Writer::land`] put on the disk, for a [`Follower`](crate::Follower); empty unless wanted.
    pub fn take_landed(&mut self) -> Vec<Vec<u8>> {
        self.store.as_mut().map_or_else(Vec::new, |store| std::mem::take(&mut store.landed))
    }

    /// Files about `budget_rows` landed rows, in one transaction; nothing while [`Filing::due`] is later than `now`.
    ///
    /// # Errors
    /// [`StoreError`]: nothing of this slice is filed; what has landed stays landed.
    pub fn file(&mut self, now: i64, budget_rows: usize) -> Result<Filing, StoreError> {
        self.with(now, |store, options| store.file(options, now, budget_rows))
    }

    /// Files all that has landed, however young it is: for an orderly end, and for tests.
    ///
    /// # Errors
    /// As [`Writer::file`].
    pub fn file_all(&mut self, now: i64) -> Result<(), StoreError> {
        while self.with(now, |store, options| store.file(options, i64::MAX, 10_000))?.due.is_some()
        {
        }
        Ok(())
    }

    /// Deletes what [`Options::retention`] says, about `budget_rows` rows of it. True when there may be more to do.
    ///
    /// # Errors
    /// [`StoreError`]: nothing of this slice is deleted.
    pub fn retain(&mut self, now: i64, budget_rows: usize) -> Result<bool, StoreError> {
        self.with(now, |store, options| store.retain(options, now, budget_rows))
    }

    /// Lets another thread copy the log into the database: see [`Checkpointer`].
    ///
    /// # Errors
    /// [`OpenError`], as [`Writer::open`].
    pub fn checkpointer(&self) -> Result<Checkpointer, OpenError> {
        Checkpointer::open(&self.dir, self.options.vfs.as_deref(), Arc::clone(&self.log))
    }

    /// What waits for filing.
    pub fn inbox(&self) -> InboxState {
        self.store.as_ref().map_or_else(InboxState::default, Store::inbox_state)
    }

    /// Why nothing more should come for the moment: window 0, or BUSY. `None`: go on.
    pub fn pressure(&self, now: i64) -> Option<Pressure> {
        if self.store.is_none() {
            return Some(Pressure::Recovering);
        }
        let InboxState { bytes, oldest, wal_bytes, .. } = self.inbox();
        if bytes >= self.options.inbox_bytes_max {
            Some(Pressure::InboxBytes)
        } else if oldest
            .is_some_and(|oldest| now.saturating_sub(oldest) >= self.options.inbox_age_max)
        {
            Some(Pressure::InboxAge)
        } else if wal_bytes >= self.options.wal_bytes_max {
            Some(Pressure::Log)
        } else {
            None
        }
    }

    /// True when nothing is in the way of more rows.
    pub fn is_accepting(&self, now: i64) -> bool {
        self.pressure(now).is_none()
    }
}

/// An open database and what is kept in memory about it. After a failed write all of it is thrown away, so that no mark
/// outlives the commit that it stands for.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) conn: Connection,
    pub(crate) catalog: Catalog,
    pub(crate) streams: Streams,
    /// Entries of the table `inbox`, oldest first.
    pub(crate) inbox: VecDeque<InboxEntry>,
    pub(crate) inbox_bytes: u64,
    /// The last entry that is filed.
    pub(crate) filed: i64,
    pub(crate) run: Option<Run>,
    /// Streams with rows that were filed before anything was known of their clock.
    pub(crate) undated: VecDeque<Undated>,
    /// The next turn is theirs: new rows must not starve them.
    pub(crate) dates_next: bool,
    pub(crate) sweep: Sweep,
    /// The write-ahead log.
    pub(crate) log: Log,
    /// How a commit that counts is synced: `FULL`.
    pub(crate) synchronous: &'static str,
    /// True once something was committed since the database was opened.
    pub(crate) has_committed: bool,
    last_inbox: i64,
    last_blob: u64,
    /// The blobs of the last commit, where a follower wants them.
    landed: Vec<Vec<u8>>,
}

/// One row of the table `inbox`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InboxEntry {
    pub(crate) id: i64,
    pub(crate) received: i64,
    pub(crate) bytes: u64,
}

impl Store {
    /// Opens the database and rebuilds what is kept in memory.
    pub(crate) fn open(
        dir: &Path,
        options: &Options,
        shared: &Arc<Shared>,
    ) -> Result<Self, OpenError> {
        let path = database::database_path(dir);
        let mut conn = database::open_to_write(&path, options, CACHE_KIB)?;
        let log = Log::new(Arc::clone(shared));
        let shared = Arc::clone(shared);
        let hook = move |_: &mut rusqlite::hooks::Wal, count| {
            shared.committed(count);
            Ok(())
        };
        let build = |conn: Connection| -> Result<Self, StoreError> {
            let catalog = Catalog::load(&conn)?;
            let mut store = Self {
                conn,
                catalog,
                streams: Streams::new(options.streams_cached_max),
                inbox: VecDeque::new(),
                inbox_bytes: 0,
                filed: 0,
                run: None,
                undated: VecDeque::new(),
                dates_next: false,
                sweep: Sweep::default(),
                log,
                synchronous: options.fault.synchronous(),
                has_committed: false,
                last_inbox: 0,
                last_blob: 0,
                landed: Vec::new(),
            };
            store.replay()?;
            store.find_undated()?;
            Ok(store)
        };
        let prepared = options.fault.prepare(&conn).and_then(|()| conn.wal_hook(Some(hook)));
        prepared.map_err(StoreError::from).and_then(|()| build(conn)).map_err(|error| match error {
            StoreError::Sqlite(source) => OpenError::Sqlite { path, source },
            other => OpenError::Damaged { path, what: other.to_string() },
        })
    }

    /// Brings the marks up to what is in the inbox.
    fn replay(&mut self) -> Result<(), StoreError> {
        // An id is not used twice, so that a run of filing can't be taken for another one.
        self.last_inbox = self.conn.query_row(
            "SELECT max((SELECT coalesce(max(id), 0) FROM inbox), (SELECT last FROM filing))",
            [],
            |row| row.get(0),
        )?;
        let mut statement =
            self.conn.prepare("SELECT id, received, bytes FROM inbox ORDER BY id")?;
        let mut rows = statement.query([])?;
        let mut slots = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, received, bytes) =
                (row.get(0)?, row.get(1)?, row.get_ref(2)?.as_blob().unwrap_or_default());
            self.filed = self.filed.max(if self.inbox.is_empty() { id - 1 } else { 0 });
            let entry = InboxEntry { id, received, bytes: bytes.len() as u64 + ENTRY_BYTES };
            self.inbox.push_back(entry);
            self.inbox_bytes += entry.bytes;
            slots.clear();
            let mut reader = BlobReader::new(bytes)?;
            while let Some(item) = reader.next()? {
                match item {
                    Item::Stream(device, stream) => {
                        let slot = self.streams.slot(&self.conn, device, stream)?;
                        self.streams.get_mut(slot).last_inbox = id;
                        slots.push(slot);
                    }
                    Item::Entry(index, entry) => {
                        let slot = *slots
                            .get(index)
                            .ok_or_else(|| StoreError::corrupt("an inbox entry without stream"))?;
                        replay_entry(&mut self.streams, slot, &entry.said);
                    }
                }
            }
        }
        if self.inbox.is_empty() {
            self.filed = self.last_inbox;
        }
        Ok(())
    }

    fn inbox_state(&self) -> InboxState {
        InboxState {
            bytes: self.inbox_bytes,
            oldest: self.inbox.front().map(|entry| entry.received),
            wal_bytes: u64::from(self.log.pages().unsigned_abs()) * PAGE,
            streams: self.streams.len(),
        }
    }

    fn stream_state(&mut self, device: &str, stream: u64) -> Result<StreamState, StoreError> {
        let slot = self.streams.slot(&self.conn, device, stream)?;
        let entry = self.streams.get(slot);
        let description = |(id, description): (&u16, &i64)| {
            Some((*id, Arc::clone(&self.catalog.description(*description)?.bytes)))
        };
        let state = StreamState {
            next_row: entry.marks.next(),
            ranges: entry.marks.ranges().to_vec(),
            high_row: entry.marks.high(),
            schemas: entry.schemas.iter().filter_map(description).collect(),
        };
        self.streams.shrink(self.filed);
        Ok(state)
    }

    fn land(
        &mut self,
        batch: &[Landing],
        options: &Options,
        follows: bool,
    ) -> Result<Vec<Verdict>, StoreError> {
        let base = batch.iter().map(|landing| landing.received).min().unwrap_or(0);
        let known = self.catalog.len();
        let mut plan = Plan { blobs: vec![BlobWriter::new(base)], fresh: Vec::new(), base };
        let mut decided = Vec::with_capacity(batch.len());
        self.last_blob += 1;
        for landing in batch {
            decided.push(self.decide(landing, &mut plan, options)?);
        }
        debug_assert_eq!(self.catalog.len(), known + plan.fresh.len());
        self.commit(&plan, options)?;
        let verdicts = batch
            .iter()
            .zip(decided)
            .map(|(landing, (slot, outcome))| self.verdict(landing, slot, outcome));
        let verdicts = verdicts.collect::<Result<_, _>>()?;
        self.landed.clear();
        if follows {
            let blobs = plan.blobs.into_iter().filter(|blob| !blob.is_empty());
            self.landed.extend(blobs.map(BlobWriter::into_bytes));
        }
        self.streams.shrink(self.filed);
        Ok(verdicts)
    }

    /// Decides about one landing, moves the marks, and appends what is new to the plan.
    fn decide(
        &mut self,
        landing: &Landing,
        plan: &mut Plan,
        options: &Options,
    ) -> Result<(Option<usize>, Outcome), StoreError> {
        if DeviceName::new(&landing.device).is_none() {
            return Ok((None, Outcome::Invalid)); // Spec §2.2a.
        }
        let slot = self.streams.slot(&self.conn, &landing.device, landing.stream)?;
        if let Some(refusal) = self.refusal(slot, &landing.what) {
            return Ok((Some(slot), refusal));
        }
        let (mut pieces, mut outcome, mut description) = (Vec::new(), Outcome::Stored, 0);
        if let What::Declare { id, description: bytes } = &landing.what {
            match self.declare(slot, *id, bytes, plan, options) {
                Ok(known) => description = known,
                Err(outcome) => return Ok((Some(slot), outcome)),
            }
        }
        if let Some(rows) = landing.what.rows() {
            let entry = self.streams.get_mut(slot);
            match entry.marks.resolve(rows) {
                Ok(new) if new.is_empty() => return Ok((Some(slot), Outcome::Duplicate)),
                Ok(new) => pieces = new,
                Err(_) => return Ok((Some(slot), Outcome::Window)), // Spec §7.2a.
            }
            if pieces != [rows] {
                outcome = Outcome::PartlyDuplicate;
            }
            entry.refused.extend(landing.what.refused(&pieces));
        }
        let index = plan.index_of(self.streams.get_mut(slot), &mut self.last_blob);
        plan.blob().put(index, landing.received, &landing.what, &pieces, description);
        Ok((Some(slot), outcome))
    }

    /// Why a landing can't be taken, whatever the marks say.
    fn refusal(&self, slot: usize, what: &What) -> Option<Outcome> {
        match what {
            What::Rows { first, count, schema, body, refused, .. } => {
                let head = read_body(body).map(|data| data.head);
                if !head.is_ok_and(|head| head.count == *count && head.schema == *schema)
                    || refused.iter().any(|(index, _)| index >= count)
                {
                    return Some(Outcome::Invalid);
                }
                if first.checked_add(u32::from(*count)).is_none() {
                    return Some(Outcome::Window); // Spec §2.3.
                }
                (!self.streams.get(slot).schemas.contains_key(schema))
                    .then_some(Outcome::UnknownSchema)
            }
            What::Unacked { schema, count, body, .. } => {
                let head = read_body(body).map(|data| data.head);
                if !head.is_ok_and(|head| head.count == *count && head.schema == *schema) {
                    return Some(Outcome::Invalid);
                }
                (!self.streams.get(slot).schemas.contains_key(schema))
                    .then_some(Outcome::UnknownSchema)
            }
            What::RefusedMessage { first, count, .. } | What::Skip { first, count, .. } => {
                match count {
                    0 => Some(Outcome::Invalid),
                    _ => first.checked_add(*count).is_none().then_some(Outcome::Window),
                }
            }
            What::Counts { row, causes, .. } => {
                (*row == u32::MAX || causes.len() > CAUSES_MAX).then_some(Outcome::Invalid)
            }
            _ => None,
        }
    }

    /// Gives a schema its id in the stream; the description's id, or why not.
    fn declare(
        &mut self,
        slot: usize,
        id: u16,
        bytes: &[u8],
        plan: &mut Plan,
        options: &Options,
    ) -> Result<i64, Outcome> {
        let known = self.catalog.id_of(bytes);
        let entry = self.streams.get_mut(slot);
        if let Some(has) = entry.schemas.get(&id) {
            return Err(if known == Some(*has) { Outcome::Duplicate } else { Outcome::Conflict }); // Spec §5.4a.
        }
        if usize::from(id) >= SCHEMAS_MAX
            || known.is_none() && self.catalog.len() >= options.schemas_max
        {
            return Err(Outcome::TooManySchemas);
        }
        let description = match known {
            Some(known) => known,
            None if Schema::decode(bytes).is_err() => return Err(Outcome::Invalid),
            None => {
                let new = self.catalog.add(bytes);
                plan.fresh.push(new);
                new
            }
        };
        entry.schemas.insert(id, description);
        Ok(description)
    }

    /// The transaction of a batch.
    fn commit(&mut self, plan: &Plan, options: &Options) -> Result<(), StoreError> {
        let blobs: Vec<&BlobWriter> = plan.blobs.iter().filter(|blob| !blob.is_empty()).collect();
        if blobs.is_empty() {
            return Ok(());
        }
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for id in &plan.fresh {
            let bytes = self.catalog.description(*id).map(|description| &*description.bytes);
            self.conn
                .prepare_cached("INSERT INTO descriptions (id, bytes) VALUES (?1, ?2)")?
                .execute(params![id, bytes])?;
        }
        for (id, blob) in (self.last_inbox + 1..).zip(&blobs) {
            options.fault.check(Fault::Land)?;
            self.conn
                .prepare_cached("INSERT INTO inbox (id, received, bytes) VALUES (?1, ?2, ?3)")?
                .execute(params![id, plan.base, blob.bytes()])?;
            let entry = InboxEntry {
                id,
                received: plan.base,
                bytes: blob.bytes().len() as u64 + ENTRY_BYTES,
            };
            self.inbox.push_back(entry);
            self.inbox_bytes += entry.bytes;
            self.last_inbox = id;
        }
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        options.fault.check(Fault::LandSync)?;
        self.has_committed = true;
        Ok(())
    }

    /// What to answer, after the commit.
    fn verdict(
        &mut self,
        landing: &Landing,
        slot: Option<usize>,
        outcome: Outcome,
    ) -> Result<Verdict, StoreError> {
        let Some(slot) = slot else {
            return Ok(Verdict { outcome, next_row: 0, ranges: Vec::new(), refused: Vec::new() });
        };
        let mut refused = Vec::new();
        match (landing.what.rows(), &outcome) {
            (Some(rows), Outcome::Stored) => refused = landing.what.refused(&[rows]),
            (Some(rows), Outcome::PartlyDuplicate | Outcome::Duplicate) => {
                refused = self.refused_among(slot, rows)?;
            }
            _ => {}
        }
        let entry = self.streams.get_mut(slot);
        if outcome.is_durable() && outcome != Outcome::Duplicate {
            entry.last_inbox = self.last_inbox;
        }
        Ok(Verdict {
            outcome,
            next_row: entry.marks.next(),
            ranges: entry.marks.ranges().to_vec(),
            refused,
        })
    }

    /// Rows among `rows` that stand refused, in the inbox or in the table. Spec §7.6c.
    fn refused_among(&self, slot: usize, rows: Range) -> Result<Vec<(Range, u16)>, StoreError> {
        let entry = self.streams.get(slot);
        let mut found = entry.refused.clone();
        if let Some(ids) = entry.ids.filter(|_| entry.has_refused) {
            let mut statement = self.conn.prepare_cached(
                "SELECT first, last, code FROM refused WHERE stream = ?1 AND first < ?3 AND last > ?2",
            )?;
            let refused = statement
                .query_map(params![ids.stream, rows.start, rows.end], |row| {
                    Ok((Range { start: row.get(0)?, end: row.get(1)? }, row.get(2)?))
                })?;
            for one in refused {
                found.push(one?);
            }
        }
        found.retain(|(range, _)| range.start < rows.end && range.end > rows.start);
        for (range, _) in &mut found {
            *range = Range { start: range.start.max(rows.start), end: range.end.min(rows.end) };
        }
        Ok(join(found))
    }

    /// Closes the database without touching the file: what was not synced is not to be trusted.
    pub(crate) fn abandon(self) {
        let _ = self
            .conn
            .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }
}

fn replay_entry(streams: &mut Streams, slot: usize, said: &Said<'_>) {
    let entry = streams.get_mut(slot);
    let resolved = said.resolved();
    for rows in &resolved {
        // Each was resolved before, when it landed: there are never more ranges than then.
        let _ = entry.marks.resolve(*rows);
    }
    match said {
        Said::Schema { id, description } => {
            entry.schemas.insert(*id, *description);
        }
        Said::Refused { code, .. } => {
            entry.refused.extend(resolved.iter().map(|rows| (*rows, *code)));
        }
        Said::Rows { first, refused, .. } => {
            entry.refused.extend(refused_rows(*first, refused, &resolved));
        }
        _ => {}
    }
}

/// What a batch is going to write.
struct Plan {
    blobs: Vec<BlobWriter>,
    /// Descriptions that are new.
    fresh: Vec<i64>,
    base: i64,
}

impl Plan {
    /// The index of a stream in the current blob. Begins another blob when this one is full: filing takes whole ones.
    fn index_of(&mut self, stream: &mut crate::streams::Stream, last_blob: &mut u64) -> u32 {
        let blob = self.blob();
        if blob.rows() >= BLOB_ROWS || blob.bytes().len() >= BLOB_BYTES {
            self.blobs.push(BlobWriter::new(self.base));
            *last_blob += 1;
        }
        if stream.blob.0 != *last_blob {
            stream.blob = (*last_blob, self.blob().define(&stream.device, stream.stream));
        }
        stream.blob.1
    }

    fn blob(&mut self) -> &mut BlobWriter {
        self.blobs.last_mut().expect("there is one from the start")
    }
}

impl What {
    /// The rows that it resolves; `None` where it has no row numbers. Checked against overflow before.
    fn rows(&self) -> Option<Range> {
        let (start, count) = match self {
            Self::Rows { first, count, .. } => (*first, u32::from(*count)),
            Self::RefusedMessage { first, count, .. } | Self::Skip { first, count, .. } => {
                (*first, *count)
            }
            Self::Counts { row, .. } => (*row, 1),
            _ => return None,
        };
        Some(Range { start, end: start.saturating_add(count) })
    }

    /// The refused rows that lie in `pieces`.
    fn refused(&self, pieces: &[Range]) -> Vec<(Range, u16)> {
        match self {
            Self::Rows { first, refused, .. } if !refused.is_empty() => {
                refused_rows(*first, refused, pieces)
            }
            Self::RefusedMessage { code, .. } => pieces.iter().map(|rows| (*rows, *code)).collect(),
            _ => Vec::new(),
        }
    }
}

fn refused_rows(first: u32, refused: &[(u16, u16)], pieces: &[Range]) -> Vec<(Range, u16)> {
    let rows = refused.iter().map(|(index, code)| (first.saturating_add(u32::from(*index)), *code));
    let new =
        rows.filter(|(row, _)| pieces.iter().any(|piece| (piece.start..piece.end).contains(row)));
    join(new.map(|(row, code)| (Range { start: row, end: row.saturating_add(1) }, code)).collect())
}

/// Ascending, and neighbours with the same code as one range.
fn join(mut refused: Vec<(Range, u16)>) -> Vec<(Range, u16)> {
    refused.sort_unstable();
    refused.dedup_by(|next, last| {
        let touches = next.0.start <= last.0.end && next.1 == last.1;
        if touches {
            last.0.end = last.0.end.max(next.0.end);
        }
        touches
    });
    refused
}

/// Page cache of the writer.
const CACHE_KIB: i32 = 32 << 10;
/// SQLite's page.
const PAGE: u64 = 4_096;
/// What an inbox entry costs beside its bytes, in memory and in the table.
pub(crate) const ENTRY_BYTES: u64 = 512;
/// Rows and bytes after which a batch begins another inbox entry.
const BLOB_ROWS: usize = 8_192;
const BLOB_BYTES: usize = 512 << 10;
/// Causes in COUNTS. Spec §5.11.
const CAUSES_MAX: usize = 16;
