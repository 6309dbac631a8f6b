//! Bytes to messages, messages to their handlers. Spec §3.

use alloc::vec::Vec;
use core::time::Duration;

use senda_wire::registry::{CRC_LEN, HEADER_LEN, flag};
use senda_wire::{
    BodyError, Close, ErrorCode, Frame, Head, Message, MessageType, Nack, Ping, Sender, Time,
    TypeError,
};

use super::event::{DropReason, Event, Notice, Peer, What};
use super::session::Address;
use super::{Collector, Now};

/// A PING to an address that did not answer yet goes again after this time, when something arrives from there.
const CHALLENGE_PAUSE: Duration = Duration::from_secs(1);
/// The shortest HELLO of any version, and so what a foreign one can be answered with at least. Spec §3.5.
const HELLO_MIN: usize = 65;

impl Collector {
    /// Message after message; the first that is none drops the rest. Spec §3.4b.
    pub(super) fn read_datagram(&mut self, now: Now, peer: Peer, datagram: &[u8]) {
        let mut rest = datagram;
        while !rest.is_empty() {
            match Frame::decode_datagram(rest) {
                Ok(frame) => {
                    rest = &rest[frame.bytes.len()..];
                    self.read_frame(now, peer, &frame);
                }
                Err(_) if Frame::is_foreign_hello(rest) => return self.refuse_version(peer),
                Err(error) => return self.drop(peer, DropReason::Frame(error)),
            }
        }
    }

    /// Spec §3.5a.
    pub(super) fn refuse_version(&mut self, peer: Peer) {
        self.drop(peer, DropReason::Hello { code: ErrorCode::VERSION.0 });
        let close = Close { code: ErrorCode::VERSION, retry_after_ms: 0, text: "1" };
        self.reply(peer, Head::default(), &Message::Close(close), HELLO_MIN);
    }

    /// Checks 6 to 8 of spec §3.7, then the handler of the type.
    pub(super) fn read_frame(&mut self, now: Now, peer: Peer, frame: &Frame<'_>) {
        self.counters.messages += 1;
        if self.config.trace {
            self.events.push_back(Event::Received { peer, bytes: frame.bytes.to_vec() });
        }
        let wrong_type = DropReason::Type { kind: frame.code };
        match frame.message_type() {
            Some(MessageType::Hello) => return self.read_hello(now, peer, frame),
            Some(MessageType::Close) => return self.read_close(now, peer, frame),
            // Only a collector sends these; they have no session to check.
            Some(MessageType::Retry | MessageType::Welcome) => return self.drop(peer, wrong_type),
            _ => {}
        }
        if !self.is_at_home(peer, frame.session) {
            return self.refuse_stranger(now, peer, frame);
        }
        let heard_before = self.sessions.get(&frame.session).map(|session| session.heard);
        let from_home = self.note_arrival(now, peer, frame);
        match frame.known_type(Sender::Device) {
            Err(TypeError::Unknown { code }) => return self.read_unknown(peer, frame, code),
            Err(TypeError::WrongDirection { .. }) => return self.drop(peer, wrong_type),
            Ok(_) => {}
        }
        match Message::decode(frame) {
            Ok(message) => self.read_message(now, peer, frame, &message, from_home),
            Err(error) => self.refuse_body(now, peer, frame, error),
        }
        if let Some(heard_before) = heard_before.filter(|_| from_home) {
            self.wake_down(now, frame.session, heard_before);
        }
    }

    fn read_message(
        &mut self,
        now: Now,
        peer: Peer,
        frame: &Frame<'_>,
        message: &Message<'_>,
        from_home: bool,
    ) {
        let id = frame.session;
        match message {
            Message::Rows(data) | Message::Sparse(data) => self.read_rows(now, frame, data),
            Message::RowsU(data) => self.read_unacked(now, frame, data),
            Message::Columns(_) | Message::ColumnsU(_) => self.refuse_encoding(frame),
            Message::Counts(counts) => {
                let (made, causes) = (counts.made, counts.causes.iter().collect());
                self.land(now, frame, frame.seq, 1, What::Counts { row: frame.seq, made, causes });
            }
            Message::Skip(skip) => {
                let (first, count, cause) = (frame.seq, skip.count, skip.cause);
                self.land(now, frame, first, count, What::Skip { first, count, cause });
            }
            Message::Declare(declare) => self.read_declare(now, frame, declare),
            Message::Done(done) => self.read_done(now, id, frame.seq, done),
            Message::TimeReq(request) => {
                let time = Time { t1: request.t1, t2: now.utc_us, t3: now.utc_us };
                self.send_if(from_home, id, frame.seq, &Message::Time(time));
                self.land_quietly(now, id, What::Clock(*request));
            }
            Message::Ping(ping) => {
                self.send_if(from_home, id, frame.seq, &Message::Pong(Ping { token: ping.token }));
            }
            Message::Pong(pong) => self.prove_address(now, id, peer, pong.token),
            // SEALED outside a sealed session.
            _ => self.drop(peer, DropReason::Type { kind: frame.code }),
        }
    }

    /// Sends an answer that may only go to the session's own address. Spec §9.3.
    fn send_if(&mut self, from_home: bool, id: u32, seq: u32, message: &Message<'_>) {
        if from_home {
            self.send(id, seq, message);
        }
    }

    /// Spec §5.25.
    fn read_unknown(&mut self, peer: Peer, frame: &Frame<'_>, code: u8) {
        self.drop(peer, DropReason::Type { kind: code });
        match code {
            0x10..=0x1F => {
                self.nack_message(frame, ErrorCode::UNSUPPORTED_ENCODING, "unknown data type");
            }
            0x80.. => self.nack_message(frame, ErrorCode::UNSUPPORTED, "unknown critical type"),
            _ => {}
        }
    }

    /// A CLOSE is never answered; it counts only from where the session is. Spec §5.6a.
    fn read_close(&mut self, now: Now, peer: Peer, frame: &Frame<'_>) {
        let id = frame.session;
        if let Err(error) = Message::decode(frame) {
            self.drop(peer, DropReason::Body { kind: frame.code, error });
        } else if self.sessions.get(&id).is_some_and(|session| same_place(session.peer, peer)) {
            self.end_session(id, Notice::Left);
            self.detach(now.instant, peer, id);
        } else {
            self.drop(peer, DropReason::UnknownSession { session: id });
        }
    }

    /// True when the session exists on this transport: for TCP on this connection, for UDP anywhere. Spec §3.7.
    fn is_at_home(&self, peer: Peer, id: u32) -> bool {
        self.sessions.get(&id).is_some_and(|session| match (session.peer, peer) {
            (Peer::Udp { .. }, Peer::Udp { .. }) => true,
            (home, _) => home == peer,
        })
    }

    /// CLOSE 401 with that session's id, no longer than what caused it. Spec §6.6b.
    fn refuse_stranger(&mut self, now: Now, peer: Peer, frame: &Frame<'_>) {
        self.drop(peer, DropReason::UnknownSession { session: frame.session });
        let may_tell = match peer {
            Peer::Udp { .. } if frame.bytes.len() < CLOSE_LEN => false,
            Peer::Udp { remote, .. } => self.strangers.may_tell(now.instant, remote),
            Peer::Tcp(_) => true,
        };
        if may_tell {
            let close = Close { code: ErrorCode::UNKNOWN_SESSION, retry_after_ms: 0, text: "" };
            let head = Head { session: frame.session, seq: 0, flags: 0 };
            self.reply(peer, head, &Message::Close(close), frame.bytes.len());
        } else {
            self.counters.strangers_untold += 1;
        }
    }

    /// Notes that the session was heard, and from where; true when it came from the session's own address. The address
    /// moves only for a data message with a row above all that were seen. Spec §9.3a.
    fn note_arrival(&mut self, now: Now, peer: Peer, frame: &Frame<'_>) -> bool {
        let end = end_of_rows(frame);
        let window_rows = self.config.window_rows;
        let Some(session) = self.sessions.get_mut(&frame.session) else {
            return false;
        };
        // Beyond the window a row is no offer that counts: it would lock the address for all rows below it.
        let newer = end > session.seen_row && session.is_in_window(end, window_rows);
        let at_home = same_place(session.peer, peer);
        if !at_home && !newer {
            self.drop(peer, DropReason::Address);
            return false;
        }
        if newer {
            session.seen_row = end;
        }
        session.heard = now.instant;
        session.used = true;
        session.peer = peer; // At home the local address may differ.
        if !at_home {
            session.address = Address { challenge: Some(self.entropy.u64()), ..Address::default() };
            self.notice(frame.session, Notice::Moved);
        }
        self.challenge(now, frame, !at_home);
        true
    }

    /// Credits an unproven address with what came from it, and asks it for a proof now and then. Spec §9.3b.
    fn challenge(&mut self, now: Now, frame: &Frame<'_>, at_once: bool) {
        let Some(session) = self.sessions.get_mut(&frame.session) else {
            return;
        };
        let address = &mut session.address;
        let Some(token) = address.challenge else {
            return;
        };
        address.credit = address.credit.saturating_add(frame.bytes.len());
        if at_once || now.instant.since(address.asked) >= CHALLENGE_PAUSE {
            address.asked = now.instant;
            self.send(frame.session, 0, &Message::Ping(Ping { token }));
        }
    }

    /// A PONG with the token that was sent to the new address, from there, proves it. Spec §9.2.
    fn prove_address(&mut self, now: Now, id: u32, peer: Peer, token: u64) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if same_place(session.peer, peer) && session.address.challenge == Some(token) {
            session.address.challenge = None;
            self.tell_window(now, id); // It may have changed while only bare ACKs could go there.
            self.pump_down(now, id);
        }
    }

    /// A body that breaks its layout, in a message that arrived whole. Spec §5.26.
    fn refuse_body(&mut self, now: Now, peer: Peer, frame: &Frame<'_>, error: BodyError) {
        self.drop(peer, DropReason::Body { kind: frame.code, error });
        match frame.message_type() {
            Some(MessageType::Rows | MessageType::Sparse) => {
                let count = senda_wire::Data::count_of(frame.body);
                let count = count.filter(|count| u32::MAX - frame.seq >= u32::from(*count));
                match count {
                    Some(count) => self.land_unreadable(now, frame, count),
                    None => {
                        self.nack_message(
                            frame,
                            ErrorCode::BAD_BODY,
                            "the body is no list of rows",
                        );
                    }
                }
            }
            Some(MessageType::Columns) => self.refuse_encoding(frame),
            Some(MessageType::Skip | MessageType::Counts) => {
                let text = "the body breaks the layout of its type";
                self.nack_message(frame, ErrorCode::BAD_BODY, text);
            }
            Some(MessageType::Declare) => {
                let text = "the body breaks the layout of DECLARE";
                self.nack_message(frame, ErrorCode::BAD_SCHEMA, text);
            }
            _ => {}
        }
    }

    /// COLUMNS: the device sends the rows in another encoding. Spec §5.25a.
    fn refuse_encoding(&mut self, frame: &Frame<'_>) {
        let text = "this collector reads ROWS and SPARSE";
        self.nack_message(frame, ErrorCode::UNSUPPORTED_ENCODING, text);
    }

    /// Refuses a message as a whole; no rows are resolved.
    pub(super) fn nack_message(&mut self, frame: &Frame<'_>, code: ErrorCode, text: &str) {
        self.nack(frame.session, frame.seq, frame.code, code, (0, 0), text);
    }

    /// Sends a NACK; class 1xx comes with the time to wait. Spec §5.14.
    pub(super) fn nack(
        &mut self,
        id: u32,
        seq: u32,
        refused_type: u8,
        code: ErrorCode,
        (first, count): (u32, u32),
        text: &str,
    ) {
        let retry_after_ms = if code.0 / 100 == 1 { super::RETRY_AFTER_MS.into() } else { 0 };
        self.counters.count_nack(code);
        self.send(
            id,
            seq,
            &Message::Nack(Nack { refused_type, code, first, count, retry_after_ms, text }),
        );
    }
}

/// True for the same connection, or the same remote address.
pub(super) fn same_place(a: Peer, b: Peer) -> bool {
    match (a, b) {
        (Peer::Udp { remote: a, .. }, Peer::Udp { remote: b, .. }) => a == b,
        (Peer::Tcp(a), Peer::Tcp(b)) => a == b,
        _ => false,
    }
}

/// True when the device asked for an ACK at once. Spec §3.2.
pub(super) const fn wants_ack_now(frame: &Frame<'_>) -> bool {
    frame.flags & flag::ACK_NOW != 0
}

/// One past the last row of a data message with rows on their way; 0 for everything else. A SKIP is none: it may reach
/// far beyond what the device has made of the window.
fn end_of_rows(frame: &Frame<'_>) -> u32 {
    match frame.message_type() {
        Some(MessageType::Rows | MessageType::Sparse | MessageType::Counts) => {}
        _ => return 0,
    }
    match Message::decode(frame) {
        Ok(Message::Rows(data) | Message::Sparse(data)) => frame.seq + u32::from(data.head.count),
        Ok(Message::Counts(_)) => frame.seq + 1,
        _ => 0,
    }
}

/// A CLOSE without text. Spec §5.6.
const CLOSE_LEN: usize = HEADER_LEN + 7 + CRC_LEN;

/// Message bytes kept for the store.
pub(super) fn body_of(frame: &Frame<'_>) -> Vec<u8> {
    frame.body.to_vec()
}
