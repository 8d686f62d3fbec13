//! The Replayer: the one way from a journal to an engine, for recovery, audit and time travel.
//!
//! It trusts nothing it reads: rules, sequences, structure and digests are checked record by
//! record. It writes nothing. Invariant: after every record the engine stands where the one that
//! wrote the journal stood, or the replay has stopped with an error naming the record.

use std::collections::VecDeque;

use engine::{Engine, Options, PinError, RecordStart};
use journal::{Kind, Reader, RecordHeader};
use protocol::genesis::{Genesis, GenesisError, RULES};
use protocol::parameter::Parameter;
use protocol::reply::Outcomes;
use protocol::request::Commands;
use protocol::{Command, Request, Sequence};

use crate::assemble::Boundary;
use crate::limits::DIGESTS_REMEMBERED;
use crate::payload::{PayloadError, Requests};

/// Why a journal cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] journal::ReadError),
    /// The first record is no genesis record.
    #[error("record {index} is not the genesis record; replay from record 1")]
    NoGenesis {
        /// The record.
        index: u64,
    },
    /// The genesis record is damaged, or one does not belong here.
    #[error("the genesis record {index} cannot be used: {source}")]
    Genesis {
        /// The record.
        index: u64,
        /// What is wrong.
        source: GenesisError,
    },
    /// A second genesis record.
    #[error("record {index} is another genesis record; the journal was put together wrongly")]
    SecondGenesis {
        /// The record.
        index: u64,
    },
    /// Money rules that this build does not know.
    #[error("record {index} follows money rules {rules}; this build knows up to {RULES}: upgrade")]
    Rules {
        /// The record.
        index: u64,
        /// Its rules.
        rules: u32,
    },
    /// A kind of record that this build does not know.
    #[error("record {index} is of kind {kind}, which this build does not replay: upgrade")]
    Kind {
        /// The record.
        index: u64,
        /// Its kind.
        kind: u16,
    },
    /// A gap or an overlap.
    #[error("record {index} begins at sequence {found} where {expected} is due: commands are lost")]
    Sequence {
        /// The record.
        index: u64,
        /// What is due.
        expected: u64,
        /// What it says.
        found: u64,
    },
    /// Journal time does not rise.
    #[error("record {index} is stamped {found} ns, not after {before} ns: the journal is altered")]
    Time {
        /// The record.
        index: u64,
        /// Time of the record before.
        before: u64,
        /// Its time.
        found: u64,
    },
    /// The payload is no row of requests.
    #[error("record {index}, sequence {sequence}: {source}; restore it from a copy")]
    Payload {
        /// The record.
        index: u64,
        /// Next sequence due.
        sequence: u64,
        /// What is wrong.
        source: PayloadError,
    },
    /// Header and payload disagree on the number of commands.
    #[error("record {index} says {said} commands and holds {found}; restore it from a copy")]
    Commands {
        /// The record.
        index: u64,
        /// Of the header.
        said: u32,
        /// In the payload.
        found: u32,
    },
    /// The replay went another way than the run.
    #[error(
        "record {index} says that the run had another digest at sequence {sequence}: this build \
         does not reproduce it; keep the journal and use the build that wrote it"
    )]
    Digest {
        /// The record whose header says so.
        index: u64,
        /// Where the digests differ.
        sequence: u64,
    },
    /// The header's digest belongs to no record boundary in reach.
    #[error(
        "record {index} carries a digest at sequence {sequence}, where no record in reach ends"
    )]
    DigestPlace {
        /// The record.
        index: u64,
        /// Where its digest is said to hold.
        sequence: u64,
    },
}

/// One replayed request.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Header of its record.
    pub header: &'a RecordHeader,
    /// Sequence of its first command.
    pub first_sequence: Sequence,
    /// Its head.
    pub request: &'a Request,
    /// Its slots.
    pub slots: &'a [Command],
    /// What became of its commands.
    pub outcomes: &'a Outcomes,
}

/// Reads the genesis from the journal's first record.
///
/// # Errors
///
/// When it is another record, or damaged.
pub fn genesis_of(header: &RecordHeader, payload: &[u8]) -> Result<Genesis, ReplayError> {
    let index = header.index;
    if header.kind() != Some(Kind::Genesis) {
        return Err(ReplayError::NoGenesis { index });
    }
    if header.rules > RULES {
        let rules = header.rules;
        return Err(ReplayError::Rules { index, rules });
    }
    Genesis::decode(payload).map_err(|source| ReplayError::Genesis { index, source })
}

/// Executes journal records.
pub struct Replayer {
    options: Options,
    engine: Option<Engine>,
    requests: Requests,
    outcomes: Outcomes,
    /// Digests at the latest record boundaries.
    digests: VecDeque<(u64, [u8; 16])>,
    boundary: Boundary,
    /// Index of that record.
    index: u64,
    /// Digests before this sequence were proven by whoever made the engine.
    resumed: u64,
    timestamp_ns: u64,
    /// The journal's digests are those of this replay.
    is_compared: bool,
}

impl Replayer {
    /// One that makes its engine from the genesis record, which comes first.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            engine: None,
            requests: Requests::default(),
            outcomes: Outcomes::with_capacity(protocol::limits::REQUEST_SLOTS_MAX as usize),
            digests: VecDeque::with_capacity(DIGESTS_REMEMBERED),
            boundary: Boundary::default(),
            index: 0,
            resumed: 0,
            timestamp_ns: 0,
            is_compared: true,
        }
    }

    /// One that goes on behind record `index`, which is `boundary`, with the engine that stands
    /// there. The records behind it come next, whatever their kind.
    #[must_use]
    pub fn resume(options: Options, engine: Engine, boundary: Boundary, index: u64) -> Self {
        let mut replayer = Self::new(options);
        replayer.remember(engine.executed().0, engine.run_digest());
        replayer.resumed = engine.executed().0;
        replayer.timestamp_ns = engine.timestamp_ns();
        (replayer.boundary, replayer.index) = (boundary, index);
        replayer.engine = Some(engine);
        replayer
    }

    /// Replays every record that `reader` yields, showing each request to `visit`; returns how
    /// many records there were.
    ///
    /// # Errors
    ///
    /// The first record that cannot be replayed; the engine then stands before or inside it.
    pub fn run(
        &mut self,
        reader: &mut Reader,
        mut visit: impl FnMut(Step<'_>),
    ) -> Result<u64, ReplayError> {
        let mut records = 0;
        while let Some((header, payload)) = reader.next()? {
            self.apply(header, payload, &mut visit)?;
            records += 1;
        }
        Ok(records)
    }

    /// Goes on under other parameters than the journal's, whose digests are compared no longer.
    ///
    /// # Errors
    ///
    /// Nothing is set when the values cannot be.
    ///
    /// # Panics
    ///
    /// Before the genesis record.
    pub fn alter(&mut self, values: &[(Parameter, u128)]) -> Result<(), PinError> {
        let engine = self.engine.as_mut().expect("parameters are altered after the genesis record");
        engine.pin(values)?;
        self.is_compared = false;
        Ok(())
    }

    /// Replays one record, showing each of its requests to `visit`.
    ///
    /// # Errors
    ///
    /// Why it cannot be replayed; nothing may be applied after that.
    pub fn apply(
        &mut self,
        header: &RecordHeader,
        payload: &[u8],
        visit: impl FnMut(Step<'_>),
    ) -> Result<(), ReplayError> {
        self.apply_through(header, payload, Sequence(u64::MAX), visit)
    }

    /// Replays the commands of one record through `through`, and to the end of the chain that this
    /// one belongs to. Inside a record the engine can be asked, and nothing may be applied.
    ///
    /// # Errors
    ///
    /// As [`Self::apply`].
    pub fn apply_through(
        &mut self,
        header: &RecordHeader,
        payload: &[u8],
        through: Sequence,
        visit: impl FnMut(Step<'_>),
    ) -> Result<(), ReplayError> {
        let index = header.index;
        if header.rules > RULES {
            let rules = header.rules;
            return Err(ReplayError::Rules { index, rules });
        }
        match header.kind() {
            Some(Kind::Genesis) => self.begin(header, payload)?,
            Some(Kind::Commands) => {
                self.check(header)?;
                self.execute(header, payload, through, visit)?;
            }
            Some(Kind::Blank | Kind::Seal) => self.check(header)?,
            Some(Kind::Membership) | None => {
                let kind = header.kind;
                return Err(ReplayError::Kind { index, kind });
            }
        }
        self.timestamp_ns = header.timestamp_ns;
        Ok(())
    }

    /// The engine as of the last record; `None` before the genesis record.
    #[must_use]
    pub const fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// The same, to open cuts on or to tell what is settled; between records only.
    #[must_use]
    pub const fn engine_mut(&mut self) -> Option<&mut Engine> {
        self.engine.as_mut()
    }

    /// The engine as of the last record, to go on with.
    #[must_use]
    pub fn into_engine(self) -> Option<Engine> {
        self.engine
    }

    /// The last record of commands, or the genesis record.
    #[must_use]
    pub const fn boundary(&self) -> Boundary {
        self.boundary
    }

    /// Its index; 0 before the genesis record.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    fn begin(&mut self, header: &RecordHeader, payload: &[u8]) -> Result<(), ReplayError> {
        let index = header.index;
        if self.engine.is_some() {
            return Err(ReplayError::SecondGenesis { index });
        }
        let genesis = genesis_of(header, payload)?;
        let engine = Engine::new(&genesis, self.options)
            .map_err(|source| ReplayError::Genesis { index, source })?;
        self.remember(engine.executed().0, engine.run_digest());
        (self.boundary, self.index) = (Boundary::of(header), index);
        self.engine = Some(engine);
        Ok(())
    }

    /// What must hold before a record after the genesis record.
    fn check(&self, header: &RecordHeader) -> Result<(), ReplayError> {
        let index = header.index;
        let Some(engine) = &self.engine else {
            return Err(ReplayError::NoGenesis { index });
        };
        let (expected, found) = (engine.executed().0.saturating_add(1), header.first_sequence);
        if found != expected {
            return Err(ReplayError::Sequence { index, expected, found });
        }
        // A seal repeats the time of the record before it.
        let is_later = header.timestamp_ns > self.timestamp_ns
            || (header.commands == 0 && header.timestamp_ns == self.timestamp_ns);
        if !is_later {
            return Err(ReplayError::Time {
                index,
                before: self.timestamp_ns,
                found: header.timestamp_ns,
            });
        }
        self.check_digest(header)
    }

    fn check_digest(&self, header: &RecordHeader) -> Result<(), ReplayError> {
        let (index, sequence) = (header.index, header.executed_sequence);
        // A seal right after the genesis record repeats its empty digest.
        if sequence == 0 && header.run_digest == [0; 16] {
            return Ok(());
        }
        if sequence < self.resumed || !self.is_compared {
            return Ok(());
        }
        let found = self
            .digests
            .binary_search_by_key(&sequence, |&(at, _)| at)
            .map_err(|_| ReplayError::DigestPlace { index, sequence })?;
        if self.digests[found].1 == header.run_digest {
            Ok(())
        } else {
            Err(ReplayError::Digest { index, sequence })
        }
    }

    fn execute(
        &mut self,
        header: &RecordHeader,
        payload: &[u8],
        through: Sequence,
        mut visit: impl FnMut(Step<'_>),
    ) -> Result<(), ReplayError> {
        let index = header.index;
        let found = self.count(header, payload)?;
        if found != header.commands || found == 0 {
            let said = header.commands;
            return Err(ReplayError::Commands { index, said, found });
        }
        let engine = self.engine.as_mut().expect("checked before");
        let outcomes = &mut self.outcomes;
        engine.begin_record(RecordStart {
            first_sequence: Sequence(header.first_sequence),
            timestamp_ns: header.timestamp_ns,
            settled: Sequence(header.settled_sequence),
        });
        let walked = self.requests.walk(payload, |request, slots, commands| {
            let wanted = through.0.saturating_sub(engine.executed().0);
            if wanted == 0 {
                return;
            }
            let slots = if wanted < commands.into() { first(slots, wanted) } else { slots };
            let first_sequence = Sequence(engine.executed().0 + 1);
            engine.execute(request, slots, outcomes);
            visit(Step { header, first_sequence, request, slots, outcomes });
        });
        assert!(walked.is_ok(), "the payload was counted just now");
        engine.end_record();
        let (sequence, digest) = (engine.executed().0, engine.run_digest());
        if sequence + 1 < header.next_sequence() {
            assert!(sequence >= through.0, "only what was not asked for is left out");
            return Ok(());
        }
        assert_eq!(sequence + 1, header.next_sequence(), "every command has one sequence");
        self.remember(sequence, digest);
        (self.boundary, self.index) = (Boundary::of(header), index);
        Ok(())
    }

    /// Commands of a payload, whose structure it checks before the engine asserts it.
    fn count(&mut self, header: &RecordHeader, payload: &[u8]) -> Result<u32, ReplayError> {
        let mut found = 0_u32;
        self.requests.walk(payload, |_, _, commands| found += commands).map_err(|source| {
            ReplayError::Payload {
                index: header.index,
                sequence: header.first_sequence + u64::from(found),
                source,
            }
        })?;
        Ok(found)
    }

    fn remember(&mut self, sequence: u64, digest: [u8; 16]) {
        if self.digests.len() == DIGESTS_REMEMBERED {
            self.digests.pop_front();
        }
        self.digests.push_back((sequence, digest));
    }
}

/// The slots of the first `count` commands, and of the rest of the chain that the last one is in.
fn first(slots: &[Command], count: u64) -> &[Command] {
    let (mut end, mut seen) = (0, 0);
    for entry in Commands::new(slots) {
        let entry = entry.expect("the payload was counted just now");
        seen += 1;
        end += 1 + entry.data.len();
        if seen >= count && !entry.command.is_linked() {
            break;
        }
    }
    &slots[..end]
}
