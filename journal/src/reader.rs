//! Reading a journal without owning it: replay, audit, and the tools that look at one.
//!
//! Refuses to write, to lock, and to yield a record that does not verify. Invariant: records come
//! in order of index, each linked to the one before; an end is either a torn or blank tail, the
//! index the caller named, or an error.

use std::sync::Arc;

use crate::error::{ReadError, RecoverError};
use crate::format::RecordHeader;
use crate::scan::{Depth, Scanner};
use crate::segments::{Start, first_record, numbers, start};
use crate::storage::{Source, Storage, StorageError};

/// Verified records, one after the other.
pub struct Reader {
    scanner: Scanner,
    /// Records before this are read for the chain and not shown.
    from: u64,
    /// The last record shown; the one behind it is not looked at.
    until: u64,
    finished: bool,
    /// Blocks behind the end that are not zero, once the end was met.
    torn_blocks: u64,
}

impl Reader {
    /// Reads a stopped journal from record `from` (1 = genesis) to its end.
    ///
    /// # Errors
    /// When there is no journal, a segment is missing, or `from` is no longer kept
    /// ([`RecoverError::Shortened`]).
    pub fn open(storage: Arc<dyn Storage>, from: u64) -> Result<Self, ReadError> {
        Self::open_range(storage, from, u64::MAX)
    }

    /// Reads a stopped journal from the first record that it still holds to its end.
    ///
    /// # Errors
    /// When there is no journal, a segment is missing, or the oldest does not begin with a record.
    pub fn open_first(storage: Arc<dyn Storage>) -> Result<Self, ReadError> {
        Self::first_with_depth(storage, Depth::Whole)
    }

    fn first_with_depth(storage: Arc<dyn Storage>, depth: Depth) -> Result<Self, ReadError> {
        let first = first_record(&*storage)?;
        Self::with_depth(storage, first.index, u64::MAX, depth)
    }

    /// Reads the records `from..=until`. With `until` durable, the journal may be live: nothing
    /// behind it is looked at.
    ///
    /// # Errors
    /// When there is no journal, a segment is missing, or `from` is no longer kept
    /// ([`RecoverError::Shortened`]).
    pub fn open_range(storage: Arc<dyn Storage>, from: u64, until: u64) -> Result<Self, ReadError> {
        Self::with_depth(storage, from, until, Depth::Whole)
    }

    /// The same without payloads: headers and their chain are verified, and every payload shown is
    /// empty.
    ///
    /// # Errors
    /// As [`Self::open_range`].
    pub fn open_headers(
        storage: Arc<dyn Storage>,
        from: u64,
        until: u64,
    ) -> Result<Self, ReadError> {
        Self::with_depth(storage, from, until, Depth::Headers)
    }

    fn with_depth(
        storage: Arc<dyn Storage>,
        from: u64,
        until: u64,
        depth: Depth,
    ) -> Result<Self, ReadError> {
        let begin = || start(&*storage, numbers(&*storage)?, from, Source::Cache);
        let Start { numbers, due } = match begin() {
            // Retention was quicker; what is left says what is missing.
            Err(RecoverError::Storage(StorageError::Absent { .. })) => begin()?,
            begun => begun?,
        };
        let scanner = Scanner::new(storage, numbers, due, Source::Cache, depth, u32::MAX);
        Ok(Self { scanner, from, until, finished: false, torn_blocks: 0 })
    }

    /// The next record and its payload; `None` at the end.
    ///
    /// # Errors
    /// When the medium fails or the records do not verify where they must.
    #[expect(clippy::should_implement_trait, reason = "it lends its buffer, an Iterator cannot")]
    pub fn next(&mut self) -> Result<Option<(&RecordHeader, &[u8])>, ReadError> {
        loop {
            if self.finished || self.scanner.due().index > self.until {
                return Ok(None);
            }
            if !self.scanner.advance()? {
                self.finish()?;
                return Ok(None);
            }
            if self.scanner.header().index >= self.from {
                break;
            }
        }
        Ok(Some((self.scanner.header(), self.scanner.payload())))
    }

    /// Shows the records through `until` too, which are durable by now, without looking at those
    /// before them again. It is for a reader that has come to the end that was named: one that has
    /// met the end of what there was, or an error, shows nothing more.
    ///
    /// # Errors
    /// When the segments cannot be listed, or one between others is missing.
    pub fn extend(&mut self, until: u64) -> Result<(), ReadError> {
        if until > self.until {
            let newest = numbers(&**self.scanner.storage())?.last().copied();
            // One that retention has removed before it was read is missed when it is opened.
            self.scanner.extend(newest.unwrap_or_default());
            self.until = until;
        }
        Ok(())
    }

    /// Blocks of an interrupted write behind the last record, known once the end was met.
    #[must_use]
    pub const fn torn_blocks(&self) -> u64 {
        self.torn_blocks
    }

    fn finish(&mut self) -> Result<(), ReadError> {
        self.finished = true;
        let end = *self.scanner.end().expect("a scan that stopped has an end");
        let behind = self.scanner.search_behind(&end)?;
        // The caller named an index that was durable: that is a floor.
        let floor = if self.until == u64::MAX { 0 } else { self.until };
        self.scanner.judge(&end, &behind, floor, None)?;
        self.torn_blocks = behind.dirty.iter().map(|&(_, blocks)| blocks).sum();
        Ok(())
    }
}

/// What a journal holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The frame it is of.
    pub frame: u128,
    /// Segments in place, prepared ones included.
    pub segments: u64,
    /// Records, seals included.
    pub records: u64,
    /// Records by kind: genesis, commands, blank, membership, seal.
    pub records_by_kind: [u64; 5],
    /// Commands in them.
    pub commands: u64,
    /// Bytes of payload.
    pub payload_bytes: u64,
    /// Bytes of records, padding included.
    pub record_bytes: u64,
    /// Sequence of the first command, if there is any.
    pub first_sequence: u64,
    /// Sequence of the last command; 0 without any.
    pub last_sequence: u64,
    /// The first record that is still there.
    pub first: RecordHeader,
    /// The last record.
    pub last: RecordHeader,
    /// Blocks of an interrupted write behind the last record.
    pub torn_blocks: u64,
    /// Whether payloads were verified too.
    pub payloads_verified: bool,
}

/// Reads and verifies every byte of a stopped journal, from the first record that it still holds.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(storage: Arc<dyn Storage>) -> Result<Summary, ReadError> {
    summarise(storage, Depth::Whole)
}

/// Reads and verifies the headers and their chain only.
///
/// # Errors
/// The first thing that is wrong.
pub fn stat(storage: Arc<dyn Storage>) -> Result<Summary, ReadError> {
    summarise(storage, Depth::Headers)
}

fn summarise(storage: Arc<dyn Storage>, depth: Depth) -> Result<Summary, ReadError> {
    let segments = storage.list()?.len() as u64;
    let mut reader = Reader::first_with_depth(storage, depth)?;
    let mut summary: Option<Summary> = None;
    while let Some((header, _)) = reader.next()? {
        let s = summary.get_or_insert_with(|| Summary {
            frame: header.frame,
            segments,
            records: 0,
            records_by_kind: [0; 5],
            commands: 0,
            payload_bytes: 0,
            record_bytes: 0,
            first_sequence: header.first_sequence,
            last_sequence: 0,
            first: *header,
            last: *header,
            torn_blocks: 0,
            payloads_verified: depth == Depth::Whole,
        });
        s.records += 1;
        if let Some(kind) = header.kind() {
            s.records_by_kind[kind as usize - 1] += 1;
        }
        s.commands += u64::from(header.commands);
        s.payload_bytes += u64::from(header.payload_len);
        s.record_bytes += header.record_len();
        s.last_sequence = header.next_sequence() - 1;
        s.last = *header;
    }
    let mut summary = summary.ok_or_else(|| RecoverError::Beyond { index: 1, last: 0 })?;
    summary.torn_blocks = reader.torn_blocks();
    Ok(summary)
}
