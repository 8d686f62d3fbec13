//! Walking the chain through the segments, verifying every byte, up to the first flaw.
//!
//! Refuses to step over a flaw. Invariant: a record is yielded only when its own hash, its place,
//! its payload, its padding and its link to the record before are right; what lies behind the
//! first flaw is searched only for evidence, never yielded.

use std::sync::Arc;

use crate::error::{Damage, Evidence, RecoverError};
use crate::flaw::{Due, Flaw};
use crate::format::{BLOCK, FORMAT, FormatError, HEADER_LEN, Kind, RecordHeader};
use crate::storage::{SegmentRead, Source, Storage, StorageError};

/// Read ahead for small records.
const READ_LEN: u64 = 1024 * 1024;

const ZERO_BLOCK: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// Where the chain ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// The segment is in the list; otherwise it is the one after the last, sealed, one.
    pub(crate) exists: bool,
    pub(crate) flaw: Flaw,
    pub(crate) due: Due,
}

/// How much of a record is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    Whole,
    /// Headers only: payload and padding are not looked at.
    Headers,
}

pub(crate) struct Scanner {
    storage: Arc<dyn Storage>,
    source: Source,
    depth: Depth,
    rules_max: u32,
    /// Numbers not yet begun, in order.
    numbers: Vec<u64>,
    open: Option<Open>,
    next: usize,
    due: Due,
    header: RecordHeader,
    payload: (usize, usize),
    end: Option<End>,
}

struct Open {
    number: u64,
    offset: u64,
    file: Box<dyn SegmentRead>,
    buffer: Vec<u8>,
    /// Place in the file of the buffer's first byte.
    buffered_from: u64,
}

impl Open {
    /// Position in the buffer of `len` bytes at `offset`, which lie in the file.
    fn ensure(&mut self, offset: u64, len: u64) -> Result<usize, StorageError> {
        let end = self.buffered_from + self.buffer.len() as u64;
        if offset < self.buffered_from || offset + len > end {
            let want = len.max(READ_LEN).min(self.file.len() - offset);
            self.buffer.resize(want as usize, 0);
            self.buffered_from = offset;
            if let Err(error) = self.file.read_at(offset, &mut self.buffer) {
                self.buffer.clear();
                return Err(error);
            }
        }
        Ok((offset - self.buffered_from) as usize)
    }
}

impl Scanner {
    /// Walks `numbers` (without gaps) from the record that is `due` at the first one's start.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        numbers: Vec<u64>,
        due: Due,
        source: Source,
        depth: Depth,
        rules_max: u32,
    ) -> Self {
        Self {
            storage,
            source,
            depth,
            rules_max,
            numbers,
            open: None,
            next: 0,
            due,
            header: RecordHeader::default(),
            payload: (0, 0),
            end: None,
        }
    }

    pub(crate) const fn header(&self) -> &RecordHeader {
        &self.header
    }

    pub(crate) const fn due(&self) -> &Due {
        &self.due
    }

    /// The segment begun last; the first one before any.
    pub(crate) fn segment(&self) -> u64 {
        self.numbers[self.next.saturating_sub(1)]
    }

    /// The payload of the last record; empty when only headers are read.
    pub(crate) fn payload(&self) -> &[u8] {
        self.open.as_ref().map_or(&[], |o| &o.buffer[self.payload.0..self.payload.1])
    }

    /// The next record: `true`, or where the chain ends: `false`, then see [`Self::end`].
    pub(crate) fn advance(&mut self) -> Result<bool, StorageError> {
        if self.end.is_some() {
            return Ok(false);
        }
        let sealed = self.header.kind == Kind::Seal as u16;
        if (self.open.is_none() || sealed) && !self.open_next()? {
            return Ok(false);
        }
        let Some(open) = &mut self.open else {
            return Ok(false);
        };
        let (number, offset) = (open.number, open.offset);
        match read_record(open, &self.due, self.depth, self.rules_max)? {
            Ok((header, payload)) => {
                self.header = header;
                self.payload = payload;
                self.due = Due::after(&header);
                open.offset += header.record_len();
                Ok(true)
            }
            Err(flaw) => {
                self.payload = (0, 0);
                let due = self.due;
                self.end = Some(End { segment: number, offset, exists: true, flaw, due });
                Ok(false)
            }
        }
    }

    fn open_next(&mut self) -> Result<bool, StorageError> {
        let Some(&number) = self.numbers.get(self.next) else {
            let segment = self.numbers.last().map_or(1, |last| last.saturating_add(1));
            let (flaw, due) = (Flaw::Blank, self.due);
            self.end = Some(End { segment, offset: 0, exists: false, flaw, due });
            return Ok(false);
        };
        self.next += 1;
        let file = self.storage.open_read(number, self.source)?;
        let buffer = self.open.take().map_or_else(Vec::new, |o| o.buffer);
        let mut open = Open { number, offset: 0, file, buffer, buffered_from: 0 };
        open.buffer.clear();
        self.open = Some(open);
        self.payload = (0, 0);
        Ok(true)
    }

    /// The segments through `newest` are there by now, and what was read ahead may have changed. An
    /// end that was met stays one.
    pub(crate) fn extend(&mut self, newest: u64) {
        let known = self.numbers.last().map_or(0, |last| last.saturating_add(1));
        self.numbers.extend(known..=newest);
        if let Some(open) = &mut self.open {
            let read = open.offset.saturating_sub(open.buffered_from);
            open.buffer.truncate(usize::try_from(read).unwrap_or(usize::MAX));
        }
    }

    pub(crate) const fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    pub(crate) const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Looks behind the end for anything not zero and for records that prove it durable.
    pub(crate) fn search_behind(&self, end: &End) -> Result<Behind, StorageError> {
        let mut behind = Behind { dirty: Vec::new(), witness: None };
        let segments = self.numbers.iter().copied().filter(|&n| n >= end.segment);
        for number in segments {
            let from = if number == end.segment { end.offset } else { 0 };
            let file = self.storage.open_read(number, self.source)?;
            let dirty = search_segment(&*file, from, end, &mut behind.witness, || {
                self.storage.name(number)
            })?;
            if dirty > 0 {
                behind.dirty.push((number, dirty));
            }
        }
        Ok(behind)
    }

    /// Turns an end that is no torn tail into its error; `floor` is what is known from outside.
    pub(crate) fn judge(
        &self,
        end: &End,
        behind: &Behind,
        floor: u64,
        expected_frame: Option<u128>,
    ) -> Result<(), RecoverError> {
        let file = self.storage.name(end.segment);
        let due = &end.due;
        let newer = |what, found, known| RecoverError::Newer {
            file: file.clone(),
            offset: end.offset,
            what,
            found,
            known,
        };
        match end.flaw {
            Flaw::Format(found) => return Err(newer("format", found.into(), FORMAT.into())),
            Flaw::Rules(found) => return Err(newer("rules", found, self.rules_max)),
            Flaw::Frame(found) => {
                let expected = due.frame.or(expected_frame).unwrap_or_default();
                return Err(RecoverError::WrongFrame { file, found, expected });
            }
            Flaw::Segment(found) if end.offset == 0 => {
                let expected = end.segment;
                return Err(RecoverError::SwappedSegment { file, found, expected });
            }
            flaw if due.index == 1 => return Err(RecoverError::NoGenesis { file, flaw }),
            _ => {}
        }
        let witness = behind.witness.clone().filter(|w| w.durable_index >= due.index);
        let evidence = if !end.flaw.may_be_torn() {
            Evidence::Flaw
        } else if let Some(w) = witness {
            Evidence::Record { file: w.file, offset: w.offset, durable_index: w.durable_index }
        } else if floor >= due.index {
            Evidence::Floor { durable_index: floor }
        } else {
            return Ok(());
        };
        let (offset, index, sequence) = (end.offset, due.index, due.sequence);
        let damage = Damage { file, offset, index, sequence, flaw: end.flaw, evidence };
        Err(RecoverError::Corrupt(Box::new(damage)))
    }
}

/// What lies behind the end of the chain.
pub(crate) struct Behind {
    /// Segments with blocks that are not zero, and how many.
    pub(crate) dirty: Vec<(u64, u64)>,
    /// The valid record with the highest durable index.
    pub(crate) witness: Option<Witness>,
}

#[derive(Clone)]
pub(crate) struct Witness {
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) durable_index: u64,
}

/// The header with which a block begins, or what is there instead.
pub(crate) fn parse_block(block: &[u8]) -> Result<RecordHeader, Flaw> {
    RecordHeader::parse(block).map_err(|error| match error {
        FormatError::Hash => Flaw::HeaderHash,
        _ if block == ZERO_BLOCK => Flaw::Blank,
        _ => Flaw::Magic,
    })
}

type Verified = Result<(RecordHeader, (usize, usize)), Flaw>;

fn read_record(
    open: &mut Open,
    due: &Due,
    depth: Depth,
    rules_max: u32,
) -> Result<Verified, StorageError> {
    let (offset, len) = (open.offset, open.file.len());
    if offset + BLOCK > len {
        return Ok(Err(Flaw::NoSeal));
    }
    let at = open.ensure(offset, BLOCK)?;
    let block = &open.buffer[at..at + BLOCK as usize];
    let header = match parse_block(block) {
        Ok(header) => header,
        Err(flaw) => return Ok(Err(flaw)),
    };
    if let Err(flaw) = due.check(&header, (open.number, offset), rules_max) {
        return Ok(Err(flaw));
    }
    if offset + header.record_len() > len {
        return Ok(Err(Flaw::Field("payload_len")));
    }
    if depth == Depth::Headers {
        return Ok(Ok((header, (0, 0))));
    }
    let at = open.ensure(offset, header.record_len())?;
    let record = &open.buffer[at..at + header.record_len() as usize];
    let payload_end = (HEADER_LEN + u64::from(header.payload_len)) as usize;
    let payload = &record[HEADER_LEN as usize..payload_end];
    if *blake3::hash(payload).as_bytes() != header.payload_hash {
        return Ok(Err(Flaw::PayloadHash));
    }
    if record[payload_end..].iter().any(|&b| b != 0) {
        return Ok(Err(Flaw::Padding));
    }
    Ok(Ok((header, (at + HEADER_LEN as usize, at + payload_end))))
}

/// Counts blocks that are not zero; keeps the valid header with the highest durable index,
/// wherever it says it belongs: a displaced record proves as much as one in place.
fn search_segment(
    file: &dyn SegmentRead,
    from: u64,
    end: &End,
    witness: &mut Option<Witness>,
    name: impl Fn() -> String,
) -> Result<u64, StorageError> {
    let mut buffer = vec![0; READ_LEN as usize];
    let mut dirty = 0;
    let mut offset = from;
    while offset < file.len() {
        let len = READ_LEN.min(file.len() - offset) as usize;
        file.read_at(offset, &mut buffer[..len])?;
        for (block, at) in buffer[..len].chunks(BLOCK as usize).zip((offset..).step_by(4096)) {
            if block == &ZERO_BLOCK[..block.len()] {
                continue;
            }
            dirty += 1;
            let Ok(header) = RecordHeader::parse(block) else {
                continue;
            };
            let ours = end.due.frame.is_none_or(|frame| frame == header.frame)
                && header.durable_index < header.index;
            let best = witness.as_ref().is_none_or(|w| header.durable_index > w.durable_index);
            if ours && best {
                let durable_index = header.durable_index;
                *witness = Some(Witness { file: name(), offset: at, durable_index });
            }
        }
        offset += len as u64;
    }
    Ok(dirty)
}
