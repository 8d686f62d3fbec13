//! `bezant snapshot`: taking, checking and listing the snapshots of a frame.
//!
//! It refuses to work beside a running frame when it takes one. Invariant: nothing is printed as
//! taken that was not read back into an engine with the same digests.

use pipeline::Recovered;
use protocol::Sequence;
use snapshot::{CheckError, Meta, SnapshotError};

use crate::audit::hex;
use crate::cli::SnapshotCommand;
use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::recover;
use crate::{harden, images};

/// Runs one snapshot command.
pub(crate) fn run(config: &Config, command: SnapshotCommand) -> Result<(), Failure> {
    harden::private_files();
    match command {
        SnapshotCommand::Create => create(config),
        SnapshotCommand::Verify => verify(config),
        SnapshotCommand::List => list(config),
    }
}

fn create(config: &Config) -> Result<(), Failure> {
    // As at a start: what is in the snapshot is durable in the journal, and nobody else writes.
    let recovered = recover::recover(config, None)?;
    let Recovered { journal, engine, boundary, index, .. } = recovered;
    let catalogue = images::catalogue(config, engine.genesis().frame);
    let options = recover::options(config);
    let taken = pipeline::take(&catalogue, engine, boundary, index, options)
        .map_err(|error| failure(&error))?;
    print(&taken.name, &taken.meta);
    let pruned = catalogue.prune(u64::MAX).map_err(|error| failure(&error))?;
    for name in pruned.removed {
        println!("removed    {name}");
    }
    for (name, error) in pruned.suspect {
        println!("unusable   {name}: {error}");
    }
    drop(journal);
    Ok(())
}

fn failure(error: &SnapshotError) -> Failure {
    let exit = match error {
        SnapshotError::Io { .. } => Exit::Io,
        SnapshotError::Rejected { .. } => Exit::Internal,
        _ => Exit::Failed,
    };
    Failure::new(exit, error)
}

fn print(name: &str, meta: &Meta) {
    let Meta { sequence: Sequence(sequence), index, timestamp_ns, .. } = meta;
    println!("snapshot   {name}");
    println!("  sequence {sequence}, record {index}, journal time {timestamp_ns} ns");
    println!("  run      {}", hex(&meta.run_digest));
    println!("  image    {}", hex(&meta.image_digest));
}

fn verify(config: &Config) -> Result<(), Failure> {
    let frame = recover::frame_of(&config.journal_dir())?;
    let catalogue = images::catalogue(config, frame);
    let (mut good, mut bad) = (0, 0);
    for entry in catalogue.list().or_exit(Exit::Io, "the snapshots")? {
        let reader = catalogue.open(&entry.name).map_err(CheckError::from);
        let read =
            reader.and_then(|mut reader| pipeline::load(&mut reader, recover::options(config)));
        match read {
            Ok(_) => {
                good += 1;
                println!("ok         {}", entry.name);
            }
            Err(error) => {
                bad += 1;
                println!("unusable   {}: {error}", entry.name);
            }
        }
    }
    println!("verdict    {good} can be used, {bad} cannot");
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
            Ok(meta) => print(&entry.name, &meta),
            Err(error) => println!("unusable   {}: {error}", entry.name),
        }
    }
    Ok(())
}
