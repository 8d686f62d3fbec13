//! The past of a frame, which may be running: a replay from the right snapshot to any place, the
//! record at which a sequence ends, the postings of a range.
//!
//! It reads only what its caller knows to be durable, writes nothing and takes no lock. Invariant:
//! a replay begins with the genesis record or with a snapshot whose record the journal confirms.

use std::ops::ControlFlow;
use std::sync::Arc;

use engine::{Engine, Options};
use journal::{Kind, ReadError, Reader, RecordHeader, RecoverError, Storage, StorageError};
use protocol::Sequence;
use protocol::effect::Effect;
use snapshot::{Catalogue, SnapshotError};

use crate::assemble::Boundary;
use crate::images::{Refused, Taken, choose};
use crate::limits::{EFFECTS_PER_BLOCK, LOOKS_MAX};
use crate::recovery::{begin, tell};
use crate::replayer::{ReplayError, Replayer, Step};

/// Why the past cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PastError {
    /// The snapshots cannot be listed.
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Neither the journal nor a snapshot reaches back that far.
    #[error(
        "the journal begins with record {index}, sequence {first}, and sequence {wanted} needs a \
         snapshot before it: {}; restore one, or the segments before", tell(.refused)
    )]
    Gone {
        /// First record that is kept.
        index: u64,
        /// Its first sequence.
        first: Sequence,
        /// Where the replay has to stand.
        wanted: Sequence,
        /// What was tried.
        refused: Vec<Refused>,
    },
    /// The engine did not keep what it posted, so that not all can be told.
    #[error("the postings through sequence {last} were not kept by the replay; report this")]
    NoPostings {
        /// The last sequence replayed.
        last: Sequence,
    },
    /// What is durable ends before that.
    #[error("what is durable ends with sequence {last}, and {wanted} is wanted; ask again later")]
    Ends {
        /// The last sequence.
        last: Sequence,
        /// The one asked for.
        wanted: Sequence,
    },
}

impl PastError {
    /// Whether retention may have removed what was looked at just now.
    pub(crate) const fn may_have_moved(&self) -> bool {
        matches!(
            self,
            Self::Gone { .. }
                | Self::Read(
                    RecoverError::Shortened { .. }
                        | RecoverError::Storage(StorageError::Absent { .. })
                )
        )
    }
}

/// What a journal holds at the end of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one is made at a time, and it stays on the stack")]
pub enum Met {
    /// The record of commands that ends there, or the genesis record.
    Record(RecordHeader),
    /// No record ends there: it lies within one.
    Inside,
    /// The journal ends before it.
    Ahead,
    /// The journal no longer holds it.
    Gone {
        /// First sequence behind the records that are kept whole.
        first: Sequence,
    },
}

/// The past of one frame; clones share it.
#[derive(Clone)]
pub struct Past {
    storage: Arc<dyn Storage>,
    catalogue: Arc<Catalogue>,
}

impl Past {
    /// Of the frame that lies there.
    #[must_use]
    pub const fn new(storage: Arc<dyn Storage>, catalogue: Arc<Catalogue>) -> Self {
        Self { storage, catalogue }
    }

    /// The snapshots.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The journal.
    #[must_use]
    pub const fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// A replay that stands at or before `sequence`: behind the newest snapshot there that can be
    /// used, else behind the genesis record. The records behind it through `until`, which are
    /// durable, come next.
    ///
    /// # Errors
    ///
    /// [`PastError::Gone`] when nothing reaches back that far, or what the disk refused.
    pub fn replay_from(
        &self,
        sequence: Sequence,
        options: Options,
        until: u64,
    ) -> Result<Replay, PastError> {
        for _ in 1..LOOKS_MAX {
            match self.look(sequence, options, until) {
                Err(error) if error.may_have_moved() => {}
                looked => return looked,
            }
        }
        self.look(sequence, options, until)
    }

    fn look(&self, wanted: Sequence, options: Options, until: u64) -> Result<Replay, PastError> {
        let oldest = journal::first_record(&*self.storage)?;
        let choice = choose(&self.catalogue, options, |meta| {
            // A state is met by the first record that is kept, or by the one before it.
            meta.is_met_by(oldest.index) && meta.sequence <= wanted && meta.index <= until
        })?;
        for Refused { name, error } in &choice.refused {
            tracing::warn!(snapshot = name, %error, "a snapshot cannot be used");
        }
        if choice.image.is_none() && oldest.index > 1 {
            let (index, first) = (oldest.index, Sequence(oldest.first_sequence));
            return Err(PastError::Gone { index, first, wanted, refused: choice.refused });
        }
        let (replayer, snapshot) = begin(options, choice.image);
        // The snapshot's own record is read too, if it is kept, and confirms it.
        let from = snapshot.as_ref().map_or(1, |taken| taken.meta.index.max(oldest.index));
        let reader = Reader::open_range(Arc::clone(&self.storage), from, until)?;
        let storage = Arc::clone(&self.storage);
        let mut replay = Replay { storage, replayer, reader, snapshot, read_index: from - 1 };
        replay.confirm(oldest.index)?;
        Ok(replay)
    }

    /// The record that ends right before `next_sequence`, among those through `until`; only headers
    /// are verified.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn boundary_at(&self, next_sequence: Sequence, until: u64) -> Result<Met, PastError> {
        for _ in 1..LOOKS_MAX {
            match self.find(next_sequence.0, until) {
                Err(error) if error.may_have_moved() => {}
                found => return found,
            }
        }
        self.find(next_sequence.0, until)
    }

    fn find(&self, wanted: u64, until: u64) -> Result<Met, PastError> {
        let oldest = journal::first_record(&*self.storage)?;
        let first = Sequence(oldest.first_sequence);
        if oldest.index > 1 && oldest.first_sequence >= wanted {
            return Ok(Met::Gone { first });
        }
        let segments = journal::segments(&*self.storage)?;
        // It lies in the last segment that begins before it.
        let begins = segments.iter().rev().find(|one| one.first.first_sequence < wanted);
        let from = begins.map_or(oldest.index, |one| one.first.index);
        let mut reader = Reader::open_headers(Arc::clone(&self.storage), from, until)?;
        while let Some((header, _)) = reader.next()? {
            let next = header.next_sequence();
            let is_boundary = matches!(header.kind(), Some(Kind::Genesis | Kind::Commands));
            if next == wanted && is_boundary {
                return Ok(Met::Record(*header));
            }
            if next > wanted {
                return Ok(Met::Inside);
            }
        }
        Ok(Met::Ahead)
    }

    /// Hands over the effects of every sequence in `after < sequence ≤ through` that is durable
    /// with record `until`, in order and in blocks, until all are told or `write` breaks off.
    ///
    /// # Errors
    ///
    /// As [`Self::replay_from`], the first record that cannot be replayed, or that there is no such
    /// sequence: then what `write` was given is not all.
    pub fn effects<B>(
        &self,
        after: Sequence,
        through: Sequence,
        until: u64,
        write: &mut dyn FnMut(&[Effect]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, PastError> {
        let options = Options { history: true, effects_max: usize::MAX };
        let mut replay = self.replay_from(after, options, until)?;
        let base = replay.snapshot().map_or("genesis", |taken| &taken.name);
        tracing::info!(%after, %through, base, "rebuilding postings, with an engine of their own");
        let mut block: Vec<Effect> = Vec::new();
        while replay.executed() < through && replay.next(|_| ())?.is_some() {
            let executed = replay.executed();
            let engine = replay.engine_mut();
            if executed <= after {
                engine.discard_changes();
                continue;
            }
            let Some(postings) = engine.postings() else {
                return Err(PastError::NoPostings { last: executed });
            };
            let is_wanted =
                |effect: &&Effect| after.0 < effect.sequence && effect.sequence <= through.0;
            block.extend(postings.iter().filter(is_wanted));
            engine.discard_changes();
            if block.len() >= EFFECTS_PER_BLOCK {
                let wrote = write(&block);
                if wrote.is_break() {
                    return Ok(wrote);
                }
                block.clear();
            }
        }
        let last = replay.executed();
        if last < through {
            return Err(PastError::Ends { last, wanted: through });
        }
        Ok(if block.is_empty() { ControlFlow::Continue(()) } else { write(&block) })
    }
}

/// A replay under way. It always has an engine, and stands behind the last record that it showed.
pub struct Replay {
    storage: Arc<dyn Storage>,
    replayer: Replayer,
    reader: Reader,
    snapshot: Option<Taken>,
    /// Index of the last record that was read.
    read_index: u64,
}

impl Replay {
    /// Replays the next record, showing each of its requests to `visit`; `None` at the end.
    ///
    /// # Errors
    ///
    /// Why the record cannot be read or replayed; nothing may be replayed after that.
    pub fn next(
        &mut self,
        visit: impl FnMut(Step<'_>),
    ) -> Result<Option<&RecordHeader>, PastError> {
        self.next_through(Sequence(u64::MAX), visit)
    }

    /// The same for the commands of the record through `through`, and to the end of the chain that
    /// this one belongs to: [`Replayer::apply_through`].
    ///
    /// # Errors
    ///
    /// As [`Self::next`].
    pub fn next_through(
        &mut self,
        through: Sequence,
        visit: impl FnMut(Step<'_>),
    ) -> Result<Option<&RecordHeader>, PastError> {
        let Some((header, payload)) = self.reader.next()? else {
            return Ok(None);
        };
        if let Some(taken) = &self.snapshot {
            check(&*self.storage, taken, header)?;
        }
        self.replayer.apply_through(header, payload, through, visit)?;
        self.read_index = header.index;
        Ok(Some(header))
    }

    /// May read the records through `until`, which are durable, from now on.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub fn go_on(&mut self, until: u64) -> Result<(), PastError> {
        Ok(self.reader.extend(until)?)
    }

    /// Reads the record behind which the replay begins, if it is kept.
    fn confirm(&mut self, oldest: u64) -> Result<(), PastError> {
        let Some(taken) = &self.snapshot else {
            if let Some((header, payload)) = self.reader.next()? {
                self.replayer.apply(header, payload, |_| ())?;
                self.read_index = header.index;
            }
            // An empty range still has its genesis record.
            return match self.replayer.engine() {
                Some(_) => Ok(()),
                None => Err(ReplayError::NoGenesis { index: oldest }.into()),
            };
        };
        if oldest <= taken.meta.index
            && let Some((header, _)) = self.reader.next()?
        {
            check(&*self.storage, taken, header)?;
            self.read_index = header.index;
        }
        Ok(())
    }

    /// The engine as of the last record.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        self.replayer.engine().expect("a replay begins with an engine")
    }

    /// The same, to open cuts on or to tell what is settled.
    #[must_use]
    pub fn engine_mut(&mut self) -> &mut Engine {
        self.replayer.engine_mut().expect("a replay begins with an engine")
    }

    /// The same, to go on under other parameters: [`Replayer::alter`].
    #[must_use]
    pub const fn replayer_mut(&mut self) -> &mut Replayer {
        &mut self.replayer
    }

    /// Last sequence executed.
    #[must_use]
    pub fn executed(&self) -> Sequence {
        self.engine().executed()
    }

    /// The last record of commands, or the genesis record.
    #[must_use]
    pub const fn boundary(&self) -> Boundary {
        self.replayer.boundary()
    }

    /// Its index.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.replayer.index()
    }

    /// Index of the last record that was read, whatever its kind.
    #[must_use]
    pub const fn read_index(&self) -> u64 {
        self.read_index
    }

    /// The snapshot behind which it began; `None`: the genesis record.
    #[must_use]
    pub const fn snapshot(&self) -> Option<&Taken> {
        self.snapshot.as_ref()
    }

    /// The replay and the records that it has not replayed.
    #[must_use]
    pub fn into_parts(self) -> (Replayer, Reader) {
        (self.replayer, self.reader)
    }
}

/// Whether a record at the snapshot's place, or the one behind it, agrees with the snapshot.
fn check(storage: &dyn Storage, taken: &Taken, header: &RecordHeader) -> Result<(), PastError> {
    let meta = &taken.meta;
    let is_same = match header.index {
        index if index == meta.index => header.hash == meta.chain_hash,
        index if index == meta.index.saturating_add(1) => header.previous_hash == meta.chain_hash,
        _ => true,
    };
    if is_same {
        return Ok(());
    }
    let (file, offset) = (storage.name(header.segment), header.offset);
    Err(RecoverError::OtherHistory { file, offset, index: meta.index }.into())
}
