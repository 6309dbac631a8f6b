//! Connections: records one after the other, replies in the same order.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};

use super::Framing;
use super::framing::Splitter;
use super::intake::{Intake, Told, Turn};
use super::misfit::Misfit;
use super::reply::Status;

/// What a listener allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) bytes: usize,
}

/// Accepts connections until `stop`, then waits until each has ended. A permit is taken before accepting.
pub(super) async fn accept(
    listener: TcpListener,
    framing: Framing,
    limits: Limits,
    intake: Arc<Intake>,
    mut stop: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(splitter) = Splitter::new(&framing, intake.record_size(), limits.bytes)
                else {
                    return; // It was made once before, to see whether it can be.
                };
                let (intake, stop) = (intake.clone(), stop.clone());
                tokio::spawn(async move {
                    Connection::new(stream, peer, splitter, intake).serve(stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, or a connection that was reset before it was accepted.
                tracing::warn!(%error, "can't accept a raw connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let _ = permits.acquire_many(u32::try_from(limits.connections).unwrap_or(u32::MAX)).await;
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    splitter: Splitter,
    intake: Arc<Intake>,
    /// Records that the store has not spoken of, the oldest first.
    waiting: VecDeque<Pending>,
}

/// A record, and where its verdict comes out.
struct Pending {
    bytes: Vec<u8>,
    /// It was taken again already.
    is_again: bool,
    told: oneshot::Receiver<Told>,
}

/// Why nothing more is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// The peer has closed.
    Closed,
    /// The server stops.
    Stopping,
    /// It is not known where the next record begins.
    Lost,
}

impl Connection {
    fn new(stream: TcpStream, peer: SocketAddr, splitter: Splitter, intake: Arc<Intake>) -> Self {
        let _ = stream.set_nodelay(true); // Replies are small and must not wait.
        // A device that lost its power says nothing, and must not hold its place for ever.
        let alive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&alive);
        Self { stream, peer, splitter, intake, waiting: VecDeque::new() }
    }

    async fn serve(mut self, mut stop: watch::Receiver<bool>) {
        let mut end = None;
        loop {
            self.split(&mut end);
            if end.is_some() && self.waiting.is_empty() {
                break;
            }
            let may_read = end.is_none() && self.waiting.len() < WAITING_MAX;
            tokio::select! {
                biased;
                told = next_told(&mut self.waiting) => {
                    if !self.settle(told, end == Some(End::Stopping)).await {
                        return;
                    }
                }
                () = stopped(&mut stop), if end.is_none() => end = Some(End::Stopping),
                ready = self.stream.readable(), if may_read => {
                    if ready.is_err() || !self.read() {
                        end = Some(End::Closed);
                    }
                }
            }
        }
        let rest = self.splitter.rest();
        if end == Some(End::Closed) && !rest.is_empty() {
            self.intake.drop_bytes(&Misfit::Cut { len: rest.len() }, &rest, self.peer);
        }
        linger(&mut self.stream).await;
    }

    /// Makes records of what has come, as many as may wait.
    fn split(&mut self, end: &mut Option<End>) {
        while self.waiting.len() < WAITING_MAX && *end != Some(End::Lost) {
            match self.splitter.next() {
                Ok(Some(bytes)) => {
                    let told = self.take(&bytes, Turn::First);
                    self.waiting.push_back(Pending { bytes, is_again: false, told });
                }
                Ok(None) => return,
                Err(misfit) => {
                    self.intake.drop_bytes(&misfit, self.splitter.waiting(), self.peer);
                    *end = Some(End::Lost);
                }
            }
        }
    }

    fn take(&self, bytes: &[u8], turn: Turn) -> oneshot::Receiver<Told> {
        let (sender, told) = oneshot::channel();
        // Nobody waits any more when the connection is gone; the record counts all the same.
        let answer = Box::new(move |told| drop(sender.send(told)));
        self.intake.take(bytes, self.peer, "tcp", turn, answer);
        told
    }

    /// Reads what is there; false at the end.
    fn read(&mut self) -> bool {
        let mut buffer = [0; READ_MAX];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => false,
            Ok(len) => {
                self.splitter.push(&buffer[..len]);
                true
            }
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }

    /// Tells the device what became of its oldest record; false when the connection is of no more use.
    async fn settle(&mut self, told: Option<Told>, stopping: bool) -> bool {
        let Some(told) = told else { return false };
        let Some(pending) = self.waiting.pop_front() else { return true };
        if let Some(reply) = told.reply {
            let written = tokio::time::timeout(WRITE_TIME, self.stream.write_all(&reply)).await;
            let is_sent = matches!(written, Ok(Ok(())));
            self.intake.count_reply(is_sent);
            return is_sent;
        }
        // Who is not told can't send it again: it is kept here until the store takes it, and nothing more is read.
        if told.status == Status::Busy && self.intake.reply_size().is_none() && !stopping {
            // Those behind it may have met the same trouble, and need not wait for it once more.
            if pending.is_again {
                tokio::time::sleep(RETRY).await;
            }
            let told = self.take(&pending.bytes, Turn::Again(told.again));
            self.waiting.push_front(Pending { is_again: true, told, ..pending });
        }
        true
    }
}

/// The verdict on the oldest record; never, while there is none. Nothing at all comes when the server breaks off.
async fn next_told(waiting: &mut VecDeque<Pending>) -> Option<Told> {
    match waiting.front_mut() {
        Some(pending) => (&mut pending.told).await.ok(),
        None => std::future::pending().await,
    }
}

/// Says that nothing more comes, and reads on for a moment: bytes that nobody has read would make the system reset the
/// connection, and the last replies would be lost with it. RFC 9293 §3.6.1.
async fn linger(stream: &mut TcpStream) {
    let _ = stream.shutdown().await;
    let mut nowhere = [0; READ_MAX];
    let drain = async { while matches!(stream.read(&mut nowhere).await, Ok(1..)) {} };
    let _ = tokio::time::timeout(LINGER, drain).await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Records of a connection that may wait for the store.
const WAITING_MAX: usize = 32;
/// Bytes for one read.
const READ_MAX: usize = 16_384;
/// A write that takes longer means that the other side reads nothing.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// How long a peer that goes on sending is listened to after the last word.
const LINGER: Duration = Duration::from_millis(500);
/// Between two tries to store a record.
const RETRY: Duration = Duration::from_millis(200);
/// From the last that was heard to the first question whether the peer is there, and between such questions.
const KEEPALIVE: Duration = Duration::from_secs(60);
