//! `bezant snapshot`: taking, checking and listing the snapshots of a frame, stopped or running.
//!
//! Beside a running frame it reads what is durable and touches nothing but the snapshots. It
//! refuses to take two at once. Invariant: nothing is printed as taken that was not read back into
//! an engine with the same digests.

use std::sync::Arc;

use engine::Engine;
use journal::{DirLock, FileStorage, StorageError};
use pipeline::{Boundary, Kept};
use protocol::Sequence;
use settlement::Watermark;
use snapshot::{Catalogue, CheckError, DirFiles, Meta, SnapshotError};

use crate::audit::hex;
use crate::cli::{CreateArgs, SnapshotCommand};
use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::pace::Pace;
use crate::{clock, harden, images, past, recover, retention, serve};

/// Segments for which a snapshot leaves room: the one that is written, and the next.
const SEGMENTS_FREE: u64 = 2;

/// Runs one snapshot command.
pub(crate) fn run(config: &Config, command: SnapshotCommand) -> Result<(), Failure> {
    harden::private_files();
    match command {
        SnapshotCommand::Create(args) => create(config, args),
        SnapshotCommand::Verify => verify(config),
        SnapshotCommand::List => list(config),
    }
}

fn create(config: &Config, args: CreateArgs) -> Result<(), Failure> {
    if let Some(parent) = args.parent {
        harden::step_back(args.nice, parent)?;
    }
    harden::no_dumps()?;
    harden::check_dirs(config)?;
    let _one_at_a_time = lock(config)?;
    if let Some(through) = args.through_record {
        return beside(config, through, through, is_in_a_hurry(&args));
    }
    if past::is_running(&config.journal_dir())? {
        let storage = Arc::new(FileStorage::new(config.journal_dir()));
        let durable = journal::durable_seen(storage).map_err(|error| recover::failure(&error))?;
        return beside(config, durable, u64::MAX, true);
    }
    // As at a start: nobody else writes, what is in the snapshot is durable in the journal, and a
    // journal that has lost what SQL has settled is refused and not cut off.
    let (_, stored) = serve::found::ask_sql(config)?;
    let recovered = recover::recover(config, stored.as_ref())?;
    recover::judge(config, &recovered, stored.as_ref())?;
    let catalogue = images::catalogue(config, recovered.engine.genesis().frame);
    let place = (recovered.boundary, recovered.index);
    let last_ns = recovered.report.last.timestamp_ns;
    take(config, &catalogue, recovered.engine, place)?;
    prune(config, &catalogue, stored.as_ref(), last_ns)?;
    drop(recovered.journal);
    Ok(())
}

/// Whether nobody is to be spared: neither the frame, to which it is late, nor a person who waits.
const fn is_in_a_hurry(args: &CreateArgs) -> bool {
    args.parent.is_none() || args.nice == 0
}

/// Of a frame that is running: the newest snapshot and the durable records behind it. What may go
/// then is the frame's own business. What a snapshot holds was durable, whatever the journal's
/// headers have said of it yet: one through record `held` may be begun with if the journal has its
/// record.
fn beside(config: &Config, through: u64, held: u64, is_in_a_hurry: bool) -> Result<(), Failure> {
    let frame = recover::frame_of(&config.journal_dir())?;
    let pace = (!is_in_a_hurry).then(|| Arc::new(Pace::start()));
    let past = recover::past_by(config, images::paced(config, frame, pace.as_ref()));
    let options = recover::options(config);
    let entries = past.catalogue().list().map_err(|error| failure(&error))?;
    let known = entries.into_iter().filter_map(|entry| entry.meta.ok()).map(|meta| meta.index);
    let held = known.filter(|&index| index <= held).fold(through, u64::max);
    let begin = |until| past.replay_from(Sequence(u64::MAX), options, until);
    let replayed = begin(held).and_then(|mut replay| {
        // Only what was loaded, and met by the journal, says so.
        let until = replay.snapshot().map_or(through, |taken| taken.meta.index.max(through));
        if until < held {
            drop(replay);
            replay = begin(until)?;
        }
        while replay.next(|_| ())?.is_some() {
            replay.engine_mut().discard_changes();
            if let Some(pace) = &pace {
                pace.rest();
            }
        }
        let place = (replay.boundary(), replay.index());
        let (replayer, _) = replay.into_parts();
        Ok((replayer.into_engine().expect("a replay begins with an engine"), place))
    });
    let (engine, place) = replayed.map_err(|error| past::failure(&error))?;
    take(config, past.catalogue(), engine, place)
}

fn take(
    config: &Config,
    catalogue: &Catalogue,
    engine: Engine,
    (boundary, index): (Boundary, u64),
) -> Result<(), Failure> {
    let mut bytes = 0;
    engine.write_state(&mut |part: &[u8]| bytes += part.len() as u64);
    check_room(config, bytes)?;
    let taken = pipeline::take(catalogue, engine, boundary, index, recover::options(config))
        .map_err(|error| failure(&error))?;
    print(&taken.name, &taken.meta)
}

/// Refuses a snapshot of `bytes` that would leave no room for the journal: that has none to lose.
pub(crate) fn check_room(config: &Config, bytes: u64) -> Result<(), Failure> {
    let dir = config.snapshot_dir();
    let found = rustix::fs::statvfs(&dir).or_else(|_| rustix::fs::statvfs(&config.data_dir));
    let Ok(disk) = found else {
        // Whoever writes will find out.
        return Ok(());
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    match missing(free, bytes, config.segment_bytes) {
        0 => Ok(()),
        missing => Err(Failure::new(
            Exit::Io,
            format!(
                "{} has no room for about {bytes} bytes and the journal's next segments; free \
                 {missing} bytes",
                dir.display()
            ),
        )),
    }
}

/// Bytes that have to be freed before a snapshot is taken.
const fn missing(free: u64, bytes: u64, segment: u64) -> u64 {
    // Hashes and header come on top, and states grow.
    let snapshot = bytes.saturating_add(bytes / 8);
    snapshot.saturating_add(segment.saturating_mul(SEGMENTS_FREE)).saturating_sub(free)
}

/// Removes the snapshots that nobody needs; the journal is left as it is.
fn prune(
    config: &Config,
    catalogue: &Catalogue,
    stored: Option<&Watermark>,
    last_ns: u64,
) -> Result<(), Failure> {
    let storage = FileStorage::new(config.journal_dir());
    let refused = |error| Failure::new(Exit::Failed, error);
    let mut suspect = catalogue.verify_unknown().map_err(|error| failure(&error))?;
    let usable = pipeline::usable(&storage, catalogue).map_err(refused)?;
    let stored = stored.filter(|stored| stored.frame == catalogue.frame());
    let stored = stored.map_or(Sequence(0), Watermark::through);
    let keep = config.upkeep.retention_keep;
    let keep_after_ns = retention::keep_after_stopped_ns(keep, clock::wall_ns(), last_ns);
    let mut kept = retention::plan(config, &usable, stored, keep_after_ns);
    if !config.upkeep.retention_enabled {
        let first = journal::first_record(&storage).map_err(|error| recover::failure(&error))?;
        let floor = retention::floor_beside_journal(&usable, kept.floor, first.index);
        kept = Kept { floor, ..kept };
    }
    let pruned = pipeline::prune(&storage, catalogue, kept).map_err(refused)?;
    for name in pruned.removed {
        say!("removed    {name}")?;
    }
    suspect.extend(pruned.suspect);
    for (name, error) in suspect {
        say!("unusable   {name}: {error}")?;
    }
    Ok(())
}

/// Keeps another one from being taken meanwhile.
fn lock(config: &Config) -> Result<DirLock, Failure> {
    let dir = config.snapshot_dir();
    let made = DirFiles::new(&dir).make();
    made.or_exit(Exit::Io, &format!("cannot make {}", dir.display()))?;
    DirLock::take(&dir).map_err(|error| match &error {
        StorageError::Locked { place, holder } => Failure::new(
            Exit::Temporary,
            format!("another snapshot is being taken by {holder} ({place}); wait for it"),
        ),
        _ => Failure::new(Exit::Io, error),
    })
}

fn failure(error: &SnapshotError) -> Failure {
    let exit = match error {
        SnapshotError::Io { .. } => Exit::Io,
        SnapshotError::Rejected { .. } => Exit::Internal,
        _ => Exit::Failed,
    };
    Failure::new(exit, error)
}

fn print(name: &str, meta: &Meta) -> Result<(), Failure> {
    let Meta { sequence: Sequence(sequence), index, timestamp_ns, .. } = meta;
    say!("snapshot   {name}")?;
    say!("  sequence {sequence}, record {index}, journal time {timestamp_ns} ns")?;
    say!("  run      {}", hex(&meta.run_digest))?;
    say!("  image    {}", hex(&meta.image_digest))
}

fn verify(config: &Config) -> Result<(), Failure> {
    let frame = recover::frame_of(&config.journal_dir())?;
    let catalogue = images::catalogue(config, frame);
    let (mut good, mut bad) = (0, 0);
    for entry in catalogue.list().or_exit(Exit::Io, "the snapshots")? {
        let reader = match catalogue.open(&entry.name) {
            Err(error) if error.is_gone() => continue,
            reader => reader.map_err(CheckError::from),
        };
        let read =
            reader.and_then(|mut reader| pipeline::load(&mut reader, recover::options(config)));
        match read {
            Ok(_) => {
                good += 1;
                say!("ok         {}", entry.name)?;
            }
            Err(error) => {
                bad += 1;
                say!("unusable   {}: {error}", entry.name)?;
            }
        }
    }
    say!("verdict    {good} can be used, {bad} cannot")?;
    if bad == 0 {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "a snapshot cannot be used: see the lines above"))
}

fn list(config: &Config) -> Result<(), Failure> {
    let frame = recover::frame_of(&config.journal_dir())?;
    let entries = images::catalogue(config, frame).list().or_exit(Exit::Io, "the snapshots")?;
    for entry in entries {
        match entry.meta {
            Ok(meta) => print(&entry.name, &meta)?,
            Err(error) => say!("unusable   {}: {error}", entry.name)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_steps_back_rests() {
        let args = |nice, parent| CreateArgs { through_record: Some(1), nice, parent };
        assert!(!is_in_a_hurry(&args(10, Some(1))));
        assert!(is_in_a_hurry(&args(0, Some(1))), "it is late");
        assert!(is_in_a_hurry(&args(0, None)), "somebody waits");
    }

    #[test]
    fn the_journal_has_room_before_a_snapshot_has() {
        const SEGMENT: u64 = 8 << 20;
        assert_eq!(missing(2 * SEGMENT, 0, SEGMENT), 0);
        assert_eq!(missing(2 * SEGMENT - 1, 0, SEGMENT), 1);
        assert_eq!(missing(2 * SEGMENT + 900, 800, SEGMENT), 0);
        assert_eq!(missing(2 * SEGMENT + 899, 800, SEGMENT), 1);
        assert_eq!(missing(0, u64::MAX, SEGMENT), u64::MAX);
    }
}
