//! A program, with the report on its standard input.

use std::cell::RefCell;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;

use super::report::Report;
use super::schedule::Attempt;
use super::target::Exec;
use crate::alerts::text::clean;
use senda_keeper::cut;

/// The end of the standard error that is kept.
const TAIL_MAX: usize = 4096;
/// After the program's end: what it started may hold its standard error open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Runs one program at a time.
pub(super) struct Runner {
    exec: Exec,
    /// True: kill what runs.
    halted: watch::Receiver<bool>,
    runtime: tokio::runtime::Runtime,
}

impl Runner {
    pub(super) fn new(exec: Exec, halted: watch::Receiver<bool>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { exec, halted, runtime })
    }

    /// Runs the program to its end, at most for its time.
    pub(super) fn tell(&mut self, report: &Report) -> Attempt {
        let Self { exec, halted, runtime } = self;
        match runtime.block_on(run(exec, halted, report)) {
            Ok(attempt) => attempt,
            Err(error) => {
                let why = format!("can't run {:?}: {error}", exec.command[0]);
                Attempt::Refused { why }
            }
        }
    }
}

async fn run(
    exec: &Exec,
    halted: &mut watch::Receiver<bool>,
    report: &Report,
) -> io::Result<Attempt> {
    let mut child = Command::new(&exec.command[0])
        .args(&exec.command[1..])
        .envs(environment(report))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Of its own: a time-out ends what it started, and Ctrl-C on the collector's terminal does not.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take();
    let mut errors = child.stderr.take();
    let tail = RefCell::new(Vec::new());
    let body = report.to_json() + "\n";
    let talk = async {
        let write = async {
            if let Some(mut input) = input.take() {
                // A program that does not read its input is free not to.
                let _ = input.write_all(body.as_bytes()).await;
            }
        };
        tokio::join!(write, keep_tail(&mut errors, &tail));
    };
    tokio::pin!(talk);
    let mut talking = true;
    let limit = tokio::time::sleep(exec.timeout);
    tokio::pin!(limit);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            () = &mut talk, if talking => talking = false,
            () = &mut limit => {
                kill(&mut child).await;
                let why = format!("killed after {:?}", exec.timeout);
                return Ok(Attempt::Refused { why });
            }
            // An error means that nobody can halt us any longer.
            _ = halted.wait_for(|halted| *halted) => {
                kill(&mut child).await;
                return Ok(Attempt::Later { why: "halted".to_owned(), after: None, down: false });
            }
        }
    };
    if talking {
        let _ = tokio::time::timeout(LAST_WORDS, &mut talk).await;
    }
    Ok(judge(status, &tail.borrow()))
}

/// Kills the program's group and waits for it.
async fn kill(child: &mut Child) {
    // Not waited for yet, so the number is still its own.
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let _ = child.wait().await;
}

/// Reads to the end, and keeps the last bytes.
async fn keep_tail(errors: &mut Option<ChildStderr>, tail: &RefCell<Vec<u8>>) {
    let Some(errors) = errors else {
        return;
    };
    let mut chunk = [0; TAIL_MAX];
    while let Ok(len @ 1..) = errors.read(&mut chunk).await {
        let mut tail = tail.borrow_mut();
        tail.extend_from_slice(&chunk[..len]);
        let excess = tail.len().saturating_sub(TAIL_MAX);
        tail.drain(..excess);
    }
}

fn judge(status: ExitStatus, tail: &[u8]) -> Attempt {
    if status.success() {
        return Attempt::Delivered;
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (_, Some(signal)) => format!("killed by signal {signal}"),
        _ => status.to_string(),
    };
    let text = String::from_utf8_lossy(tail);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map(|line| format!(": {}", cut(&clean(line.trim()), 160)));
    Attempt::Refused { why: how + &last.unwrap_or_default() }
}

/// The report as variables. Values are without control characters, so without NUL.
fn environment(report: &Report) -> impl Iterator<Item = (&'static str, String)> {
    let plain = |value: &serde_json::Value| match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let variables = [
        ("SENDA_ALERT_ID", report.id.to_string()),
        ("SENDA_ALERT_RULE", report.rule.clone()),
        ("SENDA_ALERT_DEVICE", report.device.clone()),
        ("SENDA_ALERT_SCHEMA", report.schema.clone()),
        ("SENDA_ALERT_CHANNEL", report.channel.clone()),
        ("SENDA_ALERT_STATE", report.state.clone()),
        ("SENDA_ALERT_SEVERITY", report.severity.clone()),
        ("SENDA_ALERT_TIME", report.time.clone()),
        ("SENDA_ALERT_TIME_US", report.time_us.to_string()),
        ("SENDA_ALERT_VALUE", plain(&report.value)),
        ("SENDA_ALERT_UNIT", report.unit.clone()),
        ("SENDA_ALERT_THRESHOLD", plain(&report.threshold)),
        ("SENDA_ALERT_TEXT", report.text.clone()),
    ];
    variables.into_iter().map(|(name, value)| (name, clean(&value)))
}
