//! What can be wrong with a snapshot.
//!
//! Refuses to leave a message without the file and what to do; damage has its offset.

use std::io;

/// Why a snapshot cannot be written or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The disk or the system refused.
    #[error("{action} {file}: {source}; free the space or repair the disk, then try again")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// It does not begin as a snapshot does.
    #[error("{file}: no snapshot begins at offset 0; move it out of the directory")]
    NotSnapshot {
        /// The file.
        file: String,
    },
    /// Written in a form that this version does not know.
    #[error("{file} has snapshot format {found}, which this version does not know: upgrade")]
    Format {
        /// The file.
        file: String,
        /// Its format.
        found: u16,
    },
    /// A byte is not what was written.
    #[error("{file} is damaged at offset {offset}: {what}; use another snapshot, or a copy")]
    Damaged {
        /// The file.
        file: String,
        /// Where what does not verify begins.
        offset: u64,
        /// What does not.
        what: &'static str,
    },
    /// The name says another place in the journal than the bytes.
    #[error("{file} holds the snapshot that is called {called}; give it its own name back")]
    Misnamed {
        /// The file.
        file: String,
        /// What it should be called.
        called: String,
    },
    /// Of another frame.
    #[error("{file} is of frame {found:032x}, not of {expected:032x}; move it where it belongs")]
    WrongFrame {
        /// The file.
        file: String,
        /// Its frame.
        found: u128,
        /// This frame.
        expected: u128,
    },
    /// Its hashes are right, and whoever read it could not use it.
    #[error(
        "{file} has right hashes and no state came from it; remove it when a newer one verifies"
    )]
    Unusable {
        /// The file.
        file: String,
    },
    /// More was read than there is, or there is more than was read.
    #[error("{file}: its body has {bytes} bytes, and its reader asked for another number")]
    Length {
        /// The file.
        file: String,
        /// Bytes of its body.
        bytes: u64,
    },
    /// What was just written does not give the state back from which it was written.
    #[error("{file} was written and does not read back: {source}; it was not kept")]
    Rejected {
        /// The file.
        file: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SnapshotError {
    /// Whether the file is not there: somebody has removed it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) const fn damaged(file: String, offset: u64, what: &'static str) -> Self {
        Self::Damaged { file, offset, what }
    }
}

/// Names what was being done, and to what.
pub(crate) trait Doing<T> {
    fn doing(self, action: &'static str, file: impl FnOnce() -> String)
    -> Result<T, SnapshotError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(
        self,
        action: &'static str,
        file: impl FnOnce() -> String,
    ) -> Result<T, SnapshotError> {
        self.map_err(|source| SnapshotError::Io { action, file: file(), source })
    }
}
