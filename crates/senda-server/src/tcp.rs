//! TCP connections: bytes to the engine, bytes from the engine. A message is no concern of this file.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::config::{StartError, resolve};
use crate::engine::Input;
use crate::wake::Waker;

/// Inputs of all connections that may wait for the engine: back-pressure on the readers.
pub(crate) const INPUTS_MAX: usize = 1024;
/// Messages that may wait for one connection. A device that doesn't read its answers loses the connection.
pub(crate) const OUTPUTS_MAX: usize = 256;
/// Bytes for one read.
const READ_MAX: usize = 16_384;
/// A write that takes longer means that the other side reads nothing.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// Whether connections are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reading {
    /// Yes.
    Go,
    /// Not now: what is on its way to the disk has reached its limit. Spec §3.6.
    Pause,
    /// Never again: the server drains.
    Stop,
}

/// What the engine has for a connection.
#[derive(Debug)]
pub(crate) enum Output {
    Bytes(Vec<u8>),
    /// Write what came before, then close.
    Close,
}

/// Binds the first address that `name` stands for.
pub(crate) async fn bind(name: &str) -> Result<TcpListener, StartError> {
    let addresses = resolve(name)?;
    let bound = TcpListener::bind(&addresses[..]).await;
    bound.map_err(|source| StartError::Bind { transport: "TCP", name: name.to_owned(), source })
}

/// Accepts connections until the server drains, then waits until each of them has said what was queued for it and has
/// ended. A permit is taken before accepting, so that the limit holds.
pub(crate) async fn accept(
    listener: TcpListener,
    connections_max: usize,
    inputs: mpsc::Sender<Input>,
    waker: Waker,
    mut reading: watch::Receiver<Reading>,
) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let permits = Arc::new(Semaphore::new(connections_max));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = reading.wait_for(|reading| *reading == Reading::Stop) => break,
        };
        match accepted {
            Ok((stream, remote)) => {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let (inputs, waker, reading) = (inputs.clone(), waker.clone(), reading.clone());
                tokio::spawn(async move {
                    serve(stream, remote, number, inputs, waker, reading).await;
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
    drop(listener);
    let _ = permits.acquire_many(u32::try_from(connections_max).unwrap_or(u32::MAX)).await;
}

async fn serve(
    mut stream: TcpStream,
    remote: SocketAddr,
    number: u64,
    inputs: mpsc::Sender<Input>,
    waker: Waker,
    reading: watch::Receiver<Reading>,
) {
    let _ = stream.set_nodelay(true); // ACKs are small and must not wait.
    let (output, mut outputs) = mpsc::channel(OUTPUTS_MAX);
    if inputs.send(Input::Connected { number, remote, output }).await.is_err() {
        return;
    }
    waker.wake();
    carry(&mut stream, number, &inputs, &waker, reading, &mut outputs).await;
    let _ = inputs.send(Input::Disconnected { number }).await;
    waker.wake();
    let _ = stream.shutdown().await;
}

/// Carries bytes both ways until either side is done.
async fn carry(
    stream: &mut TcpStream,
    number: u64,
    inputs: &mpsc::Sender<Input>,
    waker: &Waker,
    mut reading: watch::Receiver<Reading>,
    outputs: &mut mpsc::Receiver<Output>,
) {
    loop {
        let may_read = *reading.borrow_and_update() == Reading::Go;
        tokio::select! {
            biased;
            output = outputs.recv() => match output {
                Some(Output::Bytes(bytes)) => {
                    match tokio::time::timeout(WRITE_TIME, stream.write_all(&bytes)).await {
                        Ok(Ok(())) => {}
                        _ => return,
                    }
                }
                Some(Output::Close) | None => return,
            },
            changed = reading.changed() => if changed.is_err() { return },
            ready = stream.readable(), if may_read => {
                if ready.is_err() {
                    return;
                }
                match read(stream) {
                    Ok(Some(bytes)) if bytes.is_empty() => return,
                    Ok(Some(bytes)) => {
                        if inputs.send(Input::Bytes { number, bytes }).await.is_err() {
                            return;
                        }
                        waker.wake();
                    }
                    Ok(None) => {}
                    Err(_) => return,
                }
            }
        }
    }
}

/// Reads what is there. The buffer is on the stack, so that an idle connection has none. Spec §3.6b.
fn read(stream: &TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut buffer = [0; READ_MAX];
    match stream.try_read(&mut buffer) {
        Ok(len) => Ok(Some(buffer[..len].to_vec())),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
