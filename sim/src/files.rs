//! The directory of the snapshots: the crate's own one in memory, with syncs that lie and planted
//! bugs. Invariant: without either it passes everything on unchanged.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use snapshot::{FileRead, FileWrite, Files, MemoryFiles};

use crate::bug::Bug;

/// See the module; clones share the directory.
#[derive(Clone)]
pub(crate) struct SimFiles {
    pub(crate) memory: MemoryFiles,
    /// Failed syncs say that they worked.
    lies: Arc<AtomicBool>,
    bug: Option<Bug>,
}

impl SimFiles {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        Self { memory: MemoryFiles::new(), lies: Arc::default(), bug }
    }

    pub(crate) fn copy(&self) -> Self {
        Self { memory: self.memory.copy(), lies: Arc::default(), bug: self.bug }
    }

    /// The next sync of a file does nothing and says that it worked.
    pub(crate) fn lie(&self) {
        self.memory.fail_sync_in(0);
        self.lies.store(true, Ordering::Relaxed);
    }

    /// Somebody removes a file.
    pub(crate) fn forget(&self, name: &str) {
        let _is_there = self.memory.remove(name);
        let _cannot_fail = self.memory.sync();
    }

    /// No fault that was set is left.
    pub(crate) fn heal(&self) {
        self.lies.store(false, Ordering::Relaxed);
        self.memory.fail_sync_in(u64::MAX);
        self.memory.stop_after(None);
        self.memory.set_capacity(None);
        self.memory.fail_read(None);
    }
}

impl Files for SimFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn FileWrite>> {
        let inner = self.memory.create(name)?;
        Ok(Box::new(Written { inner, lies: Arc::clone(&self.lies), bug: self.bug }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn FileRead>> {
        if self.bug == Some(Bug::CachedVerify) {
            let bytes = self.memory.image(name).ok_or(io::ErrorKind::NotFound)?;
            return Ok(Box::new(Cached(bytes)));
        }
        self.memory.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.memory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.memory.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        if self.bug == Some(Bug::NamesUnsynced) { Ok(()) } else { self.memory.sync() }
    }

    fn place(&self, name: &str) -> String {
        self.memory.place(name)
    }
}

struct Written {
    inner: Box<dyn FileWrite>,
    lies: Arc<AtomicBool>,
    bug: Option<Bug>,
}

impl FileWrite for Written {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.bug == Some(Bug::RenameUnsynced) {
            return Ok(());
        }
        let synced = self.inner.sync();
        if self.lies.load(Ordering::Relaxed) { Ok(()) } else { synced }
    }
}

/// What the page cache holds.
struct Cached(Vec<u8>);

impl FileRead for Cached {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).expect("a file in memory");
        let bytes = self.0.get(at..at + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
