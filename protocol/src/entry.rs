//! Entries: effects, mostly those of one owner's accounts, asked for page by page of what is
//! settled.
//!
//! It knows no SQL and no rights. Invariant: an answer has every entry behind the place asked for
//! through the place that it names as reached, once and in order.

use alloc::vec::Vec;

use crate::feed::{Followed, Place};
use crate::ids::{AssetId, OwnerId};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryQuestion {
    /// Whose; nothing: everybody's.
    pub owner: Option<OwnerId>,
    /// In which asset; nothing: in any, and what is in none.
    pub asset: Option<AssetId>,
    /// Behind this place.
    pub after: Place,
    /// Through this sequence.
    pub through: u64,
    /// At most so many.
    pub entries_max: u32,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryAnswer {
    /// Entries are known without a hole behind this sequence.
    pub whole_behind: u64,
    /// Everything asked for at or before this place is among the entries; never before the place
    /// that was asked for.
    pub reached: Place,
    /// The entries, if the place asked for is not before `whole_behind`. Neither the command's id
    /// nor the epoch is known here, and the time is that of the end of the batch.
    pub entries: Vec<Followed>,
}

/// Where a time lies in what is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryBoundary {
    /// The last sequence of the batches that ended before it; 0: none did.
    pub before: u64,
    /// A batch has ended at that time or later, so that nothing else is before it.
    pub is_passed: bool,
}
