//! Making the next segment ready in the background.
//!
//! Refuses to run ahead by more than one segment, or while too much waits to be synced.
//! Invariant: a segment is handed over only when every byte of it is allocated and durable, so
//! that filling it can meet neither a full disk nor a SIGBUS.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::format::{BLOCK, RECORD_LEN_MAX, record_len};
use crate::shared::Shared;
use crate::storage::{Pause, Storage, StorageError};

/// A look at how the live segment fares, and the next.
const LOOK: Duration = Duration::from_millis(1);
/// Looks between two writes, at the most: on an idle frame a segment is made with some 64 MiB a
/// second.
const LOOKS_MAX: usize = 8;

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
        self.prepare_with(&|_| ControlFlow::Continue(()))
    }

    /// The same no faster than the live segment is filled, whose writes wait behind those of a
    /// segment that is made at the speed of the disk; given up when `is_ending` says so.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn prepare_when_due(&mut self, is_ending: &dyn Fn() -> bool) -> Result<bool, PrepareError> {
        let (shared, len) = (Arc::clone(&self.shared), self.segment_size);
        self.prepare_with(&|made| pause(|| is_due(made, len, shared.room()), is_ending))
    }

    fn prepare_with(&mut self, pause: &Pause<'_>) -> Result<bool, PrepareError> {
        drop(self.shared.take_retired());
        if !self.needed() {
            return Ok(false);
        }
        let done = self.prepare_next(pause);
        self.shared.set_full(done.is_err());
        done
    }

    fn prepare_next(&mut self, pause: &Pause<'_>) -> Result<bool, PrepareError> {
        let number = self.shared.live() + 1;
        let made = self.storage.prepare(number, self.segment_size, &[], pause).map_err(|e| {
            if e.is_full() { PrepareError::Full(e) } else { PrepareError::Failed(e) }
        })?;
        if made {
            let live = self.storage.open_live(number).map_err(PrepareError::Failed)?;
            self.shared.put_ready(number, live);
        }
        Ok(made)
    }
}

/// Waits until the next piece is due, but not for ever.
fn pause(is_due: impl Fn() -> bool, is_ending: &dyn Fn() -> bool) -> ControlFlow<()> {
    for _ in 0..LOOKS_MAX {
        if is_ending() {
            return ControlFlow::Break(());
        }
        if is_due() {
            break;
        }
        thread::sleep(LOOK);
    }
    ControlFlow::Continue(())
}

/// Whether the next piece of a segment of `len` bytes is due with `made` of them there, so that the
/// whole is there when a third of it is left as `room` in the live one, beside the longest record:
/// with less room than that nothing is appended.
fn is_due(made: u64, len: u64, room: u64) -> bool {
    let left = len.saturating_sub(made);
    let room = room.saturating_sub(record_len(RECORD_LEN_MAX) + BLOCK);
    left.saturating_mul(2).saturating_add(len) > room.saturating_mul(3)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// What a longest record and a seal want.
    const KEPT: u64 = (4 << 20) + 2 * 4096;

    #[test]
    fn a_segment_is_made_as_fast_as_the_live_one_is_filled() {
        const LEN: u64 = 900;
        let is_due = |made, len, room| is_due(made, len, room + KEPT);
        assert!(!is_due(0, LEN, LEN), "nothing is filled yet");
        assert!(is_due(0, LEN, LEN - 1));
        // Three bytes for every two.
        assert!(is_due(299, LEN, LEN - 200) && !is_due(300, LEN, LEN - 200));
        assert!(is_due(899, LEN, 300) && !is_due(LEN, LEN, 300), "a third before its end");
        assert!(is_due(0, LEN, LEN / 4), "a smaller one before it, or one found nearly full");
    }

    /// Payments waited for segments that were still made at leisure.
    #[test]
    fn nobody_waits_for_a_segment_that_is_made_at_leisure() {
        for len in [8 << 20, 128 << 20] {
            assert!(!is_due(len - 1, len, len));
            assert!(is_due(len - 1, len, KEPT), "no room for the longest record");
        }
    }

    #[test]
    fn a_pause_ends_when_the_next_piece_is_due_and_after_a_while() {
        for (due, looked) in [(1, 1), (3, 3), (usize::MAX, LOOKS_MAX)] {
            let looks = Cell::new(0);
            let is_due = || {
                looks.set(looks.get() + 1);
                looks.get() >= due
            };
            assert_eq!(pause(is_due, &|| false), ControlFlow::Continue(()));
            assert_eq!(looks.get(), looked);
        }
    }

    #[test]
    fn an_end_breaks_off() {
        assert_eq!(pause(|| true, &|| true), ControlFlow::Break(()));
        let asked = Cell::new(0);
        let is_ending = || {
            asked.set(asked.get() + 1);
            asked.get() > 2
        };
        assert_eq!(pause(|| false, &is_ending), ControlFlow::Break(()));
    }
}
