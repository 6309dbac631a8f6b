//! Admission: HELLO to RETRY, WELCOME or CLOSE. Spec §6.3 to §6.5 and §9.1.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use senda_wire::registry::{self, OptionCode, SESSIONS_PER_DEVICE_MAX, downlink, encoding};
use senda_wire::{
    Close, ErrorCode, Frame, Head, Hello, Message, MessageType, Options, Suite, TimeReq, Welcome,
};

use super::event::{DropReason, Event, Mark, Notice, Peer, Settings, StreamState, Token, What};
use super::input::same_place;
use super::session::{AckState, Address, Down, Session};
use super::timers::Timer;
use super::unacked::CounterWindow;
use super::{Collector, Now};

/// A HELLO that is repeated within this time gets the same WELCOME again. Spec §5.3a.
const REPEAT_TIME: Duration = Duration::from_secs(60);

/// Nonces of replaced HELLOs that a session remembers.
const PAST_MAX: usize = 4;
/// Bytes of a CLOSE beside its text. Spec §5.6.
const CLOSE_FIXED: usize = registry::HEADER_LEN + 7 + registry::CRC_LEN;

/// A HELLO that was good and waits for the stream's state. Spec §6.2, Opening.
#[derive(Debug)]
pub(super) struct Opening {
    device: Arc<str>,
    stream: u64,
    nonce: u64,
    /// Nonces of the HELLOs that this one replaced before they were answered.
    past: Vec<u64>,
    peer: Peer,
    next_row: u32,
    keepalive_s: u32,
    max_msg: u16,
    ack_every: u16,
    ack_delay_ms: u16,
    downlink: u8,
    encodings: u16,
    config_rev: u32,
    last_command_id: u32,
    clock: Option<TimeReq>,
}

impl Collector {
    /// A HELLO, with or without a good cookie.
    pub(super) fn read_hello(&mut self, now: Now, peer: Peer, frame: &Frame<'_>) {
        let limit = frame.bytes.len();
        let hello = match Message::decode(frame) {
            Ok(Message::Hello(hello)) => hello,
            Ok(_) => return,
            Err(error) => {
                self.drop(peer, DropReason::Body { kind: frame.code, error });
                // Stream and nonce stand first in every version, so that even this can be answered. Spec §3.5.
                let low = frame.body.get(12..16).and_then(|low| low.try_into().ok());
                let seq = low.map_or(0, u32::from_be_bytes);
                let text = "a field of HELLO is wrong";
                return self.refuse_hello(peer, seq, ErrorCode::BAD_HELLO, text, limit); // Spec §5.1b.
            }
        };
        let seq = low_half(hello.nonce);
        if hello.options.unknown_critical().is_some() {
            let text = "unknown critical option";
            return self.refuse_hello(peer, seq, ErrorCode::UNSUPPORTED, text, limit); // Spec §5.1a.
        }
        if hello.suite != Suite::Open {
            let text = "this collector speaks suite 0 (open) only";
            return self.refuse_hello(peer, seq, ErrorCode::AUTH, text, limit);
        }
        if let Peer::Udp { remote, .. } = peer {
            let device = hello.device.as_str();
            if !self.cookies.check(now.instant, &mut self.entropy, remote, device, hello.cookie) {
                let cookie = self.cookies.make(now.instant, &mut self.entropy, remote, device); // Spec §9.1a.
                let head = Head { session: 0, seq, flags: 0 };
                self.counters.retries += 1;
                return self.reply(peer, head, &Message::Retry { cookie: &cookie }, limit);
            }
        }
        self.admit(now, peer, &hello, limit);
    }

    /// A HELLO from a proven address.
    fn admit(&mut self, now: Now, peer: Peer, hello: &Hello<'_>, limit: usize) {
        let device: Arc<str> = hello.device.as_str().into();
        let key = (device.clone(), hello.stream);
        let serving = self.streams.get(&key).copied();
        if serving.is_some_and(|id| self.repeat_welcome(now, id, peer, hello.nonce)) {
            return;
        }
        if self.is_opening(&key, peer, hello.nonce) {
            return;
        }
        let full = self.sessions.len() + self.openings.len() >= self.config.sessions_max;
        // Who takes a stream over needs no room for another session.
        if self.openings.len() >= self.config.openings_max || (full && serving.is_none()) {
            let seq = low_half(hello.nonce);
            return self.refuse_hello(peer, seq, ErrorCode::BUSY, "too many sessions", limit);
        }
        let token = self.token();
        let past = self.forget_opening(&key);
        self.openings.insert(token, Opening::new(device.clone(), peer, hello, past));
        self.opening_of.insert(key, token);
        let software = hello.options.get(OptionCode::Software);
        let software = software.and_then(|text| core::str::from_utf8(text).ok());
        let software = String::from(software.unwrap_or_default());
        self.events.push_back(Event::Open { token, device, stream: hello.stream, software });
    }

    /// True when this HELLO was answered before: the same bytes go out again. Spec §5.3a.
    fn repeat_welcome(&mut self, now: Now, id: u32, peer: Peer, nonce: u64) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        let is_recent = now.instant.since(session.opened) <= REPEAT_TIME;
        if is_recent && session.past.contains(&nonce) {
            // A late copy: its session was replaced by this one. Later it is no copy of a HELLO but a copied device that waits
            // with the same nonce: no cookie is valid for so long. Spec §6.7, §9.1.
            self.drop(peer, DropReason::Hello { code: ErrorCode::REPLACED.0 });
            return true;
        }
        if session.nonce != nonce || !is_recent {
            return false;
        }
        let bytes = session.welcome.clone();
        self.transmits.push_back(super::Transmit { peer, bytes });
        // On UDP it may be a late copy from an address that the device has left. Spec §9.3a.
        if !session.used || same_place(session.peer, peer) || matches!(peer, Peer::Tcp(_)) {
            self.rehome(now, id, peer);
        }
        true
    }

    /// The session goes on at another peer, which is proven: by a cookie, or by being a connection.
    fn rehome(&mut self, now: Now, id: u32, peer: Peer) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let before = core::mem::replace(&mut session.peer, peer);
        session.address = Address::default();
        session.heard = now.instant;
        if before != peer {
            self.detach(now.instant, before, id);
            self.attach(peer, id);
            self.resend_down(now, id); // What was sent to the other place may never come.
        }
    }

    /// True when this HELLO waits for the store already, or a newer one for its stream does.
    fn is_opening(&mut self, key: &(Arc<str>, u64), peer: Peer, nonce: u64) -> bool {
        let Some(token) = self.opening_of.get(key) else {
            return false;
        };
        let Some(opening) = self.openings.get_mut(token) else {
            return false;
        };
        if opening.nonce == nonce {
            opening.peer = peer;
        }
        opening.nonce == nonce || opening.past.contains(&nonce)
    }

    /// The newest HELLO for a stream counts: the store's answer for an older one finds nobody. Spec §6.4c.
    fn forget_opening(&mut self, key: &(Arc<str>, u64)) -> Vec<u64> {
        let opening = self.opening_of.remove(key).and_then(|token| self.openings.remove(&token));
        opening.map_or_else(Vec::new, |opening| remember(opening.past, opening.nonce))
    }

    /// The store's answer to `Event::Open`: the session begins. An answer for a HELLO that was replaced does nothing.
    pub fn handle_stream(&mut self, now: Now, token: Token, state: StreamState) {
        let Some(opening) = self.take_opening(token) else {
            return;
        };
        let id = self.free_session_id();
        if !self.attach(opening.peer, id) {
            return; // Its connection ended meanwhile.
        }
        let config = state.config.clone();
        let session = self.session(now, id, &opening, state);
        let (peer, bytes, dies) = (session.peer, session.welcome.clone(), session.dies());
        let (next_row, high_row) = (session.mark.next_row, session.mark.high_row());
        // WELCOME before the CLOSE of what it replaces: then the device knows that the CLOSE is not for it. Spec §6.6d.
        self.transmits.push_back(super::Transmit { peer, bytes });
        self.make_room(now, &opening);
        self.schema_bytes += session.schema_bytes();
        if session.ack.told_window == 0 {
            self.shut.insert(id);
        }
        self.streams.insert((session.device.clone(), session.stream), id);
        self.sessions.insert(id, session);
        self.timers.set(Timer::Death(id), dies);
        let (config_rev, last_command_id) = (opening.config_rev, opening.last_command_id);
        let downlink = opening.downlink & downlink::ALL;
        self.notice(
            id,
            Notice::Welcomed { session: id, next_row, config_rev, last_command_id, downlink },
        );
        self.notice_others(now, id, &opening);
        if high_row > opening.next_row {
            self.notice(id, Notice::Snapshot { next_row: opening.next_row, high_row });
        }
        if let Some(clock) = opening.clock {
            self.land_quietly(now, id, What::Clock(clock));
        }
        self.inherit_down(now, id);
        self.order_config(now, id, opening.config_rev, config);
    }

    /// The store could not answer `Event::Open`: the device is told to come back.
    pub fn handle_stream_failed(&mut self, token: Token) {
        if let Some(opening) = self.take_opening(token) {
            let (peer, seq) = (opening.peer, low_half(opening.nonce));
            // Shorter than any HELLO with a cookie. Spec §5.1.
            self.refuse_hello(peer, seq, ErrorCode::BUSY, "the store can't be read", usize::MAX);
        }
    }

    fn take_opening(&mut self, token: Token) -> Option<Opening> {
        let opening = self.openings.remove(&token)?;
        self.opening_of.remove(&(opening.device.clone(), opening.stream));
        Some(opening)
    }

    fn free_session_id(&mut self) -> u32 {
        loop {
            let id = self.entropy.nonzero_u32();
            if !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    /// Ends what the new session replaces, and the ninth session of a device. Spec §6.4c, §6.5.
    fn make_room(&mut self, now: Now, opening: &Opening) {
        let key = (opening.device.clone(), opening.stream);
        if let Some(&older) = self.streams.get(&key) {
            let text = "a newer session serves this stream";
            self.close_session(now.instant, older, ErrorCode::REPLACED, text, Notice::Replaced);
        }
        let others = self.sessions_of(&opening.device);
        if others.len() >= SESSIONS_PER_DEVICE_MAX {
            let heard = |id: &u32| self.sessions.get(id).map(|session| session.heard);
            if let Some(id) = others.into_iter().min_by_key(heard) {
                let text = "a device may have 8 sessions; this one was heard from least recently";
                let code = ErrorCode::TOO_MANY_SESSIONS;
                self.close_session(now.instant, id, code, text, Notice::Displaced); // Spec §6.5a.
            }
        }
    }

    /// Two live streams of one name may be two devices: both are served, and somebody hears of it. Spec §6.5b.
    fn notice_others(&mut self, now: Now, id: u32, opening: &Opening) {
        for other in self.sessions_of(&opening.device) {
            let live = |session: &Session| now.instant.since(session.heard) < session.keepalive;
            if other != id && self.sessions.get(&other).is_some_and(live) {
                self.notice(other, Notice::TwoStreams { other: opening.stream });
            }
        }
    }

    /// At most 8.
    pub(super) fn sessions_of(&self, device: &Arc<str>) -> Vec<u32> {
        let of_device = (device.clone(), u64::MIN)..=(device.clone(), u64::MAX);
        self.streams.range(of_device).map(|(_, id)| *id).collect()
    }

    fn session(&mut self, now: Now, id: u32, opening: &Opening, state: StreamState) -> Session {
        let ack_every = opening.ack_every.min(self.config.ack_every_max);
        let asked = Duration::from_millis(opening.ack_delay_ms.into());
        let ack_delay = asked.min(self.config.ack_delay_max);
        let window_rows = self.window();
        let welcome = self.welcome(now, id, opening, &state.mark, (ack_every, ack_delay));
        let schemas =
            state.schemas.into_iter().map(|(id, description)| (id, description.into())).collect();
        Session {
            device: opening.device.clone(),
            stream: opening.stream,
            peer: opening.peer,
            welcome,
            nonce: opening.nonce,
            past: self.past_of(opening),
            used: false,
            opened: now.instant,
            heard: now.instant,
            keepalive: Duration::from_secs(opening.keepalive_s.into()),
            ack_every,
            ack_delay,
            max_msg: opening.max_msg.into(),
            downlink: opening.downlink & downlink::ALL,
            seen_row: state.mark.high_row(),
            mark: state.mark,
            schemas,
            assemblies: Vec::new(),
            ack: AckState { told_window: window_rows, ..AckState::default() },
            address: Address::default(),
            counters: CounterWindow::default(),
            down: Down::default(),
        }
    }

    /// Nonces that the new session has seen the last of.
    fn past_of(&self, opening: &Opening) -> Vec<u64> {
        let older = self.streams.get(&(opening.device.clone(), opening.stream));
        let older = older.and_then(|id| self.sessions.get(id));
        let replaced =
            older.map_or_else(Vec::new, |older| remember(older.past.clone(), older.nonce));
        let all = replaced.into_iter().chain(opening.past.iter().copied());
        all.filter(|nonce| *nonce != opening.nonce).fold(Vec::new(), remember)
    }

    fn welcome(
        &mut self,
        now: Now,
        id: u32,
        opening: &Opening,
        mark: &Mark,
        (ack_every, ack_delay): (u16, Duration),
    ) -> Vec<u8> {
        let max_msg = match opening.peer {
            Peer::Udp { .. } => field16(registry::DATAGRAM_MAX),
            Peer::Tcp(_) => self.config.tcp_message_max,
        };
        let welcome = Welcome {
            nonce: self.entropy.u64(),
            next_row: mark.next_row,
            high_row: mark.high_row(),
            server_time: now.utc_us,
            window_rows: self.window(),
            max_msg,
            encodings: opening.encodings & (encoding::ROWS | encoding::SPARSE),
            durability: self.config.durability,
            suite: Suite::Open,
            commit_interval_ms: crate::time::millis_u16(self.config.commit_interval),
            keepalive_s: opening.keepalive_s,
            ack_every,
            ack_delay_ms: crate::time::millis_u16(ack_delay),
            max_channels: field16(registry::CHANNELS_MAX),
            max_schemas: field16(registry::SCHEMAS_MAX),
            max_elements: field16(registry::ELEMENTS_MAX),
            max_values: u32::try_from(registry::VALUES_MAX).unwrap_or(u32::MAX),
            max_decoded: u32::try_from(registry::DECODED_BYTES_MAX).unwrap_or(u32::MAX),
            options: Options::default(),
        };
        let head = Head { session: id, seq: low_half(opening.nonce), flags: 0 };
        super::encode(head, &Message::Welcome(welcome)).unwrap_or_default()
    }

    /// The desired configuration, if the device does not have it already. Spec §7.7.
    fn order_config(&mut self, now: Now, id: u32, config_rev: u32, config: Option<Settings>) {
        let Some(config) = config.filter(|config| config.revision != config_rev) else {
            return;
        };
        let mut body = config.revision.to_be_bytes().to_vec();
        body.extend_from_slice(&config.list);
        let order =
            super::Downlink { kind: MessageType::Config, id: config.revision, body, ttl: None };
        self.order(now, id, order);
    }

    /// CLOSE, on UDP never longer than the HELLO: without the text if need be. Spec §5.1.
    fn refuse_hello(&mut self, peer: Peer, seq: u32, code: ErrorCode, text: &str, limit: usize) {
        self.drop(peer, DropReason::Hello { code: code.0 });
        let retry_after_ms = if code == ErrorCode::BUSY { super::RETRY_AFTER_MS.into() } else { 0 };
        let head = Head { session: 0, seq, flags: 0 };
        let text = if CLOSE_FIXED + text.len() <= limit { text } else { "" };
        self.reply(peer, head, &Message::Close(Close { code, retry_after_ms, text }), limit);
    }
}

impl Opening {
    fn new(device: Arc<str>, peer: Peer, hello: &Hello<'_>, past: Vec<u64>) -> Self {
        let clock = hello.options.get(OptionCode::Clock);
        Self {
            device,
            stream: hello.stream,
            nonce: hello.nonce,
            past,
            peer,
            next_row: hello.next_row,
            keepalive_s: hello.keepalive_s,
            max_msg: hello.max_msg,
            ack_every: hello.ack_every,
            ack_delay_ms: hello.ack_delay_ms,
            downlink: hello.downlink,
            encodings: hello.encodings,
            config_rev: hello.config_rev,
            last_command_id: hello.last_command_id,
            clock: clock.and_then(|value| TimeReq::from_option(value).ok()),
        }
    }
}

/// The last few nonces, this one included.
fn remember(mut past: Vec<u64>, nonce: u64) -> Vec<u64> {
    if past.len() >= PAST_MAX {
        past.remove(0);
    }
    past.push(nonce);
    past
}

/// What matches an answer to its HELLO. Spec §5.2b.
fn low_half(nonce: u64) -> u32 {
    let [.., a, b, c, d] = nonce.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// A limit of the registry as its field in WELCOME holds it.
pub(super) fn field16(limit: usize) -> u16 {
    u16::try_from(limit).unwrap_or(u16::MAX)
}
