//! TCP connections: bytes to messages, and which sessions end with which connection. Spec §3.6.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use senda_wire::{Close, ErrorCode, Frame, FrameError, Head, Message};

use super::event::{DropReason, Event, Notice, Peer};
use super::timers::Timer;
use super::{Collector, Now};
use crate::Instant;

/// A connection without a session has to say an acceptable HELLO within this time. Spec §3.6c.
const GREETING_TIME: Duration = Duration::from_secs(10);

/// A TCP connection.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// Bytes of a message that is not whole yet; no memory while there are none. Spec §3.6b.
    partial: Vec<u8>,
    /// The sessions that live on it: several for a gateway. Spec §6.5.
    sessions: BTreeSet<u32>,
}

impl Collector {
    pub(super) fn begin_connection(&mut self, now: Now, connection: u64) {
        self.connections.insert(connection, Connection::default());
        self.await_hello(now.instant, connection);
    }

    /// Takes what arrived, message after message; keeps the bytes of one that is not whole.
    pub(super) fn read_stream(&mut self, now: Now, connection: u64, bytes: &[u8]) {
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        let mut partial = mem::take(&mut state.partial);
        let rest = if partial.is_empty() {
            let used = self.read_messages(now, connection, bytes);
            bytes[used..].to_vec()
        } else {
            partial.extend_from_slice(bytes);
            match self.read_messages(now, connection, &partial) {
                0 => partial,
                used => partial[used..].to_vec(),
            }
        };
        if let Some(state) = self.connections.get_mut(&connection) {
            state.partial = rest;
        }
    }

    /// Returns how many bytes were taken; all of them once the frame is lost. Spec §3.6a.
    fn read_messages(&mut self, now: Now, connection: u64, bytes: &[u8]) -> usize {
        let peer = Peer::Tcp(connection);
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match Frame::decode(rest, usize::from(self.config.tcp_message_max)) {
                Ok(frame) => {
                    used += frame.bytes.len();
                    self.read_frame(now, peer, &frame);
                }
                Err(FrameError::Incomplete { .. }) => return used,
                Err(_) if Frame::is_foreign_hello(rest) => {
                    self.refuse_version(peer);
                    self.disconnect(connection);
                    return bytes.len();
                }
                Err(error) => {
                    self.drop(peer, DropReason::Frame(error));
                    self.say_close(peer, ErrorCode::FRAMING, error.name());
                    self.disconnect(connection);
                    return bytes.len();
                }
            }
        }
    }

    /// A connection without a session that said nothing acceptable in time. Spec §3.6c.
    pub(super) fn refuse_silence(&mut self, connection: u64) {
        if self.connections.get(&connection).is_some_and(|state| state.sessions.is_empty()) {
            self.say_close(Peer::Tcp(connection), ErrorCode::TIMEOUT, "no HELLO within 10 s");
            self.disconnect(connection);
        }
    }

    fn disconnect(&mut self, connection: u64) {
        self.end_connection(connection);
        self.events.push_back(Event::Disconnect(connection));
    }

    /// Forgets a connection, and its sessions with it: what still arrives on it is not read. Spec §6.6.
    pub(super) fn end_connection(&mut self, connection: u64) {
        self.timers.stop(Timer::Greeting(connection));
        let Some(state) = self.connections.remove(&connection) else {
            return;
        };
        for id in state.sessions {
            self.end_session(id, Notice::Left);
        }
    }

    /// Notes that a session lives on this peer; false if that is a connection which ended meanwhile.
    pub(super) fn attach(&mut self, peer: Peer, id: u32) -> bool {
        let Peer::Tcp(connection) = peer else {
            return true;
        };
        let Some(state) = self.connections.get_mut(&connection) else {
            return false;
        };
        state.sessions.insert(id);
        self.timers.stop(Timer::Greeting(connection));
        true
    }

    /// The reverse; a connection that has no session any more has to say HELLO again.
    pub(super) fn detach(&mut self, now: Instant, peer: Peer, id: u32) {
        let Peer::Tcp(connection) = peer else {
            return;
        };
        if let Some(state) = self.connections.get_mut(&connection) {
            state.sessions.remove(&id);
            if state.sessions.is_empty() {
                self.await_hello(now, connection);
            }
        }
    }

    fn await_hello(&mut self, now: Instant, connection: u64) {
        self.timers.set(Timer::Greeting(connection), now + GREETING_TIME);
    }

    fn say_close(&mut self, peer: Peer, code: ErrorCode, text: &str) {
        let close = Close { code, retry_after_ms: 0, text };
        self.reply(peer, Head::default(), &Message::Close(close), usize::MAX);
    }
}
