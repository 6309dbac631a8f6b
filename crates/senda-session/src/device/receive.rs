//! Bytes to messages, messages to their handlers. Spec §3.4, §3.6, §3.7.

use alloc::vec::Vec;

use senda_wire::registry::Direction;
use senda_wire::{ErrorCode, Frame, FrameError, Message, MessageType};

use super::config::PONGS_MAX;
use super::event::LostReason;
use super::{Device, Event, State, Transport};
use crate::Instant;

/// A reassembly buffer gives memory back above this.
const IDLE_BYTES: usize = 2_048;

impl Device {
    /// Takes one whole datagram (UDP), or stream bytes as they arrived (TCP). Bad input is counted, and on TCP ends the
    /// connection; it never panics.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        match self.transport {
            Some(Transport::Udp) => self.read_datagram(now, bytes),
            Some(Transport::Tcp) => self.read_stream(now, bytes),
            None => self.stats.stray += 1,
        }
        self.arm_persist(now);
    }

    /// At the first bad message the rest of the datagram is dropped. Spec §3.4b.
    fn read_datagram(&mut self, now: Instant, mut rest: &[u8]) {
        let max = usize::from(self.config.max_msg(Transport::Udp));
        while !rest.is_empty() {
            let Ok(frame) = Frame::decode(rest, max) else {
                self.stats.bad_frames += 1;
                return;
            };
            rest = &rest[frame.bytes.len()..];
            self.on_frame(now, &frame);
        }
    }

    /// Keeps at most one message that is not whole yet. Spec §3.6.
    fn read_stream(&mut self, now: Instant, mut rest: &[u8]) {
        let max = usize::from(self.config.max_msg(Transport::Tcp));
        let mut held = core::mem::take(&mut self.received);
        while self.reads_stream() {
            let source = if held.is_empty() { rest } else { &held[..] };
            match Frame::decode(source, max) {
                Ok(frame) => {
                    let len = frame.bytes.len();
                    self.on_frame(now, &frame);
                    if held.is_empty() {
                        rest = &rest[len..];
                    } else {
                        held.clear();
                    }
                }
                Err(FrameError::Incomplete { .. }) if rest.is_empty() => break,
                Err(FrameError::Incomplete { missing }) if !held.is_empty() => {
                    let (more, after) = rest.split_at(missing.min(rest.len()));
                    held.extend_from_slice(more);
                    rest = after;
                }
                Err(FrameError::Incomplete { .. }) => {
                    held.extend_from_slice(rest);
                    rest = &[];
                }
                Err(_) => {
                    self.on_framing_error(now);
                    return;
                }
            }
        }
        if held.is_empty() && held.capacity() > IDLE_BYTES {
            held = Vec::new();
        }
        self.received = held;
    }

    /// After CLOSE, what the old connection still brings is nobody's.
    fn reads_stream(&self) -> bool {
        matches!(self.state, State::Greeting(_) | State::Serving(_))
    }

    /// Spec §3.6a.
    fn on_framing_error(&mut self, now: Instant) {
        self.stats.bad_frames += 1;
        self.farewell = Some((0, ErrorCode::FRAMING));
        let wait = self.back_off();
        self.lose(now, LostReason::Framing, Some(wait));
    }

    /// Spec §3.7, checks 6 to 8.
    fn on_frame(&mut self, now: Instant, frame: &Frame<'_>) {
        let message_type = frame.message_type();
        let greets = matches!(
            message_type,
            Some(MessageType::Retry | MessageType::Welcome | MessageType::Close)
        );
        if !greets && !self.is_current(frame.session) {
            self.stats.stray += 1;
            return;
        }
        let known = message_type.is_some_and(|kind| kind.direction() != Direction::ToCollector);
        let Some(message) = Message::decode(frame).ok().filter(|_| known) else {
            self.stats.count_unusable(known);
            return;
        };
        if greets {
            match &message {
                Message::Retry { cookie } => self.on_retry(frame, cookie),
                Message::Welcome(welcome) => self.on_welcome(now, frame, welcome),
                Message::Close(close) => self.on_close(now, frame, close),
                _ => {}
            }
            return;
        }
        self.heard(now);
        self.downlink.more = frame.flags & senda_wire::registry::flag::MORE != 0;
        self.on_message(now, frame, &message);
    }

    /// Takes a message of the current session.
    fn on_message(&mut self, now: Instant, frame: &Frame<'_>, message: &Message<'_>) {
        match message {
            Message::Ack(ack) => self.on_ack(now, frame.seq, ack),
            Message::Nack(nack) => self.on_nack(now, frame.seq, nack),
            Message::Declared { crc } => self.on_declared(now, frame.seq, *crc),
            Message::Config(_) | Message::Command(_) | Message::Alert(_) => {
                self.on_order(frame, message);
            }
            Message::Ping(ping) if self.pongs.len() < PONGS_MAX => {
                self.pongs.push((frame.seq, ping.token)); // Spec §5.23a.
            }
            Message::Pong(pong) => {
                let State::Serving(session) = &mut self.state else { return };
                let asked = session.ping.map(|ping| (ping.seq, ping.token));
                if asked == Some((frame.seq, pong.token)) {
                    session.ping = None;
                    self.failures = 0;
                    self.timers.stop(super::Timer::Ping);
                }
            }
            Message::Time(time) => {
                if self.clock.answer(now, frame.seq, time) {
                    if let Some((offset_us, uncertainty_us)) = self.clock.estimate(now) {
                        self.events.push(Event::Time { offset_us, uncertainty_us });
                    }
                } else {
                    self.stats.stray += 1;
                }
            }
            Message::Report(report) => self.events.push(Event::Report {
                highest: frame.seq,
                received: report.received,
                duplicates: report.duplicates,
                missing: report.missing,
            }),
            _ => {}
        }
    }

    fn is_current(&self, id: u32) -> bool {
        matches!(&self.state, State::Serving(session) if session.id == id)
    }
}
