//! `--once`: the handout's servidor_echo.py to the letter. On standard output there is one line, in its own language.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use super::super::language::Language;
use super::super::repr;
use super::super::signals::{self, Signals};
use super::super::talk;
use super::tcp::{self, End};

/// Accepts one client, echoes until it closes, and ends. As there, further clients wait in the kernel's queue meanwhile.
pub(super) async fn serve(
    addresses: &[SocketAddr],
    language: Language,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let listener = tcp::bind(addresses, language).await?;
    talk::say(format_args!("listening tcp={}", listener.local_addr()?));
    let (stream, peer) = tokio::select! {
        stop = signals.next() => return Ok(signals::exit_code(stop)),
        accepted = listener.accept() => accepted?,
    };
    let mut out = std::io::stdout();
    // Python's print puts a space between its arguments, and the first one ends with another.
    writeln!(out, "Conectado  {}", repr::address(peer))?;
    out.flush()?;
    let life = tokio::select! {
        stop = signals.next() => return Ok(signals::exit_code(stop)),
        life = tcp::echo(stream) => life,
    };
    match life.end {
        End::Closed => Ok(ExitCode::SUCCESS),
        End::Reset | End::Failed(_) => {
            anyhow::bail!("{}: {}", repr::address(peer), life.end.words(language))
        }
    }
}
