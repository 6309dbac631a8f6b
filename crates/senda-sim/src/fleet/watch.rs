//! What the caller of a fleet hears of while it runs.

use std::ops::ControlFlow;

use senda_session::device::{AlertDetail, Argument, LostReason, Welcomed};
use senda_wire::DoneStatus;

use super::Figures;

/// Watches a fleet. A closure that takes the figures is one.
pub trait Watch {
    /// Hears of the figures several times a second; `Break` ends the fleet.
    fn figures(&mut self, figures: &Figures) -> ControlFlow<()>;

    /// True to hear of single events too.
    fn is_close(&self) -> bool {
        false
    }

    /// Something happened to the device of this name.
    fn happened(&mut self, device: &str, what: &Happening<'_>) {
        let _ = (device, what);
    }
}

impl<F: FnMut(&Figures) -> ControlFlow<()>> Watch for F {
    fn figures(&mut self, figures: &Figures) -> ControlFlow<()> {
        self(figures)
    }
}

/// What happened to a device.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Happening<'a> {
    /// A session is open.
    Welcomed(&'a Welcomed),
    /// A session is gone.
    Lost(&'a LostReason),
    /// A CONFIG came and was answered.
    Config {
        /// Its revision.
        revision: u32,
        /// What it asks for.
        settings: &'a [Argument],
        /// What the device said.
        answer: &'a Answer,
    },
    /// A COMMAND came and was answered.
    Command {
        /// Its id.
        id: u32,
        /// What to do.
        name: &'a str,
        /// With what.
        arguments: &'a [Argument],
        /// What the device said.
        answer: &'a Answer,
    },
    /// An ALERT came.
    Alert(&'a AlertDetail),
    /// The device knows better what its clock is worth.
    Time {
        /// UTC minus the clock, microseconds.
        offset_us: i64,
        /// Microseconds.
        uncertainty_us: u32,
    },
    /// The device rebooted.
    Rebooted {
        /// The new stream.
        stream: u64,
        /// Unacknowledged rows that were in its memory.
        forgotten: u64,
    },
}

/// What a DONE says. Spec §5.20.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The outcome.
    pub status: DoneStatus,
    /// For people.
    pub text: String,
    /// Typed values.
    pub results: Vec<Argument>,
}

impl Answer {
    /// An answer without results.
    pub fn new(status: DoneStatus, text: &str) -> Self {
        Self { status, text: text.into(), results: Vec::new() }
    }
}
