//! A journal's disk that somebody else has locked, or that stops while segments are removed.
//! Invariant: everything else is passed on.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use journal::{Live, MemoryStorage, Pause, SegmentRead, Source, Storage, StorageError};

/// See the module.
pub(crate) struct Medium {
    inner: MemoryStorage,
    removals_left: AtomicU64,
    is_held: bool,
}

impl Medium {
    /// One whose removals fail after these.
    pub(crate) fn stopping(inner: MemoryStorage, removals: u64) -> Self {
        Self { inner, removals_left: removals.into(), is_held: false }
    }

    /// One of which another process has the lock.
    pub(crate) fn held(inner: MemoryStorage) -> Self {
        Self { inner, removals_left: 0.into(), is_held: true }
    }
}

impl Storage for Medium {
    fn init(&self) -> Result<(), StorageError> {
        self.inner.init()
    }
    fn lock(&self) -> Result<(), StorageError> {
        if !self.is_held {
            return self.inner.lock();
        }
        let (place, holder) = ("lock".to_owned(), "another process".to_owned());
        Err(StorageError::Locked { place, holder })
    }
    fn name(&self, number: u64) -> String {
        self.inner.name(number)
    }
    fn list(&self) -> Result<Vec<u64>, StorageError> {
        self.inner.list()
    }
    fn prepare(
        &self,
        number: u64,
        len: u64,
        head: &[u8],
        pause: &Pause<'_>,
    ) -> Result<bool, StorageError> {
        self.inner.prepare(number, len, head, pause)
    }
    fn open_live(&self, number: u64) -> Result<Live, StorageError> {
        self.inner.open_live(number)
    }
    fn open_read(&self, number: u64, source: Source) -> Result<Box<dyn SegmentRead>, StorageError> {
        self.inner.open_read(number, source)
    }
    fn wipe(&self, number: u64, from: u64) -> Result<(), StorageError> {
        self.inner.wipe(number, from)
    }
    fn remove(&self, number: u64) -> Result<(), StorageError> {
        let left = &self.removals_left;
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
            return self.inner.remove(number);
        }
        let (name, source) = (self.name(number), io::Error::other("the power went"));
        Err(StorageError::Io { action: "removing", name, offset: 0, source })
    }
}
