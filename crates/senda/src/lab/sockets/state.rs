//! The states of TCP: RFC 9293's names, Spanish words, and what comes next.

use super::diag::Protocol;
use crate::UsageError;
use crate::lab::language::Language;

/// The states of RFC 9293 §3.3.2, in the order of a connection's life; and the one state of a UDP socket that TCP lacks.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(in crate::lab) enum State {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    Closing,
    TimeWait,
    CloseWait,
    LastAck,
    /// UDP without `connect`. A connected one is `Established`, as the kernel has it.
    Unconnected,
}

impl State {
    pub(in crate::lab) const ALL: [Self; 12] = [
        Self::Closed,
        Self::Listen,
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::Closing,
        Self::TimeWait,
        Self::CloseWait,
        Self::LastAck,
        Self::Unconnected,
    ];

    /// As RFC 9293 writes it. UNCONNECTED is ours: the RFC is about TCP.
    pub(in crate::lab) const fn rfc_name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::Closing => "CLOSING",
            Self::TimeWait => "TIME-WAIT",
            Self::CloseWait => "CLOSE-WAIT",
            Self::LastAck => "LAST-ACK",
            Self::Unconnected => "UNCONNECTED",
        }
    }

    /// In a word: ESCUCHAR, or LISTEN.
    pub(in crate::lab) const fn name(self, language: Language) -> &'static str {
        let spanish = match self {
            Self::Closed => "CERRADO",
            Self::Listen => "ESCUCHAR",
            Self::SynSent => "SYN_ENVIADO",
            Self::SynReceived => "SYN_RECIBIDO",
            Self::Established => "ESTABLECIDO",
            Self::FinWait1 => "ESPERA_FIN1",
            Self::FinWait2 => "ESPERA_FIN2",
            Self::Closing => "CERRANDO",
            Self::TimeWait => "TIEMPO_ESPERA",
            Self::CloseWait => "ESPERA_CIERRE",
            Self::LastAck => "ÚLTIMO_ACK",
            Self::Unconnected => "SIN_CONECTAR",
        };
        match language {
            Language::Es => spanish,
            Language::En => self.rfc_name(),
        }
    }
    /// In words, with the RFC's name where that is another: `ESCUCHAR (LISTEN)`.
    pub(in crate::lab) fn label(self, language: Language) -> String {
        match language {
            Language::Es => format!("{} ({})", self.name(language), self.rfc_name()),
            Language::En => self.rfc_name().to_owned(),
        }
    }

    /// What it means for a socket to be here, and what comes next. RFC 9293 §3.3.2 and §3.6, and what Linux makes of them.
    pub(in crate::lab) const fn explanation(
        self,
        protocol: Protocol,
        language: Language,
    ) -> Explanation {
        let (spanish, english) = match (self, protocol) {
            (Self::Established, Protocol::Udp) => CONNECTED_UDP,
            (Self::Closed, _) => CLOSED,
            (Self::Listen, _) => LISTEN,
            (Self::SynSent, _) => SYN_SENT,
            (Self::SynReceived, _) => SYN_RECEIVED,
            (Self::Established, _) => ESTABLISHED,
            (Self::FinWait1, _) => FIN_WAIT_1,
            (Self::FinWait2, _) => FIN_WAIT_2,
            (Self::Closing, _) => CLOSING,
            (Self::TimeWait, _) => TIME_WAIT,
            (Self::CloseWait, _) => CLOSE_WAIT,
            (Self::LastAck, _) => LAST_ACK,
            (Self::Unconnected, _) => UNCONNECTED,
        };
        language.choose(spanish, english)
    }

    /// Whether nothing lies between the two: the arrows of RFC 9293, figure 5, and those of a socket's calls. One that jumps
    /// was somewhere else on the way.
    pub(super) const fn leads_to(self, next: Self) -> bool {
        match self {
            Self::Closed => matches!(next, Self::Listen | Self::SynSent),
            Self::Listen => matches!(next, Self::Closed | Self::SynReceived | Self::SynSent),
            Self::SynSent => {
                matches!(next, Self::Established | Self::SynReceived | Self::Closed)
            }
            Self::SynReceived => {
                matches!(next, Self::Established | Self::FinWait1 | Self::Listen | Self::Closed)
            }
            // To UNCONNECTED: UDP, whose peer connect() sets and takes away.
            Self::Established => {
                matches!(next, Self::FinWait1 | Self::CloseWait | Self::Closed | Self::Unconnected)
            }
            // To TIME-WAIT: the peer's FIN with the ACK of ours.
            Self::FinWait1 => {
                matches!(next, Self::FinWait2 | Self::Closing | Self::TimeWait | Self::Closed)
            }
            Self::FinWait2 | Self::Closing => matches!(next, Self::TimeWait | Self::Closed),
            Self::CloseWait => matches!(next, Self::LastAck | Self::Closed),
            Self::LastAck | Self::TimeWait => matches!(next, Self::Closed),
            Self::Unconnected => matches!(next, Self::Established),
        }
    }

    /// All the ways to write it, as [`key`] makes them comparable.
    fn keys(self) -> Vec<String> {
        let more: &[&str] = match self {
            Self::Closed => &["CLOSE", "BOUND"],
            Self::Listen => &["LISTENING", "ESCUCHANDO"],
            Self::SynReceived => &["SYN-RECV", "SYN-RCVD"],
            Self::Established => &["ESTAB"],
            Self::CloseWait => &["CERRAR_ESPERA"],
            Self::Unconnected => &["UNCONN"],
            _ => &[],
        };
        let names = [self.rfc_name(), self.name(Language::Es)];
        names.iter().chain(more).map(|name| key(name)).collect()
    }
}

/// A state in a sentence, and the way out of it in another.
#[derive(Clone, Copy, Debug)]
pub(in crate::lab) struct Explanation {
    pub(in crate::lab) meaning: &'static str,
    pub(in crate::lab) next: &'static str,
}

/// Reads a state's name: the RFC's, that of `ss` or `netstat`, or the Spanish one; `-`, `_`, case and accents don't matter.
pub(super) fn parse(given: &str, language: Language) -> Result<State, UsageError> {
    let wanted = key(given);
    if let Some(state) = State::ALL.into_iter().find(|state| state.keys().contains(&wanted)) {
        return Ok(state);
    }
    let known = State::ALL
        .into_iter()
        .flat_map(|state| state.keys().into_iter().map(move |key| (key, state)));
    let near = known.map(|(key, state)| (strsim::damerau_levenshtein(&key, &wanted), state));
    let near = near.min().filter(|(distance, _)| 2 * distance <= wanted.len());
    let hint = near.map_or_else(String::new, |(_, state)| match language {
        Language::Es => format!(" ¿Querías decir {}?", state.label(language)),
        Language::En => format!(" Did you mean {}?", state.label(language)),
    });
    let all = State::ALL.map(|state| state.name(language)).join(", ");
    Err(UsageError(match language {
        Language::Es => format!("--state {given:?}: no hay tal estado.{hint} Son: {all}"),
        Language::En => {
            format!("--state {given:?}: there is no such state.{hint} There are: {all}")
        }
    }))
}

/// Upper case without accents and signs: FIN_WAIT1, FIN-WAIT-1 and fin wait 1 are the same.
fn key(name: &str) -> String {
    let plain = name.chars().flat_map(char::to_uppercase).map(|c| if c == 'Ú' { 'U' } else { c });
    plain.filter(char::is_ascii_alphanumeric).collect()
}

/// In Spanish, and in English.
type Both = (Explanation, Explanation);

const CLOSED: Both = (
    Explanation {
        meaning: "tiene puerto (bind), pero ni escucha ni está conectado.",
        next: "ESCUCHAR con listen(); SYN_ENVIADO con connect().",
    },
    Explanation {
        meaning: "it has a port (bind), but neither listens nor is connected.",
        next: "LISTEN by listen(); SYN-SENT by connect().",
    },
);
const LISTEN: Both = (
    Explanation {
        meaning: "espera a que alguien se conecte. Cada conexión tendrá un socket propio, el que devuelve accept(). \
                  Sus colas cuentan conexiones: las que esperan accept(), y cuántas caben.",
        next: "sigue así hasta close().",
    },
    Explanation {
        meaning: "it waits for somebody to connect. Each connection gets a socket of its own, which accept() returns. \
                  Its queues count connections: those that wait for accept(), and how many may.",
        next: "it stays until close().",
    },
);
const SYN_SENT: Both = (
    Explanation {
        meaning: "ha pedido conectarse (SYN) y espera que el otro acepte (SYN+ACK).",
        next: "ESTABLECIDO cuando acepte; si lo rechaza (RST) o no contesta, connect() da error.",
    },
    Explanation {
        meaning: "it asked to connect (SYN) and waits for the other's consent (SYN+ACK).",
        next: "ESTABLISHED with that; refused (RST) or never answered, connect() fails.",
    },
);
const SYN_RECEIVED: Both = (
    Explanation {
        meaning: "alguien pidió conectarse, se le dijo que sí (SYN+ACK) y falta su ACK, o sitio en la cola de accept().",
        next: "ESTABLECIDO con las dos cosas.",
    },
    Explanation {
        meaning: "somebody asked to connect and got consent (SYN+ACK); the ACK is missing, or room in accept()'s queue.",
        next: "ESTABLISHED with both.",
    },
);
const ESTABLISHED: Both = (
    Explanation {
        meaning: "conectado: los bytes pueden viajar en los dos sentidos.",
        next: "ESPERA_FIN1 si cierra él primero; ESPERA_CIERRE si cierra primero el otro.",
    },
    Explanation {
        meaning: "connected: bytes may go both ways.",
        next: "FIN-WAIT-1 if it closes first; CLOSE-WAIT if the other does.",
    },
);
const FIN_WAIT_1: Both = (
    Explanation {
        meaning: "ha cerrado su sentido (FIN) y falta que el otro lo confirme; puede que aún le queden bytes por enviar.",
        next: "ESPERA_FIN2 con esa confirmación (ACK); CERRANDO si antes llega el FIN del otro.",
    },
    Explanation {
        meaning: "it closed its direction (FIN) and the other has not acknowledged that; bytes may be left to send.",
        next: "FIN-WAIT-2 with that ACK; CLOSING if the other's FIN comes before it.",
    },
);
const FIN_WAIT_2: Both = (
    Explanation {
        meaning: "el otro sabe que hemos cerrado, pero aún no ha cerrado él: todavía puede enviar.",
        next: "TIEMPO_ESPERA cuando llegue su FIN.",
    },
    Explanation {
        meaning: "the other knows that we closed, but has not closed itself: it may still send.",
        next: "TIME-WAIT when its FIN comes.",
    },
);
const CLOSING: Both = (
    Explanation {
        meaning: "los dos han cerrado a la vez: ha llegado el FIN del otro, pero no la confirmación del nuestro.",
        next: "TIEMPO_ESPERA con esa confirmación.",
    },
    Explanation {
        meaning: "both closed at a time: the other's FIN came, the acknowledgement of ours did not.",
        next: "TIME-WAIT with that.",
    },
);
const TIME_WAIT: Both = (
    Explanation {
        meaning: "los dos han cerrado, y este lado primero. Ya no es de ningún proceso: el núcleo guarda las direcciones \
                  un rato por si llegan segmentos atrasados (por eso bind() puede decir «Address already in use»; \
                  SO_REUSEADDR lo evita).",
        next: "desaparece; en Linux, al cabo de 60 s.",
    },
    Explanation {
        meaning: "both closed, and this side first. It is no process's any more: the kernel keeps the addresses for a \
                  while, lest late segments be mistaken (that is why bind() may say \"Address already in use\"; \
                  SO_REUSEADDR helps).",
        next: "it is gone, on Linux after 60 s.",
    },
);
const CLOSE_WAIT: Both = (
    Explanation {
        meaning: "el otro ha cerrado (recv() devuelve 0 bytes), y nuestro programa todavía no. Si dura, ¡al programa se \
                  le ha olvidado close()!",
        next: "ÚLTIMO_ACK con close().",
    },
    Explanation {
        meaning: "the other closed (recv() returns 0 bytes), our program has not. If it lasts, the program forgot close()!",
        next: "LAST-ACK by close().",
    },
);
const LAST_ACK: Both = (
    Explanation {
        meaning: "ha cerrado después que el otro y espera la última confirmación.",
        next: "desaparece cuando llegue.",
    },
    Explanation {
        meaning: "it closed after the other and waits for the last acknowledgement.",
        next: "it is gone when that comes.",
    },
);
const UNCONNECTED: Both = (
    Explanation {
        meaning: "UDP no tiene conexiones: recibe datagramas de cualquiera, y cada sendto() dice para quién es.",
        next: "sigue así hasta close(); connect() fijaría con quién habla.",
    },
    Explanation {
        meaning: "UDP has no connections: it takes datagrams from anybody, and each sendto() says whom it is for.",
        next: "it stays until close(); connect() would fix whom it talks to.",
    },
);
const CONNECTED_UDP: Both = (
    Explanation {
        meaning: "UDP tras connect(): no ha viajado nada, solo está fijado con quién habla; lo de otros no le llega.",
        next: "sigue así hasta close().",
    },
    Explanation {
        meaning: "UDP after connect(): nothing went over the network, it is only fixed whom it talks to and hears.",
        next: "it stays until close().",
    },
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_found_by_all_its_names_and_no_name_is_two_states() {
        for (given, expected) in [
            ("LISTEN", State::Listen),
            ("listening", State::Listen),
            ("Escuchar", State::Listen),
            ("ESTAB", State::Established),
            ("syn-recv", State::SynReceived),
            ("SYN_RCVD", State::SynReceived),
            ("fin-wait-1", State::FinWait1),
            ("FIN_WAIT1", State::FinWait1),
            ("espera_fin2", State::FinWait2),
            ("ultimo_ack", State::LastAck),
            ("último-ack", State::LastAck),
            ("time_wait", State::TimeWait),
            ("UNCONN", State::Unconnected),
        ] {
            let parsed = parse(given, Language::En).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(parsed, expected, "{given}");
        }
        let mut keys: Vec<_> = State::ALL.into_iter().flat_map(State::keys).collect();
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }

    #[test]
    fn a_jump_over_a_state_is_no_step() {
        assert!(
            State::FinWait1.leads_to(State::FinWait2) && State::FinWait2.leads_to(State::TimeWait)
        );
        assert!(!State::Closed.leads_to(State::Established), "SYN-SENT");
        assert!(!State::Established.leads_to(State::TimeWait), "FIN-WAIT-1");
        assert!(!State::Established.leads_to(State::LastAck), "CLOSE-WAIT");
    }

    #[test]
    fn an_unknown_state_is_named_with_the_nearest_and_all() {
        let error = parse("ESTABLISCHED", Language::En).expect_err("a mistake").to_string();
        assert!(error.contains("Did you mean ESTABLISHED?"), "{error}");
        assert!(error.contains("LAST-ACK, UNCONNECTED"), "{error}");
        let error = parse("ESTABLECIDA", Language::Es).expect_err("a mistake").to_string();
        assert!(error.contains("¿Querías decir ESTABLECIDO (ESTABLISHED)?"), "{error}");
        let error = parse("42", Language::Es).expect_err("a mistake").to_string();
        assert!(!error.contains('¿'), "nothing is near: {error}");
    }
}
