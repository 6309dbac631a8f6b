//! `senda lab udp-send`: one datagram, and what the kernel says of it.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::language::Language;
use super::signals::{self, Signals};
use super::{address, characters, message, repr, talk, udp_recv};

/// Send a datagram
#[derive(clap::Args)]
#[command(after_help = "\
It binds to port 0, as the lab's program does, and says on standard error which port the system chose:
bound udp=127.0.0.1:40123. Standard output stays empty but for --hex and --wait.
UDP says nothing of what becomes of a datagram. Only where nobody has the port, and the other machine is so kind as to say
so (ICMP port unreachable), does the kernel tell, here within 100 ms: exit code 1. The lab's program is never told, since it
has not connected its socket. Silence is not arrival: with --wait the answer is the proof.
Examples:
  senda lab udp-send
  senda lab udp-send 'año' --hex
  senda lab udp-send hello --to 127.0.0.1:65432 --wait")]
pub(crate) struct Args {
    /// What to send, in UTF-8
    #[arg(default_value = "Hola, mundo!")]
    message: String,

    /// Whom to send it to
    #[arg(long, value_name = "ADDRESS", default_value = udp_recv::DEFAULT)]
    to: String,

    /// Repeat or cut the message to so many bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=message::DATAGRAM_MAX as i64))]
    size: Option<u32>,

    /// Show how each character of the message becomes bytes
    #[arg(long)]
    hex: bool,

    /// Wait for one answer, so long, and show it
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "3s", value_parser = senda_sim::parse_duration)]
    wait: Option<Duration>,
}

/// How long to listen for "nobody has that port". On one's own machine it is there at once.
const REFUSAL_TIME: Duration = Duration::from_millis(100);

pub(super) fn run(args: Args, language: Language) -> anyhow::Result<ExitCode> {
    let bytes = message::of_size(&args.message, args.size)?;
    message::check_datagram(bytes.len(), language)?;
    let target = address::to_reach(&args.to, language)?[0]; // It has at least one.
    if args.hex {
        io::stdout().write_all(characters::table(&args.message).as_bytes())?;
    }
    signals::runtime()?.block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            stop = signals.next() => Ok(signals::exit_code(stop)),
            done = send(&args, &bytes, target, language) => done,
        }
    })
}

async fn send(
    args: &Args,
    bytes: &[u8],
    target: SocketAddr,
    language: Language,
) -> anyhow::Result<ExitCode> {
    let socket = address::connect_udp(target).await?;
    talk::say(format_args!("bound udp={}", socket.local_addr()?));
    socket.send(bytes).await.map_err(|error| cannot_send(bytes, target, &error, language))?;
    let answer = tokio::time::timeout(args.wait.unwrap_or(REFUSAL_TIME), async {
        if args.wait.is_some() { receive(&socket).await } else { refusal(&socket).await }
    });
    match (answer.await, args.wait) {
        (Ok(Ok(answer)), Some(_)) => {
            writeln!(io::stdout(), "{}", repr::bytes(&answer))?;
            Ok(ExitCode::SUCCESS)
        }
        (Ok(Err(error)), _) if error.kind() == ErrorKind::ConnectionRefused => {
            Err(refused(bytes.len(), target, language))
        }
        (Ok(Err(error)), _) => Err(cannot_send(bytes, target, &error, language)),
        (Err(_), Some(time)) => Err(silence(target, time, language)),
        (Ok(Ok(_)) | Err(_), None) => Ok(ExitCode::SUCCESS),
    }
}

async fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; message::DATAGRAM_MAX + 1];
    let len = socket.recv(&mut buffer).await?;
    buffer.truncate(len);
    Ok(buffer)
}

/// Returns only with an error.
async fn refusal(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    loop {
        // Both: an error may be there that made no noise.
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        socket.ready(Interest::ERROR).await?;
        let taken = socket.try_io(Interest::ERROR, || {
            Err::<(), _>(socket.take_error()?.unwrap_or_else(|| ErrorKind::WouldBlock.into()))
        });
        match taken {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
}

fn cannot_send(
    bytes: &[u8],
    target: SocketAddr,
    error: &io::Error,
    language: Language,
) -> anyhow::Error {
    let len = bytes.len();
    match language {
        Language::Es => anyhow::anyhow!("no se pueden enviar {len} bytes a {target}: {error}"),
        Language::En => anyhow::anyhow!("can't send {len} bytes to {target}: {error}"),
    }
}

fn refused(len: usize, target: SocketAddr, language: Language) -> anyhow::Error {
    match language {
        Language::Es => anyhow::anyhow!(
            "el datagrama de {len} bytes salió, pero en {target} no escucha nadie: lo dice un ICMP «puerto inalcanzable», que \
             el núcleo entrega como ECONNREFUSED. No cuentes con ese aviso: UDP no tiene conexión que rechazar, un cortafuegos \
             se lo traga y a un socket sin connect() no le llega. Arranca antes el receptor: senda lab udp-recv"
        ),
        Language::En => anyhow::anyhow!(
            "the datagram of {len} bytes was sent, but nobody listens at {target}: an ICMP \"port unreachable\" says so, which \
             the kernel hands over as ECONNREFUSED. Don't count on it: UDP has no connection to refuse, a firewall swallows \
             the message, and a socket without connect() never gets it. Start the receiver first: senda lab udp-recv"
        ),
    }
}

fn silence(target: SocketAddr, time: Duration, language: Language) -> anyhow::Error {
    match language {
        Language::Es => anyhow::anyhow!(
            "ninguna respuesta de {target} en {time:?}: se perdió la pregunta, o la respuesta, o nadie contesta allí; UDP no \
             dice cuál"
        ),
        Language::En => anyhow::anyhow!(
            "no answer from {target} in {time:?}: the question was lost, or the answer, or nobody answers there; UDP does not \
             tell which"
        ),
    }
}
