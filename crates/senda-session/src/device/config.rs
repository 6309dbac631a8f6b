//! What the caller decides about a device session, and the limits that it can't move.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use senda_wire::DeviceName;
use senda_wire::registry::{DATAGRAM_MAX, KEEPALIVE_MAX_S, MAX_MSG_MIN, MESSAGE_MAX, NAME_MAX};
use senda_wire::registry::{TCP_MESSAGE_DEFAULT, downlink};

/// Most data messages in flight that [`Config::window_messages`] may ask for.
pub const WINDOW_MESSAGES_MAX: u16 = 4_096;
/// Most rows that [`QueueLimits::rows`] may allow; each costs 32 bytes beside its own.
pub const QUEUE_ROWS_MAX: u32 = 1 << 26;
/// Most bytes that [`QueueLimits::bytes`] may allow.
pub const QUEUE_BYTES_MAX: u32 = 1 << 30;
/// Events that wait for [`Device::poll_event`](super::Device::poll_event); beyond it the oldest that only informs goes.
pub const EVENTS_MAX: usize = 256;
/// PINGs of the collector that wait for their PONG; more are not answered.
pub(super) const PONGS_MAX: usize = 4;
/// Messages without acknowledgement that wait to be sent; beyond it the oldest goes.
pub(super) const UNACKED_MAX: usize = 64;
/// Largest ACK cadence that HELLO may ask for. Spec §5.1.
const ACK_EVERY_MAX: u16 = 1_024;

/// What carries the session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// Datagrams: the session resends, paces and backs off.
    Udp,
    /// A stream: the transport does.
    Tcp,
}

/// What happens to a row that finds the queue full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DropPolicy {
    /// The oldest rows make room; a SKIP(OVERFLOW) tells the collector. Spec §14, case 5.
    DropOldest,
    /// It is refused with [`PushError::Full`](super::PushError::Full); it gets no number.
    RefuseNew,
}

/// How much the queue of unacknowledged rows holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueLimits {
    /// Rows, 1 to [`QUEUE_ROWS_MAX`].
    pub rows: u32,
    /// Bytes of rows in ROWS form, at least one largest row, at most [`QUEUE_BYTES_MAX`].
    pub bytes: u32,
    /// What happens beyond either.
    pub policy: DropPolicy,
}

/// When rows leave that could still be joined by others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Batch {
    /// A message leaves when it has that many rows (or is full). 1: at once. Spec §5.16, `batch_rows`.
    pub rows: u16,
    /// ... or when its oldest row has waited that long.
    pub delay: Duration,
}

/// What the caller decides about a session.
#[derive(Clone, Debug)]
pub struct Config {
    /// The device's name. Spec §2.2.
    pub device: String,
    /// The stream; `None` draws one, as every boot must. `Some` only for rows that a spool kept. Spec §2.3.
    pub stream: Option<u64>,
    /// Number of the first row that will be pushed; above 0 only with a spool's stream.
    pub first_row: u32,
    /// The stream is an old one: its rows end before this number, and no more will be made. They are pushed from
    /// `first_row` on, in pieces; HELLO says this number. `None` for a stream that grows. Spec §6.5.
    pub ends: Option<u32>,
    /// The device says something at least this often. 1 s to a day.
    pub keepalive: Duration,
    /// One ACK for that many data messages is enough, 1 to 1,024.
    pub ack_every: u16,
    /// ... or after this time, whichever is first. At most 65 s.
    pub ack_delay: Duration,
    /// Longest message that this device takes over TCP. Bounds the reassembly buffer.
    pub tcp_max_msg: u16,
    /// Bits of [`senda_wire::registry::downlink`]: what the application answers by `done`.
    pub downlink: u8,
    /// Revision of the CONFIG in force, 0 for none.
    pub config_rev: u32,
    /// Highest command id that this device has begun, 0 for none. Spec §7.7.
    pub last_command_id: u32,
    /// Name and version of the software for HELLO; empty for none. At most 63 bytes.
    pub software: String,
    /// Data messages in flight at most; 1 is the simple profile. 1 to [`WINDOW_MESSAGES_MAX`].
    pub window_messages: u16,
    /// How much the queue holds.
    pub queue: QueueLimits,
    /// When rows leave.
    pub batch: Batch,
    /// Longest random wait before the first HELLO, so that a fleet does not start in one instant.
    pub start_jitter: Duration,
    /// Longest random wait before HELLO after CLOSE 401. Spec §6.3b says 10 s.
    pub rejoin_jitter: Duration,
    /// How often to ask for the time, more often at first; `None`: never. Needs [`Device::set_clock`](super::Device::set_clock).
    pub time_every: Option<Duration>,
    /// How long after a row at the latest the device tells its ledger (COUNTS), which takes a row number; `None`: only by
    /// [`Device::push_counts`](super::Device::push_counts). Spec §5.11b.
    pub counts_every: Option<Duration>,
}

impl Config {
    /// The defaults for a device of this name: full profile, 10,000 rows or 1 MiB queued, oldest dropped.
    pub fn new(device: &str) -> Self {
        Self {
            device: device.into(),
            stream: None,
            first_row: 0,
            ends: None,
            keepalive: Duration::from_secs(30),
            ack_every: 1,
            ack_delay: Duration::ZERO,
            tcp_max_msg: u16::try_from(TCP_MESSAGE_DEFAULT).unwrap_or(u16::MAX),
            downlink: 0,
            config_rev: 0,
            last_command_id: 0,
            software: String::new(),
            window_messages: 64,
            queue: QueueLimits { rows: 10_000, bytes: 1 << 20, policy: DropPolicy::DropOldest },
            batch: Batch { rows: 1, delay: Duration::ZERO },
            start_jitter: Duration::ZERO,
            rejoin_jitter: Duration::from_secs(10),
            time_every: None,
            counts_every: None,
        }
    }

    /// Longest message that this device takes, as HELLO says.
    pub(super) fn max_msg(&self, transport: Transport) -> u16 {
        match transport {
            Transport::Udp => u16::try_from(DATAGRAM_MAX).unwrap_or(u16::MAX),
            Transport::Tcp => self.tcp_max_msg,
        }
    }

    /// Whole seconds, as HELLO says them.
    pub(super) fn keepalive_s(&self) -> u32 {
        u32::try_from(self.keepalive.as_secs()).unwrap_or(KEEPALIVE_MAX_S)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |field| Err(ConfigError { field });
        if DeviceName::new(&self.device).is_none() {
            return wrong("device");
        }
        if !(1..=KEEPALIVE_MAX_S.into()).contains(&self.keepalive.as_secs()) {
            return wrong("keepalive");
        }
        if !(1..=ACK_EVERY_MAX).contains(&self.ack_every) {
            return wrong("ack_every");
        }
        if self.ack_delay.as_millis() > u16::MAX.into() {
            return wrong("ack_delay");
        }
        if !(MAX_MSG_MIN..=MESSAGE_MAX).contains(&usize::from(self.tcp_max_msg)) {
            return wrong("tcp_max_msg");
        }
        if self.downlink & !downlink::ALL != 0 {
            return wrong("downlink");
        }
        if self.software.len() > NAME_MAX {
            return wrong("software");
        }
        if !(1..=WINDOW_MESSAGES_MAX).contains(&self.window_messages) {
            return wrong("window_messages");
        }
        if self.ends.is_some_and(|ends| self.stream.is_none() || ends < self.first_row) {
            return wrong("ends");
        }
        let QueueLimits { rows, bytes, .. } = self.queue;
        if !(1..=QUEUE_ROWS_MAX).contains(&rows) {
            return wrong("queue.rows");
        }
        if !(1..=QUEUE_BYTES_MAX).contains(&bytes) {
            return wrong("queue.bytes");
        }
        if self.batch.rows == 0 {
            return wrong("batch.rows");
        }
        Ok(())
    }
}

/// A field of [`Config`] is outside its range. The local caller is at fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConfigError {
    /// Its name.
    pub field: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is outside its range", self.field)
    }
}

impl core::error::Error for ConfigError {}
