//! Segments as files: filled through a memory map, synced by range, read with `pread`.
//!
//! Refuses to map a file that is not fully written (a full disk would be a SIGBUS), to map one
//! whose zeros still sit in the page cache (large folios make a 4 KiB store write megabytes), and
//! to open a segment for a second writer. Invariant: only a [`SegmentWrite`] stores to a map.
#![expect(unsafe_code, reason = "stores through a memory map; argued in docs/unsafe.md")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate};
use rustix::io::Errno;

use crate::format::BLOCK;
use crate::lock::{DirLock, LOCK_FILE};
use crate::storage::{Live, SegmentRead, SegmentSync, SegmentWrite, Source, Storage, StorageError};

/// Ending of a segment in place.
const IN_PLACE: &str = ".segment";
/// Ending of a segment that is still being filled with zeros.
const IN_PREPARATION: &str = ".preparing";
/// Digits of a segment's number in its name.
const DIGITS: usize = 20;
/// One write of zeros.
const ZERO_LEN: usize = 4 * 1024 * 1024;
/// Zeros written between two syncs, so that a preparation does not pile up dirty pages in front
/// of the live segment's syncs.
const SYNC_EVERY: u64 = 16 * 1024 * 1024;

/// Segments in a directory, filled through memory maps.
pub struct MappedStorage {
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lock: Option<DirLock>,
    /// Highest segment opened for writing.
    opened: u64,
}

impl MappedStorage {
    /// A journal's directory; nothing is touched yet.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:0DIGITS$}{IN_PLACE}"))
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        sync_dir(&self.dir)
    }

    fn entries(&self) -> Result<Vec<String>, StorageError> {
        let place = self.dir.display().to_string();
        let entries = fs::read_dir(&self.dir).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => StorageError::Absent { name: place.clone() },
            _ => StorageError::io("listing", &place, 0, e),
        })?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| StorageError::io("listing", &place, 0, e))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open_file(&self, number: u64, write: bool) -> Result<(File, String, u64), StorageError> {
        let name = self.name(number);
        let file = OpenOptions::new().read(true).write(write).open(self.path(number)).map_err(
            |e| match e.kind() {
                io::ErrorKind::NotFound => StorageError::Absent { name: name.clone() },
                _ => StorageError::io("opening", &name, 0, e),
            },
        )?;
        let len = file.metadata().map_err(|e| StorageError::io("opening", &name, 0, e))?.len();
        Ok((file, name, len))
    }
}

impl Storage for MappedStorage {
    fn init(&self) -> Result<(), StorageError> {
        let place = self.dir.display().to_string();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|e| StorageError::io("creating", &place, 0, e))?;
        if let Some(parent) = self.dir.parent().filter(|p| !p.as_os_str().is_empty()) {
            sync_dir(parent)?;
        }
        let foreign = self.entries()?.into_iter().find(|n| !is_leftover(n));
        foreign.map_or(Ok(()), |found| Err(StorageError::NotEmpty { place, found }))
    }

    fn lock(&self) -> Result<(), StorageError> {
        let mut state = self.state();
        if state.lock.is_some() {
            return Ok(());
        }
        if !self.dir.is_dir() {
            return Err(StorageError::Absent { name: self.dir.display().to_string() });
        }
        let lock = DirLock::take(&self.dir)?;
        for name in self.entries()?.iter().filter(|n| n.ends_with(IN_PREPARATION)) {
            fs::remove_file(self.dir.join(name))
                .map_err(|e| StorageError::io("removing", name, 0, e))?;
        }
        state.lock = Some(lock);
        Ok(())
    }

    fn name(&self, number: u64) -> String {
        self.path(number).display().to_string()
    }

    fn list(&self) -> Result<Vec<u64>, StorageError> {
        // Fixed-width names: their order is the numbers' order.
        Ok(self.entries()?.iter().filter_map(|name| number_of(name)).collect())
    }

    fn prepare(&self, number: u64, len: u64, head: &[u8]) -> Result<(), StorageError> {
        let path = self.path(number);
        let name = self.name(number);
        if path.exists() {
            return Err(StorageError::Writer { name, reason: "it exists already" });
        }
        let beside = path.with_extension(&IN_PREPARATION[1..]);
        let made = fill(&beside, len, head).and_then(|()| fs::rename(&beside, &path));
        if let Err(source) = made {
            let _the_next_start_removes_it = fs::remove_file(&beside);
            return Err(match Errno::from_io_error(&source) {
                Some(Errno::NOSPC | Errno::DQUOT) => StorageError::Full { name, len, source },
                _ => StorageError::io("preparing", &name, 0, source),
            });
        }
        self.sync_dir()
    }

    fn open_live(&self, number: u64) -> Result<Live, StorageError> {
        let (file, name, len) = self.open_file(number, true)?;
        let mut state = self.state();
        let refused = |reason| StorageError::Writer { name: name.clone(), reason };
        if state.lock.is_none() {
            return Err(refused("the directory is not locked"));
        }
        if number <= state.opened {
            return Err(refused("it was opened before"));
        }
        if len == 0 || len % BLOCK != 0 {
            return Err(refused("its length is not a multiple of 4096"));
        }
        let io = |action, e| StorageError::io(action, &name, 0, e);
        file.sync_all().map_err(|e| io("syncing", e))?;
        drop_cache(&file).map_err(|e| io("dropping the cache of", e))?;
        let map = MmapOptions::new().map_raw(&file).map_err(|e| io("mapping", e))?;
        assert_eq!(map.len() as u64, len, "the map covers the file");
        state.opened = number;
        drop(state);
        let mapped = Arc::new(Mapped { map, name });
        Ok(Live { writer: Box::new(MapWriter(Arc::clone(&mapped))), sync: mapped, len })
    }

    fn open_read(&self, number: u64, source: Source) -> Result<Box<dyn SegmentRead>, StorageError> {
        let (file, name, len) = self.open_file(number, false)?;
        if source == Source::Medium {
            file.sync_all().map_err(|e| StorageError::io("syncing", &name, 0, e))?;
            drop_cache(&file)
                .map_err(|e| StorageError::io("dropping the cache of", &name, 0, e))?;
        }
        Ok(Box::new(FileReader { file, name, len }))
    }

    fn wipe(&self, number: u64, from: u64) -> Result<(), StorageError> {
        let (file, name, len) = self.open_file(number, true)?;
        zero(&file, from, len)
            .and_then(|()| file.sync_all())
            .map_err(|e| StorageError::io("wiping", &name, from, e))
    }

    fn remove(&self, number: u64) -> Result<(), StorageError> {
        fs::remove_file(self.path(number))
            .map_err(|e| StorageError::io("removing", &self.name(number), 0, e))?;
        self.sync_dir()
    }
}

fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(|e| StorageError::io("syncing", &dir.display().to_string(), 0, e))
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(IN_PLACE)?;
    let well_formed = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    // There is a number after every segment's.
    well_formed.then(|| digits.parse().ok()).flatten().filter(|&number| number < u64::MAX)
}

fn is_leftover(name: &str) -> bool {
    name == LOCK_FILE || name.ends_with(IN_PREPARATION)
}

/// Space, zeros, sync, then out of the page cache: a file that is only allocated has unwritten
/// extents, which a crash may turn back into anything.
fn fill(path: &Path, len: u64, head: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, len) {
        // Not every file system can; the zeros allocate then.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        Err(e) => return Err(e.into()),
    }
    file.write_all_at(head, 0)?;
    file.sync_all()?;
    let from = head.len() as u64;
    match open_direct(path)? {
        // Spares the processor a copy and the page cache a segment.
        Some(direct) => zero(&direct, from, len)?,
        None => zero(&file, from, len)?,
    }
    file.sync_all()?;
    drop_cache(&file)
}

/// The file past the page cache, if its file system can; block-aligned ranges only.
fn open_direct(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::DIRECT.bits() as i32;
    match OpenOptions::new().write(true).custom_flags(flags).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => Ok(None),
        Err(e) => Err(e),
    }
}

fn zero(file: &File, from: u64, to: u64) -> io::Result<()> {
    // Direct writes want memory that is aligned as the device's blocks are.
    let memory = vec![0_u8; ZERO_LEN + BLOCK as usize];
    let aligned = memory.as_ptr().align_offset(BLOCK as usize);
    let zeros = &memory[aligned..aligned + ZERO_LEN];
    let mut offset = from;
    let mut synced = from;
    while offset < to {
        let len = (ZERO_LEN as u64 - offset % ZERO_LEN as u64).min(to - offset);
        file.write_all_at(&zeros[..len as usize], offset)?;
        offset += len;
        if offset - synced >= SYNC_EVERY {
            file.sync_data()?;
            synced = offset;
        }
    }
    Ok(())
}

fn drop_cache(file: &File) -> io::Result<()> {
    match fadvise(file, 0, None, Advice::DontNeed) {
        // A file system without a page cache has none to drop.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(e) => Err(e.into()),
    }
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

struct FileReader {
    file: File,
    name: String,
    len: u64,
}

impl SegmentRead for FileReader {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), StorageError> {
        self.file
            .read_exact_at(into, offset)
            .map_err(|e| StorageError::io("reading", &self.name, offset, e))
    }
}
