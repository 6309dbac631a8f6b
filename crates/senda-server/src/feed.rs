//! What is stored, decoded as it lands: for people who watch, and for the alert rules. On a thread of its own, behind the
//! store: it can be late, it can leave something out and say so, and it never holds up a commit.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use senda_keeper::Change;
use senda_store::{AlertRecord, CommandRecord, EventRecord, Follower, Sample};
use tokio::sync::{broadcast, oneshot};

use crate::watch::Watch;

/// Something that was stored.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Reading(Box<Sample>),
    Event(EventRecord),
    Command(Box<CommandRecord>),
    Alert(Box<AlertRecord>),
    /// A device answered a CONFIG.
    Config {
        device: Arc<str>,
        revision: u32,
        status: u8,
        text: String,
    },
}

impl From<Change> for Item {
    fn from(change: Change) -> Self {
        match change {
            Change::Command(record) => Self::Command(record),
            Change::Config { device, revision, status, text } => {
                Self::Config { device, revision, status, text }
            }
        }
    }
}

/// What the other threads tell the feed.
enum Input {
    /// A blob of a commit, and its number: they come without a gap, unless something was left out.
    Landed(u64, Vec<u8>),
    /// Somebody saw an alert.
    Acknowledge(u32),
    /// Somebody closes an alert; whether it stood.
    Close(u32, oneshot::Sender<bool>),
    Stop,
}

/// The sending end, for the store thread and the API.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    inputs: mpsc::Sender<Input>,
    shared: Arc<Shared>,
    items: broadcast::Sender<Arc<Vec<Item>>>,
    /// Commands, alerts, answers to CONFIG: few, and not worth decoding readings for.
    changes: broadcast::Sender<Arc<Item>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes of blobs on their way.
    bytes: AtomicUsize,
    /// Blobs that were left out.
    left_out: AtomicUsize,
    /// Somebody always wants the readings: there are alert rules.
    always: AtomicBool,
}

impl Feed {
    /// Starts the thread.
    pub(crate) fn start(
        dir: PathBuf,
        changes: broadcast::Sender<Arc<Item>>,
        watch: Option<Watch>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (inputs, receiver) = mpsc::channel();
        let (items, _) = broadcast::channel(COMMITS_KEPT);
        let shared = Arc::new(Shared::default());
        shared.always.store(watch.is_some(), Ordering::Relaxed);
        let feed = Self { inputs, shared: shared.clone(), items: items.clone(), changes };
        let worker = Worker { dir, follower: None, next: 0, shared, items, watch };
        let thread = std::thread::Builder::new()
            .name("senda-feed".into())
            .spawn(move || worker.run(&receiver))?;
        Ok((feed, thread))
    }

    /// True when somebody wants to see readings.
    pub(crate) fn is_wanted(&self) -> bool {
        self.shared.always.load(Ordering::Relaxed) || self.items.receiver_count() > 0
    }

    /// Takes the blobs of a commit; `number` counts them without a gap. What does not fit is left out.
    pub(crate) fn landed(&self, number: u64, blob: Vec<u8>) {
        if self.shared.bytes.load(Ordering::Relaxed) + blob.len() > BYTES_MAX {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.shared.bytes.fetch_add(blob.len(), Ordering::Relaxed);
        let _ = self.inputs.send(Input::Landed(number, blob)); // The thread ends last.
    }

    /// Tells who watches of a change.
    pub(crate) fn tell(&self, item: Item) {
        let _ = self.changes.send(Arc::new(item)); // Nobody may watch.
    }

    /// Commands, alerts and answers to CONFIG, from now on.
    pub(crate) fn subscribe_changes(&self) -> broadcast::Receiver<Arc<Item>> {
        self.changes.subscribe()
    }

    /// Readings and events that are stored from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Vec<Item>>> {
        self.items.subscribe()
    }

    /// Somebody saw an alert.
    pub(crate) fn acknowledge(&self, id: u32) {
        let _ = self.inputs.send(Input::Acknowledge(id));
    }

    /// Closes an alert: whether it stood. `None`: the feed has ended.
    pub(crate) async fn close(&self, id: u32) -> Option<bool> {
        let (answer, answered) = oneshot::channel();
        self.inputs.send(Input::Close(id, answer)).ok()?;
        answered.await.ok()
    }

    /// Ends the thread after what was told before.
    pub(crate) fn stop(&self) {
        let _ = self.inputs.send(Input::Stop);
    }
}

struct Worker {
    dir: PathBuf,
    /// `None` before the first blob and after a gap: it learns from the store anew.
    follower: Option<Follower>,
    next: u64,
    shared: Arc<Shared>,
    items: broadcast::Sender<Arc<Vec<Item>>>,
    watch: Option<Watch>,
}

impl Worker {
    fn run(mut self, inputs: &mpsc::Receiver<Input>) {
        let mut wait = self.tick();
        loop {
            match inputs.recv_timeout(wait) {
                Ok(Input::Landed(number, blob)) => self.decode(number, &blob),
                Ok(Input::Acknowledge(id)) => {
                    self.watch.iter_mut().for_each(|watch| watch.acknowledge(id));
                }
                Ok(Input::Close(id, answer)) => {
                    let stood = self.watch.as_mut().is_some_and(|watch| watch.close(id));
                    let _ = answer.send(stood); // Who asked may have gone.
                }
                Ok(Input::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            wait = self.tick();
        }
        if let Some(watch) = self.watch {
            watch.stop();
        }
    }

    fn tick(&mut self) -> Duration {
        self.watch.as_mut().map_or(IDLE, Watch::tick).min(IDLE)
    }

    fn decode(&mut self, number: u64, blob: &[u8]) {
        self.shared.bytes.fetch_sub(blob.len(), Ordering::Relaxed);
        let left_out = self.shared.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            tracing::warn!(left_out, "who watches is too slow: commits were left out");
            self.publish(vec![Item::Event(EventRecord {
                time: crate::engine::utc_us(),
                device: None,
                stream: 0,
                kind: "feed-left-out".into(),
                text: format!("{left_out} commits came faster than they could be shown"),
            })]);
        }
        if number != self.next {
            self.follower = None;
        }
        self.next = number + 1;
        if let Err(error) = self.follow(blob) {
            tracing::warn!(%error, "a commit that could not be shown");
            self.follower = None;
        }
    }

    fn follow(&mut self, blob: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
        let follower = match &mut self.follower {
            Some(follower) => follower,
            None => self.follower.insert(Follower::open(&self.dir)?),
        };
        let followed = follower.decode(blob)?;
        if let Some(watch) = &mut self.watch {
            followed.samples.iter().for_each(|sample| watch.observe(sample));
        }
        let readings = followed.samples.into_iter().map(|sample| Item::Reading(Box::new(sample)));
        let items = readings.chain(followed.events.into_iter().map(Item::Event)).collect();
        self.publish(items);
        Ok(())
    }

    fn publish(&self, items: Vec<Item>) {
        if !items.is_empty() && self.items.receiver_count() > 0 {
            let _ = self.items.send(Arc::new(items)); // Whoever watched may have left meanwhile.
        }
    }
}

/// Commits that somebody who watches may be behind; then some are left out for them.
pub(crate) const COMMITS_KEPT: usize = 1_024;
/// Bytes of blobs on their way to the feed.
const BYTES_MAX: usize = 64 << 20;
/// How long the thread sleeps at most.
const IDLE: Duration = Duration::from_secs(60);
