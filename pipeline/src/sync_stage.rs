//! The commit: what is appended becomes durable, and then may be executed.
//!
//! It never retries: the first failed sync is final. Invariant: a mark is raised only after the
//! sync that covers it has returned.

use std::sync::Arc;

use journal::Syncer;
use ring::Gate;

use crate::halt::{Halt, Progress};
use crate::marks::Marks;
use crate::metrics::{Metrics, add};

/// The stage that makes the journal durable.
pub struct SyncStage {
    syncer: Syncer,
    marks: Arc<Marks>,
    metrics: Arc<Metrics>,
    engine_gate: Arc<Gate>,
    halt: Option<Halt>,
}

impl SyncStage {
    pub(crate) const fn new(
        syncer: Syncer,
        marks: Arc<Marks>,
        metrics: Arc<Metrics>,
        engine_gate: Arc<Gate>,
    ) -> Self {
        Self { syncer, marks, metrics, engine_gate, halt: None }
    }

    /// Whether anything appended is not yet durable.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.syncer.is_needed()
    }

    /// Why the stage has stopped for good.
    #[must_use]
    pub const fn halt(&self) -> Option<&Halt> {
        self.halt.as_ref()
    }

    /// Makes durable what has been appended, and wakes the engine stage.
    pub fn step(&mut self) -> Progress {
        if self.halt.is_some() {
            return Progress::Halted;
        }
        if !self.is_needed() {
            return Progress::Idle;
        }
        // Raised after the append, so whatever it says is covered by the sync that follows.
        let sequenced = self.marks.sequenced.value();
        match self.syncer.sync() {
            Ok(index) => {
                self.marks.committed.raise(sequenced);
                let before = self.marks.durable.value();
                self.marks.durable.raise(index);
                self.engine_gate.notify();
                add(&self.metrics.sync.groups, 1);
                add(&self.metrics.sync.requests, index - before);
                Progress::Worked
            }
            Err(error) => {
                tracing::error!(%error, "the journal is not durable; stopping");
                self.halt = Some(Halt::Sync(error));
                Progress::Halted
            }
        }
    }
}
