//! States and snapshots: an engine written down, one read back, and the right one chosen.
//!
//! It never removes a snapshot and never believes one: an engine that comes from here has every
//! digest that the snapshot's header says. Invariant: what is taken was read back from the medium
//! into a second engine with the same digests.

use engine::{Engine, Options};
use snapshot::{Catalogue, CheckError, Meta, Reader, SnapshotError};

use crate::assemble::Boundary;

/// A snapshot that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its file's name.
    pub name: String,
    /// Of what it is.
    pub meta: Meta,
}

/// A state read back.
pub struct Image {
    /// It.
    pub engine: Engine,
    /// Of what it is.
    pub meta: Meta,
    /// Its file's name.
    pub name: String,
}

impl Image {
    /// The record after which it stands.
    #[must_use]
    pub const fn boundary(&self) -> Boundary {
        Boundary { epoch: self.meta.epoch, chain_hash: self.meta.chain_hash }
    }
}

/// A snapshot that cannot be used.
#[derive(Debug)]
pub struct Refused {
    /// Its file's name.
    pub name: String,
    /// Why.
    pub error: CheckError,
}

impl Refused {
    /// Lets a catalogue know, so that retention does not count the snapshot.
    pub fn tell(&self, catalogue: &Catalogue) {
        match self.error.downcast_ref() {
            // Bytes that do not verify, or cannot be read, are judged by reading them again.
            Some(error) if !matches!(error, SnapshotError::Length { .. }) => {
                catalogue.distrust(&self.name);
            }
            _ => catalogue.reject(&self.name),
        }
    }
}

/// What the snapshots say about a journal before it is read.
#[derive(Default)]
pub struct Choice {
    /// Where a replay may begin; else at the genesis record.
    pub image: Option<Image>,
    /// Records through this index were durable: a header that verifies says so.
    pub durable_index: u64,
    /// What cannot be used, newest first.
    pub refused: Vec<Refused>,
}

/// Reads a state and compares it with its header, the digest of every row included.
///
/// # Errors
///
/// The first thing that is not as the header says, or does not verify.
pub fn load(reader: &mut Reader, options: Options) -> Result<Engine, CheckError> {
    let meta = reader.meta();
    reader.read_ahead();
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

/// Takes a snapshot of `engine`, which stands right behind record `index`, the `boundary`. The
/// engine is gone before a second one is made of what was written: the memory is that of one.
///
/// # Errors
///
/// What the disk refused, or that the state does not come back; then there is no new snapshot.
pub fn take(
    catalogue: &Catalogue,
    engine: Engine,
    boundary: Boundary,
    index: u64,
    options: Options,
) -> Result<Taken, SnapshotError> {
    let meta = Meta {
        frame: engine.genesis().frame,
        sequence: engine.executed(),
        index,
        epoch: boundary.epoch,
        timestamp_ns: engine.timestamp_ns(),
        chain_hash: boundary.chain_hash,
        run_digest: engine.run_digest(),
        image_digest: engine.image_digest(),
    };
    let hand_over = move |sink: &mut dyn FnMut(&[u8])| engine.write_state(&mut |bytes| sink(bytes));
    let check = |reader: &mut Reader| load(reader, options).map(drop);
    let name = catalogue.create(&meta, hand_over, check)?;
    Ok(Taken { name, meta })
}

/// The newest snapshot that is `wanted` and can be used. One that cannot is left where it is, no
/// longer counts in the catalogue, and the next older one is tried.
///
/// # Errors
///
/// When the snapshots cannot be listed.
pub fn choose(
    catalogue: &Catalogue,
    options: Options,
    wanted: impl Fn(&Meta) -> bool,
) -> Result<Choice, SnapshotError> {
    let mut choice = Choice::default();
    for entry in catalogue.list()? {
        let name = entry.name;
        let meta = match entry.meta {
            Ok(meta) => meta,
            Err(error) => {
                choice.refused.push(Refused { name, error: error.into() });
                continue;
            }
        };
        choice.durable_index = choice.durable_index.max(meta.index);
        if choice.image.is_some() || !wanted(&meta) {
            continue;
        }
        let read = catalogue.open(&name).map_err(CheckError::from);
        match read.and_then(|mut reader| load(&mut reader, options)) {
            Ok(engine) => choice.image = Some(Image { engine, meta, name }),
            Err(error) => {
                let refused = Refused { name, error };
                refused.tell(catalogue);
                choice.refused.push(refused);
            }
        }
    }
    Ok(choice)
}
