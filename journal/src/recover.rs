//! Making a journal, finding it again, and handing out its three ends.
//!
//! Refuses to make one over anything, and to shorten one below what a later record or the caller
//! knows to have been durable. Invariant: when recovery returns, the medium holds exactly the
//! records it reported, then zeros.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::append::{AppendError, Appender, Entry, genesis_record, payload_len, payload_len_max};
use crate::base::Base;
use crate::error::RecoverError;
use crate::flaw::Flaw;
use crate::format::{BLOCK, Kind, RecordHeader};
use crate::prepare::Preparer;
use crate::scan::{Behind, Depth, End, Scanner};
use crate::segments::{Start, no_beginning, numbers, start};
use crate::shared::{Shared, Watermarks};
use crate::storage::{Live, Source, Storage, StorageError};
use crate::sync::Syncer;
use crate::{SEGMENT_SIZE_DEFAULT, SEGMENT_SIZE_MIN};

/// Local settings; none of them can change what a record means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of each segment made from now on; existing ones keep theirs.
    pub segment_size: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { segment_size: SEGMENT_SIZE_DEFAULT }
    }
}

impl Config {
    fn checked_size(self) -> u64 {
        assert!(
            self.segment_size >= SEGMENT_SIZE_MIN && self.segment_size.is_multiple_of(BLOCK),
            "segment_size is at least {SEGMENT_SIZE_MIN} and a multiple of {BLOCK}; check it \
             where the configuration is read"
        );
        self.segment_size
    }
}

/// What is known from outside about a journal that is to be recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The frame it must be of.
    pub frame: Option<u128>,
    /// Index known to have been durable (SQL, a peer, a snapshot); 0 = nothing known.
    pub durable_index_floor: u64,
    /// Sequence known to have been durable, for those who count commands; 0 = nothing known.
    pub durable_sequence_floor: u64,
    /// Newest version of the money rules that the caller knows.
    pub rules_max: u32,
    /// The record behind which the caller goes on, durable therefore; without it, record 1 must
    /// be there.
    pub base: Option<Base>,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            frame: None,
            durable_index_floor: 0,
            durable_sequence_floor: 0,
            rules_max: u32::MAX,
            base: None,
        }
    }
}

/// A tail that an interrupted write had left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// File in which the chain ended.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// Record that was due there.
    pub index: u64,
    /// What was there.
    pub flaw: Flaw,
    /// Blocks that were not zero there and behind, all wiped or removed.
    pub blocks: u64,
}

/// What recovery found and did.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The first record read: without a base the genesis, else the first of the base's segment.
    pub first: RecordHeader,
    /// The last record; every record up to it is durable.
    pub last: RecordHeader,
    /// Sequence that the next command gets.
    pub next_sequence: u64,
    /// Segments that were read and hold records.
    pub segments: u64,
    /// Records behind the base, seals included.
    pub records: u64,
    /// Commands in them.
    pub commands: u64,
    /// Bytes of them, padding included.
    pub bytes: u64,
    /// The torn tail, if there was one.
    pub truncated: Option<Truncated>,
}

/// Why a journal was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The first record must be a genesis with sequence 1.
    #[error("the first record must be of kind genesis with first_sequence 1; build it so")]
    NotGenesis,
    /// The genesis payload cannot be a record.
    #[error("the genesis record is refused: {0}")]
    Payload(#[source] AppendError),
    /// The directory is not empty, is in use, or the disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Called with each verified record while a journal is recovered.
pub type Visitor<'a> =
    dyn FnMut(&RecordHeader, &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'a;

/// A journal, about to be split among the threads that drive it.
pub struct Journal {
    appender: Appender,
    syncer: Syncer,
    preparer: Preparer,
    shared: Arc<Shared>,
}

impl Journal {
    /// Makes a journal whose first record is `genesis`, durable on return.
    ///
    /// # Errors
    /// When the place is not empty or the disk refuses; then no journal exists.
    ///
    /// # Panics
    /// When `config` breaks its bounds.
    pub fn create(
        storage: Arc<dyn Storage>,
        config: Config,
        frame: u128,
        genesis: &Entry,
        parts: &[&[u8]],
    ) -> Result<Self, CreateError> {
        let size = config.checked_size();
        if genesis.kind != Kind::Genesis || genesis.first_sequence != 1 {
            return Err(CreateError::NotGenesis);
        }
        let len = payload_len(parts).map_err(CreateError::Payload)?;
        let max = payload_len_max(size);
        if len > max {
            return Err(CreateError::Payload(AppendError::TooLarge { len, max }));
        }
        storage.init()?;
        storage.lock()?;
        let (header, record) = genesis_record(frame, genesis, parts, len);
        storage.prepare(1, size, &record, &|_| ControlFlow::Continue(()))?;
        let live = storage.open_live(1)?;
        Ok(Self::assemble(storage, size, header, (1, live, header.record_len()), None))
    }

    /// Finds a journal again after any stop, verifies it, and removes a torn tail. With a base,
    /// segments before the base's are not opened.
    ///
    /// # Errors
    /// See [`RecoverError`]; then nothing was changed, except when the disk failed meanwhile.
    ///
    /// # Panics
    /// When `config` breaks its bounds.
    pub fn recover(
        storage: Arc<dyn Storage>,
        config: Config,
        expect: Expect,
    ) -> Result<(Self, Recovery), RecoverError> {
        Self::recover_with(storage, config, expect, &mut |_, _| Ok(()))
    }

    /// The same, showing each verified record behind the base to `visit` in passing, so that a
    /// replay needs no second reading. What was shown counts only when recovery succeeds.
    ///
    /// # Errors
    /// As [`Self::recover`], or when the visitor refuses.
    ///
    /// # Panics
    /// When `config` breaks its bounds.
    pub fn recover_with(
        storage: Arc<dyn Storage>,
        config: Config,
        expect: Expect,
        visit: &mut Visitor<'_>,
    ) -> Result<(Self, Recovery), RecoverError> {
        let size = config.checked_size();
        storage.lock()?;
        let listed = numbers(&*storage)?;
        let Start { numbers, due } = match expect.base {
            Some(base) => base.start(&*storage, listed)?,
            None => start(&*storage, listed, 1, Source::Medium)?,
        };
        let base_index = expect.base.map_or(0, |base| base.index);
        let mut scanner = Scanner::new(
            Arc::clone(&storage),
            numbers.clone(),
            due,
            Source::Medium,
            Depth::Whole,
            expect.rules_max,
        );
        let mut recovery = None;
        while scanner.advance()? {
            let header = *scanner.header();
            check_frame(&*storage, &header, expect.frame)?;
            if let Some(base) = expect.base {
                base.check(&*storage, &header)?;
            }
            let is_behind = header.index > base_index;
            count(&mut recovery, &header, is_behind);
            if !is_behind {
                continue;
            }
            visit(&header, scanner.payload())
                .map_err(|source| RecoverError::Visitor { index: header.index, source })?;
        }
        let end = *scanner.end().expect("a scan that stopped has an end");
        let behind = scanner.search_behind(&end)?;
        scanner.judge(&end, &behind, floor(&expect, &end), expect.frame)?;
        // A base may be the last record before the oldest segment; then nothing is left of it.
        let Some(mut recovery) = recovery else {
            return Err(no_beginning(&*storage, end.segment, end.flaw));
        };
        recovery.truncated = clear_tail(&*storage, &numbers, &end, &behind)?;
        let journal = Self::resume(storage, size, &numbers, &end, recovery.last)?;
        Ok((journal, recovery))
    }

    /// Opens the live segment, and the next one if it lies ready.
    fn resume(
        storage: Arc<dyn Storage>,
        size: u64,
        numbers: &[u64],
        end: &End,
        last: RecordHeader,
    ) -> Result<Self, RecoverError> {
        let (number, offset) = if end.exists {
            (end.segment, end.offset)
        } else {
            (last.segment, last.offset + last.record_len())
        };
        let live = storage.open_live(number)?;
        let mut ready = None;
        if numbers.contains(&(number + 1)) && storage.list()?.contains(&(number + 1)) {
            // Made under another configuration: the size promised to the appender must hold.
            if storage.open_read(number + 1, Source::Cache)?.len() == size {
                ready = Some((number + 1, storage.open_live(number + 1)?));
            } else {
                storage.remove(number + 1)?;
            }
        }
        Ok(Self::assemble(storage, size, last, (number, live, offset), ready))
    }

    fn assemble(
        storage: Arc<dyn Storage>,
        size: u64,
        last: RecordHeader,
        live: (u64, Live, u64),
        ready: Option<(u64, Live)>,
    ) -> Self {
        let (number, Live { len, .. }, end) = &live;
        let shared = Arc::new(Shared::new(last.index, (*number, len - end), ready));
        let appender = Appender::new(Arc::clone(&shared), Arc::clone(&storage), last, live, size);
        let syncer = Syncer::new(Arc::clone(&shared));
        let preparer = Preparer::new(Arc::clone(&shared), storage, size);
        Self { appender, syncer, preparer, shared }
    }

    /// The journal's progress, for any thread.
    #[must_use]
    pub fn watermarks(&self) -> Watermarks {
        Watermarks(Arc::clone(&self.shared))
    }

    /// The three ends, one for each thread.
    #[must_use]
    pub fn split(self) -> (Appender, Syncer, Preparer) {
        (self.appender, self.syncer, self.preparer)
    }
}

/// What is known from outside, as an index: a sequence that is missing belongs to the record that
/// is due at the end, or to a later one.
fn floor(expect: &Expect, end: &End) -> u64 {
    let missing = expect.durable_sequence_floor >= end.due.sequence;
    let known = expect.durable_index_floor.max(expect.base.map_or(0, |base| base.index));
    known.max(if missing { end.due.index } else { 0 })
}

fn check_frame(
    storage: &dyn Storage,
    header: &RecordHeader,
    expected: Option<u128>,
) -> Result<(), RecoverError> {
    match expected {
        Some(expected) if expected != header.frame => {
            let file = storage.name(header.segment);
            Err(RecoverError::WrongFrame { file, found: header.frame, expected })
        }
        _ => Ok(()),
    }
}

fn count(recovery: &mut Option<Recovery>, header: &RecordHeader, is_behind: bool) {
    let recovery = recovery.get_or_insert_with(|| Recovery {
        first: *header,
        last: *header,
        next_sequence: 0,
        segments: 0,
        records: 0,
        commands: 0,
        bytes: 0,
        truncated: None,
    });
    recovery.last = *header;
    recovery.next_sequence = header.next_sequence();
    recovery.segments += u64::from(header.offset == 0);
    if is_behind {
        recovery.records += 1;
        recovery.commands += u64::from(header.commands);
        recovery.bytes += header.record_len();
    }
}

/// Removes what lies behind the end, durably, before anything new can be written there.
/// Later segments go first, so that a stop in between leaves no gap.
fn clear_tail(
    storage: &dyn Storage,
    numbers: &[u64],
    end: &End,
    behind: &Behind,
) -> Result<Option<Truncated>, RecoverError> {
    let is_dirty = |number| behind.dirty.iter().any(|&(n, _)| n == number);
    for &number in numbers.iter().rev().take_while(|&&n| n > end.segment) {
        if is_dirty(number) || number > end.segment + 1 {
            storage.remove(number)?;
        }
    }
    if behind.dirty.is_empty() {
        return Ok(None);
    }
    let file = storage.name(end.segment);
    let (offset, index, flaw) = (end.offset, end.due.index, end.flaw);
    let blocks = behind.dirty.iter().map(|&(_, blocks)| blocks).sum();
    tracing::warn!(%file, offset, index, %flaw, blocks, "an interrupted write is cut off");
    if end.exists && is_dirty(end.segment) {
        storage.wipe(end.segment, end.offset)?;
    }
    Ok(Some(Truncated { file, offset, index, flaw, blocks }))
}
