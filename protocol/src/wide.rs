//! A 256-bit counter for gross sums that only grow (H20): `issued` and `destroyed` may pass 2^128
//! although their difference never does.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// An unsigned 256-bit number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wide {
    /// Upper 128 bits.
    pub high: u128,
    /// Lower 128 bits.
    pub low: u128,
}

impl Wide {
    /// Zero.
    pub const ZERO: Self = Self { high: 0, low: 0 };

    /// Adds `amount`.
    ///
    /// # Panics
    ///
    /// Past 2^256, which no number of commands can reach.
    pub const fn add(&mut self, amount: u128) {
        let (low, carry) = self.low.overflowing_add(amount);
        self.low = low;
        if carry {
            self.high = self.high.checked_add(1).expect("fewer than 2^128 carries ever happen");
        }
    }

    /// `self − other` when it lies within ±(2^127 − 1).
    pub fn difference(self, other: Self) -> Option<i128> {
        let (larger, smaller, negative) =
            if self >= other { (self, other, false) } else { (other, self, true) };
        let (low, borrow) = larger.low.overflowing_sub(smaller.low);
        let high = larger.high - smaller.high - u128::from(borrow);
        if high != 0 {
            return None;
        }
        let value = i128::try_from(low).ok()?;
        Some(if negative { -value } else { value })
    }
}

impl From<u128> for Wide {
    fn from(low: u128) -> Self {
        Self { high: 0, low }
    }
}

impl fmt::Display for Wide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Long division by 10 over 64-bit limbs, most significant first.
        let mut limbs = [self.high >> 64, self.high, self.low >> 64, self.low]
            .map(|limb| limb & u128::from(u64::MAX));
        let mut digits = Vec::new();
        loop {
            let mut rest = 0;
            for limb in &mut limbs {
                let value = (rest << 64) | *limb;
                *limb = value / 10;
                rest = value % 10;
            }
            digits.push(char::from_digit(rest as u32, 10).unwrap_or('0'));
            if limbs == [0; 4] {
                break;
            }
        }
        f.pad_integral(true, "", &digits.iter().rev().collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn it_carries_subtracts_and_prints() {
        let mut wide = Wide::from(u128::MAX);
        wide.add(1);
        assert_eq!(wide, Wide { high: 1, low: 0 });
        assert_eq!(wide.to_string(), "340282366920938463463374607431768211456");
        assert_eq!(wide.difference(Wide::from(u128::MAX)), Some(1));
        assert_eq!(Wide::from(u128::MAX).difference(wide), Some(-1));
        assert_eq!(wide.difference(Wide::ZERO), None);
        assert_eq!(Wide::ZERO.to_string(), "0");
    }
}
