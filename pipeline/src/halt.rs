//! Why a stage stops for good, and what a step says.
//!
//! There is no way back from a halt: the process ends and recovers. Invariant: a halted stage
//! journals, acknowledges and executes nothing more.

/// Why the pipeline has to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Halt {
    /// A sync failed: what was appended since may be lost, what was answered is safe.
    #[error("the journal could not be made durable: {0}; stop the process and recover")]
    Sync(#[source] journal::SyncError),
    /// A record could not be written, and not for want of room.
    #[error("a record could not be appended: {0}; stop the process and recover")]
    Append(#[source] journal::AppendError),
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something; step again before waiting.
    Worked,
    /// Nothing to do now.
    Idle,
    /// Nothing to do ever again: the ring has ended.
    Finished,
    /// The stage has stopped for good; see its `halt`.
    Halted,
}
