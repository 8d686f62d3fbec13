//! A round: those who are behind the tail, told from the journal by one replay for all of them,
//! until each meets the tail.
//!
//! It replays nothing itself. Those who do not take what they are told hold up the others only a
//! little while, all of them together; then they wait for another round. Invariant: who leaves a
//! round for the tail stands at a record's end behind which the tail has everything that it wants,
//! and not where the next moment takes it away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use protocol::OwnerId;
use protocol::feed::{Followed, Interest, Place};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::filter::interest;
use super::{FeedError, Feeds, Filter, State};
use crate::limits::{
    FEED_BLOCK_MAX, FEED_EFFECT_PATIENCE, FEED_PROGRESS_SEQUENCES, FEED_ROUND_PATIENCE,
};

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
    pub(super) principal: OwnerId,
    filter: Filter,
    /// It was told everything at or before this place.
    place: Place,
    /// The tail has everything of it behind this sequence.
    since: u64,
    queue: mpsc::Sender<Told>,
    block: Vec<Followed>,
    /// How long it may still be waited for, of what it has earned.
    pub(super) earned: Duration,
    /// When its turn began.
    began: Instant,
}

impl Runner {
    pub(super) fn new(
        principal: OwnerId,
        filter: Filter,
        place: Place,
        since: u64,
        queue: mpsc::Sender<Told>,
    ) -> Self {
        let (earned, began) = (Duration::ZERO, Instant::now());
        Self { principal, filter, place, since, queue, block: Vec::new(), earned, began }
    }

    /// Whether nobody hears what it would be told.
    pub(super) fn is_gone(&self) -> bool {
        self.queue.is_closed()
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
    pub(super) runners: Vec<Runner>,
    /// How far the replay has come.
    reached: Place,
    /// How long those may still be waited for who have earned nothing.
    pub(super) patience: Duration,
}

impl Drop for Round {
    fn drop(&mut self) {
        let mut state = self.feeds.state();
        self.runners.drain(..).for_each(|runner| end_turn(&mut state, &runner));
    }
}

fn end_turn(state: &mut State, runner: &Runner) {
    let now = Instant::now();
    state.turns.end(runner.principal, now.saturating_duration_since(runner.began), now);
}

impl Round {
    pub(super) fn new(feeds: Arc<Feeds>, runners: Vec<Runner>) -> Self {
        let (runners, reached) = (begun(runners), Place::after(0));
        Self { feeds, runners, reached, patience: FEED_ROUND_PATIENCE }
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
        interest(whose).unwrap_or_else(|| Interest::Owners([].into_iter().collect()))
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
                fate => {
                    let mut runner = self.runners.swap_remove(at);
                    let mut state = self.feeds.state();
                    end_turn(&mut state, &runner);
                    if fate == Fate::Waits {
                        runner.block.clear();
                        state.waiting.push(runner);
                    }
                }
            }
        }
    }

    /// Takes in those who have come meanwhile and whose place the replay has not passed; if there
    /// are any, what has to be told from now on, to everybody who is here.
    pub fn take_in(&mut self) -> Option<Interest> {
        let mut state = self.feeds.state();
        if state.waiting.is_empty() {
            return None;
        }
        let fits = state.take_waiting(Instant::now(), |it| it.place >= self.reached);
        drop(state);
        let has_come = !fits.is_empty();
        self.runners.extend(begun(fits));
        has_come.then(|| self.interest())
    }

    /// Tells everybody that it cannot be told more.
    pub fn fail(self, error: FeedError) {
        for runner in &self.runners {
            // One who does not take this will find the queue closed.
            let _ = runner.queue.try_send(Told::Failed(error));
        }
    }

    fn tell_one(&mut self, at: usize, events: &[Followed], executed: u64) -> Fate {
        if self.runners[at].is_gone() {
            return Fate::Leaves;
        }
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
        // At the edge of a full tail it would lose in a moment what it was to go on with.
        let middle = self.feeds.middle.load(Ordering::Acquire);
        let is_even = executed >= runner.since.max(middle) && self.reached >= runner.place;
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
        let count = u32::try_from(block.len()).unwrap_or(u32::MAX);
        let fate = self.send(at, Told::Events(block));
        if fate == Fate::Stays {
            let runner = &mut self.runners[at];
            runner.place = last;
            let earned = runner.earned + FEED_EFFECT_PATIENCE * count;
            runner.earned = earned.min(FEED_ROUND_PATIENCE);
        }
        fate
    }

    /// Sends, waiting for room as long as that harms nobody else.
    fn send(&mut self, at: usize, mut told: Told) -> Fate {
        loop {
            told = match self.runners[at].queue.try_send(told) {
                Ok(()) => return Fate::Stays,
                Err(TrySendError::Closed(_)) => return Fate::Leaves,
                Err(TrySendError::Full(told)) => told,
            };
            if !self.has_patience(at) {
                let mut state = self.feeds.state();
                if state.is_closed {
                    return Fate::Leaves;
                }
                state.waiting.retain(|it| !it.is_gone());
                if self.runners.len() > 1 || !state.waiting.is_empty() {
                    return Fate::Waits;
                }
            }
            sleep(LOOK_EVERY);
        }
    }

    /// Whether a runner may be waited for a little longer: as long as it has earned, and then out
    /// of what everybody has together.
    fn has_patience(&mut self, at: usize) -> bool {
        let earned = &mut self.runners[at].earned;
        for purse in [earned, &mut self.patience] {
            if let Some(left) = purse.checked_sub(LOOK_EVERY) {
                *purse = left;
                return true;
            }
        }
        false
    }
}

/// Their turn begins now.
fn begun(mut runners: Vec<Runner>) -> Vec<Runner> {
    let now = Instant::now();
    runners.iter_mut().for_each(|runner| runner.began = now);
    runners
}
