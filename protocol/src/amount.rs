//! Amounts: unsigned integers of minor units, their decimal text, and the fee formula.
//! Never a float; every operation that could overflow is checked (rulings §1 "Amount", "Fee").

use alloc::string::{String, ToString};
use core::fmt;

use crate::limits::{AMOUNT_MAX, SCALE_MAX};

/// Rates are in millionths of the amount.
pub const RATE_UNIT: u128 = 1_000_000;

/// Fee of `amount` at `rate` millionths: `(a div 10⁶)·r + ⌈(a mod 10⁶)·r / 10⁶⌉`.
///
/// Exact for every amount up to [`AMOUNT_MAX`] and any rate up to one million; it cannot overflow
/// because the quotient is multiplied by at most 10⁶ after having been divided by it (H20).
pub const fn fee(amount: u128, rate: u32) -> u128 {
    let rate = rate as u128;
    if amount <= (u64::MAX as u128) >> 20 {
        // The same number by one 64-bit division: rate ≤ 10⁶ < 2^20.
        let product = (amount as u64) * (rate as u64);
        return product.div_ceil(1_000_000) as u128;
    }
    (amount / RATE_UNIT) * rate + ((amount % RATE_UNIT) * rate).div_ceil(RATE_UNIT)
}

/// Why a decimal text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AmountError {
    /// The text is empty or has no digit before the point.
    Empty,
    /// A character is neither a digit nor the one decimal point; signs, exponents and spaces are
    /// not part of an amount.
    Character {
        /// Byte position in the text.
        at: usize,
    },
    /// More digits after the point than the asset has.
    Fraction {
        /// Digits the asset allows.
        scale: u16,
    },
    /// More than 2^127 − 1 minor units.
    TooLarge,
    /// Zero minor units.
    Zero,
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the amount has no digits; write it like 12.50"),
            Self::Character { at } => write!(
                f,
                "the amount has a character at byte {at} that is neither a digit nor the point; \
                 write it like 12.50, without sign, exponent or spaces"
            ),
            Self::Fraction { scale } => {
                write!(f, "the amount has more than {scale} digits after the point")
            }
            Self::TooLarge => f.write_str("the amount is more than 2^127 - 1 minor units"),
            Self::Zero => f.write_str("the amount is zero; the smallest is one minor unit"),
        }
    }
}

impl core::error::Error for AmountError {}

/// Reads a decimal text in major units into minor units of an asset with `scale` digits.
///
/// # Errors
///
/// Everything that is not 1 … 2^127 − 1 minor units written with digits and at most one point.
pub fn parse(text: &str, scale: u16) -> Result<u128, AmountError> {
    let mut value = 0_u128;
    let mut digits = 0_usize;
    let mut fraction: Option<u16> = None;
    for (at, byte) in text.bytes().enumerate() {
        match (byte, fraction) {
            (b'0'..=b'9', _) => {
                if let Some(used) = &mut fraction {
                    if *used == scale {
                        return Err(AmountError::Fraction { scale });
                    }
                    *used += 1;
                }
                value = push_digit(value, byte - b'0')?;
                digits += 1;
            }
            (b'.', None) if digits > 0 => fraction = Some(0),
            _ => return Err(AmountError::Character { at }),
        }
    }
    if digits == 0 || fraction == Some(0) {
        return Err(AmountError::Empty);
    }
    for _ in fraction.unwrap_or(0)..scale.min(SCALE_MAX) {
        value = push_digit(value, 0)?;
    }
    if value == 0 { Err(AmountError::Zero) } else { Ok(value) }
}

fn push_digit(value: u128, digit: u8) -> Result<u128, AmountError> {
    value
        .checked_mul(10)
        .and_then(|tens| tens.checked_add(u128::from(digit)))
        .filter(|&value| value <= AMOUNT_MAX)
        .ok_or(AmountError::TooLarge)
}

/// Writes `minor` units of an asset with `scale` digits as a decimal text in major units.
pub fn format(minor: u128, scale: u16) -> String {
    let scale = usize::from(scale.min(SCALE_MAX));
    let digits = minor.to_string();
    if scale == 0 {
        return digits;
    }
    let padded = alloc::format!("{digits:0>width$}", width = scale + 1);
    let (major, fraction) = padded.split_at(padded.len() - scale);
    alloc::format!("{major}.{fraction}")
}

/// As [`format`], for a balance that may be negative.
pub fn format_signed(minor: i128, scale: u16) -> String {
    let text = format(minor.unsigned_abs(), scale);
    if minor < 0 { alloc::format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fee_rounds_up_and_never_overflows() {
        assert_eq!(fee(1, 5_000), 1);
        assert_eq!(fee(200, 5_000), 1);
        assert_eq!(fee(201, 5_000), 2);
        assert_eq!(fee(1_000_000, 5_000), 5_000);
        assert_eq!(fee(0, 5_000), 0);
        assert_eq!(fee(AMOUNT_MAX, 1_000_000), AMOUNT_MAX);
        let seam = u128::from(u64::MAX >> 20);
        for amount in [seam - 1, seam, seam + 1] {
            let long =
                (amount / RATE_UNIT) * 49_999 + ((amount % RATE_UNIT) * 49_999).div_ceil(RATE_UNIT);
            assert_eq!(fee(amount, 49_999), long);
        }
    }

    #[test]
    fn decimal_text_is_exact_in_both_directions() {
        for (text, scale, minor) in [
            ("12.5", 6, 12_500_000),
            ("0.000001", 6, 1),
            ("7", 0, 7),
            ("170141183460469231731687303715884105727", 0, AMOUNT_MAX),
        ] {
            assert_eq!(parse(text, scale), Ok(minor));
        }
        assert_eq!(format(12_500_000, 6), "12.500000");
        assert_eq!(format(1, 6), "0.000001");
        assert_eq!(format(7, 0), "7");
        assert_eq!(format_signed(-1, 2), "-0.01");
    }

    #[test]
    fn what_is_not_an_amount_says_why() {
        use AmountError::{Character, Empty, Fraction, TooLarge, Zero};
        for (text, error) in [
            ("", Empty),
            ("1.", Empty),
            (".5", Character { at: 0 }),
            ("+1", Character { at: 0 }),
            ("-1", Character { at: 0 }),
            ("1e30", Character { at: 1 }),
            ("NaN", Character { at: 0 }),
            ("1.2.3", Character { at: 3 }),
            (" 1", Character { at: 0 }),
            ("1.0000001", Fraction { scale: 6 }),
            ("0", Zero),
            ("0.000000", Zero),
            ("170141183460469231731687303715884105728", TooLarge),
            ("99999999999999999999999999999999999999999", TooLarge),
        ] {
            assert_eq!(parse(text, 6), Err(error), "{text:?}");
        }
    }
}
