//! Segments as files: prepared and wiped here, filled by a backend, read with `pread`.
//!
//! Refuses to hand a backend a file that is not fully written or still in the page cache, to open
//! a segment for a second writer, and to write directly where that was not tried. Invariant: the
//! bytes on disk are the same, whichever backend wrote them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::format::BLOCK;
use crate::lock::{DirLock, LOCK_FILE};
use crate::staging::{Block, Staging};
use crate::storage::{Live, Pause, SegmentRead, Source, Storage, StorageError};
use crate::{direct, mapped};

/// Ending of a segment in place.
const IN_PLACE: &str = ".segment";
/// Ending of a segment that is still being filled with zeros.
const IN_PREPARATION: &str = ".preparing";
/// File on which direct writes are tried; the ending makes a leftover go like any other.
const TRIAL: &str = "direct.preparing";
/// Digits of a segment's number in its name.
const DIGITS: usize = 20;
/// One write of zeros: a write of the live segment waits behind it, and each costs a tenth of a
/// millisecond of processor time whatever its length.
const ZERO_LEN: u64 = 512 * 1024;
/// Where nobody is in the way.
const AT_ONCE: fn(u64) -> ControlFlow<()> = |_| ControlFlow::Continue(());
/// Zeros written between two syncs, so that a preparation does not pile up dirty pages in front
/// of the live segment's syncs.
const SYNC_EVERY: u64 = 16 * 1024 * 1024;

/// How the live segment is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Directly where the file system can, else through a memory map, with a warning.
    #[default]
    Auto,
    /// With `O_DIRECT | O_DSYNC`: no page cache, each write durable on return.
    Direct,
    /// Through a memory map that is synced by range.
    Mapped,
}

/// Segments in a directory.
pub struct FileStorage {
    dir: PathBuf,
    backend: Backend,
    staging: Arc<Staging>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lock: Option<DirLock>,
    /// A direct write was tried and went well; known when the lock is held.
    can_direct: bool,
    /// Highest segment opened for writing.
    opened: u64,
}

impl FileStorage {
    /// A journal's directory; nothing is touched yet.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self::with_backend(dir, Backend::Auto)
    }

    /// The same with the backend that writes, which matters to whoever takes the lock.
    #[must_use]
    pub fn with_backend(dir: impl Into<PathBuf>, backend: Backend) -> Self {
        Self { dir: dir.into(), backend, staging: Arc::default(), state: Mutex::default() }
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

    /// Tries whether files here can be written directly.
    fn try_direct(&self) -> Result<bool, StorageError> {
        let path = self.dir.join(TRIAL);
        let refusal = direct::refusal(&path).map_err(|e| {
            StorageError::io("trying a direct write to", &path.display().to_string(), 0, e)
        })?;
        direct::judge(self.backend, self.dir.display().to_string(), refusal)
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

impl Storage for FileStorage {
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
        state.can_direct = self.try_direct()?;
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

    fn prepare(
        &self,
        number: u64,
        len: u64,
        head: &[u8],
        pause: &Pause<'_>,
    ) -> Result<bool, StorageError> {
        let path = self.path(number);
        let name = self.name(number);
        if path.exists() {
            return Err(StorageError::Writer { name, reason: "it exists already" });
        }
        let beside = path.with_extension(&IN_PREPARATION[1..]);
        let can_direct = self.state().can_direct;
        let made = fill(&beside, len, head, (can_direct, pause));
        let made = made.and_then(|is_whole| {
            if is_whole {
                fs::rename(&beside, &path)?;
            }
            Ok(is_whole)
        });
        if matches!(made, Ok(true)) {
            return self.sync_dir().map(|()| true);
        }
        let _the_next_start_removes_it = fs::remove_file(&beside);
        made.map_err(|source| match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT) => StorageError::Full { name, len, source },
            _ => StorageError::io("preparing", &name, 0, source),
        })
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
        let live = if state.can_direct && self.backend != Backend::Mapped {
            direct::open(&self.path(number), (number, name.clone(), len), &self.staging)
        } else {
            mapped::open(&file, name.clone(), len)
        };
        let live = live.map_err(|e| io("opening", e))?;
        state.opened = number;
        Ok(live)
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
        let is_direct = self.state().can_direct && self.backend != Backend::Mapped;
        let wiped = if is_direct {
            direct::open_past_cache(&self.path(number)).and_then(|f| zero(&f, from, len, &AT_ONCE))
        } else {
            zero(&file, from, len, &AT_ONCE)
        };
        wiped.and_then(|_| file.sync_all()).map_err(|e| StorageError::io("wiping", &name, from, e))
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
/// extents, which a crash may turn back into anything. Says whether it came to its end.
fn fill(
    path: &Path,
    len: u64,
    head: &[u8],
    (can_direct, pause): (bool, &Pause<'_>),
) -> io::Result<bool> {
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
    let is_whole = if can_direct {
        // Spares the processor a copy and the page cache a segment.
        zero(&direct::open_past_cache(path)?, from, len, pause)?
    } else {
        zero(&file, from, len, pause)?
    };
    if is_whole {
        file.sync_all()?;
        drop_cache(&file)?;
    }
    Ok(is_whole)
}

/// Says whether it came to its end.
fn zero(file: &File, from: u64, to: u64, pause: &Pause<'_>) -> io::Result<bool> {
    // Aligned, and never touched.
    let memory = Block::zeroed(ZERO_LEN);
    let zeros = memory.as_bytes();
    let mut offset = from;
    let mut synced = from;
    while offset < to {
        let len = (ZERO_LEN - offset % ZERO_LEN).min(to - offset);
        file.write_all_at(&zeros[..len as usize], offset)?;
        offset += len;
        if offset - synced >= SYNC_EVERY {
            file.sync_data()?;
            synced = offset;
        }
        if offset < to && pause(offset).is_break() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn drop_cache(file: &File) -> io::Result<()> {
    match fadvise(file, 0, None, Advice::DontNeed) {
        // A file system without a page cache has none to drop.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(e) => Err(e.into()),
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
