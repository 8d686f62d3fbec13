//! Plain counters of the stages, for whoever publishes them.
//!
//! They are never read by the stages themselves. Invariant: a counter only rises.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one stage.
#[derive(Debug, Default)]
pub struct StageMetrics {
    /// Nanoseconds spent in steps; counted by whoever drives the stage.
    pub working_ns: AtomicU64,
    /// How long each step took; counted by whoever drives the stage.
    pub steps: StepTimes,
    /// Nanoseconds spent waiting; counted by whoever drives the stage.
    pub waiting_ns: AtomicU64,
    /// Groups: records appended, syncs made, steps in which requests were executed.
    pub groups: AtomicU64,
    /// Requests; at the sync stage records.
    pub requests: AtomicU64,
    /// Commands, and at the engine stage reads.
    pub commands: AtomicU64,
    /// Bytes: of journal payload, of replies.
    pub bytes: AtomicU64,
    /// Requests refused because the journal had no room.
    pub refused: AtomicU64,
}

/// How long steps took: a count for each class of durations, whose bounds double.
#[derive(Debug, Default)]
pub struct StepTimes {
    counts: [AtomicU64; Self::CLASSES],
}

impl StepTimes {
    /// Classes; the last one has no bound.
    pub const CLASSES: usize = 16;
    /// Bound of the first class in nanoseconds: 62.5 µs. That of the last but one is 1.024 s.
    const FIRST_NS: u64 = 62_500;

    /// Counts a step of `took_ns` nanoseconds.
    pub fn add(&self, took_ns: u64) {
        let doublings =
            took_ns.div_ceil(Self::FIRST_NS).max(1).next_power_of_two().trailing_zeros();
        let class = (doublings as usize).min(Self::CLASSES - 1);
        add(&self.counts[class], 1);
    }

    /// Bound of each class in nanoseconds, inclusive (`None`: no bound), and its count.
    pub fn classes(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        self.counts.iter().enumerate().map(|(class, count)| {
            let is_bounded = class < Self::CLASSES - 1;
            (is_bounded.then(|| Self::FIRST_NS << class), count.load(Ordering::Relaxed))
        })
    }
}

/// Counters of all stages.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Of the journal stage.
    pub journal: StageMetrics,
    /// Of the sync stage.
    pub sync: StageMetrics,
    /// Of the engine stage.
    pub engine: StageMetrics,
    /// Ticks journaled.
    pub ticks: AtomicU64,
}

/// Adds to a counter that only its stage writes.
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::StepTimes;

    #[test]
    fn a_step_is_counted_where_its_duration_belongs() {
        let times = StepTimes::default();
        for took_ns in [0, 62_500, 62_501, 125_000, 1_024_000_000, 1_024_000_001, u64::MAX] {
            times.add(took_ns);
        }
        let classes: Vec<_> = times.classes().filter(|&(_, count)| count > 0).collect();
        let expected = [(Some(62_500), 2), (Some(125_000), 2), (Some(1_024_000_000), 1), (None, 2)];
        assert_eq!(classes, expected);
    }
}
