//! Verdicts as a scenario finds them.

use std::cell::RefCell;
use std::rc::Rc;

use senda_wire::Message;
use senda_wire::registry::{DATAGRAM_MAX, Direction, flag};

use crate::message::Seen;
use crate::report::{Failure, Finding, Outcome};
use crate::{Role, Transport};

/// The conversation can't go on. What was to be said of it has been noted.
#[derive(Debug)]
pub(crate) struct Stop;

pub(crate) type Step<T = ()> = Result<T, Stop>;

/// Labels that every message of the judged side is measured by, whatever the scenario. Spec §3.2, §3.3, §3.4, §5.
pub(crate) const OBSERVED: [&str; 4] = ["3.2a", "3.3a", "3.4a", "5a"];

/// What one scenario has found so far; its clones are the same notes.
#[derive(Clone)]
pub(crate) struct Notes {
    inner: Rc<RefCell<Inner>>,
    pub(crate) judged: Role,
    pub(crate) transport: Transport,
    scenario: &'static str,
}

#[derive(Default)]
struct Inner {
    findings: Vec<Finding>,
    /// Something came, so that the observed labels can be said to hold.
    observed: bool,
    /// Why the scenario ended early.
    stopped: Option<String>,
}

impl Notes {
    pub(crate) fn new(judged: Role, transport: Transport, scenario: &'static str) -> Self {
        Self { inner: Rc::default(), judged, transport, scenario }
    }

    pub(crate) fn holds(&self, label: &'static str) {
        self.note(label, Outcome::Holds);
    }

    pub(crate) fn fails(
        &self,
        label: &'static str,
        expected: impl Into<String>,
        came: impl Into<String>,
        bytes: &[u8],
    ) {
        self.note(
            label,
            Outcome::Fails(Failure {
                transport: self.transport,
                scenario: self.scenario,
                expected: expected.into(),
                came: came.into(),
                bytes: bytes.to_vec(),
            }),
        );
    }

    pub(crate) fn not_exercised(&self, label: &'static str, why: impl Into<String>) {
        self.note(label, Outcome::NotExercised(why.into()));
    }

    /// Holds or fails, shown by `seen`.
    pub(crate) fn require(&self, label: &'static str, good: bool, expected: &str, seen: &Seen) {
        if good {
            self.holds(label);
        } else {
            self.fails(label, expected, seen.to_string(), &seen.bytes);
        }
    }

    /// Holds if nothing among `seen` is `bad`.
    pub(crate) fn require_none(
        &self,
        label: &'static str,
        seen: &[Seen],
        expected: &str,
        bad: impl Fn(&Seen) -> bool,
    ) {
        match seen.iter().find(|seen| bad(seen)) {
            Some(bad) => self.fails(label, expected, bad.to_string(), &bad.bytes),
            None => self.holds(label),
        }
    }

    /// The conversation ended for a reason that is nobody's verdict: the remaining labels are not exercised.
    pub(crate) fn stop(&self, why: impl Into<String>) -> Stop {
        self.inner.borrow_mut().stopped.get_or_insert(why.into());
        Stop
    }

    /// It ended because `label` does not hold.
    pub(crate) fn stop_failed(
        &self,
        label: &'static str,
        expected: impl Into<String>,
        came: impl Into<String>,
    ) -> Stop {
        let expected = expected.into();
        self.fails(label, expected.clone(), came, &[]);
        self.stop(format!("the conversation ended at [{label}]: there was no {expected}"))
    }

    /// Measures a message of the judged side by what holds for all of them. Spec §3.2a, §3.3a, §5a.
    pub(crate) fn observe(&self, seen: &Seen) {
        self.inner.borrow_mut().observed = true;
        let (foreign, wrong_way) = match self.judged {
            Role::Collector => (flag::ACK_NOW, Direction::ToCollector),
            Role::Device => (flag::MORE, Direction::ToDevice),
        };
        if seen.flags & foreign != 0 {
            self.fails(
                "3.2a",
                "flags without a meaning in this direction are 0",
                seen.to_string(),
                &seen.bytes,
            );
        }
        if let Err(error) = seen.message() {
            let expected = format!("the body of its type: {error}");
            self.fails("5a", expected, seen.to_string(), &seen.bytes);
        }
        if seen.kind().is_some_and(|kind| kind.direction() == wrong_way) {
            self.fails("5a", "a type that goes in this direction", seen.to_string(), &seen.bytes);
        }
        if let Ok(Message::Unknown { .. }) = seen.message() {
            self.fails("5a", "a type of section 5", seen.to_string(), &seen.bytes);
        }
    }

    /// Measures a datagram of the judged side. Spec §3.4a.
    pub(crate) fn observe_datagram(&self, datagram: &[u8], max: usize) {
        let max = max.min(DATAGRAM_MAX);
        if datagram.len() > max {
            let came = format!("a datagram of {} bytes", datagram.len());
            self.fails("3.4a", format!("at most {max} bytes"), came, datagram);
        }
    }

    /// Bytes of the judged side that are no message. Spec §3.3a.
    pub(crate) fn observe_noise(&self, bytes: &[u8], why: &str) {
        self.fails("3.3a", "messages with a CRC-32 trailer", why, bytes);
    }

    /// What the scenario found, with a word for each of its labels.
    pub(crate) fn into_findings(self, labels: &[&'static str]) -> Vec<Finding> {
        let mut inner = self.inner.borrow_mut();
        let (observed, stopped) = (inner.observed, inner.stopped.take());
        let mut findings = std::mem::take(&mut inner.findings);
        let mut add = |label: &'static str, outcome: Outcome| {
            if !findings.iter().any(|finding| finding.label == label) {
                findings.push(Finding { label, transport: self.transport, outcome });
            }
        };
        for label in labels {
            let why = stopped.clone().unwrap_or("the conversation did not come to it".to_owned());
            add(label, Outcome::NotExercised(why));
        }
        for label in OBSERVED.into_iter().filter(|_| observed) {
            if label != "3.4a" || self.transport == Transport::Udp {
                add(label, Outcome::Holds);
            }
        }
        findings
    }

    fn note(&self, label: &'static str, outcome: Outcome) {
        let finding = Finding { label, transport: self.transport, outcome };
        self.inner.borrow_mut().findings.push(finding);
    }
}
