//! Filling the live segment: one record per group, copied once and hashed once.
//!
//! Refuses a record that would break the chain's order, one that does not fit, and everything
//! after a failed sync. Invariant: an error other than a fatal one leaves the journal untouched.

use std::sync::Arc;

use zerocopy::IntoBytes;

use crate::format::{
    BLOCK, FORMAT, HEADER_LEN, Kind, MAGIC, PART_ALIGN, RECORD_LEN_MAX, RecordHeader, record_len,
};
use crate::shared::Shared;
use crate::stage::Stage;
use crate::storage::{Live, Storage, StorageError};

/// What the caller says about a record; the journal fills in the rest of the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// What the record is for. A seal is the journal's own, a genesis that of `create`.
    pub kind: Kind,
    /// Version of the money rules that judge the payload.
    pub rules: u32,
    /// Epoch of the writer; never falls.
    pub epoch: u64,
    /// Node that writes.
    pub leader: u64,
    /// Sequence of the first command; the one after the last record's, always.
    pub first_sequence: u64,
    /// Commands in the payload.
    pub commands: u32,
    /// Journal time; never falls.
    pub timestamp_ns: u64,
    /// Highest sequence known settled.
    pub settled_sequence: u64,
    /// Sequence at which `run_digest` holds.
    pub executed_sequence: u64,
    /// Digest of the run at `executed_sequence`.
    pub run_digest: [u8; 16],
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Number of the record.
    pub index: u64,
    /// Segment that holds it.
    pub segment: u64,
    /// Its place in the segment.
    pub offset: u64,
    /// Where it ends in the segment, padding included.
    pub end: u64,
    /// Its chain hash.
    pub hash: [u8; 32],
}

/// Why a record was not appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The live segment is full and no other is prepared: the disk is full or behind.
    #[error("the journal has no room: segment {needed} is not prepared; refuse writes and retry")]
    Full {
        /// Segment that is needed.
        needed: u64,
    },
    /// The payload is longer than a record may be.
    #[error("a payload of {len} bytes exceeds the record's {max}; split the group")]
    TooLarge {
        /// Bytes given.
        len: u64,
        /// Bytes allowed.
        max: u64,
    },
    /// A part is not a multiple of 16 bytes.
    #[error("part {part} has {len} bytes, which is no multiple of 16; pad it")]
    Part {
        /// Which part.
        part: usize,
        /// Its bytes.
        len: usize,
    },
    /// A kind that only the journal writes.
    #[error("a {0:?} record is written by the journal itself; use another kind")]
    Kind(Kind),
    /// A sequence, time or epoch that does not follow the last record's.
    #[error("{field} is {given} where {expected} is due after record {after}; number from there")]
    Order {
        /// The field.
        field: &'static str,
        /// What was given.
        given: u64,
        /// What is due, or the least that is.
        expected: u64,
        /// Index of the last record.
        after: u64,
    },
    /// A sync has failed before; nothing can be acknowledged any more.
    #[error("a sync of the journal has failed; stop the process and recover from the disk")]
    Poisoned,
    /// The backend could not write.
    #[error("the journal could not be written: {0}")]
    Storage(#[source] StorageError),
}

impl AppendError {
    /// Whether the process has to stop: nothing can be appended ever after.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Poisoned | Self::Storage(_))
    }
}

/// The end of the chain: what the next record must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) header: RecordHeader,
}

impl Tip {
    /// The header of the record after this one, without payload hash and hash.
    fn follow(&self, entry: &Entry, payload_len: u64, durable_index: u64) -> RecordHeader {
        RecordHeader {
            magic: MAGIC,
            format: FORMAT,
            kind: entry.kind as u16,
            rules: entry.rules,
            frame: self.header.frame,
            epoch: entry.epoch,
            leader: entry.leader,
            index: self.header.index + 1,
            first_sequence: entry.first_sequence,
            commands: entry.commands,
            payload_len: payload_len as u32,
            timestamp_ns: entry.timestamp_ns,
            durable_index,
            settled_sequence: entry.settled_sequence,
            executed_sequence: entry.executed_sequence,
            run_digest: entry.run_digest,
            previous_hash: self.header.hash,
            ..RecordHeader::default()
        }
    }
}

/// The writing end of a journal; there is one.
pub struct Appender {
    shared: Arc<Shared>,
    tip: Tip,
    segment: u64,
    live: Live,
    /// Where the next record goes.
    end: u64,
    /// The live segment has its seal, and the next was not there then.
    sealed: bool,
    /// Bytes of the segments to come.
    segment_size: u64,
    stage: Stage,
    /// Keeps the directory's lock for as long as something can be written.
    _storage: Arc<dyn Storage>,
}

impl Appender {
    pub(crate) fn new(
        shared: Arc<Shared>,
        storage: Arc<dyn Storage>,
        tip: RecordHeader,
        live: (u64, Live, u64),
        segment_size: u64,
    ) -> Self {
        let (segment, live, end) = live;
        let sealed = tip.kind == Kind::Seal as u16 && tip.segment == segment;
        Self {
            shared,
            tip: Tip { header: tip },
            segment,
            live,
            end,
            sealed,
            segment_size,
            stage: Stage::new(),
            _storage: storage,
        }
    }

    /// Appends one record whose payload is `parts`, one after the other. It is durable when the
    /// syncer's or the watermarks' durable index has reached it.
    ///
    /// # Errors
    /// See [`AppendError`]; unless fatal, nothing was written and the caller may go on.
    pub fn append(&mut self, entry: &Entry, parts: &[&[u8]]) -> Result<Appended, AppendError> {
        let payload_len = self.check(entry, parts)?;
        self.make_room(record_len(payload_len))?;
        self.write(entry, parts, payload_len).map_err(|e| {
            self.shared.poison();
            AppendError::Storage(e)
        })
    }

    /// Sequence that the next entry must begin with.
    #[must_use]
    pub const fn next_sequence(&self) -> u64 {
        self.tip.header.next_sequence()
    }

    /// Header of the last record, a seal included.
    #[must_use]
    pub const fn last(&self) -> &RecordHeader {
        &self.tip.header
    }

    /// Longest payload that a record may have now.
    #[must_use]
    pub fn payload_len_max(&self) -> u64 {
        payload_len_max(self.live.len.min(self.segment_size))
    }

    /// Whether a payload of `len` bytes has to wait for the next segment: it is not there yet, but
    /// the disk is not known to be full either. Whoever drives a preparer can wait; without one the
    /// segment never comes.
    #[must_use]
    pub fn awaits_segment(&self, len: u64) -> bool {
        let fits = !self.sealed && self.end + record_len(len) + BLOCK <= self.live.len;
        !fits && !self.shared.has_ready() && !self.shared.is_full() && !self.shared.is_poisoned()
    }

    fn check(&self, entry: &Entry, parts: &[&[u8]]) -> Result<u64, AppendError> {
        if self.shared.is_poisoned() {
            return Err(AppendError::Poisoned);
        }
        if matches!(entry.kind, Kind::Genesis | Kind::Seal) {
            return Err(AppendError::Kind(entry.kind));
        }
        let last = &self.tip.header;
        let order = |field, given, expected, holds: bool| {
            let after = last.index;
            if holds { Ok(()) } else { Err(AppendError::Order { field, given, expected, after }) }
        };
        let due = self.next_sequence();
        order("first_sequence", entry.first_sequence, due, entry.first_sequence == due)?;
        let time = last.timestamp_ns;
        order("timestamp_ns", entry.timestamp_ns, time, entry.timestamp_ns >= time)?;
        order("epoch", entry.epoch, last.epoch, entry.epoch >= last.epoch)?;
        let len = payload_len(parts)?;
        let max = self.payload_len_max();
        if len > max { Err(AppendError::TooLarge { len, max }) } else { Ok(len) }
    }

    /// Seals and rolls when the record and a later seal do not both fit.
    fn make_room(&mut self, len: u64) -> Result<(), AppendError> {
        if !self.sealed && self.end + len + BLOCK <= self.live.len {
            return Ok(());
        }
        let full = AppendError::Full { needed: self.segment + 1 };
        if !self.shared.has_ready() {
            return Err(full);
        }
        if !self.sealed {
            self.seal().map_err(|e| {
                self.shared.poison();
                AppendError::Storage(e)
            })?;
        }
        let Some((number, live)) = self.shared.take_ready() else {
            return Err(full);
        };
        self.shared.retire(std::mem::replace(&mut self.live, live));
        self.segment = number;
        self.end = 0;
        self.sealed = false;
        Ok(())
    }

    fn seal(&mut self) -> Result<(), StorageError> {
        let last = &self.tip.header;
        let entry = Entry {
            kind: Kind::Seal,
            rules: last.rules,
            epoch: last.epoch,
            leader: last.leader,
            first_sequence: last.next_sequence(),
            commands: 0,
            timestamp_ns: last.timestamp_ns,
            settled_sequence: last.settled_sequence,
            executed_sequence: last.executed_sequence,
            run_digest: last.run_digest,
        };
        self.write(&entry, &[], 0)?;
        self.sealed = true;
        Ok(())
    }

    fn write(
        &mut self,
        entry: &Entry,
        parts: &[&[u8]],
        payload_len: u64,
    ) -> Result<Appended, StorageError> {
        let offset = self.end;
        let end = offset + record_len(payload_len);
        assert!(end <= self.live.len, "a record lies inside its segment");
        let writer = &mut *self.live.writer;
        writer.begin(offset, end - offset)?;
        let mut header = self.tip.follow(entry, payload_len, self.shared.durable());
        header.segment = self.segment;
        header.offset = offset;
        header.payload_hash =
            self.stage.copy_and_hash(writer, offset + HEADER_LEN, parts, payload_len)?;
        header.hash = header.computed_hash();
        writer.write(offset, header.as_bytes())?;
        writer.finish();
        self.shared.note_appended(self.segment, &self.live.sync, offset, end, header.index);
        self.shared.set_room(self.live.len - end);
        self.end = end;
        self.tip.header = header;
        let (index, segment, hash) = (header.index, header.segment, header.hash);
        Ok(Appended { index, segment, offset, end, hash })
    }
}

/// The whole of a journal's first record, for the first segment's head.
pub(crate) fn genesis_record(
    frame: u128,
    entry: &Entry,
    parts: &[&[u8]],
    payload_len: u64,
) -> (RecordHeader, Vec<u8>) {
    let before = RecordHeader { frame, ..RecordHeader::default() };
    let mut header = Tip { header: before }.follow(entry, payload_len, 0);
    header.segment = 1;
    let payload = parts.concat();
    header.payload_hash = *blake3::hash(&payload).as_bytes();
    header.hash = header.computed_hash();
    let mut record = header.as_bytes().to_vec();
    record.extend_from_slice(&payload);
    record.resize(header.record_len() as usize, 0);
    (header, record)
}

/// Longest payload of a record in a segment this long: a seal must always fit behind it.
pub(crate) fn payload_len_max(segment_len: u64) -> u64 {
    RECORD_LEN_MAX.min(segment_len.saturating_sub(BLOCK + HEADER_LEN))
}

pub(crate) fn payload_len(parts: &[&[u8]]) -> Result<u64, AppendError> {
    let mut sum = 0;
    for (part, bytes) in parts.iter().enumerate() {
        let len = bytes.len();
        if !(len as u64).is_multiple_of(PART_ALIGN) {
            return Err(AppendError::Part { part, len });
        }
        sum += len as u64;
    }
    Ok(sum)
}
