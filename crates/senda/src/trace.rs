//! `--trace`: every message both ways, field by field, and every drop, on standard error.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use senda_server::{Direction, TraceSink};
use senda_wire::Frame;
use senda_wire::registry::MESSAGE_MAX;

use crate::show::{self, Schemas};

/// Lines in a second; what is beyond is counted and said.
const LINES_A_SECOND: u32 = 200;
/// Fields of one message on its line.
const FIELDS_MAX: usize = 64;

/// Writes a line for each message and drop, at most [`LINES_A_SECOND`].
pub(crate) struct Trace {
    schemas: Schemas,
    second: Instant,
    lines: u32,
    left_out: u64,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { schemas: Schemas::default(), second: Instant::now(), lines: 0, left_out: 0 }
    }

    /// True when this second still has room for a line.
    fn may_speak(&mut self) -> bool {
        if self.second.elapsed() >= Duration::from_secs(1) {
            if self.left_out > 0 {
                say(&format!(
                    "... {} lines left out (at most {LINES_A_SECOND} a second)",
                    self.left_out
                ));
            }
            (self.second, self.lines, self.left_out) = (Instant::now(), 0, 0);
        }
        if self.lines < LINES_A_SECOND {
            self.lines += 1;
            return true;
        }
        self.left_out += 1;
        false
    }

    fn line(&mut self, arrow: &str, transport: &str, peer: Option<SocketAddr>, bytes: &[u8]) {
        let Ok(frame) = Frame::decode(bytes, MESSAGE_MAX) else {
            return;
        };
        self.schemas.learn(&frame);
        if self.may_speak() {
            let text = show::one_line(&frame, &self.schemas, FIELDS_MAX);
            say(&format!("{arrow} {transport} {} {text}", place(peer)));
        }
    }
}

impl TraceSink for Trace {
    fn message(
        &mut self,
        direction: Direction,
        transport: &'static str,
        peer: Option<SocketAddr>,
        bytes: &[u8],
    ) {
        let arrow = match direction {
            Direction::Up => "->",
            Direction::Down => "<-",
        };
        self.line(arrow, transport, peer, bytes);
    }

    fn dropped(
        &mut self,
        transport: &'static str,
        peer: Option<SocketAddr>,
        reason: &str,
        section: &'static str,
    ) {
        if self.may_speak() {
            say(&format!("-x {transport} {} dropped: {reason} (§{section})", place(peer)));
        }
    }
}

fn place(peer: Option<SocketAddr>) -> String {
    peer.map_or_else(|| "?".to_owned(), |peer| peer.to_string())
}

/// A closed standard error is no reason to stop collecting.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
