//! The states of TCP: RFC 9293's names, Spanish words, and what comes next.

use super::super::language::Language;

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
}
