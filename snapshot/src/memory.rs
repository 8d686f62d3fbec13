//! A directory in memory that loses what a real one may lose: for tests and the simulator.
//!
//! It refuses to be kinder than a disk: what was not synced, bytes and names, is kept, lost or torn
//! by a crash as a seed draws. Invariant: a synced sector and a synced name survive every crash.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::files::{FileRead, FileWrite, Files};

/// A disk writes this much at once or not.
const SECTOR: usize = 512;

/// See the module; clones share the directory.
#[derive(Clone, Default)]
pub struct MemoryFiles {
    disk: Arc<Mutex<Disk>>,
}

type Shared = Arc<Mutex<Image>>;
type Names = BTreeMap<String, Shared>;

#[derive(Default)]
struct Disk {
    names: Names,
    /// Names that a crash leaves.
    durable: Names,
    /// Changes of names since the last sync of the directory, in order.
    pending: Vec<Change>,
    faults: Faults,
}

#[derive(Clone, Default)]
struct Faults {
    /// Steps that still succeed; after them every one fails.
    steps: Option<u64>,
    capacity: Option<u64>,
    /// Syncs of files that still succeed before one fails.
    fail_sync_in: Option<u64>,
    unreadable: Option<(String, Range<u64>)>,
}

#[derive(Clone)]
enum Change {
    Put(String, Shared),
    Rename(String, String, Shared),
    Remove(String),
}

impl Change {
    fn apply(self, names: &mut Names) {
        match self {
            Self::Put(name, image) => drop(names.insert(name, image)),
            Self::Rename(from, to, image) => {
                names.remove(&from);
                names.insert(to, image);
            }
            Self::Remove(name) => drop(names.remove(&name)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.faults.steps {
            Some(0) => Err(io::Error::other("the power went")),
            Some(steps) => {
                *steps -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        self.pending.push(change.clone());
        change.apply(&mut self.names);
    }

    fn find(&self, name: &str) -> io::Result<Shared> {
        self.names.get(name).map(Arc::clone).ok_or_else(missing)
    }
}

impl MemoryFiles {
    /// An empty directory without a limit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Power cut: every un-synced sector is kept, lost, torn or garbled, every length and name that
    /// was not synced is kept or lost, as `seed` draws. Faults that were set are gone, and writers
    /// of before keep writing into the void.
    pub fn crash(&self, seed: u64) {
        let mut disk = lock(&self.disk);
        let mut draw = Draw(seed);
        let mood = draw.below(8);
        let pending = std::mem::take(&mut disk.pending);
        let kept = draw.below(pending.len() as u64 + 1) as usize;
        for (at, change) in pending.into_iter().enumerate() {
            let is_kept = match mood {
                0 => true,
                1 => false,
                // Most filesystems keep the order of names, some do not.
                2..=4 => at < kept,
                _ => draw.below(2) == 0,
            };
            if is_kept {
                change.apply(&mut disk.durable);
            }
        }
        for file in disk.durable.values_mut() {
            let mut image = lock(file).clone();
            image.crash(&mut draw, mood);
            *file = Arc::new(Mutex::new(image));
        }
        disk.names = disk.durable.clone();
        disk.faults = Faults::default();
    }

    /// After this many more steps (a write, a sync, a change of names) every one fails.
    pub fn stop_after(&self, steps: Option<u64>) {
        lock(&self.disk).faults.steps = steps;
    }

    /// Bytes that all files together may take; `None` without a limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        lock(&self.disk).faults.capacity = bytes;
    }

    /// After `successes` more syncs of files one fails; its bytes can be read until the cache is
    /// dropped, and no later sync writes them.
    pub fn fail_sync_in(&self, successes: u64) {
        lock(&self.disk).faults.fail_sync_in = Some(successes);
    }

    /// Reads that touch this range of a file fail; `None`: none do.
    pub fn fail_read(&self, place: Option<(String, Range<u64>)>) {
        lock(&self.disk).faults.unreadable = place;
    }

    /// Bit rot: flips the bits of `mask` in one byte. Without such a byte nothing happens.
    pub fn flip(&self, name: &str, offset: u64, mask: u8) {
        if let Ok(file) = lock(&self.disk).find(name) {
            let image = &mut *lock(&file);
            let at = offset as usize;
            for bytes in [&mut image.current, &mut image.durable] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= mask;
                }
            }
        }
    }

    /// What a reader of the file would see now.
    #[must_use]
    pub fn image(&self, name: &str) -> Option<Vec<u8>> {
        lock(&self.disk).find(name).ok().map(|file| lock(&file).current.clone())
    }

    /// Puts a file in place as it is, durable, over one that may be there.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut disk = lock(&self.disk);
        let file = Arc::new(Mutex::new(Image::synced(bytes)));
        disk.names.insert(name.to_owned(), Arc::clone(&file));
        disk.durable.insert(name.to_owned(), file);
    }

    /// Names of the files, temporary ones included.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        lock(&self.disk).names.keys().cloned().collect()
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        lock(&self.disk).names.values().map(|file| lock(file).current.len() as u64).sum()
    }

    /// A directory of its own in the same state, synced or not, without faults.
    #[must_use]
    pub fn copy(&self) -> Self {
        let disk = lock(&self.disk);
        let mut copies: Vec<(Shared, Shared)> = Vec::new();
        // A file under several names is one file in the copy too.
        let mut copy_of = |file: &Shared| {
            if let Some((_, copy)) = copies.iter().find(|(known, _)| Arc::ptr_eq(known, file)) {
                return Arc::clone(copy);
            }
            let copy = Arc::new(Mutex::new(lock(file).clone()));
            copies.push((Arc::clone(file), Arc::clone(&copy)));
            copy
        };
        let mut all = |names: &Names| {
            names.iter().map(|(name, file)| (name.clone(), copy_of(file))).collect::<Names>()
        };
        let (names, durable) = (all(&disk.names), all(&disk.durable));
        let pending = disk.pending.iter().map(|change| match change {
            Change::Put(name, file) => Change::Put(name.clone(), copy_of(file)),
            Change::Rename(from, to, file) => {
                Change::Rename(from.clone(), to.clone(), copy_of(file))
            }
            Change::Remove(name) => Change::Remove(name.clone()),
        });
        let pending = pending.collect();
        let faults = Faults::default();
        Self { disk: Arc::new(Mutex::new(Disk { names, durable, pending, faults })) }
    }
}

impl Files for MemoryFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn FileWrite>> {
        let mut disk = lock(&self.disk);
        disk.step()?;
        if disk.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(Mutex::new(Image::default()));
        disk.change(Change::Put(name.to_owned(), Arc::clone(&file)));
        Ok(Box::new(Open { disk: Arc::clone(&self.disk), name: name.to_owned(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn FileRead>> {
        let file = lock(&self.disk).find(name)?;
        lock(&file).drop_cache();
        Ok(Box::new(Open { disk: Arc::clone(&self.disk), name: name.to_owned(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.step()?;
        let file = disk.find(from)?;
        disk.change(Change::Rename(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.step()?;
        disk.find(name)?;
        disk.change(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.step()?;
        disk.pending.clear();
        disk.durable = disk.names.clone();
        Ok(())
    }

    fn place(&self, name: &str) -> String {
        format!("memory/{name}")
    }
}

struct Open {
    disk: Arc<Mutex<Disk>>,
    name: String,
    file: Shared,
}

impl FileWrite for Open {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.step()?;
        let end = offset as usize + bytes.len();
        if let Some(capacity) = disk.faults.capacity {
            let used: u64 = disk.names.values().map(|file| lock(file).current.len() as u64).sum();
            let grown = end.saturating_sub(lock(&self.file).current.len()) as u64;
            if used + grown > capacity {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        lock(&self.file).write(offset as usize, bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.step()?;
        let left = &mut disk.faults.fail_sync_in;
        let fails = *left == Some(0);
        *left = left.and_then(|left| left.checked_sub(1));
        lock(&self.file).sync(fails);
        if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl FileRead for Open {
    fn bytes(&self) -> u64 {
        lock(&self.file).current.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset + buffer.len() as u64;
        if let Some((name, range)) = &lock(&self.disk).faults.unreadable
            && *name == self.name
            && offset < range.end
            && end > range.start
        {
            return Err(io::Error::from_raw_os_error(5));
        }
        let image = lock(&self.file);
        let bytes = image.current.get(offset as usize..end as usize);
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// One file: what is on the medium, what a reader sees, and how each sector differs.
#[derive(Clone, Default)]
struct Image {
    durable: Vec<u8>,
    current: Vec<u8>,
    state: Vec<Sector>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sector {
    Clean,
    Dirty,
    /// A sync of it failed: reads still see it, no later sync writes it, a crash loses it.
    Doomed,
}

impl Image {
    fn synced(bytes: Vec<u8>) -> Self {
        let state = vec![Sector::Clean; bytes.len().div_ceil(SECTOR)];
        Self { durable: bytes.clone(), current: bytes, state }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let before = self.current.len();
        let len = before.max(offset + bytes.len());
        self.current.resize(len, 0);
        self.state.resize(len.div_ceil(SECTOR), Sector::Dirty);
        self.current[offset..offset + bytes.len()].copy_from_slice(bytes);
        // A gap that was stepped over is new too.
        let from = offset.min(before);
        if len > from {
            self.state[from / SECTOR..(offset + bytes.len()).div_ceil(SECTOR)].fill(Sector::Dirty);
        }
    }

    fn bytes_of(&self, sector: usize) -> Range<usize> {
        sector * SECTOR..((sector + 1) * SECTOR).min(self.current.len())
    }

    fn sync(&mut self, fails: bool) {
        self.durable.resize(self.current.len(), 0);
        for sector in 0..self.state.len() {
            if self.state[sector] != Sector::Dirty {
                continue;
            }
            if fails {
                self.state[sector] = Sector::Doomed;
            } else {
                let bytes = self.bytes_of(sector);
                self.durable[bytes.clone()].copy_from_slice(&self.current[bytes]);
                self.state[sector] = Sector::Clean;
            }
        }
    }

    /// Clean pages go, and with them what a failed sync had left; dirty ones stay.
    fn drop_cache(&mut self) {
        for sector in 0..self.state.len() {
            if self.state[sector] == Sector::Doomed {
                let bytes = self.bytes_of(sector);
                self.current[bytes.clone()].copy_from_slice(&self.durable[bytes]);
                self.state[sector] = Sector::Clean;
            }
        }
    }

    fn crash(&mut self, draw: &mut Draw, mood: u64) {
        let short = self.durable.len();
        self.durable.resize(self.current.len(), 0);
        let mut len = short;
        for sector in 0..self.state.len() {
            let Range { start: from, end: to } = self.bytes_of(sector);
            if self.state[sector] != Sector::Dirty {
                continue;
            }
            let fate = match mood {
                0 => 0,
                1 => 9,
                _ => draw.below(10),
            };
            let end = match fate {
                0..=3 => to,
                4 => from + draw.below((to - from) as u64) as usize,
                5 => {
                    let garbled = self.durable[from..to].iter_mut();
                    garbled.for_each(|byte| *byte = draw.next() as u8);
                    len = len.max(to);
                    continue;
                }
                // The length may have reached the medium, and its bytes not.
                6 => {
                    len = len.max(to);
                    continue;
                }
                _ => continue,
            };
            self.durable[from..end].copy_from_slice(&self.current[from..end]);
            len = len.max(end);
        }
        self.durable.truncate(len);
        *self = Self::synced(std::mem::take(&mut self.durable));
    }
}

/// A small seeded generator (splitmix64), so that a crash is repeated by its seed.
struct Draw(u64);

impl Draw {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
