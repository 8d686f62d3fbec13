//! Data of a command: type-length-value entries in the 128-byte slots that follow it.
//!
//! An entry is `tag u16, length u16, bytes`; entries follow one another without padding; tag 0
//! ends them and everything after it is zero.

use alloc::vec::Vec;
use zerocopy::IntoBytes;

use crate::command::{COMMAND_SIZE, Command};

/// Reason text (UTF-8).
pub const TAG_REASON: u16 = 1;
/// String key (printable ASCII, 1–255 bytes); only with the KEYED flag.
pub const TAG_KEY: u16 = 2;
/// Name of an asset (UTF-8).
pub const TAG_NAME: u16 = 3;
/// SPIFFE ID (ASCII).
pub const TAG_SPIFFE_ID: u16 = 4;
/// Memo (bytes).
pub const TAG_MEMO: u16 = 5;
/// Proof (bytes).
pub const TAG_PROOF: u16 = 6;
/// The command's own id beside its key (16 bytes, little-endian); only with the KEYED flag.
pub const TAG_ID: u16 = 7;

/// The highest tag with a meaning.
const TAG_LAST: u16 = TAG_ID;

const HEAD: usize = 4;

/// The value of the first entry with `tag`; `None` if there is none or the data is malformed.
pub fn find(slots: &[Command], tag: u16) -> Option<&[u8]> {
    entries(slots).find(|&(entry_tag, _)| entry_tag == tag).map(|(_, value)| value)
}

/// As [`find`], for text.
pub fn find_text(slots: &[Command], tag: u16) -> Option<&str> {
    find(slots, tag).and_then(|bytes| core::str::from_utf8(bytes).ok())
}

/// Every entry in order, up to the first that is not whole.
pub fn entries(slots: &[Command]) -> impl Iterator<Item = (u16, &[u8])> {
    let bytes = slots.as_bytes();
    let mut at = 0;
    core::iter::from_fn(move || {
        let (tag, value, next) = entry(bytes, at)?;
        at = next;
        Some((tag, value))
    })
}

/// Whether every entry is whole, known, and what follows the last is zero.
pub fn is_well_formed(slots: &[Command]) -> bool {
    let bytes = slots.as_bytes();
    let mut at = 0;
    while let Some((tag, _, next)) = entry(bytes, at) {
        if tag > TAG_LAST {
            return false;
        }
        at = next;
    }
    bytes.get(at..).is_some_and(|rest| rest.iter().all(|&byte| byte == 0))
}

fn entry(bytes: &[u8], at: usize) -> Option<(u16, &[u8], usize)> {
    let [t0, t1, l0, l1] = *bytes.get(at..at + HEAD)?.first_chunk()?;
    let tag = u16::from_le_bytes([t0, t1]);
    if tag == 0 {
        return None;
    }
    let end = at + HEAD + usize::from(u16::from_le_bytes([l0, l1]));
    Some((tag, bytes.get(at + HEAD..end)?, end))
}

/// Slots holding `entries`; the caller sets [`Command::data`] to their number.
///
/// # Panics
///
/// If a value is longer than 65 535 bytes.
pub fn encode(entries: &[(u16, &[u8])]) -> Vec<Command> {
    let mut bytes = Vec::new();
    for (tag, value) in entries {
        let len = u16::try_from(value.len()).expect("a value is at most 65535 bytes");
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(value);
    }
    let mut slots = alloc::vec![Command::default(); bytes.len().div_ceil(COMMAND_SIZE)];
    if let Some(target) = slots.as_mut_slice().as_mut_bytes().get_mut(..bytes.len()) {
        target.copy_from_slice(&bytes);
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back_and_damage_is_seen() {
        let long = [b'x'; 300];
        let slots = encode(&[(TAG_REASON, b"typo"), (TAG_MEMO, &long)]);
        assert_eq!(slots.len(), 3);
        assert_eq!(find_text(&slots, TAG_REASON), Some("typo"));
        assert_eq!(find(&slots, TAG_MEMO), Some(&long[..]));
        assert_eq!(find(&slots, TAG_NAME), None);
        assert!(is_well_formed(&slots));
        assert!(!is_well_formed(&slots[..2]), "the memo is cut");
        let mut dirty = slots.clone();
        dirty[2].reserved[2] = 1;
        assert!(!is_well_formed(&dirty), "what follows the end must be zero");
        let unknown = encode(&[(99, b"?")]);
        assert!(!is_well_formed(&unknown));
    }
}
