#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code, reason = "each target uses one function of the three")]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::frame(input));
