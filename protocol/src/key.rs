//! String keys: the id that a key gives, and the digest by which two bodies under it are told
//! apart (H17).
//!
//! Both are plain hashes, so that a gateway can compute them and compare them with settled rows.
//! It judges no key (that is [`crate::shape`]) and remembers none (that is the engine).
//! Invariant: both are parts of the format; the same input gives the same number for ever.

use zerocopy::IntoBytes;

use crate::command::Command;
use crate::data;
pub use crate::limits::KEY_LEN_MAX;

const KEY_DOMAIN: &[u8] = b"bezant key v1";
const BODY_DOMAIN: &[u8] = b"bezant body v1";

/// The time in the ids that keys give lies past any that journal time reaches (2^44 ms), so that
/// no id of the usual kind, which may lie 5 s ahead at the most, is ever equal to one: a KEYED hold
/// and another cannot share an id.
const KEY_BIT: u128 = 1 << 127;

/// The id of a KEYED command of `principal` with the string key `key`: the first 16 bytes of the
/// hash, little-endian, with the highest bit set.
pub fn id(principal: u128, key: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(KEY_DOMAIN).update(&principal.to_le_bytes()).update(key);
    first_half(&hasher) | KEY_BIT
}

/// The digest of one command and its data slots: equal for a repeat, different for another body.
pub fn body_digest(command: &Command, data: &[Command]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(BODY_DOMAIN).update(command.as_bytes()).update(data.as_bytes());
    first_half(&hasher)
}

/// The string key in a command's data slots, as it was sent.
pub fn of(slots: &[Command]) -> Option<&[u8]> {
    data::find(slots, data::TAG_KEY)
}

/// The id that a KEYED command carries beside its key; `None` if it carries none.
pub fn own_id(slots: &[Command]) -> Option<u128> {
    let bytes = data::find(slots, data::TAG_ID)?;
    bytes.try_into().ok().map(u128::from_le_bytes)
}

/// Whether `key` may be a string key: 1 to [`KEY_LEN_MAX`] bytes of printable ASCII.
pub fn is_valid(key: &[u8]) -> bool {
    (1..=KEY_LEN_MAX).contains(&key.len()) && key.iter().all(|byte| (0x20..=0x7e).contains(byte))
}

fn first_half(hasher: &blake3::Hasher) -> u128 {
    let [low @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *hasher.finalize().as_bytes();
    u128::from_le_bytes(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CommandId;

    #[test]
    fn an_id_depends_on_principal_and_key() {
        assert_eq!(id(7, b"order-1"), id(7, b"order-1"));
        assert_ne!(id(7, b"order-1"), id(8, b"order-1"));
        assert_ne!(id(7, b"order-1"), id(7, b"order-2"));
        for key in 0..64_u8 {
            assert!(CommandId(id(7, &[key])).unix_ms() >= 1 << 47, "no clock gets there");
        }
    }

    #[test]
    fn a_digest_covers_the_command_and_its_data() {
        let pay = Command { data: 1, ..Command::transfer(CommandId(1), 2, 3, 1, 4) };
        let slots = data::encode(&[(data::TAG_KEY, b"order-1")]);
        let digest = body_digest(&pay, &slots);
        assert_eq!(digest, body_digest(&pay, &slots));
        assert_ne!(digest, body_digest(&Command { amount: 5, ..pay }, &slots));
        let other = data::encode(&[(data::TAG_KEY, b"order-2")]);
        assert_ne!(digest, body_digest(&pay, &other));
    }

    #[test]
    fn keys_are_printable_ascii_of_1_to_255_bytes() {
        assert!(is_valid(b"a") && is_valid(b"order 1 ~") && is_valid(&[b'x'; KEY_LEN_MAX]));
        for wrong in [&b""[..], b"tab\t", b"\x7f", "é".as_bytes(), &[b'x'; KEY_LEN_MAX + 1]] {
            assert!(!is_valid(wrong));
        }
    }

    #[test]
    fn key_and_own_id_are_read_from_data() {
        let slots = data::encode(&[(data::TAG_ID, &9_u128.to_le_bytes()), (data::TAG_KEY, b"k")]);
        assert_eq!(own_id(&slots), Some(9));
        assert_eq!(of(&slots), Some(&b"k"[..]));
        assert_eq!((own_id(&[]), of(&[])), (None, None));
    }
}
