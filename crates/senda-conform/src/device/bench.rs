//! A scripted collector with one device at it: it answers as a good one does, but for what a scenario holds back.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use senda_wire::registry::MESSAGE_MAX;
use senda_wire::{Hello, Message, MessageType};

use super::book::Book;
use super::port::{Event, Port};
use crate::message::{Seen, b_text, close_body, message};
use crate::notes::{Notes, Step};
use crate::program::Running;
use crate::{Error, Program, Role, Transport};

/// What WELCOME says beyond what HELLO asked for.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) window_rows: u32,
    pub(super) keepalive_s: Option<u32>,
    pub(super) commit_interval_ms: u16,
    /// Instead of the rows that the kit has.
    pub(super) next_row: Option<u32>,
    pub(super) high_row: Option<u32>,
}

/// What is not answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hold {
    pub(super) hellos: bool,
    pub(super) declares: bool,
    pub(super) rows: bool,
}

/// The collector and its device.
pub(super) struct Bench {
    pub(super) notes: Notes,
    program: Program,
    pub(super) patience: Duration,
    port: Option<Port>,
    running: Option<Running>,
    events: VecDeque<Event>,
    pub(super) terms: Terms,
    pub(super) hold: Hold,
    pub(super) book: Book,
    pub(super) stream: u64,
    pub(super) session: u32,
    /// What its HELLO accepts.
    pub(super) downlink: u8,
    /// Every row below it is resolved.
    pub(super) mark: u32,
    /// The row behind the last that the device may send.
    edge: u32,
    /// The session that is served, as it was welcomed: its HELLO's nonce and the bytes.
    welcome: Option<(u64, Vec<u8>)>,
    /// What came while something else was waited for, answered.
    pub(super) passed: Vec<Seen>,
    pings: u32,
}

const COOKIE: [u8; 16] = *b"a cookie, opaque";

impl Bench {
    pub(super) fn new(notes: Notes, program: Program, patience: Duration) -> Self {
        let book = Book::new(notes.clone());
        let terms = Terms {
            window_rows: 4_096,
            keepalive_s: None,
            commit_interval_ms: 0,
            next_row: None,
            high_row: None,
        };
        Self {
            notes,
            program,
            patience,
            port: None,
            running: None,
            events: VecDeque::new(),
            terms,
            hold: Hold::default(),
            book,
            stream: 0,
            session: 0,
            downlink: 0,
            mark: 0,
            edge: 0,
            welcome: None,
            passed: Vec::new(),
            pings: 0,
        }
    }

    pub(super) fn is_udp(&self) -> bool {
        self.notes.transport == Transport::Udp
    }

    /// Starts the device afresh, and waits for its first HELLO, which is not answered.
    pub(super) fn boot(&mut self) -> Step<Seen> {
        self.shut_down();
        let port = Port::open(self.notes.transport)
            .map_err(|error| self.notes.stop(format!("a free port: {error}")))?;
        let running = launch(&self.program, self.notes.transport, port.address())
            .map_err(|error| self.notes.stop(error.to_string()))?;
        (self.port, self.running) = (Some(port), Some(running));
        self.until("6.3a", "a HELLO after the start", |seen| seen.is(MessageType::Hello))
    }

    /// Starts the device afresh, and serves it until its first session.
    pub(super) fn open(&mut self) -> Step<Seen> {
        let hello = self.boot()?;
        self.welcomed(hello)
    }

    /// Answers `hello` until there is a session for it; the HELLO that was welcomed.
    pub(super) fn welcomed(&mut self, hello: Seen) -> Step<Seen> {
        let before = self.session;
        self.answer(&hello);
        let mut last = hello;
        while self.session == before {
            last = self.until("5.2a", "a HELLO with the cookie of RETRY", |seen| {
                seen.is(MessageType::Hello)
            })?;
            self.answer(&last);
        }
        Ok(last)
    }

    /// Waits for the next HELLO, and answers until there is a session; the HELLO that was welcomed.
    pub(super) fn reopened(&mut self, label: &'static str) -> Step<Seen> {
        let hello = self.until(label, "a HELLO after the end of a session", |seen| {
            seen.is(MessageType::Hello)
        })?;
        self.welcomed(hello)
    }

    /// Kills the device and forgets it.
    pub(super) fn shut_down(&mut self) {
        self.running = None;
        self.port = None;
        self.events.clear();
        self.welcome = None;
    }

    /// Serves the device until the message that `wanted` describes, which is not answered. If it does not come, `label`
    /// fails.
    pub(super) fn until(
        &mut self,
        label: &'static str,
        expected: &str,
        wanted: impl Fn(&Seen) -> bool,
    ) -> Step<Seen> {
        let deadline = Instant::now() + self.patience;
        self.passed.clear();
        while let Some(event) = self.next(deadline) {
            let Event::Message(seen) = event else { continue };
            if wanted(&seen) {
                self.note(&seen);
                return Ok(seen);
            }
            self.note(&seen);
            self.answer(&seen);
            self.passed.push(seen);
        }
        let mut came: Vec<String> = self.passed.iter().map(ToString::to_string).collect();
        let more = came.len().saturating_sub(12);
        came.drain(..more);
        if came.is_empty() {
            came.push("nothing".to_owned());
        }
        if let Some(running) = &mut self.running
            && let Some(code) = running.ended()
        {
            let code = code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            came.push(format!("the program ended by {code}: {}", running.last_words()));
        }
        Err(self.notes.stop_failed(label, expected, came.join("; ")))
    }

    /// A data message of the session, not answered.
    pub(super) fn until_rows(&mut self, label: &'static str) -> Step<Seen> {
        self.until(label, "rows", Seen::is_data)
    }

    /// Serves until every row below `end` has come and is acknowledged.
    pub(super) fn serve_rows(&mut self, label: &'static str, end: u32) -> Step {
        let expected = format!("row {}", end.saturating_sub(1));
        while self.mark < end {
            let rows = self.until(label, &expected, Seen::is_data)?;
            self.answer(&rows);
        }
        Ok(())
    }

    /// Serves for `time`; what came.
    pub(super) fn serve_for(&mut self, time: Duration) -> Vec<Seen> {
        let deadline = Instant::now() + time;
        let mut came = Vec::new();
        while let Some(event) = self.next(deadline) {
            let Event::Message(seen) = event else { continue };
            self.note(&seen);
            self.answer(&seen);
            came.push(seen);
        }
        came
    }

    /// Serves until the answer to a PING; what came before it. What was sent before it has been dealt with then.
    pub(super) fn settle(&mut self, label: &'static str) -> Step<Vec<Seen>> {
        let (seq, token) = self.ping();
        self.until(label, "PONG with the seq and token of its PING", |seen| {
            seen.is(MessageType::Pong) && seen.seq == seq && seen.body == token
        })?;
        Ok(std::mem::take(&mut self.passed))
    }

    fn ping(&mut self) -> (u32, [u8; 8]) {
        self.pings += 1;
        let (seq, token) = (0x5E00_0000 + self.pings, rand::random::<u64>().to_be_bytes());
        self.send(MessageType::Ping, seq, &token);
        (seq, token)
    }

    /// Waits until the device has ended the connection. TCP only.
    pub(super) fn hangs_up(&mut self) -> bool {
        let deadline = Instant::now() + self.patience;
        while let Some(event) = self.next(deadline) {
            if matches!(event, Event::Hangup) {
                return true;
            }
        }
        false
    }

    /// A message of the session.
    pub(super) fn send(&mut self, kind: MessageType, seq: u32, body: &[u8]) {
        let bytes = message(kind, self.session, seq, body);
        self.send_raw(&bytes);
    }

    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        if let Some(port) = &mut self.port {
            port.send(bytes);
        }
    }

    /// Ends the session by CLOSE; on TCP the connection too.
    pub(super) fn close(&mut self, code: u16, retry_after_ms: u32) {
        self.send(MessageType::Close, 0, &close_body(code, retry_after_ms));
        self.forget();
    }

    /// Ends the connection (TCP) and serves nobody until the next HELLO.
    pub(super) fn forget(&mut self) {
        self.welcome = None;
        if let Some(port) = &mut self.port {
            port.hang_up();
        }
    }

    /// ACK of every row below `seq`, with the window of the terms.
    pub(super) fn ack(&mut self, seq: u32, retry_after_ms: u16) {
        self.edge = self.edge.max(seq.saturating_add(self.terms.window_rows));
        let mut body = self.terms.window_rows.to_be_bytes().to_vec();
        body.extend([0, 0]);
        body.extend(retry_after_ms.to_be_bytes());
        body.extend([0, 0]);
        self.send(MessageType::Ack, seq, &body);
    }

    /// NACK of a data message of the device.
    pub(super) fn nack(&mut self, seen: &Seen, code: u16, rows: (u32, u32), retry_after_ms: u32) {
        let mut body = vec![seen.code];
        body.extend(code.to_be_bytes());
        body.extend(rows.0.to_be_bytes());
        body.extend((rows.1 - rows.0).to_be_bytes());
        body.extend(retry_after_ms.to_be_bytes());
        body.extend(b_text(b"said the conformance kit"));
        self.send(MessageType::Nack, seen.seq, &body);
    }

    /// What happens next; `None` at the deadline, and after the end of the program.
    fn next(&mut self, deadline: Instant) -> Option<Event> {
        let mut looked_behind = false;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if Instant::now() >= deadline || looked_behind {
                return None;
            }
            // What it said last is still there.
            looked_behind = self.running.as_mut().is_none_or(|running| running.ended().is_some());
            let port = self.port.as_mut()?;
            let look = deadline.min(Instant::now() + Duration::from_millis(200));
            let mut events = Vec::new();
            port.read(look, usize::from(max_msg(self.notes.transport)), &self.notes, &mut events);
            self.events.extend(events);
        }
    }

    /// Takes what must hold for every message, whether it is answered or not.
    fn note(&mut self, seen: &Seen) {
        if let Ok(Message::Hello(hello)) = seen.message() {
            self.downlink = hello.downlink;
            if hello.stream != self.stream {
                self.stream = hello.stream;
                self.mark = 0;
                self.book = Book::new(self.notes.clone());
            }
            return;
        }
        if seen.session != self.session || !Book::is_reliable(seen) {
            return;
        }
        self.book.rows(seen);
        let Some((first, end)) = seen.rows().filter(|_| seen.is_data()) else { return };
        let probe = self.terms.window_rows == 0 && end == first + 1;
        if end > self.edge && !probe {
            let expected = format!("no row from {} on: the window ends there", self.edge);
            self.notes.fails("8.1a", expected, seen.to_string(), &seen.bytes);
        }
    }

    /// Answers as a collector does, but for what is held.
    pub(super) fn answer(&mut self, seen: &Seen) {
        let Ok(said) = seen.message() else { return };
        if let Message::Hello(hello) = said {
            return self.answer_hello(&hello);
        }
        if seen.session != self.session || self.welcome.is_none() {
            return;
        }
        match said {
            Message::Declare(declare) => {
                let whole = self.book.declare(seen, &declare);
                if let Some(crc) = whole.filter(|_| !self.hold.declares) {
                    self.send(MessageType::Declared, seen.seq, &crc.to_be_bytes());
                }
            }
            Message::Ping(_) => self.send(MessageType::Pong, seen.seq, &seen.body),
            Message::TimeReq(request) => {
                let now = now_us().to_be_bytes();
                let body = [request.t1.to_be_bytes(), now, now].concat();
                self.send(MessageType::Time, seen.seq, &body);
            }
            _ if Book::is_reliable(seen) => self.answer_rows(seen),
            _ => {}
        }
    }

    fn answer_rows(&mut self, seen: &Seen) {
        if !self.book.knows(seen) {
            let rows = seen.rows().unwrap_or((seen.seq, seen.seq));
            return self.nack(seen, 201, rows, 0);
        }
        if self.hold.rows {
            return;
        }
        if let Some((first, end)) = seen.rows()
            && first <= self.mark
        {
            self.mark = self.mark.max(end);
        }
        self.ack(self.mark, 0);
    }

    fn answer_hello(&mut self, hello: &Hello<'_>) {
        if self.hold.hellos {
            return;
        }
        let [_, _, _, _, a, b, c, d] = hello.nonce.to_be_bytes();
        let seq = u32::from_be_bytes([a, b, c, d]);
        if self.is_udp() && hello.cookie != COOKIE {
            let retry = message(MessageType::Retry, 0, seq, &b_text(&COOKIE));
            return self.send_raw(&retry);
        }
        if let Some((_, bytes)) = self.welcome.clone().filter(|(nonce, _)| *nonce == hello.nonce) {
            return self.send_raw(&bytes);
        }
        self.session = rand::random::<u32>() | 1;
        let bytes = message(MessageType::Welcome, self.session, seq, &self.welcome_body(hello));
        self.send_raw(&bytes);
        self.welcome = Some((hello.nonce, bytes));
    }

    /// Spec §5.3.
    pub(super) fn welcome_body(&mut self, hello: &Hello<'_>) -> Vec<u8> {
        let next_row = self.terms.next_row.unwrap_or(self.mark);
        let high_row = self.terms.high_row.unwrap_or(next_row);
        self.mark = next_row;
        self.edge = next_row.saturating_add(self.terms.window_rows);
        let mut body = rand::random::<u64>().to_be_bytes().to_vec();
        body.extend(next_row.to_be_bytes());
        body.extend(high_row.to_be_bytes());
        body.extend(now_us().to_be_bytes());
        body.extend(self.terms.window_rows.to_be_bytes());
        body.extend(max_msg(self.notes.transport).to_be_bytes());
        body.extend((hello.encodings & 7).to_be_bytes());
        body.extend([1, 0]); // FSYNC, open
        body.extend(self.terms.commit_interval_ms.to_be_bytes());
        body.extend(self.terms.keepalive_s.unwrap_or(hello.keepalive_s).to_be_bytes());
        body.extend(hello.ack_every.to_be_bytes());
        body.extend(hello.ack_delay_ms.to_be_bytes());
        body.extend([256_u16, 64, 64].iter().flat_map(|limit| limit.to_be_bytes()));
        body.extend([16_384_u32, 262_144].iter().flat_map(|limit| limit.to_be_bytes()));
        body
    }
}

/// What the kit's WELCOME offers.
const fn max_msg(transport: Transport) -> u16 {
    match transport {
        Transport::Tcp => 16_384,
        Transport::Udp => 1_200,
    }
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Starts the device once, to see that it says anything at all.
pub(super) fn ensure_it_speaks(
    program: &Program,
    transport: Transport,
    patience: Duration,
) -> Result<(), Error> {
    let machine = |source| Error::Machine { what: "a free port", source };
    let mut port = Port::open(transport).map_err(machine)?;
    let mut running = launch(program, transport, port.address())?;
    let notes = Notes::new(Role::Device, transport, "the first words");
    let deadline = Instant::now() + patience;
    let mut events = Vec::new();
    while events.is_empty() {
        let ended = running.ended().is_some();
        let look = deadline.min(Instant::now() + Duration::from_millis(200));
        port.read(look, MESSAGE_MAX, &notes, &mut events);
        if events.is_empty() && (ended || Instant::now() > deadline) {
            let how = if ended { "it ended" } else { "it went on" };
            let reason = format!(
                "{how} without a word of Senda over {}; on standard error: {}",
                transport.name(),
                running.last_words()
            );
            return Err(Error::Program { program: running.line().to_owned(), reason });
        }
    }
    Ok(())
}

/// Starts the device for a kit that listens at `address`.
pub(super) fn launch(
    program: &Program,
    transport: Transport,
    address: SocketAddr,
) -> Result<Running, Error> {
    let text = address.to_string();
    let values = BTreeMap::from([
        ("address", text.clone()),
        ("host", address.ip().to_string()),
        ("port", address.port().to_string()),
        ("transport", transport.name().to_owned()),
    ]);
    let (mine, other) = match transport {
        Transport::Tcp => ("SENDA_TCP", "SENDA_UDP"),
        Transport::Udp => ("SENDA_UDP", "SENDA_TCP"),
    };
    program.start(&values, &[(mine, Some(&text)), (other, None)])
}
