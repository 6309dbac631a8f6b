//! `senda lab udp-recv`: waits for datagrams and shows them as Python prints bytes.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use rustix::net::RecvFlags;
use serde_json::json;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::address;
use super::language::Language;
use super::repr;
use super::signals::{self, Signals};
use super::talk;
use crate::signal::Stop;
use crate::text::Format;

/// Wait for datagrams and show them
#[derive(clap::Args)]
#[command(after_help = "\
Each datagram is a line on standard output, as Python prints bytes: b'Hola, mundo!'. It ends after the first one, as the
lab's program does, or after --count, or with --follow at Ctrl-C (exit code 130) or SIGTERM (0). Where it listens is said on
standard error: listening udp=127.0.0.1:5005.
A datagram is read at once or not at all: what is longer than --max loses its end, which the lab's recv(512) does not tell.
Here it is said, with the length that was sent.
localhost is 127.0.0.1 first, as in the lab's program; for IPv6 say [::1]:5005. :5005 is every IPv4 address.
Examples:
  senda lab udp-recv
  senda lab udp-recv --follow --from
  senda lab udp-recv [::1]:0 --count 3 --max 65535")]
pub(crate) struct Args {
    /// Where to listen; port 0 lets the system choose [default: localhost:5005]
    #[arg(value_name = "ADDRESS", conflicts_with = "listen")]
    address: Option<String>,

    /// The same as an option
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,

    /// Most bytes to take of a datagram
    #[arg(long, value_name = "BYTES", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    max: u16,

    /// End after so many datagrams
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "follow")]
    count: u64,

    /// Go on until Ctrl-C
    #[arg(long)]
    follow: bool,

    /// Show who sent it
    #[arg(long)]
    from: bool,

    /// How to show datagrams
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Where the handout's programs meet.
pub(super) const DEFAULT: &str = "localhost:5005";

pub(super) fn run(args: Args, language: Language) -> anyhow::Result<ExitCode> {
    let name = args.address.as_deref().or(args.listen.as_deref()).unwrap_or(DEFAULT);
    let addresses = address::to_listen(name, language)?;
    signals::runtime()?.block_on(async {
        let mut signals = Signals::listen()?;
        let socket = bind(&addresses, language)?;
        talk::say(format_args!("listening udp={}", socket.local_addr()?));
        let mut receiver = Receiver { args, language, received: 0, truncated: 0 };
        let stop = tokio::select! {
            stop = signals.next() => Some(stop),
            done = receiver.receive(&socket) => done.map(|()| None)?,
        };
        receiver.sum_up(stop);
        Ok(stop.map_or(ExitCode::SUCCESS, signals::exit_code))
    })
}

fn bind(addresses: &[SocketAddr], language: Language) -> anyhow::Result<UdpSocket> {
    let mut failure = None;
    for address in addresses {
        let bound = std::net::UdpSocket::bind(address).and_then(|socket| {
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        });
        match bound {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = Some(address::cannot_listen("UDP", *address, &error, language)),
        }
    }
    Err(failure.unwrap_or_else(|| anyhow::anyhow!("no address to listen on")))
}

struct Receiver {
    args: Args,
    language: Language,
    received: u64,
    truncated: u64,
}

/// A datagram as it came: `bytes` may be less than the `len` that was sent.
struct Datagram<'a> {
    bytes: &'a [u8],
    len: usize,
    from: SocketAddr,
}

impl Receiver {
    async fn receive(&mut self, socket: &UdpSocket) -> anyhow::Result<()> {
        let mut buffer = vec![0; usize::from(self.args.max)];
        while self.args.follow || self.received < self.args.count {
            let datagram = receive_one(socket, &mut buffer).await?;
            self.received += 1;
            self.show(&datagram)?;
        }
        Ok(())
    }

    fn show(&mut self, datagram: &Datagram<'_>) -> anyhow::Result<()> {
        let Datagram { bytes, len, from } = datagram;
        let mut out = std::io::stdout().lock();
        match (self.args.format, self.args.from) {
            (Format::Json, _) => {
                let text = std::str::from_utf8(bytes).ok();
                let object = json!({
                    "from": from, "length": len, "truncated": bytes.len() < *len, "hex": hex(bytes), "text": text,
                });
                writeln!(out, "{object}")?;
            }
            (Format::Text, true) => {
                writeln!(out, "{} {}", repr::bytes(bytes), repr::address(*from))?;
            }
            (Format::Text, false) => writeln!(out, "{}", repr::bytes(bytes))?,
        }
        out.flush()?;
        if bytes.len() < *len {
            self.truncated += 1;
            self.say_truncated(*len, bytes.len());
        }
        Ok(())
    }

    fn say_truncated(&self, len: usize, max: usize) {
        let lost = len - max;
        talk::say(match self.language {
            Language::Es => format!(
                "senda: el datagrama tenía {len} bytes y solo caben {max} (--max): los últimos {lost} se han perdido. \
                 UDP entrega cada datagrama de una vez; lo que no cabe no queda para el siguiente recv"
            ),
            Language::En => format!(
                "senda: the datagram had {len} bytes and only {max} fit (--max): the last {lost} are lost. UDP hands over \
                 each datagram at once; what does not fit is not kept for the next recv"
            ),
        });
    }

    /// One datagram needs no counts.
    fn sum_up(&self, stop: Option<Stop>) {
        if stop.is_none() && self.args.count == 1 {
            return;
        }
        let Self { received, truncated, .. } = self;
        talk::say(match self.language {
            Language::Es => format!("datagramas: {received} (cortados: {truncated})"),
            Language::En => format!("datagrams: {received} (cut short: {truncated})"),
        });
    }
}

async fn receive_one<'a>(socket: &UdpSocket, buffer: &'a mut [u8]) -> anyhow::Result<Datagram<'a>> {
    // With TRUNC the kernel says how long the datagram was, however much of it fits (recvmsg(2)).
    let (taken, len, from) = socket
        .async_io(Interest::READABLE, || {
            Ok(rustix::net::recvfrom(socket, &mut *buffer, RecvFlags::TRUNC)?)
        })
        .await?;
    let from = from.and_then(|from| SocketAddr::try_from(from).ok());
    let from = from.ok_or_else(|| anyhow::anyhow!("a datagram without a sender's address"))?;
    Ok(Datagram { bytes: &buffer[..taken], len, from })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
