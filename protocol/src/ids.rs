//! Identifiers and positions: who, what, and where in the order. Positions are newtypes with no
//! conversion from `usize`, so that a command's number cannot be taken for a record's.

use core::fmt;

/// An owner: an agent's UUID read as a big-endian number, another principal's derived number, or a
/// system owner (upper half zero, see [`crate::system`]).
pub type OwnerId = u128;
/// An asset of this frame; the native one is [`NATIVE`].
pub type AssetId = u32;
/// The frame's own currency.
pub const NATIVE: AssetId = 1;

/// Number of a command in the frame's one order, refused ones included, from 1, without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// Number of a journal record, from 0 (genesis), without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u64);

/// Idempotency id of a command: the upper 48 bits are Unix milliseconds (RFC 9562 UUIDv7 or ULID
/// layout), the rest is the client's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u128);

impl CommandId {
    /// Bits below the time.
    const TAIL_BITS: u32 = 80;

    /// An id made at `unix_ms` with `tail` (80 bits used) telling it from others of that moment.
    pub const fn new(unix_ms: u64, tail: u128) -> Self {
        let tail_mask = (1 << Self::TAIL_BITS) - 1;
        Self(((unix_ms as u128) << Self::TAIL_BITS) | (tail & tail_mask))
    }

    /// Unix milliseconds at which the client says it made the id.
    pub const fn unix_ms(self) -> u64 {
        (self.0 >> Self::TAIL_BITS) as u64
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for CommandId {
    /// As a UUID: 8-4-4-4-12 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(f, self.0)
    }
}

/// Writes `id` in the text form of a UUID (RFC 9562 §4).
pub fn write_uuid(f: &mut impl fmt::Write, id: u128) -> fmt::Result {
    let [a, b, c, d, e, g, h, i, tail @ ..] = id.to_be_bytes();
    write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}-{e:02x}{g:02x}-{h:02x}{i:02x}-")?;
    for (n, byte) in tail.iter().enumerate() {
        if n == 2 {
            f.write_char('-')?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

/// Reads the text form of a UUID; `None` unless it is exactly 8-4-4-4-12 hexadecimal digits.
pub fn parse_uuid(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut id = 0_u128;
    for (at, &byte) in bytes.iter().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = char::from(byte).to_digit(16)?;
        id = (id << 4) | u128::from(digit);
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_id_carries_its_time_in_the_upper_48_bits() {
        let id = CommandId::new(1_700_000_000_123, u128::MAX);
        assert_eq!(id.unix_ms(), 1_700_000_000_123);
    }

    #[test]
    fn a_uuid_reads_back_as_written() {
        let id = CommandId(0x0190_1234_5678_7abc_8def_0123_4567_89ab);
        let text = id.to_string();
        assert_eq!(text, "01901234-5678-7abc-8def-0123456789ab");
        assert_eq!(parse_uuid(&text), Some(id.0));
        assert_eq!(parse_uuid("01901234-5678-7abc-8def-0123456789a"), None);
        assert_eq!(parse_uuid("01901234-5678-7abc-8def-0123456789ag"), None);
        assert_eq!(parse_uuid("0190123456787abc8def0123456789ab----"), None);
    }
}
