//! The event feed: `GET /v1/events`, server-sent events of what happens to the accounts that the
//! caller may see.
//!
//! It decides who may follow what, by the engine's own word for a registry, and writes effects as
//! JSON; what comes next is the follower's. Invariant: no balance of an account that the caller
//! may not read is ever written.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use identity::Role;
use protocol::effect::Event;
use protocol::feed::{Followed, Place};
use protocol::ids::NATIVE;
use protocol::{AssetId, Command, CommandId, Kind, OwnerId, Status};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::answer;
use super::event::{Shown, Sight};
use super::inbound::{Inbound, told};
use super::operation::{Operation, Sort};
use super::problem::{Own, Problem};
use super::values::{Owner, Small};
use super::{Shared, examples};
use crate::feeds::{FeedError, Filter, Follower, News, Whose};
use crate::limits::{FEED_QUIET, FEED_TEXTS, FEED_WRITE_TIMEOUT};
use crate::metrics::{Metrics, add};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// The operation.
pub(crate) fn operation() -> Operation {
    Operation::get("/v1/events", follow)
        .does(
            "events",
            "Follows the history",
            "Server-sent events, one for each effect, in order and without an end; \
             docs/feeds.md describes them. The header Last-Event-ID goes before `after`.",
        )
        .sort(Sort::Feed)
        .query::<After>(
            "after",
            "The place behind which to begin: a sequence, or the id of an event. Now by default.",
            json!("42.0"),
        )
        .query::<Owner>(
            "account",
            "Only events that concern this owner. An agent follows itself alone; a registry has \
             to name one that it hosts.",
            json!(examples::DEBIT),
        )
        .query::<Events>("event", "Only these events, by name.", json!("TokensTransferred"))
        .query::<Small>("asset", "Only events in this asset.", json!(1))
        .answers_as("text/event-stream")
}

macro_rules! parameter {
    ($type:ident, $name:literal, $json:expr) => {
        #[doc = "A parameter of the query."]
        struct $type;

        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                super::values::schema($json)
            }
        }

        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                std::borrow::Cow::Borrowed($name)
            }
        }
    };
}

parameter!(
    After,
    "Place",
    json!({
        "type": "string", "pattern": r"^[0-9]{1,20}(\.[0-9]{1,5})?$", "maxLength": 26,
        "description": "A place in the history: a sequence, or a sequence and a leg.",
    })
);
parameter!(
    Events,
    "EventNames",
    json!({
        "type": "string", "pattern": "^[A-Za-z]+(,[A-Za-z]+)*$", "maxLength": 1024,
        "description": "Names of events, with commas between them.",
    })
);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    after: Option<String>,
    account: Option<Owner>,
    event: Option<String>,
    asset: Option<AssetId>,
}

fn query_invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::own(Own::QueryInvalid).detail(detail)
}

/// Who may not see it is told what it would be told if it were not there.
fn not_found() -> Problem {
    Problem::refused(Status::NotFound).forgotten(Status::NotFound)
}

async fn follow(inbound: Listener) -> Result<Response, Problem> {
    let inbound = inbound.0;
    let wish: Wish = inbound.query()?;
    let metrics = Arc::clone(&inbound.caller.desk().metrics);
    let feeds = inbound.caller.desk().info.feeds.clone();
    let feeds = feeds.ok_or_else(|| Problem::own(Own::FeedsOff))?;
    let after = place(&inbound, wish.after.as_deref())?;
    let events = wish.event.as_deref().map_or(Ok(u128::MAX), numbers)?;
    let account = wish.account.map(|owner| owner.0);
    let (whose, sight) = right(&inbound, account, wish.asset).await?;
    let filter = Filter { whose, events, asset: wish.asset };
    let principal = inbound.caller.peer().principal();
    let joined = feeds.join(principal, filter, after, FEED_QUIET).await;
    let follower = joined.map_err(|error| {
        add(&metrics.feeds_refused, 1);
        refusal(error)
    })?;
    inbound.caller.stays();
    let (sender, receiver) = mpsc::channel(FEED_TEXTS);
    let teller = Teller { inbound, follower, sight, whose, asset: wish.asset, sender };
    tokio::spawn(teller.run(metrics));
    let mut response = Response::new(Body::new(Stream(receiver)));
    response.headers_mut().insert(header::CONTENT_TYPE, EVENT_STREAM);
    Ok(response)
}

/// A request that takes a stream of events for an answer.
struct Listener(Inbound);

impl FromRequest<Arc<Shared>> for Listener {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Problem> {
        Inbound::accepting(request, shared, ("text", "event-stream")).await.map(Self)
    }
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
fn numbers(names: &str) -> Result<u128, Problem> {
    let mut bits = 0;
    for name in names.split(',') {
        let number = (0..128).find(|&number| number > 0 && Event::name(number) == name);
        let known = number.filter(|&number| {
            number != Event::KeyUsed.number() && Event::name(number) != "Unknown"
        });
        bits |=
            1 << known.ok_or_else(|| query_invalid(format!("no event has this name: {name}")))?;
    }
    Ok(bits)
}

/// What the caller may follow, and which balances it may see.
async fn right(
    inbound: &Inbound,
    account: Option<OwnerId>,
    asset: Option<AssetId>,
) -> Result<(Whose, Sight), Problem> {
    let principal = inbound.caller.peer().principal();
    match (principal.role, account) {
        (Role::Agent, None) => Ok((Whose::Owner(principal.id), Sight::Of(principal.id))),
        (Role::Agent, Some(owner)) if owner == principal.id => {
            Ok((Whose::Owner(owner), Sight::Of(owner)))
        }
        (Role::Registry, None) => Err(query_invalid("a registry names an account that it hosts")),
        (Role::Registry, Some(owner)) => {
            may_read(inbound, owner, asset).await?;
            Ok((Whose::Owner(owner), Sight::Of(owner)))
        }
        (Role::Admin | Role::Auditor, None) => Ok((Whose::All, Sight::All)),
        (Role::Admin | Role::Auditor, Some(owner)) => Ok((Whose::Owner(owner), Sight::All)),
        _ => Err(not_found()),
    }
}

/// Asks the engine whether the caller may read the account.
async fn may_read(
    inbound: &Inbound,
    owner: OwnerId,
    asset: Option<AssetId>,
) -> Result<(), Problem> {
    let asset = asset.unwrap_or(NATIVE);
    let read = Command { debit: owner, asset, ..Command::new(Kind::ReadAccount, CommandId(0)) };
    let answered = inbound.caller.read(&[read]).await?;
    let answer = answered.decoded.answers.first().copied().unwrap_or_default();
    told(&answer).map_err(|_| not_found())
}

fn refusal(error: FeedError) -> Problem {
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

/// The task of one feed.
struct Teller {
    inbound: Inbound,
    follower: Follower,
    sight: Sight,
    whose: Whose,
    asset: Option<AssetId>,
    sender: mpsc::Sender<Bytes>,
}

impl Teller {
    async fn run(mut self, metrics: Arc<Metrics>) {
        metrics.feeds_open.fetch_add(1, Ordering::Relaxed);
        self.tell(&metrics).await;
        metrics.feeds_open.fetch_sub(1, Ordering::Relaxed);
    }

    async fn tell(&mut self, metrics: &Metrics) {
        // Where it begins, so that whoever is cut off before anything has happened can go on.
        let mut text = String::from("retry: 1000\n\n");
        put_progress(self.follower.place(), &mut text);
        let gone = self.sender.clone();
        while self.send(text).await {
            let news = tokio::select! {
                news = self.follower.next() => news,
                () = gone.closed() => return,
            };
            text = String::new();
            match news {
                News::Events(events) => {
                    add(&metrics.feed_events, events.len());
                    let is_over = match self.put_events(&events, &mut text).await {
                        Ok(is_over) => is_over,
                        Err(problem) => {
                            put_end(&problem, &mut text);
                            true
                        }
                    };
                    if is_over {
                        self.send(text).await;
                        return;
                    }
                }
                News::Progress(place) => put_progress(place, &mut text),
                News::Quiet => text.push_str(": still here\n\n"),
                News::Ended(error) => {
                    put_end(&refusal(error), &mut text);
                    self.send(text).await;
                    return;
                }
            }
        }
    }

    /// Writes events; says whether the feed ends with them.
    async fn put_events(&self, events: &[Followed], out: &mut String) -> Result<bool, Problem> {
        for followed in events {
            let scale = match followed.effect.asset {
                0 => 0,
                asset => self.inbound.scale(asset).await?,
            };
            let place = followed.place();
            let name = Event::name(followed.effect.event);
            let shown = Shown { followed, scale, sight: self.sight };
            let data = answer::to_bytes(&shown);
            let data = std::str::from_utf8(&data).expect("JSON is text");
            write!(out, "id: {place}\nevent: {name}\ndata: {data}\n\n").expect("text takes text");
            if self.has_moved(followed).await {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the owner has another host now, so that a registry may no longer follow it.
    async fn has_moved(&self, followed: &Followed) -> bool {
        let role = self.inbound.caller.peer().principal().role;
        if role != Role::Registry || followed.effect.event != Event::OwnerRehosted.number() {
            return false;
        }
        match self.whose {
            Whose::Owner(owner) => may_read(&self.inbound, owner, self.asset).await.is_err(),
            Whose::All => true,
        }
    }

    /// Whether the client goes on taking what it is told.
    async fn send(&self, text: String) -> bool {
        let sent = timeout(FEED_WRITE_TIMEOUT, self.sender.send(Bytes::from(text))).await;
        matches!(sent, Ok(Ok(())))
    }
}

fn put_progress(place: Place, out: &mut String) {
    let sequence = place.whole();
    write!(out, "id: {place}\nevent: progress\ndata: {{\"sequence\":{sequence}}}\n\n")
        .expect("text takes text");
}

fn put_end(problem: &Problem, out: &mut String) {
    let data = answer::to_bytes(problem);
    out.push_str("event: end\ndata: ");
    out.push_str(std::str::from_utf8(&data).expect("JSON is text"));
    out.push_str("\n\n");
}

/// The texts of a feed as the body of its answer.
struct Stream(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|text| text.map(|text| Ok(Frame::data(text))))
    }
}
