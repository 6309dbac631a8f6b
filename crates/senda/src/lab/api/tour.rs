//! What the tour is made of: chapters of steps, as data. What a step returns is data, too.

use std::net::SocketAddr;

use rustix::io::Errno;

use super::super::language::Language;
use super::super::repr;
use super::super::sockets::diag::State;
use super::programs::{self, Code, Programs};
use super::world::World;

/// A text in both languages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    pub(super) es: &'static str,
    pub(super) en: &'static str,
}

impl Text {
    pub(super) const fn of(&self, language: Language) -> &'static str {
        language.choose(self.es, self.en)
    }
}

/// Steps that build on each other.
pub(super) struct Chapter {
    pub(super) name: &'static str,
    pub(super) title: Text,
    pub(super) steps: &'static [Step],
    pub(super) programs: Programs,
}

impl Chapter {
    /// The part of the chapter's program that is this step.
    pub(super) fn snippet(&self, code: Code, step: &str) -> String {
        let section = programs::sections(self.programs.source(code))
            .into_iter()
            .find(|section| section.name == step);
        section.map(|section| section.text).unwrap_or_default()
    }

    /// The whole program, in one file.
    pub(super) fn program(&self, code: Code) -> String {
        self.programs.whole(code)
    }
}

/// One call, or a few that belong together.
pub(super) struct Step {
    /// Also that of the programs' sections.
    pub(super) name: &'static str,
    pub(super) title: Text,
    pub(super) explanation: Text,
    /// Functions that appear here for the first time in the tour: their paragraphs are shown.
    pub(super) introduces: &'static [&'static str],
    pub(super) perform: fn(&mut World) -> rustix::io::Result<Vec<Fact>>,
    /// The sockets to show afterwards, and what the kernel is waited for to say of them.
    pub(super) kernel: &'static [Expected],
}

/// What the kernel should say of a socket, once all is quiet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) socket: &'static str,
    /// None: the kernel has no such socket.
    pub(super) state: Option<State>,
    /// Bytes in its receive queue, where they can be known.
    pub(super) receive: Receive,
    /// The queues of all sockets shown add up to what the chapter has sent: nothing is under way any more.
    pub(super) adds_up: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Receive {
    Any,
    Exactly(u32),
    /// UDP counts memory rather than bytes.
    Something,
}

/// A socket is in this state.
pub(super) const fn is(socket: &'static str, state: State) -> Expected {
    Expected { socket, state: Some(state), receive: Receive::Any, adds_up: false }
}

/// The kernel has no such socket, or has none any more.
pub(super) const fn gone(socket: &'static str) -> Expected {
    Expected { socket, state: None, receive: Receive::Any, adds_up: false }
}

impl Expected {
    pub(super) const fn with(self, bytes: u32) -> Self {
        Self { receive: Receive::Exactly(bytes), ..self }
    }

    pub(super) const fn adding_up(self) -> Self {
        Self { adds_up: true, ..self }
    }

    pub(super) const fn with_something(self) -> Self {
        Self { receive: Receive::Something, ..self }
    }
}

/// What a call returned, or what was learnt from it.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// Returned 0 in C, nothing in Python and Rust: programs don't print it.
    Done(&'static str),
    Fd(&'static str, i32),
    Number(&'static str, usize),
    /// Of how many, and not the same on every machine.
    Part(&'static str, usize, usize),
    Address(&'static str, SocketAddr),
    Accepted(i32, SocketAddr),
    Bytes(&'static str, Vec<u8>),
    Hex(&'static str, Vec<u8>),
    Datagram(&'static str, Vec<u8>, SocketAddr),
    Failed(&'static str, Errno),
    /// An errno that is not raised but returned.
    Code(&'static str, Errno),
}

impl Fact {
    /// The line that the programs print, too.
    pub(super) fn line(&self) -> String {
        match self {
            Self::Done(call) => format!("{call} = 0"),
            Self::Fd(call, fd) => format!("{call} = fd {fd}"),
            Self::Number(what, number) => format!("{what} = {number}"),
            Self::Part(what, number, of) => format!("{what} = {number} of {of}"),
            Self::Address(what, address) => format!("{what} = {address}"),
            Self::Accepted(fd, peer) => format!("accept = fd {fd} from {peer}"),
            Self::Bytes(call, bytes) => format!("{call} = {} {}", bytes.len(), repr::bytes(bytes)),
            Self::Hex(what, bytes) => {
                let hex: String = bytes.iter().map(|byte| format!(" {byte:02x}")).collect();
                format!("{what} = {}{hex}", bytes.len())
            }
            Self::Datagram(call, bytes, peer) => {
                format!("{call} = {} {} from {peer}", bytes.len(), repr::bytes(bytes))
            }
            Self::Failed(call, errno) => format!("{call} = -1 errno {}", errno.raw_os_error()),
            Self::Code(call, errno) => format!("{call} = {}", errno.raw_os_error()),
        }
    }

    pub(super) const fn is_printed_by_programs(&self) -> bool {
        !matches!(self, Self::Done(_))
    }

    pub(super) const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Failed(_, errno) | Self::Code(_, errno) => Some(*errno),
            _ => None,
        }
    }
}
