//! What happens to an echo server, for eyes and for programs.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use super::super::language::Language;
use super::super::repr;
use super::tcp::{End, Life};

pub(super) enum Event {
    Listening {
        transport: &'static str,
        address: SocketAddr,
    },
    Connected {
        peer: SocketAddr,
    },
    Disconnected {
        peer: SocketAddr,
        life: Life,
    },
    TurnedAway {
        peer: SocketAddr,
        most: usize,
    },
    /// The first datagram of somebody.
    Heard {
        peer: SocketAddr,
        asked: Option<IpAddr>,
        len: usize,
    },
    /// The first that is not answered.
    Ignored {
        peer: SocketAddr,
        why: Ignored,
    },
    /// The first answer that could not be sent.
    Unsent {
        peer: SocketAddr,
        len: usize,
        error: String,
    },
    /// Further peers are not shown.
    Unshown {
        most: usize,
    },
}

/// Why a datagram gets no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ignored {
    /// From our own port number: ourselves, or another echo server.
    OwnPort,
    /// From a port below 1024, where servers live.
    LowPort,
    /// To a broadcast or multicast address: every machine would answer.
    ToMany,
}

impl Event {
    pub(super) fn text(&self, language: Language) -> String {
        match self {
            Self::Listening { transport, address } => format!("listening {transport}={address}"),
            Self::Connected { peer } => {
                format!("{}  {}", language.choose("Conectado", "Connected"), repr::address(*peer))
            }
            Self::Disconnected { peer, life } => format!(
                "{}  {}  {}",
                language.choose("Desconectado", "Disconnected"),
                repr::address(*peer),
                life.words(language)
            ),
            Self::TurnedAway { peer, most } => {
                let peer = repr::address(*peer);
                match language {
                    Language::Es => {
                        format!("Rechazado  {peer}  ya hay {most} clientes (--connections)")
                    }
                    Language::En => {
                        format!("Turned away  {peer}  there are {most} clients (--connections)")
                    }
                }
            }
            Self::Heard { peer, asked, len } => {
                let asked = asked.map(|asked| format!(" -> {asked}")).unwrap_or_default();
                let first = language.choose("Primer datagrama", "First datagram");
                format!("{first}  {}  {len} B{asked}", repr::address(*peer))
            }
            Self::Ignored { peer, why } => format!(
                "{}  {}  {}",
                language.choose("Sin respuesta", "Not answered"),
                repr::address(*peer),
                why.words(language)
            ),
            Self::Unsent { peer, len, error } => format!(
                "{}  {}  {len} B: {error}",
                language.choose("No enviado", "Not sent"),
                repr::address(*peer)
            ),
            Self::Unshown { most } => match language {
                Language::Es => format!("Más de {most} clientes: los nuevos ya no se muestran"),
                Language::En => format!("More than {most} clients: new ones are no longer shown"),
            },
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Listening { transport, address } => {
                json!({ "listening": { *transport: address } })
            }
            Self::Connected { peer } => json!({ "event": "connected", "peer": peer }),
            Self::Disconnected { peer, life } => json!({
                "event": "disconnected",
                "peer": peer,
                "received": life.received,
                "returned": life.returned,
                "seconds": life.time.as_secs_f64(),
                "end": life.end.name(),
            }),
            Self::TurnedAway { peer, most } => {
                json!({ "event": "turned_away", "peer": peer, "connections": most })
            }
            Self::Heard { peer, asked, len } => {
                json!({ "event": "first_datagram", "peer": peer, "asked": asked, "bytes": len })
            }
            Self::Ignored { peer, why } => {
                json!({ "event": "not_answered", "peer": peer, "why": why.name() })
            }
            Self::Unsent { peer, len, error } => {
                json!({ "event": "not_sent", "peer": peer, "bytes": len, "error": error })
            }
            Self::Unshown { most } => json!({ "event": "unshown", "peers": most }),
        }
    }
}

impl Life {
    fn words(&self, language: Language) -> String {
        let Self { received, returned, time, .. } = self;
        let (seconds, end) = (time.as_secs_f64(), self.end.words(language));
        match language {
            Language::Es => {
                format!("{received} B recibidos, {returned} B devueltos, {seconds:.3} s: {end}")
            }
            Language::En => {
                format!("{received} B received, {returned} B returned, {seconds:.3} s: {end}")
            }
        }
    }
}

impl End {
    pub(super) fn words(&self, language: Language) -> String {
        match self {
            Self::Closed => language.choose("cerró el cliente", "closed by the client").to_owned(),
            Self::Reset => language
                .choose("el cliente cortó la conexión (RST)", "reset by the client (RST)")
                .to_owned(),
            Self::Failed(error) => error.to_string(),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Failed(_) => "failed",
        }
    }
}

impl Ignored {
    const fn words(self, language: Language) -> &'static str {
        match self {
            Self::OwnPort => language.choose(
                "envía desde este mismo número de puerto: dos servidores de eco se contestarían sin fin",
                "sends from this very port number: two echo servers would answer each other for ever",
            ),
            Self::LowPort => language.choose(
                "envía desde un puerto menor que 1024, donde hay servidores que contestarían sin fin",
                "sends from a port below 1024, where servers live that would answer for ever",
            ),
            Self::ToMany => language.choose(
                "preguntó a una dirección de difusión: contestarían todas las máquinas a la vez",
                "asked a broadcast or multicast address: all machines would answer at once",
            ),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::OwnPort => "own_port",
            Self::LowPort => "low_port",
            Self::ToMany => "to_many",
        }
    }
}
