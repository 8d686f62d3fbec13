//! Snapshots as states: read back into an engine, compared, and the right one chosen for a start.
//!
//! It writes nothing. Invariant: an engine that comes from here has the digests that the snapshot's
//! header says, and its snapshot is nowhere ahead of what SQL says is settled.

use engine::{Engine, Options};
use settlement::Watermark;
use snapshot::{Catalogue, CheckError, DirFiles, Meta, Reader};

use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};

/// A state read back.
pub(crate) struct Image {
    /// It.
    pub(crate) engine: Engine,
    /// Of what it is.
    pub(crate) meta: Meta,
    /// Its file's name.
    pub(crate) name: String,
}

/// What the snapshots say about a journal before it is recovered.
#[derive(Default)]
pub(crate) struct Choice {
    /// Where a replay may begin; else at the genesis record.
    pub(crate) image: Option<Image>,
    /// Records through this index were durable.
    pub(crate) durable_index: u64,
}

/// The snapshots of `frame`.
pub(crate) fn catalogue(config: &Config, frame: u128) -> Catalogue {
    Catalogue::new(DirFiles::new(config.snapshot_dir()), frame)
}

/// Reads a state and compares it with its header, the digest of every row included.
pub(crate) fn load(reader: &mut Reader, options: Options) -> Result<Engine, CheckError> {
    let meta = reader.meta();
    let mut failed = None;
    let read = Engine::read_state(options, &mut |bytes: &mut [u8]| {
        failed = reader.fill(bytes).err();
        failed.is_none()
    });
    // What stopped the reading says more than that it stopped.
    if let Some(error) = failed {
        return Err(error.into());
    }
    let engine = read?;
    if reader.left() > 0 {
        return Err("there are bytes behind the state".into());
    }
    let found = (engine.genesis().frame, engine.executed(), engine.timestamp_ns());
    let is_named = found == (meta.frame, meta.sequence, meta.timestamp_ns);
    if !is_named || engine.run_digest() != meta.run_digest {
        return Err("the state is another one than its header says".into());
    }
    if engine.image_digest() != meta.image_digest {
        return Err("the rows have another digest than its header says".into());
    }
    Ok(engine)
}

/// The newest snapshot that can be used, at or before what SQL has settled, if that is known: what
/// is settled is compared on the way, and a replay does not run backwards. One that cannot be used
/// is left where it is, and the next older one is tried.
pub(crate) fn choose(
    config: &Config,
    frame: u128,
    options: Options,
    settled: Option<&Watermark>,
) -> Result<Choice, Failure> {
    let catalogue = catalogue(config, frame);
    let entries = catalogue.list().or_exit(Exit::Io, "the snapshots")?;
    let mut choice = Choice::default();
    for entry in entries {
        let meta = match entry.meta {
            Ok(meta) => meta,
            Err(error) => {
                tracing::warn!(%error, "a snapshot cannot be used");
                continue;
            }
        };
        choice.durable_index = choice.durable_index.max(meta.index);
        let is_settled = settled.is_none_or(|watermark| meta.sequence <= watermark.through());
        if choice.image.is_some() || !is_settled {
            continue;
        }
        let read = catalogue.open(&entry.name).map_err(CheckError::from);
        match read.and_then(|mut reader| load(&mut reader, options)) {
            Ok(engine) => choice.image = Some(Image { engine, meta, name: entry.name }),
            Err(error) => {
                let name = entry.name;
                tracing::warn!(snapshot = name, %error, "a snapshot cannot be used");
            }
        }
    }
    Ok(choice)
}
