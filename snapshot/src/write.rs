//! Writing a snapshot: beside the others under a temporary name, synced, read back, and only then
//! renamed.
//!
//! Refuses to leave a file that does not verify under a final name. Invariant: whatever step it
//! stops at, the snapshots that were there are there.

use std::io;

use zerocopy::IntoBytes as _;

use crate::error::{Doing as _, SnapshotError};
use crate::files::{FileWrite, Files};
use crate::format::{CHUNK_BYTES, HEADER_BYTES, Header, Meta, hash_of};

/// Name of a snapshot that is being written, or of which writing was interrupted.
pub const TEMPORARY: &str = "snapshot.tmp";

/// Bytes written at the most before they are synced: whoever syncs something else on the same disk,
/// as the journal does, waits for few bytes of a snapshot, and the last sync is as short as any.
pub const SYNC_BYTES: u64 = 8 << 20;

/// The body on its way into the file, in whole chunks.
struct Body {
    file: Box<dyn FileWrite>,
    chunk: Vec<u8>,
    table: Vec<[u8; 32]>,
    written: u64,
    synced: u64,
    /// The first error; nothing is written after it.
    failed: Option<io::Error>,
}

impl Body {
    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.failed.is_none() {
            let room = CHUNK_BYTES - self.chunk.len();
            let (head, rest) = bytes.split_at(room.min(bytes.len()));
            self.chunk.extend_from_slice(head);
            bytes = rest;
            if self.chunk.len() == CHUNK_BYTES {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        if self.chunk.is_empty() || self.failed.is_some() {
            return;
        }
        self.table.push(hash_of(&self.chunk));
        self.failed = self.write().err();
        self.chunk.clear();
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_at(HEADER_BYTES + self.written, &self.chunk)?;
        self.written += self.chunk.len() as u64;
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync()?;
            self.synced = self.written;
        }
        Ok(())
    }

    /// Writes table and header and syncs.
    fn close(mut self, meta: &Meta) -> io::Result<()> {
        self.flush();
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.file.write_at(HEADER_BYTES + self.written, self.table.as_bytes())?;
        let header = Header::new(meta, self.written, &self.table);
        self.file.write_at(0, header.as_bytes())?;
        self.file.sync()
    }
}

/// Writes the temporary file; it is removed again if that fails.
pub(crate) fn temporary(
    files: &dyn Files,
    meta: &Meta,
    body: impl FnOnce(&mut dyn FnMut(&[u8])),
) -> Result<(), SnapshotError> {
    let place = || files.place(TEMPORARY);
    clear(files)?;
    let file = files.create(TEMPORARY).doing("creating", place)?;
    let chunk = Vec::with_capacity(CHUNK_BYTES);
    let mut out = Body { file, chunk, table: Vec::new(), written: 0, synced: 0, failed: None };
    body(&mut |bytes| out.push(bytes));
    out.close(meta).doing("writing", place).inspect_err(|_| discard(files))
}

/// Removes what an earlier writing left; says whether there was something.
pub(crate) fn clear(files: &dyn Files) -> Result<bool, SnapshotError> {
    let names = files.list().doing("listing", || files.place(""))?;
    let is_there = names.iter().any(|name| name == TEMPORARY);
    if is_there {
        files.remove(TEMPORARY).doing("removing", || files.place(TEMPORARY))?;
    }
    Ok(is_there)
}

/// Removes the temporary file; a failure of that is not worth another error.
pub(crate) fn discard(files: &dyn Files) {
    let _next_writing_tries_again = files.remove(TEMPORARY);
}
