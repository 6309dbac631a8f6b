//! A collector of one device, on a thread: welcomes, acknowledges so many rows of each stream, gives its orders one by one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use senda_session::device::{Argument, OwnedValue};
use senda_wire::registry::{MESSAGE_MAX, encoding};
use senda_wire::{
    Ack, Alert, Command, Config, DoneStatus, Durability, Frame, Head, List, Message, Suite, Welcome,
};

/// Something to ask.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    what: What,
    after_rows: usize,
}

#[derive(Clone, Debug)]
enum What {
    Config { revision: u32, settings: Vec<Argument> },
    Command { name: &'static str, arguments: Vec<Argument> },
    Alert { text: &'static str },
}

impl Order {
    pub(crate) fn command(name: &'static str, arguments: &[Argument]) -> Self {
        Self { what: What::Command { name, arguments: arguments.to_vec() }, after_rows: 0 }
    }

    pub(crate) fn config(revision: u32, settings: &[Argument]) -> Self {
        Self { what: What::Config { revision, settings: settings.to_vec() }, after_rows: 0 }
    }

    pub(crate) fn alert(text: &'static str) -> Self {
        Self { what: What::Alert { text }, after_rows: 0 }
    }

    /// Asked when so many rows of the stream are here.
    pub(crate) fn after_rows(self, after_rows: usize) -> Self {
        Self { after_rows, ..self }
    }
}

/// A DONE.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) stream: u64,
    pub(crate) status: DoneStatus,
    pub(crate) text: String,
    pub(crate) results: Vec<Argument>,
}

/// What a HELLO said.
#[derive(Clone, Debug)]
pub(crate) struct Greeted {
    pub(crate) stream: u64,
    pub(crate) next_row: u32,
    pub(crate) last_command_id: u32,
    pub(crate) config_rev: u32,
}

/// What the collector has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) hellos: Vec<Greeted>,
    pub(crate) answers: Vec<Answered>,
    pub(crate) rows: BTreeMap<u64, BTreeSet<u32>>,
    /// Messages of SPARSE rows.
    pub(crate) sparse: usize,
}

pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    seen: Mutex<Seen>,
    stop: AtomicBool,
    is_done: AtomicBool,
}

impl Collector {
    /// Acknowledges `acked` rows of each stream at most.
    pub(crate) fn start(orders: Vec<Order>, acked: usize) -> Self {
        Self::start_on(orders, acked, false)
    }

    pub(crate) fn start_on(orders: Vec<Order>, acked: usize, tcp: bool) -> Self {
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            stop: AtomicBool::new(false),
            is_done: AtomicBool::new(false),
        });
        let brain = Brain {
            shared: Arc::clone(&shared),
            orders: orders.into(),
            asked: None,
            acked,
            session: 0,
            stream: 0,
            number: 0,
            commands: 0,
        };
        let (address, thread) = if tcp {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.set_nonblocking(true).expect("a socket");
            let address = listener.local_addr().expect("an address");
            (address, std::thread::spawn(move || serve_tcp(&listener, brain)))
        } else {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            socket.set_read_timeout(Some(TICK)).expect("a socket");
            let address = socket.local_addr().expect("an address");
            (address, std::thread::spawn(move || serve_udp(&socket, brain)))
        };
        Self { address, shared, thread: Some(thread) }
    }

    /// `Break` once every order has its answer.
    pub(crate) fn is_done_with_its_orders(&self) -> ControlFlow<()> {
        match self.shared.is_done.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    pub(crate) fn stop(mut self) -> Seen {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join).expect("a thread").expect("no panic");
        self.shared.seen.lock().expect("no panic").clone()
    }
}

/// How often the threads look whether they are to stop.
const TICK: Duration = Duration::from_millis(10);

fn serve_udp(socket: &UdpSocket, mut brain: Brain) {
    let mut buffer = vec![0; MESSAGE_MAX];
    while !brain.shared.stop.load(Ordering::Relaxed) {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        let mut rest = &buffer[..len];
        while let Ok(frame) = Frame::decode(rest, MESSAGE_MAX) {
            rest = &rest[frame.bytes.len()..];
            for reply in brain.take(&frame) {
                socket.send_to(&reply, from).expect("loopback");
            }
        }
    }
}

fn serve_tcp(listener: &TcpListener, mut brain: Brain) {
    let mut streams: Vec<(TcpStream, Vec<u8>)> = Vec::new();
    let mut buffer = vec![0; MESSAGE_MAX];
    while !brain.shared.stop.load(Ordering::Relaxed) {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_read_timeout(Some(TICK)).expect("a socket");
            streams.push((stream, Vec::new()));
        }
        if streams.is_empty() {
            std::thread::sleep(TICK);
        }
        streams.retain_mut(|(stream, held)| {
            match stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(len) => held.extend_from_slice(&buffer[..len]),
                Err(error) => {
                    return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                }
            }
            let mut used = 0;
            while let Ok(frame) = Frame::decode(&held[used..], MESSAGE_MAX) {
                used += frame.bytes.len();
                for reply in brain.take(&frame) {
                    // The device may have gone meanwhile.
                    let _ = stream.write_all(&reply);
                }
            }
            held.drain(..used);
            true
        });
    }
}

struct Brain {
    shared: Arc<Shared>,
    orders: VecDeque<Order>,
    /// The control number that waits for its DONE.
    asked: Option<u32>,
    acked: usize,
    session: u32,
    stream: u64,
    number: u32,
    commands: u32,
}

impl Brain {
    fn take(&mut self, frame: &Frame<'_>) -> Vec<Vec<u8>> {
        let mut replies = Vec::new();
        let message = Message::decode(frame).expect("a device sends right bodies");
        let shared = Arc::clone(&self.shared);
        let mut seen = shared.seen.lock().expect("no panic");
        match &message {
            Message::Hello(hello) => {
                seen.hellos.push(Greeted {
                    stream: hello.stream,
                    next_row: hello.next_row,
                    last_command_id: hello.last_command_id,
                    config_rev: hello.config_rev,
                });
                (self.session, self.stream) = (self.session + 1, hello.stream);
                (self.number, self.asked) = (0, None);
                let seq = u32::try_from(hello.nonce & u64::from(u32::MAX)).expect("32 bits");
                replies.push(self.say(seq, &Message::Welcome(welcome())));
            }
            Message::Declare(declare) => {
                replies.push(self.say(frame.seq, &Message::Declared { crc: declare.crc }));
            }
            Message::Ping(ping) => replies.push(self.say(frame.seq, &Message::Pong(*ping))),
            Message::Rows(data) | Message::Sparse(data) => {
                seen.sparse += usize::from(matches!(message, Message::Sparse(_)));
                let rows = seen.rows.entry(self.stream).or_default();
                rows.extend(frame.seq..frame.seq + u32::from(data.head.count));
                let count = rows.len().min(self.acked);
                let mark = u32::try_from(count).expect("few rows");
                replies.push(self.say(mark, &Message::Ack(Ack { window: None })));
            }
            Message::Done(done) if self.asked == Some(frame.seq) => {
                self.asked = None;
                self.orders.pop_front();
                let own = |value: senda_wire::NamedValue<'_>| Argument {
                    name: value.name.into(),
                    exponent: value.typed.exponent,
                    value: OwnedValue::from(value.typed.value),
                };
                seen.answers.push(Answered {
                    stream: self.stream,
                    status: done.status,
                    text: done.text.into(),
                    results: done.results.iter().map(own).collect(),
                });
            }
            _ => {}
        }
        let rows = seen.rows.get(&self.stream).map_or(0, BTreeSet::len);
        // The first row shows that the device is settled.
        if rows > 0 || !matches!(message, Message::Hello(_)) {
            replies.extend(self.ask(rows));
        }
        self.shared.is_done.store(self.orders.is_empty(), Ordering::Relaxed);
        replies
    }

    /// The next order, when none is waiting for its answer.
    fn ask(&mut self, rows: usize) -> Option<Vec<u8>> {
        let order = self.orders.front()?;
        if self.asked.is_some() || rows < order.after_rows {
            return None;
        }
        let what = order.what.clone();
        self.number += 1;
        self.asked = Some(self.number);
        let mut room = vec![0; 4_096];
        Some(match what {
            What::Config { revision, settings } => {
                let settings = list(&settings, &mut room);
                self.say(self.number, &Message::Config(Config { revision, settings }))
            }
            What::Command { name, arguments } => {
                self.commands += 1;
                let arguments = list(&arguments, &mut room);
                let command = Command { id: self.commands, ttl_ms: 60_000, name, arguments };
                self.say(self.number, &Message::Command(command))
            }
            What::Alert { text } => self.say(
                self.number,
                &Message::Alert(Alert {
                    id: 1,
                    time: 1_767_225_600_000_000,
                    raised: true,
                    severity: 2,
                    schema: "factory",
                    channel: "power",
                    text,
                    values: List::default(),
                }),
            ),
        })
    }

    fn say(&self, seq: u32, message: &Message<'_>) -> Vec<u8> {
        let mut bytes = vec![0; MESSAGE_MAX];
        let head = Head { session: self.session, seq, flags: 0 };
        let len = message.encode(head, &mut bytes).expect("it fits");
        bytes.truncate(len);
        bytes
    }
}

fn list<'a>(arguments: &[Argument], room: &'a mut [u8]) -> List<'a> {
    let views: Vec<_> = arguments.iter().map(|argument| argument.view().expect("good")).collect();
    List::build(&views, room).expect("it fits")
}

fn welcome() -> Welcome<'static> {
    Welcome {
        nonce: 1,
        next_row: 0,
        high_row: 0,
        server_time: 1_767_225_600_000_000,
        window_rows: 4_096,
        max_msg: 1_200,
        encodings: encoding::ROWS | encoding::SPARSE,
        durability: Durability::Fsync,
        suite: Suite::Open,
        commit_interval_ms: 0,
        keepalive_s: 30,
        ack_every: 1,
        ack_delay_ms: 0,
        max_channels: 256,
        max_schemas: 64,
        max_elements: 64,
        max_values: 16_384,
        max_decoded: 262_144,
        options: senda_wire::Options::default(),
    }
}
