//! The sockets of one look: a line each.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use serde_json::{Value as Json, json};
use unicode_width::UnicodeWidthStr;

use super::diag::{Protocol, Socket, State};
use super::filter::Filter;
use super::owner::{Owner, owners, printable};
use super::{Args, Format};
use crate::lab::language::Language;
use crate::text::write_columns;

/// Writes what `filter` takes to standard output.
pub(super) fn write(
    args: &Args,
    filter: &Filter,
    mut sockets: Vec<Socket>,
    language: Language,
) -> anyhow::Result<()> {
    sockets.retain(|socket| filter.takes_addresses(socket) && filter.takes_state(socket.state));
    let inodes: HashSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
    let owned = owners(&inodes);
    sockets.retain(|socket| filter.takes_owners(owners_of(socket, &owned)));
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match args.format {
        Format::Json => {
            for socket in &sockets {
                let mut object = object(socket, owners_of(socket, &owned), language);
                if args.explain {
                    let explanation = socket.state.explanation(socket.protocol, language);
                    object["meaning"] = explanation.meaning.into();
                    object["next"] = explanation.next.into();
                }
                writeln!(out, "{object}")?;
            }
        }
        Format::Text => {
            write_table(&mut out, &sockets, &owned, language)?;
            if args.explain {
                write_explanations(&mut out, &sockets, language)?;
            }
        }
    }
    out.flush()?;
    let is_hidden = |socket: &&Socket| socket.inode != 0 && owners_of(socket, &owned).is_empty();
    let hidden = sockets.iter().filter(is_hidden).count();
    if hidden > 0 && args.format == Format::Text {
        match language {
            Language::Es => eprintln!(
                "senda: de {hidden} no se ve el proceso: es de otro usuario (prueba con sudo) o de otro contenedor"
            ),
            Language::En => eprintln!(
                "senda: the process of {hidden} can't be seen: it is another user's (try sudo) or another container's"
            ),
        }
    }
    Ok(())
}

fn owners_of<'o>(socket: &Socket, owned: &'o HashMap<u64, Vec<Owner>>) -> &'o [Owner] {
    owned.get(&socket.inode).map_or(&[], Vec::as_slice)
}

fn write_table(
    out: &mut impl Write,
    sockets: &[Socket],
    owned: &HashMap<u64, Vec<Owner>>,
    language: Language,
) -> std::io::Result<()> {
    let mut header = language
        .choose(
            [
                "Proto",
                "Recib",
                "Enviad",
                "Dirección local",
                "Dirección remota",
                "Estado",
                "Proceso",
            ],
            ["Proto", "Recv-Q", "Send-Q", "Local address", "Peer address", "State", "Process"],
        )
        .to_vec();
    // Only where somebody could have lost something: a line of a connection is long enough.
    let with_drops = sockets.iter().any(|socket| shown_drops(socket).is_some());
    if with_drops {
        header.push(language.choose("Perdidos", "Drops"));
    }
    let rows = sockets.iter().map(|socket| {
        let mut row = vec![
            protocol(socket).to_owned(),
            socket.receive_queue.to_string(),
            socket.send_queue.to_string(),
            local(socket),
            peer(socket),
            socket.state.label(language),
            process(owners_of(socket, owned)),
        ];
        if with_drops {
            row.push(shown_drops(socket).map_or("-".to_owned(), |drops| drops.to_string()));
        }
        row
    });
    write_columns(out, &header, rows, &[1, 2, 7])
}

/// UDP: datagrams. Of a listener: connections, and only when there are some, for most people don't know of them.
fn shown_drops(socket: &Socket) -> Option<u32> {
    let drops = socket.drops?;
    let is_shown = match socket.protocol {
        Protocol::Udp => true,
        Protocol::Tcp => socket.state == State::Listen && drops > 0,
    };
    is_shown.then_some(drops)
}

/// `tcp6` for a socket of IPv6, as netstat has it.
pub(super) const fn protocol(socket: &Socket) -> &'static str {
    match (socket.protocol, socket.local) {
        (Protocol::Tcp, SocketAddr::V4(_)) => "tcp",
        (Protocol::Tcp, SocketAddr::V6(_)) => "tcp6",
        (Protocol::Udp, SocketAddr::V4(_)) => "udp",
        (Protocol::Udp, SocketAddr::V6(_)) => "udp6",
    }
}

pub(super) fn local(socket: &Socket) -> String {
    end(socket, socket.local)
}

/// Where there is none, `*` stands for any port.
pub(super) fn peer(socket: &Socket) -> String {
    match (socket.peer, socket.local.ip()) {
        (Some(peer), _) => end(socket, peer),
        (None, IpAddr::V4(_)) => "0.0.0.0:*".to_owned(),
        (None, IpAddr::V6(_)) if socket.takes_ipv4 => "*:*".to_owned(),
        (None, IpAddr::V6(_)) => "[::]:*".to_owned(),
    }
}

/// As ss writes it, with the interface that it is bound to; but an IPv4 address as one also in a socket of IPv6.
fn end(socket: &Socket, address: SocketAddr) -> String {
    let interface = match socket.interface {
        Some(number) if address == socket.local || is_link_local(address.ip()) => {
            format!("%{}", interface_name(number))
        }
        _ => String::new(),
    };
    let port = address.port();
    match address.ip().to_canonical() {
        IpAddr::V6(ip) if ip.is_unspecified() && socket.takes_ipv4 => {
            format!("*{interface}:{port}")
        }
        IpAddr::V6(ip) => format!("[{ip}]{interface}:{port}"),
        IpAddr::V4(ip) => format!("{ip}{interface}:{port}"),
    }
}

const fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn interface_name(number: u32) -> String {
    let any =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None);
    let name = any.and_then(|any| rustix::net::netdevice::index_to_name(any, number));
    name.map_or_else(|_| number.to_string(), |name| printable(&name))
}

/// `python3/123`, and how many more share it; `-` when nobody has it or we may not see.
pub(super) fn process(owners: &[Owner]) -> String {
    match owners {
        [] => "-".to_owned(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    }
}

/// Names don't depend on the language, but for `state_name`.
pub(super) fn object(socket: &Socket, owners: &[Owner], language: Language) -> Json {
    let processes = owners.iter().map(|owner| json!({ "pid": owner.pid, "name": owner.name }));
    json!({
        "protocol": socket.protocol.name(),
        "family": if socket.local.is_ipv4() { "ipv4" } else { "ipv6" },
        "state": socket.state.rfc_name(),
        "state_name": socket.state.name(language),
        "receive_queue": socket.receive_queue,
        "send_queue": socket.send_queue,
        "local": socket.local,
        "peer": socket.peer,
        "interface": socket.interface.map(interface_name),
        "takes_ipv4": socket.takes_ipv4,
        "drops": socket.drops,
        "uid": socket.uid,
        "inode": socket.inode,
        "processes": processes.collect::<Vec<_>>(),
    })
}

fn write_explanations(
    out: &mut impl Write,
    sockets: &[Socket],
    language: Language,
) -> std::io::Result<()> {
    let shown: BTreeSet<(State, Protocol)> =
        sockets.iter().map(|socket| (socket.state, socket.protocol)).collect();
    if !shown.is_empty() {
        writeln!(out)?;
    }
    for (state, protocol) in shown {
        write_explanation(out, state, protocol, language)?;
    }
    if sockets.iter().any(|socket| shown_drops(socket).is_some()) {
        let text = language.choose(
            "Perdidos: datagramas (o, de quien escucha, conexiones) que llegaron y se tiraron, casi siempre porque la \
             cola de recepción estaba llena.",
            "Drops: datagrams (of a listener: connections) that came and were thrown away, mostly because the receive \
             queue was full.",
        );
        write_folded(out, text)?;
    }
    Ok(())
}

pub(super) fn write_explanation(
    out: &mut impl Write,
    state: State,
    protocol: Protocol,
    language: Language,
) -> std::io::Result<()> {
    let explanation = state.explanation(protocol, language);
    let next = language.choose("Después", "Next");
    let (label, meaning) = (state.label(language), explanation.meaning);
    write_folded(out, &format!("{label}: {meaning} {next}: {}", explanation.next))
}

/// Breaks a paragraph between words, for the narrowest usual terminal.
fn write_folded(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    const WIDTH: usize = 79;
    const INDENT: &str = "  ";
    let mut line = String::new();
    for word in text.split_whitespace() {
        if line.width() + 1 + word.width() > WIDTH {
            writeln!(out, "{line}")?;
            line = format!("{INDENT}{word}");
        } else {
            let space = if line.is_empty() { "" } else { " " };
            line = format!("{line}{space}{word}");
        }
    }
    writeln!(out, "{line}")
}
