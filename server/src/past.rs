//! The past of a frame for commands that ask about it: where a replay begins, and how far the
//! journal may be read.
//!
//! It refuses to look behind what a running frame has made durable, and takes no lock. Invariant:
//! nothing is written, so that any of it works beside a running frame.

use std::fmt;
use std::path::Path;

use engine::Options;
use journal::DirLock;
use pipeline::{PastError, Replay};
use protocol::Sequence;

use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::recover;

/// Journal and snapshots of one frame, and how much of them may be told.
pub(crate) struct Past {
    inner: pipeline::Past,
    /// The last record that is known to be durable; of a stopped frame everything is.
    until: u64,
}

impl Past {
    /// The past of the frame of `config`, which may be running.
    pub(crate) fn open(config: &Config) -> Result<Self, Failure> {
        let dir = config.journal_dir();
        let inner = recover::past(config, recover::frame_of(&dir)?);
        let until = if is_running(&dir)? {
            let storage = inner.storage().clone();
            journal::durable_seen(storage).map_err(|error| recover::failure(&error))?
        } else {
            u64::MAX
        };
        Ok(Self { inner, until })
    }

    /// Whether a frame is running, whose last commands may be missing here.
    pub(crate) const fn is_running(&self) -> bool {
        self.until < u64::MAX
    }

    /// A replay that stands at or before `sequence`, as close as the snapshots allow.
    pub(crate) fn near(&self, sequence: Sequence, options: Options) -> Result<Replay, Failure> {
        let near = self.inner.replay_from(sequence, options, self.until);
        near.map_err(|error| failure(&error))
    }

    /// The same, or one from the oldest state that is kept when nothing reaches back that far.
    pub(crate) fn near_or_oldest(
        &self,
        sequence: Sequence,
        options: Options,
    ) -> Result<Replay, Failure> {
        match self.inner.replay_from(sequence, options, self.until) {
            Err(PastError::Gone { .. }) => self.longest(Sequence(u64::MAX), options),
            near => near.map_err(|error| failure(&error)),
        }
    }

    /// A replay from the genesis record, else from the oldest snapshot that can be used; it stands
    /// at or before `through`.
    pub(crate) fn longest(&self, through: Sequence, options: Options) -> Result<Replay, Failure> {
        let entries = self.inner.catalogue().list().or_exit(Exit::Io, "the snapshots")?;
        let known = entries.into_iter().filter_map(|entry| entry.meta.ok());
        let mut sequences: Vec<_> = known.map(|meta| meta.sequence).collect();
        sequences.push(Sequence(0));
        sequences.sort_unstable();
        for sequence in sequences.into_iter().filter(|&sequence| sequence <= through) {
            match self.inner.replay_from(sequence, options, self.until) {
                Err(PastError::Gone { .. }) => {}
                replay => return replay.map_err(|error| failure(&error)),
            }
        }
        self.near(through, options)
    }
}

/// A sequence that the past does not reach, which ends with `last`: of a running frame it may only
/// not be known to be durable yet.
pub(crate) fn beyond(past_is_running: bool, wanted: Sequence, last: Sequence) -> Failure {
    if past_is_running {
        let message = format!(
            "sequence {wanted} is not executed, or the running frame has not yet marked it as \
             durable, which so far ends with {last}; ask again in a second"
        );
        return Failure::new(Exit::Temporary, message);
    }
    let message = format!("sequence {wanted} was never executed: the journal ends with {last}");
    Failure::new(Exit::NotFound, message)
}

/// Maps what the past cannot tell to what the process ends with.
pub(crate) fn failure(error: &PastError) -> Failure {
    let exit = match error {
        PastError::Read(error) => return recover::failure(error),
        PastError::Replay(_) => Exit::JournalCorrupt,
        PastError::Gone { .. } => Exit::NotFound,
        _ => Exit::Io,
    };
    Failure::new(exit, error)
}

/// Where a replay began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// With the genesis record.
    Genesis,
    /// With a snapshot.
    Snapshot {
        /// Its file's name.
        name: String,
        /// Last sequence in it.
        sequence: Sequence,
    },
}

impl Base {
    /// That of `replay`.
    pub(crate) fn of(replay: &Replay) -> Self {
        replay.snapshot().map_or(Self::Genesis, |taken| Self::Snapshot {
            name: taken.name.clone(),
            sequence: taken.meta.sequence,
        })
    }

    /// Last sequence executed there.
    pub(crate) const fn sequence(&self) -> Sequence {
        match self {
            Self::Genesis => Sequence(0),
            Self::Snapshot { sequence, .. } => *sequence,
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Genesis => f.write_str("genesis"),
            Self::Snapshot { name, .. } => f.write_str(name),
        }
    }
}

/// Whether a process holds the journal in `dir`.
pub(crate) fn is_running(dir: &Path) -> Result<bool, Failure> {
    DirLock::is_held(dir).or_exit(Exit::Io, "whether a frame is running")
}
