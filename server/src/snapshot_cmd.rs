//! `bezant snapshot`: taking, checking and listing the snapshots of a frame, stopped or running.
//!
//! Beside a running frame it reads what is durable and touches nothing but the snapshots. It
//! refuses to take two at once. Invariant: nothing is printed as taken that was not read back into
//! an engine with the same digests.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;

use engine::Engine;
use journal::{DirLock, MappedStorage, StorageError};
use pipeline::{Boundary, Claims};
use protocol::Sequence;
use snapshot::{Catalogue, CheckError, Meta, SnapshotError};

use crate::audit::hex;
use crate::cli::{CreateArgs, SnapshotCommand};
use crate::config::{Config, SinkConfig};
use crate::exit::{Exit, Failure, OrExit as _};
use crate::{clock, harden, images, past, recover, serve};

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
        return beside(config, through);
    }
    if past::is_running(&config.journal_dir())? {
        let storage = Arc::new(MappedStorage::new(config.journal_dir()));
        let durable = journal::durable_seen(storage).map_err(|error| recover::failure(&error))?;
        return beside(config, durable);
    }
    // As at a start: what is in the snapshot is durable in the journal, and nobody else writes.
    let recovered = recover::recover(config, None)?;
    let catalogue = images::catalogue(config, recovered.engine.genesis().frame);
    take(config, &catalogue, recovered.engine, (recovered.boundary, recovered.index))?;
    prune(config, &catalogue)?;
    drop(recovered.journal);
    Ok(())
}

/// Of a frame that is running: the newest snapshot and the durable records behind it. What may go
/// then is the frame's own business.
fn beside(config: &Config, through: u64) -> Result<(), Failure> {
    let frame = recover::frame_of(&config.journal_dir())?;
    let past = recover::past(config, frame);
    let options = recover::options(config);
    let entries = past.catalogue().list().map_err(|error| failure(&error))?;
    // What a snapshot holds was durable, whatever the journal's headers have said of it yet.
    let held = entries.into_iter().filter_map(|entry| entry.meta.ok()).map(|meta| meta.index);
    let until = held.fold(through, u64::max);
    let replayed = past.replay_from(Sequence(u64::MAX), options, until).and_then(|mut replay| {
        while replay.next(|_| ())?.is_some() {
            replay.engine_mut().discard_changes();
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
    let taken = pipeline::take(catalogue, engine, boundary, index, recover::options(config))
        .map_err(|error| failure(&error))?;
    print(&taken.name, &taken.meta)
}

/// Removes the snapshots that nobody needs; the journal is left as it is.
fn prune(config: &Config, catalogue: &Catalogue) -> Result<(), Failure> {
    if !config.upkeep.retention_enabled {
        return Ok(());
    }
    for entry in catalogue.list().map_err(|error| failure(&error))? {
        // What does not verify is told below.
        let _unusable = catalogue.verify(&entry.name);
    }
    let snapshots = catalogue.verified().map_err(|error| failure(&error))?;
    let settled = match config.sink {
        SinkConfig::None => None,
        _ => {
            let (_, stored) = serve::ask_sql(config)?;
            let stored = stored.filter(|stored| stored.frame == catalogue.frame());
            Some(stored.map_or(Sequence(0), |stored| stored.through()))
        }
    };
    let keep_after_ns = config.upkeep.keep_after_ns(clock::wall_ns());
    let claims = Claims { snapshots: &snapshots, settled, keep_after_ns, followers: &[] };
    let floor = pipeline::plan(&claims).floor;
    let pruned = catalogue.prune(floor).map_err(|error| failure(&error))?;
    for name in pruned.removed {
        say!("removed    {name}")?;
    }
    for (name, error) in pruned.suspect {
        say!("unusable   {name}: {error}")?;
    }
    Ok(())
}

/// Keeps another one from being taken meanwhile.
fn lock(config: &Config) -> Result<DirLock, Failure> {
    let dir = config.snapshot_dir();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
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
