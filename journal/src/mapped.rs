//! Filling a segment through a memory map, and syncing it by range.
//!
//! Refuses a map that does not cover its file. The caller has made sure that the file is fully
//! written (a full disk would be a SIGBUS) and out of the page cache (large folios make a 4 KiB
//! store write megabytes). Invariant: only a [`SegmentWrite`] stores to a map.
#![expect(unsafe_code, reason = "stores through a memory map; argued in docs/unsafe.md")]

use std::fs::File;
use std::io;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};

use crate::storage::{Live, SegmentSync, SegmentWrite, StorageError};

/// Maps a segment for its one writer.
pub(crate) fn open(file: &File, name: String, len: u64) -> io::Result<Live> {
    let map = MmapOptions::new().map_raw(file)?;
    assert_eq!(map.len() as u64, len, "the map covers the file");
    let mapped = Arc::new(Mapped { map, name });
    Ok(Live { writer: Box::new(MapWriter(Arc::clone(&mapped))), sync: mapped, len })
}

struct Mapped {
    map: MmapRaw,
    name: String,
}

impl SegmentSync for Mapped {
    fn sync(&self, offset: u64, len: u64) -> Result<(), StorageError> {
        self.map
            .flush_range(offset as usize, len as usize)
            .map_err(|e| StorageError::io("syncing", &self.name, offset, e))
    }
}

/// The only one that stores to the map: not `Clone`, and made once per segment.
struct MapWriter(Arc<Mapped>);

impl SegmentWrite for MapWriter {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let map = &self.0.map;
        let end = offset.checked_add(bytes.len() as u64);
        assert!(end.is_some_and(|e| e <= map.len() as u64), "a record lies inside its segment");
        // SAFETY: offset + bytes.len() ≤ map.len() (asserted), so the place is in the mapping.
        let place = unsafe { map.as_mut_ptr().add(offset as usize) };
        // SAFETY: `place` is valid for bytes.len() writes (asserted) and backed by written file
        // blocks; `bytes` is a live slice that cannot overlap the map, since no reference into
        // the map is ever made; `&mut self` of the only writer excludes a second store.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
        Ok(())
    }
}
