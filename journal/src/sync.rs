//! Making appended records durable, on a thread of its own, while the next ones are filled.
//!
//! Refuses to retry: the first failed sync is final, since a second one may succeed without the
//! bytes being on the medium. Invariant: the index returned is that of a contiguous prefix.

use std::sync::Arc;

use crate::UNSYNCED_SEGMENTS_MAX;
use crate::shared::{Shared, Stretch};
use crate::storage::StorageError;

/// Why records did not become durable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The sync failed, or the system reported an earlier loss.
    #[error("the journal is not durable: {0}; stop the process, nothing may be acknowledged")]
    Failed(#[source] StorageError),
    /// A sync or write has failed before.
    #[error("a write or sync of the journal has failed before; stop the process and recover")]
    Poisoned,
}

/// The durable end of a journal; there is one.
pub struct Syncer {
    shared: Arc<Shared>,
    taken: Vec<Stretch>,
}

impl Syncer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, taken: Vec::with_capacity(UNSYNCED_SEGMENTS_MAX * 2) }
    }

    /// Makes durable what was appended when the call began; returns the index up to which every
    /// record is durable. Cheap when there is nothing to do.
    ///
    /// # Errors
    /// Any error is final for the journal: the process has to stop.
    pub fn sync(&mut self) -> Result<u64, SyncError> {
        if self.shared.is_poisoned() {
            return Err(SyncError::Poisoned);
        }
        let mut unsynced = self.shared.unsynced();
        let index = unsynced.index;
        std::mem::swap(&mut unsynced.stretches, &mut self.taken);
        drop(unsynced);
        for stretch in self.taken.drain(..) {
            if let Err(error) = stretch.sync.sync(stretch.from, stretch.to - stretch.from) {
                self.shared.poison();
                tracing::error!(%error, "a sync of the journal failed");
                return Err(SyncError::Failed(error));
            }
        }
        self.shared.note_durable(index);
        Ok(index)
    }

    /// Whether anything appended is not yet durable.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.shared.appended() > self.shared.durable()
    }
}
