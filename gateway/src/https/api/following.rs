//! What the feeds of this door have in common: what is asked for, whether the caller may, and
//! effects as JSON, in whatever form the feed has.
//!
//! Who may follow what, `feeds` says; for a registry the engine is asked. Invariant: no balance of
//! an account that the caller may not read is ever written.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::HeaderName;
use identity::Role;
use protocol::effect::Event;
use protocol::feed::{Followed, Place};
use protocol::{AssetId, OwnerId, Status};
use serde::Deserialize;

use super::answer;
use super::event::Shown;
use super::inbound::Inbound;
use super::present::granted;
use super::problem::{Own, Problem};
use super::values::Owner;
use crate::feeds::{FeedError, Filter, Follower, News, Sight, Whose, is_granted, question};
use crate::limits::FEED_QUIET;
use crate::metrics::{Metrics, add};

pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The query of a feed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    after: Option<String>,
    account: Option<Owner>,
    event: Option<String>,
    asset: Option<AssetId>,
}

/// How what is told is written.
pub(super) trait Form {
    /// An effect; `data` is JSON.
    fn put_event(&mut self, place: Place, name: &str, data: &str);
    /// Nothing for this feed lies at or before `place` any more.
    fn put_progress(&mut self, place: Place);
    /// There is nothing to say, and both sides are there.
    fn put_quiet(&mut self);
    /// The frame ends the feed.
    fn put_end(&mut self, problem: &Problem);
}

/// A feed that has begun.
pub(super) struct Telling {
    inbound: Inbound,
    follower: Follower,
    sight: Sight,
    open: Open,
}

/// Counts a feed as long as it is open.
pub(super) struct Open(Arc<Metrics>);

impl Open {
    pub(super) fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.feeds_open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(metrics))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.feeds_open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Telling {
    /// Begins what the query asks for, if the caller may follow it.
    pub(super) async fn begin(inbound: Inbound) -> Result<Self, Problem> {
        let wish: Wish = inbound.query()?;
        let feeds = inbound.caller.desk().info.feeds.clone();
        let feeds = feeds.ok_or_else(|| Problem::own(Own::FeedsOff))?;
        let after = place(&inbound, wish.after.as_deref())?;
        let events = wish.event.as_deref().map_or(Ok(u128::MAX), numbers)?;
        let account = wish.account.map(|owner| owner.0);
        let (whose, sight, _) = granted(&inbound, account).await?;
        let principal = inbound.caller.peer().principal();
        // A registry may follow an owner only as long as it is its host.
        let moves = principal.role == Role::Registry;
        let filter = Filter { whose, events, asset: wish.asset, moves };
        let metrics = Arc::clone(&inbound.caller.desk().metrics);
        let joined = feeds.join(principal, filter, after, FEED_QUIET).await;
        let follower = joined.map_err(|error| {
            add(&metrics.feeds_refused, 1);
            refusal(error)
        })?;
        // A move before the feed began is not among what it is told.
        if let (true, Whose::Owner(owner)) = (moves, whose)
            && !may_read(&inbound, owner).await?
        {
            return Err(not_found());
        }
        inbound.caller.stays();
        Ok(Self { inbound, follower, sight, open: Open::new(&metrics) })
    }

    /// Where it stands.
    pub(super) const fn place(&self) -> Place {
        self.follower.place()
    }

    /// What comes next; waits for it. It may be dropped half way and asked again.
    pub(super) async fn hear(&mut self) -> News {
        self.follower.next().await
    }

    /// Writes what was heard; says whether the feed ends with it.
    pub(super) async fn put(&self, news: News, out: &mut impl Form) -> bool {
        match news {
            News::Events(events) => match self.put_events(&events, out).await {
                Ok(()) => return false,
                Err(problem) => out.put_end(&problem),
            },
            News::Progress(place) => {
                out.put_progress(place);
                return false;
            }
            News::Quiet => {
                out.put_quiet();
                return false;
            }
            News::Ended(error) => out.put_end(&refusal(error)),
        }
        true
    }

    /// Writes effects; errors with why the feed ends among them.
    async fn put_events(&self, events: &[Followed], out: &mut impl Form) -> Result<(), Problem> {
        let filter = self.follower.filter();
        for followed in events {
            if filter.shows(followed) {
                self.put_event(followed, out).await?;
                add(&self.open.0.feed_events, 1);
            }
            if filter.is_move(followed) && !may_read(&self.inbound, followed.effect.debit).await? {
                return Err(not_found());
            }
        }
        Ok(())
    }

    async fn put_event(&self, followed: &Followed, out: &mut impl Form) -> Result<(), Problem> {
        let scale = match followed.effect.asset {
            0 => 0,
            asset => self.inbound.scale(asset).await?,
        };
        let data = answer::to_bytes(&Shown { followed, scale, sight: self.sight });
        let data = std::str::from_utf8(&data).expect("JSON is text");
        out.put_event(followed.place(), Event::name(followed.effect.event), data);
        Ok(())
    }
}

pub(super) fn query_invalid(detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::own(Own::QueryInvalid).detail(detail)
}

/// Who may not see it is told what it would be told if it were not there.
pub(super) fn not_found() -> Problem {
    Problem::refused(Status::NotFound).forgotten(Status::NotFound)
}

fn place(inbound: &Inbound, after: Option<&str>) -> Result<Option<Place>, Problem> {
    let last = inbound.headers().get(LAST_EVENT_ID);
    let text = match last {
        Some(last) => Some(last.to_str().unwrap_or_default()),
        None => after,
    };
    let refusal = || query_invalid("after, or Last-Event-ID, is a sequence or the id of an event");
    text.map(|text| Place::parse(text).ok_or_else(refusal)).transpose()
}

/// A bit for each of the events that are named.
pub(super) fn numbers(names: &str) -> Result<u128, Problem> {
    let mut bits = 0;
    for name in names.split(',') {
        let number = Event::followed_number(name);
        bits |=
            1 << number.ok_or_else(|| query_invalid(format!("no event has this name: {name}")))?;
    }
    Ok(bits)
}

/// Asks the engine whether the caller, a registry, hosts the owner.
async fn may_read(inbound: &Inbound, owner: OwnerId) -> Result<bool, Problem> {
    let answered = inbound.caller.read(&[question(owner)]).await?;
    let answer = answered.decoded.answers.first().copied().unwrap_or_default();
    Ok(is_granted(answer.status))
}

pub(super) fn refusal(error: FeedError) -> Problem {
    let own = match error {
        FeedError::Full => Own::FeedsFull,
        FeedError::TooMany { .. } => Own::TooManyFeeds,
        FeedError::Gone { .. } => Own::HistoryGone,
        FeedError::Ahead { .. } => Own::QueryInvalid,
        FeedError::Closed => Own::ShuttingDown,
        FeedError::Unreadable | FeedError::Unavailable => Own::Overloaded,
    };
    Problem::own(own).detail(error.to_string())
}
