//! What the collector knows of one session.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::event::{Mark, Peer, Token};
use super::unacked::CounterWindow;
use crate::Instant;

/// One session in state Serving. Spec §6.2.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) device: Arc<str>,
    pub(super) stream: u64,
    pub(super) peer: Peer,
    /// What WELCOME said, byte for byte, for a HELLO that is repeated. Spec §5.3a.
    pub(super) welcome: Vec<u8>,
    pub(super) nonce: u64,
    /// Nonces of HELLOs that this session replaced: a late copy of one must not replace it in turn.
    pub(super) past: Vec<u64>,
    /// Something but its HELLO has arrived: from now on only newer rows move the address. Spec §9.3a.
    pub(super) used: bool,
    pub(super) opened: Instant,
    pub(super) heard: Instant,
    pub(super) keepalive: Duration,
    pub(super) ack_every: u16,
    pub(super) ack_delay: Duration,
    /// Longest message that the device takes.
    pub(super) max_msg: usize,
    /// Bits of the downlink kinds that the device takes. Spec §7.7c.
    pub(super) downlink: u8,
    /// What is durable, as the store's last verdict said.
    pub(super) mark: Mark,
    /// Highest row seen + 1, durable or not: decides whether the address moves. Spec §9.3a.
    pub(super) seen_row: u32,
    /// Descriptions that are declared: durable, or on their way to the disk before any row that uses them.
    pub(super) schemas: BTreeMap<u16, Arc<[u8]>>,
    /// Descriptions of which not all parts have come, the latest one last.
    pub(super) assemblies: Vec<Assembly>,
    pub(super) ack: AckState,
    pub(super) address: Address,
    pub(super) counters: CounterWindow,
    pub(super) down: Down,
}

impl Session {
    /// When the session ends if nothing is heard. Spec §6.6a.
    pub(super) fn dies(&self) -> Instant {
        self.heard + self.keepalive * 5 / 2
    }

    /// True when rows below `end` are within the window. Spec §8.1.
    pub(super) fn is_in_window(&self, end: u32, window_rows: u32) -> bool {
        end <= self.mark.next_row.saturating_add(window_rows)
    }

    pub(super) const fn is_udp(&self) -> bool {
        matches!(self.peer, Peer::Udp { .. })
    }

    /// The parts of this description so far; a part that differs begins it anew. Spec §5.4.
    pub(super) fn take_assembly(&mut self, schema: u16, crc: u32, parts: usize) -> Assembly {
        let at = self.assemblies.iter().position(|assembly| assembly.schema == schema);
        at.map(|at| self.assemblies.remove(at))
            .filter(|assembly| assembly.crc == crc && assembly.parts.len() == parts)
            .unwrap_or_else(|| Assembly { schema, crc, parts: vec![None; parts] })
    }

    pub(super) fn keep_assembly(&mut self, assembly: Assembly) {
        if self.assemblies.len() >= ASSEMBLIES_MAX {
            self.assemblies.remove(0);
        }
        self.assemblies.push(assembly);
    }

    /// Bytes of descriptions, whole and in parts.
    pub(super) fn schema_bytes(&self) -> usize {
        let whole: usize = self.schemas.values().map(|description| description.len()).sum();
        whole + self.assemblies.iter().map(Assembly::len).sum::<usize>()
    }
}

/// Descriptions that a session may receive the parts of at a time; the one begun first gives way.
const ASSEMBLIES_MAX: usize = 4;

/// Parts of a schema description that have come so far. Spec §5.4.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) schema: u16,
    pub(super) crc: u32,
    pub(super) parts: Vec<Option<Vec<u8>>>,
}

impl Assembly {
    /// Bytes that have come.
    pub(super) fn len(&self) -> usize {
        self.parts.iter().flatten().map(Vec::len).sum()
    }
}

/// What the next ACK is waiting for. Spec §7.3a.
#[derive(Debug, Default)]
pub(super) struct AckState {
    /// Data messages that are durable and not acknowledged yet.
    pub(super) waiting: u16,
    /// When the first of them arrived.
    pub(super) oldest: Option<Instant>,
    /// When the newest of them arrived.
    pub(super) newest: Option<Instant>,
    /// ACK_NOW, a duplicate, a refusal or a gap.
    pub(super) urgent: bool,
    /// The window that the device was told last.
    pub(super) told_window: u32,
}

/// Whether the session's address was proven, and what may be sent there until it is. Spec §9.3b.
#[derive(Debug, Default)]
pub(super) struct Address {
    /// Token of the PING that is out to the new address; `None`: the address is proven.
    pub(super) challenge: Option<u64>,
    /// Bytes that may still be sent while it is not.
    pub(super) credit: usize,
    /// When that PING was sent last.
    pub(super) asked: Instant,
}

/// What is to be sent down. One message is outstanding at a time. Spec §7.7a.
#[derive(Debug, Default)]
pub(super) struct Down {
    pub(super) last_number: u32,
    pub(super) queue: VecDeque<Order>,
    pub(super) outstanding: Option<Outstanding>,
}

impl Down {
    /// True while something has not been sent for the first time. Spec §7.7, MORE.
    pub(super) fn has_more(&self) -> bool {
        !self.queue.is_empty()
            || self.outstanding.as_ref().is_some_and(|order| order.recording.is_some())
    }

    /// True when the outstanding message went unanswered: the device may have slept.
    pub(super) fn is_overdue(&self) -> bool {
        self.outstanding.as_ref().is_some_and(|order| order.timeouts > 0)
    }
}

/// A CONFIG, COMMAND or ALERT that waits for its turn.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) kind: senda_wire::MessageType,
    pub(super) id: u32,
    /// Body of the message; a COMMAND's ttl_ms is filled in when it is sent.
    pub(super) body: Vec<u8>,
    /// A command that was not sent by then is expired.
    pub(super) expires: Option<Instant>,
}

/// The one that was sent, or is about to be.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) order: Order,
    pub(super) number: u32,
    /// Set while the store records that a command is about to be sent. Spec §7.7d.
    pub(super) recording: Option<Token>,
    pub(super) timeouts: u32,
    /// When it left last.
    pub(super) sent: Option<Instant>,
}
