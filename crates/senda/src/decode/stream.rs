//! The messages in the bytes of one direction of a TCP connection. Spec §3.6.

use std::io;

use senda_wire::registry::{CRC_LEN, HEADER_LEN, MESSAGE_MAX, flag};
use senda_wire::{Frame, FrameError, MessageType};

/// How many bytes may be looked at, over and over, in search of the next message.
const SEARCH_MAX: usize = 1 << 26;
/// How many bytes that nobody said are Senda are searched for a first message.
const GUESS_MAX: u64 = 1 << 17;

/// What is in the bytes. Positions count from the first byte of the direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Heard<'a> {
    /// A message, and where it begins.
    Message(u64, Frame<'a>),
    /// Bytes that should be a message and are none; so many are left.
    Failure(u64, usize, FrameError),
    /// The frame was lost, and found again after so many bytes.
    Resumed(u64),
    /// The direction ends, or a gap begins, within a message of which so many bytes are there.
    Unfinished(u64, usize),
    /// Nothing was found in so many bytes; the rest is not looked at.
    GivenUp(u64),
}

/// Where what is heard goes.
pub(super) type Each<'a> = &'a mut dyn FnMut(Heard<'_>) -> io::Result<()>;

/// One direction.
#[derive(Debug)]
pub(super) struct Messages {
    state: State,
    /// Bytes that were not yet understood.
    buffer: Vec<u8>,
    /// Position of the first of them.
    position: u64,
    /// Nobody said that this is Senda: silent until a message is found.
    is_guess: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// A message begins here.
    Framed,
    /// One may begin anywhere: since this position, and after so much work.
    Searching { since: u64, work: usize },
    /// Not Senda, or no longer.
    Foreign,
}

impl Messages {
    /// A direction whose first byte is there, or is not; known to be Senda, or not.
    pub(super) fn new(has_beginning: bool, is_guess: bool) -> Self {
        let searching = State::Searching { since: 0, work: 0 };
        let state = if has_beginning { State::Framed } else { searching };
        Self { state, buffer: Vec::new(), position: 0, is_guess }
    }

    /// Bytes that are kept.
    pub(super) fn held(&self) -> usize {
        self.buffer.len()
    }

    /// Whether it is Senda as far as is known: said to be, or found to be.
    pub(super) fn is_senda(&self) -> bool {
        !self.is_guess && self.state != State::Foreign
    }

    /// Takes the next bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8], each: Each<'_>) -> io::Result<()> {
        if self.state == State::Foreign {
            self.position += bytes.len() as u64;
            return Ok(());
        }
        self.buffer.extend_from_slice(bytes);
        self.understand(false, each)
    }

    /// The next bytes are not in the capture.
    pub(super) fn lost(&mut self, bytes: u64, each: Each<'_>) -> io::Result<()> {
        self.end(each)?;
        self.position += bytes;
        if self.state != State::Foreign {
            self.state = State::Searching { since: self.position, work: 0 };
        }
        Ok(())
    }

    /// No more bytes will come, for the time being.
    pub(super) fn end(&mut self, each: Each<'_>) -> io::Result<()> {
        self.understand(true, each)?;
        if self.state == State::Framed && !self.buffer.is_empty() && !self.is_guess {
            each(Heard::Unfinished(self.position, self.buffer.len()))?;
        }
        self.consume(self.buffer.len());
        Ok(())
    }

    /// `is_end`: a message that is not whole now never will be.
    fn understand(&mut self, is_end: bool, each: Each<'_>) -> io::Result<()> {
        let mut at = 0;
        while at < self.buffer.len() {
            let rest = &self.buffer[at..];
            let position = self.position + at as u64;
            let used = match self.state {
                State::Foreign => Some(rest.len()),
                State::Framed => match Frame::decode(rest, MESSAGE_MAX) {
                    Ok(frame) => {
                        self.is_guess = false;
                        each(Heard::Message(position, frame))?;
                        Some(frame.bytes.len())
                    }
                    Err(FrameError::Incomplete { .. }) => None,
                    Err(_) if self.is_guess => {
                        self.state = State::Foreign;
                        Some(rest.len())
                    }
                    Err(error) => {
                        each(Heard::Failure(position, rest.len(), error))?;
                        self.state = State::Searching { since: position, work: 0 };
                        Some(1)
                    }
                },
                State::Searching { since, work } => {
                    match may_begin(rest).then(|| Frame::decode(rest, MESSAGE_MAX)) {
                        Some(Ok(frame)) => {
                            self.is_guess = false;
                            self.state = State::Framed;
                            if position > since {
                                each(Heard::Resumed(position - since))?;
                            }
                            each(Heard::Message(position, frame))?;
                            Some(frame.bytes.len())
                        }
                        Some(Err(FrameError::Incomplete { .. })) if !is_end => None,
                        looked => {
                            let work = work + looked.map_or(1, |_| length(rest));
                            let passed = position - since;
                            let is_hopeless = self.is_guess && passed > GUESS_MAX;
                            self.state = State::Searching { since, work };
                            if is_hopeless || work > SEARCH_MAX {
                                self.state = State::Foreign;
                                if !self.is_guess {
                                    each(Heard::GivenUp(passed))?;
                                }
                            }
                            Some(1)
                        }
                    }
                }
            };
            let Some(used) = used else {
                break;
            };
            at += used;
        }
        self.consume(at);
        Ok(())
    }

    fn consume(&mut self, len: usize) {
        self.buffer.drain(..len);
        self.position += len as u64;
    }
}

/// Whether a message of a known type may begin so, as far as the bytes go.
fn may_begin(rest: &[u8]) -> bool {
    const SHORTEST: usize = HEADER_LEN + CRC_LEN;
    let magic = rest.first().is_some_and(|first| first & 0xF3 == 0xA0 | flag::CRC);
    let code = rest.get(1).is_none_or(|code| MessageType::from_code(*code).is_some());
    magic && code && (rest.len() < 4 || length(rest) >= SHORTEST)
}

/// What the header says.
fn length(rest: &[u8]) -> usize {
    rest.get(2..4).map_or(0, |length| usize::from(length[0]) << 8 | usize::from(length[1]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use senda_wire::{Head, Message, Ping};

    use super::*;

    /// What was heard, without its bytes.
    #[derive(Clone, Debug, Eq, PartialEq)]
    enum Said {
        Message(u64, u32),
        Failure(u64, &'static str),
        Resumed(u64),
        Unfinished(u64, usize),
        GivenUp(u64),
    }

    const LEN: usize = 24;

    #[test]
    fn messages_are_told_apart_however_they_are_cut() {
        let bytes = pings(5);
        for size in 1..=bytes.len() {
            let said = listen(Messages::new(true, false), &bytes, size);
            let expected: Vec<_> = (0..5).map(|n| Said::Message(u64::from(n) * 24, n)).collect();
            assert_eq!(said, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn after_a_damaged_message_the_next_one_is_found() {
        let mut bytes = pings(3);
        bytes[LEN + 14] ^= 1;
        for size in [1, 7, bytes.len()] {
            let said = listen(Messages::new(true, false), &bytes, size);
            let expected = [
                Said::Message(0, 0),
                Said::Failure(24, "bad_crc"),
                Said::Resumed(24),
                Said::Message(48, 2),
            ];
            assert_eq!(said, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn without_the_beginning_the_first_whole_message_is_found() {
        let bytes = &pings(3)[10..];
        let expected = [Said::Resumed(14), Said::Message(14, 1), Said::Message(38, 2)];
        assert_eq!(listen(Messages::new(false, false), bytes, 5), expected);
        assert_eq!(listen(Messages::new(false, true), bytes, 5), expected);
    }

    #[test]
    fn a_gap_ends_a_message_and_the_next_one_is_found() {
        let bytes = pings(4);
        let mut messages = Messages::new(true, false);
        let mut said = Vec::new();
        messages.bytes(&bytes[..30], &mut |heard| say(&mut said, heard)).unwrap();
        messages.lost(20, &mut |heard| say(&mut said, heard)).unwrap();
        messages.bytes(&bytes[50..80], &mut |heard| say(&mut said, heard)).unwrap();
        messages.end(&mut |heard| say(&mut said, heard)).unwrap();
        let expected = [Said::Message(0, 0), Said::Unfinished(24, 6)];
        assert_eq!(said, expected, "the third was cut too, and the fourth is not whole");
        messages.bytes(&pings(1), &mut |heard| say(&mut said, heard)).unwrap();
        assert_eq!(said[2..], [Said::Resumed(30), Said::Message(80, 0)]);
    }

    #[test]
    fn what_nobody_called_senda_is_left_in_silence() {
        let other = b"GET / HTTP/1.1\r\n\r\n".repeat(20_000);
        assert_eq!(listen(Messages::new(true, true), &other, 1000), []);
        assert_eq!(listen(Messages::new(false, true), &other, 1000), []);
        let said = listen(Messages::new(true, false), &other, 1000);
        assert_eq!(said, [Said::Failure(0, "bad_magic")]);
    }

    #[test]
    fn a_search_that_leads_nowhere_ends() {
        // Each fourth byte looks like the beginning of a long message.
        let bytes = [0xA1, 0x01, 0xFF, 0xFF].repeat(100_000);
        let said = listen(Messages::new(true, false), &bytes, 60_000);
        assert!(matches!(said[..], [Said::Failure(0, "bad_crc"), Said::GivenUp(_)]), "{said:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_safe_and_bounded(
            parts in prop::collection::vec(part(), 0..40),
            size in 1..5000_usize,
            has_beginning: bool,
            is_guess: bool,
        ) {
            let bytes = parts.concat();
            let mut messages = Messages::new(has_beginning, is_guess);
            for piece in bytes.chunks(size) {
                messages.bytes(piece, &mut |_| Ok(())).unwrap();
                prop_assert!(messages.held() < MESSAGE_MAX + size);
            }
            messages.end(&mut |_| Ok(())).unwrap();
            prop_assert_eq!((messages.held(), messages.position), (0, bytes.len() as u64));
        }
    }

    /// Messages, damaged messages, and anything.
    fn part() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            (1..4_u32).prop_map(pings),
            (0..LEN, any::<u8>()).prop_map(|(at, bits)| {
                let mut bytes = pings(1);
                bytes[at] ^= bits;
                bytes
            }),
            prop::collection::vec(any::<u8>(), 0..200),
            prop::collection::vec(prop::sample::select(vec![0xA1, 0x01, 0x00, 0xFF]), 0..200),
        ]
    }

    fn pings(count: u32) -> Vec<u8> {
        let ping = |seq| {
            let mut buffer = [0; LEN];
            let head = Head { session: 1, seq, flags: 0 };
            Message::Ping(Ping { token: seq.into() }).encode(head, &mut buffer).unwrap();
            buffer
        };
        (0..count).flat_map(ping).collect()
    }

    fn listen(mut messages: Messages, bytes: &[u8], size: usize) -> Vec<Said> {
        let mut said = Vec::new();
        for piece in bytes.chunks(size) {
            messages.bytes(piece, &mut |heard| say(&mut said, heard)).unwrap();
        }
        messages.end(&mut |heard| say(&mut said, heard)).unwrap();
        said
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of `Each`")]
    fn say(said: &mut Vec<Said>, heard: Heard<'_>) -> io::Result<()> {
        said.push(match heard {
            Heard::Message(at, frame) => Said::Message(at, frame.seq),
            Heard::Failure(at, _, error) => Said::Failure(at, error.name()),
            Heard::Resumed(after) => Said::Resumed(after),
            Heard::Unfinished(at, len) => Said::Unfinished(at, len),
            Heard::GivenUp(after) => Said::GivenUp(after),
        });
        Ok(())
    }
}
