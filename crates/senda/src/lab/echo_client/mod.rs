//! `senda lab echo-client`: one message as the handout's cliente_echo.py sends it, or a ping of many.

mod payload; // what goes out, and whether that came back
mod ping; // many messages, on a schedule
mod single; // one message
mod summary; // what a ping found, in words
mod tally; // what became of each message
mod wire; // a socket that never makes anybody wait

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use super::language::Language;
use super::signals;
use super::{address, characters, echo_server, message};
use crate::UsageError;
use crate::text::Format;
use payload::Payload;
use ping::Schedule;

/// Send a message to an echo server and show what comes back
#[derive(clap::Args)]
#[command(after_help = "\
It prints what the lab's cliente_echo.py prints: Received  b'Hola, mundo' (Recibido in Spanish). That program takes the first
recv(1024) for the answer. TCP keeps no message boundaries, so this one reads until as many bytes are back as were sent.
--count, --interval, --size, --pipeline or --format json make a ping of it. With --interval each message leaves when it is
due, until Ctrl-C (exit code 130) unless --count says how many, and up to 1024 may be under way unless --pipeline says
fewer; 'held back' counts those that left after they were due, since too many were under way. Without --interval 10 messages
or --count of them are sent, the next one as soon as fewer than --pipeline are under way. Times are from sending to the last
byte of the answer.
A message that has no answer after --timeout is lost; should one come later, it is late instead. Over UDP each datagram begins
with 12 bytes of its own, a mark of this run and its number, which tell lost, late, doubled and overtaken ones apart; over TCP
messages of --size 12 or more do. After the first 100 answers, answers are only counted, unless they are 100 ms apart.
Examples:
  senda lab echo-client 'Hola, mundo'
  senda lab echo-client 'año' --hex --to [::1]:7000
  senda lab echo-client --udp --interval 200ms
  senda lab echo-client --count 100000 --pipeline 64 --size 100 --quiet --format json")]
pub(crate) struct Args {
    /// What to send, in UTF-8
    #[arg(default_value = "Hola, mundo")]
    message: String,

    /// Server to send it to
    #[arg(long, value_name = "ADDRESS", default_value = echo_server::DEFAULT)]
    to: String,

    /// Send datagrams instead of connecting
    #[arg(long)]
    udp: bool,

    /// Ping: repeat or cut the message to so many bytes; over UDP the 12 bytes of its own are among them
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=SIZE_MAX))]
    size: Option<u32>,

    /// Ping: send so many messages [default: 10, or without end with --interval]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Ping: send one message each so often, such as 200ms
    #[arg(long, value_name = "TIME", value_parser = senda_sim::parse_duration)]
    interval: Option<Duration>,

    /// Ping: have so many messages under way at once [default: 1, or 1024 with --interval]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pipeline: Option<u32>,

    /// How long to wait for a connection, and for each answer
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = senda_sim::parse_duration)]
    timeout: Duration,

    /// Ping: show the summary alone
    #[arg(long)]
    quiet: bool,

    /// Show how each character of the message becomes bytes
    #[arg(long)]
    hex: bool,

    /// Ping: how to show the summary; json shows no answers
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Longest message over TCP: it is kept whole until it is back.
const SIZE_MAX: i64 = 16 << 20;
/// Messages of a ping that has no schedule: a flood without end is not what somebody forgot to limit.
const COUNT: u64 = 10;
/// Messages under way with --interval: an answer that is slow should not hold back the next message.
const OPEN_LOOP: u32 = 1_024;

pub(super) fn run(args: Args, language: Language) -> anyhow::Result<ExitCode> {
    args.check(language)?;
    let message = message::of_size(&args.message, args.size)?;
    let payload = args.is_ping().then(|| args.payload(message.clone())).transpose()?;
    if args.udp {
        let len = payload.as_ref().map_or(message.len(), Payload::len);
        message::check_datagram(len, language)?;
    }
    let targets = address::to_reach(&args.to, language)?;
    if args.hex {
        std::io::stdout().write_all(characters::table(&args.message).as_bytes())?;
    }
    signals::runtime()?.block_on(async {
        match payload {
            Some(payload) => ping::run(&args, payload, &targets, language).await,
            None => single::run(&args, message, &targets, language).await,
        }
    })
}

impl Args {
    fn is_ping(&self) -> bool {
        self.count.is_some()
            || self.interval.is_some()
            || self.size.is_some()
            || self.pipeline.is_some()
            || self.format == Format::Json
    }

    fn check(&self, language: Language) -> Result<(), UsageError> {
        if self.timeout.is_zero() {
            return Err(UsageError("--timeout 0s would wait for nothing".into()));
        }
        if self.interval.is_some_and(|interval| interval.is_zero()) {
            return Err(UsageError(
                "--interval 0s: leave it out, and the next message leaves when an answer came"
                    .into(),
            ));
        }
        let empty = self.size.map_or(self.message.is_empty(), |size| size == 0);
        if empty && !self.udp {
            return Err(UsageError(
                language
                    .choose(
                        "TCP es un flujo de bytes y no conoce mensajes vacíos: no volvería nada. UDP sí: --udp",
                        "TCP is a stream of bytes and knows no empty messages: nothing would come back. UDP does: --udp",
                    )
                    .into(),
            ));
        }
        Ok(())
    }

    fn payload(&self, filling: Vec<u8>) -> Result<Payload, UsageError> {
        let (exact, mark) = (self.size.is_some(), rand::random());
        if self.udp {
            return Payload::numbered(filling, exact, mark);
        }
        Ok(Payload::of_stream(filling, exact, mark))
    }

    fn schedule(&self) -> Schedule {
        let default = self.interval.is_none().then_some(COUNT);
        Schedule::new(self.count.or(default), self.interval)
    }

    fn under_way_max(&self) -> usize {
        let default = if self.interval.is_some() { OPEN_LOOP } else { 1 };
        self.pipeline.unwrap_or(default).try_into().unwrap_or(usize::MAX)
    }
}

/// Why a connection could not be had, and what to do about it.
fn cannot_connect(target: SocketAddr, error: &std::io::Error, language: Language) -> anyhow::Error {
    if error.kind() == std::io::ErrorKind::ConnectionRefused {
        return nobody_listens(target, false, language);
    }
    let cannot = language.choose("no se puede conectar con", "can't connect to");
    anyhow::anyhow!("{cannot} {target}: {error}")
}

/// ECONNREFUSED. Over UDP that is an ICMP message about an earlier datagram.
fn nobody_listens(target: SocketAddr, is_udp: bool, language: Language) -> anyhow::Error {
    let (why, start) = if is_udp {
        let why = language.choose(
            "un ICMP «puerto inalcanzable» dice que allí no escucha nadie",
            "an ICMP \"port unreachable\" says that nobody listens there",
        );
        (why, "senda lab echo-server --udp")
    } else {
        let why = language.choose(
            "conexión rechazada, allí no escucha nadie",
            "connection refused, nobody listens there",
        );
        (why, "senda lab echo-server")
    };
    let first = language.choose("Arranca antes un servidor", "Start a server first");
    anyhow::anyhow!("{target}: {why}. {first}: {start}")
}
