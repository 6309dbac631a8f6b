//! One seed for the fleet, one for each purpose of each device.

use rand_pcg::Pcg64Mcg;

/// A seed for `purpose` of one device.
///
/// Purposes don't disturb each other: a channel keeps its values when another one is added, and
/// loss on the network leaves the readings alone.
pub fn derive_seed(seed: u64, device: u32, purpose: &str) -> u64 {
    mix(mix(mix(seed) ^ u64::from(device)) ^ fnv1a(purpose.as_bytes()))
}

/// The generator behind [`derive_seed`].
pub(crate) fn generator(seed: u64) -> Pcg64Mcg {
    let (high, low) = (mix(seed), mix(!seed));
    Pcg64Mcg::new(u128::from(high) << 64 | u128::from(low))
}

/// The output function of SplitMix64: a bijection in which every input bit moves half of the
/// output bits.
pub(crate) const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

fn fnv1a(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, fold)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn seeds_of_neighbouring_devices_and_purposes_all_differ() {
        let mut seen = HashSet::new();
        for seed in 0..10 {
            for device in 0..100 {
                for purpose in ["", "a", "b", "ab", "stream", "link"] {
                    assert!(seen.insert(derive_seed(seed, device, purpose)));
                }
            }
        }
    }

    /// A recorded run must replay with a later version: these numbers never change.
    #[test]
    fn seeds_are_the_same_in_every_version() {
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF, "SplitMix64's first output for seed 0");
        assert_eq!(fnv1a(b"a"), 0xAF63_DC4C_8601_EC8C, "FNV-1a's published value");
    }
}
