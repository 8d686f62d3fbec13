//! The chunks of a snapshot, each verified when it is read: by whoever asks for them, or by a
//! thread that is some of them ahead.
//!
//! Invariant: they come in order and each once, and behind the first one that does not verify there
//! is none.

use std::mem;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use crate::error::{Doing as _, SnapshotError};
use crate::files::FileRead;
use crate::format::{CHUNK_BYTES, HEADER_BYTES, hash_of};

/// With fewer chunks left a thread is not worth its while.
pub(crate) const AHEAD_MIN: usize = 16;
/// Chunks that wait for whoever asks, at the most.
const AHEAD_MAX: usize = 4;

/// What is left of an open snapshot.
pub(crate) struct Chunks {
    pub(crate) file: Box<dyn FileRead>,
    pub(crate) place: String,
    pub(crate) body_bytes: u64,
    pub(crate) table: Vec<[u8; 32]>,
    /// Next chunk to read.
    pub(crate) next: usize,
}

impl Chunks {
    /// Reads the next one in place of `chunk`; `false` behind the last one.
    fn read(&mut self, chunk: &mut Vec<u8>) -> Result<bool, SnapshotError> {
        let Some(hash) = self.table.get(self.next) else {
            return Ok(false);
        };
        let from = self.next as u64 * CHUNK_BYTES as u64;
        let len = (self.body_bytes - from).min(CHUNK_BYTES as u64);
        chunk.resize(len as usize, 0);
        let offset = HEADER_BYTES + from;
        self.file.read_at(offset, chunk).doing("reading", || self.place.clone())?;
        if hash_of(chunk) != *hash {
            let place = self.place.clone();
            return Err(SnapshotError::damaged(place, offset, "the chunk is not what was written"));
        }
        self.next += 1;
        Ok(true)
    }
}

/// Who reads.
pub(crate) enum Source {
    /// Whoever asks.
    Here(Chunks),
    /// A thread.
    Ahead(Ahead),
}

impl Source {
    /// Puts the next chunk in the place of `chunk`; `false` behind the last one.
    pub(crate) fn read(&mut self, chunk: &mut Vec<u8>) -> Result<bool, SnapshotError> {
        match self {
            Self::Here(chunks) => chunks.read(chunk),
            Self::Ahead(ahead) => ahead.read(chunk),
        }
    }
}

/// The other end of a thread that reads.
pub(crate) struct Ahead {
    start: Sender<Chunks>,
    full: Receiver<Result<Vec<u8>, SnapshotError>>,
    /// What was used goes back.
    empty: Sender<Vec<u8>>,
}

impl Ahead {
    /// A thread that waits for chunks to read, if one can be had. It ends with this.
    pub(crate) fn start() -> Option<Self> {
        let (start, started) = channel();
        let (full_end, full) = sync_channel(AHEAD_MAX);
        let (empty, empty_end) = channel();
        let work = move || {
            // Nobody took over: nothing to read.
            if let Ok(chunks) = started.recv() {
                read_all(chunks, &empty_end, &full_end);
            }
        };
        thread::Builder::new().name("read ahead".into()).spawn(work).ok()?;
        Some(Self { start, full, empty })
    }

    /// Lets the thread read from now on.
    pub(crate) fn take_over(self, source: &mut Source) {
        let start = self.start.clone();
        if let Source::Here(chunks) = mem::replace(source, Source::Ahead(self)) {
            start.send(chunks).expect("the thread waits for it");
        }
    }

    fn read(&self, chunk: &mut Vec<u8>) -> Result<bool, SnapshotError> {
        // It may have read the last one, and needs no more.
        let _is_over = self.empty.send(mem::take(chunk));
        match self.full.recv() {
            Ok(read) => *chunk = read?,
            Err(_) => return Ok(false),
        }
        Ok(true)
    }
}

fn read_all(
    mut chunks: Chunks,
    empty: &Receiver<Vec<u8>>,
    full: &SyncSender<Result<Vec<u8>, SnapshotError>>,
) {
    loop {
        let mut chunk = empty.try_recv().unwrap_or_default();
        let read = match chunks.read(&mut chunk) {
            Ok(true) => Ok(chunk),
            Ok(false) => return,
            Err(error) => Err(error),
        };
        let is_over = read.is_err();
        if full.send(read).is_err() || is_over {
            return;
        }
    }
}
