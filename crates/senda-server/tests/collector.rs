//! The collector as a library, over real sockets on loopback.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use senda_client::blocking::Client;
use senda_client::{Channel, Endpoint, Sample, Schema, Transport, ValueType};
use senda_server::{Config, Direction, Server, TraceSink};
use senda_store::{Fault, Options, Reader};
use senda_wire::registry::encoding;
use senda_wire::{DeviceName, Frame, Head, Hello, Message, MessageType, Suite};

/// Long enough for a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Spec §9.4a: a device that asked one address of many must not be answered from another.
#[test]
fn answers_come_from_the_address_that_was_asked() {
    let wildcards = [
        ("0.0.0.0:0", &["127.0.0.1", "127.0.0.2", "127.9.9.9"][..]),
        ("[::]:0", &["::1", "127.0.0.1", "127.0.0.2"]),
    ];
    for (listen, asked) in wildcards {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        config.udp = Some(listen.into());
        config.open_to_network = true;
        let server = Server::start(config).unwrap();
        let port = server.addresses().udp.unwrap().port();
        for ip in asked {
            let collector = SocketAddr::new(ip.parse().unwrap(), port);
            let home = if collector.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
            let socket = UdpSocket::bind(home).unwrap();
            // A connected socket takes datagrams from nowhere else.
            socket.connect(collector).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.send(&hello()).unwrap();
            let mut answer = [0; 1200];
            let len = socket
                .recv(&mut answer)
                .unwrap_or_else(|error| panic!("{listen} asked at {ip}: {error}"));
            let frame = Frame::decode(&answer[..len], 1200).unwrap();
            assert_eq!(frame.message_type(), Some(MessageType::Retry));
        }
        server.stop();
    }
}

/// Spec §7.1d, corner case 21: no ACK while the disk fails; service resumes by itself.
#[test]
fn a_disk_that_fails_gives_no_ack_and_service_resumes_by_itself() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let dir = tempfile::tempdir().unwrap();
        let fails = Arc::new(AtomicBool::new(false));
        let mut config = config(dir.path());
        let switch = Arc::clone(&fails);
        let asked = move |fault| {
            matches!(fault, Fault::LandSync | Fault::Recover) && switch.load(Ordering::SeqCst)
        };
        config.store = Options { fault: senda_store::FaultHook::new(asked), ..Options::default() };
        let server = Server::start(config).unwrap();
        let client = connect(&server, transport);
        let schema = client.declare(&schema()).unwrap();
        let send = |value: u8| client.send(&schema, &Sample::new().set("level", value)).unwrap();
        send(0).wait(PATIENCE).unwrap();

        fails.store(true, Ordering::SeqCst);
        let receipts: Vec<_> = (1..=20).map(send).collect();
        assert!(
            client.flush(Duration::from_millis(500)).is_err(),
            "acknowledged by a disk that fails"
        );
        assert_eq!(client.stats().acked, 1);

        fails.store(false, Ordering::SeqCst);
        for receipt in receipts {
            receipt.wait(PATIENCE).unwrap();
        }
        client.close(PATIENCE).unwrap();
        assert!(server.stop().commits_failed > 0);
        assert_eq!(levels(dir.path()), (0..=20).collect::<Vec<i64>>());
    }
}

/// A drain commits and acknowledges what was received.
#[test]
fn what_was_acknowledged_before_a_stop_is_there_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3u8 {
        let server = Server::start(config(dir.path())).unwrap();
        let client = connect(&server, Transport::Tcp);
        let schema = client.declare(&schema()).unwrap();
        client.send(&schema, &Sample::new().set("level", round)).unwrap().wait(PATIENCE).unwrap();
        server.stop();
    }
    assert_eq!(levels(dir.path()), [0, 1, 2]);
}

/// The trace shows both directions, and what was dropped with its section.
#[test]
fn the_trace_shows_messages_both_ways_and_drops_with_their_section() {
    let dir = tempfile::tempdir().unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let mut config = config(dir.path());
    config.trace = Some(Box::new(Lines(Arc::clone(&lines))));
    let server = Server::start(config).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"GET / HTTP/1.1\r\n\r\n", server.addresses().udp.unwrap()).unwrap();
    let client = connect(&server, Transport::Udp);
    let schema = client.declare(&schema()).unwrap();
    client.send(&schema, &Sample::new().set("level", 7u8)).unwrap().wait(PATIENCE).unwrap();
    client.close(PATIENCE).unwrap();
    server.stop();
    let lines = lines.lock().unwrap();
    for wanted in
        ["Up HELLO", "Down RETRY", "Down WELCOME", "Up DECLARE", "Up ROWS", "Down ACK", "drop 3.5"]
    {
        assert!(lines.iter().any(|line| line == wanted), "{wanted} is not in {lines:?}");
    }
}

struct Lines(Arc<Mutex<Vec<String>>>);

impl TraceSink for Lines {
    fn message(
        &mut self,
        direction: Direction,
        _: &'static str,
        _: Option<SocketAddr>,
        bytes: &[u8],
    ) {
        let frame = Frame::decode(bytes, 65_535).unwrap();
        let name = frame.message_type().map_or("?", MessageType::name);
        self.0.lock().unwrap().push(format!("{direction:?} {name}"));
    }

    fn dropped(&mut self, _: &'static str, _: Option<SocketAddr>, _: &str, section: &'static str) {
        self.0.lock().unwrap().push(format!("drop {section}"));
    }
}

fn config(data: &Path) -> Config {
    let mut config = Config::new(data);
    config.tcp = Some("127.0.0.1:0".into());
    config.udp = Some("127.0.0.1:0".into());
    config.http = None;
    config
}

fn connect(server: &Server, transport: Transport) -> Client {
    let addresses = server.addresses();
    let address = match transport {
        Transport::Udp => addresses.udp,
        Transport::Tcp => addresses.tcp,
    };
    let endpoint = Endpoint::parse(transport, &address.unwrap().to_string()).unwrap();
    Client::connect(senda_client::Client::builder_at("gh-7", endpoint)).unwrap()
}

fn schema() -> Schema {
    Schema::new("tank").with(Channel::new("level", ValueType::U8)).build().unwrap()
}

/// The levels in the store, in order.
fn levels(data: &Path) -> Vec<i64> {
    let answer =
        Reader::open(data).unwrap().sql("SELECT level FROM tank ORDER BY level", 1000).unwrap();
    let level = |row: &Vec<senda_store::Cell>| match row[0] {
        senda_store::Cell::Integer(level) => level,
        ref other => panic!("{other:?}"),
    };
    answer.rows.iter().map(level).collect()
}

fn hello() -> Vec<u8> {
    let hello = Hello {
        stream: 1,
        nonce: 2,
        next_row: 0,
        oldest_row: 0,
        keepalive_s: 30,
        max_msg: 1200,
        ack_every: 1,
        ack_delay_ms: 0,
        suite: Suite::Open,
        downlink: 0,
        encodings: encoding::ROWS,
        config_rev: 0,
        last_command_id: 0,
        device: DeviceName::new("gh-7").unwrap(),
        cookie: &[],
        options: senda_wire::Options::default(),
    };
    let mut bytes = vec![0; 1200];
    let len = Message::Hello(hello).encode(Head::default(), &mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}
