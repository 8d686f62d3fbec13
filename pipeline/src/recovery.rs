//! From what the disk holds to an engine: the newest snapshot that can be used, then every record
//! behind it; without one, the whole journal.
//!
//! It refuses to begin anywhere else and to pass over a record. Invariant: the engine that comes
//! from here is the one that a replay from the genesis record gives, whatever it began with.

use std::sync::Arc;

use engine::{Engine, Options};
use journal::{Base, Expect, Journal, RecordHeader, RecoverError, Recovery, Storage};
use protocol::Sequence;
use protocol::genesis::RULES;
use snapshot::{Catalogue, Meta, SnapshotError};

use crate::assemble::Boundary;
use crate::images::{Image, Refused, Taken, choose};
use crate::replayer::Replayer;

/// What SQL says is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The frame.
    pub frame: u128,
    /// Last sequence settled.
    pub through: Sequence,
    /// Hash of the record that ends there.
    pub chain_hash: [u8; 32],
    /// Run digest there.
    pub run_digest: [u8; 16],
}

impl Settled {
    fn is_at(&self, replayer: &Replayer) -> bool {
        replayer.engine().is_some_and(|engine| {
            engine.executed() == self.through
                && engine.run_digest() == self.run_digest
                && replayer.boundary().chain_hash == self.chain_hash
        })
    }
}

/// Where a frame lies.
pub struct Sources<'a> {
    /// Its journal.
    pub storage: Arc<dyn Storage>,
    /// Its snapshots.
    pub catalogue: &'a Catalogue,
    /// Of the journal.
    pub config: journal::Config,
    /// Of the engine.
    pub options: Options,
}

/// A frame as its disk says.
pub struct Recovered {
    /// The journal, its torn tail cut off.
    pub journal: Journal,
    /// What recovery found and did in it.
    pub report: Recovery,
    /// The engine after the last record.
    pub engine: Engine,
    /// The last record of commands.
    pub boundary: Boundary,
    /// Its index.
    pub index: u64,
    /// The snapshot from which the replay went on.
    pub snapshot: Option<Taken>,
    /// Snapshots that cannot be used.
    pub refused: Vec<Refused>,
    /// What SQL says was met at its place on the way: what changed before it is not settled again.
    pub is_settled_met: bool,
}

/// Why a frame cannot be recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The snapshots cannot be listed.
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] RecoverError),
    /// The journal, behind what was left when newer snapshots, or all, could not be used.
    #[error("{source}; {}", tell(.refused))]
    NoBase {
        /// What is wrong with it, or missing.
        source: RecoverError,
        /// What was tried, newest first.
        refused: Vec<Refused>,
    },
}

impl StartError {
    /// Snapshots that were tried and cannot be used, newest first; the message names them too.
    #[must_use]
    pub fn refused(&self) -> &[Refused] {
        match self {
            Self::NoBase { refused, .. } => refused,
            Self::Snapshots(_) | Self::Journal(_) => &[],
        }
    }
}

/// What was tried instead of a snapshot that can be used.
pub(crate) fn tell(refused: &[Refused]) -> String {
    if refused.is_empty() {
        return "there is no snapshot".to_owned();
    }
    let tried = refused.iter().map(|one| format!("{}: {}", one.name, one.error));
    format!("snapshots that cannot be used: {}", tried.collect::<Vec<_>>().join("; "))
}

/// Recovers a frame from the newest snapshot that can be used, whether SQL has settled that much
/// or not, and shows the header of each record behind it to `watch`.
///
/// # Errors
///
/// See [`StartError`]; then nothing was changed, except when the disk failed meanwhile.
pub fn recover(
    sources: Sources<'_>,
    settled: Option<&Settled>,
    watch: &mut dyn FnMut(&RecordHeader),
) -> Result<Recovered, StartError> {
    let Sources { storage, catalogue, config, options } = sources;
    // Another frame's database says nothing about what was durable here.
    let settled = settled.filter(|settled| settled.frame == catalogue.frame());
    // Nobody else takes a snapshot, or removes what it needs, from here on.
    storage.lock().map_err(RecoverError::from)?;
    let choice = choose(catalogue, options, |_| true)?;
    let (mut replayer, snapshot) = begin(options, choice.image);
    let mut is_settled_met = settled.is_some_and(|settled| settled.is_at(&replayer));
    let expect = Expect {
        rules_max: RULES,
        durable_index_floor: choice.durable_index,
        durable_sequence_floor: settled.map_or(0, |settled| settled.through.0),
        base: snapshot.as_ref().map(|taken| base_of(&taken.meta)),
        ..Expect::default()
    };
    let mut visit = |header: &RecordHeader, payload: &[u8]| {
        replayer.apply(header, payload, |_| ())?;
        watch(header);
        if settled.is_some_and(|settled| settled.is_at(&replayer)) {
            is_settled_met = true;
            replayer.engine_mut().expect("a record was applied").discard_changes();
        }
        Ok(())
    };
    let recovered = Journal::recover_with(storage, config, expect, &mut visit);
    let (journal, report) = match recovered {
        Ok(recovered) => recovered,
        Err(source @ RecoverError::Shortened { .. }) => {
            let mut refused = choice.refused;
            let too_old = "it lies before everything that the journal still holds";
            refused
                .extend(snapshot.map(|taken| Refused { name: taken.name, error: too_old.into() }));
            return Err(StartError::NoBase { source, refused });
        }
        Err(source) if choice.refused.is_empty() => return Err(source.into()),
        Err(source) => return Err(StartError::NoBase { source, refused: choice.refused }),
    };
    let (boundary, index) = (replayer.boundary(), replayer.index());
    let engine = replayer.into_engine().expect("there was a snapshot or a genesis record");
    let refused = choice.refused;
    Ok(Recovered { journal, report, engine, boundary, index, snapshot, refused, is_settled_met })
}

const fn base_of(meta: &Meta) -> Base {
    Base { index: meta.index, hash: meta.chain_hash }
}

/// A replay from the image, or from the genesis record.
pub(crate) fn begin(options: Options, image: Option<Image>) -> (Replayer, Option<Taken>) {
    let Some(image) = image else {
        return (Replayer::new(options), None);
    };
    let boundary = image.boundary();
    let Image { engine, meta, name } = image;
    (Replayer::resume(options, engine, boundary, meta.index), Some(Taken { name, meta }))
}
