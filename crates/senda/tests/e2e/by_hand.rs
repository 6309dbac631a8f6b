//! Conversations written from spec §15 step by step: the bytes on the wire are the specification's.

use std::net::UdpSocket;

use tempfile::TempDir;

use crate::processes::{Collector, PATIENCE};
use crate::store;
use crate::wire::{ACK, Device, ROWS, be32, crc32, one_u8_channel, rows_head};

#[test]
fn a_client_written_from_section_15_gets_its_row_acknowledged_and_stored() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926, "the check value of CRC-32");
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(collector.udp).expect("an address");
    socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let ask = |bytes: &[u8]| {
        socket.send(bytes).expect("sent");
        let mut answer = [0; 1_201];
        let len = socket.recv(&mut answer).expect("an answer");
        answer[..len].to_vec()
    };

    // 3. HELLO, without a cookie: 4. RETRY with one.
    let retry = ask(&framed(0x01, "00000000", "00000000", &hello("00")));
    assert_eq!(hex(&retry[..2]), "a102", "RETRY");
    assert_eq!(hex(&retry[4..12]), "000000006b7d3e58", "session 0, low half of the nonce");
    assert!(retry.len() <= 68, "§5.2c");
    let cookie = hex(&retry[12..retry.len() - 4]);
    assert_eq!(framed(0x02, "00000000", "6b7d3e58", &cookie), retry, "§3.2, §3.3");

    // The same HELLO with it: WELCOME.
    let welcome = ask(&framed(0x01, "00000000", "00000000", &hello(&cookie)));
    assert_eq!(hex(&welcome[..2]), "a103", "WELCOME");
    assert_eq!(welcome.len(), 12 + 58 + 4, "§5.3, without options");
    let session = hex(&welcome[4..8]);
    assert_ne!(session, "00000000");
    assert_eq!(hex(&welcome[8..12]), "6b7d3e58");
    assert_eq!(hex(&welcome[20..28]), "0000000000000000", "next_row and high_row");
    assert_eq!(hex(&welcome[40..42]), "04b0", "max_msg over UDP");
    assert_eq!(hex(&welcome[44..46]), "0100", "durability FSYNC, suite OPEN");
    assert_eq!(framed(0x03, &session, "6b7d3e58", &hex(&welcome[12..70])), welcome);

    // 5. DECLARE: DECLARED.
    let description = "0a677265656e686f757365000307ff000100000b74656d70657261747572650343656c\
                       0200000100000868756d6964697479032552480e000001000004646f6f7200020663\
                       6c6f736564046f70656e";
    let declare = format!("00018bca4543{description}");
    let declared = ask(&framed(0x04, &session, "00000000", &declare));
    assert_eq!(declared, framed(0x05, &session, "00000000", "8bca4543"));

    // 6. ROWS, the two rows of §16: 7. ACK.
    let rows = "0000c0020006474846204000\
                0000000000d73d00 00989680fffd3c01";
    let ack = ask(&framed(0x10, &session, "00000000", rows));
    assert_eq!(hex(&ack[..2]), "a120", "ACK");
    assert_eq!(hex(&ack[4..12]), format!("{session}00000002"), "every row below 2 is on disk");
    assert_eq!(store::samples(room.path(), 5).len(), 2, "an ACK means stored");

    // The ACK was lost, let's say: the same bytes again, the same answer, nothing twice.
    let ack = ask(&framed(0x10, &session, "00000000", rows));
    assert_eq!(hex(&ack[4..12]), format!("{session}00000002"));

    assert_eq!(store::samples(room.path(), 5).len(), 2, "and not twice");

    // 9. PING: PONG.
    let pong = ask(&framed(0x42, &session, "00000001", "fedcba9876543210"));
    assert_eq!(pong, framed(0x43, &session, "00000001", "fedcba9876543210"));

    // 11. CLOSE 407.
    socket.send(&framed(0x0F, &session, "00000000", "01970000000000")).expect("sent");
    assert!(collector.stop().success());
    let lines = store::values(room.path());
    let expected = [
        "2026-01-01T00:00:00Z,gh-7,0,greenhouse,door,,closed",
        "2026-01-01T00:00:00Z,gh-7,0,greenhouse,humidity,%RH,61",
        "2026-01-01T00:00:00Z,gh-7,0,greenhouse,temperature,Cel,21.5",
        "2026-01-01T00:00:10Z,gh-7,1,greenhouse,door,,open",
        "2026-01-01T00:00:10Z,gh-7,1,greenhouse,humidity,%RH,60",
        "2026-01-01T00:00:10Z,gh-7,1,greenhouse,temperature,Cel,-0.3",
    ];
    assert_eq!(lines[..6], expected);
    assert_eq!(lines.len(), 6 + 1, "and the header");
}

/// Spec §2.1: a row is (device, stream, row) and nothing else, neither its time nor the way that it came.
#[test]
fn a_row_without_a_clock_that_comes_over_both_transports_is_stored_once() {
    let room = TempDir::new().expect("a directory");
    let collector = Collector::start(room.path());
    let (tcp, udp) = (collector.tcp, collector.udp);
    let mut devices =
        [Device::udp(udp, "gh-8"), Device::tcp(tcp, "gh-8"), Device::udp(udp, "gh-8")];
    let stream = devices[0].stream;
    let mut body = rows_head(0, 1);
    body[2] = 0; // clock NONE
    body[4..12].fill(0); // and so no t0
    body.push(5);
    for (device, resent) in devices.iter_mut().zip([0, 1, 1]) {
        device.stream = stream;
        device.nonce += 1;
        let welcome = device.join();
        assert_eq!(be32(&welcome.body[8..12]), resent, "next_row");
        device.declare(0, &one_u8_channel("clockless"));
        for _ in 0..2 {
            device.send(ROWS, 0, &body);
            let ack = device.receive().expect("an ACK");
            assert_eq!((ack.kind, ack.seq), (ACK, 1), "{ack:?}");
        }
    }
    assert!(collector.stop().success());
    let rows = store::rows_exactly_once(room.path());
    assert_eq!(rows.into_values().collect::<Vec<_>>(), [1]);
}

/// The body of the HELLO of §16.2, with a cookie.
fn hello(cookie: &str) -> String {
    "40d1e6a2973b5cf8 c2a4f0916b7d3e58 00000000 00000000 0000001e 04b0 0001 0000 00 00 0001 \
     00000000 00000000 04 67682d37"
        .to_owned()
        + cookie
}

/// 2. A message from the hex of its parts.
fn framed(kind: u8, session: &str, seq: &str, body: &str) -> Vec<u8> {
    let body = bytes(body);
    let mut message = vec![0xA1, kind];
    message.extend(u16::try_from(12 + body.len() + 4).expect("a message").to_be_bytes());
    message.extend(bytes(session));
    message.extend(bytes(seq));
    message.extend(body);
    let crc = crc32(&message);
    message.extend(crc.to_be_bytes());
    message
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| d.try_into().ok()).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
