//! A round: those who are behind the tail, told from the journal by one replay for all of them,
//! until each meets the tail.
//!
//! It replays nothing itself. One who does not take what it is told holds up the others only a
//! little while; then it waits for another round. Invariant: who leaves a round for the tail
//! stands at a record's end behind which the tail has everything that it wants.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use protocol::feed::{Followed, Interest, Place};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::filter::interest;
use super::{FeedError, Feeds, Filter};
use crate::limits::{FEED_BLOCK_MAX, FEED_PROGRESS_SEQUENCES, FEED_ROUND_PATIENCE};

/// How often a full queue is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What one who is behind is told.
#[derive(Debug)]
pub(super) enum Told {
    Events(Vec<Followed>),
    /// There was nothing else at or before this place.
    Progress(Place),
    /// The tail goes on from here.
    Even(Place),
    Failed(FeedError),
}

/// One who is behind.
pub(super) struct Runner {
    filter: Filter,
    /// It was told everything at or before this place.
    place: Place,
    /// The tail has everything of it behind this sequence.
    since: u64,
    queue: mpsc::Sender<Told>,
    block: Vec<Followed>,
}

impl Runner {
    pub(super) const fn new(
        filter: Filter,
        place: Place,
        since: u64,
        queue: mpsc::Sender<Told>,
    ) -> Self {
        Self { filter, place, since, queue, block: Vec::new() }
    }
}

/// What becomes of a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    /// It has left, or follows the tail now.
    Leaves,
    /// It takes too long, and others wait.
    Waits,
}

/// See the module.
pub struct Round {
    feeds: Arc<Feeds>,
    runners: Vec<Runner>,
    /// How far the replay has come.
    reached: Place,
}

impl Round {
    pub(super) const fn new(feeds: Arc<Feeds>, runners: Vec<Runner>) -> Self {
        Self { feeds, runners, reached: Place::after(0) }
    }

    /// The last sequence of which nobody here has to be told.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.runners.iter().map(|runner| runner.place.whole()).min().unwrap_or(u64::MAX)
    }

    /// What has to be told.
    #[must_use]
    pub fn interest(&self) -> Interest {
        let whose = self.runners.iter().map(|runner| runner.filter.whose);
        interest(whose).unwrap_or_else(|| Interest::Owners(protocol::feed::Owners::default()))
    }

    /// Whether nobody is left.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.runners.is_empty()
    }

    /// Tells everybody what a record holds, which ends with sequence `executed`.
    pub fn tell(&mut self, events: &[Followed], executed: u64) {
        self.reached = Place::after(executed);
        let mut at = 0;
        while at < self.runners.len() {
            match self.tell_one(at, events, executed) {
                Fate::Stays => at += 1,
                Fate::Leaves => drop(self.runners.swap_remove(at)),
                Fate::Waits => {
                    let mut runner = self.runners.swap_remove(at);
                    runner.block.clear();
                    self.feeds.state().waiting.push(runner);
                }
            }
        }
    }

    /// Takes in those who have come meanwhile and whose place the replay has not passed; what has
    /// to be told for them too.
    pub fn take_in(&mut self) -> Option<Interest> {
        let mut state = self.feeds.state();
        if state.waiting.is_empty() {
            return None;
        }
        let waiting = std::mem::take(&mut state.waiting);
        let (fits, others) = waiting.into_iter().partition(|it| it.place >= self.reached);
        state.waiting = others;
        drop(state);
        let fits: Vec<Runner> = fits;
        let added = interest(fits.iter().map(|runner| runner.filter.whose));
        self.runners.extend(fits);
        added
    }

    /// Tells everybody that it cannot be told more.
    pub fn fail(self, error: FeedError) {
        for runner in self.runners {
            // One who does not take this will find the queue closed.
            let _ = runner.queue.try_send(Told::Failed(error));
        }
    }

    fn tell_one(&mut self, at: usize, events: &[Followed], executed: u64) -> Fate {
        for event in events {
            let runner = &mut self.runners[at];
            if event.place() > runner.place && runner.filter.takes(event) {
                runner.block.push(*event);
                if runner.block.len() >= FEED_BLOCK_MAX {
                    let fate = self.flush(at);
                    if fate != Fate::Stays {
                        return fate;
                    }
                }
            }
        }
        let runner = &self.runners[at];
        let floor = self.feeds.floor.load(Ordering::Acquire);
        let is_even = executed >= runner.since.max(floor) && self.reached >= runner.place;
        let is_due = executed.saturating_sub(runner.place.sequence()) >= FEED_PROGRESS_SEQUENCES;
        if !is_even && !is_due {
            return Fate::Stays;
        }
        let reached = self.reached;
        let told = if is_even { Told::Even(reached) } else { Told::Progress(reached) };
        match self.flush(at) {
            Fate::Stays => {}
            fate => return fate,
        }
        match self.send(at, told) {
            Fate::Stays if is_even => Fate::Leaves,
            Fate::Stays => {
                self.runners[at].place = reached;
                Fate::Stays
            }
            fate => fate,
        }
    }

    /// Sends what has gathered for a runner.
    fn flush(&mut self, at: usize) -> Fate {
        let block = std::mem::take(&mut self.runners[at].block);
        let Some(last) = block.last().map(Followed::place) else {
            return Fate::Stays;
        };
        let fate = self.send(at, Told::Events(block));
        if fate == Fate::Stays {
            self.runners[at].place = last;
        }
        fate
    }

    /// Sends, waiting for room as long as that harms nobody else.
    fn send(&self, at: usize, mut told: Told) -> Fate {
        let mut waited = Duration::ZERO;
        loop {
            told = match self.runners[at].queue.try_send(told) {
                Ok(()) => return Fate::Stays,
                Err(TrySendError::Closed(_)) => return Fate::Leaves,
                Err(TrySendError::Full(told)) => told,
            };
            if waited >= FEED_ROUND_PATIENCE {
                let state = self.feeds.state();
                if state.is_closed {
                    return Fate::Leaves;
                }
                if self.runners.len() > 1 || !state.waiting.is_empty() {
                    return Fate::Waits;
                }
            }
            sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
    }
}
