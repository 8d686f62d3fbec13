//! Judgements of settlement: what alarms, what ends it, and whether a database may be written to.
//! A database that is not this journal's is never written to.

use crate::history::Confirmation;
use crate::settler::Settings;
use crate::watermark::Watermark;

/// Trouble that does not end settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alarm {
    /// The database is an older copy; the next cut makes it whole.
    Behind,
    /// The database's settings would lose committed rows.
    Settings,
    /// The database refuses statements or credentials.
    Refused,
    /// The journal could not be read back.
    HistoryUnread,
}

/// Why settlement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// As asked, with everything settled.
    Drained,
    /// As asked, but the deadline came first.
    DrainDeadline,
    /// The engine stopped giving cuts.
    EngineGone,
    /// A newer leader owns the database.
    Fenced,
    /// The database is another frame's.
    Foreign,
    /// The database has more than the journal.
    Ahead,
    /// The database has another history than the journal.
    Diverged,
    /// The journal no longer reaches back to what the database has.
    JournalTooShort,
    /// The database has a newer schema.
    Schema,
}

impl Alarm {
    /// Every alarm.
    pub const ALL: [Self; 4] = [Self::Behind, Self::Settings, Self::Refused, Self::HistoryUnread];

    /// Its name in figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Settings => "settings",
            Self::Refused => "refused",
            Self::HistoryUnread => "history_unread",
        }
    }
}

impl Stop {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Drained,
        Self::DrainDeadline,
        Self::EngineGone,
        Self::Fenced,
        Self::Foreign,
        Self::Ahead,
        Self::Diverged,
        Self::JournalTooShort,
        Self::Schema,
    ];

    /// Its name in figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drained => "drained",
            Self::DrainDeadline => "drain_deadline",
            Self::EngineGone => "engine_gone",
            Self::Fenced => "fenced",
            Self::Foreign => "foreign",
            Self::Ahead => "ahead",
            Self::Diverged => "diverged",
            Self::JournalTooShort => "journal_too_short",
            Self::Schema => "schema",
        }
    }

    /// What to tell the operator.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Drained => "everything is settled",
            Self::DrainDeadline => {
                "the deadline passed before the last cut was settled; the restart settles it"
            }
            Self::EngineGone => "the engine stopped giving cuts",
            Self::Fenced => "a newer leader settles to this database; stop this engine",
            Self::Foreign => "the database belongs to another frame; configure this frame's own",
            Self::Ahead => {
                "the database is ahead of the journal: the journal lost records or the database is \
                 another one's; nothing was written"
            }
            Self::Diverged => {
                "the database has another history than the journal at the same sequence; nothing \
                 was written"
            }
            Self::JournalTooShort => {
                "the journal no longer reaches back to what the database has: restore a newer \
                 database or older segments, or start with an empty database and history off"
            }
            Self::Schema => "the database has a newer schema; upgrade this program",
        }
    }

    /// Whether the database or the journal is wrong, so that the server must not go on as if
    /// nothing had happened.
    pub const fn is_fault(self) -> bool {
        !matches!(self, Self::Drained | Self::DrainDeadline | Self::EngineGone)
    }
}

/// Judges a watermark found in a database, whether at start or after a failure.
///
/// # Errors
///
/// The reason to write nothing to this database.
pub fn judge(
    settings: &Settings,
    stored: Option<&Watermark>,
    confirmation: Confirmation,
) -> Result<(), Stop> {
    let Some(stored) = stored else {
        return Ok(());
    };
    if stored.frame != settings.frame {
        return Err(Stop::Foreign);
    }
    if stored.epoch > settings.epoch {
        return Err(Stop::Fenced);
    }
    match confirmation {
        Confirmation::Same => Ok(()),
        Confirmation::Different => Err(Stop::Diverged),
        Confirmation::Ahead => Err(Stop::Ahead),
        Confirmation::TooOld => Err(Stop::JournalTooShort),
    }
}
