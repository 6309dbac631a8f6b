//! One socket, never blocking: bytes in, bytes out.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use senda_session::device::Transport;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

use crate::Endpoint;

/// A connection that takes longer to come about has failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Reads in one turn; a busy socket must not keep the others of the thread waiting.
const READS_MAX: usize = 32;
/// Datagrams or chunks written in one turn, for the same reason.
const WRITES_MAX: usize = 64;
/// One read, and one chunk written.
const SCRATCH_BYTES: usize = 1 << 16;

thread_local! {
    /// Shared by all links of a thread: a turn never waits in the middle.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// A socket that is connected to a collector.
#[derive(Debug)]
pub(crate) struct Link {
    socket: Socket,
    /// What the kernel did not take yet.
    unsent: Vec<u8>,
    /// More was there than one turn may take.
    has_more: bool,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Link {
    /// Connects. `attempt` chooses among the addresses of a name on UDP, where nobody says whether one works.
    pub(crate) async fn open(endpoint: Endpoint, attempt: usize) -> io::Result<Self> {
        let opened = timeout(CONNECT_TIMEOUT, open(&endpoint, attempt)).await;
        let socket = opened.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Self { socket, unsent: Vec::new(), has_more: false })
    }

    /// Feeds what arrived. An error means that the connection is gone.
    pub(crate) fn read(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            for _ in 0..READS_MAX {
                let read = match &self.socket {
                    Socket::Udp(socket) => socket.try_recv(scratch),
                    Socket::Tcp(stream) => stream.try_read(scratch),
                };
                match (read, &self.socket) {
                    (Ok(0), Socket::Tcp(_)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    (Ok(len), _) => take(&scratch[..len]),
                    (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.has_more = false;
                        return Ok(());
                    }
                    // An ICMP message about an earlier datagram: the session's timers deal with it.
                    (Err(_), Socket::Udp(_)) => {}
                    (Err(error), Socket::Tcp(_)) => return Err(error),
                }
            }
            self.has_more = true;
            Ok(())
        })
    }

    /// Sends what is due, as far as the kernel takes it. An error means that the connection is gone.
    pub(crate) fn write(
        &mut self,
        mut next: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> io::Result<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            if !self.write_unsent()? {
                return Ok(());
            }
            for _ in 0..WRITES_MAX {
                let Some(len) = next(scratch) else { return Ok(()) };
                self.unsent.extend_from_slice(&scratch[..len]);
                if !self.write_unsent()? {
                    return Ok(());
                }
            }
            self.has_more = true;
            Ok(())
        })
    }

    /// True when nothing is left.
    fn write_unsent(&mut self) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            let written = match &self.socket {
                Socket::Udp(socket) => socket.try_send(&self.unsent),
                Socket::Tcp(stream) => stream.try_write(&self.unsent),
            };
            match (written, &self.socket) {
                (Ok(len), Socket::Tcp(_)) => drop(self.unsent.drain(..len)),
                (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                (Err(error), Socket::Tcp(_)) => return Err(error),
                // A datagram goes whole or is lost; the session sends it again.
                (_, Socket::Udp(_)) => self.unsent.clear(),
            }
        }
        Ok(true)
    }

    /// True when all that was written has left for the kernel.
    pub(crate) fn is_drained(&self) -> bool {
        self.unsent.is_empty()
    }

    /// True when one turn was not enough for what was there.
    pub(crate) const fn has_more(&self) -> bool {
        self.has_more
    }

    /// Ready when a turn has something to do. One task at a time may ask.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        // An error shows again in the next read or write, which knows what to do.
        let reads = match &self.socket {
            Socket::Udp(socket) => socket.poll_recv_ready(context).is_ready(),
            Socket::Tcp(stream) => stream.poll_read_ready(context).is_ready(),
        };
        let writes = !self.unsent.is_empty()
            && match &self.socket {
                Socket::Udp(socket) => socket.poll_send_ready(context).is_ready(),
                Socket::Tcp(stream) => stream.poll_write_ready(context).is_ready(),
            };
        if reads || writes { Poll::Ready(()) } else { Poll::Pending }
    }
}

async fn open(endpoint: &Endpoint, attempt: usize) -> io::Result<Socket> {
    let addresses: Vec<SocketAddr> = match endpoint.host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, endpoint.port)],
        Err(_) => lookup_host((endpoint.host.as_str(), endpoint.port)).await?.collect(),
    };
    let fits = |address: &&SocketAddr| {
        endpoint.bind.is_none_or(|bind| bind.is_ipv4() == address.is_ipv4())
    };
    let addresses: Vec<SocketAddr> = addresses.iter().filter(fits).copied().collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the host has no usable address"));
    }
    match endpoint.transport {
        Transport::Udp => open_udp(endpoint, addresses[attempt % addresses.len()]).await,
        Transport::Tcp => {
            let mut last = None;
            for address in addresses {
                match open_tcp(endpoint, address).await {
                    Ok(socket) => return Ok(socket),
                    Err(error) => last = Some(error),
                }
            }
            Err(last.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
        }
    }
}

async fn open_udp(endpoint: &Endpoint, address: SocketAddr) -> io::Result<Socket> {
    let socket = UdpSocket::bind((local(endpoint, address), 0)).await?;
    if let Some(size) = endpoint.socket_buffer {
        SockRef::from(&socket).set_recv_buffer_size(size)?;
        SockRef::from(&socket).set_send_buffer_size(size)?;
    }
    socket.connect(address).await?;
    Ok(Socket::Udp(socket))
}

async fn open_tcp(endpoint: &Endpoint, address: SocketAddr) -> io::Result<Socket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(size) = endpoint.socket_buffer {
        SockRef::from(&socket).set_recv_buffer_size(size)?;
        SockRef::from(&socket).set_send_buffer_size(size)?;
    }
    if let Some(bind) = endpoint.bind {
        socket.bind(SocketAddr::new(bind, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?; // The session joins rows by itself.
    Ok(Socket::Tcp(stream))
}

fn local(endpoint: &Endpoint, remote: SocketAddr) -> IpAddr {
    endpoint.bind.unwrap_or(if remote.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    })
}
