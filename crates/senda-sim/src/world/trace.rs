//! What happened in a world, line by line: the same seed and commit give the same bytes.

use std::collections::VecDeque;
use std::fmt::{Arguments, Write as _};
use std::io::Write;

use senda_session::Instant;

/// Lines that a failure shows.
pub const LAST_LINES: usize = 40;

/// The events of one world.
pub(super) struct Trace {
    hash: u64,
    lines: u64,
    last: VecDeque<String>,
    sink: Option<Box<dyn Write>>,
}

impl Trace {
    /// Every line goes to `sink` too, if there is one.
    pub(super) fn new(sink: Option<Box<dyn Write>>) -> Self {
        Self { hash: FNV_OFFSET, lines: 0, last: VecDeque::with_capacity(LAST_LINES), sink }
    }

    /// `who` did `what`.
    pub(super) fn note(&mut self, now: Instant, who: &str, what: Arguments<'_>) {
        let mut line = if self.last.len() < LAST_LINES {
            String::with_capacity(96)
        } else {
            self.last.pop_front().unwrap_or_default()
        };
        line.clear();
        let (seconds, micros) = (now.0 / 1_000_000, now.0 % 1_000_000);
        let _ = write!(line, "{seconds:>5}.{micros:06} {who:<10} {what}"); // A String takes everything.
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        self.lines += 1;
        if let Some(sink) = &mut self.sink
            && writeln!(sink, "{line}").is_err()
        {
            self.sink = None; // Nobody reads any more.
        }
        self.last.push_back(line);
    }

    /// A digest of every line so far.
    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    /// How many lines there were.
    pub(super) const fn lines(&self) -> u64 {
        self.lines
    }

    /// The last [`LAST_LINES`] lines, oldest first.
    pub(super) fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}

/// FNV-1a, 64 bits: it has to tell runs apart, not to resist anybody.
const FNV_OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01B3;
