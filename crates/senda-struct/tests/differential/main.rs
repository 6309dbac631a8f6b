//! A million random formats, values and bytes: this crate and CPython's own `struct` answer alike.
//!
//! One `python3` judges what this crate answered: bytes, values with their types and bits, the texts of refusals.
//! `SENDA_STRUCT_SEED` and `SENDA_STRUCT_CASES` look elsewhere, and longer.

mod cases; // random formats, values and bytes
mod judge; // the child that knows better
mod marshal; // what it reads

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use senda_struct::Value;

use cases::Cases;
use judge::{Judge, Question};

/// Formats; each is asked several questions.
const CASES: u64 = 1_000_000;
const SEED: u64 = 20_240_601;

#[test]
fn a_million_random_cases_are_answered_as_cpython_answers_them() {
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name}: {error}")),
        Err(_) => default,
    };
    let (seed, count) = (number("SENDA_STRUCT_SEED", SEED), number("SENDA_STRUCT_CASES", CASES));
    let mut cases = Cases::new(Pcg64Mcg::seed_from_u64(seed));
    let mut judge = Judge::start();
    for _ in 0..count {
        cases.ask(&mut judge);
    }
    let asked = judge.asked();
    judge.finish(&format!("SENDA_STRUCT_SEED={seed}"));
    // That the million is no empty number: most formats are good, and most questions have values for an answer.
    let cases::Seen { good_formats, values, refusals } = cases.seen;
    println!(
        "{count} formats, {good_formats} good; {asked} questions, {values} with values, {refusals} refused"
    );
    assert!(good_formats > count * 7 / 10, "{good_formats} good formats of {count}");
    assert!(values > count * 2 && refusals > count / 2, "{values} and {refusals} of {count}");
}

/// Every half float there is, every point halfway between two of them, and the floats beside that.
#[test]
fn all_half_floats_and_what_lies_between_are_cpythons() {
    let mut judge = Judge::start();
    let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    judge.ask(&Question::Unpack { text: "<65536e", bytes: &all });
    let halves = senda_struct::unpack("<65536e", &all).expect("as many bytes");
    let halves: Vec<f64> = halves.iter().filter_map(finite).collect();
    let mut between = Vec::new();
    for pair in
        halves.windows(2).filter(|pair| pair[0].is_sign_negative() == pair[1].is_sign_negative())
    {
        let middle = f64::midpoint(pair[0], pair[1]).to_bits();
        between.extend(
            [middle - 1, middle, middle + 1].map(|bits| Value::Float(f64::from_bits(bits))),
        );
    }
    assert_eq!(between.len(), 3 * 2 * 0x7bff, "all but the infinite ones, of both signs");
    for order in ["<", ">", "@"] {
        let text = format!("{order}{}e", between.len());
        judge.ask(&Question::Pack { text: &text, values: &between });
    }
    judge.finish("half floats");
}

fn finite(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) if value.is_finite() => Some(*value),
        _ => None,
    }
}
