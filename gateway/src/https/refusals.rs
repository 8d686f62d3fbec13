//! Refusals of the door itself, before or beside any handler: problems, as the API answers them.

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;

use super::api::problem::{Own, Problem};
use super::arriving::BodyFault;
use super::call::NotAnswered;

pub(super) fn bad_request() -> Response {
    Problem::own(Own::BodyInvalid).into_response()
}

pub(super) fn status(status: StatusCode) -> Response {
    let own = Own::ALL.iter().find(|own| own.http_status() == status.as_u16());
    own.map_or_else(|| status.into_response(), |own| Problem::own(*own).into_response())
}

pub(super) fn not_answered(cause: NotAnswered) -> Response {
    Problem::from(cause).into_response()
}

pub(super) fn body_fault(fault: Option<&BodyFault>) -> Response {
    Problem::of_body(fault).into_response()
}
