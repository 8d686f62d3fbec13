//! What the journal asks of a disk, behind traits so that tests and the simulator can lie.
//!
//! Refuses to expose a read of the live segment through its writer. Invariant: a live segment has
//! one writer (`&mut`), and syncing it needs no access to it.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Where a read comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Whatever the page cache holds: for tools that look at a journal.
    Cache,
    /// The medium: syncs and drops the page cache first, since pages whose write failed can
    /// still be read from it.
    Medium,
}

/// Is told how many bytes of a segment are written so far, may take its time, and says whether to
/// go on.
pub type Pause<'a> = dyn Fn(u64) -> ControlFlow<()> + 'a;

/// A directory of numbered segments.
pub trait Storage: Send + Sync {
    /// Makes the place for a journal, empty.
    ///
    /// # Errors
    /// When it holds anything that is not a journal's own leftover, or cannot be made.
    fn init(&self) -> Result<(), StorageError>;

    /// Takes the only writer's lock and keeps it until the storage is dropped; removes
    /// segments whose preparation was interrupted. Whoever holds it already may ask again.
    ///
    /// # Errors
    /// [`StorageError::Locked`] when somebody else holds it.
    fn lock(&self) -> Result<(), StorageError>;

    /// Name of a segment for messages.
    fn name(&self, number: u64) -> String;

    /// Numbers of the segments that are in place, ascending.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn list(&self) -> Result<Vec<u64>, StorageError>;

    /// Makes segment `number` of `len` bytes: `head`, then zeros, all durable before the segment
    /// appears under its name. Where that takes writes, `pause` is called between them; when it
    /// breaks off, nothing is left behind, and the answer is `false`.
    ///
    /// # Errors
    /// [`StorageError::Full`] leaves nothing behind and may be retried.
    fn prepare(
        &self,
        number: u64,
        len: u64,
        head: &[u8],
        pause: &Pause<'_>,
    ) -> Result<bool, StorageError>;

    /// Opens a segment in place for its one writer. A number is opened once, ascending.
    ///
    /// # Errors
    /// When it is absent, was opened before, or the lock is not held.
    fn open_live(&self, number: u64) -> Result<Live, StorageError>;

    /// Opens a segment for reading.
    ///
    /// # Errors
    /// When it is absent or cannot be read.
    fn open_read(&self, number: u64, source: Source) -> Result<Box<dyn SegmentRead>, StorageError>;

    /// Overwrites with zeros from `from` to the segment's end, durably.
    ///
    /// # Errors
    /// When the write or the sync fails.
    fn wipe(&self, number: u64, from: u64) -> Result<(), StorageError>;

    /// Removes a segment, durably.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, number: u64) -> Result<(), StorageError>;
}

/// A segment being filled.
pub struct Live {
    /// The only way to change its bytes.
    pub writer: Box<dyn SegmentWrite>,
    /// Makes its bytes durable, from any thread.
    pub sync: Arc<dyn SegmentSync>,
    /// Bytes of the segment.
    pub len: u64,
}

/// The writing end of a live segment. Each record is begun, written and finished before the next,
/// in the order of their places.
pub trait SegmentWrite: Send {
    /// Makes room for a record of whole blocks. What is not written of the last one is zero.
    ///
    /// # Errors
    /// When room is made by writing earlier records and that fails: final, like a failed sync.
    ///
    /// # Panics
    /// When the record does not fit into the segment.
    fn begin(&mut self, offset: u64, len: u64) -> Result<(), StorageError> {
        let _stores_need_no_room = (offset, len);
        Ok(())
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Errors
    /// When the backend writes at once and that fails; those for files cannot.
    ///
    /// # Panics
    /// When the bytes do not fit into the segment.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError>;

    /// The record is whole: from now on a sync covers it.
    fn finish(&mut self) {}
}

/// The syncing end of a live segment.
pub trait SegmentSync: Send + Sync {
    /// Returns when the records finished in this range before the call are durable.
    ///
    /// # Errors
    /// Any error is final: the caller must not sync again, since a second sync may succeed
    /// without the bytes being on the medium.
    fn sync(&self, offset: u64, len: u64) -> Result<(), StorageError>;
}

/// A segment opened for reading.
pub trait SegmentRead: Send + Sync {
    /// Bytes of the segment.
    fn len(&self) -> u64;

    /// Whether the segment has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `into` from `offset`.
    ///
    /// # Errors
    /// When the medium cannot be read, or the range is not in the segment.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), StorageError>;
}

/// What went wrong with a disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Another process holds the journal.
    #[error("{place} is in use by {holder}; stop it, or use another directory")]
    Locked {
        /// The lock file.
        place: String,
        /// Who holds it, as far as it says.
        holder: String,
    },
    /// No room for a segment.
    #[error("no space for {name} ({len} bytes): {source}; free space, then it is tried again")]
    Full {
        /// The segment.
        name: String,
        /// Bytes wanted.
        len: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A new journal was asked for where something is already.
    #[error("{place} is not empty (it holds {found}); choose an empty directory")]
    NotEmpty {
        /// The directory.
        place: String,
        /// One thing that it holds.
        found: String,
    },
    /// The directory or segment does not exist.
    #[error("{name} does not exist; check the journal's directory in the configuration")]
    Absent {
        /// What was looked for.
        name: String,
    },
    /// The caller broke the rule that a segment has one writer.
    #[error("{name} cannot be opened for writing: {reason}")]
    Writer {
        /// The segment.
        name: String,
        /// Which rule.
        reason: &'static str,
    },
    /// Direct writes were asked for and cannot be had.
    #[error(
        "direct writes are refused in {place}: {source}; set journal.backend to auto or mapped, or \
         use another file system"
    )]
    NoDirect {
        /// The directory.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused.
    #[error("{action} {name} at offset {offset}: {source}; check the disk and the system log")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        name: String,
        /// From where in it.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
}

impl StorageError {
    pub(crate) fn io(action: &'static str, name: &str, offset: u64, source: io::Error) -> Self {
        Self::Io { action, name: name.to_owned(), offset, source }
    }

    /// Whether freeing space can cure it.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}
