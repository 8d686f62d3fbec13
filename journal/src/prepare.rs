//! Making the next segment ready in the background.
//!
//! Refuses to run ahead by more than one segment, or while too much waits to be synced.
//! Invariant: a segment is handed over only when every byte of it is allocated and durable, so
//! that filling it can meet neither a full disk nor a SIGBUS.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::shared::Shared;
use crate::storage::{Storage, StorageError};

/// Longest wait between two writes: on an idle frame a segment is made with 64 MiB a second.
const PAUSE_MAX: Duration = Duration::from_millis(8);
/// How often a wait looks how the live segment fares.
const PAUSE: Duration = Duration::from_millis(1);

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
        self.prepare_when_due(&|| true)
    }

    /// The same, no faster than the live segment is filled, until `is_hurried` says so: its writes
    /// wait behind those of a segment that is made at the speed of the disk.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn prepare_when_due(
        &mut self,
        is_hurried: &dyn Fn() -> bool,
    ) -> Result<bool, PrepareError> {
        drop(self.shared.take_retired());
        if !self.needed() {
            return Ok(false);
        }
        let done = self.prepare_next(is_hurried);
        self.shared.set_full(done.is_err());
        done.map(|()| true)
    }

    fn prepare_next(&mut self, is_hurried: &dyn Fn() -> bool) -> Result<(), PrepareError> {
        let number = self.shared.live() + 1;
        let pause = |made: u64| {
            let begin = Instant::now();
            let is_due = || is_due(made, self.segment_size, self.shared.room());
            while !is_hurried() && !is_due() && begin.elapsed() < PAUSE_MAX {
                thread::sleep(PAUSE);
            }
        };
        self.storage.prepare(number, self.segment_size, &[], &pause).map_err(|e| {
            if e.is_full() { PrepareError::Full(e) } else { PrepareError::Failed(e) }
        })?;
        let live = self.storage.open_live(number).map_err(PrepareError::Failed)?;
        self.shared.put_ready(number, live);
        Ok(())
    }
}

/// Whether the next piece of a segment of `len` bytes is due with `made` of them there, so that the
/// whole is there when a third of it is left as `room` in the live one.
fn is_due(made: u64, len: u64, room: u64) -> bool {
    let left = len - made;
    left.saturating_mul(2).saturating_add(len) > room.saturating_mul(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_made_as_fast_as_the_live_one_is_filled() {
        const LEN: u64 = 900;
        assert!(!is_due(0, LEN, LEN), "nothing is filled yet");
        assert!(is_due(0, LEN, LEN - 1));
        // Three bytes for every two.
        assert!(is_due(299, LEN, LEN - 200) && !is_due(300, LEN, LEN - 200));
        assert!(is_due(899, LEN, 300) && !is_due(LEN, LEN, 300), "a third before its end");
        assert!(is_due(0, LEN, LEN / 4), "a smaller one before it, or one found nearly full");
    }
}
