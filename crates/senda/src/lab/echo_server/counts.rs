//! What an echo server did, in numbers.

use serde_json::{Value, json};

use super::super::language::Language;
use super::events::Ignored;
use super::tcp::{End, Life};

pub(super) enum Counts {
    Tcp(Tcp),
    Udp(Udp),
}

#[derive(Debug, Default)]
pub(super) struct Tcp {
    pub(super) connected: u64,
    pub(super) turned_away: u64,
    pub(super) not_accepted: u64,
    closed: u64,
    reset: u64,
    failed: u64,
    /// Bytes of connections that have ended.
    received: u64,
    returned: u64,
}

#[derive(Debug, Default)]
pub(super) struct Udp {
    pub(super) received: u64,
    pub(super) received_bytes: u64,
    pub(super) returned: u64,
    pub(super) unsent: u64,
    pub(super) own_port: u64,
    pub(super) low_port: u64,
    pub(super) to_many: u64,
}

impl Tcp {
    pub(super) fn ended(&mut self, life: &Life) {
        match life.end {
            End::Closed => self.closed += 1,
            End::Reset => self.reset += 1,
            End::Failed(_) => self.failed += 1,
        }
        self.received += life.received;
        self.returned += life.returned;
    }

    /// Still there when the server ended.
    const fn open(&self) -> u64 {
        self.connected - self.closed - self.reset - self.failed
    }
}

impl Udp {
    pub(super) const fn ignored(&mut self, why: Ignored) {
        match why {
            Ignored::OwnPort => self.own_port += 1,
            Ignored::LowPort => self.low_port += 1,
            Ignored::ToMany => self.to_many += 1,
        }
    }
}

/// Its key for programs, its names for eyes, and the number.
type Row = (&'static str, &'static str, &'static str, u64);

impl Counts {
    pub(super) fn text(&self, left_out: u64, language: Language) -> String {
        let title = language.choose("Cuentas", "Counts");
        let rows = self.rows(left_out);
        let rows = rows.iter().map(|(_, spanish, english, number)| {
            format!("\n  {:<32} {number:>12}", language.choose(*spanish, *english))
        });
        format!("{title}{}", rows.collect::<String>())
    }

    pub(super) fn json(&self, left_out: u64) -> Value {
        let rows = self.rows(left_out);
        let counts = rows.iter().map(|(key, _, _, number)| ((*key).to_owned(), json!(number)));
        let transport = match self {
            Self::Tcp(_) => "tcp",
            Self::Udp(_) => "udp",
        };
        json!({ "counts": { transport: counts.collect::<serde_json::Map<_, _>>() } })
    }

    fn rows(&self, left_out: u64) -> Vec<Row> {
        let mut rows: Vec<Row> = match self {
            Self::Tcp(tcp) => vec![
                ("connected", "conexiones", "connections", tcp.connected),
                ("closed", "cerradas por el cliente", "closed by the client", tcp.closed),
                ("reset", "cortadas (RST)", "reset (RST)", tcp.reset),
                ("failed", "rotas de otro modo", "broken otherwise", tcp.failed),
                ("open", "abiertas al final", "open at the end", tcp.open()),
                ("turned_away", "clientes rechazados", "clients turned away", tcp.turned_away),
                ("not_accepted", "accept fallidos", "accepts that failed", tcp.not_accepted),
                (
                    "received",
                    "bytes recibidos (terminadas)",
                    "bytes received, of ended ones",
                    tcp.received,
                ),
                (
                    "returned",
                    "bytes devueltos (terminadas)",
                    "bytes returned, of ended ones",
                    tcp.returned,
                ),
            ],
            Self::Udp(udp) => vec![
                ("received", "datagramas recibidos", "datagrams received", udp.received),
                ("returned", "datagramas devueltos", "datagrams returned", udp.returned),
                ("unsent", "respuestas no enviadas", "answers that were not sent", udp.unsent),
                (
                    "own_port",
                    "ignorados: mismo puerto",
                    "ignored: from our port number",
                    udp.own_port,
                ),
                (
                    "low_port",
                    "ignorados: puerto < 1024",
                    "ignored: from a port < 1024",
                    udp.low_port,
                ),
                ("to_many", "ignorados: difusión", "ignored: broadcast, multicast", udp.to_many),
                ("received_bytes", "bytes recibidos", "bytes received", udp.received_bytes),
            ],
        };
        rows.push(("lines_left_out", "líneas no mostradas", "lines left out", left_out));
        rows
    }
}
