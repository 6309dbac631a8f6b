//! UDP: a flow for each client address, each with a socket of its own to the collector, as behind a NAT.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use senda_session::Instant;
use senda_sim::derive_seed;
use senda_sim::faults::{Fate, Link};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinSet;

use super::output::{Client, Note, Passing, Transport, Way};
use super::{Held, Proxy};

/// The longest datagram, and a byte.
const DATAGRAM_MAX: usize = 65_536;
/// Datagrams that may wait for a flow, which takes them at once unless a socket is full.
const WAITING_MAX: usize = 1_024;
/// Kernel buffer of the socket that all clients send to.
const KERNEL_BUFFER: usize = 4 << 20;

/// Binds the socket that devices send to.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // Best effort: the system caps it at net.core.rmem_max.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Takes datagrams from clients for as long as the proxy runs.
pub(super) async fn serve(proxy: Arc<Proxy>, socket: UdpSocket) {
    let mut table = Table {
        socket: Arc::new(socket),
        flows: HashMap::new(),
        tasks: JoinSet::new(),
        next_number: 0,
        proxy,
    };
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        tokio::select! {
            received = table.socket.recv_from(&mut buffer) => match received {
                Ok((len, client)) => table.take(client, &buffer[..len]),
                // An answer found nobody at a client's port: that error is gone now that it is read.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => {
                    tracing::warn!(%error, "can't receive datagrams");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(ended) = table.tasks.join_next() => table.forget(ended.ok()),
        }
    }
}

/// Which client has which flow.
struct Table {
    proxy: Arc<Proxy>,
    socket: Arc<UdpSocket>,
    flows: HashMap<SocketAddr, (u32, mpsc::Sender<Arc<Held>>)>,
    /// Each ends with its client when it was idle for long enough.
    tasks: JoinSet<Client>,
    next_number: u32,
}

impl Table {
    /// Hands a datagram to its client's flow.
    fn take(&mut self, client: SocketAddr, bytes: &[u8]) {
        let Some(held) = self.proxy.hold(bytes) else {
            return self.overflow(client, bytes.len());
        };
        let Some((_, flow)) = self.flows.get(&client) else {
            return self.open(client, held);
        };
        match flow.try_send(held) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.overflow(client, bytes.len()),
            Err(TrySendError::Closed(held)) => self.open(client, held), // It has just ended.
        }
    }

    /// A client that is new, or new again.
    fn open(&mut self, address: SocketAddr, first: Arc<Held>) {
        if self.flows.len() >= self.proxy.clients_max && !self.flows.contains_key(&address) {
            return self.turn_away(address, &first, "there are --clients of them already");
        }
        let socket = match connect(self.proxy.target) {
            Ok(socket) => socket,
            Err(error) => return self.turn_away(address, &first, &error.to_string()),
        };
        let client = Client { transport: Transport::Udp, address, number: self.next_number };
        self.next_number = self.next_number.wrapping_add(1);
        self.proxy.counts().flows += 1;
        self.note(address, "client", format!("is client {}", client.number));
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let _ = sender.try_send(first); // It is empty.
        self.flows.insert(address, (client.number, sender));
        let flow = Flow::new(Arc::clone(&self.proxy), client, Arc::clone(&self.socket), socket);
        self.tasks.spawn(flow.run(receiver));
    }

    fn forget(&mut self, ended: Option<Client>) {
        let Some(client) = ended else { return };
        // Unless the address has a new flow already.
        let is_it =
            self.flows.get(&client.address).is_some_and(|(number, _)| *number == client.number);
        if is_it {
            self.flows.remove(&client.address);
        }
    }

    fn overflow(&self, client: SocketAddr, len: usize) {
        let mut counts = self.proxy.counts();
        let up = counts.datagrams.of(Way::Up);
        up.received += 1;
        up.bytes += len as u64;
        up.overflowed += 1;
        drop(counts);
        self.note(client, "overflow", format!("{len} bytes were lost in a full queue"));
    }

    fn turn_away(&self, client: SocketAddr, held: &Held, why: &str) {
        self.proxy.counts().turned_away += 1;
        let len = held.bytes.len();
        self.note(client, "turned_away", format!("{len} bytes of a client too many: {why}"));
    }

    fn note(&self, client: SocketAddr, event: &'static str, text: String) {
        let at = self.proxy.now();
        let transport = Transport::Udp;
        self.proxy.output.note(Note { at, transport, client, event, text });
    }
}

/// A socket that sends to the collector and hears it alone.
fn connect(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if target.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(target)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// One client.
struct Flow {
    proxy: Arc<Proxy>,
    client: Client,
    to_client: Arc<UdpSocket>,
    to_collector: UdpSocket,
    up: Direction,
    down: Direction,
    /// It was said that nobody listens at the target.
    said_unreachable: bool,
}

struct Direction {
    way: Way,
    link: Link<Arc<Held>>,
    datagrams: u64,
}

impl Flow {
    fn new(
        proxy: Arc<Proxy>,
        client: Client,
        to_client: Arc<UdpSocket>,
        to_collector: UdpSocket,
    ) -> Self {
        let direction = |way, purpose| {
            let seed = derive_seed(proxy.seed, client.number, purpose);
            Direction { way, link: Link::new(proxy.conditions, seed), datagrams: 0 }
        };
        let (up, down) = (direction(Way::Up, "udp-up"), direction(Way::Down, "udp-down"));
        Self { proxy, client, to_client, to_collector, up, down, said_unreachable: false }
    }

    /// Carries datagrams until there was none for long.
    async fn run(mut self, mut from_client: mpsc::Receiver<Arc<Held>>) -> Client {
        let mut last = self.proxy.now();
        loop {
            let wake = [self.up.link.next_wakeup(), self.down.link.next_wakeup()];
            let wake = wake.into_iter().flatten().min();
            let idle = wake.is_none().then(|| last + self.proxy.idle);
            tokio::select! {
                held = from_client.recv() => match held {
                    Some(held) => {
                        last = self.proxy.now();
                        self.up.take(&self.proxy, self.client, last, held);
                    }
                    None => return self.client,
                },
                // An error is no reason to be readable: it is asked for by itself.
                ready = self.to_collector.ready(Interest::READABLE | Interest::ERROR) => {
                    let Ok(ready) = ready else { return self.client };
                    if ready.is_error() {
                        self.take_error();
                    }
                    if ready.is_readable() && self.receive() {
                        last = self.proxy.now();
                    }
                }
                () = self.proxy.sleep_until(wake), if wake.is_some() => {}
                () = self.proxy.sleep_until(idle), if idle.is_some() => {
                    if !from_client.is_empty() {
                        continue; // Something came in the same moment.
                    }
                    self.note("idle", "has been silent and is forgotten");
                    return self.client;
                }
            }
            self.deliver().await;
        }
    }

    /// Reads what the collector has sent; true when it was a datagram.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; DATAGRAM_MAX];
        match self.to_collector.try_recv(&mut buffer) {
            Ok(len) => {
                let now = self.proxy.now();
                match self.proxy.hold(&buffer[..len]) {
                    Some(held) => self.down.take(&self.proxy, self.client, now, held),
                    None => self.down.overflow(&self.proxy, self.client, len),
                }
                true
            }
            Err(error) => {
                self.unreachable(&error);
                false
            }
        }
    }

    /// What became of a datagram before.
    fn take_error(&mut self) {
        let socket = &self.to_collector;
        // "Would block" is the word for the error having been taken.
        let error = socket.try_io(Interest::ERROR, || {
            Err(socket.take_error()?.unwrap_or_else(|| ErrorKind::WouldBlock.into()))
        });
        let _: io::Result<()> = error.inspect_err(|error| self.unreachable(error));
    }

    /// Sends on what has arrived by now.
    async fn deliver(&mut self) {
        while let Some(held) = self.up.link.poll(self.proxy.now()) {
            let mut sent = self.to_collector.send(&held.bytes).await;
            if let Err(error) = &sent
                && error.kind() == ErrorKind::ConnectionRefused
            {
                // An earlier datagram found nobody. The error stands for that one; this one was not even tried.
                self.unreachable(error);
                sent = self.to_collector.send(&held.bytes).await;
            }
            self.up.count_sent(&self.proxy, sent.is_ok());
        }
        while let Some(held) = self.down.link.poll(self.proxy.now()) {
            let mut sent = self.to_client.send_to(&held.bytes, self.client.address).await;
            if sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
                sent = self.to_client.send_to(&held.bytes, self.client.address).await;
            }
            self.down.count_sent(&self.proxy, sent.is_ok());
        }
    }

    fn unreachable(&mut self, error: &io::Error) {
        if error.kind() == ErrorKind::ConnectionRefused && !self.said_unreachable {
            self.said_unreachable = true;
            self.note("unreachable", &format!("nobody listens at {}", self.proxy.target));
        }
    }

    fn note(&self, event: &'static str, text: &str) {
        let Client { transport, address, .. } = self.client;
        let (at, text) = (self.proxy.now(), text.to_owned());
        self.proxy.output.note(Note { at, transport, client: address, event, text });
    }
}

impl Direction {
    /// Lets the network decide about a datagram, counts it and shows it.
    fn take(&mut self, proxy: &Proxy, client: Client, now: Instant, held: Arc<Held>) {
        let len = held.bytes.len();
        self.datagrams += 1;
        let fate = self.link.send_sized(now, len, Arc::clone(&held));
        self.count_received(proxy, len, fate);
        let (way, number) = (self.way, self.datagrams);
        if !proxy.output.is_quiet() {
            proxy.output.passing(Passing { at: now, client, way, number, fate, held });
        }
    }

    /// There was no room to keep it.
    fn overflow(&self, proxy: &Proxy, client: Client, len: usize) {
        self.count_received(proxy, len, Fate::Overflowed);
        let text = format!("{len} bytes of the collector were lost in a full queue");
        let Client { transport, address, .. } = client;
        let note = Note { at: proxy.now(), transport, client: address, event: "overflow", text };
        proxy.output.note(note);
    }

    fn count_received(&self, proxy: &Proxy, len: usize, fate: Fate) {
        let mut counts = proxy.counts();
        let counts = counts.datagrams.of(self.way);
        counts.received += 1;
        counts.bytes += len as u64;
        match fate {
            Fate::Lost => counts.lost += 1,
            Fate::Overflowed => counts.overflowed += 1,
            Fate::Arrives { held_back, copy, .. } => {
                counts.held_back += u64::from(held_back);
                counts.duplicated += u64::from(copy.is_some());
            }
        }
    }

    fn count_sent(&self, proxy: &Proxy, sent: bool) {
        let mut counts = proxy.counts();
        let counts = counts.datagrams.of(self.way);
        if sent {
            counts.forwarded += 1;
        } else {
            counts.unsent += 1;
        }
    }
}
