//! The simulated disk: the journal's own disk in memory, with what it cannot do by itself: reads
//! that fail while a journal is opened, removals that fail, directory entries that vanish, and
//! planted bugs; and beside it the directory of the snapshots.
//! Invariant: without a bug it passes everything on unchanged but a read that is set to fail.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::{
    Live, MemoryStorage, Pause, SegmentRead, SegmentSync, Source, Storage, StorageError,
};

use crate::bug::Bug;
use crate::files::SimFiles;

#[derive(Default)]
struct State {
    /// The next opening for reading fails.
    is_unreadable: bool,
    /// The last segment that was prepared, if nothing has made its name durable.
    unsynced_name: Option<u64>,
    /// Removals that still succeed before every one fails.
    removals: Option<u64>,
}

/// A disk; clones share it.
#[derive(Clone)]
pub(crate) struct SimDisk {
    pub(crate) memory: MemoryStorage,
    pub(crate) files: SimFiles,
    state: Arc<Mutex<State>>,
    bug: Option<Bug>,
}

impl SimDisk {
    /// `is_direct`: records wait in the process until they are written, durably, as the direct
    /// backend has it; otherwise they are written at once and made durable later, as the map has.
    pub(crate) fn new(bug: Option<Bug>, is_direct: bool) -> Self {
        let memory = if is_direct { MemoryStorage::direct() } else { MemoryStorage::new() };
        let files = SimFiles::new(bug);
        Self { memory, files, state: Arc::default(), bug }
    }

    /// Another disk with the same segments, as a backup of the running frame has them.
    pub(crate) fn copy(&self) -> Self {
        let (memory, files) = (self.memory.copy(), self.files.copy());
        Self { memory, files, state: Arc::default(), bug: self.bug }
    }

    /// Puts back exactly what `saved` holds.
    pub(crate) fn put_back(&self, saved: &MemoryStorage) {
        for number in self.memory.list().unwrap_or_default() {
            let _there = self.memory.remove(number);
        }
        for number in saved.list().unwrap_or_default() {
            self.memory.put(number, saved.image(number).unwrap_or_default());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Power cut.
    pub(crate) fn crash(&self, seed: u64) {
        let lost = self.state().unsynced_name.take();
        if let Some(number) = lost.filter(|_| self.bug == Some(Bug::NoDirectorySync)) {
            // A name that is not there cannot be lost either.
            let _ = self.memory.remove(number);
        }
        self.memory.crash(seed);
        self.files.memory.crash(seed ^ 1);
    }

    /// The next segment opened for reading cannot be read.
    pub(crate) fn fail_next_read(&self) {
        self.state().is_unreadable = true;
    }

    /// After so many removals of segments every one fails; `None`: none does.
    pub(crate) fn fail_removals_after(&self, removals: Option<u64>) {
        self.state().removals = removals;
    }

    pub(crate) fn heal(&self) {
        self.state().is_unreadable = false;
        self.memory.set_capacity(u64::MAX);
        self.state().removals = None;
        self.files.heal();
    }

    /// Cuts the journal off at a place, as no recovery may.
    pub(crate) fn cut_off(&self, number: u64, offset: u64) {
        for later in self.memory.list().unwrap_or_default() {
            if later > number {
                let _ = self.memory.remove(later);
            }
        }
        let _ = self.memory.wipe(number, offset);
    }
}

impl Storage for SimDisk {
    fn init(&self) -> Result<(), StorageError> {
        self.memory.init()
    }

    fn lock(&self) -> Result<(), StorageError> {
        self.memory.lock()
    }

    fn name(&self, number: u64) -> String {
        self.memory.name(number)
    }

    fn list(&self) -> Result<Vec<u64>, StorageError> {
        self.memory.list()
    }

    fn prepare(
        &self,
        number: u64,
        len: u64,
        head: &[u8],
        pause: &Pause<'_>,
    ) -> Result<bool, StorageError> {
        let is_made = self.memory.prepare(number, len, head, pause)?;
        self.state().unsynced_name = Some(number).filter(|&number| number > 1);
        Ok(is_made)
    }

    fn open_live(&self, number: u64) -> Result<Live, StorageError> {
        let live = self.memory.open_live(number)?;
        let sync = Arc::new(SimSync { inner: live.sync, bug: self.bug });
        Ok(Live { sync, ..live })
    }

    fn open_read(&self, number: u64, source: Source) -> Result<Box<dyn SegmentRead>, StorageError> {
        if source == Source::Medium && std::mem::take(&mut self.state().is_unreadable) {
            let (name, source) = (self.name(number), io::Error::from_raw_os_error(5));
            return Err(StorageError::Io { action: "opening", name, offset: 0, source });
        }
        let is_cached = self.bug == Some(Bug::CacheRecovery);
        self.memory.open_read(number, if is_cached { Source::Cache } else { source })
    }

    fn wipe(&self, number: u64, from: u64) -> Result<(), StorageError> {
        if self.bug == Some(Bug::NoTailWipe) {
            return Ok(());
        }
        self.memory.wipe(number, from)
    }

    fn remove(&self, number: u64) -> Result<(), StorageError> {
        let mut state = self.state();
        if state.removals == Some(0) {
            let (name, source) = (self.name(number), io::Error::from_raw_os_error(5));
            return Err(StorageError::Io { action: "removing", name, offset: 0, source });
        }
        state.removals = state.removals.map(|left| left - 1);
        self.memory.remove(number)
    }
}

struct SimSync {
    inner: Arc<dyn SegmentSync>,
    bug: Option<Bug>,
}

impl SegmentSync for SimSync {
    fn sync(&self, offset: u64, len: u64) -> Result<(), StorageError> {
        match self.bug {
            Some(Bug::AckBeforeSync) => Ok(()),
            Some(Bug::RetrySync) => {
                self.inner.sync(offset, len).or_else(|_| self.inner.sync(offset, len))
            }
            _ => self.inner.sync(offset, len),
        }
    }
}
