//! The feeds: what the engine tells of the history, on its way to those who follow it.
//!
//! ```text
//!  engine stage ─► tap ─► pump ─► tail ─────────────► follower ─► its connection
//!                 (server threads)                       ▲
//!  journal ─────► retelling ─► round ─► queue ───────────┘ while it is behind the tail
//! ```
//!
//! It starts no thread and reads no journal: the server's two threads drive it, one with
//! [`Feeds::pump`], one with [`Feeds::next_round`]. Nobody here ever holds up the engine: who is
//! too slow falls off the tail and is served from the journal until it meets the tail again.
//! Invariant: a follower is given every effect that its filter takes behind the place where it
//! began, once, in order.

mod feed;
mod filter;
mod follower;
mod right;
mod round;
mod tail;
mod topics;
mod turns;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::feed::{Followed, Interest, Place};

use crate::limits::FEED_CARRY_MAX;
pub(crate) use feed::{Asks, Denied, Feed, Open, Wish};
pub use filter::{Filter, Whose};
pub(crate) use follower::{Follower, News, Purpose};
pub(crate) use right::{Right, Sight, is_granted, question, right};
pub use round::Round;
use topics::{Joining, Start, State};

/// How many may follow, and how much is kept for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedLimits {
    /// Followers at once.
    pub followers_max: usize,
    /// Bytes of the tail.
    pub tail_size: usize,
    /// Shortest and longest time between two replays of the journal for one identity; in between,
    /// as long as the last one took.
    pub replay_pauses: (Duration, Duration),
}

/// Why somebody cannot follow, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// There are as many followers as there may be.
    #[error("there are as many feeds as the frame serves; try again later")]
    Full,
    /// The identity follows as often as it may.
    #[error("the identity has {max} feeds, as many as it may; close one")]
    TooMany {
        /// How many those are.
        max: usize,
    },
    /// What is asked for is no longer kept.
    #[error("the history before sequence {first} is no longer kept; begin with after={}, and take \
             what was before from balances or SQL", first.saturating_sub(1))]
    Gone {
        /// The first sequence that can be told.
        first: u64,
    },
    /// The history has not come that far.
    #[error("the history ends with sequence {last}; `after` is beyond it")]
    Ahead {
        /// Its last sequence.
        last: u64,
    },
    /// The journal cannot be read.
    #[error("the journal cannot be read now; try again later")]
    Unreadable,
    /// The frame ends.
    #[error("the frame shuts down; connect again later")]
    Closed,
    /// It takes too long.
    #[error("the frame is too busy; try again later")]
    Unavailable,
}

/// What the pump's thread finds out.
pub trait Present {
    /// Has the engine tell of this from now on; gives the last sequence of which it did not yet.
    fn follow(&mut self, interest: Option<Interest>) -> Option<u64>;
    /// The last sequence executed. What was told of it before is given by the next ones.
    fn executed(&mut self) -> u64;
    /// The next effects that were told.
    fn next(&mut self) -> Option<Vec<Followed>>;
    /// The last sequence of which effects were left out.
    fn left_out(&mut self) -> u64;
    /// The last sequence that is durable.
    fn durable(&mut self) -> u64;
    /// The lowest sequence behind which the journal can tell everything.
    fn reaches_back_to(&mut self) -> Option<u64>;
}

/// The feeds of one frame.
pub struct Feeds {
    limits: FeedLimits,
    state: Mutex<State>,
    /// Where the pump waits for followers.
    pumped: Condvar,
    /// Where the rounds wait for those who are behind.
    behind: Condvar,
    /// The tail's, so that rounds need no lock to look.
    middle: AtomicU64,
    numbers: AtomicU64,
}

impl Feeds {
    /// Without followers.
    #[must_use]
    pub fn new(limits: FeedLimits) -> Arc<Self> {
        let state = Mutex::new(State::new(&limits));
        Arc::new(Self {
            limits,
            state,
            pumped: Condvar::new(),
            behind: Condvar::new(),
            middle: AtomicU64::new(0),
            numbers: AtomicU64::new(0),
        })
    }

    /// Ends every feed, and both threads.
    pub fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.joining.clear();
        state.waiting.clear();
        state
            .topics
            .values()
            .flat_map(|topic| topic.members.values())
            .for_each(|it| it.notify_one());
        drop(state);
        self.pumped.notify_all();
        self.behind.notify_all();
    }

    /// Waits up to `pause`, or as long as nobody follows, and then carries what was told to the
    /// tail; false when the feeds are closed.
    pub fn pump(&self, present: &mut impl Present, pause: Duration) -> bool {
        let mut state = self.state();
        if state.topics.is_empty() && !state.is_stale {
            let none = |state: &mut State| state.joining.is_empty() && !state.is_closed;
            state = self.pumped.wait_while(state, none).unwrap_or_else(PoisonError::into_inner);
        } else {
            let none = |state: &mut State| state.joining.is_empty() && !state.is_closed;
            let waited = self.pumped.wait_timeout_while(state, pause, none);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.is_closed {
            return false;
        }
        let mut joining = std::mem::take(&mut state.joining);
        joining.retain(|it| !it.answer.is_closed());
        let interest = state.attend(&joining, Instant::now());
        drop(state);
        if let Some(interest) = interest {
            let since = present.follow(interest);
            let mut state = self.state();
            state.grant(since);
            if since.is_none() {
                // Whoever waits too long is told so by itself.
                state.joining.extend(joining);
                drop(state);
                std::thread::sleep(pause);
                return true;
            }
        }
        self.carry(present);
        for one in joining {
            self.begin(one, present);
        }
        true
    }

    /// Carries what was told to the tail, a little at a time: others need the lock too.
    fn carry(&self, present: &mut impl Present) {
        let executed = present.executed();
        let mut touched = Vec::new();
        while let Some(block) = present.next() {
            // What was left out before this block is known by now, and is to be a hole for nobody.
            let left_out = present.left_out();
            for piece in block.chunks(FEED_CARRY_MAX) {
                let mut state = self.state();
                state.tail.leave_out(left_out);
                state.tail.append(piece, |owner| touched.push(owner));
                self.middle.store(state.tail.middle(), Ordering::Release);
            }
            touched.sort_unstable();
            touched.dedup();
            let state = self.state();
            touched.drain(..).for_each(|owner| state.wake(Whose::Owner(owner)));
            state.wake(Whose::All);
        }
        let left_out = present.left_out();
        let mut state = self.state();
        state.tail.leave_out(left_out);
        state.tail.raise(executed);
        self.middle.store(state.tail.middle(), Ordering::Release);
    }

    /// Tells one who has come where it begins.
    fn begin(&self, joining: Joining, present: &mut impl Present) {
        let state = self.state();
        let since = state.topics.get(&joining.whose).and_then(|topic| topic.since);
        let (floor, through) = (state.tail.floor_of(joining.whose), state.tail.through());
        drop(state);
        let answer = since.ok_or(FeedError::Unavailable).and_then(|since| {
            let covered = Place::after(since.max(floor));
            let place = joining.after.unwrap_or_else(|| Place::after(since.max(through)));
            if place.sequence() > through.max(since) {
                let last = present.durable();
                if place.sequence() > last {
                    return Err(FeedError::Ahead { last });
                }
            }
            if place < covered {
                let reach = present.reaches_back_to().ok_or(FeedError::Unreadable)?;
                if place.whole() < reach {
                    return Err(FeedError::Gone { first: reach.saturating_add(1) });
                }
            }
            Ok(Start { place, since })
        });
        // Whoever no longer waits has left.
        let _ = joining.answer.send(answer);
    }

    /// The next ones who are behind, to be told from the journal; waits for them, and for their
    /// turn. Nothing when the feeds are closed.
    #[must_use]
    pub fn next_round(self: &Arc<Self>) -> Option<Round> {
        let mut state = self.state();
        while !state.is_closed {
            let now = Instant::now();
            let runners = state.take_waiting(now, |_| true);
            if !runners.is_empty() {
                drop(state);
                return Some(Round::new(Arc::clone(self), runners));
            }
            state = match state.next_turn(now) {
                None => self.behind.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(pause) => {
                    let waited = self.behind.wait_timeout(state, pause);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        None
    }

    /// Whether they have ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Feeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeds").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "feeds/feeds_test.rs"]
mod tests;

#[cfg(test)]
#[path = "feeds/by_hand_test.rs"]
mod by_hand_tests;
