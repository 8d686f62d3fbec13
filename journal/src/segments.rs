//! Where segments begin: what the first block of each says, without reading any further.
//!
//! Refuses to guess: a first block that is no record of that segment is no beginning. Invariant:
//! the segments listed have no gap; they begin at 1, or where retention has left off.

use std::sync::Arc;

use crate::error::{ReadError, RecoverError};
use crate::flaw::{Due, Flaw};
use crate::format::{BLOCK, FORMAT, RecordHeader};
use crate::scan::{Depth, Scanner, Witness, parse_block};
use crate::storage::{Source, Storage, StorageError};

/// A segment that holds records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub number: u64,
    /// Its length.
    pub bytes: u64,
    /// Header of its first record; only the header is verified.
    pub first: RecordHeader,
}

/// The segments that hold records, oldest first. One that does not begin with a record of its own
/// is left out: the prepared one, or one that is damaged.
///
/// # Errors
/// When there is no journal, a segment between others is missing, or the disk refuses.
pub fn segments(storage: &dyn Storage) -> Result<Vec<Segment>, ReadError> {
    let mut found = Vec::new();
    for number in numbers(storage)? {
        match beginning(storage, number, Source::Cache) {
            Ok((bytes, Ok(first))) => found.push(Segment { number, bytes, first }),
            Ok((_, Err(_))) => {}
            Err(error) => unless_retired(storage, number, error)?,
        }
    }
    Ok(found)
}

/// Header of the first record that the journal still holds.
///
/// # Errors
/// When there is no journal, or its oldest segment does not begin with a record.
pub fn first_record(storage: &dyn Storage) -> Result<RecordHeader, ReadError> {
    let number = numbers(storage)?[0];
    let (_, first) = beginning(storage, number, Source::Cache)?;
    first.map_err(|flaw| no_beginning(storage, number, flaw))
}

/// Index up to which the records of a journal, which may be running, are durable as far as its
/// last segment says. Nothing behind that record is judged.
///
/// # Errors
/// When there is no journal, a segment between others is missing, or the disk refuses.
pub fn durable_seen(storage: Arc<dyn Storage>) -> Result<u64, ReadError> {
    let numbers = numbers(&*storage)?;
    let Some(last) = last_beginning(&*storage, &numbers)? else {
        return Ok(1);
    };
    // The genesis was durable before the journal had its name.
    Ok(last_witness(&storage, &last)?.durable_index.max(1))
}

/// The first record of the newest segment that begins with one.
pub(crate) fn last_beginning(
    storage: &dyn Storage,
    numbers: &[u64],
) -> Result<Option<RecordHeader>, ReadError> {
    for &number in numbers.iter().rev() {
        if let (_, Ok(first)) = beginning(storage, number, Source::Cache)? {
            return Ok(Some(first));
        }
    }
    Ok(None)
}

/// The record that says most about what is durable: the last one whose header verifies in the
/// segment that begins with `first`.
pub(crate) fn last_witness(
    storage: &Arc<dyn Storage>,
    first: &RecordHeader,
) -> Result<Witness, ReadError> {
    let mut scanner = Scanner::new(
        Arc::clone(storage),
        vec![first.segment],
        Due::at(first),
        Source::Cache,
        Depth::Headers,
        u32::MAX,
    );
    let mut last = *first;
    while scanner.advance()? {
        last = *scanner.header();
    }
    let file = storage.name(last.segment);
    Ok(Witness { file, offset: last.offset, durable_index: last.durable_index })
}

/// The segments' numbers without gaps, from the oldest that is kept.
pub(crate) fn numbers(storage: &dyn Storage) -> Result<Vec<u64>, RecoverError> {
    let mut numbers = storage.list()?;
    if gap(&numbers).is_some() {
        // A listing may show a segment that retention removed meanwhile, and not the next one.
        numbers = storage.list()?;
    }
    if let Some(number) = gap(&numbers) {
        return Err(RecoverError::MissingSegment { file: storage.name(number) });
    }
    if numbers.is_empty() {
        return Err(RecoverError::NoJournal { place: storage.name(1) });
    }
    Ok(numbers)
}

/// The first number that is missing between others.
fn gap(numbers: &[u64]) -> Option<u64> {
    let after = |pair: &[u64]| Some(pair[0].saturating_add(1)).filter(|next| *next != pair[1]);
    numbers.windows(2).find_map(after)
}

/// A segment's length, and its first header or what is there instead.
pub(crate) fn beginning(
    storage: &dyn Storage,
    number: u64,
    source: Source,
) -> Result<(u64, Result<RecordHeader, Flaw>), StorageError> {
    let file = storage.open_read(number, source)?;
    if file.len() < BLOCK {
        return Ok((file.len(), Err(Flaw::NoSeal)));
    }
    let mut block = [0; BLOCK as usize];
    file.read_at(0, &mut block)?;
    let first = parse_block(&block).and_then(|header| match header {
        h if h.format > FORMAT => Err(Flaw::Format(h.format)),
        h if h.segment != number => Err(Flaw::Segment(h.segment)),
        h if h.offset != 0 => Err(Flaw::Offset(h.offset)),
        _ => Ok(header),
    });
    Ok((file.len(), first))
}

/// Why a segment that must begin with a record does not.
pub(crate) fn no_beginning(storage: &dyn Storage, number: u64, flaw: Flaw) -> RecoverError {
    let file = storage.name(number);
    match flaw {
        Flaw::Format(found) => RecoverError::Newer {
            file,
            offset: 0,
            what: "format",
            found: found.into(),
            known: FORMAT.into(),
        },
        Flaw::Segment(found) => RecoverError::SwappedSegment { file, found, expected: number },
        _ if number == 1 => RecoverError::NoGenesis { file, flaw },
        _ => RecoverError::NoBeginning { file, flaw },
    }
}

/// Where a reading begins.
pub(crate) struct Start {
    /// Segments to be read.
    pub(crate) numbers: Vec<u64>,
    /// First record of the first of them.
    pub(crate) due: Due,
}

/// Begins with the last segment whose first record is `index` or before it; those before are not
/// opened. A beginning behind segment 1 is taken on trust.
pub(crate) fn start(
    storage: &dyn Storage,
    mut numbers: Vec<u64>,
    index: u64,
    source: Source,
) -> Result<Start, RecoverError> {
    let oldest = numbers[0];
    if oldest == 1 && index <= 1 {
        return Ok(Start { numbers, due: Due::GENESIS });
    }
    for at in (0..numbers.len()).rev() {
        let number = numbers[at];
        match beginning(storage, number, source)?.1 {
            // The genesis is given, and judged by the scan.
            _ if number == 1 => break,
            Ok(first) if first.index <= index => {
                let due = Due::at(&first);
                numbers.drain(..at);
                return Ok(Start { numbers, due });
            }
            Ok(RecordHeader { index: first_index, .. }) if at == 0 => {
                let file = storage.name(number);
                return Err(RecoverError::Shortened { file, first_index });
            }
            Err(flaw) if at == 0 => return Err(no_beginning(storage, number, flaw)),
            _ => {}
        }
    }
    Ok(Start { numbers, due: Due::GENESIS })
}

/// Passes over a segment that retention has removed since it was listed; any other error stays.
pub(crate) fn unless_retired(
    storage: &dyn Storage,
    number: u64,
    error: StorageError,
) -> Result<(), StorageError> {
    let is_gone = matches!(error, StorageError::Absent { .. })
        && storage.list()?.first().is_some_and(|&oldest| oldest > number);
    if is_gone { Ok(()) } else { Err(error) }
}
