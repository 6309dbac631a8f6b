//! Children of a test: started with a clean environment, waited for with a deadline, killed at the end.

#![expect(clippy::print_stderr, reason = "what a child said, under a test that failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The longest that anything here may take; a test that is well needs a fraction of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);
/// Between two looks at something that will come: at first, and when it takes long.
const LOOKS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// `senda` with `arguments`, undisturbed by the settings of whoever runs the tests.
pub(crate) fn senda<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_senda"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SENDA_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

/// Waits until `look` finds something.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = LOOKS.0;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "in {PATIENCE:?} there was no {what}");
        std::thread::sleep(pause);
        pause = (2 * pause).min(LOOKS.1);
    }
}

/// What a child did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Itself, after a success.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Outcome {
    Running::start(command).finish()
}

/// A child under way, its output collected. It does not outlive this value.
pub(crate) struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().map(read_to_end);
        let stderr = child.stderr.take().map(read_to_end);
        Self { child, stdout, stderr }
    }

    /// Starts one and waits for its first line, which `finish` does not repeat. Later ones go to the receiver as they come.
    pub(crate) fn start_with_lines(command: &mut Command) -> (Self, String, Receiver<String>) {
        let (mut this, first, stdout) = Self::start_to_first_line(command);
        let (reader, lines) = send_lines(stdout);
        this.stdout = Some(reader);
        (this, first, lines)
    }

    /// Starts one and waits for its first line on standard error, which `finish` does not repeat. Those on standard output
    /// go to the receiver as they come.
    pub(crate) fn start_talking(command: &mut Command) -> (Self, String, Receiver<String>) {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut first = String::new();
        stderr.read_line(&mut first).expect("text");
        let stderr = Some(read_to_end(stderr));
        let (stdout, lines) = send_lines(BufReader::new(child.stdout.take().expect("a pipe")));
        (Self { child, stdout: Some(stdout), stderr }, first, lines)
    }

    /// The same, but nobody reads further lines until they are asked for.
    pub(crate) fn start_unread(
        command: &mut Command,
    ) -> (Self, String, impl FnOnce() -> Vec<String> + use<>) {
        let (this, first, stdout) = Self::start_to_first_line(command);
        (this, first, || stdout.lines().map_while(Result::ok).collect())
    }

    fn start_to_first_line(command: &mut Command) -> (Self, String, BufReader<ChildStdout>) {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = child.stderr.take().map(read_to_end);
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut first = String::new();
        stdout.read_line(&mut first).expect("text");
        (Self { child, stdout: None, stderr }, first, stdout)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send_signal(&self.child, signal);
    }

    /// Its standard input, for a command that has a pipe there. Dropping it is the end of the input.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("a pipe, once")
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    #[track_caller]
    pub(crate) fn finish(mut self) -> Outcome {
        let status = wait_for("end of a child", || self.child.try_wait().expect("a child of ours"));
        let text = |reader: Option<JoinHandle<String>>| {
            reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
        };
        let (stdout, stderr) = (text(self.stdout.take()), text(self.stderr.take()));
        Outcome { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// What a collector is started in: a tracer, a namespace, an environment. The command's process must become the collector's.
pub(crate) type Wrap = Arc<dyn Fn(Command) -> Command + Send + Sync>;

/// A `senda serve` of this test, on ports that the system chose.
pub(crate) struct Collector {
    child: Child,
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) data: PathBuf,
    /// Its first line: where it listens.
    line: String,
    /// Further arguments, for the next one.
    more: Vec<String>,
    /// What the next one is started in.
    wrap: Wrap,
    stderr: Arc<Mutex<String>>,
    // Kept open: a collector may print.
    _stdout: BufReader<ChildStdout>,
}

impl Collector {
    /// Starts one on both transports.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// Starts one with further arguments.
    pub(crate) fn start_with(data: &Path, more: &[&str]) -> Self {
        Self::start_wrapped(data, more, Arc::new(|command| command))
    }

    /// Starts one in something.
    pub(crate) fn start_wrapped(data: &Path, more: &[&str], wrap: Wrap) -> Self {
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        Self::launch(data, [any; 3], more, wrap)
            .unwrap_or_else(|stderr| panic!("no collector: {stderr}"))
    }

    /// SIGKILL.
    pub(crate) fn crash(&mut self) {
        end(&mut self.child);
    }

    /// Another one on the same ports and data, after the end of this one.
    pub(crate) fn restart(&mut self) {
        let addresses = [self.tcp, self.udp, self.http];
        // Somebody else may have one of the ports for a moment.
        let next = wait_for("collector on the same ports", || {
            let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
            Self::launch(&self.data, addresses, &more, Arc::clone(&self.wrap)).ok()
        });
        *self = next;
    }

    /// SIGTERM, and another one on the same ports and data.
    pub(crate) fn restart_after_stop(&mut self) {
        send_signal(&self.child, Signal::TERM);
        let child = &mut self.child;
        let status = wait_for("end of a drain", || child.try_wait().expect("a child of ours"));
        assert!(status.success());
        self.restart();
    }

    /// SIGTERM, and its exit code.
    #[track_caller]
    pub(crate) fn stop(mut self) -> ExitStatus {
        send_signal(&self.child, Signal::TERM);
        wait_for("end of a drain", || self.child.try_wait().expect("a child of ours"))
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Where its raw listener of this name is, on `udp` or `tcp`.
    #[track_caller]
    pub(crate) fn raw(&self, name: &str, transport: &str) -> SocketAddr {
        let begin = format!("raw.{name}.{transport}=");
        let found = self.line.split_whitespace().find_map(|word| word.strip_prefix(&begin));
        found.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("{}", self.line))
    }

    /// What it has said on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().expect("no reader panics").clone()
    }

    /// The most memory that it ever had, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).expect("Linux tells");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        peak.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }

    /// The status of an HTTP GET.
    pub(crate) fn get(&self, path: &str) -> u16 {
        let mut stream = TcpStream::connect(self.http).expect("HTTP listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: senda\r\nConnection: close\r\n\r\n")
            .expect("a request fits");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        status.and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    }

    /// The error says what it said before it ended.
    fn launch(
        data: &Path,
        addresses: [SocketAddr; 3],
        more: &[&str],
        wrap: Wrap,
    ) -> Result<Self, String> {
        let mut child = wrap(serve(data, addresses, more))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = Arc::new(Mutex::new(String::new()));
        let reader = child.stderr.take().map(|pipe| collect_lines(pipe, Arc::clone(&stderr)));
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        // It ends, or says where it listens: either way this returns.
        stdout.read_line(&mut line).expect("text");
        let address = |name: &str| {
            let mut words = line.split_whitespace();
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        };
        let (Some(tcp), Some(udp), Some(http)) = (address("tcp"), address("udp"), address("http"))
        else {
            end(&mut child);
            let _ = reader.map(JoinHandle::join);
            return Err(stderr.lock().expect("no reader panics").clone());
        };
        let more = more.iter().map(|&argument| argument.to_owned()).collect();
        let data = data.to_owned();
        Ok(Self { child, tcp, udp, http, data, line, more, wrap, stderr, _stdout: stdout })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let stderr = self.stderr();
            let lines: Vec<&str> = stderr.lines().collect();
            let last = &lines[lines.len().saturating_sub(30)..];
            eprintln!("--- last words of the collector:\n{}", last.join("\n"));
        }
        end(&mut self.child);
    }
}

/// `senda serve` on these addresses: TCP, UDP, HTTP.
pub(crate) fn serve(data: &Path, addresses: [SocketAddr; 3], more: &[&str]) -> Command {
    let [tcp, udp, http] = addresses;
    let mut command = senda(["serve"]);
    command.arg(format!("--tcp={tcp}")).arg(format!("--udp={udp}"));
    command.arg(format!("--http={http}")).arg("--data").arg(data).args(more);
    command
}

/// Kills a child, if it is still there, and takes its status.
fn end(child: &mut Child) {
    // Either fails only for a child that has ended.
    let _ = child.kill();
    let _ = child.wait();
}

fn send_signal(child: &Child, signal: Signal) {
    // Until it is waited for, the number is our child's.
    let pid = Pid::from_child(child);
    kill_process(pid, signal).expect("a child of ours");
}

fn read_to_end(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn send_lines(stdout: BufReader<ChildStdout>) -> (JoinHandle<String>, Receiver<String>) {
    let (sender, lines) = channel();
    let reader = std::thread::spawn(move || {
        // A test that has seen enough lets the pipe go.
        for line in stdout.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
        String::new()
    });
    (reader, lines)
}

fn collect_lines(pipe: impl Read + Send + 'static, text: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            text.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}
