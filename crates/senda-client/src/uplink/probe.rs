//! Probes of UDP: a HELLO without a cookie, as long as data may be. Spec §6.8.

use senda_session::Entropy;
use senda_session::device::{Config, Transport};
use senda_wire::registry::{DATAGRAM_MAX, encoding};
use senda_wire::{DeviceName, Frame, Head, Hello, Message, MessageType, Options, Suite};

use super::lane::{Link, Links};
use super::types::LinkId;

/// Type and length of an option.
const OPTION_HEAD: usize = 3;

/// The probe that waits to leave, and the socket of its own that probes have while TCP carries.
#[derive(Debug)]
pub(super) struct Prober {
    entropy: Entropy,
    waiting: Option<Vec<u8>>,
    link: Option<Link>,
    is_open: bool,
}

impl Prober {
    pub(super) const fn new(seed: [u8; 32]) -> Self {
        Self { entropy: Entropy::new(seed), waiting: None, link: None, is_open: false }
    }

    /// Makes a probe; the low half of its nonce. `carrier`: the live session's link, if that is UDP: what is asked is
    /// whether *its* way works.
    pub(super) fn ask(
        &mut self,
        config: &Config,
        stream: u64,
        rows: (u32, u32),
        carrier: Option<Link>,
        links: &mut Links,
    ) -> u32 {
        let nonce = self.entropy.u64();
        self.waiting = write(config, stream, rows, nonce);
        if carrier.is_none() && self.link.is_none() {
            self.link = Some(links.open(Transport::Udp));
            self.is_open = false;
        }
        low_half(nonce)
    }

    /// The probe, if this link is to carry it.
    pub(super) fn transmit(
        &mut self,
        id: LinkId,
        is_carrier: bool,
        out: &mut [u8],
    ) -> Option<usize> {
        if !is_carrier && !self.is_at(id) {
            return None;
        }
        let bytes = self.waiting.as_ref()?;
        out.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let len = bytes.len();
        self.waiting = None;
        Some(len)
    }

    /// True if the link is the prober's own.
    pub(super) fn opened(&mut self, id: LinkId) -> bool {
        self.is_open |= self.link.is_some_and(|link| link.id == id);
        self.is_at(id)
    }

    /// True if the link was the prober's own.
    pub(super) fn broken(&mut self, id: LinkId) -> bool {
        self.link.take_if(|link| link.id == id).is_some()
    }

    pub(super) fn is_at(&self, id: LinkId) -> bool {
        self.is_open && self.link.is_some_and(|link| link.id == id)
    }

    /// The prober's own socket, once it is there.
    pub(super) fn link(&self) -> Option<Link> {
        self.link.filter(|_| self.is_open)
    }

    /// The open socket, for a session that moves to it.
    pub(super) fn take_link(&mut self) -> Option<Link> {
        self.waiting = None;
        if self.is_open { self.link.take() } else { None }
    }

    /// The trial is over: the next one has a new socket, and so a new way through whatever translates addresses.
    pub(super) fn rest(&mut self, links: &mut Links) {
        self.waiting = None;
        if let Some(link) = self.link.take() {
            links.close(link);
        }
    }
}

/// The nonce that a RETRY names, if these bytes are one.
pub(super) fn retry(bytes: &[u8]) -> Option<u32> {
    let frame = Frame::decode(bytes, DATAGRAM_MAX).ok()?;
    (frame.message_type() == Some(MessageType::Retry)).then_some(frame.seq)
}

fn write(config: &Config, stream: u64, rows: (u32, u32), nonce: u64) -> Option<Vec<u8>> {
    let (oldest_row, next_row) = rows;
    let mut hello = Hello {
        stream,
        nonce,
        next_row,
        oldest_row,
        keepalive_s: u32::try_from(config.keepalive.as_secs()).ok()?,
        max_msg: u16::try_from(DATAGRAM_MAX).ok()?,
        ack_every: 1,
        ack_delay_ms: 0,
        suite: Suite::Open,
        downlink: 0,
        encodings: encoding::ROWS,
        config_rev: 0,
        last_command_id: 0,
        device: DeviceName::new(&config.device)?,
        cookie: &[],
        options: Options::default(),
    };
    let mut bytes = vec![0; DATAGRAM_MAX];
    let bare = Message::Hello(hello).encode(Head::default(), &mut bytes).ok()?;
    let pad = pad(DATAGRAM_MAX - bare)?;
    hello.options = Options::new(&pad).ok()?;
    let len = Message::Hello(hello).encode(Head::default(), &mut bytes).ok()?;
    bytes.truncate(len);
    Some(bytes)
}

/// A PAD option of so many bytes, head included.
fn pad(len: usize) -> Option<Vec<u8>> {
    let mut pad = vec![0; len.checked_sub(OPTION_HEAD)? + OPTION_HEAD];
    let value = u16::try_from(len - OPTION_HEAD).ok()?;
    pad[1..OPTION_HEAD].copy_from_slice(&value.to_be_bytes());
    Some(pad)
}

fn low_half(nonce: u64) -> u32 {
    u32::try_from(nonce & u64::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_a_hello_without_cookie_as_long_as_data_may_be() {
        let mut links = Links::default();
        let mut prober = Prober::new([1; 32]);
        let nonce = prober.ask(&Config::new("gh-7"), 9, (2, 5), None, &mut links);
        let id = prober.link.unwrap().id;
        let mut out = [0; 2_000];
        assert_eq!(prober.transmit(id, false, &mut out), None, "its socket is not there yet");
        assert!(prober.opened(id));
        let len = prober.transmit(id, false, &mut out).unwrap();
        assert_eq!(len, DATAGRAM_MAX);
        let frame = Frame::decode(&out[..len], DATAGRAM_MAX).unwrap();
        let Ok(Message::Hello(hello)) = Message::decode(&frame) else { panic!("no HELLO") };
        assert_eq!((hello.stream, hello.oldest_row, hello.next_row), (9, 2, 5));
        assert!(hello.cookie.is_empty());
        assert_eq!(low_half(hello.nonce), nonce);
        assert_eq!(prober.transmit(id, false, &mut out), None, "once");
    }
}
