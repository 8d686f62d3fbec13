//! A remembered id and the key that it is found by.
//!
//! It knows no table. The invariant: a row never changes.

use crate::hash::Hash;
use crate::request::Stored;

/// What became of one command: 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    id: [u64; 2],
    scope: u64,
    /// Sequence of the command.
    pub(crate) sequence: u64,
    /// Check of its body.
    pub(crate) check: u32,
    /// Number of its status.
    pub(crate) status: u16,
    /// Rate that it paid.
    pub(crate) rate: u16,
}

const _: () = assert!(size_of::<Row>() == 40);

impl Row {
    /// What became of the command with `key`.
    #[inline]
    pub(super) const fn new(
        key: &Key,
        sequence: u64,
        check: u32,
        (status, rate): (u16, u16),
    ) -> Self {
        Self { id: key.halves(), scope: key.scope, sequence, check, status, rate }
    }

    /// What is folded into digests.
    pub(crate) const fn words(&self) -> [u64; 5] {
        let [low, high] = self.id;
        let tail = (self.check as u64) << 32 | (self.status as u64) << 16 | self.rate as u64;
        [high, low, self.scope, self.sequence, tail]
    }

    /// The id.
    pub(crate) const fn id(&self) -> u128 {
        let [low, high] = self.id;
        (high as u128) << 64 | low as u128
    }

    /// Name of its scope.
    pub(crate) const fn scope(&self) -> u64 {
        self.scope
    }

    /// Whether it is that of `key`.
    #[inline]
    pub(super) fn is(&self, key: &Key) -> bool {
        self.id == key.halves() && self.scope == key.scope
    }

    /// Under which it is found.
    pub(super) const fn hash(&self, hash: &Hash) -> u64 {
        hash.id(self.scope, self.id())
    }

    /// What its command was answered.
    pub(crate) const fn stored(&self) -> Stored {
        Stored { sequence: self.sequence, status: self.status, rate: self.rate }
    }
}

/// An id in its scope, with the hash of both.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Key {
    /// The id.
    pub(crate) id: u128,
    /// Name of the scope.
    pub(crate) scope: u64,
    /// Hash of both.
    pub(crate) hash: u64,
}

impl Key {
    /// An id in the scope of this name.
    pub(crate) const fn new(hash: &Hash, id: u128, scope: u64) -> Self {
        Self { id, scope, hash: hash.id(scope, id) }
    }

    /// Time inside the id.
    pub(crate) const fn unix_ms(&self) -> u64 {
        (self.id >> 80) as u64
    }

    const fn halves(&self) -> [u64; 2] {
        [self.id as u64, (self.id >> 64) as u64]
    }
}
