//! What happens to every request around its handler: it is let in, numbered, counted, and its
//! answer gets the headers that every answer has.
//!
//! It knows no route. Invariants: a request's place in flight is free again when its answer was
//! handed to the transport, or given up; over HTTP/1.1 an answer to a body that was not read to its
//! end says that the connection ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{Buf, Bytes};
use hyper::Request;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};
use protocol::frame::BODY_LEN_MAX;
use tokio::sync::Notify;
use tower::Service;

use super::Door;
use super::activity::Activity;
use super::api::problem::{Own, Problem};
use super::arriving::Arriving;
use super::call::{Caller, NotAnswered};
use super::traced;
use super::upgrade::{Task, Upgrade};
use crate::limiter::{Limited, Pass, Seat};
use crate::limits::HTTP_PIECE_SIZE;
use crate::metrics::add;

const REQUEST_ID: HeaderName = HeaderName::from_static("bezant-request-id");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// A connection that was let in.
pub(super) struct Served {
    pub(super) door: Arc<Door>,
    pub(super) caller: Caller,
    pub(super) seat: Seat,
    pub(super) activity: Arc<Activity>,
    pub(super) is_http1: bool,
    /// It ends soon: answers say so.
    pub(super) is_leaving: AtomicBool,
    /// What it goes on with when HTTP has ended.
    pub(super) upgraded: Mutex<Option<Upgraded>>,
}

/// Another protocol, with the request that has asked for it.
pub(super) struct Upgraded {
    pub(super) task: Task,
    /// Tells the task to end.
    pub(super) leaving: Arc<Notify>,
    /// Held, never looked at.
    _call: Arc<InCall>,
}

impl Served {
    /// What the connection goes on with, if that was agreed on.
    pub(super) fn upgraded(&self) -> Option<Upgraded> {
        self.upgraded.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A request that is being answered; dropped, its place is free again.
struct InCall {
    caller: Caller,
    /// Held, never looked at.
    _pass: Option<Pass>,
}

impl Drop for InCall {
    fn drop(&mut self) {
        self.caller.settle();
    }
}

/// Answers one request.
pub(super) async fn answer(
    served: Arc<Served>,
    request: Request<Incoming>,
) -> Result<Response<Sent>, Infallible> {
    let metrics = Arc::clone(&served.door.desk.metrics);
    let number = served.door.requests.fetch_add(1, Ordering::Relaxed) + 1;
    add(&metrics.http_requests, 1);
    let span = traced::begin(&served, &request, number);
    let is_http1 = served.is_http1;
    let mut ends = is_http1 && served.is_leaving.load(Ordering::Relaxed);
    let charged = length_of(request.headers());
    let is_read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let admitted = admit(&served, request.headers(), charged);
    served.activity.begin(number);
    let mut call = InCall { caller: served.caller.numbered(number), _pass: None };
    let mut response = match admitted {
        Ok(pass) => {
            call._pass = Some(pass);
            handle(&served, call.caller.clone(), request, (charged, &is_read)).await
        }
        Err(cause) => cause.into(),
    };
    // What was kept of the body is in an envelope by now, or refused.
    served.activity.free(number);
    let status = response.status();
    traced::end(&span, status);
    match status.as_u16() / 100 {
        4 => add(&metrics.http_responses_4xx, 1),
        5 => add(&metrics.http_responses_5xx, 1),
        _ => {}
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(REQUEST_ID, HeaderValue::from(number));
    // What is left of the body is not waited for, nor is what comes behind it.
    ends |= is_http1 && !is_read.load(Ordering::Relaxed);
    let call = Arc::new(call);
    let upgrade = response.extensions_mut().remove::<Upgrade>();
    if let Some((task, leaving)) = upgrade.and_then(|upgrade| upgrade.take()) {
        let upgraded = Upgraded { task, leaving, _call: Arc::clone(&call) };
        *served.upgraded.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgraded);
    } else if ends {
        response.headers_mut().insert(CONNECTION, CLOSE);
    }
    Ok(response.map(|body| Sent { body, rest: Bytes::new(), is_http1, call }))
}

/// Why a request does not reach its handler.
enum Unadmitted {
    /// Nobody can tell where its body ends.
    Ambiguous,
    Limited(Limited),
}

impl From<Unadmitted> for Response {
    fn from(cause: Unadmitted) -> Self {
        match cause {
            Unadmitted::Ambiguous => {
                let problem = Problem::own(Own::BodyInvalid).detail(
                    "the body has both a length and chunks, or comes in chunks behind another \
                     request",
                );
                let mut response = problem.into_response();
                response.headers_mut().insert(CONNECTION, CLOSE);
                response
            }
            Unadmitted::Limited(Limited::Rate { retry_after }) => {
                Problem::from(NotAnswered::RateLimited { retry_after }).into_response()
            }
            Unadmitted::Limited(Limited::InFlight) => {
                Problem::from(NotAnswered::TooManyInFlight).into_response()
            }
        }
    }
}

/// A place in flight for a request.
fn admit(served: &Served, headers: &HeaderMap, charged: usize) -> Result<Pass, Unadmitted> {
    let is_chunked = served.is_http1 && headers.contains_key(TRANSFER_ENCODING);
    if is_chunked && served.activity.is_head_ambiguous() {
        return Err(Unadmitted::Ambiguous);
    }
    let now_ns = (served.door.desk.info.monotonic_ns)();
    served.seat.try_request(charged, now_ns).map_err(Unadmitted::Limited)
}

async fn handle(
    served: &Arc<Served>,
    caller: Caller,
    request: Request<Incoming>,
    (charged, is_read): (usize, &Arc<AtomicBool>),
) -> Response {
    let mut router = served.door.router.clone();
    let number = caller.number();
    let (served, is_read) = (Arc::clone(served), Arc::clone(is_read));
    let arriving = |body| Arriving::new(body, served, number, charged, is_read);
    let mut request = request.map(|body| Body::new(arriving(body)));
    request.extensions_mut().insert(caller);
    router.call(request).await.unwrap_or_else(|never| match never {})
}

/// The length of the body, as far as it is told beforehand.
fn length_of(headers: &HeaderMap) -> usize {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    // A longer one is refused: what was never sent is not charged.
    length.and_then(|length| length.parse().ok()).unwrap_or(0).min(BODY_LEN_MAX)
}

/// The body of an answer on its way to the transport, in pieces that it can take one by one.
pub(super) struct Sent {
    body: Body,
    rest: Bytes,
    is_http1: bool,
    call: Arc<InCall>,
}

/// A piece of an answer. Over HTTP/2 it waits for the window of its stream after the body has
/// ended: the call lasts as long as the last of them.
pub(super) struct Piece {
    bytes: Bytes,
    /// Held, never looked at.
    _call: Option<Arc<InCall>>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl hyper::body::Body for Sent {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => self.rest = bytes,
                    // Answers have no trailers.
                    Err(_) => return Poll::Ready(None),
                },
                Poll::Ready(Some(Err(cause))) => return Poll::Ready(Some(Err(cause))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        let count = self.rest.len().min(HTTP_PIECE_SIZE);
        let bytes = self.rest.split_to(count);
        // Over HTTP/1.1 what is not taken blocks the transport, and that is noted.
        let call = (!self.is_http1).then(|| Arc::clone(&self.call));
        Poll::Ready(Some(Ok(Frame::data(Piece { bytes, _call: call }))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}
