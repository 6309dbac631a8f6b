//! Ctrl-C and SIGTERM, for commands that run until then.

use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::signal::Stop;

/// From the moment that this exists, neither ends the process by itself.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
        let terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        Ok(Self { interrupt, terminate })
    }

    /// The next one. Nothing is lost when this is dropped while it waits.
    pub(super) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.interrupt.recv() => Stop::Interrupted,
            _ = self.terminate.recv() => Stop::Terminated,
        }
    }
}

/// The exit code of a command that somebody ended.
pub(super) fn exit_code(stop: Stop) -> ExitCode {
    match stop {
        Stop::Interrupted => ExitCode::from(130),
        Stop::Terminated | Stop::Elapsed => ExitCode::SUCCESS,
    }
}

/// A runtime on this thread: the lab's commands wait far more than they work.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start a runtime")
}
