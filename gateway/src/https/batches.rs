//! `POST /v1/batches`: the body of a request frame of the wire protocol, answered by the body of
//! a reply frame.
//!
//! The pieces of the body are kept as they arrive and copied once, into the slots of an envelope
//! that is taken when the body is whole: half a body holds no envelope. Invariant: what is sent
//! on is what a QUIC stream would have sent on for the same bytes.

use axum::Extension;
use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use protocol::Request;
use protocol::command::COMMAND_SIZE;
use protocol::frame::BODY_LEN_MAX;
use protocol::reply::Reply;
use protocol::request::{REQUEST_SIZE, flags};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::api::accept;
use super::api::answer::Seen;
use super::api::inbound::no_key;
use super::api::problem::{Own, Problem};
use super::arriving::BodyFault;
use super::call::{Caller, NotAnswered};
use crate::outbox::refusal;
use crate::pieces::Pieces;

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Answers one batch.
pub(super) async fn post(
    Extension(caller): Extension<Caller>,
    request: HttpRequest,
) -> Result<Response, Problem> {
    let headers = request.headers();
    if !accept::allows(headers, "application", "octet-stream") {
        return Err(Problem::own(Own::NotAcceptable)
            .detail("the answer is application/octet-stream, which Accept excludes"));
    }
    if headers.get(CONTENT_TYPE).is_none_or(|kind| kind != OCTETS) {
        return Err(Problem::own(Own::UnsupportedMediaType)
            .detail("this operation reads application/octet-stream"));
    }
    no_key(headers, "a batch takes no Idempotency-Key; give every command an id")?;
    let mut body = request.into_body();
    let mut pieces = collect(&mut body).await?;
    let head = read_head(&mut pieces)?;
    let only = pieces.peek_slot().filter(|_| head.slots == 1 && head.flags & flags::READ != 0);
    let count = head.slots as usize;
    let taker = caller.clone();
    let fill = |slots: &mut Vec<_>| {
        pieces.take_slots(count, slots);
        taker.consumed();
    };
    let reply = match caller.send(head, 0, only.as_slice(), fill).await {
        Ok(reply) => reply,
        Err(NotAnswered::Refused(status)) => {
            refusal(head.request, status, caller.desk().reply_info())
        }
        Err(cause) => return Err(cause.into()),
    };
    let seen = Reply::read_from_prefix(&reply).ok().map(|(head, _)| Seen::of(&head));
    let mut response = Response::new(Body::from(reply));
    response.headers_mut().insert(CONTENT_TYPE, OCTETS);
    if let Some(seen) = seen {
        seen.put(response.headers_mut());
    }
    Ok(response)
}

/// The whole body, in the pieces in which it came.
async fn collect(body: &mut Body) -> Result<Pieces, Problem> {
    let hint = body.size_hint();
    if hint.lower() > BODY_LEN_MAX as u64 {
        return Err(too_large());
    }
    if hint.exact().is_some_and(|length| !is_request(usize::try_from(length).unwrap_or(0))) {
        return Err(misshapen());
    }
    let mut pieces = Pieces::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|cause| Problem::of_body(BodyFault::of(&cause)))?;
        // Trailers say nothing here.
        if let Ok(bytes) = frame.into_data() {
            if pieces.unread() + bytes.len() > BODY_LEN_MAX {
                return Err(too_large());
            }
            pieces.push(bytes);
        }
    }
    Ok(pieces)
}

fn too_large() -> Problem {
    Problem::own(Own::BodyTooLarge).detail(format!("the body is more than {BODY_LEN_MAX} bytes"))
}

fn misshapen() -> Problem {
    Problem::own(Own::BodyInvalid).detail(
        "the body is a request head of 64 bytes and whole slots of 128 bytes, as many as it says",
    )
}

/// Whether a body of this length is a head and whole slots.
const fn is_request(length: usize) -> bool {
    length > REQUEST_SIZE && (length - REQUEST_SIZE).is_multiple_of(COMMAND_SIZE)
}

/// The head, if it counts the slots that follow it.
fn read_head(pieces: &mut Pieces) -> Result<Request, Problem> {
    if !is_request(pieces.unread()) {
        return Err(misshapen());
    }
    let mut head = Request::new_zeroed();
    let is_read = pieces.read_into(head.as_mut_bytes());
    assert!(is_read, "a request is longer than its head");
    let held = pieces.unread() / COMMAND_SIZE;
    if head.slots as usize == held { Ok(head) } else { Err(misshapen()) }
}
