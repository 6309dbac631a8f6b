//! The collector's engine: all sessions, admission, windows, the ACK gate, replies.
//!
//! ```text
//!   bytes --handle_input--> [ frame, session, schema, window ] --Event::Land--> the store's one writer
//!                                                                                     | commit, sync
//!   bytes <--poll_transmit-- [ ACK due? ] <-----------handle_durable------------------+
//! ```
//!
//! A HELLO goes the same way: `Event::Open` asks the store for the stream's mark, *after* every landing before it, and
//! WELCOME leaves on `handle_stream`. Nothing else goes back up. Durability is an input: no ACK without a verdict.

mod address; // cookies, strangers
mod connection; // TCP connections
mod data; // data messages become landings
mod downlink; // CONFIG, COMMAND, ALERT until DONE
mod durable; // verdicts become ACKs and NACKs
mod event; // what goes out besides bytes, and what comes back
mod hello; // admission
mod input; // bytes to messages, messages to their handlers
mod session; // what is known of one session
mod timers; // deadlines with their owners
mod unacked; // fire and forget

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use senda_wire::registry::{DATAGRAM_MAX, TCP_MESSAGE_DEFAULT, flag};
use senda_wire::{Close, Durability, EncodeError, ErrorCode, FrameError, Head, Message};

use crate::{Entropy, Instant};
use address::{Cookies, Strangers};
use connection::Connection;
use data::Landed;
pub use downlink::Down as Downlink;
pub use event::{
    DropReason, Event, Fate, Mark, Notice, Outcome, Peer, Settings, StreamState, Token, Transmit,
    Verdict, What,
};
use hello::Opening;
use session::Session;
pub use timers::Timer;
use timers::Timers;

/// What a device is told to wait when the collector can't take rows, milliseconds.
const RETRY_AFTER_MS: u16 = 1_000;

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic: decides deadlines.
    pub instant: Instant,
    /// Microseconds since 1970 UTC: dates rows that come without a clock, and answers TIME_REQ.
    pub utc_us: i64,
}

/// What a collector offers and bears. Every field is a limit on something that a peer controls.
#[derive(Clone, Debug)]
pub struct Config {
    /// What an ACK means here; goes into WELCOME.
    pub durability: Durability,
    /// How long the store may gather before it commits; goes into WELCOME.
    pub commit_interval: Duration,
    /// Rows that a stream may have on its way. Spec §8.1.
    pub window_rows: u32,
    /// Longest message on TCP, bytes.
    pub tcp_message_max: u16,
    /// Sessions in all.
    pub sessions_max: usize,
    /// HELLOs that wait for the store's answer, in all.
    pub openings_max: usize,
    /// Bytes of messages on their way to the disk, in all sessions together.
    pub landing_bytes_max: usize,
    /// Bytes of schema descriptions that are kept for the sessions, in all; beyond it DECLARE gets NACK 101.
    pub schema_bytes_max: usize,
    /// An ACK is never delayed longer, whatever the device asks for.
    pub ack_delay_max: Duration,
    /// An ACK is due after that many data messages, whatever the device asks for.
    pub ack_every_max: u16,
    /// Messages that wait to be sent down on one session.
    pub downlink_queue_max: usize,
    /// Every message that arrives becomes an `Event::Received`, for eyes.
    pub trace: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            durability: Durability::Fsync,
            commit_interval: Duration::ZERO,
            window_rows: 16_384,
            tcp_message_max: hello::field16(TCP_MESSAGE_DEFAULT),
            sessions_max: 1_000_000,
            openings_max: 10_000,
            landing_bytes_max: 32 << 20,
            schema_bytes_max: 256 << 20,
            ack_delay_max: Duration::from_secs(2),
            ack_every_max: 64,
            downlink_queue_max: 16,
            trace: false,
        }
    }
}

/// What the engine has counted since it began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Whole, undamaged messages.
    pub messages: u64,
    /// Data messages handed to the store.
    pub landed: u64,
    /// Rows in them.
    pub rows: u64,
    /// Data messages of which nothing was new.
    pub duplicates: u64,
    /// ACKs sent.
    pub acks: u64,
    /// NACKs sent.
    pub nacks: u64,
    /// Datagrams and streams with bytes that are no message. Spec §3.7, checks 1 to 5.
    pub bad_frames: u64,
    /// Messages with a body that breaks its layout. Spec §5.26.
    pub bad_bodies: u64,
    /// Messages for a session that does not exist.
    pub unknown_sessions: u64,
    /// Everything else that was dropped.
    pub dropped: u64,
    /// HELLOs that were refused.
    pub refused_hellos: u64,
    /// Of the bad frames: those with a wrong CRC. Spec §3.3.
    pub bad_crcs: u64,
    /// RETRYs sent: HELLOs without a good cookie. Spec §9.1.
    pub retries: u64,
    /// Messages of unknown sessions that got no CLOSE, as the limits demand. Spec §6.6b.
    pub strangers_untold: u64,
    /// Messages that did not go to an address that is not proven, as the limit demands. Spec §9.2, §9.3.
    pub withheld: u64,
    /// NACKs sent, by code; in the order of [`ErrorCode::ALL`].
    pub nacks_by_code: [u64; ErrorCode::ALL.len()],
}

impl Counters {
    fn count_nack(&mut self, code: ErrorCode) {
        self.nacks += 1;
        if let Some(place) = ErrorCode::ALL.iter().position(|known| *known == code) {
            self.nacks_by_code[place] += 1;
        }
    }
}

/// All sessions of a collector. After every `handle_*`, drain [`Collector::poll_transmit`], then
/// [`Collector::poll_event`], then arm a timer for [`Collector::poll_timeout`].
#[derive(Debug)]
pub struct Collector {
    config: Config,
    entropy: Entropy,
    cookies: Cookies,
    strangers: Strangers,
    sessions: BTreeMap<u32, Session>,
    /// Which session serves a stream. Spec §6.4c.
    streams: BTreeMap<(Arc<str>, u64), u32>,
    openings: BTreeMap<Token, Opening>,
    /// Which of them is for a stream; there is one at most.
    opening_of: BTreeMap<(Arc<str>, u64), Token>,
    connections: BTreeMap<u64, Connection>,
    /// Landings without a verdict, and the bytes that they hold.
    landed: BTreeMap<Token, Landed>,
    landing_bytes: usize,
    /// Bytes of the descriptions that sessions keep.
    schema_bytes: usize,
    /// Commands whose record is on its way to the disk.
    recording: BTreeMap<Token, u32>,
    /// False: the store can't take rows; windows are 0.
    accepting: bool,
    /// Sessions that were told window 0, for the day when it opens.
    shut: BTreeSet<u32>,
    next_token: u64,
    timers: Timers,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    counters: Counters,
}

impl Collector {
    /// An engine without sessions. `seed` must not be known to anybody; in a simulation it decides every random number.
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut entropy = Entropy::new(seed);
        Self {
            config,
            cookies: Cookies::new(now, &mut entropy),
            entropy,
            strangers: Strangers::default(),
            sessions: BTreeMap::new(),
            streams: BTreeMap::new(),
            openings: BTreeMap::new(),
            opening_of: BTreeMap::new(),
            connections: BTreeMap::new(),
            landed: BTreeMap::new(),
            landing_bytes: 0,
            schema_bytes: 0,
            recording: BTreeMap::new(),
            accepting: true,
            shut: BTreeSet::new(),
            next_token: 0,
            timers: Timers::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes one datagram. `local` is the address that it was sent to, if the socket is bound to a wildcard.
    pub fn handle_datagram(
        &mut self,
        now: Now,
        remote: SocketAddr,
        local: Option<core::net::IpAddr>,
        datagram: &[u8],
    ) {
        self.read_datagram(now, Peer::Udp { remote, local }, datagram);
    }

    /// A connection was accepted; `connection` is the caller's number for it, never used again.
    pub fn handle_connected(&mut self, now: Now, connection: u64) {
        self.begin_connection(now, connection);
    }

    /// Takes bytes of a connection, as they arrived.
    pub fn handle_stream_bytes(&mut self, now: Now, connection: u64, bytes: &[u8]) {
        self.read_stream(now, connection, bytes);
    }

    /// A connection ended; its sessions end with it. Spec §6.6. Not needed after [`Event::Disconnect`], and harmless.
    pub fn handle_disconnected(&mut self, connection: u64) {
        self.end_connection(connection);
    }

    /// Fires each timer that is due at `now`. Calling early or twice changes nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop_due(now.instant) {
            match timer {
                Timer::Ack(id) => self.acknowledge(now, id, true),
                Timer::Death(id) => self.check_death(now, id),
                Timer::Downlink(id) => self.resend_down(now, id),
                Timer::Greeting(connection) => self.refuse_silence(connection),
            }
        }
    }

    /// The earliest deadline and who asked for it.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    /// The next bytes to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing to do, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What was counted.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Sessions in state Serving.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Bytes of messages that are on their way to the disk.
    pub const fn landing_bytes(&self) -> usize {
        self.landing_bytes
    }

    /// Bytes of schema descriptions that sessions keep.
    pub const fn schema_bytes(&self) -> usize {
        self.schema_bytes
    }

    /// True while a landing has no verdict yet, or a HELLO no answer.
    pub fn is_busy(&self) -> bool {
        !self.landed.is_empty() || !self.openings.is_empty()
    }

    /// Says whether the store can take rows. While it can't, windows are 0 and rows get NACK 101.
    pub fn set_accepting(&mut self, now: Now, accepting: bool) {
        self.accepting = accepting;
        self.reopen_windows(now);
    }

    /// Ends every session by CLOSE 407; call it when nothing is on its way any more. Spec §6.6c.
    pub fn close_all(&mut self, now: Now) {
        let ids: Vec<u32> = self.sessions.keys().copied().collect();
        for id in ids {
            self.acknowledge(now, id, true);
            self.close_session(
                now.instant,
                id,
                ErrorCode::GOING,
                "the collector stops",
                Notice::Left,
            );
        }
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// The window that a device is told now. Spec §8.1.
    fn window(&self) -> u32 {
        if self.accepting && self.landing_bytes < self.config.landing_bytes_max {
            self.config.window_rows
        } else {
            0
        }
    }

    /// Sends a message of a session to where the session is, within the credit of an unproven address. Spec §9.3b.
    fn send(&mut self, id: u32, seq: u32, message: &Message<'_>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        // Beside an order that went unanswered, what else goes to the device says that it should stay awake for it.
        let is_order =
            matches!(message, Message::Config(_) | Message::Command(_) | Message::Alert(_));
        let more = session.down.has_more() || (!is_order && session.down.is_overdue());
        let flags = if more { flag::MORE } else { 0 };
        let Some(bytes) = encode(Head { session: id, seq, flags }, message) else {
            return;
        };
        if session.address.challenge.is_some() {
            let bare = matches!(message, Message::Ack(ack) if ack.window.is_none())
                || matches!(message, Message::Ping(_));
            if !bare || bytes.len() > session.address.credit {
                self.counters.withheld += 1;
                return;
            }
            session.address.credit -= bytes.len();
        }
        let peer = session.peer;
        self.transmits.push_back(Transmit { peer, bytes });
    }

    /// Answers somebody who has no session; on UDP with no more than `limit` bytes: those of the message that is
    /// answered. Spec §9.2a.
    fn reply(&mut self, peer: Peer, head: Head, message: &Message<'_>, limit: usize) {
        let fits = |bytes: &Vec<u8>| matches!(peer, Peer::Tcp(_)) || bytes.len() <= limit;
        if let Some(bytes) = encode(head, message).filter(fits) {
            self.transmits.push_back(Transmit { peer, bytes });
        }
    }

    fn drop(&mut self, peer: Peer, reason: DropReason) {
        match &reason {
            DropReason::Frame(error) => {
                self.counters.bad_frames += 1;
                self.counters.bad_crcs += u64::from(matches!(error, FrameError::BadCrc { .. }));
            }
            DropReason::Body { .. } => self.counters.bad_bodies += 1,
            DropReason::UnknownSession { .. } => self.counters.unknown_sessions += 1,
            DropReason::Hello { .. } => self.counters.refused_hellos += 1,
            _ => self.counters.dropped += 1,
        }
        self.events.push_back(Event::Drop { peer, reason });
    }

    fn notice(&mut self, id: u32, notice: Notice) {
        if let Some(session) = self.sessions.get(&id) {
            let (device, stream, peer) = (session.device.clone(), session.stream, session.peer);
            self.events.push_back(Event::Notice { device, stream, peer, notice });
        }
    }

    fn check_death(&mut self, now: Now, id: u32) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let dies = session.dies();
        if dies > now.instant {
            self.timers.set(Timer::Death(id), dies);
        } else {
            let text = "nothing heard for 2.5 keepalive periods";
            self.close_session(now.instant, id, ErrorCode::TIMEOUT, text, Notice::TimedOut);
        }
    }

    /// Says CLOSE and forgets the session.
    fn close_session(
        &mut self,
        now: Instant,
        id: u32,
        code: ErrorCode,
        text: &str,
        notice: Notice,
    ) {
        let retry_after_ms = u32::from(RETRY_AFTER_MS);
        self.send(id, 0, &Message::Close(Close { code, retry_after_ms, text }));
        if let Some(peer) = self.end_session(id, notice) {
            self.detach(now, peer, id);
        }
    }

    /// Forgets the session; returns where it was. Its landings go on; nothing durable lives in a session.
    fn end_session(&mut self, id: u32, notice: Notice) -> Option<Peer> {
        self.notice(id, notice);
        let session = self.sessions.remove(&id)?;
        for timer in [Timer::Ack(id), Timer::Death(id), Timer::Downlink(id)] {
            self.timers.stop(timer);
        }
        self.shut.remove(&id);
        self.schema_bytes = self.schema_bytes.saturating_sub(session.schema_bytes());
        let key = (session.device.clone(), session.stream);
        if self.streams.get(&key) == Some(&id) {
            self.streams.remove(&key);
        }
        let peer = session.peer;
        self.abandon_down(session);
        Some(peer)
    }
}

/// The message's bytes, and no memory beyond them; `None` only if the engine made a message that can't be written, which
/// is our bug.
fn encode(head: Head, message: &Message<'_>) -> Option<Vec<u8>> {
    let mut buffer = [0; DATAGRAM_MAX];
    match message.encode(head, &mut buffer) {
        Ok(len) => Some(buffer[..len].to_vec()),
        // A CONFIG, COMMAND or ALERT for a connection: `Collector::order` checked that the device takes it.
        Err(EncodeError::BufferTooSmall { needed }) => {
            let mut bytes = vec![0; needed];
            message.encode(head, &mut bytes).ok()?;
            Some(bytes)
        }
        Err(error) => {
            debug_assert!(false, "the engine sends what can be written: {error:?}");
            None
        }
    }
}
