//! Decimal text to integers, without floats.

use chrono::{DateTime, FixedOffset};

/// Which way a number that falls between two integers goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// Towards −∞.
    Down,
    /// Towards +∞.
    Up,
    /// To the nearer one; a tie towards +∞.
    Nearest,
}

/// `text` × 10^`power`, as an integer. Takes digits with sign, point and exponent; `None` for anything else (`NaN`,
/// `inf`, an empty text), and where the result does not fit.
pub(crate) fn scaled(text: &str, power: i32, rounding: Rounding) -> Option<i64> {
    let (mantissa, exponent) = decimal(text)?;
    rescaled(mantissa, exponent.checked_add(power)?, rounding)
}

/// As [`scaled`], but `None` where digits would be lost.
pub(crate) fn scaled_exactly(text: &str, power: i32) -> Option<i64> {
    let down = scaled(text, power, Rounding::Down)?;
    (scaled(text, power, Rounding::Up)? == down).then_some(down)
}

/// Mantissa and power of ten.
fn decimal(text: &str) -> Option<(i128, i32)> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, exponent) = match digits.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = || whole.bytes().chain(fraction.bytes());
    // 30 digits are far more than any file carries, and fit an i128 with room to scale.
    if all().count() == 0 || all().count() > 30 || !all().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mantissa = all().fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    Some((if negative { -mantissa } else { mantissa }, exponent))
}

fn rescaled(mantissa: i128, exponent: i32, rounding: Rounding) -> Option<i64> {
    if mantissa == 0 {
        return Some(0);
    }
    if exponent >= 0 {
        let factor = 10i128.checked_pow(exponent.unsigned_abs())?;
        return i64::try_from(mantissa.checked_mul(factor)?).ok();
    }
    // Beyond 37 places every mantissa of 30 digits is nearer to 0 than a half, and the divisor still fits.
    let divisor = 10i128.pow(exponent.unsigned_abs().min(37));
    let floor = mantissa.div_euclid(divisor);
    let rest = mantissa.rem_euclid(divisor);
    let up = match rounding {
        Rounding::Down => false,
        Rounding::Up => rest > 0,
        Rounding::Nearest => rest >= divisor - rest,
    };
    i64::try_from(floor + i128::from(up)).ok()
}

/// `value` / 10^`places`, as the shortest decimal text: what [`scaled`] reads back.
pub(crate) fn unscaled(value: i64, places: u32) -> String {
    let factor = 10u64.pow(places);
    let (whole, rest) = (value.unsigned_abs() / factor, value.unsigned_abs() % factor);
    let sign = if value < 0 { "-" } else { "" };
    let fraction = format!("{rest:0width$}", width = places as usize);
    let fraction = fraction.trim_end_matches('0');
    if rest == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A time of whole seconds with an offset (RFC 3339), in the years that a scenario may lie in.
pub(crate) fn timestamp(text: &str) -> Result<DateTime<FixedOffset>, &'static str> {
    use chrono::{Datelike, Timelike};
    let expected = "a time with offset (RFC 3339), for example 2026-06-15T08:00:00+02:00 or 2026-06-15T06:00:00Z";
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| expected)?;
    if time.nanosecond() != 0 {
        return Err("a time in whole seconds");
    }
    // Far inside what an interval index can count; a year outside is a typing error.
    if !(2000..2200).contains(&time.year()) { Err("a year from 2000 to 2199") } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_scale_without_floats() {
        assert_eq!(scaled("52.3702", 7, Rounding::Nearest), Some(523_702_000));
        assert_eq!(scaled("-0.5", 0, Rounding::Down), Some(-1));
        assert_eq!(scaled("-0.5", 0, Rounding::Nearest), Some(0));
        assert_eq!(scaled("2.5e-3", 3, Rounding::Up), Some(3));
        assert_eq!(scaled("1e-999999", 0, Rounding::Up), Some(1));
        assert_eq!(scaled("0e2000000000", 0, Rounding::Up), Some(0));
        assert_eq!(scaled("7.", 1, Rounding::Down), Some(70));
        assert_eq!(scaled_exactly("1.25", 1), None);
        assert_eq!(scaled_exactly("1.20", 1), Some(12));
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in
            ["", "-", ".", "NaN", "inf", "-Infinity", "1,5", "0x10", "1e", "1e99", "--1", "1 ", "é", "1e2147483648"]
        {
            assert_eq!(scaled(text, 0, Rounding::Nearest), None, "{text}");
        }
    }

    #[test]
    fn unscaled_reads_back() {
        for value in [0, 1, -1, 523_702_000, -45_000_000, 10_000_000, i64::MAX, i64::MIN + 1] {
            assert_eq!(scaled_exactly(&unscaled(value, 7), 7), Some(value));
        }
        assert_eq!(unscaled(-45_000_000, 7), "-4.5");
    }
}
