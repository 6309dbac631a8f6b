//! What is seen on the wires: ACKs, windows, commands, bytes to strangers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use senda_session::Instant;
use senda_wire::registry::{DATAGRAM_MAX, MESSAGE_MAX};
use senda_wire::{Frame, Message, Value};

use super::judge::{Judge, place};
use super::violation::Promise;

/// What the messages so far have said.
#[derive(Default)]
pub(super) struct Wiretap {
    /// When the present step of the world is.
    pub(super) now: Instant,
    /// The next restart is with an old disk.
    pub(super) is_restored: bool,
    sessions: BTreeMap<u32, Session>,
    peers: BTreeMap<SocketAddr, Peer>,
    /// Sessions in which a command was seen: by its serial.
    commands: BTreeMap<u32, u32>,
}

/// A session, as the messages show it.
struct Session {
    device: Arc<str>,
    stream: u64,
    /// The highest ACK that left.
    acked: u32,
    /// No row from here on may be sent yet, as far as its device has been told. Spec §8.1a.
    limit: u32,
    /// The highest mark, and the widest window, that its device has heard.
    heard: u32,
    window: u32,
    /// It has heard of window 0: one row at a time may ask whether it still is. Spec §8.1b.
    was_shut: bool,
    probed: Option<Instant>,
}

/// An address.
#[derive(Default)]
struct Peer {
    from: usize,
    to: usize,
    /// A cookie that was sent there came back, or a token did.
    is_proven: bool,
    cookies: BTreeSet<Vec<u8>>,
    tokens: BTreeSet<u64>,
}

/// A message of the collector that the world has to look at too.
pub(super) enum Seen {
    Ack,
    /// A command left: device, id.
    Command(Arc<str>, u32),
}

impl Wiretap {
    /// A session began.
    pub(super) fn welcomed(&mut self, session: u32, device: &Arc<str>, stream: u64, next_row: u32) {
        let device = Arc::clone(device);
        // WELCOME's window comes with the message itself.
        let (acked, limit, heard) = (next_row, next_row, next_row);
        let (window, was_shut, probed) = (0, false, None);
        let state = Session { device, stream, acked, limit, heard, window, was_shut, probed };
        self.sessions.insert(session, state);
    }

    /// Another collector: no address is proven to it, and what it has not received it must not answer.
    pub(super) fn restarted(&mut self) {
        self.is_restored = false;
        self.peers.clear();
    }

    /// A datagram is at the collector.
    pub(super) fn came_in(&mut self, from: SocketAddr, bytes: &[u8]) {
        let peer = self.peers.entry(from).or_default();
        peer.from += bytes.len();
        for message in messages(bytes) {
            match message.1 {
                Message::Hello(hello) => peer.is_proven |= peer.cookies.contains(hello.cookie),
                Message::Pong(pong) => peer.is_proven |= peer.tokens.contains(&pong.token),
                _ => {}
            }
        }
    }
}

impl Judge {
    /// The collector sends; `to` is the address of a datagram.
    pub(super) fn collector_says(
        &mut self,
        at: Instant,
        to: Option<SocketAddr>,
        bytes: &[u8],
    ) -> Vec<Seen> {
        if let Some(to) = to {
            self.watch_datagram(at, to, bytes);
        }
        let mut seen = Vec::new();
        for (frame, message) in messages(bytes) {
            match message {
                Message::Ack(ack) => {
                    let ranges = ack.window.into_iter().flat_map(|window| window.ranges.iter());
                    let ranges: Vec<(u32, u32)> =
                        ranges.map(|range| (range.start, range.end)).collect();
                    self.watch_ack(at, frame.session, frame.seq, &ranges);
                    self.counts.acks += 1;
                    seen.push(Seen::Ack);
                }
                Message::Command(command) => {
                    let argument =
                        command.arguments.iter().next().map(|argument| argument.typed.value);
                    if let Some(Value::U32(serial)) = argument {
                        self.watch_command(at, frame.session, serial);
                    }
                    if let Some(session) = self.wiretap.sessions.get(&frame.session) {
                        seen.push(Seen::Command(Arc::clone(&session.device), command.id));
                    }
                }
                _ => {}
            }
        }
        seen
    }

    fn watch_datagram(&mut self, at: Instant, to: SocketAddr, bytes: &[u8]) {
        if bytes.len() > DATAGRAM_MAX {
            let what = format!("{} bytes", bytes.len());
            self.fail(at, Promise::Datagram, to.to_string(), what);
        }
        let peer = self.wiretap.peers.entry(to).or_default();
        peer.to += bytes.len();
        for (_, message) in messages(bytes) {
            match message {
                Message::Retry { cookie } => drop(peer.cookies.insert(cookie.to_vec())),
                Message::Ping(ping) => drop(peer.tokens.insert(ping.token)),
                _ => {}
            }
        }
        if peer.to > peer.from && !peer.is_proven {
            let what =
                format!("{} bytes went there, {} came, and it is not proven", peer.to, peer.from);
            self.fail(at, Promise::Amplification, to.to_string(), what);
        }
    }

    /// Everything below, and in the ranges, is durable; and no ACK takes back another.
    fn watch_ack(&mut self, at: Instant, session: u32, seq: u32, ranges: &[(u32, u32)]) {
        let Some(known) = self.wiretap.sessions.get_mut(&session) else {
            let what = "an ACK in a session that never began".to_owned();
            return self.fail(at, Promise::OrderByRow, format!("session {session:08x}"), what);
        };
        let (device, stream, before) = (Arc::clone(&known.device), known.stream, known.acked);
        known.acked = before.max(seq);
        if seq < before {
            let what = format!("an ACK of {seq} after one of {before}");
            self.fail(at, Promise::OrderByRow, place(&device, stream, seq), what);
        }
        for (start, end) in ranges.iter().copied().chain([(0, seq)]) {
            let page = self.page(&device, stream);
            page.told.insert(start, end);
            if !page.resolved.has(start, end) {
                let row =
                    (start..end).find(|row| !page.resolved.has(*row, row + 1)).unwrap_or(start);
                let what = "acknowledged, and not durable".to_owned();
                self.fail(at, Promise::AckedIsDurable, place(&device, stream, row), what);
            }
        }
    }

    /// In one session it may be repeated; in another it must not appear. Spec §7.7e.
    fn watch_command(&mut self, at: Instant, session: u32, serial: u32) {
        let first = *self.wiretap.commands.entry(serial).or_insert(session);
        if first != session && self.restores == 0 {
            let what = format!("command {serial} left in session {first:08x}, and now in another");
            self.fail(at, Promise::CommandOnce, format!("session {session:08x}"), what);
        }
    }

    /// Bytes arrive at a device: what it may send from now on.
    pub(super) fn device_hears(&mut self, bytes: &[u8]) {
        for (frame, message) in messages(bytes) {
            let Some(session) = self.wiretap.sessions.get_mut(&frame.session) else { continue };
            let (mark, window) = match message {
                Message::Welcome(welcome) => (welcome.next_row, Some(welcome.window_rows)),
                Message::Ack(ack) => (frame.seq, ack.window.map(|window| window.window_rows)),
                _ => continue,
            };
            // Windows may have been heard in any order: the widest counts.
            if let Some(window) = window {
                session.window = window.max(session.window);
                session.was_shut |= window == 0;
            }
            session.heard = session.heard.max(mark);
            session.limit = session.limit.max(session.heard.saturating_add(session.window));
        }
    }

    /// A device sends: nothing new beyond the window.
    pub(super) fn device_says(&mut self, at: Instant, is_datagram: bool, bytes: &[u8]) {
        if is_datagram && bytes.len() > DATAGRAM_MAX {
            let what = format!("{} bytes", bytes.len());
            self.fail(at, Promise::Datagram, "a device".into(), what);
        }
        for (frame, message) in messages(bytes) {
            let rows = match message {
                Message::Rows(data) | Message::Sparse(data) => u32::from(data.head.count),
                Message::Counts(_) => 1,
                _ => continue,
            };
            let Some(session) = self.wiretap.sessions.get_mut(&frame.session) else { continue };
            let end = frame.seq.saturating_add(rows);
            let is_early = session.probed.is_some_and(|probed| at.since(probed) < PROBE_EVERY);
            if end > session.limit && session.was_shut && rows == 1 && !is_early {
                session.probed = Some(at);
            } else if end > session.limit {
                let (device, stream, limit) =
                    (Arc::clone(&session.device), session.stream, session.limit);
                let what = format!("rows to {end} left, and the window ends at {limit}");
                self.fail(at, Promise::Window, place(&device, stream, frame.seq), what);
            }
        }
    }
}

/// Types and numbers of the messages in some bytes.
pub(super) struct Summary<'a>(pub(super) &'a [u8]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut some = false;
        for (frame, _) in messages(self.0) {
            let kind = frame.message_type().map_or("?", |kind| kind.name());
            write!(f, "{}{kind} {}", if some { ", " } else { "" }, frame.seq)?;
            some = true;
        }
        if some { Ok(()) } else { write!(f, "{} bytes", self.0.len()) }
    }
}

/// A second between two probes, by a clock that may be fast.
const PROBE_EVERY: Duration = Duration::from_millis(980);

/// The whole messages at the start of these bytes.
fn messages(bytes: &[u8]) -> impl Iterator<Item = (Frame<'_>, Message<'_>)> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        loop {
            let frame = Frame::decode(rest, MESSAGE_MAX).ok()?;
            rest = &rest[frame.bytes.len()..];
            if let Ok(message) = Message::decode(&frame) {
                return Some((frame, message));
            }
        }
    })
}
