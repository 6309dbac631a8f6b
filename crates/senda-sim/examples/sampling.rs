//! How fast a fleet of instruments is sampled on one core.
//!
//! `cargo run --release -p senda-sim --example sampling`
#![expect(clippy::print_stdout, reason = "an example that reports figures")]

use std::time::Instant;

use senda_sim::{Instrument, Profile, ProfileError};

const DEVICES: u32 = 100_000;
const ROUNDS: u32 = 10;

fn main() -> Result<(), ProfileError> {
    println!("{DEVICES} instruments, {ROUNDS} samples each, one core");
    println!("profile      values/row  row bytes  make ms  ns/row  ns/value  M values/s");
    for (name, _) in Profile::built_in() {
        measure(name, Profile::load(name)?);
    }
    Ok(())
}

fn measure(name: &str, profile: Profile) {
    let start = Instant::now();
    let mut fleet: Vec<_> =
        (0..DEVICES).map(|device| Instrument::new(profile, device, 42, 0)).collect();
    let make_ms = start.elapsed().as_millis();

    let mut row = Vec::with_capacity(profile.schema().row_max());
    let mut bytes = 0;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for instrument in &mut fleet {
            row.clear();
            instrument.sample_due(&mut row);
            bytes += row.len();
        }
    }
    let rows = f64::from(DEVICES * ROUNDS);
    let ns_per_row = start.elapsed().as_secs_f64() * 1e9 / rows;
    let values = profile.schema().values();
    let ns_per_value = ns_per_row / values as f64;
    println!(
        "{name:12} {values:10} {:10.1} {make_ms:8} {ns_per_row:7.0} {ns_per_value:9.1} {:11.1}",
        bytes as f64 / rows,
        1e3 / ns_per_value,
    );
}
