//! A collector that stores in memory and does what the test asks. Threads and std sockets; ports chosen by the system.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use senda_session::Instant;
use senda_sim::faults::Link;
use senda_wire::registry::MESSAGE_MAX;
use senda_wire::{
    Ack, Durability, ErrorCode, Frame, FrameError, Head, List, Message, MessageType, Nack,
    NamedValue, Options, Presence, Ranges, Schema, Suite, Time, TimeReq, Value, Welcome, Window,
};

/// How long a thread waits for bytes before it looks whether the test is over.
const POLL: Duration = Duration::from_millis(20);

/// What the collector knows, and what the test asks of it.
#[derive(Default)]
pub(crate) struct Script {
    /// Rows by stream and number.
    pub(crate) stored: BTreeMap<(u64, u32), Vec<u8>>,
    /// Rows that came again.
    pub(crate) duplicates: u64,
    /// Rows that were skipped.
    pub(crate) skipped: u64,
    /// What the latest COUNTS said.
    pub(crate) made: u64,
    /// HELLOs that were welcomed.
    pub(crate) welcomed: u64,
    /// Codes of CLOSE that came.
    pub(crate) closes: Vec<u16>,
    /// DONEs that came: control number and status.
    pub(crate) done: Vec<(u32, u8)>,
    /// What TIME_REQs said of the device's clock.
    pub(crate) clocks: Vec<TimeReq>,
    /// Data is neither stored nor acknowledged, but `heard` counts it.
    pub(crate) is_mute: bool,
    pub(crate) heard: u64,
    /// UDP: what happens to datagrams on the way here, and on the way back. No time passes on it.
    pub(crate) network: Option<(Link, Link)>,
    /// TCP: the connection is cut after so many data messages; 0: never.
    pub(crate) cut_after: u64,
    /// A row whose number is a multiple is refused with 301.
    pub(crate) refuse_multiples_of: u32,
    /// After WELCOME a CONFIG with this revision is sent.
    pub(crate) config_rev: u32,
    sessions: BTreeMap<u32, Session>,
    data: u64,
}

#[derive(Default)]
struct Session {
    stream: u64,
    /// The mark of the stream.
    mark: u32,
    schemas: BTreeMap<u16, Vec<u8>>,
}

/// A running collector; it stops when this goes.
pub(crate) struct Collector {
    script: Arc<Mutex<Script>>,
    pub(crate) address: SocketAddr,
    is_over: Arc<Mutex<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        *self.is_over.lock().unwrap() = true;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Collector {
    pub(crate) fn udp(bind: &str) -> Self {
        Self::udp_on(UdpSocket::bind(bind).unwrap(), Script::default())
    }

    pub(crate) fn udp_on(socket: UdpSocket, script: Script) -> Self {
        socket.set_read_timeout(Some(POLL)).unwrap();
        let mut this = Self::new(script, socket.local_addr().unwrap());
        let (script, is_over) = (Arc::clone(&this.script), Arc::clone(&this.is_over));
        this.thread = Some(thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while !*is_over.lock().unwrap() {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
                let mut script = script.lock().unwrap();
                for datagram in carry(script.up(), buffer[..len].to_vec()) {
                    let mut out = Vec::new();
                    script.answer(&datagram, true, &mut out);
                    if out.is_empty() {
                        continue;
                    }
                    for answer in carry(script.down(), out) {
                        let _ = socket.send_to(&answer, from);
                    }
                }
            }
        }));
        this
    }

    pub(crate) fn tcp(bind: &str) -> Self {
        Self::tcp_on(TcpListener::bind(bind).unwrap(), Script::default())
    }

    pub(crate) fn tcp_on(listener: TcpListener, script: Script) -> Self {
        listener.set_nonblocking(true).unwrap();
        let mut this = Self::new(script, listener.local_addr().unwrap());
        let (script, is_over) = (Arc::clone(&this.script), Arc::clone(&this.is_over));
        this.thread = Some(thread::spawn(move || {
            while !*is_over.lock().unwrap() {
                let Ok((stream, _)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                };
                let (script, is_over) = (Arc::clone(&script), Arc::clone(&is_over));
                thread::spawn(move || serve_stream(stream, &script, &is_over));
            }
        }));
        this
    }

    fn new(script: Script, address: SocketAddr) -> Self {
        let script = Arc::new(Mutex::new(script));
        Self { script, address, is_over: Arc::default(), thread: None }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// As the client reads it.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// Everything stored, by row.
    pub(crate) fn rows(&self) -> Vec<Vec<u8>> {
        self.script().stored.values().cloned().collect()
    }
}

fn serve_stream(mut stream: TcpStream, script: &Mutex<Script>, is_over: &Mutex<bool>) {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(POLL)).unwrap();
    let (mut held, mut buffer, before) = (Vec::new(), [0; 4_096], script.lock().unwrap().data);
    while !*is_over.lock().unwrap() {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => held.extend_from_slice(&buffer[..len]),
            Err(_) => {}
        }
        let mut script = script.lock().unwrap();
        let mut out = Vec::new();
        let used = script.answer(&held, false, &mut out);
        held.drain(..used);
        if stream.write_all(&out).is_err() {
            return;
        }
        if script.cut_after > 0 && script.data - before >= script.cut_after {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// What comes of a datagram: itself, nothing, or two of it.
fn carry(link: Option<&mut Link>, datagram: Vec<u8>) -> Vec<Vec<u8>> {
    let Some(link) = link else {
        return vec![datagram];
    };
    link.send(Instant(0), datagram);
    std::iter::from_fn(|| link.poll(Instant(0))).collect()
}

impl Script {
    fn up(&mut self) -> Option<&mut Link> {
        self.network.as_mut().map(|(up, _)| up)
    }

    fn down(&mut self) -> Option<&mut Link> {
        self.network.as_mut().map(|(_, down)| down)
    }

    /// Answers every whole message; returns the bytes that it used.
    fn answer(&mut self, bytes: &[u8], asks_cookie: bool, out: &mut Vec<u8>) -> usize {
        let mut used = 0;
        loop {
            match Frame::decode(&bytes[used..], MESSAGE_MAX) {
                Ok(frame) => {
                    used += frame.bytes.len();
                    self.answer_frame(&frame, asks_cookie, out);
                }
                Err(FrameError::Incomplete { .. }) => return used,
                Err(error) => panic!("the client sent no message: {error}"),
            }
        }
    }

    fn answer_frame(&mut self, frame: &Frame<'_>, asks_cookie: bool, out: &mut Vec<u8>) {
        let (session, seq) = (frame.session, frame.seq);
        let message = Message::decode(frame).expect("the client's bodies are right");
        match message {
            Message::Hello(hello) => {
                let seq = u32::try_from(hello.nonce & 0xFFFF_FFFF).unwrap();
                if asks_cookie && hello.cookie.is_empty() {
                    return say(out, 0, seq, &Message::Retry { cookie: b"bench" });
                }
                self.welcome(&hello, seq, out);
            }
            Message::Declare(declare) if declare.parts == 1 => {
                let Some(known) = self.sessions.get_mut(&session) else { return };
                known.schemas.insert(u16::try_from(seq).unwrap(), declare.bytes.to_vec());
                say(out, session, seq, &Message::Declared { crc: declare.crc });
            }
            Message::Rows(data) => {
                self.data += 1;
                self.heard += 1;
                if !self.is_mute {
                    self.store(session, seq, &data, out);
                }
            }
            Message::Skip(skip) => {
                self.skipped += u64::from(skip.count);
                if let Some(known) = self.sessions.get_mut(&session) {
                    let stream = known.stream;
                    for number in seq..seq + skip.count {
                        self.stored.entry((stream, number)).or_default();
                    }
                    self.ack(session, out);
                }
            }
            Message::Counts(counts) => {
                self.made = counts.made;
                if let Some(known) = self.sessions.get_mut(&session) {
                    self.stored.entry((known.stream, seq)).or_default();
                    self.ack(session, out);
                }
            }
            Message::Ping(ping) => say(out, session, seq, &Message::Pong(ping)),
            Message::TimeReq(request) => {
                self.clocks.push(request);
                let utc = now_us();
                say(out, session, seq, &Message::Time(Time { t1: request.t1, t2: utc, t3: utc }));
            }
            Message::Done(done) => self.done.push((seq, done.status.code())),
            Message::Close(close) => self.closes.push(close.code.0),
            _ => {}
        }
    }

    fn welcome(&mut self, hello: &senda_wire::Hello<'_>, seq: u32, out: &mut Vec<u8>) {
        self.welcomed += 1;
        let id = u32::try_from(self.welcomed).unwrap();
        let before = self.sessions.values().find(|session| session.stream == hello.stream);
        let session = Session {
            stream: hello.stream,
            mark: before.map_or(0, |before| before.mark),
            schemas: before.map(|before| before.schemas.clone()).unwrap_or_default(),
        };
        let mark = session.mark;
        self.sessions.retain(|_, before| before.stream != hello.stream);
        self.sessions.insert(id, session);
        let welcome = Welcome {
            nonce: 1,
            next_row: mark,
            high_row: mark,
            server_time: 0,
            window_rows: 4_096,
            max_msg: 1_200,
            encodings: 1,
            durability: Durability::Fsync,
            suite: Suite::Open,
            commit_interval_ms: 0,
            keepalive_s: hello.keepalive_s,
            ack_every: 1,
            ack_delay_ms: 0,
            max_channels: 256,
            max_schemas: 64,
            max_elements: 64,
            max_values: 16_384,
            max_decoded: 262_144,
            options: Options::default(),
        };
        say(out, id, seq, &Message::Welcome(welcome));
        if self.config_rev > hello.config_rev {
            let mut room = [0; 64];
            let list = [NamedValue::new("interval_ms", Value::U32(250))];
            let settings = List::build(&list, &mut room).unwrap();
            let revision = self.config_rev;
            say(out, id, 1, &Message::Config(senda_wire::Config { revision, settings }));
        }
    }

    fn store(&mut self, session: u32, first: u32, data: &senda_wire::Data<'_>, out: &mut Vec<u8>) {
        let Some(known) = self.sessions.get(&session) else { return };
        let Some(description) = known.schemas.get(&data.head.schema) else {
            let count = data.head.count.into();
            return nack(out, session, first, ErrorCode::UNKNOWN_SCHEMA, first, count);
        };
        let (stream, schema) = (known.stream, Schema::decode(description).unwrap());
        let mut rows = data.rows(&schema, Presence::All).unwrap();
        let mut number = first;
        let mut refused = Vec::new();
        while let Some(row) = rows.next_row().unwrap() {
            if self.refuse_multiples_of > 0 && number.is_multiple_of(self.refuse_multiples_of) {
                refused.push(number);
                self.stored.insert((stream, number), Vec::new());
            } else if self.stored.insert((stream, number), row.fields().to_vec()).is_some() {
                self.duplicates += 1;
            }
            number += 1;
        }
        for number in refused {
            nack(out, session, first, ErrorCode::BAD_VALUE, number, 1);
        }
        self.ack(session, out);
    }

    fn ack(&mut self, id: u32, out: &mut Vec<u8>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        while self.stored.contains_key(&(session.stream, session.mark)) {
            session.mark += 1;
        }
        let window = Window {
            window_rows: 4_096,
            ack_delay_ms: 0,
            retry_after_ms: 0,
            ranges: Ranges::default(),
        };
        say(out, id, session.mark, &Message::Ack(Ack { window: Some(window) }));
    }
}

/// Microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

fn nack(out: &mut Vec<u8>, session: u32, seq: u32, code: ErrorCode, first: u32, count: u32) {
    let refused_type = MessageType::Rows.code();
    let nack = Nack { refused_type, code, first, count, retry_after_ms: 0, text: "as asked" };
    say(out, session, seq, &Message::Nack(nack));
}

fn say(out: &mut Vec<u8>, session: u32, seq: u32, message: &Message<'_>) {
    let mut buffer = [0; 2_048];
    let len = message.encode(Head { session, seq, flags: 0 }, &mut buffer).unwrap();
    out.extend_from_slice(&buffer[..len]);
}
