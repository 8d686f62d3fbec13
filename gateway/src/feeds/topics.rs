//! What is followed now, by whom, and what the engine is to tell because of that.
//!
//! It asks no engine. Invariant: whatever is followed is among the topics, and of a topic with a
//! `since` the tail is given everything behind it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::OwnerId;
use protocol::feed::{Interest, Place};
use tokio::sync::{Notify, oneshot};

use super::filter::{Whose, interest};
use super::round::Runner;
use super::tail::Tail;
use super::turns::Turns;
use super::{FeedError, FeedLimits};
use crate::limits::FEED_LINGER;

/// Those who follow the same.
#[derive(Default)]
pub(super) struct Topic {
    /// The engine tells of it behind this sequence.
    pub(super) since: Option<u64>,
    pub(super) members: HashMap<u64, Arc<Notify>>,
    /// When the last one left.
    pub(super) left: Option<Instant>,
}

/// Somebody who has come and does not follow yet.
pub(super) struct Joining {
    pub(super) whose: Whose,
    pub(super) after: Option<Place>,
    pub(super) answer: oneshot::Sender<Result<Start, FeedError>>,
}

/// Where a follower begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) place: Place,
    /// The tail has everything of it behind this sequence, if it is not below the floor.
    pub(super) since: u64,
}

/// What is behind the lock of the feeds.
pub(super) struct State {
    pub(super) tail: Tail,
    pub(super) topics: HashMap<Whose, Topic>,
    /// Topics without anybody.
    lingering_max: usize,
    /// What the engine was last told to tell has to be told anew.
    pub(super) is_stale: bool,
    pub(super) joining: Vec<Joining>,
    pub(super) waiting: Vec<Runner>,
    pub(super) turns: Turns,
    by_identity: HashMap<OwnerId, usize>,
    /// Feeds.
    pub(super) open: usize,
    /// Walks through the past.
    pub(super) walking: usize,
    pub(super) is_closed: bool,
}

impl State {
    pub(super) fn new(limits: &FeedLimits) -> Self {
        Self {
            tail: Tail::new(limits.tail_size / size_of::<protocol::feed::Followed>()),
            topics: HashMap::new(),
            lingering_max: limits.followers_max,
            is_stale: false,
            joining: Vec::new(),
            waiting: Vec::new(),
            turns: Turns::new(limits.replay_pauses),
            by_identity: HashMap::new(),
            open: 0,
            walking: 0,
            is_closed: false,
        }
    }

    /// One more feed of `identity`, which may have `of_one_max`.
    pub(super) fn enter(
        &mut self,
        identity: OwnerId,
        of_one_max: usize,
        max: usize,
    ) -> Result<(), FeedError> {
        if self.open >= max {
            return Err(FeedError::Full);
        }
        let count = self.by_identity.entry(identity).or_default();
        if *count >= of_one_max {
            return Err(FeedError::TooMany { max: of_one_max });
        }
        *count += 1;
        self.open += 1;
        Ok(())
    }

    /// One feed of `identity` less.
    pub(super) fn leave(&mut self, identity: OwnerId) {
        self.open -= 1;
        if let Some(count) = self.by_identity.get_mut(&identity) {
            *count -= 1;
            if *count == 0 {
                self.by_identity.remove(&identity);
            }
        }
    }

    /// Tells those who follow this that there is more.
    pub(super) fn wake(&self, whose: Whose) {
        if let Some(topic) = self.topics.get(&whose) {
            topic.members.values().for_each(|member| member.notify_one());
        }
    }

    /// Takes up what those who join want, and gives up what nobody has wanted for a while. What
    /// the engine is to tell from now on, if that changes.
    pub(super) fn attend(&mut self, joining: &[Joining], now: Instant) -> Option<Option<Interest>> {
        let before = self.topics.len();
        let longest = self.longest_linger(now);
        let tail = &mut self.tail;
        self.topics.retain(|whose, topic| {
            let has_lingered =
                topic.left.is_some_and(|left| now.saturating_duration_since(left) >= longest);
            let stays = !has_lingered || joining.iter().any(|it| it.whose == *whose);
            if let (false, Whose::Owner(owner)) = (stays, whose) {
                tail.unwatch(*owner);
            }
            stays
        });
        self.is_stale |= self.topics.len() < before;
        if self.topics.is_empty() {
            self.tail.clear();
        }
        for one in joining {
            if let Whose::Owner(owner) = one.whose {
                self.tail.watch(owner);
            }
            let topic = self.topics.entry(one.whose).or_default();
            self.is_stale |= topic.since.is_none();
            if topic.members.is_empty() {
                // Should it not come to that after all.
                topic.left = Some(now);
            }
        }
        self.is_stale.then(|| interest(self.topics.keys().copied()))
    }

    /// How long a topic may be without anybody, so that there are not too many of them.
    fn longest_linger(&self, now: Instant) -> Duration {
        let left = self.topics.values().filter_map(|topic| topic.left);
        let mut ages: Vec<_> = left.map(|left| now.saturating_duration_since(left)).collect();
        if ages.len() <= self.lingering_max {
            return FEED_LINGER;
        }
        let (_, first_too_old, _) = ages.select_nth_unstable(self.lingering_max);
        FEED_LINGER.min(*first_too_old)
    }

    /// The engine tells of everything that is followed behind `since`; nothing: it did not answer.
    pub(super) fn grant(&mut self, since: Option<u64>) {
        let Some(since) = since else {
            return;
        };
        self.is_stale = false;
        for topic in self.topics.values_mut() {
            topic.since.get_or_insert(since);
        }
    }

    /// One that comes to follow, beside at most `max` others.
    pub(super) fn await_joining(&mut self, one: Joining, max: usize) {
        if self.joining.len() >= max {
            self.joining.retain(|it| !it.answer.is_closed());
        }
        self.joining.push(one);
    }

    /// Those who wait for a round, have not left, and whose turn it is.
    pub(super) fn take_waiting(
        &mut self,
        now: Instant,
        fits: impl Fn(&Runner) -> bool,
    ) -> Vec<Runner> {
        let (turns, waiting) = (&self.turns, std::mem::take(&mut self.waiting));
        let present = waiting.into_iter().filter(|it| !it.is_gone());
        let is_next = |it: &Runner| turns.due(it.principal, now).is_none() && fits(it);
        let (taken, others) = present.partition(is_next);
        self.waiting = others;
        taken
    }

    /// How long until it is somebody's turn who waits.
    pub(super) fn next_turn(&self, now: Instant) -> Option<Duration> {
        let dues = self.waiting.iter().map(|it| self.turns.due(it.principal, now).unwrap_or(now));
        dues.min().map(|due| due.saturating_duration_since(now))
    }
}
