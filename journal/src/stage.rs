//! Copying a payload into its segment and hashing it, in pieces that fit the nearest cache.
//!
//! Refuses to allocate per record. Invariant: the bytes copied are the bytes hashed, in order.

use crate::storage::{SegmentWrite, StorageError};

/// Bytes that are copied, then hashed, while they are in the nearest cache. A power of two of
/// BLAKE3 chunks, counted from the payload's start, so that each is one whole subtree.
const WINDOW: usize = 64 * 1024;

/// Gathers small parts into one window, so that they are hashed and copied together; a window
/// that lies in one part goes to the segment directly.
pub(crate) struct Stage {
    window: Box<[u8]>,
    hasher: blake3::Hasher,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { window: vec![0; WINDOW].into_boxed_slice(), hasher: blake3::Hasher::new() }
    }

    pub(crate) fn copy_and_hash(
        &mut self,
        writer: &mut dyn SegmentWrite,
        at: u64,
        parts: &[&[u8]],
        payload_len: u64,
    ) -> Result<[u8; 32], StorageError> {
        let single = payload_len <= WINDOW as u64;
        self.hasher.reset();
        let mut done = 0;
        let mut staged = 0;
        for mut part in parts.iter().copied() {
            while !part.is_empty() {
                let left = payload_len - done;
                let window_len = left.min(WINDOW as u64) as usize;
                let (piece, rest) = part.split_at(part.len().min(window_len - staged));
                part = rest;
                let whole: &[u8] = if piece.len() == window_len {
                    piece
                } else {
                    self.window[staged..staged + piece.len()].copy_from_slice(piece);
                    staged += piece.len();
                    if staged < window_len {
                        continue;
                    }
                    &self.window[..window_len]
                };
                writer.write(at + done, whole)?;
                if single {
                    return Ok(*blake3::hash(whole).as_bytes());
                }
                self.hasher.update(whole);
                done += window_len as u64;
                staged = 0;
            }
        }
        Ok(*self.hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
#[path = "stage_test.rs"]
mod tests;
