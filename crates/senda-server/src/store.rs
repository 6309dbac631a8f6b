//! The store thread: one commit for everything that waits, filing in between.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use senda_keeper::{Effect, Keeper, rows_stored};
use senda_store::{Landing, Outcome, Verdict, What, Writer};

use crate::engine::{Input, utc_us};
use crate::feed::{Feed, Item};
use crate::live::Live;
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

/// What the other threads ask of the store.
pub(crate) enum Request {
    /// What the engine asks.
    Engine(senda_keeper::Request),
    /// A row of a device that doesn't speak Senda/1.
    Raw(RawLanding),
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
    let thread = Thread {
        keeper: Keeper::new(writer),
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
    std::thread::Builder::new().name("senda-store".into()).spawn(move || thread.run())
}

/// Checkpoints cost milliseconds; on a thread of their own no commit waits for them. It ends with the store thread.
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

struct Thread {
    keeper: Keeper,
    /// How long a commit gathers.
    interval: Duration,
    /// Bytes of the inbox from which on filing gets more time.
    inbox_behind: u64,
    requests: Receiver<Request>,
    engine: Sender<Input>,
    waker: Waker,
    stats: Arc<Stats>,
    checkpoints: SyncSender<()>,
    live: Arc<Live>,
    feed: Feed,
    /// Blobs that the feed was given, or would have been.
    landed: u64,
    accepting: bool,
    next_sweep: Instant,
    /// A sweep has begun and is not done.
    sweeping: bool,
}

/// Who waits for a verdict beside the engine: a raw listener.
type RawWaiter = Box<dyn FnOnce(RawVerdict) + Send>;

/// Everything that waited.
#[derive(Default)]
struct Batch {
    asked: senda_keeper::Batch<RawWaiter>,
    calls: Vec<Call>,
    stop: bool,
}

impl Thread {
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
        let Batch { asked, calls, .. } = batch;
        let lands = !asked.landings().is_empty();
        self.keeper.writer_mut().follow(follows);
        let Self { keeper, stats, live, feed, engine, .. } = self;
        keeper.commit(asked, now, &mut |effect| match effect {
            Effect::Landed(landings, verdicts) => count(stats, live, landings, verdicts, now),
            // The engine is gone only after a panic; the commit stands all the same.
            Effect::Answer(answer) => drop(engine.send(Input::Answer(answer))),
            Effect::Verdict(done, verdict) => done(translate_raw(&verdict)),
            Effect::Changed(change) => feed.tell(Item::from(change)),
        });
        self.waker.wake();
        if !follows && lands {
            self.landed += 1; // A gap: what nobody was shown may have been a schema.
        }
        for blob in self.keeper.writer_mut().take_landed() {
            self.feed.landed(self.landed, blob);
            self.landed += 1;
        }
        for call in calls {
            call(self.keeper.writer_mut(), now);
        }
    }

    /// Some steps of filing while requests are waiting; as many as there are otherwise. Returns when it goes on.
    fn file(&mut self) -> Option<i64> {
        let begin = Instant::now();
        loop {
            let now = utc_us();
            let filing = match self.keeper.writer_mut().file(now, STEP_ROWS) {
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
        let filed = self.keeper.writer_mut().file_all(utc_us());
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
        let more = self.keeper.writer_mut().retain(utc_us(), STEP_ROWS);
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
        let accepting = self.keeper.writer_mut().is_accepting(utc_us());
        if accepting != self.accepting {
            self.accepting = accepting;
            tracing::warn!(accepting, "the store's inbox");
            let _ = self.engine.send(Input::Accepting(accepting)); // Gone only after a panic.
            self.waker.wake();
        }
    }
}

impl Batch {
    fn add(&mut self, request: Request) {
        match request {
            Request::Engine(request) => self.asked.add(request, utc_us()),
            Request::Raw(landing) => self.land_raw(landing),
            Request::Call(call) => self.calls.push(call),
            Request::Stop => self.stop = true,
        }
    }

    /// Says what the stream is first, if the store does not know.
    fn land_raw(&mut self, landing: RawLanding) {
        let RawLanding { device, stream, received_us, begin, row, body, done } = landing;
        let landing =
            |what| Landing { device: device.clone(), stream, received: received_us, what };
        if let Some((transport, software, description)) = begin {
            let seen = What::Seen { transport: transport.into(), software };
            self.asked.land(None, landing(seen));
            self.asked.land(None, landing(What::Declare { id: 0, description }));
        }
        let what =
            What::Rows { first: row, count: 1, sparse: false, schema: 0, body, refused: vec![] };
        self.asked.land(Some(done), landing(what));
    }
}

fn count(stats: &Stats, live: &Live, landings: &[Landing], verdicts: &[Verdict], now: i64) {
    if landings.is_empty() {
        return;
    }
    let failed = verdicts.iter().find_map(|verdict| match &verdict.outcome {
        Outcome::Failed(reason) => Some(reason.clone()),
        _ => None,
    });
    match failed {
        Some(reason) => {
            Stats::add(&stats.commits_failed, 1);
            tracing::error!(%reason, "commit failed; nothing of it is acknowledged, and the devices send it again");
        }
        None => Stats::add(&stats.commits, 1),
    }
    let rows = landings.iter().zip(verdicts).filter_map(|(landing, verdict)| {
        let rows = rows_stored(landing, verdict);
        (rows > 0).then_some((&*landing.device, rows))
    });
    Stats::add(&stats.rows_stored, rows.clone().map(|(_, rows)| rows).sum());
    live.note_rows(now, rows);
}

/// The store's words in a raw listener's.
fn translate_raw(verdict: &Verdict) -> RawVerdict {
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
    use senda_keeper::{Answer, Conclusion};
    use senda_session::collector::{Outcome as End, Token};
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
            let what = What::Event { kind: "old".into(), text: String::new() };
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
        let thread = Thread {
            checkpoints: spawn_checkpointer(&writer).unwrap(),
            keeper: Keeper::new(writer),
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
        assert!(thread.gather(record()).asked.landings().is_empty());
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
        requests.send(Request::Engine(senda_keeper::Request::Conclude(conclusion))).unwrap();
        let record = senda_keeper::Request::Record { token: Token(1), device, command_id: 1 };
        requests.send(Request::Engine(record)).unwrap();
        requests.send(Request::Stop).unwrap();
        let (waker, live) = (Waker::new().unwrap(), Arc::new(Live::default()));
        let stats = Arc::new(Stats::default());
        let store =
            spawn(writer, &config, receiver, engine, waker, stats, (live, feed.clone())).unwrap();
        store.join().unwrap();
        feed.stop();
        feed_thread.join().unwrap();
        assert!(matches!(inputs.recv(), Ok(Input::Answer(Answer::Recorded(Token(1), true)))));
        let command = Reader::open(dir.path()).unwrap().command("gh-7", 1).unwrap().unwrap();
        assert_eq!(command.state, CommandState::Sent, "it leaves: it must never leave again");
    }
}
