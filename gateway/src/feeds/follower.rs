//! One follower: where it stands, and what it is told next, from the tail or by a round.
//!
//! It waits as long as it likes; nobody waits for it. Invariant: its place only rises, and
//! whatever it has been given lies at or before it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use identity::{Principal, Role};
use protocol::feed::{Followed, Place};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::round::{Runner, Told};
use super::{FeedError, FeedLimits, Feeds, Filter, Joining, Start};
use crate::limits::{
    FEED_BLOCK_MAX, FEED_JOIN_TIMEOUT, FEED_QUEUE_BLOCKS, FEED_SETTLE, FEEDS_KEPT_PART,
    FEEDS_OF_AGENT_MAX, FEEDS_OF_ONE_MAX, JOURNAL_WALKS_MAX,
};

/// What a follower is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The next effects, at least one.
    Events(Vec<Followed>),
    /// Nothing of interest lies at or before this place any more.
    Progress(Place),
    /// Nothing for a while.
    Quiet,
    /// It cannot be told more.
    Ended(FeedError),
}

/// See the module.
pub(crate) struct Follower {
    seat: Seat,
    filter: Filter,
    place: Place,
    /// The last place that was told.
    said: Place,
    since: u64,
    /// Set by whoever adds to the tail.
    notify: Arc<Notify>,
    /// While it is behind the tail.
    catching_up: Option<mpsc::Receiver<Told>>,
    quiet: Duration,
    /// When it last said something, and how long it may say nothing after that.
    last_said: (Instant, Duration),
}

/// What somebody follows for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be told whatever comes.
    Feed,
    /// To read a part of the past. Whoever asks sees to it that one identity has not too many.
    Walk,
}

/// A place among the followers; dropped, it is free.
struct Seat {
    feeds: Arc<Feeds>,
    purpose: Purpose,
    principal: Principal,
    filter: Filter,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.feeds.state();
        match self.purpose {
            Purpose::Walk => state.walking -= 1,
            Purpose::Feed => state.leave(self.principal.id),
        }
        if let Some(topic) = state.topics.get_mut(&self.filter.whose) {
            topic.members.remove(&self.number);
            if topic.members.is_empty() {
                topic.left = Some(std::time::Instant::now());
            }
        }
    }
}

impl Feeds {
    /// A place for `principal`, from which `filter` is followed behind `after`, or from now on. It
    /// says something at least every `quiet`.
    pub(crate) async fn join(
        self: &Arc<Self>,
        principal: Principal,
        filter: Filter,
        after: Option<Place>,
        quiet: Duration,
    ) -> Result<Follower, FeedError> {
        self.join_for(Purpose::Feed, principal, filter, after, quiet).await
    }

    /// The same, for a purpose.
    pub(crate) async fn join_for(
        self: &Arc<Self>,
        purpose: Purpose,
        principal: Principal,
        filter: Filter,
        after: Option<Place>,
        quiet: Duration,
    ) -> Result<Follower, FeedError> {
        let seat = self.seat(purpose, principal, filter)?;
        let (answer, answered) = oneshot::channel();
        let joining = Joining { whose: filter.whose, after, answer };
        self.state().await_joining(joining, self.limits.followers_max);
        self.pumped.notify_all();
        let Start { place, since } = match timeout(FEED_JOIN_TIMEOUT, answered).await {
            Ok(Ok(start)) => start?,
            Ok(Err(_)) if self.is_closed() => return Err(FeedError::Closed),
            Ok(Err(_)) | Err(_) => return Err(FeedError::Unavailable),
        };
        let notify = Arc::new(Notify::new());
        let mut state = self.state();
        if state.is_closed {
            return Err(FeedError::Closed);
        }
        // What is not told since then would be a hole.
        let topic = state.topics.get_mut(&filter.whose).filter(|it| it.since == Some(since));
        let topic = topic.ok_or(FeedError::Unavailable)?;
        topic.members.insert(seat.number, Arc::clone(&notify));
        topic.left = None;
        drop(state);
        let last_said = (Instant::now(), quiet);
        let (said, catching_up) = (place, None);
        Ok(Follower { seat, filter, place, said, since, notify, catching_up, quiet, last_said })
    }

    fn seat(
        self: &Arc<Self>,
        purpose: Purpose,
        principal: Principal,
        filter: Filter,
    ) -> Result<Seat, FeedError> {
        let FeedLimits { followers_max, .. } = self.limits;
        let sees_all = matches!(principal.role, Role::Admin | Role::Auditor);
        let of = |all: usize| if sees_all { all } else { all - all / FEEDS_KEPT_PART };
        let is_agent = principal.role == Role::Agent;
        let max = if is_agent { FEEDS_OF_AGENT_MAX } else { FEEDS_OF_ONE_MAX };
        let mut state = self.state();
        if state.is_closed {
            return Err(FeedError::Closed);
        }
        match purpose {
            Purpose::Feed => state.enter(principal.id, max, of(followers_max))?,
            Purpose::Walk => {
                let walks_max =
                    if is_agent { JOURNAL_WALKS_MAX / 2 } else { of(JOURNAL_WALKS_MAX) };
                if state.walking >= walks_max {
                    return Err(FeedError::Unavailable);
                }
                state.walking += 1;
            }
        }
        drop(state);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        Ok(Seat { feeds: Arc::clone(self), purpose, principal, filter, number })
    }
}

/// What a look at the tail found.
enum Look {
    Events(Vec<Followed>),
    /// There may be more behind the place that was reached.
    Passed,
    /// Everything that has come has been told.
    Even,
    /// The tail does not reach back to it.
    Behind,
    Closed,
}

impl Follower {
    /// Where it stands.
    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    /// What it takes.
    pub(crate) const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// What comes next; waits for it. It may be dropped half way and asked again.
    pub(crate) async fn next(&mut self) -> News {
        let mut is_due = false;
        let news = loop {
            let due = self.last_said.0 + self.last_said.1;
            let news = match &mut self.catching_up {
                Some(told) => {
                    let heard = tokio::select! {
                        biased;
                        told = timeout_at(due, told.recv()) => told.map(Some),
                        () = self.notify.notified() => Ok(None),
                    };
                    match heard {
                        Ok(Some(told)) => self.hear(told),
                        // Of the tail, which it has not come to yet; or the end.
                        Ok(None) if self.seat.feeds.is_closed() => {
                            Some(News::Ended(FeedError::Closed))
                        }
                        Ok(None) => None,
                        Err(_) => Some(News::Quiet),
                    }
                }
                None => match self.look() {
                    Look::Events(events) => Some(News::Events(events)),
                    Look::Passed => None,
                    Look::Closed => Some(News::Ended(FeedError::Closed)),
                    Look::Behind => {
                        self.fall_back();
                        None
                    }
                    Look::Even if is_due => Some(self.rest()),
                    Look::Even => {
                        // It says how far the history is then, not how far it was before.
                        is_due = timeout_at(due, self.notify.notified()).await.is_err();
                        None
                    }
                },
            };
            if let Some(news) = news {
                break news;
            }
            // A long way without anything of interest is no reason to keep others waiting.
            tokio::task::yield_now().await;
        };
        // Behind the last of some effects it is soon told that there are no more for now.
        let pause = match &news {
            News::Events(_) => self.quiet.min(FEED_SETTLE),
            _ => self.quiet,
        };
        self.last_said = (Instant::now(), pause);
        match &news {
            News::Events(events) => self.said = events.last().map_or(self.said, Followed::place),
            News::Progress(place) => self.said = *place,
            News::Quiet | News::Ended(_) => {}
        }
        news
    }

    fn rest(&self) -> News {
        if self.place == self.said { News::Quiet } else { News::Progress(self.place) }
    }

    fn hear(&mut self, told: Option<Told>) -> Option<News> {
        match told {
            Some(Told::Events(events)) => {
                if let Some(last) = events.last() {
                    self.place = last.place();
                }
                Some(News::Events(events))
            }
            Some(Told::Progress(place)) => {
                self.place = self.place.max(place);
                Some(News::Progress(self.place))
            }
            Some(Told::Even(place)) => {
                self.place = self.place.max(place);
                self.catching_up = None;
                None
            }
            Some(Told::Failed(error)) => Some(News::Ended(error)),
            None if self.seat.feeds.is_closed() => Some(News::Ended(FeedError::Closed)),
            None => Some(News::Ended(FeedError::Unavailable)),
        }
    }

    fn look(&mut self) -> Look {
        let state = self.seat.feeds.state();
        if state.is_closed {
            return Look::Closed;
        }
        let floor = state.tail.floor_of(self.filter.whose);
        if self.place < Place::after(self.since.max(floor)) {
            return Look::Behind;
        }
        let mut events = Vec::new();
        let place = state.tail.collect(&self.filter, self.place, FEED_BLOCK_MAX, &mut events);
        let has_moved = place > self.place;
        let through = state.tail.through();
        drop(state);
        self.place = place;
        match (events.is_empty(), has_moved) {
            (false, _) => Look::Events(events),
            (true, true) => Look::Passed,
            (true, false) => {
                // Nobody can take from it any more what lies before.
                self.place = self.place.max(Place::after(through));
                Look::Even
            }
        }
    }

    /// Waits for a round.
    fn fall_back(&mut self) {
        let (sender, receiver) = mpsc::channel(FEED_QUEUE_BLOCKS);
        self.catching_up = Some(receiver);
        let identity = self.seat.principal.id;
        let runner = Runner::new(identity, self.filter, self.place, self.since, sender);
        let feeds = &self.seat.feeds;
        feeds.state().waiting.push(runner);
        feeds.behind.notify_all();
    }
}
