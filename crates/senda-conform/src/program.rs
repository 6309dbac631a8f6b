//! The implementation, as a child process of the kit.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Error;

/// A command line in which `{name}` stands for a value that the kit chooses.
#[derive(Clone, Debug)]
pub struct Program {
    words: Vec<String>,
}

impl Program {
    /// `words` is the program and its arguments; `None` if there are none.
    pub fn new(words: Vec<String>) -> Option<Self> {
        (!words.is_empty()).then_some(Self { words })
    }

    /// Whether `{name}` is in the command.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        self.words.iter().any(|word| word.contains(&format!("{{{name}}}")))
    }

    /// Starts it; what it prints is kept for the day that it fails.
    pub(crate) fn start(
        &self,
        values: &BTreeMap<&str, String>,
        environment: &[(&str, Option<&str>)],
    ) -> Result<Running, Error> {
        let words: Vec<String> = self.words.iter().map(|word| filled(word, values)).collect();
        let line = words.join(" ");
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command
            .spawn()
            .map_err(|error| Error::Program { program: line.clone(), reason: error.to_string() })?;
        let said = Arc::new(Mutex::new(Vec::new()));
        if let Some(pipe) = child.stderr.take() {
            let said = Arc::clone(&said);
            // It ends with the child.
            std::thread::spawn(move || listen(pipe, &said));
        }
        Ok(Running { child, line, said })
    }
}

/// `word` with every `{name}` of `values` replaced.
pub(crate) fn filled(word: &str, values: &BTreeMap<&str, String>) -> String {
    values
        .iter()
        .fold(word.to_owned(), |word, (name, value)| word.replace(&format!("{{{name}}}"), value))
}

/// A child; it does not outlive this value.
pub(crate) struct Running {
    child: Child,
    line: String,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Running {
    /// SIGKILL, and wait for the end.
    pub(crate) fn kill(&mut self) {
        // Either fails only for a child that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        // It fails only for a child that has ended; until it is waited for, the number is our child's.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// Its exit code, once it has ended: `Some(None)` after a signal.
    pub(crate) fn ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().ok().flatten().map(|status| status.code())
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<Option<i32>> {
        let deadline = Instant::now() + patience;
        loop {
            let ended = self.ended();
            if ended.is_some() || Instant::now() >= deadline {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The last line that it said on standard error, to explain an end that nobody asked for.
    pub(crate) fn last_words(&self) -> String {
        let said = self.said.lock().map(|said| said.clone()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        said.lines().next_back().unwrap_or("it said nothing on standard error").to_owned()
    }

    /// Its command line.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What is kept of what a child says.
const WORDS_KEPT: usize = 4_096;

fn listen(mut pipe: impl Read, said: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1_024];
    while let Ok(len @ 1..) = pipe.read(&mut buffer) {
        let Ok(mut said) = said.lock() else { return };
        said.extend(&buffer[..len]);
        let excess = said.len().saturating_sub(WORDS_KEPT);
        said.drain(..excess);
    }
}
