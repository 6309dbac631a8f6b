//! What lasts as long as one session: its terms, its window, its signs of life.

use core::time::Duration;

use senda_wire::Welcome;
use senda_wire::registry::{ROWS_PER_MESSAGE_MAX, encoding};

/// One message may leave though a limit stands against it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Credit {
    /// None may.
    None,
    /// What timed out, beyond cwnd. Spec §7.5.
    Resend,
    /// One row, beyond the window. Spec §8.1b.
    Probe,
}

/// A PING that waits for its PONG.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) seq: u32,
    pub(super) token: u64,
    /// Times it was sent.
    pub(super) tries: u32,
    /// It is to leave now.
    pub(super) due: bool,
}

/// A session that is open.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) id: u32,
    /// Longest message that the collector takes on this transport.
    pub(super) message_max: usize,
    pub(super) values_max: usize,
    pub(super) decoded_max: usize,
    /// The collector reads SPARSE. Spec §5.3.
    pub(super) reads_sparse: bool,
    /// The collector has nothing of this stream. Spec §5.4d.
    pub(super) is_fresh_stream: bool,
    pub(super) keepalive: Duration,
    pub(super) ack_every: u16,
    /// What an ACK may take beyond the round trip: ack_delay and commit_interval.
    pub(super) ack_patience: Duration,
    /// Every row below it is durable or resolved.
    pub(super) mark: u32,
    pub(super) window_rows: u32,
    /// What the last ACK with window 0 asked to wait.
    pub(super) retry_after: Duration,
    /// Rows that a message may have; NACK 203 lowers it.
    pub(super) rows_max: usize,
    pub(super) credit: Credit,
    /// Persist probes without any answer.
    pub(super) probes: u32,
    /// NACKs of class 1xx and 201 in a row; waits grow with them.
    pub(super) refusals: u32,
    pub(super) ping: Option<Asked>,
    pub(super) ping_counter: u32,
}

impl Session {
    pub(super) fn new(id: u32, message_max: usize, welcome: &Welcome<'_>) -> Self {
        let patience = u64::from(welcome.ack_delay_ms) + u64::from(welcome.commit_interval_ms);
        Self {
            id,
            message_max,
            values_max: usize::try_from(welcome.max_values).unwrap_or(usize::MAX),
            decoded_max: usize::try_from(welcome.max_decoded).unwrap_or(usize::MAX),
            reads_sparse: welcome.encodings & encoding::SPARSE != 0,
            is_fresh_stream: welcome.high_row == 0,
            keepalive: Duration::from_secs(welcome.keepalive_s.into()),
            ack_every: welcome.ack_every,
            ack_patience: Duration::from_millis(patience),
            mark: welcome.next_row,
            window_rows: welcome.window_rows,
            retry_after: Duration::ZERO,
            rows_max: ROWS_PER_MESSAGE_MAX,
            credit: Credit::None,
            probes: 0,
            refusals: 0,
            ping: None,
            ping_counter: 0,
        }
    }

    /// The first row that may not be sent. Spec §8.1a.
    pub(super) const fn window_end(&self) -> u32 {
        self.mark.saturating_add(self.window_rows)
    }
}
