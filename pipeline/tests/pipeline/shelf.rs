//! A frame's disk with a history of several segments, and snapshots of any place in it.
//! Invariant: what is said of a place comes from a replay of every record before it.

use std::sync::Arc;

use engine::{Engine, Options};
use journal::{MemoryStorage, Reader, RecordHeader};
use pipeline::{Past, Recovered, Replayer, Settled, Sources, StartError, Taken, recover, take};
use protocol::Sequence;
use snapshot::{Catalogue, MemoryFiles};

use crate::rig::{Rig, SECOND, SEGMENT, genesis};

pub(crate) const OPTIONS: Options = Options { history: true, effects_max: usize::MAX };

pub(crate) type Record = (RecordHeader, Vec<u8>);
/// Run and image.
pub(crate) type Digests = ([u8; 16], [u8; 32]);

pub(crate) fn digests(engine: &Engine) -> Digests {
    (engine.run_digest(), engine.image_digest())
}

/// Every record that a quiet journal holds from `from` on.
pub(crate) fn records(disk: &MemoryStorage, from: u64) -> Vec<Record> {
    let mut reader = Reader::open(Arc::new(disk.clone()), from).unwrap();
    let mut records = Vec::new();
    while let Some((header, payload)) = reader.next().unwrap() {
        records.push((*header, payload.to_vec()));
    }
    records
}

/// The replay of these records.
pub(crate) fn replay(records: &[Record]) -> Replayer {
    let mut replayer = Replayer::new(OPTIONS);
    for (header, payload) in records {
        replayer.apply(header, payload, |_| ()).unwrap();
    }
    replayer
}

/// See the module.
pub(crate) struct Shelf {
    pub(crate) disk: MemoryStorage,
    pub(crate) files: MemoryFiles,
    pub(crate) records: Vec<Record>,
}

impl Shelf {
    /// Payments through some segments, and two starts.
    pub(crate) fn new() -> Self {
        Self::of(24)
    }

    /// So many payments.
    pub(crate) fn of(payments: u128) -> Self {
        let mut rig = Rig::new();
        rig.open_accounts();
        for n in 0..payments {
            rig.pay(n, 1 + n as usize % 5).unwrap();
            rig.now_ns += SECOND / 10;
            rig.turn();
            rig.replies();
            if n == 12 {
                rig = rig.crash(n as u64).0;
            }
        }
        let disk = rig.disk.copy();
        let records = records(&disk, 1);
        Self { disk, files: MemoryFiles::new(), records }
    }

    pub(crate) fn last(&self) -> u64 {
        self.records.len() as u64
    }

    pub(crate) fn catalogue(&self) -> Catalogue {
        catalogue(&self.files)
    }

    pub(crate) fn past(&self) -> Past {
        past(&self.disk, &self.files)
    }

    /// The replay of the first records, through `index`.
    pub(crate) fn at(&self, index: u64) -> Replayer {
        replay(&self.records[..index as usize])
    }

    /// Takes the snapshot behind record `index`, or the last one of commands before it.
    pub(crate) fn take(&self, index: u64) -> Taken {
        let replayer = self.at(index);
        let (boundary, index) = (replayer.boundary(), replayer.index());
        let engine = replayer.into_engine().unwrap();
        take(&self.catalogue(), engine, boundary, index, OPTIONS).unwrap()
    }

    pub(crate) fn settled(&self, index: u64) -> Settled {
        let replayer = self.at(index);
        let engine = replayer.engine().unwrap();
        Settled {
            frame: engine.genesis().frame,
            through: engine.executed(),
            chain_hash: replayer.boundary().chain_hash,
            run_digest: engine.run_digest(),
        }
    }

    /// A start from a copy of everything, and the records that it replayed.
    pub(crate) fn start(
        &self,
        settled: Option<&Settled>,
    ) -> Result<(Recovered, Vec<u64>), StartError> {
        start(&self.disk.copy(), &self.files.copy(), settled)
    }
}

pub(crate) fn catalogue(files: &MemoryFiles) -> Catalogue {
    Catalogue::new(files.clone(), genesis().frame)
}

pub(crate) fn past(disk: &MemoryStorage, files: &MemoryFiles) -> Past {
    Past::new(Arc::new(disk.clone()), Arc::new(catalogue(files)))
}

pub(crate) fn start(
    disk: &MemoryStorage,
    files: &MemoryFiles,
    settled: Option<&Settled>,
) -> Result<(Recovered, Vec<u64>), StartError> {
    let catalogue = catalogue(files);
    let storage = Arc::new(disk.clone());
    let sources = Sources { storage, catalogue: &catalogue, config: SEGMENT, options: OPTIONS };
    let mut seen = Vec::new();
    let recovered = recover(sources, settled, &mut |header| seen.push(header.index))?;
    Ok((recovered, seen))
}

/// Everything.
pub(crate) const END: Sequence = Sequence(u64::MAX);
