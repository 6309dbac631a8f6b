//! Rows without acknowledgement: a short queue, no promise. Spec §5.10, §7.8.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use senda_wire::Clock;

use super::config::UNACKED_MAX;

/// A row that leaves once, or never.
#[derive(Clone, Debug)]
pub(super) struct Unacked {
    pub(super) schema: u8,
    pub(super) clock: Clock,
    pub(super) time_us: i64,
    pub(super) row: Box<[u8]>,
}

/// Those that wait, and the counter of the stream.
#[derive(Clone, Debug, Default)]
pub(super) struct UnackedQueue {
    waiting: VecDeque<Unacked>,
    counter: u32,
}

impl UnackedQueue {
    /// Appends; true when the oldest had to go for it.
    pub(super) fn push(&mut self, message: Unacked) -> bool {
        let full = self.waiting.len() >= UNACKED_MAX;
        if full {
            self.waiting.pop_front();
        }
        self.waiting.push_back(message);
        full
    }

    pub(super) fn front(&self) -> Option<&Unacked> {
        self.waiting.front()
    }

    /// The number of the message in front.
    pub(super) const fn counter(&self) -> u32 {
        self.counter
    }

    /// The one in front left.
    pub(super) fn sent(&mut self) {
        self.waiting.pop_front();
        self.counter = self.counter.wrapping_add(1);
    }

    /// The one in front can't leave.
    pub(super) fn drop_front(&mut self) {
        self.waiting.pop_front();
    }

    pub(super) fn begin_stream(&mut self) {
        self.counter = 0;
    }
}
