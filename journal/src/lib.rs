//! Append-only segments of opaque, chained records: the only truth.
//!
//! One record per group commit goes into a preallocated segment, hashed and chained; a second
//! thread makes it durable while the next group is being filled. The crate carries bytes it does
//! not understand: it refuses to interpret a payload, to acknowledge before a sync, to retry a
//! failed sync, and to cut a journal off before anything known to have been durable.
//!
//! Invariant: what [`Syncer::sync`] has returned is found again by [`Journal::recover`] after any
//! crash, and what recovery finds is a prefix of what was appended. Its beginning goes only by
//! [`retire`]; a start then needs a [`Base`].
//!
//! ```
//! use std::sync::Arc;
//! use journal::{Config, Entry, Expect, Journal, Kind, MemoryStorage};
//!
//! let disk = MemoryStorage::new();
//! let config = Config { segment_size: 64 * 1024 };
//! let frame = 7;
//! let mut genesis = Entry { first_sequence: 1, timestamp_ns: 1, ..Entry::default() };
//! genesis.kind = Kind::Genesis;
//! let journal = Journal::create(Arc::new(disk.clone()), config, frame, &genesis, &[&[0u8; 64]])?;
//! let (mut appender, mut syncer, _preparer) = journal.split();
//!
//! let entry = Entry { first_sequence: 1, commands: 1, timestamp_ns: 2, ..Entry::default() };
//! let appended = appender.append(&entry, &[&[1u8; 64], &[2u8; 128]])?;
//! assert_eq!(syncer.sync()?, appended.index);
//!
//! let (_journal, recovery) = Journal::recover(Arc::new(disk), config, Expect::default())?;
//! assert_eq!(recovery.last.hash, appended.hash);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod append;
mod base;
mod direct;
mod error;
mod files;
mod flaw;
mod format;
mod image;
mod lock;
mod mapped;
mod memory;
mod prepare;
mod reader;
mod recover;
mod retire;
mod scan;
mod scrub;
mod segments;
mod shared;
mod stage;
mod staging;
mod storage;
mod sync;

pub use append::{AppendError, Appended, Appender, Entry};
pub use base::Base;
pub use direct::refusal as direct_refusal;
pub use error::{Damage, Evidence, FaultKind, ReadError, RecoverError};
pub use files::{Backend, FileStorage};
pub use flaw::Flaw;
pub use format::{
    BLOCK, FORMAT, FormatError, HEADER_LEN, Kind, MAGIC, PART_ALIGN, RECORD_LEN_MAX, RecordHeader,
    at, record_len,
};
pub use image::SECTOR;
pub use lock::DirLock;
pub use memory::MemoryStorage;
pub use prepare::{PrepareError, Preparer};
pub use reader::{Reader, Summary, stat, verify};
pub use recover::{Config, CreateError, Expect, Journal, Recovery, Truncated, Visitor};
pub use retire::{Retired, retirable, retire};
pub use scrub::{Scrub, Scrubbed};
pub use segments::{Segment, durable_seen, first_record, segments};
pub use shared::Watermarks;
pub use storage::{
    Live, Pause, SegmentRead, SegmentSync, SegmentWrite, Source, Storage, StorageError,
};
pub use sync::{SyncError, Syncer};

/// Smallest segment that [`Config`] accepts: room for a genesis, some records and a seal.
pub const SEGMENT_SIZE_MIN: u64 = 64 * 1024;

/// Segment size of [`Config::default`].
pub const SEGMENT_SIZE_DEFAULT: u64 = 256 * 1024 * 1024;

/// Un-synced stretches that may wait for the syncer before no further segment is prepared.
pub const UNSYNCED_SEGMENTS_MAX: usize = 4;
