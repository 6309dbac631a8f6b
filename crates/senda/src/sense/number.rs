//! Decimal numbers as people and programs print them, exactly.

/// A decimal: raw / 10^places.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Decimal {
    pub(super) raw: i128,
    pub(super) places: u32,
    /// It has zeros in front, as codes have: `007`.
    pub(super) is_padded: bool,
    /// It is -0, which no integer keeps.
    pub(super) is_negative_zero: bool,
}

/// Digits of the longest number that is read exactly.
const DIGITS_MAX: usize = 37;

/// Reads digits with a sign, perhaps, and a decimal point, perhaps. `None` for all else, and for more than 37 digits.
pub(super) fn parse(text: &str) -> Option<Decimal> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let has_digits = !whole.is_empty() && (digits.len() == whole.len() || !fraction.is_empty());
    if !has_digits || !all_digits(whole) || !all_digits(fraction) || digits.len() > DIGITS_MAX {
        return None;
    }
    let raw: i128 = format!("{whole}{fraction}").parse().ok()?;
    Some(Decimal {
        raw: if negative { -raw } else { raw },
        places: u32::try_from(fraction.len()).ok()?,
        is_padded: whole.len() > 1 && whole.starts_with('0'),
        is_negative_zero: negative && raw == 0,
    })
}

impl Decimal {
    /// The raw value of a channel with this exponent, if the decimal is a whole number of its steps.
    pub(super) fn raw_at(self, exponent: i8) -> Option<i128> {
        let power = -i64::from(self.places) - i64::from(exponent);
        let factor = 10i128.checked_pow(u32::try_from(power.unsigned_abs()).ok()?)?;
        if power >= 0 {
            self.raw.checked_mul(factor)
        } else {
            (self.raw % factor == 0).then(|| self.raw / factor)
        }
    }

    /// True for a whole number of which an f64 may lose the last digits: one beyond 2^53.
    pub(super) const fn is_whole_beyond_f64(self) -> bool {
        self.places == 0 && self.raw.unsigned_abs() > 1 << 53
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str, exponent: i8) -> Option<i128> {
        parse(text)?.raw_at(exponent)
    }

    #[test]
    fn decimals_are_read_exactly_at_any_exponent() {
        assert_eq!(raw("21.5", -1), Some(215));
        assert_eq!(raw("-0.05", -2), Some(-5));
        assert_eq!(raw("21.50", -1), Some(215));
        assert_eq!(raw("21.55", -1), None);
        assert_eq!(raw("7000", 3), Some(7));
        assert_eq!(raw("7001", 3), None);
        assert_eq!(raw("18446744073709551615", 0), Some(u64::MAX.into()));
    }

    #[test]
    fn what_is_no_plain_decimal_is_none() {
        for text in ["", "-", "+", ".", "1.", ".5", "1e3", "0x1", "1,5", " 1", "1 ", "--1", "1.2.3"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse(&"9".repeat(38)), None);
    }

    #[test]
    fn codes_and_negative_zeros_are_told_from_numbers() {
        assert!(parse("007").unwrap().is_padded && parse("00.5").unwrap().is_padded);
        assert!(!parse("0").unwrap().is_padded && !parse("0.5").unwrap().is_padded);
        assert!(parse("-0.0").unwrap().is_negative_zero);
        assert!(parse("9007199254740993").unwrap().is_whole_beyond_f64());
        assert!(!parse("9007199254740992").unwrap().is_whole_beyond_f64());
    }
}
