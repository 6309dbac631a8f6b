//! TCP: each connection carried on as its own connection to the collector, later, slower, or not to its end.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use senda_session::Instant;
use senda_sim::derive_seed;
use senda_sim::faults::{Conditions, Fate, Link};
use senda_wire::registry::MESSAGE_MAX;
use senda_wire::{Frame, FrameError};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::Proxy;
use super::output::{Client, Note, Passing, Transport, Way};

/// Bytes for one read.
const READ_MAX: usize = 16_384;
/// Bytes under way in one direction of one connection; at that the other side is not read.
const UNDER_WAY_MAX: usize = 256 << 10;
/// Pieces under way likewise.
const PIECES_MAX: usize = 4_096;
/// At a rate, what is read waits no longer than this for its turn: the rest waits where it comes from.
const BACKLOG_MAX: Duration = Duration::from_millis(100);
/// At a rate, one piece takes so long: short enough to look like a flow.
const PIECE_TIME: Duration = Duration::from_millis(20);
/// How long the collector may take to accept.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Accepts connections for as long as the proxy runs. A permit is taken before accepting, so that the limit holds.
pub(super) async fn serve(proxy: Arc<Proxy>, listener: TcpListener) {
    let permits = Arc::new(Semaphore::new(proxy.clients_max));
    let mut next_number = 0_u32;
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, address)) => {
                let client = Client { transport: Transport::Tcp, address, number: next_number };
                next_number = next_number.wrapping_add(1);
                let connection = Connection { proxy: Arc::clone(&proxy), client };
                tokio::spawn(async move {
                    connection.run(stream).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, or a connection that was reset before it was accepted.
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

struct Connection {
    proxy: Arc<Proxy>,
    client: Client,
}

impl Connection {
    async fn run(&self, mut device: TcpStream) {
        self.proxy.counts().connections += 1;
        let number = self.client.number;
        let age = self.proxy.cut.map(|cut| cut.pick(derive_seed(self.proxy.seed, number, "cut")));
        let cut_at = age.map(|age| self.proxy.now() + age);
        self.note("connected", format!("is connection {number}"));
        let mut collector = match connect(self.proxy.target).await {
            Ok(stream) => stream,
            Err(error) => {
                self.proxy.counts().failed += 1;
                let text = format!("can't be connected to {}: {error}", self.proxy.target);
                self.note("failed", text);
                return reset(&device);
            }
        };
        // Small messages must not wait here: what is slow is what was asked for.
        let _ = (device.set_nodelay(true), collector.set_nodelay(true));
        let outcome = tokio::select! {
            carried = self.carry(&mut device, &mut collector) => Some(carried),
            () = self.proxy.sleep_until(cut_at) => None,
        };
        match outcome {
            Some(Ok(())) => return self.note("ended", "both sides have ended".to_owned()),
            Some(Err(error)) => {
                self.proxy.counts().reset += 1;
                self.note("reset", format!("one side has gone: {error}"));
            }
            None => {
                self.proxy.counts().cut += 1;
                let age = age.unwrap_or_default();
                self.note("cut", format!("is cut after {age:?}"));
            }
        }
        reset(&device);
        reset(&collector);
    }

    /// Both directions, until each has ended. What fails in one ends both.
    async fn carry(&self, device: &mut TcpStream, collector: &mut TcpStream) -> io::Result<()> {
        let (from_device, to_device) = device.split();
        let (from_collector, to_collector) = collector.split();
        let up = Stream::new(self, Way::Up).carry(from_device, to_collector);
        let down = Stream::new(self, Way::Down).carry(from_collector, to_device);
        tokio::try_join!(up, down).map(|_| ())
    }

    fn note(&self, event: &'static str, text: String) {
        let Client { transport, address, .. } = self.client;
        let at = self.proxy.now();
        self.proxy.output.note(Note { at, transport, client: address, event, text });
    }
}

async fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let connected = tokio::time::timeout(CONNECT_TIME, TcpStream::connect(target)).await;
    connected.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

/// Has the system send a reset when the stream is dropped.
fn reset(stream: &TcpStream) {
    // It fails only for a connection that is gone already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// One direction of a connection.
struct Stream<'c> {
    connection: &'c Connection,
    way: Way,
    /// Pieces that were read, in order; an empty one is the end.
    link: Link<Vec<u8>>,
    under_way: usize,
    messages: Messages,
}

impl<'c> Stream<'c> {
    fn new(connection: &'c Connection, way: Way) -> Self {
        let Proxy { conditions: Conditions { delay, rate, .. }, seed, .. } = *connection.proxy;
        let purpose = match way {
            Way::Up => "tcp-up",
            Way::Down => "tcp-down",
        };
        let seed = derive_seed(seed, connection.client.number, purpose);
        let conditions = Conditions { delay, rate, ..Conditions::default() };
        let link = Link::new(conditions, seed);
        Self { connection, way, link, under_way: 0, messages: Messages::default() }
    }

    /// Reads, waits as the network has it, writes; in the end passes on that this was all.
    async fn carry(mut self, from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let proxy = &*self.connection.proxy;
        let mut has_ended = false;
        loop {
            while let Some(piece) = self.link.poll(proxy.now()) {
                if piece.is_empty() {
                    return to.shutdown().await;
                }
                // While the other side takes nothing, nothing is read here: back-pressure goes through.
                to.write_all(&piece).await?;
                self.under_way -= piece.len();
                proxy.counts().streams.of(self.way).forwarded_bytes += piece.len() as u64;
            }
            let now = proxy.now();
            let backlog = self.link.backlog(now);
            let has_room = self.under_way < UNDER_WAY_MAX && self.link.in_flight() < PIECES_MAX;
            let may_read = !has_ended && has_room && backlog < BACKLOG_MAX;
            let room_at = (backlog >= BACKLOG_MAX).then(|| now + (backlog - BACKLOG_MAX));
            let wake = self.link.next_wakeup().into_iter().chain(room_at).min();
            tokio::select! {
                ready = from.readable(), if may_read => {
                    ready?;
                    has_ended = self.read(&from)?;
                }
                () = proxy.sleep_until(wake), if wake.is_some() => {}
            }
        }
    }

    /// Takes what is there; true at the end of the stream.
    fn read(&mut self, from: &ReadHalf<'_>) -> io::Result<bool> {
        let mut buffer = [0; READ_MAX];
        let len = match from.try_read(&mut buffer[..self.piece_max()]) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        let proxy = &*self.connection.proxy;
        let now = proxy.now();
        let fate = self.link.send_sized(now, len, buffer[..len].to_vec());
        self.under_way += len;
        proxy.counts().streams.of(self.way).received_bytes += len as u64;
        self.show(now, fate, &buffer[..len]);
        Ok(len == 0)
    }

    /// Counts and shows the messages that are whole now.
    fn show(&mut self, at: Instant, fate: Fate, piece: &[u8]) {
        let Connection { proxy, client } = self.connection;
        let (client, way) = (*client, self.way);
        let mut counts = proxy.counts();
        let number = &mut counts.streams.of(way).messages;
        let mut of_connection = self.messages.count;
        let failed = self.messages.take(piece, |message| {
            *number += 1;
            of_connection += 1;
            if proxy.output.is_quiet() {
                return;
            }
            match proxy.hold(message) {
                Some(held) => {
                    let number = of_connection;
                    proxy.output.passing(Passing { at, client, way, number, fate, held });
                }
                None => proxy.output.leave_out(),
            }
        });
        self.messages.count = of_connection;
        drop(counts);
        if let Some(error) = failed {
            let (name, section) = (error.name(), error.section());
            let text = format!(
                "no message {}: {error} ({name}, §{section}); what follows passes unseen",
                match way {
                    Way::Up => "to the collector",
                    Way::Down => "to the device",
                }
            );
            self.connection.note("no_message", text);
        }
    }

    /// Bytes for the next piece: at a rate few, so that they don't come in lumps.
    fn piece_max(&self) -> usize {
        let Some(rate) = self.connection.proxy.conditions.rate else {
            return READ_MAX;
        };
        let millis = u64::try_from(PIECE_TIME.as_millis()).unwrap_or(u64::MAX);
        let bytes = rate.bits().saturating_mul(millis) / 8_000;
        usize::try_from(bytes).unwrap_or(READ_MAX).clamp(1, READ_MAX)
    }
}

/// Cuts a stream into messages, for showing them: what is passed on does not depend on it.
#[derive(Default)]
struct Messages {
    /// The beginning of a message.
    rest: Vec<u8>,
    count: u64,
    /// Something was no message; where the next one begins nobody knows.
    is_lost: bool,
}

impl Messages {
    /// Hands out each message that `piece` completes; the error comes once.
    fn take(&mut self, piece: &[u8], mut message: impl FnMut(&[u8])) -> Option<FrameError> {
        if self.is_lost {
            return None;
        }
        self.rest.extend_from_slice(piece);
        let mut used = 0;
        let error = loop {
            match Frame::decode(&self.rest[used..], MESSAGE_MAX) {
                Ok(frame) => {
                    message(frame.bytes);
                    used += frame.bytes.len();
                }
                Err(FrameError::Incomplete { .. }) => break None,
                Err(error) => break Some(error),
            }
        };
        self.rest.drain(..used);
        if error.is_some() {
            (self.is_lost, self.rest) = (true, Vec::new());
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use senda_wire::{Head, Message};

    use super::*;

    fn retry() -> Vec<u8> {
        let mut bytes = vec![0; 64];
        let head = Head { session: 0, seq: 7, flags: 0 };
        let len = Message::Retry { cookie: b"bench" }.encode(head, &mut bytes).unwrap();
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn messages_are_found_wherever_a_stream_is_cut() {
        let stream = retry().repeat(3);
        for piece in 1..=stream.len() {
            let mut messages = Messages::default();
            let mut found = 0;
            for bytes in stream.chunks(piece) {
                assert_eq!(messages.take(bytes, |message| found += message.len()), None);
            }
            assert_eq!((found, messages.rest.len()), (stream.len(), 0), "pieces of {piece}");
        }
    }

    #[test]
    fn a_stream_that_is_not_senda_is_given_up_once() {
        let mut messages = Messages::default();
        let mut found = 0;
        let mut stream = retry();
        stream.extend(b"GET / HTTP/1.1\r\n\r\n");
        let error = messages.take(&stream, |_| found += 1);
        assert_eq!((error, found), (Some(FrameError::BadMagic { byte: b'G' }), 1));
        assert_eq!(messages.take(&retry(), |_| found += 1), None);
        assert_eq!((found, messages.rest.len()), (1, 0));
    }
}
