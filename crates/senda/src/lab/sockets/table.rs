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
            write_table(&mut out, &sockets, &owned, language, args.explain)?;
            if args.explain {
                write_explanations(&mut out, &sockets, language)?;
            }
        }
    }
    out.flush()?;
    let is_hidden = |socket: &&Socket| socket.inode != 0 && owners_of(socket, &owned).is_empty();
    let hidden = sockets.iter().filter(is_hidden).count();
    if hidden > 0 && args.format == Format::Text {
        let text = match language {
            Language::Es => format!(
                "senda: de {hidden} no se ve el proceso: es de otro usuario (prueba con sudo) o de otro contenedor"
            ),
            Language::En => format!(
                "senda: the process of {hidden} can't be seen: it is another user's (try sudo) or another container's"
            ),
        };
        write_folded(&mut std::io::stderr(), &text)?;
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
    explained: bool,
) -> std::io::Result<()> {
    let rows = |with_rfc| rows(sockets, owned, language, with_rfc);
    let (rows, with_rfc, gap) = fitted(width_of_stdout(), rows);
    write_columns(out, &rows, gap)?;
    let states: BTreeSet<State> = sockets.iter().map(|socket| socket.state).collect();
    // An explanation begins with both names.
    if language == Language::Es && !with_rfc && !explained && !states.is_empty() {
        let names = states.iter().map(|state| state.label(language)).collect::<Vec<_>>();
        write_folded(out, &format!("RFC 9293: {}", names.join(", ")))?;
    }
    Ok(())
}

/// Of the terminal; a file or a pipe is as wide as it has to be.
pub(super) fn width_of_stdout() -> usize {
    let size = console::Term::stdout().size_checked();
    size.map_or(usize::MAX, |(_, width)| width.into())
}

/// The first layout that fits, or the narrowest: with both names of each state, with one, and that closer together.
fn fitted(
    room: usize,
    rows: impl Fn(bool) -> Vec<Vec<String>>,
) -> (Vec<Vec<String>>, bool, &'static str) {
    let wide = rows(true);
    if width(&wide, "  ") <= room {
        return (wide, true, "  ");
    }
    let narrow = rows(false);
    let gap = if width(&narrow, "  ") <= room { "  " } else { " " };
    (narrow, false, gap)
}

/// The header, and a row for each socket.
fn rows(
    sockets: &[Socket],
    owned: &HashMap<u64, Vec<Owner>>,
    language: Language,
    with_rfc: bool,
) -> Vec<Vec<String>> {
    let header = language.choose(
        ["Proto", "Recib", "Enviad", "Dirección local", "Dirección remota", "Estado", "Proceso"],
        ["Proto", "Recv-Q", "Send-Q", "Local address", "Peer address", "State", "Process"],
    );
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(sockets.iter().map(|socket| {
        let state = socket.state;
        vec![
            protocol(socket).to_owned(),
            socket.receive_queue.to_string(),
            socket.send_queue.to_string(),
            local(socket),
            peer(socket),
            if with_rfc { state.label(language) } else { state.name(language).to_owned() },
            process(owners_of(socket, owned)),
        ]
    }));
    // Only where somebody could have lost something: a line of a connection is long enough.
    if sockets.iter().any(|socket| shown_drops(socket).is_some()) {
        let drops = |socket| shown_drops(socket).map_or("-".to_owned(), |drops| drops.to_string());
        let drops = sockets.iter().map(drops);
        let column = std::iter::once(language.choose("Perdidos", "Drops").to_owned()).chain(drops);
        for (row, cell) in rows.iter_mut().zip(column) {
            row.push(cell);
        }
    }
    rows
}

/// How wide each column has to be.
fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    (0..columns).map(width).collect()
}

fn width(rows: &[Vec<String>], gap: &str) -> usize {
    let widths = widths(rows);
    widths.iter().sum::<usize>() + gap.len() * widths.len().saturating_sub(1)
}

fn write_columns(out: &mut impl Write, rows: &[Vec<String>], gap: &str) -> std::io::Result<()> {
    /// Queues and drops.
    const NUMBERS: [usize; 3] = [1, 2, 7];
    let widths = widths(rows);
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let pad = " ".repeat(width - cell.width());
            if NUMBERS.contains(&column) { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join(gap).trim_end())?;
    }
    Ok(())
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
        "cookie": format!("{:x}", socket.cookie), // As in ss -e; as a number some programs would round it.
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
            "Perdidos: datagramas (o, de quien escucha, conexiones) que llegaron y se descartaron, casi siempre porque la \
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
pub(super) fn write_folded(out: &mut impl Write, text: &str) -> std::io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_of_the_lab_fits_in_80_columns() {
        let socket = Socket {
            protocol: Protocol::Tcp,
            state: State::CloseWait,
            local: ([127, 0, 0, 1], 65432).into(),
            peer: Some(([127, 0, 0, 1], 51234).into()),
            interface: None,
            takes_ipv4: false,
            receive_queue: 12345,
            send_queue: 123_456,
            uid: 1000,
            inode: 7,
            cookie: 1,
            drops: Some(0),
        };
        let owned = HashMap::from([(7, vec![Owner { pid: 12345, name: "python3".into() }])]);
        let layout = |language, room| {
            let rows = |with_rfc| rows(std::slice::from_ref(&socket), &owned, language, with_rfc);
            let (rows, with_rfc, gap) = fitted(room, rows);
            (with_rfc, gap, width(&rows, gap) <= room)
        };
        assert_eq!(layout(Language::Es, 120), (true, "  ", true));
        assert_eq!(layout(Language::Es, 90), (false, "  ", true));
        assert_eq!(layout(Language::Es, 80), (false, " ", true));
        assert_eq!(layout(Language::En, 80), (false, " ", true));
        assert_eq!(layout(Language::En, 40), (false, " ", false), "the narrowest there is");
    }

    #[test]
    fn an_ipv4_address_is_written_as_one_in_a_socket_of_ipv6_too() {
        let mut socket = Socket {
            protocol: Protocol::Udp,
            state: State::Established,
            local: "[::ffff:192.0.2.1]:5005".parse().unwrap_or_else(|error| panic!("{error}")),
            peer: "[fe80::1]:9".parse().ok(),
            interface: None,
            takes_ipv4: false,
            receive_queue: 0,
            send_queue: 0,
            uid: 0,
            inode: 0,
            cookie: 1,
            drops: None,
        };
        assert_eq!((protocol(&socket), local(&socket)), ("udp6", "192.0.2.1:5005".into()));
        assert_eq!(peer(&socket), "[fe80::1]:9");
        socket.interface = Some(u32::MAX); // No such interface: its number remains.
        assert_eq!(peer(&socket), format!("[fe80::1]%{}:9", u32::MAX));
    }
}
