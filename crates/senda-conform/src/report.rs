//! Verdicts, label by label.

use std::time::Duration;

use crate::binding::Part;
use crate::{Requirement, Role, Transport};

/// What the kit has to say of one requirement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// In every conversation that showed it.
    Holds,
    /// In at least one it did not hold.
    Fails(Vec<Failure>),
    /// Nothing was shown; why.
    NotExercised(String),
    /// It binds the other side.
    NotBound,
}

impl Verdict {
    /// As in tables and JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails(_) => "FAILS",
            Self::NotExercised(_) => "not exercised",
            Self::NotBound => "not bound",
        }
    }
}

/// One conversation in which a requirement did not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Over which transport.
    pub transport: Transport,
    /// The conversation.
    pub scenario: &'static str,
    /// What the specification asks for there.
    pub expected: String,
    /// What came instead.
    pub came: String,
    /// The message that shows it; empty where nothing came.
    pub bytes: Vec<u8>,
}

/// A requirement and its verdict.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// The sentence.
    pub requirement: Requirement,
    /// What was found.
    pub verdict: Verdict,
    /// The transports over which it was exercised.
    pub transports: Vec<Transport>,
}

/// How many of the requirements that bind the role got which verdict.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Exercised, and never broken.
    pub hold: usize,
    /// Broken at least once.
    pub fail: usize,
    /// Not exercised.
    pub not_exercised: usize,
}

impl Tally {
    /// All that bind the role.
    pub const fn bound(&self) -> usize {
        self.hold + self.fail + self.not_exercised
    }
}

/// What was found about one implementation.
#[derive(Clone, Debug)]
pub struct Report {
    /// The side that was judged.
    pub role: Role,
    /// Every requirement that was asked for, in the order of the specification.
    pub lines: Vec<Line>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Counts the verdicts.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for line in &self.lines {
            match line.verdict {
                Verdict::Holds => tally.hold += 1,
                Verdict::Fails(_) => tally.fail += 1,
                Verdict::NotExercised(_) => tally.not_exercised += 1,
                Verdict::NotBound => {}
            }
        }
        tally
    }

    /// Puts what the scenarios found beside the sentences.
    pub(crate) fn new(
        role: Role,
        requirements: Vec<Requirement>,
        findings: &[Finding],
        took: Duration,
    ) -> Self {
        let lines = requirements.into_iter().map(|requirement| {
            let found: Vec<&Finding> =
                findings.iter().filter(|finding| finding.label == requirement.label).collect();
            line(role, requirement, &found)
        });
        Self { role, lines: lines.collect(), took }
    }
}

/// What one scenario says of one label.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) label: &'static str,
    pub(crate) transport: Transport,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Holds,
    Fails(Failure),
    NotExercised(String),
}

fn line(role: Role, requirement: Requirement, found: &[&Finding]) -> Line {
    let mut transports: Vec<Transport> = found
        .iter()
        .filter(|finding| !matches!(finding.outcome, Outcome::NotExercised(_)))
        .map(|finding| finding.transport)
        .collect();
    transports.sort_unstable();
    transports.dedup();
    let failures: Vec<Failure> = found
        .iter()
        .filter_map(|finding| match &finding.outcome {
            Outcome::Fails(failure) => Some(failure.clone()),
            _ => None,
        })
        .collect();
    let verdict = match requirement.part(role) {
        Part::NotBound => Verdict::NotBound,
        Part::Unseen(why) => Verdict::NotExercised(why.to_owned()),
        Part::Judged if !failures.is_empty() => Verdict::Fails(failures),
        Part::Judged if !transports.is_empty() => Verdict::Holds,
        Part::Judged => Verdict::NotExercised(reasons(found)),
    };
    Line { requirement, verdict, transports }
}

/// Why nothing was shown, each reason once.
fn reasons(found: &[&Finding]) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for finding in found {
        if let Outcome::NotExercised(reason) = &finding.outcome
            && !reasons.contains(&&**reason)
        {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() {
        return "no conversation over the chosen transports shows it".to_owned();
    }
    reasons.join("; ")
}
