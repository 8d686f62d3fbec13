//! Refusals of the door itself, before or beside any handler.

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};

use super::arriving::BodyFault;
use super::call::NotAnswered;

pub(super) fn bad_request() -> Response {
    StatusCode::BAD_REQUEST.into_response()
}

pub(super) fn not_found() -> Response {
    StatusCode::NOT_FOUND.into_response()
}

pub(super) fn status(status: StatusCode) -> Response {
    status.into_response()
}

pub(super) fn not_answered(cause: NotAnswered) -> Response {
    let (status, retry_after_s) = match cause {
        NotAnswered::Structure(_) => (StatusCode::BAD_REQUEST, None),
        NotAnswered::RateLimited { retry_after } => {
            (StatusCode::TOO_MANY_REQUESTS, Some(retry_after.as_secs() + 1))
        }
        NotAnswered::TooManyInFlight => (StatusCode::TOO_MANY_REQUESTS, Some(1)),
        NotAnswered::Refused(_)
        | NotAnswered::Overloaded
        | NotAnswered::ShuttingDown
        | NotAnswered::TimedOut => (StatusCode::SERVICE_UNAVAILABLE, Some(1)),
    };
    let mut response = status.into_response();
    if let Some(seconds) = retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub(super) fn body_fault(fault: Option<&BodyFault>) -> Response {
    match fault {
        Some(BodyFault::TimedOut) => status(StatusCode::REQUEST_TIMEOUT),
        Some(BodyFault::NoRoom) => not_answered(NotAnswered::Overloaded),
        // Hardly anybody is left to read this.
        Some(BodyFault::Broken(_)) | None => bad_request(),
    }
}
