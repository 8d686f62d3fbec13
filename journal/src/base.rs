//! A state that exists already: recovery goes on behind it and leaves alone what came before.
//!
//! Refuses a journal of another history. Invariant: the record has the hash that the state was
//! taken with, and the chain from there on is the one that is recovered.

use crate::error::RecoverError;
use crate::format::RecordHeader;
use crate::segments::{Start, start};
use crate::storage::{Source, Storage};

/// A record behind which a state is at hand: a snapshot's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// Its index.
    pub index: u64,
    /// Its chain hash.
    pub hash: [u8; 32],
}

impl Base {
    /// Where reading begins: with the segment that holds the record. If the record was the last
    /// before the oldest segment, the link of the one behind it says as much.
    pub(crate) fn start(
        self,
        storage: &dyn Storage,
        numbers: Vec<u64>,
    ) -> Result<Start, RecoverError> {
        match start(storage, numbers.clone(), self.index, Source::Medium) {
            Err(RecoverError::Shortened { first_index, .. })
                if first_index == self.index.saturating_add(1) =>
            {
                start(storage, numbers, first_index, Source::Medium)
            }
            started => started,
        }
    }

    /// Whether `header` agrees with it.
    pub(crate) fn check(
        self,
        storage: &dyn Storage,
        header: &RecordHeader,
    ) -> Result<(), RecoverError> {
        let is_same = match header.index {
            index if index == self.index => header.hash == self.hash,
            index if index == self.index.saturating_add(1) => header.previous_hash == self.hash,
            _ => true,
        };
        if is_same {
            return Ok(());
        }
        let (file, offset) = (storage.name(header.segment), header.offset);
        Err(RecoverError::OtherHistory { file, offset, index: self.index })
    }
}
