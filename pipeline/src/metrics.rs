//! Plain counters of the stages, for whoever publishes them.
//!
//! They are never read by the stages themselves. Invariant: a counter only rises.

use std::sync::atomic::{AtomicU64, Ordering};

use ring::Durations;

/// Counters of one stage.
#[derive(Debug, Default)]
pub struct StageMetrics {
    /// How long each step took; counted by whoever drives the stage.
    pub steps: Durations,
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

/// Counters of all stages.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Of the journal stage.
    pub journal: StageMetrics,
    /// Of the sync stage.
    pub sync: StageMetrics,
    /// Of the engine stage.
    pub engine: StageMetrics,
    /// How long it took to make a group durable; counted by whoever drives the sync stage.
    pub syncs: Durations,
    /// Ticks journaled.
    pub ticks: AtomicU64,
}

/// Adds to a counter that only its stage writes.
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
