//! A network of a test's own: nobody else's ports, addresses or traffic. Fixed ports are free in it, however often. Or
//! file systems of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use procfs::net::TcpState;
use procfs::process::Process;
use rustix::process::Signal;

use crate::processes::{Running, wait_for};

/// A namespace for networks or for file systems. It ends with this value, or with the test's process.
pub(crate) struct Namespace {
    /// Keeps the namespace until its standard input ends.
    holder: Child,
    /// What `nsenter` is told to enter.
    enter: Vec<&'static str>,
}

impl Namespace {
    /// One with nothing but a loopback interface. 127.0.0.1 and ::1 are up.
    pub(crate) fn new() -> Self {
        Self::hold("--net", "ip link set lo up", "")
    }

    /// A new one of this kind, `--net` or `--mount`, after a shell command in it whose `$0` is `argument`.
    pub(crate) fn hold(kind: &'static str, command: &str, argument: &str) -> Self {
        // As root of a user namespace of its own, which needs no rights; where those are refused, as root.
        let as_nobody = hold(&["--user", "--map-root-user", kind], command, argument);
        as_nobody.map(|holder| Self { holder, enter: vec!["--user", kind] }).unwrap_or_else(
            |first| {
                let as_root = hold(&[kind], command, argument);
                as_root.map(|holder| Self { holder, enter: vec![kind] }).unwrap_or_else(|second| {
                    panic!(
                        "this test needs a namespace. `unshare --user --map-root-user {kind}` said: {first}; \
                         `unshare {kind}` said: {second}. Allow user namespaces (sysctl kernel.unprivileged_userns_clone, \
                         kernel.apparmor_restrict_unprivileged_userns), or run the tests as root"
                    )
                })
            },
        )
    }

    /// A new one whose loopback interface has further addresses, such as `10.9.0.1/32` or `fd00::1/128`.
    pub(crate) fn with_addresses(addresses: &[&str]) -> Self {
        let this = Self::new();
        for address in addresses {
            this.ip(&["address", "add", address, "dev", "lo"]);
        }
        this
    }

    /// Runs `ip` inside, which must succeed.
    #[track_caller]
    pub(crate) fn ip(&self, arguments: &[&str]) {
        let output = self.inside(Command::new("ip").args(arguments)).output();
        let output = output.unwrap_or_else(|error| panic!("nsenter: {error}"));
        assert!(output.status.success(), "ip {arguments:?}: {output:?}");
    }

    /// The same command, inside: program, arguments, environment and directory. Its process is the program's own, so that
    /// signals reach it. Standard input is empty.
    pub(crate) fn inside(&self, command: &Command) -> Command {
        self.entry().command(command)
    }

    /// The way inside, for as long as this lives.
    pub(crate) fn entry(&self) -> Entry {
        Entry { target: self.holder.id(), enter: self.enter.clone() }
    }

    /// Waits until somebody inside listens on a TCP port.
    #[track_caller]
    pub(crate) fn wait_for_tcp(&self, port: u16) -> SocketAddr {
        wait_for(&format!("TCP listener on port {port}"), || {
            let table = self.process();
            let entries = [table.tcp(), table.tcp6()].into_iter().flatten().flatten();
            let mut listening = entries.filter(|entry| entry.state == TcpState::Listen);
            listening.find(|entry| entry.local_address.port() == port).map(|it| it.local_address)
        })
    }

    /// Waits until somebody inside has a UDP port.
    #[track_caller]
    pub(crate) fn wait_for_udp(&self, port: u16) -> SocketAddr {
        wait_for(&format!("UDP socket on port {port}"), || {
            let table = self.process();
            let mut entries = [table.udp(), table.udp6()].into_iter().flatten().flatten();
            entries.find(|entry| entry.local_address.port() == port).map(|it| it.local_address)
        })
    }

    /// What /proc says of the holder is said of its namespace: `tcp()`, `udp()` and the like can be read from outside.
    pub(crate) fn process(&self) -> Process {
        let number = self.holder.id().try_into().expect("a process number");
        Process::new(number).expect("the holder lives")
    }
}

/// The way into a [`Namespace`].
pub(crate) struct Entry {
    target: u32,
    enter: Vec<&'static str>,
}

impl Entry {
    /// As [`Namespace::inside`].
    pub(crate) fn command(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--target={}", self.target)).args(&self.enter);
        inside.args(["--preserve-credentials", "--"]);
        inside.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            inside.current_dir(directory);
        }
        inside
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Either fails only for a child that has ended.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Starts a process in new namespaces, after a shell command whose `$0` is `argument`. The error is what was said instead.
fn hold(namespaces: &[&str], command: &str, argument: &str) -> Result<Child, String> {
    // `cat` ends with the pipe, and that with the test, whatever becomes of it.
    let script = format!("{command} && echo ready && exec cat");
    let mut holder = Command::new("unshare")
        .args(namespaces)
        .args(["sh", "-c", &script, argument])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{error} (unshare is in Debian's package util-linux)"))?;
    let mut first = String::new();
    let stdout = holder.stdout.take().expect("a pipe");
    let _ = BufReader::new(stdout).read_line(&mut first);
    if first == "ready\n" {
        return Ok(holder);
    }
    let mut said = String::new();
    let _ = holder.stderr.take().expect("a pipe").read_to_string(&mut said);
    let _ = holder.wait();
    Err(said.trim_end().to_owned())
}

#[test]
fn a_port_is_free_in_every_namespace_and_signals_reach_the_program() {
    let bind = "import socket\n\
                s = socket.create_server(('10.9.0.1', 65432))\n\
                u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n\
                u.bind(('fd00::1', 5005))\n\
                s.accept()";
    let namespaces = [(); 2].map(|()| Namespace::with_addresses(&["10.9.0.1/32", "fd00::1/128"]));
    let running = namespaces.each_ref().map(|namespace| {
        let mut command = namespace.inside(Command::new("python3").args(["-c", bind]));
        Running::start(&mut command)
    });
    for (namespace, running) in namespaces.iter().zip(running) {
        assert_eq!(namespace.wait_for_tcp(65432).to_string(), "10.9.0.1:65432");
        assert_eq!(namespace.wait_for_udp(5005).to_string(), "[fd00::1]:5005");
        running.signal(Signal::KILL);
        assert_eq!(running.finish().code, None);
    }
}
