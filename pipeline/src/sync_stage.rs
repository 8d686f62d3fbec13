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
    /// Index that the last sync reached.
    synced: u64,
    halt: Option<Halt>,
}

impl SyncStage {
    pub(crate) fn new(
        syncer: Syncer,
        marks: Arc<Marks>,
        metrics: Arc<Metrics>,
        engine_gate: Arc<Gate>,
    ) -> Self {
        let synced = marks.durable.value();
        Self { syncer, marks, metrics, engine_gate, synced, halt: None }
    }

    /// Whether anything appended is not yet durable, or durable and not yet passed on.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        let announced = self.marks.appended.value();
        self.syncer.is_needed() || self.marks.durable.value() < self.synced.min(announced)
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
        // Read before the sync, which covers it. A sync may reach further than the journal stage
        // has told: that is held back, or the engine would overtake the marks before its own.
        let announced = self.marks.announced();
        let synced = if self.syncer.is_needed() { self.syncer.sync() } else { Ok(self.synced) };
        match synced {
            Ok(index) => {
                assert!(index >= announced.index, "a sync covers what was appended before it");
                self.synced = index;
                let before = self.marks.durable.value();
                self.marks.committed.raise(announced.sequence);
                self.marks.durable.raise(announced.index);
                self.engine_gate.notify();
                add(&self.metrics.sync.groups, 1);
                add(&self.metrics.sync.requests, announced.index - before);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::{Announced, Executed};
    use journal::{Config, Entry, Journal, Kind, MemoryStorage};

    /// A record could be synced between its append and its entry into the marks; the engine then
    /// executed it, stood ahead of `committed`, and the housekeeper ended the process.
    #[test]
    fn a_record_is_passed_on_only_when_the_marks_know_it() {
        let genesis =
            Entry { kind: Kind::Genesis, first_sequence: 1, timestamp_ns: 1, ..Entry::default() };
        let storage = Arc::new(MemoryStorage::new());
        let config = Config { segment_size: 64 * 1024 };
        let journal = Journal::create(storage, config, 1, &genesis, &[&[0; 64]]).unwrap();
        let (mut appender, syncer, _preparer) = journal.split();
        let index = appender.last().index;
        let marks = Arc::new(Marks::new(Executed::default(), index, 1, None));
        let mut stage =
            SyncStage::new(syncer, Arc::clone(&marks), Arc::default(), Arc::new(Gate::default()));
        let entry = Entry { first_sequence: 1, commands: 3, timestamp_ns: 2, ..Entry::default() };
        let appended = appender.append(&entry, &[&[1; 64]]).unwrap();
        stage.step();
        assert_eq!(marks.durable_index(), index, "synced, but not told of yet");
        assert!(!stage.is_needed());
        marks.announce(Announced { index: appended.index, sequence: 3 });
        assert!(stage.is_needed());
        stage.step();
        assert_eq!(marks.durable_index(), appended.index);
        assert_eq!(marks.watermarks().committed, 3);
        assert_eq!(stage.step(), Progress::Idle);
    }
}
