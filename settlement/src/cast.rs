//! Numbers between the formats and SQL's signed 64-bit integers. Nothing wraps: what does not fit
//! is an invariant broken by us (writing) or a damaged row (reading).

use protocol::ids;
use protocol::wide::Wide;

use crate::sink::SinkError;

/// A sequence, epoch or time as SQL holds it.
///
/// # Panics
///
/// Past 2^63: 292 years of nanoseconds, or as many commands.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).expect("sequences, epochs and times stay below 2^63")
}

/// A count of rows in memory.
pub(crate) fn count(value: usize) -> i64 {
    i64::try_from(value).expect("memory holds fewer than 2^63 rows")
}

/// A column being read back.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
}

impl Column {
    pub(crate) fn unreadable(self, value: impl ToString) -> SinkError {
        SinkError::Unreadable { table: self.table, column: self.column, value: value.to_string() }
    }

    pub(crate) fn number<T: TryFrom<i64>>(self, value: i64) -> Result<T, SinkError> {
        T::try_from(value).map_err(|_| self.unreadable(value))
    }

    pub(crate) fn decimal<T: std::str::FromStr>(self, text: &str) -> Result<T, SinkError> {
        text.parse().map_err(|_| self.unreadable(text))
    }

    pub(crate) fn wide(self, text: &str) -> Result<Wide, SinkError> {
        parse_wide(text).ok_or_else(|| self.unreadable(text))
    }

    pub(crate) fn uuid(self, text: &str) -> Result<u128, SinkError> {
        ids::parse_uuid(text).ok_or_else(|| self.unreadable(text))
    }

    pub(crate) fn bytes<const N: usize>(self, bytes: &[u8]) -> Result<[u8; N], SinkError> {
        bytes.try_into().map_err(|_| self.unreadable(format_args!("{} bytes", bytes.len())))
    }
}

/// The text form of an id as a UUID.
pub(crate) fn uuid_text(id: u128) -> String {
    let mut text = String::with_capacity(36);
    ids::write_uuid(&mut text, id).expect("a string takes all text");
    text
}

/// Reads a decimal number below 2^256; `None` for anything else.
pub(crate) fn parse_wide(text: &str) -> Option<Wide> {
    if text.is_empty() {
        return None;
    }
    let mut limbs = [0_u64; 4];
    for byte in text.bytes() {
        let mut carry = u128::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
        for limb in &mut limbs {
            let value = u128::from(*limb) * 10 + carry;
            *limb = u64::try_from(value & u128::from(u64::MAX)).ok()?;
            carry = value >> 64;
        }
        if carry != 0 {
            return None;
        }
    }
    let [a, b, c, d] = limbs.map(u128::from);
    Some(Wide { high: (d << 64) | c, low: (b << 64) | a })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_number_reads_back_as_printed() {
        let largest = Wide { high: u128::MAX, low: u128::MAX };
        let carried = Wide { high: 1, low: u128::MAX - 5 };
        for wide in [Wide::ZERO, Wide::from(u128::MAX), carried, largest] {
            assert_eq!(parse_wide(&wide.to_string()), Some(wide));
        }
        assert_eq!(parse_wide(&format!("{largest}0")), None);
        for wrong in ["", "-1", "1.0", " 1", "1e3"] {
            assert_eq!(parse_wide(wrong), None, "{wrong}");
        }
    }
}
