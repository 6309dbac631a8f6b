//! Scenarios, several at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::notes::{Notes, OBSERVED, Step};
use crate::report::Finding;
use crate::{Error, Options, Report, Requirement, Role, Transport, requirements};

/// One scripted conversation. `S` is what it is played on.
pub(crate) struct Scenario<S> {
    /// A claim.
    pub(crate) name: &'static str,
    /// What it can show.
    pub(crate) labels: &'static [&'static str],
    pub(crate) over: Over,
    pub(crate) play: fn(&mut S) -> Step,
}

/// The transports that a scenario makes sense over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Over {
    Each,
    Tcp,
    Udp,
}

impl Over {
    fn includes(self, transport: Transport) -> bool {
        matches!(
            (self, transport),
            (Self::Each, _) | (Self::Tcp, Transport::Tcp) | (Self::Udp, Transport::Udp)
        )
    }
}

/// The requirements that are asked for.
pub(crate) fn chosen(options: &Options) -> Result<Vec<Requirement>, Error> {
    let mut all = requirements();
    let known = |label: &&String| all.iter().any(|found| found.label == **label);
    if let Some(label) = options.only.iter().find(|label| !known(label)) {
        return Err(Error::UnknownLabel { label: label.clone() });
    }
    if !options.only.is_empty() {
        all.retain(|requirement| options.only.contains(&requirement.label));
    }
    Ok(all)
}

/// Plays every scenario that can show one of the chosen requirements; `stage` makes what one is played on.
pub(crate) fn run<S>(
    role: Role,
    scenarios: &'static [Scenario<S>],
    transports: &[Transport],
    options: &Options,
    stage: impl Fn(Notes) -> S + Sync,
) -> Result<Report, Error> {
    let begin = Instant::now();
    let chosen = chosen(options)?;
    let wanted = |label: &&'static str| chosen.iter().any(|found| found.label == **label);
    // Any conversation shows the observed ones, where none is made for them.
    let has_its_own = |label: &str| scenarios.iter().any(|made| made.labels.contains(&label));
    let observed = OBSERVED.iter().any(|label| wanted(label) && !has_its_own(label));
    let mut parts = Vec::new();
    for scenario in scenarios {
        if observed || scenario.labels.iter().any(&wanted) {
            let over = transports.iter().filter(|transport| scenario.over.includes(**transport));
            parts.extend(over.map(|transport| (scenario, *transport)));
        }
    }
    let next = AtomicUsize::new(0);
    let findings: Mutex<Vec<(usize, Vec<Finding>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, parts.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((scenario, transport)) = parts.get(at) else { break };
                    let found = play(role, scenario, *transport, &stage);
                    if let Ok(mut findings) = findings.lock() {
                        findings.push((at, found));
                    }
                }
            });
        }
    });
    let mut findings = findings.into_inner().unwrap_or_default();
    findings.sort_by_key(|(at, _)| *at);
    let findings: Vec<Finding> = findings.into_iter().flat_map(|(_, found)| found).collect();
    Ok(Report::new(role, chosen, &findings, begin.elapsed()))
}

fn play<S>(
    role: Role,
    scenario: &Scenario<S>,
    transport: Transport,
    stage: impl Fn(Notes) -> S,
) -> Vec<Finding> {
    let notes = Notes::new(role, transport, scenario.name);
    let mut stage = stage(notes.clone());
    // Whatever stopped it has been noted.
    let _ = (scenario.play)(&mut stage);
    drop(stage);
    notes.into_findings(scenario.labels)
}
