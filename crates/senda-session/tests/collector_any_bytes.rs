//! Any byte string is safe: no panic, bounded memory, nothing for nothing. Spec §3.7, §9.2.

mod common;

use common::script::{declare, schema};
use common::{Rig, Script, at, message, raw};
use proptest::prelude::*;
use proptest::sample::Index;
use senda_session::collector::{Config, Peer};
use senda_wire::{Message, MessageType, Ping, Skip, crc32};

const LANDING_MAX: usize = 20_000;
const SCHEMA_MAX: usize = 5_000;

fn small() -> Rig {
    Rig::with(Config {
        landing_bytes_max: LANDING_MAX,
        schema_bytes_max: SCHEMA_MAX,
        sessions_max: 10,
        openings_max: 5,
        ..Config::default()
    })
}

/// What a device may say, to be damaged.
fn valid(device: &Script, which: usize, row: u32) -> Vec<u8> {
    match which {
        0 => device.hello_bytes(),
        1 => declare(device.session, row % 64, &schema(), 1)[0].clone(),
        2 => declare(device.session, row % 64, &schema(), 3)[row as usize % 3].clone(),
        3 => device.rows(row, 3),
        4 => device.rows_with(row, 9, &[3, 5], 0),
        5 => message(device.session, row, &Message::Skip(Skip { count: 5, cause: 1 })),
        6 => message(device.session, row, &Message::Ping(Ping { token: 1 })),
        7 => raw(
            MessageType::RowsU.code(),
            device.session,
            row,
            0,
            &common::script::rows_body(0, 1, &[]),
        ),
        8 => raw(
            MessageType::Sparse.code(),
            device.session,
            row,
            0,
            &common::script::rows_body(0, 1, &[]),
        ),
        _ => raw(u8::try_from(which).unwrap(), device.session, row, 0, &[7; 21]),
    }
}

/// Damages a byte; with `mend` the CRC is right again, so that the body is looked at.
fn damage(mut bytes: Vec<u8>, at: Index, value: u8, mend: bool) -> Vec<u8> {
    let end = bytes.len() - 4;
    bytes[at.index(end)] = value;
    if mend {
        let crc = crc32(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

fn check_bounds(rig: &Rig) {
    assert!(rig.engine.landing_bytes() <= LANDING_MAX + 65_535 + 128);
    assert!(rig.engine.schema_bytes() <= SCHEMA_MAX + 16_384);
    assert!(rig.engine.sessions() <= 10);
    assert!(rig.store.queue.len() <= LANDING_MAX / 128 + 2 + 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Spec §3.4b: noise is dropped, counted and not answered.
    #[test]
    fn noise_on_udp_is_not_answered(noise: Vec<Vec<u8>>) {
        let mut rig = small();
        for bytes in &noise {
            rig.say(at(5000), bytes);
        }
        prop_assert!(rig.silent());
        let not_empty = noise.iter().filter(|bytes| !bytes.is_empty()).count();
        prop_assert_eq!(rig.engine.counters().bad_frames, not_empty as u64);
    }

    /// Spec §3.6a.
    #[test]
    fn noise_on_tcp_ends_the_connection(noise in proptest::collection::vec(any::<u8>(), 12..300)) {
        let mut rig = small();
        let peer = rig.connect(1);
        rig.say(peer, &noise);
        prop_assert!(rig.disconnected(1) || noise[0] & 0xF0 >= 0xA0);
    }

    /// Damaged messages with the right CRC, in any mixture, on both transports, with a disk that works or fails.
    #[test]
    fn damaged_messages_never_panic_and_memory_stays_bounded(
        tcp: bool,
        works: bool,
        story in proptest::collection::vec(
            (0..140usize, any::<u32>(), 0..200u32, any::<Index>(), any::<u8>(), any::<bool>(), 0..20u8), 1..60),
    ) {
        let mut rig = small();
        let device = if tcp {
            Script::tcp(&mut rig, "gh-7", 1, 1)
        } else {
            Script::udp(&mut rig, "gh-7", 1, 5000)
        };
        for (which, far, near, at_byte, value, mend, then) in story {
            let row = if then == 0 { far } else { near };
            let which = if which < 90 { which % 9 } else { which };
            let bytes = damage(valid(&device, which, row), at_byte, value, mend);
            let elsewhere = matches!(device.peer, Peer::Udp { .. }) && then == 1;
            rig.say(if elsewhere { at(6000) } else { device.peer }, &bytes);
            check_bounds(&rig);
            match then {
                2..=4 => rig.commit_some(3, works),
                5 => rig.wait(common::secs(1)),
                _ => {}
            }
        }
        rig.commit();
        check_bounds(&rig);
        prop_assert_eq!(rig.engine.landing_bytes(), 0);
        rig.wait(common::secs(300_000));
        prop_assert_eq!((rig.engine.sessions(), rig.engine.schema_bytes()), (0, 0));
        prop_assert_eq!(rig.engine.poll_timeout(), None);
    }
}
