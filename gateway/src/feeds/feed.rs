//! One feed, from the question whether it may begin to the last effect that it may tell: the
//! judgement of every door.
//!
//! Who may follow what, `right` says; for a registry the engine is asked, through the door. It
//! frames nothing. Invariant: of an owner that a registry has lost it is told nothing behind the
//! move by which it lost it, and, once the engine has executed that for [`FEED_JUDGED_FOR`],
//! nothing but what lies just before such a move, or what comes while the engine does not answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use identity::{Principal, Role};
use protocol::feed::{Followed, Place};
use protocol::{AssetId, Command, OwnerId};
use tokio::time::Instant;

use super::right::{Right, is_granted, question, right};
use super::{FeedError, Feeds, Filter, Follower, News, Sight, Whose};
use crate::limits::{FEED_JUDGED_FOR, FEED_QUIET, FEED_UNJUDGED_MAX};
use crate::metrics::{Metrics, add};

/// A door, which asks the engine for one of its callers.
pub(crate) trait Asks: Send {
    /// Why there is no answer.
    type Unanswered: Send;

    /// The status of the answer to one read.
    fn ask(&mut self, read: Command) -> impl Future<Output = Result<u16, Self::Unanswered>> + Send;
}

/// Why somebody does not follow, or no longer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denied<U> {
    /// It has to name an account.
    Unnamed,
    /// It may not, as if there were nothing.
    NotFound,
    /// Not now, or not from there.
    Feed(FeedError),
    /// The engine does not say whether it may.
    Unanswered(U),
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// Nothing: everything that the caller may follow.
    pub(crate) account: Option<OwnerId>,
    /// Nothing: from now on.
    pub(crate) after: Option<Place>,
    /// A bit for the number of each event.
    pub(crate) events: u128,
    /// Nothing: any.
    pub(crate) asset: Option<AssetId>,
}

/// Counts a feed as long as it is open.
pub(crate) struct Open(Arc<Metrics>);

impl Open {
    pub(crate) fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.feeds_open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(metrics))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.feeds_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A feed that has begun.
pub(crate) struct Feed {
    follower: Follower,
    sight: Sight,
    /// When the engine was asked, as far as it said that the feed may go on.
    judged: Instant,
    open: Open,
}

/// What `principal` may have of what it asks for; nothing named: everything.
async fn granted<D: Asks>(
    principal: Principal,
    account: Option<OwnerId>,
    door: &mut D,
) -> Result<(Whose, Sight), Denied<D::Unanswered>> {
    match right(principal, account) {
        Right::Granted(whose, sight) => Ok((whose, sight)),
        Right::Hosted(owner) => {
            is_host(owner, door).await?;
            Ok((Whose::Owner(owner), Sight::Of(owner)))
        }
        Right::Unnamed => Err(Denied::Unnamed),
        Right::Nothing => Err(Denied::NotFound),
    }
}

/// Asks the engine whether the caller, a registry, hosts the owner.
async fn is_host<D: Asks>(owner: OwnerId, door: &mut D) -> Result<(), Denied<D::Unanswered>> {
    let status = door.ask(question(owner)).await.map_err(Denied::Unanswered)?;
    if is_granted(status) { Ok(()) } else { Err(Denied::NotFound) }
}

impl Feed {
    /// Joins those who follow, if `principal` may follow what it wishes.
    pub(crate) async fn begin<D: Asks>(
        (feeds, metrics): (&Arc<Feeds>, &Arc<Metrics>),
        principal: Principal,
        wish: Wish,
        door: &mut D,
    ) -> Result<Self, Denied<D::Unanswered>> {
        let (whose, sight) = granted(principal, wish.account, door).await?;
        // A registry may follow an owner only as long as it is its host.
        let moves = principal.role == Role::Registry;
        let filter = Filter { whose, events: wish.events, asset: wish.asset, moves };
        let joined = feeds.join(principal, filter, wish.after, FEED_QUIET).await;
        let follower = joined.map_err(Denied::Feed)?;
        let open = Open::new(metrics);
        let mut feed = Self { follower, sight, judged: Instant::now(), open };
        // A move before the feed began is not among what it is told.
        feed.judge(door).await?;
        Ok(feed)
    }

    /// Where it stands.
    pub(crate) const fn place(&self) -> Place {
        self.follower.place()
    }

    /// Whose balances it may tell.
    pub(crate) const fn sight(&self) -> Sight {
        self.sight
    }

    /// What comes next; waits for it. It may be dropped half way and asked again.
    pub(crate) async fn next(&mut self) -> News {
        self.follower.next().await
    }

    /// What may be told of `events`, and why the feed ends behind that, if it does.
    pub(crate) async fn told<D: Asks>(
        &mut self,
        mut events: Vec<Followed>,
        door: &mut D,
    ) -> (Vec<Followed>, Option<Denied<D::Unanswered>>) {
        let filter = *self.follower.filter();
        let first_move = events.iter().position(|followed| filter.is_move(followed));
        // What is told may be of long ago, and the move that ends it not come to yet.
        let is_due = first_move.is_some() || self.judged.elapsed() >= FEED_JUDGED_FOR;
        let judged = match if is_due { self.judge(door).await } else { Ok(()) } {
            // Were all of them ended while the frame is busy, all would come again at once.
            Err(Denied::Unanswered(_))
                if first_move.is_none() && self.judged.elapsed() < FEED_UNJUDGED_MAX =>
            {
                Ok(())
            }
            judged => judged,
        };
        if judged.is_err() {
            events.truncate(first_move.map_or(0, |at| at + 1));
        }
        events.retain(|followed| filter.shows(followed));
        add(&self.open.0.feed_events, events.len());
        (events, judged.err())
    }

    /// Asks whether it may still be told, if that can end.
    async fn judge<D: Asks>(&mut self, door: &mut D) -> Result<(), Denied<D::Unanswered>> {
        let asked = Instant::now();
        if let Filter { moves: true, whose: Whose::Owner(owner), .. } = *self.follower.filter() {
            is_host(owner, door).await?;
        }
        self.judged = asked;
        Ok(())
    }
}

#[cfg(test)]
#[path = "feed_test.rs"]
mod tests;
