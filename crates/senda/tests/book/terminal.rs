//! A terminal: one command after the other, each with a process group, as a shell has it.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::expect::{Memory, Verdict};
use crate::processes::PATIENCE;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// A line that is a key: Ctrl-C.
const INTERRUPT: &str = "^C";

/// What a command is expected to do.
pub(crate) struct Expected<'a> {
    pub(crate) output: &'a [String],
    pub(crate) any_spaces: bool,
    /// The exit code, of one that must end.
    pub(crate) exit: Option<i32>,
}

/// A command under way.
pub(crate) struct Terminal {
    command: String,
    child: Child,
    status: Option<ExitStatus>,
    came: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    /// Lines that the chapter has shown.
    shown: usize,
    patience: Duration,
}

impl Terminal {
    pub(crate) fn start(command: &mut Command, text: &str) -> Result<Self, String> {
        let (mut pipe, write) = std::io::pipe().map_err(|error| error.to_string())?;
        let both = write.try_clone().map_err(|error| error.to_string())?;
        command.stdin(Stdio::null()).stdout(write).stderr(both).process_group(0);
        let child = command.spawn().map_err(|error| format!("{text}: {error}"))?;
        // The command keeps its ends of the pipe, and its last one must be the child's.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let came = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&came);
        let reader = std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(len @ 1..) = pipe.read(&mut some) {
                sink.lock().expect("no reader panics").extend_from_slice(&some[..len]);
            }
        });
        Ok(Self {
            command: text.into(),
            child,
            status: None,
            came,
            reader: Some(reader),
            shown: 0,
            patience: PATIENCE,
        })
    }

    /// Waits until the expected output is there, and nothing else if the command must end.
    pub(crate) fn expect(
        &mut self,
        memory: &mut Memory,
        expected: &Expected,
    ) -> Result<(), String> {
        let mut parts = expected.output.split(|line| line == INTERRUPT).peekable();
        let mut interrupted = false;
        while let Some(part) = parts.next() {
            let is_last = parts.peek().is_none();
            let must_end = is_last && (interrupted || expected.exit.is_some());
            self.wait(memory, part, expected.any_spaces, must_end)?;
            if !is_last {
                self.signal(Signal::INT);
                interrupted = true;
            }
        }
        let (Some(code), Some(status)) = (expected.exit, self.status) else { return Ok(()) };
        // A shell's way of saying so.
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        let came = status.code().or(signal.map(|signal| 128 + signal));
        if came == Some(code) {
            return Ok(());
        }
        Err(self.complaint(&format!("it ended with {status}, not with exit code {code}")))
    }

    /// That nothing came which the chapter doesn't show.
    pub(crate) fn finish(self) -> Result<(), String> {
        self.signal(Signal::KILL);
        let lines = self.lines();
        if lines.len() > self.shown {
            let more = lines[self.shown..].join("\n");
            return Err(self.complaint(&format!("it also printed:\n{more}\n")));
        }
        Ok(())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap_or_default();
        }
        self.status.is_some()
    }

    fn wait(
        &mut self,
        memory: &mut Memory,
        expected: &[String],
        any_spaces: bool,
        must_end: bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + self.patience;
        loop {
            // First whether it has ended, then what came: so nothing comes in between.
            self.has_ended();
            let all_came = self.all_came();
            let lines = self.lines();
            let mut tried = memory.clone();
            let verdict = tried.compare(expected, &lines[self.shown..], any_spaces);
            match verdict {
                Verdict::Met(count)
                    if !must_end || (all_came && self.shown + count == lines.len()) =>
                {
                    self.shown += count;
                    *memory = tried;
                    return Ok(());
                }
                Verdict::Met(count) if self.shown + count < lines.len() => {
                    let more = &lines[self.shown + count];
                    return Err(self.complaint(&format!("this is not in the chapter: {more}")));
                }
                Verdict::Missed(index) => {
                    return Err(self.complaint(&format!("expected here: {}", expected[index])));
                }
                Verdict::Waiting if all_came => {
                    return Err(self.complaint(&format!(
                        "it ended; expected were, in order:\n{}\n",
                        expected.join("\n")
                    )));
                }
                _ if Instant::now() > deadline => {
                    return Err(self.complaint(&format!(
                        "waited {:?} for {}:\n{}\n",
                        self.patience,
                        if verdict == Verdict::Waiting { "output" } else { "its end, after" },
                        expected.join("\n")
                    )));
                }
                _ => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Whether it has ended and nothing else can come: its children may have the pipe for longer.
    fn all_came(&self) -> bool {
        self.status.is_some() && self.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Complete lines so far. At the very end, the rest is a line too.
    fn lines(&self) -> Vec<String> {
        let all_came = self.all_came();
        let came = self.came.lock().expect("no reader panics");
        let end = if all_came {
            came.len()
        } else {
            came.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)
        };
        String::from_utf8_lossy(&came[..end]).lines().map(str::to_owned).collect()
    }

    fn complaint(&self, what: &str) -> String {
        let came = self.lines();
        let (shown, new) = came.split_at(self.shown.min(came.len()));
        let shown = if shown.is_empty() { "" } else { "(after what was shown before) " };
        format!("$ {}\n{what}\n{shown}it printed:\n{}", self.command, new.join("\n"))
    }

    /// To the command and its children, as a terminal does it.
    fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            // Until it is waited for, the number is our child's; it fails only when all have ended.
            let _ = kill_process_group(Pid::from_child(&self.child), signal);
        }
    }

    pub(crate) fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn be_impatient(&mut self, patience: Duration) {
        self.patience = patience;
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}
