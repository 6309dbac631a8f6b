//! What is asked at one time, sorted into the order in which it is done.

use std::convert::Infallible;
use std::sync::Arc;

use senda_session::collector::{Notice, Token};
use senda_store::{HelloReport, Landing};

use crate::words::{translate_notice, translate_what};
use crate::{Conclusion, Request};

/// Everything for one commit.
///
/// `W` is who else waits for the verdict on a landing, beside the engine: a raw listener, say. By default nobody does.
#[derive(Debug)]
pub struct Batch<W = Infallible> {
    pub(crate) landings: Vec<Landing>,
    /// For each landing: who waits for its verdict.
    pub(crate) waiting: Vec<Waiter<W>>,
    /// Answered after the commit: the marks then include every landing before. Spec §6.4.
    pub(crate) opens: Vec<(Token, Arc<str>, u64)>,
    /// In the order of the engine: that a command did not leave must not undo that it leaves again, and a DONE may stand in
    /// the batch of the HELLO before it.
    pub(crate) steps: Vec<Step>,
    /// Devices for which something may wait.
    pub(crate) waiting_for: Vec<Arc<str>>,
}

/// Who waits for a verdict.
#[derive(Debug)]
pub(crate) enum Waiter<W> {
    Nobody,
    Engine(Token),
    Other(W),
}

/// Something that happens to orders.
#[derive(Debug)]
pub(crate) enum Step {
    /// A command is about to be sent.
    Record(Token, Arc<str>, u32),
    /// A device said what it has.
    Hello(HelloReport),
    /// An order came to its end.
    Conclude(Conclusion),
}

impl<W> Default for Batch<W> {
    fn default() -> Self {
        Self {
            landings: Vec::new(),
            waiting: Vec::new(),
            opens: Vec::new(),
            steps: Vec::new(),
            waiting_for: Vec::new(),
        }
    }
}

impl<W> Batch<W> {
    /// Adds what the engine asks, at `now_us` microseconds since 1970.
    pub fn add(&mut self, request: Request, now_us: i64) {
        match request {
            Request::Open { token, device, stream } => self.opens.push((token, device, stream)),
            Request::Land { token, device, stream, received_us, what } => {
                let what = translate_what(what);
                let landing = Landing { device, stream, received: received_us, what };
                self.push(Waiter::Engine(token), landing);
            }
            Request::Record { token, device, command_id } => {
                self.steps.push(Step::Record(token, device, command_id));
            }
            Request::Conclude(conclusion) => self.steps.push(Step::Conclude(conclusion)),
            Request::Orders { device } => self.waiting_for.push(device),
            Request::Notice { device, stream, transport, software, notice } => {
                if let Notice::Welcomed { config_rev, last_command_id, downlink, .. } = notice {
                    let device = device.clone();
                    let hello = HelloReport { device, config_rev, last_command_id, downlink };
                    self.steps.push(Step::Hello(hello));
                }
                if let Some(what) = translate_notice(transport, software, notice) {
                    self.push(Waiter::Nobody, Landing { device, stream, received: now_us, what });
                }
            }
        }
    }

    /// Adds a landing of somebody else than the engine; `waiter` hears of its verdict.
    pub fn land(&mut self, waiter: Option<W>, landing: Landing) {
        self.push(waiter.map_or(Waiter::Nobody, Waiter::Other), landing);
    }

    /// What is going to land.
    pub fn landings(&self) -> &[Landing] {
        &self.landings
    }

    fn push(&mut self, waiter: Waiter<W>, landing: Landing) {
        self.landings.push(landing);
        self.waiting.push(waiter);
    }
}

#[cfg(test)]
mod tests {
    use senda_store::What;

    use super::*;

    #[test]
    fn a_welcome_is_kept_as_a_landing_and_tells_what_the_device_has() {
        let mut batch: Batch = Batch::default();
        let notice = Notice::Welcomed {
            session: 1,
            next_row: 0,
            config_rev: 3,
            last_command_id: 4,
            downlink: 2,
        };
        let request = Request::Notice {
            device: "gh-7".into(),
            stream: 9,
            transport: "udp",
            software: "probe 1".into(),
            notice,
        };
        batch.add(request, 5);
        let [landing] = batch.landings() else { panic!("{batch:?}") };
        assert_eq!((landing.stream, landing.received), (9, 5));
        assert!(matches!(&landing.what, What::Seen { transport, .. } if transport == "udp"));
        assert!(matches!(&batch.steps[..], [Step::Hello(hello)] if hello.last_command_id == 4));
    }
}
