//! What the kernel says of a step's sockets. A state may be on its way: it is waited for, up to a limit.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::super::sockets::diag::{self, Protocol, Query, Socket, State};
use super::tour::{Expected, Receive};
use super::world::{Named, World};

/// How long the kernel may take to get where it should be.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// What the kernel said, in the order of the expectations.
pub(super) struct Seen {
    pub(super) sockets: Vec<SeenSocket>,
    /// Whether all was as expected in the end.
    pub(super) as_expected: bool,
    /// Why there is nothing to show.
    pub(super) failure: Option<String>,
}

pub(super) struct SeenSocket {
    pub(super) name: &'static str,
    pub(super) protocol: Protocol,
    pub(super) fd: Option<i32>,
    /// None: the kernel has none.
    pub(super) socket: Option<Socket>,
}

/// Looks until all is as expected, or time is up; what was seen last is what counts.
pub(super) fn look(world: &World, expected: &[Expected]) -> Seen {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = match once(world, expected) {
            Ok(seen) => seen,
            Err(error) => {
                let failure = Some(format!("{error:#}"));
                return Seen { sockets: Vec::new(), as_expected: false, failure };
            }
        };
        if seen.as_expected || Instant::now() >= deadline {
            return seen;
        }
        std::thread::sleep(PAUSE);
    }
}

fn once(world: &World, expected: &[Expected]) -> anyhow::Result<Seen> {
    let told = diag::sockets(Query { tcp: true, udp: true, bound: true })?;
    let mut as_expected = true;
    let mut sockets = Vec::new();
    for expected in expected {
        let Some(named) = world.named(expected.socket) else { continue };
        let socket = find(&told, named);
        as_expected &= expected.is_met_by(socket);
        sockets.push(SeenSocket {
            name: expected.socket,
            protocol: named.protocol,
            fd: named.fd.as_ref().map(AsRawFd::as_raw_fd),
            socket: socket.cloned(),
        });
    }
    if expected.iter().any(|expected| expected.adds_up) {
        let queued = sockets.iter().filter_map(|seen| seen.socket.as_ref());
        let queued = queued.map(|socket| socket.receive_queue + socket.send_queue);
        as_expected &= usize::try_from(queued.sum::<u32>()).ok() == Some(world.sent);
    }
    Ok(Seen { sockets, as_expected, failure: None })
}

/// By its inode, which is exact. A connection that no process has (any more) is found by its two addresses.
fn find<'a>(told: &'a [Socket], named: &Named) -> Option<&'a Socket> {
    let inode = named.fd.as_ref().and_then(|fd| Some(rustix::fs::fstat(fd).ok()?.st_ino));
    let by_inode = inode.and_then(|inode| told.iter().find(|socket| socket.inode == inode));
    by_inode.or_else(|| {
        let (local, peer) = (named.local?, named.peer?);
        told.iter().find(|socket| {
            socket.protocol == named.protocol && socket.local == local && socket.peer == Some(peer)
        })
    })
}

impl Expected {
    fn is_met_by(&self, socket: Option<&Socket>) -> bool {
        let enough = |socket: &Socket| match self.receive {
            Receive::Any => true,
            Receive::Exactly(bytes) => socket.receive_queue == bytes,
            Receive::Something => socket.receive_queue > 0,
        };
        let state = socket.map(|socket| socket.state);
        // Before 6.8 Linux did not tell of sockets that are bound and no more.
        let untold = self.state == Some(State::Closed) && state.is_none();
        (state == self.state || untold) && socket.is_none_or(enough)
    }
}
