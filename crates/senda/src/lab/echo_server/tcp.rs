//! Connections: each a task with a bounded buffer.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::super::address::cannot_listen;
use super::super::language::Language;
use super::super::signals::Signals;
use super::super::talk;
use super::counts::{Counts, Tcp};
use super::events::Event;
use super::{Log, Served};

/// Bytes that may be owed to one client; at that it is not read.
const BUFFER: usize = 65_536;
/// After an accept that failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

/// Listens on the first of the addresses that can be had.
pub(super) async fn bind(
    addresses: &[SocketAddr],
    language: Language,
) -> anyhow::Result<TcpListener> {
    let mut failure = None;
    for address in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = Some(cannot_listen("TCP", *address, &error, language)),
        }
    }
    Err(failure.unwrap_or_else(|| anyhow::anyhow!("no address to listen on")))
}

/// Accepts connections until a signal comes or nobody reads the output.
pub(super) async fn serve(
    listener: TcpListener,
    most: usize,
    signals: &mut Signals,
    log: &mut Log,
) -> anyhow::Result<Served> {
    log.event(&Event::Listening { transport: "tcp", address: listener.local_addr()? });
    let mut counts = Tcp::default();
    let mut connections = JoinSet::new();
    let mut pause = None;
    let stop = loop {
        tokio::select! {
            stop = signals.next() => break Some(stop),
            () = log.closed() => break None,
            Some(ended) = connections.join_next() => take_end(ended.ok(), &mut counts, log),
            () = sleep_until(pause), if pause.is_some() => pause = None,
            accepted = listener.accept(), if pause.is_none() => match accepted {
                Ok((stream, peer)) => {
                    // Those that have ended make room first.
                    while let Some(ended) = connections.try_join_next() {
                        take_end(ended.ok(), &mut counts, log);
                    }
                    if connections.len() < most {
                        counts.connected += 1;
                        log.event(&Event::Connected { peer });
                        connections.spawn(async move { (peer, echo(stream).await) });
                    } else {
                        counts.turned_away += 1;
                        log.event(&Event::TurnedAway { peer, most });
                    }
                }
                Err(error) => {
                    counts.not_accepted += 1;
                    // The first of many of a kind: at no descriptors left it would be said twenty times a second.
                    if counts.not_accepted == 1 {
                        talk::say(format_args!("senda: accept: {error}"));
                    }
                    pause = Some(tokio::time::Instant::now() + PAUSE);
                }
            },
        }
    };
    Ok((Counts::Tcp(counts), stop))
}

/// For ever where there is no moment.
async fn sleep_until(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn take_end(ended: Option<(SocketAddr, Life)>, counts: &mut Tcp, log: &mut Log) {
    let Some((peer, life)) = ended else { return };
    counts.ended(&life);
    log.event(&Event::Disconnected { peer, life });
}

/// What there is to say of a connection that is over.
#[derive(Debug)]
pub(super) struct Life {
    /// Bytes that came.
    pub(super) received: u64,
    /// Bytes that went back. Fewer only where the connection broke.
    pub(super) returned: u64,
    pub(super) time: Duration,
    pub(super) end: End,
}

#[derive(Debug)]
pub(super) enum End {
    /// The client sent its FIN, and got all that it was owed.
    Closed,
    /// The client sent a RST, or was gone when there were bytes for it.
    Reset,
    Failed(io::Error),
}

impl End {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Reset,
            _ => Self::Failed(error),
        }
    }
}

/// Sends back what comes until the client has said that nothing more will come, and all of it is sent.
pub(super) async fn echo(stream: TcpStream) -> Life {
    // Best effort. An answer should not wait for more of it, and a client that lost its power not be served for ever.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_keepalive(true);
    let start = Instant::now();
    let mut owed = Owed { bytes: vec![0; BUFFER], start: 0, end: 0, received: 0, returned: 0 };
    let end = match owed.carry(&stream).await {
        Ok(()) => End::Closed,
        Err(error) => End::of(error),
    };
    let (received, returned) = (owed.received, owed.returned);
    Life { received, returned, time: start.elapsed(), end }
}

/// What a client has sent and not got back yet: `bytes[start..end]`.
struct Owed {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    received: u64,
    returned: u64,
}

impl Owed {
    async fn carry(&mut self, stream: &TcpStream) -> io::Result<()> {
        let mut open = true;
        while open || self.start < self.end {
            // Only what is of use is waited for: a full buffer does not ask for more, an empty one has nothing to send.
            let (read, write) = (open && self.make_room(), self.start < self.end);
            let interest = match (read, write) {
                (true, true) => Interest::READABLE | Interest::WRITABLE,
                (true, false) => Interest::READABLE,
                (false, _) => Interest::WRITABLE,
            };
            stream.ready(interest).await?;
            if read {
                match would_block(stream.try_read(&mut self.bytes[self.end..]))? {
                    Some(0) => open = false,
                    Some(len) => {
                        self.end += len;
                        self.received += len as u64;
                    }
                    None => {}
                }
            }
            if self.start < self.end {
                let owed = &self.bytes[self.start..self.end];
                if let Some(len) = would_block(stream.try_write(owed))? {
                    self.start += len;
                    self.returned += len as u64;
                }
            }
        }
        Ok(())
    }

    /// Moves what is owed to the front when there is no room behind it. False when the buffer is full.
    fn make_room(&mut self) -> bool {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.end < self.bytes.len()
    }
}

/// `None` where the socket was not ready after all.
fn would_block(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(len) => Ok(Some(len)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
