//! The event feed as a WebSocket (RFC 6455): `GET /ws/events`, a text message for each event.
//!
//! It speaks over HTTP/1.1 alone, listens to nothing but pings, and is refused before it begins;
//! what is told is `following`'s. Invariant: a page of another origin, whose browser lends it the
//! identity of its user, is told nothing.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use protocol::feed::Place;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};

use super::answer;
use super::events::with_query;
use super::following::{Form, Telling};
use super::inbound::Inbound;
use super::operation::Operation;
use super::problem::{Own, Problem};
use crate::feeds::News;
use crate::https::upgrade::Upgrade;
use crate::limits::{
    FAREWELL_TIMEOUT, FEED_QUIET, FEED_WRITE_TIMEOUT, SOCKET_BUFFER_MAX, SOCKET_BUFFER_OUT,
    SOCKET_HEARD_MAX, SOCKET_MESSAGE_MAX, SOCKET_UNANSWERED_MAX,
};

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");
/// The one version of the protocol.
const VERSION: HeaderValue = HeaderValue::from_static("13");
/// 16 bytes as base64.
const KEY_LEN: usize = 24;

/// The operation.
pub(crate) fn operation() -> Operation {
    let described = Operation::get("/ws/events", open).does(
        "events",
        "Follows the history over a WebSocket",
        "The events of GET /v1/events as text messages, over HTTP/1.1: docs/feeds.md describes \
         them. Refusals come before the WebSocket begins.",
    );
    with_query(described.switches())
}

async fn open(mut inbound: Inbound) -> Result<Response, Problem> {
    let accept = match judge(inbound.headers()) {
        Ok(accept) => accept,
        Err(problem) => return Ok(unfit(problem, inbound.version())),
    };
    let Some(upgrade) = inbound.upgrade() else {
        let problem = upgrade_required("a WebSocket begins as a GET over HTTP/1.1");
        return Ok(unfit(problem, inbound.version()));
    };
    let telling = Telling::begin(inbound).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response.extensions_mut().insert(Upgrade::new(|leaving| tell(telling, upgrade, leaving)));
    Ok(response)
}

fn upgrade_required(detail: &'static str) -> Problem {
    Problem::own(Own::UpgradeRequired).detail(detail)
}

/// Whether a request begins a WebSocket; the answer to its key.
fn judge(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let names = |name, wanted: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|text| text.split(',')).any(|one| one.trim().eq_ignore_ascii_case(wanted))
    };
    if !names(header::CONNECTION, "upgrade") || !names(header::UPGRADE, "websocket") {
        return Err(upgrade_required("send Connection: Upgrade and Upgrade: websocket"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return Err(upgrade_required("send Sec-WebSocket-Version: 13"));
    }
    let has_body = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_body || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Problem::own(Own::BodyInvalid).detail("a WebSocket begins without a body"));
    }
    if headers.get(header::ORIGIN).is_some_and(|origin| !is_own(origin, headers)) {
        return Err(Problem::own(Own::OriginRefused));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == KEY_LEN);
    let key = key.ok_or_else(|| {
        Problem::own(Own::FieldInvalid).detail("Sec-WebSocket-Key is 16 random bytes in base64")
    })?;
    let accept = derive_accept_key(key.as_bytes());
    Ok(HeaderValue::try_from(accept).expect("base64 is visible ASCII"))
}

/// Whether a page of this origin comes from this door.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = origin.as_bytes().strip_prefix(b"https://");
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    origin.is_some_and(|origin| host.is_some_and(|host| origin.eq_ignore_ascii_case(host)))
}

/// A refusal that says what would have been right.
fn unfit(problem: Problem, version: Version) -> Response {
    let mut response = problem.into_response();
    if response.status() == StatusCode::UPGRADE_REQUIRED {
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION);
        if version == Version::HTTP_11 {
            headers.insert(header::UPGRADE, WEBSOCKET);
            headers.insert(header::CONNECTION, UPGRADE);
        }
    }
    response
}

/// What happens next on a feed.
enum Next {
    News(News),
    Heard(Option<Result<Message, Error>>),
    Tick,
    Leave,
}

/// The whole of one feed, from the agreement to the last byte.
async fn tell(mut telling: Telling, upgrade: OnUpgrade, leaving: Arc<Notify>) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let mut line = Line::open(upgraded).await;
    let mut first = Messages::default();
    first.put_progress(telling.place());
    let mut is_sent = line.send(first).await;
    let mut ticks = interval_at(Instant::now() + FEED_QUIET, FEED_QUIET);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while is_sent {
        let next = tokio::select! {
            heard = line.socket.next() => Next::Heard(heard),
            news = telling.hear() => Next::News(news),
            _ = ticks.tick() => Next::Tick,
            () = leaving.notified() => Next::Leave,
        };
        let end = match next {
            Next::News(news) => {
                let mut messages = Messages::default();
                let is_over = telling.put(news, &mut messages).await;
                let end = messages.end.unwrap_or((CloseCode::Error, "the feed ends"));
                is_sent = line.send(messages).await;
                is_over.then_some(end)
            }
            Next::Heard(heard) => line.hear(heard).err(),
            Next::Tick => {
                is_sent = line.presence.is_pinged() && line.ping().await;
                None
            }
            Next::Leave => Some((CloseCode::Away, "the frame ends the connection; connect again")),
        };
        if let Some((code, reason)) = end {
            return line.close(code, reason).await;
        }
    }
}

/// What shows that a client is there.
#[derive(Default)]
struct Presence {
    /// Frames heard since the last ping.
    heard: u32,
    /// Pings since anything was heard.
    unanswered: u32,
}

impl Presence {
    /// Whether the client, for whom a ping is due, has not left too many of them unanswered.
    fn is_pinged(&mut self) -> bool {
        if std::mem::take(&mut self.heard) > 0 {
            self.unanswered = 0;
        }
        let is_there = self.unanswered < SOCKET_UNANSWERED_MAX;
        self.unanswered += 1;
        is_there
    }
}

/// The socket, and what was heard on it.
struct Line {
    socket: WebSocketStream<TokioIo<Upgraded>>,
    presence: Presence,
    /// The client has said goodbye, or is gone.
    is_over: bool,
}

impl Line {
    async fn open(upgraded: Upgraded) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(SOCKET_MESSAGE_MAX))
            .max_frame_size(Some(SOCKET_MESSAGE_MAX))
            .write_buffer_size(SOCKET_BUFFER_OUT)
            .max_write_buffer_size(SOCKET_BUFFER_MAX);
        let io = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        Self { socket, presence: Presence::default(), is_over: false }
    }

    /// Whether the client goes on taking what it is told.
    async fn send(&mut self, messages: Messages) -> bool {
        let writing = async {
            for text in messages.texts {
                self.socket.feed(Message::Text(text)).await?;
            }
            self.socket.flush().await
        };
        matches!(timeout(FEED_WRITE_TIMEOUT, writing).await, Ok(Ok(())))
    }

    async fn ping(&mut self) -> bool {
        let ping = self.socket.send(Message::Ping(Bytes::new()));
        matches!(timeout(FEED_WRITE_TIMEOUT, ping).await, Ok(Ok(())))
    }

    /// Takes note of a frame; errors with how the feed ends for it. Pings are answered underneath.
    fn hear(
        &mut self,
        heard: Option<Result<Message, Error>>,
    ) -> Result<(), (CloseCode, &'static str)> {
        self.presence.heard += 1;
        let is_modest = self.presence.heard <= SOCKET_HEARD_MAX;
        match heard {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) if is_modest => Ok(()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                Err((CloseCode::Policy, "too many pings"))
            }
            Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Frame(_))) => {
                Err((CloseCode::Unsupported, "a feed takes no messages"))
            }
            Some(Err(Error::Capacity(_))) => Err((CloseCode::Size, "a feed takes no messages")),
            Some(Err(Error::Protocol(_) | Error::Utf8(_))) => {
                Err((CloseCode::Protocol, "the frame cannot be read"))
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => {
                self.is_over = true;
                Err((CloseCode::Normal, ""))
            }
        }
    }

    /// Says goodbye, and waits a little for the client to do the same.
    async fn close(mut self, code: CloseCode, reason: &'static str) {
        let goodbye = async {
            if !self.is_over {
                let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
                self.socket.close(Some(frame)).await?;
            }
            while self.socket.next().await.is_some_and(|heard| heard.is_ok()) {}
            self.socket.get_mut().shutdown().await.map_err(Error::Io)
        };
        // Whoever does not answer in time is gone.
        let _ = timeout(FAREWELL_TIMEOUT, goodbye).await;
    }
}

/// Text messages: JSON with the three fields that a server-sent event has.
#[derive(Default)]
struct Messages {
    texts: Vec<Utf8Bytes>,
    /// How the feed ends with them.
    end: Option<(CloseCode, &'static str)>,
}

impl Form for Messages {
    fn put_event(&mut self, place: Place, name: &str, data: &str) {
        let text = format!("{{\"id\":\"{place}\",\"event\":\"{name}\",\"data\":{data}}}");
        self.texts.push(text.into());
    }

    fn put_progress(&mut self, place: Place) {
        let sequence = place.whole();
        self.put_event(place, "progress", &format!("{{\"sequence\":{sequence}}}"));
    }

    /// Pings say it.
    fn put_quiet(&mut self) {}

    fn put_end(&mut self, problem: &Problem) {
        let data = answer::to_bytes(problem);
        let data = std::str::from_utf8(&data).expect("JSON is text");
        self.texts.push(format!("{{\"event\":\"end\",\"data\":{data}}}").into());
        let is_passing = problem.http_status() == 503;
        self.end = Some(if is_passing {
            (CloseCode::Again, "connect again after a moment")
        } else {
            (CloseCode::Policy, problem.name())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(change: impl FnOnce(&mut HeaderMap)) -> Result<HeaderValue, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::HOST, "frame:7402"),
            (header::CONNECTION, "keep-alive, Upgrade"),
            (header::UPGRADE, "WebSocket"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            // The example of RFC 6455, section 1.3.
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        change(&mut headers);
        judge(&headers).map_err(|problem| problem.name())
    }

    #[test]
    fn the_key_is_answered_as_the_standard_says() {
        assert_eq!(begins(|_| {}).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_begins_no_websocket_is_refused() {
        let without = |name| begins(|headers| drop(headers.remove(name)));
        assert_eq!(without(header::CONNECTION), Err("upgrade_required"));
        assert_eq!(without(header::UPGRADE), Err("upgrade_required"));
        assert_eq!(without(header::SEC_WEBSOCKET_VERSION), Err("upgrade_required"));
        assert_eq!(without(header::SEC_WEBSOCKET_KEY), Err("field_invalid"));
        let with = |name, value| {
            begins(|headers| drop(headers.insert(name, HeaderValue::from_static(value))))
        };
        assert_eq!(with(header::SEC_WEBSOCKET_VERSION, "8"), Err("upgrade_required"));
        assert_eq!(with(header::SEC_WEBSOCKET_KEY, "short"), Err("field_invalid"));
        assert_eq!(with(header::CONTENT_LENGTH, "1"), Err("body_invalid"));
        assert_eq!(with(header::TRANSFER_ENCODING, "chunked"), Err("body_invalid"));
    }

    /// Once a client was gone after two unanswered pings when its feed had just begun, because the
    /// time before the first one counted as silence too.
    #[test]
    fn a_client_is_gone_when_it_has_left_three_pings_unanswered() {
        let mut presence = Presence::default();
        for _ in 0..3 {
            for _ in 0..3 {
                assert!(presence.is_pinged());
            }
            presence.heard += 1;
        }
        for _ in 0..3 {
            assert!(presence.is_pinged());
        }
        assert!(!presence.is_pinged());
    }

    #[test]
    fn only_pages_of_this_door_may_begin_one() {
        let from = |origin| {
            begins(|headers| {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            })
            .is_ok()
        };
        assert!(from("https://frame:7402") && from("https://FRAME:7402"));
        for foreign in ["https://frame", "http://frame:7402", "https://evil", "null", ""] {
            assert!(!from(foreign), "{foreign:?}");
        }
    }
}
