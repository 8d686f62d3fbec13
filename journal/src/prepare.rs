//! Making the next segment ready in the background.
//!
//! Refuses to run ahead by more than one segment, or while too much waits to be synced.
//! Invariant: a segment is handed over only when every byte of it is allocated and durable, so
//! that filling it can meet neither a full disk nor a SIGBUS.

use std::sync::Arc;

use crate::shared::Shared;
use crate::storage::{Storage, StorageError};

/// Why the next segment is not ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// No space now; call again later.
    #[error("the next segment of the journal cannot be prepared: {0}")]
    Full(#[source] StorageError),
    /// The disk failed: the process has to stop.
    #[error("the next segment of the journal cannot be prepared: {0}; stop the process")]
    Failed(#[source] StorageError),
}

/// The background end of a journal; there is one.
pub struct Preparer {
    shared: Arc<Shared>,
    storage: Arc<dyn Storage>,
    segment_size: u64,
}

impl Preparer {
    pub(crate) fn new(shared: Arc<Shared>, storage: Arc<dyn Storage>, segment_size: u64) -> Self {
        Self { shared, storage, segment_size }
    }

    /// Whether a segment should be prepared now.
    #[must_use]
    pub fn needed(&self) -> bool {
        self.shared.needs_segment()
    }

    /// Prepares the next segment if it is needed; says whether it did.
    ///
    /// # Errors
    /// [`PrepareError::Full`] may be retried; the journal appends until its segment is full.
    pub fn prepare(&mut self) -> Result<bool, PrepareError> {
        drop(self.shared.take_retired());
        if !self.needed() {
            return Ok(false);
        }
        let done = self.prepare_next();
        self.shared.set_full(done.is_err());
        done.map(|()| true)
    }

    fn prepare_next(&mut self) -> Result<(), PrepareError> {
        let number = self.shared.live() + 1;
        self.storage.prepare(number, self.segment_size, &[]).map_err(|e| {
            if e.is_full() { PrepareError::Full(e) } else { PrepareError::Failed(e) }
        })?;
        let live = self.storage.open_live(number).map_err(PrepareError::Failed)?;
        self.shared.put_ready(number, live);
        Ok(())
    }
}
