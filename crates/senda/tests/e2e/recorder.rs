//! Captures made here: packets written one by one, and a forwarder that records what real devices and a real collector
//! say to one another. Capturing on an interface takes rights that not every machine gives.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use etherparse::PacketBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Bytes of a TCP segment: few, so that messages go on from one packet to the next.
const SEGMENT: usize = 60;

/// A pcap file of Ethernet packets, a microsecond apart.
pub(crate) struct Capture {
    file: Vec<u8>,
    packets: u32,
}

impl Capture {
    pub(crate) fn new() -> Self {
        Self::of(1)
    }

    /// Of another kind of network.
    pub(crate) fn of(link_type: u32) -> Self {
        let mut file = 0xA1B2_C3D4_u32.to_le_bytes().to_vec();
        file.extend([2, 0, 4, 0]);
        file.extend([0, 0, 262_144, link_type].map(u32::to_le_bytes).concat());
        Self { file, packets: 0 }
    }

    /// Writes a packet of which `len` bytes were on the wire.
    pub(crate) fn record(&mut self, packet: &[u8], len: usize) -> u32 {
        let lengths = [packet.len(), len].map(|len| u32::try_from(len).expect("a packet"));
        let [captured, len] = lengths;
        let time = [1_767_225_600, self.packets, captured, len];
        self.file.extend(time.map(u32::to_le_bytes).concat());
        self.file.extend(packet);
        self.packets += 1;
        self.packets
    }

    /// Writes a datagram; returns its number.
    pub(crate) fn udp(&mut self, src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> u32 {
        let mut packet = Vec::new();
        let builder = ethernet(src, dst).udp(src.port(), dst.port());
        builder.write(&mut packet, payload).expect("a packet");
        self.record(&packet, packet.len())
    }

    /// The packets, without what the file says of them.
    pub(crate) fn packets(&self) -> Vec<&[u8]> {
        let (mut rest, mut packets) = (&self.file[24..], Vec::new());
        while let Some((head, next)) = rest.split_first_chunk::<16>() {
            let [.., a, b, c, d, _, _, _, _] = *head;
            let len = usize::try_from(u32::from_le_bytes([a, b, c, d])).expect("small");
            packets.push(&next[..len]);
            rest = &next[len..];
        }
        packets
    }

    pub(crate) fn save(&self, path: PathBuf) -> PathBuf {
        std::fs::write(&path, &self.file).expect("a file");
        path
    }
}

fn ethernet(
    src: SocketAddr,
    dst: SocketAddr,
) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    let (SocketAddr::V4(src), SocketAddr::V4(dst)) = (src, dst) else {
        panic!("these captures are of IPv4");
    };
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv4(
        src.ip().octets(),
        dst.ip().octets(),
        64,
    )
}

/// Both directions of a TCP connection, to be written into a capture.
pub(crate) struct Connection {
    ends: [SocketAddr; 2],
    /// What each end sends next.
    seq: [u32; 2],
}

impl Connection {
    /// Writes how `client` opens it.
    pub(crate) fn open(capture: &mut Capture, client: SocketAddr, server: SocketAddr) -> Self {
        // Sequence numbers wrap within it.
        let mut connection = Self { ends: [client, server], seq: [u32::MAX - 100, 7] };
        connection.write(capture, 0, &[], Step::syn);
        connection.seq[0] = connection.seq[0].wrapping_add(1);
        connection.write(capture, 1, &[], |step| step.syn().ack(u32::MAX - 99));
        connection.seq[1] = connection.seq[1].wrapping_add(1);
        connection
    }

    /// Writes bytes that an end sends (0: the client), in segments; returns the number of the last packet.
    pub(crate) fn send(&mut self, capture: &mut Capture, end: usize, bytes: &[u8]) -> u32 {
        let mut last = 0;
        for part in bytes.chunks(SEGMENT) {
            let ack = self.seq[1 - end];
            last = self.write(capture, end, part, |step| step.ack(ack).psh());
            let len = u32::try_from(part.len()).expect("a segment");
            self.seq[end] = self.seq[end].wrapping_add(len);
        }
        last
    }

    /// Writes FIN.
    pub(crate) fn close(&mut self, capture: &mut Capture, end: usize) {
        let ack = self.seq[1 - end];
        self.write(capture, end, &[], |step| step.ack(ack).fin());
        self.seq[end] = self.seq[end].wrapping_add(1);
    }

    fn write(
        &self,
        capture: &mut Capture,
        end: usize,
        payload: &[u8],
        flags: impl FnOnce(Step) -> Step,
    ) -> u32 {
        let (src, dst) = (self.ends[end], self.ends[1 - end]);
        let step = ethernet(src, dst).tcp(src.port(), dst.port(), self.seq[end], 65_000);
        let mut packet = Vec::new();
        flags(step).write(&mut packet, payload).expect("a packet");
        capture.record(&packet, packet.len())
    }
}

type Step = etherparse::PacketBuilderStep<etherparse::TcpHeader>;

/// Stands between devices and a collector, on both transports.
pub(crate) struct Recorder {
    capture: Arc<Mutex<Capture>>,
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: SocketAddr,
    /// Everything here ends with it.
    _runtime: tokio::runtime::Runtime,
}

impl Recorder {
    pub(crate) fn before(tcp: SocketAddr, udp: SocketAddr) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let capture = Arc::new(Mutex::new(Capture::new()));
        let any = (Ipv4Addr::LOCALHOST, 0);
        let listener = runtime.block_on(TcpListener::bind(any)).expect("a port");
        let socket = runtime.block_on(UdpSocket::bind(any)).expect("a port");
        let addresses = (listener.local_addr(), socket.local_addr());
        runtime.spawn(forward_tcp(listener, tcp, Arc::clone(&capture)));
        runtime.spawn(forward_udp(Arc::new(socket), udp, Arc::clone(&capture)));
        let (Ok(tcp), Ok(udp)) = addresses else {
            panic!("bound sockets have addresses");
        };
        Self { capture, tcp, udp, _runtime: runtime }
    }

    pub(crate) fn save(&self, path: &Path) {
        self.capture.lock().expect("no task panics").save(path.to_owned());
    }
}

async fn forward_udp(front: Arc<UdpSocket>, to: SocketAddr, capture: Arc<Mutex<Capture>>) {
    let here = front.local_addr().expect("bound");
    let mut backs: Vec<(SocketAddr, Arc<UdpSocket>)> = Vec::new();
    let mut buffer = [0; 2048];
    while let Ok((len, device)) = front.recv_from(&mut buffer).await {
        let known = backs.iter().find(|(address, _)| *address == device);
        let back = if let Some((_, back)) = known {
            Arc::clone(back)
        } else {
            let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
            back.connect(to).await.expect("an address");
            let back = Arc::new(back);
            backs.push((device, Arc::clone(&back)));
            tokio::spawn(answer_udp(
                Arc::clone(&back),
                Arc::clone(&front),
                device,
                Arc::clone(&capture),
            ));
            back
        };
        capture.lock().expect("no task panics").udp(device, here, &buffer[..len]);
        let _ = back.send(&buffer[..len]).await;
    }
}

async fn answer_udp(
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    device: SocketAddr,
    capture: Arc<Mutex<Capture>>,
) {
    let here = front.local_addr().expect("bound");
    let mut buffer = [0; 2048];
    while let Ok(len) = back.recv(&mut buffer).await {
        capture.lock().expect("no task panics").udp(here, device, &buffer[..len]);
        let _ = front.send_to(&buffer[..len], device).await;
    }
}

async fn forward_tcp(listener: TcpListener, to: SocketAddr, capture: Arc<Mutex<Capture>>) {
    let here = listener.local_addr().expect("bound");
    while let Ok((front, device)) = listener.accept().await {
        let back = TcpStream::connect(to).await.expect("a collector");
        let opened = Connection::open(&mut capture.lock().expect("no task panics"), device, here);
        let connection = Arc::new(Mutex::new(opened));
        let ((from_device, to_device), (from_collector, to_collector)) =
            (front.into_split(), back.into_split());
        let pass = |end, from, to| pass_on(from, to, end, connection.clone(), capture.clone());
        tokio::spawn(pass(0, from_device, to_collector));
        tokio::spawn(pass(1, from_collector, to_device));
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    end: usize,
    connection: Arc<Mutex<Connection>>,
    capture: Arc<Mutex<Capture>>,
) {
    let mut buffer = [0; 4096];
    while let Ok(len) = from.read(&mut buffer).await {
        let bytes = &buffer[..len];
        {
            let mut connection = connection.lock().expect("no task panics");
            let mut capture = capture.lock().expect("no task panics");
            if bytes.is_empty() {
                connection.close(&mut capture, end);
            } else {
                connection.send(&mut capture, end, bytes);
            }
        }
        if bytes.is_empty() || to.write_all(bytes).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
