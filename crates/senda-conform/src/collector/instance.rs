//! A collector that the kit starts itself.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::Running;
use crate::{Error, Program, Transport};

/// One collector of its own, with its state; both end with this value.
pub(super) struct Instance {
    program: Program,
    tcp: SocketAddr,
    udp: SocketAddr,
    pub(super) running: Running,
    patience: Duration,
    state: TempDir,
}

/// How often other ports are tried: somebody may take one between its choice and its use.
const TRIES: u32 = 3;

impl Instance {
    /// Starts one on ports that the system chose, and waits until it answers.
    pub(super) fn start(program: &Program, patience: Duration) -> Result<Self, Error> {
        let machine = |what| move |source| Error::Machine { what, source };
        let mut tries = 0;
        loop {
            let state = TempDir::new().map_err(machine("a directory for the collector's state"))?;
            let (tcp, udp) = free_addresses().map_err(machine("a free port"))?;
            let running = launch(program, tcp, udp, state.path())?;
            let program = program.clone();
            let mut instance = Self { program, tcp, udp, running, patience, state };
            tries += 1;
            match instance.wait_until_it_answers() {
                Err(_) if tries < TRIES && instance.running.ended().is_some() => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(instance),
            }
        }
    }

    /// SIGKILL, then the same command on the same ports with the same state.
    pub(super) fn kill_and_restart(&mut self) -> Result<(), Error> {
        self.running.kill();
        self.restart()
    }

    /// The same command again, after the end of the last one.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        self.running = launch(&self.program, self.tcp, self.udp, self.state.path())?;
        self.wait_until_it_answers()
    }

    /// Where it listens: what the command asked for.
    pub(super) fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (
            self.program.mentions("tcp").then_some(self.tcp),
            self.program.mentions("udp").then_some(self.udp),
        )
    }

    pub(super) fn address(&self, transport: Transport) -> SocketAddr {
        match transport {
            Transport::Tcp => self.tcp,
            Transport::Udp => self.udp,
        }
    }

    pub(super) fn state(&self) -> &Path {
        self.state.path()
    }

    fn wait_until_it_answers(&mut self) -> Result<(), Error> {
        let (tcp, udp) = self.addresses();
        for (transport, address) in [(Transport::Tcp, tcp), (Transport::Udp, udp)] {
            let Some(address) = address else { continue };
            let deadline = Instant::now() + self.patience;
            while !answers(transport, address) {
                if self.running.ended().is_some() || Instant::now() > deadline {
                    let program = self.running.line().to_owned();
                    return Err(Error::Program { program, reason: self.running.last_words() });
                }
            }
        }
        Ok(())
    }
}

/// Starts `program` to listen at these addresses.
pub(super) fn launch(
    program: &Program,
    tcp: SocketAddr,
    udp: SocketAddr,
    state: &Path,
) -> Result<Running, Error> {
    let values = BTreeMap::from([
        ("tcp", tcp.to_string()),
        ("udp", udp.to_string()),
        ("state", state.display().to_string()),
    ]);
    program.start(&values, &[])
}

/// Two ports of loopback that nobody uses at this moment.
pub(super) fn free_addresses() -> Result<(SocketAddr, SocketAddr), std::io::Error> {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    Ok((tcp, udp))
}

/// Somebody is there.
pub(super) fn ensure_it_answers(
    transport: Transport,
    address: SocketAddr,
    patience: Duration,
) -> Result<(), Error> {
    let deadline = Instant::now() + patience;
    while !answers(transport, address) {
        if Instant::now() > deadline {
            let (transport, seconds) = (transport.name(), patience.as_secs());
            return Err(Error::NoAnswer { transport, address, seconds });
        }
    }
    Ok(())
}

/// Between two questions whether somebody is there.
const LOOK: Duration = Duration::from_millis(50);

/// Asks once: a connection, or any answer to a HELLO.
fn answers(transport: Transport, address: SocketAddr) -> bool {
    let answers = match transport {
        Transport::Tcp => TcpStream::connect_timeout(&address, LOOK).is_ok(),
        Transport::Udp => answers_a_hello(address).is_ok(),
    };
    if !answers {
        std::thread::sleep(LOOK / 5);
    }
    answers
}

fn answers_a_hello(address: SocketAddr) -> Result<(), std::io::Error> {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(LOOK))?;
    let mut body = vec![0x55; 16];
    body.extend([0; 8]);
    body.extend(30_u32.to_be_bytes());
    body.extend(1_200_u16.to_be_bytes());
    body.extend(1_u16.to_be_bytes());
    body.extend([0, 0, 0, 0, 0, 1]);
    body.extend([0; 8]);
    body.extend(b"\x05hello\0");
    socket.send(&crate::message::message(senda_wire::MessageType::Hello, 0, 0, &body))?;
    socket.recv(&mut [0; 1_500]).map(|_| ())
}
