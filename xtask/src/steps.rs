//! Steps that run one after the other until the first failure, timed.

use std::time::{Duration, Instant};

use anyhow::Context;

/// The steps done so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Runs one step and notes how long it took, whether it failed or not.
    pub(crate) fn step(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = work();
        self.done.push((name, start.elapsed()));
        outcome.with_context(|| format!("step {name} failed"))
    }
}

/// Runs `work`, then prints one line with every step and its seconds.
pub(crate) fn run_all(
    title: &str,
    work: fn(&mut Steps) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut steps = Steps::default();
    let outcome = work(&mut steps);
    let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
    let times: Vec<_> = steps
        .done
        .iter()
        .map(|(name, took)| format!("{name} {:.1} s", took.as_secs_f64()))
        .collect();
    println!("\n{title} {verdict}: {}", times.join(", "));
    outcome
}
