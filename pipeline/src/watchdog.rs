//! The watchdog: says which stage stands still although it has work.
//!
//! It only judges; what follows from a stall is its caller's decision. Invariant: a stage without
//! work, or one that moves, is never called stalled.

use std::time::Duration;

use crate::limits::STALL_AFTER;

/// A stage of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Appends records.
    Journal,
    /// Makes them durable.
    Sync,
    /// Executes them.
    Engine,
}

impl Stage {
    /// Every stage, in the order of the pipeline.
    pub const ALL: [Self; 3] = [Self::Journal, Self::Sync, Self::Engine];

    /// Its name in logs and figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Sync => "sync",
            Self::Engine => "engine",
        }
    }
}

/// How far everybody had come at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursors {
    /// Requests published.
    pub published: u64,
    /// Requests journaled.
    pub journaled: u64,
    /// Requests taken by the engine stage.
    pub taken: u64,
    /// Records appended.
    pub appended: u64,
    /// Records durable.
    pub durable: u64,
}

/// A stage that stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Which.
    pub stage: Stage,
    /// For how long.
    pub during: Duration,
    /// What it has before it: requests, or records of the sync stage.
    pub pending: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    done: u64,
    since_ns: u64,
}

/// Watches the cursors of the stages.
#[derive(Clone, Debug)]
pub struct Watchdog {
    stall_after: Duration,
    watched: [Watched; 3],
}

impl Default for Watchdog {
    fn default() -> Self {
        Self::new(STALL_AFTER)
    }
}

impl Watchdog {
    /// Calls a stage stalled that has had work for `stall_after` without doing any.
    #[must_use]
    pub fn new(stall_after: Duration) -> Self {
        Self { stall_after, watched: [Watched::default(); 3] }
    }

    /// Looks at the cursors at `now_ns` of a monotonic clock and names the stage that holds up
    /// the others: the sync before the journal before the engine, since each waits for the one
    /// before.
    pub fn observe(&mut self, now_ns: u64, cursors: Cursors) -> Option<Stall> {
        let Cursors { published, journaled, taken, appended, durable } = cursors;
        let stages = [
            (Stage::Sync, durable, appended),
            (Stage::Journal, journaled, published),
            (Stage::Engine, taken, journaled),
        ];
        let mut stall = None;
        for (watched, (stage, done, due)) in self.watched.iter_mut().zip(stages) {
            let pending = due.saturating_sub(done);
            if pending == 0 || done != watched.done || watched.since_ns == 0 {
                *watched = Watched { done, since_ns: now_ns };
                continue;
            }
            let during = Duration::from_nanos(now_ns.saturating_sub(watched.since_ns));
            if during > self.stall_after && stall.is_none() {
                stall = Some(Stall { stage, during, pending });
            }
        }
        stall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn only_a_stage_with_work_that_stands_still_is_stalled() {
        let mut dog = Watchdog::default();
        let mut cursors = Cursors { published: 5, journaled: 5, taken: 5, appended: 2, durable: 2 };
        for second in 1..100 {
            assert_eq!(dog.observe(second * SECOND, cursors), None);
        }
        cursors.published = 6;
        assert_eq!(dog.observe(100 * SECOND, cursors), None);
        for second in 101..110 {
            assert_eq!(dog.observe(second * SECOND, cursors), None);
        }
        let stall = dog.observe(111 * SECOND, cursors).unwrap();
        assert_eq!((stall.stage, stall.pending), (Stage::Journal, 1));
        cursors.journaled = 6;
        assert_eq!(dog.observe(112 * SECOND, cursors), None);
    }

    #[test]
    fn a_stage_that_moves_is_never_stalled_however_far_behind() {
        let mut dog = Watchdog::default();
        for second in 1..200 {
            let cursors =
                Cursors { published: 1_000, journaled: 1_000, taken: second, ..Cursors::default() };
            assert_eq!(dog.observe(second * SECOND, cursors), None);
        }
    }

    #[test]
    fn the_first_that_holds_up_the_others_is_named() {
        let mut dog = Watchdog::new(Duration::from_secs(1));
        let cursors = Cursors { published: 9, journaled: 9, taken: 3, appended: 4, durable: 3 };
        assert_eq!(dog.observe(SECOND, cursors), None);
        let stall = dog.observe(3 * SECOND, cursors).unwrap();
        assert_eq!((stall.stage, stall.pending), (Stage::Sync, 1));
    }
}
