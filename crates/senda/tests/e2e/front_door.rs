//! What anybody may throw at a collector: counted, answered as the specification says, never a panic, memory bounded.

use std::collections::BTreeSet;

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tempfile::TempDir;

use crate::fleets::{figures, simulate};
use crate::processes::{Collector, wait_for};
use crate::vectors::Case;
use crate::wire::{
    ACK, CLOSE, COLUMNS, Device, Message, NACK, RETRY, ROWS, SPARSE, close_code, crc32, message,
    nack_code, one_u8_channel, rows_body, rows_head, sealed_by_crc, u8_channels,
};
use crate::{store, vectors};

/// Spec §3.4b, §3.7: line noise is dropped with the rest of its datagram, and nothing is sent.
#[test]
fn datagrams_that_are_no_messages_get_no_answer() {
    let house = House::new();
    let mut stranger = Device::udp(house.collector.udp, "stranger");
    let mut noise = random_noise(7, 400);
    noise.extend(damaged_messages());
    noise.extend(vectors::all().iter().filter(|case| is_noise(case)).map(Case::bytes));
    noise.retain(|bytes| bytes.len() <= 1_200);
    for (number, bytes) in noise.iter().enumerate() {
        stranger.send_raw(bytes);
        // What is good after something bad in one datagram is dropped too.
        let mut both = bytes.clone();
        both.extend(stranger.hello(&[]));
        if bytes.len() > 12 && both.len() <= 1_200 {
            stranger.send_raw(&both);
        }
        // A HELLO is answered: with the next answer everything before it has been dealt with.
        if number % 16 == 0 {
            assert_only_a_retry(&mut stranger, bytes);
        }
    }
    assert_only_a_retry(&mut stranger, &[]);
    house.still_works();
}

/// Spec §3.6a.
#[test]
fn a_connection_that_loses_its_frame_gets_close_406_and_ends() {
    let house = House::new();
    let mut noise = random_noise(8, 40);
    noise.extend(damaged_messages());
    let vectors = vectors::all();
    let lost = vectors.iter().filter(|case| is_noise(case) && case.error != "incomplete");
    noise.extend(lost.map(Case::bytes));
    // An HTTP request is none of our messages either.
    noise.push(b"GET / HTTP/1.1\r\nHost: senda\r\n\r\n".to_vec());
    for bytes in noise {
        let mut stranger = Device::tcp(house.collector.tcp, "stranger");
        stranger.send_raw(&bytes);
        if is_half_a_message(&bytes) {
            // The rest may be on its way: no answer, and no more.
            stranger.stop_sending();
            assert_eq!(stranger.receive(), None, "{bytes:02x?}");
            continue;
        }
        let close = stranger.receive().unwrap_or_else(|| panic!("no answer to {bytes:02x?}"));
        assert_eq!((close.kind, close.session), (CLOSE, 0), "{bytes:02x?}");
        assert_eq!(close_code(&close), 406, "{bytes:02x?}");
        assert_eq!(stranger.receive(), None, "{bytes:02x?}");
    }
    house.still_works();
}

/// Spec §6.6b.
#[test]
fn an_unknown_session_gets_close_401_that_is_no_longer_than_what_caused_it() {
    let house = House::new();
    for mut stranger in house.strangers() {
        let rows = message(ROWS, 0xDEAD_BEEF, 0, &rows_body(0, &[&[1]]));
        stranger.send_raw(&rows);
        let close = stranger.receive().expect("a CLOSE");
        assert_eq!((close.kind, close.session), (CLOSE, 0xDEAD_BEEF));
        assert_eq!(close_code(&close), 401);
        assert!(close.len <= rows.len(), "{close:?}");
        // Too short to be answered without answering with more.
        if stranger.is_udp() {
            stranger.send_raw(&message(0x20, 0xDEAD_BEEF, 0, b""));
            assert_only_a_retry(&mut stranger, b"");
        }
    }
    house.still_works();
}

/// Spec §6.6b: at most one for each address and second.
#[test]
fn a_flood_of_unknown_sessions_is_not_answered_one_by_one() {
    let house = House::new();
    let mut stranger = Device::udp(house.collector.udp, "stranger");
    let begin = std::time::Instant::now();
    let mut closes = 0;
    for session in 1..=20 {
        for seq in 0..10 {
            stranger.send_raw(&message(ROWS, session, seq, &rows_body(0, &[&[1]])));
        }
        stranger.send_raw(&stranger.hello(&[]));
        while stranger.receive().expect("UDP has no end").kind != RETRY {
            closes += 1;
        }
    }
    let seconds = begin.elapsed().as_secs();
    assert!((1..=seconds + 2).contains(&closes), "{closes} in {seconds} s");
    house.still_works();
}

/// Spec §3.5a.
#[test]
fn a_hello_of_another_major_version_is_told_which_are_spoken() {
    let house = House::new();
    for mut stranger in house.strangers() {
        for nibble in [0xB0, 0xC0, 0xF0] {
            let mut hello = stranger.hello(&[]);
            hello[0] = nibble | 1;
            hello.truncate(hello.len() - 4);
            let hello = sealed_by_crc(hello);
            stranger.send_raw(&hello);
            let close = stranger.receive().expect("a CLOSE");
            assert_eq!((close.kind, close.session, close_code(&close)), (CLOSE, 0, 404));
            assert_eq!(close.body[6..], *b"\x011");
            assert!(close.len <= hello.len());
            if !stranger.is_udp() {
                break; // One answer; then the connection may end.
            }
        }
    }
    house.still_works();
}

/// Spec §14, case 18, and §12.1a: limits by count, before anything is decoded.
#[test]
fn a_bomb_is_refused_by_its_count_and_the_session_goes_on() {
    let house = House::new();
    for mut device in house.strangers() {
        device.join();
        device.declare(0, &one_u8_channel("small"));
        device.declare(1, &u8_channels("wide", 256));
        // 16,383 constant rows of 256 channels: 4 million values in a thousand bytes.
        let mut columns = rows_head(1, 16_383);
        columns.extend([0, 0xC0, 0, 0]);
        columns.extend([0; 512]);
        device.send(COLUMNS, 0, &columns);
        let nack = device.receive().expect("a NACK");
        assert_eq!((nack.kind, nack.seq, nack_code(&nack)), (NACK, 0, 204));
        // The same claims in encodings that this collector reads.
        let mut sparse = rows_head(1, 65);
        sparse.extend([0].repeat(if device.is_udp() { 1_100 } else { 65 * (4 + 32) }));
        for kind in [ROWS, SPARSE] {
            device.send(kind, 0, &sparse);
            let nack = device.receive().expect("a NACK");
            assert_eq!(nack.kind, NACK);
            // Over UDP the body is shorter than its count says, and that may be seen first.
            assert!([203, 303].contains(&nack_code(&nack)), "{nack:?}");
            assert!(device.is_udp() || kind == ROWS || nack_code(&nack) == 203, "{nack:?}");
        }
        device.send(ROWS, 1_000, &rows_body(0, &[&[5]]));
        let ack = device.receive().expect("an ACK");
        assert_eq!(ack.kind, ACK, "{ack:?}");
    }
    house.end_well();
}

/// Spec §3.6c.
#[test]
fn half_open_connections_cost_nothing_and_are_closed() {
    let house = House::new();
    let mut strangers: Vec<Device> =
        (0..200).map(|_| Device::tcp(house.collector.tcp, "stranger")).collect();
    for stranger in &mut strangers {
        stranger.send_raw(&[0xA1]);
    }
    figures(simulate(&[format!("--tcp={}", house.collector.tcp)]).args([
        "--devices",
        "10",
        "--interval",
        "10ms",
        "--count",
        "5",
    ]));
    for stranger in &mut strangers {
        while let Some(message) = stranger.receive() {
            assert_eq!(message.kind, CLOSE, "{message:?}");
        }
    }
    let room = house.end_well();
    assert_eq!(store::samples(room.path(), 1_000).len(), 50);
}

/// Spec §5.25, §5.26, §12.1: each invalid vector in a session of its own, which goes on afterwards.
#[test]
fn every_invalid_message_in_a_session_gets_the_answer_of_the_specification_over_udp() {
    invalid_messages(|house| Device::udp(house.collector.udp, "clumsy"));
}

/// Spec §5.25, §5.26, §12.1: each invalid vector in a session of its own, which goes on afterwards.
#[test]
fn every_invalid_message_in_a_session_gets_the_answer_of_the_specification_over_tcp() {
    invalid_messages(|house| Device::tcp(house.collector.tcp, "clumsy"));
}

fn invalid_messages(open: impl Fn(&House) -> Device) {
    let house = House::new();
    let mut thrown = 0;
    for case in vectors::all().iter().filter(|case| !case.valid && !is_noise(case)) {
        if (&*case.from, &*case.error) == ("collector", "wrong_direction") {
            continue; // The right one here.
        }
        if case.kind == "SCHEMA" && case.bytes().is_empty() {
            continue; // DECLARE can't say it.
        }
        let mut device = open(&house);
        let room = if device.is_udp() { 1_200 } else { 16_384 };
        if case.kind == "HELLO" {
            // Spec §5.1b, §3.5a: as it is, on a fresh address.
            device.send_raw(&case.bytes());
            let close = device.receive().unwrap_or_else(|| panic!("no answer to {case:?}"));
            assert_eq!((close.kind, close.session), (CLOSE, 0), "{case:?}");
            let code = if case.error == "404" { 404 } else { 409 };
            assert_eq!(close_code(&close), code, "{case:?}");
            assert!(!device.is_udp() || close.len <= case.bytes().len(), "{case:?} {close:?}");
            thrown += 1;
            continue;
        }
        device.join();
        let expected = expected_answer(case);
        if case.kind == "SCHEMA" {
            device.send_declare(0, &case.bytes());
        } else {
            let mut bytes = case.bytes();
            if bytes.len() > room {
                continue;
            }
            if let Some(id) = schema_of(case) {
                device.declare(id, &case.schema());
            }
            let content = bytes.len() - 4;
            bytes[4..8].copy_from_slice(&device.session.to_be_bytes());
            let crc = crc32(&bytes[..content]);
            bytes[content..].copy_from_slice(&crc.to_be_bytes());
            device.send_raw(&bytes);
        }
        thrown += 1;
        let mut answers = device.messages_before_a_pong();
        // A refusal that is recorded comes after its commit; an ACK comes with it.
        while expected.is_some() && !answers.iter().any(|answer| answer.kind == NACK) {
            answers.extend(device.receive());
        }
        answers.retain(|answer| answer.kind != ACK);
        let codes = answers.iter().map(|answer| refusal_code(case, answer));
        let codes: BTreeSet<u16> = codes.collect(); // Rows that are apart have a NACK each.
        assert_eq!(codes, BTreeSet::from_iter(expected), "{case:?} {answers:?}");
    }
    assert!(thrown > 150, "{thrown}");
    house.end_well();
}

#[track_caller]
fn refusal_code(case: &Case, answer: &Message) -> u16 {
    assert_eq!(answer.kind, NACK, "{case:?} {answer:?}");
    nack_code(answer)
}

/// The code of the NACK that an invalid message gets from a collector that does not read COLUMNS.
fn expected_answer(case: &Case) -> Option<u16> {
    let code = |text: &str| u16::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    match (&*case.kind, &*case.error) {
        ("COLUMNS" | "COLUMNS_U", _) => Some(204), // §5.25a
        (_, "203" | "205" | "301" | "303") => case.error.parse().ok(),
        ("DECLARE", "bad_body") => Some(205),         // §5.26
        ("SKIP" | "COUNTS", "bad_body") => Some(303), // §5.26
        (kind, "unknown_type") => match code(kind) {
            Some(0x10..=0x1F) => Some(204), // §5.25a
            Some(0x80..) => Some(302),      // §5.25c
            _ => None,                      // §5.25b
        },
        _ => None, // Skipped and counted: §5.25, §5.26.
    }
}

/// The schema id that a data message refers to, where the vector has a description for it.
fn schema_of(case: &Case) -> Option<u32> {
    let bytes = case.bytes();
    let id = u16::from_be_bytes([*bytes.get(12)?, *bytes.get(13)?]);
    (!case.schema().is_empty() && id < 64).then(|| id.into())
}

/// Cases that fail one of the checks 1 to 5.
fn is_noise(case: &Case) -> bool {
    ["incomplete", "bad_magic", "bad_length", "bad_trailer", "bad_crc"].contains(&&*case.error)
}

/// True when a TCP receiver has to wait for more: what is there could be the beginning of a message. Spec §3.6.
fn is_half_a_message(bytes: &[u8]) -> bool {
    let Some(header) = bytes.first_chunk::<12>() else {
        return true;
    };
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    header[0] >> 4 == 0xA && (16..=16_384).contains(&length) && bytes.len() < length
}

/// Bytes of all lengths.
fn random_noise(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut dice = Pcg64Mcg::seed_from_u64(seed);
    let lengths = (0..count).map(|number| if number % 2 == 0 { 1..40 } else { 40..1_200 });
    let lengths: Vec<usize> = lengths.map(|range| dice.random_range(range)).collect();
    let noise = lengths.into_iter().map(|length| {
        let mut bytes = vec![0; length];
        dice.fill_bytes(&mut bytes);
        bytes
    });
    // On TCP the end of what was sent is not the end of the message: the magic decides at once.
    noise.filter(|bytes| bytes[0] >> 4 < 0xA).collect()
}

/// A good message, cut, with a wrong CRC, with other flags, with another length.
fn damaged_messages() -> Vec<Vec<u8>> {
    let good = message(ROWS, 0x0102_0304, 7, &rows_body(0, &[&[1], &[2], &[3]]));
    let mut damaged: Vec<Vec<u8>> = (1..good.len()).map(|len| good[..len].to_vec()).collect();
    let mut with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        damaged.push(bytes);
    };
    (4..good.len()).for_each(|at| with(at, good[at] ^ 0x10));
    (0..16).filter(|flags| *flags & 1 == 0).for_each(|flags| with(0, 0xA0 | flags));
    (0..16).filter(|flags| *flags & 2 != 0).for_each(|flags| with(0, 0xA0 | flags));
    (0..=0xFF).filter(|high| *high > 0x40).for_each(|high| with(2, high));
    (0..16).for_each(|low| with(3, low));
    damaged
}

/// The next thing that the collector says is the answer to a HELLO that is sent now.
#[track_caller]
fn assert_only_a_retry(stranger: &mut Device, after: &[u8]) {
    stranger.send_raw(&stranger.hello(&[]));
    let answer = stranger.receive().expect("UDP has no end");
    assert_eq!(answer.kind, RETRY, "after {after:02x?}: {answer:?}");
}

/// A collector to be mistreated.
struct House {
    room: TempDir,
    collector: Collector,
}

/// The most memory that a collector may have had, whatever was thrown at it: 32 MiB on their way to the disk, 2 MiB
/// for datagrams, and several times what it has at rest.
const MEMORY_MAX_KIB: u64 = 96 << 10;

impl House {
    fn new() -> Self {
        let room = TempDir::new().expect("a directory");
        let collector = Collector::start(room.path());
        Self { room, collector }
    }

    /// One on each transport.
    fn strangers(&self) -> [Device; 2] {
        let (tcp, udp) = (self.collector.tcp, self.collector.udp);
        [Device::tcp(tcp, "stranger-tcp"), Device::udp(udp, "stranger-udp")]
    }

    /// A fleet can use it as if nothing had been, nothing else is stored, and its memory was bounded.
    #[track_caller]
    fn still_works(self) {
        let (tcp, udp) = (self.collector.tcp, self.collector.udp);
        let mut fleet = simulate(&[format!("--tcp={tcp}"), format!("--udp={udp}")]);
        fleet.args(["--devices", "8", "--interval", "10ms", "--count", "5"]);
        let figures = figures(&mut fleet);
        assert_eq!(figures["acknowledged"], 40);
        let room = self.end_well();
        let rows = store::rows_exactly_once(room.path());
        assert_eq!(rows.values().sum::<u64>(), 40, "nothing came from strangers: {rows:?}");
        let devices = store::number(room.path(), "SELECT count(*) FROM devices");
        assert_eq!(devices, 8, "nor was anything kept of them");
    }

    /// It is alive, its memory was bounded, and it ends as it should.
    #[track_caller]
    fn end_well(mut self) -> TempDir {
        assert!(self.collector.is_alive());
        wait_for("health", || (self.collector.get("/healthz") == 200).then_some(()));
        let peak = self.collector.peak_memory_kib();
        assert!(peak <= MEMORY_MAX_KIB, "{peak} KiB");
        let stderr = self.collector.stderr();
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert!(self.collector.stop().success());
        self.room
    }
}
