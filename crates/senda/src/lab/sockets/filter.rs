//! Which sockets to show.

use super::diag::{Protocol, Query, Socket, State};
use super::owner::Owner;
use super::state;
use crate::UsageError;
use crate::lab::language::Language;

/// All of them must agree.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) query: Query,
    port: Option<u16>,
    process: Option<WhichProcess>,
    /// One of these; empty for any.
    states: Vec<State>,
}

#[derive(Debug)]
enum WhichProcess {
    Number(i32),
    /// Its name begins so.
    Name(String),
}

impl Filter {
    pub(super) fn new(args: &super::Args, language: Language) -> Result<Self, UsageError> {
        let mut states = args
            .state
            .iter()
            .map(|name| state::parse(name, language))
            .collect::<Result<Vec<_>, _>>()?;
        if args.listening {
            states.extend([State::Listen, State::Unconnected]);
        }
        let query = Query {
            tcp: args.tcp || !args.udp,
            udp: args.udp || !args.tcp,
            bound: args.bound || states.contains(&State::Closed),
        };
        let process = args.process.as_ref().map(|given| match given.parse() {
            Ok(number) => WhichProcess::Number(number),
            Err(_) => WhichProcess::Name(given.clone()),
        });
        Ok(Self { query, port: args.port, process, states })
    }

    /// What a socket's addresses decide.
    pub(super) fn takes_addresses(&self, socket: &Socket) -> bool {
        let ports = [Some(socket.local), socket.peer].into_iter().flatten();
        self.port.is_none_or(|port| ports.into_iter().any(|address| address.port() == port))
    }

    pub(super) fn takes_state(&self, state: State) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }

    pub(super) fn takes_owners(&self, owners: &[Owner]) -> bool {
        self.process.as_ref().is_none_or(|process| {
            owners.iter().any(|owner| match process {
                WhichProcess::Number(pid) => owner.pid == *pid,
                WhichProcess::Name(name) => owner.name.starts_with(&**name),
            })
        })
    }
}

impl Protocol {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}
