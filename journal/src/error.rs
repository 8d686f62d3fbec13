//! What can be wrong with a journal that is read or recovered.
//!
//! Refuses to leave a message without the file, the place and what to do. Invariant: every error
//! has exactly one [`FaultKind`], from which the process takes its exit code.

use std::fmt;

use crate::flaw::Flaw;
use crate::storage::StorageError;

/// Error of a [`crate::Reader`]: the same as recovery's.
pub type ReadError = RecoverError;

/// Class of an error, for exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// Another process holds the journal.
    Locked,
    /// Acknowledged bytes are damaged or displaced.
    Corrupt,
    /// The journal, or a segment of it, is not there.
    Missing,
    /// It is another frame's journal.
    WrongFrame,
    /// A newer program wrote it.
    Format,
    /// The disk or the system refused.
    Io,
    /// The caller's visitor refused a record.
    Visitor,
}

/// Why bytes that do not verify are not just a torn tail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// A tear cannot make such bytes.
    Flaw,
    /// A valid record says that the place was durable when it was written.
    Record {
        /// File of that record.
        file: String,
        /// Its place.
        offset: u64,
        /// What it says.
        durable_index: u64,
    },
    /// Something outside the journal says so.
    Floor {
        /// What it says.
        durable_index: u64,
    },
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flaw => f.write_str("an interrupted write cannot do that"),
            Self::Record { file, offset, durable_index } => write!(
                f,
                "the record in {file} at offset {offset} says that records up to {durable_index} \
                 were durable"
            ),
            Self::Floor { durable_index } => write!(
                f,
                "records up to {durable_index} are known from outside the journal to have been \
                 durable"
            ),
        }
    }
}

/// A place in the acknowledged part of a journal that does not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment's file.
    pub file: String,
    /// Place in it.
    pub offset: u64,
    /// Record that is due there.
    pub index: u64,
    /// First sequence that is due there.
    pub sequence: u64,
    /// What is there instead.
    pub flaw: Flaw,
    /// How it is known to have been acknowledged.
    pub evidence: Evidence,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, index, sequence, flaw, evidence } = self;
        write!(
            f,
            "{file} at offset {offset}, where record {index} (sequence {sequence}) is due: {flaw}; \
             {evidence}"
        )
    }
}

/// Why a journal cannot be recovered or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// There is no segment at all.
    #[error("{place} holds no journal; check the directory, or create a frame there")]
    NoJournal {
        /// Where a segment was looked for.
        place: String,
    },
    /// The first record cannot be read.
    #[error(
        "{file} at offset 0, where the genesis record (sequence 1) is due: {flaw}; restore the file"
    )]
    NoGenesis {
        /// The first segment's file.
        file: String,
        /// What is there.
        flaw: Flaw,
    },
    /// A segment behind the first cannot be begun with.
    #[error("{file} at offset 0, where the first record is due that is kept: {flaw}; restore it")]
    NoBeginning {
        /// The segment's file.
        file: String,
        /// What is there.
        flaw: Flaw,
    },
    /// The records before are no longer kept, and what was given does not reach to them.
    #[error(
        "{file} is the oldest segment and begins at record {first_index}: what comes before is not \
         kept, so a snapshot of record {} or a later one is needed; restore one, or the segments \
         before",
        .first_index.saturating_sub(1)
    )]
    Shortened {
        /// The oldest segment's file.
        file: String,
        /// Its first record.
        first_index: u64,
    },
    /// The record behind which the caller has a state is another one.
    #[error(
        "{file} at offset {offset}: record {index} is not the one of which the snapshot was taken, \
         they are of two histories; restore the journal that belongs to it, or move the snapshot \
         out of the directory"
    )]
    OtherHistory {
        /// The file.
        file: String,
        /// Place of the record, or of the one behind it if that is the oldest that is kept.
        offset: u64,
        /// The record.
        index: u64,
    },
    /// A segment between others is absent.
    #[error("{file} is missing and later segments exist; put it back, nothing was changed")]
    MissingSegment {
        /// The file.
        file: String,
    },
    /// A file holds another segment of the same journal.
    #[error("{file} holds segment {found} instead of {expected}; put the right file back")]
    SwappedSegment {
        /// The file.
        file: String,
        /// Segment that its first record names.
        found: u64,
        /// Segment that its name says.
        expected: u64,
    },
    /// The journal is another frame's.
    #[error("{file} belongs to frame {found:032x}, not to {expected:032x}; check the directory")]
    WrongFrame {
        /// The file.
        file: String,
        /// Frame found.
        found: u128,
        /// Frame expected.
        expected: u128,
    },
    /// A newer program wrote the record.
    #[error(
        "{file} at offset {offset}: {what} {found} is newer than {known}, the newest that this \
         program knows; use the newer program"
    )]
    Newer {
        /// The file.
        file: String,
        /// Place of the record.
        offset: u64,
        /// `format` or `rules`.
        what: &'static str,
        /// Version found.
        found: u32,
        /// Newest known.
        known: u32,
    },
    /// Acknowledged bytes are damaged.
    #[error("the journal is damaged: {0}; restore the file or repair from a replica")]
    Corrupt(Box<Damage>),
    /// The record asked for is not there.
    #[error("record {index} is not in the journal, which ends at {last}; ask for an earlier one")]
    Beyond {
        /// Record asked for.
        index: u64,
        /// Last record.
        last: u64,
    },
    /// The disk or the system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The caller's visitor refused a record.
    #[error("record {index} was refused: {source}")]
    Visitor {
        /// The record.
        index: u64,
        /// What the visitor said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl RecoverError {
    /// The error's class.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::NoJournal { .. }
            | Self::MissingSegment { .. }
            | Self::Shortened { .. }
            | Self::Beyond { .. }
            | Self::Storage(StorageError::Absent { .. }) => FaultKind::Missing,
            Self::NoGenesis { .. }
            | Self::NoBeginning { .. }
            | Self::OtherHistory { .. }
            | Self::SwappedSegment { .. }
            | Self::Corrupt(_) => FaultKind::Corrupt,
            Self::WrongFrame { .. } => FaultKind::WrongFrame,
            Self::Newer { .. } => FaultKind::Format,
            Self::Storage(StorageError::Locked { .. }) => FaultKind::Locked,
            Self::Storage(_) => FaultKind::Io,
            Self::Visitor { .. } => FaultKind::Visitor,
        }
    }
}
