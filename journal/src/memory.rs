//! Segments in memory with a durable and a pending image each: the disk of tests and simulators.
//!
//! Refuses nothing that a real disk would do: it loses, keeps, tears and garbles what was not
//! synced, fails a sync once and then pretends, runs full, misreads, misdirects and rots on
//! request. Invariant: what a successful sync covered survives every [`MemoryStorage::crash`].

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::image::{Draw, Image};
use crate::staging::{Sink, StagedSync, StagedWriter, Staging, Target};
use crate::storage::{
    Live, Pause, SegmentRead, SegmentSync, SegmentWrite, Source, Storage, StorageError,
};

/// A simulated disk; clones share it.
#[derive(Clone, Default)]
pub struct MemoryStorage {
    disk: Arc<Mutex<Disk>>,
}

struct Disk {
    files: BTreeMap<u64, Arc<Mutex<Image>>>,
    opened: u64,
    capacity: u64,
    faults: Arc<Mutex<Faults>>,
    /// Records go through it, if the disk is written directly.
    staging: Option<Arc<Staging>>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            opened: 0,
            capacity: u64::MAX,
            faults: Arc::default(),
            staging: None,
        }
    }
}

#[derive(Default)]
struct Faults {
    /// Syncs that still succeed before one fails.
    fail_sync_in: Option<u64>,
    syncs: u64,
    unreadable: Option<(u64, Range<u64>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStorage {
    /// An empty disk without a limit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, written as the direct backend writes: records wait in the process until a sync
    /// writes them, durably; a write that fails leaves its sectors to the next crash.
    #[must_use]
    pub fn direct() -> Self {
        let disk = Self::new();
        lock(&disk.disk).staging = Some(Arc::default());
        disk
    }

    /// Power cut: every un-synced sector is kept, lost, torn or garbled, as `seed` draws.
    /// Writers of before keep writing into the void.
    pub fn crash(&self, seed: u64) {
        let mut disk = lock(&self.disk);
        let mut draw = Draw(seed);
        let mood = draw.below(8);
        for file in disk.files.values_mut() {
            let mut image = lock(file).clone();
            image.crash(&mut draw, mood);
            *file = Arc::new(Mutex::new(image));
        }
        disk.opened = 0;
        disk.faults = Arc::default();
    }

    /// The process dies and the machine does not: everything written is found again, but for what
    /// waits in the process.
    pub fn kill(&self) {
        let mut disk = lock(&self.disk);
        for file in disk.files.values_mut() {
            let mut image = lock(file).clone();
            let len = image.current.len();
            image.sync(0..len, false);
            *file = Arc::new(Mutex::new(image));
        }
        disk.opened = 0;
    }

    /// Bytes that all segments together may take.
    pub fn set_capacity(&self, bytes: u64) {
        lock(&self.disk).capacity = bytes;
    }

    /// After `successes` more syncs one fails; those after it pretend to work.
    pub fn fail_sync_in(&self, successes: u64) {
        lock(&lock(&self.disk).faults).fail_sync_in = Some(successes);
    }

    /// Syncs of live segments so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        lock(&lock(&self.disk).faults).syncs
    }

    /// Reads that touch this range of a segment fail.
    pub fn fail_read(&self, number: u64, range: Range<u64>) {
        lock(&lock(&self.disk).faults).unreadable = Some((number, range));
    }

    /// Bit rot: flips the bits of `mask` in one byte. Without such a byte nothing happens.
    pub fn flip(&self, number: u64, offset: u64, mask: u8) {
        if let Some(file) = lock(&self.disk).files.get(&number) {
            let mut image = lock(file);
            let at = offset as usize;
            if at < image.current.len() {
                image.current[at] ^= mask;
                image.durable[at] ^= mask;
            }
        }
    }

    /// A misdirected write: `len` durable bytes at `from` (segment, offset) are also found at `to`.
    /// Says whether that changed anything there; without both places it does not.
    pub fn misdirect(&self, from: (u64, u64), to: (u64, u64), len: u64) -> bool {
        let range = |offset: u64| offset as usize..(offset + len) as usize;
        let (Ok(source), Ok(target)) = (self.file(from.0), self.file(to.0)) else {
            return false;
        };
        let Some(bytes) = lock(&source).durable.get(range(from.1)).map(<[u8]>::to_vec) else {
            return false;
        };
        let mut image = lock(&target);
        let is_other = image.durable.get(range(to.1)).is_some_and(|there| *there != bytes);
        if is_other {
            image.misdirect(to.1 as usize, &bytes);
        }
        is_other
    }

    /// What a reader of the segment would see now.
    #[must_use]
    pub fn image(&self, number: u64) -> Option<Vec<u8>> {
        lock(&self.disk).files.get(&number).map(|file| lock(file).current.clone())
    }

    /// Puts a segment in place as it is, over one that may be there.
    pub fn put(&self, number: u64, bytes: Vec<u8>) {
        lock(&self.disk).files.insert(number, Arc::new(Mutex::new(Image::new(bytes))));
    }

    /// A disk of its own with the same durable segments and no faults.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        for (&number, file) in &lock(&self.disk).files {
            copy.put(number, lock(file).current.clone());
        }
        copy
    }

    fn file(&self, number: u64) -> Result<Arc<Mutex<Image>>, StorageError> {
        let file = lock(&self.disk).files.get(&number).map(Arc::clone);
        file.ok_or_else(|| StorageError::Absent { name: self.name(number) })
    }
}

impl Storage for MemoryStorage {
    fn init(&self) -> Result<(), StorageError> {
        let found = lock(&self.disk).files.keys().next().copied();
        found.map_or(Ok(()), |number| {
            Err(StorageError::NotEmpty { place: "memory".to_owned(), found: self.name(number) })
        })
    }

    fn lock(&self) -> Result<(), StorageError> {
        let mut disk = lock(&self.disk);
        disk.opened = 0;
        // A new writer: what waited in the last one's process is gone.
        disk.staging = disk.staging.take().map(|_| Arc::default());
        Ok(())
    }

    fn name(&self, number: u64) -> String {
        format!("memory segment {number}")
    }

    fn list(&self) -> Result<Vec<u64>, StorageError> {
        Ok(lock(&self.disk).files.keys().copied().collect())
    }

    fn prepare(
        &self,
        number: u64,
        len: u64,
        head: &[u8],
        _pause: &Pause<'_>,
    ) -> Result<bool, StorageError> {
        let mut disk = lock(&self.disk);
        let name = self.name(number);
        if disk.files.contains_key(&number) {
            return Err(StorageError::Writer { name, reason: "it exists already" });
        }
        let used: u64 = disk.files.values().map(|f| lock(f).current.len() as u64).sum();
        if used.saturating_add(len) > disk.capacity {
            let source = io::Error::from(io::ErrorKind::StorageFull);
            return Err(StorageError::Full { name, len, source });
        }
        let mut bytes = vec![0; len as usize];
        bytes[..head.len()].copy_from_slice(head);
        disk.files.insert(number, Arc::new(Mutex::new(Image::new(bytes))));
        Ok(true)
    }

    fn open_live(&self, number: u64) -> Result<Live, StorageError> {
        let image = self.file(number)?;
        let mut disk = lock(&self.disk);
        if number <= disk.opened {
            let reason = "it was opened before";
            return Err(StorageError::Writer { name: self.name(number), reason });
        }
        disk.opened = number;
        let len = lock(&image).current.len() as u64;
        let faults = Arc::clone(&disk.faults);
        let file = Handle { number, image, faults };
        let Some(staging) = disk.staging.clone() else {
            return Ok(Live { writer: Box::new(file.clone()), sync: Arc::new(file), len });
        };
        let (name, sink) = (self.name(number), Box::new(file));
        let target = Arc::new(Target { number, name, len, sink });
        let writer = Box::new(StagedWriter::new(Arc::clone(&staging), Arc::clone(&target)));
        Ok(Live { writer, sync: Arc::new(StagedSync { staging, target }), len })
    }

    fn open_read(&self, number: u64, source: Source) -> Result<Box<dyn SegmentRead>, StorageError> {
        let image = self.file(number)?;
        if source == Source::Medium {
            lock(&image).drop_cache();
        }
        let faults = Arc::clone(&lock(&self.disk).faults);
        Ok(Box::new(Handle { number, image, faults }))
    }

    fn wipe(&self, number: u64, from: u64) -> Result<(), StorageError> {
        let file = self.file(number)?;
        let mut image = lock(&file);
        let from = from as usize;
        let len = image.current.len();
        image.write(from, &vec![0; len - from]);
        image.sync(from..len, false);
        Ok(())
    }

    fn remove(&self, number: u64) -> Result<(), StorageError> {
        let removed = lock(&self.disk).files.remove(&number);
        removed.map(drop).ok_or_else(|| StorageError::Absent { name: self.name(number) })
    }
}

#[derive(Clone)]
struct Handle {
    number: u64,
    image: Arc<Mutex<Image>>,
    faults: Arc<Mutex<Faults>>,
}

impl Handle {
    fn io(&self, action: &'static str, offset: u64) -> StorageError {
        let name = format!("memory segment {}", self.number);
        StorageError::io(action, &name, offset, io::Error::from_raw_os_error(5))
    }

    /// Whether this sync, or durable write, fails.
    fn fails(&self) -> bool {
        let mut faults = lock(&self.faults);
        faults.syncs += 1;
        let fails = faults.fail_sync_in == Some(0);
        faults.fail_sync_in = faults.fail_sync_in.and_then(|left| left.checked_sub(1));
        fails
    }
}

impl Sink for Handle {
    fn write(&self, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut image = lock(&self.image);
        let from = offset as usize;
        let mut end = from;
        for slice in slices {
            image.write(end, slice);
            end += slice.len();
        }
        if self.fails() {
            return Err(io::Error::from_raw_os_error(5));
        }
        image.sync(from..end, false);
        Ok(end - from)
    }
}

impl SegmentWrite for Handle {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        lock(&self.image).write(offset as usize, bytes);
        Ok(())
    }
}

impl SegmentSync for Handle {
    fn sync(&self, offset: u64, len: u64) -> Result<(), StorageError> {
        let fails = self.fails();
        lock(&self.image).sync(offset as usize..(offset + len) as usize, fails);
        if fails { Err(self.io("syncing", offset)) } else { Ok(()) }
    }
}

impl SegmentRead for Handle {
    fn len(&self) -> u64 {
        lock(&self.image).current.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), StorageError> {
        let end = offset + into.len() as u64;
        if let Some((number, range)) = &lock(&self.faults).unreadable
            && *number == self.number
            && offset < range.end
            && end > range.start
        {
            return Err(self.io("reading", offset));
        }
        let image = lock(&self.image);
        let bytes = image.current.get(offset as usize..end as usize);
        into.copy_from_slice(bytes.ok_or_else(|| self.io("reading", offset))?);
        Ok(())
    }
}
