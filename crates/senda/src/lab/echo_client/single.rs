//! One message, as the handout's cliente_echo.py sends it.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::net::TcpStream;

use super::super::language::Language;
use super::super::signals::{self, Signals};
use super::super::{address, repr};
use super::wire::Wire;
use super::{Args, cannot_connect, nobody_listens};

pub(super) async fn run(
    args: &Args,
    message: Vec<u8>,
    targets: &[SocketAddr],
    language: Language,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        stop = signals.next() => Ok(signals::exit_code(stop)),
        done = exchange(args, message, targets, language) => done.map(|()| ExitCode::SUCCESS),
    }
}

async fn exchange(
    args: &Args,
    message: Vec<u8>,
    targets: &[SocketAddr],
    language: Language,
) -> anyhow::Result<()> {
    let mut wire = connect(args, targets, message.len(), language).await?;
    let target = wire.peer()?;
    wire.put(message.clone());
    let answer = tokio::time::timeout(args.timeout, async {
        loop {
            wire.flush()?;
            if let Some(answer) = wire.receive()? {
                return Ok::<_, std::io::Error>(answer);
            }
            wire.ready().await?;
        }
    });
    let answer = match answer.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            return Err(nobody_listens(target, true, language));
        }
        Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(closed_early(target, wire.unfinished(), message.len(), language));
        }
        Ok(Err(error)) => return Err(anyhow::Error::new(error).context(target)),
        Err(_) => return Err(no_answer(args, target, &wire, message.len(), language)),
    };
    let received = language.choose("Recibido", "Received");
    let mut out = std::io::stdout();
    // Python's print puts a space between its arguments, and the first one ends with another.
    writeln!(out, "{received}  {}", repr::bytes(&answer))?;
    out.flush()?;
    if answer != message {
        let other = language.choose(
            "eso no es lo que se envió: allí no hay un servidor de eco",
            "that is not what was sent: there is no echo server",
        );
        anyhow::bail!("{target}: {other}");
    }
    surplus(target, &wire, language).map_or(Ok(()), Err)
}

/// Connects to the first address that answers.
pub(super) async fn connect(
    args: &Args,
    targets: &[SocketAddr],
    message_len: usize,
    language: Language,
) -> anyhow::Result<Wire> {
    let mut failure = None;
    for target in targets {
        if args.udp {
            return Ok(Wire::udp(address::connect_udp(*target).await?)); // UDP can't tell which one answers.
        }
        match tokio::time::timeout(args.timeout, TcpStream::connect(target)).await {
            Ok(Ok(stream)) => return Ok(Wire::tcp(stream, message_len)),
            Ok(Err(error)) => failure = Some(cannot_connect(*target, &error, language)),
            Err(_) => {
                failure = Some(cannot_connect(*target, &ErrorKind::TimedOut.into(), language));
            }
        }
    }
    Err(failure.unwrap_or_else(|| anyhow::anyhow!("no address to connect to")))
}

/// Over TCP: the end of the stream before the end of the answer.
pub(super) fn closed_early(
    target: SocketAddr,
    received: usize,
    expected: usize,
    language: Language,
) -> anyhow::Error {
    match language {
        Language::Es => {
            anyhow::anyhow!("{target} cerró la conexión tras {received} de {expected} bytes")
        }
        Language::En => {
            anyhow::anyhow!("{target} closed the connection after {received} of {expected} bytes")
        }
    }
}

/// Bytes that have come beyond what was sent. What would come later is not waited for.
pub(super) fn surplus(
    target: SocketAddr,
    wire: &Wire,
    language: Language,
) -> Option<anyhow::Error> {
    let more = wire.unfinished();
    (more > 0).then(|| match language {
        Language::Es => anyhow::anyhow!(
            "{target} devolvió {more} bytes más de los que se enviaron: allí no hay un servidor de eco"
        ),
        Language::En => anyhow::anyhow!(
            "{target} returned {more} bytes more than were sent: there is no echo server"
        ),
    })
}

fn no_answer(
    args: &Args,
    target: SocketAddr,
    wire: &Wire,
    expected: usize,
    language: Language,
) -> anyhow::Error {
    let (time, received) = (args.timeout, wire.unfinished());
    match (language, args.udp) {
        (Language::Es, true) => anyhow::anyhow!(
            "ninguna respuesta de {target} en {time:?}: se perdió la pregunta, o la respuesta, o nadie contesta allí; UDP no \
             dice cuál"
        ),
        (Language::En, true) => anyhow::anyhow!(
            "no answer from {target} in {time:?}: the question was lost, or the answer, or nobody answers there; UDP does not \
             tell which"
        ),
        (Language::Es, false) => {
            anyhow::anyhow!("{target} devolvió {received} de {expected} bytes en {time:?}")
        }
        (Language::En, false) => {
            anyhow::anyhow!("{target} returned {received} of {expected} bytes in {time:?}")
        }
    }
}
