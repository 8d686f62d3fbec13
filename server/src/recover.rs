//! From files to a running engine, as `pipeline` does it: where the files are, how far it is, what
//! the log says of it, and what the process ends with when it cannot be done.
//!
//! It refuses to serve beside a database that does not fit. Invariant: a database that was
//! confirmed stands at a record boundary of this journal.

mod progress;

use std::path::Path;
use std::sync::Arc;

use engine::Options;
use journal::{FaultKind, FileStorage, RecoverError, Storage};
use pipeline::{Past, Recovered, Settled, Sources, StartError};
use settlement::{Confirmation, Watermark};
use snapshot::Catalogue;

use self::progress::Progress;
use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::{history, images};

/// Postings that wait for the next cut before they are rebuilt from the journal instead.
pub(crate) const EFFECTS_MAX: usize = 1 << 20;

/// The engine's local settings.
pub(crate) const fn options(config: &Config) -> Options {
    Options { history: config.history, effects_max: EFFECTS_MAX }
}

/// The past of the frame of `config`.
pub(crate) fn past(config: &Config, frame: u128) -> Past {
    past_by(config, images::catalogue(config, frame))
}

/// As [`past`], with these snapshots of the frame.
pub(crate) fn past_by(config: &Config, catalogue: Catalogue) -> Past {
    let storage = Arc::new(FileStorage::new(config.journal_dir()));
    Past::new(storage, Arc::new(catalogue))
}

/// Recovers the frame of `config`; `settled` is what SQL says, if it could be asked.
pub(crate) fn recover(config: &Config, settled: Option<&Watermark>) -> Result<Recovered, Failure> {
    let dir = config.journal_dir();
    let frame = frame_of(&dir)?;
    let storage: Arc<dyn Storage> = Arc::new(config.journal_files());
    let mut progress = Progress::new(Arc::clone(&storage));
    let catalogue = images::catalogue(config, frame);
    // One that cannot be listed is refused below, with the reason.
    if let Some(newest) = catalogue.list().unwrap_or_default().first() {
        progress.loads(&newest.name);
    }
    let settings = journal::Config { segment_size: config.segment_bytes };
    let sources =
        Sources { storage, catalogue: &catalogue, config: settings, options: options(config) };
    let settled = settled.map(settled_of);
    let recovered =
        pipeline::recover(sources, settled.as_ref(), &mut |header| progress.pass(header));
    progress.end();
    let recovered = recovered.map_err(|error| start_failure(&error))?;
    images::warn(&recovered.refused);
    Ok(recovered)
}

const fn settled_of(stored: &Watermark) -> Settled {
    Settled {
        frame: stored.frame,
        through: stored.through(),
        chain_hash: stored.chain_hash,
        run_digest: stored.run_digest,
    }
}

/// Refuses to serve when SQL is ahead of the journal, differs from it or is another frame's (F15);
/// returns the watermark that the journal confirms. One that it no longer reaches back to is
/// left to settlement, which stops at it while the frame serves (F14).
pub(crate) fn judge(
    config: &Config,
    recovered: &Recovered,
    stored: Option<&Watermark>,
) -> Result<Option<Watermark>, Failure> {
    let Some(stored) = stored.filter(|_| !recovered.is_settled_met) else {
        return Ok(stored.cloned());
    };
    let frame = recovered.engine.genesis().frame;
    let (settled, executed) = (stored.through(), recovered.engine.executed());
    let cause = if stored.frame != frame {
        format!("it belongs to frame {:032x}, the journal to {frame:032x}", stored.frame)
    } else if settled > executed {
        format!("it is settled through {settled}, the journal ends at {executed}")
    } else {
        let until = recovered.report.last.index;
        let met = history::meet(&past(config, frame), stored, until);
        match met.or_exit(Exit::Io, "the watermark of the database")? {
            Confirmation::Same => return Ok(Some(stored.clone())),
            Confirmation::TooOld => {
                tracing::error!(%settled,
                    "the journal no longer reaches back to what the database has settled; the \
                     frame serves, and settlement stops");
                return Ok(None);
            }
            _ => format!("at sequence {settled} it has another history than the journal"),
        }
    };
    let cure = "point settlement at this frame's database, or restore the newer journal";
    Err(Failure::new(Exit::Mismatch, format!("the database does not fit: {cause}; {cure}")))
}

/// The frame of a journal, by the oldest segment that can be read: a snapshot may stand for those
/// before it.
pub(crate) fn frame_of(dir: &Path) -> Result<u128, Failure> {
    let storage = FileStorage::new(dir);
    let segments = journal::segments(&storage).map_err(|error| failure(&error))?;
    let first = match segments.first() {
        Some(segment) => Ok(segment.first),
        None => journal::first_record(&storage),
    };
    first.map(|header| header.frame).map_err(|error| failure(&error))
}

/// Maps a recovery error to what the process ends with.
pub(crate) fn failure(error: &RecoverError) -> Failure {
    Failure::new(exit_of(error), error)
}

fn start_failure(error: &StartError) -> Failure {
    let exit = match error {
        StartError::Journal(source) | StartError::NoBase { source, .. } => exit_of(source),
        _ => Exit::Io,
    };
    Failure::new(exit, error)
}

const fn exit_of(error: &RecoverError) -> Exit {
    match error.kind() {
        FaultKind::Locked => Exit::Temporary,
        FaultKind::Missing => Exit::NotFound,
        FaultKind::WrongFrame => Exit::Mismatch,
        FaultKind::Format => Exit::Config,
        FaultKind::Io => Exit::Io,
        // A record that verifies but cannot be replayed is as unusable as one that does not.
        _ => Exit::JournalCorrupt,
    }
}
