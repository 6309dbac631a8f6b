//! HOST:PORT, and which address of a host is meant.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use anyhow::Context;
use tokio::net::UdpSocket;

use super::language::Language;
use crate::UsageError;

/// Where to listen. Without a host it is every IPv4 address of this machine, as in Python's `('', PORT)`.
pub(super) fn to_listen(text: &str, language: Language) -> anyhow::Result<Vec<SocketAddr>> {
    let (host, port) = split(text, language)?;
    if host.is_empty() {
        return Ok(vec![(Ipv4Addr::UNSPECIFIED, port).into()]);
    }
    look_up(host, port, language)
}

/// Where to send.
pub(super) fn to_reach(text: &str, language: Language) -> anyhow::Result<Vec<SocketAddr>> {
    let (host, port) = split(text, language)?;
    if host.is_empty() {
        return Err(malformed(text, language).into());
    }
    if port == 0 {
        let why = language.choose(
            "el puerto 0 no es de nadie, solo sirve para pedirle al sistema que elija uno al escuchar",
            "port 0 is nobody's: it only asks the system to choose one to listen on",
        );
        return Err(UsageError(format!("{text}: {why}")).into());
    }
    look_up(host, port, language)
}

/// What a socket binds to that is to reach `target`: its own machine only, where that is where it goes.
fn to_send_from(target: SocketAddr) -> SocketAddr {
    match target {
        SocketAddr::V4(target) if target.ip().is_loopback() => (Ipv4Addr::LOCALHOST, 0).into(),
        SocketAddr::V6(target) if target.ip().is_loopback() => (Ipv6Addr::LOCALHOST, 0).into(),
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// A UDP socket on a port that the system chose, which hears `target` alone, and what ICMP says of it.
pub(super) async fn connect_udp(target: SocketAddr) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind(to_send_from(target)).await?;
    socket.connect(target).await.with_context(|| target.to_string())?;
    Ok(socket)
}

/// Why it can't be listened on, and what to do about it.
pub(super) fn cannot_listen(
    transport: &str,
    address: SocketAddr,
    error: &io::Error,
    language: Language,
) -> anyhow::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => language.choose(
            ". Otro programa tiene ese puerto: termínalo, o elige otro (el 0 deja elegir al sistema). Cuál es:",
            ". Another program has that port: end it, or choose another one (0 lets the system choose). Which it is:",
        ),
        io::ErrorKind::AddrNotAvailable => language.choose(
            ". Esta máquina no tiene esa dirección",
            ". This machine does not have that address",
        ),
        io::ErrorKind::PermissionDenied => language.choose(
            ". Los puertos por debajo del 1024 piden permisos de superusuario",
            ". Ports below 1024 need the superuser's permission",
        ),
        _ => "",
    };
    let cannot = language.choose("no se puede escuchar en", "can't listen on");
    let look = match error.kind() {
        io::ErrorKind::AddrInUse => format!(" senda lab sockets --port {}", address.port()),
        _ => String::new(),
    };
    anyhow::anyhow!("{cannot} {address} ({transport}): {error}{advice}{look}")
}

/// Host, without the brackets of IPv6, and port.
fn split(text: &str, language: Language) -> Result<(&str, u16), UsageError> {
    let parts = || {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match bare {
            Some(bare) => bare.contains(':').then_some((bare, port)),
            // Which colon of an IPv6 address ends it can't be told without brackets.
            None => (!host.contains([':', '[', ']'])).then_some((host, port)),
        }
    };
    parts().ok_or_else(|| malformed(text, language))
}

fn malformed(text: &str, language: Language) -> UsageError {
    let say = language.choose(
        "escribe SERVIDOR:PUERTO, por ejemplo 127.0.0.1:65432, localhost:5005 o [::1]:5005",
        "say HOST:PORT, such as 127.0.0.1:65432, localhost:5005 or [::1]:5005",
    );
    UsageError(format!("{text:?}: {say}"))
}

/// All addresses of a name, IPv4 first: the handout's programs know no other, whatever `localhost` is elsewhere.
fn look_up(host: &str, port: u16, language: Language) -> anyhow::Result<Vec<SocketAddr>> {
    let found = (host, port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    match found {
        Ok(mut addresses) if !addresses.is_empty() => {
            addresses.sort_by_key(SocketAddr::is_ipv6); // Stable: otherwise as the system sorts them.
            addresses.dedup();
            Ok(addresses)
        }
        failed => {
            let what = language.choose("no se encuentra su dirección", "its address was not found");
            let why = failed.err().map(|error| format!(" ({error})")).unwrap_or_default();
            anyhow::bail!("{host:?}: {what}{why}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_an_ipv4_address_first() -> anyhow::Result<()> {
        let found = to_reach("localhost:5005", Language::En)?;
        assert_eq!(found.first(), Some(&([127, 0, 0, 1], 5005).into()), "{found:?}");
        Ok(())
    }

    #[test]
    fn no_host_is_every_address_of_this_machine_but_nobody_to_send_to() -> anyhow::Result<()> {
        assert_eq!(to_listen(":7", Language::En)?, [SocketAddr::from(([0, 0, 0, 0], 7))]);
        assert_eq!(
            to_listen("[::1]:0", Language::En)?,
            [SocketAddr::from((Ipv6Addr::LOCALHOST, 0))]
        );
        assert!(to_reach(":7", Language::En).is_err_and(|error| error.is::<UsageError>()));
        assert!(to_reach("127.0.0.1:0", Language::Es).is_err_and(|error| error.is::<UsageError>()));
        Ok(())
    }

    #[test]
    fn what_is_no_address_is_wrong_usage() {
        for text in
            ["", "localhost", "1.2.3.4:", "1.2.3.4:65536", "::1:5005", "[::1]", "[x]:5", "a:b:5"]
        {
            for language in [Language::Es, Language::En] {
                let error = to_listen(text, language).expect_err(text);
                assert!(error.is::<UsageError>(), "{text}: {error}");
            }
        }
    }
}
