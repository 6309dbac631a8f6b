//! Draws from distributions, all from one generator.

use rand::RngExt;
use rand_distr::{Distribution, Exp1, Poisson, StandardNormal};

pub(crate) use rand_pcg::Pcg64Mcg as Generator;

/// Uniform in 0..1.
pub(crate) fn uniform(rng: &mut Generator) -> f64 {
    rng.random()
}

/// Uniform in low..high.
pub(crate) fn between(rng: &mut Generator, low: f64, high: f64) -> f64 {
    low + (high - low) * uniform(rng)
}

/// Mean 0, deviation 1.
pub(crate) fn normal(rng: &mut Generator) -> f64 {
    StandardNormal.sample(rng)
}

/// Mean 1.
pub(crate) fn exponential(rng: &mut Generator) -> f64 {
    Exp1.sample(rng)
}

/// Events in a time in which `mean` are expected. Nothing is drawn when none can come.
pub(crate) fn events(rng: &mut Generator, mean: f64) -> f64 {
    Poisson::new(mean).map_or(0.0, |poisson| poisson.sample(rng))
}

/// How long before the end of `span_s` the last event was, where events come every `mean_s` on
/// average; `None` when there was none. One draw, however long the span.
pub(crate) fn last_event_age(rng: &mut Generator, span_s: f64, mean_s: f64) -> Option<f64> {
    // Backwards in time, the wait for an event without memory is exponential too.
    let age_s = exponential(rng) * mean_s;
    (age_s < span_s).then_some(age_s)
}
