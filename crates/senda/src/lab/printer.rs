//! Standard output behind a thread of its own: a terminal that stands still (Ctrl-S) holds up no socket.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::Context;
use tokio::sync::Notify;

use crate::signal;

/// Lines that may wait to be printed; what comes beyond is left out and counted.
const WAITING_MAX: usize = 4_096;

/// The way to the printing thread.
pub(super) struct Printer {
    lines: SyncSender<String>,
    left_out: u64,
    closed: Arc<Notify>,
    thread: JoinHandle<io::Result<()>>,
}

impl Printer {
    pub(super) fn start() -> anyhow::Result<Self> {
        let (lines, receiver) = sync_channel::<String>(WAITING_MAX);
        let closed = Arc::new(Notify::new());
        let over = Arc::clone(&closed);
        let print = move || {
            let mut out = io::stdout();
            let printed = receiver.iter().try_for_each(|line| {
                writeln!(out, "{line}")?;
                out.flush()
            });
            over.notify_one();
            printed
        };
        let thread = std::thread::Builder::new().name("output".into()).spawn(print);
        Ok(Self { lines, left_out: 0, closed, thread: thread.context("start a thread")? })
    }

    /// Prints a line when its turn comes.
    pub(super) fn line(&mut self, line: String) {
        if self.lines.try_send(line).is_err() {
            self.left_out += 1;
        }
    }

    /// How many lines nobody read in time.
    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Returns when nobody reads standard output any more.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Has everything printed that waits, then these lines; after that nothing.
    pub(super) fn finish(self, last: String) -> anyhow::Result<()> {
        signal::exit_on_the_next_signal()?; // Should nobody read what is left.
        let _ = self.lines.send(last); // If the thread is gone, it says why.
        drop(self.lines);
        self.thread.join().unwrap_or(Ok(())).context("write to standard output")
    }
}
