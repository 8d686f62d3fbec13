//! The watermarks: how far each stage has come, readable from any thread.
//!
//! They wake nobody and decide nothing but one thing: the engine stage executes up to `durable`.
//! Invariant: sequenced ≥ committed ≥ executed ≥ settled, and appended ≥ durable.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ring::Watermark;

/// The latest record boundary that the engine has executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// Last sequence of the record.
    pub sequence: u64,
    /// Run digest there.
    pub run_digest: [u8; 16],
}

/// How far each stage has come. Each mark has one writer.
#[derive(Debug)]
pub struct Marks {
    pub(crate) sequenced: Watermark,
    pub(crate) committed: Watermark,
    pub(crate) executed: Watermark,
    settled: AtomicU64,
    pub(crate) appended: Watermark,
    pub(crate) durable: Watermark,
    pub(crate) timestamp_ns: Watermark,
    deadline_ns: AtomicU64,
    boundary: Mutex<Executed>,
    announced: Mutex<Announced>,
}

/// A record that the journal stage has appended and entered into the marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Index of the record.
    pub(crate) index: u64,
    /// Last sequence given out with it or before.
    pub(crate) sequence: u64,
}

/// Value of the deadline when the engine waits for nothing.
const NO_DEADLINE: u64 = u64::MAX;

impl Marks {
    /// As of a recovered or new engine and journal: everything in the journal is durable and
    /// executed.
    #[must_use]
    pub fn new(executed: Executed, index: u64, timestamp_ns: u64, deadline: Option<u64>) -> Self {
        let mark = Watermark::new;
        let Executed { sequence, .. } = executed;
        Self {
            sequenced: mark(sequence),
            committed: mark(sequence),
            executed: mark(sequence),
            settled: AtomicU64::new(0),
            appended: mark(index),
            durable: mark(index),
            timestamp_ns: mark(timestamp_ns),
            deadline_ns: AtomicU64::new(deadline.unwrap_or(NO_DEADLINE)),
            boundary: Mutex::new(executed),
            announced: Mutex::new(Announced { index, sequence }),
        }
    }

    /// Tells that everything up to `sequence` is settled; the next record carries it. A lower
    /// sequence than before is ignored.
    pub fn settle(&self, sequence: u64) {
        self.settled.fetch_max(sequence, Ordering::AcqRel);
    }

    /// All marks, read so that their order holds.
    #[must_use]
    pub fn watermarks(&self) -> Watermarks {
        // Downstream first: what is read later can only have moved on.
        let settled = self.settled.load(Ordering::Acquire);
        let executed = self.executed.value();
        let committed = self.committed.value();
        let sequenced = self.sequenced.value();
        let durable_index = self.durable.value();
        let appended_index = self.appended.value();
        Watermarks {
            sequenced,
            committed,
            executed,
            settled,
            appended_index,
            durable_index,
            timestamp_ns: self.timestamp_ns.value(),
        }
    }

    /// The latest executed record boundary.
    #[must_use]
    pub fn boundary(&self) -> Executed {
        *self.boundary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Journal time at which the engine next has something to do by itself.
    #[must_use]
    pub fn deadline_ns(&self) -> Option<u64> {
        Some(self.deadline_ns.load(Ordering::Acquire)).filter(|&at| at != NO_DEADLINE)
    }

    /// Index up to which the journal is durable.
    #[must_use]
    pub fn durable_index(&self) -> u64 {
        self.durable.value()
    }

    /// Enters an appended record into the marks.
    pub(crate) fn announce(&self, announced: Announced) {
        self.sequenced.raise(announced.sequence);
        self.appended.raise(announced.index);
        *self.announced.lock().unwrap_or_else(PoisonError::into_inner) = announced;
    }

    /// The latest record that was entered.
    pub(crate) fn announced(&self) -> Announced {
        *self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves on to the record boundary that the engine has reached.
    pub(crate) fn execute(&self, executed: Executed, deadline: Option<u64>) {
        *self.boundary.lock().unwrap_or_else(PoisonError::into_inner) = executed;
        let deadline = deadline.unwrap_or(NO_DEADLINE);
        // Before the sequence, so that whoever sees the sequence sees the deadline after it.
        self.deadline_ns.store(deadline, Ordering::Release);
        self.executed.raise(executed.sequence);
    }
}

/// The marks at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// Last sequence given out.
    pub sequenced: u64,
    /// Last sequence that is durable.
    pub committed: u64,
    /// Last sequence executed.
    pub executed: u64,
    /// Last sequence settled.
    pub settled: u64,
    /// Last record appended.
    pub appended_index: u64,
    /// Last record durable here.
    pub durable_index: u64,
    /// Journal time of the last record.
    pub timestamp_ns: u64,
}

/// Two watermarks are in the wrong order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{behind} is at {at} but {ahead} at {beyond}: the process must stop and recover")]
pub struct WatermarkError {
    /// The mark that must not be behind.
    pub behind: &'static str,
    /// Its value.
    pub at: u64,
    /// The mark that overtook it.
    pub ahead: &'static str,
    /// Its value.
    pub beyond: u64,
}

impl Watermarks {
    /// Checks that sequenced ≥ committed ≥ executed ≥ settled and appended ≥ durable.
    ///
    /// # Errors
    ///
    /// The first pair in the wrong order.
    pub fn validate(&self) -> Result<(), WatermarkError> {
        let pairs = [
            ("sequenced", self.sequenced, "committed", self.committed),
            ("committed", self.committed, "executed", self.executed),
            ("executed", self.executed, "settled", self.settled),
            ("appended", self.appended_index, "durable", self.durable_index),
        ];
        for (behind, at, ahead, beyond) in pairs {
            if at < beyond {
                return Err(WatermarkError { behind, at, ahead, beyond });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pair_in_the_wrong_order_is_named() {
        let good = Watermarks {
            sequenced: 4,
            committed: 3,
            executed: 3,
            settled: 1,
            appended_index: 9,
            durable_index: 8,
            timestamp_ns: 1,
        };
        assert_eq!(good.validate(), Ok(()));
        let wrong = Watermarks { settled: 5, ..good };
        assert_eq!(wrong.validate().unwrap_err().behind, "executed");
        let wrong = Watermarks { durable_index: 10, ..good };
        assert_eq!(wrong.validate().unwrap_err().ahead, "durable");
    }

    #[test]
    fn settled_never_falls() {
        let marks = Marks::new(Executed::default(), 0, 0, None);
        marks.settle(5);
        marks.settle(3);
        assert_eq!(marks.watermarks().settled, 5);
        assert_eq!(marks.deadline_ns(), None);
    }
}
