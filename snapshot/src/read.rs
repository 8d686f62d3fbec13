//! Reading a snapshot: header, table, then chunk after chunk, each verified before a byte of it is
//! handed over.
//!
//! Refuses to skip. Invariant: memory for lengths in the file is taken only after the file was
//! found to be that long.

use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::chunks::{AHEAD_MIN, Ahead, Chunks, Source};
use crate::error::{Doing as _, SnapshotError};
use crate::files::{FileRead, Files};
use crate::format::{FORMAT, HASH_BYTES, HEADER_BYTES, Header, MAGIC, Meta, hash_of};

/// An open snapshot whose header and table verify.
pub struct Reader {
    place: String,
    header: Header,
    file_bytes: u64,
    source: Source,
    /// Chunks that are still to be loaded.
    chunks_left: usize,
    chunk: Vec<u8>,
    /// Bytes of the chunk that were handed over.
    used: usize,
    left: u64,
}

/// A snapshot of which every byte verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Of what it is.
    pub meta: Meta,
    /// Bytes of the whole file.
    pub file_bytes: u64,
}

/// Reads and judges a header alone.
pub(crate) fn header(files: &dyn Files, name: &str) -> Result<Header, SnapshotError> {
    open(files, name).map(|(_, header)| header)
}

fn open(files: &dyn Files, name: &str) -> Result<(Box<dyn FileRead>, Header), SnapshotError> {
    let place = || files.place(name);
    let file = files.open(name).doing("opening", place)?;
    let mut bytes = [0; HEADER_BYTES as usize];
    if file.bytes() < HEADER_BYTES {
        return Err(SnapshotError::damaged(place(), file.bytes(), "it ends in its header"));
    }
    file.read_at(0, &mut bytes).doing("reading", place)?;
    let header = Header::read_from_bytes(&bytes).expect("the array is as long as a header");
    if header.magic != MAGIC {
        return Err(SnapshotError::NotSnapshot { file: place() });
    }
    if header.computed_hash() != header.hash {
        return Err(SnapshotError::damaged(place(), 0, "the header is not what was written"));
    }
    let found = header.format.get();
    if found != FORMAT {
        return Err(SnapshotError::Format { file: place(), found });
    }
    let expected = header.file_bytes();
    let expected = expected
        .ok_or_else(|| SnapshotError::damaged(place(), 64, "its lengths contradict each other"))?;
    if file.bytes() != expected {
        let offset = file.bytes().min(expected);
        return Err(SnapshotError::damaged(
            place(),
            offset,
            "it is not as long as its header says",
        ));
    }
    Ok((file, header))
}

impl Reader {
    pub(crate) fn open(files: &dyn Files, name: &str) -> Result<Self, SnapshotError> {
        let (file, header) = open(files, name)?;
        let place = files.place(name);
        let chunks = usize::try_from(header.chunks.get()).expect("the file is that long");
        let mut table = vec![[0; HASH_BYTES as usize]; chunks];
        let at = HEADER_BYTES + header.body_bytes.get();
        file.read_at(at, table.as_mut_bytes()).doing("reading", || place.clone())?;
        if hash_of(table.as_bytes()) != header.table_hash {
            return Err(SnapshotError::damaged(place, at, "the table is not what was written"));
        }
        let (left, file_bytes) = (header.body_bytes.get(), file.bytes());
        let source = Chunks { file, place: place.clone(), body_bytes: left, table, next: 0 };
        let (source, chunk) = (Source::Here(source), Vec::new());
        Ok(Self { place, header, file_bytes, source, chunks_left: chunks, chunk, used: 0, left })
    }

    /// Of what it is.
    #[must_use]
    pub const fn meta(&self) -> Meta {
        self.header.meta()
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Bytes of its body that were not handed over yet.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Fills `buffer` with the next bytes of the body.
    ///
    /// # Errors
    ///
    /// When a chunk does not verify, or fewer bytes are left.
    pub fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), SnapshotError> {
        if buffer.len() as u64 > self.left {
            return Err(self.length());
        }
        self.left -= buffer.len() as u64;
        while !buffer.is_empty() {
            if self.used == self.chunk.len() {
                self.load()?;
            }
            let ready = &self.chunk[self.used..];
            let len = ready.len().min(buffer.len());
            let (head, rest) = buffer.split_at_mut(len);
            head.copy_from_slice(&ready[..len]);
            self.used += len;
            buffer = rest;
        }
        Ok(())
    }

    /// Says that everything was read.
    ///
    /// # Errors
    ///
    /// When bytes of the body are left.
    pub fn finish(self) -> Result<Verified, SnapshotError> {
        if self.left > 0 {
            return Err(self.length());
        }
        Ok(Verified { meta: self.meta(), file_bytes: self.file_bytes })
    }

    /// Reads and verifies all that is left.
    ///
    /// # Errors
    ///
    /// The first chunk that does not verify.
    pub fn verify(mut self) -> Result<Verified, SnapshotError> {
        while self.chunks_left > 0 {
            self.load()?;
        }
        self.left = 0;
        self.finish()
    }

    /// Reads and verifies the next bytes of the body, at least one chunk and `bytes_max` or more if
    /// there are as many; says how many they were, 0 behind the last one. It is for whoever has to
    /// read slowly; what it reads is handed over to nobody.
    ///
    /// # Errors
    ///
    /// The first chunk that does not verify.
    pub fn verify_step(&mut self, bytes_max: u64) -> Result<u64, SnapshotError> {
        let mut bytes = 0;
        while self.chunks_left > 0 && (bytes == 0 || bytes < bytes_max) {
            self.load()?;
            self.used = self.chunk.len();
            bytes += self.chunk.len() as u64;
        }
        self.left = self.left.saturating_sub(bytes);
        Ok(bytes)
    }

    /// Bytes of the whole file.
    #[must_use]
    pub const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// From now on a thread of its own reads and verifies, some chunks ahead of whoever asks. What
    /// is short, lies in a file that pauses, or no thread can be had for, goes on as before.
    pub fn read_ahead(&mut self) {
        if self.chunks_left >= AHEAD_MIN
            && matches!(&self.source, Source::Here(chunks) if !chunks.file.is_pausing())
            && let Some(ahead) = Ahead::start()
        {
            ahead.take_over(&mut self.source);
        }
    }

    fn length(&self) -> SnapshotError {
        let bytes = self.header.body_bytes.get();
        SnapshotError::Length { file: self.place.clone(), bytes }
    }

    fn load(&mut self) -> Result<(), SnapshotError> {
        let read = self.source.read(&mut self.chunk);
        self.used = 0;
        if !matches!(read, Ok(true)) {
            // Nothing that does not verify is handed over to who asks again.
            self.chunk.clear();
        }
        if !read? {
            return Err(self.length());
        }
        self.chunks_left -= 1;
        Ok(())
    }
}
