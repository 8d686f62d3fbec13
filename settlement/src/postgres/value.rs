//! Binary forms of `uuid` and `numeric` for parameters and COPY. Whole numbers only; exact to 256
//! bits.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use protocol::wide::Wide;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// An id as `uuid`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uuid(pub(super) u128);

impl Uuid {
    /// `NULL` for 0: nobody.
    pub(super) const fn named(id: u128) -> Option<Self> {
        if id == 0 { None } else { Some(Self(id)) }
    }
}

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_u128(self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }

    to_sql_checked!();
}

/// A whole number as `numeric`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numeric {
    negative: bool,
    magnitude: Wide,
}

impl From<u128> for Numeric {
    fn from(value: u128) -> Self {
        Wide::from(value).into()
    }
}

impl From<i128> for Numeric {
    fn from(value: i128) -> Self {
        Self { negative: value < 0, magnitude: Wide::from(value.unsigned_abs()) }
    }
}

impl From<Wide> for Numeric {
    fn from(magnitude: Wide) -> Self {
        Self { negative: false, magnitude }
    }
}

/// Digits of base 10 000 in a 256-bit number.
const GROUPS_MAX: usize = 20;
const GROUP: u16 = 10_000;
const NEGATIVE: u16 = 0x4000;

impl Numeric {
    /// Digits of base 10 000, least significant first, and how many there are.
    fn groups(self) -> ([u16; GROUPS_MAX], usize) {
        let mut groups = [0; GROUPS_MAX];
        let mut count = 0;
        let mut push = |group: u16| {
            groups[count] = group;
            count += 1;
        };
        let mut wide = self.magnitude;
        while wide.high != 0 {
            push(divide(&mut wide));
        }
        let mut large = wide.low;
        while large > u128::from(u64::MAX) {
            push(low_group(large % u128::from(GROUP)));
            large /= u128::from(GROUP);
        }
        let mut small = u64::try_from(large).expect("the loop above left 64 bits");
        while small != 0 {
            push(low_group(u128::from(small % u64::from(GROUP))));
            small /= u64::from(GROUP);
        }
        (groups, count)
    }
}

fn low_group(group: u128) -> u16 {
    u16::try_from(group).expect("a remainder of 10 000 has 14 bits")
}

/// Divides by 10 000 and gives the remainder.
fn divide(wide: &mut Wide) -> u16 {
    let low_half = u128::from(u64::MAX);
    let mut rest = 0;
    let mut limbs = [wide.high >> 64, wide.high & low_half, wide.low >> 64, wide.low & low_half];
    for limb in &mut limbs {
        let value = (rest << 64) | *limb;
        *limb = value / u128::from(GROUP);
        rest = value % u128::from(GROUP);
    }
    wide.high = (limbs[0] << 64) | limbs[1];
    wide.low = (limbs[2] << 64) | limbs[3];
    low_group(rest)
}

impl ToSql for Numeric {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let (groups, count) = self.groups();
        let len = i16::try_from(count).expect("at most 20 groups");
        out.put_i16(len);
        // Weight of the first group; of zero it is 0 by convention.
        out.put_i16((len - 1).max(0));
        out.put_u16(if self.negative { NEGATIVE } else { 0 });
        // No digits after the point.
        out.put_u16(0);
        for group in groups[..count].iter().rev() {
            out.put_u16(*group);
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::NUMERIC
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(number: Numeric) -> String {
        let (groups, count) = number.groups();
        let digits: String =
            groups[..count].iter().rev().map(|group| format!("{group:04}")).collect();
        let digits = match digits.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        };
        format!("{}{digits}", if number.negative { "-" } else { "" })
    }

    proptest! {
        #[test]
        fn the_groups_are_the_digits(high: u128, low: u128, signed: i128, small: u64) {
            let wide = Wide { high, low };
            prop_assert_eq!(text(wide.into()), wide.to_string());
            prop_assert_eq!(text(low.into()), low.to_string());
            prop_assert_eq!(text(signed.into()), signed.to_string());
            prop_assert_eq!(text(u128::from(small).into()), small.to_string());
        }
    }

    #[test]
    fn the_ends_of_each_range_are_exact() {
        for value in [0, 1, 9_999, 10_000, u128::from(u64::MAX), u128::MAX] {
            assert_eq!(text(value.into()), value.to_string());
        }
        for value in [i128::MIN, -1, 0, i128::MAX] {
            assert_eq!(text(value.into()), value.to_string());
        }
        let largest = Wide { high: u128::MAX, low: u128::MAX };
        assert_eq!(text(largest.into()), largest.to_string());
    }

    #[test]
    fn the_bytes_are_those_of_postgres() {
        let mut out = BytesMut::new();
        Numeric::from(-12_345_i128).to_sql(&Type::NUMERIC, &mut out).unwrap();
        assert_eq!(out[..], [0, 2, 0, 1, 0x40, 0, 0, 0, 0, 1, 9, 41]);
        out.clear();
        Numeric::from(0_u128).to_sql(&Type::NUMERIC, &mut out).unwrap();
        assert_eq!(out[..], [0; 8]);
    }
}
