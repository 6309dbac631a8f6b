//! `senda proxy`: stands between devices and a collector, makes the network bad on a seed, and shows what goes over it.

mod counts; // what was carried, lost, doubled
mod output; // a line for each message, printed by a thread of its own
mod tcp; // connections: delay, rate, cut
mod udp; // a flow for each client address

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use senda_session::Instant;
use senda_sim::faults::{Conditions, Delay, Probability, Rate, Reorder};
use tokio::net::{TcpListener, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};

use crate::{UsageError, serve, signal};
use counts::Counts;
use output::Output;

/// Forward to a collector over a network as bad as you like, and show the traffic
#[derive(clap::Args)]
#[command(after_help = "\
Without --tcp and --udp it forwards both, from the same port. The first line on standard output says where it listens
and which seed decides; the last ones, at Ctrl-C or SIGTERM, count what happened.
Each UDP client has a flow of its own to the collector, as behind a NAT. Its number, the seed and the direction decide
what happens to its first, second, third datagram; a full queue aside, neither time nor other clients do.
A TCP stream loses nothing, since its bytes would be sent again below the programs: --loss, --dup and --reorder are for
datagrams. What a program can feel of a bad network over TCP is here: --delay, --rate, and --cut, which resets.
--delay and --rate hold for each client by itself, each way; a rate counts payload. Times are kept to the millisecond.
A line is one message: -> to the collector, <- to the device, -x and x- for what is lost, #7 for the seventh datagram
(over TCP: message), +50ms for its delay. With --format json each is an object. Lines are left out, and counted, when
nobody reads them in time.
Examples:
  senda proxy --listen 127.0.0.1:7463 --to 127.0.0.1:7363 --udp --loss 20% --delay 50ms±20ms --seed 7
  senda proxy --listen 127.0.0.1:7463 --tcp --rate 100kbit --cut 10s+-5s --quiet
  senda simulate --udp=127.0.0.1:7463 --devices 10 --count 100")]
pub(crate) struct Args {
    /// Where devices find it; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS")]
    listen: String,

    /// Collector to forward to
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7363")]
    to: String,

    /// Forward TCP connections
    #[arg(long)]
    tcp: bool,

    /// Forward UDP datagrams
    #[arg(long)]
    udp: bool,

    /// UDP: share of datagrams that are lost, each way, such as 20%
    #[arg(long, default_value = "0%", value_name = "P")]
    loss: Probability,

    /// UDP: share of datagrams that arrive twice
    #[arg(long, default_value = "0%", value_name = "P")]
    dup: Probability,

    /// UDP: share of datagrams that are held back, such as 10%, or 10%+80ms to say for how long
    #[arg(long, default_value = "0%", value_name = "P")]
    reorder: Reorder,

    /// How long everything takes, each way, such as 50ms±20ms (or 50ms+-20ms)
    #[arg(long, default_value = "0ms", value_name = "TIME")]
    delay: Delay,

    /// What the network carries, such as 100kbit; a datagram that would wait for more than 1 s is lost, a stream waits
    #[arg(long, value_name = "BITS")]
    rate: Option<Rate>,

    /// TCP: reset each connection when it is so old, such as 10s±5s
    #[arg(long, value_name = "TIME")]
    cut: Option<Delay>,

    /// Decides every fault [default: drawn, and printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// UDP: forget a client after so long without a datagram either way
    #[arg(long, value_name = "TIME", default_value = "2min", value_parser = senda_sim::parse_duration)]
    idle: Duration,

    /// Most UDP clients and most TCP connections at a time; datagrams of further clients are dropped, connections wait
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    clients: u32,

    /// Listen beyond loopback: whoever gets there gets to the collector
    #[arg(long)]
    open_to_network: bool,

    /// Show no traffic, only where it listens and the counts in the end
    #[arg(long)]
    quiet: bool,

    /// How to show traffic and counts
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Format {
    /// One line a message
    Text,
    /// One JSON object a line
    Json,
}

/// Bytes that may be held at a time: datagrams under way, and messages that wait to be printed.
const HELD_MAX: usize = 256 << 20;
/// Ports that are tried until one is free for both transports.
const PORTS_TRIED: usize = 64;

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    serve::start_logging();
    let (tcp, udp) = (args.tcp || !args.udp, args.udp || !args.tcp);
    args.check(tcp, udp)?;
    let listen = resolve("--listen", &args.listen)?;
    if !listen.ip().is_loopback() && !args.open_to_network {
        return Err(UsageError(format!(
            "{listen} is beyond loopback: whoever gets there gets to the collector. Listen on 127.0.0.1 or [::1], or say \
             that this is meant (--open-to-network)"
        ))
        .into());
    }
    let (output, printer) = Output::start(args.format, args.quiet)?;
    let proxy = Arc::new(Proxy {
        target: resolve("--to", &args.to)?,
        conditions: args.conditions(),
        cut: args.cut,
        seed: args.seed.unwrap_or_else(|| rand::random::<u32>().into()),
        idle: args.idle,
        clients_max: args.clients.try_into().unwrap_or(usize::MAX),
        start: tokio::time::Instant::now(),
        held: Arc::default(),
        counts: Mutex::default(),
        output,
    });
    // One thread: it waits far more than it works, and the order of events is that of the sockets.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start a runtime")?;
    let forwarded = runtime.block_on(forward(&proxy, listen, tcp, udp, args.format));
    drop(runtime); // With all its tasks: nothing is counted from now on.
    forwarded?;
    signal::exit_on_the_next_signal()?; // Should nobody read what is left to print.
    proxy.output.finish(*proxy.counts(), tcp, udp);
    printer.join().unwrap_or(Ok(())).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn check(&self, tcp: bool, udp: bool) -> Result<(), UsageError> {
        let for_datagrams = [self.loss, self.dup, self.reorder.probability];
        if !udp && for_datagrams.iter().any(|probability| probability.get() > 0.0) {
            return Err(UsageError(
                "--loss, --dup and --reorder damage datagrams, and a TCP stream loses none: add --udp, or say --cut".into(),
            ));
        }
        if self.idle.is_zero() {
            return Err(UsageError("--idle 0s would forget every client before its answer".into()));
        }
        if !tcp && self.cut.is_some() {
            return Err(UsageError("--cut resets TCP connections: add --tcp".into()));
        }
        Ok(())
    }

    fn conditions(&self) -> Conditions {
        let Self { loss, dup, reorder, delay, rate, .. } = *self;
        Conditions { loss, dup, reorder, delay, rate }
    }
}

/// What every task of the proxy knows.
struct Proxy {
    target: SocketAddr,
    conditions: Conditions,
    cut: Option<Delay>,
    seed: u64,
    idle: Duration,
    clients_max: usize,
    start: tokio::time::Instant,
    /// Bytes in [`Held`] values.
    held: Arc<AtomicUsize>,
    counts: Mutex<Counts>,
    output: Output,
}

impl Proxy {
    fn now(&self) -> Instant {
        Instant(0) + self.start.elapsed()
    }

    /// Sleeps until a moment; for ever if there is none.
    async fn sleep_until(&self, at: Option<Instant>) {
        match at {
            Some(at) => {
                tokio::time::sleep_until(self.start + Duration::from_micros(at.0)).await;
            }
            None => std::future::pending().await,
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps bytes, unless [`HELD_MAX`] are kept already.
    fn hold(&self, bytes: &[u8]) -> Option<Arc<Held>> {
        let before = self.held.fetch_add(bytes.len(), Ordering::Relaxed);
        let held = Held { bytes: bytes.into(), sum: Arc::clone(&self.held) };
        (before + bytes.len() <= HELD_MAX).then(|| Arc::new(held))
    }
}

/// Bytes that count as long as anybody holds them.
#[derive(Debug)]
struct Held {
    bytes: Box<[u8]>,
    sum: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// Forwards until a signal comes or nobody reads the output any more.
async fn forward(
    proxy: &Arc<Proxy>,
    listen: SocketAddr,
    tcp: bool,
    udp: bool,
    format: Format,
) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let (tcp, udp) = bind(listen, tcp, udp).await?;
    announce(proxy, tcp.as_ref(), udp.as_ref(), format)?;
    if let Some(listener) = tcp {
        tokio::spawn(tcp::serve(Arc::clone(proxy), listener));
    }
    if let Some(socket) = udp {
        tokio::spawn(udp::serve(Arc::clone(proxy), socket));
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = proxy.output.closed() => {}
    }
    Ok(())
}

/// Binds what is wanted, both transports on one port.
async fn bind(
    listen: SocketAddr,
    tcp: bool,
    udp: bool,
) -> anyhow::Result<(Option<TcpListener>, Option<UdpSocket>)> {
    for tried in 1.. {
        let mut address = listen;
        let mut listener = None;
        if tcp {
            let bound = TcpListener::bind(address).await;
            let bound = bound.with_context(|| format!("listen on {address} (TCP)"))?;
            address = bound.local_addr()?;
            listener = Some(bound);
        }
        if !udp {
            return Ok((listener, None));
        }
        match udp::bind(address) {
            Ok(socket) => return Ok((listener, Some(socket))),
            // The system chose a port that is free for TCP alone.
            Err(error)
                if error.kind() == ErrorKind::AddrInUse
                    && listen.port() == 0
                    && tried < PORTS_TRIED => {}
            Err(error) => return Err(error).context(format!("listen on {address} (UDP)")),
        }
    }
    unreachable!("the last try returns")
}

/// One line that a script can read.
fn announce(
    proxy: &Proxy,
    tcp: Option<&TcpListener>,
    udp: Option<&UdpSocket>,
    format: Format,
) -> anyhow::Result<()> {
    let tcp = tcp.map(TcpListener::local_addr).transpose()?;
    let udp = udp.map(UdpSocket::local_addr).transpose()?;
    let (to, seed) = (proxy.target, proxy.seed);
    let line = match format {
        Format::Json => {
            let listening = serde_json::json!({ "tcp": tcp, "udp": udp });
            serde_json::json!({ "listening": listening, "to": to, "seed": seed }).to_string()
        }
        Format::Text => {
            let bound = [("tcp", tcp), ("udp", udp)];
            let bound = bound.into_iter().filter_map(|(name, at)| Some(format!(" {name}={}", at?)));
            format!("listening{} to={to} seed={seed}", bound.collect::<String>())
        }
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// The first address that `name` stands for.
fn resolve(option: &str, name: &str) -> Result<SocketAddr, UsageError> {
    let found = name.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.ok_or_else(|| {
        UsageError(format!(
            "{option} {name:?}: say HOST:PORT, such as 127.0.0.1:7463 or [::1]:7463"
        ))
    })
}
