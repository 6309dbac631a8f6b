//! `senda lab echo-server`: answers everybody with what they sent.

mod counts; // what was answered, and what was not
mod events; // what happens, in words
mod once; // as the handout's servidor_echo.py
mod tcp; // connections
mod udp; // datagrams

use std::process::ExitCode;

use super::address;
use super::language::Language;
use super::printer::Printer;
use super::signals::{self, Signals};
use crate::serve;
use crate::signal::Stop;
use crate::text::Format;
use counts::Counts;
use events::Event;

/// Answer everybody with what they sent
#[derive(clap::Args)]
#[command(after_help = "\
The first line on standard output says where it listens. Then a line when a client connects and one when it is gone, with
bytes, time and the reason; over UDP, which has no connections, a line at the first datagram of each client. The counts
come last, at Ctrl-C (exit code 130) or SIGTERM (0).
Each client has a buffer of its own, 64 KiB, and is read only while there is room in it: one that sends and never reads
holds up itself and nobody else. After a client's end of input it still gets all that it is owed.
Over UDP the answer leaves from the very address that was asked, on a machine with many, too. Two UDP echo servers that
are pointed at each other answer for ever, and one datagram with a forged sender is enough for it. So this one does not
answer whoever sends from its own port number, from a port below 1024, or to a broadcast or multicast address; such
datagrams are counted. Whoever reaches this machine can still have answers sent to a forged address, though no longer ones
than what they sent: don't listen beyond loopback (:65432 is every IPv4 address) in a network that you don't trust.
--once is the lab's servidor_echo.py to the letter: one client, its line in Spanish and nothing else on standard output.
Examples:
  senda lab echo-server
  senda lab echo-server [::1]:7000 --udp
  senda lab echo-server --listen 127.0.0.1:0 --format json")]
pub(crate) struct Args {
    /// Where to listen; port 0 lets the system choose [default: 127.0.0.1:65432]
    #[arg(value_name = "ADDRESS", conflicts_with = "listen")]
    address: Option<String>,

    /// The same as an option
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,

    /// Echo datagrams instead of connections
    #[arg(long)]
    udp: bool,

    /// Serve one connection and end, as the lab's servidor_echo.py does
    #[arg(long, conflicts_with_all = ["udp", "format"])]
    once: bool,

    /// Most connections at a time; a client too many is turned away
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=65_536), conflicts_with_all = ["udp", "once"])]
    connections: u32,

    /// How to show what happens
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Where the handout's server listens.
pub(super) const DEFAULT: &str = "127.0.0.1:65432";

pub(super) fn run(args: Args, language: Language) -> anyhow::Result<ExitCode> {
    let name = args.address.as_deref().or(args.listen.as_deref()).unwrap_or(DEFAULT);
    let addresses = address::to_listen(name, language)?;
    let runtime = signals::runtime()?;
    if args.once {
        return runtime.block_on(once::serve(&addresses, language));
    }
    let mut log = Log { printer: Printer::start()?, format: args.format, language };
    let served = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        if args.udp {
            udp::serve(udp::Socket::bind(&addresses, language)?, &mut signals, &mut log).await
        } else {
            serve::raise_descriptor_limit();
            let most = args.connections.try_into().unwrap_or(usize::MAX);
            tcp::serve(tcp::bind(&addresses, language).await?, most, &mut signals, &mut log).await
        }
    });
    drop(runtime); // With all connections.
    let (counts, stop) = served?;
    log.finish(&counts)?;
    Ok(stop.map_or(ExitCode::SUCCESS, signals::exit_code))
}

/// What was counted, and which signal ended it; none if nobody reads the output any more.
type Served = (Counts, Option<Stop>);

/// Tells what happens.
struct Log {
    printer: Printer,
    format: Format,
    language: Language,
}

impl Log {
    fn event(&mut self, event: &Event) {
        self.printer.line(match self.format {
            Format::Text => event.text(self.language),
            Format::Json => event.json().to_string(),
        });
    }

    /// Returns when nobody reads it any more.
    async fn closed(&self) {
        self.printer.closed().await;
    }

    fn finish(self, counts: &Counts) -> anyhow::Result<()> {
        let left_out = self.printer.left_out();
        let last = match self.format {
            Format::Text => counts.text(left_out, self.language),
            Format::Json => counts.json(left_out).to_string(),
        };
        self.printer.finish(last)
    }
}
