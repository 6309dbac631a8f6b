//! Ctrl-C and SIGTERM.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// Why a wait ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// The time was over.
    Elapsed,
}

/// Waits for Ctrl-C, SIGTERM or the end of `duration`, and calls `tick` in between. It calls `ready` once neither signal ends
/// the process by itself any more: whoever hears of it may send one.
///
/// A second Ctrl-C ends the process at once with 130; a second SIGTERM doesn't, for supervisors may send several.
pub(crate) fn wait(
    duration: Option<Duration>,
    every: Duration,
    ready: impl FnOnce() -> anyhow::Result<()>,
    mut tick: impl FnMut(),
) -> anyhow::Result<Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a timer")?;
    let stop = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        ready()?;
        let end = tokio::time::sleep(
            duration.unwrap_or(Duration::MAX / 4).min(Duration::from_secs(1 << 30)),
        );
        tokio::pin!(end);
        let mut ticks = tokio::time::interval(every);
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok::<_, anyhow::Error>(Stop::Interrupted),
                _ = terminate.recv() => return Ok(Stop::Terminated),
                () = &mut end => return Ok(Stop::Elapsed),
                _ = ticks.tick() => tick(),
            }
        }
    })?;
    if stop == Stop::Interrupted {
        exit_on_the_next(runtime, false);
    }
    Ok(stop)
}

/// From now on Ctrl-C and SIGTERM end the process at once: for programs of which nothing is left but words.
pub(crate) fn exit_on_the_next_signal() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    exit_on_the_next(runtime.context("start a timer")?, true);
    Ok(())
}

/// From now on Ctrl-C does not wait for a drain; nor does SIGTERM, if it `may_terminate`.
fn exit_on_the_next(runtime: tokio::runtime::Runtime, may_terminate: bool) {
    std::thread::spawn(move || {
        let code = runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).ok()?;
            let mut terminate = signal(SignalKind::terminate()).ok()?;
            tokio::select! {
                _ = interrupt.recv() => Some(INTERRUPTED),
                _ = terminate.recv(), if may_terminate => Some(TERMINATED),
            }
        });
        if let Some(code) = code {
            #[expect(clippy::exit, reason = "the user asked twice")]
            std::process::exit(code);
        }
    });
}

/// Exit codes of what a second signal ended: as shells say it, 128 and the signal's number.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;
