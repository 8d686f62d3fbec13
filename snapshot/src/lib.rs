//! Snapshots: images of a state on disk, each of one record boundary, of bytes that only the engine
//! understands.
//!
//! It gives no meaning to a body and deletes nothing that is needed. The invariants: a file bears
//! its final name only after it was synced and read back from the medium; a byte that is handed to
//! a reader has been verified; at least [`KEPT_MIN`] verified snapshots survive pruning.

mod catalogue;
mod chunks;
mod error;
mod files;
mod format;
mod memory;
mod read;
mod write;

pub use crate::catalogue::{Catalogue, CheckError, Entry, Pruned, Pruning};
pub use crate::error::SnapshotError;
pub use crate::files::{DirFiles, FileRead, FileWrite, Files, Pause};
pub use crate::format::{CHUNK_BYTES, FORMAT, HEADER_BYTES, Meta, name_of};
pub use crate::memory::MemoryFiles;
pub use crate::read::{Reader, Verified};
pub use crate::write::{SYNC_BYTES, TEMPORARY};

/// Verified snapshots that pruning leaves at the least.
pub const KEPT_MIN: usize = 2;
