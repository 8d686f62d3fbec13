//! `POST /v1/batches`: the body of a request frame of the wire protocol, answered by the body of
//! a reply frame.
//!
//! The body is copied once, into the slots of an envelope that is taken when it is whole, or, if it
//! is long, into a buffer that then changes places with them: half a body holds no envelope.
//! Invariant: what is sent on is what a QUIC stream would have sent on for the same bytes.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use protocol::command::COMMAND_SIZE;
use protocol::frame::BODY_LEN_MAX;
use protocol::limits::REQUEST_SLOTS_MAX;
use protocol::reply::Reply;
use protocol::request::{REQUEST_SIZE, flags};
use protocol::{Command, Request};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::api::accept;
use super::api::answer::Seen;
use super::api::inbound::no_key;
use super::api::problem::{Own, Problem};
use super::arriving::BodyFault;
use super::call::{Caller, NotAnswered};
use crate::limits::{COLLECT_ABOVE, COLLECT_FROM};
use crate::outbox::refusal;
use crate::pieces::Pieces;
use crate::shelf::{Lent, Shelf};

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
    let mut collected = collect(&mut body, &caller.desk().shelf).await?;
    let head = collected.whole()?;
    let only = collected.pieces.peek_slot();
    let only = only.filter(|_| head.slots == 1 && head.flags & flags::READ != 0);
    let taker = caller.clone();
    let fill = |slots: &mut Vec<_>| {
        collected.take_slots(slots);
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

/// The whole body.
async fn collect(body: &mut Body, shelf: &Arc<Shelf>) -> Result<Collected, Problem> {
    let hint = body.size_hint();
    if hint.lower() > BODY_LEN_MAX as u64 {
        return Err(too_large());
    }
    if hint.exact().is_some_and(|length| !is_request(usize::try_from(length).unwrap_or(0))) {
        return Err(misshapen());
    }
    let mut collected = Collected::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|cause| Problem::of_body(BodyFault::of(&cause)))?;
        // Trailers say nothing here.
        if let Ok(bytes) = frame.into_data() {
            if collected.arrived + bytes.len() > BODY_LEN_MAX {
                return Err(too_large());
            }
            collected.push(bytes, shelf);
        }
    }
    Ok(collected)
}

/// A body as far as it has arrived.
#[derive(Default)]
struct Collected {
    arrived: usize,
    /// Bytes behind the head, or all of them while that was not read.
    pieces: Pieces,
    head: Option<Request>,
    /// The slots of a long request; what arrived of them is no longer in the pieces.
    lent: Option<Lent>,
}

impl Collected {
    fn push(&mut self, bytes: Bytes, shelf: &Arc<Shelf>) {
        self.arrived += bytes.len();
        self.pieces.push(bytes);
        if self.head.is_none() && self.arrived >= COLLECT_FROM {
            let head = self.read_head();
            if head
                .is_some_and(|head| (COLLECT_ABOVE + 1..=REQUEST_SLOTS_MAX).contains(&head.slots))
            {
                self.lent = shelf.take();
            }
        }
        if let (Some(head), Some(lent)) = (self.head, &mut self.lent) {
            let left = head.slots as usize - lent.slots.len();
            self.pieces.move_arrived(left, &mut lent.slots);
        }
    }

    fn read_head(&mut self) -> Option<Request> {
        let mut head = Request::new_zeroed();
        if self.head.is_none() && self.pieces.read_into(head.as_mut_bytes()) {
            self.head = Some(head);
        }
        self.head
    }

    /// The head, if it counts the slots that followed it.
    fn whole(&mut self) -> Result<Request, Problem> {
        if !is_request(self.arrived) {
            return Err(misshapen());
        }
        let head = self.read_head().ok_or_else(misshapen)?;
        let held = (self.arrived - REQUEST_SIZE) / COMMAND_SIZE;
        if head.slots as usize == held { Ok(head) } else { Err(misshapen()) }
    }

    /// Moves the slots of the whole request to `slots`.
    fn take_slots(mut self, slots: &mut Vec<Command>) {
        match self.lent.take() {
            Some(lent) => lent.hand_over(slots),
            None => self.pieces.take_slots(self.pieces.unread() / COMMAND_SIZE, slots),
        }
    }
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
