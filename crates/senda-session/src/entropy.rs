//! Random numbers from a seed: SHA-256 in counter mode.
//!
//! Session ids, nonces, tokens and cookie secrets must not be guessed, and a simulation must repeat. One generator
//! does both: the caller seeds it from the operating system, or from its scenario.

use core::time::Duration;

use sha2::{Digest, Sha256};

use crate::time::micros;

/// A stream of random numbers that its seed decides.
#[derive(Clone, Debug)]
pub struct Entropy {
    seed: [u8; 32],
    counter: u64,
}

impl Entropy {
    /// A generator; whoever knows the seed knows its numbers.
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    /// 32 random bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(self.counter.to_be_bytes());
        self.counter += 1;
        hash.finalize().into()
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// 32 random bits, never all zero: a session id.
    pub fn nonzero_u32(&mut self) -> u32 {
        loop {
            let [a, b, c, d, ..] = self.bytes();
            let number = u32::from_be_bytes([a, b, c, d]);
            if number != 0 {
                return number;
            }
        }
    }

    /// A random duration in `low..=high`.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let (low, high) = (micros(low), micros(high));
        let span = high.saturating_sub(low).saturating_add(1);
        Duration::from_micros(low.saturating_add(self.u64() % span))
    }

    /// `base` times a random factor from 1 to 1.5. Spec §6.3a, §7.5a.
    pub fn stretched(&mut self, base: Duration) -> Duration {
        self.between(base, base + base / 2)
    }

    /// `base` times a random factor from 1 to 1.25. Spec §8.3a.
    pub fn spread(&mut self, base: Duration) -> Duration {
        self.between(base, base + base / 4)
    }
}
