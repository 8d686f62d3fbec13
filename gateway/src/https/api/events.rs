//! The event feed: `GET /v1/events`, server-sent events of what happens to the accounts that the
//! caller may see.
//!
//! It frames; what is told is `following`'s. Invariant: each event bears the place to go on from.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use protocol::feed::Place;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::answer;
use super::following::{Form, Telling};
use super::inbound::Inbound;
use super::operation::{Operation, Sort};
use super::problem::Problem;
use super::values::{Owner, Small};
use super::{Shared, examples};
use crate::limits::{FEED_TEXTS, FEED_WRITE_TIMEOUT};

pub(super) const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// The operation.
pub(crate) fn operation() -> Operation {
    let described = Operation::get("/v1/events", follow).does(
        "events",
        "Follows the history",
        "Server-sent events, one for each effect, in order and without an end; \
         docs/feeds.md describes them. The header Last-Event-ID goes before `after`.",
    );
    with_query(described.sort(Sort::Feed)).answers_as("text/event-stream")
}

/// The query that every feed has.
pub(super) fn with_query(operation: Operation) -> Operation {
    operation
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
}

macro_rules! parameter {
    ($type:ident, $name:literal, $json:expr) => {
        #[doc = "A parameter of the query."]
        pub(super) struct $type;

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

async fn follow(inbound: Listener) -> Result<Response, Problem> {
    let telling = Telling::begin(inbound.0).await?;
    let (sender, receiver) = mpsc::channel(FEED_TEXTS);
    tokio::spawn(tell(telling, sender));
    let mut response = Response::new(Body::new(Stream(receiver)));
    response.headers_mut().insert(header::CONTENT_TYPE, EVENT_STREAM);
    Ok(response)
}

/// A request that takes a stream of events for an answer.
pub(super) struct Listener(pub(super) Inbound);

impl FromRequest<Arc<Shared>> for Listener {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Problem> {
        Inbound::accepting(request, shared, ("text", "event-stream")).await.map(Self)
    }
}

/// The task of one feed.
async fn tell(mut telling: Telling, sender: mpsc::Sender<Bytes>) {
    // Where it begins, so that whoever is cut off before anything has happened can go on.
    let mut lines = Lines(String::from("retry: 1000\n\n"));
    lines.put_progress(telling.place());
    let mut is_over = false;
    while (lines.0.is_empty() || send(&sender, lines).await) && !is_over {
        let news = tokio::select! {
            news = telling.hear() => news,
            () = sender.closed() => return,
        };
        lines = Lines(String::new());
        is_over = telling.put(news, &mut lines).await;
    }
}

/// Whether the client goes on taking what it is told.
async fn send(sender: &mpsc::Sender<Bytes>, lines: Lines) -> bool {
    let sent = timeout(FEED_WRITE_TIMEOUT, sender.send(Bytes::from(lines.0))).await;
    matches!(sent, Ok(Ok(())))
}

/// Server-sent events.
struct Lines(String);

impl Form for Lines {
    fn put_event(&mut self, place: Place, name: &str, data: &str) {
        write!(self.0, "id: {place}\nevent: {name}\ndata: {data}\n\n").expect("text takes text");
    }

    fn put_progress(&mut self, place: Place) {
        let sequence = place.whole();
        write!(self.0, "id: {place}\nevent: progress\ndata: {{\"sequence\":{sequence}}}\n\n")
            .expect("text takes text");
    }

    fn put_quiet(&mut self) {
        self.0.push_str(": still here\n\n");
    }

    fn put_end(&mut self, problem: &Problem) {
        put_end(problem, &mut self.0);
    }
}

/// The frame ends a feed.
pub(super) fn put_end(problem: &Problem, out: &mut String) {
    let data = answer::to_bytes(problem);
    out.push_str("event: end\ndata: ");
    out.push_str(std::str::from_utf8(&data).expect("JSON is text"));
    out.push_str("\n\n");
}

/// The texts of a feed as the body of its answer.
pub(super) struct Stream(pub(super) mpsc::Receiver<Bytes>);

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
