//! The store thread: one commit for everything that waits, filing in between.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use senda_session::collector::{Fate, Mark, Notice, StreamState, Token, Verdict, What};
use senda_store::{HelloReport, Landing, Outcome, Writer};
use senda_wire::ErrorCode;

use crate::engine::{Input, utc_us};
use crate::feed::Feed;
use crate::live::Live;
use crate::orders::{Conclusion, Step};
use crate::raw::{RawLanding, RawVerdict};
use crate::stats::Stats;
use crate::wake::Waker;
use crate::{Config, StartError};

/// Requests for one commit; what waits beyond that takes the next one.
const BATCH_MAX: usize = 20_000;
/// Rows in one step of filing: a millisecond or so.
const STEP_ROWS: usize = 500;
/// Filing between two commits while requests are waiting; more of it when the inbox is filling up.
const FILING_TIME: Duration = Duration::from_millis(2);
const FILING_TIME_BEHIND: Duration = Duration::from_millis(20);
/// How long the thread sleeps at most: what time alone brings about is looked for then.
const LOOK_AROUND: Duration = Duration::from_secs(60);
/// The same while the store takes no rows, so that it does again soon after the cause is gone.
const LOOK_AROUND_SOON: Duration = Duration::from_millis(200);
/// Between two slices of a sweep, so that landing goes on in between.
const SLICE_EVERY: Duration = Duration::from_millis(20);
/// A sweep of retention visits every device; it begins that often.
const RETENTION_EVERY: Duration = Duration::from_secs(300);

/// What the engine asks of the store.
pub(crate) enum Request {
    Open {
        token: Token,
        device: Arc<str>,
        stream: u64,
    },
    Land {
        token: Token,
        device: Arc<str>,
        stream: u64,
        received_us: i64,
        what: What,
    },
    Record {
        token: Token,
        device: Arc<str>,
        command_id: u32,
    },
    Notice {
        device: Arc<str>,
        stream: u64,
        transport: &'static str,
        software: String,
        notice: Notice,
    },
    Conclude(Conclusion),
    /// A row of a device that doesn't speak Senda/1.
    Raw(RawLanding),
    /// What waits for a device.
    Orders {
        device: Arc<str>,
    },
    /// Anything else, after the commit of what was asked before.
    Call(Call),
    Stop,
}

/// Something to do with the writer, at a time in µs since 1970.
pub(crate) type Call = Box<dyn FnOnce(&mut Writer, i64) + Send>;

/// Opens the data directory.
pub(crate) fn open(config: &Config) -> Result<Writer, StartError> {
    Ok(Writer::open(&config.data, config.store.clone(), utc_us())?)
}

/// Starts the thread. It ends after [`Request::Stop`], or when the engine is gone.
pub(crate) fn spawn(
    writer: Writer,
    config: &Config,
    requests: Receiver<Request>,
    engine: Sender<Input>,
    waker: Waker,
    stats: Arc<Stats>,
    (live, feed): (Arc<Live>, Feed),
) -> io::Result<JoinHandle<()>> {
    let interval = config.engine.commit_interval;
    let inbox_behind = config.store.inbox_bytes_max / 4;
    let checkpoints = spawn_checkpointer(&writer)?;
    let keeper = Keeper {
        writer,
        interval,
        inbox_behind,
        requests,
        engine,
        waker,
        stats,
        checkpoints,
        live,
        feed,
        landed: 0,
        accepting: true,
        next_sweep: Instant::now(),
        sweeping: false,
    };
    std::thread::Builder::new().name("senda-store".into()).spawn(move || keeper.run())
}

/// Checkpoints cost milliseconds; on a thread of their own no commit waits for them. It ends with the keeper.
fn spawn_checkpointer(writer: &Writer) -> io::Result<SyncSender<()>> {
    let (sender, due) = sync_channel(1);
    match writer.checkpointer() {
        Ok(mut checkpointer) => {
            let run = move || {
                while due.recv().is_ok() {
                    if let Err(error) = checkpointer.run() {
                        tracing::warn!(%error, "checkpoint failed; it is tried again");
                    }
                }
            };
            std::thread::Builder::new().name("senda-checkpoint".into()).spawn(run)?;
        }
        Err(error) => tracing::warn!(%error, "no checkpoints beside landing; filing does them"),
    }
    Ok(sender)
}

pub(crate) struct Keeper {
    pub(crate) writer: Writer,
    /// How long a commit gathers.
    interval: Duration,
    /// Bytes of the inbox from which on filing gets more time.
    inbox_behind: u64,
    requests: Receiver<Request>,
    engine: Sender<Input>,
    waker: Waker,
    stats: Arc<Stats>,
    checkpoints: SyncSender<()>,
    pub(crate) live: Arc<Live>,
    pub(crate) feed: Feed,
    /// Blobs that the feed was given, or would have been.
    landed: u64,
    accepting: bool,
    next_sweep: Instant,
    /// A sweep has begun and is not done.
    sweeping: bool,
}

/// Everything that waited, in order of what has to be done first.
#[derive(Default)]
struct Batch {
    landings: Vec<Landing>,
    /// For each landing: who waits for its verdict.
    waiting: Vec<Waiter>,
    /// Answered after the commit: the marks then include every landing before. Spec §6.4.
    opens: Vec<(Token, Arc<str>, u64)>,
    /// In the order of the engine: that a command did not leave must not undo that it leaves again, and a DONE may stand in
    /// the batch of the HELLO before it.
    steps: Vec<Step>,
    /// Devices for which something may wait.
    waiting_for: Vec<Arc<str>>,
    calls: Vec<Call>,
    stop: bool,
}

/// Who waits for a verdict.
enum Waiter {
    Nobody,
    /// The engine.
    Engine(Token),
    /// A raw listener.
    Raw(Box<dyn FnOnce(RawVerdict) + Send>),
}

impl Keeper {
    fn run(mut self) {
        let mut wait = Duration::ZERO;
        loop {
            match self.requests.recv_timeout(wait) {
                Ok(first) => {
                    let batch = self.gather(first);
                    let stop = batch.stop;
                    self.commit(batch);
                    if stop {
                        return self.file_the_rest();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let due = self.file();
            self.sweep();
            self.tell_accepting();
            wait = self.wait(due);
        }
    }

    /// How long nothing needs to be done: `due` is when filing goes on, µs UTC.
    fn wait(&self, due: Option<i64>) -> Duration {
        let most = match (self.accepting, self.sweeping) {
            (_, true) => SLICE_EVERY,
            (true, false) => LOOK_AROUND,
            (false, false) => LOOK_AROUND_SOON,
        };
        let left = due.map(|due| u64::try_from(due.saturating_sub(utc_us())).unwrap_or(0));
        left.map_or(most, |left| Duration::from_micros(left).min(most))
    }

    /// Everything that is here now, or comes within the commit interval.
    fn gather(&self, first: Request) -> Batch {
        let mut batch = Batch::default();
        self.admit(first, &mut batch);
        let until = Instant::now() + self.interval;
        // Also those that are answered at once count: a flood of them must not keep the store from filing.
        for _ in 1..BATCH_MAX {
            if batch.stop {
                break;
            }
            let left = until.saturating_duration_since(Instant::now());
            let next = if left.is_zero() {
                self.requests.try_recv().ok()
            } else {
                self.requests.recv_timeout(left).ok()
            };
            match next {
                Some(request) => self.admit(request, &mut batch),
                None if left.is_zero() => break,
                None => {}
            }
        }
        batch
    }

    /// The engine knows by itself when the store takes no rows; raw listeners learn it here.
    fn admit(&self, request: Request, batch: &mut Batch) {
        match request {
            Request::Raw(landing) if !self.accepting => (landing.done)(RawVerdict::Busy),
            request => batch.add(request),
        }
    }

    fn commit(&mut self, batch: Batch) {
        let now = utc_us();
        let follows = self.feed.is_wanted();
        self.writer.follow(follows);
        let verdicts = if batch.landings.is_empty() {
            Vec::new()
        } else {
            self.writer.land(&batch.landings, now)
        };
        self.count(&batch.landings, &verdicts, now);
        let mut answers: Vec<(Token, Verdict)> = Vec::new();
        for (waiter, verdict) in batch.waiting.into_iter().zip(verdicts) {
            match waiter {
                Waiter::Nobody => {}
                Waiter::Engine(token) => answers.push((token, translate(verdict))),
                Waiter::Raw(done) => done(translate_raw(&verdict)),
            }
        }
        if !answers.is_empty() {
            self.tell(Input::Verdicts(answers));
        }
        self.take_steps(batch.steps, now);
        for (token, device, stream) in batch.opens {
            let state = self.stream(&device, stream);
            let orders = state.as_ref().map_or_else(Vec::new, |_| self.orders(&device, now));
            self.tell(Input::Stream(token, state, orders));
        }
        for device in batch.waiting_for {
            let orders = self.orders(&device, now);
            if !orders.is_empty() {
                self.tell(Input::Orders(device, orders));
            }
        }
        self.waker.wake();
        if !follows && !batch.landings.is_empty() {
            self.landed += 1; // A gap: what nobody was shown may have been a schema.
        }
        for blob in self.writer.take_landed() {
            self.feed.landed(self.landed, blob);
            self.landed += 1;
        }
        for call in batch.calls {
            call(&mut self.writer, now);
        }
    }

    fn stream(&mut self, device: &str, stream: u64) -> Option<StreamState> {
        match self.writer.stream(device, stream, utc_us()) {
            Ok(state) => {
                let mark = Mark { next_row: state.next_row, ranges: state.ranges };
                let schemas = state
                    .schemas
                    .into_iter()
                    .map(|(id, description)| (id, description.to_vec()))
                    .collect();
                Some(StreamState { mark, schemas, config: None })
            }
            Err(error) => {
                tracing::error!(%error, "can't read the state of a stream");
                None
            }
        }
    }

    fn count(&self, landings: &[Landing], verdicts: &[senda_store::Verdict], now: i64) {
        if landings.is_empty() {
            return;
        }
        let failed = verdicts.iter().find_map(|verdict| match &verdict.outcome {
            Outcome::Failed(reason) => Some(reason.clone()),
            _ => None,
        });
        match failed {
            Some(reason) => {
                Stats::add(&self.stats.commits_failed, 1);
                tracing::error!(%reason, "commit failed; nothing of it is acknowledged, and the devices send it again");
            }
            None => Stats::add(&self.stats.commits, 1),
        }
        let rows = landings.iter().zip(verdicts).filter_map(|(landing, verdict)| {
            let rows = rows_stored(landing, verdict);
            (rows > 0).then_some((&*landing.device, rows))
        });
        Stats::add(&self.stats.rows_stored, rows.clone().map(|(_, rows)| rows).sum());
        self.live.note_rows(now, rows);
    }

    /// Some steps of filing while requests are waiting; as many as there are otherwise. Returns when it goes on.
    fn file(&mut self) -> Option<i64> {
        let begin = Instant::now();
        loop {
            let now = utc_us();
            let filing = match self.writer.file(now, STEP_ROWS) {
                Ok(filing) => filing,
                Err(error) => {
                    tracing::error!(%error, "filing failed; it is tried again");
                    return Some(now.saturating_add(1_000_000));
                }
            };
            Stats::add(&self.stats.rows_filed, filing.rows as u64);
            self.stats.inbox_bytes.store(filing.inbox_bytes_left, Ordering::Relaxed);
            if filing.checkpoint_due {
                let _ = self.checkpoints.try_send(()); // One that is under way is enough.
            }
            let behind = filing.inbox_bytes_left > self.inbox_behind;
            let time = if behind { FILING_TIME_BEHIND } else { FILING_TIME };
            let in_the_way = self.stats.landing_bytes() > 0 && begin.elapsed() >= time;
            if in_the_way || filing.due.is_none_or(|due| due > now) {
                return filing.due;
            }
        }
    }

    /// The last filing of a server that stops. What is left is filed after the next start.
    fn file_the_rest(&mut self) {
        let filed = self.writer.file_all(utc_us());
        match filed {
            Ok(()) => self.stats.inbox_bytes.store(0, Ordering::Relaxed),
            Err(error) => tracing::error!(%error, "what has landed is filed at the next start"),
        }
    }

    /// What is old goes, slice by slice, however busy the store is: 25,000 rows a second at the most.
    fn sweep(&mut self) {
        if Instant::now() < self.next_sweep {
            return;
        }
        let more = self.writer.retain(utc_us(), STEP_ROWS);
        self.sweeping = matches!(more, Ok(true));
        match more {
            Ok(true) => self.next_sweep = Instant::now() + SLICE_EVERY,
            Ok(false) => self.next_sweep = Instant::now() + RETENTION_EVERY,
            Err(error) => {
                tracing::error!(%error, "retention failed; it is tried again");
                self.next_sweep = Instant::now() + LOOK_AROUND;
            }
        }
    }

    fn tell_accepting(&mut self) {
        let accepting = self.writer.is_accepting(utc_us());
        if accepting != self.accepting {
            self.accepting = accepting;
            tracing::warn!(accepting, "the store's inbox");
            self.tell(Input::Accepting(accepting));
            self.waker.wake();
        }
    }

    pub(crate) fn tell(&self, input: Input) {
        // The engine is gone only after a panic; the commit stands all the same.
        let _ = self.engine.send(input);
    }
}

impl Batch {
    fn add(&mut self, request: Request) {
        match request {
            Request::Open { token, device, stream } => self.opens.push((token, device, stream)),
            Request::Land { token, device, stream, received_us, what } => {
                let waiter = Waiter::Engine(token);
                self.land(waiter, device, stream, received_us, translate_what(what));
            }
            Request::Raw(landing) => self.land_raw(landing),
            Request::Record { token, device, command_id } => {
                self.steps.push(Step::Record(token, device, command_id));
            }
            Request::Conclude(conclusion) => self.steps.push(Step::Conclude(conclusion)),
            Request::Orders { device } => self.waiting_for.push(device),
            Request::Call(call) => self.calls.push(call),
            Request::Notice { device, stream, transport, software, notice } => {
                if let Notice::Welcomed { config_rev, last_command_id, downlink, .. } = notice {
                    let device = device.clone();
                    let hello = HelloReport { device, config_rev, last_command_id, downlink };
                    self.steps.push(Step::Hello(hello));
                }
                if let Some(what) = translate_notice(transport, software, notice) {
                    self.land(Waiter::Nobody, device, stream, utc_us(), what);
                }
            }
            Request::Stop => self.stop = true,
        }
    }

    /// Says what the stream is first, if the store does not know.
    fn land_raw(&mut self, landing: RawLanding) {
        use senda_store::What;
        let RawLanding { device, stream, received_us, begin, row, body, done } = landing;
        if let Some((transport, software, description)) = begin {
            for what in [
                What::Seen { transport: transport.into(), software },
                What::Declare { id: 0, description },
            ] {
                self.land(Waiter::Nobody, device.clone(), stream, received_us, what);
            }
        }
        let what =
            What::Rows { first: row, count: 1, sparse: false, schema: 0, body, refused: vec![] };
        self.land(Waiter::Raw(done), device, stream, received_us, what);
    }

    fn land(
        &mut self,
        waiter: Waiter,
        device: Arc<str>,
        stream: u64,
        received: i64,
        what: senda_store::What,
    ) {
        self.landings.push(Landing { device, stream, received, what });
        self.waiting.push(waiter);
    }
}

/// Rows that a landing put on the disk; those that were refused are resolved, not stored.
fn rows_stored(landing: &Landing, verdict: &senda_store::Verdict) -> u64 {
    match (&landing.what, &verdict.outcome) {
        (
            senda_store::What::Rows { count, refused, .. },
            Outcome::Stored | Outcome::PartlyDuplicate,
        ) => u64::from(*count).saturating_sub(refused.len() as u64),
        _ => 0,
    }
}

/// The engine's words in the store's.
fn translate_what(what: What) -> senda_store::What {
    use senda_store::What as To;
    match what {
        What::Rows { first, count, sparse, schema, body, refused } => {
            let refused =
                refused.into_iter().map(|index| (index, ErrorCode::BAD_VALUE.0)).collect();
            To::Rows { first, count, sparse, schema, body, refused }
        }
        What::Unreadable { first, count, kind, body } => To::RefusedMessage {
            first,
            count: count.into(),
            code: ErrorCode::BAD_BODY.0,
            kind,
            body,
        },
        What::Skip { first, count, cause } => To::Skip { first, count, cause },
        What::Counts { row, made, causes } => To::Counts { row, made, causes },
        What::Unacked { counter, count, schema, body, .. } => {
            To::Unacked { counter, count, schema, body }
        }
        What::Declare { id, description } => To::Declare { id, description },
        What::Clock(clock) => {
            let (offset_us, uncertainty_us, kind) =
                (clock.offset, clock.uncertainty, clock.clock.code());
            To::Clock { offset_us, uncertainty_us, kind }
        }
    }
}

/// Notices that are worth keeping.
fn translate_notice(
    transport: &str,
    software: String,
    notice: Notice,
) -> Option<senda_store::What> {
    use senda_store::What as To;
    let event = |kind: &str, text: String| Some(To::Event { kind: kind.into(), text });
    match notice {
        Notice::Welcomed { .. } => Some(To::Seen { transport: transport.into(), software }),
        Notice::Displaced => {
            event("displaced", "a ninth session of the device ended this one".into())
        }
        Notice::TwoStreams { other } => {
            event("two-streams", format!("stream {other:016x} is live beside this one"))
        }
        Notice::Snapshot { next_row, high_row } => event(
            "snapshot",
            format!(
                "the device would give row {next_row} next, row {high_row} is already resolved"
            ),
        ),
        _ => None,
    }
}

/// The store's words in the engine's.
fn translate(verdict: senda_store::Verdict) -> Verdict {
    let fate = match verdict.outcome {
        Outcome::Stored | Outcome::PartlyDuplicate => Fate::Stored,
        Outcome::Duplicate => Fate::Duplicate,
        Outcome::Window => Fate::NoRange,
        Outcome::UnknownSchema => Fate::NoSchema,
        Outcome::Conflict | Outcome::TooManySchemas => Fate::Conflict,
        Outcome::Invalid | Outcome::Failed(_) => Fate::Failed,
    };
    let mark = Mark { next_row: verdict.next_row, ranges: verdict.ranges };
    Verdict { fate, mark, refused: verdict.refused }
}

/// The store's words in a raw listener's.
fn translate_raw(verdict: &senda_store::Verdict) -> RawVerdict {
    match verdict.outcome {
        _ if verdict.outcome.is_durable() => RawVerdict::Stored,
        Outcome::UnknownSchema | Outcome::Invalid => RawVerdict::NoSchema,
        Outcome::Window => RawVerdict::NoRange,
        _ => RawVerdict::Busy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use senda_session::collector::Outcome as End;
    use senda_store::{CommandState, Reader};
    use senda_wire::MessageType;

    /// A fleet that never pauses must not keep what is old.
    #[test]
    fn what_is_old_goes_though_requests_never_pause() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path());
        config.store.retention.age = Some(3_600_000_000);
        let mut writer = open(&config).unwrap();
        let now = utc_us();
        let event = |received| {
            let what = senda_store::What::Event { kind: "old".into(), text: String::new() };
            Landing { device: "gh-7".into(), stream: 1, received, what }
        };
        let old: Vec<Landing> = (0..3_000).map(|age| event(now - 7_200_000_000 - age)).collect();
        assert!(writer.land(&old, now).iter().all(|verdict| verdict.outcome.is_durable()));
        writer.file_all(now).unwrap();
        let (changes, _) = tokio::sync::broadcast::channel(16);
        let (feed, feed_thread) = Feed::start(dir.path().into(), changes, None).unwrap();
        let (requests, receiver) = std::sync::mpsc::channel();
        let (engine, _inputs) = std::sync::mpsc::channel();
        let (waker, live) = (Waker::new().unwrap(), Arc::new(Live::default()));
        let stats = Arc::new(Stats::default());
        let store =
            spawn(writer, &config, receiver, engine, waker, stats, (live, feed.clone())).unwrap();
        // There is always something waiting: each call that runs was followed by others before.
        let reader = Reader::open(dir.path()).unwrap();
        let begun = Instant::now();
        loop {
            (0..1_000).for_each(|_| requests.send(Request::Call(Box::new(|_, _| {}))).unwrap());
            if reader.events(None, None, 10_000).unwrap().is_empty() {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "the old ones stay");
        }
        requests.send(Request::Stop).unwrap();
        store.join().unwrap();
        feed.stop();
        feed_thread.join().unwrap();
    }

    /// Records that are refused while the store takes no rows make no landing: as many as come must not hold up what would let
    /// it take rows again.
    #[test]
    fn a_batch_ends_though_records_that_are_answered_at_once_keep_coming() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path());
        let writer = open(&config).unwrap();
        let (changes, _) = tokio::sync::broadcast::channel(16);
        let (feed, feed_thread) = Feed::start(dir.path().into(), changes, None).unwrap();
        let (requests, receiver) = std::sync::mpsc::channel();
        let (engine, _inputs) = std::sync::mpsc::channel();
        let (told, answers) = std::sync::mpsc::channel();
        let record = || {
            let told = told.clone();
            Request::Raw(RawLanding {
                device: "gauge".into(),
                stream: 1,
                received_us: 0,
                begin: None,
                row: 0,
                body: Vec::new(),
                done: Box::new(move |verdict| told.send(verdict).unwrap()),
            })
        };
        (0..2 * BATCH_MAX).for_each(|_| requests.send(record()).unwrap());
        let keeper = Keeper {
            checkpoints: spawn_checkpointer(&writer).unwrap(),
            writer,
            interval: Duration::ZERO,
            inbox_behind: 0,
            requests: receiver,
            engine,
            waker: Waker::new().unwrap(),
            stats: Arc::new(Stats::default()),
            live: Arc::new(Live::default()),
            feed: feed.clone(),
            landed: 0,
            accepting: false,
            next_sweep: Instant::now(),
            sweeping: false,
        };
        assert!(keeper.gather(record()).landings.is_empty());
        assert_eq!(answers.try_iter().count(), BATCH_MAX);
        feed.stop();
        feed_thread.join().unwrap();
    }

    /// Spec §7.7d: what is noted last is what happened last, also within one commit.
    #[test]
    fn that_a_command_did_not_leave_before_does_not_undo_that_it_leaves_now() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path());
        let mut writer = open(&config).unwrap();
        let now = utc_us();
        writer.add_command("gh-7", "identify", &[0], now + 60_000_000, now).unwrap();
        let (changes, _) = tokio::sync::broadcast::channel(16);
        let (feed, feed_thread) = Feed::start(dir.path().into(), changes, None).unwrap();
        let (requests, receiver) = std::sync::mpsc::channel();
        let (engine, inputs) = std::sync::mpsc::channel();
        let device: Arc<str> = "gh-7".into();
        let (kind, outcome) = (MessageType::Command, End::NoTaker);
        let conclusion = Conclusion { device: device.clone(), kind, id: 1, raised: false, outcome };
        requests.send(Request::Conclude(conclusion)).unwrap();
        requests.send(Request::Record { token: Token(1), device, command_id: 1 }).unwrap();
        requests.send(Request::Stop).unwrap();
        let (waker, live) = (Waker::new().unwrap(), Arc::new(Live::default()));
        let stats = Arc::new(Stats::default());
        let store =
            spawn(writer, &config, receiver, engine, waker, stats, (live, feed.clone())).unwrap();
        store.join().unwrap();
        feed.stop();
        feed_thread.join().unwrap();
        assert!(matches!(inputs.recv(), Ok(Input::Recorded(Token(1), true))));
        let command = Reader::open(dir.path()).unwrap().command("gh-7", 1).unwrap().unwrap();
        assert_eq!(command.state, CommandState::Sent, "it leaves: it must never leave again");
    }
}
