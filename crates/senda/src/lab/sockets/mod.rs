//! `senda lab sockets`: what `ss`, `netstat -an` and `lsof -i` show, for learning.

pub(super) mod diag; // what the kernel says
mod filter; // which sockets to show
mod owner; // whose they are
mod state; // the states of TCP, by name
mod table; // one line a socket
mod timeline; // what changed between two looks
mod watch; // --watch

use std::process::ExitCode;
use std::time::Duration;

use super::language::Language;
use crate::UsageError;
use crate::text::Format;
use filter::Filter;

/// Show the sockets of this machine and their states
#[derive(clap::Args)]
#[command(after_help = "\
It asks the kernel (netlink sock_diag), as ss does. Addresses and ports stay numbers. Without --tcp and --udp it shows
both. Receive queue: bytes that came and that the program has not read. Send queue: bytes that the peer has not
acknowledged. Of a listener: connections that wait for accept(), and how many may. tcp6 with an IPv4 address is an IPv6
socket that talks IPv4. A - for the process: nobody has it (TIME-WAIT, or nobody called accept() yet), or it is another
user's, which root may see.
--watch looks every few milliseconds and prints what changed, with the seconds since it began. A state that begins and
ends between two looks is not seen: \"A → … → B\" says that there was one, and the last line how long the longest pause
between two looks was. Sockets that came and went in between are told of by the kernel, without their states.
States: by RFC 9293, as ss writes them, or in Spanish: LISTEN, ESTAB, SYN-RECV, FIN-WAIT-2, TIEMPO_ESPERA ...
Examples:
  senda lab sockets --listening
  senda lab sockets --port 65432 --explain
  senda lab sockets --tcp --state ESTABLISHED,TIME-WAIT --process python
  senda lab sockets --watch --port 65432 --lang es")]
pub(crate) struct Args {
    /// TCP sockets
    #[arg(long)]
    tcp: bool,

    /// UDP sockets
    #[arg(long)]
    udp: bool,

    /// Only those with this port, local or peer's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,

    /// Only those of this process: its number, or how its name begins
    #[arg(long, value_name = "NAME|PID")]
    process: Option<String>,

    /// Only those in one of these states
    #[arg(long, value_name = "NAME", value_delimiter = ',', num_args = 1..)]
    state: Vec<String>,

    /// Only those that wait for somebody: TCP in LISTEN, UDP without a peer
    #[arg(long)]
    listening: bool,

    /// Also TCP sockets with a port that neither listen nor connect: CLOSED (since Linux 6.8; ss leaves them out)
    #[arg(long)]
    bound: bool,

    /// Say what each state means, and what comes next
    #[arg(long)]
    explain: bool,

    /// Show what changes, as it happens, until Ctrl-C
    #[arg(long)]
    watch: bool,

    /// Time between two looks
    #[arg(long, requires = "watch", default_value = "5ms", value_name = "TIME", value_parser = senda_sim::parse_duration)]
    every: Duration,

    /// End after this time
    #[arg(long, requires = "watch", value_name = "TIME", value_parser = senda_sim::parse_duration)]
    duration: Option<Duration>,

    /// How to show them
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Looks at the kernel's tables cost time of its own; faster ones would see no more.
const EVERY_MIN: Duration = Duration::from_millis(1);

pub(super) fn run(args: Args, language: Language) -> anyhow::Result<ExitCode> {
    let filter = Filter::new(&args, language)?;
    if args.watch {
        if args.every < EVERY_MIN {
            let text = language.choose(
                "--every: di al menos 1ms; mirar más a menudo no enseña más",
                "--every: say at least 1ms; looking more often shows no more",
            );
            return Err(UsageError(text.into()).into());
        }
        return watch::run(&args, &filter, language);
    }
    let sockets = diag::sockets(filter.query)?;
    table::write(&args, &filter, sockets, language)?;
    Ok(ExitCode::SUCCESS)
}
