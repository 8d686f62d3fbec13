//! `POST /v1/batches`: the body of a request frame of the wire protocol, answered by the body of
//! a reply frame.
//!
//! The pieces of the body are kept as they arrive and copied once, into the slots of an envelope
//! that is taken when the body is whole: half a body holds no envelope. Invariant: what is sent
//! on is what a QUIC stream would have sent on for the same bytes.

use axum::Extension;
use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Body as _;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use protocol::Request;
use protocol::command::COMMAND_SIZE;
use protocol::frame::BODY_LEN_MAX;
use protocol::request::{REQUEST_SIZE, flags};
use zerocopy::{FromZeros, IntoBytes};

use super::arriving::BodyFault;
use super::call::{Caller, NotAnswered};
use super::refusals;
use crate::outbox::refusal;
use crate::pieces::Pieces;

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Answers one batch.
pub(super) async fn post(
    Extension(caller): Extension<Caller>,
    request: HttpRequest,
) -> Result<Response, Response> {
    let is_octets = request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == OCTETS);
    if !is_octets {
        return Err(refusals::status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let mut body = request.into_body();
    let mut pieces = collect(&mut body).await?;
    let head = read_head(&mut pieces).ok_or_else(refusals::bad_request)?;
    let only = pieces.peek_slot().filter(|_| head.slots == 1 && head.flags & flags::READ != 0);
    let count = head.slots as usize;
    let fill = |slots: &mut Vec<_>| pieces.take_slots(count, slots);
    let reply = match caller.send(head, 0, only.as_slice(), fill).await {
        Ok(reply) => reply,
        Err(NotAnswered::Refused(status)) => {
            refusal(head.request, status, caller.desk().reply_info())
        }
        Err(cause) => return Err(refusals::not_answered(cause)),
    };
    Ok(([(CONTENT_TYPE, OCTETS)], reply).into_response())
}

/// The whole body, in the pieces in which it came.
async fn collect(body: &mut Body) -> Result<Pieces, Response> {
    let hint = body.size_hint();
    if hint.lower() > BODY_LEN_MAX as u64 {
        return Err(refusals::status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    if hint.exact().is_some_and(|length| !is_request(usize::try_from(length).unwrap_or(0))) {
        return Err(refusals::bad_request());
    }
    let mut pieces = Pieces::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|cause| refusals::body_fault(BodyFault::of(&cause)))?;
        // Trailers say nothing here.
        if let Ok(bytes) = frame.into_data() {
            if pieces.unread() + bytes.len() > BODY_LEN_MAX {
                return Err(refusals::status(StatusCode::PAYLOAD_TOO_LARGE));
            }
            pieces.push(bytes);
        }
    }
    Ok(pieces)
}

/// Whether a body of this length is a head and whole slots.
const fn is_request(length: usize) -> bool {
    length > REQUEST_SIZE && (length - REQUEST_SIZE).is_multiple_of(COMMAND_SIZE)
}

/// The head, if it counts the slots that follow it.
fn read_head(pieces: &mut Pieces) -> Option<Request> {
    if !is_request(pieces.unread()) {
        return None;
    }
    let mut head = Request::new_zeroed();
    let is_read = pieces.read_into(head.as_mut_bytes());
    assert!(is_read, "a request is longer than its head");
    let held = u32::try_from(pieces.unread() / COMMAND_SIZE).ok()?;
    (head.slots == held).then_some(head)
}
