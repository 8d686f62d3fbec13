//! Remembered string keys: what became of each KEYED command, in the order in which they ran.
//!
//! It judges no body and asks no history. The invariant (H17): a key is forgotten from the front
//! alone, when its sequence is settled, and the highest sequence so forgotten never falls; what was
//! inserted after it is found.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::chunks::Chunks;
use crate::hash::Hash;
use crate::index::Index;
use crate::limits::{KEY_CHUNK_ROWS, KEYS_FORGOTTEN_PER_RECORD};
use crate::request::Stored;

/// What became of one KEYED command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Whose key it is.
    pub(crate) principal: u128,
    /// Hash of the key, the command's id.
    pub(crate) key: u128,
    /// Digest of its body.
    pub(crate) body: u128,
    /// Journal time at which it ran.
    pub(crate) at_ms: u64,
    /// What it was answered.
    pub(crate) stored: Stored,
}

const _: () = assert!(size_of::<Row>() == 80);

impl Row {
    /// What is folded into digests.
    pub(crate) const fn words(&self) -> [u128; 6] {
        let Stored { sequence, status, rate } = self.stored;
        let tail = (status as u128) << 16 | rate as u128;
        [sequence as u128, self.at_ms as u128, self.principal, self.key, self.body, tail]
    }

    fn hash(&self, hash: &Hash) -> u64 {
        hash.id(hash.scope(self.principal), self.key)
    }
}

/// What may be forgotten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// Nothing after this sequence.
    pub(crate) settled: u64,
    /// Journal time.
    pub(crate) now_ms: u64,
    /// Nothing younger than this.
    pub(crate) window_ms: u64,
}

impl Bound {
    fn allows(&self, row: &Row) -> bool {
        let oldest_ms = self.now_ms.checked_sub(self.window_ms);
        row.stored.sequence <= self.settled && oldest_ms.is_some_and(|oldest| row.at_ms <= oldest)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    index: Index,
    rows: Chunks<Row, KEY_CHUNK_ROWS>,
    /// Numbers of the rows held, in order.
    order: VecDeque<u32>,
    /// Numbers of rows that are forgotten.
    free: Vec<u32>,
    forgotten_through: u64,
}

impl Keys {
    /// None held, those through this sequence forgotten.
    pub(crate) fn forgotten(through: u64) -> Self {
        Self { forgotten_through: through, ..Self::default() }
    }

    /// Keys held.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Highest sequence that was forgotten: no key after it has been.
    pub(crate) const fn forgotten_through(&self) -> u64 {
        self.forgotten_through
    }

    /// What became of the command with `key` of `principal`.
    pub(crate) fn find(&self, hash: &Hash, principal: u128, key: u128) -> Option<&Row> {
        let hashed = hash.id(hash.scope(principal), key);
        let number = self.index.find(hashed, |number| {
            let row = self.rows.row(number);
            row.key == key && row.principal == principal
        })?;
        Some(self.rows.row(number))
    }

    /// Remembers what became of a command whose key is not held.
    pub(crate) fn insert(&mut self, hash: &Hash, row: Row) {
        assert!(row.stored.sequence > self.forgotten_through, "sequences rise");
        let number = match self.free.pop() {
            Some(number) => {
                *self.rows.row_mut(number) = row;
                number
            }
            None => self.rows.push(row),
        };
        let Self { index, rows, .. } = self;
        index.insert(row.hash(hash), number, |number| rows.row(number).hash(hash));
        self.order.push_back(number);
    }

    /// At a record: forgets what has had its window, as far as it is settled.
    pub(crate) fn advance(&mut self, hash: &Hash, bound: &Bound) {
        for _ in 0..KEYS_FORGOTTEN_PER_RECORD {
            if !self.forget_first(hash, bound) {
                break;
            }
        }
    }

    /// Makes room for one more; whether there is room.
    pub(crate) fn make_room(&mut self, hash: &Hash, capacity: usize, bound: &Bound) -> bool {
        while self.len() >= capacity {
            if !self.forget_first(hash, bound) {
                return false;
            }
        }
        true
    }

    /// Forgets the oldest key if `bound` allows it.
    fn forget_first(&mut self, hash: &Hash, bound: &Bound) -> bool {
        let Self { index, rows, order, .. } = self;
        let Some(&number) = order.front() else {
            return false;
        };
        let row = rows.row(number);
        if !bound.allows(row) {
            return false;
        }
        index.remove(row.hash(hash), number, |number| rows.row(number).hash(hash));
        self.forgotten_through = row.stored.sequence;
        order.pop_front();
        self.free.push(number);
        true
    }

    /// Every row in order of the sequences.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.order.iter().map(|&number| self.rows.row(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Bound = Bound { settled: u64::MAX, now_ms: u64::MAX, window_ms: 0 };

    fn row(sequence: u64) -> Row {
        Row {
            principal: u128::from(sequence % 3) << 64,
            key: u128::from(sequence),
            body: 7,
            at_ms: 1_000 * sequence,
            stored: Stored { sequence, status: 0, rate: 5 },
        }
    }

    fn find(keys: &Keys, hash: &Hash, sequence: u64) -> Option<u64> {
        let wanted = row(sequence);
        keys.find(hash, wanted.principal, wanted.key).map(|row| row.stored.sequence)
    }

    #[test]
    fn a_key_is_forgotten_when_it_is_old_and_settled() {
        let hash = Hash::new(1);
        let mut keys = Keys::default();
        for sequence in 1..=10 {
            keys.insert(&hash, row(sequence));
        }
        let at = |settled, now_ms| Bound { settled, now_ms, window_ms: 2_000 };
        keys.advance(&hash, &at(10, 2_999));
        assert_eq!((keys.len(), keys.forgotten_through()), (10, 0), "too young");
        keys.advance(&hash, &at(0, 60_000));
        assert_eq!((keys.len(), keys.forgotten_through()), (10, 0), "not settled");
        keys.advance(&hash, &at(10, 3_000));
        assert_eq!((keys.len(), keys.forgotten_through()), (9, 1));
        keys.advance(&hash, &at(4, 60_000));
        assert_eq!((keys.len(), keys.forgotten_through()), (6, 4));
        assert_eq!((find(&keys, &hash, 4), find(&keys, &hash, 5)), (None, Some(5)));
        let strange = keys.find(&hash, 1 << 90, 5);
        assert_eq!(strange, None, "another principal's");
    }

    #[test]
    fn room_is_made_one_key_at_a_time() {
        let hash = Hash::new(1);
        let mut keys = Keys::default();
        for sequence in 1..=4 {
            keys.insert(&hash, row(sequence));
        }
        let bound = Bound { settled: 1, now_ms: 60_000, window_ms: 10 };
        assert!(keys.make_room(&hash, 5, &bound));
        assert_eq!(keys.len(), 4, "there was room");
        assert!(keys.make_room(&hash, 4, &bound));
        assert_eq!((keys.len(), keys.forgotten_through()), (3, 1));
        keys.insert(&hash, row(5));
        assert!(!keys.make_room(&hash, 4, &bound), "2 is not settled");
        assert_eq!(keys.len(), 4);
    }

    #[test]
    fn rows_are_found_while_their_places_are_used_again() {
        let hash = Hash::new(1);
        let mut keys = Keys::default();
        let count = 3 * KEY_CHUNK_ROWS as u64;
        for sequence in 1..=count {
            keys.insert(&hash, row(sequence));
            if sequence > 1_500 {
                assert!(keys.forget_first(&hash, &OLD));
            }
        }
        assert!(keys.rows.len() <= 1_501, "places are used again");
        assert_eq!((keys.len(), keys.forgotten_through()), (1_500, count - 1_500));
        for sequence in 1..=count {
            let held = (sequence > count - 1_500).then_some(sequence);
            assert_eq!(find(&keys, &hash, sequence), held);
        }
        let sequences: Vec<_> = keys.iter().map(|row| row.stored.sequence).collect();
        assert!(sequences.iter().copied().eq(count - 1_499..=count));
    }

    #[test]
    fn a_record_forgets_a_bounded_number() {
        let hash = Hash::new(1);
        let mut keys = Keys::default();
        for sequence in 1..=KEYS_FORGOTTEN_PER_RECORD as u64 + 5 {
            keys.insert(&hash, row(sequence));
        }
        keys.advance(&hash, &OLD);
        assert_eq!(keys.len(), 5);
        keys.advance(&hash, &OLD);
        assert_eq!((keys.len(), find(&keys, &hash, 1)), (0, None));
    }
}
