//! The database as settlement sees it: connect, read the watermark, commit a batch.
//!
//! A sink decides nothing but whether the watermark it finds is the expected one. Its invariant:
//! after any error but [`SinkError::UnknownCommit`] nothing of the batch is in the database.

use std::error::Error;

use protocol::Sequence;
use protocol::cut::Cut;

use crate::history::{EffectWriter, HistoryError};
use crate::verify::ReadBack;
use crate::watermark::Watermark;

/// What a driver reported.
pub type Cause = Box<dyn Error + Send + Sync>;

/// One transaction's worth: a cut, and where in the journal it takes over.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The balances and supply.
    pub cut: &'a Cut,
    /// Last sequence that is settled before this batch. Not the cut's own `after`: a cut may
    /// overlap what is settled, and a complete one may bridge a gap.
    pub after: Sequence,
    /// Whether effects are written.
    pub history: bool,
}

impl Batch<'_> {
    /// The watermark the database has afterwards.
    pub const fn target(&self) -> Watermark {
        Watermark::of(self.cut)
    }
}

/// The postings of a batch, delivered in blocks so that a long catch-up needs little memory.
pub trait EffectSource {
    /// Delivers every effect of the batch, in order.
    ///
    /// # Errors
    ///
    /// What `write` refuses, passed on, or [`SinkError::History`].
    fn deliver(&mut self, write: &mut EffectWriter<'_>) -> Result<(), SinkError>;
}

/// A place to settle to.
pub trait Sink: Send {
    /// What it is, for logs: never a password.
    fn name(&self) -> &str;

    /// Drops any connection, connects anew, checks the settings that durability rests on, and
    /// brings the schema to this program's version.
    ///
    /// # Errors
    ///
    /// Any [`SinkError`] but those about watermarks.
    fn connect(&mut self) -> Result<(), SinkError>;

    /// Reads the watermark; `None` in a database that has never been settled to.
    ///
    /// # Errors
    ///
    /// [`SinkError::Retryable`] or [`SinkError::Refused`].
    fn watermark(&mut self) -> Result<Option<Watermark>, SinkError>;

    /// Commits `batch` in one transaction over the watermark `expected`. After an error the
    /// caller connects again and reads the watermark before it tries anything else.
    ///
    /// # Errors
    ///
    /// [`SinkError::UnknownCommit`] when only the watermark can tell whether it was committed; any
    /// other when it was not.
    fn commit(
        &mut self,
        batch: &Batch<'_>,
        expected: Option<&Watermark>,
        effects: &mut dyn EffectSource,
    ) -> Result<(), SinkError>;

    /// Reads everything back in one consistent snapshot, for [`crate::verify`].
    ///
    /// # Errors
    ///
    /// [`SinkError::Retryable`], [`SinkError::Refused`] or [`SinkError::Unreadable`].
    fn read_back(&mut self) -> Result<ReadBack, SinkError>;
}

/// Why a database did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The connection, a lock, a timeout, a full or read-only disk: it may work later.
    #[error("the database is not available now ({0}); nothing was written, it is tried again")]
    Retryable(#[source] Cause),
    /// The connection broke at COMMIT.
    #[error("whether COMMIT took effect is unknown ({0}); the watermark will tell")]
    UnknownCommit(#[source] Cause),
    /// A newer leader writes to this database.
    #[error(
        "the database belongs to epoch {theirs}, this engine is of epoch {ours}: stop this engine, \
         a newer leader has taken over"
    )]
    Fenced {
        /// This engine's epoch.
        ours: u64,
        /// The one found.
        theirs: u64,
    },
    /// The database is another frame's.
    #[error(
        "the database belongs to frame {theirs:032x}, this is frame {ours:032x}: point settlement \
         at this frame's own database"
    )]
    Foreign {
        /// This frame.
        ours: u128,
        /// The one found.
        theirs: u128,
    },
    /// The database has more than was expected.
    #[error("the database is settled through {theirs}, {ours} was expected; it is read anew")]
    Ahead {
        /// Last sequence expected.
        ours: Sequence,
        /// Last sequence found.
        theirs: Sequence,
    },
    /// The database has less than was settled: an older copy.
    #[error("the database is settled through {theirs}, {ours} was expected: an older copy of it?")]
    Behind {
        /// Last sequence expected.
        ours: Sequence,
        /// Last sequence found.
        theirs: Sequence,
    },
    /// The same sequence with another history.
    #[error("the database has another history at sequence {at}; it is read anew")]
    Diverged {
        /// Where.
        at: Sequence,
    },
    /// A setting that durability rests on is off, or the address is not allowed.
    #[error("settlement refuses this database: {setting} is {value}; {remedy}")]
    Settings {
        /// Which.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The database was made by a newer program.
    #[error("the database has schema version {found}, this program knows {known}: upgrade it")]
    Schema {
        /// Version found.
        found: i64,
        /// Newest known.
        known: i64,
    },
    /// The database refuses the request as such: credentials, permissions, constraints.
    #[error("the database refuses ({0}); nothing was written")]
    Refused(#[source] Cause),
    /// Part of the history is missing, so that no key can be proven unused.
    #[error(
        "batch {batch} was settled without its postings, so no key can be proven unused: settle to \
         an empty database with settlement.history = full, which fills it from the journal"
    )]
    Hole {
        /// The batch.
        batch: i64,
    },
    /// A stored value is not what this program writes.
    #[error("{table}.{column} holds {value:?}, which no settlement writes: run verify-settlement")]
    Unreadable {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// What is there.
        value: String,
    },
    /// The journal could not give the effects.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// What the state machine needs to know of a [`SinkError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again.
    Retry,
    /// Read the watermark, then decide.
    Moved,
    /// Try again, but a person must act.
    Refused,
    /// The settings are wrong; try again, but a person must act.
    Settings,
    /// The journal could not be read; try again, but a person must act.
    HistoryUnread,
    /// The journal is too short: stop.
    HistoryTooShort,
    /// A newer leader: stop.
    Fenced,
    /// Another frame: stop.
    Foreign,
    /// A newer schema: stop.
    Schema,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 9] = [
        Self::Retry,
        Self::Moved,
        Self::Refused,
        Self::Settings,
        Self::HistoryUnread,
        Self::HistoryTooShort,
        Self::Fenced,
        Self::Foreign,
        Self::Schema,
    ];

    /// Its name in figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "unavailable",
            Self::Moved => "moved",
            Self::Refused => "refused",
            Self::Settings => "settings",
            Self::HistoryUnread => "history_unread",
            Self::HistoryTooShort => "history_too_short",
            Self::Fenced => "fenced",
            Self::Foreign => "foreign",
            Self::Schema => "schema",
        }
    }
}

impl SinkError {
    /// Its class.
    pub const fn class(&self) -> Class {
        match self {
            Self::Retryable(_) => Class::Retry,
            Self::UnknownCommit(_)
            | Self::Ahead { .. }
            | Self::Behind { .. }
            | Self::Diverged { .. } => Class::Moved,
            Self::Fenced { .. } => Class::Fenced,
            Self::Foreign { .. } => Class::Foreign,
            Self::Settings { .. } => Class::Settings,
            Self::Schema { .. } => Class::Schema,
            Self::Refused(_) | Self::Hole { .. } | Self::Unreadable { .. } => Class::Refused,
            Self::History(HistoryError::TooShort { .. }) => Class::HistoryTooShort,
            Self::History(HistoryError::Read(_)) => Class::HistoryUnread,
        }
    }
}
