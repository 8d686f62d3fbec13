//! Text of numbers and ids without the formatting machinery: a batch writes a million of them. It
//! knows no SQL. Its invariant: the text is what `Display` would give.

/// Room for the longest: a sign and 39 digits.
const SIZE: usize = 40;
/// The largest power of ten in 64 bits.
const PART: u128 = 10_000_000_000_000_000_000;
const PART_DIGITS: usize = 19;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A short ASCII text, at the end of its room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    bytes: [u8; SIZE],
    from: usize,
}

impl Text {
    const EMPTY: Self = Self { bytes: [b'0'; SIZE], from: SIZE };

    /// Plain decimal digits.
    pub(crate) fn unsigned(value: u128) -> Self {
        let mut text = Self::EMPTY;
        let mut rest = value;
        let mut digits_min = 1;
        while rest > u128::from(u64::MAX) {
            text.digits(rest % PART, digits_min.max(PART_DIGITS));
            rest /= PART;
            digits_min = 0;
        }
        text.digits(rest, digits_min);
        text
    }

    /// Plain decimal digits, behind a minus below zero.
    pub(crate) fn signed(value: i128) -> Self {
        let mut text = Self::unsigned(value.unsigned_abs());
        if value < 0 {
            text.push(b'-');
        }
        text
    }

    /// The text form of an id as a UUID.
    pub(crate) fn uuid(id: u128) -> Self {
        let mut text = Self::EMPTY;
        for (at, byte) in id.to_be_bytes().into_iter().enumerate().rev() {
            text.push(HEX[usize::from(byte & 0xf)]);
            text.push(HEX[usize::from(byte >> 4)]);
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push(b'-');
            }
        }
        text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.from..]
    }

    /// Puts the digits of `value`, at least `digits_min`, before what is there.
    fn digits(&mut self, value: u128, digits_min: usize) {
        let end = self.from;
        let mut rest = u64::try_from(value).expect("a part fits 64 bits");
        while rest != 0 || end - self.from < digits_min {
            self.push(HEX[usize::try_from(rest % 10).expect("a digit")]);
            rest /= 10;
        }
    }

    fn push(&mut self, byte: u8) {
        self.from -= 1;
        self.bytes[self.from] = byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cast::uuid_text;
    use proptest::prelude::*;

    fn read(text: Text) -> String {
        String::from_utf8(text.as_bytes().to_vec()).unwrap()
    }

    proptest! {
        #[test]
        fn the_text_is_that_of_display(
            low: u64,
            shift in 0_u32..128,
            unsigned: u128,
            signed: i128,
        ) {
            for value in [u128::from(low), unsigned, unsigned >> shift] {
                prop_assert_eq!(read(Text::unsigned(value)), value.to_string());
            }
            for value in [signed, signed >> shift] {
                prop_assert_eq!(read(Text::signed(value)), value.to_string());
            }
            prop_assert_eq!(read(Text::uuid(unsigned)), uuid_text(unsigned));
        }
    }

    #[test]
    fn the_ends_of_each_range_and_part_are_exact() {
        let half = u128::from(u64::MAX);
        for value in [0, 9, 10, PART - 1, PART, half, half + 1, PART * PART, u128::MAX] {
            assert_eq!(read(Text::unsigned(value)), value.to_string());
        }
        for value in [i128::MIN, -1, 0, i128::MAX] {
            assert_eq!(read(Text::signed(value)), value.to_string());
        }
    }
}
