//! Records on their way past the page cache: filled into aligned memory, written in order, reused.
//!
//! Refuses to write anything twice, and everything after the first failed write. Whoever needs a
//! buffer and finds none writes what waits, so that nobody depends on another thread. Invariant:
//! runs reach the medium in the order of appending, and only whole records.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::format::{BLOCK, RECORD_LEN_MAX, record_len};
use crate::storage::{SegmentSync, SegmentWrite, StorageError};

/// Buffers that records are filled into: one being filled, the rest being written or waiting. Full
/// groups so take 32 MiB; memory that no record has needed is never touched.
pub(crate) const BUFFERS_MAX: usize = 8;

/// Bytes of a buffer: the longest record fits.
const BUFFER_LEN: u64 = record_len(RECORD_LEN_MAX);

/// A record up to this long is copied behind the one that waits before it, so that many small ones
/// take one buffer; a longer one keeps its own.
const JOIN_LEN_MAX: u64 = 64 * 1024;

/// Memory that direct writes accept: aligned as the medium's blocks are.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4096))]
pub(crate) struct Block([u8; BLOCK as usize]);

impl Block {
    pub(crate) const ZERO: Self = Self([0; BLOCK as usize]);

    /// `len` zero bytes, rounded up to whole blocks. They are not touched before they are used.
    pub(crate) fn zeroed(len: u64) -> Box<[Self]> {
        <[Self]>::new_box_zeroed_with_elems(len.div_ceil(BLOCK) as usize)
            .expect("a buffer of a few MiB can be allocated")
    }
}

type Buffer = Box<[Block]>;

/// Where the bytes of a segment go.
pub(crate) trait Sink: Send + Sync {
    /// Writes the slices one behind the other, durable on return; says how many bytes it wrote.
    fn write(&self, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// A segment that is written directly.
pub(crate) struct Target {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) len: u64,
    pub(crate) sink: Box<dyn Sink>,
}

/// Whole records, one behind the other, that wait to be written.
struct Run {
    target: Arc<Target>,
    from: u64,
    to: u64,
    buffer: Buffer,
}

impl Run {
    fn bytes(&self) -> &[u8] {
        &self.buffer.as_bytes()[..(self.to - self.from) as usize]
    }
}

/// What all segments of a journal share.
#[derive(Default)]
pub(crate) struct Staging {
    state: Mutex<State>,
    /// The runs being written; held by whoever writes them, so that order is kept.
    writing: Mutex<Vec<Run>>,
}

#[derive(Default)]
struct State {
    free: Vec<Buffer>,
    /// Buffers made so far.
    made: usize,
    filled: VecDeque<Run>,
    has_failed: bool,
}

impl State {
    fn take_free(&mut self) -> Option<Buffer> {
        // The one used last is the one that the caches still hold.
        self.free.pop().or_else(|| {
            (self.made < BUFFERS_MAX).then(|| {
                self.made += 1;
                Block::zeroed(BUFFER_LEN)
            })
        })
    }

    /// Moves the runs that one write can take.
    fn take_runs(&mut self, into: &mut Vec<Run>) {
        while let Some(next) = self.filled.front() {
            let follows = into
                .last()
                .is_none_or(|last| Arc::ptr_eq(&last.target, &next.target) && last.to == next.from);
            if !follows {
                break;
            }
            into.extend(self.filled.pop_front());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Staging {
    /// A buffer to fill; when all are under way, writes what waits.
    fn acquire(&self, target: &Target) -> Result<Buffer, StorageError> {
        loop {
            if let Some(buffer) = lock(&self.state).take_free() {
                return Ok(buffer);
            }
            self.write_until(target, |state| !state.free.is_empty())?;
        }
    }

    fn push(&self, run: Run) {
        let mut state = lock(&self.state);
        let len = run.to - run.from;
        if let Some(last) = state.filled.back_mut()
            && len <= JOIN_LEN_MAX
            && Arc::ptr_eq(&last.target, &run.target)
            && last.to == run.from
            && last.to - last.from + len <= BUFFER_LEN
        {
            let at = (last.to - last.from) as usize;
            last.buffer.as_mut_bytes()[at..at + len as usize].copy_from_slice(run.bytes());
            last.to = run.to;
            state.free.push(run.buffer);
        } else {
            state.filled.push_back(run);
        }
    }

    /// Writes runs, oldest first, until `is_done` or none is left.
    fn write_until(
        &self,
        target: &Target,
        is_done: impl Fn(&State) -> bool,
    ) -> Result<(), StorageError> {
        let mut runs = lock(&self.writing);
        loop {
            let mut state = lock(&self.state);
            if state.has_failed {
                let reason = "a write of the journal has failed before";
                return Err(StorageError::Writer { name: target.name.clone(), reason });
            }
            if is_done(&state) || state.filled.is_empty() {
                return Ok(());
            }
            state.take_runs(&mut runs);
            drop(state);
            let written = write(&runs);
            let mut state = lock(&self.state);
            state.has_failed = written.is_err();
            state.free.extend(runs.drain(..).map(|run| run.buffer));
            written?;
        }
    }
}

/// One write; anything but all of it is an error.
fn write(runs: &[Run]) -> Result<(), StorageError> {
    let first = &runs[0];
    let mut slices = [IoSlice::new(&[]); BUFFERS_MAX];
    let mut len = 0;
    for (slice, run) in slices.iter_mut().zip(runs) {
        *slice = IoSlice::new(run.bytes());
        len += run.bytes().len();
    }
    let written = first.target.sink.write(first.from, &slices[..runs.len()]).and_then(|written| {
        let cut = || io::Error::other(format!("only {written} of {len} bytes were written"));
        if written == len { Ok(()) } else { Err(cut()) }
    });
    written.map_err(|e| StorageError::io("writing", &first.target.name, first.from, e))
}

/// The writing end of a segment: fills a buffer with a record, then hands it over.
pub(crate) struct StagedWriter {
    staging: Arc<Staging>,
    target: Arc<Target>,
    open: Option<Run>,
}

impl StagedWriter {
    pub(crate) const fn new(staging: Arc<Staging>, target: Arc<Target>) -> Self {
        Self { staging, target, open: None }
    }
}

impl SegmentWrite for StagedWriter {
    fn begin(&mut self, offset: u64, len: u64) -> Result<(), StorageError> {
        let to = offset + len;
        assert!(to <= self.target.len, "a record lies inside its segment");
        assert!(offset.is_multiple_of(BLOCK) && len.is_multiple_of(BLOCK), "records are blocks");
        assert!(len > 0 && len <= BUFFER_LEN, "a record fits into a buffer");
        let mut buffer = self.staging.acquire(&self.target)?;
        // Padding is in the last block only; everything else will be written over.
        buffer[(len / BLOCK) as usize - 1] = Block::ZERO;
        self.open = Some(Run { target: Arc::clone(&self.target), from: offset, to, buffer });
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let run = self.open.as_mut().expect("a record was begun");
        let end = offset + bytes.len() as u64;
        assert!(offset >= run.from && end <= run.to, "bytes lie inside their record");
        let at = (offset - run.from) as usize;
        run.buffer.as_mut_bytes()[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn finish(&mut self) {
        self.staging.push(self.open.take().expect("a record was begun"));
    }
}

/// The syncing end of a segment: writes whatever of it, and of those before it, still waits.
pub(crate) struct StagedSync {
    pub(crate) staging: Arc<Staging>,
    pub(crate) target: Arc<Target>,
}

impl SegmentSync for StagedSync {
    fn sync(&self, offset: u64, len: u64) -> Result<(), StorageError> {
        let end = (self.target.number, offset + len);
        let is_behind = |run: &Run| (run.target.number, run.from) >= end;
        let is_done = |state: &State| state.filled.front().is_none_or(is_behind);
        self.staging.write_until(&self.target, is_done)
    }
}

#[cfg(test)]
#[path = "staging_test.rs"]
mod tests;
