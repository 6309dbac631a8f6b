//! Why reading ends before the input does.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Who ended it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// `--duration` is over.
    Elapsed,
}

/// Tells whoever waits for something else that it is time to end.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    cause: watch::Receiver<Option<Cause>>,
}

impl Stop {
    /// Begins to listen. From the second Ctrl-C on nothing is waited for: the process ends with 130.
    pub(super) fn listen(duration: Option<Duration>) -> anyhow::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let (sender, cause) = watch::channel(None);
        tokio::spawn(async move {
            let end = async {
                match duration {
                    Some(duration) => tokio::time::sleep(duration).await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(end);
            loop {
                let cause = tokio::select! {
                    _ = interrupt.recv() => Cause::Interrupted,
                    _ = terminate.recv() => Cause::Terminated,
                    () = &mut end, if sender.borrow().is_none() => Cause::Elapsed,
                };
                let before = *sender.borrow();
                if cause == Cause::Interrupted && before == Some(Cause::Interrupted) {
                    std::process::exit(130); // The user asked twice.
                }
                if before.is_none() || cause == Cause::Interrupted {
                    sender.send_replace(Some(cause));
                }
            }
        });
        Ok(Self { cause })
    }

    /// Who ended it, if somebody did.
    pub(super) fn cause(&self) -> Option<Cause> {
        *self.cause.borrow()
    }

    /// Returns when it is time to end.
    pub(super) async fn wait(&mut self) {
        // The sender lives as long as the runtime.
        if self.cause.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
