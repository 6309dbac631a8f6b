//! The way out: a client, what became of each line, and the last words.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use senda_client::journal::Journal;
use senda_client::spool::{Options, Sync};
use senda_client::{
    Batch, Client, Declared, DropPolicy, Endpoint, Error, PushError, QueueLimits, Receipt, RowLost,
    Sample, SendError, Transport,
};
use senda_wire::Clock;
use tokio::time::{Instant, sleep_until, timeout};

use super::stop::{Cause, Stop};
use crate::journal;

/// Rows that wait for the collector; beyond it a pipe waits, and of this machine's readings the oldest go.
const QUEUE_ROWS: u32 = 100_000;
const QUEUE_BYTES: u32 = 16 << 20;
/// Of a file, which keeps them anyway, no more than keeps the line busy.
const QUEUE_ROWS_OF_FILE: u32 = 10_000;
/// Rows that leave together, and how long the first of them waits for the others.
pub(super) const BATCH: Batch = Batch { rows: 64, delay: Duration::from_millis(20) };
/// After so many rows the client's task gets its turn.
const TURN_ROWS: u64 = 64;
/// With a spool: receipts that wait at most; rows of older ones are on the spool, and their end is not waited for.
const KEPT_RECEIPTS: usize = 100_000;
/// How long a collector may be away before anything is said of it.
const ABSENT_AFTER: u32 = 5;

/// How long the ledger may take that is told in the end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What happens while the collector takes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wait {
    /// The input can't be read again: it waits as long as it takes.
    ForEver,
    /// The input is a file that stays: it waits for so long without an acknowledgement.
    Patiently,
    /// Nothing waits: the oldest rows go.
    Never,
}

/// What to send as, and where to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) device: String,
    /// One, or one for each transport.
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) clock: Clock,
    /// Bits of HELLO: what this source takes from the collector.
    pub(super) downlink: u8,
    pub(super) patience: Duration,
    pub(super) wait: Wait,
    /// Where to record what is made and told.
    pub(super) journal: Option<Journal>,
    /// Where rows are kept, and how many bytes of them.
    pub(super) spool: Option<(PathBuf, u64)>,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    /// Lines, or rounds over this machine.
    pub(super) read: u64,
    pub(super) bad: u64,
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) refused: u64,
    pub(super) dropped: u64,
    pub(super) unacknowledged: u64,
    /// Not acknowledged in the end, and on the spool: those of earlier runs among them.
    pub(super) kept: u64,
    /// The first line that may not be stored.
    pub(super) first_open: Option<u64>,
    /// The journal could not be written.
    pub(super) is_unrecorded: bool,
}

/// Why reading ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Over {
    /// Somebody, or `--duration`.
    Stopped,
    /// The collector has taken nothing for too long.
    OutOfPatience,
    /// The collector refused the schema: it would refuse every row.
    Refused,
}

/// What became of a row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Sent {
    Queued,
    /// It does not fit its schema.
    Bad(String),
    Over(Over),
}

/// See the module.
pub(super) struct Outlet {
    pub(super) client: Client,
    pub(super) figures: Figures,
    target: Target,
    stop: Stop,
    /// Rows without an acknowledgement, by line.
    open: VecDeque<(u64, Receipt)>,
    watch: tokio::task::JoinHandle<()>,
}

impl Outlet {
    /// Begins to connect.
    pub(super) fn open(target: Target, stop: Stop) -> anyhow::Result<Self> {
        let (rows, policy) = match target.wait {
            Wait::Never => (QUEUE_ROWS, DropPolicy::DropOldest),
            Wait::ForEver => (QUEUE_ROWS, DropPolicy::RefuseNew),
            Wait::Patiently => (QUEUE_ROWS_OF_FILE, DropPolicy::RefuseNew),
        };
        let (first, more) = target.endpoints.split_first().context("there is no address")?;
        let mut builder = Client::builder_at(&target.device, first.clone());
        for endpoint in more {
            builder = builder.also_at(endpoint.clone())?;
        }
        if let Some((directory, bytes)) = &target.spool {
            let options = Options { sync: Sync::Caller, ..Options::new(*bytes) };
            builder = builder.spool_with(directory, options);
        }
        let client = builder
            .clock(target.clock)
            .journal(target.journal.clone())
            .configure(|config| {
                config.queue = QueueLimits { rows, bytes: QUEUE_BYTES, policy };
                config.batch = BATCH;
                config.downlink = target.downlink;
                config.rejoin_jitter = Duration::from_secs(1);
            })
            .connect()?;
        let collector: Vec<String> = target.endpoints.iter().map(Endpoint::to_string).collect();
        let watch = tokio::spawn(watch(client.clone(), collector.join(" or ")));
        let (figures, open) = (Figures::default(), VecDeque::new());
        Ok(Self { client, figures, target, stop, open, watch })
    }

    /// Queues a row that a line made; waits while there is no room.
    pub(super) async fn send(&mut self, line: u64, schema: &Declared, sample: &Sample) -> Sent {
        self.settle();
        loop {
            match self.client.try_send(schema, sample) {
                Ok(receipt) => {
                    self.open.push_back((line, receipt));
                    if self.target.spool.is_some() && self.open.len() > KEPT_RECEIPTS {
                        // It is on the spool: nobody waits for it here any more.
                        self.open.pop_front();
                    }
                    self.figures.sent += 1;
                    if self.figures.sent.is_multiple_of(TURN_ROWS) {
                        tokio::task::yield_now().await;
                    }
                    return Sent::Queued;
                }
                Err(SendError::Push(PushError::Full | PushError::StreamFull)) => {
                    if let Err(over) = self.wait_for_room().await {
                        return Sent::Over(over);
                    }
                }
                Err(SendError::Push(PushError::SchemaRefused(_))) => {
                    return Sent::Over(Over::Refused);
                }
                Err(error) => return Sent::Bad(format!("{:#}", anyhow::Error::new(error))),
            }
        }
    }

    /// Notes what has become of rows meanwhile.
    pub(super) fn settle(&mut self) {
        while let Some((line, fate)) =
            self.open.front_mut().and_then(|(line, receipt)| Some((*line, receipt.try_fate()?)))
        {
            self.open.pop_front();
            self.note(line, fate);
        }
    }

    /// Waits for the oldest row to be settled: then there is room.
    async fn wait_for_room(&mut self) -> Result<(), Over> {
        let Some((line, receipt)) = self.open.front_mut() else {
            tokio::task::yield_now().await;
            return Ok(());
        };
        let line = *line;
        let patience = match self.target.wait {
            Wait::Patiently => Some(Instant::now() + self.target.patience),
            Wait::ForEver | Wait::Never => None,
        };
        let fate = tokio::select! {
            biased;
            fate = receipt => fate,
            () = self.stop.wait() => return Err(Over::Stopped),
            () = until(patience) => return Err(Over::OutOfPatience),
        };
        self.open.pop_front();
        self.note(line, fate);
        Ok(())
    }

    fn note(&mut self, line: u64, fate: Result<(), RowLost>) {
        match fate {
            Ok(()) => self.figures.acknowledged += 1,
            Err(lost @ RowLost::Refused { .. }) => {
                self.figures.refused += 1;
                eprintln!("senda: line {line}: {lost}");
            }
            Err(lost @ RowLost::Dropped { .. }) => {
                self.figures.dropped += 1;
                if self.figures.dropped == 1 {
                    eprintln!("senda: line {line}: {lost}; further ones are only counted");
                }
            }
            Err(_) => {
                self.figures.unacknowledged += 1;
                self.figures.first_open.get_or_insert(line);
            }
        }
    }

    /// Waits until everything is acknowledged, as long as acknowledgements come; then says goodbye.
    pub(super) async fn finish(mut self) -> (Figures, Option<Cause>) {
        self.client.with_device(senda_client::Device::flush);
        self.settle();
        let mut deadline = Instant::now() + self.target.patience;
        while let Some((line, receipt)) = self.open.front_mut() {
            let line = *line;
            let Ok(fate) = tokio::time::timeout_at(deadline, receipt).await else { break };
            deadline = Instant::now() + self.target.patience;
            self.open.pop_front();
            self.note(line, fate);
        }
        self.watch.abort();
        // What is not acknowledged by now won't be: it only says that it goes. Else the ledger goes first (COUNTS), and what
        // earlier runs left on the spool has its time.
        let patience = match (&self.target.spool, self.open.is_empty()) {
            (Some(_), _) => self.target.patience,
            (None, true) => LAST_WORDS,
            (None, false) => Duration::ZERO,
        };
        let closed = timeout(2 * self.target.patience, self.client.close(patience)).await;
        if let Ok(Err(Error::Kept { rows })) = closed {
            self.figures.kept = rows;
        }
        for (line, mut receipt) in std::mem::take(&mut self.open) {
            self.note(line, receipt.try_fate().unwrap_or(Err(RowLost::Ended)));
        }
        self.figures.is_unrecorded = !journal::is_complete(self.target.journal.as_ref());
        (self.figures, self.stop.cause())
    }
}

/// For ever without an end.
async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// Says when the collector is not there, and when it is back.
async fn watch(client: Client, collector: String) {
    let mut absent = 0;
    let mut before = client.with_uplink(|uplink| uplink.transport());
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let transport = client.with_uplink(|uplink| uplink.transport());
        if transport != before {
            let way = if transport == Transport::Udp { "UDP" } else { "TCP" };
            eprintln!("senda: goes on over {way}");
            before = transport;
        }
        let (is_serving, pending) =
            client.with_device(|device| (device.is_serving(), device.pending()));
        match (is_serving, absent) {
            (true, ABSENT_AFTER..) => {
                eprintln!("senda: {collector} answers");
                absent = 0;
            }
            (true, _) => absent = 0,
            (false, _) => {
                absent += 1;
                if absent == ABSENT_AFTER {
                    eprintln!("senda: no answer from {collector}; {pending} rows wait for it");
                }
            }
        }
    }
}
