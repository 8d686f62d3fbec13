//! Reading again, slowly, what is on the disk: the snapshots and then the journal's sealed
//! segments, round after round.
//!
//! It repairs nothing. Invariant: a snapshot in which damage was found counts as none from then on.

use std::collections::BTreeSet;
use std::sync::Arc;

use journal::{ReadError, Scrub};
use pipeline::Past;
use snapshot::{Reader, SnapshotError};

/// Damage, or what the disk refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScrubError {
    /// In a snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// In the journal.
    #[error(transparent)]
    Journal(#[from] ReadError),
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) bytes: u64,
    pub(super) has_finished_pass: bool,
}

enum Stage {
    /// A pass begins.
    Begin,
    /// Snapshots that are left of this pass, the newest last.
    Snapshots(Vec<String>),
    Journal,
}

/// See the module.
pub(super) struct Scrubber {
    past: Past,
    journal: Scrub,
    stage: Stage,
    /// The snapshot that is being read.
    open: Option<(String, Reader)>,
    /// Names of snapshots in which damage was found.
    damaged: BTreeSet<String>,
}

impl Scrubber {
    pub(super) fn new(past: Past) -> Self {
        let journal = Scrub::new(Arc::clone(past.storage()));
        let (open, damaged) = (None, BTreeSet::new());
        Self { past, journal, stage: Stage::Begin, open, damaged }
    }

    /// Whether damage was found in this snapshot when it was last read.
    pub(super) fn is_damaged(&self, name: &str) -> bool {
        self.damaged.contains(name)
    }

    /// A snapshot of this name was taken anew; whether damage had been found in the one before.
    pub(super) fn renew(&mut self, name: &str) -> bool {
        self.damaged.remove(name)
    }

    fn condemn(&mut self, name: String) {
        self.past.catalogue().distrust(&name);
        self.damaged.insert(name);
    }

    /// Reads and verifies about `bytes_max` bytes.
    pub(super) fn step(&mut self, bytes_max: u64) -> Result<Step, ScrubError> {
        if let Some((name, mut reader)) = self.open.take() {
            let bytes = match reader.verify_step(bytes_max) {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.condemn(name);
                    return Err(error.into());
                }
            };
            if bytes > 0 {
                self.open = Some((name, reader));
                return Ok(Step { bytes, has_finished_pass: false });
            }
            self.past.catalogue().trust(&name);
            self.damaged.remove(&name);
        }
        match &mut self.stage {
            Stage::Begin => {
                let mut names: Vec<_> =
                    self.past.catalogue().list()?.into_iter().map(|entry| entry.name).collect();
                names.reverse();
                self.stage = Stage::Snapshots(names);
            }
            Stage::Snapshots(names) => match names.pop() {
                Some(name) => self.open(name)?,
                None => self.stage = Stage::Journal,
            },
            Stage::Journal => {
                let done = self.journal.step(bytes_max)?;
                let has_finished_pass = done.has_finished_pass;
                if has_finished_pass {
                    self.stage = Stage::Begin;
                }
                return Ok(Step { bytes: done.bytes, has_finished_pass });
            }
        }
        Ok(Step::default())
    }

    fn open(&mut self, name: String) -> Result<(), ScrubError> {
        match self.past.catalogue().open(&name) {
            Ok(reader) => self.open = Some((name, reader)),
            // Retention was quicker.
            Err(error) if error.is_gone() => {}
            Err(error) => {
                self.condemn(name);
                return Err(error.into());
            }
        }
        Ok(())
    }
}
