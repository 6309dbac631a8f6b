//! Any byte string is safe. Spec §3.7, §5.25, §5.26.

use proptest::prelude::*;

use senda_session::Instant;
use senda_session::device::{Config, Event, LostReason, QueueLimits, Transport};
use senda_session::device::{DropPolicy, EVENTS_MAX};
use senda_wire::registry::{CRC_LEN, HEADER_LEN};
use senda_wire::{Clock, ErrorCode, Message, MessageType, Ping, crc32};

use crate::bench::{Bench, ROW, SESSION, config};

/// A message with a right trailer and any body.
fn framed(code: u8, session: u32, seq: u32, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(HEADER_LEN + body.len() + CRC_LEN).unwrap();
    let mut bytes = vec![0xA1, code];
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(&session.to_be_bytes());
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(&crc32(&bytes).to_be_bytes());
    bytes
}

#[test]
fn the_rest_of_a_bad_datagram_is_dropped() {
    let mut bench = Bench::udp();
    let mut datagram = framed(0x42, SESSION, 1, &7u64.to_be_bytes());
    let good = datagram.len();
    datagram.extend_from_slice(&framed(0x42, SESSION, 2, &7u64.to_be_bytes()));
    datagram.extend_from_slice(&framed(0x42, SESSION, 3, &7u64.to_be_bytes()));
    datagram[good + 14] ^= 1;
    bench.device.handle_input(bench.now, &datagram);
    let pongs: Vec<u32> = bench.sent().iter().map(|sent| sent.seq).collect();
    assert_eq!(pongs, [1]); // Spec §3.4b.
    assert_eq!(bench.device.stats().bad_frames, 1);
}

#[test]
fn a_stream_without_frame_gets_close_406_and_a_new_connection() {
    let mut bench = Bench::tcp();
    bench.push(1);
    bench.device.handle_input(bench.now, b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let sent = bench.sent();
    let Message::Close(close) = sent[0].message() else { panic!("CLOSE expected") };
    assert_eq!((sent[0].session, close.code), (0, ErrorCode::FRAMING)); // Spec §3.6a.
    let events = bench.events();
    assert!(matches!(events[..], [Event::Lost { reason: LostReason::Framing, .. }]), "{events:?}");
    assert_eq!(bench.device.pending(), 1);
}

#[test]
fn a_stream_may_come_in_any_pieces() {
    let mut stream = Vec::new();
    for seq in 0..50 {
        stream.extend_from_slice(&framed(0x42, SESSION, seq, &7u64.to_be_bytes()));
    }
    for size in [1, 2, 11, 12, 13, 24, 25, 100, 5_000] {
        let mut bench = Bench::tcp();
        let mut pongs = 0;
        for piece in stream.chunks(size) {
            bench.device.handle_input(bench.now, piece);
            pongs += bench.sent().len();
        }
        assert!(pongs >= 4, "{size}");
        assert_eq!(bench.device.stats().bad_frames, 0);
    }
}

#[test]
fn unknown_types_and_wrong_directions_are_skipped() {
    let mut bench = Bench::udp();
    for code in [0x06, 0x13, 0x7F, 0x80, 0xFF, 0x10, 0x01, 0x04] {
        bench.device.handle_input(bench.now, &framed(code, SESSION, 0, &[0; 20]));
    }
    bench.say(9, &Message::Ping(Ping { token: 1 }));
    assert_eq!(bench.sent().len(), 1); // Spec §5.25c: and no CLOSE.
    assert_eq!(bench.device.stats().unknown, 8);
}

#[test]
fn events_that_nobody_polls_are_bounded() {
    let mut bench = Bench::udp();
    bench.push(4_000);
    for first in 0..2_000 {
        let nack = senda_wire::Nack {
            refused_type: 0x10,
            code: ErrorCode::BAD_VALUE,
            first: first * 2,
            count: 1,
            retry_after_ms: 0,
            text: "no",
        };
        bench.say(0, &Message::Nack(nack));
    }
    assert!(bench.events().len() <= EVENTS_MAX);
    assert!(bench.device.stats().lost_events > 1_000);
}

/// Types that a device handles, and some that it does not.
fn codes() -> impl Strategy<Value = u8> {
    let known = MessageType::ALL.iter().map(|kind| kind.code()).collect::<Vec<_>>();
    prop_oneof![9 => prop::sample::select(known), 1 => any::<u8>()]
}

proptest! {
    #[test]
    fn random_bytes_never_panic(
        tcp in any::<bool>(),
        inputs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
    ) {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let mut bench = Bench::open(config(), transport);
        bench.push(10);
        for input in &inputs {
            bench.device.handle_input(bench.now, input);
            bench.sent();
            bench.events();
        }
    }

    /// Right frames with small random fields, and time that passes: every handler is reached.
    #[test]
    fn random_bodies_never_panic_and_never_grow(
        tcp in any::<bool>(),
        steps in prop::collection::vec(
            (codes(), any::<bool>(), 0u32..40, prop::collection::vec(0u8..8, 0..80), 0u8..4), 0..60,
        ),
    ) {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let queue = QueueLimits { rows: 20, bytes: 200, policy: DropPolicy::DropOldest };
        let config = Config { queue, downlink: 7, ..config() };
        let mut bench = Bench::open(config, transport);
        for (code, current, seq, body, action) in steps {
            let session = if current { SESSION } else { 0 };
            bench.device.handle_input(bench.now, &framed(code, session, seq, &body));
            match action {
                0 => drop(bench.device.push(bench.now, bench.schema, Clock::None, 0, &ROW)),
                1 => drop(bench.device.push_counts(bench.now)),
                2 => if let Some((at, _)) = bench.device.poll_timeout() {
                    bench.now = Instant(at.0.max(bench.now.0));
                    bench.device.handle_timeout(bench.now);
                },
                _ => drop(bench.sent()),
            }
            for event in bench.events() {
                if event == Event::NeedConnect {
                    bench.device.connect(bench.now, transport);
                }
            }
            prop_assert!(bench.device.pending() <= 21);
        }
    }
}
