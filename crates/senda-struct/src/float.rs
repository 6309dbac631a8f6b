//! Floats of 16 and 32 bits, rounded to nearest, ties to even. NaNs as CPython 3.11 treats them.

/// Bits of an f64: sign, exponent with its bias, fraction.
const F64_FRACTION_BITS: u32 = 52;
const F64_EXPONENT_BIAS: i32 = 1023;
const F64_EXPONENT_SPECIAL: u64 = 0x7ff;

const HALF_INFINITY: u16 = 0x7c00;
const HALF_QUIET: u16 = 0x0200;
const HALF_FRACTION_BITS: u32 = 10;
const HALF_EXPONENT_BIAS: i32 = 15;
/// The exponent of the least normal half float.
const HALF_EXPONENT_MIN: i32 = 1 - HALF_EXPONENT_BIAS;

/// The nearest half float, or none for a finite number that would round to infinity (65520 and above).
///
/// A NaN keeps its sign and nothing of its payload.
pub(crate) fn half_from(value: f64) -> Option<u16> {
    let bits = value.to_bits();
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let fraction = bits & ((1 << F64_FRACTION_BITS) - 1);
    let exponent = (bits >> F64_FRACTION_BITS) & F64_EXPONENT_SPECIAL;
    if exponent == F64_EXPONENT_SPECIAL {
        let quiet = if fraction == 0 { 0 } else { HALF_QUIET };
        return Some(sign | HALF_INFINITY | quiet);
    }
    // Fits: 11 bits.
    let exponent = i32::try_from(exponent).unwrap_or(0) - F64_EXPONENT_BIAS;
    // Below half of the least subnormal, 2^-24; every subnormal f64 is.
    if exponent < HALF_EXPONENT_MIN - 11 {
        return Some(sign);
    }
    if exponent > HALF_EXPONENT_BIAS {
        return None;
    }
    let significand = fraction | 1 << F64_FRACTION_BITS;
    let lost = F64_FRACTION_BITS - HALF_FRACTION_BITS;
    let below_normal = u32::try_from(HALF_EXPONENT_MIN - exponent).unwrap_or(0);
    // The leading bit of a normal number adds 1 to the exponent below; a subnormal's can do the same by rounding up.
    let rounded = shift_to_even(significand, lost + below_normal);
    let biased = u64::try_from(exponent - HALF_EXPONENT_MIN).unwrap_or(0);
    let magnitude = u16::try_from((biased << HALF_FRACTION_BITS) + rounded).ok()?;
    (magnitude < HALF_INFINITY).then_some(sign | magnitude)
}

/// The number that a half float is, exactly. All NaNs of one sign become one.
pub(crate) fn half_to(half: u16) -> f64 {
    let sign = u64::from(half >> 15) << 63;
    let exponent = u64::from(half >> HALF_FRACTION_BITS) & 0x1f;
    let fraction = u64::from(half & 0x03ff);
    let magnitude = match exponent {
        0 => {
            // As many units of 2^-24: exact, as is every power of two here.
            let unit = f64::from_bits(u64::from(F64_EXPONENT_BIAS.unsigned_abs() - 24) << 52);
            f64::from(half & 0x03ff) * unit
        }
        0x1f if fraction == 0 => f64::INFINITY,
        0x1f => f64::from_bits(NAN_BITS),
        _ => {
            let bias = (F64_EXPONENT_BIAS - HALF_EXPONENT_BIAS).unsigned_abs();
            let exponent = (exponent + u64::from(bias)) << F64_FRACTION_BITS;
            f64::from_bits(exponent | fraction << (F64_FRACTION_BITS - HALF_FRACTION_BITS))
        }
    };
    f64::from_bits(magnitude.to_bits() | sign)
}

/// The quiet NaN without a payload.
const NAN_BITS: u64 = 0x7ff8_0000_0000_0000;
const SINGLE_QUIET: u32 = 0x0040_0000;
const SINGLE_INFINITY: u32 = 0x7f80_0000;

/// The nearest f32, infinite where the number is too large.
///
/// A NaN keeps its sign and the first 23 bits of its payload, and becomes quiet. Rust's own conversion promises neither.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is asked for")]
pub(crate) fn single_from(value: f64) -> u32 {
    if !value.is_nan() {
        return (value as f32).to_bits();
    }
    let high = (value.to_bits() >> 32) as u32;
    // Shifted alone, so that the exponent doesn't come in between.
    let payload = (value.to_bits() >> (F64_FRACTION_BITS - 23)) as u32 & 0x007f_ffff;
    high & 0x8000_0000 | SINGLE_INFINITY | SINGLE_QUIET | payload
}

/// The number that an f32 is, exactly. A NaN keeps sign and payload, and becomes quiet.
pub(crate) fn single_to(bits: u32) -> f64 {
    let value = f32::from_bits(bits);
    if !value.is_nan() {
        return value.into();
    }
    let sign = u64::from(bits >> 31) << 63;
    let payload = u64::from(bits & 0x007f_ffff) << (F64_FRACTION_BITS - 23);
    f64::from_bits(sign | NAN_BITS | payload)
}

/// `value` / 2^`bits`, rounded to nearest, ties to even; `bits` from 1 to 63.
fn shift_to_even(value: u64, bits: u32) -> u64 {
    let (quotient, rest) = (value >> bits, value & ((1 << bits) - 1));
    let half = 1 << (bits - 1);
    let up = rest > half || (rest == half && quotient & 1 == 1);
    quotient + u64::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_half_floats_come_back_and_nans_become_quiet_ones() {
        for half in 0..=u16::MAX {
            let is_nan = half & 0x7c00 == 0x7c00 && half & 0x03ff != 0;
            let expected = if is_nan { half & 0x8000 | 0x7e00 } else { half };
            assert_eq!(half_from(half_to(half)), Some(expected), "{half:#06x}");
            assert_eq!(half_to(half).is_nan(), is_nan, "{half:#06x}");
        }
    }

    /// Independent of the conversion: the neighbours' mean, and the floats beside it, go where nearest-even says.
    #[test]
    fn every_halfway_point_goes_to_the_even_neighbour_and_what_is_beside_it_to_the_nearer() {
        for (sign, below) in
            [0, 0x8000].into_iter().flat_map(|sign| (0..0x7bff).map(move |h| (sign, h)))
        {
            let above = below + 1;
            let (low, high) = (half_to(sign | below), half_to(sign | above));
            let middle = f64::midpoint(low, high);
            let even = if below % 2 == 0 { below } else { above };
            assert_eq!(half_from(middle), Some(sign | even), "{below:#06x}");
            // One step of an f64 in magnitude.
            let outwards = f64::from_bits(middle.to_bits() + 1);
            let inwards = f64::from_bits(middle.to_bits() - 1);
            assert_eq!(half_from(outwards), Some(sign | above), "{below:#06x}");
            assert_eq!(half_from(inwards), Some(sign | below), "{below:#06x}");
        }
    }

    #[test]
    fn half_floats_end_where_65504_is_no_longer_the_nearest() {
        let last = f64::from_bits(65520.0_f64.to_bits() - 1);
        assert_eq!((half_from(last), half_from(-last)), (Some(0x7bff), Some(0xfbff)));
        for too_large in [65520.0, 65536.0, 1e300, f64::MAX] {
            assert_eq!((half_from(too_large), half_from(-too_large)), (None, None));
        }
        assert_eq!(half_from(f64::INFINITY), Some(0x7c00));
        assert_eq!(half_from(f64::NEG_INFINITY), Some(0xfc00));
        assert_eq!(half_from(f64::from_bits(1)), Some(0));
        assert_eq!(half_from(-f64::MIN_POSITIVE), Some(0x8000));
    }

    #[test]
    fn a_nan_of_32_bits_keeps_its_payload_and_becomes_quiet() {
        for (given, single, back) in [
            (0x7ff8_0000_0000_0000, 0x7fc0_0000, 0x7ff8_0000_0000_0000),
            (0x7ff0_0000_0000_0001, 0x7fc0_0000, 0x7ff8_0000_0000_0000),
            (0xfff0_0000_2000_0000, 0xffc0_0001, 0xfff8_0000_2000_0000),
            (0x7fff_ffff_ffff_ffff, 0x7fff_ffff, 0x7fff_ffff_e000_0000_u64),
        ] {
            assert_eq!(single_from(f64::from_bits(given)), single, "{given:#x}");
            assert_eq!(single_to(single).to_bits(), back, "{single:#x}");
        }
        assert_eq!(single_to(0x7f80_0001).to_bits(), 0x7ff8_0000_2000_0000);
    }
}
