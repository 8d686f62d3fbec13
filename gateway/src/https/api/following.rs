//! What the feeds of this door have in common: what is asked for, how it is refused, and effects as
//! JSON, in whatever form the feed has.
//!
//! Who may follow what, `feeds` says, and asks the engine through this door. Invariant: no balance
//! of an account that the caller may not read is ever written.

use std::borrow::Cow;

use axum::http::HeaderName;
use protocol::effect::Event;
use protocol::feed::{Followed, Place};
use protocol::{AssetId, Command, Status};
use serde::Deserialize;

use super::answer;
use super::event::Shown;
use super::inbound::Inbound;
use super::problem::{Own, Problem};
use super::values::Owner;
use crate::feeds::{Asks, Denied, Feed, FeedError, News, Wish};
use crate::metrics::add;

pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The query of a feed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
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
    feed: Feed,
}

impl Asks for &Inbound {
    type Unanswered = Problem;

    async fn ask(&mut self, read: Command) -> Result<u16, Problem> {
        let answered = self.caller.look(&[read]).await?;
        let answer = answered.decoded.answers.first();
        Ok(answer.map_or(Status::NotFound.number(), |answer| answer.status))
    }
}

impl Telling {
    /// Begins what the query asks for, if the caller may follow it.
    pub(super) async fn begin(inbound: Inbound) -> Result<Self, Problem> {
        let begun = begin(&inbound).await;
        let feed = begun.inspect_err(|_| add(&inbound.caller.desk().metrics.feeds_refused, 1))?;
        inbound.caller.stays();
        Ok(Self { inbound, feed })
    }

    /// Where it stands.
    pub(super) const fn place(&self) -> Place {
        self.feed.place()
    }

    /// What comes next; waits for it. It may be dropped half way and asked again.
    pub(super) async fn hear(&mut self) -> News {
        self.feed.next().await
    }

    /// Writes what was heard; says whether the feed ends with it.
    pub(super) async fn put(&mut self, news: News, out: &mut impl Form) -> bool {
        match news {
            News::Events(events) => match self.put_events(events, out).await {
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

    /// Writes effects; errors with why the feed ends behind them.
    async fn put_events(
        &mut self,
        events: Vec<Followed>,
        out: &mut impl Form,
    ) -> Result<(), Problem> {
        let (events, denied) = self.feed.told(events, &mut &self.inbound).await;
        for followed in &events {
            self.put_event(followed, out).await?;
        }
        denied.map_or(Ok(()), |reason| Err(denial(reason)))
    }

    async fn put_event(&self, followed: &Followed, out: &mut impl Form) -> Result<(), Problem> {
        let scale = match followed.effect.asset {
            0 => 0,
            asset => self.inbound.scale(asset).await?,
        };
        let data = answer::to_bytes(&Shown { followed, scale, sight: self.feed.sight() });
        let data = std::str::from_utf8(&data).expect("JSON is text");
        out.put_event(followed.place(), Event::name(followed.effect.event), data);
        Ok(())
    }
}

/// Joins those who follow with what the query asks for.
async fn begin(inbound: &Inbound) -> Result<Feed, Problem> {
    let asked: Asked = inbound.query()?;
    let desk = inbound.caller.desk();
    let feeds = desk.info.feeds.as_ref().ok_or_else(|| Problem::own(Own::FeedsOff))?;
    let wish = Wish {
        account: asked.account.map(|owner| owner.0),
        after: place(inbound, asked.after.as_deref())?,
        events: asked.event.as_deref().map_or(Ok(u128::MAX), numbers)?,
        asset: asked.asset,
    };
    let principal = inbound.caller.peer().principal();
    let begun = Feed::begin((feeds, &desk.metrics), principal, wish, &mut &*inbound).await;
    begun.map_err(denial)
}

fn denial(reason: Denied<Problem>) -> Problem {
    match reason {
        Denied::Unnamed => query_invalid("a registry names an account that it hosts"),
        Denied::NotFound => not_found(),
        Denied::Feed(error) => refusal(error),
        Denied::Unanswered(problem) => problem,
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
